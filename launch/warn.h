/* What commands warn of after they have read data. */
#ifndef ROWHOUSE_LAUNCH_WARN_H
#define ROWHOUSE_LAUNCH_WARN_H

#include "common/log.h"
#include "worker/stream/source.h"

static inline void warn_of_bad_rows(const struct bad_rows *bad)
{
    char text[ERR_TEXT_MAX];

    bad_rows_text(bad, text, sizeof text);
    if (text[0])
        log_warn("%s", text);
}

#endif

/* Dates and times in text. Any thread. */
#ifndef ROWHOUSE_WORKER_STREAM_TEXT_TIMESTAMP_H
#define ROWHOUSE_WORKER_STREAM_TEXT_TIMESTAMP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Reads the whole of text[0..length), written as `format` says (data.columns.*.
 * time_format; "" is seconds), as microseconds since 1970 UTC. Years are 1 to 9999; a
 * text without a zone is in UTC; a seconds' fraction is cut after six digits. False:
 * it is not such a time, and *us is as it was. */
bool timestamp_parse(const char *format, const char *text, size_t length, int64_t *us);

#endif

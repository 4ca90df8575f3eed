/* The files that a list setting means: its items in their order, each a path or a glob
 * that stands for its matches in byte order (the same on every machine). */
#ifndef ROWHOUSE_WORKER_STREAM_FILELIST_H
#define ROWHOUSE_WORKER_STREAM_FILELIST_H

#include <stddef.h>

#include "common/err.h"

struct filelist {
    char **path; /* owned; [files] */
    size_t files;
};

/* Expands `items` (separated by '\n'). `why` names the setting or option in errors.
 * -ERR_INPUT: no file at all, a glob without a match, a path twice; -ERR_SYSTEM: a
 * folder cannot be read; -ERR_MEMORY. A path that does not exist is left to whoever
 * opens it. After an error there is nothing to release. */
int filelist_init(struct filelist *list, const char *items, const char *why,
                  struct err *err);
void filelist_release(struct filelist *list); /* zeroed is fine */

#endif

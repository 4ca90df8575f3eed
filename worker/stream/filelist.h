/* The files that a list setting means: its items in their order, each a path, a glob
 * that stands for its matches, or a folder that stands for the files in it, those that
 * begin with a dot aside; both in byte order (the same on every machine). "-" is
 * standard input. */
#ifndef ROWHOUSE_WORKER_STREAM_FILELIST_H
#define ROWHOUSE_WORKER_STREAM_FILELIST_H

#include <stddef.h>

#include "common/err.h"

struct filelist {
    char **path; /* owned; [files] */
    size_t files;
};

/* Expands `items` (separated by '\n'). `why` names the setting or option in errors.
 * -ERR_INPUT: no file at all, a glob or folder without any, a path twice; -ERR_SYSTEM:
 * a folder cannot be read; -ERR_MEMORY. A path that does not exist is left to whoever
 * opens it. After an error there is nothing to release. */
int filelist_init(struct filelist *list, const char *items, const char *why,
                  struct err *err);
/* -ERR_INPUT: a file, or a pipe, is in both lists, by whatever names; and the errors of
 * filelist_init(). */
int filelist_apart(const char *items, const char *why, const char *other_items,
                   const char *other_why, struct err *err);
void filelist_release(struct filelist *list); /* zeroed is fine */

#endif

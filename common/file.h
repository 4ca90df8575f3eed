/* Whole files and directories: read one, replace one, make one, flush one.
 *
 * All functions may be called from any thread; those that change the same path must not
 * run at the same time. */
#ifndef ROWHOUSE_COMMON_FILE_H
#define ROWHOUSE_COMMON_FILE_H

#include <stddef.h>

#include "common/err.h"

/* Makes the directory `path` and those above it that are missing. One that is there is
 * fine. -ERR_SYSTEM names the directory that could not be made. */
int file_make_dirs(const char *path, struct err *err);

/* Replaces the file `path` by `size` bytes so that it is whole or as before, also after
 * a loss of power: a temporary file beside it, fsync, rename, fsync of the directory.
 * On an error (-ERR_SYSTEM, naming the path) the temporary file is gone and the old
 * file untouched; only if the very last step fails the new one is there, perhaps not
 * yet on the disk. A symbolic link is replaced, not followed. What exists and is not a
 * file (a device, a pipe) is written to directly. */
int file_write_atomic(const char *path, const void *data, size_t size, struct err *err);

/* Reads the file `path` of at most `max` bytes into a new buffer with a 0 byte behind
 * the `*size` bytes; the caller frees `*data`. A file that is missing, not readable, a
 * directory, or longer than `max` is -ERR_INPUT, a failed read -ERR_SYSTEM. On an error
 * *data is NULL and *size 0. */
int file_read_all(const char *path, size_t max, char **data, size_t *size,
                  struct err *err);

/* Makes the names in the directory `path` durable (after files in it were created,
 * renamed or removed). */
int file_sync_dir(const char *path, struct err *err);
/* The same for the directory that the file `path` is in. */
int file_sync_parent(const char *path, struct err *err);

/* Opens a new file beside `path`, to become it by rename(): its descriptor, and its
 * name in temp[size]. -ERR_SYSTEM, naming `path`; temp is then "". */
int file_open_beside(const char *path, char *temp, size_t size, struct err *err);

#endif

/* The bytes of a file, unpacked: plain, gzip (any number of members), Zstandard or LZ4
 * (any number of frames), told by the first bytes and not by the name. Pipes work too,
 * and "-" is standard input. One thread. */
#ifndef ROWHOUSE_COMMON_UNPACK_H
#define ROWHOUSE_COMMON_UNPACK_H

#include <stddef.h>

#include "common/err.h"

struct unpack;

/* Opens `path` (copied). -ERR_INPUT: no such file, a directory; -ERR_SYSTEM: cannot be
 * opened or read; -ERR_MEMORY. */
int unpack_open(const char *path, struct unpack **unpack, struct err *err);
void unpack_close(struct unpack *unpack); /* NULL is fine */

/* Puts 1..size bytes into `to` and their number into *got, or 0 at the end; size > 0.
 * -ERR_INPUT: the compressed data is truncated or damaged; -ERR_SYSTEM: cannot read.
 * Do not go on after an error. */
int unpack_read(struct unpack *unpack, void *to, size_t size, size_t *got,
                struct err *err);

/* The descriptor of a plain regular file, for pread(); it stays the unpack's. -1: it is
 * compressed, a pipe or a device. */
int unpack_plain_fd(const struct unpack *unpack);

/* The path as it was given, or "standard input"; valid until unpack_close(). */
const char *unpack_path(const struct unpack *unpack);

#endif

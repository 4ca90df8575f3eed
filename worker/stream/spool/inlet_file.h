/* What an inlet asks of the file system: what a path is, and whether a file is still
 * the one that it was. One thread. */
#ifndef ROWHOUSE_WORKER_STREAM_SPOOL_INLET_FILE_H
#define ROWHOUSE_WORKER_STREAM_SPOOL_INLET_FILE_H

#include <sys/types.h>

#include "worker/stream/spool/inlet.h"

enum { INLET_BUFFER_BYTES = 128 * 1024 };

/* Opens inlet->path: inlet->fd, or -1 if there is nothing under that name. -ERR_INPUT:
 * it may not be read, or is a folder; -ERR_SYSTEM. */
int inlet_open_path(struct inlet *inlet, struct err *err);

/* -ERR_INPUT with the sentence that there is no such file. */
int inlet_missing(const struct inlet *inlet, struct err *err);

/* Fills in what inlet->fd is: kind, device, inode and start. -ERR_SYSTEM; -ERR_INPUT: a
 * folder. */
int inlet_identify(const struct inlet *inlet, struct spool_source *source,
                   struct err *err);

/* Does inlet->fd, a file, have what was read of it last in the same place? */
bool inlet_same_contents(const struct inlet *inlet);

/* Has another file taken over the name of inlet->fd? */
bool inlet_has_moved(const struct inlet *inlet);

/* Looks in the path's folder for the source's file under another name, and makes it
 * inlet->fd. Returns whether it is there. */
bool inlet_find_moved(struct inlet *inlet);

/* Appends n bytes to the segment's file behind the `done` that are already on their
 * way. Returns whether it could; errno. */
bool inlet_put(const struct inlet *inlet, const char *bytes, size_t n, size_t done);

/* Copies at most n bytes of the file from its byte `at` to the end of the segment,
 * through `buffer`. Returns how many, or -1 and errno. */
ssize_t inlet_copy(struct inlet *inlet, char *buffer, size_t n, uint64_t at);

#endif

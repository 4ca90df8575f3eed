/* A result on its way out, piece by piece, through a large buffer: to a file that
 * appears whole under its name or not at all, or to standard output, a pipe or a
 * device, where it cannot be taken back. One thread.
 *
 *   output_open, { output_room + fill + output_used | output_write }*, output_finish,
 *   output_release */
#ifndef ROWHOUSE_COMMON_OUTPUT_H
#define ROWHOUSE_COMMON_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

enum {
    OUTPUT_PATH_MAX = 4096,
    OUTPUT_ROOM_MAX = 1024 * 1024, /* bytes that can be asked for at once */
};

struct output {
    char path[OUTPUT_PATH_MAX]; /* for sentences, too: "standard output" */
    char temp[OUTPUT_PATH_MAX]; /* the file under way; "" = written in place */
    int fd;
    bool borrowed; /* standard output is not ours to close */
    bool closed;   /* whoever read the pipe has left: what is written is dropped */
    unsigned char *buffer;
    size_t used;
    uint64_t flushed;
};

/* "-" is standard output. What exists under `path` and is not a regular file is written
 * to directly, as is the file that standard output is; any other file, also one that a
 * link leads to, is replaced at the end. The caller ignores SIGPIPE. On an error, too,
 * output_release() must be called. -ERR_SYSTEM, -ERR_MEMORY; -ERR_INPUT for a path that
 * is too long. */
int output_open(struct output *output, const char *path, struct err *err);

/* Sets *room to n bytes (n <= OUTPUT_ROOM_MAX) for what comes next, to be filled before
 * the next call; output_used() says how many of them it became.
 * -ERR_SYSTEM: "cannot write PATH: No space left on device", say. */
int output_room(struct output *output, size_t n, unsigned char **room, struct err *err);
static inline void output_used(struct output *output, size_t n)
{
    output->used += n;
}
/* The same for bytes that lie elsewhere, however many. */
int output_write(struct output *output, const void *bytes, size_t n, struct err *err);
/* Hands to the system what is in the buffer. */
int output_flush(struct output *output, struct err *err);

/* Bytes so far. */
static inline uint64_t output_bytes(const struct output *output)
{
    return output->flushed + output->used;
}

/* Writes what is left; a file is then on the disk, under its name. */
int output_finish(struct output *output, struct err *err);
/* Frees everything, and removes a file that is not finished. */
void output_release(struct output *output);

#endif

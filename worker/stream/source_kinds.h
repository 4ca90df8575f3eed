/* Kinds of files that a source can read: a row of the table in source.c for each. */
#ifndef ROWHOUSE_WORKER_STREAM_SOURCE_KINDS_H
#define ROWHOUSE_WORKER_STREAM_SOURCE_KINDS_H

#include <stddef.h>

#include "worker/stream/source.h"

enum { SOURCE_MAGIC_BYTES = 16 };

/* Functions as in source.h, with the kind's own state. */
struct source_kind {
    /* Is it the kind of a regular file that begins with magic[0..bytes)? NULL: of every
     * file that is of no other. */
    bool (*is)(const unsigned char *magic, size_t bytes);
    int (*create)(const struct job *job, const struct schema *schema,
                  struct bad_rows *bad_rows, void **state, struct err *err);
    void (*destroy)(void *state); /* NULL is fine */
    int (*open)(void *state, const struct piece *piece, struct err *err);
    int (*next)(void *state, struct block *block, struct err *err);
    const char *(*where)(void *state, uint64_t place);
};

extern const struct source_kind source_text, source_packed;

#endif

/* All examples of a job in memory, as they are read, with the part that each belongs
 * to: what splits that must know all of them, and preparations that are fitted on one
 * part of them, begin with. One thread. */
#ifndef ROWHOUSE_WORKER_STREAM_GATHER_H
#define ROWHOUSE_WORKER_STREAM_GATHER_H

#include "worker/stream/input.h"
#include "worker/stream/prepare/prepare.h"
#include "worker/stream/splits.h"

enum { GATHER_EXAMPLES = 4096 }; /* in a block, at most */

/* A file of which blocks are. */
struct gathered_file {
    char *path;     /* owned */
    uint32_t first; /* number of its first block */
};

struct gathered {
    struct schema schema; /* of the blocks */
    struct block *block;  /* [blocks]; owned, in the order of the files */
    uint32_t blocks, room;
    uint64_t examples;
    uint8_t *part; /* [examples], enum split_part; owned */
    struct bad_rows bad_rows;
    unsigned wanted;            /* enum columns_wanted, or-ed */
    struct gathered_file *file; /* [files]; owned, by their blocks */
    uint32_t files;
    char where[ERR_TEXT_MAX]; /* of gathered_where() */
};

/* Reads data.train and splits it (data.split.*), then data.validation and data.test,
 * whose files are those parts. `wanted` as for input_open(). `*stop` (may be NULL) set
 * by another thread or a signal ends it with -ERR_INTERRUPTED. Errors as of
 * input_open(), input_next(), split_check() and split_all(); -ERR_INPUT for 2^32 - 1
 * examples or more; gathered_release() also after an error. */
int gather(struct gathered *gathered, const struct job *job, unsigned wanted,
           const volatile bool *stop, struct err *err);
/* Fits a preparation of gathered->schema on the training part, and only on that.
 * Errors as of prepare_fit() and prepare_finish(). */
int gathered_fit(const struct gathered *gathered, struct prepare *prepare,
                 struct err *err);
void gathered_release(struct gathered *gathered); /* zeroed is fine */

/* "FILE line N" of example i of block b, for sentences: valid until the next call.
 * Reads the file again up to there; of what can be read only once it is "FILE byte N",
 * which it remembers. `job` as for gather(). */
const char *gathered_where(struct gathered *gathered, const struct job *job, uint32_t b,
                           uint32_t i);
/* prepare_apply() for block b, with where it stands in its sentence. `out` has room for
 * GATHER_EXAMPLES, or for the block's. */
int gathered_apply(struct gathered *gathered, const struct job *job, uint32_t b,
                   struct prepare *prepare, struct block *out, struct err *err);

#endif

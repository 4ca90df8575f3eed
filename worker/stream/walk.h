/* A walk through an epoch of data that is not held in memory: its examples in their
 * order, a few chunks at a time.
 *
 * The order of an epoch is a permutation of the chunks, cut into *bundles* of
 * walk_plan.mix chunks, times one of the examples within a bundle (within each
 * WALK_WINDOW of them, where a bundle has more), all from (seed, epoch). So what stands
 * together in a sorted file does not come up together.
 *
 * A *position* in it is (place of the bundle << 32 | examples of the bundle before it),
 * counting those of the walk's part only: positions have gaps where bundles end, and
 * the same position is the same example whoever asks. One thread. */
#ifndef ROWHOUSE_WORKER_STREAM_WALK_H
#define ROWHOUSE_WORKER_STREAM_WALK_H

#include "common/range.h"
#include "worker/stream/block.h"
#include "worker/stream/chunks.h"
#include "worker/stream/prepare/prepare.h"
#include "worker/stream/sides.h"
#include "worker/stream/source.h"
#include "worker/stream/splits.h"
#include "worker/stream/spool/spool.h"

enum { WALK_WINDOW = 1 << 19, WALK_READ = 1 << 16, WALK_GRAIN_BITS = 32 };

struct walk_plan {
    const struct job *job;       /* all borrowed */
    const struct schema *files;  /* what the files have */
    const struct schema *schema; /* and behind that, what side tables have */
    const struct sides *sides;   /* NULL = none */
    const struct chunks *chunks; /* NULL: those of a spool, as they come */
    const char *spool;           /* its folder */
    uint32_t mix;                /* chunks in a bundle, >= 1; of a spool always 1 */
    bool whole;           /* every example, whatever part the split puts it into */
    enum split_part part; /* else */
    uint64_t seed;
    const unsigned char *preparation; /* applied to what is read; NULL: nothing is */
    uint64_t preparation_bytes;
};

struct walk;

/* The sentence about a bundle whose examples cannot be counted. */
extern const char walk_too_large[];

/* Examples of a block: those numbered example[0..n). */
struct stretch {
    const struct block *block; /* borrowed until the next call with the walk */
    const uint32_t *example;   /* [n] */
    uint32_t n;
    uint64_t position; /* of what comes behind them */
};

int walk_create(const struct walk_plan *plan, struct walk **walk, struct err *err);
void walk_destroy(struct walk *walk); /* NULL is fine */

/* What the blocks of its stretches are made by; valid as long as the walk. */
const struct schema *walk_schema(const struct walk *walk);

/* All positions, but of a spool: [0, walk_end()). */
uint64_t walk_end(const struct chunks *chunks, uint32_t mix);

/* A chunk of a spool as a source reads it; valid until the next call with the spool.
 * Errors as of spool_chunk(). */
int walk_spool_piece(struct spool *spool, uint64_t chunk, struct piece *piece,
                     struct err *err);

/* Goes to a range of the positions of an epoch; 0: chunks and examples as they stand in
 * the files. Going on where the last range ended costs nothing, going into the middle
 * of a bundle costs reading what is before. -ERR_MEMORY. */
int walk_to(struct walk *walk, uint32_t epoch, struct range range, struct err *err);

/* From here on *stop (NULL: nothing; borrowed), set by another thread, ends what reads
 * with -ERR_INTERRUPTED: going into the middle of a large bundle may last. */
void walk_stop_at(struct walk *walk, const bool *stop);

/* Rows of a spool that were left out (data.bad_rows: skip), of chunks to whose end the
 * walk has come: who reads the end of a chunk has read all of it, wherever he began, so
 * that of those who share it only the last counts them. Rows of files are none: they
 * have been counted before. Valid as long as the walk. */
const struct bad_rows *walk_bad_rows(const struct walk *walk);

/* The next 1..max examples of the range: 1; or 0 at its end. Labels are as they are
 * trained on (labels.h). Errors as of source_open(), source_next(),
 * prepare_apply() and label_as_trained(), naming file and line. Do not go on after an
 * error. */
int walk_next(struct walk *walk, uint32_t max, struct stretch *stretch,
              struct err *err);

#endif

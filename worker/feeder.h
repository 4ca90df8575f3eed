/* The reader thread: turns a share of the examples into batches ahead of the trainer,
 * through one bounded queue. Batches are allocated once and go round.
 *
 * The trainer's thread calls everything here; the reader thread is inside. */
#ifndef ROWHOUSE_WORKER_FEEDER_H
#define ROWHOUSE_WORKER_FEEDER_H

#include "common/range.h"
#include "worker/batch.h"
#include "worker/stream/dataset.h"

struct feeder;

/* `ahead`: batches that may be outside with the trainer; a few more are being filled.
 * `job` and `width` (floats a row, by table) are borrowed. */
int feeder_create(const struct job *job, const uint32_t *width, uint32_t servers,
                  uint32_t ahead, struct feeder **feeder, struct err *err);
void feeder_destroy(struct feeder *feeder); /* ends a pass; NULL is fine */

/* Starts a pass over the positions of `range` (copied), example order[position] of
 * `part` of `data`, or example `position` when order is NULL; data and order are
 * borrowed until the pass ends. `taken` is what batches count up from. */
int feeder_begin(struct feeder *feeder, const struct dataset *data,
                 const struct part *part, const uint32_t *order,
                 const struct range *range, uint32_t ranges, uint64_t taken,
                 bool read_only, struct err *err);
/* The next batch, cut; NULL at the end, or with !wait when none is ready. */
struct batch *feeder_next(struct feeder *feeder, bool wait);
/* Gives a batch back to be filled again. */
void feeder_return(struct feeder *feeder, struct batch *batch);
/* Ends the pass, also in its middle; batches that are outside count as returned.
 * Returns the reader's error, if it had one. */
int feeder_end(struct feeder *feeder, struct err *err);

#endif

/* From positions in the order of an epoch to the examples of a batch: their labels and
 * its key sets, from memory or from files. One thread (the feeder's reader). */
#ifndef ROWHOUSE_WORKER_SUPPLY_H
#define ROWHOUSE_WORKER_SUPPLY_H

#include "worker/batch.h"
#include "worker/negatives.h"
#include "worker/stream/data.h"

struct supply;

/* For batches of batch_create_for(); `blueprint` is borrowed. -ERR_MEMORY. */
int supply_create(const struct blueprint *blueprint, uint32_t servers,
                  struct supply **supply, struct err *err);
void supply_destroy(struct supply *supply); /* NULL is fine */

/* Where negatives come from (borrowed), before the first batch of a job that has any.
 */
void supply_use_negatives(struct supply *supply, const struct negatives *negatives);

/* Gets ready for a part of the data (borrowed until the next call) in the order of an
 * epoch; 0: as it stands in the files. *stop (borrowed until then, too) set by another
 * thread ends it early, and what is taken with -ERR_INTERRUPTED. What is there of the
 * same epoch is kept. -ERR_MEMORY. */
int supply_begin(struct supply *supply, const struct data *data, enum split_part part,
                 uint32_t epoch, const bool *stop, struct err *err);

/* Appends examples from *position on to the batch, those of an epoch with their
 * negatives, as long as it has room and `end` is
 * not reached, and moves *position behind them: to `end` when there are no more before
 * it. Errors as of walk_next(). */
int supply_take(struct supply *supply, struct batch *batch, uint64_t *position,
                uint64_t end, struct err *err);

/* Rows that were left out behind what was taken, as of walk_bad_rows(), since the first
 * supply_begin() for this part; NULL: they have been counted before. */
const struct bad_rows *supply_bad_rows(const struct supply *supply);

/* Builds the key sets of the batch's examples. */
void supply_build(struct supply *supply, struct batch *batch);

#endif

/* Labels as they are trained on, and weights. */
#ifndef ROWHOUSE_WORKER_STREAM_LABELS_H
#define ROWHOUSE_WORKER_STREAM_LABELS_H

#include "worker/stream/block.h"

/* Makes the label of a file what the job's loss needs: for the logistic loss and those
 * that rank 0 or 1 by data.positive_from; without that, a label other than 0 and 1 of
 * the logistic loss is -ERR_INPUT, and the caller puts file, line and column before the
 * sentence. 1 if the job has no label. Any thread. */
int label_as_trained(const struct job *job, float *label, struct err *err);

/* The weight of example i of a block, 1 if it has none. -ERR_INPUT for what is negative
 * or missing, and the caller puts file and line before the sentence. Any thread. */
int weight_at(const struct block *block, uint32_t i, float *weight, struct err *err);
/* The sentence about weights that are all 0. -ERR_INPUT. */
int all_weightless(struct err *err);

#endif

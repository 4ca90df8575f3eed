/* A worker's own steps: with train.update: delta it trains on the pulled rows one
 * example at a time, and what is pushed is by how much that has changed them; the
 * servers add it (as in Boesen: Wei et al. 2015, Managed Communication and Consistency
 * for Fast Data-Parallel Iterative Analytics). One thread. */
#ifndef ROWHOUSE_WORKER_DELTA_H
#define ROWHOUSE_WORKER_DELTA_H

#include "common/schedule.h"
#include "worker/batch.h"
#include "worker/model/mf.h"

struct delta {
    const struct mf *mf; /* borrowed */
    struct schedule schedule;
    float bias_share, l2;
    uint32_t user, item;         /* tables */
    float *factors[2], *bias[2]; /* the rows of user and item, laid out for steps */
};

/* For batches of at most job->train.batch examples. -ERR_MEMORY. */
int delta_init(struct delta *delta, const struct job *job, const struct mf *mf,
               uint32_t user, uint32_t item, struct err *err);
void delta_release(struct delta *delta); /* zeroed is fine */

/* Trains on the rows of a finished batch, which stay as they are, at the rate of its
 * clock; writes the differences to difference[t] ([set.rows][width]) and returns the
 * loss summed before each step. */
double delta_steps(struct delta *delta, const struct batch *batch,
                   float *const *difference);

#endif

/* The loss of a batch in which items stand against each other: each example of the data
 * against the negatives behind it, or against the other examples' items. One thread. */
#ifndef ROWHOUSE_WORKER_GROUP_LOSS_H
#define ROWHOUSE_WORKER_GROUP_LOSS_H

#include "worker/batch.h"
#include "worker/model/layer_kernels.h"

struct group_loss {
    int loss; /* enum loss_kind */
    bool in_batch;
    uint32_t group;
    const struct layer_kernels *k;
    float *weight;    /* of an example of the data, 0 if it is none of a chosen item */
    uint32_t *target; /* which of its candidates is its own */
    /* All owned; of scores as losses take them, and their slopes. */
    float *positive, *negative, *positive_slope, *negative_slope;
    float *scratch, *score, *slope;
};

/* What the two sides of a model make of a batch, [n][width]: the score of user i and
 * item j is the product of rows i and j. Slopes are added to. */
struct towers {
    const float *user, *item;
    float *user_slope, *item_slope;
    uint32_t width;
};

/* For at most `capacity` examples of a job that job_ranks(). -ERR_MEMORY. */
int group_loss_init(struct group_loss *loss, const struct job *job, uint32_t capacity,
                    struct err *err);
void group_loss_release(struct group_loss *loss); /* zeroed is fine */

/* The summed loss of examples first .. first + n - 1, whole groups with the scores
 * score[n]; adds its slopes to slope[n]. */
double group_loss(struct group_loss *loss, const struct batch *batch, uint32_t first,
                  uint32_t n, const float *score, float *slope);

/* The same of a whole batch whose examples are each other's negatives. */
double group_loss_in_batch(struct group_loss *loss, const struct batch *batch,
                           const struct towers *towers);

#endif

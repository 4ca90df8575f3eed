/* Negatives: items that an example's user has not chosen, drawn for each example of the
 * training part anew in every epoch. Which they are depends only on train.seed, the
 * epoch and the example's number, so that it is the same for any worker and batch, and
 * when a run goes on. Made once, then shared read-only by a process's workers. */
#ifndef ROWHOUSE_WORKER_NEGATIVES_H
#define ROWHOUSE_WORKER_NEGATIVES_H

#include "worker/catalogue.h"

struct negatives {
    const struct item_catalogue *catalogue; /* borrowed */
    uint64_t seed;
    int by; /* enum negatives_by */
    bool seen;
    uint32_t each; /* negatives of an example; 0: other examples' items are */
    float *log_q;  /* [items]: the logarithm of each item's share; owned */
};

/* By train.negatives*. -ERR_INPUT: there are no two items; -ERR_MEMORY. */
int negatives_init(struct negatives *negatives, const struct job *job,
                   const struct item_catalogue *catalogue, struct err *err);
void negatives_release(struct negatives *negatives); /* zeroed is fine */

/* The catalogue's numbers of the negatives of training example `example`: item[each].
 * Never its own item; one that its user has in the training part only with
 * train.negatives_seen, or if after many draws nothing else has come. */
void negatives_draw(const struct negatives *negatives, uint32_t epoch, uint64_t example,
                    uint32_t *item);

#endif

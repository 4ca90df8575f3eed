/* From an example of the training part to a group of a batch: it, and behind it its
 * negatives, which have the columns of other items and else its own. One thread. */
#ifndef ROWHOUSE_WORKER_DRAWN_GROUPS_H
#define ROWHOUSE_WORKER_DRAWN_GROUPS_H

#include "worker/inputs.h"
#include "worker/negatives.h"

struct drawn_groups {
    const struct job *job;             /* borrowed, as what follows */
    const struct negatives *negatives; /* NULL until it is known */
    bool of_item[JOB_COLUMNS_MAX];     /* which of the job's columns negatives change */
    /* For each negative of an example: its item, and whose columns it takes. Owned. */
    uint32_t *item, *example, *other_example;
    const struct block **other;
};

/* -ERR_MEMORY */
int drawn_groups_init(struct drawn_groups *groups, const struct job *job,
                      struct err *err);
void drawn_groups_release(struct drawn_groups *groups); /* zeroed is fine */

/* Appends training example `number` and its negatives, from prepared blocks or from
 * records of ids (column: the job's, by key column; id: [key columns][batch]). There
 * must be room. */
void drawn_groups_add_blocks(struct drawn_groups *groups, struct inputs *inputs,
                             struct batch *batch, const struct part *part,
                             uint32_t epoch, uint32_t number);
void drawn_groups_add_records(struct drawn_groups *groups, const int *column,
                              uint32_t columns, uint32_t *const *id,
                              struct batch *batch, const struct part *part,
                              uint32_t epoch, uint32_t number);

#endif

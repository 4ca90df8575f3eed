/* Examples by what data.group says, outside of training: what a user has, as lists, for
 * models that look at these. One thread. */
#ifndef ROWHOUSE_LAUNCH_GROUPS_H
#define ROWHOUSE_LAUNCH_GROUPS_H

#include "worker/stream/dataset.h"

struct groups {
    const struct job *job;  /* borrowed */
    struct dataset dataset; /* the train part: examples, then groups */
};

/* Of prepared blocks with this schema, which is copied. -ERR_MEMORY. */
int groups_init(struct groups *groups, const struct job *job,
                const struct schema *schema, struct err *err);
void groups_release(struct groups *groups); /* zeroed is fine */

/* Copies an example of a block. Errors as of label_as_trained() and block_append(). */
int groups_add(struct groups *groups, const struct block *block, uint32_t number,
               struct err *err);
/* Makes groups of them, in the order of their first examples: dataset.train.block, of
 * dataset.schema. Errors as of dataset_group(). */
int groups_finish(struct groups *groups, struct err *err);

#endif

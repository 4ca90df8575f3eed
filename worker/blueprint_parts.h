/* Inside of the making of blueprints, for blueprint*.c only. */
#ifndef ROWHOUSE_WORKER_BLUEPRINT_PARTS_H
#define ROWHOUSE_WORKER_BLUEPRINT_PARTS_H

#include "worker/blueprint.h"

struct making {
    const struct job *job;
    struct blueprint *made;
    uint32_t names;
};

/* rows, bag, numbers */
bool blueprint_is_input(int kind);
/* "key"; is a column, prepared, a list of keys, or one key? */
const char *blueprint_column_kind(const struct job_column *column);
bool blueprint_is_list(const struct job *job, const struct job_column *column);
bool blueprint_is_key(const struct job_column *column);

/* Adds an input layer of the job. -ERR_INPUT: a sentence about its settings. */
int blueprint_add_input(struct making *making, const struct job_layer *layer,
                        struct err *err);
/* Counts the keys of the input that was added last, unless another has the same. */
void blueprint_count_keys(struct blueprint *made);

/* What model.target is. -ERR_INPUT: none that there could be. */
int blueprint_find_target(struct making *making, struct err *err);
/* Does the output of a graph go with target and loss? Sets how many numbers it has. */
int blueprint_check_output(struct blueprint *made, const struct graph *graph,
                           struct err *err);

#endif

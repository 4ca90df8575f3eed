#include "launch/groups.h"

#include <stdlib.h>

#include "worker/stream/grouped.h"
#include "worker/stream/labels.h"

int groups_init(struct groups *groups, const struct job *job,
                const struct schema *schema, struct err *err)
{
    *groups = (struct groups){.job = job};
    groups->dataset.schema = malloc(sizeof *schema);
    if (!groups->dataset.schema)
        return err_set(err, ERR_MEMORY, "no memory to group examples");
    *groups->dataset.schema = *schema;
    return 0;
}

void groups_release(struct groups *groups)
{
    dataset_release(&groups->dataset);
    *groups = (struct groups){0};
}

/* The block that the next example goes to. */
static int next_block(struct groups *groups, struct block **block, struct err *err)
{
    struct part *part = &groups->dataset.train;
    int rc;

    if (part->examples == (uint64_t)part->blocks * GATHER_EXAMPLES) {
        struct block *more = realloc(part->block, (part->blocks + 1) * sizeof *more);

        if (!more)
            return err_set(err, ERR_MEMORY, "no memory to group %llu examples",
                           (unsigned long long)part->examples);
        part->block = more;
        rc = block_create(&more[part->blocks], groups->dataset.schema, GATHER_EXAMPLES,
                          err);
        if (rc)
            return rc;
        part->blocks++;
    }
    *block = &part->block[part->blocks - 1];
    return 0;
}

int groups_add(struct groups *groups, const struct block *block, uint32_t number,
               struct err *err)
{
    int label = block->schema->label;
    struct block *to = NULL;
    int rc = next_block(groups, &to, err);

    if (rc == 0)
        rc = block_append(to, block, number, 1, err);
    if (rc)
        return rc;
    groups->dataset.train.examples++;
    return label == SCHEMA_NONE
               ? 0
               : label_as_trained(groups->job, &to->column[label].number[to->n - 1],
                                  err);
}

int groups_finish(struct groups *groups, struct err *err)
{
    return dataset_group(&groups->dataset, groups->job->data.group,
                         groups->job->model.target, err);
}

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

int groups_add(struct groups *groups, const struct block *block, uint32_t number,
               struct err *err)
{
    struct part *part = &groups->dataset.train;
    int label = block->schema->label;
    struct block *last;

    if (part_keep(part, groups->dataset.schema, block, number, err))
        return -err->code;
    last = &part->block[part->blocks - 1];
    return label == SCHEMA_NONE
               ? 0
               : label_as_trained(groups->job, &last->column[label].number[last->n - 1],
                                  err);
}

int groups_finish(struct groups *groups, struct err *err)
{
    return dataset_group(&groups->dataset, groups->job->data.group,
                         groups->job->model.target, err);
}

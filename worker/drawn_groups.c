#include "worker/drawn_groups.h"

#include <stdlib.h>

int drawn_groups_init(struct drawn_groups *groups, const struct job *job,
                      struct err *err)
{
    size_t n = (size_t)job->train.negatives + 1;

    *groups = (struct drawn_groups){.job = job};
    for (int c = 0; c < job->data.columns; c++)
        groups->of_item[c] = job_column_is_items(job, c);
#ifdef MUTANT_NEGATIVES_SIDES
    for (int c = 0; c < job->data.columns; c++)
        groups->of_item[c] = job_column_is_key(&job->data.column[c]) &&
                             groups->of_item[c] && !job->data.column[c].from[0];
#endif
    groups->item = malloc(n * sizeof *groups->item);
    groups->example = malloc(n * sizeof *groups->example);
    groups->other_example = malloc(n * sizeof *groups->other_example);
    groups->other = malloc(n * sizeof *groups->other);
    if (groups->item && groups->example && groups->other_example && groups->other)
        return 0;
    drawn_groups_release(groups);
    return err_set(err, ERR_MEMORY, "no memory for %zu negatives", n - 1);
}

void drawn_groups_release(struct drawn_groups *groups)
{
    free(groups->item);
    free(groups->example);
    free(groups->other_example);
    free(groups->other);
    *groups = (struct drawn_groups){0};
}

/* The label and weight of an example and its negatives, and whose items they are. */
static void note_group(const struct drawn_groups *groups, struct batch *batch,
                       float label, float weight, uint32_t number)
{
    const struct negatives *negatives = groups->negatives;
    uint32_t item = negatives->catalogue->item_of[number];

    for (uint32_t j = 0; j <= negatives->each; j++) {
        uint32_t at = batch->n + j;

        batch->label[at] = j == 0 ? label : 0;
        batch->weight[at] = weight;
        if (!batch->item)
            continue;
        item = j == 0 ? item : groups->item[j - 1];
        batch->item[at] = item;
        batch->log_q[at] = negatives->log_q[item];
    }
    batch->items = negatives->catalogue->items;
    batch->n += 1 + negatives->each;
}

void drawn_groups_add_blocks(struct drawn_groups *groups, struct inputs *inputs,
                             struct batch *batch, const struct part *part,
                             uint32_t epoch, uint32_t number)
{
    const struct negatives *negatives = groups->negatives;
    const struct block *block = &part->block[number / GATHER_EXAMPLES];
    const struct schema *schema = block->schema;
    uint32_t example = number % GATHER_EXAMPLES, own = batch->n;

    negatives_draw(negatives, epoch, number, groups->item);
    for (uint32_t j = 0; j < negatives->each; j++) {
        uint32_t other = negatives->catalogue->representative[groups->item[j]];

        groups->example[j] = example;
        groups->other[j] = &part->block[other / GATHER_EXAMPLES];
        groups->other_example[j] = other % GATHER_EXAMPLES;
    }
    inputs_add(inputs, batch, block, &example, 1);
    batch->n++; /* they go behind it */
    inputs_add_mixed(inputs, batch, block, groups->example, groups->other,
                     groups->other_example, groups->of_item, negatives->each);
    batch->n = own;
    batch->weighted = schema->weight != SCHEMA_NONE;
    note_group(groups, batch, block->column[schema->label].number[example],
               batch->weighted ? block->column[schema->weight].number[example] : 1,
               number);
}

void drawn_groups_add_records(struct drawn_groups *groups, const int *column,
                              uint32_t columns, uint32_t *const *id,
                              struct batch *batch, const struct part *part,
                              uint32_t epoch, uint32_t number)
{
    const struct negatives *negatives = groups->negatives;
    const uint32_t *record = part->record + (size_t)number * (columns + 1);

    negatives_draw(negatives, epoch, number, groups->item);
    for (uint32_t c = 0; c < columns; c++)
        id[c][batch->n] = record[c];
    for (uint32_t j = 0; j < negatives->each; j++) {
        uint32_t from = negatives->catalogue->representative[groups->item[j]];
        const uint32_t *other = part->record + (size_t)from * (columns + 1);

        for (uint32_t c = 0; c < columns; c++)
            id[c][batch->n + 1 + j] = groups->of_item[column[c]] ? other[c] : record[c];
    }
    batch->weighted = part->weight != NULL;
    note_group(groups, batch, record_label(record, columns),
               batch->weighted ? part->weight[number] : 1, number);
}

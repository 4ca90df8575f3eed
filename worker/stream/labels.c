#include "worker/stream/labels.h"

#include <math.h>

int label_as_trained(const struct job *job, float *label, struct err *err)
{
    double positive_from = job->data.positive_from;

    if (!job->data.label[0])
        *label = 1;
    if (!job->data.label[0] || (!job_has_classes(job) && !job_ranks(job)))
        return 0;
    if (!isnan(positive_from)) {
        *label = (double)*label >= positive_from ? 1 : 0;
        return 0;
    }
    if (job_ranks(job))
        return 0;
#ifndef MUTANT_STREAM_BINARY_LABEL
    if (*label != 0 && *label != 1)
        return err_set(err, ERR_INPUT,
                       "label %g, expected 0 or 1 as model.loss needs "
                       "(data.positive_from can say which labels count as 1)",
                       (double)*label);
#endif
    return 0;
}

int weight_at(const struct block *block, uint32_t i, float *weight, struct err *err)
{
    int c = block->schema->weight;

    *weight = 1;
    if (c == SCHEMA_NONE)
        return 0;
    *weight = block->column[c].number[i];
    if (*weight >= 0)
        return 0;
    return err_set(err, ERR_INPUT,
                   "column %s: the weight is %g, expected a number from 0 on",
                   block->schema->column[c].name, (double)*weight);
}

int all_weightless(struct err *err)
{
    return err_set(err, ERR_INPUT,
                   "all examples to train on have the weight 0 (data.weight)");
}

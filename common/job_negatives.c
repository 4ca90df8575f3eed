/* What settings must hold for each other where items that were not chosen are set
 * against those that were. */
#include <string.h>

#include "common/job.h"

/* A negative has its own item's columns and its example's others, and no column that is
 * made of both. */
static int check_columns(const struct job *job, struct err *err)
{
    for (int i = 0; i < job->data.columns; i++)
        if (job_column_is_mixed(job, i))
            return err_set(err, ERR_INPUT,
                           "data.columns.%s is made of columns of the item and others, "
                           "which negatives do not have together; expected "
                           "train.negatives 0",
                           job->data.column[i].name);
    return 0;
}

static const char *loss_name(const struct job *job)
{
    return job->model.loss == LOSS_BPR    ? "bpr"
           : job->model.loss == LOSS_WARP ? "warp"
                                          : "sampled_softmax";
}

static int check_batch(const struct job *job, struct err *err)
{
    if (job->model.loss != LOSS_SAMPLED_SOFTMAX)
        return err_set(err, ERR_INPUT,
                       "train.negatives_by is batch, but it needs model.loss "
                       "sampled_softmax");
    if (job->train.negatives)
        return err_set(
            err, ERR_INPUT,
            "train.negatives is %lld, but with train.negatives_by batch none "
            "are drawn, expected 0",
            (long long)job->train.negatives);
    return 0;
}

static int check_loss(const struct job *job, struct err *err)
{
    if (job->train.negatives_by == NEGATIVES_BATCH && check_batch(job, err))
        return -err->code;
    if (!job_ranks(job))
        return 0;
    if (job->train.negatives == 0 && job->train.negatives_by != NEGATIVES_BATCH)
        return err_set(err, ERR_INPUT,
                       "train.negatives is 0, but model.loss %s sets chosen items "
                       "against negatives, expected at least 1",
                       loss_name(job));
    if (job->train.update == UPDATE_DELTA)
        return err_set(err, ERR_INPUT,
                       "train.update is delta, which goes with model.loss squared and "
                       "logistic, not with %s",
                       loss_name(job));
    return 0;
}

/* Is a part of the data held out, to be scored? */
static bool is_tested(const struct job *job)
{
    return job->data.test[0] || job->data.validation[0] || job->data.split_test > 0 ||
           job->data.split_validation > 0 || job->data.split_after[0] ||
           job->data.split_by == SPLIT_LEAVE_ONE_OUT;
}

/* Metrics that compare each score with its label say nothing where scores have no
 * scale, or all labels are 1. Those of lists ("ndcg@10") do. */
static int check_metrics(const struct job *job, struct err *err)
{
    const char *cursor = job->evaluate.metrics;
    char metric[JOB_NAME_MAX];
    bool numbers = job->data.label[0] ||
                   (job_has_target(job) && job->model.loss != LOSS_SOFTMAX);

    while (is_tested(job) && job_list_next(&cursor, metric, sizeof metric)) {
        if (job_ranks(job) && (!strcmp(metric, "rmse") || !strcmp(metric, "mae")))
            return err_set(err, ERR_INPUT,
                           "evaluate.metrics has %s, but scores of model.loss %s say "
                           "only which items come first",
                           metric, loss_name(job));
        if (!numbers && !strchr(metric, '@'))
            return err_set(err, ERR_INPUT,
                           "evaluate.metrics has %s, which needs data.label", metric);
    }
    return 0;
}

/* Who has which items must be known before the first of them is drawn. */
static int check_memory(const struct job *job, struct err *err)
{
    const char *why = job->train.follow                ? "train.follow is true"
                      : job->data.in_memory == DATA_NO ? "data.in_memory is false"
                                                       : NULL;

    if (!why)
        return 0;
    if (job->train.negatives == 0)
        return err_set(err, ERR_INPUT,
                       "train.negatives_by is batch, which needs the data in memory, "
                       "but %s",
                       why);
    return err_set(err, ERR_INPUT,
                   "train.negatives is %lld, which needs the data in memory, but %s",
                   (long long)job->train.negatives, why);
}

int job_check_negatives(const struct job *job, struct err *err)
{
    int rc = check_loss(job, err);

    if (rc == 0)
        rc = check_metrics(job, err);
    if (rc || (job->train.negatives == 0 && !job_ranks(job)))
        return rc;
    if (job->model.target[0] || job->data.group[0])
        return err_set(err, ERR_INPUT, "%s is set, which does not go with %s",
                       job->data.group[0] ? "data.group" : "model.target",
                       job->train.negatives ? "train.negatives"
                                            : "train.negatives_by batch");
    rc = check_memory(job, err);
    return rc ? rc : check_columns(job, err);
}

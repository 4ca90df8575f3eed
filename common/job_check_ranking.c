/* What settings of rankings (evaluate.protocol) must hold for each other. */
#include <string.h>

#include "common/job.h"
#include "common/metrics.h"

/* Data's negatives are keys as files have them, so columns must be those keys. */
static int check_keys(const struct job *job, const char *table, struct err *err)
{
    for (int i = 0; i < job->data.columns; i++) {
        const struct job_column *column = &job->data.column[i];
        const struct job_steps *steps = &column->steps;

        if (!job_column_is_key(column) || strcmp(column->table, table))
            continue;
        if (column->as != COLUMN_KEY || column->from[0] || steps->make != MAKE_NONE ||
            steps->hash || steps->vocabulary != VOCABULARY_NONE)
            return err_set(err, ERR_INPUT,
                           "data.negatives has keys as they stand in the files, but "
                           "data.columns.%s is made or changes them",
                           column->name);
    }
    return 0;
}

/* Other items are put in an example's place, column by column. */
static int check_columns(const struct job *job, const char *protocol, struct err *err)
{
    for (int c = 0; c < job->data.columns; c++)
        if (job_column_is_mixed(job, c))
            return err_set(err, ERR_INPUT,
                           "data.columns.%s is made of columns of the item and others, "
                           "which items that are no example's do not have; "
                           "evaluate.protocol is %s, expected split",
                           job->data.column[c].name, protocol);
    return 0;
}

/* Lists have no errors of single scores. */
static int check_lists(const struct job *job, const char *protocol, struct err *err)
{
    const char *cursor = job->evaluate.metrics;
    struct metric_facts facts;
    char metric[JOB_NAME_MAX];

    while (job_list_next(&cursor, metric, sizeof metric))
        if (!metrics_find(metric, &facts) || facts.needs != NEEDS_LISTS)
            return err_set(
                err, ERR_INPUT,
                "evaluate.metrics has %s, but evaluate.protocol is %s, which "
                "ranks items: expected metrics of lists, such as ndcg@10",
                metric, protocol);
    return 0;
}

int job_check_ranking(const struct job *job, struct err *err)
{
    static const char *const name[] = {"split", "given", "sampled", "all"};
    int protocol = job->evaluate.protocol;

    if (protocol == PROTOCOL_GIVEN && !job->data.negatives[0])
        return err_set(err, ERR_INPUT,
                       "evaluate.protocol is given, but data.negatives is not set: it "
                       "names the files with the items to rank among");
    if (protocol != PROTOCOL_GIVEN && job->data.negatives[0])
        return err_set(err, ERR_INPUT,
                       "data.negatives is set, but evaluate.protocol is %s, expected "
                       "given",
                       name[protocol]);
    if (protocol != PROTOCOL_ALL && metrics_has(job->evaluate.metrics, "coverage@"))
        return err_set(err, ERR_INPUT,
                       "evaluate.metrics has coverage, which needs evaluate.protocol "
                       "all: lists of all items");
    if (protocol == PROTOCOL_SPLIT)
        return 0;
    if (job->data.in_memory == DATA_NO || job->train.follow)
        return err_set(err, ERR_INPUT,
                       "evaluate.protocol is %s, which needs the data in memory, but "
                       "%s",
                       name[protocol],
                       job->train.follow ? "train.follow is set"
                                         : "data.in_memory is false");
    if (check_lists(job, name[protocol], err) ||
        (!job->model.target[0] && check_columns(job, name[protocol], err)))
        return -err->code;
    if (protocol != PROTOCOL_GIVEN)
        return 0;
    return check_keys(job, job->model.user, err)
               ? -err->code
               : check_keys(job, job->model.item, err);
}

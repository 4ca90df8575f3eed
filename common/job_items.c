/* Which columns of a job's data belong to the item, and whether it needs a label. */
#include <string.h>

#include "common/job.h"

static int find_column(const struct job *job, const char *name)
{
    for (int i = 0; i < job->data.columns; i++)
        if (!strcmp(job->data.column[i].name, name))
            return i;
    return -1;
}

/* What a column may be made of stands before it if it is made itself: also of a job
 * that is not checked yet, none is asked without end. -1: none. */
static int find_source(const struct job *job, int made, const char *name)
{
    int column = find_column(job, name);

    if (column < 0 || column < made)
        return column;
    return job->data.column[column].steps.make == MAKE_NONE ? column : -1;
}

static bool is_items(const struct job *job, int made, const char *name)
{
    int column = find_source(job, made, name);

    return column >= 0 && job_column_is_items(job, column);
}

static bool is_items_key(const struct job *job, int number)
{
    const struct job_column *column = &job->data.column[number];

    return job_column_is_key(column) && !strcmp(column->table, job->model.item);
}

/* A history is the user's, whatever it is made of. */
static bool is_made_of_items(const struct job *job, int number)
{
    const struct job_column *column = &job->data.column[number];
    const char *of = column->steps.of;
    char name[JOB_NAME_MAX * 2];

    if (column->steps.make == MAKE_NONE || column->steps.make == MAKE_HISTORY)
        return false;
    while (job_list_next(&of, name, sizeof name))
        if (!is_items(job, number, name))
            return false;
    return true;
}

bool job_column_is_items(const struct job *job, int number)
{
    const struct job_column *column = &job->data.column[number];

    if (is_items_key(job, number))
        return true;
    for (int s = 0; s < job->data.sides && column->from[0]; s++)
        if (!strcmp(column->from, job->data.side[s].name)) {
            int key = find_column(job, job->data.side[s].key); /* of the data */

            return key >= 0 && is_items_key(job, key);
        }
    return is_made_of_items(job, number);
}

bool job_column_is_mixed(const struct job *job, int number)
{
    const struct job_column *column = &job->data.column[number];
    const char *of = column->steps.of;
    bool items = false, others = false;
    char name[JOB_NAME_MAX * 2];

    if (column->steps.make != MAKE_CROSS)
        return false;
    while (job_list_next(&of, name, sizeof name)) {
        int source = find_source(job, number, name);
        bool mixed = source >= 0 && job_column_is_mixed(job, source);

        items |= mixed || is_items(job, number, name);
        others |= mixed || !is_items(job, number, name);
    }
    return items && others;
}

/* Of groups, labels are what their keys weigh: without any, all weigh the same, which
 * only softmax learns something from. An autoencoder of numbers has a target when it is
 * laid out. */
bool job_has_target(const struct job *job)
{
    if (job->model.kind == MODEL_MF)
        return false;
    if (job->data.group[0])
        return job->model.target[0] && job->model.loss == LOSS_SOFTMAX;
    return job->model.target[0] || job->model.kind == MODEL_AUTOENCODER;
}

bool job_needs_label(const struct job *job)
{
    return job->train.negatives == 0 && !job_ranks(job) && !job_has_target(job) &&
           job->model.kind != MODEL_POPULARITY;
}

/* Which columns of a job's data belong to the item, and whether it needs a label. */
#include <string.h>

#include "common/job.h"

/* Of a column and all before it. */
struct belonging {
    bool item[JOB_COLUMNS_MAX];  /* it belongs to the item */
    bool mixed[JOB_COLUMNS_MAX]; /* it is made of what does and what does not */
};

static bool is_items_key(const struct job *job, int number)
{
    const struct job_column *column = &job->data.column[number];

    return job_column_is_key(column) && !strcmp(column->table, job->model.item);
}

/* By itself, whatever it is made of. */
static bool is_items(const struct job *job, int number)
{
    const struct job_column *column = &job->data.column[number];

    if (is_items_key(job, number))
        return true;
    for (int s = 0; s < job->data.sides && column->from[0]; s++)
        if (!strcmp(column->from, job->data.side[s].name)) {
            int key = job_column_index(job, job->data.side[s].key); /* of the data */

            return key >= 0 && is_items_key(job, key);
        }
    return false;
}

/* What is made stands behind what it is made of, if that is made, too; a job that is
 * not checked yet may say otherwise, and then it is as if that were not there. A
 * history is the user's, whatever it is made of. */
static void look_at_sources(const struct job *job, int number, struct belonging *b)
{
    const struct job_column *column = &job->data.column[number];
    const char *of = column->steps.of;
    bool items = false, others = false;
    char name[JOB_NAME_MAX * 2];

    if (column->steps.make == MAKE_NONE || column->steps.make == MAKE_HISTORY)
        return;
    while (job_list_next(&of, name, sizeof name)) {
        int source = job_column_index(job, name);
        bool item = source >= 0 &&
                    (source < number ? b->item[source] : is_items(job, source));
        bool mixed = source >= 0 && source < number && b->mixed[source];

        items |= item || mixed;
        others |= !item || mixed;
    }
    b->item[number] |= !others;
    b->mixed[number] = column->steps.make == MAKE_CROSS && items && others;
}

/* One after another, so that it takes no longer however they build on each other. */
static void look_at(const struct job *job, int number, struct belonging *b)
{
    for (int c = 0; c <= number; c++) {
        b->item[c] = is_items(job, c);
        b->mixed[c] = false;
        look_at_sources(job, c, b);
    }
}

bool job_column_is_items(const struct job *job, int number)
{
    struct belonging b;

    look_at(job, number, &b);
    return b.item[number];
}

bool job_column_is_mixed(const struct job *job, int number)
{
    struct belonging b;

    look_at(job, number, &b);
    return b.mixed[number];
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

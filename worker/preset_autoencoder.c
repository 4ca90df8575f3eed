/* Autoencoders: layers that give back what came in, through fewer numbers. */
#include <stdio.h>
#include <string.h>

#include "worker/preset_parts.h"

/* Widths of model.hidden from the second or first on, then back to the first. */
static void add_hidden(struct making *making, const uint32_t *width, int n, int first,
                       char *at)
{
    char name[JOB_NAME_MAX];

    for (int i = first; i < n; i++) {
        snprintf(name, sizeof name, "encode%d", i + 1);
        preset_hidden(making, name, width[i], at);
    }
    for (int i = n - 1; i > 0; i--) {
        snprintf(name, sizeof name, "decode%d", n - i);
        preset_hidden(making, name, width[i - 1], at);
    }
}

/* All numbers, which the output is to be again. */
static void of_numbers(struct making *making, const uint32_t *width, int n)
{
    const struct job *job = making->job;
    char at[JOB_NAME_MAX] = "";

    if (job->model.target[0]) {
        making->rc = err_set(making->err, ERR_INPUT,
                             "model.target is '%s', but model.kind autoencoder without "
                             "data.group gives back its numbers, expected none",
                             job->model.target);
        return;
    }
    if (!preset_numbers(making, SIDE_ANY, at))
        return;
    preset_set(making, "model", "target", "", at);
    add_hidden(making, width, n, 0, at);
    preset_dense(making, "output", at, (uint32_t)preset_numbers_width(job), "linear");
    preset_output(making, "output");
}

/* The column of what a group has, and its table; NULL: refused. */
static const struct job_table *find_target(struct making *making)
{
    const struct job *job = making->job;
    int column = job_column_index(job, job->model.target), table;

    if (column < 0 || !job_column_is_key(&job->data.column[column]) ||
        !strcmp(job->model.target, job->data.group)) {
        making->rc = err_set(making->err, ERR_INPUT,
                             "model.target is '%s', expected the key column whose keys "
                             "the groups of data.group have, because model.kind is %s",
                             job->model.target, preset_name(job->model.kind));
        return NULL;
    }
    table = job_table_index(job, job->data.column[column].table);
    if (table < 0 || job->table[table].rows == 0) {
        making->rc = err_set(
            making->err, ERR_INPUT,
            "tables.%s.rows is not set, but model.kind %s has a number "
            "for each row of that table",
            job->data.column[column].table, preset_name(job->model.kind));
        return NULL;
    }
    return &job->table[table];
}

/* The keys of a group, weighted by their labels (AutoRec: Sedhain et al. 2015), or
 * their mean (Mult-DAE: Liang et al. 2018); and a number for each key there is. */
static void of_groups(struct making *making, const uint32_t *width, int n)
{
    const struct job *job = making->job;
    const struct job_table *table = find_target(making);
    char column[2 * JOB_NAME_MAX + 1], text[32], at[JOB_NAME_MAX] = "given";
    bool mean = job->model.kind == MODEL_MULTDAE;

    if (!table)
        return;
    snprintf(text, sizeof text, "%u", width[0]);
    preset_set(making, "tables", table->name, "dim", text);
    preset_set(making, "tables", table->name, "bias", "false");
    if (mean)
        preset_set(making, "model", "activation", "", "tanh");
    snprintf(column, sizeof column, "%s\n", job->model.target);
    preset_input(making, at, "bag", column);
    preset_set(making, "model.layers", at, "pool", mean ? "mean" : "sum");
    preset_number(making, at, "length", job->model.length);
    preset_hidden_sum(making, "encode1", at);
    add_hidden(making, width, n, 1, at);
    preset_dense(making, "output", at, (uint32_t)table->rows, "linear");
    preset_output(making, "output");
}

void preset_make_autoencoder(struct making *making)
{
    const struct job *job = making->job;
    uint32_t width[JOB_WIDTHS_MAX];
    int n = job_widths(job->model.hidden, width);

    if (job->data.group[0])
        of_groups(making, width, n);
    else
        of_numbers(making, width, n);
}

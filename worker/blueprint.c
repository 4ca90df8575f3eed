#include "worker/blueprint.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/blueprint_parts.h"

/* A place for a name that a description points to. */
static const char *keep_name(struct making *making, const char *name)
{
    char *kept = making->made->name[making->names++];

    snprintf(kept, JOB_NAME_MAX, "%s", name);
    return kept;
}

/* --- layers ----------------------------------------------------------------------- */

static int add_inputs(struct making *making, int number, struct graph_layer *to,
                      struct err *err)
{
    const struct job_layer *layer = &making->job->model.layer[number];
    const char *cursor = layer->inputs;
    char name[JOB_NAME_MAX];
    uint32_t n = 0;

    if (!layer->inputs[0] && number > 0)
        to->input[n++] = keep_name(making, making->job->model.layer[number - 1].name);
    while (job_list_next(&cursor, name, sizeof name)) {
        if (n == JOB_FORK_MAX)
            return err_set(err, ERR_INPUT,
                           "model.layers.%s.inputs has more than %d layers",
                           layer->name, JOB_FORK_MAX);
        to->input[n++] = keep_name(making, name);
    }
    return 0;
}

static int add_layer(struct making *making, int number, struct err *err)
{
    const struct job_layer *layer = &making->job->model.layer[number];
    struct graph_layer *to = &making->made->layer[making->made->layers++];

    if (layer->columns[0] && !blueprint_is_input(layer->kind))
        return err_set(
            err, ERR_INPUT,
            "model.layers.%s has columns, but it is of kind %s; rows, bag and "
            "numbers take columns",
            layer->name, layer_kind_name((enum layer_kind)layer->kind));
    *to = (struct graph_layer){
        .name = layer->name,
        .kind = (enum layer_kind)layer->kind,
        .width = (uint32_t)layer->width,
        .first = (uint32_t)layer->first,
        .activation = (enum activation)layer->activation,
        .slope = (float)layer->slope,
        .mean = layer->pool == POOL_MEAN,
        .rate = (float)layer->drop,
        .epsilon = (float)layer->epsilon,
        .momentum = (float)layer->momentum,
    };
    if (!blueprint_is_input(layer->kind))
        return add_inputs(making, number, to, err);
    if (blueprint_add_input(making, layer, err))
        return -err->code;
    to->steps = making->made->input[making->made->inputs - 1].steps;
    to->width = making->made->input[making->made->inputs - 1].width;
    return 0;
}

/* The score is the last layer, the one that is named, or the product of two. */
static int add_outputs(struct making *making, struct err *err)
{
    const struct job *job = making->job;
    const char *cursor = job->model.output;
    struct blueprint *made = making->made;
    char name[JOB_NAME_MAX];
    const char *named[2];
    uint32_t n = 0;

    if (!job->model.output[0])
        named[n++] = job->model.layer[job->model.layers - 1].name;
    while (job_list_next(&cursor, name, sizeof name)) {
        if (n == 2)
            return err_set(err, ERR_INPUT,
                           "model.output has more than two layers, expected the one "
                           "with the score, or two whose inner product it is");
        named[n++] = keep_name(making, name);
    }
    if (n == 2) {
        made->layer[made->layers++] = (struct graph_layer){
            .name = "(score)", .kind = LAYER_DOT, .input = {named[0], named[1]}};
        made->output[made->outputs++] = "(score)";
    }
    for (uint32_t i = 0; i < n; i++)
        made->output[made->outputs++] = named[i];
    return 0;
}

static int add_graph(struct making *making, struct err *err)
{
    const struct job *job = making->job;
    int rc = 0;

    if (job->model.layers == 0)
        return err_set(err, ERR_INPUT,
                       "model.kind is graph, but model.layers has no layer");
    for (int i = 0; rc == 0 && i < job->model.layers; i++)
        rc = add_layer(making, i, err);
    if (rc == 0)
        rc = blueprint_find_target(making, err);
    return rc ? rc : add_outputs(making, err);
}

/* Matrix factorisation: user, then item. */
static int add_factors(struct making *making, const char *name, struct err *err)
{
    const struct job *job = making->job;
    struct blueprint_input *input = &making->made->input[making->made->inputs++];
    int column[JOB_COLUMNS_MAX], keys = job_key_columns(job, column);

    *input = (struct blueprint_input){.kind = LAYER_ROWS, .steps = 1};
    input->table = job_table_index(job, name);
    for (int k = 0; k < keys; k++)
        if (!strcmp(job->data.column[column[k]].table, name))
            input->column[input->columns++] = column[k];
    if (input->table < 0 || input->columns != 1)
        return err_set(err, ERR_INPUT,
                       "table '%s' is not one with one key column in data.columns",
                       name);
    input->width = job_row_width(job, input->table);
    blueprint_count_keys(making->made);
    return 0;
}

/* --- parameters ------------------------------------------------------------------- */

/* The table of a parameter: "deep1", or for running means "norm1-running". */
static void table_name(const struct graph_parameter *parameter, char *name)
{
    size_t length = strcspn(parameter->name, ".");

    snprintf(name, JOB_NAME_MAX, "%.*s%s", (int)length, parameter->name,
             parameter->statistic ? "-running" : "");
}

static bool is_used(const struct blueprint *made, int table)
{
    if (made->keys[table])
        return true;
    for (int i = 0; i < made->job->data.columns; i++)
        if (!strcmp(made->job->data.column[i].table, made->job->table[table].name))
            return true;
    return false;
}

static int find_parameter(struct making *making,
                          const struct graph_parameter *parameter, struct err *err)
{
    struct blueprint *made = making->made;
    char name[JOB_NAME_MAX];
    const struct job_table *t;
    int table;

    table_name(parameter, name);
    table = job_table_index(making->job, name);
    if (table < 0)
        return err_set(err, ERR_INPUT,
                       "there is no table '%s' for the parameters of the layer", name);
    t = &making->job->table[table];
#ifndef MUTANT_PARAMETER_TABLE
    if (is_used(made, table) || made->whole[table])
        return err_set(err, ERR_INPUT,
                       "the layer and the table '%s' have the same name, but the table "
                       "is one of keys; expected another name for the layer",
                       name);
#endif
#ifndef MUTANT_PARAMETER_SHAPE
    if (t->rows != parameter->rows || t->dim != parameter->columns || t->bias)
        return err_set(
            err, ERR_INPUT,
            "table '%s' has %lld rows of %lld numbers, but the parameters of "
            "the layer are %u rows of %u",
            name, (long long)t->rows, (long long)t->dim + t->bias, parameter->rows,
            parameter->columns);
#endif
    made->whole[table] = true;
    made->parameter_table[made->parameters++] = table;
    return 0;
}

/* A graph for one example, just to see its shapes. */
static int draft_graph(const struct blueprint *made, struct graph **graph,
                       struct err *err)
{
    int rc = blueprint_graph(made, 1, true, graph, err);

    return rc ? err_prefix(err, "model.layers") : 0;
}

static int find_parameters(struct making *making, struct err *err)
{
    struct graph *graph;
    int rc = draft_graph(making->made, &graph, err);

    if (rc)
        return rc;
    rc = blueprint_check_output(making->made, graph, err);
    if (rc == 0 && graph_parameters(graph) > JOB_TABLES_MAX)
        rc = err_set(err, ERR_INPUT, "the model has %u parameters, at most %d go",
                     graph_parameters(graph), JOB_TABLES_MAX);
    for (uint32_t i = 0; rc == 0 && i < graph_parameters(graph); i++)
        rc = find_parameter(making, graph_parameter(graph, i), err);
    graph_destroy(graph);
    return rc;
}

/* --- the whole -------------------------------------------------------------------- */

/* All but the parameters. */
static int make_layers(const struct job *job, struct blueprint **out, struct err *err)
{
    struct making making = {.job = job, .made = calloc(1, sizeof *making.made)};
    int rc;

    if (!making.made)
        return err_set(err, ERR_MEMORY, "no memory for a model");
    making.made->job = job;
    making.made->group = job_group(job);
    making.made->classes = 1;
    if (job->data.group[0] && (job->model.kind == MODEL_MF || !job->model.target[0])) {
        rc = err_set(
            err, ERR_INPUT,
            "data.group is set, but it needs model.kind graph, autoencoder or multdae, "
            "and a key column as model.target");
    } else if (job->model.kind == MODEL_MF) {
        rc = add_factors(&making, job->model.user, err);
        if (rc == 0)
            rc = add_factors(&making, job->model.item, err);
    } else {
        rc = add_graph(&making, err);
    }
    if (rc) {
        free(making.made);
        return rc;
    }
    *out = making.made;
    return 0;
}

/* Items of other examples have no columns of this one. */
static int check_in_batch(const struct blueprint *made, struct err *err)
{
    const struct job *job = made->job;

    if (job->model.kind == MODEL_MF || job->train.negatives_by != NEGATIVES_BATCH ||
        blueprint_is_product(made))
        return 0;
    return err_set(
        err, ERR_INPUT,
        "train.negatives_by is batch, but the model's score is not the inner "
        "product of a layer of the user and one of the item alone, which "
        "model.output can name");
}

int blueprint_make(const struct job *job, struct blueprint **out, struct err *err)
{
    struct making making = {.job = job};
    int rc = make_layers(job, &making.made, err);

    if (rc == 0 && job->model.kind != MODEL_MF)
        rc = find_parameters(&making, err);
    if (rc == 0)
        rc = check_in_batch(making.made, err);
    if (rc) {
        free(making.made);
        return rc;
    }
    *out = making.made;
    return 0;
}

void blueprint_destroy(struct blueprint *blueprint)
{
    free(blueprint);
}

int blueprint_graph(const struct blueprint *blueprint, uint32_t capacity, bool training,
                    struct graph **graph, struct err *err)
{
    return graph_create(graph, blueprint->layer, blueprint->layers, blueprint->output,
                        blueprint->outputs, capacity, training, err);
}

static int set(struct job *job, const char *table, const char *what, const char *value,
               struct err *err)
{
    char name[2 * JOB_NAME_MAX];

    snprintf(name, sizeof name, "tables.%s.%s", table, what);
    return job_set(job, name, value, "model", err);
}

/* First values as Glorot and Bengio 2010 have them; zeros where nothing comes in. */
static int set_first_values(struct job *job, const char *table,
                            const struct graph_parameter *parameter, struct err *err)
{
    double fans = (double)parameter->fan_in + parameter->fan_out;
    char scale[32];

    if (fans == 0)
        return set(job, table, "init", "zero", err);
    snprintf(scale, sizeof scale, "%.9g", sqrt(6 / fans));
    return set(job, table, "init", "uniform", err) ||
                   set(job, table, "scale", scale, err)
               ? -err->code
               : 0;
}

int blueprint_set_adding(struct job *job, const char *table, struct err *err)
{
    static const char *const setting[][2] = {
        {"optimizer.kind", "add"},
        {"optimizer.l1", "0"},
        {"optimizer.l2", "0"},
        {"optimizer.decay", "0"},
        {"optimizer.clip", "0"},
        {"optimizer.clip_norm", "0"},
        {"optimizer.max_norm", "0"},
        {"optimizer.warmup", "0"},
        {"optimizer.schedule", "constant"},
        {"optimizer.schedule_steps", "0"},
        {"optimizer.stale_rate", "same"},
        {"optimizer.compensate", "0"},
    };
    int rc = 0;

    for (size_t i = 0; rc == 0 && i < sizeof setting / sizeof *setting; i++)
        rc = set(job, table, setting[i][0], setting[i][1], err);
    return rc;
}

static int add_table(struct job *job, const struct blueprint *made,
                     const struct graph_parameter *parameter, struct err *err)
{
    char name[JOB_NAME_MAX], number[32];
    int table, rc;

    table_name(parameter, name);
    table = job_table_index(job, name);
    if (table >= 0 && (is_used(made, table) || job->table[table].rows))
        return 0; /* blueprint_make() says what is wrong with it, if anything is */
    snprintf(number, sizeof number, "%u", parameter->columns);
    rc = set(job, name, "dim", number, err);
    snprintf(number, sizeof number, "%u", parameter->rows);
    if (rc == 0)
        rc = set(job, name, "rows", number, err);
    if (rc == 0)
        rc = set_first_values(job, name, parameter, err);
    if (rc == 0 && parameter->statistic)
        return blueprint_set_adding(job, name, err);
    /* The job's penalty is one for rows of keys. */
    if (rc == 0 && (table < 0 || isnan(job->table[table].optimizer.l2)))
        rc = set(job, name, "optimizer.l2", "0", err);
    return rc;
}

int blueprint_expand(struct job *job, struct err *err)
{
    struct blueprint *made;
    struct graph *graph;
    int rc;

    if (job->model.kind == MODEL_MF)
        return 0;
    rc = make_layers(job, &made, err);
    if (rc)
        return rc;
    rc = draft_graph(made, &graph, err);
    if (rc == 0) {
        for (uint32_t i = 0; rc == 0 && i < graph_parameters(graph); i++)
            rc = add_table(job, made, graph_parameter(graph, i), err);
        graph_destroy(graph);
    }
    blueprint_destroy(made);
    return rc;
}

uint32_t blueprint_capacity(const struct blueprint *blueprint)
{
    return (uint32_t)blueprint->job->train.batch * blueprint->group;
}

uint64_t blueprint_rows(const struct blueprint *blueprint, int table, uint32_t examples)
{
    if (blueprint->whole[table])
        return (uint64_t)blueprint->job->table[table].rows;
    return (uint64_t)blueprint->keys[table] * examples;
}

#include "worker/blueprint.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/wording.h"

enum { BAG_KEYS = 64 }; /* of a list, where the job does not say how many */

struct making {
    const struct job *job;
    struct blueprint *made;
    uint32_t names;
};

static bool is_input(int kind)
{
    return kind == LAYER_ROWS || kind == LAYER_BAG || kind == LAYER_NUMBERS;
}

/* A place for a name that a description points to. */
static const char *keep_name(struct making *making, const char *name)
{
    char *kept = making->made->name[making->names++];

    snprintf(kept, JOB_NAME_MAX, "%s", name);
    return kept;
}

static int find_column(const struct job *job, const char *name)
{
    for (int i = 0; i < job->data.columns; i++)
        if (!strcmp(job->data.column[i].name, name))
            return i;
    return -1;
}

/* --- inputs ----------------------------------------------------------------------- */

static const char *kind_of_column(const struct job_column *column)
{
    static const char *const name[] = {
        [COLUMN_KEY] = "key",       [COLUMN_TITLE] = "title",   [COLUMN_KEYS] = "keys",
        [COLUMN_NUMBER] = "number", [COLUMN_VECTOR] = "vector", [COLUMN_TEXT] = "text",
        [COLUMN_TIME] = "time"};

    return name[column->as];
}

/* A list of keys, also as words of a text, or what a group has of a key. */
static bool is_list(const struct job *job, const struct job_column *column)
{
    return column->as == COLUMN_KEYS ||
           (column->as == COLUMN_TEXT && column->steps.words != WORDS_NONE) ||
           (job->data.group[0] && job_column_is_key(column) &&
            strcmp(column->name, job->data.group));
}

static bool is_key(const struct job_column *column)
{
    return column->as == COLUMN_KEY ||
           (column->as == COLUMN_NUMBER && column->steps.buckets > 0);
}

static bool is_number(const struct job_column *column)
{
    return column->as == COLUMN_VECTOR ||
           (column->as == COLUMN_NUMBER && column->steps.buckets == 0);
}

static int add_columns(const struct making *making, const struct job_layer *layer,
                       struct blueprint_input *input, struct err *err)
{
    const char *cursor = layer->columns;
    char name[JOB_NAME_MAX * 2];

    while (job_list_next(&cursor, name, sizeof name)) {
        int column = find_column(making->job, name);

        if (column < 0)
            return err_set(err, ERR_INPUT,
                           "model.layers.%s.columns has '%s', which is not in "
                           "data.columns",
                           layer->name, name);
        if (input->columns == JOB_COLUMNS_MAX)
            return err_set(err, ERR_INPUT,
                           "model.layers.%s.columns has more than %d columns",
                           layer->name, JOB_COLUMNS_MAX);
        input->column[input->columns++] = column;
    }
    if (input->columns == 0)
        return err_set(err, ERR_INPUT,
                       "model.layers.%s.columns is empty, expected what the input "
                       "takes of data.columns",
                       layer->name);
    return 0;
}

/* Do the columns go with the kind of the input? */
static int check_columns(const struct making *making, const struct job_layer *layer,
                         const struct blueprint_input *input, struct err *err)
{
    const struct job_column *first = &making->job->data.column[input->column[0]];

    for (uint32_t c = 0; c < input->columns; c++) {
        const struct job_column *column = &making->job->data.column[input->column[c]];
        bool fits = input->kind == LAYER_NUMBERS ? is_number(column)
                    : input->kind == LAYER_BAG
                        ? is_list(making->job, column)
                        : is_list(making->job, column) || is_key(column);

        if (!fits)
            return err_set(err, ERR_INPUT,
                           "model.layers.%s takes column '%s', which is as: %s; "
                           "expected %s",
                           layer->name, column->name, kind_of_column(column),
                           input->kind == LAYER_NUMBERS ? "a number or vector"
                           : input->kind == LAYER_BAG   ? "keys"
                                                        : "key or keys");
    }
    if (input->columns > 1 && input->kind != LAYER_NUMBERS &&
        is_list(making->job, first))
        return err_set(err, ERR_INPUT,
                       "model.layers.%s.columns has %u columns, expected one, because "
                       "'%s' is a list",
                       layer->name, input->columns, first->name);
    for (uint32_t c = 1; c < input->columns && input->kind == LAYER_ROWS; c++)
        if (is_list(making->job, &making->job->data.column[input->column[c]]))
            return err_set(err, ERR_INPUT,
                           "model.layers.%s.columns has lists and keys, expected one "
                           "list, or keys",
                           layer->name);
    return 0;
}

/* The table of an input's keys, the same for all of its columns. */
static int find_table(const struct making *making, const struct job_layer *layer,
                      struct blueprint_input *input, struct err *err)
{
    const struct job *job = making->job;
    const char *name = layer->table[0] ? layer->table
                                       : job->data.column[input->column[0]].table;

    for (uint32_t c = 1; c < input->columns && !layer->table[0]; c++)
        if (strcmp(job->data.column[input->column[c]].table, name))
            return err_set(err, ERR_INPUT,
                           "model.layers.%s has keys of the tables '%s' and '%s', "
                           "expected one; stack puts several inputs below each other",
                           layer->name, name, job->data.column[input->column[c]].table);
    input->table = job_table_index(job, name);
    if (input->table < 0)
        return err_set(err, ERR_INPUT,
                       "model.layers.%s takes rows of table '%s', but there is no such "
                       "table in tables",
                       layer->name, name);
    return 0;
}

/* Which floats of a row the input has. */
static int find_floats(const struct making *making, const struct job_layer *layer,
                       struct blueprint_input *input, struct err *err)
{
    uint32_t row = job_row_width(making->job, input->table);
    uint64_t end = (uint64_t)layer->first + (uint64_t)layer->width;

    if (layer->first >= row || end > row)
        return err_set(err, ERR_INPUT,
                       "model.layers.%s uses numbers %lld to %lld of a row of table "
                       "'%s', which has %u",
                       layer->name, (long long)layer->first + 1,
                       (long long)(layer->width ? (int64_t)end : layer->first + 1),
                       making->job->table[input->table].name, row);
    input->width = layer->width ? (uint32_t)layer->width : row - (uint32_t)layer->first;
    return 0;
}

/* How many keys an example has. */
static int find_length(const struct making *making, const struct job_layer *layer,
                       struct blueprint_input *input, struct err *err)
{
    const struct job_column *column = &making->job->data.column[input->column[0]];

    input->is_list = is_list(making->job, column);
    input->length = (uint32_t)layer->length;
    if (input->is_list && input->length == 0 && column->steps.make == MAKE_HISTORY)
        input->length = (uint32_t)column->steps.length;
    if (input->is_list && input->length == 0 && input->kind == LAYER_BAG)
        input->length = BAG_KEYS;
    if (input->is_list && input->length == 0)
        return err_set(err, ERR_INPUT,
                       "model.layers.%s.length is not set: it says how many keys of "
                       "the list '%s' are used",
                       layer->name, column->name);
    input->steps = input->kind == LAYER_BAG ? 1
                   : input->is_list         ? input->length
                                            : input->columns;
    return 0;
}

/* Inputs that differ in what they use of the rows only share their keys. */
static bool has_same_keys(const struct blueprint_input *a,
                          const struct blueprint_input *b)
{
    return a->kind == b->kind && a->table == b->table && a->columns == b->columns &&
           a->length == b->length &&
           memcmp(a->column, b->column, a->columns * sizeof *a->column) == 0;
}

static void count_keys(struct blueprint *made)
{
    uint32_t number = made->inputs - 1;
    struct blueprint_input *input = &made->input[number];

    input->same = 0;
    while (input->same < number && !has_same_keys(&made->input[input->same], input))
        input->same++;
    if (input->same == number)
        made->keys[input->table] += input->is_list ? input->length : input->columns;
}

static void count_numbers(const struct making *making, struct blueprint_input *input)
{
    input->table = -1;
    input->steps = 1;
    input->same = making->made->inputs - 1;
    for (uint32_t c = 0; c < input->columns; c++) {
        const struct job_column *column = &making->job->data.column[input->column[c]];

        input->width += column->as == COLUMN_VECTOR ? (uint32_t)column->dim : 1;
    }
}

static int add_input(struct making *making, const struct job_layer *layer,
                     struct err *err)
{
    struct blueprint_input *input = &making->made->input[making->made->inputs++];

    input->kind = (enum layer_kind)layer->kind;
    if (layer->inputs[0])
        return err_set(err, ERR_INPUT,
                       "model.layers.%s is an input, expected columns, no inputs",
                       layer->name);
    if (add_columns(making, layer, input, err) ||
        check_columns(making, layer, input, err))
        return -err->code;
    if (input->kind == LAYER_NUMBERS) {
        count_numbers(making, input);
        return 0;
    }
    if (find_table(making, layer, input, err) ||
        find_floats(making, layer, input, err) ||
        find_length(making, layer, input, err))
        return -err->code;
    count_keys(making->made);
    return 0;
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

    if (layer->columns[0] && !is_input(layer->kind))
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
    if (!is_input(layer->kind))
        return add_inputs(making, number, to, err);
    if (add_input(making, layer, err))
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

/* Is the target a layer? Then it is one of numbers. */
static int find_target_layer(struct making *making, bool *found, struct err *err)
{
    const struct job *job = making->job;
    struct blueprint *made = making->made;
    uint32_t inputs = 0;

    *found = false;
    for (int i = 0; i < job->model.layers; i++) {
        const struct job_layer *layer = &job->model.layer[i];

        if (strcmp(layer->name, job->model.target) == 0) {
            *found = true;
            made->target = TARGET_NUMBERS;
            made->target_input = inputs;
            return layer->kind == LAYER_NUMBERS
                       ? 0
                       : err_set(err, ERR_INPUT,
                                 "model.target is the layer '%s' of kind %s, expected "
                                 "an input of kind numbers, or a column",
                                 layer->name,
                                 layer_kind_name((enum layer_kind)layer->kind));
        }
        inputs += is_input(layer->kind);
    }
    return 0;
}

static int find_target(struct making *making, struct err *err)
{
    const struct job *job = making->job;
    struct blueprint *made = making->made;
    const struct job_column *column;
    bool found;
    int rc;

    if (!job->model.target[0])
        return 0;
    rc = find_target_layer(making, &found, err);
    if (rc || found)
        return rc;
    made->target_column = find_column(job, job->model.target);
    if (made->target_column < 0)
        return err_set(err, ERR_INPUT,
                       "model.target is '%s', expected one of data.columns or an input "
                       "of model.layers",
                       job->model.target);
    column = &job->data.column[made->target_column];
    if (!is_list(job, column) && !is_key(column))
        return err_set(
            err, ERR_INPUT,
            "model.target is the column '%s', which is as: %s; expected a key "
            "or keys",
            column->name, kind_of_column(column));
    made->target = is_list(job, column) ? TARGET_LIST : TARGET_CLASS;
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
        rc = find_target(making, err);
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
    count_keys(making->made);
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
    if (is_used(made, table) || made->whole[table])
        return err_set(err, ERR_INPUT,
                       "the layer and the table '%s' have the same name, but the table "
                       "is one of keys; expected another name for the layer",
                       name);
    if (t->rows != parameter->rows || t->dim != parameter->columns || t->bias)
        return err_set(
            err, ERR_INPUT,
            "table '%s' has %lld rows of %lld numbers, but the parameters of "
            "the layer are %u rows of %u",
            name, (long long)t->rows, (long long)t->dim + t->bias, parameter->rows,
            parameter->columns);
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

static struct graph_info info_of(const struct graph *graph, const char *name)
{
    struct graph_info info = graph_info(graph, 0);

    for (uint32_t i = 1; i < graph_layers(graph) && strcmp(info.name, name); i++)
        info = graph_info(graph, i);
    return info;
}

/* How many numbers the target asks the output for. */
static int count_classes(struct blueprint *made, struct err *err)
{
    const struct job *job = made->job;
    const struct job_column *column;
    int table;

    made->classes = 1;
    if (made->target == TARGET_LABEL)
        return 0;
    if (made->target == TARGET_NUMBERS) {
        made->classes = made->input[made->target_input].width;
        return 0;
    }
    column = &job->data.column[made->target_column];
    table = job_table_index(job, column->table);
    if (table < 0 || job->table[table].rows == 0)
        return err_set(
            err, ERR_INPUT,
            "model.target is the column '%s', whose table '%s' is not dense; "
            "expected one with tables.NAME.rows, as many as the output has "
            "numbers",
            column->name, column->table);
    if (job->table[table].rows > GRAPH_FLOATS_MAX)
        return err_set(
            err, ERR_INPUT,
            "model.target is the column '%s', whose table '%s' has %lld rows, "
            "at most %d are possible",
            column->name, column->table, (long long)job->table[table].rows,
            GRAPH_FLOATS_MAX);
    made->classes = (uint32_t)job->table[table].rows;
    return 0;
}

/* Losses compare one number with one label, or one key with all others. */
static int check_loss(const struct blueprint *made, struct err *err)
{
    int loss = made->job->model.loss;
    bool regression = loss == LOSS_SQUARED || loss == LOSS_ABSOLUTE ||
                      loss == LOSS_HUBER;

    if (made->target == TARGET_LABEL && loss == LOSS_SOFTMAX)
        return err_set(
            err, ERR_INPUT,
            "model.loss is softmax, but model.target is not set: it names the "
            "key column whose key is to be found");
    if (made->target == TARGET_CLASS && loss != LOSS_SOFTMAX)
        return err_set(err, ERR_INPUT,
                       "model.target is a key, expected model.loss softmax");
    if (made->target == TARGET_LIST && !regression && loss != LOSS_SOFTMAX)
        return err_set(err, ERR_INPUT,
                       "model.target is a list of keys, expected model.loss softmax, "
                       "squared, absolute or huber");
    if (made->target == TARGET_NUMBERS && !regression && loss != LOSS_LOGISTIC)
        return err_set(
            err, ERR_INPUT,
            "model.target is a layer of numbers, expected model.loss squared, "
            "absolute, huber or logistic");
    return 0;
}

static int check_output(struct blueprint *made, const struct graph *graph,
                        struct err *err)
{
    struct graph_info score = info_of(graph, made->output[0]);

    if (check_loss(made, err) || count_classes(made, err))
        return -err->code;
    if (score.steps != 1 || score.width != made->classes)
        return err_set(err, ERR_INPUT,
                       "layer '%s', the model's output, has the shape [%u][%u], "
                       "expected [1][%u]: %s",
                       score.name, score.steps, score.width, made->classes,
                       made->target == TARGET_LABEL
                           ? "the score"
                           : "as many numbers as model.target has");
    return 0;
}

static int find_parameters(struct making *making, struct err *err)
{
    struct graph *graph;
    int rc = draft_graph(making->made, &graph, err);

    if (rc)
        return rc;
    rc = check_output(making->made, graph, err);
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
    making.made->group = 1;
    making.made->classes = 1;
    if (job->data.group[0] && (job->model.kind == MODEL_MF || !job->model.target[0])) {
        rc = err_set(
            err, ERR_INPUT,
            "data.group is set, but it needs model.kind graph, and a key column "
            "as model.target");
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

int blueprint_make(const struct job *job, struct blueprint **out, struct err *err)
{
    struct making making = {.job = job};
    int rc = make_layers(job, &making.made, err);

    if (rc == 0 && job->model.kind != MODEL_MF)
        rc = find_parameters(&making, err);
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

/* Running means take what is pushed as it is, whatever the job's optimizer does. */
static int set_adding(struct job *job, const char *table, struct err *err)
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
        return set_adding(job, name, err);
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

/* --- single layers -----------------------------------------------------------------
 */

static int find_layer(const struct blueprint *blueprint, const char *name)
{
    for (uint32_t i = 0; i < blueprint->layers; i++)
        if (!strcmp(blueprint->layer[i].name, name))
            return (int)i;
    return -1;
}

int blueprint_watch(struct blueprint *blueprint, const char *layer, uint32_t *output,
                    struct err *err)
{
    const char *nearest = blueprint->layer[0].name;
    int found = find_layer(blueprint, layer);
    char shown[WORDING_SHOWN_MAX];

    for (uint32_t i = 1; found < 0 && i < blueprint->layers; i++)
        if (wording_distance(blueprint->layer[i].name, layer) <
            wording_distance(nearest, layer))
            nearest = blueprint->layer[i].name;
    if (found < 0)
        return err_set(err, ERR_INPUT,
                       "the model has no layer '%s'; the nearest name is '%s'",
                       wording_shown(layer, shown), nearest);
    for (*output = 0; *output < blueprint->outputs; ++*output)
        if (!strcmp(blueprint->output[*output], layer))
            return 0;
    blueprint->output[blueprint->outputs++] = blueprint->layer[found].name;
    return 0;
}

/* The number of an input layer among the inputs. */
static uint32_t input_number(const struct blueprint *blueprint, uint32_t layer)
{
    uint32_t number = 0;

    for (uint32_t i = 0; i < layer; i++)
        number += is_input(blueprint->layer[i].kind);
    return number;
}

static bool input_uses(const struct blueprint_input *input, const bool *column)
{
    for (uint32_t c = 0; c < input->columns; c++)
        if (column[input->column[c]])
            return true;
    return false;
}

/* seen[layers]: those that have been asked already. */
static bool layer_uses(const struct blueprint *blueprint, const char *name,
                       const bool *column, bool *seen)
{
    int i = find_layer(blueprint, name);
    const struct graph_layer *layer = &blueprint->layer[i < 0 ? 0 : i];

    if (i < 0 || seen[i])
        return false;
    seen[i] = true;
    if (is_input(layer->kind))
        return input_uses(&blueprint->input[input_number(blueprint, (uint32_t)i)],
                          column);
    for (uint32_t n = 0; n < GRAPH_INPUTS_MAX && layer->input[n]; n++)
        if (layer_uses(blueprint, layer->input[n], column, seen))
            return true;
    return false;
}

bool blueprint_layer_uses(const struct blueprint *blueprint, const char *layer,
                          const bool *column)
{
    bool seen[JOB_LAYERS_MAX + 1] = {false};

    return layer_uses(blueprint, layer, column, seen);
}

bool blueprint_is_product(const struct blueprint *blueprint)
{
    bool items[JOB_COLUMNS_MAX] = {false}, others[JOB_COLUMNS_MAX] = {false};

    if (blueprint->outputs != 3)
        return false;
    for (int c = 0; c < blueprint->job->data.columns; c++) {
        others[c] = !job_column_is_items(blueprint->job, c);
        items[c] = !others[c] || job_column_is_mixed(blueprint->job, c);
    }
    return !blueprint_layer_uses(blueprint, blueprint->output[1], items) &&
           !blueprint_layer_uses(blueprint, blueprint->output[2], others);
}

/* What the output of a model is compared with. */
#include <string.h>

#include "common/metrics.h"
#include "worker/blueprint_parts.h"

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
        inputs += blueprint_is_input(layer->kind);
    }
    return 0;
}

int blueprint_find_target(struct making *making, struct err *err)
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
    made->target_column = job_column_index(job, job->model.target);
    if (made->target_column < 0)
        return err_set(err, ERR_INPUT,
                       "model.target is '%s', expected one of data.columns or an input "
                       "of model.layers",
                       job->model.target);
    column = &job->data.column[made->target_column];
    if (!blueprint_is_list(job, column) && !blueprint_is_key(column))
        return err_set(
            err, ERR_INPUT,
            "model.target is the column '%s', which is as: %s; expected a key "
            "or keys",
            column->name, blueprint_column_kind(column));
    made->target = blueprint_is_list(job, column) ? TARGET_LIST : TARGET_CLASS;
    return 0;
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

/* Which rankings an output of many numbers can be asked for. */
static int check_protocol(const struct blueprint *made, struct err *err)
{
    const struct job *job = made->job;

    if (made->target == TARGET_LABEL || job->evaluate.protocol == PROTOCOL_SPLIT)
        return 0;
    if (made->target == TARGET_NUMBERS || job->evaluate.protocol != PROTOCOL_ALL)
        return err_set(
            err, ERR_INPUT, "model.target is '%s', expected evaluate.protocol split%s",
            job->model.target, made->target == TARGET_NUMBERS ? "" : " or all");
    if (metrics_has(job->evaluate.metrics, "coverage@"))
        return err_set(err, ERR_INPUT,
                       "evaluate.metrics has coverage, which models with model.target "
                       "do not have");
    return 0;
}

int blueprint_check_output(struct blueprint *made, const struct graph *graph,
                           struct err *err)
{
    struct graph_info score = info_of(graph, made->output[0]);

    if (check_loss(made, err) || check_protocol(made, err) || count_classes(made, err))
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

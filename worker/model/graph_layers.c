/* Layers of a graph that have parameters or bring rows, and activations: for each its
 * shape, then its computation. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "worker/model/graph_node.h"

/* --- checks ---------------------------------------------------------------------- */

static int check_width(const struct node *node, struct err *err)
{
    if (node->layer.width == 0)
        return err_set(err, ERR_INPUT, "layer '%s' (%s) has no width", node->name,
                       layer_kind_name(node->layer.kind));
    return 0;
}

static int check_epsilon(const struct node *node, struct err *err)
{
    float epsilon = node->layer.epsilon;

    if (isfinite(epsilon) && epsilon > 0)
        return 0;
    return err_set(err, ERR_INPUT, "layer '%s' (%s) has epsilon %g; it must be above 0",
                   node->name, layer_kind_name(node->layer.kind), (double)epsilon);
}

static int check_activation(const struct node *node, struct err *err)
{
    const struct graph_layer *layer = &node->layer;

    if ((int)layer->activation < 0 || layer->activation > ACTIVATION_SOFTMAX)
        return err_set(err, ERR_INPUT, "layer '%s' has an unknown activation",
                       node->name);
    if (layer->activation == ACTIVATION_LEAKY_RELU &&
        !(isfinite(layer->slope) && layer->slope > 0))
        return err_set(err, ERR_INPUT,
                       "layer '%s' (%s) has slope %g; leaky relu takes one above 0",
                       node->name, layer_kind_name(layer->kind), (double)layer->slope);
    return 0;
}

static int add_affine(struct graph *graph, struct node *node, uint32_t in, uint32_t out,
                      struct err *err)
{
    node->multiply_adds += (uint64_t)node->shape.steps * in * out;
    return node_add_parameter(
        graph, node, "weight",
        (struct graph_parameter){
            .rows = in + 1, .columns = out, .fan_in = in, .fan_out = out},
        err);
}

/* The slope of f is found from its value; of relu and its kin from the sign. */
static enum tolerance tolerance_of(enum activation activation)
{
    switch (activation) {
    case ACTIVATION_LINEAR:
    case ACTIVATION_GELU:
        return TOLERATES_ANYTHING;
    case ACTIVATION_RELU:
    case ACTIVATION_LEAKY_RELU:
        return TOLERATES_ZEROS;
    default:
        return TOLERATES_NOTHING;
    }
}

/* --- inputs ---------------------------------------------------------------------- */

static int compile_rows(struct graph *graph, struct node *node, struct err *err)
{
    (void)graph;
    node->shape = (struct shape){node->layer.steps, node->layer.width};
    if (node->shape.steps == 0 || node->layer.kind == LAYER_BAG)
        node->shape.steps = 1;
    node->learns = node->layer.kind != LAYER_NUMBERS;
    if (node->layer.kind == LAYER_NUMBERS)
        node->tolerates = TOLERATES_NOTHING;
    return check_width(node, err);
}

static struct layer_rows rows_from(const struct node *node,
                                   const struct graph_input *input)
{
    assert((uint64_t)node->layer.first + node->layer.width <= input->stride);
    return (struct layer_rows){.value = input->value + node->layer.first,
                               .pos = input->pos,
                               .stride = input->stride,
                               .dim = node->layer.width};
}

/* Rows that stand within a concat's or a stack's value and gradient, or alone. */
static struct layer_spread spread_of(const struct graph *graph, const struct node *node,
                                     const struct graph_batch *batch)
{
    const struct node *host;

    if (node->host == NODE_NONE)
        return (struct layer_spread){.group = node_batch_rows(node, batch)};
    host = &graph->node[node->host];
    if (host->layer.kind == LAYER_STACK)
        return (struct layer_spread){node->shape.steps, node_floats(host)};
    return (struct layer_spread){1, host->shape.width};
}

static void rows_forward(const struct graph *graph, const struct node *node,
                         const struct graph_batch *batch, bool training)
{
    const struct graph_input *input = &batch->input[node->inlet];
    float *y = node->host == NODE_NONE
                   ? node_own_value(graph, node)
                   : node_own_value(graph, &graph->node[node->host]) + node->place;

    (void)training;
    graph->k->rows_forward(rows_from(node, input), node_batch_rows(node, batch),
                           spread_of(graph, node, batch), y);
}

static void rows_backward(const struct graph *graph, const struct node *node,
                          const struct graph_batch *batch)
{
    const struct graph_input *input = &batch->input[node->inlet];
    const float *dy = node->host == NODE_NONE
                          ? node_gradient(graph, node)
                          : node_gradient(graph, &graph->node[node->host]) +
                                node->place;

    graph->k->rows_backward(rows_from(node, input), dy, node_batch_rows(node, batch),
                            spread_of(graph, node, batch),
                            input->gradient + node->layer.first);
}

static void bag_forward(const struct graph *graph, const struct node *node,
                        const struct graph_batch *batch, bool training)
{
    const struct graph_input *input = &batch->input[node->inlet];

    (void)training;
    graph->k->bag_forward(rows_from(node, input), input->offset, input->weight,
                          node->layer.mean, batch->n, node_own_value(graph, node));
}

static void bag_backward(const struct graph *graph, const struct node *node,
                         const struct graph_batch *batch)
{
    const struct graph_input *input = &batch->input[node->inlet];

    graph->k->bag_backward(rows_from(node, input), input->offset, input->weight,
                           node->layer.mean, node_gradient(graph, node), batch->n,
                           input->gradient + node->layer.first);
}

/* --- dense, cross, bias ---------------------------------------------------------- */

static int compile_dense(struct graph *graph, struct node *node, struct err *err)
{
    struct shape in = node_shape_in(graph, node, 0);
    int rc = check_width(node, err);

    if (rc == 0)
        rc = check_activation(node, err);
    if (rc)
        return rc;
    node->shape = (struct shape){in.steps, node->layer.width};
    node->tolerates = tolerance_of(node->layer.activation);
    if (node->layer.activation == ACTIVATION_GELU)
        node->scratch = node_floats(node);
    return add_affine(graph, node, in.width, node->layer.width, err);
}

static struct dense dense_of(const struct graph *graph, const struct node *node)
{
    return (struct dense){.in = node_shape_in(graph, node, 0).width,
                          .out = node->layer.width,
                          .activation = node->layer.activation,
                          .slope = node->layer.slope};
}

static void run_dense(const struct graph *graph, const struct node *node,
                      const struct graph_batch *batch, bool training)
{
    struct dense dense = dense_of(graph, node);

    (void)training;
    dense_forward(graph->k, &dense, node_value_in(graph, node, batch, 0),
                  batch->parameter[node->parameter], node_batch_rows(node, batch),
                  node_scratch(graph, node), node_own_value(graph, node));
}

static void back_dense(const struct graph *graph, const struct node *node,
                       const struct graph_batch *batch)
{
    struct dense dense = dense_of(graph, node);

    dense_backward(graph->k, &dense, node_value_in(graph, node, batch, 0),
                   batch->parameter[node->parameter], node_scratch(graph, node),
                   node_own_value(graph, node), node_batch_rows(node, batch),
                   node_gradient(graph, node), batch->gradient[node->parameter],
                   node_gradient_in(graph, node, 0));
}

static int compile_cross(struct graph *graph, struct node *node, struct err *err)
{
    int rc = node_check_equal(graph, node, err);

    if (rc)
        return rc;
    node->shape = node_shape_in(graph, node, 0);
    node->multiply_adds = node_floats(node);
    node->scratch = node_floats(node);
    return add_affine(graph, node, node->shape.width, node->shape.width, err);
}

static void run_cross(const struct graph *graph, const struct node *node,
                      const struct graph_batch *batch, bool training)
{
    (void)training;
    cross_forward(graph->k, node_value_in(graph, node, batch, 0),
                  node_value_in(graph, node, batch, node->inputs - 1),
                  batch->parameter[node->parameter], node_batch_rows(node, batch),
                  node->shape.width, node_scratch(graph, node),
                  node_own_value(graph, node));
}

static void back_cross(const struct graph *graph, const struct node *node,
                       const struct graph_batch *batch)
{
    uint32_t x = node->inputs - 1;

    cross_backward(graph->k, node_value_in(graph, node, batch, 0),
                   node_value_in(graph, node, batch, x),
                   batch->parameter[node->parameter], node_gradient(graph, node),
                   node_batch_rows(node, batch), node->shape.width,
                   node_scratch(graph, node), batch->gradient[node->parameter],
                   node_gradient_in(graph, node, 0), node_gradient_in(graph, node, x));
}

static int compile_bias(struct graph *graph, struct node *node, struct err *err)
{
    node_compile_same(graph, node, err);
    return node_add_parameter(
        graph, node, "bias",
        (struct graph_parameter){.rows = 1, .columns = node->shape.width}, err);
}

static void run_bias(const struct graph *graph, const struct node *node,
                     const struct graph_batch *batch, bool training)
{
    float *y = node_own_value(graph, node);

    (void)training;
    graph->k->fill(batch->parameter[node->parameter], node_batch_rows(node, batch),
                   node->shape.width, y);
    graph->k->add(node_value_in(graph, node, batch, 0), node_batch_floats(node, batch),
                  y);
}

static void back_bias(const struct graph *graph, const struct node *node,
                      const struct graph_batch *batch)
{
    const float *dy = node_gradient(graph, node);
    float *dx = node_gradient_in(graph, node, 0);

    graph->k->add_rows(dy, node_batch_rows(node, batch), node->shape.width,
                       batch->gradient[node->parameter]);
    if (dx)
        graph->k->add(dy, node_batch_floats(node, batch), dx);
}

/* --- activation and dropout ------------------------------------------------------ */

/* The slope of gelu is found from x, so x must stay. */
static int compile_activation(struct graph *graph, struct node *node, struct err *err)
{
    node_compile_same(graph, node, err);
    node->tolerates = tolerance_of(node->layer.activation);
    if (node->layer.activation != ACTIVATION_GELU)
        node_take_place(graph, node, TOLERATES_ANYTHING);
    return check_activation(node, err);
}

static bool is_in_place(const struct graph *graph, const struct node *node)
{
    return node->root != (uint32_t)(node - graph->node);
}

/* The value, and in it a copy of the input. */
static float *value_with_input(const struct graph *graph, const struct node *node,
                               const struct graph_batch *batch)
{
    float *y = graph->arena + graph->node[node->root].value_at;

    if (!is_in_place(graph, node))
        memcpy(y, node_value_in(graph, node, batch, 0),
               node_batch_floats(node, batch) * sizeof *y);
    return y;
}

static void run_activation(const struct graph *graph, const struct node *node,
                           const struct graph_batch *batch, bool training)
{
    (void)training;
    graph->k->activate(node->layer.activation, node->layer.slope,
                       node_batch_rows(node, batch), node->shape.width,
                       value_with_input(graph, node, batch));
}

static void back_activation(const struct graph *graph, const struct node *node,
                            const struct graph_batch *batch)
{
    float *dy = node_gradient(graph, node);

    graph->k->activation_through(node->layer.activation, node->layer.slope,
                                 node_value_in(graph, node, batch, 0),
                                 node_value(graph, node, batch),
                                 node_batch_rows(node, batch), node->shape.width, dy);
    if (!is_in_place(graph, node))
        graph->k->add(dy, node_batch_floats(node, batch),
                      node_gradient_in(graph, node, 0));
}

static int compile_dropout(struct graph *graph, struct node *node, struct err *err)
{
    float rate = node->layer.rate;

    if (!(rate >= 0 && rate < 1))
        return err_set(err, ERR_INPUT,
                       "layer '%s' (dropout) has rate %g; it must be from 0 to below 1",
                       node->name, (double)rate);
    node_take_place(graph, node, TOLERATES_ZEROS);
    return node_compile_same(graph, node, err);
}

/* Its random numbers are a stream of their own, in which each example has its place. */
static uint64_t stream_of(const struct graph *graph, const struct node *node)
{
    return (uint64_t)(node - graph->node);
}

static uint64_t first_of(const struct node *node, const struct graph_batch *batch)
{
    return (uint64_t)batch->first * node_floats(node);
}

static void run_dropout(const struct graph *graph, const struct node *node,
                        const struct graph_batch *batch, bool training)
{
    float *y = value_with_input(graph, node, batch);

    if (training)
        graph->k->dropout(node_batch_floats(node, batch), node->layer.rate, batch->seed,
                          stream_of(graph, node), first_of(node, batch), y);
}

static void back_dropout(const struct graph *graph, const struct node *node,
                         const struct graph_batch *batch)
{
    float *dy = node_gradient(graph, node);
    size_t n = node_batch_floats(node, batch);
    uint64_t stream = stream_of(graph, node), first = first_of(node, batch);

    if (is_in_place(graph, node))
        graph->k->dropout(n, node->layer.rate, batch->seed, stream, first, dy);
    else
        graph->k->dropout_backward(dy, n, node->layer.rate, batch->seed, stream, first,
                                   node_gradient_in(graph, node, 0));
}

/* --- norms ----------------------------------------------------------------------- */

static int compile_layer_norm(struct graph *graph, struct node *node, struct err *err)
{
    int rc = check_epsilon(node, err);

    if (rc)
        return rc;
    node_compile_same(graph, node, err);
    node->multiply_adds *= 4;
    node->scratch = 2 * node->shape.steps;
    return node_add_parameter(
        graph, node, "norm",
        (struct graph_parameter){.rows = 2, .columns = node->shape.width}, err);
}

static void run_layer_norm(const struct graph *graph, const struct node *node,
                           const struct graph_batch *batch, bool training)
{
    const float *gain = batch->parameter[node->parameter];
    uint32_t rows = node_batch_rows(node, batch), width = node->shape.width;
    float *mean = node_scratch(graph, node);

    (void)training;
    graph->k->layer_norm_forward(node_value_in(graph, node, batch, 0), gain,
                                 gain + width, rows, width, node->layer.epsilon, mean,
                                 mean + rows, node_own_value(graph, node));
}

static void back_layer_norm(const struct graph *graph, const struct node *node,
                            const struct graph_batch *batch)
{
    float *dgain = batch->gradient[node->parameter],
          *dx = node_gradient_in(graph, node, 0);
    uint32_t rows = node_batch_rows(node, batch), width = node->shape.width;
    const float *mean = node_scratch(graph, node);

    graph->k->layer_norm_backward(
        node_value_in(graph, node, batch, 0), batch->parameter[node->parameter], mean,
        mean + rows, node_gradient(graph, node), rows, width, dgain, dgain + width, dx);
}

enum {
    BATCH_MEAN,
    BATCH_RSTD,
    BATCH_VARIANCE,
    BATCH_SUMS,
    BATCH_ROWS = BATCH_SUMS + 2
};

static int compile_batch_norm(struct graph *graph, struct node *node, struct err *err)
{
    struct graph_parameter parameter = {.rows = 2};
    float momentum = node->layer.momentum;
    int rc = check_epsilon(node, err);

    if (rc)
        return rc;
    if (!(momentum >= 0 && momentum <= 1))
        return err_set(
            err, ERR_INPUT,
            "layer '%s' (batch_norm) has momentum %g; it must be from 0 to 1",
            node->name, (double)momentum);
    node_compile_same(graph, node, err);
    node->multiply_adds *= 4;
    node->scratch_fixed = BATCH_ROWS * node->shape.width;
    parameter.columns = node->shape.width;
    rc = node_add_parameter(graph, node, "norm", parameter, err);
    parameter.statistic = true;
    return rc ? rc : node_add_parameter(graph, node, "running", parameter, err);
}

static void run_batch_norm(const struct graph *graph, const struct node *node,
                           const struct graph_batch *batch, bool training)
{
    const float *gain = batch->parameter[node->parameter];
    const float *running = batch->parameter[node->parameter + 1];
    const float *x = node_value_in(graph, node, batch, 0);
    uint32_t rows = node_batch_rows(node, batch), width = node->shape.width;
    float *mean = node_scratch(graph, node), *rstd = mean + (size_t)BATCH_RSTD * width;
    float *variance = mean + (size_t)BATCH_VARIANCE * width;

    if (training)
        graph->k->batch_statistics(x, rows, width, mean, variance);
    for (uint32_t j = 0; j < width; j++) {
        float v = training ? variance[j] : 1 + running[width + j];

        if (!training)
            mean[j] = running[j];
        rstd[j] = 1 / sqrtf((v < 0 ? 0 : v) + node->layer.epsilon);
    }
    graph->k->batch_norm_forward(x, mean, rstd, gain, gain + width, rows, width,
                                 node_own_value(graph, node));
}

/* What brings the running statistics nearer to the batch's. */
static void move_running(const struct node *node, const struct graph_batch *batch,
                         const float *mean, const float *variance)
{
    const float *running = batch->parameter[node->parameter + 1];
    float *change = batch->gradient[node->parameter + 1];
    uint32_t rows = node_batch_rows(node, batch), width = node->shape.width;
    float unbiased = (float)rows / (float)(rows - 1);

    for (uint32_t j = 0; j < width; j++) {
        float v = variance[j] * unbiased - 1;

        change[j] += node->layer.momentum * (mean[j] - running[j]);
        change[width + j] += node->layer.momentum * (v - running[width + j]);
    }
}

static void back_batch_norm(const struct graph *graph, const struct node *node,
                            const struct graph_batch *batch)
{
    float *dgain = batch->gradient[node->parameter];
    uint32_t rows = node_batch_rows(node, batch), width = node->shape.width;
    float *mean = node_scratch(graph, node), *sums = mean + (size_t)BATCH_SUMS * width;
    const float *rstd = mean + (size_t)BATCH_RSTD * width;

    graph->k->batch_norm_backward(node_value_in(graph, node, batch, 0), mean, rstd,
                                  batch->parameter[node->parameter],
                                  node_gradient(graph, node), rows, width, sums,
                                  node_gradient_in(graph, node, 0));
    graph->k->add(sums + width, width, dgain);
    graph->k->add(sums, width, dgain + width);
    if (rows > 1) /* one row has no variance */
        move_running(node, batch, mean, mean + (size_t)BATCH_VARIANCE * width);
}

const struct layer_type type_rows = {"rows",       0, 0, compile_rows, rows_forward,
                                     rows_backward};
const struct layer_type type_bag = {"bag",        0,           0,
                                    compile_rows, bag_forward, bag_backward};
const struct layer_type type_numbers = {"numbers", 0, 0, compile_rows, NULL, NULL};
const struct layer_type type_dense = {"dense",       1,         1,
                                      compile_dense, run_dense, back_dense};
const struct layer_type type_cross = {"cross",       1,         2,
                                      compile_cross, run_cross, back_cross};
const struct layer_type type_bias = {"bias", 1, 1, compile_bias, run_bias, back_bias};
const struct layer_type type_activation = {
    "activation", 1, 1, compile_activation, run_activation, back_activation};
const struct layer_type type_dropout = {"dropout",       1,           1,
                                        compile_dropout, run_dropout, back_dropout};
const struct layer_type type_layer_norm = {
    "layer_norm", 1, 1, compile_layer_norm, run_layer_norm, back_layer_norm};
const struct layer_type type_batch_norm = {
    "batch_norm", 1, 1, compile_batch_norm, run_batch_norm, back_batch_norm};

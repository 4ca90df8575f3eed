#include "worker/model/graph.h"

#include <assert.h>
#include <string.h>

#include "worker/model/graph_node.h"

const struct layer_type *layer_type(enum layer_kind kind)
{
    static const struct layer_type *const types[LAYER_KINDS] = {
        [LAYER_ROWS] = &type_rows,
        [LAYER_BAG] = &type_bag,
        [LAYER_NUMBERS] = &type_numbers,
        [LAYER_DENSE] = &type_dense,
        [LAYER_CROSS] = &type_cross,
        [LAYER_BIAS] = &type_bias,
        [LAYER_ACTIVATION] = &type_activation,
        [LAYER_CONCAT] = &type_concat,
        [LAYER_STACK] = &type_stack,
        [LAYER_FLATTEN] = &type_flatten,
        [LAYER_ADD] = &type_add,
        [LAYER_MULTIPLY] = &type_multiply,
        [LAYER_DOT] = &type_dot,
        [LAYER_PAIRS] = &type_pairs,
        [LAYER_FM] = &type_fm,
        [LAYER_POOL] = &type_pool,
        [LAYER_LAYER_NORM] = &type_layer_norm,
        [LAYER_BATCH_NORM] = &type_batch_norm,
        [LAYER_DROPOUT] = &type_dropout,
    };

    return types[kind];
}

const char *layer_kind_name(enum layer_kind kind)
{
    return layer_type(kind)->name;
}

uint32_t graph_inputs(const struct graph *graph)
{
    return graph->inputs;
}

uint32_t graph_layers(const struct graph *graph)
{
    return graph->nodes;
}

struct graph_info graph_info(const struct graph *graph, uint32_t i)
{
    const struct node *node = &graph->node[i];
    struct graph_info info = {.name = node->name,
                              .kind = node->layer.kind,
                              .steps = node->shape.steps,
                              .width = node->shape.width,
                              .multiply_adds = node->multiply_adds};

    for (uint32_t p = node->parameter; p < node->parameter + node->parameters; p++)
        info.weights += (uint64_t)graph->parameter[p].rows *
                        graph->parameter[p].columns;
    return info;
}

uint32_t graph_parameters(const struct graph *graph)
{
    return graph->parameters;
}

const struct graph_parameter *graph_parameter(const struct graph *graph, uint32_t i)
{
    return &graph->parameter[i];
}

uint64_t graph_bytes(const struct graph *graph)
{
    return graph->floats * sizeof *graph->arena;
}

static void zero_gradient(const struct graph *graph, const struct node *node,
                          const struct graph_batch *batch)
{
    float *gradient = node_gradient(graph, node);

    if (gradient)
        memset(gradient, 0, node_batch_floats(node, batch) * sizeof *gradient);
}

void graph_forward(struct graph *graph, const struct graph_batch *batch, bool training)
{
    assert(batch->n >= 1 && batch->n <= graph->capacity);
    assert(graph->training || !training);
    for (uint32_t i = 0; i < graph->nodes; i++) {
        const struct node *node = &graph->node[i];
        const struct layer_type *type = layer_type(node->layer.kind);

        if (type->forward)
            type->forward(graph, node, batch, training);
    }
    if (!training)
        return;
    for (uint32_t i = 0; i < graph->outputs; i++)
        zero_gradient(graph, &graph->node[graph->output[i]], batch);
}

const float *graph_value(const struct graph *graph, const struct graph_batch *batch,
                         uint32_t i)
{
    return node_value(graph, &graph->node[graph->output[i]], batch);
}

float *graph_gradient(struct graph *graph, uint32_t i)
{
    return node_gradient(graph, &graph->node[graph->output[i]]);
}

uint32_t graph_output_width(const struct graph *graph, uint32_t i)
{
    return (uint32_t)node_floats(&graph->node[graph->output[i]]);
}

/* Gradients that this node is the first to add to. */
static void begin_gradients(const struct graph *graph, uint32_t at,
                            const struct graph_batch *batch)
{
    const struct node *node = &graph->node[at];

    for (uint32_t i = 0; i < node->inputs; i++) {
        const struct node *root = &graph->node[node_source(graph, node, i)->root];

        if (root->last_use == at && !root->is_output)
            zero_gradient(graph, root, batch);
    }
}

void graph_backward(struct graph *graph, const struct graph_batch *batch)
{
    assert(graph->training);
    for (uint32_t i = graph->nodes; i-- > 0;) {
        const struct node *node = &graph->node[i];
        const struct layer_type *type = layer_type(node->layer.kind);

        begin_gradients(graph, i, batch);
        if (type->backward && node->learns)
            type->backward(graph, node, batch);
    }
}

bool graph_may_slice(const struct graph *graph)
{
    for (uint32_t i = 0; i < graph->nodes; i++)
        if (graph->node[i].layer.kind == LAYER_BATCH_NORM)
            return false;
    return true;
}

struct graph_batch graph_slice(const struct graph *graph,
                               const struct graph_batch *whole, uint32_t first,
                               uint32_t n, struct graph_input *input)
{
    struct graph_batch slice = *whole;

    for (uint32_t i = 0; i < graph->nodes; i++) {
        const struct node *node = &graph->node[i];
        struct graph_input *in = &input[node->inlet];

        if (node->inputs > 0)
            continue;
        *in = whole->input[node->inlet];
        if (node->layer.kind == LAYER_NUMBERS)
            in->value += (size_t)first * node_floats(node);
        else if (node->layer.kind == LAYER_BAG)
            in->offset += first;
        else
            in->pos += (size_t)first * node->shape.steps;
    }
    slice.n = n;
    slice.first = first;
    slice.input = input;
    return slice;
}

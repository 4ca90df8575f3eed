/* Inside of a graph, for graph*.c only. */
#ifndef ROWHOUSE_WORKER_MODEL_GRAPH_NODE_H
#define ROWHOUSE_WORKER_MODEL_GRAPH_NODE_H

#include <stddef.h>

#include "worker/model/graph.h"

#define NODE_NONE UINT32_MAX

enum { NODE_PARAMETERS_MAX = 4 };

struct shape {
    uint32_t steps, width;
};

/* What becomes of a value in its place without its node's backward noticing. */
enum tolerance {
    TOLERATES_NOTHING,
    TOLERATES_ZEROS, /* where the gradient is zero, too, and signs stay */
    TOLERATES_ANYTHING,
};

/* A compiled layer. Places are in floats from the beginning of the arena. */
struct node {
    struct graph_layer layer; /* as described; name and input[] are not to be used */
    char name[GRAPH_NAME_MAX];
    uint32_t inputs;
    uint32_t input[GRAPH_INPUTS_MAX]; /* nodes before this one */
    struct shape shape;
    uint32_t root;    /* in whose place the value is; mostly its own */
    uint32_t readers; /* inputs of other nodes that it is */
    enum tolerance tolerates;
    uint32_t last_use;  /* the last node that reads the value, by any view */
    uint32_t host;      /* rows: within whose value they stand, or NODE_NONE */
    uint32_t place;     /* and from which float of it on */
    uint32_t born;      /* the first node that writes to the value; mostly itself */
    uint32_t inlet;     /* index into graph_batch.input */
    uint32_t parameter; /* its first one */
    uint32_t parameters;
    bool is_output;
    bool learns; /* something before it, or in it, has a gradient */
    uint64_t multiply_adds;
    uint32_t scratch;       /* floats an example that the backward wants, */
    uint32_t scratch_fixed; /* and of a batch */
    size_t value_at, gradient_at, scratch_at;
};

struct graph {
    const struct layer_kernels *k;
    struct node *node; /* [nodes], in the order of computation */
    uint32_t nodes, inputs;
    uint32_t *output; /* [outputs]: nodes */
    uint32_t outputs;
    struct graph_parameter *parameter;
    uint32_t parameters;
    uint32_t capacity;
    bool training;
    float *arena; /* 64-byte aligned */
    size_t floats;
};

/* How a kind is checked and computed. */
struct layer_type {
    const char *name;
    uint32_t inputs_min, inputs_max;
    /* Sets shape, costs, scratch and parameters from the inputs' shapes. */
    int (*compile)(struct graph *graph, struct node *node, struct err *err);
    /* NULL: nothing to do. */
    void (*forward)(const struct graph *graph, const struct node *node,
                    const struct graph_batch *batch, bool training);
    /* Adds to the gradients of those inputs that learn, and of what the node has. */
    void (*backward)(const struct graph *graph, const struct node *node,
                     const struct graph_batch *batch);
};

const struct layer_type *layer_type(enum layer_kind kind);

extern const struct layer_type type_rows, type_bag, type_numbers, type_dense,
    type_cross, type_bias, type_activation, type_concat, type_stack, type_flatten,
    type_add, type_multiply, type_dot, type_pairs, type_fm, type_pool, type_layer_norm,
    type_batch_norm, type_dropout;

static inline uint32_t node_floats(const struct node *node)
{
    return node->shape.steps * node->shape.width;
}

/* Of a batch: floats of a value of the node's shape, and its rows. */
static inline size_t node_batch_floats(const struct node *node,
                                       const struct graph_batch *batch)
{
    return (size_t)batch->n * node_floats(node);
}

static inline uint32_t node_batch_rows(const struct node *node,
                                       const struct graph_batch *batch)
{
    return batch->n * node->shape.steps;
}

/* The value, wherever it is, and its gradient; NULL: nobody wants it, or it is within a
 * host's. */
static inline const float *node_value(const struct graph *graph,
                                      const struct node *node,
                                      const struct graph_batch *batch)
{
    const struct node *root = &graph->node[node->root];

    return root->layer.kind == LAYER_NUMBERS ? batch->input[root->inlet].value
                                             : graph->arena + root->value_at;
}

static inline float *node_gradient(const struct graph *graph, const struct node *node)
{
    const struct node *root = &graph->node[node->root];

    return root->learns && root->host == NODE_NONE ? graph->arena + root->gradient_at
                                                   : NULL;
}

/* Where the node itself writes. */
static inline float *node_own_value(const struct graph *graph, const struct node *node)
{
    return graph->arena + node->value_at;
}

static inline float *node_scratch(const struct graph *graph, const struct node *node)
{
    return graph->arena + node->scratch_at;
}

/* The same of input i. */
static inline const struct node *node_source(const struct graph *graph,
                                             const struct node *node, uint32_t i)
{
    return &graph->node[node->input[i]];
}

static inline struct shape node_shape_in(const struct graph *graph,
                                         const struct node *node, uint32_t i)
{
    return node_source(graph, node, i)->shape;
}

static inline const float *node_value_in(const struct graph *graph,
                                         const struct node *node,
                                         const struct graph_batch *batch, uint32_t i)
{
    return node_value(graph, node_source(graph, node, i), batch);
}

static inline float *node_gradient_in(const struct graph *graph,
                                      const struct node *node, uint32_t i)
{
    return node_gradient(graph, node_source(graph, node, i));
}

/* -ERR_INPUT unless all inputs have one shape. */
int node_check_equal(const struct graph *graph, const struct node *node,
                     struct err *err);
/* Lets the node compute in the place of its only input, if nobody else wants what is
 * there and its node tolerates it. */
void node_take_place(const struct graph *graph, struct node *node,
                     enum tolerance needed);
/* Takes over the input's shape, at one operation a number. Returns 0. */
int node_compile_same(struct graph *graph, struct node *node, struct err *err);

/* Adds a parameter to the node under compilation, the next of at most
 * NODE_PARAMETERS_MAX. -ERR_INPUT: it is too large. */
int node_add_parameter(struct graph *graph, struct node *node, const char *suffix,
                       struct graph_parameter parameter, struct err *err);

/* Places everything in one arena, what is not needed at the same time at the same
 * place, and allocates it. -ERR_MEMORY. */
int graph_place(struct graph *graph, struct err *err);

#endif

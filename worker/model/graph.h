/* A model as a graph of named layers: described by a plain list, checked and compiled
 * once, then run batch by batch without allocating. Every example's value at a layer is
 * a matrix [steps][width]; mostly there is one step.
 *
 * Weights are not in here. Each parameter is a matrix that the caller has (the rows of
 * a dense table) and each input brings the rows of its table; gradients are added to
 * arrays of the same shapes, which the caller zeroes. One thread at a time. */
#ifndef ROWHOUSE_WORKER_MODEL_GRAPH_H
#define ROWHOUSE_WORKER_MODEL_GRAPH_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/rng.h"
#include "worker/model/layer.h"

enum {
    GRAPH_NAME_MAX = 64, /* with its '\0' */
    GRAPH_LAYERS_MAX = 256,
    GRAPH_INPUTS_MAX = 64,        /* of one layer */
    GRAPH_FLOATS_MAX = 1 << 20,   /* of an example at one layer */
    GRAPH_WEIGHTS_MAX = 1 << 30,  /* of one parameter */
    GRAPH_CAPACITY_MAX = 1 << 24, /* examples of a batch */
};

/* "dense" */
const char *layer_kind_name(enum layer_kind kind);

/* The description of one layer. What a kind does not have stays 0. All borrowed until
 * graph_create() returns. */
struct graph_layer {
    const char *name;
    enum layer_kind kind;
    const char *input[GRAPH_INPUTS_MAX]; /* layers' names; NULL behind the last */
    uint32_t width;                      /* rows, bag, numbers, dense */
    uint32_t steps;                      /* rows, numbers; 0 = 1 */
    uint32_t first;                      /* rows, bag: the row's first float used */
    enum activation activation;          /* dense, activation */
    float slope;                         /* of leaky relu, > 0 */
    bool mean;                           /* bag, pool: not the sum */
    float rate;                          /* dropout, 0 .. < 1 */
    float epsilon;                       /* norms, > 0 */
    float momentum; /* batch norm: share of a batch in the running statistics, 0..1 */
};

/* A parameter of a compiled graph. The row below the weights is the bias; gains are
 * differences from 1. Running statistics (batch norm: means, and below them variances
 * less 1) get no gradient but the change itself, which is to be added as it is. */
struct graph_parameter {
    char name[GRAPH_NAME_MAX + 16]; /* "deep1.weight", ".norm", ".running" */
    uint32_t rows, columns;
    uint32_t fan_in, fan_out; /* for initialisers; 0, 0: begins as zeros */
    bool statistic;
};

/* What a compiled layer is and costs. */
struct graph_info {
    const char *name;
    enum layer_kind kind;
    uint32_t steps, width;
    uint64_t weights;       /* of its parameters */
    uint64_t multiply_adds; /* of an example, forward; backward is about twice that */
};

/* What a batch brings for one input layer. All borrowed. */
struct graph_input {
    const float *value;     /* rows, bag: [rows][stride]; numbers: [n][steps][width] */
    float *gradient;        /* rows, bag, in training: [rows][stride], added to */
    uint32_t stride;        /* rows, bag: >= first + width */
    const uint32_t *pos;    /* rows: [n][steps], bag: [offset[n]]; LAYER_NO_ROW: none */
    const uint32_t *offset; /* bag: [n + 1] */
    const float *weight;    /* bag: [offset[n]] */
};

struct graph_batch {
    uint32_t n;     /* examples, 1 .. capacity */
    uint32_t first; /* of a slice: number of its first example */
    uint64_t seed;  /* of dropout: graph_seed() */
    /* For each input layer, in the order of their description. */
    const struct graph_input *input;
    /* For each graph_parameter(): [rows][columns]; in training also gradients of the
     * same shapes, which are added to. */
    const float *const *parameter;
    float *const *gradient;
};

/* The same numbers are dropped whenever a worker computes a clock again. */
static inline uint64_t graph_seed(uint64_t seed, uint32_t worker, uint64_t clock)
{
    return rng_at(seed, worker, clock);
}

struct graph;

/* Compiles `layers` descriptions for batches of at most `capacity` examples. Values of
 * the layers `output` outlive a forward; only what they need may be described. A graph
 * that is not for training has room for values only, as many as there are at a time.
 * -ERR_INPUT with a sentence that names the layer and, where they do not fit, both
 * shapes; -ERR_MEMORY. */
int graph_create(struct graph **graph, const struct graph_layer *layer, uint32_t layers,
                 const char *const *output, uint32_t outputs, uint32_t capacity,
                 bool training, struct err *err);
void graph_destroy(struct graph *graph); /* NULL is fine */

/* Input layers, which a batch has to bring; then all layers, in the order in which they
 * are computed. */
uint32_t graph_inputs(const struct graph *graph);
uint32_t graph_layers(const struct graph *graph);
struct graph_info graph_info(const struct graph *graph, uint32_t i);
uint32_t graph_parameters(const struct graph *graph);
const struct graph_parameter *graph_parameter(const struct graph *graph, uint32_t i);
/* Bytes of the room for values and gradients. */
uint64_t graph_bytes(const struct graph *graph);

/* Computes all layers; `training` (of graphs made for that) means dropout and the
 * batch's own statistics, and sets the gradients of outputs to zeros. */
void graph_forward(struct graph *graph, const struct graph_batch *batch, bool training);
/* Output i of the last forward, [n][steps][width], and in training its gradient, to
 * which the caller adds the loss's. */
const float *graph_value(const struct graph *graph, const struct graph_batch *batch,
                         uint32_t i);
float *graph_gradient(struct graph *graph, uint32_t i);
/* Its floats for an example: steps times width. */
uint32_t graph_output_width(const struct graph *graph, uint32_t i);
/* After graph_forward() in training with the same batch: adds all gradients. */
void graph_backward(struct graph *graph, const struct graph_batch *batch);

/* A batch may go through the graph in slices, whose gradients add up to those of the
 * whole: with 256 examples a slice, values stay in the cache, and the graph needs
 * no more capacity than that. Not where examples see each other: batch norm. */
bool graph_may_slice(const struct graph *graph);
/* Examples first .. first + n - 1 of `whole`, a whole batch. input[graph_inputs()] is
 * the caller's, and in use as long as the slice. */
struct graph_batch graph_slice(const struct graph *graph,
                               const struct graph_batch *whole, uint32_t first,
                               uint32_t n, struct graph_input *input);

#endif

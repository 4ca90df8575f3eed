/* A graph of layers computed once more in double precision by the plainest means, for
 * descriptions that stand in an order in which they can be computed. */
#ifndef ROWHOUSE_TESTS_NUMERIC_GRAPH_TWIN_H
#define ROWHOUSE_TESTS_NUMERIC_GRAPH_TWIN_H

#include "common/rng.h"
#include "tests/numeric/twin_layers.h"
#include "worker/model/graph.h"

enum {
    TWIN_LAYERS = 24,
    TWIN_FLOATS = 640, /* of a batch at one layer */
    TWIN_WEIGHTS = 4096,
};

/* What a twin is fed; inputs and parameters as of struct graph_batch. */
struct twin {
    const struct graph_layer *layer;
    uint32_t layers, n;
    uint64_t seed;
    struct graph_input input[TWIN_LAYERS]; /* value and gradient are not used */
    double table[TWIN_LAYERS][TWIN_WEIGHTS];
    double parameter[2 * TWIN_LAYERS][TWIN_WEIGHTS];
    /* what came out */
    uint32_t steps[TWIN_LAYERS], width[TWIN_LAYERS];
    double value[TWIN_LAYERS][TWIN_FLOATS];
};

static inline uint32_t twin_find(const struct twin *t, const char *name)
{
    uint32_t i = 0;

    while (strcmp(t->layer[i].name, name) != 0)
        i++;
    return i;
}

static inline uint32_t twin_inputs(const struct graph_layer *layer)
{
    uint32_t n = 0;

    while (layer->input[n])
        n++;
    return n;
}

static inline void twin_rows(struct twin *t, uint32_t i, uint32_t inlet)
{
    const struct graph_layer *l = &t->layer[i];
    const struct graph_input *in = &t->input[inlet];
    uint32_t width = l->width, steps = l->kind == LAYER_ROWS ? t->steps[i] : 1;

    memset(t->value[i], 0, sizeof t->value[i]);
    for (uint32_t e = 0; e < t->n * steps; e++) {
        uint32_t first = l->kind == LAYER_BAG ? in->offset[e] : e;
        uint32_t end = l->kind == LAYER_BAG ? in->offset[e + 1] : e + 1;
        double total = 0;

        for (uint32_t k = first; k < end; k++)
            total += l->kind == LAYER_BAG ? (double)in->weight[k] : 1;
        for (uint32_t k = first; k < end; k++)
            for (uint32_t j = 0; j < width && in->pos[k] != LAYER_NO_ROW; j++)
                t->value[i][e * width + j] +=
                    t->table[inlet][in->pos[k] * in->stride + l->first + j] *
                    (l->kind == LAYER_BAG ? (double)in->weight[k] : 1) /
                    (l->kind == LAYER_BAG && l->mean ? total : 1);
    }
}

/* Inputs side by side (columns), or below each other. */
static inline void twin_concat(struct twin *t, uint32_t i, const uint32_t *from,
                               uint32_t inputs)
{
    bool stack = t->layer[i].kind == LAYER_STACK;
    uint32_t to = 0;

    for (uint32_t e = 0; e < t->n; e++)
        for (uint32_t s = 0; s < (stack ? 1 : t->steps[i]); s++)
            for (uint32_t j = 0; j < inputs; j++) {
                uint32_t f = from[j], w = t->width[f];
                uint32_t many = stack ? t->steps[f] * w : w;
                const double *x = t->value[f] + e * t->steps[f] * w +
                                  (stack ? 0 : s * w);

                memcpy(t->value[i] + to, x, many * sizeof *x);
                to += many;
            }
}

static inline void twin_dropout(struct twin *t, uint32_t i, const double *x)
{
    for (uint32_t j = 0; j < t->n * t->steps[i] * t->width[i]; j++) {
        uint64_t bits = rng_at(t->seed, i, j / 2);
        double half = j % 2 ? (double)(bits >> 32) : (double)(bits & 0xffffffff);
        bool dropped = half < floor((double)t->layer[i].rate * 0x1p32);

        t->value[i][j] = dropped ? 0 : x[j] / (1 - (double)t->layer[i].rate);
    }
}

static inline void twin_pairwise(struct twin *t, uint32_t i, const double *a,
                                 const double *b, uint32_t width)
{
    uint32_t many = t->n * t->steps[i] * t->width[i];

    for (uint32_t j = 0; j < many; j++) {
        double sum = 0;

        if (t->layer[i].kind == LAYER_ADD)
            sum = a[j] + b[j];
        else if (t->layer[i].kind == LAYER_MULTIPLY)
            sum = a[j] * b[j];
        else
            for (uint32_t l = 0; l < width; l++)
                sum += a[j * width + l] * b[j * width + l];
        t->value[i][j] = sum;
    }
}

/* Shape of layer i from those of its inputs. */
static inline void twin_shape(struct twin *t, uint32_t i, const uint32_t *from,
                              uint32_t inputs)
{
    const struct graph_layer *l = &t->layer[i];
    uint32_t s = inputs ? t->steps[from[0]] : l->steps ? l->steps : 1;
    uint32_t w = inputs ? t->width[from[0]] : l->width;

    if (l->kind == LAYER_DENSE)
        w = l->width;
    for (uint32_t j = 1; j < inputs && l->kind == LAYER_CONCAT; j++)
        w += t->width[from[j]];
    for (uint32_t j = 1; j < inputs && l->kind == LAYER_STACK; j++)
        s += t->steps[from[j]];
    if (l->kind == LAYER_FLATTEN)
        w *= s;
    if (l->kind == LAYER_PAIRS)
        w = s * (s - 1) / 2;
    if (l->kind == LAYER_FM || l->kind == LAYER_DOT)
        w = 1;
    if (l->kind == LAYER_FLATTEN || l->kind == LAYER_PAIRS || l->kind == LAYER_FM ||
        l->kind == LAYER_POOL)
        s = 1;
    t->steps[i] = s;
    t->width[i] = w;
}

static inline void twin_layer(struct twin *t, uint32_t i, const uint32_t *from,
                              uint32_t inputs, uint32_t inlet, const double *weight)
{
    const struct graph_layer *l = &t->layer[i];
    const double *x = t->value[from[0]], *x2 = t->value[from[inputs ? inputs - 1 : 0]];
    uint32_t s = t->steps[from[0]], w = t->width[from[0]], rows = t->n * t->steps[i];
    double *y = t->value[i];

    switch (l->kind) {
    case LAYER_ROWS:
    case LAYER_BAG:
        twin_rows(t, i, inlet);
        break;
    case LAYER_NUMBERS:
        memcpy(y, t->table[inlet], t->n * t->steps[i] * l->width * sizeof *y);
        break;
    case LAYER_DENSE:
        twin_affine(x, weight, rows, w, l->width, y);
        twin_activate(l->activation, (double)l->slope, rows, l->width, y);
        break;
    case LAYER_CROSS:
        twin_cross(x, x2, weight, rows, w, y);
        break;
    case LAYER_BIAS:
        for (uint32_t j = 0; j < rows * w; j++)
            y[j] = x[j] + weight[j % w];
        break;
    case LAYER_ACTIVATION:
    case LAYER_FLATTEN:
        memcpy(y, x, t->n * s * w * sizeof *y);
        twin_activate(l->activation, (double)l->slope, rows, t->width[i], y);
        break;
    case LAYER_CONCAT:
    case LAYER_STACK:
        twin_concat(t, i, from, inputs);
        break;
    case LAYER_ADD:
    case LAYER_MULTIPLY:
    case LAYER_DOT:
        twin_pairwise(t, i, x, x2, w);
        break;
    case LAYER_PAIRS:
    case LAYER_FM:
        twin_pairs(x, t->n, s, w, l->kind == LAYER_FM, y);
        break;
    case LAYER_POOL:
        twin_pool(x, t->n, s, w, l->mean ? 1.0 / s : 1, y);
        break;
    case LAYER_LAYER_NORM:
        twin_layer_norm(x, weight, rows, w, (double)l->epsilon, y);
        break;
    case LAYER_BATCH_NORM:
        twin_batch_norm(x, weight, rows, w, (double)l->epsilon, y);
        break;
    default:
        twin_dropout(t, i, x);
    }
}

/* All values, as in training. */
static inline void twin_run(struct twin *t)
{
    uint32_t inlet = 0, parameter = 0;

    for (uint32_t i = 0; i < t->layers; i++) {
        uint32_t from[GRAPH_INPUTS_MAX] = {0}, inputs = twin_inputs(&t->layer[i]);
        enum layer_kind kind = t->layer[i].kind;

        for (uint32_t j = 0; j < inputs; j++)
            from[j] = twin_find(t, t->layer[i].input[j]);
        twin_shape(t, i, from, inputs);
        twin_layer(t, i, from, inputs, inlet, t->parameter[parameter]);
        inlet += inputs == 0;
        parameter += kind == LAYER_DENSE || kind == LAYER_CROSS || kind == LAYER_BIAS ||
                     kind == LAYER_LAYER_NORM || kind == LAYER_BATCH_NORM;
        parameter += kind == LAYER_BATCH_NORM;
    }
}

#endif

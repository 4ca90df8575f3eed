/* Whole graphs by chance: values and gradients against a twin in double precision, the
 * same values whatever the order and the room, and no call for memory in a step.
 *
 * test_graph.t [SEED]: one graph alone. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/numeric/graph_twin.h"
#include "tests/unit/heap_count.h"
#include "worker/model/blas.h"

enum { GRAPHS = 300, ROWS = 6, KEYS_MAX = 64, SLOPES = 30 };

static uint64_t only_seed;

/* A graph by chance with all its data. */
struct house {
    uint64_t seed, drawn;
    struct graph_layer layer[TWIN_LAYERS];
    char name[TWIN_LAYERS][8];
    const char *output[TWIN_LAYERS];
    uint32_t layers, outputs, n;
    struct twin twin;
    struct graph_input input[TWIN_LAYERS];
    uint32_t pos[TWIN_LAYERS][KEYS_MAX], offset[TWIN_LAYERS][8];
    float weight[TWIN_LAYERS][KEYS_MAX];
    float table[TWIN_LAYERS][TWIN_WEIGHTS], table_slope[TWIN_LAYERS][TWIN_WEIGHTS];
    float parameter[2 * TWIN_LAYERS][TWIN_WEIGHTS];
    float slope[2 * TWIN_LAYERS][TWIN_WEIGHTS];
    const float *parameters[2 * TWIN_LAYERS];
    float *slopes[2 * TWIN_LAYERS];
    float dy[TWIN_LAYERS][TWIN_FLOATS];
    struct graph_batch batch;
};

static uint32_t below(struct house *h, uint32_t bound)
{
    return (uint32_t)rng_below(rng_at(h->seed, 1, h->drawn++), bound);
}

static float number(struct house *h)
{
    return (float)(2 * rng_unit(rng_at(h->seed, 2, h->drawn++)) - 1);
}

/* --- a graph by chance -------------------------------------------------------------
 */

static struct graph_layer *new_layer(struct house *h, enum layer_kind kind)
{
    struct graph_layer *layer = &h->layer[h->layers];

    *layer = (struct graph_layer){.kind = kind,
                                  .name = h->name[h->layers],
                                  .activation = ACTIVATION_TANH,
                                  .slope = 0.1f,
                                  .rate = 0.3f,
                                  .epsilon = 0.01f,
                                  .momentum = 0.1f};
    snprintf(h->name[h->layers], sizeof h->name[0], "l%u", h->layers);
    return layer;
}

/* Does it fit, and is it not too large? Then it stays. */
static bool keep(struct house *h)
{
    struct twin *t = &h->twin;
    uint32_t i = h->layers, from[2], inputs = twin_inputs(&h->layer[i]);
    enum layer_kind kind = h->layer[i].kind;

    for (uint32_t j = 0; j < inputs; j++)
        from[j] = twin_find(t, h->layer[i].input[j]);
    if (inputs == 2 && kind != LAYER_CONCAT && t->width[from[0]] != t->width[from[1]])
        return false;
    if (inputs == 2 && kind != LAYER_STACK && t->steps[from[0]] != t->steps[from[1]])
        return false;
    if ((kind == LAYER_PAIRS || kind == LAYER_FM) && t->steps[from[0]] < 2)
        return false;
    twin_shape(t, i, from, inputs);
    if (h->n * t->steps[i] * t->width[i] > TWIN_FLOATS || t->width[i] > 40)
        return false;
    h->layers++;
    return true;
}

static void add_input(struct house *h, enum layer_kind kind)
{
    struct graph_layer *layer = new_layer(h, kind);

    layer->width = 1 + below(h, 5);
    layer->steps = kind == LAYER_BAG ? 0 : below(h, 4);
    layer->first = below(h, 3);
    layer->mean = below(h, 2);
    layer->activation = ACTIVATION_LINEAR;
    keep(h);
}

static void add_layer(struct house *h)
{
    static const enum layer_kind chain[] = {LAYER_DENSE, LAYER_ACTIVATION,
                                            LAYER_DROPOUT, LAYER_DROPOUT};
    bool in_chain = h->seed % 3 == 0 && h->layers > 4; /* places are passed on */
    enum layer_kind kind = in_chain ? chain[below(h, 4)]
                                    : LAYER_DENSE + below(h, LAYER_KINDS - LAYER_DENSE);
    struct graph_layer *layer = new_layer(h, kind);
    uint32_t inputs = kind == LAYER_CONCAT || kind == LAYER_STACK ||
                              kind == LAYER_ADD || kind == LAYER_MULTIPLY ||
                              kind == LAYER_DOT || (kind == LAYER_CROSS && below(h, 2))
                          ? 2
                          : 1;

    for (uint32_t i = 0; i < inputs; i++)
        layer->input[i] = h->name[in_chain ? h->layers - 1 : below(h, h->layers)];
    layer->width = 1 + below(h, 6);
    layer->mean = below(h, 2);
    layer->activation = ACTIVATION_RELU + below(h, 6);
    if (kind == LAYER_FLATTEN)
        layer->activation = ACTIVATION_LINEAR;
    keep(h);
}

static bool learns(const struct house *h, const char *name)
{
    uint32_t i = twin_find(&h->twin, name);
    const struct graph_layer *l = &h->layer[i];
    bool does = l->kind == LAYER_ROWS || l->kind == LAYER_BAG ||
                l->kind == LAYER_DENSE || l->kind == LAYER_CROSS ||
                l->kind == LAYER_BIAS || l->kind == LAYER_LAYER_NORM ||
                l->kind == LAYER_BATCH_NORM;

    for (uint32_t j = 0; l->input[j]; j++)
        does |= learns(h, l->input[j]);
    return does;
}

static bool is_read(const struct house *h, uint32_t i)
{
    for (uint32_t j = i; j < h->layers; j++)
        for (uint32_t l = 0; h->layer[j].input[l]; l++)
            if (strcmp(h->layer[j].input[l], h->name[i]) == 0)
                return true;
    return false;
}

/* Outputs are what nobody reads, and sometimes what somebody does; all of them learn.
 */
static void choose_outputs(struct house *h)
{
    for (uint32_t i = 0; i < h->layers; i++) {
        bool can_learn = learns(h, h->name[i]);

        if (!is_read(h, i) && !can_learn) {
            struct graph_layer *layer = new_layer(h, LAYER_DENSE);

            layer->input[0] = h->name[i];
            layer->width = 2;
            if (!keep(h))
                fail_msg("seed %d: a graph is too large", (int)h->seed);
        }
        if (!is_read(h, i) || (can_learn && below(h, 6) == 0))
            h->output[h->outputs++] = h->name[i];
    }
}

/* Keys and rows of input layer i. */
static void fill_input(struct house *h, uint32_t i, uint32_t inlet)
{
    struct graph_input *in = &h->input[inlet];
    uint32_t keys = h->n * h->twin.steps[i];

    if (h->layer[i].kind == LAYER_BAG) {
        for (uint32_t e = 0; e < h->n; e++)
            h->offset[inlet][e + 1] = h->offset[inlet][e] + below(h, 4);
        keys = h->offset[inlet][h->n];
    }
    for (uint32_t k = 0; k < keys; k++) {
        h->pos[inlet][k] = below(h, 8) ? below(h, ROWS) : LAYER_NO_ROW;
        h->weight[inlet][k] = 0.5f + (float)below(h, 4);
    }
    *in = (struct graph_input){.value = h->table[inlet],
                               .gradient = h->table_slope[inlet],
                               .stride = h->layer[i].first + h->layer[i].width + 1,
                               .pos = h->pos[inlet],
                               .offset = h->offset[inlet],
                               .weight = h->weight[inlet]};
    h->twin.input[inlet] = *in;
    for (uint32_t j = 0; j < TWIN_WEIGHTS; j++)
        h->twin.table[inlet][j] = (double)(h->table[inlet][j] = number(h));
}

static void build(struct house *h, uint64_t seed)
{
    uint32_t inlet = 0, target = 4 + (uint32_t)(seed % 12);

    memset(h, 0, sizeof *h);
    h->seed = seed;
    h->n = 2 + below(h, 4);
    h->twin.layer = h->layer;
    add_input(h, LAYER_ROWS);
    add_input(h, LAYER_BAG);
    add_input(h, LAYER_NUMBERS);
    add_input(h, LAYER_ROWS);
    for (int tries = 0; h->layers < target && tries < 1000; tries++)
        add_layer(h);
    choose_outputs(h);
    h->twin.layers = h->layers;
    h->twin.n = h->n;
    h->twin.seed = seed + 5;
    for (uint32_t i = 0; i < h->layers; i++)
        if (h->layer[i].kind <= LAYER_NUMBERS)
            fill_input(h, i, inlet++);
    for (uint32_t p = 0; p < 2 * TWIN_LAYERS; p++) {
        for (uint32_t j = 0; j < TWIN_WEIGHTS; j++)
            h->twin.parameter[p][j] = (double)(h->parameter[p][j] = number(h));
        h->parameters[p] = h->parameter[p];
        h->slopes[p] = h->slope[p];
    }
    for (uint32_t i = 0; i < TWIN_LAYERS; i++)
        for (uint32_t j = 0; j < TWIN_FLOATS; j++)
            h->dy[i][j] = number(h);
    h->batch = (struct graph_batch){.n = h->n,
                                    .seed = seed + 5,
                                    .input = h->input,
                                    .parameter = h->parameters,
                                    .gradient = h->slopes};
}

static struct graph *created(const struct house *h, uint32_t capacity, bool training)
{
    struct graph *graph;
    struct err err;

    if (graph_create(&graph, h->layer, h->layers, h->output, h->outputs, capacity,
                     training, &err))
        fail_msg("seed %d: %s", (int)h->seed, err.text);
    return graph;
}

/* --- against the twin --------------------------------------------------------------
 */

static void assert_near(const struct house *h, const char *what, uint32_t which,
                        double value, double expected)
{
    if (!(fabs(value - expected) <= 1e-4 * fmax(1, fabs(expected))))
        fail_msg("seed %d: %s %u is %.9g, not %.9g", (int)h->seed, what, which, value,
                 expected);
}

static double twin_loss(struct house *h)
{
    double loss = 0;

    twin_run(&h->twin);
    for (uint32_t i = 0; i < h->outputs; i++) {
        uint32_t at = twin_find(&h->twin, h->output[i]);
        uint32_t many = h->n * h->twin.steps[at] * h->twin.width[at];

        for (uint32_t j = 0; j < many; j++)
            loss += (double)h->dy[i][j] * h->twin.value[at][j];
    }
    return loss;
}

static void step(struct house *h, struct graph *graph)
{
    graph_forward(graph, &h->batch, true);
    for (uint32_t i = 0; i < h->outputs; i++) {
        uint32_t at = twin_find(&h->twin, h->output[i]);
        float *gradient = graph_gradient(graph, i);

        for (uint32_t j = 0; j < h->n * h->twin.steps[at] * h->twin.width[at]; j++)
            gradient[j] += h->dy[i][j];
    }
}

static void check_values(struct house *h, struct graph *graph)
{
    for (uint32_t i = 0; i < h->outputs; i++) {
        uint32_t at = twin_find(&h->twin, h->output[i]);
        const float *y = graph_value(graph, &h->batch, i);

        for (uint32_t j = 0; j < h->n * h->twin.steps[at] * h->twin.width[at]; j++)
            assert_near(h, "a value of output", i, (double)y[j], h->twin.value[at][j]);
    }
}

static void check_slopes(struct house *h, const char *what, uint32_t which,
                         double *weight, const float *slope, uint32_t count)
{
    const double small = 1e-5;

    for (uint32_t tries = 0; tries < SLOPES && tries < count; tries++) {
        uint32_t i = count <= SLOPES ? tries : below(h, count);
        double old = weight[i], above, under;

        weight[i] = old + small;
        above = twin_loss(h);
        weight[i] = old - small;
        under = twin_loss(h);
        weight[i] = old;
        assert_near(h, what, which, (double)slope[i], (above - under) / (2 * small));
    }
}

static void check_graph(struct house *h, struct graph *graph)
{
    uint32_t inlet = 0;

    twin_loss(h);
    step(h, graph);
    check_values(h, graph);
    graph_backward(graph, &h->batch);
    for (uint32_t i = 0; i < h->layers; i++)
        if (h->layer[i].kind <= LAYER_NUMBERS) {
            if (h->layer[i].kind != LAYER_NUMBERS)
                check_slopes(h, "a slope of input", inlet, h->twin.table[inlet],
                             h->table_slope[inlet], ROWS * h->input[inlet].stride);
            inlet++;
        }
    for (uint32_t p = 0; p < graph_parameters(graph); p++) {
        const struct graph_parameter *parameter = graph_parameter(graph, p);

        if (!parameter->statistic)
            check_slopes(h, "a slope of parameter", p, h->twin.parameter[p],
                         h->slope[p], parameter->rows * parameter->columns);
    }
}

static void graphs_are_their_twins(void **state)
{
    static struct house h;
    (void)state;
    for (uint64_t seed = 1; seed <= GRAPHS; seed++) {
        struct graph *graph;

        if (only_seed && seed != only_seed)
            continue;
        build(&h, seed);
        graph = created(&h, h.n + (uint32_t)(seed % 3), true);
        check_graph(&h, graph);
        graph_destroy(graph);
    }
}

/* --- other ways to the same --------------------------------------------------------
 */

static void assert_same_values(const struct house *h, const struct graph *a,
                               const struct graph *b)
{
    for (uint32_t i = 0; i < h->outputs; i++) {
        uint32_t at = twin_find(&h->twin, h->output[i]);
        uint32_t many = h->n * h->twin.steps[at] * h->twin.width[at];

        assert_memory_equal(graph_value(a, &h->batch, i), graph_value(b, &h->batch, i),
                            many * sizeof(float));
    }
}

static void slice_step(struct house *h, struct graph *graph, uint32_t example)
{
    struct graph_input input[TWIN_LAYERS];
    struct graph_batch slice = graph_slice(graph, &h->batch, example, 1, input);

    graph_forward(graph, &slice, true);
    for (uint32_t i = 0; i < h->outputs; i++) {
        uint32_t at = twin_find(&h->twin, h->output[i]);
        uint32_t floats = h->twin.steps[at] * h->twin.width[at];

        for (uint32_t j = 0; j < floats; j++)
            graph_gradient(graph, i)[j] += h->dy[i][example * floats + j];
    }
    graph_backward(graph, &slice);
}

static void check_equal(const struct house *h, const float *a, const float *b,
                        uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        assert_near(h, "a sum of slices' slopes, number", i, (double)b[i],
                    (double)a[i]);
}

/* A graph for evaluation has room only for what is needed at the same time. */
static void less_room_changes_nothing(void **state)
{
    static struct house h;

    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct graph *graph, *lean;

        build(&h, seed);
        graph = created(&h, 9, true);
        lean = created(&h, 9, false);
        graph_forward(graph, &h.batch, false);
        graph_forward(lean, &h.batch, false);
        assert_same_values(&h, graph, lean);
        assert_true(graph_bytes(lean) < graph_bytes(graph));
        graph_destroy(lean);
        graph_destroy(graph);
    }
}

/* Parameters of `of` under the names that those of h have in `graph`. */
static void find_parameters(const struct house *h, const struct graph *graph,
                            const struct graph *of, const float **parameter)
{
    for (uint32_t p = 0; p < graph_parameters(of); p++)
        for (uint32_t q = 0; q < graph_parameters(graph); q++)
            if (strcmp(graph_parameter(of, p)->name, graph_parameter(graph, q)->name) ==
                0)
                parameter[p] = h->parameter[q];
}

/* Layers may be described in any order. */
static void order_changes_nothing(void **state)
{
    static struct house h;

    (void)state;
    for (uint64_t seed = 1; seed <= 60; seed++) {
        struct graph *graph, *turned;
        struct graph_layer layer[TWIN_LAYERS];
        struct graph_input input[TWIN_LAYERS];
        const float *parameter[2 * TWIN_LAYERS];
        struct graph_batch batch;
        struct err err;
        uint32_t inputs = 0;

        build(&h, seed);
        graph = created(&h, 9, false);
        for (uint32_t i = 0; i < h.layers; i++) {
            layer[i] = h.layer[h.layers - 1 - i];
            inputs += h.layer[i].kind <= LAYER_NUMBERS;
        }
        for (uint32_t i = 0; i < inputs; i++)
            input[i] = h.input[inputs - 1 - i];
        if (graph_create(&turned, layer, h.layers, h.output, h.outputs, 9, false, &err))
            fail_msg("seed %d: %s", (int)seed, err.text);
        find_parameters(&h, graph, turned, parameter);
        batch = (struct graph_batch){.n = h.n, .input = input, .parameter = parameter};
        graph_forward(graph, &h.batch, false);
        graph_forward(turned, &batch, false);
        assert_same_values(&h, graph, turned);
        graph_destroy(turned);
        graph_destroy(graph);
    }
}

/* A whole batch, or one example after the other: equal gradients, and with dropout the
 * same numbers dropped. */
static void slices_add_up(void **state)
{
    static struct house h, parts;
    uint32_t sliced = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        struct graph *graph, *lean;

        build(&h, seed);
        build(&parts, seed);
        graph = created(&h, h.n, true);
        lean = created(&h, 1, true);
        if (graph_may_slice(graph)) {
            step(&h, graph);
            graph_backward(graph, &h.batch);
            for (uint32_t e = 0; e < h.n; e++)
                slice_step(&parts, lean, e);
            check_equal(&h, h.table_slope[0], parts.table_slope[0],
                        TWIN_LAYERS * TWIN_WEIGHTS);
            check_equal(&h, h.slope[0], parts.slope[0], 2 * TWIN_LAYERS * TWIN_WEIGHTS);
            sliced++;
        }
        graph_destroy(lean);
        graph_destroy(graph);
    }
    assert_in_range(sliced, 20, 90);
}

static void a_step_calls_for_no_memory(void **state)
{
    static struct house h;

    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct graph *graph;
        uint64_t calls;

        build(&h, seed);
        graph = created(&h, h.n, true);
        step(&h, graph);
        graph_backward(graph, &h.batch);
        calls = heap_count();
        step(&h, graph);
        graph_backward(graph, &h.batch);
        assert_true(heap_count() == calls);
        graph_destroy(graph);
    }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(graphs_are_their_twins),
        cmocka_unit_test(less_room_changes_nothing),
        cmocka_unit_test(order_changes_nothing),
        cmocka_unit_test(slices_add_up),
        cmocka_unit_test(a_step_calls_for_no_memory),
    };

    if (argc > 1)
        only_seed = strtoull(argv[1], NULL, 10);
    blas_init();
    return cmocka_run_group_tests_name("graph", tests, NULL, NULL);
}

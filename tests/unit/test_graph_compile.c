/* What a graph's compiler refuses, by its sentences, and what it says of a graph; and
 * the layers that differ in training and evaluation. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/job.h"
#include "worker/model/blas.h"
#include "worker/model/graph.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))
#define INPUT(n, w)                                                                    \
    {                                                                                  \
        .name = n, .kind = LAYER_ROWS, .width = w                                      \
    }
#define OF(...) .input = {__VA_ARGS__}

static int create(struct graph **graph, const struct graph_layer *layer,
                  uint32_t layers, const char *output, uint32_t capacity, bool training,
                  struct err *err)
{
    return graph_create(graph, layer, layers, &output, 1, capacity, training, err);
}

/* Is a description refused with a sentence that has all of these words in it? */
static void refused(const struct graph_layer *layer, uint32_t layers,
                    const char *output, const char *const *word)
{
    struct graph *graph;
    struct err err;

    assert_int_equal(create(&graph, layer, layers, output, 8, true, &err), -ERR_INPUT);
    assert_null(graph);
    for (; *word; word++)
        if (!strstr(err.text, *word))
            fail_msg("'%s' is not in: %s", *word, err.text);
}
#define REFUSED(layer, output, ...)                                                    \
    refused(layer, COUNT(layer), output, (const char *const[]){__VA_ARGS__, NULL})

static void names(void **state)
{
    const struct graph_layer twice[] = {INPUT("a", 2), INPUT("a", 2)};
    const struct graph_layer none[] = {INPUT("", 2)};
    const struct graph_layer strange[] = {
        INPUT("user", 2), {.name = "y", .kind = LAYER_DENSE, .width = 1, OF("usr")}};
    const struct graph_layer unused[] = {INPUT("a", 2), INPUT("b", 2)};
    const struct graph_layer kind[] = {{.name = "a", .kind = LAYER_KINDS}};

    (void)state;
    REFUSED(twice, "a", "two layers 'a'");
    REFUSED(none, "a", "layer 1 has no name");
    REFUSED(strange, "y", "layer 'y'", "'usr'", "nearest", "'user'");
    REFUSED(unused, "c", "output", "'c'", "nearest");
    REFUSED(unused, "a", "'b' leads to no output");
    REFUSED(kind, "a", "'a'", "unknown kind");
}

static void cycles(void **state)
{
    const struct graph_layer self[] = {
        {.name = "a", .kind = LAYER_DENSE, .width = 1, OF("a")}};
    const struct graph_layer three[] = {
        INPUT("x", 4),
        {.name = "y", .kind = LAYER_ADD, OF("x", "d")},
        {.name = "d", .kind = LAYER_DENSE, .width = 4, OF("e")},
        {.name = "e", .kind = LAYER_DENSE, .width = 4, OF("y")},
        {.name = "out", .kind = LAYER_DENSE, .width = 4, OF("d")},
    };

    (void)state;
    REFUSED(self, "a", "layer 'a' needs itself", "it needs 'a'");
    REFUSED(three, "out", "needs itself", "'y'", "'d'", "'e'", ", which needs");
}

static void counts_of_inputs(void **state)
{
    const struct graph_layer dense[] = {
        INPUT("a", 2),
        INPUT("b", 2),
        {.name = "y", .kind = LAYER_DENSE, .width = 1, OF("a", "b")}};
    const struct graph_layer add[] = {INPUT("a", 2),
                                      {.name = "y", .kind = LAYER_ADD, OF("a")}};
    const struct graph_layer fed[] = {INPUT("a", 2),
                                      {.name = "y", .kind = LAYER_ROWS, OF("a")}};

    (void)state;
    REFUSED(dense, "y", "'y' (dense)", "2 inputs", "takes 1");
    REFUSED(add, "y", "'y' (add)", "1 inputs", "takes 2 to 64");
    REFUSED(fed, "y", "'y' (rows)", "1 inputs", "takes 0");
}

static void shapes_that_do_not_fit(void **state)
{
    static const enum layer_kind equal[] = {LAYER_ADD, LAYER_MULTIPLY, LAYER_DOT,
                                            LAYER_CROSS};
    struct graph_layer l[] = {
        INPUT("a", 32),
        {.name = "b", .kind = LAYER_ROWS, .steps = 10, .width = 16},
        {.name = "y", OF("a", "b")},
    };
    struct graph_layer one[] = {INPUT("a", 32), {.name = "y", OF("a")}};

    (void)state;
    for (size_t i = 0; i < COUNT(equal); i++) {
        l[2].kind = equal[i];
        REFUSED(l, "y", "'y'", layer_kind_name(equal[i]), "equal shapes",
                "'a' is 1 x 32", "'b' is 10 x 16");
    }
    l[2].kind = LAYER_CONCAT;
    REFUSED(l, "y", "'y' (concat)", "steps", "'a' is 1 x 32", "'b' is 10 x 16");
    l[2].kind = LAYER_STACK;
    REFUSED(l, "y", "'y' (stack)", "width", "'a' is 1 x 32", "'b' is 10 x 16");
    one[1].kind = LAYER_FM;
    REFUSED(one, "y", "'y' (fm)", "two or more steps", "'a' is 1 x 32");
    one[1].kind = LAYER_PAIRS;
    REFUSED(one, "y", "'y' (pairs)", "two or more steps", "'a' is 1 x 32");
}

static void settings_out_of_range(void **state)
{
    struct graph_layer l[] = {INPUT("a", 32), {.name = "y", OF("a")}};

    (void)state;
    l[1].kind = LAYER_DENSE;
    REFUSED(l, "y", "'y' (dense)", "no width");
    l[1].width = 4;
    l[1].activation = ACTIVATION_LEAKY_RELU;
    REFUSED(l, "y", "'y' (dense)", "slope 0");
    l[1].activation = ACTIVATION_SOFTMAX + 1;
    REFUSED(l, "y", "'y'", "unknown activation");
    l[1].activation = ACTIVATION_LINEAR;
    l[1].width = 1 << 30;
    REFUSED(l, "y", "'y'", "33 x 1073741824 weights");
    l[1].width = GRAPH_FLOATS_MAX + 1;
    REFUSED(l, "y", "'y'", "1 x 1048577", "1048576");
    l[1].kind = LAYER_DROPOUT;
    l[1].rate = 1;
    REFUSED(l, "y", "'y' (dropout)", "rate 1");
    l[1].rate = NAN;
    REFUSED(l, "y", "'y' (dropout)", "rate nan");
    l[1].kind = LAYER_LAYER_NORM;
    REFUSED(l, "y", "'y' (layer_norm)", "epsilon 0");
    l[1].kind = LAYER_BATCH_NORM;
    l[1].epsilon = 1e-5f;
    l[1].momentum = 1.5f;
    REFUSED(l, "y", "'y' (batch_norm)", "momentum 1.5");
    l[0].width = 0;
    REFUSED(l, "y", "'a' (rows)", "no width");
}

static void numbers_out_of_range(void **state)
{
    const struct graph_layer l[] = {INPUT("a", 2)};
    const struct graph_layer fixed[] = {
        {.name = "a", .kind = LAYER_NUMBERS, .width = 2}};
    const struct graph_layer long_one[] = {
        {.name = "a", .kind = LAYER_ROWS, .steps = 1 << 20, .width = 1}};
    struct graph *graph;
    struct err err;

    (void)state;
    assert_int_equal(create(&graph, l, 0, "a", 8, true, &err), -ERR_INPUT);
    assert_int_equal(create(&graph, l, GRAPH_LAYERS_MAX + 1, "a", 8, true, &err),
                     -ERR_INPUT);
    assert_int_equal(create(&graph, l, 1, "a", 0, true, &err), -ERR_INPUT);
    assert_int_equal(create(&graph, l, 1, "a", GRAPH_CAPACITY_MAX + 1, true, &err),
                     -ERR_INPUT);
    assert_int_equal(create(&graph, long_one, 1, "a", 1 << 12, true, &err), -ERR_INPUT);
    assert_non_null(strstr(err.text, "1048576 steps"));
    REFUSED(fixed, "a", "'a'", "nothing that can be trained");
}

/* Whatever is described, it is a graph or a sentence. */
static void anything_may_be_described(void **state)
{
    static const uint32_t some[] = {0, 1, 2, 3, 4, 5, 1 << 20, 1u << 31, UINT32_MAX};
    static const char *const name[] = {"a", "b", "c", "d", "e", "f", "g", ""};
    uint32_t fine = 0;

    (void)state;
    for (uint64_t trial = 0; trial < 100000; trial++) {
        uint64_t drawn = 0;
#define DRAW(bound) ((uint32_t)rng_below(rng_at(trial, 3, drawn++), bound))
        uint32_t layers = 1 + DRAW(6), large = DRAW(8) == 0 ? COUNT(some) : 6;
        struct graph_layer l[6] = {{0}};
        struct graph *graph;
        struct err err;

        for (uint32_t i = 0; i < layers; i++) {
            uint32_t inputs = i == 0 ? 0 : DRAW(3);

            l[i].name = name[DRAW(20) ? i : DRAW(COUNT(name))];
            l[i].kind = DRAW(LAYER_KINDS + (trial % 30 == 0));
            if (inputs == 0 && DRAW(20))
                l[i].kind = DRAW(3);
            for (uint32_t j = 0; j < inputs; j++)
                l[i].input[j] = name[DRAW(i + (trial % 20 == 0))];
            l[i].width = some[DRAW(large)];
            l[i].steps = some[DRAW(large)];
            l[i].activation = DRAW(ACTIVATION_SOFTMAX + 1);
            l[i].epsilon = l[i].slope = DRAW(9) ? 0.1f : -1;
        }
        if (create(&graph, l, layers, name[layers - 1], 1, DRAW(2), &err) == 0)
            fine++;
        else if (err.code != ERR_INPUT || !err.text[0])
            fail_msg("trial %d: code %d, '%s'", (int)trial, err.code, err.text);
        graph_destroy(graph);
#undef DRAW
    }
    assert_in_range(fine, 1000, 90000);
}

/* --- what a graph says of itself ---------------------------------------------------
 */

static void shapes_costs_and_parameters(void **state)
{
    static const struct graph_layer l[] = {
        {.name = "fields", .kind = LAYER_ROWS, .steps = 3, .width = 4},
        {.name = "flat", .kind = LAYER_FLATTEN, OF("fields")},
        {.name = "deep", .kind = LAYER_DENSE, .width = 5, OF("flat")},
        {.name = "norm",
         .kind = LAYER_BATCH_NORM,
         .epsilon = 1e-5f,
         .momentum = 0.1f,
         OF("deep")},
        {.name = "fm", .kind = LAYER_FM, OF("fields")},
        {.name = "top", .kind = LAYER_DENSE, .width = 1, OF("norm")},
        {.name = "score", .kind = LAYER_ADD, OF("fm", "top")},
    };
    static const char *const parameter[] = {"deep.weight", "norm.norm", "norm.running",
                                            "top.weight"};
    static const uint32_t rows[] = {13, 2, 2, 6}, columns[] = {5, 5, 5, 1};
    static const uint32_t widths[] = {4, 12, 5, 5, 1, 1, 1};
    static const uint64_t cost[] = {0, 0, 60, 20, 24, 5, 1};
    static const uint64_t weights[] = {0, 0, 65, 20, 0, 6, 0};
    struct graph *graph;
    struct err err;

    (void)state;
    assert_int_equal(create(&graph, l, COUNT(l), "score", 8, true, &err), 0);
    assert_int_equal(graph_layers(graph), COUNT(l));
    assert_int_equal(graph_inputs(graph), 1);
    for (uint32_t i = 0; i < COUNT(l); i++) {
        struct graph_info info = graph_info(graph, i);

        assert_string_equal(info.name, l[i].name);
        assert_int_equal(info.kind, l[i].kind);
        assert_int_equal(info.steps, i == 0 ? 3 : 1);
        assert_int_equal(info.width, widths[i]);
        assert_int_equal(info.multiply_adds, cost[i]);
        assert_int_equal(info.weights, weights[i]);
    }
    assert_int_equal(graph_parameters(graph), COUNT(parameter));
    for (uint32_t i = 0; i < COUNT(parameter); i++) {
        const struct graph_parameter *p = graph_parameter(graph, i);

        assert_string_equal(p->name, parameter[i]);
        assert_int_equal(p->rows, rows[i]);
        assert_int_equal(p->columns, columns[i]);
        assert_int_equal(p->fan_in, i == 0 ? 12 : i == 3 ? 5 : 0);
        assert_int_equal(p->statistic, i == 2);
    }
    graph_destroy(graph);
    graph_destroy(NULL);
}

/* Each of its parts counts. */
static void seeds_of_dropout(void **state)
{
    (void)state;
    assert_true(graph_seed(1, 2, 3) == graph_seed(1, 2, 3));
    assert_true(graph_seed(1, 2, 3) != graph_seed(1, 2, 4));
    assert_true(graph_seed(1, 2, 3) != graph_seed(1, 3, 3));
    assert_true(graph_seed(1, 2, 3) != graph_seed(2, 2, 3));
}

/* Those by which a job chooses them. */
static void kinds_have_names(void **state)
{
    struct job *job = malloc(sizeof *job);
    struct err err;

    (void)state;
    assert_non_null(job);
    job_init(job);
    for (int kind = 0; kind < LAYER_KINDS; kind++) {
        assert_int_equal(job_set(job, "model.layers.l.kind",
                                 layer_kind_name((enum layer_kind)kind), "test", &err),
                         0);
        assert_int_equal(job->model.layer[0].kind, kind);
    }
    free(job);
}

/* Fifty layers one after another: evaluation needs two values at a time. */
static void values_share_their_room(void **state)
{
    enum { DEPTH = 50, WIDTH = 64, BATCH = 16 };
    struct graph_layer l[DEPTH + 1] = {INPUT("l0", WIDTH)};
    char name[DEPTH + 1][8];
    struct graph *graph;
    struct err err;

    (void)state;
    for (int i = 1; i <= DEPTH; i++) {
        name[i][0] = 'l';
        name[i][1] = (char)('0' + i / 10);
        name[i][2] = (char)('0' + i % 10);
        name[i][3] = 0;
        l[i] = (struct graph_layer){.name = name[i],
                                    .kind = LAYER_DENSE,
                                    .width = WIDTH,
                                    OF(i == 1 ? "l0" : name[i - 1])};
    }
    assert_int_equal(create(&graph, l, DEPTH + 1, "l50", BATCH, false, &err), 0);
    assert_int_equal(graph_bytes(graph), 2 * WIDTH * BATCH * sizeof(float));
    graph_destroy(graph);
    assert_int_equal(create(&graph, l, DEPTH + 1, "l50", BATCH, true, &err), 0);
    assert_in_range(graph_bytes(graph), (DEPTH + 2) * WIDTH * BATCH * sizeof(float),
                    (DEPTH + 4) * WIDTH * BATCH * sizeof(float));
    graph_destroy(graph);
}

/* --- training and evaluation -------------------------------------------------------
 */

/* A layer of two numbers an example; trained, its statistics move towards the batch's;
 * evaluated, they are what it goes by. */
static void batch_norm_runs_along(void **state)
{
    static const struct graph_layer l[] = {
        {.name = "x", .kind = LAYER_NUMBERS, .width = 2},
        {.name = "y",
         .kind = LAYER_BATCH_NORM,
         .epsilon = 0.5f,
         .momentum = 0.25f,
         OF("x")},
    };
    const float x[] = {1, 10, 3, 20, 5, 60}, norm[] = {1, 0, 0.5f, 0};
    const float running[] = {1, 2, 0.5f, 3};
    const float *const parameter[] = {norm, running};
    const float mean[] = {3, 30}, variance[] = {8.0f / 3, 1400.0f / 3};
    float dnorm[4] = {0}, drunning[4] = {0}, *gradient[] = {dnorm, drunning};
    const struct graph_input input = {.value = x};
    const struct graph_batch batch = {
        .n = 3, .input = &input, .parameter = parameter, .gradient = gradient};
    struct graph *graph;
    struct err err;

    (void)state;
    assert_int_equal(create(&graph, l, 2, "y", 3, true, &err), 0);
    graph_forward(graph, &batch, false);
    for (uint32_t i = 0; i < 6; i++) {
        float by = sqrtf(1 + running[2 + i % 2] + 0.5f);
        float wanted = (x[i] - running[i % 2]) / by * (i % 2 ? 1 : 2) +
                       (i % 2 ? 0 : 0.5f);

        assert_true(fabsf(graph_value(graph, &batch, 0)[i] - wanted) < 1e-5f);
    }
    graph_forward(graph, &batch, true);
    for (uint32_t i = 0; i < 6; i++) {
        float by = sqrtf(variance[i % 2] + 0.5f);
        float wanted = (x[i] - mean[i % 2]) / by * (i % 2 ? 1 : 2) + (i % 2 ? 0 : 0.5f);

        assert_true(fabsf(graph_value(graph, &batch, 0)[i] - wanted) < 1e-5f);
    }
    graph_gradient(graph, 0)[1] = 1;
    graph_backward(graph, &batch);
    assert_true(dnorm[3] == 1 && dnorm[2] == 0);
    for (uint32_t j = 0; j < 2; j++) {
        float v = variance[j] * 3 / 2 - 1;

        assert_true(fabsf(drunning[j] - 0.25f * (mean[j] - running[j])) < 1e-5f);
        assert_true(fabsf(drunning[2 + j] - 0.25f * (v - running[2 + j])) < 1e-3f);
    }
    graph_destroy(graph);
}

static void dropout_is_for_training(void **state)
{
    static const struct graph_layer l[] = {
        INPUT("x", 1), {.name = "y", .kind = LAYER_DROPOUT, .rate = 0.5f, OF("x")}};
    float row = 3, drow = 0;
    uint32_t pos[64] = {0}, kept = 0;
    const struct graph_input input = {
        .value = &row, .gradient = &drow, .stride = 1, .pos = pos};
    struct graph_batch batch = {.n = 64, .seed = 1, .input = &input};
    float first[64];
    struct graph *graph;
    struct err err;

    (void)state;
    assert_int_equal(create(&graph, l, 2, "y", 64, true, &err), 0);
    graph_forward(graph, &batch, false);
    for (uint32_t i = 0; i < 64; i++)
        assert_true(graph_value(graph, &batch, 0)[i] == 3);
    graph_forward(graph, &batch, true);
    memcpy(first, graph_value(graph, &batch, 0), sizeof first);
    for (uint32_t i = 0; i < 64; i++) {
        kept += first[i] == 6;
        graph_gradient(graph, 0)[i] = 1;
    }
    assert_in_range(kept, 10, 54);
    graph_backward(graph, &batch);
    assert_true(drow == 2 * (float)kept);
    graph_forward(graph, &batch, true);
    assert_memory_equal(first, graph_value(graph, &batch, 0), sizeof first);
    batch.seed = 2;
    graph_forward(graph, &batch, true);
    assert_memory_not_equal(first, graph_value(graph, &batch, 0), sizeof first);
    graph_destroy(graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names),
        cmocka_unit_test(cycles),
        cmocka_unit_test(counts_of_inputs),
        cmocka_unit_test(shapes_that_do_not_fit),
        cmocka_unit_test(settings_out_of_range),
        cmocka_unit_test(numbers_out_of_range),
        cmocka_unit_test(anything_may_be_described),
        cmocka_unit_test(shapes_costs_and_parameters),
        cmocka_unit_test(seeds_of_dropout),
        cmocka_unit_test(kinds_have_names),
        cmocka_unit_test(values_share_their_room),
        cmocka_unit_test(batch_norm_runs_along),
        cmocka_unit_test(dropout_is_for_training),
    };

    blas_init();
    return cmocka_run_group_tests_name("graph_compile", tests, NULL, NULL);
}

/* Layers, through graphs of one layer, and losses against what PyTorch computed for the
 * same numbers (reference/layers.py). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/numeric/reference/layers.h"
#include "worker/model/blas.h"
#include "worker/model/graph.h"
#include "worker/model/loss.h"

enum {
    ROWS = REFERENCE_ROWS,
    IN = REFERENCE_IN,
    OUT = REFERENCE_OUT,
    FLOATS_MAX = 128
};

static void assert_same(const char *what, const float *value, const float *expected,
                        size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!(fabsf(value[i] - expected[i]) <= 1e-5f * fmaxf(0.1f, fabsf(expected[i]))))
            fail_msg("%s: number %d is %.9g, not %.9g", what, (int)i, (double)value[i],
                     (double)expected[i]);
}
#define ASSERT_SAME(value, expected)                                                   \
    assert_same(#expected, value, expected, sizeof(expected) / sizeof *(expected))

/* One layer on up to two inputs "a" and "b", whose numbers are the rows of tables. */
struct trial {
    const float *x[2], *parameter[2];
    uint32_t steps, width;
    float y[FLOATS_MAX], dx[2][FLOATS_MAX], dw[2][FLOATS_MAX];
};

static void run(struct trial *t, struct graph_layer layer, const float *dy,
                uint32_t out_floats, bool training)
{
    static const uint32_t pos[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14};
    uint32_t inputs = layer.input[1] ? 2 : 1;
    struct graph_layer list[3] = {
        {.name = "a", .kind = LAYER_ROWS, .width = t->width, .steps = t->steps},
        {.name = "b", .kind = LAYER_ROWS, .width = t->width, .steps = t->steps}};
    struct graph_input input[2];
    float *gradient[] = {t->dw[0], t->dw[1]};
    const struct graph_batch batch = {
        .n = ROWS, .input = input, .parameter = t->parameter, .gradient = gradient};
    const char *output = "y";
    struct graph *graph;
    struct err err;

    layer.name = output;
    list[inputs] = layer;
    for (uint32_t i = 0; i < inputs; i++)
        input[i] = (struct graph_input){
            .value = t->x[i], .gradient = t->dx[i], .stride = t->width, .pos = pos};
    if (graph_create(&graph, list, inputs + 1, &output, 1, ROWS, true, &err))
        fail_msg("%s", err.text);
    graph_forward(graph, &batch, training);
    memcpy(t->y, graph_value(graph, &batch, 0), out_floats * sizeof(float));
    if (training) {
        memcpy(graph_gradient(graph, 0), dy, out_floats * sizeof(float));
        graph_backward(graph, &batch);
    }
    graph_destroy(graph);
}

static void check_dense(enum activation activation, const float *y, const float *dx,
                        const float *dw)
{
    struct trial t = {.x = {dense_x}, .parameter = {dense_w}, .width = IN};

    run(&t,
        (struct graph_layer){.kind = LAYER_DENSE,
                             .input = {"a"},
                             .width = OUT,
                             .activation = activation,
                             .slope = 0.125f},
        dense_dy, ROWS * OUT, true);
    assert_same("dense y", t.y, y, ROWS * OUT);
    assert_same("dense dx", t.dx[0], dx, ROWS * IN);
    assert_same("dense dw", t.dw[0], dw, (IN + 1) * OUT);
}

static void dense_with_activations(void **state)
{
    (void)state;
    check_dense(ACTIVATION_LINEAR, linear_y, linear_dx, linear_dw);
    check_dense(ACTIVATION_RELU, relu_y, relu_dx, relu_dw);
    check_dense(ACTIVATION_LEAKY_RELU, leaky_relu_y, leaky_relu_dx, leaky_relu_dw);
    check_dense(ACTIVATION_GELU, gelu_y, gelu_dx, gelu_dw);
    check_dense(ACTIVATION_SIGMOID, sigmoid_y, sigmoid_dx, sigmoid_dw);
    check_dense(ACTIVATION_TANH, tanh_y, tanh_dx, tanh_dw);
    check_dense(ACTIVATION_SOFTMAX, softmax_y, softmax_dx, softmax_dw);
}

static void layer_norm(void **state)
{
    struct trial t = {.x = {norm_x}, .parameter = {norm_w}, .width = IN};

    (void)state;
    run(&t,
        (struct graph_layer){
            .kind = LAYER_LAYER_NORM, .input = {"a"}, .epsilon = 1e-3f},
        norm_dy, ROWS * IN, true);
    ASSERT_SAME(t.y, layer_norm_y);
    ASSERT_SAME(t.dx[0], layer_norm_dx);
    ASSERT_SAME(t.dw[0], layer_norm_dw);
}

/* Ours keeps variances less 1, and how the statistics change. */
static void batch_norm(void **state)
{
    float running[2 * IN];
    struct trial t = {.x = {norm_x}, .parameter = {norm_w, running}, .width = IN};
    const struct graph_layer layer = {
        .kind = LAYER_BATCH_NORM, .input = {"a"}, .epsilon = 1e-3f, .momentum = 0.125f};

    (void)state;
    for (int j = 0; j < 2 * IN; j++)
        running[j] = norm_running[j] - (j < IN ? 0 : 1);
    run(&t, layer, norm_dy, ROWS * IN, false);
    ASSERT_SAME(t.y, batch_norm_evaluated);
    run(&t, layer, norm_dy, ROWS * IN, true);
    ASSERT_SAME(t.y, batch_norm_y);
    ASSERT_SAME(t.dx[0], batch_norm_dx);
    ASSERT_SAME(t.dw[0], batch_norm_dw);
    for (int j = 0; j < 2 * IN; j++)
        running[j] += t.dw[1][j] + (j < IN ? 0 : 1);
    ASSERT_SAME(running, batch_norm_running);
}

static void cross(void **state)
{
    struct trial t = {.x = {cross_x0, cross_x}, .parameter = {cross_w}, .width = IN};

    (void)state;
    run(&t, (struct graph_layer){.kind = LAYER_CROSS, .input = {"a", "b"}}, cross_dy,
        ROWS * IN, true);
    ASSERT_SAME(t.y, cross_y);
    ASSERT_SAME(t.dx[0], cross_dx0);
    ASSERT_SAME(t.dx[1], cross_dx);
    ASSERT_SAME(t.dw[0], cross_dw);
}

static void factorization_machine(void **state)
{
    struct trial t = {.x = {fm_x}, .width = IN, .steps = REFERENCE_STEPS};

    (void)state;
    run(&t, (struct graph_layer){.kind = LAYER_FM, .input = {"a"}}, fm_dy, ROWS, true);
    ASSERT_SAME(t.y, fm_y);
    ASSERT_SAME(t.dx[0], fm_dx);
}

static void softmax_cross_entropy(void **state)
{
    const uint32_t target[] = {0, 5, 2, 2, 1}, offset[] = {0, 1, 2, 3, 4, 5};
    const float share[] = {1, 1, 1, 1, 1};
    float gradient[ROWS * IN] = {0}, scratch[IN], loss;

    (void)state;
    loss = (float)loss_multinomial(layer_kernels(cpu_level()), classes_score, offset,
                                   target, share, NULL, ROWS, IN, scratch, gradient);
    ASSERT_SAME(&loss, classes_y);
    ASSERT_SAME(gradient, classes_dscore);
}

static void bayesian_personalised_ranking(void **state)
{
    float dpositive[ROWS] = {0}, dnegative[ROWS * REFERENCE_STEPS] = {0}, loss;

    (void)state;
    loss = (float)loss_bpr(bpr_positive, bpr_negative, NULL, ROWS, REFERENCE_STEPS,
                           dpositive, dnegative);
    ASSERT_SAME(&loss, bpr_y);
    ASSERT_SAME(dpositive, bpr_dpositive);
    ASSERT_SAME(dnegative, bpr_dnegative);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dense_with_activations),
        cmocka_unit_test(layer_norm),
        cmocka_unit_test(batch_norm),
        cmocka_unit_test(cross),
        cmocka_unit_test(factorization_machine),
        cmocka_unit_test(softmax_cross_entropy),
        cmocka_unit_test(bayesian_personalised_ranking),
    };

    blas_init();
    return cmocka_run_group_tests_name("layer_reference", tests, NULL, NULL);
}

/* Layers against their twins in double precision: values, and gradients against finite
 * differences of the twins; all levels give the same bits. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/rng.h"
#include "tests/numeric/twin_layers.h"
#include "worker/model/blas.h"

enum { PARTS = 3, FLOATS_MAX = 1200 };

/* A layer with what it is fed: up to three arrays that have gradients. */
struct trial {
    const char *name;
    const struct layer_kernels *k;
    uint32_t rows, steps, width, out;
    enum activation activation;
    uint32_t n[PARTS + 1]; /* floats of each part, then of y */
    float part[PARTS][FLOATS_MAX], dpart[PARTS][FLOATS_MAX];
    float y[FLOATS_MAX], dy[FLOATS_MAX];
};

static const float epsilon = 1e-3f, slope = 0.1f;

/* Runs forward and backward; dy is used up. */
typedef void run_layer(struct trial *t);
typedef void run_twin(const struct trial *t, double (*part)[FLOATS_MAX], double *y);

struct layer_case {
    const char *name;
    run_layer *run;
    run_twin *twin;
    void (*sizes)(struct trial *t); /* sets n */
};

static float number(uint64_t stream, uint64_t n)
{
    return (float)(2 * rng_unit(rng_at(91, stream, n)) - 1);
}

/* --- the layers --------------------------------------------------------------------
 */

static void dense_sizes(struct trial *t)
{
    t->n[0] = t->rows * t->width;
    t->n[1] = (t->width + 1) * t->out;
    t->n[PARTS] = t->rows * t->out;
}

static void run_dense(struct trial *t)
{
    struct dense d = {t->width, t->out, t->activation, slope};
    float z[FLOATS_MAX];

    dense_forward(t->k, &d, t->part[0], t->part[1], t->rows, z, t->y);
    dense_backward(t->k, &d, t->part[0], t->part[1], z, t->y, t->rows, t->dy,
                   t->dpart[1], t->dpart[0]);
}

static void dense_twin(const struct trial *t, double (*part)[FLOATS_MAX], double *y)
{
    twin_affine(part[0], part[1], t->rows, t->width, t->out, y);
    twin_activate(t->activation, (double)slope, t->rows, t->out, y);
}

static void cross_sizes(struct trial *t)
{
    t->n[0] = t->n[1] = t->n[PARTS] = t->rows * t->width;
    t->n[2] = (t->width + 1) * t->width;
}

static void run_cross(struct trial *t)
{
    float z[FLOATS_MAX];

    cross_forward(t->k, t->part[0], t->part[1], t->part[2], t->rows, t->width, z, t->y);
    cross_backward(t->k, t->part[0], t->part[1], t->part[2], t->dy, t->rows, t->width,
                   z, t->dpart[2], t->dpart[0], t->dpart[1]);
}

static void cross_twin(const struct trial *t, double (*part)[FLOATS_MAX], double *y)
{
    twin_cross(part[0], part[1], part[2], t->rows, t->width, y);
}

static void steps_sizes(struct trial *t)
{
    t->n[0] = t->rows * t->steps * t->width;
    t->n[PARTS] = t->rows * t->width;
}

static void run_pool(struct trial *t)
{
    t->k->pool_forward(t->part[0], t->rows, t->steps, t->width, 0.3f, t->y);
    t->k->pool_backward(t->dy, t->rows, t->steps, t->width, 0.3f, t->dpart[0]);
}

static void pool_twin(const struct trial *t, double (*part)[FLOATS_MAX], double *y)
{
    twin_pool(part[0], t->rows, t->steps, t->width, (double)0.3f, y);
}

static void pairs_sizes(struct trial *t)
{
    steps_sizes(t);
    t->n[PARTS] = t->rows * t->steps * (t->steps - 1) / 2;
}

static void run_pairs(struct trial *t)
{
    t->k->pairs_forward(t->part[0], t->rows, t->steps, t->width, t->y);
    t->k->pairs_backward(t->part[0], t->dy, t->rows, t->steps, t->width, t->dpart[0]);
}

static void pairs_twin(const struct trial *t, double (*part)[FLOATS_MAX], double *y)
{
    twin_pairs(part[0], t->rows, t->steps, t->width, 0, y);
}

static void fm_sizes(struct trial *t)
{
    steps_sizes(t);
    t->n[PARTS] = t->rows;
}

static void run_fm(struct trial *t)
{
    float sum[FLOATS_MAX];

    t->k->fm_forward(t->part[0], t->rows, t->steps, t->width, sum, t->y);
    t->k->fm_backward(t->part[0], sum, t->dy, t->rows, t->steps, t->width, t->dpart[0]);
}

static void fm_twin(const struct trial *t, double (*part)[FLOATS_MAX], double *y)
{
    twin_pairs(part[0], t->rows, t->steps, t->width, 1, y);
}

static void dot_sizes(struct trial *t)
{
    t->n[0] = t->n[1] = t->rows * t->width;
    t->n[PARTS] = t->rows;
}

static void run_dot(struct trial *t)
{
    t->k->dot_forward(t->part[0], t->part[1], t->rows, t->width, t->y);
    t->k->dot_backward(t->part[1], t->dy, t->rows, t->width, t->dpart[0]);
    t->k->dot_backward(t->part[0], t->dy, t->rows, t->width, t->dpart[1]);
}

static void dot_twin(const struct trial *t, double (*part)[FLOATS_MAX], double *y)
{
    for (uint32_t i = 0; i < t->rows; i++) {
        y[i] = 0;
        for (uint32_t j = i * t->width; j < (i + 1) * t->width; j++)
            y[i] += part[0][j] * part[1][j];
    }
}

static void match_sizes(struct trial *t)
{
    t->n[0] = t->rows * t->width;
    t->n[1] = t->steps * t->width;
    t->n[PARTS] = t->rows * t->steps;
}

static void run_match(struct trial *t)
{
    match_forward(t->part[0], t->part[1], t->rows, t->steps, t->width, t->y);
    match_backward(t->part[0], t->part[1], t->dy, t->rows, t->steps, t->width,
                   t->dpart[0], t->dpart[1]);
}

static void match_twin(const struct trial *t, double (*part)[FLOATS_MAX], double *y)
{
    for (uint32_t i = 0; i < t->rows; i++)
        for (uint32_t j = 0; j < t->steps; j++) {
            double total = 0;

            for (uint32_t l = 0; l < t->width; l++)
                total += part[0][i * t->width + l] * part[1][j * t->width + l];
            y[i * t->steps + j] = total;
        }
}

static void norm_sizes(struct trial *t)
{
    t->n[0] = t->n[PARTS] = t->rows * t->width;
    t->n[1] = 2 * t->width;
}

static void run_layer_norm(struct trial *t)
{
    float mean[FLOATS_MAX], rstd[FLOATS_MAX], *gain = t->part[1];

    t->k->layer_norm_forward(t->part[0], gain, gain + t->width, t->rows, t->width,
                             epsilon, mean, rstd, t->y);
    t->k->layer_norm_backward(t->part[0], gain, mean, rstd, t->dy, t->rows, t->width,
                              t->dpart[1], t->dpart[1] + t->width, t->dpart[0]);
}

static void layer_norm_twin(const struct trial *t, double (*part)[FLOATS_MAX],
                            double *y)
{
    twin_layer_norm(part[0], part[1], t->rows, t->width, (double)epsilon, y);
}

static void run_batch_norm(struct trial *t)
{
    float mean[FLOATS_MAX], rstd[FLOATS_MAX], sums[FLOATS_MAX], *gain = t->part[1];

    t->k->batch_statistics(t->part[0], t->rows, t->width, mean, rstd);
    for (uint32_t j = 0; j < t->width; j++)
        rstd[j] = 1 / sqrtf(rstd[j] + epsilon);
    t->k->batch_norm_forward(t->part[0], mean, rstd, gain, gain + t->width, t->rows,
                             t->width, t->y);
    t->k->batch_norm_backward(t->part[0], mean, rstd, gain, t->dy, t->rows, t->width,
                              sums, t->dpart[0]);
    t->k->add(sums + t->width, t->width, t->dpart[1]);
    t->k->add(sums, t->width, t->dpart[1] + t->width);
}

static void batch_norm_twin(const struct trial *t, double (*part)[FLOATS_MAX],
                            double *y)
{
    twin_batch_norm(part[0], part[1], t->rows, t->width, (double)epsilon, y);
}

static const struct layer_case cases[] = {
    {"dense", run_dense, dense_twin, dense_sizes},
    {"cross", run_cross, cross_twin, cross_sizes},
    {"match", run_match, match_twin, match_sizes},
    {"pool", run_pool, pool_twin, steps_sizes},
    {"pairs", run_pairs, pairs_twin, pairs_sizes},
    {"fm", run_fm, fm_twin, fm_sizes},
    {"dot", run_dot, dot_twin, dot_sizes},
    {"layer norm", run_layer_norm, layer_norm_twin, norm_sizes},
    {"batch norm", run_batch_norm, batch_norm_twin, norm_sizes},
};
/* The first ones are products of matrices. */
enum { CASES = sizeof cases / sizeof cases[0], PRODUCTS = 3 };

/* --- what is checked ---------------------------------------------------------------
 */

/* Gradients begin at 0.25: they are to be added to. */
static void trial_init(struct trial *t, const struct layer_case *c, uint32_t width,
                       enum activation activation, enum cpu_level level)
{
    memset(t, 0, sizeof *t);
    t->name = c->name;
    t->k = layer_kernels(level);
    t->rows = 5;
    t->steps = 4;
    t->width = width;
    t->out = 1 + width % 5;
    t->activation = activation;
    c->sizes(t);
    for (uint32_t p = 0; p < PARTS; p++)
        for (uint32_t i = 0; i < t->n[p]; i++) {
            t->part[p][i] = number(p, i * 64 + width);
            t->dpart[p][i] = 0.25f;
        }
    for (uint32_t i = 0; i < t->n[PARTS]; i++)
        t->dy[i] = number(9, i);
}

static void assert_near(const struct trial *t, const char *what, double value,
                        double expected)
{
    if (!(fabs(value - expected) <= 2e-5 * fmax(1, fabs(expected))))
        fail_msg("%s, activation %d, width %u: %s is %.9g, not %.9g", t->name,
                 (int)t->activation, t->width, what, value, expected);
}

static double twin_loss(const struct trial *t, run_twin *twin,
                        double (*part)[FLOATS_MAX], const float *dy)
{
    double y[FLOATS_MAX], total = 0;

    twin(t, part, y);
    for (uint32_t i = 0; i < t->n[PARTS]; i++)
        total += y[i] * (double)dy[i];
    return total;
}

static void check_case(const struct layer_case *c, uint32_t width,
                       enum activation activation)
{
    static struct trial t;
    static double part[PARTS][FLOATS_MAX], y[FLOATS_MAX];
    static float dy[FLOATS_MAX];
    const double step = 1e-5;

    trial_init(&t, c, width, activation, cpu_level());
    memcpy(dy, t.dy, sizeof dy);
    for (uint32_t p = 0; p < PARTS; p++)
        for (uint32_t i = 0; i < t.n[p]; i++)
            part[p][i] = (double)t.part[p][i];
    c->run(&t);
    c->twin(&t, part, y);
    for (uint32_t i = 0; i < t.n[PARTS]; i++)
        assert_near(&t, "a value", (double)t.y[i], y[i]);
    for (uint32_t p = 0; p < PARTS; p++)
        for (uint32_t i = 0; i < t.n[p]; i++) {
            double old = part[p][i], above, below;

            part[p][i] = old + step;
            above = twin_loss(&t, c->twin, part, dy);
            part[p][i] = old - step;
            below = twin_loss(&t, c->twin, part, dy);
            part[p][i] = old;
            assert_near(&t, "a slope", (double)t.dpart[p][i],
                        0.25 + (above - below) / (2 * step));
        }
}

static void gradients_are_the_slopes(void **state)
{
    (void)state;
    for (uint32_t c = 0; c < CASES; c++)
        for (uint32_t width = 1; width <= 21; width += width < 3 ? 1 : 6)
            check_case(&cases[c], width, ACTIVATION_TANH);
    for (enum activation a = ACTIVATION_LINEAR; a <= ACTIVATION_SOFTMAX; a++)
        check_case(&cases[0], 8, a);
}

/* OpenBLAS may round as it likes, so layers with products are left out. */
static void levels_give_the_same_bits(void **state)
{
    static struct trial t, twin;

    (void)state;
    for (uint32_t c = PRODUCTS; c < CASES; c++)
        for (uint32_t width = 1; width <= 40; width++) {
            trial_init(&twin, &cases[c], width, ACTIVATION_TANH, CPU_V2);
            cases[c].run(&twin);
            for (enum cpu_level l = CPU_V3; l <= cpu_level(); l++) {
                trial_init(&t, &cases[c], width, ACTIVATION_TANH, l);
                cases[c].run(&t);
                assert_memory_equal(t.y, twin.y, sizeof t.y);
                assert_memory_equal(t.dpart, twin.dpart, sizeof t.dpart);
            }
        }
}

static void activations_at(enum activation kind, float from, float to)
{
    enum { N = 3001 };
    static float x[N], y[N], dy[N], first[2][N];

    for (enum cpu_level l = CPU_V2; l <= cpu_level(); l++) {
        const struct layer_kernels *k = layer_kernels(l);

        for (uint32_t i = 0; i < N; i++) {
            x[i] = y[i] = from + (to - from) * (float)i / (N - 1);
            dy[i] = 1;
        }
        k->activate(kind, slope, 1, N, y);
        k->activation_through(kind, slope, x, y, 1, N, dy);
        for (uint32_t i = 0; i < N; i++) {
            double wanted = twin_activation(kind, (double)slope, (double)x[i]);

            if (!(fabs((double)y[i] - wanted) <= 1e-6 * fabs(wanted) + 1e-37))
                fail_msg("activation %d of %g is %.9g, not %.9g", (int)kind,
                         (double)x[i], (double)y[i], wanted);
        }
        if (l == CPU_V2) {
            memcpy(first[0], y, sizeof y);
            memcpy(first[1], dy, sizeof dy);
        }
        assert_memory_equal(first[0], y, sizeof y);
        assert_memory_equal(first[1], dy, sizeof dy);
    }
}

static void activations_are_exact_everywhere(void **state)
{
    (void)state;
    for (enum activation a = ACTIVATION_RELU; a <= ACTIVATION_TANH; a++) {
        activations_at(a, -3, 3);
        activations_at(a, -1e-3f, 1e-3f);
        if (a != ACTIVATION_GELU) /* its tail is a difference of nearly equal numbers */
            activations_at(a, -80, 100);
    }
    activations_at(ACTIVATION_GELU, -2, 50);
}

/* What is no number stays none, so that a run can stop for it. */
static void nothing_hides_what_is_no_number(void **state)
{
    (void)state;
    for (enum activation a = ACTIVATION_LINEAR; a <= ACTIVATION_SOFTMAX; a++)
        for (enum cpu_level l = CPU_V2; l <= cpu_level(); l++) {
            float y[40] = {0};

            y[3] = y[37] = NAN;
            layer_kernels(l)->activate(a, slope, 1, 40, y);
            assert_true(isnan(y[3]) && isnan(y[37]));
        }
}

static void softmax_of_large_and_small(void **state)
{
    const float x[] = {1000, 999, -INFINITY, 0, -1000};
    float p[5];
    double log_sum = layer_kernels(cpu_level())->softmax(x, 5, p);

    (void)state;
    assert_true(fabs(log_sum - (1000 + log1p(exp(-1)))) < 1e-6);
    assert_true(fabsf(p[0] - 0.7310586f) < 1e-6f && fabsf(p[1] - 0.2689414f) < 1e-6f);
    assert_true(p[2] == 0 && p[3] == 0 && p[4] == 0);
}

static void softmax_has_the_same_bits(void **state)
{
    enum { WIDTH_MAX = 70, COUNT = 3 * WIDTH_MAX };

    (void)state;
    for (uint32_t width = 1; width <= WIDTH_MAX; width++) {
        float x[COUNT], y[COUNT], dy[COUNT], first[2][COUNT], p[WIDTH_MAX];
        double log_sum = 0;

        for (uint32_t i = 0; i < COUNT; i++)
            x[i] = 5 * number(20 + width, i);
        for (enum cpu_level l = CPU_V2; l <= cpu_level(); l++) {
            const struct layer_kernels *k = layer_kernels(l);
            double now = k->softmax(x, width, p);

            memcpy(y, x, sizeof y);
            for (uint32_t i = 0; i < COUNT; i++)
                dy[i] = number(7, i);
            k->activate(ACTIVATION_SOFTMAX, 0, 3, width, y);
            k->activation_through(ACTIVATION_SOFTMAX, 0, x, y, 3, width, dy);
            assert_memory_equal(p, y, width * sizeof *p);
            if (l == CPU_V2) {
                memcpy(first[0], y, sizeof y);
                memcpy(first[1], dy, sizeof dy);
                log_sum = now;
            }
            assert_memory_equal(first[0], y, sizeof y);
            assert_memory_equal(first[1], dy, sizeof dy);
            assert_true(log_sum == now);
        }
    }
}

/* --- rows of tables ----------------------------------------------------------------
 */

static void rows_by_their_places(void **state)
{
    const float value[] = {1, 2, 9, 3, 4, 9};
    const float dy[] = {1, 10, 2, 20, -1, 3, 30, 4, 40, -1};
    const uint32_t pos[] = {1, 0, LAYER_NO_ROW, 1};
    const struct layer_rows from = {value, pos, 3, 2};
    const struct layer_spread spread = {2, 5};
    const float wanted[] = {3, 4, 1, 2, 7, 0, 0, 3, 4, 7};
    const float slopes[] = {3, 21, 5, 5, 50, 5};

    (void)state;
    for (enum cpu_level l = CPU_V2; l <= cpu_level(); l++) {
        float y[] = {7, 7, 7, 7, 7, 7, 7, 7, 7, 7}, dvalue[] = {1, 1, 5, 0, 0, 5};

        layer_kernels(l)->rows_forward(from, 4, spread, y);
        assert_memory_equal(y, wanted, sizeof y);
        layer_kernels(l)->rows_backward(from, dy, 4, spread, dvalue);
        assert_memory_equal(dvalue, slopes, sizeof slopes);
    }
}

static void bags_of_rows(void **state)
{
    const float value[] = {1, 2, 9, 3, 4, 9}, weight[] = {1, 3, 5, -1, 1};
    const uint32_t pos[] = {1, 0, LAYER_NO_ROW, 1, 1}, offset[] = {0, 2, 3, 3, 5};
    const struct layer_rows from = {value, pos, 3, 2};
    const float sums[] = {6, 10, 0, 0, 0, 0, 0, 0};
    const float means[] = {1.5f, 2.5f, 0, 0, 0, 0, 0, 0};
    const float dy[] = {4, 8, 100, 100, 100, 100, 7, 7};
    const float sum_slopes[] = {13, 25, 5, 4, 8, 5};
    const float mean_slopes[] = {4, 7, 5, 1, 2, 5};

    (void)state;
    for (enum cpu_level l = CPU_V2; l <= cpu_level(); l++)
        for (int mean = 0; mean < 2; mean++) {
            float y[8], dvalue[] = {1, 1, 5, 0, 0, 5};

            layer_kernels(l)->bag_forward(from, offset, weight, mean, 4, y);
            assert_memory_equal(y, mean ? means : sums, sizeof y);
            layer_kernels(l)->bag_backward(from, offset, weight, mean, dy, 4, dvalue);
            assert_memory_equal(dvalue, mean ? mean_slopes : sum_slopes, sizeof dvalue);
        }
}

static void columns_side_by_side(void **state)
{
    const float a[] = {1, 2, 3, 4}, b[] = {5, 6}, wanted[] = {1, 2, 5, 3, 4, 6};
    const float slopes[] = {2, 3, 4, 5};
    const struct layer_kernels *k = layer_kernels(cpu_level());
    float y[6], da[] = {1, 1, 1, 1};

    (void)state;
    k->place(a, 2, 2, y, 3);
    k->place(b, 2, 1, y + 2, 3);
    assert_memory_equal(y, wanted, sizeof y);
    k->add_placed(a, 1, 4, 4, da);
    assert_memory_equal(da, slopes, sizeof da);
    memset(da, 0, sizeof da);
    k->add_placed(y, 2, 2, 3, da);
    assert_memory_equal(da, a, sizeof da);
}

/* --- dropout -----------------------------------------------------------------------
 */

static void dropout_keeps_its_share(void **state)
{
    enum { N = 20001 };
    static float x[N], y[N], dx[N], first[N];
    uint32_t zeros = 0, changed = 0;

    (void)state;
    for (uint32_t i = 0; i < N; i++)
        x[i] = 3;
    for (enum cpu_level l = CPU_V2; l <= cpu_level(); l++) {
        const struct layer_kernels *k = layer_kernels(l);

        memset(dx, 0, sizeof dx);
        memcpy(y, x, sizeof y);
        k->dropout(N, 0.25f, 7, 1, 0, y);
        k->dropout_backward(x, N, 0.25f, 7, 1, 0, dx);
        assert_memory_equal(y, dx, sizeof y);
        if (l == CPU_V2)
            memcpy(first, y, sizeof y);
        assert_memory_equal(y, first, sizeof y);
    }
    for (uint32_t i = 0; i < N; i++) {
        assert_true(y[i] == 0 || y[i] == 4);
        zeros += y[i] == 0;
    }
    assert_in_range(zeros, N / 4 - 300, N / 4 + 300); /* five deviations */
    memcpy(y, x, sizeof y);
    layer_kernels(CPU_V2)->dropout(N, 0.25f, 7, 2, 0, y);
    for (uint32_t i = 0; i < N; i++)
        changed += y[i] != first[i];
    assert_in_range(changed, N * 3 / 8 - 350, N * 3 / 8 + 350);
    memcpy(y, x, sizeof y);
    layer_kernels(CPU_V2)->dropout(N, 0, 7, 2, 0, y);
    assert_memory_equal(y, x, sizeof y);
}

/* More rows than one block, a product with one column, and weights that nobody asks
 * the slope of x of. */
static void dense_in_blocks(void **state)
{
    enum { ROWS = 10000, IN = 40 };
    static float x[ROWS * IN], y[ROWS], dy[ROWS], dweight[IN + 1], weight[IN + 1];
    const struct dense d = {IN, 1, ACTIVATION_LINEAR, 0};
    const struct layer_kernels *k = layer_kernels(cpu_level());
    double slopes[IN + 1] = {0};

    (void)state;
    for (uint32_t i = 0; i < ROWS * IN; i++)
        x[i] = number(4, i);
    for (uint32_t j = 0; j <= IN; j++)
        weight[j] = number(5, j);
    for (uint32_t i = 0; i < ROWS; i++)
        dy[i] = number(6, i);
    dense_forward(k, &d, x, weight, ROWS, NULL, y);
    dense_backward(k, &d, x, weight, NULL, y, ROWS, dy, dweight, NULL);
    for (uint32_t i = 0; i < ROWS; i++) {
        double wanted = (double)weight[IN];

        for (uint32_t j = 0; j < IN; j++) {
            wanted += (double)x[i * IN + j] * (double)weight[j];
            slopes[j] += (double)x[i * IN + j] * (double)dy[i];
        }
        slopes[IN] += (double)dy[i];
        assert_true(fabs((double)y[i] - wanted) < 1e-5);
    }
    for (uint32_t j = 0; j <= IN; j++)
        assert_true(fabs((double)dweight[j] - slopes[j]) < 1e-3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(gradients_are_the_slopes),
        cmocka_unit_test(levels_give_the_same_bits),
        cmocka_unit_test(activations_are_exact_everywhere),
        cmocka_unit_test(nothing_hides_what_is_no_number),
        cmocka_unit_test(softmax_of_large_and_small),
        cmocka_unit_test(softmax_has_the_same_bits),
        cmocka_unit_test(rows_by_their_places),
        cmocka_unit_test(bags_of_rows),
        cmocka_unit_test(columns_side_by_side),
        cmocka_unit_test(dropout_keeps_its_share),
        cmocka_unit_test(dense_in_blocks),
    };

    blas_init();
    return cmocka_run_group_tests_name("layer", tests, NULL, NULL);
}

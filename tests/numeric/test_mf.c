#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/job.h"
#include "common/rng.h"
#include "worker/model/blas.h"
#include "worker/model/mf.h"
#include "worker/model/mf_kernels.h"

enum {
    EXAMPLES = 40,
    USERS = 7,
    ITEMS = 9,
    DIM_MAX = 130,
    WIDTH_MAX = DIM_MAX + 1,
    STRIDE_MAX = 144
};

/* A batch of its own data, by chance from a seed. */
struct fixture {
    struct mf mf;
    struct mf_batch batch;
    uint32_t user_pos[EXAMPLES], item_pos[EXAMPLES];
    float label[EXAMPLES];
    float user[USERS * WIDTH_MAX], item[ITEMS * WIDTH_MAX];
    float user_gradient[USERS * WIDTH_MAX], item_gradient[ITEMS * WIDTH_MAX];
};

static float number(uint64_t stream, uint64_t n)
{
    return (float)(rng_unit(rng_at(77, stream, n)) - 0.5);
}

static void fixture_init(struct fixture *f, uint32_t dim, bool bias, int loss)
{
    memset(f, 0, sizeof *f);
    f->mf = (struct mf){.dim = dim, .width = dim + bias, .bias = bias, .loss = loss};
    mf_set_mean(&f->mf, loss == LOSS_SQUARED ? 3.5 : 0.3);
    for (uint32_t i = 0; i < EXAMPLES; i++) {
        f->user_pos[i] = (uint32_t)rng_below(rng_at(78, dim, i), USERS);
        f->item_pos[i] = (uint32_t)rng_below(rng_at(79, dim, i), ITEMS);
        f->label[i] = (float)(loss == LOSS_SQUARED ? 1 + i % 5 : i % 2);
    }
    for (uint32_t i = 0; i < USERS * f->mf.width; i++)
        f->user[i] = number(dim, i);
    for (uint32_t i = 0; i < ITEMS * f->mf.width; i++)
        f->item[i] = number(dim + 1000, i);
    f->batch = (struct mf_batch){.n = EXAMPLES,
                                 .user_pos = f->user_pos,
                                 .item_pos = f->item_pos,
                                 .label = f->label,
                                 .user = f->user,
                                 .item = f->item};
}

static void assert_close(double value, double expected, double tolerance)
{
    if (!(fabs(value - expected) <= tolerance * fmax(1, fabs(expected))))
        fail_msg("%.9g is not %.9g", value, expected);
}

/* The kernels' order of addition, by the plainest means: bits must be equal. */
static float twin_score(const struct mf *mf, const float *u, const float *v)
{
    float sum[16] = {0}, score;

    for (uint32_t j = 0; j < mf->dim; j++)
        sum[j % 16] += u[j] * v[j];
    for (uint32_t half = 8; half > 0; half /= 2)
        for (uint32_t lane = 0; lane < half; lane++)
            sum[lane] += sum[lane + half];
    score = mf->mean + sum[0];
    return mf->bias ? score + (u[mf->dim] + v[mf->dim]) : score;
}

static float twin_derivative(int loss, float score, float label)
{
    double e = exp(-fabs((double)score));
    double p = score >= 0 ? 1 / (1 + e) : e / (1 + e);

    return loss == LOSS_SQUARED ? score - label : (float)(p - (double)label);
}

static void twin_backward(const struct mf *mf, const struct mf_batch *batch,
                          float *user_gradient, float *item_gradient)
{
    for (uint32_t i = 0; i < batch->n; i++) {
        const float *u = batch->user + batch->user_pos[i] * mf->width;
        const float *v = batch->item + batch->item_pos[i] * mf->width;
        float *to_u = user_gradient + batch->user_pos[i] * mf->width;
        float *to_v = item_gradient + batch->item_pos[i] * mf->width;
        float e = twin_derivative(mf->loss, twin_score(mf, u, v), batch->label[i]);

        for (uint32_t j = 0; j < mf->dim; j++) {
            to_u[j] += e * v[j];
            to_v[j] += e * u[j];
        }
        if (mf->bias) {
            to_u[mf->dim] += e;
            to_v[mf->dim] += e;
        }
    }
}

/* The summed loss in double precision, half of it for the squared one. */
static double loss_in_double(const struct mf *mf, const struct mf_batch *batch)
{
    double sum = 0;

    for (uint32_t i = 0; i < batch->n; i++) {
        const float *u = batch->user + batch->user_pos[i] * mf->width;
        const float *v = batch->item + batch->item_pos[i] * mf->width;
        double z = mf->mean, y = batch->label[i];
        double weight = batch->weight ? batch->weight[i] : 1;

        for (uint32_t j = 0; j < mf->dim; j++)
            z += (double)u[j] * v[j];
        if (mf->bias)
            z += (double)u[mf->dim] + v[mf->dim];
        if (mf->loss == LOSS_SQUARED)
            sum += weight * 0.5 * (y - z) * (y - z);
        else
            sum -= weight *
                   (y * log(1 / (1 + exp(-z))) + (1 - y) * log(1 - 1 / (1 + exp(-z))));
    }
    return sum;
}

static void test_by_hand(void **state)
{
    const uint32_t user_pos[] = {0, 0}, item_pos[] = {0, 1};
    const float user[] = {1, 2, 0.5f}, item[] = {3, -1, 0.25f, 0, 0, 0};
    const float label[] = {4, 3};
    const struct mf mf = {.dim = 2, .width = 3, .bias = true, .mean = 3};
    const struct mf_batch batch = {2, user_pos, item_pos, label, user, item, NULL};
    float user_gradient[3] = {0}, item_gradient[6] = {0}, score[2];
    /* scores: 3 + 0.5 + 0.25 + 3 - 2 = 4.75 and 3 + 0.5 = 3.5; errors 0.75 and 0.5 */
    const float user_expected[] = {2.25f, -0.75f, 1.25f};
    const float item_expected[] = {0.75f, 1.5f, 0.75f, 0.5f, 1, 0.5f};

    (void)state;
    assert_close(mf_forward_backward(&mf, &batch, user_gradient, item_gradient),
                 0.75 * 0.75 + 0.25, 0);
    assert_memory_equal(user_gradient, user_expected, sizeof user_expected);
    assert_memory_equal(item_gradient, item_expected, sizeof item_expected);
    mf_predict_linear(&mf, &batch, score);
    assert_true(score[0] == 4.75f && score[1] == 3.5f);
}

static void check_finite_differences(struct fixture *f, float *row, float *gradient,
                                     uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const float step = 1.0f / 1024, old = row[i];
        double above, below;

        row[i] = old + step;
        above = loss_in_double(&f->mf, &f->batch) / (2.0 * step);
        row[i] = old - step;
        below = loss_in_double(&f->mf, &f->batch) / (2.0 * step);
        row[i] = old;
        assert_close(gradient[i], above - below, 2e-4);
    }
}

static void test_gradients_are_the_losses_slopes(void **state)
{
    static const int losses[] = {LOSS_SQUARED, LOSS_LOGISTIC};
    static struct fixture f;

    (void)state;
    for (int loss = 0; loss < 2; loss++)
        for (uint32_t dim = 1; dim < 40; dim += 13) {
            double sum, factor = loss == 0 ? 2 : 1;

            fixture_init(&f, dim, dim != 14, losses[loss]);
            sum = mf_forward_backward(&f.mf, &f.batch, f.user_gradient,
                                      f.item_gradient);
            assert_close(sum, factor * loss_in_double(&f.mf, &f.batch), 1e-5);
            check_finite_differences(&f, f.user, f.user_gradient, USERS * f.mf.width);
            check_finite_differences(&f, f.item, f.item_gradient, ITEMS * f.mf.width);
        }
}

/* An example of weight 2 counts as if it came twice, one of weight 0 not at all; and
 * the gradients of weighted losses are their slopes, too. */
static void test_weights_scale_losses_and_gradients(void **state)
{
    static const float weight[EXAMPLES] = {[0] = 2, [1] = 0, [2] = 1, [5] = 0.25F};
    float twice[USERS * WIDTH_MAX] = {0}, items[ITEMS * WIDTH_MAX] = {0};
    struct fixture f;
    double sum, plain = 0;

    (void)state;
    for (int loss = LOSS_SQUARED; loss <= LOSS_LOGISTIC; loss++) {
        fixture_init(&f, 9, true, loss);
        f.batch.weight = weight;
        sum = mf_forward_backward(&f.mf, &f.batch, f.user_gradient, f.item_gradient);
        check_finite_differences(&f, f.user, f.user_gradient, USERS * f.mf.width);
        check_finite_differences(&f, f.item, f.item_gradient, ITEMS * f.mf.width);
        memset(twice, 0, sizeof twice);
        memset(items, 0, sizeof items);
        plain = 0;
        f.batch.weight = NULL;
        f.batch.n = 1;
        for (uint32_t i = 0; i < EXAMPLES; i++) {
            f.batch.user_pos = f.user_pos + i;
            f.batch.item_pos = f.item_pos + i;
            f.batch.label = f.label + i;
            for (int k = 0; k < (int)(4 * weight[i]); k++)
                plain += mf_forward_backward(&f.mf, &f.batch, twice, items) / 4;
        }
        assert_close(sum, plain, 1e-6);
        for (uint32_t i = 0; i < USERS * f.mf.width; i++)
            assert_close(f.user_gradient[i], twice[i] / 4, 1e-5);
        for (uint32_t i = 0; i < ITEMS * f.mf.width; i++)
            assert_close(f.item_gradient[i], items[i] / 4, 1e-5);
    }
}

/* Every level, every remainder of the dimension by 16: the twin's bits. */
static void test_levels_give_the_same_bits(void **state)
{
    static struct fixture f, twin;

    (void)state;
    for (uint32_t dim = 1; dim <= DIM_MAX; dim += dim < 70 ? 1 : 30)
        for (int variant = 0; variant < 4; variant++) {
            double first = 0;

            fixture_init(&twin, dim, variant & 1, variant / 2);
            twin_backward(&twin.mf, &twin.batch, twin.user_gradient,
                          twin.item_gradient);
            for (enum cpu_level level = CPU_V2; level <= cpu_level(); level++) {
                double sum;

                fixture_init(&f, dim, variant & 1, variant / 2);
                sum = mf_kernels(level)->forward_backward(
                    &f.mf, &f.batch, f.user_gradient, f.item_gradient);
                assert_memory_equal(f.user_gradient, twin.user_gradient,
                                    sizeof f.user_gradient);
                assert_memory_equal(f.item_gradient, twin.item_gradient,
                                    sizeof f.item_gradient);
                if (level == CPU_V2)
                    first = sum;
                assert_memory_equal(&sum, &first, sizeof sum);
            }
        }
}

/* The published rule, one example after another, both rows from what they were before;
 * biases with a rate of their own. */
static void twin_sgd(struct fixture *f, float rate, float bias_rate, float l2)
{
    const struct mf *mf = &f->mf;

    for (uint32_t i = 0; i < f->batch.n; i++) {
        float *u = f->user + (size_t)f->user_pos[i] * mf->width;
        float *v = f->item + (size_t)f->item_pos[i] * mf->width;
        float e = twin_derivative(mf->loss, twin_score(mf, u, v), f->label[i]);

        for (uint32_t j = 0; j < mf->width; j++) {
            float a = u[j], b = v[j], r = j == mf->dim ? bias_rate : rate;

            u[j] = (1 - r * l2) * a - r * e * (j == mf->dim ? 1 : b);
            v[j] = (1 - r * l2) * b - r * e * (j == mf->dim ? 1 : a);
        }
    }
}

/* The fixture's rows as a block. */
struct spread {
    float user[USERS * STRIDE_MAX] __attribute__((aligned(64)));
    float item[ITEMS * STRIDE_MAX] __attribute__((aligned(64)));
    float user_bias[USERS], item_bias[ITEMS];
    struct mf_block block;
};

static void spread_init(struct spread *s, const struct fixture *f)
{
    memset(s, 0xff, sizeof *s); /* what is not written is not a number */
    mf_spread(&f->mf, f->user, USERS, s->user, s->user_bias);
    mf_spread(&f->mf, f->item, ITEMS, s->item, s->item_bias);
    s->block = (struct mf_block){f->batch.n, f->user_pos, f->item_pos,  f->label,
                                 s->user,    s->item,     s->user_bias, s->item_bias,
                                 0.05f,      0.01f,       0.02f};
}

/* What a block differs by from the rows that it was made of, added to them, is near
 * what the twin has made of them: the same bits in the block. */
static void check_rows(const struct mf *mf, const struct mf_kernels *kernels,
                       const float *row, const float *factors, const float *bias,
                       uint32_t n, const float *expected)
{
    float difference[ITEMS * WIDTH_MAX];

    kernels->differences(mf, row, factors, bias, n, difference);
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = 0; j < mf->width; j++) {
            float now = j == mf->dim ? bias[i] : factors[i * mf_stride(mf) + j];
            uint32_t at = i * mf->width + j;

            assert_memory_equal(&now, &expected[at], sizeof now);
            assert_true(difference[at] == now - row[at]);
        }
}

static void test_sgd_has_the_same_bits(void **state)
{
    static struct fixture f, twin;
    static struct spread s;

    (void)state;
    for (uint32_t dim = 1; dim <= DIM_MAX; dim += dim < 70 ? 1 : 29)
        for (int variant = 0; variant < 4; variant++) {
            fixture_init(&twin, dim, variant & 1, variant / 2);
            twin_sgd(&twin, 0.05f, 0.01f, 0.02f);
            fixture_init(&f, dim, variant & 1, variant / 2);
            for (enum cpu_level level = CPU_V2; level <= cpu_level(); level++) {
                const struct mf_kernels *kernels = mf_kernels(level);

                spread_init(&s, &f);
                assert_true(kernels->sgd(&f.mf, &s.block) > 0);
                check_rows(&f.mf, kernels, f.user, s.user, s.user_bias, USERS,
                           twin.user);
                check_rows(&f.mf, kernels, f.item, s.item, s.item_bias, ITEMS,
                           twin.item);
            }
        }
}

static void test_scores_have_the_same_bits(void **state)
{
    static struct fixture f;
    float score[EXAMPLES];

    (void)state;
    for (uint32_t dim = 1; dim < 50; dim += 3)
        for (enum cpu_level level = CPU_V2; level <= cpu_level(); level++) {
            fixture_init(&f, dim, dim % 2, LOSS_LOGISTIC);
            mf_kernels(level)->scores(&f.mf, &f.batch, score);
            for (uint32_t i = 0; i < EXAMPLES; i++) {
                float expected = twin_score(&f.mf, f.user + f.user_pos[i] * f.mf.width,
                                            f.item + f.item_pos[i] * f.mf.width);

                assert_memory_equal(&score[i], &expected, sizeof expected);
            }
        }
}

static void test_gradients_are_added(void **state)
{
    static struct fixture f;
    float once[USERS * WIDTH_MAX];

    (void)state;
    fixture_init(&f, 5, true, LOSS_SQUARED);
    f.batch.n = 0;
    assert_true(
        mf_forward_backward(&f.mf, &f.batch, f.user_gradient, f.item_gradient) == 0);
    f.batch.n = 1;
    mf_forward_backward(&f.mf, &f.batch, f.user_gradient, f.item_gradient);
    memcpy(once, f.user_gradient, sizeof once);
    mf_forward_backward(&f.mf, &f.batch, f.user_gradient, f.item_gradient);
    for (uint32_t i = 0; i < USERS * f.mf.width; i++)
        assert_true(f.user_gradient[i] == once[i] * 2);
}

/* Scores far out: the loss grows like the score and nothing becomes NaN or Inf. */
static void test_logistic_loss_far_out(void **state)
{
    const uint32_t pos[] = {0};
    const struct mf mf = {.dim = 1, .width = 1, .loss = LOSS_LOGISTIC};
    float user[] = {1}, item[1], label[1], score[1];
    const struct mf_batch batch = {1, pos, pos, label, user, item, NULL};

    (void)state;
    for (float z = -10000; z <= 10000; z += 20000)
        for (int y = 0; y < 2; y++) {
            float user_gradient[1] = {0}, item_gradient[1] = {0};
            bool wrong = (z > 0) != y;
            double loss;

            item[0] = z;
            label[0] = (float)y;
            loss = mf_forward_backward(&mf, &batch, user_gradient, item_gradient);
            assert_true(loss == (wrong ? 10000 : 0));
            assert_true(item_gradient[0] == (wrong ? 1 - 2 * y : 0));
            mf_predict_linear(&mf, &batch, score);
            mf_link(&mf, score, batch.n);
            assert_true(score[0] == (z > 0 ? 1 : 0));
        }
    item[0] = 0;
    label[0] = 1;
    assert_close(mf_forward_backward(&mf, &batch, user, item), log(2), 1e-12);
}

static void test_mean(void **state)
{
    struct mf mf = {.loss = LOSS_SQUARED};

    (void)state;
    mf_set_mean(&mf, 3.25);
    assert_true(mf.mean == 3.25f);
    mf.loss = LOSS_LOGISTIC;
    mf_set_mean(&mf, 0.5);
    assert_true(mf.mean == 0);
    mf_set_mean(&mf, 0.75);
    assert_close(mf.mean, log(3), 1e-6);
    mf_set_mean(&mf, 1);
    assert_close(mf.mean, log((1 - 1e-6) / 1e-6), 1e-6);
    mf_set_mean(&mf, 0);
    assert_close(mf.mean, -log((1 - 1e-6) / 1e-6), 1e-6);
}

/* One user, many users and the kernels agree but for rounding. */
static void test_scores_by_blas(void **state)
{
    static struct fixture f;
    float one[ITEMS], many[USERS * ITEMS], score[ITEMS];
    uint32_t user_pos[ITEMS], item_pos[ITEMS];

    (void)state;
    for (int variant = 0; variant < 4; variant++) {
        fixture_init(&f, 33, variant & 1, variant / 2);
        mf_score_users(&f.mf, f.user, USERS, f.item, ITEMS, many);
        f.batch.n = ITEMS;
        f.batch.user_pos = user_pos;
        f.batch.item_pos = item_pos;
        for (uint32_t u = 0; u < USERS; u++) {
            for (uint32_t i = 0; i < ITEMS; i++) {
                user_pos[i] = u;
                item_pos[i] = i;
            }
            mf_predict_linear(&f.mf, &f.batch, score);
            mf_score_users(&f.mf, f.user + u * f.mf.width, 1, f.item, ITEMS, one);
            for (uint32_t i = 0; i < ITEMS; i++) {
                assert_close(one[i], score[i], 1e-6);
                assert_close(many[u * ITEMS + i], score[i], 1e-6);
            }
        }
    }
}

static void test_environment_chooses_kernels(void **state)
{
    static const char *const level[] = {"v2", "v3", "v4"};
    static struct fixture f;
    double sum[3];

    (void)state;
    for (int i = 0; i < 3; i++) {
        setenv("ROWHOUSE_KERNELS", level[i], 1);
        fixture_init(&f, 64, true, LOSS_SQUARED);
        sum[i] = mf_forward_backward(&f.mf, &f.batch, f.user_gradient, f.item_gradient);
    }
    unsetenv("ROWHOUSE_KERNELS");
    assert_true(sum[0] > 0 && sum[0] == sum[1] && sum[1] == sum[2]);
    assert_ptr_not_equal(mf_kernels(CPU_V2), mf_kernels(CPU_V4));
    assert_ptr_not_equal(mf_kernels(CPU_V2), mf_kernels(CPU_V3));
}

/* More rows than one call of OpenBLAS gets, and rows wider than the columns used. */
static void test_blas_in_stretches(void **state)
{
    const uint32_t rows = (1 << 20) + 3;
    const float x[] = {2, -1}, factor[] = {1, 2, 9, 3, 4, 9};
    float *a = calloc(rows, 3 * sizeof *a), *out = calloc(rows, 2 * sizeof *out);

    (void)state;
    assert_true(a && out);
    for (uint32_t i = 0; i < rows; i++) {
        a[3 * i] = (float)(i % 1000);
        a[3 * i + 1] = 1;
        a[3 * i + 2] = NAN;
        out[i] = 5;
    }
    blas_add_dots((struct blas_rows){a, rows, 3}, x, 2, out);
    for (uint32_t i = 0; i < rows; i++)
        assert_true(out[i] == (float)(2 * (i % 1000) + 4));
    memset(out, 0, rows * 2 * sizeof *out);
    blas_add_products((struct blas_rows){a, rows, 3}, (struct blas_rows){factor, 2, 3},
                      2, out, 2);
    for (uint32_t i = 0; i < rows; i++) {
        assert_true(out[2 * i] == (float)(i % 1000 + 2));
        assert_true(out[2 * i + 1] == (float)(3 * (i % 1000) + 4));
    }
    free(a);
    free(out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_hand),
        cmocka_unit_test(test_gradients_are_the_losses_slopes),
        cmocka_unit_test(test_weights_scale_losses_and_gradients),
        cmocka_unit_test(test_levels_give_the_same_bits),
        cmocka_unit_test(test_sgd_has_the_same_bits),
        cmocka_unit_test(test_scores_have_the_same_bits),
        cmocka_unit_test(test_gradients_are_added),
        cmocka_unit_test(test_logistic_loss_far_out),
        cmocka_unit_test(test_mean),
        cmocka_unit_test(test_scores_by_blas),
        cmocka_unit_test(test_environment_chooses_kernels),
        cmocka_unit_test(test_blas_in_stretches),
    };

    blas_init();
    return cmocka_run_group_tests_name("mf", tests, NULL, NULL);
}

/* Losses: by hand, against finite differences of formulas written anew in double
 * precision, far out, and with weights. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/rng.h"
#include "worker/model/loss.h"

enum { N = 7, M = 9 };

static float number(uint64_t stream, uint64_t n)
{
    return (float)(6 * rng_unit(rng_at(17, stream, n)) - 3);
}

static void assert_close(double value, double expected, double tolerance)
{
    if (!(fabs(value - expected) <= tolerance * fmax(1, fabs(expected))))
        fail_msg("%.9g is not %.9g", value, expected);
}

/* --- one score an example ----------------------------------------------------------
 */

typedef double loss_of(const float *score, const float *label, const float *weight,
                       uint32_t n, float *gradient);

static double huber_2(const float *score, const float *label, const float *weight,
                      uint32_t n, float *gradient)
{
    return loss_huber(score, label, weight, n, 2, gradient);
}

static double twin_squared(double z, double y)
{
    return (z - y) * (z - y);
}

static double twin_absolute(double z, double y)
{
    return fabs(z - y);
}

static double twin_huber(double z, double y)
{
    double e = fabs(z - y);

    return e <= 2 ? e * e / 2 : 2 * e - 2;
}

static double twin_logistic(double z, double y)
{
    return -y * log(1 / (1 + exp(-z))) - (1 - y) * log(1 - 1 / (1 + exp(-z)));
}

static double twin_hinge(double z, double y)
{
    return fmax(0, y == 1 ? 1 - z : 1 + z);
}

static double twin_squared_hinge(double z, double y)
{
    return twin_hinge(z, y) * twin_hinge(z, y);
}

static const struct {
    loss_of *loss;
    double (*twin)(double z, double y);
    double slopes_of; /* this part of the loss */
} pointwise[] = {
    {loss_squared, twin_squared, 0.5}, {loss_absolute, twin_absolute, 1},
    {huber_2, twin_huber, 1},          {loss_logistic, twin_logistic, 1},
    {loss_hinge, twin_hinge, 1},       {loss_squared_hinge, twin_squared_hinge, 1},
};
enum { LOSSES = sizeof pointwise / sizeof pointwise[0] };

static void one_score_an_example(void **state)
{
    (void)state;
    for (int l = 0; l < LOSSES; l++)
        for (int weighted = 0; weighted < 2; weighted++) {
            float score[N], label[N], weight[N], gradient[N];
            double sum = 0, small = 1e-5;

            for (uint32_t i = 0; i < N; i++) {
                score[i] = number(1, i);
                label[i] = (float)(i % 2);
                weight[i] = 0.5f + (float)i;
                gradient[i] = 0.25f;
                sum += (weighted ? (double)weight[i] : 1) *
                       pointwise[l].twin((double)score[i], (double)label[i]);
            }
            assert_close(
                pointwise[l].loss(score, label, weighted ? weight : NULL, N, gradient),
                sum, 1e-12);
            for (uint32_t i = 0; i < N; i++) {
                double z = (double)score[i], y = (double)label[i];
                double slope = (pointwise[l].twin(z + small, y) -
                                pointwise[l].twin(z - small, y)) /
                               (2 * small) * pointwise[l].slopes_of;

                assert_close((double)gradient[i],
                             0.25 + (weighted ? (double)weight[i] : 1) * slope, 1e-6);
            }
        }
}

static void by_hand(void **state)
{
    const float score[] = {3, -1, 0.5f}, label[] = {1, 0, 1};
    float gradient[3] = {0};

    (void)state;
    assert_close(loss_hinge(score, label, NULL, 3, gradient), 0.5, 0);
    assert_true(gradient[0] == 0 && gradient[1] == 0 && gradient[2] == -1);
    memset(gradient, 0, sizeof gradient);
    assert_close(loss_huber(score, label, NULL, 3, 1, gradient), 1.5 + 0.5 + 0.125, 0);
    assert_true(gradient[0] == 1 && gradient[1] == -1 && gradient[2] == -0.5f);
    memset(gradient, 0, sizeof gradient);
    assert_close(loss_absolute(label, label, NULL, 3, gradient), 0, 0);
    assert_true(gradient[0] == 0 && gradient[1] == 0 && gradient[2] == 0);
}

static void far_out(void **state)
{
    const float score[] = {1e4f, -1e4f, 1e4f, -1e4f, 0}, label[] = {1, 0, 0, 1, 0.5f};
    float gradient[5] = {0};

    (void)state;
    assert_close(loss_logistic(score, label, NULL, 5, gradient), 2e4 + log(2), 1e-12);
    assert_true(gradient[0] == 0 && gradient[1] == 0);
    assert_true(gradient[2] == 1 && gradient[3] == -1 && gradient[4] == 0);
}

/* What is no number is seen in the sum. */
static void no_number_goes_through(void **state)
{
    const float score[] = {NAN}, label[] = {1};
    float gradient[1], d[1];

    (void)state;
    for (int l = 0; l < LOSSES; l++) {
        gradient[0] = 0;
        assert_true(isnan(pointwise[l].loss(score, label, NULL, 1, gradient)));
    }
    assert_true(isnan(loss_bpr(score, label, NULL, 1, 1, gradient, d)));
    assert_true(isnan(loss_warp(score, label, NULL, 1, 1, 10, gradient, d)));
}

/* --- many scores an example --------------------------------------------------------
 */

static const struct layer_kernels *kernels(void)
{
    return layer_kernels(cpu_level());
}

struct classes {
    float score[N * M], gradient[N * M], weight[N], log_q[N * M], scratch[2 * M];
    uint32_t target[N];
    uint64_t id[N * M];
    uint32_t stride;
};

static void classes_init(struct classes *c, uint32_t stride)
{
    memset(c, 0, sizeof *c);
    c->stride = stride;
    for (uint32_t i = 0; i < N; i++) {
        c->target[i] = (i * 4) % M;
        c->weight[i] = 0.5f + (float)i;
    }
    for (uint32_t i = 0; i < N * M; i++) {
        c->score[i] = number(2, i);
        c->log_q[i] = number(3, i) - 4;
        c->id[i] = i % 6; /* some are another's, some are twice */
        c->gradient[i] = 0.25f;
    }
}

static struct loss_candidates candidates_of(const struct classes *c)
{
    return (struct loss_candidates){
        .id = c->id, .log_q = c->log_q, .m = M, .stride = c->stride};
}

static double twin_sampled(const struct classes *c, const double *score)
{
    double loss = 0;

    for (uint32_t i = 0; i < N; i++) {
        const uint64_t *id = c->id + i * c->stride;
        const float *log_q = c->log_q + i * c->stride;
        uint32_t own = c->target[i];
        double sum = 0;

        for (uint32_t j = 0; j < M; j++)
            if (j == own || id[j] != id[own])
                sum += exp(score[i * M + j]) / exp((double)log_q[j]);
        loss -= (double)c->weight[i] *
                log(exp(score[i * M + own]) / exp((double)log_q[own]) / sum);
    }
    return loss;
}

static void check_slopes(const struct classes *c,
                         double (*twin)(const struct classes *c, const double *score))
{
    double score[N * M];

    for (uint32_t i = 0; i < N * M; i++)
        score[i] = (double)c->score[i];
    for (uint32_t i = 0; i < N * M; i++) {
        double old = score[i], above, below;

        score[i] = old + 1e-5;
        above = twin(c, score);
        score[i] = old - 1e-5;
        below = twin(c, score);
        score[i] = old;
        assert_close((double)c->gradient[i], 0.25 + (above - below) / 2e-5, 1e-5);
    }
}

static void sampled_softmax(void **state)
{
    static struct classes c;

    (void)state;
    for (uint32_t stride = 0; stride <= M; stride += M) {
        double score[N * M];

        classes_init(&c, stride);
        for (uint32_t i = 0; i < N * M; i++)
            score[i] = (double)c.score[i];
        assert_close(loss_sampled_softmax(kernels(), c.score, c.target,
                                          candidates_of(&c), c.weight, N, c.scratch,
                                          c.gradient),
                     twin_sampled(&c, score), 1e-6);
        check_slopes(&c, twin_sampled);
    }
}

/* With every item once and all equally likely, it is the softmax over all. */
static void softmax_is_a_special_case(void **state)
{
    static struct classes c, all;
    uint32_t offset[N + 1];
    double loss;

    (void)state;
    classes_init(&all, 0);
    classes_init(&c, 0);
    for (uint32_t j = 0; j < N * M; j++) {
        c.id[j] = j;
        c.log_q[j] = -2;
    }
    for (uint32_t i = 0; i <= N; i++)
        offset[i] = i;
    for (uint32_t i = 0; i < N; i++)
        all.log_q[i] = 1; /* shares */
    loss = loss_multinomial(kernels(), all.score, offset, all.target, all.log_q,
                            all.weight, N, M, all.scratch, all.gradient);
    assert_close(loss_sampled_softmax(kernels(), c.score, c.target, candidates_of(&c),
                                      c.weight, N, c.scratch, c.gradient),
                 loss, 1e-6);
    for (uint32_t i = 0; i < N * M; i++)
        assert_close((double)c.gradient[i], (double)all.gradient[i], 1e-6);
}

/* Two targets are the sum of two losses, in their shares; none is none. */
static void several_targets(void **state)
{
    const float score[] = {1, 2, 3, 4, 5, 6}, share[] = {2, 0.5f};
    const uint32_t offset[] = {0, 0, 2}, target[] = {2, 0}, one[] = {0, 1};
    float gradient[6] = {0}, sum[3] = {0}, scratch[3];
    double loss = loss_multinomial(kernels(), score, offset, target, share, NULL, 2, 3,
                                   scratch, gradient);

    (void)state;
    assert_close(loss,
                 loss_multinomial(kernels(), score + 3, one, target, share, NULL, 1, 3,
                                  scratch, sum) +
                     loss_multinomial(kernels(), score + 3, one, target + 1, share + 1,
                                      NULL, 1, 3, scratch, sum),
                 1e-6);
    for (uint32_t j = 0; j < 3; j++) {
        assert_true(gradient[j] == 0);
        assert_close((double)gradient[3 + j], (double)sum[j], 1e-6);
    }
}

/* --- pairs of items ----------------------------------------------------------------
 */

static void bpr_is_the_logistic_loss_of_differences(void **state)
{
    float positive[N], negative[N * M], weight[N], dpositive[N], dnegative[N * M] = {0};
    double sum = 0;

    (void)state;
    for (uint32_t i = 0; i < N; i++) {
        positive[i] = number(5, i);
        weight[i] = 0.5f + (float)i;
        dpositive[i] = 0.25f;
    }
    for (uint32_t i = 0; i < N * M; i++) {
        negative[i] = number(6, i);
        sum += (double)weight[i / M] *
               log1p(exp((double)negative[i] - (double)positive[i / M]));
    }
    assert_close(loss_bpr(positive, negative, weight, N, M, dpositive, dnegative), sum,
                 1e-12);
    for (uint32_t i = 0; i < N; i++) {
        double total = 0;

        for (uint32_t j = 0; j < M; j++) {
            double z = (double)negative[i * M + j] - (double)positive[i];

            assert_close((double)dnegative[i * M + j],
                         (double)weight[i] / (1 + exp(-z)), 1e-6);
            total += (double)dnegative[i * M + j];
        }
        assert_close((double)dpositive[i], 0.25 - total, 1e-6);
    }
}

/* Of 11 items: the second try violates the margin, so the rank is about 5. */
static void warp_by_hand(void **state)
{
    const float positive[] = {2, 9, 1}, weight[] = {2, 1, 1};
    const float negative[] = {0.5f, 1.5f, 5, 0, 1, 2, 1, 7, 7};
    float dpositive[3] = {0}, dnegative[9] = {0};
    const double rank_5 = 1 + 0.5 + 1.0 / 3 + 0.25 + 0.2;
    double rank_10 = rank_5, wanted;

    (void)state;
    for (int i = 6; i <= 10; i++)
        rank_10 += 1.0 / i;
    wanted = 2 * 0.5 * rank_5 + rank_10;
    assert_close(loss_warp(positive, negative, weight, 3, 3, 11, dpositive, dnegative),
                 wanted, 1e-12);
    assert_close((double)dpositive[0], -2 * rank_5, 1e-6);
    assert_close((double)dnegative[1], 2 * rank_5, 1e-6);
    assert_close((double)dpositive[2], -rank_10, 1e-6);
    assert_close((double)dnegative[6], rank_10, 1e-6);
    assert_true(dpositive[1] == 0 && dnegative[0] == 0 && dnegative[2] == 0);
    assert_true(dnegative[7] == 0 && dnegative[8] == 0);
}

/* The expansion of 1 + 1/2 + ... meets the sum. */
static void warp_of_many_items(void **state)
{
    const float positive[] = {0}, negative[] = {0};

    (void)state;
    for (uint64_t items = 2; items < 3000; items += items < 40 ? 1 : 500) {
        float dpositive[1] = {0}, dnegative[1] = {0};
        double sum = 0;

        for (uint64_t i = 1; i < items; i++)
            sum += 1 / (double)i;
        assert_close(
            loss_warp(positive, negative, NULL, 1, 1, items, dpositive, dnegative), sum,
            1e-8);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_score_an_example),
        cmocka_unit_test(by_hand),
        cmocka_unit_test(far_out),
        cmocka_unit_test(no_number_goes_through),
        cmocka_unit_test(sampled_softmax),
        cmocka_unit_test(softmax_is_a_special_case),
        cmocka_unit_test(several_targets),
        cmocka_unit_test(bpr_is_the_logistic_loss_of_differences),
        cmocka_unit_test(warp_by_hand),
        cmocka_unit_test(warp_of_many_items),
    };

    return cmocka_run_group_tests_name("loss", tests, NULL, NULL);
}

/* Gradients that come late: compensation against its published rule in double
 * precision, on all processor levels with the same bits, and what the cures are for:
 * problems that late gradients throw off their course. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/cpu.h"
#include "common/rng.h"
#include "server/optimizer.h"

enum { ROWS = 19, WIDTH_MAX = 70 };

static float random_float(uint64_t stream, uint64_t n)
{
    return (float)(2 * rng_unit(rng_at(23, stream, n)) - 1);
}

struct late_rows {
    float weight[ROWS], pulled[ROWS * WIDTH_MAX], gradient[ROWS * WIDTH_MAX];
    float now[ROWS * WIDTH_MAX], out[ROWS * WIDTH_MAX + 1];
    float *row[ROWS];
};

static void fill(struct late_rows *r, uint32_t width)
{
    for (uint32_t i = 0; i < ROWS * width; i++) {
        r->pulled[i] = random_float(1, i);
        r->now[i] = random_float(2, i);
        r->gradient[i] = 3 * random_float(3, i);
    }
    for (uint32_t i = 0; i < ROWS; i++) {
        r->row[i] = r->now + (size_t)i * width;
        r->weight[i] = i ? (float)(i % 5) : -1; /* some are 0 */
    }
    r->out[ROWS * width] = 77;
}

/* Zheng et al. 2017, equation 10, of the mean of the row's gradients. */
static double reference(double lambda, double g, double u, double now, double pulled)
{
    double examples = u > 0 ? u : 1, mean = g / examples;

    return examples * (mean + lambda * mean * mean * (now - pulled));
}

/* The formula one number at a time, each step rounded. */
static float twin(float lambda, float g, float u, float now, float pulled)
{
    volatile float share = u > 0 ? lambda / u : lambda;
    volatile float square = g * g, change = now - pulled;
    volatile float scaled = share * square;
    volatile float more = scaled * change;

    return g + more;
}

static void compensation_is_the_published_rule(void **state)
{
    static struct late_rows r;
    struct optimizer o = {.compensate = 0.7f};

    (void)state;
    for (uint32_t width = 1; width <= WIDTH_MAX; width++)
        for (o.level = CPU_V2; o.level <= (int)cpu_level(); o.level++) {
            fill(&r, width);
            optimizer_compensate(&o, r.row, r.pulled, r.gradient, r.weight, ROWS, width,
                                 r.out);
            for (uint32_t i = 0; i < ROWS * width; i++) {
                float u = r.weight[i / width], g = r.gradient[i];
                double wanted = reference((double)o.compensate, (double)g, (double)u,
                                          (double)r.now[i], (double)r.pulled[i]);
                float bits = twin(o.compensate, g, u, r.now[i], r.pulled[i]);

                assert_true(fabs((double)r.out[i] - wanted) < 1e-5);
                assert_memory_equal(&r.out[i], &bits, sizeof bits);
            }
            assert_true(r.out[ROWS * width] == 77);
        }
}

/* A row that has not changed gets its gradient as it is. */
static void nothing_changed_nothing_added(void **state)
{
    static struct late_rows r;
    struct optimizer o = {.compensate = 1000, .level = (int)cpu_level()};

    (void)state;
    fill(&r, 33);
    optimizer_compensate(&o, r.row, r.now, r.gradient, r.weight, ROWS, 33, r.out);
    assert_memory_equal(r.out, r.gradient, ROWS * 33 * sizeof(float));
}

static void late_rates(void **state)
{
    struct optimizer o = {.slows = true};

    (void)state;
    assert_true(optimizer_late_rate(&o, 0.6f, 0) == 0.6f);
    assert_true(optimizer_late_rate(&o, 0.6f, 1) == 0.6f);
    assert_true(optimizer_late_rate(&o, 0.6f, 2) == 0.3f);
    assert_true(optimizer_late_rate(&o, 1, UINT64_MAX) > 0);
    o.slows = false;
    assert_true(optimizer_late_rate(&o, 0.6f, 9) == 0.6f);
}

/* --- what they are for ------------------------------------------------------------ */

enum { DELAY = 12, STEPS = 4000 };

static double chance_at(double x)
{
    return 1 / (1 + exp(-x));
}

/* Logistic regression on one feature, SGD, every gradient DELAY steps late: how far the
 * weight is from the true one on the average of the last half. */
static double distance(uint64_t seed, double rate, double lambda, bool slows)
{
    struct optimizer o = {.kind = OPTIMIZER_SGD,
                          .slows = slows,
                          .compensate = (float)lambda,
                          .level = (int)cpu_level()};
    const double truth = 1, feature = 2;
    float w = 0, u = 1, *row = &w, pulled[DELAY] = {0};
    double sum = 0;

    for (uint64_t t = 0; t < STEPS; t++) {
        float old = pulled[t % DELAY], g, late;
        double label = rng_unit(rng_at(seed, 5, t)) < chance_at(truth * feature) ? 1
                                                                                 : 0;

        pulled[t % DELAY] = w;
        g = (float)((chance_at((double)old * feature) - label) * feature);
        late = g;
        if (lambda > 0)
            optimizer_compensate(&o, &row, &old, &g, &u, 1, 1, &late);
        optimizer_apply_at(&o, optimizer_late_rate(&o, (float)rate, DELAY), &row, &late,
                           &u, 1, 1);
        if (t >= STEPS / 2)
            sum += fabs((double)w - truth) / (STEPS / 2);
    }
    return sum;
}

/* At a rate at which late gradients swing to and fro, both cures come nearer. For the
 * logistic loss the mean of g^2 is the second derivative, so lambda is 1. */
static void cures_hold_the_course(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 5; seed++) {
        double plain = distance(seed, 0.4, 0, false);
        double slowed = distance(seed, 0.4, 0, true);
        double compensated = distance(seed, 0.4, 1, false);

        if (!(slowed < 0.2 * plain && compensated < 0.5 * plain))
            fail_msg("seed %d: %g, slowed %g, compensated %g", (int)seed, plain, slowed,
                     compensated);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(compensation_is_the_published_rule),
        cmocka_unit_test(nothing_changed_nothing_added),
        cmocka_unit_test(late_rates),
        cmocka_unit_test(cures_hold_the_course),
    };

    return cmocka_run_group_tests_name("late_gradients", tests, NULL, NULL);
}

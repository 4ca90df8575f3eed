/* Optimizers against their published rules in double precision, on all processor levels
 * with the same bits, and on a small problem that each must solve. */
#include "server/optimizer.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/cpu.h"
#include "common/rng.h"

enum { WIDTH_MAX = 67, FLOATS_MAX = 4 * WIDTH_MAX + 1, KINDS = OPTIMIZER_ADD + 1 };

static void job_of(struct job *job, int kind)
{
    job_init(job);
    job->optimizer.kind = kind;
    if (kind == OPTIMIZER_ADAMW || kind == OPTIMIZER_ADD)
        job->optimizer.l2 = 0;
    if (kind == OPTIMIZER_ADAMW)
        job->optimizer.decay = 0.3;
    if (kind == OPTIMIZER_FTRL)
        job->optimizer.l1 = 0.05;
}

/* In [-1, 1). */
static double random_at(uint64_t stream, uint64_t n)
{
    return 2 * rng_unit(rng_at(17, stream, n)) - 1;
}

/* --- the published rules --------------------------------------------------------- */

struct weight {
    double w, m, v, x; /* the weight and three numbers of state */
};

static double sign(double x)
{
    return (x > 0) - (x < 0);
}

static double reference_shrink(double x, double by)
{
    return sign(x) * fmax(fabs(x) - by, 0);
}

/* Kingma and Ba, algorithm 1. */
static double reference_adam(const struct job *job, struct weight *p, double g,
                             double rate, double t)
{
    double beta1 = (float)job->optimizer.beta1, beta2 = (float)job->optimizer.beta2;
    double mean, square;

    p->m = beta1 * p->m + (1 - beta1) * g;
    p->v = beta2 * p->v + (1 - beta2) * g * g;
    mean = p->m / (1 - pow(beta1, t));
    square = p->v / (1 - pow(beta2, t));
    return rate * mean / (sqrt(square) + job->optimizer.epsilon);
}

/* McMahan et al. 2013, algorithm 1: n is v and z is m. */
static void reference_ftrl(const struct job *job, struct weight *p, double g)
{
    double alpha = job->optimizer.rate, beta = job->optimizer.beta;
    double sigma = (sqrt(p->v + g * g) - sqrt(p->v)) / alpha;
    double l1 = job->optimizer.l1, l2 = job->optimizer.l2;

    if (p->v == 0)
        p->m = -p->w * beta / alpha;
    p->m += g - sigma * p->w;
    p->v += g * g;
    if (p->v > 0)
        p->w = fabs(p->m) <= l1
                   ? 0
                   : -(p->m - sign(p->m) * l1) / ((beta + sqrt(p->v)) / alpha + l2);
}

/* What a push's slope g takes from a weight, for kinds that work weight by weight. */
static double reference_step(const struct job *job, struct weight *p, double g,
                             double rate, double t)
{
    double mu = job->optimizer.momentum, rho = job->optimizer.rho, d;
    double epsilon = job->optimizer.epsilon, beta1 = job->optimizer.beta1;
    double beta2 = job->optimizer.beta2;

    switch (job->optimizer.kind) {
    case OPTIMIZER_MOMENTUM:
        p->m = mu * p->m + g;
        return rate * p->m;
    case OPTIMIZER_NESTEROV:
        p->m = mu * p->m + g;
        return rate * (g + mu * p->m);
    case OPTIMIZER_ADAGRAD:
        p->m += g * g;
        return p->m > 0 ? rate * g / sqrt(p->m) : 0;
    case OPTIMIZER_ADADELTA:
        p->m = rho * p->m + (1 - rho) * g * g;
        d = sqrt(p->v + epsilon) / sqrt(p->m + epsilon) * g;
        p->v = rho * p->v + (1 - rho) * d * d;
        return rate * d;
    case OPTIMIZER_RMSPROP:
        p->m = rho * p->m + (1 - rho) * g * g;
        return rate * g / (sqrt(p->m) + epsilon);
    case OPTIMIZER_ADAM:
    case OPTIMIZER_ADAMW:
        return reference_adam(job, p, g, rate, t);
    case OPTIMIZER_AMSGRAD:
        p->m = beta1 * p->m + (1 - beta1) * g;
        p->v = beta2 * p->v + (1 - beta2) * g * g;
        p->x = fmax(p->x, p->v);
        return rate * p->m / (sqrt(p->x) + epsilon);
    default: /* sgd */
        return rate * g;
    }
}

static double norm_of(const double *x, uint32_t width)
{
    double sum = 0;

    for (uint32_t i = 0; i < width; i++)
        sum += x[i] * x[i];
    return sqrt(sum);
}

static void reference_clip(const struct job *job, double *g, uint32_t width)
{
    double clip = job->optimizer.clip, most = job->optimizer.clip_norm;
    double norm = norm_of(g, width);

    for (uint32_t i = 0; i < width; i++) {
        if (most > 0 && norm > most)
            g[i] *= most / norm;
        if (clip > 0)
            g[i] = fmin(fmax(g[i], -clip), clip);
    }
}

/* The row's number t, 1 for its first push; g is changed. */
static void reference_row(const struct job *job, struct weight *p, double *g, double u,
                          uint32_t width, double rate, double t)
{
    int kind = job->optimizer.kind;
    double most = job->optimizer.max_norm, squares = 0, w[WIDTH_MAX], norm;

    reference_clip(job, g, width);
    for (uint32_t i = 0; i < width && kind < OPTIMIZER_FTRL; i++) {
        g[i] += job->optimizer.l2 * u * p[i].w;
        squares += g[i] * g[i] / width;
    }
    if (kind == OPTIMIZER_ROWWISE_ADAGRAD)
        p[0].m += squares;
    for (uint32_t i = 0; i < width; i++) {
        double old = p[i].w, by = rate * job->optimizer.l1 * u;

        if (kind == OPTIMIZER_FTRL)
            reference_ftrl(job, &p[i], g[i]);
        else if (kind == OPTIMIZER_ADD)
            p[i].w += g[i];
        else if (kind == OPTIMIZER_ROWWISE_ADAGRAD)
            p[i].w -= rate * g[i] / sqrt(p[0].m);
        else
            p[i].w -= reference_step(job, &p[i], g[i], rate, t);
        p[i].w -= rate * job->optimizer.decay * old;
        if (kind != OPTIMIZER_FTRL)
            p[i].w = reference_shrink(
                p[i].w, kind == OPTIMIZER_ADAGRAD ? by / sqrt(p[i].m) : by);
    }
    for (uint32_t i = 0; i < width; i++)
        w[i] = p[i].w;
    norm = norm_of(w, width);
    for (uint32_t i = 0; i < width && most > 0 && norm > most; i++)
        p[i].w *= most / norm;
}

static void agrees_with_reference(const struct job *job, uint32_t width)
{
    bool has_initial = job->optimizer.kind == OPTIMIZER_ADAGRAD ||
                       job->optimizer.kind == OPTIMIZER_ROWWISE_ADAGRAD;
    float row[FLOATS_MAX], gradient[WIDTH_MAX], *at = row;
    struct weight p[WIDTH_MAX] = {{0}};
    double g[WIDTH_MAX];
    struct optimizer o;

    optimizer_init(&o, job, 0);
    assert_true(o.initial == (has_initial ? (float)job->optimizer.initial : 0));
    for (uint32_t i = 0; i < width + optimizer_state_width(&o, width); i++)
        row[i] = i < width ? (float)random_at(1, i) : o.initial;
    for (uint32_t i = 0; i < width; i++) {
        p[i].w = (double)row[i];
        p[i].m = has_initial ? job->optimizer.initial : 0;
    }
    for (uint64_t clock = 1; clock <= 60; clock++) {
        float u = (float)(1 + clock % 3);

        for (uint32_t i = 0; i < width; i++) {
            gradient[i] = (float)(2 * random_at(clock + 1, i) + (double)row[i]);
            g[i] = (double)gradient[i];
        }
        optimizer_apply(&o, clock, &at, gradient, &u, 1, width);
        reference_row(job, p, g, (double)u, width, (double)optimizer_rate(&o, clock),
                      (double)clock);
        for (uint32_t i = 0; i < width; i++)
            if (!(fabs((double)row[i] - p[i].w) <= 2e-5 * (1 + fabs(p[i].w))))
                fail_msg("kind %d width %u clock %d weight %u: %.9g, expected %.9g",
                         o.kind, width, (int)clock, i, (double)row[i], p[i].w);
    }
}

/* The variants of settings that go with a kind; false behind the last. */
static bool variant(struct job *job, int kind, int number)
{
    job_of(job, kind);
    switch (number) {
    case 1:
        job->optimizer.clip = 0.7;
        break;
    case 2:
        job->optimizer.clip_norm = 1.5;
        job->optimizer.decay = 0.1;
        break;
    case 3:
        job->optimizer.max_norm = 1.25;
        break;
    case 4:
        job->optimizer.l1 = 0.15;
        break;
    case 5:
        job->optimizer.schedule = SCHEDULE_COSINE;
        job->optimizer.schedule_steps = 40;
        job->optimizer.warmup = 10;
        break;
    }
    if (kind == OPTIMIZER_FTRL || kind == OPTIMIZER_ADD)
        job->optimizer.decay = 0;
    if (kind != OPTIMIZER_SGD && kind != OPTIMIZER_ADAGRAD && kind != OPTIMIZER_FTRL)
        job->optimizer.l1 = 0;
    if (kind == OPTIMIZER_ADD)
        return number < 1;
    return number < (kind == OPTIMIZER_FTRL ? 3 : 6);
}

static const uint32_t widths[] = {1, 2, 7, 8, 16, 33, WIDTH_MAX};
enum { WIDTHS = sizeof widths / sizeof *widths };

static void each_is_its_published_rule(void **state)
{
    struct job *job = malloc(sizeof *job);

    (void)state;
    assert_non_null(job);
    for (int kind = 0; kind < KINDS; kind++)
        for (int number = 0; variant(job, kind, number); number++)
            for (int i = 0; i < WIDTHS; i++)
                agrees_with_reference(job, widths[i]);
    free(job);
}

/* --- bits ------------------------------------------------------------------------ */

/* 9 rows, each pushed 20 times, three of them a second time in the same push. */
static void run_rows(struct optimizer *o, int level, uint32_t width, float *out)
{
    enum { ROWS = 9, AGAIN = 3 };
    uint32_t floats = width + optimizer_state_width(o, width);
    float *row[ROWS + AGAIN], gradient[(ROWS + AGAIN) * WIDTH_MAX], u[ROWS + AGAIN];

    o->level = level;
    for (uint32_t i = 0; i < ROWS * floats; i++)
        out[i] = i % floats < width ? (float)random_at(3, i) : o->initial;
    for (uint32_t i = 0; i < ROWS + AGAIN; i++) {
        row[i] = out + (i < ROWS ? i : 2 * (i - ROWS)) * floats;
        u[i] = (float)(i % 4);
    }
    for (uint64_t clock = 1; clock <= 20; clock++) {
        for (uint32_t i = 0; i < (ROWS + AGAIN) * width; i++)
            gradient[i] = (float)(3 * random_at(clock + 100, i));
        optimizer_apply(o, clock, row, gradient, u, ROWS + AGAIN, width);
    }
}

static void all_levels_give_the_same_bits(void **state)
{
    enum { FLOATS = 9 * FLOATS_MAX };
    struct job *job = malloc(sizeof *job);
    float *one = malloc(FLOATS * sizeof *one), *two = malloc(FLOATS * sizeof *two);
    struct optimizer o;

    (void)state;
    assert_true(job && one && two);
    for (int kind = 0; kind < KINDS; kind++)
        for (int number = 0; variant(job, kind, number); number++)
            for (int i = 0; i < WIDTHS; i++)
                for (int level = CPU_V3; level <= (int)cpu_level(); level++) {
                    uint32_t floats;

                    optimizer_init(&o, job, 0);
                    floats = widths[i] + optimizer_state_width(&o, widths[i]);
                    run_rows(&o, CPU_V2, widths[i], one);
                    run_rows(&o, level, widths[i], two);
                    if (memcmp(one, two, 9 * floats * sizeof *one))
                        fail_msg("kind %d variant %d width %u level %d", kind, number,
                                 widths[i], level);
                }
    free(job);
    free(one);
    free(two);
}

/* --- properties ------------------------------------------------------------------ */

static void state_has_its_width(void **state)
{
    static const uint32_t expected[KINDS] = {[OPTIMIZER_SGD] = 0,
                                             [OPTIMIZER_ADAGRAD] = 10,
                                             [OPTIMIZER_MOMENTUM] = 10,
                                             [OPTIMIZER_NESTEROV] = 10,
                                             [OPTIMIZER_ROWWISE_ADAGRAD] = 1,
                                             [OPTIMIZER_ADADELTA] = 20,
                                             [OPTIMIZER_RMSPROP] = 10,
                                             [OPTIMIZER_ADAM] = 21,
                                             [OPTIMIZER_ADAMW] = 21,
                                             [OPTIMIZER_AMSGRAD] = 30,
                                             [OPTIMIZER_FTRL] = 20,
                                             [OPTIMIZER_ADD] = 0};
    static struct job job;
    struct optimizer o;

    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        job_of(&job, kind);
        optimizer_init(&o, &job, 0);
        assert_int_equal(optimizer_state_width(&o, 10), expected[kind]);
    }
}

/* Loss of w on a bowl whose axes differ by a factor of 16, and its gradient. */
static double bowl(const float *w, float *g, uint32_t width)
{
    double loss = 0;

    for (uint32_t i = 0; i < width; i++) {
        double curve = pow(2, (double)(i % 5)) / 16,
               at = (double)w[i] - random_at(9, i);

        loss += curve * at * at / 2;
        g[i] = (float)(curve * at);
    }
    return loss;
}

static void each_finds_the_bottom(void **state)
{
    static const double rate[KINDS] = {[OPTIMIZER_SGD] = 0.5,
                                       [OPTIMIZER_ADAGRAD] = 0.5,
                                       [OPTIMIZER_MOMENTUM] = 0.1,
                                       [OPTIMIZER_NESTEROV] = 0.1,
                                       [OPTIMIZER_ROWWISE_ADAGRAD] = 0.5,
                                       [OPTIMIZER_ADADELTA] = 1,
                                       [OPTIMIZER_RMSPROP] = 0.005,
                                       [OPTIMIZER_ADAM] = 0.01,
                                       [OPTIMIZER_ADAMW] = 0.01,
                                       [OPTIMIZER_AMSGRAD] = 0.01,
                                       [OPTIMIZER_FTRL] = 1,
                                       [OPTIMIZER_ADD] = 1};
    static struct job job;
    enum { WIDTH = 20 };

    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        float row[5 * WIDTH + 1], g[WIDTH], u = 1, *at = row;
        struct optimizer o;
        double first;

        job_of(&job, kind);
        job.optimizer.l1 = job.optimizer.l2 = job.optimizer.decay = 0;
        job.optimizer.rate = rate[kind];
        job.optimizer.epsilon = kind == OPTIMIZER_ADADELTA ? 1e-6 : 1e-8;
        optimizer_init(&o, &job, 0);
        for (uint32_t i = 0; i < WIDTH + optimizer_state_width(&o, WIDTH); i++)
            row[i] = i < WIDTH ? 0 : o.initial;
        first = bowl(row, g, WIDTH);
        for (uint64_t clock = 1; clock <= 2000; clock++) {
            bowl(row, g, WIDTH);
            for (uint32_t i = 0; kind == OPTIMIZER_ADD && i < WIDTH; i++)
                g[i] *= -0.5f;
            optimizer_apply(&o, clock, &at, g, &u, 1, WIDTH);
        }
        if (!(bowl(row, g, WIDTH) < 1e-3 * first))
            fail_msg("kind %d: loss %g of %g is left", kind, bowl(row, g, WIDTH),
                     first);
    }
}

/* Nesterov's method as Sutskever et al. 2013 write it: the gradient is taken ahead of
 * the point; ours is the point ahead. */
static void nesterov_looks_ahead(void **state)
{
    static struct job job;
    double theta = 2, velocity = 0, mu, rate = 0.25;
    float row[2] = {2, 0}, u = 1, *at = row;
    struct optimizer o;

    (void)state;
    job_of(&job, OPTIMIZER_NESTEROV);
    job.optimizer.l2 = 0;
    job.optimizer.rate = rate;
    mu = job.optimizer.momentum;
    optimizer_init(&o, &job, 0);
    for (uint64_t clock = 1; clock <= 30; clock++) {
        float g = 0.5f * row[0];

        velocity = mu * velocity - rate * 0.5 * (theta + mu * velocity);
        theta += velocity;
        optimizer_apply(&o, clock, &at, &g, &u, 1, 1);
        assert_float_equal(row[0], theta + mu * velocity, 1e-5);
    }
}

/* A row that is new when others are old takes Adam's full first step. */
static void adam_counts_each_row_for_itself(void **state)
{
    static struct job job;
    float old[4] = {0}, new[4] = {0}, g = 0.3f, u = 1, *at = old;
    struct optimizer o;

    (void)state;
    job_of(&job, OPTIMIZER_ADAM);
    job.optimizer.l2 = 0;
    job.optimizer.rate = 0.125;
    optimizer_init(&o, &job, 0);
    for (uint64_t clock = 1; clock <= 500; clock++)
        optimizer_apply(&o, clock, &at, &g, &u, 1, 1);
    assert_true(old[3] == 500);
    assert_float_equal(old[0], -0.125 * 500, 1e-2);
    at = new;
    optimizer_apply(&o, 501, &at, &g, &u, 1, 1);
    assert_true(new[3] == 1);
    assert_float_equal(new[0], -0.125, 1e-6);
}

/* The count ends where floats stop counting; what is no count counts as that. */
static void adams_count_is_bounded(void **state)
{
    static const float count[] = {0x1p24f - 1, 0x1p24f, -1, 1e30f, NAN, INFINITY};
    static struct job job;
    struct optimizer o;

    (void)state;
    job_of(&job, OPTIMIZER_ADAM);
    optimizer_init(&o, &job, 0);
    for (size_t i = 0; i < sizeof count / sizeof *count; i++) {
        float row[] = {1, 0.5f, 0.25f, count[i], 77}, g = 0, u = 0, *at = row;

        optimizer_apply(&o, 1, &at, &g, &u, 1, 1);
        assert_true(row[3] == 0x1p24f && row[4] == 77);
        assert_float_equal(row[0], 1 - 0.05 * 0.45 / sqrt(0.24975), 1e-6);
    }
}

static void without_a_gradient_nothing_moves(void **state)
{
    static struct job job;
    float g[9] = {0}, u = 0;

    (void)state;
    for (int kind = 0; kind < KINDS; kind++) {
        float row[FLOATS_MAX], *at = row;
        struct optimizer o;

        job_of(&job, kind);
        job.optimizer.decay = job.optimizer.initial = 0;
        optimizer_init(&o, &job, 0);
        for (uint32_t i = 0; i < 9 + optimizer_state_width(&o, 9); i++)
            row[i] = i < 9 ? (float)random_at(2, i) : 0;
        for (uint64_t clock = 1; clock < 4; clock++)
            optimizer_apply(&o, clock, &at, g, &u, 1, 9);
        for (uint32_t i = 0; i < 9; i++)
            assert_true(row[i] == (float)random_at(2, i));
    }
}

/* A gradient that is no number is not hidden by clipping, shrinking or limits. */
static void not_a_number_stays_none(void **state)
{
    static struct job job;

    (void)state;
    for (int kind = 0; kind < KINDS; kind++)
        for (int number = 0; variant(&job, kind, number); number++) {
            float row[FLOATS_MAX] = {1}, g[8] = {0, 0, 0, NAN, 0, 0, 0, 0}, u = 1;
            float *at = row;
            struct optimizer o;

            optimizer_init(&o, &job, 0);
            optimizer_apply(&o, 1, &at, g, &u, 1, 8);
            assert_true(isnan(row[3]));
        }
}

static void penalties_make_zeros(void **state)
{
    static const int kinds[] = {OPTIMIZER_SGD, OPTIMIZER_ADAGRAD, OPTIMIZER_FTRL};
    static struct job job;

    (void)state;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        float row[6] = {0}, g[2], u = 1, *at = row;
        struct optimizer o;

        job_of(&job, kinds[k]);
        job.optimizer.l1 = kinds[k] == OPTIMIZER_FTRL ? 5 : 0.1;
        job.optimizer.l2 = 0;
        optimizer_init(&o, &job, 0);
        row[2] = row[3] = o.initial;
        for (uint64_t clock = 1; clock <= 200; clock++) {
            g[0] = clock % 2 ? 0.05f : -0.04f; /* little more than noise */
            g[1] = row[1] - 1;
            optimizer_apply(&o, clock, &at, g, &u, 1, 2);
        }
        assert_true(row[0] == 0);
        assert_true(row[1] > 0.1f);
    }
}

/* FTRL's weights do not jump from where they start, and go there on their own. */
static void ftrl_starts_where_the_row_is(void **state)
{
    static struct job job;
    float row[3] = {0.75f, 0, 0}, g = 1e-4f, u = 1, *at = row;
    struct optimizer o;

    (void)state;
    job_of(&job, OPTIMIZER_FTRL);
    job.optimizer.l1 = job.optimizer.l2 = 0;
    optimizer_init(&o, &job, 0);
    optimizer_apply(&o, 1, &at, &g, &u, 1, 1);
    assert_float_equal(row[0], 0.75 - 0.05 * 1e-4, 1e-6);
}

static void add_adds_whole_numbers(void **state)
{
    static struct job job;
    float row[] = {3, -2, 0x1p23f}, g[] = {4, 1, 1}, u = 7, *at = row;
    struct optimizer o;

    (void)state;
    job_init(&job); /* with the l2 that others have */
    job.optimizer.kind = OPTIMIZER_ADD;
    optimizer_init(&o, &job, 0);
    optimizer_apply(&o, 1, &at, g, &u, 1, 3);
    assert_true(row[0] == 7 && row[1] == -1 && row[2] == 0x1p23f + 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_is_its_published_rule),
        cmocka_unit_test(all_levels_give_the_same_bits),
        cmocka_unit_test(state_has_its_width),
        cmocka_unit_test(each_finds_the_bottom),
        cmocka_unit_test(nesterov_looks_ahead),
        cmocka_unit_test(adam_counts_each_row_for_itself),
        cmocka_unit_test(adams_count_is_bounded),
        cmocka_unit_test(without_a_gradient_nothing_moves),
        cmocka_unit_test(not_a_number_stays_none),
        cmocka_unit_test(penalties_make_zeros),
        cmocka_unit_test(ftrl_starts_where_the_row_is),
        cmocka_unit_test(add_adds_whole_numbers),
    };

    return cmocka_run_group_tests_name("optimizer_rules", tests, NULL, NULL);
}

/* Optimizers bit for bit: the kernels of every processor level against scalar twins,
 * the rules of server/optimizer.h one number at a time, each operation rounded once.
 * What the rules are worth is for tests/numeric/test_optimizer_rules.c. */
#include "server/optimizer.h"

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

enum {
    ROWS = 13,
    PUSHES = 60, /* most rows come up more than once */
    WIDTH_MAX = 70,
    FLOATS_MAX = 4 * WIDTH_MAX + 1,
    LANES = 8, /* sums of squares are made in so many parts */
};

/* A row's push, as a twin sees it. */
struct push {
    const struct optimizer *o;
    float rate, l2, l1; /* of this push */
    float scale, bound, keep;
    uint32_t width;
    float *w, *state; /* the row */
};

/* --- the twins ------------------------------------------------------------------- */

static float slope_of(const struct push *p, float g, float w)
{
    g *= p->scale;
    g = g > p->bound ? p->bound : g < -p->bound ? -p->bound : g;
    return g + p->l2 * w;
}

static float shrunk(float x, float by)
{
    if (x > by)
        return x - by;
    return x < -by ? x + by : x * 0.0f;
}

static double summed(const double *part)
{
    return ((part[0] + part[4]) + (part[1] + part[5])) +
           ((part[2] + part[6]) + (part[3] + part[7]));
}

static double norm_of(const float *x, uint32_t width)
{
    double part[LANES] = {0};

    for (uint32_t i = 0; i < width; i++)
        part[i % LANES] += (double)x[i] * (double)x[i];
    return sqrt(summed(part));
}

static float mean_square(const struct push *p, const float *g)
{
    double part[LANES] = {0};

    for (uint32_t i = 0; i < p->width; i++) {
        double slope = (double)slope_of(p, g[i], p->w[i]);

        part[i % LANES] += slope * slope;
    }
    return (float)(summed(part) / p->width);
}

/* base^t by squaring, in double. */
static double power(double base, uint32_t t)
{
    double result = 1;

    for (; t; t >>= 1, base *= base)
        if (t & 1)
            result *= base;
    return result;
}

/* What Adam's corrections make of the rate and of the root, for the row's step t. */
static void adam_corrections(const struct push *p, float *rate, float *root)
{
    float *t = &p->state[2 * p->width];

    *t += 1;
    *rate = (float)((double)p->rate / (1 - power((double)p->o->beta1, (uint32_t)*t)));
    *root = (float)(1 / sqrt(1 - power((double)p->o->beta2, (uint32_t)*t)));
}

/* The step of weight i by rules with one or two means. */
static float moment_step(const struct push *p, uint32_t i, float slope, float rate,
                         float root)
{
    const struct optimizer *o = p->o;
    float *m = &p->state[i], *v = &p->state[p->width + i];
    float *x = &p->state[2 * p->width + i];

    *m = o->beta1 * *m + (1.0f - o->beta1) * slope;
    *v = o->beta2 * *v + (1.0f - o->beta2) * (slope * slope);
    if (o->kind != OPTIMIZER_AMSGRAD)
        return rate * *m / (sqrtf(*v) * root + o->epsilon);
    *x = *v > *x ? *v : *x;
    return rate * *m / (sqrtf(*x) + o->epsilon);
}

static float adadelta_step(const struct push *p, uint32_t i, float slope)
{
    const struct optimizer *o = p->o;
    float *s = &p->state[i], *x = &p->state[p->width + i], step;

    *s = o->rho * *s + (1.0f - o->rho) * (slope * slope);
    step = sqrtf(*x + o->epsilon) / sqrtf(*s + o->epsilon) * slope;
    *x = o->rho * *x + (1.0f - o->rho) * (step * step);
    return p->rate * step;
}

/* By how much the rule takes weight i down; changes its state. */
static float step_of(const struct push *p, uint32_t i, float slope, float rate,
                     float root)
{
    const struct optimizer *o = p->o;
    float *s = &p->state[i];

    switch (o->kind) {
    case OPTIMIZER_MOMENTUM:
        *s = o->momentum * *s + slope;
        return rate * *s;
    case OPTIMIZER_NESTEROV:
        *s = o->momentum * *s + slope;
        return rate * (slope + o->momentum * *s);
    case OPTIMIZER_ADAGRAD:
        *s += slope * slope;
        return *s == 0 ? 0 : rate * slope / sqrtf(*s);
    case OPTIMIZER_ADADELTA:
        return adadelta_step(p, i, slope);
    case OPTIMIZER_RMSPROP:
        *s = o->rho * *s + (1.0f - o->rho) * (slope * slope);
        return rate * slope / (sqrtf(*s) + o->epsilon);
    case OPTIMIZER_ADAM:
    case OPTIMIZER_ADAMW:
    case OPTIMIZER_AMSGRAD:
        return moment_step(p, i, slope, rate, root);
    default: /* sgd, and rowwise_adagrad with its row's rate */
        return rate * slope;
    }
}

static void ftrl_weight(const struct push *p, uint32_t i, float slope)
{
    float *n = &p->state[i], *z = &p->state[p->width + i], *w = &p->w[i];
    float alpha = p->rate, beta = p->o->beta, sum = *n + slope * slope;
    float sigma = (sqrtf(sum) - sqrtf(*n)) / alpha;

    if (*n == 0)
        *z = -*w * beta / alpha;
    *z = *z + slope - sigma * *w;
    *n = sum;
    if (sum > 0)
        *w = -shrunk(*z, p->o->l1) / ((beta + sqrtf(sum)) / alpha + p->o->l2);
}

static void l1_and_limit(const struct push *p)
{
    const struct optimizer *o = p->o;
    double norm;

    for (uint32_t i = 0; i < p->width && p->l1 > 0; i++)
        p->w[i] = shrunk(
            p->w[i], o->kind == OPTIMIZER_ADAGRAD ? p->l1 / sqrtf(p->state[i]) : p->l1);
    norm = norm_of(p->w, p->width);
    for (uint32_t i = 0; i < p->width && o->max_norm > 0; i++)
        if (norm > (double)o->max_norm)
            p->w[i] *= (float)((double)o->max_norm / norm);
}

static void twin_row(struct push *p, const float *g)
{
    float rate = p->rate, root = 0;

    if (p->o->kind == OPTIMIZER_ROWWISE_ADAGRAD) {
        p->state[0] += mean_square(p, g);
        rate = p->rate / sqrtf(p->state[0]);
    }
    if (p->o->kind == OPTIMIZER_ADAM || p->o->kind == OPTIMIZER_ADAMW)
        adam_corrections(p, &rate, &root);
    for (uint32_t i = 0; i < p->width; i++) {
        float w = p->w[i];

        if (p->o->kind == OPTIMIZER_ADD)
            p->w[i] = w + g[i];
        else if (p->o->kind == OPTIMIZER_FTRL)
            ftrl_weight(p, i, slope_of(p, g[i], 0));
        else
            p->w[i] = w * p->keep - step_of(p, i, slope_of(p, g[i], w), rate, root);
    }
    l1_and_limit(p);
}

static void twin_apply(const struct optimizer *o, float *row, const float *g, float u,
                       uint32_t width)
{
    bool ftrl = o->kind == OPTIMIZER_FTRL;
    struct push p = {.o = o,
                     .rate = optimizer_rate(o, 1),
                     .l2 = ftrl ? 0 : o->l2 * u,
                     .scale = 1,
                     .bound = o->clip > 0 ? o->clip : INFINITY,
                     .width = width,
                     .w = row,
                     .state = row + width};
    double norm = norm_of(g, width);

    p.l1 = ftrl ? 0 : p.rate * o->l1 * u;
    p.keep = (float)(1 - (double)p.rate * o->decay);
    if (o->clip_norm > 0 && norm > (double)o->clip_norm)
        p.scale = (float)((double)o->clip_norm / norm);
    twin_row(&p, g);
}

/* --- against the kernels --------------------------------------------------------- */

struct work {
    float block[ROWS][FLOATS_MAX];
    float *row[PUSHES];
    float gradient[PUSHES * WIDTH_MAX], weight[PUSHES];
};

static float random_float(uint64_t stream, uint64_t n)
{
    return (float)(rng_unit(rng_at(6, stream, n)) * 2 - 1);
}

/* The same rows and gradients each time. */
static void work_fill(struct work *w, uint32_t width, float initial)
{
    for (uint32_t i = 0; i < ROWS; i++)
        for (uint32_t j = 0; j < FLOATS_MAX; j++)
            w->block[i][j] = j < width ? random_float(i, j) : initial;
    for (uint32_t i = 0; i < PUSHES; i++) {
        w->row[i] = w->block[rng_at(6, 1000, i) % ROWS];
        w->weight[i] = (float)(1 + rng_at(6, 1001, i) % 4);
        for (uint32_t j = 0; j < width; j++)
            w->gradient[i * width + j] = random_float(2000 + i, j);
    }
}

static void has_the_bits_of_its_twin(struct optimizer *o, const char *what)
{
    static struct work ours, twin;

    for (uint32_t width = 1; width <= WIDTH_MAX; width += width < 20 ? 1 : 7) {
        work_fill(&twin, width, o->initial);
        for (uint32_t i = 0; i < PUSHES; i++)
            twin_apply(o, twin.row[i], twin.gradient + i * width, twin.weight[i],
                       width);
        for (o->level = CPU_V2; o->level <= (int)cpu_level(); o->level++) {
            work_fill(&ours, width, o->initial);
            optimizer_apply(o, 1, ours.row, ours.gradient, ours.weight, PUSHES, width);
            if (memcmp(ours.block, twin.block, sizeof ours.block))
                fail_msg("kind %d with %s, width %u, level %d", o->kind, what, width,
                         o->level);
        }
    }
}

static void set_kind(struct job *job, int kind)
{
    job_init(job);
    job->optimizer.kind = kind;
    if (kind == OPTIMIZER_ADD)
        job->optimizer.l2 = 0;
}

static void each_has_the_bits_of_its_twin(void **state)
{
    struct job *job = malloc(sizeof *job);
    struct optimizer o;

    (void)state;
    assert_non_null(job);
    for (int kind = OPTIMIZER_SGD; kind <= OPTIMIZER_ADD; kind++) {
        set_kind(job, kind);
        optimizer_init(&o, job, 0);
        has_the_bits_of_its_twin(&o, "nothing more");
    }
    free(job);
}

/* What is set around a step, as far as the kind goes with it. */
static void extras_have_the_bits_of_their_twin(void **state)
{
    struct job *job = malloc(sizeof *job);
    struct optimizer o;

    (void)state;
    assert_non_null(job);
    for (int kind = OPTIMIZER_SGD; kind < OPTIMIZER_ADD; kind++) {
        bool ftrl = kind == OPTIMIZER_FTRL;

        set_kind(job, kind);
        job->optimizer.clip = 0.7;
        optimizer_init(&o, job, 0);
        has_the_bits_of_its_twin(&o, "clip");
        set_kind(job, kind);
        job->optimizer.clip_norm = 1.5;
        job->optimizer.decay = ftrl || kind == OPTIMIZER_ADAM ? 0 : 0.1;
        optimizer_init(&o, job, 0);
        has_the_bits_of_its_twin(&o, "clip_norm and decay");
        set_kind(job, kind);
        job->optimizer.max_norm = ftrl ? 0 : 1.25;
        if (ftrl || kind == OPTIMIZER_SGD || kind == OPTIMIZER_ADAGRAD)
            job->optimizer.l1 = 0.05;
        optimizer_init(&o, job, 0);
        has_the_bits_of_its_twin(&o, "max_norm and l1");
    }
    free(job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_has_the_bits_of_its_twin),
        cmocka_unit_test(extras_have_the_bits_of_their_twin),
    };

    return cmocka_run_group_tests_name("optimizer_twins", tests, NULL, NULL);
}

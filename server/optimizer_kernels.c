#include "server/optimizer_kernels.h"

#include <math.h>

#define JOIN2(name, level) name##_##level
#define JOIN(name, level) JOIN2(name, level)
#define LEVEL(name) JOIN(name, KERNEL_LEVEL)

#define INLINE static inline __attribute__((always_inline))

enum {
    AHEAD = 8,          /* rows fetched ahead, */
    AHEAD_BYTES = 8192, /* but no more than this, if one row is not */
    LINE = 64,          /* bytes of a cache line */
    LANES = 8,          /* sums side by side, so that every level adds in one order */
};

/* What Adam makes of a step count, kept for the next row: those of a dense table, which
 * are in every push, all have the same. */
struct corrections {
    uint32_t steps; /* 0: of none yet */
    float rate, root;
};

/* What one row's loops need; by value, so that they keep it in registers. */
struct pace {
    const struct optimizer *optimizer;
    bool extras; /* a constant where it is looked at */
    float rate;
    float l2;    /* of this row: times its weight */
    float scale; /* of the gradient, for its norm */
    float bound; /* of the gradient's values */
    float keep;  /* share of a weight that decay leaves */
    struct corrections *corrections;
};

/* A row's step: weights w and gradient g [width], state s as optimizer.h says. */
typedef void row_step(struct pace pace, float *restrict w, float *restrict s,
                      const float *restrict g, uint32_t width);

/* More would drive out of the nearest cache what comes first. */
INLINE uint32_t rows_ahead(uint32_t floats)
{
    uint32_t rows = AHEAD_BYTES / (floats * (uint32_t)sizeof(float));

    return rows < 1 ? 1 : rows > AHEAD ? AHEAD : rows;
}

INLINE void prefetch_row(const float *row, uint32_t floats)
{
    const char *at = (const char *)row;

    for (uint32_t i = 0; i < floats * sizeof(float); i += LINE)
        __builtin_prefetch(at + i, 1);
}

/* --- parts of a step ------------------------------------------------------------- */

/* Comparisons are such that what is no number stays none. */
INLINE float clipped(struct pace pace, float g)
{
    if (!pace.extras)
        return g;
    g *= pace.scale;
    g = g > pace.bound ? pace.bound : g;
    return g < -pace.bound ? -pace.bound : g;
}

INLINE float slope_at(struct pace pace, float g, float w)
{
    return clipped(pace, g) + pace.l2 * w;
}

INLINE float kept(struct pace pace, float w)
{
    return pace.extras ? w * pace.keep : w;
}

INLINE float shrink(float x, float by)
{
    return x > by ? x - by : x < -by ? x + by : x * 0.0f;
}

INLINE double lanes_sum(const double sum[LANES])
{
    return ((sum[0] + sum[4]) + (sum[1] + sum[5])) +
           ((sum[2] + sum[6]) + (sum[3] + sum[7]));
}

INLINE double norm(const float *x, uint32_t width)
{
    double sum[LANES] = {0};
    uint32_t i = 0;

    for (; i + LANES <= width; i += LANES)
        for (uint32_t lane = 0; lane < LANES; lane++)
            sum[lane] += (double)x[i + lane] * (double)x[i + lane];
    for (uint32_t lane = 0; i < width; i++, lane++)
        sum[lane] += (double)x[i] * (double)x[i];
    return __builtin_sqrt(lanes_sum(sum));
}

/* What brings x to a norm of at most `most`; 1 if it is there. */
INLINE float scale_to(const float *x, float most, uint32_t width)
{
    double length = norm(x, width);

    return length > (double)most ? (float)((double)most / length) : 1.0f;
}

/* Mean of the squares of the slopes. */
INLINE float mean_square(struct pace pace, const float *restrict w,
                         const float *restrict g, uint32_t width)
{
    double sum[LANES] = {0};
    uint32_t i = 0;

    for (; i + LANES <= width; i += LANES)
        for (uint32_t lane = 0; lane < LANES; lane++) {
            double slope = (double)slope_at(pace, g[i + lane], w[i + lane]);

            sum[lane] += slope * slope;
        }
    for (uint32_t lane = 0; i < width; i++, lane++) {
        double slope = (double)slope_at(pace, g[i], w[i]);

        sum[lane] += slope * slope;
    }
    return (float)(lanes_sum(sum) / width);
}

/* base to the power of `steps`, from its powers of 2^i. */
INLINE double power(const double *of, uint32_t steps)
{
    double product = 1;

    for (uint32_t i = 0; steps; i++, steps >>= 1)
        if (steps & 1)
            product *= of[i];
    return product;
}

/* --- the steps ------------------------------------------------------------------- */

INLINE void sgd(struct pace pace, float *restrict w, float *restrict s,
                const float *restrict g, uint32_t width)
{
    (void)s;
    for (uint32_t i = 0; i < width; i++)
        w[i] = kept(pace, w[i]) - pace.rate * slope_at(pace, g[i], w[i]);
}

INLINE void momentum(struct pace pace, float *restrict w, float *restrict s,
                     const float *restrict g, uint32_t width)
{
    float rate = pace.rate, friction = pace.optimizer->momentum;

    for (uint32_t i = 0; i < width; i++) {
        float m = friction * s[i] + slope_at(pace, g[i], w[i]);

        s[i] = m;
        w[i] = kept(pace, w[i]) - rate * m;
    }
}

INLINE void nesterov(struct pace pace, float *restrict w, float *restrict s,
                     const float *restrict g, uint32_t width)
{
    float rate = pace.rate, friction = pace.optimizer->momentum;

    for (uint32_t i = 0; i < width; i++) {
        float slope = slope_at(pace, g[i], w[i]);
        float m = friction * s[i] + slope;

        s[i] = m;
        w[i] = kept(pace, w[i]) - rate * (slope + friction * m);
    }
}

INLINE void adagrad(struct pace pace, float *restrict w, float *restrict s,
                    const float *restrict g, uint32_t width)
{
    float rate = pace.rate;

    for (uint32_t i = 0; i < width; i++) {
        float slope = slope_at(pace, g[i], w[i]);
        float sum = s[i] + slope * slope;
        float step = rate * slope / __builtin_sqrtf(sum);

        s[i] = sum;
        /* Nothing but zeros so far, with an initial value of zero: no step. */
        w[i] = kept(pace, w[i]) - (sum == 0.0f ? 0.0f : step);
    }
}

INLINE void rowwise_adagrad(struct pace pace, float *restrict w, float *restrict s,
                            const float *restrict g, uint32_t width)
{
    float sum = s[0] + mean_square(pace, w, g, width);
    float rate = sum == 0.0f ? 0.0f : pace.rate / __builtin_sqrtf(sum);

    s[0] = sum;
    for (uint32_t i = 0; i < width; i++)
        w[i] = kept(pace, w[i]) - rate * slope_at(pace, g[i], w[i]);
}

INLINE void adadelta(struct pace pace, float *restrict w, float *restrict s,
                     const float *restrict g, uint32_t width)
{
    float rate = pace.rate, epsilon = pace.optimizer->epsilon;
    float rho = pace.optimizer->rho, rest = 1.0f - rho;
    float *restrict x = s + width;

    for (uint32_t i = 0; i < width; i++) {
        float slope = slope_at(pace, g[i], w[i]);
        float sum = rho * s[i] + rest * (slope * slope);
        float step = __builtin_sqrtf(x[i] + epsilon) / __builtin_sqrtf(sum + epsilon) *
                     slope;

        s[i] = sum;
        x[i] = rho * x[i] + rest * (step * step);
        w[i] = kept(pace, w[i]) - rate * step;
    }
}

INLINE void rmsprop(struct pace pace, float *restrict w, float *restrict s,
                    const float *restrict g, uint32_t width)
{
    float rate = pace.rate, epsilon = pace.optimizer->epsilon;
    float rho = pace.optimizer->rho, rest = 1.0f - rho;

    for (uint32_t i = 0; i < width; i++) {
        float slope = slope_at(pace, g[i], w[i]);
        float sum = rho * s[i] + rest * (slope * slope);

        s[i] = sum;
        w[i] = kept(pace, w[i]) - rate * slope / (__builtin_sqrtf(sum) + epsilon);
    }
}

/* Makes them those of `steps`. */
INLINE void correct(struct pace pace, uint32_t steps)
{
    const struct optimizer *o = pace.optimizer;
    struct corrections *c = pace.corrections;

#ifdef MUTANT_STEP_COUNT
    steps = c->steps ? c->steps : steps;
#endif
    if (c->steps == steps)
        return;
    c->steps = steps;
    c->rate = (float)((double)pace.rate / (1 - power(o->beta1_power, steps)));
    c->root = (float)(1 / __builtin_sqrt(1 - power(o->beta2_power, steps)));
}

/* Also adamw: decay is among the extras. */
INLINE void adam(struct pace pace, float *restrict w, float *restrict s,
                 const float *restrict g, uint32_t width)
{
    const struct optimizer *o = pace.optimizer;
    float beta1 = o->beta1, beta2 = o->beta2, epsilon = o->epsilon;
    float rest1 = 1.0f - beta1, rest2 = 1.0f - beta2;
    float *restrict v = s + width;
    float *count = v + width;
    /* Anything else is a damaged count. */
    bool counts = *count >= 0.0f && *count < (float)OPTIMIZER_STEPS_MAX;
    uint32_t steps = counts ? (uint32_t)*count + 1 : OPTIMIZER_STEPS_MAX;
    float rate, root;

    correct(pace, steps);
    rate = pace.corrections->rate;
    root = pace.corrections->root;
    *count = (float)steps;
    for (uint32_t i = 0; i < width; i++) {
        float slope = slope_at(pace, g[i], w[i]);
        float first = beta1 * s[i] + rest1 * slope;
        float second = beta2 * v[i] + rest2 * (slope * slope);

        s[i] = first;
        v[i] = second;
        w[i] = kept(pace, w[i]) -
               rate * first / (__builtin_sqrtf(second) * root + epsilon);
    }
}

INLINE void amsgrad(struct pace pace, float *restrict w, float *restrict s,
                    const float *restrict g, uint32_t width)
{
    const struct optimizer *o = pace.optimizer;
    float rate = pace.rate, beta1 = o->beta1, beta2 = o->beta2, epsilon = o->epsilon;
    float rest1 = 1.0f - beta1, rest2 = 1.0f - beta2;
    float *restrict v = s + width;
    float *restrict x = s + 2 * (uint64_t)width;

    for (uint32_t i = 0; i < width; i++) {
        float slope = slope_at(pace, g[i], w[i]);
        float first = beta1 * s[i] + rest1 * slope;
        float second = beta2 * v[i] + rest2 * (slope * slope);
        float most = second > x[i] ? second : x[i];

        s[i] = first;
        v[i] = second;
        x[i] = most;
        w[i] = kept(pace, w[i]) - rate * first / (__builtin_sqrtf(most) + epsilon);
    }
}

INLINE void ftrl(struct pace pace, float *restrict w, float *restrict s,
                 const float *restrict g, uint32_t width)
{
    float l1 = pace.optimizer->l1, l2 = pace.optimizer->l2, rate = pace.rate;
    float beta = pace.optimizer->beta;
    float *restrict z = s + width;

    for (uint32_t i = 0; i < width; i++) {
        float slope = clipped(pace, g[i]), sum = s[i] + slope * slope;
        float root = __builtin_sqrtf(sum);
        float more = (root - __builtin_sqrtf(s[i])) / rate;
        float start = s[i] == 0.0f ? -w[i] * beta / rate : z[i];
        float now = start + slope - more * w[i];
        float weight = -shrink(now, l1) / ((beta + root) / rate + l2);

        s[i] = sum;
        z[i] = now;
        w[i] = sum == 0.0f ? w[i] : weight; /* no gradient so far */
    }
}

INLINE void add(struct pace pace, float *restrict w, float *restrict s,
                const float *restrict g, uint32_t width)
{
    (void)pace;
    (void)s;
    for (uint32_t i = 0; i < width; i++)
        w[i] += g[i];
}

/* --- after the step -------------------------------------------------------------- */

/* L1: `by` is rate * l1 * weight; with adagrad over the root of the sum. */
static void shrink_row(float *restrict w, const float *restrict sum, float by,
                       uint32_t width)
{
    if (!sum) {
        for (uint32_t i = 0; i < width; i++)
            w[i] = shrink(w[i], by);
        return;
    }
    for (uint32_t i = 0; i < width; i++) {
        float less = shrink(w[i], by / __builtin_sqrtf(sum[i]));

        w[i] = sum[i] == 0.0f ? w[i] : less; /* no step, as adagrad */
    }
}

static void limit_row(float *w, float most, uint32_t width)
{
    float scale = scale_to(w, most, width);

    for (uint32_t i = 0; i < width; i++)
        w[i] *= scale;
}

/* --- rows ------------------------------------------------------------------------ */

/* What optimizer_rows() was given. */
struct work {
    const struct optimizer *optimizer;
    float rate;
    float *const *row;
    const float *gradient, *weight;
    uint32_t n, width;
};

/* `step` and `extras` are constants: each call becomes a loop of its own. */
INLINE void each_row(struct work work, row_step *step, uint32_t state, bool extras)
{
    const struct optimizer *o = work.optimizer;
    uint32_t width = work.width, ahead = rows_ahead(width + state);
    struct corrections corrections = {0};
    struct pace pace = {.optimizer = o,
                        .extras = extras,
                        .rate = work.rate,
                        .scale = 1.0f,
                        .bound = o->clip > 0.0f ? o->clip : INFINITY,
                        .keep = (float)(1 - (double)work.rate * o->decay),
                        .corrections = &corrections};

    for (uint32_t i = 0; i < work.n; i++) {
        const float *g = work.gradient + (uint64_t)i * width;
        float *w = work.row[i], *s = w + width;

        if (i + ahead < work.n)
            prefetch_row(work.row[i + ahead], width + state);
        pace.l2 = o->l2 * work.weight[i];
        if (extras && o->clip_norm > 0.0f)
            pace.scale = scale_to(g, o->clip_norm, width);
        step(pace, w, s, g, width);
        if (o->l1 > 0.0f && step != ftrl)
            shrink_row(w, step == adagrad ? s : NULL,
                       work.rate * o->l1 * work.weight[i], width);
        if (o->max_norm > 0.0f)
            limit_row(w, o->max_norm, width);
    }
}

/* One kind, with and without extras. */
INLINE void rows_of(struct work work, row_step *step, uint32_t state)
{
    if (work.optimizer->extras)
        each_row(work, step, state, true);
    else
        each_row(work, step, state, false);
}

void LEVEL(optimizer_rows)(const struct optimizer *optimizer, float rate,
                           float *const *row, const float *gradient,
                           const float *weight, uint32_t n, uint32_t width)
{
    struct work work = {optimizer, rate, row, gradient, weight, n, width};

    switch (optimizer->kind) {
    case OPTIMIZER_SGD:
        rows_of(work, sgd, 0);
        break;
    case OPTIMIZER_ADAGRAD:
        rows_of(work, adagrad, width);
        break;
    case OPTIMIZER_MOMENTUM:
        rows_of(work, momentum, width);
        break;
    case OPTIMIZER_NESTEROV:
        rows_of(work, nesterov, width);
        break;
    case OPTIMIZER_ROWWISE_ADAGRAD:
        rows_of(work, rowwise_adagrad, 1);
        break;
    case OPTIMIZER_ADADELTA:
        rows_of(work, adadelta, 2 * width);
        break;
    case OPTIMIZER_RMSPROP:
        rows_of(work, rmsprop, width);
        break;
    case OPTIMIZER_ADAM:
    case OPTIMIZER_ADAMW:
        rows_of(work, adam, 2 * width + 1);
        break;
    case OPTIMIZER_AMSGRAD:
        rows_of(work, amsgrad, 3 * width);
        break;
    case OPTIMIZER_FTRL:
        rows_of(work, ftrl, 2 * width);
        break;
    case OPTIMIZER_ADD:
        rows_of(work, add, 0);
        break;
    }
}

/* --- gradients that come late ---------------------------------------------------- */

void LEVEL(compensate_rows)(float factor, float *const *row, const float *pulled,
                            const float *gradient, const float *weight, uint32_t n,
                            uint32_t width, float *out)
{
    for (uint32_t i = 0; i < n; i++) {
        const float *restrict w = row[i];
        const float *restrict old = pulled + (uint64_t)i * width;
        const float *restrict g = gradient + (uint64_t)i * width;
        float *restrict to = out + (uint64_t)i * width;
        float share = weight[i] > 0.0f ? factor / weight[i] : factor;

        for (uint32_t j = 0; j < width; j++)
            to[j] = g[j] + share * (g[j] * g[j]) * (w[j] - old[j]);
    }
}

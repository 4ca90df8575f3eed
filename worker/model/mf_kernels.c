#include "worker/model/mf_kernels.h"

#include <string.h>

#include "common/job.h"

#define PASTE(name, level) name##_##level
#define PASTE_EXPANDED(name, level) PASTE(name, level)
#define LEVEL(name) PASTE_EXPANDED(name, KERNEL_LEVEL)

/* Rows are taken 16 floats at a time, in as many registers as that needs. */
#if defined(__AVX512F__)
enum { FLOATS = 16 };
#elif defined(__AVX__)
enum { FLOATS = 8 };
#else
enum { FLOATS = 4 };
#endif
enum { LANES = 16, REGISTERS = LANES / FLOATS };
typedef float floats __attribute__((vector_size(4 * FLOATS)));
/* The same within a row, which is aligned to a float only. */
typedef float row_floats
    __attribute__((vector_size(4 * FLOATS), aligned(4), may_alias));

/* How many examples ahead rows are fetched, and floats of a cache line. */
enum { AHEAD = 2, LINE = 16 };

/* Dot product in 16 sums, added as a tree. */
static inline float dot(const float *a, const float *b, uint32_t n)
{
    floats sums[REGISTERS] = {{0}};
    float sum[LANES];
    uint32_t j = 0;

    for (; j + LANES <= n; j += LANES) {
        const row_floats *x = (const row_floats *)(a + j);
        const row_floats *y = (const row_floats *)(b + j);

        for (int r = 0; r < REGISTERS; r++)
            sums[r] += x[r] * y[r];
    }
    memcpy(sum, sums, sizeof sum);
    for (uint32_t lane = 0; j < n; lane++, j++)
        sum[lane] += a[j] * b[j];
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int lane = 0; lane < half; lane++)
            sum[lane] += sum[lane + half];
    return sum[0];
}

/* to_u += e * v and to_v += e * u. */
static inline void add_scaled(float e, const float *u, const float *v, float *to_u,
                              float *to_v, uint32_t n)
{
    uint32_t j = 0;

    for (; j + LANES <= n; j += LANES) {
        for (int r = 0; r < REGISTERS; r++) {
            uint32_t at = j + (uint32_t)r * FLOATS;

            *(row_floats *)(to_u + at) += e * *(const row_floats *)(v + at);
            *(row_floats *)(to_v + at) += e * *(const row_floats *)(u + at);
        }
    }
    for (; j < n; j++) {
        to_u[j] += e * v[j];
        to_v[j] += e * u[j];
    }
}

/* A step of u against e * v + l2 * u, and of v against e * u + l2 * v, both as they
 * were. */
static inline void sgd_step(float rate, float e, float l2, float *u, float *v,
                            uint32_t n)
{
    uint32_t j = 0;

    for (; j + LANES <= n; j += LANES) {
        for (int r = 0; r < REGISTERS; r++) {
            row_floats *x = (row_floats *)(u + j + (uint32_t)r * FLOATS);
            row_floats *y = (row_floats *)(v + j + (uint32_t)r * FLOATS);
            floats a = *x, b = *y;

            *x = a - rate * (e * b + l2 * a);
            *y = b - rate * (e * a + l2 * b);
        }
    }
    for (; j < n; j++) {
        float a = u[j], b = v[j];

        u[j] = a - rate * (e * b + l2 * a);
        v[j] = b - rate * (e * a + l2 * b);
    }
}

/* Brings a row and its gradient into the cache. */
static inline void fetch(const float *row, const float *gradient, uint32_t width)
{
    for (uint32_t j = 0; j < width; j += LINE) {
        __builtin_prefetch(row + j);
        __builtin_prefetch(gradient + j, 1);
    }
}

/* mean + b_u + b_i + u . v */
static inline float linear_score(const struct mf *mf, const float *u, const float *v)
{
    float score = mf->mean + dot(u, v, mf->dim);

    return mf->bias ? score + (u[mf->dim] + v[mf->dim]) : score;
}

/* The loss of a linear score, and its derivative by the score (of half the squared
 * error). log(1 + exp(z)) is max(z, 0) + log1p(exp(-|z|)), which can not overflow. */
static inline double loss_of(int loss, float score, float label, float *derivative)
{
    double z = score, y = label;

    if (loss == LOSS_SQUARED) {
        *derivative = score - label;
        return (z - y) * (z - y);
    }
    *derivative = (float)(mf_logistic(z) - y);
    return fmax(z, 0) - z * y + log1p(exp(-fabs(z)));
}

static double forward_backward(const struct mf *mf, const struct mf_batch *batch,
                               float *user_gradient, float *item_gradient)
{
    double loss = 0;

    for (uint32_t i = 0; i < batch->n; i++) {
        size_t at_u = (size_t)batch->user_pos[i] * mf->width;
        size_t at_v = (size_t)batch->item_pos[i] * mf->width;
        const float *u = batch->user + at_u, *v = batch->item + at_v;
        float *to_u = user_gradient + at_u, *to_v = item_gradient + at_v;
        float e;

        if (i + AHEAD < batch->n) {
            size_t next_u = (size_t)batch->user_pos[i + AHEAD] * mf->width;
            size_t next_v = (size_t)batch->item_pos[i + AHEAD] * mf->width;

            fetch(batch->user + next_u, user_gradient + next_u, mf->width);
            fetch(batch->item + next_v, item_gradient + next_v, mf->width);
        }
        loss += loss_of(mf->loss, linear_score(mf, u, v), batch->label[i], &e);
        add_scaled(e, u, v, to_u, to_v, mf->dim);
        if (mf->bias) {
            to_u[mf->dim] += e;
            to_v[mf->dim] += e;
        }
    }
    return loss;
}

static double sgd(const struct mf *mf, const struct mf_block *block)
{
    double loss = 0;

    for (uint32_t i = 0; i < block->n; i++) {
        float *u = block->user + (size_t)block->user_pos[i] * mf->width;
        float *v = block->item + (size_t)block->item_pos[i] * mf->width;
        float e;

        if (i + AHEAD < block->n) {
            const float *u_next = block->user +
                                  (size_t)block->user_pos[i + AHEAD] * mf->width;
            const float *v_next = block->item +
                                  (size_t)block->item_pos[i + AHEAD] * mf->width;

            fetch(u_next, v_next, mf->width);
        }
        loss += loss_of(mf->loss, linear_score(mf, u, v), block->label[i], &e);
        sgd_step(block->rate, e, block->l2, u, v, mf->dim);
        if (mf->bias) {
            u[mf->dim] -= block->rate * (e + block->l2 * u[mf->dim]);
            v[mf->dim] -= block->rate * (e + block->l2 * v[mf->dim]);
        }
    }
    return loss;
}

static void scores(const struct mf *mf, const struct mf_batch *batch, float *score)
{
    for (uint32_t i = 0; i < batch->n; i++) {
        const float *u = batch->user + (size_t)batch->user_pos[i] * mf->width;
        const float *v = batch->item + (size_t)batch->item_pos[i] * mf->width;

        score[i] = linear_score(mf, u, v);
    }
}

const struct mf_kernels LEVEL(mf_kernels) = {
    .forward_backward = forward_backward,
    .sgd = sgd,
    .scores = scores,
};

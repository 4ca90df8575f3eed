#include "worker/model/mf_kernels.h"

#include "common/job.h"
#include "worker/model/lanes.h"

_Static_assert((int)LANES == (int)MF_LANES, "blocks are laid out for these lanes");

/* How many examples ahead rows are fetched, when a step takes long and when it does
 * not, and floats of a cache line. */
enum { AHEAD = 2, FAR_AHEAD = 8, LINE = 16 };

/* u = keep * u - e * v and v = keep * v - e * u, both as they were. */
INLINE void sgd_step(float keep, float e, float *restrict u, float *restrict v,
                     uint32_t stride)
{
    for (uint32_t j = 0; j < stride; j += FLOATS) {
        floats *x = (floats *)(u + j), *y = (floats *)(v + j);
        floats a = *x, b = *y;

        *x = keep * a - e * b;
        *y = keep * b - e * a;
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
        double one;
        float e;

        if (i + AHEAD < batch->n) {
            size_t next_u = (size_t)batch->user_pos[i + AHEAD] * mf->width;
            size_t next_v = (size_t)batch->item_pos[i + AHEAD] * mf->width;

            fetch(batch->user + next_u, user_gradient + next_u, mf->width);
            fetch(batch->item + next_v, item_gradient + next_v, mf->width);
        }
        one = loss_of(mf->loss, linear_score(mf, u, v), batch->label[i], &e);
        if (batch->weight) {
            one *= (double)batch->weight[i];
            e *= batch->weight[i];
        }
        loss += one;
        add_scaled_pair(e, u, v, to_u, to_v, mf->dim);
        if (mf->bias) {
            to_u[mf->dim] += e;
            to_v[mf->dim] += e;
        }
    }
    return loss;
}

static void backward(const struct mf *mf, const struct mf_batch *batch,
                     const float *slope, float *user_gradient, float *item_gradient)
{
    for (uint32_t i = 0; i < batch->n; i++) {
        size_t at_u = (size_t)batch->user_pos[i] * mf->width;
        size_t at_v = (size_t)batch->item_pos[i] * mf->width;
        float *to_u = user_gradient + at_u, *to_v = item_gradient + at_v;

        add_scaled_pair(slope[i], batch->user + at_u, batch->item + at_v, to_u, to_v,
                        mf->dim);
        if (mf->bias) {
            to_u[mf->dim] += slope[i];
            to_v[mf->dim] += slope[i];
        }
    }
}

/* mf_sgd() for rows of `stride` floats and one loss: constants where it is inlined. */
INLINE double sgd_rows(const struct mf *mf, const struct mf_block *block,
                       uint32_t stride, int loss_kind)
{
    float rate = block->rate, bias_rate = mf->bias ? block->bias_rate : 0;
    float keep = 1 - rate * block->l2, keep_bias = 1 - bias_rate * block->l2;
    double loss = 0;

    for (uint32_t i = 0; i < block->n; i++) {
        uint32_t at_u = block->user_pos[i], at_v = block->item_pos[i];
        float *u = block->user + (size_t)at_u * stride;
        float *v = block->item + (size_t)at_v * stride;
        float *bias_u = block->user_bias + at_u, *bias_v = block->item_bias + at_v;
        float e, score;

        if (i + FAR_AHEAD < block->n)
            fetch(block->user + (size_t)block->user_pos[i + FAR_AHEAD] * stride,
                  block->item + (size_t)block->item_pos[i + FAR_AHEAD] * stride,
                  stride);
        score = mf->mean + dot(u, v, stride) + (*bias_u + *bias_v);
        loss += loss_of(loss_kind, score, block->label[i], &e);
        sgd_step(keep, rate * e, u, v, stride);
        *bias_u = keep_bias * *bias_u - bias_rate * e;
        *bias_v = keep_bias * *bias_v - bias_rate * e;
    }
    return loss;
}

INLINE double sgd_strides(const struct mf *mf, const struct mf_block *block,
                          int loss_kind)
{
    uint32_t stride = (mf->dim + LANES - 1) / LANES * LANES;

    switch (stride) { /* usual ones stay in registers */
    case 16:
        return sgd_rows(mf, block, 16, loss_kind);
    case 32:
        return sgd_rows(mf, block, 32, loss_kind);
    case 64:
        return sgd_rows(mf, block, 64, loss_kind);
    case 128:
        return sgd_rows(mf, block, 128, loss_kind);
    default:
        return sgd_rows(mf, block, stride, loss_kind);
    }
}

static double sgd(const struct mf *mf, const struct mf_block *block)
{
    return mf->loss == LOSS_SQUARED ? sgd_strides(mf, block, LOSS_SQUARED)
                                    : sgd_strides(mf, block, LOSS_LOGISTIC);
}

static void differences(const struct mf *mf, const float *row, const float *factors,
                        const float *bias, uint32_t n, float *difference)
{
    uint32_t stride = (mf->dim + LANES - 1) / LANES * LANES;

    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t j = 0; j < mf->dim; j++)
            difference[j] = factors[j] - row[j];
        if (mf->bias)
            difference[mf->dim] = bias[i] - row[mf->dim];
        factors += stride;
        row += mf->width;
        difference += mf->width;
    }
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
    .backward = backward,
    .sgd = sgd,
    .differences = differences,
    .scores = scores,
};

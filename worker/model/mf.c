#include "worker/model/mf.h"

#include <math.h>
#include <string.h>

#include "common/job.h"
#include "worker/model/blas.h"
#include "worker/model/mf_kernels.h"

const struct mf_kernels *mf_kernels(enum cpu_level level)
{
    static const struct mf_kernels *const kernels[] = {[CPU_V2] = &mf_kernels_v2,
                                                       [CPU_V3] = &mf_kernels_v3,
                                                       [CPU_V4] = &mf_kernels_v4};

    return kernels[level];
}

void mf_set_mean(struct mf *mf, double label_mean)
{
    if (mf->loss == LOSS_LOGISTIC) {
        double p = fmin(fmax(label_mean, MF_PROBABILITY_MIN), 1 - MF_PROBABILITY_MIN);

        mf->mean = (float)(log(p) - log1p(-p));
    } else {
        mf->mean = (float)label_mean;
    }
}

double mf_forward_backward(const struct mf *mf, const struct mf_batch *batch,
                           float *user_gradient, float *item_gradient)
{
    return mf_kernels(cpu_level())
        ->forward_backward(mf, batch, user_gradient, item_gradient);
}

void mf_backward(const struct mf *mf, const struct mf_batch *batch, const float *slope,
                 float *user_gradient, float *item_gradient)
{
    mf_kernels(cpu_level())->backward(mf, batch, slope, user_gradient, item_gradient);
}

uint32_t mf_stride(const struct mf *mf)
{
    return (mf->dim + MF_LANES - 1) / MF_LANES * MF_LANES;
}

void mf_spread(const struct mf *mf, const float *row, uint32_t n, float *factors,
               float *bias)
{
    uint32_t stride = mf_stride(mf);

    for (uint32_t i = 0; i < n; i++) {
        memcpy(factors, row, mf->dim * sizeof *row);
        memset(factors + mf->dim, 0, (stride - mf->dim) * sizeof *row);
        bias[i] = mf->bias ? row[mf->dim] : 0;
        factors += stride;
        row += mf->width;
    }
}

void mf_differences(const struct mf *mf, const float *row, const float *factors,
                    const float *bias, uint32_t n, float *difference)
{
    mf_kernels(cpu_level())->differences(mf, row, factors, bias, n, difference);
}

double mf_sgd(const struct mf *mf, const struct mf_block *block)
{
    return mf_kernels(cpu_level())->sgd(mf, block);
}

void mf_link(const struct mf *mf, float *score, uint32_t n)
{
    if (mf->loss != LOSS_LOGISTIC)
        return;
    for (uint32_t i = 0; i < n; i++)
        score[i] = (float)mf_logistic(score[i]);
}

void mf_predict_linear(const struct mf *mf, const struct mf_batch *batch, float *score)
{
    mf_kernels(cpu_level())->scores(mf, batch, score);
}

/* What a user's scores have apart from the factors' products. */
static void set_biases(const struct mf *mf, const float *user, const float *item,
                       uint32_t items, float *score)
{
    for (uint32_t i = 0; i < items; i++)
        score[i] = mf->mean;
    if (!mf->bias)
        return;
    for (uint32_t i = 0; i < items; i++)
        score[i] += user[mf->dim] + item[(size_t)i * mf->width + mf->dim];
}

void mf_score_users(const struct mf *mf, const float *user, uint32_t users,
                    const float *item, uint32_t items, float *score)
{
    struct blas_rows u = {user, users, mf->width}, v = {item, items, mf->width};

    for (uint32_t i = 0; i < users; i++)
        set_biases(mf, user + (size_t)i * mf->width, item, items,
                   score + (size_t)i * items);
    if (users == 1)
        blas_add_dots(v, user, mf->dim, score);
    else
        blas_add_products(u, v, mf->dim, score, items);
}

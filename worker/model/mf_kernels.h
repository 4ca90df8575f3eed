/* Kernels of matrix factorisation, built once for each x86-64 level. All levels add up
 * in the same order and round alike: their results are equal bit for bit.
 *
 * mf_kernels.c defines them by a macro that appends the level. */
#ifndef ROWHOUSE_WORKER_MODEL_MF_KERNELS_H
#define ROWHOUSE_WORKER_MODEL_MF_KERNELS_H

#include <math.h>

#include "common/cpu.h"
#include "worker/model/mf.h"

enum { MF_LANES = 16 }; /* floats that all levels take together */

struct mf_kernels {
    /* As mf_forward_backward(). */
    double (*forward_backward)(const struct mf *mf, const struct mf_batch *batch,
                               float *user_gradient, float *item_gradient);
    /* As mf_backward(). */
    void (*backward)(const struct mf *mf, const struct mf_batch *batch,
                     const float *slope, float *user_gradient, float *item_gradient);
    /* As mf_sgd() and mf_differences(). */
    double (*sgd)(const struct mf *mf, const struct mf_block *block);
    void (*differences)(const struct mf *mf, const float *row, const float *factors,
                        const float *bias, uint32_t n, float *difference);
    /* Linear scores of the batch's examples: score is [n]. */
    void (*scores)(const struct mf *mf, const struct mf_batch *batch, float *score);
};

extern const struct mf_kernels mf_kernels_v2, mf_kernels_v3, mf_kernels_v4;

/* The probability of a linear score (log-odds), accurate at both ends. */
static inline double mf_logistic(double score)
{
    double e = exp(-fabs(score));

    return score >= 0 ? 1 / (1 + e) : e / (1 + e);
}

/* The kernels of a level; the processor must have it. */
const struct mf_kernels *mf_kernels(enum cpu_level level);

#endif

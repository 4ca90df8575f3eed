#include "worker/model/loss.h"

#include <math.h>

#include "worker/model/mf_kernels.h"

static double weight_of(const float *weight, uint32_t i)
{
    return weight ? (double)weight[i] : 1;
}

/* --- one score an example --------------------------------------------------------- */

double loss_squared(const float *score, const float *label, const float *weight,
                    uint32_t n, float *gradient)
{
    double loss = 0;

    for (uint32_t i = 0; i < n; i++) {
        double w = weight_of(weight, i), e = (double)score[i] - (double)label[i];

        loss += w * e * e;
        gradient[i] += (float)(w * e);
    }
    return loss;
}

double loss_absolute(const float *score, const float *label, const float *weight,
                     uint32_t n, float *gradient)
{
    double loss = 0;

    for (uint32_t i = 0; i < n; i++) {
        double w = weight_of(weight, i), e = (double)score[i] - (double)label[i];

        loss += w * fabs(e);
        gradient[i] += (float)(e > 0 ? w : e < 0 ? -w : w * e);
    }
    return loss;
}

double loss_huber(const float *score, const float *label, const float *weight,
                  uint32_t n, float delta, float *gradient)
{
    double loss = 0, d = (double)delta;

    for (uint32_t i = 0; i < n; i++) {
        double w = weight_of(weight, i), e = (double)score[i] - (double)label[i];

        if (fabs(e) > d) {
            loss += w * d * (fabs(e) - d / 2);
            gradient[i] += (float)(e > 0 ? w * d : -w * d);
        } else {
            loss += w * e * e / 2;
            gradient[i] += (float)(w * e);
        }
    }
    return loss;
}

/* log(1 + exp(z)) without overflow; its slope is mf_logistic(z). */
static double softplus(double z)
{
    return (z > 0 ? z : 0) + log1p(exp(-fabs(z)));
}

double loss_logistic(const float *score, const float *label, const float *weight,
                     uint32_t n, float *gradient)
{
    double loss = 0;

    for (uint32_t i = 0; i < n; i++) {
        double w = weight_of(weight, i), z = (double)score[i], y = (double)label[i];

        loss += w * (y * softplus(-z) + (1 - y) * softplus(z));
        gradient[i] += (float)(w * (mf_logistic(z) - y));
    }
    return loss;
}

/* How far an example is from the right side of the margin, at most 0: not at all. */
static double shortfall(float score, float label, double *sign)
{
    *sign = label >= 0.5f ? 1 : -1;
    return 1 - *sign * (double)score;
}

double loss_hinge(const float *score, const float *label, const float *weight,
                  uint32_t n, float *gradient)
{
    double loss = 0, sign;

    for (uint32_t i = 0; i < n; i++) {
        double w = weight_of(weight, i),
               short_of = shortfall(score[i], label[i], &sign);

        if (short_of <= 0)
            continue;
        loss += w * short_of;
        gradient[i] -= (float)(w * sign);
    }
    return loss;
}

double loss_squared_hinge(const float *score, const float *label, const float *weight,
                          uint32_t n, float *gradient)
{
    double loss = 0, sign;

    for (uint32_t i = 0; i < n; i++) {
        double w = weight_of(weight, i),
               short_of = shortfall(score[i], label[i], &sign);

        if (short_of <= 0)
            continue;
        loss += w * short_of * short_of;
        gradient[i] -= (float)(2 * w * sign * short_of);
    }
    return loss;
}

/* --- many scores an example ------------------------------------------------------- */

double loss_multinomial(const struct layer_kernels *k, const float *score,
                        const uint32_t *offset, const uint32_t *target,
                        const float *share, const float *weight, uint32_t n,
                        uint32_t classes, float *scratch, float *gradient)
{
    double loss = 0;

    for (uint32_t i = 0; i < n; i++, score += classes, gradient += classes) {
        double w = weight_of(weight, i), total = 0, log_sum;

        if (offset[i] == offset[i + 1])
            continue;
        log_sum = k->softmax(score, classes, scratch);
        for (uint32_t t = offset[i]; t < offset[i + 1]; t++) {
            double part = (double)share[t];

            loss += w * part * (log_sum - (double)score[target[t]]);
            gradient[target[t]] -= (float)(w * part);
            total += part;
        }
        k->add_scaled(scratch, (float)(w * total), classes, gradient);
    }
    return loss;
}

double loss_sampled_softmax(const struct layer_kernels *k, const float *score,
                            const uint32_t *target, struct loss_candidates candidates,
                            const float *weight, uint32_t n, float *scratch,
                            float *gradient)
{
    uint32_t m = candidates.m;
    float *corrected = scratch, *share = scratch + m;
    double loss = 0;

    for (uint32_t i = 0; i < n; i++, score += m, gradient += m) {
        const uint64_t *id = candidates.id + (size_t)i * candidates.stride;
        const float *log_q = candidates.log_q + (size_t)i * candidates.stride;
        double w = weight_of(weight, i), log_sum;

        for (uint32_t j = 0; j < m; j++)
            corrected[j] = id[j] == id[target[i]] && j != target[i]
                               ? -INFINITY
                               : score[j] - log_q[j];
        log_sum = k->softmax(corrected, m, share);
        loss += w * (log_sum - (double)corrected[target[i]]);
        gradient[target[i]] -= (float)w;
        k->add_scaled(share, (float)w, m, gradient);
    }
    return loss;
}

/* --- pairs of items --------------------------------------------------------------- */

double loss_bpr(const float *positive, const float *negative, const float *weight,
                uint32_t n, uint32_t m, float *dpositive, float *dnegative)
{
    double loss = 0;

    for (uint32_t i = 0; i < n; i++, negative += m, dnegative += m) {
        double w = weight_of(weight, i), total = 0;

        for (uint32_t j = 0; j < m; j++) {
            double z = (double)negative[j] - (double)positive[i];
            double slope = w * mf_logistic(z);

            loss += w * softplus(z);
            dnegative[j] += (float)slope;
            total += slope;
        }
        dpositive[i] -= (float)total;
    }
    return loss;
}

/* 1 + 1/2 + .. + 1/n; from 32 on by its expansion, which is exact to 1e-8 there. */
static double harmonic(uint64_t n)
{
    double sum = 0, x = (double)n;

    if (n >= 32)
        return log(x) + 0.57721566490153286 + 1 / (2 * x) - 1 / (12 * x * x);
    for (uint64_t i = 1; i <= n; i++)
        sum += 1 / (double)i;
    return sum;
}

double loss_warp(const float *positive, const float *negative, const float *weight,
                 uint32_t n, uint32_t m, uint64_t items, float *dpositive,
                 float *dnegative)
{
    double loss = 0;

    for (uint32_t i = 0; i < n; i++, negative += m, dnegative += m)
        for (uint32_t j = 0; j < m; j++) {
            double short_of = 1 - (double)positive[i] + (double)negative[j], slope;

            if (short_of <= 0)
                continue;
            slope = weight_of(weight, i) * harmonic((items - 1) / (j + 1));
            loss += slope * short_of;
            dpositive[i] -= (float)slope;
            dnegative[j] += (float)slope;
            break;
        }
    return loss;
}

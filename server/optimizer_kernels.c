#include "server/optimizer_kernels.h"

#define JOIN2(name, level) name##_##level
#define JOIN(name, level) JOIN2(name, level)
#define LEVEL(name) JOIN(name, KERNEL_LEVEL)

enum { AHEAD = 8, LINE = 64 }; /* rows fetched ahead; bytes of a cache line */

static inline __attribute__((always_inline)) void prefetch_row(const float *row,
                                                               uint32_t floats)
{
    const char *at = (const char *)row;

    for (uint32_t i = 0; i < floats * sizeof(float); i += LINE)
        __builtin_prefetch(at + i, 1);
}

static inline void sgd(float *restrict w, const float *restrict g, float decay,
                       float rate, uint32_t width)
{
    for (uint32_t i = 0; i < width; i++)
        w[i] -= rate * (g[i] + decay * w[i]);
}

static inline void adagrad(float *restrict w, float *restrict s,
                           const float *restrict g, float decay, float rate,
                           uint32_t width)
{
    for (uint32_t i = 0; i < width; i++) {
        float slope = g[i] + decay * w[i];
        float sum = s[i] + slope * slope;
        float step = rate * slope / __builtin_sqrtf(sum);

        s[i] = sum;
        /* Nothing but zeros so far, with an initial value of zero: no step. */
        w[i] -= sum == 0.0f ? 0.0f : step;
    }
}

void LEVEL(sgd_rows)(const struct optimizer *optimizer, float *const *row,
                     const float *gradient, const float *weight, uint32_t n,
                     uint32_t width)
{
    for (uint32_t i = 0; i < n; i++) {
        if (i + AHEAD < n)
            prefetch_row(row[i + AHEAD], width);
        sgd(row[i], gradient + (uint64_t)i * width, optimizer->l2 * weight[i],
            optimizer->rate, width);
    }
}

void LEVEL(adagrad_rows)(const struct optimizer *optimizer, float *const *row,
                         const float *gradient, const float *weight, uint32_t n,
                         uint32_t width)
{
    for (uint32_t i = 0; i < n; i++) {
        if (i + AHEAD < n)
            prefetch_row(row[i + AHEAD], 2 * width);
        adagrad(row[i], row[i] + width, gradient + (uint64_t)i * width,
                optimizer->l2 * weight[i], optimizer->rate, width);
    }
}

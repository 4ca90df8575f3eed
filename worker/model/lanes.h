/* For kernels only, which are built once for each x86-64 level: 16 floats at a time in
 * as many registers as that needs, and sums whose order does not depend on the level.
 * Whoever includes this defines KERNEL_LEVEL (the Makefile does for *_kernels.c). */
#ifndef ROWHOUSE_WORKER_MODEL_LANES_H
#define ROWHOUSE_WORKER_MODEL_LANES_H

#include <stdint.h>
#include <string.h>

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

typedef float eight_floats __attribute__((vector_size(32)));
typedef float four_floats __attribute__((vector_size(16)));

#define INLINE static inline __attribute__((always_inline))

/* Adds up 16 sums as a tree: each half to the other, again and again. */
INLINE float sum_of(const floats *sums)
{
    four_floats four;

#if defined(__AVX512F__)
    eight_floats eight =
        __builtin_shufflevector(sums[0], sums[0], 0, 1, 2, 3, 4, 5, 6, 7) +
        __builtin_shufflevector(sums[0], sums[0], 8, 9, 10, 11, 12, 13, 14, 15);
#elif defined(__AVX__)
    eight_floats eight = sums[0] + sums[1];
#endif
#if defined(__AVX__)
    four = __builtin_shufflevector(eight, eight, 0, 1, 2, 3) +
           __builtin_shufflevector(eight, eight, 4, 5, 6, 7);
#else
    four = (sums[0] + sums[2]) + (sums[1] + sums[3]);
#endif
    return (four[0] + four[2]) + (four[1] + four[3]);
}

/* Dot product in 16 sums, added as a tree. */
INLINE float dot(const float *a, const float *b, uint32_t n)
{
    floats sums[REGISTERS] = {{0}};
    uint32_t j = 0;

    for (; j + LANES <= n; j += LANES) {
        const row_floats *x = (const row_floats *)(a + j);
        const row_floats *y = (const row_floats *)(b + j);

        for (int r = 0; r < REGISTERS; r++)
            sums[r] += x[r] * y[r];
    }
    if (j < n) {
        float sum[LANES];

        memcpy(sum, sums, sizeof sum);
        for (uint32_t lane = 0; j < n; lane++, j++)
            sum[lane] += a[j] * b[j];
        memcpy(sums, sum, sizeof sum);
    }
    return sum_of(sums);
}

/* to_u += e * v and to_v += e * u. */
INLINE void add_scaled(float e, const float *u, const float *v, float *to_u,
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

#endif

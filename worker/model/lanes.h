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

/* The sum of TERM(type, at) for `at` from 0 to n - 1, in 16 sums, added as a tree. TERM
 * is a macro; its type is row_floats where it takes many numbers at once, or float. */
#define LANE_SUM(n, TERM)                                                              \
    ({                                                                                 \
        floats sums_[REGISTERS] = {{0}};                                               \
        uint32_t at_ = 0;                                                              \
                                                                                       \
        for (; at_ + LANES <= (n); at_ += LANES)                                       \
            for (uint32_t r_ = 0; r_ < REGISTERS; r_++)                                \
                sums_[r_] += TERM(row_floats, at_ + r_ * FLOATS);                      \
        if (at_ < (n)) {                                                               \
            float sum_[LANES];                                                         \
                                                                                       \
            memcpy(sum_, sums_, sizeof sum_);                                          \
            for (uint32_t lane_ = 0; at_ < (n); lane_++, at_++)                        \
                sum_[lane_] += TERM(float, at_);                                       \
            memcpy(sums_, sum_, sizeof sum_);                                          \
        }                                                                              \
        sum_of(sums_);                                                                 \
    })
/* The number or numbers at x + at. */
#define NUMBERS(type, x, at) (*(const type *)((x) + (at)))

/* Dot product in 16 sums, added as a tree. */
INLINE float dot(const float *a, const float *b, uint32_t n)
{
#define TERM(type, at) (NUMBERS(type, a, at) * NUMBERS(type, b, at))
    return LANE_SUM(n, TERM);
#undef TERM
}

/* to_u += e * v and to_v += e * u. */
INLINE void add_scaled_pair(float e, const float *u, const float *v, float *to_u,
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

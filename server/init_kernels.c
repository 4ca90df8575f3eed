#include "server/init_kernels.h"

#include <math.h>
#include <string.h>

#include "common/job.h"
#include "common/rng.h"

#define JOIN2(name, level) name##_##level
#define JOIN(name, level) JOIN2(name, level)
#define LEVEL(name) JOIN(name, KERNEL_LEVEL)

/* Loops over lanes have no branch and no call. Without the pragma gcc unrolls them
 * before it can make vectors of them. */
enum { LANES = 16, GROUP = 2 * LANES };

enum { DRAWS_MAX = 16 }; /* all 16 beyond two deviations: once in 10^21 values */

static inline int32_t bits_of(float x)
{
    int32_t bits;

    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float float_of(int32_t bits)
{
    float x;

    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Natural logarithm of a normal x > 0: x = 2^e * m with m in [0.7, 1.42), and log m as
 * the series of 2 atanh((m - 1) / (m + 1)), whose first dropped term is below 1e-9. */
static inline float log_near(float x)
{
    const float ln2_high = 0x1.62ep-1f, ln2_low = 0x1.0bfbe8p-15f;
    /* 0x3f3504f3 are the bits of sqrt(1/2). */
    int32_t e = (bits_of(x) - 0x3f3504f3) >> 23;
    float m = float_of(bits_of(x) - (int32_t)((uint32_t)e << 23));
    float s = (m - 1.0f) / (m + 1.0f), t = s * s;
    float series = ((t * (2.0f / 9) + 2.0f / 7) * t + 2.0f / 5) * t + 2.0f / 3;

    return (float)e * ln2_high + ((float)e * ln2_low + (s * 2.0f + s * t * series));
}

/* Taylor series for |x| <= pi / 4. */
static inline float sin_near(float x)
{
    float t = x * x;
    float series = ((t * (1.0f / 362880) - 1.0f / 5040) * t + 1.0f / 120) * t -
                   1.0f / 6;

    return x + x * t * series;
}

static inline float cos_near(float x)
{
    float t = x * x;
    float series = ((t * (1.0f / 40320) - 1.0f / 720) * t + 1.0f / 24) * t;

    return 1.0f + t * (series - 0.5f);
}

/* Two words of 32 random bits for each lane, from number `first` of the stream. */
static inline void lane_bits(uint64_t stream, uint64_t first, int32_t *high,
                             int32_t *low)
{
    uint64_t bits[LANES];

#pragma GCC unroll 1
    for (uint32_t i = 0; i < LANES; i++)
        bits[i] = mix64(stream + (first + i + 1) * 0x9e3779b97f4a7c15u);
#pragma GCC unroll 1
    for (uint32_t i = 0; i < LANES; i++) {
        high[i] = (int32_t)(bits[i] >> 32);
        low[i] = (int32_t)bits[i];
    }
}

/* Box and Muller (1958): radius from one word, angle from the other. */
static void group_normal(const int32_t *high, const int32_t *low, float scale,
                         float *out)
{
#pragma GCC unroll 1
    for (uint32_t i = 0; i < LANES; i++) {
        /* In (0, 1]: 31 bits, moved by a half so that it is never 0. */
        float unit = ((float)(int32_t)((uint32_t)high[i] >> 1) + 0.5f) * 0x1.0p-31f;
        float radius = __builtin_sqrtf(-2.0f * log_near(unit)) * scale;
        /* The angle is `quarter` quarter turns and x, the rest in [-pi/4, pi/4). */
        uint32_t quarter = ((uint32_t)low[i] + 0x20000000u) >> 30;
        float x = (float)(int32_t)((uint32_t)low[i] - (quarter << 30)) *
                  0x1.921fb6p-30f;
        float s = sin_near(x), c = cos_near(x);
        int32_t odd = -(int32_t)(quarter & 1);
        int32_t across = (bits_of(c) & ~odd) | (bits_of(s) & odd);
        int32_t up = (bits_of(s) & ~odd) | (bits_of(c) & odd);

        across ^= (int32_t)(((quarter + 1) & 2) << 30);
        up ^= (int32_t)((quarter & 2) << 30);
        out[i] = radius * float_of(across);
        out[LANES + i] = radius * float_of(up);
    }
}

/* In [-scale, scale). */
static void group_uniform(const int32_t *high, const int32_t *low, float scale,
                          float *out)
{
#pragma GCC unroll 1
    for (uint32_t i = 0; i < LANES; i++) {
        /* 24 bits, which a float holds exactly. */
        out[i] = (float)(high[i] >> 8) * 0x1.0p-23f * scale;
        out[LANES + i] = (float)(low[i] >> 8) * 0x1.0p-23f * scale;
    }
}

/* Normal values of at most two deviations: others are drawn again, with numbers of the
 * stream that no column has for itself. */
static void group_truncated(uint64_t stream, uint64_t first, float scale, float *out)
{
    int32_t high[LANES], low[LANES], beyond = 1;
    float again[GROUP];

    for (uint32_t i = 0; i < GROUP; i++)
        out[i] = INFINITY;
    for (uint64_t draw = 0; draw < DRAWS_MAX && beyond; draw++) {
        lane_bits(stream, (draw << 32) + first, high, low);
        group_normal(high, low, 1.0f, again);
        beyond = 0;
#pragma GCC unroll 1
        for (uint32_t i = 0; i < GROUP; i++) {
            out[i] = __builtin_fabsf(out[i]) > 2.0f ? again[i] : out[i];
            beyond |= __builtin_fabsf(out[i]) > 2.0f;
        }
    }
    for (uint32_t i = 0; i < GROUP; i++)
        out[i] = __builtin_fabsf(out[i]) > 2.0f ? 0.0f : out[i] * scale;
}

static void init_group(const struct init_rule *rule, uint64_t stream, uint64_t first,
                       float *out)
{
    int32_t high[LANES], low[LANES];

    if (rule->kind == INIT_TRUNCATED_NORMAL) {
        group_truncated(stream, first, rule->scale, out);
        return;
    }
    lane_bits(stream, first, high, low);
    if (rule->kind == INIT_NORMAL)
        group_normal(high, low, rule->scale, out);
    else
        group_uniform(high, low, rule->scale, out);
}

static void init_random(const struct init_rule *rule, uint64_t key, float *weights)
{
    /* The part of rng_at() that is the same for all columns. */
    uint64_t stream = mix64(mix64(rule->seed + 0x9e3779b97f4a7c15u) ^
                            key_hash(rule->table, key));
    float values[GROUP];

    for (uint32_t first = 0; first < rule->dim; first += GROUP) {
        uint32_t left = rule->dim - first;

        init_group(rule, stream, first / GROUP * LANES,
                   left < GROUP ? values : weights + first);
        if (left < GROUP)
            memcpy(weights + first, values, left * sizeof(float));
    }
}

void LEVEL(init_row)(const struct init_rule *rule, uint64_t key, float *weights)
{
    float value = rule->kind == INIT_CONSTANT ? rule->scale : 0.0f;
    uint32_t i = 0;

    if (rule->kind != INIT_CONSTANT && rule->kind != INIT_ZERO) {
        init_random(rule, key, weights);
        i = rule->dim;
    }
    for (; i < rule->dim; i++)
        weights[i] = value;
    for (; i < rule->width; i++)
        weights[i] = 0.0f;
}

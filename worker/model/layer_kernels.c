#include "worker/model/layer_kernels.h"

#include <math.h>

#include "common/rng.h"
#include "worker/model/lanes.h"

/* --- exp and its kin ------------------------------------------------------------- */

/* Below, a float's exp() is no normal number; above 88 it would pass the largest. */
#define EXP_MIN (-87.3f)
#define EXP_MAX 88.0f

/* exp(x) = 2^k (1 + rest) with |r| <= ln(2) / 2 and rest = exp(r) - 1, for x from
 * EXP_MIN to EXP_MAX. Adding 1.5 * 2^23 rounds to a whole number and leaves it in the
 * lowest bits, from where it becomes an exponent without a conversion. */
INLINE float exp_parts(float x, float *rest)
{
    const float round = 12582912.0f;
    float shifted = x * 1.44269504f + round, k = shifted - round, power;
    float r = (x - k * 0.693359375f) - k * -2.12194440e-4f;
    uint32_t bits;

    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits << 23) + 0x3f800000u;
    memcpy(&power, &bits, sizeof power);
    *rest = r + r * r *
                    (1.0f / 2 +
                     r * (1.0f / 6 + r * (1.0f / 24 +
                                          r * (1.0f / 120 +
                                               r * (1.0f / 720 + r * (1.0f / 5040))))));
    return power;
}

/* Comparisons are such that what is no number stays none. */
INLINE float clamp(float x, float low, float high)
{
    x = x < low ? low : x;
    return x > high ? high : x;
}

INLINE float exp_of(float x)
{
    float rest, power = exp_parts(clamp(x, EXP_MIN, EXP_MAX), &rest);
    float value = power + power * rest;

    return x < EXP_MIN ? 0.0f : value;
}

INLINE float sigmoid_of(float x)
{
    float rest, power = exp_parts(clamp(-x, EXP_MIN, EXP_MAX), &rest);

    return 1.0f / (1.0f + (power + power * rest));
}

/* By exp(2x) - 1, which keeps its digits near 0. */
INLINE float tanh_of(float x)
{
    float rest, power = exp_parts(2.0f * clamp(x, -10.0f, 10.0f), &rest);
    float less_1 = power * rest + (power - 1.0f);

    return less_1 / (less_1 + 2.0f);
}

#define GELU_SCALE 1.59576912f /* 2 sqrt(2 / pi) */
#define GELU_CUBE 0.044715f

INLINE float gelu_of(float x)
{
    return x * sigmoid_of(GELU_SCALE * (x + GELU_CUBE * x * x * x));
}

INLINE float gelu_slope(float z)
{
    float x = clamp(z, -20.0f, 20.0f), square = x * x;
    float s = sigmoid_of(GELU_SCALE * (x + GELU_CUBE * x * square));

    return s + x * s * (1.0f - s) * GELU_SCALE * (1.0f + 3.0f * GELU_CUBE * square);
}

/* --- sums of a row --------------------------------------------------------------- */

INLINE float sum(const float *x, uint32_t n)
{
#define TERM(type, at) NUMBERS(type, x, at)
    return LANE_SUM(n, TERM);
#undef TERM
}

/* Sum of (x - mean)^2 */
INLINE float squares_about(const float *x, float mean, uint32_t n)
{
#define TERM(type, at) ((NUMBERS(type, x, at) - mean) * (NUMBERS(type, x, at) - mean))
    return LANE_SUM(n, TERM);
#undef TERM
}

/* Sum of dy (1 + gain), and that with (x - mean) * rstd. */
INLINE float sum_gained(const float *dy, const float *gain, uint32_t n)
{
#define TERM(type, at) (NUMBERS(type, dy, at) * (1.0f + NUMBERS(type, gain, at)))
    return LANE_SUM(n, TERM);
#undef TERM
}

INLINE float sum_gained_normed(const float *dy, const float *gain, const float *x,
                               float mean, float rstd, uint32_t n)
{
#define TERM(type, at)                                                                 \
    (NUMBERS(type, dy, at) * (1.0f + NUMBERS(type, gain, at)) *                        \
     ((NUMBERS(type, x, at) - mean) * rstd))
    return LANE_SUM(n, TERM);
#undef TERM
}

/* The largest of n >= 1 numbers; one that is not a number may be passed over. */
INLINE float largest(const float *x, uint32_t n)
{
    float most[LANES], result;
    uint32_t j = 0;

    for (uint32_t lane = 0; lane < LANES; lane++)
        most[lane] = x[0];
    for (; j + LANES <= n; j += LANES)
        for (uint32_t lane = 0; lane < LANES; lane++)
            most[lane] = x[j + lane] > most[lane] ? x[j + lane] : most[lane];
    for (uint32_t lane = 0; j < n; lane++, j++)
        most[lane] = x[j] > most[lane] ? x[j] : most[lane];
    result = most[0];
    for (uint32_t lane = 1; lane < LANES; lane++)
        result = most[lane] > result ? most[lane] : result;
    return result;
}

/* --- activations ----------------------------------------------------------------- */

static double softmax(const float *restrict x, uint32_t width, float *restrict p)
{
    float most = largest(x, width), total, scale;

    for (uint32_t j = 0; j < width; j++)
        p[j] = exp_of(x[j] - most);
    total = sum(p, width);
    scale = 1.0f / total;
    for (uint32_t j = 0; j < width; j++)
        p[j] *= scale;
    return (double)most + log((double)total);
}

static void softmax_in_place(uint32_t rows, uint32_t width, float *y)
{
    for (uint32_t i = 0; i < rows; i++) {
        float *row = y + (size_t)i * width, most = largest(row, width), scale;

        for (uint32_t j = 0; j < width; j++)
            row[j] = exp_of(row[j] - most);
        scale = 1.0f / sum(row, width);
        for (uint32_t j = 0; j < width; j++)
            row[j] *= scale;
    }
}

static void activate(enum activation kind, float slope, uint32_t rows, uint32_t width,
                     float *y)
{
    size_t n = (size_t)rows * width;

    switch (kind) {
    case ACTIVATION_LINEAR:
        break;
    case ACTIVATION_RELU:
        for (size_t i = 0; i < n; i++)
            y[i] = y[i] < 0 ? 0 : y[i];
        break;
    case ACTIVATION_LEAKY_RELU:
        for (size_t i = 0; i < n; i++)
            y[i] = y[i] < 0 ? slope * y[i] : y[i];
        break;
    case ACTIVATION_GELU:
        for (size_t i = 0; i < n; i++)
            y[i] = gelu_of(y[i]);
        break;
    case ACTIVATION_SIGMOID:
        for (size_t i = 0; i < n; i++)
            y[i] = sigmoid_of(y[i]);
        break;
    case ACTIVATION_TANH:
        for (size_t i = 0; i < n; i++)
            y[i] = tanh_of(y[i]);
        break;
    case ACTIVATION_SOFTMAX:
        softmax_in_place(rows, width, y);
        break;
    }
}

static void softmax_through(const float *y, uint32_t rows, uint32_t width, float *dy)
{
    for (uint32_t i = 0; i < rows; i++) {
        const float *restrict p = y + (size_t)i * width;
        float *restrict d = dy + (size_t)i * width;
        float mean = dot(p, d, width);

        for (uint32_t j = 0; j < width; j++)
            d[j] = p[j] * (d[j] - mean);
    }
}

static void activation_through(enum activation kind, float slope,
                               const float *restrict x, const float *restrict y,
                               uint32_t rows, uint32_t width, float *restrict dy)
{
    size_t n = (size_t)rows * width;

    switch (kind) {
    case ACTIVATION_LINEAR:
        break;
    case ACTIVATION_RELU:
        for (size_t i = 0; i < n; i++)
            dy[i] = y[i] > 0 ? dy[i] : 0;
        break;
    case ACTIVATION_LEAKY_RELU:
        for (size_t i = 0; i < n; i++)
            dy[i] = y[i] > 0 ? dy[i] : slope * dy[i];
        break;
    case ACTIVATION_GELU:
        for (size_t i = 0; i < n; i++)
            dy[i] *= gelu_slope(x[i]);
        break;
    case ACTIVATION_SIGMOID:
        for (size_t i = 0; i < n; i++)
            dy[i] *= y[i] * (1.0f - y[i]);
        break;
    case ACTIVATION_TANH:
        for (size_t i = 0; i < n; i++)
            dy[i] *= 1.0f - y[i] * y[i];
        break;
    case ACTIVATION_SOFTMAX:
        softmax_through(y, rows, width, dy);
        break;
    }
}

/* --- element by element ---------------------------------------------------------- */

static void fill(const float *restrict bias, uint32_t rows, uint32_t width,
                 float *restrict y)
{
    for (uint32_t i = 0; i < rows; i++)
        memcpy(y + (size_t)i * width, bias, width * sizeof *y);
}

static void add_rows(const float *restrict x, uint32_t rows, uint32_t width,
                     float *restrict total)
{
    for (uint32_t i = 0; i < rows; i++, x += width)
        for (uint32_t j = 0; j < width; j++)
            total[j] += x[j];
}

static void add(const float *restrict x, size_t n, float *restrict y)
{
    for (size_t i = 0; i < n; i++)
        y[i] += x[i];
}

static void add_scaled(const float *restrict x, float scale, size_t n,
                       float *restrict y)
{
    for (size_t i = 0; i < n; i++)
        y[i] += scale * x[i];
}

static void product(const float *restrict a, const float *restrict b, size_t n,
                    float *restrict y)
{
    for (size_t i = 0; i < n; i++)
        y[i] = a[i] * b[i];
}

static void add_product(const float *restrict a, const float *restrict b, size_t n,
                        float *restrict y)
{
    for (size_t i = 0; i < n; i++)
        y[i] += a[i] * b[i];
}

static void place(const float *restrict x, uint32_t rows, uint32_t width,
                  float *restrict y, uint32_t stride)
{
    for (uint32_t i = 0; i < rows; i++)
        memcpy(y + (size_t)i * stride, x + (size_t)i * width, width * sizeof *y);
}

static void add_placed(const float *restrict dy, uint32_t rows, uint32_t width,
                       uint32_t stride, float *restrict dx)
{
    for (uint32_t i = 0; i < rows; i++)
        add(dy + (size_t)i * stride, width, dx + (size_t)i * width);
}

/* --- rows of tables -------------------------------------------------------------- */

static void rows_forward(struct layer_rows from, uint32_t count,
                         struct layer_spread spread, float *restrict y)
{
    for (uint32_t first = 0; first < count; first += spread.group) {
        float *to = y;

        for (uint32_t i = first; i < first + spread.group; i++, to += from.dim) {
            if (from.pos[i] == LAYER_NO_ROW)
                memset(to, 0, from.dim * sizeof *y);
            else
                memcpy(to, from.value + (size_t)from.pos[i] * from.stride,
                       from.dim * sizeof *y);
        }
        y += spread.stride;
    }
}

static void rows_backward(struct layer_rows from, const float *restrict dy,
                          uint32_t count, struct layer_spread spread,
                          float *restrict dvalue)
{
    for (uint32_t first = 0; first < count; first += spread.group) {
        const float *at = dy;

        for (uint32_t i = first; i < first + spread.group; i++, at += from.dim)
            if (from.pos[i] != LAYER_NO_ROW)
                add(at, from.dim, dvalue + (size_t)from.pos[i] * from.stride);
        dy += spread.stride;
    }
}

/* What the weights of keys first..end are multiplied with. */
INLINE float bag_scale(const float *weight, uint32_t first, uint32_t end, int mean)
{
    float total = 0;

    if (!mean)
        return 1;
    for (uint32_t k = first; k < end; k++)
        total += weight[k];
    return total == 0 ? 0 : 1.0f / total;
}

static void bag_forward(struct layer_rows from, const uint32_t *offset,
                        const float *weight, int mean, uint32_t n, float *restrict y)
{
    for (uint32_t i = 0; i < n; i++, y += from.dim) {
        float scale = bag_scale(weight, offset[i], offset[i + 1], mean);

        memset(y, 0, from.dim * sizeof *y);
        for (uint32_t k = offset[i]; k < offset[i + 1]; k++)
            if (from.pos[k] != LAYER_NO_ROW)
                add_scaled(from.value + (size_t)from.pos[k] * from.stride,
                           scale * weight[k], from.dim, y);
    }
}

static void bag_backward(struct layer_rows from, const uint32_t *offset,
                         const float *weight, int mean, const float *restrict dy,
                         uint32_t n, float *restrict dvalue)
{
    for (uint32_t i = 0; i < n; i++, dy += from.dim) {
        float scale = bag_scale(weight, offset[i], offset[i + 1], mean);

        for (uint32_t k = offset[i]; k < offset[i + 1]; k++)
            if (from.pos[k] != LAYER_NO_ROW)
                add_scaled(dy, scale * weight[k], from.dim,
                           dvalue + (size_t)from.pos[k] * from.stride);
    }
}

/* --- over the steps of an example ------------------------------------------------ */

static void pool_forward(const float *restrict x, uint32_t n, uint32_t steps,
                         uint32_t width, float scale, float *restrict y)
{
    for (uint32_t i = 0; i < n; i++, y += width, x += (size_t)steps * width) {
        memset(y, 0, width * sizeof *y);
        add_rows(x, steps, width, y);
        for (uint32_t j = 0; j < width; j++)
            y[j] *= scale;
    }
}

static void pool_backward(const float *restrict dy, uint32_t n, uint32_t steps,
                          uint32_t width, float scale, float *restrict dx)
{
    for (uint32_t i = 0; i < n; i++, dy += width)
        for (uint32_t s = 0; s < steps; s++, dx += width)
            add_scaled(dy, scale, width, dx);
}

static void dot_forward(const float *a, const float *b, uint32_t rows, uint32_t width,
                        float *restrict y)
{
    for (uint32_t i = 0; i < rows; i++, a += width, b += width)
        y[i] = dot(a, b, width);
}

static void dot_backward(const float *restrict other, const float *restrict dy,
                         uint32_t rows, uint32_t width, float *restrict dx)
{
    for (uint32_t i = 0; i < rows; i++, other += width, dx += width)
        add_scaled(other, dy[i], width, dx);
}

static void pairs_forward(const float *x, uint32_t n, uint32_t steps, uint32_t width,
                          float *restrict y)
{
    for (uint32_t i = 0; i < n; i++, x += (size_t)steps * width)
        for (uint32_t a = 0; a < steps; a++)
            for (uint32_t b = a + 1; b < steps; b++)
                *y++ = dot(x + (size_t)a * width, x + (size_t)b * width, width);
}

static void pairs_backward(const float *x, const float *dy, uint32_t n, uint32_t steps,
                           uint32_t width, float *dx)
{
    size_t example = (size_t)steps * width;

    for (uint32_t i = 0; i < n; i++, x += example, dx += example)
        for (size_t a = 0; a < example; a += width)
            for (size_t b = a + width; b < example; b += width)
                add_scaled_pair(*dy++, x + a, x + b, dx + a, dx + b, width);
}

static void fm_forward(const float *restrict x, uint32_t n, uint32_t steps,
                       uint32_t width, float *restrict total, float *restrict y)
{
    for (uint32_t i = 0; i < n; i++, total += width) {
        float squares = 0;

        memset(total, 0, width * sizeof *total);
        for (uint32_t s = 0; s < steps; s++, x += width) {
            add(x, width, total);
            squares += dot(x, x, width);
        }
        y[i] = 0.5f * (dot(total, total, width) - squares);
    }
}

static void fm_backward(const float *restrict x, const float *restrict total,
                        const float *restrict dy, uint32_t n, uint32_t steps,
                        uint32_t width, float *restrict dx)
{
    for (uint32_t i = 0; i < n; i++, total += width)
        for (uint32_t s = 0; s < steps; s++, x += width, dx += width)
            for (uint32_t j = 0; j < width; j++)
                dx[j] += dy[i] * (total[j] - x[j]);
}

/* --- norms ----------------------------------------------------------------------- */

static void layer_norm_forward(const float *restrict x, const float *restrict gain,
                               const float *restrict bias, uint32_t rows,
                               uint32_t width, float epsilon, float *restrict mean,
                               float *restrict rstd, float *restrict y)
{
    float share = 1.0f / (float)width;

    for (uint32_t i = 0; i < rows; i++, x += width, y += width) {
        float m = sum(x, width) * share;
        float r = 1.0f / sqrtf(squares_about(x, m, width) * share + epsilon);

        for (uint32_t j = 0; j < width; j++)
            y[j] = (1.0f + gain[j]) * ((x[j] - m) * r) + bias[j];
        mean[i] = m;
        rstd[i] = r;
    }
}

static void layer_norm_backward(const float *restrict x, const float *restrict gain,
                                const float *restrict mean, const float *restrict rstd,
                                const float *restrict dy, uint32_t rows, uint32_t width,
                                float *restrict dgain, float *restrict dbias,
                                float *restrict dx)
{
    float share = 1.0f / (float)width;

    for (uint32_t i = 0; i < rows; i++, x += width, dy += width) {
        float m = mean[i], r = rstd[i], level, tilt;

        for (uint32_t j = 0; j < width; j++) {
            dgain[j] += dy[j] * ((x[j] - m) * r);
            dbias[j] += dy[j];
        }
        if (!dx)
            continue;
        level = sum_gained(dy, gain, width) * share;
        tilt = sum_gained_normed(dy, gain, x, m, r, width) * share;
        for (uint32_t j = 0; j < width; j++)
            dx[j] += r * (dy[j] * (1.0f + gain[j]) - level - (x[j] - m) * r * tilt);
        dx += width;
    }
}

static void batch_statistics(const float *restrict x, uint32_t rows, uint32_t width,
                             float *restrict mean, float *restrict variance)
{
    float share = 1.0f / (float)rows;

    memset(mean, 0, width * sizeof *mean);
    memset(variance, 0, width * sizeof *variance);
    add_rows(x, rows, width, mean);
    for (uint32_t j = 0; j < width; j++)
        mean[j] *= share;
    for (uint32_t i = 0; i < rows; i++, x += width)
        for (uint32_t j = 0; j < width; j++)
            variance[j] += (x[j] - mean[j]) * (x[j] - mean[j]);
    for (uint32_t j = 0; j < width; j++)
        variance[j] *= share;
}

static void batch_norm_forward(const float *restrict x, const float *restrict mean,
                               const float *restrict rstd, const float *restrict gain,
                               const float *restrict bias, uint32_t rows,
                               uint32_t width, float *restrict y)
{
    for (uint32_t i = 0; i < rows; i++, x += width, y += width)
        for (uint32_t j = 0; j < width; j++)
            y[j] = (1.0f + gain[j]) * ((x[j] - mean[j]) * rstd[j]) + bias[j];
}

static void batch_norm_backward(const float *restrict x, const float *restrict mean,
                                const float *restrict rstd, const float *restrict gain,
                                const float *restrict dy, uint32_t rows, uint32_t width,
                                float *restrict sums, float *restrict dx)
{
    float share = 1.0f / (float)rows, *restrict tilt = sums + width;
    const float *at = x, *slope = dy;

    memset(sums, 0, 2 * (size_t)width * sizeof *sums);
    for (uint32_t i = 0; i < rows; i++, at += width, slope += width)
        for (uint32_t j = 0; j < width; j++) {
            sums[j] += slope[j];
            tilt[j] += slope[j] * ((at[j] - mean[j]) * rstd[j]);
        }
    if (!dx)
        return;
    for (uint32_t i = 0; i < rows; i++, x += width, dy += width, dx += width)
        for (uint32_t j = 0; j < width; j++) {
            float normed = (x[j] - mean[j]) * rstd[j];
            float centred = dy[j] - share * sums[j] - normed * (share * tilt[j]);

            dx[j] += (1.0f + gain[j]) * rstd[j] * centred;
        }
}

/* --- dropout --------------------------------------------------------------------- */

/* Numbers 2i and 2i + 1 have the lower and the upper half of random number i. */
INLINE float kept(uint64_t seed, uint64_t stream, uint64_t i, uint64_t bound,
                  float scale)
{
    uint64_t half = rng_at(seed, stream, i / 2) >> (i % 2 * 32) & UINT32_MAX;

    return half < bound ? 0.0f : scale;
}

static void dropout(size_t n, float rate, uint64_t seed, uint64_t stream,
                    uint64_t first, float *y)
{
    uint64_t bound = (uint64_t)((double)rate * 0x1p32);
    float scale = 1.0f / (1.0f - rate);

    for (size_t i = 0; i < n; i++)
        y[i] *= kept(seed, stream, first + i, bound, scale);
}

static void dropout_backward(const float *restrict dy, size_t n, float rate,
                             uint64_t seed, uint64_t stream, uint64_t first,
                             float *restrict dx)
{
    uint64_t bound = (uint64_t)((double)rate * 0x1p32);
    float scale = 1.0f / (1.0f - rate);

    for (size_t i = 0; i < n; i++)
        dx[i] += dy[i] * kept(seed, stream, first + i, bound, scale);
}

const struct layer_kernels LEVEL(layer_kernels) = {
    .activate = activate,
    .activation_through = activation_through,
    .softmax = softmax,
    .fill = fill,
    .add_rows = add_rows,
    .add = add,
    .add_scaled = add_scaled,
    .product = product,
    .add_product = add_product,
    .place = place,
    .add_placed = add_placed,
    .rows_forward = rows_forward,
    .rows_backward = rows_backward,
    .bag_forward = bag_forward,
    .bag_backward = bag_backward,
    .pool_forward = pool_forward,
    .pool_backward = pool_backward,
    .dot_forward = dot_forward,
    .dot_backward = dot_backward,
    .pairs_forward = pairs_forward,
    .pairs_backward = pairs_backward,
    .fm_forward = fm_forward,
    .fm_backward = fm_backward,
    .layer_norm_forward = layer_norm_forward,
    .layer_norm_backward = layer_norm_backward,
    .batch_statistics = batch_statistics,
    .batch_norm_forward = batch_norm_forward,
    .batch_norm_backward = batch_norm_backward,
    .dropout = dropout,
    .dropout_backward = dropout_backward,
};

/* Layers written once more by the plainest means and in double precision: what the
 * kernels are compared with. Shapes as in worker/model/layer_kernels.h. */
#ifndef ROWHOUSE_TESTS_NUMERIC_TWIN_LAYERS_H
#define ROWHOUSE_TESTS_NUMERIC_TWIN_LAYERS_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#include "worker/model/layer.h"

static inline double twin_activation(enum activation kind, double slope, double z)
{
    switch (kind) {
    case ACTIVATION_RELU:
        return z > 0 ? z : 0;
    case ACTIVATION_LEAKY_RELU:
        return z > 0 ? z : slope * z;
    case ACTIVATION_GELU:
        return z / 2 * (1 + tanh(sqrt(2 / M_PI) * (z + 0.044715 * z * z * z)));
    case ACTIVATION_SIGMOID:
        return 1 / (1 + exp(-z));
    case ACTIVATION_TANH:
        return tanh(z);
    default:
        return z;
    }
}

static inline void twin_activate(enum activation kind, double slope, uint32_t rows,
                                 uint32_t width, double *y)
{
    for (uint32_t i = 0; i < rows; i++, y += width) {
        double total = 0;

        for (uint32_t j = 0; j < width; j++)
            total += exp(y[j]);
        for (uint32_t j = 0; j < width; j++)
            y[j] = kind == ACTIVATION_SOFTMAX ? exp(y[j]) / total
                                              : twin_activation(kind, slope, y[j]);
    }
}

static inline void twin_affine(const double *x, const double *weight, uint32_t rows,
                               uint32_t in, uint32_t out, double *y)
{
    for (uint32_t i = 0; i < rows; i++)
        for (uint32_t j = 0; j < out; j++) {
            double total = weight[in * out + j];

            for (uint32_t l = 0; l < in; l++)
                total += x[i * in + l] * weight[l * out + j];
            y[i * out + j] = total;
        }
}

static inline void twin_cross(const double *x0, const double *x, const double *weight,
                              uint32_t rows, uint32_t width, double *y)
{
    twin_affine(x, weight, rows, width, width, y);
    for (uint32_t i = 0; i < rows * width; i++)
        y[i] = x0[i] * y[i] + x[i];
}

/* The sum over pairs of steps that the fast form avoids. */
static inline void twin_pairs(const double *x, uint32_t n, uint32_t steps,
                              uint32_t width, int add_up, double *y)
{
    for (uint32_t i = 0; i < n; i++, x += steps * width) {
        double total = 0;

        for (uint32_t a = 0; a < steps; a++)
            for (uint32_t b = a + 1; b < steps; b++) {
                double product = 0;

                for (uint32_t j = 0; j < width; j++)
                    product += x[a * width + j] * x[b * width + j];
                total += product;
                if (!add_up)
                    *y++ = product;
            }
        if (add_up)
            *y++ = total;
    }
}

static inline void twin_pool(const double *x, uint32_t n, uint32_t steps,
                             uint32_t width, double scale, double *y)
{
    memset(y, 0, n * width * sizeof *y);
    for (uint32_t i = 0; i < n * steps * width; i++)
        y[i / (steps * width) * width + i % width] += scale * x[i];
}

/* Mean and variance of `n` numbers that are `step` apart. */
static inline double twin_mean(const double *x, uint32_t n, uint32_t step)
{
    double total = 0;

    for (uint32_t i = 0; i < n; i++)
        total += x[i * step];
    return total / n;
}

static inline double twin_variance(const double *x, uint32_t n, uint32_t step)
{
    double mean = twin_mean(x, n, step), total = 0;

    for (uint32_t i = 0; i < n; i++)
        total += (x[i * step] - mean) * (x[i * step] - mean);
    return total / n;
}

static inline void twin_layer_norm(const double *x, const double *gain_bias,
                                   uint32_t rows, uint32_t width, double epsilon,
                                   double *y)
{
    for (uint32_t i = 0; i < rows; i++, x += width, y += width)
        for (uint32_t j = 0; j < width; j++)
            y[j] = (1 + gain_bias[j]) * (x[j] - twin_mean(x, width, 1)) /
                       sqrt(twin_variance(x, width, 1) + epsilon) +
                   gain_bias[width + j];
}

static inline void twin_batch_norm(const double *x, const double *gain_bias,
                                   uint32_t rows, uint32_t width, double epsilon,
                                   double *y)
{
    for (uint32_t j = 0; j < width; j++)
        for (uint32_t i = 0; i < rows; i++)
            y[i * width + j] = (1 + gain_bias[j]) *
                                   (x[i * width + j] - twin_mean(x + j, rows, width)) /
                                   sqrt(twin_variance(x + j, rows, width) + epsilon) +
                               gain_bias[width + j];
}

#endif

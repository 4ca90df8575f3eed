/* Layers number by number: forward beside backward, built once for each x86-64 level.
 * All levels add up in the same order and round alike, so their results are equal bit
 * for bit. What needs products of matrices is in layer.h.
 *
 * Matrices are row by row without gaps: x is [rows][width] where nothing else is said;
 * an example is one row, or several where a layer works step by step. Arrays of one
 * call do not overlap. Gradients (names that begin with d) are added to what is there,
 * but for activation_through(), which works in place. Nothing is checked here: numbers
 * that are not finite go through to the results. Any thread. */
#ifndef ROWHOUSE_WORKER_MODEL_LAYER_KERNELS_H
#define ROWHOUSE_WORKER_MODEL_LAYER_KERNELS_H

#include <stddef.h>
#include <stdint.h>

#include "common/cpu.h"
#include "common/job.h"

/* A key without a row, and what fills short lists up: it reads as zeros. */
#define LAYER_NO_ROW UINT32_MAX

/* Rows of a table that somebody pulled, and the places of those that are used. */
struct layer_rows {
    const float *value;  /* row i begins at value + i * stride */
    const uint32_t *pos; /* LAYER_NO_ROW: none */
    uint32_t stride;     /* floats, >= dim */
    uint32_t dim;        /* floats of a row that are used */
};

/* Where rows stand beside other things: `group` of them one after another, and the next
 * group `stride` floats behind. */
struct layer_spread {
    uint32_t group, stride;
};

struct layer_kernels {
    /* y = f(y). */
    void (*activate)(enum activation kind, float slope, uint32_t rows, uint32_t width,
                     float *y);
    /* dy *= f'(x), given y = f(x): the gradient by y becomes that by x. x is read for
     * gelu only. */
    void (*activation_through)(enum activation kind, float slope, const float *x,
                               const float *y, uint32_t rows, uint32_t width,
                               float *dy);
    /* p = softmax of x[width]; returns log(sum(exp(x))). */
    double (*softmax)(const float *x, uint32_t width, float *p);

    /* Every row of y = bias[width]. */
    void (*fill)(const float *bias, uint32_t rows, uint32_t width, float *y);
    /* sum[width] += the rows of x. */
    void (*add_rows)(const float *x, uint32_t rows, uint32_t width, float *sum);
    /* y[n] += x[n]; y[n] += scale x[n]; y[n] = a[n] b[n]; y[n] += a[n] b[n]. */
    void (*add)(const float *x, size_t n, float *y);
    void (*add_scaled)(const float *x, float scale, size_t n, float *y);
    void (*product)(const float *a, const float *b, size_t n, float *y);
    void (*add_product)(const float *a, const float *b, size_t n, float *y);
    /* Columns from..from+width of y [rows][stride] = x [rows][width], and back. */
    void (*place)(const float *x, uint32_t rows, uint32_t width, float *y,
                  uint32_t stride);
    void (*add_placed)(const float *dy, uint32_t rows, uint32_t width, uint32_t stride,
                       float *dx);

    /* y = the rows at pos[count], spread out: count is a multiple of the group. dvalue
     * has the table rows' shape. */
    void (*rows_forward)(struct layer_rows from, uint32_t count,
                         struct layer_spread spread, float *y);
    void (*rows_backward)(struct layer_rows from, const float *dy, uint32_t count,
                          struct layer_spread spread, float *dvalue);
    /* y[n][dim]: example i has the keys offset[i] .. offset[i+1] of pos and weight: the
     * sum of weight * row, with `mean` over the sum of weights (zeros where that is
     * 0). */
    void (*bag_forward)(struct layer_rows from, const uint32_t *offset,
                        const float *weight, int mean, uint32_t n, float *y);
    void (*bag_backward)(struct layer_rows from, const uint32_t *offset,
                         const float *weight, int mean, const float *dy, uint32_t n,
                         float *dvalue);

    /* y[n][width] = scale * the sum of an example's steps; x is [n][steps][width]. */
    void (*pool_forward)(const float *x, uint32_t n, uint32_t steps, uint32_t width,
                         float scale, float *y);
    void (*pool_backward)(const float *dy, uint32_t n, uint32_t steps, uint32_t width,
                          float scale, float *dx);
    /* y[rows] = a's row . b's row; backward for one of them, given the other. */
    void (*dot_forward)(const float *a, const float *b, uint32_t rows, uint32_t width,
                        float *y);
    void (*dot_backward)(const float *other, const float *dy, uint32_t rows,
                         uint32_t width, float *dx);
    /* Inner products of an example's steps, i < j, in the order (0,1) (0,2) .. (1,2)
     * ..: x is [n][steps][width], y is [n][steps (steps - 1) / 2]. */
    void (*pairs_forward)(const float *x, uint32_t n, uint32_t steps, uint32_t width,
                          float *y);
    void (*pairs_backward)(const float *x, const float *dy, uint32_t n, uint32_t steps,
                           uint32_t width, float *dx);
    /* Their sum, in time steps * width (Rendle 2010): y is [n], sum is [n][width] and
     * goes from the forward to the backward. */
    void (*fm_forward)(const float *x, uint32_t n, uint32_t steps, uint32_t width,
                       float *sum, float *y);
    void (*fm_backward)(const float *x, const float *sum, const float *dy, uint32_t n,
                        uint32_t steps, uint32_t width, float *dx);

    /* Layer norm (Ba, Kiros, Hinton 2016): y = (1 + gain) (x - mean) / deviation + bias
     * over each row. gain, bias: [width]; rstd and mean: [rows], for the backward. Here
     * and below dx may be NULL: nobody wants it. */
    void (*layer_norm_forward)(const float *x, const float *gain, const float *bias,
                               uint32_t rows, uint32_t width, float epsilon,
                               float *mean, float *rstd, float *y);
    void (*layer_norm_backward)(const float *x, const float *gain, const float *mean,
                                const float *rstd, const float *dy, uint32_t rows,
                                uint32_t width, float *dgain, float *dbias, float *dx);
    /* Batch norm (Ioffe and Szegedy 2015): the same over each column. */
    void (*batch_statistics)(const float *x, uint32_t rows, uint32_t width, float *mean,
                             float *variance);
    void (*batch_norm_forward)(const float *x, const float *mean, const float *rstd,
                               const float *gain, const float *bias, uint32_t rows,
                               uint32_t width, float *y);
    /* mean and rstd are those of x itself. sums: [2][width], the gradients of bias and
     * gain, which the caller adds to its own. */
    void (*batch_norm_backward)(const float *x, const float *mean, const float *rstd,
                                const float *gain, const float *dy, uint32_t rows,
                                uint32_t width, float *sums, float *dx);

    /* y[n] /= 1 - rate, or = 0 with probability `rate` (0 <= rate < 1): y[i] by number
     * first + i of the random numbers of (seed, stream). */
    void (*dropout)(size_t n, float rate, uint64_t seed, uint64_t stream,
                    uint64_t first, float *y);
    void (*dropout_backward)(const float *dy, size_t n, float rate, uint64_t seed,
                             uint64_t stream, uint64_t first, float *dx);
};

extern const struct layer_kernels layer_kernels_v2, layer_kernels_v3, layer_kernels_v4;

/* The kernels of a level; the processor must have it. */
const struct layer_kernels *layer_kernels(enum cpu_level level);

#endif

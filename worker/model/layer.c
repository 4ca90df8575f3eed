#include "worker/model/layer.h"

#include <string.h>

#include "worker/model/blas.h"

/* Rows are taken in blocks whose values stay in the second level of the cache from the
 * product to what is done with each element. */
enum { BLOCK_FLOATS = 1 << 18, BLOCK_ROWS_MIN = 64 };

const struct layer_kernels *layer_kernels(enum cpu_level level)
{
    static const struct layer_kernels *const kernels[] = {[CPU_V2] = &layer_kernels_v2,
                                                          [CPU_V3] = &layer_kernels_v3,
                                                          [CPU_V4] = &layer_kernels_v4};

    return kernels[level];
}

static uint32_t block_rows(uint32_t in, uint32_t out)
{
    uint32_t rows = BLOCK_FLOATS / (in + out);

    return rows < BLOCK_ROWS_MIN ? BLOCK_ROWS_MIN : rows;
}

static uint32_t block_end(uint32_t first, uint32_t step, uint32_t rows)
{
    return rows - first < step ? rows : first + step;
}

/* y[rows][out] = x W + b */
static void affine(const struct layer_kernels *k, const float *x, const float *weight,
                   uint32_t rows, uint32_t in, uint32_t out, float *y)
{
    struct blas_rows a = {x, rows, in}, w = {weight, in, out};

    k->fill(weight + (size_t)in * out, rows, out, y);
    blas_add_mapped(a, w, out, y, out);
}

/* From its gradient dz[rows][out] to those of weights and x. */
static void affine_backward(const struct layer_kernels *k, const float *x,
                            const float *weight, const float *dz, uint32_t rows,
                            uint32_t in, uint32_t out, float *dweight, float *dx)
{
    struct blas_rows a = {x, rows, in}, w = {weight, in, out}, d = {dz, rows, out};

    blas_add_outer(a, in, d, out, dweight, out);
    k->add_rows(dz, rows, out, dweight + (size_t)in * out);
    if (dx)
        blas_add_products(d, w, out, dx, in);
}

void dense_forward(const struct layer_kernels *k, const struct dense *dense,
                   const float *x, const float *weight, uint32_t rows, float *z,
                   float *y)
{
    uint32_t in = dense->in, out = dense->out, step = block_rows(in, out), end;

    for (uint32_t first = 0; first < rows; first = end) {
        size_t at = (size_t)first * out;

        end = block_end(first, step, rows);
        affine(k, x + (size_t)first * in, weight, end - first, in, out, y + at);
        if (dense->activation == ACTIVATION_GELU)
            memcpy(z + at, y + at, (size_t)(end - first) * out * sizeof *y);
        k->activate(dense->activation, dense->slope, end - first, out, y + at);
    }
}

void dense_backward(const struct layer_kernels *k, const struct dense *dense,
                    const float *x, const float *weight, const float *z, const float *y,
                    uint32_t rows, float *dy, float *dweight, float *dx)
{
    uint32_t in = dense->in, out = dense->out, step = block_rows(in, out), end;

    for (uint32_t first = 0; first < rows; first = end) {
        size_t at = (size_t)first * out, x_at = (size_t)first * in;

        end = block_end(first, step, rows);
        k->activation_through(dense->activation, dense->slope, z + at, y + at,
                              end - first, out, dy + at);
        affine_backward(k, x + x_at, weight, dy + at, end - first, in, out, dweight,
                        dx ? dx + x_at : NULL);
    }
}

void cross_forward(const struct layer_kernels *k, const float *x0, const float *x,
                   const float *weight, uint32_t rows, uint32_t width, float *z,
                   float *y)
{
    uint32_t step = block_rows(width, width), end;

    for (uint32_t first = 0; first < rows; first = end) {
        size_t at = (size_t)first * width, n;

        end = block_end(first, step, rows);
        n = (size_t)(end - first) * width;
        affine(k, x + at, weight, end - first, width, width, z + at);
        memcpy(y + at, x + at, n * sizeof *y);
        k->add_product(x0 + at, z + at, n, y + at);
    }
}

void cross_backward(const struct layer_kernels *k, const float *x0, const float *x,
                    const float *weight, const float *dy, uint32_t rows, uint32_t width,
                    float *z, float *dweight, float *dx0, float *dx)
{
    uint32_t step = block_rows(width, width), end;

    for (uint32_t first = 0; first < rows; first = end) {
        size_t at = (size_t)first * width, n;

        end = block_end(first, step, rows);
        n = (size_t)(end - first) * width;
        if (dx0)
            k->add_product(dy + at, z + at, n, dx0 + at);
        if (dx)
            k->add(dy + at, n, dx + at);
        k->product(dy + at, x0 + at, n, z + at); /* now the gradient of x W + b */
        affine_backward(k, x + at, weight, z + at, end - first, width, width, dweight,
                        dx ? dx + at : NULL);
    }
}

void match_forward(const float *a, const float *b, uint32_t rows, uint32_t others,
                   uint32_t width, float *y)
{
    struct blas_rows left = {a, rows, width}, right = {b, others, width};

    memset(y, 0, (size_t)rows * others * sizeof *y);
    blas_add_products(left, right, width, y, others);
}

void match_backward(const float *a, const float *b, const float *dy, uint32_t rows,
                    uint32_t others, uint32_t width, float *da, float *db)
{
    struct blas_rows left = {a, rows, width}, right = {b, others, width};
    struct blas_rows slope = {dy, rows, others};

    if (da)
        blas_add_mapped(slope, right, width, da, width);
    if (db)
        blas_add_outer(slope, others, left, width, db, width);
}

/* Layers that are products of matrices, by OpenBLAS (worker/model/blas.h); their
 * element-wise parts and all other layers are in layer_kernels.h, whose rules hold here
 * too: no gaps between rows, gradients added, no overlaps, any thread. `k` is what
 * layer_kernels() gave. */
#ifndef ROWHOUSE_WORKER_MODEL_LAYER_H
#define ROWHOUSE_WORKER_MODEL_LAYER_H

#include "worker/model/layer_kernels.h"

/* y = f(x W + b). The weights are one matrix [in + 1][out], W and below it b. */
struct dense {
    uint32_t in, out; /* floats of a row, at most BLAS_SPAN_MAX */
    enum activation activation;
    float slope; /* of leaky relu */
};

/* x: [rows][in], weight: [in + 1][out], y: [rows][out]. z: [rows][out], with gelu
 * f's argument, which the backward wants; not touched with another f. */
void dense_forward(const struct layer_kernels *k, const struct dense *dense,
                   const float *x, const float *weight, uint32_t rows, float *z,
                   float *y);
/* dy[rows][out] is used up: it becomes the gradient by x W + b. dx[rows][in] may be
 * NULL: nobody wants it. */
void dense_backward(const struct layer_kernels *k, const struct dense *dense,
                    const float *x, const float *weight, const float *z, const float *y,
                    uint32_t rows, float *dy, float *dweight, float *dx);

/* y = x0 * (x W + b) + x, element by element: a cross layer of DCN v2 (Wang et al.
 * 2021). x0, x, y: [rows][width], weight: [width + 1][width] as above; z:
 * [rows][width], for the backward. x may be x0. */
void cross_forward(const struct layer_kernels *k, const float *x0, const float *x,
                   const float *weight, uint32_t rows, uint32_t width, float *z,
                   float *y);
/* z is used up. dx0 and dx may be NULL, or the same where x is x0. */
void cross_backward(const struct layer_kernels *k, const float *x0, const float *x,
                    const float *weight, const float *dy, uint32_t rows, uint32_t width,
                    float *z, float *dweight, float *dx0, float *dx);

/* Inner products of each row of a [rows][width] with each of b [others][width]: y is
 * [rows][others]. What examples of a batch are to each other (in-batch negatives), or
 * to items that they all share, is no layer of a graph: a's and b's gradients come from
 * here. da and db may be NULL. */
void match_forward(const float *a, const float *b, uint32_t rows, uint32_t others,
                   uint32_t width, float *y);
void match_backward(const float *a, const float *b, const float *dy, uint32_t rows,
                    uint32_t others, uint32_t width, float *da, float *db);

#endif

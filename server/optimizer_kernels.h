/* The optimizers' inner loops, for the three processor levels, all with the same bits:
 * additions, multiplications, divisions and square roots, each rounded once, in the
 * same order; no call of the mathematical library. */
#ifndef ROWHOUSE_SERVER_OPTIMIZER_KERNELS_H
#define ROWHOUSE_SERVER_OPTIMIZER_KERNELS_H

#include <stdint.h>

#include "server/optimizer.h"

/* As optimizer_apply(), with the rate of the push's clock. */
typedef void optimizer_rows(const struct optimizer *optimizer, float rate,
                            float *const *row, const float *gradient,
                            const float *weight, uint32_t n, uint32_t width);

optimizer_rows optimizer_rows_v2, optimizer_rows_v3, optimizer_rows_v4;

/* As optimizer_compensate(), with its factor. */
typedef void compensate_rows(float factor, float *const *row, const float *pulled,
                             const float *gradient, const float *weight, uint32_t n,
                             uint32_t width, float *out);

compensate_rows compensate_rows_v2, compensate_rows_v3, compensate_rows_v4;

#endif

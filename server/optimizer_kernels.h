/* The optimizers' inner loops, for the three processor levels, all with the same bits.
 */
#ifndef ROWHOUSE_SERVER_OPTIMIZER_KERNELS_H
#define ROWHOUSE_SERVER_OPTIMIZER_KERNELS_H

#include <stdint.h>

#include "server/optimizer.h"

/* As optimizer_apply(), for one kind of optimizer. */
typedef void optimizer_rows(const struct optimizer *optimizer, float *const *row,
                            const float *gradient, const float *weight, uint32_t n,
                            uint32_t width);

optimizer_rows sgd_rows_v2, sgd_rows_v3, sgd_rows_v4;
optimizer_rows adagrad_rows_v2, adagrad_rows_v3, adagrad_rows_v4;

#endif

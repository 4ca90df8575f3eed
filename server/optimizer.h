/* Optimizers: how a server applies gradients to rows.
 *
 * For row i with weights w, state s, gradient g (summed over the examples of a batch)
 * and weight m (the sum of the weights of the examples that used the row):
 *   g' = g + l2 * m * w                                   (L2, once for each example)
 *   SGD      w -= rate * g'
 *   Adagrad  s += g'^2;  w -= rate * g' / sqrt(s)         (Duchi, Hazan, Singer 2011;
 *            s starts at `initial`, which takes the place of an epsilon)
 * Kernels are compiled for x86-64-v2, -v3 and -v4 without contraction, so that all
 * three give the same bits; the best is chosen at start. */
#ifndef ROWHOUSE_SERVER_OPTIMIZER_H
#define ROWHOUSE_SERVER_OPTIMIZER_H

#include <stdint.h>

#include "common/job.h"

struct optimizer {
    int kind; /* enum optimizer_kind */
    float rate, l2, initial;
};

/* From the job's settings. */
void optimizer_init(struct optimizer *optimizer, const struct job *job);
/* Floats of state a row of `width` weights needs. */
uint32_t optimizer_state_width(const struct optimizer *optimizer, uint32_t width);

/* Applies n gradients: row[i] points to width weights with the state behind them and is
 * not NULL; gradient[i * width ..]; weight[i]. Rows may repeat. */
void optimizer_apply(const struct optimizer *optimizer, float *const *row,
                     const float *gradient, const float *weight, uint32_t n,
                     uint32_t width);

#endif

/* Optimizers: how a server applies gradients to rows.
 *
 * For row i with weights w, state s, gradient g (summed over the examples of a batch)
 * and weight m (the sum of the weights of the examples that used the row):
 *   g' = g + l2 * m * w                                   (L2, once for each example)
 *   SGD      w -= rate * g'
 *   Adagrad  s += g'^2;  w -= rate * g' / sqrt(s)         (Duchi, Hazan, Singer 2011;
 *            s starts at `initial`, which takes the place of an epsilon; while s is 0
 *            there is no step)
 * Kernels are compiled for x86-64-v2, -v3 and -v4 without contraction, so that all
 * three give the same bits; the best is chosen at start. */
#ifndef ROWHOUSE_SERVER_OPTIMIZER_H
#define ROWHOUSE_SERVER_OPTIMIZER_H

#include <stdint.h>

#include "common/job.h"

struct optimizer {
    int kind; /* enum optimizer_kind */
    float rate, l2, initial;
    int level; /* enum cpu_level of the kernels; any gives the same bits */
};

/* From the job's settings and this processor's level. */
void optimizer_init(struct optimizer *optimizer, const struct job *job);
/* Floats of state that a row of `width` weights needs; their first value is `initial`.
 */
uint32_t optimizer_state_width(const struct optimizer *optimizer, uint32_t width);

/* Applies n gradients in order: row[i] points to `width` weights with the state behind
 * them and is not NULL; gradient[n][width]; weight[n]. Rows may repeat. Never fails;
 * the caller has checked that gradients are finite if it wants that. Any thread, as
 * long as it owns the rows. */
void optimizer_apply(const struct optimizer *optimizer, float *const *row,
                     const float *gradient, const float *weight, uint32_t n,
                     uint32_t width);

#endif

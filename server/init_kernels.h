/* First weights of rows, made by kernels for the three processor levels. All three give
 * the same bits: only additions, multiplications, divisions and square roots, each
 * rounded once, in the same order; no call of the mathematical library. */
#ifndef ROWHOUSE_SERVER_INIT_KERNELS_H
#define ROWHOUSE_SERVER_INIT_KERNELS_H

#include <stdint.h>

#include "common/cpu.h"

/* What a row starts with; a copy of the settings of its table. INIT_XAVIER and INIT_HE
 * are uniform and normal here, with their scale. */
struct init_rule {
    int kind; /* enum init_kind */
    float scale;
    uint64_t seed;
    uint32_t table;
    uint32_t dim, width; /* columns dim .. width-1 are zero */
};

/* Writes weights[0 .. width-1]. Columns come in groups of 32; lane i of group k uses
 * the 64 bits rng_at(seed, key_hash(table, key), 16 * k + i) for the columns 32 * k + i
 * and 32 * k + 16 + i, so that a value does not depend on the table's dim. What
 * INIT_TRUNCATED_NORMAL draws for the d-th time comes from d * 2^32 + 16 * k + i. */
typedef void init_row(const struct init_rule *rule, uint64_t key, float *weights);

init_row init_row_v2, init_row_v3, init_row_v4;

/* The kernel of a level. */
static inline init_row *init_row_at(enum cpu_level level)
{
    return level == CPU_V4 ? init_row_v4 : level == CPU_V3 ? init_row_v3 : init_row_v2;
}

#endif

/* Ranks drawn by popularity: rank r (from 0) with weight (r + 1)^-exponent. */
#ifndef ROWHOUSE_LAUNCH_BENCH_ZIPF_H
#define ROWHOUSE_LAUNCH_BENCH_ZIPF_H

#include <stdint.h>

#include "common/err.h"

struct zipf {
    uint64_t ranks;
    double *reach; /* [ranks]: weights up to it, summed up */
};

/* -ERR_MEMORY. ranks > 0. */
int zipf_create(struct zipf *zipf, uint64_t ranks, double exponent, struct err *err);
void zipf_release(struct zipf *zipf); /* zeroed is fine */

/* The rank that 64 random bits mean. */
uint64_t zipf_draw(const struct zipf *zipf, uint64_t bits);
/* The share of draws that the `hot` first ranks get. */
double zipf_share(const struct zipf *zipf, uint64_t hot);

#endif

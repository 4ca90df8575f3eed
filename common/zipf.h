/* Ranks drawn by popularity: rank r (from 0) with weight (r + 1)^-exponent, in constant
 * time and without a table, however many ranks there are: the rejection-inversion of
 * Hörmann and Derflinger (1996). Its logarithms and exponentials are its own, so that a
 * draw is the same on every machine. Any thread. */
#ifndef ROWHOUSE_COMMON_ZIPF_H
#define ROWHOUSE_COMMON_ZIPF_H

#include <stdint.h>

#define ZIPF_RANKS_MAX ((uint64_t)1 << 48)
#define ZIPF_EXPONENT_MAX 10.0

struct zipf {
    uint64_t ranks;
    double exponent;
    double rest;        /* 1 - exponent; 0 where that is tiny */
    double least, most; /* the area under the curve at either end */
    double sure;        /* draws that near to a rank need no second look */
};

/* ranks: 1..ZIPF_RANKS_MAX; exponent: 0..ZIPF_EXPONENT_MAX. */
void zipf_init(struct zipf *zipf, uint64_t ranks, double exponent);

/* The rank that 64 random bits mean. */
uint64_t zipf_draw(const struct zipf *zipf, uint64_t bits);
/* The share of draws that the `hot` first ranks get, 1 <= hot <= ranks. */
double zipf_share(const struct zipf *zipf, uint64_t hot);

#endif

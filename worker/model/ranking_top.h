/* The first items of a list. Any thread; nothing allocates. */
#ifndef ROWHOUSE_WORKER_MODEL_RANKING_TOP_H
#define ROWHOUSE_WORKER_MODEL_RANKING_TOP_H

#include <stdint.h>

/* The k items with the highest scores, best first, equal ones by rising number, in
 * top[k]; returns how many there are. item[n] are the numbers, NULL: 0 to n - 1. Of
 * these the rising numbers out[outs] are left out (only without `item`); and always
 * what has no number for a score. */
uint32_t ranking_top(const float *score, const uint32_t *item, uint32_t n,
                     const uint32_t *out, uint32_t outs, uint32_t k, uint32_t *top,
                     float *top_score);

#endif

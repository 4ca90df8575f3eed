/* The order of an epoch: a permutation of 0..n-1 that depends on (n, seed, epoch) only,
 * so that any worker can be given any range of its positions (common/range.h). */
#ifndef ROWHOUSE_WORKER_STREAM_SHUFFLE_H
#define ROWHOUSE_WORKER_STREAM_SHUFFLE_H

#include <stdint.h>

/* Fills order[0..n) with the permutation (Fisher-Yates, from the inside out); order[p]
 * is the number of the example at position p. n < 2^32, 0 is fine. Cannot fail; any
 * thread. */
void shuffle(uint32_t *order, uint64_t n, uint64_t seed, uint64_t epoch);
/* The same in steps: makes the permutation of 0..first-1 that of 0..end-1. */
void shuffle_stretch(uint32_t *order, uint64_t first, uint64_t end, uint64_t seed,
                     uint64_t epoch);

#endif

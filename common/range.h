/* Lists of ranges: what is left to train of an epoch, as positions in its order. The
 * same list can be shared among any number of workers, again and again: what they have
 * left over is the next list. No state; any thread. */
#ifndef ROWHOUSE_COMMON_RANGE_H
#define ROWHOUSE_COMMON_RANGE_H

#include <stdint.h>

/* The positions [first, end); first >= end is an empty range. */
struct range {
    uint64_t first, end;
};

/* Positions in a list of n ranges (whose sum must fit in 64 bits). */
uint64_t ranges_count(const struct range *range, uint32_t n);

/* The share of worker `index` (from 0) of `workers`: a contiguous stretch of the
 * concatenated list. The shares 0..workers-1 together are the list, in its order, and
 * all are within one position of each other in length. `share` has room for n ranges
 * and may be `range` itself; returns how many it got (none of them empty), 0 when index
 * >= workers. */
uint32_t ranges_share(const struct range *range, uint32_t n, uint32_t index,
                      uint32_t workers, struct range *share);

/* Puts a list into the order of its positions, in place: empty ranges go, neighbours
 * become one. Returns how many ranges are left. */
uint32_t ranges_tidy(struct range *range, uint32_t n);

#endif

/* Lists of ranges: what is left to train of an epoch, as positions in its shuffled
 * order. The same list can be shared among any number of workers. */
#ifndef ROWHOUSE_COMMON_RANGE_H
#define ROWHOUSE_COMMON_RANGE_H

#include <stdint.h>

/* The positions [first, end). */
struct range {
    uint64_t first, end;
};

/* Positions in a list of n ranges. */
uint64_t ranges_count(const struct range *range, uint32_t n);

/* The share of worker `index` of `workers`: a contiguous stretch of the concatenated
 * list, all shares within one position of each other. `share` has room for n ranges;
 * returns how many it got (none of them empty). */
uint32_t ranges_share(const struct range *range, uint32_t n, uint32_t index,
                      uint32_t workers, struct range *share);

/* Drops the first `taken` positions of a list in place; returns how many ranges are
 * left. */
uint32_t ranges_drop(struct range *range, uint32_t n, uint64_t taken);

#endif

/* Sketches: what a stream of values is like, in one pass and bounded memory. Each can
 * be merged with another of the same size, as if one had seen both streams, and depends
 * only on what was added and in which order: no clock, no seed of the run. One thread
 * at a time; adding allocates nothing, except where it says so. */
#ifndef ROWHOUSE_WORKER_STREAM_PROFILE_SKETCH_H
#define ROWHOUSE_WORKER_STREAM_PROFILE_SKETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

/* --- moments ------------------------------------------------------------------- */

/* Number, mean, variance and extremes: the updates of Welford (1962), merged as Chan,
 * Golub and LeVeque (1979) do. Zeroed at first. */
struct moments {
    uint64_t n;
    double mean, squares; /* squares: sum of (value - mean)^2 */
    double min, max;      /* once n > 0 */
};

void moments_add(struct moments *moments, double value); /* not NaN */
void moments_merge(struct moments *to, const struct moments *from);
/* Of the values as the whole population; 0 for fewer than two. */
double moments_deviation(const struct moments *moments);

/* --- how many different ones --------------------------------------------------- */

/* HyperLogLog (Flajolet et al. 2007) with the estimator of Ertl (2017), which needs no
 * table and holds for few values as for many: standard error 1.04 / sqrt(registers) =
 * 1.6 %, less below some ten thousand. Zeroed at first. */
enum { DISTINCT_BITS = 12, DISTINCT_REGISTERS = 1 << DISTINCT_BITS };

struct distinct {
    uint8_t rank[DISTINCT_REGISTERS];
};

void distinct_add(struct distinct *distinct, uint64_t key); /* any; it is hashed */
void distinct_merge(struct distinct *to, const struct distinct *from);
double distinct_estimate(const struct distinct *distinct);

/* --- which are frequent -------------------------------------------------------- */

/* Counts of the most frequent keys: Misra and Gries (1982) with the purges of Anderson
 * et al. (2017). Of `total` added, a key's true count is between count - error and
 * count, error <= frequent_error(); a key that is not listed occurred at most that
 * often. While there were at most `capacity` different keys everything is exact (error
 * 0). */
enum { FREQUENT_TEXT_MAX = 40, FREQUENT_CAPACITY_MAX = 1 << 24 };

struct frequent_key {
    uint64_t key, count;
    uint8_t length;               /* of text */
    char text[FREQUENT_TEXT_MAX]; /* as added first, cut at a character's end */
};

struct frequent {
    struct frequent_key *slot; /* [slots], count 0 = empty; owned */
    uint64_t *counts;          /* [capacity + 1], for purges; owned */
    uint32_t slots, capacity, keys;
    uint64_t total, purged;
};

/* capacity: 1..FREQUENT_CAPACITY_MAX keys. -ERR_MEMORY. */
int frequent_create(struct frequent *frequent, uint32_t capacity, struct err *err);
void frequent_release(struct frequent *frequent); /* zeroed is fine */
/* Adds a key `count` times (> 0), with the text it stands for or NULL, 0. */
void frequent_add(struct frequent *frequent, uint64_t key, uint64_t count,
                  const char *text, size_t length);
void frequent_merge(struct frequent *to, const struct frequent *from);
/* How much too high a count may be, and the most that an unlisted key occurred. */
uint64_t frequent_error(const struct frequent *frequent);
/* The count of a key as above, or 0 if it is not listed. */
uint64_t frequent_count(const struct frequent *frequent, uint64_t key);
/* The `n` most frequent in falling order, equal ones by key; how many there are of
 * them. list: [n]. -ERR_MEMORY is < 0. */
int64_t frequent_list(const struct frequent *frequent, struct frequent_key *list,
                      uint32_t n, struct err *err);

/* --- quantiles ----------------------------------------------------------------- */

/* Karnin, Lang and Liberty (2016), "Optimal Quantile Approximation in Streams", with
 * coins that depend on the number of compactions only. Ranks are off by about
 * 1.7 / size of the values added (size 2048: 0.1 %); exact while at most `size` values
 * were added. */
enum { QUANTILES_LEVELS = 48, QUANTILES_SIZE_MIN = 16, QUANTILES_SIZE_MAX = 1 << 20 };

struct quantiles {
    uint32_t size, levels, lowest; /* lowest: what level 0 may hold */
    uint64_t n, compactions;
    struct {
        double *value; /* each stands for 2^level values; owned */
        uint32_t n, room;
    } level[QUANTILES_LEVELS];
    double min, max;
};

/* size: QUANTILES_SIZE_MIN..QUANTILES_SIZE_MAX. Memory is about 40 bytes x size.
 * -ERR_MEMORY. */
int quantiles_create(struct quantiles *quantiles, uint32_t size, struct err *err);
void quantiles_release(struct quantiles *quantiles); /* zeroed is fine */
/* Adds a value, not NaN. Allocates a new level each time that n doubles: -ERR_MEMORY.
 */
int quantiles_add(struct quantiles *quantiles, double value, struct err *err);
int quantiles_merge(struct quantiles *to, const struct quantiles *from,
                    struct err *err);
/* The values at the shares share[0..n), each 0..1, in rising order: the smallest value
 * with at least that share of all at or below it. Share 0 and 1 are the extremes,
 * exactly. NaN when there are no values. -ERR_MEMORY. */
int quantiles_at(const struct quantiles *quantiles, const double *share, uint32_t n,
                 double *value, struct err *err);

#endif

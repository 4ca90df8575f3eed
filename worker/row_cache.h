/* The row cache: rows that a worker has pulled and may use again for a few batches, so
 * that the hottest rows do not travel for every batch. It knows no consistency: whoever
 * keeps a row says up to which clock it may be used.
 *
 * All memory is allocated at creation: an array of sets of eight rows. A key belongs to
 * one set. Within a full set a row that is too old to be used makes room first; where
 * none is, a new row wears the least used one down, and takes its place when there is
 * nothing left to wear (docs/decisions/ has the measurements). One thread. */
#ifndef ROWHOUSE_WORKER_ROW_CACHE_H
#define ROWHOUSE_WORKER_ROW_CACHE_H

#include "common/err.h"
#include "common/net/message.h"

struct row_cache;

struct row_cache_counts {
    uint64_t reads, hits; /* rows asked for; of those, found */
    uint64_t rows, bytes; /* kept now, with what is noted beside them */
    /* Calls of row_cache_get() that found rows with that staleness: the reader's clock
     * less the vintage; the last bucket counts all above. */
    uint64_t staleness[STALENESS_BUCKETS];
};

/* What is known about rows that have come from a server. */
struct row_origin {
    uint64_t clock;   /* of the batch that they were pulled for */
    uint64_t vintage; /* every push of a clock up to it is in them */
    uint64_t until;   /* the last clock that may use them */
};

/* A cache of at most `bytes` in all, for tables whose rows have width[t] floats; each
 * row takes the room of the widest. -ERR_INPUT: not even eight rows fit; -ERR_MEMORY.
 */
int row_cache_create(uint64_t bytes, const uint32_t *width, uint32_t tables,
                     struct row_cache **cache, struct err *err);
void row_cache_destroy(struct row_cache *cache); /* NULL is fine */

/* Forgets all rows; the counts stay. Clocks from here on are above `clock`. */
void row_cache_clear(struct row_cache *cache, uint64_t clock);

/* Copies those of the rows key[0..n) of `table` that the batch of `clock` may use to
 * rows[n][width], each to its place. The places of the others go to `missing`, in
 * order; returns how many. */
uint32_t row_cache_get(struct row_cache *cache, uint32_t table, const uint64_t *key,
                       uint32_t n, uint64_t clock, float *rows, uint32_t *missing);

/* Offers rows to be kept: those of key[place[i]] at rows[place[i]], i < n, or all n
 * with `place` NULL. Which are taken is the cache's affair. */
void row_cache_put(struct row_cache *cache, uint32_t table, const uint64_t *key,
                   const uint32_t *place, uint32_t n, const float *rows,
                   const struct row_origin *origin);

/* Adds difference[n][width] to those of the rows that are kept: what the worker has
 * itself done to them. */
void row_cache_add(struct row_cache *cache, uint32_t table, const uint64_t *key,
                   uint32_t n, const float *difference);

/* Valid until the cache is used again. */
const struct row_cache_counts *row_cache_counts(const struct row_cache *cache,
                                                uint32_t table);

#endif

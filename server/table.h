/* A table: key -> row, in a region. A row is one block: weights and optimizer state;
 * its first values depend only on (seed, table, key), and it never moves. One thread.
 *
 * A sparse table makes rows on first touch, and any 64-bit number is a key. A dense one
 * has all its rows from the start, with the keys 0 .. rows-1, of which a server holds a
 * run: first .. end-1.
 *
 *   block  sparse: u64 key | width floats | state_width floats | 4 bytes if their sum
 *          is odd; dense: width floats | state_width floats
 *   slab   blocks one behind the other, 2 MiB: one huge page
 *
 * A dense table's row k has number k - first and needs no index. In a sparse one, row
 * number r is in slab r / slab_rows. The index (table_index.h) has one sub-table
 * for each of the 1024 slots: 64-byte buckets of 12 (tag, row number) pairs; the key
 * itself is in the row, which a look-up touches anyway. Sub-tables grow by a third or
 * so, one at a time, so that growth never pauses for long.
 *
 * A row is written first, counted second and entered in the index last, so that a
 * process killed at any instruction leaves whole rows only; table_open() drops a row
 * that is in no index, and what else was left half done. */
#ifndef ROWHOUSE_SERVER_TABLE_H
#define ROWHOUSE_SERVER_TABLE_H

#include "common/job.h"
#include "server/init_kernels.h"
#include "server/region.h"

enum {
    TABLE_FLOATS_MAX = 1 << 20, /* width + state_width */
    TABLE_INDEX_BYTES = 8,      /* a row, as arrays are full on average */
};

struct table_spec {
    uint32_t id;          /* index into the job's tables; part of the hash */
    uint32_t dim;         /* embedding columns, initialised by `init` */
    uint32_t width;       /* dim plus columns that start at zero (biases); >= 1 */
    uint32_t state_width; /* floats of optimizer state behind the weights */
    float state_initial;  /* their first value */
    int init;             /* enum init_kind */
    float scale;          /* deviation, half width or constant; not xavier and he */
    uint64_t seed;
    uint64_t rows_max;   /* 0 = as many as the region holds, at most 2^32 - 1 */
    uint64_t rows_share; /* of rows_max: how many rows it may have at first */
    uint64_t rows;       /* of a dense table, here and elsewhere; 0: it is sparse */
    uint64_t first, end; /* its keys here; at most 2^32 - 1 */
};

/* A process' handle: the shared part is in the region. Plain data, nothing to release;
 * valid as long as the region's mapping. */
struct table {
    struct region *region; /* borrowed */
    struct table_spec spec;
    struct table_root *root; /* in the region */
    unsigned char *base;     /* of the region */
    const uint64_t *array;   /* in the region: the sub-tables' arrays */
    uint64_t *slab;          /* in the region: offsets of the slabs */
    uint64_t slab_divide;    /* 2^64 / slab_rows, rounded up */
    uint32_t slab_rows;      /* rows of a slab */
    uint32_t stride;         /* bytes of a row's block */
    struct init_rule rule;   /* of first weights */
    init_row *init;          /* the kernel for them */
};

/* Makes a table in the region and remembers it under root `root`: an empty one, or a
 * dense one with all its rows. -ERR_INPUT: the spec is not possible; -ERR_MEMORY: the
 * region is too small for it. */
int table_create(struct table *table, struct region *region, uint32_t root,
                 const struct table_spec *spec, struct err *err);
/* Finds the table that another process made; what that has left half done is dropped
 * or, in a dense table, gone on with (-ERR_MEMORY). -ERR_DAMAGE: there is none under
 * that root; -ERR_INPUT: it was made with another spec (the sentence names the
 * difference).
 */
int table_open(struct table *table, struct region *region, uint32_t root,
               const struct table_spec *spec, struct err *err);

/* Looks up n keys; row[i] = the row's weights (state right behind them) or NULL. The
 * whole rows are on their way into the cache: use them before the next look-up, and
 * look up no more at a time than fits there (a few hundred KB). `key` need not be
 * aligned. */
void table_find(const struct table *table, const uint64_t *key, uint32_t n,
                float **row);
/* The same, making what is missing; keys may repeat. Returns 0, or -ERR_MEMORY when
 * rows_max or the region's cap was reached, or a dense table has no such key: rows that
 * could not be made are NULL, all others are there. */
int table_find_or_make(struct table *table, const uint64_t *key, uint32_t n,
                       float **row);
/* Looks up n keys and copies their weights to values[n][width]: quicker than
 * table_find() and a copy. found[i] = 1, or 0 and zeros where there is no row. */
void table_copy(const struct table *table, const uint64_t *key, uint32_t n,
                float *values, unsigned char *found);

/* Drops all rows of a sparse table; a dense one keeps its. A process that is killed
 * meanwhile leaves some of them: do it again. */
void table_clear(struct table *table);

/* Rows in order of making, 0 .. table_rows()-1; rows may be made meanwhile. `key` may
 * be NULL. */
uint64_t table_rows(const struct table *table);
/* How many rows it may have from now on: not less than it has, not more than rows_max.
 */
void table_set_limit(struct table *table, uint64_t rows);
/* Has it as many rows as it may have? (Else it is memory that is missing.) */
bool table_at_limit(const struct table *table);
float *table_row(const struct table *table, uint64_t number, uint64_t *key);
/* Bytes of the region used by this table: rows (whole slabs) and index. */
uint64_t table_bytes(const struct table *table);

/* Slab `number` (from 0) if it is full (another one has been begun behind it), and its
 * size; else NULL. Any thread, beside the one that makes rows. */
void *table_full_slab(const struct table *table, uint64_t number, uint64_t *bytes);

/* Bytes of a row's block; those of a sparse table have about TABLE_INDEX_BYTES in the
 * index besides. */
uint32_t table_row_bytes(const struct table_spec *spec);

/* The first weights of a row, width floats: the naive reference is in the tests. */
void table_first_values(const struct table_spec *spec, uint64_t key, float *weights);

#endif

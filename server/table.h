/* A sparse table: key -> row, in a region. A row is one block: key, weights, optimizer
 * state; it is made on first touch with values that depend only on (seed, table, key)
 * and never moves. One thread.
 *
 * Layout: rows lie in slabs; row number r is in slab r / slab_rows. The index has one
 * sub-table for each of the 1024 slots: 64-byte buckets of 12 (tag, row number) pairs;
 * the key itself is in the row, which a look-up touches anyway. Sub-tables grow by a
 * quarter, one at a time, so that growth never pauses for long. */
#ifndef ROWHOUSE_SERVER_TABLE_H
#define ROWHOUSE_SERVER_TABLE_H

#include "common/job.h"
#include "server/region.h"

struct table_spec {
    uint32_t id;          /* index into the job's tables; part of the hash */
    uint32_t dim;         /* embedding columns, initialised by `init` */
    uint32_t width;       /* dim plus columns that start at zero (biases) */
    uint32_t state_width; /* floats of optimizer state behind the weights */
    float state_initial;  /* their first value */
    int init;             /* enum init_kind */
    float scale;
    uint64_t seed;
    uint64_t rows_max; /* 0 = as many as the region holds */
};

/* A process' handle: the shared part is in the region. */
struct table {
    struct region *region; /* borrowed */
    struct table_spec spec;
    struct table_root *root; /* in the region */
    uint64_t *slab;          /* in the region: offsets of the slabs */
    uint32_t slab_shift;     /* a slab has 2^slab_shift rows */
    uint32_t stride;         /* bytes of a row's block */
};

/* Makes an empty table in the region and remembers it under root `root`. */
int table_create(struct table *table, struct region *region, uint32_t root,
                 const struct table_spec *spec, struct err *err);
/* Finds the table that another process made; the specs must be equal. */
int table_open(struct table *table, struct region *region, uint32_t root,
               const struct table_spec *spec, struct err *err);

/* Looks up n keys; row[i] = the row's weights (state right behind them) or NULL. */
void table_find(const struct table *table, const uint64_t *key, uint32_t n,
                float **row);
/* The same, making what is missing. Returns 0, or -ERR_MEMORY when the cap was reached:
 * rows that could not be made are NULL, all others are there. */
int table_find_or_make(struct table *table, const uint64_t *key, uint32_t n,
                       float **row);

/* Rows in order of making, 0 .. table_rows()-1. */
uint64_t table_rows(const struct table *table);
float *table_row(const struct table *table, uint64_t number, uint64_t *key);
/* Bytes of the region used by this table: rows and index. */
uint64_t table_bytes(const struct table *table);

/* The first weights of a row, width floats: the naive reference is in the tests. */
void table_first_values(const struct table_spec *spec, uint64_t key, float *weights);

#endif

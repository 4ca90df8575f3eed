/* Dense tables: all rows are there from the start, and a row's place is arithmetic.
 * Rows are made in order, each written before it is counted, so that a process that is
 * killed on the way leaves the first of them, and the next goes on behind these. */
#include <stdatomic.h>
#include <string.h>

#include "server/table_index.h"

enum { COPY_AHEAD = 8 }; /* keys whose rows are fetched ahead */

/* The number of a key's row, or one that no row has. */
static inline uint64_t number_of(const struct table *table, const uint64_t *key,
                                 uint32_t i)
{
    return key_at(key, i) - table->spec.first;
}

static inline bool is_row(const struct table *table, uint64_t number)
{
    return number < table->spec.end - table->spec.first;
}

int dense_make(struct table *table)
{
    struct table_root *root = table->root;
    const struct table_spec *spec = &table->spec;

    for (uint64_t n = root->rows; is_row(table, n); n++) {
        float *weights = (float *)block_reserve(table, (uint32_t)n);

        if (!weights)
            return -ERR_MEMORY;
        table->init(&table->rule, spec->first + n, weights);
        for (uint32_t i = 0; i < spec->state_width; i++)
            weights[spec->width + i] = spec->state_initial;
        atomic_thread_fence(memory_order_release);
        root->rows = n + 1;
    }
    return 0;
}

int dense_find(const struct table *table, const uint64_t *key, uint32_t n, float **row)
{
    int rc = 0;

    for (uint32_t i = 0; i < n; i++) {
        uint64_t number = number_of(table, key, i);
        unsigned char *block = NULL;

        if (is_row(table, number)) {
            block = table_block(table, (uint32_t)number);
            prefetch_block(block, table->stride);
        } else {
            rc = -ERR_MEMORY;
        }
        row[i] = (float *)block;
    }
    return rc;
}

/* How many keys from the first on, which has row `number`, are neighbours there. */
static uint32_t run_length(const struct table *table, const uint64_t *key, uint32_t n,
                           uint64_t number)
{
    uint64_t left = table->spec.end - table->spec.first - number;
    uint64_t in_slab = table->slab_rows - number % table->slab_rows;
    uint32_t run = 1;

    if (n > left)
        n = (uint32_t)left;
    if (n > in_slab)
        n = (uint32_t)in_slab;
    while (run < n && key_at(key, run) == key_at(key, 0) + run)
        run++;
    return run;
}

static void copy_run(const struct table *table, uint64_t number, uint32_t run,
                     float *values)
{
    const unsigned char *block = table_block(table, (uint32_t)number);
    size_t bytes = table->spec.width * sizeof(float);

    if (bytes == table->stride) { /* rows without state lie one behind the other */
        memcpy(values, block, run * bytes);
        return;
    }
    for (uint32_t i = 0; i < run; i++)
        memcpy((unsigned char *)values + i * bytes, block + (size_t)i * table->stride,
               bytes);
}

void dense_copy(const struct table *table, const uint64_t *key, uint32_t n,
                float *values, unsigned char *found)
{
    uint32_t width = table->spec.width;

    for (uint32_t i = 0, run; i < n; i += run) {
        uint64_t number = number_of(table, key, i);

        if (i + COPY_AHEAD < n && is_row(table, number_of(table, key, i + COPY_AHEAD)))
            prefetch_block(
                table_block(table, (uint32_t)number_of(table, key, i + COPY_AHEAD)),
                table->stride);
        run = 1;
        if (is_row(table, number)) {
            run = run_length(table, key + i, n - i, number);
            copy_run(table, number, run, values + (size_t)i * width);
        } else {
            memset(values + (size_t)i * width, 0, width * sizeof(float));
        }
        memset(found + i, is_row(table, number), run);
    }
}

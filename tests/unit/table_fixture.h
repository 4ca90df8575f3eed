/* A table in a region of its own, for tests of the table. */
#ifndef ROWHOUSE_TESTS_UNIT_TABLE_FIXTURE_H
#define ROWHOUSE_TESTS_UNIT_TABLE_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/rng.h"
#include "server/table_index.h"

enum { MIB = 1 << 20 };

/* Shared memory, so that a child's writes are seen. */
static inline struct region fixture_region(uint64_t size, uint64_t bytes_max)
{
    void *at = mmap(NULL, size, PROT_READ | PROT_WRITE,
                    MAP_SHARED | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    struct region region = {.base = at, .size = size, .bytes_max = bytes_max, .fd = -1};
    struct err err;

    assert_ptr_not_equal(at, MAP_FAILED);
    assert_int_equal(region_format(&region, &err), 0);
    return region;
}

static inline void fixture_release(struct region *region)
{
    munmap(region->base, region->size);
}

/* Ten columns and a bias, Adagrad's state. */
static const struct table_spec fixture_spec = {
    .id = 2,
    .dim = 10,
    .width = 11,
    .state_width = 11,
    .state_initial = 0.25f,
    .init = INIT_NORMAL,
    .scale = 0.5f,
    .seed = 77,
};

static inline struct table fixture_table(struct region *region,
                                         const struct table_spec *spec)
{
    struct table table;
    struct err err;

    assert_int_equal(table_create(&table, region, 1, spec, &err), 0);
    return table;
}

/* The inverse of mix64(): undoes its steps from the last to the first. */
static inline uint64_t unmix64(uint64_t x)
{
    x ^= x >> 31 ^ x >> 62;
    x *= 0x319642b2d24d8ec3u; /* inverses modulo 2^64 */
    x ^= x >> 27 ^ x >> 54;
    x *= 0x96de1b173f119089u;
    x ^= x >> 30 ^ x >> 60;
    return x;
}

/* The key of table `id` that has this hash. */
static inline uint64_t key_with_hash(uint32_t id, uint64_t hash)
{
    return unmix64(hash) - (id + 1) * 0x9e3779b97f4a7c15u;
}

/* Every row of the table is found by its key, once, with its first values and state;
 * the region holds what the table says it does. */
static inline void check_whole(const struct table *table, uint64_t bytes_before)
{
    float *first = calloc(table->spec.width, sizeof *first);

    for (uint64_t i = 0; i < table_rows(table); i++) {
        uint64_t key;
        float *row = table_row(table, i, &key), *found;

        table_find(table, &key, 1, &found);
        assert_ptr_equal(found, row);
        table_first_values(&table->spec, key, first);
        assert_memory_equal(row, first, table->spec.width * sizeof *first);
        for (uint32_t j = 0; j < table->spec.state_width; j++)
            assert_true(row[table->spec.width + j] == table->spec.state_initial);
    }
    if (bytes_before)
        assert_int_equal(region_used(table->region), bytes_before + table_bytes(table));
    free(first);
}

#endif

/* The row cache: what it gives back and when no more, what it holds at most, and whom
 * it lets go. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/rng.h"
#include "tests/unit/heap_count.h"
#include "worker/row_cache.h"

enum { SET_BYTES = 8 * (16 + 4 * 3) }; /* the smallest cache of rows of 3 floats */

static const uint32_t widths[] = {3, 1};

static struct row_cache *cache_of(uint64_t bytes)
{
    struct row_cache *cache;
    struct err err;

    if (row_cache_create(bytes, widths, 2, &cache, &err))
        fail_msg("%s", err.text);
    return cache;
}

static void put(struct row_cache *cache, uint32_t table, uint64_t key, float value,
                struct row_origin origin)
{
    const float row[3] = {value, value + 1, value + 2};

    row_cache_put(cache, table, &key, NULL, 1, row, &origin);
}

/* The first float of a row that clock `clock` may use, or -1. */
static float get(struct row_cache *cache, uint32_t table, uint64_t key, uint64_t clock)
{
    float row[3] = {-1, -1, -1};
    uint32_t missing;

    if (row_cache_get(cache, table, &key, 1, clock, row, &missing))
        return -1;
    assert_true(table == 1 || (row[1] == row[0] + 1 && row[2] == row[0] + 2));
    return row[0];
}

static void assert_value(float found, float expected)
{
    if (found != expected)
        fail_msg("found %g, expected %g", (double)found, (double)expected);
}

static void test_rows_until_their_clock(void **state)
{
    struct row_cache *cache = cache_of(SET_BYTES);

    (void)state;
    row_cache_clear(cache, 100);
    assert_value(get(cache, 0, 7, 101), -1);
    put(cache, 0, 7, 5, (struct row_origin){101, 100, 104});
    assert_value(get(cache, 0, 7, 102), 5);
    assert_value(get(cache, 0, 7, 104), 5);
    assert_value(get(cache, 0, 7, 105), -1);
    /* A later answer replaces it, an earlier one that was overtaken does not. */
    put(cache, 0, 7, 6, (struct row_origin){105, 104, 109});
    put(cache, 0, 7, 4, (struct row_origin){104, 103, 108});
    assert_value(get(cache, 0, 7, 106), 6);
    /* What no later batch may use is not kept. */
    put(cache, 0, 8, 9, (struct row_origin){106, 100, 106});
    assert_int_equal(row_cache_counts(cache, 0)->rows, 1);
    row_cache_destroy(cache);
}

static void test_tables_are_apart(void **state)
{
    struct row_cache *cache = cache_of(100 * SET_BYTES);

    (void)state;
    put(cache, 0, 0, 1, (struct row_origin){1, 0, 9});
    put(cache, 1, 0, 2, (struct row_origin){1, 0, 9});
    put(cache, 1, UINT64_MAX, 3, (struct row_origin){1, 0, 9});
    assert_value(get(cache, 0, 0, 2), 1);
    assert_value(get(cache, 1, 0, 2), 2);
    assert_value(get(cache, 1, UINT64_MAX, 2), 3);
    assert_value(get(cache, 0, UINT64_MAX, 2), -1);
    assert_int_equal(row_cache_counts(cache, 0)->reads, 2);
    assert_int_equal(row_cache_counts(cache, 0)->hits, 1);
    assert_int_equal(row_cache_counts(cache, 0)->rows, 1);
    assert_int_equal(row_cache_counts(cache, 1)->rows, 2);
    assert_int_equal(row_cache_counts(cache, 1)->bytes, 2 * (16 + 4 * 3));
    row_cache_clear(cache, 5);
    assert_value(get(cache, 0, 0, 6), -1);
    assert_int_equal(row_cache_counts(cache, 1)->rows, 0);
    assert_int_equal(row_cache_counts(cache, 1)->hits, 2);
    row_cache_destroy(cache);
}

/* Rows in the middle of a batch are copied to their places, and only to those. */
static void test_places(void **state)
{
    enum { KEYS = 100 };
    struct row_cache *cache = cache_of(1000 * SET_BYTES);
    struct row_origin origin = {1, 0, 5};
    uint64_t key[KEYS];
    uint32_t odd[KEYS / 2], missing[KEYS];
    float rows[KEYS][3], out[KEYS][3];

    (void)state;
    for (uint32_t i = 0; i < KEYS; i++) {
        key[i] = i * 1000003;
        odd[i / 2] = i; /* the last one stays: 1, 3, 5 ... */
        for (int j = 0; j < 3; j++) {
            rows[i][j] = (float)(i * 3) + (float)j;
            out[i][j] = -1;
        }
    }
    row_cache_put(cache, 0, key, odd, KEYS / 2, rows[0], &origin);
    assert_int_equal(row_cache_get(cache, 0, key, KEYS, 2, out[0], missing), KEYS / 2);
    for (uint32_t i = 0; i < KEYS; i++)
        for (int j = 0; j < 3; j++)
            assert_value(out[i][j], i % 2 ? rows[i][j] : -1);
    for (uint32_t i = 0; i < KEYS / 2; i++)
        assert_int_equal(missing[i], 2 * i);
    row_cache_destroy(cache);
}

static void test_own_differences(void **state)
{
    struct row_cache *cache = cache_of(SET_BYTES);
    const uint64_t key[] = {1, 2};
    const float difference[2][3] = {{10, 10, 10}, {99, 99, 99}};

    (void)state;
    put(cache, 0, 1, 5, (struct row_origin){1, 0, 9});
    row_cache_add(cache, 0, key, 2, difference[0]);
    assert_value(get(cache, 0, 1, 2), 15);
    assert_value(get(cache, 0, 2, 2), -1);
    row_cache_destroy(cache);
}

/* Each call counts once for each staleness of the rows it has found. */
static void test_staleness(void **state)
{
    struct row_cache *cache = cache_of(100 * SET_BYTES);
    const uint64_t key[] = {1, 2, 3, 4, 5};
    const uint64_t *found = row_cache_counts(cache, 0)->staleness;
    uint32_t missing[5];
    float rows[5][3];

    (void)state;
    row_cache_clear(cache, 1000);
    put(cache, 0, 1, 1, (struct row_origin){1001, 1000, 1100});
    put(cache, 0, 2, 1, (struct row_origin){1001, 1000, 1100});
    put(cache, 0, 3, 1, (struct row_origin){1001, 998, 1100});
    put(cache, 0, 4, 1, (struct row_origin){1001, 0, 1100}); /* far behind */
    assert_int_equal(row_cache_get(cache, 0, key, 5, 1003, rows[0], missing), 1);
    for (int b = 0; b < STALENESS_BUCKETS; b++)
        assert_int_equal(found[b], b == 2 || b == 4 || b == STALENESS_BUCKETS - 1);
    row_cache_get(cache, 0, key, 1, 1004, rows[0], missing);
    assert_int_equal(found[3], 1);
    row_cache_destroy(cache);
}

/* Whatever the clocks are: more of them than are told apart, or going back. */
static void test_any_clock(void **state)
{
    struct row_cache *cache = cache_of(SET_BYTES);
    const uint64_t far = 5ull << 32;

    (void)state;
    put(cache, 0, 1, 1, (struct row_origin){1, 0, 5});
    assert_value(get(cache, 0, 1, far), -1);
    put(cache, 0, 1, 2, (struct row_origin){far, far - 1, far + 3});
    assert_value(get(cache, 0, 1, far + 3), 2);
    assert_value(get(cache, 0, 1, far + 4), -1);
    put(cache, 0, 1, 3, (struct row_origin){far + 4, 0, UINT64_MAX});
    assert_value(get(cache, 0, 1, far + 1000000), 3);
    row_cache_clear(cache, far);
    put(cache, 0, 1, 4, (struct row_origin){far - 7, 0, far - 1}); /* is behind it */
    assert_int_equal(row_cache_counts(cache, 0)->rows, 0);
    row_cache_destroy(cache);
}

static void test_size(void **state)
{
    struct row_cache *cache;
    struct err err;

    (void)state;
    assert_int_equal(row_cache_create(SET_BYTES - 1, widths, 2, &cache, &err),
                     -ERR_INPUT);
    assert_string_equal(err.text,
                        "train.cache is 223 bytes, which holds no rows of 3 floats, "
                        "expected at least 224");
    cache = cache_of(10 * SET_BYTES + 5);
    for (uint64_t key = 0; key < 5000; key++)
        put(cache, key % 2, key, 1, (struct row_origin){1 + key, key, 100 + key});
    assert_in_range(row_cache_counts(cache, 0)->rows + row_cache_counts(cache, 1)->rows,
                    70, 80);
    assert_in_range(row_cache_counts(cache, 0)->bytes +
                        row_cache_counts(cache, 1)->bytes,
                    1, 10 * SET_BYTES);
    row_cache_destroy(cache);
    row_cache_destroy(NULL);
}

/* A row that every batch uses outlives any number of rows that are used once; when it
 * has become too old and is not brought anew, it is the first to go. */
static void test_hot_row_stays(void **state)
{
    struct row_cache *cache = cache_of(SET_BYTES);
    uint64_t clock = 1;

    (void)state;
    put(cache, 0, 0, 1, (struct row_origin){1, 0, 200});
    for (; clock <= 200; clock++) {
        assert_value(get(cache, 0, 0, clock), 1);
        for (uint64_t i = 1; i < 5; i++)
            put(cache, 0, clock * 10 + i, 2,
                (struct row_origin){clock, clock - 1, clock + 1000});
    }
    clock++; /* it keeps its place for one clock */
    for (uint64_t key = 1; key <= 8; key++)
        put(cache, 0, key, 3, (struct row_origin){clock, clock - 1, clock + 1000});
    for (uint64_t key = 1; key <= 8; key++)
        assert_value(get(cache, 0, key, clock), 3);
    row_cache_destroy(cache);
}

/* --- many keys ------------------------------------------------------------------- */

/* A key with a density that falls as 1/x: the same octave takes the same share. */
static uint64_t skewed_key(uint64_t n)
{
    uint64_t bits = rng_at(4, 0, n);

    return (1ull << (bits % 16)) + rng_below(rng_at(4, 1, n), 1ull << (bits % 16));
}

/* Against a list of all that was put: nothing comes back that was not put last, nor
 * after its clock. Returns the share of reads that hit. */
static double replay(uint64_t bytes, uint32_t life)
{
    enum { KEYS = 1 << 17, BATCH = 64, CLOCKS = 2000 };
    struct row_cache *cache = cache_of(bytes);
    static uint64_t until[KEYS];
    static float value[KEYS];
    uint64_t calls = heap_count();
    double rate;

    memset(until, 0, sizeof until);
    for (uint64_t clock = 1; clock <= CLOCKS; clock++)
        for (uint64_t i = 0; i < BATCH; i++) {
            uint64_t key = skewed_key(clock * BATCH + i);
            float found = get(cache, 0, key, clock);

            if (found >= 0) {
                assert_true(until[key] >= clock);
                assert_value(found, value[key]);
                continue;
            }
            until[key] = clock + life;
            value[key] = (float)(clock * BATCH + i);
            put(cache, 0, key, value[key],
                (struct row_origin){clock, clock - 1, until[key]});
        }
    assert_true(heap_count() == calls);
    rate = (double)row_cache_counts(cache, 0)->hits /
           (double)row_cache_counts(cache, 0)->reads;
    row_cache_destroy(cache);
    return rate;
}

/* Small caches keep what is hot. The hit rates of lru are 0.409, 0.350 and 0.154, those
 * of the clock algorithm 0.409, 0.358 and 0.167. */
static void test_hit_rates(void **state)
{
    (void)state;
    assert_true(replay(20000 * SET_BYTES, 16) > 0.408);
    assert_true(replay(32 * SET_BYTES, 16) > 0.35); /* 256 rows */
    assert_true(replay(4 * SET_BYTES, 16) > 0.22);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_until_their_clock),
        cmocka_unit_test(test_tables_are_apart),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_own_differences),
        cmocka_unit_test(test_staleness),
        cmocka_unit_test(test_any_clock),
        cmocka_unit_test(test_size),
        cmocka_unit_test(test_hot_row_stays),
        cmocka_unit_test(test_hit_rates),
    };

    return cmocka_run_group_tests_name("row_cache", tests, NULL, NULL);
}

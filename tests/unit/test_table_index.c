#include <signal.h>
#include <sys/wait.h>

#include "tests/unit/table_fixture.h"

/* --- arrays smaller than a page -------------------------------------------------- */

static void test_sizes_below_a_page(void **state)
{
    uint32_t buckets = 0, sizes = 0;

    (void)state;
    while (buckets < PAGE_BUCKETS) {
        uint32_t next = pool_next_size(buckets);

        assert_true(next > buckets);
        buckets = next;
        sizes++;
    }
    assert_int_equal(buckets, PAGE_BUCKETS);
    assert_int_equal(sizes, POOL_CLASSES + 1);
}

/* Random arrays: zero, apart from each other, and every page given back at the end. */
static void test_pool(void **state)
{
    struct region region = fixture_region(64 * MIB, 32 * MIB);
    struct table table = fixture_table(&region, &fixture_spec);
    uint64_t before = region_used(&region), offset[500] = {0};
    uint32_t buckets[500];

    (void)state;
    for (uint64_t i = 0; i < 20000; i++) {
        uint32_t at = (uint32_t)(rng_at(1, 1, i) % 500);
        unsigned char *bytes = region_at(&region, offset[at]);

        if (offset[at]) {
            for (uint32_t j = 0; j < buckets[at] * 64; j++)
                assert_int_equal(bytes[j], (unsigned char)(at + 1));
            pool_free(&table, offset[at], buckets[at]);
            offset[at] = 0;
            continue;
        }
        buckets[at] = 1;
        for (uint64_t k = rng_at(1, 2, i) % POOL_CLASSES; k; k--)
            buckets[at] = pool_next_size(buckets[at]);
        offset[at] = pool_alloc(&table, buckets[at]);
        assert_true(offset[at] && offset[at] % 64 == 0);
        bytes = region_at(&region, offset[at]);
        for (uint32_t j = 0; j < buckets[at] * 64; j++)
            assert_int_equal(bytes[j], 0);
        memset(bytes, (unsigned char)(at + 1), buckets[at] * 64);
        assert_int_equal(region_used(&region),
                         before + table.root->pool_pages * REGION_PAGE);
    }
    for (uint32_t at = 0; at < 500; at++)
        if (offset[at])
            pool_free(&table, offset[at], buckets[at]);
    assert_int_equal(table.root->pool_pages, 0);
    assert_int_equal(region_used(&region), before);
    fixture_release(&region);
}

/* --- growth ---------------------------------------------------------------------- */

static void make_keys(struct table *table, uint64_t first, uint64_t n)
{
    uint64_t key[500];
    float *row[500];

    for (uint64_t i = 0; i < n; i += 500) {
        for (uint64_t j = 0; j < 500; j++)
            key[j] = mix64(first + i + j);
        assert_int_equal(table_find_or_make(table, key, 500, row), 0);
    }
}

/* The load of the index as a whole hardly changes while the table grows, because its
 * sub-tables grow at different times. */
static void test_load_is_steady(void **state)
{
    struct region region = fixture_region(512 * MIB, 256 * MIB);
    struct table_spec spec = {.dim = 1, .width = 1};
    struct table table = fixture_table(&region, &spec);
    uint64_t rows = 0;

    (void)state;
    for (int i = 0; i < 8; i++) {
        double per_row;

        make_keys(&table, rows, i ? 150000 : 2500000);
        rows = table_rows(&table);
        per_row = (double)(table.root->array_bytes +
                           table.root->pool_pages * REGION_PAGE) /
                  (double)rows;
        /* 64/12 bytes at a load of 1. */
        assert_true(per_row > 64 / 12.0 / 0.78 && per_row < 64 / 12.0 / 0.66);
    }
    fixture_release(&region);
}

/* Killed while a sub-table grew: the new array is dropped if it is not current, the old
 * one if it is. */
static void test_growth_cut_off(void **state)
{
    struct region region = fixture_region(64 * MIB, 32 * MIB);
    uint64_t before = region_used(&region);
    struct table table = fixture_table(&region, &fixture_spec);
    array_ref spare;
    struct err err;

    (void)state;
    make_keys(&table, 0, 20000);
    check_whole(&table, before);
    spare = array_pack(pool_alloc(&table, 21), 21);
    table.root->growth.slot = 77;
    table.root->growth.old = table.root->array[77];
    table.root->growth.new = spare;
    assert_int_equal(table_open(&table, &region, 1, &fixture_spec, &err), 0);
    check_whole(&table, before);

    spare = array_pack(region_alloc(&region, 3 * REGION_PAGE), 3 * PAGE_BUCKETS);
    table.root->growth.slot = 1023;
    table.root->growth.old = spare;
    table.root->growth.new = table.root->array[1023];
    assert_int_equal(table_open(&table, &region, 1, &fixture_spec, &err), 0);
    assert_int_equal(table.root->growth.new, 0);
    check_whole(&table, before);
    make_keys(&table, 20000, 20000);
    check_whole(&table, before);
    fixture_release(&region);
}

/* --- death ----------------------------------------------------------------------- */

enum { KILLS = 80, KEYS = 400000 };

/* What a server's child does: takes up the table where it finds it, makes rows. */
static void child(struct region *region, uint64_t seed)
{
    struct table table;
    struct err err;

    if (region_open(region, &err) || table_open(&table, region, 1, &fixture_spec, &err))
        _exit(1);
    for (uint64_t i = 0;; i++) {
        uint64_t key[64];
        float *row[64];

        for (uint32_t j = 0; j < 64; j++)
            key[j] = mix64(rng_below(rng_at(seed, 7, i * 64 + j), KEYS));
        if (table_find_or_make(&table, key, 64, row))
            _exit(1);
    }
}

/* Killed with SIGKILL at any point, over and over, a table has every row whole and none
 * twice. What was lost of memory is little. */
static void test_killed(void **state)
{
    struct region region = fixture_region(256 * MIB, 128 * MIB);
    uint64_t before = region_used(&region), rows = 0, owned;
    struct table table = fixture_table(&region, &fixture_spec);
    struct err err;

    (void)state;
    for (uint64_t i = 0; i < KILLS; i++) {
        pid_t pid = fork();
        int status;

        if (pid == 0)
            child(&region, i);
        usleep((useconds_t)(rng_at(8, 8, i) % 6000));
        kill(pid, SIGKILL);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(region_open(&region, &err), 0);
        assert_int_equal(table_open(&table, &region, 1, &fixture_spec, &err), 0);
        assert_true(table_rows(&table) >= rows);
        rows = table_rows(&table);
        if (i % 20 == 0)
            check_whole(&table, 0);
    }
    assert_true(rows > 1000 && rows <= KEYS);
    check_whole(&table, 0);
    owned = before + table_bytes(&table);
    assert_in_range(region_used(&region), owned - 8 * REGION_PAGE, owned + 6 * MIB);
    make_keys(&table, 0, 20000);
    check_whole(&table, 0);
    fixture_release(&region);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes_below_a_page),
        cmocka_unit_test(test_pool),
        cmocka_unit_test(test_load_is_steady),
        cmocka_unit_test(test_growth_cut_off),
        cmocka_unit_test(test_killed),
    };

    return cmocka_run_group_tests_name("table_index", tests, NULL, NULL);
}

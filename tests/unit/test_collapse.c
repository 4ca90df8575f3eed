/* Huge pages behind the server's back: rows stay what and where they are, while others
 * are made; where the system does not do it, nothing happens. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "server/collapse.h"

enum { MIB = 1 << 20, DIM = 62, ROWS = 200000, BATCH = 500, WAIT_S = 5 };

static struct region make_region(int fd)
{
    struct region region = {.size = 256 * MIB, .bytes_max = 128 * MIB, .fd = fd};
    struct err err;

    if (fd >= 0)
        assert_int_equal(ftruncate(fd, (off_t)region.size), 0);
    if (region_map(&region, &err) || region_format(&region, &err))
        fail_msg("%s", err.text);
    assert_int_equal((uintptr_t)region.base % REGION_CHUNK, 0);
    return region;
}

static void make_rows(struct table *table, uint64_t first, uint64_t end)
{
    uint64_t key[BATCH];
    float *row[BATCH];

    for (; first < end; first += BATCH) {
        for (uint64_t i = 0; i < BATCH; i++)
            key[i] = first + i;
        assert_int_equal(table_find_or_make(table, key, BATCH, row), 0);
        for (uint64_t i = 0; i < BATCH; i++)
            row[i][0] = (float)key[i];
    }
}

static void check_rows(const struct table *table)
{
    float values[DIM];

    assert_int_equal(table_rows(table), ROWS);
    for (uint64_t key = 0; key < ROWS; key++) {
        float *row;

        table_find(table, &key, 1, &row);
        table_first_values(&table->spec, key, values);
        values[0] = (float)key;
        if (!row || memcmp(row, values, sizeof values) != 0)
            fail_msg("row %llu has changed", (unsigned long long)key);
    }
}

/* Kilobytes of shared memory that this process has as huge pages. */
static long huge_kilobytes(void)
{
    FILE *maps = fopen("/proc/self/smaps", "r");
    char line[512];
    long kilobytes = 0;

    while (maps && fgets(line, sizeof line, maps))
        if (strncmp(line, "ShmemPmdMapped:", 15) == 0)
            kilobytes += strtol(line + 15, NULL, 10);
    if (maps)
        fclose(maps);
    return kilobytes;
}

static void test_rows_stay(void **state)
{
    struct table_spec spec = {
        .dim = DIM, .width = DIM, .init = INIT_NORMAL, .scale = 1};
    struct region region = make_region(memfd_create("test", MFD_CLOEXEC));
    time_t until = time(NULL) + WAIT_S;
    struct collapse *collapse;
    const struct table *tables[1];
    struct table table;
    uint64_t slabs, bytes;
    struct err err;

    (void)state;
    assert_int_equal(table_create(&table, &region, 1, &spec, &err), 0);
    tables[0] = &table;
    make_rows(&table, 0, ROWS / 4);
    assert_int_equal(collapse_start(&region, tables, 1, &collapse, &err), 0);
    assert_non_null(collapse);
    make_rows(&table, ROWS / 4, ROWS);
    for (slabs = 0; table_full_slab(&table, slabs, &bytes); slabs++)
        ;
    assert_true(slabs > 10);
    while (collapse_count(collapse) < slabs && time(NULL) < until)
        usleep(10000);
    if (collapse_count(collapse)) /* this system does it */
        assert_true(huge_kilobytes() >= 2048);
    else
        print_message("# no huge pages on request here\n");
    collapse_stop(collapse);
    check_rows(&table);
    munmap(region.base, region.size);
    close(region.fd);
}

static void test_anonymous_memory_needs_none(void **state)
{
    struct region region = make_region(-1);
    struct collapse *collapse;
    struct err err;

    (void)state;
    assert_int_equal(collapse_start(&region, NULL, 0, &collapse, &err), 0);
    assert_null(collapse);
    collapse_stop(collapse);
    munmap(region.base, region.size);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_stay),
        cmocka_unit_test(test_anonymous_memory_needs_none),
    };

    return cmocka_run_group_tests_name("collapse", tests, NULL, NULL);
}

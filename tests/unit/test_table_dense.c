/* Dense tables: all rows there from the start, found by arithmetic. */
#include <sys/stat.h>

#include "tests/unit/table_fixture.h"

/* A server in the middle of three. */
static struct table_spec spec_of(uint64_t rows, uint32_t width, uint32_t state_width)
{
    return (struct table_spec){
        .id = 3,
        .dim = width,
        .width = width,
        .state_width = state_width,
        .state_initial = 0.5f,
        .init = INIT_NORMAL,
        .scale = 0.1f,
        .seed = 9,
        .rows = rows,
        .first = rows / 3,
        .end = rows - rows / 4,
    };
}

/* Every row is there with its first values, from the first key to the last. */
static void check_rows(const struct table *table)
{
    const struct table_spec *spec = &table->spec;
    float *first = calloc(spec->width, sizeof *first);

    assert_int_equal(table_rows(table), spec->end - spec->first);
    for (uint64_t i = 0; i < table_rows(table); i++) {
        uint64_t key;
        float *row = table_row(table, i, &key), *found;

        assert_int_equal(key, spec->first + i);
        table_find(table, &key, 1, &found);
        assert_ptr_equal(found, row);
        table_first_values(spec, key, first);
        assert_memory_equal(row, first, spec->width * sizeof *first);
        for (uint32_t j = 0; j < spec->state_width; j++)
            assert_true(row[spec->width + j] == spec->state_initial);
    }
    free(first);
}

static const struct {
    uint64_t rows;
    uint32_t width, state_width;
} shapes[] = {{1, 1, 0},      {1, 33, 33},   {7, 4, 0},     {1000, 9, 9},
              {100000, 3, 0}, {50000, 8, 4}, {300, 5000, 0}};
enum { SHAPES = sizeof shapes / sizeof *shapes };

static void test_all_rows_are_there(void **state)
{
    (void)state;
    for (int i = 0; i < SHAPES; i++) {
        struct region region = fixture_region(256 * MIB, 128 * MIB);
        struct table_spec spec = spec_of(shapes[i].rows, shapes[i].width,
                                         shapes[i].state_width);
        uint64_t before = region_used(&region);
        struct table table = fixture_table(&region, &spec), again;
        struct err err;

        check_rows(&table);
        assert_int_equal(region_used(&region), before + table_bytes(&table));
        assert_int_equal(table_open(&again, &region, 1, &spec, &err), 0);
        check_rows(&again);
        fixture_release(&region);
    }
}

static void test_no_row_at_all(void **state)
{
    struct region region = fixture_region(64 * MIB, 32 * MIB);
    struct table_spec spec = spec_of(10, 4, 4);
    struct table table;
    uint64_t key = 3;
    float *row;

    (void)state;
    spec.first = spec.end = 3; /* more servers than rows */
    table = fixture_table(&region, &spec);
    assert_int_equal(table_rows(&table), 0);
    assert_int_equal(table_find_or_make(&table, &key, 1, &row), -ERR_MEMORY);
    assert_null(row);
    fixture_release(&region);
}

/* Keys that the table has, in order and not, and keys that it has not. */
static void test_copies(void **state)
{
    enum { KEYS = 3000 };
    static uint64_t key[KEYS + 1];
    static unsigned char found[KEYS];

    (void)state;
    for (int i = 0; i < SHAPES; i++)
        for (uint64_t seed = 0; seed < 20; seed++) {
            struct region region = fixture_region(256 * MIB, 128 * MIB);
            struct table_spec spec = spec_of(shapes[i].rows, shapes[i].width,
                                             shapes[i].state_width);
            struct table table = fixture_table(&region, &spec);
            const uint64_t *keys = (const uint64_t *)((char *)key + seed % 2 * 4);
            float *values = malloc((size_t)KEYS * spec.width * sizeof *values);
            float *zeros = calloc(spec.width, sizeof *zeros);
            uint64_t next = 0;

            for (uint32_t k = 0; k < KEYS; k++) { /* runs of neighbours */
                if (rng_at(seed, 1, k) % 40 < seed)
                    next = rng_at(seed, 2, k) % (spec.rows + 3) - 1;
                memcpy((char *)key + seed % 2 * 4 + k * sizeof next, &next,
                       sizeof next);
                next++;
            }
            table_copy(&table, keys, KEYS, values, found);
            for (uint32_t k = 0; k < KEYS; k++) {
                float *row;

                memcpy(&next, (char *)key + seed % 2 * 4 + k * sizeof next,
                       sizeof next);
                assert_int_equal(found[k], next >= spec.first && next < spec.end);
                table_find(&table, keys + k, 1, &row);
                assert_int_equal(row != NULL, found[k]);
                assert_memory_equal(values + (size_t)k * spec.width, row ? row : zeros,
                                    spec.width * sizeof *values);
            }
            free(zeros);
            free(values);
            fixture_release(&region);
        }
}

static void test_too_large(void **state)
{
    struct region region = fixture_region(64 * MIB, 32 * MIB);
    struct table_spec spec = spec_of(1000000, 16, 16);
    struct table table;
    struct err err;

    (void)state;
    assert_int_equal(table_create(&table, &region, 1, &spec, &err), -ERR_MEMORY);
    assert_string_equal(err.text,
                        "the region's 33554432 bytes are too few for rows 333333 to "
                        "749999 of 128 bytes: 28672 are in use");
    assert_true(region_used(&region) <= region.bytes_max);
    fixture_release(&region);
    region = fixture_region(64 * MIB, 32 * MIB);
    spec = spec_of(1ull << 32, 1, 0);
    assert_int_equal(table_create(&table, &region, 1, &spec, &err), -ERR_INPUT);
    spec = spec_of(100, 1, 0);
    spec.end = 101;
    assert_int_equal(table_create(&table, &region, 1, &spec, &err), -ERR_INPUT);
    fixture_release(&region);
}

/* What the system says that the region takes, against what it counts. */
static void check_memory(const struct region *region, uint64_t unused)
{
    uint64_t maps = region->size / REGION_CHUNK * 72 + 2 * REGION_PAGE;
    struct stat info;
    uint64_t bytes;

    assert_int_equal(fstat(region->fd, &info), 0);
    bytes = (uint64_t)info.st_blocks * 512;
    if (bytes > region_used(region) + maps || bytes + unused < region_used(region))
        fail_msg("%llu bytes taken, %llu counted, %llu of them not touched yet",
                 (unsigned long long)bytes, (unsigned long long)region_used(region),
                 (unsigned long long)unused);
}

/* Sparse and dense tables side by side, the sparse one growing and growing. */
static void test_memory_is_what_is_counted(void **state)
{
    struct table_spec dense = spec_of(400000, 8, 8), sparse = fixture_spec;
    struct region region = {
        .size = 256 * MIB, .bytes_max = 128 * MIB, .fd = memfd_create("test", 0)};
    struct table table, other;
    struct err err;

    (void)state;
    assert_int_equal(ftruncate(region.fd, (off_t)region.size), 0);
    region.base = mmap(NULL, region.size, PROT_READ | PROT_WRITE, MAP_SHARED, region.fd,
                       0);
    assert_true(region.base != MAP_FAILED);
    assert_int_equal(region_format(&region, &err), 0);
    assert_int_equal(table_create(&other, &region, 1, &dense, &err), 0);
    assert_int_equal(table_create(&table, &region, 2, &sparse, &err), 0);
    /* Of the last slab of each, and of the lists of slabs. */
    check_memory(&region, 4 * MIB + 8 * REGION_PAGE);
    for (uint64_t i = 0; i < 300000; i++) {
        uint64_t key = mix64(i);
        float *row;

        assert_int_equal(table_find_or_make(&table, &key, 1, &row), 0);
        if (i % 10000 == 0)
            check_memory(&region, 4 * MIB + 8 * REGION_PAGE);
    }
    close(region.fd);
    munmap(region.base, region.size);
}

/* A process was killed when it had made some of the rows. */
static void test_half_made(void **state)
{
    struct table_spec spec = spec_of(100000, 3, 3);

    (void)state;
    for (uint64_t made = 0; made <= 40000; made += 8000) {
        struct region region = fixture_region(64 * MIB, 32 * MIB);
        struct table table = fixture_table(&region, &spec), again;
        uint64_t used = region_used(&region);
        struct err err;

        for (uint64_t i = made; i < table_rows(&table); i++)
            memset(table_row(&table, i, NULL), 0xff, table.stride);
        table.root->rows = made;
        assert_int_equal(table_open(&again, &region, 1, &spec, &err), 0);
        check_rows(&again);
        assert_int_equal(region_used(&region), used);
        fixture_release(&region);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_rows_are_there),
        cmocka_unit_test(test_no_row_at_all),
        cmocka_unit_test(test_copies),
        cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_half_made),
        cmocka_unit_test(test_memory_is_what_is_counted),
    };

    return cmocka_run_group_tests_name("dense table", tests, NULL, NULL);
}

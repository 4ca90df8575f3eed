#include "tests/unit/table_fixture.h"

/* --- the naive twin -------------------------------------------------------------- */

/* Keys in order of making; look-up by a plain hash of pointers to them. */
struct twin {
    uint64_t *key;
    float **row;
    uint32_t n, size;
    uint32_t *place; /* [size], number + 1 */
};

static struct twin twin_create(uint32_t rows)
{
    uint32_t size = rows * 2;

    return (struct twin){.key = calloc(rows, sizeof(uint64_t)),
                         .row = calloc(rows, sizeof(float *)),
                         .size = size,
                         .place = calloc(size, sizeof(uint32_t))};
}

static void twin_release(struct twin *twin)
{
    free(twin->key);
    free(twin->row);
    free(twin->place);
}

/* Where the key's number is, or is to be. */
static uint32_t *twin_place(struct twin *twin, uint64_t key)
{
    uint32_t at = (uint32_t)(key % twin->size);

    while (twin->place[at] && twin->key[twin->place[at] - 1] != key)
        at = (at + 1) % twin->size;
    return &twin->place[at];
}

/* What table_find() must give. */
static float *twin_find(struct twin *twin, uint64_t key)
{
    uint32_t number = *twin_place(twin, key);

    return number ? twin->row[number - 1] : NULL;
}

/* Sees a row that the table has made for a key. */
static void twin_make(struct twin *twin, uint64_t key, float *row)
{
    uint32_t *place = twin_place(twin, key);

    assert_int_equal(*place, 0);
    twin->key[twin->n] = key;
    twin->row[twin->n] = row;
    *place = ++twin->n;
}

/* Number i of a set of keys: the two ends of the range, small numbers, and any. */
static uint64_t set_key(uint64_t i)
{
    return i < 1000 ? i : i < 2000 ? UINT64_MAX - (i - 1000) : mix64(i);
}

enum { SET = 200000, BATCH_MAX = 3000 };

/* A batch with repetitions: some keys are drawn from a few. */
static uint32_t random_batch(uint64_t round, uint64_t *key)
{
    uint32_t n = (uint32_t)rng_below(rng_at(3, round, 0), 40);

    if (round % 3 == 0)
        n = (uint32_t)rng_below(rng_at(3, round, 0), BATCH_MAX);
    for (uint32_t i = 0; i < n; i++) {
        uint64_t bits = rng_at(4, round, i);

        key[i] = set_key(rng_below(rng_at(5, round, i), bits % 4 ? SET : 20));
    }
    return n;
}

static void make_batch(struct table *table, struct twin *twin, const uint64_t *key,
                       uint32_t n, float **row)
{
    assert_int_equal(table_find_or_make(table, key, n, row), 0);
    for (uint32_t i = 0; i < n; i++) {
        assert_non_null(row[i]);
        if (!twin_find(twin, key[i]))
            twin_make(twin, key[i], row[i]);
        assert_ptr_equal(row[i], twin_find(twin, key[i]));
    }
    assert_int_equal(table_rows(table), twin->n);
}

static void find_batch(const struct table *table, struct twin *twin,
                       const uint64_t *key, uint32_t n, float **row)
{
    table_find(table, key, n, row);
    for (uint32_t i = 0; i < n; i++)
        assert_ptr_equal(row[i], twin_find(twin, key[i]));
}

static void copy_batch(const struct table *table, struct twin *twin,
                       const uint64_t *key, uint32_t n)
{
    static float values[BATCH_MAX * 11], zero[11];
    static unsigned char found[BATCH_MAX];
    size_t bytes = table->spec.width * sizeof(float);

    memset(values, 0xff, sizeof values);
    table_copy(table, key, n, values, found);
    for (uint32_t i = 0; i < n; i++) {
        const float *row = twin_find(twin, key[i]);

        assert_int_equal(found[i], row != NULL);
        assert_memory_equal(values + i * table->spec.width, row ? row : zero, bytes);
    }
}

static void test_random_operations(void **state)
{
    struct region region = fixture_region(512 * MIB, 256 * MIB);
    uint64_t before = region_used(&region);
    struct table table = fixture_table(&region, &fixture_spec);
    struct twin twin = twin_create(SET);
    static uint64_t key[BATCH_MAX];
    static float *row[BATCH_MAX];

    (void)state;
    for (uint64_t round = 0; round < 600; round++) {
        uint32_t n = random_batch(round, key);

        if (round % 2)
            make_batch(&table, &twin, key, n, row);
        else
            find_batch(&table, &twin, key, n, row);
        if (round % 5 == 0)
            copy_batch(&table, &twin, key, n);
    }
    /* All of the set, 0 and 2^64 - 1 among them. */
    for (uint64_t first = 0; first < SET; first += 1000) {
        for (uint32_t i = 0; i < 1000; i++)
            key[i] = set_key(first + i);
        make_batch(&table, &twin, key, 1000, row);
    }
    assert_int_equal(table_rows(&table), SET);
    assert_non_null(twin_find(&twin, 0));
    assert_non_null(twin_find(&twin, UINT64_MAX));
    for (uint64_t i = 0; i < SET; i++) {
        uint64_t stored;

        assert_ptr_equal(table_row(&table, i, &stored), twin.row[i]);
        assert_int_equal(stored, twin.key[i]);
    }
    check_whole(&table, before);
    twin_release(&twin);
    fixture_release(&region);
}

/* --- keys that want the same place ----------------------------------------------- */

/* Keys in one slot, in one home bucket, with one tag: all are kept and found, and
 * others like them that were not made are not. */
static void crowd(uint64_t (*hash)(uint64_t i), uint32_t n)
{
    struct region region = fixture_region(256 * MIB, 128 * MIB);
    uint64_t before = region_used(&region);
    struct table table = fixture_table(&region, &fixture_spec);
    uint64_t *key = calloc(2 * n, sizeof *key);
    float **row = calloc(2 * n, sizeof *row);

    for (uint32_t i = 0; i < 2 * n; i++) {
        key[i] = key_with_hash(fixture_spec.id, hash(i));
        assert_int_equal(key_hash(fixture_spec.id, key[i]), hash(i));
    }
    assert_int_equal(table_find_or_make(&table, key, n, row), 0);
    assert_int_equal(table_rows(&table), n);
    check_whole(&table, before);
    table_find(&table, key + n, n, row);
    for (uint32_t i = 0; i < n; i++)
        assert_null(row[i]);
    assert_int_equal(table_find_or_make(&table, key, 2 * n, row), 0);
    check_whole(&table, before);
    free(key);
    free(row);
    fixture_release(&region);
}

static uint64_t same_slot(uint64_t i)
{
    return 5ull << 54 | mix64(i) >> 10;
}

static uint64_t same_home(uint64_t i)
{
    return 1023ull << 54 | 0xffffffffull << 22 | i;
}

static uint64_t same_tag(uint64_t i)
{
    return 7ull << 54 | 0x12345678ull << 22 | i << 8 | 1;
}

/* The tags 0 and 1 count as the same. */
static uint64_t low_tags(uint64_t i)
{
    return mix64(i) << 8 | (i & 1);
}

static void test_crowds(void **state)
{
    (void)state;
    crowd(same_slot, 30000);
    crowd(same_home, 1000);
    crowd(same_tag, 300);
    crowd(low_tags, 20000);
}

/* --- growth, caps ---------------------------------------------------------------- */

static void test_growth_under_iteration(void **state)
{
    struct region region = fixture_region(256 * MIB, 128 * MIB);
    struct table table = fixture_table(&region, &fixture_spec);
    uint64_t key[2] = {17, 18};
    float *row[2];

    (void)state;
    assert_int_equal(table_find_or_make(&table, key, 2, row), 0);
    for (uint64_t i = 0; i < table_rows(&table) && table_rows(&table) < 50000; i++) {
        uint64_t stored;
        float *at = table_row(&table, i, &stored), *again;

        key[0] = mix64(stored + 1);
        key[1] = mix64(stored + 2);
        assert_int_equal(table_find_or_make(&table, key, 2, row), 0);
        table_find(&table, &stored, 1, &again);
        assert_ptr_equal(at, again);
    }
    assert_in_range(table_rows(&table), 50000, 50001);
    check_whole(&table, 0);
    fixture_release(&region);
}

/* At the cap some of a batch are made, the others NULL, and all that was there stays.
 */
static void fill_up(struct region *region, const struct table_spec *spec,
                    uint64_t rows_least, uint64_t rows_most)
{
    uint64_t before = region_used(region);
    struct table table = fixture_table(region, spec);
    uint64_t key[300], made = 0;
    float *row[300];
    int rc = 0;

    for (uint64_t first = 0; rc == 0; first += 200) {
        for (uint32_t i = 0; i < 300; i++)
            key[i] = mix64(first + i);
        rc = table_find_or_make(&table, key, 300, row);
    }
    assert_int_equal(rc, -ERR_MEMORY);
    for (uint32_t i = 0; i < 300; i++)
        made += row[i] != NULL;
    assert_true(made >= 100 && made < 300);
    assert_true(table_rows(&table) >= rows_least && table_rows(&table) <= rows_most);
    assert_true(region_used(region) <= region->bytes_max);
    for (int again = 0; again < 2; again++) {
        float *found[300];

        table_find(&table, key, 300, found);
        assert_memory_equal(found, row, sizeof row);
        check_whole(&table, before);
        assert_int_equal(table_find_or_make(&table, key, 300, found), -ERR_MEMORY);
    }
}

static void test_caps(void **state)
{
    struct table_spec spec = fixture_spec;
    struct region region = fixture_region(64 * MIB, 16 * MIB);

    (void)state;
    spec.rows_max = spec.rows_share = 12345;
    fill_up(&region, &spec, 12345, 12345);
    fixture_release(&region);

    /* A row takes 96 bytes and about 8 of the index; whole slabs. */
    spec.rows_max = 0;
    region = fixture_region(64 * MIB, 16 * MIB);
    fill_up(&region, &spec, 130000, 16 * MIB / 100);
    fixture_release(&region);

    /* Rows so wide that a slab holds eight. */
    spec.dim = spec.width = spec.state_width = 20000;
    region = fixture_region(256 * MIB, 64 * MIB);
    fill_up(&region, &spec, 350, 64 * MIB / 160000);
    fixture_release(&region);

    /* And so narrow that it is the index that finds no memory. */
    spec.dim = spec.width = 1;
    spec.state_width = 0;
    region = fixture_region(64 * MIB, 4 * MIB);
    fill_up(&region, &spec, 100000, 4 * MIB / 21);
    fixture_release(&region);
}

/* With a thousand rows the 1024 sub-tables share pages. */
static void test_small_table_is_small(void **state)
{
    struct region region = fixture_region(256 * MIB, 128 * MIB);
    struct table table = fixture_table(&region, &fixture_spec);
    uint64_t empty = table_bytes(&table), key;
    float *row;

    (void)state;
    assert_true(empty < 32 << 10);
    for (uint64_t i = 0; i < 1000; i++) {
        key = mix64(i);
        assert_int_equal(table_find_or_make(&table, &key, 1, &row), 0);
    }
    assert_true(table_bytes(&table) - 2 * MIB - empty < 48 << 10);
    for (uint64_t i = 1000; i < 100000; i++) {
        key = mix64(i);
        assert_int_equal(table_find_or_make(&table, &key, 1, &row), 0);
    }
    /* Whole slabs, and for a row 5 bytes of tag and number, and air. */
    assert_in_range(table_bytes(&table) - table.root->slabs * 2 * MIB - empty, 500000,
                    1200000);
    fixture_release(&region);
}

/* Keys come from messages, at any address. */
static void test_unaligned_keys(void **state)
{
    struct region region = fixture_region(64 * MIB, 32 * MIB);
    struct table table = fixture_table(&region, &fixture_spec);
    unsigned char bytes[100 * 8 + 3];
    float *made[100], *found[100];
    uint64_t key[100];

    (void)state;
    for (uint32_t i = 0; i < 100; i++)
        key[i] = mix64(i);
    memcpy(bytes + 3, key, sizeof key);
    assert_int_equal(table_find_or_make(&table, (const void *)(bytes + 3), 100, made),
                     0);
    table_find(&table, key, 100, found);
    assert_memory_equal(made, found, sizeof made);
    fixture_release(&region);
}

/* --- specs, opening -------------------------------------------------------------- */

static void test_impossible_specs(void **state)
{
    struct region region = fixture_region(64 * MIB, 32 * MIB);
    const struct {
        struct table_spec spec;
        const char *says;
    } bad[] = {
        {{.dim = 0, .width = 0}, "0 embedding columns of 0 columns"},
        {{.dim = 5, .width = 4}, "5 embedding columns of 4 columns"},
        {{.dim = 1, .width = TABLE_FLOATS_MAX + 1}, "at most 1048576 floats"},
        {{.dim = 1, .width = 2, .state_width = UINT32_MAX},
         "4294967295 floats of state"},
        {{.dim = 1, .width = 1, .init = 99}, "initialiser number 99 is unknown"},
        {{.dim = 1, .width = 1, .init = -1}, "initialiser number -1"},
        {{.dim = 1, .width = 1, .scale = 1.0f / 0.0f}, "not a finite number"},
        {{.dim = 1, .width = 1, .state_initial = 0.0f / 0.0f}, "not a finite number"},
    };
    uint64_t before = region_used(&region);
    struct table table;
    struct err err;

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(table_create(&table, &region, 1, &bad[i].spec, &err),
                         -ERR_INPUT);
        assert_non_null(strstr(err.text, bad[i].says));
    }
    region.bytes_max = before;
    assert_int_equal(table_create(&table, &region, 1, &fixture_spec, &err),
                     -ERR_MEMORY);
    assert_non_null(strstr(err.text, "a table without rows takes"));
    region.bytes_max = before + 5 * REGION_PAGE; /* its root, no list of slabs */
    assert_int_equal(table_create(&table, &region, 1, &fixture_spec, &err),
                     -ERR_MEMORY);
    assert_int_equal(region_used(&region), before);
    fixture_release(&region);
}

/* The same memory elsewhere, as a new process has it. */
static void test_opened_elsewhere(void **state)
{
    uint64_t size = 64 * MIB;
    int fd = memfd_create("test-table", MFD_CLOEXEC);
    struct region one = {.size = size, .bytes_max = 32 * MIB, .fd = fd}, two;
    struct table table, other;
    uint64_t key[1000];
    float *row[1000];
    struct err err;

    (void)state;
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    one.base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    assert_int_equal(region_format(&one, &err), 0);
    assert_int_equal(table_create(&table, &one, 9, &fixture_spec, &err), 0);
    for (uint32_t i = 0; i < 1000; i++)
        key[i] = mix64(i);
    assert_int_equal(table_find_or_make(&table, key, 700, row), 0);
    row[123][4] = 42.5f;
    two = one;
    two.base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    munmap(one.base, size);

    assert_int_equal(region_open(&two, &err), 0);
    assert_int_equal(table_open(&other, &two, 9, &fixture_spec, &err), 0);
    assert_int_equal(table_rows(&other), 700);
    assert_int_equal(table_find_or_make(&other, key, 1000, row), 0);
    assert_int_equal(table_rows(&other), 1000);
    assert_true(row[123][4] == 42.5f);
    row[123][4] = 0;
    table_first_values(&fixture_spec, key[123], row[123]);
    check_whole(&other, REGION_PAGE);
    munmap(two.base, size);
    close(fd);
}

static void test_opened_wrongly(void **state)
{
    struct region region = fixture_region(64 * MIB, 32 * MIB);
    struct table table = fixture_table(&region, &fixture_spec), other;
    struct table_spec spec = fixture_spec;
    struct err err;

    (void)state;
    assert_int_equal(table_open(&other, &region, 2, &spec, &err), -ERR_DAMAGE);
    assert_string_equal(err.text, "the region has no table under root 2");
#define DIFFERS(field, value, says)                                                    \
    spec = fixture_spec;                                                               \
    spec.field = value;                                                                \
    assert_int_equal(table_open(&other, &region, 1, &spec, &err), -ERR_INPUT);         \
    assert_string_equal(err.text, "the table was made with " says)
    DIFFERS(id, 1, "id = 2, now it is 1");
    DIFFERS(dim, 9, "dim = 10, now it is 9");
    DIFFERS(width, 12, "width = 11, now it is 12");
    DIFFERS(state_width, 0, "state_width = 11, now it is 0");
    DIFFERS(state_initial, 1.0f, "state_initial = 0.25, now it is 1");
    DIFFERS(init, INIT_UNIFORM, "init = 3, now it is 2");
    DIFFERS(scale, 0.25f, "scale = 0.5, now it is 0.25");
    DIFFERS(seed, 78, "seed = 77, now it is 78");
    DIFFERS(rows_max, 5, "rows_max = 0, now it is 5");
#undef DIFFERS
    for (int i = 0; i < 8; i++) { /* its mark */
        unsigned char *root = region_at(&region, region_root(&region, 1));

        root[i] ^= 1;
        assert_int_equal(table_open(&other, &region, 1, &fixture_spec, &err),
                         -ERR_DAMAGE);
        root[i] ^= 1;
    }
    region_set_root(&region, 2, region.size - 64);
    assert_int_equal(table_open(&other, &region, 2, &fixture_spec, &err), -ERR_DAMAGE);
    table.root->rows = table.root->rows_limit + 1;
    assert_int_equal(table_open(&other, &region, 1, &fixture_spec, &err), -ERR_DAMAGE);
    assert_string_equal(err.text, "the table under root 1 contradicts itself");
    fixture_release(&region);
}

/* --- after a death --------------------------------------------------------------- */

/* A process was killed between counting a row and entering it: the row is not there,
 * and is made again at the same place when its key comes up. */
static void test_row_that_was_not_entered(void **state)
{
    struct region region = fixture_region(64 * MIB, 32 * MIB);
    struct table table = fixture_table(&region, &fixture_spec);
    uint64_t key[11];
    float *row[11], *last;
    struct err err;

    (void)state;
    for (uint32_t i = 0; i < 11; i++)
        key[i] = mix64(i);
    assert_int_equal(table_find_or_make(&table, key, 10, row), 0);
    last = (float *)(table_block(&table, 10) + 8);
    memcpy(last - 2, &key[10], sizeof key[10]);
    table.root->rows++;
    assert_int_equal(table_open(&table, &region, 1, &fixture_spec, &err), 0);
    assert_int_equal(table_rows(&table), 10);
    assert_int_equal(table_find_or_make(&table, key, 11, row), 0);
    assert_int_equal(table_rows(&table), 11);
    assert_ptr_equal(row[10], last);
    /* One that was entered stays. */
    assert_int_equal(table_open(&table, &region, 1, &fixture_spec, &err), 0);
    assert_int_equal(table_rows(&table), 11);
    check_whole(&table, REGION_PAGE);
    fixture_release(&region);
}

/* --- dropped rows ------------------------------------------------------------------
 */

static void test_cleared(void **state)
{
    struct region region = fixture_region(512 * MIB, 256 * MIB);
    uint64_t before = region_used(&region), bytes;
    struct table table = fixture_table(&region, &fixture_spec);
    static uint64_t key[BATCH_MAX];
    static float *row[BATCH_MAX];

    (void)state;
    table_clear(&table); /* it has none */
    for (int round = 0; round < 3; round++) {
        for (uint64_t first = 0; first < 30000; first += BATCH_MAX) {
            for (uint32_t i = 0; i < BATCH_MAX; i++)
                key[i] = mix64(first + i + (uint64_t)round * 1000);
            assert_int_equal(table_find_or_make(&table, key, BATCH_MAX, row), 0);
        }
        assert_int_equal(table_rows(&table), 30000);
        check_whole(&table, before);
        bytes = table_bytes(&table);
        table_clear(&table);
        assert_int_equal(table_rows(&table), 0);
        assert_true(table_bytes(&table) == bytes); /* for the next ones */
        table_find(&table, key, BATCH_MAX, row);
        for (uint32_t i = 0; i < BATCH_MAX; i++)
            assert_null(row[i]);
    }
    fixture_release(&region);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_operations),
        cmocka_unit_test(test_crowds),
        cmocka_unit_test(test_growth_under_iteration),
        cmocka_unit_test(test_caps),
        cmocka_unit_test(test_small_table_is_small),
        cmocka_unit_test(test_unaligned_keys),
        cmocka_unit_test(test_impossible_specs),
        cmocka_unit_test(test_opened_elsewhere),
        cmocka_unit_test(test_opened_wrongly),
        cmocka_unit_test(test_row_that_was_not_entered),
        cmocka_unit_test(test_cleared),
    };

    return cmocka_run_group_tests_name("table", tests, NULL, NULL);
}

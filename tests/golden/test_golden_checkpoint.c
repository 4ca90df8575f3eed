/* Checkpoints of every earlier format stay readable: tests/golden/format-N/ holds a
 * small one, and what an export of it must be. Never written again; a new format gets a
 * new directory, made by
 *
 *     build/release/tests/golden/test_golden_checkpoint.t --write tests/golden/format-N
 */
#include "tests/unit/checkpoint_fixture.h"

#include <math.h>

static const char golden[] = "tests/golden/format-1";

static const struct {
    const char *name;
    uint32_t dim, width, state_width, rows;
} tables[2] = {{"user", 4, 5, 5, 30}, {"item", 3, 3, 0, 21}};

enum { SERVERS = 2 };

static uint64_t golden_key(uint32_t table, uint32_t i)
{
    static const uint64_t ends[] = {0, UINT64_MAX, 1, 1ull << 63};

    return i < 4 ? ends[i] : (i + 1) * 1000003ull * (table + 1) << (i % 40);
}

/* Float f of row i: plain values, and some that text or arithmetic would lose. */
static float golden_value(uint32_t table, uint32_t i, uint32_t f)
{
    static const float odd[] = {-0.0f, 1e-42f, INFINITY, -INFINITY, 16777217.0f, 0.1f};

    if (f == 0 && i < sizeof odd / sizeof *odd)
        return odd[i];
    if (f == 9)
        return NAN; /* in the optimizer's state, which no export shows */
    return ((float)f - 2.5f) / (float)(i + 3) + (float)table;
}

/* --- reading --------------------------------------------------------------------- */

struct seen {
    uint32_t rows[2];
};

static int see_table(void *context, uint32_t index, const struct shard_table *table,
                     struct err *err)
{
    (void)context;
    (void)err;
    assert_string_equal(table->name, tables[index].name);
    assert_int_equal(table->id, index);
    assert_int_equal(table->dim, tables[index].dim);
    assert_int_equal(table->width, tables[index].width);
    assert_int_equal(table->state_width, tables[index].state_width);
    return 0;
}

static int see_rows(void *context, uint32_t index, const unsigned char *block,
                    uint32_t n, struct err *err)
{
    struct seen *seen = context;
    uint32_t floats = tables[index].width + tables[index].state_width;

    (void)err;
    for (uint32_t r = 0; r < n; r++, block += 8 + 4 * floats) {
        uint32_t i = 0;
        uint64_t key;

        memcpy(&key, block, 8);
        while (i < tables[index].rows && golden_key(index, i) != key)
            i++;
        assert_true(i < tables[index].rows);
        for (uint32_t f = 0; f < floats; f++) {
            float value = golden_value(index, i, f);

            assert_memory_equal(block + 8 + 4 * f, &value, 4); /* NaN and -0, too */
        }
    }
    seen->rows[index] += n;
    return 0;
}

static void test_manifest(void **context)
{
    struct manifest *m = calloc(1, sizeof *m);
    struct err err = {0};

    (void)context;
    if (manifest_read(golden, m, &err))
        fail_msg("%s", err.text);
    assert_int_equal(m->number, 3);
    assert_string_equal(m->job, "golden");
    assert_string_equal(m->settings, "name=golden\ntrain.epochs=4\n");
    assert_string_equal(m->version, "0.1.0");
    assert_int_equal(m->written, 1750000000);
    assert_int_equal(m->epoch, 1);
    assert_int_equal(m->clock, 123456789012345);
    assert_int_equal(m->ranges, 2);
    assert_int_equal(m->range[0].first, 1000);
    assert_int_equal(m->range[0].end, 5000000000);
    assert_int_equal(m->range[1].first, 6000000000);
    assert_int_equal(m->range[1].end, 6000000001);
    assert_int_equal(m->data.train_examples, 7000000000);
    assert_int_equal(m->data.test_examples, 12);
    assert_true(m->data.digest == 0xfedcba9876543210);
    assert_true(m->data.label_mean == 3.25);
    assert_true(m->seconds == 60.125);
    assert_int_equal(m->tables, 2);
    assert_int_equal(m->shards, SERVERS);
    manifest_release(m);
    free(m);
}

static void test_rows(void **context)
{
    struct manifest *m = calloc(1, sizeof *m);
    struct seen seen = {0};
    const struct shard_visitor visitor = {see_table, see_rows, &seen};
    struct err err = {0};

    (void)context;
    if (manifest_read(golden, m, &err) || checkpoint_read(golden, m, &visitor, &err))
        fail_msg("%s", err.text);
    assert_int_equal(seen.rows[0], tables[0].rows);
    assert_int_equal(seen.rows[1], tables[1].rows);
    manifest_release(m);
    free(m);
}

static void assert_same_file(const char *path, const char *expected)
{
    size_t size, expected_size;
    unsigned char *bytes = fixture_load(path, &size);
    unsigned char *expected_bytes = fixture_load(expected, &expected_size);

    if (size != expected_size || memcmp(bytes, expected_bytes, size) != 0)
        fail_msg("%s is not as %s", path, expected);
    free(bytes);
    free(expected_bytes);
}

static void test_export(void **context)
{
    (void)context;
    for (uint32_t t = 0; t < 2; t++) {
        struct fixture fixture;
        struct err err = {0};
        char name[64];

        fixture_dir(&fixture);
        snprintf(name, sizeof name, "%s.csv", tables[t].name);
        if (checkpoint_export(golden, tables[t].name, "csv",
                              fixture_path(fixture.dir, name), &err))
            fail_msg("%s", err.text);
        assert_same_file(fixture_path(fixture.dir, name), fixture_path(golden, name));
        fixture_remove_dir(fixture.dir);
    }
}

/* --- writing --------------------------------------------------------------------- */

/* Makes the table's rows that belong to a server. */
static void make_rows(struct table *made, uint32_t t, uint32_t server)
{
    for (uint32_t i = 0; i < tables[t].rows; i++) {
        uint64_t key = golden_key(t, i);
        float *row;

        if (slot_owner(key_slot(t, key), SERVERS) != server)
            continue;
        assert_int_equal(table_find_or_make(made, &key, 1, &row), 0);
        for (uint32_t f = 0; f < tables[t].width + tables[t].state_width; f++)
            row[f] = golden_value(t, i, f);
    }
}

static void write_server(const char *dir, uint32_t server, struct manifest *m)
{
    struct fixture_spec spec[2];
    struct fixture fixture;
    struct err err = {0};

    for (uint32_t t = 0; t < 2; t++)
        spec[t] = (struct fixture_spec){tables[t].name, tables[t].dim, tables[t].width,
                                        tables[t].state_width, 0};
    fixture_tables(&fixture, spec, 2, server, SERVERS);
    shard_name(server, SERVERS, m->shard[server].file);
    for (uint32_t t = 0; t < 2; t++) {
        make_rows(&fixture.table[t], t, server);
        strcpy(m->table[t].name, tables[t].name);
        m->table[t].id = t;
        m->table[t].dim = tables[t].dim;
        m->table[t].width = tables[t].width;
        m->table[t].state_width = tables[t].state_width;
        m->table[t].rows += table_rows(&fixture.table[t]);
    }
    if (shard_write(fixture_path(dir, m->shard[server].file), server, SERVERS,
                    fixture.list, fixture.name, 2, &m->shard[server].facts, &err))
        fail_msg("%s", err.text);
    fixture_drop_tables(&fixture);
}

static void write_golden(const char *dir)
{
    struct manifest *m = calloc(1, sizeof *m);
    struct err err = {0};

    m->number = 3;
    strcpy(m->job, "golden");
    m->settings = strdup("name=golden\ntrain.epochs=4\n");
    strcpy(m->version, "0.1.0");
    m->written = 1750000000;
    m->epoch = 1;
    m->clock = 123456789012345;
    m->ranges = 2;
    m->range[0] = (struct range){1000, 5000000000};
    m->range[1] = (struct range){6000000000, 6000000001};
    m->data = (struct data_facts){.train_examples = 7000000000,
                                  .test_examples = 12,
                                  .digest = 0xfedcba9876543210,
                                  .label_mean = 3.25};
    m->seconds = 60.125;
    m->tables = 2;
    m->shards = SERVERS;
    for (uint32_t s = 0; s < SERVERS; s++)
        write_server(dir, s, m);
    if (manifest_write(dir, m, &err))
        fail_msg("%s", err.text);
    manifest_release(m);
    free(m);
}

/* Format 1 is still what is written, byte for byte: a change of layout without a new
 * number would make files that older programs misread. */
static void test_written_the_same(void **context)
{
    static const char *const files[] = {"shard-000-of-002", "shard-001-of-002"};
    struct fixture fixture;

    (void)context;
    fixture_dir(&fixture);
    write_golden(fixture.dir);
    for (int i = 0; i < 2; i++)
        assert_same_file(fixture_path(fixture.dir, files[i]),
                         fixture_path(golden, files[i]));
    fixture_remove_dir(fixture.dir);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_manifest),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_export),
        cmocka_unit_test(test_written_the_same),
    };

    if (argc == 3 && strcmp(argv[1], "--write") == 0) {
        struct err err;

        write_golden(argv[2]);
        for (uint32_t t = 0; t < 2; t++) {
            char path[1024];

            snprintf(path, sizeof path, "%s/%s.csv", argv[2], tables[t].name);
            if (checkpoint_export(argv[2], tables[t].name, "csv", path, &err))
                fail_msg("%s", err.text);
        }
        return 0;
    }
    return cmocka_run_group_tests_name("golden checkpoint", tests, NULL, NULL);
}

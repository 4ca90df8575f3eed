/* One table as CSV or NumPy: sorted, exact, whole or absent. */
#include "tests/unit/checkpoint_fixture.h"
#include "tests/unit/fault_calls.h"

#include <dirent.h>

#include "server/checkpoint.h"

/* The bias column of `user`; two columns behind the embedding of `item`. */
static const struct fixture_spec films[] = {{"user", 2, 3, 3, 40},
                                            {"item", 3, 5, 0, 30}};

struct state {
    char root[256]; /* to be removed */
    char dir[300];  /* of checkpoints */
    char path[400]; /* of checkpoint 7, of two servers */
};

static int set_up(void **context)
{
    struct state *s = calloc(1, sizeof *s);
    struct fixture fixture;

    fixture_dir(&fixture);
    snprintf(s->root, sizeof s->root, "%s", fixture.dir);
    snprintf(s->dir, sizeof s->dir, "%s/runs/films", s->root);
    fixture_checkpoint(s->dir, 7, 2, films, 2, s->path, sizeof s->path);
    *context = s;
    return 0;
}

static int tear_down(void **context)
{
    struct state *s = *context;

    fixture_remove_dir(s->root);
    free(s);
    return 0;
}

static int count_files(const char *dir)
{
    DIR *stream = opendir(dir);
    struct dirent *entry;
    int n = 0;

    if (!stream)
        return -1;
    while ((entry = readdir(stream)))
        n += entry->d_name[0] != '.';
    closedir(stream);
    return n;
}

static int by_key(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static void sorted_keys(uint32_t table, uint64_t *key)
{
    for (uint64_t i = 0; i < films[table].rows; i++)
        key[i] = fixture_key(table, i);
    qsort(key, films[table].rows, sizeof *key, by_key);
}

static int export(const struct state *s, const char *table, const char *format,
                  const char *name, struct err *err)
{
    return checkpoint_export(s->dir, table, format, fixture_path(s->root, name), err);
}

static void test_csv(void **context)
{
    struct state *s = *context;
    uint64_t key[40];
    struct err err;
    char line[1000];
    FILE *file;

    assert_int_equal(export(s, "user", "csv", "out.csv", &err), 0);
    sorted_keys(0, key);
    assert_true(key[0] == 0 && key[39] == UINT64_MAX);
    file = fopen(fixture_path(s->root, "out.csv"), "r");
    assert_non_null(fgets(line, sizeof line, file));
    assert_string_equal(line, "key,v0,v1,bias\n");
    for (int i = 0; i < 40; i++) {
        char *at;

        assert_non_null(fgets(line, sizeof line, file));
        assert_true(strtoull(line, &at, 10) == key[i]);
        for (uint32_t f = 0; f < 3; f++) {
            assert_int_equal(*at++, ',');
            assert_true(strtof(at, &at) == fixture_value(0, key[i], f));
        }
        assert_int_equal(*at, '\n');
    }
    assert_null(fgets(line, sizeof line, file));
    fclose(file);
    assert_int_equal(export(s, "item", "csv", "item.csv", &err), 0);
    file = fopen(fixture_path(s->root, "item.csv"), "r");
    assert_non_null(fgets(line, sizeof line, file));
    assert_string_equal(line, "key,v0,v1,v2,bias0,bias1\n");
    fclose(file);
    assert_int_equal(count_files(s->root), 3); /* runs and two exports */
}

static void test_npy(void **context)
{
    struct state *s = *context;
    static const char header[] = "\x93NUMPY\x01\0v\0{'descr': '<f4', 'fortran_order': "
                                 "False, 'shape': (40, 3), }";
    static const char keys_header[] = "\x93NUMPY\x01\0v\0{'descr': '<u8', "
                                      "'fortran_order': False, 'shape': (40,), }";
    uint64_t key[40];
    struct err err;
    size_t size;
    unsigned char *bytes;

    assert_int_equal(export(s, "user", "npy", "out.npy", &err), 0);
    sorted_keys(0, key);
    bytes = fixture_load(fixture_path(s->root, "out.npy"), &size);
    assert_int_equal(size, 128 + 40 * 12);
    assert_memory_equal(bytes, header, sizeof header - 1);
    for (size_t i = sizeof header - 1; i < 127; i++)
        assert_int_equal(bytes[i], ' ');
    assert_int_equal(bytes[127], '\n');
    for (int i = 0; i < 120; i++) {
        float value;

        memcpy(&value, bytes + 128 + 4 * i, 4);
        assert_true(value == fixture_value(0, key[i / 3], (uint32_t)i % 3));
    }
    free(bytes);
    bytes = fixture_load(fixture_path(s->root, "out.keys.npy"), &size);
    assert_int_equal(size, 128 + 40 * 8);
    assert_memory_equal(bytes, keys_header, sizeof keys_header - 1);
    assert_memory_equal(bytes + 128, key, sizeof key);
    free(bytes);
    assert_int_equal(count_files(s->root), 3);
}

/* Two checkpoints of the same rows from other numbers of servers: the same file. */
static void test_export_is_stable(void **context)
{
    struct state *s = *context;
    struct err err;
    char path[400], other[400];
    size_t size, other_size;
    unsigned char *bytes, *other_bytes;

    assert_int_equal(export(s, "item", "csv", "two.csv", &err), 0);
    fixture_checkpoint(s->dir, 8, 3, films, 2, path, sizeof path);
    assert_int_equal(export(s, "item", "csv", "three.csv", &err), 0);
    snprintf(path, sizeof path, "%s/two.csv", s->root);
    snprintf(other, sizeof other, "%s/three.csv", s->root);
    bytes = fixture_load(path, &size);
    other_bytes = fixture_load(other, &other_size);
    assert_int_equal(size, other_size);
    assert_memory_equal(bytes, other_bytes, size);
    free(bytes);
    free(other_bytes);
}

static void test_export_refused(void **context)
{
    struct state *s = *context;
    struct err err;
    size_t size;

    assert_int_equal(export(s, "film", "csv", "out.csv", &err), -ERR_INPUT);
    assert_text(err.text, "has no table 'film'; it has: user, item");
    assert_int_equal(export(s, "user", "xml", "out.csv", &err), -ERR_INPUT);
    assert_text(err.text, "the format must be csv or npy, got 'xml'");
    assert_int_equal(export(s, "user", "npy", "out.csv", &err), -ERR_INPUT);
    assert_text(err.text, "must be called X.npy, got ");
    assert_int_equal(checkpoint_export(s->dir, "user", "csv", "", &err), -ERR_INPUT);
    assert_int_equal(
        checkpoint_export(s->root, "user", "csv", fixture_path(s->root, "x"), &err),
        -ERR_INPUT);

    fixture_store(fixture_path(s->root, "taken"), "mine", 4);
    assert_int_equal(export(s, "user", "csv", "taken", &err), -ERR_INPUT);
    assert_text(err.text, "taken exists already");
    free(fixture_load(fixture_path(s->root, "taken"), &size));
    assert_int_equal(size, 4);
    fixture_store(fixture_path(s->root, "a.keys.npy"), "mine", 4);
    assert_int_equal(export(s, "user", "npy", "a.npy", &err), -ERR_INPUT);
    assert_text(err.text, "a.keys.npy exists already");
    assert_int_equal(symlink("/nowhere", fixture_path(s->root, "link")), 0);
    assert_int_equal(export(s, "user", "csv", "link", &err), -ERR_INPUT);
    assert_int_equal(count_files(s->root), 4);
}

/* Nothing stays behind of an export that failed, and no half of two files. */
static void test_export_fails(void **context)
{
    struct state *s = *context;
    static const struct {
        enum fault_call call;
        int nth, error, code;
    } cases[] = {
        {FAULT_WRITE, 1, ENOSPC, ERR_SYSTEM},
        {FAULT_WRITE, 2, ENOSPC, ERR_SYSTEM},
        {FAULT_FSYNC, 2, EIO, ERR_SYSTEM},
        {FAULT_RENAME_NEW, 1, EACCES, ERR_SYSTEM},
        {FAULT_RENAME_NEW, 2, EEXIST, ERR_INPUT},
    };
    struct err err;

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        int rc;

        fault_arm(cases[i].call, cases[i].nth, cases[i].error);
        rc = export(s, "user", "npy", "out.npy", &err);
        assert_true(fault_disarm());
        assert_int_equal(rc, -cases[i].code);
        assert_text(err.text, s->root);
        assert_int_equal(count_files(s->root), 1);
    }
    /* A file system that cannot rename without replacing. */
    fault_arm(FAULT_RENAME_NEW, 1, EINVAL);
    assert_int_equal(export(s, "user", "npy", "out.npy", &err), 0);
    assert_true(fault_disarm());
    assert_int_equal(count_files(s->root), 3);
    assert_int_equal(export(s, "user", "csv", "no/such/dir.csv", &err), -ERR_SYSTEM);
}

static void test_export_of_damage(void **context)
{
    struct state *s = *context;
    struct manifest *m = calloc(1, sizeof *m);
    struct fixture part;
    struct err err;
    char path[500];

    /* Both servers wrote the same rows: each file is fine in itself. */
    assert_int_equal(manifest_read(s->path, m, &err), 0);
    fixture_tables(&part, films, 2, 0, 2);
    snprintf(path, sizeof path, "%s/shard-001-of-002", s->path);
    assert_int_equal(
        shard_write(path, 1, 2, part.list, part.name, 2, &m->shard[1].facts, &err), 0);
    for (uint32_t t = 0; t < 2; t++)
        m->table[t].rows = 2 * table_rows(&part.table[t]);
    fixture_drop_tables(&part);
    assert_int_equal(manifest_write(s->path, m, &err), 0);
    assert_int_equal(export(s, "user", "csv", "out.csv", &err), -ERR_DAMAGE);
    assert_text(err.text, "of table user is in it twice");

    /* A manifest that asks for more memory than there is. */
    m->table[0].rows += 1ull << 50;
    m->shard[0].facts.rows += 1ull << 50;
    assert_int_equal(manifest_write(s->path, m, &err), 0);
    assert_int_equal(export(s, "user", "csv", "out.csv", &err), -ERR_DAMAGE);
    assert_text(err.text, "are too small for the");
    /* One that promises fewer rows than come. */
    m->table[0].rows = m->table[1].rows = 1;
    m->shard[0].facts.rows = m->shard[1].facts.rows = 1;
    assert_int_equal(manifest_write(s->path, m, &err), 0);
    assert_int_equal(export(s, "user", "csv", "out.csv", &err), -ERR_DAMAGE);
    assert_text(err.text, "more rows of the table than the manifest says");

    unlink(path);
    assert_int_equal(export(s, "user", "csv", "out.csv", &err), -ERR_DAMAGE);
    assert_text(err.text, "shard-001-of-002 is missing");
    assert_int_equal(count_files(s->root), 1);
    manifest_release(m);
    free(m);
}

/* A table that nobody touched. */
static void test_export_empty(void **context)
{
    struct state *s = *context;
    static const struct fixture_spec none = {"none", 1, 1, 0, 0};
    struct err err;
    char path[400];
    size_t size;
    unsigned char *bytes;

    fixture_checkpoint(s->dir, 8, 1, &none, 1, path, sizeof path);
    assert_int_equal(export(s, "none", "csv", "out.csv", &err), 0);
    bytes = fixture_load(fixture_path(s->root, "out.csv"), &size);
    assert_int_equal(size, 7);
    assert_memory_equal(bytes, "key,v0\n", 7);
    free(bytes);
    assert_int_equal(export(s, "none", "npy", "out.npy", &err), 0);
    bytes = fixture_load(fixture_path(s->root, "out.npy"), &size);
    assert_int_equal(size, 128);
    free(bytes);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_csv),
        TEST(test_npy),
        TEST(test_export_is_stable),
        TEST(test_export_refused),
        TEST(test_export_fails),
        TEST(test_export_of_damage),
        TEST(test_export_empty),
    };

    return cmocka_run_group_tests_name("checkpoint export", tests, NULL, NULL);
}

/* Directories of checkpoints: what is whole is found, what is broken is cleared away,
 * what is foreign stays; and the commands that show one to people. */
#include "tests/unit/checkpoint_fixture.h"
#include "tests/unit/fault_calls.h"

#include <dirent.h>
#include <inttypes.h>
#include <jansson.h>

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

/* A directory of checkpoint `number` as a broken attempt leaves it. */
static void break_off(const struct state *s, uint64_t number)
{
    char path[400];
    struct err err;

    assert_int_equal(checkpoint_begin(s->dir, number, path, sizeof path, &err), 0);
    fixture_store(fixture_path(path, "shard-000-of-002"), "half", 4);
}

/* As many bytes as a manifest needs here: none. */
static void finish(const struct state *s, uint64_t number)
{
    char name[64];

    break_off(s, number);
    snprintf(name, sizeof name, "checkpoint-%010" PRIu64 "/manifest", number);
    fixture_store(fixture_path(s->dir, name), "", 0);
}

static bool there(const struct state *s, uint64_t number)
{
    char name[64];

    snprintf(name, sizeof name, "checkpoint-%010" PRIu64, number);
    return fixture_exists(fixture_path(s->dir, name));
}

/* --- reading --------------------------------------------------------------------- */

struct seen {
    uint32_t tables;
    uint64_t rows[2];
    uint64_t sum[2]; /* of the keys */
};

static int see_table(void *context, uint32_t index, const struct shard_table *table,
                     struct err *err)
{
    struct seen *seen = context;

    (void)err;
    assert_string_equal(table->name, films[index].name);
    seen->tables++;
    return 0;
}

static int see_rows(void *context, uint32_t index, const unsigned char *block,
                    uint32_t n, struct err *err)
{
    struct seen *seen = context;
    uint32_t floats = films[index].width + films[index].state_width;

    (void)err;
    for (uint32_t i = 0; i < n; i++, block += 8 + 4 * floats) {
        uint64_t key;
        float last;

        memcpy(&key, block, 8);
        memcpy(&last, block + 4 + 4 * floats, 4);
        assert_true(last == fixture_value(index, key, floats - 1));
        seen->sum[index] += key;
    }
    seen->rows[index] += n;
    return 0;
}

static int read_all(const char *path, struct seen *seen, struct err *err)
{
    const struct shard_visitor visitor = {see_table, see_rows, seen};
    struct manifest *m = calloc(1, sizeof *m);
    int rc = manifest_read(path, m, err);

    if (rc == 0)
        rc = checkpoint_read(path, m, seen ? &visitor : NULL, err);
    manifest_release(m);
    free(m);
    return rc;
}

/* --- finding --------------------------------------------------------------------- */

static void test_find(void **context)
{
    struct state *s = *context;
    char found[400], wanted[400];
    struct err err;

    assert_int_equal(checkpoint_find(s->path, found, sizeof found, &err), 0);
    assert_string_equal(found, s->path);
    assert_int_equal(checkpoint_find(s->dir, found, sizeof found, &err), 0);
    assert_string_equal(found, s->path);

    finish(s, 12);
    finish(s, 9);
    break_off(s, 13);
    fixture_store(fixture_path(s->dir, "checkpoint-0000000099"), "a file", 6);
    mkdir(fixture_path(s->dir, "checkpoint-99"), 0700);
    fixture_store(fixture_path(s->dir, "checkpoint-99/manifest"), "", 0);
    assert_int_equal(checkpoint_newest(s->dir), 12);
    assert_int_equal(checkpoint_find(s->dir, found, sizeof found, &err), 0);
    snprintf(wanted, sizeof wanted, "%s/checkpoint-0000000012", s->dir);
    assert_string_equal(found, wanted);

    assert_int_equal(checkpoint_find(s->dir, found, 20, &err), -ERR_INPUT);
    assert_text(err.text, "too long");
    assert_int_equal(checkpoint_find(s->path, found, 20, &err), -ERR_INPUT);
    assert_text(err.text, "too long");
}

static void test_find_nothing(void **context)
{
    struct state *s = *context;
    char found[400];
    struct err err;

    break_off(s, 9);
    assert_int_equal(checkpoint_newest(s->root), 0);
    assert_int_equal(checkpoint_newest("/nowhere/at/all"), 0);
    assert_int_equal(checkpoint_newest(""), 0);
    assert_int_equal(checkpoint_find(s->root, found, sizeof found, &err), -ERR_INPUT);
    assert_text(err.text, "there is no whole checkpoint in");
    assert_int_equal(checkpoint_find("/nowhere", found, sizeof found, &err),
                     -ERR_INPUT);
    assert_string_equal(
        err.text, "there is no checkpoint at /nowhere: No such file or directory");
    assert_int_equal(checkpoint_find("", found, sizeof found, &err), -ERR_INPUT);
    assert_int_equal(
        checkpoint_find(fixture_path(s->path, "manifest"), found, sizeof found, &err),
        -ERR_INPUT);
    assert_text(err.text, "is a file, not the directory of a checkpoint");
    assert_int_equal(checkpoint_find(fixture_path(s->dir, "checkpoint-0000000009"),
                                     found, sizeof found, &err),
                     -ERR_INPUT);
    assert_text(err.text, "checkpoint-0000000009 is not a whole checkpoint: it has no "
                          "manifest");
}

/* --- making and removing --------------------------------------------------------- */

static void test_begin(void **context)
{
    struct state *s = *context;
    char path[400], deep[400];
    struct err err;

    snprintf(deep, sizeof deep, "%s/a/b/c", s->root);
    assert_int_equal(checkpoint_begin(deep, 1, path, sizeof path, &err), 0);
    assert_text(path, "/a/b/c/checkpoint-0000000001");
    assert_int_equal(count_files(path), 0);

    /* Left-overs go, what is foreign stays. */
    fixture_store(fixture_path(path, "shard-000-of-003"), "x", 1);
    fixture_store(fixture_path(path, "manifest.123-0.tmp"), "x", 1);
    fixture_store(fixture_path(path, "probe.tmp"), "x", 1);
    fixture_store(fixture_path(path, "notes.txt"), "x", 1);
    fixture_store(fixture_path(path, "shard-notes"), "x", 1);
    fixture_store(fixture_path(path, "mine.tmp"), "x", 1);
    assert_int_equal(checkpoint_begin(deep, 1, path, sizeof path, &err), 0);
    assert_int_equal(count_files(path), 3);
    assert_true(fixture_exists(fixture_path(path, "notes.txt")));
    assert_true(fixture_exists(fixture_path(path, "shard-notes")));
    assert_true(fixture_exists(fixture_path(path, "mine.tmp")));
}

static void test_begin_refused(void **context)
{
    struct state *s = *context;
    char path[400];
    struct err err;

    assert_int_equal(checkpoint_begin(s->dir, 7, path, sizeof path, &err), -ERR_INPUT);
    assert_text(err.text, "checkpoint-0000000007 exists already");
    assert_int_equal(read_all(s->path, NULL, &err), 0);
    assert_int_equal(checkpoint_begin(s->dir, 0, path, sizeof path, &err), -ERR_INPUT);
    assert_int_equal(checkpoint_begin("", 1, path, sizeof path, &err), -ERR_INPUT);
    assert_int_equal(checkpoint_begin(s->dir, 8, path, 30, &err), -ERR_INPUT);
    assert_int_equal(
        checkpoint_begin(fixture_path(s->path, "manifest"), 8, path, sizeof path, &err),
        -ERR_SYSTEM);
    assert_text(err.text, "manifest");
    /* A directory that takes no file. */
    mkdir(fixture_path(s->dir, "checkpoint-0000000008"), 0700);
    mkdir(fixture_path(s->dir, "checkpoint-0000000008/probe.tmp"), 0700);
    assert_int_equal(checkpoint_begin(s->dir, 8, path, sizeof path, &err), -ERR_SYSTEM);
    assert_text(err.text, "cannot write into ");
    fault_arm(FAULT_FSYNC, 1, EIO);
    assert_int_equal(checkpoint_begin(s->dir, 9, path, sizeof path, &err), -ERR_SYSTEM);
    assert_true(fault_disarm());
}

static void test_remove(void **context)
{
    struct state *s = *context;
    char link[400];

    /* Through a symbolic link nothing is removed. */
    snprintf(link, sizeof link, "%s/checkpoint-0000000003", s->dir);
    assert_int_equal(symlink(s->path, link), 0);
    checkpoint_remove(link);
    assert_int_equal(count_files(s->path), 3);

    fixture_store(fixture_path(s->path, "notes.txt"), "x", 1);
    checkpoint_remove(s->path);
    assert_int_equal(count_files(s->path), 1);
    assert_true(fixture_exists(fixture_path(s->path, "notes.txt")));
    unlink(fixture_path(s->path, "notes.txt"));
    checkpoint_remove(s->path);
    assert_false(fixture_exists(s->path));
    checkpoint_remove(s->path);
}

static void test_prune(void **context)
{
    struct state *s = *context;

    for (uint64_t i = 8; i <= 12; i++)
        finish(s, i);
    break_off(s, 6);
    break_off(s, 13);
    mkdir(fixture_path(s->dir, "checkpoint-0000000002"), 0700);
    fixture_store(fixture_path(s->dir, "checkpoint-0000000002/notes.txt"), "x", 1);
    mkdir(fixture_path(s->dir, "checkpoint-5"), 0700);
    fixture_store(fixture_path(s->dir, "checkpoint-0000000005"), "x", 1);

    checkpoint_prune(s->dir, 3, 0);
    for (uint64_t i = 6; i <= 13; i++) {
        if (there(s, i) != (i >= 10))
            fail_msg("checkpoint %d", (int)i);
    }
    assert_true(
        fixture_exists(fixture_path(s->dir, "checkpoint-0000000002/notes.txt")));
    assert_true(fixture_exists(fixture_path(s->dir, "checkpoint-5")));
    assert_true(there(s, 5)); /* a file, not ours */

    checkpoint_prune(s->dir, 1, 10); /* the best is kept, however old */
    assert_true(there(s, 10) && !there(s, 11) && there(s, 12));
    checkpoint_prune(s->dir, 0, 0); /* the newest is never removed */
    assert_true(!there(s, 10) && there(s, 12) && there(s, 13));
    checkpoint_prune("/nowhere", 1, 0);
}

static void test_prune_only_broken(void **context)
{
    struct state *s = *context;

    checkpoint_remove(s->path);
    break_off(s, 3);
    break_off(s, 4);
    checkpoint_prune(s->dir, 1, 0); /* nothing whole: one of them may be under way */
    assert_true(there(s, 3) && there(s, 4));
}

/* --- reading what is there, and what is not the right thing ---------------------- */

/* The rows are the same however many servers wrote them. */
static void test_read(void **context)
{
    struct state *s = *context;
    uint64_t sum[2] = {0, 0};

    for (uint32_t t = 0; t < 2; t++) {
        for (uint64_t i = 0; i < films[t].rows; i++)
            sum[t] += fixture_key(t, i);
    }
    for (uint32_t servers = 1; servers <= 5; servers++) {
        struct seen seen = {0};
        struct err err;
        char path[400];

        fixture_checkpoint(s->dir, 20 + servers, servers, films, 2, path, sizeof path);
        if (read_all(path, &seen, &err))
            fail_msg("%s", err.text);
        assert_int_equal(seen.tables, 2 * servers);
        assert_true(seen.rows[0] == 40 && seen.rows[1] == 30);
        assert_true(seen.sum[0] == sum[0] && seen.sum[1] == sum[1]);
        assert_int_equal(read_all(path, NULL, &err), 0);
    }
}

static void expect_damage(const char *path, const char *part)
{
    struct err err = {0};
    FILE *out = fopen("/dev/null", "w");
    int rc = checkpoint_verify(path, out, &err);

    if (rc != -ERR_DAMAGE)
        fail_msg("expecting '%s', got %d: %s", part, rc, err.text);
    assert_text(err.text, part);
    assert_text(err.text, path);
    assert_int_equal(read_all(path, NULL, &err), -ERR_DAMAGE);
    fclose(out);
}

static void copy_file(const char *from, const char *to)
{
    size_t size;
    unsigned char *bytes = fixture_load(from, &size);

    fixture_store(to, bytes, size);
    free(bytes);
}

static void test_wrong_files(void **context)
{
    struct state *s = *context;
    char first[500], second[500], other[400];
    struct fixture_spec more[2] = {films[0], films[1]};

    snprintf(first, sizeof first, "%s/shard-000-of-002", s->path);
    snprintf(second, sizeof second, "%s/shard-001-of-002", s->path);

    /* A shard of another server, then of another checkpoint of the same tables. */
    copy_file(first, second);
    expect_damage(s->path, "shard-001-of-002 does not belong to its manifest");
    more[0].rows++;
    fixture_checkpoint(s->dir, 30, 2, more, 2, other, sizeof other);
    copy_file(fixture_path(other, "shard-001-of-002"), second);
    copy_file(fixture_path(other, "shard-000-of-002"), first);
    expect_damage(s->path, "does not belong to its manifest");
    /* Of other tables. */
    more[0].state_width--;
    checkpoint_remove(other);
    fixture_checkpoint(s->dir, 30, 2, more, 2, other, sizeof other);
    copy_file(fixture_path(other, "shard-000-of-002"), first);
    expect_damage(s->path,
                  "shard-000-of-002 does not belong to its manifest: its table 0");
    checkpoint_remove(other);
    fixture_checkpoint(s->dir, 30, 1, films, 2, other, sizeof other);
    copy_file(fixture_path(other, "shard-000-of-001"), first);
    expect_damage(s->path,
                  "shard-000-of-002 does not belong to its manifest: it has 70");

    unlink(first);
    expect_damage(s->path, "shard-000-of-002 is missing");
}

/* Fewer or more tables in a shard than in the manifest. */
static void test_wrong_tables(void **context)
{
    struct state *s = *context;
    char path[400], other[400];

    fixture_checkpoint(s->dir, 30, 1, films, 1, path, sizeof path);
    fixture_checkpoint(s->dir, 31, 1, films, 2, other, sizeof other);
    copy_file(fixture_path(other, "shard-000-of-001"),
              fixture_path(path, "shard-000-of-001"));
    expect_damage(path,
                  "shard-000-of-001 does not belong to its manifest: its table 1");
    checkpoint_remove(path);
    fixture_checkpoint(s->dir, 30, 1, films, 1, path, sizeof path);
    copy_file(fixture_path(path, "shard-000-of-001"),
              fixture_path(other, "shard-000-of-001"));
    expect_damage(other, "shard-000-of-001 does not belong to its manifest: it has 40");
}

/* Shards that are as the manifest says, which counts the rows of tables otherwise. */
static void test_wrong_rows(void **context)
{
    struct state *s = *context;
    struct manifest *m = calloc(1, sizeof *m);
    struct err err;

    assert_int_equal(manifest_read(s->path, m, &err), 0);
    m->table[0].rows--;
    m->table[1].rows++;
    assert_int_equal(manifest_write(s->path, m, &err), 0);
    expect_damage(s->path,
                  "manifest is damaged: table user has 39 rows, its shards have 40");
    manifest_release(m);
    free(m);
}

/* --- verify ---------------------------------------------------------------------- */

static void test_verify(void **context)
{
    struct state *s = *context;
    struct err err;
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    assert_int_equal(checkpoint_verify(s->dir, out, &err), 0);
    fclose(out);
    assert_text(text, "manifest: checkpoint 7 of films, fine\n");
    assert_text(text, "\nshard-000-of-002: ");
    assert_text(text, " rows, 2 blocks, 1.");
    assert_text(text, " kB, fine\n");
    free(text);
    out = fopen("/dev/full", "w");
    assert_int_equal(checkpoint_verify(s->dir, out, &err), -ERR_SYSTEM);
    assert_text(err.text, "cannot print the result: No space left on device");
    fclose(out);
    assert_int_equal(checkpoint_verify(s->root, stdout, &err), -ERR_INPUT);
}

/* Every byte of every file of a checkpoint. */
static void test_every_byte(void **context)
{
    struct state *s = *context;
    static const char *const files[] = {"shard-000-of-002", "manifest",
                                        "shard-001-of-002"};

    for (size_t f = 0; f < 3; f++) {
        char path[500];
        size_t size;
        unsigned char *bytes;

        snprintf(path, sizeof path, "%s/%s", s->path, files[f]);
        bytes = fixture_load(path, &size);
        for (size_t at = 0; at < size; at++) {
            bytes[at] ^= 0x10;
            fixture_store(path, bytes, size);
            expect_damage(s->path, path);
            bytes[at] ^= 0x10;
        }
        fixture_store(path, bytes, size);
        free(bytes);
    }
}

/* --- inspect --------------------------------------------------------------------- */

static void test_inspect(void **context)
{
    struct state *s = *context;
    static const char *const parts[] = {
        "checkpoint  /",
        "/runs/films/checkpoint-0000000007\n",
        "job         films\n",
        "written     2023-11-14T22:13:20Z by rowhouse 0.1.0\n",
        "epoch       2 finished, in the middle of epoch 3: 15 examples left\n",
        "clock       77\n",
        "trained     12.5 s\n",
        "data        100 training and 11 test examples, label mean 3.5, digest "
        "0123456789abcdef\n",
        "\nuser ",
        "   40      2      3      3     1.3 kB\n",
        "\nshard-001-of-002 ",
        "settings\n  name=films\n  train.epochs=5\n"};
    struct err err;
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    assert_int_equal(checkpoint_inspect(s->dir, false, out, &err), 0);
    fclose(out);
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        assert_text(text, parts[i]);
    free(text);
    out = fopen("/dev/full", "w");
    assert_int_equal(checkpoint_inspect(s->dir, false, out, &err), -ERR_SYSTEM);
    assert_int_equal(checkpoint_inspect(s->dir, true, out, &err), -ERR_SYSTEM);
    fclose(out);
    assert_int_equal(checkpoint_inspect(s->root, false, stdout, &err), -ERR_INPUT);
}

static void test_inspect_json(void **context)
{
    struct state *s = *context;
    struct err err;
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);
    json_error_t wrong;
    json_t *root, *table, *shard;

    assert_int_equal(checkpoint_inspect(s->path, true, out, &err), 0);
    fclose(out);
    root = json_loads(text, 0, &wrong);
    assert_non_null(root);
#define INTEGER(object, key) (int)json_integer_value(json_object_get(object, key))
#define TEXT(object, key) json_string_value(json_object_get(object, key))
    assert_string_equal(TEXT(root, "path"), s->path);
    assert_string_equal(TEXT(root, "job"), "films");
    assert_string_equal(TEXT(root, "written"), "2023-11-14T22:13:20Z");
    assert_int_equal(INTEGER(root, "number"), 7);
    assert_int_equal(INTEGER(root, "epoch"), 2);
    assert_int_equal(INTEGER(root, "examples_left"), 15);
    assert_int_equal(INTEGER(root, "clock"), 77);
    assert_int_equal(INTEGER(json_object_get(root, "data"), "train_examples"), 100);
    assert_string_equal(TEXT(json_object_get(root, "data"), "digest"),
                        "0123456789abcdef");
    assert_string_equal(TEXT(json_object_get(root, "settings"), "optimizer.rate"),
                        "0.05");
    table = json_object_get(json_object_get(root, "tables"), "item");
    assert_int_equal(INTEGER(table, "rows"), 30);
    assert_int_equal(INTEGER(table, "bytes"), 30 * 28);
    shard = json_array_get(json_object_get(root, "shards"), 1);
    assert_string_equal(TEXT(shard, "file"), "shard-001-of-002");
    assert_int_equal(strlen(TEXT(shard, "checksum")), 16);
#undef INTEGER
#undef TEXT
    json_decref(root);
    free(text);
}

/* Names and settings that are not UTF-8, or would move a terminal's cursor. */
static void test_inspect_odd_text(void **context)
{
    struct state *s = *context;
    struct manifest *m = calloc(1, sizeof *m);
    struct err err;
    char *text;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    assert_int_equal(manifest_read(s->path, m, &err), 0);
    free(m->settings);
    m->settings = strdup("a\xE4=\xE4\nb=\x1B[2J\n\n=\nno equals\nlast=1");
    strcpy(m->job, "k\xE4se");
    m->written = INT64_MAX;
    m->data.label_mean = 0.0 / 0.0;
    assert_int_equal(manifest_write(s->path, m, &err), 0);
    if (checkpoint_inspect(s->path, true, out, &err))
        fail_msg("%s", err.text);
    fflush(out);
    assert_text(text, "\"a?\": \"?\"");
    assert_text(text, "\"job\": \"k?se\"");
    assert_text(text, "\"label_mean\": null");
    assert_text(text, "\"last\": \"1\"");
    rewind(out);
    assert_int_equal(checkpoint_inspect(s->path, false, out, &err), 0);
    fclose(out);
    assert_text(text, "  b=?[2J\n");
    assert_text(text, "  last=1\n");
    assert_text(text, "written     9223372036854775807 seconds after 1970");
    free(text);
    manifest_release(m);
    free(m);
}

static void test_size(void **context)
{
    char text[CHECKPOINT_SIZE_MAX];

    (void)context;
    assert_string_equal(checkpoint_size(0, text), "0 B");
    assert_string_equal(checkpoint_size(999, text), "999 B");
    assert_string_equal(checkpoint_size(1000, text), "1.0 kB");
    assert_string_equal(checkpoint_size(2600000, text), "2.6 MB");
    assert_string_equal(checkpoint_size(999960000, text), "1.0 GB");
    assert_string_equal(checkpoint_size(UINT64_MAX, text), "18.4 EB");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_find),
        TEST(test_find_nothing),
        TEST(test_begin),
        TEST(test_begin_refused),
        TEST(test_remove),
        TEST(test_prune),
        TEST(test_prune_only_broken),
        TEST(test_read),
        TEST(test_wrong_files),
        TEST(test_wrong_tables),
        TEST(test_wrong_rows),
        TEST(test_verify),
        TEST(test_every_byte),
        TEST(test_inspect),
        TEST(test_inspect_json),
        TEST(test_inspect_odd_text),
        cmocka_unit_test(test_size),
    };

    return cmocka_run_group_tests_name("checkpoint", tests, NULL, NULL);
}

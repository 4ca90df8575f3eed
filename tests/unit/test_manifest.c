/* The manifest: exact round trip, nothing believed, whole or absent. */
#include "tests/unit/checkpoint_fixture.h"
#include "tests/unit/fault_calls.h"

#include <math.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "server/manifest.h"

static const struct fixture_spec films[] = {{"user", 2, 3, 3, 40},
                                            {"item", 2, 3, 3, 30}};

struct state {
    struct fixture fixture;
    char dir[300];
    struct manifest manifest;
};

static int set_up(void **context)
{
    struct state *s = calloc(1, sizeof *s);
    struct err err;

    fixture_dir(&s->fixture);
    fixture_checkpoint(s->fixture.dir, 7, 2, films, 2, s->dir, sizeof s->dir);
    assert_int_equal(manifest_read(s->dir, &s->manifest, &err), 0);
    *context = s;
    return 0;
}

static int tear_down(void **context)
{
    struct state *s = *context;

    manifest_release(&s->manifest);
    fixture_remove_dir(s->fixture.dir);
    free(s);
    return 0;
}

static void test_round_trip(void **context)
{
    struct state *s = *context;
    const struct manifest *m = &s->manifest;

    assert_int_equal(m->number, 7);
    assert_string_equal(m->job, "films");
    assert_string_equal(m->settings,
                        "name=films\ntrain.epochs=5\noptimizer.rate=0.05\n");
    assert_string_equal(m->version, "0.1.0");
    assert_int_equal(m->written, 1700000000);
    assert_int_equal(m->epoch, 2);
    assert_int_equal(m->ranges, 2);
    assert_int_equal(m->range[1].first, 50);
    assert_int_equal(m->range[1].end, 55);
    assert_int_equal(m->clock, 77);
    assert_int_equal(m->data.train_examples, 100);
    assert_int_equal(m->data.test_examples, 11);
    assert_true(m->data.digest == 0x0123456789abcdef);
    assert_true(m->data.label_mean == 3.5 && m->seconds == 12.5);
    assert_int_equal(m->tables, 2);
    assert_string_equal(m->table[1].name, "item");
    assert_int_equal(m->table[1].id, 1);
    assert_int_equal(m->table[1].rows, 30);
    assert_int_equal(m->table[1].dim, 2);
    assert_int_equal(m->table[1].width, 3);
    assert_int_equal(m->table[1].state_width, 3);
    assert_int_equal(m->shards, 2);
    assert_string_equal(m->shard[1].file, "shard-001-of-002");
    assert_int_equal(m->shard[0].facts.rows + m->shard[1].facts.rows, 70);
}

static void write_and_read(struct state *s)
{
    struct err err = {0};

    if (manifest_write(s->dir, &s->manifest, &err))
        fail_msg("%s", err.text);
    manifest_release(&s->manifest);
    if (manifest_read(s->dir, &s->manifest, &err))
        fail_msg("%s", err.text);
}

/* With early stopping: what was the best so far. */
static void test_best(void **context)
{
    struct state *s = *context;
    struct manifest *m = &s->manifest;
    struct err err = {0};

    assert_int_equal(m->best.checkpoint, 0);
    m->best = (struct best){-0.75, 3, 2, m->number, 77, 5};
    write_and_read(s);
    assert_true(m->best.badness == -0.75 && m->best.checkpoint == m->number);
    assert_true(m->best.epoch == 3 && m->best.misses == 2 && m->best.reached == 5);
    assert_int_equal(m->best.clock, 77);
    m->best.checkpoint++;
    assert_int_equal(manifest_write(s->dir, m, &err), -ERR_INPUT);
    assert_text(err.text, "best epoch is not one of those before it");
    m->best.checkpoint--;
    m->best.epoch = 6;
    assert_int_equal(manifest_write(s->dir, m, &err), -ERR_INPUT);
    m->best.epoch = 3;
    m->best.badness = NAN;
    assert_int_equal(manifest_write(s->dir, m, &err), -ERR_INPUT);
    assert_text(err.text, "best epoch has no value");
    m->best.badness = INFINITY; /* no number was good */
    write_and_read(s);
}

/* Positions that are no numbers of examples, and an epoch that may grow. */
static void test_positions(void **context)
{
    struct state *s = *context;
    struct manifest *m = &s->manifest;
    struct err err = {0};

    assert_int_equal(m->data.positions, 0);
    assert_false(m->grows);
    m->data.positions = 9ull << 32;
    m->range[1] = (struct range){7ull << 32 | 5, 9ull << 32};
    write_and_read(s);
    assert_true(m->data.positions == 9ull << 32);
    assert_true(m->range[1].end == 9ull << 32);
    m->grows = true;
    m->known = (9ull << 32) - 1;
    assert_int_equal(manifest_write(s->dir, m, &err), -ERR_INPUT);
    assert_text(err.text, "passes the training examples");
    m->known = 12ull << 32;
    write_and_read(s);
    assert_true(m->grows && m->known == 12ull << 32);
    m->known = m->ranges = 0; /* nothing is there yet, but may come */
    write_and_read(s);
    assert_true(m->grows && m->known == 0);
}

/* A file beside the shards. */
static void test_preparation(void **context)
{
    struct state *s = *context;
    struct manifest *m = &s->manifest;

    m->data.preparation_bytes = PREPARATION_BYTES_MAX;
    m->data.preparation_digest = UINT64_MAX;
    write_and_read(s);
    assert_int_equal(m->data.preparation_bytes, PREPARATION_BYTES_MAX);
    assert_true(m->data.preparation_digest == UINT64_MAX);
}

/* Everything at its largest fits into the file. */
static void test_largest(void **context)
{
    struct state *s = *context;
    struct manifest *big = calloc(1, sizeof *big), *again = calloc(1, sizeof *again);
    const uint64_t most = INT64_MAX;
    struct err err = {0};

    *big = s->manifest;
    big->settings = malloc(400001);
    memset(big->settings, 'x', 400000);
    big->settings[400000] = '\0';
    memset(big->job, 0xE4, sizeof big->job - 1); /* need not be UTF-8 */
    big->number = big->clock = big->data.train_examples = most;
    big->written = INT64_MAX;
    big->epoch = UINT32_MAX;
    big->ranges = MANIFEST_RANGES_MAX;
    for (uint32_t i = 0; i < big->ranges; i++)
        big->range[i] = (struct range){most - 10 - i, most - 9 - i};
    big->tables = SHARD_TABLES_MAX;
    for (uint32_t i = 0; i < big->tables; i++) {
        struct shard_table *table = &big->table[i];

        memset(table->name, 0x80 + (int)i, sizeof table->name - 1);
        *table = (struct shard_table){.id = i,
                                      .dim = 65536,
                                      .width = 65536,
                                      .state_width = 524288,
                                      .rows = 1ull << 38};
        memset(table->name, 0x80 + (int)i, sizeof table->name - 1);
    }
    big->shards = SERVERS_MAX;
    for (uint32_t i = 0; i < big->shards; i++) {
        shard_name(i, big->shards, big->shard[i].file);
        big->shard[i].facts = (struct shard_facts){most, 1ull << 36, UINT64_MAX};
    }
    if (manifest_write(s->dir, big, &err) || manifest_read(s->dir, again, &err))
        fail_msg("%s", err.text);
    assert_string_equal(again->settings, big->settings);
    free(again->settings);
    free(big->settings);
    again->settings = big->settings = NULL;
    assert_memory_equal(again, big, sizeof *big);
    free(again);
    free(big);
}

static void expect(const struct state *s, int code, const char *part)
{
    struct manifest *found = malloc(sizeof *found);
    struct err err = {0};
    int rc = manifest_read(s->dir, found, &err);

    if (rc != -code)
        fail_msg("expected %d with '%s', got %d: %s", -code, part, rc, err.text);
    assert_text(err.text, s->dir);
    assert_text(err.text, part);
    assert_null(found->settings);
    free(found);
}

static void test_every_byte_flipped(void **context)
{
    struct state *s = *context;
    const char *path = fixture_path(s->dir, "manifest");
    char mine[1024];
    size_t size;
    unsigned char *bytes = fixture_load(path, &size);

    snprintf(mine, sizeof mine, "%s", path);
    for (size_t at = 0; at < size; at++) {
        for (int bit = 0; bit < 8; bit++) {
            bytes[at] ^= (unsigned char)(1 << bit);
            fixture_store(mine, bytes, size);
            expect(s, ERR_DAMAGE,
                   at < 8 ? "manifest is damaged: it does not start as a manifest, at "
                            "offset 0"
                   : at < 12 ? "manifest is damaged: the length at offset 8 says"
                             : "manifest is damaged: bytes 0 to ");
            bytes[at] ^= (unsigned char)(1 << bit);
        }
    }
    for (size_t length = 0; length < size; length++) {
        fixture_store(mine, bytes, length);
        expect(s, ERR_DAMAGE, "truncated?");
    }
    free(bytes);
}

static void test_not_a_manifest(void **context)
{
    struct state *s = *context;
    char path[400];
    char *long_one = calloc(1, MANIFEST_BYTES_MAX + 1);

    snprintf(path, sizeof path, "%s/manifest", s->dir);
    fixture_store(path, long_one, MANIFEST_BYTES_MAX + 1);
    expect(s, ERR_DAMAGE, "too long for a manifest");
    unlink(path);
    expect(s, ERR_INPUT, "is not a whole checkpoint: it has no manifest");
    assert_int_equal(mkdir(path, 0700), 0);
    expect(s, ERR_DAMAGE, "is not a file");
    rmdir(path);
    free(long_one);
}

/* What no program writes is refused on the way out as on the way in. */
static void test_refused_contents(void **context)
{
    struct state *s = *context;
    struct manifest *good = malloc(sizeof *good), *m = &s->manifest;
    int refused = 0;

    *good = *m;
#define REFUSES(change, part)                                                          \
    do {                                                                               \
        struct err err = {0};                                                          \
        change;                                                                        \
        assert_int_equal(manifest_write(s->dir, m, &err), -ERR_INPUT);                 \
        assert_text(err.text, part);                                                   \
        *m = *good;                                                                    \
        refused++;                                                                     \
    } while (0)
    REFUSES(m->number = 0, "number");
    REFUSES(m->number = UINT64_MAX, "number");
    REFUSES(m->settings = NULL, "settings");
    REFUSES(memset(m->job, 'x', sizeof m->job), "job's name is too long");
    REFUSES(m->job[1] = 27, "not printable");
    REFUSES(m->version[0] = '\n', "version");
    REFUSES(m->written = -1, "1970");
    REFUSES(m->clock = UINT64_MAX, "impossibly high");
    REFUSES(m->data.train_examples = UINT64_MAX, "impossibly high");
    REFUSES(m->data.test_examples = UINT64_MAX, "impossibly high");
    REFUSES(m->seconds = NAN, "seconds");
    REFUSES(m->seconds = -1, "seconds");
    REFUSES(m->ranges = MANIFEST_RANGES_MAX + 1, "too many ranges");
    REFUSES(m->data.positions = UINT64_MAX, "impossibly high");
    REFUSES(m->data.preparation_bytes = UINT64_MAX, "preparation is impossibly long");
    REFUSES((m->grows = true, m->known = UINT64_MAX), "impossibly high");
    REFUSES(m->range[0].end = 10, "range is empty");
    REFUSES(m->range[0].end = 101, "passes the training examples");
    REFUSES((m->range[0] = (struct range){0, 60}, m->range[1] = (struct range){0, 60}),
            "more positions");
    REFUSES(m->tables = 0, "number of tables");
    REFUSES(m->tables = SHARD_TABLES_MAX + 1, "number of tables");
    REFUSES(m->table[1].name[0] = '\0', "name is empty");
    REFUSES(strcpy(m->table[1].name, "user"), "same name");
    REFUSES(m->table[0].width = 0, "width");
    REFUSES(m->table[0].rows++, "not as many");
    REFUSES(m->table[0].rows = UINT64_MAX / 8, "impossibly many");
    REFUSES(m->shards = 0, "number of shards");
    REFUSES(m->shards = 257, "number of shards");
    REFUSES(m->shards = 1, "called as its place");
    REFUSES(strcpy(m->shard[0].file, ".."), "called as its place");
    REFUSES(strcpy(m->shard[0].file, "a/shard-000-of-002"), "called as its place");
    REFUSES(strcpy(m->shard[0].file, "shard-001-of-002"), "called as its place");
    REFUSES(memset(m->shard[0].file, 'x', 64), "called as its place");
    REFUSES(m->shard[0].facts.rows = UINT64_MAX, "impossibly many");
    REFUSES(m->shard[0].facts.bytes = UINT64_MAX, "impossibly many");
#undef REFUSES
    assert_int_equal(refused, 35);
    free(good);
}

static void test_too_long(void **context)
{
    struct state *s = *context;
    struct err err;
    char path[5000], *settings = s->manifest.settings;

    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = '\0';
    assert_int_equal(manifest_write(path, &s->manifest, &err), -ERR_INPUT);
    assert_text(err.text, "too long");
    free(settings);
    settings = s->manifest.settings = malloc(MANIFEST_BYTES_MAX);
    assert_non_null(settings);
    memset(settings, 'x', MANIFEST_BYTES_MAX - 1);
    settings[MANIFEST_BYTES_MAX - 1] = '\0';
    assert_int_equal(manifest_write(s->dir, &s->manifest, &err), -ERR_INPUT);
    assert_text(err.text, "settings are too long");
    assert_int_equal(manifest_read(path, &s->manifest, &err), -ERR_INPUT);
    assert_text(err.text, "too long");
    free(settings);
}

/* --- by hand: under a right checksum, fields that manifest_write() would not write  */

/* Frames `length` bytes of protobuf as a manifest. */
static void store_framed(const struct state *s, const void *fields, uint32_t length)
{
    unsigned char *bytes = malloc(length + 20u);
    uint64_t sum;

    memcpy(bytes, "\xD2RHMF\r\n\x1A", 8);
    memcpy(bytes + 8, &length, 4);
    memcpy(bytes + 12, fields, length);
    sum = XXH3_64bits(bytes, length + 12u);
    memcpy(bytes + 12 + length, &sum, 8);
    fixture_store(fixture_path(s->dir, "manifest"), bytes, length + 20u);
    free(bytes);
}

static void test_forged(void **context)
{
    struct state *s = *context;
    size_t size;
    unsigned char *bytes = fixture_load(fixture_path(s->dir, "manifest"), &size);
    unsigned char *more = malloc(size + 100000), *fields = bytes + 12;
    uint32_t length = (uint32_t)size - 20;

    store_framed(s, "", 0);
    expect(s, ERR_DAMAGE, "it has no format");
    store_framed(s, "\x08\xff", 2);
    expect(s, ERR_DAMAGE, "cannot be decoded");
    store_framed(s, "\x08\x01", 2);
    expect(s, ERR_DAMAGE, "number");

    assert_memory_equal(fields, "\x08\x01\x10\x07", 4); /* format 1, number 7 */
    memcpy(more, fields, length);
    more[1] = 2;
    store_framed(s, more, length);
    expect(s, ERR_INPUT, "is of format 2, this program reads format 1");
    more[1] = 1;

    /* A field of a later version of the same format is passed over. */
    memcpy(more + length, "\xa0\x06\x05", 3);
    store_framed(s, more, length + 3);
    {
        struct manifest *again = malloc(sizeof *again);
        struct err err;

        assert_int_equal(manifest_read(s->dir, again, &err), 0);
        assert_int_equal(again->number, 7);
        manifest_release(again);
        free(again);
    }
    /* The last of a field counts: the job's name again, with a 0 in it; then too long.
     */
    memcpy(more + length,
           "\x1a\x03"
           "a\0b",
           5);
    store_framed(s, more, length + 5);
    expect(s, ERR_DAMAGE, "job's name");
    memcpy(more + length, "\x1a\x40", 2);
    memset(more + length + 2, 'x', 64);
    store_framed(s, more, length + 66);
    expect(s, ERR_DAMAGE, "job's name");
    memcpy(more + length,
           "\x22\x03"
           "a\0b",
           5);
    store_framed(s, more, length + 5);
    expect(s, ERR_DAMAGE, "settings are not text");
    /* More ranges than there is room for: empty messages of two bytes. */
    for (uint32_t i = 0; i < 2000; i++)
        memcpy(more + length + 2 * (size_t)i, "\x42\x00", 2);
    store_framed(s, more, length + 4000);
    expect(s, ERR_DAMAGE, "a list is too long");
    for (uint32_t i = 0; i < 300; i++)
        memcpy(more + length + 2 * (size_t)i, "\x6a\x00", 2);
    store_framed(s, more, length + 600);
    expect(s, ERR_DAMAGE, "a list is too long");
    free(more);
    free(bytes);
}

/* --- the system fails ------------------------------------------------------------ */

static void test_failing_disk(void **context)
{
    struct state *s = *context;
    static const struct {
        enum fault_call call;
        int nth, error;
    } cases[] = {
        {FAULT_WRITE, 1, ENOSPC}, /* of the temporary file */
        {FAULT_FSYNC, 1, EIO},    /* of the directory, before */
        {FAULT_FSYNC, 2, EIO},    /* of the temporary file */
        {FAULT_FSYNC, 3, EIO},    /* of the directory, after the rename */
        {FAULT_RENAME, 1, EACCES},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err err = {0};
        int rc;

        unlink(fixture_path(s->dir, "manifest"));
        fault_arm(cases[i].call, cases[i].nth, cases[i].error);
        rc = manifest_write(s->dir, &s->manifest, &err);
        assert_true(fault_disarm());
        assert_int_equal(rc, -ERR_SYSTEM);
        assert_text(err.text, s->dir);
        assert_text(err.text, strerror(cases[i].error));
        assert_false(fixture_exists(fixture_path(s->dir, "manifest")));
        expect(s, ERR_INPUT, "no manifest");
    }
    {
        char command[600];

        snprintf(command, sizeof command, "test $(ls %s | wc -l) = 2", s->dir);
        assert_int_equal(system(command), 0); /* no temporary file stays */
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_round_trip),     TEST(test_best),
        TEST(test_round_trip),     TEST(test_positions),
        TEST(test_round_trip),     TEST(test_preparation),
        TEST(test_largest),        TEST(test_every_byte_flipped),
        TEST(test_not_a_manifest), TEST(test_refused_contents),
        TEST(test_too_long),       TEST(test_forged),
        TEST(test_failing_disk),
    };

    return cmocka_run_group_tests_name("manifest", tests, NULL, NULL);
}

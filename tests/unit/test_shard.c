/* Shard files: what is written is read back, and no byte can change unseen. */
#include "tests/unit/checkpoint_fixture.h"
#include "tests/unit/fault_calls.h"

#include <xxhash.h>

#include "server/shard.h"

/* Rows of 8 + 4 * 3 bytes need padding when their number is odd; one table is empty. */
static const struct fixture_spec small[] = {
    {"user", 2, 3, 0, 5}, {"none", 1, 1, 1, 0}, {"item", 2, 2, 2, 3}};

enum { SMALL = 3, HEADER = 40 + SMALL * 96 + 8 };

struct state {
    struct fixture fixture;
    char path[300];
    struct shard_facts facts;
};

static int write_small(struct state *s, struct err *err)
{
    return shard_write(s->path, 0, 1, s->fixture.list, s->fixture.name,
                       s->fixture.tables, &s->facts, err);
}

static int set_up(void **context)
{
    struct state *s = calloc(1, sizeof *s);
    struct err err;

    fixture_dir(&s->fixture);
    fixture_tables(&s->fixture, small, SMALL, 0, 1);
    snprintf(s->path, sizeof s->path, "%s/shard-000-of-001", s->fixture.dir);
    assert_int_equal(write_small(s, &err), 0);
    *context = s;
    return 0;
}

static int tear_down(void **context)
{
    struct state *s = *context;

    fixture_drop_tables(&s->fixture);
    fixture_remove_dir(s->fixture.dir);
    free(s);
    return 0;
}

/* --- reading back ---------------------------------------------------------------- */

struct seen {
    uint32_t tables, blocks;
    uint64_t rows[SHARD_TABLES_MAX];
    struct shard_table table[SHARD_TABLES_MAX];
    int stop_at_block; /* 0 = never */
};

static int see_table(void *context, uint32_t index, const struct shard_table *table,
                     struct err *err)
{
    struct seen *seen = context;

    (void)err;
    assert_int_equal(index, seen->tables);
    seen->table[seen->tables++] = *table;
    return 0;
}

static int see_rows(void *context, uint32_t index, const unsigned char *block,
                    uint32_t n, struct err *err)
{
    struct seen *seen = context;
    const struct shard_table *table = &seen->table[index];

    if ((int)++seen->blocks == seen->stop_at_block)
        return err_set(err, ERR_PEER, "stopped");
    assert_true(n > 0);
    for (uint32_t i = 0; i < n; i++, block += shard_row_bytes(table)) {
        uint64_t key;

        memcpy(&key, block, 8);
        assert_true(key == fixture_key(table->id, seen->rows[index]++));
        for (uint32_t f = 0; f < table->width + table->state_width; f++) {
            float value;

            memcpy(&value, block + 8 + 4 * f, 4);
            assert_true(value == fixture_value(table->id, key, f));
        }
    }
    return 0;
}

static void test_round_trip(void **context)
{
    struct state *s = *context;
    struct seen seen = {0};
    const struct shard_visitor visitor = {see_table, see_rows, &seen};
    struct shard_facts found;
    struct err err;
    size_t size;
    unsigned char *bytes = fixture_load(s->path, &size);

    assert_int_equal(shard_read(s->path, &visitor, &found, &err), 0);
    assert_int_equal(seen.tables, SMALL);
    assert_int_equal(seen.blocks, 2);
    for (uint32_t t = 0; t < SMALL; t++) {
        assert_string_equal(seen.table[t].name, small[t].name);
        assert_int_equal(seen.table[t].id, t);
        assert_int_equal(seen.table[t].dim, small[t].dim);
        assert_int_equal(seen.table[t].width, small[t].width);
        assert_int_equal(seen.table[t].state_width, small[t].state_width);
        assert_int_equal(seen.table[t].rows, small[t].rows);
        assert_int_equal(seen.rows[t], small[t].rows);
    }
    assert_memory_equal(&found, &s->facts, sizeof found);
    assert_int_equal(found.rows, 8);
    assert_int_equal(found.bytes, size);
    assert_true(found.checksum == XXH3_64bits(bytes, size));
    assert_int_equal(shard_read(s->path, NULL, NULL, &err), 0);
    free(bytes);
}

/* The sizes that docs/checkpoint-format.md gives. */
static void test_layout(void **context)
{
    struct state *s = *context;
    size_t size;
    unsigned char *bytes = fixture_load(s->path, &size);
    static const unsigned char start[16] = {
        0xD2, 'R', 'H', 'S', 'H',          '\r',        '\n', 0x1A,
        1,    0,   0,   0,   HEADER & 255, HEADER >> 8, 0,    0};

    assert_memory_equal(bytes, start, sizeof start);
    assert_memory_equal(bytes + HEADER,
                        "RBLK\0\0\0\0\0\0\0\0\5\0\0\0\144\0\0\0\0\0\0\0", 24);
    assert_int_equal(size, HEADER + (24 + 104 + 8) + (24 + 72 + 8) + 40);
    assert_memory_equal(bytes + size - 40, "REND\2\0\0\0\10\0\0\0\0\0\0\0", 16);
    free(bytes);
}

/* Counts of rows around a full block, and a row that is wider than a block. */
static void test_block_sizes(void **context)
{
    struct state *s = *context;
    static const struct {
        uint32_t width, state_width;
        uint64_t rows;
        uint32_t blocks;
    } cases[] = {
        {2, 0, 4093, 1},  {2, 0, 4094, 1},       {2, 0, 4095, 2},  {2, 0, 8189, 3},
        {3, 0, 3275, 1},  {3, 0, 3276, 2},       {16374, 0, 3, 3}, {8000, 8374, 2, 2},
        {16375, 0, 2, 2}, {65536, 524288, 2, 2}, {65536, 2, 5, 5}, {1, 0, 0, 0},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct fixture_spec spec = {"wide", 1, cases[i].width, cases[i].state_width,
                                    cases[i].rows};
        struct seen seen = {0};
        const struct shard_visitor visitor = {see_table, see_rows, &seen};
        struct fixture fixture;
        struct shard_facts facts, found;
        struct err err;

        fixture_tables(&fixture, &spec, 1, 0, 1);
        assert_int_equal(
            shard_write(s->path, 1, 2, fixture.list, fixture.name, 1, &facts, &err), 0);
        if (shard_read(s->path, &visitor, &found, &err))
            fail_msg("case %zu: %s", i, err.text);
        assert_int_equal(seen.rows[0], cases[i].rows);
        assert_int_equal(seen.blocks, cases[i].blocks);
        assert_memory_equal(&found, &facts, sizeof found);
        fixture_drop_tables(&fixture);
    }
}

/* More than the buffer holds at once, in blocks that do not divide it. */
static void test_large(void **context)
{
    struct state *s = *context;
    static const struct fixture_spec large[] = {{"a", 7, 7, 0, 150000},
                                                {"b", 16, 17, 17, 40000}};
    struct seen seen = {0};
    const struct shard_visitor visitor = {see_table, see_rows, &seen};
    struct fixture fixture;
    struct shard_facts facts, found;
    struct err err;

    fixture_tables(&fixture, large, 2, 0, 1);
    assert_int_equal(
        shard_write(s->path, 0, 1, fixture.list, fixture.name, 2, &facts, &err), 0);
    assert_int_equal(shard_read(s->path, &visitor, &found, &err), 0);
    assert_int_equal(seen.rows[0], 150000);
    assert_int_equal(seen.rows[1], 40000);
    assert_true(facts.bytes > 10000000);
    assert_memory_equal(&found, &facts, sizeof found);
    fixture_drop_tables(&fixture);
}

static void test_visitor_stops(void **context)
{
    struct state *s = *context;
    struct seen seen = {.stop_at_block = 2};
    const struct shard_visitor visitor = {see_table, see_rows, &seen};
    struct err err;

    assert_int_equal(shard_read(s->path, &visitor, NULL, &err), -ERR_PEER);
    assert_string_equal(err.text, "stopped");
    assert_int_equal(seen.blocks, 2);
}

/* --- damage ---------------------------------------------------------------------- */

/* What the sentence about byte `at` of the small file must name. */
static const char *place(size_t at, size_t size)
{
    if (at < HEADER)
        return "header at offset 0";
    if (at < HEADER + 136)
        return "block 0 at offset 336";
    return at < size - 40 ? "block 1 at offset 472" : "end mark at offset 576";
}

static void expect_damage(const struct state *s, const void *bytes, size_t size,
                          const char *part)
{
    struct err err = {0};
    int rc;

    fixture_store(s->path, bytes, size);
    rc = shard_read(s->path, NULL, NULL, &err);
    if (rc != -ERR_DAMAGE)
        fail_msg("%zu bytes, expecting '%s': got %d %s", size, part, rc, err.text);
    assert_text(err.text, s->path);
    assert_text(err.text, part);
}

static void test_every_byte_flipped(void **context)
{
    struct state *s = *context;
    static const unsigned char flips[] = {0x01, 0x80, 0xFF};
    size_t size;
    unsigned char *bytes = fixture_load(s->path, &size);

    for (size_t at = 0; at < size; at++) {
        for (size_t f = 0; f < sizeof flips; f++) {
            bytes[at] ^= flips[f];
            expect_damage(s, bytes, size, place(at, size));
            bytes[at] ^= flips[f];
        }
    }
    free(bytes);
}

static void test_every_length_truncated(void **context)
{
    struct state *s = *context;
    size_t size;
    unsigned char *bytes = fixture_load(s->path, &size);

    for (size_t length = 0; length < size; length++)
        expect_damage(s, bytes, length, "truncated");
    free(bytes);
}

static void test_more_bytes(void **context)
{
    struct state *s = *context;
    size_t size;
    unsigned char *bytes = fixture_load(s->path, &size);
    unsigned char *more = calloc(1, 2 * size);

    memcpy(more, bytes, size);
    expect_damage(s, more, size + 1, "1 more bytes at offset 616, behind the end mark");
    memcpy(more + size, bytes, size);
    expect_damage(s, more, 2 * size, "616 more bytes at offset 616");
    free(more);
    free(bytes);
}

/* Two blocks changed places, one is missing, or one comes twice: every checksum of a
 * part is right. */
static void test_blocks_moved(void **context)
{
    struct state *s = *context;
    size_t size;
    unsigned char *bytes = fixture_load(s->path, &size), *moved = malloc(size + 136);
    const size_t a = HEADER, b = HEADER + 136, end = HEADER + 240;

    memcpy(moved, bytes, a);
    memcpy(moved + a, bytes + b, 104);
    memcpy(moved + a + 104, bytes + a, 136);
    memcpy(moved + end, bytes + end, 40);
    expect_damage(s, moved, size, "block 0 at offset 336: it does not start as");
    memcpy(moved + a, bytes + b, 104 + 40);
    expect_damage(s, moved, size - 136, "(truncated?)");
    memcpy(moved + a, bytes + a, 136);
    memcpy(moved + a + 136, bytes + a, size - a);
    expect_damage(s, moved, size + 136, "block 1 at offset 472: it does not start as");
    free(moved);
    free(bytes);
}

/* --- numbers that nobody would write, under checksums that are right ------------- */

static void seal_header(unsigned char *bytes, uint32_t size)
{
    uint64_t sum = XXH3_64bits(bytes, size - 8);

    memcpy(bytes + size - 8, &sum, 8);
}

static void test_forged_header(void **context)
{
    struct state *s = *context;
    static const struct {
        size_t at, size;
        uint64_t value;
        const char *part;
    } cases[] = {
        {12, 4, 0, "claims to be 0 bytes"},
        {12, 4, 23, "claims to be 23 bytes"},
        {12, 4, 65537, "claims to be 65537 bytes"},
        {12, 4, 400, "header at offset 0"},
        {16, 4, 1, "server 1 of 1"},
        {20, 4, 0, "server 0 of 0"},
        {20, 4, 257, "server 0 of 257"},
        {24, 4, 0, "0 tables in 336 bytes"},
        {24, 4, 2, "2 tables in 336 bytes"},
        {24, 4, 0x2000003, "33554435 tables"},
        {32, 8, 9, "the tables' rows are not 9"},
        {40, 1, 0, "name is empty"},
        {40, 1, 27, "not printable"},
        {40 + 64, 4, 64, "id is not"},
        {40 + 64, 4, 1, "same name or id"},
        {40 + 68, 4, 4, "dim is larger"},
        {40 + 72, 4, 0, "width is not"},
        {40 + 72, 4, 65537, "width is not"},
        {40 + 76, 4, 524289, "state width is larger"},
        {40 + 80, 8, 31, "ends at offset 616, too early for the 31 rows of table user"},
        {40 + 80, 8, UINT64_MAX, "the 18446744073709551615 rows of table user"},
        {40 + 96 + 80, 8, UINT64_MAX / 12, "rows of table none"},
    };
    size_t size;
    unsigned char *bytes = fixture_load(s->path, &size), *forged = malloc(size);

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        memcpy(forged, bytes, size);
        memcpy(forged + cases[i].at, &cases[i].value, cases[i].size);
        seal_header(forged, HEADER);
        expect_damage(s, forged, size, cases[i].part);
    }
    memcpy(forged, bytes, size);
    memset(forged + 40, 'x', 64);
    seal_header(forged, HEADER);
    expect_damage(s, forged, size, "too long");
    memcpy(forged, bytes, size);
    memcpy(forged + 40, "item", 5);
    seal_header(forged, HEADER);
    expect_damage(s, forged, size, "same name or id");
    free(forged);
    free(bytes);
}

static void test_forged_block(void **context)
{
    struct state *s = *context;
    static const struct {
        size_t at, size;
        uint64_t value;
        const char *part;
    } cases[] = {
        {0, 4, 0, "does not start as block 0"},
        {4, 4, 1, "does not start as block 0"},
        {8, 4, 2, "does not start as block 0 with rows of table user"},
        {12, 4, 0, "claims 0 rows"},
        {12, 4, 6, "claims 6 rows in 100 bytes, 5 rows of 20 bytes"},
        {12, 4, UINT32_MAX, "claims 4294967295 rows"},
        {16, 4, 99, "claims 5 rows in 99 bytes"},
        {16, 4, UINT32_MAX, "claims 5 rows in 4294967295 bytes"},
        {20, 4, 1, "does not start as block 0"},
    };
    size_t size;
    unsigned char *bytes = fixture_load(s->path, &size), *forged = malloc(size);

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        memcpy(forged, bytes, size);
        memcpy(forged + HEADER + cases[i].at, &cases[i].value, cases[i].size);
        seal_header(forged + HEADER, 136);
        expect_damage(s, forged, size, cases[i].part);
        expect_damage(s, forged, size, "block 0 at offset 336");
    }
    /* A whole block of another file, its own checksum right: the end mark notices. */
    memcpy(forged, bytes, size);
    forged[HEADER + 24] ^= 1;
    seal_header(forged + HEADER, 136);
    expect_damage(s, forged, size, "end mark at offset 576: its totals do not fit");
    free(forged);
    free(bytes);
}

static void test_forged_end(void **context)
{
    struct state *s = *context;
    size_t size;
    unsigned char *bytes = fixture_load(s->path, &size);

    for (size_t at = 4; at < 32; at++) {
        bytes[size - 40 + at] ^= 4;
        seal_header(bytes + size - 40, 40);
        expect_damage(s, bytes, size, "end mark at offset 576: its totals do not fit");
        bytes[size - 40 + at] ^= 4;
    }
    free(bytes);
}

static void test_newer_format(void **context)
{
    struct state *s = *context;
    struct err err;
    size_t size;
    unsigned char *bytes = fixture_load(s->path, &size);

    bytes[8] = 2;
    seal_header(bytes, HEADER);
    fixture_store(s->path, bytes, size);
    assert_int_equal(shard_read(s->path, NULL, NULL, &err), -ERR_INPUT);
    assert_text(err.text, "is of format 2, this program reads format 1");
    free(bytes);
}

static void test_not_a_file(void **context)
{
    struct state *s = *context;
    struct err err;
    char pipe[300];

    assert_int_equal(shard_read(s->fixture.dir, NULL, NULL, &err), -ERR_DAMAGE);
    assert_text(err.text, "it is not a file");
    snprintf(pipe, sizeof pipe, "%s/pipe", s->fixture.dir);
    assert_int_equal(mkfifo(pipe, 0600), 0);
    assert_int_equal(shard_read(pipe, NULL, NULL, &err), -ERR_DAMAGE);
    unlink(s->path);
    assert_int_equal(shard_read(s->path, NULL, NULL, &err), -ERR_SYSTEM);
    assert_text(err.text, "cannot read");
    assert_text(err.text, "No such file");
}

/* --- the system fails ------------------------------------------------------------ */

static void test_failing_disk(void **context)
{
    static const struct fixture_spec large = {"a", 30, 30, 0, 80000};
    static const struct {
        enum fault_call call;
        int nth, error;
        const char *reason;
    } cases[] = {
        {FAULT_WRITE, 1, ENOSPC, "No space left on device"},
        {FAULT_WRITE, 2, ENOSPC, "No space left on device"},
        {FAULT_WRITE, 3, EIO, "Input/output error"},
        {FAULT_FSYNC, 1, ENOSPC, "No space left on device"},
        {FAULT_CLOSE, 1, EDQUOT, "Disk quota exceeded"},
    };
    struct state *s = *context;
    struct fixture fixture;
    struct shard_facts facts;

    fixture_tables(&fixture, &large, 1, 0, 1);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct err err = {0};
        char sentence[512];
        int rc;

        fault_arm(cases[i].call, cases[i].nth, cases[i].error);
        rc = shard_write(s->path, 0, 1, fixture.list, fixture.name, 1, &facts, &err);
        assert_true(fault_disarm());
        assert_int_equal(rc, -ERR_SYSTEM);
        snprintf(sentence, sizeof sentence, "cannot write %s: %s", s->path,
                 cases[i].reason);
        assert_string_equal(err.text, sentence);
        assert_false(fixture_exists(s->path));
    }
    fixture_drop_tables(&fixture);
}

static void test_short_writes_and_reads(void **context)
{
    struct state *s = *context;
    struct seen seen = {0};
    const struct shard_visitor visitor = {see_table, see_rows, &seen};
    struct shard_facts before = s->facts, found;
    struct err err;

    fault.short_writes = true;
    assert_int_equal(write_small(s, &err), 0);
    assert_int_equal(shard_read(s->path, &visitor, &found, &err), 0);
    fault.short_writes = false;
    assert_memory_equal(&s->facts, &before, sizeof before);
    assert_memory_equal(&found, &before, sizeof before);
    assert_int_equal(seen.rows[0] + seen.rows[2], 8);
}

static void test_failing_read(void **context)
{
    struct state *s = *context;
    struct err err;

    fault_arm(FAULT_READ, 1, EIO);
    assert_int_equal(shard_read(s->path, NULL, NULL, &err), -ERR_SYSTEM);
    assert_true(fault_disarm());
    assert_text(err.text, "cannot read ");
    assert_text(err.text, "Input/output error");
}

/* What stands at the path: left-overs are replaced, nothing else is touched. */
static void test_path_taken(void **context)
{
    struct state *s = *context;
    struct err err;
    char target[300];
    size_t size;

    fixture_store(s->path, "left over", 9);
    assert_int_equal(write_small(s, &err), 0);
    assert_int_equal(shard_read(s->path, NULL, NULL, &err), 0);

    snprintf(target, sizeof target, "%s/target", s->fixture.dir);
    fixture_store(target, "precious", 8);
    unlink(s->path);
    assert_int_equal(symlink(target, s->path), 0);
    assert_int_equal(write_small(s, &err), 0);
    assert_int_equal(shard_read(s->path, NULL, NULL, &err), 0);
    free(fixture_load(target, &size));
    assert_int_equal(size, 8);

    unlink(s->path);
    assert_int_equal(mkdir(s->path, 0700), 0);
    assert_int_equal(write_small(s, &err), -ERR_SYSTEM);
    assert_text(err.text, "cannot write");
    assert_int_equal(rmdir(s->path), 0);

    snprintf(s->path, sizeof s->path, "%s/no/such/dir", s->fixture.dir);
    assert_int_equal(write_small(s, &err), -ERR_SYSTEM);
    assert_text(err.text, "No such file or directory");
}

static void test_refused_tables(void **context)
{
    struct state *s = *context;
    const char *twice[] = {"user", "user", "item"}, *empty[] = {"user", "", "item"};
    char long_name[65], long_path[5000];
    const char *longer[] = {"user", long_name, "item"};
    struct err err;

    assert_int_equal(
        shard_write(s->path, 0, 1, s->fixture.list, twice, SMALL, &s->facts, &err),
        -ERR_INPUT);
    assert_text(err.text, "same name");
    assert_int_equal(
        shard_write(s->path, 0, 1, s->fixture.list, empty, SMALL, &s->facts, &err),
        -ERR_INPUT);
    assert_int_equal(shard_write(s->path, 0, 1, s->fixture.list, s->fixture.name,
                                 SHARD_TABLES_MAX + 1, &s->facts, &err),
                     -ERR_INPUT);
    memset(long_name, 'x', 64);
    long_name[64] = '\0';
    assert_int_equal(
        shard_write(s->path, 0, 1, s->fixture.list, longer, SMALL, &s->facts, &err),
        -ERR_INPUT);
    assert_text(err.text, "too long");
    assert_int_equal(shard_read(s->path, NULL, NULL, &err), 0); /* as it was */

    memset(long_path, 'x', sizeof long_path - 1);
    long_path[sizeof long_path - 1] = '\0';
    assert_int_equal(shard_write(long_path, 0, 1, s->fixture.list, s->fixture.name,
                                 SMALL, &s->facts, &err),
                     -ERR_INPUT);
    assert_text(err.text, "too long");
}

static void test_names(void **context)
{
    static const char *const bad[] = {"",
                                      "shard-",
                                      "shard-000-of-000",
                                      "shard-001-of-001",
                                      "shard-0-of-1",
                                      "shard-000-of-0001",
                                      "shard-000-of-001x",
                                      "shard- 00-of-001",
                                      "shard-+00-of-001",
                                      "../shard-000-of-001",
                                      "shard-000-of-257",
                                      "shard-000-of-001/..",
                                      "manifest",
                                      "Shard-000-of-001",
                                      "shard-1000-of-1001"};
    char name[SHARD_NAME_MAX];

    (void)context;
    shard_name(3, 12, name);
    assert_string_equal(name, "shard-003-of-012");
    assert_true(shard_is_name(name));
    assert_true(shard_is_name("shard-255-of-256"));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        if (shard_is_name(bad[i]))
            fail_msg("'%s' is taken for a shard's name", bad[i]);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_round_trip),
        TEST(test_layout),
        TEST(test_block_sizes),
        TEST(test_large),
        TEST(test_visitor_stops),
        TEST(test_every_byte_flipped),
        TEST(test_every_length_truncated),
        TEST(test_more_bytes),
        TEST(test_blocks_moved),
        TEST(test_forged_header),
        TEST(test_forged_block),
        TEST(test_forged_end),
        TEST(test_newer_format),
        TEST(test_not_a_file),
        TEST(test_failing_disk),
        TEST(test_short_writes_and_reads),
        TEST(test_failing_read),
        TEST(test_path_taken),
        TEST(test_refused_tables),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests_name("shard", tests, NULL, NULL);
}

/* Packed files: what goes in comes out, whole or in parts, from files and pipes; every
 * byte that changes is noticed. */
#include <fcntl.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <cmocka.h>
#include <xxhash.h>

#include "common/file.h"
#include "common/rng.h"
#include "tests/unit/packed_kit.h"
#include "tests/unit/scratch.h"
#include "worker/stream/packed/packed.h"

static struct packed *must_open(const char *path)
{
    struct packed *packed;
    struct err err;

    if (packed_open(path, &packed, &err))
        fail_msg("%s", err.text);
    return packed;
}

/* --- the same again ------------------------------------------------------------ */

/* Reads all of it by packed_next() in pieces of `capacity` examples; how many there
 * are. */
static uint64_t must_read(struct packed *packed, const struct schema *schema,
                          uint32_t capacity)
{
    struct packed_columns columns;
    struct block block;
    struct err err;
    uint64_t n = 0;
    int rc;

    assert_int_equal(packed_match(packed, schema, &columns, &err), 0);
    assert_int_equal(block_create(&block, schema, capacity, &err), 0);
    while ((rc = packed_next(packed, &err)) == 1) {
        uint32_t from = 0;

        assert_int_equal(packed_first(packed, packed_loaded(packed)), n);
        while (from < packed_loaded_examples(packed)) {
            uint32_t had = block.n;

            if (packed_decode(packed, &columns, from, &block, &err))
                fail_msg("%s", err.text);
            from += block.n - had;
            n += block.n - had;
            if (block.n == capacity) {
                for (uint32_t i = 0; i < block.n; i++)
                    kit_must_be(&block, i, block.place[i]);
                block_clear(&block);
            }
        }
    }
    if (rc)
        fail_msg("%s", err.text);
    for (uint32_t i = 0; i < block.n; i++)
        kit_must_be(&block, i, block.place[i]);
    block_release(&block);
    return n;
}

static void test_every_kind_comes_back(void **state)
{
    static const uint32_t sizes[] = {1, 2, 99, 100, 101, 1000};
    static const uint32_t capacities[] = {1, 7, 100, 5000};
    struct schema schema = kit_schema();

    for (int s = 0; s < 6; s++)
        for (int c = 0; c < 4; c++) {
            const char *path = scratch_path(*state, "f");
            struct packed *packed;

            kit_write(path, sizes[s], 100);
            packed = must_open(path);
            assert_true(packed_is_whole(packed));
            assert_int_equal(packed_capacity(packed), 100);
            assert_int_equal(packed_examples(packed), sizes[s]);
            assert_int_equal(packed_blocks(packed), (sizes[s] + 99) / 100);
            assert_int_equal(packed_first(packed, packed_blocks(packed)), sizes[s]);
            assert_int_equal(must_read(packed, &schema, capacities[c]), sizes[s]);
            packed_close(packed);
        }
}

static void test_schemas_come_back(void **state)
{
    struct schema schema = kit_schema();
    const char *path = scratch_path(*state, "f");
    const struct schema *have;
    struct packed *packed;

    kit_write(path, 10, 100);
    packed = must_open(path);
    have = packed_schema(packed);
    assert_int_equal(have->columns, schema.columns);
    for (uint32_t c = 0; c < schema.columns; c++) {
        assert_string_equal(have->column[c].name, schema.column[c].name);
        assert_int_equal(have->column[c].kind, schema.column[c].kind);
        assert_int_equal(have->column[c].dim, schema.column[c].dim);
        assert_int_equal(have->column[c].keep_text, schema.column[c].keep_text);
    }
    assert_int_equal(have->label, schema.label);
    assert_int_equal(have->time, schema.time);
    assert_int_equal(have->user, schema.user);
    assert_int_equal(have->weight, SCHEMA_NONE);
    packed_close(packed);
}

static void test_an_empty_file_has_no_examples(void **state)
{
    struct schema schema = kit_schema();
    const char *path = scratch_path(*state, "f");
    struct packed *packed;

    kit_write(path, 0, 100);
    packed = must_open(path);
    assert_int_equal(packed_blocks(packed), 0);
    assert_int_equal(must_read(packed, &schema, 10), 0);
    packed_close(packed);
}

static void test_blocks_are_read_in_any_order(void **state)
{
    struct schema schema = kit_schema();
    const char *path = scratch_path(*state, "f");
    struct packed_columns columns;
    struct packed *packed;
    struct block block;
    struct err err;

    kit_write(path, 1000, 100);
    packed = must_open(path);
    assert_int_equal(packed_match(packed, &schema, &columns, &err), 0);
    assert_int_equal(block_create(&block, &schema, packed_capacity(packed), &err), 0);
    for (uint64_t b = 0; b < 10; b++) {
        uint64_t number = b * 7 % 10;

        assert_int_equal(packed_read_block(packed, number, &columns, &block, &err), 0);
        assert_int_equal(block.n, 100);
        for (uint32_t i = 0; i < block.n; i++) {
            assert_int_equal(block.place[i], number * 100 + i);
            kit_must_be(&block, i, block.place[i]);
        }
    }
    block_release(&block);
    packed_close(packed);
}

/* In other orders of columns, few of them, and with some that the file lacks. */
static void test_only_wanted_columns_are_read(void **state)
{
    struct schema all = kit_schema(), few = SCHEMA_EMPTY;
    const char *path = scratch_path(*state, "f");
    struct packed_columns columns;
    struct packed *packed;
    struct block block;
    struct err err;

    few.column[schema_add(&few, "none", VALUE_KEY)].optional = true;
    few.column[0].may_miss = true;
    few.column[schema_add(&few, "no number", VALUE_NUMBER)].optional = true;
    few.column[schema_add(&few, "no time", VALUE_TIME)].optional = true;
    few.column[schema_add(&few, "no text", VALUE_TEXT)].optional = true;
    few.column[schema_add(&few, "no keys", VALUE_KEYS)].optional = true;
    few.column[schema_add(&few, "no vector", VALUE_VECTOR)].optional = true;
    few.column[5].dim = 2;
    for (int c = (int)all.columns - 1; c >= 0; c -= 2)
        few.column[few.columns++] = all.column[c];
    kit_write(path, 50, 20);
    packed = must_open(path);
    assert_int_equal(packed_match(packed, &few, &columns, &err), 0);
    assert_int_equal(block_create(&block, &few, 20, &err), 0);
    assert_int_equal(packed_read_block(packed, 2, &columns, &block, &err), 0);
    assert_int_equal(block.n, 10);
    for (uint32_t i = 0; i < 10; i++) {
        assert_int_equal(block.column[0].missing[i], 1);
        assert_int_equal(block.column[0].key[i], 0);
        assert_true(isnan(block.column[1].number[i]));
        assert_true(block.column[2].time[i] == TIME_MISSING);
        assert_int_equal(block.column[3].offset[i + 1], 0);
        assert_int_equal(block.column[4].offset[i + 1], 0);
        assert_true(isnan(block.column[5].number[2 * i + 1]));
        kit_must_be(&block, i, 40 + i);
    }
    block_release(&block);
    packed_close(packed);
}

/* Blocks of other sizes than the file's, and rows that are mostly text. */
static void test_blocks_are_cut_as_memory_says(void **state)
{
    struct schema schema = SCHEMA_EMPTY;
    const char *path = scratch_path(*state, "f");
    static char text[300000];
    struct packed_columns columns;
    struct packed_writer *writer;
    struct packed_facts facts;
    struct packed *packed;
    struct block block;
    struct err err;

    schema_add(&schema, "text", VALUE_TEXT);
    memset(text, 'x', sizeof text);
    assert_int_equal(block_create(&block, &schema, 20, &err), 0);
    for (uint32_t i = 0; i < 20; i++) {
        uint32_t bytes = i == 13 ? 0 : (uint32_t)sizeof text;

        assert_int_equal(block_text_room(&block, 0, bytes, &err), 0);
        memcpy(block.column[0].text + block.column[0].offset[i], text, bytes);
        block.column[0].offset[i + 1] = block.column[0].offset[i] + bytes;
        block.place[i] = i;
        block.n++;
    }
    assert_int_equal(packed_create(path, &schema, 0, &writer, &err), 0);
    assert_int_equal(packed_append(writer, &block, &err), 0);
    assert_int_equal(packed_finish(writer, &facts, &err), 0);
    packed_destroy(writer);
    assert_int_equal(facts.examples, 20);
    assert_int_equal(facts.blocks, 7); /* three texts each, and the empty one */
    packed = must_open(path);
    assert_int_equal(packed_match(packed, &schema, &columns, &err), 0);
    block_clear(&block);
    while (packed_next(packed, &err) == 1)
        assert_int_equal(packed_decode(packed, &columns, 0, &block, &err), 0);
    assert_int_equal(block.n, 20);
    for (uint32_t i = 0; i < 20; i++) {
        const uint32_t *offset = block.column[0].offset;

        assert_int_equal(offset[i + 1] - offset[i], i == 13 ? 0 : sizeof text);
        assert_memory_equal(block.column[0].text + offset[i], text,
                            offset[i + 1] - offset[i]);
    }
    block_release(&block);
    packed_close(packed);
}

/* --- pipes --------------------------------------------------------------------- */

static pid_t feed(const char *pipe, const char *bytes, size_t size)
{
    pid_t pid;

    assert_int_equal(mkfifo(pipe, 0666), 0);
    pid = fork();
    if (pid == 0) {
        int fd = open(pipe, O_WRONLY);

        while (size > 0) {
            ssize_t n = write(fd, bytes, size < 999 ? size : 999);

            if (n <= 0)
                _exit(1);
            bytes += n;
            size -= (size_t)n;
        }
        _exit(0);
    }
    assert_true(pid > 0);
    return pid;
}

static void test_a_pipe_is_read_to_its_end(void **state)
{
    struct schema schema = kit_schema();
    struct packed *packed;
    struct err err;
    char *bytes;
    size_t size;
    int status;
    pid_t pid;

    kit_write(scratch_path(*state, "f"), 1000, 100);
    assert_int_equal(
        file_read_all(scratch_path(*state, "f"), 1 << 24, &bytes, &size, &err), 0);
    pid = feed(scratch_path(*state, "pipe"), bytes, size);
    packed = must_open(scratch_path(*state, "pipe"));
    assert_false(packed_is_whole(packed));
    assert_int_equal(packed_examples(packed), 0);
    assert_int_equal(must_read(packed, &schema, 77), 1000);
    assert_int_equal(packed_examples(packed), 1000);
    assert_int_equal(packed_next(packed, &err), 0);
    packed_close(packed);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(status, 0);
    free(bytes);
}

/* --- damage -------------------------------------------------------------------- */

/* Reads everything, by file or as a stream; 0 or the error. */
static int try_all(const char *path, struct err *err)
{
    struct packed_columns columns;
    struct packed *packed;
    struct block block;
    int rc = packed_open(path, &packed, err);

    if (rc)
        return rc;
    rc = packed_match(packed, packed_schema(packed), &columns, err);
    assert_int_equal(rc, 0);
    assert_int_equal(
        block_create(&block, packed_schema(packed), packed_capacity(packed), err), 0);
    while ((rc = packed_next(packed, err)) == 1) {
        block_clear(&block);
        rc = packed_decode(packed, &columns, 0, &block, err);
        if (rc)
            break;
    }
    block_release(&block);
    packed_close(packed);
    return rc;
}

/* The bytes as a stream: gzip would do, too, but a pipe needs a writer. */
static int try_stream(struct scratch *scratch, const char *bytes, size_t size,
                      struct err *err)
{
    char pipe[1100];
    int status, rc;
    pid_t pid;

    snprintf(pipe, sizeof pipe, "%s/pipe", scratch->dir);
    pid = feed(pipe, bytes, size);
    rc = try_all(pipe, err);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_int_equal(unlink(pipe), 0);
    return rc;
}

static void must_name(const struct err *err, const char *path, const char *part)
{
    if (!strstr(err->text, path) || !strstr(err->text, part))
        fail_msg("nothing about %s, %s: %s", path, part, err->text);
}

static void test_every_flipped_byte_is_found(void **state)
{
    struct scratch *scratch = *state;
    char path[1100];
    struct err err;
    char *bytes;
    size_t size;

    snprintf(path, sizeof path, "%s/f", scratch->dir);
    kit_write(path, 23, 10);
    assert_int_equal(file_read_all(path, 1 << 20, &bytes, &size, &err), 0);
    assert_int_equal(try_all(path, &err), 0);
    for (size_t i = 0; i < size; i++)
        for (int bit = 1; bit < 256; bit *= 16) {
            bytes[i] ^= (char)bit;
            scratch_write(scratch, "f", bytes, size);
            if (try_all(path, &err) != -ERR_INPUT)
                fail_msg("byte %zu of %zu", i, size);
            if (i >= PACKED_MAGIC_BYTES) /* or it is no packed file at all */
                must_name(&err, path, "offset");
            bytes[i] ^= (char)bit;
        }
    for (size_t i = PACKED_MAGIC_BYTES; i < size; i += 7) {
        bytes[i] ^= 1;
        if (try_stream(scratch, bytes, size, &err) != -ERR_INPUT)
            fail_msg("byte %zu of %zu", i, size);
        bytes[i] ^= 1;
    }
    free(bytes);
}

static void test_what_is_cut_off_or_appended_is_found(void **state)
{
    struct scratch *scratch = *state;
    char path[1100];
    struct err err;
    char *bytes, *longer;
    size_t size;

    snprintf(path, sizeof path, "%s/f", scratch->dir);
    kit_write(path, 23, 10);
    assert_int_equal(file_read_all(path, 1 << 20, &bytes, &size, &err), 0);
    longer = realloc(bytes, size + 8);
    assert_non_null(longer);
    bytes = longer;
    memset(bytes + size, 0, 8);
    for (size_t i = 0; i < size + 8; i++) {
        if (i == size)
            continue;
        scratch_write(scratch, "f", bytes, i);
        if (try_all(path, &err) != -ERR_INPUT)
            fail_msg("%zu of %zu bytes", i, size);
        must_name(&err, path, "");
    }
    for (size_t i = 0; i < size + 8; i += 13) {
        if (i != size && try_stream(scratch, bytes, i, &err) != -ERR_INPUT)
            fail_msg("%zu of %zu bytes as a stream", i, size);
    }
    assert_int_equal(try_stream(scratch, bytes, size, &err), 0);
    assert_int_equal(try_stream(scratch, bytes, size + 1, &err), -ERR_INPUT);
    must_name(&err, "pipe", "behind its end");
    scratch_write(scratch, "f", bytes, size - 200);
    assert_int_equal(try_all(path, &err), -ERR_INPUT);
    must_name(&err, path, "block 2");
    free(bytes);
}

static void test_what_is_no_packed_file(void **state)
{
    struct err err;

    assert_int_equal(try_all(scratch_text(*state, "f", "user\titem\n"), &err),
                     -ERR_INPUT);
    assert_int_equal(
        try_all(scratch_text(*state, "f",
                             "user\titem\tlabel and so on, as long as a header is\n"),
                &err),
        -ERR_INPUT);
    must_name(&err, "/f", "not a packed file");
    assert_int_equal(try_all(scratch_path(*state, "none"), &err), -ERR_INPUT);
    must_name(&err, "none", "");
    unlink(scratch_path(*state, "f"));
    assert_int_equal(try_all(((struct scratch *)*state)->dir, &err), -ERR_INPUT);
}

/* A later version is refused and not guessed at, if its header is whole. */
static void test_a_later_format_is_refused(void **state)
{
    struct scratch *scratch = *state;
    char path[1100];
    struct err err;
    uint64_t sum;
    char *bytes;
    size_t size;
    uint32_t header;

    snprintf(path, sizeof path, "%s/f", scratch->dir);
    kit_write(path, 3, 10);
    assert_int_equal(file_read_all(path, 1 << 20, &bytes, &size, &err), 0);
    memcpy(&header, bytes + 12, 4);
    bytes[8] = PACKED_FORMAT + 1;
    sum = XXH3_64bits(bytes, header - 8);
    memcpy(bytes + header - 8, &sum, 8);
    scratch_write(scratch, "f", bytes, size);
    assert_int_equal(try_all(path, &err), -ERR_INPUT);
    must_name(&err, path, "newer");
    free(bytes);
}

/* --- refusals ------------------------------------------------------------------ */

static int try_match(const struct packed *packed, const struct schema *wanted,
                     struct err *err)
{
    struct packed_columns columns;

    return packed_match(packed, wanted, &columns, err);
}

static void test_columns_that_do_not_match(void **state)
{
    struct schema schema = kit_schema();
    const char *path = scratch_path(*state, "f");
    struct packed *packed;
    struct err err;

    kit_write(path, 3, 10);
    packed = must_open(path);
    strcpy(schema.column[0].name, "usr");
    assert_int_equal(try_match(packed, &schema, &err), -ERR_INPUT);
    must_name(&err, path, "no column usr");
    must_name(&err, "did you mean user", "its columns are user, item");
    schema = kit_schema();
    schema.column[1].kind = VALUE_NUMBER;
    assert_int_equal(try_match(packed, &schema, &err), -ERR_INPUT);
    must_name(&err, path, "column item was packed as a key, wanted as a number");
    schema = kit_schema();
    schema.column[1].keep_text = true;
    assert_int_equal(try_match(packed, &schema, &err), -ERR_INPUT);
    must_name(&err, "item", "--texts");
    schema = kit_schema();
    schema.column[4].dim++;
    assert_int_equal(try_match(packed, &schema, &err), -ERR_INPUT);
    must_name(&err, "vectors of", "image");
    packed_close(packed);
}

/* What the file may lack and the job must have; keys that no row of a dense table is
 * for. */
static void test_values_that_do_not_fit(void **state)
{
    struct schema schema = kit_schema();
    const char *path = scratch_path(*state, "f");
    struct packed *packed;
    struct err err;

    kit_write(path, 30, 10);
    for (uint32_t c = 0; c < schema.columns; c++) {
        struct packed_columns columns;
        struct block block;
        int rc = 0;

        if (!schema.column[c].may_miss || strcmp(schema.column[c].name, "shop") == 0)
            continue;
        schema.column[c].may_miss = false;
        packed = must_open(path);
        assert_int_equal(packed_match(packed, &schema, &columns, &err), 0);
        assert_int_equal(block_create(&block, &schema, 10, &err), 0);
        for (uint64_t b = 0; b < 3 && rc == 0; b++)
            rc = packed_read_block(packed, b, &columns, &block, &err);
        assert_int_equal(rc, -ERR_INPUT);
        assert_int_equal(block.n, 0);
        must_name(&err, " example ", schema.column[c].name);
        must_name(&err, path, "no value");
        block_release(&block);
        packed_close(packed);
        schema.column[c].may_miss = true;
    }
}

/* A vector that was packed with a gap is no damage where gaps are not wanted. */
static void test_a_gap_in_a_vector_is_said(void **state)
{
    struct schema schema = SCHEMA_EMPTY;
    const char *path = scratch_path(*state, "f");
    struct packed_columns columns;
    struct packed_writer *writer;
    struct packed_facts facts;
    struct packed *packed;
    struct block block;
    struct err err;

    schema_add(&schema, "image", VALUE_VECTOR);
    schema.column[0].dim = 2;
    assert_int_equal(block_create(&block, &schema, 4, &err), 0);
    for (uint32_t i = 0; i < 8; i++)
        block.column[0].number[i] = i / 2 == 2 ? NAN : (float)i;
    block.n = 4;
    assert_int_equal(packed_create(path, &schema, 0, &writer, &err), 0);
    assert_int_equal(packed_append(writer, &block, &err), 0);
    assert_int_equal(packed_finish(writer, &facts, &err), 0);
    packed_destroy(writer);
    block_clear(&block);
    packed = must_open(path);
    assert_int_equal(packed_match(packed, &schema, &columns, &err), 0);
    assert_int_equal(packed_read_block(packed, 0, &columns, &block, &err), -ERR_INPUT);
    must_name(&err, path, "example 2, column image: there is no value");
    packed_close(packed);
    block_release(&block);
}

static void test_dense_tables_have_bounds(void **state)
{
    struct schema schema = SCHEMA_EMPTY;
    const char *path = scratch_path(*state, "f");
    struct packed_columns columns;
    struct packed *packed;
    struct block block;
    struct err err;

    schema_add(&schema, "item", VALUE_KEY);
    strcpy(schema.column[0].table, "films");
    schema.column[0].rows = 1;
    kit_write(path, 30, 10);
    packed = must_open(path);
    assert_int_equal(packed_match(packed, &schema, &columns, &err), 0);
    assert_int_equal(block_create(&block, &schema, 10, &err), 0);
    assert_int_equal(packed_read_block(packed, 0, &columns, &block, &err), -ERR_INPUT);
    must_name(&err, "films", "column item");
    block_release(&block);
    packed_close(packed);
}

static void test_schemas_that_cannot_be_packed(void **state)
{
    struct schema schema = SCHEMA_EMPTY;
    struct packed_writer *writer;
    const char *path = scratch_path(*state, "f");
    struct err err;

    assert_int_equal(packed_create(path, &schema, 0, &writer, &err), -ERR_INPUT);
    must_name(&err, "/f", "number of columns");
    schema_add(&schema, "", VALUE_KEY);
    assert_int_equal(packed_create(path, &schema, 0, &writer, &err), -ERR_INPUT);
    strcpy(schema.column[0].name, "a\nb");
    assert_int_equal(packed_create(path, &schema, 0, &writer, &err), -ERR_INPUT);
    strcpy(schema.column[0].name, "a");
    schema_add(&schema, "a", VALUE_KEY);
    assert_int_equal(packed_create(path, &schema, 0, &writer, &err), -ERR_INPUT);
    must_name(&err, "same name", "");
    schema.column[1] = (struct schema_column){
        .name = "v", .kind = VALUE_VECTOR, .dim = 1 << 21};
    assert_int_equal(packed_create(path, &schema, 0, &writer, &err), -ERR_INPUT);
    must_name(&err, "4 MiB", "");
    assert_int_equal(access(path, F_OK), -1);
}

/* Numbers that nobody could train on, and a file that is given up. */
static void test_what_cannot_be_packed_leaves_no_file(void **state)
{
    static const float bad[] = {INFINITY, -INFINITY, NAN};
    struct schema schema = SCHEMA_EMPTY;
    const char *path = scratch_path(*state, "f");
    struct packed_writer *writer;
    struct packed_facts facts;
    struct block block;
    struct err err;

    schema_add(&schema, "label", VALUE_NUMBER);
    assert_int_equal(block_create(&block, &schema, 1, &err), 0);
    block.n = 1;
    for (int i = 0; i < 3; i++) {
        block.column[0].number[0] = bad[i];
        assert_int_equal(packed_create(path, &schema, 0, &writer, &err), 0);
        assert_int_equal(packed_append(writer, &block, &err), 0);
        assert_int_equal(packed_finish(writer, &facts, &err), -ERR_INPUT);
        must_name(&err, "label", "finite");
        packed_destroy(writer);
        assert_int_equal(access(path, F_OK), -1);
    }
    block_release(&block);
}

#define WITH_SCRATCH(test)                                                             \
    cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SCRATCH(test_every_kind_comes_back),
        WITH_SCRATCH(test_schemas_come_back),
        WITH_SCRATCH(test_an_empty_file_has_no_examples),
        WITH_SCRATCH(test_blocks_are_read_in_any_order),
        WITH_SCRATCH(test_only_wanted_columns_are_read),
        WITH_SCRATCH(test_blocks_are_cut_as_memory_says),
        WITH_SCRATCH(test_a_pipe_is_read_to_its_end),
        WITH_SCRATCH(test_every_flipped_byte_is_found),
        WITH_SCRATCH(test_what_is_cut_off_or_appended_is_found),
        WITH_SCRATCH(test_what_is_no_packed_file),
        WITH_SCRATCH(test_a_later_format_is_refused),
        WITH_SCRATCH(test_columns_that_do_not_match),
        WITH_SCRATCH(test_values_that_do_not_fit),
        WITH_SCRATCH(test_a_gap_in_a_vector_is_said),
        WITH_SCRATCH(test_dense_tables_have_bounds),
        WITH_SCRATCH(test_schemas_that_cannot_be_packed),
        WITH_SCRATCH(test_what_cannot_be_packed_leaves_no_file),
    };

    return cmocka_run_group_tests_name("packed", tests, NULL, NULL);
}

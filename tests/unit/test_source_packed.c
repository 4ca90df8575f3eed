/* Packed files as a source: the same blocks as of text, whole or in pieces. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/rng.h"
#include "tests/unit/packed_kit.h"
#include "tests/unit/scratch.h"
#include "worker/stream/source.h"

enum { EXAMPLES = 230, CAPACITY = 10 };

static struct source *must_create(const struct schema *schema, const char *format)
{
    static struct job job; /* too large for a stack frame */
    struct source *source;
    struct err err;

    job_init(&job);
    assert_int_equal(job_set(&job, "data.format", format, "test", &err), 0);
    if (source_create(&job, schema, &source, &err))
        fail_msg("%s", err.text);
    return source;
}

/* Reads a piece in blocks of `capacity`; its examples are marked in seen[]. */
static void read_piece(struct source *source, const struct piece *piece,
                       struct block *block, uint8_t seen[EXAMPLES])
{
    struct err err;
    int rc;

    if (source_open(source, piece, &err))
        fail_msg("%s", err.text);
    while ((rc = source_next(source, block, &err)) > 0) {
        assert_true(block->n > 0);
        for (uint32_t i = 0; i < block->n; i++) {
            assert_in_range(block->place[i], 0, EXAMPLES - 1);
            seen[block->place[i]]++;
            kit_must_be(block, i, block->place[i]);
        }
    }
    if (rc)
        fail_msg("%s", err.text);
}

/* However a file is cut, between blocks or within them, each example is in one piece.
 */
static void test_pieces_have_every_example_once(void **state)
{
    static const uint32_t capacities[] = {1, 7, CAPACITY, 1000};
    struct schema schema = kit_schema();
    const char *path = scratch_path(*state, "f");

    kit_write(path, EXAMPLES, CAPACITY);
    for (uint64_t round = 0; round < 40; round++) {
        struct source *source = must_create(&schema, round % 2 ? "tsv" : "packed");
        uint8_t seen[EXAMPLES] = {0};
        uint64_t begin = 0;
        struct block block;
        struct err err;

        assert_int_equal(block_create(&block, &schema, capacities[round % 4], &err), 0);
        while (begin != PIECE_END) {
            uint64_t step = 1 + rng_at(1, round, begin) % (1000 * (round + 1));
            uint64_t end = begin + step > 40000 ? PIECE_END : begin + step;
            struct piece piece = {.path = path, .begin = begin, .end = end};

            read_piece(source, &piece, &block, seen);
            begin = end;
        }
        for (int i = 0; i < EXAMPLES; i++)
            assert_int_equal(seen[i], 1);
        block_release(&block);
        source_destroy(source);
    }
}

/* Of another file, the file before is forgotten; of a damaged one, nothing stays open.
 */
static void test_files_come_one_after_the_other(void **state)
{
    struct schema schema = kit_schema();
    struct scratch *scratch = *state;
    struct source *source = must_create(&schema, "packed");
    uint8_t seen[EXAMPLES] = {0};
    char one[1100], two[1100];
    struct block block;
    struct err err;

    snprintf(one, sizeof one, "%s/one", scratch->dir);
    snprintf(two, sizeof two, "%s/two", scratch->dir);
    kit_write(one, 30, 10);
    kit_write(two, EXAMPLES, 100);
    assert_int_equal(block_create(&block, &schema, 64, &err), 0);
    read_piece(source, &(struct piece){.path = one, .end = PIECE_END}, &block, seen);
    read_piece(source, &(struct piece){.path = two, .end = PIECE_END}, &block, seen);
    assert_int_equal(seen[29], 2);
    assert_int_equal(seen[EXAMPLES - 1], 1);
    assert_string_equal(strrchr(source_where(source, 17), '/'), "/two example 17");
    scratch_text(scratch, "one", "no packed file, but as long as a header of one");
    assert_int_equal(
        source_open(source, &(struct piece){.path = one, .end = PIECE_END}, &err),
        -ERR_INPUT);
    assert_non_null(strstr(err.text, "/one is not a packed file"));
    read_piece(source, &(struct piece){.path = two, .end = PIECE_END}, &block, seen);
    assert_int_equal(seen[EXAMPLES - 1], 2);
    block_release(&block);
    source_destroy(source);
}

/* Without data.format: packed a file is known by its beginning, and text stays text. */
static void test_kinds_are_told_by_their_beginning(void **state)
{
    struct schema schema = SCHEMA_EMPTY;
    struct scratch *scratch = *state;
    struct source *source;
    char packed[1100], text[1100];
    struct block block;
    struct err err;

    schema_add(&schema, "item", VALUE_KEY);
    snprintf(packed, sizeof packed, "%s/packed", scratch->dir);
    snprintf(text, sizeof text, "%s/text", scratch->dir);
    kit_write(packed, 3, 10);
    scratch_text(scratch, "text", "item\n17\n18\n");
    source = must_create(&schema, "tsv");
    assert_int_equal(block_create(&block, &schema, 10, &err), 0);
    for (int round = 0; round < 2; round++) {
        struct piece piece = {.path = packed, .end = PIECE_END};

        assert_int_equal(source_open(source, &piece, &err), 0);
        assert_int_equal(source_next(source, &block, &err), 1);
        assert_int_equal(block.n, 3);
        assert_true(block.column[0].key[1] == kit_item(1));
        piece.path = text;
        assert_int_equal(source_open(source, &piece, &err), 0);
        assert_int_equal(source_next(source, &block, &err), 1);
        assert_int_equal(block.n, 2);
        assert_int_equal(block.column[0].key[1], 18);
    }
    block_release(&block);
    source_destroy(source);
}

#define WITH_SCRATCH(test)                                                             \
    cmocka_unit_test_setup_teardown(test, scratch_setup, scratch_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_SCRATCH(test_pieces_have_every_example_once),
        WITH_SCRATCH(test_files_come_one_after_the_other),
        WITH_SCRATCH(test_kinds_are_told_by_their_beginning),
    };

    return cmocka_run_group_tests_name("source_packed", tests, NULL, NULL);
}

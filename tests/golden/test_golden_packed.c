/* Packed files of every earlier format stay readable: tests/golden/packed-N/examples
 * has columns of every kind, in every encoding. Never written again; a new format gets
 * a new directory, made by
 *
 *     build/release/tests/golden/test_golden_packed.t --write tests/golden/packed-N */
#include <unistd.h>

#include "common/file.h"
#include "tests/unit/packed_kit.h"

static const char golden[] = "tests/golden/packed-1/examples";

enum { EXAMPLES = 83, CAPACITY = 10 };

static void test_it_stays_readable(void **state)
{
    struct schema schema = kit_schema();
    struct packed_columns columns;
    struct packed *packed;
    struct block block;
    struct err err;
    uint64_t n = 0;

    (void)state;
    if (packed_open(golden, &packed, &err) ||
        packed_match(packed, &schema, &columns, &err))
        fail_msg("%s", err.text);
    assert_int_equal(packed_examples(packed), EXAMPLES);
    assert_int_equal(packed_schema(packed)->label, schema.label);
    assert_int_equal(block_create(&block, &schema, packed_capacity(packed), &err), 0);
    for (uint64_t b = 0; b < packed_blocks(packed); b++) {
        if (packed_read_block(packed, b, &columns, &block, &err))
            fail_msg("%s", err.text);
        for (uint32_t i = 0; i < block.n; i++, n++) {
            assert_int_equal(block.place[i], n);
            kit_must_be(&block, i, n);
        }
    }
    assert_int_equal(n, EXAMPLES);
    block_release(&block);
    packed_close(packed);
}

/* While format 1 is the newest, the same examples make the same bytes: a job's data is
 * known by what it holds, and two who pack the same have the same file. */
static void test_writing_has_not_changed(void **state)
{
    char path[] = "/tmp/rowhouse-golden-XXXXXX";
    char *written, *wanted;
    size_t written_size, wanted_size;
    struct err err;
    int fd = mkstemp(path);

    (void)state;
    assert_true(fd >= 0);
    close(fd);
    kit_write(path, EXAMPLES, CAPACITY);
    assert_int_equal(file_read_all(path, 1 << 20, &written, &written_size, &err), 0);
    assert_int_equal(file_read_all(golden, 1 << 20, &wanted, &wanted_size, &err), 0);
    unlink(path);
    assert_int_equal(written_size, wanted_size);
    assert_memory_equal(written, wanted, wanted_size);
    free(written);
    free(wanted);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_it_stays_readable),
        cmocka_unit_test(test_writing_has_not_changed),
    };
    char path[512];

    if (argc != 3 || strcmp(argv[1], "--write") != 0)
        return cmocka_run_group_tests_name("golden_packed", tests, NULL, NULL);
    snprintf(path, sizeof path, "%s/examples", argv[2]);
    if (access(path, F_OK) == 0)
        return 1;
    kit_write(path, EXAMPLES, CAPACITY);
    return 0;
}

/* A preparation as it was once saved must stay readable, and the same data must give
 * the same bytes. `test_golden_prepare --write` writes the file if it is missing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/file.h"
#include "tests/golden/prepare_sample.h"

static const char golden[] = "tests/golden/prepare/format-1.bin";

static void test_what_was_saved_is_read_and_written_again(void **state)
{
    struct kit *kit = sample_kit();
    struct prepare *fitted = sample_fitted(kit), *loaded = kit_prepare(kit);
    unsigned char *now;
    size_t size, now_size;
    char *bytes;

    (void)state;
    if (file_read_all(golden, 1 << 20, &bytes, &size, &kit->err))
        fail_msg("%s", kit->err.text);
    if (prepare_load(loaded, (unsigned char *)bytes, size, &kit->err))
        fail_msg("%s", kit->err.text);
    assert_int_equal(prepare_save(loaded, &now, &now_size, &kit->err), 0);
    assert_int_equal(now_size, size);
    assert_memory_equal(now, bytes, size);
    free(now);
    assert_int_equal(prepare_save(fitted, &now, &now_size, &kit->err), 0);
    assert_int_equal(now_size, size);
    assert_memory_equal(now, bytes, size);
    free(now);
    free(bytes);
    prepare_destroy(fitted);
    prepare_destroy(loaded);
    kit_destroy(kit);
}

static int write_golden(void)
{
    struct kit *kit = sample_kit();
    struct prepare *fitted = sample_fitted(kit);
    unsigned char *bytes;
    size_t size;

    if (access(golden, F_OK) == 0)
        return 0;
    return prepare_save(fitted, &bytes, &size, &kit->err) ||
           file_write_atomic(golden, bytes, size, &kit->err);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_was_saved_is_read_and_written_again),
    };

    if (argc > 1 && strcmp(argv[1], "--write") == 0)
        return write_golden();
    return cmocka_run_group_tests_name("golden prepare", tests, NULL, NULL);
}

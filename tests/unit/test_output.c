/* Results on their way out: whole or absent, whatever fails on the way. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "common/file.h"
#include "common/output.h"
#include "tests/unit/fault_calls.h"
#include "tests/unit/scratch.h"

enum { PIECES = 300, PIECE = 10007 }; /* more than the buffer */

static int scratch_entries(struct scratch *scratch)
{
    DIR *dir = opendir(scratch->dir);
    int n = -2; /* . and .. */

    assert_non_null(dir);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n;
}

static int write_pieces(const char *path, struct output *output, struct err *err)
{
    static unsigned char piece[PIECE];
    int rc = output_open(output, path, err);

    for (int i = 0; i < PIECES && rc == 0; i++) {
        unsigned char *room;

        memset(piece, 'a' + i % 26, sizeof piece);
        if (i % 2) {
            rc = output_write(output, piece, sizeof piece, err);
            continue;
        }
        rc = output_room(output, OUTPUT_ROOM_MAX, &room, err);
        if (rc == 0) {
            memcpy(room, piece, sizeof piece);
            output_used(output, sizeof piece);
        }
    }
    if (rc == 0)
        rc = output_finish(output, err);
    output_release(output);
    return rc;
}

static void must_hold_pieces(const char *path)
{
    struct err err;
    char *data;
    size_t size;

    assert_int_equal(file_read_all(path, PIECES * PIECE, &data, &size, &err), 0);
    assert_int_equal(size, PIECES * PIECE);
    for (size_t i = 0; i < size; i++)
        assert_int_equal(data[i], 'a' + i / PIECE % 26);
    free(data);
}

static void test_a_file_is_what_was_written(void **state)
{
    struct scratch *scratch = *state;
    const char *path = scratch_write(scratch, "out", "old", 3);
    struct output output;
    struct err err;

    fault.short_writes = true;
    assert_int_equal(write_pieces(path, &output, &err), 0);
    fault.short_writes = false;
    assert_int_equal(output_bytes(&output), PIECES * PIECE);
    must_hold_pieces(path);
    assert_int_equal(scratch_entries(scratch), 1);
}

/* Every call that can fail fails once: the old file is as it was, and nothing beside
 * it. */
static void test_an_error_leaves_everything_as_before(void **state)
{
    static const enum fault_call calls[] = {FAULT_WRITE, FAULT_FSYNC, FAULT_CLOSE,
                                            FAULT_RENAME};
    struct scratch *scratch = *state;
    const char *path = scratch_write(scratch, "out", "old", 3);
    struct output output;
    struct err err;

    for (int c = 0; c < 4; c++)
        for (int nth = 1; nth <= (c == 0 ? 2 : 1); nth++) {
            char *data;
            size_t size;

            fault_arm(calls[c], nth, ENOSPC);
            assert_int_equal(write_pieces(path, &output, &err), -ERR_SYSTEM);
            assert_true(fault_disarm());
            assert_non_null(strstr(err.text, path));
            assert_non_null(strstr(err.text, "No space left"));
            assert_int_equal(file_read_all(path, 100, &data, &size, &err), 0);
            assert_string_equal(data, "old");
            free(data);
            assert_int_equal(scratch_entries(scratch), 1);
        }
}

static void test_what_is_given_up_is_gone(void **state)
{
    struct scratch *scratch = *state;
    const char *path = scratch_path(scratch, "out");
    struct output output;
    struct err err;

    assert_int_equal(output_open(&output, path, &err), 0);
    assert_int_equal(output_write(&output, "half", 4, &err), 0);
    assert_int_equal(output_flush(&output, &err), 0);
    assert_int_equal(scratch_entries(scratch), 1); /* under another name */
    assert_memory_equal(strrchr(output.temp, '/'), "/.out.", 6); /* and hidden */
    output_release(&output);
    assert_int_equal(scratch_entries(scratch), 0);
}

static void test_a_reader_that_leaves_is_no_error(void **state)
{
    struct scratch *scratch = *state;
    const char *path = scratch_path(scratch, "pipe");
    struct output output;
    struct err err;
    int fd;

    signal(SIGPIPE, SIG_IGN);
    assert_int_equal(mkfifo(path, 0666), 0);
    fd = open(path, O_RDONLY | O_NONBLOCK);
    assert_true(fd >= 0);
    assert_int_equal(output_open(&output, path, &err), 0);
    assert_int_equal(close(fd), 0);
    assert_int_equal(output_write(&output, "gone", 4, &err), 0);
    assert_int_equal(output_flush(&output, &err), 0);
    assert_true(output.closed);
    assert_int_equal(output_finish(&output, &err), 0);
    output_release(&output);
    assert_int_equal(scratch_entries(scratch), 1);
}

static void test_links_and_devices_are_written_to(void **state)
{
    struct scratch *scratch = *state;
    char target[1024];
    struct output output;
    struct stat info;
    struct err err;

    snprintf(target, sizeof target, "%s", scratch_write(scratch, "target", "old", 3));
    assert_int_equal(symlink(target, scratch_path(scratch, "link")), 0);
    assert_int_equal(write_pieces(scratch->path, &output, &err), 0);
    assert_int_equal(lstat(scratch->path, &info), 0);
    assert_true(S_ISLNK(info.st_mode));
    must_hold_pieces(target);
    /* It is replaced, so that who reads it may go on. */
    assert_int_equal(output_open(&output, scratch->path, &err), 0);
    must_hold_pieces(target);
    output_release(&output);
    must_hold_pieces(target);
    assert_int_equal(scratch_entries(scratch), 2);
    assert_int_equal(write_pieces("/dev/null", &output, &err), 0);
    assert_int_equal(write_pieces("/dev/full", &output, &err), -ERR_SYSTEM);
    assert_non_null(strstr(err.text, "/dev/full: No space left"));
}

static void test_paths_that_cannot_be(void **state)
{
    struct scratch *scratch = *state;
    char path[OUTPUT_PATH_MAX + 1];
    struct output output;
    struct err err;

    memset(path, 'a', sizeof path);
    path[OUTPUT_PATH_MAX] = '\0';
    assert_int_equal(write_pieces(path, &output, &err), -ERR_INPUT);
    path[OUTPUT_PATH_MAX - 1] = '\0';
    assert_int_equal(write_pieces(path, &output, &err), -ERR_SYSTEM);
    assert_int_equal(write_pieces(scratch_path(scratch, "no/out"), &output, &err),
                     -ERR_SYSTEM);
    assert_non_null(strstr(err.text, "no/out: No such file"));
    assert_int_equal(write_pieces(scratch->dir, &output, &err), -ERR_SYSTEM);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_file_is_what_was_written, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_an_error_leaves_everything_as_before,
                                        scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_what_is_given_up_is_gone, scratch_setup,
                                        scratch_teardown),
        cmocka_unit_test_setup_teardown(test_a_reader_that_leaves_is_no_error,
                                        scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_links_and_devices_are_written_to,
                                        scratch_setup, scratch_teardown),
        cmocka_unit_test_setup_teardown(test_paths_that_cannot_be, scratch_setup,
                                        scratch_teardown),
    };

    return cmocka_run_group_tests_name("output", tests, NULL, NULL);
}

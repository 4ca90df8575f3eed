/* Whole files and directories. */
#include "common/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

struct fixture {
    char dir[200];
    char path[300];
    struct err err;
};

static int make_fixture(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    const char *base = getenv("TMPDIR");

    if (!f)
        return -1;
    snprintf(f->dir, sizeof f->dir, "%.100s/rowhouse-file-XXXXXX",
             base ? base : "/tmp");
    *state = f;
    return mkdtemp(f->dir) ? 0 : -1;
}

static int drop_fixture(void **state)
{
    struct fixture *f = *state;
    char command[300];
    int rc;

    snprintf(command, sizeof command, "rm -rf '%s'", f->dir);
    rc = system(command);
    free(f);
    return rc;
}

/* The full name of a file in the test's directory. */
static const char *in_dir(struct fixture *f, const char *name)
{
    snprintf(f->path, sizeof f->path, "%s/%s", f->dir, name);
    return f->path;
}

static int entries(const char *path)
{
    DIR *dir = opendir(path);
    int n = 0;

    assert_non_null(dir);
    while (readdir(dir))
        n++;
    closedir(dir);
    return n - 2; /* . and .. */
}

static void assert_holds(const char *path, const char *text)
{
    struct err err;
    char *data;
    size_t size;

    assert_int_equal(file_read_all(path, 1000, &data, &size, &err), 0);
    assert_int_equal(size, strlen(text));
    assert_string_equal(data, text);
    free(data);
}

static void make_dirs_makes_all_that_are_missing(void **state)
{
    struct fixture *f = *state;
    struct stat info;

    assert_int_equal(file_make_dirs(in_dir(f, "a/b/c"), &f->err), 0);
    assert_int_equal(stat(f->path, &info), 0);
    assert_true(S_ISDIR(info.st_mode));
    assert_int_equal(file_make_dirs(in_dir(f, "a/b/c"), &f->err), 0);
    assert_int_equal(file_make_dirs(in_dir(f, "a//b/d/"), &f->err), 0);
    assert_int_equal(stat(in_dir(f, "a/b/d"), &info), 0);
    assert_int_equal(file_make_dirs("/", &f->err), 0);
}

static void make_dirs_names_what_is_in_the_way(void **state)
{
    struct fixture *f = *state;
    char expected[400], longest[PATH_MAX + 8];

    assert_int_equal(file_write_atomic(in_dir(f, "a"), "x", 1, &f->err), 0);
    snprintf(expected, sizeof expected, "cannot make directory '%s': Not a directory",
             f->path);
    assert_int_equal(file_make_dirs(in_dir(f, "a/b"), &f->err), -ERR_SYSTEM);
    assert_string_equal(f->err.text, expected);
    assert_int_equal(file_make_dirs(in_dir(f, "a"), &f->err), -ERR_SYSTEM);

    assert_int_equal(file_make_dirs("", &f->err), -ERR_SYSTEM);
    memset(longest, 'a', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    assert_int_equal(file_make_dirs(longest, &f->err), -ERR_SYSTEM);
    assert_non_null(strstr(f->err.text, "File name too long"));
}

static void write_makes_and_replaces(void **state)
{
    struct fixture *f = *state;
    struct stat info;
    mode_t mask = umask(027);
    int rc = file_write_atomic(in_dir(f, "new"), "one", 3, &f->err);

    umask(mask);
    assert_int_equal(rc, 0);
    assert_holds(f->path, "one");
    assert_int_equal(stat(f->path, &info), 0);
    assert_int_equal(info.st_mode & 0777, 0640); /* as the umask says */
    assert_int_equal(file_write_atomic(f->path, "three", 5, &f->err), 0);
    assert_holds(f->path, "three");
    assert_int_equal(file_write_atomic(f->path, NULL, 0, &f->err), 0);
    assert_holds(f->path, "");
    assert_int_equal(entries(f->dir), 1);
}

static void write_works_in_the_current_directory(void **state)
{
    struct fixture *f = *state;
    int here = open(".", O_RDONLY | O_DIRECTORY);
    int rc;

    assert_true(here >= 0);
    assert_int_equal(chdir(f->dir), 0);
    rc = file_write_atomic("bare", "x", 1, &f->err);
    assert_int_equal(fchdir(here), 0);
    close(here);
    assert_int_equal(rc, 0);
    assert_holds(in_dir(f, "bare"), "x");
}

/* A leftover of a crash with our process number does not matter. */
static void write_passes_by_a_leftover(void **state)
{
    struct fixture *f = *state;
    char name[64];

    snprintf(name, sizeof name, "a.%ld-0.tmp", (long)getpid());
    assert_int_equal(file_write_atomic(in_dir(f, name), "old", 3, &f->err), 0);
    assert_int_equal(file_write_atomic(in_dir(f, "a"), "new", 3, &f->err), 0);
    assert_holds(f->path, "new");
    assert_int_equal(entries(f->dir), 2);
}

/* A file may not grow beyond 4 bytes: the write fails half way. */
static void a_failed_write_leaves_the_old_file(void **state)
{
    struct fixture *f = *state;
    struct rlimit old, small;
    char expected[400];
    int rc;

    assert_int_equal(file_write_atomic(in_dir(f, "a"), "old", 3, &f->err), 0);
    snprintf(expected, sizeof expected, "cannot write '%s': File too large", f->path);
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 4;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    rc = file_write_atomic(f->path, "longer than four", 16, &f->err);
    setrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(rc, -ERR_SYSTEM);
    assert_string_equal(f->err.text, expected);
    assert_holds(f->path, "old");
    assert_int_equal(entries(f->dir), 1);
}

static void a_write_that_cannot_begin_says_where(void **state)
{
    struct fixture *f = *state;
    char expected[400], longest[PATH_MAX];

    snprintf(expected, sizeof expected, "cannot write '%s/no/a': %s", f->dir,
             strerror(ENOENT));
    assert_int_equal(file_write_atomic(in_dir(f, "no/a"), "x", 1, &f->err),
                     -ERR_SYSTEM);
    assert_string_equal(f->err.text, expected);
    snprintf(expected, sizeof expected, "cannot write '%s': %s", f->dir,
             strerror(EISDIR));
    assert_int_equal(file_write_atomic(f->dir, "x", 1, &f->err), -ERR_SYSTEM);
    assert_string_equal(f->err.text, expected);
    memset(longest, 'a', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    assert_int_equal(file_write_atomic(longest, "x", 1, &f->err), -ERR_SYSTEM);
    assert_non_null(strstr(f->err.text, "File name too long"));
}

/* /dev/null must stay a device, even for root. */
static void a_device_is_written_to_directly(void **state)
{
    struct fixture *f = *state;
    struct stat info;

    assert_int_equal(file_write_atomic("/dev/null", "x", 1, &f->err), 0);
    assert_int_equal(stat("/dev/null", &info), 0);
    assert_true(S_ISCHR(info.st_mode));
    assert_int_equal(file_write_atomic("/dev/full", "x", 1, &f->err), -ERR_SYSTEM);
    assert_string_equal(f->err.text,
                        "cannot write '/dev/full': No space left on device");
}

static void read_takes_up_to_max_bytes(void **state)
{
    struct fixture *f = *state;
    char expected[400], big[10000];
    char *data;
    size_t size;

    memset(big, 'b', sizeof big);
    assert_int_equal(file_write_atomic(in_dir(f, "a"), big, sizeof big, &f->err), 0);
    assert_int_equal(file_read_all(f->path, sizeof big, &data, &size, &f->err), 0);
    assert_int_equal(size, sizeof big);
    assert_memory_equal(data, big, size);
    assert_int_equal(data[size], 0);
    free(data);

    assert_int_equal(file_read_all(f->path, sizeof big - 1, &data, &size, &f->err),
                     -ERR_INPUT);
    snprintf(expected, sizeof expected, "'%s' is longer than 9999 bytes", f->path);
    assert_string_equal(f->err.text, expected);
    assert_null(data);
    assert_int_equal(size, 0);
    /* One without end. */
    assert_int_equal(file_read_all("/dev/zero", 100000, &data, &size, &f->err),
                     -ERR_INPUT);
}

static void read_says_what_is_wrong_with_the_file(void **state)
{
    struct fixture *f = *state;
    char expected[400];
    char *data;
    size_t size;

    snprintf(expected, sizeof expected, "cannot read '%s': No such file or directory",
             in_dir(f, "none"));
    assert_int_equal(file_read_all(f->path, 10, &data, &size, &f->err), -ERR_INPUT);
    assert_string_equal(f->err.text, expected);
    snprintf(expected, sizeof expected, "cannot read '%s': Is a directory", f->dir);
    assert_int_equal(file_read_all(f->dir, 10, &data, &size, &f->err), -ERR_INPUT);
    assert_string_equal(f->err.text, expected);
    /* Reading a process's memory at 0 is an error of the system. */
    assert_int_equal(file_read_all("/proc/self/mem", 10, &data, &size, &f->err),
                     -ERR_SYSTEM);
    assert_null(data);
}

static void sync_dir_needs_a_directory(void **state)
{
    struct fixture *f = *state;
    char expected[400];

    assert_int_equal(file_sync_dir(f->dir, &f->err), 0);
    snprintf(expected, sizeof expected, "cannot open directory '%s': %s",
             in_dir(f, "none"), strerror(ENOENT));
    assert_int_equal(file_sync_dir(f->path, &f->err), -ERR_SYSTEM);
    assert_string_equal(f->err.text, expected);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_fixture, drop_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(make_dirs_makes_all_that_are_missing),
        TEST(make_dirs_names_what_is_in_the_way),
        TEST(write_makes_and_replaces),
        TEST(write_works_in_the_current_directory),
        TEST(write_passes_by_a_leftover),
        TEST(a_failed_write_leaves_the_old_file),
        TEST(a_write_that_cannot_begin_says_where),
        TEST(a_device_is_written_to_directly),
        TEST(read_takes_up_to_max_bytes),
        TEST(read_says_what_is_wrong_with_the_file),
        TEST(sync_dir_needs_a_directory),
    };

    return cmocka_run_group_tests_name("file", tests, NULL, NULL);
}

/* A folder of files for one test, below $TMPDIR or /tmp. All functions stop the test on
 * an error. */
#ifndef ROWHOUSE_TESTS_UNIT_SCRATCH_H
#define ROWHOUSE_TESTS_UNIT_SCRATCH_H

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

struct scratch {
    char dir[256];
    char path[1024]; /* of the file that scratch_path() named last */
};

static inline void scratch_init(struct scratch *scratch)
{
    const char *base = getenv("TMPDIR");

    snprintf(scratch->dir, sizeof scratch->dir, "%s/rowhouse-test-XXXXXX",
             base ? base : "/tmp");
    assert_non_null(mkdtemp(scratch->dir));
}

/* The path of a file in the folder; valid until the next call. */
static inline const char *scratch_path(struct scratch *scratch, const char *name)
{
    snprintf(scratch->path, sizeof scratch->path, "%s/%s", scratch->dir, name);
    return scratch->path;
}

static inline const char *scratch_write(struct scratch *scratch, const char *name,
                                        const void *bytes, size_t size)
{
    FILE *file = fopen(scratch_path(scratch, name), "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
    return scratch->path;
}

static inline const char *scratch_text(struct scratch *scratch, const char *name,
                                       const char *text)
{
    return scratch_write(scratch, name, text, strlen(text));
}

/* Removes the folder; it must hold only files and empty folders. */
static inline void scratch_release(struct scratch *scratch)
{
    DIR *dir = opendir(scratch->dir);
    struct dirent *entry;

    assert_non_null(dir);
    while ((entry = readdir(dir)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            assert_int_equal(remove(scratch_path(scratch, entry->d_name)), 0);
    closedir(dir);
    assert_int_equal(rmdir(scratch->dir), 0);
}

/* Setup and teardown of a test whose state is a folder of its own. */
static inline int scratch_setup(void **state)
{
    static struct scratch scratch;

    scratch_init(&scratch);
    *state = &scratch;
    return 0;
}

static inline int scratch_teardown(void **state)
{
    scratch_release(*state);
    return 0;
}

#endif

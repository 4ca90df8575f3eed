/* Settings of columns: their limits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "common/job.h"

static void limits_of_preparations(void **state)
{
    static const char *const outside[] = {
        "make=age",          "missing=skip",    "clip_low=-0.1",    "clip_high=1.1",
        "clip_z=-1",         "transform=sqrt",  "scale=no",         "buckets=65537",
        "hash=-1",           "vocabulary=some", "vocabulary_min=0", "unseen=65537",
        "vocabulary_max=-1", "words=few",       "words_max=0",      "length=0"};
    static const char *const inside[] = {
        "make=none",       "missing=category", "clip_low=0.5",
        "clip_high=1",     "clip_z=3",         "transform=none",
        "scale=none",      "buckets=65536",    "hash=1000000000000000",
        "vocabulary=none", "unseen=0",         "words=none",
        "words_max=1",     "length=65536",     "missing_value=-1"};
    struct job *job = malloc(sizeof *job);
    struct err err;
    char name[64];

    (void)state;
    assert_non_null(job);
    job_init(job);
    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++) {
        const char *equals = strchr(outside[i], '=');

        snprintf(name, sizeof name, "data.columns.x.%.*s", (int)(equals - outside[i]),
                 outside[i]);
        assert_int_equal(job_set(job, name, equals + 1, "here", &err), -ERR_INPUT);
        assert_non_null(strstr(err.text, "expected"));
    }
    for (size_t i = 0; i < sizeof inside / sizeof *inside; i++) {
        const char *equals = strchr(inside[i], '=');

        snprintf(name, sizeof name, "data.columns.x.%.*s", (int)(equals - inside[i]),
                 inside[i]);
        assert_int_equal(job_set(job, name, equals + 1, "here", &err), 0);
    }
    assert_int_equal(job->data.column[0].steps.vocabulary, VOCABULARY_NONE);
    assert_int_equal(job->data.column[0].steps.missing, MISSING_CATEGORY);
    assert_int_equal(job->data.column[0].steps.hash, 1000000000000000);
    free(job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(limits_of_preparations),
    };

    return cmocka_run_group_tests_name("job columns", tests, NULL, NULL);
}

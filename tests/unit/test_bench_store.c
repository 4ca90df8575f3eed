#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "launch/bench_store.h"

/* Runs it; returns what it printed, to be freed. */
static char *bench(int argc, const char *const *argv, int *rc, struct err *err)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    assert_non_null(out);
    err->text[0] = '\0';
    *rc = bench_store(argc, (char **)argv, out, err);
    fclose(out);
    return text;
}

static void test_json(void **state)
{
    static const char *const positive[] = {
        "insert_per_second",          "find_per_second",
        "apply_per_second",           "gather_limit_per_second",
        "gather_16_ahead_per_second", "longest_insert_microseconds",
        "overhead_bytes_per_row"};
    const char *argv[] = {"--rows",   "30000", "--dim",    "8",    "--json",
                          "--repeat", "2",     "--memory", "memfd"};
    struct err err;
    json_t *json;
    char *text;
    int rc;

    (void)state;
    text = bench(9, argv, &rc, &err);
    assert_string_equal(err.text, "");
    assert_int_equal(rc, 0);
    json = json_loads(text, 0, NULL);
    assert_non_null(json);
    assert_int_equal(json_integer_value(json_object_get(json, "rows")), 30000);
    assert_int_equal(json_integer_value(json_object_get(json, "dim")), 8);
    assert_string_equal(json_string_value(json_object_get(json, "memory")), "memfd");
    for (size_t i = 0; i < sizeof positive / sizeof positive[0]; i++)
        assert_true(json_number_value(json_object_get(json, positive[i])) > 0);
    json_decref(json);
    free(text);
}

static void test_for_people(void **state)
{
    const char *argv[] = {"--rows", "1", "--dim", "1", "--repeat", "1"};
    struct err err;
    char *text;
    int rc;

    (void)state;
    text = bench(6, argv, &rc, &err);
    assert_int_equal(rc, 0);
    assert_non_null(strstr(text, "table of 1 rows, dim 1, anonymous memory"));
    assert_non_null(strstr(text, "M/s"));
    free(text);
}

static void test_wrong_options(void **state)
{
    static const struct {
        const char *argv[3];
        int argc;
        const char *says;
    } bad[] = {
        {{"--rowz", "5"}, 2, "bench store: unknown option '--rowz'; there are --rows"},
        {{"--rows"}, 1, "bench store: --rows must be a number from 1 to 4294967294"},
        {{"--rows", "0"}, 2, "not '0'"},
        {{"--rows", "-1"}, 2, "not '-1'"},
        {{"--rows", "12x"}, 2, "not '12x'"},
        {{"--rows", "99999999999999999999"}, 2, "--rows must be a number"},
        {{"--dim", "65537"}, 2, "--dim must be a number from 1 to 65536, not '65537'"},
        {{"--repeat", "100"}, 2, "--repeat must be a number from 1 to 99"},
        {{"--memory", "paper"}, 2, "--memory must be anonymous or memfd, not 'paper'"},
        {{"--json", "--memory"}, 2, "--memory must be anonymous or memfd, not ''"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct err err;
        char *text;
        int rc;

        text = bench(bad[i].argc, bad[i].argv, &rc, &err);
        assert_int_equal(rc, -ERR_INPUT);
        assert_non_null(strstr(err.text, bad[i].says));
        assert_string_equal(text, "");
        free(text);
    }
}

/* A run that fails says why. */
static void test_no_address_space(void **state)
{
    const char *argv[] = {"--rows", "4294967294", "--dim", "65536"};
    struct err err;
    char *text;
    int rc;

    (void)state;
    text = bench(4, argv, &rc, &err);
    assert_true(rc < 0);
    assert_non_null(strstr(err.text, "bytes"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json),
        cmocka_unit_test(test_for_people),
        cmocka_unit_test(test_wrong_options),
        cmocka_unit_test(test_no_address_space),
    };

    return cmocka_run_group_tests_name("bench_store", tests, NULL, NULL);
}

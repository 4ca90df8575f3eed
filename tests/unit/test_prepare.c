#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/key.h"
#include "common/rng.h"
#include "tests/unit/prepare_kit.h"

/* Fits one number column with the settings (name, value, name, ..., NULL) on number[n]
 * and compares what comes out. */
static void check_numbers(const char *const *setting, const float *number, uint32_t n,
                          const double *expected)
{
    struct kit *kit = kit_create();
    uint32_t c = kit_column(kit, "x", VALUE_NUMBER);
    struct prepare *prepare;
    struct block out;

    for (; *setting; setting += 2)
        kit_set(kit, "x", setting[0], setting[1]);
    kit_block(kit, n);
    kit_numbers(kit, c, number);
    prepare = kit_fitted(kit, &out);
    for (uint32_t i = 0; i < n; i++)
        if (!(fabs((double)out.column[c].number[i] - expected[i]) < 1e-5))
            fail_msg("example %u is %g, expected %g", i,
                     (double)out.column[c].number[i], expected[i]);
    block_release(&out);
    prepare_destroy(prepare);
    kit_destroy(kit);
}

/* The sentence that fitting such a column ends with. */
static void check_refused(const char *const *setting, enum value_kind kind,
                          const float *number, uint32_t n, const char *part)
{
    struct kit *kit = kit_create();
    uint32_t c = kit_column(kit, "x", kind);
    struct prepare *prepare = NULL;
    int rc;

    for (; *setting; setting += 2)
        kit_set(kit, "x", setting[0], setting[1]);
    kit_block(kit, n);
    if (number)
        kit_numbers(kit, c, number);
    rc = prepare_create(&kit->job, &kit->raw, &prepare, &kit->err);
    if (rc == 0)
        rc = prepare_fit(prepare, &kit->block, NULL, &kit->err);
    if (rc == 0)
        rc = prepare_finish(prepare, &kit->err);
    assert_int_equal(rc, -ERR_INPUT);
    if (!strstr(kit->err.text, part))
        fail_msg("'%s' has no '%s'", kit->err.text, part);
    prepare_destroy(prepare);
    kit_destroy(kit);
}

#define SET(...) ((const char *const[]){__VA_ARGS__, NULL})

/* --- numbers --------------------------------------------------------------------- */

static const float ages[] = {20, 30, NAN, 30, 100, NAN};

static void test_missing_numbers_are_filled(void **state)
{
    (void)state;
    check_numbers(SET("missing", "mean"), ages, 6,
                  (const double[]){20, 30, 45, 30, 100, 45});
    check_numbers(SET("missing", "median"), ages, 6,
                  (const double[]){20, 30, 30, 30, 100, 30});
    check_numbers(SET("missing", "most_frequent"), ages, 6,
                  (const double[]){20, 30, 30, 30, 100, 30});
    check_numbers(SET("missing", "constant", "missing_value", "-1.5"), ages, 6,
                  (const double[]){20, 30, -1.5, 30, 100, -1.5});
    check_numbers(SET("missing", "most_frequent"), (const float[]){3, 1, NAN, 3, 1}, 5,
                  (const double[]){3, 1, 1, 3, 1}); /* a tie: the lowest */
    check_numbers(SET("missing", "median"), (const float[]){1, NAN, 4, 2, 9}, 5,
                  (const double[]){1, 3, 4, 2, 9}); /* between the two in the middle */
}

static void test_numbers_are_clipped(void **state)
{
    const float one_to_nine[] = {9, 1, 2, 3, 4, 5, 6, 7, 8};

    (void)state;
    check_numbers(SET("clip_low", "0.25", "clip_high", "0.75"), one_to_nine, 9,
                  (const double[]){7, 3, 3, 3, 4, 5, 6, 7, 7});
    /* mean 5, deviation sqrt(60 / 9) */
    check_numbers(SET("clip_z", "1"), one_to_nine, 9,
                  (const double[]){5 + sqrt(60.0 / 9), 5 - sqrt(60.0 / 9),
                                   5 - sqrt(60.0 / 9), 3, 4, 5, 6, 7,
                                   5 + sqrt(60.0 / 9)});
}

static void test_numbers_are_transformed_and_scaled(void **state)
{
    const float x[] = {0, 1, -3, 7};

    (void)state;
    check_numbers(SET("transform", "log"), x, 4,
                  (const double[]){0, log(2), -log(4), log(8)});
    check_numbers(SET("scale", "minmax"), x, 4, (const double[]){0.3, 0.4, 0, 1});
    /* mean 1.25, squares 1.5625 + 0.0625 + 18.0625 + 33.0625 = 52.75 */
    check_numbers(SET("scale", "standard"), x, 4,
                  (const double[]){-1.25 / sqrt(52.75 / 4), -0.25 / sqrt(52.75 / 4),
                                   -4.25 / sqrt(52.75 / 4), 5.75 / sqrt(52.75 / 4)});
    check_numbers(SET("scale", "standard"), (const float[]){5, 5, 5}, 3,
                  (const double[]){0, 0, 0}); /* a constant has no deviation */
    check_numbers(SET("scale", "minmax"), (const float[]){5}, 1, (const double[]){0});
}

static int rising(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static double plain_quantile(const double *sorted, uint32_t n, double q)
{
    double place = q * (n - 1);
    uint32_t at = (uint32_t)place;

    return at + 1 < n ? sorted[at] + (place - at) * (sorted[at + 1] - sorted[at])
                      : sorted[at];
}

/* Several steps, each of which depends on the one before, in as many passes. */
static void compute_plainly(const float *x, uint32_t n, double *expected)
{
    double *there = malloc(n * sizeof *there), mean = 0, square = 0, fill = 0;
    double low, high;
    uint32_t count = 0;

    for (uint32_t i = 0; i < n; i++)
        if (!isnan(x[i]))
            there[count++] = (double)x[i];
    for (uint32_t i = 0; i < count; i++)
        fill += there[i] / count;
    qsort(there, count, sizeof *there, rising);
    low = plain_quantile(there, count, 0.025);
    high = plain_quantile(there, count, 0.975);
    for (uint32_t i = 0; i < n; i++) {
        double v = isnan(x[i]) ? fill : (double)x[i];

        v = v < low ? low : v > high ? high : v;
        expected[i] = v < 0 ? -log(1 - v) : log(1 + v);
        mean += expected[i] / n;
    }
    for (uint32_t i = 0; i < n; i++)
        square += (expected[i] - mean) * (expected[i] - mean) / n;
    for (uint32_t i = 0; i < n; i++)
        expected[i] = (expected[i] - mean) / sqrt(square);
    free(there);
}

static void test_steps_that_build_on_each_other_need_one_pass(void **state)
{
    enum { N = 1001 };
    float *x = malloc(N * sizeof *x);
    double *expected = malloc(N * sizeof *expected);

    (void)state;
    for (uint32_t i = 0; i < N; i++)
        x[i] = i % 7 == 3 ? NAN : (float)((int)(i * 611 % N) - 300) / 10;
    compute_plainly(x, N, expected);
    check_numbers(SET("missing", "mean", "clip_low", "0.025", "clip_high", "0.975",
                      "transform", "log", "scale", "standard"),
                  x, N, expected);
    free(x);
    free(expected);
}

static void test_what_cannot_be_fitted_is_said(void **state)
{
    const float nothing[] = {NAN, NAN}, some[] = {1, NAN};

    (void)state;
    check_refused(SET("missing", "mean"), VALUE_NUMBER, nothing, 2,
                  "column x has no value in the 2 examples");
    check_refused(SET("scale", "standard"), VALUE_NUMBER, nothing, 0,
                  "no training example");
    check_refused(SET("missing", "category"), VALUE_NUMBER, some, 2, "buckets");
    check_refused(SET("missing", "constant"), VALUE_NUMBER, some, 2,
                  "missing_value is not set");
    check_refused(SET("missing", "constant", "missing_value", "x"), VALUE_NUMBER, some,
                  2, "expected a number");
    check_refused(SET("clip_low", "0.9", "clip_high", "0.1"), VALUE_NUMBER, some, 2,
                  "to be lower");
    check_refused(SET("scale", "standard", "buckets", "3"), VALUE_NUMBER, some, 2,
                  "scale");
    check_refused(SET("scale", "standard"), VALUE_KEY, NULL, 0, "no number");
    check_refused(SET("words", "bag"), VALUE_KEY, NULL, 0, "no text");
    check_refused(SET("hash", "3"), VALUE_NUMBER, some, 2, "no key");
    check_refused(SET("vocabulary", "keep", "hash", "3"), VALUE_KEY, NULL, 0, "hash");
    check_refused(SET("vocabulary", "keep", "unseen", "0"), VALUE_KEY, NULL, 0,
                  "unseen is 0");
    check_refused(SET("vocabulary", "keep"), VALUE_KEY, NULL, 0, "no training example");
}

static void test_a_missing_number_that_may_not_is_found(void **state)
{
    struct kit *kit = kit_create();
    uint32_t c = kit_column(kit, "x", VALUE_NUMBER);
    struct prepare *prepare;
    struct block out;

    (void)state;
    kit_set(kit, "x", "transform", "log");
    kit_block(kit, 2);
    kit_numbers(kit, c, (const float[]){1, NAN});
    prepare = kit_prepare(kit);
    assert_int_equal(prepare_finish(prepare, &kit->err), 0);
    assert_int_equal(block_create(&out, prepare_schema(prepare), 2, &kit->err), 0);
    assert_int_equal(prepare_apply(prepare, &kit->block, &out, &kit->at, &kit->err),
                     -ERR_INPUT);
    assert_non_null(strstr(kit->err.text, "data.columns.x.missing"));
    assert_int_equal(kit->at, 1);
    block_release(&out);
    prepare_destroy(prepare);
    kit_destroy(kit);
}

/* --- keys ------------------------------------------------------------------------ */

/* The same for a key column; missing where absent[i]. */
static void check_keys(const char *const *setting, enum value_kind kind,
                       const uint64_t *key, const float *number, const uint8_t *absent,
                       uint32_t n, const uint64_t *expected)
{
    struct kit *kit = kit_create();
    uint32_t c = kit_column(kit, "x", kind);
    struct prepare *prepare;
    struct block out;

    for (; *setting; setting += 2)
        kit_set(kit, "x", setting[0], setting[1]);
    kit_block(kit, n);
    if (key)
        kit_keys(kit, c, key);
    if (number)
        kit_numbers(kit, c, number);
    if (absent)
        memcpy(kit->block.column[c].missing, absent, n);
    prepare = kit_fitted(kit, &out);
    assert_int_equal(prepare_schema(prepare)->column[c].kind, VALUE_KEY);
    for (uint32_t i = 0; i < n; i++)
        if (out.column[c].key[i] != expected[i])
            fail_msg("example %u is %llu, expected %llu", i,
                     (unsigned long long)out.column[c].key[i],
                     (unsigned long long)expected[i]);
    block_release(&out);
    prepare_destroy(prepare);
    kit_destroy(kit);
}

static void test_buckets_are_equally_frequent(void **state)
{
    const float x[] = {8, 1, 2, 3, 4, 5, 6, 7}; /* edges 2.75, 4.5, 6.25 */

    (void)state;
    check_keys(SET("buckets", "4"), VALUE_NUMBER, NULL, x, NULL, 8,
               (const uint64_t[]){3, 0, 0, 1, 1, 2, 2, 3});
    check_keys(SET("buckets", "4"), VALUE_NUMBER, NULL, (const float[]){1, 1, 1, 1, 9},
               NULL, 5, (const uint64_t[]){0, 0, 0, 0, 0}); /* all edges are 1 */
    check_keys(SET("buckets", "2", "missing", "category"), VALUE_NUMBER, NULL,
               (const float[]){1, NAN, 3, 4}, NULL, 4, (const uint64_t[]){0, 2, 1, 1});
    check_keys(SET("buckets", "2", "missing", "median"), VALUE_NUMBER, NULL,
               (const float[]){1, NAN, 3, 4}, NULL, 4, (const uint64_t[]){0, 1, 1, 1});
}

static void test_keys_are_hashed(void **state)
{
    const uint64_t key[] = {1, 2, UINT64_MAX, 0};

    (void)state;
    check_keys(
        SET("hash", "10"), VALUE_KEY, key, NULL, NULL, 4,
        (const uint64_t[]){mix64(1) % 10, mix64(2) % 10, mix64(UINT64_MAX) % 10, 0});
    check_keys(SET("hash", "10", "missing", "category"), VALUE_KEY, key, NULL,
               (const uint8_t[]){0, 1, 0, 0}, 4,
               (const uint64_t[]){mix64(1) % 10, 10, mix64(UINT64_MAX) % 10, 0});
}

static void test_vocabulary_keeps_or_numbers_frequent_keys(void **state)
{
    const uint64_t key[] = {50, 9, 50, 7, 9, 9, 3, 7, 1};
    uint64_t unseen = prepare_unseen_key(0);

    (void)state;
    /* 9: 3, 7 and 50: 2 each, 1 and 3: 1 each */
    check_keys(SET("vocabulary", "keep", "vocabulary_min", "2"), VALUE_KEY, key, NULL,
               NULL, 9, (const uint64_t[]){50, 9, 50, 7, 9, 9, unseen, 7, unseen});
    check_keys(SET("vocabulary", "number", "vocabulary_min", "2"), VALUE_KEY, key, NULL,
               NULL, 9, (const uint64_t[]){2, 0, 2, 1, 0, 0, 3, 1, 3});
    check_keys(SET("vocabulary", "number", "vocabulary_max", "2", "unseen", "3"),
               VALUE_KEY, key, NULL, NULL, 9,
               (const uint64_t[]){2 + mix64(50) % 3, 0, 2 + mix64(50) % 3, 1, 0, 0,
                                  2 + mix64(3) % 3, 1, 2 + mix64(1) % 3});
    assert_int_equal(unseen, key_of_text("<unseen 0>", 10));
}

static void test_missing_keys_are_filled(void **state)
{
    const uint64_t key[] = {5, 0, 6, 6, 5};
    const uint8_t absent[] = {0, 1, 0, 0, 0};

    (void)state;
    check_keys(SET("missing", "most_frequent"), VALUE_KEY, key, NULL, absent, 5,
               (const uint64_t[]){5, 5, 6, 6, 5}); /* a tie: the lowest */
    check_keys(SET("missing", "constant", "missing_value", "77"), VALUE_KEY, key, NULL,
               absent, 5, (const uint64_t[]){5, 77, 6, 6, 5});
    check_keys(SET("missing", "category"), VALUE_KEY, key, NULL, absent, 5,
               (const uint64_t[]){5, prepare_missing_key(), 6, 6, 5});
    /* What is missing counts as what it is filled with. */
    check_keys(SET("missing", "constant", "missing_value", "4", "vocabulary", "number"),
               VALUE_KEY, (const uint64_t[]){9, 0, 0, 9, 8}, NULL,
               (const uint8_t[]){0, 1, 1, 0, 0}, 5, (const uint64_t[]){1, 0, 0, 1, 2});
}

static void test_lists_of_keys_go_through_the_vocabulary(void **state)
{
    struct kit *kit = kit_create();
    uint32_t c = kit_column(kit, "genres", VALUE_KEYS);
    const uint64_t key[] = {1, 1, 2, 3, 1, 4}; /* 1 is in two examples, not in three */
    struct prepare *prepare;
    struct block out;

    (void)state;
    kit_set(kit, "genres", "vocabulary", "number");
    kit_set(kit, "genres", "vocabulary_min", "2");
    kit_set(kit, "genres", "unseen", "0");
    kit_block(kit, 3);
    kit_lists(kit, c, key, 2);
    prepare = kit_fitted(kit, &out);
    assert_int_equal(out.column[c].offset[1], 2);
    assert_int_equal(out.column[c].offset[2], 2); /* 2 and 3 are left out */
    assert_int_equal(out.column[c].offset[3], 3);
    assert_int_equal(out.column[c].key[2], 0);
    block_release(&out);
    prepare_destroy(prepare);
    kit_destroy(kit);
}

static void test_dense_tables_have_rows_for_all_keys(void **state)
{
    struct kit *kit = kit_create();
    uint32_t c = kit_column(kit, "x", VALUE_KEY);
    const uint64_t key[] = {10, 20, 30};
    struct prepare *prepare;

    (void)state;
    job_set(&kit->job, "tables.t.rows", "3", "test", &kit->err);
    kit_set(kit, "x", "table", "t");
    kit_set(kit, "x", "vocabulary", "keep");
    assert_int_equal(prepare_create(&kit->job, &kit->raw, &prepare, &kit->err),
                     -ERR_INPUT);
    assert_non_null(strstr(kit->err.text, "dense"));
    kit_set(kit, "x", "vocabulary", "number");
    kit->raw.column[c].rows = 3;
    prepare_expect(&kit->job, &kit->raw);
    assert_int_equal(kit->raw.column[c].rows, 0); /* not the readers' to check */
    kit_block(kit, 3);
    kit_keys(kit, c, key);
    prepare = kit_prepare(kit);
    assert_int_equal(prepare_fit(prepare, &kit->block, NULL, &kit->err), 0);
    assert_int_equal(prepare_finish(prepare, &kit->err), -ERR_INPUT);
    assert_non_null(strstr(kit->err.text, "4 keys"));
    prepare_destroy(prepare);
    kit_destroy(kit);
}

/* As they are, lists are the readers' to check; numbered, they are not. */
static void test_lists_are_numbered_for_dense_tables(void **state)
{
    struct kit *kit = kit_create();
    uint32_t c = kit_column(kit, "x", VALUE_KEYS);

    (void)state;
    kit_set(kit, "x", "as", "keys");
    kit->raw.column[c].rows = 3;
    prepare_expect(&kit->job, &kit->raw);
    assert_int_equal(kit->raw.column[c].rows, 3);
    kit_set(kit, "x", "hash", "3");
    prepare_expect(&kit->job, &kit->raw);
    assert_int_equal(kit->raw.column[c].rows, 0);
    kit_destroy(kit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_missing_numbers_are_filled),
        cmocka_unit_test(test_numbers_are_clipped),
        cmocka_unit_test(test_numbers_are_transformed_and_scaled),
        cmocka_unit_test(test_steps_that_build_on_each_other_need_one_pass),
        cmocka_unit_test(test_what_cannot_be_fitted_is_said),
        cmocka_unit_test(test_a_missing_number_that_may_not_is_found),
        cmocka_unit_test(test_buckets_are_equally_frequent),
        cmocka_unit_test(test_keys_are_hashed),
        cmocka_unit_test(test_vocabulary_keeps_or_numbers_frequent_keys),
        cmocka_unit_test(test_missing_keys_are_filled),
        cmocka_unit_test(test_lists_of_keys_go_through_the_vocabulary),
        cmocka_unit_test(test_dense_tables_have_rows_for_all_keys),
        cmocka_unit_test(test_lists_are_numbered_for_dense_tables),
    };

    return cmocka_run_group_tests_name("prepare", tests, NULL, NULL);
}

/* Sketches: exact where they promise it, within their bounds elsewhere, and the same
 * merged or not. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/rng.h"
#include "worker/stream/profile/sketch.h"

/* --- moments ------------------------------------------------------------------- */

static void test_moments_are_the_formulas(void **state)
{
    struct moments moments = {0};

    (void)state;
    assert_true(moments_deviation(&moments) == 0);
    for (int i = 1; i <= 5; i++)
        moments_add(&moments, i);
    assert_int_equal(moments.n, 5);
    assert_true(moments.mean == 3 && moments.min == 1 && moments.max == 5);
    assert_true(fabs(moments_deviation(&moments) - sqrt(2)) < 1e-15);
}

/* Far from zero, where sums of squares would cancel. */
static void test_moments_merge(void **state)
{
    struct moments whole = {0}, part[3] = {{0}}, merged = {0};

    (void)state;
    for (uint64_t i = 0; i < 3000; i++) {
        double value = 1e6 + rng_unit(rng_at(1, 0, i));

        moments_add(&whole, value);
        moments_add(&part[i % 7 ? 0 : 2], value); /* one stays empty */
    }
    for (int i = 0; i < 3; i++)
        moments_merge(&merged, &part[i]);
    assert_int_equal(merged.n, whole.n);
    assert_true(fabs(merged.mean - whole.mean) < 1e-6);
    assert_true(fabs(moments_deviation(&whole) - sqrt(1 / 12.0)) < 0.01);
    assert_true(fabs(moments_deviation(&merged) - moments_deviation(&whole)) < 1e-6);
    assert_true(merged.min == whole.min && merged.max == whole.max);
}

/* --- how many different ones --------------------------------------------------- */

static void must_be_near(double found, double wanted, double share)
{
    if (fabs(found - wanted) > wanted * share)
        fail_msg("%.1f instead of %.1f", found, wanted);
}

static void test_distinct_counts_keys(void **state)
{
    static struct distinct distinct;
    uint64_t n = 0;

    (void)state;
    memset(&distinct, 0, sizeof distinct);
    assert_true(distinct_estimate(&distinct) == 0);
    for (uint64_t stop = 1; stop <= 1000000; stop *= 10) {
        for (; n < stop; n++)
            for (int again = 0; again < 2; again++)
                distinct_add(&distinct, n);
        must_be_near(distinct_estimate(&distinct), (double)n, 0.04);
    }
}

/* The error promised is a standard error: of many sketches of different keys. */
static double standard_error(uint64_t keys)
{
    static struct distinct distinct;
    double squares = 0, sum = 0;

    for (uint64_t seed = 0; seed < 60; seed++) {
        double off;

        memset(&distinct, 0, sizeof distinct);
        for (uint64_t i = 0; i < keys; i++)
            distinct_add(&distinct, rng_at(seed, 1, i));
        off = distinct_estimate(&distinct) / (double)keys - 1;
        squares += off * off / 60;
        sum += off / 60;
    }
    must_be_near(1 + sum, 1, 0.007); /* it does not lean to one side */
    return sqrt(squares);
}

static void test_distinct_has_the_error_it_promises(void **state)
{
    (void)state;
    assert_in_range((int64_t)(1e4 * standard_error(50000)), 110, 210); /* 1.6 % */
    assert_in_range((int64_t)(1e4 * standard_error(4000)), 60, 190);
    assert_in_range((int64_t)(1e4 * standard_error(100)), 30, 150);
}

static void test_distinct_merges(void **state)
{
    static struct distinct whole, part[2];

    (void)state;
    memset(&whole, 0, sizeof whole);
    memset(part, 0, sizeof part);
    for (uint64_t i = 0; i < 30000; i++) {
        distinct_add(&whole, i);
        distinct_add(&part[i % 3 == 0], i);
        distinct_add(&part[1], i / 2);
    }
    distinct_merge(&part[0], &part[1]);
    assert_memory_equal(&part[0], &whole, sizeof whole);
}

/* --- which are frequent -------------------------------------------------------- */

static void test_few_keys_are_counted_exactly(void **state)
{
    struct frequent frequent;
    struct frequent_key list[8];
    struct err err;

    (void)state;
    assert_int_equal(frequent_create(&frequent, 5, &err), 0);
    assert_int_equal(frequent_list(&frequent, list, 8, &err), 0);
    for (uint64_t round = 0; round < 100; round++)
        for (uint64_t key = 0; key < 5; key++)
            frequent_add(&frequent, key, key + 1, "name", key);
    assert_int_equal(frequent_error(&frequent), 0);
    assert_int_equal(frequent.total, 1500);
    assert_int_equal(frequent_list(&frequent, list, 8, &err), 5);
    for (uint64_t i = 0; i < 5; i++) {
        assert_int_equal(list[i].key, 4 - i);
        assert_int_equal(list[i].count, 100 * (5 - i));
        assert_int_equal(list[i].length, 4 - i);
        assert_memory_equal(list[i].text, "name", list[i].length);
        assert_int_equal(frequent_count(&frequent, 4 - i), 100 * (5 - i));
    }
    assert_int_equal(frequent_count(&frequent, 77), 0);
    assert_int_equal(frequent_list(&frequent, list, 2, &err), 2);
    frequent_release(&frequent);
}

enum { KEYS = 5000, DRAWS = 200000, CAPACITY = 256 };

/* Skewed: low keys are frequent. */
static uint64_t skewed(uint64_t i)
{
    double at = rng_unit(rng_at(5, 0, i));

    return (uint64_t)(KEYS * at * at * at * at * at);
}

static void must_be_bounds(const struct frequent *frequent, const uint64_t *count)
{
    uint64_t error = frequent_error(frequent);

    assert_in_range(error, 1, frequent->total / (frequent->capacity / 2) + 1);
    for (uint64_t key = 0; key < KEYS; key++) {
        uint64_t found = frequent_count(frequent, key);

        if (found == 0)
            assert_in_range(count[key], 0, error);
        else
            assert_in_range(count[key], found - error, found);
    }
}

static void test_many_keys_are_within_bounds(void **state)
{
    static uint64_t count[KEYS];
    struct frequent frequent, half[2];
    struct frequent_key list[10];
    struct err err;

    (void)state;
    memset(count, 0, sizeof count);
    assert_int_equal(frequent_create(&frequent, CAPACITY, &err), 0);
    assert_int_equal(frequent_create(&half[0], CAPACITY, &err), 0);
    assert_int_equal(frequent_create(&half[1], CAPACITY, &err), 0);
    for (uint64_t i = 0; i < DRAWS; i++) {
        uint64_t key = skewed(i);

        count[key]++;
        frequent_add(&frequent, key, 1, NULL, 0);
        frequent_add(&half[i % 2], key, 1, NULL, 0);
        assert_true(frequent.keys <= CAPACITY);
    }
    must_be_bounds(&frequent, count);
    assert_int_equal(frequent_list(&frequent, list, 10, &err), 10);
    assert_int_equal(list[0].key, 0);
    frequent_merge(&half[0], &half[1]);
    assert_int_equal(half[0].total, DRAWS);
    must_be_bounds(&half[0], count);
    frequent_release(&frequent);
    frequent_release(&half[0]);
    frequent_release(&half[1]);
}

/* Purges must leave each key where it is looked for, whichever way a run of full places
 * wraps around. */
static void test_purges_lose_no_key(void **state)
{
    struct frequent frequent;
    struct err err;

    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++) {
        uint32_t listed = 0;

        assert_int_equal(frequent_create(&frequent, 9, &err), 0);
        for (uint64_t i = 0; i < 300; i++)
            frequent_add(&frequent, rng_at(seed, 0, i) % 40, 1 + i % 3, NULL, 0);
        for (uint64_t key = 0; key < 40; key++)
            listed += frequent_count(&frequent, key) > 0;
        assert_int_equal(listed, frequent.keys);
        frequent_release(&frequent);
    }
}

static void test_texts_are_cut_between_characters(void **state)
{
    struct frequent frequent;
    struct frequent_key list[1];
    struct err err;
    char text[64];

    (void)state;
    memset(text, 'a', sizeof text);
    memcpy(text + FREQUENT_TEXT_MAX - 1, "\xc3\xa9", 2); /* across the limit */
    assert_int_equal(frequent_create(&frequent, 1, &err), 0);
    frequent_add(&frequent, 1, 1, text, sizeof text);
    assert_int_equal(frequent_list(&frequent, list, 1, &err), 1);
    assert_int_equal(list[0].length, FREQUENT_TEXT_MAX - 1);
    frequent_release(&frequent);
}

/* --- quantiles ----------------------------------------------------------------- */

static const double shares[] = {0, 0.01, 0.25, 0.5, 0.75, 0.99, 1};
enum { SHARES = sizeof shares / sizeof *shares };

static void test_few_quantiles_are_exact(void **state)
{
    struct quantiles quantiles;
    double value[SHARES];
    struct err err;

    (void)state;
    assert_int_equal(quantiles_create(&quantiles, 100, &err), 0);
    assert_int_equal(quantiles_at(&quantiles, shares, SHARES, value, &err), 0);
    assert_true(isnan(value[0]) && isnan(value[SHARES - 1]));
    for (int i = 0; i < 100; i++)
        assert_int_equal(quantiles_add(&quantiles, (i * 37) % 100 + 1, &err), 0);
    assert_int_equal(quantiles_at(&quantiles, shares, SHARES, value, &err), 0);
    for (int i = 0; i < SHARES; i++)
        assert_true(value[i] == (i ? 100 * shares[i] : 1));
    quantiles_release(&quantiles);
}

/* Value i of n occurs once, in an order that is not a rising one: the rank of a value
 * is the value. */
static void must_have_ranks(const struct quantiles *quantiles, double n, double within)
{
    double value[SHARES];
    struct err err;

    assert_int_equal(quantiles_at(quantiles, shares, SHARES, value, &err), 0);
    for (int i = 0; i < SHARES; i++)
        if (fabs(value[i] / n - shares[i]) > within)
            fail_msg("share %g is at %g", shares[i], value[i] / n);
    assert_true(value[0] == 0 && value[SHARES - 1] == n - 1);
}

static void test_quantiles_are_within_bounds(void **state)
{
    const uint64_t n = 1 << 20;
    struct quantiles quantiles, part[2], twin;
    double one[SHARES], two[SHARES];
    uint64_t kept = 0;
    struct err err;

    (void)state;
    assert_int_equal(quantiles_create(&quantiles, 1024, &err), 0);
    assert_int_equal(quantiles_create(&twin, 1024, &err), 0);
    assert_int_equal(quantiles_create(&part[0], 1024, &err), 0);
    assert_int_equal(quantiles_create(&part[1], 1024, &err), 0);
    for (uint64_t i = 0; i < n; i++) {
        double value = (double)(i * 0x9e3779b1u % n);

        assert_int_equal(quantiles_add(&quantiles, value, &err), 0);
        assert_int_equal(quantiles_add(&twin, value, &err), 0);
        assert_int_equal(quantiles_add(&part[value > 1000], value, &err), 0);
    }
    for (uint32_t level = 0; level < quantiles.levels; level++)
        kept += quantiles.level[level].n;
    assert_in_range(kept, 1024, 3 * 1024 + 200);
    must_have_ranks(&quantiles, (double)n, 0.004);
    assert_int_equal(quantiles_merge(&part[0], &part[1], &err), 0);
    assert_int_equal(part[0].n, n);
    must_have_ranks(&part[0], (double)n, 0.006);
    assert_int_equal(quantiles_at(&quantiles, shares, SHARES, one, &err), 0);
    assert_int_equal(quantiles_at(&twin, shares, SHARES, two, &err), 0);
    assert_memory_equal(one, two, sizeof one);
    quantiles_release(&quantiles);
    quantiles_release(&twin);
    quantiles_release(&part[0]);
    quantiles_release(&part[1]);
}

/* What stands for many is counted as many: weights add up to n. */
static void test_weights_add_up(void **state)
{
    struct quantiles quantiles;
    struct err err;

    (void)state;
    assert_int_equal(quantiles_create(&quantiles, QUANTILES_SIZE_MIN, &err), 0);
    for (uint64_t i = 0; i < 100000; i++) {
        uint64_t sum = 0;

        assert_int_equal(quantiles_add(&quantiles, (double)(i % 977), &err), 0);
        for (uint32_t level = 0; level < quantiles.levels; level++)
            sum += (uint64_t)quantiles.level[level].n << level;
        if (sum != i + 1)
            fail_msg("%llu for %llu", (unsigned long long)sum,
                     (unsigned long long)i + 1);
    }
    quantiles_release(&quantiles);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_moments_are_the_formulas),
        cmocka_unit_test(test_moments_merge),
        cmocka_unit_test(test_distinct_counts_keys),
        cmocka_unit_test(test_distinct_has_the_error_it_promises),
        cmocka_unit_test(test_distinct_merges),
        cmocka_unit_test(test_few_keys_are_counted_exactly),
        cmocka_unit_test(test_many_keys_are_within_bounds),
        cmocka_unit_test(test_purges_lose_no_key),
        cmocka_unit_test(test_texts_are_cut_between_characters),
        cmocka_unit_test(test_few_quantiles_are_exact),
        cmocka_unit_test(test_quantiles_are_within_bounds),
        cmocka_unit_test(test_weights_add_up),
    };

    return cmocka_run_group_tests_name("sketch", tests, NULL, NULL);
}

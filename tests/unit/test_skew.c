/* Popularity curves: exact for few keys, near for many, and the same merged. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>

#include "common/rng.h"
#include "common/zipf.h"
#include "worker/stream/profile/skew.h"

static const double shares[] = {0, 0.001, 0.01, 0.1, 0.5, 1};
enum { SHARES = sizeof shares / sizeof *shares };

static void test_few_keys_are_exact(void **state)
{
    struct skew skew;
    struct frequent frequent;
    double share[] = {0, 0.25, 0.5, 0.625, 1}, reach[5];
    struct err err;

    (void)state;
    assert_int_equal(skew_create(&skew, 4, &err), 0);
    assert_int_equal(frequent_create(&frequent, 2, &err), 0);
    for (uint64_t key = 0; key < 4; key++)
        for (uint64_t n = 0; n < (key + 1) * 10; n++) {
            skew_add(&skew, key);
            frequent_add(&frequent, key, 1, NULL, 0);
        }
    assert_true(skew_keys(&skew) == 4);
    assert_int_equal(skew_curve(&skew, &frequent, share, 5, reach, &err), 0);
    assert_true(reach[0] == 0 && reach[1] == 0.4 && reach[2] == 0.7);
    assert_true(reach[3] == 0.8 && reach[4] == 1); /* half of the third one's */
    skew_release(&skew);
    frequent_release(&frequent);
}

static void test_no_key_is_no_curve(void **state)
{
    struct skew skew;
    struct frequent frequent;
    double reach[SHARES];
    struct err err;

    (void)state;
    assert_int_equal(skew_create(&skew, 4, &err), 0);
    assert_int_equal(frequent_create(&frequent, 2, &err), 0);
    assert_int_equal(skew_curve(&skew, &frequent, shares, SHARES, reach, &err), 0);
    assert_true(reach[0] == 0 && reach[SHARES - 1] == 0);
    skew_release(&skew);
    frequent_release(&frequent);
}

enum { KEYS = 100000, DRAWS = 2000000, CAPACITY = 4096 };

static void must_be_zipf(const struct skew *skew, const struct frequent *frequent,
                         const struct zipf *zipf, double seen)
{
    double reach[SHARES], keys = skew_keys(skew);
    struct err err;

    assert_in_range(skew->keys, CAPACITY / 3, CAPACITY);
    if (fabs(keys / seen - 1) > 0.06)
        fail_msg("%.0f keys, not %.0f", keys, seen);
    assert_int_equal(skew_curve(skew, frequent, shares, SHARES, reach, &err), 0);
    for (int i = 1; i < SHARES; i++) {
        double wanted = zipf_share(zipf, (uint64_t)(shares[i] * seen));

        if (fabs(reach[i] - wanted) > 0.03)
            fail_msg("share %g has %g, not %g", shares[i], reach[i], wanted);
        assert_true(reach[i] >= reach[i - 1] && reach[i] <= 1);
    }
}

static void test_many_keys_are_near(void **state)
{
    struct skew skew, half[2];
    struct frequent frequent;
    struct zipf zipf;
    struct err err;
    static uint8_t met[KEYS];
    double seen = 0;

    (void)state;
    zipf_init(&zipf, KEYS, 1);
    assert_int_equal(skew_create(&skew, CAPACITY, &err), 0);
    assert_int_equal(skew_create(&half[0], CAPACITY, &err), 0);
    assert_int_equal(skew_create(&half[1], CAPACITY, &err), 0);
    assert_int_equal(frequent_create(&frequent, 1024, &err), 0);
    for (uint64_t i = 0; i < DRAWS; i++) {
        uint64_t key = zipf_draw(&zipf, rng_at(9, 1, i));

        seen += !met[key];
        met[key] = 1;
        skew_add(&skew, key);
        skew_add(&half[i % 10 == 0], key);
        frequent_add(&frequent, key, 1, NULL, 0);
    }
    must_be_zipf(&skew, &frequent, &zipf, seen);
    skew_merge(&half[1], &half[0]);
    assert_int_equal(half[1].keys, skew.keys);
    assert_int_equal(half[1].halvings, skew.halvings);
    must_be_zipf(&half[1], &frequent, &zipf, seen);
    skew_release(&skew);
    skew_release(&half[0]);
    skew_release(&half[1]);
    frequent_release(&frequent);
}

/* Counts of keys in the sample are exact, however often it was halved. */
static void test_counts_are_exact(void **state)
{
    struct skew skew;
    struct err err;
    uint32_t found = 0;

    (void)state;
    assert_int_equal(skew_create(&skew, 50, &err), 0);
    for (uint64_t i = 0; i < 30000; i++)
        skew_add(&skew, i % 3000);
    for (uint32_t i = 0; i < skew.slots; i++)
        if (skew.slot[i].count) {
            assert_int_equal(skew.slot[i].count, 10);
            found++;
        }
    assert_int_equal(found, skew.keys);
    assert_true(found > 10);
    skew_release(&skew);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_few_keys_are_exact),
        cmocka_unit_test(test_no_key_is_no_curve),
        cmocka_unit_test(test_many_keys_are_near),
        cmocka_unit_test(test_counts_are_exact),
    };

    return cmocka_run_group_tests_name("skew", tests, NULL, NULL);
}

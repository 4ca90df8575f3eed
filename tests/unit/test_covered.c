/* Sets of items that were on a list. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/covered.h"

static void test_shares(void **state)
{
    struct covered covered, none = {0};
    struct err err;

    (void)state;
    assert_int_equal(covered_init(&covered, 100, 2, &err), 0);
    assert_true(covered_share(&covered, 0) == 0);
    for (int again = 0; again < 2; again++) { /* an item counts once */
        covered_add(&covered, 0, 0);
        covered_add(&covered, 0, 63);
        covered_add(&covered, 0, 64);
        covered_add(&covered, 1, 99);
    }
    assert_true(covered_share(&covered, 0) == 0.03);
    assert_true(covered_share(&covered, 1) == 0.01);
    assert_true(isnan(covered_share(&covered, 2)));
    assert_true(isnan(covered_share(&none, 0)));
    covered_release(&covered);
}

static void test_union(void **state)
{
    struct covered first, second, both = {0};
    uint64_t word[5];
    struct err err;

    (void)state;
    assert_int_equal(covered_init(&first, 100, 2, &err), 0);
    assert_int_equal(covered_init(&second, 100, 2, &err), 0);
    covered_add(&first, 0, 5);
    covered_add(&first, 1, 70);
    covered_add(&second, 0, 5);
    covered_add(&second, 0, 99);
    assert_int_equal(covered_words(&first), 5);
    covered_write(&first, word);
    assert_int_equal(covered_merge(&both, 2, word, 5, &err), 0);
    covered_write(&second, word);
    assert_int_equal(covered_merge(&both, 2, word, 5, &err), 0);
    assert_true(covered_share(&both, 0) == 0.02);
    assert_true(covered_share(&both, 1) == 0.01);
    covered_release(&first);
    covered_release(&second);
    covered_release(&both);
}

/* What no peer may send: nothing of it is taken. */
static void test_malformed_words(void **state)
{
    struct covered covered = {0};
    uint64_t good[] = {100, 1, 0}, no_items[] = {0}, huge[] = {1ull << 32, 0, 0};
    uint64_t beyond[] = {100, 0, 1ull << 36}, other[] = {64, 1};
    struct err err;

    (void)state;
    assert_int_equal(covered_merge(&covered, 1, good, 0, &err), -ERR_PEER);
    assert_int_equal(covered_merge(&covered, 1, good, 2, &err), -ERR_PEER);
    assert_int_equal(covered_merge(&covered, 2, good, 3, &err), -ERR_PEER);
    assert_int_equal(covered_merge(&covered, 1, no_items, 1, &err), -ERR_PEER);
    assert_int_equal(covered_merge(&covered, 1, huge, 3, &err), -ERR_PEER);
    assert_int_equal(covered_merge(&covered, 1, beyond, 3, &err), -ERR_PEER);
    assert_null(covered.bits);
    assert_int_equal(covered_merge(&covered, 1, good, 3, &err), 0);
    assert_int_equal(covered_merge(&covered, 1, other, 2, &err), -ERR_PEER);
    assert_true(covered_share(&covered, 0) == 0.01);
    covered_release(&covered);
    assert_int_equal(covered_init(&covered, UINT32_MAX, 4, &err), -ERR_INPUT);
    covered_release(&covered);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shares),
        cmocka_unit_test(test_union),
        cmocka_unit_test(test_malformed_words),
    };

    return cmocka_run_group_tests_name("covered", tests, NULL, NULL);
}

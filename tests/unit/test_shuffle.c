/* The order of an epoch: a permutation, another one for each seed and epoch. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "worker/stream/shuffle.h"

enum { N = 10007 };

static void test_is_a_permutation(void **state)
{
    static const uint64_t sizes[] = {0, 1, 2, 3, 17, 1000, N};
    uint32_t order[N];
    unsigned char seen[N];

    (void)state;
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        for (uint64_t epoch = 0; epoch < 3; epoch++) {
            memset(seen, 0, sizeof seen);
            shuffle(order, sizes[s], 7, epoch);
            for (uint64_t p = 0; p < sizes[s]; p++) {
                assert_true(order[p] < sizes[s]);
                assert_int_equal(seen[order[p]]++, 0);
            }
        }
    }
}

static uint32_t same_places(const uint32_t *a, const uint32_t *b)
{
    uint32_t same = 0;

    for (uint32_t p = 0; p < N; p++)
        same += a[p] == b[p];
    return same;
}

static void test_depends_on_seed_and_epoch_only(void **state)
{
    uint32_t a[N], b[N];

    (void)state;
    shuffle(a, N, 1, 0);
    shuffle(b, N, 1, 0);
    assert_memory_equal(a, b, sizeof a);
    /* Two independent permutations agree in about one place. */
    shuffle(b, N, 1, 1);
    assert_true(same_places(a, b) < 20);
    shuffle(b, N, 2, 0);
    assert_true(same_places(a, b) < 20);
    shuffle(b, N, 0, 1); /* seed and epoch exchanged */
    assert_true(same_places(a, b) < 20);
    for (uint32_t p = 0; p < N; p++)
        b[p] = p;
    assert_true(same_places(a, b) < 20);
}

/* Of 3 elements, each of the 6 orders comes up equally often. */
static void test_all_orders_are_as_likely(void **state)
{
    enum { RUNS = 60000 };
    uint32_t times[27] = {0}, order[3];

    (void)state;
    for (uint64_t epoch = 0; epoch < RUNS; epoch++) {
        shuffle(order, 3, 5, epoch);
        times[order[0] * 9 + order[1] * 3 + order[2]]++;
    }
    for (int i = 0; i < 27; i++) {
        int a = i / 9, b = i / 3 % 3, c = i % 3;

        if (a != b && b != c && a != c) /* 10,000 expected, deviation 91 */
            assert_in_range(times[i], 9600, 10400);
        else
            assert_int_equal(times[i], 0);
    }
}

/* Checkpoints hold positions: the order of an epoch must never change. */
static void test_order_is_pinned(void **state)
{
    static const uint32_t expected[10] = {2, 9, 1, 7, 3, 6, 8, 4, 0, 5};
    uint32_t order[10];

    (void)state;
    shuffle(order, 10, 1, 2);
    assert_memory_equal(order, expected, sizeof order);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_is_a_permutation),
        cmocka_unit_test(test_depends_on_seed_and_epoch_only),
        cmocka_unit_test(test_all_orders_are_as_likely),
        cmocka_unit_test(test_order_is_pinned),
    };

    return cmocka_run_group_tests_name("shuffle", tests, NULL, NULL);
}

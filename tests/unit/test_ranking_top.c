/* The first items of a list. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/rng.h"
#include "worker/model/ranking_top.h"

static void test_best_first(void **state)
{
    static const float score[] = {1, 5, NAN, 5, 9, -INFINITY};
    static const uint32_t out[] = {1, 4}, item[] = {60, 50, 40, 30, 20, 10};
    uint32_t top[8];
    float at[8];

    (void)state;
    assert_int_equal(ranking_top(score, NULL, 6, NULL, 0, 3, top, at), 3);
    assert_true(top[0] == 4 && top[1] == 1 && top[2] == 3);
    assert_int_equal(ranking_top(score, item, 6, NULL, 0, 3, top, at), 3);
    assert_true(top[0] == 20 && top[1] == 30 && top[2] == 50);
    assert_int_equal(ranking_top(score, NULL, 6, out, 2, 8, top, at), 3);
    assert_true(top[0] == 3 && top[1] == 0 && top[2] == 5);
    assert_int_equal(ranking_top(score, NULL, 6, NULL, 0, 0, top, at), 0);
}

/* Against counting who is before whom. */
static void test_any_scores(void **state)
{
    enum { N = 40, K = 7 };
    float score[N], at[K];
    uint32_t top[K];

    (void)state;
    for (uint64_t seed = 0; seed < 200; seed++) {
        for (uint32_t i = 0; i < N; i++)
            score[i] = (float)rng_below(rng_at(seed, 0, i), 12);
        assert_int_equal(ranking_top(score, NULL, N, NULL, 0, K, top, at), K);
        for (uint32_t i = 0; i < N; i++) {
            uint32_t before = 0;

            for (uint32_t j = 0; j < N; j++)
                before += score[j] > score[i] || (j < i && score[j] == score[i]);
            if (before < K)
                assert_int_equal(top[before], i);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_best_first),
        cmocka_unit_test(test_any_scores),
    };

    return cmocka_run_group_tests_name("ranking_top", tests, NULL, NULL);
}

/* Popularity: draws against the weights themselves, for exponents on both sides of 1.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <string.h>

#include "common/rng.h"
#include "common/zipf.h"

static const double exponents[] = {0, 0.5, 0.999999, 1, 1.0001, 1.5, 3, 10};
enum { EXPONENTS = sizeof exponents / sizeof *exponents, DRAWS = 200000 };

static double weight_sum(double exponent, uint64_t from, uint64_t to)
{
    double sum = 0;

    for (uint64_t r = from; r <= to; r++)
        sum += pow((double)r, -exponent);
    return sum;
}

/* Chi squared over 12 ranks and the rest; far beyond the 0.9999 quantile is a mistake.
 */
static void must_fit(double exponent, uint64_t ranks)
{
    uint64_t count[13] = {0};
    double chi = 0, all = weight_sum(exponent, 1, ranks);
    struct zipf zipf;

    zipf_init(&zipf, ranks, exponent);
    for (uint64_t i = 0; i < DRAWS; i++) {
        uint64_t rank = zipf_draw(&zipf, rng_at(3, 1, i));

        assert_in_range(rank, 0, ranks - 1);
        count[rank < 12 ? rank : 12]++;
    }
    for (uint64_t r = 0; r < 13; r++) {
        double expected = DRAWS *
                          (r < 12 ? (r < ranks ? pow((double)(r + 1), -exponent) : 0)
                                  : weight_sum(exponent, 13, ranks)) /
                          all;

        if (expected > 5)
            chi += (count[r] - expected) * (count[r] - expected) / expected;
    }
    if (chi > 45)
        fail_msg("exponent %g, %llu ranks: chi squared %g", exponent,
                 (unsigned long long)ranks, chi);
}

static void test_draws_have_their_weights(void **state)
{
    static const uint64_t ranks[] = {1, 2, 5, 12, 100, 20000};

    (void)state;
    for (int e = 0; e < EXPONENTS; e++)
        for (int r = 0; r < 6; r++)
            must_fit(exponents[e], ranks[r]);
}

static void test_shares_are_sums(void **state)
{
    struct zipf zipf;

    (void)state;
    for (int e = 0; e < EXPONENTS; e++) {
        const uint64_t hot[] = {1, 17, 1000, 1001, 54321, 100000};

        zipf_init(&zipf, 100000, exponents[e]);
        for (int i = 0; i < 6; i++) {
            double wanted = weight_sum(exponents[e], 1, hot[i]) /
                            weight_sum(exponents[e], 1, 100000);

            assert_true(fabs(zipf_share(&zipf, hot[i]) / wanted - 1) < 1e-9);
        }
    }
}

/* With many ranks the share of a range of them is the area over it. */
static void test_no_number_of_ranks_is_too_large(void **state)
{
    const uint64_t middle = (uint64_t)1 << 24;
    uint64_t below = 0;
    struct zipf zipf;

    (void)state;
    zipf_init(&zipf, ZIPF_RANKS_MAX, 1);
    for (uint64_t i = 0; i < DRAWS; i++) {
        uint64_t rank = zipf_draw(&zipf, rng_at(4, 1, i));

        assert_true(rank < ZIPF_RANKS_MAX);
        below += rank < middle;
    }
    assert_true(fabs((double)below / DRAWS - zipf_share(&zipf, middle)) < 0.006);
    assert_true(fabs(zipf_share(&zipf, middle) - 0.5085265) < 1e-7);
    for (int e = 0; e < EXPONENTS; e++) {
        zipf_init(&zipf, ZIPF_RANKS_MAX, exponents[e]);
        assert_true(zipf_draw(&zipf, 0) < ZIPF_RANKS_MAX);
        assert_true(zipf_draw(&zipf, UINT64_MAX) < ZIPF_RANKS_MAX);
    }
}

/* What was generated can be generated again: a draw never changes. */
static void test_draws_are_pinned(void **state)
{
    uint64_t sum = 0;
    struct zipf zipf;

    (void)state;
    zipf_init(&zipf, 100000000, 1);
    for (uint64_t i = 0; i < 1000; i++)
        sum = mix64(sum ^ zipf_draw(&zipf, rng_at(1, 1, i)));
    zipf_init(&zipf, 1000000, 0.6);
    for (uint64_t i = 0; i < 1000; i++)
        sum = mix64(sum ^ zipf_draw(&zipf, rng_at(1, 1, i)));
    assert_int_equal(sum, 0x8cc2e212cfec3df8);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_draws_have_their_weights),
        cmocka_unit_test(test_shares_are_sums),
        cmocka_unit_test(test_no_number_of_ranks_is_too_large),
        cmocka_unit_test(test_draws_are_pinned),
    };

    return cmocka_run_group_tests_name("zipf", tests, NULL, NULL);
}

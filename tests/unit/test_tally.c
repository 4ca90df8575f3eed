#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/rng.h"
#include "worker/stream/prepare/tally.h"

static struct err err;

static void test_numbers_are_counted_and_sorted(void **state)
{
    const float number[] = {2, -1, 0.0F, -0.0F, 2, 1e30F, -1e30F, 1e-40F};
    const double value[] = {-1e30F, -1, 0, 1e-40F, 2, 1e30F};
    const uint64_t count[] = {1, 1, 2, 1, 2, 1};
    struct tally_value *list;
    struct tally tally;

    (void)state;
    tally_init(&tally, TALLY_FLOAT, TALLY_CELLS_MAX);
    for (int i = 0; i < 8; i++)
        assert_int_equal(tally_add_number(&tally, number[i], &err), 0);
    assert_int_equal(tally.count, 8);
    assert_int_equal(tally.used, 6);
    assert_int_equal(tally_list(&tally, &list, &err), 0);
    for (int i = 0; i < 6; i++) {
        assert_true(list[i].value == value[i]);
        assert_int_equal(list[i].count, count[i]);
    }
    free(list);
    tally_release(&tally);
}

/* numpy.quantile([1, 2, 2, 4, 10], ...) */
static void test_quantiles_are_interpolated(void **state)
{
    const struct tally_value list[] = {{1, 1}, {2, 2}, {4, 1}, {10, 1}};

    (void)state;
    assert_true(tally_quantile(list, 5, 0) == 1);
    assert_true(tally_quantile(list, 5, 0.25) == 2);
    assert_true(tally_quantile(list, 5, 0.5) == 2);
    assert_true(fabs(tally_quantile(list, 5, 0.625) - 3) < 1e-12);
    assert_true(fabs(tally_quantile(list, 5, 0.9) - 7.6) < 1e-12);
    assert_true(tally_quantile(list, 5, 1) == 10);
    assert_true(tally_quantile(list, 1, 0.7) == 1);
}

static float draw(uint64_t i)
{
    double u = rng_unit(rng_at(7, 1, i)), sign = rng_at(7, 2, i) & 1 ? 1 : -1;

    return (float)(sign * exp(20 * u - 10));
}

/* With fewer cells than numbers: the same whatever the order and however it is split,
 * means exact, values within the bound. */
static void test_many_numbers_share_cells_and_nothing_depends_on_order(void **state)
{
    enum { N = 20000, CELLS = 2048 };
    struct tally one, part[3], merged;
    struct tally_value *a, *b;
    double sum = 0, tally_sum = 0;

    (void)state;
    tally_init(&one, TALLY_FLOAT, CELLS);
    tally_init(&merged, TALLY_FLOAT, CELLS);
    for (int p = 0; p < 3; p++)
        tally_init(&part[p], TALLY_FLOAT, CELLS);
    for (uint64_t i = 0; i < N; i++) {
        sum += (double)draw(i);
        assert_int_equal(tally_add_number(&one, draw(i), &err), 0);
        assert_int_equal(
            tally_add_number(&part[i < 900 ? 0 : i % 2 + 1], draw(N - 1 - i), &err), 0);
    }
    for (int p = 2; p >= 0; p--)
        assert_int_equal(tally_merge(&merged, &part[p], &err), 0);
    assert_true(one.shift > 8 && one.used <= CELLS);
    assert_int_equal(one.used, merged.used);
    assert_int_equal(one.shift, merged.shift);
    assert_int_equal(tally_list(&one, &a, &err), 0);
    assert_int_equal(tally_list(&merged, &b, &err), 0);
    assert_memory_equal(a, b, one.used * sizeof *a);
    for (uint32_t i = 0; i < one.used; i++)
        tally_sum += a[i].value * (double)a[i].count;
    assert_true(fabs(tally_sum - sum) < 1e-9 * N);
    for (uint32_t i = 1; i < one.used; i++)
        assert_true(a[i].value > a[i - 1].value);
    free(a);
    free(b);
    tally_release(&one);
    tally_release(&merged);
    for (int p = 0; p < 3; p++)
        tally_release(&part[p]);
}

static int rising(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;

    return x < y ? -1 : x > y;
}

/* The bound of the header: 2^(shift - 24) of the number. */
static void test_quantiles_keep_their_bound(void **state)
{
    enum { N = 30000, CELLS = 1024 };
    float *number = malloc(N * sizeof *number);
    struct tally_value *list;
    struct tally tally;

    (void)state;
    tally_init(&tally, TALLY_FLOAT, CELLS);
    for (uint64_t i = 0; i < N; i++) {
        number[i] = fabsf(draw(i));
        assert_int_equal(tally_add_number(&tally, number[i], &err), 0);
    }
    qsort(number, N, sizeof *number, rising);
    assert_int_equal(tally_list(&tally, &list, &err), 0);
    for (int q = 0; q <= 100; q++) {
        double found = tally_quantile(list, N, q / 100.0);
        double exact = (double)number[(uint32_t)(q / 100.0 * (N - 1))];

        assert_true(fabs(found / exact - 1) < 2 * ldexp(1, tally.shift - 23));
    }
    free(list);
    free(number);
    tally_release(&tally);
}

static void test_times_are_counted_too(void **state)
{
    const int64_t time[] = {1500000000000000, -86400000000, 1500000000000001,
                            -86400000000};
    struct tally_value *list;
    struct tally tally;

    (void)state;
    tally_init(&tally, TALLY_TIME, TALLY_CELLS_MAX);
    for (int i = 0; i < 4; i++)
        assert_int_equal(tally_add_time(&tally, time[i], &err), 0);
    assert_int_equal(tally_list(&tally, &list, &err), 0);
    assert_int_equal(tally.used, 3);
    assert_true(list[0].value == -86400e6 && list[0].count == 2);
    assert_true(list[2].value == 1500000000000001.0);
    free(list);
    tally_release(&tally);
    tally_init(&tally, TALLY_TIME, 1024);
    for (int64_t i = 0; i < 5000; i++)
        assert_int_equal(tally_add_time(&tally, i * 1000003, &err), 0);
    assert_int_equal(tally_list(&tally, &list, &err), 0);
    assert_true(fabs(tally_quantile(list, 5000, 0.5) / (2499.5 * 1000003) - 1) < 1e-3);
    free(list);
    tally_release(&tally);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_are_counted_and_sorted),
        cmocka_unit_test(test_quantiles_are_interpolated),
        cmocka_unit_test(test_many_numbers_share_cells_and_nothing_depends_on_order),
        cmocka_unit_test(test_quantiles_keep_their_bound),
        cmocka_unit_test(test_times_are_counted_too),
    };

    return cmocka_run_group_tests_name("tally", tests, NULL, NULL);
}

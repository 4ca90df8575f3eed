#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/metrics.h"

static void assert_close(double value, double expected)
{
    if (!(fabs(value - expected) <= 1e-9 * fmax(1, fabs(expected))))
        fail_msg("%.12g is not %.12g", value, expected);
}

static void test_errors_by_hand(void **state)
{
    const float score[] = {3, 4.5f, 1}, label[] = {4, 4, 3};
    double sum[SUM_COUNT] = {0};

    (void)state;
    metrics_add(sum, score, label, 3, false);
    assert_close(sum[SUM_EXAMPLES], 3);
    assert_close(metrics_value("rmse", sum), sqrt((1 + 0.25 + 4) / 3));
    assert_close(metrics_value("mae", sum), (1 + 0.5 + 2) / 3);
    assert_true(sum[SUM_LOG_LOSS] == 0 && sum[SUM_CORRECT] == 0);
}

static void test_probabilities_by_hand(void **state)
{
    const float score[] = {0.75f, 0.25f, 0.5f, 0.5f}, label[] = {1, 1, 1, 0};
    double sum[SUM_COUNT] = {0};

    (void)state;
    metrics_add(sum, score, label, 4, true);
    assert_close(metrics_value("logloss", sum),
                 -(log(0.75) + log(0.25) + 2 * log(0.5)) / 4);
    assert_close(metrics_value("accuracy", sum), 0.5);
    assert_close(metrics_value("rmse", sum), sqrt((0.0625 + 0.5625 + 0.25 + 0.25) / 4));
}

static void test_log_loss_of_a_sure_mistake_is_bounded(void **state)
{
    const float score[] = {0, 1}, label[] = {1, 0};
    double sum[SUM_COUNT] = {0};

    (void)state;
    metrics_add(sum, score, label, 2, true);
    assert_close(metrics_value("logloss", sum), -log(1e-7));
    assert_close(metrics_value("accuracy", sum), 0);
}

static void test_nan_scores_show(void **state)
{
    const float score[] = {NAN, NAN}, label[] = {0, 1};
    double sum[SUM_COUNT] = {0};

    (void)state;
    metrics_add(sum, score, label, 2, true);
    assert_true(isnan(metrics_value("rmse", sum)));
    assert_true(isnan(metrics_value("mae", sum)));
    assert_true(isnan(metrics_value("logloss", sum)));
    assert_close(metrics_value("accuracy", sum), 0);
}

static void test_sums_add_over_workers(void **state)
{
    const float score[] = {0.1f, 0.9f, 0.4f, 0.6f, 0.2f}, label[] = {0, 1, 1, 1, 0};
    static const char *const name[] = {"rmse", "mae", "logloss", "accuracy"};
    double whole[SUM_COUNT] = {0}, one[SUM_COUNT] = {0}, two[SUM_COUNT] = {0};

    (void)state;
    metrics_add(whole, score, label, 5, true);
    metrics_add(one, score, label, 2, true);
    metrics_add(two, score + 2, label + 2, 3, true);
    for (int i = 0; i < SUM_COUNT; i++)
        one[i] += two[i];
    for (int i = 0; i < 4; i++)
        assert_close(metrics_value(name[i], one), metrics_value(name[i], whole));
}

static void test_names(void **state)
{
    const float score = 1, label = 1;
    double sum[SUM_COUNT] = {0};
    bool needs;

    (void)state;
    assert_true(metrics_known("rmse", &needs) && !needs);
    assert_true(metrics_known("mae", &needs) && !needs);
    assert_true(metrics_known("logloss", &needs) && needs);
    assert_true(metrics_known("accuracy", &needs) && needs);
    assert_true(metrics_known("mae", NULL));
    assert_false(metrics_known("RMSE", &needs));
    assert_false(metrics_known("", &needs));
    assert_true(isnan(metrics_value("rmse", sum)));
    assert_true(isnan(metrics_value("accuracy", sum)));
    metrics_add(sum, &score, &label, 1, true);
    assert_true(isnan(metrics_value("auc", sum)));
    assert_close(metrics_value("rmse", sum), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errors_by_hand),
        cmocka_unit_test(test_probabilities_by_hand),
        cmocka_unit_test(test_log_loss_of_a_sure_mistake_is_bounded),
        cmocka_unit_test(test_nan_scores_show),
        cmocka_unit_test(test_sums_add_over_workers),
        cmocka_unit_test(test_names),
    };

    return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}

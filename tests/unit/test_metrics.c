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
    metrics_add(sum, score, label, 3, SCORE_NUMBER);
    assert_close(sum[SUM_EXAMPLES], 3);
    assert_close(metrics_value("", "rmse", sum), sqrt((1 + 0.25 + 4) / 3));
    assert_close(metrics_value("", "mae", sum), (1 + 0.5 + 2) / 3);
    assert_true(sum[SUM_LOG_LOSS] == 0 && sum[SUM_CORRECT] == 0);
}

static void test_probabilities_by_hand(void **state)
{
    const float score[] = {0.75f, 0.25f, 0.5f, 0.5f}, label[] = {1, 1, 1, 0};
    double sum[SUM_COUNT] = {0};

    (void)state;
    metrics_add(sum, score, label, 4, SCORE_PROBABILITY);
    assert_close(metrics_value("", "logloss", sum),
                 -(log(0.75) + log(0.25) + 2 * log(0.5)) / 4);
    assert_close(metrics_value("", "accuracy", sum), 0.5);
    assert_close(metrics_value("", "rmse", sum),
                 sqrt((0.0625 + 0.5625 + 0.25 + 0.25) / 4));
}

static void test_log_loss_of_a_sure_mistake_is_bounded(void **state)
{
    const float score[] = {0, 1}, label[] = {1, 0};
    double sum[SUM_COUNT] = {0};

    (void)state;
    metrics_add(sum, score, label, 2, SCORE_PROBABILITY);
    assert_close(metrics_value("", "logloss", sum), -log(1e-7));
    assert_close(metrics_value("", "accuracy", sum), 0);
}

static void test_nan_scores_show(void **state)
{
    const float score[] = {NAN, NAN}, label[] = {0, 1};
    double sum[SUM_COUNT] = {0};

    (void)state;
    metrics_add(sum, score, label, 2, SCORE_PROBABILITY);
    assert_true(isnan(metrics_value("", "rmse", sum)));
    assert_true(isnan(metrics_value("", "mae", sum)));
    assert_true(isnan(metrics_value("", "logloss", sum)));
    assert_close(metrics_value("", "accuracy", sum), 0);
}

static void test_sums_add_over_workers(void **state)
{
    const float score[] = {0.1f, 0.9f, 0.4f, 0.6f, 0.2f}, label[] = {0, 1, 1, 1, 0};
    static const char *const name[] = {"rmse", "mae", "logloss", "accuracy"};
    double whole[SUM_COUNT] = {0}, one[SUM_COUNT] = {0}, two[SUM_COUNT] = {0};

    (void)state;
    metrics_add(whole, score, label, 5, SCORE_PROBABILITY);
    metrics_add(one, score, label, 2, SCORE_PROBABILITY);
    metrics_add(two, score + 2, label + 2, 3, SCORE_PROBABILITY);
    for (int i = 0; i < SUM_COUNT; i++)
        one[i] += two[i];
    for (int i = 0; i < 4; i++)
        assert_close(metrics_value("", name[i], one),
                     metrics_value("", name[i], whole));
}

static void test_classes_by_hand(void **state)
{
    const struct class_sums classes = {.right_positive = 2,
                                       .wrong_positive = 1,
                                       .right_negative = 3,
                                       .wrong_negative = 2,
                                       .score = 3,
                                       .label = 4};
    double sum[SUM_COUNT] = {0};

    (void)state;
    assert_true(isnan(metrics_value("", "precision", sum)));
    assert_true(isnan(metrics_value("", "recall", sum)));
    assert_true(isnan(metrics_value("", "f1", sum)));
    assert_true(isnan(metrics_value("", "calibration", sum)));
    metrics_add_classes(sum, &classes);
    metrics_add_classes(sum, &classes);
    assert_close(metrics_value("", "precision", sum), 2.0 / 3);
    assert_close(metrics_value("", "recall", sum), 2.0 / 4);
    assert_close(metrics_value("", "f1", sum), 4.0 / 7);
    assert_close(metrics_value("", "calibration", sum), 3.0 / 4);
}

/* Of scores whose sign says the class, 0 is the border, and it counts as positive. */
static void test_accuracy_by_sign(void **state)
{
    const float score[] = {0.25f, 0, -0.25f, 0.25f}, label[] = {1, 1, 0, 0};
    double sum[SUM_COUNT] = {0};

    (void)state;
    metrics_add(sum, score, label, 4, SCORE_SIGN);
    assert_close(metrics_value("", "accuracy", sum), 0.75);
    assert_true(sum[SUM_LOG_LOSS] == 0);
}

/* It is no sum: the whole is more than its parts. */
static void test_auc_is_a_value(void **state)
{
    double sum[SUM_COUNT] = {[SUM_AUC] = 0.75};

    (void)state;
    assert_true(isnan(metrics_value("auc", "auc", sum)));
    sum[SUM_EXAMPLES] = 100;
    assert_close(metrics_value("auc", "auc", sum), 0.75);
    assert_true(metrics_has("rmse\nauc", "auc") && !metrics_has("rmse\nauc", "au"));
    assert_false(metrics_has("", "auc"));
}

/* Each K of the list has its own sums, whatever the metric. */
/* It comes from all workers together, and is there though nobody has added to it. */
static void test_coverage_is_a_value(void **state)
{
    static const char list[] = "hr@1\ncoverage@10\ncoverage@1";
    double sum[SUM_COUNT] = {0};
    struct metric_facts facts;

    (void)state;
    assert_true(metrics_has(list, "coverage@") && !metrics_has("hr@1", "coverage@"));
    assert_true(metrics_find("coverage@20", &facts) && facts.needs == NEEDS_LISTS);
    sum[SUM_COVERAGE] = 0.25;
    sum[SUM_COVERAGE + 1] = 0.75;
    assert_true(metrics_value(list, "coverage@1", sum) == 0.25);
    assert_true(metrics_value(list, "coverage@10", sum) == 0.75);
}

static void test_slots_of_k(void **state)
{
    const char *list = "rmse\nhr@10\nndcg@5\nmrr@10\nhr@1\nmap@20";
    const struct ranking_sums ten = {.lists = 4, .hit = 3, .mrr = 1};
    const struct ranking_sums five = {.lists = 2, .ndcg = 1, .hit = 2};
    uint32_t k[RANKING_SLOTS];
    double sum[SUM_COUNT] = {0};

    (void)state;
    assert_int_equal(metrics_slots("", NULL), 0);
    assert_int_equal(metrics_slots(list, k), 4);
    assert_true(k[0] == 10 && k[1] == 5 && k[2] == 1 && k[3] == 20);
    assert_int_equal(metrics_slots("hr@1\nhr@2\nhr@3\nhr@4\nhr@5\nmap@5", k), 6);
    assert_true(k[3] == 4);
    metrics_add_ranking(sum, 0, &ten);
    metrics_add_ranking(sum, 1, &five);
    assert_close(metrics_value(list, "hr@10", sum), 0.75);
    assert_close(metrics_value(list, "mrr@10", sum), 0.25);
    assert_close(metrics_value(list, "ndcg@5", sum), 0.5);
    assert_true(isnan(metrics_value(list, "hr@1", sum)));
    assert_true(isnan(metrics_value(list, "hr@7", sum)));
}

static void test_names(void **state)
{
    static const char *const wrong[] = {
        "RMSE", "",      "hr",  "hr@",   "hr@0",  "hr@01",  "hr@-1",
        "h@10", "hr@1x", "@10", "hrs@1", "auc@5", "rmse@1", "hr@99999999999"};
    struct metric_facts facts;
    double sum[SUM_COUNT] = {0};

    (void)state;
    assert_true(metrics_find("rmse", &facts) && facts.needs == NEEDS_NOTHING);
    assert_true(metrics_find("logloss", &facts) && facts.needs == NEEDS_PROBABILITIES);
    assert_true(metrics_find("accuracy", &facts) && facts.needs == NEEDS_CLASSES);
    assert_true(metrics_find("recall", &facts) && facts.k == 0);
    assert_true(metrics_find("recall@20", &facts) && facts.k == 20);
    assert_int_equal(facts.needs, NEEDS_LISTS);
    assert_true(metrics_find("recall_capped@4294967295", &facts));
    assert_true(facts.k == UINT32_MAX);
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        assert_false(metrics_find(wrong[i], &facts));
        assert_true(isnan(metrics_value("", wrong[i], sum)));
    }
    assert_true(isnan(metrics_value("", "rmse", sum)));
    assert_true(isnan(metrics_value("", "accuracy", sum)));
}

static void test_badness(void **state)
{
    (void)state;
    assert_true(metrics_badness("rmse", 0.8) < metrics_badness("rmse", 0.9));
    assert_true(metrics_badness("ndcg@10", 0.9) < metrics_badness("ndcg@10", 0.8));
    assert_true(metrics_badness("calibration", 1.1) <
                metrics_badness("calibration", 0.8));
    assert_true(metrics_badness("rmse", 1e300) < metrics_badness("rmse", NAN));
    assert_true(isinf(metrics_badness("unknown", 1)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_errors_by_hand),
        cmocka_unit_test(test_probabilities_by_hand),
        cmocka_unit_test(test_log_loss_of_a_sure_mistake_is_bounded),
        cmocka_unit_test(test_nan_scores_show),
        cmocka_unit_test(test_sums_add_over_workers),
        cmocka_unit_test(test_classes_by_hand),
        cmocka_unit_test(test_accuracy_by_sign),
        cmocka_unit_test(test_auc_is_a_value),
        cmocka_unit_test(test_coverage_is_a_value),
        cmocka_unit_test(test_slots_of_k),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_badness),
    };

    return cmocka_run_group_tests_name("metrics", tests, NULL, NULL);
}

/* Metrics by hand, with ties. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/rng.h"
#include "worker/model/ranking_groups.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

static void assert_close(double value, double expected)
{
    if (!(fabs(value - expected) <= 1e-12))
        fail_msg("%.15g is not %.15g", value, expected);
}

/* --- two classes -------------------------------------------------------------------
 */

static void classes_by_hand(void **state)
{
    const float score[] = {0.9f, 0.5f, 0.75f, 0.25f, 0.25f, 0.35f};
    const float label[] = {1, 1, 0, 0, 1, 0};
    struct class_sums sums = {0};

    (void)state;
    class_sums_add(&sums, score, label, 2, 0.5f);
    class_sums_add(&sums, score + 2, label + 2, 4, 0.5f);
    assert_true(sums.right_positive == 2 && sums.wrong_positive == 1);
    assert_true(sums.right_negative == 2 && sums.wrong_negative == 1);
    assert_true(fabs(sums.score - 3) < 1e-6 && sums.label == 3);
}

/* Scores that are no probabilities have their border elsewhere. */
static void classes_by_sign(void **state)
{
    const float score[] = {0.1f, 0, -0.1f, NAN}, label[] = {1, 1, 1, 0};
    struct class_sums sums = {0};

    (void)state;
    class_sums_add(&sums, score, label, 4, 0);
    assert_true(sums.right_positive == 2 && sums.wrong_negative == 1);
    assert_true(sums.right_negative == 1 && sums.wrong_positive == 0);
}

/* --- lists -------------------------------------------------------------------------
 */

static void places(void **state)
{
    const float score[] = {3, 1, 2, 2, NAN};
    struct ranking_place place = ranking_place(2, score, 5);

    (void)state;
    assert_true(place.above == 1 && place.equal == 2);
    place = ranking_place(9, score, 5);
    assert_true(place.above == 0 && place.equal == 0);
    place = ranking_place(NAN, score, 5);
    assert_true(place.above == 4 && place.equal == 1);
}

static double value(const char *name, const struct ranking_sums *sums)
{
    double sum[SUM_COUNT] = {0};

    metrics_add_ranking(sum, 0, sums);
    return metrics_value("hr@3", name, sum);
}

static void assert_metrics(const struct ranking_sums *s, double hr, double ndcg,
                           double recall, double capped, double precision, double mrr,
                           double map)
{
    assert_close(value("hr@3", s), hr);
    assert_close(value("ndcg@3", s), ndcg);
    assert_close(value("recall@3", s), recall);
    assert_close(value("recall_capped@3", s), capped);
    assert_close(value("precision@3", s), precision);
    assert_close(value("mrr@3", s), mrr);
    assert_close(value("map@3", s), map);
}

/* Of n items, at most 8. */
static void add_list(struct ranking_sums *sums, const float *score,
                     const uint8_t *relevant, uint32_t n, uint64_t total,
                     enum ranking_ties ties)
{
    struct ranking_group group[24];
    float own[8];
    struct ranking_scores scores = {.score = score, .relevant = own, .n = n};

    for (uint32_t i = 0; i < n; i++)
        if (relevant[i])
            own[scores.relevants++] = score[i];
    ranking_add_groups(sums, group, ranking_find_groups(&scores, 3, ties, group), total,
                       3);
}

/* One above, three equal ones: places 2 to 5 with a quarter each, and k is 3. */
static void one_relevant_item_with_ties(void **state)
{
    const float score[] = {2, 3, 2, 2, 2}, far[] = {9, 8, 7, 6, 5, 4, 3, 2};
    const uint8_t relevant[] = {0, 0, 0, 1, 0}, last[] = {0, 0, 0, 0, 0, 0, 0, 1};
    struct ranking_sums expected = {0}, behind = {0}, ahead = {0};
    double second = 1 / log2(3), third = 0.5;

    (void)state;
    add_list(&expected, score, relevant, 5, 1, TIES_EXPECTED);
    assert_metrics(&expected, 0.5, (second + third) / 4, 0.5, 0.5, 0.5 / 3,
                   (1.0 / 2 + 1.0 / 3) / 4, (1.0 / 2 + 1.0 / 3) / 4);
    add_list(&behind, score, relevant, 5, 1, TIES_BEHIND);
    assert_metrics(&behind, 0, 0, 0, 0, 0, 0, 0);
    add_list(&ahead, score, relevant, 5, 1, TIES_AHEAD);
    assert_metrics(&ahead, 1, second, 1, 1, 1.0 / 3, 0.5, 0.5);
    add_list(&ahead, far, last, 8, 1, TIES_AHEAD);
    assert_close(ahead.lists, 2);
    assert_close(value("hr@3", &ahead), 0.5);
}

static void lists_by_hand(void **state)
{
    const float score[] = {4, 3, 2, 1};
    const uint8_t relevant[] = {0, 1, 1, 1}, first[] = {1}, none[] = {0, 0, 0, 0};
    struct ranking_sums sums = {0};
    double second = 1 / log2(3), third = 0.5, best = 1 + second + third;

    (void)state;
    add_list(&sums, score, relevant, 4, 5, TIES_EXPECTED);
    assert_metrics(&sums, 1, (second + third) / best, 2.0 / 5, 2.0 / 3, 2.0 / 3, 0.5,
                   (1.0 / 2 + 2.0 / 3) / 3);
    memset(&sums, 0, sizeof sums);
    add_list(&sums, score, first, 1, 2, TIES_EXPECTED);
    assert_metrics(&sums, 1, 1 / (1 + second), 0.5, 0.5, 1.0 / 3, 1, 0.5);
    add_list(&sums, score, none, 4, 0, TIES_EXPECTED);
    assert_close(sums.lists, 1);
    add_list(&sums, score, none, 0, 2, TIES_EXPECTED);
    assert_close(value("hr@3", &sums), 0.5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(classes_by_hand),
        cmocka_unit_test(classes_by_sign),
        cmocka_unit_test(places),
        cmocka_unit_test(one_relevant_item_with_ties),
        cmocka_unit_test(lists_by_hand),
    };

    return cmocka_run_group_tests_name("ranking", tests, NULL, NULL);
}

/* Lists with ties and several relevant items, against all orders of the equals. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "worker/model/ranking_groups.h"

enum { ITEMS = 6 };

/* --- lists as metrics define them ---------------------------------------------------
 */

/* What the item at `place` (from 0) adds to a list's gain. */
static double gain(uint64_t place)
{
    return 1 / log2((double)place + 2);
}

static void add_one(struct ranking_sums *sums, uint64_t place, uint32_t k, double share)
{
    double reciprocal = share / ((double)place + 1);

    sums->hit += share;
    sums->recall += share;
    sums->capped += share;
    sums->precision += share / k;
    sums->ndcg += share * gain(place);
    sums->mrr += reciprocal;
    sums->map += reciprocal;
}

static void add_place(struct ranking_sums *sums, struct ranking_place place, uint32_t k,
                      enum ranking_ties ties)
{
    uint64_t first = place.above, last = place.above + place.equal;
    double share = 1;

    if (ties == TIES_AHEAD)
        last = first;
    else if (ties == TIES_BEHIND)
        first = last;
    else
        share = 1 / (double)(place.equal + 1);
    sums->lists++;
    for (uint64_t at = first; at <= last && at < k; at++)
        add_one(sums, at, k, share);
}

static void add_list(struct ranking_sums *sums, const uint8_t *relevant, uint32_t n,
                     uint64_t total, uint32_t k)
{
    double best = 0, gained = 0, precisions = 0, found = 0, most;

    if (total == 0)
        return;
    for (uint64_t i = 0; i < k && i < total; i++)
        best += gain(i);
    for (uint32_t i = 0; i < n && i < k; i++) {
        if (!relevant[i])
            continue;
        if (found == 0)
            sums->mrr += 1 / ((double)i + 1);
        found++;
        gained += gain(i);
        precisions += found / ((double)i + 1);
    }
    most = total < k ? (double)total : (double)k;
    sums->lists++;
    sums->hit += found > 0;
    sums->ndcg += gained / best;
    sums->recall += found / (double)total;
    sums->capped += found / most;
    sums->precision += found / k;
    sums->map += precisions / most;
}

/* --- against these ------------------------------------------------------------------
 */

/* The mean of add_list() over all orders of ITEMS items that rank by score. */
struct orders {
    const float *score;
    const uint8_t *relevant;
    uint64_t total;
    uint32_t k;
    struct ranking_sums sums;
};

static void try_orders(struct orders *o, uint32_t *order, uint32_t n, unsigned used)
{
    uint8_t relevant[ITEMS];

    if (n == ITEMS) {
        for (uint32_t i = 0; i < ITEMS; i++)
            relevant[i] = o->relevant[order[i]];
        add_list(&o->sums, relevant, ITEMS, o->total, o->k);
        return;
    }
    for (uint32_t i = 0; i < ITEMS; i++) {
        if (used & 1u << i || (n && o->score[i] > o->score[order[n - 1]]))
            continue;
        order[n] = i;
        try_orders(o, order, n + 1, used | 1u << i);
    }
}

static void expect_close(const struct ranking_sums *a, const struct ranking_sums *b)
{
    double x[sizeof *a / sizeof(double)], y[sizeof *a / sizeof(double)];

    memcpy(x, a, sizeof x);
    memcpy(y, b, sizeof y);
    for (size_t i = 0; i < sizeof x / sizeof *x; i++)
        if (!(fabs(x[i] / a->lists - y[i] / b->lists) < 1e-12))
            fail_msg("sum %zu is %.17g, expected %.17g", i, x[i] / a->lists,
                     y[i] / b->lists);
}

static struct ranking_sums sums_of(const float *score, const uint8_t *relevant,
                                   uint64_t total, uint32_t k, enum ranking_ties ties)
{
    struct ranking_group group[3 * ITEMS];
    struct ranking_sums sums = {0};
    float own[ITEMS];
    struct ranking_scores scores = {.score = score, .relevant = own, .n = ITEMS};

    for (uint32_t i = 0; i < ITEMS; i++)
        if (relevant[i])
            own[scores.relevants++] = score[i];
    ranking_add_groups(&sums, group, ranking_find_groups(&scores, k, ties, group),
                       total, k);
    return sums;
}

/* Every way to give 6 items 3 scores and to say which are relevant. */
static void test_expected_is_the_mean_of_all_orders(void **state)
{
    float score[ITEMS];
    uint8_t relevant[ITEMS];
    uint32_t order[ITEMS];

    (void)state;
    for (uint32_t which = 0; which < 729; which++)
        for (uint32_t bits = 1; bits < 1u << ITEMS; bits += which % 7 + 1) {
            uint32_t rest = which, k = 1 + (which + bits) % 7;
            struct orders o = {.score = score, .relevant = relevant, .k = k};
            struct ranking_sums sums;

            for (uint32_t i = 0; i < ITEMS; i++, rest /= 3) {
                score[i] = (float)(rest % 3);
                relevant[i] = bits >> i & 1;
                o.total += relevant[i];
            }
            o.total += bits % 2; /* one that is not on the list */
            try_orders(&o, order, 0, 0);
            sums = sums_of(score, relevant, o.total, k, TIES_EXPECTED);
            expect_close(&sums, &o.sums);
        }
}

/* One relevant item: as add_place() has it, for all that ties may be. */
static void test_one_relevant_item(void **state)
{
    static const float score[ITEMS] = {2, 1, 2, NAN, 2, 3};
    static const enum ranking_ties ties[] = {TIES_EXPECTED, TIES_BEHIND, TIES_AHEAD};

    (void)state;
    for (uint32_t own = 0; own < ITEMS; own++)
        for (uint32_t t = 0; t < 3; t++)
            for (uint32_t k = 1; k <= ITEMS; k++) {
                struct ranking_place place = ranking_place(score[own], score, ITEMS);
                struct ranking_sums expected = {0}, sums;
                uint8_t relevant[ITEMS] = {0};

                relevant[own] = 1;
                place.equal--; /* itself */
                add_place(&expected, place, k, ties[t]);
                sums = sums_of(score, relevant, 1, k, ties[t]);
                expect_close(&sums, &expected);
            }
}

/* Scores 5 4 4 4 1 0; relevant are one of the 4s and the 1. */
static void test_behind_and_ahead(void **state)
{
    static const float score[ITEMS] = {4, 5, 4, 1, 4, 0};
    static const uint8_t relevant[ITEMS] = {1, 0, 0, 1, 0, 0};
    struct ranking_sums behind = sums_of(score, relevant, 2, 3, TIES_BEHIND);
    struct ranking_sums ahead = sums_of(score, relevant, 2, 3, TIES_AHEAD);
    double best = 1 + 1 / log2(3);

    (void)state;
    assert_true(behind.hit == 0 && behind.ndcg == 0 && behind.lists == 1);
    assert_true(ahead.hit == 1 && ahead.mrr == 0.5 && ahead.recall == 0.5);
    assert_true(fabs(ahead.ndcg - 1 / log2(3) / best) < 1e-12);
    behind = sums_of(score, relevant, 2, 4, TIES_BEHIND);
    assert_true(behind.mrr == 0.25 && behind.recall == 0.5);
    behind = sums_of(score, relevant, 2, 5, TIES_BEHIND);
    assert_true(behind.recall == 1);
    assert_true(fabs(behind.map - (1.0 / 4 + 2.0 / 5) / 2) < 1e-12);
}

/* What is left out takes no place, also among equals. */
static void test_items_that_are_left_out(void **state)
{
    static const float score[] = {9, 8, 8, 8, 7}, left_out[] = {9, 8};
    struct ranking_group group[3];
    float own[] = {8};
    struct ranking_scores scores = {score, own, left_out, 5, 1, 2};

    (void)state;
    assert_int_equal(ranking_find_groups(&scores, 10, TIES_EXPECTED, group), 2);
    assert_int_equal(group[0].items, 0);
    assert_int_equal(group[1].items, 2);
    assert_int_equal(group[1].relevant, 1);
}

static void test_a_list_without_anything_relevant(void **state)
{
    struct ranking_sums sums = {0};

    (void)state;
    ranking_add_groups(&sums, NULL, 0, 0, 10);
    assert_true(sums.lists == 0);
    ranking_add_groups(&sums, NULL, 0, 3, 10); /* none of them is on the list */
    assert_true(sums.lists == 1 && sums.hit == 0 && sums.ndcg == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_expected_is_the_mean_of_all_orders),
        cmocka_unit_test(test_one_relevant_item),
        cmocka_unit_test(test_behind_and_ahead),
        cmocka_unit_test(test_items_that_are_left_out),
        cmocka_unit_test(test_a_list_without_anything_relevant),
    };

    return cmocka_run_group_tests_name("ranking_groups", tests, NULL, NULL);
}

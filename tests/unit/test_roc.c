/* AUC by hand, with ties, and against counting all pairs; from parts; hostile words. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/rng.h"
#include "common/roc.h"

static void assert_close(double value, double expected)
{
    if (!(fabs(value - expected) <= 1e-12))
        fail_msg("%.15g is not %.15g", value, expected);
}

static void add(struct roc *roc, const float *score, const float *label, uint32_t n)
{
    struct err err;

    assert_int_equal(roc_add(roc, score, label, n, &err), 0);
    assert_int_equal(roc_settle(roc, &err), 0);
}

static double auc_of(const float *score, const float *label, uint32_t n)
{
    struct roc roc = {0};
    double error, value;

    add(&roc, score, label, n);
    value = roc_auc(&roc, &error);
    assert_true(error == 0);
    roc_release(&roc);
    return value;
}

/* As another process would get it. */
static int merge(struct roc *to, const struct roc *from, struct err *err)
{
    uint64_t *word = malloc(roc_words(from) * sizeof *word);
    int rc;

    assert_non_null(word);
    roc_write(from, word);
    rc = roc_merge(to, word, roc_words(from), err);
    free(word);
    return rc;
}

static void auc_by_hand(void **state)
{
    const float score[] = {0.1f, 0.4f, 0.35f, 0.8f}, label[] = {0, 0, 1, 1};
    const float tied[] = {1, 1, 1, 2}, tied_label[] = {1, 0, 0, 1};
    const float equal[] = {3, 3}, zeros[] = {-0.0f, 0.0f}, one_each[] = {0, 1};
    const float odd[] = {NAN, -INFINITY, INFINITY}, odd_label[] = {0, 1, 1};

    (void)state;
    assert_close(auc_of(score, label, 4), 3.0 / 4);
    assert_close(auc_of(tied, tied_label, 4), (2 * 0.5 + 2) / 4);
    assert_close(auc_of(equal, one_each, 2), 0.5);
    assert_close(auc_of(zeros, one_each, 2), 0.5);
    assert_close(auc_of(odd, odd_label, 3), 1);
    assert_true(isnan(auc_of(score, one_each, 1)));
    assert_true(isnan(auc_of(score, one_each + 1, 1)));
    assert_true(isnan(auc_of(NULL, NULL, 0)));
}

/* Scores by chance, many of them equal. */
static void draw(uint64_t seed, uint32_t steps, float *score, float *label, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++) {
        score[i] = (float)rng_below(rng_at(seed, 1, i), steps) - (float)steps / 2;
        label[i] = (float)rng_below(rng_at(seed, 2, i), 2);
    }
}

static double all_pairs(const float *score, const float *label, uint32_t n)
{
    double ordered = 0, pairs = 0;

    for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = 0; j < n; j++)
            if (label[i] == 1 && label[j] == 0) {
                pairs++;
                ordered += score[i] > score[j] ? 1 : score[i] == score[j] ? 0.5 : 0;
            }
    return ordered / pairs;
}

static void auc_is_a_count_of_pairs(void **state)
{
    float score[64], label[64];

    (void)state;
    for (uint64_t seed = 1; seed <= 100; seed++) {
        draw(seed, (uint32_t)seed, score, label, 64);
        assert_close(auc_of(score, label, 64), all_pairs(score, label, 64));
    }
}

/* However the examples are shared out, the bits are the same. */
static void parts_are_the_whole(void **state)
{
    enum { N = 300000 };
    float *score = malloc(N * sizeof *score), *label = malloc(N * sizeof *label);
    double whole, error;

    (void)state;
    assert_true(score && label);
    draw(7, N / 2, score, label, N);
    whole = auc_of(score, label, N);
    for (uint32_t parts = 2; parts <= 5; parts++) {
        struct roc sum = {0};
        struct err err;

        for (uint32_t p = 0; p < parts; p++) {
            struct roc part = {0};
            uint32_t first = N / parts * p, end = p + 1 < parts ? first + N / parts : N;

            add(&part, score + first, label + first, end - first);
            assert_int_equal(merge(&sum, &part, &err), 0);
            roc_release(&part);
        }
        assert_true(roc_auc(&sum, &error) == whole && error == 0);
        assert_int_equal(sum.examples, N);
        roc_release(&sum);
    }
    free(score);
    free(label);
}

enum { MANY = ROC_ENTRIES_MAX + 50000 };

/* Ascending; two in three are positive in the upper half, one in the lower. */
static double draw_many(float *score, float *label)
{
    double ordered = 0, below = 0;

    for (uint32_t i = 0; i < MANY; i++) {
        score[i] = 1 + (float)i / (1 << 22);
        label[i] = i % 3 == 0 || (i % 3 == 1 && i > MANY / 2);
        ordered += label[i] == 1 ? below : 0;
        below += label[i] == 0;
    }
    return ordered / (below * (MANY - below));
}

/* More different scores than are kept: the value is within the error that is stated,
 * and the same for all ways to share the examples out. */
static void too_many_scores_are_rounded(void **state)
{
    float *score = malloc(MANY * sizeof *score), *label = malloc(MANY * sizeof *label);
    struct roc whole = {0}, one = {0}, two = {0}, sum = {0};
    double error, exact = draw_many(score, label), other, value;
    struct err err;

    (void)state;
    add(&whole, score, label, MANY);
    assert_true(whole.coarse && whole.entries < 1 << ROC_BITS);
    value = roc_auc(&whole, &error);
    assert_true(error > 0 && error < 0.01 && fabs(value - exact) <= error);
    add(&one, score, label, MANY / 2);
    add(&two, score + MANY / 2, label + MANY / 2, MANY - MANY / 2);
    assert_false(one.coarse || two.coarse);
    assert_int_equal(merge(&sum, &one, &err), 0);
    assert_int_equal(merge(&sum, &two, &err), 0);
    assert_true(sum.coarse && roc_auc(&sum, &other) == value && other == error);
    roc_release(&sum);
    assert_int_equal(merge(&sum, &one, &err), 0);
    assert_int_equal(merge(&sum, &whole, &err), 0); /* a coarse one into a fine one */
    assert_true(sum.coarse && sum.examples == MANY + MANY / 2);
    roc_release(&sum);
    roc_release(&whole);
    roc_release(&one);
    roc_release(&two);
    free(score);
    free(label);
}

static void refused(const uint64_t *word, uint64_t words)
{
    struct roc roc = {0};
    struct err err = {0};

    assert_int_equal(roc_merge(&roc, word, words, &err), -ERR_PEER);
    assert_non_null(strstr(err.text, "no counts of scores"));
    assert_true(roc.entries == 0 && roc.examples == 0);
}

static void hostile_words(void **state)
{
    const uint64_t good[] = {0, 5, 1, 2, 9, 0, UINT32_MAX};
    const uint64_t equal[] = {0, 5, 1, 2, 5, 1, 2}, falling[] = {0, 5, 1, 2, 4, 1, 2};
    const uint64_t wide[] = {0, 1ull << 32, 1, 1}, many[] = {0, 5, UINT64_MAX, 2};
    const uint64_t fine[] = {1, 5, 1, 2}, flags[] = {2, 5, 1, 2};
    const uint64_t sum[] = {0, 5, 1ull << 48, 0, 6, 1ull << 48, 0};
    uint64_t *long_one = calloc(ROC_WORDS_MAX + 3, sizeof *long_one);
    struct roc roc = {0};
    struct err err;

    (void)state;
    assert_non_null(long_one);
    assert_int_equal(roc_merge(&roc, good, 7, &err), 0);
    assert_true(roc.entries == 2 && roc.examples == 3ull + UINT32_MAX);
    assert_int_equal(roc_merge(&roc, good, 1, &err), 0); /* nothing */
    roc_release(&roc);
    refused(good, 0);
    refused(good, 6);
    refused(equal, 7);
    refused(falling, 7);
    refused(wide, 4);
    refused(fine, 4);
    refused(flags, 4);
    refused(many, 4);
    refused(sum, 7);
    for (uint64_t i = 0; i <= ROC_ENTRIES_MAX; i++)
        long_one[1 + 3 * i] = i;
    refused(long_one, ROC_WORDS_MAX + 3);
    free(long_one);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(auc_by_hand),
        cmocka_unit_test(auc_is_a_count_of_pairs),
        cmocka_unit_test(parts_are_the_whole),
        cmocka_unit_test(too_many_scores_are_rounded),
        cmocka_unit_test(hostile_words),
    };

    return cmocka_run_group_tests_name("roc", tests, NULL, NULL);
}

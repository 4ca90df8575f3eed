#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/rng.h"
#include "worker/history.h"

/* Columns: item, something else, user. */
static const uint64_t key[][3] = {
    {10, 0, 1}, {11, 0, 1},         {12, 0, 2}, {10, 0, 3}, {13, 0, 1},
    {10, 0, 1}, {UINT64_MAX, 0, 1}, {0, 0, 1},  {14, 0, 1}, {9, 0, UINT64_MAX},
};
static const float label[] = {3, 5, 1, 4, 5, 4, 4, 0.5f, 2, 1};

static const struct rated_examples examples = {
    .key = &key[0][0],
    .label = label,
    .examples = 10,
    .key_columns = 3,
    .user_column = 2,
    .item_column = 0,
};

static void make(struct history *history, const uint64_t *user, uint32_t users)
{
    struct rated_examples first = examples, second = examples;
    struct err err = {0};

    first.examples = 4;
    second.key = &key[4][0];
    second.label = label + 4;
    second.examples = 6;
    assert_int_equal(history_create(history, user, users, &err), 0);
    assert_int_equal(history_add(history, &first, &err), 0);
    assert_int_equal(history_add(history, &second, &err), 0);
    assert_int_equal(history_finish(history, &err), 0);
}

static void assert_items(const struct history *history, uint64_t user,
                         const uint64_t *item, uint32_t n)
{
    struct key_list items = history_items(history, user);

    assert_int_equal(items.n, n);
    if (n > 0)
        assert_memory_equal(items.key, item, n * sizeof *item);
}

static void test_items(void **state)
{
    const uint64_t user[] = {UINT64_MAX, 7, 1, 2, 1};
    const uint64_t of_1[] = {0, 10, 11, 13, 14, UINT64_MAX}, of_2[] = {12},
                   of_max[] = {9};
    struct history history;

    (void)state;
    make(&history, user, 5);
    assert_int_equal(history.users, 4);
    assert_items(&history, 1, of_1, 6);
    assert_items(&history, 2, of_2, 1);
    assert_items(&history, UINT64_MAX, of_max, 1);
    assert_items(&history, 7, NULL, 0); /* asked for, rated nothing */
    assert_items(&history, 3, NULL, 0); /* not asked for */
    history_release(&history);
    history_release(&history);
}

static void test_liked(void **state)
{
    const uint64_t user[] = {1, 7};
    const uint64_t order[] = {11, 13, 10, UINT64_MAX, 14, 0};
    const double score[] = {5, 5, 4, 4, 2, 0.5};
    struct ranked list[8];
    struct history history;

    (void)state;
    make(&history, user, 2);
    for (uint32_t top = 0; top <= 8; top++) {
        uint32_t expected = top < 6 ? top : 6;

        list[top < 8 ? top : 7].key = 4711;
        assert_int_equal(history_liked(&history, 1, top, list), expected);
        for (uint32_t i = 0; i < expected; i++)
            assert_true(list[i].key == order[i] && list[i].score == score[i]);
        if (top < 8)
            assert_true(list[top].key == 4711); /* nothing behind the list */
    }
    assert_int_equal(history_liked(&history, 7, 8, list), 0);
    assert_int_equal(history_liked(&history, 99, 8, list), 0);
    history_release(&history);
}

static void test_no_users_and_no_examples(void **state)
{
    const uint64_t user[] = {1};
    struct ranked list[1];
    struct history history;
    struct err err = {0};

    (void)state;
    make(&history, NULL, 0);
    assert_items(&history, 1, NULL, 0);
    history_release(&history);
    assert_int_equal(history_create(&history, user, 1, &err), 0);
    assert_int_equal(history_finish(&history, &err), 0);
    assert_items(&history, 1, NULL, 0);
    assert_int_equal(history_liked(&history, 1, 1, list), 0);
    history_release(&history);
}

/* Many examples of some users, with repetitions: items rise, each with its best label.
 */
static void test_many(void **state)
{
    enum { N = 20000 };
    static uint64_t pair[N][2];
    static float rating[N];
    const struct rated_examples all = {&pair[0][0], rating, N, 2, 0, 1};
    uint64_t user[20], kept = 0;
    struct history history;
    struct err err = {0};

    (void)state;
    for (uint64_t i = 0; i < N; i++) {
        pair[i][0] = rng_below(rng_at(1, 0, i), 100);
        pair[i][1] = rng_below(rng_at(1, 1, i), 150);
        rating[i] = (float)rng_below(rng_at(1, 2, i), 5);
    }
    for (uint64_t u = 0; u < 20; u++)
        user[u] = 95 - 5 * u;
    assert_int_equal(history_create(&history, user, 20, &err), 0);
    assert_int_equal(history_add(&history, &all, &err), 0);
    assert_int_equal(history_finish(&history, &err), 0);
    for (uint64_t u = 0; u < 20; u++) {
        struct key_list items = history_items(&history, user[u]);

        kept += items.n;
        for (uint32_t k = 0; k < items.n; k++) {
            float best = -1;

            for (uint64_t i = 0; i < N; i++)
                if (pair[i][0] == user[u] && pair[i][1] == items.key[k])
                    best = rating[i] > best ? rating[i] : best;
            assert_true(k == 0 || items.key[k - 1] < items.key[k]);
            assert_true(history.label[items.key - history.item + k] == best);
        }
    }
    assert_true(kept > 1000 && kept == history.first[20]);
    history_release(&history);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_items),
        cmocka_unit_test(test_liked),
        cmocka_unit_test(test_no_users_and_no_examples),
        cmocka_unit_test(test_many),
    };

    return cmocka_run_group_tests_name("history", tests, NULL, NULL);
}

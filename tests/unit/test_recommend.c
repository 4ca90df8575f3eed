#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/job.h"
#include "common/rng.h"
#include "worker/model/blas.h"
#include "worker/recommend.h"

enum { DIM = 12, WIDTH = DIM + 1, ITEMS = 5000, USERS = 70, TOP = 25 };

static const struct key_list nothing;

static const struct mf squared = {
    .dim = DIM, .width = WIDTH, .bias = true, .loss = LOSS_SQUARED, .mean = 3.5f};
static const struct mf logistic = {
    .dim = DIM, .width = WIDTH, .bias = true, .loss = LOSS_LOGISTIC, .mean = -1};

static float number(uint64_t stream, uint64_t n)
{
    return (float)(rng_unit(rng_at(3, stream, n)) - 0.5);
}

static void add(struct catalogue *catalogue, uint64_t key, const float *row)
{
    struct err err = {0};

    assert_int_equal(catalogue_add(catalogue, key, row, &err), 0);
}

/* Item number i has key 3 i + 1 and a row that depends on i alone. */
static void item_row(uint64_t i, float *row)
{
    for (uint64_t j = 0; j < WIDTH; j++)
        row[j] = number(i + 1, j);
}

static void fill(struct catalogue *catalogue, bool backwards)
{
    float row[WIDTH];

    catalogue_init(catalogue, WIDTH);
    for (uint64_t i = 0; i < ITEMS; i++) {
        uint64_t item = backwards ? ITEMS - 1 - i : i;

        item_row(item, row);
        add(catalogue, 3 * item + 1, row);
    }
}

static void fill_users(float *user)
{
    for (uint64_t i = 0; i < USERS * WIDTH; i++)
        user[i] = number(1000000, i);
}

/* By the plainest means: score all, sort all. */
static int compare_ranked(const void *a, const void *b)
{
    const struct ranked *x = a, *y = b;

    if (x->score != y->score)
        return x->score > y->score ? -1 : 1;
    return x->key < y->key ? -1 : 1;
}

static uint32_t naive_top(const struct mf *mf, const float *user, struct key_list seen,
                          struct ranked *list)
{
    static struct ranked all[ITEMS];
    uint32_t n = 0, zero = 0;

    for (uint64_t i = 0; i < ITEMS; i++) {
        float row[WIDTH], score;
        const struct mf_batch batch = {
            .n = 1, .user_pos = &zero, .item_pos = &zero, .user = user, .item = row};
        bool skip = false;

        item_row(i, row);
        mf_predict_linear(mf, &batch, &score);
        mf_link(mf, &score, 1);
        for (uint32_t s = 0; s < seen.n; s++)
            skip |= seen.key[s] == 3 * i + 1;
        if (!skip)
            all[n++] = (struct ranked){.key = 3 * i + 1, .score = score};
    }
    qsort(all, n, sizeof *all, compare_ranked);
    n = n < TOP ? n : TOP;
    memcpy(list, all, n * sizeof *all);
    return n;
}

static void assert_same_list(const struct ranked *list, const struct ranked *expected,
                             uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        assert_true(list[i].key == expected[i].key);
        assert_true(list[i].score == expected[i].score);
    }
}

/* Users asked for one by one or together, items in any order: the naive twin's list, to
 * the last bit. */
static void test_equals_its_twin(void **state)
{
    static float user[USERS * WIDTH];
    static struct ranked many[USERS * TOP];
    uint64_t seen_key[USERS][5];
    struct key_list seen[USERS];
    struct catalogue forwards, backwards;
    uint32_t count[USERS], one;
    struct err err = {0};

    (void)state;
    fill(&forwards, false);
    fill(&backwards, true);
    fill_users(user);
    for (uint32_t u = 0; u < USERS; u++) {
        struct ranked first[TOP];

        assert_int_equal(recommend_top(&forwards, &squared, user + u * WIDTH, nothing,
                                       5, first, &one, &err),
                         0);
        seen_key[u][0] = 0;
        seen_key[u][1] = first[0].key < first[4].key ? first[0].key : first[4].key;
        seen_key[u][2] = first[0].key < first[4].key ? first[4].key : first[0].key;
        seen_key[u][3] = 3 * ITEMS;
        seen_key[u][4] = UINT64_MAX;
        seen[u] = (struct key_list){seen_key[u], u % 2 ? 5 : 0};
    }
    assert_int_equal(recommend_top_users(&backwards, &squared, user, USERS, seen, TOP,
                                         many, count, &err),
                     0);
    for (uint32_t u = 0; u < USERS; u++) {
        struct ranked list[TOP], expected[TOP];

        assert_int_equal(naive_top(&squared, user + u * WIDTH, seen[u], expected), TOP);
        assert_int_equal(recommend_top(&forwards, &squared, user + u * WIDTH, seen[u],
                                       TOP, list, &one, &err),
                         0);
        assert_int_equal(one, TOP);
        assert_int_equal(count[u], TOP);
        assert_same_list(list, expected, TOP);
        assert_same_list(many + u * TOP, expected, TOP);
    }
    catalogue_release(&forwards);
    catalogue_release(&backwards);
}

static void make_small(struct catalogue *catalogue, const uint64_t *key,
                       const float *bias, uint32_t n)
{
    catalogue_init(catalogue, WIDTH);
    for (uint32_t i = 0; i < n; i++) {
        float row[WIDTH] = {0};

        row[DIM] = bias[i];
        add(catalogue, key[i], row);
    }
}

static void test_ties_go_to_the_smaller_key(void **state)
{
    const uint64_t key[] = {9, UINT64_MAX, 5, 0, 7, 3};
    const float bias[] = {1, 1, 1, 1, 2, 0};
    const float user[WIDTH] = {0};
    struct catalogue catalogue;
    struct ranked list[10];
    uint32_t count;
    struct err err = {0};

    (void)state;
    make_small(&catalogue, key, bias, 6);
    assert_int_equal(
        recommend_top(&catalogue, &squared, user, nothing, 4, list, &count, &err), 0);
    assert_int_equal(count, 4);
    assert_true(list[0].key == 7 && list[0].score == 5.5);
    assert_true(list[1].key == 0 && list[1].score == 4.5);
    assert_true(list[2].key == 5 && list[3].key == 9);
    assert_int_equal(
        recommend_top(&catalogue, &squared, user, nothing, 10, list, &count, &err), 0);
    assert_int_equal(count, 6);
    assert_true(list[4].key == UINT64_MAX && list[5].key == 3);
    catalogue_release(&catalogue);
}

static void test_seen_items_and_edges(void **state)
{
    const uint64_t key[] = {2, 4, 6}, seen_key[] = {0, 2, 4, 6, 8};
    const float bias[] = {1, NAN, 3}, user[WIDTH] = {0};
    struct catalogue catalogue, empty;
    struct ranked list[4];
    uint32_t count;
    struct err err = {0};

    (void)state;
    make_small(&catalogue, key, bias, 3);
    catalogue_init(&empty, WIDTH);
    assert_int_equal(
        recommend_top(&catalogue, &squared, user, nothing, 4, list, &count, &err), 0);
    assert_int_equal(count, 2); /* NaN is on no list */
    assert_true(list[0].key == 6 && list[1].key == 2);
    assert_int_equal(recommend_top(&catalogue, &squared, user,
                                   (struct key_list){seen_key, 2}, 4, list, &count,
                                   &err),
                     0);
    assert_int_equal(count, 1);
    assert_true(list[0].key == 6);
    assert_int_equal(recommend_top(&catalogue, &squared, user,
                                   (struct key_list){seen_key, 5}, 4, list, &count,
                                   &err),
                     0);
    assert_int_equal(count, 0);
    assert_int_equal(
        recommend_top(&catalogue, &squared, user, nothing, 0, list, &count, &err), 0);
    assert_int_equal(count, 0);
    assert_int_equal(
        recommend_top(&empty, &squared, user, nothing, 4, list, &count, &err), 0);
    assert_int_equal(count, 0);
    catalogue_release(&catalogue);
    catalogue_release(&catalogue);
}

/* Probabilities that are 1 as floats still have an order: that of their log-odds. */
static void test_order_of_sure_probabilities(void **state)
{
    const uint64_t key[] = {1, 2, 3};
    const float bias[] = {50, 60, 0}, user[WIDTH] = {0};
    struct catalogue catalogue;
    struct ranked list[3];
    uint32_t count;
    struct err err = {0};

    (void)state;
    make_small(&catalogue, key, bias, 3);
    assert_int_equal(
        recommend_top(&catalogue, &logistic, user, nothing, 3, list, &count, &err), 0);
    assert_true(list[0].key == 2 && list[0].score == 1);
    assert_true(list[1].key == 1 && list[1].score == 1);
    assert_true(list[2].key == 3 && fabs(list[2].score - 1 / (1 + exp(1))) < 1e-7);
    catalogue_release(&catalogue);
}

static void test_too_many_are_refused(void **state)
{
    struct catalogue catalogue;
    struct popularity popularity = {0};
    const float user[WIDTH] = {0};
    struct ranked list[1];
    uint32_t count;
    struct err err = {0};

    (void)state;
    catalogue_init(&catalogue, WIDTH);
    assert_int_equal(recommend_top(&catalogue, &squared, user, nothing,
                                   RECOMMEND_TOP_MAX + 1, list, &count, &err),
                     -ERR_INPUT);
    assert_non_null(strstr(err.text, "10001 recommendations"));
    assert_int_equal(
        recommend_popular(&popularity, nothing, UINT32_MAX, list, &count, &err),
        -ERR_INPUT);
}

static void test_popular(void **state)
{
    const uint64_t key[] = {0, 5, 0, UINT64_MAX, 0, 5, 0, 9, 0, UINT64_MAX, 0, 9, 0, 0};
    const uint64_t seen_key[] = {9};
    struct popularity popularity;
    struct ranked list[4];
    uint32_t count;
    struct err err = {0};

    (void)state;
    /* every second key is an item: 5, 2^64-1, 5, 9, 2^64-1, 9, 0 */
    assert_int_equal(popularity_create(&popularity, key + 1, 7, 2, &err), 0);
    assert_int_equal(popularity.keys, 4);
    assert_true(popularity.key[0] == 0 && popularity.examples[0] == 1);
    assert_true(popularity.key[3] == UINT64_MAX && popularity.examples[3] == 2);
    assert_int_equal(recommend_popular(&popularity, nothing, 3, list, &count, &err), 0);
    assert_int_equal(count, 3);
    assert_true(list[0].key == 5 && list[0].score == 2);
    assert_true(list[1].key == 9 && list[2].key == UINT64_MAX);
    assert_int_equal(recommend_popular(&popularity, (struct key_list){seen_key, 1}, 4,
                                       list, &count, &err),
                     0);
    assert_int_equal(count, 3);
    assert_true(list[1].key == UINT64_MAX && list[2].key == 0);
    popularity_release(&popularity);
    popularity_release(&popularity);

    assert_int_equal(popularity_create(&popularity, NULL, 0, 1, &err), 0);
    assert_int_equal(recommend_popular(&popularity, nothing, 3, list, &count, &err), 0);
    assert_int_equal(count, 0);
    popularity_release(&popularity);
}

static void test_scored(void **state)
{
    const uint64_t key[] = {8, 3, UINT64_MAX, 5, 0, 7};
    const float score[] = {1, 2, 2, NAN, -1, 9};
    const uint64_t seen_key[] = {7};
    struct ranked list[6];
    uint32_t count;
    struct err err = {0};

    (void)state;
    assert_int_equal(recommend_scored(key, score, 6, nothing, 2, list, &count, &err),
                     0);
    assert_int_equal(count, 2);
    assert_true(list[0].key == 7 && list[0].score == 9 && list[1].key == 3);
    assert_int_equal(recommend_scored(key, score, 6, (struct key_list){seen_key, 1}, 6,
                                      list, &count, &err),
                     0);
    assert_int_equal(count, 4);
    assert_true(list[0].key == 3 && list[1].key == UINT64_MAX && list[2].key == 8);
    assert_true(list[3].key == 0 && list[3].score == -1);
    assert_int_equal(
        recommend_scored(key, score, 6, nothing, UINT32_MAX, list, &count, &err),
        -ERR_INPUT);
}

/* Counts of keys of all magnitudes add up, rise, and are right. */
static void test_popularity_counts(void **state)
{
    enum { N = 20000 };
    static uint64_t key[N];
    struct popularity popularity;
    uint64_t sum = 0;
    struct err err = {0};

    (void)state;
    for (uint64_t i = 0; i < N; i++)
        key[i] = mix64(rng_below(rng_at(8, 0, i), 700)) >>
                 (rng_below(rng_at(8, 0, i), 700) % 64);
    assert_int_equal(popularity_create(&popularity, key, N, 1, &err), 0);
    for (uint64_t k = 0; k < popularity.keys; k++) {
        uint64_t examples = 0;

        for (uint64_t i = 0; i < N; i++)
            examples += key[i] == popularity.key[k];
        assert_int_equal(popularity.examples[k], examples);
        assert_true(k == 0 || popularity.key[k - 1] < popularity.key[k]);
        sum += examples;
    }
    assert_int_equal(sum, N);
    popularity_release(&popularity);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equals_its_twin),
        cmocka_unit_test(test_ties_go_to_the_smaller_key),
        cmocka_unit_test(test_seen_items_and_edges),
        cmocka_unit_test(test_order_of_sure_probabilities),
        cmocka_unit_test(test_too_many_are_refused),
        cmocka_unit_test(test_popular),
        cmocka_unit_test(test_scored),
        cmocka_unit_test(test_popularity_counts),
    };

    blas_init();
    return cmocka_run_group_tests_name("recommend", tests, NULL, NULL);
}

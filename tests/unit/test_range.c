/* Lists of ranges: shares and leftovers cover every position exactly once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/range.h"
#include "common/rng.h"

enum { RANGES = 9, POSITIONS = 4096, SEEDS = 200 };

static uint64_t draw(uint64_t *state, uint64_t bound)
{
    return rng_below(rng_at(1, 2, (*state)++), bound);
}

/* A list of up to RANGES ranges of small positions that do not overlap; some empty. */
static uint32_t random_list(struct range *range, uint64_t *state)
{
    uint32_t n = (uint32_t)draw(state, RANGES + 1);
    uint64_t at = 0;

    for (uint32_t i = 0; i < n; i++) {
        range[i].first = at + draw(state, 20);
        range[i].end = range[i].first + draw(state, 30);
        at = range[i].end;
    }
    return n;
}

/* The list as an array of its positions. */
static uint64_t flatten(const struct range *range, uint32_t n, uint64_t *position)
{
    uint64_t count = 0;

    for (uint32_t i = 0; i < n; i++)
        for (uint64_t p = range[i].first; p < range[i].end; p++)
            position[count++] = p;
    return count;
}

static void test_count_adds_up(void **state)
{
    const struct range list[] = {{3, 5}, {5, 5}, {9, 4}, {10, 11}};

    (void)state;
    assert_int_equal(ranges_count(list, 4), 3);
    assert_int_equal(ranges_count(list, 0), 0);
}

static void test_shares_are_the_list_in_order(void **state)
{
    uint64_t draws = 0;

    (void)state;
    for (int seed = 0; seed < SEEDS; seed++) {
        struct range list[RANGES], share[RANGES];
        uint64_t whole[RANGES * 30], shared[RANGES * 30], got = 0;
        uint32_t n = random_list(list, &draws);
        uint64_t count = flatten(list, n, whole);

        for (uint32_t workers = 1; workers < 12; workers++) {
            got = 0;
            for (uint32_t w = 0; w < workers; w++) {
                uint32_t m = ranges_share(list, n, w, workers, share);
                uint64_t length = ranges_count(share, m);

                assert_true(m <= n);
                assert_true(length == count / workers || length == count / workers + 1);
                for (uint32_t i = 0; i < m; i++)
                    assert_true(share[i].first < share[i].end);
                got += flatten(share, m, shared + got);
            }
            assert_int_equal(got, count);
            assert_memory_equal(shared, whole, count * sizeof *whole);
        }
    }
}

static void test_a_share_of_nothing(void **state)
{
    const struct range list[] = {{7, 8}, {20, 20}};
    struct range share[2];

    (void)state;
    assert_int_equal(ranges_share(list, 2, 0, 0, share), 0);
    assert_int_equal(ranges_share(list, 2, 3, 3, share), 0);
    assert_int_equal(ranges_share(list, 0, 0, 1, share), 0);
    assert_int_equal(ranges_share(list, 2, 0, 2, share), 0);
    assert_int_equal(ranges_share(list, 2, 1, 2, share), 1);
    assert_int_equal(share[0].first, 7);
    assert_int_equal(share[0].end, 8);
}

static void test_a_share_may_replace_its_list(void **state)
{
    uint64_t draws = 1000000;

    (void)state;
    for (int seed = 0; seed < SEEDS; seed++) {
        struct range list[RANGES], share[RANGES], copy[RANGES];
        uint32_t n = random_list(list, &draws), m;

        for (uint32_t w = 0; w < 4; w++) {
            memcpy(copy, list, sizeof copy);
            m = ranges_share(list, n, w, 4, share);
            assert_int_equal(ranges_share(copy, n, w, 4, copy), m);
            assert_memory_equal(copy, share, m * sizeof *share);
        }
    }
}

static void test_shares_of_huge_lists_do_not_overflow(void **state)
{
    const struct range list[] = {{0, UINT64_MAX}};
    struct range share, before = {0, 0};

    (void)state;
    for (uint32_t w = 0; w < 1000; w++) {
        assert_int_equal(ranges_share(list, 1, w, 1000, &share), 1);
        assert_int_equal(share.first, before.end);
        before = share;
    }
    assert_true(before.end == UINT64_MAX);
}

/* A list in pieces and in any order is the list again when it is tidied. */
static void test_tidy(void **state)
{
    uint64_t draws = 2000000;

    (void)state;
    for (int seed = 0; seed < SEEDS; seed++) {
        struct range list[RANGES], pieces[2 * RANGES];
        uint64_t whole[RANGES * 30], again[RANGES * 30], count;
        uint32_t n = random_list(list, &draws), m = 0;

        count = flatten(list, n, whole);
        for (uint32_t i = 0; i < n; i++) {
            uint64_t cut = list[i].first +
                           draw(&draws, list[i].end - list[i].first + 1);

            pieces[m++] = (struct range){list[i].first, cut};
            pieces[m++] = (struct range){cut, list[i].end};
        }
        for (uint32_t i = 0; i < m; i++) {
            uint32_t other = (uint32_t)draw(&draws, m);
            struct range piece = pieces[i];

            pieces[i] = pieces[other];
            pieces[other] = piece;
        }
        m = ranges_tidy(pieces, m);
        assert_int_equal(flatten(pieces, m, again), count);
        assert_memory_equal(again, whole, count * sizeof *again);
        for (uint32_t i = 0; i < m; i++) {
            assert_true(pieces[i].first < pieces[i].end);
            assert_true(i == 0 || pieces[i - 1].end < pieces[i].first);
        }
    }
}

/* Drops the first `taken` positions of a list. */
static void drop(struct range *range, uint32_t n, uint64_t taken)
{
    for (uint32_t i = 0; i < n; i++) {
        uint64_t length = range[i].end - range[i].first;
        uint64_t gone = taken < length ? taken : length;

        range[i].first += gone;
        taken -= gone;
    }
}

/* One stretch of an epoch: `workers` share the list, each trains a part of its share
 * and counts it in `seen`; what they have left over becomes the list. */
static uint32_t run_until_cut(struct range *list, uint32_t n, uint32_t workers,
                              uint64_t *draws, unsigned char *seen)
{
    struct range *next = calloc((size_t)n * workers + 1, sizeof *next);
    struct range *share = calloc(n + 1, sizeof *share);
    uint64_t position[POSITIONS];
    uint32_t left = 0;

    assert_non_null(next);
    assert_non_null(share);
    for (uint32_t w = 0; w < workers; w++) {
        uint32_t m = ranges_share(list, n, w, workers, share);
        uint64_t count = flatten(share, m, position);
        uint64_t taken = draw(draws, count + 1);

        for (uint64_t i = 0; i < taken; i++)
            seen[position[i]]++;
        drop(share, m, taken);
        memcpy(next + left, share, m * sizeof *share);
        left += m;
    }
    left = ranges_tidy(next, left);
    assert_true(left <= POSITIONS);
    memcpy(list, next, left * sizeof *list);
    free(share);
    free(next);
    return left;
}

static void test_every_position_once_through_many_cuts(void **state)
{
    uint64_t draws = 3000000;

    (void)state;
    for (int seed = 0; seed < 60; seed++) {
        struct range list[POSITIONS];
        unsigned char seen[POSITIONS] = {0};
        uint64_t total = 1 + draw(&draws, POSITIONS);
        uint32_t n = 1;

        list[0] = (struct range){0, total};
        for (int cut = 0; cut < 400 && n > 0; cut++)
            n = run_until_cut(list, n, 1 + (uint32_t)draw(&draws, 9), &draws, seen);
        assert_int_equal(n, 0);
        for (uint64_t p = 0; p < total; p++)
            assert_int_equal(seen[p], 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_count_adds_up),
        cmocka_unit_test(test_shares_are_the_list_in_order),
        cmocka_unit_test(test_a_share_of_nothing),
        cmocka_unit_test(test_a_share_may_replace_its_list),
        cmocka_unit_test(test_shares_of_huge_lists_do_not_overflow),
        cmocka_unit_test(test_tidy),
        cmocka_unit_test(test_every_position_once_through_many_cuts),
    };

    return cmocka_run_group_tests_name("range", tests, NULL, NULL);
}

/* Who gets what of an epoch: everything once, the slow less, and nothing twice. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/rng.h"
#include "server/dealing.h"

enum { POSITIONS = 4000, BATCH = 10, WORKERS = 4 };

struct trial {
    struct dealing dealing, copy;
    unsigned char seen[2 * POSITIONS];
    uint64_t lease[WORKERS], position[WORKERS], trained[WORKERS];
    uint64_t seed, draws;
};

static uint64_t draw(struct trial *t, uint64_t below)
{
    return rng_at(t->seed, 3, t->draws++) % below;
}

static struct lease_rule rule_for(uint32_t workers)
{
    struct data_facts facts = {.train_examples = POSITIONS};

    return lease_rule_of(&facts, BATCH, workers);
}

static void begin(struct trial *t, uint32_t workers, const struct range *list,
                  uint32_t ranges, bool grows)
{
    struct lease_rule rule = rule_for(workers);

    dealing_begin(&t->dealing, 1, &rule, list, ranges, POSITIONS, grows);
    memset(t->lease, 0, sizeof t->lease);
    memset(t->position, 0, sizeof t->position);
    memset(t->trained, 0, sizeof t->trained);
}

/* Trains at most a batch of what the worker has. Returns how much that was. */
static uint64_t step(struct trial *t, uint32_t w)
{
    const struct leases *l = &t->dealing.worker[w];

    for (uint32_t i = 0; i < l->count; i++) {
        uint64_t at = l->range[i].first, end = l->range[i].end;

        if (l->number + i < t->lease[w])
            continue;
        if (l->number + i == t->lease[w] && t->position[w] > at)
            at = t->position[w];
        if (at == end)
            continue;
        end = end - at > BATCH ? at + BATCH : end;
        for (uint64_t p = at; p < end; p++)
            assert_int_equal(t->seen[p]++, 0);
        t->lease[w] = l->number + i;
        t->position[w] = end;
        t->trained[w] += end - at;
        return end - at;
    }
    return 0;
}

/* Says where it stands, and gets more if it is time. */
static void say(struct trial *t, uint32_t w)
{
    assert_true(dealing_stand(&t->dealing, w, t->lease[w], t->position[w], 0));
    dealing_deal(&t->dealing, w);
}

static void assert_all_seen(const struct trial *t, uint64_t positions)
{
    for (uint64_t p = 0; p < positions; p++)
        assert_int_equal(t->seen[p], 1);
}

/* Works until nothing is left, worker w a step in every slow[w] rounds. */
static void work(struct trial *t, uint32_t workers, const uint32_t *slow)
{
    bool any = true;

    for (uint64_t round = 0; any; round++) {
        any = dealing_has_more(&t->dealing);
        for (uint32_t w = 0; w < workers; w++) {
            uint32_t every = slow ? slow[w] : 1;
            const struct leases *l = &t->dealing.worker[w];

            any |= l->count &&
                   l->range[l->count - 1].end > (t->lease[w] ? t->position[w] : 0);
            if (round % every == 0 && step(t, w))
                say(t, w);
        }
    }
}

static const struct range all = {0, POSITIONS};

static void test_everything_once(void **state)
{
    struct trial *t = calloc(1, sizeof *t);

    (void)state;
    for (uint32_t workers = 1; workers <= WORKERS; workers++) {
        memset(t, 0, sizeof *t);
        begin(t, workers, &all, 1, false);
        for (uint32_t w = 0; w < workers; w++) {
            struct range first = lease_first(&t->dealing.rule, w);

            assert_memory_equal(&t->dealing.worker[w].range[0], &first, sizeof first);
        }
        assert_int_equal(dealing_has_more(&t->dealing), workers > 1);
        work(t, workers, NULL);
        assert_all_seen(t, POSITIONS);
        assert_int_equal(dealing_left(&t->dealing, t->copy.pool), 0);
    }
    free(t);
}

/* One that is four times as slow trains a quarter, and they end almost together. */
static void test_slow_worker_gets_fewer(void **state)
{
    static const uint32_t slow[] = {1, 4, 1};
    struct trial *t = calloc(1, sizeof *t);

    (void)state;
    begin(t, 3, &all, 1, false);
    work(t, 3, slow);
    assert_all_seen(t, POSITIONS);
    assert_in_range(t->trained[1], POSITIONS / 12, POSITIONS / 6);
    assert_in_range(t->trained[0] - t->trained[1] * 3, 0, POSITIONS / 3);
    free(t);
}

/* Nobody who works is ever without a lease ahead of the one that it ends. */
static void test_one_ahead(void **state)
{
    struct trial *t = calloc(1, sizeof *t);

    (void)state;
    begin(t, 3, &all, 1, false);
    for (int i = 0; i < 10000; i++) {
        uint32_t w = (uint32_t)draw(t, 3);
        const struct leases *l = &t->dealing.worker[w];

        if (step(t, w))
            say(t, w);
        if (t->dealing.ranges && l->count == 1)
            assert_true(l->range[0].first < l->half &&
                        l->range[0].first < l->range[0].end);
        assert_in_range(l->count, 1, 2);
    }
    assert_all_seen(t, POSITIONS);
    free(t);
}

/* Where nobody has been is not believed, and what is old changes nothing. */
static void test_where_one_can_stand(void **state)
{
    struct trial *t = calloc(1, sizeof *t);
    struct dealing *d = &t->dealing;
    struct range first;

    (void)state;
    begin(t, 2, &all, 1, false);
    first = d->worker[1].range[0];
    assert_true(dealing_stand(d, 1, 0, 0, 0)); /* it has not begun */
    assert_false(dealing_stand(d, 1, 1, first.end + 1, 0));
    assert_false(dealing_stand(d, 1, 2, first.end, 0));
    assert_false(dealing_stand(d, 1, UINT64_MAX, 0, 0));
    assert_true(dealing_stand(d, 1, 1, first.end - 10, 0));
    assert_int_equal(d->worker[1].range[0].first, first.end - 10);
    assert_true(dealing_stand(d, 1, 1, first.first + 10, 0)); /* overtaken */
    assert_int_equal(d->worker[1].range[0].first, first.end - 10);
    assert_true(dealing_deal(d, 1));
    assert_false(dealing_deal(d, 1)); /* not twice */
    assert_true(dealing_stand(d, 1, 2, d->worker[1].range[1].first, 0));
    assert_int_equal(d->worker[1].number, 2);
    assert_int_equal(d->worker[1].count, 1);
    assert_true(dealing_stand(d, 1, 1, first.end, 0));
    assert_int_equal(d->worker[1].number, 2);
    free(t);
}

/* Cut anywhere and gone on with by any number of workers, 1 -> 3 -> 2 -> ...: each
 * position once, and the list stays short. */
static void test_cuts(void **state)
{
    static const uint32_t workers[] = {1, 3, 2, 4, 1, 2};
    struct trial *t = calloc(1, sizeof *t);
    struct range *list = calloc(MANIFEST_RANGES_MAX, sizeof *list);

    (void)state;
    for (uint64_t seed = 1; seed <= 200; seed++) {
        uint32_t ranges = 1, most = 0;

        memset(t, 0, sizeof *t);
        t->seed = seed;
        list[0] = all;
        for (int session = 0; ranges; session++) {
            uint32_t n = workers[session % 6];

            begin(t, n, list, ranges, false);
            for (uint64_t steps = draw(t, 100); steps; steps--) {
                uint32_t w = (uint32_t)draw(t, n);

                if (step(t, w) && draw(t, 3)) /* not everyone says so at once */
                    say(t, w);
                if (draw(t, 10) == 0) { /* the coordinator's process dies */
                    dealing_copy(&t->copy, &t->dealing);
                    memset(&t->dealing, 0xa5, sizeof t->dealing);
                    dealing_copy(&t->dealing, &t->copy);
                }
            }
            for (uint32_t w = 0; w < n; w++)
                assert_true(
                    dealing_stand(&t->dealing, w, t->lease[w], t->position[w], 0));
            assert_true(dealing_left_most(&t->dealing) <= MANIFEST_RANGES_MAX);
            ranges = dealing_left(&t->dealing, list);
            most = ranges > most ? ranges : most;
        }
        assert_all_seen(t, POSITIONS);
        assert_true(most <= 24);
    }
    free(list);
    free(t);
}

/* Chunks: positions have gaps, so a lease that is done ends where nobody counts. */
static void test_chunks(void **state)
{
    struct data_facts facts = {.positions = 40ull << 32, .grain = 1ull << 32};
    struct range chunks = {0, 40ull << 32};
    struct trial *t = calloc(1, sizeof *t);
    struct lease_rule rule = lease_rule_of(&facts, BATCH, 2);
    struct dealing *d = &t->dealing;
    uint32_t n;

    (void)state;
    dealing_begin(d, 1, &rule, &chunks, 1, chunks.end, false);
    assert_true(d->worker[0].range[0].end == 5ull << 32);
    /* It is in chunk 3, and has taken 7 examples of it. */
    assert_true(dealing_stand(d, 0, 1, 3ull << 32 | 7, 0));
    assert_true(dealing_deal(d, 0));
    n = dealing_left(d, t->copy.pool);
    assert_int_equal(n, 1);
    assert_true(t->copy.pool[0].first == (3ull << 32 | 7));
    assert_true(t->copy.pool[0].end == 40ull << 32);
    /* A list that begins in a chunk is cut between chunks. */
    dealing_begin(d, 2, &rule, t->copy.pool, n, chunks.end, false);
    assert_true(d->worker[0].range[0].end % rule.grain == 0);
    assert_true(d->worker[1].range[0].first == d->worker[0].range[0].end);
    free(t);
}

/* The pool grows while it is dealt; the epoch is over when its source is. */
static void test_growth(void **state)
{
    struct trial *t = calloc(1, sizeof *t);
    struct dealing *d = &t->dealing;

    (void)state;
    begin(t, 2, NULL, 0, true);
    d->known = 0;
    assert_true(dealing_has_more(d));
    assert_int_equal(d->worker[0].count, 0);
    assert_false(dealing_grow(d, 0, true));
    for (uint64_t known = 100; known <= POSITIONS; known += 100) {
        assert_true(dealing_grow(d, known, true));
        assert_false(dealing_grow(d, known, true));
        for (uint32_t w = 0; w < 2; w++)
            say(t, w);
        for (int i = 0; i < 30; i++)
            if (step(t, (uint32_t)i % 2))
                say(t, (uint32_t)i % 2);
        assert_all_seen(t, known);
        assert_true(dealing_has_more(d));
    }
    assert_true(dealing_grow(d, POSITIONS - 50, false)); /* the end, and no less */
    assert_int_equal(d->known, POSITIONS);
    assert_false(dealing_has_more(d));
    assert_false(dealing_grow(d, 2 * POSITIONS, true)); /* too late */
    free(t);
}

/* A pool in too many pieces takes no other, but the last one may grow. */
static void test_growth_of_a_full_pool(void **state)
{
    struct trial *t = calloc(1, sizeof *t);
    struct range *list = calloc(MANIFEST_RANGES_MAX, sizeof *list);
    struct dealing *d = &t->dealing;

    (void)state;
    for (uint64_t i = 0; i < MANIFEST_RANGES_MAX; i++)
        list[i] = (struct range){i * 3, i * 3 + 1};
    begin(t, 1, list, MANIFEST_RANGES_MAX, true);
    assert_int_equal(d->ranges, MANIFEST_RANGES_MAX - LEASES_MAX);
    d->ranges = MANIFEST_RANGES_MAX;
    memcpy(d->pool, list, MANIFEST_RANGES_MAX * sizeof *list);
    assert_false(dealing_grow(d, POSITIONS + 1, true));
    d->known = list[MANIFEST_RANGES_MAX - 1].end;
    assert_true(dealing_grow(d, POSITIONS + 1, true));
    assert_int_equal(d->pool[MANIFEST_RANGES_MAX - 1].end, POSITIONS + 1);
    free(list);
    free(t);
}

/* What is left out counts as far as its worker has ever been, in this order. */
static void test_rows_left_out(void **state)
{
    struct trial *t = calloc(1, sizeof *t);
    struct dealing *d = &t->dealing;
    struct range first;

    (void)state;
    begin(t, 2, &all, 1, false);
    first = d->worker[1].range[0];
    assert_true(dealing_stand(d, 0, 1, 5, 3));
    assert_true(dealing_stand(d, 1, 1, first.end, 40));
    assert_int_equal(dealing_bad_rows(d), 43);
    assert_true(dealing_stand(d, 1, 1, first.first, 10)); /* it was started again */
    assert_int_equal(dealing_bad_rows(d), 43);
    assert_false(dealing_stand(d, 1, 7, 0, 1000)); /* not believed */
    assert_int_equal(dealing_bad_rows(d), 43);
    begin(t, 2, &all, 1, false);
    assert_int_equal(dealing_bad_rows(d), 0);
    free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_once),
        cmocka_unit_test(test_slow_worker_gets_fewer),
        cmocka_unit_test(test_one_ahead),
        cmocka_unit_test(test_where_one_can_stand),
        cmocka_unit_test(test_rows_left_out),
        cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_chunks),
        cmocka_unit_test(test_growth),
        cmocka_unit_test(test_growth_of_a_full_pool),
    };

    return cmocka_run_group_tests_name("dealing", tests, NULL, NULL);
}

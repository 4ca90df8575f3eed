/* Made-up logs: within bounds, the same again, and with the structure that they
 * promise. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/rng.h"
#include "worker/stream/profile/generator.h"

static struct generator_plan plan_of(uint64_t examples, uint64_t users, uint64_t items)
{
    return (struct generator_plan){.examples = examples,
                                   .users = users,
                                   .items = items,
                                   .seed = 1,
                                   .dim = 8,
                                   .zipf = 1,
                                   .noise = 0.4};
}

static void must_be_in_bounds(const struct generator_plan *plan, uint64_t step)
{
    struct generator generator;
    struct generated e;
    int64_t before = 0;

    generator_init(&generator, plan);
    for (uint64_t i = 0; i < plan->examples; i += step) {
        generator_example(&generator, i, &e);
        assert_in_range(e.user, 1, plan->users);
        assert_in_range(e.item, 1, plan->items);
        assert_in_range(e.halves, 1, 10);
        assert_in_range(e.seconds, 1735689600, 1735689600 + 365 * 86400 - 1);
        assert_true(e.seconds >= before);
        before = e.seconds;
    }
}

static void test_everything_is_in_bounds(void **state)
{
    static const uint64_t sizes[] = {1, 2, 3, 100, 65536, GENERATOR_IDS_MAX};
    struct generator_plan plan;

    (void)state;
    for (int u = 0; u < 6; u++)
        for (int i = 0; i < 6; i++) {
            plan = plan_of(200, sizes[u], sizes[i]);
            must_be_in_bounds(&plan, 1);
        }
    plan = plan_of(GENERATOR_EXAMPLES_MAX, GENERATOR_IDS_MAX, GENERATOR_IDS_MAX);
    plan.dim = GENERATOR_DIM_MAX;
    plan.zipf = ZIPF_EXPONENT_MAX;
    plan.noise = GENERATOR_NOISE_MAX;
    must_be_in_bounds(&plan, GENERATOR_EXAMPLES_MAX / 777);
}

/* All ids come up when all are equally popular, so scattering them loses none. */
static void test_no_id_is_lost(void **state)
{
    static uint8_t seen[1000];
    struct generator_plan plan = plan_of(100000, 1000, 1000);
    struct generator generator;
    struct generated e;

    (void)state;
    memset(seen, 0, sizeof seen);
    plan.zipf = 0;
    generator_init(&generator, &plan);
    for (uint64_t i = 0; i < plan.examples; i++) {
        generator_example(&generator, i, &e);
        seen[e.item - 1] = 1;
    }
    for (int i = 0; i < 1000; i++)
        assert_int_equal(seen[i], 1);
}

/* What a seed means never changes, on no machine. */
static void test_examples_are_pinned(void **state)
{
    struct generator_plan plan = plan_of(1000000, 50000, 100000000);
    struct generator generator;
    struct generated e;
    uint64_t sum = 0;

    (void)state;
    generator_init(&generator, &plan);
    for (uint64_t i = 0; i < plan.examples; i += 97) {
        generator_example(&generator, i, &e);
        sum = mix64(sum ^ e.user);
        sum = mix64(sum ^ e.item);
        sum = mix64(sum ^ e.halves ^ (uint64_t)e.seconds << 8);
    }
    assert_int_equal(sum, 0x4828e01e85a7823b);
}

static void test_blocks_are_the_examples(void **state)
{
    struct generator_plan plan = plan_of(250, 20, 30);
    struct schema schema = generator_schema();
    struct generator generator;
    struct generated e;
    struct block block;
    struct err err;
    uint64_t next = 0;

    (void)state;
    generator_init(&generator, &plan);
    assert_int_equal(block_create(&block, &schema, 100, &err), 0);
    for (; next < 250; next += block.n) {
        generator_fill(&generator, next, &block);
        assert_int_equal(block.n, next < 200 ? 100 : 50);
        for (uint32_t i = 0; i < block.n; i++) {
            generator_example(&generator, next + i, &e);
            assert_int_equal(block.place[i], next + i);
            assert_int_equal(block.column[0].key[i], e.user);
            assert_int_equal(block.column[1].key[i], e.item);
            assert_true(block.column[2].number[i] * 2 == e.halves);
            assert_int_equal(block.column[3].time[i], e.seconds * 1000000);
        }
    }
    block_release(&block);
}

/* --- structure ----------------------------------------------------------------- */

enum { USERS = 200, ITEMS = 2000, EXAMPLES = 1000000 };

static int falling(const void *a, const void *b)
{
    double one = *(const double *)a, two = *(const double *)b;

    return (one < two) - (one > two);
}

/* The slope of log(times met) over log(rank), by least squares over ranks from..to. */
static double slope(const double *count, uint32_t n, int from, int to)
{
    double *sorted = malloc(n * sizeof *sorted), x = 0, y = 0, xx = 0, xy = 0;
    double points = to - from + 1;

    assert_non_null(sorted);
    memcpy(sorted, count, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, falling);
    for (int r = from; r <= to; r++) {
        double lx = log(r), ly = log(sorted[r - 1] + 1);

        x += lx / points, y += ly / points;
        xx += lx * lx / points, xy += lx * ly / points;
    }
    free(sorted);
    return (xy - x * y) / (xx - x * x);
}

static void test_popularity_falls_as_zipf_says(void **state)
{
    static double user[USERS + 1], item[ITEMS + 1]; /* how often */
    struct generator_plan plan = plan_of(EXAMPLES, USERS, ITEMS);
    struct generator generator;
    struct generated e;
    double ordered = 0;

    (void)state;
    generator_init(&generator, &plan);
    for (uint64_t i = 0; i < EXAMPLES; i++) {
        generator_example(&generator, i, &e);
        user[e.user]++;
        item[e.item]++;
    }
    assert_true(fabs(slope(item + 1, ITEMS, 5, 1000) + 1) < 0.15);
    assert_true(fabs(slope(user + 1, USERS, 3, 150) + 0.6) < 0.1);
    /* Ids say nothing: the halves of the ids have about the same share. */
    for (uint32_t i = 1; i <= ITEMS / 2; i++)
        ordered += item[i] / EXAMPLES;
    assert_true(ordered > 0.2 && ordered < 0.8);
}

/* Of the mean label of a user and an item that met often, noise has no part; what the
 * biases of both do not explain of it is taste. */
static void test_tastes_are_more_than_biases(void **state)
{
    enum { FEW = 100 };
    static double sum[USERS][FEW], n[USERS][FEW], row[USERS], column[FEW];
    struct generator_plan plan = plan_of(500000, USERS, FEW);
    struct generator generator;
    struct generated e;
    double all = 0, cells = 0, left = 0;

    (void)state;
    generator_init(&generator, &plan);
    for (uint64_t i = 0; i < plan.examples; i++) {
        generator_example(&generator, i, &e);
        sum[e.user - 1][e.item - 1] += e.halves / 2.0;
        n[e.user - 1][e.item - 1]++;
    }
    /* Means of rows and columns in turns, until they are those of the biases. */
    for (int round = 0; round < 20; round++) {
        for (int u = 0; u < USERS; u++) {
            double off = 0, count = 1e-9;

            for (int i = 0; i < FEW; i++)
                off += sum[u][i] - n[u][i] * column[i], count += n[u][i];
            row[u] = off / count;
        }
        for (int i = 0; i < FEW; i++) {
            double off = 0, count = 1e-9;

            for (int u = 0; u < USERS; u++)
                off += sum[u][i] - n[u][i] * row[u], count += n[u][i];
            column[i] = off / count;
        }
    }
    for (int u = 0; u < USERS; u++)
        for (int i = 0; i < FEW; i++) {
            double off = n[u][i] < 20 ? 0 : sum[u][i] / n[u][i] - row[u] - column[i];

            left += off * off * n[u][i];
            cells += n[u][i] < 20 ? 0 : n[u][i];
            all += n[u][i];
        }
    assert_true(cells > all / 2);
    assert_true(sqrt(left / cells) > 0.3);
}

/* Which items a user meets tells of its taste, too: how often it met each, compared
 * with what popularity and activity alone would make of it (chi squared over its
 * freedom, which is near 1 for a log without tastes). */
static void test_users_meet_what_they_like(void **state)
{
    enum { FEW = 100 };
    static double n[USERS][FEW], row[USERS], column[FEW];
    struct generator_plan plan = plan_of(300000, USERS, FEW);
    struct generator generator;
    struct generated e;
    double chi = 0, freedom = (USERS - 1) * (FEW - 1);

    (void)state;
    generator_init(&generator, &plan);
    for (uint64_t i = 0; i < plan.examples; i++) {
        generator_example(&generator, i, &e);
        n[e.user - 1][e.item - 1]++;
        row[e.user - 1]++;
        column[e.item - 1]++;
    }
    for (int u = 0; u < USERS; u++)
        for (int i = 0; i < FEW; i++) {
            double expected = row[u] * column[i] / (double)plan.examples;

            chi += (n[u][i] - expected) * (n[u][i] - expected) / (expected + 1e-9);
        }
    assert_true(chi / freedom > 4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_everything_is_in_bounds),
        cmocka_unit_test(test_no_id_is_lost),
        cmocka_unit_test(test_examples_are_pinned),
        cmocka_unit_test(test_blocks_are_the_examples),
        cmocka_unit_test(test_popularity_falls_as_zipf_says),
        cmocka_unit_test(test_tastes_are_more_than_biases),
        cmocka_unit_test(test_users_meet_what_they_like),
    };

    return cmocka_run_group_tests_name("generator", tests, NULL, NULL);
}

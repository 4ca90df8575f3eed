/* How pieces of an epoch are cut: all of it, at the grain, larger ones first. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/lease.h"
#include "common/rng.h"

static uint64_t draw(uint64_t *state, uint64_t bound)
{
    return rng_below(rng_at(5, 6, (*state)++), bound);
}

static struct lease_rule rule_of(uint64_t examples, uint64_t batch, uint32_t workers)
{
    struct data_facts facts = {.train_examples = examples};

    return lease_rule_of(&facts, batch, workers);
}

static void test_rule(void **state)
{
    struct data_facts chunks = {
        .train_examples = 7, .positions = 9ull << 32, .grain = 1ull << 32};
    struct lease_rule rule = lease_rule_of(&chunks, 100, 3);

    (void)state;
    assert_true(rule.positions == 9ull << 32 && rule.grain == 1ull << 32);
    assert_true(rule.least == 1ull << 32);
    assert_int_equal(lease_piece(&rule, 9ull << 32) >> 32, 1);
    assert_int_equal(lease_piece(&rule, 120ull << 32) >> 32, 10);
    rule = rule_of(100000, 4096, 2);
    assert_true(rule.positions == 100000 && rule.grain == 4096 && rule.least == 8192);
    /* Where there is not a batch for everybody, everybody gets a part of one. */
    rule = rule_of(100, 4096, 3);
    assert_int_equal(rule.grain, 34);
    rule = rule_of(0, 4096, 3);
    assert_int_equal(rule.grain, 1);
    assert_int_equal(lease_piece(&rule, 0), 0);
}

/* The first leases are the beginning of the epoch, in the workers' order; alone a
 * worker gets all. */
static void test_first_leases(void **state)
{
    uint64_t draws = 0;

    (void)state;
    for (int round = 0; round < 2000; round++) {
        uint32_t workers = 1 + (uint32_t)draw(&draws, 9);
        struct lease_rule rule = rule_of(draw(&draws, 5000), 1 + draw(&draws, 300),
                                         workers);
        uint64_t at = 0;

        for (uint32_t w = 0; w < workers; w++) {
            struct range first = lease_first(&rule, w);

            assert_int_equal(first.first, at);
            assert_true(first.end == rule.positions || first.end % rule.grain == 0);
            assert_true(first.end > first.first || at == rule.positions);
            at = first.end;
        }
        assert_true(workers > 1 || at == rule.positions);
    }
}

/* Pieces get smaller down to the least, and never are more than an even share by more
 * than a grain. */
static void test_pieces(void **state)
{
    struct lease_rule rule = rule_of(1 << 20, 64, 4);
    uint64_t before = UINT64_MAX;
    int pieces = 0;

    (void)state;
    for (uint64_t left = 1 << 20; left;) {
        uint64_t piece = lease_piece(&rule, left);

        assert_true(piece > 0 && piece <= before && piece % rule.grain == 0);
        assert_true(piece <= left / 4 + rule.grain);
        assert_true(piece >= rule.least || left < 4 * rule.least);
        before = piece;
        left -= piece < left ? piece : left;
        pieces++;
    }
    assert_in_range(pieces, 50, 200);
}

static void test_cuts(void **state)
{
    struct lease_rule rule = rule_of(1000, 10, 2);
    struct range range = {5, 100}, high = {UINT64_MAX - 25, UINT64_MAX - 2};
    struct range chunk = {3ull << 32, 4ull << 32};

    (void)state;
    assert_int_equal(lease_cut(&rule, &range, 20), 30);
    assert_int_equal(lease_cut(&rule, &range, 25), 30);
    assert_int_equal(lease_cut(&rule, &range, 90), 100);
    assert_int_equal(lease_cut(&rule, &range, 95), 100);
    assert_int_equal(lease_cut(&rule, &range, UINT64_MAX), 100);
    assert_true(lease_cut(&rule, &high, 22) == high.end);
    assert_int_equal(lease_half(&rule, &range), 45);
    /* What is one grain is in its second half from the start: nobody sees its middle.
     */
    rule.grain = 1ull << 32;
    assert_true(lease_half(&rule, &chunk) == chunk.first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rule),
        cmocka_unit_test(test_first_leases),
        cmocka_unit_test(test_pieces),
        cmocka_unit_test(test_cuts),
    };

    return cmocka_run_group_tests_name("lease", tests, NULL, NULL);
}

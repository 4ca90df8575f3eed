/* The coordinator deals: to the slow and the fast, to those that come back, and from
 * data that grow. Exactly once over cuts and resumes is in test_coordinator. */
#include "tests/unit/coordinator_kit.h"

static void order_for(struct kit *kit, uint32_t worker, struct order *order)
{
    memset(order, 0, sizeof *order);
    coordinator_order(kit->c, kit->worker[worker].peer, order);
}

/* A worker that is held back gets fewer examples, and the others do not wait for it at
 * the end but for what it has in hand. */
static void test_slow_worker(void **state)
{
    struct kit *kit = kit_create(2);
    struct run_view view;
    uint64_t n;

    (void)state;
    reach(kit, STAGE_TRAIN);
    do {
        n = train(kit, &kit->worker[0], 40);
        train(kit, &kit->worker[1], 5);
    } while (n == 40);
    coordinator_view(kit->c, kit->now_ms, &view);
    assert_true(view.times[0].examples > 700);
    assert_in_range(view.times[1].examples, 80, 200);
    all_obey(kit);
    assert_int_equal(kit->last_epoch.examples, EXAMPLES);
    kit_destroy(kit);
}

/* A worker that comes back is told of what it has from where it stood, as far as that
 * was known; and who has just said that it came back has taken nothing back. */
static void test_worker_restarts_in_a_lease(void **state)
{
    struct kit *kit = kit_create(2);
    struct order order;

    (void)state;
    reach(kit, STAGE_TRAIN);
    assert_int_equal(train(kit, &kit->worker[0], 55), 55);
    order_for(kit, 0, &order);
    assert_int_equal(order.lease, 1);
    assert_int_equal(order.range[0].first, 55);
    assert_int_equal(order.range[0].end, 130);
    assert_int_equal(order.ranges, 1);
    restart_worker(kit, &kit->worker[0]);
    order_for(kit, 0, &order);
    assert_int_equal(order.lease, 1);
    assert_int_equal(order.range[0].first, 55);
    assert_int_equal(train(kit, &kit->worker[0], 20), 20); /* the second half */
    order_for(kit, 0, &order);
    assert_int_equal(order.ranges, 2);
    all_obey(kit);
    assert_int_equal(kit->last_epoch.examples, EXAMPLES);
    kit_destroy(kit);
}

/* Its process dies between any two words of the workers: nobody can tell. */
static void test_coordinator_restarts_while_dealing(void **state)
{
    struct kit *kit = kit_create(3);
    struct order before[3], after;
    uint64_t n = 1;

    (void)state;
    reach(kit, STAGE_TRAIN);
    for (int round = 0; n; round++) {
        n = train(kit, &kit->worker[round % 3], 30);
        for (uint32_t w = 0; w < 3; w++)
            order_for(kit, w, &before[w]);
        /* What it was writing when it died is not there. */
        memset(&kit->memory->dealing[(kit->memory->dealing_current + 1) & 1], 0xa5,
               sizeof kit->memory->dealing[0]);
        restart_coordinator(kit);
        everyone_speaks(kit);
        for (uint32_t w = 0; w < 3; w++) {
            order_for(kit, w, &after);
            assert_memory_equal(&after, &before[w], sizeof after);
        }
    }
    all_obey(kit);
    assert_int_equal(kit->last_epoch.examples, EXAMPLES);
    kit_destroy(kit);
}

/* It dies before it has kept any lease of an order: it deals the same ones again. */
static void test_coordinator_dies_before_dealing(void **state)
{
    struct kit *kit = kit_create(2);
    struct order before, after;

    (void)state;
    reach(kit, STAGE_TRAIN);
    order_for(kit, 1, &before);
    memset(kit->memory->dealing, 0, sizeof kit->memory->dealing);
    restart_coordinator(kit);
    order_for(kit, 1, &after);
    assert_memory_equal(&after, &before, sizeof after);
    kit_destroy(kit);
}

static void test_impossible_standing(void **state)
{
    (void)state;
    for (int bsp = 0; bsp < 2; bsp++)
        for (uint64_t lease = 1; lease <= 2; lease++) {
            struct kit *kit = kit_create(2);
            char text[100];

            if (bsp)
                kit->job.train.consistency = CONSISTENCY_BSP;
            reach(kit, STAGE_TRAIN);
            assert_int_equal(train(kit, &kit->worker[0], 5), 5);
            kit->worker[0].status.lease = lease;
            kit->worker[0].status.position = lease == 1 ? 700 : 0;
            say(kit, &kit->worker[0]);
            snprintf(
                text, sizeof text,
                "worker 0 on host0 says that it stands at position %d of lease %d, "
                "which it was not given",
                lease == 1 ? 700 : 0, (int)lease);
            assert_ended(kit, 1, text);
            kit_destroy(kit);
        }
}

/* What a worker says of an earlier order says nothing about this one. */
static void test_standing_of_an_earlier_order(void **state)
{
    struct kit *kit = kit_create(2);
    struct order order;

    (void)state;
    reach(kit, STAGE_TRAIN);
    all_obey(kit);
    reach(kit, STAGE_TRAIN);
    everyone_speaks(kit);
    order_for(kit, 0, &order);
    assert_int_equal(order.epoch, 2);
    assert_int_equal(order.lease, 1);
    assert_int_equal(order.range[0].first, 0);
    assert_int_equal(order.range[0].end, 130);
    kit_destroy(kit);
}

/* Who is started again is told what it has left out, and all counts once it is over. */
static void test_rows_left_out_are_told_again(void **state)
{
    struct kit *kit = kit_create(2);
    struct order order;

    (void)state;
    reach(kit, STAGE_TRAIN);
    assert_int_equal(train(kit, &kit->worker[0], 5), 5);
    kit->worker[0].status.bad_rows = 4;
    say(kit, &kit->worker[0]);
    kit->worker[0].status.bad_rows = 1; /* what it had pushed last */
    restart_worker(kit, &kit->worker[0]);
    order_for(kit, 0, &order);
    assert_int_equal(order.bad_rows, 4);
    order_for(kit, 1, &order);
    assert_int_equal(order.bad_rows, 0);
    all_obey(kit);
    assert_int_equal(kit->memory->state.bad_rows, 4);
    kit_destroy(kit);
}

/* --- growth
 * ------------------------------------------------------------------------------ */

static struct kit *growing_kit(uint32_t workers)
{
    struct kit *kit = kit_create(workers);

    kit->plan.grows = true;
    kit->job.train.epochs = 1;
    for (uint32_t w = 0; w < WORKERS_MOST; w++)
        kit->worker[w].status.data.train_examples = 100;
    restart_coordinator(kit);
    return kit;
}

static uint64_t train_all(struct kit *kit)
{
    uint64_t sum = 0;

    for (uint32_t w = 0; w < kit->roster.workers; w++)
        sum += train(kit, &kit->worker[w], UINT64_MAX);
    return sum;
}

/* What comes is dealt; nobody is done before the source is. Everyone is told at once.
 */
static void test_growth(void **state)
{
    struct kit *kit = growing_kit(2);
    struct order order;
    uint64_t news;

    (void)state;
    reach(kit, STAGE_TRAIN);
    assert_int_equal(train_all(kit), 100);
    for (uint64_t known = 200; known <= 900; known += 100) {
        order_for(kit, 0, &order);
        assert_int_equal(order.more, 1);
        news = coordinator_news(kit->c);
        coordinator_grow(kit->c, known - 100, true);
        assert_int_equal(coordinator_news(kit->c), news);
        coordinator_grow(kit->c, known, true);
        assert_int_not_equal(coordinator_news(kit->c), news);
        if (known % 200)
            restart_coordinator(kit);
        everyone_speaks(kit);
        assert_int_equal(train_all(kit), 100);
    }
    assert_int_equal(kit->memory->state.stage, STAGE_TRAIN);
    news = coordinator_news(kit->c);
    coordinator_grow(kit->c, 950, false);
    assert_int_not_equal(coordinator_news(kit->c), news);
    coordinator_grow(kit->c, 2000, true); /* too late */
    all_obey(kit);
    assert_int_equal(kit->last_epoch.examples, 950);
    reach(kit, STAGE_END);
    assert_int_equal(kit->saved.data.positions, 950);
    assert_ended(kit, 0, "");
    kit_destroy(kit);
}

/* Stopped while there is nothing to do: a resumed run goes on where the data ended. */
static void test_growth_over_a_cut(void **state)
{
    struct kit *kit = growing_kit(2);
    struct manifest manifest;

    (void)state;
    coordinator_grow(kit->c, 300, true); /* said early, it counts */
    reach(kit, STAGE_TRAIN);
    assert_int_equal(train_all(kit), 300);
    coordinator_interrupt(kit->c, kit->now_ms);
    assert_int_equal(kit->memory->state.stage, STAGE_STOP);
    all_obey(kit);
    assert_int_equal(kit->memory->state.stage, STAGE_SAVE);
    all_obey(kit);
    assert_ended(kit, 130, "");
    assert_int_equal(kit->epochs_done, 0);
    assert_int_equal(kit->saved.epoch, 0);
    assert_int_equal(kit->saved.ranges, 0);
    assert_true(kit->saved.grows);
    assert_int_equal(kit->saved.known, 300);

    resume(kit, &manifest, 3);
    for (uint32_t w = 0; w < WORKERS_MOST; w++)
        kit->worker[w].status.data.train_examples = 100;
    coordinator_grow(kit->c, 340, true);
    reach(kit, STAGE_TRAIN);
    assert_int_equal(kit->memory->state.epoch, 1);
    assert_int_equal(train_all(kit), 40);
    coordinator_grow(kit->c, 400, false);
    all_obey(kit);
    assert_int_equal(kit->epochs_done, 1);
    assert_int_equal(kit->last_epoch.examples, 100);
    kit_destroy(kit);
}

/* What is not needed any more: without checkpoints what the workers have behind them,
 * with them what the newest has. */
static void test_floor(void **state)
{
    struct kit *kit = growing_kit(2);
    struct manifest manifest;

    (void)state;
    kit->job.checkpoint.dir[0] = '\0';
    coordinator_grow(kit->c, 300, true);
    reach(kit, STAGE_TRAIN);
    assert_int_equal(coordinator_floor(kit->c), 0);
    assert_int_equal(coordinator_known(kit->c), 300);
    assert_int_equal(train(kit, &kit->worker[1], 200), 200); /* the first is at 0 */
    assert_int_equal(coordinator_floor(kit->c), 0);
    assert_int_equal(train(kit, &kit->worker[0], 10), 10);
    assert_int_equal(coordinator_floor(kit->c), 10);
    restart_coordinator(kit);
    assert_int_equal(coordinator_floor(kit->c), 10); /* though it must be told again */
    train_all(kit);
    assert_int_equal(coordinator_floor(kit->c), 300);
    kit_destroy(kit);

    kit = growing_kit(2);
    coordinator_grow(kit->c, 300, true);
    reach(kit, STAGE_TRAIN);
    assert_int_equal(train_all(kit), 300);
    assert_int_equal(coordinator_floor(kit->c), 0);
    coordinator_grow(kit->c, 350, true);
    coordinator_interrupt(kit->c, kit->now_ms);
    all_obey(kit);
    assert_int_equal(coordinator_floor(kit->c), 0); /* it is being written */
    all_obey(kit);
    assert_ended(kit, 130, "");
    assert_int_equal(coordinator_floor(kit->c), 300);
    resume(kit, &manifest, 1);
    assert_int_equal(coordinator_floor(kit->c), 300);
    assert_int_equal(coordinator_known(kit->c), 350);
    kit_destroy(kit);
}

/* A checkpoint in the middle of an epoch whose source has ended: a resumed run does
 * what is left and waits for nothing. */
static void test_cut_behind_the_end(void **state)
{
    struct kit *kit = growing_kit(2);
    struct manifest manifest;

    (void)state;
    for (uint32_t w = 0; w < WORKERS_MOST; w++) {
        kit->worker[w].status.data.train_examples = 0;
        kit->worker[w].status.data.grain = 50;
    }
    coordinator_grow(kit->c, 300, false);
    assert_true(coordinator_grows(kit->c));
    reach(kit, STAGE_TRAIN);
    assert_int_equal(train(kit, &kit->worker[0], 30), 30);
    coordinator_interrupt(kit->c, kit->now_ms);
    all_obey(kit);
    all_obey(kit);
    assert_ended(kit, 130, "");
    assert_false(kit->saved.grows);
    assert_int_equal(kit->saved.data.positions, 300);
    resume(kit, &manifest, 1);
    assert_false(coordinator_grows(kit->c));
    assert_int_equal(coordinator_known(kit->c), 300);
    reach(kit, STAGE_TRAIN);
    coordinator_grow(kit->c, 900, true);
    assert_int_equal(train(kit, &kit->worker[0], 70), 70);
    coordinator_interrupt(kit->c, kit->now_ms);
    all_obey(kit);
    all_obey(kit);
    assert_int_equal(kit->saved.data.positions, 300); /* once more */
    resume(kit, &manifest, 2);
    all_obey(kit);
    reach(kit, STAGE_END);
    assert_ended(kit, 0, "");
    assert_int_equal(kit->last_epoch.examples, 200);
    kit_destroy(kit);
}

static void test_failing_source(void **state)
{
    const struct err err = {ERR_SYSTEM, "the disk is full"};
    struct kit *kit = growing_kit(2);

    (void)state;
    reach(kit, STAGE_TRAIN);
    coordinator_fail(kit->c, &err, kit->now_ms);
    assert_ended(kit, 1, "the disk is full");
    kit_destroy(kit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slow_worker),
        cmocka_unit_test(test_worker_restarts_in_a_lease),
        cmocka_unit_test(test_coordinator_restarts_while_dealing),
        cmocka_unit_test(test_coordinator_dies_before_dealing),
        cmocka_unit_test(test_impossible_standing),
        cmocka_unit_test(test_standing_of_an_earlier_order),
        cmocka_unit_test(test_rows_left_out_are_told_again),
        cmocka_unit_test(test_growth),
        cmocka_unit_test(test_growth_over_a_cut),
        cmocka_unit_test(test_floor),
        cmocka_unit_test(test_cut_behind_the_end),
        cmocka_unit_test(test_failing_source),
    };

    return cmocka_run_group_tests_name("coordinator_leases", tests, NULL, NULL);
}

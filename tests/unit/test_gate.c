/* Who waits for whom: workers that run out of data hold nobody up, and when they have
 * some again they go on where the others are. What a pull waits for is in test_core. */
#include "tests/unit/core_kit.h"

static struct core_kit *ssp_kit(uint32_t workers, uint32_t staleness)
{
    struct core_kit *kit = core_kit_create(1, workers);

    kit->job.train.consistency = CONSISTENCY_SSP;
    kit->job.train.staleness = staleness;
    return kit;
}

static void assert_standing(const struct core_kit *kit, uint64_t through,
                            uint64_t idle_order, uint64_t stint)
{
    assert_int_equal(kit->out.ack.through, through);
    assert_int_equal(kit->out.ack.idle_order, idle_order);
    assert_int_equal(kit->out.ack.order, 1);
    assert_int_equal(kit->out.ack.stint, stint);
}

/* Worker 0 is at clock 10, 1 at 12, and 2 was idle since clock 1. */
static void test_comes_back_where_the_slowest_is(void **state)
{
    struct core_kit *kit = ssp_kit(3, 2);

    (void)state;
    kit_begin(kit, 1, 0, 3);
    kit_say(kit, 2, (struct reach){1, 1, 0, true, 0});
    assert_standing(kit, 1, 1, 0);
    kit_say(kit, 0, (struct reach){1, 10, 0, false, 0});
    kit_say(kit, 1, (struct reach){1, 12, 0, false, 0});
    assert_int_equal(kit_gated_pull(kit, 1, 13, (struct reach){1, 12, 0, false, 0}), 0);
    assert_int_equal(kit->out.rows.vintage, 10);
    kit_say(kit, 2, (struct reach){1, 1, 0, false, 1});
    assert_standing(kit, 10, 0, 1);
    kit_say(kit, 0, (struct reach){1, 15, 0, false, 0});
    /* Now the others wait for it. */
    assert_int_equal(kit_gated_pull(kit, 1, 14, (struct reach){1, 13, 0, false, 0}),
                     -1);
    kit_say(kit, 2, (struct reach){1, 11, 0, false, 1});
    assert_int_equal(kit_next(kit), 0);
    assert_int_equal(kit->out.kind, MESSAGE_ROWS);
    assert_int_equal(kit->out.rows.vintage, 11);
    core_kit_destroy(kit);
}

/* What it said before it came back may come later. */
static void test_overtaken_words(void **state)
{
    struct core_kit *kit = ssp_kit(2, 2);

    (void)state;
    kit_begin(kit, 1, 0, 2);
    kit_say(kit, 0, (struct reach){1, 3, 0, true, 0});
    kit_say(kit, 0, (struct reach){1, 3, 0, false, 1});
    assert_standing(kit, 3, 0, 1);
    kit_say(kit, 0, (struct reach){1, 3, 0, true, 0});
    assert_standing(kit, 3, 0, 1);
    kit_say(kit, 0, (struct reach){1, 3, 0, true, 1});
    assert_standing(kit, 3, 1, 1);
    kit_say(kit, 0, (struct reach){1, 3, 0, false, 1}); /* this, too, is older */
    assert_standing(kit, 3, 1, 1);
    /* A server that has forgotten what was said still knows the stint. */
    core_kit_restart(kit);
    kit_begin(kit, 1, 0, 2);
    kit_say(kit, 0, (struct reach){1, 3, 0, false, 2});
    assert_standing(kit, 3, 0, 2);
    core_kit_restart(kit);
    kit_say(kit, 0, (struct reach){1, 3, 0, true, 1});
    assert_standing(kit, 3, 0, 2);
    /* The next order begins with none. */
    kit_begin(kit, 2, 5, 2);
    kit_say(kit, 0, (struct reach){2, 5, 0, true, 0});
    assert_int_equal(kit->out.ack.idle_order, 2);
    assert_int_equal(kit->out.ack.stint, 0);
    core_kit_destroy(kit);
}

/* When nobody is active, who comes back goes on where the fastest was: so the next one
 * finds it there. */
static void test_comes_back_alone(void **state)
{
    struct core_kit *kit = ssp_kit(3, 2);

    (void)state;
    kit_begin(kit, 1, 0, 3);
    kit_say(kit, 0, (struct reach){1, 20, 0, true, 0});
    kit_say(kit, 1, (struct reach){1, 3, 0, true, 0});
    kit_say(kit, 2, (struct reach){1, 0, 0, true, 0});
    kit_say(kit, 1, (struct reach){1, 3, 0, false, 1});
    assert_standing(kit, 20, 0, 1);
    kit_say(kit, 0, (struct reach){1, 20, 0, false, 1});
    assert_standing(kit, 20, 0, 1);
    /* Who had nothing from the start may get something. */
    kit_begin(kit, 2, 30, 0);
    kit_say(kit, 1, (struct reach){2, 30, 0, false, 1});
    assert_int_equal(kit->out.ack.idle_order, 0);
    core_kit_destroy(kit);
}

/* Nobody is idle before all of it is applied, and nobody comes back before. */
static void test_idle_when_all_is_applied(void **state)
{
    struct core_kit *kit = ssp_kit(2, 2);
    uint64_t key = 1;

    (void)state;
    kit_begin(kit, 1, 0, 2);
    kit_say(kit, 0, (struct reach){1, 2, 2, true, 0});
    assert_standing(kit, 0, 0, 0);
    kit_push(kit, 0, (struct push){2, 0, 0, 1}, 0, &key, 1, 1);
    assert_int_equal(kit_handle(kit), 0);
    assert_standing(kit, 2, 1, 0);
    kit_say(kit, 0, (struct reach){1, 5, 5, false, 1});
    assert_standing(kit, 2, 1, 0);
    kit_push(kit, 0, (struct push){5, 2, 0, 1}, 0, &key, 1, 1);
    assert_int_equal(kit_handle(kit), 0);
    assert_standing(kit, 5, 0, 1);
    core_kit_destroy(kit);
}

/* A worker's process has said that it is idle once its push is applied, and died. The
 * next one has data. */
static void test_promise_of_the_dead(void **state)
{
    struct core_kit *kit = ssp_kit(2, 2);
    uint64_t key = 1;

    (void)state;
    kit_begin(kit, 1, 0, 2);
    kit_say(kit, 0, (struct reach){1, 2, 2, true, 0});
    kit_from_worker(kit, 0, MESSAGE_CLOCK);
    kit->in.incarnation = 1;
    kit->in.reach = (struct reach){1, 1, 0, false, 0};
    assert_int_equal(kit_handle(kit), 0);
    kit_push(kit, 0, (struct push){2, 0, 0, 1}, 0, &key, 1, 1);
    kit->in.incarnation = 1;
    assert_int_equal(kit_handle(kit), 0);
    assert_standing(kit, 2, 0, 0);
    core_kit_destroy(kit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_comes_back_where_the_slowest_is),
        cmocka_unit_test(test_overtaken_words),
        cmocka_unit_test(test_comes_back_alone),
        cmocka_unit_test(test_idle_when_all_is_applied),
        cmocka_unit_test(test_promise_of_the_dead),
    };

    return cmocka_run_group_tests_name("gate", tests, NULL, NULL);
}

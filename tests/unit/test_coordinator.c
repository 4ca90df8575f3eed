/* The coordinator, led by hand-made statuses through everything that can happen. */
#include "tests/unit/coordinator_kit.h"

/* --- the straight way
 * ---------------------------------------------------------------------- */

static void test_whole_run(void **state)
{
    static const enum stage stages[] = {STAGE_GATHER,   STAGE_LOAD,  STAGE_TRAIN,
                                        STAGE_SAVE,     STAGE_TRAIN, STAGE_SAVE,
                                        STAGE_EVALUATE, STAGE_END};
    struct kit *kit = kit_create(3);
    struct run_view view;

    (void)state;
    for (size_t i = 0; i < sizeof stages / sizeof stages[0]; i++) {
        assert_int_equal(kit->memory->state.stage, stages[i]);
        assert_int_equal(coordinator_number(kit->c), i + 1);
        kit->now_ms += 500;
        /* One that is not done holds all up. */
        for (uint32_t m = 1; m < members(kit); m++)
            obey(kit, member_at(kit, m));
        assert_int_equal(coordinator_number(kit->c), i + 1);
        if (stages[i] == STAGE_END)
            assert_false(coordinator_finished(kit->c, kit->now_ms));
        obey(kit, member_at(kit, 0));
    }
    assert_ended(kit, 0, "");
    assert_int_equal(kit->memory->state.error, 0);
    assert_true(coordinator_finished(kit->c, kit->now_ms));
    assert_true(kit->memory->state.evaluated);
    assert_true(kit->memory->state.metric[0] == 150);
    assert_int_equal(kit->finished, 2);
    assert_int_equal(kit->memory->state.checkpoint, 2);
    assert_int_equal(kit->memory->state.checkpoint_bytes, 200);
    assert_int_equal(kit->saved.epoch, 2);
    assert_int_equal(kit->saved.ranges, 0);
    assert_int_equal(kit->saved.shards, SERVERS);
    assert_string_equal(kit->saved.shard[1].file, "shard-001-of-002");
    assert_int_equal(kit->memory->state.records, 2);
    assert_int_equal(kit->memory->state.record[1].epoch, 2);
    assert_int_equal(kit->memory->state.record[1].examples, EXAMPLES);
    assert_true(kit->memory->state.record[1].loss_sum == 2.0 * EXAMPLES);
    assert_true(kit->memory->state.record[1].seconds > 0);
    assert_int_equal(kit->epochs_done, 2);
    coordinator_view(kit->c, kit->now_ms, &view);
    assert_int_equal(view.stage, STAGE_END);
    kit_destroy(kit);
}

static void test_orders(void **state)
{
    struct kit *kit = kit_create(3);

    (void)state;
    coordinator_order(kit->c, kit->server[0].peer, &kit->order);
    assert_int_equal(kit->order.kind, ORDER_WAIT);
    reach(kit, STAGE_LOAD);
    coordinator_order(kit->c, kit->server[0].peer, &kit->order);
    assert_int_equal(kit->order.kind, ORDER_LOAD);
    assert_string_equal(kit->order.path, "");
    reach(kit, STAGE_TRAIN);
    coordinator_order(kit->c, kit->server[1].peer, &kit->order);
    assert_int_equal(kit->order.kind, ORDER_TRAIN);
    assert_int_equal(kit->order.ranges, 3); /* everyone may get something */
    assert_int_equal(ranges_count(kit->order.range, 3), 3);
    for (uint32_t w = 0; w < 3; w++) {
        coordinator_order(kit->c, kit->worker[w].peer, &kit->order);
        assert_int_equal(kit->order.epoch, 1);
        assert_int_equal(kit->order.clock, 0);
        assert_int_equal(kit->order.data.digest, 0xda7a);
        assert_true(kit->order.data.label_mean == 3.5);
        assert_int_equal(kit->order.lease, 1);
        assert_int_equal(kit->order.ranges, 1);
        assert_int_equal(kit->order.range[0].first, w * 90);
        assert_int_equal(kit->order.range[0].end, w * 90 + 90);
        assert_int_equal(kit->order.more, 1);
    }
    reach(kit, STAGE_SAVE);
    coordinator_order(kit->c, kit->server[1].peer, &kit->order);
    assert_int_equal(kit->order.kind, ORDER_SAVE);
    assert_string_equal(kit->order.path, "dir/checkpoint-1");
    all_obey(kit);
    coordinator_order(kit->c, kit->worker[1].peer, &kit->order);
    assert_int_equal(kit->order.epoch, 2);
    assert_int_equal(kit->order.clock, 82); /* 820 examples in batches of 10 */
    kit_destroy(kit);
}

static void test_no_checkpoints_no_test(void **state)
{
    struct kit *kit = kit_create(1);

    (void)state;
    kit->job.checkpoint.dir[0] = '\0';
    kit->worker[0].status.data.test_examples = 0;
    reach(kit, STAGE_TRAIN);
    all_obey(kit);
    assert_int_equal(kit->memory->state.stage, STAGE_TRAIN);
    assert_int_equal(kit->memory->state.epoch, 2);
    all_obey(kit);
    assert_ended(kit, 0, "");
    assert_false(kit->memory->state.evaluated);
    assert_int_equal(kit->begin_calls, 0);
    kit_destroy(kit);
}

static void test_every_two_epochs(void **state)
{
    struct kit *kit = kit_create(1);

    (void)state;
    kit->job.train.epochs = 5;
    kit->job.checkpoint.every = 2;
    for (int i = 0; i < 40 && kit->memory->state.stage != STAGE_END; i++)
        all_obey(kit);
    assert_ended(kit, 0, "");
    assert_int_equal(kit->finished, 3); /* epochs 2, 4 and the last */
    kit_destroy(kit);
}

static void test_evaluate_only(void **state)
{
    struct kit *kit = kit_create(2);
    static struct manifest manifest;

    (void)state;
    manifest = (struct manifest){.number = 7,
                                 .epoch = 3,
                                 .data = {.train_examples = 500,
                                          .test_examples = 5,
                                          .digest = 0x01d,
                                          .label_mean = 2.5}};
    coordinator_destroy(kit->c);
    memset(kit->memory, 0, sizeof *kit->memory);
    kit->plan.evaluate_only = true;
    kit->plan.restored = &manifest;
    snprintf(kit->plan.restore, sizeof kit->plan.restore, "dir/checkpoint-7");
    open_coordinator(kit);
    reach(kit, STAGE_LOAD);
    coordinator_order(kit->c, kit->server[0].peer, &kit->order);
    assert_string_equal(kit->order.path, "dir/checkpoint-7");
    reach(kit, STAGE_EVALUATE);
    /* Other data are fine; the mean is the model's. */
    coordinator_order(kit->c, kit->worker[0].peer, &kit->order);
    assert_int_equal(kit->order.data.digest, 0xda7a);
    assert_true(kit->order.data.label_mean == 2.5);
    all_obey(kit);
    assert_ended(kit, 0, "");
    assert_true(kit->memory->state.metric[0] == 100);
    assert_int_equal(kit->begin_calls, 0);
    kit_destroy(kit);
}

static void test_nothing_to_evaluate(void **state)
{
    struct kit *kit = kit_create(1);

    (void)state;
    kit->plan.evaluate_only = true;
    coordinator_destroy(kit->c);
    memset(kit->memory, 0, sizeof *kit->memory);
    open_coordinator(kit);
    kit->worker[0].status.data.test_examples = 0;
    reach(kit, STAGE_LOAD);
    all_obey(kit);
    assert_ended(kit, 2, "nothing to evaluate on");
    kit_destroy(kit);
}

/* --- interrupts
 * ------------------------------------------------------------------------------ */

static void test_interrupt_before_training(void **state)
{
    (void)state;
    for (enum stage stage = STAGE_GATHER; stage <= STAGE_LOAD; stage++) {
        struct kit *kit = kit_create(2);

        reach(kit, stage);
        coordinator_interrupt(kit->c, kit->now_ms);
        assert_ended(kit, 130, "");
        assert_int_equal(kit->begin_calls, 0);
        kit_destroy(kit);
    }
}

/* Worker 0 has trained 100, worker 1 nothing yet. */
static void test_interrupt_in_training(void **state)
{
    struct kit *kit = kit_create(2);

    (void)state;
    reach(kit, STAGE_TRAIN);
    assert_int_equal(train(kit, &kit->worker[0], 100), 100);
    coordinator_interrupt(kit->c, kit->now_ms);
    assert_int_equal(kit->memory->state.stage, STAGE_STOP);
    /* It says all that a server needs who has not seen the order to train. */
    coordinator_order(kit->c, kit->server[0].peer, &kit->order);
    assert_int_equal(kit->order.kind, ORDER_STOP);
    assert_int_equal(ranges_count(kit->order.range, kit->order.ranges), 2);
    assert_int_equal(kit->order.train + 1, kit->order.number);
    all_obey(kit);
    assert_int_equal(kit->memory->state.stage, STAGE_SAVE);
    coordinator_interrupt(kit->c, kit->now_ms); /* the same keystroke, again */
    all_obey(kit);
    assert_ended(kit, 130, "");
    assert_int_equal(kit->finished, 1);
    assert_int_equal(kit->saved.epoch, 0);
    assert_int_equal(kit->saved.ranges, 1); /* neighbours are one */
    assert_int_equal(kit->saved.range[0].first, 100);
    assert_int_equal(kit->saved.range[0].end, 1000);
    assert_int_equal(kit->saved.clock, 10);
    assert_int_equal(kit->memory->state.open.examples, 100);
    kit_destroy(kit);
}

/* The workers were done before they saw the order to stop. */
static void test_interrupt_at_epoch_end(void **state)
{
    struct kit *kit = kit_create(2);

    (void)state;
    reach(kit, STAGE_TRAIN);
    assert_int_equal(train(kit, &kit->worker[0], EXAMPLES), 870);
    assert_int_equal(train(kit, &kit->worker[1], EXAMPLES), 130);
    coordinator_interrupt(kit->c, kit->now_ms);
    all_obey(kit);
    assert_int_equal(kit->epochs_done, 1);
    assert_int_equal(kit->last_epoch.examples, EXAMPLES);
    assert_int_equal(kit->memory->state.stage, STAGE_SAVE);
    all_obey(kit);
    assert_ended(kit, 130, "");
    assert_int_equal(kit->saved.epoch, 1);
    assert_int_equal(kit->saved.ranges, 0);
    kit_destroy(kit);
}

static void test_interrupt_without_checkpoints(void **state)
{
    struct kit *kit = kit_create(1);

    (void)state;
    kit->job.checkpoint.dir[0] = '\0';
    reach(kit, STAGE_TRAIN);
    coordinator_interrupt(kit->c, kit->now_ms);
    assert_ended(kit, 130, "");
    kit_destroy(kit);
}

static void test_interrupt_while_saving(void **state)
{
    struct kit *kit = kit_create(1);

    (void)state;
    reach(kit, STAGE_SAVE);
    coordinator_interrupt(kit->c, kit->now_ms);
    assert_int_equal(kit->memory->state.stage, STAGE_SAVE);
    all_obey(kit);
    assert_ended(kit, 130, "");
    assert_int_equal(kit->finished, 1);
    kit_destroy(kit);
}

static void test_interrupt_while_evaluating(void **state)
{
    struct kit *kit = kit_create(1);

    (void)state;
    reach(kit, STAGE_EVALUATE);
    coordinator_interrupt(kit->c, kit->now_ms);
    assert_ended(kit, 130, "");
    assert_false(kit->memory->state.evaluated);
    kit_destroy(kit);
}

static void test_interrupt_twice(void **state)
{
    struct kit *kit = kit_create(1);

    (void)state;
    reach(kit, STAGE_TRAIN);
    coordinator_interrupt(kit->c, kit->now_ms);
    pass_time(kit, 2000);
    assert_int_equal(kit->memory->state.stage, STAGE_STOP);
    coordinator_interrupt(kit->c, kit->now_ms);
    assert_ended(kit, 130, "interrupted again while stopping");
    coordinator_interrupt(kit->c, kit->now_ms + 5000);
    assert_ended(kit, 130, "interrupted again while stopping");
    kit_destroy(kit);
}

/* A list of ranges that a cut could make too long waits for the end of the epoch, and
 * loses nothing. */
static void test_interrupt_with_a_full_list(void **state)
{
    struct kit *kit = kit_create(3);

    (void)state;
    reach(kit, STAGE_TRAIN);
    kit->memory->state.ranges = MANIFEST_RANGES_MAX;
    kit->memory->state.range[0] = (struct range){0, 10000};
    for (uint64_t i = 1; i < MANIFEST_RANGES_MAX; i++)
        kit->memory->state.range[i] = (struct range){10000 + i * 3, 10002 + i * 3};
    memset(kit->memory->dealing, 0, sizeof kit->memory->dealing);
    restart_coordinator(kit);
    everyone_speaks(kit);
    coordinator_interrupt(kit->c, kit->now_ms);
    assert_int_equal(kit->memory->state.stage, STAGE_TRAIN);
    all_obey(kit);
    assert_int_equal(kit->memory->state.stage, STAGE_SAVE);
    all_obey(kit);
    assert_ended(kit, 130, "");
    assert_int_equal(kit->saved.epoch, 1);
    assert_int_equal(kit->saved.ranges, 0);
    kit_destroy(kit);
}

/* --- cuts
 * ---------------------------------------------------------------------------------------
 */

static void test_timed_checkpoints(void **state)
{
    struct kit *kit = kit_create(2);

    (void)state;
    kit->job.checkpoint.every = 3;
    kit->job.checkpoint.every_unit = EVERY_SECOND;
    reach(kit, STAGE_TRAIN);
    assert_int_equal(train(kit, &kit->worker[0], 500), 500);
    assert_int_equal(train(kit, &kit->worker[1], 20), 20);
    pass_time(kit, 2900);
    assert_int_equal(kit->memory->state.stage, STAGE_TRAIN);
    pass_time(kit, 200);
    assert_int_equal(kit->memory->state.stage, STAGE_STOP);
    reach(kit, STAGE_SAVE);
    all_obey(kit);
    assert_int_equal(kit->memory->state.stage, STAGE_TRAIN);
    assert_int_equal(kit->memory->state.epoch, 1);
    assert_int_equal(kit->memory->state.ranges, 2);
    assert_int_equal(kit->memory->state.range[0].first, 150);
    assert_int_equal(kit->memory->state.range[0].end, 260);
    assert_int_equal(kit->memory->state.range[1].first, 630);
    assert_int_equal(kit->saved.epoch, 0);
    /* The next one is due after as long again. */
    pass_time(kit, 2900);
    assert_int_equal(kit->memory->state.stage, STAGE_TRAIN);
    pass_time(kit, 200);
    assert_int_equal(kit->memory->state.stage, STAGE_STOP);
    kit_destroy(kit);
}

struct property {
    uint64_t seed, draws;
    uint8_t seen[EXAMPLES];
};

static uint64_t draw(struct property *p, uint64_t below)
{
    return rng_at(p->seed, 9, p->draws++) % below;
}

static void see(void *context, uint64_t position)
{
    struct property *p = context;

    assert_int_equal(p->seen[position]++, 0);
}

/* A worker trains some of what it has and says so, again and again, or until there is
 * nothing left for it. */
static void train_worker(struct kit *kit, struct property *p, struct fake *worker,
                         bool all)
{
    for (uint64_t rounds = all ? UINT64_MAX : draw(p, 8); rounds; rounds--) {
        uint64_t n;

        coordinator_order(kit->c, worker->peer, &kit->order);
        if (kit->order.kind != ORDER_TRAIN)
            return;
        n = train_leases(kit, worker, 1 + draw(p, 60), see, p);
        if (n == 0 && !kit->order.more) {
            worker->status.phase = PHASE_IDLE;
            worker->status.done = kit->order.number;
        }
        say(kit, worker);
        if (n == 0)
            return;
    }
}

/* Processes die, too, that of the coordinator and of workers. */
static void train_some(struct kit *kit, struct property *p, bool all)
{
    for (uint32_t i = 0; i < kit->roster.workers; i++) {
        uint64_t w = draw(p, kit->roster.workers);

        if (draw(p, 4) == 0)
            restart_worker(kit, &kit->worker[w]);
        if (draw(p, 4) == 0)
            restart_coordinator(kit);
        train_worker(kit, p, &kit->worker[w], all || draw(p, 4) == 0);
    }
}

static void check_epoch(struct property *p)
{
    for (int i = 0; i < EXAMPLES; i++)
        assert_int_equal(p->seen[i], 1);
    memset(p->seen, 0, sizeof p->seen);
}

static void all_answer(struct kit *kit)
{
    coordinator_order(kit->c, kit->server[0].peer, &kit->order);
    for (uint32_t i = 0; i < members(kit); i++) {
        struct fake *member = member_at(kit, i);

        if (member->peer.role == ROLE_WORKER && kit->order.kind == ORDER_STOP)
            begin_training(member, &kit->order);
        member->status.done = kit->order.number;
    }
    everyone_speaks(kit);
}

/* Timed cuts, interrupts and resumes with other numbers of workers: every position of
 * every epoch is trained exactly once. Returns how often it was cut. */
static uint32_t check_positions(uint64_t seed)
{
    struct property p = {.seed = seed};
    struct kit *kit = kit_create(1 + (uint32_t)draw(&p, WORKERS_MOST));
    struct manifest manifest;
    uint32_t epoch = 0, cuts = 0;

    kit->job.train.epochs = 3;
    kit->job.checkpoint.every = 1;
    kit->job.checkpoint.every_unit = EVERY_SECOND;
    for (int round = 0; round < 2000; round++) {
        uint64_t number = coordinator_number(kit->c);

        if (kit->memory->state.stage == STAGE_END) {
            if (kit->memory->state.exit_status == 0)
                break;
            assert_int_equal(kit->memory->state.exit_status, 130);
            resume(kit, &manifest, 1 + (uint32_t)draw(&p, WORKERS_MOST));
            continue;
        }
        if (kit->memory->state.stage != STAGE_TRAIN) {
            all_answer(kit);
            assert_true(coordinator_number(kit->c) > number);
            continue;
        }
        if (kit->memory->state.epoch != epoch && epoch)
            check_epoch(&p);
        epoch = kit->memory->state.epoch;
        train_some(kit, &p, draw(&p, 3) == 0);
        cuts++;
        if (draw(&p, 3) == 0 && (coordinator_tick(kit->c, kit->now_ms), 1))
            coordinator_interrupt(kit->c, kit->now_ms);
        else
            pass_time(kit, 1500);
        if (kit->memory->state.stage ==
            STAGE_TRAIN) { /* done, and counted with the next words */
            everyone_speaks(kit);
            pass_time(kit, 1500);
        }
    }
    assert_ended(kit, 0, "");
    assert_int_equal(epoch, 3);
    check_epoch(&p);
    kit_destroy(kit);
    return cuts;
}

static void test_every_position_once(void **state)
{
    uint32_t cuts = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= 100; seed++)
        cuts += check_positions(seed);
    assert_true(cuts > 500);
}

/* --- what people see
 * ------------------------------------------------------------------------------ */

/* Progress counts those that are done and those under way, and never an earlier order.
 */
static void test_view(void **state)
{
    struct kit *kit = kit_create(2);
    struct run_view view;

    (void)state;
    reach(kit, STAGE_TRAIN);
    coordinator_view(kit->c, kit->now_ms, &view);
    assert_int_equal(view.examples, 0);
    assert_true(view.seconds_left < 0);
    obey(kit, &kit->worker[0]);
    assert_int_equal(train(kit, &kit->worker[1], 100), 100);
    kit->worker[1].status.loss_sum = 970 * 3 - 870 * 2;
    kit->worker[1].status.tables = 2;
    kit->worker[1].status.table[1] = (struct table_facts){.rows = 7,
                                                          .bytes = 70,
                                                          .staleness = {[3] = 5},
                                                          .cache_reads = 10,
                                                          .cache_hits = 4};
    say(kit, &kit->worker[1]);
    coordinator_view(kit->c, kit->now_ms + 2000, &view);
    assert_int_equal(view.examples, 970);
    assert_int_equal(view.times[0].examples, 870);
    assert_int_equal(view.times[1].examples, 100);
    assert_int_equal(view.examples_total, EXAMPLES);
    assert_true(view.loss == 3);
    /* What a worker keeps is no row of the table; how stale it was counts. */
    assert_int_equal(view.table[1].rows, 0);
    assert_int_equal(view.table[1].staleness[3], 5);
    assert_int_equal(view.table[1].cache_hits, 4);
    assert_int_equal(view.cache_rows[1], 7);
    assert_int_equal(view.cache_bytes[1], 70);
    assert_true(view.rate == 485);
    assert_true(view.seconds_left > 2.1 && view.seconds_left < 2.2);
    reach(kit, STAGE_SAVE);
    all_obey(kit);
    assert_int_equal(kit->memory->state.stage,
                     STAGE_TRAIN); /* epoch 2, statuses of epoch 1 */
    coordinator_view(kit->c, kit->now_ms, &view);
    assert_int_equal(view.examples, 0);
    assert_int_equal(view.times[1].examples, 130);
    kit_destroy(kit);
}

/* A worker that speaks, but never carries the stop out, is named at the deadline. */
static void test_stop_has_a_deadline(void **state)
{
    struct kit *kit = kit_create(2);
    int64_t until;

    (void)state;
    reach(kit, STAGE_TRAIN);
    until = kit->now_ms + (int64_t)(kit->job.cluster.timeout * 1000) + 5000;
    coordinator_interrupt(kit->c, kit->now_ms);
    while (kit->memory->state.stage == STAGE_STOP && kit->now_ms < until) {
        kit->now_ms += 500;
        everyone_speaks(kit);
        coordinator_tick(kit->c, kit->now_ms);
    }
    assert_int_equal(kit->memory->state.stage, STAGE_END);
    assert_non_null(strstr(kit->memory->state.text, "worker 0 (rank"));
    assert_non_null(strstr(kit->memory->state.text, "has not stopped within"));
    kit_destroy(kit);
}

/* One that was restarted reads its data before it can stop, however long that takes. */
static void test_stop_waits_for_data(void **state)
{
    struct kit *kit = kit_create(2);

    (void)state;
    reach(kit, STAGE_TRAIN);
    coordinator_interrupt(kit->c, kit->now_ms);
    kit->worker[1].status.phase = PHASE_LOADING;
    pass_time(kit, 20000);
    assert_int_equal(kit->memory->state.stage, STAGE_STOP);
    kit->worker[1].status.phase = PHASE_TRAINING;
    pass_time(kit, 6000);
    assert_ended(kit, 1, "worker 0 (rank");
    kit_destroy(kit);
}

/* Under bsp all stop at one clock: who is behind is told to catch up, and everybody
 * goes on with what was its own. */
static void test_bsp_stops_at_one_clock(void **state)
{
    struct kit *kit = kit_create(2);
    struct coordinator_state *s = &kit->memory->state;

    (void)state;
    kit->job.train.consistency = CONSISTENCY_BSP;
    reach(kit, STAGE_TRAIN);
    for (uint32_t w = 0; w < 2; w++) {
        assert_int_equal(train(kit, &kit->worker[w], 10 + w * 10), 10 + w * 10);
        kit->worker[w].status.clock = 5 + w;
    }
    coordinator_interrupt(kit->c, kit->now_ms);
    all_obey(kit);
    assert_int_equal(s->stage, STAGE_STOP);
    coordinator_order(kit->c, kit->worker[0].peer, &kit->order);
    assert_int_equal(kit->order.kind, ORDER_STOP);
    assert_int_equal(kit->order.limit, 6);
    assert_int_equal(kit->order.train + 2, kit->order.number);
    assert_int_equal(train_leases(kit, &kit->worker[0], 10, NULL, NULL), 10);
    kit->worker[0].status.clock = 6;
    all_obey(kit);
    assert_int_equal(s->stage, STAGE_SAVE);
    assert_int_equal(s->shares, 2);
    assert_int_equal(s->share_ranges[0], 1);
    assert_int_equal(s->range[0].first, 20);
    assert_int_equal(ranges_count(s->range, s->ranges), EXAMPLES - 40);
    kit_destroy(kit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whole_run),
        cmocka_unit_test(test_orders),
        cmocka_unit_test(test_no_checkpoints_no_test),
        cmocka_unit_test(test_every_two_epochs),
        cmocka_unit_test(test_evaluate_only),
        cmocka_unit_test(test_nothing_to_evaluate),
        cmocka_unit_test(test_interrupt_before_training),
        cmocka_unit_test(test_interrupt_in_training),
        cmocka_unit_test(test_interrupt_at_epoch_end),
        cmocka_unit_test(test_interrupt_without_checkpoints),
        cmocka_unit_test(test_interrupt_while_saving),
        cmocka_unit_test(test_interrupt_while_evaluating),
        cmocka_unit_test(test_interrupt_twice),
        cmocka_unit_test(test_interrupt_with_a_full_list),
        cmocka_unit_test(test_timed_checkpoints),
        cmocka_unit_test(test_every_position_once),
        cmocka_unit_test(test_view),
        cmocka_unit_test(test_bsp_stops_at_one_clock),
        cmocka_unit_test(test_stop_has_a_deadline),
        cmocka_unit_test(test_stop_waits_for_data),
    };

    return cmocka_run_group_tests_name("coordinator", tests, NULL, NULL);
}

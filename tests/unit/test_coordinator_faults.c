/* The coordinator when something goes wrong: members that fail, fall silent or come
 * back, its own death, and data that are not what they were. */
#include "tests/unit/coordinator_kit.h"

/* --- failures
 * ------------------------------------------------------------------------------- */

static void test_failing_member(void **state)
{
    (void)state;
    for (enum stage stage = STAGE_GATHER; stage <= STAGE_EVALUATE; stage++) {
        struct kit *kit;

        if (stage == STAGE_STOP)
            continue;
        kit = kit_create(2);
        reach(kit, stage);
        kit->worker[1].status.error = ERR_INPUT;
        snprintf(kit->worker[1].status.text, 64, "ratings.tsv line 3 is bad");
        say(kit, &kit->worker[1]);
        assert_ended(kit, 2, "ratings.tsv line 3 is bad");
        /* The first reason counts. */
        kit->server[0].status.error = ERR_PEER;
        snprintf(kit->server[0].status.text, 64, "another");
        say(kit, &kit->server[0]);
        assert_ended(kit, 2, "ratings.tsv line 3 is bad");
        coordinator_order(kit->c, kit->server[1].peer, &kit->order);
        assert_int_equal(kit->order.kind, ORDER_END);
        assert_int_equal(kit->order.exit_status, 2);
        assert_false(coordinator_finished(kit->c, kit->now_ms));
        assert_true(coordinator_finished(kit->c, kit->now_ms + 3100));
        kit_destroy(kit);
    }
}

static void test_failing_disk(void **state)
{
    struct kit *kit = kit_create(1);

    (void)state;
    kit->fail_begin = true;
    reach(kit, STAGE_TRAIN);
    all_obey(kit);
    assert_ended(kit, 1, "no room for checkpoint 1");
    kit_destroy(kit);

    kit = kit_create(1);
    kit->fail_finish = true;
    reach(kit, STAGE_SAVE);
    all_obey(kit);
    assert_ended(kit, 1, "cannot write dir/checkpoint-1/manifest");
    assert_int_equal(kit->memory->state.checkpoint, 0);
    kit_destroy(kit);
}

static void test_deadline_of_one_that_never_came(void **state)
{
    struct kit *kit = kit_create(2);

    (void)state;
    kit->worker[1].dead = true;
    pass_time(kit, 4900);
    assert_int_equal(kit->memory->state.stage, STAGE_GATHER);
    pass_time(kit, 300);
    assert_ended(kit, 1, "worker 1 (rank 3 on host1) has not come within 5 s");
    assert_int_equal(kit->memory->state.error, ERR_DEADLINE);
    kit_destroy(kit);
}

static void test_deadline_of_one_that_fell_silent(void **state)
{
    struct kit *kit = kit_create(2);

    (void)state;
    reach(kit, STAGE_TRAIN);
    kit->server[0].dead = true;
    kit->server[0].status.phase = PHASE_SAVING;
    pass_time(kit, 5200);
    assert_ended(kit, 1,
                 "server 0 (rank 0 on ) has not been heard of for 5.1 s; it was idle");
    kit_destroy(kit);

    kit = kit_create(2);
    reach(kit, STAGE_TRAIN);
    kit->worker[1].status.phase = PHASE_TRAINING;
    kit->worker[1].status.epoch = 1;
    kit->worker[1].status.clock = 17;
    say(kit, &kit->worker[1]);
    kit->worker[1].dead = true;
    pass_time(kit, 5200);
    assert_ended(kit, 1, "it was training, epoch 1, clock 17");
    kit_destroy(kit);
}

/* The coordinator's own disk was slow: that is nobody's silence. */
static void test_absence_of_the_coordinator(void **state)
{
    struct kit *kit = kit_create(2);

    (void)state;
    reach(kit, STAGE_TRAIN);
    pass_time(kit, 1000);
    kit->slow_ms = 60000;
    all_obey(kit);
    assert_int_equal(kit->memory->state.stage, STAGE_SAVE);
    coordinator_tick(kit->c, kit->now_ms);
    assert_int_equal(kit->memory->state.stage, STAGE_SAVE);
    /* From here on the deadline is as ever. */
    kit->worker[0].dead = true;
    pass_time(kit, 4500);
    assert_int_equal(kit->memory->state.stage, STAGE_SAVE);
    pass_time(kit, 2000);
    assert_ended(kit, 1, "worker 0");
    kit_destroy(kit);
}

/* --- incarnations
 * ----------------------------------------------------------------------------- */

static void test_stale_and_foreign(void **state)
{
    struct kit *kit = kit_create(2);
    struct fake stranger = kit->worker[0], old;
    struct err err;

    (void)state;
    stranger.peer.index = 2;
    assert_int_equal(take(kit, &stranger, &err), -ERR_PEER);
    assert_string_equal(err.text, "there is no worker 2 in this run");
    stranger.peer = (struct peer){ROLE_SERVER, SERVERS, 0};
    assert_int_equal(take(kit, &stranger, &err), -ERR_PEER);
    stranger.peer = (struct peer){ROLE_COORDINATOR, 0, 0};
    assert_int_equal(take(kit, &stranger, &err), -ERR_PEER);

    reach(kit, STAGE_TRAIN);
    old = kit->worker[1];
    kit->worker[1].peer.incarnation = 2;
    kit->worker[1].status.number = 0;
    kit->worker[1].status.done = 0;
    say(kit, &kit->worker[1]);
    assert_int_equal(kit->memory->state.restarts, 2);
    assert_int_equal(coordinator_incarnation(kit->c, kit->worker[1].peer), 2);
    assert_int_equal(take(kit, &old, &err), -ERR_PEER);
    assert_non_null(
        strstr(err.text, "worker 1 has been restarted; incarnation 0 is stale"));
    assert_int_equal(kit->memory->state.restarts, 2);
    assert_int_equal(kit->memory->state.stage, STAGE_TRAIN);
    kit_destroy(kit);
}

static void test_late_status(void **state)
{
    struct kit *kit = kit_create(1);
    struct fake late;
    struct err err;

    (void)state;
    reach(kit, STAGE_TRAIN);
    late = kit->worker[0];
    late.status.error = ERR_PEER; /* would end the run */
    late.status.number -= 2;
    say(kit, &kit->worker[0]);
    assert_int_equal(take(kit, &late, &err), 0);
    assert_int_equal(kit->memory->state.stage, STAGE_TRAIN);
    kit_destroy(kit);
}

/* Whoever is restarted has carried out nothing until it says so. */
static void test_restarted_member_in_every_stage(void **state)
{
    static const enum stage stages[] = {STAGE_GATHER, STAGE_LOAD, STAGE_TRAIN,
                                        STAGE_SAVE, STAGE_EVALUATE};

    (void)state;
    for (size_t i = 0; i < sizeof stages / sizeof stages[0]; i++)
        for (uint32_t m = 0; m < SERVERS + 2; m++) {
            struct kit *kit = kit_create(2);
            struct fake *member = member_at(kit, m);
            uint64_t number;

            reach(kit, stages[i]);
            number = coordinator_number(kit->c);
            obey(kit, member);
            member->peer.incarnation++;
            member->status.done = member->status.number = 0;
            say(kit, member);
            for (uint32_t other = 0; other < members(kit); other++)
                if (other != m)
                    obey(kit, member_at(kit, other));
            assert_int_equal(coordinator_number(kit->c), number);
            obey(kit, member);
            assert_int_equal(coordinator_number(kit->c), number + 1);
            assert_int_equal(kit->memory->state.restarts, 1);
            kit_destroy(kit);
        }
}

/* The coordinator's process dies in every stage; another goes on over its state. */
static void test_restarted_coordinator(void **state)
{
    static const enum stage stages[] = {
        STAGE_GATHER, STAGE_LOAD,  STAGE_TRAIN, STAGE_STOP,     STAGE_SAVE,
        STAGE_TRAIN,  STAGE_STOP,  STAGE_SAVE,  STAGE_TRAIN,    STAGE_STOP,
        STAGE_SAVE,   STAGE_TRAIN, STAGE_SAVE,  STAGE_EVALUATE, STAGE_END};
    struct kit *kit = kit_create(2);

    (void)state;
    kit->job.train.epochs = 1;
    kit->job.checkpoint.every = 1;
    kit->job.checkpoint.every_unit = EVERY_SECOND;
    for (size_t i = 0; i < sizeof stages / sizeof stages[0]; i++) {
        bool cut = i + 1 < sizeof stages / sizeof stages[0] &&
                   stages[i + 1] == STAGE_STOP;

        assert_int_equal(kit->memory->state.stage, stages[i]);
        coordinator_destroy(kit->c);
        kit->now_ms += 700;
        open_coordinator(kit);
        /* The same process is server 0. */
        kit->server[0].peer.incarnation++;
        kit->server[0].status.number = kit->server[0].status.done = 0;
        everyone_speaks(kit);
        assert_int_equal(kit->memory->state.stage, stages[i]);
        if (cut) {
            for (int w = 0; w < 2; w++)
                assert_int_equal(train(kit, &kit->worker[w], 100), 100);
            pass_time(kit, 1500);
        } else {
            all_obey(kit);
        }
    }
    assert_ended(kit, 0, "");
    assert_int_equal(kit->memory->state.restarts, sizeof stages / sizeof stages[0]);
    assert_int_equal(kit->memory->state.records, 1);
    assert_int_equal(kit->memory->state.record[0].examples, EXAMPLES);
    assert_true(kit->memory->state.record[0].loss_sum == 2.0 * EXAMPLES);
    assert_int_equal(kit->finished, 4);
    kit_destroy(kit);
}

/* It dies while it makes or ends a checkpoint, which takes its time: nothing of what it
 * was about to do has happened, and it is all done again. */
static void test_death_while_saving(void **state)
{
    (void)state;
    for (int cut = 0; cut < 2; cut++) {
        struct kit *kit = kit_create(2);

        kit->left = calloc(1, sizeof *kit->left);
        reach(kit, STAGE_TRAIN);
        for (int w = 0; cut && w < 2; w++)
            assert_int_equal(train(kit, &kit->worker[w], 100), 100);
        if (cut)
            coordinator_interrupt(kit->c, kit->now_ms);
        for (int i = 0; i < 2; i++) { /* at the begin of the save, at its end */
            all_obey(kit);
            coordinator_destroy(kit->c);
            *kit->memory = *kit->left;
            open_coordinator(kit);
            everyone_speaks(kit);
            if (cut || i == 0) /* else the next epoch has begun */
                assert_int_equal(kit->memory->state.open.examples,
                                 cut ? 200 : EXAMPLES);
            assert_int_equal(kit->memory->state.records, !cut);
        }
        assert_int_equal(kit->finished, 2); /* the same one, twice */
        assert_int_equal(kit->memory->state.checkpoint, 1);
        assert_int_equal(kit->saved.number, 1);
        assert_int_equal(kit->saved.epoch, !cut);
        assert_int_equal(ranges_count(kit->saved.range, kit->saved.ranges),
                         cut ? EXAMPLES - 200 : 0);
        free(kit->left);
        kit->left = NULL;
        kit_destroy(kit);
    }
}

/* It dies at any byte of writing down what it has decided. */
static void test_death_while_keeping(void **state)
{
    struct kit *kit = kit_create(2);
    struct coordinator_memory *before = malloc(sizeof *before);

    (void)state;
    reach(kit, STAGE_TRAIN);
    *before = *kit->memory;
    all_obey(kit);
    assert_int_equal(kit->memory->state.stage, STAGE_SAVE);
    for (size_t n = 0; n < sizeof kit->memory->state; n += 4096) {
        struct coordinator_memory *torn = malloc(sizeof *torn);
        struct coordinator_memory *mine = kit->memory;

        for (int ready = 0; ready < 2; ready++) {
            *torn = *before;
            memcpy(ready ? &torn->state : &torn->next, &mine->state, n);
            if (ready)
                torn->next = mine->state;
            torn->ready = (uint64_t)ready;
            coordinator_destroy(kit->c);
            kit->memory = torn;
            open_coordinator(kit);
            assert_int_equal(torn->ready, 0);
            assert_memory_equal(&torn->state, ready ? &mine->state : &before->state,
                                sizeof torn->state);
        }
        coordinator_destroy(kit->c);
        kit->memory = mine;
        open_coordinator(kit);
        free(torn);
    }
    free(before);
    kit_destroy(kit);
}

/* Also of an incarnation that is gone, a new coordinator does not want to hear. */
static void test_stale_after_a_restart(void **state)
{
    struct kit *kit = kit_create(1);
    struct fake old = kit->worker[0];
    struct err err;

    (void)state;
    kit->worker[0].peer.incarnation = 3;
    everyone_speaks(kit);
    coordinator_destroy(kit->c);
    open_coordinator(kit);
    assert_int_equal(take(kit, &old, &err), -ERR_PEER);
    assert_int_equal(coordinator_incarnation(kit->c, old.peer), 3);
    everyone_speaks(kit);
    assert_int_equal(kit->memory->state.restarts, 3);
    kit_destroy(kit);
}

/* A new coordinator does not end what it has heard nothing of yet. */
static void test_restarted_coordinator_waits(void **state)
{
    struct kit *kit = kit_create(2);

    (void)state;
    reach(kit, STAGE_TRAIN);
    coordinator_destroy(kit->c);
    kit->now_ms += 3000;
    open_coordinator(kit);
    for (uint32_t m = 1; m < members(kit); m++)
        obey(kit, member_at(kit, m));
    assert_int_equal(kit->memory->state.stage, STAGE_TRAIN);
    kit->server[0].dead = true;
    pass_time(kit, 5200);
    assert_ended(kit, 1, "server 0 (rank 0 on ) has not come within 5 s");
    kit_destroy(kit);
}

/* Members leave when the run has ended, so what they did has to be remembered. */
static void test_death_at_the_end(void **state)
{
    struct kit *kit = kit_create(2);
    struct run_view view;

    (void)state;
    for (uint32_t i = 0; i < members(kit); i++)
        member_at(kit, i)->status.pushes_sent =
            member_at(kit, i)->status.pushes_applied = 7;
    reach(kit, STAGE_END);
    kit->server[1].status.pushes_applied = 9; /* more than it had said before */
    obey(kit, &kit->server[1]);
    coordinator_view(kit->c, kit->now_ms, &view);
    assert_int_equal(view.pushes_applied, 16);
    coordinator_destroy(kit->c);
    open_coordinator(kit);
    obey(kit, &kit->worker[0]); /* the others have gone */
    coordinator_view(kit->c, kit->now_ms, &view);
    assert_int_equal(view.stage, STAGE_END);
    assert_int_equal(view.pushes_sent, 14);
    assert_int_equal(view.pushes_applied, 16);
    assert_int_equal(view.epoch, 2);
    kit_destroy(kit);
}

/* --- data
 * --------------------------------------------------------------------------------------
 */

static void test_workers_with_other_data(void **state)
{
    struct kit *kit = kit_create(3);

    (void)state;
    kit->worker[2].status.data.digest = 1;
    reach(kit, STAGE_LOAD);
    all_obey(kit);
    assert_ended(kit, 2, "worker 2 on host2 and worker 0 on host0 read different data");
    kit_destroy(kit);
}

static void test_resume_with_other_data(void **state)
{
    struct kit *kit = kit_create(1);
    struct manifest manifest;

    (void)state;
    reach(kit, STAGE_EVALUATE); /* saved at the end of epoch 2 */
    resume(kit, &manifest, 1);
    kit->job.train.epochs = 3;
    kit->worker[0].status.data = (struct data_facts){
        .train_examples = 2000, .test_examples = 100, .digest = 0x0e3, .label_mean = 9};
    reach(kit, STAGE_TRAIN);
    assert_int_equal(kit->memory->state.epoch, 3);
    coordinator_order(kit->c, kit->worker[0].peer, &kit->order);
    assert_int_equal(ranges_count(kit->order.range, kit->order.ranges), 2000);
    assert_true(kit->order.data.label_mean == 3.5);
    kit_destroy(kit);

    kit = kit_create(1);
    reach(kit, STAGE_TRAIN);
    coordinator_interrupt(kit->c, kit->now_ms);
    kit->worker[0].status.taken = 10;
    reach(kit, STAGE_SAVE);
    all_obey(kit);
    resume(kit, &manifest, 1);
    kit->worker[0].status.data.digest = 0x0e3;
    reach(kit, STAGE_LOAD);
    all_obey(kit);
    assert_ended(kit, 2, "data.train is not what the checkpoint was made with");
    kit_destroy(kit);
}

/* Nothing is left to train: the metrics are printed again, nothing is saved. */
static void test_resume_when_all_is_done(void **state)
{
    struct kit *kit = kit_create(1);
    struct manifest manifest;

    (void)state;
    reach(kit, STAGE_EVALUATE);
    resume(kit, &manifest, 2);
    reach(kit, STAGE_LOAD);
    all_obey(kit);
    assert_int_equal(kit->memory->state.stage, STAGE_EVALUATE);
    all_obey(kit);
    assert_ended(kit, 0, "");
    assert_int_equal(kit->finished, 2);
    assert_int_equal(kit->memory->state.records, 0);
    kit_destroy(kit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_failing_member),
        cmocka_unit_test(test_failing_disk),
        cmocka_unit_test(test_deadline_of_one_that_never_came),
        cmocka_unit_test(test_deadline_of_one_that_fell_silent),
        cmocka_unit_test(test_absence_of_the_coordinator),
        cmocka_unit_test(test_stale_and_foreign),
        cmocka_unit_test(test_late_status),
        cmocka_unit_test(test_restarted_member_in_every_stage),
        cmocka_unit_test(test_restarted_coordinator),
        cmocka_unit_test(test_restarted_coordinator_waits),
        cmocka_unit_test(test_death_at_the_end),
        cmocka_unit_test(test_death_while_saving),
        cmocka_unit_test(test_death_while_keeping),
        cmocka_unit_test(test_stale_after_a_restart),
        cmocka_unit_test(test_workers_with_other_data),
        cmocka_unit_test(test_resume_with_other_data),
        cmocka_unit_test(test_resume_when_all_is_done),
    };

    return cmocka_run_group_tests_name("coordinator_faults", tests, NULL, NULL);
}

/* The coordinator, led by hand-made statuses through everything that can happen. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/rng.h"
#include "server/coordinator.h"

enum { SERVERS = 2, WORKERS_MOST = 5, EXAMPLES = 1000 };

/* A member as it would behave; the test lets it act. */
struct fake {
    struct peer peer;
    struct status status;
    bool dead;
};

struct kit {
    struct job job;
    struct roster roster;
    struct coordinator_plan plan;
    struct coordinator_host host;
    struct coordinator_memory *memory;
    struct coordinator_memory *left; /* what a process that dies now leaves */
    struct coordinator *c;
    struct fake server[SERVERS], worker[WORKERS_MOST];
    struct order order;
    int64_t now_ms;
    /* What the host was asked to do. */
    uint32_t begun, finished, epochs_done;
    struct manifest saved; /* settings are not kept */
    struct epoch_record last_epoch;
    bool fail_begin, fail_finish;
    int64_t slow_ms; /* that saving takes the host */
    uint32_t begin_calls;
};

/* --- the surroundings
 * ------------------------------------------------------------------ */

static int begin_save(void *context, uint64_t number, char *path, size_t size,
                      struct err *err)
{
    struct kit *kit = context;

    kit->begin_calls++;
    if (kit->left)
        *kit->left = *kit->memory;
    kit->now_ms += kit->slow_ms;
    if (kit->fail_begin)
        return err_set(err, ERR_SYSTEM, "no room for checkpoint %llu",
                       (unsigned long long)number);
    kit->begun++;
    snprintf(path, size, "dir/checkpoint-%llu", (unsigned long long)number);
    return 0;
}

static int finish_save(void *context, const char *path, const struct manifest *manifest,
                       struct err *err)
{
    struct kit *kit = context;

    if (kit->left)
        *kit->left = *kit->memory;
    if (kit->fail_finish)
        return err_set(err, ERR_SYSTEM, "cannot write %s/manifest", path);
    kit->finished++;
    kit->saved = *manifest;
    kit->saved.settings = NULL;
    return 0;
}

static void epoch_done(void *context, const struct epoch_record *record)
{
    struct kit *kit = context;

    kit->epochs_done++;
    kit->last_epoch = *record;
}

static int64_t now_ms(void *context)
{
    return ((struct kit *)context)->now_ms;
}

/* --- members
 * ------------------------------------------------------------------------------ */

static void member_init(struct fake *member, uint32_t role, uint32_t index)
{
    *member = (struct fake){.peer = {role, index, 0}};
    snprintf(member->status.host, sizeof member->status.host, "host%u", index);
    if (role == ROLE_WORKER)
        member->status.data = (struct data_facts){EXAMPLES, 100, 0xda7a, 3.5};
}

static void members_init(struct kit *kit)
{
    for (uint32_t i = 0; i < SERVERS; i++)
        member_init(&kit->server[i], ROLE_SERVER, i);
    for (uint32_t i = 0; i < WORKERS_MOST; i++)
        member_init(&kit->worker[i], ROLE_WORKER, i);
}

static struct fake *member_at(struct kit *kit, uint32_t i)
{
    return i < SERVERS ? &kit->server[i] : &kit->worker[i - SERVERS];
}

static uint32_t members(const struct kit *kit)
{
    return SERVERS + kit->roster.workers;
}

static int take(struct kit *kit, struct fake *member, struct err *err)
{
    member->status.number++;
    return coordinator_take(kit->c, member->peer, &member->status, kit->now_ms, err);
}

static void say(struct kit *kit, struct fake *member)
{
    struct err err;

    if (!member->dead && take(kit, member, &err))
        fail_msg("%s", err.text);
}

static void everyone_speaks(struct kit *kit)
{
    for (uint32_t i = 0; i < members(kit); i++)
        say(kit, member_at(kit, i));
}

/* A member carries out its order in full: a worker trains all of its share. */
static void obey(struct kit *kit, struct fake *member)
{
    struct status *s = &member->status;

    coordinator_order(kit->c, member->peer, &kit->order);
    s->done = kit->order.number;
    s->phase = PHASE_IDLE;
    if (member->peer.role == ROLE_SERVER && kit->order.kind == ORDER_SAVE) {
        s->shard_bytes = 100;
        s->shard_rows = 10;
    }
    if (member->peer.role == ROLE_WORKER && kit->order.kind == ORDER_TRAIN) {
        s->taken = s->examples = ranges_count(kit->order.range, kit->order.ranges);
        s->loss_sum = (double)s->examples * 2;
        s->epoch = kit->order.epoch;
        s->clock = kit->order.clock + (s->taken + 9) / 10;
    }
    if (member->peer.role == ROLE_WORKER && kit->order.kind == ORDER_EVALUATE)
        s->metric[0] = 50;
    say(kit, member);
}

/* Everyone carries out the order in force. */
static void all_obey(struct kit *kit)
{
    uint64_t number = coordinator_number(kit->c);

    for (uint32_t i = 0; i < members(kit) && coordinator_number(kit->c) == number; i++)
        obey(kit, member_at(kit, i));
}

static void open_coordinator(struct kit *kit)
{
    struct err err;

    if (coordinator_create(&kit->plan, &kit->host, kit->memory, kit->now_ms, &kit->c,
                           &err))
        fail_msg("%s", err.text);
}

static struct kit *kit_create(uint32_t workers)
{
    struct kit *kit = calloc(1, sizeof *kit);

    job_init(&kit->job);
    snprintf(kit->job.name, sizeof kit->job.name, "test");
    kit->job.tables = 1;
    snprintf(kit->job.table[0].name, sizeof kit->job.table[0].name, "t");
    kit->job.table[0].dim = 2;
    kit->job.train.epochs = 2;
    kit->job.cluster.timeout = 5;
    snprintf(kit->job.checkpoint.dir, sizeof kit->job.checkpoint.dir, "dir");
    kit->roster.servers = SERVERS;
    kit->roster.workers = workers;
    for (uint32_t i = 0; i < WORKERS_MOST; i++) {
        kit->roster.worker[i].rank = SERVERS + i;
        snprintf(kit->roster.worker[i].host, 64, "host%u", i);
    }
    for (uint32_t i = 0; i < SERVERS; i++)
        kit->roster.server[i].rank = i;
    kit->plan = (struct coordinator_plan){.job = &kit->job, .roster = &kit->roster};
    kit->host = (struct coordinator_host){begin_save, finish_save, epoch_done, now_ms,
                                          kit};
    kit->memory = calloc(1, sizeof *kit->memory);
    kit->now_ms = 1000;
    members_init(kit);
    open_coordinator(kit);
    return kit;
}

static void kit_destroy(struct kit *kit)
{
    coordinator_destroy(kit->c);
    free(kit->memory);
    free(kit);
}

/* A fresh cluster over what was saved last, with other workers. */
static void resume(struct kit *kit, struct manifest *manifest, uint32_t workers)
{
    *manifest = kit->saved;
    coordinator_destroy(kit->c);
    memset(kit->memory, 0, sizeof *kit->memory);
    kit->roster.workers = workers;
    kit->plan.restored = manifest;
    kit->plan.checkpoint_last = manifest->number;
    snprintf(kit->plan.restore, sizeof kit->plan.restore, "dir/checkpoint-%llu",
             (unsigned long long)manifest->number);
    members_init(kit);
    open_coordinator(kit);
}

/* Time passes in steps, everyone alive speaks. */
static void pass_time(struct kit *kit, int64_t ms)
{
    for (int64_t until = kit->now_ms + ms; kit->now_ms < until;) {
        kit->now_ms += 100;
        everyone_speaks(kit);
        coordinator_tick(kit->c, kit->now_ms);
    }
}

static void reach(struct kit *kit, enum stage stage)
{
    for (int i = 0; i < 20 && kit->memory->state.stage != stage; i++) {
        assert_true(kit->memory->state.stage != STAGE_END);
        all_obey(kit);
    }
    assert_int_equal(kit->memory->state.stage, stage);
}

static void assert_ended(const struct kit *kit, int exit_status, const char *text)
{
    assert_int_equal(kit->memory->state.stage, STAGE_END);
    assert_int_equal(kit->memory->state.exit_status, exit_status);
    if (!strstr(kit->memory->state.text, text))
        fail_msg("'%s' does not say '%s'", kit->memory->state.text, text);
}

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
    uint64_t count = 0;

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
    assert_int_equal(kit->order.ranges, 3); /* how much each worker has */
    assert_int_equal(ranges_count(kit->order.range, 3), EXAMPLES);
    for (uint32_t w = 0; w < 3; w++) {
        coordinator_order(kit->c, kit->worker[w].peer, &kit->order);
        assert_int_equal(kit->order.epoch, 1);
        assert_int_equal(kit->order.clock, 0);
        assert_int_equal(kit->order.data.digest, 0xda7a);
        assert_true(kit->order.data.label_mean == 3.5);
        count += ranges_count(kit->order.range, kit->order.ranges);
    }
    assert_int_equal(count, EXAMPLES);
    reach(kit, STAGE_SAVE);
    coordinator_order(kit->c, kit->server[1].peer, &kit->order);
    assert_int_equal(kit->order.kind, ORDER_SAVE);
    assert_string_equal(kit->order.path, "dir/checkpoint-1");
    all_obey(kit);
    coordinator_order(kit->c, kit->worker[1].peer, &kit->order);
    assert_int_equal(kit->order.epoch, 2);
    assert_int_equal(kit->order.clock, 34); /* 334 examples in batches of 10 */
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
    manifest = (struct manifest){.number = 7, .epoch = 3, .data = {500, 5, 0x01d, 2.5}};
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

/* Worker 0 has trained 100 of its 500, worker 1 nothing yet. */
static void test_interrupt_in_training(void **state)
{
    struct kit *kit = kit_create(2);

    (void)state;
    reach(kit, STAGE_TRAIN);
    coordinator_interrupt(kit->c, kit->now_ms);
    assert_int_equal(kit->memory->state.stage, STAGE_STOP);
    /* It says all that a server needs who has not seen the order to train. */
    coordinator_order(kit->c, kit->server[0].peer, &kit->order);
    assert_int_equal(kit->order.kind, ORDER_STOP);
    assert_int_equal(ranges_count(kit->order.range, kit->order.ranges), EXAMPLES);
    assert_int_equal(kit->order.train + 1, kit->order.number);
    kit->worker[0].status.taken = kit->worker[0].status.examples = 100;
    kit->worker[0].status.loss_sum = 30;
    kit->worker[0].status.clock = 10;
    all_obey(kit);
    assert_int_equal(kit->memory->state.stage, STAGE_SAVE);
    coordinator_interrupt(kit->c, kit->now_ms); /* the same keystroke, again */
    all_obey(kit);
    assert_ended(kit, 130, "");
    assert_int_equal(kit->finished, 1);
    assert_int_equal(kit->saved.epoch, 0);
    assert_int_equal(kit->saved.ranges, 2);
    assert_int_equal(kit->saved.range[0].first, 100);
    assert_int_equal(kit->saved.range[0].end, 500);
    assert_int_equal(kit->saved.range[1].first, 500);
    assert_int_equal(kit->saved.range[1].end, 1000);
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
    coordinator_interrupt(kit->c, kit->now_ms);
    for (int w = 0; w < 2; w++)
        kit->worker[w].status.taken = kit->worker[w].status.examples = 500;
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
    kit->memory->state.ranges = MANIFEST_RANGES_MAX - 2;
    for (uint64_t i = 0; i < MANIFEST_RANGES_MAX - 2; i++)
        kit->memory->state.range[i] = (struct range){i * 3, i * 3 + 2};
    coordinator_destroy(kit->c);
    open_coordinator(kit);
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
            for (int w = 0; w < 2; w++) {
                kit->worker[w].status.taken = kit->worker[w].status.examples = 100;
                kit->worker[w].status.loss_sum = 200;
            }
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
        if (cut)
            coordinator_interrupt(kit->c, kit->now_ms);
        for (int w = 0; cut && w < 2; w++)
            kit->worker[w].status.taken = kit->worker[w].status.examples = 100;
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
    kit->worker[0].status.data = (struct data_facts){2000, 100, 0x0e3, 9};
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
    pass_time(kit, 2900);
    assert_int_equal(kit->memory->state.stage, STAGE_TRAIN);
    pass_time(kit, 200);
    assert_int_equal(kit->memory->state.stage, STAGE_STOP);
    kit->worker[0].status.taken = 500;
    kit->worker[1].status.taken = 20;
    reach(kit, STAGE_SAVE);
    all_obey(kit);
    assert_int_equal(kit->memory->state.stage, STAGE_TRAIN);
    assert_int_equal(kit->memory->state.epoch, 1);
    assert_int_equal(kit->memory->state.ranges, 1);
    assert_int_equal(kit->memory->state.range[0].first, 520);
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

/* Each worker takes some of its share from its start, as its order says. */
static void train_some(struct kit *kit, struct property *p, bool all)
{
    for (uint32_t w = 0; w < kit->roster.workers; w++) {
        struct status *s = &kit->worker[w].status;
        uint64_t count, take, left;

        coordinator_order(kit->c, kit->worker[w].peer, &kit->order);
        count = ranges_count(kit->order.range, kit->order.ranges);
        take = all || draw(p, 4) == 0 ? count : draw(p, count + 1);
        left = take;
        for (uint32_t r = 0; r < kit->order.ranges; r++)
            for (uint64_t i = kit->order.range[r].first; i < kit->order.range[r].end;
                 i++)
                if (left) {
                    assert_int_equal(p->seen[i]++, 0);
                    left--;
                }
        s->taken = s->examples = take;
        s->phase = PHASE_TRAINING;
        s->epoch = kit->order.epoch;
        if (take == count) {
            s->phase = PHASE_IDLE;
            s->done = kit->order.number;
        }
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
    for (uint32_t i = 0; i < members(kit); i++)
        member_at(kit, i)->status.done = kit->order.number;
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
    kit->worker[1].status.phase = PHASE_TRAINING;
    kit->worker[1].status.epoch = 1;
    kit->worker[1].status.examples = 100;
    kit->worker[1].status.loss_sum = 800;
    say(kit, &kit->worker[1]);
    coordinator_view(kit->c, kit->now_ms + 2000, &view);
    assert_int_equal(view.examples, 600);
    assert_int_equal(view.examples_total, EXAMPLES);
    assert_true(view.loss == 3);
    assert_true(view.rate == 300);
    assert_true(view.seconds_left > 4.6 && view.seconds_left < 4.7);
    reach(kit, STAGE_SAVE);
    all_obey(kit);
    assert_int_equal(kit->memory->state.stage,
                     STAGE_TRAIN); /* epoch 2, statuses of epoch 1 */
    coordinator_view(kit->c, kit->now_ms, &view);
    assert_int_equal(view.examples, 0);
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
    coordinator_interrupt(kit->c, kit->now_ms);
    for (uint32_t w = 0; w < 2; w++) {
        kit->worker[w].status.taken = kit->worker[w].status.examples = 10 + w * 10;
        kit->worker[w].status.clock = 5 + w;
    }
    all_obey(kit);
    assert_int_equal(s->stage, STAGE_STOP);
    coordinator_order(kit->c, kit->worker[0].peer, &kit->order);
    assert_int_equal(kit->order.kind, ORDER_STOP);
    assert_int_equal(kit->order.limit, 6);
    assert_int_equal(kit->order.train + 2, kit->order.number);
    kit->worker[0].status.taken = kit->worker[0].status.examples = 20;
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
        cmocka_unit_test(test_death_while_saving),
        cmocka_unit_test(test_death_while_keeping),
        cmocka_unit_test(test_stale_after_a_restart),
        cmocka_unit_test(test_workers_with_other_data),
        cmocka_unit_test(test_resume_with_other_data),
        cmocka_unit_test(test_resume_when_all_is_done),
        cmocka_unit_test(test_timed_checkpoints),
        cmocka_unit_test(test_every_position_once),
        cmocka_unit_test(test_view),
        cmocka_unit_test(test_bsp_stops_at_one_clock),
        cmocka_unit_test(test_stop_has_a_deadline),
        cmocka_unit_test(test_stop_waits_for_data),
    };

    return cmocka_run_group_tests_name("coordinator", tests, NULL, NULL);
}

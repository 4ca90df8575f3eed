/* A coordinator, members that obey it, and a clock, for tests. */
#ifndef ROWHOUSE_TESTS_UNIT_COORDINATOR_KIT_H
#define ROWHOUSE_TESTS_UNIT_COORDINATOR_KIT_H

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

static inline int begin_save(void *context, uint64_t number, char *path, size_t size,
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

static inline int finish_save(void *context, const char *path,
                              const struct manifest *manifest, struct err *err)
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

static inline void epoch_done(void *context, const struct epoch_record *record)
{
    struct kit *kit = context;

    kit->epochs_done++;
    kit->last_epoch = *record;
}

static inline int find_saved(void *context, uint64_t number, char *path, size_t size,
                             struct err *err)
{
    (void)context, (void)err;
    snprintf(path, size, "dir/checkpoint-%llu", (unsigned long long)number);
    return 0;
}

static inline int64_t now_ms(void *context)
{
    return ((struct kit *)context)->now_ms;
}

/* --- members
 * ------------------------------------------------------------------------------ */

static inline void member_init(struct fake *member, uint32_t role, uint32_t index)
{
    *member = (struct fake){.peer = {role, index, 0}};
    snprintf(member->status.host, sizeof member->status.host, "host%u", index);
    if (role == ROLE_WORKER)
        member->status.data = (struct data_facts){.train_examples = EXAMPLES,
                                                  .test_examples = 100,
                                                  .digest = 0xda7a,
                                                  .label_mean = 3.5};
}

static inline void members_init(struct kit *kit)
{
    for (uint32_t i = 0; i < SERVERS; i++)
        member_init(&kit->server[i], ROLE_SERVER, i);
    for (uint32_t i = 0; i < WORKERS_MOST; i++)
        member_init(&kit->worker[i], ROLE_WORKER, i);
}

static inline struct fake *member_at(struct kit *kit, uint32_t i)
{
    return i < SERVERS ? &kit->server[i] : &kit->worker[i - SERVERS];
}

static inline uint32_t members(const struct kit *kit)
{
    return SERVERS + kit->roster.workers;
}

static inline int take(struct kit *kit, struct fake *member, struct err *err)
{
    member->status.number++;
    return coordinator_take(kit->c, member->peer, &member->status, kit->now_ms, err);
}

static inline void say(struct kit *kit, struct fake *member)
{
    struct err err;

    if (!member->dead && take(kit, member, &err))
        fail_msg("%s", err.text);
}

static inline void everyone_speaks(struct kit *kit)
{
    for (uint32_t i = 0; i < members(kit); i++)
        say(kit, member_at(kit, i));
}

/* A worker begins an order to train, if it has not yet. */
static inline void begin_training(struct fake *member, const struct order *order)
{
    struct status *s = &member->status;

    if (s->train == order->train)
        return;
    s->train = order->train;
    s->lease = s->position = s->taken = s->examples = 0;
    s->loss_sum = 0;
    s->epoch = order->epoch;
    s->clock = order->clock;
    s->phase = PHASE_TRAINING;
}

/* A worker trains at most so many positions of the leases in its last order, one after
 * the other; `seen` (NULL: nobody asks) is told of each. Returns how many. */
static inline uint64_t train_leases(struct kit *kit, struct fake *member, uint64_t most,
                                    void (*seen)(void *, uint64_t), void *context)
{
    struct status *s = &member->status;
    uint64_t before;

    begin_training(member, &kit->order);
    before = s->taken;
    for (uint32_t i = 0; i < kit->order.ranges && most; i++) {
        uint64_t number = (kit->order.lease ? kit->order.lease : 1) + i;
        struct range lease = kit->order.range[i];

        if (number < s->lease)
            continue;
        if (number == s->lease && s->position > lease.first)
            lease.first = s->position;
        if (lease.end - lease.first > most)
            lease.end = lease.first + most;
        for (uint64_t p = lease.first; p < lease.end && seen; p++)
            seen(context, p);
        s->lease = number;
        s->position = lease.end;
        s->taken += lease.end - lease.first;
        most -= lease.end - lease.first;
    }
    s->examples = s->taken;
    s->loss_sum = (double)s->taken * 2;
    s->clock = kit->order.clock + (s->taken + 9) / 10;
    return s->taken - before;
}

/* Trains n of what it gets, saying where it stands and asking for more; n is what there
 * was if it was less. */
static inline uint64_t train(struct kit *kit, struct fake *member, uint64_t most)
{
    uint64_t sum = 0, n;

    do {
        coordinator_order(kit->c, member->peer, &kit->order);
        n = train_leases(kit, member, most - sum, NULL, NULL);
        sum += n;
        say(kit, member);
    } while (n);
    return sum;
}

/* A member carries out its order in full: a worker trains all that it can get. */
static inline void obey(struct kit *kit, struct fake *member)
{
    struct status *s = &member->status;

    coordinator_order(kit->c, member->peer, &kit->order);
    if (member->peer.role == ROLE_WORKER && kit->order.kind == ORDER_TRAIN)
        train(kit, member, UINT64_MAX);
    if (member->peer.role == ROLE_WORKER && kit->order.kind == ORDER_STOP)
        begin_training(member, &kit->order);
    s->done = kit->order.number;
    s->phase = PHASE_IDLE;
    if (member->peer.role == ROLE_SERVER && kit->order.kind == ORDER_SAVE) {
        s->shard_bytes = 100;
        s->shard_rows = 10;
    }
    if (member->peer.role == ROLE_WORKER && kit->order.kind == ORDER_EVALUATE)
        s->metric[0] = 50;
    say(kit, member);
}

/* Everyone carries out the order in force. */
static inline void all_obey(struct kit *kit)
{
    uint64_t number = coordinator_number(kit->c);

    for (uint32_t i = 0; i < members(kit) && coordinator_number(kit->c) == number; i++)
        obey(kit, member_at(kit, i));
}

static inline void open_coordinator(struct kit *kit)
{
    struct err err;

    if (coordinator_create(&kit->plan, &kit->host, kit->memory, kit->now_ms, &kit->c,
                           &err))
        fail_msg("%s", err.text);
}

static inline struct kit *kit_create(uint32_t workers)
{
    struct kit *kit = calloc(1, sizeof *kit);

    job_init(&kit->job);
    snprintf(kit->job.name, sizeof kit->job.name, "test");
    kit->job.tables = 1;
    snprintf(kit->job.table[0].name, sizeof kit->job.table[0].name, "t");
    kit->job.table[0].dim = 2;
    kit->job.train.epochs = 2;
    kit->job.train.batch = 10;
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
    kit->host = (struct coordinator_host){begin_save, finish_save, epoch_done,
                                          find_saved, now_ms,      kit};
    kit->memory = calloc(1, sizeof *kit->memory);
    kit->now_ms = 1000;
    members_init(kit);
    open_coordinator(kit);
    return kit;
}

static inline void kit_destroy(struct kit *kit)
{
    coordinator_destroy(kit->c);
    free(kit->memory);
    free(kit);
}

/* A fresh cluster over what was saved last, with other workers. */
static inline void resume(struct kit *kit, struct manifest *manifest, uint32_t workers)
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

/* Its process dies; another goes on with what that has left. */
static inline void restart_worker(struct kit *kit, struct fake *worker)
{
    struct status left = worker->status, *s = &worker->status;

    worker->peer.incarnation++;
    s->number = s->done = s->train = s->lease = s->position = s->taken = 0;
    s->examples = 0;
    s->phase = PHASE_START;
    say(kit, worker);
    left.number = s->number;
    left.done = 0;
    *s = left;
}

static inline void restart_coordinator(struct kit *kit)
{
    coordinator_destroy(kit->c);
    open_coordinator(kit);
}

/* Time passes in steps, everyone alive speaks. */
static inline void pass_time(struct kit *kit, int64_t ms)
{
    for (int64_t until = kit->now_ms + ms; kit->now_ms < until;) {
        kit->now_ms += 100;
        everyone_speaks(kit);
        coordinator_tick(kit->c, kit->now_ms);
    }
}

static inline void reach(struct kit *kit, enum stage stage)
{
    for (int i = 0; i < 20 && kit->memory->state.stage != stage; i++) {
        assert_true(kit->memory->state.stage != STAGE_END);
        all_obey(kit);
    }
    assert_int_equal(kit->memory->state.stage, stage);
}

static inline void assert_ended(const struct kit *kit, int exit_status,
                                const char *text)
{
    assert_int_equal(kit->memory->state.stage, STAGE_END);
    assert_int_equal(kit->memory->state.exit_status, exit_status);
    if (!strstr(kit->memory->state.text, text))
        fail_msg("'%s' does not say '%s'", kit->memory->state.text, text);
}

#endif

/* A server's core and the messages that it gets, for tests. */
#ifndef ROWHOUSE_TESTS_UNIT_CORE_KIT_H
#define ROWHOUSE_TESTS_UNIT_CORE_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#include "server/core.h"

enum { KIT_REGION_BYTES = 64 << 20, KIT_BODY_BYTES = 1 << 20 };

struct core_kit {
    struct job job;
    struct region region;
    struct buffer_pool *pool;
    struct core *core;
    uint32_t index, servers, workers;
    struct message in, out;
    struct buffer *body;
    _Alignas(64) unsigned char bytes[KIT_BODY_BYTES]; /* of the message that comes in */
};

/* Tables "user" (2 floats and a bias) and "side" (4 floats); a push of -g adds g. */
static inline void kit_job_init(struct job *job)
{
    job_init(job);
    job->tables = 2;
    snprintf(job->table[0].name, sizeof job->table[0].name, "user");
    snprintf(job->table[1].name, sizeof job->table[1].name, "side");
    job->table[0].dim = 2;
    job->table[1].dim = 4;
    job->table[0].init = job->table[1].init = INIT_ZERO;
    job->optimizer.kind = OPTIMIZER_SGD;
    job->optimizer.rate = 1;
    job->optimizer.l2 = 0;
    job->cluster.memory_max = KIT_REGION_BYTES / 2;
}

static inline void kit_core_open(struct core_kit *kit)
{
    struct err err;

    if (core_create(&kit->job, kit->index, kit->servers, kit->workers, &kit->region,
                    kit->pool, &kit->core, &err))
        fail_msg("%s", err.text);
}

static inline struct core_kit *core_kit_alloc(void)
{
    struct core_kit *kit = aligned_alloc(_Alignof(struct core_kit), sizeof *kit);

    assert_non_null(kit);
    memset(kit, 0, sizeof *kit);
    return kit;
}

/* Server 0 of `servers`, for a job made from that of kit_job_init(). */
static inline struct core_kit *core_kit_create_for(const struct job *job,
                                                   uint32_t servers, uint32_t workers)
{
    struct core_kit *kit = core_kit_alloc();

    kit->job = *job;
    kit->servers = servers;
    kit->workers = workers;
    kit->pool = buffer_pool_create(64 << 20);
    kit->region = (struct region){.size = KIT_REGION_BYTES,
                                  .bytes_max = (uint64_t)kit->job.cluster.memory_max,
                                  .fd = -1};
    kit->region.base = mmap(NULL, KIT_REGION_BYTES, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(kit->region.base != MAP_FAILED);
    kit_core_open(kit);
    return kit;
}

static inline struct core_kit *core_kit_create(uint32_t servers, uint32_t workers)
{
    static struct job job;

    kit_job_init(&job);
    return core_kit_create_for(&job, servers, workers);
}

static inline void core_kit_destroy(struct core_kit *kit)
{
    buffer_unref(kit->body);
    core_destroy(kit->core);
    buffer_pool_destroy(kit->pool);
    munmap(kit->region.base, KIT_REGION_BYTES);
    free(kit);
}

/* With other settings, from the beginning. */
static inline void core_kit_renew(struct core_kit *kit)
{
    core_destroy(kit->core);
    munmap(kit->region.base, KIT_REGION_BYTES);
    kit->region.base = mmap(NULL, KIT_REGION_BYTES, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_true(kit->region.base != MAP_FAILED);
    kit_core_open(kit);
}

/* The process dies; another goes on over its region. */
static inline void core_kit_restart(struct core_kit *kit)
{
    core_destroy(kit->core);
    kit_core_open(kit);
}

/* Takes the core's next answer into kit->out and kit->body; 0, or -1 when there is
 * none. */
static inline int kit_next(struct core_kit *kit)
{
    struct peer to;

    buffer_unref(kit->body);
    kit->body = NULL;
    return core_next(kit->core, &to, &kit->out, &kit->body) ? 0 : -1;
}

/* Gives kit->in to the core and takes its answer. */
static inline int kit_handle(struct core_kit *kit)
{
    struct err err;

    buffer_unref(kit->body);
    kit->body = NULL;
    kit->in.body = kit->bytes;
    return core_handle(kit->core, &kit->in, &err) ? -err.code : kit_next(kit);
}

static inline void kit_from_worker(struct core_kit *kit, uint32_t worker,
                                   enum message_kind kind)
{
    kit->in.role = ROLE_WORKER;
    kit->in.sender = worker;
    kit->in.incarnation = 0;
    kit->in.kind = kind;
    kit->in.sections = 0;
    kit->in.body_bytes = 0;
}

static inline void kit_pull(struct core_kit *kit, uint32_t worker, uint64_t clock,
                            uint32_t table, const uint64_t *key, uint32_t n)
{
    kit_from_worker(kit, worker, MESSAGE_PULL);
    kit->in.pull = (struct pull){.request = 77, .clock = clock};
    kit->in.sections = 1;
    kit->in.section[0] = (struct section){.table = table, .rows = n};
    memcpy(kit->bytes, key, n * sizeof *key);
    kit->in.body_bytes = n * sizeof *key;
}

/* Every gradient is -value, every weight 1. */
static inline void kit_push(struct core_kit *kit, uint32_t worker, struct push push,
                            uint32_t table, const uint64_t *key, uint32_t n,
                            float value)
{
    struct section_layout at;
    uint32_t width = table == 0 ? 3 : 4;

    kit_from_worker(kit, worker, MESSAGE_PUSH);
    kit->in.push = push;
    kit->in.sections = 1;
    kit->in.section[0] = (struct section){.table = table, .rows = n, .width = width};
    kit->in.body_bytes = message_layout(MESSAGE_PUSH, kit->in.section, 1, &at);
    assert_true(kit->in.body_bytes <= KIT_BODY_BYTES);
    memcpy(kit->bytes + at.keys, key, n * sizeof *key);
    for (uint32_t i = 0; i < n; i++)
        ((float *)(kit->bytes + at.weights))[i] = 1;
    for (uint32_t i = 0; i < n * width; i++)
        ((float *)(kit->bytes + at.values))[i] = -value;
}

/* An order to train so many examples, shared evenly. */
static inline void kit_begin(struct core_kit *kit, uint64_t order, uint64_t clock,
                             uint64_t examples)
{
    struct range share[8] = {{0, 0}};
    struct err err;

    for (uint32_t w = 0; w < kit->workers; w++)
        share[w] = (struct range){examples * w / kit->workers,
                                  examples * (w + 1) / kit->workers};
    assert_int_equal(core_begin_training(kit->core, order, clock, share, &err), 0);
}

/* A worker says how far it is, and is told where it stands. */
static inline void kit_say(struct core_kit *kit, uint32_t worker, struct reach reach)
{
    kit_from_worker(kit, worker, MESSAGE_CLOCK);
    kit->in.reach = reach;
    assert_int_equal(kit_handle(kit), 0);
    assert_int_equal(kit->out.kind, MESSAGE_ACK);
}

/* A pull of key 1 of table 0, as kit_handle(). */
static inline int kit_gated_pull(struct core_kit *kit, uint32_t worker, uint64_t clock,
                                 struct reach reach)
{
    uint64_t key = 1;

    kit_pull(kit, worker, clock, 0, &key, 1);
    kit->in.pull.reach = reach;
    return kit_handle(kit);
}

/* A key of the table that server 0 owns (or not), the i-th of them. */
static inline uint64_t kit_key(const struct core_kit *kit, uint32_t table, bool owned,
                               uint32_t i)
{
    for (uint64_t key = 1;; key++)
        if (core_owns(kit->core, table, key) == owned && i-- == 0)
            return key;
}

#endif

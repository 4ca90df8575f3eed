/* What pushes were computed from: by how much a push is late, and the rows that its
 * worker was given.
 *
 * A push is late by the pushes, its worker's own included, that this server has applied
 * since it answered the worker's pull of the same clock (Zhang et al. 2016 count
 * updates of the weights in the same way). If the pull was answered several times, in
 * parts or because the worker asked again, the last answer counts: a worker that lost
 * one has the rows of the next, and where it took an earlier one, the push passes for
 * less late than it is and is treated more like any other. Nothing of this is the
 * worker's word. The clocks and counts of the last ANSWERED_MAX pulls of each worker
 * are in the region, so that a restarted server knows them; a push of any other clock
 * passes for punctual.
 *
 * For compensation the body of the answer is kept, not copied, until the push of its
 * clock is applied. A part of a push has the same keys in the same order, so the rows
 * that were pulled are there in place; that the keys are the same is checked by their
 * hash, since they are the worker's word. Read-only pulls are not kept. What is kept
 * takes at most a KEPT_SHARE-th of the pool, shared among the servers that may be
 * threads around it, so that it never is what pulls have to wait for. A part whose rows
 * were not kept, for want of room or because a killed server had them, is applied as it
 * is, and counted. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include <xxh_x86dispatch.h>

#include "common/rng.h"
#include "server/core_state.h"

enum {
    KEPT_SHARE = 4,
    REPLIES_MAX = 1024, /* of one worker */
};

/* Fresh, or what a killed process knew. */
static int open_answered(struct core *core, struct err *err)
{
    uint64_t bytes = (uint64_t)core->workers * ANSWERED_MAX * sizeof(struct answered);
    uint64_t at = region_root(core->region, ROOT_ANSWERED);

    if (!at) {
        at = region_alloc(core->region, bytes);
        if (!at)
            return err_set(err, ERR_MEMORY,
                           "cluster.memory_max is too small for a server with "
                           "optimizer.stale_rate inverse");
        region_set_root(core->region, ROOT_ANSWERED, at);
    }
    core->answered = region_at(core->region, at);
    return 0;
}

static int open_replies(struct core *core, struct err *err)
{
    uint32_t most = 0;

    for (int t = 0; t < core->job->tables; t++)
        if (core->table[t].spec.width > most)
            most = core->table[t].spec.width;
    assert(core->workers > 0 && most > 0);
    core->kept_max = buffer_pool_bound(core->pool) / KEPT_SHARE / core->servers;
    core->replies = calloc(core->workers, sizeof *core->replies);
    core->compensated = malloc((size_t)GROUP_ROWS * most * sizeof(float));
    if (!core->replies || !core->compensated)
        return err_set(err, ERR_MEMORY,
                       "no memory to compensate the pushes of %u "
                       "workers",
                       core->workers);
    return 0;
}

int stale_open(struct core *core, struct err *err)
{
    bool slows = false, compensates = false;
    int rc = 0;

    for (uint32_t w = 0; w < core->workers; w++)
        core->pushes += session_standing(&core->sessions->session[w])->pushes_applied;
    for (int t = 0; t < core->job->tables; t++) {
        slows |= core->optimizer[t].slows;
        compensates |= core->optimizer[t].compensate > 0;
    }
    if (slows)
        rc = open_answered(core, err);
    if (rc == 0 && compensates)
        rc = open_replies(core, err);
    return rc;
}

static void drop(struct core *core, struct replies *replies, uint32_t i)
{
    core->kept_bytes -= replies->reply[i].body->capacity;
    buffer_unref(replies->reply[i].body);
    replies->reply[i] = replies->reply[--replies->count];
}

void stale_forget_applied(struct core *core, uint32_t worker, uint64_t clock)
{
    struct replies *replies = core->replies ? &core->replies[worker] : NULL;

    for (uint32_t i = replies ? replies->count : 0; i-- > 0;)
        if (replies->reply[i].clock <= clock)
            drop(core, replies, i);
}

void stale_forget_before(struct core *core, uint64_t order)
{
    for (uint32_t w = 0; core->replies && w < core->workers; w++)
        for (uint32_t i = core->replies[w].count; i-- > 0;)
            if (core->replies[w].reply[i].order < order)
                drop(core, &core->replies[w], i);
}

void stale_release(struct core *core)
{
    for (uint32_t w = 0; core->replies && w < core->workers; w++)
        stale_forget_applied(core, w, UINT64_MAX);
    for (uint32_t w = 0; core->replies && w < core->workers; w++)
        free(core->replies[w].reply);
    free(core->replies);
    free(core->compensated);
}

/* Of tables and keys, in their order. */
static uint64_t hash_keys(enum message_kind kind, const struct section *section,
                          uint32_t sections, const unsigned char *body)
{
    struct section_layout at[MESSAGE_SECTIONS_MAX];
    uint64_t hash = sections;

    message_layout(kind, section, sections, at);
    for (uint32_t i = 0; i < sections; i++)
        hash = XXH3_64bits_withSeed(body + at[i].keys,
                                    section[i].rows * sizeof(uint64_t),
                                    mix64(hash + section[i].table));
    return hash;
}

static struct reply *find(const struct core *core, uint32_t worker, uint64_t clock,
                          uint64_t keys)
{
    const struct replies *replies = &core->replies[worker];

#ifdef MUTANT_KEPT_KEYS
    for (uint32_t i = 0; i < replies->count; i++)
        if (replies->reply[i].clock == clock)
            return &replies->reply[i];
#endif
    for (uint32_t i = 0; i < replies->count; i++)
        if (replies->reply[i].clock == clock && replies->reply[i].keys == keys)
            return &replies->reply[i];
    return NULL;
}

/* A place for one more reply, or NULL: nobody has to have one. */
static struct reply *place(struct replies *replies)
{
    struct reply *bigger;
    uint32_t capacity = replies->capacity ? replies->capacity * 2 : 16;

    if (replies->count == REPLIES_MAX)
        return NULL;
    if (replies->count == replies->capacity) {
        bigger = realloc(replies->reply, capacity * sizeof *bigger);
        if (!bigger)
            return NULL;
        replies->reply = bigger;
        replies->capacity = capacity;
    }
    return &replies->reply[replies->count];
}

static void keep(struct core *core, uint32_t worker, const struct pull *pull,
                 uint64_t keys, uint64_t statuses, struct buffer *body)
{
    struct replies *replies = &core->replies[worker];
    struct reply *reply = find(core, worker, pull->clock, keys);

    if (reply) /* the last answer counts */
        drop(core, replies, (uint32_t)(reply - replies->reply));
#ifndef MUTANT_KEPT_BOUND
    if (body->capacity > core->kept_max - core->kept_bytes)
        return;
#endif
    reply = place(replies);
    if (!reply)
        return;
    *reply = (struct reply){pull->reach.order, pull->clock, keys, statuses,
                            buffer_ref(body)};
    core->kept_bytes += body->capacity;
    replies->count++;
}

static struct answered *answered_at(const struct core *core, uint32_t worker,
                                    uint64_t clock)
{
    return &core->answered[(size_t)worker * ANSWERED_MAX + clock % ANSWERED_MAX];
}

/* The clock is written last: a push finds the count of its own clock or none. */
static void note_answered(struct answered *a, uint64_t clock, uint64_t pushes)
{
    a->clock = 0;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    a->pushes = pushes;
    __atomic_signal_fence(__ATOMIC_SEQ_CST);
    a->clock = clock;
}

void stale_note_answer(struct core *core, uint32_t worker, const struct pull *pull,
                       const struct section *section, uint32_t sections,
                       const unsigned char *keys, struct buffer *body)
{
    uint64_t statuses = 0;

    if (pull->read_only)
        return;
    for (uint32_t i = 0; i < sections; i++)
        statuses |= (uint64_t)section[i].has_status << i;
    if (core->answered)
        note_answered(answered_at(core, worker, pull->clock), pull->clock,
                      core->pushes);
    if (core->replies)
        keep(core, worker, pull, hash_keys(MESSAGE_PULL, section, sections, keys),
             statuses, body);
}

/* By how many pushes the one with this clock is late. */
static uint64_t late_by(const struct core *core, uint32_t worker, uint64_t clock)
{
    const struct answered *a = answered_at(core, worker, clock);

    return a->clock == clock && core->pushes > a->pushes ? core->pushes - a->pushes : 0;
}

/* Finds the rows that the part was computed from. Its sections and the size of the body
 * decide where they are, so that no hash that happens to be the same leads astray. */
static void find_pulled(struct core *core, uint32_t worker, uint64_t clock,
                        const struct section *section, uint32_t sections,
                        const unsigned char *body, struct application *how)
{
    const struct reply *reply = find(core, worker, clock,
                                     hash_keys(MESSAGE_PUSH, section, sections, body));
    struct section answered[MESSAGE_SECTIONS_MAX];

    for (uint32_t i = 0; reply && i < sections; i++) {
        answered[i] = section[i];
        answered[i].has_status = reply->statuses >> i & 1;
    }
    if (reply && message_layout(MESSAGE_ROWS, answered, sections, how->pulled) ==
                     reply->body->used)
        how->reply = reply->body;
    else
        core->sessions->session[worker].uncompensated++;
}

void stale_look(struct core *core, uint32_t worker, uint64_t clock,
                const struct section *section, uint32_t sections,
                const unsigned char *body, struct application *how)
{
    uint64_t late = core->answered ? late_by(core, worker, clock) : 0;
    bool compensates = false;

    for (uint32_t i = 0; i < sections; i++) {
        const struct optimizer *optimizer = &core->optimizer[section[i].table];

        how->rate[i] = optimizer_late_rate(optimizer, optimizer_rate(optimizer, clock),
                                           late);
        compensates |= optimizer->compensate > 0;
    }
    how->reply = NULL;
    if (compensates)
        find_pulled(core, worker, clock, section, sections, body, how);
}

const float *stale_compensate(struct core *core, const struct application *how,
                              const struct section *section,
                              const struct standing *standing, float *const *row,
                              const float *gradient, const float *weight, uint32_t n)
{
    const struct optimizer *optimizer = &core->optimizer[section->table];
    const float *pulled;

    if (!how->reply || optimizer->compensate == 0)
        return gradient;
    pulled = (const float *)(how->reply->data + how->pulled[standing->section].values) +
             (size_t)standing->row * section->width;
    optimizer_compensate(optimizer, row, pulled, gradient, weight, n, section->width,
                         core->compensated);
    return core->compensated;
}

/* Consistency: when a pull may be answered. pull(c) waits until every clock up to c-1-k
 * of every active worker has been applied: k = 0 is bsp, k = train.staleness ssp, and
 * async never waits (Ho et al. 2013, More Effective Distributed ML via a Stale
 * Synchronous Parallel Parameter Server). */
#include <stdlib.h>
#include <string.h>

#include "server/core_state.h"

bool gate_is_active(const struct core *core, uint32_t worker)
{
    const struct session *s = &core->sessions->session[worker];

    return s->idle_order != core->sessions->order || s->idle_stint < s->stint;
}

uint64_t gate_idle_order(const struct core *core, uint32_t worker)
{
    const struct session *s = &core->sessions->session[worker];
    bool again = s->idle_order == core->sessions->order && s->idle_stint < s->stint;

    return again ? 0 : s->idle_order;
}

/* An idle worker counts as infinitely far. */
uint64_t gate_slowest(const struct core *core)
{
    uint64_t slowest = UINT64_MAX;

    for (uint32_t w = 0; w < core->workers; w++)
        if (gate_is_active(core, w) && core->sessions->session[w].through < slowest)
            slowest = core->sessions->session[w].through;
    return slowest;
}

bool gate_is_open(const struct core *core, const struct pull *pull)
{
    uint64_t k = core->job->train.consistency == CONSISTENCY_SSP
                     ? (uint64_t)core->job->train.staleness
                     : 0;

    if (pull->read_only || core->job->train.consistency == CONSISTENCY_ASYNC)
        return true;
    if (pull->reach.order != core->sessions->order)
        return false; /* the order that it works on has not come to us yet */
#ifdef MUTANT_GATE
    return true;
#endif
    return pull->clock <= k + 1 || gate_slowest(core) >= pull->clock - 1 - k;
}

/* The clock at which a worker that has data again goes on: that of the slowest one; and
 * where nobody is active, of the fastest, so that nobody's clock is ever far behind. */
static uint64_t joining_clock(const struct core *core, uint32_t worker)
{
    uint64_t slowest = UINT64_MAX, fastest = 0;

    for (uint32_t w = 0; w < core->workers; w++) {
        uint64_t through = core->sessions->session[w].through;

        if (w != worker && gate_is_active(core, w) && through < slowest)
            slowest = through;
        if (through > fastest)
            fastest = through;
    }
    return slowest == UINT64_MAX ? fastest : slowest;
}

/* It has data again. One store makes it active, at its new clock. */
static void join(struct core *core, uint32_t worker, uint64_t stint)
{
    struct session *s = &core->sessions->session[worker];
    uint64_t clock = joining_clock(core, worker);

#ifndef MUTANT_JOIN_CLOCK
    if (clock > s->through)
        __atomic_store_n(&s->through, clock, __ATOMIC_RELEASE);
#endif
    __atomic_store_n(&s->stint, stint, __ATOMIC_RELEASE);
}

void gate_settle(struct core *core, uint32_t worker)
{
    struct session *s = &core->sessions->session[worker];
    const struct reach *reach = &core->promise[worker].reach;
    uint64_t applied = session_standing(s)->applied;

    if (applied > s->through)
        __atomic_store_n(&s->through, applied, __ATOMIC_RELEASE);
    if (reach->order != core->sessions->order)
        return;
#ifndef MUTANT_IDLE_APPLIED
    if (applied < reach->after)
        return;
#endif
    if (reach->stint > s->stint)
        join(core, worker, reach->stint);
    if (reach->through > s->through)
        __atomic_store_n(&s->through, reach->through, __ATOMIC_RELEASE);
    if (reach->idle && gate_is_active(core, worker)) {
#ifdef MUTANT_STINT
        __atomic_store_n(&s->idle_stint, s->stint, __ATOMIC_RELEASE);
#else /* it may be an earlier one, if a process of ours died that knew more */
        __atomic_store_n(&s->idle_stint, reach->stint, __ATOMIC_RELEASE);
#endif
        __atomic_store_n(&s->idle_order, reach->order, __ATOMIC_RELEASE);
    }
}

void gate_forget_promise(struct core *core, uint32_t worker)
{
    core->promise[worker].reach = (struct reach){0};
}

/* Does a worker say nothing that it has not said before? */
static bool is_older(const struct reach *reach, const struct reach *known)
{
    if (reach->order != known->order)
        return reach->order < known->order;
    if (reach->stint != known->stint)
        return reach->stint < known->stint;
    if (reach->through != known->through)
        return reach->through < known->through;
    return known->idle;
}

void gate_take_reach(struct core *core, uint32_t worker, const struct reach *reach)
{
    struct reach *known = &core->promise[worker].reach;

    /* Messages may overtake each other: what is older says nothing new. */
    if (is_older(reach, known))
        return;
    *known = *reach;
    gate_settle(core, worker);
}

/* The same pull asked for again, or one of an incarnation that is gone. */
static bool replaces(const struct parked *old, const struct message *m)
{
    return old->from.index == m->sender && (old->from.incarnation != m->incarnation ||
                                            old->pull.request == m->pull.request);
}

static void forget(struct core *core, uint32_t i)
{
    buffer_unref(core->parked[i].keys);
    memmove(&core->parked[i], &core->parked[i + 1],
            (--core->parks - i) * sizeof core->parked[0]);
}

bool gate_holds(const struct core *core, struct peer who)
{
    for (uint32_t i = 0; i < core->parks; i++)
        if (core->parked[i].from.index == who.index &&
            core->parked[i].from.incarnation == who.incarnation)
            return true;
    return false;
}

int gate_park(struct core *core, const struct message *m, struct err *err)
{
    double since = core->now;
    struct parked *p;

    for (uint32_t i = core->parks; i-- > 0;) {
        if (!replaces(&core->parked[i], m))
            continue;
        /* It asks again: it must not take us for dead. */
        if (core->parked[i].from.incarnation == m->incarnation) {
            session_acknowledge(core, core->parked[i].from, false);
            since = core->parked[i].since;
        }
        forget(core, i);
    }
    if (core->parks == core->parks_capacity) {
        uint32_t capacity = core->parks_capacity ? core->parks_capacity * 2 : 16;

        p = realloc(core->parked, capacity * sizeof *p);
        if (!p)
            return err_set(err, ERR_MEMORY,
                           "server %u has no memory for a pull that waits",
                           core->index);
        core->parked = p;
        core->parks_capacity = capacity;
    }
    p = &core->parked[core->parks];
    p->from = (struct peer){m->role, m->sender, m->incarnation};
    p->pull = m->pull;
    p->since = since;
    p->sections = m->sections;
    memcpy(p->section, m->section, m->sections * sizeof m->section[0]);
    p->keys = buffer_get(core->pool, m->body_bytes ? m->body_bytes : 1);
    if (!p->keys)
        return 0; /* all are on their way; the worker asks again */
    memcpy(p->keys->data, m->body, m->body_bytes);
    core->parks++;
    return 0;
}

void gate_forget_before(struct core *core, uint64_t order)
{
    for (uint32_t i = core->parks; i-- > 0;)
        if (core->parked[i].pull.reach.order < order)
            forget(core, i);
}

int gate_release(struct core *core, struct err *err)
{
    for (uint32_t i = 0; i < core->parks;) {
        struct parked *p = &core->parked[i];
        int rc;

        if (!gate_is_open(core, &p->pull)) {
            i++;
            continue;
        }
        rc = core_answer_pull(core, p->from, &p->pull, p->section, p->sections,
                              p->keys->data, p->since, err);
        forget(core, i);
        if (rc)
            return rc;
    }
    return 0;
}

/* Consistency: when a pull may be answered. pull(c) waits until every clock up to c-1-k
 * of every active worker has been applied: k = 0 is bsp, k = train.staleness ssp, and
 * async never waits (Ho et al. 2013, More Effective Distributed ML via a Stale
 * Synchronous Parallel Parameter Server). */
#include <stdlib.h>
#include <string.h>

#include "server/core_state.h"

bool gate_is_active(const struct core *core, uint32_t worker)
{
    return core->sessions->session[worker].idle_order != core->sessions->order;
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

void gate_settle(struct core *core, uint32_t worker)
{
    struct session *s = &core->sessions->session[worker];
    const struct reach *reach = &core->promise[worker].reach;
    uint64_t applied = session_standing(s)->applied;

    if (applied > s->through)
        __atomic_store_n(&s->through, applied, __ATOMIC_RELEASE);
    if (reach->order != core->sessions->order || applied < reach->after)
        return;
    if (reach->through > s->through)
        __atomic_store_n(&s->through, reach->through, __ATOMIC_RELEASE);
    if (reach->idle)
        __atomic_store_n(&s->idle_order, reach->order, __ATOMIC_RELEASE);
}

void gate_take_reach(struct core *core, uint32_t worker, const struct reach *reach)
{
    struct reach *known = &core->promise[worker].reach;

    /* Messages may overtake each other: what is older says nothing new. */
    if (reach->order < known->order ||
        (reach->order == known->order && reach->through < known->through) ||
        (reach->order == known->order && reach->through == known->through &&
         known->idle))
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

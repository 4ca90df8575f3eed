/* Pushes: each is applied exactly once, in the order of its worker's clocks, also when
 * the process dies at any instruction. Under bsp all workers' pushes of a clock are
 * applied together, in worker order. */
#include <stdlib.h>
#include <string.h>

#include "server/core_state.h"

/* Stores before this line are done before those after it, as far as this process goes:
 * what a killed process leaves behind is a prefix of its stores. */
#define PROGRAM_ORDER() __atomic_signal_fence(__ATOMIC_SEQ_CST)

static struct session *session_of(struct core *core, uint32_t worker)
{
    return &core->sessions->session[worker];
}

static void write_standing(struct session *s, const struct standing *standing)
{
    s->entry[(s->current + 1) & 1] = *standing;
    PROGRAM_ORDER();
    __atomic_store_n(&s->current, s->current + 1, __ATOMIC_RELEASE);
}

/* --- undo
 * ------------------------------------------------------------------------------ */

static uint64_t row_bytes_max(const struct core *core)
{
    uint64_t most = 0;

    for (int t = 0; t < core->job->tables; t++) {
        const struct table_spec *spec = &core->table[t].spec;
        uint64_t bytes = (spec->width + spec->state_width) * sizeof(float);

        if (bytes > most)
            most = bytes;
    }
    return most;
}

/* Puts back the rows of a group that a dead process had in hand, unless it had got as
 * far as to note that they are applied. */
static void undo_group(struct core *core)
{
    struct undo *undo = core->undo;

#ifndef MUTANT_UNDO
    if (undo->armed && undo->worker < core->workers &&
        session_of(core, undo->worker)->current == undo->current) {
        for (uint32_t i = undo->rows; i-- > 0;)
            memcpy(region_at(core->region, undo->row[i]),
                   undo->image + (size_t)i * undo->bytes, undo->bytes);
#ifndef MUTANT_UNDO_COUNT
        if (undo->counter)
            *(uint64_t *)region_at(core->region, undo->counter) = undo->count;
#endif
    }
#endif
    PROGRAM_ORDER();
    undo->armed = 0;
}

static uint64_t offset_of(const struct core *core, const void *at)
{
    return (uint64_t)((const unsigned char *)at - core->region->base);
}

/* `counter`: a count in the region that changes with the rows, or NULL. Rows that could
 * not be made are NULL. */
static void arm_undo(struct core *core, uint32_t worker, float *const *row, uint32_t n,
                     uint32_t bytes, const uint64_t *counter)
{
    struct undo *undo = core->undo;
    uint32_t kept = 0;

    undo->worker = worker;
    undo->bytes = bytes;
    undo->current = session_of(core, worker)->current;
    for (uint32_t i = 0; i < n; i++) {
        if (!row[i])
            continue;
        undo->row[kept] = offset_of(core, row[i]);
        memcpy(undo->image + (size_t)kept++ * bytes, row[i], bytes);
    }
    undo->rows = kept;
    undo->counter = counter ? offset_of(core, counter) : 0;
    undo->count = counter ? *counter : 0;
    PROGRAM_ORDER();
    undo->armed = 1;
    PROGRAM_ORDER();
}

static void disarm_undo(struct core *core)
{
    PROGRAM_ORDER();
    core->undo->armed = 0;
    PROGRAM_ORDER();
}

/* --- open
 * ------------------------------------------------------------------------------ */

static int allocate(struct core *core, struct err *err)
{
    uint64_t bytes = sizeof(struct sessions) + core->workers * sizeof(struct session);
    uint64_t sessions, undo = 1;

    if (core->region->fd >= 0) { /* only a shared region outlives its process */
        undo = region_alloc(core->region,
                            sizeof(struct undo) + GROUP_ROWS * row_bytes_max(core));
        region_set_root(core->region, ROOT_UNDO, undo);
    }
    sessions = region_alloc(core->region, bytes);
    if (!sessions || !undo)
        return err_set(err, ERR_MEMORY, "cluster.memory_max is too small for a server");
    /* This root comes last of all: without it the region counts as fresh. */
    region_set_root(core->region, ROOT_SESSIONS, sessions);
    return 0;
}

int session_open(struct core *core, bool fresh, struct err *err)
{
    if (fresh && allocate(core, err))
        return -err->code;
    core->sessions = region_at(core->region, region_root(core->region, ROOT_SESSIONS));
    if (region_root(core->region, ROOT_UNDO)) {
        core->undo = region_at(core->region, region_root(core->region, ROOT_UNDO));
        undo_group(core);
    }
    core->promise = calloc(core->workers, sizeof *core->promise);
    core->pending = calloc(core->workers, sizeof *core->pending);
    if (!core->promise || !core->pending)
        return err_set(err, ERR_MEMORY, "no memory for %u sessions", core->workers);
    return 0;
}

static void forget_pending(struct pending *pending)
{
    for (uint32_t i = 0; i < pending->count; i++)
        buffer_unref(pending->part[i].body);
    pending->count = 0;
    pending->clock = 0;
}

void session_release(struct core *core)
{
    for (uint32_t w = 0; core->pending && w < core->workers; w++) {
        forget_pending(&core->pending[w]);
        free(core->pending[w].part);
    }
    free(core->pending);
    free(core->promise);
}

/* --- applying
 * -------------------------------------------------------------------------- */

/* Applies gradients to a group of rows, those of the section from `standing` on; what
 * could not be made is NULL. */
static void apply_rows(struct core *core, const struct application *how,
                       const struct section *section, const struct standing *standing,
                       float *const *row, const float *gradient, const float *weight,
                       uint32_t n)
{
    for (uint32_t first = 0, end; first < n; first = end + 1) {
        const float *run = gradient + (size_t)first * section->width;
        struct standing from = *standing;

        for (end = first; end < n && row[end]; end++)
            ;
        if (end == first)
            continue;
        from.row += first;
        run = stale_compensate(core, how, section, &from, row + first, run,
                               weight + first, end - first);
        optimizer_apply_at(&core->optimizer[section->table],
                           how->rate[standing->section], row + first, run,
                           weight + first, end - first, section->width);
    }
}

/* Applies a group of rows and notes it in one step. `missing` of them could not be
 * made: their gradients are dropped and counted. */
static void apply_group(struct core *core, uint32_t worker,
                        const struct application *how, const struct section *section,
                        float *const *row, const float *gradient, const float *weight,
                        uint32_t n, struct standing *standing)
{
    const struct table_spec *spec = &core->table[section->table].spec;
    uint64_t *refused = &core->sessions->refused[section->table].rows;
    uint32_t missing = 0;

    for (uint32_t i = 0; i < n; i++)
        missing += !row[i];
    if (core->undo)
        arm_undo(core, worker, row, n,
                 (spec->width + spec->state_width) * (uint32_t)sizeof(float),
                 missing ? refused : NULL);
    apply_rows(core, how, section, standing, row, gradient, weight, n);
    if (missing)
        *refused += missing;
    standing->row += n;
    if (!core->undo)
        return;
    PROGRAM_ORDER();
#ifndef MUTANT_CURSOR
    write_standing(session_of(core, worker), standing);
#endif
    disarm_undo(core);
}

/* Applies what is left of one section from standing->row on. */
static void apply_section(struct core *core, uint32_t worker,
                          const struct application *how, const struct section *section,
                          const unsigned char *body, const struct section_layout *at,
                          struct standing *standing)
{
    const uint64_t *key = (const uint64_t *)(body + at->keys);
    const float *weight = (const float *)(body + at->weights);
    const float *gradient = (const float *)(body + at->values);

    while (standing->row < section->rows) {
        uint32_t first = standing->row, n = section->rows - first;
        uint32_t group = core->undo || how->reply ? GROUP_ROWS : LOOKUP_ROWS;

        if (n > LOOKUP_ROWS)
            n = LOOKUP_ROWS;
        table_find_or_make(&core->table[section->table], key + first, n, core->row);
        for (uint32_t i = 0; i < n; i += group)
            apply_group(core, worker, how, section, core->row + i,
                        gradient + (size_t)(first + i) * section->width,
                        weight + first + i, n - i < group ? n - i : group, standing);
    }
}

/* Applies one part of `clock`, from where an earlier process may have left it. */
static void apply_part(struct core *core, uint32_t worker, uint64_t clock,
                       uint32_t parts, const struct section *section, uint32_t sections,
                       const unsigned char *body)
{
    struct section_layout at[MESSAGE_SECTIONS_MAX];
    struct session *s = session_of(core, worker);
    struct standing standing = *session_standing(s);
    struct application how;

    if (standing.under_way != clock) {
        standing.under_way = clock;
        standing.parts_applied = standing.section = standing.row = 0;
    }
    message_layout(MESSAGE_PUSH, section, sections, at);
    stale_look(core, worker, clock, section, sections, body, &how);
    while (standing.section < sections) {
        uint32_t i = standing.section;

        apply_section(core, worker, &how, &section[i], body, &at[i], &standing);
        standing.section++;
        standing.row = 0;
    }
    standing.parts_applied++;
    standing.section = 0;
    if (standing.parts_applied == parts) {
        standing.applied = clock;
        standing.under_way = 0;
        standing.parts_applied = 0;
        standing.pushes_applied++;
        core->pushes++;
        stale_forget_applied(core, worker, clock);
    }
    write_standing(s, &standing);
    gate_settle(core, worker);
}

void session_acknowledge(struct core *core, struct peer to, bool resend)
{
    const struct session *s = session_of(core, to.index);
    const struct standing *standing = session_standing(s);
    struct answer *answer = core_answer(core, to, MESSAGE_ACK);

    if (!answer)
        return; /* the worker asks again */
    answer->ack = (struct ack){.clock = standing->applied,
                               .part = standing->parts_applied,
                               .resend = resend,
                               .through = s->through,
                               .idle_order = gate_idle_order(core, to.index),
                               .parked = gate_holds(core, to),
                               .order = core->sessions->order,
                               .stint = s->stint};
}

/* --- taking
 * ---------------------------------------------------------------------------- */

/* Where the push stands against what was applied: 1 next, 0 had it, -1 too early. */
static int push_place(const struct standing *s, const struct push *p)
{
    uint32_t parts = s->under_way ? s->parts_applied : 0;

    if (p->clock <= s->applied)
        return 0;
#ifndef MUTANT_AFTER
    if (p->after != s->applied)
        return -1;
#endif
    if (s->under_way && s->under_way != p->clock)
        return -1;
#ifndef MUTANT_DUPLICATE
    if (p->part < parts)
        return 0;
#endif
    return p->part > parts ? -1 : 1;
}

static int keep(struct core *core, const struct message *m, struct err *err)
{
    struct pending *pending = &core->pending[m->sender];
    struct pending_part *part;

    if (pending->count == pending->capacity) {
        uint32_t capacity = pending->capacity ? pending->capacity * 2 : 4;

        part = realloc(pending->part, capacity * sizeof *part);
        if (!part)
            return err_set(err, ERR_MEMORY,
                           "server %u has no memory for a push that waits",
                           core->index);
        pending->part = part;
        pending->capacity = capacity;
    }
    part = &pending->part[pending->count];
    part->body = buffer_get(core->pool, m->body_bytes ? m->body_bytes : 1);
    if (!part->body)
        return err_set(err, ERR_AGAIN, "server %u has no memory for a push now",
                       core->index);
    memcpy(part->body->data, m->body, m->body_bytes);
    part->body->used = m->body_bytes;
    part->sections = m->sections;
    memcpy(part->section, m->section, m->sections * sizeof m->section[0]);
    pending->clock = m->push.clock;
    pending->parts = m->push.parts;
    pending->count++;
    return 0;
}

/* bsp: a part waits until its clock is complete. Its place counts what waits already.
 */
static int take_for_later(struct core *core, const struct message *m, struct err *err)
{
    const struct standing *s = session_standing(session_of(core, m->sender));
    struct pending *pending = &core->pending[m->sender];
    uint32_t applied = s->under_way == m->push.clock ? s->parts_applied : 0;
    uint32_t next;

    if (m->push.clock <= s->applied ||
        (pending->count && pending->clock > m->push.clock) ||
        (m->push.after == s->applied && m->push.part < applied))
        return 0;
    if (m->push.after != s->applied)
        return -1;
    if (pending->count && pending->clock != m->push.clock)
        forget_pending(pending);
    next = applied + pending->count;
    if (m->push.part != next)
        return m->push.part < next ? 0 : -1;
    return keep(core, m, err) ? -err->code : 1;
}

static void apply_now(struct core *core, const struct message *m)
{
    struct peer from = {m->role, m->sender, m->incarnation};

    apply_part(core, m->sender, m->push.clock, m->push.parts, m->section, m->sections,
               m->body);
    session_acknowledge(core, from, false);
}

int session_take_push(struct core *core, const struct message *m, struct err *err)
{
    struct peer from = {m->role, m->sender, m->incarnation};
    struct session *s = session_of(core, m->sender);
    bool later = core->job->train.consistency == CONSISTENCY_BSP;
    int place;

    core->pending[m->sender].from = from;
    if (m->push.clock == 0) { /* it only asks */
        session_acknowledge(core, from, false);
        return 0;
    }
    place = later ? take_for_later(core, m, err)
                  : push_place(session_standing(s), &m->push);
    if (place == -ERR_MEMORY || place == -ERR_AGAIN)
        return place == -ERR_AGAIN ? 0 : place; /* the worker sends it again */
    if (place > 0) {
        if (later)
            session_apply_pending(core);
        else
            apply_now(core, m);
        return 0;
    }
    if (place == 0)
        s->duplicates++;
    session_acknowledge(core, from, place < 0);
    return 0;
}

/* --- bsp
 * ------------------------------------------------------------------------------- */

static bool is_complete(const struct core *core, uint32_t worker, uint64_t clock)
{
    const struct session *s = &core->sessions->session[worker];
    const struct pending *pending = &core->pending[worker];
    const struct standing *standing = session_standing(s);
    uint32_t applied = standing->under_way == clock ? standing->parts_applied : 0;

    if (!gate_is_active(core, worker) || s->through >= clock)
        return true;
    return pending->clock == clock && applied + pending->count == pending->parts;
}

static void apply_worker(struct core *core, uint32_t worker, uint64_t clock)
{
    struct pending *pending = &core->pending[worker];

    if (pending->count == 0 || pending->clock != clock)
        return;
    for (uint32_t i = 0; i < pending->count; i++)
        apply_part(core, worker, clock, pending->parts, pending->part[i].section,
                   pending->part[i].sections, pending->part[i].body->data);
    forget_pending(pending);
    session_acknowledge(core, pending->from, false);
}

void session_apply_pending(struct core *core)
{
    for (;;) {
        uint64_t clock = gate_slowest(core);

        if (clock == UINT64_MAX)
            return; /* nobody is active */
        clock++;
        for (uint32_t w = 0; w < core->workers; w++)
            if (!is_complete(core, w, clock))
                return;
        for (uint32_t w = 0; w < core->workers; w++)
            apply_worker(core, w, clock);
    }
}

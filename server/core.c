
#include <stdlib.h>
#include <string.h>

#include "common/rng.h"
#include "server/core_state.h"

void core_table_spec(const struct job *job, uint32_t table, struct table_spec *spec)
{
    const struct job_table *t = &job->table[table];
    struct optimizer optimizer;

    optimizer_init(&optimizer, job, table);
    *spec = (struct table_spec){
        .id = table,
        .dim = (uint32_t)t->dim,
        .width = job_row_width(job, (int)table),
        .state_initial = optimizer.initial,
        .init = t->init,
        .scale = (float)t->scale,
        .seed = (uint64_t)job->train.seed,
        .rows_max = (uint64_t)t->rows_max,
        .rows = (uint64_t)t->rows,
    };
    spec->state_width = optimizer_state_width(&optimizer, spec->width);
}

uint64_t core_region_bytes(const struct job *job)
{
    /* Freed index arrays leave holes in the address range, never in memory. */
    return (uint64_t)job->cluster.memory_max * 2 + (64u << 20);
}

/* Makes a table or, where a process was killed meanwhile, goes on with it. */
static int core_open_table(struct core *core, uint32_t index, struct err *err)
{
    const struct job_table *t = &core->job->table[index];
    uint32_t root = ROOT_TABLES + index;
    struct table_spec spec;
    int rc;

    core_table_spec(core->job, index, &spec);
    spec.rows_share = slot_share(spec.rows_max, core->index, core->servers);
    spec.first = row_first(spec.rows, core->index, core->servers);
    spec.end = row_first(spec.rows, core->index + 1, core->servers);
    rc = (region_root(core->region, root) ? table_open : table_create)(
        &core->table[index], core->region, root, &spec, err);
    if (rc == -ERR_MEMORY && spec.rows)
        return err_set(
            err, ERR_MEMORY,
            "the %llu of its rows that are here (tables.%s.rows is %llu) do "
            "not fit into cluster.memory_max (%lld MiB) with what else is in "
            "it; raise it or add servers",
            (unsigned long long)(spec.end - spec.first), t->name,
            (unsigned long long)spec.rows,
            (long long)core->job->cluster.memory_max >> 20);
    return rc;
}

static int core_open_tables(struct core *core, struct err *err)
{
    for (int i = 0; i < core->job->tables; i++) {
        if (core_open_table(core, (uint32_t)i, err))
            return err_prefix(err, "table %s", core->job->table[i].name);
        core->tables[i] = &core->table[i];
        core->names[i] = core->job->table[i].name;
        optimizer_init(&core->optimizer[i], core->job, (uint32_t)i);
    }
    return 0;
}

int core_create(const struct job *job, uint32_t index, uint32_t servers,
                uint32_t workers, struct region *region, struct buffer_pool *pool,
                struct core **out, struct err *err)
{
    bool fresh = !region_formatted(region) || !region_root(region, ROOT_SESSIONS);
    struct core *core = calloc(1, sizeof *core);
    int rc;

    if (!core)
        return err_set(err, ERR_MEMORY, "no memory for server %u", index);
    core->job = job;
    core->region = region;
    core->pool = pool;
    core->index = index;
    core->servers = servers;
    core->workers = workers;
    rc = region_formatted(region) ? region_open(region, err)
                                  : region_format(region, err);
    if (rc == 0)
        rc = core_open_tables(core, err);
    if (rc == 0)
        rc = session_open(core, fresh, err);
    if (rc == 0)
        rc = stale_open(core, err);
    if (rc) {
        core_destroy(core);
        return err_prefix(err, "server %u", index);
    }
    *out = core;
    return 0;
}

void core_destroy(struct core *core)
{
    struct buffer *body;

    if (!core)
        return;
    for (uint32_t i = 0; i < core->parks; i++)
        buffer_unref(core->parked[i].keys);
    while (core->answers) {
        body = core->answer[core->answer_first].body;
        core->answer_first = (core->answer_first + 1) % core->answer_capacity;
        core->answers--;
        buffer_unref(body);
    }
    stale_release(core);
    session_release(core);
    free(core->parked);
    free(core->answer);
    free(core);
}

/* --- answers
 * --------------------------------------------------------------------------- */

/* A place for one more answer; NULL without memory. */
struct answer *core_answer(struct core *core, struct peer to, enum message_kind kind)
{
    struct answer *answer;

    if (core->answers == core->answer_capacity) {
        uint32_t capacity = core->answer_capacity ? core->answer_capacity * 2 : 16;
        struct answer *bigger = malloc(capacity * sizeof *bigger);

        if (!bigger)
            return NULL;
        for (uint32_t i = 0; i < core->answers; i++)
            bigger[i] = core->answer[(core->answer_first + i) % core->answer_capacity];
        free(core->answer);
        core->answer = bigger;
        core->answer_capacity = capacity;
        core->answer_first = 0;
    }
    answer =
        &core->answer[(core->answer_first + core->answers++) % core->answer_capacity];
    answer->to = to;
    answer->kind = kind;
    answer->sections = 0;
    answer->body = NULL;
    return answer;
}

void core_refuse(struct core *core, struct peer to, const struct err *err)
{
    struct answer *answer = core_answer(core, to, MESSAGE_REFUSAL);

    if (answer)
        answer->refusal = *err;
}

bool core_next(struct core *core, struct peer *to, struct message *message,
               struct buffer **body)
{
    const struct answer *answer;

    if (core->answers == 0)
        return false;
    answer = &core->answer[core->answer_first];
    core->answer_first = (core->answer_first + 1) % core->answer_capacity;
    core->answers--;
    *to = answer->to;
    *body = answer->body;
    message->kind = answer->kind;
    message->sections = answer->sections;
    memcpy(message->section, answer->section,
           answer->sections * sizeof message->section[0]);
    if (answer->kind == MESSAGE_ROWS)
        message->rows = answer->rows;
    else if (answer->kind == MESSAGE_ACK)
        message->ack = answer->ack;
    if (answer->kind == MESSAGE_REFUSAL) {
        message->refusal.code = (uint32_t)answer->refusal.code;
        memcpy(message->refusal.text, answer->refusal.text,
               sizeof message->refusal.text);
    }
    return true;
}

/* --- pulls
 * ----------------------------------------------------------------------------- */

static uint64_t own_clock(const struct pull *pull)
{
    return pull->clock ? pull->clock - 1 : 0;
}

/* The slowest active worker's clock, as far as it matters to the one who asks. */
static uint64_t vintage_now(const struct core *core, const struct pull *pull)
{
    uint64_t slowest = gate_slowest(core);

    return slowest < own_clock(pull) ? slowest : own_clock(pull);
}

/* Own clock minus the slowest active worker's, at the read. */
static void note_read(struct core *core, const struct pull *pull, uint64_t vintage,
                      const struct section *section, uint32_t sections)
{
    uint64_t stale = own_clock(pull) - vintage;

    if (pull->read_only)
        return;
    if (stale >= STALENESS_BUCKETS)
        stale = STALENESS_BUCKETS - 1;
    for (uint32_t i = 0; i < sections; i++)
        core->staleness[section[i].table][stale]++;
}

/* Makes the rows of those of n keys that have none, and copies their first values; what
 * cannot be made stays not found. Returns how many these are. */
static uint32_t make_missing(struct core *core, struct table *table,
                             const uint64_t *key, uint32_t n, unsigned char *found,
                             float *values)
{
    uint32_t missing = 0, unmade = 0, width = table->spec.width;

    for (uint32_t i = 0; i < n; i++)
        if (!found[i])
            core->missing[missing++] = key[i];
    table_find_or_make(table, core->missing, missing, core->row);
    missing = 0;
    for (uint32_t i = 0; i < n; i++) {
        const float *row;

        if (found[i])
            continue;
        row = core->row[missing++];
        found[i] = row != NULL;
        unmade += !row;
        if (row)
            memcpy(values + (size_t)i * width, row, width * sizeof(float));
    }
    return unmade;
}

/* Copies the rows of one section's keys into the answer; zeros for those that cannot be
 * made. `status` (NULL: nobody asks) gets an enum row_status for each. Returns how many
 * could not be made. */
static uint32_t gather(struct core *core, const struct section *section,
                       const uint64_t *key, bool read_only, unsigned char *status,
                       float *values)
{
    struct table *table = &core->table[section->table];
    unsigned char *found = core->found, missing = read_only ? ROW_ABSENT : ROW_FULL;
    uint32_t unmade = 0;

    for (uint32_t first = 0; first < section->rows; first += LOOKUP_ROWS) {
        uint32_t n = section->rows - first;
        float *to = values + (size_t)first * table->spec.width;

        if (n > LOOKUP_ROWS)
            n = LOOKUP_ROWS;
        table_copy(table, key + first, n, to, found);
        if (!read_only && memchr(found, 0, n))
            unmade += make_missing(core, table, key + first, n, found, to);
        for (uint32_t i = 0; status && i < n; i++)
            status[first + i] = found[i] ? ROW_OK : missing;
    }
    return unmade;
}

/* An answer to a pull in the making. */
struct filling {
    struct section described[MESSAGE_SECTIONS_MAX];
    uint32_t missing[MESSAGE_SECTIONS_MAX]; /* rows of a section that are not there */
    bool has_status[MESSAGE_SECTIONS_MAX];
    struct buffer *body; /* NULL: all are on their way */
};

/* Fills the body. 1: a section has rows without an answer of their own and no status to
 * say so, or the other way round; -1: it would be too large. */
static int fill(struct core *core, const struct pull *pull,
                const struct section *section, uint32_t sections,
                const unsigned char *keys, struct filling *f)
{
    struct section_layout in[MESSAGE_SECTIONS_MAX], out[MESSAGE_SECTIONS_MAX];
    size_t bytes;
    int again = 0;

    for (uint32_t i = 0; i < sections; i++)
        f->described[i] = (struct section){
            .table = section[i].table,
            .rows = section[i].rows,
            .width = core->table[section[i].table].spec.width,
            .has_status = f->has_status[i],
        };
    bytes = message_layout(MESSAGE_ROWS, f->described, sections, out);
    if (bytes == (size_t)-1)
        return -1;
    f->body = buffer_get(core->pool, bytes ? bytes : 1);
    if (!f->body)
        return 0;
    f->body->used = bytes;
    message_layout(MESSAGE_PULL, section, sections, in);
    for (uint32_t i = 0; i < sections; i++) {
        unsigned char *data = f->body->data;

        f->missing[i] = gather(core, &section[i], (const uint64_t *)(keys + in[i].keys),
                               pull->read_only,
                               f->has_status[i] ? data + out[i].status : NULL,
                               (float *)(data + out[i].values));
        if (!pull->read_only && f->has_status[i] != (f->missing[i] > 0)) {
            f->has_status[i] = f->missing[i] > 0;
            again = 1;
        }
    }
    if (again)
        buffer_unref(f->body);
    return again;
}

/* What a pull found of full tables. */
static void note_missing(struct core *core, const struct section *section,
                         uint32_t sections, const uint32_t *missing)
{
    for (uint32_t i = 0; i < sections; i++) {
        core->full[section[i].table] = missing[i] > 0;
        if (missing[i])
            core->sessions->refused[section[i].table].reads += missing[i];
    }
}

int core_answer_pull(struct core *core, struct peer to, const struct pull *pull,
                     const struct section *section, uint32_t sections,
                     const unsigned char *keys, double since, struct err *err)
{
    uint64_t vintage = vintage_now(core, pull);
    struct answer *answer;
    struct filling f;
    int rc;

    for (uint32_t i = 0; i < sections; i++)
        f.has_status[i] = pull->read_only || core->full[section[i].table];
    /* Rows stay once they are made: after two changes there are no more. */
    do
        rc = fill(core, pull, section, sections, keys, &f);
    while (rc > 0);
    if (rc < 0) {
        err_set(err, ERR_PEER, "worker %u asked for more rows than fit an answer",
                to.index);
        core_refuse(core, to, err);
        return 0;
    }
    if (!f.body)
        return 0; /* the worker asks again */
    note_read(core, pull, vintage, section, sections);
    if (!pull->read_only)
        note_missing(core, section, sections, f.missing);
    answer = core_answer(core, to, MESSAGE_ROWS);
    if (!answer) {
        buffer_unref(f.body);
        return err_set(err, ERR_MEMORY, "server %u has no memory for answers",
                       core->index);
    }
    answer->rows = (struct rows){pull->request, (uint64_t)((core->now - since) * 1e6),
                                 vintage};
    answer->sections = sections;
    memcpy(answer->section, f.described, sections * sizeof f.described[0]);
    answer->body = f.body;
    stale_note_answer(core, to.index, pull, f.described, sections, keys, f.body);
    return 0;
}

/* --- what comes in
 * --------------------------------------------------------------------- */

static int not_ours(const struct core *core, const struct message *m, uint32_t table,
                    uint64_t key, struct err *err)
{
    uint64_t rows = core->table[table].spec.rows;

    if (rows && key >= rows)
        return err_set(err, ERR_PEER,
                       "worker %u sent key %llu of table %s, whose rows are 0 to %llu",
                       m->sender, (unsigned long long)key, core->names[table],
                       (unsigned long long)rows - 1);
    return err_set(err, ERR_PEER,
                   "worker %u sent key %llu of table %s to server %u, which does not "
                   "own it",
                   m->sender, (unsigned long long)key, core->names[table], core->index);
}

/* Does every section name a table of ours, with its width and keys that we own? */
static int check_sections(const struct core *core, const struct message *m,
                          struct err *err)
{
    struct section_layout at[MESSAGE_SECTIONS_MAX];

    message_layout(m->kind, m->section, m->sections, at);
    for (uint32_t i = 0; i < m->sections; i++) {
        const struct section *section = &m->section[i];
        const uint64_t *key;

        if (section->table >= (uint32_t)core->job->tables)
            return err_set(err, ERR_PEER, "worker %u named table %u, there are %d",
                           m->sender, section->table, core->job->tables);
        if (m->kind == MESSAGE_PUSH &&
            section->width != core->table[section->table].spec.width)
            return err_set(
                err, ERR_PEER,
                "worker %u pushed rows of %u floats to table %s, which has %u",
                m->sender, section->width, core->names[section->table],
                core->table[section->table].spec.width);
        key = (const uint64_t *)(m->body + at[i].keys);
        for (uint32_t k = 0; k < section->rows; k++)
            if (!core_owns(core, section->table, key[k]))
                return not_ours(core, m, section->table, key[k], err);
    }
    return 0;
}

/* Is it the worker's process of now? One that has been replaced may still have messages
 * on their way, or be alive against all expectation. */
static int check_incarnation(struct core *core, const struct message *m,
                             struct err *err)
{
    struct session *session = &core->sessions->session[m->sender];

#ifndef MUTANT_STALE
    if (m->incarnation < session->incarnation)
        return err_set(err, ERR_PEER,
                       "worker %u has been restarted; incarnation %u is stale",
                       m->sender, m->incarnation);
#endif
    if (m->incarnation > session->incarnation)
        gate_forget_promise(core, m->sender);
    __atomic_store_n(&session->incarnation, m->incarnation, __ATOMIC_RELAXED);
    return 0;
}

/* Is the message one that a worker of ours may send? */
static int check_message(struct core *core, const struct message *m, struct err *err)
{
    if (m->kind != MESSAGE_PULL && m->kind != MESSAGE_PUSH && m->kind != MESSAGE_CLOCK)
        return err_set(err, ERR_PEER,
                       "server %u serves pulls and pushes, not message %d", core->index,
                       (int)m->kind);
    if (m->role != ROLE_WORKER || m->sender >= core->workers)
        return err_set(err, ERR_PEER, "server %u knows workers 0 to %u, not %u",
                       core->index, core->workers - 1, m->sender);
    return check_sections(core, m, err) ? -err->code : check_incarnation(core, m, err);
}

static int handle_pull(struct core *core, const struct message *m, struct err *err)
{
    struct peer from = {m->role, m->sender, m->incarnation};

    if (!m->pull.read_only)
        gate_take_reach(core, m->sender, &m->pull.reach);
    if (!gate_is_open(core, &m->pull))
        return gate_park(core, m, err);
    return core_answer_pull(core, from, &m->pull, m->section, m->sections, m->body,
                            core->now, err);
}

void core_set_time(struct core *core, double seconds)
{
    core->now = seconds;
}

int core_handle(struct core *core, const struct message *m, struct err *err)
{
    struct peer from = {m->role, m->sender, m->incarnation};
    int rc = 0;

    if (check_message(core, m, err)) {
        core_refuse(core, from, err);
        return 0;
    }
    if (m->kind == MESSAGE_PULL)
        rc = handle_pull(core, m, err);
    else if (m->kind == MESSAGE_PUSH)
        rc = session_take_push(core, m, err);
    else
        gate_take_reach(core, m->sender, &m->reach);
    if (rc == 0 && core->job->train.consistency == CONSISTENCY_BSP)
        session_apply_pending(core);
    if (rc == 0 && m->kind == MESSAGE_CLOCK)
        session_acknowledge(core, from, false);
    return rc ? rc : gate_release(core, err);
}

int core_begin_training(struct core *core, uint64_t order, uint64_t clock,
                        const struct range *share, struct err *err)
{
    struct sessions *sessions = core->sessions;

    for (uint32_t w = 0; w < core->workers && sessions->order != order; w++) {
        struct session *s = &sessions->session[w];

        if (clock > s->through)
            s->through = clock;
        s->stint = s->idle_stint = 0;
        s->idle_order = share[w].end > share[w].first ? 0 : order;
    }
    __atomic_store_n(&sessions->order, order, __ATOMIC_RELEASE);
    gate_forget_before(core, order);
    stale_forget_before(core, order);
    for (uint32_t w = 0; w < core->workers; w++)
        gate_settle(core, w);
    return gate_release(core, err);
}

const struct table *const *core_tables(const struct core *core, uint32_t *count)
{
    *count = (uint32_t)core->job->tables;
    return core->tables;
}

const char *const *core_table_names(const struct core *core)
{
    return core->names;
}

const struct job *core_job(const struct core *core)
{
    return core->job;
}

bool core_owns(const struct core *core, uint32_t table, uint64_t key)
{
    const struct table_spec *spec = &core->table[table].spec;

    if (spec->rows)
        return key - spec->first < spec->end - spec->first;
    if (core->servers == 1) /* the usual case on one machine, and asked for every key */
        return true;
    return slot_owner(key_slot(table, key), core->servers) == core->index;
}

void core_restore_begin(struct core *core)
{
    for (int i = 0; i < core->job->tables; i++)
        table_set_limit(&core->table[i], UINT64_MAX);
}

void core_clear(struct core *core)
{
    for (int i = 0; i < core->job->tables; i++)
        table_clear(&core->table[i]);
}

void core_restore_end(struct core *core, const uint64_t *rows)
{
    for (int i = 0; i < core->job->tables; i++) {
        struct table *table = &core->table[i];
        uint64_t most = table->spec.rows_max;

        if (most)
            table_set_limit(table, table_rows(table) +
                                       slot_share(most > rows[i] ? most - rows[i] : 0,
                                                  core->index, core->servers));
    }
}

int core_restore_row(struct core *core, uint32_t table, uint64_t key,
                     const unsigned char *values, struct err *err)
{
    struct table *t = &core->table[table];
    float *row;

    if (table_find_or_make(t, &key, 1, &row))
        return err_set(err, ERR_MEMORY,
                       "server %u: the checkpoint's rows of table %s pass "
                       "cluster.memory_max (%lld MiB); raise it or add servers",
                       core->index, core->names[table],
                       (long long)core->job->cluster.memory_max >> 20);
    memcpy(row, values, (t->spec.width + t->spec.state_width) * sizeof(float));
    return 0;
}

int core_first_row(struct core *core, uint32_t table, uint64_t key, const float *values,
                   uint32_t n, struct err *err)
{
    struct table *t = &core->table[table];
    float *row;

    if (table_find_or_make(t, &key, 1, &row) == 0) {
        memcpy(row, values, n * sizeof *values);
        return 0;
    }
    if (t->spec.rows_max && table_at_limit(t))
        return err_set(err, ERR_INPUT,
                       "more vectors than tables.%s.rows_max (%llu): raise it",
                       core->names[table], (unsigned long long)t->spec.rows_max);
    return err_set(err, ERR_MEMORY,
                   "server %u: the vectors of table %s pass cluster.memory_max (%lld "
                   "MiB); raise it or add servers",
                   core->index, core->names[table],
                   (long long)core->job->cluster.memory_max >> 20);
}

/* What keeps a table from making more rows, if it has had to refuse any. */
static uint32_t table_full(const struct core *core, uint32_t table)
{
    const struct refused *refused = &core->sessions->refused[table];
    const struct table *t = &core->table[table];

    if (refused->reads == 0 && refused->rows == 0)
        return FULL_NOT;
    return t->spec.rows_max && table_at_limit(t) ? FULL_ROWS_MAX : FULL_MEMORY;
}

void core_fill_status(const struct core *core, struct status *status)
{
    status->pushes_applied = 0;
    status->pushes_duplicate = 0;
    status->pushes_uncompensated = 0;
    for (uint32_t w = 0; w < core->workers; w++) {
        const struct session *s = &core->sessions->session[w];

        status->pushes_applied += session_standing(s)->pushes_applied;
        status->pushes_duplicate += s->duplicates;
        status->pushes_uncompensated += s->uncompensated;
    }
    status->tables = (uint32_t)core->job->tables;
    for (uint32_t i = 0; i < status->tables; i++) {
        status->table[i].rows = table_rows(&core->table[i]);
        status->table[i].bytes = table_bytes(&core->table[i]);
        status->table[i].reads_refused = core->sessions->refused[i].reads;
        status->table[i].rows_refused = core->sessions->refused[i].rows;
        status->table[i].full = table_full(core, i);
        memcpy(status->table[i].staleness, core->staleness[i],
               sizeof status->table[i].staleness);
    }
}

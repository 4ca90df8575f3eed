#include "server/core.h"

#include <stdlib.h>
#include <string.h>

#include "common/rng.h"

enum {
    ROOT_SESSIONS = 0,
    ROOT_TABLES = 8,     /* and the ones after it */
    LOOKUP_ROWS = 4096,  /* rows looked up at a time */
};

struct core {
    const struct job *job;    /* borrowed */
    struct region *region;    /* borrowed */
    struct buffer_pool *pool; /* borrowed */
    uint32_t index, servers, workers;
    struct optimizer optimizer;
    struct table table[JOB_TABLES_MAX];
    const struct table *tables[JOB_TABLES_MAX];
    const char *names[JOB_TABLES_MAX];
    struct session *session; /* in the region, [workers] */
    uint64_t staleness[JOB_TABLES_MAX][STALENESS_BUCKETS];
    float *row[LOOKUP_ROWS];
};

void core_table_spec(const struct job *job, uint32_t table, struct table_spec *spec)
{
    const struct job_table *t = &job->table[table];
    struct optimizer optimizer;
    bool has_bias = job->model.bias && (strcmp(t->name, job->model.user) == 0 ||
                                        strcmp(t->name, job->model.item) == 0);

    optimizer_init(&optimizer, job);
    *spec = (struct table_spec){
        .id = table,
        .dim = (uint32_t)t->dim,
        .width = (uint32_t)t->dim + has_bias,
        .state_initial = optimizer.initial,
        .init = t->init,
        .scale = (float)t->scale,
        .seed = (uint64_t)job->train.seed,
    };
    spec->state_width = optimizer_state_width(&optimizer, spec->width);
}

uint64_t core_region_bytes(const struct job *job)
{
    /* Freed index arrays leave holes in the address range, never in memory. */
    return (uint64_t)job->cluster.memory_max * 2 + (64u << 20);
}

static int core_sessions(struct core *core, bool fresh, struct err *err)
{
    uint64_t bytes = sizeof(struct session) * core->workers;
    uint64_t offset = region_root(core->region, ROOT_SESSIONS);

    if (fresh) {
        offset = region_alloc(core->region, bytes);
        if (!offset)
            return err_set(err, ERR_MEMORY, "cluster.memory_max is too small for a server");
        region_set_root(core->region, ROOT_SESSIONS, offset);
    }
    core->session = region_at(core->region, offset);
    return 0;
}

static int core_open_tables(struct core *core, bool fresh, struct err *err)
{
    for (int i = 0; i < core->job->tables; i++) {
        struct table_spec spec;
        int rc;

        core_table_spec(core->job, (uint32_t)i, &spec);
        rc = (fresh ? table_create : table_open)(&core->table[i], core->region,
                                                 ROOT_TABLES + (uint32_t)i, &spec, err);
        if (rc)
            return err_prefix(err, "table %s", core->job->table[i].name);
        core->tables[i] = &core->table[i];
        core->names[i] = core->job->table[i].name;
    }
    return 0;
}

int core_create(const struct job *job, uint32_t index, uint32_t servers, uint32_t workers,
                struct region *region, struct buffer_pool *pool, struct core **out,
                struct err *err)
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
    optimizer_init(&core->optimizer, job);
    rc = region_formatted(region) ? region_open(region, err) : region_format(region, err);
    if (rc == 0)
        rc = core_open_tables(core, fresh, err);
    /* The sessions' root comes last: without it the region counts as fresh. */
    if (rc == 0)
        rc = core_sessions(core, fresh, err);
    if (rc) {
        core_destroy(core);
        return err_prefix(err, "server %u", index);
    }
    *out = core;
    return 0;
}

void core_destroy(struct core *core)
{
    free(core);
}

static void refuse(struct message *answer, int code, const struct err *err)
{
    answer->kind = MESSAGE_REFUSAL;
    answer->sections = 0;
    answer->refusal.code = (uint32_t)code;
    memcpy(answer->refusal.text, err->text, sizeof answer->refusal.text);
}

/* The clock up to which nothing of a worker is missing here. */
static uint64_t standing(const struct session *s)
{
    return s->applied > s->floor ? s->applied : s->floor;
}

/* A worker is active while it has pulled for a batch that is not applied yet. */
static bool active(const struct session *s)
{
    return s->asked > standing(s);
}

void core_rest(struct core *core)
{
    for (uint32_t w = 0; w < core->workers; w++)
        core->session[w].asked = standing(&core->session[w]);
}

/* Own clock minus the slowest active worker's. */
static uint64_t staleness_at(const struct core *core, uint32_t worker, uint64_t clock)
{
    uint64_t slowest = standing(&core->session[worker]);
    uint64_t own = clock ? clock - 1 : 0;

    for (uint32_t w = 0; w < core->workers; w++) {
        const struct session *s = &core->session[w];

        if (active(s) && standing(s) < slowest)
            slowest = standing(s);
    }
    return own > slowest ? own - slowest : 0;
}

static void note_read(struct core *core, const struct message *m)
{
    struct session *s = &core->session[m->sender];
    uint64_t clock = m->pull.clock, stale;

    if (m->pull.read_only)
        return;
    /* Whoever comes back from a rest stands where it begins: of the clocks before,
     * which another run or other servers had, none is on its way. */
    if (!active(s) && clock > standing(s))
        s->floor = clock - 1;
    if (clock > s->asked)
        s->asked = clock;
    stale = staleness_at(core, m->sender, clock);
    if (stale >= STALENESS_BUCKETS)
        stale = STALENESS_BUCKETS - 1;
    for (uint32_t i = 0; i < m->sections; i++)
        core->staleness[m->section[i].table][stale]++;
}

/* Copies the rows of one section's keys into the answer. */
static int gather(struct core *core, const struct section *section, const uint64_t *key,
                  bool read_only, unsigned char *status, float *values)
{
    struct table *table = &core->table[section->table];
    size_t row_bytes = table->spec.width * sizeof(float);

    for (uint32_t first = 0; first < section->rows; first += LOOKUP_ROWS) {
        uint32_t n = section->rows - first;

        if (n > LOOKUP_ROWS)
            n = LOOKUP_ROWS;
        if (read_only)
            table_find(table, key + first, n, core->row);
        else if (table_find_or_make(table, key + first, n, core->row))
            return -ERR_MEMORY;
        for (uint32_t i = 0; i < n; i++) {
            float *to = values + (size_t)(first + i) * table->spec.width;

            if (core->row[i])
                memcpy(to, core->row[i], row_bytes);
            else
                memset(to, 0, row_bytes);
            if (status)
                status[first + i] = core->row[i] ? ROW_OK : ROW_ABSENT;
        }
    }
    return 0;
}

static int refuse_full(struct core *core, uint32_t table, struct message *answer)
{
    struct err err;

    err_set(&err, ERR_MEMORY,
            "server %u has reached cluster.memory_max (%lld MiB) with %llu rows of table "
            "%s; raise it or add servers",
            core->index, (long long)core->job->cluster.memory_max >> 20,
            (unsigned long long)table_rows(&core->table[table]),
            core->job->table[table].name);
    refuse(answer, ERR_MEMORY, &err);
    return 0;
}

static int handle_pull(struct core *core, const struct message *m, struct message *answer,
                       struct buffer **body, struct err *err)
{
    struct section_layout in[MESSAGE_SECTIONS_MAX], out[MESSAGE_SECTIONS_MAX];
    size_t bytes;

    answer->kind = MESSAGE_ROWS;
    answer->rows.request = m->pull.request;
    answer->sections = m->sections;
    for (uint32_t i = 0; i < m->sections; i++)
        answer->section[i] = (struct section){
            .table = m->section[i].table,
            .rows = m->section[i].rows,
            .width = core->table[m->section[i].table].spec.width,
            .has_status = m->pull.read_only,
        };
    message_layout(MESSAGE_PULL, m->section, m->sections, in);
    bytes = message_layout(MESSAGE_ROWS, answer->section, answer->sections, out);
    if (bytes == (size_t)-1) {
        err_set(err, ERR_PEER, "worker %u asked for more rows than fit an answer", m->sender);
        refuse(answer, ERR_PEER, err);
        return 0;
    }
    *body = buffer_get(core->pool, bytes ? bytes : 1);
    if (!*body)
        return err_set(err, ERR_AGAIN, "server %u has no memory for an answer now",
                       core->index);
    (*body)->used = bytes;
    note_read(core, m);
    for (uint32_t i = 0; i < m->sections; i++)
        if (gather(core, &m->section[i], (const uint64_t *)(m->body + in[i].keys),
                   m->pull.read_only,
                   m->pull.read_only ? (*body)->data + out[i].status : NULL,
                   (float *)((*body)->data + out[i].values))) {
            buffer_unref(*body);
            *body = NULL;
            return refuse_full(core, m->section[i].table, answer);
        }
    return 0;
}

static int apply_section(struct core *core, const struct section *section,
                         const unsigned char *body, const struct section_layout *at)
{
    struct table *table = &core->table[section->table];
    const uint64_t *key = (const uint64_t *)(body + at->keys);
    const float *weight = (const float *)(body + at->weights);
    const float *gradient = (const float *)(body + at->values);

    for (uint32_t first = 0; first < section->rows; first += LOOKUP_ROWS) {
        uint32_t n = section->rows - first;

        if (n > LOOKUP_ROWS)
            n = LOOKUP_ROWS;
        if (table_find_or_make(table, key + first, n, core->row))
            return -ERR_MEMORY;
        optimizer_apply(&core->optimizer, core->row,
                        gradient + (size_t)first * section->width, weight + first, n,
                        section->width);
    }
    return 0;
}

/* How many parts of the push were applied. A worker that has lost its memory in the
 * middle of a push goes on with a later clock: what is under way is never completed. */
static uint32_t parts_had(const struct session *s, const struct push *p)
{
    return p->clock > s->under_way ? 0 : s->parts_applied;
}

/* Where the push stands against what was applied: 1 apply, 0 had it, -1 too early. */
static int push_place(const struct session *s, const struct push *p)
{
    if (p->clock <= s->applied)
        return 0;
#ifndef MUTANT_AFTER
    if (p->after != s->applied || p->clock < s->under_way)
        return -1;
#endif
#ifndef MUTANT_DUPLICATE
    if (p->part < parts_had(s, p))
        return 0;
#endif
    return p->part > parts_had(s, p) ? -1 : 1;
}

static int handle_push(struct core *core, const struct message *m, struct message *answer)
{
    struct session *s = &core->session[m->sender];
    struct section_layout at[MESSAGE_SECTIONS_MAX];
    int place = push_place(s, &m->push);

    if (place > 0) {
        message_layout(MESSAGE_PUSH, m->section, m->sections, at);
        for (uint32_t i = 0; i < m->sections; i++)
            if (apply_section(core, &m->section[i], m->body, &at[i]))
                return refuse_full(core, m->section[i].table, answer);
        s->under_way = m->push.clock;
        s->parts_applied = m->push.part + 1;
        if (s->parts_applied == m->push.parts) {
            s->applied = m->push.clock;
            s->parts_applied = 0;
            s->pushes_applied++;
        }
    } else if (place == 0 && m->push.clock > 0) { /* clock 0 only asks */
        s->duplicates++;
    }
    answer->kind = MESSAGE_ACK;
    answer->ack = (struct ack){s->applied, s->parts_applied, place < 0};
    return 0;
}

/* Does every section name a table of ours, with its width and keys that we own? */
static int check_sections(const struct core *core, const struct message *m, struct err *err)
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
            return err_set(err, ERR_PEER,
                           "worker %u pushed rows of %u floats to table %s, which has %u",
                           m->sender, section->width, core->names[section->table],
                           core->table[section->table].spec.width);
        key = (const uint64_t *)(m->body + at[i].keys);
        for (uint32_t k = 0; k < section->rows; k++)
            if (!core_owns(core, section->table, key[k]))
                return err_set(err, ERR_PEER,
                               "worker %u sent key %llu of table %s to server %u, which "
                               "does not own it",
                               m->sender, (unsigned long long)key[k],
                               core->names[section->table], core->index);
    }
    return 0;
}

int core_handle(struct core *core, const struct message *m, struct message *answer,
                struct buffer **body, struct err *err)
{
    *body = NULL;
    answer->sections = 0;
    if (m->kind != MESSAGE_PULL && m->kind != MESSAGE_PUSH) {
        err_set(err, ERR_PEER, "server %u serves pulls and pushes, not message %d",
                core->index, (int)m->kind);
        refuse(answer, ERR_PEER, err);
        return 0;
    }
    if (m->role != ROLE_WORKER || m->sender >= core->workers) {
        err_set(err, ERR_PEER, "server %u knows workers 0 to %u, not %u", core->index,
                core->workers - 1, m->sender);
        refuse(answer, ERR_PEER, err);
        return 0;
    }
    if (check_sections(core, m, err)) {
        refuse(answer, ERR_PEER, err);
        return 0;
    }
    if (m->kind == MESSAGE_PULL)
        return handle_pull(core, m, answer, body, err);
    return handle_push(core, m, answer);
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
    return slot_owner(key_slot(table, key), core->servers) == core->index;
}

int core_restore_row(struct core *core, uint32_t table, uint64_t key,
                     const unsigned char *values, struct err *err)
{
    struct table *t = &core->table[table];
    float *row;

    if (table_find_or_make(t, &key, 1, &row))
        return err_set(err, ERR_MEMORY,
                       "server %u: the checkpoint's rows of table %s pass "
                       "cluster.memory_max (%lld MiB)",
                       core->index, core->names[table],
                       (long long)core->job->cluster.memory_max >> 20);
    memcpy(row, values, (t->spec.width + t->spec.state_width) * sizeof(float));
    return 0;
}

void core_fill_status(const struct core *core, struct status *status)
{
    status->pushes_applied = 0;
    status->pushes_duplicate = 0;
    for (uint32_t w = 0; w < core->workers; w++) {
        status->pushes_applied += core->session[w].pushes_applied;
        status->pushes_duplicate += core->session[w].duplicates;
    }
    status->tables = (uint32_t)core->job->tables;
    for (uint32_t i = 0; i < status->tables; i++) {
        status->table[i].rows = table_rows(&core->table[i]);
        status->table[i].bytes = table_bytes(&core->table[i]);
        memcpy(status->table[i].staleness, core->staleness[i],
               sizeof status->table[i].staleness);
    }
}

/* The simulated cluster of cluster.h; included once, by the test that runs it. */
#ifndef ROWHOUSE_TESTS_SIM_SIMULATE_H
#define ROWHOUSE_TESTS_SIM_SIMULATE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/net/buffer.h"
#include "common/net/message.h"
#include "common/rng.h"
#include "server/core.h"
#include "server/dealing.h"
#include "tests/sim/cluster.h"
#include "worker/client.h"

#include <sys/mman.h>
#include <ucontext.h>

enum {
    STACK_BYTES = 512 * 1024,
    REGION_BYTES = 64 << 20,
    WORKERS = 4,
    SERVERS = 7,
    TABLES = JOB_TABLES_MAX,
    PACKETS_MAX = 4096,
    TIME_MAX_MS = 10 * 60 * 1000,
    WINDOW = 4,
    AHEAD = 2,
};

struct packet {
    int64_t at_ms;
    uint64_t order; /* ties keep the order of sending */
    bool to_server;
    uint32_t server, worker, incarnation;
    unsigned char *head;
    size_t head_bytes;
    unsigned char *body;
    size_t body_bytes;
};

struct sim;

struct sim_worker {
    struct sim *sim;
    uint32_t index;
    struct client *client;
    struct row_cache *cache; /* or NULL */
    struct outbox *outbox;
    void *outbox_memory; /* outlives a death */
    uint64_t outbox_bytes;
    uint32_t incarnation;
    struct batch batch[AHEAD];
    float *gradient[TABLES];
    uint64_t computed; /* the highest clock whose gradients were counted */
    /* Of leases: what it knows to have, how far it has read, and the positions of the
     * batches that it holds. */
    struct leases known;
    bool more;
    uint64_t lease, position, taken, read, place[AHEAD][256];
    ucontext_t context;
    void *stack;
    bool done;
    int rc;
    int64_t wake_ms;
    struct packet inbox[256];
    uint32_t inbox_count;
};

struct sim {
    const struct sim_setup *setup;
    struct sim_result *result;
    struct job job;
    struct roster roster;
    struct buffer_pool *pool;
    struct region region[SERVERS];
    struct core *core[SERVERS];
    uint32_t incarnation[SERVERS];
    struct sim_worker worker[WORKERS];
    struct packet packet[PACKETS_MAX];
    uint32_t packets;
    uint64_t sent, chances;
    int64_t now_ms;
    ucontext_t scheduler;
    struct dealing *dealing; /* of leases, and a copy */
    uint32_t tables;
    double *expected[TABLES]; /* [keys] */
    uint64_t *pushed[TABLES]; /* [keys]: in how many batches */
    uint32_t width[TABLES];
    struct message message, answer;
};

static bool chance(struct sim *sim, uint32_t in_1000)
{
    return rng_at(sim->setup->seed, 1, sim->chances++) % 1000 < in_1000;
}

/* --- the network
 * ----------------------------------------------------------------------- */

static void put_packet(struct sim *sim, bool to_server, uint32_t server,
                       struct peer peer, const struct message *message,
                       const struct buffer *body)
{
    const struct sim_faults *faults = &sim->setup->faults;
    unsigned char head[MESSAGE_HEADER_MAX];
    struct message copy = *message;
    uint32_t copies = 1;

    copy.job = 7;
    copy.role = to_server ? ROLE_WORKER : ROLE_SERVER;
    copy.sender = to_server ? peer.index : server;
    copy.incarnation = to_server ? peer.incarnation : sim->incarnation[server];
    if (chance(sim, faults->drop)) {
        sim->result->dropped++;
        return;
    }
    if (chance(sim, faults->duplicate)) {
        sim->result->doubled++;
        copies = 2;
    }
    for (uint32_t i = 0; i < copies && sim->packets < PACKETS_MAX; i++) {
        struct packet *p = &sim->packet[sim->packets++];

        *p = (struct packet){.at_ms = sim->now_ms + 1,
                             .order = sim->sent++,
                             .to_server = to_server,
                             .server = server,
                             .worker = peer.index,
                             .incarnation = peer.incarnation};
        if (chance(sim, faults->delay)) {
            sim->result->delayed++;
            p->at_ms += (int64_t)(rng_at(sim->setup->seed, 2, sim->chances++) % 3000);
        }
        p->head_bytes = message_encode(&copy, head);
        p->head = malloc(p->head_bytes);
        memcpy(p->head, head, p->head_bytes);
        p->body_bytes = body ? body->used : 0;
        p->body = malloc(p->body_bytes + 8);
        if (body)
            memcpy(p->body, body->data, body->used);
    }
}

static void drop_packet(struct packet *p)
{
    free(p->head);
    free(p->body);
}

/* The next packet to arrive, taken out of the network. */
static bool take_packet(struct sim *sim, int64_t until_ms, struct packet *packet)
{
    uint32_t best = sim->packets;

    for (uint32_t i = 0; i < sim->packets; i++)
        if (best == sim->packets || sim->packet[i].at_ms < sim->packet[best].at_ms ||
            (sim->packet[i].at_ms == sim->packet[best].at_ms &&
             sim->packet[i].order < sim->packet[best].order))
            best = i;
    if (best == sim->packets || sim->packet[best].at_ms > until_ms)
        return false;
    *packet = sim->packet[best];
    sim->packet[best] = sim->packet[--sim->packets];
    return true;
}

/* --- servers
 * ----------------------------------------------------------------------------- */

static void send_answers(struct sim *sim, uint32_t s)
{
    struct buffer *body;
    struct peer to;

    while (core_next(sim->core[s], &to, &sim->answer, &body)) {
        if (sim->setup->watch && sim->setup->watch->answered)
            sim->setup->watch->answered(sim->setup->watch->context, s, to, &sim->answer,
                                        body);
        put_packet(sim, false, s, to, &sim->answer, body);
        buffer_unref(body);
    }
}

static void start_server(struct sim *sim, uint32_t s)
{
    static const struct range share[WORKERS] = {{0, 1}, {0, 1}, {0, 1}, {0, 1}};
    struct err err;

    if (core_create(&sim->job, s, sim->setup->servers, sim->setup->workers,
                    &sim->region[s], sim->pool, &sim->core[s], &err))
        fail_msg("server %u: %s", s, err.text);
    if (core_begin_training(sim->core[s], 1, 0, share, &err))
        fail_msg("server %u: %s", s, err.text);
    send_answers(sim, s);
}

static void note_histogram(struct sim *sim, const uint64_t *staleness)
{
    uint32_t allowed = sim->setup->consistency == CONSISTENCY_SSP
                           ? sim->setup->staleness
                           : 0;

    for (uint32_t k = 0; k < STALENESS_BUCKETS; k++) {
        if (!staleness[k])
            continue;
        if (k > sim->result->staleness_max)
            sim->result->staleness_max = k;
        if (sim->setup->consistency != CONSISTENCY_ASYNC && k > allowed)
            sim->result->too_stale += staleness[k];
    }
}

static void note_staleness(struct sim *sim, uint32_t s)
{
    static struct status status;

    core_fill_status(sim->core[s], &status);
    note_histogram(sim, status.table[0].staleness);
}

static void serve(struct sim *sim, const struct packet *p)
{
    struct err err;

    if (chance(sim, sim->setup->faults.server_deaths)) {
        /* It dies with the message in hand; another goes on over the same region. */
        sim->result->deaths++;
        note_staleness(sim, p->server);
        if (sim->setup->watch && sim->setup->watch->died)
            sim->setup->watch->died(sim->setup->watch->context, p->server);
        core_destroy(sim->core[p->server]);
        sim->incarnation[p->server]++;
        start_server(sim, p->server);
        return;
    }
    if (message_decode(&sim->message, p->head, p->head_bytes, p->body_bytes, &err))
        fail_msg("decode: %s", err.text);
    sim->message.body = p->body;
    sim->message.body_bytes = p->body_bytes;
    if (core_handle(sim->core[p->server], &sim->message, &err))
        fail_msg("server %u: %s", p->server, err.text);
    if (sim->setup->watch && sim->setup->watch->taken)
        sim->setup->watch->taken(sim->setup->watch->context, p->server, &sim->message);
    send_answers(sim, p->server);
}

/* --- workers
 * ------------------------------------------------------------------------------ */

static int line_send(void *context, uint32_t server, const struct message *message,
                     struct buffer *body, struct err *err)
{
    struct sim_worker *worker = context;

    (void)err;
    put_packet(worker->sim, true, server,
               (struct peer){ROLE_WORKER, worker->index, worker->incarnation}, message,
               body);
    return 0;
}

static int line_wait(void *context, struct client *client, int timeout_ms,
                     struct err *err)
{
    struct sim_worker *worker = context;
    struct sim *sim = worker->sim;
    int rc = 0;

    worker->wake_ms = sim->now_ms + timeout_ms;
    if (worker->inbox_count == 0)
        swapcontext(&worker->context, &sim->scheduler);
    for (uint32_t i = 0; i < worker->inbox_count; i++) {
        struct packet *p = &worker->inbox[i];

        if (p->incarnation != worker->incarnation) { /* to one that is dead */
            drop_packet(p);
            continue;
        }
        if (rc == 0)
            rc = message_decode(&sim->message, p->head, p->head_bytes, p->body_bytes,
                                err);
        sim->message.body = p->body;
        sim->message.body_bytes = p->body_bytes;
        if (rc == 0)
            rc = client_receive(client, p->server, &sim->message, err);
        drop_packet(p);
    }
    worker->inbox_count = 0;
    return rc;
}

static int64_t line_now(void *context)
{
    return ((struct sim_worker *)context)->sim->now_ms;
}

static void make_batch(struct sim_worker *worker, struct batch *batch, uint64_t clock)
{
    const struct sim_setup *setup = worker->sim->setup;
    uint64_t key[256];
    struct err err;

    batch->n = setup->batch;
    batch->clock = clock;
    for (uint32_t t = 0; t < worker->sim->tables; t++) {
        for (uint32_t i = 0; i < batch->n; i++)
            key[i] = rng_at(setup->seed, 100 * (1 + 2 * t) + worker->index,
                            clock * 1000 + i) %
                     setup->keys;
        keyset_build(&batch->set[t], key, batch->n, 1, setup->servers);
    }
    if (batch_cut(batch, &err))
        fail_msg("%s", err.text);
}

static void make_table_gradient(struct sim_worker *worker, const struct batch *batch,
                                uint32_t t, bool anew)
{
    struct sim *sim = worker->sim;
    uint32_t width = sim->width[t];

    for (uint32_t i = 0; i < batch->set[t].rows; i++) {
        uint64_t key = batch->set[t].key[i];
        float g = (float)(rng_at(sim->setup->seed, 200 * (1 + t) + worker->index,
                                 batch->clock * 100000 + key) %
                          100);

        if (anew) {
            sim->expected[t][key] += (double)g;
            sim->pushed[t][key]++;
        }
        for (uint32_t j = 0; j < width; j++)
            worker->gradient[t][i * width + j] = -g; /* the rate is 1: w -= -g */
    }
}

/* Gradients are counted once, however often a restarted worker computes them: it must
 * never compute a clock that a server may have seen. */
static void make_gradient(struct sim_worker *worker, const struct batch *batch)
{
    bool anew = batch->clock > worker->computed;

    for (uint32_t t = 0; t < worker->sim->tables; t++)
        make_table_gradient(worker, batch, t, anew);
    if (anew)
        worker->computed = batch->clock;
}

/* Gives the others time, as a long computation does. */
static int pause(struct sim_worker *worker, int64_t ms, struct err *err)
{
    int64_t until = worker->sim->now_ms + ms;
    int rc = 0;

    while (rc == 0 && worker->sim->now_ms < until)
        rc = line_wait(worker, worker->client, (int)(until - worker->sim->now_ms), err);
    return rc;
}

static int step(struct sim_worker *worker, uint64_t clock, struct err *err)
{
    const struct sim_setup *setup = worker->sim->setup;
    struct batch *batch = &worker->batch[clock % AHEAD];
    struct journal_entry standing = {.order = 1, .clock = clock, .taken = clock};
    int rc = client_finish_pull(worker->client, batch, err);

    if (rc == 0 && worker->index == 0 && setup->slow_ms)
        rc = pause(worker, setup->slow_ms, err);
    if (rc)
        return rc;
    make_gradient(worker, batch);
    if (setup->watch && setup->watch->computed)
        setup->watch->computed(setup->watch->context, worker->index, batch,
                               worker->gradient[0]);
    return client_push(worker->client, batch, worker->gradient, &standing, err);
}

#include "tests/sim/leases.h"

static int work(struct sim_worker *worker, struct err *err)
{
    const struct sim_setup *setup = worker->sim->setup;
    uint64_t begun = outbox_standing(worker->outbox)->clock;
    uint64_t clock = begun + 1;
    uint32_t ahead = setup->consistency == CONSISTENCY_BSP || setup->delta ? 1 : AHEAD;
    int rc = client_meet(worker->client, err);

    if (setup->consistency == CONSISTENCY_SSP && ahead > setup->staleness + 1)
        ahead = setup->staleness + 1;
    client_begin_order(worker->client, 1, begun);
    for (; clock <= setup->batches && rc == 0; clock++) {
        while (rc == 0 && begun < setup->batches && begun < clock + ahead - 1) {
            begun++;
            make_batch(worker, &worker->batch[begun % AHEAD], begun);
            rc = client_begin_pull(worker->client, &worker->batch[begun % AHEAD], err);
        }
        if (rc == 0)
            rc = step(worker, clock, err);
    }
    if (rc == 0)
        rc = client_end_order(worker->client, err);
    while (rc == 0 && !client_has_ended(worker->client))
        rc = client_wait(worker->client, err);
    return rc;
}

static void worker_main(unsigned high, unsigned low)
{
    struct sim_worker *worker = (struct sim_worker *)(((uintptr_t)high << 32) |
                                                      (uintptr_t)low);
    struct err err = {0};

    worker->rc = worker->sim->dealing ? work_leases(worker, &err) : work(worker, &err);
    if (worker->rc && !worker->sim->result->text[0]) /* others fail for want of it */
        snprintf(worker->sim->result->text, sizeof worker->sim->result->text,
                 "worker %u: %.400s", worker->index, err.text);
    worker->done = true;
    swapcontext(&worker->context, &worker->sim->scheduler);
}

static void start_worker(struct sim *sim, uint32_t w)
{
    struct sim_worker *worker = &sim->worker[w];
    struct line line = {line_send, line_wait, line_now, worker};
    uintptr_t self = (uintptr_t)worker;
    struct err err;

    if (outbox_open(worker->outbox_memory, worker->outbox_bytes, &worker->outbox,
                    &err) ||
        client_create(&sim->job, &sim->roster, line, sim->pool, worker->outbox, WINDOW,
                      &worker->client, &err))
        fail_msg("%s", err.text);
    if (sim->setup->cache) {
        if (row_cache_create(sim->setup->cache, sim->width, sim->tables, &worker->cache,
                             &err))
            fail_msg("%s", err.text);
        client_use_cache(worker->client, worker->cache);
    }
    worker->wake_ms = sim->now_ms;
    getcontext(&worker->context);
    worker->context.uc_stack.ss_sp = worker->stack;
    worker->context.uc_stack.ss_size = STACK_BYTES;
    worker->context.uc_link = &sim->scheduler;
    makecontext(&worker->context, (void (*)(void))worker_main, 2,
                (unsigned)(self >> 32), (unsigned)self);
}

static void make_worker(struct sim *sim, uint32_t w)
{
    struct sim_worker *worker = &sim->worker[w];
    uint64_t rows[TABLES];
    struct err err;

    worker->sim = sim;
    worker->index = w;
    worker->stack = malloc(STACK_BYTES);
    for (uint32_t t = 0; t < sim->tables; t++) {
        worker->gradient[t] = calloc(sim->setup->batch * sim->width[t], sizeof(float));
        rows[t] = sim->setup->batch;
    }
    worker->outbox_bytes = client_outbox_bytes(rows, sim->width, sim->tables,
                                               sim->setup->servers, WINDOW);
    worker->outbox_memory = calloc(1, worker->outbox_bytes);
    for (int i = 0; i < AHEAD; i++) {
        if (batch_create(&worker->batch[i], sim->width, sim->tables,
                         sim->setup->servers, sim->setup->batch, &err))
            fail_msg("%s", err.text);
        for (uint32_t t = 0; t < sim->tables; t++)
            worker->batch[i].set[t].dense = (uint64_t)sim->job.table[t].rows;
    }
    start_worker(sim, w);
}

static void close_cache(struct sim_worker *worker)
{
    const struct row_cache_counts *counts;

    if (!worker->cache)
        return;
    counts = row_cache_counts(worker->cache, 0);
    worker->sim->result->cache_reads += counts->reads;
    worker->sim->result->cache_hits += counts->hits;
    note_histogram(worker->sim, counts->staleness);
    row_cache_destroy(worker->cache);
    worker->cache = NULL;
}

/* Its process dies where it waits; another goes on with the outbox. */
static void kill_worker(struct sim *sim, struct sim_worker *worker)
{
    sim->result->deaths++;
    close_cache(worker);
    client_destroy(worker->client);
    outbox_close(worker->outbox);
    worker->incarnation++;
    start_worker(sim, worker->index);
}

static void free_worker(struct sim_worker *worker)
{
    for (uint32_t i = 0; i < worker->inbox_count; i++)
        drop_packet(&worker->inbox[i]);
    close_cache(worker);
    client_destroy(worker->client);
    outbox_close(worker->outbox);
    for (int i = 0; i < AHEAD; i++)
        batch_release(&worker->batch[i]);
    free(worker->outbox_memory);
    for (uint32_t t = 0; t < TABLES; t++)
        free(worker->gradient[t]);
    free(worker->stack);
}

/* --- the run
 * ------------------------------------------------------------------------------- */

static void run_workers(struct sim *sim)
{
    for (uint32_t w = 0; w < sim->setup->workers; w++) {
        struct sim_worker *worker = &sim->worker[w];

        if (worker->done || (!worker->inbox_count && sim->now_ms < worker->wake_ms))
            continue;
        if (chance(sim, sim->setup->faults.worker_deaths))
            kill_worker(sim, worker);
        else
            swapcontext(&sim->scheduler, &worker->context);
    }
}

static bool all_done(const struct sim *sim)
{
    for (uint32_t w = 0; w < sim->setup->workers; w++)
        if (!sim->worker[w].done)
            return false;
    return true;
}

static int64_t next_wake(const struct sim *sim)
{
    int64_t next = INT64_MAX;

    for (uint32_t w = 0; w < sim->setup->workers; w++)
        if (!sim->worker[w].done && sim->worker[w].wake_ms < next)
            next = sim->worker[w].wake_ms;
    return next;
}

static void run(struct sim *sim)
{
    while (!all_done(sim)) {
        int64_t wake = next_wake(sim);
        struct packet p;

        if (sim->now_ms > TIME_MAX_MS) {
            sim->result->stuck = true;
            return;
        }
        if (!take_packet(sim, wake, &p)) {
            sim->now_ms = wake > sim->now_ms ? wake : sim->now_ms + 1;
            run_workers(sim);
            continue;
        }
        if (p.at_ms > sim->now_ms)
            sim->now_ms = p.at_ms;
        if (p.to_server) {
            serve(sim, &p);
            drop_packet(&p);
        } else if (sim->worker[p.worker].inbox_count < 256) {
            sim->worker[p.worker].inbox[sim->worker[p.worker].inbox_count++] = p;
            run_workers(sim);
        } else {
            drop_packet(&p);
        }
    }
}

/* Rows of a table that workers have pushed and that are nowhere. */
static void count_unmade(struct sim *sim, uint32_t t)
{
    for (uint64_t key = 0; key < sim->setup->keys; key++) {
        bool there = false;

        for (uint32_t s = 0; s < sim->setup->servers; s++) {
            uint32_t tables;
            float *row;

            table_find(core_tables(sim->core[s], &tables)[t], &key, 1, &row);
            there |= row != NULL;
        }
        if (!there)
            sim->result->unmade += sim->pushed[t][key];
    }
}

static void compare(struct sim *sim, const struct table *table, uint32_t t)
{
    for (uint64_t i = 0; i < table_rows(table); i++) {
        uint64_t key;
        const float *row = table_row(table, i, &key);
        bool wrong = key >= sim->setup->keys;

        for (uint32_t j = 0; j < sim->width[t] && !wrong; j++)
            wrong = (double)row[j] != sim->expected[t][key];
        sim->result->wrong_rows += wrong;
        sim->result->rows++;
        for (uint32_t j = 0; j < sim->width[t]; j++) {
            uint32_t bits;

            memcpy(&bits, &row[j], sizeof bits);
            sim->result->digest += mix64(mix64((key * 2 + t) * 64 + j) ^ bits);
        }
    }
}

static void compare_all(struct sim *sim)
{
    for (uint32_t s = 0; s < sim->setup->servers; s++) {
        uint32_t tables;
        const struct table *const *table = core_tables(sim->core[s], &tables);

        for (uint32_t t = 0; t < tables; t++)
            compare(sim, table[t], t);
    }
}

static void count(struct sim *sim)
{
    for (uint32_t w = 0; w < sim->setup->workers; w++) {
        sim->result->pushes_sent += client_counts(sim->worker[w].client)->pushes_sent;
        sim->result->resent += client_counts(sim->worker[w].client)->pushes_resent;
        sim->result->trained[w] = outbox_standing(sim->worker[w].outbox)->taken;
    }
    for (uint32_t s = 0; s < sim->setup->servers; s++) {
        static struct status status;

        note_staleness(sim, s);
        if (sim->setup->watch && sim->setup->watch->ended)
            sim->setup->watch->ended(sim->setup->watch->context, s, sim->core[s]);
        core_fill_status(sim->core[s], &status);
        sim->result->pushes_applied += status.pushes_applied;
        sim->result->duplicates += status.pushes_duplicate;
        for (uint32_t t = 0; t < sim->tables; t++)
            sim->result->rows_refused += status.table[t].rows_refused;
    }
    for (uint32_t t = 0; t < sim->tables; t++)
        count_unmade(sim, t);
}

static void fill_job(struct sim *sim)
{
    struct job *job = &sim->job;

    job_init(job);
    sim->tables = sim->setup->tables ? sim->setup->tables : 1;
    job->tables = (int)sim->tables;
    for (uint32_t t = 0; t < sim->tables; t++) {
        snprintf(job->table[t].name, sizeof job->table[t].name, "t%u", t);
        sim->width[t] = sim->setup->dim + 2 * t;
        job->table[t].dim = sim->width[t];
        job->table[t].init = INIT_ZERO;
        job->table[t].rows_max = sim->setup->rows_max;
        job->table[t].rows = sim->setup->dense ? sim->setup->keys : 0;
    }
    job->model.bias = false;
    if (sim->setup->rough) { /* sums that depend on their order */
        job->optimizer.kind = OPTIMIZER_ADAGRAD;
        job->optimizer.rate = 0.1;
        job->optimizer.l2 = 0.01;
    } else {
        job->optimizer.kind = OPTIMIZER_SGD;
        job->optimizer.rate = 1;
        job->optimizer.l2 = 0;
    }
    job->optimizer.stale_rate = sim->setup->stale_rate;
    job->optimizer.compensate = (double)sim->setup->compensate;
    job->train.consistency = sim->setup->consistency;
    job->train.staleness = sim->setup->staleness;
    job->train.update = sim->setup->delta ? UPDATE_DELTA : UPDATE_GRADIENT;
    job->train.cache_staleness = sim->setup->cache_staleness;
    job->cluster.timeout = sim->setup->timeout_s ? sim->setup->timeout_s : 300;
    job->cluster.memory_max = REGION_BYTES / 2;
    sim->roster.servers = sim->setup->servers;
    sim->roster.workers = sim->setup->workers;
}

void sim_run(const struct sim_setup *setup, struct sim_result *result)
{
    struct sim *sim = calloc(1, sizeof *sim);

    memset(result, 0, sizeof *result);
    sim->setup = setup;
    sim->result = result;
    sim->pool = buffer_pool_create(1 << 28);
    fill_job(sim);
    for (uint32_t t = 0; t < sim->tables; t++) {
        sim->expected[t] = calloc(setup->keys, sizeof *sim->expected[t]);
        sim->pushed[t] = calloc(setup->keys, sizeof *sim->pushed[t]);
    }
    for (uint32_t s = 0; s < setup->servers; s++) {
        sim->region[s] = (struct region){
            .size = REGION_BYTES, .bytes_max = REGION_BYTES / 2, .fd = -1};
        sim->region[s].base = mmap(NULL, REGION_BYTES, PROT_READ | PROT_WRITE,
                                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        start_server(sim, s);
    }
    if (setup->positions)
        open_dealing(sim);
    for (uint32_t w = 0; w < setup->workers; w++)
        make_worker(sim, w);
    run(sim);
    compare_all(sim);
    count(sim);
    for (uint32_t w = 0; w < setup->workers; w++)
        free_worker(&sim->worker[w]);
    for (uint32_t s = 0; s < setup->servers; s++) {
        core_destroy(sim->core[s]);
        munmap(sim->region[s].base, REGION_BYTES);
    }
    for (uint32_t i = 0; i < sim->packets; i++)
        drop_packet(&sim->packet[i]);
    buffer_pool_destroy(sim->pool);
    free(sim->dealing);
    for (uint32_t t = 0; t < TABLES; t++) {
        free(sim->expected[t]);
        free(sim->pushed[t]);
    }
    free(sim);
}

#endif

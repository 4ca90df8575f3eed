/* Exactly once, in the simulated cluster: whatever the network loses, doubles, delays or
 * overtakes, and whichever server dies between two messages, every row ends as the sum of
 * all gradients pushed to it. A seed that fails is printed; give it as the only argument
 * to replay it. */
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
#include "tests/sim/cluster.h"
#include "worker/client.h"

#include <sys/mman.h>
#include <ucontext.h>

enum {
    STACK_BYTES = 256 * 1024,
    REGION_BYTES = 64 << 20,
    WORKERS = 4,
    SERVERS = 5,
    PACKETS_MAX = 4096,
    TIME_MAX_MS = 10 * 60 * 1000,
    WINDOW = 4,
    AHEAD = 2,
};

struct packet {
    int64_t at_ms;
    uint64_t order; /* ties keep the order of sending */
    bool to_server;
    uint32_t server, worker;
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
    struct sim_worker worker[WORKERS];
    struct packet packet[PACKETS_MAX];
    uint32_t packets;
    uint64_t sent, chances;
    int64_t now_ms;
    ucontext_t scheduler;
    double *expected; /* [keys] */
    uint32_t width[1];
    struct message message, answer;
};

static bool chance(struct sim *sim, uint32_t in_1000)
{
    return rng_at(sim->setup->seed, 1, sim->chances++) % 1000 < in_1000;
}

/* --- the network ----------------------------------------------------------------------- */

static void put_packet(struct sim *sim, bool to_server, uint32_t server, uint32_t worker,
                       const struct message *message, const struct buffer *body)
{
    const struct sim_faults *faults = &sim->setup->faults;
    unsigned char head[MESSAGE_HEADER_MAX];
    struct message copy = *message;
    uint32_t copies = 1;

    copy.job = 7;
    copy.role = to_server ? ROLE_WORKER : ROLE_SERVER;
    copy.sender = to_server ? worker : server;
    copy.incarnation = 0;
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
                             .worker = worker};
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

/* --- servers ----------------------------------------------------------------------------- */

static void start_server(struct sim *sim, uint32_t s)
{
    struct err err;

    if (core_create(&sim->job, s, sim->setup->servers, sim->setup->workers, &sim->region[s],
                    sim->pool, &sim->core[s], &err))
        fail_msg("server %u: %s", s, err.text);
}

static void serve(struct sim *sim, const struct packet *p)
{
    struct buffer *body;
    struct err err;

    if (chance(sim, sim->setup->faults.server_deaths)) {
        /* It dies with the message in hand; another goes on over the same region. */
        sim->result->deaths++;
        core_destroy(sim->core[p->server]);
        start_server(sim, p->server);
        return;
    }
    if (message_decode(&sim->message, p->head, p->head_bytes, p->body_bytes, &err))
        fail_msg("decode: %s", err.text);
    sim->message.body = p->body;
    sim->message.body_bytes = p->body_bytes;
    if (core_handle(sim->core[p->server], &sim->message, &sim->answer, &body, &err))
        fail_msg("server %u: %s", p->server, err.text);
    put_packet(sim, false, p->server, p->worker, &sim->answer, body);
    buffer_unref(body);
}

/* --- workers ------------------------------------------------------------------------------ */

static int line_send(void *context, uint32_t server, const struct message *message,
                     struct buffer *body, struct err *err)
{
    struct sim_worker *worker = context;

    (void)err;
    put_packet(worker->sim, true, server, worker->index, message, body);
    return 0;
}

static int line_wait(void *context, struct client *client, int timeout_ms, struct err *err)
{
    struct sim_worker *worker = context;
    struct sim *sim = worker->sim;
    int rc = 0;

    worker->wake_ms = sim->now_ms + timeout_ms;
    if (worker->inbox_count == 0)
        swapcontext(&worker->context, &sim->scheduler);
    for (uint32_t i = 0; i < worker->inbox_count; i++) {
        struct packet *p = &worker->inbox[i];

        if (rc == 0)
            rc = message_decode(&sim->message, p->head, p->head_bytes, p->body_bytes, err);
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
    for (uint32_t i = 0; i < batch->n; i++)
        key[i] = rng_at(setup->seed, 100 + worker->index, clock * 1000 + i) % setup->keys;
    keyset_build(&batch->set[0], key, batch->n, 1, setup->servers);
    if (batch_cut(batch, &err))
        fail_msg("%s", err.text);
}

static void make_gradient(struct sim_worker *worker, const struct batch *batch,
                          float *gradient)
{
    const struct sim_setup *setup = worker->sim->setup;

    for (uint32_t i = 0; i < batch->set[0].rows; i++) {
        uint64_t key = batch->set[0].key[i];
        float g = (float)(rng_at(setup->seed, 200 + worker->index,
                                 batch->clock * 100000 + key) % 100);

        worker->sim->expected[key] += (double)g;
        for (uint32_t j = 0; j < setup->dim; j++)
            gradient[i * setup->dim + j] = -g; /* the rate is 1: w -= -g */
    }
}

static int work(struct sim_worker *worker, struct err *err)
{
    const struct sim_setup *setup = worker->sim->setup;
    struct batch batch[AHEAD] = {{0}};
    float *gradient = malloc(setup->batch * setup->dim * sizeof *gradient);
    float *const gradients[1] = {gradient};
    uint64_t begun = 0;
    int rc = client_meet(worker->client, err);

    for (int i = 0; i < AHEAD && rc == 0; i++)
        rc = batch_create(&batch[i], worker->sim->width, 1, setup->servers, setup->batch,
                          err);
    for (uint64_t clock = 1; clock <= setup->batches && rc == 0; clock++) {
        while (rc == 0 && begun < setup->batches && begun < clock + AHEAD - 1) {
            begun++;
            make_batch(worker, &batch[begun % AHEAD], begun);
            rc = client_begin_pull(worker->client, &batch[begun % AHEAD], err);
        }
        if (rc == 0)
            rc = client_finish_pull(worker->client, &batch[clock % AHEAD], err);
        if (rc == 0) {
            make_gradient(worker, &batch[clock % AHEAD], gradient);
            rc = client_push(worker->client, &batch[clock % AHEAD], gradients, err);
        }
    }
    if (rc == 0)
        rc = client_drain(worker->client, err);
    for (int i = 0; i < AHEAD; i++)
        batch_release(&batch[i]);
    free(gradient);
    return rc;
}

static void worker_main(unsigned high, unsigned low)
{
    struct sim_worker *worker =
        (struct sim_worker *)(((uintptr_t)high << 32) | (uintptr_t)low);
    struct err err = {0};

    worker->rc = work(worker, &err);
    if (worker->rc)
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

    worker->sim = sim;
    worker->index = w;
    if (client_create(&sim->job, &sim->roster, line, sim->pool, WINDOW, &worker->client,
                      &err))
        fail_msg("%s", err.text);
    worker->stack = malloc(STACK_BYTES);
    getcontext(&worker->context);
    worker->context.uc_stack.ss_sp = worker->stack;
    worker->context.uc_stack.ss_size = STACK_BYTES;
    worker->context.uc_link = &sim->scheduler;
    makecontext(&worker->context, (void (*)(void))worker_main, 2,
                (unsigned)(self >> 32), (unsigned)self);
}

/* --- the run ------------------------------------------------------------------------------- */

static void run_workers(struct sim *sim)
{
    for (uint32_t w = 0; w < sim->setup->workers; w++) {
        struct sim_worker *worker = &sim->worker[w];

        if (!worker->done && (worker->inbox_count || sim->now_ms >= worker->wake_ms))
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

static void compare(struct sim *sim)
{
    const struct sim_setup *setup = sim->setup;

    for (uint32_t s = 0; s < setup->servers; s++) {
        uint32_t tables;
        const struct table *table = core_tables(sim->core[s], &tables)[0];

        for (uint64_t i = 0; i < table_rows(table); i++) {
            uint64_t key;
            const float *row = table_row(table, i, &key);
            bool wrong = key >= setup->keys;

            for (uint32_t j = 0; j < setup->dim && !wrong; j++)
                wrong = (double)row[j] != sim->expected[key];
            sim->result->wrong_rows += wrong;
            sim->result->rows++;
        }
    }
}

static void count(struct sim *sim)
{
    for (uint32_t w = 0; w < sim->setup->workers; w++) {
        sim->result->pushes_sent += client_counts(sim->worker[w].client)->pushes_sent;
        sim->result->resent += client_counts(sim->worker[w].client)->pushes_resent;
    }
    for (uint32_t s = 0; s < sim->setup->servers; s++) {
        static struct status status;

        core_fill_status(sim->core[s], &status);
        sim->result->pushes_applied += status.pushes_applied;
        sim->result->duplicates += status.pushes_duplicate;
    }
}

static void fill_job(struct sim *sim)
{
    struct job *job = &sim->job;

    job_init(job);
    job->tables = 1;
    snprintf(job->table[0].name, sizeof job->table[0].name, "t");
    job->table[0].dim = sim->setup->dim;
    job->table[0].init = INIT_ZERO;
    job->model.bias = false;
    job->optimizer.kind = OPTIMIZER_SGD;
    job->optimizer.rate = 1;
    job->optimizer.l2 = 0;
    job->cluster.timeout = 300;
    job->cluster.memory_max = REGION_BYTES / 2;
    sim->width[0] = sim->setup->dim;
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
    sim->expected = calloc(setup->keys, sizeof *sim->expected);
    fill_job(sim);
    for (uint32_t s = 0; s < setup->servers; s++) {
        sim->region[s] = (struct region){.size = REGION_BYTES, .bytes_max = REGION_BYTES / 2,
                                         .fd = -1};
        sim->region[s].base = mmap(NULL, REGION_BYTES, PROT_READ | PROT_WRITE,
                                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        start_server(sim, s);
    }
    for (uint32_t w = 0; w < setup->workers; w++)
        start_worker(sim, w);
    run(sim);
    compare(sim);
    count(sim);
    for (uint32_t w = 0; w < setup->workers; w++) {
        for (uint32_t i = 0; i < sim->worker[w].inbox_count; i++)
            drop_packet(&sim->worker[w].inbox[i]);
        client_destroy(sim->worker[w].client);
        free(sim->worker[w].stack);
    }
    for (uint32_t s = 0; s < setup->servers; s++) {
        core_destroy(sim->core[s]);
        munmap(sim->region[s].base, REGION_BYTES);
    }
    for (uint32_t i = 0; i < sim->packets; i++)
        drop_packet(&sim->packet[i]);
    buffer_pool_destroy(sim->pool);
    free(sim->expected);
    free(sim);
}

/* --- the tests ---------------------------------------------------------------------------- */

static void check_seed(uint64_t seed, struct sim_faults faults, struct sim_result *total)
{
    struct sim_setup setup = {.seed = seed,
                              .servers = 1 + (uint32_t)(seed % SERVERS),
                              .workers = 1 + (uint32_t)(seed / SERVERS % WORKERS),
                              .batches = 12,
                              .keys = 200,
                              .batch = 24,
                              .dim = 3,
                              .faults = faults};
    struct sim_result r;

    sim_run(&setup, &r);
    if (r.wrong_rows || r.stuck || r.text[0] || r.pushes_sent != r.pushes_applied)
        fail_msg("seed %llu: %llu of %llu rows wrong, %llu pushes sent, %llu applied%s %s",
                 (unsigned long long)seed, (unsigned long long)r.wrong_rows,
                 (unsigned long long)r.rows, (unsigned long long)r.pushes_sent,
                 (unsigned long long)r.pushes_applied, r.stuck ? ", stuck" : "", r.text);
    total->dropped += r.dropped;
    total->doubled += r.doubled;
    total->delayed += r.delayed;
    total->deaths += r.deaths;
    total->duplicates += r.duplicates;
    total->resent += r.resent;
}

static uint64_t seeds(void)
{
    const char *text = getenv("ROWHOUSE_SIM_SEEDS");

    return text ? strtoull(text, NULL, 10) : 300;
}

static void test_quiet_network(void **state)
{
    struct sim_result total = {0};

    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++)
        check_seed(seed, (struct sim_faults){0}, &total);
    assert_int_equal(total.duplicates, 0);
    assert_int_equal(total.resent, 0);
}

static void test_bad_network(void **state)
{
    struct sim_result total = {0};

    (void)state;
    for (uint64_t seed = 1; seed <= seeds(); seed++)
        check_seed(seed, (struct sim_faults){.drop = 50, .duplicate = 50, .delay = 100},
                   &total);
    /* The faults must have happened, or this proves nothing. */
    assert_true(total.dropped > 100 && total.doubled > 100 && total.delayed > 100);
    assert_true(total.duplicates > 100 && total.resent > 100);
}

static void test_dying_servers(void **state)
{
    struct sim_result total = {0};

    (void)state;
    for (uint64_t seed = 1; seed <= seeds(); seed++)
        check_seed(seed,
                   (struct sim_faults){
                       .drop = 10, .duplicate = 10, .delay = 50, .server_deaths = 30},
                   &total);
    assert_true(total.deaths > 100);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quiet_network),
        cmocka_unit_test(test_bad_network),
        cmocka_unit_test(test_dying_servers),
    };

    if (argc > 1) {
        struct sim_result total = {0};

        check_seed(strtoull(argv[1], NULL, 10),
                   (struct sim_faults){
                       .drop = 50, .duplicate = 50, .delay = 100, .server_deaths = 30},
                   &total);
        return 0;
    }
    return cmocka_run_group_tests_name("exactly_once", tests, NULL, NULL);
}

#include "worker/worker.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/cpu.h"
#include "common/log.h"
#include "worker/step.h"

enum { WAIT_MS = 100 };

static void report_cache(struct worker *worker)
{
    struct status *status = &worker->status;

    status->tables = (uint32_t)worker->setup->job->tables;
    for (uint32_t t = 0; t < status->tables; t++) {
        const struct row_cache_counts *counts = row_cache_counts(worker->cache, t);
        struct table_facts *facts = &status->table[t];

        facts->rows = counts->rows;
        facts->bytes = counts->bytes;
        facts->cache_reads = counts->reads;
        facts->cache_hits = counts->hits;
        memcpy(facts->staleness, counts->staleness, sizeof facts->staleness);
    }
}

void worker_report(struct worker *worker, bool now)
{
    static const struct client_counts none;
    const struct client_counts *before = &worker->before;
    const struct client_counts *counts = worker->client ? client_counts(worker->client)
                                                        : &none;
    struct status *status = &worker->status;

    status->pushes_sent = before->pushes_sent + counts->pushes_sent;
    status->pushes_resent = before->pushes_resent + counts->pushes_resent;
    status->bytes_pulled = before->bytes_pulled + counts->bytes_pulled;
    status->bytes_pushed = before->bytes_pushed + counts->bytes_pushed;
    status->cpu_seconds = clock_cpu_seconds();
    if (worker->cache)
        report_cache(worker);
    member_report(worker->member, &worker->status, now);
}

static uint32_t window(const struct job *job)
{
    return (uint32_t)job->train.inflight + 2;
}

int worker_outbox_bytes(const struct job *job, uint32_t servers, uint64_t *bytes,
                        struct err *err)
{
    uint64_t rows[JOB_TABLES_MAX];
    uint32_t width[JOB_TABLES_MAX];
    struct blueprint *blueprint;
    int rc = blueprint_make(job, &blueprint, err);

    if (rc)
        return rc;
    for (int t = 0; t < job->tables; t++) {
        width[t] = job_row_width(job, t);
        rows[t] = blueprint_rows(blueprint, t, blueprint_capacity(blueprint));
    }
    *bytes = client_outbox_bytes(rows, width, (uint32_t)job->tables, servers,
                                 window(job));
    blueprint_destroy(blueprint);
    return 0;
}

/* The servers answer whoever asks, but for the time that they restore or save. */
static int meet(struct worker *worker, struct err *err)
{
    int rc = worker->met ? 0 : client_meet(worker->client, err);

    worker->met = rc == 0;
    return rc;
}

static int ready(struct worker *worker, const struct order *order, struct err *err)
{
    int rc = worker_load(worker, err);

    if (rc == 0)
        rc = meet(worker, err);
    if (rc)
        return rc;
    if (order->data.digest != worker->data->facts.digest)
        return err_set(
            err, ERR_INPUT,
            "worker %u on %s reads other data than the others: data.train must "
            "be the same everywhere",
            worker->setup->index, worker->status.host);
    learner_set_mean(worker->learner, order->data.label_mean);
    if (worker->team)
        team_set_mean(worker->team, order->data.label_mean);
    return 0;
}

/* Carries out one order. 1: the job has ended. */
static int obey(struct worker *worker, const struct order *order, struct err *err)
{
    int rc = 0;

    switch (order->kind) {
    case ORDER_WAIT:
        rc = meet(worker, err);
        break;
    case ORDER_LOAD:
        rc = worker_load(worker, err);
        break;
    case ORDER_TRAIN:
        rc = ready(worker, order, err);
        if (rc == 0)
            rc = worker_train(worker, order, err);
        break;
    case ORDER_EVALUATE:
        rc = ready(worker, order, err);
        if (rc == 0)
            rc = worker_evaluate(worker, order, err);
        break;
    case ORDER_STOP:
        rc = order->limit ? ready(worker, order, err) : meet(worker, err);
        if (rc == 0)
            rc = worker_stop(worker, order, err);
        break;
    case ORDER_END:
        rc = 1;
        break;
    default: /* the servers' orders */
        break;
    }
    if (rc < 0)
        return rc;
    worker->status.phase = rc ? PHASE_ENDED : PHASE_IDLE;
    worker->status.done = order->number;
    worker_report(worker, true);
    return rc;
}

static int loop(struct worker *worker, int *exit_status, struct err *err)
{
    struct order *order = malloc(sizeof *order);
    int rc = 0;

    if (!order)
        return err_set(err, ERR_MEMORY, "no memory for an order");
    order->number = 0;
    while (rc == 0) {
        rc = lines_wait_order(worker->lines, WAIT_MS, err);
        if (rc < 0)
            break;
        rc = 0;
        if (lines_order(worker->lines)->number != order->number) {
            *order = *lines_order(worker->lines);
            rc = obey(worker, order, err);
        }
        if (rc == -ERR_INTERRUPTED && lines_order(worker->lines)->kind == ORDER_END)
            rc = 0; /* it has come in the middle */
    }
    if (rc > 0)
        *exit_status = order->exit_status;
    free(order);
    return rc < 0 ? rc : 0;
}

/* Tells the coordinator why, and gives it a moment to end the job in an orderly way. A
 * coordinator that has gone says nothing to anybody. */
static void confess(struct worker *worker, const struct err *err, int *exit_status)
{
    int64_t until = clock_ms() + 2000;
    struct err ignored;

    *exit_status = err_exit_status(err->code);
    if (!worker->lines) {
        log_error("%s", err->text);
        return;
    }
    worker->status.error = (uint32_t)err->code;
    memcpy(worker->status.text, err->text, sizeof worker->status.text);
    worker_report(worker, true);
    while (lines_order(worker->lines)->kind != ORDER_END && clock_ms() < until)
        if (lines_wait_order(worker->lines, WAIT_MS, &ignored) < 0)
            break;
    if (lines_order(worker->lines)->kind != ORDER_END) {
        log_error("%s", err->text);
        return;
    }
    *exit_status = lines_order(worker->lines)->exit_status;
    worker->status.done = lines_order(worker->lines)->number; /* nobody waits for it */
    worker_report(worker, true);
}

static int open_cache(struct worker *worker, struct err *err)
{
    const struct job *job = worker->setup->job;
    int rc;

    if (job->train.cache == 0)
        return 0;
    rc = row_cache_create((uint64_t)job->train.cache, worker->width,
                          (uint32_t)job->tables, &worker->cache, err);
    if (rc == 0)
        client_use_cache(worker->client, worker->cache);
    return rc;
}

/* Cores for each worker of this host, as this process may use them. */
static uint32_t cores(const struct worker_setup *setup)
{
    const struct roster *roster = setup->roster;
    const char *host = roster->worker[setup->index].host;
    uint32_t neighbours = 0;
    cpu_set_t set;

    for (uint32_t w = 0; w < roster->workers; w++)
        neighbours += strcmp(roster->worker[w].host, host) == 0;
    if (sched_getaffinity(0, sizeof set, &set))
        return 1;
    return (uint32_t)CPU_COUNT(&set) / neighbours;
}

static int open_model(struct worker *worker, struct err *err)
{
    const struct blueprint *blueprint = worker->blueprint;
    const struct job *job = worker->setup->job;
    uint32_t capacity = blueprint_capacity(blueprint);
    int rc = learner_create(blueprint, capacity, true, &worker->learner, err);

    if (rc == 0 && job->train.update == UPDATE_DELTA)
        rc = delta_init(&worker->delta, job, learner_mf(worker->learner),
                        (uint32_t)blueprint->input[0].table,
                        (uint32_t)blueprint->input[1].table, err);
    if (rc == 0 && team_pays(blueprint, worker->learner))
        rc = team_create(blueprint, capacity, worker->learner, cores(worker->setup),
                         &worker->team, err);
    for (int t = 0; rc == 0 && t < job->tables; t++) {
        worker->gradient[t] = malloc((blueprint_rows(blueprint, t, capacity) + 1) *
                                     worker->width[t] * sizeof(float));
        if (!worker->gradient[t])
            rc = err_set(err, ERR_MEMORY, "no memory for gradients");
    }
    return rc;
}

static int open_all(struct worker *worker, struct err *err)
{
    const struct worker_setup *setup = worker->setup;
    struct peer self = {ROLE_WORKER, setup->index, setup->incarnation};
    const struct roster_member *me = &setup->roster->worker[setup->index];
    const struct journal_entry *entry;
    uint32_t inflight = (uint32_t)setup->job->train.inflight;
    int rc;

    worker->status.rank = me->rank;
    memcpy(worker->status.host, me->host, sizeof worker->status.host);
    entry = outbox_standing(setup->outbox);
    worker->before = (struct client_counts){entry->bytes_pulled, entry->bytes_pushed,
                                            entry->pushes_sent, entry->pushes_resent};
    rc = member_create(setup->net, setup->roster->coordinator, self, setup->roster->job,
                       (int)(setup->job->cluster.timeout * 1000), &worker->member, err);
    if (rc == 0)
        rc = lines_create(setup->net, setup->roster, self, worker->member,
                          &worker->lines, err);
    if (rc)
        return rc;
    worker_report(worker, true);
    rc = client_create(setup->job, setup->roster, lines_line(worker->lines),
                       setup->pool, setup->outbox, window(setup->job), &worker->client,
                       err);
    if (rc == 0)
        rc = open_cache(worker, err);
    if (rc == 0)
        rc = feeder_create(worker->blueprint, setup->roster->servers, inflight + 1,
                           &worker->feeder, err);
    return rc ? rc : open_model(worker, err);
}

int worker_run(const struct worker_setup *setup, int *exit_status, struct err *err)
{
    struct worker *worker = calloc(1, sizeof *worker);
    int rc;

    if (!worker)
        return err_set(err, ERR_MEMORY, "no memory for worker %u", setup->index);
    cpu_flush_tiny();
    worker->setup = setup;
    for (int t = 0; t < setup->job->tables; t++)
        worker->width[t] = job_row_width(setup->job, t);
    rc = blueprint_make(setup->job, &worker->blueprint, err);
    if (rc == 0)
        rc = open_all(worker, err);
    if (rc == 0)
        rc = loop(worker, exit_status, err);
    if (rc)
        confess(worker, err, exit_status);
    feeder_destroy(worker->feeder);
    delta_release(&worker->delta);
    team_destroy(worker->team);
    learner_destroy(worker->learner);
    client_destroy(worker->client);
    row_cache_destroy(worker->cache);
    lines_destroy(worker->lines);
    member_destroy(worker->member);
    roc_release(&worker->roc);
    covered_release(&worker->covered);
    for (int t = 0; t < JOB_TABLES_MAX; t++)
        free(worker->gradient[t]);
    blueprint_destroy(worker->blueprint);
    free(worker);
    return rc;
}

/* The seats of the rig that are a server or a worker, and what all seats share. */
#include "launch/bench_rig.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "server/core.h"
#include "server/server.h"
#include "worker/lines.h"

enum { BUFFERS_MAX = 1 << 30, LOOK_US = 200, SEED = 7 };

/* --- all seats -------------------------------------------------------------------- */

uint32_t rig_next_turn(const struct seat *seat)
{
    struct timespec pause = {0, LOOK_US * 1000};
    uint32_t turn = seat->rig->turn;

    if (turn > seat->done)
        return turn;
    nanosleep(&pause, NULL);
    return 0;
}

void latency_add(struct latency *latency, double seconds)
{
    double place = log2(seconds * 1e6 + 1) * LATENCY_OCTAVE;
    int i = place < 0 ? 0 : (int)place;

    latency->count[i < LATENCY_BUCKETS ? i : LATENCY_BUCKETS - 1]++;
}

double latency_quantile(const struct latency *latency, double q)
{
    double total = 0, below = 0;

    for (int i = 0; i < LATENCY_BUCKETS; i++)
        total += (double)latency->count[i];
    for (int i = 0; total > 0 && i < LATENCY_BUCKETS; i++) {
        below += (double)latency->count[i];
        if (below >= q * total)
            return exp2((i + 0.5) / LATENCY_OCTAVE) - 1;
    }
    return 0;
}

void rig_run_seat(struct seat *seat)
{
    static int (*const work[])(struct seat *, struct seat_net *, struct err *) = {
        [SEAT_SERVER] = seat_serve,
        [SEAT_SINK] = seat_sink,
        [SEAT_WORKER] = seat_work,
        [SEAT_SOURCE] = seat_source,
    };
    struct seat_net own = {seat->rig->net, seat->rig->pool};
    bool apart = seat->rig->options.transport != TRANSPORT_INPROC;
    struct err err;
    int rc = 0;

    if (apart) {
        rc = net_create(&own.net, &err);
        own.pool = buffer_pool_create(BUFFERS_MAX);
        if (rc == 0 && !own.pool)
            rc = err_set(&err, ERR_MEMORY, "no memory for message bodies");
    }
    if (rc == 0)
        rc = work[seat->kind](seat, &own, &err);
    if (rc && !rig_stopped(seat->rig)) {
        seat->err = err;
        seat->failed = 1;
    }
    if (apart) {
        net_destroy(own.net);
        buffer_pool_destroy(own.pool);
        seat_release(seat);
    }
}

void seat_release(struct seat *seat)
{
    outbox_close(seat->outbox);
    free(seat->outbox_memory);
}

/* --- servers ---------------------------------------------------------------------- */

/* Memory as a server of an ordinary run has it: a memfd when it is a process, which
 * could be killed and come back; anonymous when it is a thread. */
static int map_region(struct region *region, const struct rig *rig, struct err *err)
{
    *region = (struct region){.size = core_region_bytes(&rig->job),
                              .bytes_max = (uint64_t)rig->job.cluster.memory_max,
                              .fd = -1};
    if (rig->options.transport != TRANSPORT_INPROC) {
        region->fd = memfd_create("rowhouse-bench", MFD_CLOEXEC);
        if (region->fd < 0 || ftruncate(region->fd, (off_t)region->size))
            return err_system(err, "a memfd of %llu bytes",
                              (unsigned long long)region->size);
    }
    return region_map(region, err);
}

int seat_serve(struct seat *seat, struct seat_net *own, struct err *err)
{
    struct rig *rig = seat->rig;
    struct region region;
    struct server_setup setup = {.job = &rig->job,
                                 .roster = &rig->roster,
                                 .net = own->net,
                                 .pool = own->pool,
                                 .region = &region,
                                 .index = seat->index,
                                 .listen_fd = rig->listen_fd[seat->index],
                                 .stop = &rig->stop};
    int rc = map_region(&region, rig, err), exit_status;

    seat->ready = 1;
    if (rc == 0)
        rc = server_run(&setup, &exit_status, err);
    if (region.base)
        munmap(region.base, region.size);
    if (region.fd >= 0)
        close(region.fd);
    return rc;
}

/* --- workers ---------------------------------------------------------------------- */

/* A batch on its way, from the begin of the pull to the push. */
struct flight {
    struct batch batch;
    double asked; /* when; 0 once the answer is complete */
};

struct bench_worker {
    struct seat *seat;
    struct lines *lines;
    struct client *client;
    struct flight *flight; /* ring */
    uint32_t slots, head, count;
    uint32_t made;   /* of the ring, for the release */
    uint64_t *order; /* [rows]: all keys in a random order of this worker's own */
    uint64_t *block; /* [batch]: keys in the order of numbers */
    uint64_t at;     /* in `order` */
    float *gradient; /* [batch][dim] */
    uint32_t width;
    uint64_t clock;
    struct latency *latency; /* where to count pulls now; NULL = nowhere */
};

/* Notes the answers that have become complete. */
static void note_answers(struct bench_worker *w)
{
    double now = clock_seconds();

    for (uint32_t i = 0; i < w->count; i++) {
        struct flight *f = &w->flight[(w->head + i) % w->slots];

        if (f->batch.unanswered || f->asked == 0)
            continue;
        if (w->latency)
            latency_add(w->latency, now - f->asked);
        f->asked = 0;
    }
}

static int line_wait(void *context, struct client *client, int timeout_ms,
                     struct err *err)
{
    struct bench_worker *w = context;
    struct line line = lines_line(w->lines);
    int rc = line.wait(line.context, client, timeout_ms, err);

    if (rc == 0 && rig_stopped(w->seat->rig))
        rc = err_set(err, ERR_INTERRUPTED, "the benchmark is over");
    note_answers(w);
    return rc;
}

static int line_send(void *context, uint32_t server, const struct message *message,
                     struct buffer *body, struct err *err)
{
    struct line line = lines_line(((struct bench_worker *)context)->lines);

    return line.send(line.context, server, message, body, err);
}

static int64_t line_now(void *context)
{
    (void)context;
    return clock_ms();
}

/* Begins the pull of n rows. */
static int ask(struct bench_worker *w, const uint64_t *key, uint32_t n, struct err *err)
{
    struct flight *f = &w->flight[(w->head + w->count) % w->slots];

    f->asked = clock_seconds();
    keyset_build(&f->batch.set[0], key, n, 1, f->batch.servers);
    f->batch.n = n;
    f->batch.clock = ++w->clock;
    if (batch_cut(&f->batch, err) || client_begin_pull(w->client, &f->batch, err))
        return -err->code;
    w->count++;
    return 0;
}

/* Waits for the oldest pull, and pushes its gradients. Returns its rows, or an error.
 */
static int take(struct bench_worker *w, bool push, struct err *err)
{
    static const struct journal_entry nothing;
    struct batch *batch = &w->flight[w->head].batch;

    if (client_finish_pull(w->client, batch, err))
        return -err->code;
    if (push && client_push(w->client, batch, &w->gradient, &nothing, err))
        return -err->code;
    w->head = (w->head + 1) % w->slots;
    w->count--;
    return (int)batch->set[0].rows;
}

static int ask_random(struct bench_worker *w, struct err *err)
{
    const struct rig_options *o = &w->seat->rig->options;

    if (w->at + o->batch > o->rows)
        w->at = 0;
    w->at += o->batch;
    return ask(w, w->order + w->at - o->batch, (uint32_t)o->batch, err);
}

static uint64_t body_bytes(const struct bench_worker *w)
{
    const struct client_counts *counts = client_counts(w->client);

    return counts->bytes_pulled + counts->bytes_pushed;
}

/* As a worker trains: pulls ahead, pushes that nobody waits for. The slice has at least
 * one batch, and ends when all that was begun is acknowledged. */
static int turn_rows(struct bench_worker *w, uint32_t turn, struct slice *slice,
                     struct err *err)
{
    const struct rig *rig = w->seat->rig;
    uint64_t bytes = body_bytes(w);
    int rc;

    w->latency = &w->seat->loaded;
    slice->start = clock_seconds();
    rc = ask_random(w, err);
    do {
        while (rc >= 0 && rig->acting == turn && w->count < w->slots)
            rc = ask_random(w, err);
        if (rc >= 0 && w->count)
            rc = take(w, true, err);
        if (rc > 0)
            slice->rows += (uint32_t)rc;
    } while (rc >= 0 && (w->count || rig->acting == turn));
    if (rc >= 0)
        rc = client_drain(w->client, err);
    slice->end = clock_seconds();
    slice->bytes = body_bytes(w) - bytes + slice->rows * sizeof(uint64_t);
    return rc < 0 ? rc : 0;
}

/* One pull at a time, nothing beside it. */
static int turn_alone(struct bench_worker *w, uint32_t turn, struct err *err)
{
    int rc = 0;

    w->latency = &w->seat->alone;
    while (rc >= 0 && w->seat->index == 0 && w->seat->rig->acting == turn) {
        rc = ask_random(w, err);
        if (rc >= 0)
            rc = take(w, false, err);
    }
    return rc < 0 ? rc : 0;
}

/* Makes this worker's share of the rows, by pulling them. */
static int preload(struct bench_worker *w, struct err *err)
{
    const struct rig_options *o = &w->seat->rig->options;
    uint64_t next = o->rows * w->seat->index / o->workers;
    uint64_t end = o->rows * (w->seat->index + 1) / o->workers;
    int rc = 0;

    while (rc >= 0 && (next < end || w->count)) {
        if (next < end && w->count < w->slots) {
            uint32_t n = end - next < o->batch ? (uint32_t)(end - next)
                                               : (uint32_t)o->batch;

            for (uint32_t i = 0; i < n; i++)
                w->block[i] = next + i;
            rc = ask(w, w->block, n, err);
            next += n;
        } else {
            rc = take(w, false, err);
        }
    }
    return rc < 0 ? rc : 0;
}

static int worker_memory(struct bench_worker *w, struct err *err)
{
    const struct rig_options *o = &w->seat->rig->options;
    uint64_t floats = o->batch * o->dim;

    w->width = (uint32_t)o->dim;
    w->slots = (uint32_t)o->inflight + 1;
    w->order = malloc(o->rows * sizeof *w->order);
    w->block = malloc(o->batch * sizeof *w->block);
    w->gradient = malloc(floats * sizeof *w->gradient);
    w->flight = calloc(w->slots, sizeof *w->flight);
    if (!w->order || !w->block || !w->gradient || !w->flight)
        return err_set(err, ERR_MEMORY, "no memory for the keys of %llu rows",
                       (unsigned long long)o->rows);
    for (uint64_t i = 0; i < o->rows; i++) {
        uint64_t j = rng_below(rng_at(SEED, w->seat->index, i), i + 1);

        w->order[i] = w->order[j];
        w->order[j] = i;
    }
    for (uint64_t i = 0; i < floats; i++)
        w->gradient[i] = 1e-6f;
    for (; w->made < w->slots; w->made++)
        if (batch_create(&w->flight[w->made].batch, &w->width, 1, (uint32_t)o->servers,
                         (uint32_t)o->batch, err))
            return -err->code;
    return 0;
}

static int outbox_make(struct bench_worker *w, struct err *err)
{
    const struct rig_options *o = &w->seat->rig->options;
    uint64_t rows = (uint64_t)o->batch;
    uint64_t bytes = client_outbox_bytes(&rows, &w->width, 1, (uint32_t)o->servers,
                                         w->slots + 1);

    w->seat->outbox_memory = calloc(1, bytes);
    if (!w->seat->outbox_memory)
        return err_set(err, ERR_MEMORY, "no memory for an outbox of %llu bytes",
                       (unsigned long long)bytes);
    return outbox_open(w->seat->outbox_memory, bytes, &w->seat->outbox, err);
}

static int worker_open(struct bench_worker *w, struct seat_net *own, struct err *err)
{
    const struct rig *rig = w->seat->rig;
    struct peer self = {ROLE_WORKER, w->seat->index, 0};
    struct line line = {line_send, line_wait, line_now, w};
    int rc = worker_memory(w, err);

    if (rc == 0)
        rc = lines_create(own->net, &rig->roster, self, NULL, &w->lines, err);
    if (rc == 0)
        rc = outbox_make(w, err);
    if (rc == 0)
        rc = client_create(&rig->job, &rig->roster, line, own->pool, w->seat->outbox,
                           w->slots + 1, &w->client, err);
    if (rc == 0)
        rc = client_meet(w->client, err);
    return rc ? rc : preload(w, err);
}

static void worker_close(struct bench_worker *w)
{
    if (w->client)
        client_drop_pulls(w->client);
    client_destroy(w->client);
    lines_destroy(w->lines);
    for (uint32_t i = 0; i < w->made; i++)
        batch_release(&w->flight[i].batch);
    free(w->flight);
    free(w->gradient);
    free(w->block);
    free(w->order);
}

int seat_work(struct seat *seat, struct seat_net *own, struct err *err)
{
    struct bench_worker w = {.seat = seat};
    int rc = worker_open(&w, own, err);

    seat->ready = rc == 0;
    while (rc == 0 && !rig_stopped(seat->rig)) {
        uint32_t turn = rig_next_turn(seat);

        if (turn && turn_kind(turn) == TURN_ROWS)
            rc = turn_rows(&w, turn, &seat->slice[turn_slice(turn)], err);
        else if (turn && turn_kind(turn) == TURN_ALONE)
            rc = turn_alone(&w, turn, err);
        if (turn && rc == 0)
            seat->done = turn;
    }
    worker_close(&w);
    return rc;
}

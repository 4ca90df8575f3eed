#include "launch/bench_rows.h"

#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/cpu.h"
#include "launch/bench_options.h"
#include "launch/bench_rig.h"
#include "launch/network.h"

enum {
    BUFFERS_MAX = 1 << 30,
    ROWS_MAX = 1 << 30,
    BATCH_BYTES_MAX = 64 << 20, /* of a batch's values */
    LOOK_MS = 1,
    ALONE_SHARE = 4, /* a slice of rows is this many times one of pulls alone */
};

static const char *const transports[] = {"tcp", "ipc", "inproc", NULL};
static const char *const seat_names[] = {"server", "sink", "worker", "source"};

/* What came out of it. */
struct outcome {
    double rows;            /* a second */
    double payload, stream; /* bytes a second */
    double bytes_per_row;
    struct latency loaded, alone;
    double cpu_servers, cpu_workers; /* seconds a row; inproc: all in the first */
    double cpu_stream;               /* seconds a byte */
    double cpu_rows;                 /* likewise */
};

/* Processor seconds spent in turns of a kind, by seats that answer and that act. */
struct cpu {
    double answering, acting;
};

/* --- options ---------------------------------------------------------------------- */

static const struct bench_option option_list[] = {
    {"--servers", BENCH_NUMBER, offsetof(struct rig_options, servers), 1,
     RIG_SERVERS_MAX, NULL},
    {"--workers", BENCH_NUMBER, offsetof(struct rig_options, workers), 1,
     RIG_WORKERS_MAX, NULL},
    {"--rows", BENCH_NUMBER, offsetof(struct rig_options, rows), 1, ROWS_MAX, NULL},
    {"--dim", BENCH_NUMBER, offsetof(struct rig_options, dim), 1, 65536, NULL},
    {"--batch", BENCH_NUMBER, offsetof(struct rig_options, batch), 1, 1 << 20, NULL},
    {"--transport", BENCH_CHOICE, offsetof(struct rig_options, transport), 0, 0,
     transports},
    {"--inflight", BENCH_NUMBER, offsetof(struct rig_options, inflight), 0, 64, NULL},
    {"--seconds", BENCH_REAL, offsetof(struct rig_options, seconds), 0.01, 3600, NULL},
    {"--json", BENCH_SWITCH, offsetof(struct rig_options, json), 0, 0, NULL},
};

static int check(const struct rig_options *o, struct err *err)
{
    if (o->batch > o->rows)
        return err_set(err, ERR_INPUT,
                       "bench rows: a batch of %llu different rows needs --rows of at "
                       "least that, not %llu",
                       (unsigned long long)o->batch, (unsigned long long)o->rows);
    if (o->batch * o->dim * sizeof(float) > BATCH_BYTES_MAX)
        return err_set(
            err, ERR_INPUT,
            "bench rows: --batch %llu times --dim %llu is more than the %d MiB "
            "that a batch may have",
            (unsigned long long)o->batch, (unsigned long long)o->dim,
            BATCH_BYTES_MAX >> 20);
    return 0;
}

static int parse(int argc, char **argv, struct rig_options *o, struct err *err)
{
    int rc = bench_parse("rows", option_list, sizeof option_list / sizeof *option_list,
                         argc, argv, o, err);

    return rc ? rc : check(o, err);
}

/* --- setting the rig up ----------------------------------------------------------- */

static void set_job(struct rig *rig)
{
    struct job *job = &rig->job;
    const struct rig_options *o = &rig->options;
    uint64_t row = (o->dim + 1) * sizeof(float) + 2 * sizeof(uint64_t) + 32;

    snprintf(job->name, sizeof job->name, "bench");
    job->tables = 1;
    job->table[0].dim = (int64_t)o->dim;
    job->table[0].init = INIT_NORMAL;
    job->table[0].scale = 0.01;
    snprintf(job->table[0].name, sizeof job->table[0].name, "rows");
    job->model.bias = false;
    job->optimizer.kind = OPTIMIZER_SGD;
    job->optimizer.rate = 0.01;
    job->optimizer.l2 = 0;
    job->cluster.servers = (int64_t)o->servers;
    job->cluster.workers = (int64_t)o->workers;
    job->cluster.timeout = RIG_TIMEOUT_S;
    /* Hashing does not share rows out evenly: half as much again for each server. */
    job->cluster.memory_max = (int64_t)(o->rows * row * 3 / 2 / o->servers +
                                        (64 << 20));
}

static int set_endpoint(const struct rig *rig, uint32_t number, char *endpoint, int *fd,
                        struct err *err)
{
    if (rig->options.transport == TRANSPORT_TCP)
        return network_listen("127.0.0.1", fd, endpoint, ENDPOINT_MAX, err);
    if (rig->options.transport == TRANSPORT_IPC) /* a name, not a file */
        snprintf(endpoint, ENDPOINT_MAX, "ipc://@rowhouse-bench-%d-%u", (int)getpid(),
                 number);
    else
        snprintf(endpoint, ENDPOINT_MAX, "inproc://bench-%u", number);
    return 0;
}

static int set_roster(struct rig *rig, struct err *err)
{
    struct roster *roster = &rig->roster;
    int rc = 0;

    roster->job = rng_at((uint64_t)getpid(), (uint64_t)clock_ms(), 0);
    roster->servers = (uint32_t)rig->options.servers;
    roster->workers = (uint32_t)rig->options.workers;
    for (uint32_t s = 0; s <= roster->servers; s++)
        rig->listen_fd[s] = -1;
    for (uint32_t s = 0; rc == 0 && s <= roster->servers; s++)
        rc = set_endpoint(
            rig, s, s < roster->servers ? roster->server[s].endpoint : rig->stream,
            &rig->listen_fd[s], err);
    for (uint32_t s = 0; s < roster->servers; s++)
        snprintf(roster->server[s].host, sizeof roster->server[s].host, "this host");
    return rc;
}

static void add_seats(struct rig *rig, enum seat_kind kind, uint64_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct seat *seat = &rig->seat[rig->seats++];

        seat->kind = kind;
        seat->index = i;
        seat->rig = rig;
    }
}

static int rig_set_up(struct rig *rig, struct err *err)
{
    int rc = set_roster(rig, err);

    set_job(rig);
    add_seats(rig, SEAT_SERVER, rig->options.servers);
    add_seats(rig, SEAT_SINK, 1);
    add_seats(rig, SEAT_WORKER, rig->options.workers);
    add_seats(rig, SEAT_SOURCE, 1);
    if (rc || rig->options.transport != TRANSPORT_INPROC)
        return rc;
    rc = net_create(&rig->net, err);
    rig->pool = buffer_pool_create(BUFFERS_MAX);
    if (rc == 0 && !rig->pool)
        rc = err_set(err, ERR_MEMORY, "no memory for message bodies");
    return rc;
}

/* --- seats come and go ------------------------------------------------------------ */

static bool acts(const struct seat *seat)
{
    return seat->kind == SEAT_WORKER || seat->kind == SEAT_SOURCE;
}

static void *run_thread(void *context)
{
    rig_run_seat(context);
    return NULL;
}

static int start_seat(struct seat *seat, struct err *err)
{
    pid_t parent = getpid(), pid;

    if (seat->rig->options.transport == TRANSPORT_INPROC) {
        if (pthread_create(&seat->thread, NULL, run_thread, seat))
            return err_set(err, ERR_SYSTEM, "cannot start a thread");
        seat->running = true;
        return 0;
    }
    pid = fork();
    if (pid < 0)
        return err_system(err, "cannot start a process");
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent)
            _exit(1); /* it died before the line above */
        rig_run_seat(seat);
        _exit(0);
    }
    seat->pid = pid;
    seat->running = true;
    return 0;
}

/* Has a seat failed, or has its process ended though nobody asked it to? */
static int look_at_seat(struct seat *seat, struct err *err)
{
    const char *name = seat_names[seat->kind];
    int status;

    if (seat->failed) {
        *err = seat->err;
        return err_prefix(err, "%s %u", name, seat->index);
    }
    if (!seat->pid || waitpid(seat->pid, &status, WNOHANG) != seat->pid)
        return 0;
    seat->running = false;
    if (seat->failed) /* between the two looks */
        return look_at_seat(seat, err);
    if (WIFSIGNALED(status))
        return err_set(err, ERR_PEER, "%s %u was ended by signal %d (%s)", name,
                       seat->index, WTERMSIG(status), strsignal(WTERMSIG(status)));
    return err_set(err, ERR_PEER, "%s %u left", name, seat->index);
}

static int look(struct rig *rig, struct err *err)
{
    struct timespec pause = {0, LOOK_MS * 1000000L};
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < rig->seats; i++)
        if (rig->seat[i].running)
            rc = look_at_seat(&rig->seat[i], err);
    nanosleep(&pause, NULL);
    return rc;
}

/* Waits until every seat is ready (turn 0), or those that act are done with `turn`. */
static int wait_for(struct rig *rig, uint32_t turn, double seconds, struct err *err)
{
    double end = clock_seconds() + seconds;

    for (uint32_t i = 0; i < rig->seats; i++) {
        struct seat *seat = &rig->seat[i];

        while (turn ? acts(seat) && seat->done < turn : !seat->ready) {
            if (look(rig, err))
                return -err->code;
            if (clock_seconds() > end)
                return err_set(err, ERR_DEADLINE, "%s %u has not %s for %.0f s",
                               seat_names[seat->kind], seat->index,
                               turn ? "finished its turn" : "become ready", seconds);
        }
    }
    return 0;
}

/* Ends the seats: asks them to leave, and kills processes that do not, or at once after
 * a failure. Threads leave by themselves: all their waits are short. */
static void end_seats(struct rig *rig, bool failed)
{
    double end = clock_seconds() + RIG_TIMEOUT_S;

    __atomic_store_n(&rig->stop, true, __ATOMIC_RELEASE);
    for (uint32_t i = 0; i < rig->seats; i++) {
        struct seat *seat = &rig->seat[i];

        if (!seat->running)
            continue;
        seat->running = false;
        if (!seat->pid) {
            pthread_join(seat->thread, NULL);
            continue;
        }
        while (waitpid(seat->pid, NULL, WNOHANG) == 0) {
            struct timespec pause = {0, LOOK_MS * 1000000L};

            if (failed || clock_seconds() > end)
                kill(seat->pid, SIGKILL);
            nanosleep(&pause, NULL);
        }
    }
}

static void rig_release(struct rig *rig)
{
    net_destroy(rig->net);
    buffer_pool_destroy(rig->pool);
    for (uint32_t i = 0; i < rig->seats; i++)
        if (rig->options.transport == TRANSPORT_INPROC)
            seat_release(&rig->seat[i]);
    for (uint32_t s = 0; s <= rig->options.servers; s++)
        if (rig->listen_fd[s] >= 0)
            close(rig->listen_fd[s]);
}

/* --- turns ------------------------------------------------------------------------ */

/* Processor seconds so far of a seat's process, or (inproc) of all. */
static double seat_cpu(const struct seat *seat)
{
    struct timespec t = {0};
    clockid_t clock;

    if (!seat->pid)
        return seat->kind == SEAT_SERVER && seat->index == 0 ? clock_cpu_seconds() : 0;
    if (clock_getcpuclockid(seat->pid, &clock) || clock_gettime(clock, &t))
        return 0;
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void add_cpu(const struct rig *rig, enum turn_kind kind, double sign,
                    struct cpu *cpu)
{
    for (uint32_t i = 0; i < rig->seats; i++) {
        const struct seat *seat = &rig->seat[i];
        bool stream = seat->kind == SEAT_SINK || seat->kind == SEAT_SOURCE;

        if (seat->pid && stream != (kind == TURN_STREAM))
            continue; /* the others rest */
        if (acts(seat))
            cpu[kind].acting += sign * seat_cpu(seat);
        else
            cpu[kind].answering += sign * seat_cpu(seat);
    }
}

static int run_turn(struct rig *rig, enum turn_kind kind, uint32_t slice,
                    double seconds, struct cpu *cpu, struct err *err)
{
    double end = clock_seconds() + seconds;
    uint32_t turn = turn_number(kind, slice);
    int rc = 0;

    add_cpu(rig, kind, -1, cpu);
    rig->acting = turn;
    rig->turn = turn;
    while (rc == 0 && clock_seconds() < end)
        rc = look(rig, err);
    rig->acting = 0;
    if (rc == 0)
        rc = wait_for(rig, turn, 3 * RIG_TIMEOUT_S, err);
    add_cpu(rig, kind, +1, cpu);
    return rc;
}

static int run_turns(struct rig *rig, struct cpu *cpu, struct err *err)
{
    double seconds = rig->options.seconds / RIG_SLICES;
    /* Making rows and random orders is far faster than a million a second. */
    double patience = 3 * RIG_TIMEOUT_S + (double)rig->options.rows * 2e-6;
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < rig->seats; i++)
        rc = start_seat(&rig->seat[i], err);
    if (rc == 0)
        rc = wait_for(rig, 0, patience, err);
    for (uint32_t slice = 0; rc == 0 && slice < RIG_SLICES; slice++) {
        rc = run_turn(rig, TURN_ROWS, slice, seconds, cpu, err);
        if (rc == 0)
            rc = run_turn(rig, TURN_ALONE, slice, seconds / ALONE_SHARE, cpu, err);
        if (rc == 0)
            rc = run_turn(rig, TURN_STREAM, slice, seconds, cpu, err);
    }
    end_seats(rig, rc != 0);
    return rc;
}

/* --- results ---------------------------------------------------------------------- */

/* What all seats of a kind did in a slice, from the first one's start to the last one's
 * end. */
static struct slice whole_slice(const struct rig *rig, enum seat_kind kind, uint32_t i)
{
    struct slice all = {.start = INFINITY};

    for (uint32_t s = 0; s < rig->seats; s++) {
        const struct slice *slice = &rig->seat[s].slice[i];

        if (rig->seat[s].kind != kind)
            continue;
        all.start = fmin(all.start, slice->start);
        all.end = fmax(all.end, slice->end);
        all.rows += slice->rows;
        all.bytes += slice->bytes;
    }
    return all;
}

static void add_latency(struct latency *sum, const struct latency *latency)
{
    for (int i = 0; i < LATENCY_BUCKETS; i++)
        sum->count[i] += latency->count[i];
}

static int evaluate(const struct rig *rig, const struct cpu *cpu, struct outcome *out,
                    struct err *err)
{
    double rows[RIG_SLICES], payload[RIG_SLICES], stream[RIG_SLICES];
    double all_rows = 0, all_bytes = 0, all_stream = 0;

    for (uint32_t i = 0; i < RIG_SLICES; i++) {
        struct slice work = whole_slice(rig, SEAT_WORKER, i);
        struct slice raw = whole_slice(rig, SEAT_SOURCE, i);

        if (!work.rows || !raw.bytes)
            return err_set(
                err, ERR_INPUT,
                "not a batch was ready in a slice; a higher --seconds may help");
        rows[i] = (double)work.rows / (work.end - work.start);
        payload[i] = (double)work.bytes / (work.end - work.start);
        stream[i] = (double)raw.bytes / (raw.end - raw.start);
        all_rows += (double)work.rows;
        all_bytes += (double)work.bytes;
        all_stream += (double)raw.bytes;
    }
    *out = (struct outcome){
        .rows = bench_median(rows, RIG_SLICES),
        .payload = bench_median(payload, RIG_SLICES),
        .stream = bench_median(stream, RIG_SLICES),
        .bytes_per_row = all_bytes / all_rows,
        .cpu_servers = cpu[TURN_ROWS].answering / all_rows,
        .cpu_workers = cpu[TURN_ROWS].acting / all_rows,
        .cpu_rows = (cpu[TURN_ROWS].answering + cpu[TURN_ROWS].acting) / all_bytes,
        .cpu_stream = (cpu[TURN_STREAM].answering + cpu[TURN_STREAM].acting) /
                      all_stream,
    };
    for (uint32_t s = 0; s < rig->seats; s++) {
        add_latency(&out->loaded, &rig->seat[s].loaded);
        add_latency(&out->alone, &rig->seat[s].alone);
    }
    return 0;
}

static void print(const struct rig_options *o, const struct outcome *r, FILE *out)
{
    bool apart = o->transport != TRANSPORT_INPROC;

    fprintf(out,
            "%llu server%s and %llu worker%s as %s over %s, %llu rows of %llu floats, "
            "batches of %llu, %llu ahead\n",
            (unsigned long long)o->servers, o->servers == 1 ? "" : "s",
            (unsigned long long)o->workers, o->workers == 1 ? "" : "s",
            apart ? "processes" : "threads", transports[o->transport],
            (unsigned long long)o->rows, (unsigned long long)o->dim,
            (unsigned long long)o->batch, (unsigned long long)o->inflight);
    fprintf(out, "%-34s %8.2f M/s\n", "rows pulled and pushed", r->rows / 1e6);
    fprintf(out, "%-34s %8.2f GB/s\n", "payload, both ways", r->payload / 1e9);
    fprintf(out, "%-34s %8.2f GB/s\n", "raw stream of the same messages",
            r->stream / 1e9);
    fprintf(out, "%-34s %8.0f %%\n", "payload / raw stream",
            100 * r->payload / r->stream);
    fprintf(out, "%-34s %8.0f us (p99 %.0f)\n", "a pull under this load, p50",
            latency_quantile(&r->loaded, 0.5), latency_quantile(&r->loaded, 0.99));
    fprintf(out, "%-34s %8.0f us (p99 %.0f)\n", "a pull with nothing beside it, p50",
            latency_quantile(&r->alone, 0.5), latency_quantile(&r->alone, 0.99));
    if (apart)
        fprintf(out, "%-34s %8.3f us server, %.3f us worker\n", "processor time a row",
                r->cpu_servers * 1e6, r->cpu_workers * 1e6);
    fprintf(out, "%-34s %8.2f s, raw stream %.2f s\n", "processor time a GB",
            r->cpu_rows * 1e9, r->cpu_stream * 1e9);
}

static json_t *settings_json(const struct rig_options *o)
{
    return json_pack("{s:I, s:I, s:I, s:I, s:I, s:s, s:I, s:f, s:i, s:s, s:s}",
                     "servers", (json_int_t)o->servers, "workers",
                     (json_int_t)o->workers, "rows", (json_int_t)o->rows, "dim",
                     (json_int_t)o->dim, "batch", (json_int_t)o->batch, "transport",
                     transports[o->transport], "inflight", (json_int_t)o->inflight,
                     "seconds", o->seconds, "slices", RIG_SLICES, "kernels",
                     cpu_level_name(cpu_level()), "memory",
                     o->transport == TRANSPORT_INPROC ? "anonymous" : "memfd");
}

static int print_json(const struct rig_options *o, const struct outcome *r, FILE *out,
                      struct err *err)
{
    json_t *json = json_pack(
        "{s:f, s:f, s:f, s:f, s:f, s:{s:f, s:f}, s:{s:f, s:f}, s:f, s:f}",
        "rows_per_second", r->rows, "payload_gb_per_second", r->payload / 1e9,
        "stream_gb_per_second", r->stream / 1e9, "share_of_stream",
        r->payload / r->stream, "bytes_per_row", r->bytes_per_row, "pull_us", "p50",
        latency_quantile(&r->loaded, 0.5), "p99", latency_quantile(&r->loaded, 0.99),
        "pull_alone_us", "p50", latency_quantile(&r->alone, 0.5), "p99",
        latency_quantile(&r->alone, 0.99), "cpu_seconds_per_gb", r->cpu_rows * 1e9,
        "stream_cpu_seconds_per_gb", r->cpu_stream * 1e9);
    json_t *settings = settings_json(o);

    if (json && o->transport != TRANSPORT_INPROC)
        json_object_set_new(json, "cpu_us_per_row",
                            json_pack("{s:f, s:f}", "servers", r->cpu_servers * 1e6,
                                      "workers", r->cpu_workers * 1e6));
    if (json && settings)
        json_object_update(json, settings);
    json_decref(settings);
    return bench_print_json(json, out, err);
}

int bench_rows(int argc, char **argv, FILE *out, struct err *err)
{
    struct rig_options options = {.servers = 1,
                                  .workers = 1,
                                  .rows = 1000000,
                                  .dim = 64,
                                  .batch = 8192,
                                  .seconds = 5};
    struct cpu cpu[TURN_KINDS] = {0};
    struct outcome outcome;
    struct rig *rig;
    int rc;

    rig = mmap(NULL, sizeof *rig, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
               -1, 0);
    if (rig == MAP_FAILED)
        return err_system(err, "bench rows: no memory for the rig");
    job_init(&rig->job);
    options.inflight = (uint64_t)rig->job.train.inflight;
    rc = parse(argc, argv, &options, err);
    if (rc == 0) {
        rig->options = options;
        rc = rig_set_up(rig, err);
        if (rc == 0)
            rc = run_turns(rig, cpu, err);
        if (rc == 0)
            rc = evaluate(rig, cpu, &outcome, err);
        rig_release(rig);
        if (rc)
            err_prefix(err, "bench rows");
    }
    munmap(rig, sizeof *rig);
    if (rc)
        return rc;
    if (options.json)
        return print_json(&options, &outcome, out, err);
    print(&options, &outcome, out);
    return 0;
}

/* What `rowhouse bench rows` measures with: a rig of seats, each a process (tcp, ipc)
 * or a thread (inproc).
 *
 *   servers   server_run() as in every run, over memory of the kind that such a run has
 *   workers   the client and key sets as in every run, without a model: gradients are
 *             the same numbers again and again
 *   source,   the raw stream beside it: two seats that send each other the messages of
 *   sink      those batches through the same ports, and do nothing with them
 *
 * Servers and the sink answer whenever asked. Workers and the source act in turns,
 * which the main thread calls: so the two measurements alternate and share the weather.
 * The rig is plain data in memory that all seats share. */
#ifndef ROWHOUSE_LAUNCH_BENCH_RIG_H
#define ROWHOUSE_LAUNCH_BENCH_RIG_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "common/job.h"
#include "common/net/roster.h"

enum {
    RIG_SERVERS_MAX = 64,
    RIG_WORKERS_MAX = 64,
    RIG_SEATS_MAX = RIG_SERVERS_MAX + RIG_WORKERS_MAX + 2,
    RIG_SLICES = 5,      /* turns of each kind; medians are taken over them */
    LATENCY_OCTAVE = 16, /* buckets for each doubling of a latency */
    LATENCY_BUCKETS = 32 * LATENCY_OCTAVE,
    RIG_TIMEOUT_S = 10, /* silence of a seat that counts as its end */
};

enum transport { TRANSPORT_TCP, TRANSPORT_IPC, TRANSPORT_INPROC };
enum seat_kind { SEAT_SERVER, SEAT_SINK, SEAT_WORKER, SEAT_SOURCE };

/* A turn: workers train, or pull one batch at a time, or the source streams. */
enum turn_kind { TURN_ROWS, TURN_ALONE, TURN_STREAM, TURN_KINDS };

/* The number of a turn, from 1; 0 = nobody's. */
static inline uint32_t turn_number(enum turn_kind kind, uint32_t slice)
{
    return 1 + slice * TURN_KINDS + (uint32_t)kind;
}

static inline enum turn_kind turn_kind(uint32_t turn)
{
    return (enum turn_kind)((turn - 1) % TURN_KINDS);
}

static inline uint32_t turn_slice(uint32_t turn)
{
    return (turn - 1) / TURN_KINDS;
}

struct rig_options {
    uint64_t servers, workers, rows, dim, batch, inflight;
    int transport; /* enum transport */
    double seconds;
    bool json;
};

/* What one seat did in one slice; times by clock_seconds(). */
struct slice {
    double start, end;
    uint64_t rows;  /* pulled and pushed */
    uint64_t bytes; /* of message bodies, both ways */
};

/* A histogram of microseconds, in steps of 1/16 octave. */
struct latency {
    uint64_t count[LATENCY_BUCKETS];
};

struct seat {
    enum seat_kind kind;
    uint32_t index;
    struct slice slice[RIG_SLICES]; /* workers and source */
    struct latency loaded, alone;   /* workers: pulls in TURN_ROWS, in TURN_ALONE */
    _Atomic uint32_t ready, failed; /* flags; with `failed` goes the sentence */
    _Atomic uint32_t done;          /* the last turn that is finished */
    struct err err;
    struct rig *rig;       /* the one that it belongs to */
    struct outbox *outbox; /* workers: outlives the net, which may hold its buffers */
    void *outbox_memory;
    pthread_t thread;
    pid_t pid;
    bool running; /* started and not joined */
};

struct rig {
    struct rig_options options;
    struct job job;
    struct roster roster;
    char stream[ENDPOINT_MAX]; /* the sink's endpoint */
    int listen_fd[RIG_SERVERS_MAX +
                  1];         /* tcp: of the servers, then the sink; else -1 */
    struct net *net;          /* inproc: of all; else each seat has its own */
    struct buffer_pool *pool; /* likewise */
    _Atomic uint32_t turn;    /* whose turn it is or was last */
    _Atomic uint32_t acting;  /* that turn, until its time is up; then 0 */
    volatile bool stop;       /* all seats leave */
    uint32_t seats;
    struct seat seat[RIG_SEATS_MAX];
};

static inline bool rig_stopped(const struct rig *rig)
{
    return __atomic_load_n(&rig->stop, __ATOMIC_ACQUIRE);
}

/* Does the work of a seat until the rig is stopped; a failure is left in the seat. On
 * the thread or as the process of that seat; processes call it before they have used
 * ZeroMQ. */
void rig_run_seat(struct seat *seat);
/* Gives back what a seat that was a thread has kept; after the net is destroyed. */
void seat_release(struct seat *seat);

/* Waits at most a moment for a turn that `seat` has not had yet: its number, or 0. */
uint32_t rig_next_turn(const struct seat *seat);

/* The microseconds below which the share `q` of all counts lies; 0 without any. */
double latency_quantile(const struct latency *latency, double q);
void latency_add(struct latency *latency, double seconds);

/* What a seat works with. */
struct seat_net {
    struct net *net;
    struct buffer_pool *pool;
};

/* The four kinds of work, for rig_run_seat(). */
int seat_serve(struct seat *seat, struct seat_net *own, struct err *err);
int seat_work(struct seat *seat, struct seat_net *own, struct err *err);
int seat_sink(struct seat *seat, struct seat_net *own, struct err *err);
int seat_source(struct seat *seat, struct seat_net *own, struct err *err);

#endif

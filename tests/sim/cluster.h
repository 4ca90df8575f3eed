/* A simulated cluster: real server cores and real clients, an unreliable network, one
 * clock, one seed. Nothing here waits: time jumps from event to event.
 *
 * Each worker is a coroutine; it gives way whenever its client would wait. */
#ifndef ROWHOUSE_TESTS_SIM_CLUSTER_H
#define ROWHOUSE_TESTS_SIM_CLUSTER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/job.h"
#include "common/net/buffer.h"
#include "common/net/message.h"
#include "common/net/port.h"
#include "server/core.h"
#include "worker/batch.h"

/* How bad the network and the machines are. Chances are in 1/1000 for each message. */
struct sim_faults {
    uint32_t drop, duplicate, delay; /* delay: also overtaking */
    uint32_t server_deaths;          /* chance that a server dies before handling one */
    uint32_t worker_deaths;          /* chance that a worker dies while it waits */
};

struct sim_result {
    uint64_t pushes_sent, pushes_applied, duplicates, resent;
    uint64_t dropped, doubled, delayed, deaths;
    uint64_t wrong_rows, rows;
    uint64_t too_stale; /* reads beyond what the consistency allows */
    uint64_t staleness_max, digest;
    uint64_t rows_refused; /* counted by the servers, */
    uint64_t
        unmade; /* and rows pushed of keys that have none, counted by the workers */
    uint64_t cache_reads, cache_hits;
    uint64_t rests; /* how often a worker ran out of leases while more could come */
    uint64_t trained[8]; /* positions, by worker */
    bool stuck;
    char text[512]; /* what a client complained of, or "" */
};

/* Sees what servers take and give, and what workers read. Each may be NULL. */
struct sim_watch {
    /* After a server has taken a message, before its answers. */
    void (*taken)(void *context, uint32_t server, const struct message *message);
    /* Of every answer, also of those that get lost. */
    void (*answered)(void *context, uint32_t server, struct peer to,
                     const struct message *answer, const struct buffer *body);
    void (*died)(void *context, uint32_t server);
    void (*ended)(void *context, uint32_t server, const struct core *core);
    void *context;
    /* Of a batch that is pulled; may put other gradients [rows][dim] in the place of
     * those that are there. */
    void (*computed)(void *context, uint32_t worker, const struct batch *batch,
                     float *gradient);
};

struct sim_setup {
    uint64_t seed;
    uint32_t servers, workers, batches, keys, batch, dim;
    int consistency;    /* enum consistency_kind */
    uint32_t staleness; /* ssp */
    bool rough; /* gradients whose sum depends on the order; rows are not checked */
    uint32_t slow_ms;   /* worker 0 takes so long for each batch */
    uint32_t timeout_s; /* cluster.timeout; 0: 300 */
    int stale_rate;     /* enum stale_rate_kind; with it or with `compensate` */
    float compensate;   /* rows are not checked */
    bool delta;         /* gradients are differences; no pulls ahead */
    uint64_t cache;     /* bytes; 0: none */
    uint32_t cache_staleness;
    const struct sim_watch *watch; /* borrowed; NULL: nobody watches */
    uint32_t rows_max;
    bool dense;      /* all keys have a row from the start */
    uint32_t tables; /* 0: 1. Each has 2 columns more than the one before */
    /* So many positions are dealt to the workers in leases, instead of `batches`. With
     * grow_ms they are not all there from the start. Not with bsp. */
    uint64_t positions;
    uint32_t grow_ms;
    struct sim_faults faults;
};

/* Runs `batches` batches a worker with whole-number gradients and compares every row
 * with the sum of what was pushed to it. */
void sim_run(const struct sim_setup *setup, struct sim_result *result);

#endif

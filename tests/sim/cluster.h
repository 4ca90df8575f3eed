/* A simulated cluster: real server cores and real clients, an unreliable network, one
 * clock, one seed. Nothing here waits: time jumps from event to event.
 *
 * Each worker is a coroutine; it gives way whenever its client would wait. */
#ifndef ROWHOUSE_TESTS_SIM_CLUSTER_H
#define ROWHOUSE_TESTS_SIM_CLUSTER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/job.h"

/* How bad the network and the machines are. Chances are in 1/1000 for each message. */
struct sim_faults {
    uint32_t drop, duplicate, delay; /* delay: also overtaking */
    uint32_t server_deaths;          /* chance that a server dies before handling one */
};

struct sim_result {
    uint64_t pushes_sent, pushes_applied, duplicates, resent;
    uint64_t dropped, doubled, delayed, deaths;
    uint64_t wrong_rows, rows;
    bool stuck;
    char text[512]; /* what a client complained of, or "" */
};

struct sim_setup {
    uint64_t seed;
    uint32_t servers, workers, batches, keys, batch, dim;
    struct sim_faults faults;
};

/* Runs `batches` batches a worker with whole-number gradients and compares every row with
 * the sum of what was pushed to it. */
void sim_run(const struct sim_setup *setup, struct sim_result *result);

#endif

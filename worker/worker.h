/* A worker: carries out the coordinator's orders - reads the data, trains its share of
 * each epoch, evaluates its share of the test part. */
#ifndef ROWHOUSE_WORKER_WORKER_H
#define ROWHOUSE_WORKER_WORKER_H

#include <pthread.h>

#include "common/net/port.h"
#include "common/net/roster.h"
#include "worker/negatives.h"
#include "worker/outbox.h"
#include "worker/ranking_tasks.h"
#include "worker/stream/data.h"

/* A data set that the workers of one process read once and share. */
struct shared_data {
    pthread_mutex_t lock;
    bool loaded;
    struct err err; /* code 0 = none */
    struct data data;
    struct item_catalogue *catalogue; /* of data in memory; NULL: not needed */
    struct negatives negatives;       /* zeros: the job has none */
    struct ranking_tasks *tasks;      /* NULL: evaluate.protocol is split */
    /* Borrowed: the checkpoint whose preparation is used, and the directory in which
     * worker 0 leaves it for the next ones; "" = none. */
    const char *restore, *keep_in;
};

/* Gives back what was read. */
void shared_data_release(struct shared_data *shared);

struct worker_setup {
    const struct job *job; /* all borrowed */
    const struct roster *roster;
    struct net *net;
    struct buffer_pool *pool; /* outlives net */
    uint32_t index, incarnation;
    struct outbox *outbox; /* outlives net: frames on their way hold its buffers */
    struct shared_data *shared;
    struct data_streams streams; /* what it names is borrowed */
};

/* The bytes of memory that the outbox of a worker needs, in a job with so many servers
 * (sparse). Errors as of blueprint_make(). */
int worker_outbox_bytes(const struct job *job, uint32_t servers, uint64_t *bytes,
                        struct err *err);

/* Works until the coordinator says to end; *exit_status is what it said. Fails with a
 * sentence that the coordinator has been told, too. One thread, which starts a reader.
 */
int worker_run(const struct worker_setup *setup, int *exit_status, struct err *err);

#endif

/* The client: a worker's side of pulls and pushes. It knows no socket: messages leave
 * through a `struct line` and come in through client_receive(), so that it runs in a
 * simulated cluster as it runs in a rank. One thread.
 *
 * Every push is kept in the outbox until its server has acknowledged it, and is sent
 * again, the same bytes, when nothing is heard; pulls are asked for again. Both have
 * credit of their own, so queues are bounded. */
#ifndef ROWHOUSE_WORKER_CLIENT_H
#define ROWHOUSE_WORKER_CLIENT_H

#include "common/net/buffer.h"
#include "common/net/roster.h"
#include "worker/batch.h"
#include "worker/outbox.h"
#include "worker/row_cache.h"

struct client;

/* How a client reaches its servers. */
struct line {
    /* Sends; -ERR_AGAIN or -ERR_PEER: not now, the client tries again. */
    int (*send)(void *context, uint32_t server, const struct message *message,
                struct buffer *body, struct err *err);
    /* Waits at most timeout_ms for messages and gives each to client_receive(). Returns
     * what that returned, or -ERR_INTERRUPTED when the job is ending. */
    int (*wait)(void *context, struct client *client, int timeout_ms, struct err *err);
    int64_t (*now_ms)(void *context);
    void *context;
};

struct client_counts {
    uint64_t bytes_pulled, bytes_pushed; /* keys, weights and values */
    uint64_t pushes_sent, pushes_resent; /* one for each (server, clock) */
};

/* Bytes of outbox that a client needs for batches of at most rows[t] rows of
 * width[t] floats of each table, with `window` of them unacknowledged. */
uint64_t client_outbox_bytes(const uint64_t *rows, const uint32_t *width,
                             uint32_t tables, uint32_t servers, uint32_t window);

/* `window`: batches whose pushes may be unacknowledged. Everything is borrowed. What
 * the outbox holds from an earlier process is sent again. */
int client_create(const struct job *job, const struct roster *roster, struct line line,
                  struct buffer_pool *pool, struct outbox *outbox, uint32_t window,
                  struct client **client, struct err *err);
void client_destroy(struct client *client); /* NULL is fine */

/* Lets batches take rows from `cache` (borrowed) within the bounds of
 * train.cache_staleness and of the job's consistency. Before the first pull. */
void client_use_cache(struct client *client, struct row_cache *cache);

/* Asks every server where this worker's pushes stand; they may remember an earlier
 * incarnation. Call once before the first push. -ERR_DEADLINE names who is missing. */
int client_meet(struct client *client, struct err *err);

/* Asks for the rows of a batch (cut, with its clock set); returns at once. The batch
 * belongs to the client until client_finish_pull(). */
int client_begin_pull(struct client *client, struct batch *batch, struct err *err);
/* Waits a moment for whatever comes; batch->unanswered says whether a pull is complete.
 */
int client_wait(struct client *client, struct err *err);
/* Waits until batch->rows are complete. Batches are finished in the order begun. */
int client_finish_pull(struct client *client, struct batch *batch, struct err *err);

/* Begins a training order: every clock up to `clock` is behind this worker. */
void client_begin_order(struct client *client, uint64_t order, uint64_t clock);
/* Makes this worker active at every server, if it is not: after client_end_order() when
 * it has data again, and after client_begin_order() when an earlier process may have
 * been idle in the same order. *clock rises to the one that counts as behind it then.
 */
int client_join(struct client *client, uint64_t *clock, struct err *err);
/* Tells every server that this worker has no more data in this order, for now; returns
 * at once. */
int client_end_order(struct client *client, struct err *err);
/* Do they all know? Nobody waits for it any more; all pushes are acknowledged then. */
bool client_has_ended(const struct client *client);

/* Pushes gradient[t] ([set.rows][width]) of a finished batch; copied before it returns.
 * `standing` is what the worker has behind it with this batch. Waits while more than
 * `window` batches are unacknowledged. */
int client_push(struct client *client, const struct batch *batch,
                float *const *gradient, const struct journal_entry *standing,
                struct err *err);
/* Waits until every push is acknowledged. */
int client_drain(struct client *client, struct err *err);
/* Forgets the pulls under way (the job is stopping). */
void client_drop_pulls(struct client *client);

/* All pushes up to this clock are acknowledged by every server they went to. */
uint64_t client_acknowledged(const struct client *client);
const struct client_counts *client_counts(const struct client *client);

/* For the line: takes one message from `server`. Errors: a refusal (its code and
 * sentence), an answer that fits no request of ours is dropped silently (it is late).
 */
int client_receive(struct client *client, uint32_t server,
                   const struct message *message, struct err *err);

#endif

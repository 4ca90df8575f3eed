/* The server's core: messages in, messages out. It knows no socket, file or clock, so
 * that it runs in a simulated cluster as it runs in a rank. One thread.
 *
 * Everything acknowledged is in the region: the tables and, for each worker, a session
 * that says which of its pushes are applied. A push is applied only if it follows what
 * was applied last, so a repeated or overtaking one does no harm. The process may die
 * at any instruction: another opens the same region and goes on where the last row was
 * noted. */
#ifndef ROWHOUSE_SERVER_CORE_H
#define ROWHOUSE_SERVER_CORE_H

#include "common/job.h"
#include "common/net/buffer.h"
#include "common/net/message.h"
#include "common/net/port.h" /* struct peer */
#include "common/net/roster.h"
#include "server/optimizer.h"
#include "server/table.h"

struct core;

/* Makes the core of server `index` of `servers` over `region`. A region that holds
 * tables already (a restarted child) is continued, a fresh one is formatted and made.
 * `job`, `region` and `pool` are borrowed. */
int core_create(const struct job *job, uint32_t index, uint32_t servers,
                uint32_t workers, struct region *region, struct buffer_pool *pool,
                struct core **core, struct err *err);
void core_destroy(struct core *core); /* NULL is fine; the region stays as it is */

/* The coordinator has begun training order `order`: workers whose `share` (one for each
 * worker) is not empty are active, and every clock up to `clock` is behind them all.
 * The same order again (to a restarted process) changes nothing. */
int core_begin_training(struct core *core, uint64_t order, uint64_t clock,
                        const struct range *share, struct err *err);

/* The time in seconds from any beginning, for how long pulls are parked: the core reads
 * no clock. Without it that is 0. */
void core_set_time(struct core *core, double seconds);

/* Handles a pull, a push or a clock message from worker `message->sender`. What there
 * is to answer, also to others whom it was holding up, comes from core_next(). A
 * message that is not for us to serve is answered by a refusal: peers cannot make this
 * fail. Returns 0 or, when the server itself cannot go on, a negative code. */
int core_handle(struct core *core, const struct message *message, struct err *err);

/* The next answer: true, with *to, *answer, and *body (a reference that the caller
 * drops) or NULL. */
bool core_next(struct core *core, struct peer *to, struct message *answer,
               struct buffer **body);

/* The bytes of region that a job's settings ask for (an upper bound, mostly sparse). */
uint64_t core_region_bytes(const struct job *job);

/* The tables, in the job's order, and their names. */
const struct table *const *core_tables(const struct core *core, uint32_t *count);
const char *const *core_table_names(const struct core *core);

/* The job that the core was made for. Borrowed. */
const struct job *core_job(const struct core *core);

/* Around rows that a run begins with, rows[t] of table t on all servers: before them, a
 * server may take more than its share of tables.T.rows_max; after them, what is left of
 * that is shared out. */
void core_restore_begin(struct core *core);
void core_restore_end(struct core *core, const uint64_t *rows);
/* Drops all rows of sparse tables; what was counted stays. */
void core_clear(struct core *core);
/* Puts a row from a checkpoint: `values` are width + state_width floats (unaligned). */
int core_restore_row(struct core *core, uint32_t table, uint64_t key,
                     const unsigned char *values, struct err *err);
/* Makes a row that begins with `n` given values, at most its width; what is behind them
 * begins as ever. A row that is there gets the values again. */
int core_first_row(struct core *core, uint32_t table, uint64_t key, const float *values,
                   uint32_t n, struct err *err);
/* Does this server own the row? */
bool core_owns(const struct core *core, uint32_t table, uint64_t key);

/* Adds this server's counters and table facts to a status. */
void core_fill_status(const struct core *core, struct status *status);

/* What a table of the job looks like on a server. */
void core_table_spec(const struct job *job, uint32_t table, struct table_spec *spec);

#endif

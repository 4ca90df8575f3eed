/* What a pull says about a part of a batch: the keys of the rows that it wants, and
 * their way back out of the answer; and which rows it need not want because the worker
 * has kept them. Without a cache a part wants all of its rows. One thread. */
#ifndef ROWHOUSE_WORKER_PULL_H
#define ROWHOUSE_WORKER_PULL_H

#include "common/net/message.h"
#include "worker/batch.h"
#include "worker/row_cache.h"

/* Takes the rows that this batch may use from the cache; its parts want the others.
 * After batch_cut(), once. */
void pull_take_kept(struct batch *batch, struct row_cache *cache);

bool pull_wants_rows(const struct batch_part *part);
/* Bytes of the keys of what a part wants; it writes them to `keys` (8-byte aligned) and
 * their sections into the message. */
size_t pull_bytes(const struct batch_part *part);
void pull_write(const struct batch *batch, const struct batch_part *part,
                struct message *message, unsigned char *keys);

/* Takes the rows that a part wanted out of an answer, which is decoded and has a body;
 * and offers them to the cache, unless that is NULL or the batch read_only. False: it
 * holds other rows; what was taken is then undefined. */
bool pull_read(const struct job *job, struct batch *batch,
               const struct batch_part *part, const struct message *answer,
               struct row_cache *cache);

/* Adds the worker's own differences (difference[t]: [set.rows][width]) to the rows of
 * the batch that are kept. */
void pull_advance_kept(const struct batch *batch, struct row_cache *cache,
                       float *const *difference);

#endif

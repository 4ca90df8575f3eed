/* The one order of keys of a batch: a table's keys without duplicates, grouped by
 * owning server. Everything from the pull to the push uses that order: server s owns
 * the slice part[s] .. part[s+1], and example columns find their row through pos[]. One
 * thread; memory is kept from batch to batch. */
#ifndef ROWHOUSE_WORKER_KEYSET_H
#define ROWHOUSE_WORKER_KEYSET_H

#include "common/err.h"
#include "common/net/roster.h"

enum { KEYSET_CAPACITY_MAX = 1 << 24 }; /* input keys of a batch */

struct keyset {
    uint32_t table;
    uint64_t dense; /* rows of a dense table, which are all keys there are; 0 = sparse;
                       for the caller to set before it builds */
    uint32_t rows;  /* unique keys */
    uint64_t *key;  /* [rows] */
    float *weight;  /* [rows]: how many examples use the row */
    uint32_t *pos;  /* [n]: row of each input key */
    uint32_t *part; /* [servers + 1] */
    uint32_t capacity;
    struct keyset_scratch *scratch;
};

/* Which of a column's keys the batch under way has had, by id: shared by the key sets
 * that one thread builds of that column. */
struct keyset_marks {
    uint64_t *mark; /* [ids] */
    uint32_t ids;
    uint32_t stamp;
};

/* For at most `capacity` input keys and `servers` servers (1 .. SERVERS_MAX).
 * -ERR_INPUT: more than KEYSET_CAPACITY_MAX or SERVERS_MAX; -ERR_MEMORY. */
int keyset_create(struct keyset *keyset, uint32_t table, uint32_t capacity,
                  uint32_t servers, struct err *err);
void keyset_release(struct keyset *keyset); /* zeroed is fine */

/* Builds the order for keys key[0], key[stride], ... (n of them, n <= capacity;
 * `servers` at most as at creation). Within a server's slice keys stand in order of
 * first appearance, so equal input gives equal output. Never allocates. */
void keyset_build(struct keyset *keyset, const uint64_t *key, uint32_t n,
                  uint32_t stride, uint32_t servers);

/* All rows of a dense table, each used by `uses` examples; no pos. The capacity must be
 * `dense`. */
void keyset_build_all(struct keyset *keyset, float uses, uint32_t servers);

/* For ids 0 .. ids-1; marks that are there already are made larger or kept.
 * -ERR_MEMORY. */
int keyset_marks_init(struct keyset_marks *marks, uint32_t ids, struct err *err);
void keyset_marks_release(struct keyset_marks *marks); /* zeroed is fine */
/* The same order, faster: for the keys key[id[0]], key[id[1]], ..., where different ids
 * are different keys and all are below marks->ids. */
void keyset_build_ids(struct keyset *keyset, struct keyset_marks *marks,
                      const uint64_t *key, const uint32_t *id, uint32_t n,
                      uint32_t servers);

#endif

/* Who has which leases of the epoch under way, and what nobody has yet (the pool). A
 * worker gets its next lease when it is in the second half of its last one: so it never
 * waits for an order, and a slow one keeps little from the others.
 *
 * A lease stays with its worker until that is beyond it. It goes back to the pool with
 * a cut only (dealing_left()), when every worker has stopped and all that it pushed is
 * acknowledged; nobody else may have it before.
 *
 * Plain data in, plain data out. One thread. */
#ifndef ROWHOUSE_SERVER_DEALING_H
#define ROWHOUSE_SERVER_DEALING_H

#include <stdbool.h>

#include "common/lease.h"
#include "common/net/roster.h"
#include "server/manifest.h"

enum { LEASES_MAX = 16 }; /* that a worker has at a time */

/* One worker's, in the order of their numbers. Their beginnings move with the worker.
 */
struct leases {
    uint64_t number; /* of range[0], from 1 */
    uint64_t half;   /* position in the last one from which it is time for another */
    uint32_t count;
    struct range range[LEASES_MAX];
    uint64_t bad_rows; /* left out of all that the worker has behind it */
};

struct dealing {
    uint64_t order; /* the training order; 0: there is none */
    uint64_t dealt; /* grows whenever somebody gets something, or the pool grows */
    struct lease_rule rule;
    uint64_t known;  /* positions from here on have never been in the pool */
    bool grows;      /* there may be more of them */
    uint32_t ranges; /* of the pool, in the order in which they are dealt */
    struct range pool[MANIFEST_RANGES_MAX];
    struct leases worker[WORKERS_MAX];
};

/* Begins with the list of what is left of an epoch, which goes up to `known`, and deals
 * the first leases: of a whole epoch those that lease_first() foretells. */
void dealing_begin(struct dealing *dealing, uint64_t order,
                   const struct lease_rule *rule, const struct range *range,
                   uint32_t ranges, uint64_t known, bool grows);

/* `worker` says that it stands at `position` of its lease number `lease`, and has all
 * before that behind it, of which it has left out `bad_rows`; what is older than what
 * is known changes nothing. False: it was given no such place. */
bool dealing_stand(struct dealing *dealing, uint32_t worker, uint64_t lease,
                   uint64_t position, uint64_t bad_rows);
/* What all have left out. */
uint64_t dealing_bad_rows(const struct dealing *dealing);

/* Gives it another lease if it is time for that and there is one; true if so. */
bool dealing_deal(struct dealing *dealing, uint32_t worker);

/* The epoch goes up to `known` (never less than before); with !grows that is its end.
 * True if that is news; false, too, while the pool is in too many pieces to take it. */
bool dealing_grow(struct dealing *dealing, uint64_t known, bool grows);

/* May anybody get anything yet? */
bool dealing_has_more(const struct dealing *dealing);

/* How many ranges dealing_left() may return. */
uint32_t dealing_left_most(const struct dealing *dealing);
/* What is left of the epoch, in the order of its positions: the pool, and the workers'
 * leases from where they stand. `range` has room for dealing_left_most(). */
uint32_t dealing_left(const struct dealing *dealing, struct range *range);

/* Everybody has all positions below it behind. */
uint64_t dealing_floor(const struct dealing *dealing);

/* Copies what counts, which is little. */
void dealing_copy(struct dealing *to, const struct dealing *from);

#endif

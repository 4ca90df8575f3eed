/* A member's line to the coordinator: a thread of its own that sends the latest
 * status every 100 ms and at once when it changes, and keeps the latest order. So a
 * long batch or a slow disk never looks like a death.
 *
 * Both directions are levels, not edges: a status says everything about the member, an
 * order everything to do. A lost or repeated one does no harm. The coordinator answers
 * every status with the present order, so its silence means that it is gone. Of two
 * orders the one with the higher number counts, and of the same the one in which more
 * is dealt, whichever comes last; a coordinator of a higher incarnation counts anew. */
#ifndef ROWHOUSE_COMMON_NET_MEMBER_H
#define ROWHOUSE_COMMON_NET_MEMBER_H

#include "common/net/port.h"

struct member;

/* Starts the thread, connected to `endpoint`. Nothing is sent before the first
 * member_report(). `timeout_ms`: when the coordinator is silent for longer (from now
 * on), member_order() returns -ERR_DEADLINE with a sentence, until it is heard again.
 */
int member_create(struct net *net, const char *endpoint, struct peer self, uint64_t job,
                  int timeout_ms, struct member **member, struct err *err);
/* Sends the last status once more, joins the thread. Waits for the coordinator (at most
 * a second) only if it has never been heard. NULL is fine. */
void member_destroy(struct member *member);

/* Replaces the status (copied; `number` is counted here). Cheap; any thread. With
 * `now` the status is sent at once, else at the next tick. */
void member_report(struct member *member, const struct status *status, bool now);

/* What belongs to the status that will report the order `order` as done: sections (at
 * most COUNTS_KINDS) and their body, of which a reference is taken. It travels with
 * that status, ever more seldom (after 1, 2, 4 .. s), for as long as this order is in
 * force and does not say that it has come; also to a coordinator that is started again.
 * NULL: no more. Any thread. */
void member_attach(struct member *member, uint64_t order, const struct section *section,
                   uint32_t sections, struct buffer *body);

/* Copies the latest order unless its number is `known` and as much as `dealt` in it: 1;
 * 0: nothing new; -ERR_DEADLINE: the coordinator is silent; -ERR_PEER: it refused us
 * (for good). Orders count from 1: `known` is 0 at first. Any thread. */
int member_order(struct member *member, uint64_t known, uint64_t dealt,
                 struct order *order, struct err *err);

/* The number of the latest order, and what is dealt in it, without a lock: for a look
 * between batches. */
uint64_t member_order_number(const struct member *member);
uint64_t member_order_dealt(const struct member *member);

/* A file descriptor that becomes readable when an order or a failure arrives; it stays
 * readable until member_order() is called. Borrowed. */
int member_fd(const struct member *member);

#endif

/* A worker's lines to its servers over ports, and its ear for the coordinator while it
 * waits: the production side of `struct line` (worker/client.h). One thread. */
#ifndef ROWHOUSE_WORKER_LINES_H
#define ROWHOUSE_WORKER_LINES_H

#include "common/net/member.h"
#include "worker/client.h"

struct lines;

/* Connects to every server of the roster; waits for none. `member` may be NULL. */
int lines_create(struct net *net, const struct roster *roster, struct peer self,
                 struct member *member, struct lines **lines, struct err *err);
void lines_destroy(struct lines *lines); /* NULL is fine */

struct line lines_line(struct lines *lines);

/* The latest order, fetched when its number changed or more was dealt in it. A wait
 * ends with -ERR_INTERRUPTED when an ORDER_END comes in. */
const struct order *lines_order(struct lines *lines);
/* Looks for a new order: 1 there is one, 0 no, or the member's error. */
int lines_look(struct lines *lines, struct err *err);
/* Waits for a new order at most timeout_ms. As lines_look(). */
int lines_wait_order(struct lines *lines, int timeout_ms, struct err *err);

#endif

/* A server: one loop over one shard. */
#ifndef ROWHOUSE_SERVER_SERVER_H
#define ROWHOUSE_SERVER_SERVER_H

#include "common/net/port.h"
#include "common/net/roster.h"
#include "server/region.h"

struct server_setup {
    const struct job *job; /* all borrowed */
    const struct roster *roster;
    struct net *net;
    struct buffer_pool *pool; /* outlives net: frames on their way hold its buffers */
    struct region *region;    /* fresh, or what an earlier child left */
    uint32_t index, incarnation;
    int listen_fd; /* handed-down socket, or -1: bind the roster's endpoint */
    const volatile bool
        *stop; /* without a coordinator (benchmarks): run until it is set */
};

/* Serves pulls and pushes and carries out the coordinator's orders until it says to
 * end, whose exit status comes back through *exit_status. Fails with a sentence, which
 * the coordinator has been told, too. One thread, which owns the region. */
int server_run(const struct server_setup *setup, int *exit_status, struct err *err);

#endif

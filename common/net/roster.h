/* The roster: who is where, and who owns which slot. Plain data, the same bytes in
 * every rank of a job. */
#ifndef ROWHOUSE_COMMON_NET_ROSTER_H
#define ROWHOUSE_COMMON_NET_ROSTER_H

#include <stdint.h>

#include "common/net/port.h"
#include "common/rng.h"

enum { SLOTS = 1024, SERVERS_MAX = 256, WORKERS_MAX = 512 };

struct roster_member {
    char endpoint[ENDPOINT_MAX]; /* servers only */
    char host[64];
    uint32_t rank;
};

struct roster {
    uint64_t job; /* token of the run, random */
    uint32_t servers, workers;
    char coordinator[ENDPOINT_MAX]; /* the control endpoint */
    struct roster_member server[SERVERS_MAX];
    struct roster_member worker[WORKERS_MAX];
};

/* Which server of `servers` owns a slot: contiguous, as even as can be. */
static inline uint32_t slot_owner(uint32_t slot, uint32_t servers)
{
    return (uint32_t)((uint64_t)slot * servers / SLOTS);
}

/* The first slot of a server; that of `server` + 1 is the end of its slots. */
static inline uint32_t slot_first(uint32_t server, uint32_t servers)
{
    return (uint32_t)(((uint64_t)server * SLOTS + servers - 1) / servers);
}

/* A server's share of `total`, by its slots: the shares' sum is the total. total <
 * 2^54.
 */
static inline uint64_t slot_share(uint64_t total, uint32_t server, uint32_t servers)
{
    return total * slot_first(server + 1, servers) / SLOTS -
           total * slot_first(server, servers) / SLOTS;
}

/* The slot of a dense table's row, which is below `rows` (< 2^32): neighbours are in
 * one slot, or in two that follow each other. */
static inline uint32_t row_slot(uint64_t row, uint64_t rows)
{
    return (uint32_t)(row * SLOTS / rows);
}

/* The first row of a dense table that a server owns; that of `server` + 1 is the end of
 * its rows. */
static inline uint64_t row_first(uint64_t rows, uint32_t server, uint32_t servers)
{
    return (rows * slot_first(server, servers) + SLOTS - 1) / SLOTS;
}

/* The slot of a sparse table's key: the top 10 bits of its hash. */
static inline uint32_t key_slot(uint32_t table, uint64_t key)
{
    return (uint32_t)(key_hash(table, key) >> 54);
}

#endif

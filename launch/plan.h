/* What a supervisor hands to its child: plain bytes in a memfd, written and read by the
 * same program file. */
#ifndef ROWHOUSE_LAUNCH_PLAN_H
#define ROWHOUSE_LAUNCH_PLAN_H

#include "launch/run.h"
#include "launch/streams.h"

#define PLAN_MAGIC 0x726f77686f757365u

struct plan {
    uint64_t magic;
    uint32_t role, index, incarnation;
    int32_t supervisor;        /* its process id */
    int32_t memory_fd;         /* server: the region; worker: the outbox */
    int32_t state_fd;          /* rank 0: the coordinator's state; else -1 */
    int32_t listen_fd;         /* server: data socket; else -1 */
    int32_t control_fd;        /* rank 0: control socket; else -1 */
    int32_t pipe[STREAMS_MAX]; /* rank 0: as of streams_open_pipes(); else -1 */
    char
        last_words[ERR_TEXT_MAX]; /* only tell the coordinator that this rank is over */
    struct roster roster;
    struct run_request request;
};

#endif

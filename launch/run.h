/* A run: what to do, and doing it - as threads of one process (local.c) or as a rank of
 * an MPI job (rank.c: supervisor; child.c: the work). */
#ifndef ROWHOUSE_LAUNCH_RUN_H
#define ROWHOUSE_LAUNCH_RUN_H

#include "common/job.h"
#include "common/net/roster.h"
#include "server/lead.h"
#include "worker/stream/data.h"

/* What to do. Plain data: it goes to child processes as it is. */
struct run_request {
    struct job job;
    bool evaluate_only;
    bool quiet;
    bool terminal;            /* progress as a bar */
    bool remove_old;          /* --fresh: checkpoints that are there make way */
    char restore[1024];       /* checkpoint to start from, or "" */
    uint64_t checkpoint_last; /* highest checkpoint number in checkpoint.dir */
    char report[1024];        /* JSON report, or "" */
    char spool[1024];         /* data.train is streams: their spool's folder; or "" */
    bool spool_temporary;
    bool test_only; /* data.train is streams, and nothing of them is trained */
};

/* Where data.train is streams, data.in_memory is false from here on: so says also what
 * is saved with checkpoints. */
void run_settle_streams(struct run_request *request);
/* What workers are to know of streams; borrows from the request. */
struct data_streams run_streams(const struct run_request *request);

/* Runs with cluster.servers and cluster.workers as threads. Returns the exit status;
 * everything that there is to say has been said. */
int run_local(const struct run_request *request);

/* Runs as one rank of an MPI job; `prepared` is the error that preparing the request
 * ended with on this rank (code 0: none), which is reported by rank 0. Returns the exit
 * status. Collective. */
int run_rank(const struct run_request *request, const struct err *prepared);

/* Is this process the child of a rank? Then does its work and returns its exit status.
 */
bool run_is_child(int argc, char **argv);
int run_child(char **argv);

/* Leads the run (the coordinator, on this thread), shows progress, prints the test
 * metrics on standard output, writes the report. Returns the exit status.
 * `one_process`: the members' processor time is this process'. */
struct conduct {
    const struct run_request *request;
    const struct roster *roster;
    struct net *net;
    struct coordinator_memory *memory;
    uint32_t incarnation;
    int listen_fd, interrupt_fd;
    const int32_t *pipe; /* [STREAMS_MAX], as of streams_open_pipes(); or NULL */
    bool one_process;
};
int run_conduct(const struct conduct *conduct);

/* A non-blocking signalfd for SIGINT, SIGTERM and SIGUSR1, which are blocked for this
 * and all later threads. First thread only, which reads it, too. -1 on failure. */
int run_interrupt_fd(void);

#endif

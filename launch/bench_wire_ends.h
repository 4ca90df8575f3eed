/* The ends of the connections that `bench wire` measures. The near ends live in the
 * benchmark's own thread; each far end has a process or thread of its own. */
#ifndef ROWHOUSE_LAUNCH_BENCH_WIRE_ENDS_H
#define ROWHOUSE_LAUNCH_BENCH_WIRE_ENDS_H

#include <stdatomic.h>
#include <stdbool.h>

#include "common/net/port.h"
#include "launch/bench_rig.h"

/* Plain data in memory that all ends share. */
struct wire {
    int transport; /* enum transport */
    uint64_t job;  /* token */
    char endpoint[ENDPOINT_MAX];
    int listen_fd;             /* tcp, else -1 */
    int raw[2];                /* a connection: near end, far end */
    struct net *net;           /* inproc: of both ends; else each has its own */
    struct buffer_pool *pool;  /* likewise */
    _Atomic size_t inline_max; /* of both ports, for the next messages */
    _Atomic bool stop;         /* the far end of the port leaves */
    _Atomic bool failed;       /* with it goes the sentence */
    struct err err;
};

/* What a turn did. */
struct wire_turn {
    double seconds;
    uint64_t messages;
};

/* Far ends: answer until told to leave. */
void wire_far_port(struct wire *wire);
void wire_far_raw(struct wire *wire);

/* The near end of the port. */
struct wire_near;
int wire_near_open(struct wire *wire, struct wire_near **near, struct err *err);
void wire_near_close(struct wire_near *near);

/* Round trips of `bytes` one at a time for `seconds`, at least one. */
int wire_port_trips(struct wire_near *near, size_t bytes, double seconds,
                    struct latency *latency, struct err *err);
int wire_raw_trips(struct wire *wire, size_t bytes, double seconds,
                   struct latency *latency, struct err *err);
/* Bodies of `bytes` one after another for `seconds`, until all have arrived. */
int wire_port_stream(struct wire_near *near, size_t bytes, double seconds,
                     struct wire_turn *turn, struct err *err);
int wire_raw_stream(struct wire *wire, size_t bytes, double seconds,
                    struct wire_turn *turn, struct err *err);
/* Tells the far end of the raw connection to leave. */
void wire_raw_end(struct wire *wire);

#endif

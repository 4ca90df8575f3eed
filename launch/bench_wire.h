/* `rowhouse bench wire`: what a message between two processes costs, by the size of its
 * body, beside what the sockets below can carry. */
#ifndef ROWHOUSE_LAUNCH_BENCH_WIRE_H
#define ROWHOUSE_LAUNCH_BENCH_WIRE_H

#include <stdio.h>

#include "common/err.h"

/* argv[0 .. argc-1] are the options behind `bench wire`:
 *   --transport T  tcp or ipc (two processes) or inproc (two threads); tcp
 *   --bytes LIST   sizes of bodies, multiples of 8; 64 to 8388608
 *   --seconds T    measured, for each size; 2
 *   --json         one JSON object instead of lines for people
 *
 * Each size is sent in three ways, which take turns: in one frame with its header, as a
 * second frame that is not copied, and raw. For each: round trips one at a time (the
 * body goes there and comes back), and a stream in one direction, acknowledged now and
 * then as the queues of a port allow. `raw` is write() and read() of bodies of that
 * size over a TCP or Unix connection of the same two processes; with threads it is
 * memcpy() for the stream, and for the round trip a byte over a Unix connection and a
 * memcpy() each way. Over inproc the one who gets a body copies it once. Medians of
 * slices. The cross-over is the least size from which on two frames stream as fast as
 * one. Main thread, before ZeroMQ is used (it forks). -ERR_INPUT names the option. */
int bench_wire(int argc, char **argv, FILE *out, struct err *err);

#endif

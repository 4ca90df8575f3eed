/* `rowhouse bench rows`: how many rows a second workers pull from servers and push
 * back, beside what a raw stream through the same sockets carries. */
#ifndef ROWHOUSE_LAUNCH_BENCH_ROWS_H
#define ROWHOUSE_LAUNCH_BENCH_ROWS_H

#include <stdio.h>

#include "common/err.h"

/* argv[0 .. argc-1] are the options behind `bench rows`:
 *   --servers S    1
 *   --workers W    1
 *   --rows N       rows of the table, all made before the clock runs; 1000000
 *   --dim D        floats of a row, 64
 *   --batch B      rows of a batch, all different, chosen at random; 8192
 *   --transport T  tcp or ipc (servers and workers are processes) or inproc (threads);
 * tcp
 *   --inflight I   batches pulled ahead, the default of train.inflight
 *   --seconds T    measured, for each of rows and stream; 5
 *   --json         one JSON object instead of lines for people
 *
 * A row counts once, when it was pulled, its gradient pushed, applied (SGD) and
 * acknowledged. `payload` is the bytes of all message bodies both ways (keys, values,
 * weights, gradients; no headers), `stream` the same for messages of the same kinds,
 * numbers and sizes between two seats that do nothing with them (bench_rig.h). Both are
 * medians of slices that alternate. `pull` is the time from asking for a batch to
 * having it whole, under that load; `pull_alone` with nothing beside it. Main thread,
 * before ZeroMQ is used (it forks). -ERR_INPUT names the option. */
int bench_rows(int argc, char **argv, FILE *out, struct err *err);

#endif

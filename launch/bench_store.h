/* `rowhouse bench store`: how fast the table alone is on one thread, beside what the
 * memory allows. */
#ifndef ROWHOUSE_LAUNCH_BENCH_STORE_H
#define ROWHOUSE_LAUNCH_BENCH_STORE_H

#include <stdio.h>

#include "common/err.h"

/* argv[0 .. argc-1] are the options behind `bench store`:
 *   --rows N      rows of the table, 10000000
 *   --dim D       embedding columns of a row, 32
 *   --repeat R    runs, each in a process of its own, 3; medians are printed
 *   --memory M    anonymous (what one process has) or memfd (what servers under mpirun
 *                 have), anonymous
 *   --json        one JSON object instead of lines for people
 * Inserts make rows with normal first values, in batches of 1024 random keys, from an
 * empty table; finds look up such batches and copy the rows out; applies find and make
 * an SGD step. The gather copies the same rows from known addresses, fetched 64 ahead
 * (the limit) and 16 ahead. Memory is what the process has resident for a row, less its
 * floats.
 * Main thread (it forks). -ERR_INPUT names the option. */
int bench_store(int argc, char **argv, FILE *out, struct err *err);

#endif

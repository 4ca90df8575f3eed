/* `rowhouse bench balance`: how evenly rows and traffic spread over servers. */
#ifndef ROWHOUSE_LAUNCH_BENCH_BALANCE_H
#define ROWHOUSE_LAUNCH_BENCH_BALANCE_H

#include <stdio.h>

#include "common/err.h"

/* argv[0 .. argc-1] are the options behind `bench balance`:
 *   --servers S    8
 *   --rows N       keys there are, 1000000
 *   --batch B      keys drawn for a batch, 8192
 *   --batches C    100
 *   --zipf A       the key of rank r (from 1) is drawn with weight r^-A, 1
 *   --dim D        floats of a row, 64
 *   --seed N       1
 *   --json         one JSON object instead of lines for people
 *
 * Counts, nothing is timed: the rows that each server owns by the rule of slots, and
 * the bytes that it serves for batches of such keys, each key of a batch once: key and
 * weights in a pull; key, weight and gradient in a push. Printed is the largest
 * server's share over the mean; for bytes over all batches together and as the mean
 * over single batches. Beside it the limit: what an ideal hash would give, rows thrown
 * at servers at random. -ERR_INPUT names the option. */
int bench_balance(int argc, char **argv, FILE *out, struct err *err);

#endif

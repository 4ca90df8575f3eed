/* `rowhouse bench optimizers`: how fast servers apply gradients, by rule and processor
 * level, beside what the memory allows. */
#ifndef ROWHOUSE_LAUNCH_BENCH_OPTIMIZERS_H
#define ROWHOUSE_LAUNCH_BENCH_OPTIMIZERS_H

#include <stdio.h>

#include "common/err.h"

/* argv[0 .. argc-1] are the options behind `bench optimizers`:
 *   --dim D        weights of a row, 64
 *   --rows N       rows that are visited in random order in memory, 1000000
 *   --seconds T    measured, for each rule, 1
 *   --json         one JSON object instead of lines for people
 *
 * Rows lie as in a table: weights, then state. Batches of them are fetched ahead as a
 * look-up does. Each rule has its default settings; each level of kernels that this
 * processor has is measured, on rows of at most 128 KiB (cache) and on all (memory), in
 * turns with the limit: reading and writing the same bytes of the same rows, and
 * reading the gradient. Rows a second, medians. One thread. -ERR_INPUT names the
 * option. */
int bench_optimizers(int argc, char **argv, FILE *out, struct err *err);

#endif

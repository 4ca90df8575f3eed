/* rowhouse bench packed: how fast packed files are read, beside what limits it.
 *
 *   --examples N   of a made-up log (user, item, label, time), 2000000
 *   --users U      1000000
 *   --items I      10000000
 *   --dim D        of the matrix factorisation that its step is compared with, 32
 *   --rounds R     medians are of so many, 5
 *   --json         as JSON
 *
 * The file is in memory, times are those of the processor. Measured, in turns: reading
 * and decoding all columns; those that training needs, without time; reading alone (the
 * kernel's copy of the bytes); memcpy of as many bytes as the examples have when
 * decoded; and the key sets and gradients of matrix factorisation, on one thread: the
 * least that a worker computes in a step. */
#ifndef ROWHOUSE_LAUNCH_BENCH_PACKED_H
#define ROWHOUSE_LAUNCH_BENCH_PACKED_H

#include <stdio.h>

#include "common/err.h"

int bench_packed(int argc, char **argv, FILE *out, struct err *err);

#endif

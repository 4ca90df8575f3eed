/* rowhouse bench read: how fast a table of text is read, beside counting its lines.
 *
 *   --file F       tab-separated, without a header: a user, an item and a number come
 *                  first (default: made up, in memory)
 *   --examples N   of the file that is made up, 4000000
 *   --users U      6040
 *   --items I      3706
 *   --rounds R     medians are of so many, 7
 *   --json         as JSON
 *
 * In turns, in processor time of one thread: reading the file with everything that is
 * checked (fields of each line, UTF-8, keys, numbers rounded exactly), and reading its
 * bytes and counting the newlines with the same wide registers. */
#ifndef ROWHOUSE_LAUNCH_BENCH_READ_H
#define ROWHOUSE_LAUNCH_BENCH_READ_H

#include <stdio.h>

#include "common/err.h"

int bench_read(int argc, char **argv, FILE *out, struct err *err);

#endif

/* `rowhouse bench train`: whole training steps, and where their time goes. */
#ifndef ROWHOUSE_LAUNCH_BENCH_TRAIN_H
#define ROWHOUSE_LAUNCH_BENCH_TRAIN_H

#include <stdio.h>

#include "common/err.h"

/* argv[0 .. argc-1] are the options behind `bench train`:
 *   --model M      mf
 *   --users U      20000
 *   --items I      5000
 *   --examples N   in an epoch, 500000
 *   --dim D        64
 *   --batch LIST   examples of a batch, 256 to 16384
 *   --epochs E     the first of which is not measured, 4
 *   --zipf A       users and items of rank r are drawn with weight r^-A, 0.8
 *   --servers S    1
 *   --workers W    1
 *   --seed N       1
 *   --json         one JSON object instead of lines for people
 *
 * For each size of batch a run of `rowhouse train` as one process (a child of this
 * one), with Adagrad, on ratings that are made here and stay in memory. Examples a
 * second are those behind the first epoch; so are the processor seconds of each kind of
 * thread. The limit is the model's kernel alone, on one thread, with rows at hand for
 * batches of the same kind. Main thread, before ZeroMQ is used (it forks). -ERR_INPUT
 * names the option.
 */
int bench_train(int argc, char **argv, FILE *out, struct err *err);

#endif

/* The bootstrap: the only user of MPI. Ranks find each other, exchange fixed-size cards
 * and part from MPI before the work begins, because nothing can be done through MPI
 * once a rank is lost (docs/decisions). All waits have deadlines and sleep instead of
 * spinning. Main thread only. */
#ifndef ROWHOUSE_LAUNCH_BOOTSTRAP_H
#define ROWHOUSE_LAUNCH_BOOTSTRAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct bootstrap {
    int rank, size;
    double timeout; /* seconds */
};

/* Has a launcher (mpirun, srun --mpi=pmix) started this process? Its rank as far as the
 * environment tells, -1 if it does not. */
bool bootstrap_launched(int *rank);

/* Collective. Initialises MPI; when that takes longer than `timeout` seconds the
 * process says so on standard error and leaves with status 1: MPI offers no other way
 * out. */
int bootstrap_begin(struct bootstrap *bootstrap, double timeout, struct err *err);
/* Collective. Every rank gives a card of `size` bytes and gets all of them in rank
 * order. -ERR_DEADLINE at rank 0 names the ranks that did not come. */
int bootstrap_exchange(struct bootstrap *bootstrap, const void *card, void *all,
                       size_t size, struct err *err);
/* Collective. Leaves when all have come. */
int bootstrap_barrier(struct bootstrap *bootstrap, struct err *err);
/* Collective, after a successful exchange. Parts from MPI. */
void bootstrap_end(struct bootstrap *bootstrap);

#endif

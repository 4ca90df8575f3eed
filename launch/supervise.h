/* The supervisor of a rank's child: starts it, starts it again when it dies, and never
 * outlives or leaves it behind. Main thread. */
#ifndef ROWHOUSE_LAUNCH_SUPERVISE_H
#define ROWHOUSE_LAUNCH_SUPERVISE_H

#include "launch/plan.h"

/* Runs the plan's child until it exits by itself; returns its exit status. A child that
 * is killed or crashes is started again with the next incarnation, at once if it has
 * lived for a while, at most cluster.restarts_max times in all; then one more is sent
 * with the last words, and the status is 1. `plan` is changed (incarnation, last
 * words). */
int supervise(struct plan *plan);

#endif

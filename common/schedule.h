/* What becomes of a rate from clock to clock: one rule for servers that apply gradients
 * and for workers that make the steps themselves. No state; any thread. */
#ifndef ROWHOUSE_COMMON_SCHEDULE_H
#define ROWHOUSE_COMMON_SCHEDULE_H

#include "common/job.h"

/* Plain data. */
struct schedule {
    int kind; /* enum schedule_kind */
    double rate;
    double steps, factor, warmup;
};

/* From checked settings. */
struct schedule schedule_from(const struct job_optimizer *settings);

/* The rate of the push with this clock; a worker's first push has clock 1. Warm-up
 * rises evenly and reaches the full rate with clock `warmup`; for t clocks after that
 * (Goyal et al. 2017 for the warm-up; Loshchilov, Hutter 2017 for cosine):
 *   step          rate * factor ^ floor(t / steps)
 *   exponential   rate * factor ^ (t / steps)
 *   inverse_sqrt  rate / sqrt(1 + t / steps)
 *   cosine        from rate to rate * factor in `steps` clocks, then constant */
float schedule_rate(const struct schedule *schedule, uint64_t clock);

#endif

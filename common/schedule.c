#include "common/schedule.h"

#include <math.h>

struct schedule schedule_from(const struct job_optimizer *settings)
{
    return (struct schedule){
        .kind = settings->schedule,
        .rate = settings->rate,
        .steps = (double)settings->schedule_steps,
        .factor = settings->schedule_factor,
        .warmup = (double)settings->warmup,
    };
}

/* What the schedule makes of a rate of 1 after t clocks. */
static double after(const struct schedule *schedule, double t)
{
    double factor = schedule->factor, x = t / schedule->steps;

    switch (schedule->kind) {
    case SCHEDULE_STEP:
        return pow(factor, floor(x));
    case SCHEDULE_EXPONENTIAL:
        return pow(factor, x);
    case SCHEDULE_INVERSE_SQRT:
        return 1 / sqrt(1 + x);
    case SCHEDULE_COSINE:
        return x < 1 ? factor + (1 - factor) * (1 + cos(M_PI * x)) / 2 : factor;
    default: /* constant */
        return 1;
    }
}

float schedule_rate(const struct schedule *schedule, uint64_t clock)
{
    double now = (double)clock, warmup = schedule->warmup;

    if (now < warmup)
        return (float)(schedule->rate * (now / warmup));
    /* Without warm-up the first clock, 1, has the full rate. */
    now -= warmup > 1 ? warmup : 1;
    return (float)(schedule->rate * after(schedule, now > 0 ? now : 0));
}

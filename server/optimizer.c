#include "server/optimizer.h"

#include <math.h>

#include "common/cpu.h"
#include "server/optimizer_kernels.h"

static optimizer_rows *const kernels[CPU_V4 + 1] = {
    optimizer_rows_v2, optimizer_rows_v3, optimizer_rows_v4};

static void square_up(double power[OPTIMIZER_STEP_BITS + 1], float base)
{
    power[0] = (double)base;
    for (int i = 1; i <= OPTIMIZER_STEP_BITS; i++)
        power[i] = power[i - 1] * power[i - 1];
}

void optimizer_init(struct optimizer *optimizer, const struct job *job)
{
    /* Where workers make the steps, servers add them. */
    int kind = job->train.update == UPDATE_DELTA ? OPTIMIZER_ADD : job->optimizer.kind;
    bool has_initial = kind == OPTIMIZER_ADAGRAD || kind == OPTIMIZER_ROWWISE_ADAGRAD;

    *optimizer = (struct optimizer){
        .kind = kind,
        .extras = job->optimizer.clip > 0 || job->optimizer.clip_norm > 0 ||
                  job->optimizer.decay > 0,
        .l1 = (float)job->optimizer.l1,
        .l2 = (float)job->optimizer.l2,
        .initial = has_initial ? (float)job->optimizer.initial : 0.0f,
        .momentum = (float)job->optimizer.momentum,
        .beta1 = (float)job->optimizer.beta1,
        .beta2 = (float)job->optimizer.beta2,
        .rho = (float)job->optimizer.rho,
        .epsilon = (float)job->optimizer.epsilon,
        .beta = (float)job->optimizer.beta,
        .clip = (float)job->optimizer.clip,
        .clip_norm = (float)job->optimizer.clip_norm,
        .max_norm = (float)job->optimizer.max_norm,
        .rate = job->optimizer.rate,
        .decay = job->optimizer.decay,
        .schedule = job->optimizer.schedule,
        .schedule_steps = (double)job->optimizer.schedule_steps,
        .schedule_factor = job->optimizer.schedule_factor,
        .warmup = (double)job->optimizer.warmup,
        .level = (int)cpu_level(),
    };
    if (job->train.update == UPDATE_DELTA) { /* the steps have it all in them */
        optimizer->l1 = optimizer->l2 = optimizer->max_norm = 0;
        optimizer->extras = false;
    }
    square_up(optimizer->beta1_power, optimizer->beta1);
    square_up(optimizer->beta2_power, optimizer->beta2);
}

uint32_t optimizer_state_width(const struct optimizer *optimizer, uint32_t width)
{
    switch (optimizer->kind) {
    case OPTIMIZER_ROWWISE_ADAGRAD:
        return 1;
    case OPTIMIZER_ADAGRAD:
    case OPTIMIZER_MOMENTUM:
    case OPTIMIZER_NESTEROV:
    case OPTIMIZER_RMSPROP:
        return width;
    case OPTIMIZER_ADADELTA:
    case OPTIMIZER_FTRL:
        return 2 * width;
    case OPTIMIZER_ADAM:
    case OPTIMIZER_ADAMW:
        return 2 * width + 1;
    case OPTIMIZER_AMSGRAD:
        return 3 * width;
    default: /* sgd, add */
        return 0;
    }
}

/* What the schedule makes of a rate of 1 after t clocks. */
static double schedule_at(const struct optimizer *optimizer, double t)
{
    double factor = optimizer->schedule_factor, x = t / optimizer->schedule_steps;

    switch (optimizer->schedule) {
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

float optimizer_rate(const struct optimizer *optimizer, uint64_t clock)
{
    double now = (double)clock, warmup = optimizer->warmup;

    if (now < warmup)
        return (float)(optimizer->rate * (now / warmup));
    /* Without warm-up the first clock, 1, has the full rate. */
    now -= warmup > 1 ? warmup : 1;
    return (float)(optimizer->rate * schedule_at(optimizer, now > 0 ? now : 0));
}

void optimizer_apply(const struct optimizer *optimizer, uint64_t clock,
                     float *const *row, const float *gradient, const float *weight,
                     uint32_t n, uint32_t width)
{
    kernels[optimizer->level](optimizer, optimizer_rate(optimizer, clock), row,
                              gradient, weight, n, width);
}

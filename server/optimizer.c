#include "server/optimizer.h"

#include <math.h>

#include "common/cpu.h"
#include "server/optimizer_kernels.h"

static optimizer_rows *const kernels[CPU_V4 + 1] = {
    optimizer_rows_v2, optimizer_rows_v3, optimizer_rows_v4};
static compensate_rows *const compensations[CPU_V4 + 1] = {
    compensate_rows_v2, compensate_rows_v3, compensate_rows_v4};

static void square_up(double power[OPTIMIZER_STEP_BITS + 1], float base)
{
    power[0] = (double)base;
    for (int i = 1; i <= OPTIMIZER_STEP_BITS; i++)
        power[i] = power[i - 1] * power[i - 1];
}

void optimizer_init(struct optimizer *optimizer, const struct job *job, uint32_t table)
{
    const struct job_optimizer from = job_table_optimizer(job, (int)table);
    /* Where workers make the steps, servers add them. */
    int kind = job->train.update == UPDATE_DELTA ? OPTIMIZER_ADD : from.kind;
    bool has_initial = kind == OPTIMIZER_ADAGRAD || kind == OPTIMIZER_ROWWISE_ADAGRAD;

    *optimizer = (struct optimizer){
        .kind = kind,
        .extras = from.clip > 0 || from.clip_norm > 0 || from.decay > 0,
        .l1 = (float)from.l1,
        .l2 = (float)from.l2,
        .initial = has_initial ? (float)from.initial : 0.0f,
        .momentum = (float)from.momentum,
        .beta1 = (float)from.beta1,
        .beta2 = (float)from.beta2,
        .rho = (float)from.rho,
        .epsilon = (float)from.epsilon,
        .beta = (float)from.beta,
        .clip = (float)from.clip,
        .clip_norm = (float)from.clip_norm,
        .max_norm = (float)from.max_norm,
        .decay = from.decay,
        .schedule = schedule_from(&from),
        .slows = from.stale_rate == STALE_RATE_INVERSE,
        .compensate = (float)from.compensate,
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

float optimizer_rate(const struct optimizer *optimizer, uint64_t clock)
{
    return schedule_rate(&optimizer->schedule, clock);
}

float optimizer_late_rate(const struct optimizer *optimizer, float rate, uint64_t late)
{
    return optimizer->slows && late > 1 ? (float)((double)rate / (double)late) : rate;
}

void optimizer_compensate(const struct optimizer *optimizer, float *const *row,
                          const float *pulled, const float *gradient,
                          const float *weight, uint32_t n, uint32_t width, float *out)
{
    compensations[optimizer->level](optimizer->compensate, row, pulled, gradient,
                                    weight, n, width, out);
}

void optimizer_apply(const struct optimizer *optimizer, uint64_t clock,
                     float *const *row, const float *gradient, const float *weight,
                     uint32_t n, uint32_t width)
{
    optimizer_apply_at(optimizer, optimizer_rate(optimizer, clock), row, gradient,
                       weight, n, width);
}

void optimizer_apply_at(const struct optimizer *optimizer, float rate,
                        float *const *row, const float *gradient, const float *weight,
                        uint32_t n, uint32_t width)
{
    kernels[optimizer->level](optimizer, rate, row, gradient, weight, n, width);
}

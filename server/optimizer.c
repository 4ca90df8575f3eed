#include "server/optimizer.h"

#include "common/cpu.h"
#include "server/optimizer_kernels.h"

static optimizer_rows *const kernels[][CPU_V4 + 1] = {
    [OPTIMIZER_SGD] = {sgd_rows_v2, sgd_rows_v3, sgd_rows_v4},
    [OPTIMIZER_ADAGRAD] = {adagrad_rows_v2, adagrad_rows_v3, adagrad_rows_v4},
};

void optimizer_init(struct optimizer *optimizer, const struct job *job)
{
    *optimizer = (struct optimizer){
        .kind = job->optimizer.kind,
        .rate = (float)job->optimizer.rate,
        .l2 = (float)job->optimizer.l2,
        .initial = (float)job->optimizer.initial,
        .level = (int)cpu_level(),
    };
    if (job->train.update ==
        UPDATE_DELTA) { /* workers make the steps, servers add them */
        optimizer->rate = -1;
        optimizer->l2 = 0;
    }
}

uint32_t optimizer_state_width(const struct optimizer *optimizer, uint32_t width)
{
    return optimizer->kind == OPTIMIZER_ADAGRAD ? width : 0;
}

void optimizer_apply(const struct optimizer *optimizer, float *const *row,
                     const float *gradient, const float *weight, uint32_t n,
                     uint32_t width)
{
    kernels[optimizer->kind][optimizer->level](optimizer, row, gradient, weight, n,
                                               width);
}

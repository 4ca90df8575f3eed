#include "worker/delta.h"

#include <stdlib.h>
#include <string.h>

int delta_init(struct delta *delta, const struct job *job, const struct mf *mf,
               uint32_t user, uint32_t item, struct err *err)
{
    size_t rows = (size_t)job->train.batch * job_group(job);

    *delta = (struct delta){.mf = mf,
                            .schedule = schedule_from(&job->optimizer),
                            .bias_share = (float)job->model.bias_rate,
                            .l2 = (float)job->optimizer.l2,
                            .user = user,
                            .item = item};
    for (int side = 0; side < 2; side++) {
        delta->factors[side] = aligned_alloc(64, rows * mf_stride(mf) * sizeof(float));
        delta->bias[side] = malloc(rows * sizeof(float));
        if (!delta->factors[side] || !delta->bias[side]) {
            delta_release(delta);
            return err_set(err, ERR_MEMORY, "no memory for steps on %zu rows", rows);
        }
    }
    return 0;
}

void delta_release(struct delta *delta)
{
    for (int side = 0; side < 2; side++) {
        free(delta->factors[side]);
        free(delta->bias[side]);
    }
    memset(delta, 0, sizeof *delta);
}

double delta_steps(struct delta *delta, const struct batch *batch,
                   float *const *difference)
{
    const uint32_t table[2] = {delta->user, delta->item};
    float rate = schedule_rate(&delta->schedule, batch->clock);
    struct mf_block block = {
        .n = batch->n,
        .user_pos = batch->set[delta->user].pos,
        .item_pos = batch->set[delta->item].pos,
        .label = batch->label,
        .user = delta->factors[0],
        .item = delta->factors[1],
        .user_bias = delta->bias[0],
        .item_bias = delta->bias[1],
        .rate = rate,
        .bias_rate = rate * delta->bias_share,
        .l2 = delta->l2,
    };
    double loss;

    for (int side = 0; side < 2; side++)
        mf_spread(delta->mf, batch->rows[table[side]], batch->set[table[side]].rows,
                  delta->factors[side], delta->bias[side]);
    loss = mf_sgd(delta->mf, &block);
    for (int side = 0; side < 2; side++)
        mf_differences(delta->mf, batch->rows[table[side]], delta->factors[side],
                       delta->bias[side], batch->set[table[side]].rows,
                       difference[table[side]]);
    return loss;
}

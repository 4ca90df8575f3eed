#include "worker/group_loss.h"

#include <stdlib.h>
#include <string.h>

#include "worker/model/layer.h"
#include "worker/model/loss.h"

/* Examples whose scores with all others are there at a time. */
enum { ROWS = 64 };

int group_loss_init(struct group_loss *loss, const struct job *job, uint32_t capacity,
                    struct err *err)
{
    uint32_t group = job_group(job), groups = capacity / group;
    bool in_batch = job->train.negatives_by == NEGATIVES_BATCH;
    size_t candidates = in_batch ? capacity : group;
    size_t scores = in_batch ? (size_t)ROWS * capacity : 1;

    *loss = (struct group_loss){
        .loss = job->model.loss,
        .in_batch = in_batch,
        .group = group,
        .k = layer_kernels(cpu_level()),
        .weight = malloc((groups + 1) * sizeof(float)),
        .target = calloc(groups + 1, sizeof(uint32_t)),
        .positive = malloc((groups + 1) * sizeof(float)),
        .negative = malloc(((size_t)capacity + 1) * sizeof(float)),
        .positive_slope = malloc((groups + 1) * sizeof(float)),
        .negative_slope = malloc(((size_t)capacity + 1) * sizeof(float)),
        .scratch = malloc(2 * candidates * sizeof(float)),
        .score = malloc(scores * sizeof(float)),
        .slope = malloc(scores * sizeof(float)),
    };
    if (loss->weight && loss->target && loss->positive && loss->negative &&
        loss->positive_slope && loss->negative_slope && loss->scratch && loss->score &&
        loss->slope)
        return 0;
    group_loss_release(loss);
    return err_set(err, ERR_MEMORY, "no memory for scores of %u examples", capacity);
}

void group_loss_release(struct group_loss *loss)
{
    free(loss->weight);
    free(loss->target);
    free(loss->positive);
    free(loss->negative);
    free(loss->positive_slope);
    free(loss->negative_slope);
    free(loss->scratch);
    free(loss->score);
    free(loss->slope);
    memset(loss, 0, sizeof *loss);
}

/* Examples of the data count with their weights, those of items that were not chosen
 * not at all. */
static void set_weights(struct group_loss *loss, const struct batch *batch,
                        uint32_t first, uint32_t groups)
{
    for (uint32_t g = 0; g < groups; g++) {
        uint32_t i = first + g * loss->group;
        float weight = batch->weighted ? batch->weight[i] : 1;

        loss->weight[g] = batch->label[i] > 0 ? weight : 0;
    }
}

/* --- an example and its negatives ------------------------------------------------- */

static double softmax_of_groups(struct group_loss *loss, const struct batch *batch,
                                uint32_t first, uint32_t groups, const float *score,
                                float *slope)
{
    struct loss_candidates candidates = {.id = batch->item + first,
                                         .log_q = batch->log_q + first,
                                         .m = loss->group,
                                         .stride = loss->group};

    return loss_sampled_softmax(loss->k, score, loss->target, candidates, loss->weight,
                                groups, loss->scratch, slope);
}

/* The scores of chosen items apart from those of their negatives, and slopes of 0. */
static void take_apart(struct group_loss *loss, uint32_t groups, const float *score)
{
    uint32_t negatives = loss->group - 1;

    for (uint32_t g = 0; g < groups; g++) {
        loss->positive[g] = score[0];
        memcpy(loss->negative + (size_t)g * negatives, score + 1,
               negatives * sizeof *score);
        score += loss->group;
    }
    memset(loss->positive_slope, 0, groups * sizeof(float));
    memset(loss->negative_slope, 0, (size_t)groups * negatives * sizeof(float));
}

static void put_together(const struct group_loss *loss, uint32_t groups, float *slope)
{
    uint32_t negatives = loss->group - 1;

    for (uint32_t g = 0; g < groups; g++) {
        slope[0] += loss->positive_slope[g];
        for (uint32_t j = 0; j < negatives; j++)
            slope[1 + j] += loss->negative_slope[(size_t)g * negatives + j];
        slope += loss->group;
    }
}

double group_loss(struct group_loss *loss, const struct batch *batch, uint32_t first,
                  uint32_t n, const float *score, float *slope)
{
    uint32_t groups = n / loss->group, negatives = loss->group - 1;
    double sum;

    set_weights(loss, batch, first, groups);
    if (loss->loss == LOSS_SAMPLED_SOFTMAX)
        return softmax_of_groups(loss, batch, first, groups, score, slope);
    take_apart(loss, groups, score);
    sum = loss->loss == LOSS_BPR
              ? loss_bpr(loss->positive, loss->negative, loss->weight, groups,
                         negatives, loss->positive_slope, loss->negative_slope)
              : loss_warp(loss->positive, loss->negative, loss->weight, groups,
                          negatives, batch->items, loss->positive_slope,
                          loss->negative_slope);
    put_together(loss, groups, slope);
    return sum;
}

/* --- an example and all others ---------------------------------------------------- */

/* Examples first .. first + rows - 1 of a batch of n against all. */
static double softmax_of_rows(struct group_loss *loss, const struct batch *batch,
                              const struct towers *towers, uint32_t first,
                              uint32_t rows)
{
    uint32_t n = batch->n, width = towers->width;
    const float *user = towers->user + (size_t)first * width;
    struct loss_candidates candidates = {
        .id = batch->item, .log_q = batch->log_q, .m = n};
    double sum;

    memset(loss->slope, 0, (size_t)rows * n * sizeof(float));
    for (uint32_t i = 0; i < rows; i++)
        loss->target[i] = first + i;
    match_forward(user, towers->item, rows, n, width, loss->score);
    sum = loss_sampled_softmax(loss->k, loss->score, loss->target, candidates,
                               loss->weight + first, rows, loss->scratch, loss->slope);
    match_backward(user, towers->item, loss->slope, rows, n, width,
                   towers->user_slope + (size_t)first * width, towers->item_slope);
    return sum;
}

double group_loss_in_batch(struct group_loss *loss, const struct batch *batch,
                           const struct towers *towers)
{
    double sum = 0;

    set_weights(loss, batch, 0, batch->n);
    for (uint32_t first = 0; first < batch->n; first += ROWS)
        sum += softmax_of_rows(loss, batch, towers, first,
                               batch->n - first < ROWS ? batch->n - first : ROWS);
    return sum;
}

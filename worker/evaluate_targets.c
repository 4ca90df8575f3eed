/* Rankings by models whose output has a number for each row of a table: each example of
 * the scored part is a list of all of these, and what it is to find is relevant. */
#include <stdlib.h>
#include <string.h>

#include "common/metrics.h"
#include "worker/model/layer_kernels.h"
#include "worker/model/ranking_groups.h"
#include "worker/step.h"

struct lists {
    const struct blueprint *blueprint;
    uint32_t slots, k[RANKING_SLOTS], most; /* the different K, and the largest */
    struct ranking_sums sums[RANKING_SLOTS];
    float *value; /* [n][classes] of a batch */
    uint32_t room;
    float *relevant, *left_out; /* [classes] */
    unsigned char *mark;        /* [classes]: those that are out, or relevant already */
    struct ranking_group *group; /* [3 * classes] */
};

static int no_memory(struct err *err)
{
    return err_set(err, ERR_MEMORY, "no memory to rank what an output has");
}

static int lists_init(struct lists *l, struct worker *worker, struct err *err)
{
    const struct job *job = worker->setup->job;
    size_t classes = worker->blueprint->classes;

    *l = (struct lists){.blueprint = worker->blueprint};
    l->slots = metrics_slots(job->evaluate.metrics, l->k);
    for (uint32_t s = 0; s < l->slots; s++)
        l->most = l->k[s] > l->most ? l->k[s] : l->most;
    l->relevant = malloc(classes * sizeof(float));
    l->left_out = malloc(classes * sizeof(float));
    l->mark = malloc(classes);
    l->group = malloc(3 * classes * sizeof *l->group);
    return l->relevant && l->left_out && l->mark && l->group ? 0 : no_memory(err);
}

static void lists_release(struct lists *l)
{
    free(l->value);
    free(l->relevant);
    free(l->left_out);
    free(l->mark);
    free(l->group);
}

/* Is the input a list of what the target is, too? */
static bool is_seen(const struct blueprint *b, uint32_t number)
{
    const struct blueprint_input *input = &b->input[number];
    const struct job_column *column = b->job->data.column;

    return input->is_list && input->same == number &&
           !strcmp(column[input->column[0]].table, column[b->target_column].table);
}

/* Marks what stands in lists that example i shows the model; their scores. */
static uint32_t leave_out(struct lists *l, const struct batch *batch, uint32_t i,
                          const float *score)
{
    const struct blueprint *b = l->blueprint;
    uint32_t n = 0;

    for (uint32_t input = 0; input < b->inputs; input++) {
        const struct batch_input *in = &batch->input[input];
        bool bag = b->input[input].kind == LAYER_BAG;
        uint32_t steps = b->input[input].steps, at, end;

        if (!is_seen(b, input))
            continue;
        at = bag ? in->offset[i] : i * steps;
        for (end = bag ? in->offset[i + 1] : at + steps; at < end; at++) {
            uint64_t key = in->pos[at] == LAYER_NO_ROW
                               ? b->classes
                               : batch->set[b->input[input].table].key[in->pos[at]];

            if (key >= b->classes || l->mark[key])
                continue;
            l->left_out[n] = score[key];
#ifndef MUTANT_TARGETS_SEEN
            l->mark[key] = 1;
            n++;
#endif
        }
    }
    return n;
}

/* Scores of what example i is to find. */
static uint32_t find_relevant(struct lists *l, const struct batch *batch, uint32_t i,
                              const float *score)
{
    bool positive = l->blueprint->job->model.loss == LOSS_SOFTMAX;
    uint32_t n = 0;

    for (uint32_t t = batch->target_offset[i]; t < batch->target_offset[i + 1]; t++) {
        uint32_t row = batch->target[t];

        if (l->mark[row] || (positive && batch->target_value[t] <= 0))
            continue;
        l->mark[row] = 1;
        l->relevant[n++] = score[row];
    }
    return n;
}

static void rank(struct lists *l, const struct batch *batch, uint32_t i)
{
    const struct job *job = l->blueprint->job;
    const float *score = l->value + (size_t)i * l->blueprint->classes;
    struct ranking_scores scores = {.score = score,
                                    .relevant = l->relevant,
                                    .left_out = l->left_out,
                                    .n = l->blueprint->classes};
    uint32_t groups;

    memset(l->mark, 0, l->blueprint->classes);
    if (job->evaluate.seen == SEEN_LEAVE_OUT)
        scores.left_outs = leave_out(l, batch, i, score);
    scores.relevants = find_relevant(l, batch, i, score);
    if (scores.relevants == 0)
        return;
    groups = ranking_find_groups(&scores, l->most,
                                 (enum ranking_ties)job->evaluate.ties, l->group);
    for (uint32_t s = 0; s < l->slots; s++)
        ranking_add_groups(&l->sums[s], l->group, groups, scores.relevants, l->k[s]);
}

static int rank_batch(struct worker *worker, struct batch *batch, void *context,
                      struct err *err)
{
    struct lists *l = context;

    if (batch->n > l->room) {
        free(l->value);
        l->room = batch->n;
        l->value = malloc((size_t)l->room * l->blueprint->classes * sizeof(float));
    }
    if (!l->value)
        return no_memory(err);
    learner_values(worker->learner, batch, 0, l->value);
    for (uint32_t i = 0; i < batch->n; i++)
        rank(l, batch, i);
    return 0;
}

int worker_evaluate_targets(struct worker *worker, struct err *err)
{
    struct lists l;
    int rc = lists_init(&l, worker, err);

    if (rc == 0)
        rc = worker_each_scored(worker, rank_batch, &l, err);
    for (uint32_t s = 0; rc == 0 && s < l.slots; s++)
        metrics_add_ranking(worker->status.metric, s, &l.sums[s]);
    lists_release(&l);
    return rc;
}

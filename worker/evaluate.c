#include <stdlib.h>
#include <string.h>

#include "common/metrics.h"
#include "worker/model/ranking.h"
#include "worker/step.h"

_Static_assert((int)SUM_COUNT <= (int)METRIC_SUMS, "a status has room for all sums");

static enum score_kind kind_of_scores(int loss)
{
    if (loss == LOSS_LOGISTIC)
        return SCORE_PROBABILITY;
    return loss == LOSS_HINGE || loss == LOSS_SQUARED_HINGE ? SCORE_SIGN : SCORE_NUMBER;
}

static bool wants_scores(const struct worker *worker)
{
    return metrics_has(worker->setup->job->evaluate.metrics, "auc");
}

/* Room for a batch's scores; it grows to what the largest one needs. */
struct scores {
    float *value;
    uint64_t room;
};

static void add_metrics(struct worker *worker, const float *score, const float *label,
                        uint32_t n)
{
    enum score_kind kind = kind_of_scores(worker->setup->job->model.loss);
    struct class_sums classes = {0};

    metrics_add(worker->status.metric, score, label, n, kind);
    if (kind == SCORE_NUMBER)
        return;
    class_sums_add(&classes, score, label, n, kind == SCORE_PROBABILITY ? 0.5f : 0);
    metrics_add_classes(worker->status.metric, &classes);
}

static int score(struct worker *worker, struct batch *batch, void *context,
                 struct err *err)
{
    struct scores *scores = context;
    const float *label;
    uint64_t n = learner_labels(worker->learner, batch, &label);

    if (n >= scores->room) {
        free(scores->value);
        scores->room = n + 1;
        scores->value = malloc(scores->room * sizeof *scores->value);
    }
    if (!scores->value)
        return err_set(err, ERR_MEMORY, "no memory for %llu scores",
                       (unsigned long long)n);
    learner_score(worker->learner, batch, scores->value);
    if (wants_scores(worker) &&
        roc_add(&worker->roc, scores->value, label, (uint32_t)n, err))
        return -err->code;
    learner_link(worker->learner, scores->value, (uint32_t)n);
    add_metrics(worker, scores->value, label, (uint32_t)n);
    return 0;
}

/* Gives what was counted to the member, for the coordinator. */
static int hand_over_counts(struct worker *worker, const struct order *order,
                            struct err *err)
{
    bool scores = wants_scores(worker);
    struct section section = {.table = scores ? COUNTS_SCORES : COUNTS_ITEMS};
    struct buffer *body;
    uint64_t words, *word;

    if (roc_settle(&worker->roc, err))
        return -err->code;
    words = scores ? roc_words(&worker->roc) : covered_words(&worker->covered);
    body = buffer_get(worker->setup->pool, words * sizeof(uint64_t));
    if (!body)
        return err_set(err, ERR_MEMORY, "no memory for %llu numbers of an evaluation",
                       (unsigned long long)words);
    word = (uint64_t *)(void *)body->data;
    if (scores)
        roc_write(&worker->roc, word);
    else
        covered_write(&worker->covered, word);
    roc_release(&worker->roc);
    covered_release(&worker->covered);
    body->used = words * sizeof(uint64_t);
    section.rows = (uint32_t)words;
    member_attach(worker->member, order->number, &section, 1, body);
    buffer_unref(body);
    return 0;
}

int worker_still_evaluates(struct worker *worker, struct err *err)
{
    if (lines_look(worker->lines, err) < 0)
        return -err->code;
    if (lines_order(worker->lines)->kind == ORDER_END)
        return err_set(err, ERR_INTERRUPTED, "the job is ending");
    return 0;
}

/* The next batch; NULL at the end, and when the job ends meanwhile. */
static struct batch *next_batch(struct worker *worker, int *rc, struct err *err)
{
    struct batch *batch = feeder_next(worker->feeder, true);

    while (!batch && *rc == 0 && feeder_is_slow(worker->feeder)) {
        *rc = worker_still_evaluates(worker, err);
        if (*rc == 0)
            batch = feeder_next(worker->feeder, true);
    }
    return batch;
}

int worker_each_scored(struct worker *worker, use_batch *use, void *context,
                       struct err *err)
{
    const struct worker_setup *setup = worker->setup;
    enum split_part part = worker->scored;
    struct range all = {0, data_end(worker->data, setup->job, part)}, share[1];
    struct batch *batch;
    struct err ignored;
    struct pass pass;
    uint32_t shares;
    int rc;

    shares = ranges_share(&all, 1, setup->index, setup->roster->workers, share);
    pass = (struct pass){.data = worker->data,
                         .part = part,
                         .range = share,
                         .ranges = shares,
                         .read_only = true};
    rc = feeder_begin(worker->feeder, &pass, NULL, err);
    while (rc == 0 && (batch = next_batch(worker, &rc, err))) {
        rc = client_begin_pull(worker->client, batch, err);
        if (rc == 0)
            rc = client_finish_pull(worker->client, batch, err);
        if (rc == 0)
            rc = use(worker, batch, context, err);
        if (rc == 0)
            feeder_return(worker->feeder, batch);
    }
    client_drop_pulls(worker->client);
    if (feeder_end(worker->feeder, rc ? &ignored : err) && rc == 0)
        rc = -err->code;
    return rc;
}

/* Each example by itself. */
static int evaluate_split(struct worker *worker, struct err *err)
{
    struct scores scores = {0};
    int rc = worker_each_scored(worker, score, &scores, err);

    free(scores.value);
    return rc;
}

static int evaluate(struct worker *worker, struct err *err)
{
    const struct job *job = worker->setup->job;

    if (job->evaluate.protocol == PROTOCOL_SPLIT)
        return evaluate_split(worker, err);
    return job->model.target[0] ? worker_evaluate_targets(worker, err)
                                : worker_evaluate_ranking(worker, err);
}

int worker_evaluate(struct worker *worker, const struct order *order, struct err *err)
{
    const struct job *job = worker->setup->job;
    int rc;

    worker->scored = order->validate ? SPLIT_VALIDATION : split_scored(job);
    if (order->validate && data_end(worker->data, job, SPLIT_VALIDATION) == 0)
        return err_set(err, ERR_INPUT,
                       "there is no example in the validation part that evaluate.every "
                       "asks for");
    memset(worker->status.metric, 0, sizeof worker->status.metric);
    member_attach(worker->member, 0, NULL, 0, NULL);
    roc_release(&worker->roc);
    covered_release(&worker->covered);
    worker->status.phase = PHASE_EVALUATING;
    rc = evaluate(worker, err);
    return rc == 0 && (wants_scores(worker) || worker->covered.sets)
               ? hand_over_counts(worker, order, err)
               : rc;
}

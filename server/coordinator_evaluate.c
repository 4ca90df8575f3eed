/* What the evaluations of all workers come to, and which epoch is the best. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/metrics.h"
#include "server/coordinator_parts.h"

static bool wants_counts(const struct coordinator *c)
{
    const char *metrics = c->plan.job->evaluate.metrics;

    return metrics_has(metrics, "auc") || metrics_has(metrics, "coverage@");
}

bool coordinator_has_counts(const struct coordinator *c, uint32_t worker)
{
    return !wants_counts(c) ||
           (c->counts_order == c->state->number && c->counted[worker]);
}

static void begin_counts(struct coordinator *c)
{
    if (c->counts_order == c->state->number)
        return;
    roc_release(&c->roc);
    covered_release(&c->covered);
    memset(c->counted, 0, sizeof c->counted);
    c->counts_order = c->state->number;
}

static int merge(struct coordinator *c, uint32_t kind, const uint64_t *word,
                 uint32_t words, struct err *err)
{
    uint32_t sets = metrics_slots(c->plan.job->evaluate.metrics, NULL);

    return kind == COUNTS_SCORES ? roc_merge(&c->roc, word, words, err)
                                 : covered_merge(&c->covered, sets, word, words, err);
}

int coordinator_counts(struct coordinator *c, struct peer from,
                       const struct message *message, struct err *err)
{
    const uint64_t *word = (const uint64_t *)(const void *)message->body;
    uint32_t workers = c->plan.roster->workers;

    if (from.role != ROLE_WORKER || from.index >= workers)
        return err_set(err, ERR_PEER, "only workers count, of which there are %u",
                       workers);
    if (c->state->stage != STAGE_EVALUATE || !wants_counts(c) ||
        message->status.done != c->state->number ||
        from.incarnation < *c->worker[from.index].incarnation)
        return 0;
    begin_counts(c);
#ifndef MUTANT_COUNTS_ONCE
    if (c->counted[from.index])
        return 0;
#endif
    for (uint32_t i = 0; i < message->sections; word += message->section[i++].rows)
        if (merge(c, message->section[i].table, word, message->section[i].rows, err))
            return err_prefix(err, "worker %u", from.index);
    c->counted[from.index] = true;
    return 0;
}

void coordinator_sum_metrics(struct coordinator *c, double *metric)
{
    memset(metric, 0, METRIC_SUMS * sizeof *metric);
    for (uint32_t w = 0; w < c->plan.roster->workers; w++)
        for (int i = 0; i < METRIC_SUMS; i++)
            metric[i] += c->worker[w].status.metric[i];
    if (metrics_has(c->plan.job->evaluate.metrics, "auc"))
        metric[SUM_AUC] = roc_auc(&c->roc, &metric[SUM_AUC_ERROR]);
    for (uint32_t slot = 0; slot < c->covered.sets; slot++)
        metric[SUM_COVERAGE + slot] = covered_share(&c->covered, slot);
    roc_release(&c->roc);
    covered_release(&c->covered);
}

/* --- early stopping -------------------------------------------------------------- */

bool coordinator_must_validate(const struct coordinator *c)
{
    uint32_t every = (uint32_t)c->plan.job->evaluate.every, epoch = c->state->epoch;

    return every > 0 &&
           (epoch % every == 0 || epoch >= (uint32_t)c->plan.job->train.epochs);
}

/* Why an epoch cannot be compared with others. */
static int no_value(const struct coordinator *c, const char *metric, const double *sum,
                    struct err *err)
{
    if (c->plan.job->evaluate.protocol == PROTOCOL_SPLIT && sum[SUM_EXAMPLES] == 0)
        return err_set(err, ERR_INPUT,
                       "there is no example in the validation part, by which "
                       "train.patience tells which epoch is the best");
    return err_set(err, ERR_INPUT,
                   "%s of the validation part is not a number after epoch %u, but "
                   "train.patience tells by it which epoch is the best",
                   metric, c->state->epoch);
}

static void judge(struct coordinator *c, const char *metric, double value)
{
    struct coordinator_state *s = c->state;
    double badness = metrics_badness(metric, value);
    bool better = s->best.epoch == 0 || badness < s->best.badness;

#ifndef MUTANT_PATIENCE
    s->best.misses = better ? 0 : s->best.misses + 1;
#endif
    if (!better)
        return;
    s->best.badness = badness;
    s->best.epoch = s->epoch;
    s->best.clock = s->clock;
    s->is_best = true;
}

int coordinator_validated(struct coordinator *c, struct err *err)
{
    const char *list = c->plan.job->evaluate.metrics, *cursor = list;
    struct epoch_record *open = &c->state->open;
    double metric[METRIC_SUMS];
    char name[JOB_NAME_MAX];

    coordinator_sum_metrics(c, metric);
    open->values = 0;
    while (open->values < VALUES_KEPT && job_list_next(&cursor, name, sizeof name)) {
        double value = metrics_value(list, name, metric);

        if (open->values == 0 && c->plan.job->train.patience > 0) {
#ifndef MUTANT_PATIENCE_NUMBER
            if (isnan(value))
                return no_value(c, name, metric, err);
#endif
            judge(c, name, value);
        }
        open->value[open->values++] = value;
    }
    return 0;
}

/* Do evaluations of both come to values that can be compared? */
static bool evaluate_alike(const struct job *a, const struct job *b)
{
    const char *list_a = a->evaluate.metrics, *list_b = b->evaluate.metrics;
    char name_a[JOB_NAME_MAX] = "", name_b[JOB_NAME_MAX] = "";

    job_list_next(&list_a, name_a, sizeof name_a);
    job_list_next(&list_b, name_b, sizeof name_b);
    return !strcmp(name_a, name_b) && !strcmp(a->data.validation, b->data.validation) &&
           !strcmp(a->data.negatives, b->data.negatives) &&
           a->evaluate.protocol == b->evaluate.protocol &&
           a->evaluate.negatives == b->evaluate.negatives &&
           a->evaluate.negatives_by == b->evaluate.negatives_by &&
           a->evaluate.seed == b->evaluate.seed &&
           a->evaluate.seen == b->evaluate.seen &&
           a->evaluate.ties == b->evaluate.ties && a->evaluate.part == b->evaluate.part;
}

struct best coordinator_best_before(const struct coordinator *c)
{
    const struct manifest *m = c->plan.restored;
    struct job *before;
    struct err err;
    bool alike;

    if (m->best.checkpoint == 0 || !m->settings)
        return m->best;
    before = malloc(sizeof *before);
    alike = before && job_from_lines(before, m->settings, &err) == 0 &&
            evaluate_alike(before, c->plan.job);
    free(before);
#ifndef MUTANT_PATIENCE_ALIKE
    if (!alike) {
        if (c->plan.job->train.patience > 0 && !c->plan.evaluate_only)
            log_info("the validation part is evaluated in another way than before: "
                     "which epoch is the best is found out anew from epoch %u on",
                     m->epoch + 1);
        return (struct best){0};
    }
#endif
    return m->best;
}

bool coordinator_has_trained(const struct coordinator *c)
{
    const struct coordinator_state *s = c->state;
    uint32_t epochs = (uint32_t)c->plan.job->train.epochs;
    int64_t patience = c->plan.job->train.patience;

    return !coordinator_in_epoch(c) &&
           (s->epoch >= epochs || (patience > 0 && (s->best.misses >= patience ||
                                                    s->best.reached >= epochs)));
}

bool coordinator_must_go_back(const struct coordinator *c)
{
    const struct best *best = &c->state->best;

    return c->plan.job->train.patience > 0 && best->checkpoint > 0 &&
           !c->state->is_best && best->epoch != c->state->epoch;
}

void coordinator_gone_back(struct coordinator *c)
{
    struct coordinator_state *s = c->state;

    s->epoch = s->best.epoch;
    s->clock = s->best.clock;
    s->is_best = true;
}

struct best coordinator_best(const struct coordinator *c, uint64_t number)
{
    struct best best = c->state->best;

    if (c->state->is_best)
        best.checkpoint = number;
    if (best.checkpoint == 0) /* none was evaluated yet */
        return (struct best){0};
    if (c->plan.job->train.patience == 0)
        return (struct best){0};
    return best;
}

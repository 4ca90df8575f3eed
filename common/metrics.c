#include "common/metrics.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

#include "common/job.h"

/* A probability counts as at least this far from 0 and 1, so that one sure mistake
 * does not make the log loss infinite. */
static const double PROBABILITY_MIN = 1e-7;

enum {
    CLASS_NUMBERS = sizeof(struct class_sums) / sizeof(double),
};

_Static_assert(sizeof(struct ranking_sums) == RANKING_NUMBERS * sizeof(double),
               "every number has its place among the sums");
_Static_assert((int)SUM_CLASSES + (int)CLASS_NUMBERS <= (int)SUM_AUC,
               "classes and what comes behind them do not share places");

/* --- names ------------------------------------------------------------------------ */

enum formula {
    FORMULA_MEAN, /* of sum[sum] over the examples */
    FORMULA_ROOT,
    FORMULA_VALUE, /* sum[sum] as it is */
    FORMULA_PRECISION,
    FORMULA_RECALL,
    FORMULA_F1,
    FORMULA_CALIBRATION,
};

struct metric {
    const char *name;
    enum metric_needs needs;
    enum metric_aim aim;
    enum formula formula;
    enum metric_sum sum;
};

static const struct metric metric_table[] = {
    {"rmse", NEEDS_NOTHING, AIM_SMALL, FORMULA_ROOT, SUM_SQUARED_ERROR},
    {"mae", NEEDS_NOTHING, AIM_SMALL, FORMULA_MEAN, SUM_ABSOLUTE_ERROR},
    {"logloss", NEEDS_PROBABILITIES, AIM_SMALL, FORMULA_MEAN, SUM_LOG_LOSS},
    {"accuracy", NEEDS_CLASSES, AIM_LARGE, FORMULA_MEAN, SUM_CORRECT},
    {"precision", NEEDS_CLASSES, AIM_LARGE, FORMULA_PRECISION, 0},
    {"recall", NEEDS_CLASSES, AIM_LARGE, FORMULA_RECALL, 0},
    {"f1", NEEDS_CLASSES, AIM_LARGE, FORMULA_F1, 0},
    {"calibration", NEEDS_PROBABILITIES, AIM_ONE, FORMULA_CALIBRATION, 0},
    {"auc", NEEDS_CLASSES, AIM_LARGE, FORMULA_VALUE, SUM_AUC},
};

/* Of lists: all are the larger the better. */
enum { NO_SUM = sizeof(struct ranking_sums) }; /* SUM_COVERAGE */
static const struct {
    const char *name;
    size_t at;
} ranking_table[] = {
    {"hr", offsetof(struct ranking_sums, hit)},
    {"ndcg", offsetof(struct ranking_sums, ndcg)},
    {"recall", offsetof(struct ranking_sums, recall)},
    {"recall_capped", offsetof(struct ranking_sums, capped)},
    {"precision", offsetof(struct ranking_sums, precision)},
    {"mrr", offsetof(struct ranking_sums, mrr)},
    {"map", offsetof(struct ranking_sums, map)},
    {"coverage", NO_SUM},
};
enum { RANKINGS = sizeof ranking_table / sizeof ranking_table[0] };

const char *metrics_names(void)
{
    return "rmse, mae, logloss, accuracy, precision, recall, f1, calibration, auc, or "
           "of "
           "lists hr@K, ndcg@K, recall@K, recall_capped@K, precision@K, mrr@K, map@K "
           "or "
           "coverage@K with K from 1";
}

static const struct metric *find_metric(const char *name)
{
    for (size_t i = 0; i < sizeof metric_table / sizeof metric_table[0]; i++)
        if (strcmp(name, metric_table[i].name) == 0)
            return &metric_table[i];
    return NULL;
}

/* The metric of lists before the '@', or RANKINGS. */
static int find_ranking(const char *name)
{
    size_t length = strcspn(name, "@");
    int i = 0;

    while (i < RANKINGS && (strlen(ranking_table[i].name) != length ||
                            memcmp(ranking_table[i].name, name, length) != 0))
        i++;
    return i;
}

/* The number behind the '@'; 0: it is none from 1 on. */
static uint32_t number_of(const char *name)
{
    const char *at = strchr(name, '@');
    uint64_t number = 0;

    if (!at || at[1] < '1' || at[1] > '9')
        return 0;
    while (*++at >= '0' && *at <= '9' && number <= UINT32_MAX)
        number = 10 * number + (uint64_t)(*at - '0');
    return *at == '\0' && number <= UINT32_MAX ? (uint32_t)number : 0;
}

bool metrics_find(const char *name, struct metric_facts *facts)
{
    const struct metric *metric = find_metric(name);
    uint32_t k = metric || find_ranking(name) == RANKINGS ? 0 : number_of(name);

    if (metric)
        *facts = (struct metric_facts){metric->needs, metric->aim, 0};
    else if (k)
        *facts = (struct metric_facts){NEEDS_LISTS, AIM_LARGE, k};
    return metric || k;
}

bool metrics_has(const char *list, const char *name)
{
    char item[JOB_NAME_MAX];

    size_t length = strlen(name);
    bool any = length && name[length - 1] == '@';

    while (job_list_next(&list, item, sizeof item))
        if (any ? strncmp(item, name, length) == 0 : strcmp(item, name) == 0)
            return true;
    return false;
}

uint32_t metrics_slots(const char *list, uint32_t *k)
{
    uint32_t seen[RANKING_SLOTS], count = 0;
    char name[JOB_NAME_MAX];
    struct metric_facts facts;

    while (job_list_next(&list, name, sizeof name)) {
        uint32_t slot = 0;

        if (!metrics_find(name, &facts) || facts.needs != NEEDS_LISTS)
            continue;
        while (slot < count && slot < RANKING_SLOTS && seen[slot] != facts.k)
            slot++;
        if (slot < count && slot < RANKING_SLOTS)
            continue;
        if (slot < RANKING_SLOTS)
            seen[slot] = facts.k;
        count++;
    }
    if (k)
        memcpy(k, seen, (count < RANKING_SLOTS ? count : RANKING_SLOTS) * sizeof *k);
    return count;
}

/* --- sums ------------------------------------------------------------------------- */

/* NaN is in no class. */
static bool is_right(float score, float label, float border)
{
    return label >= 0.5f ? score >= border : score < border;
}

static double log_loss(double probability, double label)
{
    double p = probability; /* comparisons, not fmin(): NaN must stay NaN */

    if (p < PROBABILITY_MIN)
        p = PROBABILITY_MIN;
    if (p > 1 - PROBABILITY_MIN)
        p = 1 - PROBABILITY_MIN;
    return -(label * log(p) + (1 - label) * log1p(-p));
}

void metrics_add(double *sum, const float *score, const float *label, uint32_t n,
                 enum score_kind kind)
{
    float border = kind == SCORE_PROBABILITY ? 0.5f : 0;

    for (uint32_t i = 0; i < n; i++) {
        double error = (double)score[i] - label[i];

        sum[SUM_SQUARED_ERROR] += error * error;
        sum[SUM_ABSOLUTE_ERROR] += fabs(error);
        if (kind == SCORE_PROBABILITY)
            sum[SUM_LOG_LOSS] += log_loss(score[i], label[i]);
        if (kind != SCORE_NUMBER)
            sum[SUM_CORRECT] += is_right(score[i], label[i], border);
    }
    sum[SUM_EXAMPLES] += n;
}

static void add_numbers(double *sum, const void *numbers, int n)
{
    for (int i = 0; i < n; i++) {
        double number;

        memcpy(&number, (const char *)numbers + (size_t)i * sizeof number,
               sizeof number);
        sum[i] += number;
    }
}

void metrics_add_classes(double *sum, const struct class_sums *classes)
{
    add_numbers(sum + SUM_CLASSES, classes, CLASS_NUMBERS);
}

void metrics_add_ranking(double *sum, uint32_t slot, const struct ranking_sums *ranking)
{
    add_numbers(sum + SUM_RANKING + (size_t)slot * RANKING_NUMBERS, ranking,
                RANKING_NUMBERS);
}

/* --- values ----------------------------------------------------------------------- */

static double ratio(double part, double whole)
{
    return whole > 0 ? part / whole : NAN;
}

static double ranking_mean(const char *list, const char *name, const double *sum)
{
    uint32_t k[RANKING_SLOTS], n = metrics_slots(list, k), own = number_of(name);
    int ranking = find_ranking(name);

    for (uint32_t slot = 0; slot < n && slot < RANKING_SLOTS; slot++) {
        struct ranking_sums sums;
        double value;

        if (k[slot] != own || ranking == RANKINGS)
            continue;
        if (ranking_table[ranking].at == NO_SUM)
            return sum[SUM_COVERAGE + slot];
        memcpy(&sums, sum + SUM_RANKING + (size_t)slot * RANKING_NUMBERS, sizeof sums);
        memcpy(&value, (const char *)&sums + ranking_table[ranking].at, sizeof value);
        return ratio(value, sums.lists);
    }
    return NAN;
}

double metrics_value(const char *list, const char *name, const double *sum)
{
    const struct metric *metric = find_metric(name);
    struct class_sums c;

    if (!metric)
        return ranking_mean(list, name, sum);
    memcpy(&c, sum + SUM_CLASSES, sizeof c);
    switch (metric->formula) {
    case FORMULA_PRECISION:
        return ratio(c.right_positive, c.right_positive + c.wrong_positive);
    case FORMULA_RECALL:
        return ratio(c.right_positive, c.right_positive + c.wrong_negative);
    case FORMULA_F1:
        return ratio(2 * c.right_positive,
                     2 * c.right_positive + c.wrong_positive + c.wrong_negative);
    case FORMULA_CALIBRATION:
        return ratio(c.score, c.label);
    case FORMULA_VALUE:
        return sum[SUM_EXAMPLES] > 0 ? sum[metric->sum] : NAN;
    case FORMULA_ROOT:
        return sqrt(ratio(sum[metric->sum], sum[SUM_EXAMPLES]));
    default:
        return ratio(sum[metric->sum], sum[SUM_EXAMPLES]);
    }
}

double metrics_badness(const char *name, double value)
{
    struct metric_facts facts;

    if (isnan(value) || !metrics_find(name, &facts))
        return INFINITY;
    if (facts.aim == AIM_ONE)
        return fabs(value - 1);
    return facts.aim == AIM_LARGE ? -value : value;
}

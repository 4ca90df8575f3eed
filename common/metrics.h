/* Metrics as sums that can be added over batches and workers, and their names.
 *
 * Of examples with numbers:
 *   rmse         root of the mean squared error
 *   mae          mean absolute error
 * Of two classes; labels from 1/2 on are positive:
 *   logloss      mean of -(y ln p + (1 - y) ln(1 - p)); p is kept 1e-7 from 0 and 1
 *   accuracy     share of examples whose score and label say the same class
 *   precision    share of those said to be positive that are
 *   recall       share of the positive ones that are said to be
 *   f1           harmonic mean of both
 *   calibration  what was predicted in the mean over what there was; 1 is best
 *   auc          area under the ROC curve (common/roc.h)
 * Of lists of items of which the first K count ("ndcg@10"): hr, ndcg, recall,
 * recall_capped, precision, mrr and map (struct ranking_sums), and coverage
 * (common/covered.h).
 * Each example counts once, whatever its weight. docs/metrics.md has the formulas. Any
 * thread. */
#ifndef ROWHOUSE_COMMON_METRICS_H
#define ROWHOUSE_COMMON_METRICS_H

#include <stdbool.h>
#include <stdint.h>

enum {
    RANKING_SLOTS = 4, /* different K in a list of metrics */
    RANKING_NUMBERS = 8,
};

/* Indices into the sums (a status message carries them). */
enum metric_sum {
    SUM_EXAMPLES,
    SUM_SQUARED_ERROR,
    SUM_ABSOLUTE_ERROR,
    SUM_LOG_LOSS,
    SUM_CORRECT,  /* the class that the label says */
    SUM_CLASSES,  /* struct class_sums */
    SUM_AUC = 11, /* no sum: the value of all examples, and how far it may be off */
    SUM_AUC_ERROR,
    SUM_RANKING = 16, /* struct ranking_sums, one for each slot */
    /* No sums: of each slot the value over all workers. */
    SUM_COVERAGE = SUM_RANKING + RANKING_SLOTS * RANKING_NUMBERS,
    SUM_COUNT = SUM_COVERAGE + RANKING_SLOTS,
};

/* What scores are. */
enum score_kind {
    SCORE_NUMBER,
    SCORE_PROBABILITY, /* from 1/2 on positive */
    SCORE_SIGN,        /* from 0 on positive */
};

/* What was said of two classes, and the sums of probabilities and labels. */
struct class_sums {
    double right_positive, wrong_positive, right_negative, wrong_negative;
    double score, label;
};

/* Sums over lists for one K. */
struct ranking_sums {
    double lists;
    double hit;       /* a relevant item is among the first K */
    double ndcg;      /* gain 1 / log2(place + 1), over that of the best list */
    double recall;    /* share of all relevant items that are among the first K */
    double capped;    /* the same over min(K, relevant items) */
    double precision; /* share of the first K that are relevant */
    double mrr;       /* 1 / place of the first relevant item, if among the first K */
    double map;       /* precision at each relevant one, over min(K, relevant items) */
};

/* What a metric needs, and what it is to be. */
enum metric_needs {
    NEEDS_NOTHING,
    NEEDS_PROBABILITIES,
    NEEDS_CLASSES, /* SCORE_PROBABILITY or SCORE_SIGN */
    NEEDS_LISTS,
};
enum metric_aim { AIM_SMALL, AIM_LARGE, AIM_ONE };
struct metric_facts {
    enum metric_needs needs;
    enum metric_aim aim;
    uint32_t k; /* NEEDS_LISTS: the number behind the '@', from 1; else 0 */
};

/* Sets *facts of the metric `name`; false: there is none of that name. */
bool metrics_find(const char *name, struct metric_facts *facts);
/* All names, for a sentence. */
const char *metrics_names(void);

/* Is the metric `name` in `list`; with an '@' at its end, with any K? */
bool metrics_has(const char *list, const char *name);

/* The different K in `list`, a list setting of metrics (job_list_next()), in its order:
 * slot i counts for k[i]. Returns how many there are; the first RANKING_SLOTS are in
 * k[RANKING_SLOTS], which may be NULL. */
uint32_t metrics_slots(const char *list, uint32_t *k);

/* Adds n examples, score[n] and label[n], to sum[SUM_COUNT]: errors, and what the kind
 * of score has of log loss and correct classes. */
void metrics_add(double *sum, const float *score, const float *label, uint32_t n,
                 enum score_kind kind);
/* Add to the places that these have in sum[SUM_COUNT]; slot < RANKING_SLOTS. */
void metrics_add_classes(double *sum, const struct class_sums *classes);
void metrics_add_ranking(double *sum, uint32_t slot,
                         const struct ranking_sums *ranking);

/* The value of the metric `name` from sums that were made for `list`, in which it is.
 * NaN where there is nothing to divide by, and of an unknown name. */
double metrics_value(const char *list, const char *name, const double *sum);
/* How far a value of a metric is from the best, on a scale of its own: the smaller the
 * better; infinite for NaN. */
double metrics_badness(const char *name, double value);

#endif

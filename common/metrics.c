#include "common/metrics.h"

#include <math.h>
#include <stddef.h>
#include <string.h>

/* A probability counts as at least this far from 0 and 1, so that one sure mistake
 * does not make the log loss infinite. */
static const double PROBABILITY_MIN = 1e-7;

struct metric {
    const char *name;
    enum metric_sum sum;
    bool root; /* the square root of the mean */
    bool needs_probability;
};

static const struct metric metric_table[] = {
    {"rmse", SUM_SQUARED_ERROR, true, false},
    {"mae", SUM_ABSOLUTE_ERROR, false, false},
    {"logloss", SUM_LOG_LOSS, false, true},
    {"accuracy", SUM_CORRECT, false, true},
};

static const struct metric *find_metric(const char *name)
{
    for (size_t i = 0; i < sizeof metric_table / sizeof metric_table[0]; i++)
        if (strcmp(name, metric_table[i].name) == 0)
            return &metric_table[i];
    return NULL;
}

/* Are score and label on the same side of 1/2? NaN is on no side. */
static bool is_right(float score, float label)
{
    return label >= 0.5f ? score >= 0.5f : score < 0.5f;
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
                 bool probability)
{
    for (uint32_t i = 0; i < n; i++) {
        double error = (double)score[i] - label[i];

        sum[SUM_SQUARED_ERROR] += error * error;
        sum[SUM_ABSOLUTE_ERROR] += fabs(error);
        if (probability) {
            sum[SUM_LOG_LOSS] += log_loss(score[i], label[i]);
            sum[SUM_CORRECT] += is_right(score[i], label[i]);
        }
    }
    sum[SUM_EXAMPLES] += n;
}

bool metrics_known(const char *name, bool *needs_probability)
{
    const struct metric *metric = find_metric(name);

    if (metric && needs_probability)
        *needs_probability = metric->needs_probability;
    return metric != NULL;
}

double metrics_value(const char *name, const double *sum)
{
    const struct metric *metric = find_metric(name);
    double mean;

    if (!metric || !(sum[SUM_EXAMPLES] > 0))
        return NAN;
    mean = sum[metric->sum] / sum[SUM_EXAMPLES];
    return metric->root ? sqrt(mean) : mean;
}

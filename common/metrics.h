/* Metrics as sums that can be added over workers.  */
#ifndef ROWHOUSE_COMMON_METRICS_H
#define ROWHOUSE_COMMON_METRICS_H

#include <stdbool.h>
#include <stdint.h>

/* Indices into the sums (a status message carries them). */
enum metric_sum {
    SUM_EXAMPLES,
    SUM_SQUARED_ERROR,
    SUM_ABSOLUTE_ERROR,
    SUM_LOG_LOSS,
    SUM_CORRECT, /* on the right side of 1/2 */
    SUM_COUNT,
};

/* Adds n examples to sum[SUM_COUNT]. With `probability` the scores are probabilities
 * and log loss and accuracy are counted too. */
void metrics_add(double *sum, const float *score, const float *label, uint32_t n,
                 bool probability);

/* Is `name` one that metrics_value() knows ("rmse", "mae", "logloss", "accuracy")? Does
 * it need probabilities? */
bool metrics_known(const char *name, bool *needs_probability);

/* The value of a metric from the sums; NaN without examples. */
double metrics_value(const char *name, const double *sum);

#endif

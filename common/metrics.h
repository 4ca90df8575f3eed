/* Metrics as sums that can be added over workers:
 *   rmse      root of the mean squared error
 *   mae       mean absolute error
 *   logloss   mean of -(y ln p + (1 - y) ln(1 - p)); p is kept 1e-7 away from 0 and 1
 *   accuracy  share of examples whose score and label are on the same side of 1/2,
 *             which itself counts as above
 * The last two need scores that are probabilities. Any thread. */
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

/* Adds n examples, score[n] and label[n], to sum[SUM_COUNT]. With `probability` the
 * scores are probabilities, and log loss and accuracy are counted too. */
void metrics_add(double *sum, const float *score, const float *label, uint32_t n,
                 bool probability);

/* Is `name` one that metrics_value() knows ("rmse", "mae", "logloss", "accuracy")? Does
 * it need probabilities? (needs_probability may be NULL.) */
bool metrics_known(const char *name, bool *needs_probability);

/* The value of a metric from the sums; NaN without examples or of an unknown name. */
double metrics_value(const char *name, const double *sum);

#endif

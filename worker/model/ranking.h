/* Counting for metrics of predictions (common/metrics.h has their names and values), as
 * sums that can be added over batches and workers wherever that is possible. Any
 * thread; nothing allocates, but that sorting may.
 *
 * Ties: where one item is looked for among others, enum ranking_ties says where it
 * stands among its equals. A list keeps the order in which it came. A score that is no
 * number is below all others. */
#ifndef ROWHOUSE_WORKER_MODEL_RANKING_H
#define ROWHOUSE_WORKER_MODEL_RANKING_H

#include <stdbool.h>
#include <stdint.h>

#include "common/job.h"
#include "common/metrics.h"

/* --- two classes: labels from 1/2 on are positive ----------------------------------
 */

/* Scores from `border` on are said to be positive. */
void class_sums_add(struct class_sums *sums, const float *score, const float *label,
                    uint32_t n, float border);

/* --- lists of items, of which the first k count -------------------------------------
 */

/* An item among others: how many have a higher score, and how many an equal one. */
struct ranking_place {
    uint64_t above, equal;
};
struct ranking_place ranking_place(float own, const float *score, uint32_t n);

#endif

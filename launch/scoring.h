/* What a trained model makes of prepared examples, from the tables in this process:
 * scores, or the values of one of its layers. Any model. One thread. */
#ifndef ROWHOUSE_LAUNCH_SCORING_H
#define ROWHOUSE_LAUNCH_SCORING_H

#include "launch/trained.h"
#include "worker/stream/block.h"

struct scoring;

/* For blocks of `schema`. `layer` NULL: scores; else values of that layer of a graph,
 * or, of matrix factorisation, the rows of that table. `trained` and `schema` are
 * borrowed. -ERR_INPUT: there is no such layer, or the schema lacks a column of the
 * model; -ERR_MEMORY. */
int scoring_create(const struct trained *trained, const char *layer,
                   const struct schema *schema, struct scoring **scoring,
                   struct err *err);
void scoring_destroy(struct scoring *scoring); /* NULL is fine */

/* Numbers for each example, and examples that go at a time, at most. */
uint32_t scoring_width(const struct scoring *scoring);
uint32_t scoring_capacity(const struct scoring *scoring);

/* Of examples first .. first + n - 1 of a block: [n][width], valid until the next call.
 * Scores are those of learner_score(), before the link: what evaluation comes to; where
 * there is a model.target, all numbers of the output. A row that is not there is a row
 * of zeros, as in evaluation. */
float *scoring_run(struct scoring *scoring, const struct block *block, uint32_t first,
                   uint32_t n);
/* Of examples that never were: all are example `number` of `block` but for the job's
 * columns with from_other[] true, which come from example other_number[i] of other[i].
 */
float *scoring_run_mixed(struct scoring *scoring, const struct block *block,
                         uint32_t number, const struct block *const *other,
                         const uint32_t *other_number, const bool *from_other,
                         uint32_t n);
/* From scores to predictions: probabilities with the logistic loss. */
void scoring_link(const struct scoring *scoring, float *score, uint32_t n);
/* The same of all scores of n examples, [n][width]: with softmax they are probabilities
 * that add up to 1. */
void scoring_predict(const struct scoring *scoring, float *score, uint32_t n);
/* What all scores have in common (learner_set_mean()). */
float scoring_mean(const struct scoring *scoring);

#endif

/* What a model makes of a batch whose rows are there: losses and gradients, scores,
 * values of layers. Matrix factorisation or a graph; nobody else needs to know which.
 * One thread. */
#ifndef ROWHOUSE_WORKER_LEARNER_H
#define ROWHOUSE_WORKER_LEARNER_H

#include "worker/batch.h"
#include "worker/blueprint.h"
#include "worker/model/mf.h"

struct learner;

/* For batches of at most `capacity` examples; one that is not for training has room for
 * values only. `blueprint` is borrowed. Errors as of graph_create(). */
int learner_create(const struct blueprint *blueprint, uint32_t capacity, bool training,
                   struct learner **learner, struct err *err);
void learner_destroy(struct learner *learner); /* NULL is fine */

/* The mean label of the training part: scores of squared, absolute and Huber losses
 * start from it, those of the logistic loss from its log-odds. Before the first step or
 * score. */
void learner_set_mean(struct learner *learner, double label_mean);
float learner_mean(const struct learner *learner); /* what they start from */

/* Forward and backward: writes gradient[t] ([set.rows][width]) of the summed loss for
 * all tables, and returns that loss. `seed` is that of dropout (graph_seed()). */
double learner_step(struct learner *learner, const struct batch *batch, uint64_t seed,
                    float *const *gradient);

/* Scores of the batch's examples before the link: predicted numbers; with the logistic
 * loss log-odds, which keep apart what is 1 as a float probability. score: [n], or as
 * many as learner_labels() says. learner_link() makes probabilities of them. */
void learner_score(struct learner *learner, const struct batch *batch, float *score);
/* What they are compared with (borrowed from the batch), and how many there are: with
 * model.target an example has one for each number, or for each key of its list. */
uint64_t learner_labels(struct learner *learner, const struct batch *batch,
                        const float **label);
void learner_link(const struct learner *learner, float *score, uint32_t n);

/* Is a score the inner product of a vector of the user and one of the item (and for
 * matrix factorisation the biases, which are in the vectors then)? Their width, or 0.
 */
uint32_t learner_vectors(const struct learner *learner);
/* The vectors of the batch's examples, of the items or of the users: [n][width]. */
void learner_vectors_of(struct learner *learner, const struct batch *batch, bool items,
                        float *vector);
/* Scores as of learner_score(), but for the rounding of another order of addition, of
 * users [users][width] against items [items][width]: score is [users][items]. */
void learner_score_products(const struct learner *learner, const float *user,
                            uint32_t users, const float *item, uint32_t items,
                            float *score);

/* Multiply-adds of an example's forward, where batches of this model may be cut into
 * parts whose gradients add up to the whole's; else 0. */
uint64_t learner_work(const struct learner *learner);

/* Values of the graph's output number `output` (struct blueprint) for the batch's
 * examples: value: [n][learner_width()]. Not of mf. */
void learner_values(struct learner *learner, const struct batch *batch, uint32_t output,
                    float *value);
uint32_t learner_width(const struct learner *learner, uint32_t output);

/* Matrix factorisation's numbers, or NULL: for what is done to its rows directly. */
const struct mf *learner_mf(const struct learner *learner);

#endif

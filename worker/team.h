/* A learner whose batches are shared out: each of LANES lanes computes the gradients of
 * a part of the examples, with values and gradients of its own, and these are added up
 * in one order. So the bits do not depend on how many threads do it, nor on how many
 * cores there are. One caller at a time. */
#ifndef ROWHOUSE_WORKER_TEAM_H
#define ROWHOUSE_WORKER_TEAM_H

#include "worker/learner.h"

struct team;

/* Do examples of this job's batches go their ways alone, and is a batch so much work
 * that lanes pay? Depends on the job only. `learner` is one for batches. */
bool team_pays(const struct blueprint *blueprint, const struct learner *learner);

/* For batches of at most `capacity` examples, with at most so many threads, the caller
 * among them. `learner`, borrowed, is one for such batches, for training. Errors as of
 * learner_create() and crew_create(). */
int team_create(const struct blueprint *blueprint, uint32_t capacity,
                struct learner *learner, uint32_t threads, struct team **team,
                struct err *err);
void team_destroy(struct team *team); /* NULL is fine */

/* As learner_set_mean() and learner_step(), of all lanes. */
void team_set_mean(struct team *team, double label_mean);
double team_step(struct team *team, const struct batch *batch, uint64_t seed,
                 float *const *gradient);

#endif

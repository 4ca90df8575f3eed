/* Scores for rankings: of any users and items, by the model that a worker has, with
 * read-only pulls. One thread. */
#ifndef ROWHOUSE_WORKER_RANKING_SCORE_H
#define ROWHOUSE_WORKER_RANKING_SCORE_H

#include "worker/ranking_tasks.h"
#include "worker/step.h"

/* A user's task, whose example says what is known of the user, and an item. */
struct ranking_pair {
    uint32_t task, item;
};

struct ranking_scorer;

/* -ERR_INPUT: an item is in data.negatives only, and the model takes more of it than
 * its key. */
int ranking_check_items(const struct blueprint *blueprint,
                        const struct ranking_tasks *tasks, struct err *err);

/* Pairs of a batch: many, since each batch costs a message, but where lists are long no
 * more than there is room for; as many as a training batch has examples at least. */
uint32_t ranking_pairs(const struct blueprint *blueprint);

/* All borrowed; after ranking_check_items(). -ERR_MEMORY. */
int ranking_scorer_create(struct worker *worker, const struct ranking_tasks *tasks,
                          struct ranking_scorer **scorer, struct err *err);
void ranking_scorer_destroy(struct ranking_scorer *scorer); /* NULL is fine */

/* score[n], before the link. Errors as of client_begin_pull() and client_finish_pull().
 */
int ranking_score_pairs(struct ranking_scorer *scorer, const struct ranking_pair *pair,
                        uint32_t n, float *score, struct err *err);

/* Is a score the inner product of a vector of the user and one of the item? */
bool ranking_has_vectors(const struct ranking_scorer *scorer);
/* Fetches the vectors of all items of the training part. */
int ranking_fetch_items(struct ranking_scorer *scorer, struct err *err);
/* Scores of the users of tasks first .. first + n - 1 against all of them: score is
 * [n][tasks->catalogue->items]. After ranking_fetch_items(). */
int ranking_score_users(struct ranking_scorer *scorer, uint32_t first, uint32_t n,
                        float *score, struct err *err);

#endif

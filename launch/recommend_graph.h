/* Recommending from a model that is a graph: a user's columns with those of one item
 * after another, or, where the score is the product of a layer of the user's columns
 * and one of the item's, by products of matrices. One thread. */
#ifndef ROWHOUSE_LAUNCH_RECOMMEND_GRAPH_H
#define ROWHOUSE_LAUNCH_RECOMMEND_GRAPH_H

#include "launch/recommend_data.h"

struct graph_ranking;

/* Of the items that the data have an example of, and the model a row. Both are
 * borrowed. -ERR_MEMORY. */
int graph_ranking_create(const struct trained *trained,
                         const struct recommend_data *data,
                         struct graph_ranking **ranking, struct err *err);
void graph_ranking_destroy(struct graph_ranking *ranking); /* NULL is fine */

/* Does the model use the rows of model.user? */
bool graph_ranking_uses_users(const struct graph_ranking *ranking);
/* Has the user an example? `user` is a key as the files have it. */
bool graph_ranking_knows(const struct graph_ranking *ranking, uint64_t user);

/* The `top` best items for a user that it knows; as recommend_top(). Columns that are
 * not the item's are those of the user's latest example. */
int graph_ranking_top(struct graph_ranking *ranking, uint64_t user,
                      struct key_list seen, uint32_t top, struct ranked *list,
                      uint32_t *count, struct err *err);

#endif

/* What some users have rated, picked from examples: for leaving out of recommendations
 * what a user knows, and for showing what a user liked. One thread. */
#ifndef ROWHOUSE_WORKER_HISTORY_H
#define ROWHOUSE_WORKER_HISTORY_H

#include "common/err.h"
#include "worker/recommend.h"

/* Examples that somebody else owns. */
struct rated_examples {
    const uint64_t *key; /* [examples][key_columns] */
    const float *label;  /* [examples] */
    uint64_t examples;
    uint32_t key_columns, user_column, item_column;
};

struct rated {
    uint32_t user; /* index into history.user */
    float label;
    uint64_t item;
};

/* Owns its arrays. */
struct history {
    uint32_t users;
    uint64_t *user; /* [users]: keys, rising */
    uint64_t n, capacity;
    struct rated *rated; /* [n] */
    uint64_t *first; /* [users + 1]: user u has first[u] .. first[u + 1] of the next */
    uint64_t *item;  /* [n]: rising for each user */
    float *label;    /* [n] */
};

/* For the users with these keys (in any order, also twice). -ERR_MEMORY. */
int history_create(struct history *history, const uint64_t *user, uint32_t users,
                   struct err *err);
void history_release(struct history *history); /* zeroed is fine */

/* Picks the users' examples; may be called again (training part, test part).
 * -ERR_MEMORY. */
int history_add(struct history *history, const struct rated_examples *from,
                struct err *err);

/* After the last history_add(), before the first of what follows. An item that a user
 * rated more than once keeps the highest label. -ERR_MEMORY. */
int history_finish(struct history *history, struct err *err);

/* The items that a user has rated; none for a user not asked for. Valid until
 * history_release(). */
struct key_list history_items(const struct history *history, uint64_t user);

/* The user's `top` best-rated items, by falling label, then rising key; scores are
 * labels. list is [top]. Returns how many there are. */
uint32_t history_liked(const struct history *history, uint64_t user, uint32_t top,
                       struct ranked *list);

#endif

/* After training: which items a user may like. Numbers and keys only: rows come from
 * whoever has them (a checkpoint or servers). One thread; nothing is kept but what the
 * structs hold.
 *
 * Lists are ordered by falling score; equal scores by rising key. They depend on the
 * rows and keys alone, not on the order in which items were added nor on which users
 * are asked for together: OpenBLAS, whose rounding depends on both, chooses candidates,
 * 32 more than asked for, and mf_predict_linear() scores those again. So a score is bit
 * for bit that of mf_predict_linear() and mf_link(). A score that is NaN never gets on
 * a list. */
#ifndef ROWHOUSE_WORKER_RECOMMEND_H
#define ROWHOUSE_WORKER_RECOMMEND_H

#include "common/err.h"
#include "worker/model/mf.h"

enum { RECOMMEND_TOP_MAX = 10000 };

struct ranked {
    uint64_t key;
    double score; /* of recommend_popular(): the number of examples */
};

/* Keys that somebody else owns, rising, none twice. */
struct key_list {
    const uint64_t *key;
    uint32_t n;
};

/* All items as one matrix; owns its arrays. */
struct catalogue {
    uint32_t width;
    uint32_t items, capacity;
    uint64_t *key; /* [items] */
    float *row;    /* [items][width] */
};

void catalogue_init(struct catalogue *catalogue, uint32_t width);
void catalogue_release(struct catalogue *catalogue); /* zeroed is fine */
/* Adds a copy of an item's row [width]. No key may come twice. -ERR_MEMORY. */
int catalogue_add(struct catalogue *catalogue, uint64_t key, const float *row,
                  struct err *err);

/* The `top` best items for a user's row [width] that are not in `seen`: list is [top],
 * *count gets how many there are. Scores are mf_link()'s. top <= RECOMMEND_TOP_MAX
 * (otherwise -ERR_INPUT); -ERR_MEMORY. */
int recommend_top(const struct catalogue *catalogue, const struct mf *mf,
                  const float *user, struct key_list seen, uint32_t top,
                  struct ranked *list, uint32_t *count, struct err *err);

/* The same for many users, faster: user is [users][width], seen [users], list
 * [users][top], count [users]. */
int recommend_top_users(const struct catalogue *catalogue, const struct mf *mf,
                        const float *user, uint32_t users, const struct key_list *seen,
                        uint32_t top, struct ranked *list, uint32_t *count,
                        struct err *err);

/* The `top` best of `items` keys with these scores, for one user: list is [top]. Any
 * model; limits, order and errors as recommend_top(). */
int recommend_scored(const uint64_t *key, const float *score, uint32_t items,
                     struct key_list seen, uint32_t top, struct ranked *list,
                     uint32_t *count, struct err *err);

/* How many examples each key has: keys rise. Owns its arrays. */
struct popularity {
    uint64_t keys;
    uint64_t *key;      /* [keys] */
    uint64_t *examples; /* [keys] */
};

/* Counts key[0], key[stride], ... (n of them). -ERR_MEMORY. */
int popularity_create(struct popularity *popularity, const uint64_t *key, uint64_t n,
                      uint32_t stride, struct err *err);
void popularity_release(struct popularity *popularity); /* zeroed is fine */

/* For a user whom nobody knows: the `top` keys with most examples, without `seen`. list
 * is [top]. Limits and errors as recommend_top(). */
int recommend_popular(const struct popularity *popularity, struct key_list seen,
                      uint32_t top, struct ranked *list, uint32_t *count,
                      struct err *err);

#endif

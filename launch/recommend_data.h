/* What the job's data say about users and items: who rated what, what it is called,
 * what is popular. Read again from the files for `rowhouse recommend`. */
#ifndef ROWHOUSE_LAUNCH_RECOMMEND_DATA_H
#define ROWHOUSE_LAUNCH_RECOMMEND_DATA_H

#include "launch/groups.h"
#include "launch/trained.h"
#include "worker/exemplars.h"
#include "worker/history.h"
#include "worker/recommend.h"
#include "worker/titles.h"

struct recommend_data {
    struct history history;       /* of the users asked for */
    struct popularity popularity; /* of all items that are known by themselves */
    struct titles *titles; /* of items: a title, or the key as it stands in the file */
    /* For graphs: examples of the users asked for, by their keys in the files, and of
     * the items, by their rows' keys; as they are prepared, or as files have them where
     * a column is made of both sides at once. */
    struct exemplars users, items;
    bool raw_examples;
    struct groups groups; /* with data.group: of the users asked for */
    struct schema raw_schema;
    bool some_items;         /* rows of the table may be no item of their own */
    struct prepare *prepare; /* of the columns of data.train; owned */
    uint32_t user_place;     /* among them */
};

/* Reads data.train (all of it: a held-out rating is known to the user, too). Users are
 * known by their keys in the files, items by their rows' keys. */
int recommend_data_read(struct recommend_data *data, const struct trained *trained,
                        const uint64_t *user, uint32_t users, struct err *err);

/* The key of a user's row, from the key that files have. */
uint64_t recommend_user_row(const struct recommend_data *data, uint64_t user);
void recommend_data_release(struct recommend_data *data); /* zeroed is fine */

#endif

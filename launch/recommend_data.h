/* What the job's data say about users and items: who rated what, what it is called,
 * what is popular. Read again from the files for `rowhouse recommend`. */
#ifndef ROWHOUSE_LAUNCH_RECOMMEND_DATA_H
#define ROWHOUSE_LAUNCH_RECOMMEND_DATA_H

#include "common/job.h"
#include "worker/history.h"
#include "worker/recommend.h"
#include "worker/titles.h"

struct recommend_data {
    struct history history;       /* of the users asked for */
    struct popularity popularity; /* of all items */
    struct titles *titles; /* of items: a title, or the key as it stands in the file */
};

/* Reads data.train (all of it: a held-out rating is known to the user, too). */
int recommend_data_read(struct recommend_data *data, const struct job *job,
                        uint32_t user_column, uint32_t item_column,
                        const uint64_t *user, uint32_t users, struct err *err);
void recommend_data_release(struct recommend_data *data); /* zeroed is fine */

#endif

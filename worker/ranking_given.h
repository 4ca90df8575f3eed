/* data.negatives: the items that a user's are ranked among. One thread. */
#ifndef ROWHOUSE_WORKER_RANKING_GIVEN_H
#define ROWHOUSE_WORKER_RANKING_GIVEN_H

#include "worker/ranking_tasks.h"

/* Reads the files and fills in `begin`, `users` and `given`; the catalogue gets numbers
 * for what it does not know. A line that begins with a parenthesis makes a file one of
 * NCF's. Errors as of ranking_tasks_create(). */
int ranking_read_given(struct ranking_tasks *tasks, struct item_catalogue *catalogue,
                       const volatile bool *stop, struct err *err);

#endif

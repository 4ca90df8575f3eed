/* What a run begins with: every row of a checkpoint, or of files of vectors, that the
 * core's server owns. */
#ifndef ROWHOUSE_SERVER_RESTORE_H
#define ROWHOUSE_SERVER_RESTORE_H

#include "server/checkpoint.h"
#include "server/core.h"

/* Do the job's tables have the same names and shapes as a checkpoint's? -ERR_INPUT
 * names the first that differs. */
int restore_fits(const struct manifest *manifest, const struct job *job,
                 struct err *err);

/* Reads and checks the checkpoint `path` and takes the rows over; others that there are
 * are dropped. May be done twice, before training or behind it. */
int core_restore(struct core *core, const char *path, struct err *err);

/* Makes the rows of the tables' files of vectors (server/vectors.h); a file that is not
 * the one that the run began with is -ERR_INPUT. May be done twice before training. */
int core_first_rows(struct core *core, struct err *err);

#endif

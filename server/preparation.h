/* A run's preparation in its checkpoints (docs/preparation.md). To a server it is
 * bytes, which a worker has put into checkpoint.dir under a name with their digest
 * (common/facts.h). One thread. */
#ifndef ROWHOUSE_SERVER_PREPARATION_H
#define ROWHOUSE_SERVER_PREPARATION_H

#include "common/err.h"
#include "common/facts.h"

/* Puts the run's preparation from `dir` into the checkpoint that is being made at
 * `path`, as its file `preparation`, and removes those of other runs from `dir`. Does
 * nothing without one. -ERR_DAMAGE: it is not there, or not what the workers have
 * fitted; -ERR_SYSTEM, -ERR_MEMORY. */
int preparation_keep(const char *dir, const char *path, const struct data_facts *facts,
                     struct err *err);

/* Reads and checks the preparation of the checkpoint at `path`,
 * facts->preparation_bytes of it: *bytes is the caller's to free; NULL: it is only
 * checked. -ERR_DAMAGE, -ERR_MEMORY. */
int preparation_read(const char *path, const struct data_facts *facts,
                     unsigned char **bytes, struct err *err);

#endif

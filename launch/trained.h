/* A trained model in the memory of this process, from a checkpoint: for the commands
 * that come after training. */
#ifndef ROWHOUSE_LAUNCH_TRAINED_H
#define ROWHOUSE_LAUNCH_TRAINED_H

#include "launch/command.h"
#include "server/restore.h"
#include "worker/model/mf.h"
#include "worker/stream/prepare/prepare.h"

struct trained {
    struct job job;
    struct manifest manifest;
    char path[1024]; /* of the checkpoint */
    struct region region;
    struct core *core;
    /* The tables of model.user and model.item and the first key column of each; NULL
     * where a graph has no such side. */
    const struct table *user, *item;
    const char *user_name, *item_name;
    unsigned char *preparation; /* as the checkpoint has it; NULL = none */
    bool is_graph;              /* else matrix factorisation: */
    struct mf mf;
};

/* Loads the job and the checkpoint that the arguments name. Large: on the heap. */
int trained_open(const struct arguments *arguments, struct trained **trained,
                 struct err *err);
/* The preparation of the checkpoint, for blocks of `raw`; to be destroyed by the
 * caller. -ERR_INPUT: the job prepares other columns, or otherwise. */
int trained_prepare(const struct trained *trained, const struct schema *raw,
                    struct prepare **prepare, struct err *err);
void trained_close(struct trained *trained); /* NULL is fine */

#endif

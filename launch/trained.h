/* A trained model in the memory of this process, from a checkpoint: for the commands
 * that come after training. */
#ifndef ROWHOUSE_LAUNCH_TRAINED_H
#define ROWHOUSE_LAUNCH_TRAINED_H

#include "launch/command.h"
#include "server/restore.h"
#include "worker/model/mf.h"

struct trained {
    struct job job;
    struct manifest manifest;
    char path[1024]; /* of the checkpoint */
    struct region region;
    struct core *core;
    const struct table *user, *item;
    uint32_t user_column, item_column; /* among the key columns of an example */
    struct mf mf;
};

/* Loads the job and the checkpoint that the arguments name. Large: on the heap. */
int trained_open(const struct arguments *arguments, struct trained **trained,
                 struct err *err);
void trained_close(struct trained *trained); /* NULL is fine */

#endif

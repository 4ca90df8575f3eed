/* The manifest: what makes a directory of shard files a checkpoint. Written last and
 * renamed into place, so that a checkpoint is whole or absent. The only user of
 * proto/manifest.proto. On disk: 8 bytes magic, u32 length, protobuf, XXH3-64 of all
 * that precedes (docs/checkpoint-format.md). */
#ifndef ROWHOUSE_SERVER_MANIFEST_H
#define ROWHOUSE_SERVER_MANIFEST_H

#include "common/net/message.h" /* struct range, struct data_facts */
#include "common/net/roster.h"  /* SERVERS_MAX */
#include "server/shard.h"

enum {
    MANIFEST_FORMAT = 1, /* the version that is written; all from 1 on are read */
    MANIFEST_RANGES_MAX = SHARE_RANGES_MAX,
    MANIFEST_BYTES_MAX = 1024 * 1024, /* of the file */
    PREPARATION_BYTES_MAX = 1 << 30,  /* of a checkpoint's preparation */
};

/* The evaluation of the validation part that was best so far; checkpoint 0: none yet.
 */
struct best {
    double badness;      /* metrics_badness() of the first metric */
    uint32_t epoch;      /* after which it was */
    uint32_t misses;     /* evaluations since then */
    uint64_t checkpoint; /* number of the one that holds it */
    uint64_t clock;      /* of that checkpoint */
    uint32_t reached; /* epochs trained in all, also if the rows are those of `epoch` */
};

struct manifest {
    uint64_t number;  /* of the checkpoint within its directory, from 1 */
    char job[64];     /* the job's name */
    char *settings;   /* canonical lines (common/job.h); owned */
    char version[32]; /* of the program that wrote it */
    int64_t written;  /* seconds since 1970 */
    uint32_t epoch;   /* epochs finished */
    uint32_t ranges; /* of the epoch under way: what is still to be trained; 0 = none */
    struct range range[MANIFEST_RANGES_MAX];
    uint32_t shares; /* bsp: workers whose own ranges these are, in their order; or 0 */
    uint32_t share_ranges[WORKERS_MAX]; /* how many of the ranges are each one's */
    bool grows;     /* the epoch under way may grow: nothing left is not its end */
    uint64_t known; /* then: positions from here on are in no range yet */
    uint64_t clock; /* of the run: highest clock applied */
    struct best best;
    struct data_facts data;
    double seconds; /* trained so far, all sessions of the run */
    uint32_t tables;
    struct shard_table table[SHARD_TABLES_MAX]; /* in the shards' order; rows of all */
    uint32_t shards;
    struct {
        char file[SHARD_NAME_MAX]; /* shard_name() of server i */
        struct shard_facts facts;
    } shard[SERVERS_MAX];
};

/* Writes `dir`/manifest: a temporary file, sync, rename, sync of the directory, so that
 * the files which it names are there when it is. A manifest that manifest_read() would
 * refuse is -ERR_INPUT. After an error there is none. */
int manifest_write(const char *dir, const struct manifest *manifest, struct err *err);

/* Reads `dir`/manifest and checks all of it: checksum, bounds, names, and that the
 * shards' rows are the tables'. -ERR_INPUT: there is none, or it is of a newer version;
 * -ERR_DAMAGE: it is not what was written. manifest_release() afterwards; after
 * an error it is zeroed. */
int manifest_read(const char *dir, struct manifest *manifest, struct err *err);

/* Frees the settings. A zeroed one is fine. */
void manifest_release(struct manifest *manifest);

#endif

/* The manifest: what makes a directory of shard files a checkpoint. Written last and
 * renamed into place, so that a checkpoint is whole or absent. The only user of
 * proto/manifest.proto. On disk: 8 bytes magic, u32 length, protobuf, XXH3-64. */
#ifndef ROWHOUSE_SERVER_MANIFEST_H
#define ROWHOUSE_SERVER_MANIFEST_H

#include "common/net/message.h" /* struct range, struct data_facts */
#include "common/net/roster.h"  /* SERVERS_MAX */
#include "server/shard.h"

enum { MANIFEST_METRICS_MAX = 16, MANIFEST_RANGES_MAX = SHARE_RANGES_MAX };

struct manifest {
    uint64_t number;  /* of the checkpoint within its directory, from 1 */
    char job[64];     /* the job's name */
    char *settings;   /* canonical lines (common/job.h); owned */
    char version[32]; /* of the program that wrote it */
    int64_t written;  /* seconds since 1970 */
    uint32_t epoch;   /* epochs finished */
    uint32_t ranges; /* of the epoch under way: what is still to be trained; 0 = none */
    struct range range[MANIFEST_RANGES_MAX];
    uint64_t clock; /* of the run: highest clock applied */
    struct data_facts data;
    double seconds; /* trained so far, all sessions of the run */
    uint32_t tables;
    struct shard_table table[SHARD_TABLES_MAX]; /* rows over all shards */
    uint32_t shards;
    struct {
        char file[64]; /* within the checkpoint's directory, no '/' */
        struct shard_facts facts;
    } shard[SERVERS_MAX];
};

/* Writes `dir`/manifest: a temporary file, sync, rename, sync of the directory. */
int manifest_write(const char *dir, const struct manifest *manifest, struct err *err);
/* Reads and checks one. manifest_release() afterwards. */
int manifest_read(const char *dir, struct manifest *manifest, struct err *err);
void manifest_release(struct manifest *manifest);

#endif

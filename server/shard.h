/* Shard files: one server's rows in a checkpoint (docs/checkpoint-format.md).
 *
 * header, then for each table its rows in blocks of at most 64 KB, each block with its
 * own checksum (XXH3-64), then an end mark with totals. A flipped byte anywhere is
 * found and its block named; a file without its end mark is truncated. */
#ifndef ROWHOUSE_SERVER_SHARD_H
#define ROWHOUSE_SERVER_SHARD_H

#include "common/err.h"
#include "server/table.h"

enum { SHARD_TABLES_MAX = 16 };

struct shard_facts {
    uint64_t bytes, rows, checksum; /* checksum of the whole file */
};

/* What a shard file says of a table. */
struct shard_table {
    char name[64];
    uint32_t id, dim, width, state_width;
    uint64_t rows;
};

/* Writes all rows of `tables` (named by `name[i]`) to a new file `path` and syncs it.
 * On an error (a full disk, say) the file is removed and the sentence names it. */
int shard_write(const char *path, uint32_t server, uint32_t servers,
                const struct table *const *table, const char *const *name,
                uint32_t tables, struct shard_facts *facts, struct err *err);

/* Called by shard_read() once for each table, then for each run of rows: `block` holds
 * n rows, each u64 key then width + state_width floats, packed. Non-zero stops the
 * read. */
struct shard_visitor {
    int (*table)(void *context, uint32_t index, const struct shard_table *table,
                 struct err *err);
    int (*rows)(void *context, uint32_t index, const unsigned char *block, uint32_t n,
                struct err *err);
    void *context;
};

/* Reads and checks a whole shard file. -ERR_DAMAGE names file, block and offset.
 * `facts` (may be NULL) gets size and checksum as found. */
int shard_read(const char *path, const struct shard_visitor *visitor,
               struct shard_facts *facts, struct err *err);

#endif

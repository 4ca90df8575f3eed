/* Shard files: one server's rows in a checkpoint (docs/checkpoint-format.md).
 *
 * header, then for each table its rows in blocks of at most 64 KB, each block with its
 * own checksum (XXH3-64), then an end mark with totals. A flipped byte anywhere is
 * found and its block named; a file without its end mark is truncated. */
#ifndef ROWHOUSE_SERVER_SHARD_H
#define ROWHOUSE_SERVER_SHARD_H

#include <stdbool.h>

#include "common/err.h"
#include "server/table.h"

enum {
    SHARD_FORMAT = 1, /* the version that is written; all from 1 on are read */
    SHARD_TABLES_MAX = 64,
    SHARD_NAME_MAX = 64,
    SHARD_BLOCK_BYTES = 65536,
    SHARD_WIDTH_MAX = 65536,               /* floats of weights in a row */
    SHARD_STATE_MAX = 8 * 65536,           /* floats of optimizer state in a row */
    SHARD_ROW_OVERHEAD = sizeof(uint64_t), /* the key */
};

struct shard_facts {
    uint64_t bytes, rows,
        checksum; /* XXH3-64 of the whole file, as xxhsum -H3 has it */
};

/* What a shard file says of a table. */
struct shard_table {
    char name[SHARD_NAME_MAX];
    uint32_t id, dim, width, state_width;
    uint64_t rows;
};

/* Bytes of a row in a block: key, weights, state. */
static inline uint32_t shard_row_bytes(const struct shard_table *table)
{
    return (uint32_t)SHARD_ROW_OVERHEAD + 4 * (table->width + table->state_width);
}

/* The name of server `server`'s file: "shard-000-of-002". `name` has SHARD_NAME_MAX
 * bytes. */
void shard_name(uint32_t server, uint32_t servers, char *name);
/* Is it such a name, of a server below SERVERS_MAX? */
bool shard_is_name(const char *name);

/* Checks `tables` descriptions: counts, names (printable, none twice), widths. Returns
 * NULL or what is wrong with them, as a static text. */
const char *shard_tables_fault(const struct shard_table *table, uint32_t tables);

/* Writes all rows of `tables` (named by `name[i]`) to the file `path` and syncs it; one
 * that a broken attempt left there is replaced. Only the thread of the tables.
 * -ERR_SYSTEM: the file is removed and the sentence names it and why (a full disk,
 * say).
 */
int shard_write(const char *path, uint32_t server, uint32_t servers,
                const struct table *const *table, const char *const *name,
                uint32_t tables, struct shard_facts *facts, struct err *err);

/* Called by shard_read() once for each table in the file's order, then once for each
 * block: `block` holds n > 0 rows, each u64 key then width + state_width floats, packed
 * and little-endian: keys need not be aligned. A block is seen only after its checksum
 * is found right, but the end mark only after all blocks: what was read is complete
 * when shard_read() returns 0. Non-zero, with `err` set, stops the read and is
 * returned. Either function may be NULL. */
struct shard_visitor {
    int (*table)(void *context, uint32_t index, const struct shard_table *table,
                 struct err *err);
    int (*rows)(void *context, uint32_t index, const unsigned char *block, uint32_t n,
                struct err *err);
    void *context;
};

/* Reads and checks a whole shard file. `visitor` may be NULL. `facts` (may be NULL)
 * gets size, rows and checksum as found. Any thread. -ERR_DAMAGE names file, block and
 * offset; -ERR_INPUT: written by a newer version; -ERR_SYSTEM: cannot be read. */
int shard_read(const char *path, const struct shard_visitor *visitor,
               struct shard_facts *facts, struct err *err);

#endif

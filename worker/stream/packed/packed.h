/* Packed files: examples by columns, in blocks that are each complete by themselves,
 * with a checksum for every byte (docs/packed-format.md). Written once from text, then
 * read again and again: no text to look through, and only the columns that are wanted.
 *
 * A file can be read block by block in any order, and its number of examples is known
 * without reading it. From a pipe, or compressed (.gz, .zst), it is read from the
 * beginning to the end. One thread for each writer and reader. */
#ifndef ROWHOUSE_WORKER_STREAM_PACKED_PACKED_H
#define ROWHOUSE_WORKER_STREAM_PACKED_PACKED_H

#include "worker/stream/block.h"

enum {
    PACKED_FORMAT = 1,
    PACKED_MAGIC_BYTES = 8,
    PACKED_EXAMPLES_MAX = 65536,         /* in a block */
    PACKED_BLOCK_MEMORY = 1 << 20,       /* of a block's examples, as a rule */
    PACKED_BLOCK_BYTES_MAX = 64 << 20,   /* of a block in the file */
    PACKED_CAPACITY_BYTES_MAX = 4 << 20, /* of its examples' values of fixed size */
};

extern const unsigned char packed_magic[PACKED_MAGIC_BYTES];

/* --- writing ------------------------------------------------------------------- */

struct packed_writer;

struct packed_facts {
    uint64_t examples, blocks, bytes;
};

/* For examples of `schema` (copied; what tables, rows and separators its columns have
 * is not kept), up to `capacity` of them in a block; 0: as many as PACKED_BLOCK_MEMORY
 * holds. `path` as of output_open() (common/output.h): whole or absent, "-" is standard
 * output. -ERR_INPUT: the schema cannot be packed. */
int packed_create(const char *path, const struct schema *schema, uint32_t capacity,
                  struct packed_writer **writer, struct err *err);
void packed_destroy(struct packed_writer *writer); /* NULL is fine */
/* Adds the block's examples; its schema has the columns of packed_create(). place[] is
 * not kept: examples are counted anew. -ERR_SYSTEM, -ERR_MEMORY; -ERR_INPUT for an
 * example that is too large. */
int packed_append(struct packed_writer *writer, const struct block *block,
                  struct err *err);
/* Has whoever reads the pipe left? Then there is no use in going on. */
bool packed_abandoned(const struct packed_writer *writer);
/* Ends the file and keeps it. */
int packed_finish(struct packed_writer *writer, struct packed_facts *facts,
                  struct err *err);

/* --- reading ------------------------------------------------------------------- */

struct packed;

/* Opens `path` and checks header and index, if it is a plain file. -ERR_INPUT: no such
 * file, one that is not packed, damaged, cut off or of a later version: the sentence
 * says which part, where and why. -ERR_SYSTEM, -ERR_MEMORY. */
int packed_open(const char *path, struct packed **packed, struct err *err);
void packed_close(struct packed *packed); /* NULL is fine */

/* The columns of the file, valid until packed_close(). */
const struct schema *packed_schema(const struct packed *packed);
/* Most examples that a block of the file has. */
uint32_t packed_capacity(const struct packed *packed);

/* Is it a plain file? If not, blocks come one after the other (packed_next()), and what
 * is asked here is 0 until the last one has been read. */
bool packed_is_whole(const struct packed *packed);
uint64_t packed_examples(const struct packed *packed);
uint64_t packed_blocks(const struct packed *packed);
/* Where a block begins in a plain file. */
uint64_t packed_offset(const struct packed *packed, uint64_t block);
/* The number of a block's first example; `block` = packed_blocks(): of all. */
uint64_t packed_first(const struct packed *packed, uint64_t block);

/* Which column of a file each wanted one is, or SCHEMA_NONE. */
struct packed_columns {
    int place[SCHEMA_COLUMNS_MAX];
};

/* Finds the columns of `wanted` by their names. -ERR_INPUT: one is missing (the
 * sentence names the nearest one and all that are there), of another kind or dimension,
 * or wanted with texts that the file does not have. */
int packed_match(const struct packed *packed, const struct schema *wanted,
                 struct packed_columns *columns, struct err *err);

/* Loads a block, to be decoded, and checks it. -ERR_INPUT, naming the block and its
 * place, if it is damaged; -ERR_SYSTEM, -ERR_MEMORY. */
int packed_load(struct packed *packed, uint64_t block, struct err *err);
/* Loads the next one: 1; 0 at the end, when what is behind the blocks has been checked,
 * too. Any mixture with packed_load() is fine in a plain file. */
int packed_next(struct packed *packed, struct err *err);
/* Of the block that is loaded: its number, and its examples. */
uint64_t packed_loaded(const struct packed *packed);
uint32_t packed_loaded_examples(const struct packed *packed);

/* Adds the loaded block's examples from `from` on behind those that `block` has, as far
 * as it has room; block->schema is what `columns` was made for. place[] is the number
 * of the example in the file. -ERR_INPUT: the block is damaged after all; an example
 * lacks what must not be missing; a key that a dense table has no row for; a number
 * that is not finite. `block` then has the examples it had. -ERR_MEMORY. */
int packed_decode(struct packed *packed, const struct packed_columns *columns,
                  uint32_t from, struct block *block, struct err *err);

/* packed_load() and all of it into an empty block with room for packed_capacity(). */
int packed_read_block(struct packed *packed, uint64_t number,
                      const struct packed_columns *columns, struct block *block,
                      struct err *err);

#endif

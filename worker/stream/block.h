/* A block: some thousand examples by columns, on their way from a file to batches.
 * Allocated once and filled again and again; arrays grow to what the largest filling
 * needed, so that a steady stream allocates nothing. One thread at a time. */
#ifndef ROWHOUSE_WORKER_STREAM_BLOCK_H
#define ROWHOUSE_WORKER_STREAM_BLOCK_H

#include <stddef.h>

#include "worker/stream/schema.h"

#define TIME_MISSING INT64_MIN

/* A column's values; which arrays there are depends on its kind. All owned. */
struct values {
    uint64_t *key;     /* KEY: [n]; KEYS: [offset[n]] */
    uint8_t *missing;  /* KEY that may miss: [n], 1 = there is none (its key is 0) */
    float *number;     /* NUMBER: [n], NaN = missing; VECTOR: [n][dim];
                          KEYS: [offset[n]], the weights, 1 where the file has none */
    int64_t *time;     /* TIME: [n], TIME_MISSING = missing */
    uint32_t *offset;  /* KEYS, TEXT, KEY with its text: [n + 1], offset[0] = 0 */
    char *text;        /* TEXT, KEY with its text: [offset[n]], no '\0' between */
    uint64_t key_room; /* KEYS: of key and number */
    uint64_t text_room;
};

struct block {
    const struct schema *schema; /* borrowed */
    uint32_t n, capacity;        /* examples */
    struct values *column;       /* owned; [schema->columns] */
    /* Where each example stands, [n]: for text the byte of its file at which it begins,
     * for packed files its number. With the file's number it says for ever which
     * example it is (the split at random goes by that). */
    uint64_t *place;
};

/* For at most `capacity` examples of a schema. -ERR_MEMORY. */
int block_create(struct block *block, const struct schema *schema, uint32_t capacity,
                 struct err *err);
void block_release(struct block *block); /* zeroed is fine */
/* Empty again, to be filled anew. */
void block_clear(struct block *block);

/* Room for `more` keys (with weights) or bytes of text behind those that column `c` has
 * (offset[n], or what was added since for the example under way, which the caller
 * counts into `more`). Pointers into the arrays may change. -ERR_MEMORY, or -ERR_INPUT
 * for more than 2^32 - 1 in one block. */
int block_key_room(struct block *block, uint32_t c, uint64_t more, struct err *err);
int block_text_room(struct block *block, uint32_t c, uint64_t more, struct err *err);

/* Adds n examples of another block with the same columns, from `first` on; there must
 * be room for them (n + to->n <= to->capacity). -ERR_MEMORY, or -ERR_INPUT as above:
 * `to` is then as before. */
int block_append(struct block *to, const struct block *from, uint32_t first, uint32_t n,
                 struct err *err);

/* Adds n examples that never were: their columns c with from_other[c] true are those of
 * example other_number[i] of other[i], the rest those of example `number` of `from`;
 * all blocks have the same schema. Room and errors as above, but that `to` may have
 * some of the examples then. */
int block_append_mixed(struct block *to, const struct block *from, uint32_t number,
                       const struct block *const *other, const uint32_t *other_number,
                       const bool *from_other, uint32_t n, struct err *err);

/* Keeps the examples with keep[i] != 0, in their order; keep: [n]. */
void block_filter(struct block *block, const uint8_t *keep);

#endif

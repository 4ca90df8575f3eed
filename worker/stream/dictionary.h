/* The distinct keys of a column, each with a number of its own (an id) from 0 on in
 * order of first appearance: what is looked up by key once when the data is read is
 * found by an index ever after. One thread while it grows; then read-only. */
#ifndef ROWHOUSE_WORKER_STREAM_DICTIONARY_H
#define ROWHOUSE_WORKER_STREAM_DICTIONARY_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

struct dictionary {
    uint64_t *key; /* [keys]: of each id; owned */
    uint32_t keys;
    uint32_t room;    /* of key */
    uint32_t *bucket; /* [buckets]: id + 1, 0 = empty; NULL before the first key and
                       * when closed; owned */
    uint32_t buckets; /* a power of two, at least twice `keys` */
};

/* Finds a key's id, or gives it the next one. The dictionary is zeroed at first and
 * must not be closed; at most 2^30 keys. -ERR_MEMORY. */
int dictionary_id(struct dictionary *dictionary, uint64_t key, uint32_t *id,
                  struct err *err);
/* Finds the id of a key that is there, without adding it. Must not be closed. */
bool dictionary_find(const struct dictionary *dictionary, uint64_t key, uint32_t *id);
/* No keys will be added: gives back what only dictionary_id() needs. */
void dictionary_close(struct dictionary *dictionary);
void dictionary_release(struct dictionary *dictionary); /* zeroed is fine */

#endif

/* Exemplars: one example for each of some keys, picked from blocks that come by: what
 * an item's or user's columns are when only its key is asked for. One thread. */
#ifndef ROWHOUSE_WORKER_EXEMPLARS_H
#define ROWHOUSE_WORKER_EXEMPLARS_H

#include "worker/stream/block.h"
#include "worker/stream/dictionary.h"

struct exemplars {
    const struct schema *schema; /* borrowed */
    bool latest;                 /* a later example takes the place of an earlier one */
    struct dictionary dictionary; /* ids are the keys' numbers, by first appearance */
    uint32_t *place;              /* [keys]: where each one's example is */
    int64_t *time;                /* [keys] */
    uint32_t room;                /* of the two */
    struct block *block;          /* [blocks]; all but the last are full */
    uint32_t blocks;
    uint64_t examples; /* in them, those included that no key has any more */
};

/* Of blocks with this schema. For each key the first example is kept, or with `latest`
 * the one with the greatest time, of equals the last. */
void exemplars_init(struct exemplars *exemplars, const struct schema *schema,
                    bool latest);
void exemplars_release(struct exemplars *exemplars); /* zeroed is fine */

/* Example `number` of a block is one of this key; it is copied if it is to be kept.
 * -ERR_MEMORY, also for more than 2^30 keys. */
int exemplars_add(struct exemplars *exemplars, uint64_t key, int64_t time,
                  const struct block *block, uint32_t number, struct err *err);

/* The number of a key. */
static inline bool exemplars_find(const struct exemplars *exemplars, uint64_t key,
                                  uint32_t *id)
{
    return exemplars->dictionary.keys &&
           dictionary_find(&exemplars->dictionary, key, id);
}

/* Where the example of the key with that number is; valid until the next add. */
const struct block *exemplars_at(const struct exemplars *exemplars, uint32_t id,
                                 uint32_t *number);

#endif

#include "worker/stream/dictionary.h"

#include <stdlib.h>
#include <string.h>

#include "common/rng.h"

enum { BUCKETS_FIRST = 1024, KEYS_MAX = 1u << 30 };

static uint32_t *find(const struct dictionary *dictionary, uint64_t key)
{
    uint32_t mask = dictionary->buckets - 1;
    uint32_t at = (uint32_t)mix64(key) & mask;

    while (dictionary->bucket[at] && dictionary->key[dictionary->bucket[at] - 1] != key)
        at = (at + 1) & mask;
    return &dictionary->bucket[at];
}

/* Twice the buckets, and room for half as many keys. */
static int grow(struct dictionary *dictionary)
{
    uint32_t buckets = dictionary->buckets ? 2 * dictionary->buckets : BUCKETS_FIRST;
    uint64_t *key;
    uint32_t *bucket;

    if (dictionary->keys >= KEYS_MAX)
        return -ERR_MEMORY;
    key = realloc(dictionary->key, (size_t)buckets / 2 * sizeof *key);
    if (!key)
        return -ERR_MEMORY;
    dictionary->key = key;
    dictionary->room = buckets / 2;
    bucket = calloc(buckets, sizeof *bucket);
    if (!bucket)
        return -ERR_MEMORY;
    free(dictionary->bucket);
    dictionary->bucket = bucket;
    dictionary->buckets = buckets;
    for (uint32_t id = 0; id < dictionary->keys; id++)
        *find(dictionary, dictionary->key[id]) = id + 1;
    return 0;
}

int dictionary_id(struct dictionary *dictionary, uint64_t key, uint32_t *id,
                  struct err *err)
{
    uint32_t *bucket;

    if (2 * (uint64_t)dictionary->keys >= dictionary->buckets && grow(dictionary))
        return err_set(err, ERR_MEMORY, "no memory for more than %u different keys",
                       dictionary->keys);
    bucket = find(dictionary, key);
    if (*bucket == 0) {
        dictionary->key[dictionary->keys++] = key;
        *bucket = dictionary->keys;
    }
    *id = *bucket - 1;
    return 0;
}

bool dictionary_find(const struct dictionary *dictionary, uint64_t key, uint32_t *id)
{
    uint32_t found = dictionary->buckets ? *find(dictionary, key) : 0;

    *id = found - 1;
    return found > 0;
}

void dictionary_close(struct dictionary *dictionary)
{
    uint64_t *key = NULL;

    free(dictionary->bucket);
    dictionary->bucket = NULL;
    dictionary->buckets = 0;
    if (dictionary->keys)
        key = realloc(dictionary->key, dictionary->keys * sizeof *key);
    if (key)
        dictionary->key = key;
    dictionary->room = dictionary->keys;
}

void dictionary_release(struct dictionary *dictionary)
{
    free(dictionary->key);
    free(dictionary->bucket);
    *dictionary = (struct dictionary){0};
}

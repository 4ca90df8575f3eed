#include "worker/keyset.h"

#include <assert.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum {
    BLOCK = 64,         /* keys that are hashed and prefetched before the look-up */
    STAMP_LAST = 65535, /* low enough to be passed in every longer run, and in tests */
};

/* A bucket belongs to the batch under way when its stamp is the batch's, so nothing is
 * cleared between batches. */
struct bucket {
    uint64_t key;
    uint32_t stamp;
    uint32_t first; /* place of the key in order of first appearance */
};

struct keyset_scratch {
    struct bucket *bucket;
    uint32_t buckets; /* a power of two, at least four times the capacity */
    uint32_t stamp;
    /* The keys in order of first appearance and their slots: [capacity + 1], for what
     * is written and not kept. */
    uint64_t *seen_key;
    uint16_t *seen_slot;
    uint32_t *row;  /* their rows */
    uint32_t *next; /* per server: its next free row: [servers] */
    uint32_t servers;
};

static void scratch_destroy(struct keyset_scratch *scratch)
{
    if (!scratch)
        return;
    free(scratch->bucket);
    free(scratch->seen_key);
    free(scratch->seen_slot);
    free(scratch->row);
    free(scratch->next);
    free(scratch);
}

static uint32_t buckets_for(uint32_t keys)
{
    uint32_t buckets = BLOCK;

    while (buckets < 4 * (uint64_t)keys)
        buckets *= 2;
    return buckets;
}

static struct keyset_scratch *scratch_create(uint32_t capacity, uint32_t servers)
{
    struct keyset_scratch *scratch = calloc(1, sizeof *scratch);

    if (!scratch)
        return NULL;
    scratch->buckets = buckets_for(capacity);
    scratch->bucket = calloc(scratch->buckets, sizeof *scratch->bucket);
    scratch->seen_key = calloc(capacity + 1, sizeof *scratch->seen_key);
    scratch->seen_slot = calloc(capacity + 1, sizeof *scratch->seen_slot);
    scratch->row = calloc(capacity + 1, sizeof *scratch->row);
    scratch->next = calloc(servers, sizeof *scratch->next);
    scratch->servers = servers;
    if (scratch->bucket && scratch->seen_key && scratch->seen_slot && scratch->row &&
        scratch->next)
        return scratch;
    scratch_destroy(scratch);
    return NULL;
}

int keyset_create(struct keyset *keyset, uint32_t table, uint32_t capacity,
                  uint32_t servers, struct err *err)
{
    *keyset = (struct keyset){.table = table, .capacity = capacity};
    if (capacity > KEYSET_CAPACITY_MAX)
        return err_set(err, ERR_INPUT, "a key set for %u keys: at most %u are possible",
                       capacity, KEYSET_CAPACITY_MAX);
    if (servers == 0 || servers > SERVERS_MAX)
        return err_set(err, ERR_INPUT, "a key set for %u servers: 1 to %u are possible",
                       servers, SERVERS_MAX);
    keyset->key = calloc(capacity + 1, sizeof *keyset->key);
    keyset->weight = calloc(capacity + 1, sizeof *keyset->weight);
    keyset->pos = calloc(capacity + 1, sizeof *keyset->pos);
    keyset->part = calloc(servers + 1, sizeof *keyset->part);
    keyset->scratch = scratch_create(capacity, servers);
    if (keyset->key && keyset->weight && keyset->pos && keyset->part && keyset->scratch)
        return 0;
    keyset_release(keyset);
    return err_set(err, ERR_MEMORY, "no memory for the key set of a batch of %u keys",
                   capacity);
}

void keyset_release(struct keyset *keyset)
{
    free(keyset->key);
    free(keyset->weight);
    free(keyset->pos);
    free(keyset->part);
    scratch_destroy(keyset->scratch);
    *keyset = (struct keyset){0};
}

/* Starts a batch: from here on all buckets count as empty. */
static uint32_t stamp_next(struct keyset_scratch *scratch)
{
    if (scratch->stamp == STAMP_LAST) {
#ifndef MUTANT_KEYSET_STAMP
        memset(scratch->bucket, 0, scratch->buckets * sizeof *scratch->bucket);
#endif
        scratch->stamp = 0;
    }
    return ++scratch->stamp;
}

/* All bits or none, without a branch. */
static inline uint64_t bits_if(bool yes)
{
    return -(uint64_t)yes;
}

/* A key behind a dense table's rows goes to the last server, which says that there is
 * no such row: whoever reads keys refuses them, but no place may be behind our arrays.
 * One comparison for each unique key, none for each of the batch. */
static inline uint16_t slot_of(const struct keyset *keyset, uint64_t key)
{
    uint64_t rows = keyset->dense;

#ifndef MUTANT_KEYSET_ROWS
    if (rows && key >= rows)
        key = rows - 1;
#endif
    return (uint16_t)(rows ? row_slot(key, rows) : key_slot(keyset->table, key));
}

/* Finds each key's place in order of first appearance: pos[i]. Returns the number of
 * unique keys. Whether a key is new is close to a coin toss, so that a branch on it
 * would cost more than writing what may not be needed. */
static uint32_t find_unique(struct keyset *keyset, const uint64_t *key, uint32_t n,
                            uint32_t stride)
{
    struct keyset_scratch *s = keyset->scratch;
    uint32_t stamp = stamp_next(s), unique = 0;
    uint32_t mask = buckets_for(n) - 1;
    uint64_t hash[BLOCK];

    for (uint32_t start = 0; start < n; start += BLOCK) {
        uint32_t end = n - start < BLOCK ? n : start + BLOCK;

        for (uint32_t i = start; i < end; i++) {
            hash[i - start] = key_hash(keyset->table, key[(size_t)i * stride]);
            __builtin_prefetch(&s->bucket[hash[i - start] & mask], 1);
        }
        for (uint32_t i = start; i < end; i++) {
            uint64_t k = key[(size_t)i * stride], h = hash[i - start];
            struct bucket *b = &s->bucket[h & mask];
            uint64_t taken = bits_if(b->stamp == stamp);

            s->seen_slot[unique] = (uint16_t)(h >> 54);
            while (taken & (b->key ^ k)) {
                b = &s->bucket[++h & mask];
                taken = bits_if(b->stamp == stamp);
            }
            uint32_t first = unique ^ ((b->first ^ unique) & (uint32_t)taken);
            *b = (struct bucket){.key = k, .stamp = stamp, .first = first};
            keyset->pos[i] = first;
            s->seen_key[unique] = k;
            unique += 1 + (uint32_t)taken;
        }
    }
    for (uint32_t u = 0; keyset->dense && u < unique; u++)
        s->seen_slot[u] = slot_of(keyset, s->seen_key[u]);
    return unique;
}

/* Cuts the unique keys into the servers' slices: part[], and next[] at their starts. */
static void cut_slices(struct keyset *keyset, uint32_t servers)
{
    struct keyset_scratch *s = keyset->scratch;
    uint32_t start = 0;

    memset(s->next, 0, servers * sizeof *s->next);
    for (uint32_t u = 0; u < keyset->rows; u++)
        s->next[slot_owner(s->seen_slot[u], servers)]++;
    for (uint32_t server = 0; server < servers; server++) {
        uint32_t count = s->next[server];

        keyset->part[server] = s->next[server] = start;
        start += count;
    }
    keyset->part[servers] = start;
}

/* From the unique keys as they appeared to rows: key[], pos[] and weight[]. */
static void place(struct keyset *keyset, uint32_t n, uint32_t servers)
{
    struct keyset_scratch *s = keyset->scratch;

    cut_slices(keyset, servers);
    for (uint32_t u = 0; u < keyset->rows; u++) {
        uint32_t row = s->next[slot_owner(s->seen_slot[u], servers)]++;

        keyset->key[row] = s->seen_key[u];
        keyset->weight[row] = 0;
        s->row[u] = row;
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t row = s->row[keyset->pos[i]];

        keyset->pos[i] = row;
        keyset->weight[row]++;
    }
}

void keyset_build(struct keyset *keyset, const uint64_t *key, uint32_t n,
                  uint32_t stride, uint32_t servers)
{
    assert(n <= keyset->capacity && servers >= 1 &&
           servers <= keyset->scratch->servers);
    keyset->rows = find_unique(keyset, key, n, stride);
    place(keyset, n, servers);
}

void keyset_build_all(struct keyset *keyset, float uses, uint32_t servers)
{
    uint32_t rows = (uint32_t)keyset->dense;

    assert(rows <= keyset->capacity && servers <= keyset->scratch->servers);
    for (uint32_t row = keyset->rows; row < rows; row++)
        keyset->key[row] = row;
    keyset->rows = rows;
    for (uint32_t server = 0; server <= servers; server++)
        keyset->part[server] = (uint32_t)row_first(rows, server, servers);
    if (rows && keyset->weight[0] == uses)
        return;
    for (uint32_t row = 0; row < rows; row++)
        keyset->weight[row] = uses;
}

int keyset_marks_init(struct keyset_marks *marks, uint32_t ids, struct err *err)
{
    if (marks->mark && ids <= marks->ids)
        return 0;
    free(marks->mark);
    *marks = (struct keyset_marks){.mark = calloc((size_t)ids + 1, sizeof *marks->mark),
                                   .ids = ids};
    if (!marks->mark)
        return err_set(err, ERR_MEMORY, "no memory for the marks of %u keys", ids);
    return 0;
}

void keyset_marks_release(struct keyset_marks *marks)
{
    free(marks->mark);
    *marks = (struct keyset_marks){0};
}

/* As find_unique(): a mark is the stamp of the last batch with that id, and behind it
 * the id's place there. */
static uint32_t mark_unique(struct keyset *keyset, struct keyset_marks *marks,
                            const uint64_t *key, const uint32_t *id, uint32_t n)
{
    struct keyset_scratch *s = keyset->scratch;
    uint32_t unique = 0;

    if (marks->stamp == STAMP_LAST) {
#ifndef MUTANT_KEYSET_STAMP
        memset(marks->mark, 0, marks->ids * sizeof *marks->mark);
#endif
        marks->stamp = 0;
    }
    marks->stamp++;
    for (uint32_t i = 0; i < n; i++) {
        uint64_t mark = marks->mark[id[i]];
        bool is_new = (uint32_t)(mark >> 32) != marks->stamp;
        uint32_t first = is_new ? unique : (uint32_t)mark;

        marks->mark[id[i]] = (uint64_t)marks->stamp << 32 | first;
        keyset->pos[i] = first;
        keyset->weight[first] = (is_new ? 0 : keyset->weight[first]) + 1;
        s->row[unique] = id[i];
        unique += is_new;
    }
    for (uint32_t u = 0; u < unique; u++) {
        s->seen_key[u] = key[s->row[u]];
        s->seen_slot[u] = slot_of(keyset, s->seen_key[u]);
    }
    return unique;
}

void keyset_build_ids(struct keyset *keyset, struct keyset_marks *marks,
                      const uint64_t *key, const uint32_t *id, uint32_t n,
                      uint32_t servers)
{
    assert(n <= keyset->capacity && servers >= 1 &&
           servers <= keyset->scratch->servers);
    keyset->rows = mark_unique(keyset, marks, key, id, n);
    if (servers > 1) {
        place(keyset, n, servers);
        return;
    }
    memcpy(keyset->key, keyset->scratch->seen_key, keyset->rows * sizeof *keyset->key);
    keyset->part[0] = 0;
    keyset->part[1] = keyset->rows;
}

/* The index of a table: from a key's hash to its row number. Used by table.c and what
 * belongs to it, and by the benchmark that measures it.
 *
 * One sub-table for each slot: an array of 64-byte buckets, each with room for 12 rows.
 *
 *   hash   63..54 slot | 53..22 home bucket, by multiplication | 7..0 tag (0 counts as
 * 1)
 *
 *   bucket  tag[12] | passed | row[12]        tag 0 = free
 *
 * A row whose home is full lies in the next bucket with room (the first follows the
 * last). `passed` counts the rows that went past a bucket on their way, so that a
 * look-up ends at the first bucket that nobody passed, however full it is.
 *
 * Sub-tables are enlarged one at a time by 1/4 to 1/2, by an amount that differs from
 * slot to slot, so that they do not all grow in the same minute and the average load is
 * always the same. Arrays of 64 buckets and more are pages of the region; smaller ones
 * share pages (index_pool.c), so that 1024 sub-tables of a small table stay small. */
#ifndef ROWHOUSE_SERVER_TABLE_INDEX_H
#define ROWHOUSE_SERVER_TABLE_INDEX_H

#include <assert.h>
#include <emmintrin.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "common/rng.h"
#include "server/table.h"

enum {
    TABLE_SLOTS = 1024,
    CACHE_LINE = 64,
    FETCH = 512, /* bytes of a row that are fetched ahead; the processor sees the rest
                    coming */
    BUCKET_ROWS = 12,
    PAGE_BUCKETS = REGION_PAGE / 64,
    POOL_CLASSES = 11, /* sizes of arrays below a page */
};

struct bucket {
    uint8_t tag[BUCKET_ROWS];
    uint32_t passed;
    uint32_t row[BUCKET_ROWS];
};

/* An array of buckets in one word, so that one store publishes it: offset / 64 in the
 * upper 36 bits (regions have at most 4 TiB), buckets in the lower 28. */
typedef uint64_t array_ref;

static inline array_ref array_pack(uint64_t offset, uint32_t buckets)
{
    return offset / sizeof(struct bucket) << 28 | buckets;
}

static inline uint64_t array_offset(array_ref array)
{
    return (array >> 28) * sizeof(struct bucket);
}

static inline uint32_t array_buckets(array_ref array)
{
    return (uint32_t)(array & ((1u << 28) - 1));
}

/* The shared part of a table. A page and more of the region, zero at first. */
struct table_root {
    uint64_t magic; /* written last */
    struct table_spec spec;
    uint64_t rows;       /* made so far */
    uint64_t rows_limit; /* of rows */
    uint64_t rows_most;  /* of rows_limit */
    uint64_t slabs_max;
    uint64_t slab_bytes;
    uint32_t slab_rows, stride;
    uint64_t slab_list;   /* offset of u64 slab[slabs_max], 0 = not made yet */
    uint64_t slabs;       /* made so far */
    uint64_t array_bytes; /* of arrays of a page and more */
    uint64_t pool_pages;  /* shared by the smaller ones */
    uint64_t pool_head[POOL_CLASSES]; /* pages with room; see index_pool.c */
    /* The growth under way: slot, its array before, the array to be. new = 0: none. */
    struct {
        array_ref old, new;
        uint64_t slot;
    } growth;
    struct bucket none __attribute__((aligned(64))); /* what an empty sub-table has */
    /* Of each sub-table: its array (`none` while it has no row), its rows, and at how
     * many it grows (table_open() derives that anew). */
    array_ref array[TABLE_SLOTS];
    uint32_t slot_rows[TABLE_SLOTS], slot_rows_grow[TABLE_SLOTS];
};

static_assert(sizeof(struct bucket) == 64, "a bucket is one cache line");

/* --- rows ------------------------------------------------------------------------ */

/* The block of row `number`: u64 key, then the weights. */
static inline unsigned char *table_block(const struct table *table, uint32_t number)
{
    uint32_t slab = (uint32_t)(((unsigned __int128)table->slab_divide * number) >> 64);

    return table->base + table->slab[slab] +
           (uint64_t)(number - slab * table->slab_rows) * table->stride;
}

static inline uint64_t block_key(const unsigned char *block)
{
    return *(const uint64_t *)block;
}

static inline uint64_t key_at(const uint64_t *key, uint32_t i)
{
    uint64_t value;

    memcpy(&value, (const unsigned char *)key + (size_t)i * sizeof value, sizeof value);
    return value;
}

/* Fetches a row's cache lines, each once: asking twice costs as much as another line.
 * Blocks start and end at multiples of 4 bytes. */
static inline __attribute__((always_inline)) void
prefetch_block(const unsigned char *block, uint32_t bytes)
{
    uint32_t last = (bytes < FETCH ? bytes : FETCH) - 4;

    __builtin_prefetch(block);
    for (uint32_t i = CACHE_LINE; i < last; i += CACHE_LINE)
        __builtin_prefetch(block + i);
    if (last)
        __builtin_prefetch(block + last);
}

/* table.c: the place of row `number`, which is the next one; NULL without memory. */
unsigned char *block_reserve(struct table *table, uint32_t number);

/* --- buckets --------------------------------------------------------------------- */

static inline uint32_t hash_slot(uint64_t hash)
{
    return (uint32_t)(hash >> 54);
}

static inline uint32_t hash_home(uint64_t hash, uint32_t buckets)
{
    return (uint32_t)((uint64_t)(uint32_t)(hash >> 22) * buckets >> 32);
}

static inline uint8_t hash_tag(uint64_t hash)
{
    return (uint8_t)hash ? (uint8_t)hash : 1;
}

/* One bit for each of the bucket's entries with this tag. */
static inline uint32_t bucket_match(const struct bucket *bucket, uint8_t tag)
{
    __m128i tags = _mm_load_si128((const __m128i *)bucket->tag);
    __m128i same = _mm_cmpeq_epi8(tags, _mm_set1_epi8((char)tag));

    return (uint32_t)_mm_movemask_epi8(same) & ((1u << BUCKET_ROWS) - 1);
}

/* Buckets of an array that may hold a key, from its home on. */
struct probe {
    const struct bucket *first; /* the array */
    uint32_t buckets, at;       /* its size; the bucket under way */
    uint32_t left;              /* buckets not looked at yet, this one included */
    uint32_t match;             /* entries of this bucket with the key's tag */
    uint8_t tag;
};

/* The home bucket of a hash. */
static inline const struct bucket *index_home(const struct table *table, uint64_t hash)
{
    array_ref array = table->array[hash_slot(hash)];
    const unsigned char *first = table->base + array_offset(array);

    return (const struct bucket *)first + hash_home(hash, array_buckets(array));
}

/* Goes to the first bucket from here on with an entry of the same tag; probe->match is
 * 0 if there is none. */
static inline void probe_match(struct probe *probe)
{
    while (!(probe->match = bucket_match(&probe->first[probe->at], probe->tag)) &&
           probe->first[probe->at].passed && --probe->left)
        probe->at = probe->at + 1 == probe->buckets ? 0 : probe->at + 1;
}

/* The same from home. */
static inline void probe_begin(struct probe *probe, const struct table *table,
                               uint64_t hash)
{
    array_ref array = table->array[hash_slot(hash)];

    probe->buckets = probe->left = array_buckets(array);
    probe->first = (const struct bucket *)(table->base + array_offset(array));
    probe->at = hash_home(hash, probe->buckets);
    probe->tag = hash_tag(hash);
    probe_match(probe);
}

/* The block of `key`, or NULL; from where probe_match() stopped. */
static inline unsigned char *probe_verify(struct probe *probe,
                                          const struct table *table, uint64_t key)
{
    while (probe->match) {
        const struct bucket *bucket = &probe->first[probe->at];

        for (; probe->match; probe->match &= probe->match - 1) {
            uint32_t number = bucket->row[__builtin_ctz(probe->match)];
            unsigned char *block = table_block(table, number);

            if (block_key(block) == key)
                return block;
        }
        if (!bucket->passed || !--probe->left)
            break;
        probe->at = probe->at + 1 == probe->buckets ? 0 : probe->at + 1;
        probe_match(probe);
    }
    return NULL;
}

/* --- table_index.c --------------------------------------------------------------- */

/* Makes room in the sub-table of `hash` for one more row. False: there is none, and the
 * region has no memory for more. */
bool index_reserve(struct table *table, uint64_t hash);
/* Enters row `number`, which is whole, after index_reserve(). The last store of a row's
 * making. */
void index_put(struct table *table, uint64_t hash, uint32_t number);
/* Sets up the empty index of a new table. */
void index_format(struct table *table);
/* Drops a growth that a killed process left, and derives what can be derived. */
void index_settle(struct table *table);

/* --- table_dense.c --------------------------------------------------------------- */

/* Makes the rows that are not there yet. -ERR_MEMORY. */
int dense_make(struct table *table);
/* As table_find_or_make() and table_copy(). */
int dense_find(const struct table *table, const uint64_t *key, uint32_t n, float **row);
void dense_copy(const struct table *table, const uint64_t *key, uint32_t n,
                float *values, unsigned char *found);

/* --- index_pool.c ---------------------------------------------------------------- */

/* Size of the arrays that a sub-table with `buckets` below PAGE_BUCKETS grows to. */
uint32_t pool_next_size(uint32_t buckets);
/* An array of `buckets`, one of those sizes, all zero; offset, or 0. */
uint64_t pool_alloc(struct table *table, uint32_t buckets);
void pool_free(struct table *table, uint64_t offset, uint32_t buckets);

#endif

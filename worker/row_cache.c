#include "worker/row_cache.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/job.h"
#include "common/rng.h"

enum {
    WAYS = 8,
    BLOCK = 16,                  /* keys whose sets are fetched before the look-up */
    USED_MAX = 15,               /* so a row that was hot once is worn down soon */
    CLOCKS_MAX = UINT32_MAX / 2, /* told apart after row_cache_clear() */
    SET_ALIGN = 64,
    NOWHERE = WAYS,
    RANK_USED = 35, /* bits: three of the way, 32 of the clock, eight of the use */
    RANK_ALIVE = 43,
};

/* Eight rows; two lines of the processor's cache. Clocks count from `base`. */
struct set {
    uint64_t key[WAYS];
    uint32_t until[WAYS]; /* the last clock that may use the row; 0: empty */
    uint16_t lag[WAYS];   /* until - vintage, or more than any bucket counts */
    uint8_t table[WAYS];
    uint8_t used[WAYS]; /* how often, worn down by those who want its place */
};

_Static_assert(sizeof(struct set) == 128, "a set is two cache lines");

struct row_cache {
    struct set *set;
    float *row; /* [sets][WAYS][stride] */
    uint64_t sets;
    uint32_t stride; /* floats */
    uint64_t base;   /* the clock at which it was empty */
    uint32_t width[JOB_TABLES_MAX];
    struct row_cache_counts counts[JOB_TABLES_MAX];
};

static uint64_t row_bytes(const struct row_cache *cache)
{
    return sizeof(struct set) / WAYS + cache->stride * sizeof(float);
}

int row_cache_create(uint64_t bytes, const uint32_t *width, uint32_t tables,
                     struct row_cache **out, struct err *err)
{
    struct row_cache *cache = calloc(1, sizeof *cache);

    if (!cache)
        return err_set(err, ERR_MEMORY, "no memory for a cache of rows");
    for (uint32_t t = 0; t < tables; t++) {
        cache->width[t] = width[t];
        if (width[t] > cache->stride)
            cache->stride = width[t];
    }
    assert(cache->stride > 0);
    cache->sets = bytes / (WAYS * row_bytes(cache));
    if (cache->sets == 0) {
        err_set(err, ERR_INPUT,
                "train.cache is %llu bytes, which holds no rows of %u floats, expected "
                "at least %llu",
                (unsigned long long)bytes, cache->stride,
                (unsigned long long)(WAYS * row_bytes(cache)));
        row_cache_destroy(cache);
        return -err->code;
    }
    cache->set = aligned_alloc(SET_ALIGN, cache->sets * sizeof *cache->set);
    cache->row = malloc(cache->sets * WAYS * cache->stride * sizeof *cache->row);
    if (!cache->set || !cache->row) {
        row_cache_destroy(cache);
        return err_set(err, ERR_MEMORY, "no memory for train.cache (%llu bytes)",
                       (unsigned long long)bytes);
    }
    row_cache_clear(cache, 0);
    *out = cache;
    return 0;
}

void row_cache_destroy(struct row_cache *cache)
{
    if (!cache)
        return;
    free(cache->set);
    free(cache->row);
    free(cache);
}

void row_cache_clear(struct row_cache *cache, uint64_t clock)
{
    memset(cache->set, 0, cache->sets * sizeof *cache->set);
    for (uint32_t t = 0; t < JOB_TABLES_MAX; t++)
        cache->counts[t].rows = cache->counts[t].bytes = 0;
    cache->base = clock;
}

/* A clock as sets note it. */
static uint32_t relative(const struct row_cache *cache, uint64_t clock)
{
    if (clock <= cache->base)
        return 0;
    return clock - cache->base < UINT32_MAX - 1 ? (uint32_t)(clock - cache->base)
                                                : UINT32_MAX - 1;
}

static struct set *set_of(const struct row_cache *cache, uint32_t table, uint64_t key)
{
    return &cache->set[rng_below(key_hash(table, key), cache->sets)];
}

static float *row_at(const struct row_cache *cache, const struct set *set, uint32_t way)
{
    uint64_t place = (uint64_t)(set - cache->set) * WAYS + way;

    return cache->row + place * cache->stride;
}

/* Where a row is, or NOWHERE. Which of the eight it is, if any, nobody can foretell: so
 * all keys are compared, without a branch for each. */
static inline uint32_t find(const struct set *set, uint32_t table, uint64_t key)
{
    uint32_t equal = 0;

    for (uint32_t w = 0; w < WAYS; w++)
        equal |= (uint32_t)(set->key[w] == key) << w;
    for (; equal; equal &= equal - 1) {
        uint32_t way = (uint32_t)__builtin_ctz(equal);

        if (set->table[way] == table && set->until[way])
            return way;
    }
    return NOWHERE;
}

/* The sets of the next keys, on their way into the processor's cache. */
static void find_sets(const struct row_cache *cache, uint32_t table,
                      const uint64_t *key, const uint32_t *place, uint32_t n,
                      struct set **set)
{
    for (uint32_t i = 0; i < n; i++) {
        set[i] = set_of(cache, table, key[place ? place[i] : i]);
        __builtin_prefetch(set[i], 1);
        __builtin_prefetch(&set[i]->until, 1);
    }
}

/* --- reading --------------------------------------------------------------------- */

static bool may_use(const struct set *set, uint32_t way, uint32_t now)
{
#ifdef MUTANT_CACHE_EXPIRY
    return true;
#endif
    return set->until[way] >= now;
}

static uint32_t staleness(const struct set *set, uint32_t way, uint32_t now)
{
    int64_t vintage = (int64_t)set->until[way] - set->lag[way];
    int64_t stale = (int64_t)now - 1 - vintage;

    if (stale < 0)
        return 0;
    return stale < STALENESS_BUCKETS ? (uint32_t)stale : STALENESS_BUCKETS - 1;
}

/* Finds what may be used: its way, or NOWHERE. Notes which stalenesses there are. */
static uint64_t choose(struct row_cache *cache, struct set *const *set, uint32_t table,
                       const uint64_t *key, uint32_t n, uint32_t now, uint32_t *way)
{
    uint64_t seen = 0;

    for (uint32_t i = 0; i < n; i++) {
        struct set *s = set[i];

        way[i] = find(s, table, key[i]);
        if (way[i] == NOWHERE)
            continue;
        s->used[way[i]] += s->used[way[i]] < USED_MAX;
        if (!may_use(s, way[i], now)) {
            way[i] = NOWHERE;
            continue;
        }
        __builtin_prefetch(row_at(cache, s, way[i]));
        seen |= 1ull << staleness(s, way[i], now);
    }
    return seen;
}

uint32_t row_cache_get(struct row_cache *cache, uint32_t table, const uint64_t *key,
                       uint32_t n, uint64_t clock, float *rows, uint32_t *missing)
{
    struct row_cache_counts *counts = &cache->counts[table];
    uint32_t width = cache->width[table], misses = 0, way[BLOCK], now;
    uint64_t seen = 0;
    struct set *set[BLOCK];

    if (clock > cache->base && clock - cache->base > CLOCKS_MAX)
        row_cache_clear(cache, clock - 1);
    now = relative(cache, clock);
    for (uint32_t first = 0; first < n; first += BLOCK) {
        uint32_t block = n - first < BLOCK ? n - first : BLOCK;

        find_sets(cache, table, key + first, NULL, block, set);
        seen |= choose(cache, set, table, key + first, block, now, way);
        for (uint32_t i = 0; i < block; i++)
            if (way[i] == NOWHERE)
                missing[misses++] = first + i;
            else
                memcpy(rows + (size_t)(first + i) * width,
                       row_at(cache, set[i], way[i]), width * sizeof *rows);
    }
    counts->reads += n;
    counts->hits += n - misses;
    for (; seen; seen &= seen - 1)
        counts->staleness[__builtin_ctzll(seen)]++;
    return misses;
}

/* --- keeping --------------------------------------------------------------------- */

/* Whom to replace first: who may not be used from clock `from` on; then who is least
 * used; then who is oldest. The way itself is in the lowest bits. */
static inline uint64_t rank_of(const struct set *set, uint32_t way, uint32_t from)
{
    return (uint64_t)(set->until[way] >= from) << RANK_ALIVE |
           (uint64_t)set->used[way] << RANK_USED | (uint64_t)set->until[way] << 3 | way;
}

/* A place for a new row, or NOWHERE. Rows that have only just become too old keep
 * theirs for now: when they are hot, this very batch brings them anew. */
static uint32_t make_room(struct set *set, uint32_t now)
{
    uint64_t first = rank_of(set, 0, now - 1);
    uint32_t way;

    for (uint32_t w = 1; w < WAYS; w++) {
        uint64_t rank = rank_of(set, w, now - 1);

        first = rank < first ? rank : first;
    }
    way = first % WAYS;
    if (first >> RANK_ALIVE == 0 || set->used[way] <= 1)
        return way;
    set->used[way]--;
    return NOWHERE;
}

static void count(struct row_cache *cache, uint32_t table, int rows)
{
    struct row_cache_counts *counts = &cache->counts[table];

    counts->rows += (uint64_t)rows;
    counts->bytes = counts->rows * row_bytes(cache);
}

/* The way in which to keep a row, or NOWHERE. */
static uint32_t admit(struct row_cache *cache, struct set *set, uint32_t table,
                      uint64_t key, uint32_t now, uint32_t until)
{
    uint32_t way = find(set, table, key);

    if (way != NOWHERE) /* a later answer may have come before this one */
        return set->until[way] <= until ? way : NOWHERE;
    way = make_room(set, now);
    if (way == NOWHERE)
        return NOWHERE;
    if (set->until[way])
        count(cache, set->table[way], -1);
    count(cache, table, 1);
    set->key[way] = key;
    set->table[way] = (uint8_t)table;
    set->used[way] = 1;
    return way;
}

void row_cache_put(struct row_cache *cache, uint32_t table, const uint64_t *key,
                   const uint32_t *place, uint32_t n, const float *rows,
                   const struct row_origin *origin)
{
    uint32_t now = relative(cache, origin->clock), until;
    uint32_t width = cache->width[table];
    struct set *set[BLOCK];
    uint64_t lag = origin->until - origin->vintage;

    until = relative(cache, origin->until);
    if (now == 0 || until <= now)
        return; /* no later batch could use them */
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = place ? place[i] : i, way;

        if (i % BLOCK == 0)
            find_sets(cache, table, place ? key : key + i, place ? place + i : NULL,
                      n - i < BLOCK ? n - i : BLOCK, set);
        way = admit(cache, set[i % BLOCK], table, key[at], now, until);
        if (way == NOWHERE)
            continue;
        set[i % BLOCK]->until[way] = until;
        set[i % BLOCK]->lag[way] = lag < UINT16_MAX ? (uint16_t)lag : UINT16_MAX;
        memcpy(row_at(cache, set[i % BLOCK], way), rows + (size_t)at * width,
               width * sizeof *rows);
    }
}

void row_cache_add(struct row_cache *cache, uint32_t table, const uint64_t *key,
                   uint32_t n, const float *difference)
{
    uint32_t width = cache->width[table];
    struct set *set[BLOCK];

    for (uint32_t i = 0; i < n; i++) {
        uint32_t way;
        float *row;

        if (i % BLOCK == 0)
            find_sets(cache, table, key + i, NULL, n - i < BLOCK ? n - i : BLOCK, set);
        way = find(set[i % BLOCK], table, key[i]);
        if (way == NOWHERE)
            continue;
        row = row_at(cache, set[i % BLOCK], way);
        for (uint32_t j = 0; j < width; j++)
            row[j] += difference[(size_t)i * width + j];
    }
}

const struct row_cache_counts *row_cache_counts(const struct row_cache *cache,
                                                uint32_t table)
{
    return &cache->counts[table];
}

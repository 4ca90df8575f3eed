#include "server/table_index.h"

#include <assert.h>
#include <stdatomic.h>

enum { REHASH_AHEAD = 4 }; /* buckets whose rows' keys are fetched ahead */

/* Stores before it are done before stores after it, as a process sees that maps the
 * region after this one was killed: on x86-64 the compiler's order is enough. */
static inline void write_order(void)
{
    atomic_thread_fence(memory_order_release);
}

static struct bucket *array_first(const struct table *table, array_ref array)
{
    return region_at(table->region, array_offset(array));
}

static array_ref array_none(const struct table *table)
{
    const unsigned char *none = (const unsigned char *)&table->root->none;

    return array_pack((uint64_t)(none - table->region->base), 1);
}

/* Rows at which a sub-table grows: 3/4 to 7/8 of its room, by slot; up to there few
 * rows miss their home. */
static uint32_t array_rows_grow(const struct table *table, uint32_t slot,
                                array_ref array)
{
    uint64_t room = (uint64_t)array_buckets(array) * BUCKET_ROWS;

    if (array == array_none(table))
        return 0;
    return (uint32_t)(room * (48 + mix64(slot) % 9) / 64);
}

/* Rows an array has room for at all. */
static uint32_t array_rows_max(const struct table *table, array_ref array)
{
    return array == array_none(table) ? 0 : array_buckets(array) * BUCKET_ROWS;
}

/* 0 without memory. */
static array_ref array_alloc(struct table *table, uint32_t buckets)
{
    uint64_t bytes = (uint64_t)buckets * sizeof(struct bucket), offset;

    if (buckets < PAGE_BUCKETS) {
        offset = pool_alloc(table, buckets);
    } else {
        offset = region_alloc(table->region, bytes);
        if (offset)
            table->root->array_bytes += bytes;
    }
    return offset ? array_pack(offset, buckets) : 0;
}

static void array_free(struct table *table, array_ref array)
{
    uint32_t buckets = array_buckets(array);

    if (array == array_none(table))
        return;
    if (buckets < PAGE_BUCKETS) {
        pool_free(table, array_offset(array), buckets);
        return;
    }
    table->root->array_bytes -= (uint64_t)buckets * sizeof(struct bucket);
    region_free(table->region, array_offset(array),
                (uint64_t)buckets * sizeof(struct bucket));
}

/* Enters a row into an array that has room. The tag comes last: it makes the entry. */
static void array_put(struct bucket *first, uint32_t buckets, uint64_t hash,
                      uint32_t number)
{
    uint32_t at = hash_home(hash, buckets), free, left = buckets;

    while (!(free = bucket_match(&first[at], 0))) {
        assert(left > 1);
        left--;
        first[at].passed++;
        at = at + 1 == buckets ? 0 : at + 1;
    }
    free = (uint32_t)__builtin_ctz(free);
    first[at].row[free] = number;
    write_order();
    first[at].tag[free] = hash_tag(hash);
}

/* Inlined by force: gcc drops calls of a function that does nothing but prefetch. */
static inline __attribute__((always_inline)) void
prefetch_keys(const struct table *table, const struct bucket *bucket)
{
    for (uint32_t i = 0; i < BUCKET_ROWS; i++)
        if (bucket->tag[i])
            __builtin_prefetch(table_block(table, bucket->row[i]));
}

/* Fills a new array from an old one. Hashes are not kept: the keys are read again. */
static void rehash(struct table *table, array_ref old, array_ref new)
{
    const struct bucket *from = array_first(table, old);
    struct bucket *to = array_first(table, new);
    uint32_t old_buckets = array_buckets(old), buckets = array_buckets(new);

    for (uint32_t i = 0; i < REHASH_AHEAD && i < old_buckets; i++)
        prefetch_keys(table, &from[i]);
    for (uint32_t i = 0; i < old_buckets; i++) {
        if (i + REHASH_AHEAD < old_buckets)
            prefetch_keys(table, &from[i + REHASH_AHEAD]);
        for (uint32_t j = 0; j < BUCKET_ROWS; j++) {
            uint32_t number = from[i].row[j];
            uint64_t key;

            if (!from[i].tag[j])
                continue;
            key = block_key(table_block(table, number));
            array_put(to, buckets, key_hash(table->spec.id, key), number);
        }
    }
}

static uint32_t next_buckets(uint32_t slot, uint32_t buckets)
{
    uint64_t pages = buckets / PAGE_BUCKETS, more;

    if (buckets < PAGE_BUCKETS)
        return pool_next_size(buckets);
    more = pages * (256 + (mix64((uint64_t)slot << 32 | pages) & 255)) / 1024;
    pages += more ? more : 1;
    return (uint32_t)(pages * PAGE_BUCKETS);
}

/* The old array stays the sub-table's until the new one is complete; one store makes
 * the exchange. `growth` tells index_settle() which of the two to free if this process
 * is killed on the way. */
static bool index_grow(struct table *table, uint32_t slot)
{
    struct table_root *root = table->root;
    array_ref none = array_none(table), old = root->array[slot];
    array_ref new = array_alloc(
        table, old == none ? 1 : next_buckets(slot, array_buckets(old)));

    if (!new)
        return false;
    root->growth.old = old;
    root->growth.slot = slot;
    write_order();
    root->growth.new = new;
    rehash(table, old, new);
    write_order();
    root->array[slot] = new;
    root->slot_rows_grow[slot] = array_rows_grow(table, slot, new);
    write_order();
    root->growth.new = 0;
    write_order();
    array_free(table, old);
    return true;
}

bool index_reserve(struct table *table, uint64_t hash)
{
    uint32_t slot = hash_slot(hash);
    const struct table_root *root = table->root;

    /* Without memory to grow it fills up. */
    return root->slot_rows[slot] < root->slot_rows_grow[slot] ||
           index_grow(table, slot) ||
           root->slot_rows[slot] < array_rows_max(table, root->array[slot]);
}

void index_put(struct table *table, uint64_t hash, uint32_t number)
{
    uint32_t slot = hash_slot(hash);
    array_ref array = table->root->array[slot];

    /* First: a killed process may have counted one too many, never too few. */
    table->root->slot_rows[slot]++;
    write_order();
    array_put(array_first(table, array), array_buckets(array), hash, number);
}

void index_format(struct table *table)
{
    for (uint32_t slot = 0; slot < TABLE_SLOTS; slot++)
        table->root->array[slot] = array_none(table);
}

void index_settle(struct table *table)
{
    struct table_root *root = table->root;
    array_ref new = root->growth.new;

    if (new) {
        array_ref now = root->array[root->growth.slot % TABLE_SLOTS];

        root->growth.new = 0;
        write_order();
        array_free(table, now == new ? root->growth.old : new);
    }
    root->array_bytes = 0;
    for (uint32_t slot = 0; slot < TABLE_SLOTS; slot++) {
        uint32_t buckets = array_buckets(root->array[slot]);

        root->slot_rows_grow[slot] = array_rows_grow(table, slot, root->array[slot]);
        if (buckets >= PAGE_BUCKETS)
            root->array_bytes += (uint64_t)buckets * sizeof(struct bucket);
    }
}

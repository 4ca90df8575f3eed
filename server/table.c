#include "server/table.h"

#include <assert.h>
#include <math.h>
#include <stdatomic.h>
#include <string.h>

#include "server/table_index.h"

static const uint64_t magic = 0x31656c626174; /* "table1" */

enum {
    AHEAD = 32,      /* keys between the steps of a look-up */
    RING = 64,       /* look-ups under way between two steps; more than AHEAD */
    LOOKUP = 1024,   /* keys of a look-up */
    LATE = 64,       /* of them, those looked at again at a time */
    MAKE_KEYS = 256, /* looked up at a time before missing rows are made */
    SLAB_ROWS_MIN = 8,
};

/* --- making a table -------------------------------------------------------------- */

static struct init_rule spec_rule(const struct table_spec *spec)
{
    struct init_rule rule = {.kind = spec->init,
                             .scale = spec->scale,
                             .seed = spec->seed,
                             .table = spec->id,
                             .dim = spec->dim,
                             .width = spec->width};
    double dim = spec->dim ? spec->dim : 1;

    if (spec->init == INIT_XAVIER) { /* Glorot, Bengio 2010: dim in, dim out */
        rule.kind = INIT_UNIFORM;
        rule.scale = (float)sqrt(3 / dim);
    }
    if (spec->init == INIT_HE) { /* He, Zhang, Ren, Sun 2015 */
        rule.kind = INIT_NORMAL;
        rule.scale = (float)sqrt(2 / dim);
    }
    return rule;
}

static int spec_check(const struct table_spec *spec, struct err *err)
{
    if (spec->width == 0 || spec->width > TABLE_FLOATS_MAX || spec->dim > spec->width ||
        spec->state_width > TABLE_FLOATS_MAX - spec->width)
        return err_set(err, ERR_INPUT,
                       "a row with %u embedding columns of %u columns and %u floats of "
                       "state is not possible: at most %d floats in all",
                       spec->dim, spec->width, spec->state_width, TABLE_FLOATS_MAX);
    if (spec->init < INIT_ZERO || spec->init > INIT_HE)
        return err_set(err, ERR_INPUT, "initialiser number %d is unknown", spec->init);
    if (spec->rows &&
        (spec->first > spec->end || spec->end > spec->rows || spec->rows > UINT32_MAX))
        return err_set(err, ERR_INPUT,
                       "rows %llu to %llu of %llu are not possible: a dense table has "
                       "at most 2^32 - 1",
                       (unsigned long long)spec->first, (unsigned long long)spec->end,
                       (unsigned long long)spec->rows);
    if (!isfinite(spec->scale) || !isfinite(spec->state_initial))
        return err_set(err, ERR_INPUT, "a first value is not a finite number");
    return 0;
}

static uint64_t round_up(uint64_t bytes)
{
    return (bytes + REGION_PAGE - 1) & ~(uint64_t)(REGION_PAGE - 1);
}

/* Without a key a block need not begin at a multiple of 8. */
uint32_t table_row_bytes(const struct table_spec *spec)
{
    uint32_t floats = spec->width + spec->state_width;

    if (spec->rows)
        return floats * (uint32_t)sizeof(float);
    return (uint32_t)(sizeof(uint64_t) + (floats + floats % 2) * sizeof(float));
}

/* Slabs are huge pages, less in a small region so that its cap is not all in one slab.
 */
static void root_layout(struct table_root *root, const struct region *region)
{
    const struct table_spec *spec = &root->spec;
    uint64_t most = spec->rows ? spec->end - spec->first : spec->rows_max, slab, slabs;

    root->stride = table_row_bytes(spec);
    slab = region->bytes_max / 32 & ~(uint64_t)(REGION_PAGE - 1);
    if (slab > REGION_CHUNK)
        slab = REGION_CHUNK;
    if (most && slab > round_up(most * root->stride))
        slab = round_up(most * root->stride);
    if (slab < round_up((uint64_t)root->stride * SLAB_ROWS_MIN))
        slab = round_up((uint64_t)root->stride * SLAB_ROWS_MIN);
    root->slab_bytes = slab;
    root->slab_rows = (uint32_t)(slab / root->stride);
    slabs = region->bytes_max / slab;
    root->rows_most = UINT32_MAX;
    if (root->rows_most > slabs * root->slab_rows)
        root->rows_most = slabs * root->slab_rows;
    if ((spec->rows || most) && root->rows_most > most)
        root->rows_most = most;
    root->rows_limit = root->rows_most;
    if (spec->rows_max && root->rows_limit > spec->rows_share)
        root->rows_limit = spec->rows_share;
    root->slabs_max = root->rows_most / root->slab_rows + 1;
}

/* Fills in the handle from the root. */
static void table_attach(struct table *table, struct region *region, uint64_t offset)
{
    struct table_root *root = region_at(region, offset);

    *table = (struct table){
        .region = region,
        .spec = root->spec,
        .root = root,
        .base = region->base,
        .array = root->array,
        .slab = region_at(region, root->slab_list),
        .slab_divide = UINT64_MAX / root->slab_rows + 1,
        .slab_rows = root->slab_rows,
        .stride = root->stride,
        .rule = spec_rule(&root->spec),
        .init = init_row_at(cpu_level()),
    };
}

/* Makes what is not there yet of a dense table's rows. */
static int rows_complete(struct table *table, struct err *err)
{
    const struct table_spec *spec = &table->spec;

    if (!spec->rows ||
        (table->root->rows_most == spec->end - spec->first && dense_make(table) == 0))
        return 0;
    return err_set(err, ERR_MEMORY,
                   "the region's %llu bytes are too few for rows %llu to %llu of %u "
                   "bytes: %llu are in use",
                   (unsigned long long)table->region->bytes_max,
                   (unsigned long long)spec->first, (unsigned long long)spec->end - 1,
                   table->stride, (unsigned long long)region_used(table->region));
}

int table_create(struct table *table, struct region *region, uint32_t root_index,
                 const struct table_spec *spec, struct err *err)
{
    uint64_t offset, list;
    struct table_root *root;
    int rc = spec_check(spec, err);

    if (rc)
        return rc;
    offset = region_alloc(region, sizeof *root);
    if (!offset)
        goto full;
    root = region_at(region, offset);
    root->spec = *spec;
    root_layout(root, region);
    list = region_alloc(region, root->slabs_max * sizeof(uint64_t));
    if (!list) {
        region_free(region, offset, sizeof *root);
        goto full;
    }
    root->slab_list = list;
    table_attach(table, region, offset);
    index_format(table);
    root->magic = magic;
    region_set_root(region, root_index, offset);
    return rows_complete(table, err);
full:
    return err_set(err, ERR_MEMORY,
                   "the region's %llu bytes are too few: %llu are in use, and a table "
                   "without rows takes %zu more",
                   (unsigned long long)region->bytes_max,
                   (unsigned long long)region_used(region), sizeof *root + REGION_PAGE);
}

/* --- opening one ----------------------------------------------------------------- */

static int spec_compare(const struct table_spec *is, const struct table_spec *want,
                        struct err *err)
{
    const struct {
        const char *name;
        double is, want;
        bool same;
    } field[] = {
        {"id", is->id, want->id, is->id == want->id},
        {"dim", is->dim, want->dim, is->dim == want->dim},
        {"width", is->width, want->width, is->width == want->width},
        {"state_width", is->state_width, want->state_width,
         is->state_width == want->state_width},
        {"state_initial", is->state_initial, want->state_initial,
         is->state_initial == want->state_initial},
        {"init", is->init, want->init, is->init == want->init},
        {"scale", is->scale, want->scale, is->scale == want->scale},
        {"seed", (double)is->seed, (double)want->seed, is->seed == want->seed},
        {"rows_max", (double)is->rows_max, (double)want->rows_max,
         is->rows_max == want->rows_max},
        {"rows_share", (double)is->rows_share, (double)want->rows_share,
         is->rows_share == want->rows_share},
        {"rows", (double)is->rows, (double)want->rows, is->rows == want->rows},
        {"first", (double)is->first, (double)want->first, is->first == want->first},
        {"end", (double)is->end, (double)want->end, is->end == want->end},
    };

    for (size_t i = 0; i < sizeof field / sizeof field[0]; i++)
        if (!field[i].same)
            return err_set(err, ERR_INPUT,
                           "the table was made with %s = %.17g, now it is %.17g",
                           field[i].name, field[i].is, field[i].want);
    return 0;
}

/* The last row was written and counted; was it entered? If not, it is made again when
 * its key is asked for. */
static void rows_settle(struct table *table)
{
    struct table_root *root = table->root;
    uint64_t key;
    float *last, *found;

    if (!root->rows || root->spec.rows)
        return;
    last = table_row(table, root->rows - 1, &key);
    table_find(table, &key, 1, &found);
#ifndef MUTANT_ROW_SETTLE
    if (found != last)
        root->rows--;
#endif
}

int table_open(struct table *table, struct region *region, uint32_t root_index,
               const struct table_spec *spec, struct err *err)
{
    uint64_t offset = region_root(region, root_index);
    const struct table_root *root = region_at(region, offset);
    int rc;

    if (!offset || offset % REGION_PAGE || offset > region->size - sizeof *root ||
        root->magic != magic)
        return err_set(err, ERR_DAMAGE, "the region has no table under root %u",
                       root_index);
    rc = spec_compare(&root->spec, spec, err);
    if (rc)
        return rc;
    if (root->slab_rows < SLAB_ROWS_MIN || root->rows > root->rows_limit ||
        root->rows_limit > root->rows_most ||
        root->slab_list > region->size - root->slabs_max * sizeof(uint64_t))
        return err_set(err, ERR_DAMAGE, "the table under root %u contradicts itself",
                       root_index);
    table_attach(table, region, offset);
    index_settle(table);
    rows_settle(table);
    return rows_complete(table, err);
}

/* --- look-ups -------------------------------------------------------------------- */

static inline float *block_weights(unsigned char *block)
{
    return block ? (float *)(block + sizeof(uint64_t)) : NULL;
}

/* Where the results of a look-up go: pointers, or copies. */
struct results {
    float **row; /* NULL = copies */
    float *values;
    unsigned char *found;
};

static inline void result_put(const struct table *table, const struct results *results,
                              uint32_t i, unsigned char *block)
{
    uint32_t width = table->spec.width;

    if (results->row) {
        results->row[i] = block_weights(block);
        return;
    }
    results->found[i] = block != NULL; /* NOLINT: without row there is found */
    if (block)
        memcpy(results->values + (size_t)i * width, block_weights(block),
               width * sizeof(float));
    else
        memset(results->values + (size_t)i * width, 0, width * sizeof(float));
}

/* The keys that the quick way did not decide: their home is full and was passed, or
 * another key has the same tag. About one in twelve. */
static void look_again(const struct table *table, const uint64_t *key,
                       const uint16_t *late, uint32_t n, const struct results *results)
{
    struct probe probe[LATE];

    for (uint32_t i = 0; i < n; i++) {
        probe_begin(&probe[i], table, key_hash(table->spec.id, key_at(key, late[i])));
        for (uint32_t match = probe[i].match; match; match &= match - 1) {
            uint32_t entry = (uint32_t)__builtin_ctz(match);

            prefetch_block(table_block(table, probe[i].first[probe[i].at].row[entry]),
                           table->stride);
        }
    }
    for (uint32_t i = 0; i < n; i++)
        result_put(table, results, late[i],
                   probe_verify(&probe[i], table, key_at(key, late[i])));
}

/* Looks up n <= LOOKUP keys in three steps, `ahead` keys from one to the next, so that
 * their cache misses overlap: fetch the home bucket; fetch the row that its first equal
 * tag points to; compare the key there. */
static inline __attribute__((always_inline)) void look_up(const struct table *shared,
                                                          const uint64_t *key,
                                                          uint32_t n,
                                                          const struct results *results)
{
    const struct table table = *shared; /* so that stores to rows cannot change it */
    uint32_t ahead = n < AHEAD ? n : AHEAD, lates = 0;
    const struct bucket *home[RING];
    unsigned char *block[RING];
    uint8_t tag[RING];
    uint16_t late[LOOKUP];

    for (uint32_t step = 0; step < n + 2 * ahead; step++) {
        if (step < n) {
            uint64_t hash = key_hash(table.spec.id, key_at(key, step));

            home[step % RING] = index_home(&table, hash);
            tag[step % RING] = hash_tag(hash);
            __builtin_prefetch(home[step % RING]);
        }
        if (step >= ahead && step - ahead < n) {
            uint32_t i = step - ahead;
            const struct bucket *bucket = home[i % RING];
            uint32_t match = bucket_match(bucket, tag[i % RING]);

            block[i % RING] = NULL;
            if (__builtin_expect(match != 0, 1)) {
                block[i % RING] = table_block(&table,
                                              bucket->row[__builtin_ctz(match)]);
                prefetch_block(block[i % RING], table.stride);
            } else if (bucket->passed) {
                __builtin_prefetch(bucket + 1);
                late[lates++] = (uint16_t)i;
            } else {
                result_put(&table, results, i, NULL);
            }
        }
        if (step >= 2 * ahead) {
            uint32_t i = step - 2 * ahead;

            if (!block[i % RING])
                continue;
            if (__builtin_expect(block_key(block[i % RING]) == key_at(key, i), 1))
                result_put(&table, results, i, block[i % RING]);
            else
                late[lates++] = (uint16_t)i;
        }
    }
    for (uint32_t i = 0; i < lates; i += LATE)
        look_again(shared, key, late + i, lates - i < LATE ? lates - i : LATE, results);
}

void table_find(const struct table *table, const uint64_t *key, uint32_t n, float **row)
{
    if (table->spec.rows) {
        dense_find(table, key, n, row);
        return;
    }
    for (uint32_t first = 0, count; first < n; first += count) {
        count = n - first < LOOKUP ? n - first : LOOKUP;
        look_up(table, key + first, count, &(struct results){.row = row + first});
    }
}

void table_copy(const struct table *table, const uint64_t *key, uint32_t n,
                float *values, unsigned char *found)
{
    if (table->spec.rows) {
        dense_copy(table, key, n, values, found);
        return;
    }
    for (uint32_t first = 0, count; first < n; first += count) {
        count = n - first < LOOKUP ? n - first : LOOKUP;
        look_up(table, key + first, count,
                &(struct results){.values = values + (size_t)first * table->spec.width,
                                  .found = found + first});
    }
}

unsigned char *block_reserve(struct table *table, uint32_t number)
{
    struct table_root *root = table->root;
    uint64_t slab = root->slabs;

    if (number / table->slab_rows == slab) {
        if (!table->slab[slab])
            table->slab[slab] = region_alloc(table->region, root->slab_bytes);
        if (!table->slab[slab])
            return NULL;
        __atomic_store_n(&root->slabs, slab + 1, __ATOMIC_RELEASE);
    }
    return table_block(table, number);
}

/* Writes the row, counts it, enters it: in this order (see table.h). */
static float *row_make(struct table *table, uint64_t key, uint64_t hash)
{
    struct table_root *root = table->root;
    uint32_t number = (uint32_t)root->rows;
    unsigned char *block;
    float *weights;

#ifndef MUTANT_ROWS_MAX
    if (root->rows >= root->rows_limit)
        return NULL;
#endif
    if (!index_reserve(table, hash))
        return NULL;
    block = block_reserve(table, number);
    if (!block)
        return NULL;
    weights = block_weights(block);
    memcpy(block, &key, sizeof key);
    table->init(&table->rule, key, weights);
    for (uint32_t i = 0; i < table->spec.state_width; i++)
        weights[table->spec.width + i] = table->spec.state_initial;
    atomic_thread_fence(memory_order_release);
    root->rows = (uint64_t)number + 1;
    atomic_thread_fence(memory_order_release);
    index_put(table, hash, number);
    return weights;
}

int table_find_or_make(struct table *table, const uint64_t *key, uint32_t n,
                       float **row)
{
    int rc = 0;

    if (table->spec.rows)
        return dense_find(table, key, n, row);
    for (uint32_t first = 0, count; first < n; first += count) {
        count = n - first < MAKE_KEYS ? n - first : MAKE_KEYS;
        table_find(table, key + first, count, row + first);
        for (uint32_t i = first; i < first + count; i++) {
            struct probe probe;
            uint64_t hash;

            if (row[i])
                continue;
            /* Again: the key may have come up earlier in this batch. */
            hash = key_hash(table->spec.id, key_at(key, i));
            probe_begin(&probe, table, hash);
            row[i] = block_weights(probe_verify(&probe, table, key_at(key, i)));
            if (!row[i])
                row[i] = row_make(table, key_at(key, i), hash);
            if (!row[i])
                rc = -ERR_MEMORY;
        }
    }
    return rc;
}

/* First out of the index, so that none is found there that is not counted. */
void table_clear(struct table *table)
{
    struct table_root *root = table->root;

    if (root->spec.rows || root->rows == 0)
        return;
    for (uint32_t slot = 0; slot < TABLE_SLOTS; slot++) {
        array_ref array = root->array[slot];

        memset(table->base + array_offset(array), 0,
               array_buckets(array) * sizeof(struct bucket));
        root->slot_rows[slot] = 0;
    }
    atomic_thread_fence(memory_order_release);
    root->rows = 0;
}

/* --- iteration and facts --------------------------------------------------------- */

uint64_t table_rows(const struct table *table)
{
    return table->root->rows;
}

void table_set_limit(struct table *table, uint64_t rows)
{
    struct table_root *root = table->root;

    if (rows > root->rows_most)
        rows = root->rows_most;
    root->rows_limit = rows > root->rows ? rows : root->rows;
}

bool table_at_limit(const struct table *table)
{
    return table->root->rows >= table->root->rows_limit;
}

float *table_row(const struct table *table, uint64_t number, uint64_t *key)
{
    unsigned char *block;

    assert(number < table->root->rows);
    block = table_block(table, (uint32_t)number);
    if (key)
        *key = table->spec.rows ? table->spec.first + number : block_key(block);
    return table->spec.rows ? (float *)block : block_weights(block);
}

uint64_t table_bytes(const struct table *table)
{
    const struct table_root *root = table->root;

    return round_up(sizeof *root) + round_up(root->slabs_max * sizeof(uint64_t)) +
           root->slabs * root->slab_bytes + root->array_bytes +
           root->pool_pages * REGION_PAGE;
}

void *table_full_slab(const struct table *table, uint64_t number, uint64_t *bytes)
{
    const struct table_root *root = table->root;

    if (number + 1 >= __atomic_load_n(&root->slabs, __ATOMIC_ACQUIRE))
        return NULL;
    *bytes = root->slab_bytes;
    return table->base + table->slab[number];
}

void table_first_values(const struct table_spec *spec, uint64_t key, float *weights)
{
    struct init_rule rule = spec_rule(spec);

    init_row_at(cpu_level())(&rule, key, weights);
}

/* From a loaded block of a packed file to examples in memory. */
#include <math.h>
#include <stdio.h>

#include "common/wording.h"
#include "worker/stream/packed/packed_read.h"

/* --- matching ------------------------------------------------------------------ */

static const char *const kind_names[] = {"a key",    "keys", "a number",
                                         "a vector", "text", "a time"};

/* Adds the nearest name and all that are there to the sentence. */
static void name_columns(const struct packed *packed, const char *missing,
                         struct err *err)
{
    const struct schema *schema = &packed->schema;
    size_t best = strlen(missing) / 2 + 1, used = strlen(err->text);
    char shown[WORDING_SHOWN_MAX];
    const char *nearest = NULL;

    for (uint32_t c = 0; c < schema->columns; c++) {
        size_t distance = wording_distance(missing, schema->column[c].name);

        if (distance < best) {
            best = distance;
            nearest = schema->column[c].name;
        }
    }
    used += (size_t)snprintf(err->text + used, sizeof err->text - used, "%s%s%s",
                             nearest ? " (did you mean " : "",
                             nearest ? wording_shown(nearest, shown) : "",
                             nearest ? "?)" : "");
    for (uint32_t c = 0; c < schema->columns; c++) {
        if (used + WORDING_SHOWN_MAX + 32 > sizeof err->text)
            break;
        used += (size_t)snprintf(err->text + used, sizeof err->text - used, "%s%s",
                                 c == 0 ? "; its columns are " : ", ",
                                 wording_shown(schema->column[c].name, shown));
    }
}

static int check_match(const struct packed *packed, const struct schema_column *have,
                       const struct schema_column *want, struct err *err)
{
    if (have->kind != want->kind)
        return err_set(err, ERR_INPUT,
                       "%.400s: column %s was packed as %s, wanted as %s", packed->path,
                       want->name, kind_names[have->kind], kind_names[want->kind]);
    if (have->dim != want->dim)
        return err_set(err, ERR_INPUT,
                       "%.400s: column %s has vectors of %u numbers, wanted are %u",
                       packed->path, want->name, have->dim, want->dim);
    if (want->kind == VALUE_KEY && want->keep_text && !have->keep_text)
        return err_set(err, ERR_INPUT,
                       "%.400s: column %s was packed without its texts (rowhouse pack "
                       "--texts keeps them)",
                       packed->path, want->name);
    return 0;
}

int packed_match(const struct packed *packed, const struct schema *wanted,
                 struct packed_columns *columns, struct err *err)
{
    for (uint32_t c = 0; c < wanted->columns; c++) {
        const struct schema_column *want = &wanted->column[c];
        int place = schema_find(&packed->schema, want->name);

        columns->place[c] = place;
        if (want->unread) /* whoever looks for it will not look at it */
            columns->place[c] = place = SCHEMA_NONE;
        if (place == SCHEMA_NONE && !want->optional && !want->unread) {
            err_set(err, ERR_INPUT, "%.400s has no column %s", packed->path,
                    want->name);
            name_columns(packed, want->name, err);
            return -err->code;
        }
        if (place != SCHEMA_NONE &&
            check_match(packed, &packed->schema.column[place], want, err))
            return -err->code;
    }
    return 0;
}

/* --- the runs of a column ------------------------------------------------------ */

/* Those that a column's kind has; the others stay zeroed. */
struct column_runs {
    struct run missing, values, lengths, weights, text;
};

/* Where decoding stands: a column of the file on its way to one of a block. */
struct decoding {
    struct packed *packed;
    struct block *block;
    const struct schema_column *have, *want;
    struct values *to;
    uint32_t from, n;        /* examples of the loaded block; they go behind block->n */
    const unsigned char *at; /* the next run */
    size_t left;
    struct err *err;
};

static int bad_column(const struct decoding *d, const char *fault)
{
    const struct packed *packed = d->packed;

    return packed_damaged(packed, d->err, "block %llu at offset %llu: column %s: %s",
                          (unsigned long long)packed->loaded,
                          (unsigned long long)packed->index[packed->loaded].offset,
                          d->have->name, fault);
}

/* "FILE example 17, column user: ..." */
static int bad_example(const struct decoding *d, uint32_t i, const char *fault)
{
    return err_set(
        d->err, ERR_INPUT, "%.400s example %llu, column %s: %s", d->packed->path,
        (unsigned long long)(d->packed->index[d->packed->loaded].first + d->from + i),
        d->have->name, fault);
}

static int next_run(struct decoding *d, enum run_kind kind, uint32_t n, struct run *run)
{
    const char *fault = run_parse(d->at, d->left, kind, n, run);

    if (fault)
        return bad_column(d, fault);
    d->at += run->bytes;
    d->left -= run->bytes;
    return 0;
}

static int parse_runs(struct decoding *d, struct column_runs *runs)
{
    uint32_t n = packed_loaded_examples(d->packed), kind = d->have->kind;
    int rc = 0;

    *runs = (struct column_runs){0};
    if (column_may_miss(d->have))
        rc = next_run(d, RUN_INTEGERS, n, &runs->missing);
    if (rc == 0 && (kind == VALUE_KEY || kind == VALUE_TIME))
        rc = next_run(d, RUN_INTEGERS, n, &runs->values);
    if (rc == 0 && kind == VALUE_NUMBER)
        rc = next_run(d, RUN_FLOATS, n, &runs->values);
    if (rc == 0 && kind == VALUE_VECTOR)
        rc = next_run(d, RUN_FLOATS, n * d->have->dim, &runs->values);
    if (rc == 0 && (kind == VALUE_KEYS || column_has_text(d->have)))
        rc = next_run(d, RUN_INTEGERS, n, &runs->lengths);
    if (rc == 0 && kind == VALUE_KEYS)
        rc = next_run(d, RUN_INTEGERS, UINT32_MAX, &runs->values);
    if (rc == 0 && kind == VALUE_KEYS)
        rc = next_run(d, RUN_FLOATS, runs->values.n, &runs->weights);
    if (rc == 0 && column_has_text(d->have))
        rc = next_run(d, RUN_BYTES, UINT32_MAX, &runs->text);
    if (rc == 0 && d->left)
        rc = bad_column(d, "there are bytes behind its values");
    return rc;
}

/* --- values -------------------------------------------------------------------- */

/* Calls for each example that lacks a value put(d, i); if nothing may be missing, the
 * first is an error. */
static int get_missing(struct decoding *d, const struct run *run,
                       void (*put)(struct decoding *d, uint32_t i))
{
    uint64_t *missing = d->packed->number;

    if (!run->bytes || (run->encoding == RUN_STEPS && run->width == 0 && !run->base))
        return 0;
    run_get_integers(run, d->from, d->n, missing);
    for (uint32_t i = 0; i < d->n; i++) {
        if (!missing[i])
            continue;
        if (!d->want->may_miss)
            return bad_example(d, i, "there is no value");
        put(d, d->block->n + i);
    }
    return 0;
}

static void miss_key(struct decoding *d, uint32_t i)
{
    if (d->to->missing)
        d->to->missing[i] = 1;
    d->to->key[i] = 0;
}

static void miss_number(struct decoding *d, uint32_t i)
{
    d->to->number[i] = NAN;
}

static void miss_time(struct decoding *d, uint32_t i)
{
    d->to->time[i] = TIME_MISSING;
}

/* Are the keys those of a dense table's rows? */
static int check_rows(const struct decoding *d, const uint64_t *key, uint32_t n)
{
    uint64_t rows = d->want->rows;
    char fault[160];

    for (uint32_t i = 0; rows && i < n; i++) {
        if (key[i] < rows)
            continue;
        snprintf(fault, sizeof fault, "the key %llu is no row of table %s (0 to %llu)",
                 (unsigned long long)key[i], d->want->table,
                 (unsigned long long)rows - 1);
        return bad_example(d, d->want->kind == VALUE_KEY ? i : 0, fault);
    }
    return 0;
}

static bool run_is_finite(const struct run *run, const float *value, uint32_t n,
                          bool missing)
{
    if (run->encoding == RUN_STEPS)
        return true;
    if (run->encoding == RUN_TABLE) { /* which is shorter */
        value = (const void *)run->table;
        n = run->entries;
    }
    return !packed_kernels()->not_finite(value, n, missing);
}

/* Puts the offsets of n ragged values behind those of the block. *before: what the
 * examples before `from` have. */
static int get_lengths(struct decoding *d, const struct run *lengths, uint32_t all,
                       uint32_t *before)
{
    uint32_t *offset = d->to->offset + d->block->n, examples = lengths->n;
    uint64_t *length = d->packed->number, sum = 0;

    run_get_integers(lengths, 0, examples, length);
    for (uint32_t i = 0; i < examples && sum <= all; i++) {
        if (i == d->from)
            *before = (uint32_t)sum;
        sum += length[i] > all ? (uint64_t)all + 1 : length[i];
        if (i >= d->from && i - d->from < d->n && sum <= all)
            offset[i - d->from + 1] = offset[0] + (uint32_t)(sum - *before);
    }
    return sum == all ? 0 : bad_column(d, "its lengths do not add up to its values");
}

static int get_text(struct decoding *d, const struct column_runs *runs)
{
    uint32_t n = d->block->n, c = (uint32_t)(d->to - d->block->column), before = 0,
             bytes;

    if (get_lengths(d, &runs->lengths, runs->text.n, &before))
        return -d->err->code;
    bytes = d->to->offset[n + d->n] - d->to->offset[n];
    if (bytes == 0)
        return 0;
    if (block_text_room(d->block, c, bytes, d->err))
        return -d->err->code;
    run_get_bytes(&runs->text, before, bytes, d->to->text + d->to->offset[n]);
    return 0;
}

static int get_keys(struct decoding *d, const struct column_runs *runs)
{
    uint32_t n = d->block->n, c = (uint32_t)(d->to - d->block->column), before = 0,
             keys;
    uint64_t *key;
    float *weight;

    if (get_lengths(d, &runs->lengths, runs->values.n, &before))
        return -d->err->code;
    keys = d->to->offset[n + d->n] - d->to->offset[n];
    if (keys == 0) /* and perhaps no array yet */
        return 0;
    if (block_key_room(d->block, c, keys, d->err))
        return -d->err->code;
    key = d->to->key + d->to->offset[n];
    weight = d->to->number + d->to->offset[n];
    run_get_integers(&runs->values, before, keys, key);
    run_get_floats(&runs->weights, before, keys, weight);
    if (!run_is_finite(&runs->weights, weight, keys, false))
        return bad_column(d, "a weight is not a finite number");
    return check_rows(d, key, keys);
}

static int get_key(struct decoding *d, const struct column_runs *runs)
{
    uint64_t *key = d->to->key + d->block->n;

    run_get_integers(&runs->values, d->from, d->n, key);
    if (d->to->missing)
        memset(d->to->missing + d->block->n, 0, d->n);
    if (get_missing(d, &runs->missing, miss_key) || check_rows(d, key, d->n))
        return -d->err->code;
    return d->want->keep_text ? get_text(d, runs) : 0;
}

/* A vector that was packed with gaps, wanted without: bad input, no damage. */
static int not_finite(const struct decoding *d, const struct run *run,
                      const float *number, uint32_t dim)
{
    if (d->want->kind != VALUE_VECTOR || !run_is_finite(run, number, d->n * dim, true))
        return bad_column(d, "a number is not finite");
    for (uint32_t i = 0; i < d->n * dim; i++)
        if (isnan(number[i]))
            return bad_example(d, i / dim, "there is no value");
    return 0; /* it is in another part of the block */
}

static int get_numbers(struct decoding *d, const struct column_runs *runs)
{
    bool vector = d->want->kind == VALUE_VECTOR;
    uint32_t dim = vector ? d->want->dim : 1;
    float *number = d->to->number + (size_t)d->block->n * dim;

    run_get_floats(&runs->values, d->from * dim, d->n * dim, number);
    if (!run_is_finite(&runs->values, number, d->n * dim, vector && d->want->may_miss))
        return not_finite(d, &runs->values, number, dim);
    return get_missing(d, &runs->missing, miss_number);
}

static int get_times(struct decoding *d, const struct column_runs *runs)
{
    run_get_integers(&runs->values, d->from, d->n,
                     (uint64_t *)(void *)(d->to->time + d->block->n));
    return get_missing(d, &runs->missing, miss_time);
}

static int get_column(struct decoding *d)
{
    struct column_runs runs;

    if (parse_runs(d, &runs))
        return -d->err->code;
    switch ((enum value_kind)d->want->kind) {
    case VALUE_KEY:
        return get_key(d, &runs);
    case VALUE_KEYS:
        return get_keys(d, &runs);
    case VALUE_NUMBER:
    case VALUE_VECTOR:
        return get_numbers(d, &runs);
    case VALUE_TIME:
        return get_times(d, &runs);
    default:
        return get_text(d, &runs);
    }
}

/* A column that the file does not have: missing everywhere. */
static void put_absent(struct decoding *d)
{
    uint32_t first = d->block->n;
    size_t dim = d->want->kind == VALUE_VECTOR ? d->want->dim : 1;

    if (d->to->key && d->want->kind == VALUE_KEY)
        memset(d->to->key + first, 0, d->n * sizeof *d->to->key);
    if (d->to->missing)
        memset(d->to->missing + first, 1, d->n);
    for (size_t i = first * dim;
         d->to->number && d->want->kind != VALUE_KEYS && i < (first + d->n) * dim; i++)
        d->to->number[i] = NAN;
    for (uint32_t i = 0; d->to->time && i < d->n; i++)
        d->to->time[first + i] = TIME_MISSING;
    for (uint32_t i = 0; d->to->offset && i < d->n; i++)
        d->to->offset[first + i + 1] = d->to->offset[first];
}

int packed_decode(struct packed *packed, const struct packed_columns *columns,
                  uint32_t from, struct block *block, struct err *err)
{
    uint32_t room = block->capacity - block->n;
    uint32_t n = packed_loaded_examples(packed) - from;
    uint64_t first = packed->index[packed->loaded].first + from;

    if (n > room)
        n = room;
    for (uint32_t c = 0; c < block->schema->columns; c++) {
        struct decoding d = {.packed = packed,
                             .block = block,
                             .want = &block->schema->column[c],
                             .to = &block->column[c],
                             .from = from,
                             .n = n,
                             .err = err};
        int place = columns->place[c];
        const unsigned char *entry = packed->bytes + BLOCK_HEADER_BYTES +
                                     (size_t)(place < 0 ? 0 : place) *
                                         BLOCK_COLUMN_BYTES;

        if (place < 0) {
            put_absent(&d);
            continue;
        }
        d.have = &packed->schema.column[place];
        d.at = packed->bytes + get32(entry);
        d.left = get32(entry + 4);
        if (get_column(&d))
            return -err->code;
    }
    for (uint32_t i = 0; i < n; i++)
        block->place[block->n + i] = first + i;
    block->n += n;
    return 0;
}

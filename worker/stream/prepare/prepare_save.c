/* A preparation as bytes, and back (docs/preparation.md has the format):
 *
 *   magic, format, training examples, columns
 *   each column: name, steps as text, size of what follows, what was fitted
 *   checksum of all that */
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "worker/stream/prepare/prepare_state.h"

enum { MAGIC_BYTES = 8, CHECKSUM_BYTES = 8, FORMAT = 1 };

static const unsigned char prepare_magic[MAGIC_BYTES] = {0xD2, 'R',  'H',  'P',
                                                         'R',  '\r', '\n', 0x1A};

/* --- writing --------------------------------------------------------------------- */

struct writer {
    unsigned char *bytes;
    size_t used, room;
    bool failed; /* no memory */
};

static void put(struct writer *w, const void *data, size_t size)
{
    if (w->used + size > w->room) {
        size_t room = 2 * (w->used + size) + 256;
        unsigned char *larger = w->failed ? NULL : realloc(w->bytes, room);

        if (!larger) {
            w->failed = true;
            return;
        }
        w->bytes = larger;
        w->room = room;
    }
    if (size)
        memcpy(w->bytes + w->used, data, size);
    w->used += size;
}

static void put_u32(struct writer *w, uint32_t value)
{
    put(w, &value, sizeof value);
}

static void put_u64(struct writer *w, uint64_t value)
{
    put(w, &value, sizeof value);
}

static void put_f64(struct writer *w, double value)
{
    put(w, &value, sizeof value);
}

static void put_text(struct writer *w, const char *text)
{
    put_u32(w, (uint32_t)strlen(text));
    put(w, text, strlen(text));
}

/* Seven bits a byte, the lowest first. */
static void put_varint(struct writer *w, uint64_t value)
{
    unsigned char bytes[10];
    size_t n = 0;

    for (; value >= 0x80; value >>= 7)
        bytes[n++] = (unsigned char)(value | 0x80);
    bytes[n++] = (unsigned char)value;
    put(w, bytes, n);
}

/* A difference, in which small ones of both signs are short. */
static void put_change(struct writer *w, uint64_t change)
{
    put_varint(w, change << 1 ^ (0 - (change >> 63)));
}

static void put_numbers(struct writer *w, const struct prepare_numbers *numbers)
{
    put_f64(w, numbers->fill);
    put_f64(w, numbers->low);
    put_f64(w, numbers->high);
    put_f64(w, numbers->center);
    put_f64(w, numbers->factor);
    put_u32(w, numbers->edges);
    for (uint32_t i = 0; i < numbers->edges; i++)
        put_f64(w, numbers->edge[i]);
}

static void put_keys(struct writer *w, const struct prepare_column *column)
{
    uint64_t before = 0;

    put_u64(w, column->fill_key);
    put_u32(w, column->known.keys);
    for (uint32_t id = 0; id < column->known.keys; id++) {
        put_change(w, column->known.key[id] - before);
        before = column->known.key[id];
        if (column->documents)
            put_varint(w, column->documents[id]);
    }
}

static void put_items(struct writer *w, const struct prepare_column *column)
{
    struct prepare_item before = {0};

    put_u64(w, column->items);
    for (uint64_t i = 0; i < column->items; i++) {
        const struct prepare_item *item = &column->item[i];

        put_change(w, item->user - before.user);
        put_change(w, (uint64_t)item->time - (uint64_t)before.time);
        put_change(w, item->key - before.key);
        before = *item;
    }
}

static void put_column(struct writer *w, const struct prepare_column *column)
{
    size_t size_at;
    uint64_t size;

    put_text(w, column->name);
    put_text(w, column->text);
    size_at = w->used;
    put_u64(w, 0);
    if (column->path == PATH_NUMBER || column->path == PATH_BUCKETS)
        put_numbers(w, &column->numbers);
    if (column->fits_newest)
        put_u64(w, (uint64_t)column->newest);
    if (column->counts_keys)
        put_keys(w, column);
    if (column->fits_history)
        put_items(w, column);
    size = w->used - size_at - sizeof size;
    if (!w->failed)
        memcpy(w->bytes + size_at, &size, sizeof size);
}

int prepare_save(const struct prepare *prepare, unsigned char **bytes, size_t *size,
                 struct err *err)
{
    struct writer w = {0};
    uint32_t columns = 0;

    for (uint32_t c = 0; c < prepare->prepared.columns; c++)
        columns += prepare->column[c].path != PATH_SAME;
    put(&w, prepare_magic, MAGIC_BYTES);
    put_u32(&w, FORMAT);
    put_u32(&w, columns);
    put_u64(&w, prepare->examples);
    for (uint32_t c = 0; c < prepare->prepared.columns; c++)
        if (prepare->column[c].path != PATH_SAME)
            put_column(&w, &prepare->column[c]);
    if (!w.failed)
        put_u64(&w, XXH3_64bits(w.bytes, w.used));
    if (w.failed || w.used > PREPARE_BYTES_MAX) {
        free(w.bytes);
        return err_set(err, ERR_MEMORY,
                       "the preparation takes %zu bytes, more than there is memory for "
                       "or than a checkpoint holds (%d)",
                       w.used, PREPARE_BYTES_MAX);
    }
    *bytes = w.bytes;
    *size = w.used;
    return 0;
}

/* --- reading --------------------------------------------------------------------- */

/* Takes what is there; behind the end everything is 0 and `bad`. */
struct reader {
    const unsigned char *bytes;
    size_t size, used;
    bool bad;
};

static const unsigned char *take(struct reader *r, size_t size)
{
    const unsigned char *at = r->bytes + r->used;

    if (r->bad || size > r->size - r->used) {
        r->bad = true;
        return NULL;
    }
    r->used += size;
    return at;
}

static uint32_t take_u32(struct reader *r)
{
    const unsigned char *at = take(r, 4);
    uint32_t value = 0;

    if (at)
        memcpy(&value, at, sizeof value);
    return value;
}

static uint64_t take_u64(struct reader *r)
{
    const unsigned char *at = take(r, 8);
    uint64_t value = 0;

    if (at)
        memcpy(&value, at, sizeof value);
    return value;
}

static double take_f64(struct reader *r)
{
    uint64_t bits = take_u64(r);
    double value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

static void take_text(struct reader *r, char *text, size_t room)
{
    uint32_t length = take_u32(r);
    const unsigned char *at = length < room ? take(r, length) : NULL;

    r->bad |= !at;
    if (at)
        memcpy(text, at, length);
    text[at ? length : 0] = '\0';
}

static uint64_t take_varint(struct reader *r)
{
    uint64_t value = 0;

    for (int shift = 0; shift < 64; shift += 7) {
        const unsigned char *at = take(r, 1);

        if (!at)
            return 0;
        value |= (uint64_t)(*at & 0x7f) << shift;
        if (*at < 0x80)
            return value;
    }
    r->bad = true;
    return 0;
}

static uint64_t take_change(struct reader *r)
{
    uint64_t value = take_varint(r);

    return value >> 1 ^ (0 - (value & 1));
}

static int no_memory(const struct prepare_column *column, struct err *err)
{
    return err_set(err, ERR_MEMORY, "column %s: no memory for its preparation",
                   column->name);
}

static int take_numbers(struct reader *r, struct prepare_column *column,
                        struct err *err)
{
    struct prepare_numbers *numbers = &column->numbers;

    numbers->fill = take_f64(r);
    numbers->low = take_f64(r);
    numbers->high = take_f64(r);
    numbers->center = take_f64(r);
    numbers->factor = take_f64(r);
    numbers->edges = take_u32(r);
    if (numbers->fill - numbers->fill != 0 || numbers->center - numbers->center != 0 ||
        numbers->factor - numbers->factor != 0 || !(numbers->low <= numbers->high) ||
        numbers->edges >= (r->size - r->used) / sizeof(double) + 1)
        r->bad = true;
    if (r->bad)
        numbers->edges = 0;
    free(numbers->edge);
    numbers->edge = malloc((numbers->edges + 1) * sizeof *numbers->edge);
    if (!numbers->edge)
        return no_memory(column, err);
    for (uint32_t i = 0; i < numbers->edges; i++) {
        numbers->edge[i] = take_f64(r);
        r->bad |= !(i == 0 ? numbers->edge[i] - numbers->edge[i] == 0
                           : numbers->edge[i] > numbers->edge[i - 1]);
    }
    return 0;
}

static int take_keys(struct reader *r, struct prepare_column *column, struct err *err)
{
    uint32_t keys, id;
    uint64_t key = 0;
    int rc = 0;

    dictionary_release(&column->known);
    free(column->documents);
    column->documents = NULL;
    column->fill_key = take_u64(r);
    keys = take_u32(r);
    if (keys > PREPARE_KEYS_MAX || keys > r->size - r->used)
        r->bad = true;
    if (r->bad)
        return 0;
    if (column->steps.words == WORDS_TFIDF) {
        column->documents = malloc((keys + 1) * sizeof *column->documents);
        if (!column->documents)
            return no_memory(column, err);
    }
    for (uint32_t i = 0; rc == 0 && !r->bad && i < keys; i++) {
        key += take_change(r);
        if (column->documents)
            column->documents[i] = (uint32_t)take_varint(r);
        rc = dictionary_id(&column->known, key, &id, err);
        r->bad |= rc == 0 && id != i; /* a key that comes twice */
    }
    return rc;
}

static bool items_rise(const struct prepare_item *a, const struct prepare_item *b)
{
    return a->user < b->user || (a->user == b->user && a->time <= b->time);
}

static int take_items(struct reader *r, struct prepare_column *column, struct err *err)
{
    struct prepare_item item = {0};
    uint64_t items = take_u64(r);

    if (items > PREPARE_ITEMS_MAX || items > (r->size - r->used) / 3)
        r->bad = true;
    if (r->bad)
        return 0;
    free(column->item);
    column->items = 0;
    column->item = malloc((items + 1) * sizeof *column->item);
    if (!column->item)
        return no_memory(column, err);
    for (uint64_t i = 0; !r->bad && i < items; i++) {
        item.user += take_change(r);
        item.time = (int64_t)((uint64_t)item.time + take_change(r));
        item.key += take_change(r);
        column->item[i] = item;
        r->bad |= i > 0 && !items_rise(&column->item[i - 1], &item);
    }
    column->items = r->bad ? 0 : items;
    return 0;
}

static int take_fitted(struct reader *r, struct prepare_column *column, struct err *err)
{
    int rc = 0;

    if (column->path == PATH_NUMBER || column->path == PATH_BUCKETS)
        rc = take_numbers(r, column, err);
    if (column->fits_newest)
        column->newest = (int64_t)take_u64(r);
    if (rc == 0 && column->counts_keys)
        rc = take_keys(r, column, err);
    if (rc == 0 && column->fits_history)
        rc = take_items(r, column, err);
    return rc;
}

/* --- loading --------------------------------------------------------------------- */

static int damaged(const char *fault, struct err *err)
{
    return err_set(err, ERR_DAMAGE, "the preparation is damaged: %s", fault);
}

/* Reads one column; those that this job has no use for are passed over. */
static int load_column(struct prepare *prepare, struct reader *r, bool *seen,
                       struct err *err)
{
    char name[JOB_NAME_MAX * 2], text[PREPARE_STEPS_MAX];
    struct prepare_column *column;
    struct reader fitted;
    uint64_t size;
    int rc = 0;

    take_text(r, name, sizeof name);
    take_text(r, text, sizeof text);
    size = take_u64(r);
    fitted = (struct reader){.bytes = take(r, size), .size = size};
    if (r->bad || !fitted.bytes)
        return damaged("a column is not whole", err);
    for (uint32_t c = 0; rc == 0 && c < prepare->prepared.columns; c++) {
        column = &prepare->column[c];
        if (strcmp(column->name, name) != 0)
            continue;
        if (column->path == PATH_SAME && strcmp(column->text, text) == 0)
            continue;
        if (strcmp(column->text, text) != 0)
            return err_set(err, ERR_INPUT,
                           "data.columns.%s is prepared in another way than in the "
                           "checkpoint: %s; there %s",
                           name, *column->text ? column->text : "not at all",
                           *text ? text : "not at all");
        fitted.used = 0;
        rc = take_fitted(&fitted, column, err);
        if (rc == 0 && (fitted.bad || fitted.used != fitted.size))
            return damaged("what it says of a column cannot be", err);
        seen[c] = true;
        rc = rc ? rc : prepare_check_rows(column, err);
    }
    return rc;
}

static int load_columns(struct prepare *prepare, struct reader *r, struct err *err)
{
    bool seen[SCHEMA_COLUMNS_MAX] = {false};
    uint32_t columns = take_u32(r);
    int rc = 0;

    prepare->examples = take_u64(r);
    if (r->bad || columns > SCHEMA_COLUMNS_MAX)
        return damaged("it has too many columns", err);
    for (uint32_t i = 0; rc == 0 && i < columns; i++)
        rc = load_column(prepare, r, seen, err);
    if (rc)
        return rc;
    if (r->used != r->size)
        return damaged("it goes on behind its last column", err);
    for (uint32_t c = 0; c < prepare->prepared.columns; c++)
        if (prepare->column[c].path != PATH_SAME && !seen[c])
            return err_set(
                err, ERR_INPUT,
                "data.columns.%s is prepared (%s), but not in the checkpoint",
                prepare->column[c].name, prepare->column[c].text);
    prepare->finished = true;
    return 0;
}

int prepare_load(struct prepare *prepare, const unsigned char *bytes, size_t size,
                 struct err *err)
{
    struct reader r = {.bytes = bytes, .size = size, .used = MAGIC_BYTES};
    uint64_t checksum;
    uint32_t format;

    if (size < MAGIC_BYTES + 2 * sizeof(uint32_t) + sizeof(uint64_t) + CHECKSUM_BYTES ||
        memcmp(bytes, prepare_magic, MAGIC_BYTES) != 0)
        return damaged("it does not begin as one, or is truncated", err);
    r.size = size - CHECKSUM_BYTES;
    memcpy(&checksum, bytes + r.size, sizeof checksum);
#ifndef MUTANT_PREPARE_CHECKSUM
    if (checksum != XXH3_64bits(bytes, r.size))
        return damaged("its checksum is wrong", err);
#endif
    format = take_u32(&r);
    if (format == 0)
        return damaged("it has no format", err);
    if (format > FORMAT)
        return err_set(err, ERR_INPUT,
                       "the preparation is of format %u, this program reads format %d",
                       format, FORMAT);
    return load_columns(prepare, &r, err);
}

/* --- checkpoints ----------------------------------------------------------------- */

int prepare_take(struct prepare *prepare, const struct saved_preparation *saved,
                 struct err *err)
{
    if (!saved->bytes)
        return err_set(err, ERR_INPUT,
                       "the job prepares columns, but its checkpoint has no "
                       "preparation: it was made without");
    return prepare_load(prepare, saved->bytes, saved->size, err);
}

int prepare_keep(const struct prepare *prepare, unsigned char **bytes,
                 struct data_facts *facts, struct err *err)
{
    size_t size;
    int rc = prepare_save(prepare, bytes, &size, err);

    if (rc)
        return rc;
    facts->preparation_bytes = size;
    facts->preparation_digest = XXH3_64bits(*bytes, size);
    return 0;
}

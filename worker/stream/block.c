#include "worker/stream/block.h"

#include <stdlib.h>
#include <string.h>

static bool has_text(const struct schema_column *column)
{
    return column->kind == VALUE_TEXT ||
           (column->kind == VALUE_KEY && column->keep_text);
}

/* The arrays whose size is known: those that grow are made with their first values. */
static int make_values(struct values *values, const struct schema_column *column,
                       size_t capacity)
{
    bool short_of_memory = false;

    if (column->kind == VALUE_KEY) {
        values->key = malloc(capacity * sizeof *values->key);
        short_of_memory |= !values->key;
    }
    if (column->kind == VALUE_KEY && column->may_miss) {
        values->missing = malloc(capacity);
        short_of_memory |= !values->missing;
    }
    if (column->kind == VALUE_NUMBER || column->kind == VALUE_VECTOR) {
        size_t floats = column->kind == VALUE_VECTOR ? column->dim : 1;

        values->number = malloc(capacity * (floats ? floats : 1) * sizeof(float));
        short_of_memory |= !values->number;
    }
    if (column->kind == VALUE_TIME) {
        values->time = malloc(capacity * sizeof *values->time);
        short_of_memory |= !values->time;
    }
    if (column->kind == VALUE_KEYS || has_text(column)) {
        values->offset = calloc(capacity + 1, sizeof *values->offset);
        short_of_memory |= !values->offset;
    }
    return short_of_memory ? -ERR_MEMORY : 0;
}

int block_create(struct block *block, const struct schema *schema, uint32_t capacity,
                 struct err *err)
{
    uint32_t made = 0;

    *block = (struct block){.schema = schema, .capacity = capacity};
    block->column = calloc(schema->columns ? schema->columns : 1,
                           sizeof *block->column);
    block->place = malloc((capacity ? capacity : 1) * sizeof *block->place);
    while (block->column && block->place && made < schema->columns &&
           make_values(&block->column[made], &schema->column[made],
                       capacity ? capacity : 1) == 0)
        made++;
    if (block->column && block->place && made == schema->columns)
        return 0;
    block_release(block);
    return err_set(err, ERR_MEMORY, "no memory for a block of %u examples", capacity);
}

void block_release(struct block *block)
{
    for (uint32_t c = 0; block->column && c < block->schema->columns; c++) {
        free(block->column[c].key);
        free(block->column[c].missing);
        free(block->column[c].number);
        free(block->column[c].time);
        free(block->column[c].offset);
        free(block->column[c].text);
    }
    free(block->column);
    free(block->place);
    *block = (struct block){0};
}

void block_clear(struct block *block)
{
    block->n = 0;
}

/* The next room for `wanted` of something, doubling from `room`. */
static int next_room(uint64_t room, uint64_t wanted, uint64_t *next, struct err *err)
{
    *next = room ? room : 1024;
    if (wanted > UINT32_MAX)
        return err_set(err, ERR_INPUT,
                       "a block of examples has more than 2^32 - 1 keys or bytes of "
                       "text in one column");
    while (*next < wanted)
        *next *= 2;
    return 0;
}

int block_key_room(struct block *block, uint32_t c, uint64_t more, struct err *err)
{
    struct values *values = &block->column[c];
    uint64_t wanted = values->offset[block->n] + more, room;
    uint64_t *key;
    float *number;

    if (wanted <= values->key_room)
        return 0;
    if (next_room(values->key_room, wanted, &room, err))
        return -err->code;
    key = realloc(values->key, room * sizeof *key);
    if (key)
        values->key = key;
    number = realloc(values->number, room * sizeof *number);
    if (number)
        values->number = number;
    if (!key || !number)
        return err_set(err, ERR_MEMORY, "no memory for %llu keys of a block",
                       (unsigned long long)room);
    values->key_room = room;
    return 0;
}

int block_text_room(struct block *block, uint32_t c, uint64_t more, struct err *err)
{
    struct values *values = &block->column[c];
    uint64_t wanted = values->offset[block->n] + more, room;
    char *text;

    if (wanted <= values->text_room)
        return 0;
    if (next_room(values->text_room, wanted, &room, err))
        return -err->code;
    text = realloc(values->text, room);
    if (!text)
        return err_set(err, ERR_MEMORY, "no memory for %llu bytes of text of a block",
                       (unsigned long long)room);
    values->text = text;
    values->text_room = room;
    return 0;
}

/* --- adding ---------------------------------------------------------------------- */

/* Room for what the examples' offsets point at; nothing is changed yet. */
static int ragged_room(struct block *to, const struct block *from, uint32_t c,
                       uint32_t first, uint32_t n, struct err *err)
{
    const struct values *values = &from->column[c];
    uint32_t more;

    if (!values->offset)
        return 0;
    more = values->offset[first + n] - values->offset[first];
    if (from->schema->column[c].kind == VALUE_KEYS)
        return block_key_room(to, c, more, err);
    return block_text_room(to, c, more, err);
}

static void add_ragged(struct values *to, const struct values *from, uint32_t at,
                       uint32_t first, uint32_t n, bool keys)
{
    uint32_t begin = from->offset[first], more = from->offset[first + n] - begin;
    uint32_t end = to->offset[at];

    if (keys && more) {
        memcpy(to->key + end, from->key + begin, more * sizeof *to->key);
        memcpy(to->number + end, from->number + begin, more * sizeof *to->number);
    } else if (more) {
        memcpy(to->text + end, from->text + begin, more);
    }
    for (uint32_t i = 1; i <= n; i++)
        to->offset[at + i] = end + (from->offset[first + i] - begin);
}

static void add_values(struct values *to, const struct values *from,
                       const struct schema_column *column, uint32_t at, uint32_t first,
                       uint32_t n)
{
    size_t floats = column->kind == VALUE_VECTOR ? column->dim : 1;
    bool keys = column->kind == VALUE_KEYS;

    if (to->key && !keys)
        memcpy(to->key + at, from->key + first, n * sizeof *to->key);
    if (to->missing)
        memcpy(to->missing + at, from->missing + first, n);
    if (to->number && !keys)
        memcpy(to->number + at * floats, from->number + first * floats,
               n * floats * sizeof *to->number);
    if (to->time)
        memcpy(to->time + at, from->time + first, n * sizeof *to->time);
    if (to->offset)
        add_ragged(to, from, at, first, n, keys);
}

int block_append(struct block *to, const struct block *from, uint32_t first, uint32_t n,
                 struct err *err)
{
    for (uint32_t c = 0; c < to->schema->columns; c++)
        if (ragged_room(to, from, c, first, n, err))
            return -err->code;
    for (uint32_t c = 0; c < to->schema->columns; c++)
        add_values(&to->column[c], &from->column[c], &to->schema->column[c], to->n,
                   first, n);
    memcpy(to->place + to->n, from->place + first, n * sizeof *to->place);
    to->n += n;
    return 0;
}

int block_append_mixed(struct block *to, const struct block *from, uint32_t number,
                       const struct block *const *other, const uint32_t *other_number,
                       const bool *from_other, uint32_t n, struct err *err)
{
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t c = 0; c < to->schema->columns; c++) {
            const struct block *source = from_other[c] ? other[i] : from;
            uint32_t at = from_other[c] ? other_number[i] : number;

            if (ragged_room(to, source, c, at, 1, err))
                return -err->code;
            add_values(&to->column[c], &source->column[c], &to->schema->column[c],
                       to->n, at, 1);
        }
        to->place[to->n++] = from->place[number];
    }
    return 0;
}

/* --- filtering ------------------------------------------------------------------- */

static void filter_fixed(void *array, size_t size, uint32_t n, const uint8_t *keep)
{
    unsigned char *to = array;
    const unsigned char *from = array;

    if (!array)
        return;
    for (uint32_t i = 0; i < n; i++, from += size) {
        if (!keep[i])
            continue;
        if (to != from)
            memcpy(to, from, size);
        to += size;
    }
}

/* Moves what the offsets point into; the offsets follow in filter_offsets(). */
static void filter_ragged(void *array, size_t size, const uint32_t *offset, uint32_t n,
                          const uint8_t *keep)
{
    unsigned char *bytes = array;
    size_t to = 0;

    if (!array)
        return;
    for (uint32_t i = 0; i < n; i++) {
        size_t length = (size_t)(offset[i + 1] - offset[i]) * size;

        if (!keep[i])
            continue;
        memmove(bytes + to, bytes + (size_t)offset[i] * size, length);
        to += length;
    }
}

static void filter_offsets(uint32_t *offset, uint32_t n, const uint8_t *keep)
{
    uint32_t begin = 0, kept = 0;

    for (uint32_t i = 0; i < n; i++) {
        uint32_t end = offset[i + 1], length = end - begin;

        begin = end;
        if (!keep[i])
            continue;
        offset[kept + 1] = offset[kept] + length;
        kept++;
    }
}

static void filter_values(struct values *values, const struct schema_column *column,
                          uint32_t n, const uint8_t *keep)
{
    if (column->kind == VALUE_KEYS) {
        filter_ragged(values->key, sizeof *values->key, values->offset, n, keep);
        filter_ragged(values->number, sizeof *values->number, values->offset, n, keep);
    } else {
        size_t floats = column->kind == VALUE_VECTOR ? column->dim : 1;

        filter_fixed(values->key, sizeof *values->key, n, keep);
        filter_fixed(values->number, floats * sizeof(float), n, keep);
        filter_ragged(values->text, 1, values->offset, n, keep);
    }
    filter_fixed(values->missing, 1, n, keep);
    filter_fixed(values->time, sizeof *values->time, n, keep);
    if (values->offset)
        filter_offsets(values->offset, n, keep);
}

void block_filter(struct block *block, const uint8_t *keep)
{
    uint32_t kept = 0;

    for (uint32_t c = 0; c < block->schema->columns; c++)
        filter_values(&block->column[c], &block->schema->column[c], block->n, keep);
    filter_fixed(block->place, sizeof *block->place, block->n, keep);
    for (uint32_t i = 0; i < block->n; i++)
        kept += keep[i] != 0;
    block->n = kept;
}

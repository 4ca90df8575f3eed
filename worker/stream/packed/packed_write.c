#include <math.h>
#include <stdlib.h>
#include <xxh_x86dispatch.h> /* the fastest XXH3 of this processor */

#include "common/output.h"
#include "worker/stream/packed/packed_format.h"

struct indexed {
    uint64_t offset;
    uint32_t size, examples;
};

struct packed_writer {
    struct output output;
    struct schema schema;
    struct block block; /* the next one, being filled */
    struct run_writer runs;
    uint64_t *number; /* owned; [capacity]: lengths, times and the like on their way */
    float *value;     /* owned; [capacity] */
    struct indexed *index; /* owned; [blocks] */
    uint64_t blocks, index_room, examples;
    XXH3_state_t *sums; /* over the checksums of the header and of every block */
};

/* --- schemas ------------------------------------------------------------------- */

uint64_t packed_example_bytes(const struct schema *schema)
{
    uint64_t bytes = sizeof(uint64_t); /* place */

    for (uint32_t c = 0; c < schema->columns; c++) {
        const struct schema_column *column = &schema->column[c];

        bytes += column->kind == VALUE_NUMBER   ? 4
                 : column->kind == VALUE_VECTOR ? 4 * (uint64_t)column->dim
                                                : 8;
        bytes += column_has_text(column) ? 4 : 0;
    }
    return bytes;
}

static bool name_is_fine(const char *name)
{
    size_t length = strnlen(name, DESCRIPTION_NAME);

    if (length == 0 || length == DESCRIPTION_NAME)
        return false;
    for (size_t i = 0; i < length; i++)
        if ((unsigned char)name[i] < 0x20 || name[i] == 0x7F)
            return false;
    return true;
}

static bool role_is_fine(const struct schema *schema, int place)
{
    return place == SCHEMA_NONE || (place >= 0 && (uint32_t)place < schema->columns);
}

const char *packed_schema_fault(const struct schema *schema)
{
    if (schema->columns == 0 || schema->columns > SCHEMA_COLUMNS_MAX)
        return "the number of columns is not 1 to 68";
    for (uint32_t c = 0; c < schema->columns; c++) {
        const struct schema_column *column = &schema->column[c];

        if (!name_is_fine(column->name))
            return "a column's name is empty, too long or not printable";
        if (column->kind > VALUE_TIME)
            return "a column has an unknown kind";
        if ((column->kind == VALUE_VECTOR) != (column->dim > 0))
            return "a vector has no numbers, or something else has some";
        if (schema_find(schema, column->name) != (int)c)
            return "two columns have the same name";
    }
    if (!role_is_fine(schema, schema->label) || !role_is_fine(schema, schema->weight) ||
        !role_is_fine(schema, schema->user) || !role_is_fine(schema, schema->time))
        return "the label, weight, user or time is no column";
    if (packed_example_bytes(schema) > PACKED_CAPACITY_BYTES_MAX)
        return "an example is larger than 4 MiB";
    return NULL;
}

/* --- header -------------------------------------------------------------------- */

/* Ends a part of the file, `bytes` long with its checksum, by that checksum. */
static void seal(struct packed_writer *writer, unsigned char *part, size_t bytes)
{
    size_t covered = bytes - CHECKSUM_BYTES;

    put64(part + covered, XXH3_64bits(part, covered));
    XXH3_64bits_update(writer->sums, part + covered, CHECKSUM_BYTES);
}

static uint32_t role(int place)
{
    return place == SCHEMA_NONE ? no_column : (uint32_t)place;
}

static int write_header(struct packed_writer *writer, struct err *err)
{
    const struct schema *schema = &writer->schema;
    size_t bytes = header_bytes(schema->columns);
    unsigned char *header;

    if (output_room(&writer->output, bytes, &header, err))
        return -err->code;
    memset(header, 0, bytes);
    memcpy(header, packed_magic, PACKED_MAGIC_BYTES);
    put32(header + 8, PACKED_FORMAT);
    put32(header + 12, (uint32_t)bytes);
    put32(header + 16, schema->columns);
    put32(header + 20, writer->block.capacity);
    put32(header + 24, role(schema->label));
    put32(header + 28, role(schema->weight));
    put32(header + 32, role(schema->user));
    put32(header + 36, role(schema->time));
    for (uint32_t c = 0; c < schema->columns; c++) {
        const struct schema_column *column = &schema->column[c];
        unsigned char *at = header + HEADER_BYTES + (size_t)c * DESCRIPTION_BYTES;

        memcpy(at, column->name, strlen(column->name));
        put32(at + DESCRIPTION_NAME, column->kind);
        put32(at + DESCRIPTION_NAME + 4,
              (column_may_miss(column) ? COLUMN_MAY_MISS : 0) |
                  (column_has_text(column) ? COLUMN_HAS_TEXT : 0));
        put32(at + DESCRIPTION_NAME + 8, column->dim);
    }
    seal(writer, header, bytes);
    output_used(&writer->output, bytes);
    return 0;
}

/* --- columns ------------------------------------------------------------------- */

/* The run of what is missing, and the values without it: in the place of what is
 * missing stands another value of the block, so that it makes no run longer. */
static int put_present(struct packed_writer *writer, const struct values *values,
                       const uint64_t *all, const uint8_t *missing, struct err *err)
{
    uint32_t n = writer->block.n, first = 0;

    for (uint32_t i = 0; i < n; i++)
        writer->number[i] = missing ? missing[i] != 0 : values->time[i] == TIME_MISSING;
    if (run_put_integers(&writer->runs, writer->number, n, err))
        return -err->code;
    while (first < n && writer->number[first])
        first++;
    for (uint32_t i = 0; i < n; i++)
        writer->number[i] = !writer->number[i] ? all[i] : first < n ? all[first] : 0;
    return run_put_integers(&writer->runs, writer->number, n, err);
}

static int put_lengths(struct packed_writer *writer, const uint32_t *offset,
                       struct err *err)
{
    for (uint32_t i = 0; i < writer->block.n; i++)
        writer->number[i] = offset[i + 1] - offset[i];
    return run_put_integers(&writer->runs, writer->number, writer->block.n, err);
}

static int put_text(struct packed_writer *writer, const struct values *values,
                    struct err *err)
{
    if (put_lengths(writer, values->offset, err))
        return -err->code;
    return run_put_bytes(&writer->runs, values->text, values->offset[writer->block.n],
                         err);
}

static int not_finite(const struct schema_column *column, struct err *err)
{
    return err_set(err, ERR_INPUT,
                   "column %s: a number that is not finite cannot be "
                   "packed",
                   column->name);
}

static int put_numbers(struct packed_writer *writer, const struct schema_column *column,
                       const struct values *values, struct err *err)
{
    uint32_t n = writer->block.n;
    bool may_miss = column_may_miss(column);

    if (packed_kernels()->not_finite(values->number, n, may_miss))
        return not_finite(column, err);
    if (!may_miss)
        return run_put_floats(&writer->runs, values->number, n, err);
    for (uint32_t i = 0; i < n; i++) {
        writer->number[i] = isnan(values->number[i]) != 0;
        writer->value[i] = writer->number[i] ? 0 : values->number[i];
    }
    if (run_put_integers(&writer->runs, writer->number, n, err))
        return -err->code;
    return run_put_floats(&writer->runs, writer->value, n, err);
}

static int put_keys(struct packed_writer *writer, const struct schema_column *column,
                    const struct values *values, struct err *err)
{
    uint32_t keys = values->offset[writer->block.n];

    if (packed_kernels()->not_finite(values->number, keys, false))
        return not_finite(column, err);
    if (put_lengths(writer, values->offset, err) ||
        run_put_integers(&writer->runs, values->key, keys, err))
        return -err->code;
    return run_put_floats(&writer->runs, values->number, keys, err);
}

static int put_column(struct packed_writer *writer, uint32_t c, struct err *err)
{
    const struct schema_column *column = &writer->schema.column[c];
    const struct values *values = &writer->block.column[c];
    const uint64_t *time = (const void *)values->time;
    uint32_t n = writer->block.n;
    int rc;

    switch ((enum value_kind)column->kind) {
    case VALUE_KEY:
        rc = column->may_miss
                 ? put_present(writer, values, values->key, values->missing, err)
                 : run_put_integers(&writer->runs, values->key, n, err);
        return rc || !column->keep_text ? rc : put_text(writer, values, err);
    case VALUE_KEYS:
        return put_keys(writer, column, values, err);
    case VALUE_NUMBER:
        return put_numbers(writer, column, values, err);
    case VALUE_VECTOR:
        if (packed_kernels()->not_finite(values->number, n * column->dim, true))
            return not_finite(column, err);
        return run_put_floats(&writer->runs, values->number, n * column->dim, err);
    case VALUE_TIME:
        return column->may_miss ? put_present(writer, values, time, NULL, err)
                                : run_put_integers(&writer->runs, time, n, err);
    default:
        return put_text(writer, values, err);
    }
}

/* --- blocks -------------------------------------------------------------------- */

static int add_to_index(struct packed_writer *writer, size_t bytes, struct err *err)
{
    if (writer->blocks == writer->index_room) {
        uint64_t room = writer->index_room ? 2 * writer->index_room : 64;
        struct indexed *index = realloc(writer->index, room * sizeof *index);

        if (!index)
            return err_set(err, ERR_MEMORY, "no memory for an index of %llu blocks",
                           (unsigned long long)room);
        writer->index = index;
        writer->index_room = room;
    }
    writer->index[writer->blocks++] = (struct indexed){
        output_bytes(&writer->output), (uint32_t)bytes, writer->block.n};
    return 0;
}

/* Packs what the block has and empties it. */
static int write_block(struct packed_writer *writer, struct err *err)
{
    struct run_writer *runs = &writer->runs;
    size_t begin = BLOCK_HEADER_BYTES + writer->schema.columns * BLOCK_COLUMN_BYTES;

    runs->used = 0;
    if (run_writer_room(runs, begin, err))
        return -err->code;
    memset(runs->bytes, 0, begin);
    runs->used = begin;
    for (uint32_t c = 0; c < writer->schema.columns; c++) {
        unsigned char *entry;

        if (put_column(writer, c, err))
            return -err->code;
        entry = runs->bytes + BLOCK_HEADER_BYTES + c * (size_t)BLOCK_COLUMN_BYTES;
        put32(entry, (uint32_t)begin);
        put32(entry + 4, (uint32_t)(runs->used - begin));
        begin = runs->used;
    }
    if (run_writer_room(runs, CHECKSUM_BYTES, err))
        return -err->code;
    runs->used += CHECKSUM_BYTES;
    if (runs->used > PACKED_BLOCK_BYTES_MAX)
        return err_set(err, ERR_INPUT,
                       "%s: a block of %u examples has %zu bytes, at most %d can be "
                       "packed",
                       writer->output.path, writer->block.n, runs->used,
                       PACKED_BLOCK_BYTES_MAX);
    put32(runs->bytes, block_mark);
    put32(runs->bytes + 4, (uint32_t)runs->used);
    put64(runs->bytes + 8, writer->blocks);
    put64(runs->bytes + 16, writer->examples);
    put32(runs->bytes + 24, writer->block.n);
    seal(writer, runs->bytes, runs->used);
    if (add_to_index(writer, runs->used, err) ||
        output_write(&writer->output, runs->bytes, runs->used, err))
        return -err->code;
    writer->examples += writer->block.n;
    block_clear(&writer->block);
    return 0;
}

/* Bytes of keys and text up to example `to` of a block, from `from` on. */
static uint64_t ragged_bytes(const struct block *block, uint32_t from, uint32_t to)
{
    uint64_t bytes = 0;

    for (uint32_t c = 0; c < block->schema->columns; c++) {
        const uint32_t *offset = block->column[c].offset;

        if (offset)
            bytes += (uint64_t)(offset[to] - offset[from]) *
                     (block->schema->column[c].kind == VALUE_KEYS ? 12 : 1);
    }
    return bytes;
}

/* How many of the examples from `first` on the block under way still takes; one at
 * least when it is empty. */
static uint32_t fitting(const struct packed_writer *writer, const struct block *from,
                        uint32_t first)
{
    const struct block *to = &writer->block;
    uint64_t have = ragged_bytes(to, 0, to->n);
    uint32_t room = to->capacity - to->n, low = 0, high = from->n - first;

    if (high > room)
        high = room;
    while (low < high) { /* the most that stay below the limit */
        uint32_t middle = low + (high - low + 1) / 2;

        if (have + ragged_bytes(from, first, first + middle) <= PACKED_BLOCK_MEMORY)
            low = middle;
        else
            high = middle - 1;
    }
    return low == 0 && to->n == 0 ? 1 : low;
}

int packed_append(struct packed_writer *writer, const struct block *block,
                  struct err *err)
{
    for (uint32_t first = 0; first < block->n;) {
        uint32_t n = fitting(writer, block, first);

        if (n && block_append(&writer->block, block, first, n, err))
            return -err->code;
        first += n;
        if (first < block->n && write_block(writer, err))
            return -err->code;
    }
    return 0;
}

/* --- the file ------------------------------------------------------------------ */

static int make_room(struct packed_writer *writer, uint64_t capacity, struct err *err)
{
    uint64_t bytes = packed_example_bytes(&writer->schema);

    if (capacity == 0)
        capacity = bytes < PACKED_BLOCK_MEMORY ? PACKED_BLOCK_MEMORY / bytes : 1;
    if (capacity > PACKED_EXAMPLES_MAX)
        capacity = PACKED_EXAMPLES_MAX;
    if (capacity > PACKED_CAPACITY_BYTES_MAX / bytes)
        capacity = PACKED_CAPACITY_BYTES_MAX / bytes;
    writer->number = malloc((capacity + 1) * sizeof *writer->number);
    writer->value = malloc((capacity + 1) * sizeof *writer->value);
    writer->sums = XXH3_createState();
    if (!writer->number || !writer->value || !writer->sums)
        return err_set(err, ERR_MEMORY, "no memory to pack");
    XXH3_64bits_reset(writer->sums);
    return block_create(&writer->block, &writer->schema, (uint32_t)capacity, err);
}

int packed_create(const char *path, const struct schema *schema, uint32_t capacity,
                  struct packed_writer **writer, struct err *err)
{
    const char *fault = packed_schema_fault(schema);
    struct packed_writer *w;
    int rc;

    *writer = NULL;
    if (fault)
        return err_set(err, ERR_INPUT, "cannot write %s: %s", path, fault);
    w = calloc(1, sizeof *w);
    if (!w)
        return err_set(err, ERR_MEMORY, "no memory to pack");
    w->schema = *schema;
    w->output.fd = -1;
    rc = make_room(w, capacity, err);
    if (rc == 0)
        rc = output_open(&w->output, path, err);
    if (rc == 0)
        rc = write_header(w, err);
    if (rc) {
        packed_destroy(w);
        return rc;
    }
    *writer = w;
    return 0;
}

void packed_destroy(struct packed_writer *writer)
{
    if (!writer)
        return;
    output_release(&writer->output);
    block_release(&writer->block);
    run_writer_release(&writer->runs);
    XXH3_freeState(writer->sums);
    free(writer->number);
    free(writer->value);
    free(writer->index);
    free(writer);
}

bool packed_abandoned(const struct packed_writer *writer)
{
    return writer->output.closed;
}

/* The index and the trailer, the checksum over both going along. */
static int write_footer(struct packed_writer *writer, struct err *err)
{
    unsigned char part[TRAILER_BYTES] = {0};
    uint64_t offset = output_bytes(&writer->output), sums;

    sums = XXH3_64bits_digest(writer->sums);
    XXH3_64bits_reset(writer->sums);
    put32(part, footer_mark);
    put64(part + 8, writer->blocks);
    XXH3_64bits_update(writer->sums, part, FOOTER_HEADER_BYTES);
    if (output_write(&writer->output, part, FOOTER_HEADER_BYTES, err))
        return -err->code;
    for (uint64_t i = 0; i < writer->blocks; i++) {
        put64(part, writer->index[i].offset);
        put32(part + 8, writer->index[i].size);
        put32(part + 12, writer->index[i].examples);
        XXH3_64bits_update(writer->sums, part, FOOTER_BLOCK_BYTES);
        if (output_write(&writer->output, part, FOOTER_BLOCK_BYTES, err))
            return -err->code;
    }
    put64(part, writer->examples);
    put64(part + 8, offset);
    put64(part + 16, sums);
    XXH3_64bits_update(writer->sums, part, TRAILER_BYTES - CHECKSUM_BYTES);
    put64(part + 24, XXH3_64bits_digest(writer->sums));
    return output_write(&writer->output, part, TRAILER_BYTES, err);
}

int packed_finish(struct packed_writer *writer, struct packed_facts *facts,
                  struct err *err)
{
    if ((writer->block.n && write_block(writer, err)) || write_footer(writer, err) ||
        output_finish(&writer->output, err))
        return -err->code;
    *facts = (struct packed_facts){writer->examples, writer->blocks,
                                   output_bytes(&writer->output)};
    return 0;
}

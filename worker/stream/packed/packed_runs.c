#include "worker/stream/packed/packed_runs.h"

#include <stdlib.h>
#include <string.h>

#include "common/cpu.h"
#include "common/rng.h"

const struct packed_kernels *packed_kernels(void)
{
    static const struct packed_kernels *const levels[] = {
        &packed_kernels_v2, &packed_kernels_v3, &packed_kernels_v4};

    return levels[cpu_level()];
}

static size_t padded(size_t bytes)
{
    return (bytes + 7) & ~(size_t)7;
}

/* --- writing ------------------------------------------------------------------- */

enum { BUCKETS = 2 * RUN_TABLE_MAX };

void run_writer_release(struct run_writer *writer)
{
    free(writer->bytes);
    free(writer->bucket);
    free(writer->entry);
    free(writer->place);
    *writer = (struct run_writer){0};
}

int run_writer_room(struct run_writer *writer, size_t more, struct err *err)
{
    size_t room = writer->room ? writer->room : 65536;
    unsigned char *bytes;

    if (writer->used + more <= writer->room)
        return 0;
    while (room < writer->used + more)
        room *= 2;
    bytes = realloc(writer->bytes, room);
    if (!bytes)
        return err_set(err, ERR_MEMORY, "no memory to pack a block");
    writer->bytes = bytes;
    writer->room = room;
    return 0;
}

/* Adds the header and room for the rest; NULL without memory. */
static unsigned char *begin_run(struct run_writer *writer, const struct run *run,
                                struct err *err)
{
    size_t table = padded(run->entries * (size_t)run->kind);
    size_t data = padded(run->n * (size_t)run->width);
    unsigned char *at;

    if (run_writer_room(writer, RUN_HEADER_BYTES + table + data, err))
        return NULL;
    at = writer->bytes + writer->used;
    memset(at, 0, RUN_HEADER_BYTES);
    memset(at + RUN_HEADER_BYTES + table + data - 8, 0, data || table ? 8 : 0);
    if (table)
        memset(at + RUN_HEADER_BYTES + table - 8, 0, 8);
    at[0] = (unsigned char)run->encoding;
    at[1] = (unsigned char)run->width;
    memcpy(at + 4, &run->n, 4);
    memcpy(at + 8, &run->base, 8);
    memcpy(at + 16, &run->step, 8);
    writer->used += RUN_HEADER_BYTES + table + data;
    return at + RUN_HEADER_BYTES;
}

static uint32_t width_of(uint64_t range)
{
    return range == 0                  ? 0
           : range < 1u << 8           ? 1
           : range < 1u << 16          ? 2
           : range < (uint64_t)1 << 32 ? 4
                                       : 8;
}

static void put_number(unsigned char *to, uint32_t width, size_t i, uint64_t value)
{
    memcpy(to + i * width, &value, width); /* little-endian */
}

/* --- tables -------------------------------------------------------------------- */

static int table_memory(struct run_writer *writer, uint32_t n, struct err *err)
{
    uint16_t *place = writer->place;

    if (!writer->bucket)
        writer->bucket = malloc(BUCKETS * sizeof *writer->bucket);
    if (!writer->entry)
        writer->entry = malloc(RUN_TABLE_MAX * sizeof *writer->entry);
    if (n > writer->place_room) {
        place = realloc(place, n * sizeof *place);
        if (place) {
            writer->place = place;
            writer->place_room = n;
        }
    }
    if (!writer->bucket || !writer->entry || !place)
        return err_set(err, ERR_MEMORY, "no memory to pack a block");
    return 0;
}

/* Adds a value to the table; its place there, or `most` when that is full. */
static uint32_t table_add(struct run_writer *writer, uint32_t *entries, uint32_t most,
                          uint64_t value)
{
    uint32_t at = (uint32_t)mix64(value + 0x9e3779b97f4a7c15u) & (BUCKETS - 1);

    while (writer->bucket[at] && writer->entry[writer->bucket[at] - 1] != value)
        at = (at + 1) & (BUCKETS - 1);
    if (writer->bucket[at])
        return writer->bucket[at] - 1;
    if (*entries == most)
        return most;
    writer->entry[*entries] = value;
    return (writer->bucket[at] = ++*entries) - 1;
}

static uint64_t value_at(const void *values, enum run_kind kind, uint32_t i)
{
    uint64_t value = 0;

    memcpy(&value, (const char *)values + (size_t)i * kind, kind);
    return value;
}

/* How many bytes a run with so many entries has behind its header. */
static size_t table_bytes(enum run_kind kind, uint32_t entries, uint32_t n)
{
    return padded(entries * (size_t)kind) + padded(n * (size_t)width_of(entries - 1));
}

/* Finds the different values, into entry[] and place[]: how many, or 0 if a run with a
 * table would not be shorter than `limit` bytes. */
static uint32_t find_table(struct run_writer *writer, const void *values,
                           enum run_kind kind, uint32_t n, size_t limit)
{
    uint32_t entries = 0, most = 0;

    while (most < RUN_TABLE_MAX && table_bytes(kind, most ? 2 * most : 1, n) < limit)
        most = most ? 2 * most : 1;
    if (most == 0)
        return 0;
    memset(writer->bucket, 0, BUCKETS * sizeof *writer->bucket);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t place = table_add(writer, &entries, most, value_at(values, kind, i));

        if (place == most)
            return 0;
        writer->place[i] = (uint16_t)place;
    }
    return entries;
}

static int put_table(struct run_writer *writer, enum run_kind kind, uint32_t entries,
                     uint32_t n, struct err *err)
{
    struct run run = {.kind = kind,
                      .encoding = RUN_TABLE,
                      .width = width_of(entries - 1),
                      .n = n,
                      .entries = entries,
                      .base = entries};
    unsigned char *at = begin_run(writer, &run, err);

    if (!at)
        return -err->code;
    for (uint32_t i = 0; i < entries; i++)
        memcpy(at + (size_t)i * kind, &writer->entry[i], kind);
    at += padded(entries * (size_t)kind);
    for (uint32_t i = 0; run.width && i < n; i++)
        put_number(at, run.width, i, writer->place[i]);
    return 0;
}

/* --- integers ------------------------------------------------------------------ */

/* The smaller of the two ranges: as numbers with a sign, and without. */
static void find_range(const uint64_t *value, uint32_t n, uint64_t *base,
                       uint64_t *range)
{
    uint64_t least = value[0], most = value[0];
    int64_t lowest = (int64_t)value[0], highest = lowest;

    for (uint32_t i = 1; i < n; i++) {
        int64_t signed_value = (int64_t)value[i];

        least = value[i] < least ? value[i] : least;
        most = value[i] > most ? value[i] : most;
        lowest = signed_value < lowest ? signed_value : lowest;
        highest = signed_value > highest ? signed_value : highest;
    }
    *base = least;
    *range = most - least;
    if ((uint64_t)highest - (uint64_t)lowest < *range) {
        *base = (uint64_t)lowest;
        *range = (uint64_t)highest - (uint64_t)lowest;
    }
}

/* The largest step that all values are multiples of, away from the base; 1 if that does
 * not fit into 32 bits. */
static uint64_t find_step(const uint64_t *value, uint32_t n, uint64_t base)
{
    uint64_t step = 0;

    for (uint32_t i = 0; i < n && step != 1; i++) {
        uint64_t a = value[i] - base, rest;

        for (; a; a = rest) {
            rest = step % a;
            step = a;
        }
    }
    return step == 0 || step > UINT32_MAX ? 1 : step;
}

int run_put_integers(struct run_writer *writer, const uint64_t *value, uint32_t n,
                     struct err *err)
{
    struct run run = {.kind = RUN_INTEGERS, .encoding = RUN_STEPS, .n = n, .step = 1};
    uint64_t range = 0;
    uint32_t entries = 0;
    unsigned char *at;

    if (n)
        find_range(value, n, &run.base, &range);
    if (width_of(range) > 1)
        run.step = find_step(value, n, run.base);
    run.width = width_of(range / run.step);
    if (run.width == 8)
        run.step = 1;
    if (run.width > 2) {
        if (table_memory(writer, n, err))
            return -err->code;
        entries = find_table(writer, value, RUN_INTEGERS, n, (size_t)n * run.width);
    }
    if (entries)
        return put_table(writer, RUN_INTEGERS, entries, n, err);
    at = begin_run(writer, &run, err);
    if (!at)
        return -err->code;
    for (uint32_t i = 0; run.width && i < n; i++)
        put_number(at, run.width, i, (value[i] - run.base) / run.step);
    return 0;
}

/* --- floats and bytes ---------------------------------------------------------- */

/* Whole numbers of a small range, none of them -0: where they begin, and how far they
 * go. */
static bool are_whole(const float *value, uint32_t n, int32_t *base, uint32_t *range)
{
    float least = value[0], most = value[0];

    for (uint32_t i = 0; i < n; i++) {
        uint32_t bits;

        memcpy(&bits, &value[i], sizeof bits);
        if (!(value[i] >= -RUN_WHOLE_FLOATS && value[i] <= RUN_WHOLE_FLOATS) ||
            bits == 0x80000000 || value[i] != (float)(int32_t)value[i])
            return false;
        least = value[i] < least ? value[i] : least;
        most = value[i] > most ? value[i] : most;
    }
    *base = (int32_t)least;
    *range = (uint32_t)((int32_t)most - (int32_t)least);
    return *range < 1u << 16;
}

static int put_whole(struct run_writer *writer, const float *value, uint32_t n,
                     int32_t base, uint32_t range, struct err *err)
{
    struct run run = {.kind = RUN_FLOATS,
                      .encoding = RUN_STEPS,
                      .width = width_of(range),
                      .n = n,
                      .base = (uint64_t)(int64_t)base,
                      .step = 1};
    unsigned char *at = begin_run(writer, &run, err);

    if (!at)
        return -err->code;
    for (uint32_t i = 0; run.width && i < n; i++)
        put_number(at, run.width, i, (uint64_t)((int32_t)value[i] - base));
    return 0;
}

static int put_plain(struct run_writer *writer, enum run_kind kind, const void *values,
                     uint32_t n, struct err *err)
{
    struct run run = {.kind = kind, .encoding = RUN_PLAIN, .width = kind, .n = n};
    unsigned char *at = begin_run(writer, &run, err);

    if (!at)
        return -err->code;
    if (n)
        memcpy(at, values, n * (size_t)kind);
    return 0;
}

int run_put_floats(struct run_writer *writer, const float *value, uint32_t n,
                   struct err *err)
{
    bool whole = false;
    int32_t base = 0;
    uint32_t range = 0, entries;

    if (n == 0)
        return put_plain(writer, RUN_FLOATS, value, n, err);
    whole = are_whole(value, n, &base, &range);
    if (whole && range < 1u << 8)
        return put_whole(writer, value, n, base, range, err);
    if (table_memory(writer, n, err))
        return -err->code;
    entries = find_table(writer, value, RUN_FLOATS, n, (whole ? 2 : 4) * (size_t)n);
    if (entries)
        return put_table(writer, RUN_FLOATS, entries, n, err);
    if (whole)
        return put_whole(writer, value, n, base, range, err);
    return put_plain(writer, RUN_FLOATS, value, n, err);
}

int run_put_bytes(struct run_writer *writer, const char *byte, uint32_t n,
                  struct err *err)
{
    return put_plain(writer, RUN_BYTES, byte, n, err);
}

/* --- reading ------------------------------------------------------------------- */

static const char *check_steps(const struct run *run)
{
    const uint32_t w = run->width;
    int64_t base = (int64_t)run->base;

    if (run->kind == RUN_BYTES)
        return "text is packed as numbers";
    if (w != 0 && w != 1 && w != 2 && (run->kind == RUN_FLOATS || (w != 4 && w != 8)))
        return "a number has an impossible width";
    if (run->step == 0 || run->step > UINT32_MAX || (run->step != 1 && w == 8))
        return "a step is impossible";
    if (run->kind == RUN_FLOATS &&
        (run->step != 1 || base < -RUN_WHOLE_FLOATS || base > RUN_WHOLE_FLOATS ||
         base + (w ? 1 << 8 * w : 0) > 2 * RUN_WHOLE_FLOATS))
        return "a whole number does not fit a float";
    return NULL;
}

/* Every place in the run must be one of the table. */
static const char *check_places(const struct run *run)
{
    uint32_t most = 0;

    if (run->width == 1 || run->width == 2)
        most = packed_kernels()->largest(run->data, run->width, run->n);
    else if (run->width != 0)
        return "a place in a table has an impossible width";
#ifndef MUTANT_PACKED_PLACES
    if (most >= run->entries)
        return "a value has a place behind the end of its table";
#endif
    return NULL;
}

static const char *check_encoding(const struct run *run)
{
    switch (run->encoding) {
    case RUN_PLAIN:
        if (run->kind == RUN_INTEGERS || run->width != run->kind || run->base ||
            run->step)
            return "plain values have an impossible width";
        return NULL;
    case RUN_STEPS:
        return check_steps(run);
    case RUN_TABLE:
        if (run->kind == RUN_BYTES || run->base == 0 || run->base > RUN_TABLE_MAX ||
            run->step)
            return "a table has an impossible size";
        return NULL;
    default:
        return "values are packed in an unknown way";
    }
}

const char *run_parse(const unsigned char *at, size_t left, enum run_kind kind,
                      uint32_t n, struct run *run)
{
    const char *fault;
    size_t table;

    *run = (struct run){.kind = kind};
    if (left < RUN_HEADER_BYTES)
        return "values end before their header does";
    run->encoding = at[0];
    run->width = at[1];
    memcpy(&run->n, at + 4, 4);
    memcpy(&run->base, at + 8, 8);
    memcpy(&run->step, at + 16, 8);
    if (at[2] || at[3])
        return "reserved bytes are used";
    if (n == UINT32_MAX ? run->n > RUN_VALUES_MAX : run->n != n)
        return "there are too many or too few values";
    fault = check_encoding(run);
    if (fault)
        return fault;
    if (run->encoding == RUN_TABLE)
        run->entries = (uint32_t)run->base;
    table = padded(run->entries * (size_t)kind);
    run->bytes = RUN_HEADER_BYTES + table + padded(run->n * (size_t)run->width);
    if (run->bytes > left)
        return "values end behind their column";
    run->table = at + RUN_HEADER_BYTES;
    run->data = run->table + table;
    return run->encoding == RUN_TABLE ? check_places(run) : NULL;
}

void run_get_integers(const struct run *run, uint32_t first, uint32_t n, uint64_t *out)
{
    const uint64_t *entry = (const void *)run->table;
    const unsigned char *in = run->data + (size_t)first * run->width;
    uint64_t all = run->base;

    if (run->width == 0) {
        if (run->encoding == RUN_TABLE)
            all = entry[0];
        for (uint32_t i = 0; i < n; i++)
            out[i] = all;
    } else if (run->encoding == RUN_STEPS) {
        packed_kernels()->widen(in, run->width, n, run->base, (uint32_t)run->step, out);
    } else if (run->width == 1) {
        for (uint32_t i = 0; i < n; i++)
            out[i] = entry[in[i]];
    } else {
        for (uint32_t i = 0; i < n; i++)
            out[i] = entry[((const uint16_t *)(const void *)in)[i]];
    }
}

void run_get_floats(const struct run *run, uint32_t first, uint32_t n, float *out)
{
    const float *entry = (const void *)run->table;
    const unsigned char *in = run->data + (size_t)first * run->width;
    float all = (float)(int64_t)run->base;

    if (n == 0)
        return;
    if (run->encoding == RUN_PLAIN) {
        memcpy(out, in, n * sizeof *out);
    } else if (run->width == 0) {
        if (run->encoding == RUN_TABLE)
            all = entry[0];
        for (uint32_t i = 0; i < n; i++)
            out[i] = all;
    } else if (run->encoding == RUN_STEPS) {
        packed_kernels()->to_floats(in, run->width, n, (int32_t)run->base, out);
    } else if (run->width == 1) {
        for (uint32_t i = 0; i < n; i++)
            out[i] = entry[in[i]];
    } else {
        for (uint32_t i = 0; i < n; i++)
            out[i] = entry[((const uint16_t *)(const void *)in)[i]];
    }
}

void run_get_bytes(const struct run *run, uint32_t first, uint32_t n, char *out)
{
    if (n)
        memcpy(out, run->data + first, n);
}

/* A packed file with columns of every kind, in which example i is a function of i: for
 * tests of packed files, the golden one, and the fuzz target. What example i is never
 * changes: a golden file has it. */
#ifndef ROWHOUSE_TESTS_UNIT_PACKED_KIT_H
#define ROWHOUSE_TESTS_UNIT_PACKED_KIT_H

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/key.h"
#include "worker/stream/packed/packed.h"

enum { KIT_DIM = 3 };

static inline struct schema kit_schema(void)
{
    struct schema schema = SCHEMA_EMPTY;

    schema.user = schema_add(&schema, "user", VALUE_KEY);
    schema.column[0].keep_text = schema.column[0].may_miss = true;
    schema_add(&schema, "item", VALUE_KEY);
    schema_add(&schema, "genres", VALUE_KEYS);
    schema.label = schema_add(&schema, "rating", VALUE_NUMBER);
    schema_add(&schema, "image", VALUE_VECTOR);
    schema.column[4].dim = KIT_DIM;
    schema_add(&schema, "title", VALUE_TEXT);
    schema.time = schema_add(&schema, "seen", VALUE_TIME);
    schema_add(&schema, "price", VALUE_NUMBER);
    schema.column[7].may_miss = true;
    schema_add(&schema, "left", VALUE_TIME);
    schema.column[8].may_miss = true;
    schema_add(&schema, "shop", VALUE_KEY);
    schema.column[9].may_miss = true;
    return schema;
}

/* --- example i ----------------------------------------------------------------- */

static inline uint32_t kit_user(uint64_t i, char text[32])
{
    if (i % 11 == 3)
        return 0; /* there is none */
    return (uint32_t)snprintf(text, 32, i % 2 ? "user-%llu" : "%llu",
                              (unsigned long long)(i * 7919 % 1000));
}

static inline uint64_t kit_item(uint64_t i)
{
    static const uint64_t ends[] = {0, UINT64_MAX, 1, 1ull << 63};

    /* Some blocks have extremes, some small ranges, others few values that are long. */
    return i / 10 % 4 == 0   ? ends[i % 4]
           : i / 10 % 4 == 1 ? 1000000 + i * 300
           : i / 10 % 4 == 2 ? 0x123456789abcdef0u + i % 2
                             : 5;
}

static inline uint32_t kit_genres(uint64_t i)
{
    return i / 20 % 3 == 2 ? 2 : (uint32_t)(i % 4);
}

static inline float kit_weight(uint64_t i, uint32_t k)
{
    return i / 10 % 2 ? 1 : (float)(i + k) / 3;
}

static inline float kit_rating(uint64_t i)
{
    return i / 10 % 3 == 0   ? (float)(1 + i % 5)
           : i / 10 % 3 == 1 ? 0.5f * (float)(i % 9)
                             : -0.0f;
}

static inline float kit_pixel(uint64_t i, uint32_t k)
{
    return i / 10 % 2 ? (float)i * 0.37f + (float)k : (float)(i * 100 + k);
}

static inline uint32_t kit_title(uint64_t i, char text[32])
{
    return (uint32_t)snprintf(text, 32, "%.*s", (int)(i % 5),
                              "\xc3\xa4"
                              "bc");
}

static inline int64_t kit_seen(uint64_t i)
{
    return i / 10 % 2 ? ((int64_t)i - 7) * 86400 * 1000000ll
                      : 1735689600000000ll + (int64_t)(i * i % 1000003);
}

static inline float kit_price(uint64_t i)
{
    return i % 7 == 0 || i / 10 == 1 ? NAN : (float)(i * 31 % 100000) / 100.0f;
}

static inline int64_t kit_left(uint64_t i)
{
    return i % 5 == 0 ? TIME_MISSING : (int64_t)i;
}

/* --- blocks -------------------------------------------------------------------- */

static inline void kit_put_text(struct block *block, uint32_t c, const char *text,
                                uint32_t length)
{
    struct values *values = &block->column[c];
    struct err err;

    assert_int_equal(block_text_room(block, c, length, &err), 0);
    if (length)
        memcpy(values->text + values->offset[block->n], text, length);
    values->offset[block->n + 1] = values->offset[block->n] + length;
}

/* Adds example i to a block of kit_schema(). */
static inline void kit_add(struct block *block, uint64_t i)
{
    struct values *v = block->column;
    uint32_t n = block->n, length, begin = v[2].offset[n];
    char text[32] = "";
    struct err err;

    length = kit_user(i, text);
    v[0].key[n] = length ? key_of_text(text, length) : 0;
    v[0].missing[n] = length == 0;
    kit_put_text(block, 0, text, length);
    v[1].key[n] = kit_item(i);
    assert_int_equal(block_key_room(block, 2, 4, &err), 0);
    for (uint32_t k = 0; k < kit_genres(i); k++) {
        v[2].key[begin + k] = i + k;
        v[2].number[begin + k] = kit_weight(i, k);
    }
    v[2].offset[n + 1] = begin + kit_genres(i);
    v[3].number[n] = kit_rating(i);
    for (uint32_t k = 0; k < KIT_DIM; k++)
        v[4].number[n * KIT_DIM + k] = kit_pixel(i, k);
    length = kit_title(i, text);
    kit_put_text(block, 5, text, length);
    v[6].time[n] = kit_seen(i);
    v[7].number[n] = kit_price(i);
    v[8].time[n] = kit_left(i);
    v[9].key[n] = 7;
    v[9].missing[n] = 0;
    block->place[n] = 0;
    block->n++;
}

static inline void kit_must_be_text(const struct block *block, const char *name,
                                    uint32_t row, const char *text, uint32_t length)
{
    int c = schema_find(block->schema, name);
    const uint32_t *offset = c < 0 ? NULL : block->column[c].offset;

    if (!offset)
        return;
    assert_int_equal(offset[row + 1] - offset[row], length);
    if (length)
        assert_memory_equal(block->column[c].text + offset[row], text, length);
}

static inline void kit_must_be_number(float found, float wanted)
{
    if (isnan(wanted))
        assert_true(isnan(found));
    else
        assert_memory_equal(&found, &wanted, sizeof found); /* -0, too */
}

/* Of the columns that the block has: is row `row` example i? */
static inline void kit_must_be(const struct block *block, uint32_t row, uint64_t i)
{
    const struct schema *schema = block->schema;
    const struct values *v = block->column;
    char text[32] = "";
    uint32_t length = kit_user(i, text);
    int c;

    if ((c = schema_find(schema, "user")) >= 0) {
        assert_int_equal(v[c].missing[row], length == 0);
        assert_true(v[c].key[row] == (length ? key_of_text(text, length) : 0));
        kit_must_be_text(block, "user", row, text, length);
    }
    if ((c = schema_find(schema, "item")) >= 0)
        assert_true(v[c].key[row] == kit_item(i));
    if ((c = schema_find(schema, "genres")) >= 0) {
        uint32_t begin = v[c].offset[row];

        assert_int_equal(v[c].offset[row + 1] - begin, kit_genres(i));
        for (uint32_t k = 0; k < kit_genres(i); k++) {
            assert_int_equal(v[c].key[begin + k], i + k);
            kit_must_be_number(v[c].number[begin + k], kit_weight(i, k));
        }
    }
    if ((c = schema_find(schema, "rating")) >= 0)
        kit_must_be_number(v[c].number[row], kit_rating(i));
    if ((c = schema_find(schema, "image")) >= 0)
        for (uint32_t k = 0; k < KIT_DIM; k++)
            kit_must_be_number(v[c].number[row * KIT_DIM + k], kit_pixel(i, k));
    length = kit_title(i, text);
    kit_must_be_text(block, "title", row, text, length);
    if ((c = schema_find(schema, "seen")) >= 0)
        assert_true(v[c].time[row] == kit_seen(i));
    if ((c = schema_find(schema, "price")) >= 0)
        kit_must_be_number(v[c].number[row], kit_price(i));
    if ((c = schema_find(schema, "left")) >= 0)
        assert_true(v[c].time[row] == kit_left(i));
    if ((c = schema_find(schema, "shop")) >= 0)
        assert_true(v[c].key[row] == 7 && !v[c].missing[row]);
}

/* A file of `examples` examples, `capacity` in a block, given in blocks of 37. */
static inline void kit_write(const char *path, uint64_t examples, uint32_t capacity)
{
    struct schema schema = kit_schema();
    struct packed_writer *writer;
    struct packed_facts facts;
    struct block block;
    struct err err;

    if (packed_create(path, &schema, capacity, &writer, &err))
        fail_msg("%s", err.text);
    assert_int_equal(block_create(&block, &schema, 37, &err), 0);
    for (uint64_t i = 0; i < examples; i++) {
        kit_add(&block, i);
        if (block.n < 37 && i + 1 < examples)
            continue;
        if (packed_append(writer, &block, &err))
            fail_msg("%s", err.text);
        block_clear(&block);
    }
    if (packed_finish(writer, &facts, &err))
        fail_msg("%s", err.text);
    assert_int_equal(facts.examples, examples);
    packed_destroy(writer);
    block_release(&block);
}

#endif

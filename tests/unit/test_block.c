/* Blocks: rooms that grow, and filtering of every kind of column. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "worker/stream/block.h"

enum { N = 100, DIM = 3 };

static struct schema all_kinds(void)
{
    struct schema schema = SCHEMA_EMPTY;

    schema_add(&schema, "user", VALUE_KEY);
    schema.column[0].keep_text = schema.column[0].may_miss = true;
    schema_add(&schema, "genres", VALUE_KEYS);
    schema_add(&schema, "price", VALUE_NUMBER);
    schema_add(&schema, "image", VALUE_VECTOR);
    schema.column[3].dim = DIM;
    schema_add(&schema, "title", VALUE_TEXT);
    schema_add(&schema, "seen", VALUE_TIME);
    return schema;
}

/* Example i has i % 4 genres and a title of i % 5 letters. */
static void add_example(struct block *block, uint32_t i)
{
    struct err err;
    struct values *v = block->column;
    uint32_t n = block->n, keys = i % 4, letters = i % 5;

    assert_int_equal(block_text_room(block, 0, 1, &err), 0);
    assert_int_equal(block_key_room(block, 1, keys, &err), 0);
    assert_int_equal(block_text_room(block, 4, letters, &err), 0);
    v[0].key[n] = i;
    v[0].missing[n] = i % 7 == 0;
    v[0].text[v[0].offset[n]] = (char)('a' + i % 26);
    v[0].offset[n + 1] = v[0].offset[n] + 1;
    for (uint32_t k = 0; k < keys; k++) {
        v[1].key[v[1].offset[n] + k] = 1000 * i + k;
        v[1].number[v[1].offset[n] + k] = (float)k;
    }
    v[1].offset[n + 1] = v[1].offset[n] + keys;
    v[2].number[n] = (float)i / 2;
    for (uint32_t d = 0; d < DIM; d++)
        v[3].number[n * DIM + d] = (float)(i * DIM + d);
    for (uint32_t k = 0; k < letters; k++)
        v[4].text[v[4].offset[n] + k] = (char)('A' + i % 26);
    v[4].offset[n + 1] = v[4].offset[n] + letters;
    v[5].time[n] = i;
    block->place[n] = 10 * i;
    block->n++;
}

static void expect_example(const struct block *block, uint32_t n, uint32_t i)
{
    const struct values *v = block->column;

    assert_int_equal(block->place[n], 10 * i);
    assert_int_equal(v[0].key[n], i);
    assert_int_equal(v[0].missing[n], i % 7 == 0);
    assert_int_equal(v[0].offset[n + 1] - v[0].offset[n], 1);
    assert_int_equal(v[0].text[v[0].offset[n]], 'a' + i % 26);
    assert_int_equal(v[1].offset[n + 1] - v[1].offset[n], i % 4);
    for (uint32_t k = 0; k < i % 4; k++) {
        assert_int_equal(v[1].key[v[1].offset[n] + k], 1000 * i + k);
        assert_true(v[1].number[v[1].offset[n] + k] == (float)k);
    }
    assert_true(v[2].number[n] == (float)i / 2);
    for (uint32_t d = 0; d < DIM; d++)
        assert_true(v[3].number[n * DIM + d] == (float)(i * DIM + d));
    assert_int_equal(v[4].offset[n + 1] - v[4].offset[n], i % 5);
    for (uint32_t k = 0; k < i % 5; k++)
        assert_int_equal(v[4].text[v[4].offset[n] + k], 'A' + i % 26);
    assert_int_equal(v[5].time[n], i);
}

static void check_filter(uint32_t modulus, uint32_t rest)
{
    struct schema schema = all_kinds();
    struct block block;
    struct err err;
    uint8_t keep[N];
    uint32_t n = 0;

    assert_int_equal(block_create(&block, &schema, N, &err), 0);
    for (int round = 0; round < 2; round++) { /* filled again, too */
        block_clear(&block);
        for (uint32_t i = 0; i < N; i++) {
            add_example(&block, i);
            keep[i] = i % modulus <= rest;
        }
        block_filter(&block, keep);
        n = 0;
        for (uint32_t i = 0; i < N; i++)
            if (keep[i])
                expect_example(&block, n++, i);
        assert_int_equal(block.n, n);
    }
    block_release(&block);
}

static void test_filter(void **state)
{
    (void)state;
    check_filter(1, 0); /* all */
    check_filter(2, 0);
    check_filter(3, 1);
    check_filter(N + 1, 0); /* the first one */
    check_filter(10, 8);
}

/* Users' columns from one block, an item's from others: as if a file had them so. */
static void test_mixed(void **state)
{
    const bool from_other[] = {false, true, false, true, true, false};
    struct schema schema = all_kinds();
    struct block from, other, to;
    const struct block *others[N];
    uint32_t number[N];
    struct err err;

    (void)state;
    assert_int_equal(block_create(&from, &schema, N, &err), 0);
    assert_int_equal(block_create(&other, &schema, N, &err), 0);
    assert_int_equal(block_create(&to, &schema, N, &err), 0);
    for (uint32_t i = 0; i < N; i++) {
        add_example(&from, i);
        add_example(&other, i);
        others[i] = i % 2 ? &other : &from;
        number[i] = N - 1 - i;
    }
    assert_int_equal(
        block_append_mixed(&to, &from, 5, others, number, from_other, N, &err), 0);
    assert_int_equal(to.n, N);
    for (uint32_t i = 0; i < N; i++) {
        const struct values *v = to.column;
        uint32_t item = N - 1 - i;

        assert_true(v[0].key[i] == 5 && !v[0].missing[i] && v[5].time[i] == 5);
        assert_int_equal(v[0].text[v[0].offset[i]], 'f');
        assert_int_equal(v[1].offset[i + 1] - v[1].offset[i], item % 4);
        if (item % 4)
            assert_int_equal(v[1].key[v[1].offset[i]], 1000 * item);
        assert_true(v[2].number[i] == 2.5f);
        assert_true(v[3].number[i * DIM] == (float)(item * DIM));
        assert_int_equal(v[4].offset[i + 1] - v[4].offset[i], item % 5);
        assert_int_equal(to.place[i], 50);
    }
    block_release(&from);
    block_release(&other);
    block_release(&to);
}

static void test_room_is_bounded(void **state)
{
    struct schema schema = all_kinds();
    struct block block;
    struct err err;

    (void)state;
    assert_int_equal(block_create(&block, &schema, N, &err), 0);
    assert_int_equal(block_key_room(&block, 1, (uint64_t)1 << 32, &err), -ERR_INPUT);
    assert_int_equal(block_text_room(&block, 4, UINT64_MAX / 2, &err), -ERR_INPUT);
    assert_int_equal(block_key_room(&block, 1, 5000, &err), 0);
    assert_true(block.column[1].key_room >= 5000);
    block_release(&block);
}

static void test_schema(void **state)
{
    struct schema schema = all_kinds();

    (void)state;
    assert_int_equal(schema.columns, 6);
    assert_int_equal(schema_find(&schema, "title"), 4);
    assert_int_equal(schema_find(&schema, "titl"), SCHEMA_NONE);
    assert_int_equal(schema.label, SCHEMA_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_filter),
        cmocka_unit_test(test_mixed),
        cmocka_unit_test(test_room_is_bounded),
        cmocka_unit_test(test_schema),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

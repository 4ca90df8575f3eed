/* Exemplars: the first or the latest example of each key, however many come by. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "worker/exemplars.h"

enum { N = 1000 };

static struct schema schema;

/* Example i says i in a number and in i % 3 keys. */
static void fill(struct block *block, uint32_t first)
{
    struct err err;

    block_clear(block);
    for (uint32_t i = first; i < first + N; i++) {
        struct values *keys = &block->column[1];
        uint32_t n = block->n++, begin = keys->offset[n];

        block->column[0].number[n] = (float)i;
        block->n = n;
        assert_int_equal(block_key_room(block, 1, i % 3, &err), 0);
        for (uint32_t k = 0; k < i % 3; k++) {
            keys->key[begin + k] = i;
            keys->number[begin + k] = 1;
        }
        keys->offset[n + 1] = begin + i % 3;
        block->place[n] = i;
        block->n = n + 1;
    }
}

static void expect(const struct exemplars *exemplars, uint64_t key, uint32_t i)
{
    const struct block *block;
    uint32_t id, at;

    assert_true(exemplars_find(exemplars, key, &id));
    block = exemplars_at(exemplars, id, &at);
    assert_true(block->column[0].number[at] == (float)i);
    assert_int_equal(block->column[1].offset[at + 1] - block->column[1].offset[at],
                     i % 3);
    for (uint32_t k = block->column[1].offset[at]; k < block->column[1].offset[at + 1];
         k++)
        assert_int_equal(block->column[1].key[k], i);
}

/* Blocks of N examples, of keys i % keys at the time i / 10, or backwards. */
static void add_blocks(struct exemplars *exemplars, uint32_t blocks, uint32_t keys,
                       bool backwards)
{
    struct block block;
    struct err err;

    assert_int_equal(block_create(&block, &schema, N, &err), 0);
    for (uint32_t b = 0; b < blocks; b++) {
        fill(&block, b * N);
        for (uint32_t n = 0; n < N; n++) {
            uint32_t i = b * N + n;
            int64_t time = backwards ? -(int64_t)i : i / 10;

            assert_int_equal(
                exemplars_add(exemplars, 7000 + i % keys, time, &block, n, &err), 0);
        }
    }
    block_release(&block);
}

static void test_first(void **state)
{
    struct exemplars exemplars;
    uint32_t id;

    (void)state;
    exemplars_init(&exemplars, &schema, false);
    assert_false(exemplars_find(&exemplars, 7000, &id));
    add_blocks(&exemplars, 30, 9000, false);
    assert_false(exemplars_find(&exemplars, 6999, &id));
    assert_int_equal(exemplars.examples, 9000);
    for (uint32_t k = 0; k < 9000; k++)
        expect(&exemplars, 7000 + k, k);
    exemplars_release(&exemplars);
}

/* Of equal times the last; what is no longer kept does not pile up. */
static void test_latest(void **state)
{
    struct exemplars exemplars;

    (void)state;
    exemplars_init(&exemplars, &schema, true);
    add_blocks(&exemplars, 100, 70, false);
    for (uint32_t i = 100 * N - 70; i < 100 * N; i++)
        expect(&exemplars, 7000 + i % 70, i);
    assert_true(exemplars.blocks <= 3);
    exemplars_release(&exemplars);
}

static void test_latest_by_time(void **state)
{
    struct exemplars exemplars;

    (void)state;
    exemplars_init(&exemplars, &schema, true);
    add_blocks(&exemplars, 10, 70, true);
    for (uint32_t k = 0; k < 70; k++)
        expect(&exemplars, 7000 + k, k);
    exemplars_release(&exemplars);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first),
        cmocka_unit_test(test_latest),
        cmocka_unit_test(test_latest_by_time),
    };

    schema = SCHEMA_EMPTY;
    schema_add(&schema, "number", VALUE_NUMBER);
    schema_add(&schema, "keys", VALUE_KEYS);
    return cmocka_run_group_tests_name("exemplars", tests, NULL, NULL);
}

/* Examples by groups: what each has to show is of the training part alone, what is to
 * be found is of its own part, and both stand in the order of the files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/rng.h"
#include "worker/stream/grouped.h"

enum { TRAIN = 20000, TEST = 3000, USERS = 9000, ITEMS = 500 };

/* Places of columns. */
enum { USER, ITEM, SHOP, TAGS, AGE, PLACE, NOTE, AT, RATING, TARGET };

static struct err err;

/* Example i of a part: all of its values follow from what it is. */
static uint64_t bits(int part, uint32_t i, uint32_t what)
{
    return rng_at(17 + (uint64_t)part, what, i);
}

static uint64_t user_of(int part, uint32_t i)
{
    /* The test part has users of its own. */
    return 7 + rng_below(bits(part, i, USER), USERS) + (part ? USERS / 2 : 0);
}

static void fill_lists(struct block *block, int part, uint32_t i, uint32_t number)
{
    struct values *tags = &block->column[TAGS], *note = &block->column[NOTE];
    uint32_t keys = number % 3, at = tags->offset[i];

    assert_int_equal(block_key_room(block, TAGS, keys, &err), 0);
    for (uint32_t k = 0; k < keys; k++, at++) {
        tags->key[at] = bits(part, number, TAGS) + k;
        tags->number[at] = (float)k;
    }
    tags->offset[i + 1] = at;
    assert_int_equal(block_text_room(block, NOTE, 2, &err), 0);
    for (uint32_t k = 0; k < 2; k++)
        note->text[note->offset[i] + k] = (char)('a' + (number + k) % 26);
    note->offset[i + 1] = note->offset[i] + 2;
}

static void fill_example(struct block *block, int part, uint32_t number)
{
    struct values *column = block->column;
    uint32_t i = block->n;

    column[USER].key[i] = user_of(part, number);
    column[ITEM].key[i] = rng_below(bits(part, number, ITEM), ITEMS);
    column[SHOP].key[i] = rng_below(bits(part, number, SHOP), 5);
    column[AGE].number[i] = (float)number;
    column[PLACE].number[2 * i] = (float)number + 0.25F;
    column[PLACE].number[2 * i + 1] = (float)number + 0.5F;
    column[AT].time[i] = -(int64_t)number;
    column[RATING].number[i] = (float)(bits(part, number, RATING) % 5);
    block->place[i] = 1000 + number;
    fill_lists(block, part, i, number);
    block->n++;
}

static void fill_part(struct dataset *dataset, struct part *part, int which, uint32_t n)
{
    part->examples = n;
    part->block = calloc(n / GATHER_EXAMPLES + 1, sizeof *part->block);
    for (uint32_t i = 0; i < n; i++) {
        if (i % GATHER_EXAMPLES == 0)
            assert_int_equal(block_create(&part->block[part->blocks++], dataset->schema,
                                          GATHER_EXAMPLES, &err),
                             0);
        fill_example(&part->block[part->blocks - 1], which, i);
    }
}

static int set_up(void **state)
{
    static const struct {
        const char *name;
        enum value_kind kind;
    } column[] = {
        {"user", VALUE_KEY},  {"item", VALUE_KEY},   {"shop", VALUE_KEY},
        {"tags", VALUE_KEYS}, {"age", VALUE_NUMBER}, {"place", VALUE_VECTOR},
        {"note", VALUE_TEXT}, {"at", VALUE_TIME},    {"rating", VALUE_NUMBER}};
    struct dataset *dataset = calloc(1, sizeof *dataset);

    dataset->schema = malloc(sizeof *dataset->schema);
    *dataset->schema = SCHEMA_EMPTY;
    for (size_t c = 0; c < sizeof column / sizeof *column; c++)
        schema_add(dataset->schema, column[c].name, column[c].kind);
    dataset->schema->column[PLACE].dim = 2;
    dataset->schema->label = RATING;
    fill_part(dataset, &dataset->train, 0, TRAIN);
    fill_part(dataset, &dataset->test, 1, TEST);
    *state = dataset;
    return 0;
}

static int tear_down(void **state)
{
    dataset_release(*state);
    free(*state);
    return 0;
}

static void group(struct dataset *dataset)
{
    if (dataset_group(dataset, "user", "item", &err))
        fail_msg("%s", err.text);
}

/* --- by the plainest means -------------------------------------------------------- */

/* The list of column `what` of a group is that of the user's examples in `part`. */
static void expect_list(const struct block *block, uint32_t i, int column, int part,
                        uint32_t what, uint32_t below)
{
    const struct values *values = &block->column[column];
    uint64_t user = block->column[USER].key[i];
    uint32_t at = values->offset[i], n = part ? TEST : TRAIN;

    for (uint32_t e = 0; e < n; e++) {
        if (user_of(part, e) != user)
            continue;
        assert_true(at < values->offset[i + 1]);
        assert_int_equal(values->key[at], rng_below(bits(part, e, what), below));
        assert_true(values->number[at++] == (float)(bits(part, e, RATING) % 5));
    }
    assert_int_equal(at, values->offset[i + 1]);
}

/* What is no key is that of the group's first example. */
static void expect_first(const struct block *block, uint32_t i, int part,
                         uint32_t first)
{
    const struct values *column = block->column, *tags = &column[TAGS];
    const struct values *note = &column[NOTE];

    assert_int_equal(block->place[i], 1000 + first);
    assert_int_equal(column[USER].key[i], user_of(part, first));
    assert_true(column[AGE].number[i] == (float)first);
    assert_true(column[PLACE].number[2 * i + 1] == (float)first + 0.5F);
    assert_int_equal(column[AT].time[i], -(int64_t)first);
    assert_int_equal(note->offset[i + 1] - note->offset[i], 2);
    assert_int_equal(note->text[note->offset[i]], 'a' + first % 26);
    assert_int_equal(tags->offset[i + 1] - tags->offset[i], first % 3);
    for (uint32_t k = 0; k < first % 3; k++) {
        assert_int_equal(tags->key[tags->offset[i] + k], bits(part, first, TAGS) + k);
        assert_true(tags->number[tags->offset[i] + k] == (float)k);
    }
}

/* Each user of a part once, in the order of first examples; every 37th is looked at
 * closely. Returns how many of these have nothing in training. */
static uint32_t expect_part(const struct part *made, int part, uint32_t n)
{
    uint8_t *seen = calloc(7 + 2 * USERS, 1);
    uint32_t groups = 0, empty = 0;

    for (uint32_t e = 0; e < n; e++) {
        const struct block *block = &made->block[groups / GATHER_EXAMPLES];
        uint32_t i = groups % GATHER_EXAMPLES;

        if (seen[user_of(part, e)]++)
            continue;
        assert_true(groups++ < made->examples);
        assert_true(i < block->n);
        expect_first(block, i, part, e);
        if (groups % 37)
            continue;
        expect_list(block, i, ITEM, 0, ITEM, ITEMS);
        expect_list(block, i, SHOP, 0, SHOP, 5);
        expect_list(block, i, TARGET, part, ITEM, ITEMS);
        empty += block->column[ITEM].offset[i] == block->column[ITEM].offset[i + 1];
    }
    assert_int_equal(groups, made->examples);
    assert_int_equal(made->blocks, (groups + GATHER_EXAMPLES - 1) / GATHER_EXAMPLES);
    free(seen);
    return empty;
}

static void test_groups_are_their_examples(void **state)
{
    struct dataset *dataset = *state;

    group(dataset);
    assert_int_equal(schema_find(dataset->schema, GROUPED_TARGET), TARGET);
    assert_int_equal(dataset->schema->column[USER].kind, VALUE_KEY);
    assert_int_equal(dataset->schema->column[SHOP].kind, VALUE_KEYS);
    assert_int_equal(expect_part(&dataset->train, 0, TRAIN), 0);
    assert_true(dataset->train.blocks > 1);
    /* Users whom training does not know have empty lists, and something to find. */
    assert_true(expect_part(&dataset->test, 1, TEST) > 5);
    assert_int_equal(dataset->validation.examples, 0);
}

/* Another test part changes nothing of what a model may look at. */
static void test_nothing_leaks(void **state)
{
    struct dataset *dataset = *state, *other;
    void *second;

    set_up(&second);
    other = second;
    for (uint32_t i = 0; i < TEST; i++) {
        other->test.block[0].column[ITEM].key[i] = ITEMS + i;
        other->test.block[0].column[SHOP].key[i] = 77;
        other->test.block[0].column[RATING].number[i] = 9;
    }
    group(dataset);
    group(other);
    for (int c = ITEM; c <= SHOP; c++) {
        const struct values *a = &dataset->test.block[0].column[c];
        const struct values *b = &other->test.block[0].column[c];
        uint32_t groups = (uint32_t)dataset->test.examples;

        assert_memory_equal(a->offset, b->offset, (groups + 1) * sizeof *a->offset);
        assert_true(a->offset[groups] > 100);
        assert_memory_equal(a->key, b->key, a->offset[groups] * sizeof *a->key);
        assert_memory_equal(a->number, b->number,
                            a->offset[groups] * sizeof *a->number);
    }
    assert_true(other->test.block[0].column[TARGET].key[0] >= ITEMS);
    tear_down(&second);
}

/* Without labels all keys count once. */
static void test_no_label(void **state)
{
    struct dataset *dataset = *state;
    const struct values *items;

    dataset->schema->label = SCHEMA_NONE;
    group(dataset);
    items = &dataset->train.block[0].column[ITEM];
    for (uint32_t k = 0; k < items->offset[dataset->train.block[0].n]; k++)
        assert_true(items->number[k] == 1);
}

/* The text that a key has stays with it. */
static void test_keys_with_text(void **state)
{
    struct dataset *dataset = calloc(1, sizeof *dataset);
    const struct block *made;
    struct block *block;

    (void)state;
    dataset->schema = malloc(sizeof *dataset->schema);
    *dataset->schema = SCHEMA_EMPTY;
    schema_add(dataset->schema, "user", VALUE_KEY);
    schema_add(dataset->schema, "item", VALUE_KEY);
    dataset->schema->column[0].keep_text = true;
    dataset->train.block = calloc(1, sizeof *block);
    block = dataset->train.block;
    dataset->train.blocks = 1;
    dataset->train.examples = 3;
    assert_int_equal(block_create(block, dataset->schema, GATHER_EXAMPLES, &err), 0);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(block_text_room(block, 0, 1, &err), 0);
        block->column[0].text[i] = "xyx"[i];
        block->column[0].offset[i + 1] = i + 1;
        block->column[0].key[i] = i % 2 ? 40 : 50;
        block->column[1].key[i] = i;
        block->place[block->n++] = i;
    }
    group(dataset);
    made = &dataset->train.block[0];
    assert_int_equal(made->n, 2);
    assert_int_equal(made->column[0].key[0], 50);
    assert_int_equal(made->column[0].key[1], 40);
    assert_memory_equal(made->column[0].text, "xy", 2);
    dataset_release(dataset);
    free(dataset);
}

static void test_columns_must_be_keys(void **state)
{
    static const char *const wrong[][2] = {{"usr", "item"},  {"user", "itm"},
                                           {"tags", "item"}, {"user", "age"},
                                           {"user", "user"}, {"user", "tags"}};
    struct dataset *dataset = *state;

    for (size_t w = 0; w < sizeof wrong / sizeof *wrong; w++) {
        assert_int_equal(dataset_group(dataset, wrong[w][0], wrong[w][1], &err),
                         -ERR_INPUT);
        assert_non_null(strstr(err.text, wrong[w][0]));
        assert_non_null(strstr(err.text, wrong[w][1]));
        assert_int_equal(dataset->train.examples, TRAIN);
        assert_int_equal(dataset->schema->columns, TARGET);
    }
    group(dataset); /* which is whole */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_groups_are_their_examples, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_nothing_leaks, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_no_label, set_up, tear_down),
        cmocka_unit_test(test_keys_with_text),
        cmocka_unit_test_setup_teardown(test_columns_must_be_keys, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("grouped", tests, NULL, NULL);
}

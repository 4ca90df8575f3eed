/* From blocks to batches: every input has what its columns have, keys are those of the
 * rows that pos points to, and nothing is written behind what there is room for. */
#include "tests/unit/heap_count.h"
#include "tests/unit/model_kit.h"

enum { N = 70 };

/* In the order of the job. */
enum { WHO, WHAT, AGAIN, KINDS, PAST, FACTS };

static int set_up(void **state)
{
    struct model_kit *kit = model_kit_create();

    model_all_inputs(kit);
    model_block(kit, N);
    *state = kit;
    return 0;
}

static int tear_down(void **state)
{
    model_kit_destroy(*state);
    return 0;
}

static int set_up_made(void **state)
{
    set_up(state);
    model_make(*state, N);
    return 0;
}

/* The key of number `at` of an input's rows. */
static uint64_t key_at(const struct model_kit *kit, uint32_t input, uint32_t at)
{
    uint32_t pos = kit->batch.input[input].pos[at];
    const struct keyset *set = &kit->batch.set[kit->blueprint->input[input].table];

    assert_true(pos < set->rows);
    return set->key[pos];
}

/* Example e of the batch has what `from` has, and of the item what `of_item` has. */
static void expect_example(const struct model_kit *kit, uint32_t e, uint32_t from,
                           uint32_t of_item)
{
    const struct values *column = kit->block.column;
    const struct values *tags = &column[IN_TAGS], *seen = &column[IN_SEEN];
    const struct batch_input *in = kit->batch.input;
    const float *facts = in[FACTS].number + 3 * (size_t)e;
    uint32_t keys = tags->offset[from + 1] - tags->offset[from];
    uint32_t past = seen->offset[from + 1] - seen->offset[from];

    assert_int_equal(key_at(kit, WHO, e), column[IN_USER].key[from]);
    assert_int_equal(key_at(kit, WHAT, e), column[IN_ITEM].key[of_item]);
    assert_int_equal(in[KINDS].offset[e + 1] - in[KINDS].offset[e],
                     keys < 3 ? keys : 3);
    for (uint32_t k = in[KINDS].offset[e]; k < in[KINDS].offset[e + 1]; k++) {
        uint32_t at = tags->offset[from] + k - in[KINDS].offset[e];

        assert_int_equal(key_at(kit, KINDS, k), tags->key[at]);
        assert_true(in[KINDS].number[k] == tags->number[at]);
    }
    for (uint32_t k = 0; k < 2 && k < past; k++)
        assert_int_equal(key_at(kit, PAST, 2 * e + k),
                         seen->key[seen->offset[from] + k]);
    for (uint32_t k = past; k < 2; k++)
        assert_int_equal(in[PAST].pos[2 * e + k], LAYER_NO_ROW);
    assert_true(facts[0] == column[IN_PLACE].number[2 * from]);
    assert_true(facts[1] == column[IN_PLACE].number[2 * from + 1]);
    assert_true(facts[2] == column[IN_AGE].number[from]);
}

/* A table's weights count all uses of its rows. */
static double uses_of(const struct model_kit *kit, const char *table)
{
    const struct keyset *set = &kit->batch.set[job_table_index(&kit->job, table)];
    double uses = 0;

    for (uint32_t row = 0; row < set->rows; row++)
        uses += (double)set->weight[row];
    return uses;
}

static void test_every_kind_of_input(void **state)
{
    struct model_kit *kit = *state;
    const struct values *seen = &kit->block.column[IN_SEEN];
    double past = 0;

    model_batch(kit, N, false);
    for (uint32_t i = 0; i < N; i++) {
        uint32_t keys = seen->offset[i + 1] - seen->offset[i];

        expect_example(kit, i, i, i);
        past += keys < 2 ? keys : 2;
    }
    assert_true(uses_of(kit, "user") == N);
    assert_true(uses_of(kit, "item") == N + past); /* `again` has the keys of `what` */
    assert_int_equal(kit->blueprint->input[AGAIN].same, WHAT);
    assert_int_equal(kit->blueprint->input[PAST].same, PAST);
}

/* The next batch has nothing of the one before, and the heap is left alone. */
static void test_batch_after_batch(void **state)
{
    struct model_kit *kit = *state;
    static const uint32_t few[] = {5, 3, 3, 60};
    uint64_t calls;

    model_batch(kit, N, true);
    calls = heap_count();
    model_batch(kit, N, true);
    kit->batch.n = 0;
    inputs_begin(kit->inputs, &kit->batch);
    model_add(kit, few, 3);
    model_add(kit, few + 3, 1);
    inputs_build(kit->inputs, &kit->batch);
    assert_int_equal(heap_count(), calls);
    for (uint32_t i = 0; i < 4; i++)
        expect_example(kit, i, few[i], few[i]);
    assert_true(uses_of(kit, "user") == 4);
}

/* Parameters: all rows, each used by all examples, cut as their servers have them. */
static void test_parameters_come_whole(void **state)
{
    struct model_kit *kit = *state;
    int table = job_table_index(&kit->job, "out");
    const struct keyset *set = &kit->batch.set[table];

    assert_true(kit->blueprint->whole[table]);
    model_batch(kit, N, false);
    model_batch(kit, 40, false);
    assert_int_equal(set->rows, kit->job.table[table].rows);
    for (uint32_t row = 0; row < set->rows; row++) {
        assert_int_equal(set->key[row], row);
        assert_true(set->weight[row] == 40);
    }
    for (uint32_t server = 0; server <= MODEL_SERVERS; server++)
        assert_int_equal(set->part[server],
                         row_first(set->rows, server, MODEL_SERVERS));
}

static void test_mixed_examples(void **state)
{
    struct model_kit *kit = *state;
    static const uint32_t own[] = {4, 4, 4, 9}, others[] = {1, 2, 66, 0};
    const struct block *block[] = {&kit->block, &kit->block, &kit->block, &kit->block};
    bool from_other[JOB_COLUMNS_MAX] = {false};

    from_other[IN_ITEM] = true; /* the job's columns are in the schema's order */
    kit->batch.n = 0;
    inputs_begin(kit->inputs, &kit->batch);
    model_add(kit, own, 2);
    inputs_add_mixed(kit->inputs, &kit->batch, &kit->block, own, block, others,
                     from_other, 4);
    kit->batch.n += 4;
    inputs_build(kit->inputs, &kit->batch);
    expect_example(kit, 0, 4, 4);
    for (uint32_t i = 0; i < 4; i++)
        expect_example(kit, 2 + i, own[i], others[i]);
    assert_true(uses_of(kit, "user") == 6);
}

/* --- targets ---------------------------------------------------------------------- */

/* Keys that the target's table has no row for are no target. */
static void test_targets_have_rows(void **state)
{
    struct model_kit *kit = *state;
    struct batch *batch = &kit->batch;

    model_set(kit, "model.loss", "softmax");
    model_set(kit, "model.target", "seen");
    model_set(kit, "model.layers.out.width", "9");
    model_set(kit, "model.layers.past.columns", "tags");
    model_make(kit, N);
    assert_int_equal(kit->blueprint->target, TARGET_LIST);
    for (uint32_t k = 0; k < kit->block.column[IN_SEEN].offset[N]; k += 3)
        kit->block.column[IN_SEEN].key[k] = k % 2 ? 9 : UINT64_MAX;
    model_batch(kit, N, false);
    for (uint32_t i = 0; i < N; i++) {
        const struct values *seen = &kit->block.column[IN_SEEN];
        uint32_t at = batch->target_offset[i];

        for (uint32_t k = seen->offset[i]; k < seen->offset[i + 1]; k++) {
            if (k % 3 == 0)
                continue;
            assert_int_equal(batch->target[at], seen->key[k]);
            assert_true(batch->target_value[at++] == seen->number[k]);
        }
        assert_int_equal(batch->target_offset[i + 1], at);
    }
}

/* A list has at most as many targets as there are classes. */
static void test_targets_have_room(void **state)
{
    struct model_kit *kit = *state;
    struct values *seen = &kit->block.column[IN_SEEN];

    model_set(kit, "model.loss", "softmax");
    model_set(kit, "model.target", "seen");
    model_set(kit, "model.layers.out.width", "9");
    model_make(kit, 3);
    seen->offset[N] = 0;
    assert_int_equal(block_key_room(&kit->block, IN_SEEN, 60, &kit->err), 0);
    for (uint32_t k = 0; k < 60; k++) {
        seen->key[k] = k % 9;
        seen->number[k] = 1;
    }
    for (uint32_t i = 0; i < 3; i++)
        seen->offset[i + 1] = 20 * (i + 1);
    model_batch(kit, 3, false);
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(kit->batch.target_offset[i + 1], 9 * (i + 1));
    assert_int_equal(kit->batch.target[9], 20 % 9);
}

static void test_one_class(void **state)
{
    struct model_kit *kit = *state;

    model_set(kit, "model.loss", "softmax");
    model_set(kit, "model.target", "item");
    model_set(kit, "model.layers.out.width", "9");
    model_make(kit, N);
    assert_int_equal(kit->blueprint->target, TARGET_CLASS);
    kit->block.column[IN_ITEM].key[3] = 9; /* no row of that table */
    kit->batch.n = 0;
    inputs_begin(kit->inputs, &kit->batch);
    model_add(kit, (const uint32_t[]){2, 3, 4}, 3);
    assert_int_equal(kit->batch.target_offset[1], 1);
    assert_int_equal(kit->batch.target_offset[2], 1);
    assert_int_equal(kit->batch.target_offset[3], 2);
    assert_int_equal(kit->batch.target[0], kit->block.column[IN_ITEM].key[2]);
    assert_int_equal(kit->batch.target[1], kit->block.column[IN_ITEM].key[4]);
    assert_true(kit->batch.target_value[1] == 1);
}

/* --- errors ----------------------------------------------------------------------- */

static void expect_unbound(struct model_kit *kit, int column, const char *sentence)
{
    struct schema schema = kit->schema;

    memcpy(schema.column[column].name, "else", 5);
    assert_int_equal(inputs_bind(kit->inputs, &schema, &kit->err), -ERR_INPUT);
    assert_non_null(strstr(kit->err.text, sentence));
}

static void test_columns_that_data_lack(void **state)
{
    struct model_kit *kit = *state;
    struct schema schema;

    model_set(kit, "model.loss", "softmax");
    model_set(kit, "model.target", "seen");
    model_set(kit, "model.layers.out.width", "9");
    model_set(kit, "model.layers.past.columns", "tags");
    model_make(kit, N);
    expect_unbound(kit, IN_USER, "needs column 'user'");
    expect_unbound(kit, IN_PLACE, "needs column 'place'");
    expect_unbound(kit, IN_SEEN, "model.target is column 'seen'");
    schema = kit->schema;
    schema.column[IN_TAGS].kind = VALUE_KEY;
    assert_int_equal(inputs_bind(kit->inputs, &schema, &kit->err), -ERR_INPUT);
    assert_non_null(strstr(kit->err.text, "column 'tags' as lists"));
    schema.column[IN_TAGS].kind = VALUE_KEYS;
    schema.column[IN_ITEM].kind = VALUE_KEYS;
    assert_int_equal(inputs_bind(kit->inputs, &schema, &kit->err), -ERR_INPUT);
    assert_non_null(strstr(kit->err.text, "column 'item' as keys"));
}

/* A batch has room for as many rows as its examples can have. */
static void test_room_of_batches(void **state)
{
    struct model_kit *kit = *state;
    struct batch batch;

    assert_int_equal(blueprint_rows(kit->blueprint, 0, 10), 10);
    assert_int_equal(blueprint_rows(kit->blueprint, 1, 10), 10 + 20);
    assert_int_equal(blueprint_rows(kit->blueprint, 2, 10), 30);
    assert_int_equal(kit->batch.set[1].capacity, 3 * N);
    assert_int_equal(kit->batch.set[1].dense, MODEL_ITEMS);
    assert_int_equal(batch_create_for(&batch, kit->blueprint, MODEL_SERVERS,
                                      KEYSET_CAPACITY_MAX / 2, &kit->err),
                     -ERR_INPUT);
    assert_non_null(strstr(kit->err.text, "may use 25165824 rows of a table"));
    assert_non_null(strstr(kit->err.text, "train.batch"));
    batch_release(&batch); /* nothing is left */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_kind_of_input, set_up_made,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_batch_after_batch, set_up_made, tear_down),
        cmocka_unit_test_setup_teardown(test_parameters_come_whole, set_up_made,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_mixed_examples, set_up_made, tear_down),
        cmocka_unit_test_setup_teardown(test_targets_have_rows, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_targets_have_room, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_class, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_columns_that_data_lack, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_room_of_batches, set_up_made, tear_down),
    };

    return cmocka_run_group_tests_name("inputs", tests, NULL, NULL);
}

/* Batches from memory and from files: the same examples with their keys and labels. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/unit/scratch.h"
#include "worker/supply.h"

enum { EXAMPLES = 5000, BATCH = 64, SERVERS = 3 };

struct kit {
    struct scratch scratch;
    struct job job;
    struct data data;
    struct batch batch;
    struct blueprint *blueprint;
    struct supply *supply;
    bool stop;
    uint32_t seen[EXAMPLES];
};

static void set(struct kit *kit, const char *name, const char *value)
{
    struct err err;

    if (job_set(&kit->job, name, value, "test", &err))
        fail_msg("%s", err.text);
}

/* Example i has user i, item i % 41, label i % 5, the age i / 8, the tags i and i + 1,
 * and counts 1 + i % 3 times where weights are asked for. */
static int set_up(void **state)
{
    struct kit *kit = calloc(1, sizeof *kit);
    const char *path;
    FILE *file;

    assert_non_null(kit);
    scratch_init(&kit->scratch);
    path = scratch_path(&kit->scratch, "data.tsv");
    file = fopen(path, "w");
    assert_non_null(file);
    fputs("item\tuser\trating\tage\ttags\tcount\n", file);
    for (int i = 0; i < EXAMPLES; i++)
        fprintf(file, "%d\t%d\t%d\t%g\t%d|%d\t%d\n", i % 41, i, i % 5, i / 8.0, i,
                i + 1, 1 + i % 3);
    assert_int_equal(fclose(file), 0);
    job_init(&kit->job);
    set(kit, "data.train", path);
    set(kit, "data.label", "rating");
    set(kit, "tables.user.dim", "2");
    set(kit, "tables.item.dim", "2");
    set(kit, "data.columns.user.table", "user");
    set(kit, "data.columns.item.table", "item");
    set(kit, "data.chunk", "256");
    set(kit, "data.mix", "4");
    set(kit, "train.batch", "64");
    *state = kit;
    return 0;
}

static int tear_down(void **state)
{
    struct kit *kit = *state;

    supply_destroy(kit->supply);
    batch_release(&kit->batch);
    blueprint_destroy(kit->blueprint);
    data_release(&kit->data);
    scratch_release(&kit->scratch);
    free(kit);
    return 0;
}

static void load(struct kit *kit, const char *in_memory)
{
    struct err err;

    set(kit, "data.in_memory", in_memory);
    if (data_load(&kit->data, &kit->job, NULL, NULL, NULL, &err) ||
        blueprint_make(&kit->job, &kit->blueprint, &err) ||
        supply_create(kit->blueprint, SERVERS, &kit->supply, &err) ||
        batch_create_for(&kit->batch, kit->blueprint, SERVERS, BATCH, &err))
        fail_msg("%s", err.text);
}

/* Layers' inputs, in the order of use_layers(). */
static void look_at_inputs(const struct batch *batch, uint32_t i, uint64_t number)
{
    const struct batch_input *tags = &batch->input[2], *age = &batch->input[3];
    const uint64_t *tag = batch->set[2].key;

    assert_true(batch->weight[i] == (float)(1 + number % 3));
    assert_true(age->number[i] == (float)number / 8);
    assert_int_equal(tags->offset[i + 1] - tags->offset[i], 2);
    for (uint32_t k = 0; k < 2; k++)
        assert_int_equal(tag[tags->pos[tags->offset[i] + k]], number + k);
}

static void look_at(struct kit *kit)
{
    struct batch *batch = &kit->batch;
    bool layers = kit->job.model.kind == MODEL_GRAPH;
    const struct keyset *user = &batch->set[0], *item = &batch->set[1];
    const uint32_t *user_pos = layers ? batch->input[0].pos : user->pos;
    const uint32_t *item_pos = layers ? batch->input[1].pos : item->pos;

    supply_build(kit->supply, batch);
    assert_true(batch->weighted == layers);
    for (uint32_t i = 0; i < batch->n; i++) {
        uint64_t number = user->key[user_pos[i]];

        assert_true(number < EXAMPLES);
        assert_int_equal(item->key[item_pos[i]], number % 41);
        if (layers)
            look_at_inputs(batch, i, number);
        assert_true(batch->label[i] == (float)(number % 5));
        kit->seen[number]++;
    }
}

/* Goes through the positions [first, end) of an epoch; returns how many examples. */
static uint64_t go(struct kit *kit, enum split_part part, uint32_t epoch,
                   uint64_t first, uint64_t end)
{
    uint64_t taken = 0;
    struct err err;

    assert_int_equal(
        supply_begin(kit->supply, &kit->data, part, epoch, &kit->stop, &err), 0);
    while (first < end) {
        kit->batch.n = 0;
        if (supply_take(kit->supply, &kit->batch, &first, end, &err))
            fail_msg("%s", err.text);
        taken += kit->batch.n;
        look_at(kit);
    }
    assert_int_equal(first, end);
    return taken;
}

static void each_once(struct kit *kit, uint32_t times)
{
    for (uint32_t i = 0; i < EXAMPLES; i++)
        assert_int_equal(kit->seen[i], times);
}

static void check_epochs(struct kit *kit)
{
    uint64_t end = data_end(&kit->data, &kit->job, SPLIT_TRAIN);

    assert_int_equal(go(kit, SPLIT_TRAIN, 1, 0, end), EXAMPLES);
    each_once(kit, 1);
    go(kit, SPLIT_TRAIN, 2, 0, end / 2);
    go(kit, SPLIT_TRAIN, 2, end / 2, end);
    each_once(kit, 2);
    assert_int_equal(go(kit, SPLIT_TRAIN, 0, 0, end), EXAMPLES);
    each_once(kit, 3);
}

static void test_from_memory(void **state)
{
    load(*state, "true");
    check_epochs(*state);
}

static void test_from_files(void **state)
{
    load(*state, "false");
    check_epochs(*state);
}

/* A model of layers, which takes more than keys. */
static void use_layers(struct kit *kit)
{
    static const char *const setting[][2] = {
        {"data.weight", "count"},
        {"data.columns.age.as", "number"},
        {"data.columns.tags.as", "keys"},
        {"data.columns.tags.table", "tag"},
        {"tables.tag.dim", "2"},
        {"model.kind", "graph"},
        {"model.layers.who.kind", "rows"},
        {"model.layers.who.columns", "user"},
        {"model.layers.what.kind", "rows"},
        {"model.layers.what.columns", "item"},
        {"model.layers.tags.kind", "bag"},
        {"model.layers.tags.columns", "tags"},
        {"model.layers.age.kind", "numbers"},
        {"model.layers.age.columns", "age"},
        {"model.layers.all.kind", "concat"},
        {"model.layers.all.inputs", "who, what, tags, age"},
        {"model.layers.out.width", "1"},
    };
    struct err err;

    for (size_t i = 0; i < sizeof setting / sizeof *setting; i++)
        set(kit, setting[i][0], setting[i][1]);
    if (blueprint_expand(&kit->job, &err))
        fail_msg("%s", err.text);
}

static void test_blocks_from_memory(void **state)
{
    struct kit *kit = *state;

    use_layers(kit);
    load(kit, "true");
    assert_int_equal(data_part(&kit->data, SPLIT_TRAIN)->blocks, 2);
    check_epochs(kit);
}

static void test_blocks_from_files(void **state)
{
    use_layers(*state);
    load(*state, "false");
    check_epochs(*state);
}

/* With data.group an epoch goes through groups: all users of each item. */
static void test_groups(void **state)
{
    static const char *const setting[][2] = {
        {"data.group", "item"},
        {"model.kind", "graph"},
        {"model.loss", "softmax"},
        {"model.target", "user"},
        {"tables.user.rows", "5000"},
        {"model.layers.who.kind", "bag"},
        {"model.layers.who.columns", "user"},
        {"model.layers.who.length", "200"},
        {"model.layers.out.width", "5000"},
    };
    struct kit *kit = *state;
    struct batch *batch = &kit->batch;
    uint64_t at = 0;
    struct err err;

    for (size_t i = 0; i < sizeof setting / sizeof *setting; i++)
        set(kit, setting[i][0], setting[i][1]);
    assert_int_equal(blueprint_expand(&kit->job, &err), 0);
    load(kit, "true");
    assert_int_equal(data_end(&kit->data, &kit->job, SPLIT_TRAIN), 41);
    assert_int_equal(kit->data.facts.train_examples, 41);
    assert_int_equal(
        supply_begin(kit->supply, &kit->data, SPLIT_TRAIN, 1, &kit->stop, &err), 0);
    assert_int_equal(supply_take(kit->supply, batch, &at, 41, &err), 0);
    supply_build(kit->supply, batch);
    assert_int_equal(batch->n, 41);
    for (uint32_t i = 0; i < 41; i++)
        for (uint32_t t = batch->target_offset[i]; t < batch->target_offset[i + 1];
             t++) {
            uint32_t user = batch->target[t];
            uint32_t first = batch->target[batch->target_offset[i]];

            assert_int_equal(user % 41, first % 41);
            assert_true(batch->target_value[t] == (float)(user % 5));
            assert_int_equal(batch->set[0].key[batch->input[0].pos[t]], user);
            kit->seen[user]++;
        }
    each_once(kit, 1);
}

static void test_parts_are_apart(void **state)
{
    struct kit *kit = *state;
    enum split_part part[] = {SPLIT_TRAIN, SPLIT_VALIDATION, SPLIT_TEST};
    uint64_t taken[3];

    set(kit, "data.split.test", "0.2");
    set(kit, "data.split.validation", "0.1");
    load(kit, "false");
    for (int i = 0; i < 3; i++)
        taken[i] = go(kit, part[i], 1, 0, data_end(&kit->data, &kit->job, part[i]));
    each_once(kit, 1);
    assert_int_equal(taken[0], kit->data.facts.train_examples);
    assert_int_equal(taken[2], kit->data.facts.test_examples);
    assert_in_range(taken[1], EXAMPLES / 20, EXAMPLES / 5);
}

static void test_decision(void **state)
{
    struct kit *kit = *state;
    struct err err;

    assert_int_equal(data_decide(&kit->job, &err), 0);
    assert_int_equal(kit->job.data.in_memory, DATA_YES);
    set(kit, "data.in_memory", "false");
    assert_int_equal(data_decide(&kit->job, &err), 0);
    assert_int_equal(kit->job.data.in_memory, DATA_NO);
    /* A gigabyte and a hole. */
    set(kit, "data.in_memory", "auto");
    assert_int_equal(truncate(kit->job.data.train, ((off_t)1 << 30) + 1), 0);
    assert_int_equal(data_decide(&kit->job, &err), 0);
    assert_int_equal(kit->job.data.in_memory, DATA_NO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_from_memory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_from_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_blocks_from_memory, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_blocks_from_files, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_groups, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_parts_are_apart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_decision, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

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

enum { EXAMPLES = 3000, BATCH = 64, SERVERS = 3 };

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

/* Example i has user i, item i % 41 and label i % 5. */
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
    fputs("item\tuser\trating\n", file);
    for (int i = 0; i < EXAMPLES; i++)
        fprintf(file, "%d\t%d\t%d\n", i % 41, i, i % 5);
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

static void look_at(struct kit *kit)
{
    struct batch *batch = &kit->batch;
    const struct keyset *user = &batch->set[0], *item = &batch->set[1];

    supply_build(kit->supply, batch);
    for (uint32_t i = 0; i < batch->n; i++) {
        uint64_t number = user->key[user->pos[i]];

        assert_true(number < EXAMPLES);
        assert_int_equal(item->key[item->pos[i]], number % 41);
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
        cmocka_unit_test_setup_teardown(test_parts_are_apart, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_decision, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

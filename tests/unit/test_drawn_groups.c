/* Batches of examples with their negatives: what a negative has of its own item and
 * what of its example, from records and from blocks, whoever takes it. */
#include "tests/unit/scratch.h"

#include <math.h>

#include "worker/supply.h"

enum { USERS = 30, ITEMS = 50, EXAMPLES = 600, EACH = 3, GROUP = 1 + EACH };

struct kit {
    struct scratch scratch;
    struct job job;
    struct data data;
    struct item_catalogue *catalogue;
    struct negatives negatives;
    struct blueprint *blueprint;
    struct supply *supply;
    struct batch batch;
    bool stop;
    uint64_t drawn[EXAMPLES][EACH]; /* keys of an example's negatives */
    uint32_t seen[EXAMPLES];
};

static void set(struct kit *kit, const char *name, const char *value)
{
    struct err err;

    if (job_set(&kit->job, name, value, "test", &err))
        fail_msg("%s", err.text);
}

/* Example i has hour i, user i % 30, and the weight 1 + i, by which it is known. */
static uint64_t item_of(uint64_t i)
{
    return 1000 + (i * i + i / 3) % ITEMS;
}

static void write_files(struct kit *kit)
{
    const char *path = scratch_path(&kit->scratch, "data.tsv");
    FILE *file = fopen(path, "w");

    assert_non_null(file);
    set(kit, "data.train", path);
    fputs("hour\tuser\titem\tlikes\tweight\n", file);
    for (int i = 0; i < EXAMPLES; i++)
        fprintf(file, "%d\t%d\t%d\t%d\t%d\n", i, i % USERS, (int)item_of((uint64_t)i),
                1 + i % 2, 1 + i);
    assert_int_equal(fclose(file), 0);
    path = scratch_path(&kit->scratch, "items.tsv");
    file = fopen(path, "w");
    assert_non_null(file);
    set(kit, "data.sides.items.files", path);
    fputs("item\tkind\tprice\n", file);
    for (int i = 0; i < ITEMS; i++)
        fprintf(file, "%d\t%d\t%d\n", 1000 + i, 7000 + i % 5, 2 * (1000 + i));
    assert_int_equal(fclose(file), 0);
}

static int set_up(void **state)
{
    struct kit *kit = calloc(1, sizeof *kit);

    assert_non_null(kit);
    scratch_init(&kit->scratch);
    job_init(&kit->job);
    set(kit, "data.label", "likes");
    set(kit, "data.weight", "weight");
    set(kit, "tables.user.dim", "2");
    set(kit, "tables.item.dim", "2");
    set(kit, "data.columns.user.table", "user");
    set(kit, "data.columns.item.table", "item");
    set(kit, "train.negatives", "3");
    set(kit, "train.batch", "20");
    write_files(kit);
    set(kit, "data.sides.items.key", "item");
    set(kit, "data.sides.items.id", "item");
    *state = kit;
    return 0;
}

static int tear_down(void **state)
{
    struct kit *kit = *state;

    supply_destroy(kit->supply);
    batch_release(&kit->batch);
    blueprint_destroy(kit->blueprint);
    negatives_release(&kit->negatives);
    item_catalogue_destroy(kit->catalogue);
    data_release(&kit->data);
    scratch_release(&kit->scratch);
    free(kit);
    return 0;
}

/* The item's kind and price are in its side table, the hour is the example's. */
static void make_graph(struct kit *kit)
{
    set(kit, "tables.kind.dim", "2");
    set(kit, "data.columns.kind.table", "kind");
    set(kit, "data.columns.kind.from", "items");
    set(kit, "data.columns.price.as", "number");
    set(kit, "data.columns.price.from", "items");
    set(kit, "data.columns.hour.as", "number");
    set(kit, "model.kind", "graph");
    set(kit, "model.layers.u.kind", "rows");
    set(kit, "model.layers.u.columns", "user");
    set(kit, "model.layers.i.kind", "rows");
    set(kit, "model.layers.i.columns", "item");
    set(kit, "model.layers.k.kind", "rows");
    set(kit, "model.layers.k.columns", "kind");
    set(kit, "model.layers.n.kind", "numbers");
    set(kit, "model.layers.n.columns", "price,hour");
    set(kit, "model.layers.all.kind", "concat");
    set(kit, "model.layers.all.inputs", "u,i,k,n");
    set(kit, "model.layers.score.width", "1");
}

static void begin(struct kit *kit)
{
    uint32_t capacity;
    struct err err;

    if (blueprint_expand(&kit->job, &err) ||
        blueprint_make(&kit->job, &kit->blueprint, &err) ||
        data_load(&kit->data, &kit->job, NULL, NULL, NULL, &err) ||
        item_catalogue_create(&kit->job, &kit->data, &kit->catalogue, &err) ||
        negatives_init(&kit->negatives, &kit->job, kit->catalogue, &err) ||
        supply_create(kit->blueprint, 2, &kit->supply, &err))
        fail_msg("%s", err.text);
    capacity = blueprint_capacity(kit->blueprint);
    assert_int_equal(capacity, 20 * GROUP);
    assert_int_equal(batch_create_for(&kit->batch, kit->blueprint, 2, capacity, &err),
                     0);
    supply_use_negatives(kit->supply, &kit->negatives);
}

static uint64_t key_at(const struct kit *kit, uint32_t input, uint32_t i)
{
    const struct blueprint_input *in = &kit->blueprint->input[input];
    const struct keyset *set = &kit->batch.set[in->table];

    return set
        ->key[kit->blueprint->layers ? kit->batch.input[input].pos[i] : set->pos[i]];
}

static bool has(uint64_t user, uint64_t item)
{
    for (uint64_t i = user; i < EXAMPLES; i += USERS)
        if (item_of(i) == item)
            return true;
    return false;
}

static void look_at_items(const struct kit *kit, uint32_t i)
{
    const struct batch *batch = &kit->batch;
    uint64_t item = key_at(kit, 1, i);

    if (batch->item) {
        assert_int_equal(kit->catalogue->item.key[batch->item[i]], item);
        assert_true(batch->log_q[i] == kit->negatives.log_q[batch->item[i]]);
        assert_int_equal(batch->items, kit->catalogue->items);
    }
    if (!kit->blueprint->layers)
        return;
    assert_int_equal(key_at(kit, 2, i), 7000 + (item - 1000) % 5);
    assert_true(batch->input[3].number[2 * i] == (float)(2 * item));
}

static void look_at_group(struct kit *kit, uint32_t first)
{
    const struct batch *batch = &kit->batch;
    uint64_t example = (uint64_t)batch->weight[first] - 1, user = example % USERS;
    bool before = kit->seen[example]++ > 0;

    assert_int_equal(key_at(kit, 0, first), user);
    assert_int_equal(key_at(kit, 1, first), item_of(example));
    assert_true(batch->label[first] == 1 + example % 2);
    for (uint32_t i = first; i < first + GROUP; i++) {
        uint64_t *drawn;

        assert_true(batch->weight[i] == (float)(1 + example));
        look_at_items(kit, i);
        if (i == first)
            continue;
        drawn = &kit->drawn[example][i - first - 1];
        assert_true(batch->label[i] == 0);
        assert_int_equal(key_at(kit, 0, i), user);
        assert_false(has(user, key_at(kit, 1, i)));
        if (kit->blueprint->layers)
            assert_true(batch->input[3].number[2 * i + 1] == (float)example);
        if (before)
            assert_int_equal(*drawn, key_at(kit, 1, i));
        *drawn = key_at(kit, 1, i);
    }
}

static void go(struct kit *kit, uint32_t epoch, uint64_t first, uint64_t end)
{
    struct batch *batch = &kit->batch;
    struct err err;

    if (supply_begin(kit->supply, &kit->data, SPLIT_TRAIN, epoch, &kit->stop, &err))
        fail_msg("%s", err.text);
    while (first < end) {
        uint64_t before = first;

        batch->n = 0;
        if (supply_take(kit->supply, batch, &first, end, &err))
            fail_msg("%s", err.text);
        assert_int_equal(batch->group, GROUP);
        assert_int_equal(batch->n, (first - before) * GROUP);
        assert_true(batch->weighted);
        supply_build(kit->supply, batch);
        for (uint32_t i = 0; i < batch->n; i += GROUP)
            look_at_group(kit, i);
    }
}

/* The same negatives in one go and by three workers that begin elsewhere, and others in
 * the next epoch. */
static void check(struct kit *kit)
{
    uint64_t first[EXAMPLES][EACH];

    begin(kit);
    go(kit, 1, 0, EXAMPLES);
    go(kit, 1, 401, EXAMPLES);
    go(kit, 1, 0, 133);
    go(kit, 1, 133, 401);
    for (uint32_t e = 0; e < EXAMPLES; e++)
        assert_int_equal(kit->seen[e], 2);
    memcpy(first, kit->drawn, sizeof first);
    memset(kit->seen, 0, sizeof kit->seen);
    go(kit, 2, 0, EXAMPLES);
    assert_memory_not_equal(first, kit->drawn, sizeof first);
}

static void test_records(void **state)
{
    check(*state);
}

static void test_blocks(void **state)
{
    make_graph(*state);
    check(*state);
}

static void test_items_of_losses_that_rank(void **state)
{
    make_graph(*state);
    set(*state, "model.loss", "sampled_softmax");
    set(*state, "train.negatives_by", "popularity");
    check(*state);
}

/* What is evaluated stands for itself. */
static void test_none_outside_of_epochs(void **state)
{
    struct kit *kit = *state;
    uint64_t position = 0;
    struct err err;

    begin(kit);
    assert_int_equal(
        supply_begin(kit->supply, &kit->data, SPLIT_TRAIN, 0, &kit->stop, &err), 0);
    assert_int_equal(supply_take(kit->supply, &kit->batch, &position, EXAMPLES, &err),
                     0);
    assert_int_equal(kit->batch.group, 1);
    assert_int_equal(kit->batch.n, kit->batch.capacity);
    assert_int_equal(position, kit->batch.capacity);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_records, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_blocks, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_items_of_losses_that_rank, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_none_outside_of_epochs, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("groups", tests, NULL, NULL);
}

/* For tests of models on batches: a job of many kinds of columns, a block of random
 * examples with them, and batches of those. All functions stop the test on an error. */
#ifndef ROWHOUSE_TESTS_UNIT_MODEL_KIT_H
#define ROWHOUSE_TESTS_UNIT_MODEL_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/rng.h"
#include "worker/inputs.h"

enum {
    MODEL_USERS = 40,
    MODEL_ITEMS = 9,  /* rows of the table `item` */
    MODEL_TAGS = 11,  /* and of `tag` */
    MODEL_TAGS_A = 5, /* of an example, at most */
    MODEL_SERVERS = 3,
};

/* Places of columns in the schema, in the order of the job. */
enum { IN_USER, IN_ITEM, IN_TAGS, IN_SEEN, IN_AGE, IN_PLACE, IN_RATING };

struct model_kit {
    struct job job;
    struct schema schema;
    struct block block;
    struct blueprint *blueprint;
    struct inputs *inputs;
    struct batch batch;
    struct err err;
};

static inline void model_set(struct model_kit *kit, const char *name, const char *value)
{
    if (job_set(&kit->job, name, value, "test", &kit->err))
        fail_msg("%s: %s", name, kit->err.text);
}

static inline struct model_kit *model_kit_create(void)
{
    static const char *const setting[][2] = {
        {"data.train", "x"},
        {"data.label", "rating"},
        {"data.columns.user.as", "key"},
        {"data.columns.user.table", "user"},
        {"data.columns.item.as", "key"},
        {"data.columns.item.table", "item"},
        {"data.columns.tags.as", "keys"},
        {"data.columns.tags.table", "tag"},
        {"data.columns.seen.as", "keys"},
        {"data.columns.seen.table", "item"},
        {"data.columns.age.as", "number"},
        {"data.columns.place.as", "vector"},
        {"data.columns.place.dim", "2"},
        {"tables.user.dim", "4"},
        {"tables.item.dim", "4"},
        {"tables.item.rows", "9"},
        {"tables.tag.dim", "3"},
        {"tables.tag.rows", "11"},
        {"model.kind", "graph"},
    };
    static const struct {
        const char *name;
        enum value_kind kind;
    } column[] = {{"user", VALUE_KEY},     {"item", VALUE_KEY},
                  {"tags", VALUE_KEYS},    {"seen", VALUE_KEYS},
                  {"age", VALUE_NUMBER},   {"place", VALUE_VECTOR},
                  {"rating", VALUE_NUMBER}};
    struct model_kit *kit = calloc(1, sizeof *kit);

    assert_non_null(kit);
    job_init(&kit->job);
    for (size_t i = 0; i < sizeof setting / sizeof *setting; i++)
        model_set(kit, setting[i][0], setting[i][1]);
    kit->schema = SCHEMA_EMPTY;
    for (size_t c = 0; c < sizeof column / sizeof *column; c++)
        schema_add(&kit->schema, column[c].name, column[c].kind);
    kit->schema.column[IN_PLACE].dim = 2;
    kit->schema.label = IN_RATING;
    return kit;
}

/* A model with everything at once: keys, the same keys with other numbers of their
 * rows, a bag, a list filled up with zeros, numbers of two columns. */
static inline void model_all_inputs(struct model_kit *kit)
{
    static const char *const setting[][2] = {
        {"model.layers.who.kind", "rows"},
        {"model.layers.who.columns", "user"},
        {"model.layers.what.kind", "rows"},
        {"model.layers.what.columns", "item"},
        {"model.layers.what.width", "3"},
        {"model.layers.again.kind", "rows"},
        {"model.layers.again.columns", "item"},
        {"model.layers.again.first", "2"},
        {"model.layers.kinds.kind", "bag"},
        {"model.layers.kinds.columns", "tags"},
        {"model.layers.kinds.length", "3"},
        {"model.layers.kinds.pool", "mean"},
        {"model.layers.past.kind", "rows"},
        {"model.layers.past.columns", "seen"},
        {"model.layers.past.length", "2"},
        {"model.layers.row.kind", "flatten"},
        {"model.layers.row.inputs", "past"},
        {"model.layers.facts.kind", "numbers"},
        {"model.layers.facts.columns", "place, age"},
        {"model.layers.all.kind", "concat"},
        {"model.layers.all.inputs", "who, what, again, kinds, row, facts"},
        {"model.layers.deep.width", "6"},
        {"model.layers.deep.activation", "tanh"},
        {"model.layers.deep.inputs", "all"},
        {"model.layers.out.width", "1"},
    };

    for (size_t i = 0; i < sizeof setting / sizeof *setting; i++)
        model_set(kit, setting[i][0], setting[i][1]);
}

/* What is made of the job, which may be changed then and made again. */
static inline void model_unmake(struct model_kit *kit)
{
    inputs_destroy(kit->inputs);
    batch_release(&kit->batch);
    blueprint_destroy(kit->blueprint);
    kit->inputs = NULL;
    kit->blueprint = NULL;
}

static inline void model_kit_destroy(struct model_kit *kit)
{
    model_unmake(kit);
    block_release(&kit->block);
    free(kit);
}

/* n examples of a list in column c: 0 to `most` keys below `keys`, most of them
 * twice; weights between 0.5 and 1.5. */
static inline void model_lists(struct model_kit *kit, uint32_t c, uint32_t n,
                               uint32_t most, uint32_t keys)
{
    struct values *values = &kit->block.column[c];
    uint32_t at = 0;

    values->offset[0] = 0;
    assert_int_equal(block_key_room(&kit->block, c, (uint64_t)n * most + 1, &kit->err),
                     0);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t length = (uint32_t)rng_below(rng_at(3, c, i), most + 1);
        uint64_t first = rng_below(rng_at(4, c, i), keys);

        for (uint32_t k = 0; k < length; k++, at++) {
            values->key[at] = (first + 2 * (uint64_t)(k / 2)) % keys;
            values->number[at] = 0.5F + (float)rng_unit(rng_at(5, c, at));
        }
        values->offset[i + 1] = at;
    }
}

/* A block of n random examples. */
static inline void model_block(struct model_kit *kit, uint32_t n)
{
    struct values *column;

    block_release(&kit->block);
    assert_int_equal(block_create(&kit->block, &kit->schema, n, &kit->err), 0);
    column = kit->block.column;
    model_lists(kit, IN_TAGS, n, MODEL_TAGS_A, MODEL_TAGS);
    model_lists(kit, IN_SEEN, n, 4, MODEL_ITEMS);
    for (uint32_t i = 0; i < n; i++) {
        column[IN_USER].key[i] = rng_below(rng_at(1, 0, i), MODEL_USERS) * 1000003;
        column[IN_ITEM].key[i] = rng_below(rng_at(1, 1, i), MODEL_ITEMS);
        column[IN_AGE].number[i] = (float)rng_unit(rng_at(1, 2, i));
        column[IN_PLACE].number[2 * i] = (float)rng_unit(rng_at(1, 3, i));
        column[IN_PLACE].number[2 * i + 1] = (float)rng_unit(rng_at(1, 4, i));
        column[IN_RATING].number[i] = (float)(rng_at(1, 5, i) >> 63);
        kit->block.place[i] = i;
    }
    kit->block.n = n;
}

static inline void model_make(struct model_kit *kit, uint32_t capacity)
{
    if (blueprint_expand(&kit->job, &kit->err) ||
        blueprint_make(&kit->job, &kit->blueprint, &kit->err) ||
        inputs_create(kit->blueprint, MODEL_SERVERS, capacity, &kit->inputs,
                      &kit->err) ||
        inputs_bind(kit->inputs, &kit->schema, &kit->err) ||
        batch_create_for(&kit->batch, kit->blueprint, MODEL_SERVERS, capacity,
                         &kit->err))
        fail_msg("%s", kit->err.text);
}

/* Appends n examples of the block with their labels. */
static inline void model_add(struct model_kit *kit, const uint32_t *example, uint32_t n)
{
    struct batch *batch = &kit->batch;

    inputs_add(kit->inputs, batch, &kit->block, example, n);
    for (uint32_t i = 0; i < n; i++)
        batch->label[batch->n + i] = kit->block.column[IN_RATING].number[example[i]];
    batch->n += n;
}

/* A batch of the block's first n examples, or of them backwards. */
static inline void model_batch(struct model_kit *kit, uint32_t n, bool backwards)
{
    kit->batch.n = 0;
    inputs_begin(kit->inputs, &kit->batch);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t example = backwards ? n - 1 - i : i;

        model_add(kit, &example, 1);
    }
    inputs_build(kit->inputs, &kit->batch);
}

#endif

#include "worker/inputs.h"

#include <stdlib.h>
#include <string.h>

#include "worker/stream/grouped.h"

/* What is known of an input while batches are filled. */
struct filling {
    uint32_t keys;                    /* of a bag, in the batch so far */
    int place[JOB_COLUMNS_MAX];       /* of its columns in the schema */
    uint32_t floats[JOB_COLUMNS_MAX]; /* of numbers: of each column */
};

struct inputs {
    const struct blueprint *blueprint;
    uint32_t servers;
    struct filling filling[JOB_LAYERS_MAX];
    int target_place;              /* in the schema */
    uint64_t *key[JOB_TABLES_MAX]; /* of the batch, as they come */
    uint32_t keys[JOB_TABLES_MAX];
};

/* An example, and where it is. */
struct at {
    const struct block *block;
    uint32_t example;
};

/* What an example of a batch is made of: itself, and of another what belongs to that
 * one's item. */
struct source {
    struct at own, other;
    const bool *from_other; /* by the job's column; NULL: nothing is */
};

static inline struct at source_of(const struct source *source, int column)
{
    return source->from_other && source->from_other[column] ? source->other
                                                            : source->own;
}

int inputs_create(const struct blueprint *blueprint, uint32_t servers,
                  uint32_t capacity, struct inputs **out, struct err *err)
{
    struct inputs *inputs = calloc(1, sizeof *inputs);
    bool no_memory = !inputs;

    for (int t = 0; inputs && t < blueprint->job->tables; t++) {
        if (blueprint->whole[t])
            continue;
        inputs->key[t] = malloc((blueprint_rows(blueprint, t, capacity) + 1) *
                                sizeof *inputs->key[t]);
        no_memory |= !inputs->key[t];
    }
    if (no_memory) {
        inputs_destroy(inputs);
        return err_set(err, ERR_MEMORY, "no memory for the inputs of %u examples",
                       capacity);
    }
    inputs->blueprint = blueprint;
    inputs->servers = servers;
    *out = inputs;
    return 0;
}

void inputs_destroy(struct inputs *inputs)
{
    if (!inputs)
        return;
    for (int t = 0; t < JOB_TABLES_MAX; t++)
        free(inputs->key[t]);
    free(inputs);
}

static int bind_target(struct inputs *inputs, const struct schema *schema,
                       struct err *err)
{
    const struct blueprint *b = inputs->blueprint;
    const char *name;

    if (b->target != TARGET_CLASS && b->target != TARGET_LIST)
        return 0;
    name = b->job->data.column[b->target_column].name;
    inputs->target_place = schema_find(schema, GROUPED_TARGET);
    if (inputs->target_place == SCHEMA_NONE)
        inputs->target_place = schema_find(schema, name);
    if (inputs->target_place == SCHEMA_NONE)
        return err_set(err, ERR_INPUT,
                       "model.target is column '%s', which the data do not have", name);
    return 0;
}

int inputs_bind(struct inputs *inputs, const struct schema *schema, struct err *err)
{
    const struct blueprint *b = inputs->blueprint;

    for (uint32_t i = 0; i < b->inputs; i++)
        for (uint32_t c = 0; c < b->input[i].columns; c++) {
            const struct job_column *column =
                &b->job->data.column[b->input[i].column[c]];
            struct filling *filling = &inputs->filling[i];
            int place = schema_find(schema, column->name);

            if (place == SCHEMA_NONE)
                return err_set(
                    err, ERR_INPUT,
                    "the model needs column '%s', which the data do not have",
                    column->name);
            if (b->input[i].kind != LAYER_NUMBERS &&
                b->input[i].is_list != (schema->column[place].kind == VALUE_KEYS))
                return err_set(err, ERR_INPUT,
                               "the model needs column '%s' as %s of the data",
                               column->name, b->input[i].is_list ? "lists" : "keys");
            filling->place[c] = place;
            filling->floats[c] = schema->column[place].kind == VALUE_VECTOR
                                     ? schema->column[place].dim
                                     : 1;
        }
    return bind_target(inputs, schema, err);
}

void inputs_begin(struct inputs *inputs, struct batch *batch)
{
    memset(inputs->keys, 0, sizeof inputs->keys);
    for (uint32_t i = 0; i < inputs->blueprint->inputs; i++) {
        inputs->filling[i].keys = 0;
        batch->input[i].offset[0] = 0;
    }
    if (batch->target)
        batch->target_offset[0] = 0;
}

/* Notes a key and returns its number among those of its table. */
static inline uint32_t add_key(struct inputs *inputs, int table, uint64_t key)
{
    inputs->key[table][inputs->keys[table]] = key;
    return inputs->keys[table]++;
}

/* Keys of columns, one each. */
static void add_fields(struct inputs *inputs, struct batch *batch, uint32_t i,
                       uint32_t number, const struct source *source)
{
    const struct blueprint_input *in = &inputs->blueprint->input[i];
    const int *place = inputs->filling[i].place;
    uint32_t *pos = batch->input[i].pos + (size_t)number * in->steps;

    for (uint32_t c = 0; c < in->columns; c++) {
        struct at from = source_of(source, in->column[c]);

        pos[c] = add_key(inputs, in->table,
                         from.block->column[place[c]].key[from.example]);
    }
}

/* A list of keys as rows below each other, filled up. */
static void add_list(struct inputs *inputs, struct batch *batch, uint32_t i,
                     uint32_t number, struct at from)
{
    const struct blueprint_input *in = &inputs->blueprint->input[i];
    const struct values *values = &from.block->column[inputs->filling[i].place[0]];
    const uint64_t *key = values->key + values->offset[from.example];
    uint32_t keys = values->offset[from.example + 1] - values->offset[from.example];
    uint32_t *pos = batch->input[i].pos + (size_t)number * in->steps;

    for (uint32_t k = 0; k < in->steps; k++)
        pos[k] = k < keys ? add_key(inputs, in->table, key[k]) : LAYER_NO_ROW;
}

static void add_bag(struct inputs *inputs, struct batch *batch, uint32_t i,
                    uint32_t number, struct at from)
{
    const struct blueprint_input *in = &inputs->blueprint->input[i];
    struct filling *filling = &inputs->filling[i];
    const struct values *values = &from.block->column[filling->place[0]];
    uint32_t first = values->offset[from.example];
    uint32_t keys = values->offset[from.example + 1] - first;
    struct batch_input *to = &batch->input[i];

#ifndef MUTANT_BAG_ROOM
    if (keys > in->length)
        keys = in->length;
#endif
    for (uint32_t k = 0; k < keys; k++)
        to->pos[filling->keys + k] = add_key(inputs, in->table, values->key[first + k]);
    memcpy(to->number + filling->keys, values->number + first, keys * sizeof(float));
    filling->keys += keys;
    to->offset[number + 1] = filling->keys;
}

static void add_numbers(struct inputs *inputs, struct batch *batch, uint32_t i,
                        uint32_t number, const struct source *source)
{
    const struct blueprint_input *in = &inputs->blueprint->input[i];
    const struct filling *filling = &inputs->filling[i];
    float *to = batch->input[i].number + (size_t)number * in->width;

    for (uint32_t c = 0; c < in->columns; c++) {
        struct at from = source_of(source, in->column[c]);
        uint32_t floats = filling->floats[c];
        const float *value = from.block->column[filling->place[c]].number;

        memcpy(to, value + (size_t)from.example * floats, floats * sizeof *to);
        to += floats;
    }
}

/* Example number `number` of the batch, for one input. */
static void add_example(struct inputs *inputs, struct batch *batch, uint32_t i,
                        uint32_t number, const struct source *source)
{
    const struct blueprint_input *in = &inputs->blueprint->input[i];

    if (in->kind == LAYER_NUMBERS)
        add_numbers(inputs, batch, i, number, source);
    else if (in->kind == LAYER_BAG)
        add_bag(inputs, batch, i, number, source_of(source, in->column[0]));
    else if (in->is_list)
        add_list(inputs, batch, i, number, source_of(source, in->column[0]));
    else
        add_fields(inputs, batch, i, number, source);
}

/* Adds the targets of an example; a key that the table has no row for is none. */
static void add_targets(struct inputs *inputs, struct batch *batch, uint32_t number,
                        struct at from)
{
    const struct blueprint *b = inputs->blueprint;
    const struct values *values = &from.block->column[inputs->target_place];
    bool list = b->target == TARGET_LIST;
    uint32_t first = list ? values->offset[from.example] : from.example;
    uint32_t keys = list ? values->offset[from.example + 1] - first : 1;
    uint32_t at = batch->target_offset[number];

#ifndef MUTANT_TARGET_ROOM
    if (keys > b->classes)
        keys = b->classes;
#endif
    for (uint32_t k = 0; k < keys; k++) {
#ifndef MUTANT_TARGET_ROW
        if (values->key[first + k] >= b->classes)
            continue;
#endif
        batch->target[at] = (uint32_t)values->key[first + k];
        batch->target_value[at++] = list ? values->number[first + k] : 1;
    }
    batch->target_offset[number + 1] = at;
}

void inputs_add_mixed(struct inputs *inputs, struct batch *batch,
                      const struct block *block, const uint32_t *example,
                      const struct block *const *other, const uint32_t *other_example,
                      const bool *from_other, uint32_t n)
{
    const struct blueprint *b = inputs->blueprint;

    for (uint32_t i = 0; i < b->inputs; i++) {
        if (b->input[i].same != i)
            continue;
        for (uint32_t e = 0; e < n; e++) {
            struct source source = {.own = {block, example[e]},
                                    .other = {other[e], other_example[e]},
                                    .from_other = from_other};

            add_example(inputs, batch, i, batch->n + e, &source);
        }
    }
}

void inputs_add(struct inputs *inputs, struct batch *batch, const struct block *block,
                const uint32_t *example, uint32_t n)
{
    const struct blueprint *b = inputs->blueprint;

    for (uint32_t i = 0; i < b->inputs; i++) {
        if (b->input[i].same != i)
            continue;
        for (uint32_t e = 0; e < n; e++) {
            struct source source = {.own = {block, example[e]}};

            add_example(inputs, batch, i, batch->n + e, &source);
        }
    }
    for (uint32_t e = 0; batch->target && e < n; e++)
        add_targets(inputs, batch, batch->n + e, (struct at){block, example[e]});
}

/* From a key's number among those of its table to its row. */
static void find_rows(const struct keyset *set, uint32_t *pos, size_t n)
{
    for (size_t i = 0; i < n; i++)
        pos[i] = pos[i] == LAYER_NO_ROW ? LAYER_NO_ROW : set->pos[pos[i]];
}

void inputs_build(struct inputs *inputs, struct batch *batch)
{
    const struct blueprint *b = inputs->blueprint;

    for (int t = 0; t < b->job->tables; t++) {
        if (b->whole[t])
            keyset_build_all(&batch->set[t], (float)batch->n, inputs->servers);
        else
            keyset_build(&batch->set[t], inputs->key[t], inputs->keys[t], 1,
                         inputs->servers);
    }
    for (uint32_t i = 0; i < b->inputs; i++) {
        const struct blueprint_input *in = &b->input[i];

        if (in->kind == LAYER_NUMBERS || in->same != i)
            continue;
        find_rows(&batch->set[in->table], batch->input[i].pos,
                  in->kind == LAYER_BAG ? inputs->filling[i].keys
                                        : (size_t)batch->n * in->steps);
    }
}

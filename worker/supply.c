#include "worker/supply.h"

#include <stdlib.h>

#include "worker/drawn_groups.h"
#include "worker/inputs.h"
#include "worker/stream/shuffle.h"

enum {
    PREFETCH = 32,
    SHUFFLE_STEP = 1 << 14, /* positions shuffled between two looks at *stop */
};

struct supply {
    const struct job *job;
    const struct blueprint *blueprint;
    uint32_t servers;
    int column[JOB_COLUMNS_MAX];          /* [key_columns]: of the job */
    int table_of_column[JOB_COLUMNS_MAX]; /* -1: the model does without it */
    uint32_t key_columns;

    /* What is supplied from. */
    const struct data *data;
    enum split_part part;
    uint32_t epoch;
    struct drawn_groups groups; /* in epochs, of jobs with negatives */

    /* From records in memory, as matrix factorisation has them. By key column: a
     * batch's ids, [batch], and marks. */
    uint32_t *id[JOB_COLUMNS_MAX];
    struct keyset_marks marks[JOB_COLUMNS_MAX];
    uint32_t *order; /* an epoch's permutation, [examples]; NULL before the first */
    uint64_t order_room, ordered;
    uint32_t order_epoch;

    /* From blocks: of files, through a walk for each part, made when it is first
     * needed; or in memory. */
    struct inputs *inputs;
    struct walk *walk[SPLIT_TEST + 1];
};

static void map_columns(struct supply *supply)
{
    const struct job *job = supply->job;

    if (job->model.kind != MODEL_MF)
        return; /* its examples are no records */
    supply->key_columns = (uint32_t)job_key_columns(job, supply->column);
    for (uint32_t c = 0; c < supply->key_columns; c++) {
        int table = job_table_index(job, job->data.column[supply->column[c]].table);

        supply->table_of_column[c] = supply->blueprint->keys[table] ? table : -1;
    }
}

int supply_create(const struct blueprint *blueprint, uint32_t servers,
                  struct supply **out, struct err *err)
{
    const struct job *job = blueprint->job;
    struct supply *supply = calloc(1, sizeof *supply);
    size_t batch = blueprint_capacity(blueprint);
    bool no_memory = false;

    if (!supply)
        return err_set(err, ERR_MEMORY, "no memory for a reader");
    supply->job = job;
    supply->blueprint = blueprint;
    supply->servers = servers;
    map_columns(supply);
    for (uint32_t c = 0; c < supply->key_columns; c++) {
        supply->id[c] = malloc(batch * sizeof *supply->id[c]);
        no_memory |= !supply->id[c];
    }
    if (no_memory) {
        supply_destroy(supply);
        return err_set(err, ERR_MEMORY, "no memory for batches of %zu examples", batch);
    }
    if (inputs_create(blueprint, servers, blueprint_capacity(blueprint),
                      &supply->inputs, err) ||
        drawn_groups_init(&supply->groups, job, err)) {
        supply_destroy(supply);
        return -err->code;
    }
    *out = supply;
    return 0;
}

void supply_destroy(struct supply *supply)
{
    if (!supply)
        return;
    for (uint32_t c = 0; c < supply->key_columns; c++) {
        free(supply->id[c]);
        keyset_marks_release(&supply->marks[c]);
    }
    for (int part = 0; part <= SPLIT_TEST; part++)
        walk_destroy(supply->walk[part]);
    inputs_destroy(supply->inputs);
    drawn_groups_release(&supply->groups);
    free(supply->order);
    free(supply);
}

/* --- from records in memory ------------------------------------------------------- */

static const struct part *part_of(const struct supply *supply)
{
    return data_part(supply->data, supply->part);
}

/* Makes the order of an epoch, which may be there already, or as much of it as there
 * was time for. */
static int make_order(struct supply *supply, uint32_t epoch, const bool *stop,
                      struct err *err)
{
    uint64_t n = part_of(supply)->examples;

    if (supply->order_room != n || !supply->order) {
        free(supply->order);
        supply->order_room = n;
        supply->order_epoch = 0;
        supply->order = malloc((n + 1) * sizeof *supply->order);
        if (!supply->order)
            return err_set(err, ERR_MEMORY, "no memory for the order of %llu examples",
                           (unsigned long long)n);
    }
    if (supply->order_epoch != epoch)
        supply->ordered = 0;
    supply->order_epoch = epoch;
    while (supply->ordered < n && !__atomic_load_n(stop, __ATOMIC_RELAXED)) {
        uint64_t end = supply->ordered + SHUFFLE_STEP;

        end = end < n ? end : n;
        shuffle_stretch(supply->order, supply->ordered, end,
                        (uint64_t)supply->job->train.seed, epoch);
        supply->ordered = end;
    }
    return 0;
}

/* Are the examples records of ids, not blocks? */
static bool has_records(const struct supply *supply)
{
    return !supply->data->is_streamed && part_of(supply)->record;
}

static int begin_memory(struct supply *supply, const bool *stop, struct err *err)
{
    const struct dataset *memory = &supply->data->memory;
    const struct part *part = part_of(supply);
    int rc = 0;

    for (uint32_t c = 0; rc == 0 && has_records(supply) && c < supply->key_columns; c++)
        rc = keyset_marks_init(&supply->marks[c], memory->column[c].keys, err);
    if (rc == 0 && part->blocks)
        rc = inputs_bind(supply->inputs, part->block[0].schema, err);
    if (rc == 0 && supply->epoch)
        rc = make_order(supply, supply->epoch, stop, err);
    return rc;
}

/* Reads n examples into the ids and labels of a batch from place `at` on: those with
 * number[0], number[1], ..., or without `number` those from `first` on. `columns` is a
 * constant where it is inlined. */
static inline __attribute__((always_inline)) void
copy_records(const struct supply *supply, struct batch *batch, const uint32_t *number,
             uint64_t first, uint32_t n, uint32_t columns)
{
    const uint32_t *records = part_of(supply)->record;
    uint32_t width = columns + 1, ahead = n < PREFETCH ? n : PREFETCH;
    uint32_t *id[JOB_COLUMNS_MAX];
    float *label = batch->label + batch->n;

    for (uint32_t c = 0; c < columns; c++)
        id[c] = supply->id[c] + batch->n;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t *record = records + (number ? number[i] : first + i) * width;

        if (number)
            __builtin_prefetch(records +
                               (size_t)number[i + ahead < n ? i + ahead : i] * width);
        for (uint32_t c = 0; c < columns; c++)
            id[c][i] = record[c];
        label[i] = record_label(record, columns);
    }
}

/* Appends the examples at n positions from `first` on to the batch. */
static void take_records(const struct supply *supply, struct batch *batch,
                         uint64_t first, uint32_t n)
{
    const uint32_t *number = supply->epoch ? supply->order + first : NULL;

    if (number && supply->key_columns == 2) /* as matrix factorisation has */
        copy_records(supply, batch, number, 0, n, 2);
    else
        copy_records(supply, batch, number, first, n, supply->key_columns);
    batch->weighted = part_of(supply)->weight != NULL;
    for (uint32_t i = 0; batch->weighted && i < n; i++)
        batch->weight[batch->n + i] =
            part_of(supply)->weight[number ? number[i] : first + i];
    batch->n += n;
}

/* --- from blocks ------------------------------------------------------------------ */

static int begin_files(struct supply *supply, const bool *stop, struct err *err)
{
    struct walk **walk = &supply->walk[supply->part];

    if (!*walk &&
        streamed_walk(&supply->data->streamed, supply->job, supply->part, walk, err))
        return -err->code;
    walk_stop_at(*walk, stop);
    return inputs_bind(supply->inputs, walk_schema(*walk), err);
}

/* Appends n examples of a block. */
static void take_examples(const struct supply *supply, struct batch *batch,
                          const struct block *block, const uint32_t *example,
                          uint32_t n)
{
    int label = block->schema->label, weight = block->schema->weight;

    inputs_add(supply->inputs, batch, block, example, n);
    for (uint32_t i = 0; i < n; i++)
        batch->label[batch->n + i] = label == SCHEMA_NONE
                                         ? 1
                                         : block->column[label].number[example[i]];
    batch->weighted = weight != SCHEMA_NONE;
    for (uint32_t i = 0; batch->weighted && i < n; i++)
        batch->weight[batch->n + i] = block->column[weight].number[example[i]];
    batch->n += n;
}

/* Appends the examples at n positions from `first` on, of blocks in memory. */
static void take_blocks(const struct supply *supply, struct batch *batch,
                        uint64_t first, uint32_t n)
{
    const struct block *block = part_of(supply)->block;

    for (uint64_t at = first; at < first + n; at++) {
        uint64_t number = supply->epoch ? supply->order[at] : at;
        uint32_t example = (uint32_t)(number % GATHER_EXAMPLES);

        take_examples(supply, batch, &block[number / GATHER_EXAMPLES], &example, 1);
    }
}

/* Does the pass under way set items against each other? */
static bool has_groups(const struct supply *supply)
{
    return supply->groups.negatives && supply->epoch;
}

/* Appends the examples at n positions from `first` on with their negatives. */
static void take_groups(struct supply *supply, struct batch *batch, uint64_t first,
                        uint32_t n)
{
    const struct part *part = part_of(supply);

    for (uint32_t i = 0; i < n; i++) {
        uint32_t number = supply->order[first + i];

        if (has_records(supply))
            drawn_groups_add_records(&supply->groups, supply->column,
                                     supply->key_columns, supply->id, batch, part,
                                     supply->epoch, number);
        else
            drawn_groups_add_blocks(&supply->groups, supply->inputs, batch, part,
                                    supply->epoch, number);
    }
}

static int take_files(struct supply *supply, struct batch *batch, uint64_t *position,
                      uint64_t end, struct err *err)
{
    struct walk *walk = supply->walk[supply->part];
    struct stretch stretch;
    int rc = walk_to(walk, supply->epoch, (struct range){*position, end}, err);

    if (rc)
        return rc;
    while (batch->n < batch->capacity) {
        rc = walk_next(walk, batch->capacity - batch->n, &stretch, err);
        if (rc <= 0)
            break;
        take_examples(supply, batch, stretch.block, stretch.example, stretch.n);
        *position = stretch.position;
    }
    if (rc == 0)
        *position = end;
    return rc < 0 ? rc : 0;
}

/* --- either ----------------------------------------------------------------------- */

void supply_use_negatives(struct supply *supply, const struct negatives *negatives)
{
    supply->groups.negatives = negatives;
}

int supply_begin(struct supply *supply, const struct data *data, enum split_part part,
                 uint32_t epoch, const bool *stop, struct err *err)
{
    supply->data = data;
    supply->part = part;
    supply->epoch = epoch;
    return data->is_streamed ? begin_files(supply, stop, err)
                             : begin_memory(supply, stop, err);
}

int supply_take(struct supply *supply, struct batch *batch, uint64_t *position,
                uint64_t end, struct err *err)
{
    uint64_t left = *position < end ? end - *position : 0;
    uint32_t group = has_groups(supply) ? supply->blueprint->group : 1;
    uint32_t room = (batch->capacity - batch->n) / group;
    uint32_t n = left < room ? (uint32_t)left : room;

    if (batch->n == 0)
        inputs_begin(supply->inputs, batch);
    batch->group = group;
    if (supply->data->is_streamed)
        return take_files(supply, batch, position, end, err);
    if (has_groups(supply))
        take_groups(supply, batch, *position, n);
    else if (has_records(supply))
        take_records(supply, batch, *position, n);
    else
        take_blocks(supply, batch, *position, n);
    *position += n;
    return 0;
}

const struct bad_rows *supply_bad_rows(const struct supply *supply)
{
    return supply->data->is_streamed ? walk_bad_rows(supply->walk[supply->part]) : NULL;
}

/* From ids, which is faster than from keys. */
static void build_records(struct supply *supply, struct batch *batch)
{
    for (uint32_t t = 0; t < batch->tables; t++)
        keyset_build(&batch->set[t], NULL, 0, 1, supply->servers);
    for (uint32_t c = 0; c < supply->key_columns; c++) {
        int table = supply->table_of_column[c];

        if (table >= 0)
            keyset_build_ids(&batch->set[table], &supply->marks[c],
                             supply->data->memory.column[c].key, supply->id[c],
                             batch->n, supply->servers);
    }
}

void supply_build(struct supply *supply, struct batch *batch)
{
    if (has_records(supply))
        build_records(supply, batch);
    else
        inputs_build(supply->inputs, batch);
}

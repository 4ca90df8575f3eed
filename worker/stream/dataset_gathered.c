/* Data sets whose examples must all be known before one of them can be made ready: for
 * splits that go by time or user, and for preparations. */
#include <stdlib.h>
#include <string.h>

#include "worker/stream/dataset_fill.h"
#include "worker/stream/gather.h"
#include "worker/stream/grouped.h"
#include "worker/stream/labels.h"

/* The columns of prepared blocks that are keys of tables, in the job's order. */
struct key_places {
    int place[JOB_COLUMNS_MAX];
    uint32_t keys;
};

static void find_keys(const struct job *job, const struct schema *schema,
                      struct key_places *keys)
{
    int column[JOB_COLUMNS_MAX];

    keys->keys = (uint32_t)job_key_columns(job, column);
    for (uint32_t k = 0; k < keys->keys; k++)
        keys->place[k] = schema_find(schema, job->data.column[column[k]].name);
}

/* --- the preparation -------------------------------------------------------------- */

/* Fits the preparation or takes the saved one; keeps its bytes. */
static int make_ready(struct filling *filling, struct prepare *prepare,
                      const struct gathered *gathered,
                      const struct saved_preparation *saved, struct err *err)
{
    struct dataset *dataset = filling->dataset;
    int rc;

    if (!prepare_changes(prepare))
        return prepare_finish(prepare, err);
#ifndef MUTANT_PREPARATION_SAVED
    if (saved)
        rc = prepare_take(prepare, saved, err);
    else
#endif
        rc = gathered_fit(gathered, prepare, err);
    return rc ? rc : prepare_keep(prepare, &dataset->preparation, &dataset->facts, err);
}

/* --- examples --------------------------------------------------------------------- */

static void digest_example(struct filling *filling, const struct block *raw, uint32_t i)
{
    const struct schema *schema = raw->schema;
    uint64_t key[SCHEMA_COLUMNS_MAX];
    uint32_t keys = 0;

    for (uint32_t c = 0; c < schema->columns; c++)
        if (schema->column[c].kind == VALUE_KEY)
            key[keys++] = raw->column[c].key[i];
    filling_digest(filling, key, keys, raw->column[schema->label].number[i]);
}

/* Adds the examples of block b, as they are and prepared. */
static int add_block(struct filling *filling, struct gathered *gathered, uint32_t b,
                     const struct block *ready, const struct key_places *keys,
                     const uint8_t *part, struct err *err)
{
    const struct block *raw = &gathered->block[b];
    int label_place = ready->schema->label, rc = 0;
    uint64_t key[JOB_COLUMNS_MAX];

    for (uint32_t i = 0; rc == 0 && i < ready->n; i++) {
        float label = ready->column[label_place].number[i], weight;

        digest_example(filling, raw, i);
        for (uint32_t k = 0; k < keys->keys; k++)
            key[k] = ready->column[keys->place[k]].key[i];
        if (label_as_trained(filling->job, &label, err))
            return err_prefix(err, "%s, column %s",
                              gathered_where(gathered, filling->job, b, i),
                              filling->job->data.label);
        rc = weight_at(ready, i, &weight, err);
        if (rc == 0)
            rc = filling_add(filling, (enum split_part)part[i], key, label, weight,
                             err);
        else
            rc = err_prefix(err, "%s", gathered_where(gathered, filling->job, b, i));
    }
    return rc;
}

/* --- examples kept as blocks ------------------------------------------------------ */

static void digest_bytes(struct filling *filling, const void *bytes, size_t size)
{
    if (bytes)
        XXH3_64bits_update(filling->digest, bytes, size);
}

/* What the files have of a column. */
static void digest_column(struct filling *filling, const struct block *raw, uint32_t c)
{
    const struct values *values = &raw->column[c];
    const struct schema_column *column = &raw->schema->column[c];
    size_t n = column->kind == VALUE_KEYS ? values->offset[raw->n] : raw->n;
    size_t floats = n * (column->kind == VALUE_VECTOR ? column->dim : 1);

    digest_bytes(filling, values->key, n * sizeof *values->key);
    digest_bytes(filling, values->number, floats * sizeof *values->number);
    digest_bytes(filling, values->time, n * sizeof *values->time);
    digest_bytes(filling, values->offset, (raw->n + 1) * sizeof *values->offset);
    if (values->text)
        digest_bytes(filling, values->text, values->offset[raw->n]);
}

/* Labels become what is trained on; and are added up. */
static int ready_labels(struct filling *filling, struct gathered *gathered, uint32_t b,
                        struct block *ready, const uint8_t *part, struct err *err)
{
    int label_place = ready->schema->label;

    for (uint32_t i = 0; i < ready->n; i++) {
        float *label = &ready->column[label_place].number[i], weight;

        if (label_as_trained(filling->job, label, err))
            return err_prefix(err, "%s, column %s",
                              gathered_where(gathered, filling->job, b, i),
                              filling->job->data.label);
        if (weight_at(ready, i, &weight, err))
            return err_prefix(err, "%s", gathered_where(gathered, filling->job, b, i));
        if (part[i] != SPLIT_TRAIN)
            continue;
        filling->label_sum += (double)*label * (double)weight;
        filling->weight_sum += (double)weight;
    }
    return 0;
}

static int keep_block(struct filling *filling, struct gathered *gathered, uint32_t b,
                      struct block *ready, const uint8_t *part, struct err *err)
{
    int rc = ready_labels(filling, gathered, b, ready, part, err);

    for (uint32_t c = 0; c < gathered->schema.columns; c++)
        digest_column(filling, &gathered->block[b], c);
    for (uint32_t i = 0; rc == 0 && i < ready->n; i++)
        rc = filling_keep(filling, (enum split_part)part[i], ready, i, err);
    return rc;
}

/* --- the whole -------------------------------------------------------------------- */

/* Prepares block by block; what was read is given back as it is used up. */
static int add_all(struct filling *filling, struct prepare *prepare,
                   struct gathered *gathered, struct err *err)
{
    struct key_places keys;
    struct block ready;
    uint32_t largest = 1;
    uint64_t at = 0;
    int rc;

    for (uint32_t b = 0; b < gathered->blocks; b++)
        if (gathered->block[b].n > largest)
            largest = gathered->block[b].n;
    rc = block_create(&ready, prepare_schema(prepare), largest, err);
    if (rc)
        return rc;
    find_keys(filling->job, prepare_schema(prepare), &keys);
    if (filling_keeps_blocks(filling->job))
        rc = filling_keep_schema(filling, prepare_schema(prepare), err);
    else
        filling->dataset->key_columns = keys.keys;
    for (uint32_t b = 0; rc == 0 && b < gathered->blocks; b++) {
        struct block *raw = &gathered->block[b];
        uint32_t n = raw->n;

        rc = gathered_apply(gathered, filling->job, b, prepare, &ready, err);
        if (rc == 0)
            rc = filling->dataset->schema ? keep_block(filling, gathered, b, &ready,
                                                       gathered->part + at, err)
                                          : add_block(filling, gathered, b, &ready,
                                                      &keys, gathered->part + at, err);
        at += n;
        block_release(raw);
    }
    block_release(&ready);
    return rc;
}

int dataset_load_gathered(struct filling *filling,
                          const struct saved_preparation *saved,
                          const volatile bool *stop, struct err *err)
{
    struct prepare *prepare = NULL;
    struct gathered *gathered = calloc(1, sizeof *gathered);
    int rc;

    if (!gathered)
        return err_set(err, ERR_MEMORY, "no memory to read the examples");
    rc = gather(gathered, filling->job, COLUMNS_LABEL, stop, err);
    filling->dataset->bad_rows = gathered->bad_rows;
    if (rc == 0)
        rc = prepare_create(filling->job, &gathered->schema, &prepare, err);
    if (rc == 0)
        rc = make_ready(filling, prepare, gathered, saved, err);
    if (rc == 0)
        rc = add_all(filling, prepare, gathered, err);
    if (rc == 0 && filling->job->data.group[0])
        rc = dataset_group(filling->dataset, filling->job->data.group,
                           filling->job->model.target, err);
    prepare_destroy(prepare);
    gathered_release(gathered);
    free(gathered);
    return rc;
}

#include "worker/stream/dataset.h"

#include <stdlib.h>
#include <string.h>

#include "worker/stream/dataset_fill.h"
#include "worker/stream/examples.h"
#include "worker/stream/labels.h"
#include "worker/stream/prepare/prepare.h"

enum { STOP_EVERY = 4096 }; /* examples between two looks at *stop */

/* Positions are 32 bits wide (worker/stream/shuffle.h). */
static const uint64_t examples_max = UINT32_MAX - 1;

/* --- filling --------------------------------------------------------------------- */

static struct part *part_of(struct dataset *dataset, enum split_part part)
{
    return part == SPLIT_TRAIN        ? &dataset->train
           : part == SPLIT_VALIDATION ? &dataset->validation
                                      : &dataset->test;
}

int filling_begin(struct filling *filling, struct dataset *dataset,
                  const struct job *job, struct err *err)
{
    *filling = (struct filling){.job = job, .dataset = dataset};
    *dataset = (struct dataset){0};
    filling->digest = XXH3_createState();
    if (filling->digest && XXH3_64bits_reset(filling->digest) == XXH_OK)
        return 0;
    return err_set(err, ERR_MEMORY, "no memory to read the examples");
}

void filling_digest(struct filling *filling, const uint64_t *key, uint32_t n,
                    float label)
{
    XXH3_64bits_update(filling->digest, key, n * sizeof *key);
    XXH3_64bits_update(filling->digest, &label, sizeof label);
}

/* Gives a part room for `room` examples. */
static int part_resize(struct part *part, uint32_t key_columns, bool weighted,
                       uint64_t room, struct err *err)
{
    uint32_t *record = realloc(part->record, room * (key_columns + 1) * sizeof *record);
    float *weight = NULL;

    if (record)
        part->record = record;
    if (record && weighted)
        weight = realloc(part->weight, room * sizeof *weight);
    if (weight)
        part->weight = weight;
    if (record && (weight || !weighted))
        return 0;
    return err_set(err, ERR_MEMORY, "no memory for %llu examples",
                   (unsigned long long)room);
}

int filling_add(struct filling *filling, enum split_part which, const uint64_t *key,
                float label, float weight, struct err *err)
{
    bool weighted = filling->job->data.weight[0] != '\0';
    struct dataset *dataset = filling->dataset;
    struct part *part = part_of(dataset, which);
    uint32_t key_columns = dataset->key_columns;
    uint64_t *room = &filling->room[which];
    uint32_t *record;
    int rc = 0;

    if (part->examples == *room) {
        rc = part_resize(part, key_columns, weighted, *room ? 2 * *room : 4096, err);
        if (rc)
            return rc;
        *room = *room ? 2 * *room : 4096;
    }
    record = part->record + part->examples * (key_columns + 1);
    for (uint32_t c = 0; rc == 0 && c < key_columns; c++)
        rc = dictionary_id(&dataset->column[c], key[c], &record[c], err);
    memcpy(&record[key_columns], &label, sizeof label);
    if (weighted)
        part->weight[part->examples] = weight;
    part->examples++;
    filling->number++;
    if (which == SPLIT_TRAIN) {
        filling->label_sum += (double)label * (double)weight;
        filling->weight_sum += (double)weight;
    }
    return rc;
}

bool filling_keeps_blocks(const struct job *job)
{
    return job->model.kind != MODEL_MF;
}

int filling_keep_schema(struct filling *filling, const struct schema *schema,
                        struct err *err)
{
    struct dataset *dataset = filling->dataset;

    dataset->schema = malloc(sizeof *dataset->schema);
    if (!dataset->schema)
        return err_set(err, ERR_MEMORY, "no memory to read the examples");
    *dataset->schema = *schema;
    return 0;
}

static int add_block(struct part *part, const struct schema *schema, struct err *err)
{
    struct block *larger;

    if ((part->blocks & (part->blocks - 1)) == 0) { /* it is full */
        larger = realloc(part->block,
                         (part->blocks ? 2 * part->blocks : 1) * sizeof *larger);
        if (!larger)
            return err_set(err, ERR_MEMORY, "no memory for %llu examples",
                           (unsigned long long)part->examples);
        part->block = larger;
    }
    if (block_create(&part->block[part->blocks], schema, GATHER_EXAMPLES, err))
        return -err->code;
    part->blocks++;
    return 0;
}

int part_keep(struct part *part, const struct schema *schema, const struct block *block,
              uint32_t i, struct err *err)
{
    int rc = 0;

    if (part->examples == (uint64_t)part->blocks * GATHER_EXAMPLES)
        rc = add_block(part, schema, err);
    if (rc == 0)
        rc = block_append(&part->block[part->blocks - 1], block, i, 1, err);
    part->examples += rc == 0;
    return rc;
}

int filling_keep(struct filling *filling, enum split_part which,
                 const struct block *block, uint32_t i, struct err *err)
{
    filling->number++;
    return part_keep(part_of(filling->dataset, which), filling->dataset->schema, block,
                     i, err);
}

/* Gives back the room that growing by doubling left over. */
static int trim(struct part *part, uint32_t key_columns, struct err *err)
{
    if (part->examples == 0 || part->blocks)
        return 0;
    return part_resize(part, key_columns, part->weight != NULL, part->examples, err);
}

static void set_facts(struct filling *filling)
{
    struct dataset *dataset = filling->dataset;
    struct data_facts *facts = &dataset->facts;

    facts->train_examples = dataset->train.examples;
    facts->test_examples = split_scored(filling->job) == SPLIT_VALIDATION
                               ? dataset->validation.examples
                               : dataset->test.examples;
    facts->digest = XXH3_64bits_digest(filling->digest);
    facts->label_mean = filling->label_sum / filling->weight_sum;
}

int filling_end(struct filling *filling, int rc, struct err *err)
{
    struct dataset *dataset = filling->dataset;

    if (rc == 0 && dataset->train.examples == 0)
        rc = err_set(err, ERR_INPUT,
                     "data.train has no example to train on: %llu in its files, %llu "
                     "of them for the test",
                     (unsigned long long)filling->number,
                     (unsigned long long)dataset->test.examples);
    if (rc == 0 && filling->weight_sum == 0)
        rc = all_weightless(err);
    for (int p = 0; rc == 0 && p < 3; p++)
        rc = trim(part_of(dataset, (enum split_part)p), dataset->key_columns, err);
    for (uint32_t c = 0; c < dataset->key_columns; c++)
        dictionary_close(&dataset->column[c]);
    if (rc == 0)
        set_facts(filling);
    else
        dataset_release(dataset);
    XXH3_freeState(filling->digest);
    return rc;
}

/* --- examples that are split as they come ---------------------------------------- */

static int take(struct filling *filling, struct examples *examples,
                const struct example *example, enum split_part part, struct err *err)
{
    float label = example->label;

    if (filling->number == examples_max)
        return err_set(err, ERR_INPUT, "%s: more than %llu examples, the most allowed",
                       examples_where(examples), (unsigned long long)examples_max);
    filling_digest(filling, example->key, filling->dataset->key_columns, label);
    if (label_as_trained(filling->job, &label, err))
        return err_prefix(err, "%s, column %s", examples_where(examples),
                          filling->job->data.label);
    return filling_add(filling, part, example->key, label, 1, err);
}

/* Reads the files of one setting, all of one part or (SPLIT_TRAIN) split at random. */
static int load_files(struct filling *filling, const char *files, const char *why,
                      enum split_part all, const volatile bool *stop, struct err *err)
{
    struct examples *examples;
    struct example example;
    uint64_t before = filling->number;
    int rc;

    rc = examples_open(filling->job, files, why, COLUMNS_LABEL, &examples, err);
    if (rc)
        return rc;
    filling->dataset->key_columns = examples_keys(examples);
    while ((rc = examples_next(examples, &example, err)) > 0) {
        enum split_part part = all;

        if (all == SPLIT_TRAIN)
            part = split_random(filling->job, filling->number);
        rc = take(filling, examples, &example, part, err);
        if (rc)
            break;
        if (filling->number % STOP_EVERY == 0 && stop &&
            __atomic_load_n(stop, __ATOMIC_RELAXED)) {
            rc = err_set(err, ERR_INTERRUPTED, "interrupted at %s",
                         examples_where(examples));
            break;
        }
    }
    if (rc == 0 && all != SPLIT_TRAIN && filling->number == before)
        rc = err_set(err, ERR_INPUT, "%s has no example in its files", why);
    bad_rows_add(&filling->dataset->bad_rows, examples_bad_rows(examples));
    examples_close(examples);
    return rc;
}

static int load_all(struct filling *filling, const volatile bool *stop, struct err *err)
{
    const struct job *job = filling->job;
    int rc = load_files(filling, job->data.train, "data.train", SPLIT_TRAIN, stop, err);

    if (rc == 0 && filling->dataset->train.examples == 0)
        return 0; /* filling_end() says so */
    if (rc == 0 && job->data.validation[0])
        rc = load_files(filling, job->data.validation, "data.validation",
                        SPLIT_VALIDATION, stop, err);
    if (rc == 0 && job->data.test[0])
        rc = load_files(filling, job->data.test, "data.test", SPLIT_TEST, stop, err);
    return rc;
}

/* --- the whole ------------------------------------------------------------------- */

/* Must all examples be known before one of them can be made ready? */
static int needs_all(const struct job *job, bool *all, struct err *err)
{
    struct schema schema;
    struct prepare *prepare;
    int rc = schema_of_job(job, COLUMNS_LABEL, &schema, err);

    for (int i = 0; i < job->data.columns; i++)
        *all |= job->data.column[i].from[0] && job->data.column[i].as != COLUMN_TITLE;
    *all |= job->data.weight[0] != '\0' || filling_keeps_blocks(job);
    if (rc || *all) /* what comes from side tables is joined to whole blocks */
        return rc;
    rc = prepare_create(job, &schema, &prepare, err);
    if (rc)
        return rc;
    *all = prepare_changes(prepare) || job->data.split_by != SPLIT_RANDOM;
    prepare_destroy(prepare);
    return 0;
}

static int check_parts(const struct job *job, struct err *err)
{
    if (job->data.test[0] && job->data.split_test > 0)
        return err_set(err, ERR_INPUT,
                       "data.test names files and data.split.test is %g, expected one "
                       "of the two",
                       job->data.split_test);
    return 0;
}

int dataset_load(struct dataset *dataset, const struct job *job,
                 const struct saved_preparation *saved, const volatile bool *stop,
                 struct err *err)
{
    struct filling filling;
    bool all = false;
    int rc = filling_begin(&filling, dataset, job, err);

    if (rc == 0)
        rc = check_parts(job, err);
    if (rc == 0)
        rc = needs_all(job, &all, err);
    if (rc == 0)
        rc = all ? dataset_load_gathered(&filling, saved, stop, err)
                 : load_all(&filling, stop, err);
    return filling_end(&filling, rc, err);
}

const struct part *dataset_part(const struct dataset *dataset, enum split_part part)
{
    return part_of((struct dataset *)dataset, part);
}

void dataset_release(struct dataset *dataset)
{
    for (uint32_t c = 0; c < dataset->key_columns; c++)
        dictionary_release(&dataset->column[c]);
    for (int p = 0; p < 3; p++) {
        struct part *part = part_of(dataset, (enum split_part)p);

        free(part->record);
        free(part->weight);
        for (uint32_t b = 0; b < part->blocks; b++)
            block_release(&part->block[b]);
        free(part->block);
    }
    free(dataset->schema);
    free(dataset->preparation);
    *dataset = (struct dataset){0};
}

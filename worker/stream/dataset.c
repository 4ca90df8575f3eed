#include "worker/stream/dataset.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include "common/rng.h"
#include "worker/stream/examples.h"

enum { STOP_EVERY = 4096 }; /* examples between two looks at *stop */

/* Positions are 32 bits wide (worker/stream/shuffle.h). */
static const uint64_t examples_max = UINT32_MAX - 1;

/* The stream of random numbers of the split: "split" in ASCII. */
static const uint64_t split_stream = 0x73706c6974;

/* A data set being read. */
struct loading {
    const struct job *job;
    struct dataset *dataset;
    const volatile bool *stop;
    struct examples *examples; /* owned; the files of one setting */
    uint64_t train_room, test_room;
    uint64_t number;      /* of the next example, in file order */
    double label_sum;     /* of the training part */
    XXH3_state_t *digest; /* owned */
};

bool split_is_test(const struct job *job, uint64_t number)
{
    uint64_t bits = rng_at((uint64_t)job->data.split_seed, split_stream, number);

    return rng_unit(bits) < job->data.split_test;
}

/* Gives a part room for `room` examples. */
static int part_resize(struct part *part, uint32_t key_columns, uint64_t room,
                       struct err *err)
{
    uint32_t *record = realloc(part->record, room * (key_columns + 1) * sizeof *record);

    if (record)
        part->record = record;
    else
        return err_set(err, ERR_MEMORY, "no memory for %llu examples",
                       (unsigned long long)room);
    return 0;
}

/* Adds an example to a part that has room for *room. */
static int part_add(struct dataset *dataset, struct part *part, uint64_t *room,
                    const uint64_t *key, float label, struct err *err)
{
    uint32_t key_columns = dataset->key_columns;
    uint32_t *record;
    int rc = 0;

    if (part->examples == *room) {
        rc = part_resize(part, key_columns, *room ? 2 * *room : 4096, err);
        if (rc)
            return rc;
        *room = *room ? 2 * *room : 4096;
    }
    record = part->record + part->examples * (key_columns + 1);
    for (uint32_t c = 0; rc == 0 && c < key_columns; c++)
        rc = dictionary_id(&dataset->column[c], key[c], &record[c], err);
    memcpy(&record[key_columns], &label, sizeof label);
    part->examples++;
    return rc;
}

/* The label as it is trained on. */
static int trained_label(const struct loading *loading, float *label, struct err *err)
{
    double positive_from = loading->job->data.positive_from;

    if (loading->job->model.loss != LOSS_LOGISTIC)
        return 0;
    if (!isnan(positive_from)) {
        *label = (double)*label >= positive_from ? 1 : 0;
        return 0;
    }
#ifndef MUTANT_STREAM_BINARY_LABEL
    if (*label != 0 && *label != 1)
        return err_set(err, ERR_INPUT,
                       "%s, column %s: label %g, expected 0 or 1 as the logistic loss "
                       "needs (data.positive_from can say which labels count as 1)",
                       examples_where(loading->examples), loading->job->data.label,
                       (double)*label);
#endif
    return 0;
}

static int take(struct loading *loading, const struct example *example, bool test,
                struct err *err)
{
    struct dataset *dataset = loading->dataset;
    uint32_t key_columns = dataset->key_columns;
    float label = example->label;
    int rc;

    if (loading->number == examples_max)
        return err_set(err, ERR_INPUT, "%s: more than %llu examples, the most allowed",
                       examples_where(loading->examples),
                       (unsigned long long)examples_max);
    XXH3_64bits_update(loading->digest, example->key,
                       key_columns * sizeof *example->key);
    XXH3_64bits_update(loading->digest, &label, sizeof label);
    rc = trained_label(loading, &label, err);
    if (rc)
        return rc;
    loading->number++;
    if (test)
        return part_add(dataset, &dataset->test, &loading->test_room, example->key,
                        label, err);
    loading->label_sum += (double)label;
    return part_add(dataset, &dataset->train, &loading->train_room, example->key, label,
                    err);
}

/* Reads the files of one setting; those of data.test are test examples all. */
static int load_files(struct loading *loading, const char *files, const char *why,
                      bool all_test, struct err *err)
{
    struct example example;
    bool test;
    int rc;

    rc = examples_open(loading->job, files, why, COLUMNS_LABEL, &loading->examples,
                       err);
    if (rc)
        return rc;
    loading->dataset->key_columns = examples_keys(loading->examples);
    while ((rc = examples_next(loading->examples, &example, err)) > 0) {
        test = all_test || split_is_test(loading->job, loading->number);
        rc = take(loading, &example, test, err);
        if (rc)
            break;
        if (loading->number % STOP_EVERY == 0 && loading->stop &&
            __atomic_load_n(loading->stop, __ATOMIC_RELAXED)) {
            rc = err_set(err, ERR_INTERRUPTED, "interrupted at %s",
                         examples_where(loading->examples));
            break;
        }
    }
    examples_close(loading->examples);
    loading->examples = NULL;
    return rc;
}

static int load_all(struct loading *loading, struct err *err)
{
    const struct job *job = loading->job;
    const struct dataset *dataset = loading->dataset;
    int rc;

    if (job->data.test[0] && job->data.split_test > 0)
        return err_set(err, ERR_INPUT,
                       "data.test names files and data.split.test is %g, expected one "
                       "of the two",
                       job->data.split_test);
    rc = load_files(loading, job->data.train, "data.train", false, err);
    if (rc == 0 && dataset->train.examples == 0)
        rc = err_set(
            err, ERR_INPUT,
            "data.train has no example to train on: %llu in its files, %llu of "
            "them for the test",
            (unsigned long long)loading->number,
            (unsigned long long)dataset->test.examples);
    if (rc || !job->data.test[0])
        return rc;
    rc = load_files(loading, job->data.test, "data.test", true, err);
    if (rc == 0 && dataset->test.examples == 0)
        rc = err_set(err, ERR_INPUT, "data.test has no example in its files");
    return rc;
}

/* Gives back the room that growing by doubling left over. */
static int trim(struct part *part, uint32_t key_columns, struct err *err)
{
    if (part->examples == 0)
        return 0;
    return part_resize(part, key_columns, part->examples, err);
}

int dataset_load(struct dataset *dataset, const struct job *job,
                 const volatile bool *stop, struct err *err)
{
    struct loading loading = {.job = job, .dataset = dataset, .stop = stop};
    int rc;

    *dataset = (struct dataset){0};
    loading.digest = XXH3_createState();
    if (!loading.digest || XXH3_64bits_reset(loading.digest) != XXH_OK)
        rc = err_set(err, ERR_MEMORY, "no memory to read the examples");
    else
        rc = load_all(&loading, err);
    if (rc == 0)
        rc = trim(&dataset->train, dataset->key_columns, err);
    if (rc == 0)
        rc = trim(&dataset->test, dataset->key_columns, err);
    for (uint32_t c = 0; c < dataset->key_columns; c++)
        dictionary_close(&dataset->column[c]);
    if (rc == 0)
        dataset->facts = (struct data_facts){
            .train_examples = dataset->train.examples,
            .test_examples = dataset->test.examples,
            .digest = XXH3_64bits_digest(loading.digest),
            .label_mean = loading.label_sum / (double)dataset->train.examples};
    else
        dataset_release(dataset);
    XXH3_freeState(loading.digest);
    return rc;
}

void dataset_release(struct dataset *dataset)
{
    for (uint32_t c = 0; c < dataset->key_columns; c++)
        dictionary_release(&dataset->column[c]);
    free(dataset->train.record);
    free(dataset->test.record);
    *dataset = (struct dataset){0};
}

/* A data set in memory: keys (as ids) and labels of all examples, split into training
 * and test part. Read once, then shared read-only by any number of threads. */
#ifndef ROWHOUSE_WORKER_STREAM_DATASET_H
#define ROWHOUSE_WORKER_STREAM_DATASET_H

#include <string.h>

#include "common/facts.h"
#include "common/job.h"
#include "worker/stream/dictionary.h"

struct part {
    uint64_t examples;
    /* One place in memory an example, because they are read in random order: its ids,
     * [key_columns], and the bits of its label. Owned; [examples][key_columns + 1] */
    uint32_t *record;
};

struct dataset {
    uint32_t key_columns;
    struct dictionary
        column[JOB_COLUMNS_MAX]; /* [key_columns]: the keys of both parts */
    struct part train, test;     /* in the order of the files */
    struct data_facts facts;
};

/* The label behind the ids of a record. */
static inline float record_label(const uint32_t *record, uint32_t key_columns)
{
    float label;

    memcpy(&label, &record[key_columns], sizeof label);
    return label;
}

/* Reads data.train and splits it by (data.split.seed, number of the example), so that
 * every process makes the same split. If data.test names files, they are the test part
 * and all of data.train is the training part; data.split.test must then be 0.
 *
 * For the logistic loss, labels become 0 or 1 by data.positive_from; without it, a
 * label other than 0 and 1 is an error. facts.digest is over keys and labels as the
 * files have them (data.train, then data.test), facts.label_mean over labels as they
 * are trained on.
 *
 * `*stop` (may be NULL) set by another thread or a signal ends it with
 * -ERR_INTERRUPTED. -ERR_INPUT: no example to train on, no example in data.test, 2^32 -
 * 1 examples or more, and the errors of examples_open() and examples_next();
 * -ERR_MEMORY; -ERR_SYSTEM. After an error there is nothing to release. */
int dataset_load(struct dataset *dataset, const struct job *job,
                 const volatile bool *stop, struct err *err);
void dataset_release(struct dataset *dataset); /* zeroed is fine */

/* Is example `number` (from 0, in file order) of the test part? The share
 * data.split.test of all numbers is. Any thread. */
bool split_is_test(const struct job *job, uint64_t number);

#endif

/* A data set in memory: keys and labels of all examples, split into training and test
 * part. Read once, then shared read-only by any number of threads. */
#ifndef ROWHOUSE_WORKER_STREAM_DATASET_H
#define ROWHOUSE_WORKER_STREAM_DATASET_H

#include "common/facts.h"
#include "common/job.h"

struct part {
    uint64_t examples;
    uint64_t *key; /* [examples][key_columns] */
    float *label;  /* [examples] */
};

struct dataset {
    uint32_t key_columns;
    struct part train, test;
    struct data_facts facts;
};

/* Reads data.train (and data.test) and splits by (seed, position in the files), so that
 * every process makes the same split. `*stop` (may be NULL) set by another thread ends
 * it with -ERR_INTERRUPTED. For the logistic loss, labels become 0 or 1
 * (data.positive_from). An empty training part is an error. */
int dataset_load(struct dataset *dataset, const struct job *job,
                 const volatile bool *stop, struct err *err);
void dataset_release(struct dataset *dataset); /* zeroed is fine */

/* Is example `number` (from 0, in file order) of the test part? */
bool split_is_test(const struct job *job, uint64_t number);

#endif

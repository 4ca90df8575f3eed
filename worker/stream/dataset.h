/* A data set in memory: keys (as ids) and labels of all examples, split into training
 * and test part. Read once, then shared read-only by any number of threads. */
#ifndef ROWHOUSE_WORKER_STREAM_DATASET_H
#define ROWHOUSE_WORKER_STREAM_DATASET_H

#include <string.h>

#include "common/facts.h"
#include "common/job.h"
#include "worker/stream/dictionary.h"
#include "worker/stream/gather.h"
#include "worker/stream/prepare/prepare.h"
#include "worker/stream/source.h"

struct part {
    uint64_t examples;
    /* One place in memory an example, because they are read in random order: its ids,
     * [key_columns], and the bits of its label. Owned; [examples][key_columns + 1] */
    uint32_t *record;
    float *weight; /* [examples]; NULL = all 1. Owned */
    /* Instead of both, for models that take more than keys: prepared examples, owned,
     * GATHER_EXAMPLES in each block but the last. Labels are as they are trained on. */
    struct block *block; /* [blocks] */
    uint32_t blocks;
};

struct dataset {
    uint32_t key_columns; /* of records */
    struct dictionary
        column[JOB_COLUMNS_MAX];         /* [key_columns]: the keys of all parts */
    struct part train, validation, test; /* in the order of the files */
    struct data_facts facts;
    /* What was fitted to the training part, as prepare_save() writes it; NULL: nothing
     * is prepared. Owned; [facts.preparation_bytes] */
    unsigned char *preparation;
    struct schema *schema;    /* of blocks; owned */
    struct bad_rows bad_rows; /* left out */
};

/* The label behind the ids of a record. */
static inline float record_label(const uint32_t *record, uint32_t key_columns)
{
    float label;

    memcpy(&label, &record[key_columns], sizeof label);
    return label;
}

/* Reads data.train and splits it (worker/stream/splits.h), so that every process makes
 * the same split. Files of data.validation and data.test are those parts; the share
 * that would be split off for them must then be 0. Where the job prepares columns, that
 * is fitted on the training part alone, or taken from `saved` (NULL: it is fitted), and
 * applied to all parts.
 *
 * For the logistic loss, labels become 0 or 1 by data.positive_from; without it, a
 * label other than 0 and 1 is an error. facts.digest is over keys and labels as the
 * files have them (data.train, data.validation, data.test), and where examples are
 * blocks over all columns; facts.label_mean over labels as they are trained on.
 *
 * `*stop` (may be NULL) set by another thread or a signal ends it with
 * -ERR_INTERRUPTED. -ERR_INPUT: no example to train on, no example in files that are
 * named, 2^32 - 1 examples or more, and the errors of input_open(), input_next(),
 * split_all() and of a preparation; -ERR_MEMORY; -ERR_SYSTEM; -ERR_DAMAGE. After an
 * error there is nothing to release. */
int dataset_load(struct dataset *dataset, const struct job *job,
                 const struct saved_preparation *saved, const volatile bool *stop,
                 struct err *err);
void dataset_release(struct dataset *dataset); /* zeroed is fine */

const struct part *dataset_part(const struct dataset *dataset, enum split_part part);

/* Keeps a copy of example number i of a block behind those of a part of blocks, all of
 * which have this schema (borrowed). -ERR_MEMORY. */
int part_keep(struct part *part, const struct schema *schema, const struct block *block,
              uint32_t i, struct err *err);

#endif

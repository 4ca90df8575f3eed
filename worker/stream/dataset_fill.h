/* Filling a data set, example by example: shared by dataset*.c. */
#ifndef ROWHOUSE_WORKER_STREAM_DATASET_FILL_H
#define ROWHOUSE_WORKER_STREAM_DATASET_FILL_H

#include <xxhash.h>

#include "worker/stream/dataset.h"
#include "worker/stream/splits.h"

struct filling {
    const struct job *job;
    struct dataset *dataset;
    uint64_t room[3];             /* of each part */
    uint64_t number;              /* of examples so far */
    double label_sum, weight_sum; /* of the training part; labels by weight */
    XXH3_state_t *digest;         /* owned */
};

int filling_begin(struct filling *filling, struct dataset *dataset,
                  const struct job *job, struct err *err);
/* Adds keys [n] and a label as the file has them to the digest. */
void filling_digest(struct filling *filling, const uint64_t *key, uint32_t n,
                    float label);
/* Adds an example with keys [key_columns]. -ERR_MEMORY. */
int filling_add(struct filling *filling, enum split_part part, const uint64_t *key,
                float label, float weight, struct err *err);
/* Are examples kept as blocks? That is for models that may take more than keys. */
bool filling_keeps_blocks(const struct job *job);
/* Blocks that are kept have this schema (copied). -ERR_MEMORY. */
int filling_keep_schema(struct filling *filling, const struct schema *schema,
                        struct err *err);
/* Keeps example number i of a prepared block. -ERR_MEMORY. */
int filling_keep(struct filling *filling, enum split_part part,
                 const struct block *block, uint32_t i, struct err *err);
/* Trims the parts and makes the facts, if rc is 0; else releases the data set. Returns
 * rc, or an error of its own. */
int filling_end(struct filling *filling, int rc, struct err *err);

/* The way for jobs that prepare columns, or whose split must know all examples. */
int dataset_load_gathered(struct filling *filling,
                          const struct saved_preparation *saved,
                          const volatile bool *stop, struct err *err);

#endif

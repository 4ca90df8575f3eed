/* From blocks of prepared examples to the inputs of batches: keys go into the tables'
 * key sets, and what an input gets is where their rows will be; numbers are copied. One
 * thread; nothing is allocated from batch to batch. */
#ifndef ROWHOUSE_WORKER_INPUTS_H
#define ROWHOUSE_WORKER_INPUTS_H

#include "worker/batch.h"
#include "worker/stream/block.h"

struct inputs;

/* For batches of batch_create_for() with the same blueprint (borrowed), of at most
 * `capacity` examples. -ERR_MEMORY. */
int inputs_create(const struct blueprint *blueprint, uint32_t servers,
                  uint32_t capacity, struct inputs **inputs, struct err *err);
void inputs_destroy(struct inputs *inputs); /* NULL is fine */

/* From here on blocks have this schema. -ERR_INPUT: it lacks a column of the model. */
int inputs_bind(struct inputs *inputs, const struct schema *schema, struct err *err);

/* Begins a batch. */
void inputs_begin(struct inputs *inputs, struct batch *batch);
/* Appends the examples numbered example[0..n) of a block to the inputs of the batch,
 * behind its batch->n examples, which the caller counts up afterwards; there must be
 * room. Labels and weights are the caller's. */
void inputs_add(struct inputs *inputs, struct batch *batch, const struct block *block,
                const uint32_t *example, uint32_t n);
/* The same, but columns for which from_other[job's column] is true come from the same
 * place of a second list of examples. `other` has the same schema; its examples may be
 * of another block each: other[i]. */
void inputs_add_mixed(struct inputs *inputs, struct batch *batch,
                      const struct block *block, const uint32_t *example,
                      const struct block *const *other, const uint32_t *other_example,
                      const bool *from_other, uint32_t n);
/* Builds the key sets of what was added and tells the inputs where rows are. */
void inputs_build(struct inputs *inputs, struct batch *batch);

#endif

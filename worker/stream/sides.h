/* Side tables (data.sides): columns of users or items from files of their own, joined
 * to the examples by key. Held in memory. One thread. */
#ifndef ROWHOUSE_WORKER_STREAM_SIDES_H
#define ROWHOUSE_WORKER_STREAM_SIDES_H

#include "worker/stream/block.h"

struct sides;

/* Reads the side tables of the columns that the job has from them, and adds these to
 * the schema of the data, behind what it has. *sides is NULL if there are none.
 * `wanted`: enum columns_wanted; titles are read with COLUMNS_TEXTS only. -ERR_INPUT: a
 * key that is twice in a side table (the sentence has both places), a column that is
 * missing, more than SCHEMA_COLUMNS_MAX columns, and the errors of source_open() and
 * source_next(); -ERR_MEMORY. */
int sides_load(const struct job *job, unsigned wanted, struct schema *schema,
               struct sides **sides, struct err *err);
void sides_destroy(struct sides *sides); /* NULL is fine */

/* Fills in the block's columns from side tables, by its keys: missing where a side
 * table has no row. The block is of the schema that sides_load() has made. -ERR_MEMORY.
 */
int sides_join(const struct sides *sides, struct block *block, struct err *err);

#endif

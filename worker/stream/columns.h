/* Which columns a job wants of its data, and of what kind. Any thread. */
#ifndef ROWHOUSE_WORKER_STREAM_COLUMNS_H
#define ROWHOUSE_WORKER_STREAM_COLUMNS_H

#include "worker/stream/schema.h"

enum columns_wanted {
    COLUMNS_LABEL =
        1, /* the label and the weight; without, no title is needed either */
    COLUMNS_TEXTS = 2, /* titles, and keys as they stand in the file */
};

/* The columns of data.columns that files have, then the label and the weight, and the
 * times where splits or histories need them; which of them are the user and the time.
 * Key columns come first, in the job's order, so that the i-th of them is place i; then
 * their titles, then the others in the job's order. Titles are looked for without
 * COLUMNS_TEXTS too, so that a wrong name is found by whoever reads first, but are then
 * not read. Columns that are made or from side tables are not among them. A key,
 * number, time or vector may miss where data.columns.*.missing says what becomes of it.
 *
 * `wanted`: enum columns_wanted, or-ed. -ERR_INPUT: data.columns has no key,
 * data.label is not set where job_needs_label(), or data.time is no time. Without a
 * label, examples have one that is missing. */
int schema_of_job(const struct job *job, unsigned wanted, struct schema *schema,
                  struct err *err);

/* Adds a column of the job as it is in files; the caller adds at most
 * SCHEMA_COLUMNS_MAX. */
struct schema_column *schema_add_column(struct schema *schema, const struct job *job,
                                        const struct job_column *from);

#endif

/* Input: the examples of a list of files as blocks, one file after the other, in the
 * order that is the same everywhere, with what side tables know of them. What a list of
 * files may be says filelist.h, which columns there are columns.h. One thread. */
#ifndef ROWHOUSE_WORKER_STREAM_INPUT_H
#define ROWHOUSE_WORKER_STREAM_INPUT_H

#include "worker/stream/columns.h"
#include "worker/stream/source.h"

struct input;

/* Opens the files of the list `files`, which `why` (a setting or option) names, and
 * looks at the header of each that is a regular file. `job` need not outlive the call;
 * `wanted`: enum columns_wanted, or-ed. Errors as of schema_of_job(), filelist_init(),
 * source_create(), source_open() and sides_load(). */
int input_open(const struct job *job, const char *files, const char *why,
               unsigned wanted, struct input **input, struct err *err);
void input_close(struct input *input); /* NULL is fine */

/* What its blocks are made by; valid until input_close(). */
const struct schema *input_schema(const struct input *input);

/* Fills the block anew, which is of input_schema(), with examples of one file: 1, or 0
 * at the end of the last file. Errors as of source_open() and source_next(): do not go
 * on after one. */
int input_next(struct input *input, struct block *block, struct err *err);

/* The path of the file that the last block is of, valid until input_close(); and "FILE
 * line N" of one of its examples, valid until the next call. */
const char *input_path(const struct input *input);
const char *input_where(struct input *input, uint64_t place);

/* Rows that were left out so far; valid until input_close(). */
const struct bad_rows *input_bad_rows(const struct input *input);

#endif

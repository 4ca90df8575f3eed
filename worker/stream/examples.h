/* Examples one by one: the records of a list of files as keys, label and texts, for
 * commands that are in no hurry. What a list of files may be says filelist.h, how they
 * are read source.h. One thread for each. */
#ifndef ROWHOUSE_WORKER_STREAM_EXAMPLES_H
#define ROWHOUSE_WORKER_STREAM_EXAMPLES_H

#include "worker/stream/columns.h"
#include "worker/stream/source.h"

struct examples;

struct example {
    const uint64_t *key; /* [examples_keys()], in the order of the job's columns */
    /* With COLUMNS_TEXTS: as it stands in the file, [examples_keys()]; else NULL. */
    const char *const *key_text;
    const char *const *title; /* the title of the key's table; NULL if it is empty */
    float label;              /* NaN where no label is asked for */
};

/* Opens the files of the list `files` (globs are expanded, sorted; a file twice is an
 * error) and checks the header of each that is a regular file. `job` need not outlive
 * the call. `wanted`: enum columns_wanted, or-ed; without COLUMNS_LABEL the columns of
 * label and titles may be missing, and the label is not read. `why` names the setting
 * or option the list came from. Errors as of schema_of_job(), filelist_init(),
 * source_create() and source_open(). */
int examples_open(const struct job *job, const char *files, const char *why,
                  unsigned wanted, struct examples **examples, struct err *err);
void examples_close(struct examples *examples); /* NULL is fine */

/* How many key columns an example has. */
uint32_t examples_keys(const struct examples *examples);

/* The next example: 1, valid until the next call; 0 at the end of the last file; else
 * an error of source_open() or source_next(): do not go on after it. */
int examples_next(struct examples *examples, struct example *example, struct err *err);

/* "file line N" of the example last returned; valid until the next call with
 * `examples`. */
const char *examples_where(struct examples *examples);

/* Rows that were left out so far; valid until examples_close(). */
const struct bad_rows *examples_bad_rows(const struct examples *examples);

#endif

/* Examples: rows of TSV or CSV files (with a header) as keys, label and texts. A key is
 * a 64-bit integer in plain decimal notation (-2^63 .. 2^64-1), taken as it is, or any
 * other text, hashed with XXH3-64. One thread for each reader. */
#ifndef ROWHOUSE_WORKER_STREAM_EXAMPLES_H
#define ROWHOUSE_WORKER_STREAM_EXAMPLES_H

#include "common/job.h"

struct examples;

struct example {
    const uint64_t *key;         /* one for each key column, in the job's order */
    const char *const *key_text; /* as it stands in the file */
    const char *const *title; /* one for each key column: its table's title, or NULL */
    float label;              /* NaN where no label is asked for */
};

/* Opens the files of the list `files` (globs are expanded, sorted). `need_label` false:
 * the label's column may be missing. Errors name the file and the column that is
 * missing, with the columns that are there. `why` names the setting or option the list
 * came from. */
int examples_open(const struct job *job, const char *files, const char *why,
                  bool need_label, struct examples **examples, struct err *err);
void examples_close(struct examples *examples);

/* How many key columns an example has. */
uint32_t examples_keys(const struct examples *examples);

/* The next example: 1, valid until the next call; 0 at the end of the last file;
 * -ERR_INPUT with file, line and column ("ratings.tsv line 12, column rating: 'four' is
 * not a number"). */
int examples_next(struct examples *examples, struct example *example, struct err *err);

/* "file line N" of the example last returned. */
const char *examples_where(struct examples *examples);

/* The key of a text: integers as they are, anything else hashed. */
uint64_t key_of_text(const char *text, size_t length);

#endif

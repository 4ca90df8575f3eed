/* Examples: rows of TSV or CSV files (with a header) as keys, label and texts.
 *
 * What key a text is says common/key.h, how rows are laid out worker/stream/records.h,
 * what a list of files may be filelist.h. One thread for each reader. */
#ifndef ROWHOUSE_WORKER_STREAM_EXAMPLES_H
#define ROWHOUSE_WORKER_STREAM_EXAMPLES_H

#include "common/job.h"

struct examples;

struct example {
    const uint64_t *key; /* [examples_keys()], in the order of the job's columns */
    const char *const *key_text; /* [examples_keys()], as they stand in the file */
    const char *const
        *title;  /* [examples_keys()]: the title of the key's table, or NULL */
    float label; /* NaN where no label is asked for */
};

/* Opens the files of the list `files` (globs are expanded, sorted; a file twice is an
 * error) and checks the header of each that is a regular file. `job` need not outlive
 * the call. `need_label` false: the columns of label and titles may be missing, and the
 * label is not read. `why` names the setting or option the list came from.
 *
 * -ERR_INPUT: a file that is missing, empty, or whose header lacks a column (the
 * sentence names the file, the column, the nearest one and all that are there) or has
 * it twice; also the errors of filelist_init() and textfile_open(). */
int examples_open(const struct job *job, const char *files, const char *why,
                  bool need_label, struct examples **examples, struct err *err);
void examples_close(struct examples *examples); /* NULL is fine */

/* How many key columns an example has. */
uint32_t examples_keys(const struct examples *examples);

/* The next example: 1, valid until the next call; 0 at the end of the last file;
 * -ERR_INPUT with file, line and column ("ratings.tsv line 12, column rating: 'four' is
 * not a number"): a wrong number of fields, an empty key, one that a dense table lacks,
 * a label that is no finite number; also the errors of records_next(). Do not go on
 * after an error. */
int examples_next(struct examples *examples, struct example *example, struct err *err);

/* "file line N" of the example last returned; valid until the next call with
 * `examples`. */
const char *examples_where(struct examples *examples);

#endif

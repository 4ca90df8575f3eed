/* rowhouse describe: what is in a file of examples. For describe*.c. */
#ifndef ROWHOUSE_LAUNCH_DESCRIBE_H
#define ROWHOUSE_LAUNCH_DESCRIBE_H

#include <stdio.h>

#include "worker/stream/profile/guess.h"
#include "worker/stream/profile/profile.h"
#include "worker/stream/schema.h"

struct description {
    const char *path;   /* borrowed */
    const char *format; /* as data.format calls it; borrowed */
    struct guess guess;
    struct schema schema;    /* the columns that were looked at */
    struct profile *profile; /* owned; [schema.columns] */
    enum profile_kind kind[SCHEMA_COLUMNS_MAX];
    uint64_t rows, rows_max; /* rows_max: as many as are to be read */
    bool cut;                /* there are more rows than that */
    uint64_t bad_rows;
    char first_bad[ERR_TEXT_MAX]; /* the sentence about the first of them */
};

/* Reads the file and fills in everything; `format` NULL is guessed. Errors of opening
 * and reading; -ERR_INPUT for what can not be described. */
int describe_read(struct description *d, const char *path, const char *format,
                  uint64_t rows_max, struct err *err);
/* The columns of text in d->format, which begins with text[0..length); for
 * describe_read(). -ERR_INPUT. */
int describe_columns(struct description *d, const char *text, size_t length,
                     struct err *err);
void describe_release(struct description *d); /* zeroed is fine */

/* Prints it for people: lines of at most `width` columns, with blocks of Unicode or
 * without. -ERR_MEMORY. */
int describe_print(const struct description *d, FILE *out, int width, bool unicode,
                   struct err *err);

/* Prints a job file that trains on the file. -ERR_INPUT: no two columns of keys, or no
 * label. */
int describe_job(const struct description *d, FILE *out, struct err *err);

#endif

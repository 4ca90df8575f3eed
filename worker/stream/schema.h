/* What is to be read: the columns that somebody needs of the data, each with a kind of
 * value. Readers fill blocks (worker/stream/block.h) by it, whatever the format of the
 * file; preparation turns a block of one schema into a block of another. Plain data. */
#ifndef ROWHOUSE_WORKER_STREAM_SCHEMA_H
#define ROWHOUSE_WORKER_STREAM_SCHEMA_H

#include "common/job.h"

enum value_kind {
    VALUE_KEY,    /* one key (common/key.h) */
    VALUE_KEYS,   /* any number of keys, each with a weight: genres, words, histories */
    VALUE_NUMBER, /* a float; NaN is a missing one */
    VALUE_VECTOR, /* `dim` floats */
    VALUE_TEXT,   /* bytes, UTF-8 */
    VALUE_TIME,   /* microseconds since 1970 UTC */
};

struct schema_column {
    char name[JOB_NAME_MAX * 2]; /* as in the header, or as the format calls it */
    uint8_t kind;                /* enum value_kind */
    bool optional;               /* a file may lack it: then it is missing everywhere */
    bool may_miss;               /* an example may lack it; else that is an error */
    bool keep_text;              /* of a key: as it stands in the file, too */
    bool unread;                 /* text that is only looked for: empty in blocks */
    uint32_t dim;                /* of a vector */
    uint64_t rows;            /* a key's table is dense and has so many rows; else 0 */
    char table[JOB_NAME_MAX]; /* of a key, for sentences; may be "" */
    char separator[8];        /* between the parts of keys and vectors */
    char time_format[JOB_NAME_MAX]; /* as data.columns.*.time_format; "" = seconds */
};

enum { SCHEMA_COLUMNS_MAX = JOB_COLUMNS_MAX + 4, SCHEMA_NONE = -1 };

struct schema {
    uint32_t columns;
    struct schema_column column[SCHEMA_COLUMNS_MAX];
    /* Places among the columns, or SCHEMA_NONE. The label and the weight are
     * VALUE_NUMBER; user and time are what splits go by. */
    int label, weight, user, time;
};

/* Adds a column with that name and kind, otherwise zeroed; the place it got. The caller
 * adds at most SCHEMA_COLUMNS_MAX to a schema that began as SCHEMA_EMPTY. */
int schema_add(struct schema *schema, const char *name, enum value_kind kind);
/* The place of a column by name, or SCHEMA_NONE. */
int schema_find(const struct schema *schema, const char *name);

#define SCHEMA_EMPTY                                                                   \
    ((struct schema){.label = SCHEMA_NONE,                                             \
                     .weight = SCHEMA_NONE,                                            \
                     .user = SCHEMA_NONE,                                              \
                     .time = SCHEMA_NONE})

#endif

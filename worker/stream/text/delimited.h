/* The state of the reader of tables of text; what binds columns to fields. */
#ifndef ROWHOUSE_WORKER_STREAM_TEXT_DELIMITED_H
#define ROWHOUSE_WORKER_STREAM_TEXT_DELIMITED_H

#include "worker/stream/text/reader_parts.h"

struct delimited {
    bool header;
    uint32_t fields;                    /* of each record, at least 1 */
    uint32_t field[SCHEMA_COLUMNS_MAX]; /* of each wanted column, or NO_FIELD */
    uint32_t *places;                   /* owned; split.end and split.begin */
    uint32_t room;                      /* bytes of text that they are for */
    struct split split;
    /* The head that is bound. */
    char *head;         /* owned; its bytes, slack, then the names, each terminated */
    size_t head_length; /* 0 = none */
    size_t head_room;
    char **name; /* owned; [fields] */
};

/* As reader_begin(). */
int delimited_begin(struct reader *reader, const char *path, const char *head,
                    size_t length, struct err *err);

/* Room for the places of the fields of `bytes` of text. */
int delimited_room(struct delimited *d, uint32_t bytes, struct err *err);
/* One column of the records that were split last. */
struct split_column delimited_column(const struct reader *reader,
                                     const struct delimited *d, const char *text,
                                     uint32_t field);
/* A field of record r as it is meant: without quotes, in UTF-8. Valid until the next
 * call. */
int delimited_field(struct reader *reader, const struct split_column *column,
                    uint32_t r, struct span *value, struct err *err);

#endif

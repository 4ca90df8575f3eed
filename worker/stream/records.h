/* Records of a TSV or CSV file: one row as fields. One thread.
 *
 * TSV: fields end at tabs, nothing is quoted. CSV as in RFC 4180: a field may be in
 * double quotes, with "" for a quote; a quoted field may go on over several lines,
 * whose ends then become \n. A byte order mark of UTF-8 at the start is skipped. */
#ifndef ROWHOUSE_WORKER_STREAM_RECORDS_H
#define ROWHOUSE_WORKER_STREAM_RECORDS_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/job.h"

struct records;

struct field {
    char *text; /* text[length] is '\0'; no other byte is */
    size_t length;
};

struct record {
    const struct field *field; /* [split]; borrowed, valid until the next call */
    uint32_t split;            /* how many fields were split off: min(wanted, count) */
    uint32_t count;            /* how many fields the record has, at least 1 */
};

/* Opens `path` (copied); errors as of textfile_open(). */
int records_open(const char *path, enum data_format format, struct records **records,
                 struct err *err);
void records_close(struct records *records); /* NULL is fine */

/* The next record: 1, its first `wanted` fields split off and the rest only counted; 0
 * at the end. Errors as of textfile_next(), and -ERR_INPUT with file and line for wrong
 * quotes or a record longer than TEXTFILE_LINE_MAX. Do not go on after an error. */
int records_next(struct records *records, uint32_t wanted, struct record *record,
                 struct err *err);

/* The line on which the record last returned begins, from 1. */
uint64_t records_line(const struct records *records);

/* The path as it was given; valid until records_close(). */
const char *records_path(const struct records *records);

#endif

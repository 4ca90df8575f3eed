/* The inner loops of reading tables of text, for the three processor levels, all with
 * the same results: where fields end, keys and numbers in short fields, lines, UTF-8.
 *
 * All texts have READER_SLACK (worker/stream/text/reader.h) readable bytes behind their
 * end. Cannot fail; any thread.
 */
#ifndef ROWHOUSE_WORKER_STREAM_TEXT_FIELDS_KERNELS_H
#define ROWHOUSE_WORKER_STREAM_TEXT_FIELDS_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { DELIMITER_MAX = 8 }; /* bytes */

/* What ends a field, besides the end of a line. */
struct split_rules {
    char delimiter[DELIMITER_MAX];
    uint32_t length; /* of the delimiter, from 1 */
    bool blanks;     /* instead: any run of blanks and tabs; none at a line's ends */
    bool quotes;     /* what is in double quotes ends nothing */
};

/* What was found in a text. */
struct split {
    /* Where fields end, ascending: at their delimiter (its first byte) or newline.
     * Room for one more than the text has bytes, and 64. */
    uint32_t *end;
    uint32_t *begin; /* where they begin; only with rules.blanks, else unused */
    uint32_t ends;
    uint32_t newlines;  /* how many of them are newlines */
    bool quoted;        /* there are quotes */
    uint32_t bad_quote; /* the first that does not stand around a whole field, or
                           UINT32_MAX */
    bool suspect;       /* a byte that is not ASCII, or NUL */
};

/* Finds the fields of text[0..length), which begins a record. */
typedef void split_fields(const struct split_rules *rules, const char *text,
                          uint32_t length, struct split *split);

/* One column of records of the same number of fields: record r's begins at
 * begin[r * stride] + skip and ends before end[r * stride]. */
struct split_column {
    const char *text;
    const uint32_t *begin, *end;
    uint32_t stride, skip;
    bool last;   /* of its record: a \r before the newline is not part of it */
    bool quoted; /* keys and numbers are what is between double quotes; a field that
                    does not begin with one is not plain */
};

/* Keys (common/key.h) and numbers (common/number.h) of the records first..rows-1 into
 * out[first..]. Returns the first record whose field is not short and plain, where it
 * stopped: rows if all are. */
typedef uint32_t split_keys(const struct split_column *column, uint32_t first,
                            uint32_t rows, uint64_t *out);
typedef uint32_t split_numbers(const struct split_column *column, uint32_t first,
                               uint32_t rows, float *out);

/* How many newlines text[0..length) has. */
typedef uint64_t split_count_lines(const char *text, size_t length);

/* Is the number of double quotes odd? */
typedef bool split_odd_quotes(const char *text, size_t length);

struct split_kernels {
    split_fields *fields;
    split_keys *keys;
    split_numbers *numbers;
    split_count_lines *count_lines;
    split_odd_quotes *odd_quotes;
};

extern const struct split_kernels split_kernels_v2, split_kernels_v3, split_kernels_v4;

/* Those for this processor (common/cpu.h). */
const struct split_kernels *split_kernels(void);

/* The first byte of text[0..length) that no text has: NUL, or one that is not UTF-8
 * (RFC 3629: no surrogates, no longer forms) unless `latin1`; `length` if all is well.
 */
size_t text_bad_byte(const char *text, size_t length, bool latin1);

#endif

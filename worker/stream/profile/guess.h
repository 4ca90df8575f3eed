/* How a table of text is laid out, told by its beginning: what stands between columns,
 * whether there is a header, and how letters are written. Any thread. */
#ifndef ROWHOUSE_WORKER_STREAM_PROFILE_GUESS_H
#define ROWHOUSE_WORKER_STREAM_PROFILE_GUESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    GUESS_BYTES = 256 * 1024, /* as much of the beginning as is of use */
    GUESS_LINES = 200,
    GUESS_FIELDS_MAX = 65535,
    GUESS_DELIMITER_MAX = 4,
};

enum guess_format {
    GUESS_TABLE,
    GUESS_PACKED,
    GUESS_JSON,   /* an object a line */
    GUESS_SPARSE, /* libsvm: label key:value key:value ... */
    GUESS_FIELDS, /* libffm: label field:key:value ... */
    GUESS_NOT_TEXT,
};

struct guess {
    enum guess_format format;
    char delimiter[GUESS_DELIMITER_MAX]; /* "\t", ",", "::", " ", ...; a single column:
                                            "\t" */
    bool quotes;                         /* fields may stand in double quotes */
    bool header; /* the first line has the names of the columns */
    bool latin1; /* letters that are not UTF-8 */
    uint32_t columns;
};

/* Looks at text[0..length), the beginning of a file or all of it. What is in `given` is
 * known and not guessed: a delimiter unless "". */
struct guess guess_table(const char *text, size_t length, const char *given);

/* The `column`th field, from 0, of the first line, as a reader takes it: without quotes
 * around it, in UTF-8; its length, up to size - 1, or -1 if there is none. */
int guess_name(const struct guess *guess, const char *text, size_t length,
               uint32_t column, char *name, size_t size);

#endif

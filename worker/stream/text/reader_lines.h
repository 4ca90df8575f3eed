/* Formats whose records are lines, read one by one, and whose columns have the names
 * that the format gives them. */
#ifndef ROWHOUSE_WORKER_STREAM_TEXT_READER_LINES_H
#define ROWHOUSE_WORKER_STREAM_TEXT_READER_LINES_H

#include "worker/stream/text/reader_parts.h"

/* Puts all columns of example block->n, which stands in the line (not blank, without
 * its end; READER_SLACK bytes behind it may be read): 0; 1: it is no example and none
 * was put. Errors as of reader_put(). */
typedef int read_line(struct reader *reader, struct span line, struct block *block,
                      struct err *err);

enum { ROLE_NONE = -1 };

/* A column's part in its format. */
struct role {
    int name;        /* place in the format's names, or ROLE_NONE: it has none such */
    uint32_t number; /* of a name with '#' for a number */
};

struct linewise {
    read_line *line;
    struct role role[SCHEMA_COLUMNS_MAX]; /* of each wanted column */
};

/* Makes reader->state: finds the wanted columns among `names` (NULL-terminated, a '#'
 * at the end of one stands for a number). -ERR_INPUT: `format` has no such column;
 * -ERR_MEMORY. */
int linewise_create(struct reader *reader, const char *format, const char *const *names,
                    read_line *line, struct err *err);
void linewise_destroy(struct reader *reader);
int linewise_parse(struct reader *reader, const struct reader_text *text,
                   struct block *block, size_t *used, size_t *bad, struct err *err);

/* The next word of a line, between blanks and tabs, taken off *rest; false behind the
 * last. */
bool linewise_word(struct span *rest, struct span *word);

/* One key more for every KEYS column with the role and number; the one value of columns
 * of other kinds. `taken`: [columns], how many each has; zeros at first. */
int linewise_add(struct reader *reader, struct block *block, struct role role,
                 struct span key, float weight, uint32_t *taken, struct err *err);
/* Ends the columns that linewise_add() may have added to: those that have nothing. */
int linewise_end(struct reader *reader, struct block *block, const uint32_t *taken,
                 struct err *err);

#endif

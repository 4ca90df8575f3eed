/* Tables of text: a record is a row of fields between delimiters (TSV, CSV as in RFC
 * 4180 and their relatives).
 *
 * A stretch of text is first cut into fields, all at once; then each column of its
 * records is read in a loop of its own. What is wrong in one record makes the stretch
 * end before it, so that among all complaints the first record's is the one that
 * counts. */
#include <stdlib.h>
#include <string.h>

#include "common/key.h"
#include "common/wording.h"
#include "worker/stream/text/delimited.h"

enum { TEXT_RUN = 64 };
enum { STRETCH = 32 * 1024 }; /* bytes: fields and their places stay in the cache */

/* The records of a stretch that are right so far. */
struct rows {
    const char *text;
    uint64_t offset; /* of the text in its file */
    uint32_t n;
    struct err complaint;        /* about record n; code 0 = none */
    uint32_t bad_begin, bad_end; /* that record's bytes, its newline included */
};

/* --- room ------------------------------------------------------------------------ */

int delimited_room(struct delimited *d, uint32_t bytes, struct err *err)
{
    size_t room = (size_t)bytes + 1 + 64;

    if (bytes <= d->room)
        return 0;
    free(d->places);
    d->room = 0;
    /* One more in front, for the end before the first field. */
    d->places = malloc((room + 1) * 2 * sizeof *d->places);
    if (!d->places)
        return err_set(err, ERR_MEMORY, "no memory for the fields of %u bytes", bytes);
    d->room = bytes;
    d->places[0] = UINT32_MAX;
    d->split.end = d->places + 1;
    d->split.begin = d->split.end + room;
    return 0;
}

/* --- records --------------------------------------------------------------------- */

/* Places as seen from record r. */
static uint32_t record_begin(const struct delimited *d, uint32_t r)
{
    return d->split.end[(int64_t)r * d->fields - 1] + 1;
}

static uint32_t record_end(const struct delimited *d, uint32_t r)
{
    return record_begin(d, r + 1);
}

/* How many records from the first on have as many fields as they should. */
static uint32_t right_rows(const struct delimited *d, const char *text)
{
    const struct split *split = &d->split;
    uint32_t rows = split->ends / d->fields, behind = 0, r;
    int wrong = 0;

    for (uint32_t i = rows * d->fields; i < split->ends; i++)
        behind += text[split->end[i]] == '\n';
    for (r = 0; r < rows; r++)
        wrong |= text[split->end[(size_t)r * d->fields + d->fields - 1]] ^ '\n';
    if (!wrong && split->newlines == rows + behind)
        return rows;
    for (r = 0; r < rows; r++)
        for (uint32_t f = 0; f < d->fields; f++)
            if ((text[split->end[(size_t)r * d->fields + f]] == '\n') !=
                (f + 1 == d->fields))
                return r;
    return rows;
}

/* Something in record n is wrong: only those before it are looked at from now on. */
static void complain(struct rows *rows, uint32_t n, uint32_t begin, uint32_t end)
{
    rows->n = n;
    rows->bad_begin = begin;
    rows->bad_end = end;
}

static void complain_of(const struct delimited *d, struct rows *rows, uint32_t n)
{
    complain(rows, n, record_begin(d, n), record_end(d, n));
}

/* Is there a record behind the right ones? Then it has a wrong number of fields. */
static void check_count(const struct delimited *d, struct rows *rows)
{
    const struct split *split = &d->split;
    uint32_t first = rows->n * d->fields, count = 0;

    for (uint32_t i = first; i < split->ends; i++) {
        count++;
        if (rows->text[split->end[i]] != '\n')
            continue;
        complain(rows, rows->n, split->end[(int64_t)first - 1] + 1, split->end[i] + 1);
#ifndef MUTANT_STREAM_FIELD_COUNT
        err_set(&rows->complaint, ERR_INPUT, ": %u field%s, expected %u as in the %s",
                count, count == 1 ? "" : "s", d->fields,
                d->header ? "header" : "first line");
#endif
        return;
    }
}

/* The record, of those that are right or complained of, with the byte `at` in it. */
static uint32_t record_of(const struct delimited *d, const struct rows *rows,
                          uint32_t at)
{
    uint32_t first = 0, behind = rows->n;

    while (first < behind) {
        uint32_t middle = first + (behind - first) / 2;

        if (record_end(d, middle) <= at)
            first = middle + 1;
        else
            behind = middle;
    }
    return first;
}

/* The number of the field with the byte `at` in it, in the record from `begin`. */
static uint32_t field_of(const struct delimited *d, uint32_t begin, uint32_t at)
{
    uint32_t field = 0;

    for (uint32_t i = 0; i < d->split.ends && d->split.end[i] < at; i++)
        field += d->split.end[i] >= begin;
    return field;
}

/* Sets the limit before the record with the byte `at`. Its field's number. */
static uint32_t complain_at(const struct delimited *d, struct rows *rows, uint32_t at)
{
    uint32_t n = record_of(d, rows, at);

    if (n < rows->n)
        complain_of(d, rows, n);
    return field_of(d, rows->bad_begin, at);
}

static void check_text(const struct reader *reader, const struct delimited *d,
                       struct rows *rows)
{
    uint32_t end = rows->complaint.code ? rows->bad_end : record_begin(d, rows->n);
    uint32_t at = (uint32_t)text_bad_byte(rows->text, end, reader->latin1), field;

    if (at >= end)
        return;
    field = complain_at(d, rows, at);
    if (rows->text[at] == '\0')
        err_set(&rows->complaint, ERR_INPUT, ": a NUL byte, expected text in UTF-8");
    else
        err_set(&rows->complaint, ERR_INPUT,
                ", field %u: the byte 0x%02x is no UTF-8 (is data.encoding right?)",
                field + 1, (unsigned char)rows->text[at]);
}

static void check_quotes(const struct delimited *d, struct rows *rows)
{
    uint32_t end = rows->complaint.code ? rows->bad_end : record_begin(d, rows->n);
    uint32_t field;

#ifndef MUTANT_STREAM_QUOTES
    if (d->split.bad_quote >= end)
        return;
    field = complain_at(d, rows, d->split.bad_quote);
    err_set(&rows->complaint, ERR_INPUT,
            ", field %u: quotes must stand around a whole field, and be doubled inside "
            "it",
            field + 1);
#endif
}

static void check_lengths(const struct delimited *d, struct rows *rows)
{
    for (uint32_t r = 0; r < rows->n; r++) {
        if (record_end(d, r) - record_begin(d, r) <= RECORD_MAX + 1)
            continue;
        complain_of(d, rows, r);
        rows->bad_end = rows->bad_begin; /* as one that does not end in sight */
        err_set(&rows->complaint, ERR_INPUT,
                ": longer than %d bytes, the longest line allowed", RECORD_MAX);
    }
}

/* --- columns --------------------------------------------------------------------- */

struct split_column delimited_column(const struct reader *reader,
                                     const struct delimited *d, const char *text,
                                     uint32_t field)
{
    struct split_column column = {.text = text,
                                  .begin = d->split.end + (int64_t)field - 1,
                                  .end = d->split.end + field,
                                  .stride = d->fields,
                                  .skip = field ? reader->rules.length : 1,
                                  .last = field + 1 == d->fields};

    if (reader->rules.blanks) {
        column.begin = d->split.begin + field;
        column.skip = 0;
    }
    return column;
}

/* The field as it stands in the text. */
static struct span raw_field(const struct reader *reader,
                             const struct split_column *column, uint32_t r)
{
    size_t at = (size_t)r * column->stride;
    uint32_t first = column->begin[at] + column->skip; /* may go round to 0 */
    const char *begin = column->text + first;
    const char *end = column->text + column->end[at];

    if (column->last && end > begin && end[-1] == '\r')
        end--;
    while (reader->rules.blanks && end > begin &&
           (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r'))
        end--;
    return (struct span){begin, (size_t)(end - begin)};
}

/* Is what stands in quotes its value as it is? Then it is that. */
static bool is_simply_quoted(struct span *value)
{
    const char *at = value->text + 1;
    size_t length = value->length < 2 ? 0 : value->length - 2;

    if (memchr(at, '"', length) || memchr(at, '\r', length))
        return false;
    *value = (struct span){at, length};
    return true;
}

/* What stands in quotes: two of them are one, the end of a line is \n. */
static int unquote(struct reader *reader, struct span *value, struct err *err)
{
    const char *at = value->text + 1, *end = value->text + value->length - 1;
    size_t used = 0;
    int rc;

    if (is_simply_quoted(value))
        return 0;
    if ((rc = reader_scratch(reader, value->length, err)))
        return rc;
    for (; at < end; at++) {
        if (at[0] == '\r' && at[1] == '\n')
            continue;
        reader->scratch[used++] = *at;
        at += at[0] == '"' && at[1] == '"' && at + 1 < end;
    }
    *value = (struct span){reader->scratch, used};
    return 0;
}

/* A field of Latin-1 in quotes: out of the scratch into it again. */
static int to_utf8(struct reader *reader, struct span *value, struct err *err)
{
    char *before = reader->scratch;
    int rc;

    if (value->text != before)
        return reader_utf8(reader, value, err);
    reader->scratch = NULL;
    reader->scratch_room = 0;
    rc = reader_utf8(reader, value, err);
    if (reader->scratch) {
        free(before);
    } else {
        reader->scratch = before;
        reader->scratch_room = value->length;
    }
    return rc;
}

int delimited_field(struct reader *reader, const struct split_column *column,
                    uint32_t r, struct span *value, struct err *err)
{
    int rc = 0;

    *value = raw_field(reader, column, r);
    if (reader->rules.quotes && value->length && value->text[0] == '"')
        rc = unquote(reader, value, err);
    if (rc == 0 && reader->latin1)
        rc = to_utf8(reader, value, err);
    return rc;
}

/* One value that is not short and plain. A complaint ends the rows before it. */
static int put_slowly(struct reader *reader, const struct delimited *d,
                      const struct split_column *column, struct block *block,
                      uint32_t c, uint32_t r, struct rows *rows, struct err *err)
{
    struct slot slot = {block, c, block->n + r};
    struct err found; /* not zeroed: there are many slow values and few errors */
    struct span value;
    int rc = delimited_field(reader, column, r, &value, &found);

    if (rc == 0)
        rc = reader_put(reader, slot, value, &found);
    if (rc == -ERR_INPUT) {
        complain_of(d, rows, r);
        rows->complaint = found;
        return 0;
    }
    if (rc)
        *err = found;
    return rc;
}

static void check_rows_of_table(const struct reader *reader, const struct delimited *d,
                                const struct split_column *column,
                                const struct block *block, uint32_t c,
                                struct rows *rows)
{
    const uint64_t *key = block->column[c].key + block->n;
    const struct schema_column *wanted = &reader->schema->column[c];
    struct err found;

    for (uint32_t r = 0; r < rows->n; r++) {
        if (key[r] < wanted->rows)
            continue;
        if (reader_check_key(wanted, raw_field(reader, column, r), key[r], &found)) {
            complain_of(d, rows, r);
            rows->complaint = found;
        }
    }
}

/* Keys that are texts come in runs: some from `r` on, without a look whether they could
 * be had faster. Where it stopped: at one with more to it than its bytes, or for a
 * look.
 */
static uint32_t take_text_keys(const struct reader *reader,
                               const struct split_column *column, uint32_t r,
                               uint32_t rows, uint64_t *key)
{
    uint32_t end = rows - r > TEXT_RUN ? r + TEXT_RUN : rows;

    for (; r < end && !reader->latin1 && !reader->missing[0]; r++) {
        struct span text = raw_field(reader, column, r);

        if (reader->rules.quotes && text.length && text.text[0] == '"' &&
            !is_simply_quoted(&text))
            break;
        if (text.length == 0)
            break;
        key[r] = key_of_text(text.text, text.length);
    }
    return r;
}

/* Does record r's field begin with a quote? Mostly its neighbours do as it does. */
static bool begins_quoted(const struct reader *reader,
                          const struct split_column *column, uint32_t r)
{
    uint32_t begin = column->begin[(size_t)r * column->stride] + column->skip;

    return reader->rules.quotes && column->text[begin] == '"';
}

/* A column of single keys or numbers: mostly short and plain. */
static int take_plain_column(struct reader *reader, const struct delimited *d,
                             struct split_column *column, struct block *block,
                             uint32_t c, struct rows *rows, struct err *err)
{
    const struct schema_column *wanted = &reader->schema->column[c];
    struct values *values = &block->column[c];
    uint32_t r = 0;
    int rc = 0;

    if (values->missing)
        memset(values->missing + block->n, 0, rows->n);
    while (rc == 0 && r < rows->n) {
        column->quoted = begins_quoted(reader, column, r);
        if (!reader->odd_missing && wanted->kind == VALUE_KEY)
            r = reader->kernels->keys(column, r, rows->n, values->key + block->n);
        else if (!reader->odd_missing)
            r = reader->kernels->numbers(column, r, rows->n, values->number + block->n);
        if (r < rows->n && wanted->kind == VALUE_KEY)
            r = take_text_keys(reader, column, r, rows->n, values->key + block->n);
        if (r < rows->n)
            rc = put_slowly(reader, d, column, block, c, r++, rows, err);
    }
    if (rc == 0 && wanted->kind == VALUE_KEY && wanted->rows)
        check_rows_of_table(reader, d, column, block, c, rows);
    return rc;
}

static int take_column(struct reader *reader, const struct delimited *d,
                       struct block *block, uint32_t c, struct rows *rows,
                       struct err *err)
{
    const struct schema_column *wanted = &reader->schema->column[c];
    struct split_column column;
    int rc = 0;

    if (d->field[c] == NO_FIELD) {
        for (uint32_t r = 0; rc == 0 && r < rows->n; r++)
            rc = reader_put_missing(reader, (struct slot){block, c, block->n + r},
                                    (struct span){"", 0}, err);
        return rc;
    }
    column = delimited_column(reader, d, rows->text, d->field[c]);
    if (wanted->kind == VALUE_NUMBER ||
        (wanted->kind == VALUE_KEY && !wanted->keep_text))
        return take_plain_column(reader, d, &column, block, c, rows, err);
    for (uint32_t r = 0; rc == 0 && r < rows->n; r++)
        rc = put_slowly(reader, d, &column, block, c, r, rows, err);
    return rc;
}

/* --- stretches ------------------------------------------------------------------- */

/* Cuts text[0..length), or as much of it as makes at least one record, into fields. */
static int cut(struct reader *reader, struct delimited *d, const char *text,
               size_t length, struct err *err)
{
    size_t stretch = STRETCH;
    int rc;

    for (;; stretch *= 2) {
        stretch = stretch < length ? stretch : length;
        if ((rc = delimited_room(d, (uint32_t)stretch, err)))
            return rc;
        reader->kernels->fields(&reader->rules, text, (uint32_t)stretch, &d->split);
        if (d->split.newlines || stretch == length || stretch > RECORD_MAX + 1)
            return 0;
    }
}

/* Reads the records of the stretch that was cut. */
static int take_rows(struct reader *reader, struct delimited *d, struct rows *rows,
                     struct block *block, struct err *err)
{
    uint32_t room = block->capacity - block->n;
    int rc = 0;

    rows->n = right_rows(d, rows->text);
    if (rows->n < room)
        check_count(d, rows);
    else
        rows->n = room;
    if (d->split.quoted)
        check_quotes(d, rows);
    if (d->split.suspect)
        check_text(reader, d, rows);
    if (rows->n && record_begin(d, rows->n) > RECORD_MAX)
        check_lengths(d, rows);
    for (uint32_t c = 0; rc == 0 && c < reader->schema->columns; c++)
        if (!reader->schema->column[c].unread)
            rc = take_column(reader, d, block, c, rows, err);
    for (uint32_t r = 0; rc == 0 && r < rows->n; r++)
        block->place[block->n + r] = rows->offset + record_begin(d, r);
    return rc;
}

static int parse(struct reader *reader, const struct reader_text *text,
                 struct block *block, size_t *used, size_t *bad, struct err *err)
{
    struct delimited *d = reader->state;
    int rc;

    while (block->n < block->capacity && *used < text->length) {
        struct rows rows = {.text = text->text + *used, .offset = text->offset + *used};

        rc = cut(reader, d, rows.text, text->length - *used, err);
        if (rc == 0)
            rc = take_rows(reader, d, &rows, block, err);
        if (rc)
            return rc;
        block->n += rows.n;
        *used += record_begin(d, rows.n);
        if (rows.complaint.code) {
            *bad = rows.bad_end - rows.bad_begin;
            *err = rows.complaint;
            return -ERR_INPUT;
        }
        if (rows.n == 0)
            break; /* the record goes on behind the text */
    }
    return 0;
}

static int create(struct reader *reader, const struct job *job, struct err *err)
{
    struct delimited *d = calloc(1, sizeof *d);

    (void)job;
    if (!d)
        return err_set(err, ERR_MEMORY, "no memory for a reader");
    d->header = reader->header;
    reader->state = d;
    return 0;
}

static void destroy(struct reader *reader)
{
    struct delimited *d = reader->state;

    if (!d)
        return;
    free(d->places);
    free(d->head);
    free(d->name);
    free(d);
}

const struct reader_format reader_delimited = {create, destroy, delimited_begin, parse,
                                               true};

#include "worker/stream/records.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/textfile.h"

struct records {
    struct textfile *file; /* owned */
    char separator;
    bool quotes;         /* CSV */
    struct field *field; /* owned; [fields] */
    size_t fields;
    char *joined; /* owned; a record of several lines */
    size_t joined_size;
    uint64_t line; /* on which the record begins */
};

int records_open(const char *path, enum data_format format, struct records **records,
                 struct err *err)
{
    struct records *made = calloc(1, sizeof *made);
    int rc;

    if (!made)
        return err_set(err, ERR_MEMORY, "%s: no memory to read it", path);
    made->quotes = format == DATA_CSV;
    made->separator = format == DATA_CSV ? ',' : '\t';
    rc = textfile_open(path, &made->file, err);
    if (rc) {
        records_close(made);
        return rc;
    }
    *records = made;
    return 0;
}

void records_close(struct records *records)
{
    if (!records)
        return;
    textfile_close(records->file);
    free(records->field);
    free(records->joined);
    free(records);
}

uint64_t records_line(const struct records *records)
{
    return records->line;
}

const char *records_path(const struct records *records)
{
    return textfile_path(records->file);
}

/* --- counting and splitting ------------------------------------------------------ */

/* How often `byte` is in text[0..length): eight at a time. */
static uint32_t count_byte(const char *text, size_t length, char byte)
{
    const uint64_t low = 0x7f7f7f7f7f7f7f7fu;
    const uint64_t pattern = 0x0101010101010101u * (unsigned char)byte;
    uint64_t word, others;
    uint32_t count = 0;

    for (; length >= 8; text += 8, length -= 8) {
        memcpy(&word, text, 8);
        word ^= pattern; /* a zero byte for each hit */
        others = (((word & low) + low) | word) & ~low;
        count += 8 - (uint32_t)__builtin_popcountll(others);
    }
    for (; length > 0; text++, length--)
        count += *text == byte;
    return count;
}

/* Splits a line without quotes. The bytes of separators become '\0'. */
static void split_plain(const struct records *records, char *line, size_t length,
                        uint32_t wanted, struct record *record)
{
    char *at = line, *end = line + length, *stop;
    uint32_t n;

    for (n = 0; n < wanted; n++) {
        stop = memchr(at, records->separator, (size_t)(end - at));
        records->field[n].text = at;
        records->field[n].length = (size_t)((stop ? stop : end) - at);
        if (!stop) {
            record->split = record->count = n + 1;
            return;
        }
        *stop = '\0';
        at = stop + 1;
    }
    record->split = n;
    record->count = n + 1 + count_byte(at, (size_t)(end - at), records->separator);
}

/* Reads a quoted field, `at` being behind its first quote, and moves its bytes together
 * over the quotes that go. Returns where it stops: at a separator or the end; NULL for
 * bytes between its last quote and there, or without a last quote. */
static char *unquote(char *at, char *end, char separator, struct field *field)
{
    char *to = at, *quote;
    size_t bytes;

    field->text = at;
    for (;;) {
        quote = memchr(at, '"', (size_t)(end - at));
        if (!quote)
            return NULL;
        bytes = (size_t)(quote - at);
        memmove(to, at, bytes);
        to += bytes;
        at = quote + 1;
        if (at == end || *at != '"')
            break;
        *to++ = '"';
        at++;
    }
    if (at < end && *at != separator)
        return NULL;
    field->length = (size_t)(to - field->text);
    *to = '\0'; /* in the place of the last quote, or before it */
    return at;
}

/* Splits a record that has quotes. */
static int split_quoted(const struct records *records, char *line, size_t length,
                        uint32_t wanted, struct record *record, struct err *err)
{
    char *at = line, *end = line + length, *stop;
    struct field field;
    uint32_t n = 0;

    for (;; n++) {
        if (at < end && *at == '"') {
            stop = unquote(at + 1, end, records->separator, &field);
        } else {
            stop = memchr(at, records->separator, (size_t)(end - at));
            stop = stop ? stop : end;
            field = (struct field){at, (size_t)(stop - at)};
            if (memchr(at, '"', field.length))
                stop = NULL;
        }
        if (!stop)
            return err_set(err, ERR_INPUT,
                           "%s line %" PRIu64 ", field %u: quotes must stand around a "
                           "whole field, and be doubled inside it",
                           records_path(records), records->line, n + 1);
        if (n < wanted)
            records->field[n] = field;
        if (stop == end)
            break;
        *stop = '\0';
        at = stop + 1;
    }
    record->count = n + 1;
    record->split = record->count < wanted ? record->count : wanted;
    return 0;
}

/* --- records --------------------------------------------------------------------- */

static int join_room(struct records *records, size_t bytes, struct err *err)
{
    size_t size = bytes < 4096 ? 4096 : 2 * bytes;
    char *larger;

    if (bytes <= records->joined_size)
        return 0;
    larger = realloc(records->joined, size);
    if (!larger)
        return err_set(err, ERR_MEMORY, "%s line %" PRIu64 ": no memory for the record",
                       records_path(records), records->line);
    records->joined = larger;
    records->joined_size = size;
    return 0;
}

static int never_ends(const struct records *records, struct err *err)
{
    return err_set(err, ERR_INPUT,
                   "%s line %" PRIu64 ": a quoted field begins and does not end (a "
                   "record has at most %d bytes)",
                   records_path(records), records->line, TEXTFILE_LINE_MAX);
}

/* A record with an odd number of quotes goes on in the next line: puts lines together
 * until the number is even. 1 or an error. */
static int join_lines(struct records *records, char **line, size_t *length,
                      struct err *err)
{
    char *next = *line;
    size_t next_length = *length, bytes = 0;
    uint32_t quotes = 0;
    int rc;

    for (;;) {
        if (bytes + next_length > TEXTFILE_LINE_MAX)
            return never_ends(records, err);
        if ((rc = join_room(records, bytes + next_length + 2, err)))
            return rc;
        memcpy(records->joined + bytes, next, next_length);
        bytes += next_length;
        quotes += count_byte(next, next_length, '"');
        if (quotes % 2 == 0)
            break;
        records->joined[bytes++] = '\n';
        rc = textfile_next(records->file, &next, &next_length, err);
        if (rc <= 0)
            return rc < 0 ? rc : never_ends(records, err);
    }
    records->joined[bytes] = '\0';
    *line = records->joined;
    *length = bytes;
    return 1;
}

/* Room for the fields that a record of `length` bytes can have. */
static int field_room(struct records *records, size_t length, uint32_t wanted,
                      struct err *err)
{
    size_t most = length + 1 < wanted ? length + 1 : wanted;
    struct field *larger;

    if (most <= records->fields)
        return 0;
    larger = realloc(records->field, most * sizeof *larger);
    if (!larger)
        return err_set(err, ERR_MEMORY, "%s line %" PRIu64 ": no memory for its fields",
                       records_path(records), records->line);
    records->field = larger;
    records->fields = most;
    return 0;
}

static void skip_byte_order_mark(char **line, size_t *length)
{
    if (*length >= 3 && memcmp(*line, "\xef\xbb\xbf", 3) == 0) {
        *line += 3;
        *length -= 3;
    }
}

int records_next(struct records *records, uint32_t wanted, struct record *record,
                 struct err *err)
{
    char *line;
    size_t length;
    bool quoted;
    int rc;

    rc = textfile_next(records->file, &line, &length, err);
    if (rc <= 0)
        return rc;
    records->line = textfile_line(records->file);
    if (records->line == 1)
        skip_byte_order_mark(&line, &length);
    quoted = records->quotes && memchr(line, '"', length);
    if (quoted && count_byte(line, length, '"') % 2 != 0)
        rc = join_lines(records, &line, &length, err);
    if (rc > 0)
        rc = field_room(records, length, wanted, err);
    if (rc < 0)
        return rc;
    record->field = records->field;
    if (quoted && (rc = split_quoted(records, line, length, wanted, record, err)))
        return rc;
    if (!quoted)
        split_plain(records, line, length, wanted, record);
    return 1;
}

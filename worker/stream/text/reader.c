#include "worker/stream/text/reader.h"

#include <stdlib.h>
#include <string.h>

#include "worker/stream/text/reader_parts.h"

static const struct reader_format *const formats[] = {
    [DATA_TSV] = &reader_delimited, [DATA_CSV] = &reader_delimited,
    [DATA_LIBSVM] = &reader_svm,    [DATA_LIBFFM] = &reader_svm,
    [DATA_LIBFM] = &reader_svm,     [DATA_CRITEO] = &reader_delimited,
    [DATA_JSONL] = &reader_jsonl,   [DATA_SEQUENCE] = &reader_sequence,
    [DATA_NCF] = &reader_ncf,       [DATA_PACKED] = NULL,
};

/* The columns of Criteo's files, which have no header. */
#define THREE(c, a, b, d) #c #a "\n" #c #b "\n" #c #d "\n"
static const char criteo_names[] = "label\n" THREE(I, 1, 2, 3) THREE(I, 4, 5, 6)
    THREE(I, 7, 8, 9) THREE(I, 10, 11, 12) "I13\n" THREE(C, 1, 2, 3) THREE(C, 4, 5, 6)
        THREE(C, 7, 8, 9) THREE(C, 10, 11, 12) THREE(C, 13, 14, 15) THREE(C, 16, 17, 18)
            THREE(C, 19, 20, 21) THREE(C, 22, 23, 24) "C25\nC26";

/* --- settings -------------------------------------------------------------------- */

static int hexadecimal(char digit)
{
    const char *digits = "0123456789abcdef",
               *at = digit ? strchr(digits, digit | 32) : NULL;

    return at ? (int)(at - digits) : -1;
}

/* The next byte of the delimiter's text: itself, or what an escape means. -1: neither.
 */
static int next_byte(const char **text)
{
    const char *t = *text;
    int high, low;

    *text += 1;
    if (t[0] != '\\')
        return (unsigned char)t[0];
    *text += 1;
    if (t[1] == 't')
        return '\t';
    if (t[1] == '\\')
        return '\\';
    if (t[1] != 'x' || (high = hexadecimal(t[2])) < 0 || (low = hexadecimal(t[3])) < 0)
        return -1;
    *text += 2;
    return high * 16 + low;
}

static int take_delimiter(struct split_rules *rules, const char *text, struct err *err)
{
    const char *rest = text;
    int byte;

    rules->blanks = strcmp(text, " ") == 0;
    for (rules->length = 0; *rest; rules->length++) {
        byte = next_byte(&rest);
        if (byte <= 0 || byte == '\n' || byte == '\r' || byte == '"')
            return err_set(err, ERR_INPUT,
                           "data.delimiter is '%s', expected bytes other than quotes "
                           "and ends of lines, \\t, \\\\ or \\xHH",
                           text);
        if (rules->length == DELIMITER_MAX)
            return err_set(err, ERR_INPUT,
                           "data.delimiter is '%s', expected at most %d bytes", text,
                           DELIMITER_MAX);
        rules->delimiter[rules->length] = (char)byte;
    }
    return 0;
}

static int take_settings(struct reader *reader, const struct job *job, struct err *err)
{
    struct split_rules *rules = &reader->rules;
    bool csv = job->data.format == DATA_CSV, criteo = job->data.format == DATA_CRITEO;
    int rc;

    reader->header = job->data.header == DATA_YES ||
                     (job->data.header == DATA_BY_FORMAT && !criteo);
    reader->latin1 = job->data.encoding == ENCODING_LATIN1;
    reader->own_names = criteo && !job->data.names[0];
    reader->names = strdup(reader->own_names ? criteo_names : job->data.names);
    reader->missing = strdup(job->data.missing);
    if (!reader->names || !reader->missing)
        return err_set(err, ERR_MEMORY, "no memory for a reader");
    for (const char *item = reader->missing; *item; item++)
        if ((item == reader->missing || item[-1] == '\n') &&
            strchr("-.0123456789", *item))
            reader->odd_missing = true;
    rules->quotes = job->data.quotes == DATA_YES ||
                    (job->data.quotes == DATA_BY_FORMAT && csv);
    rc = take_delimiter(rules,
                        job->data.delimiter[0] ? job->data.delimiter
                        : csv                  ? ","
                                               : "\\t",
                        err);
    if (rc == 0 && rules->blanks && rules->quotes)
        rc = err_set(err, ERR_INPUT,
                     "data.delimiter is a blank and data.quotes is true, expected one "
                     "of them");
    return rc;
}

/* --- life ------------------------------------------------------------------------ */

int reader_create(const struct job *job, const struct schema *schema,
                  struct reader **reader, struct err *err)
{
    struct reader *made = calloc(1, sizeof *made);
    int rc;

    if (!made)
        return err_set(err, ERR_MEMORY, "no memory for a reader");
    if (!formats[job->data.format]) {
        free(made);
        return err_set(err, ERR_INPUT,
                       "data.format is packed, expected a format of text");
    }
    made->format = formats[job->data.format];
    made->schema = schema;
    made->kernels = split_kernels();
    rc = take_settings(made, job, err);
    if (rc == 0 && made->format->create)
        rc = made->format->create(made, job, err);
    if (rc) {
        reader_destroy(made);
        return rc;
    }
    *reader = made;
    return 0;
}

void reader_destroy(struct reader *reader)
{
    if (!reader)
        return;
    if (reader->format->destroy)
        reader->format->destroy(reader);
    free(reader->names);
    free(reader->missing);
    free(reader->scratch);
    free(reader);
}

int reader_scratch(struct reader *reader, size_t bytes, struct err *err)
{
    char *larger;

    if (bytes <= reader->scratch_room)
        return 0;
    larger = malloc(2 * bytes);
    if (!larger)
        return err_set(err, ERR_MEMORY, "no memory for a value of %zu bytes", bytes);
    free(reader->scratch);
    reader->scratch = larger;
    reader->scratch_room = 2 * bytes;
    return 0;
}

/* --- reading --------------------------------------------------------------------- */

bool reader_needs_head(const struct reader *reader)
{
    return reader->format->head;
}

bool reader_head_is_example(const struct reader *reader)
{
    return !reader->header;
}

size_t reader_first(const struct reader *reader, const char *text, size_t length)
{
    const char *newline = text - 1, *counted = text;
    bool inside = false;

    do {
        newline = memchr(newline + 1, '\n', (size_t)(text + length - newline - 1));
        if (!newline)
            return 0;
        if (reader->rules.quotes)
            inside ^= reader->kernels->odd_quotes(counted, (size_t)(newline - counted));
        counted = newline;
    } while (inside);
    return (size_t)(newline - text) + 1;
}

int reader_begin(struct reader *reader, const char *path, const char *head,
                 size_t length, struct err *err)
{
    if (!reader->format->begin)
        return 0;
    return reader->format->begin(reader, path, head, length, err);
}

int reader_parse(struct reader *reader, const struct reader_text *text,
                 struct block *block, size_t *used, size_t *bad, struct err *err)
{
    *used = *bad = 0;
    return reader->format->parse(reader, text, block, used, bad, err);
}

int reader_unfinished(const struct reader *reader, const char *text, size_t length,
                      struct err *err)
{
    if (reader->rules.quotes && reader->kernels->odd_quotes(text, length))
        return err_set(err, ERR_INPUT,
                       ": a quoted field begins and does not end (a record has at most "
                       "%d bytes)",
                       RECORD_MAX);
    return err_set(err, ERR_INPUT, ": longer than %d bytes, the longest line allowed",
                   RECORD_MAX);
}

#include "worker/stream/text/reader_lines.h"

#include <stdlib.h>
#include <string.h>

#include "common/key.h"

/* --- names ----------------------------------------------------------------------- */

static bool is_named(const char *column, const char *name, uint32_t *number)
{
    size_t length = strlen(name);
    unsigned long value;
    char *stop;

    if (name[length - 1] != '#')
        return strcmp(column, name) == 0;
    column += strncmp(column, name, length - 1) == 0 ? length - 1 : strlen(column);
    if (*column < '0' || *column > '9')
        return false;
    value = strtoul(column, &stop, 10);
    *number = (uint32_t)value;
    return !*stop && value <= INT32_MAX;
}

static int bind_column(struct linewise *lines, const struct reader *reader, uint32_t c,
                       const char *format, const char *const *names, struct err *err)
{
    const struct schema_column *column = &reader->schema->column[c];
    struct role *role = &lines->role[c];
    char list[256] = "";

    for (role->name = 0; names[role->name]; role->name++)
        if (is_named(column->name, names[role->name], &role->number)) {
            role->name = column->unread ? ROLE_NONE : role->name;
            return 0;
        }
    role->name = ROLE_NONE;
    if (column->optional)
        return 0;
    for (int i = 0; names[i]; i++)
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i ? ", " : "",
                 names[i]);
    return err_set(
        err, ERR_INPUT, "data.format %s has no column %s; its columns are %s%s", format,
        column->name, list, strchr(list, '#') ? " (# is a number from 0 on)" : "");
}

int linewise_create(struct reader *reader, const char *format, const char *const *names,
                    read_line *line, struct err *err)
{
    struct linewise *lines = calloc(1, sizeof *lines);
    int rc = 0;

    if (!lines)
        return err_set(err, ERR_MEMORY, "no memory for a reader");
    reader->state = lines;
    reader->rules.quotes = false; /* a line is a record */
    lines->line = line;
    for (uint32_t c = 0; rc == 0 && c < reader->schema->columns; c++)
        rc = bind_column(lines, reader, c, format, names, err);
    return rc;
}

void linewise_destroy(struct reader *reader)
{
    free(reader->state);
}

/* --- values ---------------------------------------------------------------------- */

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

bool linewise_word(struct span *rest, struct span *word)
{
    const char *at = rest->text, *end = at + rest->length;

    while (at < end && is_blank(*at))
        at++;
    word->text = at;
    while (at < end && !is_blank(*at))
        at++;
    word->length = (size_t)(at - word->text);
    *rest = (struct span){at, (size_t)(end - at)};
    return word->length > 0;
}

/* One of several keys of column c. */
static int add_to(struct reader *reader, struct block *block, uint32_t c,
                  struct span key, float weight, uint32_t *taken, struct err *err)
{
    const struct schema_column *column = &reader->schema->column[c];
    struct slot slot = {block, c, block->n};
    uint64_t value;
    int rc;

    if (column->kind != VALUE_KEYS && taken[c] > 0)
        return err_set(err, ERR_INPUT,
                       ", column %s: more than one value (data.columns.%s.as: keys "
                       "takes any number)",
                       column->name, column->name);
    if (column->kind != VALUE_KEYS) {
        taken[c]++;
        return reader_put(reader, slot, key, err);
    }
    value = key_of_text(key.text, key.length);
    rc = reader_check_key(column, key, value, err);
    return rc ? rc : reader_add_key(slot, taken[c]++, value, weight, err);
}

int linewise_add(struct reader *reader, struct block *block, struct role role,
                 struct span key, float weight, uint32_t *taken, struct err *err)
{
    const struct linewise *lines = reader->state;
    int rc = 0;

    if (reader->latin1)
        rc = reader_utf8(reader, &key, err);
    for (uint32_t c = 0; rc == 0 && c < reader->schema->columns; c++)
        if (lines->role[c].name == role.name && lines->role[c].number == role.number)
            rc = add_to(reader, block, c, key, weight, taken, err);
    return rc;
}

int linewise_end(struct reader *reader, struct block *block, const uint32_t *taken,
                 struct err *err)
{
    int rc = 0;

    for (uint32_t c = 0; rc == 0 && c < reader->schema->columns; c++)
        if (taken[c] == 0 && !reader->schema->column[c].unread)
            rc = reader_put_missing(reader, (struct slot){block, c, block->n},
                                    (struct span){"", 0}, err);
    return rc;
}

/* --- lines ----------------------------------------------------------------------- */

static bool is_empty(struct span line)
{
    struct span word;

    return !linewise_word(&line, &word);
}

static int check_line(const struct reader *reader, struct span line, struct err *err)
{
    size_t at = text_bad_byte(line.text, line.length, reader->latin1);

    if (at == line.length)
        return 0;
    if (line.text[at] == '\0')
        return err_set(err, ERR_INPUT, ": a NUL byte, expected text in UTF-8");
    return err_set(err, ERR_INPUT,
                   ", byte %zu: 0x%02x is no UTF-8 (is data.encoding right?)", at + 1,
                   (unsigned char)line.text[at]);
}

int linewise_parse(struct reader *reader, const struct reader_text *text,
                   struct block *block, size_t *used, size_t *bad, struct err *err)
{
    const struct linewise *lines = reader->state;

    while (block->n < block->capacity && *used < text->length) {
        const char *begin = text->text + *used;
        const char *newline = memchr(begin, '\n', text->length - *used);
        struct span line = {begin, newline ? (size_t)(newline - begin) : 0};
        int rc = 0;

        if (!newline)
            break;
        if (line.length > RECORD_MAX)
            return reader_unfinished(reader, begin, line.length, err);
        if (line.length && line.text[line.length - 1] == '\r')
            line.length--;
        if (!is_empty(line)) {
            rc = check_line(reader, line, err);
            if (rc == 0)
                rc = lines->line(reader, line, block, err);
            if (rc == -ERR_INPUT)
                *bad = (size_t)(newline - begin) + 1;
            if (rc < 0)
                return rc;
            if (rc == 0)
                block->place[block->n++] = text->offset + *used;
        }
        *used += (size_t)(newline - begin) + 1;
    }
    return 0;
}

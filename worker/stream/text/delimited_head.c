/* The first record of a table of text: names of columns, and which fields are wanted.
 */
#include <stdlib.h>
#include <string.h>

#include "common/wording.h"
#include "worker/stream/text/delimited.h"

enum { NUMBER_BYTES = 12 }; /* of a column's number as its name */

/* Adds "; did you mean X?" and the columns that are there to the sentence. */
static void name_columns(const struct delimited *d, const char *missing,
                         struct err *err)
{
    char shown[WORDING_SHOWN_MAX];
    const char *nearest = NULL;
    size_t best = strlen(missing) / 2 + 1, distance, used = strlen(err->text);

    for (uint32_t i = 0; i < d->fields; i++) {
        distance = wording_distance(missing, d->name[i]);
        if (distance < best) {
            best = distance;
            nearest = d->name[i];
        }
    }
    used += (size_t)snprintf(err->text + used, sizeof err->text - used, "%s%s%s",
                             nearest ? " (did you mean " : "",
                             nearest ? wording_shown(nearest, shown) : "",
                             nearest ? "?)" : "");
    for (uint32_t i = 0; i < d->fields; i++) {
        if (used + WORDING_SHOWN_MAX + 32 > sizeof err->text) {
            snprintf(err->text + used, sizeof err->text - used, ", ... (%u in all)",
                     d->fields);
            return;
        }
        used += (size_t)snprintf(err->text + used, sizeof err->text - used, "%s%s",
                                 i == 0 ? "; its columns are " : ", ",
                                 wording_shown(d->name[i], shown));
    }
    if (d->fields == 1)
        snprintf(err->text + used, sizeof err->text - used, " (is data.format right?)");
}

/* Finds the field of a wanted column. */
static int bind_column(struct delimited *d, const struct schema_column *column,
                       uint32_t *field, const char *path, struct err *err)
{
    *field = NO_FIELD;
    for (uint32_t i = 0; i < d->fields; i++) {
        if (strcmp(d->name[i], column->name) != 0)
            continue;
        if (*field != NO_FIELD)
            return err_set(err, ERR_INPUT,
                           "%.400s has two columns %s (fields %u and %u)", path,
                           column->name, *field + 1, i + 1);
        *field = i;
    }
    if (*field != NO_FIELD || column->optional)
        return 0;
    err_set(err, ERR_INPUT, "%.400s has no column %s", path, column->name);
    name_columns(d, column->name, err);
    return -ERR_INPUT;
}

/* --- names ----------------------------------------------------------------------- */

static int take_names_of_head(struct reader *reader, struct delimited *d, char *to,
                              struct err *err)
{
    struct span name;
    int rc;

    for (uint32_t i = 0; i < d->fields; i++) {
        struct split_column column = delimited_column(reader, d, d->head, i);

        if ((rc = delimited_field(reader, &column, 0, &name, err)))
            return rc;
        d->name[i] = to;
        memcpy(to, name.text, name.length);
        to[name.length] = '\0';
        to += name.length + 1;
    }
    return 0;
}

static int take_given_names(const struct reader *reader, struct delimited *d, char *to,
                            const char *path, struct err *err)
{
    const char *rest = reader->names;
    uint32_t n = 0;

    snprintf(to, strlen(rest) + 1, "%s", rest);
    for (char *next = to; *next; n++) {
        size_t length = strcspn(next, "\n");
        bool more = next[length] == '\n';

        if (n < d->fields)
            d->name[n] = next;
        next[length] = '\0';
        next += length + more;
    }
    if (n == d->fields)
        return 0;
    if (reader->own_names)
        return err_set(err, ERR_INPUT,
                       "%.400s has %u columns, expected the %u of data.format criteo",
                       path, d->fields, n);
    return err_set(err, ERR_INPUT, "%.400s has %u columns, but data.names has %u names",
                   path, d->fields, n);
}

static int take_names(struct reader *reader, struct delimited *d, const char *path,
                      struct err *err)
{
    char *to = d->head + d->head_length + READER_SLACK;

    if (reader->names[0])
        return take_given_names(reader, d, to, path, err);
    if (d->header)
        return take_names_of_head(reader, d, to, err);
    for (uint32_t i = 0; i < d->fields; i++, to += NUMBER_BYTES) {
        d->name[i] = to;
        snprintf(to, NUMBER_BYTES, "%u", i + 1);
    }
    return 0;
}

/* --- the head -------------------------------------------------------------------- */

static int keep_head(struct reader *reader, struct delimited *d, const char *head,
                     size_t length, const char *path, struct err *err)
{
    /* Latin-1 may double; each name has its end; numbers are short. */
    size_t room = length * (2 + NUMBER_BYTES) + strlen(reader->names) +
                  2 * READER_SLACK;

    if (room > d->head_room) {
        free(d->head);
        d->head = calloc(1, room);
        d->head_room = d->head ? room : 0;
    }
    if (!d->head)
        return err_set(err, ERR_MEMORY, "%.400s: no memory for its header", path);
    memcpy(d->head, head, length);
    return delimited_room(d, (uint32_t)length, err);
}

static int check_head(const struct reader *reader, const struct delimited *d,
                      const char *path, struct err *err)
{
    size_t at = text_bad_byte(d->head, d->head_length, reader->latin1);

    if (d->split.ends > READER_FIELDS_MAX)
        return err_set(err, ERR_INPUT, "%.400s has %u columns, expected at most %d",
                       path, d->split.ends, READER_FIELDS_MAX);
    if (at < d->head_length && d->head[at] == '\0')
        return err_set(err, ERR_INPUT,
                       "%.400s line 1: a NUL byte, expected text in UTF-8", path);
    if (at < d->head_length)
        return err_set(err, ERR_INPUT,
                       "%.400s line 1: the byte 0x%02x is no UTF-8 (is data.encoding "
                       "right?)",
                       path, (unsigned char)d->head[at]);
    if (d->split.bad_quote != UINT32_MAX)
        return err_set(err, ERR_INPUT,
                       "%.400s line 1: quotes must stand around a whole field, and be "
                       "doubled inside it",
                       path);
    return 0;
}

static int bind(struct reader *reader, struct delimited *d, const char *path,
                struct err *err)
{
    const struct schema *schema = reader->schema;
    char **larger;
    int rc;

    reader->kernels->fields(&reader->rules, d->head, (uint32_t)d->head_length,
                            &d->split);
    if ((rc = check_head(reader, d, path, err)))
        return rc;
    d->fields = d->split.ends;
    larger = realloc(d->name, d->fields * sizeof *larger);
    if (!larger)
        return err_set(err, ERR_MEMORY, "%.400s: no memory for its header", path);
    d->name = larger;
    rc = take_names(reader, d, path, err);
    /* The label first: it is what most often has another name. */
    if (rc == 0 && schema->label != SCHEMA_NONE)
        rc = bind_column(d, &schema->column[schema->label], &d->field[schema->label],
                         path, err);
    for (uint32_t c = 0; rc == 0 && c < schema->columns; c++)
        rc = bind_column(d, &schema->column[c], &d->field[c], path, err);
    return rc;
}

int delimited_begin(struct reader *reader, const char *path, const char *head,
                    size_t length, struct err *err)
{
    struct delimited *d = reader->state;
    int rc;

    if (length == 0 && d->header)
        return err_set(err, ERR_INPUT,
                       "%.400s is empty, expected a line with the names of its columns",
                       path);
    if (length == 0 || (length == d->head_length && !memcmp(head, d->head, length)))
        return 0;
    d->head_length = 0; /* nothing is bound while this may fail */
    rc = keep_head(reader, d, head, length, path, err);
    if (rc)
        return rc;
    d->head_length = length;
    rc = bind(reader, d, path, err);
    if (rc)
        d->head_length = 0;
    return rc;
}

/* Lines of JSON: an object each. Columns are its members, those of objects in it with
 * dots between the names ("user.id"). A string, a number, true and false (1 and 0 as
 * numbers) are values, null is a missing one; keys and vectors may be arrays of them.
 *
 * Not through a general JSON library: those turn numbers into doubles, so that large
 * keys would lose digits, and build a tree of each line. */
#include <string.h>

#include "common/key.h"
#include "worker/stream/text/json_scan.h"
#include "worker/stream/text/reader_lines.h"

struct visiting {
    struct reader *reader;
    struct block *block;
    uint32_t taken[SCHEMA_COLUMNS_MAX]; /* values that each column has */
    bool array[SCHEMA_COLUMNS_MAX];     /* in an array */
    struct err *err;
};

static int there_twice(const struct schema_column *column, struct err *err)
{
    return err_set(err, ERR_INPUT, ", column %s: there more than once", column->name);
}

/* An object or an array where the column wants a value. */
static int not_a_value(const struct visiting *v, uint32_t c,
                       const struct json_value *value, bool list)
{
    return err_set(v->err, ERR_INPUT, ", column %s: an %s%s, expected one value%s",
                   v->reader->schema->column[c].name,
                   value->kind == JSON_OBJECT ? "object" : "array",
                   value->element ? " in an array" : "",
                   list && !value->element ? " or an array of them" : "");
}

/* Elements of arrays, as they come. */
static int put_element(struct visiting *v, uint32_t c, struct span value)
{
    const struct schema_column *column = &v->reader->schema->column[c];
    struct slot slot = {v->block, c, v->block->n};
    uint64_t key;
    int rc;

    if (value.length == 0)
        return err_set(v->err, ERR_INPUT, ", column %s: an empty element",
                       column->name);
    if (column->kind == VALUE_KEYS) {
        key = key_of_text(value.text, value.length);
        rc = reader_check_key(column, value, key, v->err);
        return rc ? rc : reader_add_key(slot, v->taken[c]++, key, 1, v->err);
    }
    return reader_put_part(v->reader, slot, v->taken[c]++, value, v->err);
}

static int put(struct visiting *v, uint32_t c, const struct json_value *value,
               struct span text)
{
    const struct schema_column *column = &v->reader->schema->column[c];
    struct slot slot = {v->block, c, v->block->n};
    bool list = column->kind == VALUE_KEYS || column->kind == VALUE_VECTOR;

    if (value->kind == JSON_OBJECT ||
        (value->kind == JSON_ARRAY && (value->element || !list)))
        return not_a_value(v, c, value, list);
    if (value->kind == JSON_WORD &&
        (column->kind == VALUE_NUMBER || column->kind == VALUE_VECTOR))
        text = (struct span){text.length == 4 ? "1" : "0", 1};
    if (value->element && v->array[c])
        return put_element(v, c, text);
    if (value->kind == JSON_ARRAY) {
        if (v->taken[c] || v->array[c])
            return there_twice(column, v->err);
        v->array[c] = true;
        return 0;
    }
    if (v->taken[c]++ || v->array[c])
        return there_twice(column, v->err);
    if (value->kind == JSON_NULL)
        return reader_put_missing(v->reader, slot, text, v->err);
    return reader_put(v->reader, slot, text, v->err);
}

/* A string as it is meant, in UTF-8. */
static int take_text(struct visiting *v, const struct json_value *value,
                     struct span *text)
{
    size_t length;
    int rc;

    *text = (struct span){value->text, value->length};
    if (value->kind != JSON_STRING)
        return 0;
    if (!value->escaped)
        return v->reader->latin1 ? reader_utf8(v->reader, text, v->err) : 0;
    if ((rc = reader_scratch(v->reader, value->length, v->err)))
        return rc;
    length = json_unescape(value->text, value->length, v->reader->scratch);
    if (length == SIZE_MAX)
        return err_set(v->err, ERR_INPUT,
                       ", member %.100s: half of a surrogate pair, or NUL",
                       value->path);
    *text = (struct span){v->reader->scratch, length};
    return 0;
}

static int visit(void *context, const struct json_value *value)
{
    struct visiting *v = context;
    const struct schema *schema = v->reader->schema;
    struct span text;
    int rc = 0;

    for (uint32_t c = 0; rc == 0 && c < schema->columns; c++) {
        if (schema->column[c].unread || strcmp(value->path, schema->column[c].name))
            continue;
        rc = take_text(v, value, &text);
        if (rc == 0)
            rc = put(v, c, value, text);
    }
    return rc;
}

/* Ends what arrays have filled, and what the object does not have. */
static int end_columns(struct visiting *v)
{
    const struct schema *schema = v->reader->schema;
    int rc = 0;

    for (uint32_t c = 0; rc == 0 && c < schema->columns; c++) {
        const struct schema_column *column = &schema->column[c];
        struct slot slot = {v->block, c, v->block->n};

        if (column->unread)
            continue;
        if (v->array[c] && column->kind == VALUE_VECTOR && v->taken[c] != column->dim)
            return err_set(v->err, ERR_INPUT, ", column %s: %u numbers, expected %u",
                           column->name, v->taken[c], column->dim);
        if (v->taken[c] == 0)
            rc = reader_put_missing(v->reader, slot, (struct span){"", 0}, v->err);
    }
    return rc;
}

static int read_object(struct reader *reader, struct span line, struct block *block,
                       struct err *err)
{
    struct visiting v = {.reader = reader, .block = block, .err = err};
    const char *expected = NULL;
    size_t at = 0;
    int rc = json_scan(line.text, line.length, visit, &v, &at, &expected);

    if (expected)
        return err_set(err, ERR_INPUT, ", byte %zu: not JSON, expected %s", at + 1,
                       expected);
    return rc ? rc : end_columns(&v);
}

static int create(struct reader *reader, const struct job *job, struct err *err)
{
    static const char *const none[] = {NULL};
    struct schema any = SCHEMA_EMPTY;
    const struct schema *schema = reader->schema;
    int rc;

    (void)job;
    reader->schema = &any; /* members may have any name */
    rc = linewise_create(reader, "jsonl", none, read_object, err);
    reader->schema = schema;
    return rc;
}

const struct reader_format reader_jsonl = {create, linewise_destroy, NULL,
                                           linewise_parse, false};

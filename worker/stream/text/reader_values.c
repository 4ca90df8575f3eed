/* Single values: text to keys, numbers, vectors, times and texts. */
#include <math.h>
#include <string.h>

#include "common/key.h"
#include "common/number.h"
#include "common/wording.h"
#include "worker/stream/text/reader_parts.h"
#include "worker/stream/text/timestamp.h"

const char *reader_shown(struct span value, char *shown)
{
    char copy[WORDING_SHOWN_MAX * 4];
    size_t length = value.length < sizeof copy ? value.length : sizeof copy - 1;

    memcpy(copy, value.text, length);
    copy[length] = '\0';
    return wording_shown(copy, shown);
}

bool reader_is_missing(const struct reader *reader, struct span value)
{
    const char *item = reader->missing;

    if (value.length == 0)
        return true;
    while (*item) {
        size_t length = strcspn(item, "\n");

        if (length == value.length && memcmp(item, value.text, length) == 0)
            return true;
        item += length + (item[length] == '\n');
    }
    return false;
}

/* Zeros a number's place too, so that a block never has what nobody put there. */
int reader_put_missing(struct reader *reader, struct slot slot, struct span value,
                       struct err *err)
{
    const struct schema_column *column = &reader->schema->column[slot.c];
    struct values *values = &slot.block->column[slot.c];
    char shown[WORDING_SHOWN_MAX];

    if (values->offset)
        values->offset[slot.i + 1] = values->offset[slot.i];
    if (values->missing)
        values->missing[slot.i] = 1;
    if (column->kind == VALUE_KEY)
        values->key[slot.i] = 0;
    if (column->kind == VALUE_NUMBER)
        values->number[slot.i] = NAN;
    if (column->kind == VALUE_TIME)
        values->time[slot.i] = TIME_MISSING;
    for (uint32_t d = 0; column->kind == VALUE_VECTOR && d < column->dim; d++)
        values->number[(size_t)slot.i * column->dim + d] = NAN;
    if (column->may_miss)
        return 0;
    if (column->kind == VALUE_KEY && value.length == 0)
        return err_set(err, ERR_INPUT, ", column %s: the key is empty", column->name);
    if (column->kind == VALUE_NUMBER)
        return err_set(err, ERR_INPUT, ", column %s: '%s' is not a number",
                       column->name, reader_shown(value, shown));
    return err_set(err, ERR_INPUT, ", column %s: a value is missing%s%s", column->name,
                   value.length ? ": " : "",
                   value.length ? reader_shown(value, shown) : "");
}

int reader_check_key(const struct schema_column *column, struct span text, uint64_t key,
                     struct err *err)
{
    char shown[WORDING_SHOWN_MAX];

#ifndef MUTANT_STREAM_DENSE_KEY
    if (column->rows && key >= column->rows)
        return err_set(
            err, ERR_INPUT,
            ", column %s: the key '%s' is no row of table %s, which has the rows 0 to "
            "%llu (tables.%s.rows)",
            column->name, reader_shown(text, shown), column->table,
            (unsigned long long)column->rows - 1, column->table);
#endif
    return 0;
}

/* --- texts ----------------------------------------------------------------------- */

static int put_text(struct slot slot, struct span value, struct err *err)
{
    struct values *values = &slot.block->column[slot.c];
    uint32_t at = values->offset[slot.i];
    int rc = block_text_room(
        slot.block, slot.c,
        (uint64_t)(at - values->offset[slot.block->n]) + value.length, err);

    if (rc)
        return rc;
    if (value.length) /* else there may be no array yet */
        memcpy(values->text + at, value.text, value.length);
    values->offset[slot.i + 1] = at + (uint32_t)value.length;
    return 0;
}

int reader_utf8(struct reader *reader, struct span *value, struct err *err)
{
    size_t high = 0, used = 0;
    int rc;

    for (size_t i = 0; i < value->length; i++)
        high += (unsigned char)value->text[i] >> 7;
    if (high == 0)
        return 0;
    if ((rc = reader_scratch(reader, value->length + high, err)))
        return rc;
    for (size_t i = 0; i < value->length; i++) {
        unsigned char letter = (unsigned char)value->text[i];

        if (letter >= 0x80)
            reader->scratch[used++] = (char)(0xc0 | letter >> 6);
        reader->scratch[used++] = (char)(letter >= 0x80 ? 0x80 | (letter & 0x3f)
                                                        : letter);
    }
    *value = (struct span){reader->scratch, used};
    return 0;
}

/* --- keys and numbers ------------------------------------------------------------ */

static int put_key(struct reader *reader, struct slot slot, struct span value,
                   struct err *err)
{
    const struct schema_column *column = &reader->schema->column[slot.c];
    struct values *values = &slot.block->column[slot.c];

    values->key[slot.i] = key_of_text(value.text, value.length);
    if (values->missing)
        values->missing[slot.i] = 0;
    return reader_check_key(column, value, values->key[slot.i], err);
}

/* number_parse() wants its text terminated. */
static int parse_number(const struct schema_column *column, struct span value,
                        float *number, struct err *err)
{
    char copy[1024], shown[WORDING_SHOWN_MAX];
    enum number_found found = NUMBER_NONE;

    if (value.length < sizeof copy) {
        memcpy(copy, value.text, value.length);
        copy[value.length] = '\0';
        found = strlen(copy) == value.length ? number_parse(copy, value.length, number)
                                             : NUMBER_NONE;
    }
    if (found == NUMBER_GOOD)
        return 0;
    return err_set(err, ERR_INPUT, ", column %s: '%s' is %s", column->name,
                   reader_shown(value, shown),
                   found == NUMBER_NONE ? "not a number" : "too large for a float");
}

/* --- values of several parts ----------------------------------------------------- */

/* Takes the next part off *rest; false behind the last one. */
static bool next_part(const struct schema_column *column, struct span *rest,
                      struct span *part)
{
    size_t length = strlen(column->separator);
    const char *stop = NULL;

    if (!rest->text)
        return false;
    if (length)
        stop = memmem(rest->text, rest->length, column->separator, length);
    part->text = rest->text;
    part->length = stop ? (size_t)(stop - rest->text) : rest->length;
    rest->length -= part->length + (stop ? length : 0);
    rest->text = stop ? stop + length : NULL;
    return true;
}

int reader_add_key(struct slot slot, uint32_t more, uint64_t key, float weight,
                   struct err *err)
{
    struct values *values = &slot.block->column[slot.c];
    uint32_t at = values->offset[slot.i] + more;
    int rc = block_key_room(slot.block, slot.c,
                            (uint64_t)(at - values->offset[slot.block->n]) + 1, err);

    if (rc)
        return rc;
    values->key[at] = key;
    values->number[at] = weight;
    values->offset[slot.i + 1] = at + 1;
    return 0;
}

static int put_keys(struct reader *reader, struct slot slot, struct span value,
                    struct err *err)
{
    const struct schema_column *column = &reader->schema->column[slot.c];
    struct span part;
    uint32_t n = 0;
    uint64_t key;
    int rc = 0;

    for (; rc == 0 && next_part(column, &value, &part); n++) {
        if (part.length == 0)
            return err_set(err, ERR_INPUT, ", column %s: key %u is empty", column->name,
                           n + 1);
        key = key_of_text(part.text, part.length);
        rc = reader_check_key(column, part, key, err);
        if (rc == 0)
            rc = reader_add_key(slot, n, key, 1, err);
    }
    return rc;
}

int reader_put_part(struct reader *reader, struct slot slot, uint32_t part,
                    struct span value, struct err *err)
{
    const struct schema_column *column = &reader->schema->column[slot.c];
    float *to = slot.block->column[slot.c].number + (size_t)slot.i * column->dim;
    float more; /* than it may have: counted by the caller */

    return parse_number(column, value, part < column->dim ? to + part : &more, err);
}

static int put_vector(struct reader *reader, struct slot slot, struct span value,
                      struct err *err)
{
    const struct schema_column *column = &reader->schema->column[slot.c];
    struct span part;
    uint32_t n = 0;
    int rc = 0;

    for (; rc == 0 && next_part(column, &value, &part); n++)
        rc = reader_put_part(reader, slot, n, part, err);
    if (rc == 0 && n != column->dim)
        rc = err_set(err, ERR_INPUT, ", column %s: %u numbers, expected %u",
                     column->name, n, column->dim);
    return rc;
}

static int put_time(struct reader *reader, struct slot slot, struct span value,
                    struct err *err)
{
    const struct schema_column *column = &reader->schema->column[slot.c];
    char shown[WORDING_SHOWN_MAX];

    if (timestamp_parse(column->time_format, value.text, value.length,
                        &slot.block->column[slot.c].time[slot.i]))
        return 0;
    return err_set(err, ERR_INPUT, ", column %s: '%s' is no time in the form '%s'",
                   column->name, reader_shown(value, shown),
                   column->time_format[0] ? column->time_format : "seconds");
}

int reader_put(struct reader *reader, struct slot slot, struct span value,
               struct err *err)
{
    const struct schema_column *column = &reader->schema->column[slot.c];
    struct values *values = &slot.block->column[slot.c];
    int rc = 0;

    if (column->kind != VALUE_TEXT && reader_is_missing(reader, value))
        return reader_put_missing(reader, slot, value, err);
    switch (column->kind) {
    case VALUE_KEY:
        rc = put_key(reader, slot, value, err);
        return rc || !column->keep_text ? rc : put_text(slot, value, err);
    case VALUE_KEYS:
        return put_keys(reader, slot, value, err);
    case VALUE_NUMBER:
        return parse_number(column, value, &values->number[slot.i], err);
    case VALUE_VECTOR:
        return put_vector(reader, slot, value, err);
    case VALUE_TIME:
        return put_time(reader, slot, value, err);
    default:
        return put_text(slot, value, err);
    }
}

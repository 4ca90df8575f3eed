#include "worker/stream/columns.h"

#include <string.h>

#include "worker/stream/prepare/prepare.h"

/* Where each kind of column of a job becomes one of a schema. */
static enum value_kind kind_of(int as)
{
    switch (as) {
    case COLUMN_KEYS:
        return VALUE_KEYS;
    case COLUMN_NUMBER:
        return VALUE_NUMBER;
    case COLUMN_VECTOR:
        return VALUE_VECTOR;
    case COLUMN_TIME:
        return VALUE_TIME;
    case COLUMN_TITLE:
    case COLUMN_TEXT:
        return VALUE_TEXT;
    default:
        return VALUE_KEY;
    }
}

struct schema_column *schema_add_column(struct schema *schema, const struct job *job,
                                        const struct job_column *from)
{
    int place = schema_add(schema, from->name, kind_of(from->as));
    struct schema_column *column = &schema->column[place];
    int table = job_table_index(job, from->table);

    /* A text or list may be empty without being missing; Criteo's files are full of
     * holes. */
    column->may_miss = from->steps.missing != MISSING_FAIL ||
                       job->data.format == DATA_CRITEO || column->kind == VALUE_TEXT ||
                       column->kind == VALUE_KEYS;
    column->dim = (uint32_t)from->dim;
    column->rows = table < 0 ? 0 : (uint64_t)job->table[table].rows;
    snprintf(column->table, sizeof column->table, "%s", from->table);
    snprintf(column->separator, sizeof column->separator, "%s", from->separator);
    snprintf(column->time_format, sizeof column->time_format, "%s", from->time_format);
    return column;
}

/* Is it in the files, and not there as the label or weight anyway? */
static bool is_read(const struct job *job, const struct job_column *column)
{
    bool comes_later = column->as == COLUMN_NUMBER && /* as label or weight */
                       (strcmp(column->name, job->data.label) == 0 ||
                        strcmp(column->name, job->data.weight) == 0);

    return column->steps.make == MAKE_NONE && !column->from[0] && !comes_later;
}

static void add_all(const struct job *job, unsigned wanted, struct schema *schema)
{
    const struct job_column *from;
    struct schema_column *column;

    for (int pass = 0; pass < 3; pass++) {
        for (int i = 0; i < job->data.columns; i++) {
            from = &job->data.column[i];
            if (!is_read(job, from))
                continue;
            if ((from->as == COLUMN_KEY ? 0 : from->as == COLUMN_TITLE ? 1 : 2) != pass)
                continue;
            column = schema_add_column(schema, job, from);
            column->keep_text = pass == 0 && (wanted & COLUMNS_TEXTS);
            column->optional = pass == 1 && !(wanted & COLUMNS_LABEL);
            column->unread = pass == 1 && !(wanted & COLUMNS_TEXTS);
        }
    }
}

static bool needs_time(const struct job *job, unsigned wanted)
{
    int by = job->data.split_by;

    for (int i = 0; i < job->data.columns; i++)
        if (job->data.column[i].steps.make == MAKE_HISTORY)
            return true;
    return (wanted & COLUMNS_LABEL) && (by == SPLIT_TIME || by == SPLIT_LEAVE_ONE_OUT);
}

/* Whose an example is, and when it was. */
static int add_user_and_time(const struct job *job, unsigned wanted,
                             struct schema *schema, struct err *err)
{
    for (uint32_t c = 0; c < schema->columns; c++)
        if (schema->column[c].kind == VALUE_KEY &&
            strcmp(schema->column[c].table, job->model.user) == 0)
            schema->user = (int)c;
    if (!job->data.time[0])
        return 0;
    schema->time = schema_find(schema, job->data.time);
    if (schema->time == SCHEMA_NONE && needs_time(job, wanted)) {
        schema->time = schema_add(schema, job->data.time, VALUE_TIME);
        schema->column[schema->time].may_miss = true;
    }
    if (schema->time != SCHEMA_NONE && schema->column[schema->time].kind != VALUE_TIME)
        return err_set(err, ERR_INPUT,
                       "data.time is '%s', but data.columns.%s.as is not time",
                       job->data.time, job->data.time);
    return 0;
}

/* Without one, it is a column that no file can have: labels are missing then, which
 * label_as_trained() takes for 1. */
static void add_label(const struct job *job, struct schema *schema)
{
    bool is_there = job->data.label[0] != '\0';

    schema->label = schema_add(schema, is_there ? job->data.label : "\n", VALUE_NUMBER);
    schema->column[schema->label].optional = !is_there;
    schema->column[schema->label].may_miss = !is_there;
}

int schema_of_job(const struct job *job, unsigned wanted, struct schema *schema,
                  struct err *err)
{
    *schema = SCHEMA_EMPTY;
    add_all(job, wanted, schema);
    if (job->model.kind == MODEL_MF &&
        (schema->columns == 0 || schema->column[0].kind != VALUE_KEY))
        return err_set(err, ERR_INPUT, "data.columns has no column that is a key");
    if (add_user_and_time(job, wanted, schema, err))
        return -err->code;
    prepare_expect(job, schema);
    if (!(wanted & COLUMNS_LABEL))
        return 0;
    if (!job->data.label[0] && job_needs_label(job))
        return err_set(err, ERR_INPUT, "data.label is not set");
    add_label(job, schema);
    if (job->data.weight[0])
        schema->weight = schema_add(schema, job->data.weight, VALUE_NUMBER);
    return 0;
}

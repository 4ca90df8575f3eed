#include "worker/stream/examples.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/key.h"
#include "common/number.h"
#include "common/wording.h"
#include "worker/stream/filelist.h"
#include "worker/stream/records.h"

enum { NO_FIELD = UINT16_MAX, COLUMNS_MAX = UINT16_MAX };

/* A column that the job asks for. */
struct column {
    char name[JOB_NAME_MAX * 2];
    char table[JOB_NAME_MAX]; /* of a key */
    uint64_t rows;            /* of that table when it is dense, else 0 */
    bool needed;
    uint32_t field; /* its number in the file that is open, or NO_FIELD */
};

struct examples {
    enum data_format format;
    bool need_label;
    uint32_t keys;
    struct column key_column[JOB_COLUMNS_MAX];   /* [keys] */
    struct column title_column[JOB_COLUMNS_MAX]; /* [keys]; no name = no title */
    struct column label_column;
    struct filelist list;
    size_t file;             /* number of the open file in the list */
    struct records *records; /* owned; NULL at the end of the last file */
    uint32_t fields;         /* in the open file's header */
    uint32_t wanted;         /* how many of them are to be split off */
    uint64_t key[JOB_COLUMNS_MAX];
    const char *key_text[JOB_COLUMNS_MAX];
    const char *title[JOB_COLUMNS_MAX];
    char where[JOB_LIST_MAX + 32];
};

/* --- the header ------------------------------------------------------------------ */

/* Adds "; did you mean X?" and the columns that are there to the sentence. */
static void name_columns(const struct record *header, const char *missing,
                         struct err *err)
{
    char shown[WORDING_SHOWN_MAX];
    const char *nearest = NULL;
    size_t best = strlen(missing) / 2 + 1, distance, used = strlen(err->text);

    for (uint32_t i = 0; i < header->split; i++) {
        distance = wording_distance(missing, header->field[i].text);
        if (distance < best) {
            best = distance;
            nearest = header->field[i].text;
        }
    }
    used += (size_t)snprintf(err->text + used, sizeof err->text - used, "%s%s%s",
                             nearest ? " (did you mean " : "",
                             nearest ? wording_shown(nearest, shown) : "",
                             nearest ? "?)" : "");
    for (uint32_t i = 0; i < header->split; i++) {
        if (used + WORDING_SHOWN_MAX + 32 > sizeof err->text) {
            snprintf(err->text + used, sizeof err->text - used, ", ... (%u in all)",
                     header->count);
            return;
        }
        used += (size_t)snprintf(err->text + used, sizeof err->text - used, "%s%s",
                                 i == 0 ? "; its columns are " : ", ",
                                 wording_shown(header->field[i].text, shown));
    }
    if (header->count == 1)
        snprintf(err->text + used, sizeof err->text - used, " (is data.format right?)");
}

/* Finds the field of a column in the header. */
static int bind_column(struct examples *examples, const struct record *header,
                       struct column *column, const char *path, struct err *err)
{
    column->field = NO_FIELD;
    if (!column->name[0])
        return 0;
    for (uint32_t i = 0; i < header->split; i++) {
        if (strcmp(header->field[i].text, column->name) != 0)
            continue;
        if (column->field != NO_FIELD)
            return err_set(err, ERR_INPUT,
                           "%.400s has two columns %s (fields %u and %u)", path,
                           column->name, column->field + 1, i + 1);
        column->field = i;
    }
    if (column->field == NO_FIELD && column->needed) {
        err_set(err, ERR_INPUT, "%.400s has no column %s", path, column->name);
        name_columns(header, column->name, err);
        return -ERR_INPUT;
    }
    if (column->field != NO_FIELD && column->field >= examples->wanted)
        examples->wanted = column->field + 1;
    return 0;
}

/* Reads the header of the file that was just opened. */
static int bind(struct examples *examples, struct records *records, struct err *err)
{
    const char *path = records_path(records);
    struct record header;
    int rc = records_next(records, COLUMNS_MAX, &header, err);

    if (rc < 0)
        return rc;
    if (rc == 0)
        return err_set(err, ERR_INPUT,
                       "%.400s is empty, expected a line with the names of its columns",
                       path);
    if (header.count > header.split)
        return err_set(err, ERR_INPUT, "%.400s has %u columns, expected at most %d",
                       path, header.count, COLUMNS_MAX);
    examples->fields = header.count;
    examples->wanted = 0;
    rc = bind_column(examples, &header, &examples->label_column, path, err);
    for (uint32_t i = 0; rc == 0 && i < examples->keys; i++) {
        rc = bind_column(examples, &header, &examples->key_column[i], path, err);
        if (rc == 0)
            rc = bind_column(examples, &header, &examples->title_column[i], path, err);
    }
    return rc;
}

/* --- files ----------------------------------------------------------------------- */

static int open_file(struct examples *examples, size_t number, struct err *err)
{
    struct records *records;
    int rc;

    rc = records_open(examples->list.path[number], examples->format, &records, err);
    if (rc)
        return rc;
    rc = bind(examples, records, err);
    if (rc) {
        records_close(records);
        return rc;
    }
    records_close(examples->records);
    examples->records = records;
    examples->file = number;
    return 0;
}

/* Opens each file once, so that a wrong one is found before hours of work, and the
 * first one to stay. Pipes can be opened only once: their turn comes later. */
static int open_all(struct examples *examples, struct err *err)
{
    struct stat status;
    int rc = 0;

    for (size_t i = examples->list.files - 1; rc == 0 && i > 0; i--)
        if (stat(examples->list.path[i], &status) < 0 || !S_ISFIFO(status.st_mode))
            rc = open_file(examples, i, err);
    return rc ? rc : open_file(examples, 0, err);
}

/* The title column of a table, "" if it has none. */
static const char *title_of(const struct job *job, const char *table)
{
    for (int i = 0; i < job->data.columns; i++)
        if (job->data.column[i].as == COLUMN_TITLE &&
            strcmp(job->data.column[i].table, table) == 0)
            return job->data.column[i].name;
    return "";
}

static void take_columns(struct examples *examples, const struct job *job)
{
    const struct job_column *column;
    struct column *key, *title;
    int table;

    for (int i = 0; i < job->data.columns; i++) {
        column = &job->data.column[i];
        if (column->as != COLUMN_KEY)
            continue;
        key = &examples->key_column[examples->keys];
        title = &examples->title_column[examples->keys];
        table = job_table_index(job, column->table);
        snprintf(key->name, sizeof key->name, "%s", column->name);
        snprintf(key->table, sizeof key->table, "%s", column->table);
        key->rows = table < 0 ? 0 : (uint64_t)job->table[table].rows;
        key->needed = true;
        snprintf(title->name, sizeof title->name, "%s", title_of(job, column->table));
        title->needed = examples->need_label;
        examples->keys++;
    }
    if (examples->need_label)
        snprintf(examples->label_column.name, sizeof examples->label_column.name, "%s",
                 job->data.label);
    examples->label_column.needed = true;
}

int examples_open(const struct job *job, const char *files, const char *why,
                  bool need_label, struct examples **examples, struct err *err)
{
    struct examples *made = calloc(1, sizeof *made);
    int rc;

    if (!made)
        return err_set(err, ERR_MEMORY, "%s: no memory to read the files", why);
    made->format = (enum data_format)job->data.format;
    made->need_label = need_label;
    take_columns(made, job);
    if (made->keys == 0)
        rc = err_set(err, ERR_INPUT, "data.columns has no column that is a key");
    else if (need_label && !job->data.label[0])
        rc = err_set(err, ERR_INPUT, "data.label is not set");
    else
        rc = filelist_init(&made->list, files, why, err);
    if (rc == 0) {
        rc = open_all(made, err);
        if (rc)
            err_prefix(err, "%s", why);
    }
    if (rc) {
        examples_close(made);
        return rc;
    }
    *examples = made;
    return 0;
}

void examples_close(struct examples *examples)
{
    if (!examples)
        return;
    records_close(examples->records);
    filelist_release(&examples->list);
    free(examples);
}

/* --- reading --------------------------------------------------------------------- */

uint32_t examples_keys(const struct examples *examples)
{
    return examples->keys;
}

const char *examples_where(struct examples *examples)
{
    snprintf(examples->where, sizeof examples->where, "%s line %" PRIu64,
             examples->list.path[examples->file],
             examples->records ? records_line(examples->records) : 0);
    return examples->where;
}

static int wrong_count(struct examples *examples, const struct record *record,
                       struct err *err)
{
    return err_set(err, ERR_INPUT, "%s: %u field%s, expected %u as in the header",
                   examples_where(examples), record->count,
                   record->count == 1 ? "" : "s", examples->fields);
}

static int take_label(struct examples *examples, const struct field *field,
                      float *label, struct err *err)
{
    char shown[WORDING_SHOWN_MAX];
    enum number_found found = number_parse(field->text, field->length, label);

    if (found == NUMBER_GOOD)
        return 0;
    return err_set(err, ERR_INPUT, "%s, column %s: '%s' is %s",
                   examples_where(examples), examples->label_column.name,
                   wording_shown(field->text, shown),
                   found == NUMBER_NONE ? "not a number" : "too large for a float");
}

/* Dense tables have the keys that they have. */
static int check_key(struct examples *examples, const struct column *column,
                     const struct field *field, uint64_t key, struct err *err)
{
    char shown[WORDING_SHOWN_MAX];

#ifndef MUTANT_STREAM_DENSE_KEY
    if (column->rows && key >= column->rows)
        return err_set(
            err, ERR_INPUT,
            "%s, column %s: the key '%s' is no row of table %s, which has the "
            "rows 0 to %" PRIu64 " (tables.%s.rows)",
            examples_where(examples), column->name, wording_shown(field->text, shown),
            column->table, column->rows - 1, column->table);
#endif
    return 0;
}

static int take_fields(struct examples *examples, const struct field *field,
                       struct example *example, struct err *err)
{
    for (uint32_t i = 0; i < examples->keys; i++) {
        const struct field *key = &field[examples->key_column[i].field];
        uint32_t title = examples->title_column[i].field;

        if (key->length == 0)
            return err_set(err, ERR_INPUT, "%s, column %s: the key is empty",
                           examples_where(examples), examples->key_column[i].name);
        examples->key[i] = key_of_text(key->text, key->length);
        if (check_key(examples, &examples->key_column[i], key, examples->key[i], err))
            return -err->code;
        examples->key_text[i] = key->text;
        examples->title[i] = title == NO_FIELD ? NULL : field[title].text;
    }
    example->key = examples->key;
    example->key_text = examples->key_text;
    example->title = examples->title;
    example->label = NAN;
    if (!examples->need_label)
        return 0;
    return take_label(examples, &field[examples->label_column.field], &example->label,
                      err);
}

int examples_next(struct examples *examples, struct example *example, struct err *err)
{
    struct record record;
    int rc;

    for (;;) {
        rc = records_next(examples->records, examples->wanted, &record, err);
        if (rc < 0)
            return rc;
        if (rc > 0)
            break;
        if (examples->file + 1 == examples->list.files)
            return 0;
        rc = open_file(examples, examples->file + 1, err);
        if (rc)
            return rc;
    }
#ifndef MUTANT_STREAM_FIELD_COUNT
    if (record.count != examples->fields)
        return wrong_count(examples, &record, err);
#endif
    rc = take_fields(examples, record.field, example, err);
    return rc ? rc : 1;
}

/* The inputs of a model: which columns, keys and numbers they have. */
#include <string.h>

#include "worker/blueprint_parts.h"

enum { BAG_KEYS = 64 }; /* of a list, where the job does not say how many */

bool blueprint_is_input(int kind)
{
    return kind == LAYER_ROWS || kind == LAYER_BAG || kind == LAYER_NUMBERS;
}

const char *blueprint_column_kind(const struct job_column *column)
{
    static const char *const name[] = {
        [COLUMN_KEY] = "key",       [COLUMN_TITLE] = "title",   [COLUMN_KEYS] = "keys",
        [COLUMN_NUMBER] = "number", [COLUMN_VECTOR] = "vector", [COLUMN_TEXT] = "text",
        [COLUMN_TIME] = "time"};

    return name[column->as];
}

/* A list of keys, also as words of a text, or what a group has of a key. */
bool blueprint_is_list(const struct job *job, const struct job_column *column)
{
    return column->as == COLUMN_KEYS ||
           (column->as == COLUMN_TEXT && column->steps.words != WORDS_NONE) ||
           (job->data.group[0] && blueprint_is_key(column) &&
            strcmp(column->name, job->data.group));
}

bool blueprint_is_key(const struct job_column *column)
{
    return column->as == COLUMN_KEY ||
           (column->as == COLUMN_NUMBER && column->steps.buckets > 0);
}

static bool is_number(const struct job_column *column)
{
    return column->as == COLUMN_VECTOR ||
           (column->as == COLUMN_NUMBER && column->steps.buckets == 0);
}

static int add_columns(const struct making *making, const struct job_layer *layer,
                       struct blueprint_input *input, struct err *err)
{
    const char *cursor = layer->columns;
    char name[JOB_NAME_MAX * 2];

    while (job_list_next(&cursor, name, sizeof name)) {
        int column = job_column_index(making->job, name);

        if (column < 0)
            return err_set(err, ERR_INPUT,
                           "model.layers.%s.columns has '%s', which is not in "
                           "data.columns",
                           layer->name, name);
        if (input->columns == JOB_COLUMNS_MAX)
            return err_set(err, ERR_INPUT,
                           "model.layers.%s.columns has more than %d columns",
                           layer->name, JOB_COLUMNS_MAX);
        input->column[input->columns++] = column;
    }
    if (input->columns == 0)
        return err_set(err, ERR_INPUT,
                       "model.layers.%s.columns is empty, expected what the input "
                       "takes of data.columns",
                       layer->name);
    return 0;
}

/* Do the columns go with the kind of the input? */
static int check_columns(const struct making *making, const struct job_layer *layer,
                         const struct blueprint_input *input, struct err *err)
{
    const struct job_column *first = &making->job->data.column[input->column[0]];

    for (uint32_t c = 0; c < input->columns; c++) {
        const struct job_column *column = &making->job->data.column[input->column[c]];
        bool fits = input->kind == LAYER_NUMBERS ? is_number(column)
                    : input->kind == LAYER_BAG
                        ? blueprint_is_list(making->job, column)
                        : blueprint_is_list(making->job, column) ||
                              blueprint_is_key(column);

        if (!fits)
            return err_set(err, ERR_INPUT,
                           "model.layers.%s takes column '%s', which is as: %s; "
                           "expected %s",
                           layer->name, column->name, blueprint_column_kind(column),
                           input->kind == LAYER_NUMBERS ? "a number or vector"
                           : input->kind == LAYER_BAG   ? "keys"
                                                        : "key or keys");
    }
    if (input->columns > 1 && input->kind != LAYER_NUMBERS &&
        blueprint_is_list(making->job, first))
        return err_set(err, ERR_INPUT,
                       "model.layers.%s.columns has %u columns, expected one, because "
                       "'%s' is a list",
                       layer->name, input->columns, first->name);
    for (uint32_t c = 1; c < input->columns && input->kind == LAYER_ROWS; c++)
        if (blueprint_is_list(making->job, &making->job->data.column[input->column[c]]))
            return err_set(err, ERR_INPUT,
                           "model.layers.%s.columns has lists and keys, expected one "
                           "list, or keys",
                           layer->name);
    return 0;
}

/* Keys of a dense table must be its rows, and are checked by their column's table. */
static int check_rows(const struct making *making, const struct job_layer *layer,
                      const struct blueprint_input *input, struct err *err)
{
    const struct job *job = making->job;
    const struct job_table *table = &job->table[input->table];

    for (uint32_t c = 0; table->rows && c < input->columns; c++) {
        const struct job_column *column = &job->data.column[input->column[c]];
        int own = job_table_index(job, column->table);
        int64_t rows = own < 0 ? 0 : job->table[own].rows;

        if (rows == 0 || rows > table->rows)
            return err_set(
                err, ERR_INPUT,
                "model.layers.%s takes rows of table '%s', which is dense, "
                "by the keys of column '%s', expected "
                "data.columns.%s.table to be '%s', by which they are checked",
                layer->name, table->name, column->name, column->name, table->name);
    }
    return 0;
}

/* The table of an input's keys, the same for all of its columns. */
static int find_table(const struct making *making, const struct job_layer *layer,
                      struct blueprint_input *input, struct err *err)
{
    const struct job *job = making->job;
    const char *name = layer->table[0] ? layer->table
                                       : job->data.column[input->column[0]].table;

    for (uint32_t c = 1; c < input->columns && !layer->table[0]; c++)
        if (strcmp(job->data.column[input->column[c]].table, name))
            return err_set(err, ERR_INPUT,
                           "model.layers.%s has keys of the tables '%s' and '%s', "
                           "expected one; stack puts several inputs below each other",
                           layer->name, name, job->data.column[input->column[c]].table);
    input->table = job_table_index(job, name);
    if (input->table < 0)
        return err_set(err, ERR_INPUT,
                       "model.layers.%s takes rows of table '%s', but there is no such "
                       "table in tables",
                       layer->name, name);
    return check_rows(making, layer, input, err);
}

/* Which floats of a row the input has. */
static int find_floats(const struct making *making, const struct job_layer *layer,
                       struct blueprint_input *input, struct err *err)
{
    uint32_t row = job_row_width(making->job, input->table);
    uint64_t end = (uint64_t)layer->first + (uint64_t)layer->width;

    if (layer->first >= row || end > row)
        return err_set(err, ERR_INPUT,
                       "model.layers.%s uses numbers %lld to %lld of a row of table "
                       "'%s', which has %u",
                       layer->name, (long long)layer->first + 1,
                       (long long)(layer->width ? (int64_t)end : layer->first + 1),
                       making->job->table[input->table].name, row);
    input->width = layer->width ? (uint32_t)layer->width : row - (uint32_t)layer->first;
    return 0;
}

/* How many keys an example has. */
static int find_length(const struct making *making, const struct job_layer *layer,
                       struct blueprint_input *input, struct err *err)
{
    const struct job_column *column = &making->job->data.column[input->column[0]];

    input->is_list = blueprint_is_list(making->job, column);
    input->length = (uint32_t)layer->length;
    if (input->is_list && input->length == 0 && column->steps.make == MAKE_HISTORY)
        input->length = (uint32_t)column->steps.length;
    if (input->is_list && input->length == 0 && input->kind == LAYER_BAG)
        input->length = BAG_KEYS;
    if (input->is_list && input->length == 0)
        return err_set(err, ERR_INPUT,
                       "model.layers.%s.length is not set: it says how many keys of "
                       "the list '%s' are used",
                       layer->name, column->name);
    input->steps = input->kind == LAYER_BAG ? 1
                   : input->is_list         ? input->length
                                            : input->columns;
    return 0;
}

/* Inputs that differ in what they use of the rows only share their keys. */
static bool has_same_keys(const struct blueprint_input *a,
                          const struct blueprint_input *b)
{
    return a->kind == b->kind && a->table == b->table && a->columns == b->columns &&
           a->length == b->length &&
           memcmp(a->column, b->column, a->columns * sizeof *a->column) == 0;
}

void blueprint_count_keys(struct blueprint *made)
{
    uint32_t number = made->inputs - 1;
    struct blueprint_input *input = &made->input[number];

    input->same = 0;
    while (input->same < number && !has_same_keys(&made->input[input->same], input))
        input->same++;
    if (input->same == number)
        made->keys[input->table] += input->is_list ? input->length : input->columns;
}

static void count_numbers(const struct making *making, struct blueprint_input *input)
{
    input->table = -1;
    input->steps = 1;
    input->same = making->made->inputs - 1;
    for (uint32_t c = 0; c < input->columns; c++) {
        const struct job_column *column = &making->job->data.column[input->column[c]];

        input->width += column->as == COLUMN_VECTOR ? (uint32_t)column->dim : 1;
    }
}

int blueprint_add_input(struct making *making, const struct job_layer *layer,
                        struct err *err)
{
    struct blueprint_input *input = &making->made->input[making->made->inputs++];

    input->kind = (enum layer_kind)layer->kind;
    if (layer->inputs[0])
        return err_set(err, ERR_INPUT,
                       "model.layers.%s is an input, expected columns, no inputs",
                       layer->name);
    if (add_columns(making, layer, input, err) ||
        check_columns(making, layer, input, err))
        return -err->code;
    if (input->kind == LAYER_NUMBERS) {
        count_numbers(making, input);
        return 0;
    }
    if (find_table(making, layer, input, err) ||
        find_floats(making, layer, input, err) ||
        find_length(making, layer, input, err))
        return -err->code;
    blueprint_count_keys(making->made);
    return 0;
}

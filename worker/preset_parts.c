/* What presets are put together from: inputs of the job's columns, and layers. */
#include "worker/preset_parts.h"

#include <stdio.h>
#include <string.h>

/* --- settings ----------------------------------------------------------------------
 */

const char *preset_name(int kind)
{
    static const char *const name[MODEL_KINDS] = {
        [MODEL_MF] = "mf",
        [MODEL_LINEAR] = "linear",
        [MODEL_GMF] = "gmf",
        [MODEL_MLP] = "mlp",
        [MODEL_NEUMF] = "neumf",
        [MODEL_FM] = "fm",
        [MODEL_DEEPFM] = "deepfm",
        [MODEL_WIDEDEEP] = "widedeep",
        [MODEL_DCN] = "dcn",
        [MODEL_DLRM] = "dlrm",
        [MODEL_TWOTOWER] = "twotower",
        [MODEL_POPULARITY] = "popularity",
        [MODEL_AUTOENCODER] = "autoencoder",
        [MODEL_MULTDAE] = "multdae",
    };

    return name[kind];
}

void preset_set(struct making *making, const char *group, const char *element,
                const char *what, const char *value)
{
    char name[3 * JOB_NAME_MAX], where[JOB_NAME_MAX];

    if (making->rc)
        return;
    snprintf(name, sizeof name, "%s.%s%s%s", group, element, *what ? "." : "", what);
    snprintf(where, sizeof where, "model.kind %s",
             preset_name(making->job->model.kind));
    making->rc = job_set(making->job, name, value, where, making->err);
}

static void set_layer(struct making *making, const char *layer, const char *what,
                      const char *value)
{
    preset_set(making, "model.layers", layer, what, value);
}

void preset_number(struct making *making, const char *layer, const char *what,
                   int64_t value)
{
    char text[32];

    snprintf(text, sizeof text, "%lld", (long long)value);
    if (value)
        set_layer(making, layer, what, text);
}

void preset_piece(struct pieces *pieces, const char *name)
{
    snprintf(pieces->name[pieces->n++], JOB_NAME_MAX, "%s", name);
}

/* A layer with one input, or with none yet. */
void preset_layer(struct making *making, const char *name, const char *kind,
                  const char *input)
{
    char list[JOB_NAME_MAX + 2];

    set_layer(making, name, "kind", kind);
    snprintf(list, sizeof list, "%s\n", input ? input : "");
    if (input)
        set_layer(making, name, "inputs", list);
}

void preset_layer_of(struct making *making, const char *name, const char *kind,
                     const char (*input)[JOB_NAME_MAX], uint32_t inputs)
{
    char list[JOB_FORK_MAX * (JOB_NAME_MAX + 1) + 1];
    size_t length = 0;

    for (uint32_t i = 0; i < inputs; i++)
        length += (size_t)snprintf(list + length, sizeof list - length, "%s\n",
                                   input[i]);
    set_layer(making, name, "kind", kind);
    set_layer(making, name, "inputs", list);
}

/* --- columns -----------------------------------------------------------------------
 */

static bool is_list(const struct job_column *column)
{
    return column->table[0] &&
           (column->as == COLUMN_KEYS ||
            (column->as == COLUMN_TEXT && column->steps.words != WORDS_NONE));
}

/* What examples are told by, not what they are. */
static bool is_told(const struct job *job, const char *name)
{
    return !strcmp(name, job->data.label) || !strcmp(name, job->data.weight) ||
           !strcmp(name, job->data.time) || !strcmp(name, job->model.target);
}

static bool is_number(const struct job *job, const struct job_column *column)
{
    return (column->as == COLUMN_VECTOR ||
            (column->as == COLUMN_NUMBER && column->steps.buckets == 0)) &&
           !is_told(job, column->name);
}

static bool is_of(const struct job *job, const struct job_column *column,
                  enum side side)
{
    return side == SIDE_ANY ||
           job_column_is_items(job, (int)(column - job->data.column)) ==
               (side == SIDE_ITEM);
}

static const char *prefix_of(enum side side)
{
    return side == SIDE_USER ? "user-" : side == SIDE_ITEM ? "item-" : "";
}

bool preset_is_field(const struct job_column *column)
{
    return job_column_is_key(column) || is_list(column);
}

/* Is it the side's first key of its table? */
static bool is_first(const struct job *job, int column, enum side side)
{
    for (int i = 0; i < column; i++)
        if (job_column_is_key(&job->data.column[i]) &&
            is_of(job, &job->data.column[i], side) &&
            !strcmp(job->data.column[i].table, job->data.column[column].table))
            return false;
    return true;
}

int64_t preset_dim(const struct job *job)
{
    for (int i = 0; i < job->data.columns; i++) {
        const struct job_column *column = &job->data.column[i];

        if (preset_is_field(column))
            return job->table[job_table_index(job, column->table)].dim;
    }
    return 1;
}

/* Have all embeddings of a side the same width? */
static bool are_even(const struct job *job, enum side side)
{
    int64_t dim = 0;

    for (int i = 0; i < job->data.columns; i++) {
        const struct job_column *column = &job->data.column[i];
        int64_t own;

        if (!preset_is_field(column) || !is_of(job, column, side))
            continue;
        own = job->table[job_table_index(job, column->table)].dim;
        if (dim && own != dim)
            return false;
        dim = own;
    }
    return true;
}

/* --- inputs ------------------------------------------------------------------------
 */

int64_t preset_numbers_width(const struct job *job)
{
    int64_t width = 0;

    for (int i = 0; i < job->data.columns; i++)
        if (is_number(job, &job->data.column[i]))
            width += job->data.column[i].as == COLUMN_VECTOR ? job->data.column[i].dim
                                                             : 1;
    return width;
}

uint32_t preset_columns(const struct job *job, enum side side, const char *table,
                        char *list, size_t size)
{
    uint32_t n = 0;
    size_t length = 0;

    *list = '\0';
    for (int i = 0; i < job->data.columns; i++) {
        const struct job_column *column = &job->data.column[i];
        bool wanted = table ? job_column_is_key(column) && !strcmp(column->table, table)
                            : is_number(job, column);

        if (!wanted || !is_of(job, column, side))
            continue;
        length += (size_t)snprintf(list + length, size - length, "%s\n", column->name);
        n++;
    }
    return n;
}

void preset_input(struct making *making, const char *name, const char *kind,
                  const char *columns)
{
    set_layer(making, name, "kind", kind);
    set_layer(making, name, "columns", columns);
}

static void set_part(struct making *making, const char *name, const char *table,
                     enum part part)
{
    const struct job *job = making->job;
    const struct job_table *t = &job->table[job_table_index(job, table)];

    preset_number(making, name, "first", part == PART_WEIGHT ? t->dim : 0);
    if (t->bias)
        preset_number(making, name, "width", part == PART_WEIGHT ? 1 : t->dim);
}

/* The rows of a side's keys: a layer for each table, or for each column. Returns how
 * many keys there are. */
static uint32_t add_rows(struct making *making, enum side side, enum part part,
                         bool apart, struct pieces *pieces)
{
    const struct job *job = making->job;
    char columns[PRESET_COLUMNS_MAX], name[JOB_NAME_MAX];
    uint32_t keys = 0;

    for (int i = 0; i < job->data.columns; i++) {
        const struct job_column *column = &job->data.column[i];

        if (!job_column_is_key(column) || !is_of(job, column, side) ||
            (!apart && !is_first(job, i, side)))
            continue;
        if (apart)
            snprintf(columns, sizeof columns, "%s\n", column->name);
        keys += apart
                    ? 1
                    : preset_columns(job, side, column->table, columns, sizeof columns);
        snprintf(name, sizeof name, "%s%s%u", prefix_of(side),
                 part == PART_WEIGHT ? "weights" : "rows", pieces->n + 1);
        preset_input(making, name, "rows", columns);
        set_part(making, name, column->table, part);
        preset_piece(pieces, name);
    }
    return keys;
}

/* The same for lists of keys, of which there is one sum or mean each. */
static uint32_t add_bags(struct making *making, enum side side, enum part part,
                         const char *pool, struct pieces *pieces)
{
    const struct job *job = making->job;
    uint32_t lists = 0;

    for (int i = 0; i < job->data.columns; i++) {
        const struct job_column *column = &job->data.column[i];
        char columns[2 * JOB_NAME_MAX + 1], name[JOB_NAME_MAX];

        if (!is_list(column) || !is_of(job, column, side))
            continue;
        snprintf(name, sizeof name, "%s%s%u", prefix_of(side),
                 part == PART_WEIGHT ? "weights" : "bag", pieces->n + 1);
        snprintf(columns, sizeof columns, "%s\n", column->name);
        preset_input(making, name, "bag", columns);
        set_part(making, name, column->table, part);
        set_layer(making, name, "pool", pool);
        if (column->steps.make != MAKE_HISTORY)
            preset_number(making, name, "length", job->model.length);
        preset_piece(pieces, name);
        lists++;
    }
    return lists;
}

bool preset_numbers(struct making *making, enum side side, char *name)
{
    char columns[PRESET_COLUMNS_MAX];

    if (preset_columns(making->job, side, NULL, columns, sizeof columns) == 0)
        return false;
    snprintf(name, JOB_NAME_MAX, "%snumbers", prefix_of(side));
    preset_input(making, name, "numbers", columns);
    return true;
}

/* --- building blocks ---------------------------------------------------------------
 */

void preset_join(struct making *making, const char *kind, const char *as,
                 struct pieces *pieces, char *name)
{
    char group[JOB_NAME_MAX];
    uint32_t groups = (pieces->n + JOB_FORK_MAX - 1) / JOB_FORK_MAX;

    if (pieces->n == 1) {
        snprintf(name, JOB_NAME_MAX, "%s", pieces->name[0]);
        return;
    }
    for (uint32_t g = 0; groups > 1 && g < groups; g++) {
        uint32_t first = g * JOB_FORK_MAX, left = pieces->n - first;

        snprintf(group, sizeof group, "%s-%u", as, g + 1);
        preset_layer_of(making, group, kind, &pieces->name[first],
                        left < JOB_FORK_MAX ? left : JOB_FORK_MAX);
        memcpy(pieces->name[g], group, sizeof group);
    }
    snprintf(name, JOB_NAME_MAX, "%s", as);
    preset_layer_of(making, name, kind, pieces->name, groups > 1 ? groups : pieces->n);
}

void preset_dense(struct making *making, const char *name, const char *input,
                  uint32_t width, const char *activation)
{
    preset_layer(making, name, "dense", input);
    preset_number(making, name, "width", width);
    set_layer(making, name, "activation", activation);
}

static const char *hidden_activation(const struct job *job)
{
    static const char *const name[] = {
        [ACTIVATION_LINEAR] = "linear",         [ACTIVATION_RELU] = "relu",
        [ACTIVATION_LEAKY_RELU] = "leaky_relu", [ACTIVATION_GELU] = "gelu",
        [ACTIVATION_SIGMOID] = "sigmoid",       [ACTIVATION_TANH] = "tanh",
    };

    return name[job->model.activation];
}

/* What follows a layer's product: batch norm, if it has one, and the function. */
static void put_function(struct making *making, const char *name, char *at)
{
    char norm[JOB_NAME_MAX];

    if (making->job->model.batch_norm) {
        snprintf(norm, sizeof norm, "%s-norm", name);
        preset_layer(making, norm, "batch_norm", at);
        snprintf(at, JOB_NAME_MAX, "%s", norm);
    }
    snprintf(norm, sizeof norm, "%s-function", name);
    preset_layer(making, norm, "activation", at);
    set_layer(making, norm, "activation", hidden_activation(making->job));
    snprintf(at, JOB_NAME_MAX, "%s", norm);
}

static void put_dropout(struct making *making, const char *name, char *at)
{
    char more[JOB_NAME_MAX], number[32];

    if (making->job->model.dropout == 0)
        return;
    snprintf(more, sizeof more, "%s-dropout", name);
    snprintf(number, sizeof number, "%.17g", making->job->model.dropout);
    preset_layer(making, more, "dropout", at);
    set_layer(making, more, "drop", number);
    snprintf(at, JOB_NAME_MAX, "%s", more);
}

/* One deep layer: product, batch norm, function, dropout. `at` is what it takes, and
 * becomes what it gives. */
void preset_hidden(struct making *making, const char *name, uint32_t width, char *at)
{
    bool norm = making->job->model.batch_norm;

    preset_dense(making, name, at, width,
                 norm ? "linear" : hidden_activation(making->job));
    snprintf(at, JOB_NAME_MAX, "%s", name);
    if (norm)
        put_function(making, name, at);
    put_dropout(making, name, at);
}

void preset_hidden_sum(struct making *making, const char *name, char *at)
{
    preset_layer(making, name, "bias", at);
    snprintf(at, JOB_NAME_MAX, "%s", name);
    put_function(making, name, at);
    put_dropout(making, name, at);
}

void preset_deep(struct making *making, const char *prefix, const char *list, char *at)
{
    uint32_t width[JOB_WIDTHS_MAX];
    int n = job_widths(list, width);
    char name[JOB_NAME_MAX];

    for (int i = 0; i < n; i++) {
        snprintf(name, sizeof name, "%s%d", prefix, i + 1);
        preset_hidden(making, name, width[i], at);
    }
}

void preset_top(struct making *making, const char *name, const char *at)
{
    preset_dense(making, name, at, 1, "linear");
    making->has_bias = true;
}

void preset_give_bias(struct making *making)
{
    const struct job *job = making->job;

    for (int i = 0; i < job->data.columns; i++)
        if (preset_is_field(&job->data.column[i]))
            preset_set(making, "tables", job->data.column[i].table, "bias", "true");
}

/* A side's embeddings below each other, [fields][dim], with those of its numbers, which
 * are one field. Is there any? */
bool preset_fields(struct making *making, enum side side, const char *numbers, char *at)
{
    struct pieces pieces = {0};
    char name[JOB_NAME_MAX];

    add_rows(making, side, PART_EMBEDDING, false, &pieces);
    add_bags(making, side, PART_EMBEDDING, "mean", &pieces);
    if (*numbers)
        preset_piece(&pieces, numbers);
    if (pieces.n == 0)
        return false;
    snprintf(name, sizeof name, "%sfields", prefix_of(side));
    preset_join(making, "stack", name, &pieces, at);
    return true;
}

/* A side's embeddings side by side, and its numbers: what deep layers take. Where all
 * have one width, they come in together. */
bool preset_flat(struct making *making, enum side side, const char *numbers, char *at)
{
    bool even = are_even(making->job, side);
    struct pieces pieces = {0};
    char name[JOB_NAME_MAX], fields[JOB_NAME_MAX];

    if (even && preset_fields(making, side, "", fields)) {
        snprintf(name, sizeof name, "%sflat", prefix_of(side));
        preset_layer(making, name, "flatten", fields);
        preset_piece(&pieces, name);
    } else if (!even) {
        add_rows(making, side, PART_EMBEDDING, true, &pieces);
        add_bags(making, side, PART_EMBEDDING, "mean", &pieces);
    }
    if (*numbers)
        preset_piece(&pieces, numbers);
    if (pieces.n == 0)
        return false;
    snprintf(name, sizeof name, "%sinput", prefix_of(side));
    preset_join(making, "concat", name, &pieces, at);
    return true;
}

void preset_weights(struct making *making, enum side side, enum part part,
                    struct pieces *sums)
{
    struct pieces pieces = {0};
    char name[JOB_NAME_MAX], at[JOB_NAME_MAX];
    bool apart = !are_even(making->job, side); /* as the embeddings: with their keys */
    uint32_t fields = add_rows(making, side, part, apart, &pieces) +
                      add_bags(making, side, part, "sum", &pieces);

    if (fields == 0)
        return;
    snprintf(name, sizeof name, "%sweights", prefix_of(side));
    preset_join(making, "stack", name, &pieces, at);
    if (fields > 1) {
        snprintf(name, sizeof name, "%slinear", prefix_of(side));
        preset_layer(making, name, "pool", at);
        snprintf(at, sizeof at, "%s", name);
    }
    preset_piece(sums, at);
}

void preset_number_weights(struct making *making, enum side side, const char *numbers,
                           struct pieces *sums)
{
    char name[JOB_NAME_MAX];

    if (!*numbers)
        return;
    snprintf(name, sizeof name, "%slinear-numbers", prefix_of(side));
    preset_top(making, name, numbers);
    preset_piece(sums, name);
}

void preset_number_field(struct making *making, enum side side, const char *numbers,
                         char *field)
{
    *field = '\0';
    if (!*numbers)
        return;
    snprintf(field, JOB_NAME_MAX, "%snumbers-embedding", prefix_of(side));
    preset_dense(making, field, numbers, (uint32_t)preset_dim(making->job), "linear");
}

void preset_output(struct making *making, const char *list)
{
    preset_set(making, "model", "output", "", list);
}

void preset_score(struct making *making, struct pieces *sums)
{
    char at[JOB_NAME_MAX];

    if (sums->n == 0)
        return;
    preset_join(making, "add", making->has_bias ? "score" : "sum", sums, at);
    if (!making->has_bias) {
        preset_layer(making, "score", "bias", at);
        snprintf(at, sizeof at, "score");
    }
    preset_output(making, at);
}

#include "worker/preset.h"

#include <stdio.h>
#include <string.h>

#include "worker/blueprint.h"
#include "worker/preset_parts.h"

/* --- presets -----------------------------------------------------------------------
 */

static void make_linear(struct making *making)
{
    const struct job *job = making->job;
    struct pieces sums = {0};
    char numbers[JOB_NAME_MAX] = "";

    for (int i = 0; i < job->data.columns; i++) {
        if (!preset_is_field(&job->data.column[i]))
            continue;
        preset_set(making, "tables", job->data.column[i].table, "dim", "1");
        preset_set(making, "tables", job->data.column[i].table, "init", "zero");
        preset_set(making, "tables", job->data.column[i].table, "bias", "false");
    }
    preset_weights(making, SIDE_ANY, PART_EMBEDDING, &sums);
    preset_numbers(making, SIDE_ANY, numbers);
    preset_number_weights(making, SIDE_ANY, numbers, &sums);
    preset_score(making, &sums);
}

/* Factorisation machines, alone (Rendle 2010) or beside deep layers (Guo et al. 2017).
 */
static void make_fm(struct making *making, bool deep)
{
    struct pieces sums = {0}, input = {0};
    char numbers[JOB_NAME_MAX] = "", field[JOB_NAME_MAX], at[JOB_NAME_MAX];

    preset_give_bias(making);
    preset_numbers(making, SIDE_ANY, numbers);
    preset_number_field(making, SIDE_ANY, numbers, field);
    if (!preset_fields(making, SIDE_ANY, field, at))
        return;
    preset_layer(making, "fm", "fm", at);
    preset_piece(&sums, "fm");
    preset_weights(making, SIDE_ANY, PART_WEIGHT, &sums);
    preset_number_weights(making, SIDE_ANY, numbers, &sums);
    if (deep) {
        preset_layer(making, "flat", "flatten", at);
        preset_piece(&input, "flat");
        if (*numbers)
            preset_piece(&input, numbers);
        preset_join(making, "concat", "input", &input, at);
        preset_deep(making, "deep", making->job->model.hidden, at);
        preset_top(making, "top", at);
        preset_piece(&sums, "top");
    }
    preset_score(making, &sums);
}

/* Cheng et al. 2016. */
static void make_widedeep(struct making *making)
{
    struct pieces sums = {0};
    char numbers[JOB_NAME_MAX] = "", at[JOB_NAME_MAX];

    preset_give_bias(making);
    preset_numbers(making, SIDE_ANY, numbers);
    if (!preset_flat(making, SIDE_ANY, numbers, at))
        return;
    preset_deep(making, "deep", making->job->model.hidden, at);
    preset_top(making, "top", at);
    preset_piece(&sums, "top");
    preset_weights(making, SIDE_ANY, PART_WEIGHT, &sums);
    preset_score(making, &sums);
}

/* Wang et al. 2021, with both beside each other. */
static void make_dcn(struct making *making)
{
    struct pieces ends = {0};
    char numbers[JOB_NAME_MAX] = "", input[JOB_NAME_MAX], at[JOB_NAME_MAX];

    preset_numbers(making, SIDE_ANY, numbers);
    if (!preset_flat(making, SIDE_ANY, numbers, input))
        return;
    for (int i = 1; i <= making->job->model.cross; i++) {
        char pair[2][JOB_NAME_MAX], name[JOB_NAME_MAX];

        snprintf(name, sizeof name, "cross%d", i);
        snprintf(pair[0], sizeof pair[0], "%s", input);
        snprintf(pair[1], sizeof pair[1], "%s", at);
        preset_layer_of(making, name, "cross", pair, i == 1 ? 1 : 2);
        snprintf(at, sizeof at, "%s", name);
    }
    preset_piece(&ends, at);
    if (making->job->model.hidden[0]) {
        snprintf(at, sizeof at, "%s", input);
        preset_deep(making, "deep", making->job->model.hidden, at);
        preset_piece(&ends, at);
    }
    preset_join(making, "concat", "ends", &ends, at);
    preset_top(making, "score", at);
    preset_output(making, "score");
}

/* Naumov et al. 2019. */
static void make_dlrm(struct making *making)
{
    const struct job *job = making->job;
    struct pieces input = {0};
    char bottom[JOB_NAME_MAX] = "", at[JOB_NAME_MAX];

    if (preset_numbers(making, SIDE_ANY, bottom)) {
        preset_deep(making, "bottom", job->model.bottom, bottom);
        preset_hidden(making, "bottom", (uint32_t)preset_dim(job), bottom);
        preset_piece(&input, bottom);
    }
    if (!preset_fields(making, SIDE_ANY, bottom, at))
        return;
    preset_layer(making, "pairs", "pairs", at);
    preset_piece(&input, "pairs");
    preset_join(making, "concat", "input", &input, at);
    preset_deep(making, "deep", job->model.hidden, at);
    preset_top(making, "score", at);
    preset_output(making, "score");
}

/* --- of two sides ------------------------------------------------------------------
 */

static const struct job_table *table_of(const struct job *job, enum side side)
{
    const char *name = side == SIDE_ITEM ? job->model.item : job->model.user;

    return &job->table[job_table_index(job, name)];
}

/* Numbers first .. first + width - 1 of the rows of model.user or model.item. */
static void add_side(struct making *making, enum side side, const char *name,
                     int64_t first, int64_t width)
{
    const struct job *job = making->job;
    const struct job_table *table = table_of(job, side);
    char columns[PRESET_COLUMNS_MAX];

    preset_columns(job, SIDE_ANY, table->name, columns, sizeof columns);
    preset_input(making, name, "rows", columns);
    preset_number(making, name, "first", first);
    preset_number(making, name, "width", width);
}

/* User and item as factors of a product, beside each other as deep layers' input, or
 * each with some of its numbers in both (He et al. 2017). */
static void make_ncf(struct making *making, bool product, bool deep)
{
    static const char sides[2][2][JOB_NAME_MAX] = {{"user", "item"},
                                                   {"user-deep", "item-deep"}};
    const struct job *job = making->job;
    struct pieces ends = {0};
    uint32_t width[JOB_WIDTHS_MAX];
    int hidden = job_widths(job->model.hidden, width);
    int64_t first = 0;
    char at[JOB_NAME_MAX] = "input";

    if (product && deep)
        first = job->model.width ? job->model.width
                : hidden         ? width[hidden - 1]
                                 : table_of(job, SIDE_USER)->dim / 2;
    for (int s = 0; s < 2; s++) {
        enum side side = s ? SIDE_ITEM : SIDE_USER;

        if (first >= table_of(job, side)->dim && !making->rc)
            making->rc = err_set(
                making->err, ERR_INPUT,
                "tables.%s.dim is %lld, expected more than %lld: so many numbers of an "
                "embedding are for the product of neumf, the rest for its deep layers",
                table_of(job, side)->name, (long long)table_of(job, side)->dim,
                (long long)first);
        if (product)
            add_side(making, side, sides[0][s], 0,
                     first ? first : table_of(job, side)->dim);
        if (deep)
            add_side(making, side, sides[product][s], first,
                     table_of(job, side)->dim - first);
    }
    if (product) {
        preset_layer_of(making, "product", "multiply", sides[0], 2);
        preset_piece(&ends, "product");
    }
    if (deep) {
        preset_layer_of(making, "input", "concat", sides[product], 2);
        preset_deep(making, "deep", job->model.hidden, at);
        preset_piece(&ends, at);
    }
    preset_join(making, "concat", "ends", &ends, at);
    preset_top(making, "score", at);
    preset_output(making, "score");
}

static const char vector[2][JOB_NAME_MAX] = {"user-vector", "item-vector"};

static void make_twotower(struct making *making)
{
    const struct job *job = making->job;
    int64_t width = job->model.width ? job->model.width : table_of(job, SIDE_ITEM)->dim;

    for (enum side side = SIDE_USER; side <= SIDE_ITEM; side++) {
        char numbers[JOB_NAME_MAX] = "", at[JOB_NAME_MAX], name[JOB_NAME_MAX];

        preset_numbers(making, side, numbers);
        if (!preset_flat(making, side, numbers, at))
            return;
        snprintf(name, sizeof name, "%s",
                 side == SIDE_USER ? "user-deep" : "item-deep");
        preset_deep(making, name, job->model.hidden, at);
        memcpy(name, vector[side - SIDE_USER], sizeof name);
        preset_dense(making, name, at, (uint32_t)width, "linear");
    }
    preset_output(making, "user-vector\nitem-vector\n");
}

/* Matrix factorisation whose vectors are sums over a side's columns (Chen et al. 2012).
 */
static void make_features(struct making *making)
{
    bool bias = making->job->model.bias;
    struct pieces sums = {0};

    if (bias)
        preset_give_bias(making);
    for (enum side side = SIDE_USER; side <= SIDE_ITEM; side++) {
        char numbers[JOB_NAME_MAX] = "", field[JOB_NAME_MAX], at[JOB_NAME_MAX];

        preset_numbers(making, side, numbers);
        preset_number_field(making, side, numbers, field);
        if (!preset_fields(making, side, field, at))
            return;
        preset_layer(making, vector[side - SIDE_USER], "pool", at);
        if (bias) {
            preset_weights(making, side, PART_WEIGHT, &sums);
            preset_number_weights(making, side, numbers, &sums);
        }
    }
    if (bias) {
        preset_layer_of(making, "product", "dot", vector, 2);
        preset_piece(&sums, "product");
        preset_score(making, &sums);
    } else {
        preset_output(making, "user-vector\nitem-vector\n");
    }
    preset_set(making, "model", "kind", "", "graph");
    preset_set(making, "model", "features", "", "false");
}

/* How many examples have an item: the one number of its row, to which each adds 1. */
static void make_popularity(struct making *making)
{
    static const char *const setting[][2] = {
        {"dim", "1"},
        {"init", "zero"},
        {"bias", "false"},
    };
    const char *item = making->job->model.item;
    char columns[PRESET_COLUMNS_MAX];

    for (size_t i = 0; i < sizeof setting / sizeof setting[0]; i++)
        preset_set(making, "tables", item, setting[i][0], setting[i][1]);
    if (making->rc == 0)
        making->rc = blueprint_set_adding(making->job, item, making->err);
    preset_columns(making->job, SIDE_ANY, item, columns, sizeof columns);
    preset_input(making, "popularity", "rows", columns);
    preset_output(making, "popularity");
}

static void make(struct making *making)
{
    switch (making->job->model.kind) {
    case MODEL_MF:
        make_features(making);
        break;
    case MODEL_LINEAR:
        make_linear(making);
        break;
    case MODEL_GMF:
    case MODEL_MLP:
    case MODEL_NEUMF:
        make_ncf(making, making->job->model.kind != MODEL_MLP,
                 making->job->model.kind != MODEL_GMF);
        break;
    case MODEL_FM:
    case MODEL_DEEPFM:
        make_fm(making, making->job->model.kind == MODEL_DEEPFM);
        break;
    case MODEL_WIDEDEEP:
        make_widedeep(making);
        break;
    case MODEL_DCN:
        make_dcn(making);
        break;
    case MODEL_DLRM:
        make_dlrm(making);
        break;
    case MODEL_TWOTOWER:
        make_twotower(making);
        break;
    case MODEL_POPULARITY:
        make_popularity(making);
        break;
    case MODEL_AUTOENCODER:
    case MODEL_MULTDAE:
        preset_make_autoencoder(making);
        break;
    }
}

static bool is_preset(const struct job *job)
{
    return preset_name(job->model.kind) &&
           (job->model.kind != MODEL_MF || job->model.features);
}

int preset_expand(struct job *job, struct err *err)
{
    struct making making = {.job = job, .err = err};

    if (!is_preset(job))
        return 0;
    if (job->model.layers && job->model.output[0])
        return 0;
    if (job->model.layers)
        return err_set(err, ERR_INPUT,
                       "model.kind is %s, which makes its layers itself, but "
                       "model.layers has '%s'; with graph all layers are the job's",
                       preset_name(job->model.kind), job->model.layer[0].name);
    make(&making);
    if (!making.rc && !job->model.output[0])
        return err_set(err, ERR_INPUT,
                       "model.kind is %s, but data.columns has no key, keys, number or "
                       "vector for it",
                       preset_name(job->model.kind));
    return making.rc;
}

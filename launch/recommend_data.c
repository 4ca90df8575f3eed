#include "launch/recommend_data.h"
#include "launch/warn.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "worker/stream/input.h"

enum { TITLES_BYTES_MAX = 1 << 30, BLOCK_EXAMPLES = 4096 };

/* Examples as they come: (user, item) keys and labels. */
struct columns {
    uint64_t *key; /* [n][2] */
    float *label;
    uint64_t n, capacity;
};

static int columns_add(struct columns *c, uint64_t user, uint64_t item, float label,
                       struct err *err)
{
    if (c->n == c->capacity) {
        uint64_t capacity = c->capacity ? c->capacity * 2 : 65536;
        uint64_t *key = realloc(c->key, capacity * 2 * sizeof *key);
        float *labels;

        if (key)
            c->key = key;
        labels = key ? realloc(c->label, capacity * sizeof *labels) : NULL;
        if (!labels)
            return err_set(err, ERR_MEMORY, "no memory for %llu examples",
                           (unsigned long long)capacity);
        c->label = labels;
        c->capacity = capacity;
    }
    c->key[c->n * 2] = user;
    c->key[c->n * 2 + 1] = item;
    c->label[c->n++] = label;
    return 0;
}

/* --- reading --------------------------------------------------------------------- */

/* Where in the blocks of data.train stands what. */
struct places {
    int user, item, label, title; /* title: SCHEMA_NONE = none */
};

struct blocks {
    struct block raw, ready;
    struct places at;
};

static int find_places(struct recommend_data *data, const struct trained *trained,
                       const struct schema *raw, struct places *at, struct err *err)
{
    *at = (struct places){.user = schema_find(raw, trained->user_name),
                          .item = schema_find(raw, trained->item_name),
                          .label = raw->label,
                          .title = SCHEMA_NONE};
    if (at->user < 0 || at->item < 0)
        return err_set(
            err, ERR_INPUT,
            "recommend needs users and items that are keys of the files, but "
            "data.columns.%s is made of other columns",
            at->user < 0 ? trained->user_name : trained->item_name);
    for (uint32_t c = 0; c < raw->columns; c++)
        if (raw->column[c].kind == VALUE_TEXT &&
            strcmp(raw->column[c].table, trained->job.model.item) == 0)
            at->title = (int)c;
    data->user_place = (uint32_t)at->user;
    return 0;
}

/* Remembers what an item is called; what no longer fits is shown by its key. */
static void add_title(struct recommend_data *data, const struct blocks *blocks,
                      uint32_t i, uint64_t item)
{
    const struct values *key = &blocks->raw.column[blocks->at.item], *from = key;
    char text[TITLE_BYTES_MAX + 5];
    uint32_t length;
    struct err full;

    if (blocks->at.title >= 0)
        from = &blocks->raw.column[blocks->at.title];
    length = from->offset[i + 1] - from->offset[i];
    if (length == 0) { /* no title */
        from = key;
        length = from->offset[i + 1] - from->offset[i];
    }
    if (length >= sizeof text)
        length = sizeof text - 1;
    memcpy(text, from->text + from->offset[i], length);
    text[length] = '\0';
    titles_add(data->titles, item, text, &full);
}

static bool is_asked_for(const struct recommend_data *data, uint64_t user)
{
    uint32_t first = 0, end = data->history.users;

    while (first < end) {
        uint32_t middle = first + (end - first) / 2;

        if (data->history.user[middle] < user)
            first = middle + 1;
        else
            end = middle;
    }
    return first < data->history.users && data->history.user[first] == user;
}

/* Keeps what the model's columns are for a user and an item. */
static int keep_examples(struct recommend_data *data, const struct blocks *blocks,
                         uint32_t i, bool own_item, struct err *err)
{
    const struct block *raw = &blocks->raw, *ready = &blocks->ready;
    const struct block *from = data->raw_examples ? raw : ready;
    uint64_t user = raw->column[blocks->at.user].key[i];
    uint64_t item = ready->column[blocks->at.item].key[i];
    int time = raw->schema->time;

    if (data->groups.job)
        return is_asked_for(data, user) ? groups_add(&data->groups, ready, i, err) : 0;
    if (own_item && exemplars_add(&data->items, item, 0, from, i, err))
        return -err->code;
    if (!is_asked_for(data, user))
        return 0;
    return exemplars_add(&data->users, user, time < 0 ? 0 : raw->column[time].time[i],
                         from, i, err);
}

/* Without labels, what a user has is what the user likes. */
static float label_of(const struct blocks *blocks, uint32_t i)
{
    float label = blocks->at.label < 0 ? NAN
                                       : blocks->raw.column[blocks->at.label].number[i];

    return isnan(label) ? 1 : label;
}

/* Adds a block's examples: to `others` those whose item shares its row. */
static int take_block(struct recommend_data *data, const struct blocks *blocks,
                      struct columns *columns, struct columns *others, struct err *err)
{
    const struct block *raw = &blocks->raw;
    const uint8_t *no_user = raw->column[blocks->at.user].missing;
    uint32_t item_place = (uint32_t)blocks->at.item;

    for (uint32_t i = 0; i < raw->n; i++) {
        uint64_t user = raw->column[blocks->at.user].key[i], ignored;
        uint64_t item = blocks->ready.column[item_place].key[i];
        float label = label_of(blocks, i);
        bool own = prepare_key(data->prepare, item_place,
                               raw->column[item_place].key[i], &ignored);

        /* What nobody rated says only what the item is called. */
        if (!(no_user && no_user[i]) &&
            (columns_add(own ? columns : others, user, item, label, err) ||
             ((data->users.schema || data->groups.job) &&
              keep_examples(data, blocks, i, own, err))))
            return -err->code;
        if (own)
            add_title(data, blocks, i, item);
    }
    return 0;
}

/* `raw` is copied: it is the input's, which is closed before the examples are used. */
static void begin_examples(struct recommend_data *data, const struct job *job,
                           const struct schema *raw)
{
    const struct schema *schema = prepare_schema(data->prepare);

    for (int c = 0; c < job->data.columns; c++)
        data->raw_examples |= !job->model.target[0] && job_column_is_mixed(job, c);
    if (data->raw_examples) {
        data->raw_schema = *raw;
        schema = &data->raw_schema;
    }
    exemplars_init(&data->users, schema, true);
    exemplars_init(&data->items, schema, false);
}

static int read_blocks(struct recommend_data *data, const struct trained *trained,
                       struct input *input, struct columns *columns,
                       struct columns *others, struct err *err)
{
    const struct schema *raw = input_schema(input);
    struct blocks blocks = {.at = {0}};
    uint32_t at;
    int rc = trained_prepare(trained, raw, &data->prepare, err);

    if (rc == 0)
        rc = find_places(data, trained, raw, &blocks.at, err);
    if (rc == 0)
        rc = block_create(&blocks.raw, raw, BLOCK_EXAMPLES, err);
    if (rc == 0)
        rc = block_create(&blocks.ready, prepare_schema(data->prepare), BLOCK_EXAMPLES,
                          err);
    if (rc == 0)
        data->some_items = prepare_changes(data->prepare);
    if (rc == 0 && trained->job.data.group[0])
        rc = groups_init(&data->groups, &trained->job, prepare_schema(data->prepare),
                         err);
    else if (rc == 0 && trained->is_graph)
        begin_examples(data, &trained->job, raw);
    while (rc == 0 && (rc = input_next(input, &blocks.raw, err)) > 0) {
        if (prepare_apply(data->prepare, &blocks.raw, &blocks.ready, &at, err))
            rc = err_prefix(err, "%s", input_where(input, blocks.raw.place[at]));
        else
            rc = take_block(data, &blocks, columns, others, err);
    }
    if (blocks.raw.schema)
        block_release(&blocks.raw);
    if (blocks.ready.schema)
        block_release(&blocks.ready);
    return rc;
}

static int read_columns(struct recommend_data *data, const struct trained *trained,
                        struct columns *columns, struct columns *others,
                        struct err *err)
{
    struct input *input;
    int rc = input_open(&trained->job, trained->job.data.train, "data.train",
                        COLUMNS_LABEL | COLUMNS_TEXTS, &input, err);

    if (rc)
        return rc;
    rc = read_blocks(data, trained, input, columns, others, err);
    if (rc == 0)
        warn_of_bad_rows(input_bad_rows(input));
    input_close(input);
    return rc;
}

static int add_rated(struct recommend_data *data, const struct columns *columns,
                     struct err *err)
{
    const struct rated_examples from = {.key = columns->key,
                                        .label = columns->label,
                                        .examples = columns->n,
                                        .key_columns = 2,
                                        .item_column = 1};

    return history_add(&data->history, &from, err);
}

static int note(struct recommend_data *data, const struct columns *columns,
                const struct columns *others, struct err *err)
{
    int rc = popularity_create(&data->popularity, columns->key + 1, columns->n, 2, err);

    if (rc == 0)
        rc = add_rated(data, columns, err);
    if (rc == 0)
        rc = add_rated(data, others, err);
    if (rc == 0 && data->groups.job)
        rc = groups_finish(&data->groups, err);
    return rc ? rc : history_finish(&data->history, err);
}

int recommend_data_read(struct recommend_data *data, const struct trained *trained,
                        const uint64_t *user, uint32_t users, struct err *err)
{
    struct columns columns = {0}, others = {0};
    int rc;

    memset(data, 0, sizeof *data);
    rc = titles_create(&data->titles, TITLES_BYTES_MAX, err);
    if (rc == 0)
        rc = history_create(&data->history, user, users, err);
    if (rc == 0)
        rc = read_columns(data, trained, &columns, &others, err);
    if (rc == 0 && columns.n == 0)
        rc = err_set(err, ERR_INPUT, "data.train has no examples");
    if (rc == 0)
        rc = note(data, &columns, &others, err);
    free(columns.key);
    free(columns.label);
    free(others.key);
    free(others.label);
    if (rc)
        recommend_data_release(data);
    return rc;
}

uint64_t recommend_user_row(const struct recommend_data *data, uint64_t user)
{
    uint64_t row;

    prepare_key(data->prepare, data->user_place, user, &row);
    return row;
}

void recommend_data_release(struct recommend_data *data)
{
    history_release(&data->history);
    popularity_release(&data->popularity);
    titles_destroy(data->titles);
    groups_release(&data->groups);
    exemplars_release(&data->users);
    exemplars_release(&data->items);
    prepare_destroy(data->prepare);
    memset(data, 0, sizeof *data);
}

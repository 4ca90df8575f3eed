#include "launch/recommend_data.h"

#include <stdlib.h>
#include <string.h>

#include "worker/stream/examples.h"

enum { TITLES_BYTES_MAX = 1 << 30 };

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

static int read_columns(struct recommend_data *data, const struct job *job,
                        uint32_t user_column, uint32_t item_column,
                        struct columns *columns, struct err *err)
{
    struct examples *examples;
    struct example e;
    struct err full;
    int rc = examples_open(job, job->data.train, "data.train",
                           COLUMNS_LABEL | COLUMNS_TEXTS, &examples, err);

    if (rc)
        return rc;
    while ((rc = examples_next(examples, &e, err)) > 0) {
        const char *title = e.title[item_column] ? e.title[item_column]
                                                 : e.key_text[item_column];

        rc = columns_add(columns, e.key[user_column], e.key[item_column], e.label, err);
        if (rc)
            break;
        /* What no longer fits is shown by its key. */
        titles_add(data->titles, e.key[item_column], title, &full);
    }
    examples_close(examples);
    return rc;
}

int recommend_data_read(struct recommend_data *data, const struct job *job,
                        uint32_t user_column, uint32_t item_column,
                        const uint64_t *user, uint32_t users, struct err *err)
{
    struct columns columns = {0};
    struct rated_examples from = {.key_columns = 2, .item_column = 1};
    int rc;

    memset(data, 0, sizeof *data);
    rc = titles_create(&data->titles, TITLES_BYTES_MAX, err);
    if (rc == 0)
        rc = read_columns(data, job, user_column, item_column, &columns, err);
    if (rc == 0 && columns.n == 0)
        rc = err_set(err, ERR_INPUT, "data.train has no examples");
    if (rc == 0)
        rc = popularity_create(&data->popularity, columns.key + 1, columns.n, 2, err);
    if (rc == 0)
        rc = history_create(&data->history, user, users, err);
    from.key = columns.key;
    from.label = columns.label;
    from.examples = columns.n;
    if (rc == 0)
        rc = history_add(&data->history, &from, err);
    if (rc == 0)
        rc = history_finish(&data->history, err);
    free(columns.key);
    free(columns.label);
    if (rc)
        recommend_data_release(data);
    return rc;
}

void recommend_data_release(struct recommend_data *data)
{
    history_release(&data->history);
    popularity_release(&data->popularity);
    titles_destroy(data->titles);
    memset(data, 0, sizeof *data);
}

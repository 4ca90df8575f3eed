/* rowhouse predict: a prediction, or a row's values, for each line of a file. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/output.h"
#include "launch/trained.h"
#include "worker/stream/input.h"

enum { BATCH = 4096 };

struct prediction {
    struct trained *trained;
    const struct table *layer; /* print its rows instead of predictions */
    struct output out;
    int user_place, item_place; /* among the prepared columns */
    uint32_t n;
    uint64_t user[BATCH], item[BATCH];
    uint32_t pos[BATCH];
    float *row[BATCH];
    float *user_rows, *item_rows; /* [BATCH][width] */
    float score[BATCH];
};

/* Looks up rows; an unknown key is a row of zeros, as when training evaluates. */
static void look_up(struct prediction *p, const struct table *table,
                    const uint64_t *key, float *rows)
{
    uint32_t width = table->spec.width;

    table_find(table, key, p->n, p->row);
    for (uint32_t i = 0; i < p->n; i++) {
        if (p->row[i])
            memcpy(rows + (size_t)i * width, p->row[i], width * sizeof(float));
        else
            memset(rows + (size_t)i * width, 0, width * sizeof(float));
    }
}

static int print(struct prediction *p, int digits, float value, char end,
                 struct err *err)
{
    char text[32];
    int n = snprintf(text, sizeof text, "%.*g%c", digits, (double)value, end);

    return output_write(&p->out, text, (size_t)n, err);
}

static int print_layer(struct prediction *p, const float *rows, struct err *err)
{
    uint32_t width = p->layer->spec.width;
    int rc = 0;

    for (uint32_t i = 0; i < p->n; i++)
        for (uint32_t j = 0; rc == 0 && j < width; j++)
            rc = print(p, 9, rows[(size_t)i * width + j], j + 1 < width ? ' ' : '\n',
                       err);
    return rc;
}

static int flush(struct prediction *p, struct err *err)
{
    struct mf_batch batch = {.n = p->n,
                             .user_pos = p->pos,
                             .item_pos = p->pos,
                             .user = p->user_rows,
                             .item = p->item_rows};
    int rc = 0;

    look_up(p, p->trained->user, p->user, p->user_rows);
    look_up(p, p->trained->item, p->item, p->item_rows);
    if (p->layer) {
        rc = print_layer(p, p->layer == p->trained->user ? p->user_rows : p->item_rows,
                         err);
    } else {
        mf_predict(&p->trained->mf, &batch, p->score);
        for (uint32_t i = 0; rc == 0 && i < p->n; i++)
            rc = print(p, 7, p->score[i], '\n', err);
    }
    p->n = 0;
    return rc;
}

/* Adds the examples of a prepared block; those that fill a batch are predicted. */
static int take_block(struct prediction *p, const struct block *block, struct err *err)
{
    const uint64_t *user = block->column[p->user_place].key;
    const uint64_t *item = block->column[p->item_place].key;
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < block->n; i++) {
        p->user[p->n] = user[i];
        p->item[p->n++] = item[i];
        if (p->n == BATCH)
            rc = flush(p, err);
    }
    return rc;
}

static int predict_blocks(struct prediction *p, struct input *input,
                          struct prepare *prepare, struct err *err)
{
    const struct schema *schema = prepare_schema(prepare);
    struct block raw = {0}, ready = {0};
    uint32_t at;
    int rc = block_create(&raw, input_schema(input), BATCH, err);

    p->user_place = schema_find(schema, p->trained->user_name);
    p->item_place = schema_find(schema, p->trained->item_name);
    if (rc == 0)
        rc = block_create(&ready, schema, BATCH, err);
    while (rc == 0 && (rc = input_next(input, &raw, err)) > 0) {
        if (prepare_apply(prepare, &raw, &ready, &at, err))
            rc = err_prefix(err, "%s", input_where(input, raw.place[at]));
        else
            rc = take_block(p, &ready, err);
    }
    if (rc == 0)
        rc = flush(p, err);
    if (raw.schema)
        block_release(&raw);
    if (ready.schema)
        block_release(&ready);
    return rc;
}

static int predict_all(struct prediction *p, const char *data, struct err *err)
{
    struct prepare *prepare = NULL;
    struct input *input;
    int rc;

    /* Whatever the job says: with a row left out, lines would no longer match. */
    p->trained->job.data.bad_rows = BAD_ROWS_FAIL;
    rc = input_open(&p->trained->job, data, "--data", 0, &input, err);
    if (rc)
        return rc;
    rc = trained_prepare(p->trained, input_schema(input), &prepare, err);
    if (rc == 0)
        rc = predict_blocks(p, input, prepare, err);
    prepare_destroy(prepare);
    input_close(input);
    return rc;
}

/* A file appears whole or not at all. */
static int predict_to(struct prediction *p, const struct arguments *arguments,
                      struct err *err)
{
    int rc = output_open(&p->out, arguments->out, err);

    if (rc == 0)
        rc = predict_all(p, arguments->data, err);
    if (rc == 0)
        rc = output_finish(&p->out, err);
    output_release(&p->out);
    return rc;
}

static int choose_layer(struct prediction *p, const char *name, struct err *err)
{
    const struct job *job = &p->trained->job;

    if (!name)
        return 0;
    if (strcmp(name, job->model.user) == 0)
        p->layer = p->trained->user;
    else if (strcmp(name, job->model.item) == 0)
        p->layer = p->trained->item;
    else
        return err_set(err, ERR_INPUT,
                       "--layer %s: this model has the layers %s and %s", name,
                       job->model.user, job->model.item);
    return 0;
}

static int predict(const struct arguments *arguments, struct prediction *p,
                   struct err *err)
{
    int rc;

    if (!arguments->data || !arguments->out)
        return err_set(err, ERR_INPUT, "predict needs --data FILE and --out FILE or -");
    rc = trained_open(arguments, &p->trained, err);
    if (rc == 0)
        rc = choose_layer(p, arguments->layer, err);
    if (rc)
        return rc;
    p->user_rows = malloc((size_t)BATCH * p->trained->mf.width * sizeof(float));
    p->item_rows = malloc((size_t)BATCH * p->trained->mf.width * sizeof(float));
    if (!p->user_rows || !p->item_rows)
        return err_set(err, ERR_MEMORY, "no memory for rows");
    for (uint32_t i = 0; i < BATCH; i++)
        p->pos[i] = i;
    return predict_to(p, arguments, err);
}

int command_predict(const struct arguments *arguments)
{
    struct prediction *p = calloc(1, sizeof *p);
    struct err err;
    int rc;

    if (!p) {
        log_error("no memory");
        return 1;
    }
    signal(SIGPIPE, SIG_IGN);
    rc = predict(arguments, p, &err);
    if (rc)
        log_error("%s", err.text);
    free(p->user_rows);
    free(p->item_rows);
    trained_close(p->trained);
    free(p);
    return rc ? err_exit_status(err.code) : 0;
}

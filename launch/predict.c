/* rowhouse predict: a prediction, or a layer's values, for each line of a file. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include "common/log.h"
#include "common/output.h"
#include "launch/groups.h"
#include "launch/scoring.h"
#include "worker/stream/input.h"

enum { BLOCK_EXAMPLES = 4096 };

struct prediction {
    struct trained *trained;
    const char *layer; /* its values instead of predictions; NULL = none */
    struct output out;
    struct scoring *scoring;
};

/* A line of numbers. */
static int print(struct prediction *p, const float *value, uint32_t n, struct err *err)
{
    int digits = p->layer ? 9 : 7, rc = 0;
    char text[32];

    for (uint32_t i = 0; rc == 0 && i < n; i++) {
        int length = snprintf(text, sizeof text, "%.*g%c", digits, (double)value[i],
                              i + 1 < n ? ' ' : '\n');

        rc = output_write(&p->out, text, (size_t)length, err);
    }
    return rc;
}

static int predict_block(struct prediction *p, const struct block *block,
                         struct err *err)
{
    uint32_t width = scoring_width(p->scoring), most = scoring_capacity(p->scoring);
    int rc = 0;

    for (uint32_t first = 0; rc == 0 && first < block->n; first += most) {
        uint32_t n = block->n - first < most ? block->n - first : most;
        float *value = scoring_run(p->scoring, block, first, n);

        if (!p->layer)
            scoring_predict(p->scoring, value, n);
        for (uint32_t i = 0; rc == 0 && i < n; i++)
            rc = print(p, value + (size_t)i * width, width, err);
    }
    return rc;
}

static int create_scoring(struct prediction *p, const struct schema *schema,
                          struct err *err)
{
    int rc = scoring_create(p->trained, p->layer, schema, &p->scoring, err);

    return rc && p->layer ? err_prefix(err, "--layer %s", p->layer) : rc;
}

static int predict_blocks(struct prediction *p, struct input *input,
                          struct prepare *prepare, struct err *err)
{
    struct block raw = {0}, ready = {0};
    uint32_t at;
    int rc = create_scoring(p, prepare_schema(prepare), err);

    if (rc == 0)
        rc = block_create(&raw, input_schema(input), BLOCK_EXAMPLES, err);
    if (rc == 0)
        rc = block_create(&ready, prepare_schema(prepare), BLOCK_EXAMPLES, err);
    while (rc == 0 && (rc = input_next(input, &raw, err)) > 0) {
        if (prepare_apply(prepare, &raw, &ready, &at, err))
            rc = err_prefix(err, "%s", input_where(input, raw.place[at]));
        else
            rc = predict_block(p, &ready, err);
    }
    if (raw.schema)
        block_release(&raw);
    if (ready.schema)
        block_release(&ready);
    scoring_destroy(p->scoring);
    return rc;
}

/* What --data have of each group is its list. */
static int read_groups(struct prediction *p, struct input *input,
                       struct prepare *prepare, struct groups *groups, struct err *err)
{
    struct block raw = {0}, ready = {0};
    int rc = block_create(&raw, input_schema(input), BLOCK_EXAMPLES, err);
    uint32_t at;

    if (rc == 0)
        rc = block_create(&ready, prepare_schema(prepare), BLOCK_EXAMPLES, err);
    if (rc == 0)
        rc = groups_init(groups, &p->trained->job, prepare_schema(prepare), err);
    while (rc == 0 && (rc = input_next(input, &raw, err)) > 0) {
        rc = prepare_apply(prepare, &raw, &ready, &at, err);
        for (at = 0; rc == 0 && at < ready.n; at++)
            rc = groups_add(groups, &ready, at, err);
        if (rc)
            rc = err_prefix(err, "%s", input_where(input, raw.place[at ? at - 1 : 0]));
    }
    if (raw.schema)
        block_release(&raw);
    if (ready.schema)
        block_release(&ready);
    return rc ? rc : groups_finish(groups, err);
}

static int predict_groups(struct prediction *p, struct input *input,
                          struct prepare *prepare, struct err *err)
{
    struct groups groups = {0};
    const struct part *part = &groups.dataset.train;
    int rc = read_groups(p, input, prepare, &groups, err);

    if (rc == 0)
        rc = create_scoring(p, groups.dataset.schema, err);
    for (uint32_t b = 0; rc == 0 && b < part->blocks; b++)
        rc = predict_block(p, &part->block[b], err);
    scoring_destroy(p->scoring);
    p->scoring = NULL;
    groups_release(&groups);
    return rc;
}

static int predict_all(struct prediction *p, const char *data, struct err *err)
{
    bool groups = p->trained->job.data.group[0] != '\0';
    struct prepare *prepare = NULL;
    struct input *input;
    int rc;

    /* Whatever the job says: with a row left out, lines would no longer match. */
    p->trained->job.data.bad_rows = BAD_ROWS_FAIL;
    rc = input_open(&p->trained->job, data, "--data", groups ? COLUMNS_LABEL : 0,
                    &input, err);
    if (rc)
        return rc;
    rc = trained_prepare(p->trained, input_schema(input), &prepare, err);
    if (rc == 0)
        rc = groups ? predict_groups(p, input, prepare, err)
                    : predict_blocks(p, input, prepare, err);
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

static int predict(const struct arguments *arguments, struct prediction *p,
                   struct err *err)
{
    int rc;

    if (!arguments->data || !arguments->out)
        return err_set(err, ERR_INPUT, "predict needs --data FILE and --out FILE or -");
    rc = trained_open(arguments, &p->trained, err);
    if (rc)
        return rc;
    p->layer = arguments->layer;
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
    trained_close(p->trained);
    free(p);
    return rc ? err_exit_status(err.code) : 0;
}

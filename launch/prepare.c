/* rowhouse prepare: what a model would see, for each example. */
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/output.h"
#include "launch/command.h"
#include "launch/warn.h"
#include "server/checkpoint.h"
#include "server/preparation.h"
#include "worker/stream/data.h"
#include "worker/stream/gather.h"

enum { BLOCK_EXAMPLES = 2048 };

struct preparing {
    struct job job;
    struct manifest manifest;
    unsigned char *saved; /* [saved_size]; owned. NULL: it is yet to be fitted */
    size_t saved_size;
    struct prepare *prepare;
    struct output out;
    bool opened, json;
};

/* --- one value ------------------------------------------------------------------- */

static int put(struct preparing *p, struct err *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static int put(struct preparing *p, struct err *err, const char *format, ...)
{
    char text[128];
    va_list arguments;
    int n;

    va_start(arguments, format);
    n = vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return output_write(&p->out, text, (size_t)n, err);
}

static int put_number(struct preparing *p, float number, struct err *err)
{
    if (!isfinite(number))
        return put(p, err, "%s", p->json ? "null" : "");
    return put(p, err, "%.9g", (double)number);
}

/* Keys pass what JSON's numbers hold exactly. */
static int put_key(struct preparing *p, uint64_t key, struct err *err)
{
    return put(p, err, p->json ? "\"%" PRIu64 "\"" : "%" PRIu64, key);
}

static int put_text_json(struct preparing *p, const char *text, uint32_t length,
                         struct err *err)
{
    json_t *json = json_stringn(text, length);
    char *dump = json ? json_dumps(json, JSON_ENCODE_ANY) : NULL;
    int rc = dump ? output_write(&p->out, dump, strlen(dump), err)
                  : put(p, err, "null"); /* no UTF-8 */

    json_decref(json);
    free(dump);
    return rc;
}

/* Quoted as in RFC 4180 where it must be. */
static int put_text(struct preparing *p, const char *text, uint32_t length,
                    struct err *err)
{
    bool quote = false;
    int rc = 0;

    if (p->json)
        return put_text_json(p, text, length, err);
    for (uint32_t i = 0; i < length; i++)
        quote |= strchr(",\"\r\n", text[i]) != NULL;
    if (!quote)
        return output_write(&p->out, text, length, err);
    rc = put(p, err, "\"");
    for (uint32_t i = 0; rc == 0 && i < length; i++)
        rc = output_write(&p->out, text[i] == '"' ? "\"\"" : text + i,
                          text[i] == '"' ? 2 : 1, err);
    return rc ? rc : put(p, err, "\"");
}

/* JSON: [["key", weight], ...]; CSV: key:weight|key:weight */
static int put_keys(struct preparing *p, const struct values *values, uint32_t i,
                    struct err *err)
{
    int rc = put(p, err, "%s", p->json ? "[" : "");

    for (uint32_t k = values->offset[i]; rc == 0 && k < values->offset[i + 1]; k++) {
        const char *link = k == values->offset[i] ? "" : p->json ? ", " : "|";

        rc = put(p, err, "%s%s", link, p->json ? "[" : "");
        if (rc == 0)
            rc = put_key(p, values->key[k], err);
        if (rc == 0)
            rc = put(p, err, "%s%.9g%s", p->json ? ", " : ":",
                     (double)values->number[k], p->json ? "]" : "");
    }
    return rc ? rc : put(p, err, "%s", p->json ? "]" : "");
}

static int put_vector(struct preparing *p, const float *number, uint32_t dim,
                      struct err *err)
{
    int rc = put(p, err, "%s", p->json ? "[" : "");

    for (uint32_t k = 0; rc == 0 && k < dim; k++) {
        rc = put(p, err, "%s", k == 0 ? "" : p->json ? ", " : "|");
        if (rc == 0)
            rc = put_number(p, number[k], err);
    }
    return rc ? rc : put(p, err, "%s", p->json ? "]" : "");
}

static int put_value(struct preparing *p, const struct block *block, uint32_t c,
                     uint32_t i, struct err *err)
{
    const struct schema_column *column = &block->schema->column[c];
    const struct values *values = &block->column[c];
    uint32_t begin;

    switch (column->kind) {
    case VALUE_KEY:
        return put_key(p, values->key[i], err);
    case VALUE_KEYS:
        return put_keys(p, values, i, err);
    case VALUE_VECTOR:
        return put_vector(p, values->number + (size_t)i * column->dim, column->dim,
                          err);
    case VALUE_TEXT:
        begin = values->offset[i];
        return put_text(p, values->text ? values->text + begin : "",
                        values->offset[i + 1] - begin, err);
    case VALUE_TIME:
        if (values->time[i] == TIME_MISSING)
            return put(p, err, "%s", p->json ? "null" : "");
        return put(p, err, "%.6f", (double)values->time[i] / 1e6);
    default:
        return put_number(p, values->number[i], err);
    }
}

/* --- all of them ----------------------------------------------------------------- */

/* A title is no value. */
static bool is_shown(const struct schema_column *column)
{
    return !column->unread;
}

static int put_header(struct preparing *p, struct err *err)
{
    const struct schema *schema = prepare_schema(p->prepare);
    const char *link = "";
    int rc = 0;

    for (uint32_t c = 0; rc == 0 && !p->json && c < schema->columns; c++) {
        const char *name = schema->column[c].name;

        if (!is_shown(&schema->column[c]))
            continue;
        rc = put(p, err, "%s", link);
        if (rc == 0)
            rc = put_text(p, name, (uint32_t)strlen(name), err);
        link = ",";
    }
    return rc || p->json ? rc : put(p, err, "\n");
}

static int put_example(struct preparing *p, const struct block *block, uint32_t i,
                       struct err *err)
{
    const struct schema *schema = block->schema;
    const char *link = "";
    int rc = put(p, err, "%s", p->json ? "{" : "");

    for (uint32_t c = 0; rc == 0 && c < schema->columns; c++) {
        const char *name = schema->column[c].name;

        if (!is_shown(&schema->column[c]))
            continue;
        rc = put(p, err, "%s", link);
        if (rc == 0 && p->json)
            rc = put_text_json(p, name, (uint32_t)strlen(name), err);
        if (rc == 0)
            rc = put(p, err, "%s", p->json ? ": " : "");
        if (rc == 0)
            rc = put_value(p, block, c, i, err);
        link = p->json ? ", " : ",";
    }
    return rc ? rc : put(p, err, "%s\n", p->json ? "}" : "");
}

static int put_block(struct preparing *p, const struct block *ready, struct err *err)
{
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < ready->n; i++)
        rc = put_example(p, ready, i, err);
    return rc;
}

/* --- where it comes from --------------------------------------------------------- */

static int load_saved(struct preparing *p, const char *checkpoint, struct err *err)
{
    char path[CHECKPOINT_PATH_MAX];

    if (checkpoint_find(checkpoint, path, sizeof path, err) ||
        manifest_read(path, &p->manifest, err))
        return -err->code;
    if (p->manifest.data.preparation_bytes == 0)
        return err_set(err, ERR_INPUT, "%s has no preparation: its job had none", path);
    p->saved_size = p->manifest.data.preparation_bytes;
    return preparation_read(path, &p->manifest.data, &p->saved, err);
}

/* Fits on the training part and shows all of data.train. */
static int prepare_gathered(struct preparing *p, struct err *err)
{
    struct gathered *gathered = calloc(1, sizeof *gathered);
    struct block ready = {0};
    int rc;

    if (!gathered)
        return err_set(err, ERR_MEMORY, "no memory to read the examples");
    rc = gather(gathered, &p->job, COLUMNS_LABEL, NULL, err);
    if (rc == 0)
        rc = prepare_create(&p->job, &gathered->schema, &p->prepare, err);
    if (rc == 0)
        rc = gathered_fit(gathered, p->prepare, err);
    if (rc == 0)
        rc = put_header(p, err);
    if (rc == 0)
        rc = block_create(&ready, prepare_schema(p->prepare), GATHER_EXAMPLES, err);
    for (uint32_t b = 0; rc == 0 && b < gathered->blocks; b++)
        if (!(rc = gathered_apply(gathered, &p->job, b, p->prepare, &ready, err)))
            rc = put_block(p, &ready, err);
    if (rc == 0)
        warn_of_bad_rows(&gathered->bad_rows);
    if (ready.schema)
        block_release(&ready);
    gathered_release(gathered);
    free(gathered);
    return rc;
}

/* Fits on the training part, for other files. */
static int fit_first(struct preparing *p, struct err *err)
{
    struct gathered *gathered = calloc(1, sizeof *gathered);
    struct prepare *prepare = NULL;
    int rc;

    if (!gathered)
        return err_set(err, ERR_MEMORY, "no memory to read the examples");
    rc = gather(gathered, &p->job, COLUMNS_LABEL, NULL, err);
    if (rc == 0)
        rc = prepare_create(&p->job, &gathered->schema, &prepare, err);
    if (rc == 0)
        rc = gathered_fit(gathered, prepare, err);
    if (rc == 0)
        rc = prepare_save(prepare, &p->saved, &p->saved_size, err);
    if (rc == 0)
        warn_of_bad_rows(&gathered->bad_rows);
    prepare_destroy(prepare);
    gathered_release(gathered);
    free(gathered);
    return rc;
}

/* The preparation for other files. */
static int get_ready(struct preparing *p, const struct schema *raw, struct err *err)
{
    int rc = p->saved ? 0 : fit_first(p, err);

    if (rc == 0)
        rc = prepare_create(&p->job, raw, &p->prepare, err);
    return rc ? rc : prepare_load(p->prepare, p->saved, p->saved_size, err);
}

static int prepare_files(struct preparing *p, const char *files, const char *why,
                         struct err *err)
{
    struct block raw = {0}, ready = {0};
    struct input *input;
    uint32_t at;
    int rc = input_open(&p->job, files, why, 0, &input, err);

    if (rc)
        return rc;
    rc = get_ready(p, input_schema(input), err);
    if (rc == 0)
        rc = put_header(p, err);
    if (rc == 0)
        rc = block_create(&raw, input_schema(input), BLOCK_EXAMPLES, err);
    if (rc == 0)
        rc = block_create(&ready, prepare_schema(p->prepare), BLOCK_EXAMPLES, err);
    while (rc == 0 && (rc = input_next(input, &raw, err)) > 0) {
        if (prepare_apply(p->prepare, &raw, &ready, &at, err))
            rc = err_prefix(err, "%s", input_where(input, raw.place[at]));
        else
            rc = put_block(p, &ready, err);
    }
    if (raw.schema)
        block_release(&raw);
    if (ready.schema)
        block_release(&ready);
    if (rc == 0)
        warn_of_bad_rows(input_bad_rows(input));
    input_close(input);
    return rc;
}

static int run(const struct arguments *arguments, struct preparing *p, struct err *err)
{
    const char *files = arguments->data;
    int rc;

    if (!arguments->out)
        return err_set(err, ERR_INPUT, "prepare needs --out FILE or -");
    p->json = arguments->json;
    rc = job_load(&p->job, arguments->operand, (char *const *)arguments->override,
                  arguments->overrides, err);
    if (rc == 0 && arguments->checkpoint)
        rc = load_saved(p, arguments->checkpoint, err);
    else if (rc == 0)
        rc = data_parts_apart(&p->job, err); /* it fits to the training part */
    if (rc)
        return rc;
    p->opened = true;
    rc = output_open(&p->out, arguments->out, err);
    if (rc == 0 && !files && !p->saved)
        rc = prepare_gathered(p, err);
    else if (rc == 0)
        rc = prepare_files(p, files ? files : p->job.data.train,
                           files ? "--data" : "data.train", err);
    return rc ? rc : output_finish(&p->out, err);
}

int command_prepare(const struct arguments *arguments)
{
    struct preparing *p = calloc(1, sizeof *p);
    struct err err;
    int rc;

    if (!p) {
        log_error("no memory");
        return 1;
    }
    signal(SIGPIPE, SIG_IGN);
    rc = run(arguments, p, &err);
    if (rc)
        log_error("%s", err.text);
    if (p->opened)
        output_release(&p->out);
    prepare_destroy(p->prepare);
    free(p->saved);
    manifest_release(&p->manifest);
    free(p);
    return rc ? err_exit_status(err.code) : 0;
}

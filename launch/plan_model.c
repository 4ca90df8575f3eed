/* rowhouse plan: what a job's model is and costs, without looking at data. */
#include <jansson.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/wording.h"
#include "launch/command.h"
#include "launch/jobfile.h"
#include "server/core.h"
#include "worker/blueprint.h"

/* What pushes have beside a row's gradient. */
enum { KEY_BYTES = 8, WEIGHT_BYTES = 4 };

struct table_plan {
    const char *use; /* "keys", "parameters" or "unused" */
    uint64_t rows;   /* as far as they are known; 0: as keys come */
    uint32_t width;
    uint32_t bytes;      /* a row with optimizer state, key and index */
    uint64_t here;       /* bytes on a server; 0: as keys come */
    uint64_t batch_rows; /* of a batch, at most */
};

struct plan_model {
    const struct job *job;
    struct blueprint *blueprint;
    struct graph *graph; /* NULL: mf */
    struct table_plan table[JOB_TABLES_MAX];
    uint64_t parameters; /* numbers of dense tables */
    uint64_t here;       /* bytes on a server, as far as rows are known */
    uint64_t pulled, pushed, multiply_adds;
};

/* --- the numbers -------------------------------------------------------------------
 */

static void plan_table(struct plan_model *plan, int t)
{
    const struct blueprint *blueprint = plan->blueprint;
    const struct job_table *table = &plan->job->table[t];
    struct table_plan *to = &plan->table[t];
    uint64_t servers = (uint64_t)plan->job->cluster.servers;
    struct table_spec spec;

    core_table_spec(plan->job, (uint32_t)t, &spec);
    to->use = blueprint->whole[t]  ? "parameters"
              : blueprint->keys[t] ? "keys"
                                   : "unused";
    to->rows = spec.rows ? spec.rows : spec.rows_max;
    to->width = spec.width;
    to->bytes = table_row_bytes(&spec) + (spec.rows ? 0 : TABLE_INDEX_BYTES);
    to->here = (to->rows + servers - 1) / servers * to->bytes;
    to->batch_rows = blueprint_rows(blueprint, t, blueprint_capacity(blueprint));
    if (to->rows && to->batch_rows > to->rows)
        to->batch_rows = to->rows;
    plan->here += to->here;
    if (table->rows && blueprint->whole[t])
        plan->parameters += to->rows * to->width;
    plan->pulled += to->batch_rows * (to->width * sizeof(float) + KEY_BYTES);
    plan->pushed += to->batch_rows *
                    (to->width * sizeof(float) + KEY_BYTES + WEIGHT_BYTES);
}

static int make_plan(struct plan_model *plan, struct err *err)
{
    const struct job *job = plan->job;
    int rc = blueprint_make(job, &plan->blueprint, err);

    if (rc)
        return rc;
    for (int t = 0; t < job->tables; t++)
        plan_table(plan, t);
    if (job->model.kind == MODEL_MF) {
        plan->multiply_adds = plan->blueprint->input[0].width;
        return 0;
    }
    rc = blueprint_graph(plan->blueprint, 1, true, &plan->graph, err);
    for (uint32_t i = 0; rc == 0 && i < graph_layers(plan->graph); i++)
        plan->multiply_adds += graph_info(plan->graph, i).multiply_adds;
    return rc;
}

static void release_plan(struct plan_model *plan)
{
    graph_destroy(plan->graph);
    blueprint_destroy(plan->blueprint);
}

/* The job's layer of that name; NULL: one that the model adds. */
static const struct job_layer *layer_of(const struct job *job, const char *name)
{
    for (int i = 0; i < job->model.layers; i++)
        if (!strcmp(job->model.layer[i].name, name))
            return &job->model.layer[i];
    return NULL;
}

/* What a layer takes, with `between` between them: columns and, of inputs without any,
 * the layer before it. */
static void sources_of(const struct job *job, const struct graph_info *info, char *text,
                       size_t size)
{
    const struct job_layer *layer = layer_of(job, info->name);
    const char *list = layer ? layer->inputs : job->model.output;

    if (layer && layer->columns[0])
        list = layer->columns;
    else if (layer && !list[0])
        list = (layer - 1)->name;
    snprintf(text, size, "%s", list);
}

/* --- as text -----------------------------------------------------------------------
 */

static void print_layers(const struct plan_model *plan, FILE *out)
{
    char text[JOB_LIST_MAX], shape[32], weights[32], work[32];

    fprintf(out, "%-24s %-11s %12s %12s %14s  of\n", "layer", "kind", "shape",
            "parameters", "multiply-adds");
    for (uint32_t i = 0; i < graph_layers(plan->graph); i++) {
        struct graph_info info = graph_info(plan->graph, i);

        sources_of(plan->job, &info, text, sizeof text);
        for (char *s = text; *s; s++)
            if (*s == '\n')
                *s = ' ';
        snprintf(shape, sizeof shape, "[%u][%u]", info.steps, info.width);
        fprintf(out, "%-24s %-11s %12s %12s %14s  %s\n", info.name,
                layer_kind_name(info.kind), shape,
                wording_grouped((double)info.weights, weights),
                wording_grouped((double)info.multiply_adds, work), text);
    }
    fputc('\n', out);
}

static void print_tables(const struct plan_model *plan, FILE *out)
{
    char rows[32], here[32], bytes[32];

    fprintf(out, "%-24s %-11s %12s %12s %14s  %s\n", "table", "of", "rows", "numbers",
            "bytes a row", "bytes a server");
    for (int t = 0; t < plan->job->tables; t++) {
        const struct table_plan *table = &plan->table[t];
        bool known = table->rows > 0;

        fprintf(out, "%-24s %-11s %12s %12u %14s  %s\n", plan->job->table[t].name,
                table->use,
                known ? wording_grouped((double)table->rows, rows) : "as they come",
                table->width, wording_grouped(table->bytes, bytes),
                known ? wording_grouped((double)table->here, here) : "-");
    }
    fputc('\n', out);
}

static void print_totals(const struct plan_model *plan, FILE *out)
{
    char text[4][32];

    fprintf(out,
            "%s parameters beside the rows of keys\n"
            "%s bytes on each server (%lld), and the rows that come\n",
            wording_grouped((double)plan->parameters, text[0]),
            wording_grouped((double)plan->here, text[1]),
            (long long)plan->job->cluster.servers);
    fprintf(out,
            "a batch of %s examples pulls at most %s bytes and pushes at most %s\n",
            wording_grouped(blueprint_capacity(plan->blueprint), text[0]),
            wording_grouped((double)plan->pulled, text[1]),
            wording_grouped((double)plan->pushed, text[2]));
    fprintf(out,
            "an example takes %s multiply-adds to score, about three times as many "
            "in training\n",
            wording_grouped((double)plan->multiply_adds, text[3]));
}

/* --- as JSON -----------------------------------------------------------------------
 */

static json_t *names_of(const char *list)
{
    json_t *names = json_array();
    char name[2 * JOB_NAME_MAX];

    while (job_list_next(&list, name, sizeof name))
        json_array_append_new(names, json_string(name));
    return names;
}

static json_t *layers_of(const struct plan_model *plan)
{
    json_t *all = json_array();
    char text[JOB_LIST_MAX];

    for (uint32_t i = 0; plan->graph && i < graph_layers(plan->graph); i++) {
        struct graph_info info = graph_info(plan->graph, i);

        sources_of(plan->job, &info, text, sizeof text);
        json_array_append_new(
            all, json_pack("{s:s, s:s, s:o, s:[I, I], s:I, s:I}", "name", info.name,
                           "kind", layer_kind_name(info.kind), "of", names_of(text),
                           "shape", (json_int_t)info.steps, (json_int_t)info.width,
                           "parameters", (json_int_t)info.weights, "multiply_adds",
                           (json_int_t)info.multiply_adds));
    }
    return all;
}

static json_t *tables_of(const struct plan_model *plan)
{
    json_t *all = json_object();

    for (int t = 0; t < plan->job->tables; t++) {
        const struct table_plan *table = &plan->table[t];
        json_t *one = json_pack("{s:s, s:I, s:I, s:I}", "of", table->use, "numbers",
                                (json_int_t)table->width, "bytes_per_row",
                                (json_int_t)table->bytes, "rows_per_batch",
                                (json_int_t)table->batch_rows);

        json_object_set_new(one, "rows",
                            table->rows ? json_integer((json_int_t)table->rows)
                                        : json_null());
        json_object_set_new(one, "bytes_per_server",
                            table->rows ? json_integer((json_int_t)table->here)
                                        : json_null());
        json_object_set_new(all, plan->job->table[t].name, one);
    }
    return all;
}

static int print_json(const struct plan_model *plan, FILE *out, struct err *err)
{
    const struct blueprint *blueprint = plan->blueprint;
    json_t *root = json_pack(
        "{s:s, s:o, s:o, s:I, s:I, s:I, s:I, s:I, s:I, s:I}", "job", plan->job->name,
        "layers", layers_of(plan), "tables", tables_of(plan), "parameters",
        (json_int_t)plan->parameters, "servers", (json_int_t)plan->job->cluster.servers,
        "bytes_per_server", (json_int_t)plan->here, "examples_per_batch",
        (json_int_t)blueprint_capacity(blueprint), "bytes_pulled_per_batch",
        (json_int_t)plan->pulled, "bytes_pushed_per_batch", (json_int_t)plan->pushed,
        "multiply_adds_per_example", (json_int_t)plan->multiply_adds);

    if (!root)
        return err_set(err, ERR_MEMORY, "no memory for a plan");
    json_dumpf(root, out, JSON_COMPACT);
    fputc('\n', out);
    json_decref(root);
    return 0;
}

static int print_plan(const struct plan_model *plan, bool as_json, struct err *err)
{
    if (as_json)
        return print_json(plan, stdout, err);
    if (plan->graph)
        print_layers(plan, stdout);
    print_tables(plan, stdout);
    print_totals(plan, stdout);
    return 0;
}

static int plan_job(const struct arguments *arguments, struct job *job, struct err *err)
{
    struct plan_model plan = {.job = job};
    int rc = jobfile_load(arguments, job, err);

    if (rc == 0)
        rc = make_plan(&plan, err);
    if (rc == 0)
        rc = print_plan(&plan, arguments->json, err);
    release_plan(&plan);
    return rc;
}

int command_plan(const struct arguments *arguments)
{
    struct job *job = malloc(sizeof *job);
    struct err err;
    int rc;

    if (!job) {
        log_error("no memory for a job");
        return 1;
    }
    rc = plan_job(arguments, job, &err);
    if (rc)
        log_error("%s", err.text);
    free(job);
    return rc ? err_exit_status(err.code) : 0;
}

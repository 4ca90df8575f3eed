#include "launch/report.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/cpu.h"
#include "common/file.h"
#include "common/metrics.h"
#include "server/core.h"

/* JSON has no word for what is no number, nor for bytes that are no UTF-8. */
static json_t *number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

static json_t *word(const char *bytes)
{
    json_t *json = json_string(bytes);

    return json ? json : json_null();
}

/* Of the validation part, if it was evaluated then. */
static json_t *epoch_metrics(const struct job *job, const struct epoch_record *record)
{
    const char *cursor = job->evaluate.metrics;
    json_t *all = json_object();
    char name[JOB_NAME_MAX];

    for (uint32_t i = 0;
         i < record->values && job_list_next(&cursor, name, sizeof name); i++)
        json_object_set_new(all, name, number(record->value[i]));
    return all;
}

static json_t *epochs(const struct job *job, const struct coordinator_state *state)
{
    json_t *list = json_array();

    for (uint32_t i = 0; i < state->records; i++) {
        const struct epoch_record *e = &state->record[i];
        double n = e->examples ? (double)e->examples : 1;

        json_array_append_new(
            list,
            json_pack("{s:I, s:I, s:f, s:f, s:o, s:o}", "epoch", (json_int_t)e->epoch,
                      "examples", (json_int_t)e->examples, "seconds", e->seconds,
                      "examples_per_second",
                      e->seconds > 0 ? (double)e->examples / e->seconds : 0.0, "loss",
                      number(e->loss_sum / n), "metrics", epoch_metrics(job, e)));
    }
    return list;
}

static json_t *tables(const struct job *job, const struct run_view *view)
{
    json_t *all = json_object();

    for (int t = 0; t < job->tables; t++)
        json_object_set_new(all, job->table[t].name,
                            json_pack("{s:I, s:I, s:I, s:I, s:I}", "rows",
                                      (json_int_t)view->table[t].rows, "dim",
                                      (json_int_t)job->table[t].dim, "bytes",
                                      (json_int_t)view->table[t].bytes, "rows_refused",
                                      (json_int_t)view->table[t].rows_refused,
                                      "reads_refused",
                                      (json_int_t)view->table[t].reads_refused));
    return all;
}

static json_t *times(const struct run_view *view)
{
    json_t *list = json_array();

    for (uint32_t w = 0; w < view->workers; w++)
        json_array_append_new(
            list, json_pack("{s:I, s:o, s:o, s:o}", "examples",
                            (json_int_t)view->times[w].examples, "training_seconds",
                            number(view->times[w].training), "wait_seconds",
                            number(view->times[w].wait), "parked_seconds",
                            number(view->times[w].parked)));
    return list;
}

static json_t *staleness(const struct job *job, const struct run_view *view)
{
    json_t *all = json_object();

    for (int t = 0; t < job->tables; t++) {
        const uint64_t *count = view->table[t].staleness;
        json_t *histogram = json_array();
        int max = 0;

        for (int b = 0; b < STALENESS_BUCKETS; b++)
            if (count[b])
                max = b;
        for (int b = 0; b <= max; b++)
            json_array_append_new(histogram, json_integer((json_int_t)count[b]));
        json_object_set_new(
            all, job->table[t].name,
            json_pack("{s:i, s:o}", "max", max, "histogram", histogram));
    }
    return all;
}

/* Empty without train.cache. */
static json_t *cache(const struct job *job, const struct run_view *view)
{
    json_t *all = json_object();

    for (int t = 0; t < job->tables && job->train.cache > 0; t++) {
        const struct table_facts *facts = &view->table[t];
        double reads = facts->cache_reads ? (double)facts->cache_reads : 1;

        json_object_set_new(all, job->table[t].name,
                            json_pack("{s:I, s:I, s:f, s:I, s:I}", "reads",
                                      (json_int_t)facts->cache_reads, "hits",
                                      (json_int_t)facts->cache_hits, "hit_rate",
                                      (double)facts->cache_hits / reads, "rows",
                                      (json_int_t)view->cache_rows[t], "bytes",
                                      (json_int_t)view->cache_bytes[t]));
    }
    return all;
}

/* What evaluate.part is called. */
static const char *part_name(const struct job *job)
{
    return job->evaluate.part == PART_VALIDATION ? "validation" : "test";
}

static json_t *part_metrics(const struct job *job,
                            const struct coordinator_state *state)
{
    const char *cursor = job->evaluate.metrics;
    json_t *all = json_object();
    char name[JOB_NAME_MAX];

    if (!state->evaluated)
        return all;
    if (metrics_has(cursor, "auc") && state->metric[SUM_AUC_ERROR] > 0)
        json_object_set_new(all, "auc_error", number(state->metric[SUM_AUC_ERROR]));
    while (job_list_next(&cursor, name, sizeof name))
        json_object_set_new(
            all, name,
            number(metrics_value(job->evaluate.metrics, name, state->metric)));
    return all;
}

/* Which epoch early stopping has chosen, and the checkpoint that holds it. */
static json_t *best(const struct job *job, const struct coordinator_state *state)
{
    if (job->train.patience == 0 || state->best.checkpoint == 0)
        return json_null();
    return json_pack("{s:I, s:I}", "epoch", (json_int_t)state->best.epoch, "checkpoint",
                     (json_int_t)state->best.checkpoint);
}

/* Every float that the servers hold as weights. */
static uint64_t parameters(const struct job *job, const struct run_view *view)
{
    uint64_t sum = 0;

    for (int t = 0; t < job->tables; t++) {
        struct table_spec spec;

        core_table_spec(job, (uint32_t)t, &spec);
        sum += view->table[t].rows * spec.width;
    }
    return sum;
}

/* Whole or not at all; but a link such as /dev/stdout stays, and is written through. */
static int write_out(const char *path, const char *text, struct err *err)
{
    struct stat info;
    FILE *out;
    int rc = 0;

    if (lstat(path, &info) || !S_ISLNK(info.st_mode))
        return file_write_atomic(path, text, strlen(text), err);
    out = fopen(path, "w");
    if (!out)
        return err_system(err, "cannot write '%s'", path);
    if (fputs(text, out) == EOF)
        rc = err_system(err, "cannot write '%s'", path);
    if (fclose(out) && rc == 0)
        rc = err_system(err, "cannot write '%s'", path);
    return rc;
}

int report_write(const struct run_request *request, const struct roster *roster,
                 const struct coordinator_state *state, const struct run_view *view,
                 double seconds, double cpu_seconds, struct err *err)
{
    static const char *const consistency[] = {[CONSISTENCY_ASYNC] = "async",
                                              [CONSISTENCY_SSP] = "ssp",
                                              [CONSISTENCY_BSP] = "bsp"};
    const struct job *job = &request->job;
    json_t *all = json_pack(
        "{s:s, s:s, s:I, s:I, s:s, s:I, s:s, s:I, s:o, s:o, s:o}", "version",
        ROWHOUSE_VERSION, "job", job->name, "servers", (json_int_t)roster->servers,
        "workers", (json_int_t)roster->workers, "consistency",
        consistency[job->train.consistency], "seed", (json_int_t)job->train.seed,
        "kernels", cpu_level_name(cpu_level()), "parameters",
        (json_int_t)parameters(job, view), "tables", tables(job, view), "epochs",
        epochs(job, state), part_name(job), part_metrics(job, state));
    json_t *rest = json_pack(
        "{s:f, s:f, s:I, s:{s:I, s:I}, s:{s:I, s:I, s:I, s:I, s:I}, s:o, s:o, s:o, "
        "s:I, "
        "s:{s:o, s:I, s:f}, s:o}",
        "seconds", seconds, "cpu_seconds", cpu_seconds, "bad_rows",
        (json_int_t)state->data.bad_rows + (json_int_t)state->bad_rows, "bytes",
        "pulled", (json_int_t)view->bytes_pulled, "pushed",
        (json_int_t)view->bytes_pushed, "pushes", "sent", (json_int_t)view->pushes_sent,
        "applied", (json_int_t)view->pushes_applied, "duplicates_dropped",
        (json_int_t)view->pushes_duplicate, "resent", (json_int_t)view->pushes_resent,
        "uncompensated", (json_int_t)view->pushes_uncompensated, "staleness",
        staleness(job, view), "cache", cache(job, view), "waiting", times(view),
        "restarts", (json_int_t)state->restarts, "checkpoint", "dir",
        word(job->checkpoint.dir), "bytes", (json_int_t)state->checkpoint_bytes,
        "seconds", state->checkpoint_seconds, "best", best(job, state));
    char *dump = NULL;
    int rc;

    if (all && rest && json_object_update(all, rest) == 0)
        dump = json_dumps(all, JSON_INDENT(2) | JSON_REAL_PRECISION(9));
    if (dump)
        rc = write_out(request->report, dump, err);
    else
        rc = err_set(err, ERR_MEMORY, "no memory for the report %s", request->report);
    free(dump);
    json_decref(rest);
    json_decref(all);
    return rc;
}

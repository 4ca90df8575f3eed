#include "server/restore.h"

#include <stdlib.h>
#include <string.h>

#include "server/vectors.h"

static int table_fits(const struct job *job, uint32_t index,
                      const struct shard_table *table, struct err *err)
{
    struct table_spec spec;

    if (index >= (uint32_t)job->tables ||
        strcmp(table->name, job->table[index].name) != 0)
        return err_set(err, ERR_INPUT,
                       "the checkpoint has table %s where the job has %s", table->name,
                       index < (uint32_t)job->tables ? job->table[index].name : "none");
    core_table_spec(job, index, &spec);
    if (table->width != spec.width || table->state_width != spec.state_width)
        return err_set(
            err, ERR_INPUT,
            "table %s of the checkpoint has rows of %u weights and %u floats of "
            "optimizer state, the job's have %u and %u: it is of another model",
            table->name, table->width, table->state_width, spec.width,
            spec.state_width);
    if (spec.rows_max && table->rows > spec.rows_max)
        return err_set(err, ERR_INPUT,
                       "the checkpoint has %llu rows of table %s, but "
                       "tables.%s.rows_max is %llu: raise it",
                       (unsigned long long)table->rows, table->name, table->name,
                       (unsigned long long)spec.rows_max);
    return 0;
}

/* A dense table is all there. */
static int dense_fits(const struct job_table *is, const struct shard_table *table,
                      struct err *err)
{
    if (!is->rows || (uint64_t)is->rows == table->rows)
        return 0;
    return err_set(
        err, ERR_INPUT,
        "the checkpoint has %llu rows of table %s, but tables.%s.rows is %lld: "
        "it is of another model",
        (unsigned long long)table->rows, is->name, is->name, (long long)is->rows);
}

int restore_fits(const struct manifest *manifest, const struct job *job,
                 struct err *err)
{
    if (manifest->tables != (uint32_t)job->tables)
        return err_set(err, ERR_INPUT,
                       "the checkpoint has %u tables, the job has %d: it is of another "
                       "model",
                       manifest->tables, job->tables);
    for (uint32_t i = 0; i < manifest->tables; i++)
        if (table_fits(job, i, &manifest->table[i], err) ||
            dense_fits(&job->table[i], &manifest->table[i], err))
            return -err->code;
    return 0;
}

static int visit_table(void *context, uint32_t index, const struct shard_table *table,
                       struct err *err)
{
    return table_fits(core_job(context), index, table, err);
}

static int no_row(const struct job_table *table, uint64_t key, struct err *err)
{
    return err_set(err, ERR_INPUT,
                   "the key %llu is no row of table %s, which has the rows 0 to %lld "
                   "(tables.%s.rows)",
                   (unsigned long long)key, table->name, (long long)table->rows - 1,
                   table->name);
}

static int visit_rows(void *context, uint32_t index, const unsigned char *block,
                      uint32_t n, struct err *err)
{
    struct core *core = context;
    struct table_spec spec;
    size_t bytes;

    core_table_spec(core_job(core), index, &spec);
    bytes = sizeof(uint64_t) + (spec.width + spec.state_width) * sizeof(float);
    for (uint32_t i = 0; i < n; i++) {
        const unsigned char *row = block + i * bytes;
        uint64_t key;
        int rc;

        memcpy(&key, row, sizeof key);
        if (spec.rows && key >= spec.rows)
            return no_row(&core_job(core)->table[index], key, err);
        if (!core_owns(core, index, key))
            continue;
        rc = core_restore_row(core, index, key, row + sizeof key, err);
        if (rc)
            return rc;
    }
    return 0;
}

static int restore_rows(struct core *core, const char *path,
                        const struct manifest *manifest, struct err *err)
{
    struct shard_visitor visitor = {visit_table, visit_rows, core};
    uint64_t rows[SHARD_TABLES_MAX];
    int rc;

    core_restore_begin(core);
    core_clear(core);
    rc = checkpoint_read(path, manifest, &visitor, err);
    if (rc)
        return rc;
    for (uint32_t i = 0; i < manifest->tables; i++)
        rows[i] = manifest->table[i].rows;
    core_restore_end(core, rows);
    return 0;
}

int core_restore(struct core *core, const char *path, struct err *err)
{
    struct manifest *manifest = calloc(1, sizeof *manifest);
    int rc;

    if (!manifest)
        return err_set(err, ERR_MEMORY, "no memory for a manifest");
    rc = manifest_read(path, manifest, err);
    if (rc == 0)
        rc = restore_fits(manifest, core_job(core), err);
    if (rc == 0)
        rc = restore_rows(core, path, manifest, err);
    manifest_release(manifest);
    free(manifest);
    return rc;
}

/* --- vectors --------------------------------------------------------------------- */

struct first_rows {
    struct core *core;
    uint32_t table;
    uint64_t n; /* vectors in the file, also those of other servers */
};

static bool owned(void *context, uint64_t key)
{
    struct first_rows *to = context;
    uint64_t rows = (uint64_t)core_job(to->core)->table[to->table].rows;

    to->n++;
    return core_owns(to->core, to->table, key) || (rows && key >= rows);
}

static int take_vector(void *context, uint64_t key, const float *values, uint32_t n,
                       struct err *err)
{
    const struct first_rows *to = context;
    const struct job_table *table = &core_job(to->core)->table[to->table];

    if (table->rows && key >= (uint64_t)table->rows)
        return no_row(table, key, err);
    return core_first_row(to->core, to->table, key, values, n, err);
}

/* Takes one table's; *rows gets how many there are. */
static int first_rows(struct core *core, uint32_t index, uint64_t *rows,
                      struct err *err)
{
    const struct job_table *table = &core_job(core)->table[index];
    struct first_rows to = {core, index, 0};
    const struct vectors_sink sink = {owned, take_vector, &to};
    struct table_spec spec;

    *rows = 0;
    if (!table->vectors[0])
        return 0;
    if (vectors_check(table, err))
        return -err->code;
    core_table_spec(core_job(core), index, &spec);
    if (vectors_read(table->vectors, spec.dim, spec.width, &sink, err))
        return err_prefix(err, "tables.%s.vectors", table->name);
    *rows = to.n;
    if (spec.rows_max && to.n > spec.rows_max)
        return err_set(err, ERR_INPUT,
                       "tables.%s.vectors: %s has %llu vectors, but tables.%s.rows_max "
                       "is %lld: raise it",
                       table->name, table->vectors, (unsigned long long)to.n,
                       table->name, (long long)table->rows_max);
    return 0;
}

int core_first_rows(struct core *core, struct err *err)
{
    uint64_t rows[JOB_TABLES_MAX];

    core_restore_begin(core);
    for (uint32_t t = 0; t < (uint32_t)core_job(core)->tables; t++)
        if (first_rows(core, t, &rows[t], err))
            return -err->code;
    core_restore_end(core, rows);
    return 0;
}

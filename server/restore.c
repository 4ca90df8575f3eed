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
    return 0;
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
        if (table_fits(job, i, &manifest->table[i], err))
            return -err->code;
    return 0;
}

static int visit_table(void *context, uint32_t index, const struct shard_table *table,
                       struct err *err)
{
    return table_fits(core_job(context), index, table, err);
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
        if (!core_owns(core, index, key))
            continue;
        rc = core_restore_row(core, index, key, row + sizeof key, err);
        if (rc)
            return rc;
    }
    return 0;
}

int core_restore(struct core *core, const char *path, struct err *err)
{
    struct shard_visitor visitor = {visit_table, visit_rows, core};
    struct manifest *manifest = calloc(1, sizeof *manifest);
    int rc;

    if (!manifest)
        return err_set(err, ERR_MEMORY, "no memory for a manifest");
    rc = manifest_read(path, manifest, err);
    if (rc == 0)
        rc = restore_fits(manifest, core_job(core), err);
    if (rc == 0)
        rc = checkpoint_read(path, manifest, &visitor, err);
    manifest_release(manifest);
    free(manifest);
    return rc;
}

/* --- vectors --------------------------------------------------------------------- */

struct first_rows {
    struct core *core;
    uint32_t table;
};

static bool owned(void *context, uint64_t key)
{
    const struct first_rows *to = context;

    return core_owns(to->core, to->table, key);
}

static int take_vector(void *context, uint64_t key, const float *values, uint32_t n,
                       struct err *err)
{
    const struct first_rows *to = context;

    return core_first_row(to->core, to->table, key, values, n, err);
}

int core_first_rows(struct core *core, struct err *err)
{
    const struct job *job = core_job(core);

    for (uint32_t t = 0; t < (uint32_t)job->tables; t++) {
        struct first_rows to = {core, t};
        const struct vectors_sink sink = {owned, take_vector, &to};
        struct table_spec spec;

        if (!job->table[t].vectors[0])
            continue;
        if (vectors_check(&job->table[t], err))
            return -err->code;
        core_table_spec(job, t, &spec);
        if (vectors_read(job->table[t].vectors, spec.dim, spec.width, &sink, err))
            return err_prefix(err, "tables.%s.vectors", job->table[t].name);
    }
    return 0;
}

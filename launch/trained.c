#include "launch/trained.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "launch/jobfile.h"
#include "server/preparation.h"
#include "worker/blueprint.h"
#include "worker/model/blas.h"

static int map_region(struct trained *t, struct err *err)
{
    /* One process takes what several servers held. */
    int64_t each = t->job.cluster.memory_max;

    t->job.cluster.memory_max = each *
                                (int64_t)(t->manifest.shards ? t->manifest.shards : 1);
    t->region.size = core_region_bytes(&t->job);
    t->region.bytes_max = (uint64_t)t->job.cluster.memory_max;
    t->region.fd = -1;
    return region_map(&t->region, err);
}

/* The two sides, if the model has them. */
static void find_sides(struct trained *t)
{
    const struct table *const *table;
    int column[JOB_COLUMNS_MAX], keys = job_key_columns(&t->job, column);
    uint32_t tables;
    int user = job_table_index(&t->job, t->job.model.user);
    int item = job_table_index(&t->job, t->job.model.item);

    table = core_tables(t->core, &tables);
    t->user = user < 0 ? NULL : table[user];
    t->item = item < 0 ? NULL : table[item];
    for (int k = keys - 1; k >= 0; k--) {
        const struct job_column *key = &t->job.data.column[column[k]];

        if (strcmp(key->table, t->job.model.user) == 0)
            t->user_name = key->name;
        if (strcmp(key->table, t->job.model.item) == 0)
            t->item_name = key->name;
    }
    if (t->is_graph || !t->user)
        return;
    t->mf = (struct mf){.dim = t->user->spec.dim,
                        .width = t->user->spec.width,
                        .bias = t->job.model.bias,
                        .loss = t->job.model.loss};
    mf_set_mean(&t->mf, t->manifest.data.label_mean);
}

static int find_kind(struct trained *t, struct err *err)
{
    struct blueprint *blueprint;
    int rc = blueprint_make(&t->job, &blueprint, err);

    if (rc)
        return rc;
    t->is_graph = blueprint->layers > 0;
    blueprint_destroy(blueprint);
    return 0;
}

static int open_checkpoint(const struct arguments *arguments, struct trained *t,
                           struct err *err)
{
    const char *from = arguments->checkpoint ? arguments->checkpoint
                                             : t->job.checkpoint.dir;

    if (!from[0])
        return err_set(
            err, ERR_INPUT,
            "a checkpoint is needed: --checkpoint or the setting checkpoint.dir");
    if (checkpoint_find(from, t->path, sizeof t->path, err) ||
        manifest_read(t->path, &t->manifest, err))
        return -err->code;
    if (restore_fits(&t->manifest, &t->job, err))
        return err_prefix(err, "%s", t->path);
    if (t->manifest.data.preparation_bytes)
        return preparation_read(t->path, &t->manifest.data, &t->preparation, err);
    return 0;
}

int trained_open(const struct arguments *arguments, struct trained **out,
                 struct err *err)
{
    struct trained *t = calloc(1, sizeof *t);
    int rc;

    if (!t)
        return err_set(err, ERR_MEMORY, "no memory for a model");
    blas_init();
    rc = jobfile_load(arguments, &t->job, err);
    if (rc == 0)
        rc = find_kind(t, err);
    if (rc == 0)
        rc = open_checkpoint(arguments, t, err);
    if (rc == 0)
        rc = map_region(t, err);
    if (rc == 0)
        rc = core_create(&t->job, 0, 1, 1, &t->region, NULL, &t->core, err);
    if (rc == 0)
        rc = core_restore(t->core, t->path, err);
    if (rc) {
        trained_close(t);
        return rc;
    }
    find_sides(t);
    *out = t;
    return 0;
}

int trained_prepare(const struct trained *t, const struct schema *raw,
                    struct prepare **prepare, struct err *err)
{
    struct prepare *made;
    int rc = prepare_create(&t->job, raw, &made, err);

    if (rc)
        return rc;
    if (t->preparation && prepare_changes(made))
        rc = prepare_load(made, t->preparation, t->manifest.data.preparation_bytes,
                          err);
    else if (t->preparation || prepare_changes(made))
        rc = err_set(err, ERR_INPUT,
                     t->preparation
                         ? "its data were prepared (data.columns), the job's are not"
                         : "the job prepares data (data.columns), its data were not");
    else
        rc = prepare_finish(made, err);
    if (rc) {
        prepare_destroy(made);
        return err_prefix(err, "%s", t->path);
    }
    *prepare = made;
    return 0;
}

void trained_close(struct trained *t)
{
    if (!t)
        return;
    core_destroy(t->core);
    if (t->region.base)
        munmap(t->region.base, t->region.size);
    manifest_release(&t->manifest);
    free(t->preparation);
    free(t);
}

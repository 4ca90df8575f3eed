/* One table of a checkpoint as CSV or NumPy, sorted by key. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "server/checkpoint.h"
#include "server/outfile.h"

enum { FLOAT_TEXT_MAX = 24, KEY_TEXT_MAX = 24, NPY_ALIGN = 64 };

/* A table's weights while they are gathered, and then in order of their keys. */
struct gathered {
    uint32_t index; /* of the table in the manifest */
    uint32_t dim, width, row_bytes;
    uint64_t rows, capacity;
    float *weights;      /* [rows][width], as they came */
    struct place *place; /* [rows], sorted */
};

struct place {
    uint64_t key, row;
};

/* --- gathering ------------------------------------------------------------------- */

static int gather_rows(void *context, uint32_t index, const unsigned char *block,
                       uint32_t n, struct err *err)
{
    struct gathered *g = context;

    if (index != g->index)
        return 0;
    if (n > g->capacity - g->rows)
        return err_set(err, ERR_DAMAGE,
                       "the shards have more rows of the table than the manifest says");
    for (uint32_t i = 0; i < n; i++, block += g->row_bytes, g->rows++) {
        memcpy(&g->place[g->rows].key, block, sizeof(uint64_t));
        g->place[g->rows].row = g->rows;
        memcpy(g->weights + g->rows * g->width, block + SHARD_ROW_OVERHEAD,
               g->width * sizeof(float));
    }
    return 0;
}

static int by_key(const void *a, const void *b)
{
    uint64_t x = ((const struct place *)a)->key, y = ((const struct place *)b)->key;

    return x < y ? -1 : x > y;
}

/* The manifest's number of rows is believed only as far as the files can hold them. */
static int check_size(const char *dir, const struct manifest *manifest,
                      const struct shard_table *table, struct err *err)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < manifest->shards; i++) {
        char path[CHECKPOINT_PATH_MAX + SHARD_NAME_MAX + 1];
        struct stat info;

        snprintf(path, sizeof path, "%s/%s", dir, manifest->shard[i].file);
        if (stat(path, &info) == 0)
            bytes += (uint64_t)info.st_size;
        else if (errno == ENOENT)
            return err_set(err, ERR_DAMAGE, "%s is missing: the checkpoint is damaged",
                           path);
    }
    if (table->rows > bytes / shard_row_bytes(table))
        return err_set(err, ERR_DAMAGE,
                       "%s is damaged: its files of %" PRIu64
                       " bytes are too small for "
                       "the %" PRIu64 " rows of table %s",
                       dir, bytes, table->rows, table->name);
    return 0;
}

static int gather(const char *dir, const struct manifest *manifest, struct gathered *g,
                  struct err *err)
{
    const struct shard_table *table = &manifest->table[g->index];
    const struct shard_visitor visitor = {NULL, gather_rows, g};
    int rc = check_size(dir, manifest, table, err);

    if (rc)
        return rc;
    g->dim = table->dim;
    g->width = table->width;
    g->row_bytes = shard_row_bytes(table);
    g->capacity = table->rows;
    g->weights = calloc(g->capacity + 1, g->width * sizeof(float));
    g->place = calloc(g->capacity + 1, sizeof *g->place);
    if (!g->weights || !g->place)
        return err_set(err, ERR_MEMORY,
                       "no memory for the %" PRIu64 " rows of table %s", table->rows,
                       table->name);
    rc = checkpoint_read(dir, manifest, &visitor, err);
    if (rc)
        return rc;
    qsort(g->place, g->rows, sizeof *g->place, by_key);
    for (uint64_t i = 1; i < g->rows; i++) {
        if (g->place[i].key == g->place[i - 1].key)
            return err_set(err, ERR_DAMAGE,
                           "%s is damaged: key %" PRIu64 " of table %s "
                           "is in it twice",
                           dir, g->place[i].key, table->name);
    }
    return 0;
}

/* --- CSV ------------------------------------------------------------------------- */

/* Asks for the room that a line may need and gives the rest back. */
static int csv_header(const struct gathered *g, struct outfile *out, struct err *err)
{
    size_t most = 4 + (size_t)g->width * FLOAT_TEXT_MAX, used;
    unsigned char *room;
    char *at, *end;
    int rc = outfile_room(out, most, &room, err);

    if (rc)
        return rc;
    at = (char *)room;
    end = at + most;
    at += snprintf(at, (size_t)(end - at), "key");
    for (uint32_t i = 0; i < g->width; i++) {
        if (i < g->dim)
            at += snprintf(at, (size_t)(end - at), ",v%u", i);
        else if (g->width - g->dim == 1)
            at += snprintf(at, (size_t)(end - at), ",bias");
        else
            at += snprintf(at, (size_t)(end - at), ",bias%u", i - g->dim);
    }
    *at++ = '\n';
    used = (size_t)(at - (char *)room);
    outfile_give_back(out, most - used);
    return 0;
}

static int csv_row(const struct gathered *g, const struct place *place,
                   struct outfile *out, struct err *err)
{
    const float *row = g->weights + place->row * g->width;
    size_t most = KEY_TEXT_MAX + (size_t)g->width * FLOAT_TEXT_MAX;
    unsigned char *room;
    char *at, *end;
    int rc = outfile_room(out, most, &room, err);

    if (rc)
        return rc;
    at = (char *)room;
    end = at + most;
    at += snprintf(at, (size_t)(end - at), "%" PRIu64, place->key);
    for (uint32_t i = 0; i < g->width; i++)
        at += snprintf(at, (size_t)(end - at), ",%.9g", (double)row[i]);
    *at++ = '\n';
    outfile_give_back(out, most - (size_t)(at - (char *)room));
    return 0;
}

static int write_csv(const struct gathered *g, struct outfile *out, struct err *err)
{
    int rc = csv_header(g, out, err);

    for (uint64_t i = 0; i < g->rows && rc == 0; i++)
        rc = csv_row(g, &g->place[i], out, err);
    return rc;
}

/* --- NumPy ----------------------------------------------------------------------- */

/* Format 1.0: magic, version, u16 length of a Python literal that ends in a newline and
 * is padded so that the numbers behind it are aligned. */
static int npy_header(const char *type, const char *shape, struct outfile *out,
                      struct err *err)
{
    static const unsigned char start[8] = {0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0};
    char text[2 * NPY_ALIGN];
    size_t length = (size_t)snprintf(
        text, sizeof text, "{'descr': '%s', 'fortran_order': False, 'shape': (%s), }",
        type, shape);
    size_t all = (sizeof start + 2 + length + 1 + NPY_ALIGN - 1) / NPY_ALIGN *
                 NPY_ALIGN;
    uint16_t rest = (uint16_t)(all - sizeof start - 2);
    unsigned char *room;
    int rc = outfile_room(out, all, &room, err);

    if (rc)
        return rc;
    memset(room, ' ', all);
    memcpy(room, start, sizeof start);
    memcpy(room + sizeof start, &rest, sizeof rest);
    memcpy(room + sizeof start + sizeof rest, text, length);
    room[all - 1] = '\n';
    return 0;
}

static int write_npy(const struct gathered *g, struct outfile *out, struct err *err)
{
    char shape[64];
    int rc;

    snprintf(shape, sizeof shape, "%" PRIu64 ", %u", g->rows, g->width);
    rc = npy_header("<f4", shape, out, err);
    for (uint64_t i = 0; i < g->rows && rc == 0; i++) {
        size_t bytes = g->width * sizeof(float);
        unsigned char *room;

        rc = outfile_room(out, bytes, &room, err);
        if (rc == 0)
            memcpy(room, g->weights + g->place[i].row * g->width, bytes);
    }
    return rc;
}

static int write_npy_keys(const struct gathered *g, struct outfile *out,
                          struct err *err)
{
    char shape[64];
    int rc;

    snprintf(shape, sizeof shape, "%" PRIu64 ",", g->rows);
    rc = npy_header("<u8", shape, out, err);
    for (uint64_t i = 0; i < g->rows && rc == 0; i++) {
        unsigned char *room;

        rc = outfile_room(out, sizeof(uint64_t), &room, err);
        if (rc == 0)
            memcpy(room, &g->place[i].key, sizeof(uint64_t));
    }
    return rc;
}

/* --- files ----------------------------------------------------------------------- */

/* A file to be: written under `temp`, then renamed. */
struct target {
    char path[OUTFILE_PATH_MAX], temp[OUTFILE_PATH_MAX];
    int (*write)(const struct gathered *g, struct outfile *out, struct err *err);
};

enum { TARGETS_MAX = 2 };

static int refuse_existing(const char *path, struct err *err)
{
    struct stat info;

#ifndef MUTANT_EXPORT_EXISTS
    if (lstat(path, &info) == 0)
        return err_set(err, ERR_INPUT, "%s exists already: it is not overwritten",
                       path);
#else
    (void)info;
#endif
    return 0;
}

/* Which files a format consists of, the one that the user named last: it is there when
 * all are. Returns how many or a negative code. */
static int plan_targets(const char *format, const char *out, struct target *target,
                        struct err *err)
{
    size_t length = strlen(out);
    int n = 0;

    if (length == 0 || length > OUTFILE_PATH_MAX - 64)
        return err_set(err, ERR_INPUT, "the path '%.100s' is empty or too long", out);
    if (strcmp(format, "npy") == 0) {
        if (length < 5 || strcmp(out + length - 4, ".npy") != 0)
            return err_set(err, ERR_INPUT,
                           "the file for format npy must be called X.npy, got %s", out);
        snprintf(target[n].path, sizeof target[n].path, "%.*s.keys.npy",
                 (int)(length - 4), out);
        target[n++].write = write_npy_keys;
    } else if (strcmp(format, "csv") != 0) {
        return err_set(err, ERR_INPUT, "the format must be csv or npy, got '%s'",
                       format);
    }
    snprintf(target[n].path, sizeof target[n].path, "%s", out);
    target[n].write = n ? write_npy : write_csv;
    n++;
    for (int i = 0; i < n; i++) {
        int rc = refuse_existing(target[i].path, err);

        if (rc)
            return rc;
        snprintf(target[i].temp, sizeof target[i].temp, "%.*s.%ld.tmp",
                 OUTFILE_PATH_MAX - 32, target[i].path, (long)getpid());
    }
    return n;
}

static int write_target(const struct target *target, const struct gathered *g,
                        struct err *err)
{
    struct outfile out;
    int rc = outfile_create(&out, target->temp, err);

    if (rc == 0)
        rc = target->write(g, &out, err);
    if (rc == 0)
        rc = outfile_finish(&out, err);
    outfile_release(&out);
    return rc;
}

/* Renames without replacing what has appeared meanwhile, where the system can. */
static int put_in_place(const struct target *target, struct err *err)
{
#ifndef MUTANT_EXPORT_EXISTS
    unsigned flags = RENAME_NOREPLACE;
#else
    unsigned flags = 0;
#endif
    int failed = renameat2(AT_FDCWD, target->temp, AT_FDCWD, target->path, flags);

    if (failed && (errno == EINVAL || errno == ENOSYS)) {
        int rc = refuse_existing(target->path, err);

        if (rc)
            return rc;
        failed = rename(target->temp, target->path);
    }
    if (failed && errno == EEXIST)
        return err_set(err, ERR_INPUT, "%s exists already: it is not overwritten",
                       target->path);
    return failed ? err_system(err, "cannot write %s", target->path) : 0;
}

static int write_targets(const struct target *target, int n, const struct gathered *g,
                         struct err *err)
{
    int written = 0, placed = 0, rc = 0;

    for (; written < n && rc == 0; written += rc == 0)
        rc = write_target(&target[written], g, err);
    for (; placed < n && rc == 0; placed += rc == 0)
        rc = put_in_place(&target[placed], err);
    if (rc == 0)
        return 0;
    for (int i = 0; i < placed; i++)
        unlink(target[i].path);
    for (int i = placed; i < written; i++)
        unlink(target[i].temp);
    return rc;
}

/* --- the command ----------------------------------------------------------------- */

static int find_table(const char *path, const struct manifest *manifest,
                      const char *name, uint32_t *index, struct err *err)
{
    char names[SHARD_TABLES_MAX * (SHARD_NAME_MAX + 2)] = "";
    size_t used = 0;

    for (uint32_t i = 0; i < manifest->tables; i++) {
        if (strcmp(manifest->table[i].name, name) == 0) {
            *index = i;
            return 0;
        }
        used += (size_t)snprintf(names + used, sizeof names - used, "%s%s",
                                 i ? ", " : "", manifest->table[i].name);
    }
    return err_set(err, ERR_INPUT, "%s has no table '%s'; it has: %.500s", path, name,
                   names);
}

int checkpoint_export(const char *path, const char *table, const char *format,
                      const char *out, struct err *err)
{
    struct target *target = calloc(TARGETS_MAX, sizeof *target);
    struct manifest *manifest = calloc(1, sizeof *manifest);
    struct gathered g = {0};
    char found[CHECKPOINT_PATH_MAX];
    int targets, rc;

    if (!manifest || !target) {
        rc = err_set(err, ERR_MEMORY, "no memory for a manifest");
        goto out;
    }
    rc = targets = plan_targets(format, out, target, err);
    if (rc < 0)
        goto out;
    rc = checkpoint_find(path, found, sizeof found, err);
    if (rc == 0)
        rc = manifest_read(found, manifest, err);
    if (rc == 0)
        rc = find_table(found, manifest, table, &g.index, err);
    if (rc == 0)
        rc = gather(found, manifest, &g, err);
    if (rc == 0)
        rc = write_targets(target, targets, &g, err);
out:
    free(g.weights);
    free(g.place);
    if (manifest)
        manifest_release(manifest);
    free(manifest);
    free(target);
    return rc;
}

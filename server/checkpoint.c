#include "server/checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file.h"
#include "server/preparation.h"

static int join(char *path, size_t size, struct err *err, const char *dir,
                const char *name)
{
    int n = snprintf(path, size, "%s/%s", dir, name);

    if (n < 0 || (size_t)n >= size)
        return err_set(err, ERR_INPUT, "the path %.100s.../%.100s is too long", dir,
                       name);
    return 0;
}

/* --- names ----------------------------------------------------------------------- */

enum { NAME_MAX_BYTES = 64 };

static void checkpoint_name(uint64_t number, char *name)
{
    snprintf(name, NAME_MAX_BYTES, "checkpoint-%010" PRIu64, number);
}

/* The number in the name of a checkpoint, 0 if it is no such name. */
static uint64_t number_of(const char *name)
{
    char again[NAME_MAX_BYTES];
    uint64_t number;

    if (sscanf(name, "checkpoint-%" SCNu64, &number) != 1)
        return 0;
    checkpoint_name(number, again);
    return strcmp(name, again) == 0 ? number : 0;
}

/* Only these are ever removed: a shard file, the preparation, the manifest, and
 * temporary files of theirs ("manifest.123-0.tmp"). */
static bool is_ours(const char *name)
{
    char stem[SHARD_NAME_MAX];
    size_t length = strlen(name), to_dot = strcspn(name, ".");

    if (strcmp(name, "manifest") == 0 || strcmp(name, "preparation") == 0 ||
        shard_is_name(name))
        return true;
    if (length < 5 || strcmp(name + length - 4, ".tmp") != 0 || to_dot >= sizeof stem)
        return false;
    memcpy(stem, name, to_dot);
    stem[to_dot] = '\0';
    return strcmp(stem, "manifest") == 0 || strcmp(stem, "probe") == 0 ||
           strcmp(stem, "preparation") == 0 || shard_is_name(stem);
}

static bool is_whole(const char *path)
{
    char manifest[CHECKPOINT_PATH_MAX];
    struct err ignored;
    struct stat info;

    return path[0] &&
           join(manifest, sizeof manifest, &ignored, path, "manifest") == 0 &&
           stat(manifest, &info) == 0;
}

/* --- finding --------------------------------------------------------------------- */

struct entry {
    uint64_t number;
    bool whole;
};

static int newer_first(const void *a, const void *b)
{
    uint64_t x = ((const struct entry *)a)->number,
             y = ((const struct entry *)b)->number;

    return x > y ? -1 : x < y;
}

/* Lists the checkpoints in `dir`, newest first, whole and broken. The caller frees
 * *entries. Returns their number, or -1 when the directory cannot be read. */
static long list(const char *dir, struct entry **entries)
{
    DIR *stream = opendir(dir);
    struct dirent *found;
    size_t n = 0, room = 0;
    struct err ignored;

    *entries = NULL;
    if (!stream)
        return -1;
    while ((found = readdir(stream))) {
        char path[CHECKPOINT_PATH_MAX];
        uint64_t number = number_of(found->d_name);

        if (number == 0 || join(path, sizeof path, &ignored, dir, found->d_name))
            continue;
        if (n == room) {
            struct entry *grown;

            room = room ? room * 2 : 64;
            grown = realloc(*entries, room * sizeof *grown);
            if (!grown)
                break;
            *entries = grown;
        }
        (*entries)[n++] = (struct entry){number, is_whole(path)};
    }
    closedir(stream);
    if (n)
        qsort(*entries, n, sizeof **entries, newer_first);
    return (long)n;
}

uint64_t checkpoint_newest(const char *dir)
{
    struct entry *entries;
    long n = list(dir, &entries);
    uint64_t newest = 0;

    for (long i = 0; i < n && newest == 0; i++)
        newest = entries[i].whole ? entries[i].number : 0;
    free(entries);
    return newest;
}

/* Says why there is no checkpoint at `path`. */
static int not_found(const char *path, struct err *err)
{
    const char *slash = strrchr(path, '/');
    struct stat info;

    if (stat(path, &info))
        return err_set(err, ERR_INPUT, "there is no checkpoint at %s: %s", path,
                       strerror(errno));
    if (!S_ISDIR(info.st_mode))
        return err_set(err, ERR_INPUT,
                       "%s is a file, not the directory of a checkpoint", path);
    if (number_of(slash ? slash + 1 : path))
        return err_set(err, ERR_INPUT,
                       "%s is not a whole checkpoint: it has no manifest", path);
    return err_set(err, ERR_INPUT, "there is no whole checkpoint in %s", path);
}

int checkpoint_find(const char *path, char *found, size_t size, struct err *err)
{
    char name[NAME_MAX_BYTES];
    uint64_t newest;

    if (is_whole(path)) {
        if (strlen(path) >= size)
            return err_set(err, ERR_INPUT, "the path %.100s... is too long", path);
        memcpy(found, path, strlen(path) + 1);
        return 0;
    }
    newest = checkpoint_newest(path);
    if (newest == 0)
        return not_found(path, err);
    checkpoint_name(newest, name);
    return join(found, size, err, path, name);
}

/* --- making and removing --------------------------------------------------------- */

/* Removes a checkpoint's files from the open directory `fd`. */
static void clear(int fd)
{
    DIR *stream;
    struct dirent *found;
    int copy;

    if (unlinkat(fd, "manifest", 0) == 0)
        (void)fsync(fd); /* gone for certain before the first shard is */
    copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    stream = copy < 0 ? NULL : fdopendir(copy);
    if (!stream) {
        if (copy >= 0)
            close(copy);
        return;
    }
    while ((found = readdir(stream))) {
        if (is_ours(found->d_name))
            unlinkat(fd, found->d_name, 0);
    }
    closedir(stream);
}

void checkpoint_remove(const char *path)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);

    if (fd < 0)
        return;
    clear(fd);
    close(fd);
    rmdir(path);
}

int checkpoint_path(const char *dir, uint64_t number, char *path, size_t size,
                    struct err *err)
{
    char name[NAME_MAX_BYTES];

    checkpoint_name(number, name);
    return join(path, size, err, dir, name);
}

void checkpoint_prune(const char *dir, uint64_t keep, uint64_t best)
{
    struct entry *entries;
    long n = list(dir, &entries);
    uint64_t whole = 0;

    for (long i = 0; i < n; i++) {
        char name[NAME_MAX_BYTES], path[CHECKPOINT_PATH_MAX];
        struct err ignored;

        whole += entries[i].whole;
        /* What is newer than the newest whole one may be under way. */
        if (whole == 0 || (entries[i].whole && (whole == 1 || whole <= keep)))
            continue;
#ifndef MUTANT_BEST_KEPT
        if (entries[i].whole && entries[i].number == best)
            continue;
#endif
        checkpoint_name(entries[i].number, name);
        if (join(path, sizeof path, &ignored, dir, name) == 0)
            checkpoint_remove(path);
    }
    free(entries);
}

/* Can a file be made here? Better known now than after a day of training. */
static int probe(const char *path, struct err *err)
{
    char file[CHECKPOINT_PATH_MAX];
    int fd, rc = join(file, sizeof file, err, path, "probe.tmp");

    if (rc)
        return rc;
    fd = open(file, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return err_system(err, "cannot write into %s", path);
    close(fd);
    unlink(file);
    return 0;
}

int checkpoint_begin(const char *dir, uint64_t number, char *path, size_t size,
                     struct err *err)
{
    char name[NAME_MAX_BYTES];
    int fd, rc;

    if (number == 0 || dir[0] == '\0')
        return err_set(
            err, ERR_INPUT,
            "checkpoints need a directory and a number from 1, got '%s' and %llu", dir,
            (unsigned long long)number);
    checkpoint_name(number, name);
    rc = join(path, size, err, dir, name);
    if (rc)
        return rc;
#ifndef MUTANT_CHECKPOINT_TAKEN
    if (is_whole(path))
        return err_set(err, ERR_INPUT, "checkpoint %s exists already", path);
#endif
    rc = file_make_dirs(path, err);
    if (rc)
        return rc;
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return err_system(err, "cannot read directory %s", path);
    clear(fd);
    close(fd);
    rc = probe(path, err);
    return rc ? rc : file_sync_dir(dir, err);
}

/* --- reading --------------------------------------------------------------------- */

/* Stands between a shard file and the caller's visitor. */
struct reading {
    const struct manifest *manifest;
    const struct shard_visitor *visitor; /* may be NULL */
    const char *file;                    /* being read */
    uint32_t tables;                     /* of this file, so far */
    uint64_t rows[SHARD_TABLES_MAX];     /* of all files, so far */
    uint64_t blocks;                     /* of this file, so far */
};

static int see_table(void *context, uint32_t index, const struct shard_table *table,
                     struct err *err)
{
    struct reading *reading = context;
    const struct shard_table *expected = &reading->manifest->table[index];

    if (index >= reading->manifest->tables ||
        strcmp(table->name, expected->name) != 0 || table->id != expected->id ||
        table->dim != expected->dim || table->width != expected->width ||
        table->state_width != expected->state_width)
        return err_set(
            err, ERR_DAMAGE,
            "%s does not belong to its manifest: its table %u is %s, of %u + "
            "%u floats",
            reading->file, index, table->name, table->width, table->state_width);
    reading->tables = index + 1;
    reading->rows[index] += table->rows;
    if (!reading->visitor || !reading->visitor->table)
        return 0;
    return reading->visitor->table(reading->visitor->context, index, table, err);
}

static int see_rows(void *context, uint32_t index, const unsigned char *block,
                    uint32_t n, struct err *err)
{
    struct reading *reading = context;

    reading->blocks++;
    if (!reading->visitor || !reading->visitor->rows)
        return 0;
    return reading->visitor->rows(reading->visitor->context, index, block, n, err);
}

/* Reads shard i. A file that is whole in itself may still be another checkpoint's. */
static int read_shard(const char *dir, struct reading *reading, uint32_t i,
                      struct err *err)
{
    const struct shard_facts *expected = &reading->manifest->shard[i].facts;
    const struct shard_visitor visitor = {see_table, see_rows, reading};
    struct shard_facts found;
    char path[CHECKPOINT_PATH_MAX];
    struct stat info;
    int rc = join(path, sizeof path, err, dir, reading->manifest->shard[i].file);

    if (rc)
        return rc;
    if (stat(path, &info) && errno == ENOENT)
        return err_set(err, ERR_DAMAGE, "%s is missing: the checkpoint is damaged",
                       path);
    reading->file = path;
    reading->tables = 0;
    reading->blocks = 0;
    rc = shard_read(path, &visitor, &found, err);
    if (rc)
        return rc;
#ifndef MUTANT_CHECKPOINT_FACTS
    if (found.bytes != expected->bytes || found.rows != expected->rows ||
        found.checksum != expected->checksum ||
        reading->tables != reading->manifest->tables)
        return err_set(
            err, ERR_DAMAGE,
            "%s does not belong to its manifest: it has %llu rows and the "
            "checksum %016llx, written were %llu and %016llx",
            path, (unsigned long long)found.rows, (unsigned long long)found.checksum,
            (unsigned long long)expected->rows, (unsigned long long)expected->checksum);
#endif
    return 0;
}

/* After all shards: are the tables' rows all there? */
static int check_rows(const char *dir, const struct reading *reading, struct err *err)
{
    for (uint32_t i = 0; i < reading->manifest->tables; i++) {
        const struct shard_table *table = &reading->manifest->table[i];

        if (reading->rows[i] != table->rows)
            return err_set(err, ERR_DAMAGE,
                           "%s/manifest is damaged: table %s has %llu rows, its shards "
                           "have %llu",
                           dir, table->name, (unsigned long long)table->rows,
                           (unsigned long long)reading->rows[i]);
    }
    return 0;
}

int checkpoint_read(const char *path, const struct manifest *manifest,
                    const struct shard_visitor *visitor, struct err *err)
{
    struct reading reading = {.manifest = manifest, .visitor = visitor};
    int rc = 0;

    for (uint32_t i = 0; i < manifest->shards && rc == 0; i++)
        rc = read_shard(path, &reading, i, err);
    return rc ? rc : check_rows(path, &reading, err);
}

const char *checkpoint_size(uint64_t bytes, char *text)
{
    static const char *const unit[] = {"B", "kB", "MB", "GB", "TB", "PB", "EB"};
    double size = (double)bytes;
    int i = 0;

    for (; size >= 999.95 && i < 6; i++)
        size /= 1000;
    snprintf(text, CHECKPOINT_SIZE_MAX, "%.*f %s", i > 0, size, unit[i]);
    return text;
}

static int verify(const char *dir, const struct manifest *manifest, FILE *out,
                  struct err *err)
{
    struct reading reading = {.manifest = manifest};
    char text[CHECKPOINT_SIZE_MAX];
    int rc;

    fprintf(out, "manifest: checkpoint %llu of %s, fine\n",
            (unsigned long long)manifest->number, manifest->job);
    for (uint32_t i = 0; i < manifest->shards; i++) {
        const struct shard_facts *facts = &manifest->shard[i].facts;
        char size[CHECKPOINT_SIZE_MAX];

        rc = read_shard(dir, &reading, i, err);
        if (rc)
            return rc;
        fprintf(out, "%s: %llu rows, %llu blocks, %s, fine\n", manifest->shard[i].file,
                (unsigned long long)facts->rows, (unsigned long long)reading.blocks,
                checkpoint_size(facts->bytes, size));
    }
    rc = check_rows(dir, &reading, err);
    if (rc || manifest->data.preparation_bytes == 0)
        return rc;
    rc = preparation_read(dir, &manifest->data, NULL, err);
    if (rc == 0)
        fprintf(out, "preparation: %s, fine\n",
                checkpoint_size(manifest->data.preparation_bytes, text));
    return rc;
}

int checkpoint_verify(const char *path, FILE *out, struct err *err)
{
    char found[CHECKPOINT_PATH_MAX];
    struct manifest *manifest = calloc(1, sizeof *manifest);
    int rc;

    if (!manifest)
        return err_set(err, ERR_MEMORY, "no memory for a manifest");
    rc = checkpoint_find(path, found, sizeof found, err);
    if (rc == 0)
        rc = manifest_read(found, manifest, err);
    if (rc == 0)
        rc = verify(found, manifest, out, err);
    if (rc == 0 && (ferror(out) || fflush(out)))
        rc = err_system(err, "cannot print the result");
    manifest_release(manifest);
    free(manifest);
    return rc;
}

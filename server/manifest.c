#include "server/manifest.h"

#include <errno.h>
#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "common/file.h"
#include "common/lease.h"
#include "proto/manifest.pb-c.h"

enum { MAGIC_BYTES = 8, LENGTH_BYTES = 4, CHECKSUM_BYTES = 8 };
enum { FRAME_BYTES = MAGIC_BYTES + LENGTH_BYTES + CHECKSUM_BYTES };

static const unsigned char manifest_magic[MAGIC_BYTES] = {0xD2, 'R',  'H',  'M',
                                                          'F',  '\r', '\n', 0x1A};

/* --- what a manifest may say ----------------------------------------------------- */

static bool text_is_fine(const char *text, size_t size)
{
    size_t length = strnlen(text, size);

    if (length == size)
        return false;
    for (size_t i = 0; i < length; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7F)
            return false;
    }
    return true;
}

/* What is left of the epoch must be positions of the data, each once at most. */
static const char *ranges_fault(const struct manifest *manifest)
{
    uint64_t sum = 0, most = lease_positions(&manifest->data);

    if (manifest->grows)
        most = manifest->known;
    if (most > INT64_MAX)
        return "its positions are impossibly high";
    if (manifest->ranges > MANIFEST_RANGES_MAX)
        return "it has too many ranges";
    for (uint32_t i = 0; i < manifest->ranges; i++) {
        const struct range *range = &manifest->range[i];

        if (range->first >= range->end || range->end > most)
            return "a range is empty or passes the training examples";
        sum += range->end - range->first;
        if (sum > most)
            return "its ranges have more positions than there are training examples";
    }
    if (manifest->shares > WORKERS_MAX)
        return "it has shares of too many workers";
    sum = 0;
    for (uint32_t i = 0; i < manifest->shares; i++)
        sum += manifest->share_ranges[i];
    if (manifest->shares && sum != manifest->ranges)
        return "the workers' shares are not the ranges that there are";
    return NULL;
}

static const char *shards_fault(const struct manifest *manifest)
{
    uint64_t rows = 0, expected = 0;

    if (manifest->shards == 0 || manifest->shards > SERVERS_MAX)
        return "the number of shards is not 1 to 256";
    for (uint32_t i = 0; i < manifest->shards; i++) {
        char name[SHARD_NAME_MAX];

        shard_name(i, manifest->shards, name);
        if (strncmp(manifest->shard[i].file, name, sizeof name) != 0)
            return "a shard's file is not called as its place in the list demands";
        if (__builtin_add_overflow(rows, manifest->shard[i].facts.rows, &rows) ||
            manifest->shard[i].facts.bytes > INT64_MAX)
            return "a shard has impossibly many rows or bytes";
    }
    for (uint32_t i = 0; i < manifest->tables; i++) {
        const struct shard_table *table = &manifest->table[i];

        if (table->rows > INT64_MAX / shard_row_bytes(table) ||
            __builtin_add_overflow(expected, table->rows, &expected))
            return "a table has impossibly many rows";
    }
    return rows == expected ? NULL : "the shards' rows are not as many as the tables'";
}

static const char *best_fault(const struct manifest *manifest)
{
    const struct best *best = &manifest->best;

    if (best->checkpoint == 0)
        return NULL;
    if (best->checkpoint > manifest->number || best->epoch > best->reached ||
        best->clock > INT64_MAX)
        return "its best epoch is not one of those before it";
    return isnan(best->badness) ? "its best epoch has no value" : NULL;
}

/* NULL, or what is wrong with it. */
static const char *manifest_fault(const struct manifest *manifest)
{
    const char *fault;

    if (manifest->number == 0 || manifest->number > INT64_MAX)
        return "its number is not one from 1";
    if (!text_is_fine(manifest->job, sizeof manifest->job))
        return "the job's name is too long or not printable";
    if (!text_is_fine(manifest->version, sizeof manifest->version))
        return "the program's version is too long or not printable";
    if (!manifest->settings)
        return "it has no settings";
    if (manifest->written < 0)
        return "it was written before 1970";
    if (manifest->clock > INT64_MAX || manifest->data.train_examples > INT64_MAX ||
        manifest->data.test_examples > INT64_MAX)
        return "a count is impossibly high";
    if (manifest->data.preparation_bytes > PREPARATION_BYTES_MAX)
        return "its preparation is impossibly long";
    if (!isfinite(manifest->seconds) || manifest->seconds < 0)
        return "its training time is not a number of seconds";
    fault = shard_tables_fault(manifest->table, manifest->tables);
    if (!fault)
        fault = ranges_fault(manifest);
    if (!fault)
        fault = shards_fault(manifest);
    if (!fault)
        fault = best_fault(manifest);
    return fault;
}

/* --- writing --------------------------------------------------------------------- */

/* A manifest as protobuf-c wants it: messages and pointers to them. Texts are borrowed
 * from the struct manifest. */
struct packed {
    Disk__Manifest manifest;
    Disk__DataFacts data;
    Disk__Best best;
    Disk__Range range[MANIFEST_RANGES_MAX], *range_at[MANIFEST_RANGES_MAX];
    Disk__Table table[SHARD_TABLES_MAX], *table_at[SHARD_TABLES_MAX];
    Disk__Shard shard[SERVERS_MAX], *shard_at[SERVERS_MAX];
};

static ProtobufCBinaryData text_out(const char *text)
{
    return (ProtobufCBinaryData){.len = strlen(text), .data = (uint8_t *)text};
}

static void pack_lists(struct packed *packed, const struct manifest *from)
{
    for (uint32_t i = 0; i < from->ranges; i++) {
        packed->range_at[i] = &packed->range[i];
        disk__range__init(&packed->range[i]);
        packed->range[i].first = from->range[i].first;
        packed->range[i].end = from->range[i].end;
    }
    for (uint32_t i = 0; i < from->tables; i++) {
        Disk__Table *to = packed->table_at[i] = &packed->table[i];

        disk__table__init(to);
        to->name = text_out(from->table[i].name);
        to->id = from->table[i].id;
        to->dim = from->table[i].dim;
        to->width = from->table[i].width;
        to->state_width = from->table[i].state_width;
        to->rows = from->table[i].rows;
    }
    for (uint32_t i = 0; i < from->shards; i++) {
        Disk__Shard *to = packed->shard_at[i] = &packed->shard[i];

        disk__shard__init(to);
        to->file = text_out(from->shard[i].file);
        to->bytes = from->shard[i].facts.bytes;
        to->rows = from->shard[i].facts.rows;
        to->checksum = from->shard[i].facts.checksum;
    }
}

static void pack_best(struct packed *packed, const struct best *from)
{
    Disk__Best *to = &packed->best;

    if (from->checkpoint == 0)
        return;
    disk__best__init(to);
    to->badness = from->badness;
    to->epoch = from->epoch;
    to->misses = from->misses;
    to->checkpoint = from->checkpoint;
    to->clock = from->clock;
    to->reached = from->reached;
    packed->manifest.best = to;
}

static void pack(struct packed *packed, const struct manifest *from)
{
    Disk__Manifest *to = &packed->manifest;

    disk__manifest__init(to);
    to->format = MANIFEST_FORMAT;
    to->number = from->number;
    to->job = text_out(from->job);
    to->settings = text_out(from->settings);
    to->version = text_out(from->version);
    to->written = from->written;
    to->epoch = from->epoch;
    to->clock = from->clock;
    to->seconds = from->seconds;
    to->data = &packed->data;
    disk__data_facts__init(to->data);
    to->data->train_examples = from->data.train_examples;
    to->data->test_examples = from->data.test_examples;
    to->data->digest = from->data.digest;
    to->data->label_mean = from->data.label_mean;
    to->data->positions = from->data.positions;
    to->data->grain = from->data.grain;
    to->known = from->grows ? from->known + 1 : 0;
    to->data->preparation_bytes = from->data.preparation_bytes;
    to->data->preparation_digest = from->data.preparation_digest;
    pack_best(packed, &from->best);
    pack_lists(packed, from);
    to->n_range = from->ranges;
    to->range = packed->range_at;
    to->n_share_ranges = from->shares;
    to->share_ranges = (uint32_t *)from->share_ranges;
    to->n_table = from->tables;
    to->table = packed->table_at;
    to->n_shard = from->shards;
    to->shard = packed->shard_at;
}

/* The file's bytes; NULL without memory. The caller frees them. */
static unsigned char *encode(const struct manifest *manifest, size_t *size)
{
    struct packed *packed = calloc(1, sizeof *packed);
    unsigned char *bytes = NULL;
    uint32_t length;
    uint64_t checksum;

    if (!packed)
        return NULL;
    pack(packed, manifest);
    length = (uint32_t)disk__manifest__get_packed_size(&packed->manifest);
    *size = FRAME_BYTES + (size_t)length;
    bytes = malloc(*size);
    if (bytes) {
        memcpy(bytes, manifest_magic, MAGIC_BYTES);
        memcpy(bytes + MAGIC_BYTES, &length, sizeof length);
        disk__manifest__pack(&packed->manifest, bytes + MAGIC_BYTES + LENGTH_BYTES);
        checksum = XXH3_64bits(bytes, *size - CHECKSUM_BYTES);
        memcpy(bytes + *size - CHECKSUM_BYTES, &checksum, sizeof checksum);
    }
    free(packed);
    return bytes;
}

static int manifest_path(const char *dir, char *path, size_t size, struct err *err)
{
    int n = snprintf(path, size, "%s/manifest", dir);

    if (n < 0 || (size_t)n >= size)
        return err_set(err, ERR_INPUT, "the path %.100s... is too long", dir);
    return 0;
}

int manifest_write(const char *dir, const struct manifest *manifest, struct err *err)
{
    char path[PATH_MAX];
    const char *fault = manifest_fault(manifest);
    unsigned char *bytes;
    size_t size;
    int rc = manifest_path(dir, path, sizeof path, err);

    if (rc)
        return rc;
    if (!fault && strlen(manifest->settings) > MANIFEST_BYTES_MAX / 2)
        fault = "its settings are too long";
    if (fault)
        return err_set(err, ERR_INPUT, "cannot write %s: %s", path, fault);
    bytes = encode(manifest, &size);
    if (!bytes)
        return err_set(err, ERR_MEMORY, "no memory to write %s", path);
    /* The shards' names first: they must not appear after the manifest. */
    rc = file_sync_dir(dir, err);
    if (rc == 0)
        rc = file_write_atomic(path, bytes, size, err);
    if (rc)
        unlink(path); /* it may be in place, but not for certain */
    free(bytes);
    return rc;
}

/* --- reading --------------------------------------------------------------------- */

static bool text_in(const ProtobufCBinaryData *from, char *to, size_t size)
{
    to[0] = '\0';
    if (from->len == 0) /* then there is no data either */
        return true;
    if (from->len >= size || memchr(from->data, '\0', from->len))
        return false;
    memcpy(to, from->data, from->len);
    to[from->len] = '\0';
    return true;
}

static const char *unpack_lists(const Disk__Manifest *from, struct manifest *to)
{
    if (from->n_range > MANIFEST_RANGES_MAX || from->n_table > SHARD_TABLES_MAX ||
        from->n_shard > SERVERS_MAX || from->n_share_ranges > WORKERS_MAX)
        return "a list is too long";
    to->ranges = (uint32_t)from->n_range;
    to->tables = (uint32_t)from->n_table;
    to->shards = (uint32_t)from->n_shard;
    to->shares = (uint32_t)from->n_share_ranges;
    to->grows = from->known > 0;
    to->known = to->grows ? from->known - 1 : 0;
    for (uint32_t i = 0; i < to->shares; i++)
        to->share_ranges[i] = from->share_ranges[i];
    for (uint32_t i = 0; i < to->ranges; i++)
        to->range[i] = (struct range){from->range[i]->first, from->range[i]->end};
    for (uint32_t i = 0; i < to->tables; i++) {
        const Disk__Table *table = from->table[i];

        if (!text_in(&table->name, to->table[i].name, sizeof to->table[i].name))
            return "a table's name is too long";
        to->table[i].id = table->id;
        to->table[i].dim = table->dim;
        to->table[i].width = table->width;
        to->table[i].state_width = table->state_width;
        to->table[i].rows = table->rows;
    }
    for (uint32_t i = 0; i < to->shards; i++) {
        const Disk__Shard *shard = from->shard[i];

        if (!text_in(&shard->file, to->shard[i].file, sizeof to->shard[i].file))
            return "a shard's file name is too long";
        to->shard[i].facts = (struct shard_facts){shard->bytes, shard->rows,
                                                  shard->checksum};
    }
    return NULL;
}

/* Copies what was decoded; NULL or what is wrong. The settings are left out. */
static const char *unpack(const Disk__Manifest *from, struct manifest *to)
{
    if (!text_in(&from->job, to->job, sizeof to->job) ||
        !text_in(&from->version, to->version, sizeof to->version))
        return "the job's name or the program's version is too long";
    to->number = from->number;
    to->written = from->written;
    to->epoch = from->epoch;
    to->clock = from->clock;
    to->seconds = from->seconds;
    if (from->data) {
        to->data.train_examples = from->data->train_examples;
        to->data.test_examples = from->data->test_examples;
        to->data.digest = from->data->digest;
        to->data.label_mean = from->data->label_mean;
        to->data.positions = from->data->positions;
        to->data.grain = from->data->grain;
        to->data.preparation_bytes = from->data->preparation_bytes;
        to->data.preparation_digest = from->data->preparation_digest;
    }
    if (from->best)
        to->best = (struct best){.badness = from->best->badness,
                                 .epoch = from->best->epoch,
                                 .misses = from->best->misses,
                                 .checkpoint = from->best->checkpoint,
                                 .clock = from->best->clock,
                                 .reached = from->best->reached};
    return unpack_lists(from, to);
}

static int damaged(const char *path, struct err *err, const char *fault)
{
    return err_set(err, ERR_DAMAGE, "%s is damaged: %s", path, fault);
}

static int decode(const char *path, const unsigned char *bytes, size_t length,
                  struct manifest *manifest, struct err *err)
{
    Disk__Manifest *decoded = disk__manifest__unpack(NULL, length, bytes);
    const char *fault;
    int rc = 0;

    if (!decoded)
        return damaged(path, err, "its fields cannot be decoded");
    if (decoded->format > MANIFEST_FORMAT) {
        rc = err_set(err, ERR_INPUT, "%s is of format %u, this program reads format %u",
                     path, decoded->format, MANIFEST_FORMAT);
        goto out;
    }
    manifest->settings = malloc(decoded->settings.len + 1);
    if (!manifest->settings) {
        rc = err_set(err, ERR_MEMORY, "no memory to read %s", path);
        goto out;
    }
    fault = decoded->format == 0 ? "it has no format" : unpack(decoded, manifest);
    if (!fault &&
        !text_in(&decoded->settings, manifest->settings, decoded->settings.len + 1))
        fault = "its settings are not text";
    if (!fault)
        fault = manifest_fault(manifest);
    if (fault)
        rc = damaged(path, err, fault);
out:
    disk__manifest__free_unpacked(decoded, NULL);
    return rc;
}

/* Magic, length and checksum: is this what was written? */
static int check_frame(const char *path, const unsigned char *bytes, size_t size,
                       struct err *err)
{
    uint32_t length;
    uint64_t stored, found;

    if (size < FRAME_BYTES)
        return err_set(err, ERR_DAMAGE,
                       "%s is damaged: it has only %zu bytes (truncated?)", path, size);
    if (memcmp(bytes, manifest_magic, MAGIC_BYTES) != 0)
        return damaged(path, err, "it does not start as a manifest, at offset 0");
    memcpy(&length, bytes + MAGIC_BYTES, sizeof length);
    if (length != size - FRAME_BYTES)
        return err_set(err, ERR_DAMAGE,
                       "%s is damaged: the length at offset 8 says %u bytes, there are "
                       "%zu (truncated?)",
                       path, length, size - FRAME_BYTES);
    memcpy(&stored, bytes + size - CHECKSUM_BYTES, sizeof stored);
    found = XXH3_64bits(bytes, size - CHECKSUM_BYTES);
#ifndef MUTANT_MANIFEST_CHECKSUM
    if (stored != found)
        return err_set(
            err, ERR_DAMAGE,
            "%s is damaged: bytes 0 to %zu have the checksum %016llx, written "
            "was %016llx",
            path, size - CHECKSUM_BYTES, (unsigned long long)found,
            (unsigned long long)stored);
#else
    (void)stored, (void)found;
#endif
    return 0;
}

int manifest_read(const char *dir, struct manifest *manifest, struct err *err)
{
    char path[PATH_MAX], *bytes = NULL;
    struct stat info;
    size_t size;
    int rc;

    memset(manifest, 0, sizeof *manifest);
    rc = manifest_path(dir, path, sizeof path, err);
    if (rc)
        return rc;
    if (stat(path, &info))
        return errno == ENOENT || errno == ENOTDIR
                   ? err_set(err, ERR_INPUT,
                             "%s is not a whole checkpoint: it has no manifest", dir)
                   : err_system(err, "cannot read %s", path);
    if (!S_ISREG(info.st_mode) || info.st_size > MANIFEST_BYTES_MAX)
        return damaged(path, err, "it is not a file, or too long for a manifest");
    rc = file_read_all(path, MANIFEST_BYTES_MAX, &bytes, &size, err);
    if (rc)
        return rc;
    rc = check_frame(path, (unsigned char *)bytes, size, err);
    if (rc == 0)
        rc = decode(path, (unsigned char *)bytes + MAGIC_BYTES + LENGTH_BYTES,
                    size - FRAME_BYTES, manifest, err);
    free(bytes);
    if (rc)
        manifest_release(manifest);
    return rc;
}

void manifest_release(struct manifest *manifest)
{
    free(manifest->settings);
    memset(manifest, 0, sizeof *manifest);
}

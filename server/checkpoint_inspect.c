/* What is in a checkpoint, for people and as JSON: its manifest alone is read. */
#include <inttypes.h>
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "server/checkpoint.h"

/* Bytes of a table's rows in the shard files. */
static uint64_t table_size(const struct shard_table *table)
{
    return table->rows * shard_row_bytes(table);
}

static const char *time_text(int64_t seconds, char *text, size_t size)
{
    time_t at = (time_t)seconds;
    struct tm utc;

    if (!gmtime_r(&at, &utc) || strftime(text, size, "%Y-%m-%dT%H:%M:%SZ", &utc) == 0)
        snprintf(text, size, "%" PRId64 " seconds after 1970", seconds);
    return text;
}

/* --- for people ------------------------------------------------------------------ */

/* A setting comes from a file that anyone may have made: nothing in it moves the
 * cursor. */
static void print_settings(const char *settings, FILE *out)
{
    bool at_start = true;

    fprintf(out, "\nsettings\n");
    for (const char *p = settings; *p; p++) {
        if (at_start)
            fprintf(out, "  ");
        at_start = *p == '\n';
        fputc(((unsigned char)*p < 0x20 && !at_start) || *p == 0x7F ? '?' : *p, out);
    }
    if (!at_start)
        fputc('\n', out);
}

/* Of data that are not held in memory, how many examples are left is not to be known;
 * but how much has not been finished. */
static uint64_t pieces_left(const struct manifest *manifest)
{
    uint64_t grain = manifest->data.grain, pieces = 0;

    for (uint32_t i = 0; i < manifest->ranges; i++) {
        const struct range *range = &manifest->range[i];

        if (range->first < range->end)
            pieces += (range->end - 1) / grain - range->first / grain + 1;
    }
    return pieces;
}

static void print_run(const struct manifest *manifest, FILE *out)
{
    char when[64];

    fprintf(out, "job         %s\n", manifest->job);
    fprintf(out, "written     %s by rowhouse %s\n",
            time_text(manifest->written, when, sizeof when), manifest->version);
    fprintf(out, "epoch       %u finished", manifest->epoch);
    if (manifest->ranges && manifest->data.grain)
        fprintf(out,
                ", in the middle of epoch %u: %" PRIu64 " of %" PRIu64 " pieces left",
                manifest->epoch + 1, pieces_left(manifest),
                manifest->data.positions / manifest->data.grain);
    else if (manifest->ranges)
        fprintf(out, ", in the middle of epoch %u: %" PRIu64 " examples left",
                manifest->epoch + 1, ranges_count(manifest->range, manifest->ranges));
    fprintf(out, "\nclock       %" PRIu64 "\n", manifest->clock);
    fprintf(out, "trained     %.1f s\n", manifest->seconds);
    fprintf(out, "data        %" PRIu64 " training and %" PRIu64 " test examples",
            manifest->data.train_examples, manifest->data.test_examples);
    fprintf(out, ", label mean %.6g, digest %016" PRIx64 "\n",
            manifest->data.label_mean, manifest->data.digest);
}

static void print_tables(const struct manifest *manifest, FILE *out)
{
    char size[CHECKPOINT_SIZE_MAX];

    fprintf(out, "\n%-16s %12s %6s %6s %6s %10s\n", "table", "rows", "dim", "width",
            "state", "size");
    for (uint32_t i = 0; i < manifest->tables; i++) {
        const struct shard_table *table = &manifest->table[i];

        fprintf(out, "%-16s %12" PRIu64 " %6u %6u %6u %10s\n", table->name, table->rows,
                table->dim, table->width, table->state_width,
                checkpoint_size(table_size(table), size));
    }
    fprintf(out, "\n%-16s %12s %16s %10s\n", "file", "rows", "checksum", "size");
    for (uint32_t i = 0; i < manifest->shards; i++) {
        const struct shard_facts *facts = &manifest->shard[i].facts;

        fprintf(out, "%-16s %12" PRIu64 " %016" PRIx64 " %10s\n",
                manifest->shard[i].file, facts->rows, facts->checksum,
                checkpoint_size(facts->bytes, size));
    }
}

static int print_text(const char *path, const struct manifest *manifest, FILE *out)
{
    fprintf(out, "checkpoint  %s\n", path);
    print_run(manifest, out);
    print_tables(manifest, out);
    print_settings(manifest->settings, out);
    return 0;
}

/* --- JSON ------------------------------------------------------------------------ */

/* Text that need not be UTF-8: what is not becomes '?'. */
static json_t *json_text(const char *text, size_t length)
{
    json_t *value = json_stringn(text, length);
    char *plain;

    if (value)
        return value;
    plain = malloc(length + 1);
    if (!plain)
        return NULL;
    for (size_t i = 0; i < length; i++)
        plain[i] = (unsigned char)text[i] < 0x80 ? text[i] : '?';
    value = json_stringn(plain, length);
    free(plain);
    return value;
}

static json_t *json_number(double value)
{
    return isfinite(value) ? json_real(value) : json_null();
}

/* 64 bits as text: JSON's numbers end at 53. */
static json_t *json_hex(uint64_t value)
{
    return json_sprintf("%016" PRIx64, value);
}

/* An object {name: {...}}, as in a report. */
static json_t *json_tables(const struct manifest *manifest)
{
    json_t *tables = json_object();

    for (uint32_t i = 0; tables && i < manifest->tables; i++) {
        const struct shard_table *table = &manifest->table[i];
        json_t *name = json_text(table->name, strlen(table->name));
        json_t *one = json_pack(
            "{s:I, s:I, s:I, s:I, s:I}", "rows", (json_int_t)table->rows, "dim",
            (json_int_t)table->dim, "width", (json_int_t)table->width, "state_width",
            (json_int_t)table->state_width, "bytes", (json_int_t)table_size(table));
        bool failed = json_object_set_new(tables, json_string_value(name), one) != 0;

        json_decref(name);
        if (failed) {
            json_decref(tables);
            return NULL;
        }
    }
    return tables;
}

static json_t *json_shards(const struct manifest *manifest)
{
    json_t *shards = json_array();

    for (uint32_t i = 0; shards && i < manifest->shards; i++) {
        const struct shard_facts *facts = &manifest->shard[i].facts;
        json_t *one = json_pack("{s:s, s:I, s:I, s:o}", "file", manifest->shard[i].file,
                                "rows", (json_int_t)facts->rows, "bytes",
                                (json_int_t)facts->bytes, "checksum",
                                json_hex(facts->checksum));

        if (json_array_append_new(shards, one)) {
            json_decref(shards);
            return NULL;
        }
    }
    return shards;
}

/* Adds one line name=value; false without memory. */
static bool add_setting(json_t *object, const char *line, size_t length)
{
    const char *equals = memchr(line, '=', length);
    json_t *name, *value;
    bool added;

    if (!equals)
        return true;
    name = json_text(line, (size_t)(equals - line));
    value = json_text(equals + 1, length - (size_t)(equals - line) - 1);
    added = name && value &&
            json_object_set(object, json_string_value(name), value) == 0;
    json_decref(name);
    json_decref(value);
    return added;
}

/* An object of the settings; values stay text. */
static json_t *json_settings(const char *settings)
{
    json_t *object = json_object();

    for (const char *line = settings; object && *line;) {
        size_t length = strcspn(line, "\n");

        if (!add_setting(object, line, length)) {
            json_decref(object);
            return NULL;
        }
        line += length + (line[length] == '\n');
    }
    return object;
}

static json_t *json_examples_left(const struct manifest *manifest)
{
    if (manifest->ranges && manifest->data.grain)
        return json_null();
    return json_integer((json_int_t)ranges_count(manifest->range, manifest->ranges));
}

static json_t *json_manifest(const char *path, const struct manifest *manifest)
{
    const struct data_facts *data = &manifest->data;
    char when[64];

    time_text(manifest->written, when, sizeof when);
    return json_pack(
        "{s:o, s:I, s:o, s:o, s:s, s:I, s:o, s:I, s:o,"
        " s:{s:I, s:I, s:o, s:o}, s:o, s:o, s:o}",
        "path", json_text(path, strlen(path)), "number", (json_int_t)manifest->number,
        "job", json_text(manifest->job, strlen(manifest->job)), "version",
        json_text(manifest->version, strlen(manifest->version)), "written", when,
        "epoch", (json_int_t)manifest->epoch, "examples_left",
        json_examples_left(manifest), "clock", (json_int_t)manifest->clock, "seconds",
        json_number(manifest->seconds), "data", "train_examples",
        (json_int_t)data->train_examples, "test_examples",
        (json_int_t)data->test_examples, "label_mean", json_number(data->label_mean),
        "digest", json_hex(data->digest), "tables", json_tables(manifest), "shards",
        json_shards(manifest), "settings", json_settings(manifest->settings));
}

static int print_json(const char *path, const struct manifest *manifest, FILE *out,
                      struct err *err)
{
    json_t *object = json_manifest(path, manifest);
    int rc = 0;

    if (!object)
        return err_set(err, ERR_MEMORY, "no memory to print %s as JSON", path);
    if (json_dumpf(object, out, JSON_INDENT(2)) || fputc('\n', out) == EOF)
        rc = err_system(err, "cannot print the result");
    json_decref(object);
    return rc;
}

int checkpoint_inspect(const char *path, bool json, FILE *out, struct err *err)
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
        rc = json ? print_json(found, manifest, out, err)
                  : print_text(found, manifest, out);
    if (rc == 0 && (ferror(out) || fflush(out)))
        rc = err_system(err, "cannot print the result");
    manifest_release(manifest);
    free(manifest);
    return rc;
}

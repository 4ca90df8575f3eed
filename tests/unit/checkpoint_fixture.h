/* Tables with known rows, a directory for their files, and bytes to spoil: for the
 * tests of shard, manifest and checkpoint. */
#ifndef ROWHOUSE_TESTS_UNIT_CHECKPOINT_FIXTURE_H
#define ROWHOUSE_TESTS_UNIT_CHECKPOINT_FIXTURE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/rng.h"
#include "server/checkpoint.h"

/* What a table of the fixture looks like. */
struct fixture_spec {
    const char *name;
    uint32_t dim, width, state_width;
    uint64_t rows;
};

struct fixture {
    char dir[256];
    struct region region;
    struct table table[SHARD_TABLES_MAX];
    const struct table *list[SHARD_TABLES_MAX];
    const char *name[SHARD_TABLES_MAX];
    uint32_t tables;
};

enum { FIXTURE_REGION = 256 * 1024 * 1024 };

/* Key i of a table: all over the range, the two ends included. */
static inline uint64_t fixture_key(uint32_t table, uint64_t i)
{
    return i == 0 ? UINT64_MAX : i == 1 ? 0 : mix64(i * 31 + table);
}

/* Float f of a row; any pattern of bits but those of NaN. */
static inline float fixture_value(uint32_t table, uint64_t key, uint32_t f)
{
    return (float)((double)(int64_t)mix64(key ^ (f + 1) * 1000003 ^ table) * 0x1p-63);
}

static inline void fixture_dir(struct fixture *fixture)
{
    const char *tmp = getenv("TMPDIR");

    snprintf(fixture->dir, sizeof fixture->dir, "%s/rowhouse-test-XXXXXX",
             tmp && *tmp ? tmp : "/tmp");
    if (!mkdtemp(fixture->dir))
        fail_msg("cannot make %s", fixture->dir);
}

/* Makes the tables; of `servers`, only the rows of server `server`. */
static inline void fixture_tables(struct fixture *fixture,
                                  const struct fixture_spec *spec, uint32_t tables,
                                  uint32_t server, uint32_t servers)
{
    struct err err;

    fixture->region = (struct region){
        .size = FIXTURE_REGION, .bytes_max = FIXTURE_REGION, .fd = -1};
    fixture->region.base = mmap(NULL, FIXTURE_REGION, PROT_READ | PROT_WRITE,
                                MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    assert_ptr_not_equal(fixture->region.base, MAP_FAILED);
    assert_int_equal(region_format(&fixture->region, &err), 0);
    fixture->tables = tables;
    for (uint32_t t = 0; t < tables; t++) {
        struct table_spec made = {.id = t,
                                  .dim = spec[t].dim,
                                  .width = spec[t].width,
                                  .state_width = spec[t].state_width,
                                  .init = INIT_ZERO};

        fixture->list[t] = &fixture->table[t];
        fixture->name[t] = spec[t].name;
        assert_int_equal(
            table_create(&fixture->table[t], &fixture->region, t, &made, &err), 0);
        for (uint64_t i = 0; i < spec[t].rows; i++) {
            uint64_t key = fixture_key(t, i);
            float *row;

            if (slot_owner(key_slot(t, key), servers) != server)
                continue;
            assert_int_equal(table_find_or_make(&fixture->table[t], &key, 1, &row), 0);
            for (uint32_t f = 0; f < made.width + made.state_width; f++)
                row[f] = fixture_value(t, key, f);
        }
    }
}

static inline void fixture_drop_tables(struct fixture *fixture)
{
    munmap(fixture->region.base, FIXTURE_REGION);
}

static inline void fixture_remove_dir(const char *dir)
{
    char command[512];

    snprintf(command, sizeof command, "rm -rf '%s'", dir);
    assert_int_equal(system(command), 0);
}

/* "DIR/NAME" in one of four static buffers. */
static inline const char *fixture_path(const char *dir, const char *name)
{
    static char path[4][1024];
    static int next;

    next = (next + 1) % 4;
    snprintf(path[next], sizeof path[next], "%s/%s", dir, name);
    return path[next];
}

/* A whole file; the caller frees it. */
static inline unsigned char *fixture_load(const char *path, size_t *size)
{
    FILE *file = fopen(path, "rb");
    unsigned char *bytes;

    if (!file)
        fail_msg("cannot open %s", path);
    fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    bytes = malloc(*size + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *size, file), *size);
    fclose(file);
    return bytes;
}

/* A new file, not the old one cut to nothing: ext4 would write that out at once. */
static inline void fixture_store(const char *path, const void *bytes, size_t size)
{
    FILE *file;

    unlink(path);
    file = fopen(path, "wb");

    if (!file)
        fail_msg("cannot make %s", path);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static inline bool fixture_exists(const char *path)
{
    return access(path, F_OK) == 0;
}

static inline void assert_text(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("'%s' is not in '%s'", part, text);
}

/* Writes checkpoint `number` of `servers` servers into `dir`, as a run would. */
static inline void fixture_checkpoint(const char *dir, uint64_t number,
                                      uint32_t servers, const struct fixture_spec *spec,
                                      uint32_t tables, char *path, size_t size)
{
    struct manifest *m = calloc(1, sizeof *m);
    struct err err = {0};

    assert_non_null(m);
    m->number = number;
    m->settings = strdup("name=films\ntrain.epochs=5\noptimizer.rate=0.05\n");
    snprintf(m->job, sizeof m->job, "films");
    snprintf(m->version, sizeof m->version, "0.1.0");
    m->written = 1700000000;
    m->epoch = 2;
    m->ranges = 2;
    m->range[0] = (struct range){10, 20};
    m->range[1] = (struct range){50, 55};
    m->clock = 77;
    m->data = (struct data_facts){.train_examples = 100,
                                  .test_examples = 11,
                                  .digest = 0x0123456789abcdef,
                                  .label_mean = 3.5};
    m->seconds = 12.5;
    m->tables = tables;
    m->shards = servers;
    assert_int_equal(checkpoint_begin(dir, number, path, size, &err), 0);
    for (uint32_t s = 0; s < servers; s++) {
        struct fixture part;

        fixture_tables(&part, spec, tables, s, servers);
        shard_name(s, servers, m->shard[s].file);
        if (shard_write(fixture_path(path, m->shard[s].file), s, servers, part.list,
                        part.name, tables, &m->shard[s].facts, &err))
            fail_msg("%s", err.text);
        for (uint32_t t = 0; t < tables; t++) {
            snprintf(m->table[t].name, sizeof m->table[t].name, "%s", spec[t].name);
            m->table[t].id = t;
            m->table[t].dim = spec[t].dim;
            m->table[t].width = spec[t].width;
            m->table[t].state_width = spec[t].state_width;
            m->table[t].rows += table_rows(&part.table[t]);
        }
        fixture_drop_tables(&part);
    }
    if (manifest_write(path, m, &err))
        fail_msg("%s", err.text);
    manifest_release(m);
    free(m);
}

#endif

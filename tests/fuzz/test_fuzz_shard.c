/* Shard files from hostile hands. An input is a file; it is read as it is and once more
 * with its checksums put right, or nothing behind them would ever be reached.
 *
 * Plain: every file of tests/fuzz/corpus/shard, then seeded mutations of them (run from
 * the project's directory). `test_fuzz_shard.t --write` makes the corpus anew.
 * With a fuzzer: make fuzz FUZZ=shard; a file that it finds joins the corpus together
 * with the fix. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xxhash.h>

#include "server/shard.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A broken promise stops a fuzzer and a test alike. */
static void must(bool kept, const char *promise, const char *detail)
{
    if (kept)
        return;
    fprintf(stderr, "%s: %s\n", promise, detail);
    abort();
}

struct seen {
    uint32_t tables;
    struct shard_table table[SHARD_TABLES_MAX];
    uint64_t rows[SHARD_TABLES_MAX];
    uint64_t sum; /* of all bytes of the rows: each is touched */
};

static int see_table(void *context, uint32_t index, const struct shard_table *table,
                     struct err *err)
{
    struct seen *seen = context;

    (void)err;
    must(index == seen->tables && index < SHARD_TABLES_MAX, "a wrong table", "index");
    must(strnlen(table->name, SHARD_NAME_MAX) < SHARD_NAME_MAX, "a wrong table",
         "name");
    seen->table[seen->tables++] = *table;
    return 0;
}

static int see_rows(void *context, uint32_t index, const unsigned char *block,
                    uint32_t n, struct err *err)
{
    struct seen *seen = context;
    size_t bytes;

    (void)err;
    must(index < seen->tables && n > 0, "rows of no table", "rows");
    bytes = (size_t)n * shard_row_bytes(&seen->table[index]);
    for (size_t i = 0; i < bytes; i++)
        seen->sum += block[i];
    seen->rows[index] += n;
    return 0;
}

/* Returns whether it was accepted. */
static bool try_file(const uint8_t *data, size_t size)
{
    struct seen seen = {0};
    const struct shard_visitor visitor = {see_table, see_rows, &seen};
    struct shard_facts facts;
    struct err err = {0};
    uint64_t rows = 0;
    char path[64];
    int rc, fd = memfd_create("shard", MFD_CLOEXEC);

    must(fd >= 0 && write(fd, data, size) == (ssize_t)size, "no file", "memfd");
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    rc = shard_read(path, &visitor, &facts, &err);
    close(fd);
    if (rc) {
        must(rc == -ERR_DAMAGE || rc == -ERR_INPUT, "a strange error", err.text);
        must(err.text[0] != '\0', "no sentence", "empty");
        for (const char *s = err.text; *s; s++)
            must((unsigned char)*s >= 0x20, "a control character", err.text);
        return false;
    }
    for (uint32_t i = 0; i < seen.tables; i++) {
        must(seen.rows[i] == seen.table[i].rows, "rows are missing",
             seen.table[i].name);
        rows += seen.rows[i];
    }
    must(facts.rows == rows && facts.bytes == size, "wrong facts", "totals");
    must(facts.checksum == XXH3_64bits(data, size), "wrong facts", "checksum");
    return true;
}

/* --- putting checksums right ----------------------------------------------------- */

static uint32_t number_at(const uint8_t *data, size_t at)
{
    uint32_t number;

    memcpy(&number, data + at, sizeof number);
    return number;
}

static void put_at(uint8_t *data, size_t at, uint64_t number)
{
    memcpy(data + at, &number, sizeof number);
}

/* Follows the sizes that the file claims as far as they lead. */
static void repair(uint8_t *data, size_t size)
{
    XXH3_state_t *sums = XXH3_createState();
    size_t at, bytes;

    XXH3_64bits_reset(sums);
    for (at = 0; at + 40 < size; at += bytes) {
        if (at == 0)
            bytes = number_at(data, 12);
        else
            bytes = 24 + ((size_t)number_at(data, at + 16) + 7) / 8 * 8 + 8;
        if (bytes < 32 || bytes > size - at)
            break;
        put_at(data, at + bytes - 8, XXH3_64bits(data + at, bytes - 8));
        XXH3_64bits_update(sums, data + at + bytes - 8, 8);
    }
    if (at + 40 == size) {
        put_at(data, at + 16, size);
        put_at(data, at + 24, XXH3_64bits_digest(sums));
        put_at(data, at + 32, XXH3_64bits(data + at, 32));
    }
    XXH3_freeState(sums);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *repaired = malloc(size + 1);
    bool fine = try_file(data, size);

    must(repaired != NULL, "no memory", "input");
    memcpy(repaired, data, size);
    repair(repaired, size);
    must(try_file(repaired, size) || !fine, "refused after repair", "of a good file");
    free(repaired);
    return 0;
}

#ifndef FUZZER

#include "tests/fuzz/corpus_runs.h"
#include "tests/unit/checkpoint_fixture.h"

static const char corpus_dir[] = "tests/fuzz/corpus/shard";

static void test_corpus(void **context)
{
    struct corpus corpus;
    uint32_t fine = 0;

    (void)context;
    corpus_read(&corpus, corpus_dir);
    for (uint32_t i = 0; i < corpus.files; i++) {
        corpus_run(corpus.bytes[i], corpus.size[i]);
        fine += try_file(corpus.bytes[i], corpus.size[i]);
    }
    assert_true(fine >= 3 && fine < corpus.files); /* good ones and bad ones */
    corpus_free(&corpus);
}

static void test_mutations(void **context)
{
    struct corpus corpus;

    (void)context;
    corpus_read(&corpus, corpus_dir);
    corpus_mutations(&corpus, 4000);
    corpus_free(&corpus);
}

/* The corpus: shapes of files, and some with a wrong number under right checksums. */
static void write_corpus(void)
{
    static const struct {
        const char *file;
        struct fixture_spec spec[3];
        uint32_t tables;
        uint32_t at, value; /* forged, unless at = 0 */
    } seeds[] = {
        {"one-row", {{"t", 1, 1, 0, 1}}, 1, 0, 0},
        {"empty-table", {{"t", 4, 4, 4, 0}}, 1, 0, 0},
        {"three-tables",
         {{"user", 4, 5, 5, 7}, {"none", 1, 1, 0, 0}, {"item", 2, 2, 2, 9}},
         3,
         0,
         0},
        {"forged-version", {{"t", 1, 1, 0, 3}}, 1, 8, 2},
        {"forged-header-bytes", {{"t", 1, 1, 0, 3}}, 1, 12, 200},
        {"forged-tables", {{"t", 1, 1, 0, 3}}, 1, 24, 16},
        {"forged-width", {{"t", 1, 1, 0, 3}}, 1, 40 + 72, 65536},
        {"forged-state", {{"t", 1, 1, 0, 3}}, 1, 40 + 76, 524288},
        {"forged-rows", {{"t", 1, 1, 0, 3}}, 1, 40 + 84, 0xFFFFFFFF},
        {"forged-block-rows", {{"t", 1, 1, 0, 3}}, 1, 144 + 12, 0xFFFFFFFF},
        {"forged-block-bytes", {{"t", 1, 1, 0, 3}}, 1, 144 + 16, 32},
        {"forged-block-table", {{"t", 1, 1, 0, 3}}, 1, 144 + 8, 1},
    };

    for (size_t i = 0; i < sizeof seeds / sizeof *seeds; i++) {
        struct fixture fixture;
        struct shard_facts facts;
        struct err err;
        const char *path = fixture_path(corpus_dir, seeds[i].file);

        fixture_tables(&fixture, seeds[i].spec, seeds[i].tables, 0, 1);
        if (shard_write(path, 0, 1, fixture.list, fixture.name, seeds[i].tables, &facts,
                        &err))
            fail_msg("%s", err.text);
        if (seeds[i].at) {
            size_t size;
            unsigned char *bytes = fixture_load(path, &size);

            memcpy(bytes + seeds[i].at, &seeds[i].value, 4);
            repair(bytes, size);
            fixture_store(path, bytes, size);
            free(bytes);
        }
        fixture_drop_tables(&fixture);
    }
    fixture_store(fixture_path(corpus_dir, "only-magic"), "\xD2RHSH\r\n\x1A", 8);
    fixture_store(fixture_path(corpus_dir, "nothing"), "", 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_corpus),
        cmocka_unit_test(test_mutations),
    };

    if (argc == 2 && strcmp(argv[1], "--write") == 0) {
        write_corpus();
        return 0;
    }
    return cmocka_run_group_tests_name("fuzz shard", tests, NULL, NULL);
}

#endif

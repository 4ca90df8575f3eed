/* Manifests from hostile hands. An input is the file; it is read as it is and once more
 * with length and checksum put right, or nothing behind them would ever be reached.
 *
 * Plain: every file of tests/fuzz/corpus/manifest, then seeded mutations of them (run
 * from the project's directory). `test_fuzz_manifest.t --write` makes the corpus anew.
 *
 * With a fuzzer: make fuzz FUZZ=manifest; a file that it finds joins the corpus
 * together with the fix. */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "server/manifest.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A broken promise stops a fuzzer and a test alike. */
static void must(bool kept, const char *promise, const char *detail)
{
    if (kept)
        return;
    fprintf(stderr, "%s: %s\n", promise, detail);
    abort();
}

/* The directory that stands for a checkpoint; one for each process. */
static const char *work_dir(void)
{
    static char dir[256];
    const char *tmp = getenv("TMPDIR");

    if (dir[0] == '\0') {
        snprintf(dir, sizeof dir, "%s/rowhouse-fuzz-XXXXXX",
                 tmp && *tmp ? tmp : "/tmp");
        must(mkdtemp(dir) != NULL, "no directory", dir);
    }
    return dir;
}

static void store(const uint8_t *data, size_t size)
{
    char path[300];
    FILE *file;

    snprintf(path, sizeof path, "%s/manifest", work_dir());
    unlink(path);
    file = fopen(path, "wb");
    must(file && fwrite(data, 1, size, file) == size && fclose(file) == 0, "no file",
         path);
}

/* What no accepted manifest may break. */
static void check_accepted(const struct manifest *m)
{
    must(m->ranges <= MANIFEST_RANGES_MAX && m->tables <= SHARD_TABLES_MAX &&
             m->shards <= SERVERS_MAX,
         "a list is too long", "accepted");
    for (uint32_t i = 0; i < m->shards; i++)
        must(shard_is_name(m->shard[i].file), "a strange file", m->shard[i].file);
    for (uint32_t i = 0; i < m->ranges; i++)
        must(m->range[i].first < m->range[i].end, "a range", "accepted");
    must(shard_tables_fault(m->table, m->tables) == NULL, "a table", "accepted");
    must(strlen(m->settings) < MANIFEST_BYTES_MAX, "settings", "accepted");
}

/* Returns whether it was accepted. */
static bool try_file(const uint8_t *data, size_t size)
{
    static struct manifest first, second;
    struct err err = {0};
    int rc;

    store(data, size);
    rc = manifest_read(work_dir(), &first, &err);
    if (rc) {
        must(rc == -ERR_DAMAGE || rc == -ERR_INPUT, "a strange error", err.text);
        must(err.text[0] != '\0' && !first.settings, "no sentence", "empty");
        return false;
    }
    check_accepted(&first);
    if (strlen(first.settings) <= MANIFEST_BYTES_MAX / 2) {
        must(manifest_write(work_dir(), &first, &err) == 0, "not written", err.text);
        must(manifest_read(work_dir(), &second, &err) == 0, "not read", err.text);
        must(strcmp(first.settings, second.settings) == 0, "changed", "settings");
        manifest_release(&second);
    }
    manifest_release(&first);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *repaired = malloc(size + 1);
    bool fine = try_file(data, size);

    must(repaired != NULL, "no memory", "input");
    memcpy(repaired, data, size);
    if (size >= 20) {
        uint32_t length = (uint32_t)size - 20;
        uint64_t sum;

        memcpy(repaired + 8, &length, sizeof length);
        sum = XXH3_64bits(repaired, size - 8);
        memcpy(repaired + size - 8, &sum, sizeof sum);
    }
    must(try_file(repaired, size) || !fine, "refused after repair", "of a good file");
    free(repaired);
    return 0;
}

#ifndef FUZZER

#include "tests/fuzz/corpus_runs.h"
#include "tests/unit/checkpoint_fixture.h"
#include "tests/unit/fault_calls.h" /* its fsync() does not wait for the disk */

static const char corpus_dir[] = "tests/fuzz/corpus/manifest";

static int remove_work_dir(void **context)
{
    char path[300];

    (void)context;
    snprintf(path, sizeof path, "%s/manifest", work_dir());
    unlink(path);
    return rmdir(work_dir());
}

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

/* Copies what fixture_checkpoint() and a change of it make. */
static void write_corpus(void)
{
    static const struct fixture_spec films[] = {{"user", 2, 3, 3, 40},
                                                {"item", 2, 3, 3, 30}};
    struct manifest *m = calloc(1, sizeof *m);
    struct fixture fixture;
    struct err err;
    char path[400], to[200];
    unsigned char *bytes;
    size_t size;

    fixture_dir(&fixture);
    for (uint32_t servers = 1; servers <= 4; servers += 3) {
        fixture_checkpoint(fixture.dir, servers, servers, films, 2, path, sizeof path);
        bytes = fixture_load(fixture_path(path, "manifest"), &size);
        snprintf(to, sizeof to, "%s/servers-%u", corpus_dir, servers);
        fixture_store(to, bytes, size);
        snprintf(to, sizeof to, "%s/cut-%u", corpus_dir, servers);
        fixture_store(to, bytes, size / 2);
        bytes[size / 2] ^= 1;
        snprintf(to, sizeof to, "%s/flipped-%u", corpus_dir, servers);
        fixture_store(to, bytes, size);
        free(bytes);
    }
    assert_int_equal(manifest_read(path, m, &err), 0);
    m->ranges = 0;
    m->settings[0] = '\0';
    m->job[0] = '\0';
    assert_int_equal(manifest_write(path, m, &err), 0);
    bytes = fixture_load(fixture_path(path, "manifest"), &size);
    fixture_store(fixture_path(corpus_dir, "sparse"), bytes, size);
    free(bytes);
    fixture_store(fixture_path(corpus_dir, "only-magic"), "\xD2RHMF\r\n\x1A", 8);
    fixture_store(fixture_path(corpus_dir, "empty-fields"),
                  "\xD2RHMF\r\n\x1A\0\0\0\0\0\0\0\0\0\0\0\0", 20);
    fixture_store(fixture_path(corpus_dir, "nothing"), "", 0);
    manifest_release(m);
    free(m);
    fixture_remove_dir(fixture.dir);
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
    return cmocka_run_group_tests_name("fuzz manifest", tests, NULL, remove_work_dir);
}

#endif

/* Packed files from hostile hands. An input is a file; it is read as it is, once more
 * with its checksums put right (or nothing behind them would ever be reached), and both
 * as a stream, too.
 *
 * Plain: every file of tests/fuzz/corpus/packed, then seeded mutations of them (run
 * from the project's directory). `test_fuzz_packed.t --write` makes the corpus anew.
 * With a fuzzer: make fuzz FUZZ=packed; a file that it finds joins the corpus together
 * with the fix. */
#include <fcntl.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <xxhash.h>

#include "worker/stream/packed/packed.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { STREAM_BYTES_MAX = 60000 }; /* what a pipe takes without a reader */

/* A broken promise stops a fuzzer and a test alike. */
static void must(bool kept, const char *promise, const char *detail)
{
    if (kept)
        return;
    fprintf(stderr, "%s: %s\n", promise, detail);
    abort();
}

static bool refused(int rc, const struct err *err)
{
    if (rc >= 0)
        return false;
    must(rc == -ERR_INPUT, "a strange error", err->text);
    must(err->text[0] != '\0', "no sentence", "empty");
    for (const char *s = err->text; *s; s++)
        must((unsigned char)*s >= 0x20, "a control character", err->text);
    return true;
}

/* Touches every value, and checks what readers of blocks rely on. */
static void look_at(const struct block *block)
{
    uint64_t sum = 0;

    for (uint32_t c = 0; c < block->schema->columns; c++) {
        const struct schema_column *column = &block->schema->column[c];
        const struct values *v = &block->column[c];

        if (v->offset)
            must(v->offset[0] == 0, "an offset", column->name);
        for (uint32_t i = 0; v->offset && i < block->n; i++)
            must(v->offset[i] <= v->offset[i + 1], "an offset", column->name);
        for (uint32_t i = 0; v->text && i < v->offset[block->n]; i++)
            sum += (unsigned char)v->text[i];
        for (uint32_t i = 0; column->kind == VALUE_KEYS && i < v->offset[block->n]; i++)
            must(isfinite(v->number[i]), "a weight", column->name), sum += v->key[i];
        for (uint32_t i = 0; column->kind == VALUE_NUMBER && i < block->n; i++)
            must(!isinf(v->number[i]) && (column->may_miss || !isnan(v->number[i])),
                 "a number", column->name);
        for (uint32_t i = 0; column->kind == VALUE_KEY && i < block->n; i++)
            must(!v->missing || v->missing[i] <= 1, "a missing key", column->name),
                sum += v->key[i];
        for (uint32_t i = 0; column->kind == VALUE_TIME && i < block->n; i++)
            sum += (uint64_t)v->time[i];
    }
    must(sum != 0x123456789abcdef, "a sum that never is", "");
}

/* Reads all that can be read; returns whether that was everything. */
static bool read_all(struct packed *packed, struct err *err)
{
    struct packed_columns columns;
    struct block block;
    uint64_t n = 0;
    int rc;

    must(packed_match(packed, packed_schema(packed), &columns, err) == 0, "no match",
         err->text);
    must(block_create(&block, packed_schema(packed), packed_capacity(packed), err) == 0,
         "no memory", err->text);
    while ((rc = packed_next(packed, err)) == 1) {
        block_clear(&block);
        rc = packed_decode(packed, &columns, 0, &block, err);
        if (rc)
            break;
        must(block.n == packed_loaded_examples(packed), "examples are missing", "");
        look_at(&block);
        n += block.n;
    }
    must(rc < 0 || n == packed_examples(packed), "a wrong number of examples", "");
    block_release(&block);
    return !refused(rc, err);
}

static bool try_path(const char *path)
{
    struct packed *packed;
    struct err err = {0};
    bool fine;

    if (refused(packed_open(path, &packed, &err), &err))
        return false;
    fine = read_all(packed, &err);
    packed_close(packed);
    return fine;
}

static bool try_file(const uint8_t *data, size_t size)
{
    int fd = memfd_create("packed", MFD_CLOEXEC), pipes[2];
    char path[64];
    bool fine;

    must(fd >= 0 && write(fd, data, size) == (ssize_t)size, "no file", "memfd");
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    fine = try_path(path);
    close(fd);
    if (size > STREAM_BYTES_MAX)
        return fine;
    must(pipe2(pipes, O_CLOEXEC) == 0 && write(pipes[1], data, size) == (ssize_t)size,
         "no stream", "pipe");
    close(pipes[1]);
    snprintf(path, sizeof path, "/proc/self/fd/%d", pipes[0]);
    must(try_path(path) <= fine, "a stream is read that is no file", "");
    close(pipes[0]);
    return fine;
}

/* --- putting checksums right --------------------------------------------------- */

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
    for (at = 0; at + 48 <= size; at += bytes) {
        bytes = at == 0 ? number_at(data, 12) : number_at(data, at + 4);
        if (at && number_at(data, at) != 0x4B425052)
            break;
        if (bytes < 40 || bytes > size - at)
            break;
        put_at(data, at + bytes - 8, XXH3_64bits(data + at, bytes - 8));
        XXH3_64bits_update(sums, data + at + bytes - 8, 8);
    }
    if (at + 48 <= size && number_at(data, at) == 0x58495052) {
        put_at(data, size - 16, XXH3_64bits_digest(sums));
        put_at(data, size - 8, XXH3_64bits(data + at, size - at - 8));
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

#include "common/file.h"
#include "tests/fuzz/corpus_runs.h"
#include "tests/unit/packed_kit.h"

static const char corpus_dir[] = "tests/fuzz/corpus/packed";

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

static const char *corpus_path(const char *name)
{
    static char path[512];

    snprintf(path, sizeof path, "%s/%s", corpus_dir, name);
    return path;
}

/* Where the n-th run of the first block's column c is. */
static size_t run_at(const char *bytes, uint32_t c, uint32_t run)
{
    uint32_t header = number_at((const uint8_t *)bytes, 12);
    size_t at = header + number_at((const uint8_t *)bytes, header + 32 + 8 * c);

    for (; run > 0; run--) {
        const uint8_t *b = (const uint8_t *)bytes + at;
        size_t entries = b[0] == 2 ? number_at(b, 8) : 0;

        at += 24 + (entries * 8 + 7) / 8 * 8 +
              ((size_t)number_at(b, 4) * b[1] + 7) / 8 * 8;
    }
    return at;
}

/* The corpus: shapes of files, and some with a wrong number under right checksums. */
static void write_corpus(void)
{
    static const struct {
        const char *name;
        uint32_t examples, column, run, at, bytes;
        uint64_t value;
    } seeds[] = {
        {"empty", 0, 0, 0, 0, 0, 0},
        {"one", 1, 0, 0, 0, 0, 0},
        {"blocks", 47, 0, 0, 0, 0, 0},
        {"forged-encoding", 10, 1, 0, 0, 1, 3},
        {"forged-width", 10, 1, 0, 1, 1, 8},
        {"forged-count", 10, 1, 0, 4, 4, 0xFFFFFFFF},
        {"forged-entries", 10, 1, 0, 8, 8, 65537},
        {"forged-step", 10, 6, 0, 16, 8, 0},
        {"forged-lengths", 10, 2, 0, 8, 8, 1 << 30},
        {"forged-missing", 10, 7, 0, 8, 8, 1},
        {"forged-text", 10, 5, 0, 8, 8, UINT64_MAX},
        {"forged-float-base", 10, 3, 0, 8, 8, 1ull << 40},
    };
    struct err err;
    char *bytes;
    size_t size;

    for (size_t i = 0; i < sizeof seeds / sizeof *seeds; i++) {
        const char *path = corpus_path(seeds[i].name);

        kit_write(path, seeds[i].examples, 10);
        if (!seeds[i].bytes)
            continue;
        assert_int_equal(file_read_all(path, 1 << 20, &bytes, &size, &err), 0);
        memcpy(bytes + run_at(bytes, seeds[i].column, seeds[i].run) + seeds[i].at,
               &seeds[i].value, seeds[i].bytes);
        repair((uint8_t *)bytes, size);
        assert_int_equal(file_write_atomic(path, bytes, size, &err), 0);
        free(bytes);
    }
    assert_int_equal(
        file_write_atomic(corpus_path("only-magic"), packed_magic, 8, &err), 0);
    assert_int_equal(file_write_atomic(corpus_path("nothing"), "", 0, &err), 0);
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
    return cmocka_run_group_tests_name("fuzz packed", tests, NULL, NULL);
}

#endif

/* Text files of every format from hostile hands, whole and in pieces.
 *
 * The first byte of an input chooses the format, the second options (header, quotes,
 * delimiter, encoding, rows left out), the third and fourth where the file is cut. What
 * must hold: no crash; every value is one that its column may have; a file in pieces
 * has the same examples as the whole, and the same complaint; all processor levels
 * agree. Plain: every file of tests/fuzz/corpus/readers, then seeded mutations of them
 * (run from the project's directory).
 * With a fuzzer: make fuzz FUZZ=readers; a file that it finds joins the corpus together
 * with the fix. */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/log.h"
#include "worker/stream/source.h"
#include "worker/stream/text/cuts.h"

enum { CAPACITY = 7, HEAD = 4 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A broken promise stops a fuzzer and a test alike. */
static void must(bool kept, const char *promise, const char *detail)
{
    if (kept)
        return;
    fprintf(stderr, "%s: %s\n", promise, detail);
    abort();
}

/* --- what is asked for ----------------------------------------------------------- */

static const enum data_format formats[] = {DATA_TSV,    DATA_CSV,      DATA_LIBSVM,
                                           DATA_LIBFFM, DATA_LIBFM,    DATA_CRITEO,
                                           DATA_JSONL,  DATA_SEQUENCE, DATA_NCF};
enum { FORMATS = sizeof formats / sizeof *formats };

struct wish {
    const char *name;
    enum value_kind kind;
};

static const struct wish of_tables[] = {
    {"1", VALUE_KEY},  {"2", VALUE_NUMBER}, {"3", VALUE_TEXT}, {"4", VALUE_KEYS},
    {"5", VALUE_TIME}, {"6", VALUE_VECTOR}, {"a", VALUE_KEY},  {"b", VALUE_NUMBER}};
static const struct wish of_criteo[] = {
    {"label", VALUE_NUMBER}, {"I1", VALUE_NUMBER}, {"C26", VALUE_KEY}};
static const struct wish of_svm[] = {{"label", VALUE_NUMBER},
                                     {"features", VALUE_KEYS},
                                     {"field0", VALUE_KEY},
                                     {"field1", VALUE_KEYS}};
static const struct wish of_json[] = {{"a", VALUE_KEY},    {"a.b", VALUE_KEYS},
                                      {"n", VALUE_NUMBER}, {"s", VALUE_TEXT},
                                      {"v", VALUE_VECTOR}, {"t", VALUE_TIME}};
static const struct wish of_sequence[] = {
    {"user", VALUE_KEY}, {"items", VALUE_KEYS}, {"next", VALUE_KEY}};
static const struct wish of_ncf[] = {{"user", VALUE_KEY},
                                     {"item", VALUE_KEY},
                                     {"rating", VALUE_NUMBER},
                                     {"negatives", VALUE_KEYS}};

static void add_wishes(struct schema *schema, const struct wish *wish, size_t n)
{
    *schema = SCHEMA_EMPTY;
    for (size_t i = 0; i < n; i++) {
        struct schema_column *column =
            &schema->column[schema_add(schema, wish[i].name, wish[i].kind)];

        column->optional = true;
        column->may_miss = i != 0;
        column->keep_text = i == 0 && wish[i].kind == VALUE_KEY;
        column->dim = 2;
        snprintf(column->separator, sizeof column->separator, "|");
        snprintf(column->time_format, sizeof column->time_format, "iso");
    }
}

#define WISHES(list) add_wishes(schema, list, sizeof(list) / sizeof *(list))

static void choose(const uint8_t *data, struct job *job, struct schema *schema)
{
    static const char *const delimiters[] = {"", "::", " ", ";"};

    job_init(job);
    job->data.format = (int)formats[data[0] % FORMATS];
    job->data.header = data[1] & 1 ? DATA_YES : DATA_NO;
    job->data.quotes = data[1] & 2 ? DATA_YES : DATA_BY_FORMAT;
    job->data.encoding = data[1] & 4 ? ENCODING_LATIN1 : ENCODING_UTF8;
    job->data.bad_rows = data[1] & 8 ? BAD_ROWS_SKIP : BAD_ROWS_FAIL;
    job->data.bad_rows_max = 1000000;
    snprintf(job->data.delimiter, sizeof job->data.delimiter, "%s",
             delimiters[data[1] >> 4 & 3]);
    snprintf(job->data.missing, sizeof job->data.missing, "%s",
             data[1] & 64 ? "?\n0" : "");
    if (job->data.format == DATA_CRITEO)
        WISHES(of_criteo);
    else if (job->data.format == DATA_JSONL)
        WISHES(of_json);
    else if (job->data.format == DATA_SEQUENCE)
        WISHES(of_sequence);
    else if (job->data.format == DATA_NCF)
        WISHES(of_ncf);
    else if (job->data.format <= DATA_CSV)
        WISHES(of_tables);
    else
        WISHES(of_svm);
}

/* --- what is there --------------------------------------------------------------- */

static void print_example(FILE *out, const struct block *block, uint32_t i)
{
    fprintf(out, "@%llu", (unsigned long long)block->place[i]);
    for (uint32_t c = 0; c < block->schema->columns; c++) {
        const struct values *v = &block->column[c];
        const struct schema_column *column = &block->schema->column[c];

        fputc(' ', out);
        if (column->kind == VALUE_KEY)
            fprintf(out, "%llu", (unsigned long long)v->key[i]);
        if (column->kind == VALUE_KEY && v->missing)
            must(v->missing[i] == 0 || v->key[i] == 0, "a missing key", column->name);
        if (column->kind == VALUE_NUMBER)
            fprintf(out, "%a", (double)v->number[i]);
        if (column->kind == VALUE_NUMBER)
            must(!isinf(v->number[i]), "no finite number", column->name);
        if (column->kind == VALUE_TIME)
            fprintf(out, "%lld", (long long)v->time[i]);
        if (column->kind == VALUE_VECTOR)
            fprintf(out, "%a %a", (double)v->number[2 * i],
                    (double)v->number[2 * i + 1]);
        if (v->offset)
            must(v->offset[i] <= v->offset[i + 1], "offsets", column->name);
        if ((column->kind == VALUE_TEXT || column->keep_text) && v->text)
            fwrite(v->text + v->offset[i], 1, v->offset[i + 1] - v->offset[i], out);
        for (uint32_t k = v->offset ? v->offset[i] : 0;
             column->kind == VALUE_KEYS && k < v->offset[i + 1]; k++)
            fprintf(out, "%llu*%a ", (unsigned long long)v->key[k],
                    (double)v->number[k]);
    }
    fputc('\n', out);
}

static void must_be_a_sentence(const struct err *err)
{
    size_t length = strnlen(err->text, sizeof err->text);

    must(err->code == ERR_INPUT, "an error that is not about the input", err->text);
    must(length > 0 && length < sizeof err->text - 1, "no sentence", err->text);
    for (const char *s = err->text; *s; s++)
        must((unsigned char)*s >= 0x20, "a control character in a sentence", err->text);
}

/* Examples and the complaint, if there is one, of the pieces between cuts. */
static char *read_pieces(const struct job *job, const struct schema *schema,
                         const char *path, const uint64_t *cut, uint32_t cuts)
{
    struct source *source;
    struct block block;
    struct err err = {0};
    size_t size;
    char *text;
    FILE *out = open_memstream(&text, &size);
    int rc = source_create(job, schema, &source, &err);

    must(out != NULL, "no memory", "");
    if (rc == 0) {
        rc = block_create(&block, schema, CAPACITY, &err);
        for (uint32_t i = 0; rc == 0 && i <= cuts; i++) {
            struct piece piece = {.path = path,
                                  .begin = i ? cut[i - 1] : 0,
                                  .end = i < cuts ? cut[i] : PIECE_END};

            rc = source_open(source, &piece, &err);
            while (rc == 0) {
                rc = source_next(source, &block, &err);
                for (uint32_t k = 0; k < block.n; k++)
                    print_example(out, &block, k);
                if (rc == 0)
                    break;
                rc = rc > 0 ? 0 : rc;
            }
        }
        fprintf(out, "%llu left out\n",
                (unsigned long long)source_bad_rows(source)->count);
        source_destroy(source);
        block_release(&block);
    }
    if (rc) {
        must_be_a_sentence(&err);
        fprintf(out, "%s\n", err.text);
    }
    fclose(out);
    return text;
}

static void must_be_equal(char *one, char *other, const char *promise)
{
    must(strcmp(one, other) == 0, promise, one);
    free(other);
}

static void read_all_ways(const struct job *job, const struct schema *schema,
                          const char *path, uint64_t size, const uint8_t *where)
{
    static const char *const levels[] = {"v2", "v3"};
    uint64_t cut[2] = {size * where[0] / 255, size * where[1] / 255};
    struct err err = {0};
    char *whole = read_pieces(job, schema, path, NULL, 0);

    if (cut[0] > cut[1])
        cut[1] = cut[0];
    /* Compressed files are whole, and have no cuts. */
    if (strstr(whole, " is damaged") || strstr(whole, " is truncated")) {
        free(whole);
        return;
    }
    must(cuts_move(job, path, cut, 2, &err) == 0, "no cuts", err.text);
    must_be_equal(whole, read_pieces(job, schema, path, cut, 2), "pieces");
    for (int i = 0; i < 2; i++) {
        setenv("ROWHOUSE_KERNELS", levels[i], 1);
        must_be_equal(whole, read_pieces(job, schema, path, NULL, 0), "levels");
    }
    unsetenv("ROWHOUSE_KERNELS");
    free(whole);
}

/* What unpack.h would take for a compressed file: test_fuzz_examples has those. */
static bool is_compressed(const uint8_t *data, size_t size)
{
    return size >= 2 && ((data[0] == 0x1f && data[1] == 0x8b) ||
                         (size >= 4 && (memcmp(data + 1, "\xb5\x2f\xfd", 3) == 0 ||
                                        memcmp(data + 1, "\x2a\x4d\x18", 3) == 0 ||
                                        memcmp(data + 1, "\x22\x4d\x18", 3) == 0)));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct job *job = malloc(sizeof *job);
    struct schema *schema = malloc(sizeof *schema);
    char path[64];
    int fd;

    must(job && schema, "no memory", "");
    if (size >= HEAD && !is_compressed(data + HEAD, size - HEAD)) {
        log_set_level(LOG_SILENT);
        choose(data, job, schema);
        fd = memfd_create("readers", MFD_CLOEXEC);
        must(fd >= 0, "no file", "memfd");
        must(write(fd, data + HEAD, size - HEAD) == (ssize_t)(size - HEAD), "no file",
             "write");
        snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
        read_all_ways(job, schema, path, size - HEAD, data + 2);
        close(fd);
    }
    free(job);
    free(schema);
    return 0;
}

#ifndef FUZZER

#include "tests/fuzz/corpus_runs.h"

enum { MUTATIONS = 3000 };

static void test_every_seed(void **state)
{
    struct corpus corpus;

    (void)state;
    corpus_read(&corpus, "tests/fuzz/corpus/readers");
    assert_true(corpus.files >= 20);
    for (uint32_t i = 0; i < corpus.files; i++)
        corpus_run(corpus.bytes[i], corpus.size[i]);
    corpus_free(&corpus);
}

static void test_mutations_of_the_seeds(void **state)
{
    struct corpus corpus;

    (void)state;
    corpus_read(&corpus, "tests/fuzz/corpus/readers");
    corpus_mutations(&corpus, MUTATIONS);
    corpus_free(&corpus);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_seed),
        cmocka_unit_test(test_mutations_of_the_seeds),
    };

    return cmocka_run_group_tests_name("fuzz_readers", tests, NULL, NULL);
}

#endif

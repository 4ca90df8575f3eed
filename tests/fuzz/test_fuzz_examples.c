/* Data files from hostile hands: plain, gzip or Zstandard, TSV or CSV.
 *
 * The first byte of an input chooses how the rest is read (bit 0: CSV, bit 1: without
 * labels). Plain: every file of tests/fuzz/corpus/examples, then seeded mutations of
 * them (run from the project's directory).
 * With a fuzzer: make fuzz FUZZ=examples; a file that it finds joins the corpus
 * together with the fix. */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/key.h"
#include "worker/stream/examples.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A broken promise stops a fuzzer and a test alike. */
static void must(bool kept, const char *promise, const char *detail)
{
    if (kept)
        return;
    fprintf(stderr, "%s: %s\n", promise, detail);
    abort();
}

static void must_be_a_sentence(int rc, const struct err *err)
{
    size_t length = strnlen(err->text, sizeof err->text);

    must(rc == -ERR_INPUT, "an error that is not about the input", err->text);
    must(length > 0 && length < sizeof err->text - 1, "no sentence", err->text);
    for (const char *s = err->text; *s; s++)
        must((unsigned char)*s >= 0x20, "a control character in a sentence", err->text);
}

static void must_be_an_example(const struct example *example, bool labels)
{
    const char *text;

    for (int i = 0; i < 2; i++) {
        text = example->key_text[i];
        must(*text != '\0', "an empty key", text);
        must(example->key[i] == key_of_text(text, strlen(text)), "a wrong key", text);
        must(!example->title[i] || strlen(example->title[i]) <= 1 << 20, "a title", "");
    }
    must(labels ? isfinite(example->label) : isnan(example->label), "a wrong label",
         "");
}

static void read_all(const char *path, bool csv, bool labels)
{
    static const struct job_column columns[] = {
        {.name = "user", .as = COLUMN_KEY, .table = "u"},
        {.name = "item", .as = COLUMN_KEY, .table = "i"},
        {.name = "t", .as = COLUMN_TITLE, .table = "i"}};
    struct job *job = calloc(1, sizeof *job);
    struct examples *examples;
    struct example example;
    struct err err = {0};
    int rc;

    must(job != NULL, "no memory", "job");
    job->data.format = csv ? DATA_CSV : DATA_TSV;
    strcpy(job->data.label, "y");
    memcpy(job->data.column, columns, sizeof columns);
    job->data.columns = 3;
    rc = examples_open(job, path, "f", (labels ? COLUMNS_LABEL : 0) | COLUMNS_TEXTS,
                       &examples, &err);
    free(job);
    if (rc) {
        must_be_a_sentence(rc, &err);
        return;
    }
    while ((rc = examples_next(examples, &example, &err)) > 0)
        must_be_an_example(&example, labels);
    if (rc)
        must_be_a_sentence(rc, &err);
    must(strstr(examples_where(examples), " line ") != NULL, "no line", "");
    examples_close(examples);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char path[64];
    int fd;

    if (size == 0)
        return 0;
    fd = memfd_create("examples", MFD_CLOEXEC);
    must(fd >= 0, "no file", "memfd");
    must(write(fd, data + 1, size - 1) == (ssize_t)(size - 1), "no file", "write");
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    read_all(path, data[0] & 1, !(data[0] & 2));
    close(fd);
    return 0;
}

#ifndef FUZZER

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "common/rng.h"

#define CORPUS "tests/fuzz/corpus/examples"

enum { SEEDS_MAX = 200, INPUT_BYTES = 8192, MUTATIONS = 8000 };

struct corpus {
    uint8_t *seed[SEEDS_MAX];
    size_t size[SEEDS_MAX];
    uint32_t seeds;
    uint64_t drawn;
};

/* A number below `bound`, the same in every run. */
static size_t draw(struct corpus *corpus, size_t bound)
{
    return rng_below(rng_at(1, 0, corpus->drawn++), bound);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static int read_seed(struct corpus *corpus, const char *name)
{
    char path[512];
    FILE *file;
    uint8_t *bytes = malloc(INPUT_BYTES);

    snprintf(path, sizeof path, CORPUS "/%s", name);
    file = fopen(path, "rb");
    if (!file || !bytes || corpus->seeds == SEEDS_MAX)
        return -1;
    corpus->size[corpus->seeds] = fread(bytes, 1, INPUT_BYTES, file);
    corpus->seed[corpus->seeds++] = bytes;
    fclose(file);
    return 0;
}

/* In the order of names, so that the mutations are the same everywhere. */
static int read_corpus(void **state)
{
    struct corpus *corpus = calloc(1, sizeof *corpus);
    struct dirent **entry = NULL;
    int n = scandir(CORPUS, &entry, NULL, by_name), rc = 0;

    *state = corpus;
    if (!corpus || n < 0)
        return -1;
    for (int i = 0; i < n; i++) {
        if (rc == 0 && entry[i]->d_name[0] != '.')
            rc = read_seed(corpus, entry[i]->d_name);
        free(entry[i]);
    }
    free(entry);
    return rc;
}

static int drop_corpus(void **state)
{
    struct corpus *corpus = *state;

    for (uint32_t i = 0; i < corpus->seeds; i++)
        free(corpus->seed[i]);
    free(corpus);
    return 0;
}

static void test_every_seed(void **state)
{
    const struct corpus *corpus = *state;

    assert_true(corpus->seeds >= 30);
    for (uint32_t i = 0; i < corpus->seeds; i++)
        LLVMFuzzerTestOneInput(corpus->seed[i], corpus->size[i]);
}

/* Replaces `cut` bytes at `at` by `add` bytes, as far as there is room. */
static size_t splice(uint8_t *input, size_t size, size_t at, size_t cut,
                     const void *bytes, size_t add)
{
    cut = cut < size - at ? cut : size - at;
    if (size - cut + add > INPUT_BYTES)
        return size;
    memmove(input + at + add, input + at + cut, size - at - cut);
    memcpy(input + at, bytes, add);
    return size - cut + add;
}

/* What a mutation may put in. */
/* clang-format off */
static const char *const words[] = {
    "\t", ",", "\"", "\"\"", "\n", "\r\n", "\r", "\",\"", "user", "item", "y", "t",
    "-", "0", "1", "18446744073709551616", "nan", "1e38", "1e-999", "0x1p3", ".", "+",
    " ", "-9223372036854775808", "\xef\xbb\xbf", "\xff\xfe", "\x1f\x8b\x08",
    "\x28\xb5\x2f\xfd", "\x50\x2a\x4d\x18", "\"\n\"", "\t\t\t\t\t\t\t\t\t",
};
/* clang-format on */

static size_t mutate(struct corpus *corpus, uint8_t *input, size_t size)
{
    size_t at = draw(corpus, size + 1), other = draw(corpus, corpus->seeds), from;
    const char *word = words[draw(corpus, sizeof words / sizeof *words)];
    uint8_t byte = (uint8_t)draw(corpus, 256);

    switch (draw(corpus, 6)) {
    case 0: /* a bit */
        if (at < size)
            input[at] ^= (uint8_t)(1u << draw(corpus, 8));
        return size;
    case 1: /* a byte */
        return splice(input, size, at, draw(corpus, 2), &byte, 1);
    case 2: /* something missing */
        return splice(input, size, at, draw(corpus, 20), "", 0);
    case 3: /* the end */
        return at;
    case 4:
        return splice(input, size, at, draw(corpus, 4), word, strlen(word));
    default: /* a part of another one */
        from = draw(corpus, corpus->size[other] + 1);
        return splice(input, size, at, draw(corpus, 20), corpus->seed[other] + from,
                      draw(corpus, corpus->size[other] - from + 1));
    }
}

static void test_mutations_of_the_seeds(void **state)
{
    struct corpus *corpus = *state;
    uint8_t *input = malloc(INPUT_BYTES);

    assert_non_null(input);
    for (int i = 0; i < MUTATIONS; i++) {
        size_t seed = draw(corpus, corpus->seeds), size = corpus->size[seed];

        memcpy(input, corpus->seed[seed], size);
        for (size_t n = 1 + draw(corpus, 4); n > 0; n--)
            size = mutate(corpus, input, size);
        LLVMFuzzerTestOneInput(input, size);
    }
    free(input);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_seed),
        cmocka_unit_test(test_mutations_of_the_seeds),
    };

    return cmocka_run_group_tests_name("fuzz_examples", tests, read_corpus,
                                       drop_corpus);
}

#endif

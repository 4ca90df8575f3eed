/* Files of vectors from hostile hands: text, CSV and NumPy, plain or packed.
 *
 * The first byte of an input is the dim. Plain: every file of
 * tests/fuzz/corpus/vectors, then seeded mutations of them (run from the project's
 * directory).
 * With a fuzzer: make fuzz FUZZ=vectors; a file that it finds joins the corpus together
 * with the fix. */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "server/vectors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A broken promise stops a fuzzer and a test alike. */
static void must(bool kept, const char *promise, const char *detail)
{
    if (kept)
        return;
    fprintf(stderr, "%s: %s\n", promise, detail);
    abort();
}

static bool wants(void *context, uint64_t key)
{
    (void)context;
    return key % 4 != 3;
}

static int take(void *context, uint64_t key, const float *values, uint32_t n,
                struct err *err)
{
    const uint32_t *dim = context;

    (void)err;
    must(key % 4 != 3, "a key that nobody wants", "");
    must(n == *dim || n == *dim + 1, "a wrong length", "");
    for (uint32_t i = 0; i < n; i++)
        must(isfinite(values[i]), "no finite number", "");
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint32_t dim = size ? 1 + data[0] % 8 : 1;
    const struct vectors_sink sink = {wants, take, &dim};
    struct err err = {0, ""};
    char path[64];
    int fd = memfd_create("vectors", MFD_CLOEXEC), rc;

    must(fd >= 0, "no file", "memfd");
    if (size > 1)
        must(write(fd, data + 1, size - 1) == (ssize_t)(size - 1), "no file", "write");
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    rc = vectors_read(path, dim, dim + 1, &sink, &err);
    close(fd);
    if (rc == 0)
        return 0;
    must(rc == -ERR_INPUT, "an error that is not about the input", err.text);
    must(*err.text && strlen(err.text) < sizeof err.text - 1, "no sentence", err.text);
    for (const char *s = err.text; *s; s++)
        must((unsigned char)*s >= 0x20, "a control character in a sentence", err.text);
    return 0;
}

#ifndef FUZZER

#include "tests/fuzz/corpus_runs.h"

static const char corpus_dir[] = "tests/fuzz/corpus/vectors";

static void test_corpus(void **state)
{
    struct corpus corpus;

    (void)state;
    corpus_read(&corpus, corpus_dir);
    assert_true(corpus.files >= 20);
    for (uint32_t i = 0; i < corpus.files; i++)
        corpus_run(corpus.bytes[i], corpus.size[i]);
    corpus_free(&corpus);
}

static void test_mutations(void **state)
{
    struct corpus corpus;

    (void)state;
    corpus_read(&corpus, corpus_dir);
    corpus_mutations(&corpus, 20000);
    corpus_free(&corpus);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_corpus),
        cmocka_unit_test(test_mutations),
    };

    return cmocka_run_group_tests_name("fuzz vectors", tests, NULL, NULL);
}

#endif

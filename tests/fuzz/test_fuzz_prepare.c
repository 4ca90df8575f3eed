/* A preparation's bytes from hostile hands, as they are and with a right checksum; what
 * is accepted must come back the same and be fit for use.
 *
 * Plain: every file of tests/fuzz/corpus/prepare, then seeded mutations of them (run
 * from the project's directory).
 * With a fuzzer: make fuzz FUZZ=prepare; a file that it finds joins the corpus together
 * with the fix. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <xxhash.h>

#include "tests/golden/prepare_sample.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A broken promise stops a fuzzer and a test alike. */
static void must(bool kept, const char *promise, const char *detail)
{
    if (kept)
        return;
    fprintf(stderr, "%s: %s\n", promise, detail);
    abort();
}

static void use(struct kit *kit, struct prepare *prepare)
{
    struct block out;

    must(block_create(&out, prepare_schema(prepare), SAMPLE_EXAMPLES, &kit->err) == 0,
         "no block", "");
    if (prepare_apply(prepare, &kit->block, &out, &kit->at, &kit->err) == 0)
        must(out.n == SAMPLE_EXAMPLES, "examples are missing", "");
    block_release(&out);
}

static void load(struct kit *kit, const unsigned char *bytes, size_t size)
{
    struct prepare *prepare = kit_prepare(kit);
    int rc = prepare_load(prepare, bytes, size, &kit->err);
    unsigned char *again;
    size_t again_size;

    if (rc == 0) {
        use(kit, prepare);
        must(prepare_save(prepare, &again, &again_size, &kit->err) == 0, "not saved",
             "");
        must(prepare_load(prepare, again, again_size, &kit->err) == 0,
             "what was written is not read", kit->err.text);
        free(again);
    } else {
        must(rc == -ERR_INPUT || rc == -ERR_DAMAGE, "another error", kit->err.text);
        must(*kit->err.text != '\0', "no sentence", "");
    }
    prepare_destroy(prepare);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct kit *kit;
    uint8_t *copy = malloc(size + 1);
    uint64_t checksum;

    if (!kit) {
        kit = sample_kit();
        sample_block(kit, 0, SAMPLE_EXAMPLES);
    }
    load(kit, data, size);
    if (size > sizeof checksum) {
        memcpy(copy, data, size);
        checksum = XXH3_64bits(copy, size - sizeof checksum);
        memcpy(copy + size - sizeof checksum, &checksum, sizeof checksum);
        load(kit, copy, size);
    }
    free(copy);
    return 0;
}

#ifndef FUZZER

#include "tests/fuzz/corpus_runs.h"

static const char corpus_dir[] = "tests/fuzz/corpus/prepare";

static void test_corpus(void **state)
{
    struct corpus corpus;

    (void)state;
    corpus_read(&corpus, corpus_dir);
    for (uint32_t i = 0; i < corpus.files; i++)
        corpus_run(corpus.bytes[i], corpus.size[i]);
    corpus_free(&corpus);
}

static void test_mutations(void **state)
{
    struct corpus corpus;

    (void)state;
    corpus_read(&corpus, corpus_dir);
    corpus_mutations(&corpus, 4000);
    corpus_free(&corpus);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_corpus),
        cmocka_unit_test(test_mutations),
    };

    return cmocka_run_group_tests_name("fuzz prepare", tests, NULL, NULL);
}

#endif

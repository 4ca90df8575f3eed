/* Tables of unknown layout from hostile hands: guesses about their columns, and
 * profiles of what is in them. The first byte of an input chooses what is given:
 * nothing, or a delimiter.
 *
 * Plain: every file of tests/fuzz/corpus/guess, then seeded mutations of them (run from
 * the project's directory).
 * With a fuzzer: make fuzz FUZZ=guess; a file that it finds joins the corpus together
 * with the fix. */
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "worker/stream/profile/guess.h"
#include "worker/stream/profile/profile.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A broken promise stops a fuzzer and a test alike. */
static void must(bool kept, const char *promise, const char *detail)
{
    if (kept)
        return;
    fprintf(stderr, "%s: %s\n", promise, detail);
    abort();
}

/* Every name fits, and there is none behind the last column but where lines differ. */
static void look_at_names(const struct guess *guess, const char *text, size_t length)
{
    char name[16];

    for (uint32_t c = 0; c < guess->columns && c < 100; c++) {
        int n = guess_name(guess, text, length, c, name, sizeof name);

        must(n < (int)sizeof name, "a name is too long", "");
        must(n < 0 || name[n] == '\0', "a name does not end", "");
    }
}

/* The text's pieces between blanks and the like as values of a column. */
static void look_at_values(const char *text, size_t length)
{
    const double shares[] = {0, 0.5, 1};
    struct profile profile;
    double value[3];
    struct err err;

    must(profile_create(&profile, &err) == 0, "no memory", "profile");
    for (size_t begin = 0, i = 0; i <= length; i++) {
        if (i < length && !strchr("\t\n, ", text[i]))
            continue;
        must(profile_text(&profile, text + begin, i - begin, &err) == 0, "no memory",
             "value");
        begin = i + 1;
    }
    must(profile.missing <= profile.n && profile.integers <= profile.numbers &&
             profile.numbers + profile.dates + profile.missing <= profile.n,
         "counts", "of values");
    must(profile_guess(&profile, "x") <= PROFILE_NOTHING, "a kind", "that is none");
    must(profile_distinct(&profile) <= (double)profile.n, "more values",
         "than there are");
    must(quantiles_at(&profile.quantiles, shares, 3, value, &err) == 0, "no memory",
         "");
    must(profile.moments.n == 0 ||
             (value[0] <= value[1] && value[1] <= value[2] && isfinite(value[2])),
         "quantiles", "that do not rise");
    profile_release(&profile);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const given[] = {"", "\t", ",", "::", " ", "|"};
    struct guess guess;
    char *text;

    if (size == 0 || size > 20000)
        return 0;
    text = malloc(size); /* of exactly that size, for sanitizers */
    must(text != NULL, "no memory", "input");
    memcpy(text, data + 1, size - 1);
    guess = guess_table(text, size - 1, given[data[0] % 6]);
    must(guess.columns >= 1 && guess.columns <= GUESS_FIELDS_MAX, "columns", "");
    must(strnlen(guess.delimiter, sizeof guess.delimiter) < sizeof guess.delimiter,
         "a delimiter", "without an end");
    if (guess.format == GUESS_TABLE) {
        look_at_names(&guess, text, size - 1);
        look_at_values(text, size - 1);
    }
    free(text);
    return 0;
}

#ifndef FUZZER

#include "tests/fuzz/corpus_runs.h"

static const char corpus_dir[] = "tests/fuzz/corpus/guess";

static void test_corpus(void **context)
{
    struct corpus corpus;

    (void)context;
    corpus_read(&corpus, corpus_dir);
    for (uint32_t i = 0; i < corpus.files; i++)
        corpus_run(corpus.bytes[i], corpus.size[i]);
    assert_true(corpus.files >= 8);
    corpus_free(&corpus);
}

static void test_mutations(void **context)
{
    struct corpus corpus;

    (void)context;
    corpus_read(&corpus, corpus_dir);
    corpus_mutations(&corpus, 2000);
    corpus_free(&corpus);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_corpus),
        cmocka_unit_test(test_mutations),
    };

    return cmocka_run_group_tests_name("fuzz guess", tests, NULL, NULL);
}

#endif

/* Job files and settings lines from hostile hands.
 *
 * Plain: every file of tests/fuzz/corpus/job, then seeded mutations of them (run from
 * the project's directory).
 * With a fuzzer: make fuzz FUZZ=job; a file that it finds joins the corpus together
 * with the fix. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/job.h"
#include "common/settings.h"
#include "common/yaml.h"
#include "worker/blueprint.h"
#include "worker/preset.h"

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

static int set_one(void *context, const char *path, const char *value, int line,
                   struct err *err)
{
    char where[40];

    must(line >= 1 && *path && strlen(path) < YAML_PATH_SIZE, "a bad item", path);
    snprintf(where, sizeof where, "f line %d", line);
    return job_set(context, path, value, where, err);
}

/* What was read can be written, and read again as the same. */
static void check_round_trip(const struct job *job)
{
    struct job again;
    struct err err = {0, ""};
    char *lines = job_to_lines(job), *twice;

    must(lines != NULL, "no memory", "lines");
    must(job_from_lines(&again, lines, &err) == 0, "own lines refused", err.text);
    twice = job_to_lines(&again);
    must(twice && !strcmp(lines, twice), "lines changed", lines);
    must(job_continues(job, lines, &err) == 0, "does not continue itself", err.text);
    free(lines);
    free(twice);
}

/* A job that has been checked has a model, or a sentence says why not; made complete
 * once, it stays as it is. */
static void check_model(struct job *job)
{
    struct blueprint *blueprint;
    struct err err = {0, ""};
    char *lines, *twice;
    int rc = preset_expand(job, &err);

    if (rc == 0)
        rc = blueprint_expand(job, &err);
    if (rc == 0)
        rc = blueprint_make(job, &blueprint, &err);
    if (rc) {
        must_be_a_sentence(rc, &err);
        return;
    }
    blueprint_destroy(blueprint);
    lines = job_to_lines(job);
    must(preset_expand(job, &err) == 0 && blueprint_expand(job, &err) == 0,
         "not complete twice", err.text);
    twice = job_to_lines(job);
    must(lines && twice && !strcmp(lines, twice), "another model", lines);
    free(lines);
    free(twice);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    char *text = malloc(size + 1);
    struct err err = {0, ""};
    struct job job;
    int rc;

    must(text != NULL, "no memory", "input");
    memcpy(text, data, size);
    text[size] = '\0';

    job_init(&job);
    rc = yaml_flatten(text, size, "f", set_one, &job, &err);
    if (rc)
        must_be_a_sentence(rc, &err);
    check_round_trip(&job); /* also of what was set before an error */
    rc = job_check(&job, &err);
    if (rc)
        must_be_a_sentence(rc, &err);
    else
        check_model(&job);

    rc = job_from_lines(&job, text, &err);
    if (rc)
        must_be_a_sentence(rc, &err);
    else
        check_round_trip(&job);
    free(text);
    return 0;
}

#ifndef FUZZER

#include <dirent.h>

#include <cmocka.h>

#include "common/file.h"

#define CORPUS "tests/fuzz/corpus/job"

enum { SEEDS_MAX = 200, SEED_BYTES = 65536, MUTATIONS = 20000, INPUT_BYTES = 8192 };

struct corpus {
    char *seed[SEEDS_MAX];
    size_t size[SEEDS_MAX];
    int seeds;
};

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* In the order of names, so that the mutations are the same everywhere. */
static int read_corpus(void **state)
{
    struct corpus *c = calloc(1, sizeof *c);
    struct dirent **entry = NULL;
    int n = scandir(CORPUS, &entry, NULL, by_name);
    struct err err;

    *state = c;
    if (!c || n < 0)
        return -1;
    for (int i = 0; i < n; i++) {
        char path[512];

        snprintf(path, sizeof path, CORPUS "/%s", entry[i]->d_name);
        if (entry[i]->d_name[0] != '.' && c->seeds < SEEDS_MAX &&
            !file_read_all(path, SEED_BYTES, &c->seed[c->seeds], &c->size[c->seeds],
                           &err))
            c->seeds++;
        free(entry[i]);
    }
    free(entry);
    return 0;
}

static int drop_corpus(void **state)
{
    struct corpus *c = *state;

    for (int i = 0; c && i < c->seeds; i++)
        free(c->seed[i]);
    free(c);
    return 0;
}

static void every_seed(void **state)
{
    const struct corpus *c = *state;

    assert_true(c->seeds >= 20);
    for (int i = 0; i < c->seeds; i++)
        LLVMFuzzerTestOneInput((const uint8_t *)c->seed[i], c->size[i]);
}

static uint32_t draw(uint64_t *random, uint32_t below)
{
    *random ^= *random << 13;
    *random ^= *random >> 7;
    *random ^= *random << 17;
    return below ? (uint32_t)(*random >> 33) % below : 0;
}

/* Replaces `cut` bytes at `at` by `add` bytes, which may lie in the input itself. */
static size_t splice(char *input, size_t size, size_t at, size_t cut, const char *bytes,
                     size_t add)
{
    char copy[256];

    add = add < sizeof copy ? add : sizeof copy;
    cut = cut < size - at ? cut : size - at;
    if (size - cut + add > INPUT_BYTES)
        return size;
    memcpy(copy, bytes, add);
    memmove(input + at + add, input + at + cut, size - at - cut);
    memcpy(input + at, copy, add);
    return size - cut + add;
}

/* What matters in YAML, in names and in numbers. */
static const char *const words[] = {
    "{",
    "}",
    "[",
    "]",
    ": ",
    "\n",
    "\n  ",
    "=",
    "\\",
    "&a ",
    "*a",
    "- ",
    "? ",
    "---\n",
    "~",
    "null",
    "''",
    "!!str ",
    "\t",
    "\xc3",
    "# ",
    "\"",
    "\\x00",
    "\xff",
    "-1",
    "1e308",
    "99999999999999999",
    "4 GiB",
    "user",
    ".dim",
    "tables.",
    "data.columns.",
    ".table",
    ".as",
    "train.epochs",
    "model.kind",
    "model.layers.",
    ".inputs",
};

static size_t mutate(char *input, size_t size, const struct corpus *c, uint64_t *random)
{
    size_t at = draw(random, (uint32_t)size + 1);
    const char *word = words[draw(random, sizeof words / sizeof *words)];
    int other = (int)draw(random, (uint32_t)c->seeds);
    size_t from = draw(random, (uint32_t)c->size[other]);
    char byte;

    switch (draw(random, 6)) {
    case 0: /* a bit */
        if (at < size)
            input[at] = (char)(input[at] ^ (1 << draw(random, 8)));
        return size;
    case 1: /* a byte */
        byte = (char)draw(random, 256);
        return splice(input, size, at, draw(random, 2), &byte, 1);
    case 2: /* something missing */
        return splice(input, size, at, draw(random, 20), "", 0);
    case 3: /* something twice */
        return splice(input, size, at, 0, input + at,
                      draw(random, (uint32_t)(size - at) + 1));
    case 4:
        return splice(input, size, at, draw(random, 4), word, strlen(word));
    default: /* a part of another one */
        return splice(input, size, at, draw(random, 20), c->seed[other] + from,
                      draw(random, (uint32_t)(c->size[other] - from) + 1));
    }
}

static void mutations_of_the_seeds(void **state)
{
    const struct corpus *c = *state;
    char *input = malloc(INPUT_BYTES + 1);
    uint64_t random = 2463534242u;

    assert_non_null(input);
    for (int i = 0; i < MUTATIONS; i++) {
        int seed = (int)draw(&random, (uint32_t)c->seeds);
        size_t size = c->size[seed] < INPUT_BYTES ? c->size[seed] : INPUT_BYTES;

        memcpy(input, c->seed[seed], size);
        for (uint32_t n = 1 + draw(&random, 4); n > 0; n--)
            size = mutate(input, size, c, &random);
        LLVMFuzzerTestOneInput((const uint8_t *)input, size);
    }
    free(input);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_seed),
        cmocka_unit_test(mutations_of_the_seeds),
    };

    return cmocka_run_group_tests_name("fuzz_job", tests, read_corpus, drop_corpus);
}

#endif

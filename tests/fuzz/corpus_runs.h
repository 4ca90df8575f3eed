/* Runs a fuzz target without a fuzzer: every file of its corpus, then seeded mutations
 * of them, the same in every run. From the project's directory. */
#ifndef ROWHOUSE_TESTS_FUZZ_CORPUS_RUNS_H
#define ROWHOUSE_TESTS_FUZZ_CORPUS_RUNS_H

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/rng.h"

enum { CORPUS_FILES_MAX = 256, CORPUS_FILE_BYTES = 256 * 1024 };

struct corpus {
    uint8_t *bytes[CORPUS_FILES_MAX];
    size_t size[CORPUS_FILES_MAX];
    uint32_t files;
    uint64_t drawn;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static inline int corpus_by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static inline void corpus_read(struct corpus *corpus, const char *dir)
{
    struct dirent **entry = NULL;
    int n = scandir(dir, &entry, NULL, corpus_by_name);

    memset(corpus, 0, sizeof *corpus);
    if (n < 0)
        fail_msg("cannot read %s", dir);
    for (int i = 0; i < n; i++) {
        uint8_t *bytes = malloc(CORPUS_FILE_BYTES);
        char path[512];
        FILE *file;

        snprintf(path, sizeof path, "%s/%s", dir, entry[i]->d_name);
        file = entry[i]->d_name[0] == '.' ? NULL : fopen(path, "rb");
        free(entry[i]);
        if (!file) {
            free(bytes);
            continue;
        }
        if (corpus->files == CORPUS_FILES_MAX)
            fail_msg("%s has more than %d files", dir, CORPUS_FILES_MAX);
        corpus->size[corpus->files] = fread(bytes, 1, CORPUS_FILE_BYTES, file);
        corpus->bytes[corpus->files++] = bytes;
        fclose(file);
    }
    free(entry);
    assert_true(corpus->files > 0);
}

static inline void corpus_free(struct corpus *corpus)
{
    for (uint32_t i = 0; i < corpus->files; i++)
        free(corpus->bytes[i]);
}

/* From memory of exactly that size: a sanitizer sees every step beyond its end. */
static inline void corpus_run(const uint8_t *bytes, size_t size)
{
    uint8_t *exact = malloc(size ? size : 1);

    assert_non_null(exact);
    memcpy(exact, bytes, size);
    LLVMFuzzerTestOneInput(exact, size);
    free(exact);
}

static inline size_t corpus_draw(struct corpus *corpus, size_t bound)
{
    return rng_below(rng_at(1, 0, corpus->drawn++), bound ? bound : 1);
}

/* One change: a bit, a byte, an odd number, a stretch cut out, doubled or cut off. */
static inline size_t corpus_change(struct corpus *corpus, uint8_t *bytes, size_t size)
{
    static const uint32_t odd[] = {0,          1,          2,         16,    17,
                                   255,        65535,      65536,     65537, 0x7FFFFFFF,
                                   0x80000000, 0xFFFFFFFE, 0xFFFFFFFF};
    size_t at = corpus_draw(corpus, size), n = corpus_draw(corpus, size - at);

    if (size < 8)
        return size;
    switch (corpus_draw(corpus, 8)) {
    case 0:
        return at; /* cut off */
    case 1:        /* cut out */
        memmove(bytes + at, bytes + at + n, size - at - n);
        return size - n;
    case 2: /* doubled */
        if (size + n > CORPUS_FILE_BYTES)
            return size;
        memmove(bytes + at + n, bytes + at, size - at);
        return size + n;
    case 3:
        bytes[at] = (uint8_t)corpus_draw(corpus, 256);
        return size;
    case 4:
    case 5: /* a number where numbers are */
        at = corpus_draw(corpus, size / 4) * 4;
        memcpy(bytes + at, &odd[corpus_draw(corpus, sizeof odd / sizeof *odd)], 4);
        return size;
    default:
        bytes[at] ^= (uint8_t)(1u << corpus_draw(corpus, 8));
        return size;
    }
}

static inline void corpus_mutations(struct corpus *corpus, uint32_t runs)
{
    uint8_t *bytes = malloc(CORPUS_FILE_BYTES);

    assert_non_null(bytes);
    for (uint32_t run = 0; run < runs; run++) {
        size_t file = corpus_draw(corpus, corpus->files);
        size_t size = corpus->size[file];
        size_t changes = 1 + corpus_draw(corpus, 4);

        memcpy(bytes, corpus->bytes[file], size);
        while (changes--)
            size = corpus_change(corpus, bytes, size);
        corpus_run(bytes, size);
    }
    free(bytes);
}

#endif

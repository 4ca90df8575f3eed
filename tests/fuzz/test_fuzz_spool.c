/* A spool whose files come from hostile hands, read and gone on with.
 *
 * The first byte of an input says which file the rest is: 0 the index, 1 source-0, 2
 * segment-0; the other files are good. With 4 added, every 64 bytes get their right
 * checksum, so that what is behind it is tried. Plain: every file of
 * tests/fuzz/corpus/spool, then seeded mutations of them (run from the project's
 * directory).
 * With a fuzzer: make fuzz FUZZ=spool; a file that it finds joins the corpus together
 * with the fix. `--write` writes those of the corpus that are good. */
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "worker/stream/spool/spool.h"
#include "worker/stream/spool/spool_writer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INDEX, SOURCE, SEGMENT, KINDS, CHUNKS = 6, BYTES = 64 * 1024 };

static const char *const file_name[KINDS] = {"index-0", "source-0", "segment-0"};

static char folder[256];
static struct {
    uint8_t bytes[BYTES];
    size_t size;
} good[KINDS];

/* A broken promise stops a fuzzer and a test alike. */
static void must(bool kept, const char *promise, const char *detail)
{
    if (kept)
        return;
    fprintf(stderr, "%s: %s\n", promise, detail);
    abort();
}

static const char *in_folder(const char *name)
{
    static char path[512];

    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void write_file(const char *name, const uint8_t *bytes, size_t size)
{
    int fd = open(in_folder(name), O_WRONLY | O_CREAT | O_TRUNC, 0666);

    must(fd >= 0 && write(fd, bytes, size) == (ssize_t)size, "no file", name);
    close(fd);
}

static void remove_folder(void)
{
    struct err err;

    spool_remove(folder, &err);
}

/* A spool with some chunks, from which the good files are taken. */
static void make_good(void)
{
    const char *base = getenv("TMPDIR");
    char path[] = "pipe", header[] = "user\titem\n";
    struct spool_source source = {.path = path,
                                  .header = header,
                                  .header_bytes = strlen(header),
                                  .header_state = SPOOL_HEADER_KNOWN};
    struct spool_segment *segment;
    struct spool_writer writer;
    struct err err;

    log_set_level(LOG_SILENT);
    snprintf(folder, sizeof folder, "%s/rowhouse-fuzz-XXXXXX", base ? base : "/tmp");
    must(mkdtemp(folder) != NULL, "no folder", folder);
    atexit(remove_folder);
    must(spool_writer_open(&writer, folder, 0, 0, &err) == 0, "no spool", "");
    must(spool_writer_begin(&writer, &source, &segment, &err) == 0, "no source", "");
    for (int i = 0; i < CHUNKS; i++) {
        must(pwrite(segment->fd, "1\t2\n", 4,
                    (off_t)(SPOOL_HEAD_BYTES + segment->bytes)) == 4,
             "no segment", "");
        spool_writer_grew(&writer, segment, 4);
        must(!spool_writer_publish(&writer, segment, segment->bytes, 1, &err),
             "no chunk", err.text);
    }
    spool_writer_close(&writer);
    for (int kind = 0; kind < KINDS; kind++) {
        FILE *file = fopen(in_folder(file_name[kind]), "rb");

        must(file != NULL, "no file", file_name[kind]);
        good[kind].size = fread(good[kind].bytes, 1, BYTES, file);
        fclose(file);
    }
}

static void set_up(const uint8_t *data, size_t size)
{
    static uint8_t bytes[BYTES];
    uint8_t mode = size > 0 ? data[0] : 0;

    if (!*folder)
        make_good();
    for (int kind = 0; kind < KINDS; kind++)
        write_file(file_name[kind], good[kind].bytes, good[kind].size);
    size = size > 1 ? size - 1 : 0;
    if (size > BYTES)
        size = BYTES;
    memcpy(bytes, data + 1, size);
    for (size_t at = 0; (mode & 4) && at + 64 <= size; at += 64)
        spool_seal(bytes + at, 64);
    if ((mode & 4) && mode % 4 == SOURCE && size >= 64)
        spool_seal(bytes, size);
    write_file(file_name[mode % 4 % KINDS], bytes, size);
}

static void is_sentence(int rc, const struct err *err)
{
    must(rc == -ERR_DAMAGE || rc == -ERR_SYSTEM || rc == -ERR_INPUT,
         "an error of another kind", err->text);
    must(*err->text && strlen(err->text) < sizeof err->text - 1, "no sentence", "");
    for (const char *s = err->text; *s; s++)
        must((unsigned char)*s >= 0x20, "a control character", err->text);
}

static void read_it(void)
{
    struct spool_chunk chunk;
    struct spool *spool;
    struct err err;
    uint64_t chunks = 0;
    bool ended;
    int rc = spool_open(folder, &spool, &err);

    if (rc) {
        is_sentence(rc, &err);
        return;
    }
    rc = spool_published(spool, &chunks, &ended, &err);
    if (rc)
        is_sentence(rc, &err);
    for (uint64_t i = 0; !rc && i < chunks && i < 100; i++) {
        int found = spool_chunk(spool, i, &chunk, &err);

        if (found == -ERR_AGAIN)
            continue; /* an end that is not the last record */
        if (found) {
            is_sentence(found, &err);
            continue;
        }
        must(chunk.begin < chunk.end && chunk.end - chunk.begin <= SPOOL_CHUNK_BYTES,
             "a wrong range", chunk.path);
        must(strlen(chunk.name) < SPOOL_PATH_MAX && chunk.line > 0 &&
                 chunk.header[chunk.header_bytes] == '\0',
             "a wrong source", chunk.path);
    }
    spool_close(spool);
}

/* Opened to go on, what there is stays, and can be opened again. */
static void go_on(uint64_t floor)
{
    struct spool_writer writer;
    struct err err;
    uint64_t published;
    int rc = spool_writer_open(&writer, folder, floor, 0, &err);

    if (rc) {
        is_sentence(rc, &err);
        return;
    }
    for (uint32_t i = 0; i < writer.segments; i++) {
        struct spool_segment *segment = writer.segment[i];

        must(segment->published <= segment->offset + segment->bytes,
             "more published than there is", "");
        if (segment->current && segment->published < segment->offset + segment->bytes)
            must(!spool_writer_publish(&writer, segment, segment->published + 1, 0,
                                       &err),
                 "it does not go on", err.text);
    }
    published = writer.published;
    spool_writer_close(&writer);
    rc = spool_writer_open(&writer, folder, floor, published, &err);
    must(rc == 0, "what was opened once is refused", err.text);
    must(writer.published == published, "another number of chunks", "");
    spool_writer_close(&writer);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    set_up(data, size);
    read_it();
    go_on(size % 3 ? 0 : CHUNKS);
    return 0;
}

#ifndef FUZZER

#include "tests/fuzz/corpus_runs.h"

static const char corpus_dir[] = "tests/fuzz/corpus/spool";

static void test_corpus(void **state)
{
    struct corpus corpus;

    (void)state;
    corpus_read(&corpus, corpus_dir);
    assert_true(corpus.files >= 10);
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

/* Each good file, as it is and to be sealed; an index that has ended; cut short. */
static void write_one(const char *name, uint8_t mode, const uint8_t *bytes, size_t size)
{
    char path[512];
    FILE *file;

    snprintf(path, sizeof path, "%s/%s", corpus_dir, name);
    file = fopen(path, "wb");
    must(file != NULL, "cannot write", path);
    fputc(mode, file);
    fwrite(bytes, 1, size, file);
    fclose(file);
}

static void write_corpus(void)
{
    uint8_t bytes[BYTES];
    char name[64];

    make_good();
    for (int kind = 0; kind < KINDS; kind++)
        for (int seal = 0; seal < 2; seal++) {
            snprintf(name, sizeof name, "%s%s", seal ? "sealed-" : "", file_name[kind]);
            write_one(name, (uint8_t)(kind + 4 * seal), good[kind].bytes,
                      good[kind].size);
            snprintf(name, sizeof name, "%scut-%s", seal ? "sealed-" : "",
                     file_name[kind]);
            write_one(name, (uint8_t)(kind + 4 * seal), good[kind].bytes,
                      good[kind].size - 9);
        }
    memcpy(bytes, good[INDEX].bytes, good[INDEX].size);
    bytes[good[INDEX].size - 64 + 44] = SPOOL_END;
    write_one("sealed-end", 4, bytes, good[INDEX].size);
    bytes[good[INDEX].size - 64 + 44] = 0;
    bytes[good[INDEX].size - 64 + 8] = 1; /* of a segment that is not there */
    write_one("sealed-no-segment", 4, bytes, good[INDEX].size);
    write_one("empty", 0, bytes, 0);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_corpus),
        cmocka_unit_test(test_mutations),
    };

    if (argc > 1 && strcmp(argv[1], "--write") == 0) {
        write_corpus();
        return 0;
    }
    return cmocka_run_group_tests_name("fuzz spool", tests, NULL, NULL);
}

#endif

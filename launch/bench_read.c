#include "launch/bench_read.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/cpu.h"
#include "common/rng.h"
#include "launch/bench_options.h"
#include "worker/stream/columns.h"
#include "worker/stream/source.h"
#include "worker/stream/text/fields_kernels.h"
#include "worker/stream/text/reader.h"

enum { BLOCK_EXAMPLES = 4096, ROUNDS_MAX = 101, PIECE = 256 * 1024 };

struct options {
    const char *file;
    uint64_t examples, users, items, rounds;
    bool json;
};

struct bench {
    struct options options;
    struct job *job; /* owned */
    struct schema schema;
    struct source *source; /* owned */
    struct block block;
    int fd;
    char path[64];
    uint64_t bytes, examples, keys_sum;
    double label_sum;
    double read_seconds[ROUNDS_MAX], count_seconds[ROUNDS_MAX];
};

static const struct bench_option option_list[] = {
    {"--file", BENCH_TEXT, offsetof(struct options, file), 0, 0, NULL},
    {"--examples", BENCH_NUMBER, offsetof(struct options, examples), 1, 1 << 28, NULL},
    {"--users", BENCH_NUMBER, offsetof(struct options, users), 1, 1e12, NULL},
    {"--items", BENCH_NUMBER, offsetof(struct options, items), 1, 1e12, NULL},
    {"--rounds", BENCH_NUMBER, offsetof(struct options, rounds), 1, ROUNDS_MAX, NULL},
    {"--json", BENCH_SWITCH, offsetof(struct options, json), 0, 0, NULL},
};

/* --- the file ----------------------------------------------------------------------
 */

/* Ratings from half a star to five, as often whole as not. */
static int make_file(struct bench *b, struct err *err)
{
    FILE *file;
    int rc = 0;

    b->fd = memfd_create("ratings", MFD_CLOEXEC);
    file = b->fd < 0 ? NULL : fdopen(dup(b->fd), "w");
    if (!file)
        return err_system(err, "no memory for a file");
    for (uint64_t i = 0; i < b->options.examples; i++) {
        uint64_t bits = rng_at(1, 3, i);
        unsigned halves = 1 + (unsigned)(bits % 10);

        fprintf(file, "%" PRIu64 "\t%" PRIu64 "\t%u%s\n",
                1 + rng_at(1, 1, i) % b->options.users,
                1 + rng_at(1, 2, i) % b->options.items, halves / 2,
                halves % 2 ? ".5" : "");
    }
    if (fclose(file))
        rc = err_system(err, "no memory for a file of %llu lines",
                        (unsigned long long)b->options.examples);
    snprintf(b->path, sizeof b->path, "/proc/self/fd/%d", b->fd);
    b->options.file = b->path;
    return rc;
}

static int open_file(struct bench *b, struct err *err)
{
    struct stat status;

    if (!b->options.file)
        return make_file(b, err);
    b->fd = open(b->options.file, O_RDONLY | O_CLOEXEC);
    if (b->fd < 0 || fstat(b->fd, &status) < 0 || !S_ISREG(status.st_mode))
        return err_set(err, ERR_INPUT, "%s is no file that can be read",
                       b->options.file);
    return 0;
}

static int open_source(struct bench *b, struct err *err)
{
    static const char *const settings[][2] = {{"data.header", "false"},
                                              {"data.label", "3"},
                                              {"data.columns.1.table", "user"},
                                              {"data.columns.2.table", "item"}};
    struct stat status;
    int rc = 0;

    b->job = malloc(sizeof *b->job);
    if (!b->job)
        return err_set(err, ERR_MEMORY, "no memory for a job");
    job_init(b->job);
    for (size_t i = 0; rc == 0 && i < sizeof settings / sizeof *settings; i++)
        rc = job_set(b->job, settings[i][0], settings[i][1], "bench", err);
    if (rc == 0)
        rc = schema_of_job(b->job, COLUMNS_LABEL, &b->schema, err);
    if (rc == 0)
        rc = source_create(b->job, &b->schema, &b->source, err);
    if (rc == 0)
        rc = block_create(&b->block, &b->schema, BLOCK_EXAMPLES, err);
    if (rc == 0 && fstat(b->fd, &status) == 0)
        b->bytes = (uint64_t)status.st_size;
    return rc;
}

/* --- measuring ---------------------------------------------------------------------
 */

static int read_once(struct bench *b, double *seconds, struct err *err)
{
    struct piece whole = {.path = b->options.file, .end = PIECE_END};
    double start = clock_thread_seconds();
    int rc = source_open(b->source, &whole, err);

    b->examples = 0;
    while (rc == 0 && (rc = source_next(b->source, &b->block, err)) > 0) {
        b->examples += b->block.n;
        rc = 0;
    }
    *seconds = clock_thread_seconds() - start;
    return rc;
}

/* What must be the same however the file is read. */
static int sum_up(struct bench *b, struct err *err)
{
    struct piece whole = {.path = b->options.file, .end = PIECE_END};
    int rc = source_open(b->source, &whole, err);

    while (rc == 0 && (rc = source_next(b->source, &b->block, err)) > 0) {
        for (uint32_t i = 0; i < b->block.n; i++) {
            b->keys_sum += b->block.column[0].key[i] + b->block.column[1].key[i];
            b->label_sum += (double)b->block.column[2].number[i];
        }
        rc = 0;
    }
    return rc;
}

static int count_once(struct bench *b, char *buffer, double *seconds, struct err *err)
{
    const struct split_kernels *kernels = split_kernels();
    double start = clock_thread_seconds();
    uint64_t lines = 0;
    ssize_t n = 1;

    for (off_t at = 0; n > 0; at += n) {
        n = pread(b->fd, buffer, PIECE, at);
        if (n < 0)
            return err_system(err, "%s: cannot read", b->options.file);
        lines += kernels->count_lines(buffer, (size_t)n);
    }
    *seconds = clock_thread_seconds() - start;
    if (lines > b->examples || lines + 1 < b->examples)
        return err_set(err, ERR_INPUT, "%s has %llu lines and %llu examples",
                       b->options.file, (unsigned long long)lines,
                       (unsigned long long)b->examples);
    return 0;
}

static int run(struct bench *b, struct err *err)
{
    char *buffer = calloc(1, PIECE + READER_SLACK);
    int rc = buffer ? open_file(b, err) : err_set(err, ERR_MEMORY, "no memory to read");

    if (rc == 0)
        rc = open_source(b, err);
    if (rc == 0)
        rc = sum_up(b, err);
    for (uint64_t r = 0; rc == 0 && r < b->options.rounds; r++) {
        rc = read_once(b, &b->read_seconds[r], err);
        if (rc == 0)
            rc = count_once(b, buffer, &b->count_seconds[r], err);
    }
    free(buffer);
    return rc;
}

/* --- results -----------------------------------------------------------------------
 */

static int print(struct bench *b, FILE *out, struct err *err)
{
    double seconds = bench_median(b->read_seconds, b->options.rounds);
    double counting = bench_median(b->count_seconds, b->options.rounds);
    double examples = (double)b->examples, bytes = (double)b->bytes;

    if (b->options.json)
        return bench_print_json(
            json_pack("{s:s, s:s, s:I, s:I, s:f, s:f, s:f, s:f, s:f, s:I, s:f}",
                      "bench", "read", "kernels", cpu_level_name(cpu_level()),
                      "examples", (json_int_t)b->examples, "bytes",
                      (json_int_t)b->bytes, "mb_per_second", bytes / seconds * 1e-6,
                      "examples_per_second", examples / seconds, "ns_per_example",
                      seconds / examples * 1e9, "newline_mb_per_second",
                      bytes / counting * 1e-6, "share_of_newline_counting",
                      counting / seconds, "keys_sum", (json_int_t)b->keys_sum,
                      "label_sum", b->label_sum),
            out, err);
    fprintf(out,
            "%.0f examples, %.1f bytes each, kernels %s\n"
            "reading             %6.0f MB/s, %5.1f M examples/s, %4.1f ns each\n"
            "counting newlines   %6.0f MB/s; reading has %.1f %% of its speed\n",
            examples, bytes / examples, cpu_level_name(cpu_level()),
            bytes / seconds * 1e-6, examples / seconds * 1e-6, seconds / examples * 1e9,
            bytes / counting * 1e-6, 100 * counting / seconds);
    return 0;
}

int bench_read(int argc, char **argv, FILE *out, struct err *err)
{
    struct bench *b = calloc(1, sizeof *b);
    int rc;

    if (!b)
        return err_set(err, ERR_MEMORY, "bench read: no memory for the results");
    b->fd = -1;
    b->options = (struct options){
        .examples = 4000000, .users = 6040, .items = 3706, .rounds = 7};
    rc = bench_parse("read", option_list, sizeof option_list / sizeof *option_list,
                     argc, argv, &b->options, err);
    if (rc == 0 && run(b, err))
        rc = err_prefix(err, "bench read");
    if (rc == 0)
        rc = print(b, out, err);
    source_destroy(b->source);
    if (b->block.schema)
        block_release(&b->block);
    if (b->fd >= 0)
        close(b->fd);
    free(b->job);
    free(b);
    return rc;
}

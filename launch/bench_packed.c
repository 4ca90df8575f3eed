#include "launch/bench_packed.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/cpu.h"
#include "launch/bench_options.h"
#include "worker/keyset.h"
#include "worker/model/mf.h"
#include "worker/stream/packed/packed.h"
#include "worker/stream/profile/generator.h"

enum { BLOCK_EXAMPLES = 8192, ROUNDS_MAX = 101, BATCH = 4096, KERNEL_MS = 100 };

/* What is measured, in processor seconds for all examples. */
enum part { ALL, NEEDED, READ, COPY, STEP, PARTS };

struct options {
    uint64_t examples, users, items, dim, rounds;
    bool json;
};

struct bench {
    struct options options;
    char path[64];
    int fd;
    struct packed_facts facts;
    uint64_t decoded_bytes; /* of an example */
    double pack_seconds;
    double seconds[PARTS][ROUNDS_MAX], median[PARTS];
};

static const struct bench_option option_list[] = {
    {"--examples", BENCH_NUMBER, offsetof(struct options, examples), 1, 1 << 28, NULL},
    {"--users", BENCH_NUMBER, offsetof(struct options, users), 1, 1e12, NULL},
    {"--items", BENCH_NUMBER, offsetof(struct options, items), 1, 1e12, NULL},
    {"--dim", BENCH_NUMBER, offsetof(struct options, dim), 1, 1024, NULL},
    {"--rounds", BENCH_NUMBER, offsetof(struct options, rounds), 1, ROUNDS_MAX, NULL},
    {"--json", BENCH_SWITCH, offsetof(struct options, json), 0, 0, NULL},
};

/* --- the file ------------------------------------------------------------------ */

static int fill_file(struct bench *b, struct block *block, struct packed_writer *writer,
                     struct err *err)
{
    struct generator_plan plan = {.examples = b->options.examples,
                                  .users = b->options.users,
                                  .items = b->options.items,
                                  .seed = 1,
                                  .dim = 8,
                                  .zipf = 1,
                                  .noise = 0.4};
    struct generator generator;

    generator_init(&generator, &plan);
    for (uint64_t i = 0; i < plan.examples; i += block->n) {
        double start;

        generator_fill(&generator, i, block);
        start = clock_cpu_seconds();
        if (packed_append(writer, block, err))
            return -err->code;
        b->pack_seconds += clock_cpu_seconds() - start;
    }
    return packed_finish(writer, &b->facts, err);
}

static int make_file(struct bench *b, const struct schema *schema, struct err *err)
{
    struct packed_writer *writer = NULL;
    struct block block;
    int rc;

    b->fd = memfd_create("packed", MFD_CLOEXEC);
    if (b->fd < 0)
        return err_system(err, "no memory for a file");
    snprintf(b->path, sizeof b->path, "/proc/self/fd/%d", b->fd);
    rc = block_create(&block, schema, BLOCK_EXAMPLES, err);
    if (rc)
        return rc;
    rc = packed_create(b->path, schema, 0, &writer, err);
    if (rc == 0)
        rc = fill_file(b, &block, writer, err);
    packed_destroy(writer);
    block_release(&block);
    return rc;
}

/* --- measuring ----------------------------------------------------------------- */

static int measure_reading(struct bench *b, const struct schema *schema,
                           double *seconds, struct err *err)
{
    struct packed_columns columns;
    struct packed *packed;
    struct block block;
    double start;
    int rc = packed_open(b->path, &packed, err);

    if (rc)
        return rc;
    rc = packed_match(packed, schema, &columns, err);
    if (rc == 0)
        rc = block_create(&block, schema, packed_capacity(packed), err);
    if (rc == 0) {
        start = clock_cpu_seconds();
        for (uint64_t i = 0; i < packed_blocks(packed) && rc == 0; i++)
            rc = packed_read_block(packed, i, &columns, &block, err);
        *seconds = clock_cpu_seconds() - start;
        block_release(&block);
    }
    packed_close(packed);
    return rc;
}

/* The kernel's copy, in pieces that stay in the cache, and memcpy of as many bytes as
 * the examples have in memory. */
static int measure_copies(struct bench *b, double *read_seconds, double *copy_seconds,
                          struct err *err)
{
    const size_t piece = 512 * 1024;
    char *from = malloc(piece), *to = malloc(piece);
    uint64_t bytes = b->decoded_bytes * b->options.examples;
    double start = clock_cpu_seconds();
    int rc = from && to ? 0 : err_set(err, ERR_MEMORY, "no memory to copy");

    for (uint64_t at = 0; at < b->facts.bytes && rc == 0; at += piece)
        if (pread(b->fd, from, piece, (off_t)at) <= 0)
            rc = err_system(err, "cannot read");
    *read_seconds = clock_cpu_seconds() - start;
    start = clock_cpu_seconds();
    for (uint64_t at = 0; at < bytes && rc == 0; at += piece) {
        memcpy(to, from, piece);
        __asm__ volatile("" : : "r"(to) : "memory");
    }
    *copy_seconds = clock_cpu_seconds() - start;
    free(from);
    free(to);
    return rc;
}

/* A batch as the file has it, and rows for it. */
struct step {
    struct mf mf;
    struct keyset user, item;
    struct block block; /* a batch of examples */
    float *rows;        /* owned; users, items, and their gradients, [BATCH] each */
};

static int open_step(struct bench *b, const struct schema *schema, struct step *step,
                     struct err *err)
{
    struct packed_columns columns;
    struct packed *packed;
    size_t floats = (size_t)BATCH * (b->options.dim + 1);
    int rc = packed_open(b->path, &packed, err);

    if (rc)
        return rc;
    *step = (struct step){.mf = {.dim = (uint32_t)b->options.dim,
                                 .width = (uint32_t)b->options.dim + 1,
                                 .bias = true}};
    step->rows = malloc(4 * floats * sizeof *step->rows);
    rc = step->rows ? packed_match(packed, schema, &columns, err)
                    : err_set(err, ERR_MEMORY, "no memory for a batch");
    if (rc == 0)
        rc = block_create(&step->block, schema, BATCH, err);
    if (rc == 0)
        rc = packed_load(packed, 0, err);
    if (rc == 0)
        rc = packed_decode(packed, &columns, 0, &step->block, err);
    if (rc == 0)
        rc = keyset_create(&step->user, 0, BATCH, 1, err);
    if (rc == 0)
        rc = keyset_create(&step->item, 1, BATCH, 1, err);
    for (size_t i = 0; rc == 0 && i < 2 * floats; i++)
        step->rows[i] = 0.1f * (float)(i % 7) - 0.3f;
    packed_close(packed);
    return rc;
}

static void close_step(struct step *step)
{
    keyset_release(&step->user);
    keyset_release(&step->item);
    if (step->block.schema)
        block_release(&step->block);
    free(step->rows);
}

/* Its key sets and gradients: the least that a worker computes for it. */
static void take_step(struct step *step)
{
    const struct values *column = step->block.column;
    uint32_t n = step->block.n;
    size_t floats = (size_t)BATCH * step->mf.width;
    struct mf_batch batch;

    keyset_build(&step->user, column[0].key, n, 1, 1);
    keyset_build(&step->item, column[1].key, n, 1, 1);
    batch = (struct mf_batch){n,
                              step->user.pos,
                              step->item.pos,
                              column[2].number,
                              step->rows,
                              step->rows + floats,
                              NULL};
    memset(step->rows + 2 * floats, 0, 2 * floats * sizeof *step->rows);
    (void)mf_forward_backward(&step->mf, &batch, step->rows + 2 * floats,
                              step->rows + 3 * floats);
}

static int measure_step(struct bench *b, const struct schema *schema, double *seconds,
                        struct err *err)
{
    struct step step = {0};
    double start, now;
    uint64_t done = 0;
    int rc = open_step(b, schema, &step, err);

    if (rc == 0) {
        start = now = clock_cpu_seconds();
        for (; now - start < KERNEL_MS * 1e-3; now = clock_cpu_seconds()) {
            take_step(&step);
            done += step.block.n;
        }
        *seconds = (now - start) / (double)done * (double)b->options.examples;
    }
    close_step(&step);
    return rc;
}

static int run(struct bench *b, struct err *err)
{
    struct schema all = generator_schema(), needed = all;
    int rc = make_file(b, &all, err);

    needed.columns = 3;
    needed.time = SCHEMA_NONE;
    b->decoded_bytes = 2 * sizeof(uint64_t) + sizeof(float) + sizeof(int64_t) +
                       sizeof(uint64_t);
    for (uint64_t r = 0; r < b->options.rounds && rc == 0; r++) {
        rc = measure_reading(b, &all, &b->seconds[ALL][r], err);
        if (rc == 0)
            rc = measure_reading(b, &needed, &b->seconds[NEEDED][r], err);
        if (rc == 0)
            rc = measure_copies(b, &b->seconds[READ][r], &b->seconds[COPY][r], err);
        if (rc == 0)
            rc = measure_step(b, &needed, &b->seconds[STEP][r], err);
    }
    for (int p = 0; p < PARTS && rc == 0; p++)
        b->median[p] = bench_median(b->seconds[p], b->options.rounds);
    return rc;
}

/* --- results ------------------------------------------------------------------- */

static double gigabytes(const struct bench *b, enum part part)
{
    return (double)b->facts.bytes / b->median[part] * 1e-9;
}

static double nanoseconds(const struct bench *b, enum part part)
{
    return b->median[part] / (double)b->options.examples * 1e9;
}

static int print_json(const struct bench *b, FILE *out, struct err *err)
{
    double examples = (double)b->options.examples;

    return bench_print_json(
        json_pack("{s:s, s:s, s:I, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}",
                  "bench", "packed", "kernels", cpu_level_name(cpu_level()), "examples",
                  (json_int_t)b->options.examples, "bytes_per_example",
                  (double)b->facts.bytes / examples, "pack_ns_per_example",
                  b->pack_seconds / examples * 1e9, "gb_per_second", gigabytes(b, ALL),
                  "examples_per_second", examples / b->median[ALL],
                  "needed_examples_per_second", examples / b->median[NEEDED],
                  "read_gb_per_second", gigabytes(b, READ), "share_of_memcpy",
                  b->median[COPY] / b->median[ALL], "step_ns_per_example",
                  nanoseconds(b, STEP), "share_of_step",
                  b->median[NEEDED] / b->median[STEP]),
        out, err);
}

static void print(const struct bench *b, FILE *out)
{
    double examples = (double)b->options.examples;

    fprintf(
        out,
        "%.0f examples of user, item, label and time, %.1f bytes each; packing %.0f "
        "ns\n"
        "all columns          %6.2f GB/s of file, %4.0f M examples/s, %5.2f ns each\n"
        "without time         %6.2f GB/s         %5.0f M            %6.2f\n"
        "reading alone        %6.2f GB/s                            %6.2f\n"
        "memcpy of the same examples in memory: %.0f %% of the time\n"
        "a batch's key sets and gradients, mf of dim %llu: %.0f ns; reading adds %.1f "
        "%%\n",
        examples, (double)b->facts.bytes / examples, b->pack_seconds / examples * 1e9,
        gigabytes(b, ALL), examples / b->median[ALL] / 1e6, nanoseconds(b, ALL),
        gigabytes(b, NEEDED), examples / b->median[NEEDED] / 1e6,
        nanoseconds(b, NEEDED), gigabytes(b, READ), nanoseconds(b, READ),
        100 * b->median[COPY] / b->median[ALL], (unsigned long long)b->options.dim,
        nanoseconds(b, STEP), 100 * b->median[NEEDED] / b->median[STEP]);
}

int bench_packed(int argc, char **argv, FILE *out, struct err *err)
{
    struct bench *b = calloc(1, sizeof *b);
    int rc;

    if (!b)
        return err_set(err, ERR_MEMORY, "bench packed: no memory for the results");
    b->fd = -1;
    b->options = (struct options){.examples = 2000000,
                                  .users = 1000000,
                                  .items = 10000000,
                                  .dim = 32,
                                  .rounds = 5};
    rc = bench_parse("packed", option_list, sizeof option_list / sizeof *option_list,
                     argc, argv, &b->options, err);
    if (rc == 0 && run(b, err))
        rc = err_prefix(err, "bench packed");
    if (rc == 0 && b->options.json)
        rc = print_json(b, out, err);
    else if (rc == 0)
        print(b, out);
    if (b->fd >= 0)
        close(b->fd);
    free(b);
    return rc;
}

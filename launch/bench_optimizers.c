#include "launch/bench_optimizers.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common/clock.h"
#include "common/cpu.h"
#include "common/rng.h"
#include "launch/bench_options.h"
#include "server/optimizer.h"

enum {
    BATCH = 256, /* rows that are fetched together */
    CACHE_BYTES = 128 << 10,
    TIMES = 5,
    LINE = 64,
    STATE_MOST = 3, /* floats of state for each weight, at most; and one */
    LEVELS = CPU_V4 + 1,
    LIMIT = LEVELS, /* a measurement beside those of the levels */
};

enum place { CACHE, MEMORY, PLACES };

static const char *const place_names[] = {"cache", "memory"};
static const struct {
    const char *name;
    int kind;
} rules[] = {
    {"sgd", OPTIMIZER_SGD},           {"momentum", OPTIMIZER_MOMENTUM},
    {"nesterov", OPTIMIZER_NESTEROV}, {"adagrad", OPTIMIZER_ADAGRAD},
    {"adadelta", OPTIMIZER_ADADELTA}, {"rowwise_adagrad", OPTIMIZER_ROWWISE_ADAGRAD},
    {"rmsprop", OPTIMIZER_RMSPROP},   {"adam", OPTIMIZER_ADAM},
    {"adamw", OPTIMIZER_ADAMW},       {"amsgrad", OPTIMIZER_AMSGRAD},
    {"ftrl", OPTIMIZER_FTRL},         {"add", OPTIMIZER_ADD},
};

enum { RULES = sizeof rules / sizeof *rules };

struct options {
    uint64_t rows, dim;
    double seconds;
    bool json;
};

struct result {
    uint32_t row_bytes;
    double rows[PLACES][LEVELS + 1]; /* a second; the last is the limit */
};

struct bench {
    struct options options;
    struct optimizer optimizer;
    uint32_t width, stride; /* floats of a row: weights, with state */
    uint64_t bytes;         /* of memory for rows */
    float *memory, *weight, *copy;
    float *gradient; /* two batches, of opposite signs */
    uint32_t *order; /* [rows] */
    uint64_t next;   /* in `order` */
    uint64_t batches;
    struct result result[RULES];
};

static const struct bench_option option_list[] = {
    {"--dim", BENCH_NUMBER, offsetof(struct options, dim), 1, 16384, NULL},
    {"--rows", BENCH_NUMBER, offsetof(struct options, rows), BATCH, 1 << 28, NULL},
    {"--seconds", BENCH_REAL, offsetof(struct options, seconds), 0.01, 3600, NULL},
    {"--json", BENCH_SWITCH, offsetof(struct options, json), 0, 0, NULL},
};

/* --- a batch ---------------------------------------------------------------------- */

/* The next batch of `rows` rows, which begin to be fetched. */
static void take_batch(struct bench *b, uint64_t rows, float **row)
{
    for (uint32_t i = 0; i < BATCH; i++) {
        uint64_t number = rows < b->options.rows ? b->next % rows : b->order[b->next];
        const char *at;

        row[i] = b->memory + number * b->stride;
        at = (const char *)row[i];
        for (size_t byte = 0; byte < b->stride * sizeof(float); byte += LINE)
            __builtin_prefetch(at + byte, 1);
        b->next = (b->next + 1) % b->options.rows;
    }
}

/* The limit: the same bytes read and written, and the gradient read. */
static void copy_batch(struct bench *b, float *const *row)
{
    size_t bytes = b->stride * sizeof(float);

    for (uint32_t i = 0; i < BATCH; i++) {
        memcpy(b->copy + b->stride, b->gradient + (size_t)i * b->width,
               b->width * sizeof(float));
        memcpy(b->copy, row[i], bytes);
        __asm__ volatile("" : : "r"(b->copy) : "memory"); /* each for real */
        memcpy(row[i], b->copy, bytes);
    }
}

/* Signs change at random: under gradients that are always the same, rows come to rest,
 * and their moments dwindle to numbers that processors are slow with. */
static const float *gradient_of(struct bench *b)
{
    size_t second = (size_t)BATCH * b->width;

    return b->gradient + (rng_at(1, 4, b->batches++) & 1 ? second : 0);
}

/* Rows a second, at the level or the limit. */
static double measure(struct bench *b, uint64_t rows, int level, double seconds)
{
    double start = clock_seconds(), now;
    uint64_t done = 0;
    float *row[BATCH];

    b->optimizer.level = level;
    do {
        for (int i = 0; i < 8; i++) { /* the clock costs time, too */
            take_batch(b, rows, row);
            if (level == LIMIT)
                copy_batch(b, row);
            else
                optimizer_apply(&b->optimizer, 1, row, gradient_of(b), b->weight, BATCH,
                                b->width);
            done += BATCH;
        }
        now = clock_seconds();
    } while (now - start < seconds);
    return (double)done / (now - start);
}

/* --- a rule ----------------------------------------------------------------------- */

static void set_rule(struct bench *b, int kind, struct job *job)
{
    job_init(job);
    job->tables = 1;
    job->optimizer.kind = kind;
    optimizer_init(&b->optimizer, job, 0);
    b->width = (uint32_t)b->options.dim;
    b->stride = b->width + optimizer_state_width(&b->optimizer, b->width);
    for (uint64_t row = 0; row < b->options.rows; row++)
        for (uint32_t i = 0; i < b->stride; i++)
            b->memory[row * b->stride + i] = i < b->width ? 0.01f
                                                          : b->optimizer.initial;
}

static void measure_rule(struct bench *b, struct result *result)
{
    double rate[PLACES][LEVELS + 1][TIMES];
    uint64_t fit = CACHE_BYTES / (b->stride * sizeof(float));
    int best = (int)cpu_level();
    double seconds = b->options.seconds / (TIMES * PLACES * (best + 2));

    fit = fit < 1 ? 1 : fit < b->options.rows ? fit : b->options.rows;
    result->row_bytes = b->stride * (uint32_t)sizeof(float);
    for (int time = 0; time < TIMES; time++)
        for (int place = 0; place < PLACES; place++)
            for (int level = 0; level <= LIMIT; level++)
                if (level <= best || level == LIMIT)
                    rate[place][level][time] = measure(
                        b, place == CACHE ? fit : b->options.rows, level, seconds);
    for (int place = 0; place < PLACES; place++)
        for (int level = 0; level <= LIMIT; level++)
            if (level <= best || level == LIMIT)
                result->rows[place][level] = bench_median(rate[place][level], TIMES);
}

/* --- all -------------------------------------------------------------------------- */

static int bench_begin(struct bench *b, struct err *err)
{
    uint64_t dim = b->options.dim, rows = b->options.rows;

    b->bytes = rows * ((STATE_MOST + 1) * dim + 1) * sizeof(float);
    b->memory = mmap(NULL, b->bytes, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (b->memory == MAP_FAILED) {
        b->memory = NULL;
        return err_system(err, "bench optimizers: memory for %llu rows",
                          (unsigned long long)rows);
    }
    (void)madvise(b->memory, b->bytes, MADV_HUGEPAGE);
    b->gradient = malloc(2 * BATCH * dim * sizeof(float));
    b->weight = malloc(BATCH * sizeof(float));
    b->copy = malloc(((STATE_MOST + 2) * dim + 1) * sizeof(float));
    b->order = malloc(rows * sizeof *b->order);
    if (!b->gradient || !b->weight || !b->copy || !b->order)
        return err_set(err, ERR_MEMORY, "bench optimizers: no memory for %llu rows",
                       (unsigned long long)rows);
    for (uint64_t i = 0; i < 2 * BATCH * dim; i++)
        b->gradient[i] = (i % 2 == 0) == (i < BATCH * dim) ? 1e-3f : -1e-3f;
    for (int i = 0; i < BATCH; i++)
        b->weight[i] = 1;
    for (uint64_t i = 0; i < rows; i++) {
        uint64_t j = rng_below(rng_at(1, 3, i), i + 1);

        b->order[i] = b->order[j];
        b->order[j] = (uint32_t)i;
    }
    return 0;
}

static void bench_end(struct bench *b)
{
    if (b->memory)
        munmap(b->memory, b->bytes);
    free(b->gradient);
    free(b->weight);
    free(b->copy);
    free(b->order);
}

/* --- results ---------------------------------------------------------------------- */

static json_t *place_json(const struct result *r, int place)
{
    json_t *json = json_object();
    int best = (int)cpu_level();

    for (int level = 0; level <= best; level++)
        json_object_set_new(json, cpu_level_name((enum cpu_level)level),
                            json_real(r->rows[place][level]));
    json_object_set_new(json, "limit", json_real(r->rows[place][LIMIT]));
    json_object_set_new(json, "speed_up",
                        json_real(r->rows[place][best] / r->rows[place][CPU_V2]));
    json_object_set_new(json, "share_of_limit",
                        json_real(r->rows[place][best] / r->rows[place][LIMIT]));
    return json;
}

static int print_json(const struct bench *b, FILE *out, struct err *err)
{
    json_t *all = json_object();

    for (int i = 0; i < RULES; i++) {
        json_t *rule = json_pack("{s:i}", "row_bytes", (int)b->result[i].row_bytes);

        for (int place = 0; place < PLACES; place++)
            json_object_set_new(rule, place_names[place],
                                place_json(&b->result[i], place));
        json_object_set_new(all, rules[i].name, rule);
    }
    return bench_print_json(
        json_pack("{s:I, s:I, s:s, s:o}", "rows", (json_int_t)b->options.rows, "dim",
                  (json_int_t)b->options.dim, "kernels", cpu_level_name(cpu_level()),
                  "rows_per_second", all),
        out, err);
}

static void print(const struct bench *b, FILE *out)
{
    int best = (int)cpu_level();

    fprintf(
        out,
        "rows of %llu weights applied, M/s, by level of kernels (v2 to v%d), and the "
        "limit: the same bytes\nread and written; in cache | %llu rows in memory\n",
        (unsigned long long)b->options.dim, best + 2,
        (unsigned long long)b->options.rows);
    for (int i = 0; i < RULES; i++) {
        fprintf(out, "%-16s", rules[i].name);
        for (int place = 0; place < PLACES; place++) {
            const double *rows = b->result[i].rows[place];

            for (int level = 0; level <= best; level++)
                fprintf(out, " %6.2f", rows[level] / 1e6);
            fprintf(out, "  of %6.2f: %3.0f %%, %.1f times v2%s", rows[LIMIT] / 1e6,
                    100 * rows[best] / rows[LIMIT], rows[best] / rows[CPU_V2],
                    place == CACHE ? " |" : "\n");
        }
    }
}

int bench_optimizers(int argc, char **argv, FILE *out, struct err *err)
{
    struct bench *b = calloc(1, sizeof *b);
    struct job *job = malloc(sizeof *job);
    int rc;

    if (!b || !job) {
        rc = err_set(err, ERR_MEMORY, "bench optimizers: no memory for the results");
        goto done;
    }
    b->options = (struct options){.rows = 1000000, .dim = 64, .seconds = 1};
    rc = bench_parse("optimizers", option_list,
                     sizeof option_list / sizeof *option_list, argc, argv, &b->options,
                     err);
    if (rc == 0)
        rc = bench_begin(b, err);
    for (int i = 0; rc == 0 && i < RULES; i++) {
        set_rule(b, rules[i].kind, job);
        measure_rule(b, &b->result[i]);
    }
    if (rc == 0 && b->options.json)
        rc = print_json(b, out, err);
    else if (rc == 0)
        print(b, out);
    bench_end(b);
done:
    free(job);
    free(b);
    return rc;
}

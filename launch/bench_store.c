#include "launch/bench_store.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/rng.h"
#include "launch/bench_options.h"
#include "server/optimizer.h"
#include "server/table_index.h"

enum {
    BATCH = 1024,      /* keys a call */
    QUERIES = 4 << 20, /* random keys a measurement */
    TIMES = 5,         /* measurements in a run; the median counts */
    REPEAT_MAX = 99,
    NEAR = 16, /* rows fetched ahead by the nearer of two gathers */
    FAR = 64,  /* and by the farther: more gains nothing */
    LINE = 64,
};

struct options {
    uint64_t rows, dim, repeat;
    int memfd; /* or anonymous memory */
    bool json;
};

/* What one run measured. */
struct numbers {
    double insert, find, apply;     /* per second */
    double gather_near, gather_far; /* likewise */
    double gather_pair;             /* likewise: an index line and a row for each */
    double overhead;                /* bytes a row beyond its floats */
    double longest;                 /* microseconds of the longest single insert */
};

/* What a run works on; lives in the run's process only. */
struct bench {
    struct options options;
    struct region region;
    struct table table;
    uint64_t *key;              /* [queries] */
    float **known;              /* [queries] where those keys' rows are */
    const struct bucket **home; /* [queries] and where the index has them */
    float *values;              /* [BATCH][dim] */
    unsigned char *found;       /* [BATCH] */
    float *weight;              /* [BATCH] */
    uint32_t queries;
};

/* --- options --------------------------------------------------------------------- */

static const char *const memories[] = {"anonymous", "memfd", NULL};

static const struct bench_option option_list[] = {
    {"--rows", BENCH_NUMBER, offsetof(struct options, rows), 1, UINT32_MAX - 1, NULL},
    {"--dim", BENCH_NUMBER, offsetof(struct options, dim), 1, 65536, NULL},
    {"--repeat", BENCH_NUMBER, offsetof(struct options, repeat), 1, REPEAT_MAX, NULL},
    {"--memory", BENCH_CHOICE, offsetof(struct options, memfd), 0, 0, memories},
    {"--json", BENCH_SWITCH, offsetof(struct options, json), 0, 0, NULL},
};

static int parse(int argc, char **argv, struct options *o, struct err *err)
{
    *o = (struct options){.rows = 10000000, .dim = 32, .repeat = 3};
    return bench_parse("store", option_list, sizeof option_list / sizeof *option_list,
                       argc, argv, o, err);
}

/* --- a run ----------------------------------------------------------------------- */

/* Keys of rows 0, 1, ...: all different, as mix64 is a bijection. */
static uint64_t key_of(uint64_t row)
{
    return mix64(row + 0x2545f4914f6cdd1d);
}

static int bench_map(struct bench *b, struct err *err)
{
    uint64_t row = (b->options.dim + 1) * sizeof(float) + 2 * sizeof(uint64_t);
    uint64_t need = b->options.rows * (row + 32) + (64 << 20);
    uint64_t size = 2 * need / REGION_CHUNK * REGION_CHUNK;
    unsigned char *at;
    int fd = -1;

    if (b->options.memfd) {
        fd = memfd_create("rowhouse-bench", MFD_CLOEXEC);
        if (fd < 0 || ftruncate(fd, (off_t)size))
            return err_system(err, "bench store: a memfd of %llu bytes",
                              (unsigned long long)size);
    }
    at = mmap(NULL, size + REGION_CHUNK, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED)
        return err_system(err, "bench store: %llu bytes of address space",
                          (unsigned long long)size);
    at += -(uintptr_t)at % REGION_CHUNK;
    if (mmap(at, size, PROT_READ | PROT_WRITE,
             MAP_FIXED | MAP_NORESERVE |
                 (fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED),
             fd, 0) == MAP_FAILED)
        return err_system(err, "bench store: memory for %llu rows",
                          (unsigned long long)b->options.rows);
    b->region = (struct region){.base = at, .size = size, .bytes_max = need, .fd = fd};
    return region_format(&b->region, err);
}

static int bench_begin(struct bench *b, struct err *err)
{
    struct table_spec spec = {
        .dim = (uint32_t)b->options.dim,
        .width = (uint32_t)b->options.dim,
        .init = INIT_NORMAL,
        .scale = 0.01f,
        .seed = 1,
    };
    int rc = bench_map(b, err);

    if (rc)
        return rc;
    b->queries = b->options.rows < QUERIES ? (uint32_t)b->options.rows : QUERIES;
    b->key = calloc(b->queries, sizeof *b->key);
    b->known = calloc(b->queries, sizeof *b->known);
    b->home = calloc(b->queries, sizeof *b->home);
    b->values = calloc(BATCH * b->options.dim, sizeof *b->values);
    b->found = calloc(BATCH, 1);
    b->weight = calloc(BATCH, sizeof *b->weight);
    if (!b->key || !b->known || !b->home || !b->values || !b->found || !b->weight)
        return err_set(err, ERR_MEMORY, "bench store: no memory for %u keys",
                       b->queries);
    for (uint32_t i = 0; i < b->queries; i++) {
        b->key[i] = key_of(rng_below(rng_at(1, 2, i), b->options.rows));
        b->known[i] = NULL;
    }
    for (uint64_t i = 0; i < BATCH * b->options.dim; i++)
        b->values[i] = 1e-6f;
    for (uint32_t i = 0; i < BATCH; i++)
        b->weight[i] = 1.0f;
    return table_create(&b->table, &b->region, 0, &spec, err);
}

/* Resident bytes of this process. */
static double resident(void)
{
    unsigned long long size = 0, pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");

    if (!file)
        return 0;
    if (fscanf(file, "%llu %llu", &size, &pages) != 2)
        pages = 0;
    fclose(file);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

/* Takes as much memory as the table will, and gives it back: the host of a virtual
 * machine then has it at hand, and its time to find some is not counted. */
static void warm_up(const struct bench *b)
{
    uint64_t bytes = b->region.bytes_max;
    unsigned char *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    if (at == MAP_FAILED)
        return;
    (void)madvise(at, bytes, MADV_HUGEPAGE);
    for (uint64_t i = 0; i < bytes; i += REGION_PAGE)
        at[i] = 1;
    munmap(at, bytes);
}

/* Fills the table in batches; rows per second, and the memory it took. */
static int measure_insert(struct bench *b, struct numbers *numbers, struct err *err)
{
    uint64_t key[BATCH], rows = b->options.rows;
    double before = resident(), start = clock_seconds();
    float *row[BATCH];

    for (uint64_t first = 0; first < rows; first += BATCH) {
        uint32_t n = rows - first < BATCH ? (uint32_t)(rows - first) : BATCH;

        for (uint32_t i = 0; i < n; i++)
            key[i] = key_of(first + i);
        if (table_find_or_make(&b->table, key, n, row))
            return err_set(err, ERR_MEMORY, "bench store: no memory after %llu rows",
                           (unsigned long long)table_rows(&b->table));
    }
    numbers->insert = (double)rows / (clock_seconds() - start);
    numbers->overhead = (resident() - before) / (double)rows -
                        (double)(b->options.dim * sizeof(float));
    return 0;
}

/* Processor seconds of this thread: other processes do not count. */
static double thread_seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Fills the table one row a call, looking at the clock between them. */
static int measure_longest(struct bench *b, struct numbers *numbers, struct err *err)
{
    double last = thread_seconds();

    for (uint64_t i = 0; i < b->options.rows; i++) {
        uint64_t key = key_of(i);
        float *row;
        double now;

        if (table_find_or_make(&b->table, &key, 1, &row))
            return err_set(err, ERR_MEMORY, "bench store: no memory after %llu rows",
                           (unsigned long long)i);
        now = thread_seconds();
        if (now - last > numbers->longest)
            numbers->longest = now - last;
        last = now;
    }
    numbers->longest *= 1e6;
    return 0;
}

/* What a pull does: looks up a batch and copies its rows out. */
static void pass_find(struct bench *b)
{
    for (uint32_t first = 0; first < b->queries; first += BATCH) {
        uint32_t n = b->queries - first < BATCH ? b->queries - first : BATCH;

        table_copy(&b->table, b->key + first, n, b->values, b->found);
    }
}

/* The same rows copied from known addresses. */
static void gather(struct bench *b, uint32_t ahead)
{
    size_t bytes = b->options.dim * sizeof(float);

    for (uint32_t i = 0; i < b->queries; i++) {
        uint32_t later = i + ahead < b->queries ? i + ahead : i;
        const char *next = (const char *)b->known[later];

        for (size_t at = 0; at < bytes; at += LINE)
            __builtin_prefetch(next + at);
        memcpy(b->values + i % BATCH * b->options.dim, b->known[i], bytes);
    }
}

static void pass_gather_near(struct bench *b)
{
    gather(b, NEAR);
}

static void pass_gather_far(struct bench *b)
{
    gather(b, FAR);
}

/* What a look-up cannot do without, were both addresses known: a line of the index, and
 * the row. Each is a page of its own to find for the processor. */
static void pass_gather_pair(struct bench *b)
{
    size_t bytes = b->options.dim * sizeof(float);
    uint64_t sum = 0;

    for (uint32_t i = 0; i < b->queries; i++) {
        uint32_t far = i + FAR < b->queries ? i + FAR : i;
        uint32_t near = i + FAR / 2 < b->queries ? i + FAR / 2 : i;

        __builtin_prefetch(b->home[far]);
        sum += b->home[near]->passed;
        for (size_t at = 0; at < bytes; at += LINE)
            __builtin_prefetch((const char *)b->known[near] + at);
        memcpy(b->values + i % BATCH * b->options.dim, b->known[i], bytes);
    }
    b->found[0] = (unsigned char)sum; /* so that the sum is needed */
}

/* What a push does: looks up a batch and applies a gradient to each row. */
static void pass_apply(struct bench *b)
{
    struct optimizer sgd = {
        .kind = OPTIMIZER_SGD, .schedule.rate = 0.01, .level = (int)cpu_level()};
    float *row[BATCH];

    for (uint32_t first = 0; first < b->queries; first += BATCH) {
        uint32_t n = b->queries - first < BATCH ? b->queries - first : BATCH;

        (void)table_find_or_make(&b->table, b->key + first, n, row);
        optimizer_apply(&sgd, 1, row, b->values, b->weight, n,
                        (uint32_t)b->options.dim);
    }
}

static double timed(struct bench *b, void (*pass)(struct bench *))
{
    double start = clock_seconds();

    pass(b);
    return b->queries / (clock_seconds() - start);
}

/* The passes in turn, so that what else the machine does meets them alike. */
static void measure_passes(struct bench *b, struct numbers *numbers)
{
    const struct {
        void (*pass)(struct bench *);
        double *median;
    } kind[] = {
        {pass_find, &numbers->find},
        {pass_gather_near, &numbers->gather_near},
        {pass_gather_far, &numbers->gather_far},
        {pass_gather_pair, &numbers->gather_pair},
        {pass_apply, &numbers->apply},
    };
    enum { KINDS = sizeof kind / sizeof kind[0] };
    double result[KINDS][TIMES];

    table_find(&b->table, b->key, b->queries, b->known);
    for (uint32_t i = 0; i < b->queries; i++)
        b->home[i] = index_home(&b->table, key_hash(b->table.spec.id, b->key[i]));
    for (int i = 0; i < TIMES; i++)
        for (int k = 0; k < KINDS; k++)
            result[k][i] = timed(b, kind[k].pass);
    for (int k = 0; k < KINDS; k++)
        *kind[k].median = bench_median(result[k], TIMES);
}

static int run(const struct options *options, bool longest, struct numbers *numbers,
               struct err *err)
{
    struct bench b = {.options = *options};
    int rc = bench_begin(&b, err);

    if (rc == 0)
        warm_up(&b);
    if (rc == 0)
        rc = (longest ? measure_longest : measure_insert)(&b, numbers, err);
    if (rc == 0 && !longest)
        measure_passes(&b, numbers);
    free(b.key);
    free(b.known);
    free(b.home);
    free(b.values);
    free(b.found);
    free(b.weight);
    return rc;
}

/* --- runs and results ------------------------------------------------------------ */

struct outcome {
    struct numbers numbers;
    struct err err;
};

/* A run in a child: its memory is fresh and counts nothing else. */
static int run_apart(const struct options *options, bool longest,
                     struct numbers *numbers, struct err *err)
{
    struct outcome *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                                  MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status = 0, rc = 0;
    pid_t child;

    if (shared == MAP_FAILED)
        return err_system(err, "bench store: memory for the results");
    child = fork();
    if (child == 0)
        _exit(run(options, longest, &shared->numbers, &shared->err) ? 1 : 0);
    if (child < 0)
        rc = err_system(err, "bench store: fork");
    else if (waitpid(child, &status, 0) < 0)
        rc = err_system(err, "bench store: waiting for a run");
    else if (WIFSIGNALED(status))
        rc = err_set(err, ERR_MEMORY,
                     "bench store: a run was ended by signal %d; is there memory for "
                     "%llu rows?",
                     WTERMSIG(status), (unsigned long long)options->rows);
    else if (status) {
        *err = shared->err;
        rc = -err->code;
    }
    *numbers = shared->numbers;
    munmap(shared, sizeof *shared);
    return rc;
}

static void print_rate(FILE *out, const char *what, double rate)
{
    fprintf(out, "%-38s %8.2f M/s\n", what, rate / 1e6);
}

static void print(const struct options *o, const struct numbers *n, FILE *out)
{
    fprintf(out,
            "table of %llu rows, dim %llu, %s memory, one thread, medians of %llu\n",
            (unsigned long long)o->rows, (unsigned long long)o->dim,
            o->memfd ? "memfd" : "anonymous", (unsigned long long)o->repeat);
    print_rate(out, "insert (made, first values normal)", n->insert);
    print_rate(out, "find (and copied)", n->find);
    print_rate(out, "apply (found, one SGD step)", n->apply);
    print_rate(out, "gather (known addresses, 16 ahead)", n->gather_near);
    print_rate(out, "gather limit (64 ahead)", n->gather_far);
    print_rate(out, "gather of index line and row", n->gather_pair);
    fprintf(out, "%-38s %8.0f %% and %.0f %%\n", "find / gather limit, / line and row",
            100 * n->find / n->gather_far, 100 * n->find / n->gather_pair);
    fprintf(out, "%-38s %8.2f bytes a row\n", "memory beyond the floats", n->overhead);
    fprintf(out, "%-38s %8.0f us\n", "longest single insert (processor time)",
            n->longest);
}

static int print_json(const struct options *o, const struct numbers *n, FILE *out,
                      struct err *err)
{
    json_t *json = json_pack(
        "{s:I, s:I, s:s, s:f, s:f, s:f, s:f, s:f, s:f, s:f, s:f}", "rows",
        (json_int_t)o->rows, "dim", (json_int_t)o->dim, "memory",
        o->memfd ? "memfd" : "anonymous", "insert_per_second", n->insert,
        "find_per_second", n->find, "apply_per_second", n->apply,
        "overhead_bytes_per_row", n->overhead, "gather_limit_per_second", n->gather_far,
        "gather_16_ahead_per_second", n->gather_near, "gather_index_and_row_per_second",
        n->gather_pair, "longest_insert_microseconds", n->longest);

    return bench_print_json(json, out, err);
}

/* The median over the runs of one of their numbers, which is at `offset`. */
static double median_of(const struct numbers *numbers, size_t n, size_t offset)
{
    double values[REPEAT_MAX] = {0};

    for (size_t i = 0; i < n; i++)
        memcpy(&values[i], (const char *)&numbers[i] + offset, sizeof values[i]);
    return bench_median(values, n);
}

int bench_store(int argc, char **argv, FILE *out, struct err *err)
{
    struct numbers numbers[REPEAT_MAX], longest, all;
    struct options options;
    size_t n;
    int rc = parse(argc, argv, &options, err);

    if (rc)
        return rc;
    n = options.repeat;
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = run_apart(&options, false, &numbers[i], err);
    if (rc == 0)
        rc = run_apart(&options, true, &longest, err);
    if (rc)
        return rc;
    all = (struct numbers){
        .insert = median_of(numbers, n, offsetof(struct numbers, insert)),
        .find = median_of(numbers, n, offsetof(struct numbers, find)),
        .apply = median_of(numbers, n, offsetof(struct numbers, apply)),
        .gather_near = median_of(numbers, n, offsetof(struct numbers, gather_near)),
        .gather_far = median_of(numbers, n, offsetof(struct numbers, gather_far)),
        .gather_pair = median_of(numbers, n, offsetof(struct numbers, gather_pair)),
        .overhead = median_of(numbers, n, offsetof(struct numbers, overhead)),
        .longest = longest.longest,
    };
    if (options.json)
        return print_json(&options, &all, out, err);
    print(&options, &all, out);
    return 0;
}

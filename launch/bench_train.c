#include "launch/bench_train.h"

#include <dirent.h>
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/cpu.h"
#include "common/zipf.h"
#include "launch/bench_options.h"
#include "launch/run.h"
#include "worker/keyset.h"
#include "worker/model/mf.h"

enum { LOOK_MS = 5, THREADS_MAX = 256, KERNEL_MS = 300 };

/* What threads are for, told by their names. */
enum duty { TRAINER, READER, SERVER, NETWORK, OTHERS, ROLES };

static const char *const role_names[] = {"trainer", "reader", "server", "network",
                                         "others"};
static const char *const role_prefix[] = {"worker-", "reader", "server-", "ZMQbg", ""};
static const char *const models[] = {"mf", NULL};

struct options {
    int model;
    uint64_t users, items, examples, dim, epochs, servers, workers, seed;
    struct bench_list batch;
    double zipf;
    bool json;
};

/* Processor seconds of the threads of a kind so far. */
struct usage {
    double cpu[ROLES];
    double at; /* when it was taken */
};

struct result {
    double examples, kernel; /* a second */
    double cpu[ROLES];       /* seconds an example */
    double busy[ROLES];      /* processors in use, on average */
};

struct bench {
    struct options options;
    struct zipf users, items;
    int data_fd; /* ratings, as a file in memory */
    struct result result[BENCH_LIST_MAX];
};

/* A thread of the run, seen for the last time. */
struct seen {
    int tid;
    enum duty role;
    double cpu;
};

/* A run that is watched. */
struct watched {
    pid_t pid;
    int output; /* what it says */
    struct seen thread[THREADS_MAX];
    uint32_t threads;
    uint32_t epochs; /* finished */
    struct usage first, last;
    char line[512]; /* that has begun */
    size_t line_bytes;
    char complaint[512]; /* the last line that is no progress */
};

static const struct bench_option option_list[] = {
    {"--model", BENCH_CHOICE, offsetof(struct options, model), 0, 0, models},
    {"--users", BENCH_NUMBER, offsetof(struct options, users), 1, 1 << 26, NULL},
    {"--items", BENCH_NUMBER, offsetof(struct options, items), 1, 1 << 26, NULL},
    {"--examples", BENCH_NUMBER, offsetof(struct options, examples), 1, 1 << 28, NULL},
    {"--dim", BENCH_NUMBER, offsetof(struct options, dim), 1, 4096, NULL},
    {"--batch", BENCH_LIST, offsetof(struct options, batch), 1, 1 << 20, NULL},
    {"--epochs", BENCH_NUMBER, offsetof(struct options, epochs), 2, 1000, NULL},
    {"--zipf", BENCH_REAL, offsetof(struct options, zipf), 0, 10, NULL},
    {"--servers", BENCH_NUMBER, offsetof(struct options, servers), 1, 64, NULL},
    {"--workers", BENCH_NUMBER, offsetof(struct options, workers), 1, 64, NULL},
    {"--seed", BENCH_NUMBER, offsetof(struct options, seed), 0, 1u << 31, NULL},
    {"--json", BENCH_SWITCH, offsetof(struct options, json), 0, 0, NULL},
};

/* --- data and job ----------------------------------------------------------------- */

static uint64_t user_of(const struct bench *b, uint64_t number)
{
    return zipf_draw(&b->users, rng_at(b->options.seed, 11, number));
}

static uint64_t item_of(const struct bench *b, uint64_t number)
{
    return zipf_draw(&b->items, rng_at(b->options.seed, 12, number));
}

static int make_ratings(struct bench *b, struct err *err)
{
    FILE *file;

    b->data_fd = memfd_create("ratings", 0);
    file = b->data_fd < 0 ? NULL : fdopen(dup(b->data_fd), "w");
    if (!file)
        return err_system(err, "memory for ratings");
    fprintf(file, "user\titem\trating\n");
    for (uint64_t i = 0; i < b->options.examples; i++) {
        unsigned long long user = user_of(b, i), item = item_of(b, i);
        unsigned rating = (unsigned)rng_below(rng_at(b->options.seed, 13, i), 5);

        fprintf(file, "%llu\t%llu\t%u\n", user, item, rating + 1);
    }
    if (fclose(file))
        return err_system(err, "writing ratings to memory");
    return 0;
}

/* The job as a file in memory; its path. */
static int make_job(const struct bench *b, uint64_t batch, char *path, size_t size,
                    struct err *err)
{
    const struct options *o = &b->options;
    int fd = memfd_create("job", 0);

    if (fd < 0)
        return err_system(err, "memory for a job file");
    snprintf(path, size, "/proc/self/fd/%d", fd);
    if (dprintf(fd,
                "name: bench\n"
                "data: {train: /proc/self/fd/%d, format: tsv, label: rating, columns: "
                "{user: {as: key, table: user}, item: {as: key, table: item}}}\n"
                "tables: {user: {dim: %llu}, item: {dim: %llu}}\n"
                "model: {kind: mf}\n"
                "optimizer: {kind: adagrad}\n"
                "train: {epochs: %llu, batch: %llu, seed: %llu}\n"
                "cluster: {servers: %llu, workers: %llu}\n",
                b->data_fd, (unsigned long long)o->dim, (unsigned long long)o->dim,
                (unsigned long long)o->epochs, (unsigned long long)batch,
                (unsigned long long)o->seed, (unsigned long long)o->servers,
                (unsigned long long)o->workers) < 0)
        return err_system(err, "writing a job file to memory");
    return fd;
}

/* --- the run ---------------------------------------------------------------------- */

/* In the new process: what `rowhouse train` does. */
static int train(const struct bench *b, uint64_t batch)
{
    struct run_request *request = calloc(1, sizeof *request);
    char path[64];
    struct err err;

    if (!request || make_job(b, batch, path, sizeof path, &err) < 0 ||
        job_load(&request->job, path, NULL, 0, &err)) {
        fprintf(stderr, "%s\n", request ? err.text : "no memory");
        return 1;
    }
    return run_local(request);
}

static int start_run(const struct bench *b, uint64_t batch, struct watched *w,
                     struct err *err)
{
    pid_t parent = getpid();
    int end[2];

    if (pipe(end))
        return err_system(err, "a pipe");
    fflush(NULL);
    w->pid = fork();
    if (w->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (getppid() != parent || dup2(end[1], STDERR_FILENO) < 0)
            _exit(1);
        close(end[0]);
        close(end[1]);
        _exit(train(b, batch));
    }
    close(end[1]);
    w->output = end[0];
    if (w->pid > 0)
        return 0;
    close(end[0]);
    return err_system(err, "cannot start a process");
}

/* --- watching it ------------------------------------------------------------------ */

static bool read_file(pid_t pid, const char *tid, const char *name, char *text,
                      size_t size)
{
    char path[128];
    FILE *file;
    bool done;

    snprintf(path, sizeof path, "/proc/%d/task/%s/%s", (int)pid, tid, name);
    file = fopen(path, "r");
    done = file && fgets(text, (int)size, file);
    if (file)
        fclose(file);
    return done;
}

static enum duty role_of(const char *name)
{
    enum duty role = TRAINER;

    while (role < OTHERS &&
           strncmp(name, role_prefix[role], strlen(role_prefix[role])) != 0)
        role++;
    return role;
}

static void see_thread(struct watched *w, const char *tid)
{
    char name[64], ran[128];
    uint32_t i = 0;

    if (!read_file(w->pid, tid, "comm", name, sizeof name) ||
        !read_file(w->pid, tid, "schedstat", ran, sizeof ran))
        return;
    while (i < w->threads && w->thread[i].tid != atoi(tid))
        i++;
    if (i == THREADS_MAX)
        return;
    if (i == w->threads)
        w->threads++;
    w->thread[i] = (struct seen){atoi(tid), role_of(name), strtod(ran, NULL) * 1e-9};
}

/* Threads that have ended count as they were seen last. */
static struct usage see_threads(struct watched *w)
{
    struct usage usage = {.at = clock_seconds()};
    struct dirent *entry;
    char path[64];
    DIR *dir;

    snprintf(path, sizeof path, "/proc/%d/task", (int)w->pid);
    dir = opendir(path);
    while (dir && (entry = readdir(dir)))
        if (entry->d_name[0] != '.')
            see_thread(w, entry->d_name);
    if (dir)
        closedir(dir);
    for (uint32_t i = 0; i < w->threads; i++)
        usage.cpu[w->thread[i].role] += w->thread[i].cpu;
    return usage;
}

static void take_line(struct watched *w)
{
    if (strncmp(w->line, "epoch ", 6) != 0) {
        snprintf(w->complaint, sizeof w->complaint, "%s", w->line);
        return;
    }
    w->last = see_threads(w);
    if (w->epochs++ == 0)
        w->first = w->last;
}

/* Takes what the run says; false at its end. */
static bool take_output(struct watched *w)
{
    char text[256];
    ssize_t n = read(w->output, text, sizeof text);

    if (n < 0 && errno == EINTR)
        return true;
    for (ssize_t i = 0; i < n; i++) {
        if (text[i] != '\n') {
            if (w->line_bytes + 1 < sizeof w->line)
                w->line[w->line_bytes++] = text[i];
            continue;
        }
        w->line[w->line_bytes] = '\0';
        w->line_bytes = 0;
        take_line(w);
    }
    return n > 0;
}

static int watch_run(struct bench *b, struct watched *w, struct err *err)
{
    struct pollfd output = {.fd = w->output, .events = POLLIN};
    int status = 0;

    for (bool open = true; open;) {
        if (poll(&output, 1, LOOK_MS) > 0)
            open = take_output(w);
        else
            (void)see_threads(w); /* before one of them ends */
    }
    close(w->output);
    while (waitpid(w->pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (status || w->epochs != b->options.epochs)
        return err_set(err, ERR_SYSTEM, "a run has failed: %s", w->complaint);
    return 0;
}

static int measure_run(struct bench *b, uint64_t batch, struct result *result,
                       struct err *err)
{
    struct watched *w = calloc(1, sizeof *w);
    double examples = (double)(b->options.examples * (b->options.epochs - 1)), seconds;
    int rc;

    if (!w)
        return err_set(err, ERR_MEMORY, "no memory to watch a run");
    rc = start_run(b, batch, w, err);
    if (rc == 0)
        rc = watch_run(b, w, err);
    if (rc == 0) {
        seconds = w->last.at - w->first.at;
        result->examples = examples / seconds;
        for (int role = 0; role < ROLES; role++) {
            double cpu = w->last.cpu[role] - w->first.cpu[role];

            result->cpu[role] = cpu / examples;
            result->busy[role] = cpu / seconds;
        }
    }
    free(w);
    return rc;
}

/* --- the kernel alone ------------------------------------------------------------- */

struct kernel {
    struct mf mf;
    struct mf_batch batch;
    struct keyset user, item;
    uint64_t *key;
    float *label, *rows, *gradient; /* of users, then items */
    uint64_t floats;
};

static int kernel_open(struct kernel *k, struct bench *b, uint64_t batch,
                       struct err *err)
{
    uint32_t n = (uint32_t)batch, width = (uint32_t)b->options.dim + 1;

    *k = (struct kernel){.mf = {.dim = width - 1,
                                .width = width,
                                .bias = true,
                                .loss = LOSS_SQUARED,
                                .mean = 3},
                         .floats = 2 * batch * width};
    k->key = malloc(batch * sizeof *k->key);
    k->label = malloc(batch * sizeof *k->label);
    k->rows = malloc(k->floats * sizeof *k->rows);
    k->gradient = malloc(k->floats * sizeof *k->gradient);
    if (!k->key || !k->label || !k->rows || !k->gradient)
        return err_set(err, ERR_MEMORY, "no memory for a batch of %u examples", n);
    if (keyset_create(&k->user, 0, n, 1, err) || keyset_create(&k->item, 1, n, 1, err))
        return -err->code;
    for (uint32_t i = 0; i < n; i++) {
        k->key[i] = user_of(b, i);
        k->label[i] = (float)(1 + i % 5);
    }
    keyset_build(&k->user, k->key, n, 1, 1);
    for (uint32_t i = 0; i < n; i++)
        k->key[i] = item_of(b, i);
    keyset_build(&k->item, k->key, n, 1, 1);
    for (uint64_t i = 0; i < k->floats; i++)
        k->rows[i] = 0.1f * (float)(i % 7) - 0.3f;
    k->batch = (struct mf_batch){n,           k->user.pos,
                                 k->item.pos, k->label,
                                 k->rows,     k->rows + (size_t)k->user.rows * width,
                                 NULL};
    return 0;
}

static void kernel_close(struct kernel *k)
{
    keyset_release(&k->user);
    keyset_release(&k->item);
    free(k->key);
    free(k->label);
    free(k->rows);
    free(k->gradient);
}

/* Examples a second: gradients are cleared, then summed up, as in a step. */
static int measure_kernel(struct bench *b, uint64_t batch, struct result *result,
                          struct err *err)
{
    struct kernel k;
    int rc = kernel_open(&k, b, batch, err);
    double start = clock_seconds(), now = start;
    size_t rows = k.user.rows + k.item.rows;
    uint64_t done = 0;

    while (rc == 0 && now - start < KERNEL_MS * 1e-3) {
        memset(k.gradient, 0, rows * k.mf.width * sizeof(float));
        (void)mf_forward_backward(&k.mf, &k.batch, k.gradient,
                                  k.gradient + (size_t)k.user.rows * k.mf.width);
        done += batch;
        now = clock_seconds();
    }
    if (rc == 0)
        result->kernel = (double)done / (now - start);
    kernel_close(&k);
    return rc;
}

/* --- results ---------------------------------------------------------------------- */

static json_t *result_json(const struct result *r, uint64_t batch)
{
    json_t *cpu = json_object(), *busy = json_object();

    for (int role = 0; role < ROLES; role++) {
        json_object_set_new(cpu, role_names[role], json_real(r->cpu[role] * 1e6));
        json_object_set_new(busy, role_names[role], json_real(r->busy[role]));
    }
    return json_pack("{s:I, s:f, s:f, s:f, s:o, s:o}", "batch", (json_int_t)batch,
                     "examples_per_second", r->examples, "kernel_per_second", r->kernel,
                     "share_of_kernel", r->examples / r->kernel, "cpu_us_per_example",
                     cpu, "processors_busy", busy);
}

static int print_json(const struct bench *b, FILE *out, struct err *err)
{
    const struct options *o = &b->options;
    json_t *batches = json_array();

    for (uint32_t i = 0; i < o->batch.count; i++)
        json_array_append_new(batches, result_json(&b->result[i], o->batch.value[i]));
    return bench_print_json(
        json_pack("{s:s, s:I, s:I, s:I, s:I, s:I, s:f, s:I, s:I, s:s, s:o}", "model",
                  models[o->model], "users", (json_int_t)o->users, "items",
                  (json_int_t)o->items, "examples", (json_int_t)o->examples, "dim",
                  (json_int_t)o->dim, "epochs", (json_int_t)o->epochs, "zipf", o->zipf,
                  "servers", (json_int_t)o->servers, "workers", (json_int_t)o->workers,
                  "kernels", cpu_level_name(cpu_level()), "batches", batches),
        out, err);
}

static void print(const struct bench *b, FILE *out)
{
    const struct options *o = &b->options;

    fprintf(out,
            "mf, dim %llu, %llu users, %llu items, popularity r^-%g, %llu server%s and "
            "%llu worker%s in one process\n%8s %14s %20s   processor us an example\n",
            (unsigned long long)o->dim, (unsigned long long)o->users,
            (unsigned long long)o->items, o->zipf, (unsigned long long)o->servers,
            o->servers == 1 ? "" : "s", (unsigned long long)o->workers,
            o->workers == 1 ? "" : "s", "batch", "M examples/s", "of the kernel's");
    for (uint32_t i = 0; i < o->batch.count; i++) {
        const struct result *r = &b->result[i];

        fprintf(out, "%8llu %14.2f %8.2f M/s (%2.0f %%)  ",
                (unsigned long long)o->batch.value[i], r->examples / 1e6,
                r->kernel / 1e6, 100 * r->examples / r->kernel);
        for (int role = 0; role < ROLES; role++)
            fprintf(out, " %s %.3f%s", role_names[role], r->cpu[role] * 1e6,
                    role + 1 < ROLES ? "," : "\n");
    }
}

static int run(struct bench *b, struct err *err)
{
    const struct options *o = &b->options;
    int rc = 0;

    zipf_init(&b->users, o->users, o->zipf);
    zipf_init(&b->items, o->items, o->zipf);
    if (make_ratings(b, err))
        return -err->code;
    for (uint32_t i = 0; rc == 0 && i < o->batch.count; i++) {
        rc = measure_run(b, o->batch.value[i], &b->result[i], err);
        if (rc == 0)
            rc = measure_kernel(b, o->batch.value[i], &b->result[i], err);
    }
    return rc;
}

int bench_train(int argc, char **argv, FILE *out, struct err *err)
{
    struct bench *b = calloc(1, sizeof *b);
    int rc;

    if (!b)
        return err_set(err, ERR_MEMORY, "bench train: no memory for the results");
    b->data_fd = -1;
    b->options = (struct options){.users = 20000,
                                  .items = 5000,
                                  .examples = 500000,
                                  .dim = 64,
                                  .batch = {{256, 1024, 4096, 16384}, 4},
                                  .epochs = 4,
                                  .zipf = 0.8,
                                  .servers = 1,
                                  .workers = 1,
                                  .seed = 1};
    rc = bench_parse("train", option_list, sizeof option_list / sizeof *option_list,
                     argc, argv, &b->options, err);
    if (rc == 0 && run(b, err))
        rc = err_prefix(err, "bench train");
    if (rc == 0 && b->options.json)
        rc = print_json(b, out, err);
    else if (rc == 0)
        print(b, out);
    if (b->data_fd >= 0)
        close(b->data_fd);
    free(b);
    return rc;
}

/* A server's process is killed with SIGKILL at random moments, most of them in the
 * middle of a look-up, an insertion, a growth of the index or the application of
 * gradients, and another goes on over the same region. In the end every row must have
 * the same bits as in a server that was left alone. ROWHOUSE_KILLS says how often. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/net/buffer.h"
#include "common/net/message.h"
#include "common/rng.h"
#include "server/core.h"

#include <poll.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    ROWS = 400, /* a push */
    WORKERS = 3,
    AHEAD = 60, /* pushes that a process is given to do */
    REGION_BYTES = 256 << 20,
    BODY_BYTES = 1 << 20,
    SEED = 20,
};

struct bench {
    struct job job;
    struct region region;
    struct buffer_pool *pool;
    struct core *core;
    struct message message;
    struct message answer;
    _Alignas(64) unsigned char body[BODY_BYTES];
};

static void fill_job(struct job *job)
{
    job_init(job);
    job->tables = 2;
    snprintf(job->table[0].name, sizeof job->table[0].name, "a");
    snprintf(job->table[1].name, sizeof job->table[1].name, "b");
    job->table[0].dim = 24;
    job->table[1].dim = 5;
    job->table[0].init = job->table[1].init = INIT_NORMAL;
    job->table[0].scale = job->table[1].scale = 0.1;
    job->optimizer.kind = OPTIMIZER_ADAGRAD;
    job->optimizer.rate = 0.1;
    job->optimizer.l2 = 0.01;
    job->optimizer.initial = 0.1;
    job->table[1].optimizer.kind = OPTIMIZER_ADAM; /* rows of another length */
    job->table[1].optimizer.l2 = 0;
    job->cluster.memory_max = REGION_BYTES / 2;
}

static struct bench *bench_create(void)
{
    struct bench *b = calloc(1, sizeof *b);

    fill_job(&b->job);
    b->region = (struct region){.size = REGION_BYTES, .bytes_max = REGION_BYTES / 2};
    b->region.fd = memfd_create("region", 0);
    assert_int_equal(ftruncate(b->region.fd, REGION_BYTES), 0);
    b->region.base = mmap(NULL, REGION_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
                          b->region.fd, 0);
    assert_true(b->region.base != MAP_FAILED);
    b->pool = buffer_pool_create(1 << 26);
    return b;
}

static void bench_destroy(struct bench *b)
{
    core_destroy(b->core);
    buffer_pool_destroy(b->pool);
    munmap(b->region.base, REGION_BYTES);
    close(b->region.fd);
    free(b);
}

/* Push number `n` (from 1): worker (n - 1) % WORKERS; keys that are
 * partly new, partly old. */
static void make_push(struct bench *b, uint64_t n)
{
    struct section_layout at[2];
    struct message *m = &b->message;
    uint64_t clock = (n - 1) / WORKERS + 1;

    m->role = ROLE_WORKER;
    m->sender = (uint32_t)((n - 1) % WORKERS);
    m->kind = MESSAGE_PUSH;
    m->push = (struct push){clock, clock - 1, 0, 1};
    m->sections = 2;
    m->section[0] = (struct section){.table = 0, .rows = ROWS, .width = 24};
    m->section[1] = (struct section){.table = 1, .rows = ROWS / 4, .width = 5};
    m->body = b->body;
    m->body_bytes = message_layout(MESSAGE_PUSH, m->section, 2, at);
    for (int s = 0; s < 2; s++) {
        uint64_t *key = (uint64_t *)(b->body + at[s].keys);
        float *weight = (float *)(b->body + at[s].weights);
        float *gradient = (float *)(b->body + at[s].values);
        uint32_t width = m->section[s].width;

        for (uint32_t i = 0; i < m->section[s].rows; i++) {
            uint64_t dice = rng_at(SEED, n * 2 + (uint64_t)s, i);

            key[i] = dice % (i % 2 ? 2000 : n * 100 + 1);
            weight[i] = 1 + (float)(dice >> 60);
            for (uint32_t j = 0; j < width; j++)
                gradient[i * width + j] = (float)((dice >> (j % 32)) & 255) / 256 -
                                          0.5f;
        }
    }
}

static void apply(struct bench *b, uint64_t n)
{
    struct buffer *body;
    struct peer to;
    struct err err;

    make_push(b, n);
    if (core_handle(b->core, &b->message, &err))
        abort();
    while (core_next(b->core, &to, &b->answer, &body)) {
        if (b->answer.kind != MESSAGE_ACK || b->answer.ack.resend)
            abort();
        buffer_unref(body);
    }
}

static void open_core(struct bench *b)
{
    struct err err;

    if (core_create(&b->job, 0, 1, WORKERS, &b->region, b->pool, &b->core, &err)) {
        fprintf(stderr, "%s\n", err.text);
        abort();
    }
}

/* The child: applies the pushes it is told to, and says when each is done. */
static void serve(struct bench *b, int fd)
{
    uint64_t n;

    open_core(b);
    while (read(fd, &n, sizeof n) == sizeof n) {
        apply(b, n);
        if (write(fd, &n, sizeof n) != sizeof n)
            _exit(0);
    }
    _exit(0);
}

static pid_t start(struct bench *b, int *fd)
{
    int pair[2];
    pid_t pid;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(pair[0]);
        serve(b, pair[1]);
    }
    close(pair[1]);
    *fd = pair[0];
    return pid;
}

/* Reads what is done; true when something came within the time. */
static bool listen_for(int fd, int timeout_us, uint64_t *done)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};
    struct timespec time = {timeout_us / 1000000, timeout_us % 1000000 * 1000L};

    return ppoll(&p, 1, &time, NULL) == 1 &&
           read(fd, done, sizeof *done) == sizeof *done;
}

static uint64_t kills_wanted(void)
{
    const char *text = getenv("ROWHOUSE_KILLS");

    return text ? strtoull(text, NULL, 10) : 1000;
}

static void pause_us(int us)
{
    struct timespec time = {0, us * 1000L};

    nanosleep(&time, NULL);
}

/* Runs pushes 1..: at each kill the one in hand is sent again to the next process.
 * Returns how many pushes were made. */
static uint64_t run_killed(struct bench *b, uint64_t kills)
{
    uint64_t n = 1, killed = 0, dice = 0, busy = 0;
    int64_t until = clock_ms() + 100000;
    int fd;
    pid_t pid = start(b, &fd);

    while (killed < kills && clock_ms() < until) {
        uint64_t done, last = n + AHEAD;

        for (uint64_t i = n; i <= last; i++)
            assert_int_equal(write(fd, &i, sizeof i), sizeof i);
        /* Once it is up, it is struck while it has plenty to do. */
        assert_true(listen_for(fd, 5000000, &done));
        n = done + 1;
        pause_us((int)(rng_at(SEED, 1000, dice++) % 1000));
        kill(pid, SIGKILL);
        killed++;
        assert_int_equal(waitpid(pid, NULL, 0), pid);
        while (listen_for(fd, 0, &done))
            n = done + 1;
        busy += n <= last;
        close(fd);
        pid = start(b, &fd);
    }
    kill(pid, SIGKILL);
    waitpid(pid, NULL, 0);
    close(fd);
    assert_int_equal(killed, kills);
    assert_true(busy > kills / 2); /* or this proves little */
    return n;
}

static void compare(struct bench *a, struct bench *b)
{
    for (uint32_t t = 0; t < 2; t++) {
        uint32_t tables;
        const struct table *x = core_tables(a->core, &tables)[t];
        const struct table *y = core_tables(b->core, &tables)[t];
        size_t bytes = (x->spec.width + x->spec.state_width) * sizeof(float);

        assert_int_equal(table_rows(x), table_rows(y));
        for (uint64_t i = 0; i < table_rows(x); i++) {
            uint64_t key;
            const float *row = table_row(x, i, &key);
            float *other;

            table_find(y, &key, 1, &other);
            if (!other || memcmp(row, other, bytes) != 0)
                fail_msg("row %llu of table %u is %s", (unsigned long long)key, t,
                         other ? "different" : "missing");
        }
    }
}

static void test_killed(void **state)
{
    struct bench *killed = bench_create(), *alone = bench_create();
    uint64_t n;

    (void)state;
    n = run_killed(killed, kills_wanted());
    assert_true(n > 100);
    open_core(alone);
    /* The last few may have been applied without our having heard of it. */
    open_core(killed);
    for (uint64_t i = n; i <= n + AHEAD; i++)
        apply(killed, i);
    for (uint64_t i = 1; i <= n + AHEAD; i++)
        apply(alone, i);
    compare(alone, killed);
    bench_destroy(killed);
    bench_destroy(alone);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_killed)};

    return cmocka_run_group_tests_name("killed_server", tests, NULL, NULL);
}

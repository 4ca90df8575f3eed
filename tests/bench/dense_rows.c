/* dense_rows [ROUNDS [ROWS WIDTH]]: pulls and pushes of a dense table of which every
 * batch takes all rows (900 x 400), as the layers of a model do: a client and a core on
 * one thread, with messages but no network between them. Prints, for some optimizers,
 * the medians of the time of a pull and of a push, beside that of one copy of the
 * rows, in turns. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "common/clock.h"
#include "server/core.h"
#include "worker/client.h"
#include "worker/outbox.h"

enum { ROUNDS_MAX = 10000, REGION_BYTES = 1 << 30, BUFFERS_MAX = 1 << 28, WINDOW = 2 };

struct bench {
    struct job job;
    struct roster roster;
    struct region region;
    struct buffer_pool *pool;
    struct core *core;
    struct outbox *outbox;
    struct client *client;
    struct batch batch;
    float *gradient, *copy;
    struct message request, answer;
};

static void fail(const struct err *err)
{
    fprintf(stderr, "dense_rows: %s\n", err->text);
    exit(1);
}

/* --- between the client and the core ---------------------------------------------- */

static int line_send(void *context, uint32_t server, const struct message *message,
                     struct buffer *body, struct err *err)
{
    static const struct sender sender = {0, ROLE_WORKER, 0, 0};
    struct bench *b = context;
    unsigned char head[MESSAGE_HEADER_MAX];
    size_t bytes = message_encode_from(&sender, message, head);

    (void)server;
    if (message_decode(&b->request, head, bytes, body ? body->used : 0, err))
        return -err->code;
    b->request.body = body ? body->data : NULL;
    return core_handle(b->core, &b->request, err);
}

static int line_wait(void *context, struct client *client, int timeout_ms,
                     struct err *err)
{
    struct bench *b = context;
    struct buffer *body;
    struct peer to;
    int rc = 0;

    (void)timeout_ms;
    while (rc == 0 && core_next(b->core, &to, &b->answer, &body)) {
        b->answer.body = body ? body->data : NULL;
        b->answer.body_bytes = body ? body->used : 0;
        rc = client_receive(client, 0, &b->answer, err);
        buffer_unref(body);
    }
    return rc;
}

static int64_t line_now(void *context)
{
    (void)context;
    return clock_ms();
}

/* --- one optimizer ---------------------------------------------------------------- */

static void set_job(struct bench *b, int optimizer, uint32_t rows, uint32_t width)
{
    job_init(&b->job);
    b->job.tables = 1;
    snprintf(b->job.table[0].name, sizeof b->job.table[0].name, "layer");
    b->job.table[0].dim = width;
    b->job.table[0].rows = rows;
    b->job.model.bias = false;
    b->job.optimizer.kind = optimizer;
    b->job.cluster.memory_max = REGION_BYTES / 2;
    b->roster.servers = b->roster.workers = 1;
}

static void open_server(struct bench *b)
{
    static const struct range share = {0, 1};
    struct err err;

    b->region = (struct region){
        .size = REGION_BYTES, .bytes_max = REGION_BYTES / 2, .fd = -1};
    b->region.base = mmap(NULL, REGION_BYTES, PROT_READ | PROT_WRITE,
                          MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    b->pool = buffer_pool_create(BUFFERS_MAX);
    if (core_create(&b->job, 0, 1, 1, &b->region, b->pool, &b->core, &err) ||
        core_begin_training(b->core, 1, 0, &share, &err))
        fail(&err);
}

static void open_worker(struct bench *b, uint32_t rows, uint32_t width)
{
    struct line line = {line_send, line_wait, line_now, b};
    uint64_t most = rows, bytes = client_outbox_bytes(&most, &width, 1, 1, WINDOW);
    size_t floats = (size_t)rows * width;
    struct err err;

    b->gradient = calloc(floats, sizeof(float));
    b->copy = calloc(floats, sizeof(float));
    for (size_t i = 0; i < floats; i++)
        b->gradient[i] = (float)(rng_unit(rng_at(1, 2, i)) - 0.5);
    if (outbox_open(calloc(1, bytes), bytes, &b->outbox, &err) ||
        client_create(&b->job, &b->roster, line, b->pool, b->outbox, WINDOW, &b->client,
                      &err) ||
        batch_create(&b->batch, &width, 1, 1, rows, &err) ||
        client_meet(b->client, &err))
        fail(&err);
    b->batch.set[0].dense = rows;
    client_begin_order(b->client, 1, 0);
}

static void pull(struct bench *b, uint64_t clock)
{
    struct err err;

    b->batch.n = 256;
    b->batch.clock = clock;
    keyset_build_all(&b->batch.set[0], 256, 1);
    if (batch_cut(&b->batch, &err) || client_begin_pull(b->client, &b->batch, &err) ||
        client_finish_pull(b->client, &b->batch, &err))
        fail(&err);
}

static void push(struct bench *b, uint64_t clock)
{
    struct journal_entry standing = {.order = 1, .clock = clock};
    struct err err;

    if (client_push(b->client, &b->batch, &b->gradient, &standing, &err) ||
        client_drain(b->client, &err))
        fail(&err);
}

static int by_time(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static double median_us(double *seconds, int n)
{
    qsort(seconds, (size_t)n, sizeof *seconds, by_time);
    return 1e6 * seconds[n / 2];
}

/* Memory is left to the end of the process. */
static void measure(const char *name, int optimizer, int rounds, uint32_t rows,
                    uint32_t width)
{
    static double pulls[ROUNDS_MAX], pushes[ROUNDS_MAX], copies[ROUNDS_MAX];
    struct bench *b = calloc(1, sizeof *b);

    set_job(b, optimizer, rows, width);
    open_server(b);
    open_worker(b, rows, width);
    for (int i = 0; i < rounds; i++) {
        double start = clock_seconds(), pulled, pushed;

        pull(b, (uint64_t)i + 1);
        pulled = clock_seconds();
        push(b, (uint64_t)i + 1);
        pushed = clock_seconds();
        memcpy(b->copy, b->gradient, (size_t)rows * width * sizeof(float));
        __asm__ volatile("" : : "r"(b->copy) : "memory");
        copies[i] = clock_seconds() - pushed;
        pulls[i] = pulled - start;
        pushes[i] = pushed - pulled;
    }
    printf("%-8s pull %7.1f us, push %7.1f us, a copy of the rows %6.1f us\n", name,
           median_us(pulls, rounds), median_us(pushes, rounds),
           median_us(copies, rounds));
}

int main(int argc, char **argv)
{
    int rounds = argc > 1 ? atoi(argv[1]) : 501;
    int rows = argc > 3 ? atoi(argv[2]) : 900, width = argc > 3 ? atoi(argv[3]) : 400;

    if (rounds < 1 || rounds > ROUNDS_MAX || rows < 1 || rows > 1 << 20 || width < 1 ||
        width > 16384 || (double)rows * width > 1 << 24) {
        fprintf(stderr,
                "dense_rows: ROUNDS must be 1 to %d, ROWS times WIDTH at most "
                "2^24\n",
                ROUNDS_MAX);
        return 2;
    }
    measure("sgd", OPTIMIZER_SGD, rounds, (uint32_t)rows, (uint32_t)width);
    measure("adagrad", OPTIMIZER_ADAGRAD, rounds, (uint32_t)rows, (uint32_t)width);
    measure("adam", OPTIMIZER_ADAM, rounds, (uint32_t)rows, (uint32_t)width);
    return 0;
}

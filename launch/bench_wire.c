#include "launch/bench_wire.h"

#include <arpa/inet.h>
#include <math.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "launch/bench_options.h"
#include "launch/bench_wire_ends.h"
#include "launch/network.h"

enum { BYTES_MIN = 64, BYTES_MAX = 8 << 20, SLICES = 5, BUFFERS_MAX = 1 << 30 };

/* The ways in which a body is sent, in the order of their turns. */
enum way { WAY_ONE, WAY_TWO, WAY_RAW, WAYS };

static const char *const way_names[] = {"one_frame", "two_frames", "raw"};
static const char *const transports[] = {"tcp", "ipc", "inproc", NULL};

struct options {
    int transport;
    struct bench_list bytes;
    double seconds;
    bool json;
};

/* One way at one size. */
struct result {
    struct latency latency;
    double messages[SLICES], median; /* a second */
    double cpu_us;                   /* processor time a message, both ends */
};

struct bench {
    struct options options;
    struct wire *wire;
    struct wire_near *near;
    struct far {
        void (*run)(struct wire *wire);
        struct wire *wire;
        pthread_t thread;
        pid_t pid;
        bool running;
    } far[2]; /* of the port, of the raw connection */
    struct result result[BENCH_LIST_MAX][WAYS];
};

/* --- options ---------------------------------------------------------------------- */

static const struct bench_option option_list[] = {
    {"--transport", BENCH_CHOICE, offsetof(struct options, transport), 0, 0,
     transports},
    {"--bytes", BENCH_LIST, offsetof(struct options, bytes), BYTES_MIN, BYTES_MAX,
     NULL},
    {"--seconds", BENCH_REAL, offsetof(struct options, seconds), 0.01, 3600, NULL},
    {"--json", BENCH_SWITCH, offsetof(struct options, json), 0, 0, NULL},
};

static int parse(int argc, char **argv, struct options *o, struct err *err)
{
    *o = (struct options){
        .bytes = {{64, 256, 1024, 2048, 4096, 8192, 16384, 32768, 65536, 131072, 262144,
                   524288, 1048576, BYTES_MAX},
                  14},
        .seconds = 2,
    };
    if (bench_parse("wire", option_list, sizeof option_list / sizeof *option_list, argc,
                    argv, o, err))
        return -err->code;
    for (uint32_t i = 0; i < o->bytes.count; i++)
        if (o->bytes.value[i] % 8)
            return err_set(err, ERR_INPUT,
                           "bench wire: --bytes must be multiples of 8, not %llu",
                           (unsigned long long)o->bytes.value[i]);
    return 0;
}

/* --- setting up ------------------------------------------------------------------- */

/* Two ends of a TCP connection over the loopback. */
static int tcp_pair(int fd[2], struct err *err)
{
    char endpoint[ENDPOINT_MAX];
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    int listener = -1, one = 1;

    if (network_listen("127.0.0.1", &listener, endpoint, sizeof endpoint, err))
        return -err->code;
    fd[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd[0] >= 0 && getsockname(listener, (struct sockaddr *)&address, &size) == 0 &&
        connect(fd[0], (struct sockaddr *)&address, size) == 0)
        fd[1] = accept(listener, NULL, NULL);
    close(listener);
    if (fd[1] < 0)
        return err_system(err, "a connection over the loopback");
    for (int i = 0; i < 2; i++)
        setsockopt(fd[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return 0;
}

static int wire_set_up(struct wire *wire, int transport, struct err *err)
{
    wire->transport = transport;
    wire->job = (uint64_t)getpid();
    if (transport == TRANSPORT_TCP) {
        if (network_listen("127.0.0.1", &wire->listen_fd, wire->endpoint, ENDPOINT_MAX,
                           err))
            return -err->code;
        return tcp_pair(wire->raw, err);
    }
    snprintf(wire->endpoint, ENDPOINT_MAX,
             transport == TRANSPORT_IPC ? "ipc://@rowhouse-wire-%d"
                                        : "inproc://wire-%d",
             (int)getpid());
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, wire->raw))
        return err_system(err, "a connection to itself");
    if (transport == TRANSPORT_IPC)
        return 0;
    wire->pool = buffer_pool_create(BUFFERS_MAX);
    if (!wire->pool)
        return err_set(err, ERR_MEMORY, "no memory for message bodies");
    return net_create(&wire->net, err);
}

static void wire_release(struct wire *wire)
{
    net_destroy(wire->net);
    buffer_pool_destroy(wire->pool);
    for (int i = 0; i < 2; i++)
        if (wire->raw[i] >= 0)
            close(wire->raw[i]);
    if (wire->listen_fd >= 0)
        close(wire->listen_fd);
}

static void *far_thread(void *context)
{
    struct far *far = context;

    far->run(far->wire);
    return NULL;
}

static int far_start(struct far *far, struct err *err)
{
    pid_t parent = getpid();

    if (far->wire->transport == TRANSPORT_INPROC) {
        if (pthread_create(&far->thread, NULL, far_thread, far))
            return err_set(err, ERR_SYSTEM, "cannot start a thread");
    } else {
        far->pid = fork();
        if (far->pid < 0)
            return err_system(err, "cannot start a process");
        if (far->pid == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (getppid() != parent)
                _exit(1); /* it died before the line above */
            far->run(far->wire);
            _exit(0);
        }
    }
    far->running = true;
    return 0;
}

static void far_end(struct far *far, bool failed)
{
    if (!far->running)
        return;
    if (far->pid && failed)
        kill(far->pid, SIGKILL);
    if (far->pid)
        waitpid(far->pid, NULL, 0);
    else
        pthread_join(far->thread, NULL);
}

/* --- turns ------------------------------------------------------------------------ */

/* Processor seconds of both ends so far. */
static double cpu_seconds(const struct bench *b, enum way way)
{
    const struct far *far = &b->far[way == WAY_RAW];
    struct timespec t = {0};
    clockid_t clock;

    if (far->pid && clock_getcpuclockid(far->pid, &clock) == 0)
        (void)clock_gettime(clock, &t);
    return clock_cpu_seconds() + (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static int run_turn(struct bench *b, uint32_t size, enum way way, int slice,
                    struct err *err)
{
    struct result *r = &b->result[size][way];
    size_t bytes = b->options.bytes.value[size];
    double seconds = b->options.seconds / (SLICES * WAYS * 2), cpu;
    struct wire_turn turn;
    int rc;

    b->wire->inline_max = way == WAY_ONE ? BYTES_MAX : 0;
    rc = way == WAY_RAW ? wire_raw_trips(b->wire, bytes, seconds, &r->latency, err)
                        : wire_port_trips(b->near, bytes, seconds, &r->latency, err);
    if (rc)
        return rc;
    cpu = cpu_seconds(b, way);
    rc = way == WAY_RAW ? wire_raw_stream(b->wire, bytes, seconds, &turn, err)
                        : wire_port_stream(b->near, bytes, seconds, &turn, err);
    if (rc)
        return rc;
    r->messages[slice] = (double)turn.messages / turn.seconds;
    r->cpu_us += (cpu_seconds(b, way) - cpu) * 1e6 / (double)turn.messages / SLICES;
    return 0;
}

/* One round trip each way first: connections are made, pages touched. */
static int warm_up(struct bench *b, struct err *err)
{
    struct latency ignored = {{0}};

    if (wire_near_open(b->wire, &b->near, err) ||
        wire_port_trips(b->near, BYTES_MAX, 0, &ignored, err))
        return -err->code;
    return wire_raw_trips(b->wire, BYTES_MAX, 0, &ignored, err);
}

static int run_turns(struct bench *b, struct err *err)
{
    int rc = 0;

    b->far[0] = (struct far){.run = wire_far_port, .wire = b->wire};
    b->far[1] = (struct far){.run = wire_far_raw, .wire = b->wire};
    for (int i = 0; rc == 0 && i < 2; i++)
        rc = far_start(&b->far[i], err);
    if (rc == 0)
        rc = warm_up(b, err);
    for (uint32_t size = 0; rc == 0 && size < b->options.bytes.count; size++)
        for (int turn = 0; rc == 0 && turn < SLICES * WAYS; turn++)
            rc = run_turn(b, size, turn % WAYS, turn / WAYS, err);
    wire_near_close(b->near);
    b->wire->stop = true;
    wire_raw_end(b->wire);
    for (int i = 0; i < 2; i++)
        far_end(&b->far[i], rc != 0);
    return rc;
}

/* --- results ---------------------------------------------------------------------- */

/* The least size from which on two frames are as fast as one; 0 = none. */
static uint64_t cross_over(const struct bench *b)
{
    uint64_t least = 0;

    for (uint32_t i = b->options.bytes.count; i-- > 0;) {
        if (b->result[i][WAY_TWO].median < b->result[i][WAY_ONE].median)
            break;
        least = b->options.bytes.value[i];
    }
    return least;
}

static json_t *result_json(const struct result *r, uint64_t bytes)
{
    return json_pack("{s:{s:f, s:f}, s:f, s:f, s:f}", "round_trip_us", "p50",
                     latency_quantile(&r->latency, 0.5), "p99",
                     latency_quantile(&r->latency, 0.99), "messages_per_second",
                     r->median, "gb_per_second", r->median * (double)bytes / 1e9,
                     "cpu_us_per_message", r->cpu_us);
}

static int print_json(const struct bench *b, FILE *out, struct err *err)
{
    const struct options *o = &b->options;
    json_t *sizes = json_array();

    for (uint32_t i = 0; i < o->bytes.count; i++) {
        json_t *size = json_pack("{s:I}", "bytes", (json_int_t)o->bytes.value[i]);

        for (int way = 0; way < WAYS; way++)
            json_object_set_new(size, way_names[way],
                                result_json(&b->result[i][way], o->bytes.value[i]));
        json_array_append_new(sizes, size);
    }
    return bench_print_json(json_pack("{s:s, s:f, s:i, s:i, s:I, s:o}", "transport",
                                      transports[o->transport], "seconds", o->seconds,
                                      "slices", SLICES, "inline_max",
                                      MESSAGE_INLINE_MAX, "cross_over_bytes",
                                      (json_int_t)cross_over(b), "sizes", sizes),
                            out, err);
}

static void print(const struct bench *b, FILE *out)
{
    const struct options *o = &b->options;
    uint64_t least = cross_over(b);

    fprintf(out,
            "messages over %s between two %s, each in one frame | with the body as a "
            "second frame | raw\n%8s %36s %26s %26s %23s\n",
            transports[o->transport],
            o->transport == TRANSPORT_INPROC ? "threads" : "processes", "bytes",
            "round trip us, p50 (p99)", "thousand a second", "GB/s", "cpu us each");
    for (uint32_t i = 0; i < o->bytes.count; i++) {
        const struct result *r = b->result[i];

        fprintf(out, "%8llu", (unsigned long long)o->bytes.value[i]);
        for (int w = 0; w < WAYS; w++)
            fprintf(out, " %5.0f(%5.0f)", latency_quantile(&r[w].latency, 0.5),
                    latency_quantile(&r[w].latency, 0.99));
        for (int w = 0; w < WAYS; w++)
            fprintf(out, " %8.1f", r[w].median / 1e3);
        for (int w = 0; w < WAYS; w++)
            fprintf(out, " %8.3f", r[w].median * (double)o->bytes.value[i] / 1e9);
        for (int w = 0; w < WAYS; w++)
            fprintf(out, " %7.1f", r[w].cpu_us);
        fputc('\n', out);
    }
    if (least)
        fprintf(out, "from %llu bytes on two frames are as fast as one",
                (unsigned long long)least);
    else
        fprintf(out, "one frame is faster than two at the largest size");
    fprintf(out, "; the program sends bodies above %d bytes in two\n",
            MESSAGE_INLINE_MAX);
}

static int measure(struct bench *b, struct err *err)
{
    int rc = wire_set_up(b->wire, b->options.transport, err);

    if (rc == 0)
        rc = run_turns(b, err);
    wire_release(b->wire);
    for (uint32_t i = 0; rc == 0 && i < b->options.bytes.count; i++)
        for (int way = 0; way < WAYS; way++) {
            struct result *r = &b->result[i][way];

            r->median = bench_median(r->messages, SLICES);
        }
    return rc ? err_prefix(err, "bench wire") : 0;
}

int bench_wire(int argc, char **argv, FILE *out, struct err *err)
{
    struct bench *b = calloc(1, sizeof *b);
    int rc;

    if (!b)
        return err_set(err, ERR_MEMORY, "bench wire: no memory for the results");
    rc = parse(argc, argv, &b->options, err);
    if (rc == 0) {
        b->wire = mmap(NULL, sizeof *b->wire, PROT_READ | PROT_WRITE,
                       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
        if (b->wire == MAP_FAILED) {
            rc = err_system(err, "bench wire: shared memory");
        } else {
            b->wire->listen_fd = b->wire->raw[0] = b->wire->raw[1] = -1;
            rc = measure(b, err);
            munmap(b->wire, sizeof *b->wire);
        }
    }
    if (rc == 0 && b->options.json)
        rc = print_json(b, out, err);
    else if (rc == 0)
        print(b, out);
    free(b);
    return rc;
}

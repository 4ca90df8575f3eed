#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/net/member.h"
#include "launch/plan.h"
#include "server/core.h"
#include "server/server.h"
#include "worker/model/blas.h"
#include "worker/worker.h"

enum { BUFFERS_MAX = 1 << 30, LAST_WORDS_MS = 3000 };

struct child {
    struct plan plan;
    struct net *net;
    struct buffer_pool *pool;
    struct region region;
    void *outbox_memory;
    struct outbox *outbox;
    struct coordinator_memory *memory;
    struct shared_data shared;
};

static int read_plan(struct plan *plan, const char *fd_text)
{
    int fd = atoi(fd_text);
    ssize_t n = pread(fd, plan, sizeof *plan, 0);

    close(fd);
    return n == (ssize_t)sizeof *plan && plan->magic == PLAN_MAGIC ? 0 : -1;
}

static void *map_fd(int fd, size_t size)
{
    void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE,
                        fd, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

static int map_memory(struct child *child, struct err *err)
{
    struct plan *plan = &child->plan;

    if (plan->role == ROLE_WORKER) {
        uint64_t bytes;

        if (worker_outbox_bytes(&plan->request.job, plan->roster.servers, &bytes, err))
            return -err->code;
        child->outbox_memory = map_fd(plan->memory_fd, bytes);
        if (!child->outbox_memory)
            return err_system(err, "cannot map the outbox of %llu bytes",
                              (unsigned long long)bytes);
        return outbox_open(child->outbox_memory, bytes, &child->outbox, err);
    }
    child->region.size = core_region_bytes(&plan->request.job);
    child->region.bytes_max = (uint64_t)plan->request.job.cluster.memory_max;
    child->region.fd = plan->memory_fd;
    if (region_map(&child->region, err))
        return -err->code;
    if (plan->state_fd >= 0) {
        child->memory = map_fd(plan->state_fd, sizeof *child->memory);
        if (!child->memory)
            return err_system(err, "cannot map the coordinator's state");
    }
    return 0;
}

static int serve(struct child *child, struct err *err)
{
    struct plan *plan = &child->plan;
    struct server_setup setup = {.job = &plan->request.job,
                                 .roster = &plan->roster,
                                 .net = child->net,
                                 .pool = child->pool,
                                 .region = &child->region,
                                 .index = plan->index,
                                 .incarnation = plan->incarnation,
                                 .listen_fd = plan->listen_fd};
    int exit_status = 1;

    server_run(&setup, &exit_status, err);
    return exit_status;
}

static void *serve_thread(void *context)
{
    struct err err;

    serve(context, &err);
    return NULL;
}

/* Rank 0: leads on this thread, serves on another. */
static int lead_and_serve(struct child *child)
{
    struct plan *plan = &child->plan;
    int interrupt_fd = run_interrupt_fd();
    pthread_t thread;
    int status;

    if (pthread_create(&thread, NULL, serve_thread, child)) {
        log_error("cannot start the server's thread");
        return 1;
    }
    status = run_conduct(&(struct conduct){.request = &plan->request,
                                           .roster = &plan->roster,
                                           .net = child->net,
                                           .memory = child->memory,
                                           .incarnation = plan->incarnation,
                                           .listen_fd = plan->control_fd,
                                           .pipe = plan->pipe,
                                           .interrupt_fd = interrupt_fd});
    if (child->memory->state.stage != STAGE_END)
        _exit(status); /* it never led: the server would wait for its deadline */
    pthread_join(thread, NULL);
    return status;
}

static int work(struct child *child, struct err *err)
{
    struct plan *plan = &child->plan;
    struct worker_setup setup = {.job = &plan->request.job,
                                 .roster = &plan->roster,
                                 .net = child->net,
                                 .pool = child->pool,
                                 .index = plan->index,
                                 .incarnation = plan->incarnation,
                                 .outbox = child->outbox,
                                 .shared = &child->shared,
                                 .streams = run_streams(&plan->request)};
    int exit_status = 1;

    pthread_mutex_init(&child->shared.lock, NULL);
    child->shared.restore = plan->request.restore;
    if (!plan->request.evaluate_only)
        child->shared.keep_in = plan->request.job.checkpoint.dir;
    worker_run(&setup, &exit_status, err);
    shared_data_release(&child->shared);
    pthread_mutex_destroy(&child->shared.lock);
    return exit_status;
}

/* This rank is over: says why, waits a moment for the end of the job. */
static int say_last_words(struct child *child, struct err *err)
{
    struct plan *plan = &child->plan;
    struct peer self = {plan->role, plan->index, plan->incarnation};
    int64_t until = clock_ms() + LAST_WORDS_MS;
    struct order *order = calloc(1, sizeof *order);
    struct status *status = calloc(1, sizeof *status);
    struct member *member = NULL;

    if (order && status &&
        member_create(child->net, plan->roster.coordinator, self, plan->roster.job,
                      LAST_WORDS_MS, &member, err) == 0) {
        status->error = ERR_PEER;
        memcpy(status->text, plan->last_words, sizeof status->text);
        member_report(member, status, true);
        while (order->kind != ORDER_END && clock_ms() < until) {
            int fd = member_fd(member);

            port_wait(NULL, 0, &fd, 1, 100);
            if (member_order(member, order->number, order->dealt, order, err) < 0)
                break;
        }
        status->done = order->number; /* nobody waits for this rank */
        member_report(member, status, true);
    }
    member_destroy(member);
    free(order);
    free(status);
    return 1;
}

bool run_is_child(int argc, char **argv)
{
    return argc >= 3 && strcmp(argv[1], "child") == 0;
}

static void name_process(const struct plan *plan)
{
    char name[16];

    snprintf(name, sizeof name, "rowhouse-%c%u", plan->role == ROLE_SERVER ? 's' : 'w',
             plan->index);
    prctl(PR_SET_NAME, name);
}

/* Only the coordinator speaks for the job; the others speak through it. */
static int run_role(struct child *child, struct err *err)
{
    const struct plan *plan = &child->plan;

    if (plan->last_words[0])
        return say_last_words(child, err);
    if (plan->state_fd >= 0)
        return lead_and_serve(child);
    run_interrupt_fd(); /* requests to stop come from the coordinator as orders */
    return plan->role == ROLE_SERVER ? serve(child, err) : work(child, err);
}

int run_child(char **argv)
{
    struct child *child = calloc(1, sizeof *child);
    struct err err = {0};
    int status = 1;

    if (!child || read_plan(&child->plan, argv[2])) {
        log_error("'rowhouse child' is started by a rank's supervisor, not by hand");
        free(child);
        return 2;
    }
    if (getppid() != child->plan.supervisor)
        _exit(1);
    name_process(&child->plan);
    blas_init();
    child->pool = buffer_pool_create(BUFFERS_MAX);
    if (!child->pool || map_memory(child, &err) || net_create(&child->net, &err))
        log_error("%s", err.code ? err.text : "no memory");
    else
        status = run_role(child, &err);
    net_destroy(child->net);
    outbox_close(child->outbox);
    buffer_pool_destroy(child->pool);
    free(child);
    return status;
}

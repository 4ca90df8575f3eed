#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "common/log.h"
#include "launch/run.h"
#include "launch/streams.h"
#include "server/core.h"
#include "server/server.h"
#include "worker/worker.h"

enum { BUFFERS_MAX = 1 << 30 }; /* bytes of message bodies at a time */

/* One member of the cluster as a thread. */
struct member_thread {
    pthread_t thread;
    bool started;
    struct server_setup server;
    struct worker_setup worker;
    struct region region;
    void *outbox_memory;
    uint64_t outbox_bytes;
    bool is_worker;
    int exit_status;
};

struct local {
    const struct run_request *request;
    struct roster roster;
    struct net *net;
    struct buffer_pool *pool;
    struct shared_data shared;
    struct coordinator_memory *memory;
    struct member_thread *member; /* servers, then workers */
    uint32_t members;
};

static void *run_member(void *context)
{
    struct member_thread *m = context;
    char name[24];
    struct err err;
    int rc;

    snprintf(name, sizeof name, "%s-%u", m->is_worker ? "worker" : "server",
             m->is_worker ? m->worker.index : m->server.index);
    pthread_setname_np(pthread_self(), name); /* for those who profile */
    rc = m->is_worker ? worker_run(&m->worker, &m->exit_status, &err)
                      : server_run(&m->server, &m->exit_status, &err);

    /* The coordinator has been told and speaks for the job. */
    if (rc)
        log_debug("%s %u ended: %s", m->is_worker ? "worker" : "server",
                  m->is_worker ? m->worker.index : m->server.index, err.text);
    return NULL;
}

/* Sparse memory that is zero. */
static void *map(uint64_t bytes)
{
    void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return memory == MAP_FAILED ? NULL : memory;
}

static int map_region(struct region *region, const struct job *job, struct err *err)
{
    region->size = core_region_bytes(job);
    region->bytes_max = (uint64_t)job->cluster.memory_max;
    region->fd = -1;
    return region_map(region, err);
}

static void make_roster(struct local *local)
{
    const struct job *job = &local->request->job;
    struct roster *roster = &local->roster;

    roster->job = ((uint64_t)getpid() << 32) ^ (uint64_t)time(NULL);
    roster->servers = (uint32_t)job->cluster.servers;
    roster->workers = (uint32_t)job->cluster.workers;
    snprintf(roster->coordinator, ENDPOINT_MAX, "inproc://coordinator");
    for (uint32_t s = 0; s < roster->servers; s++) {
        snprintf(roster->server[s].endpoint, ENDPOINT_MAX, "inproc://server-%u", s);
        snprintf(roster->server[s].host, sizeof roster->server[s].host, "this host");
    }
    for (uint32_t w = 0; w < roster->workers; w++)
        snprintf(roster->worker[w].host, sizeof roster->worker[w].host, "this host");
}

static int set_up_member(struct local *local, uint32_t i, struct err *err)
{
    struct member_thread *m = &local->member[i];
    const struct job *job = &local->request->job;

    m->is_worker = i >= local->roster.servers;
    if (m->is_worker) {
        if (worker_outbox_bytes(job, local->roster.servers, &m->outbox_bytes, err))
            return -err->code;
        m->outbox_memory = map(m->outbox_bytes);
        if (!m->outbox_memory)
            return err_system(err, "cannot map %llu bytes for a worker",
                              (unsigned long long)m->outbox_bytes);
        m->worker = (struct worker_setup){.job = job,
                                          .roster = &local->roster,
                                          .net = local->net,
                                          .pool = local->pool,
                                          .index = i - local->roster.servers,
                                          .shared = &local->shared,
                                          .streams = run_streams(local->request)};
        return outbox_open(m->outbox_memory, m->outbox_bytes, &m->worker.outbox, err);
    }
    m->server = (struct server_setup){.job = job,
                                      .roster = &local->roster,
                                      .net = local->net,
                                      .pool = local->pool,
                                      .region = &m->region,
                                      .index = i,
                                      .listen_fd = -1};
    return map_region(&m->region, job, err);
}

static int start(struct local *local, struct err *err)
{
    int rc = net_create(&local->net, err);

    local->pool = buffer_pool_create(BUFFERS_MAX);
    local->memory = calloc(1, sizeof *local->memory);
    local->members = local->roster.servers + local->roster.workers;
    local->member = calloc(local->members, sizeof *local->member);
    pthread_mutex_init(&local->shared.lock, NULL);
    local->shared.restore = local->request->restore;
    if (!local->request->evaluate_only)
        local->shared.keep_in = local->request->job.checkpoint.dir;
    if (rc == 0 && (!local->pool || !local->memory || !local->member))
        rc = err_set(err, ERR_MEMORY, "no memory for %u members", local->members);
    for (uint32_t i = 0; rc == 0 && i < local->members; i++)
        rc = set_up_member(local, i, err);
    for (uint32_t i = 0; rc == 0 && i < local->members; i++) {
        if (pthread_create(&local->member[i].thread, NULL, run_member,
                           &local->member[i]))
            return err_set(err, ERR_SYSTEM, "cannot start a thread for member %u of %u",
                           i, local->members);
        local->member[i].started = true;
    }
    return rc;
}

static void release(struct local *local)
{
    for (uint32_t i = 0; local->member && i < local->members; i++)
        if (local->member[i].started)
            pthread_join(local->member[i].thread, NULL);
    net_destroy(local->net);
    buffer_pool_destroy(local->pool);
    for (uint32_t i = 0; local->member && i < local->members; i++) {
        struct member_thread *m = &local->member[i];

        if (m->region.base)
            munmap(m->region.base, m->region.size);
        outbox_close(m->worker.outbox);
        if (m->outbox_memory)
            munmap(m->outbox_memory, m->outbox_bytes);
    }
    shared_data_release(&local->shared);
    pthread_mutex_destroy(&local->shared.lock);
    free(local->member);
    free(local->memory);
    free(local);
}

int run_local(const struct run_request *request)
{
    struct local *local = calloc(1, sizeof *local);
    int interrupt_fd, status = 1;
    struct err err;

    if (!local) {
        log_error("no memory to run");
        return 1;
    }
    local->request = request;
    make_roster(local);
    interrupt_fd = run_interrupt_fd();
    if (start(local, &err)) {
        log_error("%s", err.text);
        streams_clean_up(request, 1);
        _exit(err_exit_status(err.code)); /* threads may be waiting for a leader */
    }
    status = run_conduct(&(struct conduct){.request = request,
                                           .roster = &local->roster,
                                           .net = local->net,
                                           .memory = local->memory,
                                           .listen_fd = -1,
                                           .interrupt_fd = interrupt_fd,
                                           .one_process = true});
    if (local->memory->state.stage != STAGE_END) {
        streams_clean_up(request, status);
        _exit(status); /* it never led: the members would wait for their deadline */
    }
    release(local);
    streams_clean_up(request, status);
    if (interrupt_fd >= 0)
        close(interrupt_fd);
    return status;
}

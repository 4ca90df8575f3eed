#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <unistd.h>

#include "common/file.h"
#include "common/log.h"
#include "launch/bootstrap.h"
#include "launch/network.h"
#include "launch/streams.h"
#include "launch/supervise.h"
#include "server/core.h"
#include "worker/worker.h"

enum { TIMEOUT_DEFAULT_S = 30 };

/* What a rank tells the others; one struct for all rounds. */
struct card {
    struct err err; /* code 0: all is well here */
    char host[64], host_id[192];
    uint64_t job_digest;
    /* Second round. */
    char endpoint[ENDPOINT_MAX], control[ENDPOINT_MAX];
    uint64_t token;
    char restore[1024];
    uint64_t checkpoint_last;
    char spool[1024];
    bool test_only;
    int in_memory; /* what rank 0 has decided */
};

struct rank {
    struct bootstrap mpi;
    struct run_request *request;
    struct card mine, *all;
    struct plan *plan;
    bool one_host;
};

/* FNV-1a: only to see whether all ranks were given the same settings. */
static uint64_t digest(const char *text)
{
    uint64_t h = 0xcbf29ce484222325u;

    for (; *text; text++)
        h = (h ^ (unsigned char)*text) * 0x100000001b3u;
    return h;
}

/* Exchanges cards; when any rank has an error, rank 0 says the first, and all leave. */
static int round_of_cards(struct rank *rank, struct err *err)
{
    if (bootstrap_exchange(&rank->mpi, &rank->mine, rank->all, sizeof rank->mine, err))
        return -err->code;
    for (int i = 0; i < rank->mpi.size; i++) {
        if (!rank->all[i].err.code)
            continue;
        *err = rank->all[i].err;
        return i == 0 ? -err->code
                      : err_prefix(err, "rank %d on %s", i, rank->all[i].host);
    }
    return 0;
}

/* Of the settings as they were given: rank 0 decides for all whether data are held in
 * memory. */
static uint64_t job_digest(struct job *job)
{
    int in_memory = job->data.in_memory;
    uint64_t result = 0;
    char *lines;

    job->data.in_memory = DATA_BY_FORMAT;
    lines = job_to_lines(job);
    job->data.in_memory = in_memory;
    if (lines)
        result = digest(lines);
    free(lines);
    return result;
}

static int first_round(struct rank *rank, const struct err *prepared, struct err *err)
{
    struct card *mine = &rank->mine;
    const struct job *job = &rank->request->job;

    mine->err = *prepared;
    gethostname(mine->host, sizeof mine->host - 1);
    network_host_id(mine->host_id, sizeof mine->host_id);
    mine->job_digest = job_digest(&rank->request->job);
    if (round_of_cards(rank, err))
        return -err->code;
    rank->one_host = true;
    for (int i = 1; i < rank->mpi.size; i++) {
        if (strcmp(rank->all[i].host_id, rank->all[0].host_id) != 0)
            rank->one_host = false;
        if (rank->all[i].job_digest != rank->all[0].job_digest)
            return err_set(err, ERR_INPUT,
                           "rank %d on %s was started with other settings than rank 0",
                           i, rank->all[i].host);
    }
    if (job->cluster.servers >= rank->mpi.size)
        return err_set(
            err, ERR_INPUT,
            "cluster.servers is %lld, but there are %d ranks: at least one must "
            "be left to be a worker",
            (long long)job->cluster.servers, rank->mpi.size);
    if (rank->mpi.size - job->cluster.servers > WORKERS_MAX)
        return err_set(err, ERR_INPUT, "%lld workers are more than %d",
                       (long long)(rank->mpi.size - job->cluster.servers), WORKERS_MAX);
    return 0;
}

static bool is_server(const struct rank *rank)
{
    return rank->mpi.rank < rank->request->job.cluster.servers;
}

/* Folders that several hosts must share, "" = there is none. */
enum { SHARED_CHECKPOINTS, SHARED_SPOOL, SHARED };

static const char *shared_folder(const struct rank *rank, int which)
{
    if (rank->one_host)
        return "";
    return which == SHARED_SPOOL ? rank->request->spool
                                 : rank->request->job.checkpoint.dir;
}

/* A file that only a shared directory shows to the other hosts. */
static void probe_path(const struct rank *rank, uint64_t token, int which, char *path,
                       size_t size)
{
    snprintf(path, size, "%s/.rowhouse-%016llx", shared_folder(rank, which),
             (unsigned long long)token);
}

static bool probes(const struct rank *rank)
{
    return shared_folder(rank, SHARED_CHECKPOINTS)[0] ||
           shared_folder(rank, SHARED_SPOOL)[0];
}

static int make_memory(const char *name, uint64_t size, int32_t *fd, struct err *err)
{
    *fd = memfd_create(name, 0);
    if (*fd < 0 || ftruncate(*fd, (off_t)size))
        return err_system(err, "cannot make %s of %llu bytes", name,
                          (unsigned long long)size);
    return 0;
}

/* The child's memory, which outlives it. */
static int make_memories(struct rank *rank, struct err *err)
{
    const struct job *job = &rank->request->job;
    struct plan *plan = rank->plan;
    uint64_t bytes;

    if (rank->mpi.rank == 0 &&
        make_memory("the coordinator's state", sizeof(struct coordinator_memory),
                    &plan->state_fd, err))
        return -err->code;
    if (is_server(rank))
        return make_memory("the region", core_region_bytes(job), &plan->memory_fd, err);
    if (worker_outbox_bytes(job, (uint32_t)job->cluster.servers, &bytes, err))
        return -err->code;
    return make_memory("the outbox", bytes, &plan->memory_fd, err);
}

static int leave_probes(const struct rank *rank, struct err *err)
{
    char path[JOB_PATH_MAX + 64];

    for (int i = 0; i < SHARED; i++) {
        if (!shared_folder(rank, i)[0])
            continue;
        probe_path(rank, rank->mine.token, i, path, sizeof path);
        if (file_make_dirs(shared_folder(rank, i), err) ||
            file_write_atomic(path, "", 0, err))
            return -err->code;
    }
    return 0;
}

static int make_card(struct rank *rank, struct err *err)
{
    struct card *mine = &rank->mine;
    struct plan *plan = rank->plan;
    char address[64];

    for (int i = 0; i < STREAMS_MAX; i++)
        plan->pipe[i] = -1;
    if (rank->mpi.rank == 0) {
        if (getrandom(&mine->token, sizeof mine->token, 0) != sizeof mine->token)
            return err_system(err, "no random numbers");
        memcpy(mine->restore, rank->request->restore, sizeof mine->restore);
        mine->checkpoint_last = rank->request->checkpoint_last;
        memcpy(mine->spool, rank->request->spool, sizeof mine->spool);
        mine->test_only = rank->request->test_only;
        mine->in_memory = rank->request->job.data.in_memory;
        if (leave_probes(rank, err) ||
            streams_open_pipes(rank->request, plan->pipe, err))
            return -err->code;
    }
    if (network_choose(rank->request->job.cluster.network, rank->one_host, address,
                       sizeof address, err))
        return -err->code;
    if (is_server(rank) && network_listen(address, &plan->listen_fd, mine->endpoint,
                                          sizeof mine->endpoint, err))
        return -err->code;
    if (rank->mpi.rank == 0 && network_listen(address, &plan->control_fd, mine->control,
                                              sizeof mine->control, err))
        return -err->code;
    return make_memories(rank, err);
}

static int second_round(struct rank *rank, struct err *err)
{
    make_card(rank, &rank->mine.err);
    if (round_of_cards(rank, err))
        return -err->code;
    memcpy(rank->request->restore, rank->all[0].restore, sizeof rank->request->restore);
    rank->request->checkpoint_last = rank->all[0].checkpoint_last;
    memcpy(rank->request->spool, rank->all[0].spool, sizeof rank->request->spool);
    rank->request->test_only = rank->all[0].test_only;
    rank->request->job.data.in_memory = rank->all[0].in_memory;
    run_settle_streams(rank->request);
    return 0;
}

/* Several hosts: are the folders one and the same everywhere? */
static int third_round(struct rank *rank, struct err *err)
{
    char path[JOB_PATH_MAX + 64];

    if (!probes(rank))
        return 0;
    for (int i = 0; i < SHARED; i++) {
        probe_path(rank, rank->all[0].token, i, path, sizeof path);
        if (shared_folder(rank, i)[0] && access(path, F_OK))
            err_set(&rank->mine.err, ERR_INPUT,
                    "%s %s is not the directory that rank 0 sees; several hosts need "
                    "a shared one",
                    i == SHARED_SPOOL ? "data.spool" : "checkpoint.dir",
                    shared_folder(rank, i));
    }
    return round_of_cards(rank, err);
}

static void remove_probe(const struct rank *rank)
{
    char path[JOB_PATH_MAX + 64];

    if (rank->mpi.rank != 0 || !rank->mine.token)
        return;
    for (int i = 0; i < SHARED; i++) {
        probe_path(rank, rank->mine.token, i, path, sizeof path);
        if (shared_folder(rank, i)[0])
            unlink(path);
    }
}

static void fill_roster(struct rank *rank)
{
    struct roster *roster = &rank->plan->roster;

    roster->job = rank->all[0].token;
    roster->servers = (uint32_t)rank->request->job.cluster.servers;
    roster->workers = (uint32_t)rank->mpi.size - roster->servers;
    memcpy(roster->coordinator, rank->all[0].control, sizeof roster->coordinator);
    for (uint32_t i = 0; i < (uint32_t)rank->mpi.size; i++) {
        struct roster_member *m = i < roster->servers
                                      ? &roster->server[i]
                                      : &roster->worker[i - roster->servers];

        memcpy(m->endpoint, rank->all[i].endpoint, sizeof m->endpoint);
        memcpy(m->host, rank->all[i].host, sizeof m->host);
        m->rank = i;
    }
}

static void fill_plan(struct rank *rank)
{
    struct plan *plan = rank->plan;
    uint32_t servers = (uint32_t)rank->request->job.cluster.servers;

    plan->magic = PLAN_MAGIC;
    plan->supervisor = getpid();
    plan->role = is_server(rank) ? ROLE_SERVER : ROLE_WORKER;
    plan->index = (uint32_t)rank->mpi.rank - (is_server(rank) ? 0 : servers);
    plan->request = *rank->request;
    fill_roster(rank);
}

static int meet(struct rank *rank, const struct err *prepared, struct err *err)
{
    int rc = first_round(rank, prepared, err);

    if (rc == 0)
        rc = second_round(rank, err);
    if (rc == 0)
        rc = third_round(rank, err);
    remove_probe(rank);
    if (rc)
        return rc;
    fill_plan(rank);
    return bootstrap_barrier(&rank->mpi, err);
}

/* The first rank alone leaves with the job's status: at the first other than 0 mpirun
 * kills whoever is still there. Where ranks may be lost mpirun returns 0 whatever they
 * say, so rowhouse-mpirun reads it from a file, the first rank's last act. Returns what
 * to leave with. */
static int leave_status(const struct rank *rank, int status)
{
    const char *path = getenv("ROWHOUSE_STATUS");
    char text[16];
    struct err err;

    if (rank->mpi.rank != 0)
        return 0;
    if (!path || !path[0])
        return status;
    snprintf(text, sizeof text, "%d\n", status);
    if (file_write_atomic(path, text, strlen(text), &err))
        log_error("%s", err.text);
    return 0;
}

int run_rank(const struct run_request *request, const struct err *prepared)
{
    struct rank *rank = calloc(1, sizeof *rank);
    double timeout = prepared->code ? TIMEOUT_DEFAULT_S : request->job.cluster.timeout;
    struct err err = {0};
    int status, rc;

    if (!rank || bootstrap_begin(&rank->mpi, timeout, &err)) {
        log_error("%s", rank ? err.text : "no memory");
        return 1;
    }
    rank->request = malloc(sizeof *rank->request);
    rank->all = calloc((size_t)rank->mpi.size, sizeof *rank->all);
    rank->plan = calloc(1, sizeof *rank->plan);
    if (!rank->request || !rank->all || !rank->plan) {
        log_error("no memory");
        return 1;
    }
    *rank->request = *request;
    rank->plan->listen_fd = rank->plan->control_fd = rank->plan->state_fd = -1;
    rc = meet(rank, prepared, &err);
    if (rc && rank->mpi.rank == 0)
        log_error("%s", err.text);
    if (rc == -ERR_DEADLINE)
        leave_status(rank, 1);
    if (rc == -ERR_DEADLINE)
        _exit(1); /* MPI_Finalize would wait for the one that is missing */
    bootstrap_end(&rank->mpi);
    status = rc ? err_exit_status(err.code) : supervise(rank->plan);
    if (rank->mpi.rank == 0)
        streams_clean_up(rank->request, status);
    status = leave_status(rank, status);
    free(rank->plan);
    free(rank->all);
    free(rank->request);
    free(rank);
    return status;
}

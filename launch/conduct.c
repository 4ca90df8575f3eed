#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/metrics.h"
#include "common/progress.h"
#include "launch/report.h"
#include "launch/run.h"
#include "launch/streams.h"

/* OpenBLAS has started threads before main() began, which do not block these signals:
 * whichever gets one hands it on to the first thread, where it waits to be read. */
static void hand_on(int signal_number)
{
    int before = errno;

    if (syscall(SYS_gettid) != getpid())
        syscall(SYS_tgkill, getpid(), getpid(), signal_number);
    errno = before;
}

int run_interrupt_fd(void)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGUSR1};
    struct sigaction action = {.sa_handler = hand_on, .sa_flags = SA_RESTART};
    sigset_t set;

    sigemptyset(&set);
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        sigaddset(&set, signals[i]);
    if (pthread_sigmask(SIG_BLOCK, &set, NULL))
        return -1;
    for (size_t i = 0; i < sizeof signals / sizeof signals[0]; i++)
        if (sigaction(signals[i], &action, NULL))
            return -1;
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

void run_settle_streams(struct run_request *request)
{
    if (request->spool[0] || request->test_only)
        request->job.data.in_memory = DATA_NO;
}

struct data_streams run_streams(const struct run_request *request)
{
    return (struct data_streams){.spool = request->spool[0] ? request->spool : NULL,
                                 .test_only = request->test_only};
}

/* What the callbacks of lead() work with. */
struct showing {
    const struct conduct *conduct;
    struct progress progress;
};

static void say_full(const struct conduct *conduct, const struct job_table *table,
                     const struct table_facts *facts)
{
    static const char rest[] = "new rows read as zeros, and what is pushed to them is "
                               "dropped and counted in the report";
    unsigned long long rows = (unsigned long long)facts->rows;

    if (facts->full == FULL_ROWS_MAX)
        log_warn("table %s is full with %llu rows (tables.%s.rows_max is %lld%s): %s; "
                 "raise tables.%s.rows_max if that is too few",
                 table->name, rows, table->name, (long long)table->rows_max,
                 conduct->roster->servers > 1 ? ", shared out among the servers" : "",
                 rest, table->name);
    else
        log_warn("table %s is full with %llu rows (a server has reached "
                 "cluster.memory_max, %lld MiB): %s; raise cluster.memory_max or add "
                 "servers",
                 table->name, rows,
                 (long long)conduct->request->job.cluster.memory_max >> 20, rest);
}

/* Once for each table and run. */
static void warn_of_full_tables(struct showing *showing, const struct run_view *view)
{
    const struct conduct *conduct = showing->conduct;
    uint64_t *warned = &conduct->memory->warned;

    for (uint32_t t = 0; t < view->tables; t++) {
        if (view->table[t].full == FULL_NOT || *warned >> t & 1)
            continue;
        *warned |= UINT64_C(1) << t;
        progress_clear(&showing->progress);
        say_full(conduct, &conduct->request->job.table[t], &view->table[t]);
    }
}

static void show_progress(void *context, const struct run_view *view)
{
    struct showing *showing = context;
    struct progress *progress = &showing->progress;

    warn_of_full_tables(showing, view);
    if (view->stage == STAGE_TRAIN)
        progress_update(progress, view->epoch, view->examples, view->examples_total,
                        view->loss, view->rate, view->seconds_left);
}

static void show_epoch(void *context, const struct epoch_record *record)
{
    const struct showing *showing = context;
    struct progress *progress = &((struct showing *)context)->progress;
    const char *cursor = showing->conduct->request->job.evaluate.metrics;
    char name[JOB_NAME_MAX], more[2 * JOB_NAME_MAX] = "";
    double n = record->examples ? (double)record->examples : 1;

    if (record->values && job_list_next(&cursor, name, sizeof name))
        snprintf(more, sizeof more, "  validation %s %.4g", name, record->value[0]);
    progress_epoch_done(progress, record->epoch, record->loss_sum / n,
                        record->seconds > 0 ? (double)record->examples / record->seconds
                                            : 0,
                        record->seconds, more);
}

static int print_metrics(const struct conduct *conduct, struct err *err)
{
    const struct job *job = &conduct->request->job;
    const char *part = job->evaluate.part == PART_VALIDATION ? "validation" : "test";
    const char *cursor = job->evaluate.metrics;
    char name[JOB_NAME_MAX];

    if (!conduct->memory->state.evaluated)
        return 0;
    while (job_list_next(&cursor, name, sizeof name))
        printf("%s %s %.6g\n", part, name,
               round(metrics_value(job->evaluate.metrics, name,
                                   conduct->memory->state.metric) *
                     1e6) /
                   1e6);
    if (fflush(stdout) || ferror(stdout))
        return err_system(err, "cannot write the metrics to standard output");
    return 0;
}

/* One sentence about an end that is not the planned one. */
static void explain(const struct conduct *conduct)
{
    const struct coordinator_state *state = &conduct->memory->state;
    const struct run_request *request = conduct->request;
    const struct job *job = &request->job;

    if (state->error)
        log_error("%s", state->text);
    else if (state->exit_status == 130 && job->checkpoint.dir[0] &&
             (request->restore[0] || state->checkpoint > request->checkpoint_last))
        log_info(
            "interrupted in epoch %u; checkpoint %llu is in %s, go on with --resume",
            state->epoch, (unsigned long long)state->checkpoint, job->checkpoint.dir);
    else if (state->exit_status == 130)
        log_info("interrupted; nothing was saved%s",
                 job->checkpoint.dir[0] ? "" : " (checkpoint.dir is not set)");
}

/* What the run begins from. A coordinator that comes back goes on from its state; that
 * checkpoint may be gone by then. */
static int read_manifest(const struct conduct *conduct, struct manifest **manifest,
                         struct err *err)
{
    const struct run_request *request = conduct->request;

    *manifest = NULL;
    if (!request->restore[0] || conduct->memory->state.number)
        return 0;
    *manifest = calloc(1, sizeof **manifest);
    if (!*manifest)
        return err_set(err, ERR_MEMORY, "no memory for a manifest");
    return manifest_read(request->restore, *manifest, err);
}

static int finish(const struct conduct *conduct, const struct run_view *view,
                  double seconds, double cpu_seconds)
{
    const struct coordinator_state *state = &conduct->memory->state;
    int status = state->exit_status;
    struct err err;

    if (print_metrics(conduct, &err)) {
        log_error("%s", err.text);
        status = status ? status : err_exit_status(err.code);
    }
    explain(conduct);
    if (conduct->request->report[0] && !state->error &&
        report_write(conduct->request, conduct->roster, state, view, seconds,
                     cpu_seconds +
                         (conduct->one_process ? 0 : view->member_cpu_seconds),
                     &err)) {
        log_error("%s", err.text);
        status = status ? status : err_exit_status(err.code);
    }
    return status;
}

/* Are the members on more than one host? */
static bool is_of_hosts(const struct roster *roster)
{
    const char *first = roster->server[0].host;

    for (uint32_t i = 1; i < roster->servers; i++)
        if (strcmp(roster->server[i].host, first) != 0)
            return true;
    for (uint32_t i = 0; i < roster->workers; i++)
        if (strcmp(roster->worker[i].host, first) != 0)
            return true;
    return false;
}

int run_conduct(const struct conduct *conduct)
{
    const struct run_request *request = conduct->request;
    struct lead_setup *setup = calloc(1, sizeof *setup);
    struct run_view *view = calloc(1, sizeof *view);
    struct streams *streams = NULL;
    struct manifest *manifest = NULL;
    struct showing showing = {.conduct = conduct};
    struct err err;
    int status = 1;

    signal(SIGPIPE,
           SIG_IGN); /* whoever reads the output may have gone: no reason to die */
    progress_init(&showing.progress, STDERR_FILENO, request->terminal,
                  request->quiet || request->evaluate_only,
                  (uint32_t)request->job.train.epochs);
    if (!setup || !view) {
        log_error("no memory to lead the run");
        goto done;
    }
    if (read_manifest(conduct, &manifest, &err) ||
        (request->spool[0] &&
         streams_create(request, conduct->pipe, conduct->incarnation > 0,
                        is_of_hosts(conduct->roster), &streams, &err))) {
        log_error("%s", err.text);
        status = err_exit_status(err.code);
        goto done;
    }
    setup->plan = (struct coordinator_plan){
        .job = &request->job,
        .roster = conduct->roster,
        .evaluate_only = request->evaluate_only,
        .restored = manifest,
        .checkpoint_last = request->checkpoint_last,
    };
    memcpy(setup->plan.restore, request->restore, sizeof setup->plan.restore);
    setup->memory = conduct->memory;
    setup->net = conduct->net;
    setup->incarnation = conduct->incarnation;
    setup->remove_old = request->remove_old;
    setup->listen_fd = conduct->listen_fd;
    setup->interrupt_fd = conduct->interrupt_fd;
    if (request->spool[0]) {
        setup->plan.grows = true;
        setup->grow = streams_grow;
        setup->secure = streams_secure;
        setup->data = streams;
    }
    setup->progress = show_progress;
    setup->epoch_done = show_epoch;
    setup->context = &showing;
    if (lead(setup, view, &err)) {
        log_error("%s", err.text);
        status = err_exit_status(err.code);
        goto done;
    }
    warn_of_full_tables(&showing, view);
    progress_clear(&showing.progress);
    status = finish(conduct, view,
                    (double)(clock_ms() - conduct->memory->state.started_ms) / 1000,
                    conduct->one_process ? clock_cpu_seconds() : 0);
done:
    streams_destroy(streams);
    if (manifest)
        manifest_release(manifest);
    free(manifest);
    free(view);
    free(setup);
    return status;
}

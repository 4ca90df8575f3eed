#include "launch/supervise.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"

enum {
    PACE_MS = 100, /* between the starts of one rank's processes */
    WATCH_MS = 5000,
};

static const char *role_name(const struct plan *plan)
{
    return plan->role == ROLE_SERVER ? "server" : "worker";
}

/* The plan as a descriptor that the child reads from its start. */
static int plan_fd(const struct plan *plan)
{
    int fd = memfd_create("rowhouse-plan", 0);

    if (fd < 0)
        return -1;
    for (size_t at = 0; at < sizeof *plan;) {
        ssize_t n = write(fd, (const char *)plan + at, sizeof *plan - at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            close(fd);
            return -1;
        }
        at += (size_t)n;
    }
    return fd;
}

/* In the new process: becomes the child. */
static void become_child(const struct plan *plan, int fd)
{
    char program[] = "rowhouse", command[] = "child", role[16], fd_text[16], index[16];
    char *argv[] = {program, command, fd_text, role, index, NULL};

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != plan->supervisor)
        _exit(1); /* it died before the line above */
    snprintf(fd_text, sizeof fd_text, "%d", fd);
    snprintf(role, sizeof role, "%s", role_name(plan));
    snprintf(index, sizeof index, "%u", plan->index);
    execv("/proc/self/exe", argv);
    _exit(127);
}

static pid_t spawn(const struct plan *plan)
{
    int fd = plan_fd(plan);
    pid_t pid;

    if (fd < 0)
        return -1;
    pid = fork();
    if (pid == 0)
        become_child(plan, fd);
    close(fd);
    return pid;
}

/* The process that leads the run is watched from here, because only this one can end
 * the job in its place. Members wait as long for it, so what comes late is for nobody.
 */
struct watch {
    const struct coordinator_memory *memory; /* NULL: the coordinator watches it */
    int64_t from_ms, limit_ms;
};

static void watch_init(struct watch *watch, const struct plan *plan)
{
    void *memory = MAP_FAILED;

    if (plan->state_fd >= 0)
        memory = mmap(NULL, sizeof *watch->memory, PROT_READ, MAP_SHARED,
                      plan->state_fd, 0);
    watch->memory = memory == MAP_FAILED ? NULL : memory;
    watch->limit_ms = (int64_t)(plan->request.job.cluster.timeout * 1000) + WATCH_MS;
}

static bool watch_silent(const struct watch *watch)
{
    int64_t heard;

    if (!watch->memory)
        return false;
    heard = __atomic_load_n(&watch->memory->alive_ms, __ATOMIC_RELAXED);
    if (heard < watch->from_ms)
        heard = watch->from_ms;
    return clock_ms() - heard > watch->limit_ms;
}

/* Waits for the child's end, passing requests to stop on to it. False: it was silent
 * and has been killed. */
static bool wait_child(pid_t pid, const sigset_t *set, const struct watch *watch,
                       int *status)
{
    static const struct timespec second = {1, 0};

    for (;;) {
        pid_t got = waitpid(pid, status, WNOHANG);
        int sig;

        if (got == pid)
            return true;
        if (watch_silent(watch)) {
            kill(pid, SIGKILL);
            waitpid(pid, status, 0);
            return false;
        }
        sig = sigtimedwait(set, NULL, &second);
        if (sig == SIGTERM || sig == SIGINT || sig == SIGUSR1)
            kill(pid, SIGTERM);
    }
}

static void describe_end(const struct plan *plan, int status, char *text, size_t size)
{
    if (WIFSIGNALED(status))
        snprintf(text, size, "the process of %s %u was ended by signal %d (%s)",
                 role_name(plan), plan->index, WTERMSIG(status),
                 strsignal(WTERMSIG(status)));
    else
        snprintf(text, size, "the process of %s %u left with status %d",
                 role_name(plan), plan->index, WEXITSTATUS(status));
}

/* Statuses of the contract are the child's word; anything else was no orderly end. */
static bool orderly(int status)
{
    return WIFEXITED(status) &&
           (WEXITSTATUS(status) <= 2 || WEXITSTATUS(status) == 130);
}

/* Shall a child that came to such an end be started again? If so, the plan is ready. */
static bool try_again(struct plan *plan, int status)
{
    int64_t restarts_max = plan->request.job.cluster.restarts_max;
    char end[256];

    if (plan->last_words[0])
        return false;
    describe_end(plan, status, end, sizeof end);
    plan->incarnation++;
    if (plan->incarnation > restarts_max) {
        snprintf(plan->last_words, sizeof plan->last_words,
                 "%s; it has been restarted %lld times (cluster.restarts_max)", end,
                 (long long)restarts_max);
        if (plan->state_fd < 0)
            return true; /* once more, to tell the coordinator */
        log_error("%s", plan->last_words);
        return false;
    }
    log_warn("%s; restart %u of at most %lld", end, plan->incarnation,
             (long long)restarts_max);
    return true;
}

/* A process that has worked for a while is followed at once; those that die as they
 * start leave the machine time for something else. */
static void pace(int64_t started_ms)
{
    int64_t left = started_ms + PACE_MS - clock_ms();
    struct timespec pause = {left / 1000, left % 1000 * 1000000L};

    if (left > 0)
        nanosleep(&pause, NULL);
}

int supervise(struct plan *plan)
{
    struct watch watch;
    sigset_t set;

    watch_init(&watch, plan);
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    for (;;) {
        pid_t pid = spawn(plan);
        int status;

        if (pid < 0) {
            log_error("%s %u: cannot start its process: %s", role_name(plan),
                      plan->index, strerror(errno));
            return 1;
        }
        watch.from_ms = clock_ms();
        if (!wait_child(pid, &set, &watch, &status)) {
            log_error("%s %u, which leads the run, has been silent for %.1f s",
                      role_name(plan), plan->index, (double)watch.limit_ms / 1000);
            return 1;
        }
        if (orderly(status))
            return WEXITSTATUS(status);
        if (!try_again(plan, status))
            return 1;
        pace(watch.from_ms);
    }
}

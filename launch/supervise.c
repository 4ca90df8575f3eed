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

#include "common/log.h"

enum { BACKOFF_MS = 100 };

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

/* Waits for the child's end, passing requests to stop on to it. */
static int wait_child(pid_t pid, const sigset_t *set)
{
    int status;

    for (;;) {
        int sig;
        pid_t got = waitpid(pid, &status, WNOHANG);

        if (got == pid)
            return status;
        if (got < 0 && errno != EINTR)
            return -1;
        sig = sigwaitinfo(set, NULL);
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

int supervise(struct plan *plan)
{
    int64_t restarts_max = plan->request.job.cluster.restarts_max;
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    for (;;) {
        pid_t pid = spawn(plan);
        char end[256];
        int status;

        if (pid < 0) {
            log_error("%s %u: cannot start its process: %s", role_name(plan),
                      plan->index, strerror(errno));
            return 1;
        }
        status = wait_child(pid, &set);
        if (orderly(status))
            return WEXITSTATUS(status);
        if (plan->last_words[0])
            return 1;
        describe_end(plan, status, end, sizeof end);
        plan->incarnation++;
        if (plan->incarnation > restarts_max) {
            snprintf(plan->last_words, sizeof plan->last_words,
                     "%s; it has been restarted %lld times (cluster.restarts_max)", end,
                     (long long)restarts_max);
            if (plan->state_fd >= 0) { /* the coordinator itself: nobody to tell */
                log_error("%s", plan->last_words);
                return 1;
            }
            continue;
        }
        log_warn("%s; restart %u of at most %lld", end, plan->incarnation,
                 (long long)restarts_max);
        if (plan->incarnation > 1) {
            struct timespec pause = {0, BACKOFF_MS * 1000000L};

            nanosleep(&pause, NULL);
        }
    }
}

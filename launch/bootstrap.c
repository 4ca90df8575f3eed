#include "launch/bootstrap.h"

#include <fcntl.h>
#include <mpi.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "common/clock.h"

enum { TAG_CARD = 1, TAG_ALL = 2, NAP_US_MAX = 1000, LATER_S = 6 };

bool bootstrap_launched(int *rank)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_RANK", "PMIX_RANK"};

    *rank = -1;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *text = getenv(names[i]);

        if (text && text[0]) {
            *rank = atoi(text);
            return true;
        }
    }
    return false;
}

/* Inside MPI nothing can be asked and nothing returns: say it and go. The status is for
 * rowhouse-mpirun, which would wait for the ranks that may never come. */
static void give_up(int signal_number)
{
    static const char text[] =
        "rowhouse: the ranks did not find each other through MPI in "
        "time: one is missing or cannot be reached\n";
    const char *path = getenv("ROWHOUSE_STATUS");
    int fd = path ? open(path, O_WRONLY | O_CLOEXEC) : -1;

    (void)signal_number;
    if (write(STDERR_FILENO, text, sizeof text - 1) < 0 ||
        (fd >= 0 && write(fd, "1\n", 2) < 0))
        _exit(1); /* there is nobody to tell */
    _exit(1);
}

/* The first rank gives up first and so speaks for all; when it is the one that is
 * missing, the next does, a little later. */
static unsigned patience(double timeout)
{
    int rank;

    bootstrap_launched(&rank);
    return (unsigned)timeout + 1 + (rank <= 0 ? 0 : rank == 1 ? LATER_S : 2 * LATER_S);
}

static void nap(int *us)
{
    struct timespec time = {0, *us * 1000L};

    nanosleep(&time, NULL);
    if (*us < NAP_US_MAX)
        *us *= 2;
}

/* Requests to stop wait until someone can act on them, also in all children; and no
 * rank outlives the daemon that has started it. */
static void settle_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGUSR1);
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
}

/* Under srun a rank that is through early may speak to one that is not ready to listen,
 * which has been seen to crash it in MPI_Init; mpirun holds them together. */
static void let_others_arrive(void)
{
    struct timespec pause = {0, 300 * 1000000L};

    if (getenv("PMIX_RANK") && !getenv("OMPI_COMM_WORLD_RANK"))
        nanosleep(&pause, NULL);
}

int bootstrap_begin(struct bootstrap *bootstrap, double timeout, struct err *err)
{
    struct sigaction action = {.sa_handler = give_up}, before;

    bootstrap->timeout = timeout;
    settle_signals();
    sigaction(SIGALRM, &action, &before);
    alarm(patience(timeout));
    if (MPI_Init(NULL, NULL) != MPI_SUCCESS) {
        alarm(0);
        return err_set(err, ERR_SYSTEM, "MPI cannot be initialised");
    }
    alarm(0);
    sigaction(SIGALRM, &before, NULL);
    let_others_arrive();
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    MPI_Comm_rank(MPI_COMM_WORLD, &bootstrap->rank);
    MPI_Comm_size(MPI_COMM_WORLD, &bootstrap->size);
    return 0;
}

/* Waits for all n requests; -ERR_DEADLINE leaves those that are not done non-null. */
static int wait_all(MPI_Request *request, int n, double timeout, struct err *err)
{
    int64_t until = clock_ms() + (int64_t)(timeout * 1000);
    int done = 0, us = 20;

    for (;;) {
        if (MPI_Testall(n, request, &done, MPI_STATUSES_IGNORE) != MPI_SUCCESS)
            return err_set(err, ERR_PEER, "MPI lost a rank during the start");
        if (done)
            return 0;
        if (clock_ms() > until)
            return -ERR_DEADLINE;
        nap(&us);
    }
}

static int name_missing(MPI_Request *request, int n, double timeout, struct err *err)
{
    char list[256] = "";
    int missing = 0;

    for (int i = 0; i < n; i++) {
        size_t used = strlen(list);
        int done = 0;

        MPI_Test(&request[i], &done, MPI_STATUS_IGNORE);
        if (done)
            continue;
        missing++;
        if (used < sizeof list - 16)
            snprintf(list + used, sizeof list - used, "%s%d", used ? ", " : "", i + 1);
    }
    return err_set(err, ERR_DEADLINE, "rank%s %s did not come within %g s",
                   missing > 1 ? "s" : "", list, timeout);
}

/* Rank 0 collects the cards one by one, so that it knows who is missing. */
static int collect(struct bootstrap *b, const void *card, unsigned char *all,
                   size_t size, struct err *err)
{
    MPI_Request *request = calloc((size_t)b->size, sizeof *request);
    int n = b->size - 1, rc;

    if (!request)
        return err_set(err, ERR_MEMORY, "no memory for %d ranks", b->size);
    memcpy(all, card, size);
    for (int i = 0; i < n; i++)
        MPI_Irecv(all + (size_t)(i + 1) * size, (int)size, MPI_BYTE, i + 1, TAG_CARD,
                  MPI_COMM_WORLD, &request[i]);
    rc = wait_all(request, n, b->timeout, err);
    if (rc == -ERR_DEADLINE)
        rc = name_missing(request, n, b->timeout, err);
    for (int i = 0; i < n && rc == 0; i++)
        MPI_Isend(all, (int)size * b->size, MPI_BYTE, i + 1, TAG_ALL, MPI_COMM_WORLD,
                  &request[i]);
    if (rc == 0 && wait_all(request, n, b->timeout, err))
        rc = name_missing(request, n, b->timeout, err);
    free(request);
    return rc;
}

int bootstrap_exchange(struct bootstrap *b, const void *card, void *all, size_t size,
                       struct err *err)
{
    MPI_Request request[2];

    if (b->rank == 0)
        return collect(b, card, all, size, err);
    MPI_Isend(card, (int)size, MPI_BYTE, 0, TAG_CARD, MPI_COMM_WORLD, &request[0]);
    MPI_Irecv(all, (int)size * b->size, MPI_BYTE, 0, TAG_ALL, MPI_COMM_WORLD,
              &request[1]);
    /* Rank 0 speaks first when someone is missing. */
    if (wait_all(request, 2, b->timeout + 2, err))
        return err_set(err, ERR_DEADLINE, "rank 0 did not answer rank %d within %g s",
                       b->rank, b->timeout + 2);
    return 0;
}

int bootstrap_barrier(struct bootstrap *b, struct err *err)
{
    MPI_Request request;

    MPI_Ibarrier(MPI_COMM_WORLD, &request);
    if (wait_all(&request, 1, b->timeout, err))
        return err_set(err, ERR_DEADLINE,
                       "not all ranks came to the barrier within %g s", b->timeout);
    return 0;
}

void bootstrap_end(struct bootstrap *b)
{
    struct sigaction action = {.sa_handler = give_up};

    sigaction(SIGALRM, &action, NULL);
    alarm(patience(b->timeout));
    MPI_Finalize();
    alarm(0);
    signal(SIGALRM, SIG_DFL);
}

/* Reading the data. It may last, so it has a thread of its own: this one hears
 * meanwhile when the job ends. */
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "worker/step.h"

enum { WAIT_MS = 100 };

struct loading {
    struct shared_dataset *shared;
    const struct job *job;
    bool stop;   /* atomic */
    int done_fd; /* readable: it is over */
};

static void *read_data(void *context)
{
    struct loading *loading = context;
    struct shared_dataset *shared = loading->shared;
    uint64_t one = 1;

    pthread_mutex_lock(&shared->lock);
    if (!shared->loaded) { /* no other worker of this process has read it */
        shared->err.code = 0;
        dataset_load(&shared->data, loading->job, &loading->stop, &shared->err);
        shared->loaded = true;
    }
    pthread_mutex_unlock(&shared->lock);
    while (write(loading->done_fd, &one, sizeof one) < 0 && errno == EINTR)
        ;
    return NULL;
}

/* Waits for the reader, or for a reason to stop it. */
static int wait_for_data(struct worker *worker, struct loading *loading,
                         struct err *err)
{
    int fds[] = {loading->done_fd, member_fd(worker->member)};
    uint64_t done;

    for (;;) {
        port_wait(NULL, 0, fds, 2, WAIT_MS);
        if (read(loading->done_fd, &done, sizeof done) == sizeof done)
            return 0;
        if (lines_look(worker->lines, err) < 0)
            return -err->code;
        if (lines_order(worker->lines)->kind == ORDER_END)
            return err_set(err, ERR_INTERRUPTED, "the job is ending");
    }
}

static int read_shared(struct worker *worker, struct err *err)
{
    struct loading loading = {.shared = worker->setup->shared,
                              .job = worker->setup->job,
                              .done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)};
    pthread_t thread;
    int rc;

    if (loading.done_fd < 0)
        return err_system(err, "cannot make an event descriptor");
    errno = pthread_create(&thread, NULL, read_data, &loading);
    if (errno) {
        err_system(err, "cannot start a thread that reads the data");
        close(loading.done_fd);
        return -err->code;
    }
    rc = wait_for_data(worker, &loading, err);
    if (rc)
        __atomic_store_n(&loading.stop, true, __ATOMIC_RELAXED);
    pthread_join(thread, NULL);
    close(loading.done_fd);
    if (rc == 0 && loading.shared->err.code) {
        *err = loading.shared->err;
        rc = -err->code;
    }
    return rc;
}

int worker_load(struct worker *worker, struct err *err)
{
    const struct dataset *data = &worker->setup->shared->data;
    struct range range;
    struct pass first;
    int rc;

    if (worker->data)
        return 0;
    worker->status.phase = PHASE_LOADING;
    worker_report(worker, true);
    rc = read_shared(worker, err);
    if (rc)
        return rc;
    worker->data = data;
    worker->status.data = data->facts;
    first = worker_first_pass(worker, 1, &range); /* most runs begin there */
    return feeder_prepare(worker->feeder, &first, err);
}

/* Reading the data. It may last, so it has a thread of its own: this one hears
 * meanwhile when the job ends. */
#include <dirent.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/file.h"
#include "worker/ranking_score.h"
#include "worker/step.h"
#include "worker/stream/prepare/prepare.h"

enum { WAIT_MS = 100 };

struct loading {
    struct shared_data *shared;
    const struct worker_setup *setup;
    bool stop;   /* atomic */
    int done_fd; /* readable: it is over */
};

/* The run's preparation as worker 0 has left it in the directory of checkpoints. */
static bool find_kept(const char *dir, char *path, size_t size)
{
    DIR *stream = dir && dir[0] ? opendir(dir) : NULL;
    struct dirent *entry;
    bool found = false;

    while (stream && (entry = readdir(stream))) {
        char name[PREPARATION_NAME_MAX];
        unsigned long long digest;

        if (sscanf(entry->d_name, "preparation-%llx", &digest) != 1)
            continue;
        preparation_name(digest, name);
        if (strcmp(name, entry->d_name) != 0)
            continue;
        found = true;
        snprintf(path, size, "%s/%s", dir, name);
    }
    if (stream)
        closedir(stream);
    return found;
}

/* The preparation of the checkpoint that the run begins from. A process that is started
 * again may find that checkpoint gone, for newer ones: they have the same preparation,
 * which is then the only one in their directory. None there is for
 * data_load() to judge. *text is the caller's to free. */
static int read_saved(const struct shared_data *shared, char **text,
                      struct saved_preparation *saved, struct err *err)
{
    char path[PATH_MAX];
    int rc;

    *text = NULL;
    *saved = (struct saved_preparation){0};
    snprintf(path, sizeof path, "%s/preparation", shared->restore);
    if (access(path, F_OK) != 0 && errno == ENOENT &&
        (access(shared->restore, F_OK) == 0 ||
         !find_kept(shared->keep_in, path, sizeof path)))
        return 0;
    rc = file_read_all(path, PREPARE_BYTES_MAX, text, &saved->size, err);
    saved->bytes = (const unsigned char *)*text;
    return rc;
}

void shared_data_release(struct shared_data *shared)
{
    ranking_tasks_destroy(shared->tasks);
    negatives_release(&shared->negatives);
    item_catalogue_destroy(shared->catalogue);
    data_release(&shared->data);
    shared->tasks = NULL;
    shared->catalogue = NULL;
}

/* What workers share beside the examples: whom chosen items are set against, and what
 * is to be ranked. */
static int make_tasks(struct loading *loading, struct err *err)
{
    const struct job *job = loading->setup->job;
    struct shared_data *shared = loading->shared;
    bool ranks = job->evaluate.protocol != PROTOCOL_SPLIT && !job->model.target[0];
    bool trains = (job_group(job) > 1 || job_ranks(job)) &&
                  !loading->setup->streams.test_only;
    int rc = 0;

    if (ranks || trains)
        rc = item_catalogue_create(job, &shared->data, &shared->catalogue, err);
    if (rc == 0 && trains)
        rc = negatives_init(&shared->negatives, job, shared->catalogue, err);
    if (rc == 0 && ranks)
        rc = ranking_tasks_create(job, &shared->data, shared->catalogue, &loading->stop,
                                  &shared->tasks, err);
    return rc;
}

static void load_data(struct loading *loading)
{
    struct shared_data *shared = loading->shared;
    bool restores = shared->restore && shared->restore[0];
    struct saved_preparation saved;
    char *text = NULL;

    shared->err.code = 0;
    if (restores && read_saved(shared, &text, &saved, &shared->err))
        return;
    if (data_load(&shared->data, loading->setup->job, &loading->setup->streams,
                  restores ? &saved : NULL, &loading->stop, &shared->err) == 0 &&
        make_tasks(loading, &shared->err) == 0)
        shared->err.code = 0; /* rows that were left out had sentences, too */
    free(text);
}

static void *read_data(void *context)
{
    struct loading *loading = context;
    struct shared_data *shared = loading->shared;
    uint64_t one = 1;

    pthread_mutex_lock(&shared->lock);
    if (!shared->loaded) { /* no other worker of this process has read it */
        load_data(loading);
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
                              .setup = worker->setup,
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

/* Where the coordinator finds it when it makes a checkpoint. */
static int keep_preparation(const struct worker *worker, const struct data *data,
                            struct err *err)
{
    const char *dir = worker->setup->shared->keep_in;
    char name[PREPARATION_NAME_MAX], path[PATH_MAX];

    if (worker->setup->index != 0 || !data_preparation(data) || !dir || !dir[0])
        return 0;
    preparation_name(data->facts.preparation_digest, name);
    snprintf(path, sizeof path, "%s/%s", dir, name);
    if (file_make_dirs(dir, err))
        return -err->code;
    return file_write_atomic(path, data_preparation(data),
                             data->facts.preparation_bytes, err);
}

/* Worker 0 says it for all, through the coordinator. */
static void warn_of_bad_rows(struct worker *worker, const struct bad_rows *bad)
{
    if (worker->setup->index == 0)
        bad_rows_text(bad, worker->status.text, sizeof worker->status.text);
}

/* Before the first epoch is trained for nothing. */
static int check_validation(const struct worker *worker, const struct data *data,
                            struct err *err)
{
    const struct worker_setup *setup = worker->setup;

    if (setup->job->evaluate.every == 0 || data->is_streamed ||
        setup->streams.test_only || data_end(data, setup->job, SPLIT_VALIDATION) > 0)
        return 0;
    return err_set(err, ERR_INPUT,
                   "there is no example in the validation part that evaluate.every "
                   "asks for");
}

int worker_load(struct worker *worker, struct err *err)
{
    const struct data *data = &worker->setup->shared->data;
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
    rc = keep_preparation(worker, data, err);
    if (rc)
        return rc;
    if (worker->setup->shared->tasks &&
        ranking_check_items(worker->blueprint, worker->setup->shared->tasks, err))
        return -err->code;
    if (check_validation(worker, data, err))
        return -err->code;
    worker->data = data;
    worker->status.data = data->facts;
    warn_of_bad_rows(worker, data_bad_rows(data));
    if (worker->setup->shared->negatives.catalogue)
        feeder_use_negatives(worker->feeder, &worker->setup->shared->negatives);
    first = worker_first_pass(worker, 1, &range); /* most runs begin there */
    return feeder_prepare(worker->feeder, &first, err);
}

#include "launch/streams.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "common/file.h"
#include "common/log.h"
#include "server/manifest.h"
#include "worker/stream/filelist.h"
#include "worker/stream/spool/intake.h"
#include "worker/stream/spool/spool.h"

enum {
    CHUNK_BITS = 32,    /* a position is chunk << 32 | examples of it */
    PATIENCE_MS = 1000, /* for the next writer of a pipe, and the last of a file */
};

struct streams {
    const struct run_request *request;
    const int32_t *pipe;
    bool again, shared;
    struct intake *intake; /* owned; NULL until it is needed */
};

/* --- preparing ------------------------------------------------------------------- */

static bool is_pipe(const char *path)
{
    struct stat info;

    if (strcmp(path, "-") == 0)
        return true;
    return stat(path, &info) == 0 && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode);
}

static bool has_pipe(const struct filelist *list)
{
    for (size_t i = 0; i < list->files; i++)
        if (is_pipe(list->path[i]))
            return true;
    return false;
}

/* How many epochs the checkpoint has behind it, and where its data ended. */
static int epochs_behind(const char *checkpoint, int64_t *epochs, uint64_t *positions,
                         struct err *err)
{
    struct manifest *manifest;
    int rc;

    *epochs = 0;
    *positions = 0;
    if (!checkpoint[0])
        return 0;
    manifest = calloc(1, sizeof *manifest);
    if (!manifest)
        return err_set(err, ERR_MEMORY, "no memory for a manifest");
    rc = manifest_read(checkpoint, manifest, err);
    *epochs = manifest->epoch;
    *positions = manifest->data.positions;
    manifest_release(manifest);
    free(manifest);
    return rc;
}

static int check_settings(const struct run_request *request, int64_t behind,
                          const struct filelist *list, struct err *err)
{
    const struct job *job = &request->job;
    const char *why = job->train.follow ? "train.follow" : "a pipe in data.train";

    /* After a checkpoint it may be what that was made with. */
    if (job->data.in_memory == DATA_YES && !request->restore[0])
        return err_set(err, ERR_INPUT,
                       "data.in_memory is true, but %s reads data as they come: leave "
                       "it auto",
                       why);
    if (job->train.epochs > behind + 1)
        return err_set(
            err, ERR_INPUT,
            "train.epochs is %lld, expected 1 with %s: it is read only once%s",
            (long long)job->train.epochs, why,
            job->train.follow ? "" : ", unless data.in_memory is true");
    if (job->train.consistency == CONSISTENCY_BSP)
        return err_set(err, ERR_INPUT,
                       "train.consistency is bsp, which shares data out beforehand; %s "
                       "needs async or ssp",
                       why);
    if (job->data.format == DATA_PACKED || job->data.format == DATA_SEQUENCE ||
        job->data.format == DATA_NCF)
        return err_set(
            err, ERR_INPUT,
            "data.format is one whose lines do not stand alone; %s needs tsv, "
            "csv, libsvm, libffm, libfm, criteo or jsonl",
            why);
    if (job->data.split_test > 0 || job->data.split_validation > 0 ||
        job->data.split_after[0])
        return err_set(
            err, ERR_INPUT,
            "data.split holds out what %s could not give again: set data.test "
            "instead",
            why);
    if (list->files > STREAMS_MAX)
        return err_set(err, ERR_INPUT, "data.train names %zu files, at most %d with %s",
                       list->files, STREAMS_MAX, why);
    return 0;
}

/* The folder that the settings name; false: none. */
static bool named_folder(const struct job *job, char *path, size_t size)
{
    int n = 0;

    if (job->data.spool[0])
        n = snprintf(path, size, "%s", job->data.spool);
    else if (job->checkpoint.dir[0])
        n = snprintf(path, size, "%s/spool", job->checkpoint.dir);
    return n > 0 && (size_t)n < size;
}

static int choose_folder(struct run_request *request, struct err *err)
{
    const char *base = getenv("TMPDIR");
    size_t size = sizeof request->spool;

    if (named_folder(&request->job, request->spool, size))
        return file_make_dirs(request->spool, err);
    request->spool_temporary = true;
    if ((size_t)snprintf(request->spool, size, "%s/rowhouse-spool.XXXXXX",
                         base && base[0] ? base : "/tmp") >= size ||
        !mkdtemp(request->spool)) {
        err_system(err, "cannot make the folder '%.200s'", request->spool);
        request->spool[0] = '\0'; /* there is nothing to clean up */
        return -err->code;
    }
    return 0;
}

bool streams_left(const struct job *job)
{
    struct spool *spool;
    char path[JOB_PATH_MAX];
    struct err ignored;

    if (!named_folder(job, path, sizeof path) || spool_open(path, &spool, &ignored))
        return false;
    spool_close(spool);
    return true;
}

/* What an earlier run has left there. */
static int look_into_spool(const struct run_request *request, bool resume,
                           struct err *err)
{
    struct spool *spool;
    struct err none;
    int rc = spool_open(request->spool, &spool, &none);

    if (rc == -ERR_INPUT)
        return 0;
    if (rc) {
        *err = none;
        return rc;
    }
    spool_close(spool);
    if (resume)
        return 0;
    if (request->remove_old)
        return spool_remove(request->spool, err) ? -err->code
                                                 : file_make_dirs(request->spool, err);
    return err_set(err, ERR_INPUT,
                   "%s has what an earlier run has read of its streams: go on with "
                   "--resume or start anew with --fresh",
                   request->spool);
}

/* A run that was killed between its last checkpoint and its end has left its spool: the
 * one that has ended after `positions`. Another one may be another job's. */
static int remove_trained(const struct job *job, uint64_t positions, struct err *err)
{
    struct spool *spool;
    struct err ignored;
    uint64_t chunks = 0;
    bool ended = false;
    char path[JOB_PATH_MAX];

    if (!named_folder(job, path, sizeof path) || spool_open(path, &spool, &ignored))
        return 0;
    if (spool_published(spool, &chunks, &ended, &ignored))
        ended = false;
    spool_close(spool);
    if (!ended || chunks << CHUNK_BITS != positions)
        return 0;
    return spool_remove(path, err);
}

static int prepare(struct run_request *request, const struct filelist *list,
                   bool resume, struct err *err)
{
    const struct job *job = &request->job;
    uint64_t positions;
    int64_t behind;
    int rc = epochs_behind(request->restore, &behind, &positions, err);

    if (rc)
        return rc;
    if (request->evaluate_only || behind >= job->train.epochs) {
        request->test_only = true;
        return request->evaluate_only ? 0 : remove_trained(job, positions, err);
    }
    rc = check_settings(request, behind, list, err);
    if (!rc)
        rc = choose_folder(request, err);
    if (!rc)
        rc = look_into_spool(request, resume, err);
    return rc;
}

int streams_prepare(struct run_request *request, bool resume, struct err *err)
{
    const struct job *job = &request->job;
    struct filelist list;
    int rc = filelist_init(&list, job->data.train, "data.train", err);

    if (rc)
        return rc;
    /* A pipe may be read into memory once, and be trained on again and again. */
    if (job->train.follow || (has_pipe(&list) && job->data.in_memory != DATA_YES))
        rc = prepare(request, &list, resume, err);
    filelist_release(&list);
    return rc;
}

int streams_open_pipes(const struct run_request *request, int32_t fd[STREAMS_MAX],
                       struct err *err)
{
    struct filelist list;
    int rc;

    for (int i = 0; i < STREAMS_MAX; i++)
        fd[i] = -1;
    if (!request->spool[0])
        return 0;
    rc = filelist_init(&list, request->job.data.train, "data.train", err);
    if (rc)
        return rc;
    for (size_t i = 0; rc == 0 && i < list.files && i < STREAMS_MAX; i++) {
        if (!is_pipe(list.path[i]) || strcmp(list.path[i], "-") == 0)
            continue;
        fd[i] = open(list.path[i], O_RDONLY | O_NONBLOCK | O_NOCTTY);
        if (fd[i] < 0)
            rc = err_system(err, "cannot read %s", list.path[i]);
    }
    filelist_release(&list);
    return rc;
}

/* --- running --------------------------------------------------------------------- */

int streams_create(const struct run_request *request, const int32_t *pipe, bool again,
                   bool shared, struct streams **streams, struct err *err)
{
    struct streams *made = calloc(1, sizeof *made);

    if (!made)
        return err_set(err, ERR_MEMORY, "no memory to read streams");
    *made = (struct streams){
        .request = request, .pipe = pipe, .again = again, .shared = shared};
    *streams = made;
    return 0;
}

void streams_destroy(struct streams *streams)
{
    if (!streams)
        return;
    intake_stop(streams->intake);
    free(streams);
}

static int start(struct streams *streams, uint64_t floor, uint64_t known,
                 struct err *err)
{
    const struct job *job = &streams->request->job;
    bool table = job->data.format == DATA_TSV || job->data.format == DATA_CSV;
    struct intake_config config = {
        .dir = streams->request->spool,
        .fd = streams->pipe,
        .follow = job->train.follow,
        .header = table && job->data.header != DATA_NO,
        .quotes = table && (job->data.quotes == DATA_YES ||
                            (job->data.quotes == DATA_BY_FORMAT &&
                             job->data.format == DATA_CSV)),
        .same_pipes = streams->again,
        .shared = streams->shared,
        .patience_ms = PATIENCE_MS,
        .spool_max = (uint64_t)job->data.spool_max,
        .floor = floor >> CHUNK_BITS,
        .known = known >> CHUNK_BITS,
    };
    struct filelist list;
    int rc = filelist_init(&list, job->data.train, "data.train", err);

    if (rc)
        return rc;
    config.path = (const char *const *)list.path;
    config.paths = (uint32_t)list.files;
    if ((rc = intake_start(&config, &streams->intake, err)))
        err_prefix(err, "data.train");
    filelist_release(&list);
    return rc;
}

int streams_grow(void *data, uint64_t floor, uint64_t *known, bool *grows,
                 struct err *err)
{
    struct streams *streams = data;
    bool ended;

    if (!streams->intake && !*grows)
        return 0; /* the spool has all that there will be */
    if (!streams->intake && start(streams, floor, *known, err))
        return -err->code;
    ended = intake_ended(streams->intake); /* before the count: then it is final */
    intake_floor(streams->intake, floor >> CHUNK_BITS);
    *known = intake_published(streams->intake) << CHUNK_BITS;
    *grows = !ended;
    if (ended && *known == 0)
        return err_set(err, ERR_INPUT,
                       "data.train: the streams have ended without an example");
    return intake_check(streams->intake, err);
}

int streams_secure(void *data, struct err *err)
{
    struct streams *streams = data;

    return streams->intake ? intake_sync(streams->intake, err) : 0;
}

void streams_clean_up(const struct run_request *request, int status)
{
    struct err err;

    if (!request->spool[0] || (status != 0 && !request->spool_temporary))
        return;
    if (spool_remove(request->spool, &err))
        log_warn("%s", err.text);
}

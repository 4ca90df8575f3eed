/* rowhouse train and rowhouse evaluate: one run, with or without training. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "launch/bootstrap.h"
#include "launch/command.h"
#include "launch/jobfile.h"
#include "launch/run.h"
#include "launch/streams.h"
#include "server/checkpoint.h"
#include "server/vectors.h"
#include "worker/model/blas.h"
#include "worker/stream/data.h"

/* Whether data are held in memory stays what it was, since the order of examples and
 * the random split go by it. Runs from before there was that choice held them there. */
static int decide_as_before(struct job *job, const char *settings, struct err *err)
{
    struct job *before = calloc(1, sizeof *before);
    int rc, was = DATA_NO;

    if (!before)
        return err_set(err, ERR_MEMORY, "no memory for settings");
    rc = job_from_lines(before, settings, err);
    if (before->data.in_memory != DATA_NO)
        was = DATA_YES;
    free(before);
    if (rc)
        return rc;
    if (job->data.in_memory == DATA_BY_FORMAT)
        job->data.in_memory = was;
#ifndef MUTANT_MEMORY_DECIDED
    if (job->data.in_memory != was)
        return err_set(err, ERR_INPUT,
                       "data.in_memory was %s when the checkpoint was made, and cannot "
                       "change",
                       was == DATA_YES ? "true" : "false");
#endif
    return 0;
}

/* What the settings of the checkpoint that is begun with say: they decide what is not
 * set, and must still hold where a run goes on. */
static int use_settings(const char *path, struct job *job, bool goes_on,
                        struct err *err)
{
    struct manifest *manifest = calloc(1, sizeof *manifest);
    int rc;

    if (!manifest)
        return err_set(err, ERR_MEMORY, "no memory for a manifest");
    rc = manifest_read(path, manifest, err);
    if (rc == 0)
        rc = decide_as_before(job, manifest->settings, err);
    if (rc == 0 && goes_on)
        rc = job_continues(job, manifest->settings, err);
    if (rc)
        err_prefix(err, "%s", path);
    manifest_release(manifest);
    free(manifest);
    return rc;
}

/* A directory that cannot be made or written to is better known before the training; it
 * is made by the first checkpoint. */
static int check_writable(const char *dir, struct err *err)
{
    char at[JOB_PATH_MAX], inside[JOB_PATH_MAX + 2], *slash;

    snprintf(at, sizeof at, "%s", dir);
    for (;;) {
        snprintf(inside, sizeof inside, "%s/.", at);
        if (access(inside, W_OK | X_OK) == 0)
            return 0;
        if (errno != ENOENT || strcmp(at, ".") == 0)
            return err_system(err, "checkpoint.dir %s: cannot write to %s", dir, at);
        slash = strrchr(at, '/');
        if (slash)
            slash[slash == at] = '\0';
        else
            snprintf(at, sizeof at, ".");
    }
}

/* There is no checkpoint to resume from. But what was read of streams since the run
 * began is all there, if it came to none. */
static int begin_with_streams(struct run_request *request, struct err *err)
{
    if (!streams_left(&request->job))
        return err_prefix(err, "--resume");
    log_info("there is no checkpoint yet: begins anew, with all that was read");
    request->restore[0] = '\0';
    *err = (struct err){0};
    return 0;
}

/* What the directory of checkpoints says to --resume, --fresh or neither. */
static int prepare_checkpoints(const struct arguments *arguments,
                               struct run_request *request, struct err *err)
{
    const char *dir = request->job.checkpoint.dir;

    if (arguments->resume && arguments->fresh)
        return err_set(err, ERR_INPUT, "--resume and --fresh exclude each other");
    if (!dir[0])
        return arguments->resume ? err_set(err, ERR_INPUT,
                                           "--resume needs the setting checkpoint.dir")
                                 : 0;
    request->checkpoint_last = checkpoint_newest(dir);
    request->remove_old = arguments->fresh;
    if (arguments->resume) {
        if (checkpoint_find(dir, request->restore, sizeof request->restore, err))
            return begin_with_streams(request, err);
        if (use_settings(request->restore, &request->job, true, err))
            return -err->code;
    }
    if (request->checkpoint_last && !arguments->resume && !arguments->fresh)
        return err_set(err, ERR_INPUT,
                       "%s holds checkpoints of an earlier run: go on with --resume or "
                       "start anew with --fresh",
                       dir);
    return check_writable(dir, err);
}

/* A report that cannot be written is better known before the training. */
static int prepare_report(const struct arguments *arguments,
                          struct run_request *request, struct err *err)
{
    char probe[sizeof request->report + 16];
    struct stat at;
    int fd, rank;

    if (!arguments->report)
        return 0;
    if (strlen(arguments->report) >= sizeof request->report)
        return err_set(err, ERR_INPUT, "--report: a path of %zu bytes, at most %zu",
                       strlen(arguments->report), sizeof request->report - 1);
    snprintf(request->report, sizeof request->report, "%s", arguments->report);
    if (bootstrap_launched(&rank) && rank > 0)
        return 0; /* the first rank writes it, perhaps where this one cannot */
    if (stat(arguments->report, &at) == 0 && S_ISDIR(at.st_mode))
        return err_set(err, ERR_INPUT,
                       "--report %s is a directory, expected a file's name",
                       arguments->report);
    snprintf(probe, sizeof probe, "%s.XXXXXX", arguments->report);
    fd = mkstemp(probe);
    if (fd < 0) {
        err_system(err, "--report %s cannot be written", arguments->report);
        err->code = ERR_INPUT;
        return -ERR_INPUT;
    }
    close(fd);
    unlink(probe);
    return 0;
}

/* The first rank looks for all. */
static int check_parts(const struct run_request *request, struct err *err)
{
    int rank;

    if (bootstrap_launched(&rank) && rank > 0)
        return 0;
    return data_parts_apart(&request->job, err);
}

/* The first rank tells the others. */
static int prepare_streams(const struct arguments *arguments,
                           struct run_request *request, struct err *err)
{
    int rank;

    if (bootstrap_launched(&rank) && rank > 0)
        return 0;
    return streams_prepare(request, arguments->resume, err);
}

/* A label says how much an example counts among those of softmax, not what a score of
 * it should be. Whoever evaluates nothing may leave evaluate.metrics as it is. */
static int check_metrics(const struct job *job, struct err *err)
{
    const char *cursor = job->evaluate.metrics;
    bool tests = job->data.test[0] || job->data.split_test > 0;
    bool validates = job->data.validation[0] || job->data.split_validation > 0;
    char metric[JOB_NAME_MAX];

    if (job->model.loss != LOSS_SOFTMAX || job->evaluate.protocol != PROTOCOL_SPLIT ||
        (!(job->evaluate.part == PART_VALIDATION ? validates : tests) &&
         job->evaluate.every == 0) ||
        !job_list_next(&cursor, metric, sizeof metric))
        return 0;
    return err_set(err, ERR_INPUT,
                   "evaluate.metrics has %s, which compares scores with labels, but "
                   "model.loss is softmax: expected evaluate.protocol all and metrics "
                   "of lists, such as ndcg@10, or no metrics",
                   metric);
}

/* What only training needs; a job file also serves those who come after it. */
static int check_validation(const struct job *job, struct err *err)
{
    if (job->evaluate.every > 0 && job->evaluate.protocol != PROTOCOL_SPLIT &&
        job->evaluate.part != PART_VALIDATION)
        return err_set(err, ERR_INPUT,
                       "evaluate.every is set with an evaluate.protocol that ranks, "
                       "which needs evaluate.part: validation");
    if (job->train.patience > 0 && !job->checkpoint.dir[0])
        return err_set(err, ERR_INPUT,
                       "train.patience is set, but it needs checkpoint.dir to keep the "
                       "best epoch in");
    return 0;
}

static int prepare_train(const struct arguments *arguments, struct run_request *request,
                         struct err *err)
{
    int rank;

    if (check_validation(&request->job, err) || check_metrics(&request->job, err) ||
        check_parts(request, err) || vectors_pin(&request->job, err) ||
        prepare_checkpoints(arguments, request, err) ||
        prepare_report(arguments, request, err) ||
        prepare_streams(arguments, request, err))
        return -err->code;
    if (bootstrap_launched(&rank) && rank > 0)
        return 0; /* the first rank decides for all of them */
    return data_decide(&request->job, err);
}

static int prepare_evaluate(const struct arguments *arguments,
                            struct run_request *request, struct err *err)
{
    const char *from = arguments->checkpoint ? arguments->checkpoint
                                             : request->job.checkpoint.dir;

    request->evaluate_only = true;
    if (!from[0])
        return err_set(err, ERR_INPUT,
                       "evaluate needs a checkpoint: --checkpoint or checkpoint.dir");
    if (checkpoint_find(from, request->restore, sizeof request->restore, err) ||
        use_settings(request->restore, &request->job, false, err) ||
        check_metrics(&request->job, err) || prepare_streams(arguments, request, err))
        return -err->code;
    return prepare_report(arguments, request, err);
}

typedef int prepare_fn(const struct arguments *arguments, struct run_request *request,
                       struct err *err);

static int run(const struct arguments *arguments, prepare_fn *prepare)
{
    struct run_request *request = calloc(1, sizeof *request);
    struct err err = {0};
    int rank, status;

    if (!request) {
        log_error("no memory");
        return 1;
    }
    request->quiet = arguments->quiet;
    request->terminal = isatty(STDERR_FILENO);
    if (jobfile_load(arguments, &request->job, &err) == 0)
        prepare(arguments, request, &err);
    if (bootstrap_launched(&rank)) {
        const char *terminal = getenv("ROWHOUSE_TERMINAL");

        request->terminal = terminal && strcmp(terminal, "1") == 0;
        status = run_rank(request, &err);
    } else if (err.code) {
        log_error("%s", err.text);
        status = err_exit_status(err.code);
        streams_clean_up(request, status);
    } else {
        blas_init();
        run_settle_streams(request);
        status = run_local(request);
    }
    free(request);
    return status;
}

int command_train(const struct arguments *arguments)
{
    return run(arguments, prepare_train);
}

int command_evaluate(const struct arguments *arguments)
{
    return run(arguments, prepare_evaluate);
}

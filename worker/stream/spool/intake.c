#include "worker/stream/spool/intake.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "common/clock.h"
#include "worker/stream/spool/inlet.h"
#include "worker/stream/spool/inlet_file.h"

enum { SEGMENT_BYTES = 64 << 20, SEGMENT_MIN = 2 << 20, LOOK_MS = 50 };

struct intake {
    struct inlets inlets;
    struct inlet *inlet; /* owned; [paths] */
    struct pollfd *poll; /* owned; [paths + 1] */
    uint32_t paths;
    int wake;
    pthread_t thread;
    bool running;

    /* Shared. */
    uint64_t published, floor;
    bool ended, failed, stop;
    struct err err; /* the thread's, before `failed` */
};

static void *intake_run(void *argument);

static void intake_destroy(struct intake *intake)
{
    for (uint32_t i = 0; intake->inlet && i < intake->paths; i++)
        inlet_release(&intake->inlet[i]);
    free(intake->inlet);
    free(intake->poll);
    free(intake->inlets.buffer);
    spool_writer_close(&intake->inlets.writer);
    if (intake->wake >= 0)
        close(intake->wake);
    free(intake);
}

/* --- starting -------------------------------------------------------------------- */

/* Publishes what a source has left that no path goes on with. */
static int settle_old(struct intake *intake, struct spool_segment *segment,
                      struct err *err)
{
    struct inlet old = {.fd = -1};
    int rc = inlet_recover(&intake->inlets, &old, segment, err);

    if (!rc)
        rc = inlet_settle(&intake->inlets, &old, "nothing goes on with it", err);
    inlet_release(&old);
    return rc;
}

/* The path that goes on with the source of `segment`, or NULL. */
static struct inlet *heir(struct intake *intake, const struct inlet *old)
{
    for (uint32_t i = 0; i < intake->paths; i++)
        if (!intake->inlet[i].segment && strcmp(intake->inlet[i].path, old->path) == 0)
            return &intake->inlet[i];
    return NULL;
}

/* Hands a source on to its path, if that has none yet: the last one is asked first. */
static int hand_on(struct intake *intake, struct spool_segment *segment,
                   struct err *err)
{
    struct inlet old = {.fd = -1}, *next = NULL;
    int rc = inlet_recover(&intake->inlets, &old, segment, err);

    if (!rc && segment->current)
        next = heir(intake, &old);
    if (!rc && !next)
        rc = inlet_settle(&intake->inlets, &old, "nothing goes on with it", err);
    if (!rc && next) {
        free(next->path);
        *next = old;
        return 0;
    }
    inlet_release(&old);
    return rc;
}

/* Takes over what is in the spool: first what has its end, then the last of each
 * source, the newest first. */
static int take_over(struct intake *intake, struct err *err)
{
    struct spool_writer *writer = &intake->inlets.writer;
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < writer->segments; i++)
        if (!writer->segment[i]->current &&
            writer->segment[i]->published <
                writer->segment[i]->offset + writer->segment[i]->bytes)
            rc = settle_old(intake, writer->segment[i], err);
    for (uint32_t i = writer->segments; rc == 0 && i > 0; i--)
        if (writer->segment[i - 1]->current)
            rc = hand_on(intake, writer->segment[i - 1], err);
    return rc;
}

static int open_paths(struct intake *intake, const struct intake_config *config,
                      struct err *err)
{
    int rc = 0, fd;

    for (uint32_t i = 0; rc == 0 && i < intake->paths; i++) {
        fd = config->fd ? config->fd[i] : -1;
        if (fd >= 0 && (fd = fcntl(fd, F_DUPFD_CLOEXEC, 0)) < 0)
            return err_system(err, "cannot read %s", config->path[i]);
        rc = inlet_open(&intake->inlets, &intake->inlet[i], fd, err);
    }
    return rc;
}

static void set_up(struct intake *intake, const struct intake_config *config)
{
    struct inlets *inlets = &intake->inlets;

    inlets->follow = config->follow;
    inlets->header = config->header;
    inlets->quotes = config->quotes;
    inlets->same_pipes = config->same_pipes;
    inlets->patience_ms = config->patience_ms;
    inlets->spool_max = config->spool_max;
    inlets->segment_max = config->spool_max / 4;
    if (inlets->segment_max > SEGMENT_BYTES)
        inlets->segment_max = SEGMENT_BYTES;
    if (inlets->segment_max < SEGMENT_MIN)
        inlets->segment_max = SEGMENT_MIN;
    intake->floor = config->floor;
}

/* NULL without memory. */
static struct intake *intake_create(const struct intake_config *config)
{
    struct intake *made = calloc(1, sizeof *made);

    if (made) {
        made->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        made->inlet = calloc(config->paths, sizeof *made->inlet);
        made->poll = calloc((size_t)config->paths + 1, sizeof *made->poll);
        made->inlets.buffer = malloc(INLET_BUFFER_BYTES);
    }
    for (; made && made->inlet && made->paths < config->paths; made->paths++) {
        struct inlet *inlet = &made->inlet[made->paths];

        *inlet = (struct inlet){.path = strdup(config->path[made->paths]), .fd = -1};
        if (!inlet->path)
            break;
    }
    if (made && made->paths == config->paths && made->poll && made->inlets.buffer &&
        made->wake >= 0)
        return made;
    if (made)
        intake_destroy(made);
    return NULL;
}

static int check_config(const struct intake_config *config, struct err *err)
{
    uint64_t least = INTAKE_SPOOL_MIN + ((uint64_t)config->paths << 16);

    if (config->paths == 0)
        return err_set(err, ERR_INPUT, "there is no stream to read");
    if (config->spool_max < least)
        return err_set(err, ERR_INPUT,
                       "a spool of %" PRIu64 " bytes is too small for %u streams: it "
                       "takes %" PRIu64,
                       config->spool_max, config->paths, least);
    for (uint32_t i = 0; i < config->paths; i++)
        if (strlen(config->path[i]) >= SPOOL_PATH_MAX)
            return err_set(err, ERR_INPUT, "the path '%.200s' is too long",
                           config->path[i]);
    return 0;
}

/* Signals are for the threads that wait for them. */
static int start_thread(struct intake *intake, struct err *err)
{
    sigset_t all, old;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    errno = pthread_create(&intake->thread, NULL, intake_run, intake);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (errno)
        return err_system(err, "cannot start a thread for the spool");
    intake->running = true;
    return 0;
}

int intake_start(const struct intake_config *config, struct intake **intake,
                 struct err *err)
{
    struct intake *made;
    int rc;

    if ((rc = check_config(config, err)))
        return rc;
    made = intake_create(config);
    if (!made)
        return err_set(err, ERR_MEMORY, "no memory for the spool '%s'", config->dir);
    set_up(made, config);
    rc = spool_writer_open(&made->inlets.writer, config->dir, config->floor,
                           config->known, err);
    made->inlets.writer.shared = config->shared;
    if (!rc)
        rc = take_over(made, err);
    if (!rc)
        rc = open_paths(made, config, err);
    made->published = made->inlets.writer.published;
    if (!rc)
        rc = start_thread(made, err);
    if (rc)
        intake_destroy(made);
    else
        *intake = made;
    return rc;
}

/* --- the thread ------------------------------------------------------------------ */

static bool stopped(const struct intake *intake)
{
    return __atomic_load_n(&intake->stop, __ATOMIC_RELAXED);
}

/* Sleeps until there may be more to do: a pipe has something, a floor has risen, or it
 * is time to look at files and at what is quiet. */
static void wait_for_more(struct intake *intake, bool all_ended)
{
    const struct inlets *inlets = &intake->inlets;
    bool room = inlets->writer.live < inlets->spool_max;
    uint64_t count;
    nfds_t n = 1;

    intake->poll[0] = (struct pollfd){.fd = intake->wake, .events = POLLIN};
    for (uint32_t i = 0; room && i < intake->paths; i++)
        if (inlet_polls(&intake->inlet[i]))
            intake->poll[n++] = (struct pollfd){.fd = intake->inlet[i].fd,
                                                .events = POLLIN};
    if (poll(intake->poll, n, all_ended ? 20 * LOOK_MS : LOOK_MS) > 0 &&
        intake->poll[0].revents)
        (void)!read(intake->wake, &count, sizeof count);
}

/* Gives back what is not needed. A spool that stays full with nothing to train on will
 * never be less full. */
static int make_room(struct intake *intake, struct err *err)
{
    struct spool_writer *writer = &intake->inlets.writer;
    uint64_t floor = __atomic_load_n(&intake->floor, __ATOMIC_RELAXED);
    bool waits = false;
    int rc = spool_writer_floor(writer, floor, err);

    if (rc || writer->live < intake->inlets.spool_max)
        return rc;
    for (uint32_t i = 0; rc == 0 && i < intake->paths; i++) {
        rc = inlet_shed(&intake->inlets, &intake->inlet[i], err);
        waits |= intake->inlet[i].whole_since != 0;
    }
    if (!rc)
        rc = spool_writer_floor(writer, floor, err);
    if (!rc && !waits && writer->live >= intake->inlets.spool_max &&
        writer->published <= floor)
        rc = err_set(err, ERR_INPUT,
                     "the spool '%s' is full of records that have not ended (%" PRIu64
                     " bytes): it is too small for %u streams",
                     writer->dir, writer->live, intake->paths);
    return rc;
}

static int all_turns(struct intake *intake, bool *moved, bool *all_ended,
                     struct err *err)
{
    int64_t now = clock_ms();
    int rc = 0;

    *all_ended = true;
    for (uint32_t i = 0; rc == 0 && i < intake->paths && !stopped(intake); i++) {
        struct inlet *inlet = &intake->inlet[i];

        if (!inlet->ended)
            rc = inlet_turn(&intake->inlets, inlet, now, moved, err);
        *all_ended &= inlet->ended;
    }
    return rc;
}

static int take_all(struct intake *intake, struct err *err)
{
    struct spool_writer *writer = &intake->inlets.writer;
    bool moved, all_ended;
    int rc;

    while (!stopped(intake)) {
        moved = false;
        rc = make_room(intake, err);
        if (!rc)
            rc = all_turns(intake, &moved, &all_ended, err);
        if (!rc && all_ended && !writer->ended && !stopped(intake))
            rc = spool_writer_end(writer, err);
        __atomic_store_n(&intake->published, writer->published, __ATOMIC_RELEASE);
        if (rc)
            return rc;
        __atomic_store_n(&intake->ended, writer->ended, __ATOMIC_RELEASE);
        if (!moved)
            wait_for_more(intake, all_ended);
    }
    return 0;
}

static void *intake_run(void *argument)
{
    struct intake *intake = argument;

    if (take_all(intake, &intake->err))
        __atomic_store_n(&intake->failed, true, __ATOMIC_RELEASE);
    return NULL;
}

/* --- for other threads ----------------------------------------------------------- */

uint64_t intake_published(const struct intake *intake)
{
    return __atomic_load_n(&intake->published, __ATOMIC_ACQUIRE);
}

bool intake_ended(const struct intake *intake)
{
    return __atomic_load_n(&intake->ended, __ATOMIC_ACQUIRE);
}

int intake_check(const struct intake *intake, struct err *err)
{
    if (!__atomic_load_n(&intake->failed, __ATOMIC_ACQUIRE))
        return 0;
    *err = intake->err;
    return -err->code;
}

static void wake_up(struct intake *intake)
{
    uint64_t one = 1;

    (void)!write(intake->wake, &one, sizeof one);
}

void intake_floor(struct intake *intake, uint64_t floor)
{
    if (__atomic_load_n(&intake->floor, __ATOMIC_RELAXED) == floor)
        return;
    __atomic_store_n(&intake->floor, floor, __ATOMIC_RELAXED);
    wake_up(intake);
}

/* One file of the spool; it may have been removed meanwhile. */
static int sync_file(int dir, const char *name, struct err *err)
{
    int fd = openat(dir, name, O_RDONLY | O_CLOEXEC), rc = 0;

    if (fd < 0 && errno == ENOENT)
        return 0;
    if (fd < 0 || fdatasync(fd))
        rc = err_system(err, "cannot flush %s of the spool", name);
    if (fd >= 0)
        close(fd);
    return rc;
}

int intake_sync(const struct intake *intake, struct err *err)
{
    const char *path = intake->inlets.writer.dir;
    DIR *listing = opendir(path);
    struct dirent *entry;
    uint64_t number;
    int rc = 0;

    if (!listing)
        return err_system(err, "cannot read the spool '%s'", path);
    while (rc == 0 && (entry = readdir(listing)))
        if (spool_name_is(entry->d_name, "segment", &number) ||
            spool_name_is(entry->d_name, "index", &number))
            rc = sync_file(dirfd(listing), entry->d_name, err);
    if (rc == 0 && fsync(dirfd(listing)) && errno != EINVAL)
        rc = err_system(err, "cannot flush the spool '%s'", path);
    closedir(listing);
    return rc;
}

void intake_stop(struct intake *intake)
{
    if (!intake)
        return;
    if (intake->running) {
        __atomic_store_n(&intake->stop, true, __ATOMIC_RELAXED);
        wake_up(intake);
        pthread_join(intake->thread, NULL);
    }
    intake_destroy(intake);
}

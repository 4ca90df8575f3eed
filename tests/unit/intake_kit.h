/* An intake for tests: its spool in a scratch folder, waits with deadlines that are far
 * off, and everything that it has published as one text. */
#ifndef ROWHOUSE_TESTS_UNIT_INTAKE_KIT_H
#define ROWHOUSE_TESTS_UNIT_INTAKE_KIT_H

#include <fcntl.h>
#include <stdbool.h>
#include <sys/stat.h>

#include "common/clock.h"
#include "common/log.h"
#include "tests/unit/scratch.h"
#include "worker/stream/spool/intake.h"
#include "worker/stream/spool/spool.h"

enum { KIT_DEADLINE_MS = 60000, KIT_PATHS = 4 };

struct kit {
    struct scratch scratch;
    char spool[300];
    char path[KIT_PATHS][300];
    const char *paths[KIT_PATHS];
    int fd[KIT_PATHS];
    struct intake_config config;
    struct intake *intake;
    struct err err;
};

static inline void kit_init(struct kit *kit)
{
    memset(kit, 0, sizeof *kit);
    log_set_level(LOG_ERROR);
    scratch_init(&kit->scratch);
    snprintf(kit->spool, sizeof kit->spool, "%s/spool", kit->scratch.dir);
    for (int i = 0; i < KIT_PATHS; i++) {
        kit->paths[i] = kit->path[i];
        kit->fd[i] = -1;
    }
    kit->config = (struct intake_config){
        .dir = kit->spool,
        .path = kit->paths,
        .fd = kit->fd,
        .spool_max = 64 << 20,
    };
}

static inline void kit_release(struct kit *kit)
{
    intake_stop(kit->intake);
    assert_int_equal(spool_remove(kit->spool, &kit->err), 0);
    scratch_release(&kit->scratch);
}

/* Adds a path in the scratch folder. */
static inline const char *kit_path(struct kit *kit, const char *name)
{
    char *path = kit->path[kit->config.paths++];
    size_t n = strlen(kit->scratch.dir);

    memcpy(path, kit->scratch.dir, n);
    snprintf(path + n, sizeof kit->path[0] - n, "/%s", name);
    return path;
}

/* Adds a pipe, as standard input; returns the end to write to. */
static inline int kit_pipe(struct kit *kit)
{
    uint32_t i = kit->config.paths++;
    int ends[2];

    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    snprintf(kit->path[i], sizeof kit->path[i], "-");
    kit->fd[i] = ends[0];
    return ends[1];
}

static inline void kit_start(struct kit *kit)
{
    if (intake_start(&kit->config, &kit->intake, &kit->err))
        fail_msg("%s", kit->err.text);
}

static inline void kit_stop(struct kit *kit)
{
    intake_stop(kit->intake);
    kit->intake = NULL;
}

static inline void kit_wait_ended(struct kit *kit)
{
    int64_t deadline = clock_ms() + KIT_DEADLINE_MS;

    while (!intake_ended(kit->intake)) {
        if (intake_check(kit->intake, &kit->err))
            fail_msg("%s", kit->err.text);
        if (clock_ms() > deadline)
            fail_msg("the intake has not ended");
        usleep(1000);
    }
}

static inline void kit_wait_published(struct kit *kit, uint64_t chunks)
{
    int64_t deadline = clock_ms() + KIT_DEADLINE_MS;

    while (intake_published(kit->intake) < chunks) {
        if (intake_check(kit->intake, &kit->err))
            fail_msg("%s", kit->err.text);
        if (clock_ms() > deadline)
            fail_msg("%llu chunks, not %llu",
                     (unsigned long long)intake_published(kit->intake),
                     (unsigned long long)chunks);
        usleep(1000);
    }
}

/* The error that the thread stops with. */
static inline int kit_wait_failed(struct kit *kit)
{
    int64_t deadline = clock_ms() + KIT_DEADLINE_MS;
    int rc;

    while ((rc = intake_check(kit->intake, &kit->err)) == 0) {
        if (clock_ms() > deadline)
            fail_msg("the intake has not failed");
        usleep(1000);
    }
    return rc;
}

/* Everything that `source` has in chunks from `first` on; UINT32_MAX = all sources. The
 * chunks must follow each other. Free it. */
static inline char *kit_text_from(struct kit *kit, uint64_t first, uint32_t source,
                                  size_t *size)
{
    struct spool *spool;
    struct spool_chunk chunk;
    uint64_t chunks;
    char *text = malloc(1), *larger;
    bool ended;

    *size = 0;
    text[0] = '\0';
    if (spool_open(kit->spool, &spool, &kit->err))
        return text; /* there is nothing yet */
    if (spool_published(spool, &chunks, &ended, &kit->err))
        fail_msg("%s", kit->err.text);
    for (uint64_t i = first; i < chunks; i++) {
        size_t n;
        int fd;

        if (spool_chunk(spool, i, &chunk, &kit->err))
            fail_msg("%s", kit->err.text);
        if (source != UINT32_MAX && chunk.source != source)
            continue;
        n = chunk.end - chunk.begin;
        larger = realloc(text, *size + n + 1);
        assert_non_null(larger);
        text = larger;
        fd = open(chunk.path, O_RDONLY);
        assert_true(fd >= 0);
        assert_int_equal(pread(fd, text + *size, n, (off_t)chunk.begin), n);
        close(fd);
        *size += n;
    }
    text[*size] = '\0';
    spool_close(spool);
    return text;
}

static inline char *kit_text(struct kit *kit)
{
    size_t size;

    return kit_text_from(kit, 0, UINT32_MAX, &size);
}

/* Waits until all that is published is `text`. */
static inline void kit_wait_text(struct kit *kit, const char *text)
{
    int64_t deadline = clock_ms() + KIT_DEADLINE_MS;

    for (;;) {
        char *now = kit_text(kit);
        bool same = strcmp(now, text) == 0;

        if (!same && clock_ms() > deadline)
            fail_msg("'%s' instead of '%s'", now, text);
        free(now);
        if (same)
            return;
        if (intake_check(kit->intake, &kit->err))
            fail_msg("%s", kit->err.text);
        usleep(2000);
    }
}

static inline void kit_put(int fd, const char *text)
{
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
}

static inline void kit_append(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT, 0666);

    assert_true(fd >= 0);
    kit_put(fd, text);
    close(fd);
}

static inline struct spool_chunk kit_chunk(struct kit *kit, struct spool **spool,
                                           uint64_t number)
{
    struct spool_chunk chunk;

    if (!*spool && spool_open(kit->spool, spool, &kit->err))
        fail_msg("%s", kit->err.text);
    if (spool_chunk(*spool, number, &chunk, &kit->err))
        fail_msg("%s", kit->err.text);
    return chunk;
}

#endif

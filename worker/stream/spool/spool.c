#include "worker/stream/spool/spool.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker/stream/spool/spool_format.h"

struct spool {
    char *dir;                  /* owned */
    int fd;                     /* of an index file, -1 = none */
    uint64_t index;             /* its number */
    uint64_t newest;            /* the last index file seen */
    struct spool_source source; /* of the chunk found last; path NULL = none */
    char path[PATH_MAX];        /* of its segment */
};

/* The last index file. */
static int find_newest(const char *dir, uint64_t *newest, struct err *err)
{
    DIR *listing = opendir(dir);
    struct dirent *entry;
    bool found = false;
    uint64_t number;

    if (!listing && (errno == ENOENT || errno == ENOTDIR))
        return err_set(err, ERR_INPUT, "there is no spool '%s'", dir);
    if (!listing)
        return err_system(err, "cannot read the spool '%s'", dir);
    while ((entry = readdir(listing)))
        if (spool_name_is(entry->d_name, "index", &number) &&
            (!found || number > *newest)) {
            *newest = number;
            found = true;
        }
    closedir(listing);
    return found ? 0
                 : err_set(err, ERR_INPUT, "'%s' is no spool: it has no index", dir);
}

int spool_open(const char *dir, struct spool **spool, struct err *err)
{
    struct spool *made = calloc(1, sizeof *made);
    int rc;

    if (!made || !(made->dir = strdup(dir))) {
        free(made);
        return err_set(err, ERR_MEMORY, "no memory for the spool '%s'", dir);
    }
    made->fd = -1;
    rc = find_newest(dir, &made->newest, err);
    if (rc) {
        spool_close(made);
        return rc;
    }
    *spool = made;
    return 0;
}

void spool_close(struct spool *spool)
{
    if (!spool)
        return;
    if (spool->fd >= 0)
        close(spool->fd);
    spool_source_release(&spool->source);
    free(spool->dir);
    free(spool);
}

/* --- the index ------------------------------------------------------------------- */

static int check_index(struct spool *spool, const char *path, struct err *err)
{
    struct spool_index_head head;
    ssize_t n = pread(spool->fd, &head, sizeof head, 0);

    if (n < 0)
        return err_system(err, "cannot read '%s'", path);
    if (n != sizeof head || !spool_index_is(&head, spool->index * SPOOL_INDEX_CHUNKS))
        return err_set(err, ERR_DAMAGE, "%s: it is no index of this place in a spool",
                       path);
    return 0;
}

/* Makes spool->fd the index file `index`: 1, or 0 if it is not there, or an error. */
static int go_to_index(struct spool *spool, uint64_t index, struct err *err)
{
    char path[PATH_MAX];
    int rc;

    if (spool->fd >= 0 && spool->index == index)
        return 1;
    if ((rc = spool_name(path, spool->dir, "index", index, err)))
        return rc;
    if (spool->fd >= 0)
        close(spool->fd);
    spool->fd = open(path, O_RDONLY | O_CLOEXEC);
    if (spool->fd < 0 && errno == ENOENT)
        return 0;
    if (spool->fd < 0)
        return err_system(err, "cannot read '%s'", path);
    spool->index = index;
    rc = check_index(spool, path, err);
    if (rc) {
        close(spool->fd);
        spool->fd = -1;
        return rc;
    }
    return 1;
}

/* Reads the record in the place of chunk `number`: 1, 0 if there is none (yet). */
static int read_record(struct spool *spool, uint64_t number,
                       struct spool_record *record, struct err *err)
{
    int rc = go_to_index(spool, number / SPOOL_INDEX_CHUNKS, err);
    ssize_t n;

    if (rc <= 0)
        return rc;
    n = pread(spool->fd, record, sizeof *record,
              (off_t)(SPOOL_HEAD_BYTES + number % SPOOL_INDEX_CHUNKS * sizeof *record));
    if (n < 0)
        return err_system(err, "cannot read index-%" PRIu64 " of the spool '%s'",
                          spool->index, spool->dir);
    if (n < (ssize_t)sizeof *record)
        return 0;
    if (!spool_record_is(record, number))
        return err_set(err, ERR_DAMAGE,
                       "index-%" PRIu64 " of the spool '%s': the record of chunk "
                       "%" PRIu64 " is not what was written",
                       spool->index, spool->dir, number);
    return 1;
}

/* Index files follow each other without a gap, and the first ones are removed. */
static int go_to_newest(struct spool *spool, struct err *err)
{
    int rc;

    while ((rc = go_to_index(spool, spool->newest + 1, err)) > 0)
        spool->newest++;
    if (rc == 0)
        rc = go_to_index(spool, spool->newest, err);
    if (rc == 0 && (rc = find_newest(spool->dir, &spool->newest, err)) == 0)
        rc = go_to_index(spool, spool->newest, err);
    if (rc == 0)
        return err_set(err, ERR_SYSTEM, "index-%" PRIu64 " of the spool '%s' is gone",
                       spool->newest, spool->dir);
    return rc < 0 ? rc : 0;
}

int spool_published(struct spool *spool, uint64_t *chunks, bool *ended, struct err *err)
{
    struct spool_record last;
    struct stat info;
    uint64_t count;
    int rc;

    if ((rc = go_to_newest(spool, err)))
        return rc;
    if (fstat(spool->fd, &info))
        return err_system(err, "cannot read the index of the spool '%s'", spool->dir);
    count = ((uint64_t)info.st_size - SPOOL_HEAD_BYTES) / sizeof last;
    *ended = false;
    *chunks = spool->newest * SPOOL_INDEX_CHUNKS + count;
    if (count == 0)
        return 0;
    rc = read_record(spool, *chunks - 1, &last, err);
    if (rc > 0 && last.flags == SPOOL_END) {
        *ended = true;
        *chunks -= 1;
    }
    return rc < 0 ? rc : 0;
}

/* --- chunks ---------------------------------------------------------------------- */

static int go_to_source(struct spool *spool, uint32_t number, struct err *err)
{
    if (spool->source.path && spool->source.number == number)
        return 0;
    spool_source_release(&spool->source);
    return spool_source_read(spool->dir, number, &spool->source, err);
}

int spool_chunk(struct spool *spool, uint64_t number, struct spool_chunk *chunk,
                struct err *err)
{
    struct spool_record record;
    int rc = read_record(spool, number, &record, err);

    if (rc < 0)
        return rc;
    if (rc == 0 || record.flags == SPOOL_END)
        return err_set(err, ERR_AGAIN, "the spool '%s' has no chunk %" PRIu64,
                       spool->dir, number);
    if ((rc = go_to_source(spool, record.source, err)) ||
        (rc = spool_name(spool->path, spool->dir, "segment", record.segment, err)))
        return rc;
    *chunk = (struct spool_chunk){
        .path = spool->path,
        .begin = record.begin,
        .end = record.end,
        .name = spool->source.path,
        .header = spool->source.header,
        .header_bytes = spool->source.header_bytes,
        .line = record.line,
        .lines = record.lines,
        .source = record.source,
        .offset = record.offset,
    };
    return 0;
}

const char *spool_name_shown(const char *name)
{
    return strcmp(name, "-") == 0 ? "standard input" : name;
}

/* --- removing -------------------------------------------------------------------- */

static bool is_of_a_spool(const char *name)
{
    uint64_t number;

    return spool_name_is(name, "index", &number) ||
           spool_name_is(name, "segment", &number) ||
           spool_name_is(name, "source", &number) || spool_name_unfinished(name) ||
           strcmp(name, "lock") == 0;
}

int spool_remove(const char *dir, struct err *err)
{
    DIR *listing = opendir(dir);
    struct dirent *entry;
    int rc = 0;

    if (!listing && errno == ENOENT)
        return 0;
    if (!listing)
        return err_system(err, "cannot read the spool '%s'", dir);
    while (rc == 0 && (entry = readdir(listing)))
        if (is_of_a_spool(entry->d_name) &&
            unlinkat(dirfd(listing), entry->d_name, 0) && errno != ENOENT)
            rc = err_system(err, "cannot remove %s of the spool '%s'", entry->d_name,
                            dir);
    closedir(listing);
    if (rc == 0 && rmdir(dir) && errno != ENOTEMPTY && errno != EEXIST)
        rc = err_system(err, "cannot remove the spool '%s'", dir);
    return rc;
}

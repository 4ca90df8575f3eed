#include "worker/stream/spool/inlet_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { COMPARED_BYTES = 256, PIPE_BYTES = 1 << 20 };

int inlet_missing(const struct inlet *inlet, struct err *err)
{
    errno = ENOENT;
    err_system(err, "cannot read '%.400s'", inlet->path);
    err->code = ERR_INPUT;
    return -err->code;
}

int inlet_open_path(struct inlet *inlet, struct err *err)
{
    if (strcmp(inlet->path, "-") == 0)
        inlet->fd = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);
    else
        inlet->fd = open(inlet->path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
    if (inlet->fd >= 0 || errno == ENOENT)
        return 0;
    err_system(err, "cannot read '%.400s'", inlet->path);
    if (errno == EACCES || errno == ENOTDIR || errno == ELOOP || errno == ENAMETOOLONG)
        err->code = ERR_INPUT;
    return -err->code;
}

int inlet_identify(const struct inlet *inlet, struct spool_source *source,
                   struct err *err)
{
    bool input = strcmp(inlet->path, "-") == 0;
    struct stat info;
    off_t start = 0;

    if (fstat(inlet->fd, &info))
        return err_system(err, "cannot read %s", inlet->path);
    if (S_ISDIR(info.st_mode))
        return err_set(err, ERR_INPUT, "cannot read '%.400s': it is a folder",
                       inlet->path);
    source->kind = S_ISREG(info.st_mode)    ? SPOOL_FILE
                   : S_ISFIFO(info.st_mode) ? SPOOL_PIPE
                                            : SPOOL_OTHER;
    if (source->kind == SPOOL_FILE && input)
        start = lseek(inlet->fd, 0, SEEK_CUR);
    if (source->kind == SPOOL_PIPE) /* fewer, longer turns; it may not be allowed */
        fcntl(inlet->fd, F_SETPIPE_SZ, PIPE_BYTES);
    source->device = info.st_dev;
    source->inode = info.st_ino;
    source->start = start > 0 ? (uint64_t)start : 0;
    return 0;
}

/* Does file `fd` have at `at` what is at `place` of the segment's file? */
static bool same_bytes(int fd, uint64_t at, int segment, uint64_t place, size_t n)
{
    char ours[COMPARED_BYTES], theirs[COMPARED_BYTES];

    return pread(segment, ours, n, (off_t)place) == (ssize_t)n &&
           pread(fd, theirs, n, (off_t)at) == (ssize_t)n &&
           memcmp(ours, theirs, n) == 0;
}

static bool same_contents(const struct inlet *inlet, int fd)
{
    const struct spool_segment *segment = inlet->segment;
    const struct spool_source *source = &inlet->source;
    uint64_t end = source->start + segment->offset + segment->bytes;
    size_t n = segment->bytes < COMPARED_BYTES ? segment->bytes : COMPARED_BYTES;
    char theirs[COMPARED_BYTES];
    struct stat info;

    if (fstat(fd, &info) || (uint64_t)info.st_size < end)
        return false;
#ifdef MUTANT_SPOOL_SAME_FILE
    return true;
#endif
    if (n > 0)
        return same_bytes(fd, end - n, segment->fd,
                          SPOOL_HEAD_BYTES + segment->bytes - n, n);
    n = source->header_bytes < COMPARED_BYTES ? source->header_bytes : COMPARED_BYTES;
    if (source->records_at == 0 || n == 0)
        return true; /* there is nothing left to compare it with */
    return pread(fd, theirs, n, (off_t)source->start) == (ssize_t)n &&
           memcmp(theirs, source->header, n) == 0;
}

bool inlet_same_contents(const struct inlet *inlet)
{
    return same_contents(inlet, inlet->fd);
}

static bool is_source(const struct inlet *inlet, const struct stat *info)
{
    return info->st_dev == inlet->source.device && info->st_ino == inlet->source.inode;
}

bool inlet_has_moved(const struct inlet *inlet)
{
    struct stat info;

    return strcmp(inlet->path, "-") != 0 && stat(inlet->path, &info) == 0 &&
           !is_source(inlet, &info);
}

bool inlet_find_moved(struct inlet *inlet)
{
    char dir[SPOOL_PATH_MAX];
    const char *slash = strrchr(inlet->path, '/');
    int n = slash ? (int)(slash - inlet->path) + 1 : 0, fd = -1;
    struct dirent *entry;
    struct stat info;
    DIR *listing;

    snprintf(dir, sizeof dir, "%.*s.", n, inlet->path);
    listing = opendir(dir);
    while (listing && fd < 0 && (entry = readdir(listing))) {
        if (entry->d_ino != inlet->source.inode)
            continue;
        fd = openat(dirfd(listing), entry->d_name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        if (fd >= 0 && (fstat(fd, &info) || !is_source(inlet, &info) ||
                        !same_contents(inlet, fd))) {
            close(fd);
            fd = -1;
        }
    }
    if (listing)
        closedir(listing);
    if (fd < 0)
        return false;
    if (inlet->fd >= 0)
        close(inlet->fd);
    inlet->fd = fd;
    return true;
}

bool inlet_put(const struct inlet *inlet, const char *bytes, size_t n, size_t done)
{
    return spool_write_at(inlet->segment->fd, bytes, n,
                          SPOOL_HEAD_BYTES + inlet->segment->bytes + done);
}

ssize_t inlet_copy(struct inlet *inlet, char *buffer, size_t n, uint64_t at)
{
    size_t done = 0, part;
    ssize_t got;

    while (done < n) {
        part = n - done < INLET_BUFFER_BYTES ? n - done : INLET_BUFFER_BYTES;
        got = pread(inlet->fd, buffer, part, (off_t)(at + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0 || (got > 0 && !inlet_put(inlet, buffer, (size_t)got, done)))
            return -1;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

#include "common/file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { TEMP_TRIES = 100 };

static int make_dir(const char *path, struct err *err)
{
    struct stat info;

    if (mkdir(path, 0777) == 0)
        return 0;
    if (errno == EEXIST) {
        if (stat(path, &info) == 0 && S_ISDIR(info.st_mode))
            return 0;
        errno = ENOTDIR;
    }
    return err_system(err, "cannot make directory '%s'", path);
}

int file_make_dirs(const char *path, struct err *err)
{
    char part[PATH_MAX];
    size_t length = strlen(path);

    if (length == 0 || length >= sizeof part) {
        errno = length ? ENAMETOOLONG : ENOENT;
        return err_system(err, "cannot make directory '%.200s'", path);
    }
    memcpy(part, path, length + 1);
    for (char *p = part + 1; *p; p++) {
        int rc;

        if (*p != '/')
            continue;
        *p = '\0';
        rc = make_dir(part, err);
        *p = '/';
        if (rc)
            return rc;
    }
    return make_dir(part, err);
}

int file_sync_dir(const char *path, struct err *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    int rc = 0;

    if (fd < 0)
        return err_system(err, "cannot open directory '%s'", path);
    /* Some file systems have nothing to flush for a directory and say EINVAL. */
    if (fsync(fd) && errno != EINVAL)
        rc = err_system(err, "cannot flush directory '%s'", path);
    close(fd);
    return rc;
}

int file_sync_parent(const char *path, struct err *err)
{
    char dir[PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t length = slash ? (size_t)(slash - path) : 0;

    if (!slash)
        return file_sync_dir(".", err);
    if (length == 0)
        return file_sync_dir("/", err);
    memcpy(dir, path, length);
    dir[length] = '\0';
    return file_sync_dir(dir, err);
}

static bool write_all(int fd, const char *data, size_t size)
{
    while (size > 0) {
        ssize_t n = write(fd, data, size);

        if (n < 0) {
            if (errno == EINTR)
                continue;
            return false;
        }
        data += n;
        size -= (size_t)n;
    }
    return true;
}

/* Not mkstemp(): the file gets the mode that the umask gives, as if it were written in
 * place. */
int file_open_beside(const char *path, char *temp, size_t size, struct err *err)
{
    for (int i = 0; i < TEMP_TRIES; i++) {
        int n = snprintf(temp, size, "%s.%ld-%d.tmp", path, (long)getpid(), i);
        int fd;

        if (n < 0 || (size_t)n >= size) {
            errno = ENAMETOOLONG;
            break;
        }
        fd = open(temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0)
            return fd;
        if (errno != EEXIST)
            break;
    }
    temp[0] = '\0';
    return err_system(err, "cannot write '%.200s'", path);
}

/* Writes, flushes and closes `fd`. A device or pipe (no `durable`) has no flush. */
static int fill(int fd, const char *path, const void *data, size_t size, bool durable,
                struct err *err)
{
    int rc = 0;

    if (!write_all(fd, data, size) || (durable && fsync(fd)))
        rc = err_system(err, "cannot write '%s'", path);
    if (close(fd) && !rc)
        rc = err_system(err, "cannot write '%s'", path);
    return rc;
}

static int write_in_place(const char *path, const void *data, size_t size,
                          struct err *err)
{
    int fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);

    if (fd < 0)
        return err_system(err, "cannot write '%s'", path);
    return fill(fd, path, data, size, false, err);
}

int file_write_atomic(const char *path, const void *data, size_t size, struct err *err)
{
    char temp[PATH_MAX];
    struct stat info;
    bool there = stat(path, &info) == 0;
    int fd, rc;

    if (there && S_ISDIR(info.st_mode)) {
        errno = EISDIR;
        return err_system(err, "cannot write '%s'", path);
    }
#ifndef MUTANT_FILE_ATOMIC
    if (there && !S_ISREG(info.st_mode))
#else
    if (there)
#endif
        return write_in_place(path, data, size, err);

    fd = file_open_beside(path, temp, sizeof temp, err);
    if (fd < 0)
        return fd;
    rc = fill(fd, path, data, size, true, err);
    if (!rc && rename(temp, path))
        rc = err_system(err, "cannot rename '%s' to '%s'", temp, path);
    if (rc) {
        unlink(temp);
        return rc;
    }
    return file_sync_parent(path, err);
}

/* What the user named wrongly is bad input; the rest is the system's fault. */
static int open_error(const char *path, struct err *err)
{
    static const int inputs[] = {ENOENT, ENOTDIR, EACCES, EISDIR, ELOOP, ENAMETOOLONG};
    int found = errno;

    err_system(err, "cannot read '%.400s'", path);
    for (size_t i = 0; i < sizeof inputs / sizeof *inputs; i++) {
        if (found == inputs[i])
            err->code = ERR_INPUT;
    }
    return -err->code;
}

/* Reads on until the end or until there is more than `max`. */
static int read_on(int fd, const char *path, size_t max, char **data, size_t *size,
                   struct err *err)
{
    size_t room = 0;

    for (;;) {
        ssize_t n;

        if (*size == room) {
            size_t more = room ? room * 2 : 4096;
            char *grown = more > room ? realloc(*data, more + 1) : NULL;

            if (!grown)
                return err_set(err, ERR_MEMORY, "no memory to read '%s'", path);
            *data = grown;
            room = more;
        }
        n = read(fd, *data + *size, room - *size);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return open_error(path, err);
        if (n == 0)
            return 0;
        *size += (size_t)n;
        if (*size > max)
            return err_set(err, ERR_INPUT, "'%s' is longer than %zu bytes", path, max);
    }
}

int file_read_all(const char *path, size_t max, char **data, size_t *size,
                  struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    int rc;

    *data = NULL;
    *size = 0;
    if (fd < 0)
        return open_error(path, err);
    rc = read_on(fd, path, max, data, size, err);
    close(fd);
    if (rc) {
        free(*data);
        *data = NULL;
        *size = 0;
        return rc;
    }
    (*data)[*size] = '\0';
    return 0;
}

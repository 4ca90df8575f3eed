#include "server/outfile.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxh_x86dispatch.h> /* the fastest XXH3 of this processor */

static int cannot_write(const struct outfile *file, struct err *err)
{
    return err_system(err, "cannot write %s", file->path);
}

/* Replaces a file, but never a device or a directory. */
static int open_new(const char *path)
{
    const int flags = O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC;
    struct stat info;
    int fd = open(path, flags, 0666);

    if (fd >= 0 || errno != EEXIST || lstat(path, &info))
        return fd;
    errno = EEXIST;
    if (!S_ISREG(info.st_mode) && !S_ISLNK(info.st_mode))
        return -1;
    return unlink(path) ? -1 : open(path, flags, 0666);
}

int outfile_create(struct outfile *file, const char *path, struct err *err)
{
    size_t length = strlen(path);

    memset(file, 0, sizeof *file);
    file->fd = -1;
    if (length >= sizeof file->path)
        return err_set(err, ERR_INPUT, "the path %.100s... is too long", path);
    memcpy(file->path, path, length + 1);
    file->buffer = malloc(OUTFILE_WRITE_BYTES + OUTFILE_ROOM_MAX);
    file->whole = XXH3_createState();
    if (!file->buffer || !file->whole)
        return err_set(err, ERR_MEMORY, "no memory to write %s", path);
    XXH3_64bits_reset(file->whole);
    file->fd = open_new(path);
    return file->fd < 0 ? cannot_write(file, err) : 0;
}

static int flush(struct outfile *file, struct err *err)
{
    size_t done = 0;

    XXH3_64bits_update(file->whole, file->buffer, file->used);
    while (done < file->used) {
        ssize_t n = write(file->fd, file->buffer + done, file->used - done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return cannot_write(file, err);
        done += (size_t)n;
    }
    /* Starts the disk now, so that the last sync has little left to wait for; a file
     * system that cannot do it loses nothing. */
    (void)sync_file_range(file->fd, (off_t)file->flushed, (off_t)done,
                          SYNC_FILE_RANGE_WRITE);
    file->flushed += done;
    file->used = 0;
    return 0;
}

int outfile_room(struct outfile *file, size_t n, unsigned char **room, struct err *err)
{
    if (file->used >= OUTFILE_WRITE_BYTES) {
        int rc = flush(file, err);

        if (rc)
            return rc;
    }
    *room = file->buffer + file->used;
    file->used += n;
    return 0;
}

void outfile_give_back(struct outfile *file, size_t n)
{
    file->used -= n;
}

uint64_t outfile_bytes(const struct outfile *file)
{
    return file->flushed + file->used;
}

int outfile_finish(struct outfile *file, struct err *err)
{
    int fd, rc = flush(file, err);

    if (rc)
        return rc;
    if (fsync(file->fd))
        return cannot_write(file, err);
    fd = file->fd;
    file->fd = -1;
    if (close(fd)) {
        rc = cannot_write(file, err);
        unlink(file->path);
    }
    return rc;
}

uint64_t outfile_checksum(const struct outfile *file)
{
    return XXH3_64bits_digest(file->whole);
}

void outfile_release(struct outfile *file)
{
    if (file->fd >= 0) {
        close(file->fd);
        unlink(file->path);
    }
    file->fd = -1;
    free(file->buffer);
    file->buffer = NULL;
    XXH3_freeState(file->whole);
    file->whole = NULL;
}

#include "common/output.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file.h"

enum { BUFFER_BYTES = 2 * OUTPUT_ROOM_MAX };

static int cannot_write(const struct output *output, struct err *err)
{
    return err_system(err, "cannot write %s", output->path);
}

/* Hidden: who reads all files of the folder at that time does not see it. */
static int open_hidden(struct output *output, struct err *err)
{
    char hidden[OUTPUT_PATH_MAX + 1];
    const char *slash = strrchr(output->path, '/');
    size_t folder = slash ? (size_t)(slash + 1 - output->path) : 0;

    memcpy(hidden, output->path, folder);
    hidden[folder] = '.';
    memcpy(hidden + folder + 1, output->path + folder,
           strlen(output->path + folder) + 1);
    return file_open_beside(hidden, output->temp, sizeof output->temp, err);
}

/* Is it what /dev/stdout leads to, which others have open, too? */
static bool is_standard_output(const struct stat *info)
{
    struct stat own;

    return fstat(STDOUT_FILENO, &own) == 0 && own.st_dev == info->st_dev &&
           own.st_ino == info->st_ino;
}

/* The file that a link leads to is replaced, not emptied: it may be what is read. */
static int open_path(struct output *output, const char *path, struct err *err)
{
    struct stat link, info;
    bool is_link = lstat(path, &link) == 0 && S_ISLNK(link.st_mode);
    bool there = stat(path, &info) == 0;
    bool has_name = there && S_ISREG(info.st_mode) && info.st_nlink > 0;

    memcpy(output->path, path, strlen(path) + 1);
    if (there ? !has_name || is_standard_output(&info) : is_link)
        output->fd = open(path, O_WRONLY | O_TRUNC | O_CLOEXEC);
    else if (is_link && !realpath(path, output->path))
        return err_system(err, "cannot write %s", path);
    else
        output->fd = open_hidden(output, err);
    return output->fd < 0 ? cannot_write(output, err) : 0;
}

int output_open(struct output *output, const char *path, struct err *err)
{
    memset(output, 0, sizeof *output);
    output->fd = -1;
    if (strlen(path) >= sizeof output->path)
        return err_set(err, ERR_INPUT, "the path %.100s... is too long", path);
    output->buffer = malloc(BUFFER_BYTES);
    if (!output->buffer)
        return err_set(err, ERR_MEMORY, "no memory to write %s", path);
    if (strcmp(path, "-") != 0)
        return open_path(output, path, err);
    memcpy(output->path, "standard output", sizeof "standard output");
    output->fd = STDOUT_FILENO;
    output->borrowed = true;
    return 0;
}

int output_flush(struct output *output, struct err *err)
{
    size_t done = 0;

    while (done < output->used && !output->closed) {
        ssize_t n = write(output->fd, output->buffer + done, output->used - done);

        if (n < 0 && errno == EPIPE && !output->temp[0])
            output->closed = true;
        else if (n < 0 && errno != EINTR)
            return cannot_write(output, err);
        else if (n > 0)
            done += (size_t)n;
    }
    output->flushed += output->used;
    output->used = 0;
    return 0;
}

int output_room(struct output *output, size_t n, unsigned char **room, struct err *err)
{
    if (output->used + n > BUFFER_BYTES && output_flush(output, err))
        return -err->code;
    *room = output->buffer + output->used;
    return 0;
}

int output_write(struct output *output, const void *bytes, size_t n, struct err *err)
{
    const unsigned char *from = bytes;

    while (n > 0) {
        size_t piece = n < OUTPUT_ROOM_MAX ? n : OUTPUT_ROOM_MAX;
        unsigned char *room = NULL;

        if (output_room(output, piece, &room, err))
            return -err->code;
        memcpy(room, from, piece);
        output_used(output, piece);
        from += piece;
        n -= piece;
    }
    return 0;
}

int output_finish(struct output *output, struct err *err)
{
    int fd, rc = output_flush(output, err);

    if (rc || output->borrowed)
        return rc;
    if (output->temp[0] && fsync(output->fd))
        return cannot_write(output, err);
    fd = output->fd;
    output->fd = -1;
    if (close(fd))
        return cannot_write(output, err);
    if (!output->temp[0])
        return 0;
    if (rename(output->temp, output->path))
        return cannot_write(output, err);
    output->temp[0] = '\0';
    return file_sync_parent(output->path, err);
}

void output_release(struct output *output)
{
    if (output->fd >= 0 && !output->borrowed)
        close(output->fd);
    output->fd = -1;
#ifndef MUTANT_OUTPUT_UNFINISHED
    if (output->temp[0])
        unlink(output->temp);
#endif
    output->temp[0] = '\0';
    free(output->buffer);
    output->buffer = NULL;
}

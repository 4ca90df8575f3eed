#include "common/textfile.h"

#include <inttypes.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/unpack.h"

enum { TEXT_BYTES = 256 * 1024 }; /* the buffer at first; it doubles for long lines */

/*  text  [  used  |  unread, of which      | not yet searched |  room  |0]
 *                 at                       searched           end    size */
struct textfile {
    struct unpack *unpack; /* owned */
    char *text;            /* owned; size + 1 bytes, so that a '\0' always fits */
    size_t size, at, searched, end;
    bool ended;   /* nothing to read any more */
    bool has_nul; /* a NUL byte was read: look at each line from now on */
    uint64_t line;
};

int textfile_open(const char *path, struct textfile **file, struct err *err)
{
    struct textfile *made = calloc(1, sizeof *made);
    int rc;

    if (made) {
        made->size = TEXT_BYTES;
        made->text = malloc(made->size + 1);
    }
    if (!made || !made->text)
        rc = err_set(err, ERR_MEMORY, "%s: no memory to read it", path);
    else
        rc = unpack_open(path, &made->unpack, err);
    if (rc) {
        textfile_close(made);
        return rc;
    }
    *file = made;
    return 0;
}

void textfile_close(struct textfile *file)
{
    if (!file)
        return;
    unpack_close(file->unpack);
    free(file->text);
    free(file);
}

/* Moves what is unread to the front, or doubles the buffer when it is full of it. */
static int make_room(struct textfile *file, struct err *err)
{
    char *larger;

    if (file->at > 0) {
        memmove(file->text, file->text + file->at, file->end - file->at);
        file->searched -= file->at;
        file->end -= file->at;
        file->at = 0;
    }
    if (file->end < file->size)
        return 0;
    larger = realloc(file->text, 2 * file->size + 1);
    if (!larger)
        return err_set(err, ERR_MEMORY, "%s: no memory for a line of %zu bytes",
                       textfile_path(file), file->size);
    file->text = larger;
    file->size *= 2;
    return 0;
}

static int too_long(const struct textfile *file, struct err *err)
{
    return err_set(err, ERR_INPUT,
                   "%s line %" PRIu64
                   ": longer than %d bytes, the longest line allowed",
                   textfile_path(file), file->line + 1, TEXTFILE_LINE_MAX);
}

static int fill(struct textfile *file, struct err *err)
{
    size_t got;
    int rc;

    if (file->end - file->at > TEXTFILE_LINE_MAX + 1) /* one more may be the \r */
        return too_long(file, err);
    if ((rc = make_room(file, err)) ||
        (rc = unpack_read(file->unpack, file->text + file->end, file->size - file->end,
                          &got, err)))
        return rc;
    file->ended = got == 0;
    file->has_nul |= memchr(file->text + file->end, '\0', got) != NULL;
    file->end += got;
    return 0;
}

/* Hands out the line [at, stop); the next one starts at `next`. */
static int hand_out(struct textfile *file, size_t stop, size_t next, char **line,
                    size_t *length, struct err *err)
{
    char *text = file->text + file->at;
    size_t bytes = stop - file->at;

    if (bytes > 0 && text[bytes - 1] == '\r')
        bytes--;
    if (bytes > TEXTFILE_LINE_MAX)
        return too_long(file, err);
    file->line++;
    if (file->has_nul && memchr(text, '\0', bytes))
        return err_set(err, ERR_INPUT,
                       "%s line %" PRIu64 ": a NUL byte, expected text in UTF-8",
                       textfile_path(file), file->line);
    text[bytes] = '\0';
    *line = text;
    *length = bytes;
    file->at = file->searched = next;
    return 1;
}

int textfile_next(struct textfile *file, char **line, size_t *length, struct err *err)
{
    const char *newline;
    size_t stop;
    int rc;

    for (;;) {
        newline = memchr(file->text + file->searched, '\n', file->end - file->searched);
        if (newline) {
            stop = (size_t)(newline - file->text);
            return hand_out(file, stop, stop + 1, line, length, err);
        }
        file->searched = file->end;
        if (file->ended && file->at == file->end)
            return 0;
        if (file->ended)
            return hand_out(file, file->end, file->end, line, length, err);
        rc = fill(file, err);
        if (rc)
            return rc;
    }
}

uint64_t textfile_line(const struct textfile *file)
{
    return file->line;
}

const char *textfile_path(const struct textfile *file)
{
    return unpack_path(file->unpack);
}

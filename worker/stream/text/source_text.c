/* Text files as a source: bytes through a buffer, records out of it. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/unpack.h"
#include "worker/stream/source_kinds.h"
#include "worker/stream/text/fields_kernels.h"
#include "worker/stream/text/reader.h"

enum {
    READ_BYTES = 512 * 1024, /* at once: they stay in the second cache */
    HEAD_BYTES = 16 * 1024,  /* of a file of which a later piece is read */
};

/*  buffer  [ used | unread      | room | slack ]
 *                 at           end    room        */
struct text {
    struct reader *reader; /* owned */
    const struct split_kernels *kernels;
    char *path;            /* owned */
    struct unpack *unpack; /* owned; NULL = nothing is open */
    int fd;                /* borrowed from it: of a plain file; else -1 */
    char *buffer;          /* owned; [room + READER_SLACK] */
    size_t room, at, end;
    size_t read_bytes; /* at once */
    uint64_t offset;   /* of buffer[0] in the file */
    uint64_t stop;     /* records from here on are another piece's */
    bool stop_known;   /* it is where a record begins */
    bool ended;        /* there is nothing to read any more */
    uint64_t lines;    /* before buffer[0]; of what is no plain file */
    uint64_t limit;    /* of a plain file: nothing is there from here on, */
    uint64_t base;     /* and before here, where its line ... */
    uint64_t line;     /* ... number this begins */
    bool skip;
    uint64_t skip_max;
    struct bad_rows *bad_rows; /* borrowed */
    char *where;               /* owned */
};

/* --- life ------------------------------------------------------------------------ */

static void destroy(void *state)
{
    struct text *t = state;

    if (!t)
        return;
    reader_destroy(t->reader);
    unpack_close(t->unpack);
    free(t->path);
    free(t->buffer);
    free(t->where);
    free(t);
}

static int create(const struct job *job, const struct schema *schema,
                  struct bad_rows *bad_rows, void **state, struct err *err)
{
    struct text *t = calloc(1, sizeof *t);
    int rc;

    if (!t)
        return err_set(err, ERR_MEMORY, "no memory to read files");
    t->kernels = split_kernels();
    t->skip = job->data.bad_rows == BAD_ROWS_SKIP;
    t->skip_max = (uint64_t)job->data.bad_rows_max;
    t->bad_rows = bad_rows;
    rc = reader_create(job, schema, &t->reader, err);
    if (rc) {
        destroy(t);
        return rc;
    }
    *state = t;
    return 0;
}

/* --- bytes ----------------------------------------------------------------------- */

/* Moves what is unread to the front, and makes room behind it. */
static int make_room(struct text *t, struct err *err)
{
    size_t unread = t->end - t->at, room = t->room ? t->room : READ_BYTES;
    char *larger;

    if (t->at > 0) {
        if (t->fd < 0)
            t->lines += t->kernels->count_lines(t->buffer, t->at);
        memmove(t->buffer, t->buffer + t->at, unread);
        t->offset += t->at;
        t->at = 0;
        t->end = unread;
    }
    if (unread * 2 <= t->room && t->room)
        return 0;
    room = t->room ? t->room * 2 : room;
    larger = realloc(t->buffer, room + READER_SLACK);
    if (!larger)
        return err_set(err, ERR_MEMORY, "%.400s: no memory for a record of %zu bytes",
                       t->path, unread);
    /* Slack may be read, whatever is in it, but is to have been written. */
    memset(larger + t->end, 0, room + READER_SLACK - t->end);
    t->buffer = larger;
    t->room = room;
    return 0;
}

static int read_plain(struct text *t, size_t size, size_t *got, struct err *err)
{
    ssize_t n;

    *got = 0;
    if (t->offset + t->end >= t->limit)
        return 0;
    if (size > t->limit - t->offset - t->end)
        size = (size_t)(t->limit - t->offset - t->end);
    do
        n = pread(t->fd, t->buffer + t->end, size, (off_t)(t->offset + t->end));
    while (n < 0 && errno == EINTR);
    if (n < 0)
        return err_system(err, "%s: cannot read", t->path);
    *got = (size_t)n;
    return 0;
}

/* Reads more behind what is unread. The last line of a file gets its end. */
static int fill(struct text *t, struct err *err)
{
    size_t size, got = 0;
    int rc = make_room(t, err);
    uint64_t from = t->offset + t->end;

    if (rc)
        return rc;
    size = t->room - t->end - 1; /* one for that end */
    size = size < t->read_bytes ? size : t->read_bytes;
    if (t->fd >= 0 && t->stop > from && size > HEAD_BYTES &&
        t->stop - from < size - HEAD_BYTES)
        size = (size_t)(t->stop - from) + HEAD_BYTES; /* not much of the next piece */
    rc = t->fd >= 0 ? read_plain(t, size, &got, err)
                    : unpack_read(t->unpack, t->buffer + t->end, size, &got, err);
    if (rc)
        return rc;
    t->end += got;
    t->ended = got == 0;
    if (t->ended && t->end > t->at && t->buffer[t->end - 1] != '\n')
        t->buffer[t->end++] = '\n';
    return 0;
}

/* --- where ----------------------------------------------------------------------- */

/* Lines of a plain file before `place`. */
static uint64_t count_lines_before(const struct text *t, uint64_t place)
{
    char bytes[16 * 1024 + READER_SLACK];
    uint64_t lines = 0, at = t->base;

    memset(bytes, 0, sizeof bytes);
    while (at < place) {
        uint64_t size = place - at < 16 * 1024 ? place - at : 16 * 1024;
        ssize_t n = pread(t->fd, bytes, size, (off_t)at);

        if (n <= 0)
            break;
        lines += t->kernels->count_lines(bytes, (size_t)n);
        at += (uint64_t)n;
    }
    return lines;
}

static uint64_t line_of(const struct text *t, uint64_t place)
{
    if (!t->unpack)
        return 0;
    if (t->fd >= 0)
        return count_lines_before(t, place) + t->line;
    place = place < t->offset ? t->offset : place; /* what is gone cannot be counted */
    place = place > t->offset + t->end ? t->offset + t->end : place;
    return t->lines + t->kernels->count_lines(t->buffer, place - t->offset) + 1;
}

static const char *where(void *state, uint64_t place)
{
    struct text *t = state;
    size_t size = strlen(t->path ? t->path : "") + 32;
    char *larger = realloc(t->where, size);

    if (!larger)
        return "(no memory)";
    t->where = larger;
    snprintf(t->where, size, "%s line %" PRIu64, t->path ? t->path : "",
             line_of(t, place));
    return t->where;
}

/* Puts file and line in front of a sentence about the record at buffer[at]. */
static int complain(struct text *t, struct err *err)
{
    char tail[ERR_TEXT_MAX];

    memcpy(tail, err->text, sizeof tail);
    return err_set(err, err->code, "%.400s line %" PRIu64 "%s", t->path,
                   line_of(t, t->offset + t->at), tail);
}

static int too_long(struct text *t, struct err *err)
{
    reader_unfinished(t->reader, t->buffer + t->at, t->end - t->at, err);
    return complain(t, err);
}

/* --- pieces ---------------------------------------------------------------------- */

/* Bytes of the record from `from` on in the buffer, which is filled until its end is
 * there; 0 at the end of the file. */
static int find_record_end(struct text *t, size_t *length, struct err *err)
{
    int rc;

    for (;;) {
        *length = reader_first(t->reader, t->buffer + t->at, t->end - t->at);
        if (*length > 0 || (t->ended && t->at == t->end))
            return 0;
        if (t->ended || t->end - t->at > RECORD_MAX + 1)
            return too_long(t, err);
        if ((rc = fill(t, err)))
            return rc;
    }
}

static int skip_byte_order_mark(struct text *t, struct err *err)
{
    int rc = 0;

    while (rc == 0 && t->end < 3 && !t->ended)
        rc = fill(t, err);
    if (rc == 0 && t->end >= 3 && memcmp(t->buffer, "\xef\xbb\xbf", 3) == 0)
        t->at = 3;
    return rc;
}

/* Reads the file's head; its first example is then at buffer[at]. */
static int read_head(struct text *t, struct err *err)
{
    size_t length = 0;
    int rc = skip_byte_order_mark(t, err);

    if (rc || !reader_needs_head(t->reader))
        return rc;
    rc = find_record_end(t, &length, err);
    if (rc == 0)
        rc = reader_begin(t->reader, t->path, t->buffer + t->at, length, err);
    if (rc == 0 && !reader_head_is_example(t->reader))
        t->at += length;
    return rc;
}

/* Goes to the first record that begins at or behind `begin`. */
static int seek(struct text *t, uint64_t begin, struct err *err)
{
    size_t length;
    int rc;

    if (begin <= t->offset + t->at)
        return 0;
    t->at = t->end = 0;
    t->offset = begin - 1;
    t->ended = false;
    if ((rc = fill(t, err)))
        return rc;
    if (t->end == 0)
        return 0;
    t->at = 1;
#ifndef MUTANT_STREAM_PIECE
    if (t->buffer[0] == '\n')
        return 0;
#endif
    rc = find_record_end(t, &length, err);
    t->at += length;
    return rc;
}

/* The record that goes over the end of the piece belongs to it: moves `stop` behind
 * it, once that is in the buffer. */
static int find_stop(struct text *t, struct err *err)
{
    size_t at, length;
    int rc;

    while (!t->stop_known && t->stop <= t->offset + t->end) {
        at = (size_t)(t->stop - t->offset);
        t->stop_known = t->stop <= t->offset + t->at || t->buffer[at - 1] == '\n';
        if (t->stop_known)
            break;
        length = reader_first(t->reader, t->buffer + at, t->end - at);
        if (length > 0 || t->ended || t->end - at > RECORD_MAX + 1) {
            t->stop += length ? length : t->end - at;
            t->stop_known = true;
        } else if ((rc = fill(t, err))) {
            return rc;
        }
    }
    return 0;
}

/* On a file system that hosts share, the index may be here before the bytes are. */
static int check_chunk(const struct text *t, const struct piece *piece, struct err *err)
{
    struct stat info;

    if (fstat(t->fd, &info))
        return err_system(err, "cannot read '%s'", piece->path);
#ifndef MUTANT_STREAM_CHUNK_HERE
    if ((uint64_t)info.st_size < piece->end)
        return err_set(err, ERR_AGAIN,
                       "%.400s line %" PRIu64 ": '%.400s' of the spool has %lld bytes, "
                       "and not yet the %" PRIu64 " that were written",
                       t->path, piece->line, piece->path, (long long)info.st_size,
                       piece->end);
#endif
    return 0;
}

/* A chunk of a spool: its file has neither header nor end of its own. */
static int open_chunk(struct text *t, const struct piece *piece, struct err *err)
{
    const char *header = piece->header;
    size_t length = piece->header_bytes;
    int rc = check_chunk(t, piece, err);

    t->offset = t->base = piece->begin;
    t->line = piece->line;
    t->limit = piece->end;
    t->read_bytes = READ_BYTES;
    if (!rc && piece->line == 1)
        rc = skip_byte_order_mark(t, err);
    if (rc || !reader_needs_head(t->reader))
        return rc;
    if (!reader_head_is_example(t->reader)) {
        if (length >= 3 && memcmp(header, "\xef\xbb\xbf", 3) == 0) {
            header += 3;
            length -= 3;
        }
        return reader_begin(t->reader, t->path, header, length, err);
    }
    rc = find_record_end(t, &length, err);
    return rc ? rc : reader_begin(t->reader, t->path, t->buffer + t->at, length, err);
}

static int open_piece(void *state, const struct piece *piece, struct err *err)
{
    struct text *t = state;
    const char *name = piece->name                     ? piece->name
                       : strcmp(piece->path, "-") == 0 ? "standard input"
                                                       : piece->path;
    char *path = strdup(name);
    int rc;

    unpack_close(t->unpack);
    free(t->path);
    t->unpack = NULL;
    t->path = path;
    t->at = t->end = 0;
    t->offset = t->lines = 0;
    t->ended = t->stop_known = false;
    t->stop = t->limit = PIECE_END;
    t->base = 0;
    t->line = 1;
    if (!path)
        return err_set(err, ERR_MEMORY, "%.400s: no memory to read it", piece->path);
    rc = unpack_open(piece->path, &t->unpack, err);
    if (rc)
        return rc;
    t->fd = unpack_plain_fd(t->unpack);
    if (piece->name)
        return open_chunk(t, piece, err);
    t->stop = piece->end;
    if (t->fd < 0 && (piece->begin > 0 || piece->end != PIECE_END))
        return err_set(err, ERR_INPUT,
                       "%.400s is compressed or no regular file: it can only be read "
                       "whole",
                       path);
    t->read_bytes = piece->begin > 0 ? HEAD_BYTES : READ_BYTES;
    rc = read_head(t, err);
    t->read_bytes = READ_BYTES;
    return rc ? rc : seek(t, piece->begin, err);
}

/* --- examples -------------------------------------------------------------------- */

/* The record at buffer[at] is wrong: left out, or an error. */
static int leave_out(struct text *t, size_t bytes, struct err *err)
{
    struct bad_rows *bad = t->bad_rows;

    if (!t->skip || bytes == 0)
        return complain(t, err);
    bad->count++;
    if (bad->count == 1) {
        complain(t, err);
        memcpy(bad->first, err->text, sizeof bad->first);
    }
#ifndef MUTANT_STREAM_BAD_ROWS
    if (bad->count > t->skip_max) {
        if (bad->count > 1)
            complain(t, err);
        return err_prefix(err, "more than %" PRIu64 " wrong rows (data.bad_rows_max)",
                          t->skip_max);
    }
#endif
    t->at += bytes;
    return 0;
}

/* How many bytes of the buffer are examples of this piece. */
static size_t readable(const struct text *t)
{
    uint64_t end = t->offset + t->end, at = t->offset + t->at;

    if (t->stop_known && t->stop < end)
        end = t->stop;
    return end > at ? (size_t)(end - at) : 0;
}

/* Parses what there is. *stuck: a record goes on behind it. */
static int parse(struct text *t, struct block *block, bool *stuck, struct err *err)
{
    struct reader_text text = {t->buffer + t->at, readable(t), t->offset + t->at};
    size_t used, bad;
    int rc = reader_parse(t->reader, &text, block, &used, &bad, err);

    t->at += used;
    *stuck = rc == 0 && used < text.length && block->n < block->capacity;
    return rc == -ERR_INPUT ? leave_out(t, bad, err) : rc;
}

static int next(void *state, struct block *block, struct err *err)
{
    struct text *t = state;
    bool stuck = false;
    int rc;

    for (;;) {
        rc = find_stop(t, err);
        while (rc == 0 && !stuck && readable(t) && block->n < block->capacity)
            rc = parse(t, block, &stuck, err);
        if (rc)
            return rc;
        if (block->n > 0)
            return 1; /* before its lines leave the buffer */
        if (stuck && (t->ended || t->end - t->at > RECORD_MAX + 1))
            return too_long(t, err);
        if (!stuck && (t->ended || (t->stop_known && t->offset + t->at >= t->stop)))
            return 0;
        if ((rc = fill(t, err)))
            return rc;
        stuck = false;
    }
}

const struct source_kind source_text = {NULL, create, destroy, open_piece, next, where};

#include "worker/stream/spool/spool_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char keep_room[] =
    "all that was read is in the spool: make room, and go on with --resume";

static int full(struct spool_writer *writer, const char *what, struct err *err)
{
    if (errno != ENOSPC && errno != EDQUOT && errno != EFBIG)
        return err_system(err, "cannot write %s of the spool '%s'", what, writer->dir);
    return err_system(err, "cannot write %s of the spool '%s' (%s)", what, writer->dir,
                      keep_room);
}

void spool_writer_close(struct spool_writer *writer)
{
    for (uint32_t i = 0; i < writer->segments; i++) {
        if (writer->segment[i]->fd >= 0)
            close(writer->segment[i]->fd);
        free(writer->segment[i]);
    }
    free(writer->segment);
    if (writer->dir && writer->index >= 0)
        close(writer->index);
    if (writer->dir && writer->lock >= 0)
        close(writer->lock);
    free(writer->dir);
    *writer = (struct spool_writer){0};
}

/* --- files that appear whole ----------------------------------------------------- */

/* Makes `kind`-`number` of two pieces. Returns its descriptor, or -ERR. */
static int make_file(struct spool_writer *writer, const char *kind, uint64_t number,
                     const void *head, const void *more, size_t more_bytes,
                     struct err *err)
{
    char path[PATH_MAX], next[PATH_MAX + 8];
    int fd, rc = spool_name(path, writer->dir, kind, number, err);

    if (rc)
        return rc;
    snprintf(next, sizeof next, "%s/next", writer->dir);
    fd = open(next, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return full(writer, kind, err);
    if (!spool_write_at(fd, head, SPOOL_HEAD_BYTES, 0) ||
        !spool_write_at(fd, more, more_bytes, SPOOL_HEAD_BYTES) || rename(next, path)) {
        rc = full(writer, kind, err);
        close(fd);
        unlink(next);
        return rc;
    }
    return fd;
}

/* --- segments -------------------------------------------------------------------- */

int spool_writer_add(struct spool_writer *writer, const struct spool_segment *segment,
                     struct err *err)
{
    struct spool_segment *copy = malloc(sizeof *copy), **larger = writer->segment;

    if (copy && writer->segments == writer->room) {
        larger = realloc(larger, (2 * writer->room + 16) * sizeof *larger);
        if (larger) {
            writer->segment = larger;
            writer->room = 2 * writer->room + 16;
        }
    }
    if (!copy || !larger) {
        free(copy);
        return err_set(err, ERR_MEMORY, "no memory for the spool '%s'", writer->dir);
    }
    *copy = *segment;
    writer->segment[writer->segments++] = copy;
    writer->live += segment->bytes;
    return 0;
}

/* Makes the next segment of a source, with `n` bytes to begin with. */
static int make_segment(struct spool_writer *writer, struct spool_segment *segment,
                        const void *bytes, size_t n, struct err *err)
{
    struct spool_segment_head head = {
        .segment = writer->next_segment,
        .source = segment->source,
        .offset = segment->offset,
        .line = segment->line,
    };
    int rc;

    spool_seal_segment(&head);
    segment->number = writer->next_segment;
    segment->published = segment->offset;
    segment->bytes = n;
    segment->current = true;
    segment->fd = make_file(writer, "segment", segment->number, &head, bytes, n, err);
    if (segment->fd < 0)
        return segment->fd;
    writer->next_segment++;
    rc = spool_writer_add(writer, segment, err);
    if (rc)
        close(segment->fd);
    return rc;
}

int spool_writer_begin(struct spool_writer *writer, struct spool_source *source,
                       struct spool_segment **segment, struct err *err)
{
    struct spool_segment first = {.source = writer->next_source, .line = 1};
    int rc;

    source->number = writer->next_source;
    rc = spool_source_write(writer->dir, source, err);
    if (!rc)
        rc = make_segment(writer, &first, "", 0, err);
    if (rc)
        return rc;
    writer->next_source++;
    *segment = writer->segment[writer->segments - 1];
    return 0;
}

int spool_segment_open(struct spool_writer *writer, struct spool_segment *segment,
                       struct err *err)
{
    char path[PATH_MAX];
    int rc;

    if (segment->fd >= 0)
        return 0;
    if ((rc = spool_name(path, writer->dir, "segment", segment->number, err)))
        return rc;
    segment->fd = open(path, O_RDWR | O_CLOEXEC);
    return segment->fd < 0 ? err_system(err, "cannot open '%s'", path) : 0;
}

void spool_writer_grew(struct spool_writer *writer, struct spool_segment *segment,
                       uint64_t n)
{
    segment->bytes += n;
    writer->live += n;
}

int spool_writer_roll(struct spool_writer *writer, struct spool_segment **segment,
                      struct err *err)
{
    struct spool_segment *old = *segment;
    struct spool_segment next = {
        .source = old->source, .offset = old->published, .line = old->line};
    size_t rest = (size_t)(old->offset + old->bytes - old->published);
    char *bytes = malloc(rest + 1);
    int rc = 0;

    if (!bytes)
        return err_set(err, ERR_MEMORY, "no memory for the spool '%s'", writer->dir);
    if (pread(old->fd, bytes, rest, (off_t)(SPOOL_HEAD_BYTES + old->bytes - rest)) !=
        (ssize_t)rest)
        rc = err_system(err, "cannot read segment-%u of the spool '%s'", old->number,
                        writer->dir);
    if (!rc)
        rc = make_segment(writer, &next, bytes, rest, err);
    free(bytes);
    if (rc)
        return rc;
    old->bytes -= rest;
    writer->live -= rest;
    spool_writer_done(old);
    *segment = writer->segment[writer->segments - 1];
    return 0;
}

void spool_writer_done(struct spool_segment *segment)
{
    segment->current = false;
    if (segment->fd >= 0)
        close(segment->fd);
    segment->fd = -1;
}

/* --- the index ------------------------------------------------------------------- */

int spool_writer_index(struct spool_writer *writer, uint64_t number, struct err *err)
{
    struct spool_index_head head;
    int fd;

    spool_seal_index(&head, number);
    fd = make_file(writer, "index", number / SPOOL_INDEX_CHUNKS, &head, "", 0, err);
    if (fd < 0)
        return fd;
    if (writer->index >= 0)
        close(writer->index);
    writer->index = fd;
    return 0;
}

static int append(struct spool_writer *writer, struct spool_record *record,
                  struct err *err)
{
    uint64_t place = writer->published % SPOOL_INDEX_CHUNKS;
    int rc;

    if (place == 0 && writer->published > 0 &&
        (rc = spool_writer_index(writer, writer->published, err)))
        return rc;
    record->number = writer->published;
    spool_seal(record, sizeof *record);
    if (!spool_write_at(writer->index, record, sizeof *record,
                        SPOOL_HEAD_BYTES + place * sizeof *record) ||
        (writer->shared && fdatasync(writer->index)))
        return full(writer, "the index", err);
    return 0;
}

int spool_writer_publish(struct spool_writer *writer, struct spool_segment *segment,
                         uint64_t end, uint32_t lines, struct err *err)
{
    struct spool_record record = {
        .segment = segment->number,
        .source = segment->source,
        .begin = (uint32_t)(SPOOL_HEAD_BYTES + segment->published - segment->offset),
        .end = (uint32_t)(SPOOL_HEAD_BYTES + end - segment->offset),
        .offset = segment->published,
        .line = segment->line,
        .lines = lines,
    };
    int rc;

    if (writer->shared && fdatasync(segment->fd))
        return full(writer, "a segment", err);
    if ((rc = append(writer, &record, err)))
        return rc;
    segment->published = end;
    segment->line += lines;
    segment->chunks = ++writer->published;
    return 0;
}

int spool_writer_end(struct spool_writer *writer, struct err *err)
{
    struct spool_record record = {.flags = SPOOL_END};
    int rc = append(writer, &record, err);

    writer->ended = rc == 0;
    return rc;
}

/* --- what is not needed any more ------------------------------------------------- */

int spool_writer_unlink(struct spool_writer *writer, const char *kind, uint64_t number,
                        struct err *err)
{
    char path[PATH_MAX];
    int rc = spool_name(path, writer->dir, kind, number, err);

    if (!rc && unlink(path) && errno != ENOENT)
        rc = err_system(err, "cannot remove '%s'", path);
    return rc;
}

bool spool_writer_has(const struct spool_writer *writer, uint32_t source)
{
    for (uint32_t i = 0; i < writer->segments; i++)
        if (writer->segment[i]->source == source)
            return true;
    return false;
}

static int remove_segment(struct spool_writer *writer, uint32_t at, struct err *err)
{
    struct spool_segment *segment = writer->segment[at];
    int rc = spool_writer_unlink(writer, "segment", segment->number, err);

    if (rc)
        return rc;
    writer->live -= segment->bytes;
    writer->segments--;
    memmove(&writer->segment[at], &writer->segment[at + 1],
            (writer->segments - at) * sizeof *writer->segment);
    if (!spool_writer_has(writer, segment->source))
        rc = spool_writer_unlink(writer, "source", segment->source, err);
    free(segment);
    return rc;
}

int spool_writer_floor(struct spool_writer *writer, uint64_t floor, struct err *err)
{
    int rc = 0;

    if (floor > writer->floor)
        writer->floor = floor;
    for (uint32_t i = 0; rc == 0 && i < writer->segments;) {
        const struct spool_segment *segment = writer->segment[i];

#ifndef MUTANT_SPOOL_FLOOR
        if (segment->current || segment->chunks > writer->floor)
#else
        if (segment->current)
#endif
            i++;
        else
            rc = remove_segment(writer, i, err);
    }
    while (rc == 0 && (writer->first_index + 1) * SPOOL_INDEX_CHUNKS <= writer->floor &&
           (writer->first_index + 1) * SPOOL_INDEX_CHUNKS < writer->published)
        rc = spool_writer_unlink(writer, "index", writer->first_index++, err);
    return rc;
}

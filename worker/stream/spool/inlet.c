#include "worker/stream/spool/inlet.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/log.h"
#include "worker/stream/spool/inlet_file.h"
#include "worker/stream/spool/spool.h"

enum { TURN_BYTES = 1 << 20, BUFFER_BYTES = INLET_BUFFER_BYTES };

void inlet_release(struct inlet *inlet)
{
    if (inlet->fd >= 0)
        close(inlet->fd);
    spool_source_release(&inlet->source);
    free(inlet->path);
    *inlet = (struct inlet){.fd = -1};
}

bool inlet_polls(const struct inlet *inlet)
{
    return inlet->fd >= 0 && inlet->source.kind != SPOOL_FILE && !inlet->gone_since;
}

static const char *shown(const struct inlet *inlet)
{
    return spool_name_shown(inlet->path);
}

/* Bytes of the source that are in the spool. */
static uint64_t taken(const struct inlet *inlet)
{
    return inlet->segment->offset + inlet->segment->bytes;
}

/* --- cutting --------------------------------------------------------------------- */

static int read_back(struct inlets *inlets, struct inlet *inlet, char *to, uint64_t at,
                     size_t n, struct err *err)
{
    struct spool_segment *segment = inlet->segment;
    int rc = spool_segment_open(&inlets->writer, segment, err);

    if (rc)
        return rc;
    if (pread(segment->fd, to, n, (off_t)(SPOOL_HEAD_BYTES + at - segment->offset)) !=
        (ssize_t)n)
        return err_system(err, "cannot read segment-%u of the spool '%s'",
                          segment->number, inlets->writer.dir);
    return 0;
}

static int publish(struct inlets *inlets, struct inlet *inlet, struct err *err)
{
    struct cutter *cutter = &inlet->cutter;
    int rc = spool_writer_publish(&inlets->writer, inlet->segment, cutter->end,
                                  cutter->lines, err);

    if (rc)
        return rc;
    cutter_take(cutter);
    inlet->whole_since = 0;
    return 0;
}

/* The first record has ended: it is the header, unless the file goes on under the one
 * that it had before it was cut down. */
static int take_header(struct inlets *inlets, struct inlet *inlet, struct err *err)
{
    struct spool_source *source = &inlet->source;
    struct cutter *cutter = &inlet->cutter;
    size_t n = (size_t)(cutter->end - cutter->begin);
    char *text = malloc(n + 1);
    bool is_header;
    int rc;

    if (!text)
        return err_set(err, ERR_MEMORY, "%s: no memory for its header", shown(inlet));
    rc = read_back(inlets, inlet, text, cutter->begin, n, err);
    text[n] = '\0';
    is_header = source->header_state == SPOOL_HEADER_OPEN ||
                (n == source->header_bytes && memcmp(text, source->header, n) == 0);
    if (rc || !is_header) {
        free(text);
    } else {
        free(source->header);
        source->header = text;
        source->header_bytes = n;
        source->records_at = cutter->end;
        source->header_lines = cutter->lines;
    }
    source->header_state = SPOOL_HEADER_KNOWN;
    cutter->first_only = false;
    if (rc || (rc = spool_source_write(inlets->writer.dir, source, err)) || !is_header)
        return rc;
    cutter_take(cutter);
    inlet->segment->published = cutter->begin;
    inlet->segment->line = cutter->line;
    return 0;
}

static int too_long(const struct inlet *inlet, struct err *err)
{
    return err_set(err, ERR_INPUT,
                   "%s line %" PRIu64 ": a record of more than %d bytes", shown(inlet),
                   inlet->cutter.line + inlet->cutter.lines, TEXTFILE_LINE_MAX);
}

/* Shows the cutter `n` bytes, and publishes the chunks that are full. */
static int cut(struct inlets *inlets, struct inlet *inlet, const char *bytes, size_t n,
               struct err *err)
{
    struct cutter *cutter = &inlet->cutter;
    int rc;

    while (n > 0) {
        size_t looked = cutter_see(cutter, bytes, n, SPOOL_CHUNK_BYTES);

        bytes += looked;
        n -= looked;
        rc = 0;
        if (cutter->first_only && cutter->end > cutter->begin)
            rc = take_header(inlets, inlet, err);
        else if (cutter->seen - cutter->begin >= SPOOL_CHUNK_BYTES)
            rc = cutter->end > cutter->begin ? publish(inlets, inlet, err)
                                             : too_long(inlet, err);
        if (rc)
            return rc;
    }
    return 0;
}

static int refuse_packed(const struct inlet *inlet, const char *bytes, size_t n,
                         struct err *err)
{
    static const struct {
        const char *name, *tool, *magic;
        size_t bytes;
    } kinds[] = {{"gzip", "zcat", "\x1f\x8b", 2},
                 {"Zstandard", "zstdcat", "\x28\xb5\x2f\xfd", 4},
                 {"lz4", "lz4cat", "\x04\x22\x4d\x18", 4}};

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (n >= kinds[i].bytes && memcmp(bytes, kinds[i].magic, kinds[i].bytes) == 0)
            return err_set(err, ERR_INPUT,
                           "%s is compressed (%s), and a stream must be text: put %s "
                           "before it in the pipe",
                           shown(inlet), kinds[i].name, kinds[i].tool);
    return 0;
}

/* Looks at what has come. */
static int look(struct inlets *inlets, struct inlet *inlet, int64_t now,
                struct err *err)
{
    struct cutter *cutter = &inlet->cutter;
    uint64_t left;
    size_t n;
    int rc = 0;

    while (rc == 0 && (left = taken(inlet) - cutter->seen) > 0) {
        n = left < BUFFER_BYTES ? (size_t)left : BUFFER_BYTES;
        rc = read_back(inlets, inlet, inlets->buffer, cutter->seen, n, err);
        if (!rc && cutter->seen == 0)
            rc = refuse_packed(inlet, inlets->buffer, n, err);
        if (!rc)
            rc = cut(inlets, inlet, inlets->buffer, n, err);
    }
    if (cutter->end > cutter->begin && !inlet->whole_since)
        inlet->whole_since = now;
    return rc;
}

/* Publishes whole records that have waited, and goes on to another segment when this
 * one is full. */
static int settle_whole(struct inlets *inlets, struct inlet *inlet, int64_t now,
                        struct err *err)
{
    bool full = inlet->segment->bytes >= inlets->segment_max;
    int rc = 0;

    if (inlet->whole_since && (full || now - inlet->whole_since >= INLET_QUIET_MS))
        rc = publish(inlets, inlet, err);
    if (!rc && full)
        rc = spool_writer_roll(&inlets->writer, &inlet->segment, err);
    return rc;
}

/* --- sources that begin and end -------------------------------------------------- */

/* An empty last segment stays as the mark that a file which does not grow was read to
 * its end, also when all that was in it has been removed. */
static int mark_read(struct inlets *inlets, struct inlet *inlet, struct err *err)
{
    int rc = 0;

    if (inlet->segment->bytes > 0)
        rc = spool_writer_roll(&inlets->writer, &inlet->segment, err);
    if (!rc && inlet->segment->fd >= 0) {
        close(inlet->segment->fd);
        inlet->segment->fd = -1;
    }
    return rc;
}

/* The source has ended where it should: what is left is a record as well. */
static int finish(struct inlets *inlets, struct inlet *inlet, struct err *err)
{
    struct cutter *cutter = &inlet->cutter;
    int rc = look(inlets, inlet, 0, err);

    if (rc)
        return rc;
    cutter_finish(cutter);
    if (cutter->first_only && cutter->end > cutter->begin)
        rc = take_header(inlets, inlet, err);
    if (!rc && cutter->end > cutter->begin)
        rc = publish(inlets, inlet, err);
    if (rc)
        return rc;
#ifndef MUTANT_SPOOL_READ_MARK
    if (inlet->source.kind == SPOOL_FILE && !inlets->follow)
        return mark_read(inlets, inlet, err);
#endif
    spool_writer_done(inlet->segment);
    inlet->segment = NULL;
    return 0;
}

int inlet_settle(struct inlets *inlets, struct inlet *inlet, const char *why,
                 struct err *err)
{
    struct cutter *cutter = &inlet->cutter;
    int rc = look(inlets, inlet, 0, err);

    if (!rc && cutter->end > cutter->begin)
        rc = publish(inlets, inlet, err);
    if (rc)
        return rc;
    if (cutter->seen > cutter->begin)
        log_warn("%s line %" PRIu64 ": dropped, its end is missing after %" PRIu64
                 " bytes, because %s",
                 shown(inlet), cutter->line, cutter->seen - cutter->begin, why);
    spool_writer_done(inlet->segment);
    inlet->segment = NULL;
    return 0;
}

static void begin_cutting(struct inlets *inlets, struct inlet *inlet)
{
    const struct spool_segment *segment = inlet->segment;

    cutter_init(&inlet->cutter, inlets->quotes, segment->published, segment->line);
    inlet->cutter.first_only = inlet->source.header_state != SPOOL_HEADER_KNOWN;
    inlet->whole_since = inlet->gone_since = 0;
    inlet->at_end = false;
}

/* Begins a source with what inlet->fd is. `again`: the file was cut down, so its header
 * may be the one that it had. */
static int begin(struct inlets *inlets, struct inlet *inlet, bool again,
                 struct err *err)
{
    struct spool_source *source = &inlet->source;
    int rc = inlet_identify(inlet, source, err);

    if (rc)
        return rc;
    free(source->path);
    source->path = strdup(inlet->path);
    if (!source->path)
        return err_set(err, ERR_MEMORY, "%s: no memory to read it", inlet->path);
    if (!again) {
        free(source->header);
        source->header = NULL;
        source->header_bytes = 0;
    }
    source->records_at = 0;
    source->header_lines = 0;
    source->header_state = SPOOL_HEADER_KNOWN;
    if (inlets->header)
        source->header_state = again && source->header_bytes > 0 ? SPOOL_HEADER_BEFORE
                                                                 : SPOOL_HEADER_OPEN;
    rc = spool_writer_begin(&inlets->writer, source, &inlet->segment, err);
    if (!rc)
        begin_cutting(inlets, inlet);
    return rc;
}

int inlet_recover(struct inlets *inlets, struct inlet *inlet,
                  struct spool_segment *last, struct err *err)
{
    struct spool_source *source = &inlet->source;
    int rc = spool_source_read(inlets->writer.dir, last->source, source, err);

    if (rc)
        return rc;
    inlet->path = strdup(source->path);
    if (!inlet->path)
        return err_set(err, ERR_MEMORY, "%s: no memory to read it", source->path);
    inlet->segment = last;
    if (source->records_at > last->offset + last->bytes) {
        /* The machine went down, and the header is on the disk only where it is not
         * needed without its source. */
        source->header_state = SPOOL_HEADER_OPEN;
        source->records_at = 0;
    } else if (last->published < source->records_at) {
        last->published = source->records_at;
        last->line = 1 + source->header_lines;
    }
    begin_cutting(inlets, inlet);
    return spool_segment_open(&inlets->writer, last, err);
}

/* Is what was opened the stream that the spool has the beginning of? */
static bool goes_on(struct inlets *inlets, struct inlet *inlet)
{
    struct spool_source now = {0};
    struct err ignored;

    if (inlet->fd < 0 || inlet_identify(inlet, &now, &ignored) ||
        now.kind != inlet->source.kind || now.device != inlet->source.device ||
        now.inode != inlet->source.inode)
        return false;
    return now.kind == SPOOL_FILE ? inlet_same_contents(inlet) : inlets->same_pipes;
}

int inlet_open(struct inlets *inlets, struct inlet *inlet, int fd, struct err *err)
{
    int rc;

    inlet->fd = fd;
    if (fd < 0 && (rc = inlet_open_path(inlet, err)))
        return rc;
    if (!inlet->segment)
        return inlet->fd < 0 ? inlet_missing(inlet, err)
                             : begin(inlets, inlet, false, err);
    if (goes_on(inlets, inlet))
        return 0;
    if (inlet->source.kind == SPOOL_FILE && inlet_find_moved(inlet))
        return 0; /* the rest of it first */
    if (inlet->source.kind == SPOOL_FILE)
        log_warn("%s is not the file that it was: what was written to that behind its "
                 "byte %" PRIu64 " is not read",
                 inlet->path, inlet->source.start + taken(inlet));
    if (inlet->fd < 0)
        return inlet_missing(inlet, err);
    rc = inlet_settle(inlets, inlet, "another stream has taken its place", err);
    return rc ? rc : begin(inlets, inlet, false, err);
}

/* --- taking ---------------------------------------------------------------------- */

/* How many bytes may be taken now. */
static size_t room(const struct inlets *inlets, const struct inlet *inlet)
{
    uint64_t left = inlets->segment_max - inlet->segment->bytes;

#ifndef MUTANT_SPOOL_MAX
    if (inlets->writer.live >= inlets->spool_max)
        return 0;
    if (left > inlets->spool_max - inlets->writer.live)
        left = inlets->spool_max - inlets->writer.live;
#endif
    return left < TURN_BYTES ? (size_t)left : TURN_BYTES;
}

static int take_failed(struct inlets *inlets, struct inlet *inlet, struct err *err)
{
    if (errno == ENOSPC || errno == EDQUOT || errno == EFBIG)
        return err_system(err,
                          "cannot write segment-%u of the spool '%s' (what was read is "
                          "in it: make room, and go on with --resume)",
                          inlet->segment->number, inlets->writer.dir);
    return err_system(err, "cannot read %s", shown(inlet));
}

/* Moves at most n bytes from a pipe: > 0, 0 at its end, -1 and errno. They are in the
 * segment the moment they have left the pipe. */
static ssize_t move(struct inlets *inlets, struct inlet *inlet, size_t n)
{
    struct spool_segment *segment = inlet->segment;
    off_t at = (off_t)(SPOOL_HEAD_BYTES + segment->bytes);
    ssize_t got;

#ifndef MUTANT_SPOOL_SPLICE
    if (!inlet->copies) {
        got = splice(inlet->fd, NULL, segment->fd, &at, n,
                     SPLICE_F_NONBLOCK | SPLICE_F_MOVE);
        if (got >= 0 || errno != EINVAL)
            return got;
        inlet->copies = true;
    }
#endif
    got = read(inlet->fd, inlets->buffer, n < BUFFER_BYTES ? n : BUFFER_BYTES);
    if (got > 0 && segment->bytes == 0)
        log_info("%s is no pipe (or the spool's disk takes none): what is on its way "
                 "when this process is killed is lost",
                 shown(inlet));
    if (got > 0 && !inlet_put(inlet, inlets->buffer, (size_t)got, 0))
        return -1;
    return got;
}

static int pipe_has_ended(struct inlets *inlets, struct inlet *inlet, struct err *err)
{
    inlet->ended = true;
    return finish(inlets, inlet, err);
}

/* A pipe without a writer has ended, unless a named one may get another. */
static int pipe_is_quiet(struct inlets *inlets, struct inlet *inlet, bool hung,
                         int64_t now, struct err *err)
{
    if (!hung) {
        inlet->gone_since = 0;
        return 0;
    }
    if (!inlet->gone_since)
        inlet->gone_since = now;
    if (strcmp(inlet->path, "-") != 0 && now - inlet->gone_since < inlets->patience_ms)
        return 0;
    return pipe_has_ended(inlets, inlet, err);
}

static int take_pipe(struct inlets *inlets, struct inlet *inlet, int64_t now,
                     bool *moved, struct err *err)
{
    struct pollfd ready = {.fd = inlet->fd, .events = POLLIN};
    size_t n = room(inlets, inlet);
    ssize_t got;

    if (poll(&ready, 1, 0) < 0 && errno != EINTR)
        return err_system(err, "cannot wait for %s", shown(inlet));
    if (!(ready.revents & POLLIN))
        return pipe_is_quiet(inlets, inlet, ready.revents != 0, now, err);
    inlet->gone_since = 0;
    if (n == 0)
        return 0;
    got = move(inlets, inlet, n);
    if (got < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    if (got < 0)
        return take_failed(inlets, inlet, err);
    if (got == 0 && inlet->source.kind == SPOOL_OTHER)
        return pipe_has_ended(inlets, inlet,
                              err); /* nobody else can open it to write */
    if (got == 0)
        return pipe_is_quiet(inlets, inlet, false, now, err);
    spool_writer_grew(&inlets->writer, inlet->segment, (uint64_t)got);
    *moved = true;
    return 0;
}

/* The file was cut down: begins anew with it. */
static int file_was_cut(struct inlets *inlets, struct inlet *inlet, struct err *err)
{
    int rc;

    log_warn("%s was cut down after %" PRIu64 " bytes of it had been read: what came "
             "behind those, if anything did, is lost; goes on at its new beginning",
             shown(inlet), taken(inlet));
    rc = inlet_settle(inlets, inlet, "its file was cut down", err);
    if (!rc && lseek(inlet->fd, 0, SEEK_SET) < 0)
        rc = err_system(err, "cannot read %s", shown(inlet));
    return rc ? rc : begin(inlets, inlet, true, err);
}

/* At the end of a file. A name that another file has taken over is followed once the
 * old one, to which somebody may still be writing, has been quiet for a while. */
static int file_is_quiet(struct inlets *inlets, struct inlet *inlet, int64_t now,
                         struct err *err)
{
    int rc, fd;

    inlet->at_end = true;
    if (!inlets->follow) {
        inlet->ended = true;
        return finish(inlets, inlet, err);
    }
    if (!inlet_has_moved(inlet)) {
        inlet->gone_since = 0;
        return 0;
    }
    if (!inlet->gone_since) {
        inlet->gone_since = now; /* its size was looked at before its name: once more */
        return 0;
    }
    if (now - inlet->gone_since < inlets->patience_ms)
        return 0;
    fd = inlet->fd;
    inlet->fd = -1;
    rc = inlet_open_path(inlet, err);
    if (rc || inlet->fd < 0) { /* it has gone again meanwhile: later */
        inlet->fd = fd;
        return rc;
    }
    close(fd);
    rc = finish(inlets, inlet, err);
    return rc ? rc : begin(inlets, inlet, false, err);
}

static int take_file(struct inlets *inlets, struct inlet *inlet, int64_t now,
                     bool *moved, struct err *err)
{
    uint64_t at = inlet->source.start + taken(inlet);
    size_t n = room(inlets, inlet);
    struct stat info;
    ssize_t got;

    if (fstat(inlet->fd, &info))
        return err_system(err, "cannot read %s", shown(inlet));
    if ((uint64_t)info.st_size == at)
        return file_is_quiet(inlets, inlet, now, err);
    if ((uint64_t)info.st_size < at || (inlet->at_end && !inlet_same_contents(inlet)))
        return file_was_cut(inlets, inlet, err);
    inlet->at_end = false;
    inlet->gone_since = 0;
    if (n == 0)
        return 0;
    got = inlet_copy(inlet, inlets->buffer, n, at);
    if (got < 0)
        return take_failed(inlets, inlet, err);
    spool_writer_grew(&inlets->writer, inlet->segment, (uint64_t)got);
    *moved |= got > 0;
    return 0;
}

int inlet_turn(struct inlets *inlets, struct inlet *inlet, int64_t now, bool *moved,
               struct err *err)
{
    int rc = spool_segment_open(&inlets->writer, inlet->segment, err);

    if (!rc)
        rc = inlet->source.kind == SPOOL_FILE
                 ? take_file(inlets, inlet, now, moved, err)
                 : take_pipe(inlets, inlet, now, moved, err);
    if (!rc && inlet->segment)
        rc = look(inlets, inlet, now, err);
    if (!rc && inlet->segment)
        rc = settle_whole(inlets, inlet, now, err);
    return rc;
}

int inlet_shed(struct inlets *inlets, struct inlet *inlet, struct err *err)
{
    const struct spool_segment *segment = inlet->segment;

    if (!segment || segment->published == segment->offset ||
        segment->chunks > inlets->writer.floor)
        return 0;
    return spool_writer_roll(&inlets->writer, &inlet->segment, err);
}

/* Opening a spool that an earlier process may have left at any moment. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "common/file.h"
#include "common/log.h"
#include "worker/stream/spool/spool_writer.h"

/* What the folder holds. */
struct found {
    uint32_t *segment; /* owned */
    uint32_t segments, room;
    uint32_t first_source, sources; /* the first's number, 1 + the last's */
    bool indexes;
    uint64_t first_index, last_index;
};

static int take_lock(struct spool_writer *writer, struct err *err)
{
    char path[PATH_MAX + 8];

    snprintf(path, sizeof path, "%s/lock", writer->dir);
    writer->lock = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (writer->lock < 0)
        return err_system(err, "cannot open '%s'", path);
#ifndef MUTANT_SPOOL_LOCK
    if (flock(writer->lock, LOCK_EX | LOCK_NB)) {
        if (errno == EWOULDBLOCK)
            return err_set(err, ERR_INPUT,
                           "the spool '%s' is in use by another process", writer->dir);
        return err_system(err, "cannot lock '%s'", path);
    }
#endif
    return 0;
}

/* --- listing --------------------------------------------------------------------- */

static int note_segment(struct found *found, uint64_t number, struct err *err)
{
    uint32_t *larger = found->segment;

    if (number >= UINT32_MAX)
        return err_set(err, ERR_DAMAGE, "segment-%" PRIu64 " of the spool is not its",
                       number);
    if (found->segments == found->room) {
        larger = realloc(larger, (2 * (size_t)found->room + 64) * sizeof *larger);
        if (!larger)
            return err_set(err, ERR_MEMORY, "no memory to open the spool");
        found->segment = larger;
        found->room = 2 * found->room + 64;
    }
    found->segment[found->segments++] = (uint32_t)number;
    return 0;
}

static void note_index(struct found *found, uint64_t number)
{
    if (!found->indexes || number < found->first_index)
        found->first_index = number;
    if (!found->indexes || number > found->last_index)
        found->last_index = number;
    found->indexes = true;
}

static void note_source(struct found *found, uint32_t number)
{
    if (found->sources == 0 || number < found->first_source)
        found->first_source = number;
    if (number >= found->sources)
        found->sources = number + 1;
}

static int by_number(const void *a, const void *b)
{
    uint32_t one = *(const uint32_t *)a, other = *(const uint32_t *)b;

    return one < other ? -1 : one > other;
}

static int list_files(const char *dir, struct found *found, struct err *err)
{
    DIR *listing = opendir(dir);
    struct dirent *entry;
    uint64_t number;
    int rc = 0;

    if (!listing)
        return err_system(err, "cannot read the spool '%s'", dir);
    while (rc == 0 && (entry = readdir(listing))) {
        if (spool_name_is(entry->d_name, "segment", &number))
            rc = note_segment(found, number, err);
        else if (spool_name_is(entry->d_name, "source", &number) && number < UINT32_MAX)
            note_source(found, (uint32_t)number);
        else if (spool_name_is(entry->d_name, "index", &number) &&
                 number <= UINT64_MAX / 2 / SPOOL_INDEX_CHUNKS)
            note_index(found, number);
        else if (spool_name_unfinished(entry->d_name) &&
                 unlinkat(dirfd(listing), entry->d_name, 0))
            rc = err_system(err, "cannot remove %s of the spool '%s'", entry->d_name,
                            dir);
    }
    closedir(listing);
    if (found->segments > 1)
        qsort(found->segment, found->segments, sizeof *found->segment, by_number);
    return rc;
}

/* --- segments -------------------------------------------------------------------- */

static struct spool_segment *last_of(struct spool_writer *writer, uint32_t source)
{
    for (uint32_t i = writer->segments; i > 0; i--)
        if (writer->segment[i - 1]->source == source)
            return writer->segment[i - 1];
    return NULL;
}

/* Puts a segment behind those of its source: it takes over where it begins. What begins
 * behind a hole came to the disk before what was written before it did, when the
 * machine went down: it is dropped, to be read again. Returns whether it stays. */
static bool follows(struct spool_writer *writer, const struct spool_segment_head *head)
{
    struct spool_segment *before = last_of(writer, head->source);

    if (!before)
        return true;
    if (head->offset < before->offset || head->offset > before->offset + before->bytes)
        return false;
    writer->live -= before->bytes;
    before->bytes = head->offset - before->offset;
    writer->live += before->bytes;
    before->current = false;
    return true;
}

static int add_segment(struct spool_writer *writer, uint32_t number, struct err *err)
{
    struct spool_segment_head head;
    struct stat info = {0};
    char path[PATH_MAX];
    ssize_t n = -1;
    int fd, rc = spool_name(path, writer->dir, "segment", number, err);

    if (rc)
        return rc;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0 && fstat(fd, &info) == 0)
        n = pread(fd, &head, sizeof head, 0);
    if (n < 0)
        rc = err_system(err, "cannot read '%s'", path);
    if (fd >= 0)
        close(fd);
    if (rc)
        return rc;
    if (n == sizeof head && spool_segment_is(&head, number) &&
        info.st_size <= UINT32_MAX && follows(writer, &head))
        return spool_writer_add(writer,
                                &(struct spool_segment){
                                    .number = number,
                                    .source = head.source,
                                    .offset = head.offset,
                                    .bytes = (uint64_t)info.st_size - sizeof head,
                                    .published = head.offset,
                                    .line = head.line,
                                    .current = true,
                                    .fd = -1,
                                },
                                err);
    log_warn("%s is not whole: what was in it is read again if its source is a file",
             path);
    return spool_writer_unlink(writer, "segment", number, err);
}

/* --- the index ------------------------------------------------------------------- */

static struct spool_segment *segment_of(struct spool_writer *writer, uint32_t number)
{
    uint32_t low = 0, high = writer->segments, middle;

    while (low < high) {
        middle = low + (high - low) / 2;
        if (writer->segment[middle]->number < number)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == writer->segments || writer->segment[low]->number != number)
        return NULL;
    return writer->segment[low];
}

/* Takes a record over: 1, 0 if its bytes are not all there. */
static int take_record(struct spool_writer *writer, const struct spool_record *record,
                       struct err *err)
{
    struct spool_segment *segment = segment_of(writer, record->segment);

    if (record->segment >= writer->next_segment)
        writer->next_segment = record->segment + 1;
    if (record->source >= writer->next_source)
        writer->next_source = record->source + 1;
    if (!segment && record->number < writer->floor)
        return 1;
    if (!segment)
        return err_set(err, ERR_DAMAGE,
                       "chunk %" PRIu64 " of the spool '%s' is not there: segment-%u "
                       "has been removed",
                       record->number, writer->dir, record->segment);
    if (record->source != segment->source ||
        record->offset < segment->published || /* it is behind a header */
        record->begin - SPOOL_HEAD_BYTES != record->offset - segment->offset ||
        record->end - SPOOL_HEAD_BYTES > segment->bytes)
        return 0;
    segment->published = record->offset + record->end - record->begin;
    segment->line = record->line + record->lines;
    segment->chunks = record->number + 1;
    return 1;
}

/* Is there a whole record behind the place of `number`? Then what is wrong there is no
 * write that a crash has cut short. */
static bool more_follow(int fd, uint64_t number)
{
    struct spool_record record;
    uint64_t place = number % SPOOL_INDEX_CHUNKS;

    while (++place < SPOOL_INDEX_CHUNKS &&
           pread(fd, &record, sizeof record,
                 (off_t)(SPOOL_HEAD_BYTES + place * sizeof record)) == sizeof record)
        if (spool_record_is(&record, ++number))
            return true;
    return false;
}

/* Drops chunk `number` and all behind it. */
static int cut_index(struct spool_writer *writer, uint64_t number, uint64_t last_index,
                     struct err *err)
{
    uint64_t index = number / SPOOL_INDEX_CHUNKS;
    int rc;

    for (; last_index > index; last_index--) {
        if ((rc = spool_writer_unlink(writer, "index", last_index, err)))
            return rc;
    }
    if (ftruncate(writer->index,
                  (off_t)(SPOOL_HEAD_BYTES +
                          number % SPOOL_INDEX_CHUNKS * sizeof(struct spool_record))))
        return err_system(err, "cannot cut index-%" PRIu64 " of the spool '%s'", index,
                          writer->dir);
    return 0;
}

static int open_index(struct spool_writer *writer, uint64_t index, struct err *err)
{
    struct spool_index_head head;
    char path[PATH_MAX];
    int rc = spool_name(path, writer->dir, "index", index, err);

    if (rc)
        return rc;
    if (writer->index >= 0)
        close(writer->index);
    writer->index = open(path, O_RDWR | O_CLOEXEC);
    if (writer->index < 0)
        return err_system(err, "cannot open '%s'", path);
    if (pread(writer->index, &head, sizeof head, 0) != sizeof head ||
        !spool_index_is(&head, index * SPOOL_INDEX_CHUNKS))
        return err_set(err, ERR_DAMAGE, "%s: it is no index of this place in a spool",
                       path);
    return 0;
}

/* Takes over the records of the open index file: 1 if it is full of them, else 0, and
 * writer->published is the first without one. */
static int take_index(struct spool_writer *writer, struct err *err)
{
    struct spool_record record;
    ssize_t n;
    int rc;

    for (uint64_t place = 0; place < SPOOL_INDEX_CHUNKS; place++) {
        n = pread(writer->index, &record, sizeof record,
                  (off_t)(SPOOL_HEAD_BYTES + place * sizeof record));
        if (n < 0)
            return err_system(err, "cannot read the index of the spool '%s'",
                              writer->dir);
        if (n < (ssize_t)sizeof record)
            return 0;
        if (!spool_record_is(&record, writer->published)) {
            if (more_follow(writer->index, writer->published))
                return err_set(err, ERR_DAMAGE,
                               "the spool '%s': the record of chunk %" PRIu64
                               " is not what was written",
                               writer->dir, writer->published);
            return 0;
        }
        if (record.flags == SPOOL_END)
            return 0;
        rc = take_record(writer, &record, err);
        if (rc <= 0)
            return rc;
        writer->published++;
    }
    return 1;
}

static int take_indexes(struct spool_writer *writer, const struct found *found,
                        struct err *err)
{
    uint64_t index = found->first_index;
    int rc;

    if (!found->indexes)
        return spool_writer_index(writer, 0, err);
    writer->first_index = index;
    writer->published = index * SPOOL_INDEX_CHUNKS;
    do {
        if ((rc = open_index(writer, index, err)) == 0)
            rc = take_index(writer, err);
    } while (rc > 0 && ++index <= found->last_index);
    if (rc < 0)
        return rc;
    if (rc > 0) /* full to its last place: the next one is made when it is needed */
        return 0;
    return cut_index(writer, writer->published, found->last_index, err);
}

/* Sources of which nothing is left, but what is known of them. */
static int drop_sources(struct spool_writer *writer, const struct found *found,
                        struct err *err)
{
    int rc = 0;

    for (uint32_t i = found->first_source; rc == 0 && i < found->sources; i++)
        if (!spool_writer_has(writer, i))
            rc = spool_writer_unlink(writer, "source", i, err);
    return rc;
}

/* --- all of it ------------------------------------------------------------------- */

static int take_over(struct spool_writer *writer, const struct found *found,
                     uint64_t known, struct err *err)
{
    int rc = 0;

    writer->next_source = found->sources;
    for (uint32_t i = 0; rc == 0 && i < found->segments; i++)
        rc = add_segment(writer, found->segment[i], err);
    for (uint32_t i = 0; i < writer->segments; i++)
        if (writer->segment[i]->source >= writer->next_source)
            return err_set(
                err, ERR_DAMAGE,
                "the spool '%s': segment-%u is of a source that is not there",
                writer->dir, writer->segment[i]->number);
    if (found->segments > 0)
        writer->next_segment = found->segment[found->segments - 1] + 1;
    if (!rc)
        rc = take_indexes(writer, found, err);
    if (!rc && writer->published < known)
        rc = err_set(err, ERR_DAMAGE,
                     "the spool '%s' has %" PRIu64 " chunks, but %" PRIu64
                     " were there: it is not the one that the checkpoint knows, or the "
                     "machine went down and has lost its end",
                     writer->dir, writer->published, known);
    return rc;
}

int spool_writer_open(struct spool_writer *writer, const char *dir, uint64_t floor,
                      uint64_t known, struct err *err)
{
    struct found found = {0};
    int rc;

    *writer = (struct spool_writer){.lock = -1, .index = -1, .floor = floor};
    writer->dir = strdup(dir);
    if (!writer->dir)
        return err_set(err, ERR_MEMORY, "no memory for the spool '%s'", dir);
    if ((rc = file_make_dirs(dir, err)) || (rc = take_lock(writer, err)) ||
        (rc = list_files(dir, &found, err)) ||
        (rc = take_over(writer, &found, known, err)) ||
        (rc = drop_sources(writer, &found, err)))
        spool_writer_close(writer);
    free(found.segment);
    return rc;
}

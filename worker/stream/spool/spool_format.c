#include "worker/stream/spool/spool_format.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <xxhash.h>

#include "common/file.h"

static const char index_magic[8] = "RHINDEX1";
static const char segment_magic[8] = "RHSEGMT1";
static const char source_magic[8] = "RHSOURC1";

/* The head of source-N; then the path and the header line, then the checksum. */
struct source_head {
    char magic[8];
    uint32_t number, kind;
    uint64_t device, inode, start, records_at;
    uint32_t header_lines, header_state, path_bytes, header_bytes;
};

enum { CHECKSUM_BYTES = 8 };

static uint64_t checksum(const void *bytes, size_t size)
{
    return XXH3_64bits(bytes, size - CHECKSUM_BYTES);
}

void spool_seal(void *bytes, size_t size)
{
    uint64_t sum = checksum(bytes, size);

    memcpy((char *)bytes + size - CHECKSUM_BYTES, &sum, sizeof sum);
}

bool spool_sealed(const void *bytes, size_t size)
{
    uint64_t sum;

    memcpy(&sum, (const char *)bytes + size - CHECKSUM_BYTES, sizeof sum);
#ifndef MUTANT_SPOOL_CHECKSUM
    return sum == checksum(bytes, size);
#else
    return true;
#endif
}

bool spool_write_at(int fd, const void *bytes, size_t size, uint64_t at)
{
    const char *from = bytes;
    ssize_t n;

    while (size > 0) {
        n = pwrite(fd, from, size, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return false;
        from += n;
        at += (uint64_t)n;
        size -= (size_t)n;
    }
    return true;
}

/* --- the index ------------------------------------------------------------------- */

void spool_seal_index(struct spool_index_head *head, uint64_t first)
{
    *head = (struct spool_index_head){.first = first};
    memcpy(head->magic, index_magic, sizeof head->magic);
    spool_seal(head, sizeof *head);
}

bool spool_index_is(const struct spool_index_head *head, uint64_t first)
{
    return memcmp(head->magic, index_magic, sizeof head->magic) == 0 &&
           head->first == first && spool_sealed(head, sizeof *head);
}

bool spool_record_is(const struct spool_record *record, uint64_t number)
{
    if (!spool_sealed(record, sizeof *record) || record->number != number)
        return false;
    if (record->flags == SPOOL_END)
        return true;
    return record->flags == 0 && record->begin >= SPOOL_HEAD_BYTES &&
           record->begin < record->end &&
           record->end - record->begin <= SPOOL_CHUNK_BYTES && record->line > 0 &&
           record->lines <= record->end - record->begin &&
           record->offset <= UINT64_MAX / 2 && record->line <= UINT64_MAX / 2;
}

/* --- segments -------------------------------------------------------------------- */

void spool_seal_segment(struct spool_segment_head *head)
{
    memcpy(head->magic, segment_magic, sizeof head->magic);
    spool_seal(head, sizeof *head);
}

bool spool_segment_is(const struct spool_segment_head *head, uint32_t number)
{
    return memcmp(head->magic, segment_magic, sizeof head->magic) == 0 &&
           spool_sealed(head, sizeof *head) && head->segment == number &&
           head->offset <= UINT64_MAX / 2 && head->line > 0 &&
           head->line <= UINT64_MAX / 2;
}

int spool_name(char path[PATH_MAX], const char *dir, const char *kind, uint64_t number,
               struct err *err)
{
    int n = snprintf(path, PATH_MAX, "%s/%s-%" PRIu64, dir, kind, number);

    if (n < 0 || n >= PATH_MAX)
        return err_set(err, ERR_INPUT, "the path of the spool '%.200s' is too long",
                       dir);
    return 0;
}

bool spool_name_is(const char *name, const char *kind, uint64_t *number)
{
    size_t length = strlen(kind);
    char again[NAME_MAX + 1];

    if (strncmp(name, kind, length) != 0 || name[length] != '-')
        return false;
    *number = strtoull(name + length + 1, NULL, 10);
    snprintf(again, sizeof again, "%s-%" PRIu64, kind, *number);
    return strcmp(name, again) == 0;
}

bool spool_name_unfinished(const char *name)
{
    const char *dot = strrchr(name, '.');

    return strcmp(name, "next") == 0 ||
           (strncmp(name, "source-", 7) == 0 && dot && strcmp(dot, ".tmp") == 0);
}

/* --- sources --------------------------------------------------------------------- */

int spool_source_write(const char *dir, const struct spool_source *source,
                       struct err *err)
{
    struct source_head head = {
        .number = source->number,
        .kind = source->kind,
        .device = source->device,
        .inode = source->inode,
        .start = source->start,
        .records_at = source->records_at,
        .header_lines = source->header_lines,
        .header_state = source->header_state,
        .path_bytes = (uint32_t)strlen(source->path),
        .header_bytes = (uint32_t)source->header_bytes,
    };
    size_t size = sizeof head + head.path_bytes + head.header_bytes + CHECKSUM_BYTES;
    char path[PATH_MAX], *bytes = malloc(size);
    int rc;

    if (!bytes)
        return err_set(err, ERR_MEMORY, "%s: no memory for its header", source->path);
    memcpy(head.magic, source_magic, sizeof head.magic);
    memcpy(bytes, &head, sizeof head);
    memcpy(bytes + sizeof head, source->path, head.path_bytes);
    if (head.header_bytes > 0)
        memcpy(bytes + sizeof head + head.path_bytes, source->header,
               head.header_bytes);
    spool_seal(bytes, size);
    rc = spool_name(path, dir, "source", source->number, err);
    if (!rc)
        rc = file_write_atomic(path, bytes, size, err);
    free(bytes);
    return rc;
}

/* Is every number of it one that spool_source_write() can have written? */
static bool source_is(const struct source_head *head, const char *bytes, size_t size,
                      uint32_t number)
{
    return memcmp(head->magic, source_magic, sizeof head->magic) == 0 &&
           spool_sealed(bytes, size) && head->number == number &&
           head->kind <= SPOOL_OTHER && head->header_state <= SPOOL_HEADER_KNOWN &&
           head->path_bytes > 0 && head->path_bytes < SPOOL_PATH_MAX &&
           head->header_bytes <= SPOOL_CHUNK_BYTES && head->start <= UINT64_MAX / 4 &&
           head->records_at <= UINT64_MAX / 4 &&
           size ==
               sizeof *head + head->path_bytes + head->header_bytes + CHECKSUM_BYTES &&
           !memchr(bytes + sizeof *head, '\0', head->path_bytes);
}

static char *text_of(const char *bytes, size_t length)
{
    char *text = malloc(length + 1);

    if (text) {
        memcpy(text, bytes, length);
        text[length] = '\0';
    }
    return text;
}

static int take_source(const char *bytes, size_t size, uint32_t number,
                       struct spool_source *source, const char *path, struct err *err)
{
    struct source_head head;

    if (size < sizeof head + CHECKSUM_BYTES)
        return err_set(err, ERR_DAMAGE, "%s: %zu bytes are too few", path, size);
    memcpy(&head, bytes, sizeof head);
    if (!source_is(&head, bytes, size, number))
        return err_set(err, ERR_DAMAGE,
                       "%s: its checksum is wrong or its numbers make no sense", path);
    *source = (struct spool_source){
        .number = number,
        .kind = head.kind,
        .device = head.device,
        .inode = head.inode,
        .start = head.start,
        .records_at = head.records_at,
        .header_lines = head.header_lines,
        .header_state = head.header_state,
        .path = text_of(bytes + sizeof head, head.path_bytes),
        .header = text_of(bytes + sizeof head + head.path_bytes, head.header_bytes),
        .header_bytes = head.header_bytes,
    };
    if (source->path && source->header)
        return 0;
    spool_source_release(source);
    return err_set(err, ERR_MEMORY, "%s: no memory for it", path);
}

int spool_source_read(const char *dir, uint32_t number, struct spool_source *source,
                      struct err *err)
{
    char path[PATH_MAX], *bytes;
    size_t size;
    int rc = spool_name(path, dir, "source", number, err);

    if (rc)
        return rc;
    rc = file_read_all(path, 2 * SPOOL_CHUNK_BYTES, &bytes, &size, err);
    if (rc) {
        /* The spool is ours: what is missing in it is not the user's input. */
        err->code = rc == -ERR_INPUT ? ERR_SYSTEM : err->code;
        return -err->code;
    }
    rc = take_source(bytes, size, number, source, path, err);
    free(bytes);
    return rc;
}

void spool_source_release(struct spool_source *source)
{
    free(source->path);
    free(source->header);
    *source = (struct spool_source){0};
}

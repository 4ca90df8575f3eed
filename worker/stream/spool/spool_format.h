/* What a spool's files are made of; spool.h says what a spool is. Little-endian, every
 * piece with a checksum in its last 8 bytes.
 *
 *   index-N     a head, then a record for each chunk N * 65536 .. (N + 1) * 65536 - 1
 *   segment-N   a head, then bytes of one source
 *   source-N    a head, the source's path, its header line
 *
 * N is a decimal number that is never used again. */
#ifndef ROWHOUSE_WORKER_STREAM_SPOOL_SPOOL_FORMAT_H
#define ROWHOUSE_WORKER_STREAM_SPOOL_SPOOL_FORMAT_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/textfile.h"

enum {
    SPOOL_HEAD_BYTES = 64,
    SPOOL_INDEX_CHUNKS = 65536,                /* records in an index file */
    SPOOL_CHUNK_BYTES = TEXTFILE_LINE_MAX + 2, /* at most: one long line and its end */
    SPOOL_PATH_MAX = 4096,                     /* of a source, with its '\0' */
};

/* --- the index ------------------------------------------------------------------- */

struct spool_index_head {
    char magic[8];
    uint64_t first; /* the number of its first chunk */
    uint64_t zero[5];
    uint64_t checksum;
};

enum { SPOOL_END = 1 }; /* not a chunk: there will be none from here on */

struct spool_record {
    uint64_t number;
    uint32_t segment, source;
    uint32_t begin, end; /* bytes of the segment's file */
    uint64_t offset;     /* in the source, of the byte at `begin` */
    uint64_t line;       /* on which it begins, from 1 */
    uint32_t lines;      /* line ends in it */
    uint32_t flags;
    uint64_t zero;
    uint64_t checksum;
};

/* --- segments and sources -------------------------------------------------------- */

/* Where its first byte stands in the source. The next segment of a source may begin
 * before this one's last byte: from there on the next one counts. */
struct spool_segment_head {
    char magic[8];
    uint32_t segment, source;
    uint64_t offset, line;
    uint64_t zero[3];
    uint64_t checksum;
};

enum spool_kind { SPOOL_PIPE, SPOOL_FILE, SPOOL_OTHER };

/* What is known of a source's header line. */
enum spool_header {
    SPOOL_HEADER_OPEN,   /* nothing yet */
    SPOOL_HEADER_BEFORE, /* it is that of the file's contents before, unless the first
                          * line turns out to be the same one again */
    SPOOL_HEADER_KNOWN,  /* `header`, or that there is none */
};

struct spool_source {
    uint32_t number;
    enum spool_kind kind;
    uint64_t device, inode; /* of a file or pipe */
    uint64_t start;         /* a file's byte at which the source begins */
    uint64_t records_at;    /* the source's byte at which its records begin */
    uint32_t header_lines;  /* line ends before that byte */
    enum spool_header header_state;
    char *path;   /* as the job names it; owned */
    char *header; /* with its line end, then '\0'; owned */
    size_t header_bytes;
};

_Static_assert(sizeof(struct spool_index_head) == SPOOL_HEAD_BYTES, "format");
_Static_assert(sizeof(struct spool_record) == SPOOL_HEAD_BYTES, "format");
_Static_assert(sizeof(struct spool_segment_head) == SPOOL_HEAD_BYTES, "format");

/* --- functions ------------------------------------------------------------------- */

/* Puts the checksum of the bytes before it into the last 8 of `size` bytes. */
void spool_seal(void *bytes, size_t size);
bool spool_sealed(const void *bytes, size_t size);

/* Writes all of it at byte `at`; returns whether it could, and errno. */
bool spool_write_at(int fd, const void *bytes, size_t size, uint64_t at);

void spool_seal_index(struct spool_index_head *head, uint64_t first);
bool spool_index_is(const struct spool_index_head *head, uint64_t first);

/* Is it a whole record for chunk `number`, or the end (SPOOL_END) in its place? */
bool spool_record_is(const struct spool_record *record, uint64_t number);

void spool_seal_segment(struct spool_segment_head *head);
bool spool_segment_is(const struct spool_segment_head *head, uint32_t number);

/* The path of file `kind`-`number` in `dir`. -ERR_INPUT: too long. */
int spool_name(char path[PATH_MAX], const char *dir, const char *kind, uint64_t number,
               struct err *err);
/* Is `name` `kind`-N, as spool_name() writes it? */
bool spool_name_is(const char *name, const char *kind, uint64_t *number);

/* Is `name` a file that was being made when a process was killed? */
bool spool_name_unfinished(const char *name);

/* Writes source-N whole or not at all. -ERR_SYSTEM. */
int spool_source_write(const char *dir, const struct spool_source *source,
                       struct err *err);
/* Reads source-N. -ERR_SYSTEM: not there or not readable; -ERR_DAMAGE: names the file;
 * -ERR_MEMORY. After an error there is nothing to release. */
int spool_source_read(const char *dir, uint32_t number, struct spool_source *source,
                      struct err *err);
void spool_source_release(struct spool_source *source); /* zeroed is fine */

#endif

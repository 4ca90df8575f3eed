/* A spool: what an intake (intake.h) has read from streams that can be read only once
 * or that grow, on disk, as chunks that any process can read like a file, also while
 * more is coming.
 *
 * A chunk is a stretch of whole records of one source (standard input, a pipe, the
 * contents of a followed file) of at most SPOOL_CHUNK_BYTES. Chunks have numbers from 0
 * on in the order in which they became whole; a number always means the same bytes. A
 * source's header line is in none of its chunks. One thread for each `struct spool`. */
#ifndef ROWHOUSE_WORKER_STREAM_SPOOL_SPOOL_H
#define ROWHOUSE_WORKER_STREAM_SPOOL_SPOOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct spool;

struct spool_chunk {
    /* The chunk is bytes [begin, end) of this file; the last record of a source may
     * lack its line end. */
    const char *path;
    uint64_t begin, end;
    const char *name;    /* of its source, as the job names it; "-" is standard input */
    const char *header;  /* [header_bytes], then '\0': with its line end; "" without */
    size_t header_bytes; /* 0 if the intake was told that there are no headers */
    uint64_t line;       /* its first line's number in the source, from 1 */
    uint32_t lines;      /* line ends in it */
    uint32_t source;     /* the same number for all chunks of a source */
    uint64_t offset;     /* its first byte's place in the source */
};

/* Opens the spool in the folder `dir` (copied). -ERR_INPUT: there is none; -ERR_SYSTEM,
 * -ERR_MEMORY. */
int spool_open(const char *dir, struct spool **spool, struct err *err);
void spool_close(struct spool *spool); /* NULL is fine */

/* How many chunks there are now, those that were removed included, and whether that is
 * all there will ever be. -ERR_DAMAGE: a record is not what was written; -ERR_SYSTEM.
 */
int spool_published(struct spool *spool, uint64_t *chunks, bool *ended,
                    struct err *err);

/* Finds chunk `number`. What `chunk` points to is valid until the next call.
 * -ERR_AGAIN: there is none yet; -ERR_DAMAGE: its record, or what is said of its
 * source, is not what was written; -ERR_SYSTEM: also if it was removed; -ERR_MEMORY. */
int spool_chunk(struct spool *spool, uint64_t number, struct spool_chunk *chunk,
                struct err *err);

/* A source's name for people. */
const char *spool_name_shown(const char *name);

/* Removes the files of a spool from `dir`, and `dir` itself if nothing else is in it.
 * No intake may be writing to it. A `dir` that is not there is fine. -ERR_SYSTEM. */
int spool_remove(const char *dir, struct err *err);

#endif

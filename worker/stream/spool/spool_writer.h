/* The writing side of a spool: its segments and its index. What is on disk is at any
 * moment enough to go on from, also after kill -9: bytes are taken from a stream
 * straight into a segment's file, whose length says how far that has come, and a chunk
 * is a record in the index once all of it is there. One thread. */
#ifndef ROWHOUSE_WORKER_STREAM_SPOOL_SPOOL_WRITER_H
#define ROWHOUSE_WORKER_STREAM_SPOOL_SPOOL_WRITER_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "worker/stream/spool/spool_format.h"

/* A stretch of a source. Places are counted from the source's first byte. */
struct spool_segment {
    uint32_t number, source;
    uint64_t offset;    /* of its first byte */
    uint64_t bytes;     /* it has, in its file behind the head */
    uint64_t published; /* place up to which there are chunks */
    uint64_t line;      /* of that place */
    uint64_t chunks;    /* 1 + the last chunk in it, 0 = none */
    bool current;       /* more bytes come here */
    int fd;             /* -1 = closed */
};

struct spool_writer {
    char *dir; /* owned */
    int lock;
    int index;                      /* the last index file */
    uint64_t first_index;           /* the first that is there */
    uint64_t published;             /* chunks, from 0 on */
    bool ended;                     /* the end is in the index */
    bool shared;                    /* with other hosts: flush before publishing */
    uint64_t floor;                 /* chunks below it are not needed */
    uint64_t live;                  /* bytes in segments */
    struct spool_segment **segment; /* owned; by rising number */
    uint32_t segments, room;
    uint32_t next_segment, next_source;
};

/* Opens the spool in `dir`, made when missing, to go on writing: chunks whose records a
 * crash has left damaged at the end of the index, or whose bytes are not there, are
 * dropped (to be cut again), and so is the end. `floor`: chunks below it are not needed
 * any more. `known`: the caller knows of this many chunks (0 for a new run). Every
 * source has a last segment, which is `current`; all are closed (fd -1).
 *
 * -ERR_INPUT: somebody else is writing to it; -ERR_DAMAGE: fewer than `known` chunks,
 * chunks from `floor` on that are gone, or a damaged record before a whole one, each
 * with its number; -ERR_SYSTEM; -ERR_MEMORY. After an error there is nothing to close.
 */
int spool_writer_open(struct spool_writer *writer, const char *dir, uint64_t floor,
                      uint64_t known, struct err *err);
void spool_writer_close(struct spool_writer *writer); /* zeroed is fine */

/* Begins a source: gives it a number, writes what is known of it, and makes its first
 * segment. -ERR_SYSTEM, -ERR_MEMORY. */
int spool_writer_begin(struct spool_writer *writer, struct spool_source *source,
                       struct spool_segment **segment, struct err *err);

/* Opens a segment's file, if it is not open. -ERR_SYSTEM. */
int spool_segment_open(struct spool_writer *writer, struct spool_segment *segment,
                       struct err *err);

/* Notes that the segment's file has `n` bytes more. */
void spool_writer_grew(struct spool_writer *writer, struct spool_segment *segment,
                       uint64_t n);

/* Makes [published, end) of the source the next chunk; `lines` line ends are in it. The
 * segment must be open. -ERR_SYSTEM. */
int spool_writer_publish(struct spool_writer *writer, struct spool_segment *segment,
                         uint64_t end, uint32_t lines, struct err *err);

/* Closes a current segment and begins the next one of its source with the bytes behind
 * what is published. -ERR_SYSTEM, -ERR_MEMORY: *segment is as before. */
int spool_writer_roll(struct spool_writer *writer, struct spool_segment **segment,
                      struct err *err);

/* No more bytes come to this segment, and all it has is published. */
void spool_writer_done(struct spool_segment *segment);

/* Nothing will come any more: says so in the index. -ERR_SYSTEM. */
int spool_writer_end(struct spool_writer *writer, struct err *err);

/* Chunks below `floor` are not needed any more: removes what has only such. */
int spool_writer_floor(struct spool_writer *writer, uint64_t floor, struct err *err);

/* For spool_recover.c: room for one more segment; -ERR_MEMORY. */
int spool_writer_add(struct spool_writer *writer, const struct spool_segment *segment,
                     struct err *err);
/* And: has a source a segment?; removes a file (one that is not there is fine);
 * -ERR_SYSTEM. */
bool spool_writer_has(const struct spool_writer *writer, uint32_t source);
int spool_writer_unlink(struct spool_writer *writer, const char *kind, uint64_t number,
                        struct err *err);
/* And the index file for chunk `number` on, newly made; -ERR_SYSTEM. */
int spool_writer_index(struct spool_writer *writer, uint64_t number, struct err *err);

#endif

/* The intake: reads streams that can be read only once, or that grow, into a spool
 * (spool.h), from which any worker can read them like files.
 *
 * Sources are standard input ("-"), named pipes and, when they are followed, files. A
 * thread reads them as they come, and publishes chunks: when 1 MiB of whole records is
 * there, or after 0.2 s. A quiet source holds up none of the others.
 *
 * - Pipes: the kernel moves bytes straight into the spool, so kill -9 at any moment
 *   loses none; a pipe that another process kept open is gone on with where it stands.
 *   A pipe ends when its last writer is gone (a named one after `patience_ms`).
 * - Followed files never end. One that another file replaces under its name (rotation)
 *   is read to its end first, also after a restart, as long as it is in the same
 * folder. One that is cut down in place is read from its beginning again, and the log
 * says so; what came between the last look and the cut is lost, and nobody can know of
 * it. A file that came and went between two looks is not seen.
 * - Terminals and sockets are read and then written: what is between the two when the
 *   process is killed is lost; the log says so once.
 * - The spool has at most `spool_max` bytes that are not below the floor: then sources
 *   wait, and their writers block.
 *
 * The spool outlives processes, not the loss of power: intake_sync() before noting a
 * position somewhere else. intake_...() may be called by any thread. */
#ifndef ROWHOUSE_WORKER_STREAM_SPOOL_INTAKE_H
#define ROWHOUSE_WORKER_STREAM_SPOOL_INTAKE_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

struct intake;

enum { INTAKE_SPOOL_MIN = 4 << 20 }; /* of spool_max, and for each path 64 KiB more */

/* Borrowed by intake_start(). */
struct intake_config {
    const char *dir;         /* the spool's folder; made when missing */
    const char *const *path; /* [paths], each different */
    uint32_t paths;
    const int *fd;   /* [paths] to read from, dup()ed, -1 = open it; NULL = all -1 */
    bool follow;     /* files grow and are rotated; else they end at their end */
    bool header;     /* the first record of each source is its header line */
    bool quotes;     /* CSV: line ends between double quotes end no record */
    bool same_pipes; /* the pipes are those that the process before had open */
    bool shared;     /* other hosts read the spool: bytes are flushed before their chunk
                      * is published */
    /* How long a named pipe without a writer waits for the next one, and a file without
     * its name for the last bytes of who had it open. */
    int64_t patience_ms;
    uint64_t spool_max; /* bytes */
    uint64_t floor;     /* chunks below it are not needed any more */
    uint64_t known;     /* this many chunks are known to the caller; 0 for a new run */
};

/* Opens the spool and the sources, and starts the thread. What the spool has already of
 * the same sources is gone on with; what it has of others is published first.
 *
 * -ERR_INPUT: a path that is not there, or a folder, spool_max too small, the spool in
 * use by another process; -ERR_DAMAGE: the spool is not whole (spool_writer.h);
 * -ERR_SYSTEM, -ERR_MEMORY. */
int intake_start(const struct intake_config *config, struct intake **intake,
                 struct err *err);

/* Chunks so far. */
uint64_t intake_published(const struct intake *intake);

/* Has every source ended? Then what intake_published() says from now on is final. */
bool intake_ended(const struct intake *intake);

/* 0, or the error that has stopped the thread: -ERR_INPUT: a record of more than 1 MiB,
 * compressed bytes; -ERR_SYSTEM: a read or write failed, the disk is full. Nothing that
 * was read before is lost. */
int intake_check(const struct intake *intake, struct err *err);

/* Chunks below `floor` are not needed any more: their room is given back. */
void intake_floor(struct intake *intake, uint64_t floor);

/* Makes what is published by now durable. -ERR_SYSTEM. */
int intake_sync(const struct intake *intake, struct err *err);

/* Stops the thread, at once and wherever its sources stand. The spool stays, and can be
 * gone on with. NULL is fine. */
void intake_stop(struct intake *intake);

#endif

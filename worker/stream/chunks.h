/* The chunks of a list of files: what of the data is read, and leased, at a time. A
 * plain text file is cut into stretches of about data.chunk bytes, a packed file into
 * its blocks; a compressed file is one chunk, since it can be read only from its start.
 * They are the same on every machine that sees the same files. */
#ifndef ROWHOUSE_WORKER_STREAM_CHUNKS_H
#define ROWHOUSE_WORKER_STREAM_CHUNKS_H

#include "common/job.h"
#include "worker/stream/filelist.h"
#include "worker/stream/source.h"

/* Of a file's bytes those from `begin` to before `end`. */
struct chunk {
    uint32_t file; /* its number in the list */
    uint64_t begin, end;
};

struct chunks {
    struct filelist list;
    struct chunk *chunk; /* owned; [count], in the order of the files */
    uint32_t count;      /* at most CHUNKS_MAX */
    uint64_t bytes;      /* of the files, as they lie on the disk */
    uint64_t digest;     /* XXH3-64 over the files' sizes, their first and last bytes */
};

enum { CHUNKS_MAX = 1 << 30 };

/* Looks at the files of the list `files`; `why` names the setting it came from.
 * -ERR_INPUT: the errors of filelist_init(), a file that is missing, a directory or a
 * pipe, more than CHUNKS_MAX chunks; -ERR_SYSTEM; -ERR_MEMORY. After an error there is
 * nothing to release. */
int chunks_open(struct chunks *chunks, const struct job *job, const char *files,
                const char *why, struct err *err);
void chunks_release(struct chunks *chunks); /* zeroed is fine */

/* What of which file chunk `number` is; its path is borrowed from `chunks`. */
struct piece chunks_piece(const struct chunks *chunks, uint32_t number);

#endif

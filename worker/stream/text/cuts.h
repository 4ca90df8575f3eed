/* Where a text file may be cut into pieces (worker/stream/source.h): anywhere, but for
 * fields in quotes, which may have ends of lines in them. Any thread. */
#ifndef ROWHOUSE_WORKER_STREAM_TEXT_CUTS_H
#define ROWHOUSE_WORKER_STREAM_TEXT_CUTS_H

#include "common/job.h"

/* Moves each of the ascending places[0..n) of a file that is in quotes behind them;
 * they stay ascending, though some may then be equal. The file is read once, up to the
 * last place, at memory speed; not at all where the job's files have no quotes, nor one
 * that is compressed or no regular file. -ERR_SYSTEM: it cannot be read; -ERR_MEMORY.
 */
int cuts_move(const struct job *job, const char *path, uint64_t *places, uint32_t n,
              struct err *err);

#endif

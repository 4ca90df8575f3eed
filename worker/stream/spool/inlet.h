/* An inlet: one path of an intake, whose contents it takes into the spool, one source
 * after the other. One thread. */
#ifndef ROWHOUSE_WORKER_STREAM_SPOOL_INLET_H
#define ROWHOUSE_WORKER_STREAM_SPOOL_INLET_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "worker/stream/spool/cutter.h"
#include "worker/stream/spool/spool_writer.h"

enum { INLET_QUIET_MS = 200 }; /* whole records wait no longer for more of them */

/* What all inlets of an intake share. */
struct inlets {
    struct spool_writer writer;
    bool follow, header, quotes, same_pipes;
    int64_t patience_ms; /* as in intake.h */
    uint64_t spool_max, segment_max;
    char *buffer; /* owned */
};

struct inlet {
    char *path;  /* owned; "-" is standard input */
    int fd;      /* owned; -1 = there is nothing to read */
    bool ended;  /* and there will not be */
    bool at_end; /* of a file, when it was looked at last */
    bool copies; /* a pipe that cannot be spliced */
    struct spool_source source;
    struct spool_segment *segment; /* where its bytes go; NULL = nowhere yet */
    struct cutter cutter;
    int64_t whole_since; /* there are whole records not published, since; 0 = none */
    int64_t gone_since;  /* no writer, or another file under the name; 0 = not so */
};

/* Goes on with the source that segment `last` of the spool belongs to, or what is left
 * of it: the inlet gets what is known of it, and no descriptor. -ERR_SYSTEM,
 * -ERR_DAMAGE, -ERR_MEMORY. The inlet is to be released in any case. */
int inlet_recover(struct inlets *inlets, struct inlet *inlet,
                  struct spool_segment *last, struct err *err);

/* Opens what inlet->path names (or takes over `fd` if it is not -1), to go on with what
 * it has recovered if that is the same stream, and else with a new source. -ERR_INPUT:
 * there is no such file, or a folder; -ERR_SYSTEM, -ERR_MEMORY. */
int inlet_open(struct inlets *inlets, struct inlet *inlet, int fd, struct err *err);

/* Publishes what whole records are left of a source that does not go on, and says in
 * the log if a part of one is left behind them. -ERR_... */
int inlet_settle(struct inlets *inlets, struct inlet *inlet, const char *why,
                 struct err *err);

/* Takes what there is, at most about 1 MiB, and publishes. *moved becomes true if it
 * took anything. -ERR_INPUT: a record that is too long, compressed bytes; -ERR_SYSTEM,
 * -ERR_MEMORY. */
int inlet_turn(struct inlets *inlets, struct inlet *inlet, int64_t now, bool *moved,
               struct err *err);

/* Lets go of segments in which nothing is needed any more, also the one that it fills.
 */
int inlet_shed(struct inlets *inlets, struct inlet *inlet, struct err *err);

/* Can poll() tell when there is more? */
bool inlet_polls(const struct inlet *inlet);

void inlet_release(struct inlet *inlet); /* zeroed with fd -1 is fine */

#endif

/* The reader thread: turns a share of the examples into batches ahead of the trainer,
 * through one bounded queue. Batches are allocated once and go round.
 *
 * The trainer's thread calls everything here; the reader thread is inside. */
#ifndef ROWHOUSE_WORKER_FEEDER_H
#define ROWHOUSE_WORKER_FEEDER_H

#include "common/range.h"
#include "worker/batch.h"
#include "worker/negatives.h"
#include "worker/stream/data.h"

struct feeder;

/* What is to be read: the positions of `range` in the order of an epoch. The ranges are
 * leases (common/lease.h) that follow each other. */
struct pass {
    const struct data *data; /* borrowed until the feeder reads something else */
    enum split_part part;
    uint32_t epoch;            /* 0: the examples as they stand, not shuffled */
    const struct range *range; /* [ranges]; copied */
    uint32_t ranges;
    uint64_t lease; /* the number of range[0] */
    bool open;      /* more may follow: feeder_extend() */
    uint64_t taken; /* what batches count up from */
    uint64_t bad_rows;
    bool read_only;
};

/* `ahead`: batches that may be outside with the trainer; a few more are being filled.
 * `blueprint` is borrowed. */
int feeder_create(const struct blueprint *blueprint, uint32_t servers, uint32_t ahead,
                  struct feeder **feeder, struct err *err);
void feeder_destroy(struct feeder *feeder); /* ends a pass; NULL is fine */

/* As supply_use_negatives(), while no pass runs. */
void feeder_use_negatives(struct feeder *feeder, const struct negatives *negatives);

/* Reads ahead for the pass that will probably begin next. If another one begins, what
 * was read is forgotten. Not between feeder_begin() and feeder_end(). */
int feeder_prepare(struct feeder *feeder, const struct pass *pass, struct err *err);
/* Adds leases to the pass that runs, which is open: those of the list, whose first has
 * number `lease`, that it does not know yet; and says whether it stays so. */
int feeder_extend(struct feeder *feeder, uint64_t lease, const struct range *range,
                  uint32_t ranges, bool open, struct err *err);
/* Starts a pass; one that is prepared may be its beginning. Behind its end the reader
 * goes on with `next`, as feeder_prepare(); NULL: nobody knows what comes next. */
int feeder_begin(struct feeder *feeder, const struct pass *pass,
                 const struct pass *next, struct err *err);
/* The next batch, cut; NULL at the end, with !wait when none is ready, where an open
 * pass has nothing more for now, and when none has become ready for a second: then
 * feeder_is_slow(), and whoever waits looks around before it asks again. */
struct batch *feeder_next(struct feeder *feeder, bool wait);
/* Is there neither a batch nor the end of the pass, nor of what it has? */
bool feeder_is_slow(struct feeder *feeder);
/* Where a pass stands that is at its end, or open and has nothing more for now: at the
 * end of its last lease, which may have ended without an example. */
struct standing {
    uint64_t lease, position;
    uint64_t bad_rows; /* left out of it up to there, as of supply_bad_rows() */
};

/* False: there is more, it had nothing, or an error has ended it. */
bool feeder_standing(struct feeder *feeder, struct standing *standing);
/* The sentence about the first row that was left out; "" for none. Valid as long as the
 * feeder. */
const char *feeder_bad_row(struct feeder *feeder);
/* Has the reader ended? An open pass it ends only with an error. */
bool feeder_is_over(struct feeder *feeder);
/* Gives a batch back to be filled again. */
void feeder_return(struct feeder *feeder, struct batch *batch);
/* Ends the pass, also in its middle; batches that are outside count as returned.
 * Returns the reader's error, if it had one. */
int feeder_end(struct feeder *feeder, struct err *err);

#endif

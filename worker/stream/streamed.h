/* Data that is not held in memory: which chunks there are, and what must be known of
 * them before training. Made once, then shared read-only by any number of threads, each
 * with walks of its own (worker/stream/walk.h). */
#ifndef ROWHOUSE_WORKER_STREAM_STREAMED_H
#define ROWHOUSE_WORKER_STREAM_STREAMED_H

#include "common/facts.h"
#include "worker/stream/walk.h"

struct streamed {
    struct schema files;  /* what they have */
    struct schema schema; /* and behind that, what side tables have */
    struct sides *sides;  /* owned; NULL = none */
    /* By enum split_part: the chunks of data.train, data.validation and data.test. A
     * part without files of its own is what the split makes of data.train. */
    struct chunks chunks[SPLIT_TEST + 1];
    bool spooled;      /* data.train is streams: no chunks, but those of ... */
    const char *spool; /* ... this spool, borrowed; NULL: nothing is trained */
    struct data_facts facts;
    /* What was fitted to the training part, as prepare_save() writes it; NULL: nothing
     * is prepared. Owned; [facts.preparation_bytes] */
    unsigned char *preparation;
    struct bad_rows bad_rows; /* left out */
};

/* Looks at the files and reads them all: so that a wrong line is found before hours of
 * work, and for the facts. Where the job prepares columns they are read twice: that is
 * fitted first, to the training part alone, or taken from `saved` (NULL: it is fitted).
 * facts.digest is that of the chunks; counts and label_mean are as of dataset_load().
 *
 * `*stop` (may be NULL) set by another thread or a signal ends it with
 * -ERR_INTERRUPTED. Errors as of split_can_stream(), chunks_open(), source_next(), of a
 * preparation, and -ERR_INPUT: nothing to train on, nothing in files that are named.
 * After an error there is nothing to release. */
int streamed_open(struct streamed *streamed, const struct job *job,
                  const struct saved_preparation *saved, const volatile bool *stop,
                  struct err *err);
/* The same where data.train is streams, of which nobody knows what will come, so that
 * nothing can be fitted to them: facts.train_examples and positions are 0, and
 * label_mean is that of the first chunk of the spool, for which it waits, if that is
 * still there. `spool` NULL: nothing is trained, and data.train is not looked at. */
int streamed_open_spool(struct streamed *streamed, const struct job *job,
                        const char *spool, const struct saved_preparation *saved,
                        const volatile bool *stop, struct err *err);
void streamed_release(struct streamed *streamed); /* zeroed is fine */

/* A walk through a part. `job` and `streamed` are borrowed. */
int streamed_walk(const struct streamed *streamed, const struct job *job,
                  enum split_part part, struct walk **walk, struct err *err);

/* The positions of a part: its walks go through [0, streamed_end()). */
uint64_t streamed_end(const struct streamed *streamed, const struct job *job,
                      enum split_part part);

#endif

/* Progress for people: one line on a terminal that is redrawn, or one line an epoch.
 *
 *   epoch 3/20 [#########-----------]  47 %  loss 0.7312  1.24 M examples/s  0:12 left
 *   epoch 3/20  loss 0.7312  1.24 M examples/s  0.8 s
 *
 * One thread. Writing never fails: a line that cannot be written is lost. */
#ifndef ROWHOUSE_COMMON_PROGRESS_H
#define ROWHOUSE_COMMON_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { PROGRESS_LINE_MAX = 256, PROGRESS_PERIOD_MS = 100 };

struct progress {
    int fd;
    bool terminal, quiet;
    uint32_t epochs;
    bool drawn;      /* is a bar on the terminal? */
    int64_t next_ms; /* no bar is drawn before */
};

/* Where an epoch stands. */
struct progress_state {
    uint32_t epoch, epochs; /* from 1; both as the report counts them */
    uint64_t done, total;   /* examples of the epoch */
    double loss;            /* mean of those done */
    double rate;            /* examples a second */
    double seconds_left;    /* of the whole run; negative or NaN: not known */
};

/* Lines go to the file descriptor `fd` (borrowed), redrawn if it is a `terminal`, none
 * at all if `quiet`. `epochs` is the total that epochs are numbered up to. */
void progress_init(struct progress *progress, int fd, bool terminal, bool quiet,
                   uint32_t epochs);

/* Tells where epoch `epoch` (from 1) stands; as often as one likes: a terminal's bar is
 * drawn every PROGRESS_PERIOD_MS at most. See struct progress_state. */
void progress_update(struct progress *progress, uint32_t epoch, uint64_t done,
                     uint64_t total, double loss, double rate, double seconds_left);

/* An epoch is done and took `seconds`: prints its line, with `more` ("" = nothing) at
 * its end; on a terminal only the last one's, in place of the bar, and those with more.
 */
void progress_epoch_done(struct progress *progress, uint32_t epoch, double loss,
                         double rate, double seconds, const char *more);

/* Wipes the bar off the terminal: before anything else is printed, and at the end. */
void progress_clear(struct progress *progress);

/* The texts themselves, without line end; at most `size` bytes with the final zero.
 * Return out. */

/* The bar, in at most `columns` columns: it gets shorter first, then things fall off
 * its end. */
char *progress_format_bar(const struct progress_state *state, uint32_t columns,
                          char *out, size_t size);
char *progress_format_epoch(uint32_t epoch, uint32_t epochs, double loss, double rate,
                            double seconds, char *out, size_t size);
/* "1.24 M", "853 k", "12": three digits. */
char *progress_format_count(double count, char *out, size_t size);
/* "0:12", "12:03", "1:02:03" */
char *progress_format_time(double seconds, char *out, size_t size);

#endif

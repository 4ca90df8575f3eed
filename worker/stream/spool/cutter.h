/* Where the bytes of a stream can be cut: behind the ends of records. It is shown all
 * bytes once, in order, and counts lines on the way. Plain data; one thread. */
#ifndef ROWHOUSE_WORKER_STREAM_SPOOL_CUTTER_H
#define ROWHOUSE_WORKER_STREAM_SPOOL_CUTTER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct cutter {
    bool quotes;     /* CSV: a line end between quotes ends no record */
    bool first_only; /* stop behind the first record that ends: the header */
    bool quoted;     /* the next byte is between quotes */
    uint64_t seen;   /* bytes of the stream that it was shown */
    uint64_t begin;  /* whole records are in [begin, end) of the stream */
    uint64_t end;
    uint64_t line;  /* of `begin`, from 1 */
    uint32_t lines; /* line ends in [begin, end) ... */
    uint32_t more;  /* ... and in [end, seen) */
};

/* Starts at byte `at` of the stream, the first byte of a record and of line `line`. */
void cutter_init(struct cutter *cutter, bool quotes, uint64_t at, uint64_t line);

/* Looks at the next `n` bytes, at most until [begin, seen) has `max` bytes, and returns
 * how many it looked at. */
size_t cutter_see(struct cutter *cutter, const char *bytes, size_t n, uint64_t max);

/* The stream has ended: what is left is a record, though its line end is missing. */
void cutter_finish(struct cutter *cutter);

/* [begin, end) has been dealt with; goes on behind it. */
void cutter_take(struct cutter *cutter);

#endif

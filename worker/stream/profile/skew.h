/* How unevenly a stream's occurrences fall on its keys, in one pass and bounded memory:
 * the exact counts of a sample of the keys, those with the smallest hashes (Gibbons
 * 2001, "Distinct sampling"). Which keys are in it depends on the keys alone; with few
 * keys it is all of them. Mergeable. One thread at a time. */
#ifndef ROWHOUSE_WORKER_STREAM_PROFILE_SKEW_H
#define ROWHOUSE_WORKER_STREAM_PROFILE_SKEW_H

#include <stdbool.h>

#include "worker/stream/profile/sketch.h"

struct skew {
    struct skew_key {
        uint64_t key, count; /* count 0 = empty */
    } * slot;                /* [slots], owned */
    uint32_t slots, capacity, keys;
    uint32_t halvings; /* a key is in the sample if so many bits of its hash are 0 */
    uint64_t total;
};

/* capacity: keys, 1 .. 2^24. -ERR_MEMORY. */
int skew_create(struct skew *skew, uint32_t capacity, struct err *err);
void skew_release(struct skew *skew); /* zeroed is fine */
void skew_add(struct skew *skew, uint64_t key);
void skew_merge(struct skew *to, const struct skew *from);

/* How many different keys there are: exact while they all are in the sample, then with
 * a standard error of 1.2 / sqrt(capacity). */
double skew_keys(const struct skew *skew);

/* Which share of all occurrences the most frequent keys have: for each share of the
 * keys in share[0..n), rising, 0..1, into reach[]. What the sample has by chance of the
 * most frequent ones is replaced by what `frequent`, of the same stream, knows of them.
 * -ERR_MEMORY. */
int skew_curve(const struct skew *skew, const struct frequent *frequent,
               const double *share, uint32_t n, double *reach, struct err *err);

#endif

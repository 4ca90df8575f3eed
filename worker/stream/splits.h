/* Splits: which examples are trained on, and which are held out to validate and to test
 * (data.split.*). Nothing that is held out is trained on, and no preparation is fitted
 * on it.
 *
 *   random         each example by (data.split.seed, its number in the order of the
 *                  files), or, where data are streamed, (seed, its file's number, its
 *                  place in the file)
 *   user           whole users by (seed, key): nobody is on both sides
 *   time           the newest examples: everything trained on is older than everything
 *                  held out
 *   leave_one_out  each user's last example by time, then by the order of the files; of
 *                  users with fewer than three nothing is held out */
#ifndef ROWHOUSE_WORKER_STREAM_SPLITS_H
#define ROWHOUSE_WORKER_STREAM_SPLITS_H

#include "worker/stream/block.h"

enum split_part { SPLIT_TRAIN, SPLIT_VALIDATION, SPLIT_TEST };

/* The part that is scored at the end of a run and by `rowhouse evaluate`
 * (evaluate.part). */
static inline enum split_part split_scored(const struct job *job)
{
    return job->evaluate.part == PART_VALIDATION ? SPLIT_VALIDATION : SPLIT_TEST;
}

/* Is example `number` (from 0, in file order) of the test part, with a random split?
 * The share data.split.test of all numbers is. Any thread. */
bool split_is_test(const struct job *job, uint64_t number);
/* The same for all parts. */
enum split_part split_random(const struct job *job, uint64_t number);

/* What data in memory are split by, beside their numbers: what data.split.by does not
 * ask for need not be there. */
struct split_keys {
    const uint64_t *user; /* [n]; that there is one says split_check() */
    const int64_t *time;  /* [n], microseconds; TIME_MISSING is an error */
};

/* The part of each of n examples in file order: part[n], enum split_part. -ERR_INPUT:
 * an example without time; -ERR_MEMORY. */
int split_all(const struct job *job, const struct split_keys *keys, uint64_t n,
              uint8_t *part, struct err *err);

/* Has every example of a block that is to be split what data.split.by goes by?
 * -ERR_INPUT says what example *at lacks; the caller knows where that stands. */
int split_check(const struct job *job, const struct block *block, uint32_t *at,
                struct err *err);

/* Can the examples be split without knowing all of them? -ERR_INPUT says why not. */
int split_can_stream(const struct job *job, struct err *err);
/* keep[i] = is example i of the block of that part? For what split_can_stream(); `file`
 * is the number of the block's file. keep: [block->n]. Errors and *at as of
 * split_check(). */
int split_keep(const struct job *job, enum split_part part, uint32_t file,
               const struct block *block, uint8_t *keep, uint32_t *at, struct err *err);

#endif

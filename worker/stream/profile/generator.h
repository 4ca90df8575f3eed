/* Made-up logs of any size: who met what, when, and how it was liked. Example number i
 * depends on the plan and on i alone (common/rng.h), so nothing is kept: not the users,
 * not the items, not what came before. Any thread.
 *
 * - Items are popular by Zipf's law, users active by a flatter one; ids are scattered,
 *   so that they say nothing about either.
 * - Every user and item has a hidden vector of `dim` numbers and a bias. Of three items
 *   that popularity puts before a user it takes the one that fits its vector best.
 * - The label is a rating 0.5 .. 5 in halves: a mean, the biases, how well the vectors
 *   fit, and noise. A user may meet an item again.
 * - Time rises evenly over a year, whatever the number of examples. */
#ifndef ROWHOUSE_WORKER_STREAM_PROFILE_GENERATOR_H
#define ROWHOUSE_WORKER_STREAM_PROFILE_GENERATOR_H

#include "common/zipf.h"
#include "worker/stream/block.h"

enum { GENERATOR_DIM_MAX = 64 };
#define GENERATOR_EXAMPLES_MAX ((uint64_t)1 << 53)
#define GENERATOR_IDS_MAX ((uint64_t)1 << 48) /* users, items */
#define GENERATOR_NOISE_MAX 10.0

struct generator_plan {
    uint64_t examples;     /* 1 .. GENERATOR_EXAMPLES_MAX */
    uint64_t users, items; /* 1 .. GENERATOR_IDS_MAX */
    uint64_t seed;
    uint32_t dim; /* of hidden vectors, 1 .. GENERATOR_DIM_MAX */
    double zipf;  /* exponent of items, 0 .. ZIPF_EXPONENT_MAX */
    double noise; /* deviation, in points of the label, 0 .. GENERATOR_NOISE_MAX */
};

/* A permutation of 0 .. n-1. */
struct scatter {
    uint64_t n, mask, factor[3], shift;
};

struct generator {
    struct generator_plan plan;
    struct zipf users, items;
    struct scatter user_ids, item_ids;
    uint64_t draws, user_side, item_side; /* what is hashed with numbers and ids */
    double fit_scale;
};

struct generated {
    uint64_t user, item; /* 1 .. users, 1 .. items */
    uint32_t halves;     /* the label, twice: 1 .. 10 */
    int64_t seconds;     /* since 1970 UTC */
};

void generator_init(struct generator *generator, const struct generator_plan *plan);

/* Example `number` < plan.examples. */
void generator_example(const struct generator *generator, uint64_t number,
                       struct generated *example);

/* What the columns user, item, label and time are; the schema of generator_fill(). */
struct schema generator_schema(void);
/* Fills a block of that schema with the examples from `first` on, at most its capacity.
 */
void generator_fill(const struct generator *generator, uint64_t first,
                    struct block *block);

#endif

/* Facts about a data set on which all workers of a run must agree. */
#ifndef ROWHOUSE_COMMON_FACTS_H
#define ROWHOUSE_COMMON_FACTS_H

#include <stdint.h>
#include <stdio.h>

struct data_facts {
    uint64_t train_examples, test_examples;
    uint64_t digest;   /* XXH3-64 over what is read, in file order */
    double label_mean; /* of the training part */
    /* The training part as places to be dealt (common/lease.h): positions 0 to
     * `positions` - 1, cut at multiples of `grain` only. 0 and 0: the places in an
     * epoch's shuffled order, one for each example, cut anywhere. */
    uint64_t positions, grain;
    /* What was fitted to the training part (docs/preparation.md): its bytes and their
     * XXH3-64. 0 bytes: nothing is prepared. */
    uint64_t preparation_bytes, preparation_digest;
    uint64_t bad_rows; /* that data.bad_rows: skip has left out */
};

/* The file in checkpoint.dir in which a run's preparation waits to be put into
 * checkpoints; `name` has PREPARATION_NAME_MAX bytes. */
enum { PREPARATION_NAME_MAX = 40 };

static inline void preparation_name(uint64_t digest, char *name)
{
    snprintf(name, PREPARATION_NAME_MAX, "preparation-%016llx",
             (unsigned long long)digest);
}

#endif

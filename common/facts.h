/* Facts about a data set on which all workers of a run must agree. */
#ifndef ROWHOUSE_COMMON_FACTS_H
#define ROWHOUSE_COMMON_FACTS_H

#include <stdint.h>

struct data_facts {
    uint64_t train_examples, test_examples;
    uint64_t digest;   /* XXH3-64 over all keys and labels in file order */
    double label_mean; /* of the training part */
    /* The training part as places to be dealt (common/lease.h): positions 0 to
     * `positions` - 1, cut at multiples of `grain` only. 0 and 0: the places in an
     * epoch's shuffled order, one for each example, cut anywhere. */
    uint64_t positions, grain;
};

#endif

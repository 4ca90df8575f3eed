/* How an epoch's data are dealt to workers. An epoch is a run of *positions*, a *lease*
 * is one range of them, and the leases of a worker are numbered from 1 in each training
 * order. Of a position nobody but the reader of the data knows more than that it comes
 * after a lower one: how many examples a range holds is not to be seen from its ends.
 *
 * Sizes follow guided self-scheduling (Polychronopoulos and Kuck 1987): a piece is a
 * part of what is left, so that there are few while much is left, and small ones when
 * it comes to ending together. No state; any thread. */
#ifndef ROWHOUSE_COMMON_LEASE_H
#define ROWHOUSE_COMMON_LEASE_H

#include "common/facts.h"
#include "common/range.h"

/* How pieces are cut. */
struct lease_rule {
    uint64_t positions; /* of a whole epoch */
    uint64_t grain;     /* leases begin and end at multiples of it, >= 1 */
    uint64_t least;     /* no piece is smaller while there are more */
    uint32_t workers;   /* >= 1 */
};

/* The positions of an epoch of such data. */
uint64_t lease_positions(const struct data_facts *facts);

/* The rule for data that `workers` workers train in batches of `batch` examples. */
struct lease_rule lease_rule_of(const struct data_facts *facts, uint64_t batch,
                                uint32_t workers);

/* How much a worker gets when so many positions are left, a multiple of the grain; all
 * of it, when there is only one. */
uint64_t lease_piece(const struct lease_rule *rule, uint64_t left);

/* The first lease of a worker in an epoch that nobody has begun: known to all without
 * being told, so that it can be read ahead. May be empty. */
struct range lease_first(const struct lease_rule *rule, uint32_t worker);

/* Where to cut `range` so that its beginning has about `wanted` positions: at a
 * multiple of the grain, or at its end. */
uint64_t lease_cut(const struct lease_rule *rule, const struct range *range,
                   uint64_t wanted);

/* From here on its second half is being worked on, in grains. */
uint64_t lease_half(const struct lease_rule *rule, const struct range *range);

#endif

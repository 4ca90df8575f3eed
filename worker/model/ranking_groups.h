/* Lists of items as groups of equal scores, best first, with any number of relevant
 * items: what worker/model/ranking.h sums over lists, in the mean over all orders of
 * the equals, exactly. Any thread; nothing allocates. */
#ifndef ROWHOUSE_WORKER_MODEL_RANKING_GROUPS_H
#define ROWHOUSE_WORKER_MODEL_RANKING_GROUPS_H

#include "worker/model/ranking.h"

/* Items with the same score, of which some are relevant. */
struct ranking_group {
    uint64_t items, relevant;
};

/* What is ranked for somebody: score[n], among them those of the relevant items, once
 * more in relevant[relevants]; and left_out[left_outs], once more those of items that
 * have no place on the list, none of which is relevant. */
struct ranking_scores {
    const float *score;
    float *relevant; /* sorted by the call, best first */
    const float *left_out;
    uint32_t n, relevants, left_outs;
};

/* The groups of which something is among the first k, as far as the last relevant item
 * there: group[], with room for 3 * relevants. With TIES_EXPECTED the items of a group
 * are in any order; else those that are relevant stand by themselves, behind or ahead
 * of the others. Returns how many there are. */
uint32_t ranking_find_groups(const struct ranking_scores *scores, uint32_t k,
                             enum ranking_ties ties, struct ranking_group *group);

/* Adds a list of n groups, `total` items being relevant, listed or not. A list without
 * any (total 0) is not counted. */
void ranking_add_groups(struct ranking_sums *sums, const struct ranking_group *group,
                        uint32_t n, uint64_t total, uint32_t k);

#endif

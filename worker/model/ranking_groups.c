#include "worker/model/ranking_groups.h"

#include <math.h>
#include <stdlib.h>

/* --- from scores to groups -------------------------------------------------------- */

static int best_first(const void *a, const void *b)
{
    struct ranking_place place = ranking_place(*(const float *)a, b, 1);

    return place.above ? 1 : place.equal ? 0 : -1;
}

/* Where a score stands among all that are on the list, itself included. */
static struct ranking_place place_on_list(const struct ranking_scores *scores,
                                          float score)
{
    struct ranking_place all = ranking_place(score, scores->score, scores->n);
    struct ranking_place out = ranking_place(score, scores->left_out,
                                             scores->left_outs);

#ifndef MUTANT_RANKING_LEFT_OUT
    all.above -= out.above;
    all.equal -= out.equal;
#else
    (void)out;
#endif
    return all;
}

/* Adds a group of equals as `ties` puts them. */
static uint32_t put_group(struct ranking_group *group, uint64_t items,
                          uint64_t relevant, enum ranking_ties ties)
{
    struct ranking_group others = {items - relevant, 0}, ours = {relevant, relevant};

    if (ties == TIES_EXPECTED) {
        group[0] = (struct ranking_group){items, relevant};
        return 1;
    }
    group[0] = ties == TIES_AHEAD ? ours : others;
    group[1] = ties == TIES_AHEAD ? others : ours;
    return 2;
}

uint32_t ranking_find_groups(const struct ranking_scores *scores, uint32_t k,
                             enum ranking_ties ties, struct ranking_group *group)
{
    uint32_t groups = 0, next;
    uint64_t listed = 0;

    qsort(scores->relevant, scores->relevants, sizeof(float), best_first);
    for (uint32_t i = 0; i < scores->relevants; i = next) {
        float score = scores->relevant[i];
        struct ranking_place place = place_on_list(scores, score);

        if (place.above >= k)
            break;
        for (next = i + 1; next < scores->relevants; next++)
            if (best_first(&score, &scores->relevant[next]))
                break;
        group[groups++] = (struct ranking_group){place.above - listed, 0};
        groups += put_group(group + groups, place.equal, next - i, ties);
        listed = place.above + place.equal;
    }
    return groups;
}

/* --- from groups to sums ---------------------------------------------------------- */

/* Of one list, in the mean over the orders of equals. */
struct expected {
    double found, hit, first, gained, precisions;
};

/* What the item at `place` (from 0) adds to a list's gain. */
static double gain(uint64_t place)
{
    return 1 / log2((double)place + 2);
}

/* Places first .. first + n - 1 are of a group, behind `before` relevant items. */
static void add_places(struct expected *e, struct ranking_group group, uint64_t first,
                       uint64_t n, uint64_t before)
{
    double items = (double)group.items, relevant = (double)group.relevant;
    double share = relevant / items; /* of finding a relevant one at a place */
    double pair = items > 1 ? share * (relevant - 1) / (items - 1) : 0; /* at two */
    double none = before ? 0 : 1; /* that there was no relevant one so far */

    for (uint64_t i = 0; i < n; i++) {
        double place = (double)(first + i) + 1;
        double begins = none * relevant / (items - (double)i);

        e->found += share;
        e->gained += share * gain(first + i);
        e->precisions += (share * ((double)before + 1) + pair * (double)i) / place;
        e->hit += begins;
        e->first += begins / place;
        none -= begins;
        if (none < 0) /* rounding */
            none = 0;
    }
}

void ranking_add_groups(struct ranking_sums *sums, const struct ranking_group *group,
                        uint32_t n, uint64_t total, uint32_t k)
{
    double most = total < k ? (double)total : (double)k, best = 0;
    struct expected e = {0};
    uint64_t first = 0, before = 0;

    if (total == 0)
        return;
    for (uint64_t i = 0; i < k && i < total; i++)
        best += gain(i);
    for (uint32_t g = 0; g < n && first < k; g++) {
        uint64_t left = k - first;

        if (group[g].relevant)
            add_places(&e, group[g], first,
                       group[g].items < left ? group[g].items : left, before);
        first += group[g].items;
        before += group[g].relevant;
    }
    sums->lists++;
    sums->hit += e.hit;
    sums->ndcg += e.gained / best;
    sums->recall += e.found / (double)total;
    sums->capped += e.found / most;
    sums->precision += e.found / k;
    sums->mrr += e.first;
    sums->map += e.precisions / most;
}

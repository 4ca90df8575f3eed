#include "worker/model/ranking.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool is_positive(float label)
{
    return label >= 0.5f;
}

/* Numbers in the order of the scores; both zeros are one, and what is no number is
 * lowest. */
static uint32_t ordered(float score)
{
    uint32_t bits;

    if (isnan(score))
        return 0;
    score += 0.0f; /* -0 becomes 0 */
    memcpy(&bits, &score, sizeof bits);
    return bits >> 31 ? ~bits : bits | UINT32_C(1) << 31;
}

/* --- two classes ------------------------------------------------------------------ */

void class_sums_add(struct class_sums *sums, const float *score, const float *label,
                    uint32_t n, float border)
{
    for (uint32_t i = 0; i < n; i++) {
        bool positive = is_positive(label[i]), said = score[i] >= border;

        sums->right_positive += said && positive;
        sums->wrong_positive += said && !positive;
        sums->right_negative += !said && !positive;
        sums->wrong_negative += !said && positive;
        sums->score += (double)score[i];
        sums->label += (double)label[i];
    }
}

/* --- lists ------------------------------------------------------------------------ */

struct ranking_place ranking_place(float own, const float *score, uint32_t n)
{
    struct ranking_place place = {0};
    uint32_t mine = ordered(own);

    for (uint32_t i = 0; i < n; i++) {
        uint32_t other = ordered(score[i]);

        place.above += other > mine;
        place.equal += other == mine;
    }
    return place;
}

/* What the item at `place` (from 0) adds to a list's gain. */
static double gain(uint64_t place)
{
    return 1 / log2((double)place + 2);
}

static void add_one(struct ranking_sums *sums, uint64_t place, uint32_t k, double share)
{
    double reciprocal = share / ((double)place + 1);

    sums->hit += share;
    sums->recall += share;
    sums->capped += share;
    sums->precision += share / k;
    sums->ndcg += share * gain(place);
    sums->mrr += reciprocal;
    sums->map += reciprocal;
}

void ranking_add_place(struct ranking_sums *sums, struct ranking_place place,
                       uint32_t k, enum ranking_ties ties)
{
    uint64_t first = place.above, last = place.above + place.equal;
    double share = 1;

    if (ties == TIES_AHEAD)
        last = first;
    else if (ties == TIES_BEHIND)
        first = last;
    else
        share = 1 / (double)(place.equal + 1);
    sums->lists++;
    for (uint64_t at = first; at <= last && at < k; at++)
        add_one(sums, at, k, share);
}

void ranking_add_list(struct ranking_sums *sums, const uint8_t *relevant, uint32_t n,
                      uint64_t total, uint32_t k)
{
    double best = 0, gained = 0, precisions = 0, found = 0, most;

    if (total == 0)
        return;
    for (uint64_t i = 0; i < k && i < total; i++)
        best += gain(i);
    for (uint32_t i = 0; i < n && i < k; i++) {
        if (!relevant[i])
            continue;
        if (found == 0)
            sums->mrr += 1 / ((double)i + 1);
        found++;
        gained += gain(i);
        precisions += found / ((double)i + 1);
    }
    most = total < k ? (double)total : (double)k;
    sums->lists++;
    sums->hit += found > 0;
    sums->ndcg += gained / best;
    sums->recall += found / (double)total;
    sums->capped += found / most;
    sums->precision += found / k;
    sums->map += precisions / most;
}

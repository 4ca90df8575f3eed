#include "worker/model/ranking.h"

#include "common/score.h"

static bool is_positive(float label)
{
    return label >= 0.5f;
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
    uint32_t mine = score_order(own);

    for (uint32_t i = 0; i < n; i++) {
        uint32_t other = score_order(score[i]);

        place.above += other > mine;
        place.equal += other == mine;
    }
    return place;
}

#include "worker/model/ranking_top.h"

#include <math.h>
#include <stdbool.h>

/* Is a before b? */
static bool is_before(float a, uint32_t a_item, float b, uint32_t b_item)
{
    return a > b || (a == b && a_item < b_item);
}

uint32_t ranking_top(const float *score, const uint32_t *item, uint32_t n,
                     const uint32_t *out, uint32_t outs, uint32_t k, uint32_t *top,
                     float *top_score)
{
    uint32_t found = 0, next = 0, at;

    for (uint32_t i = 0; i < n; i++) {
        uint32_t number = item ? item[i] : i;

        if (next < outs && out[next] == number) {
            next++;
            continue;
        }
        if (isnan(score[i]) || k == 0 ||
            (found == k && !is_before(score[i], number, top_score[k - 1], top[k - 1])))
            continue;
        found += found < k;
        for (at = found - 1;
             at > 0 && is_before(score[i], number, top_score[at - 1], top[at - 1]);
             at--) {
            top[at] = top[at - 1];
            top_score[at] = top_score[at - 1];
        }
        top[at] = number;
        top_score[at] = score[i];
    }
    return found;
}

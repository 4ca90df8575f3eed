/* Scores in their order. */
#ifndef ROWHOUSE_COMMON_SCORE_H
#define ROWHOUSE_COMMON_SCORE_H

#include <math.h>
#include <stdint.h>
#include <string.h>

/* Numbers in the order of the scores; both zeros are one, and what is no number is
 * lowest. Any thread. */
static inline uint32_t score_order(float score)
{
    uint32_t bits;

    if (isnan(score))
        return 0;
    score += 0.0f; /* -0 becomes 0 */
    memcpy(&bits, &score, sizeof bits);
    return bits >> 31 ? ~bits : bits | UINT32_C(1) << 31;
}

#endif

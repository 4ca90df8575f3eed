#include "worker/stream/shuffle.h"

#include "common/rng.h"

/* Sets the numbers of the shuffle apart from others of the same seed: "shuffle" in
 * ASCII. */
static const uint64_t shuffle_seed = 0x73687566666c65;

void shuffle_stretch(uint32_t *order, uint64_t first, uint64_t end, uint64_t seed,
                     uint64_t epoch)
{
    uint64_t own_seed = mix64(seed ^ shuffle_seed);

    for (uint64_t i = first; i < end; i++) {
        uint64_t other = rng_below(rng_at(own_seed, epoch, i), i + 1);

        if (other != i)
            order[i] = order[other];
        order[other] = (uint32_t)i;
    }
}

void shuffle(uint32_t *order, uint64_t n, uint64_t seed, uint64_t epoch)
{
    shuffle_stretch(order, 0, n, seed, epoch);
}

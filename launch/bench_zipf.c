#include "launch/bench_zipf.h"

#include <math.h>
#include <stdlib.h>

int zipf_create(struct zipf *zipf, uint64_t ranks, double exponent, struct err *err)
{
    *zipf = (struct zipf){ranks, malloc(ranks * sizeof *zipf->reach)};
    if (!zipf->reach)
        return err_set(err, ERR_MEMORY, "no memory for the popularity of %llu rows",
                       (unsigned long long)ranks);
    for (uint64_t r = 0; r < ranks; r++)
        zipf->reach[r] = (r ? zipf->reach[r - 1] : 0) + pow((double)(r + 1), -exponent);
    return 0;
}

void zipf_release(struct zipf *zipf)
{
    free(zipf->reach);
    zipf->reach = NULL;
}

uint64_t zipf_draw(const struct zipf *zipf, uint64_t bits)
{
    uint64_t low = 0, high = zipf->ranks - 1;
    double at = (double)(bits >> 11) * 0x1p-53 * zipf->reach[high];

    while (low < high) {
        uint64_t middle = low + (high - low) / 2;

        if (zipf->reach[middle] > at)
            high = middle;
        else
            low = middle + 1;
    }
    return low;
}

double zipf_share(const struct zipf *zipf, uint64_t hot)
{
    return zipf->reach[hot - 1] / zipf->reach[zipf->ranks - 1];
}

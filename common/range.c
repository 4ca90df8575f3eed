#include "common/range.h"

#include <stdlib.h>

static uint64_t length(struct range range)
{
    return range.first < range.end ? range.end - range.first : 0;
}

uint64_t ranges_count(const struct range *range, uint32_t n)
{
    uint64_t count = 0;

    for (uint32_t i = 0; i < n; i++)
        count += length(range[i]);
    return count;
}

/* Copies positions [skip, skip + take) of the list `from` to the list `to`, which may
 * be the same: what is written never lies before what is still to be read. */
static uint32_t copy_stretch(const struct range *from, uint32_t n, uint64_t skip,
                             uint64_t take, struct range *to)
{
    uint32_t copied = 0;

    for (uint32_t i = 0; i < n && take > 0; i++) {
        struct range part = from[i];
        uint64_t positions;

        if (length(part) <= skip) {
            skip -= length(part);
            continue;
        }
        part.first += skip;
        skip = 0;
        positions = length(part) < take ? length(part) : take;
        part.end = part.first + positions;
        take -= positions;
        to[copied++] = part;
    }
    return copied;
}

uint32_t ranges_share(const struct range *range, uint32_t n, uint32_t index,
                      uint32_t workers, struct range *share)
{
    unsigned __int128 count = ranges_count(range, n);
    uint64_t begin, end;

    if (index >= workers)
        return 0;
    begin = (uint64_t)(count * index / workers);
    end = (uint64_t)(count * ((uint64_t)index + 1) / workers);
    return copy_stretch(range, n, begin, end - begin, share);
}

static int by_position(const void *a, const void *b)
{
    const struct range *left = a, *right = b;

    return (left->first > right->first) - (left->first < right->first);
}

uint32_t ranges_tidy(struct range *range, uint32_t n)
{
    uint32_t kept = 0;

    qsort(range, n, sizeof *range, by_position);
    for (uint32_t i = 0; i < n; i++) {
        if (length(range[i]) == 0)
            continue;
        if (kept && range[kept - 1].end == range[i].first)
            range[kept - 1].end = range[i].end;
        else
            range[kept++] = range[i];
    }
    return kept;
}

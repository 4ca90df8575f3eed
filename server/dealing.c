#include "server/dealing.h"

#include <stddef.h>
#include <string.h>

static void take_from_pool(struct dealing *d, uint64_t cut)
{
    d->pool[0].first = cut;
    if (cut < d->pool[0].end)
        return;
    d->ranges--;
    memmove(d->pool, d->pool + 1, d->ranges * sizeof d->pool[0]);
}

/* Gives a worker about so many positions; several leases, where the pool is in small
 * ranges. */
static void give(struct dealing *d, uint32_t worker, uint64_t wanted)
{
    struct leases *l = &d->worker[worker];

    while (wanted && d->ranges && l->count < LEASES_MAX) {
        struct range lease = d->pool[0];

        lease.end = lease_cut(&d->rule, &lease, wanted);
        take_from_pool(d, lease.end);
        l->half = lease_half(&d->rule, &lease);
        l->range[l->count++] = lease;
        wanted -= lease.end - lease.first < wanted ? lease.end - lease.first : wanted;
    }
}

void dealing_begin(struct dealing *d, uint64_t order, const struct lease_rule *rule,
                   const struct range *range, uint32_t ranges, uint64_t known,
                   bool grows)
{
    uint64_t piece = lease_piece(rule, ranges_count(range, ranges));

    d->order = order;
    d->dealt = 1;
    d->rule = *rule;
    d->known = known;
    d->grows = grows;
    d->ranges = ranges;
    if (ranges)
        memcpy(d->pool, range, ranges * sizeof *range);
    for (uint32_t w = 0; w < rule->workers; w++) {
        d->worker[w] = (struct leases){.number = 1};
        give(d, w, piece);
    }
    for (uint32_t w = 0; w < rule->workers; w++)
        dealing_deal(d, w);
}

/* A process that was started again goes back to what was pushed last, and so does what
 * it has counted: it counts the same again. */
static void note_bad_rows(struct leases *l, uint64_t bad_rows)
{
#ifndef MUTANT_BAD_ROWS_HIGHEST
    if (bad_rows < l->bad_rows)
        return;
#endif
    l->bad_rows = bad_rows;
}

uint64_t dealing_bad_rows(const struct dealing *d)
{
    uint64_t sum = 0;

    for (uint32_t w = 0; w < d->rule.workers; w++)
        sum += d->worker[w].bad_rows;
    return sum;
}

bool dealing_stand(struct dealing *d, uint32_t worker, uint64_t lease,
                   uint64_t position, uint64_t bad_rows)
{
    struct leases *l = &d->worker[worker];
    uint64_t behind;

    if (lease < l->number)
        return true;
    behind = lease - l->number;
    if (behind >= l->count)
        return false;
#ifndef MUTANT_LEASE_STANDING
    if (position > l->range[behind].end)
        return false;
#endif
    note_bad_rows(l, bad_rows);
    l->number = lease;
    l->count -= (uint32_t)behind;
    memmove(l->range, l->range + behind, l->count * sizeof l->range[0]);
    if (position > l->range[0].first)
        l->range[0].first = position;
    return true;
}

/* Is it in the last lease that it has, and in the second half of it? */
static bool wants_more(const struct leases *l)
{
    return l->count == 0 || (l->count == 1 && l->range[0].first >= l->half);
}

bool dealing_deal(struct dealing *d, uint32_t worker)
{
    if (d->ranges == 0 || !wants_more(&d->worker[worker]))
        return false;
    give(d, worker, lease_piece(&d->rule, ranges_count(d->pool, d->ranges)));
    d->dealt++;
    return true;
}

bool dealing_grow(struct dealing *d, uint64_t known, bool grows)
{
    struct range *last = d->ranges ? &d->pool[d->ranges - 1] : NULL;

    bool joins = last && last->end == d->known;

    if (!d->grows || (known <= d->known && grows) ||
        (known > d->known && !joins && d->ranges == MANIFEST_RANGES_MAX))
        return false;
    if (known > d->known && joins)
        last->end = known;
    else if (known > d->known)
        d->pool[d->ranges++] = (struct range){d->known, known};
    if (known > d->known)
        d->known = known;
    d->grows = grows;
    d->dealt++;
    return true;
}

bool dealing_has_more(const struct dealing *d)
{
    return d->ranges || d->grows;
}

uint32_t dealing_left_most(const struct dealing *d)
{
    uint32_t most = d->ranges;

    for (uint32_t w = 0; w < d->rule.workers; w++)
        most += d->worker[w].count;
    return most;
}

uint32_t dealing_left(const struct dealing *d, struct range *range)
{
    uint32_t n = d->ranges;

    memcpy(range, d->pool, n * sizeof *range);
    for (uint32_t w = 0; w < d->rule.workers; w++) {
        const struct leases *l = &d->worker[w];

        memcpy(range + n, l->range, l->count * sizeof *range);
        n += l->count;
    }
    return ranges_tidy(range, n);
}

static uint64_t lower(uint64_t floor, const struct range *range)
{
    return range->first < range->end && range->first < floor ? range->first : floor;
}

uint64_t dealing_floor(const struct dealing *d)
{
    uint64_t floor = d->known;

    for (uint32_t i = 0; i < d->ranges; i++)
        floor = lower(floor, &d->pool[i]);
#ifndef MUTANT_FLOOR
    for (uint32_t w = 0; w < d->rule.workers; w++)
        for (uint32_t i = 0; i < d->worker[w].count; i++)
            floor = lower(floor, &d->worker[w].range[i]);
#endif
    return floor;
}

void dealing_copy(struct dealing *to, const struct dealing *from)
{
    memcpy(to, from, offsetof(struct dealing, pool));
    memcpy(to->pool, from->pool, from->ranges * sizeof from->pool[0]);
    memcpy(to->worker, from->worker, from->rule.workers * sizeof from->worker[0]);
}

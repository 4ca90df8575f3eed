/* Whose data are whose: under bsp every worker has a share of its own for a whole
 * training order, so that a run is the same bit for bit; else leases are dealt
 * (server/dealing.h). */
#include <string.h>

#include "common/log.h"
#include "server/coordinator_parts.h"

static bool deals(const struct coordinator *c)
{
    return c->plan.job->train.consistency != CONSISTENCY_BSP;
}

bool coordinator_in_epoch(const struct coordinator *c)
{
    return c->state->ranges || c->state->grows;
}

/* --- leases ---------------------------------------------------------------------- */

static void take_growth(struct coordinator *c)
{
    if (dealing_grow(c->dealing, c->source_known, !c->source_ended))
        c->news++;
    for (uint32_t w = 0; w < c->plan.roster->workers; w++)
        dealing_deal(c->dealing, w);
}

static void begin_dealing(struct coordinator *c)
{
    const struct coordinator_state *s = c->state;
    struct lease_rule rule = lease_rule_of(&s->data, (uint64_t)c->plan.job->train.batch,
                                           c->plan.roster->workers);

    dealing_begin(c->dealing, s->train, &rule, s->range, s->ranges, s->known, s->grows);
    take_growth(c);
}

void coordinator_share_out(struct coordinator *c)
{
    if (deals(c))
        begin_dealing(c);
    else
        c->state->grows = false;
}

void coordinator_recall_leases(struct coordinator *c)
{
    const struct coordinator_memory *m = c->memory;
    const struct dealing *kept = &m->dealing[m->dealing_current & 1];
    bool training = c->state->stage == STAGE_TRAIN || c->state->stage == STAGE_STOP;

    if (!training || !deals(c))
        return;
    if (kept->order == c->state->train)
        dealing_copy(c->dealing, kept);
    else /* it died before it kept any, and so before it gave any */
        begin_dealing(c);
}

void coordinator_keep_leases(struct coordinator *c)
{
    struct coordinator_memory *m = c->memory;
    const struct dealing *kept = &m->dealing[m->dealing_current & 1];

    if (kept->order == c->dealing->order && kept->dealt == c->dealing->dealt)
        return;
    dealing_copy(&m->dealing[(m->dealing_current + 1) & 1], c->dealing);
    __atomic_store_n(&m->dealing_current, m->dealing_current + 1, __ATOMIC_RELEASE);
}

/* bsp: what a worker had before, when it is the same workers' turn to go on, or an even
 * part. */
static uint32_t share_of(const struct coordinator *c, uint32_t worker,
                         struct range *share)
{
    const struct coordinator_state *s = c->state;
    uint32_t first = 0;

    if (s->shares != c->plan.roster->workers)
        return ranges_share(s->range, s->ranges, worker, c->plan.roster->workers,
                            share);
    for (uint32_t w = 0; w < worker; w++)
        first += s->share_ranges[w];
    memcpy(share, s->range + first, s->share_ranges[worker] * sizeof share[0]);
    return s->share_ranges[worker];
}

uint64_t coordinator_bad_rows(const struct coordinator *c)
{
    const struct coordinator_state *s = c->state;
    bool counts = deals(c) && (s->stage == STAGE_TRAIN || s->stage == STAGE_STOP);

    return s->bad_rows + (counts ? dealing_bad_rows(c->dealing) : 0);
}

/* Notes where a worker stands; false: it was given no such place. */
static bool stand(struct coordinator *c, uint32_t worker)
{
    const struct status *status = &c->worker[worker].status;
    struct range share[MANIFEST_RANGES_MAX];
    uint32_t n;

    if (deals(c) && status->bad_rows && coordinator_bad_rows(c) == 0)
        log_warn("%s", status->text);
    if (deals(c))
        return dealing_stand(c->dealing, worker, status->lease, status->position,
                             status->bad_rows);
    n = share_of(c, worker, share);
    return status->lease == 0 ||
           (status->lease <= n && status->position <= share[status->lease - 1].end);
}

int coordinator_note_standing(struct coordinator *c, uint32_t worker, struct err *err)
{
    const struct coordinator_state *s = c->state;
    const struct status *status = &c->worker[worker].status;

    if (status->train != s->train ||
        (s->stage != STAGE_TRAIN && s->stage != STAGE_STOP))
        return 0;
    if (!stand(c, worker))
        return err_set(err, ERR_PEER,
                       "worker %u on %s says that it stands at position %llu of lease "
                       "%llu, which it was not given",
                       worker, status->host, (unsigned long long)status->position,
                       (unsigned long long)status->lease);
    if (s->stage == STAGE_TRAIN && deals(c) && dealing_deal(c->dealing, worker) &&
        !dealing_has_more(c->dealing))
        c->news++; /* those who wait for more need not */
    return 0;
}

void coordinator_grow(struct coordinator *c, uint64_t known, bool grows)
{
    if (known > c->source_known)
        c->source_known = known;
    c->source_ended |= !grows;
    if (c->state->stage != STAGE_TRAIN || !deals(c))
        return; /* with the next order */
    take_growth(c);
    coordinator_keep_leases(c);
}

uint64_t coordinator_known(const struct coordinator *c)
{
    bool dealing = c->dealing->order && c->dealing->order == c->state->train;

    return dealing && c->dealing->known > c->state->known ? c->dealing->known
                                                          : c->state->known;
}

bool coordinator_grows(const struct coordinator *c)
{
    return coordinator_in_epoch(c) ? c->state->grows : c->plan.grows;
}

/* It is kept before anybody acts on it. */
static void raise_floor(struct coordinator *c, uint64_t floor)
{
    if (floor > c->memory->floor)
        __atomic_store_n(&c->memory->floor, floor, __ATOMIC_RELEASE);
}

void coordinator_saved_floor(struct coordinator *c)
{
    const struct coordinator_state *s = c->state;
    uint64_t floor = s->known;

    for (uint32_t i = 0; i < s->ranges; i++)
        if (s->range[i].first < floor)
            floor = s->range[i].first;
    if (c->plan.grows)
        raise_floor(c, floor);
}

uint64_t coordinator_floor(struct coordinator *c)
{
    const struct coordinator_state *s = c->state;
    bool training = s->stage == STAGE_TRAIN || s->stage == STAGE_STOP;

    if (!c->plan.job->checkpoint.dir[0] && training && deals(c))
        raise_floor(c, dealing_floor(c->dealing));
    return c->memory->floor;
}

/* --- shares ---------------------------------------------------------------------- */

/* bsp: a share less what its worker has behind it. */
static uint32_t share_left(const struct coordinator *c, uint32_t worker,
                           struct range *share)
{
    const struct status *status = &c->worker[worker].status;
    uint32_t n = share_of(c, worker, share), kept = 0;

    for (uint32_t i = 0; i < n; i++) {
        struct range range = share[i];
        bool begun = status->train == c->state->train && i + 1 <= status->lease;

        if (begun && i + 1 < status->lease)
            continue;
        if (begun && status->position > range.first)
            range.first = status->position;
        if (range.first < range.end)
            share[kept++] = range;
    }
    return kept;
}

/* Only a run that is to be the same bit for bit keeps everyone's own. */
static void cut_shares(struct coordinator *c)
{
    struct coordinator_state *s = c->state;
    struct range left[MANIFEST_RANGES_MAX], share[MANIFEST_RANGES_MAX];
    uint32_t workers = c->plan.roster->workers, count = 0, kept[WORKERS_MAX];

    for (uint32_t w = 0; w < workers; w++) {
        uint32_t n = share_left(c, w, share);

        kept[w] = 0;
        for (uint32_t i = 0; i < n && count < MANIFEST_RANGES_MAX; i++, kept[w]++)
            left[count++] = share[i];
    }
    s->ranges = count;
    if (count)
        memcpy(s->range, left, count * sizeof left[0]);
    s->shares = workers;
    memcpy(s->share_ranges, kept, workers * sizeof kept[0]);
}

bool coordinator_can_cut(const struct coordinator *c, uint32_t room)
{
    return deals(c) ? dealing_left_most(c->dealing) <= room
                    : c->state->ranges + c->plan.roster->workers <= room;
}

void coordinator_cut(struct coordinator *c)
{
    struct coordinator_state *s = c->state;

    if (!deals(c)) {
        cut_shares(c);
        return;
    }
    s->ranges = dealing_left(c->dealing, s->range);
    s->known = c->dealing->known;
    s->grows = c->dealing->grows;
    s->shares = 0;
}

static void order_leases(const struct coordinator *c, uint32_t worker,
                         struct order *order)
{
    const struct leases *leases = &c->dealing->worker[worker];

    order->dealt = c->dealing->dealt;
    order->lease = leases->number;
    order->bad_rows = leases->bad_rows;
    order->ranges = leases->count;
    memcpy(order->range, leases->range, leases->count * sizeof order->range[0]);
    order->more = dealing_has_more(c->dealing);
}

void coordinator_order_shares(const struct coordinator *c, struct peer to,
                              struct order *order)
{
    struct range share[MANIFEST_RANGES_MAX];

    if (to.role == ROLE_WORKER && deals(c)) {
        order_leases(c, to.index, order);
        return;
    }
    if (to.role == ROLE_WORKER) {
        order->ranges = share_of(c, to.index, order->range);
        return;
    }
    /* For all that a server knows everyone may get leases: who has none says so. */
    order->ranges = c->plan.roster->workers;
    for (uint32_t w = 0; w < order->ranges; w++)
        order->range[w] = (struct range){
            0, deals(c) ? 1 : ranges_count(share, share_of(c, w, share))};
}

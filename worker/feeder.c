#include "worker/feeder.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "worker/supply.h"

enum {
    QUEUE = 2, /* batches ready and waiting for the trainer */
    WAIT_SECONDS = 1,
};

/* A pass as the reader goes through it. */
struct reading {
    struct pass pass;    /* its ranges are owned */
    struct range *range; /* pass.range */
    uint32_t at;         /* the range it is in */
    uint64_t position;   /* in that range */
    uint64_t taken;
    uint64_t bad_rows, bad_before; /* as a batch's; the supply's when it began */
};

struct feeder {
    struct batch *batch; /* [batches] */
    uint32_t batches;

    /* The reader's, while it runs. */
    struct supply *supply;
    struct reading now;
    pthread_t thread;
    bool running;

    /* Shared: under lock. Passes are numbered: the reader is in pass `reading`, the
     * trainer in pass `taking` or between it and the next. */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct batch **empty, **full; /* `full` is a ring */
    uint64_t *full_pass;          /* the pass of each place of `full` */
    uint32_t empties, fulls, full_head, outside;
    uint64_t reading, taking;
    struct reading next; /* what to read next, if has_next */
    bool has_next;
    struct range *added; /* [SHARE_RANGES_MAX] leases that the reader has yet to see */
    uint32_t addeds;
    bool open, dry;      /* the reader's pass: may get more; has nothing more now */
    uint64_t lease_next; /* the trainer's: first number that its pass does not have */
    bool stop;           /* also read without the lock */
    bool end;            /* the reader has ended */
    bool stood;          /* it has come to the end of the trainer's pass, ... */
    struct standing stood_at;
    char *bad_row;  /* set once; also read without the lock */
    struct err err; /* the reader's; code 0 = none */
};

int feeder_create(const struct blueprint *blueprint, uint32_t servers, uint32_t ahead,
                  struct feeder **out, struct err *err)
{
    struct feeder *feeder = calloc(1, sizeof *feeder);
    uint32_t wanted = ahead + QUEUE + 1;

    if (!feeder)
        return err_set(err, ERR_MEMORY, "no memory for a reader");
    pthread_mutex_init(&feeder->lock, NULL);
    pthread_cond_init(&feeder->changed, NULL);
    feeder->batch = calloc(wanted, sizeof *feeder->batch);
    feeder->empty = calloc(wanted, sizeof(struct batch *));
    feeder->full = calloc(wanted, sizeof(struct batch *));
    feeder->full_pass = calloc(wanted, sizeof *feeder->full_pass);
    feeder->added = calloc(SHARE_RANGES_MAX, sizeof *feeder->added);
    if (!feeder->batch || !feeder->empty || !feeder->full || !feeder->full_pass ||
        !feeder->added) {
        err_set(err, ERR_MEMORY, "no memory for %u batches", wanted);
        goto fail;
    }
    if (supply_create(blueprint, servers, &feeder->supply, err))
        goto fail;
    for (; feeder->batches < wanted; feeder->batches++) {
        if (batch_create_for(&feeder->batch[feeder->batches], blueprint, servers,
                             blueprint_capacity(blueprint), err))
            goto fail;
    }
    *out = feeder;
    return 0;
fail:
    feeder_destroy(feeder);
    return -err->code;
}

static void reading_release(struct reading *reading)
{
    free(reading->range);
    *reading = (struct reading){0};
}

static int reading_init(struct reading *reading, const struct pass *pass,
                        struct err *err)
{
    uint32_t ranges = pass->ranges;

    *reading = (struct reading){
        .pass = *pass, .taken = pass->taken, .bad_rows = pass->bad_rows};
    if (ranges > SHARE_RANGES_MAX)
        return err_set(err, ERR_PEER, "a share of %u ranges, at most %d are allowed",
                       ranges, SHARE_RANGES_MAX);
    reading->range = malloc(SHARE_RANGES_MAX * sizeof *reading->range);
    if (!reading->range)
        return err_set(err, ERR_MEMORY, "no memory for %u ranges", ranges);
    if (ranges)
        memcpy(reading->range, pass->range, ranges * sizeof *pass->range);
    reading->pass.range = reading->range;
    if (ranges)
        reading->position = reading->range[0].first;
    return 0;
}

/* Is pass `a` the pass `b`, or if it is open its beginning? */
static bool begins(const struct pass *a, const struct pass *b)
{
    return a->part == b->part && a->epoch == b->epoch && a->taken == b->taken &&
           a->bad_rows == b->bad_rows && a->read_only == b->read_only &&
           a->lease == b->lease &&
           (a->open ? a->ranges <= b->ranges : a->ranges == b->ranges && !b->open) &&
           (a->ranges == 0 ||
            memcmp(a->range, b->range, a->ranges * sizeof *a->range) == 0);
}

/* Stops the reader, wherever it is, and forgets what it has read. */
static void stop_reader(struct feeder *feeder)
{
    if (feeder->running) {
        pthread_mutex_lock(&feeder->lock);
        __atomic_store_n(&feeder->stop, true, __ATOMIC_RELAXED);
        pthread_cond_broadcast(&feeder->changed);
        pthread_mutex_unlock(&feeder->lock);
        pthread_join(feeder->thread, NULL);
    }
    feeder->running = false;
    reading_release(&feeder->now);
    reading_release(&feeder->next);
    feeder->has_next = false;
}

void feeder_destroy(struct feeder *feeder)
{
    if (!feeder)
        return;
    stop_reader(feeder);
    for (uint32_t i = 0; i < feeder->batches; i++)
        batch_release(&feeder->batch[i]);
    free(feeder->batch);
    free(feeder->empty);
    free(feeder->full);
    free(feeder->full_pass);
    free(feeder->added);
    free(feeder->bad_row);
    supply_destroy(feeder->supply);
    pthread_cond_destroy(&feeder->changed);
    pthread_mutex_destroy(&feeder->lock);
    free(feeder);
}

/* --- the reader ------------------------------------------------------------------ */

/* Says of a batch where it stands so far. */
static void note_place(const struct reading *now, struct batch *batch)
{
    const struct range *range = &now->range[now->at];

    batch->lease = now->pass.lease + now->at;
    batch->position = now->position;
    batch->second_half = now->position - range->first >=
                         (range->end - range->first) / 2;
}

/* Takes examples from the ranges until the batch is full or nothing is left. */
static int take(struct feeder *feeder, struct batch *batch, struct err *err)
{
    struct reading *now = &feeder->now;
    int rc = 0;

    batch->n = 0;
    while (rc == 0 && batch->n < batch->capacity && now->at < now->pass.ranges) {
        uint64_t end = now->range[now->at].end;

        rc = supply_take(feeder->supply, batch, &now->position, end, err);
        note_place(now, batch);
        if (now->position >= end && ++now->at < now->pass.ranges)
            now->position = now->range[now->at].first;
    }
    return rc;
}

/* Counts what was left out of what was taken; the first time it is said. */
static void count_bad_rows(struct feeder *feeder)
{
    const struct bad_rows *bad = supply_bad_rows(feeder->supply);
    struct reading *now = &feeder->now;
    char *text = NULL;

    if (!bad)
        return;
    now->bad_rows = now->pass.bad_rows + bad->count - now->bad_before;
    if (bad->count && !feeder->bad_row)
        text = strdup(bad->first);
    if (text)
        __atomic_store_n(&feeder->bad_row, text, __ATOMIC_RELEASE);
}

const char *feeder_bad_row(struct feeder *feeder)
{
    const char *text = __atomic_load_n(&feeder->bad_row, __ATOMIC_ACQUIRE);

    return text ? text : "";
}

static int fill(struct feeder *feeder, struct batch *batch, struct err *err)
{
    struct reading *now = &feeder->now;

    if (take(feeder, batch, err))
        return -err->code;
    count_bad_rows(feeder);
    if (batch->n == 0)
        return 0;
    now->taken += batch->n / batch->group;
    batch->taken = now->taken;
    batch->bad_rows = now->bad_rows;
    batch->read_only = now->pass.read_only;
    batch->clock = 0;
    supply_build(feeder->supply, batch);
    return batch_cut(batch, err);
}

/* Takes up the leases that have been added, in the place of those that are behind us;
 * with the lock held. */
static int take_added(struct feeder *feeder, struct err *err)
{
    struct reading *now = &feeder->now;
    uint32_t left = now->pass.ranges - now->at;

    if (left + feeder->addeds > SHARE_RANGES_MAX)
        return err_set(err, ERR_PEER,
                       "leases of %u ranges at a time, at most %d are "
                       "allowed",
                       left + feeder->addeds, SHARE_RANGES_MAX);
    memmove(now->range, now->range + now->at, left * sizeof now->range[0]);
    memcpy(now->range + left, feeder->added, feeder->addeds * sizeof now->range[0]);
    if (left == 0)
        now->position = now->range[0].first;
    now->pass.lease += now->at;
    now->pass.ranges = left + feeder->addeds;
    now->at = 0;
    feeder->addeds = 0;
    return 0;
}

/* There is nothing more to read: waits until there is, if there may be. False: this is
 * the end of the pass. With the lock held. */
static bool await_more(struct feeder *feeder)
{
    while (feeder->open && feeder->addeds == 0 && !feeder->stop) {
        feeder->dry = true;
        pthread_cond_broadcast(&feeder->changed);
        pthread_cond_wait(&feeder->changed, &feeder->lock);
    }
    feeder->dry = false;
    return feeder->addeds && !feeder->stop;
}

/* Reads one pass; called and left with the lock held. */
static int read_pass(struct feeder *feeder, struct err *err)
{
    const struct pass *pass = &feeder->now.pass;
    int rc;

    pthread_mutex_unlock(&feeder->lock);
    rc = supply_begin(feeder->supply, pass->data, pass->part, pass->epoch,
                      &feeder->stop, err);
    if (rc == 0 && supply_bad_rows(feeder->supply))
        feeder->now.bad_before = supply_bad_rows(feeder->supply)->count;
    pthread_mutex_lock(&feeder->lock);
    while (rc == 0 && !feeder->stop) {
        struct batch *batch;
        uint32_t place;

        if (feeder->empties == 0) {
            pthread_cond_wait(&feeder->changed, &feeder->lock);
            continue;
        }
        rc = feeder->addeds ? take_added(feeder, err) : 0;
        if (rc)
            break;
        batch = feeder->empty[--feeder->empties];
        pthread_mutex_unlock(&feeder->lock);
        rc = fill(feeder, batch, err);
        pthread_mutex_lock(&feeder->lock);
        if (rc || batch->n == 0) {
            feeder->empty[feeder->empties++] = batch;
            if (rc || !await_more(feeder))
                break;
            continue;
        }
        place = (feeder->full_head + feeder->fulls++) % feeder->batches;
        feeder->full[place] = batch;
        feeder->full_pass[place] = feeder->reading;
        pthread_cond_broadcast(&feeder->changed);
    }
    return feeder->stop ? 0 : rc; /* who stops the reader wants no complaint */
}

/* Where a pass stands of which all is read. */
static bool stands(const struct reading *now, struct standing *standing)
{
    uint32_t ranges = now->pass.ranges;

    if (ranges)
        *standing = (struct standing){now->pass.lease + ranges - 1,
                                      now->range[ranges - 1].end, now->bad_rows};
    return ranges;
}

/* One pass after the other, as long as it is known what comes next. */
static void *read_all(void *context)
{
    struct feeder *feeder = context;
    struct err err = {0};

    pthread_setname_np(pthread_self(), "reader"); /* for those who profile */
    pthread_mutex_lock(&feeder->lock);
    for (;;) {
        if (read_pass(feeder, &err)) {
            feeder->err = err;
            break;
        }
        /* Ahead of the trainer: what comes after that is said when it gets here. */
        while (!feeder->stop && feeder->reading > feeder->taking)
            pthread_cond_wait(&feeder->changed, &feeder->lock);
        if (feeder->stop)
            break;
        feeder->stood = stands(&feeder->now, &feeder->stood_at);
        if (!feeder->has_next)
            break;
        reading_release(&feeder->now);
        feeder->now = feeder->next;
        feeder->next = (struct reading){0};
        feeder->has_next = false;
        feeder->open = feeder->now.pass.open;
        feeder->reading++;
        pthread_cond_broadcast(&feeder->changed);
    }
    feeder->end = true;
    pthread_cond_broadcast(&feeder->changed);
    pthread_mutex_unlock(&feeder->lock);
    return NULL;
}

/* --- the trainer ----------------------------------------------------------------- */

/* Starts the reader on `now` as pass `reading`. */
static int start_reader(struct feeder *feeder, uint64_t reading, struct err *err)
{
    feeder->empties = 0;
    for (uint32_t i = 0; i < feeder->batches; i++)
        feeder->empty[feeder->empties++] = &feeder->batch[i];
    feeder->fulls = feeder->full_head = feeder->outside = 0;
    feeder->stop = feeder->end = feeder->dry = feeder->stood = false;
    feeder->addeds = 0;
    feeder->open = feeder->now.pass.open;
    feeder->reading = reading;
    feeder->err.code = 0;
    errno = pthread_create(&feeder->thread, NULL, read_all, feeder);
    if (errno)
        return err_system(err, "cannot start the reader thread");
    feeder->running = true;
    return 0;
}

void feeder_use_negatives(struct feeder *feeder, const struct negatives *negatives)
{
    supply_use_negatives(feeder->supply, negatives);
}

int feeder_prepare(struct feeder *feeder, const struct pass *pass, struct err *err)
{
    stop_reader(feeder);
    if (reading_init(&feeder->now, pass, err))
        return -err->code;
    return start_reader(feeder, feeder->taking + 1, err);
}

/* Is the reader in this very pass already? */
static bool is_prepared(struct feeder *feeder, const struct pass *pass)
{
    bool prepared;

    if (!feeder->running)
        return false;
    pthread_mutex_lock(&feeder->lock);
    prepared = !feeder->end && feeder->reading == feeder->taking + 1 &&
               begins(&feeder->now.pass, pass);
    pthread_mutex_unlock(&feeder->lock);
    return prepared;
}

/* Gives the reader what the trainer's pass has and it does not; with the lock held. */
static void extend(struct feeder *feeder, uint64_t lease, const struct range *range,
                   uint32_t ranges, bool open)
{
    for (uint32_t i = 0; i < ranges; i++) {
        if (lease + i < feeder->lease_next || feeder->addeds == SHARE_RANGES_MAX)
            continue;
        feeder->added[feeder->addeds++] = range[i];
        feeder->lease_next = lease + i + 1;
    }
    feeder->open = open;
    if (feeder->addeds || !open)
        feeder->dry = false;
    pthread_cond_broadcast(&feeder->changed);
}

int feeder_extend(struct feeder *feeder, uint64_t lease, const struct range *range,
                  uint32_t ranges, bool open, struct err *err)
{
    int rc = 0;

    pthread_mutex_lock(&feeder->lock);
    if (lease > feeder->lease_next)
        rc = err_set(err, ERR_PEER, "lease %llu was given before lease %llu",
                     (unsigned long long)lease, (unsigned long long)feeder->lease_next);
    else if (feeder->reading == feeder->taking && feeder->open)
        extend(feeder, lease, range, ranges, open);
    pthread_mutex_unlock(&feeder->lock);
    return rc;
}

int feeder_begin(struct feeder *feeder, const struct pass *pass,
                 const struct pass *next, struct err *err)
{
    struct reading coming = {0};

    if (next && reading_init(&coming, next, err))
        return -err->code;
    if (is_prepared(feeder, pass)) {
        pthread_mutex_lock(&feeder->lock);
        feeder->taking++;
        feeder->stood = false;
        feeder->next = coming;
        feeder->has_next = next != NULL;
        feeder->lease_next = pass->lease + feeder->now.pass.ranges;
        extend(feeder, pass->lease, pass->range, pass->ranges, pass->open);
        pthread_mutex_unlock(&feeder->lock);
        return 0;
    }
    stop_reader(feeder);
    feeder->next = coming;
    feeder->has_next = next != NULL;
    feeder->lease_next = pass->lease + pass->ranges;
    if (reading_init(&feeder->now, pass, err))
        return -err->code;
    return start_reader(feeder, ++feeder->taking, err);
}

/* A batch of the trainer's pass stands first in the ring. */
static bool is_ready(const struct feeder *feeder)
{
    return feeder->fulls && feeder->full_pass[feeder->full_head] == feeder->taking;
}

/* The reader is at work on the trainer's pass, and may find more; with the lock held.
 */
static bool is_slow(const struct feeder *feeder)
{
    return !is_ready(feeder) && feeder->reading == feeder->taking && !feeder->end &&
           !feeder->dry;
}

struct batch *feeder_next(struct feeder *feeder, bool wait)
{
    struct batch *batch = NULL;
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += WAIT_SECONDS;
    pthread_mutex_lock(&feeder->lock);
    while (wait && is_slow(feeder))
        if (pthread_cond_timedwait(&feeder->changed, &feeder->lock, &until))
            break;
    if (is_ready(feeder)) {
        batch = feeder->full[feeder->full_head];
        feeder->full_head = (feeder->full_head + 1) % feeder->batches;
        feeder->fulls--;
        feeder->outside++;
    }
    pthread_mutex_unlock(&feeder->lock);
    return batch;
}

bool feeder_is_slow(struct feeder *feeder)
{
    bool slow;

    pthread_mutex_lock(&feeder->lock);
    slow = is_slow(feeder);
    pthread_mutex_unlock(&feeder->lock);
    return slow;
}

bool feeder_standing(struct feeder *feeder, struct standing *standing)
{
    bool known = false;

    pthread_mutex_lock(&feeder->lock); /* a dry reader waits, and changes nothing */
    if (feeder->dry && feeder->reading == feeder->taking) {
        known = stands(&feeder->now, standing);
    } else if (feeder->stood && !is_ready(feeder)) {
        *standing = feeder->stood_at;
        known = true;
    }
    pthread_mutex_unlock(&feeder->lock);
    return known;
}

bool feeder_is_over(struct feeder *feeder)
{
    bool over;

    pthread_mutex_lock(&feeder->lock);
    over = feeder->end;
    pthread_mutex_unlock(&feeder->lock);
    return over;
}

void feeder_return(struct feeder *feeder, struct batch *batch)
{
    pthread_mutex_lock(&feeder->lock);
    feeder->empty[feeder->empties++] = batch;
    feeder->outside--;
    pthread_cond_broadcast(&feeder->changed);
    pthread_mutex_unlock(&feeder->lock);
}

int feeder_end(struct feeder *feeder, struct err *err)
{
    bool goes_on;
    int code;

    if (!feeder->running)
        return 0;
    pthread_mutex_lock(&feeder->lock);
    goes_on = !feeder->end && feeder->reading > feeder->taking &&
              feeder->outside == 0 && !is_ready(feeder);
    pthread_mutex_unlock(&feeder->lock);
    if (goes_on)
        return 0;
    stop_reader(feeder);
    code = feeder->err.code;
    if (code)
        *err = feeder->err;
    feeder->err.code = 0;
    return code ? -code : 0;
}

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "common/clock.h"
#include "common/lease.h"
#include "worker/step.h"

enum { WINDOW_MAX = 256, WAIT_MS = 100 };

/* Batches on their way, from the begin of the pull to the push. */
struct flight {
    struct batch *batch[WINDOW_MAX];
    uint32_t head, count;
};

struct training {
    struct worker *worker;
    const struct order *order; /* to train, or to stop at its limit */
    struct flight flight;
    struct journal_entry done; /* what is behind us, pushed */
    uint64_t clock;
    uint32_t inflight;
    uint64_t dealt;       /* how far we know what is dealt in the order */
    bool more;            /* we may get another lease */
    bool second_half;     /* of the lease that we are in */
    double begun, before; /* when the training began, and what was before */
};

static struct training training_of(struct worker *worker, const struct order *order)
{
    return (struct training){.worker = worker,
                             .order = order,
                             .begun = clock_seconds(),
                             .before = worker->status.training_seconds};
}

static void drop_flight(struct training *t)
{
    client_drop_pulls(t->worker->client);
    t->flight.count = 0;
}

/* Keeps `inflight` pulls ahead of the batch being computed. */
static int begin_pulls(struct training *t, struct err *err)
{
    struct flight *f = &t->flight;

    while (f->count <= t->inflight) {
        struct batch *batch = feeder_next(t->worker->feeder, f->count == 0);
        int rc;

        if (!batch)
            break;
        rc = client_join(t->worker->client, &t->clock, err);
        if (rc)
            return rc;
        if (f->count == 0)
            t->done.clock = t->clock; /* it may have jumped */
        batch->clock = ++t->clock;
        rc = client_begin_pull(t->worker->client, batch, err);
        if (rc)
            return rc;
        f->batch[(f->head + f->count++) % WINDOW_MAX] = batch;
    }
    return 0;
}

static void report(struct training *t, bool now)
{
    struct worker *worker = t->worker;
    struct status *status = &worker->status;

    status->clock = t->done.clock;
    status->train = t->order->train;
    status->lease = t->done.lease;
    status->position = t->done.position;
    status->taken = status->examples = t->done.taken;
    status->loss_sum = t->done.loss_sum;
    status->bad_rows = t->done.bad_rows;
    if (status->bad_rows && !status->text[0])
        snprintf(status->text, sizeof status->text,
                 "rows of the data are wrong and left out (data.bad_rows: skip), such "
                 "as this one: %.900s",
                 feeder_bad_row(worker->feeder));
    status->training_seconds = t->before + clock_seconds() - t->begun;
    worker_report(worker, now);
}

static double gradients(struct worker *worker, const struct batch *batch)
{
    uint64_t seed = graph_seed((uint64_t)worker->setup->job->train.seed,
                               worker->setup->index, batch->clock);

    return worker->team ? team_step(worker->team, batch, seed, worker->gradient)
                        : learner_step(worker->learner, batch, seed, worker->gradient);
}

static int compute(struct training *t, struct batch *batch, double *loss,
                   struct err *err)
{
    struct worker *worker = t->worker;

    *loss = worker->setup->job->train.update == UPDATE_DELTA
                ? delta_steps(&worker->delta, batch, worker->gradient)
                : gradients(worker, batch);
#ifndef MUTANT_FINITE
    if (worker->setup->job->train.check_finite && !isfinite(*loss))
        return err_set(
            err, ERR_INPUT,
            "worker %u: the loss of the batch with clock %llu (epoch %u) is not "
            "finite; a smaller optimizer.rate may help",
            worker->setup->index, (unsigned long long)batch->clock, t->order->epoch);
#endif
    return 0;
}

static bool is_bsp(const struct worker *worker)
{
    return worker->setup->job->train.consistency == CONSISTENCY_BSP;
}

/* Of the time that we waited for the rows as much as slower workers held them up. */
static void note_wait(struct status *status, const struct batch *batch, double seconds)
{
    double parked = (double)batch->parked_us * 1e-6;

    status->wait_seconds += seconds;
    status->parked_seconds += parked < seconds ? parked : seconds;
}

/* Under bsp: has a new order come? */
static bool overruled(const struct training *t)
{
    return is_bsp(t->worker) &&
           member_order_number(t->worker->member) != t->order->number;
}

/* Waits for a batch's rows. 1: under bsp a new order has come, and those whom the rows
 * wait for may have stopped already. */
static int await_rows(struct training *t, const struct batch *batch, struct err *err)
{
    struct worker *worker = t->worker;
    double begun = clock_seconds();

    while (batch->unanswered) {
        int rc = client_wait(worker->client, err);

        if (rc)
            return rc;
        if (overruled(t))
            return 1;
    }
    note_wait(&worker->status, batch, clock_seconds() - begun);
    return 0;
}

/* Notes that a batch is behind us; true where the coordinator has to know at once: it
 * may be time for another lease. */
static bool move_on(struct training *t, const struct batch *batch)
{
    bool news = t->more &&
                (batch->lease != t->done.lease || batch->second_half != t->second_half);

    t->done.clock = batch->clock;
    t->done.taken = batch->taken;
    t->done.lease = batch->lease;
    t->done.position = batch->position;
    t->done.bad_rows = batch->bad_rows;
    t->second_half = batch->second_half;
    return news;
}

/* The step: the oldest batch's rows, forward and backward, push. 1 as await_rows(). */
static int step(struct training *t, struct err *err)
{
    struct flight *f = &t->flight;
    struct worker *worker = t->worker;
    struct batch *batch = f->batch[f->head];
    double loss;
    bool news;
    int rc;

    rc = await_rows(t, batch, err);
    if (rc)
        return rc;
    rc = client_finish_pull(worker->client, batch, err);
    if (rc == 0)
        rc = compute(t, batch, &loss, err);
    if (rc)
        return rc;
    f->head = (f->head + 1) % WINDOW_MAX;
    f->count--;
    news = move_on(t, batch);
    t->done.loss_sum += loss;
    rc = client_push(worker->client, batch, worker->gradient, &t->done, err);
    if (rc)
        return rc;
    feeder_return(worker->feeder, batch);
    report(t, news);
    return 0;
}

/* Out of data or told to stop: nobody is to wait for us any more, and all that was
 * pushed is to be applied: our leases may be given to others then. Under bsp those who
 * have stopped a clock before us push it only when the next order says so. */
static int end_order(struct training *t, struct err *err)
{
    struct client *client = t->worker->client;
    int rc;

    drop_flight(t);
    rc = client_end_order(client, err);
    while (rc == 0 && !client_has_ended(client) && !overruled(t))
        rc = client_wait(client, err);
    if (rc == 0)
        report(t, false);
    return rc;
}

/* What is behind us without an example: leases, or a coordinator would give no others,
 * and rows that were left out behind our last example. */
static bool stand_at_end(struct training *t)
{
    struct standing standing;

    if (!feeder_standing(t->worker->feeder, &standing))
        return false;
    t->done.lease = standing.lease;
    t->done.position = standing.position;
    t->done.bad_rows = standing.bad_rows;
    return true;
}

static int check_ranges(const struct worker *worker, const struct order *order,
                        struct err *err)
{
    for (uint32_t i = 0; i < order->ranges; i++)
        if (order->range[i].end >
            data_end(worker->data, worker->setup->job, SPLIT_TRAIN))
            return err_set(err, ERR_PEER,
                           "worker %u was ordered to train up to position %llu of %llu",
                           worker->setup->index,
                           (unsigned long long)order->range[i].end,
                           (unsigned long long)data_end(
                               worker->data, worker->setup->job, SPLIT_TRAIN));
    return 0;
}

static bool is_overtaken(const struct training *t)
{
    return member_order_number(t->worker->member) != t->order->number;
}

/* Takes the leases that have been dealt since we looked. */
static int look_at_leases(struct training *t, struct err *err)
{
    struct worker *worker = t->worker;
    const struct order *order = lines_order(worker->lines);
    int rc;

    if (member_order_dealt(worker->member) == t->dealt || is_overtaken(t))
        return 0;
    rc = lines_look(worker->lines, err);
    if (rc < 0 || order->number != t->order->number || order->dealt <= t->dealt)
        return rc < 0 ? rc : 0;
    t->dealt = order->dealt;
    t->more = order->more;
    return check_ranges(worker, order, err)
               ? -err->code
               : feeder_extend(worker->feeder, order->lease, order->range,
                               order->ranges, order->more, err);
}

/* Nothing is left for now: waits for more, without holding the others up meanwhile. The
 * first time we look once more, since leases may just be on their way. */
static int rest(struct training *t, struct err *err)
{
    struct worker *worker = t->worker;
    uint64_t dealt = t->dealt;
    double rested;
    int rc = look_at_leases(t, err);

    if (rc || t->dealt != dealt || is_overtaken(t))
        return rc;
    rc = end_order(t, err);
    worker->status.phase = PHASE_IDLE;
#ifndef MUTANT_EMPTY_LEASE
    stand_at_end(t);
#endif
    report(t, true);
    rested = clock_seconds();
    while (rc == 0 && !is_overtaken(t)) {
        /* First: what waited for servers may have fetched it. */
        rc = look_at_leases(t, err);
        if (rc || t->dealt != dealt)
            break;
        rc = lines_wait_order(worker->lines, WAIT_MS, err);
        rc = rc < 0 ? rc : 0;
    }
    t->begun += clock_seconds() - rested; /* that was no work */
    worker->status.phase = PHASE_TRAINING;
    return rc;
}

/* Under bsp a stop leaves things as they are: at which clock all stop is yet to be
 * said, and until then those behind still have pushes to make. */
static int run(struct training *t, struct err *err)
{
    struct worker *worker = t->worker;
    bool slow; /* the reader has a long way to where we are to begin */
    int rc;

    for (;;) {
        rc = look_at_leases(t, err);
        if (rc == 0)
            rc = begin_pulls(t, err);
        slow = rc == 0 && t->flight.count == 0 && feeder_is_slow(worker->feeder);
        if (rc == 0 && t->flight.count == 0 && !slow &&
            (!t->more || feeder_is_over(worker->feeder)))
            break; /* which of both, feeder_end() says */
        if (rc == 0 && !slow)
            rc = t->flight.count ? step(t, err) : rest(t, err);
        if (rc > 0) {
            drop_flight(t);
            return 0;
        }
        if (rc)
            return rc;
        if (t->order->limit && t->done.clock >= t->order->limit)
            break;
        if (is_overtaken(t))
            return is_bsp(worker) ? 0 : end_order(t, err);
    }
    rc = end_order(t, err);
    if (rc == 0 && !is_bsp(worker) && !is_overtaken(t) && stand_at_end(t))
        report(t, false);
    return rc;
}

/* Drops what an earlier incarnation has behind it from the front of a pass. */
static void skip_done(struct pass *pass, struct range *range,
                      const struct journal_entry *done)
{
    uint32_t skip = 0;

    while (skip < pass->ranges && pass->lease + skip < done->lease)
        skip++;
    pass->lease += skip;
    pass->ranges -= skip;
    memmove(range, range + skip, pass->ranges * sizeof *range);
#ifndef MUTANT_LEASE_RESTART
    if (pass->ranges && pass->lease == done->lease && done->position > range->first)
        range->first = done->position < range->end ? done->position : range->end;
#endif
}

/* What the order gives us, less what is done. `range` has room for all of it. */
static struct pass remaining(struct training *t, struct range *range)
{
    const struct journal_entry *before = outbox_standing(t->worker->setup->outbox);
    const struct order *order = t->order;
    struct worker *worker = t->worker;
    struct pass pass = {.data = worker->data,
                        .part = SPLIT_TRAIN,
                        .epoch = order->epoch,
                        .range = range,
                        .ranges = order->ranges,
                        .lease = order->lease ? order->lease : 1,
                        .open = order->more};

    memcpy(range, order->range, order->ranges * sizeof *range);
    t->done = (struct journal_entry){.order = order->train, .clock = order->clock};
    if (before->order == order->train) {
        t->done = *before;
        skip_done(&pass, range, before);
    }
    /* Rows behind the last example are in no push: a process that is gone has told. */
    if (order->bad_rows > t->done.bad_rows)
        t->done.bad_rows = order->bad_rows;
    /* This incarnation's counts are added with each push. */
    t->done.pushes_sent = worker->before.pushes_sent;
    t->done.pushes_resent = worker->before.pushes_resent;
    t->done.bytes_pulled = worker->before.bytes_pulled;
    t->done.bytes_pushed = worker->before.bytes_pushed;
    t->clock = t->done.clock;
    t->dealt = order->dealt;
    t->more = order->more;
    pass.taken = t->done.taken;
    pass.bad_rows = t->done.bad_rows;
    return pass;
}

/* Pulls ahead of the batch being computed: at most k under ssp, none under bsp. */
static uint32_t ahead(const struct job *job)
{
    int64_t inflight = job->train.inflight;

    /* Differences build on the worker's own last push, so it must be in the rows. */
    if (job->train.consistency == CONSISTENCY_BSP || job->train.update == UPDATE_DELTA)
        return 0;
    if (job->train.consistency == CONSISTENCY_SSP && inflight > job->train.staleness)
        inflight = job->train.staleness;
    return (uint32_t)inflight;
}

struct pass worker_first_pass(const struct worker *worker, uint32_t epoch,
                              struct range *range)
{
    const struct worker_setup *setup = worker->setup;
    uint32_t workers = setup->roster->workers, ranges = 1;
    struct lease_rule rule = lease_rule_of(&worker->data->facts,
                                           (uint64_t)setup->job->train.batch, workers);
    struct range all = {0, rule.positions};

    if (is_bsp(worker))
        ranges = ranges_share(&all, 1, setup->index, workers, range);
    else
        *range = lease_first(&rule, setup->index);
    return (struct pass){.data = worker->data,
                         .part = SPLIT_TRAIN,
                         .epoch = epoch,
                         .range = range,
                         .ranges = ranges && range->first < range->end,
                         .lease = 1,
                         .open = !is_bsp(worker) && workers > 1};
}

/* Starts reading, and what comes after it if the guess is right. */
static int begin_reading(struct training *t, const struct pass *pass, struct err *err)
{
    struct worker *worker = t->worker;
    const struct job *job = worker->setup->job;
    bool last = pass->epoch >= job->train.epochs ||
                (job->evaluate.every > 0 && pass->epoch % job->evaluate.every == 0);
    struct range range;
    struct pass next = worker_first_pass(worker, pass->epoch + 1, &range);

    return feeder_begin(worker->feeder, pass, last ? NULL : &next, err);
}

int worker_train(struct worker *worker, const struct order *order, struct err *err)
{
    struct training t = training_of(worker, order);
    struct range range[SHARE_RANGES_MAX];
    struct err ignored;
    struct pass pass;
    int rc;

    if (check_ranges(worker, order, err))
        return -err->code;
    t.inflight = ahead(worker->setup->job);
    pass = remaining(&t, range);
    worker->status.phase = PHASE_TRAINING;
    worker->status.epoch = order->epoch;
    report(&t, false);
    rc = begin_reading(&t, &pass, err);
    if (rc)
        return rc;
    client_begin_order(worker->client, order->train, t.clock);
    rc = run(&t, err);
    if (rc)
        drop_flight(&t);
    if (feeder_end(worker->feeder, rc ? &ignored : err) && rc == 0)
        rc = -err->code;
    return rc;
}

int worker_stop(struct worker *worker, const struct order *order, struct err *err)
{
    const struct journal_entry *standing = outbox_standing(worker->setup->outbox);
    struct training t = training_of(worker, order);

    t.done = standing->order == order->train
                 ? *standing
                 : (struct journal_entry){.clock = order->clock};
    if (is_bsp(worker) && order->limit == 0) {
        report(&t, false);
        return 0;
    }
    if (t.done.clock < order->limit)
        return worker_train(worker, order, err);
    client_begin_order(worker->client, order->train, t.done.clock);
    return end_order(&t, err);
}

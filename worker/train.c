#include <math.h>
#include <string.h>

#include "common/clock.h"
#include "worker/step.h"

enum { WINDOW_MAX = 256 };

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
        batch->clock = ++t->clock;
        rc = client_begin_pull(t->worker->client, batch, err);
        if (rc)
            return rc;
        f->batch[(f->head + f->count++) % WINDOW_MAX] = batch;
    }
    return 0;
}

static void report(struct training *t)
{
    struct worker *worker = t->worker;
    struct status *status = &worker->status;

    status->clock = t->done.clock;
    status->taken = status->examples = t->done.taken;
    status->loss_sum = t->done.loss_sum;
    status->training_seconds = t->before + clock_seconds() - t->begun;
    worker_report(worker, false);
}

static double compute_gradient(struct worker *worker, struct batch *batch)
{
    struct mf_batch model = worker_model_batch(worker, batch);

    for (uint32_t i = 0; i < batch->tables; i++)
        memset(worker->gradient[i], 0,
               (size_t)batch->set[i].rows * worker->width[i] * sizeof(float));
    return mf_forward_backward(&worker->mf, &model, worker->gradient[worker->user],
                               worker->gradient[worker->item]);
}

static int compute(struct training *t, struct batch *batch, double *loss,
                   struct err *err)
{
    struct worker *worker = t->worker;

    *loss = worker->setup->job->train.update == UPDATE_DELTA
                ? delta_steps(&worker->delta, batch, worker->gradient)
                : compute_gradient(worker, batch);
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

/* The step: the oldest batch's rows, forward and backward, push. 1 as await_rows(). */
static int step(struct training *t, struct err *err)
{
    struct flight *f = &t->flight;
    struct worker *worker = t->worker;
    struct batch *batch = f->batch[f->head];
    double loss;
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
    t->done.clock = batch->clock;
    t->done.taken = batch->taken;
    t->done.loss_sum += loss;
    rc = client_push(worker->client, batch, worker->gradient, &t->done, err);
    if (rc)
        return rc;
    feeder_return(worker->feeder, batch);
    return 0;
}

/* Out of data or told to stop: nobody is to wait for us any more, and all that was
 * pushed is to be applied. Under bsp those who have stopped a clock before us push it
 * only when the next order says so. */
static int end_order(struct training *t, struct err *err)
{
    struct client *client = t->worker->client;
    int rc;

    drop_flight(t);
    rc = client_end_order(client, err);
    while (rc == 0 && !client_has_ended(client) && !overruled(t))
        rc = client_wait(client, err);
    if (rc == 0)
        report(t);
    return rc;
}

/* Under bsp a stop leaves things as they are: at which clock all stop is yet to be
 * said, and until then those behind still have pushes to make. */
static int run(struct training *t, struct err *err)
{
    struct worker *worker = t->worker;
    int rc;

    for (;;) {
        rc = begin_pulls(t, err);
        if (rc == 0 && t->flight.count == 0)
            break;
        if (rc == 0)
            rc = step(t, err);
        if (rc > 0) {
            drop_flight(t);
            return 0;
        }
        if (rc)
            return rc;
        report(t);
        if (t->order->limit && t->done.clock >= t->order->limit)
            break;
        if (member_order_number(worker->member) != t->order->number)
            return is_bsp(worker) ? 0 : end_order(t, err);
    }
    return end_order(t, err);
}
/* The share, less what an earlier incarnation has behind it. */
static uint32_t remaining(struct training *t, struct range *range)
{
    const struct journal_entry *before = outbox_standing(t->worker->setup->outbox);
    uint32_t ranges = t->order->ranges;

    memcpy(range, t->order->range, ranges * sizeof *range);
    t->done = (struct journal_entry){.order = t->order->train,
                                     .clock = t->order->clock};
    if (before->order == t->order->train) {
        t->done.clock = before->clock;
        t->done.taken = before->taken;
        t->done.loss_sum = before->loss_sum;
        ranges = ranges_drop(range, ranges, before->taken);
    }
    /* This incarnation's counts are added with each push. */
    t->done.pushes_sent = t->worker->before.pushes_sent;
    t->done.pushes_resent = t->worker->before.pushes_resent;
    t->done.bytes_pulled = t->worker->before.bytes_pulled;
    t->done.bytes_pushed = t->worker->before.bytes_pushed;
    t->clock = t->done.clock;
    client_begin_order(t->worker->client, t->order->train, t->clock);
    return ranges;
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

static int check_ranges(const struct worker *worker, const struct order *order,
                        struct err *err)
{
    for (uint32_t i = 0; i < order->ranges; i++)
        if (order->range[i].end > worker->data->train.examples)
            return err_set(
                err, ERR_PEER, "worker %u was ordered to train example %llu of %llu",
                worker->setup->index, (unsigned long long)order->range[i].end,
                (unsigned long long)worker->data->train.examples);
    return 0;
}

struct pass worker_whole_share(const struct worker *worker, uint32_t epoch,
                               struct range *share)
{
    const struct worker_setup *setup = worker->setup;
    const struct range all = {0, worker->data->train.examples};
    uint32_t ranges = ranges_share(&all, 1, setup->index, setup->roster->workers,
                                   share);

    return (struct pass){.data = worker->data,
                         .part = &worker->data->train,
                         .epoch = epoch,
                         .range = share,
                         .ranges = ranges};
}

int worker_train(struct worker *worker, const struct order *order, struct err *err)
{
    struct training t = training_of(worker, order);
    const struct job *job = worker->setup->job;
    struct range range[SHARE_RANGES_MAX], share;
    struct pass pass, next;
    struct err ignored;
    uint32_t ranges;
    int rc;

    if (check_ranges(worker, order, err))
        return -err->code;
    t.inflight = ahead(job);
    ranges = remaining(&t, range);
    worker->status.phase = PHASE_TRAINING;
    worker->status.epoch = order->epoch;
    report(&t);
    pass = (struct pass){.data = worker->data,
                         .part = &worker->data->train,
                         .epoch = order->epoch,
                         .range = range,
                         .ranges = ranges,
                         .taken = t.done.taken};
    next = worker_whole_share(worker, order->epoch + 1, &share);
    rc = feeder_begin(worker->feeder, &pass,
                      order->epoch < job->train.epochs ? &next : NULL, err);
    if (rc)
        return rc;
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
        report(&t);
        return 0;
    }
    if (t.done.clock < order->limit)
        return worker_train(worker, order, err);
    client_begin_order(worker->client, order->train, t.done.clock);
    return end_order(&t, err);
}

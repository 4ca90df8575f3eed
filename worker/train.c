#include <math.h>
#include <string.h>

#include "worker/step.h"
#include "worker/stream/shuffle.h"

enum { WINDOW_MAX = 256 };

/* Batches on their way, from the begin of the pull to the push. */
struct flight {
    struct batch *batch[WINDOW_MAX];
    uint32_t head, count;
};

/* What is behind each clock that is pushed and not acknowledged yet. */
struct pending {
    struct journal_entry entry[WINDOW_MAX];
    uint32_t head, count;
};

struct training {
    struct worker *worker;
    const struct order *order;
    struct flight flight;
    struct pending pending;
    struct journal_entry done; /* the journal's next entry, counted up */
    uint64_t clock;
    uint32_t inflight;
};

static void fill_counts(struct worker *worker, struct journal_entry *entry)
{
    const struct client_counts *counts = client_counts(worker->client);

    entry->pushes_sent = worker->before.pushes_sent + counts->pushes_sent;
    entry->pushes_resent = worker->before.pushes_resent + counts->pushes_resent;
    entry->bytes_pulled = worker->before.bytes_pulled + counts->bytes_pulled;
    entry->bytes_pushed = worker->before.bytes_pushed + counts->bytes_pushed;
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

/* Moves the journal up to what every server has acknowledged. */
static void settle(struct training *t)
{
    uint64_t acknowledged = client_acknowledged(t->worker->client);
    const struct journal_entry *newest = NULL;
    struct pending *p = &t->pending;

    while (p->count && p->entry[p->head].clock <= acknowledged) {
        newest = &p->entry[p->head];
        p->head = (p->head + 1) % WINDOW_MAX;
        p->count--;
    }
    if (newest) {
        journal_write(t->worker->setup->journal, newest);
        t->worker->status.taken = newest->taken;
    }
}

static int compute(struct training *t, struct batch *batch, double *loss, struct err *err)
{
    struct worker *worker = t->worker;
    struct mf_batch model = worker_model_batch(worker, batch);

    for (uint32_t i = 0; i < batch->tables; i++)
        memset(worker->gradient[i], 0,
               (size_t)batch->set[i].rows * worker->width[i] * sizeof(float));
    *loss = mf_forward_backward(&worker->mf, &model, worker->gradient[worker->user],
                                worker->gradient[worker->item]);
#ifndef MUTANT_FINITE
    if (worker->setup->job->train.check_finite && !isfinite(*loss))
        return err_set(err, ERR_INPUT,
                       "worker %u: the loss of the batch with clock %llu (epoch %u) is not "
                       "finite; a smaller optimizer.rate may help",
                       worker->setup->index, (unsigned long long)batch->clock,
                       t->order->epoch);
#endif
    return 0;
}

/* The step: the oldest batch's rows, forward and backward, push. */
static int step(struct training *t, struct err *err)
{
    struct flight *f = &t->flight;
    struct pending *p = &t->pending;
    struct worker *worker = t->worker;
    struct batch *batch = f->batch[f->head];
    double loss;
    int rc;

    rc = client_finish_pull(worker->client, batch, err);
    if (rc == 0)
        rc = compute(t, batch, &loss, err);
    if (rc == 0)
        rc = client_push(worker->client, batch, worker->gradient, err);
    if (rc)
        return rc;
    f->head = (f->head + 1) % WINDOW_MAX;
    f->count--;
    t->done.clock = batch->clock;
    t->done.taken = batch->taken;
    t->done.loss_sum += loss;
    fill_counts(worker, &t->done);
    p->entry[(p->head + p->count++) % WINDOW_MAX] = t->done;
    worker->status.clock = batch->clock;
    worker->status.examples = batch->taken;
    worker->status.loss_sum = t->done.loss_sum;
    worker->status.pushes_sent = t->done.pushes_sent;
    worker->status.pushes_resent = t->done.pushes_resent;
    worker->status.bytes_pulled = t->done.bytes_pulled;
    worker->status.bytes_pushed = t->done.bytes_pushed;
    feeder_return(worker->feeder, batch);
    return 0;
}

static int run(struct training *t, struct err *err)
{
    struct worker *worker = t->worker;

    for (;;) {
        int rc = begin_pulls(t, err);

        if (rc == 0 && t->flight.count == 0)
            break;
        if (rc == 0)
            rc = step(t, err);
        if (rc)
            return rc;
        settle(t);
        worker_report(worker, false);
        if (member_order_number(worker->member) != t->order->number)
            break;
    }
    drop_flight(t);
    if (client_drain(worker->client, err))
        return -err->code;
    settle(t);
    return 0;
}

/* The share, less what an earlier incarnation has behind it. */
static uint32_t remaining(struct training *t, struct range *range)
{
    const struct journal_entry *entry = journal_read(t->worker->setup->journal);
    uint32_t ranges = t->order->ranges;

    memcpy(range, t->order->range, ranges * sizeof *range);
    t->clock = t->order->clock;
    t->done.order = t->order->number;
    t->done.clock = t->clock;
    if (entry->order != t->order->number)
        return ranges;
    t->done = *entry;
    t->clock = entry->clock;
    return ranges_drop(range, ranges, entry->taken);
}

int worker_train(struct worker *worker, const struct order *order, struct err *err)
{
    struct training t = {.worker = worker, .order = order};
    const struct job *job = worker->setup->job;
    struct range range[SHARE_RANGES_MAX];
    struct err ignored;
    uint32_t ranges;
    int rc;

    t.inflight = (uint32_t)job->train.inflight;
    if (worker->order_epoch != order->epoch) {
        shuffle(worker->order, worker->data->train.examples, (uint64_t)job->train.seed,
                order->epoch);
        worker->order_epoch = order->epoch;
    }
    ranges = remaining(&t, range);
    worker->status.phase = PHASE_TRAINING;
    worker->status.epoch = order->epoch;
    worker->status.clock = t.clock;
    worker->status.taken = worker->status.examples = t.done.taken;
    worker->status.loss_sum = t.done.loss_sum;
    rc = feeder_begin(worker->feeder, &worker->data->train, worker->order, range, ranges,
                      t.done.taken, false, err);
    if (rc)
        return rc;
    rc = run(&t, err);
    if (rc)
        drop_flight(&t);
    if (feeder_end(worker->feeder, rc ? &ignored : err) && rc == 0)
        rc = -err->code;
    return rc;
}

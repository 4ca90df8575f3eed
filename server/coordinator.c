#include "server/coordinator_parts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"

enum {
    END_MS = 3000, /* what members get to end in */
    AGAIN_MS = 1000,
    AWAY_MS = 1000, /* a longer time between two looks was our own doing */
};

static void enter(struct coordinator *c, enum stage stage, int64_t now_ms)
{
    c->state->stage = stage;
    c->state->number++;
    c->news++;
    c->stage_ms = now_ms;
}

/* What an earlier process has left, if there was one. */
static void recall(struct coordinator *c)
{
    struct coordinator_memory *m = c->memory;

    if (m->ready) { /* it died while it wrote the state itself */
        m->state = m->next;
        __atomic_store_n(&m->ready, 0, __ATOMIC_RELEASE);
    }
    *c->state = m->state;
    for (uint32_t i = 0; i < c->plan.roster->servers; i++)
        c->server[i].incarnation = &c->state->server_incarnation[i];
    for (uint32_t i = 0; i < c->plan.roster->workers; i++)
        c->worker[i].incarnation = &c->state->worker_incarnation[i];
    coordinator_recall_leases(c);
}

static void keep_state(struct coordinator *c)
{
    struct coordinator_memory *m = c->memory;

    if (m->state.number == c->state->number &&
        m->state.restarts == c->state->restarts &&
        m->state.interrupted == c->state->interrupted)
        return;
    if (c->state->stage == STAGE_END && m->state.stage != STAGE_END)
        coordinator_sum(c, c->stage_ms, &m->view);
    m->next = *c->state;
    __atomic_store_n(&m->ready, 1, __ATOMIC_RELEASE);
    m->state = m->next;
    __atomic_store_n(&m->ready, 0, __ATOMIC_RELEASE);
}

/* Keeps what has changed, all of it or nothing. Orders are given after it. Leases come
 * second: those of an order that nobody has kept any of are the same when they are
 * dealt again. */
static void keep(struct coordinator *c)
{
    keep_state(c);
    coordinator_keep_leases(c);
}

/* Members may have done more than they had said when the end was decided. A coordinator
 * that has come back since does not hear from all of them again. */
static void keep_last_words(struct coordinator *c)
{
    bool all = c->memory->state.stage == STAGE_END;

    for (uint32_t i = 0; i < c->plan.roster->servers; i++)
        all = all && c->server[i].known;
    for (uint32_t i = 0; i < c->plan.roster->workers; i++)
        all = all && c->worker[i].known;
    if (all)
        coordinator_sum(c, c->stage_ms, &c->memory->view);
}

/* Takes up what a checkpoint says, once. */
static void restore_state(struct coordinator *c)
{
    const struct manifest *m = c->plan.restored;
    struct coordinator_state *s = c->state;

    s->checkpoint = c->plan.checkpoint_last;
    if (!m)
        return;
    s->epoch = m->epoch;
    s->ranges = m->ranges;
    memcpy(s->range, m->range, m->ranges * sizeof m->range[0]);
    s->shares = m->shares;
    memcpy(s->share_ranges, m->share_ranges, m->shares * sizeof m->share_ranges[0]);
    s->clock = m->clock;
    s->seconds_before = m->seconds;
    s->data = m->data;
    s->best = coordinator_best_before(c);
    s->has_data = true;
    s->grows = m->grows;
    s->known = m->grows ? m->known : lease_positions(&m->data);
    if (coordinator_in_epoch(c)) /* the one after those finished */
        s->epoch++;
    coordinator_saved_floor(c);
}

int coordinator_create(const struct coordinator_plan *plan,
                       const struct coordinator_host *host,
                       struct coordinator_memory *memory, int64_t now_ms,
                       struct coordinator **out, struct err *err)
{
    struct coordinator *c = calloc(1, sizeof *c);

    if (!c)
        goto fail;
    c->plan = *plan;
    c->host = *host;
    c->memory = memory;
    c->state = malloc(sizeof *c->state);
    c->server = calloc(plan->roster->servers, sizeof *c->server);
    c->worker = calloc(plan->roster->workers, sizeof *c->worker);
    c->dealing = calloc(1, sizeof *c->dealing);
    c->manifest = calloc(1, sizeof *c->manifest);
    if (!c->state || !c->dealing || !c->server || !c->worker || !c->manifest)
        goto fail;
    recall(c);
    c->started_ms = c->stage_ms = c->saved_ms = c->looked_ms = c->stop_ms = now_ms;
    c->news = 1;
    if (c->state->number == 0) {
        c->state->started_ms = now_ms;
        restore_state(c);
        enter(c, STAGE_GATHER, now_ms);
        keep(c);
    }
    *out = c;
    return 0;
fail:
    coordinator_destroy(c);
    return err_set(err, ERR_MEMORY, "no memory for the coordinator");
}

void coordinator_destroy(struct coordinator *c)
{
    if (!c)
        return;
    free(c->state);
    roc_release(&c->roc);
    covered_release(&c->covered);
    free(c->dealing);
    free(c->server);
    free(c->worker);
    free(c->manifest);
    free(c);
}

static struct member_record *find(const struct coordinator *c, struct peer who)
{
    if (who.role == ROLE_SERVER && who.index < c->plan.roster->servers)
        return &c->server[who.index];
    if (who.role == ROLE_WORKER && who.index < c->plan.roster->workers)
        return &c->worker[who.index];
    return NULL;
}

static const char *role_name(uint32_t role)
{
    return role == ROLE_SERVER ? "server" : "worker";
}

static void fail(struct coordinator *c, int code, const char *text, int64_t now_ms)
{
    struct coordinator_state *s = c->state;

    if (s->stage == STAGE_END)
        return;
    s->error = (uint32_t)code;
    s->exit_status = err_exit_status(code);
    snprintf(s->text, sizeof s->text, "%s", text);
    enter(c, STAGE_END, now_ms);
}

static void end(struct coordinator *c, int32_t exit_status, int64_t now_ms)
{
    c->state->exit_status = exit_status;
    enter(c, STAGE_END, now_ms);
}

/* --- the stages' ends ----------------------------------------------------------------
 */

/* What the workers have read must be one and the same, and fit the checkpoint. */
static int check_data(struct coordinator *c, struct err *err)
{
    struct coordinator_state *s = c->state;
    const struct data_facts *first = &c->worker[0].status.data;

    for (uint32_t w = 1; w < c->plan.roster->workers; w++)
        if (c->worker[w].status.data.digest != first->digest ||
            c->worker[w].status.data.preparation_digest != first->preparation_digest)
            return err_set(err, ERR_INPUT,
                           "worker %u on %s and worker 0 on %s read different data; "
                           "data.train must be the same everywhere",
                           w, c->worker[w].status.host, c->worker[0].status.host);
    if (s->has_data && s->data.preparation_digest != first->preparation_digest)
        return err_set(err, ERR_INPUT,
                       "the data are prepared in another way than those that the "
                       "checkpoint was made with");
    if (s->has_data && s->data.digest != first->digest && !c->plan.evaluate_only) {
        if (coordinator_in_epoch(c))
            return err_set(
                err, ERR_INPUT,
                "data.train is not what the checkpoint was made with (%llu "
                "training examples then, %llu now), and it stands in the middle "
                "of epoch %u",
                (unsigned long long)s->data.train_examples,
                (unsigned long long)first->train_examples, s->epoch);
        log_warn("data.train has changed since the checkpoint was made (%llu training "
                 "examples then, %llu now)",
                 (unsigned long long)s->data.train_examples,
                 (unsigned long long)first->train_examples);
    }
    if (s->has_data) { /* the mean is part of the model */
        double mean = s->data.label_mean;

        s->data = *first;
        s->data.label_mean = mean;
    } else {
        s->data = *first;
    }
    s->has_data = true;
    if (c->worker[0].status.text[0])
        log_warn("%s", c->worker[0].status.text);
    return 0;
}

static void begin_save(struct coordinator *c, int64_t now_ms)
{
    struct coordinator_state *s = c->state;
    struct err err;

    if (c->host.begin_save(c->host.context, s->checkpoint + 1, s->saving,
                           sizeof s->saving, &err)) {
        fail(c, err.code, err.text, now_ms);
        return;
    }
    enter(c, STAGE_SAVE, c->host.now_ms(c->host.context));
}

/* The best epoch's rows; they are tested, and saved once more as the newest. */
static void go_back(struct coordinator *c, int64_t now_ms)
{
    struct coordinator_state *s = c->state;
    struct err err;

    if (c->host.find_saved(c->host.context, s->best.checkpoint, s->saving,
                           sizeof s->saving, &err)) {
        fail(c, err.code, err.text, now_ms);
        return;
    }
    log_info("epoch %u was the best of %u on the validation part: back to its "
             "checkpoint",
             s->best.epoch, s->best.reached);
    enter(c, STAGE_RESTORE, now_ms);
}

static void train_next(struct coordinator *c, int64_t now_ms)
{
    struct coordinator_state *s = c->state;

    if (!coordinator_in_epoch(c)) {
        if (coordinator_has_trained(c)) {
            if (coordinator_must_go_back(c))
                go_back(c, now_ms);
            else if (s->data.test_examples && !s->evaluated)
                enter(c, STAGE_EVALUATE, now_ms);
            else
                end(c, 0, now_ms);
            return;
        }
#ifndef MUTANT_PATIENCE_AGAIN
        if (s->epoch == s->best.epoch) /* those after it are gone over again */
            s->best.misses = 0;
#endif
        s->epoch++;
        s->ranges = 1;
        s->shares = 0;
        s->range[0] = (struct range){0, lease_positions(&s->data)};
        s->known = s->range[0].end;
        s->grows = c->plan.grows;
        s->open = (struct epoch_record){.epoch = s->epoch};
    }
    s->open.epoch = s->epoch;
    enter(c, STAGE_TRAIN, now_ms);
    s->train = s->number;
    s->limit = 0;
    coordinator_share_out(c);
}

static void loaded(struct coordinator *c, int64_t now_ms)
{
    struct err err;

    if (check_data(c, &err)) {
        fail(c, err.code, err.text, now_ms);
    } else if (!c->plan.evaluate_only) {
        c->saved_ms = now_ms;
        train_next(c, now_ms);
    } else if (c->state->data.test_examples == 0) {
        fail(c, ERR_INPUT,
             "there is nothing to evaluate on: set data.test or "
             "data.split.test",
             now_ms);
    } else {
        enter(c, STAGE_EVALUATE, now_ms);
    }
}

/* Adds what the workers have trained since the order to the open epoch. */
static void count_training(struct coordinator *c, int64_t now_ms)
{
    struct coordinator_state *s = c->state;
    double seconds = (double)(now_ms - c->stage_ms) / 1000;

    s->bad_rows = coordinator_bad_rows(c);
    for (uint32_t w = 0; w < c->plan.roster->workers; w++) {
        const struct status *status = &c->worker[w].status;

        s->open.examples += status->examples;
        s->open.loss_sum += status->loss_sum;
        s->worker_examples[w] += status->examples;
        if (status->clock > s->clock)
            s->clock = status->clock;
    }
    s->open.seconds += seconds;
    s->train_seconds += seconds;
}

static bool save_due(const struct coordinator *c, int64_t now_ms)
{
    const struct job *job = c->plan.job;
    const struct coordinator_state *s = c->state;

    if (!job->checkpoint.dir[0])
        return false;
    if (s->is_best || coordinator_has_trained(c))
        return true;
    if (job->checkpoint.every <= 0)
        return false;
    if (job->checkpoint.every_unit == EVERY_EPOCH)
        return !coordinator_in_epoch(c) && fmod(s->epoch, job->checkpoint.every) < 1;
    return (double)(now_ms - c->saved_ms) >= job->checkpoint.every * 1000;
}

/* An epoch is trained, and evaluated if it is its turn. */
static void epoch_over(struct coordinator *c, int64_t now_ms)
{
    struct coordinator_state *s = c->state;
    bool goes_back;

    if (s->epoch > s->best.reached)
        s->best.reached = s->epoch;
    if (s->records < EPOCHS_KEPT)
        s->record[s->records++] = s->open;
    if (c->host.epoch_done)
        c->host.epoch_done(c->host.context, &s->open);
    goes_back = !s->interrupted && coordinator_has_trained(c) &&
                coordinator_must_go_back(c);
    if (!goes_back &&
        (save_due(c, now_ms) || (s->interrupted && c->plan.job->checkpoint.dir[0])))
        begin_save(c, now_ms);
    else if (s->interrupted)
        end(c, 130, now_ms);
    else
        train_next(c, now_ms);
}

static void epoch_trained(struct coordinator *c, int64_t now_ms)
{
    struct coordinator_state *s = c->state;

    s->known = coordinator_known(c); /* the dealing knows of all that came */
    count_training(c, now_ms);
    s->ranges = 0;
    s->grows = false;
    if (!coordinator_must_validate(c)) {
        epoch_over(c, now_ms);
        return;
    }
    s->validating = true;
    enter(c, STAGE_EVALUATE, now_ms);
}

/* bsp: workers stop within a clock of each other; those behind catch up, so that a run
 * that goes on from here is the one that was never stopped. True when all have. */
static bool caught_up(struct coordinator *c, int64_t now_ms)
{
    struct coordinator_state *s = c->state;
    int64_t began = c->stage_ms;
    uint64_t most = s->clock;

    if (c->plan.job->train.consistency != CONSISTENCY_BSP || s->limit)
        return true;
    for (uint32_t w = 0; w < c->plan.roster->workers; w++)
        if (c->worker[w].status.clock > most)
            most = c->worker[w].status.clock;
    s->limit = most ? most : 1;
    enter(c, STAGE_STOP, now_ms);
    c->stop_ms = now_ms;
    c->stage_ms = began; /* the training goes on counting */
    return false;
}

static void stopped(struct coordinator *c, int64_t now_ms)
{
    if (!caught_up(c, now_ms))
        return;
    coordinator_cut(c);
    if (!coordinator_in_epoch(c)) { /* the workers were faster than the order */
        epoch_trained(c, now_ms);
        return;
    }
    count_training(c, now_ms);
    begin_save(c, now_ms);
}

static void saved(struct coordinator *c, int64_t now_ms)
{
    struct coordinator_state *s = c->state;
    struct err err;
    int rc;

    coordinator_fill_manifest(c);
    rc = c->host.finish_save(c->host.context, s->saving, c->manifest, &err);
    manifest_release(c->manifest);
    if (rc) {
        fail(c, err.code, err.text, now_ms);
        return;
    }
    now_ms = c->host.now_ms(c->host.context);
    s->checkpoint++;
    s->best.checkpoint = coordinator_best(c, s->checkpoint).checkpoint;
    s->is_best = false;
    s->checkpoint_seconds = (double)(now_ms - c->stage_ms) / 1000;
    s->checkpoint_bytes = 0;
    for (uint32_t i = 0; i < c->plan.roster->servers; i++)
        s->checkpoint_bytes += c->server[i].status.shard_bytes;
    c->saved_ms = now_ms;
    coordinator_saved_floor(c);
    if (s->interrupted)
        end(c, 130, now_ms);
    else
        train_next(c, now_ms);
}

static void validated(struct coordinator *c, int64_t now_ms)
{
    struct err err;

    c->state->validating = false;
    if (coordinator_validated(c, &err))
        fail(c, err.code, err.text, now_ms);
    else
        epoch_over(c, now_ms);
}

static void evaluated(struct coordinator *c, int64_t now_ms)
{
    if (c->state->validating) {
        validated(c, now_ms);
        return;
    }
    coordinator_sum_metrics(c, c->state->metric);
    c->state->evaluated = true;
    end(c, 0, now_ms);
}

static bool all_done(const struct coordinator *c)
{
    for (uint32_t i = 0; i < c->plan.roster->servers; i++)
        if (!c->server[i].known || c->server[i].status.done != c->state->number)
            return false;
    for (uint32_t i = 0; i < c->plan.roster->workers; i++)
        if (!c->worker[i].known || c->worker[i].status.done != c->state->number ||
            (c->state->stage == STAGE_EVALUATE && !coordinator_has_counts(c, i)))
            return false;
    return true;
}

static void advance(struct coordinator *c, int64_t now_ms)
{
    if (!all_done(c))
        return;
    switch (c->state->stage) {
    case STAGE_GATHER:
        enter(c, STAGE_LOAD, now_ms);
        break;
    case STAGE_LOAD:
        loaded(c, now_ms);
        break;
    case STAGE_TRAIN:
        epoch_trained(c, now_ms);
        break;
    case STAGE_STOP:
        stopped(c, now_ms);
        break;
    case STAGE_SAVE:
        saved(c, now_ms);
        break;
    case STAGE_EVALUATE:
        evaluated(c, now_ms);
        break;
    case STAGE_RESTORE:
        coordinator_gone_back(c);
        begin_save(c, now_ms);
        break;
    default:
        break;
    }
}

/* --- what comes in
 * --------------------------------------------------------------------- */

static int take(struct coordinator *c, struct peer from, const struct status *status,
                int64_t now_ms, struct err *err)
{
    struct member_record *m = find(c, from);

    if (!m)
        return err_set(err, ERR_PEER, "there is no %s %u in this run",
                       role_name(from.role), from.index);
    if (from.incarnation < *m->incarnation)
        return err_set(err, ERR_PEER,
                       "%s %u has been restarted; incarnation %u is stale",
                       role_name(from.role), from.index, from.incarnation);
    if (m->known && from.incarnation == *m->incarnation &&
        status->number < m->status.number)
        return 0;
    c->state->restarts += from.incarnation - *m->incarnation;
    m->known = true;
    *m->incarnation = from.incarnation;
    m->heard_ms = now_ms;
    status_copy(&m->status, status);
    if (status->error && c->state->stage != STAGE_END) {
        fail(c, (int)status->error, status->text, now_ms);
        return 0;
    }
    if (from.role == ROLE_WORKER && coordinator_note_standing(c, from.index, err))
        fail(c, err->code, err->text, now_ms);
    advance(c, now_ms);
    return 0;
}

int coordinator_take(struct coordinator *c, struct peer from,
                     const struct status *status, int64_t now_ms, struct err *err)
{
    int rc = take(c, from, status, now_ms, err);

    keep(c);
    keep_last_words(c);
    return rc;
}

void coordinator_order(const struct coordinator *c, struct peer to, struct order *order)
{
    static const uint32_t kind[] = {
        [STAGE_GATHER] = ORDER_WAIT, [STAGE_LOAD] = ORDER_LOAD,
        [STAGE_TRAIN] = ORDER_TRAIN, [STAGE_STOP] = ORDER_STOP,
        [STAGE_SAVE] = ORDER_SAVE,   [STAGE_EVALUATE] = ORDER_EVALUATE,
        [STAGE_END] = ORDER_END,     [STAGE_RESTORE] = ORDER_LOAD,
    };
    const struct coordinator_state *s = c->state;

    order->number = s->number;
    order->kind = kind[s->stage];
    order->epoch = s->epoch;
    order->clock = s->clock;
    order->ranges = order->more = 0;
    order->validate = s->stage == STAGE_EVALUATE && s->validating;
    order->counted = to.role == ROLE_WORKER && s->stage == STAGE_EVALUATE &&
                     coordinator_has_counts(c, to.index);
    order->dealt = order->lease = 0;
    order->train = s->train;
    order->limit = s->stage == STAGE_STOP ? s->limit : 0;
    order->path[0] = '\0';
    order->exit_status = s->exit_status;
    order->data = s->data;
    order->text[0] = '\0';
    if (s->stage == STAGE_LOAD)
        snprintf(order->path, sizeof order->path, "%s", c->plan.restore);
    if (s->stage == STAGE_SAVE || s->stage == STAGE_RESTORE)
        snprintf(order->path, sizeof order->path, "%s", s->saving);
    if (s->stage == STAGE_TRAIN || s->stage == STAGE_STOP)
        coordinator_order_shares(c, to, order);
}

/* --- time
 * -------------------------------------------------------------------------------- */

static const char *phase_text(uint32_t phase)
{
    static const char *const text[] = {
        [PHASE_START] = "starting",        [PHASE_IDLE] = "idle",
        [PHASE_LOADING] = "reading data",  [PHASE_TRAINING] = "training",
        [PHASE_EVALUATING] = "evaluating", [PHASE_SAVING] = "saving",
        [PHASE_RESTORING] = "restoring",   [PHASE_ENDED] = "ending",
    };

    return phase < sizeof text / sizeof text[0] ? text[phase] : "in an unknown phase";
}

static bool check_member(struct coordinator *c, uint32_t role, uint32_t index,
                         int64_t now_ms)
{
    const struct roster *roster = c->plan.roster;
    const struct member_record *m = find(c, (struct peer){role, index, 0});
    const struct roster_member *who = role == ROLE_SERVER ? &roster->server[index]
                                                          : &roster->worker[index];
    int64_t silent = now_ms - (m->known ? m->heard_ms : c->started_ms);
    double timeout = c->plan.job->cluster.timeout;
    char text[ERR_TEXT_MAX];

    if (silent <= (int64_t)(timeout * 1000))
        return true;
    if (!m->known)
        snprintf(text, sizeof text, "%s %u (rank %u on %s) has not come within %g s",
                 role_name(role), index, who->rank, who->host, timeout);
    else
        snprintf(
            text, sizeof text,
            "%s %u (rank %u on %s) has not been heard of for %.1f s; it was %s, epoch "
            "%u, clock %llu",
            role_name(role), index, who->rank, who->host, (double)silent / 1000,
            phase_text(m->status.phase), m->status.epoch,
            (unsigned long long)m->status.clock);
    fail(c, ERR_DEADLINE, text, now_ms);
    return false;
}

/* Ends the training in the middle of an epoch. The order's number is that of the
 * training order and one: by that a worker knows which one is meant. */
static void begin_stop(struct coordinator *c, int64_t now_ms)
{
    int64_t began = c->stage_ms;

    enter(c, STAGE_STOP, now_ms);
    c->stop_ms = now_ms;
    c->stage_ms = began; /* the training goes on counting */
}

static void forgive_member(struct member_record *m, int64_t away_ms, int64_t now_ms)
{
    m->heard_ms = m->heard_ms + away_ms < now_ms ? m->heard_ms + away_ms : now_ms;
}

/* While we were away - a slow disk, a stopped process - nobody could be heard. */
static void forgive(struct coordinator *c, int64_t now_ms)
{
    int64_t away = now_ms - c->looked_ms;

    c->looked_ms = now_ms;
    if (away <= AWAY_MS)
        return;
    c->started_ms += away;
    c->stop_ms += away;
    for (uint32_t i = 0; i < c->plan.roster->servers; i++)
        forgive_member(&c->server[i], away, now_ms);
    for (uint32_t i = 0; i < c->plan.roster->workers; i++)
        forgive_member(&c->worker[i], away, now_ms);
}

/* Ending a batch and getting it acknowledged must not take for ever; but a worker that
 * comes back has its data to read first, and others may wait for it. */
static bool check_stop(struct coordinator *c, int64_t now_ms)
{
    const struct coordinator_state *s = c->state;
    double timeout = c->plan.job->cluster.timeout;
    char text[ERR_TEXT_MAX];

    for (uint32_t w = 0; w < c->plan.roster->workers; w++)
        if (c->worker[w].status.phase == PHASE_LOADING)
            c->stop_ms = now_ms;
    if (s->stage != STAGE_STOP || now_ms - c->stop_ms <= (int64_t)(timeout * 1000))
        return true;
    for (uint32_t w = 0; w < c->plan.roster->workers; w++) {
        const struct status *status = &c->worker[w].status;

        if (status->done == s->number)
            continue;
        snprintf(
            text, sizeof text,
            "worker %u (rank %u on %s) has not stopped within %g s; it was %s, epoch "
            "%u, clock %llu",
            w, c->plan.roster->worker[w].rank, c->plan.roster->worker[w].host, timeout,
            phase_text(status->phase), status->epoch,
            (unsigned long long)status->clock);
        fail(c, ERR_DEADLINE, text, now_ms);
        return false;
    }
    return true;
}

static void check_deadlines(struct coordinator *c, int64_t now_ms)
{
    struct coordinator_state *s = c->state;

    if (s->stage == STAGE_END)
        return;
    for (uint32_t i = 0; i < c->plan.roster->servers; i++)
        if (!check_member(c, ROLE_SERVER, i, now_ms))
            return;
    for (uint32_t i = 0; i < c->plan.roster->workers; i++)
        if (!check_member(c, ROLE_WORKER, i, now_ms))
            return;
    if (!check_stop(c, now_ms))
        return;
    /* A list that has become long waits for the epoch's end; an interrupt finds room.
     */
    if (s->stage == STAGE_TRAIN && c->plan.job->checkpoint.every_unit == EVERY_SECOND &&
        save_due(c, now_ms) && coordinator_can_cut(c, MANIFEST_RANGES_MAX / 2))
        begin_stop(c, now_ms);
}

void coordinator_tick(struct coordinator *c, int64_t now_ms)
{
    forgive(c, now_ms);
    check_deadlines(c, now_ms);
    keep(c);
}

static void interrupt(struct coordinator *c, int64_t now_ms)
{
    struct coordinator_state *s = c->state;

    if (s->stage == STAGE_END)
        return;
    if (s->interrupted) { /* launchers send several signals at once: those are one */
        if (now_ms - c->interrupted_ms > AGAIN_MS)
            fail(c, ERR_INTERRUPTED, "interrupted again while stopping", now_ms);
        return;
    }
    s->interrupted = true;
    c->interrupted_ms = now_ms;
    if (s->stage == STAGE_TRAIN && c->plan.job->checkpoint.dir[0]) {
        if (coordinator_can_cut(c, MANIFEST_RANGES_MAX)) /* else at the epoch's end */
            begin_stop(c, now_ms);
    } else if (s->stage != STAGE_STOP && s->stage != STAGE_SAVE &&
               !(s->validating && c->plan.job->checkpoint.dir[0])) {
        end(c, 130, now_ms);
    }
}

void coordinator_interrupt(struct coordinator *c, int64_t now_ms)
{
    interrupt(c, now_ms);
    keep(c);
}

void coordinator_fail(struct coordinator *c, const struct err *err, int64_t now_ms)
{
    fail(c, err->code, err->text, now_ms);
    keep(c);
}

uint32_t coordinator_incarnation(const struct coordinator *c, struct peer who)
{
    return *find(c, who)->incarnation;
}

uint64_t coordinator_number(const struct coordinator *c)
{
    return c->state->number;
}

uint64_t coordinator_news(const struct coordinator *c)
{
    return c->news;
}

bool coordinator_finished(const struct coordinator *c, int64_t now_ms)
{
    return c->state->stage == STAGE_END &&
           (all_done(c) || now_ms - c->stage_ms > END_MS);
}

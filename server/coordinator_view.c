/* Where a run stands, summed over its members. */
#include <string.h>

#include "server/coordinator_parts.h"

static void view_servers(const struct coordinator *c, struct run_view *view)
{
    for (uint32_t i = 0; i < c->plan.roster->servers; i++) {
        const struct status *s = &c->server[i].status;

        view->pushes_applied += s->pushes_applied;
        view->pushes_duplicate += s->pushes_duplicate;
        view->pushes_uncompensated += s->pushes_uncompensated;
        view->member_cpu_seconds += s->cpu_seconds;
        for (uint32_t t = 0; t < s->tables && t < STATUS_TABLES_MAX; t++) {
            if (t >= view->tables)
                view->tables = t + 1;
            view->table[t].rows += s->table[t].rows;
            view->table[t].bytes += s->table[t].bytes;
            view->table[t].reads_refused += s->table[t].reads_refused;
            view->table[t].rows_refused += s->table[t].rows_refused;
            if (s->table[t].full > view->table[t].full)
                view->table[t].full = s->table[t].full;
            for (int b = 0; b < STALENESS_BUCKETS; b++)
                view->table[t].staleness[b] += s->table[t].staleness[b];
        }
    }
}

/* What a worker has read out of its cache, and what is in it. */
static void view_cache(const struct status *worker, struct run_view *view)
{
    for (uint32_t t = 0; t < worker->tables && t < STATUS_TABLES_MAX; t++) {
        view->table[t].cache_reads += worker->table[t].cache_reads;
        view->table[t].cache_hits += worker->table[t].cache_hits;
        for (int b = 0; b < STALENESS_BUCKETS; b++)
            view->table[t].staleness[b] += worker->table[t].staleness[b];
        view->cache_rows[t] += worker->table[t].rows;
        view->cache_bytes[t] += worker->table[t].bytes;
    }
}

void coordinator_view(const struct coordinator *c, int64_t now_ms,
                      struct run_view *view)
{
    if (c->memory->state.stage == STAGE_END)
        *view = c->memory->view;
    else
        coordinator_sum(c, now_ms, view);
}

void coordinator_sum(const struct coordinator *c, int64_t now_ms, struct run_view *view)
{
    const struct coordinator_state *s = c->state;
    double loss = s->open.loss_sum, seconds;

    memset(view, 0, sizeof *view);
    view->stage = s->stage;
    view->epoch = s->epoch;
    view->epochs = (uint32_t)c->plan.job->train.epochs;
    view->examples = s->open.examples;
    view->examples_total = s->data.train_examples;
    for (uint32_t i = 0; i < c->plan.roster->workers; i++) {
        const struct status *w = &c->worker[i].status;
        /* Who has not begun still speaks of an earlier order. */
        bool counts = s->stage == STAGE_TRAIN && w->train == s->train;

        if (counts) {
            view->examples += w->examples;
            loss += w->loss_sum;
        }
        view->bytes_pulled += w->bytes_pulled;
        view->bytes_pushed += w->bytes_pushed;
        view->pushes_sent += w->pushes_sent;
        view->pushes_resent += w->pushes_resent;
        view->member_cpu_seconds += w->cpu_seconds;
        view->times[view->workers++] = (struct worker_times){
            w->training_seconds, w->wait_seconds, w->parked_seconds,
            s->worker_examples[i] + (counts ? w->examples : 0)};
        view_cache(w, view);
    }
    view_servers(c, view);
    seconds = s->open.seconds +
              (s->stage == STAGE_TRAIN ? (double)(now_ms - c->stage_ms) / 1000 : 0);
    view->epoch_seconds = seconds;
    view->loss = view->examples ? loss / (double)view->examples : 0;
    view->rate = seconds > 0 ? (double)view->examples / seconds : 0;
    view->seconds_left = -1;
    if (view->rate > 0 && view->epochs >= view->epoch)
        view->seconds_left = ((double)(view->epochs - view->epoch) *
                                  (double)view->examples_total +
                              (double)view->examples_total - (double)view->examples) /
                             view->rate;
}

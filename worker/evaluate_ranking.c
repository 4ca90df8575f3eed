/* Evaluating rankings: each worker has its share of the tasks. */
#include <stdlib.h>
#include <string.h>

#include "common/metrics.h"
#include "worker/model/ranking_groups.h"
#include "worker/model/ranking_top.h"
#include "worker/ranking_score.h"

enum {
    BLOCK_TASKS = 64,       /* tasks that go to one worker together */
    BLOCK_SCORES = 1 << 24, /* scores of such a block, at most, if tasks have fewer */
    PAIRS = 1 << 16,        /* scored together, but for a task that has more */
};

/* What a worker ranks with. */
struct ranking {
    struct worker *worker;
    const struct ranking_tasks *tasks;
    struct ranking_scorer *scorer;
    struct ranking_draw draw;
    uint32_t slots, k[RANKING_SLOTS], most; /* the different K, and the largest */
    struct ranking_sums sums[RANKING_SLOTS];
    struct ranking_pair *pair; /* [room] */
    float *score;              /* [room] */
    uint64_t room;
    float *relevant, *left_out;  /* [most_relevant], [tasks->items] */
    struct ranking_group *group; /* [3 * most_relevant] */
    struct covered *covered;     /* the worker's; NULL: nobody asks */
    uint32_t *top;               /* the first of a list: [most] or all items */
    float *top_score;
};

static int no_memory(struct err *err)
{
    return err_set(err, ERR_MEMORY, "no memory to rank items");
}

static void ranking_release(struct ranking *r)
{
    ranking_scorer_destroy(r->scorer);
    ranking_draw_release(&r->draw);
    free(r->pair);
    free(r->score);
    free(r->relevant);
    free(r->left_out);
    free(r->group);
    free(r->top);
    free(r->top_score);
}

/* Gets ready to note which items come up. */
static int init_covered(struct ranking *r, struct err *err)
{
    uint32_t items = r->tasks->catalogue->items;

    if (!metrics_has(r->tasks->job->evaluate.metrics, "coverage@"))
        return 0;
    r->most = r->most < items ? r->most : items;
    r->covered = &r->worker->covered;
    r->top = malloc((r->most + (size_t)1) * sizeof(uint32_t));
    r->top_score = malloc((r->most + (size_t)1) * sizeof(float));
    if (!r->top || !r->top_score)
        return no_memory(err);
    return covered_init(r->covered, items, r->slots, err);
}

static int ranking_init(struct ranking *r, struct worker *worker, struct err *err)
{
    const struct ranking_tasks *tasks = worker->setup->shared->tasks;
    size_t relevant = tasks->most_relevant + 1;
    int rc;

    *r = (struct ranking){.worker = worker, .tasks = tasks};
    r->slots = metrics_slots(worker->setup->job->evaluate.metrics, r->k);
    for (uint32_t s = 0; s < r->slots; s++)
        r->most = r->k[s] > r->most ? r->k[s] : r->most;
    r->relevant = malloc(relevant * sizeof(float));
    r->left_out = malloc((tasks->items + 1) * sizeof(float));
    r->group = malloc(3 * relevant * sizeof *r->group);
    if (!r->relevant || !r->left_out || !r->group)
        return no_memory(err);
    rc = init_covered(r, err);
    if (rc == 0)
        rc = ranking_draw_init(&r->draw, tasks, err);
    return rc ? rc : ranking_scorer_create(worker, tasks, &r->scorer, err);
}

/* Room for so many scores; pairs only where they are scored one by one. */
static int room_for(struct ranking *r, uint64_t scores, bool pairs, struct err *err)
{
    float *score;
    struct ranking_pair *pair = NULL;

    if (scores <= r->room)
        return 0;
    score = realloc(r->score, scores * sizeof *score);
    if (score)
        r->score = score;
    if (score && pairs)
        pair = realloc(r->pair, scores * sizeof *pair);
    if (pair)
        r->pair = pair;
    if (!score || (pairs && !pair))
        return no_memory(err);
    r->room = scores;
    return 0;
}

static void add_list(struct ranking *r, const struct ranking_scores *scores,
                     uint64_t total)
{
    enum ranking_ties ties = (enum ranking_ties)r->tasks->job->evaluate.ties;
    uint32_t groups = ranking_find_groups(scores, r->most, ties, r->group);

    for (uint32_t s = 0; s < r->slots; s++)
        ranking_add_groups(&r->sums[s], r->group, groups, total, r->k[s]);
}

/* Notes the first items of a list whose items and scores these are (ranking_top()). */
static void note_top(struct ranking *r, const float *score, const uint32_t *item,
                     uint32_t n, const uint32_t *out, uint32_t outs)
{
    uint32_t found = ranking_top(score, item, n, out, outs, r->most, r->top,
                                 r->top_score);

    for (uint32_t s = 0; s < r->slots; s++)
        for (uint32_t i = 0; i < found && i < r->k[s]; i++)
            covered_add(r->covered, s, r->top[i]);
}

/* --- by pairs --------------------------------------------------------------------- */

/* A task whose scores are asked for with others'. */
struct asked {
    uint32_t task, first, n, relevant;
};

static void rank_asked(struct ranking *r, const struct asked *asked)
{
    struct ranking_scores scores = {.score = r->score + asked->first,
                                    .relevant = r->relevant,
                                    .n = asked->n,
                                    .relevants = asked->relevant};

    /* The list begins with them. */
    memcpy(r->relevant, scores.score, asked->relevant * sizeof(float));
    add_list(r, &scores, r->tasks->task[asked->task].relevant);
    if (!r->covered)
        return;
    for (uint32_t i = 0; i < asked->n; i++)
        r->draw.item[i] = r->pair[asked->first + i].item;
    note_top(r, scores.score, r->draw.item, asked->n, NULL, 0);
}

/* Scores and ranks tasks first .. end - 1. */
static int rank_pairs(struct ranking *r, uint32_t first, uint32_t end, struct err *err)
{
    struct asked asked[BLOCK_TASKS];
    uint32_t pairs = 0, tasks = 0;
    int rc = 0;

    for (uint32_t t = first; rc == 0 && t < end; t++) {
        uint32_t relevant = ranking_candidates(r->tasks, t, &r->draw);

        rc = room_for(r, (uint64_t)pairs + r->draw.n, true, err);
        if (rc)
            break;
        asked[tasks++] = (struct asked){t, pairs, r->draw.n, relevant};
        for (uint32_t i = 0; i < r->draw.n; i++)
            r->pair[pairs++] = (struct ranking_pair){t, r->draw.item[i]};
        if (pairs < PAIRS && t + 1 < end)
            continue;
        rc = ranking_score_pairs(r->scorer, r->pair, pairs, r->score, err);
        for (uint32_t i = 0; rc == 0 && i < tasks; i++)
            rank_asked(r, &asked[i]);
        pairs = tasks = 0;
    }
    return rc;
}

/* --- by products ------------------------------------------------------------------ */

static void rank_row(struct ranking *r, uint32_t number, const float *score)
{
    const struct item_catalogue *catalogue = r->tasks->catalogue;
    const struct ranking_task *task = &r->tasks->task[number];
    struct ranking_scores scores = {.score = score,
                                    .relevant = r->relevant,
                                    .left_out = r->left_out,
                                    .n = catalogue->items};
    const uint32_t *seen = NULL;

    if (r->tasks->job->evaluate.seen == SEEN_LEAVE_OUT) {
        seen = item_catalogue_seen(catalogue, task->user, &scores.left_outs);
        for (uint32_t i = 0; i < scores.left_outs; i++)
            r->left_out[i] = score[seen[i]];
    }
    for (uint32_t i = 0; i < task->relevant; i++) {
        uint32_t item = r->tasks->relevant[task->first + i];

        if (item < catalogue->items)
            r->relevant[scores.relevants++] = score[item];
    }
    add_list(r, &scores, task->relevant);
    if (r->covered)
        note_top(r, score, NULL, catalogue->items, seen, scores.left_outs);
}

static int rank_products(struct ranking *r, uint32_t first, uint32_t end,
                         struct err *err)
{
    uint32_t items = r->tasks->catalogue->items;
    uint32_t most = items < BLOCK_SCORES ? BLOCK_SCORES / items : 1;
    uint32_t n;
    int rc = 0;

    for (; rc == 0 && first < end; first += n) {
        n = end - first < most ? end - first : most;
        rc = room_for(r, (uint64_t)n * items, false, err);
        if (rc == 0)
            rc = ranking_score_users(r->scorer, first, n, r->score, err);
        for (uint32_t t = 0; rc == 0 && t < n; t++)
            rank_row(r, first + t, r->score + (size_t)t * items);
    }
    return rc;
}

/* --- the share -------------------------------------------------------------------- */

/* Whole blocks, so that it makes no difference to a score who computes it. */
static int rank_share(struct ranking *r, struct err *err)
{
    const struct worker_setup *setup = r->worker->setup;
    bool products = r->tasks->job->evaluate.protocol == PROTOCOL_ALL &&
                    ranking_has_vectors(r->scorer);
    uint64_t stride = (uint64_t)BLOCK_TASKS * setup->roster->workers;
    int rc = products && r->tasks->tasks ? ranking_fetch_items(r->scorer, err) : 0;

    for (uint64_t first = (uint64_t)BLOCK_TASKS * setup->index;
         rc == 0 && first < r->tasks->tasks; first += stride) {
        uint64_t end = first + BLOCK_TASKS;

        end = end < r->tasks->tasks ? end : r->tasks->tasks;
        rc = products ? rank_products(r, (uint32_t)first, (uint32_t)end, err)
                      : rank_pairs(r, (uint32_t)first, (uint32_t)end, err);
        if (rc == 0)
            rc = worker_still_evaluates(r->worker, err);
    }
    return rc;
}

int worker_evaluate_ranking(struct worker *worker, struct err *err)
{
    struct ranking r;
    int rc = ranking_init(&r, worker, err);

    if (rc == 0)
        rc = rank_share(&r, err);
    for (uint32_t s = 0; rc == 0 && s < r.slots; s++)
        metrics_add_ranking(worker->status.metric, s, &r.sums[s]);
    ranking_release(&r);
    return rc;
}

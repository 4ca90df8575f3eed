#include "worker/ranking_tasks.h"

#include <stdlib.h>
#include <string.h>

#include "common/rng.h"
#include "worker/ranking_given.h"
#include "worker/stream/splits.h"

/* --- what is asked ---------------------------------------------------------------- */

/* The examples of the scored part that ask for something. */
struct asking {
    struct ranking_tasks *tasks;
    struct item_catalogue *catalogue;
    uint32_t n;
    uint32_t *user, *item, *example; /* [n] */
};

static bool is_asked(const struct job *job, float label)
{
    int loss = job->model.loss;

    return loss == LOSS_SQUARED || loss == LOSS_ABSOLUTE || loss == LOSS_HUBER ||
           label > 0;
}

static int no_memory(struct err *err)
{
    return err_set(err, ERR_MEMORY, "no memory for what is to be ranked");
}

static int collect(struct asking *asking, const struct dataset *dataset,
                   struct err *err)
{
    const struct job *job = asking->tasks->job;
    struct item_catalogue *catalogue = asking->catalogue;
    enum split_part part = split_scored(job);
    struct part_keys user = part_keys_of(job, dataset, part, catalogue->user_column);
    struct part_keys item = part_keys_of(job, dataset, part, catalogue->item_column);
    uint64_t examples = user.part->examples;
    int rc = 0;

    asking->user = malloc((examples + 1) * sizeof(uint32_t));
    asking->item = malloc((examples + 1) * sizeof(uint32_t));
    asking->example = malloc((examples + 1) * sizeof(uint32_t));
    if (!asking->user || !asking->item || !asking->example)
        return no_memory(err);
    for (uint64_t p = 0; rc == 0 && p < examples; p++) {
        uint32_t n = asking->n;

        rc = dictionary_id(&catalogue->user, part_key(&user, p), &asking->user[n], err);
        if (rc == 0)
            rc = dictionary_id(&catalogue->item, part_key(&item, p), &asking->item[n],
                               err);
        asking->example[n] = (uint32_t)p;
        asking->n += is_asked(job, part_label(dataset, user.part, p));
    }
    return rc;
}

enum split_part ranking_held_out(const struct job *job)
{
    return split_scored(job) == SPLIT_TEST ? SPLIT_VALIDATION : SPLIT_TEST;
}

/* Notes the first example of each item that has none yet; the part's are numbered from
 * `base` on. */
static void note_examples(const struct asking *asking, const struct dataset *dataset,
                          enum split_part part, uint64_t base)
{
    const struct item_catalogue *catalogue = asking->catalogue;
    struct ranking_tasks *tasks = asking->tasks;
    struct part_keys item = part_keys_of(tasks->job, dataset, part,
                                         catalogue->item_column);
    uint32_t id;

    for (uint64_t p = 0; p < item.part->examples; p++)
        if (base + p < RANKING_NO_EXAMPLE &&
            dictionary_find(&catalogue->item, part_key(&item, p), &id) &&
            id >= catalogue->items &&
            tasks->example[id - catalogue->items] == RANKING_NO_EXAMPLE)
            tasks->example[id - catalogue->items] = (uint32_t)(base + p);
}

/* An example for each item that training does not have, whether it asks for something
 * or not. */
static int find_examples(const struct asking *asking, const struct dataset *dataset,
                         struct err *err)
{
    struct ranking_tasks *tasks = asking->tasks;
    const struct job *job = tasks->job;
    enum split_part part = split_scored(job);
    uint32_t known = asking->catalogue->items;

    tasks->items = asking->catalogue->item.keys;
    tasks->example = malloc((tasks->items - known + 1) * sizeof(uint32_t));
    if (!tasks->example)
        return no_memory(err);
    for (uint32_t i = known; i < tasks->items; i++)
        tasks->example[i - known] = RANKING_NO_EXAMPLE;
    if (tasks->items == known)
        return 0;
    note_examples(asking, dataset, part, 0);
#ifndef MUTANT_HELD_OUT_EXAMPLE
    note_examples(asking, dataset, ranking_held_out(job),
                  part_keys_of(job, dataset, part, asking->catalogue->item_column)
                      .part->examples);
#endif
    return 0;
}

/* A task for each example. */
static int ask_each(const struct asking *asking, struct err *err)
{
    struct ranking_tasks *tasks = asking->tasks;

    tasks->task = malloc((asking->n + 1) * sizeof *tasks->task);
    tasks->relevant = malloc((asking->n + 1) * sizeof(uint32_t));
    if (!tasks->task || !tasks->relevant)
        return no_memory(err);
    for (uint32_t i = 0; i < asking->n; i++) {
        tasks->relevant[i] = asking->item[i];
        tasks->task[i] = (struct ranking_task){asking->user[i], asking->example[i], i,
                                               1};
    }
    tasks->tasks = asking->n;
    tasks->most_relevant = 1;
    return 0;
}

/* Drops from a user's items those that are left out of the list. */
static uint32_t drop_seen(const struct ranking_tasks *tasks, uint32_t user,
                          uint32_t *item, uint32_t n)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < n; i++)
        if (tasks->job->evaluate.seen == SEEN_KEEP ||
            !item_catalogue_has_seen(tasks->catalogue, user, item[i]))
            item[kept++] = item[i];
    return kept;
}

/* A task for each user, in the order of their first examples. */
static int ask_users(const struct asking *asking, struct err *err)
{
    struct ranking_tasks *tasks = asking->tasks;
    uint32_t users = asking->catalogue->user.keys;
    uint64_t *begin = NULL;
    uint8_t *asked = calloc((size_t)users + 1, 1);
    int rc = item_lists_create(asking->user, asking->item, asking->n, users, &begin,
                               &tasks->relevant, err);

    tasks->task = malloc((asking->n + 1) * sizeof *tasks->task);
    if (rc == 0 && (!asked || !tasks->task))
        rc = no_memory(err);
    for (uint32_t i = 0; rc == 0 && i < asking->n; i++) {
        uint32_t user = asking->user[i];
        struct ranking_task task = {user, asking->example[i], begin[user], 0};

        if (asked[user])
            continue;
        asked[user] = 1;
        task.relevant = drop_seen(tasks, user, tasks->relevant + begin[user],
                                  (uint32_t)(begin[user + 1] - begin[user]));
        if (task.relevant > tasks->most_relevant)
            tasks->most_relevant = task.relevant;
        if (task.relevant)
            tasks->task[tasks->tasks++] = task;
    }
    free(asked);
    free(begin);
    return rc;
}

/* Has everybody something to be ranked among? */
static int check_given(const struct ranking_tasks *tasks, struct err *err)
{
    for (uint32_t t = 0; t < tasks->tasks; t++) {
        uint32_t user = tasks->task[t].user;

        if (user >= tasks->users || tasks->begin[user] == tasks->begin[user + 1])
            return err_set(err, ERR_INPUT,
                           "data.negatives has no items for the user with the key "
                           "%llu, who is in the part that is evaluated",
                           (unsigned long long)tasks->catalogue->user.key[user]);
    }
    return 0;
}

int ranking_tasks_create(const struct job *job, const struct data *data,
                         struct item_catalogue *catalogue, const volatile bool *stop,
                         struct ranking_tasks **out, struct err *err)
{
    struct ranking_tasks *tasks = calloc(1, sizeof *tasks);
    struct asking asking = {.tasks = tasks, .catalogue = catalogue};
    bool given = job->evaluate.protocol == PROTOCOL_GIVEN;
    int rc;

    if (!tasks)
        return no_memory(err);
    tasks->job = job;
    tasks->catalogue = catalogue;
    rc = collect(&asking, &data->memory, err);
    if (rc == 0 && given)
        rc = ranking_read_given(tasks, catalogue, stop, err);
    if (rc == 0)
        rc = find_examples(&asking, &data->memory, err);
    if (rc == 0)
        rc = job->evaluate.protocol == PROTOCOL_ALL ? ask_users(&asking, err)
                                                    : ask_each(&asking, err);
    if (rc == 0 && given)
        rc = check_given(tasks, err);
    free(asking.user);
    free(asking.item);
    free(asking.example);
    if (rc) {
        ranking_tasks_destroy(tasks);
        return rc;
    }
    *out = tasks;
    return 0;
}

void ranking_tasks_destroy(struct ranking_tasks *tasks)
{
    if (!tasks)
        return;
    free(tasks->task);
    free(tasks->relevant);
    free(tasks->example);
    free(tasks->begin);
    free(tasks->given);
    free(tasks);
}

/* --- among what ------------------------------------------------------------------- */

int ranking_draw_init(struct ranking_draw *draw, const struct ranking_tasks *tasks,
                      struct err *err)
{
    *draw = (struct ranking_draw){.room = tasks->items};
    draw->item = malloc((tasks->items + 1) * sizeof(uint32_t));
    draw->mark = calloc(tasks->items + 1, sizeof(uint32_t));
    if (draw->item && draw->mark)
        return 0;
    ranking_draw_release(draw);
    return no_memory(err);
}

void ranking_draw_release(struct ranking_draw *draw)
{
    free(draw->item);
    free(draw->mark);
    *draw = (struct ranking_draw){0};
}

static void begin_list(const struct ranking_tasks *tasks, struct ranking_draw *draw)
{
    draw->n = 0;
    if (++draw->stamp > 0)
        return;
    memset(draw->mark, 0, tasks->items * sizeof *draw->mark); /* stamps went round */
    draw->stamp = 1;
}

static void mark(struct ranking_draw *draw, const uint32_t *item, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        draw->mark[item[i]] = draw->stamp;
}

/* Puts an item on the list, unless it is marked: once. */
static bool put(struct ranking_draw *draw, uint32_t item)
{
#ifndef MUTANT_RANKING_TWICE
    if (draw->mark[item] == draw->stamp)
        return false;
#endif
    draw->mark[item] = draw->stamp;
    draw->item[draw->n++] = item;
    return true;
}

static uint32_t draw_item(const struct ranking_tasks *tasks, uint64_t bits)
{
    const struct item_catalogue *catalogue = tasks->catalogue;

    if (tasks->job->evaluate.negatives_by == NEGATIVES_POPULARITY)
        return catalogue->item_of[rng_below(bits, catalogue->examples)];
    return (uint32_t)rng_below(bits, catalogue->items);
}

/* All items that are not marked, behind the list; how many. */
static uint32_t list_free(const struct ranking_tasks *tasks, struct ranking_draw *draw)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < tasks->catalogue->items; i++)
        if (draw->mark[i] != draw->stamp)
            draw->item[draw->n + n++] = i;
    return n;
}

/* Draws until there are `wanted` more: one by one as long as most draws find something;
 * what is then left, out of a list of all that may still be drawn. */
static void draw_items(const struct ranking_tasks *tasks, uint64_t stream,
                       uint32_t wanted, struct ranking_draw *draw)
{
    uint64_t seed = (uint64_t)tasks->job->evaluate.seed, n = 0;
    uint32_t left = wanted, all;

    for (; left > 0 && n < 4 * (uint64_t)wanted + 16; n++)
        left -= put(draw, draw_item(tasks, rng_at(seed, stream, n)));
    if (left == 0)
        return;
    all = list_free(tasks, draw);
    for (uint32_t i = 0; i < left && i < all; i++) {
        uint32_t *list = draw->item + draw->n, old = list[0];
        uint64_t at = rng_below(rng_at(seed, stream, n++), all - i);

        list[0] = list[at];
        list[at] = old;
        draw->n++;
    }
}

uint32_t ranking_candidates(const struct ranking_tasks *tasks, uint32_t number,
                            struct ranking_draw *draw)
{
    const struct ranking_task *task = &tasks->task[number];
    const struct item_catalogue *catalogue = tasks->catalogue;
    bool all = tasks->job->evaluate.protocol == PROTOCOL_ALL;
    uint32_t seen = 0, relevant;
    const uint32_t *list = item_catalogue_seen(catalogue, task->user, &seen);

    begin_list(tasks, draw);
    for (uint32_t i = 0; i < task->relevant; i++)
        if (!all || tasks->relevant[task->first + i] < catalogue->items)
            put(draw, tasks->relevant[task->first + i]);
    relevant = draw->n;
    switch (tasks->job->evaluate.protocol) {
    case PROTOCOL_GIVEN:
        for (uint64_t i = tasks->begin[task->user]; i < tasks->begin[task->user + 1];
             i++)
            put(draw, tasks->given[i]);
        break;
    case PROTOCOL_SAMPLED:
        mark(draw, list, seen);
        draw_items(tasks, task->example,
                   tasks->job->evaluate.negatives < catalogue->items
                       ? (uint32_t)tasks->job->evaluate.negatives
                       : catalogue->items,
                   draw);
        break;
    default:
#ifndef MUTANT_RANKING_SEEN
        if (tasks->job->evaluate.seen == SEEN_LEAVE_OUT)
            mark(draw, list, seen);
#endif
        draw->n += list_free(tasks, draw);
    }
    return relevant;
}

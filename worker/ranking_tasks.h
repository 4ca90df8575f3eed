/* What is asked to evaluate a ranking (evaluate.protocol): whose items are looked for,
 * and among which others. Made once from data in memory, the same in every process, and
 * then shared read-only by its workers. */
#ifndef ROWHOUSE_WORKER_RANKING_TASKS_H
#define ROWHOUSE_WORKER_RANKING_TASKS_H

#include "worker/catalogue.h"

enum { RANKING_NO_EXAMPLE = UINT32_MAX };

/* A list to be ranked. */
struct ranking_task {
    uint32_t user;    /* number in the catalogue */
    uint32_t example; /* of the scored part: one of the user's, with what is known of
                         the user then */
    uint64_t first;   /* its relevant items: relevant[first], ... */
    uint32_t relevant;
};

struct ranking_tasks {
    const struct job *job;                  /* borrowed */
    const struct item_catalogue *catalogue; /* borrowed */
    uint32_t tasks;
    struct ranking_task *task; /* [tasks] */
    uint32_t *relevant;        /* numbers, rising for each task, none twice */
    uint32_t most_relevant;    /* of a task */
    /* Items that the training part does not have: numbers from catalogue->items on. */
    uint32_t items; /* with those */
    /* [items - catalogue->items]: of the scored part, with the item, or, numbered on
     * from there, of the other one; RANKING_NO_EXAMPLE: only data.negatives has it. */
    uint32_t *example;
    /* data.negatives, by user. */
    uint64_t *begin; /* [users + 1] */
    uint32_t users;
    uint32_t *given; /* [begin[users]]: numbers, rising for each, none twice */
};

/* With `given` and `sampled` there is a task for each example of the scored part, and
 * with `all` one for each user of it, whose relevant items are those of all the user's
 * examples there (with evaluate.seen: leave_out those that the user does not have in
 * training). With model.loss logistic an example whose label is 0 asks for nothing.
 *
 * The catalogue gets numbers for the users and items that only the scored part and
 * data.negatives have. *stop as for data_load(). -ERR_INPUT: a user of the scored part
 * has no line in data.negatives, and the errors of input_open() and input_next();
 * -ERR_MEMORY. */
int ranking_tasks_create(const struct job *job, const struct data *data,
                         struct item_catalogue *catalogue, const volatile bool *stop,
                         struct ranking_tasks **tasks, struct err *err);
void ranking_tasks_destroy(struct ranking_tasks *tasks); /* NULL is fine */

/* The part that is neither trained on nor scored at the end: test or validation. */
enum split_part ranking_held_out(const struct job *job);

/* Room for ranking_candidates(): numbers of items, marks of those that are out. */
struct ranking_draw {
    uint32_t *item; /* [room] */
    uint32_t n, room;
    uint32_t *mark; /* [tasks->items]: the stamp of the last task that had it */
    uint32_t stamp;
};

int ranking_draw_init(struct ranking_draw *draw, const struct ranking_tasks *tasks,
                      struct err *err);
void ranking_draw_release(struct ranking_draw *draw); /* zeroed is fine */

/* The items of a task's list, none twice: draw->item[draw->n], which begins with the
 * relevant ones on it; returns how many these are. With `all` only items of the
 * training part are on it, less those that are left out. Cannot fail. */
uint32_t ranking_candidates(const struct ranking_tasks *tasks, uint32_t task,
                            struct ranking_draw *draw);

#endif

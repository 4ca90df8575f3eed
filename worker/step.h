/* What a worker works with, shared by its loops (worker.c, train.c, evaluate.c). */
#ifndef ROWHOUSE_WORKER_STEP_H
#define ROWHOUSE_WORKER_STEP_H

#include "common/covered.h"
#include "common/roc.h"
#include "worker/client.h"
#include "worker/delta.h"
#include "worker/feeder.h"
#include "worker/learner.h"
#include "worker/lines.h"
#include "worker/team.h"
#include "worker/worker.h"

struct worker {
    const struct worker_setup *setup;
    const struct data *data; /* borrowed, NULL until loaded */
    struct member *member;
    struct lines *lines;
    struct client *client;
    struct row_cache *cache; /* NULL without train.cache */
    struct feeder *feeder;
    struct blueprint *blueprint;
    struct learner *learner;
    struct team *team;  /* of it and others, where that pays; else NULL */
    struct delta delta; /* train.update: delta */
    uint32_t width[JOB_TABLES_MAX];
    float *gradient[JOB_TABLES_MAX]; /* [rows of a batch][width] */
    enum split_part scored;          /* the part that is evaluated */
    struct roc roc;                  /* of the evaluation under way, as the next */
    struct covered covered;
    struct status status;
    struct client_counts before; /* counts of earlier incarnations */
    bool met;                    /* the servers know us */
};

/* Reads the data, or takes what another worker of this process has read; once.
 * -ERR_INTERRUPTED when the job ends meanwhile. */
int worker_load(struct worker *worker, struct err *err);

/* Trains this worker's leases of an ORDER_TRAIN, and those that follow, until they are
 * done or a newer order comes; everything pushed is acknowledged when it returns 0. */
int worker_train(struct worker *worker, const struct order *order, struct err *err);

/* What this worker has to train first of an epoch that nobody has begun; its one range
 * is written to *range. */
struct pass worker_first_pass(const struct worker *worker, uint32_t epoch,
                              struct range *range);

/* Gets everything acknowledged and reports where the training order before this one
 * stands: also when an earlier incarnation has trained it, or nobody, because this
 * order came so soon after it. */
int worker_stop(struct worker *worker, const struct order *order, struct err *err);

/* Adds up metric sums over this worker's share of the test part, with read-only pulls;
 * counts by score, where a metric needs them, will travel with the status that reports
 * the order as done. */
int worker_evaluate(struct worker *worker, const struct order *order, struct err *err);

/* The part of worker_evaluate() that ranks (evaluate.protocol). */
int worker_evaluate_ranking(struct worker *worker, struct err *err);
/* The same of models whose output has a number for each row of the target's table. */
int worker_evaluate_targets(struct worker *worker, struct err *err);

/* Gives `use` this worker's share of the scored part, batch by batch, with its rows. */
typedef int use_batch(struct worker *worker, struct batch *batch, void *context,
                      struct err *err);
int worker_each_scored(struct worker *worker, use_batch *use, void *context,
                       struct err *err);

/* -ERR_INTERRUPTED if the job is ending meanwhile. */
int worker_still_evaluates(struct worker *worker, struct err *err);

/* Sends the status to the coordinator, at once or with the next tick. */
void worker_report(struct worker *worker, bool now);

#endif

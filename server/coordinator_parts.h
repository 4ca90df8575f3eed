/* What the coordinator consists of, shared by coordinator.c (the run),
 * coordinator_shares.c (whose data are whose), coordinator_evaluate.c (what evaluations
 * come to), coordinator_manifest.c (what is saved) and coordinator_view.c (where it
 * stands). Nobody else includes this. */
#ifndef ROWHOUSE_SERVER_COORDINATOR_PARTS_H
#define ROWHOUSE_SERVER_COORDINATOR_PARTS_H

#include "common/covered.h"
#include "common/roc.h"
#include "server/coordinator.h"

struct member_record {
    bool known;
    uint32_t *incarnation; /* in the state */
    int64_t heard_ms;
    struct status status;
};

struct coordinator {
    struct coordinator_plan plan;
    struct coordinator_host host;
    struct coordinator_memory *memory; /* borrowed */
    struct coordinator_state *state;   /* the one that is worked on */
    struct member_record *server, *worker;
    struct dealing *dealing;   /* likewise; unless bsp */
    struct manifest *manifest; /* scratch for saving */
    uint64_t news;
    uint64_t source_known; /* of data that grow, as we were told */
    bool source_ended;
    int64_t started_ms, stage_ms, saved_ms, interrupted_ms, looked_ms;
    int64_t stop_ms; /* when the stop in force was ordered */
    /* What the workers have counted in the evaluation `counts_order`: tables do not
     * change meanwhile, so whoever is started again would count the same. */
    struct roc roc;
    struct covered covered;
    uint64_t counts_order;
    bool counted[WORKERS_MAX];
};

/* coordinator_shares.c */

/* Is an epoch under way, with something left or to come? */
bool coordinator_in_epoch(const struct coordinator *coordinator);
/* A training order begins: shares out what is left. */
void coordinator_share_out(struct coordinator *coordinator);
/* Takes up and keeps who has which leases. */
void coordinator_recall_leases(struct coordinator *coordinator);
void coordinator_keep_leases(struct coordinator *coordinator);
/* A checkpoint is whole: what it has behind it will not be read again. */
void coordinator_saved_floor(struct coordinator *coordinator);
/* A worker has said where it stands; it may get more. -ERR_PEER: it cannot stand there.
 */
int coordinator_note_standing(struct coordinator *coordinator, uint32_t worker,
                              struct err *err);
/* Rows of streams that were left out in this run so far. */
uint64_t coordinator_bad_rows(const struct coordinator *coordinator);
/* Is there room among `room` ranges for what a cut would leave? */
bool coordinator_can_cut(const struct coordinator *coordinator, uint32_t room);
/* What is left of the epoch: everything less what workers, all of which have stopped,
 * have behind them. */
void coordinator_cut(struct coordinator *coordinator);
/* What an order to train, or to stop, says about shares. */
void coordinator_order_shares(const struct coordinator *coordinator, struct peer to,
                              struct order *order);

/* coordinator_evaluate.c */

/* Has what the worker has counted in the evaluation in force come, if anything? */
bool coordinator_has_counts(const struct coordinator *coordinator, uint32_t worker);
/* Every worker has evaluated: sums and values of all. */
void coordinator_sum_metrics(struct coordinator *coordinator, double *metric);
/* Is the validation part to be evaluated after the epoch that has just been trained? */
bool coordinator_must_validate(const struct coordinator *coordinator);
/* It was: notes the epoch's metrics, and whether it is the best so far. -ERR_INPUT: the
 * metric that says so is no number. */
int coordinator_validated(struct coordinator *coordinator, struct err *err);
/* Of the run that is resumed; zeroed if this one's evaluations cannot be compared. */
struct best coordinator_best_before(const struct coordinator *coordinator);
/* Is there no epoch to be begun any more? */
bool coordinator_has_trained(const struct coordinator *coordinator);
/* Then: is the best epoch another one than that which the servers hold? */
bool coordinator_must_go_back(const struct coordinator *coordinator);
/* They hold it now. */
void coordinator_gone_back(struct coordinator *coordinator);
/* A checkpoint is whole, or about to be: which one holds the best epoch. */
struct best coordinator_best(const struct coordinator *coordinator, uint64_t number);

/* coordinator_manifest.c */

/* Every server has saved: the manifest of that checkpoint, to be released. */
void coordinator_fill_manifest(struct coordinator *coordinator);

/* coordinator_view.c */

/* Sums up what the members have said last, whatever is kept. */
void coordinator_sum(const struct coordinator *coordinator, int64_t now_ms,
                     struct run_view *view);

#endif

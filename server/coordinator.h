/* The coordinator: server 0's second duty. It leads the run from the roll call to the
 * end by orders (common/net/message.h), one at a time; when every member has carried
 * out the order it gives the next.
 *
 *   gather -> load -> train -> [stop] -> [evaluate] -> save -> train ...
 *          -> [restore -> save] -> evaluate -> end
 *
 * It knows no socket and no clock of its own, so that it can be tested alone. What it
 * must remember when its process dies is in `struct coordinator_memory`, given by the
 * caller. One thread. */
#ifndef ROWHOUSE_SERVER_COORDINATOR_H
#define ROWHOUSE_SERVER_COORDINATOR_H

#include "common/job.h"
#include "common/metrics.h"
#include "common/net/message.h"
#include "common/net/port.h"
#include "common/net/roster.h"
#include "server/dealing.h"
#include "server/manifest.h"

enum stage {
    STAGE_GATHER,
    STAGE_LOAD,
    STAGE_TRAIN,
    STAGE_STOP,
    STAGE_SAVE,
    STAGE_EVALUATE,
    STAGE_RESTORE, /* the best epoch's rows, after training */
    STAGE_END,
};

enum {
    EPOCHS_KEPT = 10000, /* records beyond are not kept */
    /* Metrics of an epoch: of lists there are most. */
    VALUES_KEPT = RANKING_SLOTS * RANKING_NUMBERS,
};

struct epoch_record {
    uint32_t epoch;
    uint64_t examples;
    double seconds, loss_sum;
    uint32_t values; /* of the metrics on the validation part; 0: not evaluated */
    double value[VALUES_KEPT];
};

/* How the run stands. Plain data. */
struct coordinator_state {
    uint32_t stage;
    uint64_t number;    /* of the order */
    int64_t started_ms; /* when the first process began to lead */
    uint32_t epoch;     /* being trained, or finished last */
    uint64_t train;     /* number of the last training order */
    uint64_t limit;     /* bsp: the clock at which all stop, once it is known */
    uint32_t shares;    /* workers whose own ranges follow; 0 = nobody's (bsp: even) */
    uint32_t share_ranges[WORKERS_MAX]; /* how many of `range` are each one's */
    uint32_t ranges;                    /* of the epoch: what was left at the order */
    struct range range[MANIFEST_RANGES_MAX];
    uint64_t known; /* positions from here on are in none of them and not trained, */
    bool grows;     /* if there may be more of them in this epoch */
    uint64_t clock;
    bool has_data, interrupted, evaluated;
    bool validating; /* STAGE_EVALUATE: after an epoch, not at the end */
    bool is_best;    /* what is saved next is the best epoch */
    struct best best;
    struct data_facts data;
    uint64_t checkpoint; /* number of the newest */
    uint64_t checkpoint_bytes;
    double checkpoint_seconds;
    char saving[1024];                     /* path of the checkpoint being written */
    double seconds_before;                 /* trained before this run (resumed) */
    double train_seconds;                  /* in this run */
    struct epoch_record open;              /* the epoch under way, up to the last cut */
    uint64_t worker_examples[WORKERS_MAX]; /* trained in this run up to there */
    uint64_t bad_rows;                     /* left out of streams up to there */
    double metric[METRIC_SUMS];
    int32_t exit_status;
    uint32_t error; /* enum err_code */
    char text[ERR_TEXT_MAX];
    uint32_t restarts; /* of members' processes */
    uint32_t server_incarnation[SERVERS_MAX], worker_incarnation[WORKERS_MAX];
    uint32_t records;
    struct epoch_record record[EPOCHS_KEPT];
};

/* Where the run stands, summed over the members: for progress and the report. */
struct run_view {
    uint32_t stage, epoch, epochs;
    uint64_t examples, examples_total; /* of the epoch */
    double loss;                       /* mean over those so far */
    double epoch_seconds, rate;        /* examples a second in this epoch */
    double seconds_left;               /* negative: not known */
    uint64_t bytes_pulled, bytes_pushed;
    uint64_t pushes_sent, pushes_resent, pushes_applied, pushes_duplicate;
    uint64_t pushes_uncompensated;
    double member_cpu_seconds; /* summed over members, each a process of its own */
    uint32_t workers;
    struct worker_times {
        double training, wait, parked; /* seconds, as in a status */
        uint64_t examples;             /* trained in this run */
    } times[WORKERS_MAX];
    uint32_t tables;
    /* Staleness and reads of a table are those of all who read it; full: the highest
     * reason. */
    struct table_facts table[STATUS_TABLES_MAX];
    uint64_t cache_rows[STATUS_TABLES_MAX], cache_bytes[STATUS_TABLES_MAX];
};

/* What survives the coordinator's process. Fresh memory is zero. A change is written
 * beside the state first, so that a process may die at any instruction. */
struct coordinator_memory {
    struct coordinator_state state;
    struct coordinator_state next;
    uint64_t ready; /* 1: `next` is whole and counts */
    /* Who has which leases, of the training order that the first of them names: kept by
     * itself, since it changes often. Written in turn. */
    struct dealing dealing[2];
    uint64_t dealing_current; /* which one counts */
    int64_t alive_ms; /* when it last looked around; the supervisor watches it */
    uint64_t floor;   /* positions of data that grow below it will not be read again */
    uint64_t warned;  /* a bit for each table that the user knows to be full */
    /* Where the run stood when it ended: members that have gone do not say it again. */
    struct run_view view;
};

/* What the coordinator asks of its surroundings. */
struct coordinator_host {
    /* Makes the directory of checkpoint `number`; its path goes to `path`. */
    int (*begin_save)(void *context, uint64_t number, char *path, size_t size,
                      struct err *err);
    /* Writes the manifest, which makes the checkpoint whole; removes old ones. */
    int (*finish_save)(void *context, const char *path, const struct manifest *manifest,
                       struct err *err);
    void (*epoch_done)(void *context, const struct epoch_record *record);
    /* The path of checkpoint `number`. */
    int (*find_saved)(void *context, uint64_t number, char *path, size_t size,
                      struct err *err);
    /* The time, asked for after slow work. */
    int64_t (*now_ms)(void *context);
    void *context;
};

struct coordinator;

/* How to lead. */
struct coordinator_plan {
    const struct job *job;       /* borrowed */
    const struct roster *roster; /* borrowed */
    bool evaluate_only;
    char restore[1024];              /* a checkpoint to start from, or "" */
    const struct manifest *restored; /* borrowed; its manifest, or NULL */
    uint64_t checkpoint_last;        /* highest number in checkpoint.dir */
    bool grows; /* an epoch ends when coordinator_grow() says so; not with bsp */
};

int coordinator_create(const struct coordinator_plan *plan,
                       const struct coordinator_host *host,
                       struct coordinator_memory *memory, int64_t now_ms,
                       struct coordinator **coordinator, struct err *err);
void coordinator_destroy(struct coordinator *coordinator); /* NULL is fine */

/* Takes a member's status. -ERR_PEER: it is not a member, or a stale incarnation; the
 * sentence is for a refusal. */
int coordinator_take(struct coordinator *coordinator, struct peer from,
                     const struct status *status, int64_t now_ms, struct err *err);
/* Takes what a worker has counted in the evaluation that its status reports as done
 * (message.h, enum counts_kind): before its status. A repeated one counts once.
 * -ERR_PEER as coordinator_take(), or it is malformed; -ERR_MEMORY. */
int coordinator_counts(struct coordinator *coordinator, struct peer from,
                       const struct message *message, struct err *err);
/* The order in force for a member. */
void coordinator_order(const struct coordinator *coordinator, struct peer to,
                       struct order *order);
/* Looks at deadlines. Call at least every 100 ms. */
void coordinator_tick(struct coordinator *coordinator, int64_t now_ms);
/* A person or the system asks to stop: save if there is something to save, then end. */
void coordinator_interrupt(struct coordinator *coordinator, int64_t now_ms);

/* What is known of data that grow: an epoch goes up to position `known` at least, and
 * with !grows that is its end. A level, not an event: say it at any time, again after a
 * restart, and less than before changes nothing. */
void coordinator_grow(struct coordinator *coordinator, uint64_t known, bool grows);

/* Up to where such data are known, and whether the epoch under way, or the next one,
 * may have more. */
uint64_t coordinator_known(const struct coordinator *coordinator);
bool coordinator_grows(const struct coordinator *coordinator);
/* Positions below it will not be read again, whatever dies: with checkpoint.dir those
 * that the newest checkpoint has behind it, else those that the workers have. */
uint64_t coordinator_floor(struct coordinator *coordinator);
/* Where the data come from something has failed: ends the run with its sentence. */
void coordinator_fail(struct coordinator *coordinator, const struct err *err,
                      int64_t now_ms);

/* The incarnation of a member that was heard last; 0 before. */
uint32_t coordinator_incarnation(const struct coordinator *coordinator,
                                 struct peer who);
/* Of the order in force. */
uint64_t coordinator_number(const struct coordinator *coordinator);
/* Changes whenever there is news for others than the one who has just spoken: time to
 * send everyone its order. */
uint64_t coordinator_news(const struct coordinator *coordinator);
/* Has every member ended, or had its time to? */
bool coordinator_finished(const struct coordinator *coordinator, int64_t now_ms);

/* Sets where the run stands; at the end, where it stood when that was decided. */
void coordinator_view(const struct coordinator *coordinator, int64_t now_ms,
                      struct run_view *view);

#endif

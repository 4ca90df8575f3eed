/* What a server core consists of, shared by core.c (tables, pulls, what comes in),
 * session.c (pushes), gate.c (consistency) and stale.c (pushes that come late). Nobody
 * else includes this. */
#ifndef ROWHOUSE_SERVER_CORE_STATE_H
#define ROWHOUSE_SERVER_CORE_STATE_H

#include "server/core.h"

enum {
    LOOKUP_ROWS = 4096, /* rows looked up at a time */
    GROUP_ROWS = 16,    /* rows that are applied under one undo record */
    ANSWERED_MAX = 256, /* pulls and pushes of a worker under way are fewer */
    ROOT_SESSIONS = 0,
    ROOT_UNDO = 1,
    ROOT_ANSWERED = 2,
    ROOT_TABLES = 8, /* and the ones after it */
};

_Static_assert(ROOT_TABLES + JOB_TABLES_MAX <= REGION_ROOTS, "every table has a root");

/* How far a worker's pushes have been applied; written as a whole. */
struct standing {
    uint64_t applied;       /* the last clock applied in full */
    uint64_t under_way;     /* the clock after it whose parts are being applied, or 0 */
    uint32_t parts_applied; /* of that clock */
    uint32_t section, row;  /* of the next part: rows before these are applied */
    uint32_t unused;
    uint64_t pushes_applied;
};

/* How many pushes this server had applied when it answered the pull of a clock; in the
 * region. */
struct answered {
    uint64_t clock, pushes;
};

/* One worker's session; in the region. Two standings written in turn, so that one is
 * always whole; the rest are single words. */
struct session {
    struct standing entry[2];
    uint64_t current; /* which one counts */
    uint64_t through; /* every clock up to it is applied, with rows here or without */
    uint64_t idle_order; /* the training order in which it has no data left, */
    uint64_t idle_stint; /* and the stint: in a later one it has some again */
    uint64_t stint;      /* of the order in force */
    uint64_t duplicates;
    uint64_t uncompensated; /* parts */
    uint64_t incarnation;   /* of the worker's process that was heard last */
};

/* The rows of one group as they were, while they are being changed; in the region. */
struct undo {
    uint64_t armed; /* 1: valid, written last */
    uint32_t worker, rows, bytes, unused;
    uint64_t current;         /* the session's, before the group */
    uint64_t counter;         /* offset of a count that the group changes, or 0 */
    uint64_t count;           /* what it was before */
    uint64_t row[GROUP_ROWS]; /* offsets in the region */
    unsigned char image[];    /* [rows][bytes] */
};

/* What was asked of a table that is full. */
struct refused {
    uint64_t reads; /* rows of pulls that were answered with zeros */
    uint64_t rows;  /* rows of pushes whose gradients were dropped; each once */
};

/* The order in force, and the sessions; in the region. */
struct sessions {
    uint64_t order; /* the training order that servers know of */
    struct refused refused[JOB_TABLES_MAX];
    struct session session[];
};

/* What a worker has said about itself that is not true of this server yet. */
struct promise {
    struct reach reach;
};

/* A push whose turn has not come (bsp): its parts in the order of their numbers. */
struct pending {
    struct peer from; /* whom to answer */
    uint64_t clock;
    uint32_t parts, count, capacity;
    struct pending_part {
        uint32_t sections;
        struct section section[MESSAGE_SECTIONS_MAX];
        struct buffer *body;
    } * part;
};

/* A pull whose turn has not come. */
struct parked {
    struct peer from;
    struct pull pull;
    uint32_t sections;
    struct section section[MESSAGE_SECTIONS_MAX];
    struct buffer *keys;
    double since; /* when it was first asked for */
};

/* The answer to a pull, kept until the push of its clock. */
struct reply {
    uint64_t order, clock;
    uint64_t keys;     /* their hash */
    uint64_t statuses; /* a bit for each section that has them */
    struct buffer *body;
};

/* One worker's, in any order. */
struct replies {
    struct reply *reply;
    uint32_t count, capacity;
};

/* How a part of a push is applied. */
struct application {
    float rate[MESSAGE_SECTIONS_MAX];
    const struct buffer *reply; /* borrowed; NULL: there is no compensation */
    struct section_layout pulled[MESSAGE_SECTIONS_MAX]; /* of the reply */
};

/* An answer on its way out. */
struct answer {
    struct peer to;
    enum message_kind kind;
    struct rows rows;
    struct ack ack;
    struct err refusal;
    uint32_t sections;
    struct section section[MESSAGE_SECTIONS_MAX];
    struct buffer *body;
};

struct core {
    const struct job *job;    /* borrowed */
    struct region *region;    /* borrowed */
    struct buffer_pool *pool; /* borrowed */
    uint32_t index, servers, workers;
    double now; /* seconds: what we were told last */
    struct optimizer optimizer[JOB_TABLES_MAX];
    struct table table[JOB_TABLES_MAX];
    const struct table *tables[JOB_TABLES_MAX];
    const char *names[JOB_TABLES_MAX];
    struct sessions *sessions; /* in the region */
    struct undo *undo;         /* in the region; NULL: nobody would come back for it */
    struct promise *promise;   /* [workers] */
    struct pending *pending;   /* [workers] */
    struct parked *parked;
    uint32_t parks, parks_capacity;
    struct answer *answer; /* ring */
    uint32_t answers, answer_first, answer_capacity;
    uint64_t pushes;           /* applied in full, of all workers */
    struct answered *answered; /* in the region, [workers][ANSWERED_MAX], at clock %
                                  ANSWERED_MAX; NULL: nobody asks */
    struct replies *replies;   /* [workers]; NULL: nothing is compensated */
    size_t kept_bytes, kept_max;
    float *compensated; /* the gradients of one group */
    uint64_t staleness[JOB_TABLES_MAX][STALENESS_BUCKETS];
    bool full[JOB_TABLES_MAX]; /* a row of the last pull could not be made */
    /* Of the rows that are looked up now. */
    float *row[LOOKUP_ROWS];
    uint64_t missing[LOOKUP_ROWS];
    unsigned char found[LOOKUP_ROWS];
};

static inline const struct standing *session_standing(const struct session *session)
{
    return &session->entry[session->current & 1];
}

/* core.c */
struct answer *core_answer(struct core *core, struct peer to, enum message_kind kind);
void core_refuse(struct core *core, struct peer to, const struct err *err);
/* `since`: when the pull came. */
int core_answer_pull(struct core *core, struct peer to, const struct pull *pull,
                     const struct section *section, uint32_t sections,
                     const unsigned char *keys, double since, struct err *err);

/* session.c */
int session_open(struct core *core, bool fresh, struct err *err);
void session_acknowledge(struct core *core, struct peer to, bool resend);
int session_take_push(struct core *core, const struct message *message,
                      struct err *err);
/* bsp: applies every clock whose pushes are all there, in worker order. */
void session_apply_pending(struct core *core);
void session_release(struct core *core);

/* stale.c */
int stale_open(struct core *core, struct err *err); /* behind session_open() */
void stale_release(struct core *core);
/* A pull has been answered by `body`, whose sections these are. */
void stale_note_answer(struct core *core, uint32_t worker, const struct pull *pull,
                       const struct section *section, uint32_t sections,
                       const unsigned char *keys, struct buffer *body);
/* How a part of the push of `clock` is to be applied; valid until the next answer. */
void stale_look(struct core *core, uint32_t worker, uint64_t clock,
                const struct section *section, uint32_t sections,
                const unsigned char *body, struct application *how);
/* The gradients to apply to a group of at most GROUP_ROWS rows, which are those of the
 * section from `standing` on: `gradient`, or what compensation has made of it. */
const float *stale_compensate(struct core *core, const struct application *how,
                              const struct section *section,
                              const struct standing *standing, float *const *row,
                              const float *gradient, const float *weight, uint32_t n);
/* A worker's pushes up to `clock` are applied. */
void stale_forget_applied(struct core *core, uint32_t worker, uint64_t clock);
/* What was pulled in earlier orders and not pushed will not be. Workers may be in the
 * new one already. */
void stale_forget_before(struct core *core, uint64_t order);

/* gate.c */
uint64_t gate_slowest(const struct core *core);
bool gate_is_active(const struct core *core, uint32_t worker);
bool gate_is_open(const struct core *core, const struct pull *pull);
/* The last order in which the worker is idle, or 0. */
uint64_t gate_idle_order(const struct core *core, uint32_t worker);
/* A worker says how far it is; kept until it is true here. */
void gate_take_reach(struct core *core, uint32_t worker, const struct reach *reach);
/* Forgets what a process that is no more has promised. */
void gate_forget_promise(struct core *core, uint32_t worker);
/* A worker's pushes have been applied further: what it promised may be true now. */
void gate_settle(struct core *core, uint32_t worker);
/* Does a pull of that process wait here? */
bool gate_holds(const struct core *core, struct peer who);
int gate_park(struct core *core, const struct message *message, struct err *err);
/* Forgets parked pulls of earlier orders: their workers have dropped them. */
void gate_forget_before(struct core *core, uint64_t order);
/* Answers parked pulls whose turn has come. */
int gate_release(struct core *core, struct err *err);

#endif

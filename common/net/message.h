/* The messages of the wire as plain structs, and the frames they travel in.
 *
 * frame 0: u32 little-endian length of the header, the header (protobuf,
 *          proto/wire.proto), and the body when it is small;
 * frame 1: the body when it is large.
 * The body is the messages' sections one after another, each padded to 8 bytes,
 * everything little-endian:
 *   pull: keys u64[rows]
 *   rows: values f32[rows][width]; with has_status first status u8[rows] padded to 4
 *   push: keys u64[rows], weights f32[rows], gradients f32[rows][width]
 *   status: words u64[rows] of counts (common/roc.h); most have no section
 * Decoding trusts nothing: lengths, counts, enums and widths are bounded, and the
 * body must have exactly the size that the sections say. */
#ifndef ROWHOUSE_COMMON_NET_MESSAGE_H
#define ROWHOUSE_COMMON_NET_MESSAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/err.h"
#include "common/facts.h"
#include "common/range.h"

enum {
    MESSAGE_SECTIONS_MAX = 64,
    MESSAGE_HEADER_MAX = 64 * 1024,
    MESSAGE_BODY_MAX = 64 * 1024 * 1024, /* ZMQ_MAXMSGSIZE follows from it */
    MESSAGE_WIDTH_MAX = 65536,
    MESSAGE_INLINE_MAX = 8192, /* a body up to this travels in frame 0 */
    PART_BYTES = 1024 * 1024,  /* a part of a pull or push carries at most this */
    STALENESS_BUCKETS = 64,    /* the last one counts all above */
    METRIC_SUMS = 64,
    SHARE_RANGES_MAX = 1024,
    STATUS_TABLES_MAX = 64,
};

enum role { ROLE_SERVER = 1, ROLE_WORKER = 2, ROLE_COORDINATOR = 3 };

enum message_kind {
    MESSAGE_PULL = 1, /* worker -> server: rows of these keys, please */
    MESSAGE_ROWS,     /* server -> worker: the answer to a pull */
    MESSAGE_PUSH,     /* worker -> server: gradients of these keys */
    MESSAGE_ACK,      /* server -> worker: where your pushes stand */
    MESSAGE_REFUSAL,  /* server -> anyone: no, and why */
    MESSAGE_STATUS,   /* member -> coordinator: all about me, sent again and again */
    MESSAGE_ORDER,    /* coordinator -> member: what you are to do now */
    MESSAGE_CLOCK,    /* worker -> server: how far I am, without a push */
};

/* How a row of an answer came about. The values of one that is not ROW_OK are zeros. */
enum row_status { ROW_OK = 0, ROW_ABSENT = 1, ROW_FULL = 2 };

struct section {
    uint32_t table; /* index into the job's tables; of a status: enum counts_kind */
    uint32_t rows;
    uint32_t width;  /* floats a row; 0 in a pull and a status */
    bool has_status; /* rows only */
};

/* How far a worker is with one server: all pushes of clocks up to `through` that have
 * rows for this server have left, and `after` is the last of those. So once `after` is
 * applied, so is everything up to `through`. */
struct reach {
    uint64_t order; /* the training order it works on */
    uint64_t through, after;
    bool idle;      /* it has no data left, for now */
    uint64_t stint; /* how often it has got data again in this order after that */
};

struct pull {
    uint64_t request; /* unique within the sender's incarnation; echoed by rows */
    uint64_t clock;   /* the batch that the rows are for; 0 when read_only */
    bool read_only;   /* make no rows; an unknown one is ROW_ABSENT */
    struct reach reach;
};

struct rows {
    uint64_t request;
    uint64_t parked_us; /* how long the pull waited for slower workers */
    uint64_t vintage; /* every active worker's pushes of clocks up to it are in them */
};

struct push {
    uint64_t clock; /* of the batch, from 1; 0 pushes nothing and asks for an ack */
    uint64_t after; /* the last clock before it that had rows for this server; or 0 */
    uint32_t part;  /* 0 .. parts-1 */
    uint32_t parts;
};

struct ack {
    uint64_t clock;   /* the last clock applied in full */
    uint32_t part;    /* parts applied of the clock after it */
    bool resend;      /* what was sent cannot be applied: send again from there */
    uint64_t through; /* every clock up to it is applied, with rows here or without */
    uint64_t idle_order;   /* the training order in which the worker has no data left */
    bool parked;           /* pulls of the worker wait there for slower ones */
    uint64_t order, stint; /* the training order in force, the worker's stint in it */
};

struct refusal {
    uint32_t code; /* enum err_code */
    char text[ERR_TEXT_MAX];
};

/* What an evaluation has counted that is no sum; behind the status whose `done` is that
 * order, until the order says that it has come. */
enum counts_kind {
    COUNTS_SCORES, /* common/roc.h */
    COUNTS_ITEMS,  /* common/covered.h */
    COUNTS_KINDS,
};

/* What a member is doing; for people, too. */
enum phase {
    PHASE_START = 0,
    PHASE_IDLE,
    PHASE_LOADING,
    PHASE_TRAINING,
    PHASE_EVALUATING,
    PHASE_SAVING,
    PHASE_RESTORING,
    PHASE_ENDED,
};

/* Why a table makes no more rows. */
enum table_full { FULL_NOT = 0, FULL_ROWS_MAX = 1, FULL_MEMORY = 2 };

/* A server's table, or what a worker keeps of it in its cache. */
struct table_facts {
    uint64_t rows, bytes;
    uint64_t reads_refused; /* rows of pulls answered with zeros, because it is full */
    uint64_t rows_refused;  /* rows of pushes dropped for that */
    uint64_t full;          /* enum table_full; FULL_NOT while nothing was refused */
    uint64_t staleness[STALENESS_BUCKETS]; /* reads with that staleness */
    uint64_t cache_reads, cache_hits; /* worker: rows of its batches, those in it */
};

struct status {
    uint32_t rank; /* of MPI, or 0 */
    char host[64];
    uint64_t number; /* counts this member's statuses: old ones are dropped */
    uint64_t done;   /* the last order carried out */
    uint32_t phase;  /* enum phase */
    uint32_t epoch;
    uint64_t clock; /* worker: the last batch pushed */
    uint64_t taken; /* worker: examples of its share that are acknowledged */
    /* Worker: where it stands in the training order `train`: in its lease number
     * `lease` up to `position`, with all before it behind. Lease 0: nowhere yet. */
    uint64_t train, lease, position;
    uint64_t examples; /* worker: examples trained in this epoch so far */
    double loss_sum;   /* worker: of those */
    /* Worker: rows of a stream that it has left out in the training order `train`, up
     * to where it stands. */
    uint64_t bad_rows;
    uint64_t bytes_pulled, bytes_pushed;
    uint64_t pushes_sent, pushes_resent;       /* worker */
    uint64_t pushes_applied, pushes_duplicate; /* server */
    uint64_t pushes_uncompensated;             /* server: parts */
    double cpu_seconds;
    double training_seconds; /* worker: at work on its shares */
    double wait_seconds;     /* worker: of those, waiting for rows */
    double parked_seconds;   /* worker: of those, because others are too far behind */
    struct data_facts data;  /* worker, once loaded */
    double metric[METRIC_SUMS]; /* worker: sums of an evaluation (common/metrics.h) */
    uint64_t shard_bytes, shard_rows, shard_checksum; /* server, once saved */
    uint32_t error;          /* enum err_code: this member has failed */
    char text[ERR_TEXT_MAX]; /* why; without an error, what to warn of */
    uint32_t tables;         /* server; worker with a cache */
    struct table_facts table[STATUS_TABLES_MAX]; /* last: see status_copy() */
};

enum order_kind {
    ORDER_WAIT = 0, /* nothing to do yet */
    ORDER_LOAD,  /* worker: read the data; server: restore `path`, or be fresh if "" */
    ORDER_TRAIN, /* worker: train its ranges of the epoch */
    ORDER_STOP,  /* worker: end the batch under way, get everything acknowledged */
    ORDER_EVALUATE, /* worker: sums over its share of the test examples */
    ORDER_SAVE,     /* server: write its shard into `path` */
    ORDER_END,      /* all: leave with `exit_status` */
};

struct order {
    uint64_t number; /* grows; a status' `done` refers to it */
    uint32_t kind;   /* enum order_kind */
    uint32_t epoch;
    uint64_t clock; /* worker, at ORDER_TRAIN: the clocks before it are applied */
    uint64_t train; /* the training order that ranges and clock belong to */
    uint64_t limit; /* worker, at ORDER_STOP under bsp: train up to this clock first */
    /* Worker: of the same order with another `dealt` the higher one counts; it has
     * dealt more leases. `lease` is the number of the first in `range`, from 1. */
    uint64_t dealt, lease;
    uint64_t bad_rows; /* worker: left out before them, in the same order */
    /* Worker: its leases that are not behind it. Server: for each worker how much is in
     * its share. */
    uint32_t ranges;
    uint32_t more;     /* worker: 1 = another lease may follow those */
    uint32_t counted;  /* worker: 1 = its counts of this order have come */
    uint32_t validate; /* worker: 1 = evaluate the validation part in any case */
    struct range range[SHARE_RANGES_MAX];
    char path[1024];
    int32_t exit_status;    /* 0 .. 255 */
    struct data_facts data; /* agreed on; once loaded */
    char text[ERR_TEXT_MAX];
};

struct message {
    uint64_t job; /* token of the run: a stale process of another run is refused */
    uint32_t role, sender, incarnation; /* who sent it */
    enum message_kind kind;
    union {
        struct pull pull;
        struct rows rows;
        struct push push;
        struct ack ack;
        struct refusal refusal;
        struct status status;
        struct order order;
        struct reach reach; /* of a clock message */
    };
    uint32_t sections; /* pull, rows, push, status */
    struct section section[MESSAGE_SECTIONS_MAX];
    const unsigned char *body; /* borrowed, 8-byte aligned */
    size_t body_bytes;
};

/* Copies a status, of its tables only those that it has: the rest of `to` stays. */
void status_copy(struct status *to, const struct status *from);

/* Offsets of a section's arrays from the body's start, each aligned for its type; 0 for
 * an array that the kind does not have. */
struct section_layout {
    size_t keys, status, weights, values;
};

/* Computes the layout of every section of a pull, rows, push or status (into
 * layout[sections], or only the size with NULL) and returns the size of the body: 0 for
 * the other kinds, (size_t)-1 if it would pass MESSAGE_BODY_MAX or there are too many
 * sections or too wide ones. Any thread. */
size_t message_layout(enum message_kind kind, const struct section *section,
                      uint32_t sections, struct section_layout *layout);

/* Encodes everything but the body into `out` (MESSAGE_HEADER_MAX bytes suffice). Only
 * what belongs to the kind is read: the sections of a pull, rows, push or status, and
 * of a status or order as many tables and ranges as it says. Returns the number of
 * bytes. No heap. Any thread. */
size_t message_encode(const struct message *message, unsigned char *out);

/* Who speaks, for message_encode_from(). */
struct sender {
    uint64_t job;
    uint32_t role, index, incarnation;
};

/* The same, from `sender` whatever the message says about its sender. */
size_t message_encode_from(const struct sender *sender, const struct message *message,
                           unsigned char *out);

/* Decodes the header `bytes`; then checks `body_bytes` against the sections. Sets what
 * belongs to the kind and nothing else; message->body is NULL, the caller sets it. No
 * heap; about 70 KB of stack. -ERR_PEER with a sentence for anything that is not a
 * well-formed message; *message is then undefined. Not checked here, since the codec
 * cannot know: whether doubles are finite, whether the tables exist and have that
 * width. Any thread. */
int message_decode(struct message *message, const unsigned char *bytes, size_t size,
                   size_t body_bytes, struct err *err);

#endif

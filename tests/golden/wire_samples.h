/* One message of each kind with every field set, for the tests of the wire. The golden
 * files hold exactly these: change a value here only with a new golden file. */
#ifndef ROWHOUSE_TESTS_GOLDEN_WIRE_SAMPLES_H
#define ROWHOUSE_TESTS_GOLDEN_WIRE_SAMPLES_H

#include <stdio.h>
#include <string.h>

#include "common/net/message.h"

static const struct {
    enum message_kind kind;
    const char *name;
} wire_sample_kinds[] = {
    {MESSAGE_PULL, "pull"},   {MESSAGE_ROWS, "rows"},       {MESSAGE_PUSH, "push"},
    {MESSAGE_ACK, "ack"},     {MESSAGE_REFUSAL, "refusal"}, {MESSAGE_STATUS, "status"},
    {MESSAGE_ORDER, "order"}, {MESSAGE_CLOCK, "clock"},
};

enum { WIRE_SAMPLES = sizeof wire_sample_kinds / sizeof *wire_sample_kinds };

static inline void wire_sample_status(struct status *status)
{
    *status = (struct status){
        .rank = 5,
        .host = "node-17",
        .number = 901,
        .done = 12,
        .phase = PHASE_TRAINING,
        .epoch = 3,
        .clock = 70001,
        .taken = 5000000007,
        .examples = 4999999999,
        .loss_sum = 1234.5678,
        .bytes_pulled = 1ull << 40,
        .bytes_pushed = (1ull << 40) + 1,
        .pushes_sent = 70001,
        .pushes_resent = 2,
        .pushes_applied = 69999,
        .pushes_duplicate = 1,
        .cpu_seconds = 98.25,
        .data = {.train_examples = 90000,
                 .test_examples = 10000,
                 .digest = 0xfedcba9876543210u,
                 .label_mean = 3.53},
        .metric = {10000, 7600.25, -1e-300},
        .shard_bytes = 123456789,
        .shard_rows = 4321,
        .shard_checksum = 0x0123456789abcdefu,
        .tables = 2,
        .table = {{.rows = 610, .bytes = 98765, .staleness = {100, 20, 3, 0, 1}},
                  {.rows = 9724, .bytes = 1234567}},
        .error = ERR_DAMAGE,
        .text = "shard 2: block 7 is not what was written",
    };
    status->table[1].staleness[STALENESS_BUCKETS - 1] = UINT64_MAX;
}

static inline void wire_sample_order(struct order *order)
{
    *order = (struct order){
        .number = 44,
        .kind = ORDER_TRAIN,
        .epoch = 3,
        .clock = 70000,
        .train = 901,
        .limit = 70013,
        .ranges = 3,
        .range = {{0, 10}, {10, 10}, {1ull << 33, UINT64_MAX}},
        .path = "runs/movielens/epoch-3 \xff",
        .exit_status = 130,
        .data = {.train_examples = 90000,
                 .test_examples = 10000,
                 .digest = 0xfedcba9876543210u,
                 .label_mean = 3.53},
        .text = "all is well",
    };
}

/* The sections of a pull, rows or push; rows have a status in every other one. */
static inline void wire_sample_sections(struct message *message)
{
    bool pull = message->kind == MESSAGE_PULL;

    message->sections = 3;
    message->section[0] = (struct section){.rows = 5, .width = pull ? 0 : 33};
    message->section[1] = (struct section){.table = 15, .width = pull ? 0 : 1};
    message->section[2] = (struct section){
        .table = 7,
        .rows = 1001,
        .width = pull ? 0 : 3,
        .has_status = message->kind == MESSAGE_ROWS,
    };
    message->body_bytes = message_layout(message->kind, message->section,
                                         message->sections, NULL);
}

static inline void wire_sample(enum message_kind kind, struct message *message)
{
    memset(message, 0, sizeof *message);
    message->job = 0x8877665544332211u;
    message->role = ROLE_WORKER;
    message->sender = 200;
    message->incarnation = 7;
    message->kind = kind;
    if (kind == MESSAGE_PULL || kind == MESSAGE_ROWS || kind == MESSAGE_PUSH)
        wire_sample_sections(message);
    if (kind == MESSAGE_PULL)
        message->pull = (struct pull){
            1ull << 60, 70002, true, {17, 70001, 69999, true, 0}};
    if (kind == MESSAGE_ROWS)
        message->rows.request = UINT64_MAX;
    if (kind == MESSAGE_PUSH)
        message->push = (struct push){70002, 70000, 8, 9};
    if (kind == MESSAGE_ACK)
        message->ack = (struct ack){70001, 5, true, 70004, 17, false, 0, 0};
    if (kind == MESSAGE_CLOCK)
        message->reach = (struct reach){17, 70001, 69999, true, 0};
    if (kind == MESSAGE_REFUSAL) {
        message->refusal.code = ERR_PEER;
        strcpy(message->refusal.text, "this is another run");
    }
    if (kind == MESSAGE_STATUS)
        wire_sample_status(&message->status);
    if (kind == MESSAGE_ORDER)
        wire_sample_order(&message->order);
}

/* Fields that came later, one lot after another: each has a sample of its own. */

static inline void wire_sample_late(struct message *message)
{
    wire_sample(MESSAGE_STATUS, message);
    message->status.pushes_uncompensated = 1ull << 33;
}

static inline void wire_sample_waiting(struct message *message)
{
    wire_sample(MESSAGE_STATUS, message);
    message->status.training_seconds = 3600.5;
    message->status.wait_seconds = 1800.25;
    message->status.parked_seconds = 1e-6;
}

static inline void wire_sample_parked(struct message *message)
{
    wire_sample(MESSAGE_ROWS, message);
    message->rows.parked_us = 1ull << 40;
}

/* A server's status when a table has been full. */
static inline void wire_sample_full(struct message *message)
{
    wire_sample(MESSAGE_STATUS, message);
    message->status.table[0].reads_refused = 70;
    message->status.table[0].rows_refused = 1ull << 40;
    message->status.table[0].full = FULL_ROWS_MAX;
    message->status.table[1].full = FULL_MEMORY;
}

static inline void wire_sample_vintage(struct message *message)
{
    wire_sample(MESSAGE_ROWS, message);
    message->rows.vintage = 69998;
}

static inline void wire_sample_cache(struct message *message)
{
    wire_sample(MESSAGE_STATUS, message);
    message->status.table[0].cache_reads = 1ull << 34;
    message->status.table[0].cache_hits = 40001;
}

static inline void wire_sample_patient(struct message *message)
{
    wire_sample(MESSAGE_ACK, message);
    message->ack.parked = true;
}

static inline void wire_sample_standing(struct message *message)
{
    wire_sample(MESSAGE_STATUS, message);
    message->status.train = 901;
    message->status.lease = 1ull << 33;
    message->status.position = 7ull << 60 | 5;
    message->status.data.positions = 1ull << 62;
    message->status.data.grain = 1ull << 32;
}

static inline void wire_sample_leases(struct message *message)
{
    wire_sample(MESSAGE_ORDER, message);
    message->order.dealt = 1ull << 34;
    message->order.lease = 71;
    message->order.more = 1;
}

/* Of a worker that has run out of data and got some again. */
static inline void wire_sample_stint(struct message *message)
{
    wire_sample(MESSAGE_CLOCK, message);
    message->reach.stint = 1ull << 35;
}

static inline void wire_sample_stint_known(struct message *message)
{
    wire_sample(MESSAGE_ACK, message);
    message->ack.order = 17;
    message->ack.stint = 1ull << 35;
}

static inline void wire_sample_prepared(struct message *message)
{
    wire_sample(MESSAGE_STATUS, message);
    message->status.data.preparation_bytes = 4096;
    message->status.data.preparation_digest = 0x8000000000000001u;
}

static inline void wire_sample_bad_rows(struct message *message)
{
    wire_sample(MESSAGE_STATUS, message);
    message->status.data.bad_rows = 300;
}

/* Of a worker that has left out rows of a stream, and to one that has. */
static inline void wire_sample_left_out(struct message *message)
{
    wire_sample(MESSAGE_STATUS, message);
    message->status.bad_rows = 1ull << 40;
}

static inline void wire_sample_left_out_before(struct message *message)
{
    wire_sample(MESSAGE_ORDER, message);
    message->order.bad_rows = 77;
}

static inline void wire_sample_counts(struct message *message)
{
    wire_sample(MESSAGE_STATUS, message);
    message->sections = 1;
    message->section[0] = (struct section){.table = COUNTS_SCORES, .rows = 301};
    message->body_bytes = 301 * 8;
}

static inline void wire_sample_counted(struct message *message)
{
    wire_sample(MESSAGE_ORDER, message);
    message->order.kind = ORDER_EVALUATE;
    message->order.counted = 1;
}

static inline void wire_sample_validate(struct message *message)
{
    wire_sample(MESSAGE_ORDER, message);
    message->order.kind = ORDER_EVALUATE;
    message->order.validate = 1;
}

static const struct {
    const char *name;
    void (*fill)(struct message *message);
} wire_later[] = {
    {"status-of-late-pushes", wire_sample_late},
    {"status-of-a-waiting-worker", wire_sample_waiting},
    {"rows-of-a-parked-pull", wire_sample_parked},
    {"status-of-a-full-table", wire_sample_full},
    {"rows-of-a-vintage", wire_sample_vintage},
    {"status-of-a-cache", wire_sample_cache},
    {"ack-to-one-who-waits", wire_sample_patient},
    {"status-of-a-lease", wire_sample_standing},
    {"order-with-leases", wire_sample_leases},
    {"clock-of-a-stint", wire_sample_stint},
    {"ack-of-a-stint", wire_sample_stint_known},
    {"status-of-prepared-data", wire_sample_prepared},
    {"status-of-bad-rows", wire_sample_bad_rows},
    {"status-of-rows-left-out", wire_sample_left_out},
    {"order-after-rows-left-out", wire_sample_left_out_before},
    {"status-with-counts", wire_sample_counts},
    {"order-counted", wire_sample_counted},
    {"order-to-validate", wire_sample_validate},
};

enum { WIRE_LATER = sizeof wire_later / sizeof *wire_later };

static inline bool wire_sections_equal(const struct message *a, const struct message *b)
{
    if (a->sections != b->sections)
        return false;
    for (uint32_t i = 0; i < a->sections; i++)
        if (a->section[i].table != b->section[i].table ||
            a->section[i].rows != b->section[i].rows ||
            a->section[i].width != b->section[i].width ||
            a->section[i].has_status != b->section[i].has_status)
            return false;
    return true;
}

static inline bool wire_reach_equal(const struct reach *a, const struct reach *b)
{
    return a->order == b->order && a->through == b->through && a->after == b->after &&
           a->idle == b->idle && a->stint == b->stint;
}

/* Field by field; status and order byte by byte, so both must have been zeroed before
 * they were filled in. */
static inline bool wire_equal(const struct message *a, const struct message *b)
{
    if (a->job != b->job || a->role != b->role || a->sender != b->sender ||
        a->incarnation != b->incarnation || a->kind != b->kind ||
        a->body_bytes != b->body_bytes || !wire_sections_equal(a, b))
        return false;
    switch (a->kind) {
    case MESSAGE_PULL:
        return a->pull.request == b->pull.request && a->pull.clock == b->pull.clock &&
               a->pull.read_only == b->pull.read_only &&
               wire_reach_equal(&a->pull.reach, &b->pull.reach);
    case MESSAGE_ROWS:
        return a->rows.request == b->rows.request &&
               a->rows.parked_us == b->rows.parked_us &&
               a->rows.vintage == b->rows.vintage;
    case MESSAGE_PUSH:
        return a->push.clock == b->push.clock && a->push.after == b->push.after &&
               a->push.part == b->push.part && a->push.parts == b->push.parts;
    case MESSAGE_ACK:
        return a->ack.clock == b->ack.clock && a->ack.part == b->ack.part &&
               a->ack.resend == b->ack.resend && a->ack.through == b->ack.through &&
               a->ack.idle_order == b->ack.idle_order &&
               a->ack.parked == b->ack.parked && a->ack.order == b->ack.order &&
               a->ack.stint == b->ack.stint;
    case MESSAGE_CLOCK:
        return wire_reach_equal(&a->reach, &b->reach);
    case MESSAGE_REFUSAL:
        return a->refusal.code == b->refusal.code &&
               strcmp(a->refusal.text, b->refusal.text) == 0;
    case MESSAGE_STATUS:
        return memcmp(&a->status, &b->status, sizeof a->status) == 0;
    case MESSAGE_ORDER:
        return memcmp(&a->order, &b->order, sizeof a->order) == 0;
    }
    return false;
}

/* Reads a whole file of at most `max` bytes; -1 if there is none. */
static inline long wire_file_read(const char *path, unsigned char *bytes, size_t max)
{
    FILE *file = fopen(path, "rb");
    size_t n;

    if (!file)
        return -1;
    n = fread(bytes, 1, max, file);
    fclose(file);
    return (long)n;
}

#endif

/* A batch: its examples, its key sets (one order of keys from the pull to the push),
 * the rows pulled for it, and the parts in which it travels. Allocated once, used
 * again. */
#ifndef ROWHOUSE_WORKER_BATCH_H
#define ROWHOUSE_WORKER_BATCH_H

#include "common/job.h"
#include "common/net/message.h"
#include "worker/blueprint.h"
#include "worker/keyset.h"

/* A run of one table's rows within a part. */
struct batch_section {
    uint32_t table, first, rows;
    uint32_t wanted; /* rows that are pulled: all, or those in `missing` */
};

/* What travels in one message: rows of one server, at most PART_BYTES of them. */
struct batch_part {
    uint32_t server;
    uint32_t number, parts; /* of this server's parts of the batch */
    uint32_t sections;
    struct batch_section section[JOB_TABLES_MAX];
    bool sent, answered; /* the pull */
};

/* What its examples have for one input of the model (struct blueprint_input). */
struct batch_input {
    uint32_t *pos;    /* rows: [n][steps], bags: [offset[n]]; LAYER_NO_ROW: none */
    uint32_t *offset; /* bags: [n + 1] */
    float *number;    /* numbers: [n][width]; bags, each key's weight: [offset[n]] */
};

struct batch {
    const struct blueprint *blueprint; /* borrowed; NULL: it has no inputs */
    uint32_t width[JOB_TABLES_MAX];    /* floats a row */
    uint32_t tables, servers, capacity;
    uint32_t n; /* examples */
    /* Examples come in groups of so many: one of the data, and behind it others that
     * differ from it in what belongs to the item; 1: all are of the data. */
    uint32_t group;
    struct batch_input input[JOB_LAYERS_MAX];
    /* With TARGET_CLASS and TARGET_LIST: of example i those from target_offset[i] to
     * target_offset[i + 1]: rows of the target's table, and their weights. */
    uint32_t *target_offset, *target;
    float *target_value;
    /* Of models whose losses set items against each other: each example's item by its
     * number in the catalogue, the logarithm of its share of the items that negatives
     * are drawn from, and how many these are. */
    uint64_t *item; /* [n] */
    float *log_q;   /* [n] */
    uint64_t items;
    float *label;  /* [n] */
    float *weight; /* [n], if it is `weighted` */
    bool weighted;
    uint64_t taken; /* examples of the worker's share up to and with this batch */
    uint64_t lease, position; /* where its last example's lease is at behind it */
    bool second_half;         /* of that lease */
    uint64_t bad_rows;        /* left out of the worker's share up to there */
    uint64_t clock;           /* 0 while it only evaluates */
    bool read_only;
    struct keyset set[JOB_TABLES_MAX];
    float *rows[JOB_TABLES_MAX]; /* [set.rows][width] */
    /* From a section's `first` on, the places within it of the rows it wants, unless
     * it wants all. */
    uint32_t *missing[JOB_TABLES_MAX];
    struct batch_part *part;
    uint32_t parts, parts_capacity, unanswered;
    uint64_t request;   /* of part 0; the others follow */
    uint64_t parked_us; /* how long slower workers held its rows up, at most */
};

/* For at most `capacity` examples, one key column for each of `tables` tables whose
 * rows have width[t] floats; without inputs. */
int batch_create(struct batch *batch, const uint32_t *width, uint32_t tables,
                 uint32_t servers, uint32_t capacity, struct err *err);
/* For at most `capacity` examples of a model (borrowed), with its inputs. */
int batch_create_for(struct batch *batch, const struct blueprint *blueprint,
                     uint32_t servers, uint32_t capacity, struct err *err);
void batch_release(struct batch *batch); /* zeroed is fine */

/* After label, n and the key sets are filled: cuts the batch into parts. Fails without
 * memory only. */
int batch_cut(struct batch *batch, struct err *err);

#endif

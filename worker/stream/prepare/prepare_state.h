/* Inside a preparation: shared by prepare*.c. */
#ifndef ROWHOUSE_WORKER_STREAM_PREPARE_PREPARE_STATE_H
#define ROWHOUSE_WORKER_STREAM_PREPARE_PREPARE_STATE_H

#include "worker/stream/dictionary.h"
#include "worker/stream/prepare/prepare.h"
#include "worker/stream/prepare/tally.h"
#include "worker/stream/prepare/words.h"

enum {
    PREPARE_KEYS_MAX = 1 << 25,  /* different ones that a vocabulary counts */
    PREPARE_ITEMS_MAX = 1 << 28, /* in all histories */
    PREPARE_STEPS_MAX = 1024,    /* bytes of the text of a column's steps */
};

/* What a column goes through. */
enum prepare_path {
    PATH_SAME,    /* as it is */
    PATH_NUMBER,  /* number to number: fill, clip, transform, scale */
    PATH_BUCKETS, /* number to key */
    PATH_KEY,     /* key to key: fill, vocabulary or hash */
    PATH_KEYS,    /* the same for each of a list */
    PATH_WORDS,   /* text to keys */
    PATH_VECTOR,  /* vector to vector */
    PATH_HISTORY, /* user and time to keys */
};

/* An item of a user's history. */
struct prepare_item {
    uint64_t user;
    int64_t time;
    uint64_t key;
    uint64_t number; /* in the order of the fit */
};

struct prepare_numbers {
    double fill, low, high, center, factor; /* in the order in which they act */
    double *edge;                           /* [edges], rising; owned */
    uint32_t edges;
};

struct prepare_column {
    char name[JOB_NAME_MAX * 2];
    struct job_steps steps;       /* zeroed where the job says nothing */
    char text[PREPARE_STEPS_MAX]; /* the steps that are not as by default */
    enum prepare_path path;
    int source[JOB_SOURCES_MAX]; /* places in the prepared schema */
    uint32_t sources;
    uint64_t rows;   /* of a dense table, 0 = none */
    double constant; /* missing: constant, of a number */
    bool fits_numbers, counts_keys, fits_history, fits_newest;
    bool checks; /* PATH_SAME, but a side table may lack what must be there */

    /* While it is fitted. Owned. */
    struct tally tally;
    uint64_t missing;
    uint64_t *count; /* [known.keys] */
    uint32_t count_room;
    uint64_t items_room;

    /* What comes of it. Owned. */
    struct prepare_numbers numbers;
    struct dictionary known; /* the vocabulary: ids are numbers */
    uint64_t fill_key;
    uint32_t *documents; /* [known.keys], tfidf: training examples with the word */
    int64_t newest;      /* recency: the newest time */
    struct prepare_item *item; /* [items], by user, time and number */
    uint64_t items;
};

struct prepare {
    struct schema raw, prepared;
    struct prepare_column column[SCHEMA_COLUMNS_MAX]; /* [prepared.columns] */
    uint64_t examples;                                /* fitted on */
    bool finished;
    struct words words; /* memory for one text */
};

enum prepare_found { FOUND_VALUE, FOUND_MISSING, FOUND_LEFT_OUT };

/* The number of column `c` for example i of a raw block, before any step: FOUND_VALUE
 * or FOUND_MISSING. */
enum prepare_found prepare_number_at(const struct prepare *prepare,
                                     const struct block *in, uint32_t c, uint32_t i,
                                     double *number);
/* The key of column `c` before its own steps: of a cross, from its sources' prepared
 * keys. */
enum prepare_found prepare_raw_key_at(const struct prepare *prepare,
                                      const struct block *in, uint32_t c, uint32_t i,
                                      uint64_t *key);
/* The same after them. */
enum prepare_found prepare_key_at(const struct prepare *prepare, const struct block *in,
                                  uint32_t c, uint32_t i, uint64_t *key);

/* Has example i of a raw block a user? A history is nobody's without. */
static inline bool prepare_has_user(const struct prepare *prepare,
                                    const struct block *in, uint32_t i)
{
    const uint8_t *missing = in->column[prepare->raw.user].missing;

    return !missing || !missing[i];
}

/* The number after clipping and transforming. */
double prepare_bent(const struct prepare_column *column, double number);
/* What vocabulary or hash makes of a key: FOUND_VALUE or FOUND_LEFT_OUT. */
enum prepare_found prepare_mapped(const struct prepare_column *column, uint64_t key,
                                  uint64_t *mapped);
/* The key of its own for a missing one. */
uint64_t prepare_category(const struct prepare_column *column);
/* How many keys there are, from 0 on; 0: they are not numbered. */
uint64_t prepare_keys(const struct prepare_column *column);
/* -ERR_INPUT when a dense table has not as many rows. */
int prepare_check_rows(const struct prepare_column *column, struct err *err);

#endif

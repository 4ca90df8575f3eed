/* What the files of a reader share: its state, and single values. */
#ifndef ROWHOUSE_WORKER_STREAM_TEXT_READER_PARTS_H
#define ROWHOUSE_WORKER_STREAM_TEXT_READER_PARTS_H

#include "worker/stream/text/fields_kernels.h"
#include "worker/stream/text/reader.h"

enum { NO_FIELD = UINT32_MAX, READER_FIELDS_MAX = UINT16_MAX };

/* A piece of text; not terminated. */
struct span {
    const char *text;
    size_t length;
};

/* One format of files. */
struct reader_format {
    /* Settings that only this format has, and memory. NULL: none. */
    int (*create)(struct reader *reader, const struct job *job, struct err *err);
    void (*destroy)(struct reader *reader);
    /* As reader_begin(); NULL: nothing to do. */
    int (*begin)(struct reader *reader, const char *path, const char *head,
                 size_t length, struct err *err);
    /* As reader_parse(). */
    int (*parse)(struct reader *reader, const struct reader_text *text,
                 struct block *block, size_t *used, size_t *bad, struct err *err);
    bool head; /* reader_needs_head() */
};

extern const struct reader_format reader_delimited, reader_svm, reader_jsonl,
    reader_sequence, reader_ncf;

struct reader {
    const struct reader_format *format; /* borrowed */
    const struct schema *schema;        /* borrowed */
    const struct split_kernels *kernels;
    struct split_rules rules;
    bool header, latin1;
    bool own_names;   /* `names` are the format's: data.names is not set */
    char *names;      /* owned; the list data.names */
    char *missing;    /* owned; the list data.missing */
    bool odd_missing; /* something in it could be a number */
    char *scratch;    /* owned; a value as it is meant */
    size_t scratch_room;
    void *state; /* of the format */
};

/* Room for `bytes` in reader->scratch, whose bytes then are no longer there. */
int reader_scratch(struct reader *reader, size_t bytes, struct err *err);

/* --- values ---------------------------------------------------------------------- */

/* Where a value goes: example i of the block (i >= block->n: those before it that are
 * not in the block yet have been put), column c. */
struct slot {
    struct block *block;
    uint32_t c, i;
};

/* Is it what means a missing value? */
bool reader_is_missing(const struct reader *reader, struct span value);

/* Put one value, a text as it is meant (UTF-8, without quotes), in its place by the
 * column's kind. -ERR_INPUT: ", column rating: 'four' is not a number" and the like;
 * -ERR_MEMORY. */
int reader_put(struct reader *reader, struct slot slot, struct span value,
               struct err *err);

/* One key more behind those of a KEYS column, `more` of which the example has already.
 */
int reader_add_key(struct slot slot, uint32_t more, uint64_t key, float weight,
                   struct err *err);

/* Number `part` of a vector; beyond its dim it is only checked. */
int reader_put_part(struct reader *reader, struct slot slot, uint32_t part,
                    struct span value, struct err *err);

/* The column is missing in example i: nothing, NaN, no key. */
int reader_put_missing(struct reader *reader, struct slot slot, struct span value,
                       struct err *err);

/* The key is a row of the column's table, if that is dense. */
int reader_check_key(const struct schema_column *column, struct span text, uint64_t key,
                     struct err *err);

/* A copy for sentences: shown[WORDING_SHOWN_MAX], returned. */
const char *reader_shown(struct span value, char *shown);

/* Latin-1 as UTF-8, in reader->scratch unless it is ASCII. */
int reader_utf8(struct reader *reader, struct span *value, struct err *err);

#endif

/* Preparation: from a block as the files have it to a block as a model wants it. What
 * is done to a column is in the job (data.columns.NAME.*), in which order and by which
 * formula in docs/preparation.md.
 *
 *   prepare_create -> prepare_fit ... -> prepare_finish -> prepare_apply ...
 *
 * What depends on the data is fitted in one pass over the training part, and only
 * there. Parts may be fitted apart and merged; the order does not matter but where it
 * is said. What was fitted becomes bytes that go into the checkpoint, so that
 * evaluation and prediction do with other data exactly what training did. One thread at
 * a time. */
#ifndef ROWHOUSE_WORKER_STREAM_PREPARE_PREPARE_H
#define ROWHOUSE_WORKER_STREAM_PREPARE_PREPARE_H

#include <stdbool.h>

#include "common/facts.h"
#include "worker/stream/block.h"

enum { PREPARE_BYTES_MAX = 1 << 30 }; /* of what prepare_save() writes */

struct prepare;

/* Says to a schema for readers what the preparation takes care of: which values may be
 * missing, and which keys need not be rows of a dense table as they are. */
void prepare_expect(const struct job *job, struct schema *raw);

/* What the job does to the columns of `raw` (a copy is kept). The prepared schema has
 * them at the same places, and made columns behind them. -ERR_INPUT: a step that does
 * not go with its column or its sources; -ERR_MEMORY. */
int prepare_create(const struct job *job, const struct schema *raw,
                   struct prepare **prepare, struct err *err);
void prepare_destroy(struct prepare *prepare); /* NULL is fine */

/* What comes out; valid as long as the preparation. */
const struct schema *prepare_schema(const struct prepare *prepare);
/* Does it change anything? Is there anything to fit? */
bool prepare_changes(const struct prepare *prepare);
/* Is there a column that it leaves as it is, but that side tables may lack? Then
 * prepare_apply() is needed to find that, though there may be nothing to save. */
bool prepare_checks(const struct prepare *prepare);
bool prepare_fits(const struct prepare *prepare);

/* Takes a block of the training part into account: of its examples those with keep[i]
 * != 0, all if keep is NULL. -ERR_INPUT: more different keys than a vocabulary can
 * have, or what examples of a history lack; -ERR_MEMORY. */
int prepare_fit(struct prepare *prepare, const struct block *block, const uint8_t *keep,
                struct err *err);

/* Adds what another one of the same job and schema has seen: the same as if this one
 * had seen it, behind what it saw itself (which only histories tell apart, among
 * examples of one user at one time). */
int prepare_merge(struct prepare *prepare, const struct prepare *other,
                  struct err *err);

/* The end of the pass. -ERR_INPUT: there was no example to fit something on, or not one
 * with a value; a dense table has too few rows for its keys. -ERR_MEMORY. */
int prepare_finish(struct prepare *prepare, struct err *err);

/* Fills `out`, a block of the prepared schema with room for in->n examples. After
 * prepare_finish() or prepare_load(). -ERR_INPUT: example *at of `in` lacks a value
 * that must be there; the caller, who knows where that stands, puts it before the
 * sentence. -ERR_MEMORY; *at is an example of `in` then, too. */
int prepare_apply(struct prepare *prepare, const struct block *in, struct block *out,
                  uint32_t *at, struct err *err);

/* A column's key as it is after preparation, for looking it up: `column` is its place
 * in the schema. False: the vocabulary does not have it. Keys that are made of several
 * columns cannot be looked up: false. After prepare_finish(). */
bool prepare_key(const struct prepare *prepare, uint32_t column, uint64_t key,
                 uint64_t *prepared);

/* What was fitted as bytes (*bytes is the caller's to free): the same wherever it was
 * fitted. After prepare_finish(). -ERR_MEMORY. */
int prepare_save(const struct prepare *prepare, unsigned char **bytes, size_t *size,
                 struct err *err);
/* Takes it back, in place of fitting. -ERR_DAMAGE: not what was written; -ERR_INPUT: of
 * a newer version, or of other steps: the sentence names the column. */
int prepare_load(struct prepare *prepare, const unsigned char *bytes, size_t size,
                 struct err *err);

/* A preparation of a checkpoint, to be used in place of one that is fitted. */
struct saved_preparation {
    const unsigned char *bytes; /* borrowed; NULL: the checkpoint has none */
    size_t size;
};

/* Takes it in place of fitting. -ERR_INPUT: the checkpoint has none; and the errors of
 * prepare_load(). */
int prepare_take(struct prepare *prepare, const struct saved_preparation *saved,
                 struct err *err);
/* prepare_save(), for checkpoints: *bytes is the caller's to free, their number and
 * digest go into the facts. -ERR_MEMORY. */
int prepare_keep(const struct prepare *prepare, unsigned char **bytes,
                 struct data_facts *facts, struct err *err);

/* Keys of their own in tables without numbered keys: what key_of_text() makes of
 * "<missing>", and of "<unseen 0>", "<unseen 1>", ... */
uint64_t prepare_missing_key(void);
uint64_t prepare_unseen_key(uint64_t number);

#endif

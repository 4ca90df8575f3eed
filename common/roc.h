/* Counts of positive and negative examples by score, from which the area under the ROC
 * curve comes out exactly, and the same whoever counted which examples.
 *
 * Up to ROC_ENTRIES_MAX different scores are kept as they are. With more, scores are
 * told apart by sign, exponent and 9 bits of the fraction alone: those within 0.2 % of
 * each other may count as equal. So give it log-odds; probabilities near 1 are close
 * together. A score that is no number is below all others; both zeros are one.
 *
 * A zeroed one is empty. One thread at a time. */
#ifndef ROWHOUSE_COMMON_ROC_H
#define ROWHOUSE_COMMON_ROC_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"

enum {
    ROC_ENTRIES_MAX = 1 << 20,
    ROC_BITS = 18, /* of a score, when there are more */
    ROC_WORDS_MAX = 1 + 3 * ROC_ENTRIES_MAX,
};

struct roc_entry {
    uint64_t key; /* numbers in the order of the scores, below 2^32 */
    uint64_t positive, negative;
};

struct roc {
    struct roc_entry *entry; /* owned; [entries], keys ascending */
    uint32_t entries;
    bool coarse;
    uint64_t examples;
    struct roc_entry *recent; /* owned; examples that are not in `entry` yet */
    uint32_t recents;
};

/* Adds n examples; labels from 1/2 on are positive. -ERR_MEMORY. */
int roc_add(struct roc *roc, const float *score, const float *label, uint32_t n,
            struct err *err);
/* Enters all that was added; before the three below. -ERR_MEMORY. */
int roc_settle(struct roc *roc, struct err *err);

/* It as little-endian words: word[roc_words()]. */
uint64_t roc_words(const struct roc *roc);
void roc_write(const struct roc *roc, uint64_t *word);
/* Adds another one that was written. -ERR_PEER with a sentence: those are not words
 * that roc_write() makes; *roc is as before. -ERR_MEMORY. */
int roc_merge(struct roc *roc, const uint64_t *word, uint64_t words, struct err *err);

/* The share of pairs of a positive and a negative example in which the positive has the
 * higher score, equal ones half; NaN unless there are both. *error: the exact value is
 * at most so far from it; 0 unless `coarse`. */
double roc_auc(const struct roc *roc, double *error);

void roc_release(struct roc *roc); /* empty again */

#endif

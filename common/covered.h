/* Which items of a catalogue were on any list, for each of a few lengths of lists: sets
 * that can be sent and united. A zeroed one is empty and of no catalogue. One thread at
 * a time. */
#ifndef ROWHOUSE_COMMON_COVERED_H
#define ROWHOUSE_COMMON_COVERED_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

enum { COVERED_SETS_MAX = 4, COVERED_WORDS_MAX = 1 << 22 };

struct covered {
    uint32_t items, sets;
    uint64_t *bits; /* owned; [sets][(items + 63) / 64] */
};

/* -ERR_INPUT: more items than COVERED_WORDS_MAX words have room for; -ERR_MEMORY. */
int covered_init(struct covered *covered, uint32_t items, uint32_t sets,
                 struct err *err);
void covered_release(struct covered *covered); /* zeroed is fine */

/* Adds an item, below `items`, to a set. */
static inline void covered_add(struct covered *covered, uint32_t set, uint32_t item)
{
    size_t words = ((size_t)covered->items + 63) / 64;

    covered->bits[set * words + item / 64] |= UINT64_C(1) << item % 64;
}

/* The share of all items that are in a set; NaN without any, and of no such set. */
double covered_share(const struct covered *covered, uint32_t set);

/* It as little-endian words: word[covered_words()]. */
uint64_t covered_words(const struct covered *covered);
void covered_write(const struct covered *covered, uint64_t *word);
/* Adds another one that was written; an empty one takes its catalogue. -ERR_PEER: those
 * are not words of as many sets (`sets`), or of another catalogue; *covered is as
 * before. -ERR_MEMORY. */
int covered_merge(struct covered *covered, uint32_t sets, const uint64_t *word,
                  uint64_t words, struct err *err);

#endif

#include "common/roc.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/score.h"

enum {
    RECENT_MAX = 1 << 18,
    ENTRY_WORDS = 3,
};

_Static_assert(sizeof(struct roc_entry) == ENTRY_WORDS * sizeof(uint64_t),
               "an entry is written as it is");

/* So many that no product of two counts passes 128 bits. */
static const uint64_t examples_max = UINT64_C(1) << 48;

static uint64_t mask(bool coarse)
{
    return coarse ? ~((UINT64_C(1) << (32 - ROC_BITS)) - 1) : UINT64_MAX;
}

static int by_key(const void *a, const void *b)
{
    const struct roc_entry *x = a, *y = b;

    return (x->key > y->key) - (x->key < y->key);
}

/* Makes one entry of those that are next to each other with equal keys; how many are
 * left. */
static uint32_t collapse(struct roc_entry *entry, uint32_t n, bool coarse)
{
    uint32_t kept = 0;

    for (uint32_t i = 0; i < n; i++) {
        struct roc_entry e = entry[i];

        e.key &= mask(coarse);
        if (kept && entry[kept - 1].key == e.key) {
            entry[kept - 1].positive += e.positive;
            entry[kept - 1].negative += e.negative;
        } else {
            entry[kept++] = e;
        }
    }
    return kept;
}

/* Enters `other` [n], whose keys ascend; their sum of examples is counted already. */
static int enter(struct roc *roc, const struct roc_entry *other, uint32_t n,
                 struct err *err)
{
    uint32_t a = 0, b = 0, all = 0;
    struct roc_entry *both;

    if (n == 0)
        return 0;
    both = malloc(((size_t)roc->entries + n) * sizeof *both);
    if (!both)
        return err_set(err, ERR_MEMORY, "no memory to count scores");
    while (a < roc->entries || b < n)
        both[all++] = b == n || (a < roc->entries && roc->entry[a].key <= other[b].key)
                          ? roc->entry[a++]
                          : other[b++];
    all = collapse(both, all, roc->coarse);
#ifndef MUTANT_ROC_BOUND
    if (all > ROC_ENTRIES_MAX) {
        roc->coarse = true;
        all = collapse(both, all, true);
    }
#endif
    free(roc->entry);
    roc->entry = both;
    roc->entries = all;
    return 0;
}

int roc_settle(struct roc *roc, struct err *err)
{
    uint32_t n = roc->recents;
    int rc;

    if (n == 0)
        return 0;
    qsort(roc->recent, n, sizeof *roc->recent, by_key);
    n = collapse(roc->recent, n, roc->coarse);
    rc = enter(roc, roc->recent, n, err);
    if (rc == 0)
        roc->recents = 0;
    return rc;
}

int roc_add(struct roc *roc, const float *score, const float *label, uint32_t n,
            struct err *err)
{
    if (!roc->recent)
        roc->recent = malloc(RECENT_MAX * sizeof *roc->recent);
    if (!roc->recent)
        return err_set(err, ERR_MEMORY, "no memory to count scores");
    for (uint32_t i = 0; i < n; i++) {
        bool positive = label[i] >= 0.5f;

        if (roc->recents == RECENT_MAX && roc_settle(roc, err))
            return -err->code;
        roc->recent[roc->recents++] = (struct roc_entry){score_order(score[i]),
                                                         positive, !positive};
        roc->examples++;
    }
    return 0;
}

uint64_t roc_words(const struct roc *roc)
{
    return 1 + ENTRY_WORDS * (uint64_t)roc->entries;
}

void roc_write(const struct roc *roc, uint64_t *word)
{
    word[0] = roc->coarse;
    if (roc->entries)
        memcpy(word + 1, roc->entry, roc->entries * sizeof *roc->entry);
}

/* Are the words what roc_write() makes? *examples: how many they count. */
static bool are_good(const uint64_t *word, uint64_t words, uint64_t *examples)
{
    uint64_t before = 0, sum = 0;

    if (words % ENTRY_WORDS != 1 || words > ROC_WORDS_MAX || word[0] > 1)
        return false;
    for (uint64_t i = 1; i < words; i += ENTRY_WORDS) {
        uint64_t key = word[i], positive = word[i + 1], negative = word[i + 2];

        if (key > UINT32_MAX || (key & ~mask(word[0])) || (i > 1 && key <= before) ||
            positive > examples_max || negative > examples_max)
            return false;
        before = key;
        sum += positive + negative;
        if (sum > examples_max)
            return false;
    }
    *examples = sum;
    return true;
}

int roc_merge(struct roc *roc, const uint64_t *word, uint64_t words, struct err *err)
{
    uint64_t examples = 0;
    int rc;

#ifndef MUTANT_ROC_WORDS
    if (!are_good(word, words, &examples))
        return err_set(err, ERR_PEER,
                       "%llu words that are no counts of scores, whose keys "
                       "would ascend",
                       (unsigned long long)words);
#endif
    if (roc->examples + examples > examples_max)
        return err_set(err, ERR_PEER, "counts of scores of too many examples");
    if (word[0] && !roc->coarse) {
        roc->coarse = true;
        roc->entries = collapse(roc->entry, roc->entries, true);
    }
    rc = enter(roc, (const struct roc_entry *)(word + 1),
               (uint32_t)(words / ENTRY_WORDS), err);
    if (rc == 0)
        roc->examples += examples;
    return rc;
}

double roc_auc(const struct roc *roc, double *error)
{
    unsigned __int128 twice = 0, tied = 0, pairs; /* exact: so their order is nothing */
    uint64_t positive = 0, negative = 0;

    for (uint32_t i = 0; i < roc->entries; i++) {
        const struct roc_entry *e = &roc->entry[i];

        twice += (unsigned __int128)e->positive * (2 * negative + e->negative);
        tied += (unsigned __int128)e->positive * e->negative;
        positive += e->positive;
        negative += e->negative;
    }
    pairs = (unsigned __int128)positive * negative;
    *error = roc->coarse && pairs ? (double)tied / 2 / (double)pairs : 0;
    return pairs ? (double)twice / 2 / (double)pairs : NAN;
}

void roc_release(struct roc *roc)
{
    free(roc->entry);
    free(roc->recent);
    *roc = (struct roc){0};
}

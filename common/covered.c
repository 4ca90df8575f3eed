#include "common/covered.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static uint64_t words_of(uint64_t items, uint32_t sets)
{
    return (items + 63) / 64 * sets;
}

int covered_init(struct covered *covered, uint32_t items, uint32_t sets,
                 struct err *err)
{
    uint64_t words = words_of(items, sets);

    *covered = (struct covered){.items = items, .sets = sets};
    if (words >= COVERED_WORDS_MAX)
        return err_set(err, ERR_INPUT,
                       "coverage is counted of at most %llu items, but there are %u",
                       COVERED_WORDS_MAX / (unsigned long long)sets * 64, items);
    covered->bits = calloc(words + 1, sizeof *covered->bits);
    if (!covered->bits)
        return err_set(err, ERR_MEMORY, "no memory to count which of %u items come up",
                       items);
    return 0;
}

void covered_release(struct covered *covered)
{
    free(covered->bits);
    *covered = (struct covered){0};
}

double covered_share(const struct covered *covered, uint32_t set)
{
    uint64_t words = words_of(covered->items, 1), count = 0;

    if (covered->items == 0 || set >= covered->sets)
        return NAN;
    for (uint64_t i = 0; i < words; i++)
        count += (uint64_t)__builtin_popcountll(covered->bits[set * words + i]);
    return (double)count / covered->items;
}

uint64_t covered_words(const struct covered *covered)
{
    return 1 + words_of(covered->items, covered->sets);
}

void covered_write(const struct covered *covered, uint64_t *word)
{
    word[0] = covered->items;
    if (covered->bits)
        memcpy(word + 1, covered->bits,
               (covered_words(covered) - 1) * sizeof *covered->bits);
}

/* Are there bits of items only? */
static int check_words(const uint64_t *word, uint64_t words, uint32_t sets,
                       struct err *err)
{
    uint64_t each = words ? words_of(word[0], 1) : 0;

    if (words == 0 || word[0] == 0 || word[0] > UINT32_MAX ||
        words >= COVERED_WORDS_MAX || words - 1 != each * sets)
        return err_set(err, ERR_PEER, "sets of items are malformed: %llu words",
                       (unsigned long long)words);
    for (uint32_t s = 0; s < sets && word[0] % 64; s++)
        if (word[(s + 1) * each] >> word[0] % 64)
            return err_set(err, ERR_PEER, "a set has an item beyond the last one");
    return 0;
}

int covered_merge(struct covered *covered, uint32_t sets, const uint64_t *word,
                  uint64_t words, struct err *err)
{
    if (check_words(word, words, sets, err))
        return -err->code;
    if (covered->bits && word[0] != covered->items)
        return err_set(err, ERR_PEER, "a set is of %llu items, others of %u",
                       (unsigned long long)word[0], covered->items);
    if (!covered->bits && covered_init(covered, (uint32_t)word[0], sets, err))
        return -err->code;
    for (uint64_t i = 1; i < words; i++)
        covered->bits[i - 1] |= word[i];
    return 0;
}

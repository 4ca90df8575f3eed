/* A preparation with everything that can be saved: for tests of its bytes. Includes
 * tests/unit/prepare_kit.h, so after cmocka. */
#ifndef ROWHOUSE_TESTS_GOLDEN_PREPARE_SAMPLE_H
#define ROWHOUSE_TESTS_GOLDEN_PREPARE_SAMPLE_H

#include "tests/unit/prepare_kit.h"

enum { SAMPLE_EXAMPLES = 12 };

static inline struct kit *sample_kit(void)
{
    static const char *const setting[][3] = {
        {"user", "vocabulary", "number"}, {"user", "vocabulary_min", "2"},
        {"item", "vocabulary", "keep"},   {"item", "unseen", "2"},
        {"price", "missing", "mean"},     {"price", "clip_high", "0.9"},
        {"price", "scale", "standard"},   {"age", "buckets", "3"},
        {"age", "missing", "category"},   {"title", "words", "tfidf"},
        {"recency", "make", "recency"},   {"recency", "of", "at"},
        {"seen", "make", "history"},      {"seen", "of", "item"},
        {"both", "make", "cross"},        {"both", "of", "user,item"},
        {"both", "hash", "100"},
    };
    struct kit *kit = kit_create();

    kit->raw.user = (int)kit_column(kit, "user", VALUE_KEY);
    kit_column(kit, "item", VALUE_KEY);
    kit_column(kit, "price", VALUE_NUMBER);
    kit_column(kit, "age", VALUE_NUMBER);
    kit_column(kit, "title", VALUE_TEXT);
    kit->raw.time = (int)kit_column(kit, "at", VALUE_TIME);
    for (size_t i = 0; i < sizeof setting / sizeof *setting; i++)
        kit_set(kit, setting[i][0], setting[i][1], setting[i][2]);
    return kit;
}

/* Examples from number `first` on, n of them: the same whoever asks for them. */
static inline void sample_block(struct kit *kit, uint32_t first, uint32_t n)
{
    static const char *const text[] = {"Red wine", "white", "",
                                       "rose \xc3\xa9t\xc3\xa9"};
    const char *chosen[SAMPLE_EXAMPLES];

    kit_block(kit, n);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = first + i;

        kit->block.column[0].key[i] = at % 5;
        kit->block.column[1].key[i] = 0xfffffffffffffff0u + at % 7;
        kit->block.column[2].number[i] = at % 4 == 3 ? NAN : (float)at * 1.5F;
        kit->block.column[3].number[i] = at % 6 == 5 ? NAN : (float)(20 + at);
        chosen[i] = text[at % 4];
        kit->block.column[5].time[i] = (int64_t)(1000 - at * at) * 3600000000;
    }
    kit_texts(kit, 4, chosen);
}

static inline struct prepare *sample_fitted(struct kit *kit)
{
    struct prepare *prepare = kit_prepare(kit);

    sample_block(kit, 0, SAMPLE_EXAMPLES);
    assert_int_equal(prepare_fit(prepare, &kit->block, NULL, &kit->err), 0);
    assert_int_equal(prepare_finish(prepare, &kit->err), 0);
    return prepare;
}

#endif

/* For tests of preparations: a job from settings, blocks from arrays. */
#ifndef ROWHOUSE_TESTS_UNIT_PREPARE_KIT_H
#define ROWHOUSE_TESTS_UNIT_PREPARE_KIT_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "worker/stream/prepare/prepare.h"

struct kit {
    struct job job;
    struct schema raw;
    struct block block;
    uint32_t at; /* of prepare_apply() */
    struct err err;
};

static inline struct kit *kit_create(void)
{
    struct kit *kit = calloc(1, sizeof *kit);

    assert_non_null(kit);
    job_init(&kit->job);
    kit->raw = SCHEMA_EMPTY;
    return kit;
}

static inline void kit_destroy(struct kit *kit)
{
    block_release(&kit->block);
    free(kit);
}

/* data.columns.COLUMN.SETTING */
static inline void kit_set(struct kit *kit, const char *column, const char *setting,
                           const char *value)
{
    char name[256];

    snprintf(name, sizeof name, "data.columns.%s.%s", column, setting);
    if (job_set(&kit->job, name, value, "test", &kit->err))
        fail_msg("%s", kit->err.text);
}

static inline uint32_t kit_column(struct kit *kit, const char *name,
                                  enum value_kind kind)
{
    int at = schema_add(&kit->raw, name, kind);

    kit->raw.column[at].may_miss = true;
    return (uint32_t)at;
}

/* An empty block of n examples; the arrays are the test's to fill. */
static inline void kit_block(struct kit *kit, uint32_t n)
{
    block_release(&kit->block);
    assert_int_equal(block_create(&kit->block, &kit->raw, n + 1, &kit->err), 0);
    kit->block.n = n;
    for (uint32_t i = 0; i < n; i++)
        kit->block.place[i] = i;
    for (uint32_t c = 0; c < kit->raw.columns; c++)
        if (kit->block.column[c].missing)
            memset(kit->block.column[c].missing, 0, n);
}

static inline void kit_numbers(struct kit *kit, uint32_t c, const float *number)
{
    memcpy(kit->block.column[c].number, number, kit->block.n * sizeof *number);
}

static inline void kit_keys(struct kit *kit, uint32_t c, const uint64_t *key)
{
    memcpy(kit->block.column[c].key, key, kit->block.n * sizeof *key);
}

/* Texts of all examples. */
static inline void kit_texts(struct kit *kit, uint32_t c, const char *const *text)
{
    struct values *values = &kit->block.column[c];
    uint32_t n = kit->block.n, bytes = 0;

    for (uint32_t i = 0; i < n; i++)
        bytes += (uint32_t)strlen(text[i]);
    values->offset[n] = 0;
    assert_int_equal(block_text_room(&kit->block, c, bytes + 1, &kit->err), 0);
    values->offset[0] = 0;
    for (uint32_t i = 0; i < n; i++) {
        memcpy(values->text + values->offset[i], text[i], strlen(text[i]));
        values->offset[i + 1] = values->offset[i] + (uint32_t)strlen(text[i]);
    }
}

/* Lists of keys: `of` keys each, one after the other. */
static inline void kit_lists(struct kit *kit, uint32_t c, const uint64_t *key,
                             uint32_t of)
{
    struct values *values = &kit->block.column[c];
    uint32_t n = kit->block.n;

    values->offset[n] = 0;
    assert_int_equal(block_key_room(&kit->block, c, (uint64_t)n * of + 1, &kit->err),
                     0);
    for (uint32_t i = 0; i <= n; i++)
        values->offset[i] = i * of;
    for (uint32_t i = 0; i < n * of; i++) {
        values->key[i] = key[i];
        values->number[i] = 1;
    }
}

static inline struct prepare *kit_prepare(struct kit *kit)
{
    struct prepare *prepare = NULL;

    if (prepare_create(&kit->job, &kit->raw, &prepare, &kit->err))
        fail_msg("%s", kit->err.text);
    return prepare;
}

/* Fits on the block and applies to it. */
static inline struct prepare *kit_fitted(struct kit *kit, struct block *out)
{
    struct prepare *prepare = kit_prepare(kit);

    if (prepare_fit(prepare, &kit->block, NULL, &kit->err) ||
        prepare_finish(prepare, &kit->err))
        fail_msg("%s", kit->err.text);
    assert_int_equal(
        block_create(out, prepare_schema(prepare), kit->block.n + 1, &kit->err), 0);
    if (prepare_apply(prepare, &kit->block, out, &kit->at, &kit->err))
        fail_msg("%s", kit->err.text);
    return prepare;
}

#endif

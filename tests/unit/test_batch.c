/* Cutting batches into parts: every row once, no part too large, none too small. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/rng.h"
#include "worker/batch.h"
#include "worker/client.h"
#include "worker/outbox.h"

static size_t row_bytes(const struct batch *batch, uint32_t table)
{
    return sizeof(uint64_t) + sizeof(float) + batch->width[table] * sizeof(float);
}

static size_t part_bytes(const struct batch *batch, const struct batch_part *part)
{
    size_t bytes = 0;

    for (uint32_t i = 0; i < part->sections; i++)
        bytes += part->section[i].rows * row_bytes(batch, part->section[i].table);
    return bytes;
}

static void check_parts(const struct batch *batch)
{
    uint32_t next[JOB_TABLES_MAX][SERVERS_MAX] = {{0}}, number = 0;

    for (uint32_t t = 0; t < batch->tables; t++)
        for (uint32_t s = 0; s < batch->servers; s++)
            next[t][s] = batch->set[t].part[s];
    for (uint32_t p = 0; p < batch->parts; p++) {
        const struct batch_part *part = &batch->part[p];

        number = p && part->server == batch->part[p - 1].server ? number + 1 : 0;
        assert_int_equal(part->number, number);
        assert_true(part->number < part->parts);
        assert_in_range(part->sections, 1, batch->tables);
        if (part->number + 1 < part->parts)
            assert_int_equal(batch->part[p + 1].server, part->server);
        else if (p + 1 < batch->parts)
            assert_true(batch->part[p + 1].server > part->server);
        for (uint32_t i = 0; i < part->sections; i++) {
            const struct batch_section *s = &part->section[i];

            assert_true(s->rows > 0);
            assert_int_equal(s->first, next[s->table][part->server]);
            next[s->table][part->server] += s->rows;
        }
        if (part_bytes(batch, part) > PART_BYTES) { /* only a row that is wider alone */
            assert_int_equal(part->sections, 1);
            assert_int_equal(part->section[0].rows, 1);
        }
        if (part->number + 1 < part->parts) /* full but for less than the next row */
            assert_true(part_bytes(batch, part) +
                            row_bytes(batch, part[1].section[0].table) >
                        PART_BYTES);
    }
    for (uint32_t t = 0; t < batch->tables; t++)
        for (uint32_t s = 0; s < batch->servers; s++)
            assert_int_equal(next[t][s], batch->set[t].part[s + 1]);
    assert_int_equal(batch->unanswered, batch->parts);
}

static void fill(struct batch *batch, uint64_t seed, uint32_t n, uint64_t keys)
{
    uint64_t *key = malloc((n + 1) * sizeof *key);
    struct err err;

    batch->n = n;
    for (uint32_t t = 0; t < batch->tables; t++) {
        for (uint32_t i = 0; i < n; i++)
            key[i] = rng_at(seed, t, i) % keys;
        keyset_build(&batch->set[t], key, n, 1, batch->servers);
    }
    assert_int_equal(batch_cut(batch, &err), 0);
    free(key);
}

static void test_many_shapes(void **state)
{
    static const struct {
        uint32_t tables, servers, n, width[3];
        uint64_t keys;
    } cases[] = {
        {1, 1, 0, {8}, 10},
        {1, 1, 1, {8}, 10},
        {2, 1, 100, {33, 33}, 50},
        {2, 3, 5000, {33, 33}, 100000},
        {2, 1, 40000, {17, 129}, 1000000},
        {3, 7, 9000, {1, 64, 1000}, 1000000},
        {2, 256, 300, {4, 4}, 40},
        {1, 1, 65536, {1}, UINT64_MAX}, /* 16 bytes a row */
    };

    (void)state;
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        struct batch batch;
        struct err err;

        assert_int_equal(batch_create(&batch, cases[c].width, cases[c].tables,
                                      cases[c].servers, cases[c].n + 1, &err),
                         0);
        for (uint64_t seed = 1; seed <= 3; seed++) {
            fill(&batch, seed, cases[c].n, cases[c].keys);
            check_parts(&batch);
        }
        if (cases[c].n == 0)
            assert_int_equal(batch.parts, 0);
        batch_release(&batch);
    }
}

/* The widest rows that a job may have, and rows that are wider than a part. */
static void test_wide_rows(void **state)
{
    static const uint32_t widths[] = {16385, 262141, 262142, 400000};
    static const uint32_t rows_a_part[] = {15, 1, 1, 1};

    (void)state;
    for (int i = 0; i < 4; i++) {
        const uint32_t width[2] = {widths[i], 3};
        struct batch batch;
        struct err err;

        assert_int_equal(batch_create(&batch, width, 2, 1, 32, &err), 0);
        fill(&batch, 5, 32, 1000000);
        check_parts(&batch);
        assert_int_equal(batch.part[0].section[0].rows, rows_a_part[i]);
        batch_release(&batch);
    }
}

/* Of a push of all parts. */
static uint64_t body_bytes(const struct batch *batch)
{
    uint64_t bytes = 0;

    for (uint32_t p = 0; p < batch->parts; p++) {
        const struct batch_part *part = &batch->part[p];
        struct section section[MESSAGE_SECTIONS_MAX];

        for (uint32_t i = 0; i < part->sections; i++)
            section[i] = (struct section){
                .table = part->section[i].table,
                .rows = part->section[i].rows,
                .width = batch->width[part->section[i].table],
            };
        bytes += message_layout(MESSAGE_PUSH, section, part->sections, NULL);
    }
    return bytes;
}

/* Does an outbox of the size that is asked for hold as many pushes as were asked for?
 */
static void check_outbox(const struct batch *batch, const uint64_t *rows)
{
    const uint32_t window = 3;
    uint64_t bytes = client_outbox_bytes(rows, batch->width, batch->tables,
                                         batch->servers, window);
    struct journal_entry standing = {0};
    struct outbox *outbox;
    struct err err;
    void *memory = calloc(1, bytes);

    assert_int_equal(outbox_open(memory, bytes, &outbox, &err), 0);
    for (uint32_t clock = 1; clock <= window; clock++) {
        assert_int_equal(outbox_begin(outbox, batch->parts, body_bytes(batch), &err),
                         0);
        assert_int_equal(outbox_commit(outbox, clock, &standing, &err), 0);
    }
    outbox_close(outbox);
    free(memory);
}

/* As many tables as a job may have: their sections fill parts together, and an outbox
 * has room for them, but none for tables that batches have no rows of. */
static void test_many_tables(void **state)
{
    static const struct {
        uint32_t servers, n, width, more; /* floats, of the first table and by table */
        uint64_t keys;
    } cases[] = {
        {1, 12, 1, 2, 40},     {7, 300, 8, 0, 200},       {256, 300, 1, 1, 1000},
        {3, 900, 400, 0, 900}, {2, 40, 140000, 1000, 30}, {1, 3, 262142, 0, 3},
    };
    uint32_t width[JOB_TABLES_MAX];
    uint64_t rows[JOB_TABLES_MAX], few;
    struct batch batch;
    struct err err;

    (void)state;
    for (size_t c = 0; c < sizeof cases / sizeof cases[0]; c++) {
        for (uint32_t t = 0; t < JOB_TABLES_MAX; t++)
            width[t] = cases[c].width + t * cases[c].more;
        assert_int_equal(batch_create(&batch, width, JOB_TABLES_MAX, cases[c].servers,
                                      cases[c].n, &err),
                         0);
        for (uint64_t seed = 1; seed <= 3; seed++) {
            fill(&batch, seed, cases[c].n, cases[c].keys);
            for (uint32_t t = 0; t < JOB_TABLES_MAX; t++)
                rows[t] = batch.set[t].rows;
            check_parts(&batch);
            check_outbox(&batch, rows);
        }
        if (c == 0)
            assert_int_equal(batch.part[0].sections, JOB_TABLES_MAX);
        memset(rows + 2, 0, sizeof rows - 2 * sizeof rows[0]);
        few = client_outbox_bytes(rows, width, 2, cases[c].servers, 3);
        assert_in_range(
            client_outbox_bytes(rows, width, JOB_TABLES_MAX, cases[c].servers, 3), few,
            2 * few);
        batch_release(&batch);
    }
}

/* The memory of parts stays from batch to batch. */
static void test_reuse(void **state)
{
    const uint32_t width[1] = {1000};
    struct batch batch;
    struct err err;

    (void)state;
    assert_int_equal(batch_create(&batch, width, 1, 2, 20000, &err), 0);
    fill(&batch, 1, 20000, 1000000);
    assert_true(batch.parts > 32);
    fill(&batch, 2, 10, 1000000);
    check_parts(&batch);
    assert_in_range(batch.parts, 1, 2);
    fill(&batch, 3, 20000, 1000000);
    check_parts(&batch);
    batch_release(&batch);
    assert_null(batch.part);
    batch_release(&batch); /* a zeroed one */
}

static void test_too_large(void **state)
{
    const uint32_t width[1] = {4};
    struct batch batch;
    struct err err;

    (void)state;
    assert_int_equal(batch_create(&batch, width, 1, 1, KEYSET_CAPACITY_MAX + 1, &err),
                     -ERR_INPUT);
    assert_non_null(strstr(err.text, "at most 16777216"));
    assert_int_equal(batch_create(&batch, width, 1, SERVERS_MAX + 1, 4, &err),
                     -ERR_INPUT);
    batch_release(&batch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_many_shapes), cmocka_unit_test(test_wide_rows),
        cmocka_unit_test(test_many_tables), cmocka_unit_test(test_reuse),
        cmocka_unit_test(test_too_large),
    };

    return cmocka_run_group_tests_name("batch", tests, NULL, NULL);
}

/* Tables that are full: rows that cannot be made read as zeros with a status of their
 * own, what is pushed to them is dropped and counted, once, and everything else goes on
 * as if nothing were. */
#include "tests/unit/core_kit.h"

static struct core_kit *kit_with(uint32_t servers, int64_t rows_max)
{
    struct core_kit *kit = core_kit_create(servers, 1);

    kit->job.table[0].rows_max = rows_max;
    core_kit_renew(kit);
    return kit;
}

static uint64_t rows_of(const struct core_kit *kit, uint32_t table)
{
    uint32_t tables;

    return table_rows(core_tables(kit->core, &tables)[table]);
}

static const struct table_facts *facts_of(const struct core_kit *kit, uint32_t table)
{
    static struct status status;

    core_fill_status(kit->core, &status);
    return &status.table[table];
}

/* The answer's rows: `status` has a letter for each, 'o' ok, 'f' full, 'a' absent;
 * NULL: the section has none. The value of row i is value[i]. */
static void assert_rows(const struct core_kit *kit, uint32_t section,
                        const char *status, const float *value)
{
    struct section_layout at[MESSAGE_SECTIONS_MAX];
    const struct section *s = &kit->out.section[section];
    const float *values;

    assert_int_equal(kit->out.kind, MESSAGE_ROWS);
    assert_int_equal(
        message_layout(MESSAGE_ROWS, kit->out.section, kit->out.sections, at),
        kit->body->used);
    assert_int_equal(s->has_status, status != NULL);
    values = (const float *)(kit->body->data + at[section].values);
    for (uint32_t i = 0; i < s->rows; i++) {
        if (status)
            assert_int_equal("oaf"[kit->body->data[at[section].status + i]], status[i]);
        for (uint32_t j = 0; j < s->width; j++)
            assert_true(values[i * s->width + j] == value[i]);
    }
}

static void test_full_rows_read_as_zeros(void **state)
{
    struct core_kit *kit = kit_with(1, 3);
    uint64_t key[] = {1, 2, 3, 4, 2};

    (void)state;
    kit_push(kit, 0, (struct push){1, 0, 0, 1}, 0, key, 2, 5);
    assert_int_equal(kit_handle(kit), 0);
    assert_int_equal(facts_of(kit, 0)->full, FULL_NOT);
    for (int again = 0; again < 2; again++) {
        kit_pull(kit, 0, 2, 0, key, 5);
        assert_int_equal(kit_handle(kit), 0);
        assert_rows(kit, 0, "ooofo", (float[]){5, 5, 0, 0, 5});
    }
    assert_int_equal(rows_of(kit, 0), 3);
    assert_int_equal(facts_of(kit, 0)->reads_refused, 2);
    assert_int_equal(facts_of(kit, 0)->rows_refused, 0);
    assert_int_equal(facts_of(kit, 0)->full, FULL_ROWS_MAX);
    /* Rows that are all there have no status, also after one that was not. */
    for (int again = 0; again < 2; again++) {
        kit_pull(kit, 0, 2, 0, key, 3);
        assert_int_equal(kit_handle(kit), 0);
        assert_rows(kit, 0, NULL, (float[]){5, 5, 0});
    }
    kit_pull(kit, 0, 0, 0, key, 4);
    kit->in.pull.read_only = true;
    assert_int_equal(kit_handle(kit), 0);
    assert_rows(kit, 0, "oooa", (float[]){5, 5, 0, 0});
    assert_int_equal(facts_of(kit, 0)->reads_refused, 2);
    core_kit_destroy(kit);
}

/* Only the section of the full table has a status. */
static void test_one_section_of_two(void **state)
{
    struct core_kit *kit = kit_with(1, 1);
    uint64_t key[] = {7, 8, 7, 8};

    (void)state;
    for (uint32_t full = 0; full < 2; full++) {
        kit_pull(kit, 0, 1, 0, key, 4);
        kit->in.sections = 2;
        kit->in.section[full] = (struct section){.table = 0, .rows = 2};
        kit->in.section[!full] = (struct section){.table = 1, .rows = 2};
        assert_int_equal(kit_handle(kit), 0);
        assert_rows(kit, full, "of", (float[]){0, 0});
        assert_rows(kit, !full, NULL, (float[]){0, 0});
    }
    core_kit_destroy(kit);
}

static void test_gradients_of_full_rows_are_dropped(void **state)
{
    struct core_kit *kit = kit_with(1, 2);
    uint64_t key[] = {9, 1, 8, 2, 7};
    float expected[] = {6, 6, 0, 0, 0};

    (void)state;
    for (uint64_t clock = 1; clock <= 3; clock++) {
        for (int again = 0; again < 2; again++) { /* the second is a duplicate */
            kit_push(kit, 0, (struct push){clock, clock - 1, 0, 1}, 0, key, 5, 2);
            assert_int_equal(kit_handle(kit), 0);
            assert_int_equal(kit->out.kind, MESSAGE_ACK);
            assert_int_equal(kit->out.ack.clock, clock);
        }
        assert_int_equal(facts_of(kit, 0)->rows_refused, 3 * clock);
        core_kit_restart(kit); /* what was counted is known to the next process */
    }
    assert_int_equal(facts_of(kit, 0)->full, FULL_ROWS_MAX);
    kit_pull(kit, 0, 4, 0, key, 5);
    assert_int_equal(kit_handle(kit), 0);
    assert_rows(kit, 0, "oofff", expected);
    core_kit_destroy(kit);
}

/* Which of the rows in the middle of a batch are there makes no difference. */
static void test_gaps(void **state)
{
    enum { KEYS = 9000, LEAST = 2000 };
    struct core_kit *kit = kit_with(1, LEAST);
    static uint64_t key[KEYS];
    uint64_t refused = 0, clock = 0;

    (void)state;
    for (uint64_t i = 0; i < LEAST; i++)
        key[i] = i * 3;
    kit_pull(kit, 0, 1, 0, key, LEAST);
    assert_int_equal(kit_handle(kit), 0);
    for (uint64_t i = 0; i < KEYS; i++)
        key[i] = i;
    for (uint32_t n = 1; n < KEYS; n = n * 2 + 1) {
        kit_push(kit, 0, (struct push){clock + 1, clock, 0, 1}, 0, key, n, 1);
        clock++;
        assert_int_equal(kit_handle(kit), 0);
        for (uint64_t i = 0; i < n; i++)
            refused += i % 3 != 0 || i / 3 >= LEAST;
        assert_int_equal(facts_of(kit, 0)->rows_refused, refused);
    }
    kit_pull(kit, 0, clock + 1, 0, key, 8);
    assert_int_equal(kit_handle(kit), 0);
    assert_rows(
        kit, 0, "offoffof",
        (float[]){(float)clock, 0, 0, (float)clock - 2, 0, 0, (float)clock - 2, 0});
    core_kit_destroy(kit);
}

/* The memory that servers may use is another reason. */
static void test_memory_cap(void **state)
{
    struct core_kit *kit = kit_with(1, 0);
    uint64_t key[1024], next = 0;

    (void)state;
    do {
        for (uint32_t i = 0; i < 1024; i++)
            key[i] = next++;
        kit_pull(kit, 0, 1, 1, key, 1024);
        assert_int_equal(kit_handle(kit), 0);
        assert_int_equal(kit->out.kind, MESSAGE_ROWS);
        assert_true(next < 100000000);
    } while (!kit->out.section[0].has_status);
    assert_true(rows_of(kit, 1) > 100000);
    assert_true(region_used(&kit->region) <= kit->region.bytes_max);
    assert_int_equal(facts_of(kit, 1)->full, FULL_MEMORY);
    assert_true(facts_of(kit, 1)->reads_refused > 0);
    /* A push is taken all the same, and what is there is still served. */
    kit_push(kit, 0, (struct push){1, 0, 0, 1}, 1, (uint64_t[]){1, next + 5000}, 2, 4);
    assert_int_equal(kit_handle(kit), 0);
    assert_int_equal(kit->out.ack.clock, 1);
    assert_int_equal(facts_of(kit, 1)->rows_refused, 1);
    kit_pull(kit, 0, 1, 1, (uint64_t[]){1, 2, next + 5000}, 3);
    assert_int_equal(kit_handle(kit), 0);
    assert_rows(kit, 0, "oof", (float[]){4, 0, 0});
    core_kit_destroy(kit);
}

/* Restores n rows, of which the server takes its own. */
static void restore(struct core_kit *kit, uint64_t n)
{
    float values[3] = {1, 2, 3};
    uint64_t rows[2] = {n, 0};
    struct err err;

    core_restore_begin(kit->core);
    for (uint64_t key = 0; key < n; key++)
        if (core_owns(kit->core, 0, key))
            assert_int_equal(core_restore_row(kit->core, 0, key,
                                              (const unsigned char *)values, &err),
                             0);
    core_restore_end(kit->core, rows);
}

static uint64_t fill_up(struct core_kit *kit)
{
    uint64_t key = 1000;

    while (facts_of(kit, 0)->full == FULL_NOT) {
        key++;
        if (!core_owns(kit->core, 0, key))
            continue;
        kit_pull(kit, 0, 1, 0, &key, 1);
        assert_int_equal(kit_handle(kit), 0);
    }
    assert_int_equal(facts_of(kit, 0)->full, FULL_ROWS_MAX);
    return rows_of(kit, 0);
}

/* All servers together make rows_max rows, no more and no less, whatever is restored.
 */
static void test_shares_of_rows_max(void **state)
{
    static const uint32_t servers[] = {1, 2, 3, 7, 64};
    static const uint64_t most[] = {1, 6, 100, 1000};

    (void)state;
    for (int i = 0; i < 5; i++)
        for (int m = 0; m < 4; m++)
            for (uint64_t restored = 0; restored <= most[m];
                 restored += (most[m] + 1) / 2) {
                uint64_t rows = 0;

                for (uint32_t s = 0; s < servers[i]; s++) {
                    struct core_kit *kit = kit_with(servers[i], (int64_t)most[m]);

                    kit->index = s;
                    core_kit_renew(kit);
                    for (int again = 0; again < 2; again++)
                        restore(kit, restored);
                    rows += fill_up(kit);
                    core_kit_destroy(kit);
                }
                assert_int_equal(rows, most[m]);
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full_rows_read_as_zeros),
        cmocka_unit_test(test_one_section_of_two),
        cmocka_unit_test(test_gradients_of_full_rows_are_dropped),
        cmocka_unit_test(test_gaps),
        cmocka_unit_test(test_memory_cap),
        cmocka_unit_test(test_shares_of_rows_max),
    };

    return cmocka_run_group_tests_name("core, full", tests, NULL, NULL);
}

/* What a server knows of pushes that come late, and what it makes of it. */
#include "tests/unit/core_kit.h"

enum { LATER = 0, OTHER = 1 }; /* the worker whose push is looked at, and another */

static struct core_kit *kit_create(double compensate, int stale_rate)
{
    struct core_kit *kit = core_kit_create(1, 2);

    core_destroy(kit->core);
    kit->job.optimizer.compensate = compensate;
    kit->job.optimizer.stale_rate = stale_rate;
    kit_core_open(kit);
    return kit;
}

static void pull(struct core_kit *kit, uint32_t worker, uint64_t clock, uint64_t key)
{
    kit_pull(kit, worker, clock, 0, &key, 1);
    assert_int_equal(kit_handle(kit), 0);
    assert_int_equal(kit->out.kind, MESSAGE_ROWS);
}

/* Follows the push of the clock before it. */
static void push(struct core_kit *kit, uint32_t worker, uint64_t clock, uint64_t key,
                 float value)
{
    kit_push(kit, worker, (struct push){.clock = clock, .after = clock - 1, .parts = 1},
             0, &key, 1, value);
    assert_int_equal(kit_handle(kit), 0);
    assert_int_equal(kit->out.kind, MESSAGE_ACK);
    assert_int_equal(kit->out.ack.clock, clock);
}

static void others_push(struct core_kit *kit, uint64_t first, uint64_t n)
{
    for (uint64_t clock = first; clock < first + n; clock++)
        push(kit, OTHER, clock, 1000, 1);
}

static float weight_in(struct core_kit *kit, uint32_t table, uint64_t key)
{
    struct section_layout at;

    kit_pull(kit, LATER, 0, table, &key, 1);
    kit->in.pull.read_only = true;
    assert_int_equal(kit_handle(kit), 0);
    message_layout(MESSAGE_ROWS, kit->out.section, 1, &at);
    return ((const float *)(kit->body->data + at.values))[0];
}

static float weight(struct core_kit *kit, uint64_t key)
{
    return weight_in(kit, 0, key);
}

static uint64_t uncompensated(struct core_kit *kit)
{
    static struct status status;

    core_fill_status(kit->core, &status);
    return status.pushes_uncompensated;
}

/* --- the rate --------------------------------------------------------------------- */

static void the_rate_is_divided_by_the_delay(void **state)
{
    struct core_kit *kit = kit_create(0, STALE_RATE_INVERSE);

    (void)state;
    for (uint64_t late = 0; late < 5; late++) {
        pull(kit, LATER, late + 1, late);
        others_push(kit, 1 + late * (late - 1) / 2, late);
        push(kit, LATER, late + 1, late, 12);
        assert_true(weight(kit, late) == (late < 2 ? 12.0f : 12.0f / (float)late));
    }
    core_kit_destroy(kit);
}

static void without_the_setting_it_is_not(void **state)
{
    struct core_kit *kit = kit_create(0, STALE_RATE_SAME);

    (void)state;
    pull(kit, LATER, 1, 5);
    others_push(kit, 1, 4);
    push(kit, LATER, 1, 5, 12);
    assert_true(weight(kit, 5) == 12);
    core_kit_destroy(kit);
}

/* A worker that pulls ahead is late by its own pushes, too. */
static void own_pushes_count(void **state)
{
    struct core_kit *kit = kit_create(0, STALE_RATE_INVERSE);

    (void)state;
    for (uint64_t clock = 1; clock <= 4; clock++)
        pull(kit, LATER, clock, clock);
    for (uint64_t clock = 1; clock <= 4; clock++)
        push(kit, LATER, clock, clock, 12);
    assert_true(weight(kit, 1) == 12 && weight(kit, 2) == 12);
    assert_true(weight(kit, 3) == 6 && weight(kit, 4) == 4);
    core_kit_destroy(kit);
}

static void of_several_answers_the_last_counts(void **state)
{
    struct core_kit *kit = kit_create(0, STALE_RATE_INVERSE);

    (void)state;
    pull(kit, LATER, 1, 5);
    others_push(kit, 1, 4);
    pull(kit, LATER, 1, 5);
    others_push(kit, 5, 2);
    push(kit, LATER, 1, 5, 12);
    assert_true(weight(kit, 5) == 6);
    core_kit_destroy(kit);
}

/* A part that comes twice, or too early, is no push. */
static void what_is_dropped_does_not_count(void **state)
{
    struct core_kit *kit = kit_create(0, STALE_RATE_INVERSE);
    uint64_t key = 1000;

    (void)state;
    pull(kit, LATER, 1, 5);
    others_push(kit, 1, 2);
    kit_push(kit, OTHER, (struct push){.clock = 2, .after = 1, .parts = 1}, 0, &key, 1,
             1);
    assert_int_equal(kit_handle(kit), 0);
    kit_push(kit, OTHER, (struct push){.clock = 9, .after = 8, .parts = 1}, 0, &key, 1,
             1);
    assert_int_equal(kit_handle(kit), 0);
    push(kit, LATER, 1, 5, 12);
    assert_true(weight(kit, 5) == 6);
    core_kit_destroy(kit);
}

static void a_restarted_server_knows_the_delay(void **state)
{
    struct core_kit *kit = kit_create(0, STALE_RATE_INVERSE);

    (void)state;
    pull(kit, LATER, 1, 5);
    others_push(kit, 1, 2);
    core_kit_restart(kit);
    others_push(kit, 3, 1);
    push(kit, LATER, 1, 5, 12);
    assert_true(weight(kit, 5) == 4);
    core_kit_destroy(kit);
}

/* What was never pulled passes for punctual, also where another clock has its place. */
static void an_unknown_clock_is_punctual(void **state)
{
    struct core_kit *kit = kit_create(0, STALE_RATE_INVERSE);

    (void)state;
    others_push(kit, 1, 3);
    push(kit, LATER, 1, 5, 12);
    assert_true(weight(kit, 5) == 12);
    pull(kit, LATER, 2, 6);
    pull(kit, LATER, 2 + 256, 6);
    others_push(kit, 4, 3);
    push(kit, LATER, 2, 6, 12);
    assert_true(weight(kit, 6) == 12);
    core_kit_destroy(kit);
}

/* --- compensation ----------------------------------------------------------------- */

/* g = -2 at 0, while w has become 4: g' = -2 + 0.5 * 4 * 4 = 6. */
static void a_late_gradient_is_compensated(void **state)
{
    struct core_kit *kit = kit_create(0.5, STALE_RATE_SAME);

    (void)state;
    pull(kit, LATER, 1, 5);
    push(kit, OTHER, 1, 5, 4);
    assert_int_equal(uncompensated(kit), 1); /* it has not pulled */
    push(kit, LATER, 1, 5, 2);
    assert_true(weight(kit, 5) == -2);
    assert_int_equal(uncompensated(kit), 1);
    core_kit_destroy(kit);
}

/* Rows that have not changed get what was pushed, bit for bit. */
static void a_punctual_gradient_is_not(void **state)
{
    struct core_kit *kit = kit_create(0.5, STALE_RATE_SAME);

    (void)state;
    pull(kit, LATER, 1, 5);
    push(kit, OTHER, 1, 6, 4);
    push(kit, LATER, 1, 5, 0.1f);
    assert_true(weight(kit, 5) == 0.1f);
    core_kit_destroy(kit);
}

static void both_cures_go_together(void **state)
{
    struct core_kit *kit = kit_create(0.5, STALE_RATE_INVERSE);

    (void)state;
    pull(kit, LATER, 1, 5);
    push(kit, OTHER, 1, 5, 3);
    push(kit, OTHER, 2, 5, 1);
    push(kit, LATER, 1, 5, 2);
    assert_true(weight(kit, 5) == 4 - 6 / 2.0f);
    core_kit_destroy(kit);
}

static void of_several_answers_the_last_is_kept(void **state)
{
    struct core_kit *kit = kit_create(0.5, STALE_RATE_SAME);

    (void)state;
    pull(kit, LATER, 1, 5);
    push(kit, OTHER, 1, 5, 100);
    pull(kit, LATER, 1, 5);
    push(kit, OTHER, 2, 5, 4);
    push(kit, LATER, 1, 5, 2);
    assert_true(weight(kit, 5) == 104 - 6);
    core_kit_destroy(kit);
}

/* A part is compensated by the answer with its keys, whatever came first. */
static void parts_find_their_rows(void **state)
{
    struct core_kit *kit = kit_create(0.5, STALE_RATE_SAME);
    const uint64_t one[] = {5, 6}, two[] = {7, 8};

    (void)state;
    push(kit, OTHER, 1, 7, 10);
    kit_pull(kit, LATER, 1, 0, two, 2);
    assert_int_equal(kit_handle(kit), 0);
    kit_pull(kit, LATER, 1, 0, one, 2);
    assert_int_equal(kit_handle(kit), 0);
    push(kit, OTHER, 2, 6, 4);
    push(kit, OTHER, 3, 7, 4);
    for (uint32_t part = 0; part < 2; part++) {
        kit_push(kit, LATER, (struct push){.clock = 1, .part = part, .parts = 2}, 0,
                 part ? two : one, 2, 2);
        assert_int_equal(kit_handle(kit), 0);
    }
    assert_true(weight(kit, 5) == 2 && weight(kit, 6) == 4 - 6);
    assert_true(weight(kit, 7) == 14 - 6 && weight(kit, 8) == 2);
    assert_int_equal(uncompensated(kit), 3); /* the other's */
    core_kit_destroy(kit);
}

/* More rows than one group has, in two sections of one message. */
static void every_row_has_its_own(void **state)
{
    enum { ROWS = 50 };
    struct core_kit *kit = kit_create(0.5, STALE_RATE_SAME);
    struct section_layout at[2];
    uint64_t key[ROWS];

    (void)state;
    for (uint64_t i = 0; i < ROWS; i++) {
        key[i] = i * 3 + 1;
        push(kit, OTHER, i + 1, key[i], (float)i);
    }
    kit_pull(kit, LATER, 1, 0, key, ROWS);
    kit->in.sections = 2;
    kit->in.section[1] = (struct section){.table = 1, .rows = ROWS};
    memcpy(kit->bytes + sizeof key, key, sizeof key);
    kit->in.body_bytes = 2 * sizeof key;
    assert_int_equal(kit_handle(kit), 0);
    for (uint64_t i = 0; i < ROWS; i++)
        push(kit, OTHER, ROWS + i + 1, key[i], 4);
    kit_push(kit, LATER, (struct push){.clock = 1, .parts = 1}, 0, key, ROWS, 2);
    kit->in.sections = 2;
    kit->in.section[1] = (struct section){.table = 1, .rows = ROWS, .width = 4};
    kit->in.body_bytes = message_layout(MESSAGE_PUSH, kit->in.section, 2, at);
    memcpy(kit->bytes + at[1].keys, key, sizeof key);
    for (uint32_t i = 0; i < ROWS; i++)
        ((float *)(kit->bytes + at[1].weights))[i] = 1;
    for (uint32_t i = 0; i < ROWS * 4; i++)
        ((float *)(kit->bytes + at[1].values))[i] = -2;
    assert_int_equal(kit_handle(kit), 0);
    for (uint64_t i = 0; i < ROWS; i++)
        assert_true(weight(kit, key[i]) == (float)i + 4 - 6);
    core_kit_destroy(kit);
}

/* Rows that could not be made lie between others that are compensated all the same. */
static void full_rows_are_passed_over(void **state)
{
    struct core_kit *kit = kit_create(0.5, STALE_RATE_SAME);
    const uint64_t key[] = {5, 9, 6, 8};
    static struct status status;

    (void)state;
    kit->job.table[0].rows_max = 2;
    core_kit_renew(kit);
    push(kit, OTHER, 1, 5, 1);
    push(kit, OTHER, 2, 6, 3);
    kit_pull(kit, LATER, 1, 0, key, 4);
    assert_int_equal(kit_handle(kit), 0);
    push(kit, OTHER, 3, 5, 4);
    push(kit, OTHER, 4, 6, 4);
    kit_push(kit, LATER, (struct push){.clock = 1, .parts = 1}, 0, key, 4, 2);
    assert_int_equal(kit_handle(kit), 0);
    assert_true(weight(kit, 5) == 5 - 6 && weight(kit, 6) == 7 - 6);
    core_fill_status(kit->core, &status);
    assert_int_equal(status.pushes_uncompensated, 4); /* the other's */
    assert_int_equal(status.table[0].rows_refused, 2);
    core_kit_destroy(kit);
}

/* Only "user" is cured; both are pushed 2 pushes late, in one clock and another. */
static void each_table_has_its_cures(void **state)
{
    struct core_kit *kit = core_kit_create(1, 2);
    uint64_t key = 5;
    struct err err;

    (void)state;
    core_destroy(kit->core);
    assert_int_equal(
        job_set(&kit->job, "tables.user.optimizer.stale_rate", "inverse", "test", &err),
        0);
    assert_int_equal(
        job_set(&kit->job, "tables.user.optimizer.compensate", "0.5", "test", &err), 0);
    kit_core_open(kit);
    for (uint32_t table = 0; table < 2; table++) {
        uint64_t clock = table + 1, theirs = 2 * table + 1;

        kit_pull(kit, LATER, clock, table, &key, 1);
        assert_int_equal(kit_handle(kit), 0);
        for (uint64_t i = 0; i < 2; i++) {
            kit_push(
                kit, OTHER,
                (struct push){.clock = theirs + i, .after = theirs + i - 1, .parts = 1},
                table, &key, 1, 2);
            assert_int_equal(kit_handle(kit), 0);
        }
        kit_push(kit, LATER,
                 (struct push){.clock = clock, .after = clock - 1, .parts = 1}, table,
                 &key, 1, 2);
        assert_int_equal(kit_handle(kit), 0);
    }
    assert_true(weight_in(kit, 0, key) == 4 - 6 / 2.0f);
    assert_true(weight_in(kit, 1, key) == 4 + 2);
    assert_int_equal(uncompensated(kit), 2); /* of "user", pushed without a pull */
    core_kit_destroy(kit);
}

/* --- where nothing is known ------------------------------------------------------- */

static void other_keys_are_not_compensated(void **state)
{
    const uint64_t there[] = {5, 6}, turned[] = {6, 5};
    struct core_kit *kit = kit_create(0.5, STALE_RATE_SAME);

    (void)state;
    kit_pull(kit, LATER, 1, 0, there, 2);
    assert_int_equal(kit_handle(kit), 0);
    push(kit, OTHER, 1, 5, 4);
    kit_push(kit, LATER, (struct push){.clock = 1, .parts = 1}, 0, turned, 2, 2);
    assert_int_equal(kit_handle(kit), 0);
    assert_true(weight(kit, 5) == 6 && weight(kit, 6) == 2);
    assert_int_equal(uncompensated(kit), 2);
    core_kit_destroy(kit);
}

static void a_restarted_server_does_without(void **state)
{
    struct core_kit *kit = kit_create(0.5, STALE_RATE_SAME);

    (void)state;
    pull(kit, LATER, 1, 5);
    push(kit, OTHER, 1, 5, 4);
    core_kit_restart(kit);
    push(kit, LATER, 1, 5, 2);
    assert_true(weight(kit, 5) == 6);
    assert_int_equal(uncompensated(kit), 2); /* the count is in the region */
    core_kit_destroy(kit);
}

/* A worker may be in the new order before the server hears of it. */
static void an_earlier_order_is_forgotten(void **state)
{
    static const struct range share[] = {{0, 1}, {0, 1}};
    struct core_kit *kit = kit_create(0.5, STALE_RATE_SAME);
    uint64_t key = 5;
    struct err err;

    (void)state;
    assert_int_equal(core_begin_training(kit->core, 7, 0, share, &err), 0);
    pull(kit, LATER, 1, 5); /* in order 0 */
    kit_pull(kit, LATER, 2, 0, &key, 1);
    kit->in.pull.reach.order = 8;
    assert_int_equal(kit_handle(kit), 0);
    assert_int_equal(core_begin_training(kit->core, 8, 0, share, &err), 0);
    push(kit, OTHER, 1, 5, 4);
    push(kit, LATER, 1, 5, 2);
    assert_true(weight(kit, 5) == 6);
    push(kit, LATER, 2, 5, 2);
    assert_true(weight(kit, 5) == 6 - (-2 + 0.5f * 4 * 6));
    core_kit_destroy(kit);
}

/* Workers that pull and do not push take no room from anybody's pulls. */
static void what_is_kept_has_a_bound(void **state)
{
    enum { PULLS = 100, KEPT = 8 };
    struct core_kit *kit = kit_create(0.5, STALE_RATE_SAME);

    (void)state;
    core_destroy(kit->core);
    buffer_pool_destroy(kit->pool);
    kit->pool = buffer_pool_create(KEPT * 4 * 4096);
    kit_core_open(kit);
    for (uint64_t clock = 1; clock <= PULLS; clock++)
        pull(kit, LATER, clock, 5);
    for (uint64_t clock = 1; clock <= PULLS; clock++)
        push(kit, LATER, clock, 5, 1);
    assert_int_equal(uncompensated(kit), PULLS - KEPT);
    pull(kit, LATER, PULLS + 1, 5); /* there is room again */
    push(kit, LATER, PULLS + 1, 5, 1);
    assert_int_equal(uncompensated(kit), PULLS - KEPT);
    core_kit_destroy(kit);
}

/* And a steady step asks for no memory. */
static void what_is_pushed_is_let_go(void **state)
{
    struct core_kit *kit = kit_create(0.5, STALE_RATE_INVERSE);
    uint64_t before = 0;

    (void)state;
    for (uint64_t clock = 1; clock <= 1000; clock++) {
        pull(kit, LATER, clock, 5);
        push(kit, LATER, clock, 5, 1);
        if (clock == 2)
            before = buffer_pool_allocations(kit->pool);
    }
    assert_int_equal(buffer_pool_allocations(kit->pool), before);
    assert_int_equal(uncompensated(kit), 0);
    core_kit_destroy(kit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_rate_is_divided_by_the_delay),
        cmocka_unit_test(without_the_setting_it_is_not),
        cmocka_unit_test(own_pushes_count),
        cmocka_unit_test(of_several_answers_the_last_counts),
        cmocka_unit_test(what_is_dropped_does_not_count),
        cmocka_unit_test(a_restarted_server_knows_the_delay),
        cmocka_unit_test(an_unknown_clock_is_punctual),
        cmocka_unit_test(a_late_gradient_is_compensated),
        cmocka_unit_test(a_punctual_gradient_is_not),
        cmocka_unit_test(both_cures_go_together),
        cmocka_unit_test(of_several_answers_the_last_is_kept),
        cmocka_unit_test(parts_find_their_rows),
        cmocka_unit_test(every_row_has_its_own),
        cmocka_unit_test(full_rows_are_passed_over),
        cmocka_unit_test(each_table_has_its_cures),
        cmocka_unit_test(other_keys_are_not_compensated),
        cmocka_unit_test(a_restarted_server_does_without),
        cmocka_unit_test(an_earlier_order_is_forgotten),
        cmocka_unit_test(what_is_kept_has_a_bound),
        cmocka_unit_test(what_is_pushed_is_let_go),
    };

    return cmocka_run_group_tests_name("stale", tests, NULL, NULL);
}

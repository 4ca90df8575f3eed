/* The client where the simulation does not go: deadlines and their sentences, refusals,
 * connections that take nothing, memory that runs short, processes that come back. The
 * servers are real cores; time is the test's. */
#include "tests/unit/client_kit.h"

/* --- deadlines
 * ---------------------------------------------------------------------------- */

static void test_server_never_met(void **state)
{
    struct net_kit *kit = net_kit_create(4);
    struct err err;

    (void)state;
    kit->mute[1] = true;
    assert_says(client_meet(kit->client, &err), ERR_DEADLINE, &err,
                "server 1 (rank 1 on tower1) has not answered for 5 s");
    assert_in_range(kit->now_ms, 1000 + TIMEOUT_MS, 1000 + TIMEOUT_MS + 300);
    net_kit_destroy(kit);
}

static void pulls_not_answered(int consistency)
{
    struct net_kit *kit = net_kit_create(4);
    struct batch batch = {0};
    struct err err;

    kit->server[0]->job.train.consistency = consistency;
    meet(kit);
    kit->now_ms += 20 * TIMEOUT_MS; /* silence while nothing is asked is none */
    kit->deaf_to_pulls = true;
    batch_fill(kit, &batch, 1, 0, KEYS);
    assert_says(pull(kit, &batch, &err), ERR_DEADLINE, &err,
                "server 0 (rank 0 on tower0) has not answered 1 pulls for 5 s");
    assert_true(kit->pulls_sent > 4); /* it has asked again */
    batch_release(&batch);
    net_kit_destroy(kit);
}

/* That the server is alive and says so is no excuse. */
static void test_pulls_not_answered(void **state)
{
    (void)state;
    pulls_not_answered(CONSISTENCY_ASYNC);
    pulls_not_answered(CONSISTENCY_SSP);
    pulls_not_answered(CONSISTENCY_BSP);
}

/* While the worker computes it hears nothing, and that is no silence: here the first
 * push was lost with its server, and the worker hears so only after a long computation.
 */
static void test_computing_is_no_silence(void **state)
{
    struct net_kit *kit = net_kit_create(4);
    struct batch batch = {0};
    struct err err;

    (void)state;
    meet(kit);
    batch_fill(kit, &batch, 1, 0, KEYS);
    assert_int_equal(pull(kit, &batch, &err), 0);
    kit->mute[1] = true;
    assert_int_equal(push(kit, &batch, &err), 0);
    kit->mute[1] = false;
    kit->now_ms += 3 * TIMEOUT_MS;
    if (client_drain(kit->client, &err))
        fail_msg("%s", err.text);
    assert_true(value_of(kit, 0) == 1);
    batch_release(&batch);
    net_kit_destroy(kit);
}

/* A connection that takes nothing is as bad as one that answers nothing. */
static void test_nothing_can_be_sent(void **state)
{
    struct net_kit *kit = net_kit_create(4);
    struct batch batch = {0};
    struct err err;

    (void)state;
    meet(kit);
    kit->now_ms += 20 * TIMEOUT_MS;
    kit->blocked[1] = true;
    batch_fill(kit, &batch, 1, 0, KEYS);
    assert_says(pull(kit, &batch, &err), ERR_DEADLINE, &err,
                "server 1 (rank 1 on tower1) has not answered 1 pulls for 5 s");
    batch_release(&batch);
    net_kit_destroy(kit);
}

static void test_push_not_acknowledged(void **state)
{
    struct net_kit *kit = net_kit_create(4);
    struct batch batch = {0};
    struct err err;

    (void)state;
    meet(kit);
    batch_fill(kit, &batch, 7, 0, KEYS);
    assert_int_equal(pull(kit, &batch, &err), 0);
    kit->mute[0] = true;
    assert_int_equal(push(kit, &batch, &err), 0);
    assert_says(
        client_drain(kit->client, &err), ERR_DEADLINE, &err,
        "server 0 (rank 0 on tower0) has not acknowledged the push of clock 7 for");
    assert_int_equal(client_acknowledged(kit->client), 6);
    batch_release(&batch);
    net_kit_destroy(kit);
}

/* A server that answers and never applies brings nobody on. */
static void test_push_never_applied(void **state)
{
    struct net_kit *kit = net_kit_create(4);
    struct batch batch = {0};
    struct err err;

    (void)state;
    meet(kit);
    batch_fill(kit, &batch, 7, 0, KEYS);
    assert_int_equal(pull(kit, &batch, &err), 0);
    kit->early = true;
    assert_int_equal(push(kit, &batch, &err), 0);
    assert_says(client_drain(kit->client, &err), ERR_DEADLINE, &err,
                "has not acknowledged the push of clock 7");
    batch_release(&batch);
    net_kit_destroy(kit);
}

/* --- refusals and answers that fit nothing
 * ---------------------------------------------------- */

static void test_refusals(void **state)
{
    static const struct {
        uint32_t code;
        int is;
    } cases[] = {{ERR_MEMORY, ERR_MEMORY},
                 {ERR_PEER, ERR_PEER},
                 {ERR_AGAIN, ERR_PEER},
                 {ERR_INTERRUPTED, ERR_PEER}};

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct net_kit *kit = net_kit_create(4);
        struct refusal refusal = {.code = cases[i].code, .text = "server 0 is full"};
        struct batch batch = {0};
        struct err err;

        meet(kit);
        kit->refusal = &refusal;
        batch_fill(kit, &batch, 1, 0, KEYS);
        assert_says(pull(kit, &batch, &err), cases[i].is, &err, "server 0 is full");
        batch_release(&batch);
        net_kit_destroy(kit);
    }
}

static void test_unfit_answers(void **state)
{
    struct net_kit *kit = net_kit_create(4);
    static struct message m;
    struct batch batch = {0};
    struct err err;

    (void)state;
    meet(kit);
    kit->held = true;
    batch_fill(kit, &batch, 1, 0, KEYS);
    assert_int_equal(client_begin_pull(kit->client, &batch, &err), 0);
    assert_int_equal(kit->inbox_n, 2);

    /* Of a request that nobody made, or from another server than was asked: late. */
    m = kit->inbox[0].message;
    m.rows.request += 1000;
    assert_int_equal(client_receive(kit->client, 0, &m, &err), 0);
    m.rows.request -= 1000;
    assert_int_equal(client_receive(kit->client, 1, &m, &err), 0);
    assert_int_equal(batch.unanswered, 2);

    m.section[0].rows--;
    assert_says(client_receive(kit->client, 0, &m, &err), ERR_PEER, &err,
                "server 0 answered a pull with other rows than asked for");
    m.section[0].rows++;
    m.section[0].width = 4;
    assert_says(client_receive(kit->client, 0, &m, &err), ERR_PEER, &err, "other rows");
    m.sections = 0;
    assert_says(client_receive(kit->client, 0, &m, &err), ERR_PEER, &err, "other rows");
    m.kind = MESSAGE_STATUS;
    assert_says(client_receive(kit->client, 0, &m, &err), ERR_PEER, &err,
                "server 0 sent a message of kind");
    kit->held = false;
    assert_int_equal(client_finish_pull(kit->client, &batch, &err), 0);
    batch_release(&batch);
    net_kit_destroy(kit);
}

/* The part that was parked longest counts, for this batch only. */
static void test_parked_pulls(void **state)
{
    struct net_kit *kit = net_kit_create(4);
    struct batch batch = {0};
    struct err err;

    (void)state;
    meet(kit);
    kit->held = true;
    batch_fill(kit, &batch, 1, 0, KEYS);
    assert_int_equal(client_begin_pull(kit->client, &batch, &err), 0);
    assert_int_equal(kit->inbox_n, 2);
    kit->inbox[0].message.rows.parked_us = 70;
    kit->inbox[1].message.rows.parked_us = 50;
    kit->held = false;
    assert_int_equal(client_finish_pull(kit->client, &batch, &err), 0);
    assert_int_equal(batch.parked_us, 70);
    batch_fill(kit, &batch, 2, 0, KEYS);
    assert_int_equal(pull(kit, &batch, &err), 0);
    assert_int_equal(batch.parked_us, 0);
    batch_release(&batch);
    net_kit_destroy(kit);
}

/* Answers to pulls that were given up. */
static void test_dropped_pulls(void **state)
{
    struct net_kit *kit = net_kit_create(4);
    struct batch batch[2] = {{0}};
    struct err err;

    (void)state;
    meet(kit);
    kit->held = true;
    for (int i = 0; i < 2; i++) {
        batch_fill(kit, &batch[i], (uint64_t)i + 1, 100 * (uint64_t)i, KEYS);
        assert_int_equal(client_begin_pull(kit->client, &batch[i], &err), 0);
    }
    client_drop_pulls(kit->client);
    kit->held = false;
    for (uint64_t clock = 3; clock < 60; clock++) { /* more than the credit */
        batch_fill(kit, &batch[0], clock, clock, KEYS);
        if (pull(kit, &batch[0], &err))
            fail_msg("%s", err.text);
    }
    batch_release(&batch[0]);
    batch_release(&batch[1]);
    net_kit_destroy(kit);
}

/* A server dies with a push and a pull in hand. The next process is given them as soon
 * as it has said that it is another one, not when the silence has become long. */
static void test_restarted_server(void **state)
{
    struct net_kit *kit = net_kit_create(4);
    struct batch batch[2] = {{0}};
    int64_t before_ms;
    struct err err;

    (void)state;
    meet(kit);
    for (int i = 0; i < 2; i++)
        batch_fill(kit, &batch[i], (uint64_t)i + 1, 0, KEYS);
    assert_int_equal(pull(kit, &batch[0], &err), 0);
    kit->mute[1] = true;
    before_ms = kit->now_ms;
    assert_int_equal(push(kit, &batch[0], &err), 0);
    assert_int_equal(client_begin_pull(kit->client, &batch[1], &err), 0);
    kit->mute[1] = false;
    kit->incarnation[1] = 1;
    assert_int_equal(client_finish_pull(kit->client, &batch[1], &err), 0);
    assert_int_equal(client_drain(kit->client, &err), 0);
    assert_in_range(kit->now_ms - before_ms, 1, 200);
    for (uint64_t key = 0; key < KEYS; key++)
        assert_true(value_of(kit, key) == 1);
    assert_int_equal(client_counts(kit->client)->pushes_resent, 1);
    batch_release(&batch[0]);
    batch_release(&batch[1]);
    net_kit_destroy(kit);
}

/* An answer comes after its pull was put back to be asked for again. */
static void test_answer_after_a_resend(void **state)
{
    struct net_kit *kit = net_kit_create(4);
    struct batch batch = {0};
    int64_t before_ms;
    struct err err;

    (void)state;
    meet(kit);
    batch_fill(kit, &batch, 1, 0, KEYS);
    kit->held = true;
    assert_int_equal(client_begin_pull(kit->client, &batch, &err), 0);
    kit->blocked[0] = kit->blocked[1] = true;
    kit->server[0]->job.cluster.timeout = 1.5;
    assert_says(client_finish_pull(kit->client, &batch, &err), ERR_DEADLINE, &err, "");
    kit->server[0]->job.cluster.timeout = 5;
    kit->held = false; /* the old answers come, nothing can be sent yet */
    assert_int_equal(client_finish_pull(kit->client, &batch, &err), 0);
    kit->blocked[0] = kit->blocked[1] = false;
    before_ms = kit->now_ms;
    for (uint64_t clock = 2; clock < 60; clock++) {
        batch_fill(kit, &batch, clock, clock, KEYS);
        if (pull(kit, &batch, &err))
            fail_msg("%s", err.text);
    }
    assert_int_equal(kit->now_ms, before_ms); /* credit is as before */
    batch_release(&batch);
    net_kit_destroy(kit);
}

/* --- bounds
 * -------------------------------------------------------------------------------------
 */

static void test_window(void **state)
{
    struct net_kit *kit = net_kit_create(2);
    struct batch batch = {0};
    struct err err;

    (void)state;
    meet(kit);
    kit->no_acks = true;
    for (uint64_t clock = 1; clock <= 2; clock++) {
        batch_fill(kit, &batch, clock, 0, KEYS);
        assert_int_equal(pull(kit, &batch, &err), 0);
        assert_int_equal(push(kit, &batch, &err), 0);
        assert_int_equal(client_acknowledged(kit->client), 0);
    }
    batch_fill(kit, &batch, 3, 0, KEYS);
    assert_int_equal(pull(kit, &batch, &err), 0);
    assert_says(push(kit, &batch, &err), ERR_DEADLINE, &err, "clock 1");
    assert_int_equal(client_acknowledged(kit->client), 0);
    assert_true(value_of(kit, 5) == 3); /* sent again and again, applied once */
    assert_int_equal(client_counts(kit->client)->pushes_sent, 6);
    assert_true(client_counts(kit->client)->pushes_resent > 6);
    batch_release(&batch);
    net_kit_destroy(kit);
}

static void test_steady_step_allocates_nothing(void **state)
{
    struct net_kit *kit = net_kit_create(4);
    struct batch batch[2] = {{0}};
    struct err err;

    (void)state;
    meet(kit);
    for (uint64_t clock = 1; clock <= 300; clock++) {
        struct batch *b = &batch[clock % 2];

        if (clock == 50) {
            assert_true(kit->heap > 0 || heap_count() == 0); /* under a sanitizer */
            kit->heap = 0;
        }
        batch_fill(kit, b, clock, clock * 7 % 50, KEYS);
        assert_int_equal(pull(kit, b, &err), 0);
        assert_int_equal(push(kit, b, &err), 0);
    }
    assert_int_equal(client_drain(kit->client, &err), 0);
    assert_int_equal(kit->heap, 0);
    assert_true(buffer_pool_allocations(kit->pool) > 0); /* the first ones did */
    batch_release(&batch[0]);
    batch_release(&batch[1]);
    net_kit_destroy(kit);
}

/* Pulls and answers of more parts than the pool has memory for go piece by piece. */
static void test_batch_larger_than_the_pool(void **state)
{
    struct net_kit *kit = net_kit_create(4);
    struct buffer_pool *large = kit->pool;
    struct batch batch = {0};
    struct err err;

    (void)state;
    kit->pool = buffer_pool_create(600 << 10);
    restart_client(kit, 4);
    meet(kit);
    batch_fill(kit, &batch, 1, 0, EXAMPLES_MOST); /* 24 bytes each: parts of 1 MB */
    assert_true(batch.parts >= 7);
    kit->held = true; /* messages keep their buffers until they have left */
    assert_int_equal(client_begin_pull(kit->client, &batch, &err), 0);
    kit->held = false;
    if (client_finish_pull(kit->client, &batch, &err) || push(kit, &batch, &err) ||
        client_drain(kit->client, &err))
        fail_msg("%s", err.text);
    for (uint64_t key = 0; key < EXAMPLES_MOST; key += 1000)
        assert_true(value_of(kit, key) == 1);
    batch_release(&batch);
    buffer_pool_destroy(large);
    net_kit_destroy(kit);
}

/* The servers' pool is empty for a while: answers come later. */
static void test_server_without_buffers(void **state)
{
    struct net_kit *kit = net_kit_create(4);
    struct batch batch = {0};
    struct buffer *all;
    struct err err;

    (void)state;
    meet(kit);
    batch_fill(kit, &batch, 1, 0, KEYS);
    all = buffer_get(kit->server[0]->pool, 64 << 20);
    assert_non_null(all);
    assert_int_equal(client_begin_pull(kit->client, &batch, &err), 0);
    kit->now_ms += 900;
    buffer_unref(all);
    if (client_finish_pull(kit->client, &batch, &err))
        fail_msg("%s", err.text);
    assert_int_equal(kit->pulls_sent, 3);
    batch_release(&batch);
    net_kit_destroy(kit);
}

/* --- processes that come back -------------------------------------------------------
 */

/* The first process has brought clock 2 to server 0 and not to server 1; its successor
 * sends what is missing, and nothing else. */
static void test_restarted_worker(void **state)
{
    struct net_kit *kit = net_kit_create(4);
    struct batch batch = {0};
    uint32_t sent;
    struct err err;

    (void)state;
    meet(kit);
    for (uint64_t clock = 1; clock <= 2; clock++) {
        batch_fill(kit, &batch, clock, 0, KEYS);
        assert_int_equal(pull(kit, &batch, &err), 0);
        kit->mute[1] = clock == 2;
        assert_int_equal(push(kit, &batch, &err), 0);
    }
    kit->mute[1] = false;
    restart_client(kit, 4);
    sent = kit->pushes_sent;
    meet(kit);
    if (client_drain(kit->client, &err))
        fail_msg("%s", err.text);
    assert_int_equal(kit->pushes_sent - sent, 1);
    assert_int_equal(client_acknowledged(kit->client), 2);
    batch_fill(kit, &batch, 3, 0, KEYS);
    if (pull(kit, &batch, &err) || push(kit, &batch, &err) ||
        client_drain(kit->client, &err))
        fail_msg("%s", err.text);
    for (uint64_t key = 0; key < KEYS; key++)
        assert_true(value_of(kit, key) == 3);
    batch_release(&batch);
    net_kit_destroy(kit);
}

/* It died when a server had some parts of a push, and no acknowledgement had come. */
static void test_restart_between_parts(void **state)
{
    struct net_kit *kit = net_kit_create(4);
    struct batch batch = {0};
    struct err err;

    (void)state;
    meet(kit);
    batch_fill(kit, &batch, 1, 0, EXAMPLES_MOST);
    assert_int_equal(pull(kit, &batch, &err), 0);
    kit->no_acks = true;
    kit->pushes_most = 3;
    assert_int_equal(push(kit, &batch, &err), 0);
    kit->pushes_most = 0;
    kit->no_acks = false;
    restart_client(kit, 4);
    meet(kit);
    if (client_drain(kit->client, &err))
        fail_msg("%s", err.text);
    for (uint64_t key = 0; key < EXAMPLES_MOST; key += 100)
        assert_true(value_of(kit, key) == 1);
    assert_true(client_counts(kit->client)->pushes_resent == 0);
    batch_release(&batch);
    net_kit_destroy(kit);
}

/* An order in which both workers have data; the other one is at these clocks. */
static void begin_order(struct net_kit *kit, uint64_t clock, uint64_t other)
{
    for (uint32_t s = 0; s < SERVERS; s++) {
        kit_begin(kit->server[s], 3, 0, 2);
        kit_say(kit->server[s], 1, (struct reach){3, s ? other : clock, 0, false, 0});
    }
}

static void end_order(struct net_kit *kit)
{
    struct err err;

    assert_int_equal(client_end_order(kit->client, &err), 0);
    while (!client_has_ended(kit->client))
        assert_int_equal(client_wait(kit->client, &err), 0);
}

/* What server s says about the client's worker. */
static const struct ack *standing_at(struct net_kit *kit, uint32_t s)
{
    kit_from_worker(kit->server[s], 0, MESSAGE_PUSH);
    kit->server[s]->in.push = (struct push){.parts = 1};
    kit->server[s]->in.incarnation = UINT32_MAX; /* of which it hears no more */
    assert_int_equal(kit_handle(kit->server[s]), 0);
    return &kit->server[s]->out.ack;
}

/* Out of data, and back at the highest of the clocks at which the servers let it in;
 * whatever is lost on the way. */
static void test_comes_back(void **state)
{
    (void)state;
    for (int lost = 0; lost < 2; lost++) {
        struct net_kit *kit = net_kit_create(4);
        struct batch batch = {0};
        uint64_t clock = 1;
        struct err err;

        begin_order(kit, 7, 9);
        meet(kit);
        batch_fill(kit, &batch, 1, 0, KEYS);
        assert_int_equal(client_join(kit->client, &clock, &err), 0);
        assert_int_equal(clock, 1); /* it was never away */
        assert_int_equal(pull(kit, &batch, &err), 0);
        assert_int_equal(push(kit, &batch, &err), 0);
        end_order(kit);
        assert_int_equal(client_acknowledged(kit->client), 1);
        kit->mute[1] = lost; /* for a while */
        if (lost) {
            kit->now_ms += 10;
            assert_int_equal(client_join(kit->client, &clock, &err), -ERR_DEADLINE);
            kit->mute[1] = false;
        }
        assert_int_equal(client_join(kit->client, &clock, &err), 0);
        assert_int_equal(clock, 9);
        assert_int_equal(client_join(kit->client, &clock, &err), 0); /* it is here */
        batch_fill(kit, &batch, 10, 0, KEYS);
        assert_int_equal(pull(kit, &batch, &err), 0);
        assert_int_equal(push(kit, &batch, &err), 0);
        end_order(kit);
        for (uint32_t s = 0; s < SERVERS; s++) {
            assert_int_equal(standing_at(kit, s)->clock, 10);
            assert_int_equal(standing_at(kit, s)->stint, 1);
            assert_int_equal(standing_at(kit, s)->idle_order, 3);
        }
        batch_release(&batch);
        net_kit_destroy(kit);
    }
}

/* A process goes on where an earlier one had said that it is idle; which only one of
 * the servers may have heard. */
static void test_comes_back_after_a_restart(void **state)
{
    (void)state;
    for (int heard = 0; heard < 2; heard++) {
        struct net_kit *kit = net_kit_create(4);
        uint64_t clock = 0;
        struct err err;

        begin_order(kit, 4, 6);
        meet(kit);
        kit->mute[1] = !heard;
        assert_int_equal(client_end_order(kit->client, &err), 0);
        kit->mute[1] = false;
        restart_client(kit, 4);
        meet(kit);
        assert_int_equal(client_join(kit->client, &clock, &err), 0);
        assert_int_equal(clock, 6);
        for (uint32_t s = 0; s < SERVERS; s++) {
            assert_int_equal(standing_at(kit, s)->stint, 1);
            assert_int_equal(standing_at(kit, s)->idle_order, 0);
        }
        net_kit_destroy(kit);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_server_never_met),
        cmocka_unit_test(test_pulls_not_answered),
        cmocka_unit_test(test_computing_is_no_silence),
        cmocka_unit_test(test_nothing_can_be_sent),
        cmocka_unit_test(test_push_not_acknowledged),
        cmocka_unit_test(test_push_never_applied),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_unfit_answers),
        cmocka_unit_test(test_parked_pulls),
        cmocka_unit_test(test_dropped_pulls),
        cmocka_unit_test(test_restarted_server),
        cmocka_unit_test(test_answer_after_a_resend),
        cmocka_unit_test(test_window),
        cmocka_unit_test(test_steady_step_allocates_nothing),
        cmocka_unit_test(test_batch_larger_than_the_pool),
        cmocka_unit_test(test_server_without_buffers),
        cmocka_unit_test(test_restarted_worker),
        cmocka_unit_test(test_restart_between_parts),
        cmocka_unit_test(test_comes_back),
        cmocka_unit_test(test_comes_back_after_a_restart),
    };

    return cmocka_run_group_tests_name("client", tests, NULL, NULL);
}

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>

#include "common/log.h"
#include "common/net/member.h"
#include "tests/unit/port_kit.h"

static const struct peer kit_coordinator = {ROLE_COORDINATOR, 0, 0};

struct kit {
    struct net *net;
    struct port *coordinator;
    struct member *member;
    struct frame frame;
    struct message status, order; /* the last status, the order to answer with */
};

static void kit_member(struct kit *kit, const char *endpoint, uint64_t job, int timeout)
{
    struct err err;

    if (member_create(kit->net, endpoint, kit_worker, job, timeout, &kit->member, &err))
        fail_msg("%s", err.text);
}

static void kit_open(struct kit *kit, const char *endpoint, int timeout)
{
    memset(kit, 0, sizeof *kit);
    kit->net = kit_net();
    kit->coordinator = kit_listen(kit->net, endpoint, -1, kit_coordinator);
    kit->order.kind = MESSAGE_ORDER;
    kit_member(kit, port_endpoint(kit->coordinator), kit_job, timeout);
}

static void kit_close(struct kit *kit)
{
    member_destroy(kit->member);
    frame_free(&kit->frame);
    port_close(kit->coordinator);
    net_destroy(kit->net);
}

/* Waits for the next status. */
static const struct status *next_status(struct kit *kit)
{
    kit_receive(kit->coordinator, &kit->status, &kit->frame);
    assert_int_equal(kit->status.kind, MESSAGE_STATUS);
    return &kit->status.status;
}

static void give_order(struct kit *kit, uint64_t number, uint32_t epoch)
{
    kit->order.order.number = number;
    kit->order.order.kind = ORDER_TRAIN;
    kit->order.order.epoch = epoch;
    kit_send(kit->coordinator, kit_worker, &kit->order, NULL);
}

static bool is_readable(const struct kit *kit, int timeout_ms)
{
    struct pollfd fd = {.fd = member_fd(kit->member), .events = POLLIN};

    return poll(&fd, 1, timeout_ms) == 1;
}

static void report(struct kit *kit, uint64_t clock, bool now)
{
    struct status status = {.phase = PHASE_TRAINING, .clock = clock, .number = 999};

    member_report(kit->member, &status, now);
}

/* ---- statuses ---- */

static void test_statuses_flow(void **state)
{
    struct message message;
    struct err err;
    struct kit kit;
    int64_t start;

    (void)state;
    kit_open(&kit, "tcp://127.0.0.1:*", PATIENCE_MS);
    assert_int_equal(port_wait(&kit.coordinator, 1, NULL, 0, 150), 0);
    assert_int_equal(port_receive(kit.coordinator, &message, &kit.frame, &err), 0);
    report(&kit, 5, true);
    assert_int_equal(next_status(&kit)->clock, 5); /* and nothing before the first */
    assert_int_equal(kit.status.role, kit_worker.role);
    assert_int_equal(kit.status.status.phase, PHASE_TRAINING);
    assert_int_equal(kit.status.status.number, 1); /* counted, not copied */
    /* Again and again, without being asked. */
    start = clock_ms();
    assert_int_equal(next_status(&kit)->number, 2);
    assert_int_equal(next_status(&kit)->number, 3);
    assert_int_equal(kit.status.status.clock, 5);
    assert_in_range(clock_ms() - start, 100, 5000);
    /* At the next tick, or at once. */
    report(&kit, 6, false);
    assert_int_equal(next_status(&kit)->clock, 6);
    for (uint64_t clock = 7; clock < 27; clock++) {
        report(&kit, clock, true);
        while (next_status(&kit)->clock < clock)
            ;
    }
    assert_in_range(clock_ms() - start, 200, 1500); /* not 20 ticks more */
    kit_close(&kit);
}

/* Waits for the next status with what is attached, or for `n` statuses without. */
static bool comes_with_counts(struct kit *kit, int n)
{
    for (int i = 0; i < n; i++) {
        const uint64_t *word;

        next_status(kit);
        if (kit->status.sections == 0)
            continue;
        word = (const uint64_t *)(const void *)kit->status.body;
        assert_int_equal(kit->status.section[0].rows, 2);
        assert_int_equal(kit->status.body_bytes, 16);
        assert_true(word[0] == 11 && word[1] == 22);
        return true;
    }
    return false;
}

/* What is attached travels with the status that it belongs to, again until the order
 * says that it has come, and once more for a coordinator that knows nothing of it. */
static void test_attached_counts(void **state)
{
    const struct section section = {.rows = 2};
    struct status status = {.phase = PHASE_IDLE};
    struct buffer_pool *pool = buffer_pool_create(1 << 20);
    struct buffer *body = buffer_get(pool, 16);
    struct kit kit;

    (void)state;
    memcpy(body->data, (const uint64_t[]){11, 22}, 16);
    body->used = 16;
    kit_open(&kit, "tcp://127.0.0.1:*", PATIENCE_MS);
    member_attach(kit.member, 7, &section, 1, body);
    buffer_unref(body);
    report(&kit, 1, true);
    assert_false(comes_with_counts(&kit, 2));
    give_order(&kit, 7, 0);
    assert_true(is_readable(&kit, PATIENCE_MS));
    assert_false(comes_with_counts(&kit, 2));
    status.done = 7;
    member_report(kit.member, &status, true);
    assert_true(comes_with_counts(&kit, 3));
    assert_true(comes_with_counts(&kit, 100)); /* nobody says that it has come */
    assert_false(comes_with_counts(&kit, 14)); /* they wait twice as long each time */
    assert_true(comes_with_counts(&kit, 100));
    kit.order.order.counted = 1;
    give_order(&kit, 7, 0);
    next_status(&kit);
    next_status(&kit);
    assert_false(comes_with_counts(&kit, 13));
    give_order(&kit, 8, 0);
    member_attach(kit.member, 0, NULL, 0, NULL);
    kit_close(&kit);
    buffer_pool_destroy(pool);
}

static void test_last_status_is_sent_at_the_end(void **state)
{
    struct kit kit;

    (void)state;
    kit_open(&kit, "tcp://127.0.0.1:*", PATIENCE_MS);
    report(&kit, 1, true);
    next_status(&kit);
    give_order(&kit, 1, 0);
    assert_true(is_readable(&kit, PATIENCE_MS));
    report(&kit, 2, false);
    member_destroy(kit.member);
    kit.member = NULL;
    while (next_status(&kit)->clock != 2)
        ;
    kit_close(&kit);
}

static int free_listener(char *endpoint, size_t size, bool listens)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t address_size = sizeof address;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    if (listens)
        assert_int_equal(listen(fd, 8), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &address_size), 0);
    snprintf(endpoint, size, "tcp://127.0.0.1:%d", ntohs(address.sin_port));
    return fd;
}

static void *destroy(void *member)
{
    member_destroy(member);
    return NULL;
}

/* A process that fails before its connection is there can still say why. */
static void test_early_failure_is_heard(void **state)
{
    char endpoint[ENDPOINT_MAX];
    struct status status = {.error = ERR_INPUT, .text = "no such column"};
    struct kit kit = {.net = kit_net()};
    pthread_t thread;

    (void)state;
    close(free_listener(endpoint, sizeof endpoint, false));
    kit_member(&kit, endpoint, kit_job, PATIENCE_MS);
    member_report(kit.member, &status, true);
    assert_int_equal(pthread_create(&thread, NULL, destroy, kit.member), 0);
    kit.member = NULL;
    usleep(50000);
    kit.coordinator = kit_listen(kit.net, endpoint, -1, kit_coordinator);
    assert_string_equal(next_status(&kit)->text, "no such column");
    pthread_join(thread, NULL);
    kit_close(&kit);
}

static void test_end_without_coordinator_is_bounded(void **state)
{
    struct kit kit = {.net = kit_net()};
    char endpoint[ENDPOINT_MAX];
    int64_t start = clock_ms();

    (void)state;
    close(free_listener(endpoint, sizeof endpoint, false));
    kit_member(&kit, endpoint, kit_job, PATIENCE_MS);
    member_destroy(kit.member); /* has nothing to say */
    assert_in_range(clock_ms() - start, 0, 900);
    kit_member(&kit, endpoint, kit_job, PATIENCE_MS);
    report(&kit, 1, true);
    member_destroy(kit.member);
    assert_in_range(clock_ms() - start, 0, 5000);
    member_destroy(NULL);
    net_destroy(kit.net);
}

/* ---- orders ---- */

static void test_orders_arrive(void **state)
{
    struct order order = {0};
    struct err err;
    struct kit kit;

    (void)state;
    kit_open(&kit, "inproc://coordinator", PATIENCE_MS);
    report(&kit, 1, true);
    next_status(&kit);
    assert_int_equal(member_order(kit.member, 0, 0, &order, &err), 0);
    assert_int_equal(member_order(kit.member, 7, 0, &order, &err), 0);
    assert_int_equal(member_order_number(kit.member), 0);
    assert_false(is_readable(&kit, 0));
    give_order(&kit, 3, 11);
    assert_true(is_readable(&kit, PATIENCE_MS));
    assert_int_equal(member_order_number(kit.member), 3);
    assert_true(is_readable(&kit, 0)); /* until it is fetched */
    assert_int_equal(member_order(kit.member, 0, 0, &order, &err), 1);
    assert_int_equal(order.number, 3);
    assert_int_equal(order.kind, ORDER_TRAIN);
    assert_int_equal(order.epoch, 11);
    assert_false(is_readable(&kit, 0));
    assert_int_equal(member_order(kit.member, 3, 0, &order, &err), 0);
    kit_close(&kit);
}

static void test_old_and_repeated_orders_do_nothing(void **state)
{
    struct order order = {0};
    struct err err;
    struct kit kit;

    (void)state;
    kit_open(&kit, "inproc://coordinator", PATIENCE_MS);
    report(&kit, 1, true);
    next_status(&kit);
    give_order(&kit, 3, 11);
    assert_true(is_readable(&kit, PATIENCE_MS));
    assert_int_equal(member_order(kit.member, 0, 0, &order, &err), 1);
    give_order(&kit, 3, 12); /* a repetition is not looked at */
    give_order(&kit, 2, 13); /* one that was overtaken */
    assert_false(is_readable(&kit, 150));
    assert_int_equal(member_order(kit.member, 3, 0, &order, &err), 0);
    assert_int_equal(member_order(kit.member, 0, 0, &order, &err), 1);
    assert_int_equal(order.epoch, 11);
    give_order(&kit, 4, 14);
    assert_true(is_readable(&kit, PATIENCE_MS));
    assert_int_equal(member_order(kit.member, 3, 0, &order, &err), 1);
    assert_int_equal(order.epoch, 14);
    kit_close(&kit);
}

/* The coordinator's child is killed; its successor listens on the same socket and may
 * count anew. */
static void test_coordinator_returns(void **state)
{
    struct peer again = kit_coordinator;
    struct kit kit = {.net = kit_net(), .order = {.kind = MESSAGE_ORDER}};
    char endpoint[ENDPOINT_MAX];
    int fd = free_listener(endpoint, sizeof endpoint, true);
    struct order order;
    struct err err;

    (void)state;
    again.incarnation++;
    kit.coordinator = kit_listen(kit.net, "", fd, kit_coordinator);
    kit_member(&kit, endpoint, kit_job, PATIENCE_MS);
    report(&kit, 1, true);
    next_status(&kit);
    give_order(&kit, 50, 1);
    assert_true(is_readable(&kit, PATIENCE_MS));
    assert_int_equal(member_order(kit.member, 0, 0, &order, &err), 1);
    port_close(kit.coordinator);
    report(&kit, 2, true); /* to nobody */
    kit.coordinator = kit_listen(kit.net, "", fd, again);
    while (next_status(&kit)->clock != 2)
        ;
    give_order(&kit, 1, 2);
    assert_true(is_readable(&kit, PATIENCE_MS));
    assert_int_equal(member_order(kit.member, 50, 0, &order, &err), 1);
    assert_int_equal(order.number, 1);
    assert_int_equal(order.epoch, 2);
    kit_close(&kit);
    close(fd);
}

/* ---- failures ---- */

static void test_silence_is_a_failure_until_it_ends(void **state)
{
    enum { TIMEOUT = 250 };
    struct order order;
    struct err err = {0};
    struct kit kit;
    int64_t start = clock_ms();

    (void)state;
    kit_open(&kit, "tcp://127.0.0.1:*", TIMEOUT);
    report(&kit, 1, true);
    next_status(&kit);
    assert_int_equal(member_order(kit.member, 0, 0, &order, &err), 0);
    assert_true(is_readable(&kit, PATIENCE_MS));
    assert_in_range(clock_ms() - start, TIMEOUT, 5000);
    for (int i = 0; i < 2; i++) { /* it does not go away by asking */
        assert_int_equal(member_order(kit.member, 0, 0, &order, &err), -ERR_DEADLINE);
        assert_non_null(strstr(err.text, "has been silent for 250 ms"));
        assert_non_null(strstr(err.text, port_endpoint(kit.coordinator)));
    }
    assert_false(is_readable(&kit, 0));
    give_order(&kit, 1, 1);
    assert_true(is_readable(&kit, PATIENCE_MS));
    start = clock_ms();
    while (member_order(kit.member, 0, 0, &order, &err) != 1)
        assert_true(clock_ms() - start < PATIENCE_MS);
    assert_int_equal(order.number, 1);
    kit_close(&kit);
}

/* Every answer to a status is a sign of life. */
static void test_answers_keep_silence_away(void **state)
{
    enum { TIMEOUT = 250 };
    struct order order;
    struct err err = {0};
    struct kit kit;
    int64_t end = clock_ms() + 2 * TIMEOUT, answered = clock_ms();
    unsigned checks = 0;

    (void)state;
    kit_open(&kit, "inproc://coordinator", TIMEOUT);
    report(&kit, 1, true);
    while (clock_ms() < end) {
        int rc;

        next_status(&kit);
        rc = member_order(kit.member, 1, 0, &order, &err);
        if (clock_ms() - answered < TIMEOUT) { /* else this test was too slow itself */
            assert_in_range(rc, 0, 1);
            checks++;
        }
        give_order(&kit, 1, 1);
        answered = clock_ms();
    }
    assert_true(checks > 0);
    kit_close(&kit);
}

static void test_refusal_is_for_good(void **state)
{
    struct order order;
    struct err err = {0};
    struct message message;
    struct kit kit;

    (void)state;
    kit_open(&kit, "tcp://127.0.0.1:*", PATIENCE_MS);
    member_destroy(kit.member);
    kit_member(&kit, port_endpoint(kit.coordinator), 0xabc, PATIENCE_MS);
    report(&kit, 1, true);
    assert_int_equal(kit_receive_any(kit.coordinator, &message, &kit.frame, &err),
                     -ERR_PEER);
    assert_true(is_readable(&kit, PATIENCE_MS));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(member_order(kit.member, 0, 0, &order, &err), -ERR_PEER);
        assert_non_null(strstr(err.text, "refused this process"));
        assert_non_null(strstr(err.text, "yours is 0000000000000abc"));
    }
    kit_close(&kit);
}

/* Nonsense from the coordinator's side is dropped (and logged). */
static void test_other_messages_are_passed_over(void **state)
{
    struct order order;
    struct err err = {0};
    struct message message;
    struct kit kit;

    (void)state;
    kit_open(&kit, "inproc://coordinator", PATIENCE_MS);
    report(&kit, 1, true);
    next_status(&kit);
    kit_ack(&message, 1);
    kit_send(kit.coordinator, kit_worker, &message, NULL);
    give_order(&kit, 1, 1);
    assert_true(is_readable(&kit, PATIENCE_MS));
    assert_int_equal(member_order(kit.member, 0, 0, &order, &err), 1);
    kit_close(&kit);
}

static void test_bad_endpoint_is_refused(void **state)
{
    struct net *net = kit_net();
    struct member *member;
    struct err err = {0};

    (void)state;
    assert_int_equal(
        member_create(net, "nonsense", kit_worker, kit_job, 1000, &member, &err),
        -ERR_SYSTEM);
    assert_null(member);
    assert_non_null(strstr(err.text, "nonsense"));
    net_destroy(net);
}

/* ---- threads ---- */

static void *report_and_look(void *context)
{
    struct kit *kit = context;
    struct order order;
    struct err err;
    uint64_t known = 0;

    for (uint64_t i = 1; known < 20 && i < 10000; i++) {
        report(kit, i, i % 16 == 0);
        if (member_order_number(kit->member) != known &&
            member_order(kit->member, known, 0, &order, &err) == 1)
            known = order.number;
        usleep(500);
    }
    return (void *)(uintptr_t)known;
}

static void test_threads_share_a_member(void **state)
{
    pthread_t thread[2];
    struct kit kit;

    (void)state;
    kit_open(&kit, "inproc://coordinator", PATIENCE_MS);
    for (int i = 0; i < 2; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, report_and_look, &kit), 0);
    for (uint64_t number = 1; number <= 20; number++) {
        next_status(&kit);
        give_order(&kit, number, 0);
    }
    for (int i = 0; i < 2; i++) {
        void *known;

        pthread_join(thread[i], &known);
        assert_int_equal((uintptr_t)known, 20);
    }
    kit_close(&kit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statuses_flow),
        cmocka_unit_test(test_attached_counts),
        cmocka_unit_test(test_last_status_is_sent_at_the_end),
        cmocka_unit_test(test_early_failure_is_heard),
        cmocka_unit_test(test_end_without_coordinator_is_bounded),
        cmocka_unit_test(test_orders_arrive),
        cmocka_unit_test(test_old_and_repeated_orders_do_nothing),
        cmocka_unit_test(test_coordinator_returns),
        cmocka_unit_test(test_silence_is_a_failure_until_it_ends),
        cmocka_unit_test(test_answers_keep_silence_away),
        cmocka_unit_test(test_refusal_is_for_good),
        cmocka_unit_test(test_other_messages_are_passed_over),
        cmocka_unit_test(test_bad_endpoint_is_refused),
        cmocka_unit_test(test_threads_share_a_member),
    };

    log_set_level(LOG_SILENT);
    return cmocka_run_group_tests_name("member", tests, NULL, NULL);
}

/* Ports among themselves, over every transport. Listening is in test_port_listen.c,
 * what strangers may send in test_port_hostile.c. */
#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>

#include "common/rng.h"
#include "tests/unit/port_kit.h"

enum { KB = 1024, MB = 1024 * 1024, TRANSPORTS = 3 };

struct kit {
    struct net *net;
    struct buffer_pool *pool;
    struct port *server, *client;
    struct frame frame;
    char folder[64], endpoint[ENDPOINT_MAX];
};

static void kit_name_endpoint(struct kit *kit, int transport)
{
    memset(kit, 0, sizeof *kit);
    kit_folder(kit->folder, sizeof kit->folder);
    if (transport == 0)
        strcpy(kit->endpoint, "tcp://127.0.0.1:*");
    else if (transport == 1)
        snprintf(kit->endpoint, sizeof kit->endpoint, "ipc://%s/s", kit->folder);
    else
        strcpy(kit->endpoint, "inproc://server");
    kit->net = kit_net();
    kit->pool = buffer_pool_create(512 * MB);
}

static void kit_open(struct kit *kit, int transport)
{
    kit_name_endpoint(kit, transport);
    kit->server = kit_listen(kit->net, kit->endpoint, -1, kit_server);
    kit->client = kit_connect(kit->net, port_endpoint(kit->server), kit_worker,
                              kit_job);
}

/* All buffers must be back once the net is gone: the pool insists. */
static void kit_close(struct kit *kit)
{
    char path[128];

    frame_free(&kit->frame);
    port_close(kit->client);
    port_close(kit->server);
    net_destroy(kit->net);
    buffer_pool_destroy(kit->pool);
    snprintf(path, sizeof path, "%s/s", kit->folder);
    unlink(path);
    assert_int_equal(rmdir(kit->folder), 0);
}

/* A push of rows of one float: 16 bytes a row, padded to 8. */
static struct buffer *make_push(struct kit *kit, struct message *message, uint32_t rows,
                                uint64_t clock)
{
    struct buffer *body;
    size_t bytes;

    message->kind = MESSAGE_PUSH;
    message->push = (struct push){.clock = clock, .parts = 1};
    message->sections = 1;
    message->section[0] = (struct section){.table = 2, .rows = rows, .width = 1};
    bytes = message_layout(MESSAGE_PUSH, message->section, 1, NULL);
    body = buffer_get(kit->pool, bytes);
    assert_non_null(body);
    for (size_t i = 0; i < bytes; i += 8) {
        uint64_t word = rng_at(3, clock, i);

        memcpy(body->data + i, &word, 8);
    }
    body->used = bytes;
    return body;
}

static void check_push(const struct message *message, uint64_t clock)
{
    assert_int_equal(message->kind, MESSAGE_PUSH);
    assert_int_equal(message->push.clock, clock);
    assert_int_equal((uintptr_t)message->body % 8, 0);
    assert_int_equal(message->body_bytes, 16 * message->section[0].rows);
    for (size_t i = 0; i < message->body_bytes; i += 8) {
        uint64_t word = rng_at(3, clock, i);

        if (memcmp(message->body + i, &word, 8) != 0)
            fail_msg("byte %zu of %zu differs", i, message->body_bytes);
    }
}

/* ---- both ways, all sizes ---- */

static void exchange(struct kit *kit, uint32_t rows)
{
    struct message sent, found;
    struct buffer *body = make_push(kit, &sent, rows, rows + 1);

    kit_send(kit->client, kit_server, &sent, body);
    kit_receive(kit->server, &found, &kit->frame);
    check_push(&found, rows + 1);
    assert_int_equal(found.job, kit_job);
    assert_int_equal(found.role, kit_worker.role);
    assert_int_equal(found.sender, kit_worker.index);
    assert_int_equal(found.incarnation, kit_worker.incarnation);

    /* And back, out of the same buffer. */
    kit_send(kit->server, kit_from(&found), &sent, body);
    frame_release(&kit->frame);
    kit_receive(kit->client, &found, &kit->frame);
    check_push(&found, rows + 1);
    assert_int_equal(found.role, kit_server.role);
    assert_int_equal(found.sender, kit_server.index);
    frame_release(&kit->frame);
    buffer_unref(body);
}

static void test_messages_go_both_ways(void **state)
{
    /* Around the bounds: no body, inlined, ZeroMQ's own 8 KB, a part, many megabytes.
     */
    static const uint32_t rows[] = {0, 1, 255, 256, 257, 300, 511, 512, 513, 65536, MB};

    (void)state;
    for (int transport = 0; transport < TRANSPORTS; transport++) {
        struct kit kit;

        kit_open(&kit, transport);
        for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
            exchange(&kit, rows[i]);
        kit_close(&kit);
    }
}

static void test_every_body_comes_aligned(void **state)
{
    struct kit kit;

    (void)state;
    kit_open(&kit, 0);
    for (uint32_t rows = 1; rows < 700; rows++)
        exchange(&kit, rows);
    kit_close(&kit);
}

/* Sends a body of 16 bytes a row: is it a copy that arrives? */
static bool is_copied(struct kit *kit, uint32_t rows)
{
    struct message sent, found;
    struct buffer *body = make_push(kit, &sent, rows, 1);
    bool copied;

    kit_send(kit->client, kit_server, &sent, body);
    kit_receive(kit->server, &found, &kit->frame);
    check_push(&found, 1);
    copied = found.body != body->data;
    assert_int_equal(body->references, copied ? 1 : 2);
    frame_release(&kit->frame);
    assert_int_equal(body->references, 1);
    buffer_unref(body);
    return copied;
}

static void test_large_bodies_are_not_copied(void **state)
{
    struct kit kit;

    (void)state;
    kit_open(&kit, 2); /* inproc shows where the bytes are */
    assert_true(is_copied(&kit, MESSAGE_INLINE_MAX / 16));
    assert_false(is_copied(&kit, MESSAGE_INLINE_MAX / 16 + 1));
    port_set_inline(kit.client, 0);
    assert_false(is_copied(&kit, 1));
    port_set_inline(kit.client, MB);
    assert_true(is_copied(&kit, MB / 16));
    assert_false(is_copied(&kit, MB / 16 + 1));
    kit_close(&kit);
}

static void test_body_must_be_what_sections_say(void **state)
{
    struct message sent;
    struct err err = {0};
    struct buffer *body;
    struct kit kit;

    (void)state;
    kit_open(&kit, 2);
    body = make_push(&kit, &sent, 1000, 1);
    body->used -= 8;
    assert_int_equal(port_send(kit.client, kit_server, &sent, body, &err), -ERR_INPUT);
    assert_non_null(strstr(err.text, "15992 bytes where the sections say 16000"));
    assert_int_equal(port_send(kit.client, kit_server, &sent, NULL, &err), -ERR_INPUT);
    buffer_unref(body);
    kit_close(&kit);
}

/* ---- order ---- */

struct run {
    struct kit kit;
    uint64_t count;
};

static void *send_many(void *context)
{
    struct run *run = context;
    struct kit *kit = &run->kit;

    for (uint64_t clock = 1; clock <= run->count; clock++) {
        struct message message;
        /* Mostly small ones; some without a copy, so that both kinds mix. */
        struct buffer *body = make_push(kit, &message, clock % 64 ? 2 : 300, clock);

        kit_send(kit->client, kit_server, &message, body);
        buffer_unref(body);
    }
    return NULL;
}

static void test_order_is_kept(void **state)
{
    static const uint64_t counts[TRANSPORTS] = {5000, 5000, 100000};

    (void)state;
    for (int transport = 0; transport < TRANSPORTS; transport++) {
        struct run run = {.count = counts[transport]};
        struct message message;
        pthread_t sender;

        kit_open(&run.kit, transport);
        assert_int_equal(pthread_create(&sender, NULL, send_many, &run), 0);
        for (uint64_t clock = 1; clock <= run.count; clock++) {
            kit_receive(run.kit.server, &message, &run.kit.frame);
            check_push(&message, clock);
            frame_release(&run.kit.frame);
        }
        pthread_join(sender, NULL);
        kit_close(&run.kit);
    }
}

/* ---- full queues ---- */

/* Sends clocks from 1 until there is no room; returns the last one. */
static uint64_t fill(struct port *from, struct peer to, struct message *message,
                     struct buffer *body)
{
    enum { FAR_TOO_MANY = 5000 };
    struct err err = {0};
    uint64_t sent = 0;
    int rc = 0;

    while (sent < FAR_TOO_MANY) {
        message->push.clock = sent + 1;
        rc = port_send(from, to, message, body, &err);
        if (rc == -ERR_AGAIN) {
            usleep(20000); /* full now, but ZeroMQ's threads may still move some on */
            rc = port_send(from, to, message, body, &err);
        }
        if (rc)
            break;
        sent++;
    }
    assert_int_equal(rc, -ERR_AGAIN);
    assert_non_null(strstr(err.text, "is full"));
    assert_in_range(sent, PORT_QUEUE_MAX, FAR_TOO_MANY - 1);
    return sent;
}

/* Fills the queues; nothing of it may be lost. */
static void fill_and_drain(struct kit *kit, struct port *from, struct port *into)
{
    struct message message;
    struct err err = {0};
    struct buffer *body = make_push(kit, &message, 4096, 1); /* 64 KB */
    uint64_t sent = fill(from, kit_worker, &message, body);

    assert_true(__atomic_load_n(&body->references, __ATOMIC_ACQUIRE) > 1);
    for (uint64_t clock = 1; clock <= sent; clock++) {
        kit_receive(into, &message, &kit->frame);
        assert_int_equal(message.push.clock, clock);
        frame_release(&kit->frame);
    }
    assert_int_equal(port_receive(into, &message, &kit->frame, &err), 0);
    /* There is room again. */
    message.push.clock = sent + 1;
    kit_send(from, kit_worker, &message, body);
    kit_receive(into, &message, &kit->frame);
    assert_int_equal(message.push.clock, sent + 1);
    frame_release(&kit->frame);
    buffer_unref(body);
}

static void test_full_queue_says_again(void **state)
{
    (void)state;
    for (int transport = 0; transport < TRANSPORTS; transport++) {
        struct message message;
        struct kit kit;

        kit_open(&kit, transport);
        kit_ack(&message, 1);
        kit_send(kit.client, kit_server, &message, NULL); /* connected? */
        kit_receive(kit.server, &message, &kit.frame);
        fill_and_drain(&kit, kit.client, kit.server);
        fill_and_drain(&kit, kit.server, kit.client);
        kit_close(&kit);
    }
}

/* A TCP endpoint where nobody listens. */
static void free_endpoint(char *endpoint, size_t size)
{
    struct sockaddr_in address = {0};
    socklen_t address_size = sizeof address;
    int fd = kit_tcp_listener(AF_INET, false);

    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &address_size), 0);
    close(fd);
    snprintf(endpoint, size, "tcp://127.0.0.1:%d", ntohs(address.sin_port));
}

/* ---- peers come and go ---- */

static void test_unknown_peer_is_an_error(void **state)
{
    struct peer nobody = {ROLE_WORKER, 4, 0};
    struct message message;
    struct err err = {0};
    struct kit kit;

    (void)state;
    kit_open(&kit, 0);
    kit_ack(&message, 1);
    assert_int_equal(port_send(kit.server, nobody, &message, NULL, &err), -ERR_PEER);
    assert_non_null(strstr(err.text, "not connected"));
    kit_close(&kit);
}

static void test_peer_that_left_becomes_unknown(void **state)
{
    int64_t deadline = clock_ms() + PATIENCE_MS;
    struct message message;
    struct err err = {0};
    struct kit kit;
    int rc;

    (void)state;
    kit_open(&kit, 0);
    kit_ack(&message, 1);
    kit_send(kit.client, kit_server, &message, NULL);
    kit_receive(kit.server, &message, &kit.frame);
    port_close(kit.client);
    kit.client = NULL;
    kit_ack(&message, 1);
    do {
        struct message ignored;

        rc = port_receive(kit.server, &ignored, &kit.frame, &err);
        assert_int_equal(rc, 0);
        rc = port_send(kit.server, kit_worker, &message, NULL, &err);
    } while (rc != -ERR_PEER && clock_ms() < deadline);
    assert_int_equal(rc, -ERR_PEER);
    kit_close(&kit);
}

/* A restarted worker is another peer: what is for the old one does not reach it. */
static void test_incarnations_are_apart(void **state)
{
    struct peer again = {kit_worker.role, kit_worker.index, kit_worker.incarnation + 1};
    struct message message;
    struct port *newer;
    struct kit kit;

    (void)state;
    kit_open(&kit, 0);
    newer = kit_connect(kit.net, port_endpoint(kit.server), again, kit_job);
    kit_ack(&message, 1);
    kit_send(kit.client, kit_server, &message, NULL);
    kit_receive(kit.server, &message, &kit.frame);
    kit_send(newer, kit_server, &message, NULL);
    kit_receive(kit.server, &message, &kit.frame);
    assert_int_equal(message.incarnation, again.incarnation);
    kit_ack(&message, 77);
    kit_send(kit.server, again, &message, NULL);
    kit_receive(newer, &message, &kit.frame);
    assert_int_equal(message.ack.clock, 77);
    kit_ack(&message, 78);
    kit_send(kit.server, kit_worker, &message, NULL);
    kit_receive(kit.client, &message, &kit.frame);
    assert_int_equal(message.ack.clock, 78);
    port_close(newer);
    kit_close(&kit);
}

/* Of two connections of one peer the newer gets the answers. */
static void test_newer_connection_takes_over(void **state)
{
    struct message message;
    struct port *newer;
    struct kit kit;

    (void)state;
    kit_open(&kit, 2);
    kit_ack(&message, 1);
    kit_send(kit.client, kit_server, &message, NULL);
    kit_receive(kit.server, &message, &kit.frame);
    newer = kit_connect(kit.net, port_endpoint(kit.server), kit_worker, kit_job);
    kit_ack(&message, 2);
    kit_send(newer, kit_server, &message, NULL);
    kit_receive(kit.server, &message, &kit.frame);
    assert_int_equal(message.ack.clock, 2);
    kit_send(kit.server, kit_worker, &message, NULL);
    kit_receive(newer, &message, &kit.frame);
    assert_int_equal(message.ack.clock, 2);
    port_close(newer);
    kit_close(&kit);
}

static void test_connecting_first_is_fine(void **state)
{
    (void)state;
    for (int transport = 0; transport < TRANSPORTS; transport++) {
        struct message message;
        struct err err;
        struct kit kit;
        int rc;

        kit_name_endpoint(&kit, transport);
        if (transport == 0)
            free_endpoint(kit.endpoint, sizeof kit.endpoint);
        kit.client = kit_connect(kit.net, kit.endpoint, kit_worker, kit_job);
        kit_ack(&message, 1);
        rc = port_send(kit.client, kit_server, &message, NULL, &err);
        /* Within the process it waits in the queue; else there is no queue yet, so that
         * nothing old reaches whoever comes to listen. */
        assert_int_equal(rc, transport == 2 ? 0 : -ERR_AGAIN);
        kit.server = kit_listen(kit.net, kit.endpoint, -1, kit_server);
        if (rc)
            kit_send(kit.client, kit_server, &message, NULL);
        kit_receive(kit.server, &message, &kit.frame);
        assert_int_equal(message.ack.clock, 1);
        kit_close(&kit);
    }
}

/* ---- another run ---- */

static void test_other_runs_are_refused(void **state)
{
    (void)state;
    for (int transport = 0; transport < TRANSPORTS; transport++) {
        struct peer stale = {ROLE_SERVER, 1, 0};
        struct message message;
        struct err err = {0};
        struct port *stranger;
        struct kit kit;

        kit_open(&kit, transport);
        stranger = kit_connect(kit.net, port_endpoint(kit.server), stale, 0xdeadbeef);
        kit_ack(&message, 1);
        kit_send(stranger, kit_server, &message, NULL);
        assert_int_equal(kit_receive_any(kit.server, &message, &kit.frame, &err),
                         -ERR_PEER);
        assert_string_equal(err.text,
                            "refused server 1 of another run (token 00000000deadbeef)");
        kit_receive(stranger, &message, &kit.frame);
        assert_int_equal(message.kind, MESSAGE_REFUSAL);
        assert_int_equal(message.refusal.code, ERR_PEER);
        assert_non_null(strstr(message.refusal.text, "1122334455667788"));
        assert_non_null(strstr(message.refusal.text, "00000000deadbeef"));
        assert_int_equal(message.job, kit_job);
        /* The run's own go on. */
        kit_ack(&message, 5);
        kit_send(kit.client, kit_server, &message, NULL);
        kit_receive(kit.server, &message, &kit.frame);
        assert_int_equal(message.ack.clock, 5);
        port_close(stranger);
        kit_close(&kit);
    }
}

/* A left-over process that calls itself like a live one does not take its place. */
static void test_stale_namesake_does_not_take_over(void **state)
{
    struct message message;
    struct err err = {0};
    struct port *stranger;
    struct kit kit;

    (void)state;
    kit_open(&kit, 0);
    kit_ack(&message, 1);
    kit_send(kit.client, kit_server, &message, NULL);
    kit_receive(kit.server, &message, &kit.frame);
    stranger = kit_connect(kit.net, port_endpoint(kit.server), kit_worker, 0xdeadbeef);
    kit_ack(&message, 2);
    kit_send(stranger, kit_server, &message, NULL);
    assert_int_equal(kit_receive_any(kit.server, &message, &kit.frame, &err),
                     -ERR_PEER);
    kit_ack(&message, 3);
    kit_send(kit.server, kit_worker, &message, NULL);
    kit_receive(kit.client, &message, &kit.frame);
    assert_int_equal(message.ack.clock, 3);
    port_close(stranger);
    kit_close(&kit);
}

/* ---- waiting and ending ---- */

static void on_alarm(int signal)
{
    (void)signal;
}

static void test_waiting(void **state)
{
    struct sigaction action = {.sa_handler = on_alarm}, before;
    struct itimerval timer = {.it_value = {.tv_usec = 30000}};
    struct message message;
    struct kit kit;
    int64_t start;
    int pipes[2];

    (void)state;
    kit_open(&kit, 0);
    kit_ack(&message, 1);
    kit_send(kit.client, kit_server, &message, NULL);
    kit_receive(kit.server, &message, &kit.frame);
    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(port_wait(&kit.server, 1, pipes, 1, 0), 0);
    start = clock_ms();
    assert_int_equal(port_wait(&kit.server, 1, pipes, 1, 30), 0);
    assert_in_range(clock_ms() - start, 29, 5000);
    assert_int_equal(write(pipes[1], "x", 1), 1);
    assert_int_equal(port_wait(&kit.server, 1, pipes, 1, 5000), 1);
    kit_ack(&message, 2);
    kit_send(kit.client, kit_server, &message, NULL);
    assert_int_equal(port_wait(&kit.server, 1, NULL, 0, 5000), 1);
    assert_int_equal(port_wait(&kit.server, 1, pipes, 1, 5000), 2);
    assert_int_equal(port_wait(&kit.server, 1, pipes, 1, 5000), 2); /* still there */
    kit_receive(kit.server, &message, &kit.frame);

    sigaction(SIGALRM, &action, &before);
    setitimer(ITIMER_REAL, &timer, NULL);
    start = clock_ms();
    assert_int_equal(port_wait(&kit.server, 1, NULL, 0, 10000), 0);
    assert_in_range(clock_ms() - start, 20, 5000);
    sigaction(SIGALRM, &before, NULL);
    close(pipes[0]);
    close(pipes[1]);
    kit_close(&kit);
}

/* Nothing that was sent to nobody, or to one who does not read, can hold up the end for
 * long; and all buffers are back. */
static void test_end_is_bounded(void **state)
{
    const struct peer self = {ROLE_WORKER, 9, 0};
    struct net *sending = kit_net();
    struct message message;
    struct buffer *body;
    struct port *waiting, *unread;
    struct kit kit;
    int64_t start;

    (void)state;
    kit_open(&kit, 0);
    body = make_push(&kit, &message, 4096, 1);
    waiting = kit_connect(sending, "inproc://nobody", self, kit_job);
    kit_send(waiting, kit_server, &message, body);
    unread = kit_connect(sending, port_endpoint(kit.server), self, kit_job);
    kit_send(unread, kit_server, &message, body);
    fill(unread, kit_server, &message, body);
    start = clock_ms();
    net_destroy(sending); /* closes both */
    assert_true(clock_ms() - start <
                30000); /* a second, and what a busy machine adds */
    assert_int_equal(body->references, 1);
    buffer_unref(body);
    net_destroy(NULL);
    port_close(NULL);
    kit_close(&kit);
}

/* What was sent before the end arrives, though the sender is gone. */
static void test_last_messages_arrive(void **state)
{
    struct net *sending = kit_net();
    struct message message;
    struct port *port;
    struct kit kit;

    (void)state;
    kit_open(&kit, 0);
    port = kit_connect(sending, port_endpoint(kit.server), (struct peer){2, 9, 0},
                       kit_job);
    for (uint64_t clock = 1; clock <= 50; clock++) {
        struct buffer *body = make_push(&kit, &message, 1000, clock);

        kit_send(port, kit_server, &message, body);
        buffer_unref(body);
    }
    net_destroy(sending);
    for (uint64_t clock = 1; clock <= 50; clock++) {
        kit_receive(kit.server, &message, &kit.frame);
        check_push(&message, clock);
    }
    kit_close(&kit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_messages_go_both_ways),
        cmocka_unit_test(test_every_body_comes_aligned),
        cmocka_unit_test(test_large_bodies_are_not_copied),
        cmocka_unit_test(test_body_must_be_what_sections_say),
        cmocka_unit_test(test_order_is_kept),
        cmocka_unit_test(test_full_queue_says_again),
        cmocka_unit_test(test_unknown_peer_is_an_error),
        cmocka_unit_test(test_peer_that_left_becomes_unknown),
        cmocka_unit_test(test_incarnations_are_apart),
        cmocka_unit_test(test_newer_connection_takes_over),
        cmocka_unit_test(test_connecting_first_is_fine),
        cmocka_unit_test(test_other_runs_are_refused),
        cmocka_unit_test(test_stale_namesake_does_not_take_over),
        cmocka_unit_test(test_waiting),
        cmocka_unit_test(test_end_is_bounded),
        cmocka_unit_test(test_last_messages_arrive),
    };

    return cmocka_run_group_tests_name("port", tests, NULL, NULL);
}

/* What strangers may send to a port: noise over plain TCP, and frames of a peer that
 * speaks ZeroMQ's protocol (ZMTP 3.0, by hand here) but not ours. A port must say what
 * it was and go on serving. */
#include <arpa/inet.h>
#include <errno.h>
#include <sys/socket.h>

#include "common/rng.h"
#include "tests/unit/port_kit.h"

/* ---- a peer by hand ---- */

static struct sockaddr_in endpoint_address(const char *endpoint)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    unsigned port;

    assert_int_equal(sscanf(endpoint, "tcp://127.0.0.1:%u", &port), 1);
    address.sin_port = htons((uint16_t)port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    return address;
}

static int dial(const char *endpoint)
{
    struct sockaddr_in address = endpoint_address(endpoint);
    struct timeval patience = {.tv_sec = PATIENCE_MS / 1000};
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    assert_int_equal(connect(fd, (struct sockaddr *)&address, sizeof address), 0);
    return fd;
}

/* The other side may hang up at any time: how much went out is of no interest. */
static void say(int fd, const void *bytes, size_t size)
{
    const char *at = bytes;

    while (size > 0) {
        ssize_t n = send(fd, at, size, MSG_NOSIGNAL);

        if (n <= 0)
            return;
        at += n;
        size -= (size_t)n;
    }
}

static void hear(int fd, void *bytes, size_t size)
{
    char *at = bytes;

    while (size > 0) {
        ssize_t n = recv(fd, at, size, 0);

        if (n <= 0)
            fail_msg("the port hung up");
        at += n;
        size -= (size_t)n;
    }
}

static void say_frame(int fd, const void *bytes, size_t size, bool more)
{
    unsigned char head[9] = {(unsigned char)(more | 2)};

    for (int i = 0; i < 8; i++)
        head[1 + i] = (unsigned char)((uint64_t)size >> 8 * (7 - i));
    say(fd, head, sizeof head);
    say(fd, bytes, size);
}

static size_t put_property(unsigned char *to, const char *name, const void *value,
                           size_t size)
{
    size_t length = strlen(name);

    to[0] = (unsigned char)length;
    memcpy(to + 1, name, length);
    to[1 + length] = to[2 + length] = to[3 + length] = 0;
    to[4 + length] = (unsigned char)size;
    memcpy(to + 5 + length, value, size);
    return 5 + length + size;
}

static const unsigned char greeting[64] = {
    0xff, 0, 0, 0, 0, 0, 0, 0, 0, 0x7f, 3, 0, 'N', 'U', 'L', 'L',
};

/* Greets, and makes itself known as a socket of that type with that routing id. */
static void shake_hands(int fd, const char *type, const void *id, size_t id_bytes)
{
    unsigned char ready[128] = {4, 0, 5, 'R', 'E', 'A', 'D', 'Y'}, theirs[256];
    size_t size = 8;

    say(fd, greeting, sizeof greeting);
    hear(fd, theirs, sizeof greeting);
    size += put_property(ready + size, "Socket-Type", type, strlen(type));
    size += put_property(ready + size, "Identity", id, id_bytes);
    ready[1] = (unsigned char)(size - 2);
    say(fd, ready, size);
    hear(fd, theirs, 2);
    assert_int_equal(theirs[0], 4);
    hear(fd, theirs + 2, theirs[1]);
}

/* The routing id of our own peers, written down here once more. */
static void make_id(unsigned char *id, struct peer peer, uint64_t job)
{
    uint32_t token = (uint32_t)(job ^ job >> 32);

    for (int i = 0; i < 4; i++) {
        id[4 + i] = (unsigned char)(peer.incarnation >> 8 * i);
        id[8 + i] = (unsigned char)(token >> 8 * i);
    }
    id[0] = (unsigned char)peer.role;
    for (int i = 0; i < 3; i++)
        id[1 + i] = (unsigned char)(peer.index >> 8 * i);
}

static int dial_as(const char *endpoint, struct peer peer, uint64_t job)
{
    unsigned char id[12];
    int fd = dial(endpoint);

    make_id(id, peer, job);
    shake_hands(fd, "DEALER", id, sizeof id);
    return fd;
}

/* ---- the port under test ---- */

struct kit {
    struct net *net;
    struct port *server, *client;
    struct frame frame;
};

static void kit_open(struct kit *kit)
{
    memset(kit, 0, sizeof *kit);
    kit->net = kit_net();
    kit->server = kit_listen(kit->net, "tcp://127.0.0.1:*", -1, kit_server);
    kit->client = kit_connect(kit->net, port_endpoint(kit->server), kit_worker,
                              kit_job);
}

static void kit_close(struct kit *kit)
{
    frame_free(&kit->frame);
    net_destroy(kit->net);
}

/* Does the port still serve its own, both ways? */
static void check_service(struct kit *kit)
{
    struct message message;

    kit_ack(&message, 41);
    kit_send(kit->client, kit_server, &message, NULL);
    kit_receive(kit->server, &message, &kit->frame);
    assert_int_equal(message.ack.clock, 41);
    kit_ack(&message, 42);
    kit_send(kit->server, kit_worker, &message, NULL);
    kit_receive(kit->client, &message, &kit->frame);
    assert_int_equal(message.ack.clock, 42);
}

/* The next thing that the port reports is this complaint. */
static void expect_complaint(struct port *port, struct frame *frame, const char *text)
{
    struct message message;
    struct err err = {0};

    if (kit_receive_any(port, &message, frame, &err) != -ERR_PEER)
        fail_msg("accepted, expected: %s", text);
    if (!strstr(err.text, text))
        fail_msg("\"%s\" does not say \"%s\"", err.text, text);
}

/* Frame 0: length, header, and `body` bytes of zeros. */
static size_t make_frame(unsigned char *frame, const struct message *message,
                         size_t body)
{
    size_t size = message_encode(message, frame + 4);

    for (int i = 0; i < 4; i++)
        frame[i] = (unsigned char)(size >> 8 * i);
    memset(frame + 4 + size, 0, body);
    return 4 + size + body;
}

static const struct peer stranger = {ROLE_WORKER, 7, 1};

static void make_ack(struct message *message, struct peer from, uint64_t job)
{
    kit_ack(message, 9);
    message->job = job;
    message->role = from.role;
    message->sender = from.index;
    message->incarnation = from.incarnation;
}

static void make_pull(struct message *message, uint32_t rows)
{
    make_ack(message, stranger, kit_job);
    message->kind = MESSAGE_PULL;
    message->pull = (struct pull){.request = 1};
    message->sections = 1;
    message->section[0] = (struct section){.rows = rows};
}

/* ---- frames ---- */

static void test_peer_by_hand_is_understood(void **state)
{
    unsigned char frame[256], body[800] = {1};
    struct message message;
    struct kit kit;
    int fd;

    (void)state;
    kit_open(&kit);
    fd = dial_as(port_endpoint(kit.server), stranger, kit_job);
    make_pull(&message, 2);
    say_frame(fd, frame, make_frame(frame, &message, 16), false);
    kit_receive(kit.server, &message, &kit.frame);
    assert_int_equal(message.kind, MESSAGE_PULL);
    assert_int_equal(message.sender, stranger.index);
    assert_int_equal(message.body_bytes, 16);
    make_pull(&message, 100);
    say_frame(fd, frame, make_frame(frame, &message, 0), true);
    say_frame(fd, body, sizeof body, false);
    kit_receive(kit.server, &message, &kit.frame);
    assert_int_equal(message.body_bytes, 800);
    assert_int_equal(message.body[0], 1);
    close(fd);
    kit_close(&kit);
}

static void test_wrong_frames_are_dropped(void **state)
{
    static const char from[] = "from worker 7, incarnation 1: malformed message: ";
    unsigned char frame[256], zeros[64] = {0};
    struct message message;
    struct kit kit;
    size_t size;
    int fd;

    (void)state;
    kit_open(&kit);
    fd = dial_as(port_endpoint(kit.server), stranger, kit_job);

    say_frame(fd, zeros, 0, false);
    expect_complaint(kit.server, &kit.frame, from);
    say_frame(fd, zeros, 3, false);
    expect_complaint(kit.server, &kit.frame, "a frame of 3 bytes");
    memset(frame, 0xff, sizeof frame);
    say_frame(fd, frame, 20, false);
    expect_complaint(kit.server, &kit.frame, "a header of 4294967295 bytes");
    memcpy(frame, "\x10\0\0\0GET / HTTP/1.1\r\n", 20);
    say_frame(fd, frame, 20, false);
    expect_complaint(kit.server, &kit.frame, "16 bytes that are no header");

    make_pull(&message, 2);
    size = make_frame(frame, &message, 16);
    say_frame(fd, frame, size - 8, false);
    expect_complaint(kit.server, &kit.frame, "a body of 8 bytes, its sections say 16");
    say_frame(fd, frame, size, true);
    say_frame(fd, zeros, 16, false);
    expect_complaint(kit.server, &kit.frame, "two bodies");
    say_frame(fd, frame, size - 16, true);
    say_frame(fd, zeros, 24, false);
    expect_complaint(kit.server, &kit.frame, "a body of 24 bytes");
    for (int extra = 0; extra < 2; extra++) { /* 3 frames, then 40 */
        for (int i = 0; i < (extra ? 39 : 2); i++)
            say_frame(fd, frame, i ? 0 : size - 16, true);
        say_frame(fd, zeros, 16, false);
        expect_complaint(kit.server, &kit.frame, "more than two frames");
    }
    /* After all that it may still speak, and so may others. */
    say_frame(fd, frame, size, false);
    kit_receive(kit.server, &message, &kit.frame);
    assert_int_equal(message.sender, stranger.index);
    check_service(&kit);
    close(fd);
    kit_close(&kit);
}

static void test_nobody_speaks_for_another(void **state)
{
    static const struct peer others[] = {
        {ROLE_SERVER, 7, 1}, {ROLE_WORKER, 8, 1}, {ROLE_WORKER, 7, 2}};
    unsigned char frame[256];
    struct message message;
    struct kit kit;
    int fd;

    (void)state;
    kit_open(&kit);
    fd = dial_as(port_endpoint(kit.server), stranger, kit_job);
    for (int i = 0; i < 3; i++) {
        make_ack(&message, others[i], kit_job);
        say_frame(fd, frame, make_frame(frame, &message, 0), false);
        expect_complaint(kit.server, &kit.frame, "but the connection is another's");
    }
    make_ack(&message, stranger, kit_job + 1);
    say_frame(fd, frame, make_frame(frame, &message, 0), false);
    expect_complaint(kit.server, &kit.frame, "but the connection is another's");
    check_service(&kit);
    close(fd);
    kit_close(&kit);
}

static void test_foreign_routing_ids_are_strangers(void **state)
{
    static const struct {
        const char *id;
        size_t size;
    } ids[] = {
        {"", 0}, {"me", 2}, {"\x04\0\0\0\0\0\0\0\0\0\0", 12}, {"worker number 7", 15}};
    unsigned char frame[256];
    struct message message;
    struct kit kit;

    (void)state;
    kit_open(&kit);
    for (size_t i = 0; i < sizeof ids / sizeof *ids; i++) {
        int fd = dial(port_endpoint(kit.server));

        shake_hands(fd, i == 1 ? "REQ" : "DEALER", ids[i].id, ids[i].size);
        make_ack(&message, stranger, kit_job);
        say_frame(fd, frame, make_frame(frame, &message, 0), false);
        expect_complaint(kit.server, &kit.frame, "from a stranger: malformed message");
        close(fd);
    }
    check_service(&kit);
    kit_close(&kit);
}

/* Does the port hang up on us? Not if nothing happens for PATIENCE_MS. */
static bool is_hung_up_on(int fd)
{
    char byte;
    ssize_t n;

    while ((n = recv(fd, &byte, 1, 0)) > 0)
        ;
    return n == 0 || errno == ECONNRESET;
}

static void test_giant_frames_end_the_connection(void **state)
{
    unsigned char head[9] = {2, 0, 0, 0, 0, 4, 0, 0, 1}; /* 64 MB and a byte */
    struct kit kit;
    int fd;

    (void)state;
    kit_open(&kit);
    fd = dial_as(port_endpoint(kit.server), stranger, kit_job);
    say(fd, head, sizeof head);
    assert_true(is_hung_up_on(fd));
    close(fd);
    fd = dial_as(port_endpoint(kit.server), stranger, kit_job);
    memset(head + 1, 0xff, 8);
    say(fd, head, sizeof head);
    assert_true(is_hung_up_on(fd));
    close(fd);
    check_service(&kit);
    kit_close(&kit);
}

/* Large frames with random contents, in all numbers. */
static void test_random_frames_do_no_harm(void **state)
{
    enum { MESSAGES = 300 };
    static unsigned char noise[10000];
    unsigned complaints = 0;
    struct kit kit;
    int fd;

    (void)state;
    for (size_t i = 0; i < sizeof noise; i++)
        noise[i] = (unsigned char)rng_at(5, 0, i);
    kit_open(&kit);
    fd = dial_as(port_endpoint(kit.server), stranger, kit_job);
    for (uint64_t n = 0; n < MESSAGES; n++) {
        uint64_t frames = rng_at(5, 1, n) % 4 + 1;

        for (uint64_t i = 0; i < frames; i++) {
            size_t size = (size_t)rng_at(5, 2 + n, i) % sizeof noise;

            if (n % 2) { /* a length of the header that may fit */
                noise[0] = (unsigned char)rng_at(5, n, 9);
                noise[1] = noise[2] = noise[3] = 0;
            }
            say_frame(fd, noise, size, i + 1 < frames);
        }
    }
    while (complaints < MESSAGES) {
        struct message message;
        struct err err;

        assert_int_equal(kit_receive_any(kit.server, &message, &kit.frame, &err),
                         -ERR_PEER);
        complaints++;
    }
    check_service(&kit);
    close(fd);
    kit_close(&kit);
}

/* ---- noise ---- */

static void test_plain_noise_does_no_harm(void **state)
{
    static const char request[] = "GET /tables HTTP/1.1\r\nHost: x\r\n\r\n";
    struct kit kit;
    char noise[4096];

    (void)state;
    kit_open(&kit);
    for (uint64_t n = 0; n < 50; n++) {
        int fd = dial(port_endpoint(kit.server));
        size_t size = (size_t)rng_at(6, n, 0) % sizeof noise;

        for (size_t i = 0; i < size; i++)
            noise[i] = (char)rng_at(6, n, i + 1);
        if (n % 5 == 1)
            say(fd, request, strlen(request));
        if (n % 5 == 2) /* a good beginning */
            say(fd, greeting, sizeof greeting);
        if (n % 5 == 3)
            say(fd, greeting, 11);
        if (n % 5 == 4) { /* a good handshake */
            close(fd);
            fd = dial_as(port_endpoint(kit.server), stranger, kit_job);
        }
        say(fd, noise, size);
        close(fd);
    }
    /* Some of it may have been frames: then they were complained about. */
    for (int i = 0; i < 20; i++) {
        struct message message;
        struct err err;

        while (port_receive(kit.server, &message, &kit.frame, &err))
            assert_int_equal(err.code, ERR_PEER);
        port_wait(&kit.server, 1, NULL, 0, 2);
    }
    check_service(&kit);
    kit_close(&kit);
}

/* ---- a hostile server ---- */

static void test_connecting_port_trusts_nobody(void **state)
{
    static const struct peer server = {ROLE_SERVER, 1, 0};
    struct sockaddr_in address = endpoint_address("tcp://127.0.0.1:0");
    socklen_t size = sizeof address;
    int listener = socket(AF_INET, SOCK_STREAM, 0), fd;
    struct net *net = kit_net();
    struct frame frame = {0};
    unsigned char bytes[2048];
    char endpoint[ENDPOINT_MAX], from[2 * ENDPOINT_MAX];
    struct message message;
    struct port *client;

    (void)state;
    assert_int_equal(bind(listener, (struct sockaddr *)&address, size), 0);
    assert_int_equal(listen(listener, 8), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&address, &size), 0);
    snprintf(endpoint, sizeof endpoint, "tcp://127.0.0.1:%d", ntohs(address.sin_port));
    client = kit_connect(net, endpoint, kit_worker, kit_job);
    fd = accept(listener, NULL, NULL);
    shake_hands(fd, "ROUTER", "", 0);

    snprintf(from, sizeof from, "from %s: malformed message: a frame of 2", endpoint);
    say_frame(fd, "xx", 2, false);
    expect_complaint(client, &frame, from);
    say_frame(fd, "xxxx", 4, true);
    say_frame(fd, "xxxx", 4, true);
    say_frame(fd, "xxxx", 4, false);
    expect_complaint(client, &frame, "more than two frames");
    /* Of another run only its refusals are heard, and nothing is answered. */
    make_ack(&message, server, kit_job + 1);
    say_frame(fd, bytes, make_frame(bytes, &message, 0), false);
    expect_complaint(client, &frame, "refused server 1 of another run");
    message.kind = MESSAGE_REFUSAL;
    message.refusal.code = ERR_PEER;
    strcpy(message.refusal.text, "go away");
    say_frame(fd, bytes, make_frame(bytes, &message, 0), false);
    kit_receive(client, &message, &frame);
    assert_string_equal(message.refusal.text, "go away");
    make_ack(&message, server, kit_job);
    say_frame(fd, bytes, make_frame(bytes, &message, 0), false);
    kit_receive(client, &message, &frame);
    assert_int_equal(message.ack.clock, 9);
    assert_int_equal(recv(fd, bytes, 1, MSG_DONTWAIT), -1);
    frame_free(&frame);
    close(fd);
    close(listener);
    net_destroy(net);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_peer_by_hand_is_understood),
        cmocka_unit_test(test_wrong_frames_are_dropped),
        cmocka_unit_test(test_nobody_speaks_for_another),
        cmocka_unit_test(test_foreign_routing_ids_are_strangers),
        cmocka_unit_test(test_giant_frames_end_the_connection),
        cmocka_unit_test(test_random_frames_do_no_harm),
        cmocka_unit_test(test_plain_noise_does_no_harm),
        cmocka_unit_test(test_connecting_port_trusts_nobody),
    };

    return cmocka_run_group_tests_name("port_hostile", tests, NULL, NULL);
}

/* Where a port listens, and sockets that are handed down: to a port, and from a server
 * that was killed to its successor. */
#include <arpa/inet.h>
#include <signal.h>
#include <sys/wait.h>

#include "tests/unit/port_kit.h"

static void refuses_fd(struct net *net, int fd, const char *why)
{
    struct port *port;
    struct err err = {0};

    assert_int_equal(port_listen(net, "", fd, kit_server, kit_job, &port, &err),
                     -ERR_SYSTEM);
    assert_null(port);
    if (!strstr(err.text, why))
        fail_msg("\"%s\" does not say \"%s\"", err.text, why);
}

static void test_wrong_descriptors_are_refused(void **state)
{
    struct net *net = kit_net();
    int fd, pipes[2];

    (void)state;
    assert_int_equal(pipe(pipes), 0);
    refuses_fd(net, 100000, "is no socket to listen on");
    refuses_fd(net, pipes[0], "is no socket to listen on");
    fd = kit_tcp_listener(AF_INET, false);
    refuses_fd(net, fd, "is not a TCP socket (IPv4) that listens");
    close(fd);
    fd = kit_tcp_listener(AF_INET6, true);
    if (fd >= 0) { /* where there is IPv6 */
        refuses_fd(net, fd, "is not a TCP socket (IPv4) that listens");
        close(fd);
    }
    close(pipes[0]);
    close(pipes[1]);
    net_destroy(net);
}

static void test_bad_endpoints_are_refused(void **state)
{
    struct net *net = kit_net();
    struct port *taken = kit_listen(net, "tcp://127.0.0.1:*", -1, kit_server), *port;
    char longest[ENDPOINT_MAX + 1];
    struct err err = {0};

    (void)state;
    assert_int_equal(
        port_listen(net, port_endpoint(taken), -1, kit_server, kit_job, &port, &err),
        -ERR_SYSTEM);
    assert_non_null(strstr(err.text, "Address already in use"));
    assert_non_null(strstr(err.text, port_endpoint(taken)));
    assert_int_equal(
        port_listen(net, "tcp://192.0.2.1:*", -1, kit_server, kit_job, &port, &err),
        -ERR_SYSTEM);
    assert_int_equal(port_listen(net, "nonsense", -1, kit_server, kit_job, &port, &err),
                     -ERR_SYSTEM);
    assert_int_equal(
        port_connect(net, "tcp://127.0.0.1", kit_worker, kit_job, &port, &err),
        -ERR_SYSTEM);
    assert_null(port);
    memset(longest, 'x', ENDPOINT_MAX);
    longest[ENDPOINT_MAX] = 0;
    assert_int_equal(port_listen(net, longest, -1, kit_server, kit_job, &port, &err),
                     -ERR_INPUT);
    assert_int_equal(port_connect(net, longest, kit_worker, kit_job, &port, &err),
                     -ERR_INPUT);
    net_destroy(net);
}

/* The socket stays with who has handed it down, for the next process. */
static void test_handed_down_socket_survives_its_port(void **state)
{
    int fd = kit_tcp_listener(AF_INET, true);
    char endpoint[ENDPOINT_MAX] = "";

    (void)state;
    for (uint64_t round = 1; round <= 2; round++) {
        struct net *net = kit_net();
        struct port *server = kit_listen(net, "not used", fd, kit_server);
        struct port *client = kit_connect(net, port_endpoint(server), kit_worker,
                                          kit_job);
        struct frame frame = {0};
        struct message message;

        if (round == 1)
            strcpy(endpoint, port_endpoint(server));
        assert_string_equal(port_endpoint(server), endpoint);
        assert_int_equal(strncmp(endpoint, "tcp://127.0.0.1:", 16), 0);
        kit_ack(&message, round);
        kit_send(client, kit_server, &message, NULL);
        kit_receive(server, &message, &frame);
        assert_int_equal(message.ack.clock, round);
        frame_free(&frame);
        port_close(client);
        port_close(server);
        net_destroy(net);
    }
    close(fd);
}

/* ---- a server that is killed, and its successor ---- */

/* Answers every acknowledgement with the same, after `start` says go. */
static void serve_until_killed(int fd, int start, uint32_t incarnation)
{
    struct peer self = {ROLE_SERVER, 1, incarnation};
    struct frame frame = {0};
    struct message message;
    struct port *port;
    struct net *net;
    struct err err;
    char go;

    if (read(start, &go, 1) != 1 || net_create(&net, &err) ||
        port_listen(net, "", fd, self, kit_job, &port, &err))
        _exit(3);
    for (;;) {
        port_wait(&port, 1, NULL, 0, 1000);
        while (port_receive(port, &message, &frame, &err) > 0)
            port_send(port, kit_from(&message), &message, NULL, &err);
    }
}

static pid_t start_server(int fd, uint32_t incarnation, int *go)
{
    int ends[2];
    pid_t pid;

    assert_int_equal(pipe(ends), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        alarm(60); /* not to outlive a test that failed */
        close(ends[1]);
        serve_until_killed(fd, ends[0], incarnation);
    }
    close(ends[0]);
    *go = ends[1];
    return pid;
}

enum { CLOCKS_MAX = 100000 };

/* Sends new clocks and counts the echoes of each until `incarnation` has answered `n`
 * times. Returns the last clock that was sent. */
static uint64_t talk(struct port *client, struct frame *frame, unsigned char *echoes,
                     uint64_t clock, uint32_t incarnation, int n)
{
    int64_t deadline = clock_ms() + PATIENCE_MS;
    struct message message;
    struct err err;

    while (n > 0 && clock < CLOCKS_MAX - 1) {
        int rc;

        kit_ack(&message, clock + 1);
        rc = port_send(client, kit_server, &message, NULL, &err);
        if (rc == 0)
            clock++;
        else
            assert_int_equal(rc, -ERR_AGAIN);
        port_wait(&client, 1, NULL, 0, 1);
        while (port_receive(client, &message, frame, &err) > 0) {
            assert_in_range(message.ack.clock, 1, clock);
            echoes[message.ack.clock]++;
            n -= message.incarnation == incarnation;
        }
        if (clock_ms() > deadline)
            fail_msg("no answer from incarnation %u", incarnation);
    }
    return clock;
}

static void test_successor_of_killed_server_goes_on(void **state)
{
    static unsigned char echoes[CLOCKS_MAX];
    int fd = kit_tcp_listener(AF_INET, true), go[2];
    pid_t first = start_server(fd, 0, &go[0]), second = start_server(fd, 1, &go[1]);
    struct net *net = kit_net(); /* after the forks: it has threads */
    struct frame frame = {0};
    char endpoint[ENDPOINT_MAX];
    struct sockaddr_in address;
    socklen_t size = sizeof address;
    struct port *client;
    uint64_t clock;

    (void)state;
    memset(echoes, 0, sizeof echoes);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    snprintf(endpoint, sizeof endpoint, "tcp://127.0.0.1:%d", ntohs(address.sin_port));
    client = kit_connect(net, endpoint, kit_worker, kit_job);
    assert_int_equal(write(go[0], "g", 1), 1);
    clock = talk(client, &frame, echoes, 0, 0, 200);
    kill(first, SIGKILL);
    assert_int_equal(waitpid(first, NULL, 0), first);
    assert_int_equal(write(go[1], "g", 1), 1);
    clock = talk(client, &frame, echoes, clock, 1, 200);
    for (uint64_t i = 1; i <= clock; i++)
        assert_in_range(echoes[i], 0, 1); /* some may be lost, none is doubled */
    kill(second, SIGKILL);
    assert_int_equal(waitpid(second, NULL, 0), second);
    frame_free(&frame);
    net_destroy(net);
    close(fd);
    close(go[0]);
    close(go[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wrong_descriptors_are_refused),
        cmocka_unit_test(test_bad_endpoints_are_refused),
        cmocka_unit_test(test_handed_down_socket_survives_its_port),
        cmocka_unit_test(test_successor_of_killed_server_goes_on),
    };

    return cmocka_run_group_tests_name("port_listen", tests, NULL, NULL);
}

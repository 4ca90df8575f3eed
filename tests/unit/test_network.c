/* Which address of this host others are told. */
#include <arpa/inet.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "launch/network.h"

static bool has(const char *text, const char *part)
{
    return strstr(text, part) != NULL;
}

/* How many addresses beside loopback this host has; the first goes to `address`. */
static int other_addresses(char *address, size_t size)
{
    struct ifaddrs *list;
    int found = 0;

    assert_int_equal(getifaddrs(&list), 0);
    for (const struct ifaddrs *i = list; i; i = i->ifa_next) {
        const struct sockaddr_in *in =
            (const struct sockaddr_in *)(const void *)i->ifa_addr;

        if (!in || in->sin_family != AF_INET || ntohl(in->sin_addr.s_addr) >> 24 == 127)
            continue;
        if (found++ == 0)
            inet_ntop(AF_INET, &in->sin_addr, address, (socklen_t)size);
    }
    freeifaddrs(list);
    return found;
}

static void test_one_host(void **state)
{
    char address[64];
    struct err err;

    (void)state;
    assert_int_equal(network_choose("", true, address, sizeof address, &err), 0);
    assert_string_equal(address, "127.0.0.1");
    assert_int_equal(network_choose("127.0.0.0/8", true, address, sizeof address, &err),
                     0);
    assert_string_equal(address, "127.0.0.1");
    assert_int_equal(network_choose("127.0.0.1", true, address, sizeof address, &err),
                     0);
    assert_string_equal(address, "127.0.0.1");
}

static void test_no_such_network(void **state)
{
    char address[64];
    struct err err;

    (void)state;
    /* A network that is kept for documents. */
    assert_int_equal(
        network_choose("203.0.113.128/29", true, address, sizeof address, &err),
        -ERR_INPUT);
    assert_true(has(err.text, "no address of this host is in cluster.network "
                              "203.0.113.128/29; it has 127.0.0.1 (lo)"));
}

static void test_malformed(void **state)
{
    static const char *const cases[] = {"10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/",
                                        "10.0.0.0/8x", "10.0.0/8",    "host",
                                        "::1/64",      "/8"};
    char address[64];
    struct err err;

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        assert_int_equal(network_choose(cases[i], true, address, sizeof address, &err),
                         -ERR_INPUT);
        assert_true(has(err.text, cases[i]));
        assert_true(has(err.text, "expected an IPv4 network like 10.0.0.0/8"));
    }
}

/* Across hosts loopback is never right, whatever network was asked for. */
static void test_several_hosts(void **state)
{
    static const char *const cases[] = {"", "0.0.0.0/0", "96.0.0.0/3"};
    char address[64], other[64] = "";
    int others = other_addresses(other, sizeof other);
    struct err err;

    (void)state;
    assert_int_equal(
        network_choose("127.0.0.0/8", false, address, sizeof address, &err),
        -ERR_INPUT);
    assert_true(has(err.text, "cannot reach each other's loopback"));
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        int rc = network_choose(cases[i], false, address, sizeof address, &err);

        if (rc == 0)
            assert_int_not_equal(strncmp(address, "127.", 4), 0);
        else
            assert_int_equal(rc, -ERR_INPUT);
        if (i < 2 && others == 1) {
            assert_int_equal(rc, 0);
            assert_string_equal(address, other);
        }
        if (others == 0)
            assert_int_equal(rc, -ERR_INPUT);
    }
    if (others == 0)
        return;
    assert_int_equal(network_choose(other, false, address, sizeof address, &err), 0);
    assert_string_equal(address, other);
}

static void test_listen(void **state)
{
    struct sockaddr_in in = {.sin_family = AF_INET};
    char endpoint[128];
    struct err err;
    unsigned port;
    int fd, peer;

    (void)state;
    assert_int_equal(network_listen("127.0.0.1", &fd, endpoint, sizeof endpoint, &err),
                     0);
    assert_int_equal(sscanf(endpoint, "tcp://127.0.0.1:%u", &port), 1);
    assert_int_equal(fcntl(fd, F_GETFD) & FD_CLOEXEC, 0); /* children inherit it */
    in.sin_port = htons((uint16_t)port);
    in.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    peer = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(peer, (struct sockaddr *)&in, sizeof in), 0);
    close(peer);
    close(fd);

    assert_int_equal(
        network_listen("203.0.113.1", &fd, endpoint, sizeof endpoint, &err),
        -ERR_SYSTEM);
    assert_true(has(err.text, "cannot listen on 203.0.113.1: "));
    assert_int_equal(network_listen("nowhere", &fd, endpoint, sizeof endpoint, &err),
                     -ERR_SYSTEM);
}

static void test_host_id(void **state)
{
    char once[192], again[192];

    (void)state;
    network_host_id(once, sizeof once);
    network_host_id(again, sizeof again);
    assert_string_equal(once, again);
    assert_true(strlen(once) > 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_host),  cmocka_unit_test(test_no_such_network),
        cmocka_unit_test(test_malformed), cmocka_unit_test(test_several_hosts),
        cmocka_unit_test(test_listen),    cmocka_unit_test(test_host_id),
    };

    return cmocka_run_group_tests_name("network", tests, NULL, NULL);
}

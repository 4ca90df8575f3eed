/* What the tests of ports and members share. */
#ifndef ROWHOUSE_TESTS_UNIT_PORT_KIT_H
#define ROWHOUSE_TESTS_UNIT_PORT_KIT_H

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/net/port.h"

enum { PATIENCE_MS = 10000 };

static const uint64_t kit_job = 0x1122334455667788u;
static const struct peer kit_server = {ROLE_SERVER, 1, 0};
static const struct peer kit_worker = {ROLE_WORKER, 3, 2};

static inline struct net *kit_net(void)
{
    struct net *net;
    struct err err;

    if (net_create(&net, &err))
        fail_msg("%s", err.text);
    return net;
}

static inline struct port *kit_listen(struct net *net, const char *endpoint, int fd,
                                      struct peer self)
{
    struct port *port;
    struct err err;

    if (port_listen(net, endpoint, fd, self, kit_job, &port, &err))
        fail_msg("%s", err.text);
    return port;
}

static inline struct port *kit_connect(struct net *net, const char *endpoint,
                                       struct peer self, uint64_t job)
{
    struct port *port;
    struct err err;

    if (port_connect(net, endpoint, self, job, &port, &err))
        fail_msg("%s", err.text);
    return port;
}

/* Sends, waiting while there is no connection or no room. */
static inline void kit_send(struct port *port, struct peer to, struct message *message,
                            struct buffer *body)
{
    int64_t deadline = clock_ms() + PATIENCE_MS;
    struct err err = {0};
    int rc;

    while ((rc = port_send(port, to, message, body, &err)) == -ERR_AGAIN) {
        if (clock_ms() > deadline)
            fail_msg("cannot send: %s", err.text);
        usleep(50);
    }
    if (rc)
        fail_msg("%s", err.text);
}

/* Waits for one message or error: what port_receive() returned. */
static inline int kit_receive_any(struct port *port, struct message *message,
                                  struct frame *frame, struct err *err)
{
    int64_t deadline = clock_ms() + PATIENCE_MS;
    int rc;

    while ((rc = port_receive(port, message, frame, err)) == 0) {
        if (clock_ms() > deadline)
            fail_msg("nothing came by %s", port_endpoint(port));
        port_wait(&port, 1, NULL, 0, 100);
    }
    return rc;
}

static inline void kit_receive(struct port *port, struct message *message,
                               struct frame *frame)
{
    struct err err;

    if (kit_receive_any(port, message, frame, &err) < 0)
        fail_msg("%s", err.text);
}

static inline void kit_ack(struct message *message, uint64_t clock)
{
    message->kind = MESSAGE_ACK;
    message->ack = (struct ack){.clock = clock};
}

static inline struct peer kit_from(const struct message *message)
{
    return (struct peer){message->role, message->sender, message->incarnation};
}

/* A TCP socket on a free port of the loopback; -1 where there is no such family. */
static inline int kit_tcp_listener(int family, bool listens)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET};
    struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
    int fd = socket(family, SOCK_STREAM, 0);

    v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    v6.sin6_addr = in6addr_loopback;
    if (fd < 0 ||
        bind(fd, family == AF_INET ? (struct sockaddr *)&v4 : (struct sockaddr *)&v6,
             family == AF_INET ? sizeof v4 : sizeof v6) ||
        (listens && listen(fd, 16))) {
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}

/* A folder for ipc sockets; the caller removes it. */
static inline void kit_folder(char *path, size_t size)
{
    const char *tmp = getenv("TMPDIR");

    snprintf(path, size, "%s/rowhouse-XXXXXX", tmp ? tmp : "/tmp");
    if (!mkdtemp(path))
        fail_msg("cannot make %s", path);
}

#endif

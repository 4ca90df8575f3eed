/* The only user of ZeroMQ. Options, frames and errors of libzmq end here. */
#include "common/net/port.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zmq.h>

enum {
    LENGTH_BYTES = 4,      /* in front of the header */
    ROUTING_ID_BYTES = 12, /* the routing id of every peer of ours */
    LINGER_MS = 1000,
    RECONNECT_MS = 10,
    RECONNECT_MAX_MS = 200,
    BACKLOG = 1024,
    SOCKETS_MAX = 8192, /* in one process; the threads of a local run share it */
};

_Static_assert(sizeof((struct frame){0}.opaque) >= 2 * sizeof(zmq_msg_t),
               "two ZeroMQ frames fit into one of ours");

struct net {
    void *context;
    pthread_mutex_t lock; /* of the list */
    struct port *ports;
#ifdef __SANITIZE_THREAD__
    uint32_t handed; /* see hand_over() */
#endif
};

struct port {
    void *socket;
    struct net *net; /* borrowed */
    struct port *next;
    bool listens;
    size_t inline_max; /* bodies up to this travel in frame 0 */
    struct sender self;
    char endpoint[ENDPOINT_MAX];
    unsigned char header[MESSAGE_HEADER_MAX]; /* of the message that is being sent */
};

struct routing_id {
    unsigned char bytes[ROUTING_ID_BYTES];
};

/* libzmq passes messages between threads in a way that the thread sanitizer does not
 * see; here it is told. Both are nothing in an ordinary build. */
static void hand_over(struct net *net)
{
#ifdef __SANITIZE_THREAD__
    __atomic_fetch_add(&net->handed, 1, __ATOMIC_ACQ_REL);
#else
    (void)net;
#endif
}

static void take_over(struct net *net)
{
#ifdef __SANITIZE_THREAD__
    __atomic_fetch_add(&net->handed, 0, __ATOMIC_ACQ_REL);
#else
    (void)net;
#endif
}

/* ---- names ---- */

static const char *role_name(uint32_t role)
{
    switch (role) {
    case ROLE_SERVER:
        return "server";
    case ROLE_WORKER:
        return "worker";
    case ROLE_COORDINATOR:
        return "coordinator";
    default:
        return "stranger";
    }
}

static void put_u32(unsigned char *to, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        to[i] = (unsigned char)(value >> 8 * i);
}

static uint32_t get_u32(const unsigned char *from)
{
    return (uint32_t)from[0] | (uint32_t)from[1] << 8 | (uint32_t)from[2] << 16 |
           (uint32_t)from[3] << 24;
}

/* By its token a stale process of another run gets another id, and cannot push a live
 * peer off its connection. ZeroMQ keeps ids that begin with a zero for itself: the role
 * is none. */
static struct routing_id routing_id(const struct sender *who)
{
    struct routing_id id = {0};

    put_u32(id.bytes, who->role | who->index << 8);
    put_u32(id.bytes + 4, who->incarnation);
    put_u32(id.bytes + 8, (uint32_t)(who->job ^ who->job >> 32));
    return id;
}

/* ---- the context ---- */

static int zmq_error(struct err *err, const char *what, const char *endpoint)
{
    return err_set(err, ERR_SYSTEM, "%s %s: %s", what, endpoint,
                   zmq_strerror(zmq_errno()));
}

int net_create(struct net **out, struct err *err)
{
    struct net *net = calloc(1, sizeof *net);

    *out = NULL;
    if (!net)
        return err_set(err, ERR_MEMORY, "no memory for the network");
    net->context = zmq_ctx_new();
    if (!net->context) {
        zmq_error(err, "cannot start", "ZeroMQ");
        free(net);
        return -err->code;
    }
    zmq_ctx_set(net->context, ZMQ_BLOCKY, 0);
    zmq_ctx_set(net->context, ZMQ_IO_THREADS, 1);
    zmq_ctx_set(net->context, ZMQ_MAX_SOCKETS, SOCKETS_MAX);
    pthread_mutex_init(&net->lock, NULL);
    *out = net;
    return 0;
}

void net_destroy(struct net *net)
{
    if (!net)
        return;
    while (net->ports)
        port_close(net->ports);
    while (zmq_ctx_term(net->context) && zmq_errno() == EINTR)
        ;
    pthread_mutex_destroy(&net->lock);
    free(net);
}

/* ---- ports ---- */

static int set_options(const struct port *port)
{
    struct {
        int name, value;
    } option[] = {
        {ZMQ_LINGER, LINGER_MS},
        {ZMQ_SNDHWM, PORT_QUEUE_MAX},
        {ZMQ_RCVHWM, PORT_QUEUE_MAX},
        {ZMQ_IPV6, 0},
        {ZMQ_RECONNECT_IVL, RECONNECT_MS},
        {ZMQ_RECONNECT_IVL_MAX, RECONNECT_MAX_MS},
        {ZMQ_BACKLOG, BACKLOG},
#ifndef MUTANT_ROUTER_MANDATORY
        {port->listens ? ZMQ_ROUTER_MANDATORY : ZMQ_IMMEDIATE, 1},
#endif
        {port->listens ? ZMQ_ROUTER_HANDOVER : ZMQ_IMMEDIATE, 1},
    };
    int64_t frame_max = MESSAGE_BODY_MAX;
    struct routing_id id = routing_id(&port->self);

    for (size_t i = 0; i < sizeof option / sizeof *option; i++)
        if (zmq_setsockopt(port->socket, option[i].name, &option[i].value,
                           sizeof option[i].value))
            return -1;
    if (zmq_setsockopt(port->socket, ZMQ_MAXMSGSIZE, &frame_max, sizeof frame_max))
        return -1;
    return port->listens
               ? 0
               : zmq_setsockopt(port->socket, ZMQ_ROUTING_ID, id.bytes, sizeof id);
}

/* A port that neither listens nor connects yet, in the list of its net. */
static int port_create(struct net *net, bool listens, struct peer self, uint64_t job,
                       struct port **out, struct err *err)
{
    struct port *port = calloc(1, sizeof *port);

    *out = NULL;
    if (!port)
        return err_set(err, ERR_MEMORY, "no memory for a socket");
    port->net = net;
    port->listens = listens;
    port->inline_max = MESSAGE_INLINE_MAX;
    port->self = (struct sender){job, self.role, self.index, self.incarnation};
    port->socket = zmq_socket(net->context, listens ? ZMQ_ROUTER : ZMQ_DEALER);
    if (!port->socket) {
        zmq_error(err, "cannot make", "a socket");
        free(port);
        return -err->code;
    }
    pthread_mutex_lock(&net->lock);
    port->next = net->ports;
    net->ports = port;
    pthread_mutex_unlock(&net->lock);
    if (set_options(port)) {
        zmq_error(err, "cannot set the options of", "a socket");
        port_close(port);
        return -err->code;
    }
    *out = port;
    return 0;
}

void port_close(struct port *port)
{
    struct port **link;

    if (!port)
        return;
    pthread_mutex_lock(&port->net->lock);
    for (link = &port->net->ports; *link != port; link = &(*link)->next)
        ;
    *link = port->next;
    pthread_mutex_unlock(&port->net->lock);
    zmq_close(port->socket);
    free(port);
}

const char *port_endpoint(const struct port *port)
{
    return port->endpoint;
}

static int check_endpoint(const char *endpoint, struct err *err)
{
    if (strlen(endpoint) < ENDPOINT_MAX)
        return 0;
    return err_set(err, ERR_INPUT, "the endpoint %s is longer than %d characters",
                   endpoint, ENDPOINT_MAX - 1);
}

int port_connect(struct net *net, const char *endpoint, struct peer self, uint64_t job,
                 struct port **out, struct err *err)
{
    struct port *port;

    *out = NULL;
    if (check_endpoint(endpoint, err) || port_create(net, false, self, job, &port, err))
        return -err->code;
    snprintf(port->endpoint, sizeof port->endpoint, "%s", endpoint);
    if (zmq_connect(port->socket, endpoint)) {
        zmq_error(err, "cannot connect to", endpoint);
        port_close(port);
        return -err->code;
    }
    *out = port;
    return 0;
}

/* Duplicates a listening TCP socket for ZeroMQ, and says where it listens. */
static int take_listener(int fd, char *endpoint, int *copy, struct err *err)
{
    struct sockaddr_in address = {0};
    socklen_t size = sizeof address;
    char ip[INET_ADDRSTRLEN];
    int listens = 0;
    socklen_t listens_size = sizeof listens;

    if (getsockname(fd, (struct sockaddr *)&address, &size) ||
        getsockopt(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens, &listens_size))
        return err_system(err, "descriptor %d is no socket to listen on", fd);
    if (address.sin_family != AF_INET || !listens)
        return err_set(err, ERR_SYSTEM,
                       "descriptor %d is not a TCP socket (IPv4) that listens", fd);
    inet_ntop(AF_INET, &address.sin_addr, ip, sizeof ip);
    snprintf(endpoint, ENDPOINT_MAX, "tcp://%s:%d", ip, ntohs(address.sin_port));
    *copy = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (*copy < 0)
        return err_system(err, "cannot duplicate the socket of %s", endpoint);
    /* A connection that goes away before accept() must not block ZeroMQ's thread. */
    fcntl(*copy, F_SETFL, fcntl(*copy, F_GETFL) | O_NONBLOCK);
    return 0;
}

static int bind_listener(struct port *port, int fd, struct err *err)
{
    int copy;

    if (take_listener(fd, port->endpoint, &copy, err))
        return -err->code;
    if (zmq_setsockopt(port->socket, ZMQ_USE_FD, &copy, sizeof copy) ||
        zmq_bind(port->socket, port->endpoint)) {
        zmq_error(err, "cannot listen on", port->endpoint);
        close(copy);
        return -err->code;
    }
    return 0;
}

static int bind_endpoint(struct port *port, const char *endpoint, struct err *err)
{
    size_t size = sizeof port->endpoint;

    if (check_endpoint(endpoint, err))
        return -err->code;
    if (zmq_bind(port->socket, endpoint) ||
        zmq_getsockopt(port->socket, ZMQ_LAST_ENDPOINT, port->endpoint, &size))
        return zmq_error(err, "cannot listen on", endpoint);
    return 0;
}

int port_listen(struct net *net, const char *endpoint, int fd, struct peer self,
                uint64_t job, struct port **out, struct err *err)
{
    struct port *port;

    *out = NULL;
    if (port_create(net, true, self, job, &port, err))
        return -err->code;
    if (fd >= 0 ? bind_listener(port, fd, err) : bind_endpoint(port, endpoint, err)) {
        port_close(port);
        return -err->code;
    }
    *out = port;
    return 0;
}

/* ---- sending ---- */

/* ZeroMQ calls it when a body has left, from any thread. */
static void drop_body(void *data, void *buffer)
{
    (void)data;
    buffer_unref(buffer);
}

/* Frame 0, with the body when there is one. */
static int make_head(zmq_msg_t *head, const unsigned char *header, size_t header_bytes,
                     const struct buffer *body, struct err *err)
{
    size_t inlined = body ? body->used : 0;
    unsigned char *to;

    if (zmq_msg_init_size(head, LENGTH_BYTES + header_bytes + inlined))
        return err_set(err, ERR_MEMORY, "no memory to send a message");
    to = zmq_msg_data(head);
    put_u32(to, (uint32_t)header_bytes);
    memcpy(to + LENGTH_BYTES, header, header_bytes);
    if (inlined > 0)
        memcpy(to + LENGTH_BYTES + header_bytes, body->data, inlined);
    return 0;
}

/* Frame 1: the body itself, by reference. */
static int make_tail(zmq_msg_t *tail, struct buffer *body, struct err *err)
{
    if (zmq_msg_init_data(tail, body->data, body->used, drop_body, body))
        return err_set(err, ERR_MEMORY, "no memory to send a message");
    buffer_ref(body);
    return 0;
}

static int send_error(const struct port *port, struct err *err)
{
    if (zmq_errno() == EAGAIN)
        return err_set(err, ERR_AGAIN, "the queue to %s is full", port->endpoint);
    if (zmq_errno() == EHOSTUNREACH)
        return err_set(err, ERR_PEER, "the peer is not connected to %s",
                       port->endpoint);
    return zmq_error(err, "cannot send by", port->endpoint);
}

static int send_frame(const struct port *port, zmq_msg_t *frame, int flags,
                      struct err *err)
{
    while (zmq_msg_send(frame, port->socket, flags | ZMQ_DONTWAIT) < 0)
        if (zmq_errno() != EINTR)
            return send_error(port, err);
    return 0;
}

static int send_routing_id(const struct port *port, const struct routing_id *to,
                           struct err *err)
{
    while (zmq_send(port->socket, to->bytes, sizeof to->bytes,
                    ZMQ_SNDMORE | ZMQ_DONTWAIT) < 0)
        if (zmq_errno() != EINTR)
            return send_error(port, err);
    return 0;
}

void port_set_inline(struct port *port, size_t bytes)
{
    port->inline_max = bytes;
}

/* Sends all frames of a message. ZeroMQ sees to it that this is all or nothing: a
 * ROUTER asks for room when it gets the routing id and takes the rest then, a DEALER
 * asks with frame 0, and both take a begun message back when the connection breaks. */
static int send_frames(const struct port *port, const struct routing_id *to,
                       zmq_msg_t *head, zmq_msg_t *tail, struct err *err)
{
    hand_over(port->net);
    if (port->listens && send_routing_id(port, to, err))
        return -err->code;
    if (send_frame(port, head, tail ? ZMQ_SNDMORE : 0, err))
        return -err->code;
    return tail ? send_frame(port, tail, 0, err) : 0;
}

static int send_to(struct port *port, const struct routing_id *to,
                   const struct message *message, struct buffer *body, struct err *err)
{
    size_t header_bytes = message_encode_from(&port->self, message, port->header);
    bool large = body && body->used > port->inline_max;
    zmq_msg_t head, tail;
    int rc;

    if (large && make_tail(&tail, body, err))
        return -err->code;
    rc = make_head(&head, port->header, header_bytes, large ? NULL : body, err);
    if (!rc) {
        rc = send_frames(port, to, &head, large ? &tail : NULL, err);
        zmq_msg_close(&head); /* what ZeroMQ has taken is empty now */
    }
    if (large)
        zmq_msg_close(&tail);
    return rc;
}

int port_send(struct port *port, struct peer to, const struct message *message,
              struct buffer *body, struct err *err)
{
    struct sender whom = {port->self.job, to.role, to.index, to.incarnation};
    struct routing_id id = routing_id(&whom);
    size_t bytes = body ? body->used : 0;
    size_t expected = message_layout(message->kind, message->section, message->sections,
                                     NULL);

    if (bytes != expected)
        return err_set(err, ERR_INPUT,
                       "cannot send a body of %zu bytes where the sections say %zd",
                       bytes, (ssize_t)expected);
    return send_to(port, &id, message, body, err);
}

/* ---- receiving ---- */

static zmq_msg_t *frame_head(struct frame *frame)
{
    return (zmq_msg_t *)(void *)frame->opaque;
}

static zmq_msg_t *frame_tail(struct frame *frame)
{
    return frame_head(frame) + 1;
}

/* Closing a zeroed or closed zmq_msg_t does nothing. */
void frame_release(struct frame *frame)
{
    zmq_msg_close(frame_head(frame));
    zmq_msg_close(frame_tail(frame));
}

void frame_free(struct frame *frame)
{
    frame_release(frame);
    free(frame->aligned);
    frame->aligned = NULL;
    frame->aligned_capacity = 0;
}

/* Receives one frame: 1; 0: none waits. */
static int receive_frame(const struct port *port, zmq_msg_t *frame, struct err *err)
{
    zmq_msg_init(frame);
    while (zmq_msg_recv(frame, port->socket, ZMQ_DONTWAIT) < 0) {
        if (zmq_errno() == EINTR)
            continue;
        if (zmq_errno() == EAGAIN)
            return 0;
        return zmq_error(err, "cannot receive by", port->endpoint);
    }
    return 1;
}

/* Receives all frames of one message, the first `slots` into slot[], and returns how
 * many there were, slots + 1 for any number above; 0: no message waits. What is too
 * much is dropped on the way. */
static int receive_frames(const struct port *port, zmq_msg_t *const *slot, int slots,
                          struct err *err)
{
    zmq_msg_t extra;
    int n = 0;
    bool more;

    zmq_msg_init(&extra);
    do {
        zmq_msg_t *frame = n < slots ? slot[n] : &extra;
        int rc = receive_frame(port, frame, err);

        if (rc <= 0) /* ZeroMQ hands over whole messages: n is 0 then */
            return rc;
        more = zmq_msg_more(frame);
        if (n >= slots)
            zmq_msg_close(&extra);
        if (n <= slots)
            n++;
    } while (more);
    return n;
}

/* Points message->body at the body's bytes or at an aligned copy of them. */
static int place_body(struct message *message, struct frame *frame,
                      const unsigned char *bytes, struct err *err)
{
    size_t size = message->body_bytes, capacity = MESSAGE_INLINE_MAX;

    message->body = frame->opaque; /* aligned, for nobody to read when size is 0 */
    if (size == 0)
        return 0;
    message->body = bytes;
    if ((uintptr_t)bytes % 8 == 0)
        return 0;
    if (size > frame->aligned_capacity) {
        while (capacity < size)
            capacity *= 2;
        free(frame->aligned);
        frame->aligned = aligned_alloc(64, capacity);
        frame->aligned_capacity = frame->aligned ? capacity : 0;
        if (!frame->aligned)
            return err_set(err, ERR_MEMORY, "no memory for a body of %zu bytes", size);
    }
    memcpy(frame->aligned, bytes, size);
    message->body = frame->aligned;
    return 0;
}

/* Takes a message out of its one or two frames. */
static int open_frames(struct message *message, struct frame *frame, bool has_tail,
                       struct err *err)
{
    const unsigned char *head = zmq_msg_data(frame_head(frame));
    size_t size = zmq_msg_size(frame_head(frame)), header_bytes, body_bytes;
    const unsigned char *body;

    if (size < LENGTH_BYTES)
        return err_set(err, ERR_PEER, "malformed message: a frame of %zu bytes", size);
    header_bytes = get_u32(head);
    if (header_bytes > size - LENGTH_BYTES)
        return err_set(err, ERR_PEER,
                       "malformed message: a header of %zu bytes in a frame of %zu",
                       header_bytes, size);
    body = head + LENGTH_BYTES + header_bytes;
    body_bytes = size - LENGTH_BYTES - header_bytes;
    if (has_tail && body_bytes > 0)
        return err_set(err, ERR_PEER, "malformed message: two bodies");
    if (has_tail) {
        body = zmq_msg_data(frame_tail(frame));
        body_bytes = zmq_msg_size(frame_tail(frame));
    }
    if (message_decode(message, head + LENGTH_BYTES, header_bytes, body_bytes, err))
        return -err->code;
    return place_body(message, frame, body, err);
}

/* Does the message come over the connection of the peer that it says it is from? */
static int check_sender(const struct message *message, zmq_msg_t *from, struct err *err)
{
    struct sender who = {message->job, message->role, message->sender,
                         message->incarnation};
    struct routing_id id = routing_id(&who);
    bool same = zmq_msg_size(from) == sizeof id.bytes &&
                memcmp(zmq_msg_data(from), id.bytes, sizeof id.bytes) == 0;

    if (same)
        return 0;
#ifdef MUTANT_WIRE_SENDER
    return 0;
#endif
    return err_set(err, ERR_PEER,
                   "malformed message: it says to be from %s %u, incarnation %u, but "
                   "the connection is another's",
                   role_name(who.role), who.index, who.incarnation);
}

/* Refuses a message of another run, and tells its sender, who may be a process that was
 * left over. Best effort: the refusal is small, and who does not read it gets none. */
static int refuse(struct port *port, const struct message *message, struct err *err)
{
    struct sender who = {message->job, message->role, message->sender,
                         message->incarnation};
    struct routing_id id = routing_id(&who);
    struct message answer;
    struct err ignored;

    if (port->listens && message->kind != MESSAGE_REFUSAL) {
        answer.kind = MESSAGE_REFUSAL;
        answer.refusal.code = ERR_PEER;
        snprintf(answer.refusal.text, sizeof answer.refusal.text,
                 "%s listens for another run (token %016llx, yours is %016llx)",
                 port->endpoint, (unsigned long long)port->self.job,
                 (unsigned long long)message->job);
        send_to(port, &id, &answer, NULL, &ignored);
    }
    return err_set(err, ERR_PEER, "refused %s %u of another run (token %016llx)",
                   role_name(who.role), who.index, (unsigned long long)who.job);
}

static int check_job(struct port *port, const struct message *message, struct err *err)
{
    bool same = message->job == port->self.job;

    if (same || (!port->listens && message->kind == MESSAGE_REFUSAL))
        return 0;
#ifdef MUTANT_WIRE_JOB
    return 0;
#endif
    return refuse(port, message, err);
}

/* Says in `err` who has sent something malformed, as far as the connection tells. */
static int blame(const struct port *port, zmq_msg_t *from, struct err *err)
{
    const unsigned char *id = zmq_msg_data(from);

    if (err->code != ERR_PEER)
        return -err->code;
    if (!port->listens)
        return err_prefix(err, "from %s", port->endpoint);
    if (zmq_msg_size(from) != ROUTING_ID_BYTES ||
        strcmp(role_name(id[0]), "stranger") == 0)
        return err_prefix(err, "from a stranger");
    return err_prefix(err, "from %s %u, incarnation %u", role_name(id[0]),
                      get_u32(id) >> 8, get_u32(id + 4));
}

static int open_message(struct port *port, struct message *message, struct frame *frame,
                        zmq_msg_t *from, int frames, struct err *err)
{
    if (frames != 1 && frames != 2) {
        err_set(err, ERR_PEER, "malformed message: %s",
                frames > 2 ? "more than two frames" : "no frame");
        return blame(port, from, err);
    }
    if (open_frames(message, frame, frames == 2, err) ||
        (port->listens && check_sender(message, from, err)))
        return blame(port, from, err);
    return check_job(port, message, err);
}

int port_receive(struct port *port, struct message *message, struct frame *frame,
                 struct err *err)
{
    zmq_msg_t from;
    zmq_msg_t *const slot[] = {&from, frame_head(frame), frame_tail(frame)};
    int first = port->listens ? 0 : 1; /* a ROUTER puts the peer's id in front */
    int n, rc = 0;

    frame_release(frame);
    zmq_msg_init(&from);
    n = receive_frames(port, slot + first, 3 - first, err);
    take_over(port->net);
    if (n > 0)
        rc = open_message(port, message, frame, &from, n - 1 + first, err);
    zmq_msg_close(&from);
    if (n <= 0)
        return n;
    if (rc) {
        frame_release(frame);
        return rc;
    }
    return 1;
}

int port_wait(struct port *const *ports, uint32_t count, const int *fds,
              uint32_t fd_count, int timeout_ms)
{
    zmq_pollitem_t item[PORT_WAIT_MAX];
    int ready;

    assert(count <= PORT_WAIT_MAX && fd_count <= PORT_WAIT_MAX - count);
    assert(timeout_ms >= 0);
    for (uint32_t i = 0; i < count; i++)
        item[i] = (zmq_pollitem_t){.socket = ports[i]->socket, .events = ZMQ_POLLIN};
    for (uint32_t i = 0; i < fd_count; i++)
        item[count + i] = (zmq_pollitem_t){.fd = fds[i], .events = ZMQ_POLLIN};
    ready = zmq_poll(item, (int)(count + fd_count), timeout_ms);
    return ready > 0 ? ready : 0;
}

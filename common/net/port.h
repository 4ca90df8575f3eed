/* Sockets: the only user of ZeroMQ. A port sends and receives whole messages.
 *
 * A listening port (ROUTER) answers many peers, a connecting one (DEALER) talks to
 * one. Ports belong to one thread each (they may be handed over, with a lock or a new
 * thread between). Queues are bounded: a full one answers -ERR_AGAIN, never drops. A
 * peer that dies and returns may lose messages, never double them; acknowledgements and
 * resends are the caller's. common/net/README.md tells what was chosen and why. */
#ifndef ROWHOUSE_COMMON_NET_PORT_H
#define ROWHOUSE_COMMON_NET_PORT_H

#include <stdbool.h>
#include <stdint.h>

#include "common/err.h"
#include "common/net/buffer.h"
#include "common/net/message.h"

enum {
    ENDPOINT_MAX = 128,
    PORT_QUEUE_MAX = 64,  /* messages waiting on each side of a connection */
    PORT_WAIT_MAX = 1280, /* ports and descriptors in one port_wait() */
};

struct net;  /* a ZeroMQ context: one a process */
struct port; /* a socket */

/* Who: a peer of a listening port. Each of its ports connects to another endpoint: of
 * two connections from one peer to one listening port only the newer lives. A peer that
 * has come back has a higher incarnation and is another peer. index < 2^24. */
struct peer {
    uint32_t role, index, incarnation;
};

/* A received frame set; a message's body points into it until frame_release(). */
struct frame {
    _Alignas(16) unsigned char opaque[128]; /* two zmq_msg_t */
    unsigned char *aligned; /* copy of a body that was not aligned, or NULL */
    size_t aligned_capacity;
};

/* Any thread. */
int net_create(struct net **net, struct err *err);
/* Closes what is still open (its threads must have ended); waits for unsent messages at
 * most a second. Afterwards no buffer is referenced any more. NULL is fine. */
void net_destroy(struct net *net);

/* Listens on `endpoint` ("tcp://127.0.0.1:*", "ipc://...", "inproc://..."), or, with
 * fd >= 0, on that listening TCP socket (IPv4; `endpoint` is not used then). The port
 * has a duplicate of its own, so the socket stays with the caller and outlives this
 * process when another one holds it; it becomes non-blocking for all of them. `self`
 * names the sender in every message. -ERR_SYSTEM: cannot listen, a sentence says where
 * and why. */
int port_listen(struct net *net, const char *endpoint, int fd, struct peer self,
                uint64_t job, struct port **port, struct err *err);
/* Connects; never blocks, also when nobody listens yet (inproc too): it tries again in
 * the background, every 10 to 200 ms. `self` names the sender in every message. */
int port_connect(struct net *net, const char *endpoint, struct peer self, uint64_t job,
                 struct port **port, struct err *err);
/* Messages that were sent already still leave, in the background. NULL is fine. */
void port_close(struct port *port);

/* The endpoint that peers connect to, with the real port number. */
const char *port_endpoint(const struct port *port);

/* From now on bodies of up to `bytes` travel in frame 0 with the header, where the
 * program has MESSAGE_INLINE_MAX. For the benchmark that measures what is best; peers
 * need not know. */
void port_set_inline(struct port *port, size_t bytes);

/* Sends `message` (its job and sender are filled in here) with the first body->used
 * bytes of `body`, or without a body when NULL. A large body is not copied: the port
 * takes its own reference, and the bytes must not change until all references are
 * back at one. `to` is ignored by a connecting port.
 * 0; -ERR_AGAIN: the queue is full or (connecting port) there is no connection now;
 * -ERR_PEER: no such peer is connected; -ERR_INPUT: the body is not of the size that
 * the sections say; -ERR_MEMORY. A message is sent whole or not at all. */
int port_send(struct port *port, struct peer to, const struct message *message,
              struct buffer *body, struct err *err);

/* Receives one message if there is one: 1 and *message, *frame; 0: none waits;
 * -ERR_PEER: something malformed arrived and was dropped (a sentence says from whom);
 * the port goes on. Messages of another job are answered with a refusal by a listening
 * port, and reported as -ERR_PEER; a connecting port gets only the refusals of another
 * job. The caller zeroes `frame` once, releases it after each message, and frees it
 * with frame_free() at the end. message->body is never NULL and 8-byte aligned. */
int port_receive(struct port *port, struct message *message, struct frame *frame,
                 struct err *err);
void frame_release(struct frame *frame);
void frame_free(struct frame *frame);

/* Waits until one of `ports` can be read or one of `fds` is readable, at most
 * `timeout_ms` (-1 is not allowed). Returns how many are ready; 0: time is up or a
 * signal came. At most PORT_WAIT_MAX of both. */
int port_wait(struct port *const *ports, uint32_t count, const int *fds,
              uint32_t fd_count, int timeout_ms);

#endif

/* The ends of `bench wire`.
 *
 * Over the port a pull is a body that goes one way: its clock says what the far end
 * does with it. Over the raw connection a command goes ahead of the bodies. */
#include "launch/bench_wire_ends.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "common/clock.h"

enum {
    BUFFERS_MAX = 1 << 30,
    WAIT_MS = 20,
    CREDIT_BYTES = 16 << 20, /* of bodies under way */
    CHUNK_BYTES = 1 << 20,   /* raw: bodies of a command */
};

/* The clock of a pull: what to do with it. */
enum wish { WISH_NOTHING, WISH_ACK, WISH_ECHO };

/* --- both ends of the port -------------------------------------------------------- */

struct end {
    struct wire *wire;
    struct net *net;
    struct buffer_pool *pool;
    struct port *port;
    struct frame frame;
    struct message in, out;
    struct buffer *body;
    unsigned char *copy; /* inproc: where bodies are copied to */
};

static int end_open(struct end *end, struct wire *wire, struct err *err)
{
    bool apart = wire->transport != TRANSPORT_INPROC;

    *end = (struct end){.wire = wire, .net = wire->net, .pool = wire->pool};
    end->copy = apart ? NULL : malloc(MESSAGE_BODY_MAX);
    if (!apart && !end->copy)
        return err_set(err, ERR_MEMORY, "no memory for a copy of bodies");
    if (apart && net_create(&end->net, err))
        return -err->code;
    if (apart)
        end->pool = buffer_pool_create(BUFFERS_MAX);
    return end->pool ? 0 : err_set(err, ERR_MEMORY, "no memory for message bodies");
}

static void end_close(struct end *end)
{
    bool apart = end->wire->transport != TRANSPORT_INPROC;

    frame_free(&end->frame);
    port_close(end->port);
    buffer_unref(end->body);
    free(end->copy);
    if (apart) {
        net_destroy(end->net);
        buffer_pool_destroy(end->pool);
    }
}

/* A body of that size in end->body, filled once. */
static int end_body(struct end *end, size_t bytes, struct err *err)
{
    if (end->body && end->body->used == bytes)
        return 0;
    buffer_unref(end->body);
    end->body = buffer_get(end->pool, bytes);
    if (!end->body)
        return err_set(err, ERR_MEMORY, "no memory for a body of %zu bytes", bytes);
    memset(end->body->data, 1, bytes);
    end->body->used = bytes;
    return 0;
}

/* Sends end->out; 0, -ERR_AGAIN or an error. */
static int end_send(struct end *end, struct peer to, struct err *err)
{
    size_t bytes = message_layout(end->out.kind, end->out.section, end->out.sections,
                                  NULL);

    if (bytes && end_body(end, bytes, err))
        return -err->code;
    port_set_inline(end->port, end->wire->inline_max);
    return port_send(end->port, to, &end->out, bytes ? end->body : NULL, err);
}

/* 1 a message is in end->in, 0 none waits. */
static int end_receive(struct end *end, struct err *err)
{
    int rc = port_receive(end->port, &end->in, &end->frame, err);

    if (rc > 0 && end->copy && end->in.body_bytes)
        memcpy(end->copy, end->in.body, end->in.body_bytes);
    return rc;
}

/* --- the far end of the port ------------------------------------------------------ */

static int far_answer(struct end *end, struct err *err)
{
    struct peer to = {end->in.role, end->in.sender, end->in.incarnation};
    double until = clock_seconds() + RIG_TIMEOUT_S;
    int rc;

    if (end->in.kind != MESSAGE_PULL || end->in.pull.clock == WISH_NOTHING)
        return 0;
    end->out.sections = 0;
    if (end->in.pull.clock == WISH_ECHO) {
        end->out.kind = MESSAGE_ROWS;
        end->out.rows.request = end->in.pull.request;
        end->out.sections = 1;
        end->out.section[0] = (struct section){.rows = end->in.section[0].rows,
                                               .width = 2};
    } else {
        end->out.kind = MESSAGE_ACK;
        end->out.ack = (struct ack){.clock = end->in.pull.request};
    }
    while ((rc = end_send(end, to, err)) == -ERR_AGAIN && clock_seconds() < until)
        port_wait(&end->port, 1, NULL, 0, 0);
    return rc;
}

void wire_far_port(struct wire *wire)
{
    struct peer self = {ROLE_SERVER, 0, 0};
    struct end end;
    struct err err;
    int rc = end_open(&end, wire, &err);

    if (rc == 0)
        rc = port_listen(end.net, wire->endpoint, wire->listen_fd, self, wire->job,
                         &end.port, &err);
    while (rc >= 0 && !wire->stop) {
        port_wait(&end.port, 1, NULL, 0, WAIT_MS);
        while ((rc = end_receive(&end, &err)) > 0 && far_answer(&end, &err) == 0)
            ;
        if (rc > 0)
            rc = -err.code;
    }
    if (rc < 0) {
        wire->err = err;
        wire->failed = true;
    }
    end_close(&end);
}

/* --- the near end of the port ----------------------------------------------------- */

struct wire_near {
    struct end end;
    uint64_t sent, acked;
};

int wire_near_open(struct wire *wire, struct wire_near **out, struct err *err)
{
    struct peer self = {ROLE_WORKER, 0, 0};
    struct wire_near *near = calloc(1, sizeof *near);
    int rc;

    *out = near;
    if (!near)
        return err_set(err, ERR_MEMORY, "no memory for a socket");
    rc = end_open(&near->end, wire, err);
    return rc ? rc
              : port_connect(near->end.net, wire->endpoint, self, wire->job,
                             &near->end.port, err);
}

void wire_near_close(struct wire_near *near)
{
    if (near)
        end_close(&near->end);
    free(near);
}

/* Asks the other end for something; 1 sent, 0 not now. */
static int near_send(struct wire_near *near, size_t bytes, enum wish wish,
                     struct err *err)
{
    struct message *m = &near->end.out;
    int rc;

    m->kind = MESSAGE_PULL;
    m->pull = (struct pull){.request = near->sent + 1, .clock = wish};
    m->sections = 1;
    m->section[0] = (struct section){.rows = (uint32_t)(bytes / sizeof(uint64_t))};
    rc = end_send(&near->end, (struct peer){0}, err);
    if (rc == 0)
        near->sent++;
    return rc == 0 ? 1 : rc == -ERR_AGAIN ? 0 : rc;
}

/* Waits for a message at most a moment: 1, 0, or an error, that of the far end too. */
static int near_wait(struct wire_near *near, double since, struct err *err)
{
    struct wire *wire = near->end.wire;

    port_wait(&near->end.port, 1, NULL, 0, WAIT_MS);
    if (wire->failed) {
        *err = wire->err;
        return err_prefix(err, "the far end");
    }
    if (clock_seconds() - since > RIG_TIMEOUT_S)
        return err_set(err, ERR_DEADLINE, "the far end has not answered for %d s",
                       RIG_TIMEOUT_S);
    return end_receive(&near->end, err);
}

int wire_port_trips(struct wire_near *near, size_t bytes, double seconds,
                    struct latency *latency, struct err *err)
{
    double now = clock_seconds(), end = now + seconds;
    int rc;

    do {
        double start = clock_seconds();

        while ((rc = near_send(near, bytes, WISH_ECHO, err)) == 0)
            if ((rc = near_wait(near, start, err)) < 0) /* not connected yet */
                return rc;
        while (rc >= 0 && (rc = near_wait(near, start, err)) == 0)
            ;
        now = clock_seconds();
        if (rc > 0)
            latency_add(latency, now - start);
    } while (rc > 0 && now < end);
    return rc < 0 ? rc : 0;
}

int wire_port_stream(struct wire_near *near, size_t bytes, double seconds,
                     struct wire_turn *turn, struct err *err)
{
    uint64_t credit = CREDIT_BYTES / bytes, first = near->sent, step;
    double start = clock_seconds(), heard = start;
    bool closed = false;
    int rc = 0;

    credit = credit < 2 ? 2 : credit > PORT_QUEUE_MAX ? PORT_QUEUE_MAX : credit;
    step = credit / 4 ? credit / 4 : 1;
    near->acked = first;
    while (rc >= 0 && !(closed && near->sent == near->acked)) {
        bool more = clock_seconds() - start < seconds;

        rc = 1;
        while (more && rc > 0 && near->sent - near->acked < credit)
            rc = near_send(near, bytes,
                           (near->sent + 1) % step == 0 ? WISH_ACK : WISH_NOTHING, err);
        if (!more && !closed && rc >= 0) { /* the last one asks in any case */
            rc = near_send(near, bytes, WISH_ACK, err);
            closed = rc > 0;
        }
        while (rc >= 0 && (rc = near_wait(near, heard, err)) > 0) {
            near->acked = near->end.in.ack.clock;
            heard = clock_seconds();
            if (near->sent - near->acked < credit / 2)
                break;
        }
    }
    turn->seconds = clock_seconds() - start;
    turn->messages = near->sent - first;
    return rc < 0 ? rc : 0;
}

/* --- the raw connection ----------------------------------------------------------- */

enum raw_kind { RAW_STREAM, RAW_ECHO, RAW_ACK, RAW_END };

/* What the far end is to do: read `count` bodies, and write each back (echo) or not. */
struct raw_command {
    uint64_t kind, bytes, count;
};

static int raw_write(int fd, const void *data, size_t bytes)
{
    for (size_t at = 0; at < bytes;) {
        ssize_t n = send(fd, (const char *)data + at, bytes - at, MSG_NOSIGNAL);

        if (n < 0 && errno != EINTR)
            return -1;
        at += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

static int raw_read(int fd, void *data, size_t bytes)
{
    for (size_t at = 0; at < bytes;) {
        ssize_t n = read(fd, (char *)data + at, bytes - at);

        if (n == 0 || (n < 0 && errno != EINTR))
            return -1;
        at += n > 0 ? (size_t)n : 0;
    }
    return 0;
}

void wire_far_raw(struct wire *wire)
{
    unsigned char *body = calloc(1, MESSAGE_BODY_MAX);
    int fd = wire->raw[1];
    struct raw_command c;
    int rc = body ? 0 : -1;

    while (rc == 0 && raw_read(fd, &c, sizeof c) == 0 && c.kind != RAW_END) {
        if (c.kind == RAW_ACK)
            rc = raw_write(fd, "", 1);
        for (uint64_t i = 0; rc == 0 && i < c.count; i++) {
            rc = raw_read(fd, body, c.bytes);
            if (rc == 0 && c.kind == RAW_ECHO)
                rc = raw_write(fd, body, c.bytes);
        }
    }
    free(body);
}

static int raw_lost(struct err *err)
{
    return err_set(err, ERR_PEER, "the far end of the raw connection is lost");
}

static int raw_command(struct wire *wire, enum raw_kind kind, size_t bytes,
                       uint64_t count)
{
    struct raw_command c = {kind, bytes, count};

    return raw_write(wire->raw[0], &c, sizeof c);
}

void wire_raw_end(struct wire *wire)
{
    (void)raw_command(wire, RAW_END, 0, 0);
}

/* Two bodies of that size, for one turn; NULL without memory. */
static unsigned char *raw_bodies(size_t bytes, struct err *err)
{
    unsigned char *body = malloc(2 * bytes);

    if (body)
        memset(body, 1, 2 * bytes);
    else
        err_set(err, ERR_MEMORY, "no memory for a body of %zu bytes", bytes);
    return body;
}

int wire_raw_trips(struct wire *wire, size_t bytes, double seconds,
                   struct latency *latency, struct err *err)
{
    bool apart = wire->transport != TRANSPORT_INPROC;
    size_t sent = apart ? bytes : 1; /* threads wake each other with a byte */
    unsigned char *body = raw_bodies(bytes, err);
    double now = clock_seconds(), end = now + seconds;
    int rc = body ? 0 : -err->code;

    for (bool more = true; rc == 0 && more; more = now < end) {
        double start = now;

        if (raw_command(wire, RAW_ECHO, sent, 1) ||
            raw_write(wire->raw[0], body, sent) || raw_read(wire->raw[0], body, sent))
            rc = raw_lost(err);
        for (int i = 0; !apart && i < 2; i++)
            memcpy(body + (i ? 0 : bytes), body + (i ? bytes : 0), bytes);
        now = clock_seconds();
        latency_add(latency, now - start);
    }
    free(body);
    return rc;
}

static int raw_chunk(struct wire *wire, const unsigned char *body, size_t bytes,
                     uint64_t count)
{
    int rc = raw_command(wire, RAW_STREAM, bytes, count);

    for (uint64_t i = 0; rc == 0 && i < count; i++)
        rc = raw_write(wire->raw[0], body, bytes);
    return rc;
}

int wire_raw_stream(struct wire *wire, size_t bytes, double seconds,
                    struct wire_turn *turn, struct err *err)
{
    uint64_t count = CHUNK_BYTES / bytes ? CHUNK_BYTES / bytes : 1;
    unsigned char *body = raw_bodies(bytes, err), answer;
    double start = clock_seconds();
    int rc = body ? 0 : -err->code;

    turn->messages = 0;
    do {
        if (rc == 0 && wire->transport == TRANSPORT_INPROC)
            for (uint64_t i = 0; i < count; i++) {
                memcpy(body + bytes, body, bytes);
                __asm__ volatile("" : : "r"(body) : "memory"); /* each for real */
            }
        else if (rc == 0 && raw_chunk(wire, body, bytes, count))
            rc = raw_lost(err);
        turn->messages += count;
    } while (rc == 0 && clock_seconds() - start < seconds);
    if (rc == 0 &&
        (raw_command(wire, RAW_ACK, 0, 0) || raw_read(wire->raw[0], &answer, 1)))
        rc = raw_lost(err);
    turn->seconds = clock_seconds() - start;
    free(body);
    return rc;
}

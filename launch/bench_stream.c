/* The seats of the rig that stream: what the sockets alone can carry.
 *
 * The source sends the pulls and pushes of a batch, the sink answers with as many bytes
 * as a server would: the same messages, in the same number and size, both ways at once.
 * Nobody fills the bodies in or looks at them: each is one buffer that is sent by
 * reference again and again. Over inproc ZeroMQ only passes pointers, so there the one
 * who gets a body copies it once. */
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "launch/bench_rig.h"
#include "worker/batch.h"

enum {
    /* Messages under way, of pulls and of pushes: about 4 MB of them, what is fastest
     * here: more do not stay in the caches, fewer leave the other side idle. */
    CREDIT_BYTES = 4 << 20,
    CREDIT_MIN = 4,
    CREDIT_MAX = 16,
    BODIES_MAX = 64, /* sizes of bodies that are kept */
    WAIT_MS = 20,
};

struct stream {
    struct seat *seat;
    struct seat_net *own; /* borrowed */
    struct port *port;
    struct frame frame;
    struct message in, out;
    struct buffer *body[BODIES_MAX];
    uint32_t bodies, replaced;
    unsigned char *copy; /* inproc: where bodies are copied to */

    /* Of the source: */
    uint32_t *rows; /* [parts] of a batch */
    uint32_t parts;
    uint32_t credit;
    uint64_t pulls, pushes; /* sent */
    uint64_t answers, acks; /* received */
    uint64_t bytes;         /* of bodies, both ways; counted when answered */
};

/* A body of that size, filled once. Borrowed; NULL without memory. */
static struct buffer *body_of(struct stream *s, size_t bytes)
{
    struct buffer *body;
    uint32_t i = 0;

    while (i < s->bodies && s->body[i]->used != bytes)
        i++;
    if (i < s->bodies)
        return s->body[i];
    body = buffer_get(s->own->pool, bytes);
    if (!body)
        return NULL;
    memset(body->data, 1, bytes);
    body->used = bytes;
    if (s->bodies < BODIES_MAX) {
        i = s->bodies++;
    } else {
        i = s->replaced++ % BODIES_MAX;
        buffer_unref(s->body[i]);
    }
    s->body[i] = body;
    return body;
}

/* Sends s->out with a body of the right size; `to` is for the sink. 0, or -ERR_AGAIN.
 */
static int send_out(struct stream *s, struct peer to, struct err *err)
{
    size_t bytes = message_layout(s->out.kind, s->out.section, s->out.sections, NULL);
    struct buffer *body = bytes ? body_of(s, bytes) : NULL;

    if (bytes && !body)
        return err_set(err, ERR_MEMORY, "no memory for a body of %zu bytes", bytes);
    return port_send(s->port, to, &s->out, body, err);
}

/* 1 a message is in s->in, 0 none waits. */
static int receive_in(struct stream *s, struct err *err)
{
    int rc = port_receive(s->port, &s->in, &s->frame, err);

    if (rc > 0 && s->copy && s->in.body_bytes)
        memcpy(s->copy, s->in.body, s->in.body_bytes);
    return rc;
}

static int stream_open(struct stream **out, struct seat *seat, struct seat_net *own,
                       struct err *err)
{
    struct stream *s = calloc(1, sizeof *s);

    *out = s;
    if (!s)
        return err_set(err, ERR_MEMORY, "no memory for a stream");
    s->seat = seat;
    s->own = own;
    if (seat->rig->options.transport == TRANSPORT_INPROC) {
        s->copy = malloc(MESSAGE_BODY_MAX);
        if (!s->copy)
            return err_set(err, ERR_MEMORY, "no memory for a copy of bodies");
    }
    return 0;
}

static void stream_close(struct stream *s)
{
    if (!s)
        return;
    frame_free(&s->frame);
    port_close(s->port);
    for (uint32_t i = 0; i < s->bodies; i++)
        buffer_unref(s->body[i]);
    free(s->rows);
    free(s->copy);
    free(s);
}

/* --- the sink --------------------------------------------------------------------- */

/* ZeroMQ learns only now and then, as in a wait, that there is room again. */
static int sink_send(struct stream *s, struct err *err)
{
    struct peer to = {s->in.role, s->in.sender, s->in.incarnation};
    double end = clock_seconds() + RIG_TIMEOUT_S;
    int rc;

    while ((rc = send_out(s, to, err)) == -ERR_AGAIN && clock_seconds() < end &&
           !rig_stopped(s->seat->rig))
        port_wait(&s->port, 1, NULL, 0, 0);
    return rc;
}

static int sink_answer(struct stream *s, struct err *err)
{
    if (s->in.kind == MESSAGE_PULL) {
        s->out.kind = MESSAGE_ROWS;
        s->out.rows.request = s->in.pull.request;
        s->out.sections = 1;
        s->out.section[0] = (struct section){
            .rows = s->in.section[0].rows,
            .width = (uint32_t)s->seat->rig->options.dim};
    } else {
        s->out.kind = MESSAGE_ACK;
        s->out.ack = (struct ack){.clock = s->in.push.clock};
        s->out.sections = 0;
    }
    return sink_send(s, err);
}

int seat_sink(struct seat *seat, struct seat_net *own, struct err *err)
{
    struct rig *rig = seat->rig;
    struct peer self = {ROLE_SERVER, seat->index, 0};
    struct stream *s;
    int rc = stream_open(&s, seat, own, err);

    if (rc == 0)
        rc = port_listen(own->net, rig->stream, rig->listen_fd[rig->options.servers],
                         self, rig->roster.job, &s->port, err);
    seat->ready = rc == 0;
    while (rc == 0 && !rig_stopped(rig)) {
        port_wait(&s->port, 1, NULL, 0, WAIT_MS);
        do {
            rc = receive_in(s, err);
            if (rc > 0)
                rc = sink_answer(s, err) ? -err->code : 1;
        } while (rc > 0);
    }
    stream_close(s);
    return rc;
}

/* --- the source ------------------------------------------------------------------- */

/* How many rows each part of a batch has: as a worker cuts it. */
static int source_parts(struct stream *s, struct err *err)
{
    const struct rig_options *o = &s->seat->rig->options;
    uint32_t width = (uint32_t)o->dim, servers = (uint32_t)o->servers;
    uint64_t *key = calloc(o->batch, sizeof *key);
    struct batch batch = {0};
    int rc;

    for (uint64_t i = 0; key && i < o->batch; i++)
        key[i] = i;
    rc = key ? batch_create(&batch, &width, 1, servers, (uint32_t)o->batch, err)
             : err_set(err, ERR_MEMORY, "no memory for the keys of a batch");
    if (rc == 0) {
        keyset_build(&batch.set[0], key, (uint32_t)o->batch, 1, servers);
        rc = batch_cut(&batch, err);
    }
    if (rc == 0) {
        s->parts = batch.parts;
        s->rows = calloc(batch.parts, sizeof *s->rows);
        if (!s->rows)
            rc = err_set(err, ERR_MEMORY, "no memory for the parts of a batch");
    }
    for (uint32_t i = 0; rc == 0 && i < batch.parts; i++)
        s->rows[i] = batch.part[i].section[0].rows;
    batch_release(&batch);
    free(key);
    return rc;
}

/* The size of the body of the pull or push `number`. */
static size_t bytes_of(struct stream *s, enum message_kind kind, uint64_t number)
{
    struct section section = {
        .rows = s->rows[number % s->parts],
        .width = kind == MESSAGE_PULL ? 0 : (uint32_t)s->seat->rig->options.dim};

    return message_layout(kind, &section, 1, NULL);
}

static uint32_t source_credit(struct stream *s)
{
    size_t credit = CREDIT_BYTES / bytes_of(s, MESSAGE_PUSH, 0);

    return credit < CREDIT_MIN   ? CREDIT_MIN
           : credit > CREDIT_MAX ? CREDIT_MAX
                                 : (uint32_t)credit;
}

/* Sends the next pull or push. 1 sent, 0 not now. */
static int source_send(struct stream *s, enum message_kind kind, struct err *err)
{
    uint64_t *sent = kind == MESSAGE_PULL ? &s->pulls : &s->pushes;
    uint32_t part = (uint32_t)(*sent % s->parts);
    int rc;

    s->out.kind = kind;
    s->out.sections = 1;
    s->out.section[0] = (struct section){.rows = s->rows[part]};
    if (kind == MESSAGE_PULL) {
        s->out.pull = (struct pull){.request = *sent + 1, .clock = 1};
    } else {
        s->out.push = (struct push){
            .clock = *sent + 1, .after = *sent, .part = part, .parts = s->parts};
        s->out.section[0].width = (uint32_t)s->seat->rig->options.dim;
    }
    rc = send_out(s, (struct peer){0}, err);
    if (rc == 0)
        ++*sent;
    return rc == 0 ? 1 : rc == -ERR_AGAIN ? 0 : rc;
}

/* Sends what credit allows, taking turns between pulls and pushes. */
static int source_pump(struct stream *s, struct err *err)
{
    int pull = 1, push = 1;

    while (pull > 0 || push > 0) {
        if (pull > 0)
            pull = s->pulls - s->answers < s->credit ? source_send(s, MESSAGE_PULL, err)
                                                     : 0;
        if (push > 0)
            push = s->pushes - s->acks < s->credit ? source_send(s, MESSAGE_PUSH, err)
                                                   : 0;
        if (pull < 0 || push < 0)
            return -err->code;
    }
    return 0;
}

/* Takes all answers that wait. They come in the order of the questions. */
static int source_take(struct stream *s, struct err *err)
{
    int rc;

    while ((rc = receive_in(s, err)) > 0) {
        if (s->in.kind == MESSAGE_ROWS) {
            s->bytes += bytes_of(s, MESSAGE_PULL, s->answers) + s->in.body_bytes;
            s->answers++;
        } else {
            s->bytes += bytes_of(s, MESSAGE_PUSH, s->acks);
            s->acks++;
        }
    }
    return rc;
}

/* Streams for a turn, at least once forth and back (turn 0: no more than that), until
 * all is answered. */
static int source_turn(struct stream *s, uint32_t turn, struct slice *slice,
                       struct err *err)
{
    const struct rig *rig = s->seat->rig;
    double heard = clock_seconds();
    uint64_t bytes = s->bytes, before = s->answers + s->acks;
    int rc = 0;

    slice->start = heard;
    while (rc == 0) {
        uint64_t answered = s->answers + s->acks;

        if ((turn && rig->acting == turn) || answered == before)
            rc = source_pump(s, err);
        else if (s->pulls + s->pushes == answered)
            break;
        if (rc == 0) {
            port_wait(&s->port, 1, NULL, 0,
                      s->pulls + s->pushes == answered ? 1 : WAIT_MS);
            rc = source_take(s, err);
        }
        if (s->answers + s->acks > answered)
            heard = clock_seconds();
        else if (rc == 0 && clock_seconds() - heard > RIG_TIMEOUT_S)
            rc = err_set(err, ERR_DEADLINE, "the sink has not answered for %d s",
                         RIG_TIMEOUT_S);
        if (rig_stopped(rig))
            break;
    }
    slice->end = clock_seconds();
    slice->bytes = s->bytes - bytes;
    return rc;
}

int seat_source(struct seat *seat, struct seat_net *own, struct err *err)
{
    struct rig *rig = seat->rig;
    struct peer self = {ROLE_WORKER, seat->index, 0};
    struct slice ignored;
    struct stream *s;
    int rc = stream_open(&s, seat, own, err);

    if (rc == 0)
        rc = source_parts(s, err);
    if (rc == 0) {
        s->credit = source_credit(s);
        rc = port_connect(own->net, rig->stream, self, rig->roster.job, &s->port, err);
    }
    if (rc == 0)
        rc = source_turn(s, 0, &ignored, err);
    seat->ready = rc == 0;
    while (rc == 0 && !rig_stopped(rig)) {
        uint32_t turn = rig_next_turn(seat);

        if (turn && turn_kind(turn) == TURN_STREAM)
            rc = source_turn(s, turn, &seat->slice[turn_slice(turn)], err);
        if (turn && rc == 0)
            seat->done = turn;
    }
    stream_close(s);
    return rc;
}

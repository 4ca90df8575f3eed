#include "worker/client.h"

#include <stdlib.h>
#include <string.h>

enum {
    PULL_CREDIT = 16,   /* parts asked for and not answered, a server */
    PUSH_CREDIT = 16,   /* parts sent and not acknowledged, a server */
    RESEND_MS = 1000,   /* silence after which is asked or sent again */
    RESEND_GAP_MS = 20,
    TICK_MS = 100,
    PULLS_MAX = 128,    /* batches being pulled */
};

/* A part of a push on its way: everything needed to send it again as it was. */
struct parcel {
    uint64_t clock, after;
    uint32_t part, parts;
    uint32_t sections;
    struct section section[JOB_TABLES_MAX];
    struct buffer *body; /* owned */
};

/* What goes on with one server. */
struct link {
    struct parcel *outbox;     /* ring */
    uint32_t capacity, head, count; /* unacknowledged parcels */
    uint32_t sent;             /* of those, how many have been sent */
    uint64_t after;            /* last clock pushed to this server */
    bool met;
    uint32_t wanted;           /* pull parts not answered, */
    uint32_t asked;            /* and of those, how many have been sent */
    int64_t moved_ms;          /* last answer that brought us on, or the wait's begin */
    int64_t resend_ms;         /* when to send again if nothing is heard */
    int64_t resent_ms;         /* when a server asked for it last */
};

struct client {
    const struct job *job;
    const struct roster *roster;
    struct line line;
    struct buffer_pool *pool;
    uint32_t window;
    struct link *link;
    struct batch *pull[PULLS_MAX]; /* ring of batches being pulled, in order */
    uint32_t pull_head, pulls;
    uint64_t request;     /* the next one */
    uint64_t last_pushed; /* clock */
    struct client_counts counts;
    struct message message;
};

int client_create(const struct job *job, const struct roster *roster, struct line line,
                  struct buffer_pool *pool, uint32_t window, struct client **out,
                  struct err *err)
{
    struct client *client = calloc(1, sizeof *client);

    if (client)
        client->link = calloc(roster->servers, sizeof *client->link);
    if (!client || !client->link) {
        free(client);
        return err_set(err, ERR_MEMORY, "no memory for a client");
    }
    client->job = job;
    client->roster = roster;
    client->line = line;
    client->pool = pool;
    client->window = window;
    client->request = 1;
    *out = client;
    return 0;
}

static struct parcel *parcel_at(struct link *link, uint32_t i)
{
    return &link->outbox[(link->head + i) % link->capacity];
}

void client_destroy(struct client *client)
{
    if (!client)
        return;
    for (uint32_t s = 0; s < client->roster->servers; s++) {
        struct link *link = &client->link[s];

        for (uint32_t i = 0; i < link->count; i++)
            buffer_unref(parcel_at(link, i)->body);
        free(link->outbox);
    }
    free(client->link);
    free(client);
}

static int64_t now(const struct client *client)
{
    return client->line.now_ms(client->line.context);
}

static bool link_busy(const struct link *link)
{
    return link->wanted > 0 || link->count > 0 || !link->met;
}

/* Starts the clock of a link that had nothing to wait for. */
static void link_wake(struct client *client, struct link *link)
{
    if (link_busy(link))
        return;
    link->moved_ms = now(client);
    link->resend_ms = link->moved_ms + RESEND_MS;
}

/* Sends; 1 sent, 0 not now. */
static int send_message(struct client *client, uint32_t server, struct buffer *body,
                        struct err *err)
{
    int rc = client->line.send(client->line.context, server, &client->message, body, err);

    if (rc == -ERR_AGAIN || rc == -ERR_PEER)
        return 0;
    return rc ? rc : 1;
}

/* --- pulls ----------------------------------------------------------------------- */

/* As send_message(). */
static int send_pull_part(struct client *client, struct batch *batch, uint32_t index,
                          struct err *err)
{
    struct batch_part *part = &batch->part[index];
    struct message *m = &client->message;
    struct buffer *body;
    size_t at = 0;
    int rc;

    m->kind = MESSAGE_PULL;
    m->pull = (struct pull){batch->request + index, batch->clock, batch->read_only};
    m->sections = part->sections;
    for (uint32_t i = 0; i < part->sections; i++) {
        m->section[i] = (struct section){.table = part->section[i].table,
                                         .rows = part->section[i].rows};
        at += part->section[i].rows * sizeof(uint64_t);
    }
    body = buffer_get(client->pool, at);
    if (!body)
        return 0; /* all are on their way, and come back */
    at = 0;
    for (uint32_t i = 0; i < part->sections; i++) {
        const struct batch_section *s = &part->section[i];

        memcpy(body->data + at, batch->set[s->table].key + s->first,
               s->rows * sizeof(uint64_t));
        at += s->rows * sizeof(uint64_t);
    }
    body->used = at;
    rc = send_message(client, part->server, body, err);
    buffer_unref(body);
    return rc;
}

/* Sends what credit allows of the pulls not sent yet. */
static int pump_pulls(struct client *client, struct err *err)
{
    for (uint32_t b = 0; b < client->pulls; b++) {
        struct batch *batch = client->pull[(client->pull_head + b) % PULLS_MAX];

        for (uint32_t i = 0; i < batch->parts; i++) {
            struct batch_part *part = &batch->part[i];
            struct link *link = &client->link[part->server];
            int rc;

            if (part->sent || link->asked >= PULL_CREDIT)
                continue;
            rc = send_pull_part(client, batch, i, err);
            if (rc < 0)
                return rc;
            if (rc == 0)
                continue;
            part->sent = true;
            link->asked++;
        }
    }
    return 0;
}

int client_begin_pull(struct client *client, struct batch *batch, struct err *err)
{
    if (client->pulls == PULLS_MAX)
        return err_set(err, ERR_MEMORY, "more than %d batches are being pulled", PULLS_MAX);
    for (uint32_t i = 0; i < batch->parts; i++) {
        struct link *link = &client->link[batch->part[i].server];

        batch->part[i].sent = batch->part[i].answered = false;
        link_wake(client, link);
        link->wanted++;
    }
    batch->unanswered = batch->parts;
    batch->request = client->request;
    client->request += batch->parts;
    client->pull[(client->pull_head + client->pulls++) % PULLS_MAX] = batch;
    return pump_pulls(client, err);
}

void client_drop_pulls(struct client *client)
{
    for (uint32_t s = 0; s < client->roster->servers; s++)
        client->link[s].wanted = client->link[s].asked = 0;
    client->pulls = 0;
}

/* The batch and part that an answer belongs to, or NULL: it is late. */
static struct batch *find_pull(struct client *client, uint64_t request, uint32_t *index)
{
    for (uint32_t b = 0; b < client->pulls; b++) {
        struct batch *batch = client->pull[(client->pull_head + b) % PULLS_MAX];

        if (request >= batch->request && request - batch->request < batch->parts) {
            *index = (uint32_t)(request - batch->request);
            return batch;
        }
    }
    return NULL;
}

static int receive_rows(struct client *client, uint32_t server, const struct message *m,
                        struct err *err)
{
    struct section_layout at[MESSAGE_SECTIONS_MAX];
    struct link *link = &client->link[server];
    struct batch_part *part;
    struct batch *batch;
    uint32_t index;

    batch = find_pull(client, m->rows.request, &index);
    if (!batch)
        return 0;
    part = &batch->part[index];
    if (part->answered || part->server != server)
        return 0;
    if (m->sections != part->sections)
        goto unfit;
    message_layout(MESSAGE_ROWS, m->section, m->sections, at);
    for (uint32_t i = 0; i < part->sections; i++) {
        const struct batch_section *s = &part->section[i];
        uint32_t width = batch->width[s->table];

        if (m->section[i].table != s->table || m->section[i].rows != s->rows ||
            m->section[i].width != width)
            goto unfit;
        memcpy(batch->rows[s->table] + (size_t)s->first * width, m->body + at[i].values,
               (size_t)s->rows * width * sizeof(float));
    }
    part->answered = true;
    batch->unanswered--;
    link->wanted--;
    if (part->sent) /* else it is about to be asked for again */
        link->asked--;
    link->moved_ms = now(client);
    client->counts.bytes_pulled += m->body_bytes;
    return 0;
unfit:
    return err_set(err, ERR_PEER, "server %u answered a pull with other rows than asked for",
                   server);
}

/* --- pushes ---------------------------------------------------------------------- */

static int send_parcel(struct client *client, uint32_t server, const struct parcel *parcel,
                       struct err *err)
{
    struct message *m = &client->message;

    m->kind = MESSAGE_PUSH;
    m->push =
        (struct push){parcel->clock, parcel->after, parcel->part, parcel->parts};
    m->sections = parcel->sections;
    memcpy(m->section, parcel->section, parcel->sections * sizeof m->section[0]);
    return send_message(client, server, parcel->body, err);
}

static int pump_pushes(struct client *client, struct err *err)
{
    for (uint32_t s = 0; s < client->roster->servers; s++) {
        struct link *link = &client->link[s];

        while (link->sent < link->count && link->sent < PUSH_CREDIT) {
            int rc = send_parcel(client, s, parcel_at(link, link->sent), err);

            if (rc < 0)
                return rc;
            if (rc == 0)
                break;
            link->sent++;
        }
    }
    return 0;
}

static struct parcel *outbox_add(struct link *link)
{
    if (link->count == link->capacity) {
        uint32_t capacity = link->capacity ? link->capacity * 2 : 16;
        struct parcel *bigger = malloc(capacity * sizeof *bigger);

        if (!bigger)
            return NULL;
        for (uint32_t i = 0; i < link->count; i++)
            bigger[i] = *parcel_at(link, i);
        free(link->outbox);
        link->outbox = bigger;
        link->capacity = capacity;
        link->head = 0;
    }
    return parcel_at(link, link->count++);
}

/* The body of a part: keys, weights and gradients of each section. */
static struct buffer *push_body(struct client *client, const struct batch *batch,
                                const struct batch_part *part, float *const *gradient,
                                struct section *section)
{
    struct section_layout at[MESSAGE_SECTIONS_MAX];
    struct buffer *body;
    size_t bytes, end;

    for (uint32_t i = 0; i < part->sections; i++)
        section[i] = (struct section){.table = part->section[i].table,
                                      .rows = part->section[i].rows,
                                      .width = batch->width[part->section[i].table]};
    bytes = message_layout(MESSAGE_PUSH, section, part->sections, at);
    body = buffer_get(client->pool, bytes);
    if (!body)
        return NULL;
    body->used = bytes;
    for (uint32_t i = 0; i < part->sections; i++) {
        const struct batch_section *s = &part->section[i];
        const struct keyset *set = &batch->set[s->table];
        uint32_t width = section[i].width;

        memcpy(body->data + at[i].keys, set->key + s->first, s->rows * sizeof(uint64_t));
        memcpy(body->data + at[i].weights, set->weight + s->first,
               s->rows * sizeof(float));
        memcpy(body->data + at[i].values, gradient[s->table] + (size_t)s->first * width,
               (size_t)s->rows * width * sizeof(float));
        /* Padding must not carry what the memory held before. */
        end = at[i].values + (size_t)s->rows * width * sizeof(float);
        memset(body->data + end, 0,
               (i + 1 < part->sections ? at[i + 1].keys : bytes) - end);
    }
    return body;
}

static int wait_a_little(struct client *client, struct err *err);

/* push_body(), waiting while all of the pool's memory is on its way. */
static int make_body(struct client *client, const struct batch *batch,
                     const struct batch_part *part, float *const *gradient,
                     struct parcel *parcel, struct err *err)
{
    double timeout = client->job->cluster.timeout;
    int64_t until = now(client) + (int64_t)(timeout * 1000);

    for (;;) {
        int rc;

        parcel->body = push_body(client, batch, part, gradient, parcel->section);
        if (parcel->body)
            return 0;
        if (now(client) >= until)
            return err_set(err, ERR_MEMORY,
                           "no memory for the push of clock %llu for %g s; a smaller "
                           "train.batch or train.inflight may help",
                           (unsigned long long)batch->clock, timeout);
        rc = wait_a_little(client, err);
        if (rc)
            return rc;
    }
}

/* Puts one part of a push into the outbox. */
static int keep_part(struct client *client, const struct batch *batch,
                     const struct batch_part *part, float *const *gradient,
                     struct err *err)
{
    struct link *link = &client->link[part->server];
    struct parcel parcel = {.clock = batch->clock,
                            .after = link->after,
                            .part = part->number,
                            .parts = part->parts,
                            .sections = part->sections};
    struct parcel *place;
    int rc = make_body(client, batch, part, gradient, &parcel, err);

    if (rc)
        return rc;
    link_wake(client, link);
    place = outbox_add(link);
    if (!place) {
        buffer_unref(parcel.body);
        return err_set(err, ERR_MEMORY, "no memory to keep the push of clock %llu",
                       (unsigned long long)batch->clock);
    }
    *place = parcel;
    client->counts.bytes_pushed += parcel.body->used;
    return 0;
}

int client_push(struct client *client, const struct batch *batch, float *const *gradient,
                struct err *err)
{
    int rc;

    for (uint32_t p = 0; p < batch->parts; p++) {
        const struct batch_part *part = &batch->part[p];
        struct link *link = &client->link[part->server];

        /* What an earlier process of this worker has brought there stays. */
        if (batch->clock > link->after) {
            rc = keep_part(client, batch, part, gradient, err);
            if (rc)
                return rc;
        }
        if (part->number + 1 == part->parts) {
            client->counts.pushes_sent++;
            if (batch->clock > link->after)
                link->after = batch->clock;
        }
    }
    client->last_pushed = batch->clock;
    for (;;) {
        rc = pump_pushes(client, err);
        if (rc)
            return rc;
        if (client->last_pushed - client_acknowledged(client) <= client->window)
            return 0;
        rc = wait_a_little(client, err);
        if (rc)
            return rc;
    }
}

uint64_t client_acknowledged(const struct client *client)
{
    uint64_t least = client->last_pushed;

    for (uint32_t s = 0; s < client->roster->servers; s++) {
        struct link *link = &client->link[s];

        if (link->count && parcel_at(link, 0)->clock - 1 < least)
            least = parcel_at(link, 0)->clock - 1;
    }
    return least;
}

/* Drops what is acknowledged; after `resend` the rest is sent again. Parts that were never
 * sent may stand for others of an earlier process of this worker. */
static int receive_ack(struct client *client, uint32_t server, const struct message *m,
                       struct err *err)
{
    struct link *link = &client->link[server];

    if (!link->met) {
        link->met = true;
        link->after = m->ack.clock;
        link->moved_ms = now(client);
    }
    while (link->count) {
        struct parcel *oldest = parcel_at(link, 0);

        if (oldest->clock > m->ack.clock &&
            !(link->sent && oldest->after == m->ack.clock && oldest->part < m->ack.part))
            break;
        link->moved_ms = now(client);
        buffer_unref(oldest->body);
        link->head = (link->head + 1) % link->capacity;
        link->count--;
        if (link->sent)
            link->sent--;
    }
    /* Several parcels in flight may each be answered so: once is enough. */
    if (m->ack.resend && link->sent && now(client) - link->resent_ms >= RESEND_GAP_MS) {
        link->resent_ms = now(client);
        client->counts.pushes_resent += link->sent;
        link->sent = 0;
    }
    return pump_pushes(client, err);
}

/* --- both ------------------------------------------------------------------------ */

int client_receive(struct client *client, uint32_t server, const struct message *m,
                   struct err *err)
{
    struct link *link = &client->link[server];
    int rc;

    link->resend_ms = now(client) + RESEND_MS;
    switch (m->kind) {
    case MESSAGE_ROWS:
        rc = receive_rows(client, server, m, err);
        return rc ? rc : pump_pulls(client, err);
    case MESSAGE_ACK:
        return receive_ack(client, server, m, err);
    case MESSAGE_REFUSAL:
        /* A peer does not decide for how long we try, nor who has interrupted. */
        return err_set(err,
                       m->refusal.code == ERR_AGAIN || m->refusal.code == ERR_INTERRUPTED
                           ? ERR_PEER
                           : (int)m->refusal.code,
                       "%s", m->refusal.text);
    default:
        return err_set(err, ERR_PEER, "server %u sent a message of kind %d", server,
                       (int)m->kind);
    }
}

static int ask_to_meet(struct client *client, uint32_t server, struct err *err)
{
    struct message *m = &client->message;
    int rc;

    m->kind = MESSAGE_PUSH;
    m->push = (struct push){.clock = 0, .parts = 1};
    m->sections = 0;
    rc = send_message(client, server, NULL, err);
    return rc < 0 ? rc : 0;
}

/* Sends everything that `server` has not answered again. */
static int resend(struct client *client, uint32_t server, struct err *err)
{
    struct link *link = &client->link[server];

    if (!link->met)
        return ask_to_meet(client, server, err);
    client->counts.pushes_resent += link->sent;
    link->sent = 0;
    link->asked = 0;
    for (uint32_t b = 0; b < client->pulls; b++) {
        struct batch *batch = client->pull[(client->pull_head + b) % PULLS_MAX];

        for (uint32_t i = 0; i < batch->parts; i++)
            if (batch->part[i].server == server && !batch->part[i].answered)
                batch->part[i].sent = false;
    }
    return 0;
}

static int too_late(const struct client *client, uint32_t server, struct err *err)
{
    const struct roster_member *who = &client->roster->server[server];
    struct link *link = &client->link[server];

    if (!link->met)
        return err_set(err, ERR_DEADLINE,
                       "server %u (rank %u on %s) has not answered for %g s", server,
                       who->rank, who->host, client->job->cluster.timeout);
    if (link->count)
        return err_set(err, ERR_DEADLINE,
                       "server %u (rank %u on %s) has not acknowledged the push of clock "
                       "%llu for %g s",
                       server, who->rank, who->host,
                       (unsigned long long)parcel_at(link, 0)->clock,
                       client->job->cluster.timeout);
    return err_set(err, ERR_DEADLINE,
                   "server %u (rank %u on %s) has not answered %u pulls for %g s", server,
                   who->rank, who->host, link->wanted, client->job->cluster.timeout);
}

static int wait_a_little(struct client *client, struct err *err)
{
    int rc = client->line.wait(client->line.context, client, TICK_MS, err);
    int64_t time = now(client);

    for (uint32_t s = 0; rc == 0 && s < client->roster->servers; s++) {
        struct link *link = &client->link[s];

        if (!link_busy(link))
            continue;
        if (time - link->moved_ms > (int64_t)(client->job->cluster.timeout * 1000))
            return too_late(client, s, err);
        if (time >= link->resend_ms) {
            link->resend_ms = time + RESEND_MS;
#ifndef MUTANT_RESEND
            rc = resend(client, s, err);
#endif
        }
    }
    if (rc == 0)
        rc = pump_pulls(client, err);
    return rc ? rc : pump_pushes(client, err);
}

int client_meet(struct client *client, struct err *err)
{
    for (uint32_t s = 0; s < client->roster->servers; s++) {
        struct link *link = &client->link[s];

        link->moved_ms = now(client);
        link->resend_ms = link->moved_ms + TICK_MS;
        if (ask_to_meet(client, s, err))
            return -err->code;
    }
    for (uint32_t s = 0; s < client->roster->servers; s++)
        while (!client->link[s].met) {
            int rc = wait_a_little(client, err);

            if (rc)
                return rc;
        }
    return 0;
}

int client_finish_pull(struct client *client, struct batch *batch, struct err *err)
{
    while (batch->unanswered) {
        int rc = wait_a_little(client, err);

        if (rc)
            return rc;
    }
    client->pull_head = (client->pull_head + 1) % PULLS_MAX;
    client->pulls--;
    return 0;
}

int client_drain(struct client *client, struct err *err)
{
    while (client_acknowledged(client) < client->last_pushed) {
        int rc = wait_a_little(client, err);

        if (rc)
            return rc;
    }
    return 0;
}

const struct client_counts *client_counts(const struct client *client)
{
    return &client->counts;
}

#include "worker/client_link.h"

#include <stdlib.h>
#include <string.h>

#include "worker/pull.h"

enum {
    PULL_CREDIT = 16, /* parts asked for and not answered, a server */
    PUSH_CREDIT = 16, /* parts sent and not acknowledged, a server */
    RESEND_GAP_MS = 20,
    TICK_MS = 50,
};

uint64_t client_outbox_bytes(const uint64_t *rows, const uint32_t *width,
                             uint32_t tables, uint32_t servers, uint32_t window)
{
    uint64_t body = 0, parts, sections;

    for (uint32_t t = 0; t < tables; t++)
        body += rows[t] * (sizeof(uint64_t) + sizeof(float) + width[t] * sizeof(float));
    /* A part ends where the next row does not fit, so two parts of a server that follow
     * each other are more than PART_BYTES. */
    parts = servers + 2 * body / PART_BYTES;
    /* A server's sections of a table are one and one more for each part that ends in
     * the middle of them. Each is padded to 8 bytes. */
    sections = parts + (uint64_t)tables * servers;
    return outbox_bytes(body + 8 * sections, (uint32_t)parts, window + 1);
}

/* Puts the parts of one outbox entry before their servers. */
static int enqueue(struct client *client, uint32_t entry, struct err *err)
{
    uint32_t parcels;
    const struct parcel *parcel = outbox_parcels(client->outbox, entry, &parcels);

    for (uint32_t i = 0; i < parcels; i++) {
        struct link *link;

        if (parcel[i].server >= client->roster->servers)
            return err_set(err, ERR_DAMAGE, "the outbox names server %u of %u",
                           parcel[i].server, client->roster->servers);
        link = &client->link[parcel[i].server];
        if (link_add(link, &parcel[i], outbox_body(client->outbox, entry, i)))
            return err_set(err, ERR_MEMORY, "no memory for %u parts of a push",
                           parcels);
        if (parcel[i].part + 1 == parcel[i].parts && parcel[i].clock > link->after)
            link->after = parcel[i].clock;
        client->last_pushed = parcel[i].clock;
    }
    return 0;
}

int client_create(const struct job *job, const struct roster *roster, struct line line,
                  struct buffer_pool *pool, struct outbox *outbox, uint32_t window,
                  struct client **out, struct err *err)
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
    client->outbox = outbox;
    client->window = window;
    client->request = 1;
    for (uint32_t i = 0; i < outbox_entries(outbox); i++)
        if (enqueue(client, i, err)) {
            client_destroy(client);
            return -err->code;
        }
    *out = client;
    return 0;
}

void client_use_cache(struct client *client, struct row_cache *cache)
{
    client->cache = cache;
}

void client_destroy(struct client *client)
{
    if (!client)
        return;
    for (uint32_t s = 0; s < client->roster->servers; s++)
        free(client->link[s].ring);
    free(client->link);
    free(client);
}

/* Something that we waited for has come: what else we wait for may take its time again.
 */
static void progress(struct client *client, uint32_t server)
{
    struct link *link = &client->link[server];

    link->moved_ms = client_now(client);
    link->ask_ms = link->moved_ms + CLIENT_ASK_MS;
    link->resend_ms = link->moved_ms + CLIENT_RESEND_MS;
}

/* Asks a server where our pushes stand. */
static int ask_to_meet(struct client *client, uint32_t server, struct err *err)
{
    struct message *m = &client->message;
    int rc;

    m->kind = MESSAGE_PUSH;
    m->push = (struct push){.clock = 0, .parts = 1};
    m->sections = 0;
    rc = client_send(client, server, NULL, err);
    return rc < 0 ? rc : 0;
}

/* --- pulls ----------------------------------------------------------------------- */

/* As client_send(). */
static int send_pull_part(struct client *client, struct batch *batch, uint32_t index,
                          struct err *err)
{
    struct batch_part *part = &batch->part[index];
    struct message *m = &client->message;
    size_t bytes = pull_bytes(part);
    struct buffer *body;
    int rc;

    m->kind = MESSAGE_PULL;
    m->pull = (struct pull){.request = batch->request + index,
                            .clock = batch->clock,
                            .read_only = batch->read_only,
                            .reach = client_reach(client, part->server)};
    body = buffer_get(client->pool, bytes);
    if (!body)
        return 0; /* all are on their way, and come back */
    pull_write(batch, part, m, body->data);
    body->used = bytes;
    rc = client_send(client, part->server, body, err);
    buffer_unref(body);
    return rc;
}

/* Sends what credit allows of the pulls not sent yet. */
static int pump_pulls(struct client *client, struct err *err)
{
    for (uint32_t b = 0; b < client->pulls; b++) {
        struct batch *batch = client->pull[(client->pull_head + b) % CLIENT_PULLS_MAX];

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
    if (client->pulls == CLIENT_PULLS_MAX)
        return err_set(err, ERR_MEMORY, "more than %d batches are being pulled",
                       CLIENT_PULLS_MAX);
    if (client->cache && !batch->read_only)
        pull_take_kept(batch, client->cache);
    batch->unanswered = 0;
    for (uint32_t i = 0; i < batch->parts; i++) {
        struct batch_part *part = &batch->part[i];

        part->sent = part->answered = !pull_wants_rows(part);
        if (part->answered)
            continue;
        client_link_wake(client, &client->link[part->server]);
        client->link[part->server].wanted++;
        batch->unanswered++;
    }
    batch->parked_us = 0;
    batch->request = client->request;
    client->request += batch->parts;
    client->pull[(client->pull_head + client->pulls++) % CLIENT_PULLS_MAX] = batch;
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
        struct batch *batch = client->pull[(client->pull_head + b) % CLIENT_PULLS_MAX];

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
    struct batch_part *part;
    struct batch *batch;
    uint32_t index;

    batch = find_pull(client, m->rows.request, &index);
    if (!batch)
        return 0;
    part = &batch->part[index];
    if (part->answered || part->server != server)
        return 0;
    if (!pull_read(client->job, batch, part, m, client->cache))
        return err_set(err, ERR_PEER,
                       "server %u answered a pull with other rows than asked for",
                       server);
    part->answered = true;
    if (m->rows.parked_us > batch->parked_us)
        batch->parked_us = m->rows.parked_us;
    progress(client, server);
    batch->unanswered--;
    client->link[server].wanted--;
    if (part->sent) /* else it is about to be asked for again */
        client->link[server].asked--;
    client->counts.bytes_pulled += m->body_bytes;
    return 0;
}

/* --- pushes ---------------------------------------------------------------------- */

static int send_parcel(struct client *client, uint32_t server,
                       const struct unacknowledged *u, struct err *err)
{
    const struct parcel *parcel = u->parcel;
    struct message *m = &client->message;

    m->kind = MESSAGE_PUSH;
    m->push = (struct push){parcel->clock, parcel->after, parcel->part, parcel->parts};
    m->sections = parcel->sections;
    memcpy(m->section, parcel->section, parcel->sections * sizeof m->section[0]);
    return client_send(client, server, u->body, err);
}

/* Credit bounds what is on its way; the oldest clock is always sent as a whole, because
 * a server may acknowledge none of its parts before it has them all. */
static bool may_send(struct link *link)
{
    return link->sent < link->count &&
           (link->sent < PUSH_CREDIT || link_at(link, link->sent)->parcel->clock ==
                                            link_at(link, 0)->parcel->clock);
}

static int pump_pushes(struct client *client, struct err *err)
{
    for (uint32_t s = 0; s < client->roster->servers; s++) {
        struct link *link = &client->link[s];

        while (link->met && may_send(link)) {
            int rc = send_parcel(client, s, link_at(link, link->sent), err);

            if (rc < 0)
                return rc;
            if (rc == 0)
                break;
            link->sent++;
        }
    }
    return 0;
}

static size_t describe(const struct batch *batch, const struct batch_part *part,
                       struct section *section, struct section_layout *at)
{
    for (uint32_t i = 0; i < part->sections; i++)
        section[i] = (struct section){.table = part->section[i].table,
                                      .rows = part->section[i].rows,
                                      .width = batch->width[part->section[i].table]};
    return message_layout(MESSAGE_PUSH, section, part->sections, at);
}

/* Writes one part into the outbox: keys, weights and gradients of each section. */
static void write_part(struct client *client, const struct batch *batch,
                       const struct batch_part *part, float *const *gradient)
{
    struct section_layout at[MESSAGE_SECTIONS_MAX];
    struct section section[MESSAGE_SECTIONS_MAX];
    size_t bytes = describe(batch, part, section, at), end;
    struct parcel *parcel;
    unsigned char *body;

    parcel = outbox_add(client->outbox, bytes, &body);
    parcel->clock = batch->clock;
    parcel->after = client->link[part->server].after;
    parcel->server = part->server;
    parcel->part = part->number;
    parcel->parts = part->parts;
    parcel->sections = part->sections;
    memcpy(parcel->section, section, part->sections * sizeof section[0]);
    for (uint32_t i = 0; i < part->sections; i++) {
        const struct batch_section *s = &part->section[i];
        const struct keyset *set = &batch->set[s->table];
        uint32_t width = section[i].width;

        memcpy(body + at[i].keys, set->key + s->first, s->rows * sizeof(uint64_t));
        memcpy(body + at[i].weights, set->weight + s->first, s->rows * sizeof(float));
        memcpy(body + at[i].values, gradient[s->table] + (size_t)s->first * width,
               (size_t)s->rows * width * sizeof(float));
        /* Padding must not carry what the memory held before. */
        end = at[i].values + (size_t)s->rows * width * sizeof(float);
        memset(body + end, 0, (i + 1 < part->sections ? at[i + 1].keys : bytes) - end);
    }
    client->counts.bytes_pushed += bytes;
    client->counts.pushes_sent += part->number + 1 == part->parts;
}

/* Waits until the outbox has room for the batch. */
static int make_room(struct client *client, const struct batch *batch, struct err *err)
{
    struct section_layout at[MESSAGE_SECTIONS_MAX];
    struct section section[MESSAGE_SECTIONS_MAX];
    uint64_t bytes = 0;
    int rc;

    for (uint32_t p = 0; p < batch->parts; p++)
        bytes += describe(batch, &batch->part[p], section, at);
    while ((rc = outbox_begin(client->outbox, batch->parts, bytes, err)) ==
           -ERR_AGAIN) {
        rc = client_wait(client, err);
        if (rc)
            return rc;
    }
    return rc;
}

int client_push(struct client *client, const struct batch *batch,
                float *const *gradient, const struct journal_entry *standing,
                struct err *err)
{
    struct journal_entry with_counts = *standing;
    int rc = make_room(client, batch, err);

    if (rc)
        return rc;
    for (uint32_t p = 0; p < batch->parts; p++) {
        client_link_wake(client, &client->link[batch->part[p].server]);
        write_part(client, batch, &batch->part[p], gradient);
    }
    with_counts.pushes_sent += client->counts.pushes_sent;
    with_counts.pushes_resent += client->counts.pushes_resent;
    with_counts.bytes_pulled += client->counts.bytes_pulled;
    with_counts.bytes_pushed += client->counts.bytes_pushed;
    rc = outbox_commit(client->outbox, batch->clock, &with_counts, err);
    if (rc == 0)
        rc = enqueue(client, outbox_entries(client->outbox) - 1, err);
    client->last_pushed = batch->clock;
    if (client->cache && client->job->train.update == UPDATE_DELTA)
        pull_advance_kept(batch, client->cache, gradient);
    if (rc == 0)
        rc = client_tell_others(client, err);
    while (rc == 0) {
        rc = pump_pushes(client, err);
        if (rc || outbox_entries(client->outbox) <= client->window)
            break;
        rc = client_wait(client, err);
    }
    return rc;
}

uint64_t client_acknowledged(const struct client *client)
{
    uint64_t least = client->last_pushed;

    for (uint32_t s = 0; s < client->roster->servers; s++) {
        struct link *link = &client->link[s];

        if (link->count && link_at(link, 0)->parcel->clock - 1 < least)
            least = link_at(link, 0)->parcel->clock - 1;
    }
    return least;
}

/* Drops what is acknowledged; after `resend` the rest is sent again. */
static int receive_ack(struct client *client, uint32_t server, const struct message *m,
                       struct err *err)
{
    struct link *link = &client->link[server];
    bool waits = client->job->train.consistency != CONSISTENCY_ASYNC;

    /* Other workers may hold us up there for as long as they are alive. */
    if (!link->met || link->idle || m->ack.parked ||
        ((waits || client->joining) && client_owes_word(client, link)))
        link->moved_ms = client_now(client);
    if (!link->met) {
        link->met = true;
        if (m->ack.clock > link->after)
            link->after = m->ack.clock;
    }
    client_note_ack(client, link, &m->ack);
    while (link->count) {
        const struct parcel *oldest = link_at(link, 0)->parcel;

        if (oldest->clock > m->ack.clock &&
            !(oldest->after == m->ack.clock && oldest->part < m->ack.part))
            break;
        link->head = (link->head + 1) % link->capacity;
        link->count--;
        progress(client, server);
        if (link->sent)
            link->sent--;
    }
    outbox_drop(client->outbox, client_acknowledged(client));
    /* Several parcels in flight may each be answered so: once is enough. */
    if (m->ack.resend && link->sent &&
        client_now(client) - link->resent_ms >= RESEND_GAP_MS) {
        link->resent_ms = client_now(client);
        client->counts.pushes_resent += link->sent;
        link->sent = 0;
    }
    return pump_pushes(client, err);
}

/* --- both ------------------------------------------------------------------------ */

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
        struct batch *batch = client->pull[(client->pull_head + b) % CLIENT_PULLS_MAX];

        for (uint32_t i = 0; i < batch->parts; i++)
            if (batch->part[i].server == server && !batch->part[i].answered)
                batch->part[i].sent = false;
    }
    return 0;
}

/* A server's process that comes back has nothing of what was on its way to the one
 * before: no need to wait until the silence is long. */
static int note_incarnation(struct client *client, uint32_t server,
                            uint32_t incarnation, struct err *err)
{
    struct link *link = &client->link[server];
    bool anew = link->met && incarnation > link->incarnation;

    if (incarnation > link->incarnation)
        link->incarnation = incarnation;
    return anew ? resend(client, server, err) : 0;
}

int client_receive(struct client *client, uint32_t server, const struct message *m,
                   struct err *err)
{
    int rc = note_incarnation(client, server, m->incarnation, err);

    if (rc)
        return rc;
    switch (m->kind) {
    case MESSAGE_ROWS:
        rc = receive_rows(client, server, m, err);
        return rc ? rc : pump_pulls(client, err);
    case MESSAGE_ACK:
        return receive_ack(client, server, m, err);
    case MESSAGE_REFUSAL:
        /* A peer does not decide for how long we try, nor who has interrupted. */
        return err_set(err,
                       m->refusal.code == ERR_AGAIN ||
                               m->refusal.code == ERR_INTERRUPTED
                           ? ERR_PEER
                           : (int)m->refusal.code,
                       "%s", m->refusal.text);
    default:
        return err_set(err, ERR_PEER, "server %u sent a message of kind %d", server,
                       (int)m->kind);
    }
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
        return err_set(
            err, ERR_DEADLINE,
            "server %u (rank %u on %s) has not acknowledged the push of clock "
            "%llu for %g s",
            server, who->rank, who->host,
            (unsigned long long)link_at(link, 0)->parcel->clock,
            client->job->cluster.timeout);
    return err_set(err, ERR_DEADLINE,
                   "server %u (rank %u on %s) has not answered %u pulls for %g s",
                   server, who->rank, who->host, link->wanted,
                   client->job->cluster.timeout);
}

/* While we were computing nobody could be heard: that was no silence. */
static void forgive(struct client *client)
{
    int64_t time = client_now(client), away = time - client->listened_ms;

    for (uint32_t s = 0; s < client->roster->servers; s++) {
        struct link *link = &client->link[s];

        link->moved_ms = link->moved_ms + away < time ? link->moved_ms + away : time;
    }
}

int client_wait(struct client *client, struct err *err)
{
    int64_t time;
    int rc;

    forgive(client);
    rc = client->line.wait(client->line.context, client, TICK_MS, err);
    client->listened_ms = time = client_now(client);

    for (uint32_t s = 0; rc == 0 && s < client->roster->servers; s++) {
        struct link *link = &client->link[s];

        if (client_owes_word(client, link) && time >= link->tell_ms)
            rc = client_tell(client, s, err);
        if (rc || !client_link_busy(client, link))
            continue;
        if (time - link->moved_ms > (int64_t)(client->job->cluster.timeout * 1000))
            return too_late(client, s, err);
        if (time >= link->resend_ms) {
            link->resend_ms = time + CLIENT_RESEND_MS;
#ifndef MUTANT_RESEND
            rc = resend(client, s, err);
#endif
        } else if (time >= link->ask_ms) {
            link->ask_ms = time + CLIENT_ASK_MS;
            rc = ask_to_meet(client, s, err);
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

        link->moved_ms = client_now(client);
        link->resend_ms = link->moved_ms + TICK_MS;
        if (ask_to_meet(client, s, err))
            return -err->code;
    }
    for (uint32_t s = 0; s < client->roster->servers; s++)
        while (!client->link[s].met) {
            int rc = client_wait(client, err);

            if (rc)
                return rc;
        }
    return 0;
}

int client_finish_pull(struct client *client, struct batch *batch, struct err *err)
{
    while (batch->unanswered) {
        int rc = client_wait(client, err);

        if (rc)
            return rc;
    }
    client->pull_head = (client->pull_head + 1) % CLIENT_PULLS_MAX;
    client->pulls--;
    return 0;
}

int client_drain(struct client *client, struct err *err)
{
    while (client_acknowledged(client) < client->last_pushed) {
        int rc = client_wait(client, err);

        if (rc)
            return rc;
    }
    return 0;
}

const struct client_counts *client_counts(const struct client *client)
{
    return &client->counts;
}

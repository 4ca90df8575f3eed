/* What a client says about itself, besides pulls and pushes: how far it is, whether it
 * has data, and that it has some again. */
#include "worker/client_link.h"

enum { TELL_MS = 100 }; /* how long an acknowledgement of a clock may take */

int64_t client_now(const struct client *client)
{
    return client->line.now_ms(client->line.context);
}

static bool has_joined(const struct client *client, const struct link *link)
{
    return link->order == client->order && link->stint == client->stint;
}

bool client_link_busy(const struct client *client, const struct link *link)
{
    return link->wanted > 0 || link->count > 0 || !link->met ||
           (client->idle && !link->idle) ||
           (client->joining && !has_joined(client, link));
}

void client_link_wake(struct client *client, struct link *link)
{
    if (client_link_busy(client, link))
        return;
    link->moved_ms = client_now(client);
    link->ask_ms = link->moved_ms + CLIENT_ASK_MS;
    link->resend_ms = link->moved_ms + CLIENT_RESEND_MS;
}

int client_send(struct client *client, uint32_t server, struct buffer *body,
                struct err *err)
{
    int rc = client->line.send(client->line.context, server, &client->message, body,
                               err);

    if (rc == -ERR_AGAIN || rc == -ERR_PEER)
        return 0;
    return rc ? rc : 1;
}

struct reach client_reach(const struct client *client, uint32_t server)
{
    return (struct reach){client->order, client->last_pushed,
                          client->link[server].after, client->idle, client->stint};
}

int client_tell(struct client *client, uint32_t server, struct err *err)
{
    struct link *link = &client->link[server];
    int rc;

    client->message.kind = MESSAGE_CLOCK;
    client->message.sections = 0;
    client->message.reach = client_reach(client, server);
    rc = client_send(client, server, NULL, err);
    link->tell_ms = client_now(client) + TELL_MS;
    return rc < 0 ? rc : 0;
}

static int tell_all(struct client *client, struct err *err)
{
    int rc = 0;

    for (uint32_t s = 0; s < client->roster->servers && rc == 0; s++)
        rc = client_tell(client, s, err);
    return rc;
}

bool client_owes_word(const struct client *client, const struct link *link)
{
    if (!client->order || !link->met)
        return false;
    return (client->idle && !link->idle) ||
           (client->joining && !has_joined(client, link)) ||
           (client->job->train.consistency != CONSISTENCY_ASYNC &&
            link->through < client->last_pushed);
}

int client_tell_others(struct client *client, struct err *err)
{
    if (client->job->train.consistency == CONSISTENCY_ASYNC)
        return 0;
    for (uint32_t s = 0; s < client->roster->servers; s++)
        if (client->link[s].after != client->last_pushed) {
            int rc = client_tell(client, s, err);

            if (rc < 0)
                return rc;
        }
    return 0;
}

void client_note_ack(const struct client *client, struct link *link,
                     const struct ack *ack)
{
    bool newer = ack->order > link->order ||
                 (ack->order == link->order && ack->stint > link->stint);

    if (ack->through > link->through)
        link->through = ack->through;
    if (newer) { /* acknowledgements may overtake each other */
        link->order = ack->order;
        link->stint = ack->stint;
    }
    link->idle_order = ack->idle_order;
    link->idle = ack->idle_order == client->order &&
                 (ack->order != client->order || ack->stint == client->stint);
}

/* An earlier process may have been idle in the same order, at some servers or at all,
 * and come back: this one begins a stint that none of them knows. Under bsp nobody ever
 * comes back. */
static void find_stint(struct client *client)
{
    client->stint = 0;
    client->joining = false;
    if (client->job->train.consistency == CONSISTENCY_BSP)
        return;
    for (uint32_t s = 0; s < client->roster->servers; s++) {
        const struct link *link = &client->link[s];

        if (link->order != client->order)
            continue;
        client->joining |= link->stint > 0 || link->idle_order == client->order;
        if (link->stint > client->stint)
            client->stint = link->stint;
    }
    client->stint += client->joining;
}

void client_begin_order(struct client *client, uint64_t order, uint64_t clock)
{
    client->order = order;
    client->idle = false;
#ifndef MUTANT_CACHE_ORDER
    if (client->cache) /* clocks may go back to what was pushed last */
        row_cache_clear(client->cache, clock);
#endif
    if (clock > client->last_pushed)
        client->last_pushed = clock;
    find_stint(client);
    for (uint32_t s = 0; s < client->roster->servers; s++)
        client->link[s].idle = false;
}

int client_end_order(struct client *client, struct err *err)
{
    for (uint32_t s = 0; s < client->roster->servers; s++)
        client_link_wake(client, &client->link[s]);
    client->idle = true;
    client->joining = false;
    return tell_all(client, err);
}

bool client_has_ended(const struct client *client)
{
    for (uint32_t s = 0; s < client->roster->servers; s++)
        if (!client->link[s].idle)
            return false;
    return true;
}

/* Every server has let us in, each at a clock of its own: the highest one is behind us
 * everywhere. */
static int settle_clock(struct client *client, uint64_t *clock, struct err *err)
{
    for (uint32_t s = 0; s < client->roster->servers; s++)
        if (client->link[s].through > client->last_pushed)
            client->last_pushed = client->link[s].through;
    client->joining = false;
    if (client->last_pushed > *clock)
        *clock = client->last_pushed;
    return client_tell_others(client, err);
}

static bool all_joined(const struct client *client)
{
    for (uint32_t s = 0; s < client->roster->servers; s++)
        if (!has_joined(client, &client->link[s]))
            return false;
    return true;
}

int client_join(struct client *client, uint64_t *clock, struct err *err)
{
    int rc;

    if (!client->idle && !client->joining)
        return 0;
    for (uint32_t s = 0; s < client->roster->servers; s++)
        client_link_wake(client, &client->link[s]);
    if (client->idle)
        client->stint++;
    client->idle = false;
    client->joining = true;
    for (uint32_t s = 0; s < client->roster->servers; s++)
        client->link[s].idle = false;
    rc = tell_all(client, err);
    while (rc == 0 && !all_joined(client))
        rc = client_wait(client, err);
    return rc ? rc : settle_clock(client, clock, err);
}

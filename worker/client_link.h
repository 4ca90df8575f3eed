/* What a client consists of, shared by client.c (pulls and pushes) and client_order.c
 * (what it says about itself). Nobody else includes this. */
#ifndef ROWHOUSE_WORKER_CLIENT_LINK_H
#define ROWHOUSE_WORKER_CLIENT_LINK_H

#include <stdlib.h>

#include "worker/client.h"

/* A part of a push that is not acknowledged; both are in the outbox. */
struct unacknowledged {
    const struct parcel *parcel;
    struct buffer *body;
};

/* What goes on with one server. */
struct link {
    struct unacknowledged *ring;
    uint32_t capacity, head, count;
    uint32_t sent;        /* of those, how many have been sent */
    uint64_t after;       /* last clock pushed to this server */
    uint64_t through;     /* what it has acknowledged, with rows there or without */
    bool met, idle;       /* it knows us; it knows that we are idle */
    uint64_t order;       /* the training order that it is in, */
    uint64_t stint;       /* and ours in that; */
    uint64_t idle_order;  /* the last one in which it took us for idle */
    uint32_t wanted;      /* pull parts not answered, */
    uint32_t asked;       /* and of those, how many have been sent */
    int64_t moved_ms;     /* last answer that brought us on, or the wait's begin */
    int64_t resend_ms;    /* when to send again if nothing is heard */
    int64_t resent_ms;    /* when a server asked for it last */
    int64_t ask_ms;       /* when to ask for a sign of life */
    int64_t tell_ms;      /* when to tell it again how far we are */
    uint32_t incarnation; /* of its process, as far as we know */
};

enum {
    CLIENT_RESEND_MS = 1000, /* silence after which is asked or sent again */
    CLIENT_ASK_MS =
        50, /* silence after which a server is asked whether it is the same */
    CLIENT_PULLS_MAX = 128, /* batches being pulled */
};

struct client {
    const struct job *job;
    const struct roster *roster;
    struct line line;
    struct buffer_pool *pool;
    uint32_t window;
    struct link *link;
    struct batch *pull[CLIENT_PULLS_MAX]; /* ring of batches being pulled, in order */
    uint32_t pull_head, pulls;
    uint64_t request;        /* the next one */
    struct outbox *outbox;   /* borrowed, as the cache */
    struct row_cache *cache; /* or NULL */
    uint64_t last_pushed;    /* clock */
    uint64_t order, stint;   /* being trained */
    bool idle;               /* no data left in it */
    bool joining;            /* has data again, and not every server knows */
    int64_t listened_ms;     /* until then we have heard what there was to hear */
    struct client_counts counts;
    struct message message;
};

/* client_order.c */
int64_t client_now(const struct client *client);
/* Is there something that the server owes us? */
bool client_link_busy(const struct client *client, const struct link *link);
/* Starts the clock of a link that had nothing to wait for. */
void client_link_wake(struct client *client, struct link *link);
/* Sends client->message; 1 sent, 0 not now. */
int client_send(struct client *client, uint32_t server, struct buffer *body,
                struct err *err);
struct reach client_reach(const struct client *client, uint32_t server);
/* Tells a server how far we are. */
int client_tell(struct client *client, uint32_t server, struct err *err);
/* Servers without rows in the batch learn of its clock, too, when others may wait for
 * it. */
int client_tell_others(struct client *client, struct err *err);
/* Does the server have to hear from us before others can go on, or we? */
bool client_owes_word(const struct client *client, const struct link *link);
void client_note_ack(const struct client *client, struct link *link,
                     const struct ack *ack);

static inline struct unacknowledged *link_at(struct link *link, uint32_t i)
{
    return &link->ring[(link->head + i) % link->capacity];
}

static inline int link_add(struct link *link, const struct parcel *parcel,
                           struct buffer *body)
{
    if (link->count == link->capacity) {
        uint32_t capacity = link->capacity ? link->capacity * 2 : 16;
        struct unacknowledged *bigger = malloc(capacity * sizeof *bigger);

        if (!bigger)
            return -ERR_MEMORY;
        for (uint32_t i = 0; i < link->count; i++)
            bigger[i] = *link_at(link, i);
        free(link->ring);
        link->ring = bigger;
        link->capacity = capacity;
        link->head = 0;
    }
    *link_at(link, link->count++) = (struct unacknowledged){parcel, body};
    return 0;
}

#endif

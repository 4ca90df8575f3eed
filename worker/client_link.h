/* What goes on between a client and one server. Used by client.c only. */
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
    uint32_t wanted;      /* pull parts not answered, */
    uint32_t asked;       /* and of those, how many have been sent */
    int64_t moved_ms;     /* last answer that brought us on, or the wait's begin */
    int64_t resend_ms;    /* when to send again if nothing is heard */
    int64_t resent_ms;    /* when a server asked for it last */
    int64_t ask_ms;       /* when to ask for a sign of life */
    int64_t tell_ms;      /* when to tell it again how far we are */
    uint32_t incarnation; /* of its process, as far as we know */
};

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

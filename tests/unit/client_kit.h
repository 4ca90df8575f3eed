/* A client and real servers' cores, for tests of the worker's side; the network between
 * them, and time, are the test's. */
#ifndef ROWHOUSE_TESTS_UNIT_CLIENT_KIT_H
#define ROWHOUSE_TESTS_UNIT_CLIENT_KIT_H

#include "tests/unit/core_kit.h"
#include "tests/unit/heap_count.h"
#include "worker/client.h"

enum {
    SERVERS = 2,
    WORKERS = 2, /* the other one is the test's, if it wants it */
    INBOX = 256,
    KEYS = 64,
    WIDTH = 3,
    TIMEOUT_MS = 5000,
    EXAMPLES_MOST = 300000,
};

/* An answer on its way, and the request that it answers: until it comes, the request's
 * body is held by the network. */
struct mail {
    uint32_t server;
    struct message message;
    struct buffer *body, *asked;
};

/* The servers, and what the network does to messages. */
struct net_kit {
    struct core_kit *server[SERVERS];
    struct roster roster;
    uint32_t width[1];
    int64_t now_ms;
    struct client *client;
    struct outbox *outbox;
    void *memory; /* of the outbox; outlives the worker's process */
    uint64_t memory_bytes;
    struct buffer_pool *pool;
    struct mail inbox[INBOX];
    uint32_t inbox_n;
    bool blocked[SERVERS]; /* nothing can be sent there */
    bool mute[SERVERS];    /* what is sent there is lost */
    uint32_t incarnation[SERVERS];
    bool deaf_to_pulls; /* pulls are lost */
    bool early;         /* pushes are never applied: resend */
    bool held;          /* answers wait until this is over */
    bool no_acks;       /* acknowledgements are lost */
    struct refusal *refusal;
    uint32_t pushes_most; /* no more can be sent than so many parts; 0 = any number */
    uint32_t pushes_sent, pulls_sent;
    uint64_t heap; /* calls for memory in pulls and pushes, servers' included */
};

static inline void deliver(struct net_kit *kit, uint32_t server,
                           const struct message *message, struct buffer *body,
                           struct buffer *asked)
{
    assert_true(kit->inbox_n < INBOX);
    kit->inbox[kit->inbox_n++] = (struct mail){server, *message, body,
                                               asked ? buffer_ref(asked) : NULL};
}

static inline void serve(struct net_kit *kit, uint32_t server,
                         const struct message *message, struct buffer *body)
{
    static struct message in, out;
    struct buffer *answer = NULL;
    struct peer to;
    struct err err;

    in = *message;
    in.role = ROLE_WORKER;
    in.sender = 0;
    in.body = body ? body->data : (const unsigned char *)"";
    in.body_bytes = body ? body->used : 0;
    out.sections = 0;
    if (kit->refusal) {
        out.kind = MESSAGE_REFUSAL;
        out.refusal = *kit->refusal;
    } else if (kit->early && in.kind == MESSAGE_PUSH && in.push.clock) {
        out.kind = MESSAGE_ACK;
        out.ack = (struct ack){.resend = true};
    } else if (core_handle(kit->server[server]->core, &in, &err) ||
               !core_next(kit->server[server]->core, &to, &out, &answer)) {
        return; /* no memory for an answer */
    }
    if (kit->no_acks && out.kind == MESSAGE_ACK)
        return;
    out.incarnation = kit->incarnation[server];
    out.body = answer ? answer->data : (const unsigned char *)"";
    out.body_bytes = answer ? answer->used : 0;
    deliver(kit, server, &out, answer, body);
}

static inline int line_send(void *context, uint32_t server,
                            const struct message *message, struct buffer *body,
                            struct err *err)
{
    struct net_kit *kit = context;

    if (kit->blocked[server] || (message->kind == MESSAGE_PUSH && kit->pushes_most &&
                                 kit->pushes_sent == kit->pushes_most))
        return err_set(err, ERR_AGAIN, "not now");
    kit->pushes_sent += message->kind == MESSAGE_PUSH && message->push.clock;
    kit->pulls_sent += message->kind == MESSAGE_PULL;
    assert_int_equal(
        body ? body->used : 0,
        message_layout(message->kind, message->section, message->sections, NULL));
    if (kit->mute[server] || (kit->deaf_to_pulls && message->kind == MESSAGE_PULL))
        return 0;
    serve(kit, server, message, body);
    return 0;
}

static inline int line_wait(void *context, struct client *client, int timeout_ms,
                            struct err *err)
{
    struct net_kit *kit = context;
    uint32_t n = kit->held ? 0 : kit->inbox_n;
    int rc = 0;

    if (n == 0) {
        kit->now_ms += timeout_ms;
        assert_true(kit->now_ms < 100 * TIMEOUT_MS); /* it waits for ever */
    }
    for (uint32_t i = 0; i < n; i++) {
        struct mail *mail = &kit->inbox[i];

        if (rc == 0)
            rc = client_receive(client, mail->server, &mail->message, err);
        buffer_unref(mail->body);
        buffer_unref(mail->asked);
    }
    kit->inbox_n -= n;
    memmove(kit->inbox, kit->inbox + n, kit->inbox_n * sizeof kit->inbox[0]);
    return rc;
}

static inline int64_t line_now(void *context)
{
    return ((struct net_kit *)context)->now_ms;
}

/* --- the kit
 * ---------------------------------------------------------------------------- */

static inline void open_client(struct net_kit *kit, uint32_t window)
{
    struct line line = {line_send, line_wait, line_now, kit};
    struct err err;

    if (outbox_open(kit->memory, kit->memory_bytes, &kit->outbox, &err) ||
        client_create(&kit->server[0]->job, &kit->roster, line, kit->pool, kit->outbox,
                      window, &kit->client, &err))
        fail_msg("%s", err.text);
}

/* The end of the worker's process, and of what it had on its way. */
static inline void close_client(struct net_kit *kit)
{
    for (uint32_t i = 0; i < kit->inbox_n; i++) {
        buffer_unref(kit->inbox[i].asked);
        kit->inbox[i].asked = NULL;
    }
    client_destroy(kit->client);
    outbox_close(kit->outbox);
}

static inline struct net_kit *net_kit_create(uint32_t window)
{
    struct net_kit *kit = calloc(1, sizeof *kit);

    kit->roster.servers = SERVERS;
    kit->roster.workers = WORKERS;
    for (uint32_t s = 0; s < SERVERS; s++) {
        struct err err;

        kit->server[s] = core_kit_create(SERVERS, WORKERS);
        kit->server[s]->job.cluster.timeout = TIMEOUT_MS / 1000;
        core_destroy(kit->server[s]->core);
        assert_int_equal(core_create(&kit->server[s]->job, s, SERVERS, WORKERS,
                                     &kit->server[s]->region, kit->server[s]->pool,
                                     &kit->server[s]->core, &err),
                         0);
        kit->roster.server[s].rank = s;
        snprintf(kit->roster.server[s].host, 64, "tower%u", s);
    }
    kit->width[0] = WIDTH;
    kit->memory_bytes = client_outbox_bytes(&(uint64_t){EXAMPLES_MOST}, kit->width, 1,
                                            SERVERS, 4);
    kit->memory = calloc(1, kit->memory_bytes);
    kit->pool = buffer_pool_create(64 << 20);
    kit->now_ms = 1000;
    open_client(kit, window);
    return kit;
}

static inline void net_kit_destroy(struct net_kit *kit)
{
    close_client(kit);
    for (uint32_t i = 0; i < kit->inbox_n; i++)
        buffer_unref(kit->inbox[i].body);
    for (uint32_t s = 0; s < SERVERS; s++)
        core_kit_destroy(kit->server[s]);
    buffer_pool_destroy(kit->pool);
    free(kit->memory);
    free(kit);
}

/* The worker's process dies, another begins. */
static inline void restart_client(struct net_kit *kit, uint32_t window)
{
    close_client(kit);
    open_client(kit, window);
}

static inline void meet(struct net_kit *kit)
{
    struct err err;

    if (client_meet(kit->client, &err))
        fail_msg("%s", err.text);
    client_begin_order(kit->client, 3, 0);
}

/* A batch over `n` keys from `first` on, of table 0. */
static inline void batch_fill(struct net_kit *kit, struct batch *batch, uint64_t clock,
                              uint64_t first, uint32_t n)
{
    uint64_t *key = malloc(n * sizeof *key);
    struct err err;

    for (uint32_t i = 0; i < n; i++)
        key[i] = first + i;
    if (batch->capacity == 0)
        assert_int_equal(batch_create(batch, kit->width, 1, SERVERS, n, &err), 0);
    batch->n = n;
    batch->clock = clock;
    keyset_build(&batch->set[0], key, n, 1, SERVERS);
    assert_int_equal(batch_cut(batch, &err), 0);
    free(key);
}

static inline int pull(struct net_kit *kit, struct batch *batch, struct err *err)
{
    int rc;

    kit->heap -= heap_count();
    rc = client_begin_pull(kit->client, batch, err);
    if (rc == 0)
        rc = client_finish_pull(kit->client, batch, err);
    kit->heap += heap_count();
    return rc;
}

/* Every gradient is -1. */
static inline int push(struct net_kit *kit, struct batch *batch, struct err *err)
{
    size_t floats = (size_t)batch->set[0].rows * WIDTH;
    float *gradient = malloc(floats * sizeof *gradient);
    float *const gradients[1] = {gradient};
    struct journal_entry standing = {.clock = batch->clock};
    int rc;

    for (size_t i = 0; i < floats; i++)
        gradient[i] = -1;
    kit->heap -= heap_count();
    rc = client_push(kit->client, batch, gradients, &standing, err);
    kit->heap += heap_count();
    free(gradient);
    return rc;
}

static inline float value_of(const struct net_kit *kit, uint64_t key)
{
    for (uint32_t s = 0; s < SERVERS; s++) {
        const struct core *core = kit->server[s]->core;
        uint32_t tables;
        float *row;

        if (!core_owns(core, 0, key))
            continue;
        table_find(core_tables(core, &tables)[0], &key, 1, &row);
        return row ? row[0] : 0;
    }
    return -1;
}

static inline void assert_says(int rc, int code, const struct err *err,
                               const char *text)
{
    assert_int_equal(rc, -code);
    if (!strstr(err->text, text))
        fail_msg("'%s' does not say '%s'", err->text, text);
}

#endif

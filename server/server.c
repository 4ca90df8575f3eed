#include "server/server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/clock.h"
#include "common/cpu.h"
#include "common/log.h"
#include "common/net/member.h"
#include "server/collapse.h"
#include "server/core.h"
#include "server/restore.h"
#include "server/shard.h"

enum {
    WAIT_MS = 50,
    REPORT_MS = 100,
    BURST = 64, /* messages handled before orders are looked at */
};

struct server {
    const struct server_setup *setup;
    struct core *core;
    struct port *port;
    struct member *member;     /* NULL without a coordinator */
    struct collapse *collapse; /* NULL: not in memory of its own */
    struct status status;
    struct message in, out;
    struct order order; /* the last one looked at */
    bool ended;
    int exit_status;
};

static void report(struct server *server, bool now)
{
    if (server->core)
        core_fill_status(server->core, &server->status);
    server->status.cpu_seconds = clock_cpu_seconds();
    if (server->member)
        member_report(server->member, &server->status, now);
}

/* Sends what there is to answer. What cannot be sent is not kept: the worker asks
 * again. */
static int send_answers(struct server *server, struct err *err)
{
    struct buffer *body;
    struct peer to;
    int rc = 0;

    while (core_next(server->core, &to, &server->out, &body)) {
        if (rc == 0)
            rc = port_send(server->port, to, &server->out, body, err);
        if (rc == -ERR_AGAIN || rc == -ERR_PEER)
            rc = 0;
        buffer_unref(body);
    }
    return rc;
}

static int serve(struct server *server, struct frame *frame, struct err *err)
{
    int rc = 0;

    for (int i = 0; i < BURST; i++) {
        struct err bad;

        rc = port_receive(server->port, &server->in, frame, &bad);
        if (rc == 0)
            break;
        if (rc < 0) {
            log_warn("server %u dropped a message: %s", server->setup->index, bad.text);
            rc = 0;
            continue;
        }
        core_set_time(server->core, clock_seconds());
        rc = core_handle(server->core, &server->in, err);
        frame_release(frame);
        if (rc == 0)
            rc = send_answers(server, err);
        if (rc)
            break;
    }
    return rc;
}

static int restore(struct server *server, const char *path, struct err *err)
{
    server->status.phase = PHASE_RESTORING;
    report(server, true);
    return path[0] ? core_restore(server->core, path, err)
                   : core_first_rows(server->core, err);
}

static int save(struct server *server, const char *dir, struct err *err)
{
    const struct table *const *table;
    struct shard_facts facts;
    char path[2048], name[SHARD_NAME_MAX];
    uint32_t tables;
    int rc;

    server->status.phase = PHASE_SAVING;
    report(server, true);
    table = core_tables(server->core, &tables);
    shard_name(server->setup->index, server->setup->roster->servers, name);
    snprintf(path, sizeof path, "%s/%s", dir, name);
    rc = shard_write(path, server->setup->index, server->setup->roster->servers, table,
                     core_table_names(server->core), tables, &facts, err);
    if (rc)
        return rc;
    server->status.shard_bytes = facts.bytes;
    server->status.shard_rows = facts.rows;
    server->status.shard_checksum = facts.checksum;
    return 0;
}

static int obey(struct server *server, const struct order *order, struct err *err)
{
    int rc = 0;

    switch (order->kind) {
    case ORDER_LOAD:
        rc = restore(server, order->path, err);
        break;
    case ORDER_SAVE:
        rc = save(server, order->path, err);
        break;
    case ORDER_END:
        server->ended = true;
        server->exit_status = order->exit_status;
        break;
    case ORDER_TRAIN:
    case ORDER_STOP: /* it may come so soon that the order to train was not seen */
        if (order->ranges != server->setup->roster->workers)
            return err_set(
                err, ERR_PEER, "server %u got the shares of %u workers, not %u",
                server->setup->index, order->ranges, server->setup->roster->workers);
        core_set_time(server->core, clock_seconds());
        rc = core_begin_training(server->core, order->train, order->clock, order->range,
                                 err);
        if (rc == 0)
            rc = send_answers(server, err);
        break;
    default: /* the workers' orders: there is nothing to do but serve */
        break;
    }
    if (rc)
        return rc;
    server->status.phase = server->ended ? PHASE_ENDED : PHASE_IDLE;
    server->status.epoch = order->epoch;
    server->status.done = order->number;
    report(server, true);
    return 0;
}

static int look_at_orders(struct server *server, struct err *err)
{
    int rc;

    if (!server->member)
        return 0;
    rc = member_order(server->member, server->order.number, server->order.dealt,
                      &server->order, err);
    if (rc > 0)
        rc = obey(server, &server->order, err);
    return rc;
}

static int loop(struct server *server, struct err *err)
{
    int64_t report_at = 0;
    struct frame frame = {0};
    int rc = 0;

    while (rc == 0 && !server->ended) {
        int fd = server->member ? member_fd(server->member) : -1;

        if (server->setup->stop &&
            __atomic_load_n(server->setup->stop, __ATOMIC_ACQUIRE))
            break;
        port_wait(&server->port, 1, &fd, server->member ? 1 : 0, WAIT_MS);
        rc = serve(server, &frame, err);
        if (rc == 0)
            rc = look_at_orders(server, err);
        if (clock_ms() >= report_at) {
            report(server, false);
            report_at = clock_ms() + REPORT_MS;
        }
    }
    frame_free(&frame);
    return rc;
}

/* Tells the coordinator why, and gives it a moment to end the job in an orderly way. A
 * coordinator that has gone says nothing to anybody. */
static void confess(struct server *server, const struct err *err)
{
    struct err ignored;
    int64_t until = clock_ms() + 2000;

    if (server->setup->stop) /* there is none */
        return;
    server->status.error = (uint32_t)err->code;
    memcpy(server->status.text, err->text, sizeof server->status.text);
    report(server, true);
    while (server->member && !server->ended && clock_ms() < until) {
        int fd = member_fd(server->member);

        port_wait(NULL, 0, &fd, 1, WAIT_MS);
        if (member_order(server->member, server->order.number, server->order.dealt,
                         &server->order, &ignored) < 0)
            break;
        if (server->order.kind == ORDER_END)
            obey(server, &server->order, &ignored);
    }
    if (!server->ended)
        log_error("%s", err->text); /* nobody else says it */
}

static int open_all(struct server *server, struct err *err)
{
    const struct server_setup *setup = server->setup;
    const struct roster *roster = setup->roster;
    struct peer self = {ROLE_SERVER, setup->index, setup->incarnation};
    const struct table *const *table;
    uint32_t tables;
    int rc = 0;

    server->status.rank = roster->server[setup->index].rank;
    memcpy(server->status.host, roster->server[setup->index].host,
           sizeof server->status.host);
    /* First the line to the coordinator, so that it hears of what fails after it. */
    if (!setup->stop)
        rc = member_create(setup->net, roster->coordinator, self, roster->job,
                           (int)(setup->job->cluster.timeout * 1000), &server->member,
                           err);
    if (rc == 0) {
        report(server, true); /* taking up a large region can last */
        rc = core_create(setup->job, setup->index, roster->servers, roster->workers,
                         setup->region, setup->pool, &server->core, err);
    }
    if (rc == 0)
        rc = port_listen(setup->net, roster->server[setup->index].endpoint,
                         setup->listen_fd, self, roster->job, &server->port, err);
    if (rc == 0) {
        table = core_tables(server->core, &tables);
        rc = collapse_start(setup->region, table, tables, &server->collapse, err);
    }
    return rc;
}

int server_run(const struct server_setup *setup, int *exit_status, struct err *err)
{
    struct server *server = calloc(1, sizeof *server);
    int rc;

    if (!server)
        return err_set(err, ERR_MEMORY, "no memory for server %u", setup->index);
    server->setup = setup;
    cpu_flush_tiny();
    rc = open_all(server, err);
    if (rc == 0) {
        report(server, true);
        rc = loop(server, err);
    }
    if (rc)
        confess(server, err);
    *exit_status = server->ended ? server->exit_status : err_exit_status(-rc);
    member_destroy(server->member);
    port_close(server->port);
    collapse_stop(server->collapse);
    core_destroy(server->core);
    free(server);
    return rc;
}

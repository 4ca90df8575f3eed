#include "worker/lines.h"

#include <stdlib.h>

#include "common/clock.h"
#include "common/log.h"

struct lines {
    const struct roster *roster; /* borrowed */
    struct member *member;       /* borrowed */
    struct port **port;          /* [servers] */
    struct frame frame;
    struct message message;
    struct order order;
};

int lines_create(struct net *net, const struct roster *roster, struct peer self,
                 struct member *member, struct lines **out, struct err *err)
{
    struct lines *lines = calloc(1, sizeof *lines);
    int rc = 0;

    if (lines)
        lines->port = calloc(roster->servers, sizeof(struct port *));
    if (!lines || !lines->port) {
        free(lines);
        return err_set(err, ERR_MEMORY, "no memory for %u lines", roster->servers);
    }
    lines->roster = roster;
    lines->member = member;
    for (uint32_t s = 0; s < roster->servers && rc == 0; s++)
        rc = port_connect(net, roster->server[s].endpoint, self, roster->job,
                          &lines->port[s], err);
    if (rc) {
        lines_destroy(lines);
        return rc;
    }
    *out = lines;
    return 0;
}

void lines_destroy(struct lines *lines)
{
    if (!lines)
        return;
    for (uint32_t s = 0; s < lines->roster->servers; s++)
        port_close(lines->port[s]);
    frame_free(&lines->frame);
    free(lines->port);
    free(lines);
}

static int line_send(void *context, uint32_t server, const struct message *message,
                     struct buffer *body, struct err *err)
{
    struct lines *lines = context;

    return port_send(lines->port[server], (struct peer){0}, message, body, err);
}

static int receive_all(struct lines *lines, struct client *client, struct err *err)
{
    for (uint32_t s = 0; s < lines->roster->servers; s++) {
        for (;;) {
            struct err bad;
            int rc = port_receive(lines->port[s], &lines->message, &lines->frame, &bad);

            if (rc == 0)
                break;
            if (rc < 0) {
                log_warn("dropped a message of server %u: %s", s, bad.text);
                continue;
            }
            rc = client_receive(client, s, &lines->message, err);
            frame_release(&lines->frame);
            if (rc)
                return rc;
        }
    }
    return 0;
}

static int line_wait(void *context, struct client *client, int timeout_ms,
                     struct err *err)
{
    struct lines *lines = context;
    int fd = lines->member ? member_fd(lines->member) : -1;
    int rc;

    port_wait(lines->port, lines->roster->servers, &fd, lines->member ? 1 : 0,
              timeout_ms);
    rc = lines_look(lines, err);
    if (rc < 0)
        return rc;
    if (lines->order.kind == ORDER_END)
        return err_set(err, ERR_INTERRUPTED, "the job is ending");
    return receive_all(lines, client, err);
}

static int64_t line_now(void *context)
{
    (void)context;
    return clock_ms();
}

struct line lines_line(struct lines *lines)
{
    return (struct line){line_send, line_wait, line_now, lines};
}

const struct order *lines_order(struct lines *lines)
{
    return &lines->order;
}

int lines_look(struct lines *lines, struct err *err)
{
    if (!lines->member)
        return 0;
    return member_order(lines->member, lines->order.number, lines->order.dealt,
                        &lines->order, err);
}

int lines_wait_order(struct lines *lines, int timeout_ms, struct err *err)
{
    int fd = member_fd(lines->member);

    port_wait(NULL, 0, &fd, 1, timeout_ms);
    return lines_look(lines, err);
}

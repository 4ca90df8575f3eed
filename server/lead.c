#include "server/lead.h"

#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "server/checkpoint.h"
#include "server/preparation.h"

enum { TICK_MS = 50, BURST = 256 };

struct lead {
    const struct lead_setup *setup;
    struct coordinator *coordinator;
    struct port *port;
    struct frame frame;
    struct message in, out;
    uint64_t sent; /* the news that all have been told */
};

static int begin_save(void *context, uint64_t number, char *path, size_t size,
                      struct err *err)
{
    struct lead *lead = context;

    return checkpoint_begin(lead->setup->plan.job->checkpoint.dir, number, path, size,
                            err);
}

static int finish_save(void *context, const char *path, const struct manifest *manifest,
                       struct err *err)
{
    struct lead *lead = context;
    const struct job *job = lead->setup->plan.job;
    uint64_t earlier = lead->setup->plan.checkpoint_last;
    uint64_t keep = (uint64_t)job->checkpoint.keep;

    if (lead->setup->secure && lead->setup->secure(lead->setup->data, err))
        return -err->code;
    if (preparation_keep(job->checkpoint.dir, path, &manifest->data, err) ||
        manifest_write(path, manifest, err))
        return -err->code;
    if (lead->setup->remove_old && manifest->number - earlier < keep)
        keep = manifest->number - earlier;
    checkpoint_prune(job->checkpoint.dir, keep, manifest->best.checkpoint);
    return 0;
}

static void epoch_done(void *context, const struct epoch_record *record)
{
    struct lead *lead = context;

    if (lead->setup->epoch_done)
        lead->setup->epoch_done(lead->setup->context, record);
}

static int find_saved(void *context, uint64_t number, char *path, size_t size,
                      struct err *err)
{
    struct lead *lead = context;

    return checkpoint_path(lead->setup->plan.job->checkpoint.dir, number, path, size,
                           err);
}

static int64_t now_ms(void *context)
{
    (void)context;
    return clock_ms();
}

static void send_order(struct lead *lead, struct peer to)
{
    struct err ignored;

    lead->out.kind = MESSAGE_ORDER;
    lead->out.sections = 0;
    coordinator_order(lead->coordinator, to, &lead->out.order);
    /* Who cannot be reached now asks again with its next status. */
    port_send(lead->port, to, &lead->out, NULL, &ignored);
}

static void refuse(struct lead *lead, struct peer to, const struct err *err)
{
    struct err ignored;

    lead->out.kind = MESSAGE_REFUSAL;
    lead->out.sections = 0;
    lead->out.refusal.code = (uint32_t)err->code;
    memcpy(lead->out.refusal.text, err->text, sizeof lead->out.refusal.text);
    port_send(lead->port, to, &lead->out, NULL, &ignored);
}

static void take_one(struct lead *lead)
{
    struct peer from = {lead->in.role, lead->in.sender, lead->in.incarnation};
    struct err err;

    if (lead->in.kind != MESSAGE_STATUS) {
        log_warn("the coordinator dropped a message that is not a status");
        return;
    }
    if ((lead->in.sections &&
         coordinator_counts(lead->coordinator, from, &lead->in, &err)) ||
        coordinator_take(lead->coordinator, from, &lead->in.status, clock_ms(), &err)) {
        refuse(lead, from, &err);
        return;
    }
    send_order(lead, from);
}

static void take_all(struct lead *lead)
{
    for (int i = 0; i < BURST; i++) {
        struct err err;
        int rc = port_receive(lead->port, &lead->in, &lead->frame, &err);

        if (rc == 0)
            break;
        if (rc < 0) {
            log_warn("the coordinator dropped a message: %s", err.text);
            continue;
        }
        take_one(lead);
        frame_release(&lead->frame);
    }
}

/* Orders that have changed go to everyone at once. */
static void spread_orders(struct lead *lead)
{
    const struct roster *roster = lead->setup->plan.roster;

    if (lead->sent == coordinator_news(lead->coordinator))
        return;
    lead->sent = coordinator_news(lead->coordinator);
    for (uint32_t i = 0; i < roster->servers + roster->workers; i++) {
        struct peer to = {ROLE_SERVER, i, 0};

        if (i >= roster->servers)
            to = (struct peer){ROLE_WORKER, i - roster->servers, 0};
        to.incarnation = coordinator_incarnation(lead->coordinator, to);
        send_order(lead, to);
    }
}

static void look_at_interrupts(struct lead *lead)
{
    struct signalfd_siginfo info;

    while (lead->setup->interrupt_fd >= 0 &&
           read(lead->setup->interrupt_fd, &info, sizeof info) == sizeof info)
        coordinator_interrupt(lead->coordinator, clock_ms());
}

static void look_at_data(struct lead *lead)
{
    const struct lead_setup *setup = lead->setup;
    uint64_t known = coordinator_known(lead->coordinator);
    bool grows = coordinator_grows(lead->coordinator);
    struct err err;

    if (!setup->grow || setup->memory->state.stage == STAGE_END)
        return;
    if (setup->grow(setup->data, coordinator_floor(lead->coordinator), &known, &grows,
                    &err))
        coordinator_fail(lead->coordinator, &err, clock_ms());
    else
        coordinator_grow(lead->coordinator, known, grows);
}

static void run(struct lead *lead)
{
    const struct lead_setup *setup = lead->setup;
    struct run_view view;

    while (!coordinator_finished(lead->coordinator, clock_ms())) {
        __atomic_store_n(&setup->memory->alive_ms, clock_ms(), __ATOMIC_RELAXED);
        port_wait(&lead->port, 1, &setup->interrupt_fd, setup->interrupt_fd >= 0,
                  TICK_MS);
        take_all(lead);
        look_at_interrupts(lead);
        look_at_data(lead);
        coordinator_tick(lead->coordinator, clock_ms());
        spread_orders(lead);
        if (setup->progress) {
            coordinator_view(lead->coordinator, clock_ms(), &view);
            setup->progress(setup->context, &view);
        }
    }
}

int lead(const struct lead_setup *setup, struct run_view *view, struct err *err)
{
    struct coordinator_host host = {begin_save, finish_save, epoch_done,
                                    find_saved, now_ms,      NULL};
    struct peer self = {ROLE_COORDINATOR, 0, setup->incarnation};
    struct lead *lead = calloc(1, sizeof *lead);
    int rc;

    if (!lead)
        return err_set(err, ERR_MEMORY, "no memory for the coordinator");
    lead->setup = setup;
    host.context = lead;
    rc = coordinator_create(&setup->plan, &host, setup->memory, clock_ms(),
                            &lead->coordinator, err);
    if (rc == 0)
        rc = port_listen(setup->net, setup->plan.roster->coordinator, setup->listen_fd,
                         self, setup->plan.roster->job, &lead->port, err);
    if (rc == 0) {
        run(lead);
        coordinator_view(lead->coordinator, clock_ms(), view);
    }
    frame_free(&lead->frame);
    port_close(lead->port);
    coordinator_destroy(lead->coordinator);
    free(lead);
    return rc;
}

/* The coordinator at work: its control port, its clock, its files. */
#ifndef ROWHOUSE_SERVER_LEAD_H
#define ROWHOUSE_SERVER_LEAD_H

#include "server/coordinator.h"

struct lead_setup {
    struct coordinator_plan plan;
    struct coordinator_memory *memory; /* borrowed; outlives the process */
    struct net *net;                   /* borrowed */
    uint32_t incarnation;
    bool remove_old; /* the first checkpoint replaces all that were there */
    int listen_fd;   /* handed-down control socket, or -1: bind the roster's endpoint */
    int interrupt_fd; /* readable (a signalfd): someone asks to stop; -1 = nobody can */
    /* Data that grow (plan.grows): called again and again with the positions that will
     * not be read again (below `floor`), up to where the run knows them and whether it
     * waits for more; sets the latter two. An error ends the run. NULL: they do not. */
    int (*grow)(void *data, uint64_t floor, uint64_t *known, bool *grows,
                struct err *err);
    /* Makes durable what a checkpoint is about to speak of; with `grow`. */
    int (*secure)(void *data, struct err *err);
    void *data;
    /* Both are called from this thread; either may be NULL. */
    void (*progress)(void *context, const struct run_view *view);
    void (*epoch_done)(void *context, const struct epoch_record *record);
    void *context;
};

/* Leads the run to its end. The outcome is in setup->memory->state (exit_status, error,
 * text, metric, record) and in *view. Fails only when it could not even listen. */
int lead(const struct lead_setup *setup, struct run_view *view, struct err *err);

#endif

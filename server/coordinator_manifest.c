/* What a run's manifest says. */
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "server/coordinator_parts.h"
#include "server/core.h"

void coordinator_fill_manifest(struct coordinator *c)
{
    struct coordinator_state *s = c->state;
    struct manifest *m = c->manifest;
    const struct job *job = c->plan.job;

    memset(m, 0, sizeof *m);
    m->number = s->checkpoint + 1;
    memcpy(m->job, job->name, sizeof m->job);
    m->settings = job_to_lines(job);
    snprintf(m->version, sizeof m->version, "%s", ROWHOUSE_VERSION);
    m->written = time(NULL);
    m->epoch = coordinator_in_epoch(c) ? s->epoch - 1 : s->epoch;
    m->grows = s->grows;
    m->known = s->grows ? s->known : 0;
    m->ranges = s->ranges;
    memcpy(m->range, s->range, s->ranges * sizeof s->range[0]);
    m->shares = s->ranges ? s->shares : 0;
    memcpy(m->share_ranges, s->share_ranges, m->shares * sizeof m->share_ranges[0]);
    m->clock = s->clock;
    m->best = coordinator_best(c, m->number);
    m->data = s->data;
    if (c->plan.grows && !s->grows) /* it has: this is all of it */
        m->data.positions = s->known;
    m->seconds = s->seconds_before + s->train_seconds;
    m->tables = (uint32_t)job->tables;
    for (uint32_t t = 0; t < m->tables; t++) {
        struct table_spec spec;

        core_table_spec(job, t, &spec);
        m->table[t] = (struct shard_table){.id = t,
                                           .dim = spec.dim,
                                           .width = spec.width,
                                           .state_width = spec.state_width};
        memcpy(m->table[t].name, job->table[t].name, sizeof m->table[t].name);
    }
    m->shards = c->plan.roster->servers;
    for (uint32_t i = 0; i < m->shards; i++) {
        const struct status *status = &c->server[i].status;

        shard_name(i, m->shards, m->shard[i].file);
        m->shard[i].facts = (struct shard_facts){
            status->shard_bytes, status->shard_rows, status->shard_checksum};
        for (uint32_t t = 0; t < m->tables; t++)
            m->table[t].rows += status->table[t].rows;
    }
}

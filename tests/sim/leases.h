/* Workers of the simulated cluster that train leases: what they get, run out of and
 * come back for. The coordinator is a `struct dealing`; statuses and orders get lost on
 * their way to it and back. Part of simulate.h. */
#ifndef ROWHOUSE_TESTS_SIM_LEASES_H
#define ROWHOUSE_TESTS_SIM_LEASES_H

/* What a position is an example of. */
static uint64_t key_at(const struct sim *sim, uint32_t t, uint64_t position)
{
    return rng_at(sim->setup->seed, 100 * (1 + 2 * t), position) % sim->setup->keys;
}

static double gradient_at(const struct sim *sim, uint32_t t, uint64_t position)
{
    return (double)(1 + rng_at(sim->setup->seed, 200 * (1 + t), position) % 50);
}

/* Every position once: that is what must come of it. */
static void expect_positions(struct sim *sim)
{
    for (uint32_t t = 0; t < sim->tables; t++)
        for (uint64_t p = 0; p < sim->setup->positions; p++) {
            sim->expected[t][key_at(sim, t, p)] += gradient_at(sim, t, p);
            sim->pushed[t][key_at(sim, t, p)]++;
        }
}

static void open_dealing(struct sim *sim)
{
    struct data_facts facts = {.train_examples = sim->setup->positions};
    struct lease_rule rule = lease_rule_of(&facts, sim->setup->batch,
                                           sim->setup->workers);
    struct range all = {0, sim->setup->grow_ms ? 0 : sim->setup->positions};

    sim->dealing = calloc(2, sizeof *sim->dealing);
    dealing_begin(sim->dealing, 1, &rule, &all, all.end > 0, all.end,
                  sim->setup->grow_ms);
    expect_positions(sim);
}

/* A tenth of the positions comes every grow_ms. */
static void grow(struct sim *sim)
{
    uint64_t all = sim->setup->positions, known = all;

    if (sim->setup->grow_ms)
        known = all / 10 * (1 + (uint64_t)sim->now_ms / sim->setup->grow_ms);
    dealing_grow(sim->dealing, known < all ? known : all, known < all);
}

/* What a worker says about itself may get lost, and so may what it is told. */
static void talk_to_coordinator(struct sim_worker *worker)
{
    struct sim *sim = worker->sim;
    struct dealing *dealing = sim->dealing;
    const struct journal_entry *done = outbox_standing(worker->outbox);

    grow(sim);
    if (chance(sim, 500)) {
        if (!dealing_stand(dealing, worker->index, done->lease, done->position,
                           done->bad_rows))
            fail_msg("worker %u cannot stand at lease %llu", worker->index,
                     (unsigned long long)done->lease);
        dealing_deal(dealing, worker->index);
    }
    if (chance(sim, 50)) { /* another process leads */
        dealing_copy(dealing + 1, dealing);
        memset(dealing, 0xa5, sizeof *dealing);
        dealing_copy(dealing, dealing + 1);
    }
    if (chance(sim, 500)) {
        worker->known = dealing->worker[worker->index];
        worker->more = dealing_has_more(dealing);
    }
}

/* Reads at most a batch of the leases that are known; 0: there is nothing. */
static uint32_t read_batch(struct sim_worker *worker, struct batch *batch,
                           uint64_t *place)
{
    const struct leases *known = &worker->known;

    batch->n = 0;
    for (uint32_t i = 0; i < known->count; i++) {
        uint64_t number = known->number + i, at = known->range[i].first;

        if (number < worker->lease)
            continue;
        if (number == worker->lease && worker->position > at)
            at = worker->position;
        while (at < known->range[i].end && batch->n < worker->sim->setup->batch) {
            place[batch->n++] = at++;
            worker->lease = number;
            worker->position = at;
        }
    }
    batch->taken = worker->taken += batch->n;
    batch->lease = worker->lease;
    batch->position = worker->position;
    return batch->n;
}

/* Begins the pull of the next batch; 0: there is none. */
static int pull_leased(struct sim_worker *worker, uint64_t *clock, bool first,
                       struct err *err)
{
    struct sim *sim = worker->sim;
    uint64_t place[256], key[256];
    struct batch *batch = &worker->batch[worker->read % AHEAD];
    int rc;

    if (read_batch(worker, batch, place) == 0)
        return 0;
    memcpy(worker->place[worker->read % AHEAD], place, batch->n * sizeof place[0]);
    for (uint32_t t = 0; t < sim->tables; t++) {
        for (uint32_t i = 0; i < batch->n; i++)
            key[i] = key_at(sim, t, place[i]);
        keyset_build(&batch->set[t], key, batch->n, 1, sim->setup->servers);
    }
    rc = batch_cut(batch, err);
    if (rc == 0 && first)
        rc = client_join(worker->client, clock, err);
    batch->clock = ++*clock;
    worker->read++;
    if (rc == 0)
        rc = client_begin_pull(worker->client, batch, err);
    return rc ? rc : 1;
}

static int step_leased(struct sim_worker *worker, struct batch *batch,
                       const uint64_t *place, struct err *err)
{
    struct sim *sim = worker->sim;
    struct journal_entry standing = {.order = 1,
                                     .clock = batch->clock,
                                     .taken = batch->taken,
                                     .lease = batch->lease,
                                     .position = batch->position};
    int rc = client_finish_pull(worker->client, batch, err);

    if (rc == 0 && worker->index == 0 && sim->setup->slow_ms)
        rc = pause(worker, sim->setup->slow_ms, err);
    for (uint32_t t = 0; t < sim->tables && rc == 0; t++) {
        uint32_t width = sim->width[t];
        float *gradient = worker->gradient[t];

        memset(gradient, 0, batch->set[t].rows * width * sizeof *gradient);
        for (uint32_t i = 0; i < batch->n; i++)
            for (uint32_t j = 0; j < width; j++)
                gradient[batch->set[t].pos[i] * width + j] -= (float)gradient_at(
                    sim, t, place[i]);
    }
    return rc ? rc
              : client_push(worker->client, batch, worker->gradient, &standing, err);
}

/* Tells the servers that it has nothing; then all that it pushed is acknowledged. */
static int rest(struct sim_worker *worker, struct err *err)
{
    int rc = client_end_order(worker->client, err);

    while (rc == 0 && !client_has_ended(worker->client))
        rc = client_wait(worker->client, err);
    if (rc == 0 &&
        client_acknowledged(worker->client) < outbox_standing(worker->outbox)->clock)
        fail_msg("worker %u rests, and its pushes are not applied", worker->index);
    return rc;
}

static int run_dry(struct sim_worker *worker, struct err *err)
{
    int rc = rest(worker, err);

    worker->sim->result->rests++;
    return rc ? rc : pause(worker, 5, err);
}

static int work_leases(struct sim_worker *worker, struct err *err)
{
    const struct sim_setup *setup = worker->sim->setup;
    struct journal_entry done = *outbox_standing(worker->outbox);
    uint64_t clock = done.clock, pulled = 0, pushed = 0;
    uint32_t ahead = setup->consistency == CONSISTENCY_SSP && setup->staleness == 0
                         ? 1
                         : AHEAD;
    int rc = client_meet(worker->client, err);

    worker->lease = done.lease;
    worker->position = done.position;
    worker->taken = done.taken;
    worker->read = 0;
    worker->known.count = 0;
    worker->more = true;
    client_begin_order(worker->client, 1, clock);
    while (rc >= 0) {
        while (rc >= 0 && pulled - pushed < ahead) {
            rc = pull_leased(worker, &clock, pulled == pushed, err);
            if (rc <= 0)
                break;
            pulled++;
        }
        if (rc >= 0 && pulled > pushed) {
            uint64_t i = pushed++ % AHEAD;

            rc = step_leased(worker, &worker->batch[i], worker->place[i], err);
        } else if (rc >= 0 && worker->more) {
            rc = run_dry(worker, err);
        } else {
            break;
        }
        talk_to_coordinator(worker);
    }
    return rc < 0 ? rc : rest(worker, err);
}

#endif

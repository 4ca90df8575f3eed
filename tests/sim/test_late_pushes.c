/* Pushes that come late, in the simulated cluster: whatever the network and the
 * machines do, every row that is given out has the bits of a plain model that follows
 * the rules of server/stale.c: how late each push is, what its worker was given, what a
 * restarted server still knows. A seed that fails is printed; give it as an argument to
 * replay. */
#include "tests/sim/simulate.h"

enum { KEYS = 60, BATCHES = 12, CLOCKS = BATCHES + 1, ASKED = 256 };

/* What is known of a worker's push of one clock. */
struct known {
    bool answered, kept;
    uint64_t pushes; /* applied before the answer */
    float pulled[KEYS];
};

/* A pull that was taken: an answer says no more than its number. */
struct asked {
    uint64_t request, clock;
    uint32_t worker, incarnation, rows;
    uint64_t key[64];
};

struct model_server {
    float weight[KEYS]; /* all floats of a row are the same */
    uint64_t applied[WORKERS], pushes, uncompensated;
    struct known known[WORKERS][CLOCKS];
};

struct model {
    const struct sim_setup *setup;
    struct model_server server[SERVERS];
    struct asked asked[ASKED]; /* ring */
    uint64_t asks, wrong, late, compensated, checked;
};

static void apply(struct model *model, struct model_server *s, const struct message *m)
{
    const struct known *known = &s->known[m->sender][m->push.clock];
    uint64_t late = known->answered ? s->pushes - known->pushes : 0;
    bool slow = model->setup->stale_rate == STALE_RATE_INVERSE && late > 1;
    float rate = slow ? (float)(1 / (double)late) : 1;
    struct section_layout at;

    message_layout(MESSAGE_PUSH, m->section, 1, &at);
    for (uint32_t i = 0; i < m->section[0].rows; i++) {
        uint64_t key = ((const uint64_t *)(m->body + at.keys))[i];
        float u = ((const float *)(m->body + at.weights))[i];
        float g = ((const float *)(m->body + at.values))[i * m->section[0].width];

        if (known->kept && model->setup->compensate > 0) {
            float change = s->weight[key] - known->pulled[key];

            model->compensated += change != 0;
            g += model->setup->compensate / u * (g * g) * change;
        }
        s->weight[key] -= rate * g;
    }
    model->late += slow;
    s->uncompensated += !known->kept;
    s->applied[m->sender] = m->push.clock;
    s->pushes++;
}

static void taken(void *context, uint32_t server, const struct message *m)
{
    struct model *model = context;
    struct model_server *s = &model->server[server];
    struct asked *asked = &model->asked[model->asks % ASKED];

    if (m->kind == MESSAGE_PULL) {
        *asked = (struct asked){.request = m->pull.request,
                                .clock = m->pull.clock,
                                .worker = m->sender,
                                .incarnation = m->incarnation,
                                .rows = m->section[0].rows};
        assert_true(asked->rows <= 64 && asked->clock < CLOCKS);
        memcpy(asked->key, m->body, asked->rows * sizeof(uint64_t));
        model->asks++;
    }
    if (m->kind == MESSAGE_PUSH && m->push.clock > s->applied[m->sender] &&
        m->push.after == s->applied[m->sender]) {
        assert_int_equal(m->push.parts, 1);
        apply(model, s, m);
    }
}

static const struct asked *find_asked(const struct model *model, struct peer to,
                                      uint64_t request)
{
    for (uint64_t i = model->asks; i-- > 0 && i + ASKED >= model->asks;) {
        const struct asked *a = &model->asked[i % ASKED];

        if (a->worker == to.index && a->incarnation == to.incarnation &&
            a->request == request)
            return a;
    }
    fail_msg("an answer to no pull");
    return NULL;
}

static void answered(void *context, uint32_t server, struct peer to,
                     const struct message *answer, const struct buffer *body)
{
    struct model *model = context;
    struct model_server *s = &model->server[server];
    const struct asked *asked;
    struct section_layout at;
    struct known *known;

    if (answer->kind != MESSAGE_ROWS)
        return;
    asked = find_asked(model, to, answer->rows.request);
    known = &s->known[to.index][asked->clock];
    *known = (struct known){.answered = true, .kept = true, .pushes = s->pushes};
    message_layout(MESSAGE_ROWS, answer->section, 1, &at);
    for (uint32_t i = 0; i < asked->rows; i++) {
        const float *row = (const float *)(body->data + at.values) +
                           (size_t)i * answer->section[0].width;

        known->pulled[asked->key[i]] = s->weight[asked->key[i]];
        for (uint32_t j = 0; j < answer->section[0].width; j++)
            model->wrong += row[j] != s->weight[asked->key[i]];
        model->checked++;
    }
}

/* Its replies are gone; how late pushes are is in the region. */
static void died(void *context, uint32_t server)
{
    struct model *model = context;

    for (uint32_t w = 0; w < WORKERS; w++)
        for (uint32_t clock = 0; clock < CLOCKS; clock++)
            model->server[server].known[w][clock].kept = false;
}

static void ended(void *context, uint32_t server, const struct core *core)
{
    struct model *model = context;
    const struct model_server *s = &model->server[server];
    static struct status status;
    uint32_t tables;
    const struct table *table = core_tables(core, &tables)[0];

    for (uint64_t i = 0; i < table_rows(table); i++) {
        uint64_t key;
        const float *row = table_row(table, i, &key);

        model->wrong += row[0] != s->weight[key];
    }
    core_fill_status(core, &status);
    if (model->setup->compensate > 0)
        model->wrong += status.pushes_uncompensated != s->uncompensated;
}

static struct sim_setup setup_of(uint64_t seed, struct sim_faults faults)
{
    return (struct sim_setup){
        .seed = seed,
        .servers = 1 + (uint32_t)(seed % 3),
        .workers = 1 + (uint32_t)(seed / 3 % WORKERS),
        .batches = BATCHES,
        .keys = KEYS,
        .batch = 24,
        .dim = 3,
        .consistency = seed % 4 ? CONSISTENCY_ASYNC : CONSISTENCY_SSP,
        .staleness = (uint32_t)(seed % 5),
        .slow_ms = seed % 2 ? 0 : 40,
        .stale_rate = seed % 3 ? STALE_RATE_INVERSE : STALE_RATE_SAME,
        .compensate = seed % 7 ? 1e-5f : 0,
        .faults = faults};
}

/* What the models of many runs have seen. */
struct totals {
    uint64_t late, compensated, deaths, checked;
};

static void check_seed(uint64_t seed, struct sim_faults faults, struct totals *totals)
{
    static struct model model;
    struct sim_watch watch = {taken, answered, died, ended, &model, NULL};
    struct sim_setup setup = setup_of(seed, faults);
    struct sim_result r;

    memset(&model, 0, sizeof model);
    model.setup = &setup;
    setup.watch = &watch;
    sim_run(&setup, &r);
    if (model.wrong || r.stuck || r.text[0])
        fail_msg("seed %llu: %llu of %llu rows wrong%s %s", (unsigned long long)seed,
                 (unsigned long long)model.wrong, (unsigned long long)model.checked,
                 r.stuck ? ", stuck" : "", r.text);
    totals->late += model.late;
    totals->compensated += model.compensated;
    totals->checked += model.checked;
    totals->deaths += r.deaths;
}

static void check_seeds(uint64_t seeds, struct sim_faults faults)
{
    struct totals totals = {0};

    for (uint64_t seed = 1; seed <= seeds; seed++)
        check_seed(seed, faults, &totals);
    /* It must have happened, or this proves nothing. */
    assert_true(totals.late > 1000 && totals.compensated > 1000);
    assert_true(totals.deaths > 100 || !faults.server_deaths);
}

static const struct sim_faults bad_network = {
    .drop = 50, .duplicate = 50, .delay = 100};
static const struct sim_faults bad_machines = {
    .drop = 10, .duplicate = 10, .delay = 50, .server_deaths = 20, .worker_deaths = 10};

static void test_quiet_network(void **state)
{
    (void)state;
    check_seeds(200, (struct sim_faults){0});
}

static void test_bad_network(void **state)
{
    (void)state;
    check_seeds(400, bad_network);
}

static void test_bad_machines(void **state)
{
    (void)state;
    check_seeds(400, bad_machines);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quiet_network),
        cmocka_unit_test(test_bad_network),
        cmocka_unit_test(test_bad_machines),
    };

    if (argc > 1) { /* SEED: all kinds of faults */
        uint64_t seed = strtoull(argv[1], NULL, 10);
        struct totals totals = {0};

        check_seed(seed, (struct sim_faults){0}, &totals);
        check_seed(seed, bad_network, &totals);
        check_seed(seed, bad_machines, &totals);
        return 0;
    }
    return cmocka_run_group_tests_name("late_pushes", tests, NULL, NULL);
}

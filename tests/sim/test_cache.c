/* The row cache in the simulated cluster: whatever the network and the processes do, a
 * row out of a cache contains every push that one out of a server has to, and is used
 * no longer than train.cache_staleness allows. Each worker adds 1 in a column of its
 * own to every row of each of its batches: so a row says which pushes it contains. A
 * seed that fails is printed; give the consistency and the seed as arguments to replay
 * it. */
#include "tests/sim/simulate.h"

enum { KEYS = 30, BATCHES = 40 };

static const char *const names[] = {"async", "ssp"};

static const struct sim_faults bad_network = {
    .drop = 50, .duplicate = 50, .delay = 100};
static const struct sim_faults bad_machines = {
    .drop = 10, .duplicate = 10, .delay = 50, .server_deaths = 20, .worker_deaths = 10};

/* --- what rows must contain ------------------------------------------------------ */

struct oracle {
    const struct sim_setup *setup;
    /* How many of a worker's batches up to a clock have the key; and up to which clock
     * they are known. */
    uint16_t pushed[WORKERS][BATCHES + 1][KEYS];
    uint64_t known[WORKERS];
    uint64_t asked[WORKERS][KEYS]; /* the last clock for which it was pulled */
    uint64_t lacking;              /* rows without a push that they have to contain */
    uint64_t too_old;              /* or used for too long */
    uint64_t wrong;                /* at the end */
};

static void taken(void *context, uint32_t server, const struct message *m)
{
    const uint64_t *key = (const uint64_t *)m->body;
    struct oracle *oracle = context;

    (void)server;
    if (m->kind != MESSAGE_PULL)
        return;
    for (uint32_t i = 0; i < m->section[0].rows; i++)
        if (oracle->asked[m->sender][key[i]] < m->pull.clock)
            oracle->asked[m->sender][key[i]] = m->pull.clock;
}

static void answered(void *context, uint32_t server, struct peer to,
                     const struct message *answer, const struct buffer *body)
{
    (void)context, (void)server, (void)to, (void)answer, (void)body;
}

static void died(void *context, uint32_t server)
{
    (void)context, (void)server;
}

/* The last push of `worker` that a batch of `reader` must find in its rows. */
static uint64_t least(const struct sim_setup *setup, uint32_t reader, uint32_t worker,
                      uint64_t clock)
{
    uint64_t k = setup->staleness;

    if (setup->delta && worker == reader && !setup->faults.drop)
        return clock - 1; /* its own differences are all there */
    return setup->consistency == CONSISTENCY_ASYNC || clock <= k + 1 ? 0
                                                                     : clock - 1 - k;
}

/* Does a row contain the pushes of `worker` that it has to, and none that were not
 * made? Who has no batches left has made all its pushes. */
static bool is_good(const struct oracle *oracle, uint32_t reader, uint32_t worker,
                    uint64_t clock, uint64_t key, float count)
{
    uint64_t first = least(oracle->setup, reader, worker, clock);
    uint64_t last = worker == reader ? clock - 1 : oracle->known[worker];

    if (first > oracle->setup->batches)
        first = oracle->setup->batches;
    return first <= oracle->known[worker] &&
           count >= (float)oracle->pushed[worker][first][key] &&
           count <= (float)oracle->pushed[worker][last][key];
}

static void note_push(struct oracle *oracle, uint32_t worker, const struct batch *batch)
{
    uint16_t(*pushed)[KEYS] = &oracle->pushed[worker][batch->clock];

    memcpy(pushed[0], pushed[-1], sizeof *pushed);
    for (uint32_t i = 0; i < batch->set[0].rows; i++)
        pushed[0][batch->set[0].key[i]]++;
    if (batch->clock > oracle->known[worker])
        oracle->known[worker] = batch->clock;
}

static void computed(void *context, uint32_t reader, const struct batch *batch,
                     float *gradient)
{
    struct oracle *oracle = context;
    const struct sim_setup *setup = oracle->setup;

    memset(gradient, 0, (size_t)batch->set[0].rows * setup->dim * sizeof *gradient);
    for (uint32_t i = 0; i < batch->set[0].rows; i++) {
        const float *row = batch->rows[0] + (size_t)i * setup->dim;
        uint64_t key = batch->set[0].key[i];

        oracle->too_old += oracle->asked[reader][key] + setup->cache_staleness <
                           batch->clock;
        for (uint32_t w = 0; w < setup->workers; w++)
            oracle->lacking += !is_good(oracle, reader, w, batch->clock, key, row[w]);
        gradient[i * setup->dim + reader] = setup->delta ? 1 : -1;
    }
    note_push(oracle, reader, batch);
}

static void ended(void *context, uint32_t server, const struct core *core)
{
    struct oracle *oracle = context;
    uint32_t tables;
    const struct table *table = core_tables(core, &tables)[0];

    (void)server;
    for (uint64_t i = 0; i < table_rows(table); i++) {
        uint64_t key;
        const float *row = table_row(table, i, &key);

        for (uint32_t w = 0; w < oracle->setup->workers; w++)
            oracle->wrong += row[w] !=
                             (float)oracle->pushed[w][oracle->setup->batches][key];
    }
}

/* --- runs ------------------------------------------------------------------------ */

/* 30 keys, mostly the same ones again; caches of 8 to 32 rows. */
static struct sim_setup setup_of(uint64_t seed, int consistency,
                                 struct sim_faults faults)
{
    uint32_t workers = 1 + (uint32_t)(seed / SERVERS % WORKERS);

    return (struct sim_setup){.seed = seed,
                              .servers = 1 + (uint32_t)(seed % SERVERS),
                              .workers = workers,
                              .batches = 16,
                              .keys = KEYS,
                              .batch = 24,
                              .dim = workers,
                              .consistency = consistency,
                              .staleness = 1 + (uint32_t)(seed % 6),
                              .delta = seed % 7 == 0,
                              .slow_ms = seed % 3 ? 0 : 40,
                              .cache = (1 + seed % 4) * 8 * (16 + 4 * workers),
                              .cache_staleness = 1 + (uint32_t)(seed / 3 % 6),
                              .faults = faults};
}

static void watched_run(struct sim_setup *setup, struct sim_result *r)
{
    struct oracle *oracle = calloc(1, sizeof *oracle);
    static struct sim_watch watch;

    watch = (struct sim_watch){taken, answered, died, ended, oracle, computed};
    oracle->setup = setup;
    setup->watch = &watch;
    sim_run(setup, r);
    if (oracle->wrong || r->stuck || r->text[0] || r->too_stale || oracle->lacking ||
        oracle->too_old)
        fail_msg("%s, seed %llu: %llu counts wrong at the end, %llu reads counted too "
                 "stale, %llu rows lack a push, %llu are too old%s %s",
                 names[setup->consistency], (unsigned long long)setup->seed,
                 (unsigned long long)oracle->wrong, (unsigned long long)r->too_stale,
                 (unsigned long long)oracle->lacking,
                 (unsigned long long)oracle->too_old, r->stuck ? ", stuck" : "",
                 r->text);
    free(oracle);
}

static void check_seed(uint64_t seed, int consistency, struct sim_faults faults,
                       struct sim_result *total)
{
    struct sim_setup setup = setup_of(seed, consistency, faults);
    struct sim_result r;

    watched_run(&setup, &r);
    total->dropped += r.dropped;
    total->deaths += r.deaths;
    total->cache_reads += r.cache_reads;
    total->cache_hits += r.cache_hits;
}

static uint64_t seeds(void)
{
    const char *text = getenv("ROWHOUSE_SIM_SEEDS");

    return text ? strtoull(text, NULL, 10) : 400;
}

static void check_faults(int consistency, struct sim_faults faults)
{
    struct sim_result total = {0};

    for (uint64_t seed = 1; seed <= seeds(); seed++)
        check_seed(seed, consistency, faults, &total);
    /* Or this proves nothing. */
    assert_true(total.cache_hits * 12 > total.cache_reads);
    assert_true(total.dropped > 100 || !faults.drop);
    assert_true(total.deaths > 100 || !faults.server_deaths);
}

static void test_quiet_network(void **state)
{
    (void)state;
    check_faults(CONSISTENCY_ASYNC, (struct sim_faults){0});
    check_faults(CONSISTENCY_SSP, (struct sim_faults){0});
}

static void test_bad_network(void **state)
{
    (void)state;
    check_faults(CONSISTENCY_ASYNC, bad_network);
    check_faults(CONSISTENCY_SSP, bad_network);
}

static void test_bad_machines(void **state)
{
    (void)state;
    check_faults(CONSISTENCY_ASYNC, bad_machines);
    check_faults(CONSISTENCY_SSP, bad_machines);
}

/* With one slow worker, staleness k is reached and never passed, with rows out of
 * caches among those that are counted. */
static void test_slow_worker(void **state)
{
    struct sim_setup setup = {.servers = 2,
                              .workers = 3,
                              .batches = BATCHES,
                              .keys = 20,
                              .batch = 16,
                              .dim = 3,
                              .consistency = CONSISTENCY_SSP,
                              .slow_ms = 50,
                              .cache = 1 << 16,
                              .cache_staleness = 60};
    struct sim_result r;

    (void)state;
    for (setup.staleness = 1; setup.staleness <= 5; setup.staleness++)
        for (setup.seed = 1; setup.seed <= 5; setup.seed++) {
            watched_run(&setup, &r);
            assert_int_equal(r.staleness_max, setup.staleness);
            /* A clock is used up by pulling ahead, and one by the way to the server. */
            assert_true(r.cache_hits > 100 || setup.staleness == 1);
        }
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quiet_network),
        cmocka_unit_test(test_bad_network),
        cmocka_unit_test(test_bad_machines),
        cmocka_unit_test(test_slow_worker),
    };

    if (argc > 2) { /* async|ssp SEED: all kinds of faults */
        const struct sim_faults none = {0};
        struct sim_result total = {0};

        for (int c = 0; c < 2; c++)
            if (strcmp(argv[1], names[c]) == 0) {
                check_seed(strtoull(argv[2], NULL, 10), c, none, &total);
                check_seed(strtoull(argv[2], NULL, 10), c, bad_network, &total);
                check_seed(strtoull(argv[2], NULL, 10), c, bad_machines, &total);
            }
        return 0;
    }
    return cmocka_run_group_tests_name("cache", tests, NULL, NULL);
}

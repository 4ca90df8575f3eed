/* Exactly once, in the simulated cluster: whatever the network loses, doubles, delays
 * or overtakes, and whichever server dies between two messages, every row ends as the
 * sum of all gradients pushed to it. A seed that fails is printed; give the consistency
 * and the seed as arguments to replay it. */
#include "tests/sim/simulate.h"

static const char *const names[] = {"async", "ssp", "bsp"};

static struct sim_setup setup_of(uint64_t seed, int consistency,
                                 struct sim_faults faults)
{
    bool wide = seed % 49 == 7; /* one server; a push is several parts */

    return (struct sim_setup){.seed = seed,
                              .servers = 1 + (uint32_t)(seed % SERVERS),
                              .workers = 1 + (uint32_t)(seed / SERVERS % WORKERS),
                              .batches = wide ? 4 : 12,
                              .keys = wide ? 40 : 200,
                              .batch = 24,
                              .tables = 1 + (uint32_t)(seed / 2 % 2),
                              .dim = wide ? 16000 : 1 + (uint32_t)(seed % 7),
                              .consistency = consistency,
                              .staleness = (uint32_t)(seed % 4),
                              .slow_ms = seed % 3 ? 0 : 40,
                              .faults = faults};
}

static void check_setup(const struct sim_setup *setup, struct sim_result *total)
{
    const struct sim_faults *faults = &setup->faults;
    struct sim_result r;
    bool counted;

    sim_run(setup, &r);
    /* The counts of a dead worker's client are gone with it. */
    counted = faults->worker_deaths || r.pushes_sent == r.pushes_applied;
    counted &= r.rows_refused == r.unmade;
    if (r.wrong_rows || r.stuck || r.text[0] || r.too_stale || !counted)
        fail_msg(
            "%s, seed %llu: %llu of %llu rows wrong, %llu pushes sent, %llu applied, "
            "%llu reads too stale, %llu rows refused of %llu that were not made%s %s; "
            "again: test_exactly_once.t %s %llu",
            names[setup->consistency], (unsigned long long)setup->seed,
            (unsigned long long)r.wrong_rows, (unsigned long long)r.rows,
            (unsigned long long)r.pushes_sent, (unsigned long long)r.pushes_applied,
            (unsigned long long)r.too_stale, (unsigned long long)r.rows_refused,
            (unsigned long long)r.unmade, r.stuck ? ", stuck" : "", r.text,
            names[setup->consistency], (unsigned long long)setup->seed);
    total->dropped += r.dropped;
    total->doubled += r.doubled;
    total->delayed += r.delayed;
    total->deaths += r.deaths;
    total->duplicates += r.duplicates;
    total->resent += r.resent;
    total->rows_refused += r.rows_refused;
    total->rows += r.rows;
    if (r.staleness_max > total->staleness_max)
        total->staleness_max = r.staleness_max;
}

static void check_seed(uint64_t seed, int consistency, struct sim_faults faults,
                       struct sim_result *total)
{
    struct sim_setup setup = setup_of(seed, consistency, faults);

    check_setup(&setup, total);
}

static uint64_t seeds(void)
{
    const char *text = getenv("ROWHOUSE_SIM_SEEDS");

    return text ? strtoull(text, NULL, 10) : 400;
}

static const struct sim_faults bad_network = {
    .drop = 50, .duplicate = 50, .delay = 100};
static const struct sim_faults bad_machines = {
    .drop = 10, .duplicate = 10, .delay = 50, .server_deaths = 20, .worker_deaths = 10};

static void test_quiet_network(void **state)
{
    struct sim_result total = {0};

    (void)state;
    for (int consistency = CONSISTENCY_ASYNC; consistency <= CONSISTENCY_BSP;
         consistency++)
        for (uint64_t seed = 1; seed <= 60; seed++)
            check_seed(seed, consistency, (struct sim_faults){0}, &total);
    assert_int_equal(total.duplicates, 0);
    assert_int_equal(total.resent, 0);
}

static void check_faults(int consistency, struct sim_faults faults)
{
    struct sim_result total = {0};

    for (uint64_t seed = 1; seed <= seeds(); seed++)
        check_seed(seed, consistency, faults, &total);
    /* The faults must have happened, or this proves nothing. */
    assert_true(total.dropped > 100 && total.doubled > 100 && total.delayed > 100);
    assert_true(total.duplicates > 100);
    assert_true(total.resent > 100 || faults.worker_deaths);
    assert_true(total.deaths > 100 || !faults.server_deaths);
}

static void test_bad_network_async(void **state)
{
    (void)state;
    check_faults(CONSISTENCY_ASYNC, bad_network);
}

static void test_bad_network_ssp(void **state)
{
    (void)state;
    check_faults(CONSISTENCY_SSP, bad_network);
}

static void test_bad_network_bsp(void **state)
{
    (void)state;
    check_faults(CONSISTENCY_BSP, bad_network);
}

static void test_bad_machines_async(void **state)
{
    (void)state;
    check_faults(CONSISTENCY_ASYNC, bad_machines);
}

static void test_bad_machines_ssp(void **state)
{
    (void)state;
    check_faults(CONSISTENCY_SSP, bad_machines);
}

static void test_bad_machines_bsp(void **state)
{
    (void)state;
    check_faults(CONSISTENCY_BSP, bad_machines);
}

static struct sim_setup full_setup(uint64_t seed, int consistency)
{
    struct sim_setup setup = setup_of(seed, consistency, bad_machines);

    setup.rows_max = 1 + (uint32_t)(seed * 7 % 150);
    return setup;
}

static struct sim_setup dense_setup(uint64_t seed, int consistency)
{
    struct sim_setup setup = setup_of(seed, consistency, bad_machines);

    setup.dense = true;
    return setup;
}

/* A row that cannot be made loses every gradient, one that was made none; and what is
 * lost is counted once. */
static void test_full_tables(void **state)
{
    struct sim_result total = {0};
    uint64_t rows_most = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= seeds() / 2; seed++)
        for (int consistency = CONSISTENCY_ASYNC; consistency <= CONSISTENCY_BSP;
             consistency++) {
            struct sim_setup setup = full_setup(seed, consistency);

            rows_most += setup.rows_max * setup.tables;
            check_setup(&setup, &total);
        }
    assert_true(total.rows <= rows_most);
    assert_true(total.rows_refused > 10000);
}

static void test_dense_tables(void **state)
{
    struct sim_result total = {0};
    uint64_t rows = 0;

    (void)state;
    for (uint64_t seed = 1; seed <= seeds() / 4; seed++)
        for (int consistency = CONSISTENCY_ASYNC; consistency <= CONSISTENCY_BSP;
             consistency++) {
            struct sim_setup setup = dense_setup(seed, consistency);

            rows += setup.keys * setup.tables;
            check_setup(&setup, &total);
        }
    assert_int_equal(total.rows, rows);
    assert_int_equal(total.rows_refused, 0);
}

/* The most sections that a pull and a push have had. */
static void note_sections(void *context, uint32_t server, const struct message *message)
{
    uint32_t *most = context;

    (void)server;
    if (message->sections > most[message->kind])
        most[message->kind] = message->sections;
}

/* Each layer of a model has a table or more; a push has them all. */
static void test_many_tables(void **state)
{
    uint32_t most[MESSAGE_CLOCK + 1] = {0};
    struct sim_watch watch = {.taken = note_sections, .context = most};
    struct sim_result total = {0};

    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++)
        for (int consistency = CONSISTENCY_ASYNC; consistency <= CONSISTENCY_BSP;
             consistency++) {
            struct sim_setup setup = setup_of(seed, consistency, bad_machines);

            setup.tables = 60;
            setup.keys = 40;
            setup.dense = seed % 2;
            setup.watch = &watch;
            check_setup(&setup, &total);
        }
    assert_int_equal(most[MESSAGE_PULL], 60);
    assert_int_equal(most[MESSAGE_PUSH], 60);
    assert_true(total.deaths > 10 && total.duplicates > 10);
}

/* With one slow worker, ssp k reaches staleness k and never passes it; async does. */
static void test_slow_worker(void **state)
{
    struct sim_setup setup = {.servers = 2,
                              .workers = 3,
                              .batches = 40,
                              .keys = 50,
                              .batch = 16,
                              .dim = 2,
                              .slow_ms = 50};
    struct sim_result r;

    (void)state;
    for (uint32_t k = 0; k <= 5; k++)
        for (setup.seed = 1; setup.seed <= 5; setup.seed++) {
            setup.consistency = k ? CONSISTENCY_SSP : CONSISTENCY_BSP;
            setup.staleness = k;
            sim_run(&setup, &r);
            assert_false(r.stuck);
            assert_int_equal(r.too_stale, 0);
            assert_int_equal(r.staleness_max, k);
        }
    setup.consistency = CONSISTENCY_ASYNC;
    sim_run(&setup, &r);
    assert_true(r.staleness_max > 5);
}

/* A worker whose batches take longer than the timeout is alive: the coordinator hears
 * of it. The others wait for it. */
static void test_very_slow_worker(void **state)
{
    struct sim_setup setup = {.servers = 2,
                              .workers = 3,
                              .batches = 10,
                              .keys = 50,
                              .batch = 16,
                              .dim = 2,
                              .slow_ms = 7000,
                              .timeout_s = 2};
    struct sim_result r;

    (void)state;
    for (uint32_t k = 0; k <= 3; k++)
        for (setup.seed = 1; setup.seed <= 5; setup.seed++) {
            setup.consistency = k ? CONSISTENCY_SSP : CONSISTENCY_BSP;
            setup.staleness = k;
            sim_run(&setup, &r);
            assert_string_equal(r.text, "");
            assert_false(r.stuck);
        }
}

/* bsp gives the same bits for any number of servers, with faults or without. */
static void test_bsp_is_deterministic(void **state)
{
    static const uint32_t servers[] = {1, 2, 3, 7};

    (void)state;
    for (uint64_t seed = 1; seed <= 50; seed++) {
        uint64_t digest = 0;

        for (int i = 0; i < 8; i++) {
            struct sim_setup setup = setup_of(
                seed, CONSISTENCY_BSP, i < 4 ? (struct sim_faults){0} : bad_machines);
            struct sim_result r;

            setup.workers = 3;
            setup.servers = servers[i % 4];
            setup.rough = true;
            setup.dense = seed % 2;
            sim_run(&setup, &r);
            assert_false(r.stuck);
            assert_string_equal(r.text, "");
            assert_true(i == 0 || r.digest == digest);
            digest = r.digest;
        }
    }
}

/* Everything that the tests do with a seed. */
static void replay(uint64_t seed, int consistency)
{
    struct sim_setup full = full_setup(seed, consistency);
    struct sim_setup dense = dense_setup(seed, consistency);
    struct sim_result total = {0};

    check_seed(seed, consistency, (struct sim_faults){0}, &total);
    check_seed(seed, consistency, bad_network, &total);
    check_seed(seed, consistency, bad_machines, &total);
    check_setup(&full, &total);
    check_setup(&dense, &total);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_quiet_network),
        cmocka_unit_test(test_bad_network_async),
        cmocka_unit_test(test_bad_network_ssp),
        cmocka_unit_test(test_bad_network_bsp),
        cmocka_unit_test(test_bad_machines_async),
        cmocka_unit_test(test_bad_machines_ssp),
        cmocka_unit_test(test_bad_machines_bsp),
        cmocka_unit_test(test_full_tables),
        cmocka_unit_test(test_dense_tables),
        cmocka_unit_test(test_many_tables),
        cmocka_unit_test(test_slow_worker),
        cmocka_unit_test(test_very_slow_worker),
        cmocka_unit_test(test_bsp_is_deterministic),
    };

    for (int c = 0; c < 3 && argc > 2; c++)
        if (strcmp(argv[1], names[c]) == 0)
            replay(strtoull(argv[2], NULL, 10), c);
    if (argc > 2)
        return 0;
    return cmocka_run_group_tests_name("exactly_once", tests, NULL, NULL);
}

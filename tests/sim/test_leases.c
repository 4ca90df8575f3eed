/* Leases in the simulated cluster: whatever is lost on any line and whoever dies, every
 * position is trained exactly once; workers run dry and come back, and nobody reads
 * anything too stale because of it. */
#include "tests/sim/simulate.h"

static struct sim_setup setup_of(uint64_t seed, int consistency,
                                 struct sim_faults faults)
{
    return (struct sim_setup){.seed = seed,
                              .servers = 1 + (uint32_t)(seed % SERVERS),
                              .workers = 1 + (uint32_t)(seed / SERVERS % WORKERS),
                              .keys = 150,
                              .batch = 16,
                              .tables = 1 + (uint32_t)(seed / 2 % 2),
                              .dim = 1 + (uint32_t)(seed % 5),
                              .consistency = consistency,
                              .staleness = (uint32_t)(seed % 4),
                              .slow_ms = seed % 3 ? 0 : 40,
                              .positions = 400 + seed % 500,
                              .grow_ms = seed % 2 ? 0 : 30,
                              .cache = seed % 5 ? 0 : 4096,
                              .cache_staleness = 8,
                              .faults = faults};
}

static void check_seed(uint64_t seed, int consistency, struct sim_faults faults,
                       struct sim_result *total)
{
    struct sim_setup setup = setup_of(seed, consistency, faults);
    struct sim_result r;
    uint64_t trained = 0;

    sim_run(&setup, &r);
    for (uint32_t w = 0; w < setup.workers; w++)
        trained += r.trained[w];
    if (r.wrong_rows || r.unmade || r.stuck || r.text[0] || r.too_stale ||
        trained != setup.positions)
        fail_msg("%s, seed %llu: %llu of %llu rows wrong, %llu not there, %llu of %llu "
                 "positions, %llu reads too stale%s %s; again: test_leases.t %d %llu",
                 consistency == CONSISTENCY_SSP ? "ssp" : "async",
                 (unsigned long long)seed, (unsigned long long)r.wrong_rows,
                 (unsigned long long)r.rows, (unsigned long long)r.unmade,
                 (unsigned long long)trained, (unsigned long long)setup.positions,
                 (unsigned long long)r.too_stale, r.stuck ? ", stuck" : "", r.text,
                 consistency, (unsigned long long)seed);
    total->rests += r.rests;
    total->deaths += r.deaths;
    total->dropped += r.dropped;
    total->duplicates += r.duplicates;
}

static uint64_t seeds(void)
{
    const char *text = getenv("ROWHOUSE_SIM_SEEDS");

    return text ? strtoull(text, NULL, 10) : 300;
}

static const struct sim_faults bad_network = {
    .drop = 50, .duplicate = 50, .delay = 100};
static const struct sim_faults bad_machines = {
    .drop = 10, .duplicate = 10, .delay = 50, .server_deaths = 20, .worker_deaths = 10};

static void check_all(struct sim_faults faults)
{
    struct sim_result total = {0};

    for (uint64_t seed = 1; seed <= seeds(); seed++)
        for (int consistency = CONSISTENCY_ASYNC; consistency <= CONSISTENCY_SSP;
             consistency++)
            check_seed(seed, consistency, faults, &total);
    /* It must have happened, or this proves nothing. */
    assert_true(total.rests > 500);
    assert_true(total.dropped > 100 || !faults.drop);
    assert_true(total.duplicates > 100 || !faults.drop);
    assert_true(total.deaths > 500 || !faults.server_deaths);
}

static void test_quiet_network(void **state)
{
    (void)state;
    check_all((struct sim_faults){0});
}

static void test_bad_network(void **state)
{
    (void)state;
    check_all(bad_network);
}

static void test_bad_machines(void **state)
{
    (void)state;
    check_all(bad_machines);
}

/* A slow worker trains fewer positions; with ssp k staleness k is reached and k + 1
 * never, while workers run dry and come back. */
static void test_slow_worker(void **state)
{
    struct sim_setup setup = {.servers = 2,
                              .workers = 3,
                              .keys = 50,
                              .batch = 8,
                              .dim = 2,
                              .slow_ms = 50,
                              .positions = 3000,
                              .consistency = CONSISTENCY_SSP};
    struct sim_result r;

    (void)state;
    for (uint32_t k = 1; k <= 5; k++)
        for (setup.seed = 1; setup.seed <= 6; setup.seed++) {
            setup.staleness = k;
            setup.grow_ms = setup.seed % 2 ? 0 : 400;
            sim_run(&setup, &r);
            assert_false(r.stuck);
            assert_string_equal(r.text, "");
            assert_int_equal(r.wrong_rows, 0);
            assert_int_equal(r.too_stale, 0);
            assert_int_equal(r.staleness_max, k);
            assert_true(r.rests > 2 || !setup.grow_ms);
        }
    setup.consistency = CONSISTENCY_ASYNC;
    for (setup.seed = 1; setup.seed <= 6; setup.seed++) {
        setup.grow_ms = setup.seed % 2 ? 0 : 400;
        sim_run(&setup, &r);
        assert_int_equal(r.wrong_rows, 0);
        assert_true(r.trained[0] < r.trained[1] / 2);
        assert_true(r.trained[0] < r.trained[2] / 2);
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
    struct sim_result total = {0};

    if (argc > 2) {
        uint64_t seed = strtoull(argv[2], NULL, 10);

        check_seed(seed, atoi(argv[1]), (struct sim_faults){0}, &total);
        check_seed(seed, atoi(argv[1]), bad_network, &total);
        check_seed(seed, atoi(argv[1]), bad_machines, &total);
        return 0;
    }
    return cmocka_run_group_tests_name("leases", tests, NULL, NULL);
}

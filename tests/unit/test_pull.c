/* Pulls beside a cache of rows: which rows travel, and which are there already. */
#include "tests/unit/client_kit.h"

enum { ROWS_BYTES = KEYS * WIDTH * (int)sizeof(float) };

static void use_cache(struct net_kit *kit, struct row_cache **cache)
{
    struct err err;

    assert_int_equal(row_cache_create(1 << 20, kit->width, 1, cache, &err), 0);
    client_use_cache(kit->client, *cache);
}

/* Pulls and pushes the keys 0 to KEYS; the number of messages that the pull took. */
static uint32_t pulls_of_step(struct net_kit *kit, struct batch *batch, uint64_t clock)
{
    uint32_t before = kit->pulls_sent, pulls;
    struct err err;

    batch_fill(kit, batch, clock, 0, KEYS);
    assert_int_equal(pull(kit, batch, &err), 0);
    pulls = kit->pulls_sent - before;
    assert_int_equal(push(kit, batch, &err), 0);
    assert_int_equal(client_drain(kit->client, &err), 0);
    return pulls;
}

static void test_rows_are_kept_for_some_batches(void **state)
{
    struct net_kit *kit = net_kit_create(4);
    struct batch batch = {0};
    struct row_cache *cache;

    (void)state;
    kit->server[0]->job.train.cache_staleness = 2;
    use_cache(kit, &cache);
    meet(kit);
    assert_int_equal(pulls_of_step(kit, &batch, 1), SERVERS);
    assert_int_equal(pulls_of_step(kit, &batch, 2), 0);
    assert_int_equal(pulls_of_step(kit, &batch, 3), 0);
    assert_true(batch.rows[0][0] == 0); /* pushes are not in what is kept */
    assert_int_equal(pulls_of_step(kit, &batch, 4), SERVERS);
    assert_true(batch.rows[0][0] == 3);
    /* A new order, which may go back to clocks that were not pushed. */
    client_begin_order(kit->client, 4, 4);
    assert_int_equal(pulls_of_step(kit, &batch, 5), SERVERS);
    assert_int_equal(row_cache_counts(cache, 0)->hits, 2 * KEYS);
    batch_release(&batch);
    row_cache_destroy(cache);
    net_kit_destroy(kit);
}

/* Only what is missing travels, in parts that are wanted; the rest is there at once. */
static void test_missing_rows_are_pulled(void **state)
{
    struct net_kit *kit = net_kit_create(4);
    struct batch small = {0}, large = {0};
    struct row_cache *cache;
    struct err err;

    (void)state;
    use_cache(kit, &cache);
    meet(kit);
    batch_fill(kit, &small, 1, 10, KEYS / 4);
    assert_int_equal(pull(kit, &small, &err), 0);
    assert_int_equal(push(kit, &small, &err), 0);
    assert_int_equal(client_drain(kit->client, &err), 0);
    batch_fill(kit, &large, 2, 0, KEYS);
    memset(large.rows[0], 0x7f, KEYS * WIDTH * sizeof(float));
    assert_int_equal(pull(kit, &large, &err), 0);
    for (uint32_t i = 0; i < KEYS * WIDTH; i++)
        assert_true(large.rows[0][i] == 0);
    assert_int_equal(row_cache_counts(cache, 0)->hits, KEYS / 4);
    assert_in_range(client_counts(kit->client)->bytes_pulled, ROWS_BYTES,
                    ROWS_BYTES + 4 * SERVERS * 8); /* with padding */
    batch_release(&small);
    batch_release(&large);
    row_cache_destroy(cache);
    net_kit_destroy(kit);
}

/* What a full table has no row for is asked for again, lest it be learned in the cache
 * alone. */
static void test_rows_that_are_not_there_are_not_kept(void **state)
{
    struct net_kit *kit = net_kit_create(4);
    struct batch batch = {0};
    struct row_cache *cache;
    struct err err;

    (void)state;
    for (uint32_t s = 0; s < SERVERS; s++) {
        struct core_kit *server = kit->server[s];

        server->job.table[0].rows_max = 10; /* five each */
        core_kit_renew(server);
        core_destroy(server->core);
        assert_int_equal(core_create(&server->job, s, SERVERS, 1, &server->region,
                                     server->pool, &server->core, &err),
                         0);
    }
    use_cache(kit, &cache);
    meet(kit);
    assert_int_equal(pulls_of_step(kit, &batch, 1), SERVERS);
    assert_int_equal(pulls_of_step(kit, &batch, 2), SERVERS);
    assert_int_equal(row_cache_counts(cache, 0)->hits, 10);
    assert_int_equal(row_cache_counts(cache, 0)->rows, 10);
    batch_release(&batch);
    row_cache_destroy(cache);
    net_kit_destroy(kit);
}

static void test_steady_step_allocates_nothing(void **state)
{
    struct net_kit *kit = net_kit_create(4);
    struct batch batch = {0};
    struct row_cache *cache;
    struct err err;

    (void)state;
    use_cache(kit, &cache);
    meet(kit);
    for (uint64_t clock = 1; clock <= 200; clock++) {
        if (clock == 50)
            kit->heap = 0;
        batch_fill(kit, &batch, clock, clock * 7 % 50, KEYS);
        assert_int_equal(pull(kit, &batch, &err), 0);
        assert_int_equal(push(kit, &batch, &err), 0);
    }
    assert_int_equal(kit->heap, 0);
    assert_true(row_cache_counts(cache, 0)->hits > 0);
    batch_release(&batch);
    row_cache_destroy(cache);
    net_kit_destroy(kit);
}

/* An evaluation sees the servers' rows, and leaves none behind. */
static void test_read_only_pulls_pass_the_cache_by(void **state)
{
    struct net_kit *kit = net_kit_create(4);
    struct batch batch = {0};
    struct row_cache *cache;
    struct err err;

    (void)state;
    use_cache(kit, &cache);
    meet(kit);
    pulls_of_step(kit, &batch, 1);
    batch_fill(kit, &batch, 0, 0, KEYS);
    batch.read_only = true;
    assert_int_equal(pull(kit, &batch, &err), 0);
    assert_true(batch.rows[0][0] == 1);
    assert_int_equal(row_cache_counts(cache, 0)->reads, KEYS);
    batch.read_only = false;
    assert_int_equal(pulls_of_step(kit, &batch, 2), 0);
    assert_true(batch.rows[0][0] == 0);
    batch_release(&batch);
    row_cache_destroy(cache);
    net_kit_destroy(kit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_are_kept_for_some_batches),
        cmocka_unit_test(test_missing_rows_are_pulled),
        cmocka_unit_test(test_rows_that_are_not_there_are_not_kept),
        cmocka_unit_test(test_steady_step_allocates_nothing),
        cmocka_unit_test(test_read_only_pulls_pass_the_cache_by),
    };

    return cmocka_run_group_tests_name("pull", tests, NULL, NULL);
}

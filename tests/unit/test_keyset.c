#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "worker/keyset.h"

enum { CAPACITY = 1024, SERVERS = 16 };

/* The same order by the plainest means: for each server, look at every input key. */
struct twin {
    uint32_t rows;
    uint64_t key[CAPACITY];
    float weight[CAPACITY];
    uint32_t pos[CAPACITY], part[SERVERS + 1];
};

static uint32_t twin_row(struct twin *twin, uint32_t from, uint64_t key)
{
    uint32_t row = from;

    while (row < twin->rows && twin->key[row] != key)
        row++;
    if (row == twin->rows) {
        twin->key[row] = key;
        twin->weight[row] = 0;
        twin->rows++;
    }
    return row;
}

/* By what the servers of a dense table say that they have. */
static uint32_t owner_of(const struct keyset *keyset, uint64_t key, uint32_t servers)
{
    uint32_t server = 0;

    if (!keyset->dense)
        return slot_owner(key_slot(keyset->table, key), servers);
    while (key >= row_first(keyset->dense, server + 1, servers))
        server++;
    return server;
}

static void twin_build(struct twin *twin, const struct keyset *keyset,
                       const uint64_t *key, uint32_t n, uint32_t stride,
                       uint32_t servers)
{
    twin->rows = 0;
    for (uint32_t server = 0; server < servers; server++) {
        twin->part[server] = twin->rows;
        for (uint32_t i = 0; i < n; i++) {
            uint64_t k = key[i * stride];
            uint32_t row;

            if (owner_of(keyset, k, servers) != server)
                continue;
            row = twin_row(twin, twin->part[server], k);
            twin->weight[row]++;
            twin->pos[i] = row;
        }
    }
    twin->part[servers] = twin->rows;
}

static void assert_same(const struct keyset *keyset, const struct twin *twin,
                        uint32_t n, uint32_t servers)
{
    assert_int_equal(keyset->rows, twin->rows);
    assert_memory_equal(keyset->part, twin->part, (servers + 1) * sizeof(uint32_t));
    assert_memory_equal(keyset->key, twin->key, twin->rows * sizeof(uint64_t));
    assert_memory_equal(keyset->weight, twin->weight, twin->rows * sizeof(float));
    assert_memory_equal(keyset->pos, twin->pos, n * sizeof(uint32_t));
}

static void create(struct keyset *keyset, uint32_t table)
{
    struct err err = {0};

    assert_int_equal(keyset_create(keyset, table, CAPACITY, SERVERS, &err), 0);
}

static void check(struct keyset *keyset, const uint64_t *key, uint32_t n,
                  uint32_t stride, uint32_t servers)
{
    static struct twin twin;

    twin_build(&twin, keyset, key, n, stride, servers);
    keyset_build(keyset, key, n, stride, servers);
    assert_same(keyset, &twin, n, servers);
}

static struct keyset_marks marks;

/* The keys key[id[0]], key[id[1]], ... */
static void check_ids(struct keyset *keyset, const uint64_t *key, const uint32_t *id,
                      uint32_t n, uint32_t servers)
{
    static uint64_t input[CAPACITY];
    static struct twin twin;

    for (uint32_t i = 0; i < n; i++)
        input[i] = key[id[i]];
    twin_build(&twin, keyset, input, n, 1, servers);
    keyset_build_ids(keyset, &marks, key, id, n, servers);
    assert_same(keyset, &twin, n, servers);
}

static void test_by_hand(void **state)
{
    const uint64_t key[] = {7, 0, 7, UINT64_MAX, 0, 7};
    const uint32_t pos[] = {0, 1, 0, 2, 1, 0};
    struct keyset keyset;

    (void)state;
    create(&keyset, 3);
    keyset_build(&keyset, key, 6, 1, 1);
    assert_int_equal(keyset.rows, 3);
    assert_true(keyset.key[0] == 7 && keyset.key[1] == 0);
    assert_true(keyset.key[2] == UINT64_MAX);
    assert_true(keyset.weight[0] == 3 && keyset.weight[1] == 2);
    assert_true(keyset.weight[2] == 1);
    assert_memory_equal(keyset.pos, pos, sizeof pos);
    assert_true(keyset.part[0] == 0 && keyset.part[1] == 3);
    keyset_release(&keyset);
}

/* Sizes, numbers of servers, strides and shares of duplicates by chance. */
static void test_equals_its_twin(void **state)
{
    static uint64_t key[CAPACITY * 3];
    struct keyset keyset;

    (void)state;
    create(&keyset, 5);
    for (uint64_t round = 0; round < 600; round++) {
        uint32_t n = (uint32_t)rng_below(rng_at(1, round, 0), 300);
        uint32_t servers = 1 + (uint32_t)rng_below(rng_at(1, round, 1), SERVERS);
        uint32_t stride = 1 + (uint32_t)rng_below(rng_at(1, round, 2), 3);
        uint64_t range = (uint64_t)1 << rng_below(rng_at(1, round, 3), 40);

        for (uint32_t i = 0; i < n * stride; i++) {
            key[i] = rng_below(rng_at(2, round, i), range);
            if (rng_below(rng_at(3, round, i), 16) == 0)
                key[i] = i % 2 ? 0 : UINT64_MAX;
        }
        check(&keyset, key, n, stride, servers);
    }
    keyset_release(&keyset);
}

/* Few rows and many, fewer than servers or slots, by key and by id. */
static void test_dense(void **state)
{
    static const uint64_t rows[] = {1, 2, 100, 1000, 1024, 5000, 4000000, UINT32_MAX};
    static uint64_t key[CAPACITY], all[CAPACITY];
    static uint32_t id[CAPACITY];
    struct keyset keyset;
    struct err err;

    (void)state;
    create(&keyset, 1);
    assert_int_equal(keyset_marks_init(&marks, CAPACITY, &err), 0);
    for (uint64_t round = 0; round < 600; round++) {
        uint32_t n = 1 + (uint32_t)rng_below(rng_at(7, round, 0), 300), ids = 0;
        uint32_t servers = 1 + (uint32_t)rng_below(rng_at(7, round, 1), SERVERS);

        keyset.dense = rows[round % (sizeof rows / sizeof *rows)];
        for (uint32_t i = 0; i < n; i++)
            key[i] = rng_below(rng_at(8, round, i), keyset.dense);
        key[0] = keyset.dense - 1;
        check(&keyset, key, n, 1, servers);
        for (uint32_t i = 0; i < n; i++) {
            for (id[i] = 0; id[i] < ids && all[id[i]] != key[i]; id[i]++)
                ;
            if (id[i] == ids)
                all[ids++] = key[i];
        }
        check_ids(&keyset, all, id, n, servers);
    }
    /* A whole table in order is in order everywhere. */
    keyset.dense = 256;
    for (uint32_t i = 0; i < 256; i++)
        key[i] = i;
    keyset_build(&keyset, key, 256, 1, 7);
    assert_memory_equal(keyset.key, key, 256 * sizeof *key);
    keyset_marks_release(&marks);
    keyset_release(&keyset);
}

/* Keys that a dense table has no rows for go to the last server. */
static void test_keys_behind_the_rows(void **state)
{
    static const uint64_t key[] = {99, 100, 0, UINT64_MAX, 3000000000, 100};
    struct keyset keyset;

    (void)state;
    create(&keyset, 1);
    keyset.dense = 100;
    keyset_build(&keyset, key, 6, 1, 7);
    assert_int_equal(keyset.rows, 5);
    assert_int_equal(keyset.part[7], 5);
    assert_int_equal(keyset.part[6], 1); /* row 0; the last server has all others */
    for (uint32_t i = 0; i < 6; i++)
        assert_true(keyset.key[keyset.pos[i]] == key[i]);
    keyset_release(&keyset);
}

/* All rows of a dense table: as if each had been asked for, whatever was before. */
static void test_all_rows(void **state)
{
    static const uint64_t rows[] = {1, 2, 5, 100, 1000, CAPACITY};
    static uint64_t key[CAPACITY];

    (void)state;
    for (uint64_t i = 0; i < CAPACITY; i++)
        key[i] = i;
    for (size_t r = 0; r < sizeof rows / sizeof *rows; r++) {
        struct keyset all, asked;

        create(&all, 2);
        create(&asked, 2);
        all.dense = asked.dense = rows[r];
        for (uint32_t servers = 1; servers <= SERVERS; servers++) {
            float uses = (float)(1 + servers / 2); /* often as before */

            keyset_build_all(&all, uses, servers);
            keyset_build(&asked, key, (uint32_t)rows[r], 1, servers);
            assert_int_equal(all.rows, rows[r]);
            assert_memory_equal(all.key, asked.key, rows[r] * sizeof *key);
            assert_memory_equal(all.part, asked.part, (servers + 1) * sizeof *all.part);
            for (uint32_t row = 0; row < rows[r]; row++)
                assert_true(all.weight[row] == uses);
        }
        keyset_release(&all);
        keyset_release(&asked);
    }
}

static void test_edges(void **state)
{
    static uint64_t key[CAPACITY];
    struct keyset keyset;

    (void)state;
    create(&keyset, 0);
    check(&keyset, key, 0, 1, SERVERS);
    assert_int_equal(keyset.rows, 0);
    check(&keyset, key, CAPACITY, 1, 2); /* one key only */
    assert_int_equal(keyset.rows, 1);
    assert_true(keyset.weight[0] == CAPACITY);
    for (uint32_t i = 0; i < CAPACITY; i++)
        key[i] = i;
    check(&keyset, key, CAPACITY, 1, SERVERS); /* no duplicate at all */
    assert_int_equal(keyset.rows, CAPACITY);
    for (uint32_t i = 0; i < CAPACITY; i++)
        key[i] = i % 2 ? UINT64_MAX - i / 8 : i / 8;
    check(&keyset, key, CAPACITY, 1, 7);
    keyset_release(&keyset);
}

/* All keys in one bucket's neighbourhood: the search goes on behind the last bucket. */
static void test_collisions(void **state)
{
    static uint64_t key[CAPACITY];
    struct keyset keyset;
    uint32_t n = 0;

    (void)state;
    create(&keyset, 9);
    for (uint64_t k = 0; n < 64; k++)
        if ((key_hash(9, k) & 255) >= 254)
            key[n++] = k;
    check(&keyset, key, n, 1, 3);
    assert_int_equal(keyset.rows, n);
    keyset_release(&keyset);
}

/* The same batch after many others, so many that the stamps of the batches go round:
 * nothing that it left behind may be taken for its own. */
static void test_many_batches(void **state)
{
    const uint64_t key[] = {1, 2, 3, 2, 5, 6, 7, 8};
    const uint32_t rounds = 65535;
    struct keyset keyset;

    (void)state;
    create(&keyset, 1);
    for (int i = 0; i < 3; i++) {
        check(&keyset, key, 8, 1, 2);
        for (uint32_t batch = 1; batch < rounds; batch++)
            keyset_build(&keyset, NULL, 0, 1, 2);
    }
    for (uint32_t batch = 0; batch < 1000; batch++)
        check(&keyset, key + batch % 4, 4, 1, 1 + batch % 3);
    keyset_release(&keyset);
}

/* Batches of ids, the marks of which stay from one to the next and are for more keys
 * now and then; so many of them that stamps go round. */
static void test_ids(void **state)
{
    static uint64_t key[CAPACITY];
    static uint32_t id[CAPACITY];
    struct keyset keyset;
    struct err err = {0};
    uint32_t ids = 1;

    (void)state;
    create(&keyset, 4);
    for (uint32_t i = 0; i < CAPACITY; i++)
        key[i] = i == 5 ? UINT64_MAX : i == 6 ? 0 : rng_at(5, 0, i);
    for (uint64_t round = 0; round < 400; round++) {
        uint32_t n = (uint32_t)rng_below(rng_at(6, round, 0), 300);

        if (round % 20 == 0)
            ids += (uint32_t)rng_below(rng_at(6, round, 1), CAPACITY / 20);
        assert_int_equal(keyset_marks_init(&marks, ids, &err), 0);
        for (uint32_t i = 0; i < n; i++)
            id[i] = (uint32_t)rng_below(rng_at(7, round, i), ids);
        check_ids(&keyset, key, id, n, 1 + round % SERVERS);
    }
    for (uint32_t i = 0; i < 8; i++)
        id[i] = i * i % 7;
    for (int i = 0; i < 3; i++) {
        check_ids(&keyset, key, id, 8, 2);
        for (uint32_t batch = 1; batch < 65535; batch++)
            keyset_build_ids(&keyset, &marks, key, NULL, 0, 2);
    }
    keyset_marks_release(&marks);
    keyset_release(&keyset);
}

static void test_limits(void **state)
{
    struct keyset keyset;
    struct err err = {0};

    (void)state;
    assert_int_equal(keyset_create(&keyset, 0, KEYSET_CAPACITY_MAX + 1, 1, &err),
                     -ERR_INPUT);
    assert_non_null(strstr(err.text, "16777217 keys"));
    keyset_release(&keyset);
    assert_int_equal(keyset_create(&keyset, 0, 8, 0, &err), -ERR_INPUT);
    assert_non_null(strstr(err.text, "0 servers"));
    keyset_release(&keyset);
    assert_int_equal(keyset_create(&keyset, 0, 8, SERVERS_MAX + 1, &err), -ERR_INPUT);
    keyset_release(&keyset);
    keyset_release(&keyset);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_by_hand),    cmocka_unit_test(test_equals_its_twin),
        cmocka_unit_test(test_dense),      cmocka_unit_test(test_keys_behind_the_rows),
        cmocka_unit_test(test_all_rows),   cmocka_unit_test(test_edges),
        cmocka_unit_test(test_collisions), cmocka_unit_test(test_many_batches),
        cmocka_unit_test(test_ids),        cmocka_unit_test(test_limits),
    };

    return cmocka_run_group_tests_name("keyset", tests, NULL, NULL);
}

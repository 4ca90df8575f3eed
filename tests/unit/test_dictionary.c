/* Ids of keys: each key its own, from 0 on, however many there are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/rng.h"
#include "worker/stream/dictionary.h"

static uint32_t id_of(struct dictionary *dictionary, uint64_t key)
{
    uint32_t id = UINT32_MAX;
    struct err err;

    assert_int_equal(dictionary_id(dictionary, key, &id, &err), 0);
    return id;
}

static void test_ids_count_up(void **state)
{
    enum { N = 50000 };
    struct dictionary d = {0};

    (void)state;
    for (uint32_t round = 0; round < 2; round++)
        for (uint32_t i = 0; i < N; i++)
            assert_int_equal(id_of(&d, rng_at(1, 2, i)), i);
    assert_int_equal(d.keys, N);
    assert_int_equal(id_of(&d, 0), N);
    assert_int_equal(id_of(&d, UINT64_MAX), N + 1);
    assert_int_equal(id_of(&d, 0), N);
    dictionary_close(&d);
    assert_int_equal(d.keys, N + 2);
    for (uint32_t i = 0; i < N; i++)
        assert_true(d.key[i] == rng_at(1, 2, i));
    assert_true(d.key[N] == 0 && d.key[N + 1] == UINT64_MAX);
    dictionary_release(&d);
}

/* Keys whose search begins in the last bucket goes on in the first. */
static void test_collisions(void **state)
{
    struct dictionary d = {0};
    uint32_t n = 0;

    (void)state;
    for (uint64_t k = 0; n < 64; k++)
        if ((mix64(k) & 1023) >= 1020)
            assert_int_equal(id_of(&d, k), n++);
    n = 0;
    for (uint64_t k = 0; n < 64; k++)
        if ((mix64(k) & 1023) >= 1020)
            assert_int_equal(id_of(&d, k), n++);
    dictionary_release(&d);
}

static void test_none(void **state)
{
    struct dictionary d = {0};

    (void)state;
    dictionary_close(&d);
    assert_int_equal(d.keys, 0);
    dictionary_release(&d);
    dictionary_release(&d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ids_count_up),
        cmocka_unit_test(test_collisions),
        cmocka_unit_test(test_none),
    };

    return cmocka_run_group_tests_name("dictionary", tests, NULL, NULL);
}

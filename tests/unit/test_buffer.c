#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "common/net/buffer.h"

enum { KB = 1024, MB = 1024 * 1024 };

static void test_sizes_and_alignment(void **state)
{
    static const struct {
        size_t asked, got;
    } cases[] = {
        {0, 4 * KB},      {1, 4 * KB},      {4 * KB, 4 * KB}, {4 * KB + 1, 8 * KB},
        {1 * MB, 1 * MB}, {MB + 1, 2 * MB}, {3 * MB, 4 * MB}, {64 * MB, 64 * MB},
    };
    struct buffer_pool *pool = buffer_pool_create(256 * MB);

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct buffer *buffer = buffer_get(pool, cases[i].asked);

        assert_non_null(buffer);
        assert_int_equal(buffer->capacity, cases[i].got);
        assert_int_equal(buffer->used, 0);
        assert_int_equal((uintptr_t)buffer->data % 64, 0);
        buffer->data[0] = 1; /* all of it is ours */
        buffer->data[buffer->capacity - 1] = 2;
        buffer_unref(buffer);
    }
    assert_null(buffer_get(pool, 64 * MB + 1));
    assert_null(buffer_get(pool, SIZE_MAX));
    buffer_pool_destroy(pool);
}

static void test_freed_buffers_are_used_again(void **state)
{
    struct buffer_pool *pool = buffer_pool_create(64 * MB);
    struct buffer *small, *large;

    (void)state;
    assert_int_equal(buffer_pool_allocations(pool), 0);
    for (int i = 0; i < 100; i++) {
        small = buffer_get(pool, 100);
        large = buffer_get(pool, MB);
        small->used = 99;
        buffer_unref(small);
        buffer_unref(large);
    }
    assert_int_equal(buffer_pool_allocations(pool), 2);
    small = buffer_get(pool, 4 * KB);
    assert_int_equal(small->used, 0);
    assert_int_equal(buffer_pool_allocations(pool), 2);
    buffer_unref(small);
    buffer_unref(NULL);
    buffer_pool_destroy(pool);
    buffer_pool_destroy(NULL);
}

static void test_last_reference_gives_back(void **state)
{
    struct buffer_pool *pool = buffer_pool_create(4 * KB);
    struct buffer *buffer = buffer_get(pool, 1);

    (void)state;
    assert_ptr_equal(buffer_ref(buffer), buffer);
    buffer_ref(buffer);
    assert_int_equal(buffer->references, 3);
    buffer_unref(buffer);
    buffer_unref(buffer);
    assert_null(buffer_get(pool, 1)); /* still held once */
    buffer_unref(buffer);
    buffer = buffer_get(pool, 1);
    assert_non_null(buffer);
    assert_int_equal(buffer->references, 1);
    buffer_unref(buffer);
    buffer_pool_destroy(pool);
}

static void test_bound_is_kept(void **state)
{
    struct buffer_pool *pool = buffer_pool_create(10 * KB);
    struct buffer *a = buffer_get(pool, 4 * KB), *b = buffer_get(pool, 4 * KB);

    (void)state;
    assert_non_null(a);
    assert_non_null(b);
    assert_null(buffer_get(pool, 1));
    assert_null(buffer_get(pool, 16 * KB));
    buffer_unref(a);
    assert_null(buffer_get(pool, 8 * KB)); /* 4 + 8 is too much */
    buffer_unref(b);
    /* Both small ones are free: they go to make room. */
    a = buffer_get(pool, 8 * KB);
    assert_non_null(a);
    assert_int_equal(buffer_pool_allocations(pool), 3);
    assert_null(buffer_get(pool, 4 * KB));
    buffer_unref(a);
    b = buffer_get(pool, 4 * KB);
    assert_non_null(b);
    buffer_unref(b);
    buffer_pool_destroy(pool);

    pool = buffer_pool_create(0);
    assert_null(buffer_get(pool, 1));
    buffer_pool_destroy(pool);
}

/* ---- threads ---- */

enum { THREADS = 4, ROUNDS = 5000, TABLE = 8 };

/* Buffers on their way from one thread to another. */
struct shared {
    struct buffer_pool *pool;
    pthread_mutex_t lock;
    struct buffer *table[TABLE];
    unsigned wrong; /* buffers whose bytes somebody else had written to */
};

static void check_and_drop(struct shared *shared, struct buffer *buffer)
{
    unsigned char first = buffer->data[0];

    for (size_t i = 0; i < buffer->used; i++)
        if (buffer->data[i] != first) {
            __atomic_fetch_add(&shared->wrong, 1, __ATOMIC_RELAXED);
            break;
        }
    buffer_unref(buffer);
}

/* Fills buffers, leaves a reference of each in the table for whoever comes next, and
 * drops its own only then. */
static void *pass_buffers_on(void *context)
{
    struct shared *shared = context;

    for (unsigned i = 0; i < ROUNDS; i++) {
        struct buffer *buffer = buffer_get(shared->pool, i % 3 * 4 * KB + 1), *other;

        if (!buffer)
            continue;
        buffer->used = 64;
        memset(buffer->data, (int)i, buffer->used);
        buffer_ref(buffer);
        pthread_mutex_lock(&shared->lock);
        other = shared->table[i % TABLE];
        shared->table[i % TABLE] = buffer;
        pthread_mutex_unlock(&shared->lock);
        if (other)
            check_and_drop(shared, other);
        check_and_drop(shared, buffer);
    }
    return NULL;
}

static void test_threads_pass_buffers_on(void **state)
{
    struct shared shared = {.pool = buffer_pool_create(MB)};
    pthread_t thread[THREADS];

    (void)state;
    pthread_mutex_init(&shared.lock, NULL);
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, pass_buffers_on, &shared), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(thread[i], NULL);
    for (int i = 0; i < TABLE; i++)
        buffer_unref(shared.table[i]);
    assert_int_equal(shared.wrong, 0);
    /* No more than were ever in use at once, and none lost: destroy would notice. */
    assert_in_range(buffer_pool_allocations(shared.pool), 3, 3 * (TABLE + 2 * THREADS));
    buffer_pool_destroy(shared.pool);
    pthread_mutex_destroy(&shared.lock);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sizes_and_alignment),
        cmocka_unit_test(test_freed_buffers_are_used_again),
        cmocka_unit_test(test_last_reference_gives_back),
        cmocka_unit_test(test_bound_is_kept),
        cmocka_unit_test(test_threads_pass_buffers_on),
    };

    return cmocka_run_group_tests_name("buffer", tests, NULL, NULL);
}

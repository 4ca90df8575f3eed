#include "common/net/buffer.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>

enum {
    CLASS_BITS_MIN = 12, /* 4 KB */
    CLASS_BITS_MAX = 26, /* 64 MB */
    CLASSES = CLASS_BITS_MAX - CLASS_BITS_MIN + 1,
    ALIGNMENT = 64,
    HUGE_PAGE = 2 * 1024 * 1024,
};

/* The buffer lies in front of its data, in the same piece of memory. */
_Static_assert(sizeof(struct buffer) <= ALIGNMENT, "data stay aligned behind a buffer");

struct buffer_pool {
    size_t bytes_max;
    uint64_t allocations; /* atomic */
    pthread_mutex_t lock; /* of what follows */
    size_t bytes;         /* of all buffers, free or not */
    uint32_t out;         /* buffers that are not free */
    struct buffer *free[CLASSES];
};

struct buffer_pool *buffer_pool_create(size_t bytes_max)
{
    struct buffer_pool *pool = calloc(1, sizeof *pool);

    if (!pool)
        return NULL;
    pool->bytes_max = bytes_max;
    pthread_mutex_init(&pool->lock, NULL);
    return pool;
}

/* Gives one free buffer of the class back to the system. Under the lock. */
static void drop_free(struct buffer_pool *pool, uint32_t class_index)
{
    struct buffer *buffer = pool->free[class_index];

    pool->free[class_index] = buffer->next;
    pool->bytes -= buffer->capacity;
    free(buffer);
}

void buffer_pool_destroy(struct buffer_pool *pool)
{
    if (!pool)
        return;
    assert(pool->out == 0);
    for (uint32_t i = 0; i < CLASSES; i++)
        while (pool->free[i])
            drop_free(pool, i);
    pthread_mutex_destroy(&pool->lock);
    free(pool);
}

size_t buffer_pool_bound(const struct buffer_pool *pool)
{
    return pool->bytes_max;
}

uint64_t buffer_pool_allocations(const struct buffer_pool *pool)
{
    return __atomic_load_n(&pool->allocations, __ATOMIC_RELAXED);
}

/* The smallest class for `bytes`; CLASSES if there is none. */
static uint32_t class_of(size_t bytes)
{
    uint32_t i = 0;

    while (i < CLASSES && (size_t)1 << (CLASS_BITS_MIN + i) < bytes)
        i++;
    return i;
}

/* Is there room for `capacity` bytes more, after giving back what is free, the largest
 * first? Under the lock. */
static int make_room(struct buffer_pool *pool, size_t capacity)
{
#ifndef MUTANT_POOL_BOUND
    if (capacity > pool->bytes_max)
        return 0;
    for (uint32_t i = CLASSES; i-- > 0;)
        while (pool->bytes > pool->bytes_max - capacity && pool->free[i])
            drop_free(pool, i);
    return pool->bytes <= pool->bytes_max - capacity;
#else
    (void)pool;
    (void)capacity;
    return 1;
#endif
}

/* A buffer of the class in fresh memory. */
static struct buffer *buffer_allocate(struct buffer_pool *pool, uint32_t class_index)
{
    size_t capacity = (size_t)1 << (CLASS_BITS_MIN + class_index);
    size_t alignment = capacity < HUGE_PAGE ? ALIGNMENT : HUGE_PAGE;
    void *memory;
    struct buffer *buffer;

    if (posix_memalign(&memory, alignment, ALIGNMENT + capacity))
        return NULL;
    if (capacity >= HUGE_PAGE)
        madvise(memory, capacity, MADV_HUGEPAGE); /* a wish: failing does no harm */
    __atomic_fetch_add(&pool->allocations, 1, __ATOMIC_RELAXED);
    buffer = memory;
    *buffer = (struct buffer){
        .data = (unsigned char *)memory + ALIGNMENT,
        .capacity = capacity,
        .pool = pool,
        .class_index = class_index,
    };
    return buffer;
}

struct buffer *buffer_get(struct buffer_pool *pool, size_t bytes)
{
    uint32_t class_index = class_of(bytes);
    struct buffer *buffer = NULL;

    if (class_index == CLASSES)
        return NULL;
    pthread_mutex_lock(&pool->lock);
    buffer = pool->free[class_index];
    if (buffer) {
        pool->free[class_index] = buffer->next;
    } else if (make_room(pool, (size_t)1 << (CLASS_BITS_MIN + class_index))) {
        buffer = buffer_allocate(pool, class_index);
        if (buffer)
            pool->bytes += buffer->capacity;
    }
    if (buffer)
        pool->out++;
    pthread_mutex_unlock(&pool->lock);
    if (buffer) {
        buffer->used = 0;
        buffer->next = NULL;
        __atomic_store_n(&buffer->references, 1, __ATOMIC_RELAXED);
    }
    return buffer;
}

struct buffer *buffer_ref(struct buffer *buffer)
{
    __atomic_fetch_add(&buffer->references, 1, __ATOMIC_RELAXED);
    return buffer;
}

void buffer_unref(struct buffer *buffer)
{
    struct buffer_pool *pool;
    int left;

    if (!buffer)
        return;
    /* Release what this thread did with the bytes, acquire what the others did. */
    left = __atomic_sub_fetch(&buffer->references, 1, __ATOMIC_ACQ_REL);
    assert(left >= 0);
    if (left > 0)
        return;
    pool = buffer->pool;
    pthread_mutex_lock(&pool->lock);
    buffer->next = pool->free[buffer->class_index];
    pool->free[buffer->class_index] = buffer;
    pool->out--;
    pthread_mutex_unlock(&pool->lock);
}

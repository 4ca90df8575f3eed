/* Message bodies: counted buffers from a pool, so that a steady step allocates
 * nothing and a body is sent without a copy while the sender keeps it for a resend.
 *
 * Any thread may take a reference or drop one (ZeroMQ's threads drop theirs when a
 * frame has left). The pool outlives its buffers: destroy the net before the pool.
 *
 * A free buffer stays with the pool, for the next one who asks for its size (powers of
 * two from 4 KB to 64 MB). The pool never holds more memory than its bound: to make
 * room it gives back free buffers of other sizes. */
#ifndef ROWHOUSE_COMMON_NET_BUFFER_H
#define ROWHOUSE_COMMON_NET_BUFFER_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct buffer_pool;

struct buffer {
    unsigned char *data; /* 64-byte aligned; not cleared */
    size_t capacity;
    size_t used;              /* set by whoever fills it; 0 at first */
    struct buffer_pool *pool; /* borrowed */
    struct buffer *next;      /* in the pool's free list */
    uint32_t class_index;
    int references; /* atomic */
};

/* A new pool that holds at most `bytes_max`, free buffers included. NULL without
 * memory. */
struct buffer_pool *buffer_pool_create(size_t bytes_max);
/* All buffers must be back. NULL is fine. */
void buffer_pool_destroy(struct buffer_pool *pool);
size_t buffer_pool_bound(const struct buffer_pool *pool);
/* How often the pool had to ask for memory: constant in a steady step. Any thread. */
uint64_t buffer_pool_allocations(const struct buffer_pool *pool);

/* A buffer of at least `bytes` with one reference; NULL at the pool's bound, without
 * memory, or above the largest size. Any thread. */
struct buffer *buffer_get(struct buffer_pool *pool, size_t bytes);
/* One reference more; returns `buffer`. Any thread that has one already. */
struct buffer *buffer_ref(struct buffer *buffer);
/* Drops a reference; the last one gives the buffer back. NULL is fine. Any thread. */
void buffer_unref(struct buffer *buffer);

#endif

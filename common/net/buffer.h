/* Message bodies: counted buffers from a pool, so that a steady step allocates
 * nothing and a body is sent without a copy while the sender keeps it for a resend.
 *
 * Any thread may take a reference or drop one (ZeroMQ's threads drop theirs when a
 * frame has left). The pool outlives its buffers. */
#ifndef ROWHOUSE_COMMON_NET_BUFFER_H
#define ROWHOUSE_COMMON_NET_BUFFER_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

struct buffer_pool;

struct buffer {
    unsigned char *data; /* 64-byte aligned */
    size_t capacity;
    size_t used;              /* set by whoever fills it */
    struct buffer_pool *pool; /* borrowed */
    struct buffer *next;      /* in the pool's free list */
    uint32_t class_index;
    int references; /* atomic */
};

/* A new pool that hands out at most `bytes_max`. NULL without memory. */
struct buffer_pool *buffer_pool_create(size_t bytes_max);
/* All buffers must be back. NULL is fine. */
void buffer_pool_destroy(struct buffer_pool *pool);
/* How often the pool had to ask for memory: constant in a steady step. */
uint64_t buffer_pool_allocations(const struct buffer_pool *pool);

/* A buffer of at least `bytes` with one reference; NULL at the pool's cap. */
struct buffer *buffer_get(struct buffer_pool *pool, size_t bytes);
struct buffer *buffer_ref(struct buffer *buffer);
void buffer_unref(struct buffer *buffer); /* NULL is fine */

#endif

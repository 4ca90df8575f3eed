/* Counts what a test program asks the heap for: include this in one file of it, whose
 * functions then stand before those of the C library. Under a sanitizer, which has a
 * heap of its own, nothing is counted. */
#ifndef ROWHOUSE_TESTS_UNIT_HEAP_COUNT_H
#define ROWHOUSE_TESTS_UNIT_HEAP_COUNT_H

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>

static uint64_t heap_calls; /* atomic */

/* malloc(), calloc(), realloc() and their kin so far, of all threads. */
static inline uint64_t heap_count(void)
{
    return __atomic_load_n(&heap_calls, __ATOMIC_RELAXED);
}

#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

static inline void heap_called(void)
{
    __atomic_fetch_add(&heap_calls, 1, __ATOMIC_RELAXED);
}

void *malloc(size_t size)
{
    heap_called();
    return __libc_malloc(size);
}

void *calloc(size_t n, size_t size)
{
    heap_called();
    return __libc_calloc(n, size);
}

void *realloc(void *old, size_t size)
{
    heap_called();
    return __libc_realloc(old, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    heap_called();
    return __libc_memalign(alignment, size);
}

int posix_memalign(void **out, size_t alignment, size_t size)
{
    heap_called();
    *out = __libc_memalign(alignment, size);
    return *out ? 0 : ENOMEM;
}

#endif

#endif

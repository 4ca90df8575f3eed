#include "server/collapse.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#ifndef MADV_COLLAPSE
#define MADV_COLLAPSE 25 /* Linux 6.1; older C libraries do not name it */
#endif

enum { NICE = 10, LOOK_MS = 100 };

struct collapse {
    const struct table *const *table; /* borrowed */
    uint32_t tables;
    uint64_t done[JOB_TABLES_MAX]; /* slabs that were tried, by table */
    uint64_t count;                /* atomic */
    pthread_t thread;
    pthread_mutex_t lock; /* of stop */
    pthread_cond_t changed;
    bool stop;
};

/* One slab more of a table, if one is full. False: this system does not do it. */
static bool collapse_next(struct collapse *c, uint32_t t)
{
    uint64_t bytes;
    void *slab = table_full_slab(c->table[t], c->done[t], &bytes);

    if (!slab)
        return true;
    c->done[t]++;
    if (bytes % REGION_CHUNK || (uintptr_t)slab % REGION_CHUNK)
        return true; /* a small region's */
    if (madvise(slab, bytes, MADV_COLLAPSE) == 0)
        __atomic_add_fetch(&c->count, 1, __ATOMIC_RELAXED);
    else if (errno == EINVAL)
        return false;
    return true; /* without memory for a huge page now it stays as it is */
}

/* Waits until it is time to look again; true: to stop. With `busy` it only looks. */
static bool wait_to_stop(struct collapse *c, bool busy)
{
    struct timespec until;
    bool stop;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_nsec += LOOK_MS * 1000000L;
    until.tv_sec += until.tv_nsec / 1000000000;
    until.tv_nsec %= 1000000000;
    pthread_mutex_lock(&c->lock);
    if (!busy && !c->stop)
        pthread_cond_timedwait(&c->changed, &c->lock, &until);
    stop = c->stop;
    pthread_mutex_unlock(&c->lock);
    return stop;
}

static void *collapse_all(void *context)
{
    struct collapse *c = context;
    bool possible = true;

    setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), NICE);
    while (possible) {
        bool busy = false;

        for (uint32_t t = 0; t < c->tables && possible; t++) {
            uint64_t before = c->done[t];

            possible = collapse_next(c, t);
            busy |= c->done[t] > before;
        }
        if (wait_to_stop(c, busy))
            break;
    }
    return NULL;
}

int collapse_start(const struct region *region, const struct table *const *table,
                   uint32_t tables, struct collapse **out, struct err *err)
{
    struct collapse *c;

    *out = NULL;
    if (region->fd < 0)
        return 0; /* anonymous memory has them from the start */
    c = calloc(1, sizeof *c);
    if (!c)
        return err_set(err, ERR_MEMORY, "no memory for a thread");
    c->table = table;
    c->tables = tables;
    pthread_mutex_init(&c->lock, NULL);
    pthread_cond_init(&c->changed, NULL);
    errno = pthread_create(&c->thread, NULL, collapse_all, c);
    if (errno) {
        free(c);
        return err_system(err, "cannot start the thread for huge pages");
    }
    *out = c;
    return 0;
}

void collapse_stop(struct collapse *c)
{
    if (!c)
        return;
    pthread_mutex_lock(&c->lock);
    c->stop = true;
    pthread_cond_signal(&c->changed);
    pthread_mutex_unlock(&c->lock);
    pthread_join(c->thread, NULL);
    pthread_cond_destroy(&c->changed);
    pthread_mutex_destroy(&c->lock);
    free(c);
}

uint64_t collapse_count(const struct collapse *c)
{
    return __atomic_load_n(&c->count, __ATOMIC_RELAXED);
}

/* What a worker has behind it, in memory that outlives its process: a restarted worker
 * takes up its share where every server has acknowledged it. Two entries written in
 * turn, so that one is always whole. Plain data; fresh memory is zero. */
#ifndef ROWHOUSE_WORKER_JOURNAL_H
#define ROWHOUSE_WORKER_JOURNAL_H

#include <stdint.h>

struct journal_entry {
    uint64_t order;           /* the training order it belongs to */
    uint64_t clock;           /* acknowledged up to here */
    uint64_t taken;           /* examples of the share behind that clock */
    uint64_t lease, position; /* where that is: as in a status */
    uint64_t bad_rows;        /* left out of the share behind it */
    double loss_sum;          /* of those */
    uint64_t pushes_sent, pushes_resent, bytes_pulled, bytes_pushed;
};

struct journal {
    struct journal_entry entry[2];
    uint32_t current;
};

static inline const struct journal_entry *journal_read(const struct journal *journal)
{
    return &journal->entry[journal->current & 1];
}

static inline void journal_write(struct journal *journal,
                                 const struct journal_entry *entry)
{
    uint32_t next = (journal->current & 1) ^ 1;

    journal->entry[next] = *entry;
    __atomic_store_n(&journal->current, next, __ATOMIC_RELEASE);
}

#endif

/* The outbox: the finished messages of every push that is not acknowledged yet, in
 * memory that outlives the process. They are complete before their first byte leaves,
 * so a restarted worker sends them again byte for byte and never computes a clock again
 * that a server may have seen.
 *
 * A ring of entries, one for each clock, in memory given by the caller (a memfd, or
 * anonymous memory) and addressed by offsets:
 *
 *   | header | ... free ... | entry | entry | entry | ... free ... |
 *                            ^ first                 ^ next
 *
 * An entry is published by one store of `next` and given up by one store of `first`, so
 * that a process may die at any instruction. One thread. */
#ifndef ROWHOUSE_WORKER_OUTBOX_H
#define ROWHOUSE_WORKER_OUTBOX_H

#include "common/net/buffer.h"
#include "common/net/message.h"
#include "worker/journal.h"

/* A part of a push on its way. */
struct parcel {
    uint64_t clock, after;
    uint32_t server, part, parts;
    uint32_t sections;
    struct section section[MESSAGE_SECTIONS_MAX];
    uint64_t body_offset, body_bytes; /* from the outbox's base */
};

struct outbox;

/* Bytes of memory for `entries` clocks of at most `body_bytes` bytes in `parcels`
 * parts. */
uint64_t outbox_bytes(uint64_t body_bytes, uint32_t parcels, uint32_t entries);

/* Opens the outbox in `memory` (8-byte aligned, zero when fresh): what an earlier
 * process left is still there. The memory is borrowed. -ERR_DAMAGE when it holds
 * something else. */
int outbox_open(void *memory, uint64_t size, struct outbox **outbox, struct err *err);
/* All buffers must be back with the outbox. NULL is fine; the memory stays as it is. */
void outbox_close(struct outbox *outbox);

/* Begins an entry of `parcels` parts with body_bytes in all. -ERR_AGAIN: no room before
 * older entries are dropped (and their last copies have left); -ERR_MEMORY: it would
 * never fit. One entry at a time. */
int outbox_begin(struct outbox *outbox, uint32_t parcels, uint64_t body_bytes,
                 struct err *err);
/* The next part of the entry begun: fill in everything but the body's place and size,
 * then its body_bytes bytes at *body (8-byte aligned). */
struct parcel *outbox_add(struct outbox *outbox, uint64_t body_bytes,
                          unsigned char **body);
/* Publishes the entry; `standing` is what the worker has behind it with this clock.
 * Fails without memory only; then the entry is not there. */
int outbox_commit(struct outbox *outbox, uint64_t clock,
                  const struct journal_entry *standing, struct err *err);

/* Drops all entries up to and with `clock`. */
void outbox_drop(struct outbox *outbox, uint64_t clock);

/* Entries from the oldest (0); their parts; the body of a part as a buffer that belongs
 * to the outbox: take a reference to send it. */
uint32_t outbox_entries(const struct outbox *outbox);
const struct parcel *outbox_parcels(const struct outbox *outbox, uint32_t entry,
                                    uint32_t *parcels);
struct buffer *outbox_body(struct outbox *outbox, uint32_t entry, uint32_t parcel);
/* The standing of the newest entry that there was; all zeros before the first. Valid
 * until the next entry is begun. */
const struct journal_entry *outbox_standing(const struct outbox *outbox);

#endif

#include "worker/outbox.h"

#include <stdlib.h>
#include <string.h>

#define OUTBOX_MAGIC 0x31786f6274756f72u /* "routbox1" */

enum { ALIGN = 64, HEADER_BYTES = 4096 };

/* At the start of the memory. Positions count bytes of the ring for ever; a position's
 * place is its remainder. */
struct header {
    uint64_t magic, ring_bytes;
    uint64_t first, next;
    struct journal given_up; /* the standing of the last entry that is gone */
};

/* At the start of an entry. clock 0: nothing until the ring's end. */
struct entry {
    uint64_t clock, bytes;
    uint32_t parcels, unused;
    struct journal_entry standing;
    struct parcel parcel[];
};

/* The process' side of an entry: a buffer for each part. Places in the ring of them
 * keep their memory, so that a steady step allocates nothing. */
struct held {
    uint64_t position;
    struct buffer *buffer; /* [capacity]; owned */
    uint32_t parcels, capacity;
};

struct outbox {
    unsigned char *base; /* borrowed */
    struct header *header;
    struct held *held; /* ring of live entries, and of dropped ones still being sent */
    uint32_t held_capacity, held_first, held_count, dropped;
    struct entry *open; /* begun and not committed */
    uint64_t open_bytes, filled;
};

static uint64_t round_up(uint64_t bytes)
{
    return (bytes + ALIGN - 1) / ALIGN * ALIGN;
}

static uint64_t entry_bytes(uint32_t parcels, uint64_t body_bytes)
{
    /* Each body starts on a cache line. */
    return round_up(sizeof(struct entry) + parcels * sizeof(struct parcel)) +
           round_up(body_bytes) + (uint64_t)parcels * ALIGN;
}

uint64_t outbox_bytes(uint64_t body_bytes, uint32_t parcels, uint32_t entries)
{
    /* One more than wanted: the ring's end may have to stay empty. */
    return HEADER_BYTES + entry_bytes(parcels, body_bytes) * (entries + 1);
}

static struct entry *entry_at(const struct outbox *outbox, uint64_t position)
{
    return (struct entry *)(outbox->base + HEADER_BYTES +
                            position % outbox->header->ring_bytes);
}

static struct held *held_at(const struct outbox *outbox, uint32_t i)
{
    return &outbox->held[(outbox->held_first + i) % outbox->held_capacity];
}

/* Makes room for one more in the ring of held entries. */
static int grow_held(struct outbox *outbox)
{
    uint32_t capacity = outbox->held_capacity ? outbox->held_capacity * 2 : 16;
    struct held *bigger;

    if (outbox->held_count < outbox->held_capacity)
        return 0;
    bigger = calloc(capacity, sizeof *bigger);
    if (!bigger)
        return -ERR_MEMORY;
    for (uint32_t i = 0; i < outbox->held_count; i++) /* all places: it is full */
        bigger[i] = *held_at(outbox, i);
    free(outbox->held);
    outbox->held = bigger;
    outbox->held_capacity = capacity;
    outbox->held_first = 0;
    return 0;
}

static int hold(struct outbox *outbox, uint64_t position)
{
    struct entry *entry = entry_at(outbox, position);
    struct held *held;

    if (grow_held(outbox))
        return -ERR_MEMORY;
    held = held_at(outbox, outbox->held_count);
    if (held->capacity < entry->parcels) {
        struct buffer *buffer = realloc(held->buffer, entry->parcels * sizeof *buffer);

        if (!buffer)
            return -ERR_MEMORY;
        held->buffer = buffer;
        held->capacity = entry->parcels;
    }
    for (uint32_t i = 0; i < entry->parcels; i++)
        held->buffer[i] = (struct buffer){.data = outbox->base +
                                                  entry->parcel[i].body_offset,
                                          .capacity = entry->parcel[i].body_bytes,
                                          .used = entry->parcel[i].body_bytes,
                                          .references = 1};
    held->position = position;
    held->parcels = entry->parcels;
    outbox->held_count++;
    return 0;
}

/* Takes over the entries that are in the ring. */
static int adopt(struct outbox *outbox, struct err *err)
{
    const struct header *h = outbox->header;

    if (h->next < h->first || h->next - h->first > h->ring_bytes)
        return err_set(err, ERR_DAMAGE, "the outbox has positions %llu to %llu",
                       (unsigned long long)h->first, (unsigned long long)h->next);
    for (uint64_t at = h->first; at < h->next;) {
        const struct entry *entry = entry_at(outbox, at);

        if (entry->bytes == 0 || entry->bytes > h->next - at)
            return err_set(err, ERR_DAMAGE, "the outbox has an entry of %llu bytes",
                           (unsigned long long)entry->bytes);
        if (entry->clock && hold(outbox, at))
            return err_set(err, ERR_MEMORY, "no memory for the outbox");
        at += entry->bytes;
    }
    return 0;
}

int outbox_open(void *memory, uint64_t size, struct outbox **out, struct err *err)
{
    struct header *header = memory;
    struct outbox *outbox;
    uint64_t ring_bytes = (size - HEADER_BYTES) / ALIGN * ALIGN;
    int rc;

    if (header->magic == 0) {
        header->ring_bytes = ring_bytes;
        __atomic_store_n(&header->magic, OUTBOX_MAGIC, __ATOMIC_RELEASE);
    }
    if (header->magic != OUTBOX_MAGIC || header->ring_bytes != ring_bytes)
        return err_set(err, ERR_DAMAGE, "the outbox's memory holds something else");
    outbox = calloc(1, sizeof *outbox);
    if (!outbox)
        return err_set(err, ERR_MEMORY, "no memory for the outbox");
    outbox->base = memory;
    outbox->header = header;
    rc = adopt(outbox, err);
    if (rc) {
        outbox_close(outbox);
        return rc;
    }
    *out = outbox;
    return 0;
}

void outbox_close(struct outbox *outbox)
{
    if (!outbox)
        return;
    for (uint32_t i = 0; i < outbox->held_capacity; i++)
        free(outbox->held[i].buffer);
    free(outbox->held);
    free(outbox);
}

static bool has_left(const struct held *held)
{
    for (uint32_t i = 0; i < held->parcels; i++)
        if (__atomic_load_n(&held->buffer[i].references, __ATOMIC_ACQUIRE) != 1)
            return false;
    return true;
}

/* Gives the room of dropped entries back once no copy of them is on its way. */
static void reclaim(struct outbox *outbox)
{
    struct header *h = outbox->header;

    while (outbox->dropped && has_left(held_at(outbox, 0))) {
        uint64_t position = held_at(outbox, 0)->position;

        journal_write(&h->given_up, &entry_at(outbox, position)->standing);
        outbox->held_first = (outbox->held_first + 1) % outbox->held_capacity;
        outbox->held_count--;
        outbox->dropped--;
        __atomic_store_n(&h->first, position + entry_at(outbox, position)->bytes,
                         __ATOMIC_RELEASE);
    }
}

/* Leaves the rest of the ring, `skip` bytes, empty. It may be shorter than an entry:
 * two words always fit. */
static void skip_rest(struct outbox *outbox, uint64_t skip)
{
    struct header *h = outbox->header;
    struct entry *filler = entry_at(outbox, h->next);

    filler->clock = 0;
    filler->bytes = skip;
    __atomic_store_n(&h->next, h->next + skip, __ATOMIC_RELEASE);
}

/* An empty ring begins at its start again: the memory there has been used and is near,
 * while a large ring may never have been used to its end. */
static void rewind_empty(struct outbox *outbox)
{
    struct header *h = outbox->header;
    uint64_t used = h->next % h->ring_bytes;

    if (outbox->held_count)
        return;
    if (used)
        skip_rest(outbox, h->ring_bytes - used);
    __atomic_store_n(&h->first, h->next, __ATOMIC_RELEASE);
}

int outbox_begin(struct outbox *outbox, uint32_t parcels, uint64_t body_bytes,
                 struct err *err)
{
    struct header *h = outbox->header;
    uint64_t bytes = entry_bytes(parcels, body_bytes);
    uint64_t to_end, skip;

    if (bytes > h->ring_bytes / 2)
        return err_set(err, ERR_MEMORY,
                       "a push of %llu bytes is too large for the outbox",
                       (unsigned long long)body_bytes);
    reclaim(outbox);
    rewind_empty(outbox);
    to_end = h->ring_bytes - h->next % h->ring_bytes;
    skip = bytes > to_end ? to_end : 0;
    if (h->next + skip + bytes - h->first > h->ring_bytes)
        return -ERR_AGAIN;
    if (skip)
        skip_rest(outbox, skip);
    outbox->open = entry_at(outbox, h->next);
    outbox->open->bytes = bytes;
    outbox->open->parcels = 0;
    outbox->open_bytes = bytes;
    outbox->filled = round_up(sizeof(struct entry) + parcels * sizeof(struct parcel));
    return 0;
}

struct parcel *outbox_add(struct outbox *outbox, uint64_t body_bytes,
                          unsigned char **body)
{
    struct entry *entry = outbox->open;
    struct parcel *parcel = &entry->parcel[entry->parcels++];

    *body = (unsigned char *)entry + outbox->filled;
    parcel->body_offset = (uint64_t)(*body - outbox->base);
    parcel->body_bytes = body_bytes;
    outbox->filled += round_up(body_bytes);
    return parcel;
}

int outbox_commit(struct outbox *outbox, uint64_t clock,
                  const struct journal_entry *standing, struct err *err)
{
    struct header *h = outbox->header;

    outbox->open->clock = clock;
    outbox->open->standing = *standing;
    if (hold(outbox, h->next))
        return err_set(err, ERR_MEMORY, "no memory for the outbox");
    __atomic_store_n(&h->next, h->next + outbox->open_bytes, __ATOMIC_RELEASE);
    outbox->open = NULL;
    return 0;
}

void outbox_drop(struct outbox *outbox, uint64_t clock)
{
    while (outbox->dropped < outbox->held_count &&
           entry_at(outbox, held_at(outbox, outbox->dropped)->position)->clock <= clock)
        outbox->dropped++;
    reclaim(outbox);
}

uint32_t outbox_entries(const struct outbox *outbox)
{
    return outbox->held_count - outbox->dropped;
}

const struct parcel *outbox_parcels(const struct outbox *outbox, uint32_t i,
                                    uint32_t *parcels)
{
    const struct entry *entry = entry_at(
        outbox, held_at(outbox, outbox->dropped + i)->position);

    *parcels = entry->parcels;
    return entry->parcel;
}

struct buffer *outbox_body(struct outbox *outbox, uint32_t entry, uint32_t parcel)
{
    return &held_at(outbox, outbox->dropped + entry)->buffer[parcel];
}

const struct journal_entry *outbox_standing(const struct outbox *outbox)
{
    if (outbox->held_count == 0)
        return journal_read(&outbox->header->given_up);
    return &entry_at(outbox, held_at(outbox, outbox->held_count - 1)->position)
                ->standing;
}

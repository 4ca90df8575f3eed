#include "worker/stream/profile/skew.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/rng.h"

static uint64_t hash_of(uint64_t key)
{
    return mix64(key + 0x9e3779b97f4a7c15u);
}

int skew_create(struct skew *skew, uint32_t capacity, struct err *err)
{
    uint32_t slots = 4;

    while (slots < 2 * capacity)
        slots *= 2;
    *skew = (struct skew){.slots = slots, .capacity = capacity};
    skew->slot = calloc(slots, sizeof *skew->slot);
    return skew->slot
               ? 0
               : err_set(err, ERR_MEMORY, "no memory to count %u keys", capacity);
}

void skew_release(struct skew *skew)
{
    free(skew->slot);
    *skew = (struct skew){0};
}

/* Is the key in the sample? By the upper bits; places go by the lower ones. */
static bool sampled(const struct skew *skew, uint64_t hash)
{
    return skew->halvings == 0 || hash >> (64 - skew->halvings) == 0;
}

static struct skew_key *place_of(const struct skew *skew, uint64_t key, uint64_t hash)
{
    uint32_t at = (uint32_t)hash & (skew->slots - 1);

    while (skew->slot[at].count && skew->slot[at].key != key)
        at = (at + 1) & (skew->slots - 1);
    return &skew->slot[at];
}

/* Half of the keys go, and the others to where they are looked for now. */
static void halve(struct skew *skew)
{
    const uint32_t mask = skew->slots - 1;
    uint32_t begin = 0;

    skew->halvings++;
    skew->keys = 0;
    while (skew->slot[begin].count) /* there is an empty one: runs begin behind */
        begin++;
    for (uint32_t i = 1; i <= mask; i++) {
        struct skew_key *slot = &skew->slot[(begin + i) & mask], moved = *slot;
        uint64_t hash = hash_of(moved.key);

        if (!moved.count)
            continue;
        slot->count = 0;
        if (!sampled(skew, hash))
            continue;
        *place_of(skew, moved.key, hash) = moved;
        skew->keys++;
    }
}

static void add(struct skew *skew, uint64_t key, uint64_t count)
{
    uint64_t hash = hash_of(key);
    struct skew_key *slot;

    if (!sampled(skew, hash))
        return;
    slot = place_of(skew, key, hash);
    if (!slot->count) {
        slot->key = key;
        skew->keys++;
    }
    slot->count += count;
    while (skew->keys > skew->capacity)
        halve(skew);
}

void skew_add(struct skew *skew, uint64_t key)
{
    skew->total++;
    add(skew, key, 1);
}

void skew_merge(struct skew *to, const struct skew *from)
{
    while (to->halvings < from->halvings)
        halve(to);
    for (uint32_t i = 0; i < from->slots; i++)
        if (from->slot[i].count)
            add(to, from->slot[i].key, from->slot[i].count);
    to->total += from->total;
}

double skew_keys(const struct skew *skew)
{
    return ldexp(skew->keys, (int)skew->halvings);
}

/* --- the curve ----------------------------------------------------------------- */

/* So many keys that each occur that often. */
struct weighed {
    double keys, count;
};

static int by_count(const void *a, const void *b)
{
    double one = ((const struct weighed *)a)->count;
    double two = ((const struct weighed *)b)->count;

    return (one < two) - (one > two);
}

/* Keys that are so frequent that their count is known well enough. */
static bool is_head(const struct frequent *frequent, uint64_t count)
{
    return count > 10 * frequent_error(frequent);
}

/* The keys by how often they occur: those of the head, then the sample's others, each
 * standing for many. How many entries. */
static size_t weigh(const struct skew *skew, const struct frequent *frequent,
                    struct weighed *list)
{
    bool all = skew->halvings == 0;
    double head = 0, tail = 0, scale;
    size_t n = 0, first_of_tail;

    for (uint32_t i = 0; !all && i < frequent->slots; i++) {
        uint64_t count = frequent->slot[i].count;

        if (!count || !is_head(frequent, count + frequent_error(frequent)))
            continue;
        count += frequent_error(frequent) / 2; /* the middle of what it can be */
        list[n++] = (struct weighed){1, (double)count};
        head += (double)count;
    }
    first_of_tail = n;
    for (uint32_t i = 0; i < skew->slots; i++) {
        const struct skew_key *slot = &skew->slot[i];

        if (!slot->count ||
            (!all && is_head(frequent, frequent_count(frequent, slot->key))))
            continue;
        list[n++] = (struct weighed){ldexp(1, (int)skew->halvings),
                                     (double)slot->count};
        tail += list[n - 1].keys * (double)slot->count;
    }
    /* The sum is known: what the sample is off by is made up for. */
    scale = tail > 0 ? ((double)skew->total - head) / tail : 1;
    for (size_t i = first_of_tail; i < n; i++)
        list[i].count *= scale > 0 ? scale : 0;
    qsort(list, n, sizeof *list, by_count);
    return n;
}

int skew_curve(const struct skew *skew, const struct frequent *frequent,
               const double *share, uint32_t n, double *reach, struct err *err)
{
    struct weighed *list = malloc((skew->keys + (size_t)frequent->slots + 1) *
                                  sizeof *list);
    double keys = 0, total = 0, before = 0, sum = 0;
    size_t entries, at = 0;

    if (!list)
        return err_set(err, ERR_MEMORY, "no memory to sort keys");
    entries = weigh(skew, frequent, list);
    for (size_t i = 0; i < entries; i++) {
        keys += list[i].keys;
        total += list[i].keys * list[i].count;
    }
    for (uint32_t i = 0; i < n; i++) {
        double wanted = share[i] * keys;

        while (at < entries && before + list[at].keys <= wanted) {
            before += list[at].keys;
            sum += list[at].keys * list[at].count;
            at++;
        }
        reach[i] = sum + (at < entries ? (wanted - before) * list[at].count : 0);
        reach[i] = total > 0 ? fmin(1, reach[i] / total) : 0;
    }
    free(list);
    return 0;
}

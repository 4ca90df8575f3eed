#include "worker/stream/profile/sketch.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/rng.h"

/* --- moments ------------------------------------------------------------------- */

void moments_add(struct moments *moments, double value)
{
    double off = value - moments->mean;

    if (moments->n == 0)
        moments->min = moments->max = value;
    moments->n++;
    moments->mean += off / (double)moments->n;
    moments->squares += off * (value - moments->mean);
    if (value < moments->min)
        moments->min = value;
    if (value > moments->max)
        moments->max = value;
}

void moments_merge(struct moments *to, const struct moments *from)
{
    uint64_t n = to->n + from->n;
    double off = from->mean - to->mean, share;

    if (from->n == 0)
        return;
    if (to->n == 0) {
        *to = *from;
        return;
    }
    share = (double)from->n / (double)n;
    to->squares += from->squares + off * off * (double)to->n * share;
    to->mean += off * share;
    to->n = n;
    if (from->min < to->min)
        to->min = from->min;
    if (from->max > to->max)
        to->max = from->max;
}

double moments_deviation(const struct moments *moments)
{
    return moments->n < 2 ? 0 : sqrt(moments->squares / (double)moments->n);
}

/* --- how many different ones --------------------------------------------------- */

enum { DISTINCT_RANKS = 64 - DISTINCT_BITS + 2 }; /* 0 (never seen) .. 53 */

void distinct_add(struct distinct *distinct, uint64_t key)
{
    uint64_t hash = mix64(key + 0x9e3779b97f4a7c15u);
    uint64_t rest = hash << DISTINCT_BITS;
    uint8_t *rank = &distinct->rank[hash >> (64 - DISTINCT_BITS)];
    uint8_t seen = (uint8_t)(rest ? __builtin_clzll(rest) + 1 : DISTINCT_RANKS - 1);

    if (seen > *rank)
        *rank = seen;
}

void distinct_merge(struct distinct *to, const struct distinct *from)
{
    for (int i = 0; i < DISTINCT_REGISTERS; i++)
        if (from->rank[i] > to->rank[i])
            to->rank[i] = from->rank[i];
}

/* What registers that were never touched tell: x + sum of x^(2^k) 2^(k-1). */
static double ertl_sigma(double x)
{
    double sum = x, before, weight = 1;

    if (x == 1)
        return INFINITY;
    do {
        before = sum;
        x *= x;
        sum += x * weight;
        weight += weight;
    } while (sum != before);
    return sum;
}

/* And those that are full. */
static double ertl_tau(double x)
{
    double sum = 1 - x, before, weight = 1;

    if (x == 0 || x == 1)
        return 0;
    do {
        before = sum;
        x = sqrt(x);
        weight *= 0.5;
        sum -= (1 - x) * (1 - x) * weight;
    } while (sum != before);
    return sum / 3;
}

double distinct_estimate(const struct distinct *distinct)
{
    const double m = DISTINCT_REGISTERS;
    uint32_t with[DISTINCT_RANKS] = {0};
    double sum;

    for (int i = 0; i < DISTINCT_REGISTERS; i++)
        with[distinct->rank[i]]++;
    sum = m * ertl_tau(1 - with[DISTINCT_RANKS - 1] / m);
    for (int rank = DISTINCT_RANKS - 2; rank >= 1; rank--)
        sum = 0.5 * (sum + with[rank]);
    sum += m * ertl_sigma(with[0] / m);
    return m * m / (2 * M_LN2 * sum);
}

/* --- which are frequent -------------------------------------------------------- */

int frequent_create(struct frequent *frequent, uint32_t capacity, struct err *err)
{
    uint32_t slots = 4;

    while (slots < capacity + capacity / 2)
        slots *= 2;
    *frequent = (struct frequent){.slots = slots, .capacity = capacity};
    frequent->slot = calloc(slots, sizeof *frequent->slot);
    frequent->counts = malloc((capacity + (size_t)1) * sizeof *frequent->counts);
    if (frequent->slot && frequent->counts)
        return 0;
    frequent_release(frequent);
    return err_set(err, ERR_MEMORY, "no memory to count %u keys", capacity);
}

void frequent_release(struct frequent *frequent)
{
    free(frequent->slot);
    free(frequent->counts);
    *frequent = (struct frequent){0};
}

/* Where a key is, or the empty place where it would be. */
static uint32_t place_of(const struct frequent *frequent, uint64_t key)
{
    uint32_t at = (uint32_t)mix64(key + 0x9e3779b97f4a7c15u) & (frequent->slots - 1);

    while (frequent->slot[at].count && frequent->slot[at].key != key)
        at = (at + 1) & (frequent->slots - 1);
    return at;
}

/* The place of rank `wanted` among values[0..n), which it moves about (Hoare 1961). */
static uint64_t select_rank(uint64_t *value, size_t n, size_t wanted)
{
    size_t low = 0, high = n - 1;

    while (low < high) {
        uint64_t pivot = value[low + (high - low) / 2];
        size_t i = low, j = high;

        for (;;) {
            while (value[i] < pivot)
                i++;
            while (value[j] > pivot)
                j--;
            if (i >= j)
                break;
            uint64_t other = value[i];
            value[i++] = value[j];
            value[j--] = other;
        }
        if (wanted <= j)
            high = j;
        else
            low = j + 1;
    }
    return value[wanted];
}

/* Takes a key out and moves those behind it up, so that place_of() finds them. */
static void remove_at(struct frequent *frequent, uint32_t at)
{
    const uint32_t mask = frequent->slots - 1;
    uint32_t next = at;

    frequent->slot[at].count = 0;
    for (;;) {
        uint32_t home;

        next = (next + 1) & mask;
        if (!frequent->slot[next].count)
            return;
        home = (uint32_t)mix64(frequent->slot[next].key + 0x9e3779b97f4a7c15u) & mask;
        if (((next - home) & mask) < ((next - at) & mask))
            continue;
        frequent->slot[at] = frequent->slot[next];
        frequent->slot[next].count = 0;
        at = next;
    }
}

/* Takes the median of the counts from all, which drops half of the keys at least. The
 * listed count stays an upper limit because `purged` is added to it again. */
static void purge(struct frequent *frequent)
{
    uint64_t median;
    uint32_t n = 0;

    for (uint32_t i = 0; i < frequent->slots; i++)
        if (frequent->slot[i].count)
            frequent->counts[n++] = frequent->slot[i].count;
    median = select_rank(frequent->counts, n, n / 2);
    for (uint32_t i = 0; i < frequent->slots; i++) {
        /* Again while the one that moved up goes, too. */
        while (frequent->slot[i].count && frequent->slot[i].count <= median) {
            remove_at(frequent, i);
            frequent->keys--;
        }
    }
    for (uint32_t i = 0; i < frequent->slots; i++)
        if (frequent->slot[i].count)
            frequent->slot[i].count -= median;
    frequent->purged += median;
}

/* Up to FREQUENT_TEXT_MAX bytes, but no part of a UTF-8 character. */
static uint8_t fitting(const char *text, size_t length)
{
    if (length <= FREQUENT_TEXT_MAX)
        return (uint8_t)length;
    length = FREQUENT_TEXT_MAX;
    while (length > 0 && ((unsigned char)text[length] & 0xC0) == 0x80)
        length--;
    return (uint8_t)length;
}

static void add(struct frequent *frequent, uint64_t key, uint64_t count,
                const char *text, size_t length)
{
    struct frequent_key *slot = &frequent->slot[place_of(frequent, key)];

    if (slot->count) {
        slot->count += count;
        return;
    }
    slot->key = key;
    slot->count = count;
    slot->length = text ? fitting(text, length) : 0;
    if (slot->length)
        memcpy(slot->text, text, slot->length);
    if (++frequent->keys > frequent->capacity)
        purge(frequent);
}

void frequent_add(struct frequent *frequent, uint64_t key, uint64_t count,
                  const char *text, size_t length)
{
    frequent->total += count;
    add(frequent, key, count, text, length);
}

void frequent_merge(struct frequent *to, const struct frequent *from)
{
    for (uint32_t i = 0; i < from->slots; i++)
        if (from->slot[i].count)
            add(to, from->slot[i].key, from->slot[i].count, from->slot[i].text,
                from->slot[i].length);
    to->total += from->total;
    to->purged += from->purged;
}

uint64_t frequent_error(const struct frequent *frequent)
{
    return frequent->purged;
}

uint64_t frequent_count(const struct frequent *frequent, uint64_t key)
{
    uint64_t count = frequent->slot[place_of(frequent, key)].count;

    return count ? count + frequent->purged : 0;
}

static int by_count(const void *a, const void *b)
{
    const struct frequent_key *one = a, *two = b;

    if (one->count != two->count)
        return one->count > two->count ? -1 : 1;
    return one->key < two->key ? -1 : one->key > two->key;
}

int64_t frequent_list(const struct frequent *frequent, struct frequent_key *list,
                      uint32_t n, struct err *err)
{
    struct frequent_key *all = malloc((frequent->keys + (size_t)1) * sizeof *all);
    uint32_t keys = 0;

    if (!all)
        return err_set(err, ERR_MEMORY, "no memory to sort %u keys", frequent->keys);
    for (uint32_t i = 0; i < frequent->slots; i++) {
        if (!frequent->slot[i].count)
            continue;
        all[keys] = frequent->slot[i];
        all[keys++].count += frequent->purged;
    }
    qsort(all, keys, sizeof *all, by_count);
    if (n > keys)
        n = keys;
    memcpy(list, all, n * sizeof *all);
    free(all);
    return n;
}

/* --- quantiles ----------------------------------------------------------------- */

enum { QUANTILES_LEVEL_MIN = 64 }; /* values, so that sorting them is worth a call */

/* How many values a level may hold: the highest `size`, each below two thirds of it. */
static uint32_t level_capacity(const struct quantiles *quantiles, uint32_t level)
{
    double capacity = quantiles->size *
                      pow(2.0 / 3.0, quantiles->levels - 1 - (double)level);

    return capacity < QUANTILES_LEVEL_MIN ? QUANTILES_LEVEL_MIN : (uint32_t)capacity;
}

static int level_room(struct quantiles *quantiles, uint32_t level, uint64_t wanted,
                      struct err *err)
{
    uint64_t room = quantiles->level[level].room;
    double *value;

    if (wanted <= room)
        return 0;
    room = room ? room : 16;
    while (room < wanted)
        room *= 2;
    value = room > UINT32_MAX
                ? NULL
                : realloc(quantiles->level[level].value, room * sizeof *value);
    if (!value)
        return err_set(err, ERR_MEMORY, "no memory for quantiles");
    quantiles->level[level].value = value;
    quantiles->level[level].room = (uint32_t)room;
    return 0;
}

int quantiles_create(struct quantiles *quantiles, uint32_t size, struct err *err)
{
    *quantiles = (struct quantiles){.size = size, .levels = 1, .lowest = size};
    return level_room(quantiles, 0,
                      size > QUANTILES_LEVEL_MIN ? size : QUANTILES_LEVEL_MIN, err);
}

void quantiles_release(struct quantiles *quantiles)
{
    for (uint32_t i = 0; i < QUANTILES_LEVELS; i++)
        free(quantiles->level[i].value);
    *quantiles = (struct quantiles){0};
}

static int by_value(const void *a, const void *b)
{
    double one = *(const double *)a, two = *(const double *)b;

    return one < two ? -1 : one > two;
}

/* Sorts in place: quicksort (Hoare 1962), then insertion for what is short. As qsort(),
 * but without a call for each comparison. */
static void sort_values(double *value, size_t n)
{
    while (n > 24) {
        double pivot = value[n / 2];
        size_t i = 0, j = n - 1;

        for (;; i++, j--) {
            while (value[i] < pivot)
                i++;
            while (value[j] > pivot)
                j--;
            if (i >= j)
                break;
            double other = value[i];
            value[i] = value[j];
            value[j] = other;
        }
        /* The shorter side by itself, so that calls are not nested deeply. */
        if (i < n - i) {
            sort_values(value, i);
            value += i;
            n -= i;
        } else {
            sort_values(value + i, n - i);
            n = i;
        }
    }
    for (size_t i = 1; i < n; i++) {
        double moved = value[i];
        size_t j = i;

        for (; j > 0 && value[j - 1] > moved; j--)
            value[j] = value[j - 1];
        value[j] = moved;
    }
}

/* Every second value of a level, in order, goes to the next one up; the coin says which
 * half. An odd one out stays. */
static int compact(struct quantiles *quantiles, uint32_t level, struct err *err)
{
    uint32_t n = quantiles->level[level].n, pairs = n / 2, to;
    uint32_t coin = (uint32_t)rng_at(0x6b6c6c, level, quantiles->compactions++) & 1;
    double *from;

    if (level_room(quantiles, level + 1, quantiles->level[level + 1].n + pairs, err))
        return -err->code;
    from = quantiles->level[level].value;
    sort_values(from, n);
    to = quantiles->level[level + 1].n;
    for (uint32_t i = 0; i < pairs; i++)
        quantiles->level[level + 1].value[to++] = from[2 * i + coin];
    quantiles->level[level + 1].n = to;
    if (n & 1)
        from[0] = from[n - 1];
    quantiles->level[level].n = n & 1;
    return 0;
}

/* Makes levels hold no more than they may: `all` of them, or from the lowest up to the
 * first that has room. */
static int compress(struct quantiles *quantiles, bool all, struct err *err)
{
    for (uint32_t level = 0; level < quantiles->levels; level++) {
        if (quantiles->level[level].n < level_capacity(quantiles, level)) {
            if (all)
                continue;
            break;
        }
        if (level + 1 == QUANTILES_LEVELS)
            break; /* at 2^47 for each of its values */
        if (level + 1 == quantiles->levels)
            quantiles->levels++;
        if (compact(quantiles, level, err))
            return -err->code;
    }
    quantiles->lowest = level_capacity(quantiles, 0);
    return 0;
}

int quantiles_add(struct quantiles *quantiles, double value, struct err *err)
{
    if (quantiles->n == 0 || value < quantiles->min)
        quantiles->min = value;
    if (quantiles->n == 0 || value > quantiles->max)
        quantiles->max = value;
    if (quantiles->level[0].n >= quantiles->lowest && compress(quantiles, false, err))
        return -err->code;
    quantiles->level[0].value[quantiles->level[0].n++] = value;
    quantiles->n++;
    return 0;
}

int quantiles_merge(struct quantiles *to, const struct quantiles *from, struct err *err)
{
    if (from->n == 0)
        return 0;
    if (to->levels < from->levels)
        to->levels = from->levels;
    for (uint32_t level = 0; level < from->levels; level++) {
        uint32_t n = from->level[level].n;

        if (level_room(to, level, (uint64_t)to->level[level].n + n, err))
            return -err->code;
        if (n)
            memcpy(to->level[level].value + to->level[level].n,
                   from->level[level].value, n * sizeof(double));
        to->level[level].n += n;
    }
    if (to->n == 0 || from->min < to->min)
        to->min = from->min;
    if (to->n == 0 || from->max > to->max)
        to->max = from->max;
    to->n += from->n;
    return compress(to, true, err);
}

struct weighted {
    double value;
    uint64_t weight;
};

static int by_weighted(const void *a, const void *b)
{
    return by_value(&((const struct weighted *)a)->value,
                    &((const struct weighted *)b)->value);
}

/* All values that are kept, in order, with what each stands for. */
static struct weighted *sorted(const struct quantiles *quantiles, size_t *n)
{
    size_t all = 0;
    struct weighted *list;

    for (uint32_t level = 0; level < quantiles->levels; level++)
        all += quantiles->level[level].n;
    list = malloc((all + 1) * sizeof *list);
    *n = 0;
    for (uint32_t level = 0; list && level < quantiles->levels; level++)
        for (uint32_t i = 0; i < quantiles->level[level].n; i++)
            list[(*n)++] = (struct weighted){quantiles->level[level].value[i],
                                             (uint64_t)1 << level};
    if (list)
        qsort(list, *n, sizeof *list, by_weighted);
    return list;
}

int quantiles_at(const struct quantiles *quantiles, const double *share, uint32_t n,
                 double *value, struct err *err)
{
    size_t kept, at = 0;
    struct weighted *list = sorted(quantiles, &kept);
    uint64_t below = 0;

    if (!list)
        return err_set(err, ERR_MEMORY, "no memory for quantiles");
    for (uint32_t i = 0; i < n; i++) {
        double rank = share[i] * (double)quantiles->n;

        while (at + 1 < kept && (double)(below + list[at].weight) < rank)
            below += list[at++].weight;
        value[i] = quantiles->n == 0 ? NAN
                   : share[i] <= 0   ? quantiles->min
                   : share[i] >= 1   ? quantiles->max
                                     : list[at].value;
    }
    free(list);
    return 0;
}

#include "worker/recommend.h"

#include <math.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum {
    USERS_A_BLOCK = 32,
    ITEMS_A_BLOCK = 2048,
    SPARE =
        32, /* candidates beyond `top`: as many may be tied by rounding at its end */
};

struct candidate {
    double score;
    uint64_t key;
    uint32_t item; /* row in the catalogue */
};

/* The best candidates so far: a heap whose root is the worst of them. */
struct best {
    struct candidate *entry;
    uint32_t count, capacity;
};

/* Is a before b on a list? */
static bool is_better(const struct candidate *a, const struct candidate *b)
{
    return a->score > b->score || (a->score == b->score && a->key < b->key);
}

static void swap(struct candidate *a, struct candidate *b)
{
    struct candidate old = *a;

    *a = *b;
    *b = old;
}

static void sift_up(struct candidate *heap, uint32_t i)
{
    for (; i > 0 && is_better(&heap[(i - 1) / 2], &heap[i]); i = (i - 1) / 2)
        swap(&heap[i], &heap[(i - 1) / 2]);
}

static void sift_down(struct candidate *heap, uint32_t count)
{
    uint32_t i = 0;

    for (;;) {
        uint32_t worst = i, left = 2 * i + 1, right = 2 * i + 2;

        if (left < count && is_better(&heap[worst], &heap[left]))
            worst = left;
        if (right < count && is_better(&heap[worst], &heap[right]))
            worst = right;
        if (worst == i)
            return;
        swap(&heap[i], &heap[worst]);
        i = worst;
    }
}

static bool is_seen(struct key_list seen, uint64_t key)
{
    uint32_t first = 0, end = seen.n;

    while (first < end) {
        uint32_t middle = first + (end - first) / 2;

        if (seen.key[middle] < key)
            first = middle + 1;
        else
            end = middle;
    }
    return first < seen.n && seen.key[first] == key;
}

static void best_offer(struct best *best, struct candidate candidate,
                       struct key_list seen)
{
    if (isnan(candidate.score) || best->capacity == 0)
        return;
    if (best->count == best->capacity && !is_better(&candidate, best->entry))
        return;
    if (is_seen(seen, candidate.key))
        return;
    if (best->count < best->capacity) {
        best->entry[best->count] = candidate;
        sift_up(best->entry, best->count++);
    } else {
        best->entry[0] = candidate;
        sift_down(best->entry, best->count);
    }
}

static int compare_candidates(const void *a, const void *b)
{
    return is_better(a, b) ? -1 : is_better(b, a);
}

/* Writes the first `top` in order and empties the heap. Returns how many there were. */
static uint32_t best_take(struct best *best, uint32_t top, struct ranked *list)
{
    uint32_t count = best->count < top ? best->count : top;

    qsort(best->entry, best->count, sizeof *best->entry, compare_candidates);
    for (uint32_t i = 0; i < count; i++)
        list[i] = (struct ranked){.key = best->entry[i].key,
                                  .score = best->entry[i].score};
    best->count = 0;
    return count;
}

void catalogue_init(struct catalogue *catalogue, uint32_t width)
{
    *catalogue = (struct catalogue){.width = width};
}

void catalogue_release(struct catalogue *catalogue)
{
    free(catalogue->key);
    free(catalogue->row);
    *catalogue = (struct catalogue){0};
}

static int catalogue_grow(struct catalogue *catalogue, struct err *err)
{
    uint32_t width = catalogue->width;
    uint64_t capacity = catalogue->capacity ? 2 * (uint64_t)catalogue->capacity : 1024;
    uint64_t *key;
    float *row;

    if (capacity > UINT32_MAX)
        return err_set(err, ERR_MEMORY, "a catalogue has room for %u items, not more",
                       catalogue->capacity);
    key = realloc(catalogue->key, capacity * sizeof *key);
    if (key)
        catalogue->key = key;
    row = key ? realloc(catalogue->row, capacity * (width ? width : 1) * sizeof *row)
              : NULL;
    if (!row)
        return err_set(err, ERR_MEMORY, "no memory for a catalogue of %llu items",
                       (unsigned long long)capacity);
    catalogue->row = row;
    catalogue->capacity = (uint32_t)capacity;
    return 0;
}

int catalogue_add(struct catalogue *catalogue, uint64_t key, const float *row,
                  struct err *err)
{
    if (catalogue->items == catalogue->capacity) {
        int rc = catalogue_grow(catalogue, err);

        if (rc < 0)
            return rc;
    }
    catalogue->key[catalogue->items] = key;
    memcpy(catalogue->row + (size_t)catalogue->items * catalogue->width, row,
           catalogue->width * sizeof *row);
    catalogue->items++;
    return 0;
}

/* Room for a block of users. */
struct ranking {
    const struct catalogue *catalogue;
    const struct mf *mf;
    float *score;                /* [USERS_A_BLOCK][ITEMS_A_BLOCK] */
    struct candidate *candidate; /* [USERS_A_BLOCK][top + SPARE] */
    uint32_t *user_pos, *item_pos;
    float *exact; /* [top + SPARE], like the two above */
    struct best best[USERS_A_BLOCK];
};

static void ranking_release(struct ranking *ranking)
{
    free(ranking->score);
    free(ranking->candidate);
    free(ranking->user_pos);
    free(ranking->item_pos);
    free(ranking->exact);
}

static int check_top(uint32_t top, struct err *err)
{
    if (top > RECOMMEND_TOP_MAX)
        return err_set(err, ERR_INPUT,
                       "%u recommendations are asked for: at most %d are possible", top,
                       RECOMMEND_TOP_MAX);
    return 0;
}

static int ranking_init(struct ranking *ranking, const struct catalogue *catalogue,
                        const struct mf *mf, uint32_t top, struct err *err)
{
    uint32_t room = top + SPARE;
    int rc = check_top(top, err);

    *ranking = (struct ranking){.catalogue = catalogue, .mf = mf};
    if (rc < 0)
        return rc;
    ranking->score = malloc(USERS_A_BLOCK * ITEMS_A_BLOCK * sizeof *ranking->score);
    ranking->candidate = calloc(USERS_A_BLOCK * room, sizeof *ranking->candidate);
    ranking->user_pos = calloc(room, sizeof *ranking->user_pos);
    ranking->item_pos = calloc(room, sizeof *ranking->item_pos);
    ranking->exact = calloc(room, sizeof *ranking->exact);
    for (uint32_t user = 0; user < USERS_A_BLOCK; user++)
        ranking->best[user] = (struct best){.capacity = room};
    if (!ranking->score || !ranking->candidate || !ranking->user_pos ||
        !ranking->item_pos || !ranking->exact)
        return err_set(err, ERR_MEMORY, "no memory for %u recommendations", top);
    for (uint32_t user = 0; user < USERS_A_BLOCK; user++)
        ranking->best[user].entry = ranking->candidate + (size_t)user * room;
    return 0;
}

/* Offers all items to each of a block's users. */
static void find_candidates(struct ranking *ranking, const float *user, uint32_t users,
                            const struct key_list *seen)
{
    const struct catalogue *catalogue = ranking->catalogue;

    for (uint32_t first = 0; first < catalogue->items; first += ITEMS_A_BLOCK) {
        uint32_t left = catalogue->items - first;
        uint32_t items = left < ITEMS_A_BLOCK ? left : ITEMS_A_BLOCK;

        mf_score_users(ranking->mf, user, users,
                       catalogue->row + (size_t)first * catalogue->width, items,
                       ranking->score);
        for (uint32_t u = 0; u < users; u++)
            for (uint32_t i = 0; i < items; i++)
                best_offer(&ranking->best[u],
                           (struct candidate){.score = ranking->score[u * items + i],
                                              .key = catalogue->key[first + i],
                                              .item = first + i},
                           seen[u]);
    }
}

/* Scores a user's candidates again, in the one order of addition of predictions. */
static void score_exactly(struct ranking *ranking, struct best *best, const float *user)
{
    struct mf_batch batch = {.n = best->count,
                             .user_pos = ranking->user_pos, /* zeros */
                             .item_pos = ranking->item_pos,
                             .user = user,
                             .item = ranking->catalogue->row};

    for (uint32_t i = 0; i < best->count; i++)
        ranking->item_pos[i] = best->entry[i].item;
    mf_predict_linear(ranking->mf, &batch, ranking->exact);
    for (uint32_t i = 0; i < best->count; i++)
        best->entry[i].score = ranking->exact[i];
}

/* From linear scores to predictions. */
static void link_scores(const struct mf *mf, struct ranked *list, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        float score = (float)list[i].score;

        mf_link(mf, &score, 1);
        list[i].score = score;
    }
}

int recommend_top_users(const struct catalogue *catalogue, const struct mf *mf,
                        const float *user, uint32_t users, const struct key_list *seen,
                        uint32_t top, struct ranked *list, uint32_t *count,
                        struct err *err)
{
    struct ranking ranking;
    int rc = ranking_init(&ranking, catalogue, mf, top, err);

    if (rc < 0)
        goto out;
    for (uint32_t first = 0; first < users; first += USERS_A_BLOCK) {
        uint32_t n = users - first < USERS_A_BLOCK ? users - first : USERS_A_BLOCK;
        const float *block = user + (size_t)first * mf->width;

        find_candidates(&ranking, block, n, seen + first);
        for (uint32_t u = 0; u < n; u++) {
            struct ranked *to = list + (size_t)(first + u) * top;

            score_exactly(&ranking, &ranking.best[u], block + (size_t)u * mf->width);
            count[first + u] = best_take(&ranking.best[u], top, to);
            link_scores(mf, to, count[first + u]);
        }
    }
out:
    ranking_release(&ranking);
    return rc;
}

int recommend_top(const struct catalogue *catalogue, const struct mf *mf,
                  const float *user, struct key_list seen, uint32_t top,
                  struct ranked *list, uint32_t *count, struct err *err)
{
    return recommend_top_users(catalogue, mf, user, 1, &seen, top, list, count, err);
}

/* Sorts key[n] by bytes, from the lowest on; `other` has the same room. Bytes that are
 * the same in all keys cost one look. Returns which of the two has the result. */
static uint64_t *sort_keys(uint64_t *key, uint64_t *other, uint64_t n)
{
    for (int shift = 0; shift < 64; shift += 8) {
        uint64_t start[256] = {0}, sum = 0, *old = key;

        for (uint64_t i = 0; i < n; i++)
            start[key[i] >> shift & 255]++;
        if (n == 0 || start[key[0] >> shift & 255] == n)
            continue;
        for (int byte = 0; byte < 256; byte++) {
            uint64_t count = start[byte];

            start[byte] = sum;
            sum += count;
        }
        for (uint64_t i = 0; i < n; i++)
            other[start[key[i] >> shift & 255]++] = key[i];
        key = other;
        other = old;
    }
    return key;
}

int popularity_create(struct popularity *popularity, const uint64_t *key, uint64_t n,
                      uint32_t stride, struct err *err)
{
    uint64_t *a, *b, *sorted, keys = 0;

    *popularity = (struct popularity){0};
    a = n < SIZE_MAX / sizeof *a ? malloc((n + 1) * sizeof *a) : NULL;
    b = a ? malloc((n + 1) * sizeof *b) : NULL;
    if (!b) {
        free(a);
        return err_set(err, ERR_MEMORY, "no memory to count the keys of %llu examples",
                       (unsigned long long)n);
    }
    for (uint64_t i = 0; i < n; i++)
        a[i] = key[i * stride];
    sorted = sort_keys(a, b, n);
    popularity->key = sorted;
    popularity->examples = sorted == a ? b : a;
    for (uint64_t i = 0; i < n; i++) {
        if (keys == 0 || sorted[keys - 1] != sorted[i]) {
            sorted[keys] = sorted[i];
            popularity->examples[keys++] = 0;
        }
        popularity->examples[keys - 1]++;
    }
    popularity->keys = keys;
    return 0;
}

void popularity_release(struct popularity *popularity)
{
    free(popularity->key);
    free(popularity->examples);
    *popularity = (struct popularity){0};
}

/* What the two below have in common: room for `top`, which are the best offered. */
static int best_init(struct best *best, uint32_t top, struct err *err)
{
    int rc = check_top(top, err);

    *best = (struct best){.capacity = top};
    if (rc < 0)
        return rc;
    best->entry = calloc(top + 1, sizeof *best->entry);
    if (!best->entry)
        return err_set(err, ERR_MEMORY, "no memory for %u recommendations", top);
    return 0;
}

int recommend_scored(const uint64_t *key, const float *score, uint32_t items,
                     struct key_list seen, uint32_t top, struct ranked *list,
                     uint32_t *count, struct err *err)
{
    struct best best;
    int rc = best_init(&best, top, err);

    if (rc < 0)
        return rc;
    for (uint32_t i = 0; i < items; i++)
        best_offer(&best, (struct candidate){.score = score[i], .key = key[i]}, seen);
    *count = best_take(&best, top, list);
    free(best.entry);
    return 0;
}

int recommend_popular(const struct popularity *popularity, struct key_list seen,
                      uint32_t top, struct ranked *list, uint32_t *count,
                      struct err *err)
{
    struct best best;
    int rc = best_init(&best, top, err);

    if (rc < 0)
        return rc;
    for (uint64_t i = 0; i < popularity->keys; i++)
        best_offer(&best,
                   (struct candidate){.score = (double)popularity->examples[i],
                                      .key = popularity->key[i]},
                   seen);
    *count = best_take(&best, top, list);
    free(best.entry);
    return 0;
}

#include "worker/history.h"

#include <stdlib.h>
#include <string.h>

static int compare_keys(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* By user, then item, then falling label. */
static int compare_rated(const void *a, const void *b)
{
    const struct rated *x = a, *y = b;

    if (x->user != y->user)
        return x->user < y->user ? -1 : 1;
    if (x->item != y->item)
        return x->item < y->item ? -1 : 1;
    return (x->label < y->label) - (x->label > y->label);
}

int history_create(struct history *history, const uint64_t *user, uint32_t users,
                   struct err *err)
{
    *history = (struct history){0};
    history->user = calloc((size_t)users + 1, sizeof *history->user);
    if (!history->user)
        return err_set(err, ERR_MEMORY, "no memory for the history of %u users", users);
    for (uint32_t i = 0; i < users; i++)
        history->user[i] = user[i];
    qsort(history->user, users, sizeof *user, compare_keys);
    for (uint32_t i = 0; i < users; i++)
        if (i == 0 || history->user[i] != history->user[i - 1])
            history->user[history->users++] = history->user[i];
    return 0;
}

void history_release(struct history *history)
{
    free(history->user);
    free(history->rated);
    free(history->first);
    free(history->item);
    free(history->label);
    *history = (struct history){0};
}

/* The place of a user's key, or `users`. */
static uint32_t user_index(const struct history *history, uint64_t user)
{
    const uint64_t *found = bsearch(&user, history->user, history->users,
                                    sizeof *history->user, compare_keys);

    return found ? (uint32_t)(found - history->user) : history->users;
}

static int append(struct history *history, struct rated rated, struct err *err)
{
    if (history->n == history->capacity) {
        uint64_t capacity = history->capacity ? 2 * history->capacity : 256;
        struct rated *more = realloc(history->rated, capacity * sizeof *more);

        if (!more)
            return err_set(err, ERR_MEMORY, "no memory for the history of %u users",
                           history->users);
        history->rated = more;
        history->capacity = capacity;
    }
    history->rated[history->n++] = rated;
    return 0;
}

int history_add(struct history *history, const struct rated_examples *from,
                struct err *err)
{
    for (uint64_t i = 0; i < from->examples; i++) {
        const uint64_t *key = from->key + i * from->key_columns;
        uint32_t user = user_index(history, key[from->user_column]);
        struct rated rated = {user, from->label[i], key[from->item_column]};
        int rc = user < history->users ? append(history, rated, err) : 0;

        if (rc < 0)
            return rc;
    }
    return 0;
}

int history_finish(struct history *history, struct err *err)
{
    struct rated *rated = history->rated;
    uint64_t n = 0;

    history->first = calloc((size_t)history->users + 1, sizeof *history->first);
    history->item = malloc((history->n + 1) * sizeof *history->item);
    history->label = malloc((history->n + 1) * sizeof *history->label);
    if (!history->first || !history->item || !history->label)
        return err_set(err, ERR_MEMORY, "no memory for the history of %u users",
                       history->users);
    if (history->n > 0)
        qsort(rated, history->n, sizeof *rated, compare_rated);
    for (uint64_t i = 0; i < history->n; i++) {
        if (i > 0 && rated[i].user == rated[i - 1].user &&
            rated[i].item == rated[i - 1].item)
            continue;
        history->item[n] = rated[i].item;
        history->label[n++] = rated[i].label;
        history->first[rated[i].user + 1] = n;
    }
    for (uint32_t user = 0; user < history->users; user++)
        if (history->first[user + 1] == 0)
            history->first[user + 1] = history->first[user];
    return 0;
}

struct key_list history_items(const struct history *history, uint64_t user)
{
    uint32_t index = user_index(history, user);
    struct key_list items = {0};

    if (index < history->users) {
        uint64_t first = history->first[index];

        items.key = history->item + first;
        items.n = (uint32_t)(history->first[index + 1] - first);
    }
    return items;
}

uint32_t history_liked(const struct history *history, uint64_t user, uint32_t top,
                       struct ranked *list)
{
    struct key_list items = history_items(history, user);
    const float *label;
    uint32_t count = 0;

    if (items.n == 0)
        return 0;
    label = history->label + (items.key - history->item);
    for (uint32_t i = 0; i < items.n && top > 0; i++) {
        uint32_t at = count;

        while (at > 0 && list[at - 1].score < label[i])
            at--;
        if (at == top)
            continue;
        count += count < top;
        memmove(list + at + 1, list + at, (count - 1 - at) * sizeof *list);
        list[at] = (struct ranked){.key = items.key[i], .score = label[i]};
    }
    return count;
}

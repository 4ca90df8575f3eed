#include "worker/catalogue.h"

#include <stdlib.h>
#include <string.h>

struct part_keys part_keys_of(const struct job *job, const struct dataset *dataset,
                              enum split_part part, int column)
{
    int columns[JOB_COLUMNS_MAX], n = job_key_columns(job, columns), place = 0;

    while (place < n && columns[place] != column)
        place++;
    return (struct part_keys){
        .part = dataset_part(dataset, part),
        .ids = &dataset->column[place],
        .width = dataset->key_columns + 1,
        .place = (uint32_t)place,
        .block_place = dataset->schema
                           ? schema_find(dataset->schema, job->data.column[column].name)
                           : SCHEMA_NONE,
    };
}

/* The one key column of a table. */
static int find_column(const struct job *job, const char *setting, const char *table,
                       int *column, struct err *err)
{
    int columns[JOB_COLUMNS_MAX], n = job_key_columns(job, columns), found = 0;

    for (int i = 0; i < n; i++)
        if (!strcmp(job->data.column[columns[i]].table, table)) {
            *column = columns[i];
            found++;
        }
    if (found == 1)
        return 0;
    return err_set(err, ERR_INPUT,
                   "%s is '%s', but %d key columns of data.columns are of that table, "
                   "expected one",
                   setting, table, found);
}

/* Numbers the training part's users and items. */
static int number_all(struct item_catalogue *catalogue, const struct part_keys *user,
                      const struct part_keys *item, struct err *err)
{
    int rc = 0;

    for (uint64_t p = 0; rc == 0 && p < catalogue->examples; p++) {
        rc = dictionary_id(&catalogue->user, part_key(user, p), &catalogue->user_of[p],
                           err);
        if (rc == 0)
            rc = dictionary_id(&catalogue->item, part_key(item, p),
                               &catalogue->item_of[p], err);
    }
    catalogue->users = catalogue->user.keys;
    catalogue->items = catalogue->item.keys;
    return rc;
}

static int no_memory(const struct item_catalogue *catalogue, struct err *err)
{
    return err_set(err, ERR_MEMORY, "no memory for the items of %llu examples",
                   (unsigned long long)catalogue->examples);
}

static int count_items(struct item_catalogue *catalogue, struct err *err)
{
    uint32_t items = catalogue->items;

    catalogue->representative = malloc((items + 1) * sizeof(uint32_t));
    catalogue->count = calloc(items + 1, sizeof(uint32_t));
    if (!catalogue->representative || !catalogue->count)
        return no_memory(catalogue, err);
    for (uint64_t p = 0; p < catalogue->examples; p++) {
        uint32_t number = catalogue->item_of[p];

        if (catalogue->count[number]++ == 0)
            catalogue->representative[number] = (uint32_t)p;
    }
    return 0;
}

static int compare_numbers(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

/* Sorts each user's items and closes the gaps that those that come again leave. */
static void tidy_lists(uint64_t *begin, uint32_t *list, uint32_t users)
{
    uint64_t first = 0, to = 0;

    for (uint32_t u = 0; u < users; u++) {
        uint64_t end = begin[u + 1], from = to;

        qsort(list + first, end - first, sizeof *list, compare_numbers);
        for (uint64_t i = first; i < end; i++)
            if (to == from || list[to - 1] != list[i])
                list[to++] = list[i];
        begin[u] = from;
        first = end;
    }
    begin[users] = to;
}

int item_lists_create(const uint32_t *user, const uint32_t *item, uint64_t n,
                      uint32_t users, uint64_t **begin, uint32_t **list,
                      struct err *err)
{
    uint64_t *at = calloc((size_t)users + 2, sizeof *at);
    uint32_t *all = malloc((n + 1) * sizeof *all);

    *begin = at;
    *list = all;
    if (!at || !all)
        return err_set(err, ERR_MEMORY, "no memory for the items of %u users", users);
    for (uint64_t p = 0; p < n; p++)
        at[user[p] + 2]++;
    for (uint32_t u = 0; u < users; u++)
        at[u + 2] += at[u + 1];
    for (uint64_t p = 0; p < n; p++)
        all[at[user[p] + 1]++] = item[p];
    tidy_lists(at, all, users);
    return 0;
}

static int fill(struct item_catalogue *catalogue, const struct job *job,
                const struct dataset *dataset, struct err *err)
{
    uint64_t n = dataset->train.examples;
    struct part_keys user, item;
    int rc;

    catalogue->examples = n;
    catalogue->user_of = malloc((n + 1) * sizeof(uint32_t));
    catalogue->item_of = malloc((n + 1) * sizeof(uint32_t));
    if (!catalogue->user_of || !catalogue->item_of)
        return no_memory(catalogue, err);
    user = part_keys_of(job, dataset, SPLIT_TRAIN, catalogue->user_column);
    item = part_keys_of(job, dataset, SPLIT_TRAIN, catalogue->item_column);
    rc = number_all(catalogue, &user, &item, err);
    if (rc == 0)
        rc = count_items(catalogue, err);
    if (rc == 0)
        rc = item_lists_create(catalogue->user_of, catalogue->item_of, n,
                               catalogue->users, &catalogue->begin, &catalogue->seen,
                               err);
    return rc;
}

int item_catalogue_create(const struct job *job, const struct data *data,
                          struct item_catalogue **out, struct err *err)
{
    struct item_catalogue *catalogue = calloc(1, sizeof *catalogue);
    int rc;

    if (!catalogue)
        return err_set(err, ERR_MEMORY, "no memory for the items of the data");
    rc = find_column(job, "model.user", job->model.user, &catalogue->user_column, err);
    if (rc == 0)
        rc = find_column(job, "model.item", job->model.item, &catalogue->item_column,
                         err);
    if (rc == 0 && data->is_streamed)
        rc = err_set(err, ERR_INPUT,
                     "negatives and rankings need the data in memory, but they are "
                     "read from their files (data.in_memory: true holds them there)");
    if (rc == 0)
        rc = fill(catalogue, job, &data->memory, err);
    if (rc) {
        item_catalogue_destroy(catalogue);
        return rc;
    }
    *out = catalogue;
    return 0;
}

void item_catalogue_destroy(struct item_catalogue *catalogue)
{
    if (!catalogue)
        return;
    dictionary_release(&catalogue->user);
    dictionary_release(&catalogue->item);
    free(catalogue->representative);
    free(catalogue->count);
    free(catalogue->user_of);
    free(catalogue->item_of);
    free(catalogue->begin);
    free(catalogue->seen);
    free(catalogue);
}

bool item_catalogue_has_seen(const struct item_catalogue *catalogue, uint32_t user,
                             uint32_t item)
{
    uint32_t n, first = 0;
    const uint32_t *seen = item_catalogue_seen(catalogue, user, &n);

    while (n > 0) {
        uint32_t half = n / 2;

        if (seen[first + half] < item) {
            first += half + 1;
            n -= half + 1;
        } else {
            n = half;
        }
    }
    return user < catalogue->users &&
           catalogue->begin[user] + first < catalogue->begin[user + 1] &&
           seen[first] == item;
}

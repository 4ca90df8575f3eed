/* The pass over the training part: what is kept of it, and what comes of that. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "worker/stream/prepare/prepare_state.h"

/* --- counting -------------------------------------------------------------------- */

static int count_key(struct prepare_column *column, uint64_t key, uint64_t times,
                     struct err *err)
{
    uint32_t before = column->known.keys, id;

    if (dictionary_id(&column->known, key, &id, err))
        return err_prefix(err, "column %s", column->name);
    if (id >= PREPARE_KEYS_MAX)
        return err_set(
            err, ERR_INPUT,
            "column %s has more than %d different keys in the training part, "
            "the most that a vocabulary counts (data.columns.%s.hash needs "
            "no counting)",
            column->name, PREPARE_KEYS_MAX, column->name);
    if (id == before && id == column->count_room) {
        uint32_t room = column->count_room ? 2 * column->count_room : 1024;
        uint64_t *count = realloc(column->count, room * sizeof *count);

        if (!count)
            return err_set(err, ERR_MEMORY, "column %s: no memory to count %u keys",
                           column->name, room);
        column->count = count;
        column->count_room = room;
    }
    if (id == before)
        column->count[id] = 0;
    column->count[id] += times;
    return 0;
}

static int by_key(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

/* Counts each of an example's keys once. */
static int count_list(struct prepare_column *column, const uint64_t *key, uint32_t n,
                      struct err *err)
{
    uint64_t few[64], *sorted = n > 64 ? malloc(n * sizeof *sorted) : few;
    int rc = 0;

    if (!sorted)
        return err_set(err, ERR_MEMORY, "column %s: no memory for %u keys",
                       column->name, n);
    if (n)
        memcpy(sorted, key, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, by_key);
    for (uint32_t i = 0; rc == 0 && i < n; i++)
        if (i == 0 || sorted[i] != sorted[i - 1])
            rc = count_key(column, sorted[i], 1, err);
    if (sorted != few)
        free(sorted);
    return rc;
}

/* --- one example ----------------------------------------------------------------- */

static int fit_number(struct prepare *prepare, const struct block *block, uint32_t c,
                      uint32_t i, struct err *err)
{
    struct prepare_column *column = &prepare->column[c];
    double number;

    if (column->fits_newest) {
        int64_t time = block->column[column->source[0]].time[i];

        if (time != TIME_MISSING && time > column->newest)
            column->newest = time;
        column->missing += time == TIME_MISSING;
        if (time == TIME_MISSING || !column->fits_numbers)
            return 0;
        return tally_add_time(&column->tally, time, err);
    }
    if (prepare_number_at(prepare, block, c, i, &number) == FOUND_VALUE)
        return tally_add_number(&column->tally, (float)number, err);
    column->missing++;
    return 0;
}

static int fit_key(struct prepare *prepare, const struct block *block, uint32_t c,
                   uint32_t i, struct err *err)
{
    uint64_t key;

    if (prepare_raw_key_at(prepare, block, c, i, &key) == FOUND_VALUE)
        return count_key(&prepare->column[c], key, 1, err);
    prepare->column[c].missing++;
    return 0;
}

static int fit_list(struct prepare *prepare, const struct block *block, uint32_t c,
                    uint32_t i, struct err *err)
{
    struct prepare_column *column = &prepare->column[c];
    const struct values *values = &block->column[c];
    uint32_t first = values->offset[i], n = values->offset[i + 1] - first;

    if (column->path == PATH_KEYS)
        return count_list(column, n ? values->key + first : NULL, n, err);
    if (words_find(&prepare->words, n ? values->text + first : "", n,
                   (uint32_t)column->steps.words_max, err))
        return -err->code;
    return count_list(column, prepare->words.key, prepare->words.n, err);
}

static int add_item(struct prepare_column *column, const struct prepare_item *item,
                    struct err *err)
{
    if (column->items == PREPARE_ITEMS_MAX)
        return err_set(err, ERR_INPUT,
                       "data.columns.%s: the training part has more than %d items for "
                       "histories, the most allowed",
                       column->name, PREPARE_ITEMS_MAX);
    if (column->items == column->items_room) {
        uint64_t room = column->items_room ? 2 * column->items_room : 1024;
        struct prepare_item *larger = realloc(column->item, room * sizeof *larger);

        if (!larger)
            return err_set(err, ERR_MEMORY, "column %s: no memory for %llu items",
                           column->name, (unsigned long long)room);
        column->item = larger;
        column->items_room = room;
    }
    column->item[column->items++] = *item;
    return 0;
}

static int fit_history(struct prepare *prepare, const struct block *block, uint32_t c,
                       uint32_t i, struct err *err)
{
    struct prepare_column *column = &prepare->column[c];
    struct prepare_item item = {
        .user = block->column[prepare->raw.user].key[i],
        .time = block->column[prepare->raw.time].time[i],
        .number = column->items,
    };
    enum prepare_found found = prepare_raw_key_at(
        prepare, block, (uint32_t)column->source[0], i, &item.key);

    if (item.time == TIME_MISSING || found != FOUND_VALUE ||
        !prepare_has_user(prepare, block, i))
        return 0;
    return add_item(column, &item, err);
}

static int fit_column(struct prepare *prepare, const struct block *block,
                      const uint8_t *keep, uint32_t c, struct err *err)
{
    const struct prepare_column *column = &prepare->column[c];
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < block->n; i++) {
#ifndef MUTANT_PREPARE_TRAINING_ONLY
        if (keep && !keep[i])
            continue;
#endif
        if (column->fits_numbers || column->fits_newest)
            rc = fit_number(prepare, block, c, i, err);
        if (rc == 0 && column->counts_keys)
            rc = column->path == PATH_KEY ? fit_key(prepare, block, c, i, err)
                                          : fit_list(prepare, block, c, i, err);
        if (rc == 0 && column->fits_history)
            rc = fit_history(prepare, block, c, i, err);
    }
    return rc;
}

int prepare_fit(struct prepare *prepare, const struct block *block, const uint8_t *keep,
                struct err *err)
{
    int rc = 0;

    for (uint32_t c = 0; rc == 0 && c < prepare->prepared.columns; c++)
        rc = fit_column(prepare, block, keep, c, err);
    for (uint32_t i = 0; i < block->n; i++)
        prepare->examples += !keep || keep[i];
    return rc;
}

/* --- merging --------------------------------------------------------------------- */

static int merge_column(struct prepare_column *to, const struct prepare_column *from,
                        struct err *err)
{
    uint64_t items = to->items;
    int rc = tally_merge(&to->tally, &from->tally, err);

    to->missing += from->missing;
    if (from->newest > to->newest)
        to->newest = from->newest;
    for (uint32_t id = 0; rc == 0 && id < from->known.keys; id++)
        rc = count_key(to, from->known.key[id], from->count[id], err);
    for (uint64_t i = 0; rc == 0 && i < from->items; i++) {
        struct prepare_item item = from->item[i];

        item.number += items;
        rc = add_item(to, &item, err);
    }
    return rc;
}

int prepare_merge(struct prepare *prepare, const struct prepare *other, struct err *err)
{
    int rc = 0;

    for (uint32_t c = 0; rc == 0 && c < prepare->prepared.columns; c++)
        rc = merge_column(&prepare->column[c], &other->column[c], err);
    prepare->examples += other->examples;
    return rc;
}

/* --- the end: numbers ------------------------------------------------------------ */

/* A column's numbers, rising, while its steps are found one after the other. */
struct numbers {
    struct tally_value *list; /* [n + 1]: with room for the fill */
    uint32_t n;
    uint64_t count;
};

struct moments {
    double mean, deviation; /* of the whole, not estimated from a sample */
};

static struct moments moments(const struct numbers *numbers)
{
    double n = (double)numbers->count, sum = 0, squares = 0, mean;

    for (uint32_t i = 0; i < numbers->n; i++)
        sum += numbers->list[i].value * (double)numbers->list[i].count;
    mean = sum / n;
    for (uint32_t i = 0; i < numbers->n; i++) {
        double from_mean = numbers->list[i].value - mean;

        squares += from_mean * from_mean * (double)numbers->list[i].count;
    }
    return (struct moments){mean, sqrt(squares / n)};
}

/* The number that occurs most often; of several, the lowest. */
static double most_frequent(const struct numbers *numbers)
{
    const struct tally_value *best = numbers->list;

    for (uint32_t i = 1; i < numbers->n; i++)
        if (numbers->list[i].count > best->count)
            best = &numbers->list[i];
    return best->value;
}

/* Times become recencies, which rise the other way round. */
static void turn_round(struct numbers *numbers, double newest)
{
    struct tally_value *list = numbers->list, swap;

    for (uint32_t i = 0; i < numbers->n; i++)
        list[i].value = (newest - list[i].value) / 86400e6;
    for (uint32_t i = 0; i < numbers->n / 2; i++) {
        swap = list[i];
        list[i] = list[numbers->n - 1 - i];
        list[numbers->n - 1 - i] = swap;
    }
}

static int list_numbers(const struct prepare *prepare, struct prepare_column *column,
                        struct numbers *numbers, struct err *err)
{
    struct tally_value *larger;

    if (column->tally.count == 0)
        return err_set(err, ERR_INPUT,
                       "column %s has no value in the %llu examples of the training "
                       "part, so its preparation (data.columns.%s) cannot be fitted",
                       column->name, (unsigned long long)prepare->examples,
                       column->name);
    if (tally_list(&column->tally, &numbers->list, err))
        return -err->code;
    numbers->n = column->tally.used;
    numbers->count = column->tally.count;
    larger = realloc(numbers->list, (numbers->n + 1) * sizeof *larger);
    if (!larger)
        return err_set(err, ERR_MEMORY, "column %s: no memory to fit it", column->name);
    numbers->list = larger;
    if (column->fits_newest)
        turn_round(numbers, (double)column->newest);
    return 0;
}

static double fill_of(const struct prepare_column *column,
                      const struct numbers *numbers)
{
    switch (column->steps.missing) {
    case MISSING_MEAN:
        return moments(numbers).mean;
    case MISSING_MEDIAN:
        return tally_quantile(numbers->list, numbers->count, 0.5);
    case MISSING_MOST_FREQUENT:
        return most_frequent(numbers);
    default:
        return column->constant;
    }
}

/* What is missing takes part, from here on, as what it is filled with. */
static void add_fill(const struct prepare_column *column, struct numbers *numbers)
{
    int missing = column->steps.missing;
    uint32_t at = numbers->n;

    if (column->missing == 0 || missing == MISSING_FAIL || missing == MISSING_CATEGORY)
        return;
    for (; at > 0 && numbers->list[at - 1].value > column->numbers.fill; at--)
        numbers->list[at] = numbers->list[at - 1];
    numbers->list[at] = (struct tally_value){column->numbers.fill, column->missing};
    numbers->n++;
    numbers->count += column->missing;
}

static void find_bounds(struct prepare_column *column, const struct numbers *numbers)
{
    const struct job_steps *s = &column->steps;
    struct moments all;

    if (s->clip_low > 0)
        column->numbers.low = tally_quantile(numbers->list, numbers->count,
                                             s->clip_low);
    if (s->clip_high < 1)
        column->numbers.high = tally_quantile(numbers->list, numbers->count,
                                              s->clip_high);
    if (s->clip_z > 0) {
        all = moments(numbers);
        column->numbers.low = all.mean - s->clip_z * all.deviation;
        column->numbers.high = all.mean + s->clip_z * all.deviation;
    }
}

/* What would be divided by 0 is divided by 1. */
static void find_scale(struct prepare_column *column, const struct numbers *numbers)
{
    struct moments all = moments(numbers);
    double low = numbers->list[0].value, high = numbers->list[numbers->n - 1].value;
    bool standard = column->steps.scale == SCALE_STANDARD;
    double range = standard ? all.deviation : high - low;

    if (column->steps.scale == SCALE_NONE)
        return;
    column->numbers.center = standard ? all.mean : low;
    column->numbers.factor = range > 0 ? 1 / range : 1;
}

/* Where the numbers are cut into equally frequent ranges; ranges that would be empty
 * fall away. */
static int find_edges(struct prepare_column *column, const struct numbers *numbers,
                      struct err *err)
{
    uint64_t buckets = (uint64_t)column->steps.buckets;
    double last = numbers->list[0].value, edge;

    column->numbers.edge = malloc(buckets * sizeof *column->numbers.edge);
    if (!column->numbers.edge)
        return err_set(err, ERR_MEMORY, "column %s: no memory for its buckets",
                       column->name);
    for (uint64_t b = 1; b < buckets; b++) {
        edge = tally_quantile(numbers->list, numbers->count,
                              (double)b / (double)buckets);
        if (edge > last)
            column->numbers.edge[column->numbers.edges++] = last = edge;
    }
    return 0;
}

static int finish_numbers(const struct prepare *prepare, struct prepare_column *column,
                          struct err *err)
{
    struct numbers numbers = {0};
    int rc = list_numbers(prepare, column, &numbers, err);

    if (rc == 0) {
        column->numbers.fill = fill_of(column, &numbers);
        find_bounds(column, &numbers);
        add_fill(column, &numbers);
        for (uint32_t i = 0; i < numbers.n; i++)
            numbers.list[i].value = prepare_bent(column, numbers.list[i].value);
        find_scale(column, &numbers);
        if (column->path == PATH_BUCKETS)
            rc = find_edges(column, &numbers, err);
    }
    free(numbers.list);
    return rc;
}

/* --- the end: keys --------------------------------------------------------------- */

struct counted {
    uint64_t key, count;
};

static int more_frequent(const void *a, const void *b)
{
    const struct counted *x = a, *y = b;

    if (x->count != y->count)
        return x->count > y->count ? -1 : 1;
    return x->key < y->key ? -1 : x->key > y->key;
}

static int lower_key(const void *a, const void *b)
{
    const struct counted *x = a, *y = b;

    return x->key < y->key ? -1 : x->key > y->key;
}

/* The keys that stay known, as a new dictionary: numbered by frequency, or by key where
 * the number says nothing. */
static int keep_known(struct prepare_column *column, struct counted *counted,
                      uint32_t n, struct err *err)
{
    const struct job_steps *s = &column->steps;
    uint64_t least = s->vocabulary ? (uint64_t)s->vocabulary_min : 1;
    uint32_t known = 0, id;
    int rc = 0;

    if (s->vocabulary && s->vocabulary_max && n > (uint64_t)s->vocabulary_max)
        n = (uint32_t)s->vocabulary_max;
    while (known < n && counted[known].count >= least)
        known++;
    if (s->vocabulary != VOCABULARY_NUMBER)
        qsort(counted, known, sizeof *counted, lower_key);
    dictionary_release(&column->known);
    if (s->words == WORDS_TFIDF)
        column->documents = malloc((known + 1) * sizeof *column->documents);
    if (s->words == WORDS_TFIDF && !column->documents)
        return err_set(err, ERR_MEMORY, "column %s: no memory for %u words",
                       column->name, known);
    if (!s->vocabulary && s->words != WORDS_TFIDF)
        return 0;
    for (uint32_t i = 0; rc == 0 && i < known; i++) {
        rc = dictionary_id(&column->known, counted[i].key, &id, err);
        if (column->documents)
            column->documents[i] = counted[i].count < UINT32_MAX
                                       ? (uint32_t)counted[i].count
                                       : UINT32_MAX;
    }
    return rc;
}

/* What is missing counts as what it is filled with. */
static int count_fill(struct prepare_column *column, struct err *err)
{
    uint32_t best = 0;

    if (column->path != PATH_KEY)
        return 0;
    for (uint32_t id = 1; id < column->known.keys; id++)
        if (column->count[id] > column->count[best] ||
            (column->count[id] == column->count[best] &&
             column->known.key[id] < column->known.key[best]))
            best = id;
    if (column->steps.missing == MISSING_MOST_FREQUENT && column->known.keys)
        column->fill_key = column->known.key[best];
    else if (column->steps.missing != MISSING_CONSTANT)
        return 0;
    return column->missing ? count_key(column, column->fill_key, column->missing, err)
                           : 0;
}

static int finish_keys(const struct prepare *prepare, struct prepare_column *column,
                       struct err *err)
{
    struct counted *counted;
    uint32_t n;
    int rc = count_fill(column, err);

    if (rc)
        return rc;
    n = column->known.keys;
    if (n == 0)
        return err_set(err, ERR_INPUT,
                       "column %s has no key in the %llu examples of the training "
                       "part, so its preparation (data.columns.%s) cannot be fitted",
                       column->name, (unsigned long long)prepare->examples,
                       column->name);
    counted = malloc(n * sizeof *counted);
    if (!counted)
        return err_set(err, ERR_MEMORY, "column %s: no memory to sort %u keys",
                       column->name, n);
    for (uint32_t id = 0; id < n; id++)
        counted[id] = (struct counted){column->known.key[id], column->count[id]};
    qsort(counted, n, sizeof *counted, more_frequent);
    rc = keep_known(column, counted, n, err);
    free(counted);
    return rc;
}

static int by_user_and_time(const void *a, const void *b)
{
    const struct prepare_item *x = a, *y = b;

    if (x->user != y->user)
        return x->user < y->user ? -1 : 1;
    if (x->time != y->time)
        return x->time < y->time ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

/* --- the end --------------------------------------------------------------------- */

int prepare_check_rows(const struct prepare_column *column, struct err *err)
{
    uint64_t keys = prepare_keys(column);

    if (column->rows == 0 || column->path == PATH_SAME ||
        column->path == PATH_HISTORY || keys <= column->rows)
        return 0;
    return err_set(err, ERR_INPUT,
                   "data.columns.%s has %llu keys after preparation, but its table has "
                   "%llu rows (tables.*.rows)",
                   column->name, (unsigned long long)keys,
                   (unsigned long long)column->rows);
}

static int finish_column(const struct prepare *prepare, struct prepare_column *column,
                         struct err *err)
{
    int rc = 0;

    if (column->fits_newest && column->newest == TIME_MISSING)
        return err_set(err, ERR_INPUT,
                       "data.columns.%s: no example of the training part has a time",
                       column->name);
    if (column->fits_numbers)
        rc = finish_numbers(prepare, column, err);
    if (rc == 0 && column->counts_keys)
        rc = finish_keys(prepare, column, err);
    if (column->items)
        qsort(column->item, column->items, sizeof *column->item, by_user_and_time);
    for (uint64_t i = 0; i < column->items; i++)
        column->item[i].number = 0; /* what is saved and loaded is the same */
    tally_release(&column->tally);
    free(column->count);
    column->count = NULL;
    column->count_room = 0;
    return rc ? rc : prepare_check_rows(column, err);
}

int prepare_finish(struct prepare *prepare, struct err *err)
{
    int rc = 0;

    if (prepare->examples == 0 && prepare_fits(prepare))
        return err_set(err, ERR_INPUT,
                       "there is no training example to fit the preparation on");
    for (uint32_t c = 0; rc == 0 && c < prepare->prepared.columns; c++)
        rc = finish_column(prepare, &prepare->column[c], err);
    prepare->finished = rc == 0;
    return rc;
}

#include "worker/stream/splits.h"

#include <stdlib.h>
#include <string.h>

#include "common/rng.h"
#include "worker/stream/text/timestamp.h"

/* Streams of random numbers: "split" and "users" in ASCII. */
static const uint64_t split_stream = 0x73706c6974, user_stream = 0x7573657273;

enum { USER_LEAST = 3 }; /* examples of a user of whom some are held out */

/* --- by chance ------------------------------------------------------------------- */

static enum split_part part_of_draw(const struct job *job, double draw)
{
    if (draw < job->data.split_test)
        return SPLIT_TEST;
    return draw < job->data.split_test + job->data.split_validation ? SPLIT_VALIDATION
                                                                    : SPLIT_TRAIN;
}

enum split_part split_random(const struct job *job, uint64_t number)
{
    uint64_t bits = rng_at((uint64_t)job->data.split_seed, split_stream, number);

    return part_of_draw(job, rng_unit(bits));
}

bool split_is_test(const struct job *job, uint64_t number)
{
    return split_random(job, number) == SPLIT_TEST;
}

static enum split_part part_of_user(const struct job *job, uint64_t user)
{
    uint64_t bits = rng_at((uint64_t)job->data.split_seed, user_stream, user);

    return part_of_draw(job, rng_unit(bits));
}

/* --- by time --------------------------------------------------------------------- */

/* data.split.after as a time, or TIME_MISSING. */
static int64_t split_after(const struct job *job)
{
    const char *text = job->data.split_after;
    int64_t time = TIME_MISSING;

    if (text[0] && !timestamp_parse("iso", text, strlen(text), &time))
        timestamp_parse("seconds", text, strlen(text), &time);
    return time;
}

static int rising(const void *a, const void *b)
{
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;

    return x < y ? -1 : x > y;
}

static int check_after(const struct job *job, struct err *err)
{
    if (!job->data.split_after[0] || split_after(job) != TIME_MISSING)
        return 0;
    return err_set(err, ERR_INPUT,
                   "data.split.after is '%s', expected a date such as 2015-01-01 or "
                   "2015-01-01T12:00:00Z, or seconds since 1970",
                   job->data.split_after);
}

/* The time up to which all but the newest `share` of n rising times are. At most that
 * share is newer: those of one time stay together. */
static int64_t newest_share(const int64_t *time, uint64_t n, double share)
{
    uint64_t held_out = (uint64_t)(share * (double)n + 0.5);

    return held_out < n ? time[n - 1 - held_out] : INT64_MIN;
}

static int no_time(uint64_t number, struct err *err)
{
    return err_set(err, ERR_INPUT,
                   "example %llu has no time, which data.split.by goes by",
                   (unsigned long long)number + 1);
}

static int split_by_time(const struct job *job, const int64_t *time, uint64_t n,
                         uint8_t *part, struct err *err)
{
    int64_t *sorted = malloc((n + 1) * sizeof *sorted), test, validation;
    int64_t after = split_after(job);
    uint64_t older = 0;

    if (!sorted)
        return err_set(err, ERR_MEMORY, "no memory to sort %llu examples by time",
                       (unsigned long long)n);
    if (n)
        memcpy(sorted, time, n * sizeof *sorted);
    qsort(sorted, n, sizeof *sorted, rising);
    test = after != TIME_MISSING ? after - 1
                                 : newest_share(sorted, n, job->data.split_test);
    while (older < n && sorted[older] <= test)
        older++;
    validation = newest_share(sorted, older,
                              job->data.split_validation * (double)n / (double)older);
    for (uint64_t i = 0; i < n; i++)
        part[i] = time[i] > test         ? SPLIT_TEST
                  : time[i] > validation ? SPLIT_VALIDATION
                                         : SPLIT_TRAIN;
    free(sorted);
    return 0;
}

/* --- leave one out --------------------------------------------------------------- */

struct visit {
    uint64_t user;
    int64_t time;
    uint64_t number;
};

static int by_user_and_time(const void *a, const void *b)
{
    const struct visit *x = a, *y = b;

    if (x->user != y->user)
        return x->user < y->user ? -1 : 1;
    if (x->time != y->time)
        return x->time < y->time ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

static int leave_one_out(const struct job *job, const struct split_keys *keys,
                         uint64_t n, uint8_t *part, struct err *err)
{
    struct visit *visit = malloc((n + 1) * sizeof *visit);
    uint64_t first = 0;

    if (!visit)
        return err_set(err, ERR_MEMORY, "no memory to sort %llu examples by user",
                       (unsigned long long)n);
    for (uint64_t i = 0; i < n; i++)
        visit[i] = (struct visit){keys->user[i], keys->time ? keys->time[i] : 0, i};
    qsort(visit, n, sizeof *visit, by_user_and_time);
    memset(part, SPLIT_TRAIN, n);
    for (uint64_t i = 0; i < n; i++) {
        if (i + 1 < n && visit[i + 1].user == visit[i].user)
            continue;
        if (i + 1 - first >= USER_LEAST) {
            part[visit[i].number] = SPLIT_TEST;
            if (job->data.split_validation > 0)
                part[visit[i - 1].number] = SPLIT_VALIDATION;
        }
        first = i + 1;
    }
    free(visit);
    return 0;
}

/* --- data in memory -------------------------------------------------------------- */

int split_all(const struct job *job, const struct split_keys *keys, uint64_t n,
              uint8_t *part, struct err *err)
{
    bool by_time = job->data.split_by == SPLIT_TIME ||
                   (job->data.split_by == SPLIT_LEAVE_ONE_OUT && keys->time);

    if (check_after(job, err))
        return -err->code;
    for (uint64_t i = 0; by_time && i < n; i++)
        if (keys->time[i] == TIME_MISSING)
            return no_time(i, err);
    switch (job->data.split_by) {
    case SPLIT_TIME:
        return split_by_time(job, keys->time, n, part, err);
    case SPLIT_LEAVE_ONE_OUT:
        return leave_one_out(job, keys, n, part, err);
    case SPLIT_USER:
        for (uint64_t i = 0; i < n; i++)
            part[i] = (uint8_t)part_of_user(job, keys->user[i]);
        return 0;
    default:
        for (uint64_t i = 0; i < n; i++)
            part[i] = (uint8_t)split_random(job, i);
        return 0;
    }
}

/* --- streamed data --------------------------------------------------------------- */

int split_can_stream(const struct job *job, struct err *err)
{
    if (job->data.split_by == SPLIT_LEAVE_ONE_OUT)
        return err_set(
            err, ERR_INPUT,
            "data.split.by is leave_one_out, which must know all examples of "
            "a user: it needs the data in memory");
    if (job->data.split_by == SPLIT_TIME &&
        (split_after(job) == TIME_MISSING || job->data.split_validation > 0))
        return err_set(err, ERR_INPUT,
                       "data.split.by is time, but which examples are the newest share "
                       "is known when all are read: data that are streamed need "
                       "data.split.after, and no data.split.validation");
    return check_after(job, err);
}

int split_check(const struct job *job, const struct block *block, uint32_t *at,
                struct err *err)
{
    const struct schema *schema = block->schema;
    int by = job->data.split_by;
    bool by_user = by == SPLIT_USER || by == SPLIT_LEAVE_ONE_OUT;
    bool by_time = by == SPLIT_TIME || by == SPLIT_LEAVE_ONE_OUT;
    const uint8_t *missing = NULL;
    const int64_t *time = NULL;

    if (by_user && schema->user != SCHEMA_NONE)
        missing = block->column[schema->user].missing;
    if (by_time && schema->time != SCHEMA_NONE)
        time = block->column[schema->time].time;
    for (*at = 0; *at < block->n; ++*at) {
#ifndef MUTANT_SPLIT_MISSING
        if (missing && missing[*at])
            return err_set(err, ERR_INPUT,
                           "the example has no user, which data.split.by goes by");
        if (time && time[*at] == TIME_MISSING)
            return err_set(err, ERR_INPUT,
                           "the example has no time, which data.split.by goes by");
#endif
    }
    return 0;
}

int split_keep(const struct job *job, enum split_part part, uint32_t file,
               const struct block *block, uint8_t *keep, uint32_t *at, struct err *err)
{
    const struct schema *schema = block->schema;
    const struct values *column = block->column;
    uint64_t seed = rng_at((uint64_t)job->data.split_seed, split_stream, file);
    int64_t after = split_after(job);

    if (split_check(job, block, at, err))
        return -err->code;
    for (uint32_t i = 0; i < block->n; i++) {
        enum split_part found;

        if (job->data.split_by == SPLIT_USER)
            found = part_of_user(job, column[schema->user].key[i]);
        else if (job->data.split_by == SPLIT_TIME)
            found = column[schema->time].time[i] >= after ? SPLIT_TEST : SPLIT_TRAIN;
        else
            found = part_of_draw(job,
                                 rng_unit(rng_at(seed, split_stream, block->place[i])));
        keep[i] = found == part;
    }
    return 0;
}

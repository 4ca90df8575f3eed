/* Splits: what is held out, and that nothing of it is trained on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "common/rng.h"
#include "worker/stream/splits.h"

enum { N = 5000, USERS = 300 };

struct log {
    struct job job;
    uint64_t user[N];
    int64_t time[N];
    uint8_t part[N];
    struct err err;
};

/* A log of some users' examples, not in the order of time, with many equal times. */
static struct log *make_log(int by)
{
    struct log *log = calloc(1, sizeof *log);

    assert_non_null(log);
    job_init(&log->job);
    log->job.data.split_by = by;
    for (uint64_t i = 0; i < N; i++) {
        log->user[i] = rng_below(rng_at(1, 1, i), USERS);
        log->time[i] = (int64_t)rng_below(rng_at(1, 2, i), 1000) * 1000000;
    }
    return log;
}

static void split(struct log *log)
{
    const struct split_keys keys = {log->user, log->time};

    if (split_all(&log->job, &keys, N, log->part, &log->err))
        fail_msg("%s", log->err.text);
}

static uint32_t count(const struct log *log, enum split_part part)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < N; i++)
        n += log->part[i] == part;
    return n;
}

/* Pinned: a change breaks old checkpoints. */
static void test_random_is_by_seed_and_number(void **state)
{
    struct log *log = make_log(SPLIT_RANDOM);
    char bits[41] = {0};

    (void)state;
    log->job.data.split_test = 0.2;
    log->job.data.split_validation = 0.1;
    split(log);
    for (int i = 0; i < 40; i++)
        bits[i] = log->part[i] == SPLIT_TEST         ? 'T'
                  : log->part[i] == SPLIT_VALIDATION ? 'V'
                                                     : '.';
    assert_string_equal(bits, ".T....T....VT.T.......V.V....VV.V.......");
    assert_in_range(count(log, SPLIT_TEST), 900, 1100);
    assert_in_range(count(log, SPLIT_VALIDATION), 420, 580);
    for (uint64_t i = 0; i < N; i++)
        assert_int_equal(log->part[i] == SPLIT_TEST, split_is_test(&log->job, i));
    free(log);
}

static void test_users_are_on_one_side(void **state)
{
    struct log *log = make_log(SPLIT_USER);
    int side[USERS];

    (void)state;
    memset(side, -1, sizeof side);
    log->job.data.split_test = 0.3;
    log->job.data.split_validation = 0.2;
    split(log);
    for (uint32_t i = 0; i < N; i++) {
        if (side[log->user[i]] < 0)
            side[log->user[i]] = log->part[i];
        assert_int_equal(side[log->user[i]], log->part[i]);
    }
    assert_in_range(count(log, SPLIT_TEST), 1000, 2000);
    assert_in_range(count(log, SPLIT_VALIDATION), 500, 1500);
    free(log);
}

/* The newest and oldest time of each part. */
static void extremes(const struct log *log, int64_t newest[3], int64_t oldest[3])
{
    for (int p = 0; p < 3; p++) {
        newest[p] = INT64_MIN;
        oldest[p] = INT64_MAX;
    }
    for (uint32_t i = 0; i < N; i++) {
        int p = log->part[i];

        newest[p] = log->time[i] > newest[p] ? log->time[i] : newest[p];
        oldest[p] = log->time[i] < oldest[p] ? log->time[i] : oldest[p];
    }
}

static void test_time_holds_out_the_newest(void **state)
{
    struct log *log = make_log(SPLIT_TIME);
    int64_t newest[3], oldest[3];

    (void)state;
    log->job.data.split_test = 0.2;
    log->job.data.split_validation = 0.1;
    split(log);
    extremes(log, newest, oldest);
    assert_true(newest[SPLIT_TRAIN] < oldest[SPLIT_VALIDATION]);
    assert_true(newest[SPLIT_VALIDATION] < oldest[SPLIT_TEST]);
    assert_in_range(count(log, SPLIT_TEST), N * 0.19, N * 0.2); /* ties stay together */
    assert_in_range(count(log, SPLIT_VALIDATION), N * 0.09, N * 0.11);
    free(log);
}

static void test_time_may_be_a_date(void **state)
{
    struct log *log = make_log(SPLIT_TIME);
    int64_t newest[3], oldest[3];

    (void)state;
    strcpy(log->job.data.split_after, "1970-01-01T00:10:00Z");
    split(log);
    extremes(log, newest, oldest);
    assert_int_equal(newest[SPLIT_TRAIN], 599 * 1000000);
    assert_int_equal(oldest[SPLIT_TEST], 600 * 1000000);
    strcpy(log->job.data.split_after, "600");
    split(log);
    extremes(log, newest, oldest);
    assert_int_equal(oldest[SPLIT_TEST], 600 * 1000000);
    strcpy(log->job.data.split_after, "soon");
    assert_int_equal(split_all(&log->job, &(struct split_keys){log->user, log->time}, N,
                               log->part, &log->err),
                     -ERR_INPUT);
    assert_non_null(strstr(log->err.text, "data.split.after is 'soon'"));
    free(log);
}

static void test_all_of_one_time_are_trained_on(void **state)
{
    struct log *log = make_log(SPLIT_TIME);

    (void)state;
    log->job.data.split_test = 0.2;
    for (uint32_t i = 0; i < N; i++)
        log->time[i] = 7;
    split(log);
    assert_int_equal(count(log, SPLIT_TRAIN), N);
    log->time[3] = TIME_MISSING;
    assert_int_equal(split_all(&log->job, &(struct split_keys){log->user, log->time}, N,
                               log->part, &log->err),
                     -ERR_INPUT);
    assert_non_null(strstr(log->err.text, "example 4 has no time"));
    free(log);
}

/* Against a plain search for each user's last two. */
static void test_leave_one_out_takes_each_users_last(void **state)
{
    struct log *log = make_log(SPLIT_LEAVE_ONE_OUT);

    (void)state;
    log->job.data.split_validation = 0.1;
    log->user[0] = log->user[1] = 1000000; /* two examples only */
    split(log);
    for (uint64_t u = 0; u < USERS; u++) {
        int64_t last = -1, before = -1, n = 0;

        for (int64_t i = 0; i < N; i++) {
            if (log->user[i] != u)
                continue;
            n++;
            if (last < 0 || log->time[i] >= log->time[last]) {
                before = last;
                last = i;
            } else if (before < 0 || log->time[i] >= log->time[before]) {
                before = i;
            }
        }
        for (int64_t i = 0; i < N; i++)
            if (log->user[i] == u)
                assert_int_equal(log->part[i], n < 3         ? SPLIT_TRAIN
                                               : i == last   ? SPLIT_TEST
                                               : i == before ? SPLIT_VALIDATION
                                                             : SPLIT_TRAIN);
    }
    assert_int_equal(log->part[0], SPLIT_TRAIN);
    assert_int_equal(log->part[1], SPLIT_TRAIN);
    log->job.data.split_validation = 0;
    split(log);
    assert_int_equal(count(log, SPLIT_VALIDATION), 0);
    free(log);
}

/* The part of a block's examples where they are streamed. */
static void keep(struct log *log, enum split_part part, uint32_t file,
                 const struct block *block, uint8_t *to)
{
    uint32_t at;

    if (split_keep(&log->job, part, file, block, to, &at, &log->err))
        fail_msg("%s", log->err.text);
}

static void test_streamed_examples_are_split_by_where_they_stand(void **state)
{
    struct schema schema = SCHEMA_EMPTY;
    struct block block;
    struct log *log = make_log(SPLIT_RANDOM);
    uint8_t *test = malloc(N), *train = malloc(N), *other = malloc(N);
    uint32_t tests = 0, differ = 0;

    (void)state;
    schema.user = schema_add(&schema, "user", VALUE_KEY);
    schema.time = schema_add(&schema, "at", VALUE_TIME);
    assert_int_equal(block_create(&block, &schema, N, &log->err), 0);
    block.n = N;
    for (uint32_t i = 0; i < N; i++)
        block.place[i] = 17 * i;
    memcpy(block.column[0].key, log->user, sizeof log->user);
    memcpy(block.column[1].time, log->time, sizeof log->time);
    log->job.data.split_test = 0.25;
    keep(log, SPLIT_TEST, 3, &block, test);
    keep(log, SPLIT_TRAIN, 3, &block, train);
    keep(log, SPLIT_TEST, 4, &block, other);
    for (uint32_t i = 0; i < N; i++) {
        assert_int_equal(test[i] + train[i], 1);
        tests += test[i];
        differ += test[i] != other[i];
    }
    assert_in_range(tests, N / 4 - 150, N / 4 + 150);
    assert_in_range(differ, N / 4, N / 2);
    log->job.data.split_by = SPLIT_USER; /* as in memory */
    keep(log, SPLIT_TEST, 3, &block, test);
    split(log);
    for (uint32_t i = 0; i < N; i++)
        assert_int_equal(test[i], log->part[i] == SPLIT_TEST);
    log->job.data.split_test = 0;
    log->job.data.split_by = SPLIT_TIME;
    strcpy(log->job.data.split_after, "300");
    keep(log, SPLIT_TEST, 3, &block, test);
    for (uint32_t i = 0; i < N; i++)
        assert_int_equal(test[i], log->time[i] >= 300 * 1000000);
    block_release(&block);
    free(test);
    free(train);
    free(other);
    free(log);
}

/* A user or a time that is missing is no user 0, nor one long ago. */
static void test_examples_lack_what_the_split_goes_by(void **state)
{
    static const int by[] = {SPLIT_USER, SPLIT_LEAVE_ONE_OUT, SPLIT_TIME,
                             SPLIT_LEAVE_ONE_OUT};
    struct schema schema = SCHEMA_EMPTY;
    struct block block;
    struct log *log = make_log(SPLIT_RANDOM);
    uint8_t kept[4];
    uint32_t at;

    (void)state;
    strcpy(log->job.data.split_after, "300");
    schema.user = schema_add(&schema, "user", VALUE_KEY);
    schema.column[schema.user].may_miss = true;
    schema.time = schema_add(&schema, "at", VALUE_TIME);
    assert_int_equal(block_create(&block, &schema, 4, &log->err), 0);
    block.n = 4;
    memset(block.place, 0, 4 * sizeof *block.place);
    for (int lacking = 0; lacking < 4; lacking++) {
        memcpy(block.column[0].key, log->user, 4 * sizeof *log->user);
        memcpy(block.column[1].time, log->time, 4 * sizeof *log->time);
        memset(block.column[0].missing, 0, 4);
        if (lacking < 2)
            block.column[0].missing[2] = 1;
        else
            block.column[1].time[2] = TIME_MISSING;
        log->job.data.split_by = SPLIT_RANDOM; /* which does not mind */
        keep(log, SPLIT_TRAIN, 0, &block, kept);
        log->job.data.split_by = by[lacking];
        assert_int_equal(
            split_keep(&log->job, SPLIT_TRAIN, 0, &block, kept, &at, &log->err),
            -ERR_INPUT);
        assert_int_equal(at, 2);
        assert_non_null(
            strstr(log->err.text, lacking < 2 ? "has no user" : "has no time"));
    }
    block_release(&block);
    free(log);
}

static void test_what_cannot_be_streamed_is_said(void **state)
{
    struct log *log = make_log(SPLIT_LEAVE_ONE_OUT);

    (void)state;
    assert_int_equal(split_can_stream(&log->job, &log->err), -ERR_INPUT);
    assert_non_null(strstr(log->err.text, "needs the data in memory"));
    log->job.data.split_by = SPLIT_TIME;
    assert_int_equal(split_can_stream(&log->job, &log->err), -ERR_INPUT);
    assert_non_null(strstr(log->err.text, "data.split.after"));
    strcpy(log->job.data.split_after, "2015-01-01");
    assert_int_equal(split_can_stream(&log->job, &log->err), 0);
    log->job.data.split_by = SPLIT_USER;
    assert_int_equal(split_can_stream(&log->job, &log->err), 0);
    free(log);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_is_by_seed_and_number),
        cmocka_unit_test(test_users_are_on_one_side),
        cmocka_unit_test(test_time_holds_out_the_newest),
        cmocka_unit_test(test_time_may_be_a_date),
        cmocka_unit_test(test_all_of_one_time_are_trained_on),
        cmocka_unit_test(test_leave_one_out_takes_each_users_last),
        cmocka_unit_test(test_streamed_examples_are_split_by_where_they_stand),
        cmocka_unit_test(test_examples_lack_what_the_split_goes_by),
        cmocka_unit_test(test_what_cannot_be_streamed_is_said),
    };

    return cmocka_run_group_tests_name("splits", tests, NULL, NULL);
}

/* Streams as training data: what a worker reads of a spool, and what it knows of it
 * beforehand. */
#include "tests/unit/intake_kit.h"

#include <pthread.h>

#include "worker/stream/data.h"

static struct job *make_job(void)
{
    struct job *job = calloc(1, sizeof *job);
    static const char *const settings[][2] = {
        {"data.label", "rating"},
        {"data.columns.user.table", "t"},
        {"data.columns.user.as", "key"},
    };
    struct err err = {0};

    assert_non_null(job);
    job_init(job);
    for (size_t i = 0; i < sizeof settings / sizeof *settings; i++)
        if (job_set(job, settings[i][0], settings[i][1], "test", &err))
            fail_msg("%s", err.text);
    return job;
}

/* 3 MiB of lines "NUMBER\t1 or 3", with a header, through a pipe; every WRONG lines one
 * that is wrong, and at the end, too. */
enum { LINES = 300000, WRONG = 1000 };

static bool wrong;

static void *write_lines(void *context)
{
    FILE *to = fdopen(*(int *)context, "w");

    fprintf(to, "user\trating\n");
    for (int i = 0; i < LINES; i++) {
        fprintf(to, "%d\t%d\n", i, 1 + i % 2 * 2);
        if (wrong && i % WRONG == WRONG - 1)
            fprintf(to, "%d\tnothing\n", i);
    }
    fclose(to);
    return NULL;
}

static void fill_spool(struct kit *kit)
{
    pthread_t thread;
    int to;

    kit_init(kit);
    to = kit_pipe(kit);
    kit->config.header = true;
    kit_start(kit);
    assert_int_equal(pthread_create(&thread, NULL, write_lines, &to), 0);
    kit_wait_ended(kit);
    pthread_join(thread, NULL);
    close(kit->fd[0]);
}

static void open_data(struct data *data, struct kit *kit, const struct job *job)
{
    struct data_streams streams = {.spool = kit->spool};

    if (data_load(data, job, &streams, NULL, NULL, &kit->err))
        fail_msg("%s", kit->err.text);
}

/* Reads a range, marks its examples; returns where it stopped. */
static uint64_t read_range(struct walk *walk, struct range range, uint32_t most,
                           uint8_t *seen)
{
    struct stretch stretch;
    struct err err = {0};
    int rc;

    if (walk_to(walk, 1, range, &err))
        fail_msg("%s", err.text);
    while (most > 0 && (rc = walk_next(walk, most, &stretch, &err)) > 0) {
        for (uint32_t i = 0; i < stretch.n; i++) {
            uint64_t key = stretch.block->column[0].key[stretch.example[i]];

            assert_in_range(key, 0, LINES - 1);
            seen[key]++;
        }
        most -= stretch.n;
        range.first = stretch.position;
    }
    if (most > 0 && rc < 0)
        fail_msg("%s", err.text);
    return range.first;
}

/* Two who share the chunks, one of whom goes on after the other died in the middle. */
static void test_each_example_once(void **state)
{
    struct job *job = make_job();
    uint8_t *seen = calloc(LINES, 1);
    struct walk *one, *other;
    uint64_t middle, end;
    struct data data;
    struct kit kit;

    (void)state;
    fill_spool(&kit);
    end = intake_published(kit.intake) << 32;
    assert_true(end >> 32 >= 3);
    open_data(&data, &kit, job);
    assert_true(data.is_streamed);
    assert_int_equal(data.facts.train_examples, 0);
    assert_int_equal(data.facts.grain, (uint64_t)1 << 32);
    assert_true(data.facts.label_mean > 1.99 && data.facts.label_mean < 2.01);
    assert_true(data_end(&data, job, SPLIT_TRAIN) >= end);
    assert_int_equal(streamed_walk(&data.streamed, job, SPLIT_TRAIN, &one, &kit.err),
                     0);
    assert_int_equal(streamed_walk(&data.streamed, job, SPLIT_TRAIN, &other, &kit.err),
                     0);
    read_range(other, (struct range){(uint64_t)2 << 32, end}, UINT32_MAX, seen);
    middle = read_range(one, (struct range){0, (uint64_t)2 << 32}, 100000, seen);
    assert_true(middle > 0 && middle < (uint64_t)2 << 32);
    read_range(other, (struct range){middle, (uint64_t)2 << 32}, UINT32_MAX, seen);
    for (int i = 0; i < LINES; i++)
        assert_int_equal(seen[i], 1);
    walk_destroy(one);
    walk_destroy(other);
    data_release(&data);
    free(seen);
    free(job);
    kit_release(&kit);
}

/* Whoever reads how much of which chunk: a wrong row is counted once, by those who read
 * on to the ends of the chunks. */
static void test_each_wrong_row_once(void **state)
{
    struct job *job = make_job();
    uint8_t *seen = calloc(LINES, 1), *ignored = calloc(LINES, 1);
    struct walk *walk[3];
    uint64_t middle, end, sum = 0;
    struct data data;
    struct kit kit;

    (void)state;
    wrong = true;
    fill_spool(&kit);
    wrong = false;
    end = intake_published(kit.intake) << 32;
    if (job_set(job, "data.bad_rows", "skip", "test", &kit.err))
        fail_msg("%s", kit.err.text);
    open_data(&data, &kit, job);
    assert_int_equal(data.facts.bad_rows, 0); /* nobody knows yet */
    for (int w = 0; w < 3; w++)
        assert_int_equal(
            streamed_walk(&data.streamed, job, SPLIT_TRAIN, &walk[w], &kit.err), 0);
    middle = read_range(walk[0], (struct range){0, (uint64_t)2 << 32}, 100000, seen);
    assert_true(middle > 0 && middle < (uint64_t)2 << 32);
    read_range(walk[1], (struct range){middle, (uint64_t)2 << 32}, 777, seen);
    middle = read_range(walk[1], (struct range){middle + 777, (uint64_t)2 << 32}, 9,
                        seen);
    read_range(walk[2], (struct range){(uint64_t)2 << 32, end}, 5000, ignored);
    read_range(walk[2], (struct range){middle, end}, UINT32_MAX, seen);
    for (int i = 0; i < LINES; i++)
        assert_int_equal(seen[i], 1);
    for (int w = 0; w < 3; w++)
        sum += walk_bad_rows(walk[w])->count;
    assert_int_equal(sum, LINES / WRONG);
    assert_non_null(strstr(walk_bad_rows(walk[2])->first, " line "));
    for (int w = 0; w < 3; w++)
        walk_destroy(walk[w]);
    data_release(&data);
    free(seen);
    free(ignored);
    free(job);
    kit_release(&kit);
}

static void *stop_soon(void *context)
{
    usleep(50000);
    __atomic_store_n((volatile bool *)context, true, __ATOMIC_RELAXED);
    return NULL;
}

/* A stream that says nothing is waited for, but not beyond the end of the job. */
static void test_waits(void **state)
{
    struct job *job = make_job();
    struct data_streams streams;
    volatile bool stop = false;
    pthread_t thread;
    struct data data;
    struct kit kit;
    int to;

    (void)state;
    kit_init(&kit);
    streams = (struct data_streams){.spool = kit.spool};
    to = kit_pipe(&kit);
    kit_start(&kit);
    assert_int_equal(pthread_create(&thread, NULL, stop_soon, (void *)&stop), 0);
    assert_int_equal(data_load(&data, job, &streams, NULL, &stop, &kit.err),
                     -ERR_INTERRUPTED);
    pthread_join(thread, NULL);
    close(to);
    kit_wait_ended(&kit);
    assert_int_equal(data_load(&data, job, &streams, NULL, NULL, &kit.err), 0);
    data_release(&data);
    free(job);
    kit_release(&kit);
    close(kit.fd[0]);
}

/* Nothing is trained: data.train may be a pipe that nobody writes to. */
static void test_test_only(void **state)
{
    struct data_streams streams = {.test_only = true};
    struct job *job = make_job();
    struct scratch scratch;
    struct err err = {0};
    struct data data;

    (void)state;
    scratch_init(&scratch);
    scratch_text(&scratch, "test.tsv", "rating\tuser\n2\t7\n4\t8\n");
    snprintf(job->data.train, sizeof job->data.train, "-");
    snprintf(job->data.test, sizeof job->data.test, "%s", scratch.path);
    if (data_load(&data, job, &streams, NULL, NULL, &err))
        fail_msg("%s", err.text);
    assert_int_equal(data.facts.test_examples, 2);
    assert_int_equal(data.facts.train_examples, 0);
    data_release(&data);
    free(job);
    scratch_release(&scratch);
}

/* What would have to be fitted to the training part. */
static void test_preparation(void **state)
{
    struct data_streams streams = {.spool = "/nowhere"};
    struct job *job = make_job();
    struct err err = {0};
    struct data data;

    (void)state;
    if (job_set(job, "data.columns.user.vocabulary", "number", "test", &err))
        fail_msg("%s", err.text);
    assert_int_equal(data_load(&data, job, &streams, NULL, NULL, &err), -ERR_INPUT);
    assert_non_null(strstr(err.text, "a stream does not tell"));
    free(job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_example_once),
        cmocka_unit_test(test_each_wrong_row_once),
        cmocka_unit_test(test_waits),
        cmocka_unit_test(test_test_only),
        cmocka_unit_test(test_preparation),
    };

    return cmocka_run_group_tests_name("spooled", tests, NULL, NULL);
}

/* Walks: every example of an epoch once, at the same position whoever asks and however
 * the way there was cut; chunks of every kind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/scratch.h"
#include "worker/stream/columns.h"
#include "worker/stream/streamed.h"

enum { FILES = 3, LINES = 700, ALL = FILES * LINES };

struct ground {
    struct scratch scratch;
    struct job job;
    struct schema schema;
    struct chunks chunks;
    bool chunked;
};

/* User number = number of the example over all files. */
static void write_files(struct ground *ground)
{
    char *text = malloc(LINES * 40 + 100);
    char list[JOB_LIST_MAX] = "";

    assert_non_null(text);
    for (int f = 0; f < FILES; f++) {
        char name[32];
        size_t at = (size_t)sprintf(text, "user\titem\trating\n");

        for (int i = 0; i < LINES; i++)
            at += (size_t)sprintf(text + at, "%d\t%d\t%d\n", f * LINES + i, i % 37,
                                  i % 5);
        snprintf(name, sizeof name, "part-%d.tsv", f);
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", f ? "\n" : "",
                 scratch_write(&ground->scratch, name, text, at));
    }
    snprintf(ground->job.data.train, sizeof ground->job.data.train, "%s", list);
    free(text);
}

static void set(struct ground *ground, const char *name, const char *value)
{
    struct err err;

    assert_int_equal(job_set(&ground->job, name, value, "test", &err), 0);
}

static int set_up(void **state)
{
    struct ground *ground = calloc(1, sizeof *ground);

    assert_non_null(ground);
    scratch_init(&ground->scratch);
    job_init(&ground->job);
    write_files(ground);
    set(ground, "data.label", "rating");
    set(ground, "data.columns.user.table", "user");
    set(ground, "data.columns.item.table", "item");
    set(ground, "tables.user", NULL);
    set(ground, "tables.item", NULL);
    set(ground, "data.chunk", "256");
    *state = ground;
    return 0;
}

static int tear_down(void **state)
{
    struct ground *ground = *state;

    if (ground->chunked)
        chunks_release(&ground->chunks);
    scratch_release(&ground->scratch);
    free(ground);
    return 0;
}

static struct walk *walk_of(struct ground *ground, bool whole, enum split_part part)
{
    struct walk_plan plan = {.job = &ground->job,
                             .files = &ground->schema,
                             .schema = &ground->schema,
                             .chunks = &ground->chunks,
                             .mix = 3,
                             .whole = whole,
                             .part = part,
                             .seed = 7};
    struct walk *walk;
    struct err err;

    if (!ground->chunked) {
        assert_int_equal(
            schema_of_job(&ground->job, COLUMNS_LABEL, &ground->schema, &err), 0);
        assert_int_equal(chunks_open(&ground->chunks, &ground->job,
                                     ground->job.data.train, "test", &err),
                         0);
        ground->chunked = true;
    }
    assert_int_equal(walk_create(&plan, &walk, &err), 0);
    return walk;
}

/* The users that a walk meets in a range, each with its position; returns how many. */
static uint32_t go(struct ground *ground, struct walk *walk, uint32_t epoch,
                   struct range range, uint32_t max, uint64_t *user, uint64_t *position)
{
    struct stretch stretch;
    struct err err;
    uint32_t n = 0;
    int rc;

    (void)ground;
    assert_int_equal(walk_to(walk, epoch, range, &err), 0);
    while ((rc = walk_next(walk, max, &stretch, &err)) > 0) {
        assert_in_range(stretch.n, 1, max);
        for (uint32_t i = 0; i < stretch.n; i++) {
            const struct values *column = stretch.block->column;
            uint32_t example = stretch.example[i];

            assert_true(n < ALL);
            user[n] = column[0].key[example];
            assert_int_equal(column[1].key[example], user[n] % LINES % 37);
            assert_true(column[2].number[example] == (float)(user[n] % LINES % 5));
            position[n++] = stretch.position - stretch.n + i;
        }
    }
    assert_int_equal(rc, 0);
    return n;
}

static struct range everything(const struct ground *ground)
{
    return (struct range){0, walk_end(&ground->chunks, 3)};
}

static void expect_each_once(const uint64_t *user, uint32_t n)
{
    uint8_t seen[ALL] = {0};

    assert_int_equal(n, ALL);
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(seen[user[i]]++, 0);
}

static void test_each_once(void **state)
{
    struct ground *ground = *state;
    struct walk *walk = walk_of(ground, true, SPLIT_TRAIN);
    static uint64_t first[ALL], second[ALL], position[ALL];
    uint32_t n;

    assert_true(ground->chunks.count > 10 * FILES);
    n = go(ground, walk, 0, everything(ground), 100, first, position);
    assert_int_equal(n, ALL);
    for (uint32_t i = 0; i < n; i++)
        assert_int_equal(first[i], i); /* as they stand */
    n = go(ground, walk, 1, everything(ground), 100, first, position);
    expect_each_once(first, n);
    n = go(ground, walk, 2, everything(ground), 33, second, position);
    expect_each_once(second, n);
    assert_memory_not_equal(first, second, sizeof first);
    walk_destroy(walk);
}

/* From any position on, by any steps: what stands there in the epoch's order. */
static void test_same_at_every_position(void **state)
{
    struct ground *ground = *state;
    struct walk *walk = walk_of(ground, true, SPLIT_TRAIN), *other;
    static uint64_t user[ALL], position[ALL], again[ALL], at[ALL];
    uint32_t n = go(ground, walk, 3, everything(ground), ALL, user, position), got;

    for (uint32_t first = 0; first < n; first += 97) {
        struct range range = {position[first], walk_end(&ground->chunks, 3)};

        other = first % 2 ? walk : walk_of(ground, true, SPLIT_TRAIN);
        if (first + 150 < n)
            range.end = position[first + 150];
        got = go(ground, other, 3, range, 1 + first % 13, again, at);
        assert_int_equal(got, first + 150 < n ? 150 : n - first);
        assert_memory_equal(again, user + first, got * sizeof *again);
        assert_memory_equal(at, position + first, got * sizeof *at);
        if (other != walk)
            walk_destroy(other);
    }
    walk_destroy(walk);
}

/* Ranges cut anywhere, also where no example is: together each example once. */
static void test_ranges_together(void **state)
{
    struct ground *ground = *state;
    struct walk *walk = walk_of(ground, true, SPLIT_TRAIN);
    static uint64_t user[ALL], position[ALL];
    uint64_t end = walk_end(&ground->chunks, 3), step = end / 7 + 12345;
    uint32_t n = 0;

    for (uint64_t first = 0; first < end; first += step)
        n += go(ground, walk, 5,
                (struct range){first, first + step < end ? first + step : UINT64_MAX},
                64, user + n, position + n);
    expect_each_once(user, n);
    walk_destroy(walk);
}

/* Who is told to stop does, and can begin anew where it was. */
static void test_stop(void **state)
{
    struct ground *ground = *state;
    struct walk *walk = walk_of(ground, true, SPLIT_TRAIN);
    static uint64_t user[ALL], position[ALL], again[ALL], at[ALL];
    uint32_t n = go(ground, walk, 1, everything(ground), ALL, user, position);
    struct stretch stretch;
    bool stop = true;
    struct err err;

    walk_stop_at(walk, &stop);
    assert_int_equal(
        walk_to(walk, 1, (struct range){position[n / 2], UINT64_MAX}, &err), 0);
    assert_int_equal(walk_next(walk, 100, &stretch, &err), -ERR_INTERRUPTED);
    stop = false;
    assert_int_equal(go(ground, walk, 1, (struct range){position[n / 2], UINT64_MAX},
                        100, again, at),
                     n - n / 2);
    assert_memory_equal(again, user + n / 2, (n - n / 2) * sizeof *again);
    walk_destroy(walk);
}

static void test_parts(void **state)
{
    struct ground *ground = *state;
    static uint64_t user[ALL], position[ALL];
    struct walk *train, *test;
    uint32_t n, all;

    set(ground, "data.split.test", "0.25");
    train = walk_of(ground, false, SPLIT_TRAIN);
    test = walk_of(ground, false, SPLIT_TEST);
    n = go(ground, train, 1, everything(ground), 100, user, position);
    assert_in_range(n, ALL * 0.7, ALL * 0.8);
    all = n + go(ground, test, 0, everything(ground), 100, user + n, position + n);
    expect_each_once(user, all);
    walk_destroy(train);
    walk_destroy(test);
}

static void test_survey(void **state)
{
    struct ground *ground = *state;
    struct streamed streamed;
    struct err err;
    bool stop = true;

    set(ground, "data.split.test", "0.25");
    assert_int_equal(streamed_open(&streamed, &ground->job, NULL, NULL, &err), 0);
    assert_int_equal(streamed.facts.train_examples + streamed.facts.test_examples, ALL);
    assert_in_range(streamed.facts.test_examples, ALL * 0.2, ALL * 0.3);
    assert_true(streamed.facts.label_mean > 1.8 && streamed.facts.label_mean < 2.2);
    assert_int_equal(streamed.facts.positions,
                     streamed_end(&streamed, &ground->job, SPLIT_TRAIN));
    assert_true(streamed.facts.grain == (uint64_t)1 << 32);
    streamed_release(&streamed);
    assert_int_equal(streamed_open(&streamed, &ground->job, NULL, &stop, &err),
                     -ERR_INTERRUPTED);
}

/* Ends of lines in quotes are no ends of records, wherever chunks end. */
static void test_quotes(void **state)
{
    struct ground *ground = *state;
    static uint64_t user[ALL], position[ALL];
    struct walk *walk;
    const char *path = scratch_path(&ground->scratch, "part-0.tsv");
    FILE *file = fopen(path, "w");
    uint32_t n;

    assert_non_null(file);
    fputs("note,user,item,rating\n", file);
    for (int i = 0; i < LINES; i++)
        fprintf(file, "\"said \"\"%d\"\"\n7,7,7\n\",%d,%d,%d\n", i, i, i % 37, i % 5);
    assert_int_equal(fclose(file), 0);
    set(ground, "data.train", path);
    set(ground, "data.format", "csv");
    walk = walk_of(ground, true, SPLIT_TRAIN);
    assert_true(ground->chunks.count > 20);
    n = go(ground, walk, 1, everything(ground), 100, user, position);
    assert_int_equal(n, LINES);
    for (uint32_t i = 0; i < n; i++) {
        assert_true(user[i] < LINES);
        assert_int_equal(position[user[i]] >> 63, 0);
        position[user[i]] |= (uint64_t)1 << 63; /* seen */
    }
    walk_destroy(walk);
}

static void test_wrong_line_is_named(void **state)
{
    struct ground *ground = *state;
    struct streamed streamed;
    struct err err;
    FILE *file = fopen(scratch_path(&ground->scratch, "part-1.tsv"), "a");

    assert_non_null(file);
    fputs("1\t2\tgood\n", file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(streamed_open(&streamed, &ground->job, NULL, NULL, &err),
                     -ERR_INPUT);
    assert_non_null(strstr(err.text, "part-1.tsv line 702, column rating"));
}

static void test_digest(void **state)
{
    struct ground *ground = *state;
    struct chunks chunks;
    struct err err;
    uint64_t before;
    FILE *file;

    assert_int_equal(
        chunks_open(&chunks, &ground->job, ground->job.data.train, "test", &err), 0);
    before = chunks.digest;
    chunks_release(&chunks);
    file = fopen(scratch_path(&ground->scratch, "part-2.tsv"), "r+");
    assert_non_null(file);
    fseek(file, 20, SEEK_SET);
    fputc('9', file);
    assert_int_equal(fclose(file), 0);
    assert_int_equal(
        chunks_open(&chunks, &ground->job, ground->job.data.train, "test", &err), 0);
    assert_int_not_equal(chunks.digest, before);
    chunks_release(&chunks);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_once, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_same_at_every_position, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_ranges_together, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_stop, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_parts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_quotes, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_survey, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_wrong_line_is_named, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_digest, set_up, tear_down),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}

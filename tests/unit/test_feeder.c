/* The feeder: whatever it is given to read, every example comes once, in batches that
 * are full but for the last; also when it is stopped in the middle. */
#include <dirent.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/rng.h"
#include "tests/unit/heap_count.h"
#include "worker/feeder.h"
#include "worker/stream/shuffle.h"

enum { EXAMPLES = 5000, BATCH = 64, AHEAD = 3, SERVERS = 2 };

struct kit {
    struct job job;
    struct data data;
    struct blueprint *blueprint;
    struct feeder *feeder;
    uint32_t seen[EXAMPLES];
};

static void add_column(struct job *job, const char *name, const char *table, int as)
{
    struct job_column *column = &job->data.column[job->data.columns++];

    snprintf(column->name, sizeof column->name, "%s", name);
    snprintf(column->table, sizeof column->table, "%s", table);
    column->as = as;
}

/* Example i has user i, item 100000 + i % 10 and label i. The columns stand in another
 * order than the tables. */
static struct kit *kit_create(uint32_t ahead)
{
    struct kit *kit = calloc(1, sizeof *kit);
    struct err err;

    job_init(&kit->job);
    kit->job.tables = 2;
    snprintf(kit->job.table[0].name, sizeof kit->job.table[0].name, "user");
    snprintf(kit->job.table[1].name, sizeof kit->job.table[1].name, "item");
    add_column(&kit->job, "film", "item", COLUMN_KEY);
    add_column(&kit->job, "title", "item", COLUMN_TITLE);
    add_column(&kit->job, "person", "user", COLUMN_KEY);
    kit->job.train.batch = BATCH;
    kit->job.table[0].dim = kit->job.table[1].dim = 2; /* and a bias */
    kit->data.memory.train.examples = EXAMPLES;
    kit->data.memory.key_columns = 2;
    kit->data.memory.train.record = malloc(EXAMPLES * 3 *
                                           sizeof *kit->data.memory.train.record);
    for (uint32_t i = 0; i < EXAMPLES; i++) {
        uint32_t *id = kit->data.memory.train.record + (size_t)3 * i;
        float label = (float)i;

        assert_int_equal(
            dictionary_id(&kit->data.memory.column[0], 100000 + i % 10, &id[0], &err),
            0);
        assert_int_equal(dictionary_id(&kit->data.memory.column[1], i, &id[1], &err),
                         0);
        memcpy(&id[2], &label, sizeof label);
    }
    if (blueprint_make(&kit->job, &kit->blueprint, &err) ||
        feeder_create(kit->blueprint, SERVERS, ahead, &kit->feeder, &err))
        fail_msg("%s", err.text);
    return kit;
}

static void kit_destroy(struct kit *kit)
{
    feeder_destroy(kit->feeder);
    data_release(&kit->data);
    blueprint_destroy(kit->blueprint);
    free(kit);
}

static struct pass pass_of(const struct kit *kit, uint32_t epoch,
                           const struct range *range, uint32_t ranges, uint64_t taken)
{
    return (struct pass){.data = &kit->data,
                         .part = SPLIT_TRAIN,
                         .epoch = epoch,
                         .range = range,
                         .ranges = ranges,
                         .lease = 1,
                         .taken = taken};
}

static void begin(struct kit *kit, uint32_t epoch, const struct range *range,
                  uint32_t ranges, uint64_t taken)
{
    struct pass pass = pass_of(kit, epoch, range, ranges, taken);
    struct err err;

    if (feeder_begin(kit->feeder, &pass, NULL, &err))
        fail_msg("%s", err.text);
}

static void end(struct kit *kit)
{
    struct err err;

    if (feeder_end(kit->feeder, &err))
        fail_msg("%s", err.text);
}

/* Notes a batch's examples and checks that its key sets are theirs. */
static void look_at(struct kit *kit, const struct batch *batch)
{
    assert_in_range(batch->n, 1, BATCH);
    for (uint32_t i = 0; i < batch->n; i++) {
        uint32_t example = (uint32_t)batch->label[i];
        const struct keyset *user = &batch->set[0], *item = &batch->set[1];

        assert_true(example < EXAMPLES);
        kit->seen[example]++;
        assert_int_equal(user->key[user->pos[i]], example);
        assert_int_equal(item->key[item->pos[i]], 100000 + example % 10);
    }
    assert_true(batch->parts > 0);
}

/* Reads all, holding up to `hold` batches at a time. Returns how many batches came. */
static uint32_t read_all(struct kit *kit, uint32_t hold, uint64_t taken)
{
    struct batch *held[AHEAD];
    uint32_t first = 0, count = 0, batches = 0;
    struct batch *batch;

    while ((batch = feeder_next(kit->feeder, true))) {
        look_at(kit, batch);
        taken += batch->n;
        assert_int_equal(batch->taken, taken);
        assert_int_equal(batch->clock, 0);
        assert_false(batch->read_only);
        batches++;
        held[(first + count++) % AHEAD] = batch;
        if (count == hold) {
            feeder_return(kit->feeder, held[first]);
            first = (first + 1) % AHEAD;
            count--;
        }
    }
    assert_null(feeder_next(kit->feeder, false));
    return batches;
}

static void assert_seen(struct kit *kit, uint32_t times)
{
    for (uint32_t i = 0; i < EXAMPLES; i++)
        if (kit->seen[i] != times)
            fail_msg("example %u came %u times", i, kit->seen[i]);
}

static void test_every_example_once(void **state)
{
    static const struct range all = {0, EXAMPLES};
    struct kit *kit = kit_create(AHEAD);

    (void)state;
    for (uint32_t hold = 1; hold <= AHEAD; hold++) {
        begin(kit, hold % 2, &all, 1, 0);
        assert_int_equal(read_all(kit, hold, 0), (EXAMPLES + BATCH - 1) / BATCH);
        end(kit);
        assert_seen(kit, hold);
    }
    kit_destroy(kit);
}

/* Batches go on over the ends of ranges; empty ranges do no harm. */
static void test_ranges(void **state)
{
    struct kit *kit = kit_create(AHEAD);

    (void)state;
    for (uint64_t seed = 1; seed <= 20; seed++) {
        struct range range[200];
        uint32_t n = 0;

        for (uint64_t at = 0; at < EXAMPLES && n < 199;) {
            uint64_t end_at = at + rng_at(seed, 1, n) % 70;

            if (n == 198 || end_at > EXAMPLES)
                end_at = EXAMPLES;
            range[n++] = (struct range){at, end_at};
            at = end_at;
        }
        begin(kit, 1, range, n, 1000);
        assert_int_equal(read_all(kit, 1, 1000), (EXAMPLES + BATCH - 1) / BATCH);
        end(kit);
        assert_seen(kit, (uint32_t)seed);
    }
    kit_destroy(kit);
}

static void test_nothing_to_read(void **state)
{
    static const struct range none = {7, 7};
    struct kit *kit = kit_create(0);

    (void)state;
    begin(kit, 1, NULL, 0, 0);
    assert_null(feeder_next(kit->feeder, true));
    end(kit);
    begin(kit, 1, &none, 1, 0);
    assert_null(feeder_next(kit->feeder, true));
    end(kit);
    end(kit); /* a pass that is over */
    kit_destroy(kit);
}

/* Stopped anywhere, with batches outside, it gives no example twice, and begins anew
 * with all its batches. */
static void test_stop_in_the_middle(void **state)
{
    static const struct range all = {0, EXAMPLES};
    struct kit *kit = kit_create(AHEAD);

    (void)state;
    for (uint32_t stop = 0; stop < 60; stop++) {
        memset(kit->seen, 0, sizeof kit->seen);
        begin(kit, 1, &all, 1, 0);
        for (uint32_t i = 0; i < stop; i++) {
            struct batch *batch = feeder_next(kit->feeder, true);

            assert_non_null(batch);
            look_at(kit, batch);
            if (i + AHEAD < stop) /* the last ones stay outside */
                feeder_return(kit->feeder, batch);
        }
        end(kit);
        for (uint32_t i = 0; i < EXAMPLES; i++)
            assert_true(kit->seen[i] <= 1);
    }
    memset(kit->seen, 0, sizeof kit->seen);
    begin(kit, 1, &all, 1, 0);
    read_all(kit, AHEAD, 0);
    kit_destroy(kit); /* in the middle of a pass */
}

/* Without waiting there may be nothing now, but all comes in the end. */
static void test_without_waiting(void **state)
{
    static const struct range all = {0, EXAMPLES};
    struct kit *kit = kit_create(AHEAD);
    struct batch *batch;

    (void)state;
    begin(kit, 1, &all, 1, 0);
    for (uint32_t left = EXAMPLES; left;) {
        while (!(batch = feeder_next(kit->feeder, false)))
            sched_yield();
        look_at(kit, batch);
        left -= batch->n;
        feeder_return(kit->feeder, batch);
    }
    end(kit);
    assert_seen(kit, 1);
    kit_destroy(kit);
}

static void test_read_only(void **state)
{
    static const struct range some = {0, 10};
    struct kit *kit = kit_create(AHEAD);
    struct pass pass = pass_of(kit, 0, &some, 1, 0);
    struct batch *batch;
    struct err err;

    (void)state;
    pass.read_only = true;
    assert_int_equal(feeder_begin(kit->feeder, &pass, NULL, &err), 0);
    batch = feeder_next(kit->feeder, true);
    assert_non_null(batch);
    assert_true(batch->read_only);
    assert_int_equal(batch->n, 10);
    end(kit);
    kit_destroy(kit);
}

/* The examples of a pass come in the order of its epoch. */
static void expect_order(struct kit *kit, uint32_t epoch)
{
    uint32_t order[EXAMPLES], at = 0;
    struct batch *batch;

    shuffle(order, EXAMPLES, (uint64_t)kit->job.train.seed, epoch);
    while ((batch = feeder_next(kit->feeder, true))) {
        for (uint32_t i = 0; i < batch->n; i++, at++)
            assert_int_equal((uint32_t)batch->label[i], epoch ? order[at] : at);
        assert_int_equal(batch->taken, at);
        feeder_return(kit->feeder, batch);
    }
    assert_int_equal(at, EXAMPLES);
}

/* Whatever was thought to come next, what is begun is what comes; what is read ahead
 * for it may be there at once, or be of no use. */
static void test_what_comes_next(void **state)
{
    static const struct range all = {0, EXAMPLES}, half = {0, EXAMPLES / 2};
    struct kit *kit = kit_create(AHEAD);
    struct err err;

    (void)state;
    for (uint64_t round = 0; round < 300; round++) {
        uint32_t epoch = (uint32_t)(rng_at(1, 1, round) % 3);
        uint32_t guess = (uint32_t)(rng_at(1, 2, round) % 4);
        struct pass pass = pass_of(kit, epoch, &all, 1, 0);
        struct pass next = pass_of(kit, guess % 3, guess == 3 ? &half : &all, 1, 0);

        if (rng_at(1, 3, round) % 8 == 0)
            assert_int_equal(feeder_prepare(kit->feeder, &next, &err), 0);
        assert_int_equal(
            feeder_begin(kit->feeder, &pass, round % 5 ? &next : NULL, &err), 0);
        if (rng_at(1, 4, round) % 6 == 0) { /* stopped, with batches outside */
            (void)feeder_next(kit->feeder, true);
            (void)feeder_next(kit->feeder, true);
        } else {
            expect_order(kit, epoch);
        }
        if (rng_at(1, 5, round) % 2)
            sched_yield();
        assert_int_equal(feeder_end(kit->feeder, &err), 0);
    }
    kit_destroy(kit); /* while it may be reading ahead */
}

/* The reader's thread; 0: there is none. */
static long reader(void)
{
    DIR *tasks = opendir("/proc/self/task");
    struct dirent *entry;
    long id = 0;

    assert_non_null(tasks);
    while ((entry = readdir(tasks))) {
        char path[300], name[32] = "";
        FILE *file;

        snprintf(path, sizeof path, "/proc/self/task/%s/comm", entry->d_name);
        file = fopen(path, "r");
        if (!file)
            continue;
        if (fgets(name, sizeof name, file) && strcmp(name, "reader\n") == 0)
            id = atol(entry->d_name);
        fclose(file);
    }
    closedir(tasks);
    return id;
}

/* It has a name once it is at work. */
static long await_reader(void)
{
    long id;

    while ((id = reader()) == 0)
        sched_yield();
    return id;
}

/* With the right guess the reader is at the next pass before that begins, and goes on;
 * with a wrong one another begins. */
static void test_reads_ahead(void **state)
{
    static const struct range all = {0, EXAMPLES};
    struct kit *kit = kit_create(AHEAD);
    struct pass pass = pass_of(kit, 1, &all, 1, 0), next = pass_of(kit, 2, &all, 1, 0);
    struct err err;
    long id;

    (void)state;
    assert_int_equal(feeder_prepare(kit->feeder, &pass, &err), 0);
    id = await_reader();
    assert_null(feeder_next(kit->feeder, true)); /* it is not begun */
    assert_int_equal(feeder_begin(kit->feeder, &pass, &next, &err), 0);
    assert_int_equal(await_reader(), id);
    expect_order(kit, 1);
    assert_null(feeder_next(kit->feeder, true)); /* nor is this */
    assert_int_equal(feeder_end(kit->feeder, &err), 0);
    assert_int_equal(await_reader(), id);
    assert_int_equal(feeder_begin(kit->feeder, &next, &pass, &err), 0);
    assert_int_equal(await_reader(), id);
    expect_order(kit, 2);
    assert_int_equal(feeder_end(kit->feeder, &err), 0);
    assert_int_equal(feeder_begin(kit->feeder, &next, NULL, &err), 0);
    assert_int_not_equal(await_reader(), id);
    expect_order(kit, 2);
    assert_int_equal(feeder_end(kit->feeder, &err), 0);
    kit_destroy(kit);
}

/* Reads until there is nothing for now, of leases up to one that ends at `end`. */
static void read_leases(struct kit *kit, uint64_t *taken, uint64_t lease, uint64_t end)
{
    struct batch *batch;

    while ((batch = feeder_next(kit->feeder, true))) {
        look_at(kit, batch);
        *taken += batch->n;
        assert_int_equal(batch->taken, *taken);
        assert_true(batch->lease <= lease);
        if (batch->lease == lease && batch->position == end)
            assert_true(batch->second_half);
        feeder_return(kit->feeder, batch);
    }
}

/* Leases come while the pass runs, some of them told again: each is read once, and the
 * reader waits for more without an end. */
static void test_leases(void **state)
{
    struct kit *kit = kit_create(AHEAD);

    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct range known[3] = {{0, 0}};
        struct pass pass = pass_of(kit, 1, known, 1, 0);
        uint64_t at = 0, taken = 0, first = 1;
        struct standing standing;
        struct err err;

        memset(kit->seen, 0, sizeof kit->seen);
        pass.open = true;
        if (seed % 2)
            assert_int_equal(feeder_prepare(kit->feeder, &pass, &err), 0);
        known[0].end = at = seed % 4 > 1 ? 0 : 5 * BATCH;
        assert_int_equal(feeder_begin(kit->feeder, &pass, NULL, &err), 0);
        for (uint64_t number = 2; at < EXAMPLES; number++) {
            uint64_t end = at + rng_at(seed, 1, number) % (8 * BATCH);

            end = end < EXAMPLES ? end : EXAMPLES;
            if (rng_at(seed, 2, number) % 3)
                read_leases(kit, &taken, number - 1, at);
            if (number - first == 3) { /* the oldest is no more told of */
                memmove(known, known + 1, 2 * sizeof *known);
                first++;
            }
            known[number - first] = (struct range){at, end};
            assert_int_equal(feeder_extend(kit->feeder, first, known,
                                           (uint32_t)(number - first + 1), true, &err),
                             0);
            at = end;
        }
        read_leases(kit, &taken, UINT64_MAX, 0);
        assert_int_equal(taken, EXAMPLES);
        assert_null(feeder_next(kit->feeder, true)); /* dry */
        assert_false(feeder_is_over(kit->feeder));
        assert_true(feeder_standing(kit->feeder, &standing));
        assert_int_equal(standing.position, EXAMPLES);
        memset(&standing, 0, sizeof standing);
        assert_int_equal(feeder_extend(kit->feeder, 100000, known, 1, true, &err),
                         -ERR_PEER);
        assert_int_equal(feeder_extend(kit->feeder, first, known, 1, false, &err), 0);
        assert_null(feeder_next(kit->feeder, true)); /* over */
        assert_true(feeder_standing(kit->feeder, &standing));
        assert_int_equal(standing.position, EXAMPLES);
        assert_int_equal(feeder_end(kit->feeder, &err), 0);
        assert_seen(kit, 1);
    }
    kit_destroy(kit);
}

/* A reader that fails in an open pass is no reader that has nothing for now. */
static void test_failure_of_an_open_pass(void **state)
{
    static const struct range all = {0, EXAMPLES};
    struct range *many = calloc(SHARE_RANGES_MAX, sizeof *many);
    struct kit *kit = kit_create(AHEAD);
    struct pass pass = pass_of(kit, 1, &all, 1, 0);
    struct batch *batch;
    struct err err;

    (void)state;
    pass.open = true;
    assert_int_equal(feeder_begin(kit->feeder, &pass, NULL, &err), 0);
    /* More than there can be at a time: the first one is not read yet. */
    assert_int_equal(feeder_extend(kit->feeder, 2, many, SHARE_RANGES_MAX, true, &err),
                     0);
    while ((batch = feeder_next(kit->feeder, true)))
        feeder_return(kit->feeder, batch);
    assert_true(feeder_is_over(kit->feeder));
    assert_int_equal(feeder_end(kit->feeder, &err), -ERR_PEER);
    assert_non_null(strstr(err.text, "leases of 1025 ranges"));
    free(many);
    kit_destroy(kit);
}

/* What was prepared is the beginning of what begins, with leases that have come since;
 * and behind its end the next pass is read. */
static void test_prepared_leases(void **state)
{
    static const struct range leases[] = {{0, 640}, {640, 700}, {700, EXAMPLES}};
    struct kit *kit = kit_create(AHEAD);
    struct pass first = pass_of(kit, 1, leases, 1, 0);
    struct pass whole = pass_of(kit, 1, leases, 2, 0);
    struct pass next = pass_of(kit, 2, leases, 1, 0);
    uint64_t taken = 0;
    struct err err;
    long id;

    (void)state;
    first.open = whole.open = next.open = true;
    assert_int_equal(feeder_prepare(kit->feeder, &first, &err), 0);
    id = await_reader();
    assert_int_equal(feeder_begin(kit->feeder, &whole, &next, &err), 0);
    assert_int_equal(await_reader(), id);
    read_leases(kit, &taken, 2, 700);
    assert_int_equal(taken, 700);
    assert_int_equal(feeder_extend(kit->feeder, 2, leases + 1, 2, false, &err), 0);
    read_leases(kit, &taken, 3, EXAMPLES);
    assert_int_equal(taken, EXAMPLES);
    assert_seen(kit, 1);
    assert_int_equal(feeder_end(kit->feeder, &err), 0);
    assert_int_equal(await_reader(), id);
    /* This epoch is dealt at once. */
    whole = pass_of(kit, 2, leases, 3, 0);
    assert_int_equal(feeder_begin(kit->feeder, &whole, NULL, &err), 0);
    assert_int_equal(await_reader(), id);
    taken = 0;
    read_leases(kit, &taken, 3, EXAMPLES);
    assert_int_equal(taken, EXAMPLES);
    assert_seen(kit, 2);
    assert_int_equal(feeder_end(kit->feeder, &err), 0);
    kit_destroy(kit);
}

/* More memory than there can be is an error with a sentence. */
static void test_too_large(void **state)
{
    struct kit *kit = kit_create(AHEAD);
    struct feeder *feeder;
    struct err err;

    (void)state;
    kit->job.train.batch = (int64_t)KEYSET_CAPACITY_MAX + 1;
    assert_int_equal(feeder_create(kit->blueprint, SERVERS, 0, &feeder, &err),
                     -ERR_INPUT);
    assert_non_null(strstr(err.text, "16777216"));
    kit_destroy(kit);
}

/* Batches keep their memory: between the first pass and the last nothing is asked for.
 */
static void test_second_pass_allocates_nothing(void **state)
{
    static const struct range all = {0, EXAMPLES};
    struct kit *kit = kit_create(AHEAD);
    uint64_t before;

    (void)state;
    begin(kit, 0, &all, 1, 0);
    read_all(kit, 1, 0);
    end(kit);
    begin(kit, 0, &all, 1, 0);
    before = heap_count();
    read_all(kit, 1, 0);
    assert_int_equal(heap_count(), before);
    end(kit);
    kit_destroy(kit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_example_once),
        cmocka_unit_test(test_ranges),
        cmocka_unit_test(test_nothing_to_read),
        cmocka_unit_test(test_stop_in_the_middle),
        cmocka_unit_test(test_without_waiting),
        cmocka_unit_test(test_read_only),
        cmocka_unit_test(test_what_comes_next),
        cmocka_unit_test(test_reads_ahead),
        cmocka_unit_test(test_leases),
        cmocka_unit_test(test_failure_of_an_open_pass),
        cmocka_unit_test(test_prepared_leases),
        cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_second_pass_allocates_nothing),
    };

    return cmocka_run_group_tests_name("feeder", tests, NULL, NULL);
}

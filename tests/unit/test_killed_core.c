/* A server's process is killed while it applies a push, at hundreds of moments chosen
 * by chance; another process over the same region gets the push again. Every row must
 * end as the sum of what was pushed to it, once each: whatever the first one had in
 * hand, had noted or was just making. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/clock.h"
#include "common/rng.h"
#include "tests/unit/core_kit.h"

enum {
    ROWS = 2000, /* of a part */
    NEW = 100,   /* of them not seen before, in each push */
    WIDTH = 64,
    HITS = 40,    /* kills in the middle that are enough */
    PUSHES = 300, /* at most */
    SECONDS = 8,  /* likewise */
};

/* What parent and child share beside the region. */
struct shared {
    volatile bool begun, done;
};

static struct core_kit *kit_create(int optimizer)
{
    struct core_kit *kit = calloc(1, sizeof *kit);

    assert_non_null(kit);
    kit_job_init(&kit->job);
    kit->job.optimizer.kind = optimizer;
    kit->job.optimizer.initial = 0;
    kit->job.table[0].dim = WIDTH - 1; /* and a bias */
    kit->job.table[1].dim = WIDTH;
    kit->servers = kit->workers = 1;
    kit->pool = buffer_pool_create(64 << 20);
    kit->region = (struct region){.size = KIT_REGION_BYTES,
                                  .bytes_max = (uint64_t)kit->job.cluster.memory_max,
                                  .fd = memfd_create("test", 0)};
    assert_int_equal(ftruncate(kit->region.fd, KIT_REGION_BYTES), 0);
    kit->region.base = mmap(NULL, KIT_REGION_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED,
                            kit->region.fd, 0);
    assert_true(kit->region.base != MAP_FAILED);
    kit_core_open(kit);
    return kit;
}

/* Rows of one table, each with a gradient of -1. */
static void push_part(struct core_kit *kit, struct push push, uint32_t table)
{
    struct section_layout at;

    kit_from_worker(kit, 0, MESSAGE_PUSH);
    kit->in.push = push;
    kit->in.sections = 1;
    kit->in.section[0] = (struct section){.table = table, .rows = ROWS, .width = WIDTH};
    kit->in.body_bytes = message_layout(MESSAGE_PUSH, kit->in.section, 1, &at);
    assert_true(kit->in.body_bytes <= KIT_BODY_BYTES);
    for (uint32_t i = 0; i < ROWS; i++) {
        ((uint64_t *)(kit->bytes + at.keys))[i] = push.clock * NEW + i;
        ((float *)(kit->bytes + at.weights))[i] = 1;
    }
    for (uint32_t i = 0; i < ROWS * WIDTH; i++)
        ((float *)(kit->bytes + at.values))[i] = -1;
    assert_int_equal(kit_handle(kit), 0);
}

/* Both parts of the push of a clock: one table each, the same keys. */
static void push(struct core_kit *kit, uint64_t clock)
{
    for (uint32_t part = 0; part < 2; part++)
        push_part(
            kit,
            (struct push){.clock = clock, .after = clock - 1, .part = part, .parts = 2},
            part);
}

/* A child pushes and is killed `delay` seconds after it has begun. Did that hit? */
static bool push_and_die(struct core_kit *kit, uint64_t clock, double delay,
                         struct shared *shared)
{
    double until;
    pid_t child;

    shared->begun = shared->done = false;
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        shared->begun = true;
        push(kit, clock);
        shared->done = true;
        pause();
    }
    while (!shared->begun)
        ;
    for (until = clock_seconds() + delay; clock_seconds() < until;)
        ;
    kill(child, SIGKILL);
    assert_int_equal(waitpid(child, NULL, 0), child);
    return !shared->done;
}

/* How many of the pushes up to `clock` touch a key. */
static uint64_t pushes_of(uint64_t key, uint64_t clock)
{
    uint64_t last = key / NEW < clock ? key / NEW : clock;
    uint64_t first = key < ROWS + NEW ? 1 : (key - ROWS) / NEW + 1;

    return last >= first ? last - first + 1 : 0;
}

/* Counts rows in which a float from `from` on is not the number of their pushes. */
static uint64_t wrong_rows(const struct core_kit *kit, uint64_t clock, uint32_t from)
{
    const struct table *const *table;
    uint64_t wrong = 0;
    uint32_t tables;

    table = core_tables(kit->core, &tables);
    for (uint32_t t = 0; t < tables; t++) {
        wrong += table_rows(table[t]) != ROWS + NEW * (clock - 1);
        for (uint64_t i = 0; i < table_rows(table[t]); i++) {
            uint64_t key;
            const float *row = table_row(table[t], i, &key) + from;
            float pushes = (float)pushes_of(key, clock);

            for (uint32_t f = 0; f < WIDTH; f++)
                if (row[f] != pushes) {
                    wrong++;
                    break;
                }
        }
    }
    return wrong;
}

/* `from`: where in a row its pushes are counted. */
static void kill_again_and_again(int optimizer, uint32_t from)
{
    struct core_kit *kit = kit_create(optimizer);
    struct shared *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    double began = clock_seconds(), end = began + SECONDS, took;
    uint32_t hits = 0;
    uint64_t clock = 2;

    push(kit, 1);
    began = clock_seconds();
    push(kit, 2); /* the first one made many rows */
    took = clock_seconds() - began;
    while (hits < HITS && clock < PUSHES && clock_seconds() < end) {
        clock++;
        hits += push_and_die(kit, clock, took * rng_unit(rng_at(3, 0, clock)), shared);
        core_kit_restart(kit);
        push(kit, clock);
        assert_int_equal(kit->out.ack.clock, clock);
        if (wrong_rows(kit, clock, from))
            fail_msg("%llu rows are wrong after push %llu",
                     (unsigned long long)wrong_rows(kit, clock, from),
                     (unsigned long long)clock);
    }
    assert_true(hits > 0);
    close(kit->region.fd);
    munmap(shared, sizeof *shared);
    core_kit_destroy(kit);
}

/* With rate 1 the weights count the pushes. */
static void test_killed_in_sgd(void **state)
{
    (void)state;
    kill_again_and_again(OPTIMIZER_SGD, 0);
}

/* The sums of squares behind the weights count them. */
static void test_killed_in_adagrad(void **state)
{
    (void)state;
    kill_again_and_again(OPTIMIZER_ADAGRAD, WIDTH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_killed_in_sgd),
        cmocka_unit_test(test_killed_in_adagrad),
    };

    return cmocka_run_group_tests_name("killed core", tests, NULL, NULL);
}

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
    ROWS = 3000,  /* of a part */
    NEW = 100,    /* of them not seen before, in each push */
    HITS = 60,    /* kills in the middle that are enough */
    PUSHES = 600, /* at most */
    SECONDS = 15, /* likewise */
    KEYS = ROWS + NEW * PUSHES,
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

/* Both parts of the push of a clock: one table each, the same keys. */
static void push(struct core_kit *kit, uint64_t clock)
{
    uint64_t key[ROWS];

    for (uint32_t i = 0; i < ROWS; i++)
        key[i] = clock * NEW + i;
    for (uint32_t part = 0; part < 2; part++) {
        kit_push(
            kit, 0,
            (struct push){.clock = clock, .after = clock - 1, .part = part, .parts = 2},
            part, key, ROWS, 1);
        assert_int_equal(kit_handle(kit), 0);
    }
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

/* The highest clock that pushes a key, and how many do. */
static uint64_t pushes_of(uint64_t key, uint64_t clock)
{
    uint64_t last = key / NEW < clock ? key / NEW : clock;
    uint64_t first = key < ROWS + NEW ? 1 : (key - ROWS) / NEW + 1;

    return last >= first ? last - first + 1 : 0;
}

static uint64_t wrong_rows(const struct core_kit *kit, uint64_t clock)
{
    const struct table *const *table;
    uint64_t wrong = 0;
    uint32_t tables;

    table = core_tables(kit->core, &tables);
    for (uint32_t t = 0; t < tables; t++) {
        wrong += table_rows(table[t]) != ROWS + NEW * (clock - 1);
        for (uint64_t i = 0; i < table_rows(table[t]); i++) {
            uint64_t key;
            const float *row = table_row(table[t], i, &key);

            for (uint32_t f = 0; f < table[t]->spec.width; f++)
                if (row[f] != (float)pushes_of(key, clock)) {
                    wrong++;
                    break;
                }
        }
    }
    return wrong;
}

/* SGD with rate 1 and gradients of -1: rows count their pushes. */
static void test_killed_in_the_middle(void **state)
{
    struct core_kit *kit = kit_create(OPTIMIZER_SGD);
    struct shared *shared = mmap(NULL, sizeof *shared, PROT_READ | PROT_WRITE,
                                 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    double began = clock_seconds(), end = began + SECONDS, took;
    uint32_t hits = 0;
    uint64_t clock = 2;

    (void)state;
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
        if (wrong_rows(kit, clock))
            fail_msg("%llu rows are wrong after push %llu",
                     (unsigned long long)wrong_rows(kit, clock),
                     (unsigned long long)clock);
    }
    assert_true(hits > 0);
    close(kit->region.fd);
    munmap(shared, sizeof *shared);
    core_kit_destroy(kit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_killed_in_the_middle),
    };

    return cmocka_run_group_tests_name("killed core", tests, NULL, NULL);
}

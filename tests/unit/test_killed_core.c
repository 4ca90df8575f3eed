/* A server's process dies while it applies a push: before its first store to the
 * region, before its second, and so on to the last. Another process over the same
 * region gets the push again. Every row must end as the sum of what was pushed to it,
 * once each: whatever the first one had in hand, had noted or was just making.
 *
 * To die at a certain store, a process protects the region against writing and counts
 * the faults: each lets one instruction through, by the processor's trap flag. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/core_kit.h"

enum {
    ROWS = 20, /* of a part: more than the 16 that are applied as one group */
    NEW = 2,   /* of them not seen before, in each push */
    WIDTH = 8,
    CIRCLE = 60, /* keys of in_a_circle() */
    STORES_MAX = 5000,
    TRAP_FLAG = 0x100,
    PAGES_MAX = 8, /* written to by one instruction */
    DIED = 3,      /* exit status */
};

#ifdef __SANITIZE_ADDRESS__ /* a fork takes its time */
enum { STEP = 4 };
#else
enum { STEP = 1 };
#endif

/* --- dying at a store ------------------------------------------------------------- */

/* For the handlers, in the process that dies. */
static struct {
    const struct region *region;
    uint64_t stores, last;
    unsigned char *page[PAGES_MAX]; /* let through at the moment */
    uint32_t pages;
} watch;

static void on_fault(int sig, siginfo_t *info, void *context)
{
    ucontext_t *c = context;
    unsigned char *at = info->si_addr;

    (void)sig;
    if (at < watch.region->base || at >= watch.region->base + watch.region->size ||
        watch.pages == PAGES_MAX)
        _exit(1);
    if (watch.pages == 0 && ++watch.stores == watch.last)
        _exit(DIED);
    at -= (uintptr_t)at % REGION_PAGE;
    mprotect(at, REGION_PAGE, PROT_READ | PROT_WRITE);
    watch.page[watch.pages++] = at;
    c->uc_mcontext.gregs[REG_EFL] |= TRAP_FLAG;
}

static void on_trap(int sig, siginfo_t *info, void *context)
{
    ucontext_t *c = context;

    (void)sig;
    (void)info;
    while (watch.pages > 0)
        mprotect(watch.page[--watch.pages], REGION_PAGE, PROT_READ);
    c->uc_mcontext.gregs[REG_EFL] &= ~(greg_t)TRAP_FLAG;
}

/* From here on this process dies at its store `last` to the region. */
static void die_at(const struct region *region, uint64_t last)
{
    struct sigaction fault = {.sa_sigaction = on_fault, .sa_flags = SA_SIGINFO};
    struct sigaction trap = {.sa_sigaction = on_trap, .sa_flags = SA_SIGINFO};

    watch.region = region;
    watch.last = last;
    sigaction(SIGSEGV, &fault, NULL);
    sigaction(SIGTRAP, &trap, NULL);
    mprotect(region->base, region->size, PROT_READ);
}

/* --- pushes ----------------------------------------------------------------------- */

static struct core_kit *kit_create(int optimizer, int stale_rate, int64_t rows_max,
                                   int64_t rows)
{
    struct core_kit *kit = core_kit_alloc();

    kit_job_init(&kit->job);
    kit->job.optimizer.kind = optimizer;
    kit->job.optimizer.stale_rate = stale_rate;
    kit->job.optimizer.initial = 0;
    kit->job.table[0].dim = WIDTH - 1; /* and a bias */
    kit->job.table[1].dim = WIDTH;
    kit->job.table[0].rows_max = kit->job.table[1].rows_max = rows_max;
    kit->job.table[0].rows = kit->job.table[1].rows = rows;
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

/* Half of what it would be on time, from clock 3 on. */
static bool is_slowed(const struct core_kit *kit, uint64_t clock)
{
    return kit->job.optimizer.stale_rate == STALE_RATE_INVERSE && clock > 2;
}

/* Rows of one table, each with a gradient of -1. */
static void push_part(struct core_kit *kit, struct push push, uint32_t table,
                      uint64_t (*key_of)(uint64_t clock, uint32_t i))
{
    struct section_layout at;

    kit_from_worker(kit, 0, MESSAGE_PUSH);
    kit->in.push = push;
    kit->in.sections = 1;
    kit->in.section[0] = (struct section){.table = table, .rows = ROWS, .width = WIDTH};
    kit->in.body_bytes = message_layout(MESSAGE_PUSH, kit->in.section, 1, &at);
    for (uint32_t i = 0; i < ROWS; i++) {
        ((uint64_t *)(kit->bytes + at.keys))[i] = key_of(push.clock, i);
        ((float *)(kit->bytes + at.weights))[i] = 1;
    }
    for (uint32_t i = 0; i < ROWS * WIDTH; i++)
        ((float *)(kit->bytes + at.values))[i] = is_slowed(kit, push.clock) ? -2 : -1;
    assert_int_equal(kit_handle(kit), 0);
}

/* Which keys the push of a clock has: */
typedef uint64_t push_keys(uint64_t clock, uint32_t i);

/* Two that are new, and of those before it all but the two first. */
static uint64_t moving_on(uint64_t clock, uint32_t i)
{
    return clock * NEW + i;
}

/* A run of a circle: a key comes back again and again. */
static uint64_t in_a_circle(uint64_t clock, uint32_t i)
{
    return (clock * 7 + i) % CIRCLE;
}

/* Both parts of the push of a clock: one table each, the same keys. */
static void push(struct core_kit *kit, uint64_t clock, push_keys *key_of)
{
    for (uint32_t part = 0; part < 2; part++)
        push_part(
            kit,
            (struct push){.clock = clock, .after = clock - 1, .part = part, .parts = 2},
            part, key_of);
}

/* Pulls a row that is there for a clock, two pushes before its own. */
static void pull_early(struct core_kit *kit, uint64_t clock)
{
    uint64_t key = NEW;

    kit_pull(kit, 0, clock, 0, &key, 1);
    assert_int_equal(kit_handle(kit), 0);
    assert_int_equal(kit->out.kind, MESSAGE_ROWS);
}

/* Another process pushes and dies at its store `last`. False: it has not that many. */
static bool push_and_die(struct core_kit *kit, uint64_t clock, push_keys *key_of,
                         uint64_t last)
{
    pid_t child = fork();
    int status;

    assert_true(child >= 0);
    if (child == 0) {
        die_at(&kit->region, last);
        push(kit, clock, key_of);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_true(WEXITSTATUS(status) == 0 || WEXITSTATUS(status) == DIED);
    return WEXITSTATUS(status) == DIED;
}

/* --- what must be in the tables --------------------------------------------------- */

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
            bool right = true;

            for (uint32_t f = 0; f < WIDTH; f++)
                right &= row[f] == (float)pushes_of(key, clock);
            wrong += !right;
        }
    }
    return wrong;
}

/* `from`: where in a row its pushes are counted. */
static void die_everywhere(int optimizer, int stale_rate, uint32_t from)
{
    struct core_kit *kit = kit_create(optimizer, stale_rate, 0, 0);
    uint64_t clock = 1, store = 1;
    bool died;

    pull_early(kit, 3);
    push(kit, clock, moving_on);
    do {
        clock++;
        pull_early(kit, clock + 2);
        died = push_and_die(kit, clock, moving_on, store);
        core_kit_restart(kit);
        push(kit, clock, moving_on);
        assert_int_equal(kit->out.ack.clock, clock);
        if (wrong_rows(kit, clock, from))
            fail_msg("%llu rows are wrong after a death at store %llu",
                     (unsigned long long)wrong_rows(kit, clock, from),
                     (unsigned long long)store);
        store += STEP;
    } while (died && store < STORES_MAX);
    assert_false(died);
    assert_true(store > 2 * ROWS); /* it did watch them */
    close(kit->region.fd);
    core_kit_destroy(kit);
}

/* With rate 1 the weights count the pushes. */
static void test_death_in_sgd(void **state)
{
    (void)state;
    die_everywhere(OPTIMIZER_SGD, STALE_RATE_SAME, 0);
}

/* The sums of squares behind the weights count them. */
static void test_death_in_adagrad(void **state)
{
    (void)state;
    die_everywhere(OPTIMIZER_ADAGRAD, STALE_RATE_SAME, WIDTH);
}

/* How late a push is does not change with the process that applies it. */
static void test_death_in_late_pushes(void **state)
{
    (void)state;
    die_everywhere(OPTIMIZER_SGD, STALE_RATE_INVERSE, 0);
}

/* What should have been done to each key, and to how many that are not there. */
static void check_circle(const struct core_kit *kit, uint64_t clock)
{
    static struct status status;
    uint64_t pushes[CIRCLE] = {0};
    const struct table *const *table;
    uint32_t tables;

    for (uint64_t c = 1; c <= clock; c++)
        for (uint32_t i = 0; i < ROWS; i++)
            pushes[in_a_circle(c, i)]++;
    core_fill_status(kit->core, &status);
    table = core_tables(kit->core, &tables);
    for (uint32_t t = 0; t < tables; t++) {
        uint64_t dropped = 0;

        for (uint64_t key = 0; key < CIRCLE; key++) {
            float *row;

            table_find(table[t], &key, 1, &row);
            if (!row)
                dropped += pushes[key];
            for (uint32_t f = 0; row && f < WIDTH; f++)
                if (row[f] != (float)pushes[key])
                    fail_msg("clock %llu, key %llu: %g instead of %llu",
                             (unsigned long long)clock, (unsigned long long)key,
                             (double)row[f], (unsigned long long)pushes[key]);
        }
        assert_int_equal(status.table[t].rows_refused, dropped);
    }
}

static void die_in_a_circle(int64_t rows_max, int64_t rows)
{
    struct core_kit *kit = kit_create(OPTIMIZER_SGD, STALE_RATE_SAME, rows_max, rows);
    uint64_t clock = 1, store = 1, survived = 0;

    push(kit, clock, in_a_circle);
    /* Pushes differ in how much they have to store: once round without a death. */
    while (survived < CIRCLE / 7 + 1) {
        if (push_and_die(kit, ++clock, in_a_circle, store))
            survived = 0;
        else
            survived++;
        core_kit_restart(kit);
        push(kit, clock, in_a_circle);
        assert_int_equal(kit->out.ack.clock, clock);
        check_circle(kit, clock);
        store += STEP;
        assert_true(store < STORES_MAX);
    }
    assert_true(store > 2 * ROWS);
    close(kit->region.fd);
    core_kit_destroy(kit);
}

/* Rows that cannot be made, between others that are there: what is dropped is counted
 * as often as what is applied counts, once. */
static void test_death_in_a_full_table(void **state)
{
    (void)state;
    die_in_a_circle(CIRCLE / 2, 0);
}

static void test_death_in_a_dense_table(void **state)
{
    (void)state;
    die_in_a_circle(0, CIRCLE);
}

/* Over fresh memory. */
static void forget_region(struct core_kit *kit)
{
    core_destroy(kit->core);
    kit->core = NULL;
    madvise(kit->region.base, kit->region.size, MADV_REMOVE);
}

static void check_first_rows(const struct core_kit *kit, uint64_t rows)
{
    for (uint32_t t = 0; t < 2; t++) {
        uint32_t tables;
        const struct table *table = core_tables(kit->core, &tables)[t];
        float first[WIDTH];

        assert_int_equal(table_rows(table), rows);
        for (uint64_t key = 0; key < rows; key++) {
            float *row;

            table_find(table, &key, 1, &row);
            table_first_values(&table->spec, key, first);
            assert_memory_equal(row, first, sizeof first);
            for (uint32_t f = 0; f < WIDTH; f++)
                assert_true(row[WIDTH + f] == table->spec.state_initial);
        }
    }
}

/* While its tables are made, with all the rows that dense ones have. At most what was
 * handed out last is lost. */
static void test_death_at_the_beginning(void **state)
{
    struct core_kit *kit = kit_create(OPTIMIZER_ADAGRAD, STALE_RATE_SAME, 0, 50);
    uint64_t used = region_used(&kit->region), store = 0;
    bool died = true;

    (void)state;
    kit->job.table[0].init = kit->job.table[1].init = INIT_NORMAL;
    while (died) {
        pid_t child;
        int status;

        forget_region(kit);
        child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            die_at(&kit->region, store + 1);
            kit_core_open(kit);
            _exit(0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        died = WIFEXITED(status) && WEXITSTATUS(status) == DIED;
        assert_true(died || (WIFEXITED(status) && WEXITSTATUS(status) == 0));
        kit_core_open(kit);
        check_first_rows(kit, 50);
        assert_in_range(region_used(&kit->region), used, used + 8 * REGION_PAGE);
        store += store < 200 ? STEP : 13;
    }
    assert_true(store > 2000);
    close(kit->region.fd);
    core_kit_destroy(kit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_death_in_sgd),
        cmocka_unit_test(test_death_in_adagrad),
        cmocka_unit_test(test_death_in_late_pushes),
        cmocka_unit_test(test_death_in_a_full_table),
        cmocka_unit_test(test_death_in_a_dense_table),
        cmocka_unit_test(test_death_at_the_beginning),
    };

    return cmocka_run_group_tests_name("killed core", tests, NULL, NULL);
}

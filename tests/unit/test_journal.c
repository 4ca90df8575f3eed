/* The journal: one of its two entries is always whole. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "worker/journal.h"

static struct journal_entry entry(uint64_t clock)
{
    return (struct journal_entry){.order = 1,
                                  .clock = clock,
                                  .taken = clock * 10,
                                  .lease = 2,
                                  .position = clock * 20,
                                  .loss_sum = 0.5,
                                  .pushes_sent = clock,
                                  .pushes_resent = 2,
                                  .bytes_pulled = 3,
                                  .bytes_pushed = 4};
}

static void test_fresh(void **state)
{
    struct journal journal = {0};

    (void)state;
    assert_int_equal(journal_read(&journal)->order, 0);
    assert_int_equal(journal_read(&journal)->taken, 0);
}

static void test_newest_counts(void **state)
{
    struct journal journal = {0};

    (void)state;
    for (uint64_t clock = 1; clock < 10; clock++) {
        struct journal_entry e = entry(clock);

        journal_write(&journal, &e);
        assert_memory_equal(journal_read(&journal), &e, sizeof e);
    }
}

/* A process that dies in the middle of writing leaves the entry before. */
static void test_death_while_writing(void **state)
{
    struct journal journal = {0}, copy;
    struct journal_entry two = entry(2), three = entry(3);

    (void)state;
    journal_write(&journal, &two);
    copy = journal;
    journal_write(&copy, &three);
    for (size_t n = 0; n <= sizeof journal.entry; n++) {
        struct journal torn = journal;

        memcpy(&torn.entry, &copy.entry, n); /* written so far */
        assert_memory_equal(journal_read(&torn), &two, sizeof two);
    }
    assert_memory_equal(journal_read(&copy), &three, sizeof three);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fresh),
        cmocka_unit_test(test_newest_counts),
        cmocka_unit_test(test_death_while_writing),
    };

    return cmocka_run_group_tests_name("journal", tests, NULL, NULL);
}

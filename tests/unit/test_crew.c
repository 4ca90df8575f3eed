#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "worker/crew.h"

enum { LANES = 5, TURNS = 2000 };

/* Its lanes write to places of their own, which only the caller reads. */
static void count(void *of, uint32_t lane)
{
    uint32_t *done = of;

    done[lane] += lane + 1;
}

/* Each lane is worked on once a turn, and is done when the turn is. */
static void turns(uint32_t threads)
{
    uint32_t done[LANES] = {0};
    struct crew *crew;
    struct err err;

    assert_int_equal(crew_create(threads, &crew, &err), 0);
    for (uint32_t turn = 1; turn <= TURNS; turn++) {
        crew_run(crew, LANES, count, done);
        for (uint32_t lane = 0; lane < LANES; lane++)
            assert_int_equal(done[lane], turn * (lane + 1));
    }
    crew_destroy(crew);
}

static void test_lanes_with_any_threads(void **state)
{
    (void)state;
    turns(0);
    turns(1);
    turns(2);
    turns(LANES);
    turns(LANES + 3);
}

static void test_nothing_to_do(void **state)
{
    struct crew *crew;
    struct err err;

    (void)state;
    crew_destroy(NULL);
    assert_int_equal(crew_create(3, &crew, &err), 0);
    crew_run(crew, 0, count, NULL);
    crew_destroy(crew);
    assert_int_equal(crew_create(2, &crew, &err), 0);
    crew_destroy(crew);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lanes_with_any_threads),
        cmocka_unit_test(test_nothing_to_do),
    };

    return cmocka_run_group_tests_name("crew", tests, NULL, NULL);
}

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/schedule.h"

static void rates_follow_the_clock(void **state)
{
    static const struct {
        int schedule, steps, warmup;
        double factor;
        uint64_t clock;
        double rate;
    } cases[] = {
        {SCHEDULE_CONSTANT, 0, 0, 0.1, 1, 8},
        {SCHEDULE_CONSTANT, 0, 0, 0.1, UINT64_MAX, 8},
        {SCHEDULE_CONSTANT, 0, 4, 0.1, 1, 2},
        {SCHEDULE_CONSTANT, 0, 4, 0.1, 3, 6},
        {SCHEDULE_CONSTANT, 0, 4, 0.1, 4, 8},
        {SCHEDULE_CONSTANT, 0, 4, 0.1, 5, 8},
        {SCHEDULE_STEP, 10, 0, 0.5, 1, 8},
        {SCHEDULE_STEP, 10, 0, 0.5, 10, 8},
        {SCHEDULE_STEP, 10, 0, 0.5, 11, 4},
        {SCHEDULE_STEP, 10, 0, 0.5, 31, 1},
        {SCHEDULE_STEP, 10, 5, 0.5, 14, 8},
        {SCHEDULE_STEP, 10, 5, 0.5, 15, 4},
        {SCHEDULE_EXPONENTIAL, 10, 0, 0.25, 6, 4},
        {SCHEDULE_EXPONENTIAL, 10, 0, 0.25, 11, 2},
        {SCHEDULE_EXPONENTIAL, 10, 0, 0.25, UINT64_MAX, 0},
        {SCHEDULE_INVERSE_SQRT, 10, 0, 0.1, 31, 4},
        {SCHEDULE_INVERSE_SQRT, 10, 6, 0.1, 36, 4},
        {SCHEDULE_COSINE, 10, 0, 0.5, 1, 8},
        {SCHEDULE_COSINE, 10, 0, 0.5, 6, 6},
        {SCHEDULE_COSINE, 10, 0, 0.5, 11, 4},
        {SCHEDULE_COSINE, 10, 0, 0.5, UINT64_MAX, 4},
        {SCHEDULE_COSINE, 10, 20, 0, 25, 4},
        {SCHEDULE_COSINE, 10, 20, 0, 10, 4},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct job_optimizer settings = {.rate = 8,
                                               .schedule = cases[i].schedule,
                                               .schedule_steps = cases[i].steps,
                                               .schedule_factor = cases[i].factor,
                                               .warmup = cases[i].warmup};
        struct schedule schedule = schedule_from(&settings);
        double rate = (double)schedule_rate(&schedule, cases[i].clock);

        if (fabs(rate - cases[i].rate) > 1e-6)
            fail_msg("case %zu: rate %g, expected %g", i, rate, cases[i].rate);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rates_follow_the_clock),
    };

    return cmocka_run_group_tests_name("schedule", tests, NULL, NULL);
}

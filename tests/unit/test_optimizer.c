#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "common/cpu.h"
#include "server/optimizer.h"

/* SGD leaves what is behind the weights alone. */
static void test_sgd_has_no_state(void **state)
{
    struct optimizer o = {.kind = OPTIMIZER_SGD, .schedule = {.rate = 0.5}, .l2 = 0};
    float block[] = {1, 2, 3, 7, 7}, *row = block;
    const float gradient[] = {2, 0, -2}, weight[] = {1}, expected[] = {0, 2, 4, 7, 7};

    (void)state;
    optimizer_apply(&o, 1, &row, gradient, weight, 1, 3);
    assert_memory_equal(block, expected, sizeof block);
    optimizer_apply(&o, 1, &row, gradient, weight, 0, 3);
    assert_memory_equal(block, expected, sizeof block);
}

/* Adagrad by hand: from s = 0 the first step is the rate, whatever the gradient. */
static void test_adagrad_by_hand(void **state)
{
    struct optimizer o = {
        .kind = OPTIMIZER_ADAGRAD, .schedule = {.rate = 0.5}, .l2 = 0};
    float block[6] = {1, 1, 1, 0, 0, 0}, *row = block;
    const float gradient[] = {3, -0.001f, 0, 4, 0, 0}, weight[] = {1, 1};

    (void)state;
    optimizer_apply(&o, 1, &row, gradient, weight, 1, 3);
    assert_true(fabsf(block[0] - 0.5f) < 1e-6f && fabsf(block[1] - 1.5f) < 1e-6f);
    /* No gradient yet, nothing to divide by: no step. */
    assert_true(block[2] == 1 && block[5] == 0);
    assert_true(block[3] == 9);
    optimizer_apply(&o, 1, &row, gradient + 3, weight, 1, 3);
    assert_true(fabsf(block[0] - (0.5f - 0.5f * 4 / 5)) < 1e-6f);
    assert_true(block[3] == 25);
}

/* The penalty counts once for each example that used the row. */
static void test_l2_counts_examples(void **state)
{
    struct optimizer o = {.kind = OPTIMIZER_SGD, .schedule = {.rate = 1}, .l2 = 0.25f};
    float block[] = {8, 8}, *row[] = {block, block + 1};
    const float gradient[] = {0, 0}, weight[] = {1, 3};

    (void)state;
    optimizer_apply(&o, 1, row, gradient, weight, 2, 1);
    assert_true(block[0] == 6 && block[1] == 2);
}

/* The same row twice in a batch takes both steps, one after the other. */
static void test_rows_repeat(void **state)
{
    struct optimizer o = {.kind = OPTIMIZER_SGD, .schedule = {.rate = 1}, .l2 = 0.5f};
    float block[] = {16}, *row[] = {block, block, block};
    const float gradient[] = {0, 4, 0}, weight[] = {1, 1, 1};

    (void)state;
    optimizer_apply(&o, 1, row, gradient, weight, 3, 1);
    assert_true(block[0] == 0); /* 16, 8, 0 */
}

static void test_from_job(void **state)
{
    struct job *job = calloc(1, sizeof *job);
    struct optimizer o;

    (void)state;
    job_init(job);
    job->optimizer.kind = OPTIMIZER_ADAGRAD;
    job->optimizer.rate = 0.5;
    job->optimizer.l2 = 0.25;
    job->optimizer.initial = 2;
    optimizer_init(&o, job, 0);
    assert_int_equal(o.kind, OPTIMIZER_ADAGRAD);
    assert_true(o.schedule.rate == 0.5 && o.l2 == 0.25f && o.initial == 2);
    assert_int_equal(o.level, cpu_level());
    assert_int_equal(optimizer_state_width(&o, 9), 9);
    o.kind = OPTIMIZER_SGD;
    assert_int_equal(optimizer_state_width(&o, 9), 0);
    free(job);
}

/* Differences that workers push are added as they are. */
static void test_differences_are_added(void **state)
{
    struct job *job = calloc(1, sizeof *job);
    float block[] = {1, 2}, *row = block;
    const float difference[] = {0.5f, -4}, weight[] = {3};
    struct optimizer o;

    (void)state;
    job_init(job);
    job->train.update = UPDATE_DELTA;
    job->optimizer.kind = OPTIMIZER_SGD;
    job->optimizer.rate = 0.125;
    job->optimizer.l2 = 0.5;
    optimizer_init(&o, job, 0);
    optimizer_apply(&o, 1, &row, difference, weight, 1, 2);
    assert_true(block[0] == 1.5f && block[1] == -2);
    free(job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sgd_has_no_state),
        cmocka_unit_test(test_adagrad_by_hand),
        cmocka_unit_test(test_l2_counts_examples),
        cmocka_unit_test(test_rows_repeat),
        cmocka_unit_test(test_from_job),
        cmocka_unit_test(test_differences_are_added),
    };

    return cmocka_run_group_tests_name("optimizer", tests, NULL, NULL);
}

/* Runs of packed files: every encoding where it is the shortest, the same values again
 * on every processor level, and no number believed that could do harm. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/rng.h"
#include "worker/stream/packed/packed_runs.h"

enum { N = 3000 };

static const char *const levels[] = {"v2", "v3", "v4"};

/* --- the same again ------------------------------------------------------------ */

static struct run must_parse(const struct run_writer *writer, enum run_kind kind,
                             uint32_t n)
{
    struct run run;
    const char *fault = run_parse(writer->bytes, writer->used, kind, n, &run);

    if (fault)
        fail_msg("%s", fault);
    assert_int_equal(run.bytes, writer->used);
    return run;
}

static void must_come_back(const uint64_t *value, uint32_t n,
                           enum run_encoding encoding, uint32_t width)
{
    static uint64_t again[N];
    struct run_writer writer = {0};
    struct run run;
    struct err err;

    assert_int_equal(run_put_integers(&writer, value, n, &err), 0);
    run = must_parse(&writer, RUN_INTEGERS, n);
    assert_int_equal(run.encoding, encoding);
    assert_int_equal(run.width, width);
    for (int level = 0; level < 3; level++) {
        setenv("ROWHOUSE_KERNELS", levels[level], 1);
        for (uint32_t first = 0; first < n; first += n / 3 + 1) {
            run_get_integers(&run, first, n - first, again);
            assert_memory_equal(again, value + first, (n - first) * sizeof *again);
        }
    }
    unsetenv("ROWHOUSE_KERNELS");
    run_writer_release(&writer);
}

typedef uint64_t maker(uint64_t i);

static uint64_t same(uint64_t i)
{
    (void)i;
    return 1ull << 63;
}

static uint64_t near_zero(uint64_t i) /* with a sign */
{
    return i % 200 - 100;
}

static uint64_t two_bytes(uint64_t i)
{
    return UINT64_MAX - rng_at(1, 1, i) % 65536;
}

static uint64_t four_bytes(uint64_t i)
{
    return 5 + (rng_at(1, 1, i) >> 32);
}

static uint64_t eight_bytes(uint64_t i)
{
    return rng_at(1, 1, i);
}

static uint64_t whole_hours(uint64_t i)
{
    return 1735689600000000 + rng_at(1, 1, i) % 1000 * 3600000000;
}

static uint64_t few_and_long(uint64_t i)
{
    return rng_at(1, 1, i * i % 200);
}

static uint64_t some_and_long(uint64_t i)
{
    return rng_at(1, 1, i % 700);
}

static void test_integers(void **state)
{
    static const struct {
        maker *make;
        enum run_encoding encoding;
        uint32_t width;
    } cases[] = {
        {same, RUN_STEPS, 0},         {near_zero, RUN_STEPS, 1},
        {two_bytes, RUN_STEPS, 2},    {four_bytes, RUN_STEPS, 4},
        {eight_bytes, RUN_STEPS, 8},  {whole_hours, RUN_STEPS, 2},
        {few_and_long, RUN_TABLE, 1}, {some_and_long, RUN_TABLE, 2},
    };
    static uint64_t value[N];

    (void)state;
    for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
        for (uint64_t i = 0; i < N; i++)
            value[i] = cases[c].make(i);
        must_come_back(value, N, cases[c].encoding, cases[c].width);
    }
    value[0] = 7;
    must_come_back(value, 1, RUN_STEPS, 0);
    must_come_back(value, 0, RUN_STEPS, 0);
}

static void must_be_floats(const float *value, uint32_t n, enum run_encoding encoding,
                           uint32_t width)
{
    static float again[N];
    struct run_writer writer = {0};
    struct run run;
    struct err err;

    assert_int_equal(run_put_floats(&writer, value, n, &err), 0);
    run = must_parse(&writer, RUN_FLOATS, n);
    assert_int_equal(run.encoding, encoding);
    assert_int_equal(run.width, width);
    for (int level = 0; level < 3; level++) {
        setenv("ROWHOUSE_KERNELS", levels[level], 1);
        run_get_floats(&run, 0, n, again);
        assert_memory_equal(again, value, n * sizeof *again); /* every bit */
    }
    unsetenv("ROWHOUSE_KERNELS");
    run_writer_release(&writer);
}

static void test_floats(void **state)
{
    static float value[N];

    (void)state;
    for (uint32_t i = 0; i < N; i++)
        value[i] = (float)(i % 5);
    must_be_floats(value, N, RUN_STEPS, 1);
    for (uint32_t i = 0; i < N; i++)
        value[i] = -30000 + (float)(i * 21 % 60000);
    must_be_floats(value, N, RUN_STEPS, 2);
    for (uint32_t i = 0; i < N; i++)
        value[i] = i % 2 ? 0.0f : -0.0f; /* which are not the same */
    must_be_floats(value, N, RUN_TABLE, 1);
    for (uint32_t i = 0; i < N; i++)
        value[i] = 0.5f * (float)(i % 10);
    must_be_floats(value, N, RUN_TABLE, 1);
    for (uint32_t i = 0; i < N; i++)
        value[i] = (float)(i % 500) / 3;
    must_be_floats(value, N, RUN_TABLE, 2);
    for (uint32_t i = 0; i < N; i++)
        value[i] = (float)i / 3;
    must_be_floats(value, N, RUN_PLAIN, 4);
    for (uint32_t i = 0; i < N; i++)
        value[i] = 16777216.0f - (float)(i % 3) * 65536;
    must_be_floats(value, N, RUN_TABLE, 1);
    for (uint32_t i = 0; i < N; i++)
        value[i] = 0.1f;
    must_be_floats(value, N, RUN_TABLE, 0);
    must_be_floats(value, 0, RUN_PLAIN, 4);
}

/* --- kernels ------------------------------------------------------------------- */

static void test_what_is_not_finite_is_found(void **state)
{
    static float value[N];

    (void)state;
    for (int level = 0; level < 3; level++) {
        setenv("ROWHOUSE_KERNELS", levels[level], 1);
        for (uint32_t i = 0; i < N; i += 331) {
            memset(value, 0, sizeof value);
            value[0] = 3.4e38f;
            assert_false(packed_kernels()->not_finite(value, N, false));
            value[i] = INFINITY;
            assert_true(packed_kernels()->not_finite(value, N, false));
            assert_true(packed_kernels()->not_finite(value, N, true));
            value[i] = -NAN;
            assert_true(packed_kernels()->not_finite(value, N, false));
            assert_false(packed_kernels()->not_finite(value, N, true));
        }
    }
    unsetenv("ROWHOUSE_KERNELS");
}

/* --- what is refused ----------------------------------------------------------- */

struct forged {
    uint32_t at, bytes;
    uint64_t value;
};

/* A run with one number changed must not be believed. */
static void must_refuse(enum run_kind kind, uint32_t n, const struct run_writer *writer,
                        struct forged forged)
{
    unsigned char *bytes = aligned_alloc(8, (writer->used + 7) / 8 * 8);
    struct run run;

    assert_non_null(bytes);
    memcpy(bytes, writer->bytes, writer->used);
    memcpy(bytes + forged.at, &forged.value, forged.bytes);
    if (!run_parse(bytes, writer->used, kind, n, &run))
        fail_msg("%llu at %u", (unsigned long long)forged.value, forged.at);
    free(bytes);
}

static void test_integers_are_not_believed(void **state)
{
    static const struct forged forged[] = {
        {0, 1, RUN_PLAIN},  {0, 1, 3},  {1, 1, 3},
        {1, 1, 8},          {2, 1, 1},  {4, 4, N + 1},
        {4, 4, 0xFFFFFFFF}, {16, 8, 0}, {16, 8, 1ull << 32},
    };
    static uint64_t value[N];
    struct run_writer writer = {0};
    struct run run;
    struct err err;

    (void)state;
    for (uint64_t i = 0; i < N; i++)
        value[i] = two_bytes(i);
    assert_int_equal(run_put_integers(&writer, value, N, &err), 0);
    for (size_t i = 0; i < sizeof forged / sizeof *forged; i++)
        must_refuse(RUN_INTEGERS, N, &writer, forged[i]);
    assert_non_null(run_parse(writer.bytes, writer.used - 8, RUN_INTEGERS, N, &run));
    assert_non_null(run_parse(writer.bytes, 16, RUN_INTEGERS, N, &run));
    assert_non_null(run_parse(writer.bytes, writer.used, RUN_BYTES, N, &run));
    assert_non_null(run_parse(writer.bytes, writer.used, RUN_INTEGERS, N - 1, &run));
    run_writer_release(&writer);
}

/* No place of a value may be behind the end of its table: not the last one's either. */
static void test_tables_are_not_believed(void **state)
{
    static const uint32_t different[] = {200, 700};
    static uint64_t value[N];

    (void)state;
    for (int t = 0; t < 2; t++) {
        struct run_writer writer = {0};
        struct run run;
        struct err err;
        uint32_t table;

        for (uint64_t i = 0; i < N; i++)
            value[i] = rng_at(1, 1, i % different[t]);
        assert_int_equal(run_put_integers(&writer, value, N, &err), 0);
        run = must_parse(&writer, RUN_INTEGERS, N);
        table = RUN_HEADER_BYTES + different[t] * 8;
        for (uint32_t i = 0; i < N; i += N - 1)
            must_refuse(
                RUN_INTEGERS, N, &writer,
                (struct forged){table + i * run.width, run.width, different[t]});
        must_refuse(RUN_INTEGERS, N, &writer, (struct forged){8, 8, 0});
        must_refuse(RUN_INTEGERS, N, &writer, (struct forged){8, 8, 65537});
        must_refuse(RUN_INTEGERS, N, &writer, (struct forged){16, 8, 1});
        must_refuse(RUN_INTEGERS, N, &writer, (struct forged){1, 1, 4});
        run_writer_release(&writer);
    }
}

static void test_floats_are_not_believed(void **state)
{
    static float value[N];
    struct run_writer writer = {0};
    struct err err;

    (void)state;
    for (uint32_t i = 0; i < N; i++)
        value[i] = (float)(i % 5);
    assert_int_equal(run_put_floats(&writer, value, N, &err), 0);
    must_refuse(RUN_FLOATS, N, &writer, (struct forged){8, 8, 1ull << 25});
    must_refuse(RUN_FLOATS, N, &writer, (struct forged){8, 8, 0 - (1ull << 25)});
    must_refuse(RUN_FLOATS, N, &writer, (struct forged){16, 8, 2});
    must_refuse(RUN_FLOATS, N, &writer, (struct forged){1, 1, 4});
    run_writer_release(&writer);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integers),
        cmocka_unit_test(test_floats),
        cmocka_unit_test(test_what_is_not_finite_is_found),
        cmocka_unit_test(test_integers_are_not_believed),
        cmocka_unit_test(test_tables_are_not_believed),
        cmocka_unit_test(test_floats_are_not_believed),
    };

    return cmocka_run_group_tests_name("packed_runs", tests, NULL, NULL);
}

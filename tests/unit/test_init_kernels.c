#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/rng.h"
#include "server/table.h"

/* --- the naive reference --------------------------------------------------------- */

/* Column j as a standard normal value, drawn for the d-th time. */
static double normal_value(const struct table_spec *spec, uint64_t key, uint32_t j,
                           uint64_t d)
{
    uint64_t bits = rng_at(spec->seed, key_hash(spec->id, key),
                           (d << 32) + j / 32 * 16 + j % 16);
    uint32_t high = (uint32_t)(bits >> 32), low = (uint32_t)bits;
    /* The unit is rounded to a float: near 1 that is what decides. */
    double radius = sqrt(-2 * log((double)((float)(high >> 1) + 0.5f) * 0x1p-31));
    double angle = low * 0x1p-31 * M_PI;

    return radius * (j % 32 >= 16 ? sin(angle) : cos(angle));
}

/* In [-1, 1). */
static double uniform_value(const struct table_spec *spec, uint64_t key, uint32_t j)
{
    uint64_t bits = rng_at(spec->seed, key_hash(spec->id, key), j / 32 * 16 + j % 16);

    return (double)((int32_t)(j % 32 >= 16 ? bits : bits >> 32) >> 8) / (1 << 23);
}

/* Column j of a row, from the definition in init_kernels.h, in double precision and
 * with the mathematical library. */
static double first_value(const struct table_spec *spec, uint64_t key, uint32_t j)
{
    double scale = (double)spec->scale, z = INFINITY;

    if (j >= spec->dim)
        return 0;
    switch (spec->init) {
    case INIT_CONSTANT:
        return scale;
    case INIT_UNIFORM:
        return scale * uniform_value(spec, key, j);
    case INIT_XAVIER:
        return sqrt(3.0 / spec->dim) * uniform_value(spec, key, j);
    case INIT_NORMAL:
        return scale * normal_value(spec, key, j, 0);
    case INIT_HE:
        return sqrt(2.0 / spec->dim) * normal_value(spec, key, j, 0);
    case INIT_TRUNCATED_NORMAL:
        for (uint64_t d = 0; fabs(z) > 2; d++)
            z = normal_value(spec, key, j, d);
        return scale * z;
    default:
        return 0;
    }
}

static struct table_spec spec_of(int init, uint32_t dim)
{
    return (struct table_spec){.id = 3,
                               .dim = dim,
                               .width = dim + 2,
                               .init = init,
                               .scale = 0.75f,
                               .seed = 11};
}

static void test_against_reference(void **state)
{
    const uint32_t dims[] = {0, 1, 15, 16, 17, 31, 32, 33, 64, 100};
    float weights[110];

    (void)state;
    for (int init = INIT_ZERO; init <= INIT_HE; init++)
        for (size_t d = 0; d < sizeof dims / sizeof dims[0]; d++) {
            struct table_spec spec = spec_of(init, dims[d]);

            for (uint64_t k = 0; k < 300; k++) {
                uint64_t key = k == 0 ? 0 : k == 1 ? UINT64_MAX : mix64(k);

                for (uint32_t j = 0; j < 110; j++)
                    weights[j] = 9;
                table_first_values(&spec, key, weights);
                for (uint32_t j = 0; j < spec.width; j++)
                    assert_true(fabs((double)weights[j] - first_value(&spec, key, j)) <
                                2e-6);
                assert_true(weights[spec.width] == 9); /* and no further */
            }
        }
}

/* A value depends on seed, table, key and column, and on nothing else. */
static void test_what_values_depend_on(void **state)
{
    struct table_spec spec, other;
    float one[42], two[42], wide[202];

    (void)state;
    for (int init = INIT_TRUNCATED_NORMAL; init >= INIT_NORMAL; init--) {
        spec = spec_of(init, 40);
        table_first_values(&spec, 5, one);
        other = spec_of(init, 200);
        table_first_values(&other, 5, wide);
        assert_memory_equal(one, wide, 40 * sizeof *one);
    }
    table_first_values(&spec, 6, two);
    assert_memory_not_equal(one, two, sizeof one);
    other = spec;
    other.seed++;
    table_first_values(&other, 5, two);
    assert_memory_not_equal(one, two, sizeof one);
    other = spec;
    other.id++;
    table_first_values(&other, 5, two);
    assert_memory_not_equal(one, two, sizeof one);
}

/* Values never change from one version of the program to the next. */
static void test_values_for_ever(void **state)
{
    static const float normal[] = {0x1.980d96p-1f, -0x1.9c9c08p-1f, -0x1.472662p-3f,
                                   0x1.5d074cp-5f};
    static const float uniform[] = {0x1.724acp-6f, -0x1.51cbe4p-1f, -0x1.1760c6p-1f,
                                    0x1.73c18p-1f};
    struct table_spec spec = spec_of(INIT_NORMAL, 32);
    float weights[34];

    (void)state;
    table_first_values(&spec, 1, weights);
    for (int i = 0; i < 4; i++)
        assert_true(weights[i * 9] == normal[i]);
    spec.init = INIT_UNIFORM;
    table_first_values(&spec, 1, weights);
    for (int i = 0; i < 4; i++)
        assert_true(weights[i * 9] == uniform[i]);
}

/* --- the three levels ------------------------------------------------------------ */

static void test_levels_have_equal_bits(void **state)
{
    struct init_rule rule = {
        .scale = 0.1f, .seed = 5, .table = 1, .dim = 77, .width = 80};
    float one[80], two[80];

    (void)state;
    for (rule.kind = INIT_ZERO; rule.kind <= INIT_TRUNCATED_NORMAL; rule.kind++)
        for (uint64_t k = 0; k < 20000; k++) {
            init_row_at(CPU_V2)(&rule, mix64(k), one);
            for (int level = CPU_V3; level <= (int)cpu_level(); level++) {
                init_row_at((enum cpu_level)level)(&rule, mix64(k), two);
                assert_memory_equal(one, two, sizeof one);
            }
        }
}

/* --- statistics ------------------------------------------------------------------ */

enum { ROWS = 15625, DIM = 64, VALUES = ROWS * DIM };

static int compare(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;

    return (x > y) - (x < y);
}

static double normal_share(double x)
{
    return 0.5 * erfc(-x / sqrt(2));
}

static double truncated_share(double x)
{
    assert_true(fabs(x) <= 2);
    return (normal_share(x) - normal_share(-2)) / (normal_share(2) - normal_share(-2));
}

static double uniform_share(double x)
{
    return (x + 1) / 2;
}

static float *million(int init)
{
    struct table_spec spec = {
        .dim = DIM, .width = DIM, .init = init, .scale = 1, .seed = 2024};
    float *values = malloc(VALUES * sizeof *values);

    assert_non_null(values);
    for (uint64_t key = 0; key < ROWS; key++)
        table_first_values(&spec, key, values + key * DIM);
    return values;
}

/* The first, second and fourth moment, and the largest distance between the shares of
 * values below x and what they should be (Kolmogorov and Smirnov): 1.95 / sqrt(n) is
 * passed by one sample in a thousand. */
static void check_distribution(int init, double variance, double fourth,
                               double (*share)(double))
{
    float *values = million(init);
    double sum = 0, square = 0, power = 0, distance = 0;

    for (uint32_t i = 0; i < VALUES; i++) {
        double x = (double)values[i];

        sum += x;
        square += x * x;
        power += x * x * x * x;
    }
    assert_true(fabs(sum / VALUES) < 4 * sqrt(variance / VALUES));
    assert_true(fabs(square / VALUES - variance) <
                4 * sqrt((fourth - variance * variance) / VALUES));
    assert_true(fabs(power / VALUES - fourth) < 0.02 * fourth);
    qsort(values, VALUES, sizeof *values, compare);
    for (uint32_t i = 0; i < VALUES; i++) {
        double apart = fabs(share((double)values[i]) - (i + 0.5) / VALUES);

        if (apart > distance)
            distance = apart;
    }
    assert_true(distance < 1.95 / sqrt(VALUES));
    free(values);
}

static void test_normal_is_normal(void **state)
{
    (void)state;
    check_distribution(INIT_NORMAL, 1, 3, normal_share);
}

/* With p the density and P the share of a normal value: 1 - 4 p(2) / (2 P(2) - 1), and
 * 3 times that less 16 p(2) / (2 P(2) - 1). */
static void test_truncated_ends_at_two(void **state)
{
    (void)state;
    check_distribution(INIT_TRUNCATED_NORMAL, 0.7737413, 1.4161889, truncated_share);
}

static void test_uniform_is_uniform(void **state)
{
    (void)state;
    check_distribution(INIT_UNIFORM, 1 / 3.0, 0.2, uniform_share);
}

/* Columns of a row and rows of a column have nothing to do with each other. */
static void test_no_correlation(void **state)
{
    float *values = million(INIT_NORMAL);
    const uint32_t apart[] = {1, 15, 16, 17, 32, DIM, DIM + 1, 16 * DIM};

    (void)state;
    for (size_t a = 0; a < sizeof apart / sizeof apart[0]; a++) {
        double sum = 0, squares = 0;

        for (uint32_t i = 0; i + apart[a] < VALUES; i++) {
            double x = (double)values[i], y = (double)values[i + apart[a]];

            sum += x * y;
            squares += (x * x - 1) * (y * y - 1);
        }
        assert_true(fabs(sum / VALUES) < 4 / sqrt(VALUES));
        assert_true(fabs(squares / VALUES) < 4 * 2 / sqrt(VALUES));
    }
    free(values);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_against_reference),
        cmocka_unit_test(test_what_values_depend_on),
        cmocka_unit_test(test_values_for_ever),
        cmocka_unit_test(test_levels_have_equal_bits),
        cmocka_unit_test(test_normal_is_normal),
        cmocka_unit_test(test_truncated_ends_at_two),
        cmocka_unit_test(test_uniform_is_uniform),
        cmocka_unit_test(test_no_correlation),
    };

    return cmocka_run_group_tests_name("init_kernels", tests, NULL, NULL);
}

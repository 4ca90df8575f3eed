/* Numbers in text. */
#include "common/number.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/rng.h"

static void expect_float(const char *text)
{
    float value = -77, expected = strtof(text, NULL);
    enum number_found found = number_parse(text, strlen(text), &value);

    if (found != NUMBER_GOOD || memcmp(&value, &expected, sizeof value) != 0)
        fail_msg("%s: %d %.9g", text, (int)found, (double)value);
}

static void test_numbers_are_rounded_correctly(void **state)
{
    static const char *const texts[] = {
        "0",
        "-0",
        "4",
        "+4",
        "3.5",
        "-3.5",
        ".5",
        "5.",
        "-.5",
        "0.1",
        "16777216",
        "16777217",
        "0.3",
        "00012",
        "0.000000",
        "1e3",
        "1E-3",
        "1.5e+10",
        "1e-60",
        "3.4028e38",
        "1e-45",
        "123456789",
        "999999999",
        "16777219e-10",
        "0.000000000000000000000000000000000000000000000000000000001",
        "100000000000000000000000000000000000",
        "1.00000005960464477539062500000000000000000000000000000000001",
        "0.50000002980232238769531249999999999999999999999999999999999"};
    char text[64];

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        expect_float(texts[i]);
    for (uint64_t i = 0; i < 200000; i++) {
        uint64_t digits = rng_at(3, 0, i) >> (24 + rng_below(rng_at(3, 1, i), 40));

        snprintf(text, sizeof text, "%llu.%llu",
                 (unsigned long long)(digits >> rng_below(rng_at(3, 2, i), 30)),
                 (unsigned long long)rng_below(rng_at(3, 3, i), 1000000));
        expect_float(text);
        snprintf(text, sizeof text, "%.*g", 1 + (int)rng_below(rng_at(3, 4, i), 12),
                 rng_unit(rng_at(3, 5, i)));
        expect_float(text);
    }
}

static void test_what_is_no_number(void **state)
{
    static const char *const texts[] = {
        "",     "-",   "+",   ".",     "-.",  "e5",  "1e",   "1e+",  "four",
        "4x",   "4 ",  " 4",  "0x4",   "inf", "nan", "--4",  "4-4",  "1.2.3",
        "1..2", "1,5", "NaN", "4e1.5", "INF", "NA",  "1e5e", "1_000"};
    static const char *const large[] = {"1e39", "-1e39", "3.5e38",
                                        "1e999999999999999999999",
                                        "1000000000000000000000000000000000000000"};
    float value = 7;

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        if (number_parse(texts[i], strlen(texts[i]), &value) != NUMBER_NONE)
            fail_msg("'%s'", texts[i]);
    for (size_t i = 0; i < sizeof large / sizeof *large; i++)
        if (number_parse(large[i], strlen(large[i]), &value) != NUMBER_TOO_LARGE)
            fail_msg("'%s'", large[i]);
    assert_true(value == 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers_are_rounded_correctly),
        cmocka_unit_test(test_what_is_no_number),
    };

    return cmocka_run_group_tests_name("number", tests, NULL, NULL);
}

/* Which key a text is. */
#include "common/key.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <xxhash.h>

#include <cmocka.h>

#include "common/rng.h"

static void expect_number_key(const char *text, uint64_t key)
{
    if (key_of_text(text, strlen(text)) != key)
        fail_msg("%s", text);
}

static void test_integers_are_keys_as_they_are(void **state)
{
    char text[32];

    (void)state;
    expect_number_key("0", 0);
    expect_number_key("1", 1);
    expect_number_key("9999999999999999999", 9999999999999999999u);
    expect_number_key("18446744073709551615", UINT64_MAX);
    expect_number_key("-1", UINT64_MAX);
    expect_number_key("-9223372036854775808", (uint64_t)1 << 63);
    expect_number_key("-9223372036854775807", ((uint64_t)1 << 63) + 1);
    for (uint64_t i = 0; i < 10000; i++) {
        uint64_t key = rng_at(1, 0, i) >> rng_below(rng_at(1, 1, i), 64);

        snprintf(text, sizeof text, "%llu", (unsigned long long)key);
        expect_number_key(text, key);
        snprintf(text, sizeof text, "%lld", (long long)key);
        expect_number_key(text, key);
    }
}

static void test_other_texts_are_hashed(void **state)
{
    static const char *const texts[] = {
        "",
        "-",
        "+1",
        "007",
        "-0",
        "00",
        "1.0",
        "1 ",
        " 1",
        "1a",
        "a",
        "--1",
        "0x10",
        "Amélie",
        "1e3",
        "-01",
        "٣",
        "²",
        "1,000",
        "1\t",
        "18446744073709551616",
        "99999999999999999999",
        "100000000000000000000",
        "-9223372036854775809",
        "-18446744073709551615",
        "a text that is much longer than any number can be, as titles are"};

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        expect_number_key(texts[i], XXH3_64bits(texts[i], strlen(texts[i])));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_integers_are_keys_as_they_are),
        cmocka_unit_test(test_other_texts_are_hashed),
    };

    return cmocka_run_group_tests_name("key", tests, NULL, NULL);
}

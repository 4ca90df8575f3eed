/* Profiles of columns: what they are, told by values and names. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "common/rng.h"
#include "worker/stream/profile/profile.h"

static void add(struct profile *profile, const char *text)
{
    struct err err;

    assert_int_equal(profile_text(profile, text, strlen(text), &err), 0);
}

/* --- what a column is ---------------------------------------------------------- */

typedef void writer(uint64_t i, char text[64]);

static void small_whole(uint64_t i, char text[64])
{
    snprintf(text, 64, "%d", (int)(i % 5) + 1);
}

static void large_whole(uint64_t i, char text[64])
{
    snprintf(text, 64, "%d", (int)(rng_at(1, 1, i) % 5000));
}

static void fraction(uint64_t i, char text[64])
{
    snprintf(text, 64, "%.2f", (double)(i % 1000) / 7);
}

static void second(uint64_t i, char text[64])
{
    snprintf(text, 64, "%llu", 1700000000ull + i * 977);
}

static void millisecond(uint64_t i, char text[64])
{
    snprintf(text, 64, "%llu", 1700000000000ull + i * 977);
}

static void date(uint64_t i, char text[64])
{
    snprintf(text, 64, "2024-05-%02dT12:30:%02dZ", (int)(i % 28) + 1, (int)(i % 60));
}

static void name(uint64_t i, char text[64])
{
    snprintf(text, 64, "customer_%d", (int)(rng_at(1, 1, i) % 700));
}

static void genres(uint64_t i, char text[64])
{
    snprintf(text, 64, i % 3 ? "Drama|Comedy" : i % 2 ? "War" : "Drama|War|Noir");
}

static void sentence(uint64_t i, char text[64])
{
    snprintf(text, 64, "The Film, Part %d (a sequel)", (int)(i % 900));
}

static void country(uint64_t i, char text[64])
{
    snprintf(text, 64, "%s", i % 3 ? "United States" : "France");
}

static void nothing(uint64_t i, char text[64])
{
    snprintf(text, 64, "%s", i % 2 ? "" : "NULL");
}

static const struct {
    writer *write;
    const char *name;
    enum profile_kind kind;
} columns[] = {
    {small_whole, "rating", PROFILE_INTEGER},
    {small_whole, "3", PROFILE_INTEGER},
    {small_whole, "userId", PROFILE_KEY},
    {large_whole, "itemid", PROFILE_KEY},
    {large_whole, "1", PROFILE_KEY},
    {large_whole, "price", PROFILE_INTEGER},
    {fraction, "price", PROFILE_NUMBER},
    {second, "timestamp", PROFILE_TIME},
    {second, "4", PROFILE_TIME},
    {second, "userId", PROFILE_KEY},
    {millisecond, "created_at", PROFILE_TIME},
    {date, "when", PROFILE_TIME},
    {name, "who", PROFILE_KEY},
    {genres, "genres", PROFILE_KEYS},
    {sentence, "title", PROFILE_TEXT},
    {country, "country", PROFILE_KEY},
    {nothing, "nothing", PROFILE_NOTHING},
};

static void test_columns_are_told(void **state)
{
    (void)state;
    for (size_t c = 0; c < sizeof columns / sizeof *columns; c++) {
        struct profile profile;
        struct err err;
        char text[64];

        assert_int_equal(profile_create(&profile, &err), 0);
        for (uint64_t i = 0; i < 3000; i++) {
            columns[c].write(i, text);
            add(&profile, text);
        }
        if (profile_guess(&profile, columns[c].name) != columns[c].kind)
            fail_msg("column %zu, %s, is a %d", c, columns[c].name,
                     profile_guess(&profile, columns[c].name));
        profile_release(&profile);
    }
}

static void test_times_have_units(void **state)
{
    static const struct {
        writer *write;
        const char *format;
    } times[] = {{second, "seconds"}, {millisecond, "milliseconds"}, {date, "iso"}};
    char text[64];

    (void)state;
    for (int t = 0; t < 3; t++) {
        struct profile profile;
        struct err err;

        assert_int_equal(profile_create(&profile, &err), 0);
        for (uint64_t i = 0; i < 100; i++) {
            times[t].write(i, text);
            add(&profile, text);
        }
        assert_string_equal(profile_time_format(&profile), times[t].format);
        profile_release(&profile);
    }
}

/* --- values -------------------------------------------------------------------- */

static void test_numbers_are_read_as_they_are(void **state)
{
    static const struct {
        const char *text;
        double value;
        bool number, whole;
    } texts[] = {
        {"0", 0, true, true},
        {"-17", -17, true, true},
        {"3.5", 3.5, true, false},
        {".25", 0.25, true, false},
        {"0.1", 0.1, true, false},
        {"123456789012345", 123456789012345, true, true},
        {"1234567890123456789", 1234567890123456768.0, true, true},
        {"1e-3", 1e-3, true, false},
        {"-", 0, false, false},
        {".", 0, false, false},
        {"1.2.3", 0, false, false},
        {"12a", 0, false, false},
        {"0x10", 0, false, false},
        {"12345678901234567890123456789012345678901234567890", 0, false, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct profile profile;
        struct err err;

        assert_int_equal(profile_create(&profile, &err), 0);
        add(&profile, texts[i].text);
        assert_int_equal(profile.numbers, texts[i].number);
        assert_int_equal(profile.integers, texts[i].whole);
        if (texts[i].number)
            assert_true(profile.moments.mean == texts[i].value);
        profile_release(&profile);
    }
}

static void test_missing_values_are_counted(void **state)
{
    static const char *const missing[] = {"", "NA", "n/a", "null", "NaN", "?", "\\N"};
    struct profile profile;
    struct err err;

    (void)state;
    assert_int_equal(profile_create(&profile, &err), 0);
    for (size_t i = 0; i < sizeof missing / sizeof *missing; i++)
        add(&profile, missing[i]);
    add(&profile, "7");
    add(&profile, "-");
    assert_int_equal(profile.missing, sizeof missing / sizeof *missing);
    assert_int_equal(profile.n, profile.missing + 2);
    assert_true(profile_distinct(&profile) == 2);
    profile_release(&profile);
}

static void test_parts_are_counted(void **state)
{
    struct profile profile;
    struct frequent_key top[2];
    struct err err;

    (void)state;
    assert_int_equal(profile_create(&profile, &err), 0);
    for (int i = 0; i < 100; i++)
        add(&profile, i % 2 ? "a|b" : "b|c|d");
    assert_int_equal(profile.separator, '|');
    assert_int_equal(profile.listed, 100);
    assert_int_equal(frequent_list(&profile.frequent_parts, top, 2, &err), 2);
    assert_int_equal(top[0].count, 100);
    assert_memory_equal(top[0].text, "b", 1);
    assert_in_range((int)(distinct_estimate(&profile.parts) + 0.5), 4, 4);
    profile_release(&profile);
}

/* Values of known kinds end in the same places. */
static void test_typed_values(void **state)
{
    struct profile profile;
    struct err err;

    (void)state;
    assert_int_equal(profile_create(&profile, &err), 0);
    assert_int_equal(profile_key(&profile, UINT64_MAX, &err), 0);
    assert_int_equal(profile_number(&profile, 2.5, &err), 0);
    assert_int_equal(profile_number(&profile, 3, &err), 0);
    assert_int_equal(profile_time(&profile, 1700000000000000, &err), 0);
    profile_missing(&profile);
    assert_int_equal(profile.n, 5);
    assert_int_equal(profile.missing, 1);
    assert_int_equal(profile.numbers, 2);
    assert_int_equal(profile.integers, 1);
    assert_true(profile.moments.max == 1.7e9);
    assert_true(profile_distinct(&profile) == 4);
    profile_release(&profile);
}

static void test_names_have_words(void **state)
{
    (void)state;
    assert_true(profile_name_has("UserId", "user|item"));
    assert_true(profile_name_has("theItem", "user|item"));
    assert_true(profile_name_has("movieID", "id$"));
    assert_false(profile_name_has("identity", "id$"));
    assert_false(profile_name_has("", "user"));
    assert_false(profile_name_has("use", "user"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_columns_are_told),
        cmocka_unit_test(test_times_have_units),
        cmocka_unit_test(test_numbers_are_read_as_they_are),
        cmocka_unit_test(test_missing_values_are_counted),
        cmocka_unit_test(test_parts_are_counted),
        cmocka_unit_test(test_typed_values),
        cmocka_unit_test(test_names_have_words),
    };

    return cmocka_run_group_tests_name("profile", tests, NULL, NULL);
}

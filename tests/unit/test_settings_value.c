/* Values of settings: from text, to text, and the sentence about a wrong one. */
#include "common/settings_value.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/unit/house.h"

static struct house init(void)
{
    struct house house;

    memset(&house, 0, sizeof house);
    settings_init(&set, &house);
    return house;
}

static void sets(struct house *house, const char *name, const char *value)
{
    struct err err = {0, ""};
    int rc = settings_set(&set, house, name, value, "here", &err);

    assert_string_equal(err.text, "");
    assert_int_equal(rc, 0);
}

/* Wrong input: the sentence is as given and the object as before. */
static void refuses(const char *name, const char *value, const char *sentence)
{
    struct house house = init(), before = house;
    struct err err = {0, ""};

    assert_int_equal(settings_set(&set, &house, name, value, "f line 3", &err),
                     -ERR_INPUT);
    assert_string_equal(err.text, sentence);
    assert_memory_equal(&house, &before, sizeof house);
}

static const struct setting *row_named(const char *name)
{
    for (size_t i = 0; i < set.rows; i++) {
        if (!strcmp(rows[i].name, name))
            return &rows[i];
    }
    return NULL;
}

/* Sets a value and compares the canonical text, which must read back as the same. */
static void prints(const char *name, const char *value, const char *canonical)
{
    struct house house = init(), again = init();
    char text[SETTING_VALUE_MAX];

    sets(&house, name, value);
    setting_format(row_named(name), &house, text);
    assert_string_equal(text, canonical);
    sets(&again, name, text);
    assert_memory_equal(&house, &again, sizeof house);
}

static void integers(void **state)
{
    static const char *const wrong[] = {
        "",    "many", "1.5", "1e3", " 1",  "1 ",       "0x10",
        "--1", "+",    "-4",  "1 2", "1_0", "10000000", "9999999999999999999"};

    (void)state;
    prints("plan.rooms", "7", "7");
    prints("plan.rooms", "+7", "7");
    prints("plan.rooms", "-3", "-3");
    prints("plan.rooms", "007", "7");
    prints("plan.rooms", "1000000", "1000000");
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char sentence[200];

        snprintf(sentence, sizeof sentence,
                 "f line 3: plan.rooms is '%s', expected a whole number from -3 to "
                 "1000000",
                 wrong[i]);
        refuses("plan.rooms", wrong[i], sentence);
    }
}

static void reals(void **state)
{
    static const char *const wrong[] = {
        "",    "x", "nan", "inf", "0x1p3", "1e999", "10.01", "-0.1",
        "1,5", ".", "e5",  "1e",  " 1",    "none",  "-inf",  "1 "};

    (void)state;
    prints("plan.height", "1.5", "1.5");
    prints("plan.height", "0.1", "0.1");
    prints("plan.height", ".5", "0.5");
    prints("plan.height", "5.", "5");
    prints("plan.height", "1e-3", "0.001");
    prints("plan.height", "-0", "0");
    prints("plan.height", "+1E+0", "1");
    prints("plan.area", "5e-324", "4.94065645841247e-324");
    prints("plan.slope", "none", "none");
    prints("plan.slope", "-0.25", "-0.25");
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char sentence[200];

        snprintf(sentence, sizeof sentence,
                 "f line 3: plan.height is '%s', expected a number from 0 to 10",
                 wrong[i]);
        refuses("plan.height", wrong[i], sentence);
    }
    refuses("plan.slope", "2",
            "f line 3: plan.slope is '2', expected none or a number from -1 to 1");
}

/* Any double survives the way to text and back. */
static void reals_come_back_exactly(void **state)
{
    uint64_t random = 88172645463325252u;

    (void)state;
    for (int i = 0; i < 20000; i++) {
        struct house house = init();
        char text[SETTING_VALUE_MAX];
        double value;

        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        memcpy(&value, &random, sizeof value);
        value = fabs(value);
        if (!(value <= 1e300))
            continue;
        house.area = value;
        setting_format(row_named("plan.area"), &house, text);
        sets(&house, "plan.area", text);
        assert_true(house.area == value);
    }
}

static void booleans(void **state)
{
    (void)state;
    prints("plan.garden", "true", "true");
    prints("plan.garden", "false", "false");
    prints("plan.garden", "yes", "true");
    prints("plan.garden", "no", "false");
    prints("plan.garden", "on", "true");
    prints("plan.garden", "off", "false");
    refuses("plan.garden", "1", "f line 3: plan.garden is '1', expected true or false");
    refuses("plan.garden", "", "f line 3: plan.garden is '', expected true or false");
    refuses("plan.garden", "false|true",
            "f line 3: plan.garden is 'false|true', expected true or false");
}

static void texts(void **state)
{
    (void)state;
    prints("owner", "", "");
    prints("owner", "J\xc3\xb6rg = 1", "J\xc3\xb6rg = 1");
    prints("owner", "eleven byte", "eleven byte");
    refuses(
        "owner", "twelve bytes",
        "f line 3: owner is 'twelve bytes', expected a printable text of at most 11 "
        "bytes");
    refuses("owner",
            "a\x01"
            "b",
            "f line 3: owner is 'a?b', expected a printable text of at most 11 bytes");
    refuses(
        "owner", "a\nb",
        "f line 3: owner is '[a, b]', expected a printable text of at most 11 bytes");
    refuses("owner", "a\n",
            "f line 3: owner is '[a]', expected a printable text of at most 11 bytes");
    refuses("owner", "\xff",
            "f line 3: owner is '?', expected a printable text of at most 11 bytes");
    prints("plan.street", "side", "side");
    refuses("plan.street", "north",
            "f line 3: plan.street is 'north', expected main or side");
}

static void printable_is_utf8_without_controls(void **state)
{
    static const char *const good[] = {"",
                                       "a b",
                                       "\xc3\xa9",
                                       "\xe0\xa0\x80",
                                       "\xed\x9f\xbf",
                                       "\xef\xbf\xbd",
                                       "\xf0\x90\x80\x80",
                                       "\xf4\x8f\xbf\xbf"};
    static const char *const bad[] = {
        "\x01",         "\x7f",         "\x80",
        "\xc0\x80",     "\xc1\xbf",     "\xc2",
        "\xc2\x85",     "\xc3(",        "\xe0\x9f\xbf",
        "\xe2\x82",     "\xed\xa0\x80", "\xf0\x8f\xbf\xbf",
        "\xf0\x90\x80", "\xf5",         "\xf4\x90\x80\x80",
        "\xff"};

    (void)state;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_true(setting_printable(good[i]));
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_false(setting_printable(bad[i]));
}

static void choices(void **state)
{
    (void)state;
    prints("plan.roof", "flat", "flat");
    prints("plan.roof", "hip", "hip");
    refuses("plan.roof", "none",
            "f line 3: plan.roof is 'none', expected flat, gable or hip");
    refuses("plan.roof", "", "f line 3: plan.roof is '', expected flat, gable or hip");
    refuses("plan.roof", "flat|gable",
            "f line 3: plan.roof is 'flat|gable', expected flat, gable or hip");
    refuses("plan.roof", "Hip",
            "f line 3: plan.roof is 'Hip', expected flat, gable or hip");
}

static void lists(void **state)
{
    struct house house = init();

    (void)state;
    sets(&house, "life.guests", "ann, bob ,cyd");
    assert_string_equal(house.guests, "ann\nbob\ncyd");
    sets(&house, "life.guests", "a,b\n c\n");
    assert_string_equal(house.guests, "a,b\n c");
    prints("life.guests", "", "");
    prints("life.guests", "ann", "ann");
    prints("life.guests", "ann,bob", "ann\tbob");
    prints("life.guests", "ann,bob\n", "ann,bob\t"); /* one item with a comma */
    prints("life.guests", " ann\n", " ann\t");
    prints("life.guests", "x{1,2},y}", "x{1,2}\ty}");
    prints("life.guests", "{{a,b},c},d", "{{a,b},c}\td");
    prints("life.guests", "twenty-three bytes long", "twenty-three bytes long");
}

static void lists_refused(void **state)
{
    static const char *const wrong[] = {"a,,b", "a,", ",",
                                        " ",    ",a", "twenty-four bytes long!!"};

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char sentence[200];

        snprintf(
            sentence, sizeof sentence,
            "f line 3: life.guests is '%s', expected a list such as [a, b] without "
            "empty items, at most 23 bytes",
            wrong[i]);
        refuses("life.guests", wrong[i], sentence);
    }
    refuses(
        "life.guests", "a\n\nb",
        "f line 3: life.guests is '[a, , b]', expected a list such as [a, b] without "
        "empty items, at most 23 bytes");
    refuses("life.guests", "a\x02",
            "f line 3: life.guests is 'a?', expected a list such as [a, b] without "
            "empty items, at most 23 bytes");
}

static void bytes(void **state)
{
    static const char *const wrong[] = {"",     "GiB", "4 gib",  "4  GiB",
                                        "4G",   "-1",  "0",      "2 TiB",
                                        "1e20", "nan", "4 GiB ", "0.4"};

    (void)state;
    prints("life.water", "4 GiB", "4 GiB");
    prints("life.water", "4GiB", "4 GiB");
    prints("life.water", "512 MiB", "512 MiB");
    prints("life.water", "1024 MiB", "1 GiB");
    prints("life.water", "1e9", "1000000000");
    prints("life.water", "1 GB", "1000000000");
    prints("life.water", "2 MB", "2000000");
    prints("life.water", "3 kB", "3000");
    prints("life.water", "1.5 KiB", "1536");
    prints("life.water", "2048", "2 KiB");
    prints("life.water", "1 TiB", "1 TiB");
    prints("life.water", "7 B", "7");
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char sentence[200];

        snprintf(
            sentence, sizeof sentence,
            "f line 3: life.water is '%s', expected a size such as 512 MiB, from 1 "
            "to 1 TiB",
            wrong[i]);
        refuses("life.water", wrong[i], sentence);
    }
}

static void times(void **state)
{
    static const char *const wrong[] = {"",    "soon", "0",    "99 ms", "2 d",
                                        "-1s", "25 h", "1  s", "1 S"};

    (void)state;
    prints("life.rest", "30", "30 s");
    prints("life.rest", "30 s", "30 s");
    prints("life.rest", "0.25s", "0.25 s");
    prints("life.rest", "100 ms", "0.1 s");
    prints("life.rest", "5 min", "300 s");
    prints("life.rest", "24 h", "86400 s");
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char sentence[200];

        snprintf(sentence, sizeof sentence,
                 "f line 3: life.rest is '%s', expected a time such as 30 s or 5 min, "
                 "from 0.1 s to 86400 s",
                 wrong[i]);
        refuses("life.rest", wrong[i], sentence);
    }
}

static void every(void **state)
{
    static const char *const wrong[] = {
        "",      "3",      "epoch",          "0.5 epoch", "-1 epochs",
        "0.5 s", "1001 s", "2000000 epochs", "1 day",     "0 s"};
    struct house house = init();

    (void)state;
    prints("life.paint", "1 epoch", "1 epoch");
    prints("life.paint", "3 epochs", "3 epochs");
    prints("life.paint", "30 s", "30 s");
    prints("life.paint", "5 min", "300 s");
    prints("life.paint", "0", "0");
    prints("life.paint", "0 epochs", "0");
    sets(&house, "life.paint", "5 min");
    assert_true(house.paint == 300);
    assert_int_equal(house.paint_unit, SETTING_EVERY_SECOND);
    sets(&house, "life.paint", "0");
    assert_true(house.paint == 0);
    assert_int_equal(house.paint_unit, SETTING_EVERY_EPOCH);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char sentence[200];

        snprintf(
            sentence, sizeof sentence,
            "f line 3: life.paint is '%s', expected 1 epoch, 3 epochs, 30 s, 5 min "
            "or the like (0, 1 to 1000000 epochs, or 1 s to 1000 s)",
            wrong[i]);
        refuses("life.paint", wrong[i], sentence);
    }
}

static void networks(void **state)
{
    static const char *const wrong[] = {"10.0.0.0",     "10.0.0.0/33",  "10.0.0/8",
                                        "/8",           "10.0.0.0/",    "10.0.0.0/08",
                                        "10.0.0.256/8", "10.0.0.0/8 ",  "::1/128",
                                        "host/8",       "10.0.0.0/100", "10.0.0.0/-1"};

    (void)state;
    prints("life.network", "", "");
    prints("life.network", "127.0.0.0/8", "127.0.0.0/8");
    prints("life.network", "0.0.0.0/0", "0.0.0.0/0");
    prints("life.network", "192.168.100.200/32", "192.168.100.200/32");
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char sentence[200];

        snprintf(sentence, sizeof sentence,
                 "f line 3: life.network is '%s', expected an IPv4 network such as "
                 "10.0.0.0/8, or nothing",
                 wrong[i]);
        refuses("life.network", wrong[i], sentence);
    }
}

static void paths(void **state)
{
    (void)state;
    prints("life.keys", "", "");
    prints("life.keys", "a b/\xff=,c", "a b/\xff=,c");
    refuses("life.keys", "sixteen bytes ..",
            "f line 3: life.keys is 'sixteen bytes ..', expected a path of at most 15 "
            "bytes");
    refuses("life.keys", "a\tb",
            "f line 3: life.keys is '[a, b]', expected a path of at most 15 bytes");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(integers),
        cmocka_unit_test(reals),
        cmocka_unit_test(reals_come_back_exactly),
        cmocka_unit_test(booleans),
        cmocka_unit_test(texts),
        cmocka_unit_test(printable_is_utf8_without_controls),
        cmocka_unit_test(choices),
        cmocka_unit_test(lists),
        cmocka_unit_test(lists_refused),
        cmocka_unit_test(bytes),
        cmocka_unit_test(times),
        cmocka_unit_test(every),
        cmocka_unit_test(networks),
        cmocka_unit_test(paths),
    };

    return cmocka_run_group_tests_name("settings_value", tests, NULL, NULL);
}

/* The engine of settings, on a small table of its own. */
#include "common/settings.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/settings_value.h"

struct shelf {
    char name[16];
    int64_t width;
    int colour;
};

struct house {
    int64_t rooms;
    double height, area, slope;
    bool garden;
    char owner[12];
    char street[8];
    int roof;
    char guests[24];
    int64_t water;
    double rest;
    double paint;
    int paint_unit;
    char network[20];
    char keys[16];
    struct shelf shelf[3];
    int shelves;
    struct shelf old[2];
    int olds;
};

#define AT(field)                                                                        \
    .offset = offsetof(struct house, field), .size = sizeof(((struct house *)0)->field)
#define IN(field)                                                                        \
    .offset = offsetof(struct shelf, field), .size = sizeof(((struct shelf *)0)->field)

static const struct setting rows[] = {
    {"owner", SETTING_TEXT, AT(owner), .preset = "nobody", .doc = "Who."},
    {"plan.rooms", SETTING_INTEGER, AT(rooms), .min = -3, .max = 1e6, .preset = "4",
     .unit = "rooms", .doc = "How many."},
    {"plan.height", SETTING_REAL, AT(height), .min = 0, .max = 10, .preset = "2.5",
     .doc = "How high."},
    {"plan.area", SETTING_REAL, AT(area), .min = 0, .max = 1e300, .preset = "0",
     .doc = "How large."},
    {"plan.slope", SETTING_REAL, AT(slope), .min = -1, .max = 1, .preset = "none",
     .doc = "How steep."},
    {"plan.garden", SETTING_BOOLEAN, AT(garden), .preset = "true", .doc = "Green | grey."},
    {"plan.street", SETTING_TEXT, AT(street), .choices = "main|side", .preset = "main",
     .doc = "Where."},
    {"plan.roof", SETTING_CHOICE, AT(roof), .choices = "flat|gable|hip",
     .preset = "gable", .doc = "Above."},
    {"life.guests", SETTING_LIST, AT(guests), .unit = "names", .may_change = true,
     .doc = "Who comes."},
    {"life.water", SETTING_BYTES, AT(water), .min = 1, .max = 1099511627776.0,
     .preset = "1 KiB", .doc = "How wet."},
    {"life.rest", SETTING_SECONDS, AT(rest), .min = 0.1, .max = 86400, .preset = "30 s",
     .doc = "How long."},
    {"life.paint", SETTING_EVERY, AT(paint),
     .unit_offset = offsetof(struct house, paint_unit), .min = 1, .max = 1000,
     .preset = "1 epoch", .doc = "How often."},
    {"life.network", SETTING_CIDR, AT(network), .doc = "Who can call."},
    {"life.keys", SETTING_PATH, AT(keys), .doc = "Under the mat."},
    {"shelves.*.width", SETTING_INTEGER, IN(width), .min = 1, .max = 9, .preset = "2",
     .doc = "How wide."},
    {"shelves.*.colour", SETTING_CHOICE, IN(colour), .choices = "red|blue",
     .preset = "blue", .doc = "How loud."},
    {"life.old.*.width", SETTING_INTEGER, IN(width), .min = 1, .max = 9, .preset = "3",
     .doc = "How wide once."},
};

static const struct settings_group groups[] = {
    {"shelves.", "shelf", offsetof(struct house, shelf), sizeof(struct shelf),
     offsetof(struct house, shelves), 3, 16, true, true},
    {"life.old.", "relic", offsetof(struct house, old), sizeof(struct shelf),
     offsetof(struct house, olds), 2, 16, false, false},
};

static const struct settings_section sections[] = {
    {"", "The house."}, {"plan", "On paper."}, {"life", "Inside."}, {"shelves", "Books."}};

static const struct settings set = {rows,     sizeof rows / sizeof *rows,
                                    groups,   sizeof groups / sizeof *groups,
                                    sections, sizeof sections / sizeof *sections};

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
    assert_int_equal(house.shelves, before.shelves);
    memcpy(house.shelf, before.shelf, sizeof house.shelf);
    memcpy(house.old, before.old, sizeof house.old);
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

static void defaults_are_in_place(void **state)
{
    struct house house = init();

    (void)state;
    assert_string_equal(house.owner, "nobody");
    assert_int_equal(house.rooms, 4);
    assert_true(house.height == 2.5);
    assert_true(isnan(house.slope));
    assert_true(house.garden);
    assert_string_equal(house.street, "main");
    assert_int_equal(house.roof, 1);
    assert_string_equal(house.guests, "");
    assert_int_equal(house.water, 1024);
    assert_true(house.rest == 30);
    assert_true(house.paint == 1);
    assert_int_equal(house.paint_unit, SETTING_EVERY_EPOCH);
    assert_int_equal(house.shelves, 0);
}

static void integers(void **state)
{
    static const char *const wrong[] = {"",    "many", "1.5",      "1e3",  " 1",
                                        "1 ",  "0x10", "--1",      "+",    "-4",
                                        "1 2", "1_0",  "10000000", "9999999999999999999"};

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
    static const char *const wrong[] = {"",      "x",    "nan",  "inf", "0x1p3", "1e999",
                                        "10.01", "-0.1", "1,5",  ".",   "e5",    "1e",
                                        " 1",    "none", "-inf", "1 "};

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
    refuses("plan.garden", "1",
            "f line 3: plan.garden is '1', expected true or false");
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
    refuses("owner", "twelve bytes",
            "f line 3: owner is 'twelve bytes', expected a printable text of at most 11 "
            "bytes");
    refuses("owner", "a\x01"
                     "b",
            "f line 3: owner is 'a?b', expected a printable text of at most 11 bytes");
    refuses("owner", "a\nb",
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
        "\x01",         "\x7f",     "\x80",             "\xc0\x80",
        "\xc1\xbf",     "\xc2",     "\xc2\x85",         "\xc3(",
        "\xe0\x9f\xbf", "\xe2\x82", "\xed\xa0\x80",     "\xf0\x8f\xbf\xbf",
        "\xf0\x90\x80", "\xf5",     "\xf4\x90\x80\x80", "\xff"};

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
    static const char *const wrong[] = {"a,,b", "a,", ",", " ", ",a",
                                        "twenty-four bytes long!!"};

    (void)state;
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        char sentence[200];

        snprintf(sentence, sizeof sentence,
                 "f line 3: life.guests is '%s', expected a list such as [a, b] without "
                 "empty items, at most 23 bytes",
                 wrong[i]);
        refuses("life.guests", wrong[i], sentence);
    }
    refuses("life.guests", "a\n\nb",
            "f line 3: life.guests is '[a, , b]', expected a list such as [a, b] without "
            "empty items, at most 23 bytes");
    refuses("life.guests", "a\x02",
            "f line 3: life.guests is 'a?', expected a list such as [a, b] without "
            "empty items, at most 23 bytes");
}

static void bytes(void **state)
{
    static const char *const wrong[] = {"",   "GiB",   "4 gib", "4  GiB", "4G", "-1",
                                        "0",  "2 TiB", "1e20",  "nan",    "4 GiB ",
                                        "0.4"};

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

        snprintf(sentence, sizeof sentence,
                 "f line 3: life.water is '%s', expected a size such as 512 MiB, from 1 "
                 "to 1 TiB",
                 wrong[i]);
        refuses("life.water", wrong[i], sentence);
    }
}

static void times(void **state)
{
    static const char *const wrong[] = {"",    "soon", "0",     "99 ms", "2 d",
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
    static const char *const wrong[] = {"",        "3",    "epoch",     "0.5 epoch",
                                        "-1 epochs", "0.5 s", "1001 s", "2000000 epochs",
                                        "1 day",   "0 s"};
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

        snprintf(sentence, sizeof sentence,
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

static void unknown_names_get_the_nearest(void **state)
{
    static const char *const near[][2] = {
        {"plan.room", "plan.rooms"},       /* a letter missing */
        {"plan.roosm", "plan.rooms"},      /* two swapped */
        {"paln.rooms", "plan.rooms"},      /* in the section */
        {"rooms", "plan.rooms"},           /* without section */
        {"room", "plan.rooms"},            /* and misspelt */
        {"life.rooms", "plan.rooms"},      /* another's */
        {"plan.rooms.x", "plan.rooms"},    /* too deep */
        {"ownre", "owner"},
        {"shelves.a.widht", "shelves.a.width"},
        {"shelf.a.b.width", "shelves.a.b.width"},
        {"width", "shelves.NAME.width"},
        {"life.old.a.b.widt", "life.old.a.b.width"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof near / sizeof *near; i++) {
        char sentence[200];

        snprintf(sentence, sizeof sentence,
                 "f line 3: unknown setting '%s'; did you mean '%s'?", near[i][0],
                 near[i][1]);
        refuses(near[i][0], "1", sentence);
    }
    refuses("completely.different", "1",
            "f line 3: unknown setting 'completely.different'");
    refuses("", "1", "f line 3: unknown setting ''");
    refuses("x\x01\xffy", "1", "f line 3: unknown setting 'x??y'");
    refuses("zzz", NULL, "f line 3: unknown setting 'zzz'");
}

static void long_names_and_values_are_cut(void **state)
{
    char name[700], value[700];
    char sentence[1024];

    (void)state;
    memset(name, 'n', sizeof name);
    name[sizeof name - 1] = '\0';
    refuses(name, "1", "f line 3: a name is longer than 511 bytes");
    name[511] = '\0';
    snprintf(sentence, sizeof sentence, "f line 3: unknown setting '%.88s...'", name);
    refuses(name, "1", sentence);
    memset(value, 'v', sizeof value);
    value[sizeof value - 1] = '\0';
    snprintf(sentence, sizeof sentence,
             "f line 3: plan.roof is '%.88s...', expected flat, gable or hip", value);
    refuses("plan.roof", value, sentence);
    for (size_t i = 0; i + 1 < sizeof value; i += 3)
        memcpy(value + i, "\xe2\x82\xac", 3); /* cut between characters */
    snprintf(sentence, sizeof sentence,
             "f line 3: plan.roof is '%.90s...', expected flat, gable or hip", value);
    refuses("plan.roof", value, sentence);
}

static void sections_take_no_value(void **state)
{
    struct house house = init();

    (void)state;
    refuses("plan", "5",
            "f line 3: plan is '5', expected settings below it, such as plan.rooms");
    refuses("shelves", "a\n",
            "f line 3: shelves is '[a]', expected settings below it, such as "
            "shelves.NAME.width");
    refuses("shelves.a", "5",
            "f line 3: shelves.a is '5', expected settings below it, such as "
            "shelves.a.width");
    sets(&house, "plan", NULL);
    sets(&house, "shelves", NULL);
    sets(&house, "life.old", NULL);
    assert_int_equal(house.shelves, 0);
    refuses("plan.rooms", NULL,
            "f line 3: plan.rooms has no value, expected a whole number from -3 to "
            "1000000");
    refuses("shelves.a.width", NULL,
            "f line 3: shelves.a.width has no value, expected a whole number from 1 to 9");
}

static void a_mention_makes_an_element(void **state)
{
    struct house house = init();

    (void)state;
    sets(&house, "shelves.a", NULL);
    sets(&house, "shelves.b.width", "7");
    sets(&house, "shelves.a", NULL);
    sets(&house, "shelves.a.colour", "red");
    assert_int_equal(house.shelves, 2);
    assert_string_equal(house.shelf[0].name, "a");
    assert_int_equal(house.shelf[0].width, 2);
    assert_int_equal(house.shelf[0].colour, 0);
    assert_string_equal(house.shelf[1].name, "b");
    assert_int_equal(house.shelf[1].width, 7);
    assert_int_equal(house.shelf[1].colour, 1);
    /* Between the prefix and the last part, dots belong to the name. */
    sets(&house, "life.old.a.b c.width", "5");
    assert_string_equal(house.old[0].name, "a.b c");
    assert_int_equal(house.old[0].width, 5);
    sets(&house, "life.old.width.width", "6");
    assert_string_equal(house.old[1].name, "width");
}

static void elements_have_limits(void **state)
{
    struct house house = init();
    struct err err;

    (void)state;
    refuses("shelves.a b.width", "1",
            "f line 3: a shelf is named 'a b', expected at most 15 letters, digits, '_' "
            "and '-'");
    refuses("shelves.a.b.width", "1",
            "f line 3: a shelf is named 'a.b', expected at most 15 letters, digits, '_' "
            "and '-'");
    refuses("shelves.a.b", NULL,
            "f line 3: a shelf is named 'a.b', expected at most 15 letters, digits, '_' "
            "and '-'");
    refuses("shelves.", NULL,
            "f line 3: a shelf is named '', expected at most 15 letters, digits, '_' and "
            "'-'");
    refuses("shelves.sixteen-letters_", NULL,
            "f line 3: a shelf is named 'sixteen-letters_', expected at most 15 letters, "
            "digits, '_' and '-'");
    refuses("life.old.\x02.width", "1",
            "f line 3: a relic is named '?', expected at most 15 bytes of printable "
            "text");
    /* A wrong value makes none. */
    refuses("shelves.a.width", "10",
            "f line 3: shelves.a.width is '10', expected a whole number from 1 to 9");
    sets(&house, "shelves.a", NULL);
    sets(&house, "shelves.b", NULL);
    sets(&house, "shelves.c", NULL);
    assert_int_equal(settings_set(&set, &house, "shelves.d", NULL, "here", &err),
                     -ERR_INPUT);
    assert_int_equal(settings_set(&set, &house, "shelves.d.width", "1", "here", &err),
                     -ERR_INPUT);
    assert_int_equal(house.shelves, 3);
    sets(&house, "shelves.c.width", "9");
    sets(&house, "life.old.a", NULL);
    sets(&house, "life.old.b", NULL);
    assert_int_equal(settings_set(&set, &house, "life.old.c", NULL, "here", &err),
                     -ERR_INPUT);
    assert_string_equal(err.text, "here: more than 2 relics");
}

/* Everything at once, among it names and values that need care in a line. */
static struct house furnished(void)
{
    struct house house = init();

    sets(&house, "owner", "a=b\\c");
    sets(&house, "plan.height", "0.1");
    sets(&house, "plan.slope", "-0.3");
    sets(&house, "plan.garden", "false");
    sets(&house, "life.guests", "x,y\n=z\n");
    sets(&house, "life.paint", "90 s");
    sets(&house, "shelves.b.width", "1");
    sets(&house, "shelves.a.width", "3");
    sets(&house, "life.old.k=v\\w.x.width", "4");
    return house;
}

static void lines_come_back_exactly(void **state)
{
    struct house house = furnished(), again;
    struct err err = {0, ""};
    char *lines = settings_to_lines(&set, &house), *twice;

    (void)state;
    assert_non_null(lines);
    assert_non_null(strstr(lines, "owner=a=b\\c\n"));
    assert_non_null(strstr(lines, "\nlife.guests=x,y\t=z\n"));
    assert_non_null(strstr(lines, "\nlife.old.k\\=v\\\\w.x.width=4\n"));
    assert_non_null(strstr(lines, "shelves.b.width=1\nshelves.b.colour=blue\n"
                                  "shelves.a.width=3\n"));
    memset(&again, 0, sizeof again);
    assert_int_equal(settings_from_lines(&set, &again, lines, &err), 0);
    assert_memory_equal(&again, &house, sizeof house);
    twice = settings_to_lines(&set, &again);
    assert_string_equal(twice, lines);
    free(twice);
    free(lines);
}

static void damaged_lines_are_refused(void **state)
{
    struct house house;
    struct err err;
    char text[SETTING_VALUE_MAX + 100];

    (void)state;
    assert_int_equal(settings_from_lines(&set, &house, "", &err), 0);
    assert_int_equal(house.rooms, 4);
    assert_int_equal(settings_from_lines(&set, &house, "plan.rooms=5", &err), 0);
    assert_int_equal(house.rooms, 5);
    assert_int_equal(
        settings_from_lines(&set, &house, "plan.rooms=5\nplan.doors=5\n", &err),
        -ERR_INPUT);
    assert_string_equal(err.text, "settings line 2: unknown setting 'plan.doors'; did "
                                  "you mean 'plan.rooms'?");
    assert_int_equal(settings_from_lines(&set, &house, "plan.rooms=x\n", &err),
                     -ERR_INPUT);
    assert_int_equal(settings_from_lines(&set, &house, "owner=x\nplan\\=\n", &err),
                     -ERR_INPUT);
    assert_string_equal(err.text, "settings line 2: expected 'name=value'");
    assert_int_equal(settings_from_lines(&set, &house, "owner=x\n\n", &err), -ERR_INPUT);
    assert_int_equal(settings_from_lines(&set, &house, "owner\\", &err), -ERR_INPUT);

    memset(text, 'a', sizeof text);
    text[sizeof text - 1] = '\0';
    assert_int_equal(settings_from_lines(&set, &house, text, &err), -ERR_INPUT);
    assert_string_equal(err.text, "settings line 1: a name is longer than 511 bytes");
    text[20] = '=';
    assert_int_equal(settings_from_lines(&set, &house, text, &err), -ERR_INPUT);
    assert_string_equal(err.text, "settings line 1: a value is longer than 8255 bytes");
}

static void continuing(struct house *now, const char *sentence)
{
    struct house before = furnished();
    struct err err = {0, ""};
    int rc = settings_continues(&set, now, &before, &err);

    assert_string_equal(err.text, sentence);
    assert_int_equal(rc, *sentence ? -ERR_INPUT : 0);
}

static void some_settings_may_change(void **state)
{
    struct house now = furnished();

    (void)state;
    continuing(&now, "");
    sets(&now, "life.guests", "eve");
    continuing(&now, "");
    sets(&now, "plan.height", "0.2");
    sets(&now, "life.rest", "1 s"); /* the first one is named */
    continuing(&now, "plan.height is 0.2, the checkpoint was made with 0.1; this cannot "
                     "change on --resume");
    now = furnished();
    sets(&now, "owner", "");
    continuing(&now, "owner is '', the checkpoint was made with a=b\\c; this cannot "
                     "change on --resume");
    now = furnished();
    sets(&now, "shelves.a.colour", "red");
    continuing(&now, "shelves.a.colour is red, the checkpoint was made with blue; this "
                     "cannot change on --resume");
}

static void elements_must_stay(void **state)
{
    struct house now = furnished();

    (void)state;
    sets(&now, "shelves.new", NULL);
    continuing(&now, "shelves.new is new, the checkpoint was made without it; this "
                     "cannot change on --resume");
    now = furnished();
    now.olds = 0;
    continuing(&now, "life.old.k=v\\w.x is missing, the checkpoint was made with it; "
                     "this cannot change on --resume");
    now = furnished();
    now.shelves = 0;
    sets(&now, "shelves.a.width", "3");
    sets(&now, "shelves.b.width", "1");
    continuing(&now, "shelves.a is shelf 1, the checkpoint was made with it as shelf 2; "
                     "this cannot change on --resume");
}

static char *page(bool markdown)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    assert_non_null(out);
    settings_print(&set, out, markdown);
    fclose(out);
    return text;
}

static void pages_show_every_setting(void **state)
{
    char *markdown = page(true), *plain = page(false);

    (void)state;
    for (size_t i = 0; i < set.rows; i++) {
        assert_non_null(strstr(plain, rows[i].doc));
        assert_true(strstr(markdown, rows[i].doc) || strchr(rows[i].doc, '|'));
    }
    assert_int_equal(strncmp(markdown, "<!-- Generated by `make docs`", 29), 0);
    assert_non_null(strstr(markdown, "\n| `plan.rooms` | whole number | `4` | -3 to "
                                     "1000000 | rooms |  | How many. |\n"));
    assert_non_null(strstr(markdown, "\n| `life.guests` | list |  |  | names | yes | Who "
                                     "comes. |\n"));
    assert_non_null(strstr(markdown, "| Green \\| grey. |"));
    assert_non_null(strstr(markdown, "\n## shelves\n\nBooks.\n"));
    assert_non_null(strstr(plain, "\n  shelves.NAME.colour       choice: red or blue; "
                                  "default blue\n"));
    assert_non_null(strstr(plain, "  life.guests               list of names; default "
                                  "empty; may change on --resume\n"));
    for (char *line = strtok(plain, "\n"); line; line = strtok(NULL, "\n"))
        assert_true(strlen(line) <= 100);
    free(markdown);
    free(plain);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_in_place),
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
        cmocka_unit_test(unknown_names_get_the_nearest),
        cmocka_unit_test(long_names_and_values_are_cut),
        cmocka_unit_test(sections_take_no_value),
        cmocka_unit_test(a_mention_makes_an_element),
        cmocka_unit_test(elements_have_limits),
        cmocka_unit_test(lines_come_back_exactly),
        cmocka_unit_test(damaged_lines_are_refused),
        cmocka_unit_test(some_settings_may_change),
        cmocka_unit_test(elements_must_stay),
        cmocka_unit_test(pages_show_every_setting),
    };

    return cmocka_run_group_tests_name("settings", tests, NULL, NULL);
}

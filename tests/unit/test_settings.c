/* The engine of settings: names, groups, lines, resuming, pages. */
#include "common/settings.h"

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
    assert_int_equal(house.shelves, before.shelves);
    memcpy(house.shelf, before.shelf, sizeof house.shelf);
    memcpy(house.old, before.old, sizeof house.old);
    assert_memory_equal(&house, &before, sizeof house);
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

static void unknown_names_get_the_nearest(void **state)
{
    static const char *const near[][2] = {
        {"plan.room", "plan.rooms"},    /* a letter missing */
        {"plan.roosm", "plan.rooms"},   /* two swapped */
        {"paln.rooms", "plan.rooms"},   /* in the section */
        {"rooms", "plan.rooms"},        /* without section */
        {"room", "plan.rooms"},         /* and misspelt */
        {"life.rooms", "plan.rooms"},   /* another's */
        {"plan.rooms.x", "plan.rooms"}, /* too deep */
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
    refuses(
        "shelves.a.width", NULL,
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
    refuses(
        "shelves.a b.width", "1",
        "f line 3: a shelf is named 'a b', expected at most 15 letters, digits, '_' "
        "and '-'");
    refuses(
        "shelves.a.b.width", "1",
        "f line 3: a shelf is named 'a.b', expected at most 15 letters, digits, '_' "
        "and '-'");
    refuses(
        "shelves.a.b", NULL,
        "f line 3: a shelf is named 'a.b', expected at most 15 letters, digits, '_' "
        "and '-'");
    refuses(
        "shelves.", NULL,
        "f line 3: a shelf is named '', expected at most 15 letters, digits, '_' and "
        "'-'");
    refuses(
        "shelves.sixteen-letters_", NULL,
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

/* What an element has no value for is the object's business. */
static void elements_inherit(void **state)
{
    struct house house = init();
    char *lines;

    (void)state;
    assert_int_equal(house.shelf[2].width, 2); /* also before there is one */
    assert_int_equal(house.shelf[2].rooms, SETTING_NO_INTEGER);
    sets(&house, "shelves.a.plan", NULL);
    sets(&house, "shelves.b.plan.rooms", "7");
    sets(&house, "shelves.c.plan.height", "1.5");
    sets(&house, "shelves.c.plan.roof", "flat");
    assert_int_equal(house.shelves, 3);
    assert_string_equal(house.shelf[0].name, "a");
    assert_int_equal(house.shelf[0].rooms, SETTING_NO_INTEGER);
    assert_int_equal(house.shelf[0].roof, SETTING_NO_CHOICE);
    assert_true(isnan(house.shelf[0].height));
    assert_int_equal(house.shelf[1].rooms, 7);
    assert_true(house.shelf[2].height == 1.5);
    assert_int_equal(house.shelf[2].roof, 0);
    lines = settings_to_lines(&set, &house);
    assert_non_null(lines);
    assert_non_null(strstr(lines, "\nshelves.a.width=2\nshelves.a.colour=blue\n"
                                  "shelves.b.width=2\nshelves.b.colour=blue\n"
                                  "shelves.b.plan.rooms=7\nshelves.c.width=2\n"));
    free(lines);
    sets(&house, "shelves.b.plan.rooms", "inherit");
    sets(&house, "shelves.c.plan.height", "inherit");
    sets(&house, "shelves.c.plan.roof", "inherit");
    assert_int_equal(house.shelf[1].rooms, SETTING_NO_INTEGER);
    assert_true(isnan(house.shelf[2].height));
    assert_int_equal(house.shelf[2].roof, SETTING_NO_CHOICE);
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
    assert_int_equal(settings_from_lines(&set, &house, "owner=x\n\n", &err),
                     -ERR_INPUT);
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
    continuing(&now,
               "plan.height is 0.2, the checkpoint was made with 0.1; this cannot "
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
    continuing(&now,
               "shelves.a is shelf 1, the checkpoint was made with it as shelf 2; "
               "this cannot change on --resume");
}

static void what_inherits_has_its_sentences(void **state)
{
    struct house now = furnished();

    (void)state;
    refuses("shelves.a.plan.rooms", "many",
            "f line 3: shelves.a.plan.rooms is 'many', expected inherit or a whole "
            "number from -3 to 1000000");
    refuses("shelves.a.plan.height", "11",
            "f line 3: shelves.a.plan.height is '11', expected inherit or a number "
            "from 0 to 10");
    refuses("shelves.a.plan.roof", "tin",
            "f line 3: shelves.a.plan.roof is 'tin', expected inherit, flat, gable or "
            "hip");
    refuses("plan.rooms", "inherit",
            "f line 3: plan.rooms is 'inherit', expected a whole number from -3 to "
            "1000000");
    refuses("shelves.a.plan", "5",
            "f line 3: shelves.a.plan is '5', expected settings below it, such as "
            "shelves.a.plan.rooms");
    refuses("shelves.a.plan.romos", "5",
            "f line 3: unknown setting 'shelves.a.plan.romos'; did you mean "
            "'shelves.a.plan.rooms'?");
    refuses("shelves.a.plan.width", "5",
            "f line 3: unknown setting 'shelves.a.plan.width'; did you mean "
            "'shelves.a.width'?");
    refuses("shelves.a.plan.cellar", NULL,
            "f line 3: unknown setting 'shelves.a.plan.cellar'");
    sets(&now, "shelves.a.plan.rooms", "4");
    continuing(&now, "shelves.a.plan.rooms is 4, the checkpoint was made with inherit; "
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
    assert_non_null(strstr(markdown, "\n| `shelves.NAME.plan.*` | as `plan.*` | "
                                     "`inherit` | "));
    assert_null(strstr(markdown, "NAME.plan.rooms"));
    assert_non_null(
        strstr(plain, "\n  shelves.NAME.plan.*       the settings plan.* "));
    assert_null(strstr(plain, "NAME.plan.rooms"));
    for (size_t i = 0; i < set.rows; i++) {
        assert_non_null(strstr(plain, rows[i].doc));
        assert_true(strstr(markdown, rows[i].doc) || strchr(rows[i].doc, '|'));
    }
    assert_int_equal(strncmp(markdown, "<!-- Generated by `make docs`", 29), 0);
    assert_non_null(strstr(markdown, "\n| `plan.rooms` | whole number | `4` | -3 to "
                                     "1000000 | rooms |  | How many. |\n"));
    assert_non_null(strstr(markdown,
                           "\n| `life.guests` | list |  |  | names | yes | Who "
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
        cmocka_unit_test(unknown_names_get_the_nearest),
        cmocka_unit_test(long_names_and_values_are_cut),
        cmocka_unit_test(sections_take_no_value),
        cmocka_unit_test(a_mention_makes_an_element),
        cmocka_unit_test(elements_have_limits),
        cmocka_unit_test(elements_inherit),
        cmocka_unit_test(what_inherits_has_its_sentences),
        cmocka_unit_test(lines_come_back_exactly),
        cmocka_unit_test(damaged_lines_are_refused),
        cmocka_unit_test(some_settings_may_change),
        cmocka_unit_test(elements_must_stay),
        cmocka_unit_test(pages_show_every_setting),
    };

    return cmocka_run_group_tests_name("settings", tests, NULL, NULL);
}

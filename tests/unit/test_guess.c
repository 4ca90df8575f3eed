/* Guesses: tables of every layout that logs come in, by their first lines. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <string.h>

#include "worker/stream/packed/packed.h"
#include "worker/stream/profile/guess.h"

static const struct {
    const char *text, *delimiter;
    uint32_t columns;
    bool quotes, header;
} tables[] = {
    {"user\titem\tlabel\n1\t2\t3\n4\t5\t3\n", "\t", 3, false, true},
    {"1::10::5::978300760\n1::20::3::978300761\n", "::", 4, false, false},
    {"1::Toy Story (1995)::Animation|Comedy\n2::Jumanji (1995)::Drama\n", "::", 3,
     false, false},
    {"a,b\n1,2\n3,4\n", ",", 2, false, true},
    {"name,text\n\"x\",\"say \"\"a,b\"\"\"\n\"y\",\"two\nlines, here\"\n", ",", 2, true,
     true},
    {"id;price;kind\n1;2,50;a\n2;13,99;b\n3;1;a\n", ";", 3, false, true},
    {"1|24|M|technician|85711\n2|53|F|other|94043\n", "|", 5, false, false},
    {"196 242 3\n186 302 3\n22 377 1\n", " ", 3, false, false},
    {"196   242\t3\n186 302 3\n22 377 1\n", " ", 3, false, false},
    {"10\n20\n30\n", "\t", 1, false, false},
    {"value\n20\n30\n", "\t", 1, false, true},
    {"1\tLast, First\n2\tOther, One\n", "\t", 2, false, false},
    {"city,country\nParis,France\nRome,Italy\nLyon,France\n", ",", 2, false, true},
    {"Paris,France\nRome,Italy\nLyon,France\n", ",", 2, false, false},
    {"\xef\xbb\xbfuser,item\r\n1,2\r\n3,4\r\n", ",", 2, false, true},
    {"1,2", ",", 2, false, false},
    {",user,rating\n0,7,5\n1,8,4\n", ",", 3, false, true},
    {"Paris,,France\nRome,x,Italy\nLyon,,France\n", ",", 3, false, false},
    {"", "\t", 1, false, false},
    {"\n", "\t", 1, false, false},
};

static void test_tables(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        struct guess g = guess_table(tables[i].text, strlen(tables[i].text), "");

        if (g.format != GUESS_TABLE || strcmp(g.delimiter, tables[i].delimiter) != 0 ||
            g.columns != tables[i].columns || g.quotes != tables[i].quotes ||
            g.header != tables[i].header || g.latin1)
            fail_msg("%s: '%s', %u columns, quotes %d, header %d", tables[i].text,
                     g.delimiter, g.columns, g.quotes, g.header);
    }
}

static void test_names(void **state)
{
    const char text[] = "\xef\xbb\xbfuser,\"the item\",\r\n1,2,3\r\n";
    struct guess guess = guess_table(text, sizeof text - 1, "");
    char name[8];

    (void)state;
    assert_int_equal(guess.columns, 3);
    assert_int_equal(guess_name(&guess, text, sizeof text - 1, 0, name, 8), 4);
    assert_string_equal(name, "user");
    assert_int_equal(guess_name(&guess, text, sizeof text - 1, 1, name, 8), 7);
    assert_string_equal(name, "the ite");
    assert_int_equal(guess_name(&guess, text, sizeof text - 1, 2, name, 8), 0);
    assert_int_equal(guess_name(&guess, text, sizeof text - 1, 3, name, 8), -1);
}

static void expect_name(const char *text, uint32_t column, const char *expected)
{
    struct guess guess = guess_table(text, strlen(text), ",");
    char name[32];

    assert_int_equal(guess_name(&guess, text, strlen(text), column, name, sizeof name),
                     (int)strlen(expected));
    assert_string_equal(name, expected);
}

/* A name is what a reader finds in the header, or it would not find the column. */
static void test_names_are_decoded(void **state)
{
    const char *doubled = "user,\"the \"\"best\"\" item\",\"\"\"\"\n1,2,3\n4,5,6\n";
    const char *latin = "user,f\xfcr,\"\xe9\"\"\xe9\"\n1,2,3\n4,5,6\n";
    const char *lines = "user,\"two\r\nlines\"\r\n1,2\r\n4,5\r\n";
    struct guess guess = guess_table(latin, strlen(latin), ",");
    char name[3];

    (void)state;
    expect_name(doubled, 1, "the \"best\" item");
    expect_name(doubled, 2, "\"");
    expect_name(latin, 1, "f\xc3\xbcr");
    expect_name(latin, 2, "\xc3\xa9\"\xc3\xa9");
    expect_name(lines, 1, "two\nlines");
    /* A letter that does not fit is left out, not cut. */
    assert_int_equal(guess_name(&guess, latin, strlen(latin), 1, name, sizeof name), 1);
    assert_string_equal(name, "f");
}

static void test_what_is_given_is_not_guessed(void **state)
{
    const char text[] = "a\tb|c\nd\te|f\n";

    (void)state;
    assert_int_equal(guess_table(text, sizeof text - 1, "|").columns, 2);
    assert_string_equal(guess_table(text, sizeof text - 1, "|").delimiter, "|");
    assert_int_equal(guess_table(text, sizeof text - 1, ",").columns, 1);
}

static enum guess_format format_of(const char *text)
{
    return guess_table(text, strlen(text), "").format;
}

static void test_what_is_no_table(void **state)
{
    char text[] = "a\tb\n1\t\0\n";

    (void)state;
    assert_int_equal(guess_table(text, sizeof text - 1, "").format, GUESS_NOT_TEXT);
    assert_int_equal(
        guess_table((const char *)packed_magic, PACKED_MAGIC_BYTES, "").format,
        GUESS_PACKED);
    assert_int_equal(guess_table("{\"a\": 1}\n{\"a\": 2}\n", 18, "").format,
                     GUESS_JSON);
    assert_int_equal(format_of("1 3:1 7:0.5\n-1 2:1e-3\n"), GUESS_SPARSE);
    assert_int_equal(format_of("1 0:3:1 1:7:1\n0 0:4:1\n"), GUESS_FIELDS);
    assert_int_equal(format_of("1 3:1\n1 2:3:4\n"), GUESS_TABLE);
    assert_int_equal(format_of("1 3:1 a:b\n"), GUESS_TABLE);
    assert_int_equal(format_of("1 2\n3 4\n"), GUESS_TABLE);
    assert_true(guess_table("a\tcaf\xe9\nb\tc\n", 11, "").latin1);
    assert_false(guess_table("a\tcaf\xc3\xa9\nb\tc\n", 12, "").latin1);
}

/* The beginning of a long file ends somewhere: also within a character. */
static void test_a_long_beginning(void **state)
{
    static char text[GUESS_BYTES];
    struct guess guess;

    (void)state;
    memset(text, 'x', sizeof text);
    for (size_t i = 0; i + 16 <= sizeof text; i += 16)
        memcpy(text + i, "1\t2\t\xc3\xa4\xc3\xa4zzzzzz\n", 15);
    text[sizeof text - 1] = '\xc3';
    guess = guess_table(text, sizeof text, "");
    assert_int_equal(guess.columns, 3);
    assert_false(guess.latin1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tables),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_names_are_decoded),
        cmocka_unit_test(test_what_is_given_is_not_guessed),
        cmocka_unit_test(test_what_is_no_table),
        cmocka_unit_test(test_a_long_beginning),
    };

    return cmocka_run_group_tests_name("guess", tests, NULL, NULL);
}

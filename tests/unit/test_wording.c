/* Pieces of files in sentences. */
#include "common/wording.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void test_words_in_sentences(void **state)
{
    char shown[WORDING_SHOWN_MAX], text[200];

    (void)state;
    assert_string_equal(wording_shown("Amélie\t\r\x7f", shown), "Amélie???");
    assert_string_equal(
        wording_shown("Am\xe9lie \xc2\x9b \xf0\x9f\x98\x80 \xff\x80 \xe2\x82", shown),
        "Am?lie ?? \xf0\x9f\x98\x80 ?? ??");
    for (size_t before = 0; before < 4; before++) { /* never half a character */
        memset(text, 'x', before);
        text[before] = '\0';
        for (int i = 0; i < 30; i++)
            strcat(text, "\u20ac");
        wording_shown(text, shown);
        assert_true(strlen(shown) > 55);
        assert_int_equal((strlen(shown) - before - 3) % 3, 0);
        assert_string_equal(shown + strlen(shown) - 3, "...");
    }
    assert_int_equal(wording_distance("", "abc"), 3);
    assert_int_equal(wording_distance("movieId", "movie_id"), 1);
    assert_int_equal(wording_distance("kitten", "sitting"), 3);
    memset(text, 'x', 199);
    text[199] = '\0';
    assert_true(wording_distance(text, text) > 100);
}

static void counts_are_grouped(void **state)
{
    char text[32];

    (void)state;
    assert_string_equal(wording_grouped(0, text), "0");
    assert_string_equal(wording_grouped(999, text), "999");
    assert_string_equal(wording_grouped(1000, text), "1,000");
    assert_string_equal(wording_grouped(1234567, text), "1,234,567");
    assert_string_equal(wording_grouped(18446744073709551615.0, text),
                        "18,446,744,073,709,551,616");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words_in_sentences),
        cmocka_unit_test(counts_are_grouped),
    };

    return cmocka_run_group_tests_name("wording", tests, NULL, NULL);
}

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "common/key.h"
#include "worker/stream/prepare/words.h"

static struct words words;
static struct err err;

static float count_of(const char *word)
{
    uint64_t key = key_of_text(word, strlen(word));

    for (uint32_t i = 0; i < words.n; i++)
        if (words.key[i] == key)
            return words.count[i];
    return 0;
}

static void find(const char *text)
{
    assert_int_equal(words_find(&words, text, (uint32_t)strlen(text), 1000, &err), 0);
}

static void test_words_are_runs_of_letters_and_digits(void **state)
{
    (void)state;
    find("To be, or not to be: 2001 (a space odyssey)!");
    assert_int_equal(words.n, 8);
    assert_true(count_of("to") == 2 && count_of("be") == 2);
    assert_true(count_of("2001") == 1 && count_of("odyssey") == 1);
    for (uint32_t i = 1; i < words.n; i++)
        assert_true(words.key[i] > words.key[i - 1]);
    find("");
    assert_int_equal(words.n, 0);
    find(" .,- ");
    assert_int_equal(words.n, 0);
}

/* The same word, whatever the case, the width and the way its marks are written. */
static void test_words_have_one_form(void **state)
{
    (void)state;
    find(
        "Am\xc3\xa9lie AM\xc3\x89LIE ame\xcc\x81lie"); /* composed, upper, decomposed */
    assert_int_equal(words.n, 1);
    assert_true(count_of("am\xc3\xa9lie") == 3);
    find("STRASSE Stra\xc3\x9f"
         "e");
    assert_true(words.n == 1 && count_of("strasse") == 2);
    find("\xef\xbc\xa1\xef\xbc\xa2 ab \xef\xac\x81lm film"); /* wide AB, ligature fi */
    assert_true(count_of("ab") == 2 && count_of("film") == 2);
    find("\xce\x9f\xce\x94\xce\x9f\xce\xa3 \xce\xbf\xce\xb4\xce\xbf\xcf\x82");
    assert_int_equal(words.n, 1); /* the final sigma is a sigma */
    find("\xd0\x9c\xd0\x98\xd0\xa0 \xd0\xbc\xd0\xb8\xd1\x80, "
         "\xe6\x9d\xb1\xe4\xba\xac\xe3\x80\x82");
    assert_int_equal(words.n, 2);
}

static void test_bytes_that_are_no_utf8_are_blanks(void **state)
{
    (void)state;
    find("caf\xe9 noir\xff\xfe"
         "rouge \xc3");
    assert_int_equal(words.n, 3);
    assert_true(count_of("caf") == 1 && count_of("noir") == 1 &&
                count_of("rouge") == 1);
}

static void test_only_so_many_words_are_taken(void **state)
{
    (void)state;
    assert_int_equal(words_find(&words, "a b c a d", 9, 4, &err), 0);
    assert_int_equal(words.n, 3);
    assert_true(count_of("a") == 2 && count_of("d") == 0);
    words_release(&words);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_words_are_runs_of_letters_and_digits),
        cmocka_unit_test(test_words_have_one_form),
        cmocka_unit_test(test_bytes_that_are_no_utf8_are_blanks),
        cmocka_unit_test(test_only_so_many_words_are_taken),
    };

    return cmocka_run_group_tests_name("words", tests, NULL, NULL);
}

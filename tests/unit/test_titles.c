#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/rng.h"
#include "worker/titles.h"

static struct titles *create(size_t bytes_max)
{
    struct titles *titles;
    struct err err;

    assert_int_equal(titles_create(&titles, bytes_max, &err), 0);
    return titles;
}

static void add(struct titles *titles, uint64_t key, const char *text)
{
    struct err err = {0};

    if (titles_add(titles, key, text, &err))
        fail_msg("%s", err.text);
}

static void test_first_text_stays(void **state)
{
    struct titles *titles = create(1 << 20);

    (void)state;
    assert_null(titles_find(titles, 0));
    add(titles, 0, "nought");
    add(titles, UINT64_MAX, "all");
    add(titles, 7, "");
    add(titles, 0, "another");
    assert_string_equal(titles_find(titles, 0), "nought");
    assert_string_equal(titles_find(titles, UINT64_MAX), "all");
    assert_string_equal(titles_find(titles, 7), "");
    assert_null(titles_find(titles, 8));
    assert_int_equal(titles_count(titles), 3);
    titles_destroy(titles);
    titles_destroy(NULL);
}

/* Growing over several chunks and index sizes: every text is there and has not moved.
 */
static void test_many(void **state)
{
    static const char *place[20000];
    struct titles *titles = create(16 << 20);
    char text[64];

    (void)state;
    for (uint64_t i = 0; i < 20000; i++) {
        snprintf(text, sizeof text, "title number %llu", (unsigned long long)i);
        add(titles, mix64(i), text);
        place[i] = titles_find(titles, mix64(i));
    }
    assert_int_equal(titles_count(titles), 20000);
    for (uint64_t i = 0; i < 20000; i++) {
        snprintf(text, sizeof text, "title number %llu", (unsigned long long)i);
        assert_ptr_equal(titles_find(titles, mix64(i)), place[i]);
        assert_string_equal(place[i], text);
        assert_null(titles_find(titles, mix64(i + 20000)));
    }
    titles_destroy(titles);
}

static void test_memory_is_bounded(void **state)
{
    struct titles *titles = create(200 * 1024);
    struct err err = {0};
    char text[200];
    uint64_t n = 0;
    int rc;

    (void)state;
    memset(text, 'x', sizeof text);
    text[sizeof text - 1] = '\0';
    while ((rc = titles_add(titles, n, text, &err)) == 0 && n < 100000)
        n++;
    assert_int_equal(rc, -ERR_MEMORY);
    assert_non_null(strstr(err.text, "204800 bytes"));
    assert_in_range(n, 600, 1000); /* three chunks of 64 KiB, 200 bytes each */
    assert_int_equal(titles_count(titles), n);
    assert_string_equal(titles_find(titles, 0), text);
    assert_string_equal(titles_find(titles, n - 1), text);
    assert_null(titles_find(titles, n));
    titles_destroy(titles);

    titles = create(0);
    assert_int_equal(titles_add(titles, 1, "a", &err), -ERR_MEMORY);
    assert_null(titles_find(titles, 1));
    titles_destroy(titles);
}

static void test_long_texts_are_cut_between_characters(void **state)
{
    struct titles *titles = create(1 << 20);
    char text[3000];

    (void)state;
    memset(text, 'a', sizeof text);
    text[TITLE_BYTES_MAX] = '\0';
    add(titles, 1, text);
    assert_int_equal(strlen(titles_find(titles, 1)), TITLE_BYTES_MAX);
    text[TITLE_BYTES_MAX] = 'a';
    text[2000] = '\0';
    add(titles, 2, text);
    assert_int_equal(strlen(titles_find(titles, 2)), TITLE_BYTES_MAX);
    memcpy(text + TITLE_BYTES_MAX - 2, "\xe6\x97\xa5", 3); /* one byte too many */
    add(titles, 3, text);
    assert_int_equal(strlen(titles_find(titles, 3)), TITLE_BYTES_MAX - 2);
    memset(text, '\x80', sizeof text - 1); /* no character at all: cut anywhere */
    text[sizeof text - 1] = '\0';
    add(titles, 4, text);
    assert_in_range(strlen(titles_find(titles, 4)), TITLE_BYTES_MAX - 3,
                    TITLE_BYTES_MAX);
    titles_destroy(titles);
}

static void assert_fit(const char *text, uint32_t columns, const char *expected)
{
    char out[TITLE_FIT_BYTES(40)];

    assert_true(columns <= 40);
    assert_string_equal(title_fit(text, columns, out), expected);
}

static void test_fit_ascii(void **state)
{
    (void)state;
    assert_fit("Heat (1995)", 13, "Heat (1995)  ");
    assert_fit("Heat (1995)", 11, "Heat (1995)");
    assert_fit("Heat (1995)", 10, "Heat (199\xe2\x80\xa6");
    assert_fit("Heat", 1, "\xe2\x80\xa6");
    assert_fit("Heat", 0, "");
    assert_fit("", 3, "   ");
    assert_fit("", 0, "");
}

static void test_fit_wide_and_combining(void **state)
{
    (void)state;
    assert_int_equal(title_columns("\xe4\xb8\x83\xe4\xba\xba"), 4); /* two ideographs */
    assert_int_equal(title_columns("\xf0\x9f\x8e\xac"), 2);         /* clapper board */
    assert_int_equal(title_columns("\xc3\xa9"), 1);                 /* e acute */
    assert_int_equal(title_columns("e\xcc\x81"), 1);                /* e, acute */
    assert_int_equal(title_columns("\xed\x95\x9c"), 2);             /* Hangul */
    assert_fit("\xe4\xb8\x83\xe4\xba\xba", 5, "\xe4\xb8\x83\xe4\xba\xba ");
    assert_fit("\xe4\xb8\x83\xe4\xba\xba", 3, "\xe4\xb8\x83\xe2\x80\xa6");
    assert_fit("\xe4\xb8\x83\xe4\xba\xba", 2, "\xe2\x80\xa6 "); /* half would not do */
    assert_fit("Ame\xcc\x81lie", 8, "Ame\xcc\x81lie  ");
    assert_fit("Ame\xcc\x81lie", 4, "Ame\xcc\x81\xe2\x80\xa6");
    assert_fit("\xcc\x81"
               "a",
               2, "a "); /* a mark that stands on nothing */
    assert_fit("e\xcc\x81\xcc\x82\xcc\x83\xcc\x84\xcc\x85x", 3,
               "e\xcc\x81\xcc\x82\xcc\x83x ");
}

static void test_nothing_steers_the_terminal(void **state)
{
    (void)state;
    assert_fit("\x1b[31mred", 10, "?[31mred  ");
    assert_fit("a\tb\nc\rd\x7f", 10, "a?b?c?d?  ");
    assert_fit("\xc2\x9b"
               "31m",
               6, "?31m  "); /* CSI as one character */
    assert_fit("\xe2\x80\xae"
               "abc",
               6, "?abc  ");                            /* right-to-left override */
    assert_fit("\xe2\x81\xa6\xe2\x80\x8f", 4, "??  ");  /* isolate, mark */
    assert_fit("\xe2\x80\xa8x\xe2\x80\xa9", 4, "?x? "); /* line, paragraph */
    assert_fit("\xf3\xa0\x81\x81", 4, "?   ");          /* tag */
}

static void test_bytes_that_are_no_utf8(void **state)
{
    (void)state;
    assert_fit("caf\xe9", 6, "caf?  ");         /* Latin-1 */
    assert_fit("\xe4\xb8", 4, "??  ");          /* cut short */
    assert_fit("\xc0\xaf", 4, "??  ");          /* longer than needed */
    assert_fit("\xed\xa0\x80", 4, "??? ");      /* surrogate */
    assert_fit("\xf4\x90\x80\x80", 5, "???? "); /* above the last code */
    assert_fit("\xff\xfe", 3, "?? ");
    assert_fit("\xf0\x80\x80\x80", 5, "???? ");
}

/* Any bytes: as many columns as asked for, no control byte, nothing beyond the room. */
static void test_fit_of_noise(void **state)
{
    (void)state;
    for (uint64_t round = 0; round < 20000; round++) {
        uint32_t columns = (uint32_t)rng_below(rng_at(5, round, 0), 24);
        uint32_t length = (uint32_t)rng_below(rng_at(5, round, 1), 40);
        char text[41], *out = malloc(TITLE_FIT_BYTES(columns));

        for (uint32_t i = 0; i < length; i++) {
            static const char likely[] = "\xe4\xb8\x83\xcc\x81\xc2\x9b\x1b"
                                         "aa";

            text[i] = rng_below(rng_at(6, round, i), 2)
                          ? (char)(1 + rng_below(rng_at(7, round, i), 255))
                          : likely[rng_below(rng_at(7, round, i), sizeof likely - 1)];
        }
        text[length] = '\0';
        assert_non_null(out);
        title_fit(text, columns, out);
        assert_int_equal(title_columns(out), columns);
        for (const char *byte = out; *byte; byte++)
            assert_true((unsigned char)*byte >= 0x20 && *byte != 0x7f);
        free(out);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_text_stays),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_memory_is_bounded),
        cmocka_unit_test(test_long_texts_are_cut_between_characters),
        cmocka_unit_test(test_fit_ascii),
        cmocka_unit_test(test_fit_wide_and_combining),
        cmocka_unit_test(test_nothing_steers_the_terminal),
        cmocka_unit_test(test_bytes_that_are_no_utf8),
        cmocka_unit_test(test_fit_of_noise),
    };

    return cmocka_run_group_tests_name("titles", tests, NULL, NULL);
}

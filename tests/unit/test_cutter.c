#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/rng.h"
#include "worker/stream/spool/cutter.h"

/* Shows `text` in pieces of `piece` bytes. */
static void show(struct cutter *cutter, const char *text, size_t piece)
{
    size_t n = strlen(text);

    for (size_t at = 0; at < n;) {
        size_t part = n - at < piece ? n - at : piece;
        size_t looked = cutter_see(cutter, text + at, part, 1 << 20);

        assert_true(looked > 0 && looked <= part);
        at += looked;
    }
}

static void test_lines(void **state)
{
    struct cutter cutter;

    (void)state;
    for (size_t piece = 1; piece < 20; piece++) {
        cutter_init(&cutter, false, 100, 5);
        show(&cutter, "one\ntwo\nthr", piece);
        assert_int_equal(cutter.begin, 100);
        assert_int_equal(cutter.end, 108);
        assert_int_equal(cutter.seen, 111);
        assert_int_equal(cutter.lines, 2);
        cutter_take(&cutter);
        assert_int_equal(cutter.begin, 108);
        assert_int_equal(cutter.line, 7);
        cutter_finish(&cutter);
        assert_int_equal(cutter.end, 111);
        assert_int_equal(cutter.lines, 0);
    }
}

/* A quote stands for nothing where there is no CSV. */
static void test_quotes_in_plain_text(void **state)
{
    struct cutter cutter;

    (void)state;
    cutter_init(&cutter, false, 0, 1);
    show(&cutter, "a \"b\nc\n", 100);
    assert_int_equal(cutter.end, 7);
}

static void test_line_ends_between_quotes(void **state)
{
    struct cutter cutter;

    (void)state;
    for (size_t piece = 1; piece < 30; piece++) {
        cutter_init(&cutter, true, 0, 1);
        show(&cutter, "a,\"x\ny\"\"\n\",1\nb,\"\n", piece);
        assert_int_equal(cutter.end, 13); /* behind ,1\n */
        assert_int_equal(cutter.lines, 3);
        assert_true(cutter.quoted);
        cutter_take(&cutter);
        show(&cutter, "\",2\n", piece);
        assert_int_equal(cutter.end, 21);
        assert_int_equal(cutter.line, 4);
        assert_int_equal(cutter.lines, 2);
    }
}

static void test_first_only(void **state)
{
    struct cutter cutter;

    (void)state;
    cutter_init(&cutter, false, 0, 1);
    cutter.first_only = true;
    assert_int_equal(cutter_see(&cutter, "head\nrow\n", 9, 100), 5);
    assert_int_equal(cutter.end, 5);
    cutter_take(&cutter);
    cutter.first_only = false;
    assert_int_equal(cutter_see(&cutter, "row\n", 4, 100), 4);
    assert_int_equal(cutter.line, 2);

    cutter_init(&cutter, true, 0, 1);
    cutter.first_only = true;
    assert_int_equal(cutter_see(&cutter, "\"he\nad\"\n\"row\"\n", 14, 100), 8);
    assert_int_equal(cutter.lines, 2);
}

/* No more than `max` bytes before somebody takes them. */
static void test_bound(void **state)
{
    struct cutter cutter;

    (void)state;
    cutter_init(&cutter, false, 0, 1);
    assert_int_equal(cutter_see(&cutter, "aa\nbbbbbbb", 10, 8), 8);
    assert_int_equal(cutter_see(&cutter, "bb", 2, 8), 0);
    cutter_take(&cutter);
    assert_int_equal(cutter_see(&cutter, "bb", 2, 8), 2);
    assert_int_equal(cutter.seen, 10);
}

/* Against one byte after the other. */
static void test_random(void **state)
{
    enum { BYTES = 400 };
    static const char letters[] = "ab\n\n\"\"";
    char text[BYTES + 1] = {0};

    (void)state;
    for (uint64_t seed = 0; seed < 300; seed++) {
        bool quotes = seed % 2, quoted = false;
        struct cutter cutter;
        uint64_t end = 0, lines = 0, more = 0;

        for (uint64_t i = 0; i < BYTES; i++) {
            text[i] = letters[rng_below(rng_at(seed, 1, i), 6)];
            more += text[i] == '\n';
            if (quotes && text[i] == '"')
                quoted = !quoted;
            if (text[i] == '\n' && !quoted) {
                end = i + 1;
                lines += more;
                more = 0;
            }
        }
        cutter_init(&cutter, quotes, 0, 1);
        show(&cutter, text, 1 + seed % 70);
        assert_int_equal(cutter.end, end);
        assert_int_equal(cutter.lines, lines);
        assert_int_equal(cutter.more, more);
        assert_int_equal(cutter.quoted, quoted);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_quotes_in_plain_text),
        cmocka_unit_test(test_line_ends_between_quotes),
        cmocka_unit_test(test_first_only),
        cmocka_unit_test(test_bound),
        cmocka_unit_test(test_random),
    };

    return cmocka_run_group_tests_name("cutter", tests, NULL, NULL);
}

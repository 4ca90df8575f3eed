/* YAML to flat settings. */
#include "common/yaml.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* What came out, as text: "3 tables.user.dim=32|", an empty mapping as "1 a!|", and
 * the ends of list items as ';'. */
struct seen {
    char text[4096];
    size_t used;
    int calls;
    int fail_at; /* this call returns an error; 0 = none */
};

static int note(void *context, const char *path, const char *value, int line,
                struct err *err)
{
    struct seen *seen = context;

    if (++seen->calls == seen->fail_at)
        return err_set(err, ERR_PEER, "stopped at %s", path);
    if (seen->used < sizeof seen->text / 2)
        seen->used += (size_t)snprintf(seen->text + seen->used, sizeof seen->text / 2,
                                       "%d %s%s%.500s|", line, path, value ? "=" : "!",
                                       value ? value : "");
    for (char *s = seen->text; *s; s++) {
        if (*s == '\n')
            *s = ';';
    }
    return 0;
}

static int flatten(const char *text, struct seen *seen, struct err *err)
{
    memset(seen, 0, sizeof *seen);
    return yaml_flatten(text, strlen(text), "f.yaml", note, seen, err);
}

static void gives(const char *text, const char *expected)
{
    struct seen seen;
    struct err err = {0, ""};
    int rc = flatten(text, &seen, &err);

    assert_string_equal(err.text, "");
    assert_int_equal(rc, 0);
    assert_string_equal(seen.text, expected);
}

static void refuses(const char *text, const char *sentence)
{
    struct seen seen;
    struct err err = {0, ""};

    assert_int_equal(flatten(text, &seen, &err), -ERR_INPUT);
    assert_string_equal(err.text, sentence);
}

static void mappings_in_both_styles(void **state)
{
    (void)state;
    gives("name: x\n\ntables:\n  user:\n    dim: 32\n  item: {dim: 8, init: zero}\n",
          "1 name=x|5 tables.user.dim=32|6 tables.item.dim=8|6 tables.item.init=zero|");
    gives("a: {b: {c: {d: 1}}, e: 2}", "1 a.b.c.d=1|1 a.e=2|");
    gives("{a: 1,\n b: 2}", "1 a=1|2 b=2|");
    gives("\"quoted name\": 'it''s'\n", "1 quoted name=it's|");
    gives("a:\n  a: 1\nb:\n  a: 2\n", "2 a.a=1|4 b.a=2|");
    gives("a: one # comment\n# b: two\n", "1 a=one|");
    gives("a: two\n  lines\n", "1 a=two lines|");
    gives("a.b: 1\na: {c: 2}\n", "1 a.b=1|2 a.c=2|");
}

static void sequences_are_lists(void **state)
{
    (void)state;
    gives("a: [x, y]\nb:\n  - one\n  - 'two, three'\nc: []\n",
          "1 a=x;y;|2 b=one;two, three;|5 c=|");
    gives("a: [x]\n", "1 a=x;|"); /* not the same as a: x */
}

static void names_without_value(void **state)
{
    (void)state;
    gives("tables: {user: {}, item: {}}\n", "1 tables.user!|1 tables.item!|");
    gives("a:\nb: ~\nc: null\nd: {}\ne: ''\nf: '~'\n",
          "1 a!|2 b!|3 c!|4 d!|5 e=|6 f=~|");
}

static void nothing_at_all(void **state)
{
    (void)state;
    gives("", "");
    gives("# only a comment\n", "");
    gives("---\n", "");
    gives("{}\n", "");
    gives("---\na: 1\n...\n", "2 a=1|");
    gives("\xef\xbb\xbf"
          "a: 1\n",
          "1 a=1|");
}

static void what_is_no_mapping(void **state)
{
    (void)state;
    refuses("just text\n",
            "f.yaml line 1: expected settings of the form 'name: value'");
    refuses("\n- a\n- b\n",
            "f.yaml line 2: expected settings of the form 'name: value'");
    refuses("a: 1\n---\nb: 2\n",
            "f.yaml line 2: a second document (---) begins, expected one");
    refuses(
        "a: [[1]]\n",
        "f.yaml line 1: an item of a list must be a single value, not a list or map");
    refuses(
        "a:\n - b: 1\n",
        "f.yaml line 2: an item of a list must be a single value, not a list or map");
    refuses("[a, b]: 1\n", "f.yaml line 1: a name must be a plain text");
    refuses("? [a, b]\n: 1\n", "f.yaml line 1: a name must be a plain text");
    refuses("'': 1\n", "f.yaml line 1: a name is empty");
}

static void anchors_aliases_and_tags(void **state)
{
    static const char *const marks[] = {"a: 1\nb: &x 2\n",   "a: 1\nb: &x {c: 1}\n",
                                        "a: 1\nb: &x [1]\n", "a: 1\nb: *x\n",
                                        "a: 1\n&x b: 2\n",   "a: 1\nb: [*x]\n"};
    static const char *const tags[] = {"a: 1\nb: !!int 2\n", "a: 1\nb: !x {c: 1}\n",
                                       "a: 1\nb: !x [1]\n", "a: 1\nb: ! 1\n"};

    (void)state;
    for (size_t i = 0; i < sizeof marks / sizeof *marks; i++)
        refuses(marks[i],
                "f.yaml line 2: anchors (&name) and aliases (*name) cannot be "
                "used here");
    for (size_t i = 0; i < sizeof tags / sizeof *tags; i++)
        refuses(tags[i], "f.yaml line 2: tags (!name) cannot be used here");
}

static void a_name_given_twice(void **state)
{
    (void)state;
    refuses("a: 1\nb: 2\na: 3\n", "f.yaml line 3: 'a' is given twice, first on line 1");
    refuses("t:\n  u: {d: 1}\nx: 1\nt:\n  v: {d: 2}\n",
            "f.yaml line 4: 't' is given twice, first on line 1");
    refuses("t:\n  u: {d: 1}\n  v: 1\n  u: {e: 2}\n",
            "f.yaml line 4: 't.u' is given twice, first on line 2");
    refuses("a: {b.c: 1, b: {c: 2}}\n",
            "f.yaml line 1: 'a.b.c' is given twice, first on line 1");
}

static void broken_syntax(void **state)
{
    (void)state;
    refuses("a: 1\nb: [1, 2\nc: 3\n",
            "f.yaml line 3, column 2: not valid YAML: did not find expected ',' or ']' "
            "while parsing a flow sequence");
    refuses(
        "a: 1\nb: @c\n",
        "f.yaml line 2, column 4: not valid YAML: found character that cannot start "
        "any token while scanning for the next token");
    refuses("a: 'open\n",
            "f.yaml line 2, column 1: not valid YAML: found unexpected end of stream "
            "while scanning a quoted scalar");
    refuses("a: 1\nbc: \xff\n",
            "f.yaml line 2, column 5: not valid YAML: invalid leading UTF-8 octet");
    refuses(
        "a: 1\n  b: 2\n",
        "f.yaml line 2, column 4: not valid YAML: mapping values are not allowed in "
        "this context");
}

static void control_characters(void **state)
{
    static const char sentence[] = "f.yaml line 2: a line break, tab or other control "
                                   "character in a name or value";
    static const char *const texts[] = {
        "x: 1\na: \"b\\0c\"\n", "x: 1\na: \"b\\nc\"\n",   "x: 1\na: ['b', \"\\t\"]\n",
        "x: 1\n\"a\\eb\": c\n", "x: 1\na: |\n  b\n  c\n", "x: 1\na: \"\\x7f\"\n"};

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        refuses(texts[i], sentence);
}

static void depth_has_a_limit(void **state)
{
    (void)state;
    gives("{a: {b: {c: {d: {e: {f: {g: {h: 1}}}}}}}}", "1 a.b.c.d.e.f.g.h=1|");
    gives("{a: {b: {c: {d: {e: {f: {g: [1]}}}}}}}", "1 a.b.c.d.e.f.g=1;|");
    refuses("{a: {b: {c: {d: {e: {f: {g: {h: {i: 1}}}}}}}}}",
            "f.yaml line 1: nested deeper than 8 levels");
    refuses("{a: {b: {c: {d: {e: {f: {g: {h: [1]}}}}}}}}",
            "f.yaml line 1: nested deeper than 8 levels");
    /* The depth is that of now, not of all before. */
    gives("{a: {b: 1}, c: {d: 1}, e: {f: 1}, g: {h: 1}, i: {j: 1}, k: {l: 1}, m: [n],"
          " o: [p], q: {r: {}}}",
          "1 a.b=1|1 c.d=1|1 e.f=1|1 g.h=1|1 i.j=1|1 k.l=1|1 m=n;|1 o=p;|1 q.r!|");
}

static void size_has_a_limit(void **state)
{
    char *text = malloc(YAML_SIZE_MAX + 2);
    struct seen seen = {.used = 0};
    struct err err;

    (void)state;
    assert_non_null(text);
    memset(text, '#', YAML_SIZE_MAX + 1);
    assert_int_equal(yaml_flatten(text, YAML_SIZE_MAX, "f.yaml", note, &seen, &err), 0);
    assert_int_equal(yaml_flatten(text, YAML_SIZE_MAX + 1, "f.yaml", note, &seen, &err),
                     -ERR_INPUT);
    assert_string_equal(err.text,
                        "f.yaml line 1: the file is longer than 1048576 bytes");
    /* A megabyte of opening brackets ends soon and well. */
    memset(text, '[', YAML_SIZE_MAX);
    assert_int_equal(yaml_flatten(text, YAML_SIZE_MAX, "f.yaml", note, &seen, &err),
                     -ERR_INPUT);
    memset(text, '{', YAML_SIZE_MAX);
    assert_int_equal(yaml_flatten(text, YAML_SIZE_MAX, "f.yaml", note, &seen, &err),
                     -ERR_INPUT);
    free(text);
}

static void names_have_limits(void **state)
{
    char text[YAML_PATH_SIZE + 16], longest[YAML_PATH_SIZE + 1];
    char expected[YAML_PATH_SIZE + 16];
    char *many = malloc(10 * (YAML_NAMES_MAX + 1) + 1), *end = many;
    const int fits = YAML_PATH_SIZE - 1;
    struct seen seen;
    struct err err;

    (void)state;
    memset(longest, 'n', sizeof longest);
    snprintf(text, sizeof text, "%.*s: 1", fits, longest);
    snprintf(expected, sizeof expected, "1 %.*s=1|", fits, longest);
    gives(text, expected);
    snprintf(text, sizeof text, "%.*s: 1", fits + 1, longest);
    refuses(text, "f.yaml line 1: a name is longer than 511 bytes");
    snprintf(text, sizeof text, "a: {%.*s: 1}", fits - 2, longest);
    assert_int_equal(flatten(text, &seen, &err), 0);
    snprintf(text, sizeof text, "a: {%.*s: 1}", fits - 1, longest);
    refuses(text, "f.yaml line 1: a name is longer than 511 bytes");

    assert_non_null(many);
    for (int i = 0; i <= YAML_NAMES_MAX; i++)
        end += sprintf(end, "a%d: 1\n", i);
    assert_int_equal(flatten(many, &seen, &err), -ERR_INPUT);
    assert_string_equal(err.text, "f.yaml line 4097: more than 4096 names");
    end[-1] = '\0';
    *strrchr(many, '\n') = '\0';
    assert_int_equal(flatten(many, &seen, &err), 0);
    assert_int_equal(seen.calls, YAML_NAMES_MAX);
    free(many);
}

/* A list of escapes that are longer in UTF-8 than in the file. */
static void lists_have_a_limit(void **state)
{
    size_t pairs = (YAML_SIZE_MAX - 16) / 2;
    char *text = malloc(YAML_SIZE_MAX), *end = text;
    struct seen seen = {.used = 0};
    struct err err;

    (void)state;
    assert_non_null(text);
    end += sprintf(end, "a: [\"");
    for (size_t i = 0; i < pairs; i++, end += 2)
        memcpy(end, "\\P", 2);
    end += sprintf(end, "\"]");
    assert_int_equal(
        yaml_flatten(text, (size_t)(end - text), "f.yaml", note, &seen, &err),
        -ERR_INPUT);
    assert_string_equal(err.text, "f.yaml line 1: a list is too long");
    free(text);
}

static void an_error_of_the_caller_ends_the_walk(void **state)
{
    static const char text[] = "a: 1\nb: [2]\nc: {}\nd: 4\n";
    struct seen seen;
    struct err err;

    (void)state;
    for (int at = 1; at <= 4; at++) {
        memset(&seen, 0, sizeof seen);
        seen.fail_at = at;
        assert_int_equal(
            yaml_flatten(text, sizeof text - 1, "f.yaml", note, &seen, &err),
            -ERR_PEER);
        assert_int_equal(seen.calls, at);
        assert_int_equal(err.text[strlen(err.text) - 1], 'a' + at - 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mappings_in_both_styles),
        cmocka_unit_test(sequences_are_lists),
        cmocka_unit_test(names_without_value),
        cmocka_unit_test(nothing_at_all),
        cmocka_unit_test(what_is_no_mapping),
        cmocka_unit_test(anchors_aliases_and_tags),
        cmocka_unit_test(a_name_given_twice),
        cmocka_unit_test(broken_syntax),
        cmocka_unit_test(control_characters),
        cmocka_unit_test(depth_has_a_limit),
        cmocka_unit_test(size_has_a_limit),
        cmocka_unit_test(names_have_limits),
        cmocka_unit_test(lists_have_a_limit),
        cmocka_unit_test(an_error_of_the_caller_ends_the_walk),
    };

    return cmocka_run_group_tests_name("yaml", tests, NULL, NULL);
}

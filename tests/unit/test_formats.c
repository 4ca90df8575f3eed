/* Formats that name their columns themselves, and what can be wrong in them. */
#include "tests/unit/reading_kit.h"

#include "worker/stream/text/json_scan.h"

/* A job that wants `columns`: "name as, name as, ...". */
static struct job *job_of(enum data_format format, const char *label,
                          const char *columns)
{
    struct job *job = make_job(format);
    char list[512], name[200], *rest, *item;

    set(job, "data.label", label);
    snprintf(list, sizeof list, "%s", columns);
    for (item = strtok_r(list, ",", &rest); item; item = strtok_r(NULL, ",", &rest)) {
        char *as = strchr(item, ':');

        *as++ = '\0';
        snprintf(name, sizeof name, "data.columns.%s.as", item);
        set(job, name, as);
        snprintf(name, sizeof name, "data.columns.%s.table", item);
        set(job, name, "t");
    }
    return job;
}

static void expect_text(struct job *job, const char *text, const char *expected)
{
    struct scratch scratch;

    scratch_init(&scratch);
    expect(job, scratch_text(&scratch, "f", text), expected);
    scratch_release(&scratch);
    free(job);
}

static void expect_complaints(struct job *job, const char *const cases[][2], size_t n)
{
    struct scratch scratch;

    scratch_init(&scratch);
    for (size_t i = 0; i < n; i++)
        expect_error(job, scratch_text(&scratch, "f", cases[i][0]), cases[i][1]);
    scratch_release(&scratch);
    free(job);
}

#define COUNT(cases) (sizeof(cases) / sizeof *(cases))

static void expect_no_column(enum data_format format, const char *sentence)
{
    struct job *job = job_of(format, "x", "a:key");
    struct schema schema;
    struct source *source;
    struct err err = {0};

    assert_int_equal(schema_of_job(job, COLUMNS_LABEL, &schema, &err), 0);
    assert_int_equal(source_create(job, &schema, &source, &err), -ERR_INPUT);
    assert_string_equal(err.text, sentence);
    free(job);
}

/* --- libsvm and its kin ---------------------------------------------------------- */

static void test_libsvm(void **state)
{
    char expected[200];

    (void)state;
    snprintf(expected, sizeof expected,
             "@0 17 3*0.5,17*1,%llu*-2, 1\n@46 6 5*10,6*1, -1\n",
             (unsigned long long)key_of_text("a", 1));
    expect_text(job_of(DATA_LIBSVM, "label", "field1:key,features:keys"),
                "1 3:0.5 17:1  a:-2 # words\n"
                "\n"
                "# a line of words\n"
                "-1\tqid:7 5:1e1 6:1\r\n",
                expected);
}

static void test_libffm(void **state)
{
    char expected[200];

    (void)state;
    snprintf(expected, sizeof expected, "@0 7 %llu*1,%llu*0.5, 8*0.5, 1\n",
             (unsigned long long)key_of_text("0:7", 3),
             (unsigned long long)key_of_text("2:8", 3));
    expect_text(job_of(DATA_LIBFFM, "label", "field0:key,features:keys,field2:keys"),
                "1 0:7:1 2:8:.5\n", expected);
}

static void test_wrong_features(void **state)
{
    static const char *const svm[][2] = {
        {"1 3:1\nx 3:1\n", "f line 2, column label: 'x' is not a number"},
        {"1 3\n", "f line 1: '3' is no feature, expected key:value"},
        {"1 :3\n", "f line 1: ':3' is no feature, expected key:value"},
        {"1 3:\n", "f line 1: '3:' is no feature"},
        {"1 3:x\n", "f line 1: '3:x' is no feature"},
        {"1 3:1 \xff:1\n", "f line 1, byte 7: 0xff is no UTF-8"},
        {"1\n", "f line 1, column field0: the key is empty"},
    };
    static const char *const ffm[][2] = {
        {"1 7:1\n", "f line 1: '7:1' is no feature, expected field:key:value"},
        {"1 a:7:1\n", "f line 1: 'a:7:1' is no feature, expected field:key:value"},
        {"1 0:7:1 0:8:1\n", "f line 1, column field0: more than one value"},
    };

    (void)state;
    expect_complaints(job_of(DATA_LIBFM, "label", "field0:key"), svm, COUNT(svm));
    expect_complaints(job_of(DATA_LIBFFM, "label", "field0:key"), ffm, COUNT(ffm));
    expect_no_column(DATA_LIBSVM,
                     "data.format libsvm has no column a; its columns are label, "
                     "features, field# (# is a number from 0 on)");
}

/* --- Criteo ---------------------------------------------------------------------- */

static void test_criteo(void **state)
{
    static const char *const cases[][2] = {
        {"1\t2\t3\n", "f has 3 columns, expected the 40 of data.format criteo"},
    };

    (void)state;
    expect_text(job_of(DATA_CRITEO, "label", "C1:key,C26:key,I1:number,I13:number"),
                "1\t5\t\t\t\t\t\t\t\t\t\t\t\t-3\t7\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t"
                "\t\t\t\t\t\t\t12\n"
                "0\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t"
                "\t\t\t\t\t\n",
                "@0 7 12 5 -3 1\n@47 - - nan nan 0\n");
    expect_complaints(job_of(DATA_CRITEO, "label", "C1:key"), cases, COUNT(cases));
}

/* --- sequences and NCF ----------------------------------------------------------- */

static void test_sequences(void **state)
{
    static const char *const cases[][2] = {
        {"1 | 2\n3 | 4 5\n", "f line 2, column next: more than one value"},
        {"1 2 3\n", "f line 1, column next: the key is empty"},
        {"1 | 2 | 3\n", "f line 1: more than one bar '|'"},
    };
    struct job *job;

    (void)state;
    expect_text(job_of(DATA_SEQUENCE, "user", "user:key,items:keys"),
                "1 2 3\n4\n\n5 6\n", "@0 1 2*1,3*1, 1\n@6 4  4\n@9 5 6*1, 5\n");
    job = job_of(DATA_SEQUENCE, "next", "next:key,items:keys");
    expect_text(job, "1 2 | 3\n | 4\n", "@0 3 1*1,2*1, 3\n@8 4  4\n");
    expect_complaints(job_of(DATA_SEQUENCE, "next", "next:key"), cases, COUNT(cases));
}

static void test_ncf(void **state)
{
    static const char *const cases[][2] = {
        {"1\t2\t3\n", "f line 1: 3 fields, expected 4"},
        {"1\t2\t3\t4\t5\n", "f line 1: more than 4 fields"},
        {"(1;2)\t3\n", "f line 1: '(1;2)', expected (user,item)"},
        {"(1,2\t3\n", "f line 1: '(1,2', expected (user,item)"},
        {"(1,)\t3\n", "f line 1: '(1,)', expected (user,item)"},
    };

    (void)state;
    expect_text(job_of(DATA_NCF, "rating", "user:key,item:key,time:time"),
                "0\t31\t4\t9\n", "@0 0 31 9000000 4\n");
    expect_text(job_of(DATA_NCF, "item", "user:key,item:key,negatives:keys"),
                "(0,25)\t1064\t174\n(1,2)\t3\n",
                "@0 0 25 1064*1,174*1, 25\n@16 1 2 3*1, 2\n");
    expect_complaints(job_of(DATA_NCF, "item", "user:key"), cases, COUNT(cases));
}

/* --- lines of JSON --------------------------------------------------------------- */

static void test_jsonl(void **state)
{
    struct job *job = job_of(DATA_JSONL, "y",
                             "user.id:key,tags:keys,v:vector,s:text,t:time");

    char expected[200];

    (void)state;
    snprintf(expected, sizeof expected,
             "@0 18446744073709551615 1*1,2*1, 0.5,-10, A\xc3\xa9\xf0\x9f\x98\x80\n"
             " 86400000000 1\n@184 %llu  1,2,  1000000 0.25\n",
             (unsigned long long)key_of_text("x", 1));
    set(job, "data.columns.v.dim", "2");
    set(job, "data.columns.t.time_format", "iso");
    expect_text(
        job,
        "{\"user\": {\"id\": 18446744073709551615, \"tags\": 7}, \"tags\": [1, \"2\"], "
        "\"v\": [0.5, -1e1], \"s\": \"A\\u00e9\\ud83d\\ude00\\n\", \"y\": true, "
        "\"t\": \"1970-01-02\", \"more\": [{\"tags\": [1]}, [[]], null]}\n"
        "\n"
        " { \"y\" : 0.25 , "
        "\"v\":[true,2],\"user\":{\"id\":\"x\"},\"t\":\"1970-01-01T00:00:"
        "01Z\"}\r\n",
        expected);
}

static void test_wrong_json(void **state)
{
    static const char *const cases[][2] = {
        {"{\"a\":1,\"y\":1}\n[]\n", "f line 2, byte 1: not JSON, expected an object"},
        {"{\"a\":1,\"y\":1,}\n", "f line 1, byte 14: not JSON, expected a string"},
        {"{\"a\":1 \"y\":1}\n",
         "byte 8: not JSON, expected a comma or a closing brace"},
        {"{\"a\":1,\"y\":01}\n", "expected a comma or a closing brace"},
        {"{\"a\":1,\"y\":1.}\n", "expected a digit"},
        {"{\"a\":1,\"y\":nan}\n", "expected a value"},
        {"{\"a\":1,\"y\":1} x\n", "expected nothing behind the object"},
        {"{\"a\":\"\\x\",\"y\":1}\n", "expected an escape"},
        {"{\"a\":\"\\ud800\",\"y\":1}\n", "half of a surrogate pair"},
        {"{\"a\":\"\t\",\"y\":1}\n", "no control character in a string"},
        {"{\"a\":1,\"y\":1\n", "expected a comma or a closing brace"},
        {"{\"y\":1}\n", ", column a: the key is empty"},
        {"{\"a\":null,\"y\":1}\n", ", column a: the key is empty"},
        {"{\"a\":[1],\"y\":1}\n", ", column a: an array, expected one value"},
        {"{\"a\":1,\"a\":1,\"y\":1}\n", ", column a: there more than once"},
        {"{\"a\":1,\"y\":\"high\"}\n", ", column y: 'high' is not a number"},
        {"{\"a\":{},\"y\":1}\n", ", column a: an object, expected one value"},
        {"{\"a\":1,\"y\":{\"z\":1}}\n", ", column y: an object, expected one value"},
    };
    static const char *const lists[][2] = {
        {"{\"a\":{\"b\":1},\"y\":1}\n",
         ", column a: an object, expected one value or an array of them"},
        {"{\"a\":[1,{\"id\":1}],\"y\":1}\n",
         ", column a: an object in an array, expected one value"},
        {"{\"a\":[[1],2],\"y\":1}\n",
         ", column a: an array in an array, expected one value"},
    };

    (void)state;
    expect_complaints(job_of(DATA_JSONL, "y", "a:key"), cases, COUNT(cases));
    expect_complaints(job_of(DATA_JSONL, "y", "k:key,a:keys"), lists, COUNT(lists));
}

static int no_visit(void *context, const struct json_value *value)
{
    (void)context;
    (void)value;
    return 0;
}

static void test_depth_is_bounded(void **state)
{
    const char *expected = NULL;
    char text[20000] = "{\"a\":";
    size_t at;

    (void)state;
    memset(text + 5, '[', 10000);
    assert_int_equal(json_scan(text, 10005, no_visit, NULL, &at, &expected), 1);
    assert_string_equal(expected, "at most 64 levels");
}

/* --- every format in pieces ------------------------------------------------------ */

static void test_pieces_of_every_format(void **state)
{
    static const struct {
        enum data_format format;
        const char *label, *columns, *text;
    } cases[] = {
        {DATA_LIBSVM, "label", "features:keys,field0:key", "1 2:3\n\n4 5:6 7:8\n9 1:1"},
        {DATA_LIBFFM, "label", "features:keys,field0:key",
         "1 0:2:3\n4 0:5:6 1:7:8\r\n"},
        {DATA_JSONL, "y", "a:key", "{\"a\":1,\"y\":2}\n\n{\"a\":\"\\n\",\"y\":3}"},
        {DATA_SEQUENCE, "user", "user:key,items:keys", "1 2\n\n\n3\n4 5 6"},
        {DATA_NCF, "item", "user:key,item:key", "(1,2)\t3\n4\t5\t6\t7\n"},
    };
    struct scratch scratch;

    (void)state;
    scratch_init(&scratch);
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct job *job = job_of(cases[i].format, cases[i].label, cases[i].columns);
        char *whole, *pieces;

        scratch_text(&scratch, "f", cases[i].text);
        whole = read_pieces(job, scratch.path, NULL, 0);
        for (uint64_t cut = 0; cut <= strlen(cases[i].text); cut++) {
            pieces = read_pieces(job, scratch.path, &cut, 1);
            assert_string_equal(pieces, whole);
            free(pieces);
        }
        free(whole);
        free(job);
    }
    scratch_release(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_libsvm),
        cmocka_unit_test(test_libffm),
        cmocka_unit_test(test_wrong_features),
        cmocka_unit_test(test_criteo),
        cmocka_unit_test(test_sequences),
        cmocka_unit_test(test_ncf),
        cmocka_unit_test(test_jsonl),
        cmocka_unit_test(test_wrong_json),
        cmocka_unit_test(test_depth_is_bounded),
        cmocka_unit_test(test_pieces_of_every_format),
    };

    return cmocka_run_group_tests_name("formats", tests, NULL, NULL);
}

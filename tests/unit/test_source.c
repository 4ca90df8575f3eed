/* Pieces of files as blocks: each record once, typed values, rows left out. */
#include "tests/unit/reading_kit.h"

#include "worker/stream/text/cuts.h"

/* --- pieces ---------------------------------------------------------------------- */

static struct job *small_job(enum data_format format)
{
    struct job *job = make_job(format);

    set(job, "data.label", "y");
    set(job, "data.columns.a.table", "t");
    return job;
}

/* Every pair of cuts of a small file. */
static void test_each_record_once(void **state)
{
    static const char text[] = "\xef\xbb\xbfy\ta\n1\tx\n2\t33\r\n3.5\t444\n4\ty\n5\tzz";
    struct job *job = small_job(DATA_TSV);
    struct scratch scratch;
    char *whole, *pieces;

    (void)state;
    scratch_init(&scratch);
    scratch_text(&scratch, "f", text);
    whole = read_pieces(job, scratch.path, NULL, 0);
    assert_non_null(strstr(whole, "@7 "));
    for (uint64_t a = 0; a < sizeof text + 2; a++)
        for (uint64_t b = a; b < sizeof text + 2; b++) {
            const uint64_t cut[] = {a, b};

            pieces = read_pieces(job, scratch.path, cut, 2);
            assert_string_equal(pieces, whole);
            free(pieces);
        }
    free(whole);
    free(job);
    scratch_release(&scratch);
}

/* Large enough for several buffers, with lines of all lengths. */
static void test_pieces_of_a_large_file(void **state)
{
    enum { ROWS = 120000, CUTS = 40 };
    struct job *job = small_job(DATA_CSV);
    struct scratch scratch;
    uint64_t cut[CUTS];
    char *whole, *pieces;
    FILE *file;

    (void)state;
    scratch_init(&scratch);
    file = fopen(scratch_path(&scratch, "f"), "w");
    fprintf(file, "a,y,rest\n");
    for (int i = 0; i < ROWS; i++)
        fprintf(file, "%llu,%d.%d,%*s\n",
                (unsigned long long)(rng_at(1, 1, (uint64_t)i) >> (i % 64)), i % 10,
                i % 7, i == 77 ? 600000 : i % 30, "x");
    fclose(file);
    whole = read_pieces(job, scratch.path, NULL, 0);
    for (int i = 0; i < CUTS; i++)
        cut[i] = (uint64_t)i * 100003;
    pieces = read_pieces(job, scratch.path, cut, CUTS);
    assert_string_equal(pieces, whole);
    free(pieces);
    free(whole);
    free(job);
    scratch_release(&scratch);
}

/* Ends of lines in quotes, and cuts everywhere. */
static void test_cuts_are_not_in_quotes(void **state)
{
    static const char text[] = "a,s,y\n1,\"x\n2,y,9\n\",1\n2,\"\"\"\n\"\"\",2\n3,,3\n";
    struct job *job = small_job(DATA_CSV);
    struct scratch scratch;
    struct err err = {0};
    uint64_t cut[sizeof text + 4];
    char *whole, *pieces;

    (void)state;
    set(job, "data.columns.s.as", "text");
    scratch_init(&scratch);
    scratch_text(&scratch, "f", text);
    whole = read_pieces(job, scratch.path, NULL, 0);
    for (uint64_t i = 0; i < sizeof text + 4; i++)
        cut[i] = i;
    assert_int_equal(cuts_move(job, scratch.path, cut, sizeof text + 4, &err), 0);
    assert_int_equal(cut[6], 6);
    assert_int_equal(cut[8], 8);
    assert_int_equal(cut[9], 18);
    for (uint32_t i = 0; i < sizeof text + 4; i++) {
        assert_in_range(cut[i], i, sizeof text + 4);
        pieces = read_pieces(job, scratch.path, &cut[i], 1);
        assert_string_equal(pieces, whole);
        free(pieces);
    }
    pieces = read_pieces(job, scratch.path, cut, sizeof text + 4);
    assert_string_equal(pieces, whole);
    free(pieces);
    free(whole);
    cut[0] = 9;
    set(job, "data.quotes", "false");
    assert_int_equal(cuts_move(job, scratch.path, cut, 1, &err), 0);
    assert_int_equal(cut[0], 9);
    free(job);
    scratch_release(&scratch);
}

static void test_compressed_files_only_whole(void **state)
{
    struct job *job = small_job(DATA_TSV);
    struct reading reading;
    struct scratch scratch;
    struct err err = {0};

    (void)state;
    scratch_init(&scratch);
    scratch_write(&scratch, "f", "\x1f\x8b\x08\x00", 4);
    begin_reading(&reading, job);
    assert_int_equal(
        source_open(reading.source,
                    &(struct piece){.path = scratch.path, .begin = 5, .end = 9}, &err),
        -ERR_INPUT);
    assert_non_null(strstr(err.text, "can only be read whole"));
    end_reading(&reading);
    free(job);
    scratch_release(&scratch);
}

/* Chunks of a spool: the file around them is none of theirs, and each has the header of
 * its own source. */
static void test_chunks_of_a_spool(void **state)
{
    static const char bytes[] = "HEAD1\t6\n2\t33\n3\t4444\t5\n";
    struct piece piece = {.begin = 4, .end = 8, .name = "pipe", .line = 2};
    struct job *job = small_job(DATA_TSV);
    struct reading reading;
    struct scratch scratch;
    struct err err = {0};
    size_t size;
    char *text;
    FILE *out = open_memstream(&text, &size);

    (void)state;
    scratch_init(&scratch);
    piece.path = scratch_write(&scratch, "segment-1", bytes, sizeof bytes - 1);
    piece.header = "\xef\xbb\xbfy\ta\n";
    piece.header_bytes = 7;
    begin_reading(&reading, job);
    assert_int_equal(read_one(&reading, &piece, out, &err), 0);
    piece = (struct piece){piece.path, 8, 13, "log", "a\ty\n", 4, 7};
    assert_int_equal(read_one(&reading, &piece, out, &err), 0);
    piece.begin = 13; /* its last line has no end, and belongs to nobody else */
    piece.end = 18;
    assert_int_equal(read_one(&reading, &piece, out, &err), 0);
    fflush(out);
    assert_string_equal(text, "@4 6 1\n@8 2 33\n@13 3 444\n");
    piece.begin = 8;
    piece.end = 22;
    assert_int_equal(read_one(&reading, &piece, out, &err), -ERR_INPUT);
    assert_non_null(strstr(err.text, "log line 8: 3 fields, expected 2"));
    end_reading(&reading);
    fclose(out);
    free(text);
    free(job);
    scratch_release(&scratch);
}

/* --- values ---------------------------------------------------------------------- */

/* The index of a spool that hosts share may be here before the bytes are. */
static void test_chunk_that_is_not_all_here(void **state)
{
    struct job *job = small_job(DATA_TSV);
    struct scratch scratch;
    struct piece piece = {.path = scratch.path,
                          .begin = 2,
                          .end = 10,
                          .name = "log",
                          .header = "y\ta\n",
                          .header_bytes = 4,
                          .line = 2};
    struct reading reading;
    struct err err = {0};

    (void)state;
    scratch_init(&scratch);
    scratch_text(&scratch, "segment", "..1\tx\n2\ty");
    begin_reading(&reading, job);
    assert_int_equal(source_open(reading.source, &piece, &err), -ERR_AGAIN);
    assert_non_null(strstr(err.text, "log line 2: "));
    scratch_text(&scratch, "segment", "..1\tx\n2\ty\n");
    assert_int_equal(source_open(reading.source, &piece, &err), 0);
    end_reading(&reading);
    free(job);
    scratch_release(&scratch);
}

static void test_kinds_of_columns(void **state)
{
    struct job *job = small_job(DATA_CSV);
    struct scratch scratch;

    (void)state;
    set(job, "data.columns.g.as", "keys");
    set(job, "data.columns.v.as", "vector");
    set(job, "data.columns.v.dim", "2");
    set(job, "data.columns.v.separator", " ");
    set(job, "data.columns.n.as", "number");
    set(job, "data.columns.n.missing", "mean");
    set(job, "data.columns.t.missing", "mean");
    set(job, "data.columns.t.as", "time");
    set(job, "data.columns.s.as", "text");
    set(job, "data.missing", "?,NA");
    scratch_init(&scratch);
    scratch_text(&scratch, "f",
                 "a,g,v,n,t,s,y\n"
                 "1,2|3,0.5 -1,7.25,10,\"x, \"\"y\"\"\",1\n"
                 "\"12\",,\"3 4\",?,NA,,2\n");
    expect(job, scratch.path,
           "@14 1 2*1,3*1, 0.5,-1, 7.25 10000000 x, \"y\" 1\n"
           "@48 12  3,4, nan -9223372036854775808  2\n");
    scratch_text(&scratch, "f", "a,g,v,n,t,s,y\n1,2,0.5,7,1,x,1\n");
    expect_error(job, scratch.path, "f line 2, column v: 1 numbers, expected 2");
    scratch_text(&scratch, "f", "a,g,v,n,t,s,y\n1,2,1 2,7,soon,x,1\n");
    expect_error(job, scratch.path,
                 "f line 2, column t: 'soon' is no time in the form 'seconds'");
    scratch_text(&scratch, "f", "a,g,v,n,t,s,y\n1,2||3,1 2,7,1,x,1\n");
    expect_error(job, scratch.path, "f line 2, column g: key 2 is empty");
    scratch_text(&scratch, "f", "a,g,v,n,t,s,y\n?,2,1 2,7,1,x,1\n");
    expect_error(job, scratch.path, "f line 2, column a: a value is missing: ?");
    free(job);
    scratch_release(&scratch);
}

/* Fields of all lengths through the fast and the slow way must agree with common/. */
static void test_keys_and_numbers_as_elsewhere(void **state)
{
    static const char *const texts[] = {"0",
                                        "7",
                                        "00",
                                        "007",
                                        "12345678",
                                        "123456789",
                                        "1234567890123456",
                                        "12345678901234567",
                                        "18446744073709551615",
                                        "18446744073709551616",
                                        "-1",
                                        "-9223372036854775808",
                                        "1.5",
                                        "0.1",
                                        ".5",
                                        "5.",
                                        "-.25",
                                        "3.141592653",
                                        "16777217",
                                        "99999999",
                                        "0.000001",
                                        "123456.789012345",
                                        "1e3",
                                        "1.0000000596",
                                        "-0",
                                        "8388608.5000001",
                                        "33554435.0000",
                                        "1000000000000001"};
    struct job *job = small_job(DATA_TSV);
    struct scratch scratch;
    char text[2048] = "a\ty\n", expected[4096] = "";

    (void)state;
    scratch_init(&scratch);
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        snprintf(expected + strlen(expected), sizeof expected - strlen(expected),
                 "@%zu %llu %.9g\n", strlen(text),
                 (unsigned long long)key_of_text(texts[i], strlen(texts[i])),
                 (double)strtof(texts[i], NULL));
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s\t%s\n", texts[i],
                 texts[i]);
    }
    for (int level = 2; level <= 4; level++) {
        char name[] = {'v', (char)('0' + level), '\0'};

        setenv("ROWHOUSE_KERNELS", name, 1);
        expect(job, scratch_text(&scratch, "f", text), expected);
    }
    unsetenv("ROWHOUSE_KERNELS");
    free(job);
    scratch_release(&scratch);
}

/* Columns long enough for the loops with wide registers, and what those leave to others
 * here and there. */
static void test_long_columns(void **state)
{
    enum { ROWS = 3000 };
    struct job *job = small_job(DATA_TSV);
    struct scratch scratch;
    char *text, *expected;
    size_t size, expected_size;
    FILE *in = open_memstream(&text, &size);
    FILE *out = open_memstream(&expected, &expected_size);

    (void)state;
    fprintf(in, "a\ty\n");
    for (uint64_t i = 0; i < ROWS; i++) {
        uint64_t bits = rng_at(2, 3, i);
        char key[32], number[32];

        snprintf(key, sizeof key, "%s%llu", i % 977 == 976 ? "0" : "",
                 (unsigned long long)(rng_at(2, 1, i) >>
                                      (i % 700 == 699 ? 0 : 38 + bits % 26)));
        snprintf(number, sizeof number, "%s%.*f", i % 811 == 810 ? "-" : "",
                 (int)(bits >> 8) % 5, (double)(bits % 2000) / 16);
        fflush(in);
        fprintf(out, "@%zu %llu %.9g\n", size,
                (unsigned long long)key_of_text(key, strlen(key)),
                (double)strtof(number, NULL));
        fprintf(in, "%s\t%s\n", key, number);
    }
    fclose(in);
    fclose(out);
    scratch_init(&scratch);
    scratch_text(&scratch, "f", text);
    for (int level = 2; level <= 4; level++) {
        setenv("ROWHOUSE_KERNELS", (const char *[]){"v2", "v3", "v4"}[level - 2], 1);
        expect(job, scratch.path, expected);
    }
    unsetenv("ROWHOUSE_KERNELS");
    free(text);
    free(expected);
    free(job);
    scratch_release(&scratch);
}

/* The same table with quotes around all fields, some of them or none, of which most are
 * short and plain, and some are not. */
static void print_quoted_table(FILE *out, uint32_t quoted, const char *newline)
{
    static const char *const odd[] = {"12\"\"3", "007", "1e3", "-2.25"};

    fprintf(out, "user,item,x%s", newline);
    for (uint32_t i = 0; i < 3000; i++) {
        const char *user = i % 701 == 700 ? odd[0] : i % 997 == 996 ? odd[1] : NULL;
        const char *x = i % 331 == 330 ? odd[2] : i % 499 == 498 ? odd[3] : NULL;
        bool quote = quoted == 1 || (quoted == 2 && rng_at(7, i, 0) % 64 == 0);
        const char *mark = quote ? "\"" : "", *user_mark = user == odd[0] ? "\"" : mark;

        fprintf(out, "%s", user_mark);
        user ? fprintf(out, "%s", user) : fprintf(out, "%u", i * 37);
        fprintf(out, "%s,%si%u%s,%s", user_mark, mark, i % 9, mark, mark);
        x ? fprintf(out, "%s", x) : fprintf(out, "%u.%u", i % 6, i % 10);
        fprintf(out, "%s%s", mark, newline);
    }
}

/* Without places, which differ. */
static char *read_quoted(struct scratch *scratch, const struct job *job,
                         uint32_t quoted, const char *newline)
{
    FILE *file = fopen(scratch_path(scratch, "quoted.csv"), "w");
    char *text, *to;

    print_quoted_table(file, quoted, newline);
    fclose(file);
    text = to = read_pieces(job, scratch->path, NULL, 0);
    for (const char *from = text; *from;) {
        if (*from == '@')
            from += strcspn(from, " ");
        *to++ = *from++;
    }
    *to = '\0';
    return text;
}

static void test_quotes_change_nothing(void **state)
{
    struct job *job = make_job(DATA_CSV);
    struct scratch scratch;
    char *plain;

    (void)state;
    scratch_init(&scratch);
    set(job, "data.label", "x");
    set(job, "data.columns.user.table", "t");
    set(job, "data.columns.item.table", "t");
    plain = read_quoted(&scratch, job, 0, "\n");
    for (uint32_t quoted = 0; quoted < 3; quoted++)
        for (int crlf = 0; crlf < 2; crlf++) {
            char *text = read_quoted(&scratch, job, quoted, crlf ? "\r\n" : "\n");

            assert_string_equal(text, plain);
            free(text);
        }
    free(plain);
    free(job);
    scratch_release(&scratch);
}

static void test_delimiters(void **state)
{
    struct job *job = small_job(DATA_TSV);
    struct scratch scratch;
    char expected[100];

    (void)state;
    scratch_init(&scratch);
    set(job, "data.delimiter", "::");
    scratch_text(&scratch, "f", "y::a::b\n1::2::3\n4:::5::6\n");
    snprintf(expected, sizeof expected, "@8 2 1\n@16 %llu 4\n",
             (unsigned long long)key_of_text(":5", 2));
    expect(job, scratch.path, expected);
    set(job, "data.delimiter", "\\x01");
    expect(job, scratch_text(&scratch, "f", "y\1a\n1\0012\n"), "@4 2 1\n");
    set(job, "data.delimiter", ", ");
    expect(job, scratch_text(&scratch, "f", "y, a\n1, 2\n"), "@5 2 1\n");
    free(job);
    scratch_release(&scratch);
}

static void test_without_a_header(void **state)
{
    struct job *job = make_job(DATA_TSV);
    struct scratch scratch;

    (void)state;
    scratch_init(&scratch);
    set(job, "data.header", "false");
    set(job, "data.delimiter", " ");
    set(job, "data.label", "3");
    set(job, "data.columns.1.table", "t");
    scratch_text(&scratch, "f", "7 8 9\n 10\t 11  12 \n13 14 15\r\n");
    expect(job, scratch.path, "@0 7 9\n@6 10 12\n@19 13 15\n");
    set(job, "data.names", "u,i,r");
    expect_error(job, scratch.path, "f has no column 3; its columns are u, i, r");
    set(job, "data.label", "r");
    set(job, "data.names", "1,r");
    expect_error(job, scratch.path, "f has 3 columns, but data.names has 2 names");
    scratch_text(&scratch, "f", "1 2\n1 2 3\n");
    expect_error(job, scratch.path, "f line 2: 3 fields, expected 2 as in the first");
    free(job);
    scratch_release(&scratch);
}

static void test_encodings(void **state)
{
    struct job *job = small_job(DATA_CSV);
    struct scratch scratch;

    (void)state;
    set(job, "data.columns.s.as", "text");
    scratch_init(&scratch);
    scratch_text(&scratch, "f", "a,s,y\n1,x,1\n2,Am\xe9lie,2\n3,x,3\n");
    expect_error(job, scratch.path, "f line 3, field 2: the byte 0xe9 is no UTF-8");
    set(job, "data.encoding", "latin-1");
    expect(job, scratch.path, "@6 1 x 1\n@12 2 Am\xc3\xa9lie 2\n@23 3 x 3\n");
    scratch_text(&scratch, "f", "a,s,y\n2,\"\"\"Am\xe9lie\"\"\",2\n");
    expect(job, scratch.path, "@6 2 \"Am\xc3\xa9lie\" 2\n");
    free(job);
    scratch_release(&scratch);
}

/* --- rows left out --------------------------------------------------------------- */

static void test_bad_rows(void **state)
{
    struct job *job = small_job(DATA_TSV);
    struct scratch scratch;
    struct reading reading;
    struct err err = {0};
    char text[512];
    FILE *out;

    (void)state;
    log_set_level(LOG_SILENT);
    scratch_init(&scratch);
    scratch_text(&scratch, "f", "a\ty\n1\tx\n2\n3\t3\n4\t4\t4\n\xff\t5\n\t6\n7\t7\n");
    expect_error(job, scratch.path, "f line 2, column y: 'x' is not a number");
    set(job, "data.bad_rows", "skip");
    set(job, "data.bad_rows_max", "5");
    expect(job, scratch.path, "@10 3 3\n@27 7 7\n");
    begin_reading(&reading, job);
    out = fmemopen(text, sizeof text, "w");
    assert_int_equal(read_piece(&reading, scratch.path, 0, PIECE_END, out, &err), 0);
    assert_int_equal(source_bad_rows(reading.source)->count, 5);
    assert_non_null(strstr(source_bad_rows(reading.source)->first, "f line 2, column"));
    /* what was left out before counts in the next piece, too */
    assert_int_equal(read_piece(&reading, scratch.path, 0, PIECE_END, out, &err),
                     -ERR_INPUT);
    assert_non_null(strstr(err.text, "more than 5 wrong rows (data.bad_rows_max): "));
    fclose(out);
    end_reading(&reading);
    free(job);
    scratch_release(&scratch);
    log_set_level(LOG_INFO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_record_once),
        cmocka_unit_test(test_pieces_of_a_large_file),
        cmocka_unit_test(test_cuts_are_not_in_quotes),
        cmocka_unit_test(test_compressed_files_only_whole),
        cmocka_unit_test(test_chunks_of_a_spool),
        cmocka_unit_test(test_chunk_that_is_not_all_here),
        cmocka_unit_test(test_kinds_of_columns),
        cmocka_unit_test(test_keys_and_numbers_as_elsewhere),
        cmocka_unit_test(test_long_columns),
        cmocka_unit_test(test_quotes_change_nothing),
        cmocka_unit_test(test_delimiters),
        cmocka_unit_test(test_without_a_header),
        cmocka_unit_test(test_encodings),
        cmocka_unit_test(test_bad_rows),
    };

    return cmocka_run_group_tests_name("source", tests, NULL, NULL);
}

/* Rows of TSV and CSV files as keys, labels and titles, and what can be wrong in them.
 */
#include "tests/unit/scratch.h"

#include <fcntl.h>
#include <math.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "common/key.h"
#include "worker/stream/examples.h"

static int64_t user_rows; /* 0: the table is sparse */

/* A job with the columns userId and movieId, a title for the latter, and a rating. */
static void fill_job(struct job *job, enum data_format format)
{
    static const struct job_column columns[] = {
        {.name = "userId", .as = COLUMN_KEY, .table = "user"},
        {.name = "title", .as = COLUMN_TITLE, .table = "item"},
        {.name = "movieId", .as = COLUMN_KEY, .table = "item"}};

    memset(job, 0, sizeof *job);
    job->data.format = format;
    strcpy(job->data.label, "rating");
    memcpy(job->data.column, columns, sizeof columns);
    job->data.columns = 3;
    job->tables = 2;
    strcpy(job->table[0].name, "user");
    strcpy(job->table[1].name, "item");
    job->table[0].rows = user_rows;
}

/* Reads `files` to a text: "user/movie/title/label " for each example. */
static int read_files(enum data_format format, const char *files, bool need_label,
                      char *text, size_t size, struct err *err)
{
    struct job *job = malloc(sizeof *job);
    struct examples *examples;
    struct example example;
    size_t used = 0;
    int rc;

    assert_non_null(job);
    fill_job(job, format);
    text[0] = '\0';
    rc = examples_open(job, files, "data.train",
                       (need_label ? COLUMNS_LABEL : 0) | COLUMNS_TEXTS, &examples,
                       err);
    free(job);
    if (rc)
        return rc;
    assert_int_equal(examples_keys(examples), 2);
    while ((rc = examples_next(examples, &example, err)) > 0) {
        assert_null(example.title[0]);
        for (int i = 0; i < 2; i++)
            assert_true(example.key[i] ==
                        key_of_text(example.key_text[i], strlen(example.key_text[i])));
        used += (size_t)snprintf(text + used, size - used, "%s/%s/%s/%g ",
                                 example.key_text[0], example.key_text[1],
                                 example.title[1] ? example.title[1] : "-",
                                 (double)example.label);
        assert_true(used < size);
    }
    examples_close(examples);
    return rc;
}

static void expect_examples(enum data_format format, const char *files,
                            const char *expected)
{
    char text[4096];
    struct err err = {0};

    if (read_files(format, files, true, text, sizeof text, &err))
        fail_msg("%s", err.text);
    assert_string_equal(text, expected);
}

static void expect_error(enum data_format format, const char *files, int code,
                         const char *sentence)
{
    char text[4096];
    struct err err = {0};

    assert_int_equal(read_files(format, files, true, text, sizeof text, &err), -code);
    assert_int_equal(err.code, code);
    if (!strstr(err.text, sentence))
        fail_msg("'%s' has no '%s'", err.text, sentence);
}

/* --- good files ------------------------------------------------------------------ */

static void test_tsv(void **state)
{
    static const char *const cases[][2] = {
        {"userId\tmovieId\trating\ttitle\n1\t31\t2.5\tDangerous Minds\n2\t7\t4\tX\n",
         "1/31/Dangerous Minds/2.5 2/7/X/4 "},
        {"a\ttitle\trating\tb\tmovieId\tuserId\tc\r\n1\tT\t3\t\"\tm\tu\t\r\n",
         "u/m/T/3 "},
        {"\xef\xbb\xbfuserId\tmovieId\trating\ttitle\n1\t2\t3\t\n", "1/2/-/3 "},
        {"userId\tmovieId\trating\ttitle", ""},
        {"userId\tmovieId\trating\ttitle\n1\t2\t3\t\"4\"", "1/2/\"4\"/3 "},
        {"title\tuserId\tmovieId\trating\n\xef\xbb\xbfT\t1\t2\t3\n",
         "1/2/\xef\xbb\xbfT/3 "},
        {"userId\tmovieId\trating\ttitle\td1\td2\td3\td4\td5\td6\td7\td8\td9\n"
         "1\t2\t3\tT\t\t\t\t\t\t\t\t\t\n4\t5\t6\tT\t1\t22\t333\t4444\t\t\t\t\t999999\n",
         "1/2/T/3 4/5/T/6 "},
    };
    struct scratch scratch;

    (void)state;
    scratch_init(&scratch);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_examples(DATA_TSV, scratch_text(&scratch, "a.tsv", cases[i][0]),
                        cases[i][1]);
    scratch_release(&scratch);
}

static void test_csv(void **state)
{
    static const char *const cases[][2] = {
        {"userId,movieId,rating,title\n1,31,2.5,Dangerous Minds\n",
         "1/31/Dangerous Minds/2.5 "},
        {"\"userId\",\"movieId\",\"rating\",\"title\"\r\n\"1\",\"31\",\"2.5\",\"a, "
         "b\"\r\n",
         "1/31/a, b/2.5 "},
        {"userId,movieId,rating,title\n1,2,3,\"\"\n1,2,3,\"\"\"\"\n1,2,3,\"a \"\"b\"\" "
         "c\"\n"
         "1,2,3,\"\"\"a\"\"\"\"\"\n1,2,3,\",\"\n",
         "1/2/-/3 1/2/\"/3 1/2/a \"b\" c/3 1/2/\"a\"\"/3 1/2/,/3 "},
        {"title,userId,movieId,rating\n\"x\",\"u\"\"1\",m,3\n", "u\"1/m/x/3 "},
        {"userId,movieId,rating,title,note\n1,2,3,T,\"a \"\"note\"\", with a comma\"\n",
         "1/2/T/3 "},
        {"\xef\xbb\xbf\"userId\",movieId,rating,title\n1,2,3,a\tb\n", "1/2/a\tb/3 "},
        /* a field over several lines */
        {"userId,movieId,rating,title\n1,2,3,\"a\nb\"\n4,5,6,\"\r\n\r\n\"\"c\"\n7,8,9,"
         "d",
         "1/2/a\nb/3 4/5/\n\n\"c/6 7/8/d/9 "},
        {"note,userId,movieId,rating,title\n\"\n,,,,\n\",1,2,3,T\n", "1/2/T/3 "},
        {"\"userId\",\"movie\"\"\nId\",movieId,rating,title\n1,0,2,3,T\n", "1/2/T/3 "},
    };
    struct scratch scratch;

    (void)state;
    scratch_init(&scratch);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_examples(DATA_CSV, scratch_text(&scratch, "a.csv", cases[i][0]),
                        cases[i][1]);
    scratch_release(&scratch);
}

static void test_lists_and_globs(void **state)
{
    static const char *const header = "userId\tmovieId\trating\ttitle\n";
    char list[4096], text[256];
    struct scratch scratch;

    (void)state;
    scratch_init(&scratch);
    for (int i = 9; i >= 0; i--) {
        char name[16];

        snprintf(name, sizeof name, "%c%d.tsv", i < 5 ? 'a' : 'B', i);
        snprintf(text, sizeof text, "%s%d\t0\t0\tT\n", header, i);
        scratch_text(&scratch, name, text);
    }
    snprintf(text, sizeof text, "%s77\t0\t0\tT\n", header);
    scratch_text(&scratch, "[a]*.tsv", text);
    /* in byte order within a glob, in the list's order between its items */
    expect_examples(DATA_TSV, scratch_path(&scratch, "?[4-6].tsv"),
                    "5/0/T/0 6/0/T/0 4/0/T/0 ");
    snprintf(list, sizeof list, "%s/B7.tsv\n%s/a*.tsv\n%s/B6.tsv", scratch.dir,
             scratch.dir, scratch.dir);
    expect_examples(DATA_TSV, list,
                    "7/0/T/0 0/0/T/0 1/0/T/0 2/0/T/0 3/0/T/0 4/0/T/0 6/0/T/0 ");
    /* a file of that very name comes before what the glob means */
    expect_examples(DATA_TSV, scratch_path(&scratch, "[a]*.tsv"), "77/0/T/0 ");
    expect_error(DATA_TSV, scratch_path(&scratch, "c*.tsv"), ERR_INPUT,
                 "data.train: no file matches ");
    expect_error(DATA_TSV, scratch_path(&scratch, "none/*.tsv"), ERR_INPUT,
                 "data.train: no file matches ");
    snprintf(list, sizeof list, "%s/a1.tsv\n%s/a*.tsv", scratch.dir, scratch.dir);
    expect_error(DATA_TSV, list, ERR_INPUT, "/a1.tsv is there twice");
    expect_error(DATA_TSV, "", ERR_INPUT, "data.train names no file");
    scratch_release(&scratch);
}

/* Each file has its own order of columns; the files without examples are passed over.
 */
static void test_files_may_differ(void **state)
{
    char list[4096];
    struct scratch scratch;

    (void)state;
    scratch_init(&scratch);
    scratch_text(&scratch, "1", "userId\tmovieId\trating\ttitle\n");
    scratch_text(&scratch, "2", "userId\tmovieId\trating\ttitle\n1\t2\t3\tT\n");
    scratch_text(&scratch, "3", "rating\ttitle\n");
    scratch_text(&scratch, "4", "x\ttitle\trating\tmovieId\tuserId\n0\tT\t3\t2\t1\n");
    snprintf(list, sizeof list, "%s/1\n%s/2\n%s/4", scratch.dir, scratch.dir,
             scratch.dir);
    expect_examples(DATA_TSV, list, "1/2/T/3 1/2/T/3 ");
    /* the wrong one is found before any example is read */
    snprintf(list, sizeof list, "%s/1\n%s/2\n%s/3", scratch.dir, scratch.dir,
             scratch.dir);
    expect_error(DATA_TSV, list, ERR_INPUT, "/3 has no column userId");
    scratch_release(&scratch);
}

static void test_pipes_are_opened_once(void **state)
{
    static const char text[] = "userId\tmovieId\trating\ttitle\n1\t2\t3\tT\n";
    char list[4096], pipes[2][512];
    struct scratch scratch;
    int status;
    pid_t child;

    (void)state;
    scratch_init(&scratch);
    scratch_text(&scratch, "file", text);
    for (int i = 0; i < 2; i++) {
        snprintf(pipes[i], sizeof pipes[i], "%s/pipe%d", scratch.dir, i);
        assert_int_equal(mkfifo(pipes[i], 0600), 0);
    }
    child = fork();
    if (child == 0) {
        for (int i = 0; i < 2; i++) {
            int fd = open(pipes[i], O_WRONLY);

            if (write(fd, text, strlen(text)) != (ssize_t)strlen(text))
                _exit(1);
            close(fd);
        }
        _exit(0);
    }
    snprintf(list, sizeof list, "%s\n%s/file\n%s", pipes[0], scratch.dir, pipes[1]);
    expect_examples(DATA_TSV, list, "1/2/T/3 1/2/T/3 1/2/T/3 ");
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    scratch_release(&scratch);
}

static void test_label_and_titles_may_be_missing(void **state)
{
    char text[256];
    struct scratch scratch;
    struct err err;

    (void)state;
    scratch_init(&scratch);
    scratch_text(&scratch, "a.tsv", "movieId\tuserId\n1\t2\n");
    assert_int_equal(read_files(DATA_TSV, scratch.path, false, text, sizeof text, &err),
                     0);
    assert_string_equal(text, "2/1/-/nan ");
    /* a label that is there is not looked at, a title is taken */
    scratch_text(&scratch, "a.tsv", "movieId\tuserId\trating\ttitle\n1\t2\tx\tT\n");
    assert_int_equal(read_files(DATA_TSV, scratch.path, false, text, sizeof text, &err),
                     0);
    assert_string_equal(text, "2/1/T/nan ");
    scratch_text(&scratch, "a.tsv", "movieId\trating\n1\t2\n");
    assert_int_equal(read_files(DATA_TSV, scratch.path, false, text, sizeof text, &err),
                     -ERR_INPUT);
    scratch_release(&scratch);
}

static void test_where_is_file_and_first_line(void **state)
{
    static const int lines[] = {2, 4, 5};
    struct job *job = malloc(sizeof *job);
    struct examples *examples;
    struct example example;
    struct scratch scratch;
    struct err err;
    char where[1100];

    (void)state;
    assert_non_null(job);
    scratch_init(&scratch);
    fill_job(job, DATA_CSV);
    scratch_text(&scratch, "a.csv",
                 "userId,movieId,rating,title\n1,2,3,\"a\nb\"\n4,5,6,c\n7,8,9,d\n");
    assert_int_equal(examples_open(job, scratch.path, "--data",
                                   COLUMNS_LABEL | COLUMNS_TEXTS, &examples, &err),
                     0);
    free(job);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(examples_next(examples, &example, &err), 1);
        snprintf(where, sizeof where, "%s line %d", scratch.path, lines[i]);
        assert_string_equal(examples_where(examples), where);
    }
    assert_int_equal(examples_next(examples, &example, &err), 0);
    examples_close(examples);
    scratch_release(&scratch);
}

/* --- bad files ------------------------------------------------------------------- */

static void test_headers_without_a_column(void **state)
{
    static const char *const cases[][2] = {
        {"", "a.tsv is empty, expected a line with the names of its columns"},
        {"userid\tmovieId\trating\ttitle\n", "data.train: "},
        {"userid\tmovieId\trating\ttitle\n",
         "a.tsv has no column userId (did you mean userid?); its columns are userid, "
         "movieId, rating, title"},
        {"userId\tmovie_id\trating\ttitle\n",
         "a.tsv has no column movieId (did you mean movie_id?)"},
        {"userId\tmovieId\tstars\ttitle\n",
         "a.tsv has no column rating; its columns are userId, movieId, stars, title"},
        {"userId\tmovieId\trating\n", "a.tsv has no column title; its columns are"},
        {"userId,movieId,rating,title\n",
         "its columns are userId,movieId,rating,title (is data.format right?)"},
        {"userId\tmovieId\trating\ttitle\tuserId\n",
         "a.tsv has two columns userId (fields 1 and 5)"},
        {"u\x1b[31m\tmovieId\trating\ttitle\n", "its columns are u?[31m, movieId"},
    };
    struct scratch scratch;

    (void)state;
    scratch_init(&scratch);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_error(DATA_TSV, scratch_text(&scratch, "a.tsv", cases[i][0]), ERR_INPUT,
                     cases[i][1]);
    scratch_release(&scratch);
}

static void test_wide_headers(void **state)
{
    enum { SIZE = 70000 };
    char *header = malloc(SIZE);
    struct scratch scratch;

    (void)state;
    assert_non_null(header);
    scratch_init(&scratch);
    for (size_t i = 0; i < SIZE; i++)
        header[i] = "column\t"[i % 7];
    scratch_write(&scratch, "a.tsv", header, 999 * 7 + 6);
    expect_error(DATA_TSV, scratch.path, ERR_INPUT, "column, ... (1000 in all)");
    memset(header, '\t', SIZE);
    scratch_write(&scratch, "a.tsv", header, SIZE);
    expect_error(DATA_TSV, scratch.path, ERR_INPUT,
                 "a.tsv has 70001 columns, expected at most 65535");
    free(header);
    scratch_release(&scratch);
}

static void test_bad_lines(void **state)
{
    static const char *const header =
        "userId\tmovieId\trating\ttitle\textra\n1\t2\t3\tT\t\n";
    static const char *const cases[][2] = {
        {"1\t2\t3\tT\n", "a.tsv line 3: 4 fields, expected 5 as in the header"},
        {"1\t2\n", "a.tsv line 3: 2 fields, expected 5 as in the header"},
        {"\n", "a.tsv line 3: 1 field, expected 5 as in the header"},
        {"1\t2\t3\tT\t\t\n", "a.tsv line 3: 6 fields, expected 5 as in the header"},
        {"1\t2\t3\tT\t\n1\t2\t3\tT\t123456789\t\t12345678901\t\n",
         "a.tsv line 4: 8 fields, expected 5 as in the header"},
        {"1\t2\tfour\tT\t\n", "a.tsv line 3, column rating: 'four' is not a number"},
        {"1\t2\t\tT\t\n", "a.tsv line 3, column rating: '' is not a number"},
        {"1\t2\tnan\tT\t\n", "a.tsv line 3, column rating: 'nan' is not a number"},
        {"1\t2\t-1e39\tT\t\n",
         "a.tsv line 3, column rating: '-1e39' is too large for a float"},
        {"1\t2\t\x1b[2J\tT\t\n", "column rating: '?[2J' is not a number"},
        {"1\t2\tEin langes Wort, das keine Zahl ist, auch wenn man es lange "
         "ansieht\tT\t\n",
         "'Ein langes Wort, das keine Zahl ist, auch wenn man es lange ...' is"},
        {"\t2\t3\tT\t\n", "a.tsv line 3, column userId: the key is empty"},
        {"1\t\t3\tT\t\n", "a.tsv line 3, column movieId: the key is empty"},
    };
    struct scratch scratch;
    char text[1024];

    (void)state;
    scratch_init(&scratch);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(text, sizeof text, "%s%s", header, cases[i][0]);
        expect_error(DATA_TSV, scratch_text(&scratch, "a.tsv", text), ERR_INPUT,
                     cases[i][1]);
    }
    scratch_release(&scratch);
}

static void test_keys_of_dense_tables(void **state)
{
    static const char *const header = "userId\tmovieId\trating\ttitle\n";
    static const char *const cases[][2] = {
        {"100", "a.tsv line 3, column userId: the key '100' is no row of table user, "
                "which has the rows 0 to 99 (tables.user.rows)"},
        {"-1", "column userId: the key '-1' is no row of table user"},
        {"Bob", "column userId: the key 'Bob' is no row of table user"},
        {"007", "column userId: the key '007' is no row of table user"},
    };
    struct scratch scratch;
    char text[1024];

    (void)state;
    scratch_init(&scratch);
    user_rows = 100;
    snprintf(text, sizeof text, "%s0\t-7\t3\tT\n99\tx\t3\tT\n", header);
    expect_examples(DATA_TSV, scratch_text(&scratch, "a.tsv", text),
                    "0/-7/T/3 99/x/T/3 ");
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(text, sizeof text, "%s5\t1\t3\tT\n%s\t2\t3\tT\n", header, cases[i][0]);
        expect_error(DATA_TSV, scratch_text(&scratch, "a.tsv", text), ERR_INPUT,
                     cases[i][1]);
    }
    user_rows = 0;
    scratch_release(&scratch);
}

static void test_bad_quotes(void **state)
{
    static const char *const cases[][2] = {
        {"1,2,3,a\"b\"\n", "a.csv line 2, field 4: quotes must stand around a whole"},
        {"1,\"2\"x,3,T\n", "a.csv line 2, field 2: quotes must stand around a whole"},
        {"1,2,3,T\n1,2,\"3\" ,T\n", "a.csv line 3, field 3: quotes must"},
        {"1,2,3,\"a\nb\" \"\n\"\n", "a.csv line 2, field 4: quotes must"},
        {"1,2,3,\"T\n", "a.csv line 2: a quoted field begins and does not end"},
        {"1,2,3,\"a\nb\nc\n", "a.csv line 2: a quoted field begins and does not end"},
        {"1,2,3,\"a\nb\"\n1,2,3,4,\"\n\"\n", "a.csv line 4: 5 fields, expected 4"},
    };
    struct scratch scratch;
    char text[1024];

    (void)state;
    scratch_init(&scratch);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        snprintf(text, sizeof text, "userId,movieId,rating,title\n%s", cases[i][0]);
        expect_error(DATA_CSV, scratch_text(&scratch, "a.csv", text), ERR_INPUT,
                     cases[i][1]);
    }
    scratch_release(&scratch);
}

/* A quote that is never closed must not swallow a large file. */
static void test_a_quoted_field_is_bounded(void **state)
{
    static const char start[] = "userId,movieId,rating,title\n1,2,3,\"T\n";
    const size_t size = 3 << 20;
    char *text = malloc(size);
    struct scratch scratch;

    (void)state;
    assert_non_null(text);
    scratch_init(&scratch);
    memcpy(text, start, sizeof start - 1);
    for (size_t i = sizeof start - 1; i < size; i++)
        text[i] = i % 50 == 0 ? '\n' : 'x';
    text[size - 1] = '"';
    expect_error(
        DATA_CSV, scratch_write(&scratch, "a.csv", text, size), ERR_INPUT,
        "a.csv line 2: a quoted field begins and does not end (a record has at "
        "most 1048576 bytes)");
    text[1 << 20] = '"'; /* and is fine when it ends in time */
    memset(text, 'x', sizeof start);
    memcpy(text, "x,userId,movieId,rating,title\n\"", 31);
    memcpy(text + (1 << 20) + 1, ",1,2,3,T\n", 9);
    scratch_write(&scratch, "a.csv", text, (1 << 20) + 10);
    expect_examples(DATA_CSV, scratch.path, "1/2/T/3 ");
    free(text);
    scratch_release(&scratch);
}

static void test_files_that_are_not_there(void **state)
{
    char list[4096];
    struct scratch scratch;

    (void)state;
    scratch_init(&scratch);
    scratch_text(&scratch, "a.tsv", "userId\tmovieId\trating\ttitle\n");
    snprintf(list, sizeof list, "%s/a.tsv\n%s/b.tsv", scratch.dir, scratch.dir);
    expect_error(DATA_TSV, list, ERR_INPUT, "/b.tsv: no such file");
    scratch_release(&scratch);
}

/* A folder is its visible files, in the order of their bytes, and no folder in it. */
static void test_folders(void **state)
{
    static const char head[] = "userId\tmovieId\trating\ttitle\n";
    char list[1024], text[128];
    struct scratch scratch;

    (void)state;
    scratch_init(&scratch);
    expect_error(DATA_TSV, scratch.dir, ERR_INPUT, " has no file");
    for (int i = 0; i < 3; i++) {
        snprintf(text, sizeof text, "%s%d\t2\t3\tT\n", head, i);
        scratch_text(&scratch, (const char *[]){"b", "a", "Z"}[i], text);
    }
    scratch_text(&scratch, ".hidden", "x");
    assert_int_equal(mkdir(scratch_path(&scratch, "c"), 0700), 0);
    expect_examples(DATA_TSV, scratch.dir, "2/2/T/3 1/2/T/3 0/2/T/3 ");
    snprintf(list, sizeof list, "%s/\n%s/a", scratch.dir, scratch.dir);
    expect_error(DATA_TSV, list, ERR_INPUT, "/a is there twice");
    scratch_release(&scratch);
}

static void test_standard_input(void **state)
{
    struct scratch scratch;
    int before = dup(STDIN_FILENO), fd;

    (void)state;
    scratch_init(&scratch);
    fd = open(
        scratch_text(&scratch, "a", "userId\tmovieId\trating\ttitle\n1\t2\t3\tT\n"),
        O_RDONLY);
    assert_int_equal(dup2(fd, STDIN_FILENO), STDIN_FILENO);
    expect_examples(DATA_TSV, "-", "1/2/T/3 ");
    expect_error(DATA_TSV, "-", ERR_INPUT, "standard input is empty, expected a line");
    expect_error(DATA_TSV, "-\n-", ERR_INPUT, "- is there twice");
    dup2(before, STDIN_FILENO);
    close(before);
    close(fd);
    scratch_release(&scratch);
}

/* One that goes away between the look at its header and its turn. */
static void test_a_file_that_goes_away(void **state)
{
    struct job *job = malloc(sizeof *job);
    struct examples *examples;
    struct example example;
    struct scratch scratch;
    char list[1024];
    struct err err;

    (void)state;
    assert_non_null(job);
    scratch_init(&scratch);
    fill_job(job, DATA_TSV);
    scratch_text(&scratch, "a", "userId\tmovieId\trating\ttitle\n");
    scratch_text(&scratch, "b", "userId\tmovieId\trating\ttitle\n");
    snprintf(list, sizeof list, "%s/a\n%s/b", scratch.dir, scratch.dir);
    assert_int_equal(examples_open(job, list, "data.train",
                                   COLUMNS_LABEL | COLUMNS_TEXTS, &examples, &err),
                     0);
    assert_int_equal(remove(scratch.path), 0);
    assert_int_equal(examples_next(examples, &example, &err), -ERR_INPUT);
    assert_non_null(strstr(err.text, "/b: no such file"));
    examples_close(examples);
    free(job);
    scratch_release(&scratch);
}

static void test_jobs_without_columns(void **state)
{
    struct job *job = malloc(sizeof *job);
    struct examples *examples;
    struct err err;

    (void)state;
    assert_non_null(job);
    fill_job(job, DATA_TSV);
    job->data.label[0] = '\0';
    assert_int_equal(examples_open(job, "a", "data.train",
                                   COLUMNS_LABEL | COLUMNS_TEXTS, &examples, &err),
                     -ERR_INPUT);
    assert_string_equal(err.text, "data.label is not set");
    job->data.columns = 0;
    assert_int_equal(examples_open(job, "a", "data.train",
                                   COLUMNS_LABEL | COLUMNS_TEXTS, &examples, &err),
                     -ERR_INPUT);
    assert_string_equal(err.text, "data.columns has no column that is a key");
    free(job);
    examples_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tsv),
        cmocka_unit_test(test_csv),
        cmocka_unit_test(test_lists_and_globs),
        cmocka_unit_test(test_files_may_differ),
        cmocka_unit_test(test_pipes_are_opened_once),
        cmocka_unit_test(test_label_and_titles_may_be_missing),
        cmocka_unit_test(test_where_is_file_and_first_line),
        cmocka_unit_test(test_headers_without_a_column),
        cmocka_unit_test(test_wide_headers),
        cmocka_unit_test(test_bad_lines),
        cmocka_unit_test(test_keys_of_dense_tables),
        cmocka_unit_test(test_bad_quotes),
        cmocka_unit_test(test_a_quoted_field_is_bounded),
        cmocka_unit_test(test_files_that_are_not_there),
        cmocka_unit_test(test_folders),
        cmocka_unit_test(test_standard_input),
        cmocka_unit_test(test_a_file_that_goes_away),
        cmocka_unit_test(test_jobs_without_columns),
    };

    return cmocka_run_group_tests_name("examples", tests, NULL, NULL);
}

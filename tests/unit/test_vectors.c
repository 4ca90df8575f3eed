/* Files of vectors: what is read from each form, and what is refused. */
#include "server/vectors.h"

#include <math.h>
#include <zlib.h>

#include "common/key.h"
#include "tests/unit/scratch.h"

enum { DIM = 3, WIDTH = 4 };

/* What was taken, as text: "key=v1,v2,v3 ". */
struct seen {
    char text[4096];
    uint64_t odd; /* a key that is not wanted */
    int rc;       /* what taking returns */
};

static bool wants(void *context, uint64_t key)
{
    return key != ((struct seen *)context)->odd;
}

static int take(void *context, uint64_t key, const float *values, uint32_t n,
                struct err *err)
{
    struct seen *seen = context;
    size_t used = strlen(seen->text);

    used += (size_t)snprintf(seen->text + used, sizeof seen->text - used,
                             "%llu=", (unsigned long long)key);
    for (uint32_t i = 0; i < n; i++)
        used += (size_t)snprintf(seen->text + used, sizeof seen->text - used, "%s%g",
                                 i ? "," : "", (double)values[i]);
    snprintf(seen->text + used, sizeof seen->text - used, " ");
    return seen->rc ? err_set(err, seen->rc, "full") : 0;
}

static int read_bytes(const void *bytes, size_t size, struct seen *seen,
                      struct err *err)
{
    const struct vectors_sink sink = {wants, take, seen};
    struct scratch scratch;
    int rc;

    *err = (struct err){0, ""};
    scratch_init(&scratch);
    rc = vectors_read(scratch_write(&scratch, "v", bytes, size), DIM, WIDTH, &sink,
                      err);
    scratch_release(&scratch);
    return rc;
}

static void reads(const char *text, const char *expected)
{
    struct seen seen = {.odd = 99};
    struct err err;
    int rc = read_bytes(text, strlen(text), &seen, &err);

    assert_string_equal(err.text, "");
    assert_int_equal(rc, 0);
    assert_string_equal(seen.text, expected);
}

static void refuses_bytes(const void *bytes, size_t size, const char *part)
{
    struct seen seen = {.odd = 99};
    struct err err;

    assert_int_equal(read_bytes(bytes, size, &seen, &err), -ERR_INPUT);
    assert_int_equal(err.code, ERR_INPUT);
    if (!strstr(err.text, part))
        fail_msg("'%s' has no '%s'", err.text, part);
}

static void refuses(const char *text, const char *part)
{
    refuses_bytes(text, strlen(text), part);
}

/* --- text ------------------------------------------------------------------------- */

static void text_has_many_forms(void **state)
{
    char expected[200];

    (void)state;
    reads("7 1 2 3\n8 -1 .5 1e-3\n", "7=1,2,3 8=-1,0.5,0.001 ");
    reads("7 1 2 3 \n8 4 5 6 \n", "7=1,2,3 8=4,5,6 "); /* as word2vec ends lines */
    reads("2 3\n7 1 2 3\n8 4 5 6", "7=1,2,3 8=4,5,6 ");
    reads("2 3 \r\n7 1 2 3\r\n8 4 5 6\r\n", "7=1,2,3 8=4,5,6 ");
    reads("\xef\xbb\xbf"
          "7 1 2 3\n",
          "7=1,2,3 ");
    reads("7\t1\t2\t3\n", "7=1,2,3 ");
    reads("1\t3\n7\t1\t2\t3\n", "7=1,2,3 ");
    reads("key,v0,v1,v2\n7,1,2,3\n", "7=1,2,3 ");
    reads("key,v0,v1,v2,bias\n7,1,2,3,4\n", "7=1,2,3,4 ");
    reads("7,1,2,3\n", "7=1,2,3 ");
    reads("7 1 2 3 4\n8 5 6 7 8\n", "7=1,2,3,4 8=5,6,7,8 ");   /* with the bias */
    reads("99 1 2 nonsense\n7 1 2 3\n99 4 5 6\n", "7=1,2,3 "); /* not ours */
    /* Keys are those of data. */
    snprintf(expected, sizeof expected, "%llu=1,2,3 18446744073709551615=4,5,6 ",
             (unsigned long long)key_of_text("Am\xc3\xa9lie", 7));
    reads("Am\xc3\xa9lie 1 2 3\n-1 4 5 6\n", expected);
    snprintf(expected, sizeof expected, "%llu=1,2,3 ",
             (unsigned long long)key_of_text("The Matrix, 1999", 16));
    reads("The Matrix, 1999\t1\t2\t3\n", expected);
    snprintf(expected, sizeof expected, "%llu=1,2,3 ",
             (unsigned long long)key_of_text("3.5,x", 5));
    reads("3.5,x 1 2 3\n", expected);
}

static void wrong_text_is_refused(void **state)
{
    (void)state;
    refuses("", "v has no vectors");
    refuses("2 3\n", "v has no vectors");
    refuses("7 1 2\n",
            "v line 1: a vector of 2 numbers, expected 3, or 4 with the bias");
    refuses("7 1 2 3 4 5\n", "line 1: a vector of 5 numbers, expected 3, or 4");
    refuses("7\n", "line 1: a vector of 0 numbers");
    refuses("7 1 2 3\n\n8 1 2 3\n", "line 2: a vector of 0 numbers, expected 3");
    refuses("7 1 2 3\n8 1 2 3 4\n", "line 2: a vector of 4 numbers, expected 3");
    refuses("7 1 2 3\n8 1 2", "line 2: a vector of 2 numbers, expected 3");
    refuses("7 1  2 3\n", "line 1: '' is not a number");
    refuses("7 1  2\n", "line 1: '' is not a number");
    refuses("7 1 two 3\n", "line 1: 'two' is not a number");
    refuses("7 1 nan 3\n", "line 1: 'nan' is not a number");
    refuses("7 1 2 inf\n", "line 1: 'inf' is not a number");
    refuses("7 1 2 1e39\n", "line 1: '1e39' is too large for a float");
    refuses(" 1 2 3\n", "line 1: ' 1 2 3' has no key");
    refuses("2 300\n7 1 2 3\n", "line 1: a vector of 300 numbers, expected 3, or 4");
    refuses("3 3\n7 1 2 3\n8 1 2 3\n",
            "v has 2 vectors, its first line says 3: it is truncated");
    refuses("1 3\n7 1 2 3\n8 1 2 3\n", "v has 2 vectors, its first line says 1");
    refuses("7 1 2 3\n8 1 2 3\n7 4 5 6\n", "line 3: the same key as on line 1");
    refuses("a 1 2 3\n7 1 2 3\na 4 5 6\n", "line 3: the same key as on line 1");
    refuses("7 1 2 3\nkey,4,5,6\n", "line 2: a vector of 0 numbers, expected 3");
}

/* A table whose vectors are one number: two whole numbers are a key and its number. */
static void vectors_of_one_number(void **state)
{
    struct seen seen = {.odd = 99};
    const struct vectors_sink sink = {wants, take, &seen};
    struct scratch scratch;
    struct err err = {0, ""};

    (void)state;
    scratch_init(&scratch);
    assert_int_equal(
        vectors_read(scratch_text(&scratch, "v", "5 1\n6 2\n"), 1, 1, &sink, &err), 0);
    assert_string_equal(seen.text, "5=1 6=2 ");
    scratch_release(&scratch);
}

static void who_takes_may_fail(void **state)
{
    struct seen seen = {.odd = 99, .rc = ERR_MEMORY};
    struct err err;

    (void)state;
    assert_int_equal(read_bytes("7 1 2 3\n8 1 2 3\n", 16, &seen, &err), -ERR_MEMORY);
    assert_string_equal(seen.text, "7=1,2,3 ");
}

static void packed_files_are_unpacked(void **state)
{
    static const char text[] = "2 3\n7 1 2 3\n8 4 5 6\n";
    const struct vectors_sink sink = {wants, take, NULL};
    struct seen seen = {.odd = 99};
    struct vectors_sink to = sink;
    unsigned char bytes[200];
    struct scratch scratch;
    struct err err = {0, ""};
    size_t size;
    gzFile gz;
    FILE *in;

    (void)state;
    to.context = &seen;
    scratch_init(&scratch);
    gz = gzopen(scratch_path(&scratch, "v"), "wb");
    assert_int_equal(gzwrite(gz, text, sizeof text - 1), sizeof text - 1);
    gzclose(gz);
    assert_int_equal(vectors_read(scratch.path, DIM, WIDTH, &to, &err), 0);
    assert_string_equal(seen.text, "7=1,2,3 8=4,5,6 ");
    in = fopen(scratch.path, "rb");
    size = fread(bytes, 1, sizeof bytes, in);
    fclose(in);
    scratch_release(&scratch);
    refuses_bytes(bytes, size - 5, "v is truncated");
}

/* --- NumPy ------------------------------------------------------------------------ */

/* A file in NumPy's format 1.0 (or 2.0) with this header and numbers. */
static size_t npy(unsigned char *to, int version, const char *header,
                  const void *numbers, size_t bytes)
{
    size_t length = strlen(header), at = 8;

    memcpy(to, "\x93NUMPY", 6);
    to[6] = (unsigned char)version;
    to[7] = 0;
    to[at++] = (unsigned char)length;
    to[at++] = (unsigned char)(length >> 8);
    for (int i = 0; version > 1 && i < 2; i++)
        to[at++] = 0;
    memcpy(to + at, header, length);
    memcpy(to + at + length, numbers, bytes);
    return at + length + bytes;
}

#define F4 "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }   \n"
#define F8 "{'descr': '<f8', 'fortran_order': False, 'shape': (2, 3), }   \n"

static const float singles[] = {1, 2, 3, 4, 5, 0.5f};
static const double doubles[] = {1, 2, 3, 4, 5, 0.1};

static void matrices_are_read(void **state)
{
    unsigned char bytes[512];
    struct seen seen = {.odd = 99};
    struct err err;

    (void)state;
    assert_int_equal(
        read_bytes(bytes, npy(bytes, 1, F4, singles, sizeof singles), &seen, &err), 0);
    assert_string_equal(seen.text, "0=1,2,3 1=4,5,0.5 ");
    seen = (struct seen){.odd = 0};
    assert_int_equal(
        read_bytes(bytes, npy(bytes, 2, F8, doubles, sizeof doubles), &seen, &err), 0);
    assert_string_equal(seen.text, "1=4,5,0.1 ");
}

static void wrong_matrices_are_refused(void **state)
{
    static const char *const headers[] = {
        "{'descr': '>f4', 'fortran_order': False, 'shape': (2, 3), }",
        "{'descr': '<i4', 'fortran_order': False, 'shape': (2, 3), }",
        "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (6,), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (1, 2, 3), }",
        "{'descr': '<f4', 'fortran_order': False, 'shape': (2, x), }",
        "{'descr': '<f4', 'fortran_order': False}",
        "{'descr' '<f4'}",
        "",
    };
    static const float bad[] = {1, 2, 3, 4, NAN, 6};
    static const double large[] = {1, 2, 3, 4, 1e300, 6};
    unsigned char bytes[512];
    size_t size;

    (void)state;
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        size = npy(bytes, 1, headers[i], singles, sizeof singles);
        refuses_bytes(bytes, size, "v: expected a NumPy array of <f4 or <f8 with two");
    }
    size = npy(bytes, 1, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 7)}",
               "", 0);
    refuses_bytes(bytes, size, "v: vectors of 7 numbers, expected 3");
    size = npy(bytes, 1, "{'descr': '<f4', 'fortran_order': False, 'shape': (0, 3)}",
               "", 0);
    refuses_bytes(bytes, size, "v has no vectors");
    size = npy(bytes, 1, F4, bad, sizeof bad);
    refuses_bytes(bytes, size, "v row 1, column 1: not a finite float");
    size = npy(bytes, 1, F8, large, sizeof large);
    refuses_bytes(bytes, size, "v row 1, column 1: not a finite float");
    size = npy(bytes, 1, F4, singles, sizeof singles);
    refuses_bytes(bytes, size - 1,
                  "v is truncated: its header says 2 rows, number 1 is not whole");
    refuses_bytes(bytes, size + 1, "v goes on behind its 2 rows");
    for (size_t cut = 6; cut < 8 + 2 + strlen(F4); cut++)
        refuses_bytes(bytes, cut, "v is truncated: its NumPy header is not whole");
    size = npy(bytes, 2, F4, singles, sizeof singles);
    bytes[10] = 9;
    refuses_bytes(bytes, size, "v: a NumPy header of");
}

/* --- the same file --------------------------------------------------------------- */

static void a_run_goes_on_with_its_file(void **state)
{
    struct job *job = malloc(sizeof *job);
    struct scratch scratch;
    struct err err = {0, ""};
    char digest[17];

    (void)state;
    assert_non_null(job);
    scratch_init(&scratch);
    job_init(job);
    assert_int_equal(job_set(job, "tables.a", NULL, "", &err), 0);
    assert_int_equal(job_set(job, "tables.b.vectors",
                             scratch_text(&scratch, "v", "7 1 2 3\n"), "", &err),
                     0);
    assert_int_equal(vectors_pin(job, &err), 0);
    assert_string_equal(job->table[0].vectors_digest, "");
    snprintf(digest, sizeof digest, "%s", job->table[1].vectors_digest);
    assert_int_equal(strlen(digest), 16);
    assert_int_equal(vectors_pin(job, &err), 0);
    assert_string_equal(job->table[1].vectors_digest, digest);
    assert_int_equal(vectors_check(&job->table[1], &err), 0);

    scratch_text(&scratch, "v", "7 1 2 4\n");
    assert_int_equal(vectors_pin(job, &err), -ERR_INPUT);
    assert_non_null(strstr(err.text, "tables.b.vectors: the digest of "));
    assert_non_null(strstr(err.text, digest));
    assert_non_null(strstr(err.text, ": it is another file"));
    job->table[1].vectors_digest[0] = '\0';
    assert_int_equal(vectors_pin(job, &err), 0);
    assert_string_not_equal(job->table[1].vectors_digest, digest);

    snprintf(job->table[1].vectors, sizeof job->table[1].vectors, "%s", scratch.dir);
    assert_int_equal(vectors_pin(job, &err), -ERR_INPUT);
    assert_non_null(strstr(err.text, " is not a file"));
    strcat(job->table[1].vectors, "/none");
    assert_int_equal(vectors_pin(job, &err), -ERR_INPUT);
    assert_non_null(strstr(err.text, "tables.b.vectors: cannot read "));
    assert_non_null(strstr(err.text, "/none: No such file"));
    scratch_release(&scratch);
    free(job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_has_many_forms),
        cmocka_unit_test(wrong_text_is_refused),
        cmocka_unit_test(vectors_of_one_number),
        cmocka_unit_test(who_takes_may_fail),
        cmocka_unit_test(packed_files_are_unpacked),
        cmocka_unit_test(matrices_are_read),
        cmocka_unit_test(wrong_matrices_are_refused),
        cmocka_unit_test(a_run_goes_on_with_its_file),
    };

    return cmocka_run_group_tests_name("vectors", tests, NULL, NULL);
}

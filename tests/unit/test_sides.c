/* Side tables: columns of users and items from files of their own. */
#include "tests/unit/scratch.h"

#include <math.h>

#include "common/key.h"
#include "worker/stream/dataset.h"
#include "worker/stream/input.h"
#include "worker/stream/prepare/prepare.h"

static struct err err;

static void set(struct job *job, const char *name, const char *value)
{
    if (job_set(job, name, value, "test", &err))
        fail_msg("%s", err.text);
}

/* Ratings of films by users; films have a table of their own. */
static struct job *make_job(struct scratch *scratch)
{
    struct job *job = malloc(sizeof *job);

    assert_non_null(job);
    job_init(job);
    set(job, "data.label", "rating");
    set(job, "data.columns.user.table", "user");
    set(job, "data.columns.film.table", "item");
    set(job, "tables.user.dim", "4");
    set(job, "tables.item.dim", "4");
    set(job, "data.sides.films.key", "film");
    set(job, "data.sides.films.id", "id");
    set(job, "data.sides.films.delimiter", "::");
    set(job, "data.sides.films.encoding", "latin-1");
    scratch_text(scratch, "log.tsv",
                 "user\tfilm\trating\n1\t20\t3\n2\t99\t4\n1\t10\t5\n3\t20\t1\n");
    snprintf(job->data.train, sizeof job->data.train, "%s", scratch->path);
    scratch_text(scratch, "films.dat",
                 "id::year::title::genres\n10::1999::Am\xe9lie::comedy|drama\n"
                 "20::::The Net::thriller\n30::1980::Nobody's::\n");
    snprintf(job->data.side[0].files, sizeof job->data.side[0].files, "%s",
             scratch->path);
    return job;
}

static void add_columns(struct job *job)
{
    set(job, "data.columns.year.as", "number");
    set(job, "data.columns.year.from", "films");
    set(job, "data.columns.title.as", "text");
    set(job, "data.columns.title.from", "films");
    set(job, "data.columns.genres.as", "keys");
    set(job, "data.columns.genres.from", "films");
}

static void check_text(const struct block *block, int c, uint32_t i, const char *text)
{
    const struct values *values = &block->column[c];
    uint32_t length = values->offset[i + 1] - values->offset[i];

    assert_int_equal(length, strlen(text));
    if (length)
        assert_memory_equal(values->text + values->offset[i], text, length);
}

static void test_columns_are_joined_by_key(void **state)
{
    struct scratch scratch;
    const struct schema *schema;
    struct input *input;
    struct block block;
    struct job *job;
    int year, title, genres;

    (void)state;
    scratch_init(&scratch);
    job = make_job(&scratch);
    add_columns(job);
    if (input_open(job, job->data.train, "data.train", COLUMNS_LABEL, &input, &err))
        fail_msg("%s", err.text);
    schema = input_schema(input);
    year = schema_find(schema, "year");
    title = schema_find(schema, "title");
    genres = schema_find(schema, "genres");
    assert_int_equal(block_create(&block, schema, 16, &err), 0);
    assert_int_equal(input_next(input, &block, &err), 1);
    assert_int_equal(block.n, 4);
    assert_true(isnan(block.column[year].number[0]) &&
                isnan(block.column[year].number[1]) &&
                block.column[year].number[2] == 1999);
    check_text(&block, title, 0, "The Net");
    check_text(&block, title, 1, ""); /* 99 is in no side table */
    check_text(&block, title, 2, "Am\xc3\xa9lie");
    check_text(&block, title, 3, "The Net");
    assert_int_equal(block.column[genres].offset[1], 1);
    assert_int_equal(block.column[genres].offset[2], 1);
    assert_int_equal(block.column[genres].offset[3], 3);
    assert_true(block.column[genres].key[1] == key_of_text("comedy", 6));
    assert_int_equal(input_next(input, &block, &err), 0);
    block_release(&block);
    input_close(input);
    free(job);
    scratch_release(&scratch);
}

static void check_refused(const struct job *job, const char *first, const char *second)
{
    struct input *input;

    assert_int_equal(
        input_open(job, job->data.train, "data.train", COLUMNS_LABEL, &input, &err),
        -ERR_INPUT);
    if (!strstr(err.text, first) || !strstr(err.text, second))
        fail_msg("'%s' has no '%s' or '%s'", err.text, first, second);
}

static void test_a_doubled_id_names_both_places(void **state)
{
    struct scratch scratch;
    struct job *job;

    (void)state;
    scratch_init(&scratch);
    job = make_job(&scratch);
    add_columns(job);
    scratch_text(&scratch, "films.dat",
                 "id::year::title::genres\n10::1::a::x\n20::2::b::y\n10::3::c::z\n");
    check_refused(job, "films.dat line 2", "films.dat line 4");
    scratch_text(&scratch, "films.dat", "id::year::title::genres\n20::2::b::y\n");
    scratch_text(&scratch, "more.dat",
                 "id::year::title::genres\n1::1::a::x\n20::1::c::z\n");
    snprintf(job->data.side[0].files, sizeof job->data.side[0].files,
             "%s/films.dat\n%s/more.dat", scratch.dir, scratch.dir);
    check_refused(job, "films.dat line 2", "more.dat line 3");
    free(job);
    scratch_release(&scratch);
}

/* Rows of the data may be left out, rows of side tables not. */
static void test_a_wrong_row_is_not_left_out(void **state)
{
    struct scratch scratch;
    struct job *job;

    (void)state;
    scratch_init(&scratch);
    job = make_job(&scratch);
    add_columns(job);
    set(job, "data.bad_rows", "skip");
    scratch_text(&scratch, "films.dat",
                 "id::year::title::genres\n10::1::a::x\n20::soon::b::y\n");
    check_refused(job, "films.dat line 3", "column year");
    free(job);
    scratch_release(&scratch);
}

static void test_a_column_that_is_missing_is_said(void **state)
{
    struct scratch scratch;
    struct job *job;

    (void)state;
    scratch_init(&scratch);
    job = make_job(&scratch);
    add_columns(job);
    set(job, "data.columns.price.as", "number");
    set(job, "data.columns.price.from", "films");
    check_refused(job, "films.dat", "price");
    free(job);
    scratch_release(&scratch);
}

/* A NumPy matrix of 21 rows, each with two numbers: 2n and 2n + 1; the job gets a
 * column that it has. */
static void write_images(struct scratch *scratch, struct job *job)
{
    static const char header[] =
        "\x93NUMPY\x01\x00\x46\x00{'descr': '<f4', "
        "'fortran_order': False, 'shape': (21, 2), }         \n";
    unsigned char file[80 + 21 * 2 * sizeof(float)];

    memset(file, ' ', sizeof file);
    memcpy(file, header, sizeof header - 1);
    file[8] = 70; /* bytes of the header behind it */
    file[9] = 0;
    file[79] = '\n';
    for (int i = 0; i < 42; i++)
        memcpy(file + 80 + (size_t)i * sizeof(float), &(float){(float)i},
               sizeof(float));
    scratch_write(scratch, "images.npy", file, sizeof file);
    set(job, "data.sides.images.files", scratch->path);
    set(job, "data.sides.images.key", "film");
    set(job, "data.columns.image.as", "vector");
    set(job, "data.columns.image.dim", "2");
    set(job, "data.columns.image.from", "images");
}

/* The four examples' films are 20, 99, 10 and 20: their rows, or -1. */
static void check_images(const struct job *job, const int row[4])
{
    struct input *input;
    struct block block;
    int image;

    if (input_open(job, job->data.train, "data.train", COLUMNS_LABEL, &input, &err))
        fail_msg("%s", err.text);
    image = schema_find(input_schema(input), "image");
    assert_int_equal(block_create(&block, input_schema(input), 16, &err), 0);
    assert_int_equal(input_next(input, &block, &err), 1);
    for (size_t i = 0; i < 4; i++) {
        const float *number = block.column[image].number + 2 * i;

        if (row[i] < 0)
            assert_true(isnan(number[0]) && isnan(number[1]));
        else
            assert_true(number[0] == (float)(2 * row[i]) &&
                        number[1] == (float)(2 * row[i] + 1));
    }
    block_release(&block);
    input_close(input);
}

/* Rows of a NumPy matrix by their number: embeddings of images, sounds, texts. */
static void test_vectors_are_joined_by_row_number(void **state)
{
    struct scratch scratch;
    struct job *job;

    (void)state;
    scratch_init(&scratch);
    job = make_job(&scratch);
    write_images(&scratch, job);
    check_images(job, (const int[]){20, -1, 10, 20});
    set(job, "data.columns.image.dim", "3");
    check_refused(job, "images.npy", "vectors of 2 numbers");
    free(job);
    scratch_release(&scratch);
}

/* Or by the keys of a file beside it: `line` is the nth. */
static const char *write_keys(struct scratch *scratch, const char *const *line, int n)
{
    FILE *file = fopen(scratch_path(scratch, "keys.txt"), "w");

    assert_non_null(file);
    for (int i = 0; i < n; i++)
        fprintf(file, "%s\n", line[i]);
    assert_int_equal(fclose(file), 0);
    return scratch->path;
}

static void test_vectors_are_joined_by_keys_of_a_file(void **state)
{
    const char *line[22] = {"99", "a", "b\xe9", "20", "c",  "d",       "e", "f",
                            "g",  "h", "i",     "j",  "k",  "l",       "m", "n",
                            "o",  "p", "q",     "r",  "-7", "too many"};
    struct scratch scratch;
    struct job *job;

    (void)state;
    scratch_init(&scratch);
    job = make_job(&scratch);
    write_images(&scratch, job);
    set(job, "data.sides.images.encoding", "latin-1");
    set(job, "data.sides.images.keys", write_keys(&scratch, line, 21));
    check_images(job, (const int[]){3, 0, -1, 3});
    write_keys(&scratch, line, 22);
    check_refused(job, "keys.txt has 22 keys", "has 21 rows");
    write_keys(&scratch, line, 20);
    check_refused(job, "keys.txt has 20 keys", "has 21 rows");
    line[11] = "a";
    write_keys(&scratch, line, 21);
    check_refused(job, "keys.txt line 2 and ", "keys.txt line 12 have the same key");
    line[11] = "";
    write_keys(&scratch, line, 21);
    check_refused(job, "keys.txt line 12", "column key");
    set(job, "data.sides.images.encoding", "utf-8");
    check_refused(job, "keys.txt line 3", "UTF-8");
    free(job);
    scratch_release(&scratch);
}

static void test_keys_go_with_one_matrix(void **state)
{
    struct scratch scratch;
    struct job *job;
    char both[2048];

    (void)state;
    scratch_init(&scratch);
    job = make_job(&scratch);
    write_images(&scratch, job);
    set(job, "data.sides.images.keys", "none.txt");
    check_refused(job, "none.txt", "no such file");
    snprintf(both, sizeof both, "%s/images.npy,%s/other.npy", scratch.dir, scratch.dir);
    set(job, "data.sides.images.files", both);
    check_refused(job, "data.sides.images.keys goes with one NumPy file", "are 2");
    snprintf(both, sizeof both, "%s/films.dat", scratch.dir);
    set(job, "data.sides.images.files", both);
    check_refused(job, "data.sides.images.keys goes with a NumPy file", "films.dat is");
    free(job);
    scratch_release(&scratch);
}

/* A key of a side table is the key of a row; without one there, a row of its own. */
static void test_keys_of_side_tables_are_prepared(void **state)
{
    struct scratch scratch;
    struct dataset dataset;
    struct job *job;
    uint64_t key[4];

    (void)state;
    scratch_init(&scratch);
    job = make_job(&scratch);
    set(job, "data.columns.film.table", "");
    set(job, "data.columns.genres.table", "item");
    set(job, "data.columns.genres.from", "films");
    assert_int_equal(dataset_load(&dataset, job, NULL, NULL, &err), -ERR_INPUT);
    assert_non_null(strstr(err.text, "data.columns.genres.missing"));
    set(job, "data.columns.genres.missing", "category");
    if (dataset_load(&dataset, job, NULL, NULL, &err))
        fail_msg("%s", err.text);
    for (int i = 0; i < 4; i++)
        key[i] = dataset.column[1].key[dataset.train.record[3 * i + 1]];
    assert_true(key[0] == key_of_text("thriller", 8) && key[3] == key[0]);
    assert_true(key[1] == prepare_missing_key());
    assert_true(key[2] == key_of_text("comedy|drama", 12));
    dataset_release(&dataset);
    free(job);
    scratch_release(&scratch);
}

/* Keys of a dense table are its rows, also in lists; numbered ones need not be. */
static void test_lists_of_dense_tables(void **state)
{
    struct scratch scratch;
    struct dataset dataset;
    struct job *job;

    (void)state;
    scratch_init(&scratch);
    job = make_job(&scratch);
    set(job, "model.features", "true");
    set(job, "data.columns.genres.as", "keys");
    set(job, "data.columns.genres.from", "films");
    set(job, "data.columns.genres.table", "genre");
    set(job, "tables.genre.rows", "5");
    check_refused(job, "films.dat", "is no row of table genre");
    set(job, "data.columns.genres.vocabulary", "number");
    if (dataset_load(&dataset, job, NULL, NULL, &err))
        fail_msg("%s", err.text);
    dataset_release(&dataset);
    set(job, "tables.genre.rows", "1");
    assert_int_equal(dataset_load(&dataset, job, NULL, NULL, &err), -ERR_INPUT);
    assert_non_null(strstr(err.text, "its table has 1 rows"));
    free(job);
    scratch_release(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_columns_are_joined_by_key),
        cmocka_unit_test(test_a_doubled_id_names_both_places),
        cmocka_unit_test(test_a_wrong_row_is_not_left_out),
        cmocka_unit_test(test_a_column_that_is_missing_is_said),
        cmocka_unit_test(test_vectors_are_joined_by_row_number),
        cmocka_unit_test(test_vectors_are_joined_by_keys_of_a_file),
        cmocka_unit_test(test_keys_go_with_one_matrix),
        cmocka_unit_test(test_keys_of_side_tables_are_prepared),
        cmocka_unit_test(test_lists_of_dense_tables),
    };

    return cmocka_run_group_tests_name("sides", tests, NULL, NULL);
}

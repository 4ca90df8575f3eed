/* Data sets in memory: splits, labels and the facts about them. */
#include "tests/unit/scratch.h"

#include <math.h>
#include <xxhash.h>

#include "worker/stream/dataset.h"
#include "worker/stream/splits.h"

static struct job *make_job(const char *train)
{
    static const struct job_column columns[] = {
        {.name = "userId", .as = COLUMN_KEY, .table = "user"},
        {.name = "movieId", .as = COLUMN_KEY, .table = "item"},
        {.name = "title", .as = COLUMN_TITLE, .table = "item"}};
    struct job *job = calloc(1, sizeof *job);

    assert_non_null(job);
    strcpy(job->data.label, "rating");
    snprintf(job->data.train, sizeof job->data.train, "%s", train);
    memcpy(job->data.column, columns, sizeof columns);
    job->data.columns = 3;
    for (int i = 0; i < 3; i++)
        job->data.column[i].steps.clip_high = 1;
    job->data.positive_from = NAN;
    job->data.split_seed = 1;
    return job;
}

/* A file of n examples: user i, movie 1000 + i, rating i % 5, title T. */
static void write_examples(struct scratch *scratch, const char *name, int first, int n)
{
    FILE *file = fopen(scratch_path(scratch, name), "w");

    assert_non_null(file);
    fputs("userId\tmovieId\trating\ttitle\n", file);
    for (int i = first; i < first + n; i++)
        fprintf(file, "%d\t%d\t%d\tT\n", i, 1000 + i, i % 5);
    assert_int_equal(fclose(file), 0);
}

static void load(struct dataset *dataset, const struct job *job)
{
    struct err err = {0};

    if (dataset_load(dataset, job, NULL, NULL, &err))
        fail_msg("%s", err.text);
    assert_int_equal(dataset->facts.train_examples, dataset->train.examples);
    assert_int_equal(dataset->facts.test_examples, dataset->test.examples);
}

static void expect_error(const struct job *job, int code, const char *sentence)
{
    struct dataset dataset;
    struct err err = {0};

    assert_int_equal(dataset_load(&dataset, job, NULL, NULL, &err), -code);
    if (!strstr(err.text, sentence))
        fail_msg("'%s' has no '%s'", err.text, sentence);
    assert_null(dataset.train.record);
    assert_null(dataset.test.record);
}

static float label_of(const struct part *part, uint64_t at)
{
    return record_label(&part->record[3 * at], 2);
}

static void expect_example(const struct dataset *dataset, const struct part *part,
                           uint64_t at, int number)
{
    assert_true(at < part->examples);
    for (uint32_t c = 0; c < 2; c++) {
        assert_in_range(part->record[3 * at + c], 0, dataset->column[c].keys - 1);
        assert_int_equal(dataset->column[c].key[part->record[3 * at + c]],
                         (int)c * 1000 + number);
    }
    assert_true(label_of(part, at) == (float)(number % 5));
}

/* --- parts ----------------------------------------------------------------------- */

static void test_split_is_by_number_and_seed(void **state)
{
    enum { N = 20000 };
    struct scratch scratch;
    struct dataset dataset;
    struct job *job;
    uint64_t train = 0, test = 0;

    (void)state;
    scratch_init(&scratch);
    write_examples(&scratch, "a.tsv", 0, 7000);
    write_examples(&scratch, "b.tsv", 7000, N - 7000);
    job = make_job(scratch_path(&scratch, "?.tsv"));
    job->data.split_test = 0.25;
    load(&dataset, job);
    assert_int_equal(dataset.key_columns, 2);
    for (int i = 0; i < N; i++) {
        if (split_is_test(job, (uint64_t)i))
            expect_example(&dataset, &dataset.test, test++, i);
        else
            expect_example(&dataset, &dataset.train, train++, i);
    }
    assert_int_equal(dataset.train.examples, train);
    assert_int_equal(dataset.test.examples, test);
    assert_in_range(test, 4750, 5250); /* 5000, deviation 61 */
    dataset_release(&dataset);
    free(job);
    scratch_release(&scratch);
}

static void test_other_seeds_split_otherwise(void **state)
{
    struct job *job = make_job("");
    int both = 0, either = 0;

    (void)state;
    job->data.split_test = 0.1;
    for (uint64_t i = 0; i < 100000; i++) {
        bool one, two;

        job->data.split_seed = 1;
        one = split_is_test(job, i);
        job->data.split_seed = 2;
        two = split_is_test(job, i);
        both += one && two;
        either += one || two;
    }
    assert_in_range(both, 850, 1150); /* independent: 1000 and 19000 */
    assert_in_range(either, 18400, 19600);
    free(job);
}

/* A larger share only adds to the test part of a smaller one. */
static void test_shares_are_nested(void **state)
{
    struct job *job = make_job("");
    bool before, now;

    (void)state;
    for (uint64_t i = 0; i < 2000; i++) {
        before = false;
        for (int percent = 0; percent <= 100; percent += 10) {
            job->data.split_test = percent / 100.0;
            now = split_is_test(job, i);
            assert_true(now || !before);
            before = now;
            assert_true(percent > 0 || !now);
        }
        assert_true(now);
    }
    free(job);
}

static void test_files_for_the_test(void **state)
{
    struct scratch scratch;
    struct dataset dataset;
    struct job *job;

    (void)state;
    scratch_init(&scratch);
    write_examples(&scratch, "test.tsv", 100, 10);
    write_examples(&scratch, "train.tsv", 0, 100);
    job = make_job(scratch.path);
    strcpy(job->data.test, scratch_path(&scratch, "test.tsv"));
    load(&dataset, job);
    assert_int_equal(dataset.train.examples, 100);
    assert_int_equal(dataset.test.examples, 10);
    for (int i = 0; i < 100; i++)
        expect_example(&dataset, &dataset.train, (uint64_t)i, i);
    for (int i = 0; i < 10; i++)
        expect_example(&dataset, &dataset.test, (uint64_t)i, 100 + i);
    assert_true(dataset.facts.label_mean == 2);
    dataset_release(&dataset);

    job->data.split_test = 0.1;
    expect_error(job, ERR_INPUT, "data.test names files and data.split.test is 0.1");
    job->data.split_test = 0;
    write_examples(&scratch, "test.tsv", 0, 0);
    expect_error(job, ERR_INPUT, "data.test has no example in its files");
    strcpy(job->data.test, "/no/such/file");
    expect_error(job, ERR_INPUT, "data.test: /no/such/file: no such file");
    free(job);
    scratch_release(&scratch);
}

/* --- labels ---------------------------------------------------------------------- */

static void test_logistic_labels(void **state)
{
    struct scratch scratch;
    struct dataset dataset;
    struct job *job;

    (void)state;
    scratch_init(&scratch);
    write_examples(&scratch, "a.tsv", 0, 1000); /* ratings 0 1 2 3 4 0 1 ... */
    job = make_job(scratch.path);
    job->model.loss = LOSS_LOGISTIC;
    expect_error(job, ERR_INPUT,
                 "a.tsv line 4, column rating: label 2, expected 0 or 1 as model.loss "
                 "needs (data.positive_from can say");
    job->data.positive_from = 3;
    load(&dataset, job);
    for (int i = 0; i < 1000; i++)
        assert_true(label_of(&dataset.train, i) == (i % 5 >= 3 ? 1 : 0));
    assert_true(dataset.facts.label_mean == 0.4);
    dataset_release(&dataset);

    job->data.positive_from = NAN;
    scratch_text(
        &scratch, "a.tsv",
        "userId\tmovieId\trating\ttitle\n1\t2\t0\tT\n1\t2\t1.0\tT\n1\t3\t-0\t\n");
    load(&dataset, job);
    assert_int_equal(dataset.train.examples, 3);
    assert_true(label_of(&dataset.train, 0) == 0 && label_of(&dataset.train, 1) == 1);
    dataset_release(&dataset);

    /* with the squared loss, data.positive_from has no say */
    job->model.loss = LOSS_SQUARED;
    job->data.positive_from = 0.5;
    scratch_text(&scratch, "a.tsv", "userId\tmovieId\trating\ttitle\n1\t2\t-7.5\tT\n");
    load(&dataset, job);
    assert_true(label_of(&dataset.train, 0) == -7.5f &&
                dataset.facts.label_mean == -7.5);
    dataset_release(&dataset);
    free(job);
    scratch_release(&scratch);
}

/* --- facts ----------------------------------------------------------------------- */

/* As the header says it: XXH3-64 over the keys and the label of one example after the
 * other. */
static void test_digest_is_as_documented(void **state)
{
    enum { N = 300 };
    unsigned char bytes[N * 20];
    struct scratch scratch;
    struct dataset dataset;
    struct job *job;

    (void)state;
    scratch_init(&scratch);
    write_examples(&scratch, "a.tsv", 0, N);
    for (int i = 0; i < N; i++) {
        uint64_t key[2] = {(uint64_t)i, 1000 + (uint64_t)i};
        float label = (float)(i % 5);

        memcpy(bytes + 20 * i, key, 16);
        memcpy(bytes + 20 * i + 16, &label, 4);
    }
    job = make_job(scratch.path);
    load(&dataset, job);
    assert_true(dataset.facts.digest == XXH3_64bits(bytes, sizeof bytes));
    dataset_release(&dataset);
    /* whatever the split, the loss and the number of files */
    job->data.split_test = 0.5;
    job->model.loss = LOSS_LOGISTIC;
    job->data.positive_from = 2;
    load(&dataset, job);
    assert_true(dataset.facts.digest == XXH3_64bits(bytes, sizeof bytes));
    dataset_release(&dataset);
    write_examples(&scratch, "a.tsv", 0, 100);
    write_examples(&scratch, "b.tsv", 100, 200);
    strcpy(job->data.train, scratch_path(&scratch, "*.tsv"));
    load(&dataset, job);
    assert_true(dataset.facts.digest == XXH3_64bits(bytes, sizeof bytes));
    dataset_release(&dataset);
    free(job);
    scratch_release(&scratch);
}

static void test_movielens_as_shipped(void **state)
{
    struct job *job = make_job("examples/movielens/ratings.tsv.zst");
    struct dataset dataset;
    double sum = 0;

    (void)state;
    job->data.split_test = 0.1;
    load(&dataset, job);
    assert_int_equal(dataset.train.examples + dataset.test.examples, 100004);
    assert_in_range(dataset.test.examples, 9600, 10400);
    for (uint64_t i = 0; i < dataset.train.examples; i++)
        sum += (double)label_of(&dataset.train, i);
    assert_true(dataset.facts.label_mean == sum / (double)dataset.train.examples);
    for (uint64_t i = 0; i < dataset.test.examples; i++)
        sum += (double)label_of(&dataset.test, i);
    assert_true(sum == 354375); /* exact: halves */
    /* Runs on other machines and of other versions must agree on these. */
    assert_true(dataset.facts.digest == 0x4d01637ea982466f);
    assert_int_equal(dataset.test.examples, 9970);
    dataset_release(&dataset);
    free(job);
}

/* --- what can be wrong ------------------------------------------------------------ */

static void test_nothing_to_train_on(void **state)
{
    struct scratch scratch;
    struct job *job;

    (void)state;
    scratch_init(&scratch);
    write_examples(&scratch, "a.tsv", 0, 0);
    job = make_job(scratch.path);
    expect_error(job, ERR_INPUT,
                 "data.train has no example to train on: 0 in its files");
    write_examples(&scratch, "a.tsv", 0, 10);
    job->data.split_test = 1;
    expect_error(job, ERR_INPUT,
                 "to train on: 10 in its files, 10 of them for the test");
    strcpy(job->data.train, "/no/such/file");
    expect_error(job, ERR_INPUT, "data.train: /no/such/file: no such file");
    free(job);
    scratch_release(&scratch);
}

/* An error in the middle leaves nothing behind. */
static void test_errors_in_the_middle(void **state)
{
    struct scratch scratch;
    struct job *job;
    FILE *file;

    (void)state;
    scratch_init(&scratch);
    write_examples(&scratch, "a.tsv", 0, 10000);
    file = fopen(scratch.path, "a");
    assert_non_null(file);
    fputs("1\t2\tfour\tT\n", file);
    fclose(file);
    job = make_job(scratch.path);
    job->data.split_test = 0.5;
    expect_error(job, ERR_INPUT,
                 "a.tsv line 10002, column rating: 'four' is not a number");
    free(job);
    scratch_release(&scratch);
}

static void test_stop(void **state)
{
    struct scratch scratch;
    struct dataset dataset;
    volatile bool stop = true;
    struct err err = {0};
    struct job *job;

    (void)state;
    scratch_init(&scratch);
    write_examples(&scratch, "a.tsv", 0, 10000);
    job = make_job(scratch.path);
    assert_int_equal(dataset_load(&dataset, job, NULL, &stop, &err), -ERR_INTERRUPTED);
    assert_non_null(strstr(err.text, "interrupted at "));
    assert_null(dataset.train.record);
    stop = false;
    assert_int_equal(dataset_load(&dataset, job, NULL, &stop, &err), 0);
    dataset_release(&dataset);
    dataset_release(&dataset);
    free(job);
    scratch_release(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_split_is_by_number_and_seed),
        cmocka_unit_test(test_other_seeds_split_otherwise),
        cmocka_unit_test(test_shares_are_nested),
        cmocka_unit_test(test_files_for_the_test),
        cmocka_unit_test(test_logistic_labels),
        cmocka_unit_test(test_digest_is_as_documented),
        cmocka_unit_test(test_movielens_as_shipped),
        cmocka_unit_test(test_nothing_to_train_on),
        cmocka_unit_test(test_errors_in_the_middle),
        cmocka_unit_test(test_stop),
    };

    return cmocka_run_group_tests_name("dataset", tests, NULL, NULL);
}

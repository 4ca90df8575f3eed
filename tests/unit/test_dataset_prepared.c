/* Data sets that are prepared, or split by more than chance. */
#include "tests/unit/scratch.h"

#include <math.h>

#include "worker/stream/dataset.h"
#include "worker/stream/prepare/prepare.h"
#include "worker/stream/streamed.h"

enum { N = 400, USERS = 20 };

static struct err err;

static struct job *make_job(const char *train)
{
    static const char *const setting[][2] = {
        {"data.label", "rating"},
        {"data.time", "at"},
        {"data.columns.user.table", "user"},
        {"data.columns.item.table", "item"},
        {"tables.user.dim", "4"},
        {"tables.item.dim", "4"},
    };
    struct job *job = malloc(sizeof *job);

    assert_non_null(job);
    job_init(job);
    for (size_t i = 0; i < sizeof setting / sizeof *setting; i++)
        assert_int_equal(job_set(job, setting[i][0], setting[i][1], "test", &err), 0);
    snprintf(job->data.train, sizeof job->data.train, "%s", train);
    return job;
}

static void set(struct job *job, const char *name, const char *value)
{
    if (job_set(job, name, value, "test", &err))
        fail_msg("%s", err.text);
}

/* Example i: user i % 20, item i % 7, at 1000 - i seconds, rated i % 5; from number
 * `other` on (which is earlier) another item and rating. */
static const char *write_log(struct scratch *scratch, const char *name, int other)
{
    FILE *file = fopen(scratch_path(scratch, name), "w");

    assert_non_null(file);
    fputs("user\titem\trating\tat\n", file);
    for (int i = 0; i < N; i++)
        fprintf(file, "%d\t%d\t%d\t%d\n", i % USERS, i < other ? 900 + i : i % 7,
                i < other ? 99 : i % 5, 10000 - i);
    assert_int_equal(fclose(file), 0);
    return scratch->path;
}

static void load(struct dataset *dataset, const struct job *job,
                 const struct saved_preparation *saved)
{
    if (dataset_load(dataset, job, saved, NULL, &err))
        fail_msg("%s", err.text);
}

static uint64_t key_of(const struct dataset *dataset, const struct part *part,
                       uint64_t at, uint32_t c)
{
    return dataset->column[c].key[part->record[3 * at + c]];
}

static void test_splits_make_the_parts(void **state)
{
    struct scratch scratch;
    struct dataset dataset;
    struct job *job;

    (void)state;
    scratch_init(&scratch);
    job = make_job(write_log(&scratch, "log.tsv", 0));
    set(job, "data.split.by", "time");
    set(job, "data.split.test", "0.25");
    set(job, "data.split.validation", "0.1");
    load(&dataset, job, NULL);
    assert_int_equal(dataset.test.examples, 100);
    assert_int_equal(dataset.validation.examples, 40);
    assert_int_equal(dataset.facts.test_examples, 100);
    for (uint64_t i = 0; i < 100; i++) /* the newest come first in the file */
        assert_int_equal(key_of(&dataset, &dataset.test, i, 0), i % USERS);
    assert_int_equal(key_of(&dataset, &dataset.train, 0, 1), 140 % 7);
    dataset_release(&dataset);
    set(job, "evaluate.part", "validation");
    load(&dataset, job, NULL);
    assert_int_equal(dataset.facts.test_examples, 40);
    dataset_release(&dataset);
    set(job, "data.split.test", "0");
    set(job, "data.split.by", "leave_one_out");
    load(&dataset, job, NULL);
    assert_int_equal(dataset.test.examples, USERS);
    assert_int_equal(dataset.validation.examples, USERS);
    dataset_release(&dataset);
    free(job);
    scratch_release(&scratch);
}

static void test_files_may_be_the_parts(void **state)
{
    struct scratch scratch;
    struct dataset dataset;
    struct job *job;

    (void)state;
    scratch_init(&scratch);
    job = make_job(write_log(&scratch, "log.tsv", 0));
    snprintf(job->data.validation, sizeof job->data.validation, "%s",
             write_log(&scratch, "v.tsv", 10));
    load(&dataset, job, NULL);
    assert_int_equal(dataset.train.examples, N);
    assert_int_equal(dataset.validation.examples, N);
    assert_int_equal(dataset.test.examples, 0);
    assert_int_equal(key_of(&dataset, &dataset.validation, 3, 1), 903);
    dataset_release(&dataset);
    free(job);
    scratch_release(&scratch);
}

/* Another test part changes no bit of what is fitted. */
static void test_preparations_never_see_the_test_part(void **state)
{
    struct scratch scratch;
    struct dataset one, two;
    struct job *job;

    (void)state;
    scratch_init(&scratch);
    job = make_job(write_log(&scratch, "log.tsv", 0));
    set(job, "data.split.by", "time");
    set(job, "data.split.test", "0.25");
    set(job, "data.columns.item.vocabulary", "number");
    set(job, "data.columns.rating.as", "number");
    set(job, "data.columns.rating.scale", "standard");
    load(&one, job, NULL);
    write_log(&scratch, "log.tsv", 100);
    load(&two, job, NULL);
    assert_true(one.facts.digest != two.facts.digest);
    assert_true(one.facts.preparation_bytes > 0);
    assert_int_equal(one.facts.preparation_digest, two.facts.preparation_digest);
    assert_memory_equal(one.preparation, two.preparation, one.facts.preparation_bytes);
    assert_true(fabs(one.facts.label_mean) < 1e-6); /* as it is trained on */
    for (uint64_t i = 0; i < 100; i++) /* nothing of the test part is known */
        assert_int_equal(key_of(&two, &two.test, i, 1), 7);
    dataset_release(&one);
    dataset_release(&two);
    free(job);
    scratch_release(&scratch);
}

static void test_a_saved_preparation_is_used_and_not_fitted(void **state)
{
    struct saved_preparation saved, none = {0};
    struct scratch scratch;
    struct dataset one, two;
    struct job *job;

    (void)state;
    scratch_init(&scratch);
    job = make_job(write_log(&scratch, "log.tsv", 0));
    set(job, "data.columns.item.vocabulary", "keep");
    load(&one, job, NULL);
    saved = (struct saved_preparation){one.preparation, one.facts.preparation_bytes};
    write_log(&scratch, "log.tsv", 300);
    load(&two, job, &saved);
    assert_int_equal(one.facts.preparation_digest, two.facts.preparation_digest);
    for (uint64_t i = 0; i < N; i++)
        assert_int_equal(key_of(&two, &two.train, i, 1),
                         i < 300 ? prepare_unseen_key(0) : i % 7);
    dataset_release(&two);
    assert_int_equal(dataset_load(&two, job, &none, NULL, &err), -ERR_INPUT);
    assert_non_null(strstr(err.text, "has no preparation"));
    set(job, "data.columns.item.vocabulary_min", "2");
    assert_int_equal(dataset_load(&two, job, &saved, NULL, &err), -ERR_INPUT);
    assert_non_null(strstr(err.text, "data.columns.item is prepared in another way"));
    dataset_release(&one);
    free(job);
    scratch_release(&scratch);
}

static void test_examples_have_weights(void **state)
{
    struct scratch scratch;
    struct dataset dataset;
    struct job *job;

    (void)state;
    scratch_init(&scratch);
    job = make_job(scratch_text(&scratch, "log.tsv",
                                "user\titem\trating\tw\n1\t2\t3\t1\n1\t3\t5\t0.5\n"
                                "2\t3\t1\t0\n2\t2\t4\t2.5\n"));
    set(job, "data.weight", "w");
    load(&dataset, job, NULL);
    assert_true(dataset.train.weight[1] == 0.5F && dataset.train.weight[2] == 0);
    assert_true(fabs(dataset.facts.label_mean - (3 + 2.5 + 10) / 4) < 1e-12);
    dataset_release(&dataset);
    scratch_text(&scratch, "log.tsv", "user\titem\trating\tw\n1\t2\t3\t0\n");
    assert_int_equal(dataset_load(&dataset, job, NULL, NULL, &err), -ERR_INPUT);
    assert_non_null(strstr(err.text, "the weight 0"));
    scratch_text(&scratch, "log.tsv", "user\titem\trating\tw\n1\t2\t3\t-1\n");
    assert_int_equal(dataset_load(&dataset, job, NULL, NULL, &err), -ERR_INPUT);
    assert_non_null(strstr(err.text, "log.tsv line 2: column w: the weight is -1"));
    free(job);
    scratch_release(&scratch);
}

/* Numbers and made columns become keys of tables. */
static void test_keys_may_be_made(void **state)
{
    struct scratch scratch;
    struct dataset dataset;
    struct job *job;

    (void)state;
    scratch_init(&scratch);
    job = make_job(write_log(&scratch, "log.tsv", 0));
    set(job, "data.columns.item.table", "");
    set(job, "data.columns.at.as", "time");
    set(job, "data.columns.hour.make", "hour");
    set(job, "data.columns.hour.of", "at");
    set(job, "data.columns.both.make", "cross");
    set(job, "data.columns.both.of", "item,hour");
    set(job, "data.columns.both.hash", "5");
    set(job, "data.columns.both.table", "item");
    load(&dataset, job, NULL);
    assert_int_equal(dataset.key_columns, 2);
    for (uint64_t i = 0; i < N; i++)
        assert_in_range(key_of(&dataset, &dataset.train, i, 1), 0, 4);
    dataset_release(&dataset);
    free(job);
    scratch_release(&scratch);
}

/* An example without a user or a time, in memory and streamed. */
static void test_who_and_when_must_be_known(void **state)
{
    static const char *const lacking[][3] = {{"\t3\t4\t77\n", "user", "user"},
                                             {"\t3\t4\t77\n", "leave_one_out", "user"},
                                             {"1\t3\t4\t\n", "time", "time"},
                                             {"1\t3\t4\t\n", "leave_one_out", "time"}};
    char expected[64];

    (void)state;
    for (size_t l = 0; l < sizeof lacking / sizeof *lacking; l++) {
        struct scratch scratch;
        struct dataset dataset;
        struct streamed streamed;
        struct job *job;
        FILE *file;

        scratch_init(&scratch);
        job = make_job(write_log(&scratch, "log.tsv", 0));
        file = fopen(job->data.train, "a");
        assert_non_null(file);
        fputs(lacking[l][0], file);
        assert_int_equal(fclose(file), 0);
        set(job, "data.columns.user.missing", "category");
        load(&dataset, job, NULL); /* a split by chance does not mind */
        dataset_release(&dataset);
        set(job, "data.split.by", lacking[l][1]);
        set(job, "data.split.after", l == 2 ? "9700" : "");
        snprintf(expected, sizeof expected, "log.tsv line 402: the example has no %s",
                 lacking[l][2]);
        assert_int_equal(dataset_load(&dataset, job, NULL, NULL, &err), -ERR_INPUT);
        assert_non_null(strstr(err.text, expected));
        if (strcmp(lacking[l][1], "leave_one_out") != 0) {
            assert_int_equal(streamed_open(&streamed, job, NULL, NULL, &err),
                             -ERR_INPUT);
            assert_non_null(strstr(err.text, expected));
        }
        free(job);
        scratch_release(&scratch);
    }
}

/* What only a preparation finds, and what is wrong once something is prepared: in the
 * first file or another, in memory or streamed. */
static void test_complaints_name_file_and_line(void **state)
{
    static const char head[] = "user\titem\trating\tat\n";
    struct scratch scratch;
    struct streamed streamed;
    struct dataset dataset;
    char text[256];
    struct job *job;

    (void)state;
    scratch_init(&scratch);
    job = make_job(write_log(&scratch, "log.tsv", 0));
    snprintf(text, sizeof text, "%s1\t2\t3\t4\n1\t2\t3\t\n", head);
    snprintf(job->data.validation, sizeof job->data.validation, "%s",
             scratch_text(&scratch, "late.tsv", text));
    set(job, "data.columns.at.as", "time");
    set(job, "data.columns.at.missing", "category");
    set(job, "data.columns.hour.make", "hour");
    set(job, "data.columns.hour.of", "at");
    set(job, "data.columns.hour.table", "item");
    assert_int_equal(dataset_load(&dataset, job, NULL, NULL, &err), -ERR_INPUT);
    assert_non_null(strstr(err.text, "late.tsv line 3: column hour has no value"));
    snprintf(job->data.train, sizeof job->data.train, "%s", job->data.validation);
    job->data.validation[0] = '\0';
    set(job, "data.columns.hour.missing", "fail");
    assert_int_equal(streamed_open(&streamed, job, NULL, NULL, &err), -ERR_INPUT);
    assert_non_null(strstr(err.text, "late.tsv line 3: column hour has no value"));
    set(job, "data.columns.hour.missing", "category");
    set(job, "model.loss", "logistic");
    assert_int_equal(dataset_load(&dataset, job, NULL, NULL, &err), -ERR_INPUT);
    assert_non_null(strstr(err.text, "late.tsv line 2, column rating: "));
    free(job);
    scratch_release(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_splits_make_the_parts),
        cmocka_unit_test(test_files_may_be_the_parts),
        cmocka_unit_test(test_preparations_never_see_the_test_part),
        cmocka_unit_test(test_a_saved_preparation_is_used_and_not_fitted),
        cmocka_unit_test(test_keys_may_be_made),
        cmocka_unit_test(test_who_and_when_must_be_known),
        cmocka_unit_test(test_examples_have_weights),
        cmocka_unit_test(test_complaints_name_file_and_line),
    };

    return cmocka_run_group_tests_name("dataset_prepared", tests, NULL, NULL);
}

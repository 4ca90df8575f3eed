/* The items of the training part, and who has which. */
#include "tests/unit/scratch.h"

#include <math.h>

#include "worker/catalogue.h"

static struct job *make_job(const char *train, const char *test)
{
    static const struct job_column columns[] = {
        {.name = "user", .as = COLUMN_KEY, .table = "user"},
        {.name = "item", .as = COLUMN_KEY, .table = "item"}};
    struct job *job = calloc(1, sizeof *job);

    assert_non_null(job);
    strcpy(job->data.label, "label");
    snprintf(job->data.train, sizeof job->data.train, "%s", train);
    snprintf(job->data.test, sizeof job->data.test, "%s", test);
    memcpy(job->data.column, columns, sizeof columns);
    job->data.columns = 2;
    for (int i = 0; i < 2; i++)
        job->data.column[i].steps.clip_high = 1;
    job->data.positive_from = NAN;
    strcpy(job->model.user, "user");
    strcpy(job->model.item, "item");
    return job;
}

/* Users 7, 8 and 9 of training; user 9 has item 10 twice, and only the test has user 6
 * and item 99. */
static struct job *write_data(struct scratch *scratch)
{
    char test[1024];

    snprintf(
        test, sizeof test, "%s",
        scratch_text(scratch, "test.tsv", "user\titem\tlabel\n6\t10\t1\n7\t99\t1\n"));
    return make_job(scratch_text(scratch, "train.tsv",
                                 "user\titem\tlabel\n"
                                 "9\t10\t1\n8\t30\t1\n9\t20\t1\n9\t10\t0\n7\t30\t1\n"
                                 "9\t40\t1\n8\t10\t1\n"),
                    test);
}

static uint32_t number_of(const struct dictionary *dictionary, uint64_t key)
{
    uint32_t number;

    assert_true(dictionary_find(dictionary, key, &number));
    return number;
}

static void test_items_have_numbers_counts_and_examples(void **state)
{
    static const uint64_t key[] = {10, 30, 20, 40};
    static const uint32_t count[] = {3, 2, 1, 1}, first[] = {0, 1, 2, 5};
    struct scratch scratch;
    struct data data;
    struct item_catalogue *catalogue;
    struct part_keys items;
    struct job *job;
    struct err err;
    uint32_t number;

    (void)state;
    scratch_init(&scratch);
    job = write_data(&scratch);
    assert_int_equal(data_load(&data, job, NULL, NULL, NULL, &err), 0);
    assert_int_equal(item_catalogue_create(job, &data, &catalogue, &err), 0);
    assert_int_equal(catalogue->items, 4);
    assert_int_equal(catalogue->users, 3);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(number_of(&catalogue->item, key[i]), i);
        assert_int_equal(catalogue->count[i], count[i]);
        assert_int_equal(catalogue->representative[i], first[i]);
    }
    assert_false(dictionary_find(&catalogue->item, 99, &number));
    assert_false(dictionary_find(&catalogue->user, 6, &number));
    items = part_keys_of(job, &data.memory, SPLIT_TRAIN, catalogue->item_column);
    for (uint32_t p = 0; p < catalogue->examples; p++)
        assert_int_equal(number_of(&catalogue->item, part_key(&items, p)),
                         catalogue->item_of[p]);
    item_catalogue_destroy(catalogue);
    data_release(&data);
    free(job);
    scratch_release(&scratch);
}

static void test_users_have_each_item_once(void **state)
{
    static const bool seen[3][4] = {{true, false, true, true},
                                    {true, true, false, false},
                                    {false, true, false, false}};
    static const uint64_t user[] = {9, 8, 7};
    struct scratch scratch;
    struct data data;
    struct item_catalogue *catalogue;
    struct job *job;
    struct err err;

    (void)state;
    scratch_init(&scratch);
    job = write_data(&scratch);
    assert_int_equal(data_load(&data, job, NULL, NULL, NULL, &err), 0);
    assert_int_equal(item_catalogue_create(job, &data, &catalogue, &err), 0);
    for (uint32_t u = 0; u < 3; u++) {
        uint32_t n, count = 0;
        const uint32_t *list;

        assert_int_equal(number_of(&catalogue->user, user[u]), u);
        list = item_catalogue_seen(catalogue, u, &n);
        for (uint32_t i = 0; i < 4; i++) {
            assert_int_equal(item_catalogue_has_seen(catalogue, u, i), seen[u][i]);
            if (seen[u][i])
                assert_int_equal(list[count++], i);
        }
        assert_int_equal(n, count);
    }
    assert_false(item_catalogue_has_seen(catalogue, 3, 0)); /* nobody of training */
    item_catalogue_destroy(catalogue);
    data_release(&data);
    free(job);
    scratch_release(&scratch);
}

static void test_what_it_needs(void **state)
{
    struct scratch scratch;
    struct data data;
    struct item_catalogue *catalogue;
    struct job *job;
    struct err err;

    (void)state;
    scratch_init(&scratch);
    job = write_data(&scratch);
    assert_int_equal(data_load(&data, job, NULL, NULL, NULL, &err), 0);
    data.is_streamed = true;
    assert_int_equal(item_catalogue_create(job, &data, &catalogue, &err), -ERR_INPUT);
    assert_non_null(strstr(err.text, "data.in_memory"));
    data.is_streamed = false;
    strcpy(job->model.user, "people");
    assert_int_equal(item_catalogue_create(job, &data, &catalogue, &err), -ERR_INPUT);
    assert_non_null(strstr(err.text, "model.user is 'people'"));
    data_release(&data);
    free(job);
    scratch_release(&scratch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_items_have_numbers_counts_and_examples),
        cmocka_unit_test(test_users_have_each_item_once),
        cmocka_unit_test(test_what_it_needs),
    };

    return cmocka_run_group_tests_name("catalogue", tests, NULL, NULL);
}

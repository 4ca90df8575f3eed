/* What is asked to evaluate a ranking, and among which items. */
#include "tests/unit/scratch.h"

#include <math.h>

#include "worker/ranking_score.h"
#include "worker/ranking_tasks.h"

/* Of users 1 and 2: training has items 10 to 15, user 1 has 10 and 11 (twice), user 2
 * has 12 to 15. In the test user 1 asks for 12, 13, 11 and 99, user 2 for 10 twice. */
struct fixture {
    struct scratch scratch;
    struct job job;
    struct data data;
    struct item_catalogue *catalogue;
    struct ranking_tasks *tasks;
    struct ranking_draw draw;
};

static void set(struct job *job, const char *name, const char *value)
{
    struct err err;

    if (job_set(job, name, value, "test", &err))
        fail_msg("%s", err.text);
}

static void begin(struct fixture *f, const char *protocol)
{
    f->catalogue = NULL;
    f->tasks = NULL;
    f->draw = (struct ranking_draw){0};
    scratch_init(&f->scratch);
    job_init(&f->job);
    set(&f->job, "data.train",
        scratch_text(&f->scratch, "train.tsv",
                     "user\titem\tlabel\n1\t10\t1\n1\t11\t1\n1\t11\t1\n2\t12\t1\n"
                     "2\t13\t1\n2\t14\t1\n2\t15\t1\n"));
    set(&f->job, "data.test",
        scratch_text(&f->scratch, "test.tsv",
                     "user\titem\tlabel\n1\t12\t1\n2\t10\t1\n1\t13\t0\n1\t11\t1\n"
                     "1\t99\t1\n2\t10\t1\n"));
    set(&f->job, "data.label", "label");
    set(&f->job, "tables.user.dim", "1");
    set(&f->job, "tables.item.dim", "1");
    set(&f->job, "data.columns.user.table", "user");
    set(&f->job, "data.columns.item.table", "item");
    set(&f->job, "evaluate.protocol", protocol);
}

static int make(struct fixture *f, struct err *err)
{
    int rc;

    assert_int_equal(data_load(&f->data, &f->job, NULL, NULL, NULL, err), 0);
    assert_int_equal(item_catalogue_create(&f->job, &f->data, &f->catalogue, err), 0);
    rc = ranking_tasks_create(&f->job, &f->data, f->catalogue, NULL, &f->tasks, err);
    if (rc == 0)
        assert_int_equal(ranking_draw_init(&f->draw, f->tasks, err), 0);
    return rc;
}

static void end(struct fixture *f)
{
    ranking_draw_release(&f->draw);
    ranking_tasks_destroy(f->tasks);
    item_catalogue_destroy(f->catalogue);
    data_release(&f->data);
    scratch_release(&f->scratch);
}

static uint64_t key_of(const struct fixture *f, uint32_t item)
{
    return f->catalogue->item.key[item];
}

static int compare_keys(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

    return (x > y) - (x < y);
}

/* A task's list, sorted, of which the first `relevant` came first. */
static void expect_list(struct fixture *f, uint32_t task, uint32_t relevant,
                        const char *expected)
{
    uint64_t key[64];
    char text[512] = "";

    assert_int_equal(ranking_candidates(f->tasks, task, &f->draw), relevant);
    assert_true(f->draw.n <= 64);
    for (uint32_t i = 0; i < f->draw.n; i++)
        key[i] = key_of(f, f->draw.item[i]);
    if (f->draw.n)
        qsort(key, f->draw.n, sizeof *key, compare_keys);
    for (uint32_t i = 0; i < f->draw.n; i++)
        sprintf(text + strlen(text), "%s%d", i ? " " : "", (int)key[i]);
    assert_string_equal(text, expected);
}

static void test_all_items_less_those_seen(void **state)
{
    struct fixture f;
    struct err err;

    (void)state;
    begin(&f, "all");
    assert_int_equal(make(&f, &err), 0);
    assert_int_equal(f.tasks->tasks, 2);
    assert_int_equal(f.tasks->task[0].relevant, 3); /* 12, 13 and 99: 11 is left out */
    assert_int_equal(f.tasks->task[0].example, 0);
    assert_int_equal(f.tasks->task[1].relevant, 1);
    expect_list(&f, 0, 2, "12 13 14 15");
    expect_list(&f, 1, 1, "10 11");
    end(&f);
    begin(&f, "all");
    set(&f.job, "evaluate.seen", "keep");
    assert_int_equal(make(&f, &err), 0);
    assert_int_equal(f.tasks->task[0].relevant, 4);
    expect_list(&f, 0, 3, "10 11 12 13 14 15");
    end(&f);
}

static void test_labels_that_are_0_ask_for_nothing(void **state)
{
    struct fixture f;
    struct err err;

    (void)state;
    begin(&f, "sampled");
    set(&f.job, "model.loss", "logistic");
    assert_int_equal(make(&f, &err), 0);
    assert_int_equal(f.tasks->tasks, 5);
    for (uint32_t t = 0; t < 5; t++)
        assert_int_not_equal(key_of(&f, f.tasks->relevant[t]), 13);
    end(&f);
}

static void test_sampled_items(void **state)
{
    struct fixture f;
    struct err err;
    uint32_t seen[6] = {0};

    (void)state;
    begin(&f, "sampled");
    set(&f.job, "evaluate.negatives", "2");
    assert_int_equal(make(&f, &err), 0);
    assert_int_equal(f.tasks->tasks, 6);
    expect_list(&f, 1, 1, "10 11"); /* user 2 lacks these only */
    for (uint32_t seed = 0; seed < 200; seed++) {
        f.job.evaluate.seed = seed;
        assert_int_equal(ranking_candidates(f.tasks, 0, &f.draw), 1);
        assert_int_equal(f.draw.n, 3);
        assert_int_equal(key_of(&f, f.draw.item[0]), 12);
        for (uint32_t i = 1; i < 3; i++) {
            assert_in_range(key_of(&f, f.draw.item[i]), 13, 15);
            seen[key_of(&f, f.draw.item[i]) - 10]++;
        }
        assert_int_not_equal(f.draw.item[1], f.draw.item[2]);
    }
    for (uint32_t i = 3; i < 6; i++)
        assert_in_range(seen[i], 100, 166); /* 133, deviation 7 */
    f.job.evaluate.negatives = 100;
    expect_list(&f, 0, 1, "12 13 14 15"); /* all there are */
    end(&f);
}

static void test_given_items(void **state)
{
    static const char *const text[] = {
        "1 10 98 12 98\n\n2 14 10\n1 15\n",
        "(1,12)\t10\t98\t12\t98\n(2,10)\t14\t10\n(1,99)\t15\n"};
    struct fixture f;
    struct err err;

    (void)state;
    for (int form = 0; form < 2; form++) {
        begin(&f, "given");
        set(&f.job, "data.negatives",
            scratch_text(&f.scratch, "negatives", text[form]));
        assert_int_equal(make(&f, &err), 0);
        assert_int_equal(f.tasks->tasks, 6);
        expect_list(&f, 0, 1, "10 12 15 98"); /* each of them once */
        expect_list(&f, 1, 1, "10 14");
        expect_list(&f, 4, 1, "10 12 15 98 99");
        assert_int_equal(f.tasks->items, 8);
        for (uint32_t i = 6; i < 8; i++)
            assert_int_equal(f.tasks->example[i - 6],
                             key_of(&f, i) == 99 ? 4 : RANKING_NO_EXAMPLE);
        end(&f);
    }
}

/* An example that asks for nothing says what its item is, as does the validation part.
 */
static void test_examples_of_items(void **state)
{
    struct fixture f;
    struct err err;

    (void)state;
    begin(&f, "given");
    set(&f.job, "model.loss", "logistic");
    set(&f.job, "data.test",
        scratch_text(&f.scratch, "labels.tsv",
                     "user\titem\tlabel\n1\t12\t1\n1\t99\t0\n1\t99\t0\n"));
    set(&f.job, "data.validation",
        scratch_text(&f.scratch, "validation.tsv",
                     "user\titem\tlabel\n2\t99\t1\n2\t98\t1\n"));
    set(&f.job, "data.negatives",
        scratch_text(&f.scratch, "negatives", "1 10 97 98 99\n"));
    assert_int_equal(make(&f, &err), 0);
    assert_int_equal(f.tasks->tasks, 1);
    expect_list(&f, 0, 1, "10 12 97 98 99");
    assert_int_equal(f.tasks->items, 9);
    for (uint32_t i = 6; i < 9; i++)
        assert_int_equal(f.tasks->example[i - 6], key_of(&f, i) == 99 ? 1
                                                  : key_of(&f, i) == 98
                                                      ? 3 + 1
                                                      : RANKING_NO_EXAMPLE);
    end(&f);
}

static void test_pairs_of_long_lists(void **state)
{
    struct blueprint *b = calloc(1, sizeof *b);
    struct job *job = calloc(1, sizeof *job);

    (void)state;
    assert_true(b && job);
    b->job = job;
    b->group = 1;
    job->tables = 2;
    job->train.batch = 16;
    b->keys[0] = 5000;
    b->whole[1] = true;
    job->table[1].rows = 1 << 22;
    assert_int_equal(ranking_pairs(b), 128);
    job->train.batch = 200; /* for which there is room anyway */
    assert_int_equal(ranking_pairs(b), 200);
    b->keys[0] = 1;
    assert_int_equal(ranking_pairs(b), 4096);
    job->train.batch = 5000;
    assert_int_equal(ranking_pairs(b), 5000);
    free(b);
    free(job);
}

static void test_a_user_without_given_items(void **state)
{
    struct fixture f;
    struct err err;

    (void)state;
    begin(&f, "given");
    set(&f.job, "data.negatives", scratch_text(&f.scratch, "negatives", "1 10\n"));
    assert_int_equal(make(&f, &err), -ERR_INPUT);
    assert_non_null(strstr(err.text, "the user with the key 2"));
    end(&f);
}

static void test_given_items_have_rows(void **state)
{
    struct fixture f;
    struct err err;

    (void)state;
    begin(&f, "given");
    set(&f.job, "tables.item.rows", "100");
    set(&f.job, "data.negatives",
        scratch_text(&f.scratch, "negatives", "1 10 99\n2 14 100\n"));
    assert_int_equal(make(&f, &err), -ERR_INPUT);
    assert_non_null(strstr(err.text, "line 2"));
    assert_non_null(strstr(err.text, "the key '100' is no row of table item"));
    end(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_items_less_those_seen),
        cmocka_unit_test(test_labels_that_are_0_ask_for_nothing),
        cmocka_unit_test(test_sampled_items),
        cmocka_unit_test(test_given_items),
        cmocka_unit_test(test_examples_of_items),
        cmocka_unit_test(test_pairs_of_long_lists),
        cmocka_unit_test(test_a_user_without_given_items),
        cmocka_unit_test(test_given_items_have_rows),
    };

    return cmocka_run_group_tests_name("ranking_tasks", tests, NULL, NULL);
}

/* Negatives: how often each item comes, what never does, and what it depends on. */
#include "tests/unit/scratch.h"

#include <math.h>

#include "common/rng.h"
#include "worker/negatives.h"

enum { USERS = 40, ITEMS = 60, EXAMPLES = 900, EACH = 8, EPOCHS = 40 };

struct kit {
    struct scratch scratch;
    struct job job;
    struct data data;
    struct item_catalogue *catalogue;
    struct negatives negatives;
    uint64_t count[ITEMS]; /* how often each item was drawn, by its number */
    uint64_t draws;
};

static void set(struct kit *kit, const char *name, const char *value)
{
    struct err err;

    if (job_set(&kit->job, name, value, "test", &err))
        fail_msg("%s", err.text);
}

/* Low items are more popular: the smaller of two random numbers. */
static void write_examples(FILE *file)
{
    for (uint64_t i = 0; i < EXAMPLES; i++) {
        uint64_t a = rng_below(rng_at(1, 1, i), ITEMS);
        uint64_t b = rng_below(rng_at(1, 2, i), ITEMS);

        fprintf(file, "%d\t%d\n", (int)rng_below(rng_at(1, 3, i), USERS),
                (int)(a < b ? a : b));
    }
}

static int set_up(void **state)
{
    struct kit *kit = calloc(1, sizeof *kit);
    const char *path;
    FILE *file;

    assert_non_null(kit);
    scratch_init(&kit->scratch);
    path = scratch_path(&kit->scratch, "data.tsv");
    file = fopen(path, "w");
    assert_non_null(file);
    fputs("user\titem\n", file);
    write_examples(file);
    assert_int_equal(fclose(file), 0);
    job_init(&kit->job);
    set(kit, "data.train", path);
    set(kit, "tables.user.dim", "2");
    set(kit, "tables.item.dim", "2");
    set(kit, "data.columns.user.table", "user");
    set(kit, "data.columns.item.table", "item");
    set(kit, "train.negatives", "8");
    *state = kit;
    return 0;
}

static int tear_down(void **state)
{
    struct kit *kit = *state;

    negatives_release(&kit->negatives);
    item_catalogue_destroy(kit->catalogue);
    data_release(&kit->data);
    scratch_release(&kit->scratch);
    free(kit);
    return 0;
}

static void begin(struct kit *kit)
{
    struct err err;

    if (data_load(&kit->data, &kit->job, NULL, NULL, NULL, &err) ||
        item_catalogue_create(&kit->job, &kit->data, &kit->catalogue, &err) ||
        negatives_init(&kit->negatives, &kit->job, kit->catalogue, &err))
        fail_msg("%s", err.text);
    assert_int_equal(kit->catalogue->examples, EXAMPLES);
    assert_true(kit->data.facts.label_mean == 1); /* without labels, all are chosen */
}

static void draw_all(struct kit *kit, bool seen)
{
    const struct item_catalogue *catalogue = kit->catalogue;
    uint32_t item[EACH];

    for (uint32_t epoch = 1; epoch <= EPOCHS; epoch++)
        for (uint32_t p = 0; p < EXAMPLES; p++) {
            negatives_draw(&kit->negatives, epoch, p, item);
            for (uint32_t j = 0; j < EACH; j++) {
                assert_true(item[j] < catalogue->items);
                assert_int_not_equal(item[j], catalogue->item_of[p]);
                if (!seen)
                    assert_false(item_catalogue_has_seen(
                        catalogue, catalogue->user_of[p], item[j]));
                kit->count[item[j]]++;
                kit->draws++;
            }
        }
}

/* What share of the draws each item should have: by its weight among those that the
 * example may get. */
static void expect_shares(const struct kit *kit, bool popular, bool seen,
                          double *expected)
{
    const struct item_catalogue *catalogue = kit->catalogue;

    for (uint32_t p = 0; p < EXAMPLES; p++) {
        double weight[ITEMS], total = 0;

        for (uint32_t i = 0; i < catalogue->items; i++) {
            bool may = i != catalogue->item_of[p] &&
                       (seen ||
                        !item_catalogue_has_seen(catalogue, catalogue->user_of[p], i));

            weight[i] = may ? popular ? catalogue->count[i] : 1 : 0;
            total += weight[i];
        }
        for (uint32_t i = 0; i < catalogue->items; i++)
            expected[i] += weight[i] / total * EACH * EPOCHS;
    }
}

/* Five deviations of what is expected, a little more since draws of a group hang
 * together: never by chance. */
static void check_shares(const struct kit *kit, bool popular, bool seen)
{
    double expected[ITEMS] = {0};

    expect_shares(kit, popular, seen, expected);
    assert_int_equal(kit->draws, (uint64_t)EXAMPLES * EACH * EPOCHS);
    for (uint32_t i = 0; i < kit->catalogue->items; i++)
        if (fabs((double)kit->count[i] - expected[i]) > 5 * sqrt(expected[i]) + 5)
            fail_msg("item %u was drawn %llu times, expected about %.1f", i,
                     (unsigned long long)kit->count[i], expected[i]);
}

static void test_uniform(void **state)
{
    begin(*state);
    draw_all(*state, false);
    check_shares(*state, false, false);
}

static void test_popularity(void **state)
{
    set(*state, "train.negatives_by", "popularity");
    begin(*state);
    draw_all(*state, false);
    check_shares(*state, true, false);
}

static void test_seen_ones_may_come(void **state)
{
    set(*state, "train.negatives_seen", "true");
    begin(*state);
    draw_all(*state, true);
    check_shares(*state, false, true);
}

static void test_seed_epoch_and_example_decide(void **state)
{
    struct kit *kit = *state;
    struct negatives other;
    uint32_t a[EACH], b[EACH];
    struct err err;

    begin(kit);
    negatives_draw(&kit->negatives, 3, 77, a);
    negatives_draw(&kit->negatives, 3, 78, b);
    assert_memory_not_equal(a, b, sizeof a);
    negatives_draw(&kit->negatives, 4, 77, b);
    assert_memory_not_equal(a, b, sizeof a);
    negatives_draw(&kit->negatives, 3, 77, b);
    assert_memory_equal(a, b, sizeof a);
    set(kit, "train.seed", "2");
    assert_int_equal(negatives_init(&other, &kit->job, kit->catalogue, &err), 0);
    negatives_draw(&other, 3, 77, b);
    assert_memory_not_equal(a, b, sizeof a);
    negatives_release(&other);
}

static void test_shares(void **state)
{
    struct kit *kit = *state;
    double sum = 0;

    set(kit, "train.negatives_by", "popularity");
    begin(kit);
    for (uint32_t i = 0; i < kit->catalogue->items; i++)
        sum += exp((double)kit->negatives.log_q[i]);
    assert_true(fabs(sum - 1) < 1e-5);
    assert_true(kit->negatives.log_q[0] ==
                (float)log((double)kit->catalogue->count[0] / EXAMPLES));
    negatives_release(&kit->negatives);
    set(kit, "train.negatives_by", "uniform");
    assert_int_equal(
        negatives_init(&kit->negatives, &kit->job, kit->catalogue, &(struct err){0}),
        0);
    assert_true(kit->negatives.log_q[5] == (float)-log(kit->catalogue->items));
}

/* A user who has everything gets something all the same, and not the item itself. */
static void test_nothing_else_is_left(void **state)
{
    struct kit *kit = *state;
    char text[2048] = "user\titem\n";
    uint32_t item[EACH];

    for (int i = 0; i < 5; i++)
        snprintf(text + strlen(text), sizeof text - strlen(text), "7\t%d\n", i);
    set(kit, "data.train", scratch_text(&kit->scratch, "all.tsv", text));
    assert_int_equal(
        data_load(&kit->data, &kit->job, NULL, NULL, NULL, &(struct err){0}), 0);
    assert_int_equal(
        item_catalogue_create(&kit->job, &kit->data, &kit->catalogue, &(struct err){0}),
        0);
    assert_int_equal(
        negatives_init(&kit->negatives, &kit->job, kit->catalogue, &(struct err){0}),
        0);
    for (uint32_t p = 0; p < 5; p++) {
        negatives_draw(&kit->negatives, 1, p, item);
        for (uint32_t j = 0; j < EACH; j++)
            assert_true(item[j] < 5 && item[j] != p);
    }
}

static void test_one_item_is_too_few(void **state)
{
    struct kit *kit = *state;
    struct err err = {0};

    set(kit, "data.train",
        scratch_text(&kit->scratch, "one.tsv", "user\titem\n1\t2\n"));
    assert_int_equal(data_load(&kit->data, &kit->job, NULL, NULL, NULL, &err), 0);
    assert_int_equal(
        item_catalogue_create(&kit->job, &kit->data, &kit->catalogue, &err), 0);
    assert_int_equal(negatives_init(&kit->negatives, &kit->job, kit->catalogue, &err),
                     -ERR_INPUT);
    assert_non_null(strstr(err.text, "the same item"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_uniform, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_popularity, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_seen_ones_may_come, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_seed_epoch_and_example_decide, set_up,
                                        tear_down),
        cmocka_unit_test_setup_teardown(test_shares, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_nothing_else_is_left, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_one_item_is_too_few, set_up, tear_down),
    };

    return cmocka_run_group_tests_name("negatives", tests, NULL, NULL);
}

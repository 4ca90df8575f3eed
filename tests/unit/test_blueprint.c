/* From jobs to graphs: which tables and rows a model has, and what is said of jobs that
 * make none. */
#include "tests/unit/model_kit.h"

#include <math.h>

#include "worker/blueprint_parts.h"

static const char *const two_sides[][2] = {
    {"model.layers.who.kind", "rows"},  {"model.layers.who.columns", "user"},
    {"model.layers.what.kind", "rows"}, {"model.layers.what.columns", "item"},
    {"model.layers.score.kind", "dot"}, {"model.layers.score.inputs", "who, what"},
};

static struct model_kit *make_kit(void)
{
    struct model_kit *kit = model_kit_create();

    for (size_t i = 0; i < sizeof two_sides / sizeof *two_sides; i++)
        model_set(kit, two_sides[i][0], two_sides[i][1]);
    return kit;
}

static void make(struct model_kit *kit)
{
    blueprint_destroy(kit->blueprint);
    kit->blueprint = NULL;
    if (blueprint_expand(&kit->job, &kit->err) ||
        blueprint_make(&kit->job, &kit->blueprint, &kit->err))
        fail_msg("%s", kit->err.text);
}

static const struct job_table *table_of(const struct model_kit *kit, const char *name)
{
    int table = job_table_index(&kit->job, name);

    if (table < 0)
        fail_msg("no table %s", name);
    return &kit->job.table[table];
}

/* --- what is wrong ---------------------------------------------------------------- */

struct wrong {
    const char *const setting[6][2];
    const char *named[2]; /* by the sentence */
};

static const struct wrong wrong_inputs[] = {
    {{{"model.layers.who.columns", "usr"}}, {"model.layers.who.columns", "'usr'"}},
    {{{"model.layers.who.columns", ""}}, {"model.layers.who.columns", "empty"}},
    {{{"model.layers.who.inputs", "what"}},
     {"model.layers.who is an input", "columns"}},
    {{{"model.layers.score.columns", "user"}},
     {"model.layers.score has columns", "kind dot"}},
    {{{"model.layers.who.columns", "age"}},
     {"'age', which is as: number", "key or keys"}},
    {{{"model.layers.who.columns", "place"}}, {"'place', which is as: vector", "who"}},
    {{{"model.layers.who.kind", "bag"}}, {"'user', which is as: key", "expected keys"}},
    {{{"model.layers.who.kind", "numbers"}},
     {"'user', which is as: key", "a number or vector"}},
    {{{"model.layers.who.columns", "tags, seen"}},
     {"has 2 columns", "'tags' is a list"}},
    {{{"model.layers.who.columns", "item, seen"}},
     {"model.layers.who.columns has lists and keys", "expected one list, or keys"}},
    {{{"model.layers.who.columns", "user, item"}}, {"'user' and 'item'", "stack"}},
    {{{"model.layers.who.table", "users"}}, {"model.layers.who", "table 'users'"}},
    {{{"model.layers.who.first", "4"}}, {"numbers 5 to 5", "'user', which has 4"}},
    {{{"model.layers.who.first", "2"}, {"model.layers.who.width", "3"}},
     {"numbers 3 to 5", "'user', which has 4"}},
    {{{"model.layers.who.columns", "seen"}},
     {"model.layers.who.length is not set", "list 'seen'"}},
};

static const struct wrong wrong_rows[] = {
    {{{"model.layers.who.table", "item"}},
     {"table 'item', which is dense", "data.columns.user.table to be 'item'"}},
    {{{"data.columns.item.table", "tag"}, {"model.layers.what.table", "item"}},
     {"keys of column 'item'", "by which they are checked"}}, /* 11 rows and 9 */
    {{{"data.columns.item.table", ""}, {"model.layers.what.table", "item"}},
     {"keys of column 'item'", "data.columns.item.table"}},
};

static const struct wrong wrong_layers[] = {
    {{{"model.layers.score.inputs", "who, wat"}}, {"model.layers", "'wat'"}},
    {{{"model.layers.what.width", "3"}}, {"model.layers", "'score'"}},
    {{{"model.output", "who, what, score"}}, {"model.output", "more than two layers"}},
    {{{"model.output", "scor"}}, {"'scor'", "model.layers"}},
    {{{"model.layers.more.width", "2"}},
     {"'more'", "[1][2], expected [1][1]: the score"}},
    {{{"model.layers.user.width", "1"}},
     {"table 'user'", "another name for the layer"}},
    {{{"model.layers.normed.kind", "batch_norm"},
      {"model.layers.normed-running.width", "1"}},
     {"table 'normed-running'", "another name for the layer"}},
    {{{"model.layers.more.width", "1"},
      {"tables.more.rows", "7"},
      {"tables.more.dim", "1"}},
     {"'more' has 7 rows of 1 numbers", "2 rows of 1"}},
    {{{"model.layers.more.width", "1"},
      {"tables.more.rows", "2"},
      {"tables.more.dim", "3"}},
     {"'more' has 2 rows of 3 numbers", "2 rows of 1"}},
};

static const struct wrong wrong_targets[] = {
    {{{"model.target", "iten"}}, {"model.target is 'iten'", "data.columns"}},
    {{{"model.target", "age"}}, {"column 'age', which is as: number", "a key or keys"}},
    {{{"model.target", "who"}}, {"layer 'who' of kind rows", "kind numbers"}},
    {{{"model.loss", "softmax"}}, {"model.loss is softmax", "model.target is not set"}},
    {{{"model.target", "item"}}, {"model.target is a key", "model.loss softmax"}},
    {{{"model.target", "tags"}, {"model.loss", "logistic"}},
     {"model.target is a list of keys", "softmax, squared, absolute or huber"}},
    {{{"model.target", "user"}, {"model.loss", "softmax"}},
     {"table 'user' is not dense", "tables.NAME.rows"}},
    {{{"model.target", "item"}, {"model.loss", "softmax"}},
     {"[1][1], expected [1][9]", "as many numbers as model.target has"}},
    {{{"model.target", "item"},
      {"model.loss", "softmax"},
      {"tables.item.rows", "1048577"}},
     {"1048577 rows", "at most 1048576"}},
    {{{"model.layers.facts.kind", "numbers"},
      {"model.layers.facts.columns", "place"},
      {"model.layers.more.kind", "concat"},
      {"model.layers.more.inputs", "score, facts"},
      {"model.target", "facts"},
      {"model.loss", "hinge"}},
     {"model.target is a layer of numbers", "huber or logistic"}},
    {{{"data.group", "user"}}, {"data.group is set", "model.target"}},
    {{{"data.group", "user"}, {"model.kind", "mf"}},
     {"data.group", "model.kind graph"}},
    {{{"model.kind", "mf"}, {"model.item", "film"}},
     {"table 'film'", "one key column"}},
};

static void expect_wrong(const struct wrong *wrong, size_t n)
{
    for (size_t w = 0; w < n; w++) {
        struct model_kit *kit = make_kit();
        struct err *err = &kit->err;
        int rc;

        for (int s = 0; s < 6 && wrong[w].setting[s][0]; s++)
            model_set(kit, wrong[w].setting[s][0], wrong[w].setting[s][1]);
        rc = blueprint_expand(&kit->job, err);
        if (rc == 0)
            rc = blueprint_make(&kit->job, &kit->blueprint, err);
        if (rc != -ERR_INPUT || !strstr(err->text, wrong[w].named[0]) ||
            !strstr(err->text, wrong[w].named[1]))
            fail_msg("%s: %s: %d, %s", wrong[w].setting[0][0], wrong[w].setting[0][1],
                     rc, rc ? err->text : "no error");
        model_kit_destroy(kit);
    }
}

static void test_inputs_that_do_not_go(void **state)
{
    (void)state;
    expect_wrong(wrong_inputs, sizeof wrong_inputs / sizeof *wrong_inputs);
    expect_wrong(wrong_rows, sizeof wrong_rows / sizeof *wrong_rows);
}

static void test_layers_that_do_not_go(void **state)
{
    (void)state;
    expect_wrong(wrong_layers, sizeof wrong_layers / sizeof *wrong_layers);
}

static void test_targets_that_do_not_go(void **state)
{
    (void)state;
    expect_wrong(wrong_targets, sizeof wrong_targets / sizeof *wrong_targets);
}

static void test_no_layers(void **state)
{
    struct model_kit *kit = model_kit_create();

    (void)state;
    assert_int_equal(blueprint_expand(&kit->job, &kit->err), -ERR_INPUT);
    assert_non_null(strstr(kit->err.text, "model.layers has no layer"));
    model_kit_destroy(kit);
}

/* Only blueprint_expand() makes tables. */
static void test_tables_must_be_there(void **state)
{
    struct model_kit *kit = make_kit();

    (void)state;
    model_set(kit, "model.layers.more.width", "1");
    assert_int_equal(blueprint_make(&kit->job, &kit->blueprint, &kit->err), -ERR_INPUT);
    assert_non_null(strstr(kit->err.text, "there is no table 'more'"));
    model_kit_destroy(kit);
}

/* --- what is made ----------------------------------------------------------------- */

static void test_rows_of_an_example(void **state)
{
    struct model_kit *kit = make_kit();
    const struct blueprint *b;

    (void)state;
    model_set(kit, "model.layers.part.kind", "rows");
    model_set(kit, "model.layers.part.columns", "item");
    model_set(kit, "model.layers.part.first", "1");
    model_set(kit, "model.layers.part.width", "2");
    model_set(kit, "model.layers.kinds.kind", "bag");
    model_set(kit, "model.layers.kinds.columns", "tags");
    model_set(kit, "model.layers.past.kind", "rows");
    model_set(kit, "model.layers.past.columns", "seen");
    model_set(kit, "model.layers.past.length", "6");
    model_set(kit, "model.layers.mean.kind", "pool");
    model_set(kit, "model.layers.facts.kind", "numbers");
    model_set(kit, "model.layers.facts.columns", "age, place");
    model_set(kit, "model.layers.all.kind", "concat");
    model_set(kit, "model.layers.all.inputs", "score, part, kinds, mean, facts");
    model_set(kit, "model.layers.out.width", "1");
    model_set(kit, "train.batch", "100");
    make(kit);
    b = kit->blueprint;
    assert_int_equal(b->inputs, 6);
    assert_int_equal(b->input[1].same, 1);
    assert_int_equal(b->input[2].same, 1); /* the keys of `what` */
    assert_int_equal(b->input[2].width, 2);
    assert_int_equal(b->input[3].length, 64);
    assert_int_equal(b->input[3].steps, 1);
    assert_int_equal(b->input[4].steps, 6);
    assert_true(b->input[4].is_list && b->input[3].is_list && !b->input[1].is_list);
    assert_int_equal(b->input[5].width, 3);
    assert_int_equal(b->keys[job_table_index(&kit->job, "user")], 1);
    assert_int_equal(b->keys[job_table_index(&kit->job, "item")], 7);
    assert_int_equal(b->keys[job_table_index(&kit->job, "tag")], 64);
    assert_int_equal(blueprint_capacity(b), 100);
    assert_int_equal(blueprint_rows(b, job_table_index(&kit->job, "item"), 10), 70);
    assert_int_equal(blueprint_rows(b, job_table_index(&kit->job, "out"), 10),
                     table_of(kit, "out")->rows);
    assert_int_equal(b->parameters, 1);
    assert_true(b->whole[b->parameter_table[0]]);
    model_kit_destroy(kit);
}

/* Rows for weights and biases, first values by fans, no penalty; running means add. */
static void test_tables_of_parameters(void **state)
{
    struct model_kit *kit = make_kit();
    const struct job_table *table;

    (void)state;
    model_set(kit, "model.layers.both.kind", "concat");
    model_set(kit, "model.layers.both.inputs", "who, what");
    model_set(kit, "model.layers.deep.width", "5");
    model_set(kit, "model.layers.normed.kind", "batch_norm");
    model_set(kit, "model.layers.out.width", "1");
    model_set(kit, "model.layers.sum.kind", "add");
    model_set(kit, "model.layers.sum.inputs", "score, out");
    model_set(kit, "optimizer.l2", "0.1");
    model_set(kit, "tables.out.optimizer.rate", "0.5");
    make(kit);
    table = table_of(kit, "deep");
    assert_int_equal(table->rows, 9);
    assert_int_equal(table->dim, 5);
    assert_int_equal(table->init, INIT_UNIFORM);
    assert_true(fabs(table->scale - sqrt(6.0 / 13)) < 1e-6);
    assert_true(table->optimizer.l2 == 0);
    assert_int_equal(table_of(kit, "normed")->init, INIT_ZERO);
    assert_int_equal(table_of(kit, "normed-running")->optimizer.kind, OPTIMIZER_ADD);
    assert_true(table_of(kit, "normed-running")->optimizer.clip == 0);
    assert_true(table_of(kit, "out")->optimizer.rate == 0.5);
    assert_int_equal(table_of(kit, "out")->rows, 6);
    assert_int_equal(kit->blueprint->parameters, 4);
    model_kit_destroy(kit);
}

static void test_expanding_twice_changes_nothing(void **state)
{
    struct model_kit *kit = make_kit();
    struct job *once = malloc(sizeof *once);

    (void)state;
    model_set(kit, "model.layers.out.width", "1");
    make(kit);
    *once = kit->job;
    make(kit);
    assert_memory_equal(once, &kit->job, sizeof *once);
    free(once);
    model_kit_destroy(kit);
}

/* A product of two layers is one layer more. */
static void test_outputs(void **state)
{
    struct model_kit *kit = make_kit();
    uint32_t output;

    (void)state;
    make(kit);
    assert_int_equal(kit->blueprint->outputs, 1);
    assert_string_equal(kit->blueprint->output[0], "score");
    model_kit_destroy(kit);
    kit = model_kit_create();
    for (size_t i = 0; i < 4; i++)
        model_set(kit, two_sides[i][0], two_sides[i][1]);
    model_set(kit, "model.layers.deep.inputs", "who");
    model_set(kit, "model.layers.deep.width", "4");
    model_set(kit, "model.output", "deep, what");
    make(kit);
    assert_int_equal(kit->blueprint->outputs, 3);
    assert_string_equal(kit->blueprint->output[2], "what");
    assert_true(blueprint_is_product(kit->blueprint));
    assert_int_equal(blueprint_watch(kit->blueprint, "who", &output, &kit->err), 0);
    assert_int_equal(output, 3);
    assert_true(blueprint_is_product(kit->blueprint)); /* still */
    model_kit_destroy(kit);
}

/* With data.group other keys are lists. */
static void test_groups(void **state)
{
    struct model_kit *kit = model_kit_create();

    (void)state;
    model_set(kit, "data.group", "user");
    model_set(kit, "model.target", "item");
    model_set(kit, "model.loss", "softmax");
    model_set(kit, "model.layers.past.kind", "bag");
    model_set(kit, "model.layers.past.columns", "item");
    model_set(kit, "model.layers.out.width", "9");
    make(kit);
    assert_int_equal(kit->blueprint->target, TARGET_LIST);
    assert_int_equal(kit->blueprint->classes, 9);
    assert_true(kit->blueprint->input[0].is_list);
    model_set(kit, "data.columns.item.table", ""); /* in the data a list all the same */
    assert_true(blueprint_is_list(&kit->job, &kit->job.data.column[IN_ITEM]));
    model_set(kit, "data.columns.item.table", "item");
    model_set(kit, "data.group", "");
    assert_int_equal(blueprint_make(&kit->job, &kit->blueprint, &kit->err), -ERR_INPUT);
    assert_non_null(strstr(kit->err.text, "'item', which is as: key"));
    model_kit_destroy(kit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_inputs_that_do_not_go),
        cmocka_unit_test(test_layers_that_do_not_go),
        cmocka_unit_test(test_targets_that_do_not_go),
        cmocka_unit_test(test_no_layers),
        cmocka_unit_test(test_tables_must_be_there),
        cmocka_unit_test(test_rows_of_an_example),
        cmocka_unit_test(test_tables_of_parameters),
        cmocka_unit_test(test_expanding_twice_changes_nothing),
        cmocka_unit_test(test_outputs),
        cmocka_unit_test(test_groups),
    };

    return cmocka_run_group_tests_name("blueprint", tests, NULL, NULL);
}

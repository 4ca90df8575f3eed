/* What is asked of single layers of a model: their values, and what they depend on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "worker/blueprint.h"

static const char *const settings[][2] = {
    {"data.train", "x"},
    {"data.label", "rating"},
    {"data.columns.user.as", "key"},
    {"data.columns.user.table", "user"},
    {"data.columns.item.as", "key"},
    {"data.columns.item.table", "item"},
    {"data.columns.age.as", "number"},
    {"tables.user.dim", "4"},
    {"tables.item.dim", "4"},
    {"model.kind", "graph"},
    {"model.output", "who, what"},
    {"model.layers.ids.kind", "rows"},
    {"model.layers.ids.columns", "user"},
    {"model.layers.facts.kind", "numbers"},
    {"model.layers.facts.columns", "age"},
    {"model.layers.both.kind", "concat"},
    {"model.layers.both.inputs", "ids, facts"},
    {"model.layers.who.width", "3"},
    {"model.layers.films.kind", "rows"},
    {"model.layers.films.columns", "item"},
    {"model.layers.what.width", "3"},
    {"model.layers.what.inputs", "films"},
};

static struct job *job;

static struct blueprint *make(void)
{
    struct blueprint *blueprint;
    struct err err = {0};

    job_init(job);
    for (size_t i = 0; i < sizeof settings / sizeof settings[0]; i++)
        if (job_set(job, settings[i][0], settings[i][1], "test", &err))
            fail_msg("%s: %s", settings[i][0], err.text);
    if (blueprint_expand(job, &err) || blueprint_make(job, &blueprint, &err))
        fail_msg("%s", err.text);
    return blueprint;
}

static void expect_output(const char *layer, uint32_t number, uint32_t outputs)
{
    struct blueprint *blueprint = make();
    struct graph *graph;
    uint32_t output;
    struct err err;

    assert_int_equal(blueprint_watch(blueprint, layer, &output, &err), 0);
    assert_int_equal(output, number);
    assert_int_equal(blueprint->outputs, outputs);
    assert_string_equal(blueprint->output[output], layer);
    assert_int_equal(blueprint_graph(blueprint, 8, false, &graph, &err), 0);
    graph_destroy(graph);
    blueprint_destroy(blueprint);
}

static void test_watch(void **state)
{
    (void)state;
    expect_output("both", 3, 4);
    expect_output("facts", 3, 4);
    expect_output("what", 2, 3); /* is one already */
}

static void test_watch_nothing(void **state)
{
    struct blueprint *blueprint = make();
    struct err err = {0};
    uint32_t output;

    (void)state;
    assert_int_equal(blueprint_watch(blueprint, "bothe", &output, &err), -ERR_INPUT);
    assert_non_null(strstr(err.text, "bothe"));
    assert_non_null(strstr(err.text, "'both'"));
    blueprint_destroy(blueprint);
}

static void expect_uses(const struct blueprint *blueprint, const char *layer, bool user,
                        bool item, bool age)
{
    const bool wanted[] = {user, item, age};

    for (int c = 0; c < 3; c++) {
        bool column[JOB_COLUMNS_MAX] = {false};

        column[c] = true;
        assert_int_equal(blueprint_layer_uses(blueprint, layer, column), wanted[c]);
    }
}

static void test_uses(void **state)
{
    struct blueprint *blueprint = make();

    (void)state;
    expect_uses(blueprint, "ids", true, false, false);
    expect_uses(blueprint, "facts", false, false, true);
    expect_uses(blueprint, "who", true, false, true);
    expect_uses(blueprint, "what", false, true, false);
    expect_uses(blueprint, blueprint->output[0], true, true, true);
    blueprint_destroy(blueprint);
}

static void expect_product(const char *setting, const char *value, bool wanted)
{
    struct blueprint *blueprint = make();
    struct err err = {0};

    blueprint_destroy(blueprint);
    assert_int_equal(job_set(job, setting, value, "test", &err), 0);
    if (blueprint_expand(job, &err) || blueprint_make(job, &blueprint, &err))
        fail_msg("%s", err.text);
    assert_int_equal(blueprint_is_product(blueprint), wanted);
    blueprint_destroy(blueprint);
}

/* The user's layer first, and each of one side alone. */
static void test_product(void **state)
{
    (void)state;
    expect_product("model.user", "user", true);
    expect_product("model.output", "what, who", false);
    expect_product("model.item", "user", false);
    expect_product("model.layers.films.columns", "user", false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_watch),
        cmocka_unit_test(test_watch_nothing),
        cmocka_unit_test(test_uses),
        cmocka_unit_test(test_product),
    };
    int failed;

    job = calloc(1, sizeof *job);
    failed = cmocka_run_group_tests_name("blueprint layers", tests, NULL, NULL);
    free(job);
    return failed;
}

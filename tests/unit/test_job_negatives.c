/* What negatives, and losses that set items against each other, need of other settings;
 * which columns belong to the item. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/job.h"

static void set(struct job *job, const char *name, const char *value)
{
    struct err err;

    if (job_set(job, name, value, "test", &err))
        fail_msg("%s", err.text);
}

/* Negatives for matrix factorisation; `text` has settings, one a line. */
static struct job *make_job(const char *text)
{
    struct job *job = malloc(sizeof *job);
    char line[256];

    assert_non_null(job);
    job_init(job);
    set(job, "name", "test");
    set(job, "data.train", "a.tsv");
    set(job, "data.columns.u.table", "user");
    set(job, "data.columns.i.table", "item");
    set(job, "tables.user", NULL);
    set(job, "tables.item", NULL);
    set(job, "train.negatives", "4");
    while (*text) {
        size_t n = strcspn(text, "\n"), name = strcspn(text, "=");

        snprintf(line, sizeof line, "%.*s", (int)n, text);
        line[name] = '\0';
        set(job, line, line + name + 1);
        text += n + (text[n] == '\n');
    }
    return job;
}

static void accepts(const char *text)
{
    struct job *job = make_job(text);
    struct err err;

    if (job_check(job, &err))
        fail_msg("%s: %s", text, err.text);
    free(job);
}

static void refuses(const char *text, const char *sentence)
{
    struct job *job = make_job(text);
    struct err err;

    assert_int_equal(job_check(job, &err), -ERR_INPUT);
    assert_string_equal(err.text, sentence);
    free(job);
}

static void test_losses(void **state)
{
    (void)state;
    accepts("");
    accepts("model.loss=logistic");
    accepts("model.loss=bpr");
    accepts("model.loss=warp\ntrain.negatives=1000");
    accepts("model.loss=sampled_softmax\ntrain.negatives_by=popularity");
    accepts("train.update=delta\noptimizer.kind=sgd");
    refuses("model.loss=bpr\ntrain.negatives=0",
            "train.negatives is 0, but model.loss bpr sets chosen items against "
            "negatives, expected at least 1");
    refuses("model.loss=sampled_softmax\ntrain.negatives=0",
            "train.negatives is 0, but model.loss sampled_softmax sets chosen items "
            "against negatives, expected at least 1");
    refuses("model.loss=warp\ntrain.update=delta\noptimizer.kind=sgd",
            "train.update is delta, which goes with model.loss squared and logistic, "
            "not with warp");
}

static void test_items_of_the_batch(void **state)
{
    (void)state;
    accepts("train.negatives=0\ntrain.negatives_by=batch\nmodel.loss=sampled_softmax");
    refuses("train.negatives_by=batch\nmodel.loss=bpr",
            "train.negatives_by is batch, but it needs model.loss sampled_softmax");
    refuses("train.negatives_by=batch\nmodel.loss=sampled_softmax",
            "train.negatives is 4, but with train.negatives_by batch none are drawn, "
            "expected 0");
}

static void test_data(void **state)
{
    (void)state;
    refuses("data.in_memory=false",
            "train.negatives is 4, which needs the data in memory, but data.in_memory "
            "is false");
    refuses("train.follow=true\ntrain.epochs=1",
            "train.negatives is 4, which needs the data in memory, but train.follow is "
            "true");
    refuses("train.negatives=0\ntrain.negatives_by=batch\nmodel.loss=sampled_softmax\n"
            "data.in_memory=false",
            "train.negatives_by is batch, which needs the data in memory, but "
            "data.in_memory is false");
    refuses("train.negatives=0", "data.label is not set: it names the column to "
                                 "predict");
}

static void test_targets_of_their_own(void **state)
{
    (void)state;
    refuses("data.label=r\nmodel.kind=graph\nmodel.target=i",
            "model.target is set, which does not go with train.negatives");
    refuses("data.label=r\nmodel.kind=graph\nmodel.target=i\ndata.group=u\n"
            "model.loss=bpr",
            "data.group is set, which does not go with train.negatives");
}

static void test_metrics(void **state)
{
    (void)state;
    accepts("model.loss=bpr"); /* nothing is held out: the default is not used */
    refuses("model.loss=bpr\ndata.split.test=0.1",
            "evaluate.metrics has rmse, but scores of model.loss bpr say only which "
            "items come first");
    refuses("data.split.test=0.1", "evaluate.metrics has rmse, which needs data.label");
    refuses("data.split.by=leave_one_out\ndata.time=t\nevaluate.metrics=mae",
            "evaluate.metrics has mae, which needs data.label");
    accepts("model.loss=bpr\ndata.split.test=0.1\nevaluate.metrics=");
    accepts("data.label=r\ndata.split.test=0.1");
}

static const char columns[] =
    "data.sides.items.files=b\ndata.sides.items.key=i\n"
    "data.sides.users.files=c\ndata.sides.users.key=u\n"
    "tables.kind.dim=2\ntables.both.dim=2\n"
    "data.columns.kind.table=kind\ndata.columns.kind.from=items\n"
    "data.columns.age.as=number\ndata.columns.age.from=users\n"
    "data.columns.born.as=time\ndata.columns.born.from=items\n"
    "data.columns.hour.make=hour\ndata.columns.hour.of=born\n"
    "data.columns.hour.table=kind\n"
    "data.columns.where.table=kind\n"
    "data.columns.own.make=cross\ndata.columns.own.of=i,kind\n"
    "data.columns.own.table=both\n"
    "data.columns.past.make=history\ndata.columns.past.of=i\n"
    "data.columns.past.as=keys\ndata.columns.past.table=item\n"
    "data.time=t\n";

static void test_columns_of_the_item(void **state)
{
    static const char *const of_item[] = {"i", "kind", "born", "hour", "own"};
    struct job *job = make_job(columns);

    (void)state;
    for (int c = 0; c < job->data.columns; c++) {
        bool expected = false;

        for (size_t i = 0; i < sizeof of_item / sizeof of_item[0]; i++)
            expected |= !strcmp(job->data.column[c].name, of_item[i]);
        if (job_column_is_items(job, c) != expected)
            fail_msg("column %s", job->data.column[c].name);
    }
    free(job);
}

/* Columns that all build on those before them: asked one by one from the last, so many
 * would never end. */
static void test_columns_of_columns(void **state)
{
    char text[16384] = "tables.both.dim=2\n";
    struct job *job;
    int length = (int)strlen(text);

    (void)state;
    for (int c = 0; c < 48; c++) {
        length += snprintf(text + length, sizeof text - (size_t)length,
                           "data.columns.i%d.make=cross\ndata.columns.i%d.table=both\n"
                           "data.columns.i%d.of=i",
                           c, c, c);
        for (int before = c < 7 ? 0 : c - 7; before < c; before++)
            length += snprintf(text + length, sizeof text - (size_t)length, ",i%d",
                               before);
        length += snprintf(text + length, sizeof text - (size_t)length, "\n");
    }
    job = make_job(text);
    for (int c = 0; c < job->data.columns; c++) {
        assert_int_equal(job_column_is_items(job, c),
                         strcmp(job->data.column[c].name, "u") != 0);
        assert_false(job_column_is_mixed(job, c));
    }
    free(job);
}

static void test_columns_of_both(void **state)
{
    char text[2048];

    (void)state;
    snprintf(text, sizeof text,
             "%sdata.columns.two.make=cross\ndata.columns.two.of=kind,where\n"
             "data.columns.two.table=both",
             columns);
    refuses(text, "data.columns.two is made of columns of the item and others, which "
                  "negatives do not have together; expected train.negatives 0");
}

static void test_limits(void **state)
{
    static const char *const outside[][2] = {{"train.negatives", "-1"},
                                             {"train.negatives", "1001"},
                                             {"train.negatives_by", "2"},
                                             {"train.negatives_seen", "2"}};
    struct job *job = malloc(sizeof *job);
    struct err err;

    (void)state;
    assert_non_null(job);
    job_init(job);
    assert_int_equal(job->train.negatives, 0);
    assert_int_equal(job->train.negatives_by, NEGATIVES_UNIFORM);
    assert_false(job->train.negatives_seen);
    for (size_t i = 0; i < sizeof outside / sizeof outside[0]; i++)
        assert_int_equal(job_set(job, outside[i][0], outside[i][1], "test", &err),
                         -ERR_INPUT);
    free(job);
}

static void test_groups(void **state)
{
    struct job *job = make_job("");

    (void)state;
    assert_int_equal(job_group(job), 5);
    assert_false(job_needs_label(job));
    set(job, "train.negatives", "0");
    assert_int_equal(job_group(job), 1);
    assert_true(job_needs_label(job));
    free(job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_losses),
        cmocka_unit_test(test_items_of_the_batch),
        cmocka_unit_test(test_data),
        cmocka_unit_test(test_targets_of_their_own),
        cmocka_unit_test(test_metrics),
        cmocka_unit_test(test_columns_of_the_item),
        cmocka_unit_test(test_columns_of_both),
        cmocka_unit_test(test_columns_of_columns),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_groups),
    };

    return cmocka_run_group_tests_name("job_negatives", tests, NULL, NULL);
}

/* Checks of a whole job. Runs from the project's directory. */
#include "common/job.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "common/file.h"

/* A job that job_check() likes. */
static const char good[] = "name: test\n"
                           "data:\n"
                           "  train: a.tsv\n"
                           "  label: rating\n"
                           "  columns:\n"
                           "    userId: {as: key, table: user}\n"
                           "    movieId: {as: key, table: item}\n"
                           "tables: {user: {}, item: {}}\n";

struct fixture {
    char path[160];
    struct job job;
    struct err err;
};

static int make_fixture(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    int fd;

    if (!f)
        return -1;
    snprintf(f->path, sizeof f->path, "%.100s/rowhouse-job-XXXXXX.yaml",
             getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
    fd = mkstemps(f->path, 5);
    *state = f;
    return fd < 0 ? -1 : close(fd);
}

static int drop_fixture(void **state)
{
    struct fixture *f = *state;

    unlink(f->path);
    free(f);
    return 0;
}

static int load_with(struct fixture *f, const char *text, char *const overrides[],
                     int count)
{
    f->err = (struct err){0, ""};
    assert_int_equal(file_write_atomic(f->path, text, strlen(text), &f->err), 0);
    return job_load(&f->job, f->path, overrides, count, &f->err);
}

static void loads(struct fixture *f, const char *text)
{
    int rc = load_with(f, text, NULL, 0);

    assert_string_equal(f->err.text, "");
    assert_int_equal(rc, 0);
}

/* The sentence is "FILE" and `rest`. */
static void refuses(struct fixture *f, const char *text, const char *rest)
{
    char sentence[ERR_TEXT_MAX];

    assert_int_equal(load_with(f, text, NULL, 0), -ERR_INPUT);
    snprintf(sentence, sizeof sentence, "%s%s", f->path, rest);
    assert_string_equal(f->err.text, sentence);
}

/* `good` with settings of the command line, refused with "FILE: " and `rest`. */
static void check_refuses(struct fixture *f, const char *first, const char *second,
                          const char *rest)
{
    char one[200], two[200], sentence[ERR_TEXT_MAX];
    char *overrides[] = {one, two};

    snprintf(one, sizeof one, "%s", first);
    snprintf(two, sizeof two, "%s", second ? second : "");
    assert_int_equal(load_with(f, good, overrides, second ? 2 : 1), -ERR_INPUT);
    snprintf(sentence, sizeof sentence, "%s: %s", f->path, rest);
    assert_string_equal(f->err.text, sentence);
}

static void accepts(struct fixture *f, const char *first, const char *second)
{
    char one[200], two[200];
    char *overrides[] = {one, two};
    int rc;

    snprintf(one, sizeof one, "%s", first);
    snprintf(two, sizeof two, "%s", second ? second : "");
    rc = load_with(f, good, overrides, second ? 2 : 1);
    assert_string_equal(f->err.text, "");
    assert_int_equal(rc, 0);
}

static void the_name_comes_from_the_file(void **state)
{
    struct fixture *f = *state;
    const char *unnamed = strchr(good, '\n') + 1;
    char name[160], odd[200], sentence[500];

    loads(f, unnamed);
    snprintf(name, sizeof name, "%s", strrchr(f->path, '/') + 1);
    *strrchr(name, '.') = '\0';
    assert_string_equal(f->job.name, name);
    snprintf(odd, sizeof odd, "%s x.yml", f->path);
    assert_int_equal(file_write_atomic(odd, unnamed, strlen(unnamed), &f->err), 0);
    assert_int_equal(job_load(&f->job, odd, NULL, 0, &f->err), -ERR_INPUT);
    unlink(odd);
    snprintf(sentence, sizeof sentence,
             "%s: name is '%s.yaml x', expected letters, digits, '.', '_' and '-', not "
             "beginning with '.' or '-'",
             odd, name);
    assert_string_equal(f->err.text, sentence);
    accepts(f, "name=a.B_c-9", NULL);
    check_refuses(f, "name=a/b", NULL,
                  "name is 'a/b', expected letters, digits, '.', '_' and '-', not "
                  "beginning with '.' or '-'");
    check_refuses(f, "name=..", NULL,
                  "name is '..', expected letters, digits, '.', '_' and '-', not "
                  "beginning with '.' or '-'");
    check_refuses(f, "name=-x", NULL,
                  "name is '-x', expected letters, digits, '.', '_' and '-', not "
                  "beginning with '.' or '-'");
    loads(f, good);
    f->job.name[0] = '\0';
    assert_int_equal(job_check(&f->job, &f->err), -ERR_INPUT);
    assert_string_equal(f->err.text, "name is not set");
}

static void checks_of_the_data(void **state)
{
    struct fixture *f = *state;

    check_refuses(f, "data.train=", NULL,
                  "data.train is not set: it names the files to train on");
    check_refuses(f, "data.label=", NULL,
                  "data.label is not set: it names the column to predict");
    check_refuses(f, "data.test=b.tsv", "data.split.test=0.1",
                  "data.test and data.split.test are both set, expected one of them");
    accepts(f, "data.test=b.tsv", NULL);
    check_refuses(f, "data.positive_from=4", NULL,
                  "data.positive_from is set, but it needs model.loss logistic, hinge, "
                  "squared_hinge, sampled_softmax, bpr or warp");
    accepts(f, "data.positive_from=4", "model.loss=logistic");
    check_refuses(f, "data.label=", "model.target=movieId",
                  "data.label is not set: it names the column to predict"); /* mf */
    loads(f, "data: {train: a, columns: {u: {table: user}, i: {table: item}}}\n"
             "model: {kind: graph, loss: softmax, target: i}\n"
             "tables: {user: {}, item: {rows: 9}}\n");
    f->job.data.group[0] = 'u';
    assert_false(job_needs_label(&f->job));
    f->job.model.loss = LOSS_SQUARED; /* of weights that are all the same? */
    assert_true(job_needs_label(&f->job));
    check_refuses(f, "data.group=userId", "data.in_memory=false",
                  "data.group is set, which needs the data in memory, but "
                  "data.in_memory is false");
    check_refuses(f, "data.group=userId", "train.follow=true",
                  "data.group is set, which needs the data in memory, but train.follow "
                  "is set");
    check_refuses(f, "data.group=userId", "data.weight=w",
                  "data.group and data.weight are both set, expected one of them: "
                  "weights are of single examples");
}

static void checks_of_autoencoders(void **state)
{
    struct fixture *f = *state;

    check_refuses(f, "model.kind=autoencoder", "model.hidden=",
                  "model.hidden is empty, expected how wide the layers of the encoder "
                  "are, because model.kind is autoencoder");
    accepts(f, "model.kind=autoencoder", NULL);
    check_refuses(
        f, "model.kind=multdae", "model.loss=softmax",
        "data.group is not set, but model.kind multdae is of groups: expected "
        "the column of those who have the items");
    check_refuses(f, "model.kind=multdae", "data.group=userId",
                  "model.kind is multdae, expected model.loss softmax");
}

static void checks_of_the_columns(void **state)
{
    struct fixture *f = *state;

    check_refuses(
        f, "data.columns.x.table=films", NULL,
        "data.columns.x.table is 'films', but there is no such table in tables");
    check_refuses(f, "data.columns.x.as=key", NULL,
                  "data.columns.x.table is not set: it names the column's table");
    check_refuses(f, "data.columns.userId.as=title", NULL,
                  "table 'user' has no key column: expected one in data.columns");
    check_refuses(f, "data.columns.userId.table=item", NULL,
                  "table 'user' has no key column: expected one in data.columns");
    check_refuses(
        f, "data.columns.x.table=user", NULL,
        "the columns 'userId' and 'x' are both keys of table 'user', expected "
        "one");
    check_refuses(
        f, "data.columns.x.table=item", NULL,
        "the columns 'movieId' and 'x' are both keys of table 'item', expected "
        "one");
    refuses(f,
            "data: {train: a, label: r, columns: {u: {table: user}, i: {table: item},\n"
            "  s: {table: item, as: title}, t: {table: item, as: title}}}\n"
            "tables: {user: {}, item: {}}\n",
            ": the columns 's' and 't' are both titles of table 'item', expected one");
    /* Naming a table in a column does not make it. */
    refuses(
        f,
        "data: {train: a, label: r, columns: {u: {table: user}, i: {table: item}}}\n"
        "tables: {user: {}}\n",
        ": data.columns.i.table is 'item', but there is no such table in tables");
}

/* Nor is anybody asked without end whose such a column is: two towers want to know. */
static void columns_are_made_in_order(void **state)
{
    static const char *const model[] = {"", "model: {kind: twotower}\n"};
    static const struct {
        const char *columns, *rest;
    } wrong[] = {
        {"x: {make: cross, of: 'u,x'}", "'x', which is made"},
        {"x: {make: cross, of: 'u,y'}, y: {make: cross, of: 'u,x'}",
         "x.of has 'y', which is made, too: expected one that stands before it"},
        {"x: {make: cross, of: 'u,i,u'}", "x.of has 'u' twice"},
    };
    struct fixture *f = *state;
    char text[500];

    for (size_t m = 0; m < 2; m++)
        for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
            snprintf(text, sizeof text,
                     "%sdata: {train: a, label: r, columns: {u: {table: user}, "
                     "i: {table: item}, %s}}\ntables: {user: {}, item: {}}\n",
                     model[m], wrong[i].columns);
            assert_int_equal(load_with(f, text, NULL, 0), -ERR_INPUT);
            assert_non_null(strstr(f->err.text, wrong[i].rest));
        }
    loads(f, "data: {train: a, label: r, columns: {u: {table: user}, "
             "i: {table: item}, x: {make: cross, of: 'u,i', table: c}, "
             "y: {make: cross, of: 'x,u', table: c}}}\ntables: {user: {}, item: {}, c: "
             "{}}\n");
    assert_true(job_column_is_mixed(&f->job, 3));
    assert_false(job_column_is_items(&f->job, 3));
    job_set(&f->job, "data.columns.x.of", "u,y", "test", &f->err);
    assert_false(job_column_is_items(&f->job, 3)); /* comes to an end */
}

static void checks_of_the_model(void **state)
{
    struct fixture *f = *state;

    check_refuses(f, "model.user=people", NULL,
                  "model.user is 'people', but there is no such table in tables");
    check_refuses(f, "model.item=films", NULL,
                  "model.item is 'films', but there is no such table in tables");
    check_refuses(f, "model.item=user", NULL,
                  "model.user and model.item are both 'user', expected two tables");
    check_refuses(f, "tables.item.dim=16", NULL,
                  "tables.user.dim is 32 and tables.item.dim is 16, expected the same");
    accepts(f, "tables.item.dim=16", "tables.user.dim=16");
}

static void checks_of_presets(void **state)
{
    struct fixture *f = *state;

    check_refuses(f, "model.kind=gmf", "model.user=people",
                  "model.user is 'people', but there is no such table in tables");
    check_refuses(f, "model.kind=twotower", "model.item=user",
                  "model.user and model.item are both 'user', expected two tables");
    check_refuses(f, "model.kind=fm", "model.features=true",
                  "model.features is set, but it needs model.kind mf");
    check_refuses(f, "model.kind=fm", "train.update=delta",
                  "train.update is delta, but it needs model.kind mf");
    check_refuses(f, "model.features=true", "train.update=delta",
                  "train.update is delta, but it needs model.kind mf, without "
                  "model.features");
    check_refuses(f, "model.loss=absolute", NULL,
                  "model.loss is not squared, logistic, sampled_softmax, bpr or warp, "
                  "which are those that model.kind mf has");
    accepts(f, "model.loss=absolute", "model.features=true");
    accepts(f, "model.kind=linear", "model.user=people");
    for (const char *const *bad =
             (const char *const[]){"0", "65537", "1.5", "-3", "ten", "[9]", "+1",
                                   "0x10", NULL};
         *bad; bad++) {
        char setting[64], sentence[128];

        snprintf(setting, sizeof setting, "model.hidden=7,%s", *bad);
        snprintf(sentence, sizeof sentence,
                 "model.hidden has '%s', expected whole numbers from 1 to 65536", *bad);
        check_refuses(f, setting, NULL, sentence);
    }
    check_refuses(f, "model.bottom=8,x", NULL,
                  "model.bottom has 'x', expected whole numbers from 1 to 65536");
    check_refuses(f, "model.hidden=1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16,17", NULL,
                  "model.hidden has more than 16 numbers");
    accepts(f, "model.hidden=1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,65536", NULL);
    accepts(f, "model.hidden=", "model.bottom=00016");
}

static void limits_of_presets(void **state)
{
    static const char *const outside[] = {
        "model.dropout=1",   "model.cross=0",  "model.cross=17",
        "model.width=65537", "model.length=0", "model.batch_norm=maybe",
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++) {
        char setting[64], start[64];
        char *overrides[] = {setting};

        snprintf(setting, sizeof setting, "%s", outside[i]);
        snprintf(start, sizeof start, "command line: %.*s is '",
                 (int)strcspn(setting, "="), setting);
        assert_int_equal(load_with(f, good, overrides, 1), -ERR_INPUT);
        assert_memory_equal(f->err.text, start, strlen(start));
    }
    accepts(f, "model.dropout=0.99", "model.cross=16");
    accepts(f, "model.width=65536", "model.length=1048576");
}

static void checks_of_rows(void **state)
{
    struct fixture *f = *state;

    check_refuses(
        f, "tables.item.rows=5", "tables.item.rows_max=6",
        "tables.item.rows and tables.item.rows_max are both set, expected one "
        "of them: a dense table has its rows from the start");
    accepts(f, "tables.item.rows=5", "tables.user.rows_max=6");
}

static void checks_of_the_metrics(void **state)
{
    struct fixture *f = *state;

    check_refuses(f, "evaluate.metrics=rmse,auk", NULL,
                  "evaluate.metrics has 'auk', expected rmse, mae, logloss, accuracy, "
                  "precision, recall, f1, calibration, auc, or of lists hr@K, ndcg@K, "
                  "recall@K, recall_capped@K, precision@K, mrr@K, map@K or coverage@K "
                  "with K from 1");
    check_refuses(f, "evaluate.metrics=rmse,logloss", NULL,
                  "evaluate.metrics has logloss, which needs model.loss logistic");
    check_refuses(f, "evaluate.metrics=calibration", NULL,
                  "evaluate.metrics has calibration, which needs model.loss logistic");
    check_refuses(
        f, "evaluate.metrics=accuracy", NULL,
        "evaluate.metrics has accuracy, which needs model.loss logistic, hinge "
        "or squared_hinge");
    check_refuses(f, "evaluate.metrics=mae,rmse,mae", NULL,
                  "evaluate.metrics has mae twice");
    check_refuses(f, "evaluate.metrics=recall@20", NULL,
                  "evaluate.metrics has recall@20, which needs an evaluate.protocol "
                  "that ranks items; split scores each example alone");
    check_refuses(f, "evaluate.metrics=hr@1,hr@2,hr@3,hr@4,map@5,map@4", NULL,
                  "evaluate.metrics has 5 different numbers behind @, expected at "
                  "most 4");
    accepts(f,
            "evaluate.metrics=rmse,mae,logloss,accuracy,precision,recall,f1,"
            "calibration,auc",
            "model.loss=logistic");
    accepts(f, "evaluate.metrics=", NULL);
}

static void checks_of_validation(void **state)
{
    struct fixture *f = *state;

    check_refuses(f, "evaluate.every=1", NULL,
                  "evaluate.every is set, but there is no validation part: set "
                  "data.validation or data.split.validation");
    accepts(f, "evaluate.every=1", "data.split.validation=0.1");
    check_refuses(f, "train.patience=1", NULL,
                  "train.patience is set, but it needs evaluate.every, for example 1");
}

static void the_examples_are_good_jobs(void **state)
{
    static const char *const others[] = {"examples/ml-1m.yaml",
                                         "examples/ml-1m-delta.yaml"};
    struct fixture *f = *state;
    int rc = job_load(&f->job, "examples/movielens.yaml", NULL, 0, &f->err);

    assert_string_equal(f->err.text, "");
    assert_int_equal(rc, 0);
    assert_string_equal(f->job.name, "movielens");
    assert_string_equal(f->job.data.train, "examples/movielens/ratings.tsv.zst");
    assert_int_equal(f->job.data.columns, 3);
    assert_true(f->job.data.split_test == 0.1);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (job_load(&f->job, others[i], NULL, 0, &f->err))
            fail_msg("%s", f->err.text);
}

static void checks_of_penalties(void **state)
{
    struct fixture *f = *state;

    check_refuses(f, "optimizer.kind=adam", "optimizer.l1=0.1",
                  "optimizer.l1 is set, but it needs optimizer.kind sgd, adagrad or "
                  "ftrl");
    accepts(f, "optimizer.kind=sgd", "optimizer.l1=0.1");
    accepts(f, "optimizer.kind=ftrl", "optimizer.l1=0.1");
    check_refuses(f, "optimizer.kind=adamw", NULL,
                  "optimizer.l2 is 0.02, but adamw has optimizer.decay in its place, "
                  "expected 0");
    check_refuses(
        f, "optimizer.kind=adamw", "optimizer.l2=0",
        "optimizer.decay is 0, but optimizer.kind adamw needs it, for example "
        "0.01");
    check_refuses(f, "optimizer.kind=add", NULL,
                  "optimizer.l2 is 0.02, but optimizer.kind add has no penalties, "
                  "expected 0");
    accepts(f, "optimizer.kind=add", "optimizer.l2=0");
    check_refuses(f, "optimizer.kind=adam", "optimizer.decay=0.1",
                  "optimizer.decay is set with optimizer.kind adam, expected adamw");
    check_refuses(
        f, "optimizer.kind=ftrl", "optimizer.decay=0.1",
        "optimizer.decay is set, which does not go with optimizer.kind ftrl or "
        "add");
    accepts(f, "optimizer.kind=momentum", "optimizer.decay=0.1");
    check_refuses(f, "optimizer.rate=0.5", "optimizer.decay=3",
                  "optimizer.decay times optimizer.rate is 1.5, expected at most 1");
}

static void checks_of_limits_and_schedules(void **state)
{
    static const char *const kinds[] = {"optimizer.kind=ftrl", "optimizer.kind=sgd"};
    struct fixture *f = *state;

    check_refuses(
        f, "optimizer.clip=1", "optimizer.clip_norm=1",
        "optimizer.clip and optimizer.clip_norm are both set, expected one of "
        "them");
    accepts(f, "optimizer.clip=1", "optimizer.max_norm=1");
    for (int i = 0; i < 2; i++)
        accepts(f, kinds[i], "optimizer.clip_norm=1");
    check_refuses(f, "optimizer.kind=ftrl", "optimizer.rate=0",
                  "optimizer.rate is 0, expected more with optimizer.kind ftrl");
    check_refuses(f, "optimizer.kind=ftrl", "optimizer.warmup=5",
                  "optimizer.schedule or optimizer.warmup is set, but the rate of "
                  "optimizer.kind ftrl and add does not change");
    check_refuses(
        f, "optimizer.kind=ftrl", "optimizer.max_norm=1",
        "optimizer.max_norm is set, which does not go with optimizer.kind ftrl "
        "or add");
    check_refuses(
        f, "optimizer.schedule_steps=5", NULL,
        "optimizer.schedule_steps is set, but optimizer.schedule is constant");
    check_refuses(
        f, "optimizer.schedule=cosine", NULL,
        "optimizer.schedule_steps is not set: it says in how many batches the "
        "rate falls");
    accepts(f, "optimizer.schedule=step", "optimizer.schedule_steps=5");
    accepts(f, "optimizer.warmup=5", NULL);
}

static void add_takes_all_as_it_is(void **state)
{
    struct fixture *f = *state;
    struct err err;

    accepts(f, "optimizer.kind=add", "optimizer.l2=0");
    f->job.optimizer.clip = 1;
    assert_int_equal(job_check(&f->job, &err), -ERR_INPUT);
    assert_string_equal(err.text, "optimizer.clip or optimizer.clip_norm is set, but "
                                  "optimizer.kind add takes what is pushed as it is");
    accepts(f, "optimizer.schedule=step", "optimizer.schedule_steps=5");
    f->job.optimizer.schedule_factor = 0;
    assert_int_equal(job_check(&f->job, &err), -ERR_INPUT);
    assert_string_equal(err.text, "optimizer.schedule_factor is 0, expected more for "
                                  "this optimizer.schedule");
}

static void cures_are_for_what_is_late(void **state)
{
    static const char *const modes[] = {"train.consistency=async",
                                        "train.consistency=ssp"};
    struct fixture *f = *state;

    for (int i = 0; i < 2; i++) {
        accepts(f, modes[i], "optimizer.stale_rate=inverse");
        accepts(f, modes[i], "tables.user.optimizer.compensate=0.5");
    }
    check_refuses(f, "optimizer.stale_rate=inverse", "train.consistency=bsp",
                  "optimizer.stale_rate is set for table user, but with "
                  "train.consistency bsp no push is late");
    check_refuses(f, "tables.item.optimizer.compensate=0.5", "train.consistency=bsp",
                  "optimizer.compensate is set for table item, but with "
                  "train.consistency bsp no push is late");
    check_refuses(f, "optimizer.kind=ftrl", "optimizer.stale_rate=inverse",
                  "optimizer.stale_rate is inverse, but the rate of optimizer.kind "
                  "ftrl and add does not change");
    accepts(f, "optimizer.kind=ftrl", "optimizer.compensate=0.5");
    accepts(f, "optimizer.kind=add", "optimizer.l2=0");
    f->job.optimizer.compensate = 0.5;
    assert_int_equal(job_check(&f->job, &f->err), -ERR_INPUT);
    assert_string_equal(f->err.text,
                        "optimizer.compensate is set, but optimizer.kind add takes "
                        "what is pushed as it is");
}

static void delta_makes_plain_steps(void **state)
{
    static const char *const extras[] = {"optimizer.l1=1",
                                         "optimizer.decay=1",
                                         "optimizer.clip=1",
                                         "optimizer.max_norm=1",
                                         "optimizer.clip_norm=1",
                                         "optimizer.compensate=1",
                                         "optimizer.stale_rate=inverse"};
    struct fixture *f = *state;
    struct err err;

    for (size_t i = 0; i < sizeof extras / sizeof *extras; i++) {
        accepts(f, "optimizer.kind=sgd", extras[i]);
        f->job.train.update = UPDATE_DELTA;
        assert_int_equal(job_check(&f->job, &err), -ERR_INPUT);
        assert_string_equal(
            err.text, "train.update: delta makes plain steps with optimizer.rate, its "
                      "schedule and optimizer.l2 alone: expected no l1, decay, clip, "
                      "clip_norm, max_norm, stale_rate or compensate");
    }
    accepts(f, "optimizer.kind=sgd", "train.update=delta");
    f->job.optimizer.schedule = SCHEDULE_EXPONENTIAL;
    f->job.optimizer.schedule_steps = 10;
    f->job.model.bias_rate = 0.5;
    assert_int_equal(job_check(&f->job, &err), 0);
    f->job.table[0].optimizer.schedule_steps = 11;
    assert_int_equal(job_check(&f->job, &err), -ERR_INPUT);
    f->job.train.update = UPDATE_GRADIENT;
    assert_int_equal(job_check(&f->job, &err), -ERR_INPUT);
    assert_string_equal(err.text,
                        "model.bias_rate is 0.5, but it needs train.update: delta");
}

static void a_cache_has_its_place(void **state)
{
    struct fixture *f = *state;

    check_refuses(f, "train.cache=1 MiB", "train.consistency=bsp",
                  "train.cache is set, but with train.consistency: bsp every batch "
                  "reads rows that all have just changed, expected 0");
    check_refuses(f, "train.cache=1 MiB", "tables.item.optimizer.stale_rate=inverse",
                  "train.cache is set, but optimizer.stale_rate of table item goes by "
                  "when each row was pulled, expected 0");
    check_refuses(f, "train.cache=1 MiB", "optimizer.compensate=0.1",
                  "train.cache is set, but optimizer.compensate of table user goes by "
                  "when each row was pulled, expected 0");
    accepts(f, "train.cache=1 MiB", "train.consistency=ssp");
}

/* What counts is what comes together for a table. */
static void each_table_has_a_good_optimizer(void **state)
{
    struct fixture *f = *state;

    accepts(f, "tables.item.optimizer.kind=adam", "tables.user.optimizer.kind=ftrl");
    check_refuses(f, "tables.item.optimizer.kind=adamw", NULL,
                  "table item: optimizer.l2 is 0.02, but adamw has optimizer.decay in "
                  "its place, expected 0");
    check_refuses(f, "tables.user.optimizer.schedule=step", NULL,
                  "table user: optimizer.schedule_steps is not set: it says in how "
                  "many batches the rate falls");
    accepts(f, "optimizer.schedule_steps=5", "optimizer.schedule=step");
    check_refuses(
        f, "optimizer.kind=adamw", "tables.user.optimizer.kind=sgd",
        "optimizer.l2 is 0.02, but adamw has optimizer.decay in its place, expected "
        "0");
    check_refuses(f, "optimizer.kind=sgd", "tables.item.optimizer.decay=50",
                  "table item: optimizer.decay times optimizer.rate is 2.5, expected "
                  "at most 1");
}

static void delta_is_the_same_for_all_tables(void **state)
{
    struct fixture *f = *state;
    struct err err;

    accepts(f, "optimizer.kind=sgd", "tables.user.optimizer.kind=adam");
    f->job.train.update = UPDATE_DELTA;
    assert_int_equal(job_check(&f->job, &err), -ERR_INPUT);
    assert_string_equal(err.text,
                        "train.update: delta needs optimizer.kind: sgd, whose steps "
                        "the workers make themselves, also for table user");
    accepts(f, "optimizer.kind=sgd", "tables.item.optimizer.l2=0.1");
    f->job.train.update = UPDATE_DELTA;
    assert_int_equal(job_check(&f->job, &err), -ERR_INPUT);
    assert_string_equal(err.text,
                        "tables.item.optimizer has a rate, schedule or l2 of its own, "
                        "but train.update: delta makes its steps with those of "
                        "optimizer");
    accepts(f, "tables.user.optimizer.kind=sgd", "tables.item.optimizer.kind=sgd");
    f->job.train.update = UPDATE_DELTA;
    assert_int_equal(job_check(&f->job, &err), 0);
}

static void digests_are_of_files(void **state)
{
    struct fixture *f = *state;

    accepts(f, "tables.item.vectors=v.txt", NULL);
    accepts(f, "tables.item.vectors=v.txt",
            "tables.item.vectors_digest=0123456789abcdef");
    check_refuses(f, "tables.item.vectors_digest=0123456789abcdef", NULL,
                  "tables.item.vectors_digest is set, but tables.item.vectors is not");
    check_refuses(f, "tables.item.vectors=v.txt", "tables.item.vectors_digest=0123",
                  "tables.item.vectors_digest is '0123', expected 16 hexadecimal "
                  "digits (0 to 9, a to f)");
    check_refuses(f, "tables.item.vectors=v.txt",
                  "tables.item.vectors_digest=0123456789abcdeX",
                  "tables.item.vectors_digest is '0123456789abcdeX', expected 16 "
                  "hexadecimal digits (0 to 9, a to f)");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_fixture, drop_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(the_name_comes_from_the_file),
        TEST(checks_of_the_data),
        TEST(checks_of_autoencoders),
        TEST(checks_of_the_columns),
        TEST(columns_are_made_in_order),
        TEST(checks_of_the_model),
        TEST(checks_of_presets),
        TEST(limits_of_presets),
        TEST(checks_of_rows),
        TEST(checks_of_the_metrics),
        TEST(checks_of_validation),
        TEST(checks_of_penalties),
        TEST(checks_of_limits_and_schedules),
        TEST(add_takes_all_as_it_is),
        TEST(cures_are_for_what_is_late),
        TEST(delta_makes_plain_steps),
        TEST(a_cache_has_its_place),
        TEST(each_table_has_a_good_optimizer),
        TEST(delta_is_the_same_for_all_tables),
        TEST(digests_are_of_files),
        TEST(the_examples_are_good_jobs),
    };

    return cmocka_run_group_tests_name("job_check", tests, NULL, NULL);
}

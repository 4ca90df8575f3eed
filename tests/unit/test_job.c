/* The job file: settings, checks, sentences. Runs from the project's directory. */
#include "common/job.h"

#include <math.h>
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

static void refuses_override(struct fixture *f, const char *override,
                             const char *sentence)
{
    char copy[1000];
    char *overrides[] = {copy};

    snprintf(copy, sizeof copy, "%s", override);
    assert_int_equal(load_with(f, good, overrides, 1), -ERR_INPUT);
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

static void defaults(void **state)
{
    struct job job;

    (void)state;
    memset(&job, 0xff, sizeof job);
    job_init(&job);
    assert_int_equal(job.tables, 0);
    assert_int_equal(job.data.columns, 0);
    assert_string_equal(job.name, "");
    assert_int_equal(job.data.format, DATA_TSV);
    assert_true(isnan(job.data.positive_from));
    assert_true(job.data.split_test == 0);
    assert_int_equal(job.data.split_by, SPLIT_RANDOM);
    assert_int_equal(job.data.split_seed, 1);
    assert_int_equal(job.model.kind, MODEL_MF);
    assert_true(job.model.bias);
    assert_int_equal(job.model.loss, LOSS_SQUARED);
    assert_string_equal(job.model.user, "user");
    assert_string_equal(job.model.item, "item");
    assert_int_equal(job.optimizer.kind, OPTIMIZER_ADAGRAD);
    assert_true(job.optimizer.rate == 0.05);
    assert_true(job.optimizer.l2 == 0.02);
    assert_true(job.optimizer.initial == 0.1);
    assert_int_equal(job.train.epochs, 10);
    assert_int_equal(job.train.batch, 4096);
    assert_int_equal(job.train.consistency, CONSISTENCY_ASYNC);
    assert_int_equal(job.train.staleness, 8);
    assert_int_equal(job.train.seed, 1);
    assert_int_equal(job.train.inflight, 2);
    assert_int_equal(job.train.cache, 0);
    assert_int_equal(job.train.cache_staleness, 4);
    assert_true(job.train.check_finite);
    assert_string_equal(job.evaluate.metrics, "rmse");
    assert_int_equal(job.evaluate.protocol, PROTOCOL_SPLIT);
}

static void defaults_of_cluster_checkpoint_and_tables(void **state)
{
    struct job job;
    struct err err;

    (void)state;
    job_init(&job);
    assert_int_equal(job.cluster.servers, 1);
    assert_int_equal(job.cluster.workers, 1);
    assert_string_equal(job.cluster.network, "");
    assert_true(job.cluster.memory_max == 4LL << 30);
    assert_true(job.cluster.timeout == 30);
    assert_int_equal(job.cluster.restarts_max, 3);
    assert_string_equal(job.checkpoint.dir, "");
    assert_true(job.checkpoint.every == 1);
    assert_int_equal(job.checkpoint.every_unit, EVERY_EPOCH);
    assert_int_equal(job.checkpoint.keep, 3);
    assert_int_equal(job_set(&job, "tables.user", NULL, "here", &err), 0);
    assert_int_equal(job.table[0].dim, 32);
    assert_int_equal(job.table[0].init, INIT_NORMAL);
    assert_true(job.table[0].scale == 0.1);
}

/* The illustration of the contract, apart from what is not in this version. */
static void the_whole_job_file_is_read(void **state)
{
    struct fixture *f = *state;
    const struct job *job = &f->job;

    loads(
        f,
        "name: movielens\n"
        "data:\n"
        "  train: [a.tsv, 'b,c.tsv', d*.tsv]\n"
        "  format: csv\n"
        "  label: rating\n"
        "  columns: {userId: {as: key, table: user}, movieId: {as: key, table: item},"
        " title: {as: title, table: item}}\n"
        "  split: {test: 0.1, by: random, seed: 7}\n"
        "tables:\n"
        "  user: {dim: 64, init: uniform, scale: 0.2}\n"
        "  item: {dim: 64, init: constant}\n"
        "model: {kind: mf, bias: false, loss: squared}\n"
        "optimizer: {kind: sgd, rate: 0.5, l2: 0.01}\n"
        "train: {epochs: 20, batch: 1024, consistency: async, staleness: 4, seed: 3,\n"
        "        inflight: 0, check_finite: false}\n"
        "evaluate: {metrics: [rmse, mae], protocol: split}\n"
        "cluster: {servers: 2, workers: 3, network: 127.0.0.0/8, memory_max: 512 MiB,"
        " timeout: 5 s, restarts_max: 0}\n"
        "checkpoint: {dir: runs/movielens, every: 30 s, keep: 1}\n");
    assert_string_equal(job->name, "movielens");
    assert_string_equal(job->data.train, "a.tsv\nb,c.tsv\nd*.tsv");
    assert_int_equal(job->data.format, DATA_CSV);
    assert_string_equal(job->data.label, "rating");
    assert_int_equal(job->data.columns, 3);
    assert_string_equal(job->data.column[2].name, "title");
    assert_int_equal(job->data.column[2].as, COLUMN_TITLE);
    assert_string_equal(job->data.column[2].table, "item");
    assert_true(job->data.split_test == 0.1);
    assert_int_equal(job->data.split_seed, 7);
    assert_int_equal(job->tables, 2);
    assert_int_equal(job_table_index(job, "user"), 0);
    assert_int_equal(job_table_index(job, "item"), 1);
    assert_int_equal(job_table_index(job, "films"), -1);
    assert_int_equal(job->table[0].dim, 64);
    assert_int_equal(job->table[0].init, INIT_UNIFORM);
    assert_true(job->table[0].scale == 0.2);
    assert_int_equal(job->table[1].init, INIT_CONSTANT);
    assert_false(job->model.bias);
    assert_int_equal(job->optimizer.kind, OPTIMIZER_SGD);
    assert_true(job->optimizer.rate == 0.5);
    assert_int_equal(job->train.epochs, 20);
    assert_int_equal(job->train.inflight, 0);
    assert_false(job->train.check_finite);
    assert_string_equal(job->evaluate.metrics, "rmse\nmae");
    assert_string_equal(job->cluster.network, "127.0.0.0/8");
    assert_int_equal(job->cluster.memory_max, 512 << 20);
    assert_string_equal(job->checkpoint.dir, "runs/movielens");
    assert_true(job->checkpoint.every == 30);
    assert_int_equal(job->checkpoint.every_unit, EVERY_SECOND);
    assert_int_equal(job->checkpoint.keep, 1);
}

/* What a table does not give is the job's. */
static void tables_have_optimizers(void **state)
{
    struct fixture *f = *state;
    struct job_optimizer user, item;

    loads(f, "data: {train: a.tsv, label: rating, columns: {u: {table: user},\n"
             "                                             i: {table: item}}}\n"
             "optimizer: {kind: momentum, rate: 0.25, momentum: 0.5, warmup: 9}\n"
             "tables:\n"
             "  user: {optimizer: {}}\n"
             "  item: {optimizer: {kind: adam, rate: 0.001, schedule: cosine,\n"
             "                     schedule_steps: 70, l2: 0}}\n");
    user = job_table_optimizer(&f->job, 0);
    item = job_table_optimizer(&f->job, 1);
    assert_int_equal(user.kind, OPTIMIZER_MOMENTUM);
    assert_true(user.rate == 0.25 && user.momentum == 0.5 && user.l2 == 0.02);
    assert_int_equal(user.schedule, SCHEDULE_CONSTANT);
    assert_int_equal(user.warmup, 9);
    assert_int_equal(item.kind, OPTIMIZER_ADAM);
    assert_true(item.rate == 0.001 && item.momentum == 0.5 && item.l2 == 0);
    assert_int_equal(item.schedule, SCHEDULE_COSINE);
    assert_int_equal(item.schedule_steps, 70);
    assert_int_equal(item.warmup, 9);
    assert_true(f->job.optimizer.rate == 0.25);
}

static void column_names_may_hold_dots_and_spaces(void **state)
{
    struct fixture *f = *state;
    char one[] = "data.columns.a=b.c.as=title";

    loads(f, "data:\n"
             "  train: a.tsv\n"
             "  label: the rating (1.0 to 5.0)\n"
             "  columns:\n"
             "    user id.hashed: {table: user}\n"
             "    table.as: {as: key, table: item}\n"
             "    'title: \"x\"': {as: title, table: item}\n"
             "tables: {user: {}, item: {}}\n");
    assert_int_equal(f->job.data.columns, 3);
    assert_string_equal(f->job.data.column[0].name, "user id.hashed");
    assert_int_equal(f->job.data.column[0].as, COLUMN_KEY);
    assert_string_equal(f->job.data.column[1].name, "table.as");
    assert_string_equal(f->job.data.column[1].table, "item");
    assert_string_equal(f->job.data.column[2].name, "title: \"x\"");
    /* On the command line the first '=' ends the name. */
    assert_int_equal(load_with(f, good, (char *[]){one}, 1), -ERR_INPUT);
    assert_string_equal(f->err.text, "command line: data.columns.a is 'b.c.as=title', "
                                     "expected settings below it, such as "
                                     "data.columns.a.as");
}

static void sentences_name_file_and_line(void **state)
{
    struct fixture *f = *state;

    refuses(f, "name: x\n\ntrain:\n  epoch: 3\n",
            " line 4: unknown setting 'train.epoch'; did you mean 'train.epochs'?");
    refuses(
        f, "name: x\ntrain:\n  epochs: many\n",
        " line 3: train.epochs is 'many', expected a whole number from 1 to 1000000");
    refuses(
        f, "name: x\ntables: {user: {dim: 3.5}}\n",
        " line 2: tables.user.dim is '3.5', expected a whole number from 1 to 65535");
    refuses(f, "train: 20\n",
            " line 1: train is '20', expected settings below it, such as train.epochs");
    refuses(f, "train:\n  epochs:\n",
            " line 2: train.epochs has no value, expected a whole number from 1 to "
            "1000000");
    refuses(
        f, "train: {epochs: [3]}\n",
        " line 1: train.epochs is '[3]', expected a whole number from 1 to 1000000");
    refuses(f, "train: {seed: 1}\ntrain: {epochs: 3}\n",
            " line 2: 'train' is given twice, first on line 1");
    refuses(
        f, "a: [\n",
        " line 2, column 1: not valid YAML: did not find expected node content while "
        "parsing a flow node");
    refuses(
        f, "data:\n  columns: {userId: key}\n",
        " line 2: data.columns.userId is 'key', expected settings below it, such as "
        "data.columns.userId.as");
    refuses(f, "model: {user: \xc3\xa9\nb: 1",
            " line 2, column 2: not valid YAML: did not find expected ',' or '}' while "
            "parsing a flow mapping");
}

static void choices_are_listed(void **state)
{
    struct fixture *f = *state;

    refuses_override(f, "train.consistency=eventual",
                     "command line: train.consistency is 'eventual', expected "
                     "async, ssp or bsp");
    refuses_override(f, "model.activation=softmax",
                     "command line: model.activation is 'softmax', expected linear, "
                     "relu, leaky_relu, gelu, sigmoid or tanh");
    refuses_override(f, "model.loss=log",
                     "command line: model.loss is 'log', expected squared, logistic, "
                     "absolute, huber, hinge, squared_hinge, softmax, "
                     "sampled_softmax, bpr or warp");
    refuses_override(f, "optimizer.kind=lion",
                     "command line: optimizer.kind is 'lion', expected sgd, adagrad, "
                     "momentum, nesterov, rowwise_adagrad, adadelta, rmsprop, adam, "
                     "adamw, amsgrad, ftrl or add");
    refuses_override(f, "optimizer.schedule=linear",
                     "command line: optimizer.schedule is 'linear', expected constant, "
                     "step, exponential, inverse_sqrt or cosine");
    refuses_override(f, "data.format=xml",
                     "command line: data.format is 'xml', expected tsv, csv, packed, "
                     "libsvm, libffm, libfm, criteo, jsonl, sequence or ncf");
    refuses_override(f, "data.split.by=day",
                     "command line: data.split.by is 'day', expected random, time, "
                     "leave_one_out or user");
    refuses_override(
        f, "evaluate.protocol=leave-one-out",
        "command line: evaluate.protocol is 'leave-one-out', expected split, given, "
        "sampled or all");
    refuses_override(
        f, "tables.user.init=orthogonal",
        "command line: tables.user.init is 'orthogonal', expected zero, constant, "
        "uniform, normal, truncated_normal, xavier or he");
    refuses_override(f, "data.columns.userId.as=weight",
                     "command line: data.columns.userId.as is 'weight', expected key, "
                     "title, keys, number, vector, text or time");
}

static void limits_are_kept(void **state)
{
    static const char *const outside[] = {"train.epochs=0",
                                          "train.epochs=1000001",
                                          "train.batch=0",
                                          "train.inflight=65",
                                          "train.inflight=-1",
                                          "train.staleness=61",
                                          "train.seed=-1",
                                          "tables.user.dim=0",
                                          "tables.user.dim=16385",
                                          "tables.user.scale=-0.1",
                                          "optimizer.rate=-1",
                                          "optimizer.rate=nan",
                                          "optimizer.l2=1e9",
                                          "optimizer.initial=0",
                                          "optimizer.momentum=1",
                                          "optimizer.beta1=1",
                                          "optimizer.beta2=1",
                                          "optimizer.rho=-0.1",
                                          "optimizer.epsilon=0",
                                          "optimizer.l1=-1",
                                          "optimizer.clip=-1",
                                          "optimizer.schedule_factor=2",
                                          "optimizer.warmup=-1",
                                          "optimizer.compensate=-0.1",
                                          "optimizer.compensate=1001",
                                          "optimizer.stale_rate=2",
                                          "data.split.test=1",
                                          "cluster.servers=0",
                                          "cluster.servers=1025",
                                          "cluster.workers=0",
                                          "cluster.timeout=0.05",
                                          "cluster.memory_max=1",
                                          "cluster.memory_max=65 TiB",
                                          "cluster.restarts_max=-1",
                                          "checkpoint.keep=0",
                                          "checkpoint.every=0.5 epochs",
                                          "cluster.network=home",
                                          "train.check_finite=2",
                                          "data.positive_from=inf"};
    static const char *const inside[] = {
        "train.epochs=1",      "train.inflight=64",       "train.inflight=0",
        "train.cache=0",       "train.cache=64 MiB",      "train.cache_staleness=1000",
        "cluster.timeout=0.1", "checkpoint.every=0",      "tables.user.scale=0",
        "optimizer.rate=0",    "cluster.network=",        "checkpoint.every=5 min",
        "data.split.test=0.5", "cluster.memory_max=1 MiB"};
    struct fixture *f = *state;
    struct err err;

    for (size_t i = 0; i < sizeof outside / sizeof *outside; i++) {
        char copy[64];

        snprintf(copy, sizeof copy, "%s", outside[i]);
        assert_int_equal(load_with(f, good, (char *[]){copy}, 1), -ERR_INPUT);
        assert_non_null(strstr(f->err.text, "expected"));
    }
    for (size_t i = 0; i < sizeof inside / sizeof *inside; i++)
        accepts(f, inside[i], NULL);
    accepts(f, "tables.user.dim=16384", "tables.item.dim=16384");
    job_init(&f->job);
    for (int i = 0; i < JOB_TABLES_MAX; i++) {
        char name[32];

        snprintf(name, sizeof name, "tables.t%d", i);
        assert_int_equal(job_set(&f->job, name, NULL, "here", &err), 0);
    }
    assert_int_equal(job_set(&f->job, "tables.more", NULL, "here", &err), -ERR_INPUT);
    assert_string_equal(err.text, "here: more than 64 tables");
}

static void limits_of_the_cache(void **state)
{
    struct fixture *f = *state;

    refuses_override(
        f, "train.cache=65 TiB",
        "command line: train.cache is '65 TiB', expected a size such as 512 MiB, "
        "from 0 to 64 TiB");
    refuses_override(f, "train.cache_staleness=0",
                     "command line: train.cache_staleness is '0', expected a whole "
                     "number from 1 to 1000");
    refuses_override(f, "train.cache_staleness=1001",
                     "command line: train.cache_staleness is '1001', expected a whole "
                     "number from 1 to 1000");
    refuses_override(f, "train.patience=10001",
                     "command line: train.patience is '10001', expected a whole number "
                     "from 0 to 10000");
}

static void limits_of_streams(void **state)
{
    struct fixture *f = *state;

    refuses_override(f, "data.spool_max=16777215",
                     "command line: data.spool_max is '16777215', expected a size such "
                     "as 512 MiB, from 16 MiB to 64 TiB");
    refuses_override(f, "train.follow=maybe",
                     "command line: train.follow is 'maybe', expected true or false");
}

static void overrides_come_last(void **state)
{
    struct fixture *f = *state;
    char one[] = "train.epochs=3", two[] = "train.epochs=4",
         three[] = "data.train=x=y,z";
    char four[] = "tables.extra.dim=5", five[] = "cluster.servers=2";
    char *overrides[] = {one, two, three, four, five};
    char text[sizeof good + 64];

    snprintf(text, sizeof text, "%strain: {epochs: 2}\n", good);
    assert_int_equal(load_with(f, text, overrides, 5), 0);
    assert_int_equal(f->job.train.epochs, 4); /* the last one given */
    assert_string_equal(f->job.data.train, "x=y\nz");
    assert_int_equal(f->job.tables, 3);
    assert_int_equal(f->job.table[2].dim, 5);
    assert_int_equal(f->job.cluster.servers, 2);
}

static void wrong_overrides(void **state)
{
    struct fixture *f = *state;
    char sentence[200], name[700];

    refuses_override(f, "train.epohcs=3",
                     "command line: unknown setting 'train.epohcs'; did you mean "
                     "'train.epochs'?");
    refuses_override(
        f, "train.epochs=",
        "command line: train.epochs is '', expected a whole number from 1 to "
        "1000000");
    refuses_override(f, "train.epochs",
                     "command line: 'train.epochs' is not of the form KEY=VALUE");
    refuses_override(f, "=3", "command line: '=3' is not of the form KEY=VALUE");
    refuses_override(f, "", "command line: '' is not of the form KEY=VALUE");
    memset(name, 'n', sizeof name);
    strcpy(name + 600, "=1");
    refuses_override(f, name, "command line: a name is longer than 511 bytes");
    name[600] = '\0';
    snprintf(sentence, sizeof sentence,
             "command line: '%.100s' is not of the form KEY=VALUE", name);
    refuses_override(f, name, sentence);
}

static void the_nearest_name_is_offered(void **state)
{
    static const char *const near[][2] = {
        {"epochs", "train.epochs"},
        {"rows", "tables.NAME.rows"},
        {"tables.user.size.dmi", "tables.user.size.dim"},
        {"table.user.dim", "tables.user.dim"},
        {"data.column.userId.as", "data.columns.userId.as"},
        {"data.columns.user.id.tabel", "data.columns.user.id.table"},
        {"data.test_split", NULL},
        {"train.rate", "optimizer.rate"},
        {"optimiser.l2", "optimizer.l2"},
        {"evaluate.metric", "evaluate.metrics"},
        {"chekpoint.dir", "checkpoint.dir"},
        {"frobnicate", NULL},
        {"tables.user.optimizer.rat", "tables.user.optimizer.rate"},
        {"tables.user.optimizer.init", "tables.user.init"},
    };
    struct job job;
    struct err err;

    (void)state;
    job_init(&job);
    for (size_t i = 0; i < sizeof near / sizeof *near; i++) {
        char sentence[200];

        snprintf(sentence, sizeof sentence, "here: unknown setting '%s'%s%s%s",
                 near[i][0], near[i][1] ? "; did you mean '" : "",
                 near[i][1] ? near[i][1] : "", near[i][1] ? "'?" : "");
        assert_int_equal(job_set(&job, near[i][0], "1", "here", &err), -ERR_INPUT);
        assert_string_equal(err.text, sentence);
    }
}

static void files_that_are_none(void **state)
{
    struct fixture *f = *state;
    char *big = malloc(1 << 21);

    assert_int_equal(job_load(&f->job, "/nowhere/job.yaml", NULL, 0, &f->err),
                     -ERR_INPUT);
    assert_string_equal(f->err.text,
                        "job file: cannot read '/nowhere/job.yaml': No such "
                        "file or directory");
    assert_int_equal(job_load(&f->job, "/tmp", NULL, 0, &f->err), -ERR_INPUT);
    assert_string_equal(f->err.text, "job file: cannot read '/tmp': Is a directory");
    assert_non_null(big);
    memset(big, ' ', (1 << 21) - 1);
    big[(1 << 21) - 1] = '\0';
    assert_int_equal(load_with(f, big, NULL, 0), -ERR_INPUT);
    assert_non_null(strstr(f->err.text, "is longer than 1048576 bytes"));
    free(big);
    refuses(f, "", ": data.train is not set: it names the files to train on");
    refuses(f,
            "\x7f"
            "ELF\x02\x01\x01",
            " line 1, column 1: not valid YAML: control characters are not allowed");
}

static void lines_come_back_exactly(void **state)
{
    struct fixture *f = *state;
    struct job again;
    char *lines, *twice;

    loads(
        f,
        "data: {train: [a.tsv, 'b,c'], label: 'r = 1', positive_from: 3.5, columns: {\n"
        "  'u=\\id.x': {table: user}, i: {table: item}}}\n"
        "tables: {item: {dim: 8, scale: 0.3, optimizer: {rate: 0.7, warmup: 3}},\n"
        "  user: {dim: 8}}\n"
        "model: {loss: logistic}\n"
        "optimizer: {rate: 0.30000000000000004}\n"
        "checkpoint: {every: 1.5 s, dir: a b}\n");
    lines = job_to_lines(&f->job);
    assert_non_null(lines);
    assert_non_null(strstr(lines, "\noptimizer.rate=0.30000000000000004\n"));
    assert_non_null(strstr(lines, "\ndata.columns.u\\=\\\\id.x.as=key\n"));
    memset(&again, 0xff, sizeof again);
    assert_int_equal(job_from_lines(&again, lines, &f->err), 0);
    assert_string_equal(again.data.train, "a.tsv\nb,c");
    assert_string_equal(again.data.label, "r = 1");
    assert_string_equal(again.data.column[0].name, "u=\\id.x");
    assert_int_equal(job_table_index(&again, "item"), 0);
    assert_true(again.optimizer.rate == 0.30000000000000004);
    assert_true(job_table_optimizer(&again, 0).rate == 0.7);
    assert_int_equal(job_table_optimizer(&again, 0).warmup, 3);
    assert_true(job_table_optimizer(&again, 1).rate == 0.30000000000000004);
    assert_true(again.checkpoint.every == 1.5);
    twice = job_to_lines(&again);
    assert_string_equal(lines, twice);
    assert_int_equal(job_check(&again, &f->err), 0);
    assert_int_equal(job_from_lines(&again, "train.epochs=3\ntrain.epochs\n", &f->err),
                     -ERR_INPUT);
    assert_string_equal(f->err.text, "settings line 2: expected 'name=value'");
    free(lines);
    free(twice);
}

/* The sentence for a run that has gone on with `override`; "" = it may. */
static void continuing(struct fixture *f, const char *override, const char *sentence)
{
    char copy[200];
    char *lines;
    int rc;

    loads(f, good);
    lines = job_to_lines(&f->job);
    assert_non_null(lines);
    snprintf(copy, sizeof copy, "%s", override);
    assert_int_equal(load_with(f, good, (char *[]){copy}, 1), 0);
    rc = job_continues(&f->job, lines, &f->err);
    free(lines);
    assert_string_equal(f->err.text, sentence);
    assert_int_equal(rc, *sentence ? -ERR_INPUT : 0);
}

static void rows_of_tables_are_bounded(void **state)
{
    struct fixture *f = *state;
    char below[] = "tables.user.rows_max=-1";
    char above[] = "tables.user.rows_max=1000000000001";

    assert_int_equal(load_with(f, good, (char *[]){below}, 1), -ERR_INPUT);
    assert_non_null(strstr(f->err.text, "expected"));
    assert_int_equal(load_with(f, good, (char *[]){above}, 1), -ERR_INPUT);
    accepts(f, "tables.user.rows_max=1000000000000", "tables.item.rows_max=0");
    snprintf(below, sizeof below, "tables.user.rows=-1");
    snprintf(above, sizeof above, "tables.user.rows=4294967296");
    assert_int_equal(load_with(f, good, (char *[]){below}, 1), -ERR_INPUT);
    assert_int_equal(load_with(f, good, (char *[]){above}, 1), -ERR_INPUT);
    accepts(f, "tables.user.rows=4294967295", "tables.item.rows=0");
}

static void some_settings_may_change_on_resume(void **state)
{
    static const char *const free_ones[] = {"train.epochs=99",
                                            "cluster.servers=3",
                                            "cluster.workers=3",
                                            "cluster.timeout=1 s",
                                            "cluster.network=10.0.0.0/8",
                                            "cluster.memory_max=1e9",
                                            "cluster.restarts_max=0",
                                            "tables.user.rows_max=5",
                                            "checkpoint.dir=x",
                                            "checkpoint.every=0",
                                            "checkpoint.keep=9",
                                            "data.train=else.tsv",
                                            "data.spool=elsewhere",
                                            "data.spool_max=64 MiB",
                                            "train.follow=true",
                                            "tables.user.vectors=v.txt",
                                            "data.test=test.tsv",
                                            "optimizer.rate=0.05"};
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof free_ones / sizeof *free_ones; i++)
        continuing(f, free_ones[i], "");
    continuing(f, "optimizer.rate=0.1",
               "optimizer.rate is 0.1, the checkpoint was made with 0.05; this cannot "
               "change on --resume");
    continuing(
        f, "train.batch=8",
        "train.batch is 8, the checkpoint was made with 4096; this cannot change "
        "on --resume");
    continuing(
        f, "evaluate.metrics=rmse,mae",
        "evaluate.metrics is [rmse, mae], the checkpoint was made with rmse; this "
        "cannot change on --resume");
    continuing(
        f, "tables.user.scale=0.2",
        "tables.user.scale is 0.2, the checkpoint was made with 0.1; this cannot "
        "change on --resume");
    continuing(f, "tables.item.optimizer.kind=adam",
               "tables.item.optimizer.kind is adam, the checkpoint was made with "
               "inherit; this cannot change on --resume");
    continuing(f, "tables.films.dim=8",
               "tables.films is new, the checkpoint was made without it; this cannot "
               "change on --resume");
    continuing(
        f, "name=other",
        "name is other, the checkpoint was made with test; this cannot change on "
        "--resume");
}

static void resuming_from_other_versions(void **state)
{
    struct fixture *f = *state;

    loads(f, good);
    assert_int_equal(job_continues(&f->job, "train.fancy=1\n", &f->err), -ERR_INPUT);
    assert_string_equal(f->err.text,
                        "the checkpoint's settings cannot be read: settings "
                        "line 1: unknown setting 'train.fancy'");
    /* Settings that an older version did not have count as their defaults. */
    assert_int_equal(job_continues(&f->job,
                                   "name=test\ndata.label=rating\n"
                                   "tables.user.dim=32\ntables.item.dim=32\n"
                                   "data.columns.movieId.table=item\n"
                                   "data.columns.userId.table=user\n",
                                   &f->err),
                     0);
    assert_int_equal(job_continues(&f->job,
                                   "name=test\ndata.label=rating\n"
                                   "tables.item.dim=32\ntables.user.dim=32\n"
                                   "data.columns.movieId.table=item\n"
                                   "data.columns.userId.table=user\n",
                                   &f->err),
                     -ERR_INPUT);
    assert_string_equal(
        f->err.text, "tables.user is table 1, the checkpoint was made with it as table "
                     "2; this cannot change on --resume");
}

static void lists_are_walked(void **state)
{
    const char *cursor = "one\ntwo\nthree";
    char item[8], short_item[3];

    (void)state;
    assert_true(job_list_next(&cursor, item, sizeof item));
    assert_string_equal(item, "one");
    assert_true(job_list_next(&cursor, item, sizeof item));
    assert_string_equal(item, "two");
    assert_true(job_list_next(&cursor, short_item, sizeof short_item));
    assert_string_equal(short_item, "th");
    assert_false(job_list_next(&cursor, item, sizeof item));
    cursor = "";
    assert_false(job_list_next(&cursor, item, sizeof item));
}

static char *page(bool markdown)
{
    char *text = NULL;
    size_t size;
    FILE *out = open_memstream(&text, &size);

    assert_non_null(out);
    job_print_settings(out, markdown);
    assert_int_equal(fclose(out), 0);
    return text;
}

/* If this fails: `make docs`. */
static void docs_are_up_to_date(void **state)
{
    char *made = page(true), *kept;
    struct err err;
    size_t size;

    (void)state;
    assert_int_equal(file_read_all("docs/settings.md", 1 << 20, &kept, &size, &err), 0);
    assert_string_equal(kept, made);
    free(made);
    free(kept);
}

static void help_fits_the_terminal(void **state)
{
    char *text = page(false);

    (void)state;
    assert_non_null(strstr(text,
                           "\n  train.epochs              whole number: 1 to 1000000; "
                           "default 10; may change on --resume\n"));
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
        assert_true(strlen(line) <= 100);
    free(text);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, make_fixture, drop_fixture)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(defaults_of_cluster_checkpoint_and_tables),
        TEST(the_whole_job_file_is_read),
        TEST(tables_have_optimizers),
        TEST(column_names_may_hold_dots_and_spaces),
        TEST(sentences_name_file_and_line),
        TEST(choices_are_listed),
        TEST(limits_are_kept),
        TEST(limits_of_the_cache),
        TEST(limits_of_streams),
        TEST(overrides_come_last),
        TEST(wrong_overrides),
        cmocka_unit_test(the_nearest_name_is_offered),
        TEST(files_that_are_none),
        TEST(lines_come_back_exactly),
        TEST(rows_of_tables_are_bounded),
        TEST(some_settings_may_change_on_resume),
        TEST(resuming_from_other_versions),
        cmocka_unit_test(lists_are_walked),
        cmocka_unit_test(docs_are_up_to_date),
        cmocka_unit_test(help_fits_the_terminal),
    };

    return cmocka_run_group_tests_name("job", tests, NULL, NULL);
}

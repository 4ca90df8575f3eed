/* The report: every field of the contract is there, and numbers that are none do not
 * spoil it. */
#include <jansson.h>
#include <math.h>
#include <sys/stat.h>

#include "launch/report.h"
#include "tests/unit/scratch.h"

struct kit {
    struct scratch scratch;
    struct run_request request;
    struct roster roster;
    struct coordinator_state state;
    struct run_view view;
};

static struct kit *kit_create(void)
{
    struct kit *kit = calloc(1, sizeof *kit);
    struct job *job = &kit->request.job;

    scratch_init(&kit->scratch);
    job_init(job);
    snprintf(job->name, sizeof job->name, "films");
    job->tables = 2;
    snprintf(job->table[0].name, sizeof job->table[0].name, "user");
    snprintf(job->table[1].name, sizeof job->table[1].name, "item");
    job->table[0].dim = job->table[1].dim = 4;
    snprintf(job->evaluate.metrics, sizeof job->evaluate.metrics, "rmse\nmae");
    snprintf(job->checkpoint.dir, sizeof job->checkpoint.dir, "runs/films");
    job->train.seed = 7;
    snprintf(kit->request.report, sizeof kit->request.report, "%s",
             scratch_path(&kit->scratch, "report.json"));
    kit->roster.servers = 2;
    kit->roster.workers = 3;
    kit->state = (struct coordinator_state){.evaluated = true,
                                            .checkpoint_bytes = 900,
                                            .checkpoint_seconds = 0.25,
                                            .restarts = 5,
                                            .records = 1};
    kit->state.record[0] = (struct epoch_record){
        .epoch = 3, .examples = 100, .seconds = 2, .loss_sum = 150};
    kit->state.metric[0] = 10; /* examples */
    kit->state.metric[1] = 40; /* squared errors */
    kit->view = (struct run_view){.bytes_pulled = 11,
                                  .bytes_pushed = 12,
                                  .pushes_sent = 13,
                                  .pushes_applied = 13,
                                  .pushes_duplicate = 14,
                                  .pushes_uncompensated = 16,
                                  .pushes_resent = 15,
                                  .workers = 2,
                                  .times = {{9, 4, 1, 700}, {8, 2, NAN, 7}},
                                  .tables = 2};
    kit->view.table[0] = (struct table_facts){.rows = 6,
                                              .bytes = 4096,
                                              .reads_refused = 21,
                                              .rows_refused = 22,
                                              .staleness = {4, 0, 2},
                                              .cache_reads = 80,
                                              .cache_hits = 60};
    kit->view.cache_rows[0] = 5;
    kit->view.cache_bytes[0] = 500;
    kit->view.table[1] = (struct table_facts){.rows = 8, .bytes = 8192};
    return kit;
}

static void kit_destroy(struct kit *kit)
{
    scratch_release(&kit->scratch);
    free(kit);
}

static json_t *report(struct kit *kit)
{
    json_error_t json_err;
    struct err err;
    json_t *all;

    if (report_write(&kit->request, &kit->roster, &kit->state, &kit->view, 1.5, 2.5,
                     &err))
        fail_msg("%s", err.text);
    all = json_load_file(kit->request.report, 0, &json_err);
    if (!all)
        fail_msg("line %d: %s", json_err.line, json_err.text);
    return all;
}

/* The value at a path such as "pushes.sent" or "epochs.0.loss". */
static json_t *at(json_t *all, const char *path)
{
    char copy[128], *rest = copy, *name;
    json_t *json = all;

    snprintf(copy, sizeof copy, "%s", path);
    while (json && (name = strsep(&rest, ".")))
        json = json_is_array(json) ? json_array_get(json, strtoul(name, NULL, 10))
                                   : json_object_get(json, name);
    if (!json)
        fail_msg("the report has no %s", path);
    return json;
}

static void assert_number(json_t *all, const char *path, double value)
{
    json_t *json = at(all, path);

    if (!json_is_number(json) || fabs(json_number_value(json) - value) > 1e-9)
        fail_msg("%s is %g, expected %g", path, json_number_value(json), value);
}

static void assert_text(json_t *all, const char *path, const char *value)
{
    assert_true(json_is_string(at(all, path)));
    assert_string_equal(json_string_value(at(all, path)), value);
}

static void test_fields(void **state)
{
    static const struct {
        const char *path;
        double value;
    } numbers[] = {
        {"servers", 2},
        {"workers", 3},
        {"seed", 7},
        {"parameters", 6 * 5 + 8 * 5},
        {"tables.user.rows", 6},
        {"tables.user.dim", 4},
        {"tables.user.bytes", 4096},
        {"tables.user.reads_refused", 21},
        {"tables.user.rows_refused", 22},
        {"tables.item.rows", 8},
        {"epochs.0.epoch", 3},
        {"epochs.0.examples", 100},
        {"epochs.0.seconds", 2},
        {"epochs.0.examples_per_second", 50},
        {"epochs.0.loss", 1.5},
        {"test.rmse", 2},
        {"test.mae", 0},
        {"seconds", 1.5},
        {"cpu_seconds", 2.5},
        {"bytes.pulled", 11},
        {"bytes.pushed", 12},
        {"pushes.sent", 13},
        {"pushes.applied", 13},
        {"pushes.duplicates_dropped", 14},
        {"pushes.uncompensated", 16},
        {"pushes.resent", 15},
        {"staleness.user.max", 2},
        {"staleness.user.histogram.0", 4},
        {"staleness.user.histogram.2", 2},
        {"staleness.item.max", 0},
        {"waiting.0.examples", 700},
        {"waiting.0.training_seconds", 9},
        {"waiting.0.wait_seconds", 4},
        {"waiting.0.parked_seconds", 1},
        {"waiting.1.wait_seconds", 2},
        {"restarts", 5},
        {"checkpoint.bytes", 900},
        {"checkpoint.seconds", 0.25},
    };
    struct kit *kit = kit_create();
    json_t *all = report(kit);

    (void)state;
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0]; i++)
        assert_number(all, numbers[i].path, numbers[i].value);
    assert_text(all, "version", ROWHOUSE_VERSION);
    assert_text(all, "job", "films");
    assert_text(all, "consistency", "async");
    assert_text(all, "checkpoint.dir", "runs/films");
    assert_true(json_is_string(at(all, "kernels")));
    assert_true(json_is_object(at(all, "epochs.0.metrics")));
    assert_int_equal(json_array_size(at(all, "staleness.user.histogram")), 3);
    assert_int_equal(json_object_size(at(all, "cache")), 0);
    json_decref(all);
    kit_destroy(kit);
}

static void test_cache(void **state)
{
    struct kit *kit = kit_create();
    json_t *all;

    (void)state;
    kit->request.job.train.cache = 1 << 20;
    all = report(kit);
    assert_number(all, "cache.user.reads", 80);
    assert_number(all, "cache.user.hits", 60);
    assert_number(all, "cache.user.hit_rate", 0.75);
    assert_number(all, "cache.user.rows", 5);
    assert_number(all, "cache.user.bytes", 500);
    assert_number(all, "cache.item.hit_rate", 0);
    json_decref(all);
    kit_destroy(kit);
}

static void test_consistency(void **state)
{
    static const char *const names[] = {"async", "ssp", "bsp"};

    (void)state;
    for (int i = CONSISTENCY_ASYNC; i <= CONSISTENCY_BSP; i++) {
        struct kit *kit = kit_create();
        json_t *all;

        kit->request.job.train.consistency = i;
        all = report(kit);
        assert_text(all, "consistency", names[i]);
        json_decref(all);
        kit_destroy(kit);
    }
}

static void test_not_evaluated(void **state)
{
    struct kit *kit = kit_create();
    json_t *all;

    (void)state;
    kit->state.evaluated = false;
    kit->state.records = 0;
    all = report(kit);
    assert_int_equal(json_object_size(at(all, "test")), 0);
    assert_int_equal(json_array_size(at(all, "epochs")), 0);
    json_decref(all);
    kit_destroy(kit);
}

/* A run that went wrong in its numbers has a report, too. */
/* What the validation part said after an epoch, and which was the best. */
static void test_early_stopping(void **state)
{
    struct kit *kit = kit_create();
    json_t *all = report(kit);

    (void)state;
    assert_true(json_is_null(at(all, "best")));
    assert_int_equal(json_object_size(at(all, "epochs.0.metrics")), 0);
    json_decref(all);
    kit->request.job.train.patience = 2;
    kit->state.best = (struct best){.epoch = 3, .checkpoint = 7};
    kit->state.record[0].values = 1;
    kit->state.record[0].value[0] = 0.75;
    all = report(kit);
    assert_number(all, "epochs.0.metrics.rmse", 0.75);
    assert_number(all, "best.epoch", 3);
    assert_number(all, "best.checkpoint", 7);
    json_decref(all);
    kit_destroy(kit);
}

static void test_numbers_that_are_none(void **state)
{
    struct kit *kit = kit_create();
    json_t *all;

    (void)state;
    kit->state.record[0].loss_sum = NAN;
    kit->state.record[1] = (struct epoch_record){
        .epoch = 4, .examples = 100, .seconds = 2, .loss_sum = INFINITY};
    kit->state.records = 2;
    kit->state.metric[1] = NAN;
    all = report(kit);
    assert_true(json_is_null(at(all, "epochs.0.loss")));
    assert_true(json_is_null(at(all, "epochs.1.loss")));
    assert_number(all, "epochs.1.examples", 100);
    assert_true(json_is_null(at(all, "test.rmse")));
    json_decref(all);
    kit_destroy(kit);
}

static void test_name_that_is_no_text(void **state)
{
    struct kit *kit = kit_create();
    json_t *all;

    (void)state;
    snprintf(kit->request.job.checkpoint.dir, 32, "runs/caf\xe9");
    all = report(kit);
    assert_true(json_is_null(at(all, "checkpoint.dir")));
    assert_number(all, "checkpoint.bytes", 900);
    json_decref(all);
    kit_destroy(kit);
}

static void test_replaces_whole(void **state)
{
    struct kit *kit = kit_create();
    struct err err;
    char before[64];

    (void)state;
    scratch_text(&kit->scratch, "report.json", "old");
    json_decref(report(kit));
    snprintf(kit->request.report, sizeof kit->request.report, "%s/no/such/report.json",
             kit->scratch.dir);
    assert_int_equal(
        report_write(&kit->request, &kit->roster, &kit->state, &kit->view, 1, 1, &err),
        -ERR_SYSTEM);
    snprintf(before, sizeof before, "no/such/report.json");
    assert_non_null(strstr(err.text, before));
    kit_destroy(kit);
}

/* A link, as /dev/stdout is one, stays a link. */
static void test_through_a_link(void **state)
{
    struct kit *kit = kit_create();
    char target[1024];
    struct stat info;

    (void)state;
    snprintf(target, sizeof target, "%s",
             scratch_text(&kit->scratch, "target", "what was there before"));
    assert_int_equal(symlink(target, kit->request.report), 0);
    json_decref(report(kit));
    assert_int_equal(lstat(kit->request.report, &info), 0);
    assert_true(S_ISLNK(info.st_mode));
    kit_destroy(kit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_cache),
        cmocka_unit_test(test_consistency),
        cmocka_unit_test(test_not_evaluated),
        cmocka_unit_test(test_early_stopping),
        cmocka_unit_test(test_numbers_that_are_none),
        cmocka_unit_test(test_name_that_is_no_text),
        cmocka_unit_test(test_replaces_whole),
        cmocka_unit_test(test_through_a_link),
    };

    return cmocka_run_group_tests_name("report", tests, NULL, NULL);
}

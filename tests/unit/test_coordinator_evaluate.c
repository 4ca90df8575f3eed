/* The coordinator and what evaluations come to. */
#include <math.h>

#include "common/metrics.h"
#include "tests/unit/coordinator_kit.h"

static int give_counts(struct kit *kit, struct fake *worker, const uint64_t *word,
                       uint32_t words, struct err *err)
{
    struct message *message = calloc(1, sizeof *message);
    int rc;

    assert_non_null(message);
    message->kind = MESSAGE_STATUS;
    message->status.done = worker->status.done;
    message->sections = 1;
    message->section[0] = (struct section){.table = COUNTS_SCORES, .rows = words};
    message->body = (const unsigned char *)word;
    rc = coordinator_counts(kit->c, worker->peer, message, err);
    free(message);
    return rc;
}

/* A worker has evaluated; with its counts, or not yet. */
static void evaluate(struct kit *kit, uint32_t worker, const uint64_t *word,
                     uint32_t words)
{
    struct fake *w = &kit->worker[worker];
    struct err err;

    w->status.done = coordinator_number(kit->c);
    w->status.metric[SUM_EXAMPLES] = 2;
    if (word && give_counts(kit, w, word, words, &err))
        fail_msg("%s", err.text);
    say(kit, w);
}

static bool is_counted(struct kit *kit, uint32_t worker)
{
    coordinator_order(kit->c, kit->worker[worker].peer, &kit->order);
    return kit->order.counted;
}

static struct kit *kit_evaluating(void)
{
    struct kit *kit = kit_create(2);

    snprintf(kit->job.evaluate.metrics, sizeof kit->job.evaluate.metrics, "rmse\nauc");
    reach(kit, STAGE_EVALUATE);
    for (uint32_t i = 0; i < SERVERS; i++)
        obey(kit, &kit->server[i]);
    return kit;
}

/* Scores 1 and 3 are worker 0's, of 2 and 3 worker 1's. */
static const uint64_t first[] = {0, 1, 0, 1, 3, 1, 0}, second[] = {0, 2, 1, 0, 3, 0, 1};

static void test_counts_of_all_workers(void **state)
{
    struct kit *kit = kit_evaluating();

    (void)state;
    assert_false(is_counted(kit, 0));
    evaluate(kit, 0, first, 7);
    assert_true(is_counted(kit, 0) && !is_counted(kit, 1));
    evaluate(kit, 0, first, 7); /* once more: it counts once */
    evaluate(kit, 1, NULL, 0);  /* done, but its counts are still on their way */
    assert_int_equal(kit->memory->state.stage, STAGE_EVALUATE);
    evaluate(kit, 1, second, 7);
    all_obey(kit);
    assert_ended(kit, 0, "");
    assert_true(kit->memory->state.metric[SUM_EXAMPLES] == 4);
    assert_true(kit->memory->state.metric[SUM_AUC] == (1 + 0.5 + 1 + 0) / 4);
    assert_true(kit->memory->state.metric[SUM_AUC_ERROR] == 0);
    kit_destroy(kit);
}

/* Of 70 items the lists of one worker have 0 and 69, and those of the other 5 and 69;
 * of the second length one has 0, the other none. */
static void test_items_of_all_workers(void **state)
{
    static const uint64_t sets[2][5] = {{70, 1, 1 << 5, 1, 0},
                                        {70, 1 << 5, 1 << 5, 0, 0}};
    struct kit *kit = kit_create(2);
    struct message *message = calloc(1, sizeof *message);
    struct err err;

    (void)state;
    assert_non_null(message);
    snprintf(kit->job.evaluate.metrics, sizeof kit->job.evaluate.metrics,
             "coverage@1\ncoverage@2");
    reach(kit, STAGE_EVALUATE);
    for (uint32_t i = 0; i < SERVERS; i++)
        obey(kit, &kit->server[i]);
    for (uint32_t w = 0; w < 2; w++) {
        message->kind = MESSAGE_STATUS;
        message->status.done = coordinator_number(kit->c);
        message->sections = 1;
        message->section[0] = (struct section){.table = COUNTS_ITEMS, .rows = 4};
        message->body = (const unsigned char *)sets[w];
        assert_int_equal(coordinator_counts(kit->c, kit->worker[w].peer, message, &err),
                         -ERR_PEER);
        message->section[0].rows = 5;
        if (coordinator_counts(kit->c, kit->worker[w].peer, message, &err))
            fail_msg("%s", err.text);
        evaluate(kit, w, NULL, 0);
    }
    all_obey(kit);
    assert_ended(kit, 0, "");
    assert_true(kit->memory->state.metric[SUM_COVERAGE] == 3.0 / 70);
    assert_true(kit->memory->state.metric[SUM_COVERAGE + 1] == 1.0 / 70);
    free(message);
    kit_destroy(kit);
}

/* Whoever comes back has counts to give that others gave already, or asks again. */
static void test_counts_through_restarts(void **state)
{
    struct kit *kit = kit_evaluating();

    (void)state;
    evaluate(kit, 0, first, 7);
    restart_worker(kit, &kit->worker[0]);
    assert_true(is_counted(kit, 0));
    restart_coordinator(kit);
    assert_false(is_counted(kit, 0));
    evaluate(kit, 1, second, 7);
    for (uint32_t i = 0; i < SERVERS; i++)
        say(kit, &kit->server[i]);
    evaluate(kit, 0, NULL, 0);
    assert_int_equal(kit->memory->state.stage, STAGE_EVALUATE);
    evaluate(kit, 0, first, 7);
    all_obey(kit);
    assert_ended(kit, 0, "");
    assert_true(kit->memory->state.metric[SUM_AUC] == 0.625);
    kit_destroy(kit);
}

static void test_counts_that_are_not_taken(void **state)
{
    const uint64_t bad[] = {7, 1, 0, 1};
    struct kit *kit = kit_evaluating();
    struct fake stranger = {.peer = {ROLE_WORKER, 9, 0}};
    struct err err = {0};

    (void)state;
    kit->worker[0].status.done = coordinator_number(kit->c);
    assert_int_equal(give_counts(kit, &kit->worker[0], bad, 4, &err), -ERR_PEER);
    assert_non_null(strstr(err.text, "worker 0: "));
    assert_int_equal(give_counts(kit, &stranger, first, 7, &err), -ERR_PEER);
    kit->worker[0].status.done--; /* of another order */
    assert_int_equal(give_counts(kit, &kit->worker[0], first, 7, &err), 0);
    assert_false(is_counted(kit, 0));
    kit_destroy(kit);
}

/* --- evaluations between epochs --------------------------------------------------- */

static struct kit *kit_patient(int64_t epochs, int64_t patience)
{
    struct kit *kit = kit_create(2);

    snprintf(kit->job.evaluate.metrics, sizeof kit->job.evaluate.metrics, "mae\nrmse");
    kit->job.evaluate.every = 1;
    kit->job.train.epochs = epochs;
    kit->job.train.patience = patience;
    kit->job.checkpoint.every = 0;
    return kit;
}

/* Everyone carries out what is ordered, until after the evaluation of an epoch whose
 * mean absolute error is `mae`. */
static void epoch_with(struct kit *kit, double mae)
{
    for (int i = 0; i < 9 && kit->memory->state.stage != STAGE_EVALUATE; i++)
        all_obey(kit);
    assert_int_equal(kit->memory->state.stage, STAGE_EVALUATE);
    coordinator_order(kit->c, kit->worker[1].peer, &kit->order);
    assert_int_equal(kit->order.validate, 1);
    for (uint32_t w = 0; w < 2; w++) {
        struct status *status = &kit->worker[w].status;

        status->done = coordinator_number(kit->c);
        status->metric[SUM_EXAMPLES] = 10;
        status->metric[SUM_ABSOLUTE_ERROR] = 10 * mae;
        say(kit, &kit->worker[w]);
    }
    for (uint32_t i = 0; i < SERVERS; i++)
        obey(kit, &kit->server[i]);
}

static void finish(struct kit *kit)
{
    for (int i = 0; i < 9 && kit->memory->state.stage != STAGE_END; i++)
        all_obey(kit);
    assert_ended(kit, 0, "");
}

static void test_epochs_have_metrics(void **state)
{
    struct kit *kit = kit_patient(3, 0);

    (void)state;
    kit->job.evaluate.every = 2;
    epoch_with(kit, 4); /* the second */
    assert_int_equal(kit->last_epoch.epoch, 2);
    assert_int_equal(kit->last_epoch.values, 2);
    assert_true(kit->last_epoch.value[0] == 4 && kit->last_epoch.value[1] == 0);
    epoch_with(kit, 5); /* and the last */
    finish(kit);
    assert_int_equal(kit->memory->state.records, 3);
    assert_int_equal(kit->memory->state.record[0].values, 0);
    assert_true(kit->memory->state.record[2].value[0] == 5);
    assert_int_equal(kit->finished, 1); /* nothing is best: only at the end */
    assert_int_equal(kit->saved.best.checkpoint, 0);
    kit_destroy(kit);
}

/* The second of five epochs is the best: two misses, back to it. */
static void test_stops_early(void **state)
{
    struct kit *kit = kit_patient(5, 2);

    (void)state;
    epoch_with(kit, 3);
    epoch_with(kit, 2);
    all_obey(kit);
    assert_int_equal(kit->finished, 2);
    assert_int_equal(kit->saved.best.checkpoint, 2);
    epoch_with(kit, 2.5);
    assert_int_equal(kit->memory->state.stage, STAGE_TRAIN);
    epoch_with(kit, 2.1);
    assert_int_equal(kit->memory->state.stage, STAGE_RESTORE);
    restart_coordinator(kit);
    coordinator_order(kit->c, kit->server[0].peer, &kit->order);
    assert_int_equal(kit->order.kind, ORDER_LOAD);
    assert_string_equal(kit->order.path, "dir/checkpoint-2");
    finish(kit);
    assert_int_equal(kit->memory->state.records, 4);
    assert_int_equal(kit->finished, 3);
    assert_int_equal(kit->saved.epoch, 2);
    assert_int_equal(kit->saved.clock, kit->saved.best.clock);
    assert_int_equal(kit->saved.best.checkpoint, 3);
    assert_int_equal(kit->saved.best.reached, 4);
    assert_true(kit->memory->state.evaluated);
    kit_destroy(kit);
}

/* The last one is the best, or the epochs are over before patience is. */
static void test_patience_outlives_epochs(void **state)
{
    struct kit *kit = kit_patient(2, 3);

    (void)state;
    epoch_with(kit, 3);
    epoch_with(kit, 2);
    assert_int_equal(kit->memory->state.stage, STAGE_SAVE);
    finish(kit);
    assert_int_equal(kit->saved.best.epoch, 2);
    assert_int_equal(kit->finished, 2);
    kit_destroy(kit);
    kit = kit_patient(2, 3);
    epoch_with(kit, 2);
    epoch_with(kit, 3);
    assert_int_equal(kit->memory->state.stage, STAGE_RESTORE);
    finish(kit);
    assert_int_equal(kit->saved.epoch, 1);
    kit_destroy(kit);
}

/* An interrupt in an evaluation waits for it; what was known then is known later. */
static void test_resumed_patience(void **state)
{
    static struct manifest manifest;
    struct kit *kit = kit_patient(9, 2);

    (void)state;
    epoch_with(kit, 1);
    epoch_with(kit, 3);
    while (kit->memory->state.stage != STAGE_EVALUATE)
        all_obey(kit);
    coordinator_interrupt(kit->c, kit->now_ms);
    assert_int_equal(kit->memory->state.stage, STAGE_EVALUATE);
    epoch_with(kit, 2);
    assert_int_equal(kit->memory->state.stage, STAGE_SAVE);
    all_obey(kit);
    assert_ended(kit, 130, "");
    assert_int_equal(kit->saved.best.misses, 2);
    assert_int_equal(kit->saved.best.checkpoint, 1);
    resume(kit, &manifest, 2);
    reach(kit, STAGE_RESTORE); /* nothing is trained */
    coordinator_order(kit->c, kit->server[0].peer, &kit->order);
    assert_string_equal(kit->order.path, "dir/checkpoint-1");
    finish(kit);
    assert_int_equal(kit->saved.epoch, 1);
    resume(kit, &manifest, 2);
    reach(kit, STAGE_EVALUATE);  /* it is there */
    kit->job.train.patience = 3; /* more of it: on from the best */
    resume(kit, &manifest, 2);
    reach(kit, STAGE_TRAIN);
    assert_int_equal(kit->memory->state.epoch, 2);
    epoch_with(kit, 3); /* as if it had not waited yet */
    epoch_with(kit, 2);
    assert_int_equal(kit->memory->state.stage, STAGE_TRAIN);
    epoch_with(kit, 2);
    assert_int_equal(kit->memory->state.stage, STAGE_RESTORE);
    kit_destroy(kit);
}

/* Another validation part is not compared with the one before. */
static void test_resumed_with_another_part(void **state)
{
    static struct manifest manifest;
    struct kit *kit = kit_patient(9, 1);
    char *settings;

    (void)state;
    epoch_with(kit, 1);
    epoch_with(kit, 3);
    finish(kit);
    assert_int_equal(kit->saved.epoch, 1);
    settings = job_to_lines(&kit->job);
    assert_non_null(settings);
    kit->saved.settings = settings;
    resume(kit, &manifest, 2);
    assert_int_equal(kit->memory->state.best.epoch, 1);
    kit->saved.settings = settings;
    snprintf(kit->job.data.validation, sizeof kit->job.data.validation, "other.tsv");
    resume(kit, &manifest, 2);
    assert_int_equal(kit->memory->state.best.epoch, 0);
    epoch_with(kit, 4); /* worse than the first was: the best of those */
    assert_int_equal(kit->memory->state.best.epoch, 2);
    kit_destroy(kit);
    free(settings);
}

static void test_no_number_to_judge_by(void **state)
{
    struct kit *kit = kit_patient(9, 1);

    (void)state;
    epoch_with(kit, NAN);
    assert_ended(kit, 2, "mae of the validation part is not a number after epoch 1");
    kit_destroy(kit);
    kit = kit_patient(2, 0); /* nothing goes by it */
    epoch_with(kit, NAN);
    epoch_with(kit, 1);
    finish(kit);
    kit_destroy(kit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_counts_of_all_workers),
        cmocka_unit_test(test_items_of_all_workers),
        cmocka_unit_test(test_counts_through_restarts),
        cmocka_unit_test(test_counts_that_are_not_taken),
        cmocka_unit_test(test_epochs_have_metrics),
        cmocka_unit_test(test_stops_early),
        cmocka_unit_test(test_patience_outlives_epochs),
        cmocka_unit_test(test_resumed_patience),
        cmocka_unit_test(test_resumed_with_another_part),
        cmocka_unit_test(test_no_number_to_judge_by),
    };

    return cmocka_run_group_tests_name("coordinator_evaluate", tests, NULL, NULL);
}

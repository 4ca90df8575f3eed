/* Whole steps of models: gradients by all rows and parameters against finite
 * differences, for losses of single examples and of groups, sliced or not. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "common/rng.h"
#include "worker/learner.h"
#include "worker/model/blas.h"

enum { USERS = 4, ITEMS = 9, CHOSEN = 150, FLOATS = 512 };

struct kit {
    struct job job;
    struct blueprint *blueprint;
    struct batch batch;
    struct learner *learner;
    float slope[JOB_TABLES_MAX][FLOATS];
    float *gradient[JOB_TABLES_MAX];
    uint64_t drawn;
};

static void set(struct kit *kit, const char *name, const char *value)
{
    struct err err;

    if (job_set(&kit->job, name, value, "test", &err))
        fail_msg("%s", err.text);
}

static double unit(struct kit *kit)
{
    return rng_unit(rng_at(5, 1, kit->drawn++));
}

static uint64_t below(struct kit *kit, uint64_t bound)
{
    return rng_below(rng_at(5, 2, kit->drawn++), bound);
}

static int set_up(void **state)
{
    struct kit *kit = calloc(1, sizeof *kit);

    assert_non_null(kit);
    job_init(&kit->job);
    set(kit, "data.train", "nowhere");
    set(kit, "tables.user.dim", "3");
    set(kit, "tables.item.dim", "3");
    set(kit, "data.columns.user.table", "user");
    set(kit, "data.columns.item.table", "item");
    set(kit, "train.batch", "150");
    *state = kit;
    return 0;
}

static int tear_down(void **state)
{
    struct kit *kit = *state;

    learner_destroy(kit->learner);
    batch_release(&kit->batch);
    blueprint_destroy(kit->blueprint);
    free(kit);
    return 0;
}

/* User and item, each through a layer of their own; the score is the product. */
static void make_towers(struct kit *kit)
{
    set(kit, "model.kind", "graph");
    set(kit, "model.layers.u.kind", "rows");
    set(kit, "model.layers.u.columns", "user");
    set(kit, "model.layers.left.width", "2");
    set(kit, "model.layers.left.activation", "tanh");
    set(kit, "model.layers.i.kind", "rows");
    set(kit, "model.layers.i.columns", "item");
    set(kit, "model.layers.right.width", "2");
    set(kit, "model.output", "left,right");
}

/* Keys, labels and weights by chance; the examples of a group have one user. */
static void fill_batch(struct kit *kit)
{
    struct batch *batch = &kit->batch;
    uint32_t group = job_group(&kit->job), n = CHOSEN * group;
    uint64_t key[2][CHOSEN * 8];
    uint64_t all[16];

    batch->n = n;
    batch->group = group;
    batch->items = ITEMS;
    batch->weighted = true;
    for (uint32_t i = 0; i < n; i++) {
        bool first = i % group == 0;

        key[0][i] = first ? below(kit, USERS) : key[0][i - 1];
        key[1][i] = below(kit, ITEMS);
        batch->label[i] = first ? unit(kit) < 0.8 : 0;
        batch->weight[i] = first ? (float)(0.5 + unit(kit)) : batch->weight[i - 1];
        if (batch->item) {
            batch->item[i] = key[1][i];
            batch->log_q[i] = (float)log(0.05 + (double)key[1][i] / ITEMS);
        }
    }
    for (uint64_t i = 0; i < 16; i++)
        all[i] = i;
    for (uint32_t t = 0; t < batch->tables; t++)
        keyset_build(&batch->set[t], t < 2 ? key[t] : all,
                     t < 2 ? n : (uint32_t)kit->job.table[t].rows, 1, 1);
    for (uint32_t i = 0; kit->blueprint->layers && i < kit->blueprint->inputs; i++)
        memcpy(batch->input[i].pos, batch->set[kit->blueprint->input[i].table].pos,
               n * sizeof(uint32_t));
}

static void begin(struct kit *kit)
{
    uint32_t capacity = CHOSEN * job_group(&kit->job);
    struct err err;

    if (blueprint_expand(&kit->job, &err) ||
        blueprint_make(&kit->job, &kit->blueprint, &err) ||
        batch_create_for(&kit->batch, kit->blueprint, 1, capacity, &err) ||
        learner_create(kit->blueprint, capacity, true, &kit->learner, &err))
        fail_msg("%s", err.text);
    fill_batch(kit);
    learner_set_mean(kit->learner, 0.5);
    for (uint32_t t = 0; t < kit->batch.tables; t++) {
        assert_true(kit->batch.set[t].rows * kit->batch.width[t] <= FLOATS);
        kit->gradient[t] = kit->slope[t];
        for (uint32_t i = 0; i < kit->batch.set[t].rows * kit->batch.width[t]; i++)
            kit->batch.rows[t][i] = (float)(2 * unit(kit) - 1);
    }
}

static double step(struct kit *kit)
{
    return learner_step(kit->learner, &kit->batch, 1, kit->gradient);
}

/* `of_loss`: what part of the loss gradients are of: of the squared one half. */
static void check_slopes(struct kit *kit, double of_loss)
{
    float copy[JOB_TABLES_MAX][FLOATS];

    step(kit);
    memcpy(copy, kit->slope, sizeof copy);
    for (uint32_t t = 0; t < kit->batch.tables; t++) {
        uint32_t floats = kit->batch.set[t].rows * kit->batch.width[t];

        for (uint32_t i = 0; i < floats; i++) {
            float *at = &kit->batch.rows[t][i], was = *at;
            double h = 1e-3, up, down, slope;

            *at = was + (float)h;
            up = step(kit);
            *at = was - (float)h;
            down = step(kit);
            *at = was;
            slope = of_loss * (up - down) / (2 * h);
            if (!(fabs(slope - (double)copy[t][i]) <= 0.02 * (1 + fabs(slope))))
                fail_msg("table %s, number %u: %g, expected %g", kit->job.table[t].name,
                         i, (double)copy[t][i], slope);
        }
    }
}

/* --- losses by hand: gradients alone may be those of another loss -------------------
 */

/* -log of the softmax of number `own` among m. */
static double softmax_by_hand(const double *score, uint32_t m, uint32_t own)
{
    double sum = 1;

    for (uint32_t j = 0; j < m; j++)
        sum += j == own ? 0 : exp(score[j] - score[own]);
    return log(sum);
}

/* Score less log_q, far down for the example's own item in others' places. */
static double corrected(const struct batch *batch, double score, uint32_t own,
                        uint32_t other)
{
    if (other != own && batch->item[other] == batch->item[own])
        return -100;
    return score - (double)batch->log_q[other];
}

/* Tries negatives one after another: how far the first is within the margin, times the
 * sum that its place gives. */
static double warp_by_hand(const double *score, uint32_t group)
{
    double weight = 0;

    for (uint32_t j = 1; j < group; j++) {
        if (1 - score[0] + score[j] <= 0)
            continue;
        for (uint32_t r = 1; r <= (ITEMS - 1) / j; r++)
            weight += 1.0 / r;
        return weight * (1 - score[0] + score[j]);
    }
    return 0;
}

static double group_by_hand(const struct batch *batch, uint32_t i, int loss,
                            const float *scores)
{
    double score[8], sum = 0;

    for (uint32_t j = 0; j < batch->group; j++)
        score[j] = (double)scores[i + j];
    if (loss == LOSS_WARP)
        return warp_by_hand(score, batch->group);
    for (uint32_t j = 0; j < batch->group; j++) {
        if (loss == LOSS_BPR && j > 0)
            sum += log1p(exp(score[j] - score[0]));
        else if (loss == LOSS_SAMPLED_SOFTMAX)
            score[j] = corrected(batch, score[j], i, i + j);
    }
    return loss == LOSS_BPR ? sum : softmax_by_hand(score, batch->group, 0);
}

static void check_loss(struct kit *kit)
{
    const struct batch *batch = &kit->batch;
    float score[CHOSEN * 8];
    double loss = 0;

    learner_score(kit->learner, batch, score);
    for (uint32_t i = 0; i < batch->n; i += batch->group)
        if (batch->label[i] > 0)
            loss += (double)batch->weight[i] *
                    group_by_hand(batch, i, kit->job.model.loss, score);
    assert_true(fabs(step(kit) - loss) < 1e-5 * loss);
}

/* The score of example i's user with example j's item. */
static double score_of(struct kit *kit, uint32_t i, uint32_t j)
{
    struct batch pair = kit->batch;
    struct keyset *item = &pair.set[1];
    uint32_t pos = item->pos[i], *input = pair.input[1].pos;
    float score[CHOSEN];

    item->pos[i] = item->pos[j];
    if (input)
        input[i] = item->pos[j];
    learner_score(kit->learner, &pair, score);
    item->pos[i] = pos;
    if (input)
        input[i] = pos;
    return (double)score[i];
}

static void check_loss_in_batch(struct kit *kit)
{
    const struct batch *batch = &kit->batch;
    double score[CHOSEN], loss = 0;

    for (uint32_t i = 0; i < batch->n; i++) {
        for (uint32_t j = 0; j < batch->n; j++)
            score[j] = corrected(batch, score_of(kit, i, j), i, j);
        if (batch->label[i] > 0)
            loss += (double)batch->weight[i] * softmax_by_hand(score, batch->n, i);
    }
    assert_true(fabs(step(kit) - loss) < 1e-5 * loss);
}

static void check(struct kit *kit, const char *loss, const char *negatives,
                  double of_loss)
{
    set(kit, "model.loss", loss);
    set(kit, "train.negatives", negatives);
    begin(kit);
    if (kit->job.train.negatives_by == NEGATIVES_BATCH)
        check_loss_in_batch(kit);
    else if (job_ranks(&kit->job))
        check_loss(kit);
    check_slopes(kit, of_loss);
}

#define TEST(name, model, loss, negatives, of_loss)                                    \
    static void test_##model##_##name(void **state)                                    \
    {                                                                                  \
        make_##model(*state);                                                          \
        check(*state, loss, negatives, of_loss);                                       \
    }

static void make_mf(struct kit *kit)
{
    (void)kit;
}

/* CHOSEN groups of 4 or 5 are more than a slice; groups of 5 do not fill one. */
TEST(squared, mf, "squared", "3", 0.5)
TEST(logistic, mf, "logistic", "3", 1)
TEST(bpr, mf, "bpr", "4", 1)
TEST(softmax, mf, "sampled_softmax", "4", 1)
TEST(squared, towers, "squared", "4", 0.5)
TEST(logistic, towers, "logistic", "4", 1)
TEST(bpr, towers, "bpr", "4", 1)
TEST(softmax, towers, "sampled_softmax", "4", 1)

static void test_mf_in_batch(void **state)
{
    set(*state, "train.negatives_by", "batch");
    check(*state, "sampled_softmax", "0", 1);
}

static void test_towers_in_batch(void **state)
{
    make_towers(*state);
    test_mf_in_batch(state);
}

/* The loss has steps, where a negative comes within the margin and later ones count no
 * longer: slopes of few examples, which are far from them. */
static void check_warp(struct kit *kit)
{
    set(kit, "model.loss", "warp");
    set(kit, "train.negatives", "5");
    begin(kit);
    check_loss(kit);
    for (uint32_t i = 12; i < kit->batch.n; i++)
        kit->batch.weight[i] = 0;
    kit->batch.label[0] = kit->batch.label[6] = 1;
    check_slopes(kit, 1);
}

static void test_mf_warp(void **state)
{
    check_warp(*state);
}

static void test_towers_warp(void **state)
{
    make_towers(*state);
    check_warp(*state);
}

static void test_one_output_is_no_product(void **state)
{
    struct kit *kit = *state;
    struct err err;

    make_towers(kit);
    set(kit, "model.layers.score.kind", "dot");
    set(kit, "model.layers.score.inputs", "left,right");
    set(kit, "model.output", "score");
    set(kit, "model.loss", "sampled_softmax");
    set(kit, "train.negatives_by", "batch");
    if (blueprint_expand(&kit->job, &err))
        fail_msg("%s", err.text);
    assert_int_equal(blueprint_make(&kit->job, &kit->blueprint, &err), -ERR_INPUT);
    assert_non_null(strstr(err.text, "the inner product of"));
}

/* With the negatives' label 0 the mean is that of all examples; where items stand
 * against each other there is none. */
static void test_scores_start_from_the_mean(void **state)
{
    struct kit *kit = *state;
    float score[CHOSEN * 8];

    set(kit, "train.negatives", "4");
    begin(kit);
    for (uint32_t t = 0; t < 2; t++)
        memset(kit->batch.rows[t], 0,
               kit->batch.set[t].rows * kit->batch.width[t] * sizeof(float));
    learner_set_mean(kit->learner, 1);
    learner_score(kit->learner, &kit->batch, score);
    assert_true(score[3] == 0.2f);
    set(kit, "model.loss", "bpr");
    learner_destroy(kit->learner);
    assert_int_equal(learner_create(kit->blueprint, kit->batch.capacity, true,
                                    &kit->learner, &(struct err){0}),
                     0);
    learner_set_mean(kit->learner, 1);
    learner_score(kit->learner, &kit->batch, score);
    assert_true(score[3] == 0);
}

int main(void)
{
#define ROW(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        ROW(mf_squared),
        ROW(mf_logistic),
        ROW(mf_bpr),
        ROW(mf_softmax),
        ROW(mf_in_batch),
        ROW(mf_warp),
        ROW(towers_squared),
        ROW(towers_logistic),
        ROW(towers_bpr),
        ROW(towers_softmax),
        ROW(towers_in_batch),
        ROW(towers_warp),
        ROW(scores_start_from_the_mean),
        ROW(one_output_is_no_product),
    };

    blas_init();
    return cmocka_run_group_tests_name("learner", tests, NULL, NULL);
}

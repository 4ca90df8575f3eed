/* What models make of batches: gradients against differences of their own losses,
 * losses against scores and plain formulas, and graphs against the code of matrix
 * factorisation, with everything that a batch can have. */
#include "tests/unit/heap_count.h"
#include "tests/unit/model_kit.h"

#include <math.h>

#include "worker/learner.h"

/* More than two slices. */
enum { N = 600, TRIES = 4, FLOATS = 4096 };

struct bench {
    struct model_kit *kit;
    struct learner *learner;
    float *gradient[JOB_TABLES_MAX];
    float *kept[JOB_TABLES_MAX]; /* rows as they were */
    uint32_t tables;
};

/* What a bench is for. */
struct shape {
    const char *loss, *target, *classes;
    bool weighted, norm;
};

static float around_zero(uint64_t seed, uint64_t stream, uint64_t n)
{
    return (float)(2 * rng_unit(rng_at(seed, stream, n)) - 1);
}

static void fill_rows(struct bench *bench)
{
    struct batch *batch = &bench->kit->batch;

    bench->tables = batch->tables;
    for (uint32_t t = 0; t < batch->tables; t++) {
        size_t floats = (size_t)batch->set[t].rows * batch->width[t];

        assert_in_range(floats, 0, FLOATS);
        bench->gradient[t] = malloc(FLOATS * sizeof(float));
        bench->kept[t] = malloc(FLOATS * sizeof(float));
        for (size_t i = 0; i < floats; i++) /* by key: in any order the same */
            bench->kept[t][i] =
                0.7F * around_zero(9 + t, batch->set[t].key[i / batch->width[t]],
                                   i % batch->width[t]);
        memcpy(batch->rows[t], bench->kept[t], floats * sizeof(float));
    }
}

static void weigh(struct bench *bench)
{
    struct batch *batch = &bench->kit->batch;

    batch->weighted = true;
    for (uint32_t i = 0; i < batch->n; i++)
        batch->weight[i] = i % 7 ? 0.25F + (float)(i % 5) : 0;
}

static void make_learner(struct bench *bench, uint32_t capacity)
{
    struct model_kit *kit = bench->kit;

    if (learner_create(kit->blueprint, capacity, true, &bench->learner, &kit->err))
        fail_msg("%s", kit->err.text);
    learner_set_mean(bench->learner, 0.6);
}

static struct bench make(const struct shape *shape, bool backwards)
{
    struct bench bench = {.kit = model_kit_create()};
    struct model_kit *kit = bench.kit;

    model_all_inputs(kit);
    model_set(kit, "model.loss", shape->loss);
    if (shape->target) {
        model_set(kit, "model.target", shape->target);
        model_set(kit, "model.layers.out.width", shape->classes);
    }
    if (shape->norm) {
        model_set(kit, "model.layers.normed.kind", "batch_norm");
        model_set(kit, "model.layers.normed.inputs", "deep");
        model_set(kit, "model.layers.out.inputs", "normed");
        model_set(kit, "model.output", "out");
    }
    model_block(kit, N);
    model_make(kit, N);
    model_batch(kit, N, backwards);
    if (shape->weighted)
        weigh(&bench);
    fill_rows(&bench);
    make_learner(&bench, N);
    return bench;
}

static void unmake(struct bench *bench)
{
    for (uint32_t t = 0; t < bench->tables; t++) {
        free(bench->gradient[t]);
        free(bench->kept[t]);
    }
    learner_destroy(bench->learner);
    model_kit_destroy(bench->kit);
}

static double step(struct bench *bench)
{
    return learner_step(bench->learner, &bench->kit->batch, 0, bench->gradient);
}

static size_t floats_of(const struct bench *bench, uint32_t t)
{
    return (size_t)bench->kit->batch.set[t].rows * bench->kit->batch.width[t];
}

static bool is_running(const struct bench *bench, uint32_t t)
{
    return strstr(bench->kit->job.table[t].name, "-running") != NULL;
}

/* The loss with the rows of a table moved `far` along a random direction. */
static double moved_loss(struct bench *bench, uint32_t t, uint64_t seed, float far)
{
    float *row = bench->kit->batch.rows[t];
    double loss;

    for (size_t i = 0; i < floats_of(bench, t); i++)
        row[i] = bench->kept[t][i] + far * around_zero(seed, t, i);
    loss = step(bench);
    memcpy(row, bench->kept[t], floats_of(bench, t) * sizeof *row);
    return loss;
}

/* The slope of the loss along random directions of each table is that of its gradient.
 */
static void check_gradients(struct bench *bench, const char *name, double part)
{
    const float far = 2e-3F;

    for (uint32_t t = 0; t < bench->tables; t++)
        for (uint64_t seed = 100; seed < 100 + TRIES && !is_running(bench, t); seed++) {
            double slope = moved_loss(bench, t, seed, far), told = 0, size = 0;

            slope = part * (slope - moved_loss(bench, t, seed, -far)) /
                    (2 * (double)far);
            step(bench);
            for (size_t i = 0; i < floats_of(bench, t); i++) {
                double g = (double)bench->gradient[t][i];

                told += g * (double)around_zero(seed, t, i);
                size += g * g;
            }
            assert_true(size > 1e-3 || bench->kit->batch.set[t].rows == 0);
            if (!(fabs(told - slope) < 0.005 * sqrt(size) + 0.02))
                fail_msg("%s: table %s, seed %d: slope %g, gradient %g", name,
                         bench->kit->job.table[t].name, (int)seed, slope, told);
        }
}

/* --- plain formulas --------------------------------------------------------------- */

static double plain_loss(int kind, double score, double label)
{
    double sign = label >= 0.5 ? 1 : -1, error = fabs(score - label);
    double short_of = fmax(0, 1 - sign * score);

    switch (kind) {
    case LOSS_LOGISTIC:
        return log1p(exp(score)) - label * score;
    case LOSS_ABSOLUTE:
        return error;
    case LOSS_HUBER:
        return error <= 1 ? error * error / 2 : error - 0.5;
    case LOSS_HINGE:
        return short_of;
    case LOSS_SQUARED_HINGE:
        return short_of * short_of;
    default:
        return error * error;
    }
}

/* What a batch's example i is compared with: how many pairs it has. */
static uint32_t own_pairs(const struct bench *bench, uint32_t i)
{
    const struct blueprint *b = bench->kit->blueprint;
    const uint32_t *offset = bench->kit->batch.target_offset;

    return b->target == TARGET_LABEL     ? 1
           : b->target == TARGET_NUMBERS ? b->classes
                                         : offset[i + 1] - offset[i];
}

/* Examples that may pass the kink of their loss while rows are moved do not count. */
static void leave_out_kinks(struct bench *bench)
{
    struct batch *batch = &bench->kit->batch;
    bool hinge = bench->kit->job.model.loss == LOSS_HINGE;
    float *score = malloc((size_t)N * MODEL_TAGS * sizeof *score);
    const float *label;
    uint64_t at = 0;

    if (!hinge && bench->kit->job.model.loss != LOSS_ABSOLUTE) {
        free(score);
        return;
    }
    learner_labels(bench->learner, batch, &label);
    learner_score(bench->learner, batch, score);
    for (uint32_t i = 0; i < N; i++) {
        if (!batch->weighted)
            batch->weight[i] = 1;
        for (uint32_t k = own_pairs(bench, i); k > 0; k--, at++)
            if (fabsf(hinge ? fabsf(score[at]) - 1 : score[at] - label[at]) < 0.02F)
                batch->weight[i] = 0;
    }
    batch->weighted = true;
    free(score);
}

/* The loss of all pairs, from learner_score() and learner_labels(). */
static double loss_by_scores(struct bench *bench)
{
    struct batch *batch = &bench->kit->batch;
    float *score = malloc((size_t)N * MODEL_TAGS * sizeof *score);
    const float *label;
    uint64_t pairs = learner_labels(bench->learner, batch, &label), at = 0;
    double loss = 0;

    learner_score(bench->learner, batch, score);
    for (uint32_t i = 0; i < N; i++)
        for (uint32_t k = own_pairs(bench, i); k > 0; k--, at++)
            loss += (batch->weighted ? (double)batch->weight[i] : 1) *
                    plain_loss(bench->kit->job.model.loss, (double)score[at],
                               (double)label[at]);
    assert_int_equal(at, pairs);
    free(score);
    return loss;
}

/* The cross-entropy of all classes, from learner_values(). */
static double loss_by_values(struct bench *bench)
{
    struct batch *batch = &bench->kit->batch;
    uint32_t classes = learner_width(bench->learner, 0);
    float *value = malloc((size_t)N * classes * sizeof *value);
    double loss = 0;

    assert_int_equal(classes, bench->kit->blueprint->classes);
    learner_values(bench->learner, batch, 0, value);
    for (uint32_t i = 0; i < N; i++) {
        const float *own = value + (size_t)i * classes;
        double sum = 0, each = 0;

        for (uint32_t c = 0; c < classes; c++)
            sum += exp((double)own[c]);
        for (uint32_t t = batch->target_offset[i]; t < batch->target_offset[i + 1]; t++)
            each += (double)batch->target_value[t] *
                    (log(sum) - (double)own[batch->target[t]]);
        loss += (batch->weighted ? (double)batch->weight[i] : 1) * each;
    }
    free(value);
    return loss;
}

static void check_loss(struct bench *bench, const char *name)
{
    double loss = step(bench);
    double plain = bench->kit->job.model.loss == LOSS_SOFTMAX ? loss_by_values(bench)
                                                              : loss_by_scores(bench);

    if (!(fabs(loss - plain) < 1e-5 * fabs(plain)))
        fail_msg("%s: loss %.9g, by a plain formula %.9g", name, loss, plain);
}

static void test_losses_and_targets(void **state)
{
    static const struct shape shapes[] = {
        {"squared", NULL, NULL, false, false},
        {"squared", NULL, NULL, true, false},
        {"logistic", NULL, NULL, true, false},
        {"absolute", NULL, NULL, true, false},
        {"huber", NULL, NULL, false, false},
        {"hinge", NULL, NULL, true, false},
        {"squared_hinge", NULL, NULL, false, false},
        {"softmax", "item", "9", false, false},
        {"softmax", "item", "9", true, false},
        {"softmax", "tags", "11", true, false},
        {"squared", "tags", "11", true, false},
        {"absolute", "tags", "11", false, false},
        {"huber", "tags", "11", true, false},
        {"squared", "facts", "3", true, false},
        {"absolute", "facts", "3", false, false},
        {"huber", "facts", "3", true, false},
        {"logistic", "facts", "3", true, false},
        {"logistic", "facts", "3", false, false},
    };

    (void)state;
    for (size_t s = 0; s < sizeof shapes / sizeof *shapes; s++) {
        struct bench bench = make(&shapes[s], false);
        char name[128];

        snprintf(name, sizeof name, "%s of %s%s", shapes[s].loss,
                 shapes[s].target ? shapes[s].target : "the label",
                 shapes[s].weighted ? ", weighted" : "");
        check_loss(&bench, name);
        leave_out_kinks(&bench);
        check_gradients(&bench, name, strcmp(shapes[s].loss, "squared") ? 1 : 0.5);
        unmake(&bench);
    }
}

/* --- slices ----------------------------------------------------------------------- */

/* Batch norm sees all examples of a batch, whatever their order. */
static void test_norms_see_the_whole_batch(void **state)
{
    static const struct shape shape = {"logistic", NULL, NULL, true, true};
    struct bench forwards = make(&shape, false), backwards = make(&shape, true);
    double loss;

    (void)state;
    check_gradients(&forwards, "batch norm", 1);
    for (uint32_t i = 0; i < N; i++)
        backwards.kit->batch.weight[i] = forwards.kit->batch.weight[N - 1 - i];
    loss = step(&forwards);
    assert_true(fabs(loss - step(&backwards)) < 1e-5 * loss);
    unmake(&forwards);
    unmake(&backwards);
}

/* A batch in slices has the sum of the gradients of its halves. */
static void test_slices_add_up(void **state)
{
    static const struct shape shape = {"softmax", "tags", "11", true, false};
    struct bench bench = make(&shape, false);
    struct batch *batch = &bench.kit->batch;
    float *whole[JOB_TABLES_MAX];
    double loss = step(&bench);

    (void)state;
    for (uint32_t t = 0; t < bench.tables; t++) {
        whole[t] = malloc(FLOATS * sizeof(float));
        memcpy(whole[t], bench.gradient[t], floats_of(&bench, t) * sizeof(float));
    }
    for (uint32_t half = 0; half < 2; half++) {
        for (uint32_t i = 0; i < N; i++)
            batch->weight[i] = i / (N / 2) == half && i % 7 ? 0.25F + (float)(i % 5)
                                                            : 0;
        loss -= step(&bench);
        for (uint32_t t = 0; t < bench.tables; t++)
            for (size_t i = 0; i < floats_of(&bench, t); i++)
                whole[t][i] -= bench.gradient[t][i];
    }
    assert_true(fabs(loss) < 1e-2);
    for (uint32_t t = 0; t < bench.tables; t++) {
        for (size_t i = 0; i < floats_of(&bench, t); i++)
            assert_true(fabsf(whole[t][i]) < 2e-3F);
        free(whole[t]);
    }
    unmake(&bench);
}

/* A learner for values only says what the one for training does. */
static void test_values_without_training(void **state)
{
    static const struct shape shape = {"squared", NULL, NULL, false, false};
    struct bench bench = make(&shape, false);
    float *trained = malloc(N * sizeof *trained), *score = malloc(N * sizeof *score);
    struct learner *only;

    (void)state;
    assert_int_equal(
        learner_create(bench.kit->blueprint, N, false, &only, &bench.kit->err), 0);
    learner_set_mean(only, 0.6);
    assert_true(learner_mean(only) == 0.6F);
    learner_score(bench.learner, &bench.kit->batch, trained);
    learner_score(only, &bench.kit->batch, score);
    assert_memory_equal(score, trained, N * sizeof *score);
    learner_destroy(only);
    free(trained);
    free(score);
    unmake(&bench);
}

/* --- matrix factorisation --------------------------------------------------------- */

/* The same factors and biases as layers. */
static const char *const factors[][2] = {
    {"model.layers.u.kind", "rows"},     {"model.layers.u.columns", "user"},
    {"model.layers.u.width", "4"},       {"model.layers.v.kind", "rows"},
    {"model.layers.v.columns", "item"},  {"model.layers.v.width", "4"},
    {"model.layers.bu.kind", "rows"},    {"model.layers.bu.columns", "user"},
    {"model.layers.bu.first", "4"},      {"model.layers.bi.kind", "rows"},
    {"model.layers.bi.columns", "item"}, {"model.layers.bi.first", "4"},
    {"model.layers.uv.kind", "dot"},     {"model.layers.uv.inputs", "u, v"},
    {"model.layers.score.kind", "add"},  {"model.layers.score.inputs", "uv, bu, bi"},
    {"tables.user.bias", "true"},        {"tables.item.bias", "true"},
};

static struct bench make_factors(const char *kind, const char *loss)
{
    struct bench bench = {.kit = model_kit_create()};
    struct model_kit *kit = bench.kit;

    /* mf takes one key column a table, and no lists. */
    model_set(kit, "data.columns.seen.table", "tag");
    model_set(kit, "model.kind", kind);
    model_set(kit, "model.loss", loss);
    for (size_t i = 0;
         strcmp(kind, "graph") == 0 && i < sizeof factors / sizeof *factors; i++)
        model_set(kit, factors[i][0], factors[i][1]);
    model_block(kit, N);
    model_make(kit, N);
    model_batch(kit, N, false);
    weigh(&bench);
    fill_rows(&bench);
    make_learner(&bench, N);
    return bench;
}

static void expect_close(const float *a, const float *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!(fabsf(a[i] - b[i]) < 1e-4F * (1 + fabsf(b[i]))))
            fail_msg("number %zu: %.9g, expected %.9g", i, (double)a[i], (double)b[i]);
}

static void test_a_graph_may_be_mf(void **state)
{
    static const char *const loss[] = {"squared", "logistic"};

    (void)state;
    for (int l = 0; l < 2; l++) {
        struct bench graph = make_factors("graph", loss[l]);
        struct bench mf = make_factors("mf", loss[l]);
        float score[2][N];
        double total = step(&mf);

        assert_non_null(learner_mf(mf.learner));
        assert_null(learner_mf(graph.learner));
        assert_true(learner_mean(mf.learner) == learner_mean(graph.learner));
        assert_true(fabs(step(&graph) - total) < 1e-5 * total);
        for (uint32_t t = 0; t < 2; t++) {
            assert_int_equal(floats_of(&graph, t), floats_of(&mf, t));
            expect_close(graph.gradient[t], mf.gradient[t], floats_of(&mf, t));
        }
        learner_score(graph.learner, &graph.kit->batch, score[0]);
        learner_score(mf.learner, &mf.kit->batch, score[1]);
        expect_close(score[0], score[1], N);
        learner_link(graph.learner, score[0], N);
        learner_link(mf.learner, score[1], N);
        expect_close(score[0], score[1], N);
        check_gradients(&mf, "mf", l ? 1 : 0.5);
        unmake(&graph);
        unmake(&mf);
    }
}

/* --- vectors ---------------------------------------------------------------------- */

/* Scores of pairs are those of their vectors. */
static void check_vectors(struct bench *bench)
{
    struct learner *learner = bench->learner;
    struct batch *batch = &bench->kit->batch;
    uint32_t width = learner_vectors(learner);
    float *user = malloc((size_t)N * width * sizeof *user);
    float *item = malloc((size_t)N * width * sizeof *item);
    float *all = malloc((size_t)N * N * sizeof *all), score[N], pairs[N];

    assert_true(width > 0);
    learner_vectors_of(learner, batch, false, user);
    learner_vectors_of(learner, batch, true, item);
    learner_score_products(learner, user, N, item, N, all);
    learner_score(learner, batch, score);
    for (size_t i = 0; i < N; i++)
        pairs[i] = all[i * N + i];
    expect_close(pairs, score, N);
    free(user);
    free(item);
    free(all);
}

static void test_scores_are_products(void **state)
{
    static const char *const towers[][2] = {
        {"model.layers.u.kind", "rows"},    {"model.layers.u.columns", "user"},
        {"model.layers.who.width", "5"},    {"model.layers.v.kind", "rows"},
        {"model.layers.v.columns", "item"}, {"model.layers.what.inputs", "v"},
        {"model.layers.what.width", "5"},   {"model.output", "who, what"},
    };
    struct bench mf = make_factors("mf", "squared"),
                 graph = {.kit = model_kit_create()};

    (void)state;
    check_vectors(&mf);
    unmake(&mf);
    for (size_t i = 0; i < sizeof towers / sizeof *towers; i++)
        model_set(graph.kit, towers[i][0], towers[i][1]);
    model_block(graph.kit, N);
    model_make(graph.kit, N);
    model_batch(graph.kit, N, false);
    fill_rows(&graph);
    make_learner(&graph, N);
    check_vectors(&graph);
    unmake(&graph);
}

/* The heap is left alone from the second step on. */
static void test_steps_do_not_allocate(void **state)
{
    static const struct shape shape = {"softmax", "tags", "11", true, true};
    struct bench bench = make(&shape, false);
    float *score = malloc((size_t)N * MODEL_TAGS * sizeof *score);
    uint64_t calls;

    (void)state;
    step(&bench);
    learner_score(bench.learner, &bench.kit->batch, score);
    calls = heap_count();
    step(&bench);
    learner_score(bench.learner, &bench.kit->batch, score);
    assert_int_equal(heap_count(), calls);
    free(score);
    unmake(&bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_losses_and_targets),
        cmocka_unit_test(test_norms_see_the_whole_batch),
        cmocka_unit_test(test_slices_add_up),
        cmocka_unit_test(test_values_without_training),
        cmocka_unit_test(test_a_graph_may_be_mf),
        cmocka_unit_test(test_scores_are_products),
        cmocka_unit_test(test_steps_do_not_allocate),
    };

    return cmocka_run_group_tests_name("learner targets", tests, NULL, NULL);
}

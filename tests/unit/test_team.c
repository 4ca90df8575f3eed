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
#include "worker/model/blas.h"
#include "worker/team.h"

enum { CAPACITY = 600, ROWS = 100 };

/* A model, a batch with made-up rows, and what a learner makes of it. */
struct setting {
    struct job *job;
    struct blueprint *blueprint;
    struct batch batch;
    struct learner *learner;
    float *gradient[JOB_TABLES_MAX], *other[JOB_TABLES_MAX];
};

static void set(struct job *job, const char *name, const char *value)
{
    struct err err;

    if (job_set(job, name, value, "the test", &err))
        fail_msg("%s", err.text);
}

/* Rows of two columns, a list and numbers into a dense layer of `width`, and on. */
static struct job *make_job(const char *width, const char *then)
{
    static const char *const lines[][2] = {
        {"data.label", "label"},
        {"data.columns.a.as", "key"},
        {"data.columns.a.table", "key"},
        {"data.columns.b.as", "key"},
        {"data.columns.b.table", "key"},
        {"data.columns.words.as", "keys"},
        {"data.columns.words.table", "word"},
        {"data.columns.x.as", "vector"},
        {"data.columns.x.dim", "3"},
        {"tables.key.dim", "4"},
        {"tables.word.dim", "2"},
        {"model.kind", "graph"},
        {"model.loss", "logistic"},
        {"model.layers.rows.kind", "rows"},
        {"model.layers.rows.columns", "a,b"},
        {"model.layers.flat.kind", "flatten"},
        {"model.layers.flat.inputs", "rows"},
        {"model.layers.words.kind", "bag"},
        {"model.layers.words.columns", "words"},
        {"model.layers.words.length", "3"},
        {"model.layers.x.kind", "numbers"},
        {"model.layers.x.columns", "x"},
        {"model.layers.all.kind", "concat"},
        {"model.layers.all.inputs", "flat,words,x"},
        {"model.layers.deep.activation", "tanh"},
        {"model.layers.deep.inputs", "all"},
    };
    struct job *job = malloc(sizeof *job);
    struct err err;

    job_init(job);
    for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
        set(job, lines[i][0], lines[i][1]);
    set(job, "model.layers.deep.width", width);
    if (then) {
        set(job, "model.layers.then.kind", then);
        set(job, "model.layers.then.inputs", "deep");
    }
    set(job, "model.layers.score.width", "1");
    set(job, "model.layers.score.inputs", then ? "then" : "deep");
    set(job, "train.batch", "600");
    if (blueprint_expand(job, &err))
        fail_msg("%s", err.text);
    return job;
}

static float number(uint64_t stream, uint64_t i)
{
    return (float)(rng_unit(rng_at(1, stream, i)) - 0.5);
}

/* Example i has what example i % period has. */
static void fill(struct setting *s, uint32_t n, uint32_t period)
{
    const struct blueprint *b = s->blueprint;
    struct batch *batch = &s->batch;

    batch->n = n;
    for (uint32_t t = 0; t < batch->tables; t++) {
        batch->set[t].rows = b->whole[t] ? (uint32_t)batch->set[t].dense : ROWS;
        for (size_t i = 0; i < (size_t)batch->set[t].rows * batch->width[t]; i++)
            batch->rows[t][i] = number(t, i);
    }
    for (uint32_t i = 0; i < n; i++)
        batch->label[i] = (float)(i % period % 2);
    for (uint32_t in = 0; in < b->inputs; in++) {
        struct batch_input *input = &batch->input[in];
        uint32_t keys = b->input[in].kind == LAYER_BAG ? 0 : b->input[in].steps;

        for (uint32_t i = 0; i < n * keys; i++)
            input->pos[i] = (uint32_t)rng_below(rng_at(2, in, i % (period * keys)),
                                                ROWS);
        if (b->input[in].kind == LAYER_NUMBERS)
            for (uint32_t i = 0; i < n * b->input[in].width; i++)
                input->number[i] = number(90, i % (period * b->input[in].width));
        if (b->input[in].kind != LAYER_BAG)
            continue;
        input->offset[0] = 0;
        for (uint32_t i = 0; i < n; i++) {
            input->offset[i + 1] = input->offset[i] + i % period % 4;
            for (uint32_t k = input->offset[i]; k < input->offset[i + 1]; k++) {
                input->pos[k] = (i % period * 7 + k - input->offset[i]) % ROWS;
                input->number[k] = 1;
            }
        }
    }
}

static void setting_init(struct setting *s, const char *width, const char *then)
{
    struct err err;

    memset(s, 0, sizeof *s);
    s->job = make_job(width, then);
    assert_int_equal(blueprint_make(s->job, &s->blueprint, &err), 0);
    assert_int_equal(batch_create_for(&s->batch, s->blueprint, 1, CAPACITY, &err), 0);
    assert_int_equal(learner_create(s->blueprint, CAPACITY, true, &s->learner, &err),
                     0);
    learner_set_mean(s->learner, 0.3);
    for (uint32_t t = 0; t < s->batch.tables; t++) {
        size_t floats = blueprint_rows(s->blueprint, (int)t, CAPACITY) *
                        s->batch.width[t];

        s->gradient[t] = malloc(floats * sizeof(float));
        s->other[t] = malloc(floats * sizeof(float));
    }
}

static void setting_release(struct setting *s)
{
    for (uint32_t t = 0; t < s->batch.tables; t++) {
        free(s->gradient[t]);
        free(s->other[t]);
    }
    learner_destroy(s->learner);
    batch_release(&s->batch);
    blueprint_destroy(s->blueprint);
    free(s->job);
}

static struct team *team_of(struct setting *s, uint32_t threads)
{
    struct team *team;
    struct err err;

    assert_int_equal(
        team_create(s->blueprint, CAPACITY, s->learner, threads, &team, &err), 0);
    team_set_mean(team, 0.3);
    return team;
}

static size_t floats_of(const struct setting *s, uint32_t t)
{
    return (size_t)s->batch.set[t].rows * s->batch.width[t];
}

/* Parts come to the same as the whole, whatever its size. */
static void test_parts_are_the_whole(void **state)
{
    const uint32_t n[] = {CAPACITY, 257, 3, 1};
    struct setting s;
    struct team *team;

    (void)state;
    setting_init(&s, "9", NULL);
    team = team_of(&s, 2);
    for (size_t k = 0; k < sizeof n / sizeof n[0]; k++) {
        double alone, together;

        fill(&s, n[k], n[k]);
        alone = learner_step(s.learner, &s.batch, 1, s.gradient);
        together = team_step(team, &s.batch, 1, s.other);
        assert_true(fabs(alone - together) <= 1e-5 * alone);
        for (uint32_t t = 0; t < s.batch.tables; t++)
            for (size_t i = 0; i < floats_of(&s, t); i++)
                assert_true(fabsf(s.gradient[t][i] - s.other[t][i]) <
                            1e-4f * (1 + fabsf(s.gradient[t][i])));
    }
    team_destroy(team);
    setting_release(&s);
}

/* Threads change no bit. */
static void test_any_number_of_threads(void **state)
{
    struct setting s;
    struct team *one, *two;

    (void)state;
    setting_init(&s, "9", "dropout");
    fill(&s, CAPACITY - 1, CAPACITY);
    one = team_of(&s, 1);
    two = team_of(&s, 2);
    assert_true(team_step(one, &s.batch, 5, s.gradient) ==
                team_step(two, &s.batch, 5, s.other));
    for (uint32_t t = 0; t < s.batch.tables; t++)
        assert_memory_equal(s.gradient[t], s.other[t],
                            floats_of(&s, t) * sizeof(float));
    team_destroy(one);
    team_destroy(two);
    setting_release(&s);
}

/* Two halves that are the same lose different numbers by dropout. */
static void test_lanes_do_not_drop_alike(void **state)
{
    struct setting s;
    struct team *team;
    double both, half;

    (void)state;
    setting_init(&s, "9", "dropout");
    fill(&s, CAPACITY, CAPACITY / 2);
    team = team_of(&s, 2);
    both = team_step(team, &s.batch, 5, s.gradient);
    s.batch.n = CAPACITY / 2;
    half = learner_step(s.learner, &s.batch, rng_at(5, 0, 0), s.other);
    assert_true(both > half && both != 2 * half);
    team_destroy(team);
    setting_release(&s);
}

static bool pays(const char *width, const char *then)
{
    struct setting s;
    bool yes;

    setting_init(&s, width, then);
    yes = team_pays(s.blueprint, s.learner);
    setting_release(&s);
    return yes;
}

/* Only for much work that can be cut. */
static void test_where_it_pays(void **state)
{
    (void)state;
    assert_false(pays("9", NULL));
    assert_true(pays("2000", NULL));
    assert_true(pays("2000", "dropout"));
    assert_false(pays("2000", "batch_norm"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_parts_are_the_whole),
        cmocka_unit_test(test_any_number_of_threads),
        cmocka_unit_test(test_lanes_do_not_drop_alike),
        cmocka_unit_test(test_where_it_pays),
    };

    blas_init();
    return cmocka_run_group_tests_name("team", tests, NULL, NULL);
}

#include "launch/scoring.h"

#include <stdlib.h>
#include <string.h>

#include "common/cpu.h"
#include "worker/inputs.h"
#include "worker/learner.h"

enum {
    EXAMPLES = 1024,       /* at a time */
    FLOATS_MAX = 16 << 20, /* of their values */
};

struct scoring {
    const struct trained *trained;
    const struct table *const *table; /* [tables] */
    struct blueprint *blueprint;
    struct learner *learner;
    struct inputs *inputs;
    struct batch batch;
    int layer;       /* of mf: the table whose rows are wanted, or -1 */
    uint32_t output; /* of a graph; 0: the score */
    bool scores;
    uint32_t width, capacity;
    uint32_t *example;    /* [capacity] */
    float *value;         /* [capacity][width] */
    float *row;           /* [width] */
    unsigned char *found; /* [rows of a batch] */
};

/* --- making ----------------------------------------------------------------------- */

/* Matrix factorisation has two layers: its tables. */
static int find_table(struct scoring *s, const char *layer, struct err *err)
{
    const struct job *job = &s->trained->job;

    if (strcmp(layer, job->model.user) && strcmp(layer, job->model.item))
        return err_set(err, ERR_INPUT, "this model has the layers %s and %s",
                       job->model.user, job->model.item);
    s->layer = job_table_index(job, layer);
    return 0;
}

static int find_layer(struct scoring *s, const char *layer, struct err *err)
{
    s->scores = !layer;
    s->layer = -1;
    if (!layer)
        return 0;
    if (!s->trained->is_graph)
        return find_table(s, layer, err);
    return blueprint_watch(s->blueprint, layer, &s->output, err);
}

static uint32_t find_width(const struct scoring *s)
{
    if (s->layer >= 0)
        return s->batch.width[s->layer];
    return s->trained->is_graph ? learner_width(s->learner, s->output) : 1;
}

/* Room for a batch, and all that is the same in all of them. */
static int create_batch(struct scoring *s, struct err *err)
{
    uint64_t rows_max = 0;
    int rc = batch_create_for(&s->batch, s->blueprint, 1, s->capacity, err);

    if (rc)
        return rc;
    s->width = find_width(s);
    if ((uint64_t)s->width * s->capacity > FLOATS_MAX)
        s->capacity = s->width > FLOATS_MAX ? 1 : FLOATS_MAX / s->width;
    for (uint32_t t = 0; t < s->batch.tables; t++)
        if (s->batch.set[t].capacity > rows_max)
            rows_max = s->batch.set[t].capacity;
    s->found = malloc(rows_max + 1);
    s->example = malloc(s->capacity * sizeof *s->example);
    s->value = malloc((size_t)s->capacity * s->width * sizeof *s->value);
    s->row = malloc(s->width * sizeof *s->row);
    if (!s->found || !s->example || !s->value || !s->row)
        return err_set(err, ERR_MEMORY, "no memory for scores");
    for (uint32_t t = 0; t < s->batch.tables; t++) {
        struct keyset *set = &s->batch.set[t];

        if (!s->blueprint->whole[t])
            continue;
        keyset_build_all(set, 1, 1);
        table_copy(s->table[t], set->key, set->rows, s->batch.rows[t], s->found);
    }
    return 0;
}

static int create(struct scoring *s, const char *layer, const struct schema *schema,
                  struct err *err)
{
    enum target_kind target;
    uint32_t tables;
    int rc = blueprint_make(&s->trained->job, &s->blueprint, err);

    s->table = core_tables(s->trained->core, &tables);
    if (rc || find_layer(s, layer, err))
        return -err->code;
    /* Nothing is compared with it here. */
    target = s->blueprint->target;
    s->blueprint->target = TARGET_LABEL;
    s->capacity = blueprint_capacity(s->blueprint);
    if (s->capacity > EXAMPLES)
        s->capacity = EXAMPLES;
    if (learner_create(s->blueprint, s->capacity, false, &s->learner, err) ||
        create_batch(s, err) ||
        inputs_create(s->blueprint, 1, s->capacity, &s->inputs, err))
        return -err->code;
    if (target != TARGET_NUMBERS)
        learner_set_mean(s->learner, s->trained->manifest.data.label_mean);
    return inputs_bind(s->inputs, schema, err);
}

int scoring_create(const struct trained *trained, const char *layer,
                   const struct schema *schema, struct scoring **out, struct err *err)
{
    struct scoring *s = calloc(1, sizeof *s);
    int rc;

    if (!s)
        return err_set(err, ERR_MEMORY, "no memory for a model");
    s->trained = trained;
    rc = create(s, layer, schema, err);
    if (rc) {
        scoring_destroy(s);
        return rc;
    }
    *out = s;
    return 0;
}

void scoring_destroy(struct scoring *s)
{
    if (!s)
        return;
    inputs_destroy(s->inputs);
    batch_release(&s->batch);
    learner_destroy(s->learner);
    blueprint_destroy(s->blueprint);
    free(s->example);
    free(s->value);
    free(s->row);
    free(s->found);
    free(s);
}

uint32_t scoring_width(const struct scoring *s)
{
    return s->width;
}

uint32_t scoring_capacity(const struct scoring *s)
{
    return s->capacity;
}

/* --- running ---------------------------------------------------------------------- */

/* Copies the rows that the batch wants; parameters are there. */
static void fetch_rows(struct scoring *s)
{
    for (uint32_t t = 0; t < s->batch.tables; t++) {
        const struct keyset *set = &s->batch.set[t];

        if (!s->blueprint->whole[t])
            table_copy(s->table[t], set->key, set->rows, s->batch.rows[t], s->found);
    }
}

static float *finish(struct scoring *s, uint32_t n)
{
    s->batch.n = n;
    inputs_build(s->inputs, &s->batch);
    fetch_rows(s);
    if (s->scores && s->width == 1)
        learner_score(s->learner, &s->batch, s->value);
    else if (s->layer < 0)
        learner_values(s->learner, &s->batch, s->output, s->value);
    for (size_t i = 0; s->scores && s->width > 1 && i < (size_t)n * s->width; i++)
        s->value[i] += learner_mean(s->learner);
    for (uint32_t i = 0; s->layer >= 0 && i < n; i++)
        memcpy(s->value + (size_t)i * s->width,
               s->batch.rows[s->layer] +
                   (size_t)s->batch.set[s->layer].pos[i] * s->width,
               s->width * sizeof *s->value);
    return s->value;
}

static void begin(struct scoring *s)
{
    s->batch.n = 0;
    inputs_begin(s->inputs, &s->batch);
}

float *scoring_run(struct scoring *s, const struct block *block, uint32_t first,
                   uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        s->example[i] = first + i;
    begin(s);
    inputs_add(s->inputs, &s->batch, block, s->example, n);
    return finish(s, n);
}

float *scoring_run_mixed(struct scoring *s, const struct block *block, uint32_t number,
                         const struct block *const *other, const uint32_t *other_number,
                         const bool *from_other, uint32_t n)
{
    for (uint32_t i = 0; i < n; i++)
        s->example[i] = number;
    begin(s);
    inputs_add_mixed(s->inputs, &s->batch, block, s->example, other, other_number,
                     from_other, n);
    return finish(s, n);
}

void scoring_link(const struct scoring *s, float *score, uint32_t n)
{
    learner_link(s->learner, score, n);
}

void scoring_predict(const struct scoring *s, float *score, uint32_t n)
{
    if (s->trained->job.model.loss != LOSS_SOFTMAX) {
        scoring_link(s, score, n * s->width);
        return;
    }
    for (uint32_t i = 0; i < n; i++, score += s->width)
        layer_kernels(cpu_level())
            ->softmax(memcpy(s->row, score, s->width * sizeof *score), s->width, score);
}

float scoring_mean(const struct scoring *s)
{
    return learner_mean(s->learner);
}

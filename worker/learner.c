#include "worker/learner.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "worker/model/blas.h"
#include "worker/model/loss.h"

enum { SLICE = 256 }; /* examples that go through a graph at a time, if they may */

struct learner {
    const struct blueprint *blueprint;
    struct mf mf; /* of MODEL_MF */
    /* Of graphs. */
    struct graph *graph;
    const struct layer_kernels *k;
    uint32_t slice;
    bool training, is_product;
    float mean; /* what scores start from */
    struct graph_input input[JOB_LAYERS_MAX], sliced[JOB_LAYERS_MAX];
    const float *parameter[JOB_TABLES_MAX];
    float *parameter_gradient[JOB_TABLES_MAX];
    /* Of a slice's pairs: what the output says, and what it should. */
    float *score, *slope, *weight; /* [slice * classes] */
    float *scratch;                /* [classes] */
};

static bool is_mf(const struct learner *learner)
{
    return learner->blueprint->job->model.kind == MODEL_MF;
}

static bool counts(const struct learner *learner)
{
    return learner->blueprint->job->model.kind == MODEL_POPULARITY;
}

static void set_mf(struct learner *learner)
{
    const struct job *job = learner->blueprint->job;
    int user = learner->blueprint->input[0].table;

    learner->mf = (struct mf){
        .dim = (uint32_t)job->table[user].dim,
        .width = job_row_width(job, user),
        .bias = job->model.bias,
        .loss = job->model.loss,
    };
}

static int create_pairs(struct learner *learner, struct err *err)
{
    size_t classes = learner->blueprint->classes, room = learner->slice * classes;

    learner->score = malloc(room * sizeof(float));
    learner->slope = malloc(room * sizeof(float));
    learner->weight = malloc(room * sizeof(float));
    learner->scratch = malloc(classes * sizeof(float));
    if (learner->score && learner->slope && learner->weight && learner->scratch)
        return 0;
    return err_set(err, ERR_MEMORY, "no memory for scores");
}

static int create_graph(struct learner *learner, uint32_t capacity, struct err *err)
{
    uint32_t slice = capacity < SLICE ? capacity : SLICE;
    int rc = blueprint_graph(learner->blueprint, slice, learner->training,
                             &learner->graph, err);

#ifndef MUTANT_LEARNER_SLICES
    if (rc == 0 && learner->training && slice < capacity &&
        !graph_may_slice(learner->graph)) {
        graph_destroy(learner->graph);
        learner->graph = NULL;
        slice = capacity;
        rc = blueprint_graph(learner->blueprint, slice, true, &learner->graph, err);
    }
#endif
    if (rc)
        return rc;
    learner->slice = slice;
    learner->is_product = blueprint_is_product(learner->blueprint);
    return create_pairs(learner, err);
}

int learner_create(const struct blueprint *blueprint, uint32_t capacity, bool training,
                   struct learner **out, struct err *err)
{
    struct learner *learner = calloc(1, sizeof *learner);
    int rc = 0;

    if (!learner)
        return err_set(err, ERR_MEMORY, "no memory for a model");
    learner->blueprint = blueprint;
    learner->training = training;
    learner->k = layer_kernels(cpu_level());
    if (is_mf(learner))
        set_mf(learner);
    else
        rc = create_graph(learner, capacity, err);
    if (rc) {
        learner_destroy(learner);
        return rc;
    }
    *out = learner;
    return 0;
}

void learner_destroy(struct learner *learner)
{
    if (!learner)
        return;
    graph_destroy(learner->graph);
    free(learner->score);
    free(learner->slope);
    free(learner->weight);
    free(learner->scratch);
    free(learner);
}

void learner_set_mean(struct learner *learner, double label_mean)
{
    int loss = learner->blueprint->job->model.loss;
    struct mf start = {.loss = loss};

    mf_set_mean(&start, label_mean);
    if (is_mf(learner))
        learner->mf.mean = start.mean;
    else if (counts(learner))
        learner->mean = 0;
    else if ((loss == LOSS_SQUARED || loss == LOSS_LOGISTIC || loss == LOSS_ABSOLUTE ||
              loss == LOSS_HUBER) &&
             learner->blueprint->target != TARGET_NUMBERS)
        learner->mean = start.mean;
}

float learner_mean(const struct learner *learner)
{
    return is_mf(learner) ? learner->mf.mean : learner->mean;
}

const struct mf *learner_mf(const struct learner *learner)
{
    return is_mf(learner) ? &learner->mf : NULL;
}

uint64_t learner_work(const struct learner *learner)
{
    uint64_t work = 0;

    if (is_mf(learner) || !graph_may_slice(learner->graph) ||
        learner->blueprint->job->model.loss > LOSS_SQUARED_HINGE)
        return 0;
    for (uint32_t i = 0; i < graph_layers(learner->graph); i++)
        work += graph_info(learner->graph, i).multiply_adds;
    return work;
}

/* --- matrix factorisation --------------------------------------------------------- */

static struct mf_batch mf_batch_of(const struct learner *learner,
                                   const struct batch *batch)
{
    const struct blueprint_input *input = learner->blueprint->input;

    return (struct mf_batch){
        .n = batch->n,
        .user_pos = batch->set[input[0].table].pos,
        .item_pos = batch->set[input[1].table].pos,
        .label = batch->label,
        .user = batch->rows[input[0].table],
        .item = batch->rows[input[1].table],
        .weight = batch->weighted ? batch->weight : NULL,
    };
}

/* --- graphs ----------------------------------------------------------------------- */

/* The whole batch as a graph takes it; it is gone through slice by slice. */
static struct graph_batch graph_batch_of(struct learner *learner,
                                         const struct batch *batch, uint64_t seed,
                                         float *const *gradient)
{
    const struct blueprint *b = learner->blueprint;

    for (uint32_t i = 0; i < b->inputs; i++) {
        const struct blueprint_input *in = &b->input[i];
        const struct batch_input *from = &batch->input[in->same];
        bool numbers = in->kind == LAYER_NUMBERS;

        learner->input[i] = (struct graph_input){
            .value = numbers ? from->number : batch->rows[in->table],
            .gradient = numbers || !gradient ? NULL : gradient[in->table],
            .stride = numbers ? 0 : batch->width[in->table],
            .pos = from->pos,
            .offset = from->offset,
            .weight = numbers ? NULL : from->number,
        };
    }
    for (uint32_t p = 0; p < b->parameters; p++) {
        learner->parameter[p] = batch->rows[b->parameter_table[p]];
        if (gradient)
            learner->parameter_gradient[p] = gradient[b->parameter_table[p]];
    }
    return (struct graph_batch){
        .n = batch->n,
        .seed = seed,
        .input = learner->input,
        .parameter = learner->parameter,
        .gradient = gradient ? learner->parameter_gradient : NULL,
    };
}

/* Outputs and what they are compared with, one by one. */
struct pairs {
    uint64_t n;
    const float *label;
};

static struct pairs pairs_of(const struct learner *learner, const struct batch *batch,
                             uint32_t first, uint32_t n)
{
    const struct blueprint *b = learner->blueprint;
    const uint32_t *offset = batch->target_offset;

    if (b->target == TARGET_LABEL)
        return (struct pairs){n, batch->label + first};
    if (b->target == TARGET_NUMBERS)
        return (struct pairs){(uint64_t)n * b->classes,
                              batch->input[b->target_input].number +
                                  (size_t)first * b->classes};
    return (struct pairs){offset[first + n] - offset[first],
                          batch->target_value + offset[first]};
}

/* The weights of a slice's pairs, NULL = all 1: each has its example's. */
static const float *weights_of(struct learner *learner, const struct batch *batch,
                               const struct graph_batch *slice)
{
    const struct blueprint *b = learner->blueprint;
    const uint32_t *offset = batch->target_offset;
    const float *weight = batch->weight + slice->first;
    uint32_t at = 0;

    if (!batch->weighted || b->target == TARGET_LABEL)
        return batch->weighted ? weight : NULL;
    for (uint32_t i = 0; i < slice->n; i++) {
        uint32_t own = b->target == TARGET_NUMBERS
                           ? b->classes
                           : offset[slice->first + i + 1] - offset[slice->first + i];

        for (uint32_t k = 0; k < own; k++)
            learner->weight[at++] = weight[i];
    }
    return learner->weight;
}

/* The outputs of a slice's pairs. */
static void read_scores(const struct learner *learner, const struct batch *batch,
                        const struct graph_batch *slice, uint64_t pairs, float *score)
{
    const float *value = graph_value(learner->graph, slice, 0);
    uint32_t classes = learner->blueprint->classes;
    const uint32_t *offset = batch->target_offset;

    for (uint64_t i = 0; i < pairs; i++)
        score[i] = learner->mean;
    if (learner->blueprint->target == TARGET_LABEL ||
        learner->blueprint->target == TARGET_NUMBERS) {
        learner->k->add(value, pairs, score);
        return;
    }
    for (uint32_t i = slice->first; i < slice->first + slice->n; i++, value += classes)
        for (uint32_t t = offset[i]; t < offset[i + 1]; t++)
            *score++ += value[batch->target[t]];
}

/* Slopes of the pairs' losses to the outputs' gradients. */
static void write_slopes(struct learner *learner, const struct batch *batch,
                         const struct graph_batch *slice, uint64_t pairs)
{
    float *gradient = graph_gradient(learner->graph, 0);
    uint32_t classes = learner->blueprint->classes;
    const uint32_t *offset = batch->target_offset;
    const float *slope = learner->slope;

    if (learner->blueprint->target == TARGET_LABEL ||
        learner->blueprint->target == TARGET_NUMBERS) {
        learner->k->add(slope, pairs, gradient);
        return;
    }
    for (uint32_t i = slice->first; i < slice->first + slice->n;
         i++, gradient += classes)
        for (uint32_t t = offset[i]; t < offset[i + 1]; t++)
            gradient[batch->target[t]] += *slope++;
}

static double loss_of(const struct learner *learner, const struct pairs *pairs,
                      const float *weight)
{
    const struct job *job = learner->blueprint->job;
    const float *score = learner->score, *label = pairs->label;
    float *slope = learner->slope;
    uint32_t n = (uint32_t)pairs->n; /* of a slice */

    memset(slope, 0, n * sizeof *slope);
    if (counts(learner)) { /* what is added to the row, which has no loss */
        for (uint32_t i = 0; i < n; i++)
            slope[i] = weight ? weight[i] : 1;
        return 0;
    }
    switch (job->model.loss) {
    case LOSS_LOGISTIC:
        return loss_logistic(score, label, weight, n, slope);
    case LOSS_ABSOLUTE:
        return loss_absolute(score, label, weight, n, slope);
    case LOSS_HUBER:
        return loss_huber(score, label, weight, n, (float)job->model.delta, slope);
    case LOSS_HINGE:
        return loss_hinge(score, label, weight, n, slope);
    case LOSS_SQUARED_HINGE:
        return loss_squared_hinge(score, label, weight, n, slope);
    default:
        return loss_squared(score, label, weight, n, slope);
    }
}

/* Softmax over all classes, which does without pairs. */
static double softmax_slice(struct learner *learner, const struct batch *batch,
                            const struct graph_batch *slice)
{
    return loss_multinomial(learner->k, graph_value(learner->graph, slice, 0),
                            batch->target_offset + slice->first, batch->target,
                            batch->target_value,
                            batch->weighted ? batch->weight + slice->first : NULL,
                            slice->n, learner->blueprint->classes, learner->scratch,
                            graph_gradient(learner->graph, 0));
}

/* Examples of the batch from `first` on go forward, as many as a slice has. */
static struct graph_batch forward(struct learner *learner,
                                  const struct graph_batch *whole, uint32_t first,
                                  bool training)
{
    uint32_t n = whole->n - first < learner->slice ? whole->n - first : learner->slice;
    struct graph_batch slice = graph_slice(learner->graph, whole, first, n,
                                           learner->sliced);

    graph_forward(learner->graph, &slice, training);
    return slice;
}

static double step_slice(struct learner *learner, const struct batch *batch,
                         const struct graph_batch *slice)
{
    struct pairs pairs;
    double loss;

    if (learner->blueprint->job->model.loss == LOSS_SOFTMAX)
        return softmax_slice(learner, batch, slice);
    pairs = pairs_of(learner, batch, slice->first, slice->n);
    read_scores(learner, batch, slice, pairs.n, learner->score);
    loss = loss_of(learner, &pairs, weights_of(learner, batch, slice));
    write_slopes(learner, batch, slice, pairs.n);
    return loss;
}

static double step_graph(struct learner *learner, const struct batch *batch,
                         uint64_t seed, float *const *gradient)
{
    struct graph_batch whole = graph_batch_of(learner, batch, seed, gradient);
    double loss = 0;

    for (uint32_t first = 0; first < batch->n; first += learner->slice) {
        struct graph_batch slice = forward(learner, &whole, first, true);

        loss += step_slice(learner, batch, &slice);
        graph_backward(learner->graph, &slice);
    }
    return loss;
}

uint32_t learner_width(const struct learner *learner, uint32_t output)
{
    return graph_output_width(learner->graph, output);
}

void learner_values(struct learner *learner, const struct batch *batch, uint32_t output,
                    float *value)
{
    struct graph_batch whole = graph_batch_of(learner, batch, 0, NULL);
    size_t width = learner_width(learner, output);

    for (uint32_t first = 0; first < batch->n; first += learner->slice) {
        struct graph_batch slice = forward(learner, &whole, first, false);

        memcpy(value + first * width, graph_value(learner->graph, &slice, output),
               slice.n * width * sizeof *value);
    }
}

/* --- either ----------------------------------------------------------------------- */

double learner_step(struct learner *learner, const struct batch *batch, uint64_t seed,
                    float *const *gradient)
{
    const struct blueprint_input *input = learner->blueprint->input;
    struct mf_batch model;

    for (uint32_t t = 0; t < batch->tables; t++)
        memset(gradient[t], 0,
               (size_t)batch->set[t].rows * batch->width[t] * sizeof(float));
    if (!is_mf(learner))
        return step_graph(learner, batch, seed, gradient);
    model = mf_batch_of(learner, batch);
    return mf_forward_backward(&learner->mf, &model, gradient[input[0].table],
                               gradient[input[1].table]);
}

void learner_score(struct learner *learner, const struct batch *batch, float *score)
{
    struct graph_batch whole;
    struct mf_batch model;

    if (is_mf(learner)) {
        model = mf_batch_of(learner, batch);
        mf_predict_linear(&learner->mf, &model, score);
        return;
    }
    whole = graph_batch_of(learner, batch, 0, NULL);
    for (uint32_t first = 0; first < batch->n; first += learner->slice) {
        struct graph_batch slice = forward(learner, &whole, first, false);
        uint64_t pairs = pairs_of(learner, batch, first, slice.n).n;

        read_scores(learner, batch, &slice, pairs, score);
        score += pairs;
    }
}

uint64_t learner_labels(struct learner *learner, const struct batch *batch,
                        const float **label)
{
    struct pairs pairs = pairs_of(learner, batch, 0, batch->n);

    *label = pairs.label;
    return pairs.n;
}

void learner_link(const struct learner *learner, float *score, uint32_t n)
{
    struct mf link = {.loss = learner->blueprint->job->model.loss};

    mf_link(&link, score, n);
}

/* --- vectors ---------------------------------------------------------------------- */

uint32_t learner_vectors(const struct learner *learner)
{
    if (is_mf(learner))
        return learner->mf.width;
    return learner->is_product ? graph_output_width(learner->graph, 1) : 0;
}

void learner_vectors_of(struct learner *learner, const struct batch *batch, bool items,
                        float *vector)
{
    const struct blueprint_input *side = &learner->blueprint->input[items];
    size_t width = learner_vectors(learner);

    if (!is_mf(learner)) {
        learner_values(learner, batch, items ? 2 : 1, vector);
        return;
    }
    for (uint32_t i = 0; i < batch->n; i++)
        memcpy(vector + i * width,
               batch->rows[side->table] + batch->set[side->table].pos[i] * width,
               width * sizeof *vector);
}

void learner_score_products(const struct learner *learner, const float *user,
                            uint32_t users, const float *item, uint32_t items,
                            float *score)
{
    uint32_t width = learner_vectors(learner);
    struct blas_rows u = {user, users, width}, v = {item, items, width};

    if (is_mf(learner)) {
        mf_score_users(&learner->mf, user, users, item, items, score);
        return;
    }
    for (size_t i = 0; i < (size_t)users * items; i++)
        score[i] = learner->mean;
    blas_add_products(u, v, width, score, items);
}

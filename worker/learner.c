#include "worker/learner.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "worker/group_loss.h"
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
    struct group_loss group_loss;  /* in training, of jobs that rank */
    float *tower[4]; /* of mf in a batch: users', items', and the slopes of both */
};

static bool is_mf(const struct learner *learner)
{
    return learner->blueprint->job->model.kind == MODEL_MF;
}

/* Is an example set against the others of its batch? */
static bool is_in_batch(const struct learner *learner)
{
    return learner->group_loss.in_batch;
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

/* Matrix factorisation with a loss that its kernels do not have. */
static int create_ranking_mf(struct learner *learner, uint32_t capacity,
                             struct err *err)
{
    learner->slice = capacity;
    for (int i = 0; is_in_batch(learner) && i < 4; i++) {
        learner->tower[i] = malloc((size_t)capacity * learner->mf.width *
                                   sizeof(float));
        if (!learner->tower[i])
            return err_set(err, ERR_MEMORY, "no memory for the rows of %u examples",
                           capacity);
    }
    return create_pairs(learner, err);
}

/* Whole groups that go through a graph at a time. */
static uint32_t slice_of(const struct learner *learner, uint32_t capacity)
{
    uint32_t group = learner->training ? learner->blueprint->group : 1;
    uint32_t slice = group < SLICE ? SLICE / group * group : group;

    return slice < capacity && !is_in_batch(learner) ? slice : capacity;
}

static int create_graph(struct learner *learner, uint32_t capacity, struct err *err)
{
    uint32_t slice = slice_of(learner, capacity);
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
    if (training && job_ranks(blueprint->job))
        rc = group_loss_init(&learner->group_loss, blueprint->job, capacity, err);
    if (is_mf(learner))
        set_mf(learner);
    if (rc == 0 && !is_mf(learner))
        rc = create_graph(learner, capacity, err);
    else if (rc == 0 && learner->group_loss.k)
        rc = create_ranking_mf(learner, capacity, err);
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
    group_loss_release(&learner->group_loss);
    for (int i = 0; i < 4; i++)
        free(learner->tower[i]);
    free(learner);
}

void learner_set_mean(struct learner *learner, double label_mean)
{
    int loss = learner->blueprint->job->model.loss;
    struct mf start = {.loss = loss};

    if (job_ranks(learner->blueprint->job))
        return;
    /* Negatives have the label 0. */
    mf_set_mean(&start, label_mean / learner->blueprint->group);
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

/* Losses of whole groups, whose scores are there. */
static double loss_of_groups(struct learner *learner, const struct batch *batch,
                             uint32_t first, uint32_t n)
{
    memset(learner->slope, 0, n * sizeof *learner->slope);
    return group_loss(&learner->group_loss, batch, first, n, learner->score,
                      learner->slope);
}

/* Rows of the examples one after another. A user's bias does not matter among items: in
 * its place stands the 1 by which an item's counts. */
static struct towers towers_of(struct learner *learner, const struct mf_batch *model)
{
    uint32_t width = learner->mf.width;
    float *const *tower = learner->tower;

    for (uint32_t i = 0; i < model->n; i++) {
        float *user = tower[0] + (size_t)i * width;

        memcpy(user, model->user + (size_t)model->user_pos[i] * width,
               width * sizeof *user);
        memcpy(tower[1] + (size_t)i * width,
               model->item + (size_t)model->item_pos[i] * width, width * sizeof *user);
        if (learner->mf.bias)
            user[learner->mf.dim] = 1;
    }
    for (int t = 2; t < 4; t++)
        memset(tower[t], 0, (size_t)model->n * width * sizeof(float));
    return (struct towers){tower[0], tower[1], tower[2], tower[3], width};
}

static double step_mf_in_batch(struct learner *learner, const struct batch *batch,
                               const struct mf_batch *model, float *user_gradient,
                               float *item_gradient)
{
    uint32_t width = learner->mf.width;
    struct towers towers = towers_of(learner, model);
    double loss = group_loss_in_batch(&learner->group_loss, batch, &towers);

    for (uint32_t i = 0; i < model->n; i++) {
        learner->k->add(towers.user_slope + (size_t)i * width, learner->mf.dim,
                        user_gradient + (size_t)model->user_pos[i] * width);
        learner->k->add(towers.item_slope + (size_t)i * width, width,
                        item_gradient + (size_t)model->item_pos[i] * width);
    }
    return loss;
}

static double step_mf(struct learner *learner, const struct batch *batch,
                      float *user_gradient, float *item_gradient)
{
    struct mf_batch model = mf_batch_of(learner, batch);
    double loss;

    if (!learner->group_loss.k)
        return mf_forward_backward(&learner->mf, &model, user_gradient, item_gradient);
    if (is_in_batch(learner))
        return step_mf_in_batch(learner, batch, &model, user_gradient, item_gradient);
    mf_predict_linear(&learner->mf, &model, learner->score);
    loss = loss_of_groups(learner, batch, 0, model.n);
    mf_backward(&learner->mf, &model, learner->slope, user_gradient, item_gradient);
    return loss;
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

/* Of a whole batch: what is backward of its own score is zeros. */
static double towers_of_graph(struct learner *learner, const struct batch *batch,
                              const struct graph_batch *slice)
{
    struct graph *graph = learner->graph;
    struct towers towers = {graph_value(graph, slice, 1), graph_value(graph, slice, 2),
                            graph_gradient(graph, 1), graph_gradient(graph, 2),
                            graph_output_width(graph, 1)};

    return group_loss_in_batch(&learner->group_loss, batch, &towers);
}

static double step_slice(struct learner *learner, const struct batch *batch,
                         const struct graph_batch *slice)
{
    struct pairs pairs;
    double loss;

    if (learner->blueprint->job->model.loss == LOSS_SOFTMAX)
        return softmax_slice(learner, batch, slice);
    if (is_in_batch(learner))
        return towers_of_graph(learner, batch, slice);
    pairs = pairs_of(learner, batch, slice->first, slice->n);
    read_scores(learner, batch, slice, pairs.n, learner->score);
    if (learner->group_loss.k)
        loss = loss_of_groups(learner, batch, slice->first, slice->n);
    else
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

    for (uint32_t t = 0; t < batch->tables; t++)
        memset(gradient[t], 0,
               (size_t)batch->set[t].rows * batch->width[t] * sizeof(float));
    if (!is_mf(learner))
        return step_graph(learner, batch, seed, gradient);
    return step_mf(learner, batch, gradient[input[0].table], gradient[input[1].table]);
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

/* layers_share [ROUNDS [SLICE]]: forward and backward of dense networks as graphs, in
 * slices of so many examples (256), beside nothing but the matrix products of the whole
 * batch, in turns on one thread. Prints for each the medians of both and their ratio.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cblas.h>

#include "common/clock.h"
#include "worker/model/blas.h"
#include "worker/model/graph.h"
#include "worker/model/loss.h"

enum { ROUNDS_MAX = 1000, LAYERS = 3, FIELDS = 10 };

struct share_case {
    const char *name;
    uint32_t examples, in, width;
    bool fm; /* the input is FIELDS rows, which also go through an FM, as in DeepFM */
};

struct network {
    const struct share_case *c;
    struct graph *graph;
    struct graph_input input;
    struct graph_batch batch;
    float *parameter[LAYERS + 1], *gradient[LAYERS + 1], *label;
    uint32_t *pos, slice;
};

static float *numbers(size_t n)
{
    float *x = aligned_alloc(64, (n * sizeof *x + 63) / 64 * 64);

    if (!x) {
        fprintf(stderr, "layers_share: no memory\n");
        exit(1);
    }
    for (size_t i = 0; i < n; i++)
        x[i] = (float)(rng_unit(rng_at(1, n, i)) - 0.5) / 10;
    return x;
}

static void network_init(struct network *net, const struct share_case *c,
                         uint32_t slice)
{
    uint32_t steps = c->fm ? FIELDS : 1;
    const struct graph_layer layer[] = {
        {.name = "rows", .kind = LAYER_ROWS, .steps = steps, .width = c->in / steps},
        {.name = "flat", .kind = LAYER_FLATTEN, .input = {"rows"}},
        {.name = "1",
         .kind = LAYER_DENSE,
         .width = c->width,
         .activation = ACTIVATION_RELU,
         .input = {"flat"}},
        {.name = "2",
         .kind = LAYER_DENSE,
         .width = c->width,
         .activation = ACTIVATION_RELU,
         .input = {"1"}},
        {.name = "3",
         .kind = LAYER_DENSE,
         .width = c->width,
         .activation = ACTIVATION_RELU,
         .input = {"2"}},
        {.name = "top", .kind = LAYER_DENSE, .width = 1, .input = {"3"}},
        {.name = "fm", .kind = LAYER_FM, .input = {"rows"}},
        {.name = "score", .kind = LAYER_ADD, .input = {"top", "fm"}},
    };
    const char *output = c->fm ? "score" : "top";
    size_t rows = (size_t)c->examples * steps;
    struct err err;

    memset(net, 0, sizeof *net);
    net->c = c;
    net->slice = slice < c->examples ? slice : c->examples;
    if (graph_create(&net->graph, layer, c->fm ? 8 : 6, &output, 1, net->slice, true,
                     &err)) {
        fprintf(stderr, "layers_share: %s\n", err.text);
        exit(1);
    }
    for (uint32_t p = 0; p <= LAYERS; p++) {
        const struct graph_parameter *of = graph_parameter(net->graph, p);

        net->parameter[p] = numbers((size_t)of->rows * of->columns);
        net->gradient[p] = numbers((size_t)of->rows * of->columns);
    }
    net->label = numbers(c->examples);
    net->pos = (uint32_t *)numbers(rows);
    for (size_t i = 0; i < rows; i++) /* a row is used by eight examples */
        net->pos[i] = (uint32_t)rng_below(rng_at(2, 0, i), rows / 8);
    net->input = (struct graph_input){.value = numbers((size_t)c->examples * c->in),
                                      .gradient = numbers((size_t)c->examples * c->in),
                                      .stride = c->in / steps,
                                      .pos = net->pos};
    net->batch = (struct graph_batch){.n = c->examples,
                                      .input = &net->input,
                                      .parameter = (const float *const *)net->parameter,
                                      .gradient = net->gradient};
}

static double run_network(struct network *net)
{
    double begun = clock_seconds();

    for (uint32_t first = 0; first < net->c->examples; first += net->slice) {
        struct graph_input input;
        struct graph_batch slice = graph_slice(net->graph, &net->batch, first,
                                               net->slice, &input);

        graph_forward(net->graph, &slice, true);
        loss_logistic(graph_value(net->graph, &slice, 0), net->label + first, NULL,
                      net->slice, graph_gradient(net->graph, 0));
        graph_backward(net->graph, &slice);
    }
    return clock_seconds() - begun;
}

/* The three products of each layer, of matrices that are all there. */
static double run_products(const struct share_case *c, const float *x, const float *w,
                           float *y, float *dw)
{
    double begun = clock_seconds();

    for (int l = 0; l < LAYERS; l++) {
        int n = (int)c->examples, in = (int)(l == 0 ? c->in : c->width);
        int out = (int)c->width;

        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, out, in, 1, x, in, w,
                    out, 0, y, out);
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, in, out, 1, x, out, w,
                    out, 0, y, in);
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, in, out, n, 1, x, in, y,
                    out, 0, dw, out);
    }
    return clock_seconds() - begun;
}

static int by_time(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static void measure(const struct share_case *c, int rounds, uint32_t slice)
{
    static double network[ROUNDS_MAX], products[ROUNDS_MAX];
    size_t values = (size_t)c->examples * c->width, weights = (size_t)c->width;
    float *x = numbers(values), *y = numbers(values);
    float *w = numbers(weights * weights), *dw = numbers(weights * weights);
    struct network net;

    network_init(&net, c, slice);
    for (int i = 0; i < rounds; i++) {
        network[i] = run_network(&net);
        products[i] = run_products(c, x, w, y, dw);
    }
    qsort(network, (size_t)rounds, sizeof *network, by_time);
    qsort(products, (size_t)rounds, sizeof *products, by_time);
    printf("%-8s batch %5u: %7.2f ms, products alone %7.2f ms, share %.2f, %.0f "
           "examples/s\n",
           c->name, c->examples, 1e3 * network[rounds / 2], 1e3 * products[rounds / 2],
           products[rounds / 2] / network[rounds / 2],
           c->examples / network[rounds / 2]);
}

/* Memory is left to the end of the process. */
int main(int argc, char **argv)
{
    static const struct share_case cases[] = {{"mlp", 4096, 400, 400, false},
                                              {"mlp", 256, 400, 400, false},
                                              {"deepfm", 4096, 100, 400, true},
                                              {"deepfm", 256, 100, 400, true}};
    int rounds = argc > 1 ? atoi(argv[1]) : 15, slice = argc > 2 ? atoi(argv[2]) : 256;

    if (rounds < 1 || rounds > ROUNDS_MAX) {
        fprintf(stderr, "layers_share: ROUNDS must be 1 to %d\n", ROUNDS_MAX);
        return 2;
    }
    if (slice < 1 || 4096 % slice) {
        fprintf(stderr, "layers_share: SLICE must divide 4096\n");
        return 2;
    }
    blas_init();
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        measure(&cases[i], rounds, (uint32_t)slice);
    return 0;
}

/* Layers of a graph that only combine what others give: for each its shape, then its
 * computation. */
#include <string.h>

#include "worker/model/graph_node.h"

static int misfit(const struct graph *graph, const struct node *node, uint32_t i,
                  const char *wanted, struct err *err)
{
    struct shape a = node_shape_in(graph, node, 0), b = node_shape_in(graph, node, i);

    return err_set(err, ERR_INPUT,
                   "layer '%s' (%s) takes inputs of %s, but '%s' is %u x %u and '%s' "
                   "is %u x %u",
                   node->name, layer_kind_name(node->layer.kind), wanted,
                   node_source(graph, node, 0)->name, a.steps, a.width,
                   node_source(graph, node, i)->name, b.steps, b.width);
}

int node_check_equal(const struct graph *graph, const struct node *node,
                     struct err *err)
{
    struct shape first = node_shape_in(graph, node, 0);

    for (uint32_t i = 1; i < node->inputs; i++) {
        struct shape shape = node_shape_in(graph, node, i);

        if (shape.steps != first.steps || shape.width != first.width)
            return misfit(graph, node, i, "equal shapes", err);
    }
    return 0;
}

static int check_steps(const struct graph *graph, const struct node *node,
                       struct err *err)
{
    struct shape in = node_shape_in(graph, node, 0);

    if (in.steps >= 2)
        return 0;
    return err_set(err, ERR_INPUT,
                   "layer '%s' (%s) takes two or more steps of one width, but '%s' "
                   "is %u x %u; layers of kind stack or rows have steps",
                   node->name, layer_kind_name(node->layer.kind),
                   node_source(graph, node, 0)->name, in.steps, in.width);
}

int node_compile_same(struct graph *graph, struct node *node, struct err *err)
{
    (void)err;
    node->shape = node_shape_in(graph, node, 0);
    node->multiply_adds = node_floats(node);
    return 0;
}

/* --- concat, stack, flatten ------------------------------------------------------ */

/* Rows that nobody else reads are brought to where they will stand: no copies. */
static void host_rows(struct graph *graph, struct node *node, uint32_t i,
                      uint32_t place)
{
    struct node *rows = &graph->node[node->input[i]];

    if (rows->layer.kind != LAYER_ROWS || rows->readers > 1 || rows->is_output)
        return;
    rows->host = (uint32_t)(node - graph->node);
    rows->place = place;
    if (node->born > node->input[i])
        node->born = node->input[i];
}

static int compile_concat(struct graph *graph, struct node *node, struct err *err)
{
    struct shape first = node_shape_in(graph, node, 0);

    node->shape.steps = first.steps;
    for (uint32_t i = 0; i < node->inputs; i++) {
        if (node_shape_in(graph, node, i).steps != first.steps)
            return misfit(graph, node, i, "equally many steps", err);
        host_rows(graph, node, i, node->shape.width);
        node->shape.width += node_shape_in(graph, node, i).width;
    }
    return 0;
}

static int compile_stack(struct graph *graph, struct node *node, struct err *err)
{
    struct shape first = node_shape_in(graph, node, 0);

    node->shape.width = first.width;
    for (uint32_t i = 0; i < node->inputs; i++) {
        if (node_shape_in(graph, node, i).width != first.width)
            return misfit(graph, node, i, "one width", err);
        host_rows(graph, node, i, node_floats(node));
        node->shape.steps += node_shape_in(graph, node, i).steps;
    }
    return 0;
}

static int compile_flatten(struct graph *graph, struct node *node, struct err *err)
{
    (void)err;
    node->shape = (struct shape){1, node_floats(node_source(graph, node, 0))};
    node->root = node_source(graph, node, 0)->root;
    node->tolerates = TOLERATES_NOTHING; /* others may look at the same */
    return 0;
}

/* Inputs as blocks of columns: a stack's are side by side as soon as an example is
 * taken for one row. */
struct columns {
    uint32_t rows, stride;
};

static struct columns columns_of(const struct node *node,
                                 const struct graph_batch *batch)
{
    if (node->layer.kind == LAYER_STACK)
        return (struct columns){batch->n, node_floats(node)};
    return (struct columns){node_batch_rows(node, batch), node->shape.width};
}

static uint32_t columns_in(const struct graph *graph, const struct node *node,
                           uint32_t i)
{
    return node->layer.kind == LAYER_STACK ? node_floats(node_source(graph, node, i))
                                           : node_shape_in(graph, node, i).width;
}

static void run_concat(const struct graph *graph, const struct node *node,
                       const struct graph_batch *batch, bool training)
{
    struct columns c = columns_of(node, batch);
    float *y = node_own_value(graph, node);

    (void)training;
    for (uint32_t i = 0; i < node->inputs; i++) {
        uint32_t width = columns_in(graph, node, i);

        if (node_source(graph, node, i)->host == NODE_NONE)
            graph->k->place(node_value_in(graph, node, batch, i), c.rows, width, y,
                            c.stride);
        y += width;
    }
}

static void back_concat(const struct graph *graph, const struct node *node,
                        const struct graph_batch *batch)
{
    struct columns c = columns_of(node, batch);
    const float *dy = node_gradient(graph, node);

    for (uint32_t i = 0; i < node->inputs; i++) {
        float *dx = node_gradient_in(graph, node, i);
        uint32_t width = columns_in(graph, node, i);

        if (dx)
            graph->k->add_placed(dy, c.rows, width, c.stride, dx);
        dy += width;
    }
}

/* --- add, multiply, dot ---------------------------------------------------------- */

static int compile_add(struct graph *graph, struct node *node, struct err *err)
{
    int rc = node_check_equal(graph, node, err);

    return rc ? rc : node_compile_same(graph, node, err);
}

static void run_add(const struct graph *graph, const struct node *node,
                    const struct graph_batch *batch, bool training)
{
    float *y = node_own_value(graph, node);
    size_t n = node_batch_floats(node, batch);

    (void)training;
    memcpy(y, node_value_in(graph, node, batch, 0), n * sizeof *y);
    for (uint32_t i = 1; i < node->inputs; i++)
        graph->k->add(node_value_in(graph, node, batch, i), n, y);
}

static void back_add(const struct graph *graph, const struct node *node,
                     const struct graph_batch *batch)
{
    for (uint32_t i = 0; i < node->inputs; i++) {
        float *dx = node_gradient_in(graph, node, i);

        if (dx)
            graph->k->add(node_gradient(graph, node), node_batch_floats(node, batch),
                          dx);
    }
}

static void run_multiply(const struct graph *graph, const struct node *node,
                         const struct graph_batch *batch, bool training)
{
    (void)training;
    graph->k->product(node_value_in(graph, node, batch, 0),
                      node_value_in(graph, node, batch, 1),
                      node_batch_floats(node, batch), node_own_value(graph, node));
}

static void back_multiply(const struct graph *graph, const struct node *node,
                          const struct graph_batch *batch)
{
    for (uint32_t i = 0; i < 2; i++) {
        float *dx = node_gradient_in(graph, node, i);

        if (dx)
            graph->k->add_product(node_gradient(graph, node),
                                  node_value_in(graph, node, batch, 1 - i),
                                  node_batch_floats(node, batch), dx);
    }
}

static int compile_dot(struct graph *graph, struct node *node, struct err *err)
{
    node->shape = (struct shape){node_shape_in(graph, node, 0).steps, 1};
    node->multiply_adds = node_floats(node_source(graph, node, 0));
    return node_check_equal(graph, node, err);
}

static void run_dot(const struct graph *graph, const struct node *node,
                    const struct graph_batch *batch, bool training)
{
    (void)training;
    graph->k->dot_forward(
        node_value_in(graph, node, batch, 0), node_value_in(graph, node, batch, 1),
        node_batch_rows(node, batch), node_shape_in(graph, node, 0).width,
        node_own_value(graph, node));
}

static void back_dot(const struct graph *graph, const struct node *node,
                     const struct graph_batch *batch)
{
    for (uint32_t i = 0; i < 2; i++) {
        float *dx = node_gradient_in(graph, node, i);

        if (dx)
            graph->k->dot_backward(
                node_value_in(graph, node, batch, 1 - i), node_gradient(graph, node),
                node_batch_rows(node, batch), node_shape_in(graph, node, 0).width, dx);
    }
}

/* --- over steps ------------------------------------------------------------------ */

static int compile_pairs(struct graph *graph, struct node *node, struct err *err)
{
    struct shape in = node_shape_in(graph, node, 0);
    uint64_t pairs = (uint64_t)in.steps * (in.steps - 1) / 2;

    if (pairs > GRAPH_FLOATS_MAX)
        return err_set(err, ERR_INPUT, "layer '%s' (pairs) has %llu pairs of steps",
                       node->name, (unsigned long long)pairs);
    node->shape = (struct shape){1, (uint32_t)pairs};
    node->multiply_adds = pairs * in.width;
    return check_steps(graph, node, err);
}

static void run_pairs(const struct graph *graph, const struct node *node,
                      const struct graph_batch *batch, bool training)
{
    struct shape in = node_shape_in(graph, node, 0);

    (void)training;
    graph->k->pairs_forward(node_value_in(graph, node, batch, 0), batch->n, in.steps,
                            in.width, node_own_value(graph, node));
}

static void back_pairs(const struct graph *graph, const struct node *node,
                       const struct graph_batch *batch)
{
    struct shape in = node_shape_in(graph, node, 0);

    graph->k->pairs_backward(node_value_in(graph, node, batch, 0),
                             node_gradient(graph, node), batch->n, in.steps, in.width,
                             node_gradient_in(graph, node, 0));
}

static int compile_fm(struct graph *graph, struct node *node, struct err *err)
{
    node->shape = (struct shape){1, 1};
    node->multiply_adds = 2 * (uint64_t)node_floats(node_source(graph, node, 0));
    node->scratch = node_shape_in(graph, node, 0).width;
    return check_steps(graph, node, err);
}

static void run_fm(const struct graph *graph, const struct node *node,
                   const struct graph_batch *batch, bool training)
{
    struct shape in = node_shape_in(graph, node, 0);

    (void)training;
    graph->k->fm_forward(node_value_in(graph, node, batch, 0), batch->n, in.steps,
                         in.width, node_scratch(graph, node),
                         node_own_value(graph, node));
}

static void back_fm(const struct graph *graph, const struct node *node,
                    const struct graph_batch *batch)
{
    struct shape in = node_shape_in(graph, node, 0);

    graph->k->fm_backward(node_value_in(graph, node, batch, 0),
                          node_scratch(graph, node), node_gradient(graph, node),
                          batch->n, in.steps, in.width,
                          node_gradient_in(graph, node, 0));
}

static int compile_pool(struct graph *graph, struct node *node, struct err *err)
{
    (void)err;
    node->shape = (struct shape){1, node_shape_in(graph, node, 0).width};
    node->multiply_adds = node_floats(node_source(graph, node, 0));
    return 0;
}

static float pool_scale(const struct node *node, struct shape in)
{
    return node->layer.mean ? 1.0f / (float)in.steps : 1;
}

static void run_pool(const struct graph *graph, const struct node *node,
                     const struct graph_batch *batch, bool training)
{
    struct shape in = node_shape_in(graph, node, 0);

    (void)training;
    graph->k->pool_forward(node_value_in(graph, node, batch, 0), batch->n, in.steps,
                           in.width, pool_scale(node, in), node_own_value(graph, node));
}

static void back_pool(const struct graph *graph, const struct node *node,
                      const struct graph_batch *batch)
{
    struct shape in = node_shape_in(graph, node, 0);

    graph->k->pool_backward(node_gradient(graph, node), batch->n, in.steps, in.width,
                            pool_scale(node, in), node_gradient_in(graph, node, 0));
}

const struct layer_type type_concat = {"concat",       1,          GRAPH_INPUTS_MAX,
                                       compile_concat, run_concat, back_concat};
const struct layer_type type_stack = {"stack",       1,          GRAPH_INPUTS_MAX,
                                      compile_stack, run_concat, back_concat};
const struct layer_type type_flatten = {"flatten", 1, 1, compile_flatten, NULL, NULL};
const struct layer_type type_add = {"add",       2,       GRAPH_INPUTS_MAX,
                                    compile_add, run_add, back_add};
const struct layer_type type_multiply = {"multiply",   2, 2, compile_add, run_multiply,
                                         back_multiply};
const struct layer_type type_dot = {"dot", 2, 2, compile_dot, run_dot, back_dot};
const struct layer_type type_pairs = {"pairs",       1,         1,
                                      compile_pairs, run_pairs, back_pairs};
const struct layer_type type_fm = {"fm", 1, 1, compile_fm, run_fm, back_fm};
const struct layer_type type_pool = {"pool", 1, 1, compile_pool, run_pool, back_pool};

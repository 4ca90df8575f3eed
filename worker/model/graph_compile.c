/* From a list of descriptions to a graph: names, order, shapes. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "common/wording.h"
#include "worker/model/graph_node.h"

/* What a compilation keeps in mind about the descriptions. */
struct plan {
    const struct graph_layer *layer; /* [layers] */
    uint32_t layers;
    uint32_t *node; /* [layers]: the node that it has become, or NODE_NONE */
    uint32_t *inputs;
};

static bool is_input(enum layer_kind kind)
{
    return kind == LAYER_ROWS || kind == LAYER_BAG || kind == LAYER_NUMBERS;
}

/* --- one description -------------------------------------------------------------- */

static int check_inputs(const struct graph_layer *layer, uint32_t inputs,
                        struct err *err)
{
    const struct layer_type *type = layer_type(layer->kind);

    if (inputs >= type->inputs_min && inputs <= type->inputs_max)
        return 0;
    if (type->inputs_min == type->inputs_max)
        return err_set(err, ERR_INPUT, "layer '%s' (%s) has %u inputs; it takes %u",
                       layer->name, type->name, inputs, type->inputs_min);
    return err_set(err, ERR_INPUT, "layer '%s' (%s) has %u inputs; it takes %u to %u",
                   layer->name, type->name, inputs, type->inputs_min, type->inputs_max);
}

static int check_layer(const struct plan *plan, uint32_t i, struct err *err)
{
    const struct graph_layer *layer = &plan->layer[i];
    uint32_t inputs = 0;

    if (!layer->name || !*layer->name || strlen(layer->name) >= GRAPH_NAME_MAX)
        return err_set(err, ERR_INPUT,
                       "layer %u has no name, or one of more than %d bytes", i + 1,
                       GRAPH_NAME_MAX - 1);
    if ((int)layer->kind < 0 || layer->kind >= LAYER_KINDS)
        return err_set(err, ERR_INPUT, "layer '%s' is of an unknown kind", layer->name);
    for (uint32_t j = 0; j < i; j++)
        if (strcmp(plan->layer[j].name, layer->name) == 0)
            return err_set(err, ERR_INPUT, "there are two layers '%s'", layer->name);
    while (inputs < GRAPH_INPUTS_MAX && layer->input[inputs])
        inputs++;
    plan->inputs[i] = inputs;
    return check_inputs(layer, inputs, err);
}

static uint32_t find_layer(const struct plan *plan, const char *name)
{
    for (uint32_t i = 0; i < plan->layers; i++)
        if (strcmp(plan->layer[i].name, name) == 0)
            return i;
    return NODE_NONE;
}

static int unknown_layer(const struct plan *plan, const char *name, struct err *err)
{
    const char *nearest = plan->layer[0].name;
    char shown[WORDING_SHOWN_MAX];

    for (uint32_t i = 1; i < plan->layers; i++)
        if (wording_distance(plan->layer[i].name, name) <
            wording_distance(nearest, name))
            nearest = plan->layer[i].name;
    return err_set(err, ERR_INPUT, "there is no layer '%s'; the nearest name is '%s'",
                   wording_shown(name, shown), nearest);
}

static int check_names(const struct plan *plan, struct err *err)
{
    for (uint32_t i = 0; i < plan->layers; i++)
        for (uint32_t j = 0; j < plan->inputs[i]; j++)
            if (find_layer(plan, plan->layer[i].input[j]) == NODE_NONE) {
                unknown_layer(plan, plan->layer[i].input[j], err);
                return err_prefix(err, "an input of layer '%s'", plan->layer[i].name);
            }
    return 0;
}

/* --- the order -------------------------------------------------------------------- */

/* The first of its inputs that is not computed before it, or NODE_NONE. */
static uint32_t waits_for(const struct plan *plan, uint32_t i)
{
    for (uint32_t j = 0; j < plan->inputs[i]; j++) {
        uint32_t input = find_layer(plan, plan->layer[i].input[j]);

        if (plan->node[input] == NODE_NONE)
            return input;
    }
    return NODE_NONE;
}

/* Appends to text[size] what has room, and ends it. */
static size_t append(char *text, size_t size, size_t length, const char *more)
{
    size_t many = strlen(more);

    if (many > size - 1 - length)
        many = size - 1 - length;
    memcpy(text + length, more, many);
    text[length + many] = '\0';
    return length + many;
}

/* From any layer that waits, the way leads into a cycle. */
static int cycle(const struct plan *plan, uint32_t at, struct err *err)
{
    char text[ERR_TEXT_MAX / 2] = "";
    size_t length = 0;
    uint32_t first;

    for (uint32_t i = 0; i < plan->layers; i++)
        at = waits_for(plan, at);
    first = at;
    do {
        at = waits_for(plan, at);
        length = append(text, sizeof text, length, length ? ", which needs '" : "'");
        length = append(text, sizeof text, length, plan->layer[at].name);
        length = append(text, sizeof text, length, "'");
    } while (at != first);
    return err_set(err, ERR_INPUT, "layer '%s' needs itself: it needs %s",
                   plan->layer[first].name, text);
}

static void link_node(struct graph *graph, const struct plan *plan, uint32_t i)
{
    struct node *node = &graph->node[graph->nodes];

    memset(node, 0, sizeof *node);
    node->layer = plan->layer[i];
    memcpy(node->name, plan->layer[i].name, strlen(plan->layer[i].name));
    node->inputs = plan->inputs[i];
    for (uint32_t j = 0; j < node->inputs; j++) {
        node->input[j] = plan->node[find_layer(plan, plan->layer[i].input[j])];
        graph->node[node->input[j]].readers++;
    }
    node->root = graph->nodes;
    node->born = graph->nodes;
    node->host = NODE_NONE;
    node->tolerates = TOLERATES_ANYTHING;
    for (uint32_t j = 0; j < i; j++)
        node->inlet += is_input(plan->layer[j].kind);
    graph->inputs += is_input(node->layer.kind);
    plan->node[i] = graph->nodes++;
}

/* Layers as described, but behind their inputs. */
static int order_nodes(struct graph *graph, const struct plan *plan, struct err *err)
{
    while (graph->nodes < plan->layers) {
        uint32_t waiting = NODE_NONE, i = 0;

        for (; i < plan->layers; i++) {
            if (plan->node[i] != NODE_NONE)
                continue;
            if (waits_for(plan, i) == NODE_NONE)
                break;
            waiting = i;
        }
        if (i == plan->layers)
            return cycle(plan, waiting, err);
        link_node(graph, plan, i);
    }
    return 0;
}

/* --- shapes and uses -------------------------------------------------------------- */

int node_add_parameter(struct graph *graph, struct node *node, const char *suffix,
                       struct graph_parameter parameter, struct err *err)
{
    struct graph_parameter *to = &graph->parameter[graph->parameters];
    uint64_t weights = (uint64_t)parameter.rows * parameter.columns;
    size_t length;

    if (weights > GRAPH_WEIGHTS_MAX)
        return err_set(err, ERR_INPUT,
                       "layer '%s' has %llu x %llu weights; at most %d are possible",
                       node->name, (unsigned long long)parameter.rows,
                       (unsigned long long)parameter.columns, GRAPH_WEIGHTS_MAX);
    assert(node->parameters < NODE_PARAMETERS_MAX);
    *to = parameter;
    length = append(to->name, sizeof to->name, 0, node->name);
    length = append(to->name, sizeof to->name, length, ".");
    append(to->name, sizeof to->name, length, suffix);
    if (node->parameters++ == 0)
        node->parameter = graph->parameters;
    node->learns = true;
    graph->parameters++;
    return 0;
}

void node_take_place(const struct graph *graph, struct node *node,
                     enum tolerance needed)
{
    const struct node *source = node_source(graph, node, 0);

    if (source->readers > 1 || source->is_output || source->tolerates < needed)
        return;
    node->root = source->root;
    if (node->tolerates > source->tolerates)
        node->tolerates = source->tolerates;
}

static int check_size(const struct graph *graph, const struct node *node,
                      struct err *err)
{
    uint64_t floats = (uint64_t)node->shape.steps * node->shape.width;

    if (floats > GRAPH_FLOATS_MAX)
        return err_set(err, ERR_INPUT,
                       "layer '%s' is %u x %u for each example; at most %d numbers are "
                       "possible",
                       node->name, node->shape.steps, node->shape.width,
                       GRAPH_FLOATS_MAX);
    if ((uint64_t)node->shape.steps * graph->capacity > UINT32_MAX)
        return err_set(err, ERR_INPUT,
                       "layer '%s' has %u steps, too many for batches of %u examples",
                       node->name, node->shape.steps, graph->capacity);
    return 0;
}

static int compile_node(struct graph *graph, struct node *node, struct err *err)
{
    int rc;

    for (uint32_t i = 0; i < node->inputs; i++)
        node->learns |= node_source(graph, node, i)->learns;
    rc = layer_type(node->layer.kind)->compile(graph, node, err);
    return rc ? rc : check_size(graph, node, err);
}

static int find_outputs(struct graph *graph, const struct plan *plan,
                        const char *const *output, struct err *err)
{
    for (uint32_t i = 0; i < graph->outputs; i++) {
        uint32_t layer = find_layer(plan, output[i]);

        if (layer == NODE_NONE) {
            unknown_layer(plan, output[i], err);
            return err_prefix(err, "an output");
        }
        graph->output[i] = plan->node[layer];
        graph->node[graph->output[i]].is_output = true;
    }
    return 0;
}

/* Values of outputs stay, in whosever place they are. */
static int check_outputs(struct graph *graph, struct err *err)
{
    for (uint32_t i = 0; i < graph->outputs; i++) {
        const struct node *node = &graph->node[graph->output[i]];

        if (graph->training && !node->learns)
            return err_set(err, ERR_INPUT,
                           "the output '%s' depends on nothing that can be trained",
                           node->name);
        graph->node[node->root].is_output = true;
    }
    return 0;
}

/* Who reads a value last, by whatever view; and does everything lead to an output? */
static int find_uses(struct graph *graph, struct err *err)
{
    for (uint32_t i = 0; i < graph->nodes; i++)
        graph->node[i].last_use = NODE_NONE;
    for (uint32_t i = graph->nodes; i-- > 0;) {
        struct node *node = &graph->node[i];

        if (node->last_use == NODE_NONE && !node->is_output)
            return err_set(err, ERR_INPUT, "layer '%s' leads to no output", node->name);
        for (uint32_t j = 0; j < node->inputs; j++) {
            struct node *source = &graph->node[node->input[j]];
            struct node *root = &graph->node[source->root];

            if (source->last_use == NODE_NONE)
                source->last_use = i;
            if (root->last_use == NODE_NONE || root->last_use < i)
                root->last_use = i;
        }
    }
    return 0;
}

static int compile(struct graph *graph, struct plan *plan, const char *const *output,
                   struct err *err)
{
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < plan->layers; i++)
        rc = check_layer(plan, i, err);
    if (rc == 0)
        rc = check_names(plan, err);
    if (rc == 0)
        rc = order_nodes(graph, plan, err);
    if (rc == 0)
        rc = find_outputs(graph, plan, output, err);
    for (uint32_t i = 0; rc == 0 && i < graph->nodes; i++)
        rc = compile_node(graph, &graph->node[i], err);
    if (rc == 0)
        rc = check_outputs(graph, err);
    if (rc == 0)
        rc = find_uses(graph, err);
    return rc ? rc : graph_place(graph, err);
}

/* --- the graph -------------------------------------------------------------------- */

static int check_counts(uint32_t layers, uint32_t outputs, uint32_t capacity,
                        struct err *err)
{
    if (layers == 0 || layers > GRAPH_LAYERS_MAX)
        return err_set(err, ERR_INPUT, "a model has %u layers; 1 to %d are possible",
                       layers, GRAPH_LAYERS_MAX);
    if (outputs == 0 || outputs > layers)
        return err_set(err, ERR_INPUT, "a model of %u layers has %u outputs", layers,
                       outputs);
    if (capacity == 0 || capacity > GRAPH_CAPACITY_MAX)
        return err_set(err, ERR_INPUT,
                       "batches of %u examples are too large; at most %d are possible",
                       capacity, GRAPH_CAPACITY_MAX);
    return 0;
}

static struct graph *allocate(uint32_t layers, uint32_t outputs)
{
    struct graph *graph = calloc(1, sizeof *graph);

    if (!graph)
        return NULL;
    graph->node = calloc(layers, sizeof *graph->node);
    graph->output = calloc(outputs, sizeof *graph->output);
    graph->parameter = calloc(NODE_PARAMETERS_MAX * (size_t)layers,
                              sizeof *graph->parameter);
    if (graph->node && graph->output && graph->parameter)
        return graph;
    graph_destroy(graph);
    return NULL;
}

int graph_create(struct graph **graph, const struct graph_layer *layer, uint32_t layers,
                 const char *const *output, uint32_t outputs, uint32_t capacity,
                 bool training, struct err *err)
{
    struct plan plan = {.layer = layer, .layers = layers};
    int rc = check_counts(layers, outputs, capacity, err);

    *graph = NULL;
    if (rc)
        return rc;
    plan.node = malloc(2 * (size_t)layers * sizeof *plan.node);
    *graph = allocate(layers, outputs);
    if (!plan.node || !*graph) {
        rc = err_set(err, ERR_MEMORY, "no memory for a model of %u layers", layers);
        goto out;
    }
    memset(plan.node, 0xff, layers * sizeof *plan.node);
    plan.inputs = plan.node + layers;
    (*graph)->k = layer_kernels(cpu_level());
    (*graph)->outputs = outputs;
    (*graph)->capacity = capacity;
    (*graph)->training = training;
    rc = compile(*graph, &plan, output, err);
out:
    free(plan.node);
    if (rc) {
        graph_destroy(*graph);
        *graph = NULL;
    }
    return rc;
}

void graph_destroy(struct graph *graph)
{
    if (!graph)
        return;
    free(graph->arena);
    free(graph->parameter);
    free(graph->output);
    free(graph->node);
    free(graph);
}

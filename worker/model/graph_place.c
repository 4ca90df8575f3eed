/* Room for a batch's values and gradients: one allocation, in which things that are not
 * needed at the same time share a place.
 *
 * Time goes from 0: node i is computed at time i, outputs get their gradients at time
 * N, and node i is gone back through at time 2N - i. */
#include <stdlib.h>

#include "worker/model/graph_node.h"

enum { LINE_FLOATS = 16 }; /* of a cache line */

/* A piece of the arena, needed from time `first` to `last` inclusive. */
struct piece {
    size_t floats, at;
    uint32_t first, last;
    size_t *place; /* where its place is to be written */
};

struct pieces {
    struct piece *piece;
    uint32_t count;
};

static void add_piece(struct pieces *pieces, size_t floats, uint32_t first,
                      uint32_t last, size_t *place)
{
    if (floats == 0)
        return;
    pieces->piece[pieces->count++] = (struct piece){
        .floats = (floats + LINE_FLOATS - 1) / LINE_FLOATS * LINE_FLOATS,
        .first = first,
        .last = last,
        .place = place};
}

/* Time at which node i is gone back through; without training, nothing is. */
static uint32_t backward_time(const struct graph *graph, uint32_t i)
{
    return 2 * graph->nodes - i;
}

static uint32_t value_end(const struct graph *graph, uint32_t i)
{
    const struct node *node = &graph->node[i];

    if (graph->training)
        return backward_time(graph, node->is_output ? 0 : i);
    return node->is_output ? graph->nodes : node->last_use;
}

static void add_node(const struct graph *graph, struct pieces *pieces, uint32_t i)
{
    struct node *node = &graph->node[i];
    size_t floats = (size_t)node_floats(node) * graph->capacity;
    uint32_t back = backward_time(graph, i);

    if (node->root != i || node->layer.kind == LAYER_NUMBERS || node->host != NODE_NONE)
        return;
    add_piece(pieces, floats, node->born, value_end(graph, i), &node->value_at);
    add_piece(pieces, (size_t)node->scratch * graph->capacity + node->scratch_fixed, i,
              graph->training ? back : i, &node->scratch_at);
    if (graph->training && node->learns)
        add_piece(pieces, floats,
                  node->is_output ? graph->nodes : backward_time(graph, node->last_use),
                  backward_time(graph, node->born), &node->gradient_at);
}

/* The lowest place that is free of those of earlier pieces while this one is needed. */
static void place(struct pieces *pieces, uint32_t index)
{
    struct piece *piece = &pieces->piece[index];
    bool moved = true;

    while (moved) {
        moved = false;
        for (uint32_t i = 0; i < index; i++) {
            const struct piece *other = &pieces->piece[i];

            if (other->last < piece->first || piece->last < other->first ||
                other->at + other->floats <= piece->at ||
                piece->at + piece->floats <= other->at)
                continue;
            piece->at = other->at + other->floats;
            moved = true;
        }
    }
    *piece->place = piece->at;
}

/* Large ones first: small ones find gaps. */
static int by_size(const void *a, const void *b)
{
    const struct piece *x = a, *y = b;

    if (x->floats != y->floats)
        return x->floats < y->floats ? 1 : -1;
    return x->place < y->place ? -1 : 1;
}

int graph_place(struct graph *graph, struct err *err)
{
    struct pieces pieces = {0};

    pieces.piece = calloc(3 * (size_t)graph->nodes, sizeof *pieces.piece);
    if (!pieces.piece)
        return err_set(err, ERR_MEMORY, "no memory for a model of %u layers",
                       graph->nodes);
    for (uint32_t i = 0; i < graph->nodes; i++)
        add_node(graph, &pieces, i);
    qsort(pieces.piece, pieces.count, sizeof *pieces.piece, by_size);
    for (uint32_t i = 0; i < pieces.count; i++) {
        const struct piece *piece = &pieces.piece[i];

        place(&pieces, i);
        if (graph->floats < piece->at + piece->floats)
            graph->floats = piece->at + piece->floats;
    }
    free(pieces.piece);
    if (graph->floats == 0)
        graph->floats = LINE_FLOATS;
    graph->arena = aligned_alloc(64, graph->floats * sizeof *graph->arena);
    if (!graph->arena)
        return err_set(err, ERR_MEMORY,
                       "no memory for a model's values: %llu bytes for batches of %u "
                       "examples",
                       (unsigned long long)graph_bytes(graph), graph->capacity);
    return 0;
}

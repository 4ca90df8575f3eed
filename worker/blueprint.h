/* From a job's model to a graph (worker/model/graph.h): which columns of the data come
 * in at which input, which tables have its rows and its parameters, and what a batch
 * must have room for. Plain data, made once; afterwards any thread may read it.
 *
 * Matrix factorisation, which has code of its own, has a blueprint too: its inputs are
 * rows of model.user and model.item, and it has no layers. */
#ifndef ROWHOUSE_WORKER_BLUEPRINT_H
#define ROWHOUSE_WORKER_BLUEPRINT_H

#include "common/job.h"
#include "worker/model/graph.h"

/* An input layer, in the order of the job. */
struct blueprint_input {
    enum layer_kind kind;        /* LAYER_ROWS, LAYER_BAG or LAYER_NUMBERS */
    int table;                   /* of rows and bags */
    uint32_t columns;            /* rows of keys: one for each step; else of lists: 1 */
    int column[JOB_COLUMNS_MAX]; /* of the job's */
    bool is_list;                /* its one column is a list of at most `length` keys */
    uint32_t length;
    uint32_t same; /* the first input with the same keys, whose pos is this one's:
                      itself or one before it */
    uint32_t steps, width; /* floats of numbers: width, and steps is 1 */
};

/* What the output is compared with. */
enum target_kind {
    TARGET_LABEL,   /* one number with the label */
    TARGET_CLASS,   /* a number for each row of a table: with a key */
    TARGET_LIST,    /* the same: with a list of keys and their weights */
    TARGET_NUMBERS, /* as many numbers as an input has: with those */
};

struct blueprint {
    const struct job *job; /* borrowed */
    struct blueprint_input input[JOB_LAYERS_MAX];
    uint32_t inputs;
    struct graph_layer layer[JOB_LAYERS_MAX + 1];
    uint32_t layers;
    /* What layers point to, and the two of model.output. */
    char name[JOB_LAYERS_MAX * JOB_FORK_MAX + 2][JOB_NAME_MAX];
    /* Of the graph: the score; if it is the inner product of two layers, those; and a
     * layer that somebody wants to see. */
    const char *output[4];
    uint32_t outputs;
    uint32_t parameters;
    int parameter_table[JOB_TABLES_MAX]; /* [parameters] */
    enum target_kind target;
    int target_column;     /* of classes and lists */
    uint32_t target_input; /* of numbers */
    uint32_t classes;      /* numbers of the output */
    uint32_t group;        /* examples of a batch for each one of the data */
    /* By table. */
    bool whole[JOB_TABLES_MAX];    /* a parameter: every batch has all its rows */
    uint32_t keys[JOB_TABLES_MAX]; /* else: keys of an example, at most; 0: unused */
};

/* The model of a job whose tables are complete (see blueprint_expand()). Large: on the
 * heap. -ERR_INPUT: a sentence that names the layer, what was found and what was
 * expected; -ERR_MEMORY. */
int blueprint_make(const struct job *job, struct blueprint **blueprint,
                   struct err *err);
void blueprint_destroy(struct blueprint *blueprint); /* NULL is fine */

/* A graph of it for batches (or slices) of at most `capacity` examples; not of mf.
 * Errors as of graph_create(). */
int blueprint_graph(const struct blueprint *blueprint, uint32_t capacity, bool training,
                    struct graph **graph, struct err *err);

/* Adds what a job leaves to its model: the tables of a graph's parameters, with rows,
 * dim, first values and, for running means, the optimizer that adds. A table that the
 * job has already keeps its optimizer. Doing it again changes nothing. Before a job is
 * checked, sent to anybody or compared with a checkpoint's. Errors as of
 * blueprint_make(). */
int blueprint_expand(struct job *job, struct err *err);

/* Makes a layer an output of the graph, too, unless it is one; *output is its number
 * among them. Once, before the graph is made. -ERR_INPUT: there is no such layer; the
 * sentence offers the nearest name. */
int blueprint_watch(struct blueprint *blueprint, const char *layer, uint32_t *output,
                    struct err *err);
/* Does a layer depend on one of those columns of the job (column[] is true)? */
bool blueprint_layer_uses(const struct blueprint *blueprint, const char *layer,
                          const bool *column);

/* Is the score the inner product of two layers (output[1] and output[2]), the first of
 * which does not depend on what belongs to the item, and the second on nothing else? */
bool blueprint_is_product(const struct blueprint *blueprint);

/* Makes a table add up what is pushed to it as it is, whatever the job's optimizer
 * does: running means, counts. Errors as of job_set(). */
int blueprint_set_adding(struct job *job, const char *table, struct err *err);

/* Examples of a training batch, at most. */
uint32_t blueprint_capacity(const struct blueprint *blueprint);
/* Rows that so many examples have of a table, at most. */
uint64_t blueprint_rows(const struct blueprint *blueprint, int table,
                        uint32_t examples);

#endif

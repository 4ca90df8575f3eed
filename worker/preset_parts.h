/* What presets are put together from (preset.c). Only they include this.
 *
 * A function adds layers to the job by name; what is wrong is kept in the making, and
 * then nothing more is done, so that nobody has to look after each step. Names are
 * char[JOB_NAME_MAX]; `at` is a layer that something is put behind, and becomes the
 * last of what was put there. `numbers` is the input of a side's numbers, "" without
 * any. */
#ifndef ROWHOUSE_WORKER_PRESET_PARTS_H
#define ROWHOUSE_WORKER_PRESET_PARTS_H

#include "common/job.h"

enum {
    PIECES_MAX = JOB_COLUMNS_MAX + 8,
    PRESET_COLUMNS_MAX = JOB_COLUMNS_MAX * (2 * JOB_NAME_MAX + 1),
};

/* Whose columns: the item's as job_column_is_items() says, the user's are all others.
 */
enum side { SIDE_ANY, SIDE_USER, SIDE_ITEM };

/* What of a row: its embedding, or the number behind that. */
enum part { PART_EMBEDDING, PART_WEIGHT };

struct making {
    struct job *job;
    struct err *err;
    int rc;        /* of the first thing that went wrong */
    bool has_bias; /* one of the layers whose sum is the score adds a constant */
};

/* Layers by name. */
struct pieces {
    uint32_t n;
    char name[PIECES_MAX][JOB_NAME_MAX];
};

/* "deepfm"; NULL: not a preset. */
const char *preset_name(int kind);

/* Sets group.element.what, or group.element with "" for `what`. */
void preset_set(struct making *making, const char *group, const char *element,
                const char *what, const char *value);
/* A number of a layer, unless it is 0, which is what it is anyway. */
void preset_number(struct making *making, const char *layer, const char *what,
                   int64_t value);
void preset_output(struct making *making, const char *list);

/* Is the column, as it is prepared, a key or a list of keys of a table? */
bool preset_is_field(const struct job_column *column);
/* How many numbers the embeddings have that are added up or multiplied: those of the
 * first column with a table; 1 without any. */
int64_t preset_dim(const struct job *job);
/* Names of a side's columns, each with a newline behind it: keys of a table, or without
 * one (NULL) numbers and vectors. Returns how many there are. */
uint32_t preset_columns(const struct job *job, enum side side, const char *table,
                        char *list, size_t size);

/* How wide the input of all numbers is. */
int64_t preset_numbers_width(const struct job *job);

void preset_piece(struct pieces *pieces, const char *name);
/* A layer that takes one or several others. */
void preset_layer(struct making *making, const char *name, const char *kind,
                  const char *input);
void preset_layer_of(struct making *making, const char *name, const char *kind,
                     const char (*input)[JOB_NAME_MAX], uint32_t inputs);
/* Brings pieces together by a layer of a kind that takes many, in steps where there are
 * too many for one; a single piece is itself. `at` becomes the whole. */
void preset_join(struct making *making, const char *kind, const char *as,
                 struct pieces *pieces, char *at);

/* An input of columns (a list). */
void preset_input(struct making *making, const char *name, const char *kind,
                  const char *columns);
/* All numbers of a side as one input, `numbers`; false: there are none. */
bool preset_numbers(struct making *making, enum side side, char *numbers);

void preset_dense(struct making *making, const char *name, const char *input,
                  uint32_t width, const char *activation);
/* Deep layers, each a product, batch norm, function and dropout as model.* has them:
 * one, or as many as a list has widths. */
void preset_hidden(struct making *making, const char *name, uint32_t width, char *at);
/* The same of a sum of rows, which is a product already: it gets a constant. */
void preset_hidden_sum(struct making *making, const char *name, char *at);
void preset_deep(struct making *making, const char *prefix, const char *list, char *at);
/* One number of what `at` has, and a constant. */
void preset_top(struct making *making, const char *name, const char *at);

/* Gives tables of columns the number behind each embedding that linear parts are of. */
void preset_give_bias(struct making *making);
/* A side's embeddings below each other, [fields][dim], and below them the layer
 * `field`, if it is not "": false, there is none. Of lists the mean. */
bool preset_fields(struct making *making, enum side side, const char *field, char *at);
/* A side's embeddings side by side, and its numbers: what deep layers take. */
bool preset_flat(struct making *making, enum side side, const char *numbers, char *at);
/* Adds to `sums` the sum of the weights of a side's keys; and of its numbers times
 * theirs. */
void preset_weights(struct making *making, enum side side, enum part part,
                    struct pieces *sums);
void preset_number_weights(struct making *making, enum side side, const char *numbers,
                           struct pieces *sums);
/* Numbers as one field: a product as wide as an embedding; "" without numbers. */
void preset_number_field(struct making *making, enum side side, const char *numbers,
                         char *field);
/* The score: the sum of some layers, and a constant. */
void preset_score(struct making *making, struct pieces *sums);

/* The presets of preset_autoencoder.c. */
void preset_make_autoencoder(struct making *making);

#endif

/* Examples with the same key as one: what a user has of each thing, as a list (with
 * data.group). Of every part, a group's lists of keys, with the labels as weights, are
 * those of its examples in the training part: what a model may look at. What it is to
 * find is one list more: those of its examples in the part itself. */
#ifndef ROWHOUSE_WORKER_STREAM_GROUPED_H
#define ROWHOUSE_WORKER_STREAM_GROUPED_H

#include "worker/stream/dataset.h"

/* The name of that list; no column of a file is called so. */
#define GROUPED_TARGET "(target)"

/* Replaces the parts of a data set of blocks, each example by its group, in the order
 * of the groups' first examples. Columns that are no keys are those of that example.
 * `target` is the column whose keys are to be found. -ERR_INPUT: the data have no such
 * key columns; -ERR_MEMORY. The data set is whole also after an error. */
int dataset_group(struct dataset *dataset, const char *group, const char *target,
                  struct err *err);

#endif

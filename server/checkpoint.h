/* Checkpoint directories: DIR/checkpoint-0000000012/{shard-000-of-002,...,manifest}.
 * A checkpoint without a manifest is not one. */
#ifndef ROWHOUSE_SERVER_CHECKPOINT_H
#define ROWHOUSE_SERVER_CHECKPOINT_H

#include <stdio.h>

#include "server/manifest.h"

/* Resolves what a user gave: a checkpoint, or a directory of them (then its newest
 * whole one), to a checkpoint's path. -ERR_INPUT when there is none, or nothing there.
 */
int checkpoint_find(const char *path, char *found, size_t size, struct err *err);

/* The number of the newest whole checkpoint in `dir`, 0 if none or no such directory.
 */
uint64_t checkpoint_newest(const char *dir);

/* Makes DIR/checkpoint-NUMBER (and DIR), empty: left-overs of a broken attempt under
 * that number are removed. Checks that the directory can be written. */
int checkpoint_begin(const char *dir, uint64_t number, char *path, size_t size,
                     struct err *err);
/* Removes a checkpoint: the manifest first, so that it is never half there. */
void checkpoint_remove(const char *path);
/* Removes whole checkpoints but the newest `keep`, and broken ones older than the
 * newest. Touches nothing that is not a checkpoint's file. */
void checkpoint_prune(const char *dir, uint64_t keep);

/* Reads every shard of a checkpoint, giving rows to the visitor (one `table` call for
 * each table of each shard). Checks each file against the manifest. */
int checkpoint_read(const char *path, const struct manifest *manifest,
                    const struct shard_visitor *visitor, struct err *err);

/* Prints what is in a checkpoint, for people or as JSON. */
int checkpoint_inspect(const char *path, bool json, FILE *out, struct err *err);
/* Reads and checks every byte. -ERR_DAMAGE names file, block and offset. */
int checkpoint_verify(const char *path, FILE *out, struct err *err);

/* Writes one table: "csv" (header key,v0,...; the bias column is called bias) or "npy"
 * (two files: OUT with float32 [rows][width], and OUT with .keys.npy for .npy with
 * uint64 [rows]), rows sorted by key, so that two exports can be compared. OUT must not
 * exist; it appears whole or not at all. */
int checkpoint_export(const char *path, const char *table, const char *format,
                      const char *out, struct err *err);

#endif

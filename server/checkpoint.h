/* Checkpoint directories: DIR/checkpoint-0000000012/{shard-000-of-002,...,manifest}.
 * A checkpoint without a manifest is not one. */
#ifndef ROWHOUSE_SERVER_CHECKPOINT_H
#define ROWHOUSE_SERVER_CHECKPOINT_H

#include <stdio.h>

#include "server/manifest.h"

enum { CHECKPOINT_PATH_MAX = 4096, CHECKPOINT_SIZE_MAX = 32 };

/* Resolves what a user gave: a checkpoint, or a directory of them (then its newest
 * whole one), to a checkpoint's path. -ERR_INPUT when there is none, or nothing there.
 */
int checkpoint_find(const char *path, char *found, size_t size, struct err *err);

/* The number of the newest whole checkpoint in `dir`, 0 if none or no such directory.
 */
uint64_t checkpoint_newest(const char *dir);

/* Makes DIR/checkpoint-NUMBER (and DIR), empty but for what is not a checkpoint's file:
 * left-overs of a broken attempt under that number are removed. Checks that files can
 * be written there. -ERR_INPUT: the number is taken by a whole checkpoint. */
int checkpoint_begin(const char *dir, uint64_t number, char *path, size_t size,
                     struct err *err);
/* Removes a checkpoint: the manifest first, so that it is never half there. Files that
 * are not a checkpoint's stay, and then the directory, too; so do symbolic links. */
void checkpoint_remove(const char *path);
/* Removes whole checkpoints but the newest `keep` (at least one) and number `best`
 * (0: none), and broken ones older than the newest whole one. Touches nothing that is
 * not a checkpoint's file. */
void checkpoint_prune(const char *dir, uint64_t keep, uint64_t best);
/* The path of a checkpoint of that number. -ERR_INPUT: it is too long. */
int checkpoint_path(const char *dir, uint64_t number, char *path, size_t size,
                    struct err *err);

/* Reads every shard of a checkpoint, giving rows to the visitor (one `table` call for
 * each table of each shard; `index` counts manifest->table). Checks each file against
 * the manifest. -ERR_DAMAGE, also for a missing file, names file, block and offset. */
int checkpoint_read(const char *path, const struct manifest *manifest,
                    const struct shard_visitor *visitor, struct err *err);

/* A size for people, in powers of 1000: "912 B", "2.6 MB". Returns `text`, which has
 * CHECKPOINT_SIZE_MAX bytes. */
const char *checkpoint_size(uint64_t bytes, char *text);

/* The three commands for people. `path` is what checkpoint_find() takes. */

/* Prints what the manifest says, for people or as JSON. */
int checkpoint_inspect(const char *path, bool json, FILE *out, struct err *err);
/* Reads and checks every byte and prints a line for each file that is fine, until the
 * first that is not: -ERR_DAMAGE names file, block and offset. */
int checkpoint_verify(const char *path, FILE *out, struct err *err);

/* Writes one table's weights, rows sorted by key, so that two exports can be compared.
 * "csv": header key,v0,v1,...; a column behind the dim embedding columns is called bias
 * (bias0, bias1, ... when there are several); keys unsigned, floats to 9 digits, which
 * give back the same float.
 * "npy": OUT.npy with float32 [rows][width] and OUT.keys.npy with uint64 [rows].
 * OUT must not exist, -ERR_INPUT; it appears whole or not at all. Holds the table's
 * weights in memory. */
int checkpoint_export(const char *path, const char *table, const char *format,
                      const char *out, struct err *err);

#endif

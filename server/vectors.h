/* Files of vectors: first values for the rows of a table, made elsewhere. Plain, gzip
 * or Zstandard; what is in them is told by the first bytes:
 *
 *   text   `key v1 ... vN` a line, as word2vec and GloVe write it, separated by single
 *          spaces or, if the first line has one, by tabs (then keys may hold spaces). A
 *          first line of two whole numbers, as word2vec's, is how many vectors there
 *          are and their length
 *   CSV    `key,v1,...,vN` a line, as `rowhouse export` writes it, without quotes; a
 *          first line whose second field is no number is a header
 *   NumPy  a matrix of <f4 or <f8 in C order; the number of a row, from 0, is its key
 *
 * Keys are the same as in data (common/key.h). N is the table's dim, or dim and what
 * follows it in a row (the bias). Nothing is guessed: whatever is not as said here
 * stops the run with file and line. One thread. */
#ifndef ROWHOUSE_SERVER_VECTORS_H
#define ROWHOUSE_SERVER_VECTORS_H

#include <stdbool.h>
#include <stdint.h>

#include "common/job.h"
#include "common/vectors_npy.h"

/* Reads the file and gives its vectors to a sink; N is `dim` or `width`. -ERR_INPUT:
 * not such a file, or damaged; a line with another number of numbers, or with what is
 * no finite number; a wanted key that comes twice; fewer or more vectors than the file
 * says. -ERR_MEMORY, -ERR_SYSTEM.
 */
int vectors_read(const char *path, uint32_t dim, uint32_t width,
                 const struct vectors_sink *sink, struct err *err);

/* For a run that begins or goes on: fills in the settings tables.NAME.vectors_digest
 * that are empty, from the files, and checks the others: vectors_check(). */
int vectors_pin(struct job *job, struct err *err);

/* Does the table's file have the digest of its settings? -ERR_INPUT names the setting:
 * it has another, cannot be read or is not a regular file. */
int vectors_check(const struct job_table *table, struct err *err);

#endif

/* A source: the examples of a piece of a file, as blocks, in the order of the file.
 *
 * A piece is a range of bytes. A record belongs to the piece in which it begins, so
 * that pieces [0, a), [a, b), [b, PIECE_END) have each record once between them.
 * Compressed files, pipes and standard input can only be read whole. Where CSV with
 * quotes may be cut says worker/stream/text/cuts.h; other text anywhere.
 *
 * One thread for each source. Nothing is allocated after the first pieces, but for a
 * record longer than any before. */
#ifndef ROWHOUSE_WORKER_STREAM_SOURCE_H
#define ROWHOUSE_WORKER_STREAM_SOURCE_H

#include "worker/stream/block.h"

#define PIECE_END UINT64_MAX

struct piece {
    const char *path;    /* "-" is standard input */
    uint64_t begin, end; /* bytes [begin, end); 0 and PIECE_END: all of it */
    /* Of a chunk of a spool (worker/stream/spool/spool.h), which is whole records and
     * nothing else: the name of what it was read from, the header that it had there,
     * and the line on which the chunk begins. Else NULL. */
    const char *name, *header;
    size_t header_bytes;
    uint64_t line;
};

/* Rows that were left out (data.bad_rows: skip), since source_create(). */
struct bad_rows {
    uint64_t count;
    char first[ERR_TEXT_MAX]; /* the sentence about the first of them */
};

struct source;

/* For files of the job's data settings; `schema` is borrowed, `job` is not. Errors as
 * of reader_create(). */
int source_create(const struct job *job, const struct schema *schema,
                  struct source **source, struct err *err);
void source_destroy(struct source *source); /* NULL is fine */

/* Begins a piece; what was left of the one before is dropped. The file's header is read
 * and checked even where the piece begins later. `piece` is copied. Errors as of
 * reader_begin() and unpack_open(); -ERR_INPUT for a part of what can only be read
 * whole. */
int source_open(struct source *source, const struct piece *piece, struct err *err);

/* Fills the block anew (its schema is the source's) with the next examples: 1, and
 * there is at least one, often fewer than its capacity; 0 at the end of the piece.
 * Errors name file, line and column; do not go on after one. */
int source_next(struct source *source, struct block *block, struct err *err);

/* "FILE line N" of an example of the last block, by its place[]; valid until the next
 * call. Counts the lines before it, which takes a while in a large file. */
const char *source_where(struct source *source, uint64_t place);

/* What was left out so far; valid as long as the source. */
const struct bad_rows *source_bad_rows(const struct source *source);
/* Counts from 0 again: for who reads the same files once more. */
void source_forget_bad_rows(struct source *source);
/* Adds what was left out of something else. */
void bad_rows_add(struct bad_rows *to, const struct bad_rows *from);
/* "12 rows are wrong and left out (data.bad_rows: skip); the first: ..."; "" for none.
 */
void bad_rows_text(const struct bad_rows *bad, char *text, size_t size);

#endif

/* A reader: the bytes of one file's text become examples in a block, by a schema.
 * Bytes come from anywhere (worker/stream/source.h reads files); so it knows no file.
 *
 * Every record that is given to a reader ends with a newline: whoever has the last one
 * of a file, without, adds it. One thread for each reader; no allocation but to grow to
 * the longest record. */
#ifndef ROWHOUSE_WORKER_STREAM_TEXT_READER_H
#define ROWHOUSE_WORKER_STREAM_TEXT_READER_H

#include <stddef.h>

#include "worker/stream/block.h"

enum {
    READER_SLACK = 128,       /* bytes that must be readable behind a text */
    RECORD_MAX = 1024 * 1024, /* bytes of a record, without its line's end */
};

struct reader;

/* For the job's data.format and what belongs to it; `schema` is borrowed, `job` is not.
 * -ERR_INPUT: settings that do not go together; -ERR_MEMORY. */
int reader_create(const struct job *job, const struct schema *schema,
                  struct reader **reader, struct err *err);
void reader_destroy(struct reader *reader); /* NULL is fine */

/* Must a file's first record be known before any other is read? It has the names of the
 * columns, or, without a header, says how many there are (and is then an example, too:
 * reader_head_is_example()). */
bool reader_needs_head(const struct reader *reader);
bool reader_head_is_example(const struct reader *reader);

/* Bytes of the first record of text[0..length), its newline included; 0: it goes on
 * behind the text. */
size_t reader_first(const struct reader *reader, const char *text, size_t length);

/* Begins a file: `head` is its first record if the reader needs it, else ignored; 0
 * bytes: the file is empty. `path` is for sentences. -ERR_INPUT: a column is missing
 * (the sentence names the nearest one and all that are there) or there twice, the file
 * is empty; -ERR_MEMORY. */
int reader_begin(struct reader *reader, const char *path, const char *head,
                 size_t length, struct err *err);

/* A text: text[0..length) begins with a record, `offset` bytes into its file. */
struct reader_text {
    const char *text;
    size_t length;
    uint64_t offset;
};

/* Adds the examples of the text's complete records behind those that the block has,
 * until it is full; place[] is the record's offset in its file. *used: bytes of the
 * text that were taken, whole records. No byte used and room in the block: the text's
 * first record goes on behind it (see reader_unfinished()).
 *
 * -ERR_INPUT: the record at *used is wrong. The examples before it are in the block,
 * the sentence begins behind the words "FILE line N" (", column rating: 'four' is not a
 * number"), *bad is how many bytes the record has: whoever goes on does so behind it.
 * 0: it is longer than any may be, do not go on.
 * -ERR_MEMORY. */
int reader_parse(struct reader *reader, const struct reader_text *text,
                 struct block *block, size_t *used, size_t *bad, struct err *err);

/* The sentence about a record that goes on behind text[0..length), which is all there
 * is or longer than RECORD_MAX; it begins as those of reader_parse(). */
int reader_unfinished(const struct reader *reader, const char *text, size_t length,
                      struct err *err);

#endif

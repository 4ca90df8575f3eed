/* The words of a text as keys: for whatever language, and the same whoever wrote it.
 *
 * The text is brought into one form (Unicode's NFKC with case folding, without what is
 * not seen) and cut into words: runs of letters, marks and digits (categories L, M, N).
 * A word's key is key_of_text(). Bytes that are no UTF-8 are blanks. The only user of
 * utf8proc. One thread. */
#ifndef ROWHOUSE_WORKER_STREAM_PREPARE_WORDS_H
#define ROWHOUSE_WORKER_STREAM_PREPARE_WORDS_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

/* Memory for one text, used again for the next. Zeroed at first. Owned. */
struct words {
    uint64_t *key; /* [n]: different words, rising */
    float *count;  /* [n]: how often each is there */
    uint32_t n;
    uint32_t room;
    char *copy; /* [copy_room] */
    size_t copy_room;
    int32_t *form; /* [form_room] */
    size_t form_room;
};

/* Finds the words of text[0..length), `max` at most from its beginning on.
 * -ERR_MEMORY. */
int words_find(struct words *words, const char *text, uint32_t length, uint32_t max,
               struct err *err);
void words_release(struct words *words); /* zeroed is fine */

#endif

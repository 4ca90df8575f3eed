/* Texts for people: what a key is called, and how a text fits into a table on a
 * terminal. One thread. */
#ifndef ROWHOUSE_WORKER_TITLES_H
#define ROWHOUSE_WORKER_TITLES_H

#include <stddef.h>
#include <stdint.h>

#include "common/err.h"

enum { TITLE_BYTES_MAX = 1023 }; /* what is kept of a text */

/* A dictionary from keys to texts; one for titles, another for keys as they stand in
 * the file. */
struct titles;

/* At most `bytes_max` of memory in all, the index included. */
int titles_create(struct titles **titles, size_t bytes_max, struct err *err);
void titles_destroy(struct titles *titles); /* NULL is fine */

/* Remembers a copy of the text unless the key has one already: the first stays. A
 * longer text is cut after TITLE_BYTES_MAX bytes, not within a character.
 * -ERR_MEMORY: bytes_max is used up, or there is none; what was there stays. */
int titles_add(struct titles *titles, uint64_t key, const char *text, struct err *err);

/* The text, or NULL; valid until titles_destroy(). */
const char *titles_find(const struct titles *titles, uint64_t key);

uint32_t titles_count(const struct titles *titles);

/* How many columns of a terminal the text takes, as title_fit() shows it: 2 for wide
 * East Asian characters and emoji, 0 for combining marks, 1 for anything else. The text
 * is taken as UTF-8 whatever the locale. */
uint32_t title_columns(const char *text);

/* Bytes that `columns` columns may need, with the final zero. */
#define TITLE_FIT_BYTES(columns) ((size_t)(columns)*16 + 1)

/* Writes the text as exactly `columns` columns: cut with an ellipsis, or filled up with
 * spaces. A byte that is no UTF-8 and every character that could steer a terminal or
 * turn around what stands beside it (controls, line and paragraph separators,
 * bidirectional marks) becomes '?'. Of many combining marks on a character the first
 * ones are kept. out has TITLE_FIT_BYTES(columns). Returns out. */
char *title_fit(const char *text, uint32_t columns, char *out);

#endif

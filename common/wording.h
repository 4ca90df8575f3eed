/* Text from files, made fit for sentences about errors. Any thread. */
#ifndef ROWHOUSE_COMMON_WORDING_H
#define ROWHOUSE_COMMON_WORDING_H

#include <stddef.h>

enum { WORDING_SHOWN_MAX = 64 };

/* Copies `text` to shown[WORDING_SHOWN_MAX], cut with "..." when long, '?' for what is
 * not printable UTF-8. Returns `shown`. */
const char *wording_shown(const char *text, char *shown);

/* 1234567 as "1,234,567", below 1e20. Returns `text`. */
const char *wording_grouped(double count, char text[32]);

/* How many letters must be changed, added or dropped to make `b` from `a`, not minding
 * upper and lower case; a large number where one is longer than 128 bytes. */
size_t wording_distance(const char *a, const char *b);

#endif

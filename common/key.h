/* Keys in text: of rows, wherever they stand in a file. Any thread. */
#ifndef ROWHOUSE_COMMON_KEY_H
#define ROWHOUSE_COMMON_KEY_H

#include <stddef.h>
#include <stdint.h>

/* The key of a text: a 64-bit integer in plain decimal notation (-2^63 .. 2^64-1; no
 * '+', no zeros in front) as it is, anything else hashed with XXH3-64. On disk: never
 * changed. */
uint64_t key_of_text(const char *text, size_t length);

#endif

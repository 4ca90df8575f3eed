/* Numbers in text. Any thread. */
#ifndef ROWHOUSE_COMMON_NUMBER_H
#define ROWHOUSE_COMMON_NUMBER_H

#include <stddef.h>

enum number_found { NUMBER_GOOD, NUMBER_NONE, NUMBER_TOO_LARGE };

/* Reads the whole of text[0..length) as a decimal number ("4", "-3.5", ".5", "1e-3"; no
 * blanks, no hexadecimals, no "inf" or "nan") and rounds it correctly to a float.
 * text[length] must be '\0'. Unless NUMBER_GOOD, *value is as it was. */
enum number_found number_parse(const char *text, size_t length, float *value);

#endif

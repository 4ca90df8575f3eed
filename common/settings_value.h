/* One setting's value: from text, to text, and what to say about a wrong one. */
#ifndef ROWHOUSE_COMMON_SETTINGS_VALUE_H
#define ROWHOUSE_COMMON_SETTINGS_VALUE_H

#include <stdbool.h>
#include <stddef.h>

#include "common/settings.h"

enum { SETTING_SENTENCE_MAX = 256, SETTING_SHOWN_MAX = 96 };

/* Parses `text` into the row's field of `base` (the object or element). False, with
 * the field as it was, if the text is not one of the row's values. */
bool setting_parse(const struct setting *row, const char *text, void *base);

/* The canonical text of the row's field: setting_parse() reads the same value from it.
 * `text` has SETTING_VALUE_MAX bytes. */
void setting_format(const struct setting *row, const void *base, char *text);

/* The default's text. */
const char *setting_preset(const struct setting *row);

/* Is it `like` another, without a value of its own? */
bool setting_inherits(const struct setting *row, const void *base);

/* What setting_parse() takes: "a whole number from 1 to 8", "tsv or csv". `text` has
 * SETTING_SENTENCE_MAX bytes. */
void setting_expected(const struct setting *row, char *text);

/* The limits alone: "1 to 8"; "" if there are none. Same size. */
void setting_range(const struct setting *row, char *text);

/* `value` made fit for a sentence: cut when long, "[a, b]" for a list, '?' for what is
 * not printable. `text` has SETTING_SHOWN_MAX bytes. */
void setting_shown(const char *value, char *text);

/* Is it UTF-8 without control characters? */
bool setting_printable(const char *text);

#endif

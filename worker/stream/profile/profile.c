#include "worker/stream/profile/profile.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "common/key.h"
#include "common/number.h"
#include "worker/stream/text/timestamp.h"

/* --- values -------------------------------------------------------------------- */

int profile_create(struct profile *profile, struct err *err)
{
    *profile = (struct profile){0};
    if (quantiles_create(&profile->quantiles, PROFILE_QUANTILES, err) == 0 &&
        frequent_create(&profile->frequent, PROFILE_FREQUENT, err) == 0 &&
        frequent_create(&profile->frequent_parts, PROFILE_FREQUENT, err) == 0 &&
        skew_create(&profile->skew, PROFILE_SAMPLE, err) == 0)
        return 0;
    profile_release(profile);
    return -err->code;
}

void profile_release(struct profile *profile)
{
    quantiles_release(&profile->quantiles);
    frequent_release(&profile->frequent);
    frequent_release(&profile->frequent_parts);
    skew_release(&profile->skew);
    *profile = (struct profile){0};
}

/* One of the values that are there, by its key and as it is shown. */
static void add_value(struct profile *profile, uint64_t key, const char *text,
                      size_t length)
{
    profile->n++;
    distinct_add(&profile->distinct, key);
    frequent_add(&profile->frequent, key, 1, text, length);
    skew_add(&profile->skew, key);
}

static int add_number(struct profile *profile, double number, struct err *err)
{
    moments_add(&profile->moments, number);
    return quantiles_add(&profile->quantiles, number, err);
}

void profile_missing(struct profile *profile)
{
    profile->n++;
    profile->missing++;
}

int profile_key(struct profile *profile, uint64_t key, struct err *err)
{
    char text[24];
    int length = snprintf(text, sizeof text, "%llu", (unsigned long long)key);

    (void)err;
    add_value(profile, key, text, (size_t)length);
    profile->bytes += (size_t)length;
    return 0;
}

int profile_keys(struct profile *profile, const uint64_t *key, uint32_t n,
                 struct err *err)
{
    char text[24];

    (void)err;
    profile->n++;
    profile->missing += n == 0;
    for (uint32_t i = 0; i < n; i++) {
        int length = snprintf(text, sizeof text, "%llu", (unsigned long long)key[i]);

        distinct_add(&profile->parts, key[i]);
        frequent_add(&profile->frequent_parts, key[i], 1, text, (size_t)length);
    }
    return 0;
}

int profile_number(struct profile *profile, double number, struct err *err)
{
    char text[32];
    int length = snprintf(text, sizeof text, "%.9g", number);
    bool whole = number >= -1e15 && number <= 1e15 && number == (double)(int64_t)number;

    add_value(profile, key_of_text(text, (size_t)length), text, (size_t)length);
    profile->numbers++;
    profile->integers += whole;
    return add_number(profile, number, err);
}

int profile_time(struct profile *profile, int64_t us, struct err *err)
{
    add_value(profile, (uint64_t)us, NULL, 0);
    profile->dates++;
    profile->time_format = "microseconds";
    return add_number(profile, (double)us / 1e6, err);
}

/* --- texts --------------------------------------------------------------------- */

bool profile_text_is_missing(const char *text, size_t length)
{
    static const char *const words[] = {"NA", "N/A", "NULL", "NaN", "?", "\\N", "None"};

    if (length == 0)
        return true;
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (strlen(words[i]) == length && strncasecmp(words[i], text, length) == 0)
            return true;
    return false;
}

static bool is_integer(const char *text, size_t length)
{
    size_t i = length > 1 && (*text == '-' || *text == '+');

    if (length - i > 19)
        return false;
    for (; i < length; i++)
        if (!isdigit((unsigned char)text[i]))
            return false;
    return true;
}

/* Digits with at most one point among them, so few that number and power of ten are
 * exact and their quotient is rounded once. */
static bool take_plain(const char *text, size_t length, double *number, bool *whole)
{
    static const double power[] = {1e0, 1e1, 1e2,  1e3,  1e4,  1e5,  1e6,  1e7,
                                   1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15};
    size_t i = *text == '-', fraction = 0, digits = 0;
    uint64_t value = 0;
    bool point = false;

    if (length > 16)
        return false;
    for (; i < length; i++) {
        if (text[i] == '.' && !point) {
            point = true;
        } else if (isdigit((unsigned char)text[i])) {
            value = value * 10 + (uint64_t)(text[i] - '0');
            digits++;
            fraction += point;
        } else {
            return false;
        }
    }
    if (digits == 0 || digits > 15)
        return false;
    *number = (*text == '-' ? -1 : 1) * ((double)value / power[fraction]);
    *whole = !point;
    return true;
}

/* Reads a number that is not too long to be one. */
static bool take_number(const char *text, size_t length, double *number, bool *whole)
{
    char copy[40];
    float value;

    if (take_plain(text, length, number, whole))
        return true;
    if (length >= sizeof copy ||
        !(isdigit((unsigned char)*text) || *text == '-' || *text == '.'))
        return false;
    memcpy(copy, text, length);
    copy[length] = '\0';
    if (number_parse(copy, length, &value) != NUMBER_GOOD)
        return false;
    *number = strtod(copy, NULL);
    *whole = is_integer(text, length);
    return true;
}

/* Is it worth trying: does it begin as 2024-05-31 does? */
static bool may_be_date(const char *text, size_t length)
{
    return length >= 10 && text[4] == '-' && text[7] == '-' &&
           isdigit((unsigned char)text[0]) && isdigit((unsigned char)text[9]);
}

static void add_parts(struct profile *profile, const char *text, size_t length)
{
    const char *end = text + length, *separator;

    profile->listed += memchr(text, profile->separator, length) != NULL;
    for (; text <= end; text = separator + 1) {
        uint64_t key;

        separator = memchr(text, profile->separator, (size_t)(end - text));
        if (!separator)
            separator = end;
        key = key_of_text(text, (size_t)(separator - text));
        distinct_add(&profile->parts, key);
        frequent_add(&profile->frequent_parts, key, 1, text,
                     (size_t)(separator - text));
    }
}

/* Looks for a list: the first separator that comes up in the column is its own. What
 * has blanks may be a sentence, and its commas no separators. */
static void look_for_list(struct profile *profile, const char *text, size_t length,
                          bool blanks)
{
    for (const char *s = blanks ? "|" : "|;,"; *s && !profile->separator; s++)
        if (memchr(text, *s, length))
            profile->separator = *s;
    if (profile->separator)
        add_parts(profile, text, length);
}

int profile_text(struct profile *profile, const char *text, size_t length,
                 struct err *err)
{
    double number;
    int64_t us;
    bool whole, blank;

    if (profile_text_is_missing(text, length)) {
        profile_missing(profile);
        return 0;
    }
    add_value(profile, key_of_text(text, length), text, length);
    profile->bytes += length;
    if (take_number(text, length, &number, &whole)) {
        profile->numbers++;
        profile->integers += whole;
        return add_number(profile, number, err);
    }
    if (may_be_date(text, length) && timestamp_parse("iso", text, length, &us)) {
        profile->dates++;
        profile->time_format = "iso";
        return add_number(profile, (double)us / 1e6, err);
    }
    blank = memchr(text, ' ', length) != NULL;
    profile->blanks += blank;
    look_for_list(profile, text, length, blank);
    return 0;
}

/* --- what it is ---------------------------------------------------------------- */

bool profile_name_has(const char *name, const char *words)
{
    size_t length = strlen(name);

    while (*words) {
        size_t n = strcspn(words, "|");
        bool at_end = n > 0 && words[n - 1] == '$';
        size_t word = n - at_end;

        for (size_t i = 0; i + word <= length; i++)
            if (strncasecmp(name + i, words, word) == 0 &&
                (!at_end || i + word == length))
                return true;
        words += n + (words[n] == '|');
    }
    return false;
}

double profile_distinct(const struct profile *profile)
{
    if (profile->skew.total == 0) /* keys, which are counted as parts */
        return round(distinct_estimate(&profile->parts));
    return profile->skew.halvings == 0 ? skew_keys(&profile->skew)
                                       : distinct_estimate(&profile->distinct);
}

static bool has_time_name(const char *name)
{
    return profile_name_has(name, "time|date|epoch|ts$|_at$|when$");
}

/* Whole seconds, or parts of them, since 1970: this century, as far as one can tell. */
static bool is_epoch(const struct profile *profile, double unit)
{
    return profile->moments.min >= 1e8 * unit && profile->moments.max <= 4.2e9 * unit;
}

static bool may_be_epoch(const struct profile *profile)
{
    return is_epoch(profile, 1) || is_epoch(profile, 1e3) || is_epoch(profile, 1e6);
}

static enum profile_kind guess_integer(const struct profile *profile, const char *name)
{
    double distinct = profile_distinct(profile);
    bool named = *name && !isdigit((unsigned char)*name);

    if (may_be_epoch(profile) && (has_time_name(name) || !named))
        return PROFILE_TIME;
    if (profile_name_has(name,
                         "id$|key$|user|item|movie|film|song|track|artist|product|"
                         "book|customer|session"))
        return PROFILE_KEY;
    if (distinct <= 32 ||
        profile_name_has(name, "rating|score|count|age$|year|price|amount|num|label|"
                               "click|stars"))
        return PROFILE_INTEGER;
    return !named || distinct > 1000 ? PROFILE_KEY : PROFILE_INTEGER;
}

static enum profile_kind guess_text(const struct profile *profile, uint64_t present)
{
    double distinct = profile_distinct(profile);

    if (profile->listed * 10 > present &&
        distinct_estimate(&profile->parts) < 1000 + distinct / 2)
        return PROFILE_KEYS;
    if (distinct <= 100)
        return PROFILE_KEY;
    if (profile->blanks * 4 > present || profile->bytes > 40 * present)
        return PROFILE_TEXT;
    return PROFILE_KEY;
}

enum profile_kind profile_guess(const struct profile *profile, const char *name)
{
    uint64_t present = profile->n - profile->missing;

    if (present == 0)
        return PROFILE_NOTHING;
    if (profile->dates == present)
        return PROFILE_TIME;
    if (profile->integers == present)
        return guess_integer(profile, name);
    if (profile->numbers == present)
        return PROFILE_NUMBER;
    return guess_text(profile, present);
}

const char *profile_time_format(const struct profile *profile)
{
    if (profile->time_format)
        return profile->time_format;
    return is_epoch(profile, 1)     ? "seconds"
           : is_epoch(profile, 1e3) ? "milliseconds"
                                    : "microseconds";
}

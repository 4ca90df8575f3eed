/* What a column of values is like, and what it probably is: gathered in one pass, in
 * bounded memory (about 600 KB). One thread at a time. */
#ifndef ROWHOUSE_WORKER_STREAM_PROFILE_PROFILE_H
#define ROWHOUSE_WORKER_STREAM_PROFILE_PROFILE_H

#include <stdbool.h>

#include "worker/stream/profile/skew.h"

enum profile_kind {
    PROFILE_KEY,
    PROFILE_KEYS,
    PROFILE_INTEGER,
    PROFILE_NUMBER,
    PROFILE_TIME,
    PROFILE_TEXT,
    PROFILE_NOTHING, /* no value at all */
};

enum {
    PROFILE_FREQUENT = 1024, /* keys counted one by one */
    PROFILE_SAMPLE = 16384,  /* keys of struct skew */
    PROFILE_QUANTILES = 1024,
};

struct profile {
    uint64_t n, missing;
    /* Of the texts that are there, how many are: */
    uint64_t integers, numbers, dates; /* an integer is a number, too */
    uint64_t listed;                   /* parts with a separator between */
    uint64_t blanks, bytes;            /* with blanks; bytes of all */
    char separator;                    /* of those listed; 0: none so far */
    const char *time_format;           /* of dates: "iso" */
    struct distinct distinct, parts;
    struct moments moments; /* of numbers, and of times in seconds */
    struct quantiles quantiles;
    struct frequent frequent, frequent_parts;
    struct skew skew;
};

/* -ERR_MEMORY. */
int profile_create(struct profile *profile, struct err *err);
void profile_release(struct profile *profile); /* zeroed is fine */

/* Adds a value: a text of which the kind is to be found out, or one of a known kind.
 * -ERR_MEMORY. */
int profile_text(struct profile *profile, const char *text, size_t length,
                 struct err *err);
int profile_key(struct profile *profile, uint64_t key, struct err *err);
/* Any number of keys, which are counted as parts. */
int profile_keys(struct profile *profile, const uint64_t *key, uint32_t n,
                 struct err *err);
int profile_number(struct profile *profile, double number, struct err *err);
int profile_time(struct profile *profile, int64_t us, struct err *err);
void profile_missing(struct profile *profile);

/* Is it a text that stands for a missing value: "", NA, NULL, ? and the like? */
bool profile_text_is_missing(const char *text, size_t length);

/* What the column is: by its values, and by its name where they leave it open. `name`
 * may be "" (there is none). */
enum profile_kind profile_guess(const struct profile *profile, const char *name);
/* "seconds", "milliseconds", "microseconds" or "iso" of a PROFILE_TIME. */
const char *profile_time_format(const struct profile *profile);
/* About how many different values there are: exact for few. */
double profile_distinct(const struct profile *profile);

/* Does the name have one of the words, separated by '|', in it or at its end ('$'
 * behind the word), whatever the case? */
bool profile_name_has(const char *name, const char *words);

#endif

/* Settings as a table: one row for each, from which come parsing, checks, the text
 * form, the sentences about wrong input, --help and docs/settings.md.
 *
 * A row says where its value lies in a plain struct ("the object"). A '*' in a row's
 * name stands for the name of one element of an array in the object ("tables.*.dim");
 * its group says where that array is. An element's setting may be `like` one of the
 * object: it has that one's value as long as it has none of its own. This file knows no
 * setting by name. */
#ifndef ROWHOUSE_COMMON_SETTINGS_H
#define ROWHOUSE_COMMON_SETTINGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/err.h"

enum {
    SETTING_NAME_MAX = 512,  /* a setting's full name with its 0 byte */
    SETTING_VALUE_MAX = 8256 /* a value's canonical text with its 0 byte */
};

enum setting_type {
    SETTING_INTEGER, /* int64_t */
    SETTING_REAL,    /* double; "none" (NaN) only if that is the default */
    SETTING_BOOLEAN, /* bool */
    SETTING_TEXT,    /* char[size]: printable UTF-8; with `choices` one of them */
    SETTING_CHOICE,  /* int: the index in `choices` */
    SETTING_LIST,    /* char[size]: items separated by '\n' */
    SETTING_BYTES,   /* int64_t: "4 GiB", "512 MiB", "1e9" */
    SETTING_SECONDS, /* double: "30 s", "500 ms", "5 min", "30" */
    SETTING_EVERY,   /* double, and at unit_offset an int (enum setting_every):
                        "3 epochs", "30 s", "5 min", "0" */
    SETTING_CIDR,    /* char[size]: "10.0.0.0/8" or "" */
    SETTING_PATH,    /* char[size]: any bytes but control characters */
};

/* What the field of a setting holds that is `like` another and has no value of its own:
 * NaN, or one of these. Its text is "inherit". */
enum { SETTING_NO_CHOICE = -1 };
#define SETTING_NO_INTEGER INT64_MIN

enum setting_every { SETTING_EVERY_EPOCH, SETTING_EVERY_SECOND };

struct setting {
    const char *name; /* "train.epochs", or with one '*' before the last component */
    enum setting_type type;
    size_t offset; /* in the object, or in the group's element */
    size_t size;   /* of the field */
    size_t unit_offset;
    double min, max;     /* of numbers; of SETTING_EVERY for times in seconds */
    const char *choices; /* "tsv|csv" */
    const char *preset;  /* the default's canonical text; NULL = "" */
    const char *unit;    /* "seconds"; NULL = none */
    const char *doc;     /* a sentence or two */
    bool may_change;     /* on --resume */
    const char *like;    /* name of the object's setting to inherit from; the default,
                            range and sentence are its. Integers, reals, choices */
};

/* The array that a '*' selects from. An element starts with its name, char[name_size],
 * and begins as zeros with the rows' defaults. A plain name ends at its dot where
 * settings lie below what follows ("tables.user.optimizer"). */
struct settings_group {
    const char *prefix; /* "tables.": the name up to the '*' */
    const char *word;   /* "table" */
    size_t offset;      /* of the array in the object */
    size_t stride;
    size_t count_offset; /* of its int count */
    int max;
    size_t name_size;
    bool plain_names; /* only letters, digits, '_' and '-' */
    bool ordered;     /* the order of the elements counts on --resume */
};

/* What docs say above the settings whose name starts with "name.". */
struct settings_section {
    const char *name; /* "" for settings without a dot */
    const char *doc;
};

struct settings {
    const struct setting *row;
    size_t rows;
    const struct settings_group *group;
    size_t groups;
    const struct settings_section *section; /* each row's is there, in this order */
    size_t sections;
};

/* Puts every default in place, in elements that are yet to come too, and empties every
 * group. */
void settings_init(const struct settings *set, void *object);

/* Sets `name` from text. `where` begins the sentence: "job.yaml line 3: train.epochs is
 * 'many', expected a whole number from 1 to 1000000". A `value` of NULL is a mention
 * without value: it makes a group's element ("tables.user"), is nothing for a section,
 * and an error for a setting. List items end at '\n' or '\t' if there is one,
 * else at commas outside braces. -ERR_INPUT leaves the object as it was. */
int settings_set(const struct settings *set, void *object, const char *name,
                 const char *value, const char *where, struct err *err);

/* One line "name=value" for each setting that is not inherited, values in canonical
 * text, list items separated by tabs, '=' and '\' in names with a '\' before them. The
 * caller frees it; NULL without memory. */
char *settings_to_lines(const struct settings *set, const void *object);

/* Defaults, then the lines. Reads back exactly what settings_to_lines() wrote; anything
 * else is -ERR_INPUT naming the line. */
int settings_from_lines(const struct settings *set, void *object, const char *lines,
                        struct err *err);

/* -ERR_INPUT names the first setting that differs between `now` and `before` and may
 * not, or an element that only one of them has. */
int settings_continues(const struct settings *set, const void *now, const void *before,
                       struct err *err);

/* Writes type, default, range, unit and sentence of every setting: as Markdown or as
 * text of at most 100 columns. */
void settings_print(const struct settings *set, FILE *out, bool markdown);

#endif

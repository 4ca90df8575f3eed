/* Which columns rowhouse describe looks at, by the format of the file. */
#include <jansson.h>
#include <string.h>

#include "launch/describe.h"

enum { JSON_LINES = 200, JSON_DEPTH = 4 };

/* Adds a column that any row may lack, unless it is there or there are too many. */
static void add(struct schema *schema, const char *name, enum value_kind kind)
{
    int place;

    if (schema->columns == SCHEMA_COLUMNS_MAX ||
        schema_find(schema, name) != SCHEMA_NONE ||
        strlen(name) >= sizeof schema->column[0].name)
        return;
    place = schema_add(schema, name, kind);
    schema->column[place].may_miss = schema->column[place].optional = true;
}

/* --- tables -------------------------------------------------------------------- */

/* All as texts: what they are is to be found out. One without a name is left out. */
static int table_columns(struct description *d, const char *text, size_t length,
                         struct err *err)
{
    char name[sizeof d->schema.column[0].name];

    for (uint32_t c = 0; c < d->guess.columns && c < SCHEMA_COLUMNS_MAX; c++) {
        int named = 1;

        if (!d->guess.header)
            snprintf(name, sizeof name, "%u", c + 1);
        else
            named = guess_name(&d->guess, text, length, c, name, sizeof name);
        if (named == 0)
            continue;
        if (named < 0)
            return err_set(err, ERR_INPUT,
                           "%.400s line 1: column %u has no name under which it could "
                           "be described",
                           d->path, c + 1);
        if (schema_find(&d->schema, name) != SCHEMA_NONE)
            return err_set(err, ERR_INPUT,
                           "%.400s line 1: two columns are called %.64s", d->path,
                           name);
        add(&d->schema, name, VALUE_TEXT);
        d->schema.column[d->schema.columns - 1].optional = false;
    }
    if (d->schema.columns == 0)
        return err_set(err, ERR_INPUT, "%.400s line 1: no column has a name", d->path);
    return 0;
}

/* --- JSON lines ---------------------------------------------------------------- */

/* The members of an object, those of objects in it as outer.inner. */
static void add_members(struct schema *schema, json_t *object, const char *outer,
                        int depth)
{
    const char *key;
    json_t *value;

    json_object_foreach(object, key, value)
    {
        char name[512];

        if (snprintf(name, sizeof name, "%s%s%s", outer, *outer ? "." : "", key) >=
            (int)sizeof name)
            continue;
        if (json_is_object(value) && depth < JSON_DEPTH)
            add_members(schema, value, name, depth + 1);
        else if (json_is_array(value))
            add(schema, name, VALUE_KEYS);
        else if (!json_is_object(value) && !json_is_null(value))
            add(schema, name, VALUE_TEXT);
    }
}

/* Those of the first lines; a line that is wrong is told of when it is read. */
static void json_columns(struct description *d, const char *text, size_t length)
{
    const char *end = text + length;

    for (int line = 0; line < JSON_LINES && text < end; line++) {
        const char *newline = memchr(text, '\n', (size_t)(end - text));
        json_t *object = newline ? json_loadb(text, (size_t)(newline - text),
                                              JSON_DECODE_INT_AS_REAL, NULL)
                                 : NULL;

        if (json_is_object(object))
            add_members(&d->schema, object, "", 0);
        json_decref(object);
        text = newline ? newline + 1 : end;
    }
}

/* --- formats that name their columns ------------------------------------------- */

static const struct {
    const char *format;
    struct {
        const char *name;
        enum value_kind kind;
    } column[5];
} named[] = {
    {"libsvm", {{"label", VALUE_TEXT}, {"features", VALUE_KEYS}}},
    {"libfm", {{"label", VALUE_TEXT}, {"features", VALUE_KEYS}}},
    {"libffm", {{"label", VALUE_TEXT}, {"features", VALUE_KEYS}}},
    {"sequence", {{"user", VALUE_TEXT}, {"items", VALUE_KEYS}}},
    {"ncf",
     {{"user", VALUE_TEXT},
      {"item", VALUE_TEXT},
      {"rating", VALUE_TEXT},
      {"time", VALUE_TEXT}}},
};

static void criteo_columns(struct description *d)
{
    char name[16];

    add(&d->schema, "label", VALUE_TEXT);
    for (int i = 1; i <= 13; i++) {
        snprintf(name, sizeof name, "I%d", i);
        add(&d->schema, name, VALUE_TEXT);
    }
    for (int i = 1; i <= 26; i++) {
        snprintf(name, sizeof name, "C%d", i);
        add(&d->schema, name, VALUE_TEXT);
    }
}

static void named_columns(struct description *d)
{
    for (size_t f = 0; f < sizeof named / sizeof *named; f++)
        for (int c = 0;
             strcmp(named[f].format, d->format) == 0 && named[f].column[c].name; c++)
            add(&d->schema, named[f].column[c].name, named[f].column[c].kind);
}

int describe_columns(struct description *d, const char *text, size_t length,
                     struct err *err)
{
    d->schema = SCHEMA_EMPTY;
    if (strcmp(d->format, "tsv") == 0 || strcmp(d->format, "csv") == 0)
        return table_columns(d, text, length, err);
    if (strcmp(d->format, "jsonl") == 0)
        json_columns(d, text, length);
    else if (strcmp(d->format, "criteo") == 0)
        criteo_columns(d);
    else
        named_columns(d);
    return d->schema.columns
               ? 0
               : err_set(err, ERR_INPUT,
                         "%.400s: the first %d lines have no JSON object with "
                         "values in it",
                         d->path, JSON_LINES);
}

/* What a preparation consists of: the columns and their steps. */
#include "worker/stream/prepare/prepare.h"

#include <math.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "common/key.h"
#include "common/number.h"
#include "worker/stream/prepare/prepare_state.h"

static const struct job_column *job_column(const struct job *job, const char *name)
{
    for (int i = 0; i < job->data.columns; i++)
        if (job->data.column[i].as != COLUMN_TITLE &&
            strcmp(job->data.column[i].name, name) == 0)
            return &job->data.column[i];
    return NULL;
}

static bool maps_keys(const struct job_steps *steps)
{
    return steps->vocabulary != VOCABULARY_NONE || steps->hash > 0;
}

static bool bends_numbers(const struct job_steps *steps)
{
    return steps->clip_low > 0 || steps->clip_high < 1 || steps->clip_z > 0 ||
           steps->transform != TRANSFORM_NONE ||
           (steps->scale != SCALE_NONE && steps->scale != SCALE_UNIT);
}

static bool clips_quantiles(const struct job_steps *steps)
{
    return steps->clip_low > 0 || steps->clip_high < 1;
}

/* --- the steps as text ----------------------------------------------------------- */

__attribute__((format(printf, 2, 3))) static void say(struct prepare_column *column,
                                                      const char *format, ...)
{
    size_t used = strlen(column->text);
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(column->text + used, sizeof column->text - used, format, arguments);
    va_end(arguments);
}

/* What was fitted is of use only where the same is done: this is what is compared. */
static void describe(struct prepare_column *column)
{
    static const char *const make[] = {"",        "cross",   "hour",
                                       "weekday", "recency", "history"};
    static const char *const missing[] = {"",       "constant",      "mean",
                                          "median", "most_frequent", "category"};
    static const char *const vocabulary[] = {"", "keep", "number"};
    static const char *const scale[] = {"", "standard", "minmax", "unit"};
    const struct job_steps *s = &column->steps;
    const char *of = s->of;
    char name[JOB_NAME_MAX * 2];

    column->text[0] = '\0';
    if (s->make != MAKE_NONE) {
        say(column, "make=%s length=%lld of=", make[s->make], (long long)s->length);
        while (job_list_next(&of, name, sizeof name))
            say(column, "%s,", name);
        say(column, " ");
    }
    if (s->missing != MISSING_FAIL)
        say(column, "missing=%s:%s ", missing[s->missing], s->missing_value);
    if (bends_numbers(s) || s->scale != SCALE_NONE)
        say(column, "clip=%.17g:%.17g:%.17g transform=%d scale=%s ", s->clip_low,
            s->clip_high, s->clip_z, s->transform, scale[s->scale]);
    if (s->buckets || s->hash)
        say(column, "buckets=%lld hash=%lld ", (long long)s->buckets,
            (long long)s->hash);
    if (s->words != WORDS_NONE)
        say(column, "words=%s:%lld ", s->words == WORDS_BAG ? "bag" : "tfidf",
            (long long)s->words_max);
    if (s->vocabulary != VOCABULARY_NONE)
        say(column, "vocabulary=%s:%lld:%lld unseen=%lld ", vocabulary[s->vocabulary],
            (long long)s->vocabulary_min, (long long)s->vocabulary_max,
            (long long)s->unseen);
}

/* --- does a step go with its column? --------------------------------------------- */

static int does_not_go(const struct prepare_column *column, const char *setting,
                       const char *with, struct err *err)
{
    return err_set(err, ERR_INPUT,
                   "data.columns.%s.%s is set, which does not go with %s", column->name,
                   setting, with);
}

static int check_missing(const struct prepare_column *column, enum value_kind kind,
                         struct err *err)
{
    int missing = column->steps.missing;
    bool number = kind == VALUE_NUMBER, key = kind == VALUE_KEY;
    bool buckets = number && column->steps.buckets > 0;

    if ((missing == MISSING_MEAN || missing == MISSING_MEDIAN) && !number)
        return does_not_go(column, "missing: mean or median", "what is no number", err);
    if ((missing == MISSING_MOST_FREQUENT || missing == MISSING_CONSTANT) && !number &&
        !key)
        return does_not_go(column, "missing: constant or most_frequent",
                           "what is no number or key", err);
    if (missing == MISSING_CATEGORY && number && !buckets)
        return does_not_go(column, "missing: category",
                           "a number that stays one (buckets make it a key)", err);
    if (missing != MISSING_CONSTANT && column->steps.missing_value[0])
        return does_not_go(column, "missing_value", "another missing than constant",
                           err);
    if (missing == MISSING_CONSTANT && !column->steps.missing_value[0])
        return err_set(err, ERR_INPUT,
                       "data.columns.%s.missing is constant, but "
                       "data.columns.%s.missing_value is not set",
                       column->name, column->name);
    return 0;
}

static int check_steps(const struct prepare_column *column, enum value_kind kind,
                       struct err *err)
{
    const struct job_steps *s = &column->steps;
    bool number = kind == VALUE_NUMBER, text = kind == VALUE_TEXT;
    bool keys = kind == VALUE_KEY || kind == VALUE_KEYS || (text && s->words);

    if (!number && bends_numbers(s))
        return does_not_go(column, "clip_low, clip_high, clip_z, transform or scale",
                           "what is no number", err);
    if (s->scale == SCALE_UNIT && kind != VALUE_VECTOR)
        return does_not_go(column, "scale: unit", "what is no vector", err);
    if (s->buckets && !number)
        return does_not_go(column, "buckets", "what is no number", err);
    if (s->buckets && s->scale != SCALE_NONE)
        return does_not_go(column, "scale", "buckets", err);
    if (s->words != WORDS_NONE && !text)
        return does_not_go(column, "words", "what is no text", err);
    if (maps_keys(s) && !keys)
        return does_not_go(column, "vocabulary or hash", "what is no key", err);
    if (s->vocabulary != VOCABULARY_NONE && s->hash)
        return does_not_go(column, "hash", "vocabulary", err);
    if (s->vocabulary != VOCABULARY_NONE && s->unseen == 0 && kind == VALUE_KEY)
        return err_set(err, ERR_INPUT,
                       "data.columns.%s.unseen is 0, expected at least 1: an example "
                       "needs a key",
                       column->name);
    if (s->clip_low >= s->clip_high)
        return err_set(err, ERR_INPUT,
                       "data.columns.%s.clip_low is %g and clip_high %g, expected the "
                       "first to be lower",
                       column->name, s->clip_low, s->clip_high);
    if (s->clip_z > 0 && clips_quantiles(s))
        return does_not_go(column, "clip_z", "clip_low or clip_high", err);
    return check_missing(column, kind, err);
}

/* --- one column ------------------------------------------------------------------ */

static enum prepare_path choose_path(const struct job_steps *s, enum value_kind kind)
{
    bool fills = s->missing != MISSING_FAIL;

    switch (kind) {
    case VALUE_NUMBER:
        if (s->buckets)
            return PATH_BUCKETS;
        return PATH_NUMBER; /* if only to find what is missing */
    case VALUE_KEY:
        return fills || maps_keys(s) || s->make ? PATH_KEY : PATH_SAME;
    case VALUE_KEYS:
        return s->make ? PATH_HISTORY : maps_keys(s) ? PATH_KEYS : PATH_SAME;
    case VALUE_TEXT:
        return s->words != WORDS_NONE ? PATH_WORDS : PATH_SAME;
    case VALUE_VECTOR:
        return fills || s->scale == SCALE_UNIT ? PATH_VECTOR : PATH_SAME;
    default:
        return PATH_SAME;
    }
}

static enum value_kind prepared_kind(enum prepare_path path, enum value_kind kind)
{
    if (path == PATH_BUCKETS)
        return VALUE_KEY;
    return path == PATH_WORDS ? VALUE_KEYS : kind;
}

static int parse_constant(struct prepare_column *column, enum value_kind kind,
                          struct err *err)
{
    const char *text = column->steps.missing_value;
    float number;

    if (column->steps.missing != MISSING_CONSTANT)
        return 0;
    if (kind == VALUE_KEY) {
        column->fill_key = key_of_text(text, strlen(text));
        return 0;
    }
    if (number_parse(text, strlen(text), &number) != NUMBER_GOOD)
        return err_set(err, ERR_INPUT,
                       "data.columns.%s.missing_value is '%s', expected a number",
                       column->name, text);
    column->constant = (double)number;
    return 0;
}

/* What has to be fitted. */
static void choose_fits(struct prepare_column *column)
{
    const struct job_steps *s = &column->steps;
    bool numbers = column->path == PATH_NUMBER || column->path == PATH_BUCKETS;
    bool frequent = s->missing == MISSING_MOST_FREQUENT;

    column->fits_numbers = numbers && (clips_quantiles(s) || s->clip_z > 0 ||
                                       s->scale != SCALE_NONE || s->buckets ||
                                       s->missing == MISSING_MEAN ||
                                       s->missing == MISSING_MEDIAN || frequent);
    column->fits_newest = s->make == MAKE_RECENCY;
    column->newest = TIME_MISSING;
    column->fits_history = column->path == PATH_HISTORY;
    column->counts_keys = (column->path == PATH_KEY && frequent) ||
                          s->vocabulary != VOCABULARY_NONE || s->words == WORDS_TFIDF;
    tally_init(&column->tally, s->make == MAKE_RECENCY ? TALLY_TIME : TALLY_FLOAT,
               TALLY_CELLS_MAX);
}

static int set_rows(struct prepare_column *column, const struct job *job,
                    const char *table, struct err *err)
{
    int t = job_table_index(job, table);

    column->rows = t < 0 ? 0 : (uint64_t)job->table[t].rows;
    if (column->rows && column->path != PATH_SAME && column->path != PATH_BUCKETS &&
        column->steps.vocabulary != VOCABULARY_NUMBER && !column->steps.hash &&
        column->steps.make != MAKE_HOUR && column->steps.make != MAKE_WEEKDAY &&
        column->path != PATH_HISTORY)
        return err_set(err, ERR_INPUT,
                       "data.columns.%s: table %s is dense (tables.%s.rows), so its "
                       "keys must be numbered: expected vocabulary: number or hash",
                       column->name, table, table);
    return 0;
}

static int begin_column(struct prepare *prepare, const struct job *job, uint32_t c,
                        const struct job_column *from, enum value_kind kind,
                        struct err *err)
{
    struct prepare_column *column = &prepare->column[c];
    struct schema_column *prepared = &prepare->prepared.column[c];
    int rc;

    memcpy(column->name, prepared->name, sizeof column->name);
    column->steps = (struct job_steps){.clip_high = 1};
    if (from)
        column->steps = from->steps;
    rc = check_steps(column, kind, err);
    if (rc == 0)
        rc = parse_constant(column, kind, err);
    if (rc)
        return rc;
    column->path = from ? choose_path(&column->steps, kind) : PATH_SAME;
    if (from && from->from[0] && column->path == PATH_SAME && kind == VALUE_KEY)
        column->path = PATH_KEY; /* a side table may lack it */
#ifndef MUTANT_PREPARE_CHECKS
    column->checks = from && from->from[0] && column->path == PATH_SAME &&
                     column->steps.missing == MISSING_FAIL &&
                     (kind == VALUE_VECTOR || kind == VALUE_TIME);
#endif
    prepared->kind = (uint8_t)prepared_kind(column->path, kind);
    prepared->may_miss = column->path == PATH_SAME && prepared->may_miss;
    column->numbers = (struct prepare_numbers){
        .fill = column->constant, .low = -INFINITY, .high = INFINITY, .factor = 1};
    choose_fits(column);
    describe(column);
    return from ? set_rows(column, job, from->table, err) : 0;
}

/* --- made columns ---------------------------------------------------------------- */

static int find_sources(struct prepare *prepare, struct prepare_column *column,
                        struct err *err)
{
    const char *of = column->steps.of;
    char name[JOB_NAME_MAX * 2];

    while (job_list_next(&of, name, sizeof name)) {
        int at = schema_find(&prepare->prepared, name);

        if (column->sources == JOB_SOURCES_MAX)
            return err_set(err, ERR_INPUT,
                           "data.columns.%s.of has more than %d columns", column->name,
                           JOB_SOURCES_MAX);
        if (at < 0 || &prepare->column[at] == column)
            return err_set(err, ERR_INPUT,
                           "data.columns.%s.of has '%s', which is no column that "
                           "stands before it in data.columns",
                           column->name, name);
        column->source[column->sources++] = at;
    }
    return 0;
}

static int wrong_sources(const struct prepare_column *column, const char *expected,
                         struct err *err)
{
    return err_set(err, ERR_INPUT, "data.columns.%s.of: expected %s", column->name,
                   expected);
}

static int check_cross(const struct prepare *prepare,
                       const struct prepare_column *column, struct err *err)
{
    if (column->sources < 2)
        return wrong_sources(column, "at least two columns to cross", err);
    for (uint32_t s = 0; s < column->sources; s++) {
        const struct prepare_column *source = &prepare->column[column->source[s]];

        if (prepare->prepared.column[column->source[s]].kind != VALUE_KEY)
            return wrong_sources(column, "columns that are keys after preparation",
                                 err);
        if (column->counts_keys && (source->counts_keys || source->fits_numbers))
            return err_set(err, ERR_INPUT,
                           "data.columns.%s: one pass cannot count keys made of those "
                           "of %s, which it fits itself: expected hash in place of "
                           "vocabulary and most_frequent",
                           column->name, source->name);
    }
    return 0;
}

/* A history's keys are checked as those of its items. */
static int check_history_rows(const struct prepare_column *column,
                              const struct prepare_column *items, struct err *err)
{
    if (items->rows && items->rows <= column->rows)
        return 0;
    return err_set(err, ERR_INPUT,
                   "data.columns.%s is a history with a dense table, expected the "
                   "table of its items (data.columns.%s.table)",
                   column->name, items->name);
}

static int check_made(const struct prepare *prepare,
                      const struct prepare_column *column, struct err *err)
{
    const struct schema *schema = &prepare->prepared;
    int make = column->steps.make;
    int kind = column->sources ? schema->column[column->source[0]].kind : -1;

    if (make == MAKE_CROSS)
        return check_cross(prepare, column, err);
    if (make == MAKE_HISTORY && (column->sources != 1 || kind != VALUE_KEY))
        return wrong_sources(column, "one column of keys, the items", err);
    if (make == MAKE_HISTORY &&
        (prepare->raw.user == SCHEMA_NONE || prepare->raw.time == SCHEMA_NONE))
        return err_set(err, ERR_INPUT,
                       "data.columns.%s is a history, which needs the columns of user "
                       "and time (data.time)",
                       column->name);
    if (make == MAKE_HISTORY && maps_keys(&column->steps))
        return does_not_go(column, "vocabulary or hash",
                           "a history: it has the prepared keys of its items", err);
    if (make == MAKE_HISTORY && column->rows)
        return check_history_rows(column, &prepare->column[column->source[0]], err);
    if (make != MAKE_HISTORY && (column->sources != 1 || kind != VALUE_TIME))
        return wrong_sources(column, "one column that is a time", err);
    return 0;
}

static int make_column(struct prepare *prepare, const struct job *job,
                       const struct job_column *from, struct err *err)
{
    struct schema *schema = &prepare->prepared;
    int make = from->steps.make, c, rc;
    enum value_kind kind = make == MAKE_RECENCY   ? VALUE_NUMBER
                           : make == MAKE_HISTORY ? VALUE_KEYS
                                                  : VALUE_KEY;

    if (schema->columns == SCHEMA_COLUMNS_MAX)
        return err_set(err, ERR_INPUT, "data.columns has more than %d columns",
                       SCHEMA_COLUMNS_MAX);
    c = schema_add(schema, from->name, kind);
    snprintf(schema->column[c].table, sizeof schema->column[c].table, "%s",
             from->table);
    rc = begin_column(prepare, job, (uint32_t)c, from, kind, err);
    if (rc == 0)
        rc = find_sources(prepare, &prepare->column[c], err);
    return rc ? rc : check_made(prepare, &prepare->column[c], err);
}

/* --- all of them ----------------------------------------------------------------- */

static int plan(struct prepare *prepare, const struct job *job, struct err *err)
{
    int rc = 0;

    for (uint32_t c = 0; rc == 0 && c < prepare->raw.columns; c++) {
        const struct schema_column *raw = &prepare->raw.column[c];

        rc = begin_column(prepare, job, c, job_column(job, raw->name),
                          (enum value_kind)raw->kind, err);
    }
    for (int i = 0; rc == 0 && i < job->data.columns; i++)
        if (job->data.column[i].steps.make != MAKE_NONE)
            rc = make_column(prepare, job, &job->data.column[i], err);
    return rc;
}

int prepare_create(const struct job *job, const struct schema *raw,
                   struct prepare **prepare, struct err *err)
{
    struct prepare *made = calloc(1, sizeof *made);
    int rc;

    if (!made)
        return err_set(err, ERR_MEMORY, "no memory for a preparation");
    made->raw = made->prepared = *raw;
    rc = plan(made, job, err);
    if (rc) {
        prepare_destroy(made);
        return rc;
    }
    *prepare = made;
    return 0;
}

void prepare_destroy(struct prepare *prepare)
{
    if (!prepare)
        return;
    for (uint32_t c = 0; c < SCHEMA_COLUMNS_MAX; c++) {
        struct prepare_column *column = &prepare->column[c];

        tally_release(&column->tally);
        dictionary_release(&column->known);
        free(column->count);
        free(column->numbers.edge);
        free(column->documents);
        free(column->item);
    }
    words_release(&prepare->words);
    free(prepare);
}

void prepare_expect(const struct job *job, struct schema *raw)
{
    for (uint32_t c = 0; c < raw->columns; c++) {
        struct schema_column *column = &raw->column[c];
        const struct job_column *from = job_column(job, column->name);

        if (!from)
            continue;
        column->may_miss |= from->steps.missing != MISSING_FAIL;
        if ((column->kind == VALUE_KEY || column->kind == VALUE_KEYS) &&
            choose_path(&from->steps, (enum value_kind)column->kind) != PATH_SAME)
            column->rows = 0; /* what becomes of the keys is checked */
    }
}

const struct schema *prepare_schema(const struct prepare *prepare)
{
    return &prepare->prepared;
}

bool prepare_changes(const struct prepare *prepare)
{
    for (uint32_t c = 0; c < prepare->prepared.columns; c++)
        if (prepare->column[c].path != PATH_SAME)
            return true;
    return false;
}

bool prepare_checks(const struct prepare *prepare)
{
    for (uint32_t c = 0; c < prepare->prepared.columns; c++)
        if (prepare->column[c].checks)
            return true;
    return false;
}

bool prepare_fits(const struct prepare *prepare)
{
    for (uint32_t c = 0; c < prepare->prepared.columns; c++) {
        const struct prepare_column *column = &prepare->column[c];

        if (column->fits_numbers || column->counts_keys || column->fits_newest ||
            column->fits_history)
            return true;
    }
    return false;
}

uint64_t prepare_missing_key(void)
{
    static const char text[] = "<missing>";

    return key_of_text(text, sizeof text - 1);
}

uint64_t prepare_unseen_key(uint64_t number)
{
    char text[40];
    int length = snprintf(text, sizeof text, "<unseen %llu>",
                          (unsigned long long)number);

    return key_of_text(text, (size_t)length);
}

/* What becomes of values: each column's steps, and whole blocks. */
#include <math.h>
#include <string.h>

#include "common/rng.h"
#include "worker/stream/prepare/prepare_state.h"

static const int64_t hour_us = 3600 * (int64_t)1000000;
static const double day_us = 86400e6;

static const uint64_t golden = 0x9e3779b97f4a7c15u;

/* --- numbers --------------------------------------------------------------------- */

enum prepare_found prepare_number_at(const struct prepare *prepare,
                                     const struct block *in, uint32_t c, uint32_t i,
                                     double *number)
{
    const struct prepare_column *column = &prepare->column[c];
    int64_t time;

    if (column->steps.make == MAKE_RECENCY) {
        time = in->column[column->source[0]].time[i];
        *number = ((double)column->newest - (double)time) / day_us;
        return time == TIME_MISSING ? FOUND_MISSING : FOUND_VALUE;
    }
    *number = (double)in->column[c].number[i];
    return isnan(*number) ? FOUND_MISSING : FOUND_VALUE;
}

double prepare_bent(const struct prepare_column *column, double number)
{
    number = fmin(fmax(number, column->numbers.low), column->numbers.high);
    if (column->steps.transform == TRANSFORM_LOG)
        number = number < 0 ? -log1p(-number) : log1p(number);
    return number;
}

/* How many edges are at most `number`. */
static uint32_t bucket_of(const struct prepare_numbers *numbers, double number)
{
    uint32_t first = 0, end = numbers->edges;

    while (first < end) {
        uint32_t middle = first + (end - first) / 2;

        if (numbers->edge[middle] <= number)
            first = middle + 1;
        else
            end = middle;
    }
    return first;
}

/* --- keys ------------------------------------------------------------------------ */

uint64_t prepare_keys(const struct prepare_column *column)
{
    const struct job_steps *s = &column->steps;
    uint64_t own = s->missing == MISSING_CATEGORY;

    if (column->path == PATH_BUCKETS)
        return column->numbers.edges + 1 + own;
    if (s->hash)
        return (uint64_t)s->hash + own;
    if (s->vocabulary == VOCABULARY_NUMBER)
        return column->known.keys + (uint64_t)s->unseen + own;
    if (s->vocabulary == VOCABULARY_NONE &&
        (s->make == MAKE_HOUR || s->make == MAKE_WEEKDAY))
        return (s->make == MAKE_HOUR ? 24 : 7) + own;
    return 0;
}

uint64_t prepare_category(const struct prepare_column *column)
{
    uint64_t keys = prepare_keys(column);

    return keys ? keys - 1 : prepare_missing_key();
}

enum prepare_found prepare_mapped(const struct prepare_column *column, uint64_t key,
                                  uint64_t *mapped)
{
    const struct job_steps *s = &column->steps;
    uint32_t id;

    *mapped = key;
    if (s->hash)
        *mapped = mix64(key) % (uint64_t)s->hash;
    if (s->vocabulary == VOCABULARY_NONE)
        return FOUND_VALUE;
    if (dictionary_find(&column->known, key, &id)) {
        *mapped = s->vocabulary == VOCABULARY_NUMBER ? id : key;
        return FOUND_VALUE;
    }
    if (s->unseen == 0)
        return FOUND_LEFT_OUT;
    *mapped = mix64(key) % (uint64_t)s->unseen;
    *mapped = s->vocabulary == VOCABULARY_NUMBER ? column->known.keys + *mapped
                                                 : prepare_unseen_key(*mapped);
    return FOUND_VALUE;
}

/* Hours and weekdays in UTC; 1970 began on a Thursday. */
static uint64_t key_of_time(int make, int64_t time)
{
    int64_t hours = time / hour_us - (time % hour_us < 0);
    int64_t days = hours / 24 - (hours % 24 < 0);

    return (uint64_t)(make == MAKE_HOUR ? hours - 24 * days : ((days + 3) % 7 + 7) % 7);
}

enum prepare_found prepare_raw_key_at(const struct prepare *prepare,
                                      const struct block *in, uint32_t c, uint32_t i,
                                      uint64_t *key)
{
    const struct prepare_column *column = &prepare->column[c];
    const struct values *values;
    uint64_t part;

    *key = 0;
    if (column->steps.make == MAKE_CROSS) {
        for (uint32_t s = 0; s < column->sources; s++) {
            if (prepare_key_at(prepare, in, (uint32_t)column->source[s], i, &part))
                return FOUND_MISSING;
            *key = mix64(*key + golden + part);
        }
        return FOUND_VALUE;
    }
    values = &in->column[column->sources ? (uint32_t)column->source[0] : c];
    if (column->sources) {
        *key = key_of_time(column->steps.make, values->time[i]);
        return values->time[i] == TIME_MISSING ? FOUND_MISSING : FOUND_VALUE;
    }
    *key = values->key[i];
    return values->missing && values->missing[i] ? FOUND_MISSING : FOUND_VALUE;
}

enum prepare_found prepare_key_at(const struct prepare *prepare, const struct block *in,
                                  uint32_t c, uint32_t i, uint64_t *key)
{
    const struct prepare_column *column = &prepare->column[c];
    int missing = column->steps.missing;
    enum prepare_found found;
    double number;

    if (column->path == PATH_BUCKETS)
        found = prepare_number_at(prepare, in, c, i, &number);
    else
        found = prepare_raw_key_at(prepare, in, c, i, key);
    if (found == FOUND_MISSING && missing == MISSING_FAIL)
        return FOUND_MISSING;
    if (found == FOUND_MISSING && missing == MISSING_CATEGORY) {
        *key = prepare_category(column);
        return FOUND_VALUE;
    }
    if (column->path == PATH_BUCKETS) {
        number = found == FOUND_MISSING ? column->numbers.fill : number;
        *key = bucket_of(&column->numbers, prepare_bent(column, number));
        return FOUND_VALUE;
    }
    return prepare_mapped(column, found == FOUND_MISSING ? column->fill_key : *key,
                          key);
}

bool prepare_key(const struct prepare *prepare, uint32_t c, uint64_t key,
                 uint64_t *prepared)
{
    const struct prepare_column *column = &prepare->column[c];
    uint32_t id;

    *prepared = key;
    if (column->path == PATH_SAME)
        return true;
    if (column->path != PATH_KEY || column->sources)
        return false;
    prepare_mapped(column, key, prepared);
    return column->steps.vocabulary == VOCABULARY_NONE ||
           dictionary_find(&column->known, key, &id);
}

/* --- a column of a block --------------------------------------------------------- */

static int is_missing(const struct prepare_column *column, struct err *err)
{
    return err_set(err, ERR_INPUT,
                   "column %s has no value (data.columns.%s.missing says what to do "
                   "about it)",
                   column->name, column->name);
}

static int apply_number(const struct prepare *prepare, const struct block *in,
                        uint32_t c, struct values *to, uint32_t *at, struct err *err)
{
    const struct prepare_column *column = &prepare->column[c];
    const struct prepare_numbers *numbers = &column->numbers;
    double number;

    for (uint32_t i = 0; i < in->n; i++) {
        if (prepare_number_at(prepare, in, c, i, &number) == FOUND_MISSING) {
            *at = i;
            if (column->steps.missing == MISSING_FAIL)
                return is_missing(column, err);
            number = numbers->fill;
        }
        number = prepare_bent(column, number);
        to->number[i] = (float)((number - numbers->center) * numbers->factor);
    }
    return 0;
}

static int apply_key(const struct prepare *prepare, const struct block *in, uint32_t c,
                     struct values *to, uint32_t *at, struct err *err)
{
    for (uint32_t i = 0; i < in->n; i++)
        if (prepare_key_at(prepare, in, c, i, &to->key[i]) == FOUND_MISSING) {
            *at = i;
            return is_missing(&prepare->column[c], err);
        }
    return 0;
}

static int apply_keys(const struct prepare *prepare, const struct block *in, uint32_t c,
                      struct block *out, struct err *err)
{
    const struct values *from = &in->column[c];
    struct values *to = &out->column[c];
    uint32_t used = 0;

    if (block_key_room(out, c, from->offset[in->n], err))
        return -err->code;
    for (uint32_t i = 0; i < in->n; i++) {
        for (uint32_t k = from->offset[i]; k < from->offset[i + 1]; k++) {
            if (prepare_mapped(&prepare->column[c], from->key[k], &to->key[used]) ==
                FOUND_LEFT_OUT)
                continue;
            to->number[used++] = from->number[k];
        }
        to->offset[i + 1] = used;
    }
    return 0;
}

/* TF-IDF as Spaerck Jones (1972) thought of it, smoothed as if one more text had every
 * word. */
static double inverse_frequency(const struct prepare *prepare,
                                const struct prepare_column *column, uint64_t word)
{
    double documents = 0;
    uint32_t id;

    if (dictionary_find(&column->known, word, &id))
        documents = (double)column->documents[id];
    return log((1 + (double)prepare->examples) / (1 + documents)) + 1;
}

/* Weights the words just found and appends them at *used. */
static void add_words(const struct prepare *prepare,
                      const struct prepare_column *column, struct values *to,
                      uint32_t *used)
{
    const struct words *words = &prepare->words;
    uint32_t first = *used;
    double square = 0;

    for (uint32_t w = 0; w < words->n; w++) {
        double weight = (double)words->count[w];

        if (prepare_mapped(column, words->key[w], &to->key[*used]) == FOUND_LEFT_OUT)
            continue;
        if (column->steps.words == WORDS_TFIDF)
            weight *= inverse_frequency(prepare, column, words->key[w]);
        square += weight * weight;
        to->number[(*used)++] = (float)weight;
    }
    if (column->steps.words != WORDS_TFIDF)
        return;
    for (uint32_t w = first; w < *used; w++)
        to->number[w] = (float)((double)to->number[w] / sqrt(square));
}

static int apply_words(struct prepare *prepare, const struct block *in, uint32_t c,
                       struct block *out, uint32_t *at, struct err *err)
{
    const struct prepare_column *column = &prepare->column[c];
    const struct values *from = &in->column[c];
    uint32_t used = 0;

    for (uint32_t i = 0; i < in->n; i++) {
        uint32_t begin = from->offset[i], length = from->offset[i + 1] - begin;

        *at = i;
        if (words_find(&prepare->words, length ? from->text + begin : "", length,
                       (uint32_t)column->steps.words_max, err) ||
            block_key_room(out, c, (uint64_t)used + prepare->words.n, err))
            return -err->code;
        add_words(prepare, column, &out->column[c], &used);
        out->column[c].offset[i + 1] = used;
    }
    return 0;
}

static int apply_vector(const struct prepare *prepare, const struct block *in,
                        uint32_t c, struct values *to, uint32_t *at, struct err *err)
{
    const struct prepare_column *column = &prepare->column[c];
    uint32_t dim = prepare->raw.column[c].dim;

    for (uint32_t i = 0; i < in->n; i++) {
        const float *from = in->column[c].number + (size_t)i * dim;
        float *vector = to->number + (size_t)i * dim;
        double square = 0;

        for (uint32_t k = 0; k < dim; k++)
            square += (double)from[k] * (double)from[k];
        *at = i;
        if (isnan(square) && column->steps.missing == MISSING_FAIL)
            return is_missing(column, err);
        for (uint32_t k = 0; k < dim; k++) {
            vector[k] = isnan(square) ? 0 : from[k];
            if (column->steps.scale == SCALE_UNIT && square > 0)
                vector[k] = (float)((double)vector[k] / sqrt(square));
        }
    }
    return 0;
}

/* The first place of a history that is not before (user, time). */
static uint64_t items_before(const struct prepare_column *column, uint64_t user,
                             int64_t time)
{
    uint64_t first = 0, end = column->items;

    while (first < end) {
        uint64_t middle = first + (end - first) / 2;
        const struct prepare_item *item = &column->item[middle];

        if (item->user < user || (item->user == user && item->time < time))
            first = middle + 1;
        else
            end = middle;
    }
    return first;
}

static int apply_history(const struct prepare *prepare, const struct block *in,
                         uint32_t c, struct block *out, struct err *err)
{
    const struct prepare_column *column = &prepare->column[c];
    const struct prepare_column *item = &prepare->column[column->source[0]];
    uint64_t length = (uint64_t)column->steps.length;
    struct values *to = &out->column[c];
    uint32_t used = 0;

    for (uint32_t i = 0; i < in->n; i++) {
        const uint64_t user = in->column[prepare->raw.user].key[i];
        int64_t time = in->column[prepare->raw.time].time[i];
        uint64_t end = items_before(column, user, time);
        uint64_t first = items_before(column, user, INT64_MIN);

        first = end - first > length ? end - length : first;
        if (time == TIME_MISSING || !prepare_has_user(prepare, in, i))
            first = end;
        if (block_key_room(out, c, used + (end - first), err))
            return -err->code;
        for (; first < end; first++) {
            if (prepare_mapped(item, column->item[first].key, &to->key[used]) ==
                FOUND_LEFT_OUT)
                continue;
            to->number[used++] = 1;
        }
        to->offset[i + 1] = used;
    }
    return 0;
}

/* --- whole blocks ---------------------------------------------------------------- */

static int copy_keys(const struct values *from, uint32_t n, struct block *out,
                     uint32_t c, struct err *err)
{
    uint32_t keys = from->offset[n];

    if (block_key_room(out, c, keys, err))
        return -err->code;
    if (keys) {
        memcpy(out->column[c].key, from->key, keys * sizeof *from->key);
        memcpy(out->column[c].number, from->number, keys * sizeof *from->number);
    }
    memcpy(out->column[c].offset, from->offset, (n + 1) * sizeof *from->offset);
    return 0;
}

static int copy_text(const struct values *from, uint32_t n, struct block *out,
                     uint32_t c, struct err *err)
{
    uint32_t bytes = from->offset[n];

    if (block_text_room(out, c, bytes, err))
        return -err->code;
    if (bytes)
        memcpy(out->column[c].text, from->text, bytes);
    memcpy(out->column[c].offset, from->offset, (n + 1) * sizeof *from->offset);
    return 0;
}

static int copy_same(const struct block *in, struct block *out, uint32_t c,
                     struct err *err)
{
    const struct values *from = &in->column[c];
    struct values *to = &out->column[c];
    size_t n = in->n;

    switch (in->schema->column[c].kind) {
    case VALUE_KEY:
        memcpy(to->key, from->key, n * sizeof *to->key);
        if (from->missing && to->missing)
            memcpy(to->missing, from->missing, n);
        return 0;
    case VALUE_KEYS:
        return copy_keys(from, in->n, out, c, err);
    case VALUE_TEXT:
        return copy_text(from, in->n, out, c, err);
    case VALUE_TIME:
        memcpy(to->time, from->time, n * sizeof *to->time);
        return 0;
    case VALUE_VECTOR:
        n *= in->schema->column[c].dim;
        break;
    default:
        break;
    }
    memcpy(to->number, from->number, n * sizeof *to->number);
    return 0;
}

/* Vectors and times of side tables that stay as they are. */
static int check_same(const struct prepare *prepare, const struct block *in, uint32_t c,
                      uint32_t *at, struct err *err)
{
    uint32_t dim = prepare->raw.column[c].dim;
    bool vector = prepare->raw.column[c].kind == VALUE_VECTOR;

    for (uint32_t i = 0; i < in->n; i++) {
        bool missing = !vector && in->column[c].time[i] == TIME_MISSING;

        for (uint32_t k = 0; vector && k < dim; k++)
            missing |= isnan(in->column[c].number[(size_t)i * dim + k]) != 0;
        *at = i;
        if (missing)
            return is_missing(&prepare->column[c], err);
    }
    return 0;
}

static int apply_column(struct prepare *prepare, const struct block *in, uint32_t c,
                        struct block *out, uint32_t *at, struct err *err)
{
    switch (prepare->column[c].path) {
    case PATH_NUMBER:
        return apply_number(prepare, in, c, &out->column[c], at, err);
    case PATH_BUCKETS:
    case PATH_KEY:
        return apply_key(prepare, in, c, &out->column[c], at, err);
    case PATH_KEYS:
        return apply_keys(prepare, in, c, out, err);
    case PATH_WORDS:
        return apply_words(prepare, in, c, out, at, err);
    case PATH_VECTOR:
        return apply_vector(prepare, in, c, &out->column[c], at, err);
    case PATH_HISTORY:
        return apply_history(prepare, in, c, out, err);
    default:
        if (prepare->column[c].checks && check_same(prepare, in, c, at, err))
            return -err->code;
        return copy_same(in, out, c, err);
    }
}

int prepare_apply(struct prepare *prepare, const struct block *in, struct block *out,
                  uint32_t *at, struct err *err)
{
    int rc = 0;

    *at = 0;
    block_clear(out);
    for (uint32_t c = 0; rc == 0 && c < prepare->prepared.columns; c++) {
        bool text = c < prepare->raw.columns && prepare->raw.column[c].keep_text &&
                    prepare->raw.column[c].kind == VALUE_KEY;

        rc = apply_column(prepare, in, c, out, at, err);
        if (rc == 0 && text)
            rc = copy_text(&in->column[c], in->n, out, c, err);
    }
    if (rc)
        return rc;
    memcpy(out->place, in->place, in->n * sizeof *out->place);
    out->n = in->n;
    return 0;
}

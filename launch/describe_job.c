/* A job file to begin with, from what rowhouse describe has found. */
#include <string.h>
#include <sys/stat.h>

#include "launch/describe.h"

enum { NONE = -1 };

static const char user_words[] = "user|customer|reviewer|member|visitor|uid$|session";
static const char item_words[] =
    "item|movie|film|song|track|artist|product|book|article|anime|game|video|asin|iid$";
static const char label_words[] = "label|rating|score|stars|click|target|liked|play";

static bool fits(const struct description *d, int c, bool keys)
{
    enum profile_kind kind = d->kind[c];

    return keys ? kind == PROFILE_KEY
                : kind == PROFILE_INTEGER || kind == PROFILE_NUMBER;
}

/* The first column of that kind but `except` whose name has one of the words; with ""
 * the first one. */
static int find(const struct description *d, const char *words, int except, bool keys)
{
    for (int c = 0; c < (int)d->schema.columns; c++)
        if (c != except && fits(d, c, keys) &&
            (!*words || profile_name_has(d->schema.column[c].name, words)))
            return c;
    return NONE;
}

/* By their names first; then users are those that come first. */
static void find_keys(const struct description *d, int *user, int *item)
{
    *user = d->schema.user;
    if (*user == SCHEMA_NONE || !fits(d, *user, true))
        *user = find(d, user_words, NONE, true);
    *item = find(d, item_words, *user, true);
    if (*user == NONE)
        *user = find(d, "", *item, true);
    if (*item == NONE)
        *item = find(d, "", *user, true);
}

static int find_label(const struct description *d)
{
    int label = d->schema.label;

    if (label == SCHEMA_NONE)
        label = find(d, label_words, NONE, false);
    return label == NONE ? find(d, "", NONE, false) : label;
}

/* In double quotes, as YAML wants it. */
static void print_quoted(FILE *out, const char *text)
{
    fputc('"', out);
    for (; *text; text++) {
        if (*text == '"' || *text == '\\')
            fprintf(out, "\\%c", *text);
        else if ((unsigned char)*text < 0x20)
            fprintf(out, "\\x%02x", (unsigned)(unsigned char)*text);
        else
            fputc(*text, out);
    }
    fputc('"', out);
}

static void print_pair(FILE *out, const char *name, const char *value)
{
    fprintf(out, "  %s: ", name);
    print_quoted(out, value);
    fputc('\n', out);
}

static bool label_is_binary(const struct profile *p)
{
    return p->moments.min == 0 && p->moments.max == 1 && p->numbers == p->integers;
}

/* Does it come but once, so that only memory has it for another epoch? */
static bool is_pipe(const char *path)
{
    struct stat status;

    return strcmp(path, "-") == 0 ||
           (stat(path, &status) == 0 && S_ISFIFO(status.st_mode));
}

/* In a list of one where a text would be taken for several, or as quoted. */
static void print_train(FILE *out, const char *path)
{
    bool list = strpbrk(path, ",\"' ");

    fprintf(out, "  train: %s", list ? "[" : "");
    print_quoted(out, path);
    fprintf(out, "%s\n", list ? "]" : "");
    if (is_pipe(path))
        fprintf(out, "  in_memory: true       # it is read only once\n");
}

/* How the file is laid out, where it is not the rule. */
static void print_layout(const struct description *d, FILE *out)
{
    const struct guess *g = &d->guess;
    bool csv = strcmp(d->format, "csv") == 0, tsv = strcmp(d->format, "tsv") == 0;

    print_train(out, d->path);
    fprintf(out, "  format: %s\n", d->format);
    if ((csv && strcmp(g->delimiter, ",") != 0) ||
        (tsv && strcmp(g->delimiter, "\t") != 0))
        print_pair(out, "delimiter", g->delimiter);
    if (csv && !g->quotes)
        fprintf(out, "  quotes: false\n");
    if ((csv || tsv) && !g->header)
        fprintf(out, "  header: false\n");
    if (g->latin1)
        fprintf(out, "  encoding: latin-1\n");
}

static void print_data(const struct description *d, int user, int item, int label,
                       FILE *out)
{
    uint64_t bad = d->bad_rows + d->profile[user].missing + d->profile[item].missing +
                   d->profile[label].missing;

    fprintf(out, "data:\n");
    print_layout(d, out);
    print_pair(out, "label", d->schema.column[label].name);
    if (bad)
        fprintf(out,
                "  bad_rows: skip        # rows without a key or label, too\n"
                "  bad_rows_max: %llu\n",
                2 * (unsigned long long)bad + 1000);
    fprintf(out, "  columns:\n    ");
    print_quoted(out, d->schema.column[user].name);
    fprintf(out, ": {as: key, table: user}\n    ");
    print_quoted(out, d->schema.column[item].name);
    fprintf(out, ": {as: key, table: item}\n  split: {test: 0.1}\n");
}

int describe_job(const struct description *d, FILE *out, struct err *err)
{
    int user, item, label = find_label(d);

    find_keys(d, &user, &item);
    if (user == NONE || item == NONE)
        return err_set(
            err, ERR_INPUT,
            "%.400s: a job needs two columns of keys, one of those who rate and "
            "one of what they rate; none or one was found",
            d->path);
    if (label == NONE)
        return err_set(err, ERR_INPUT,
                       "%.400s: a job needs a label, and no column looks like one",
                       d->path);
    fprintf(out, "# A start, not tuned: docs/settings.md has the rest.\n");
    print_data(d, user, item, label, out);
    fprintf(out,
            "tables:\n"
            "  user: {dim: 16}         # about %.0f rows\n"
            "  item: {dim: 16}         # about %.0f\n"
            "model: {kind: mf, loss: %s}\n"
            "optimizer: {kind: adagrad, rate: 0.1, l2: 0.02}\n"
            "train: {epochs: 10, batch: 4096}\n"
            "evaluate: {metrics: [%s]}\n",
            profile_distinct(&d->profile[user]), profile_distinct(&d->profile[item]),
            label_is_binary(&d->profile[label]) ? "logistic" : "squared",
            label_is_binary(&d->profile[label]) ? "logloss" : "rmse");
    return 0;
}

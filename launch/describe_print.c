/* What rowhouse describe prints: a line or two for each column, how popular keys are,
 * and a job file to begin with. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "common/wording.h"
#include "launch/describe.h"

enum { NAME_WIDTH = 14, CURVE_HEIGHT = 8, CURVE_WIDTH_MAX = 72, TOP = 5 };

static const char *const kind_names[] = {"key",  "keys", "integer", "number",
                                         "time", "text", "nothing"};

static const char *shown_time(double seconds, char text[32])
{
    time_t when = (time_t)seconds;
    struct tm parts;

    if (!(fabs(seconds) < 1e12) || !gmtime_r(&when, &parts) ||
        !strftime(text, 32, "%Y-%m-%d %H:%M:%S", &parts))
        snprintf(text, 32, "%.0f s", seconds);
    return text;
}

/* --- columns ------------------------------------------------------------------- */

static bool is_table(const struct description *d)
{
    return strcmp(d->format, "tsv") == 0 || strcmp(d->format, "csv") == 0;
}

static void print_title(const struct description *d, FILE *out)
{
    const struct guess *g = &d->guess;
    char rows[32];

    fprintf(out, "%s: %s%s rows of %u columns, ", d->path, d->cut ? "the first " : "",
            wording_grouped((double)d->rows, rows), d->schema.columns);
    fputs(d->format, out);
    if (is_table(d))
        fprintf(out, ", '%s' between them, %s%s",
                strcmp(g->delimiter, "\t") == 0 ? "\\t" : g->delimiter,
                g->header ? "under a header" : "no header",
                g->quotes ? ", quotes" : "");
    fprintf(out, "%s\n", g->latin1 ? ", Latin-1" : "");
    if (is_table(d) && g->columns > d->schema.columns)
        fprintf(out, "the first %u of %u columns are described\n", d->schema.columns,
                g->columns);
    if (d->bad_rows)
        fprintf(out, "%s rows cannot be read, the first at %s\n",
                wording_grouped((double)d->bad_rows, rows), d->first_bad);
}

/* What is known of a column, in lines beside its name: each thing only if it fits. */
struct notes {
    FILE *out;
    int indent, width;
    bool begun; /* the first line, beside the name, has something */
};

static void note(struct notes *notes, const char *text)
{
    if (!*text)
        return;
    if (notes->begun)
        fprintf(notes->out, "%*s", notes->indent, "");
    fprintf(notes->out, "%s\n", text);
    notes->begun = true;
}

static int columns_of(const char *text)
{
    int columns = 0;

    for (; *text; text++)
        columns += ((unsigned char)*text & 0xC0) != 0x80;
    return columns;
}

static int note_numbers(struct notes *notes, const struct profile *p, struct err *err)
{
    static const double shares[] = {0.25, 0.5, 0.75};
    const struct moments *m = &p->moments;
    double quarter[3];
    char line[128];

    if (quantiles_at(&p->quantiles, shares, 3, quarter, err))
        return -err->code;
    snprintf(line, sizeof line, "%.6g to %.6g, mean %.4g, deviation %.3g", m->min,
             m->max, m->mean, moments_deviation(m));
    note(notes, line);
    snprintf(line, sizeof line, "quartiles %.6g, %.6g, %.6g", quarter[0], quarter[1],
             quarter[2]);
    note(notes, line);
    return 0;
}

static void note_times(struct notes *notes, const struct profile *p)
{
    char least[32], most[32], line[80];

    snprintf(line, sizeof line, "%s to %s", shown_time(p->moments.min, least),
             shown_time(p->moments.max, most));
    note(notes, line);
}

/* The most frequent values, each with its share of the rows. */
static int note_frequent(struct notes *notes, const struct frequent *frequent,
                         uint64_t rows, const char *lead, struct err *err)
{
    struct frequent_key top[TOP];
    char text[FREQUENT_TEXT_MAX + 1], shown[WORDING_SHOWN_MAX], one[128], line[512];
    int64_t n = frequent_list(frequent, top, TOP, err);
    double share;

    if (n < 0)
        return -err->code;
    snprintf(line, sizeof line, "%s", lead);
    for (int64_t i = 0; i < n; i++) {
        size_t used = strlen(line);

        if (top[i].length == 0 || top[i].count <= frequent_error(frequent) * 2)
            break;
        memcpy(text, top[i].text, top[i].length);
        text[top[i].length] = '\0';
        share = 100 * (double)top[i].count / (double)rows;
        snprintf(one, sizeof one, "%s%s (%.*g %%)", i ? ", " : "",
                 wording_shown(text, shown), share < 99.5 ? 2 : 3, share);
        if (columns_of(line) + columns_of(one) > notes->width ||
            used + strlen(one) >= sizeof line)
            break;
        memcpy(line + used, one, strlen(one) + 1);
    }
    note(notes, line);
    return 0;
}

static int note_parts(struct notes *notes, const struct profile *p, struct err *err)
{
    char lead[64], count[32];

    if (!p->frequent_parts.keys)
        return 0;
    wording_grouped(round(distinct_estimate(&p->parts)), count);
    if (p->separator)
        snprintf(lead, sizeof lead, "%s parts between '%c'", count, p->separator);
    else
        snprintf(lead, sizeof lead, "%s keys", count);
    note(notes, lead);
    return note_frequent(notes, &p->frequent_parts, p->n, "", err);
}

/* Exact as long as it is known exactly, then three digits. */
static const char *shown_distinct(const struct profile *p, char text[40])
{
    double distinct = profile_distinct(p), unit;
    char digits[32];

    if (p->skew.halvings == 0)
        return wording_grouped(distinct, text);
    unit = pow(10, floor(log10(distinct)) - 2);
    snprintf(text, 40, "~%s", wording_grouped(round(distinct / unit) * unit, digits));
    return text;
}

static int print_column(const struct description *d, uint32_t c, FILE *out, int width,
                        struct err *err)
{
    const struct profile *p = &d->profile[c];
    enum profile_kind kind = d->kind[c];
    char name[WORDING_SHOWN_MAX], missing[32], distinct[40];
    struct notes notes = {.out = out};
    bool numbers = kind == PROFILE_INTEGER || kind == PROFILE_NUMBER;
    int rc = 0;

    notes.indent = fprintf(
        out, "  %-*s  %-7s %10s %12s  ", NAME_WIDTH,
        wording_shown(d->schema.column[c].name, name), kind_names[kind],
        wording_grouped((double)p->missing, missing), shown_distinct(p, distinct));
    notes.width = width - notes.indent;
    if (numbers && p->moments.n)
        rc = note_numbers(&notes, p, err);
    else if (kind == PROFILE_TIME && p->moments.n)
        note_times(&notes, p);
    if (rc == 0 && kind == PROFILE_KEYS)
        rc = note_parts(&notes, p, err);
    else if (rc == 0 && kind != PROFILE_TIME)
        rc = note_frequent(&notes, &p->frequent, p->n, "", err);
    if (!notes.begun)
        fputc('\n', out);
    return rc;
}

/* --- popularity ---------------------------------------------------------------- */

/* A part of a chart's column, in eighths from 0 to 8. */
static const char *block_of(int eighths, bool unicode)
{
    static const char *const blocks[] = {" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"};

    if (!unicode)
        return eighths >= 4 ? "#" : " ";
    return blocks[eighths];
}

static void print_axis(FILE *out, double least, int columns)
{
    char axis[CURVE_WIDTH_MAX + 32];
    int end = 0;

    memset(axis, ' ', sizeof axis);
    for (int power = -9; power <= 0; power++) {
        double share = pow(10, power);
        char label[24];
        int at, n;

        if (share < least * 0.999)
            continue;
        at = (int)lround((columns - 1) * (1 - log(share) / log(least)));
        n = snprintf(label, sizeof label, "%.10g %%", share * 100);
        at -= at + n > columns ? at + n - columns : 0;
        if (at < end)
            continue;
        memcpy(axis + at, label, (size_t)n);
        end = at + n + 1;
    }
    fprintf(out, "       %.*s of the keys\n", end > 0 ? end - 1 : 0, axis);
}

/* The share of rows that the most frequent keys have: up, over which share of the keys
 * they are, by powers of ten. */
static int print_curve(const struct description *d, uint32_t c, FILE *out, int width,
                       bool unicode, struct err *err)
{
    const struct profile *p = &d->profile[c];
    double share[CURVE_WIDTH_MAX], reach[CURVE_WIDTH_MAX];
    double least = 1 / profile_distinct(p);
    int columns = width - 24;
    char name[WORDING_SHOWN_MAX];

    if (columns > CURVE_WIDTH_MAX)
        columns = CURVE_WIDTH_MAX;
    for (int x = 0; x < columns; x++)
        share[x] = pow(least, 1 - (double)x / (columns - 1));
    share[columns - 1] = 1;
    if (skew_curve(&p->skew, &p->frequent, share, (uint32_t)columns, reach, err))
        return -err->code;
    fprintf(out, "\n  %s: the share of rows that the most frequent keys have\n",
            wording_shown(d->schema.column[c].name, name));
    for (int row = CURVE_HEIGHT - 1; row >= 0; row--) {
        if (row % 2)
            fprintf(out, " %3d %% ", (row + 1) * 100 / CURVE_HEIGHT);
        else
            fprintf(out, "       ");
        for (int x = 0; x < columns; x++) {
            double eighths = 8 * (reach[x] * CURVE_HEIGHT - row);

            fputs(block_of(eighths <= 0   ? 0
                           : eighths >= 8 ? 8
                                          : (int)lround(eighths),
                           unicode),
                  out);
        }
        fputc('\n', out);
    }
    print_axis(out, least, columns);
    return 0;
}

int describe_print(const struct description *d, FILE *out, int width, bool unicode,
                   struct err *err)
{
    print_title(d, out);
    fprintf(out, "\n  %-*s  %-7s %10s %12s\n", NAME_WIDTH, "column", "is", "missing",
            "different");
    for (uint32_t c = 0; c < d->schema.columns; c++)
        if (print_column(d, c, out, width, err))
            return -err->code;
    for (uint32_t c = 0; c < d->schema.columns; c++)
        if (d->kind[c] == PROFILE_KEY && profile_distinct(&d->profile[c]) >= 20 &&
            print_curve(d, c, out, width, unicode, err))
            return -err->code;
    return 0;
}

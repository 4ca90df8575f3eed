#include "launch/bench_options.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { NAMES_MAX = 512 };

/* "a, b and c", as far as there is room. */
static void add_name(char *names, const char *name, bool last, const char *joint)
{
    size_t at = strlen(names);

    snprintf(names + at, NAMES_MAX - at, "%s%s", !at ? "" : last ? joint : ", ", name);
}

static int unknown(const char *bench, const struct bench_option *option, size_t count,
                   const char *name, struct err *err)
{
    char names[NAMES_MAX] = "";

    for (size_t i = 0; i < count; i++)
        add_name(names, option[i].name, i + 1 == count, " and ");
    return err_set(err, ERR_INPUT, "bench %s: unknown option '%s'; there are %s", bench,
                   name, names);
}

static int unfit(const char *bench, const struct bench_option *option, const char *text,
                 struct err *err)
{
    char names[NAMES_MAX] = "";

    if (option->kind == BENCH_CHOICE) {
        for (size_t i = 0; option->choices[i]; i++)
            add_name(names, option->choices[i], !option->choices[i + 1], " or ");
        return err_set(err, ERR_INPUT, "bench %s: %s must be %s, not '%s'", bench,
                       option->name, names, text ? text : "");
    }
    if (option->kind == BENCH_LIST)
        return err_set(err, ERR_INPUT,
                       "bench %s: %s must be up to %d numbers from %.15g to %.15g with "
                       "commas between, not '%s'",
                       bench, option->name, BENCH_LIST_MAX, option->min, option->max,
                       text ? text : "");
    if (option->kind == BENCH_TEXT)
        return err_set(err, ERR_INPUT, "bench %s: %s needs a value", bench,
                       option->name);
    return err_set(err, ERR_INPUT,
                   "bench %s: %s must be a number from %.15g to %.15g, not '%s'", bench,
                   option->name, option->min, option->max, text ? text : "");
}

/* A number at `text`, which ends there or with a comma; where it ends, or NULL. */
static const char *take_number(const struct bench_option *option, const char *text,
                               uint64_t *value)
{
    char *end;

    if (*text < '0' || *text > '9')
        return NULL;
    errno = 0;
    *value = strtoull(text, &end, 10);
    if (errno || (double)*value < option->min || (double)*value > option->max)
        return NULL;
    return end;
}

static bool take_list(const struct bench_option *option, const char *text,
                      struct bench_list *list)
{
    list->count = 0;
    do {
        if (list->count == BENCH_LIST_MAX)
            return false;
        text = take_number(option, text, &list->value[list->count++]);
    } while (text && *text == ',' && *++text);
    return text && *text == '\0' && text[-1] != ',';
}

static bool take_real(const struct bench_option *option, const char *text,
                      double *value)
{
    char *end;

    *value = strtod(text, &end);
    return end != text && *end == '\0' && *value >= option->min &&
           *value <= option->max;
}

static bool take_choice(const struct bench_option *option, const char *text,
                        int *choice)
{
    for (int i = 0; option->choices[i]; i++)
        if (strcmp(text, option->choices[i]) == 0) {
            *choice = i;
            return true;
        }
    return false;
}

static bool take(const struct bench_option *option, const char *text, void *field)
{
    const char *end;

    switch (option->kind) {
    case BENCH_NUMBER:
        end = text ? take_number(option, text, field) : NULL;
        return end && *end == '\0';
    case BENCH_REAL:
        return text && take_real(option, text, field);
    case BENCH_LIST:
        return text && take_list(option, text, field);
    case BENCH_CHOICE:
        return text && take_choice(option, text, field);
    case BENCH_TEXT:
        *(const char **)field = text;
        return text && *text;
    default:
        *(bool *)field = true;
        return true;
    }
}

int bench_parse(const char *bench, const struct bench_option *option, size_t count,
                int argc, char **argv, void *options, struct err *err)
{
    for (int i = 0; i < argc; i++) {
        const char *value = i + 1 < argc ? argv[i + 1] : NULL;
        size_t o = 0;

        while (o < count && strcmp(option[o].name, argv[i]) != 0)
            o++;
        if (o == count)
            return unknown(bench, option, count, argv[i], err);
        if (!take(&option[o], value, (char *)options + option[o].offset))
            return unfit(bench, &option[o], value, err);
        i += option[o].kind != BENCH_SWITCH;
    }
    return 0;
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

double bench_median(double *values, size_t n)
{
    qsort(values, n, sizeof *values, compare);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

int bench_print_json(json_t *json, FILE *out, struct err *err)
{
    int rc = 0;

    if (!json || json_dumpf(json, out, JSON_INDENT(2) | JSON_REAL_PRECISION(6)))
        rc = err_set(err, ERR_SYSTEM, "the results could not be written");
    else
        fputc('\n', out);
    json_decref(json);
    return rc;
}

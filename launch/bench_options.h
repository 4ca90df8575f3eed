/* What all benchmarks share: their options, and medians. */
#ifndef ROWHOUSE_LAUNCH_BENCH_OPTIONS_H
#define ROWHOUSE_LAUNCH_BENCH_OPTIONS_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "common/err.h"

enum { BENCH_LIST_MAX = 32 };

enum bench_option_kind {
    BENCH_NUMBER, /* uint64_t, min .. max */
    BENCH_REAL,   /* double, min .. max */
    BENCH_LIST,   /* struct bench_list of such numbers: "64,4096" */
    BENCH_CHOICE, /* int: which of `choices` */
    BENCH_TEXT,   /* const char *, as given, not empty */
    BENCH_SWITCH, /* bool; takes no value */
};

struct bench_list {
    uint64_t value[BENCH_LIST_MAX];
    uint32_t count;
};

/* One option of a benchmark; `offset` is that of the field that it sets. */
struct bench_option {
    const char *name; /* "--rows" */
    enum bench_option_kind kind;
    size_t offset;
    double min, max;            /* numbers: whole ones up to 2^53 */
    const char *const *choices; /* ends with NULL */
};

/* Takes the options in argv[0 .. argc-1] into the fields of `options`; those that are
 * not given keep their values. -ERR_INPUT: the sentence names the benchmark, the option
 * and what it may be. */
int bench_parse(const char *bench, const struct bench_option *option, size_t count,
                int argc, char **argv, void *options, struct err *err);

/* Sorts the values; n > 0. Of an even number, the mean of the middle two. */
double bench_median(double *values, size_t n);

/* Prints `json` and gives it back; NULL is an error, too. */
int bench_print_json(json_t *json, FILE *out, struct err *err);

#endif

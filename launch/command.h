/* Commands: one row each in a table (launch/main.c) that makes parsing and --help. */
#ifndef ROWHOUSE_LAUNCH_COMMAND_H
#define ROWHOUSE_LAUNCH_COMMAND_H

#include <stdbool.h>
#include <stddef.h>

#include "common/err.h"

enum { ARGUMENTS_MAX = 256 };

/* A command line, parsed. Strings are borrowed from argv. */
struct arguments {
    const char *operand;           /* JOB or CHECKPOINT */
    char *override[ARGUMENTS_MAX]; /* KEY=VALUE */
    int overrides;
    bool resume, fresh, quiet, json, markdown, job, texts;
    const char *report, *checkpoint, *data, *out, *layer, *user, *users, *top, *table,
        *format, *examples, *items, *seed, *dim, *zipf, *noise, *rows;
    int argc; /* bench: what follows its name, unparsed */
    char **argv;
};

struct option_row {
    const char *name;  /* "--resume"; NULL ends the list */
    const char *value; /* what it takes, "FILE"; NULL = a switch */
    size_t offset;     /* of the field in struct arguments */
    const char *doc;
};

struct command {
    const char *name, *operand; /* operand: "JOB", "CHECKPOINT" or NULL */
    bool takes_settings;        /* KEY=VALUE after the operand */
    bool raw;                   /* parses its own arguments */
    const struct option_row *option;
    const char *summary;
    /* Returns the exit status; complains itself. */
    int (*run)(const struct arguments *arguments);
};

int command_train(const struct arguments *arguments);
int command_evaluate(const struct arguments *arguments);
int command_predict(const struct arguments *arguments);
int command_prepare(const struct arguments *arguments);
int command_plan(const struct arguments *arguments);
int command_recommend(const struct arguments *arguments);
int command_bench(const struct arguments *arguments);
int command_inspect(const struct arguments *arguments);
int command_verify(const struct arguments *arguments);
int command_export(const struct arguments *arguments);
int command_describe(const struct arguments *arguments);
int command_pack(const struct arguments *arguments);
int command_generate(const struct arguments *arguments);
int command_settings(const struct arguments *arguments);

#endif

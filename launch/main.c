/* rowhouse: from the command line to the exit status. */
#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/log.h"
#include "common/net/message.h"
#include "launch/command.h"
#include "launch/run.h"

#define FIELD(name) offsetof(struct arguments, name)

static const struct option_row train_options[] = {
    {"--resume", NULL, FIELD(resume), "go on from the newest checkpoint"},
    {"--fresh", NULL, FIELD(fresh), "start anew; checkpoints that are there make way"},
    {"--report", "FILE", FIELD(report), "write what happened as JSON"},
    {"--quiet", NULL, FIELD(quiet), "no progress"},
    {0}};

static const struct option_row evaluate_options[] = {
    {"--checkpoint", "DIR", FIELD(checkpoint), "instead of the job's checkpoint.dir"},
    {"--report", "FILE", FIELD(report), "write the metrics as JSON"},
    {0}};

static const struct option_row predict_options[] = {
    {"--data", "FILE", FIELD(data),
     "examples to predict, with the job's key columns; all must be right"},
    {"--out", "FILE|-", FIELD(out), "one prediction a line; - is standard output"},
    {"--layer", "NAME", FIELD(layer),
     "the values of a layer instead (mf: user or item)"},
    {"--checkpoint", "DIR", FIELD(checkpoint), "instead of the job's checkpoint.dir"},
    {0}};

static const struct option_row recommend_options[] = {
    {"--user", "ID", FIELD(user), "for this user"},
    {"--users", "FILE", FIELD(users), "for each user of a file, one a line"},
    {"--top", "K", FIELD(top), "how many items (10)"},
    {"--checkpoint", "DIR", FIELD(checkpoint), "instead of the job's checkpoint.dir"},
    {"--json", NULL, FIELD(json), "one JSON object a line for each user"},
    {0}};

static const struct option_row plan_options[] = {
    {"--json", NULL, FIELD(json), "as JSON"}, {0}};

static const struct option_row inspect_options[] = {
    {"--json", NULL, FIELD(json), "as JSON"}, {0}};

static const struct option_row export_options[] = {
    {"--table", "T", FIELD(table), "which table"},
    {"--format", "csv|npy", FIELD(format), "text, or NumPy arrays (OUT, OUT.keys.npy)"},
    {"--out", "FILE", FIELD(out), "a file that does not exist yet"},
    {0}};

static const struct option_row prepare_options[] = {
    {"--data", "FILE", FIELD(data),
     "what to prepare, in the format of data.train (that)"},
    {"--checkpoint", "DIR", FIELD(checkpoint),
     "take the preparation from there, else fit it on the training part"},
    {"--out", "FILE|-", FIELD(out), "- is standard output"},
    {"--json", NULL, FIELD(json), "JSON, one object a line, else CSV"},
    {0}};

static const struct option_row pack_options[] = {
    {"--out", "FILE|-", FIELD(out), "the packed file; - is standard output"},
    {"--data", "FILES", FIELD(data), "instead of the job's data.train"},
    {"--texts", NULL, FIELD(texts), "keep keys as they stand, and titles (recommend)"},
    {"--quiet", NULL, FIELD(quiet), "no progress"},
    {0}};

static const struct option_row describe_options[] = {
    {"--format", "F", FIELD(format), "as data.format calls it, not guessed"},
    {"--rows", "N", FIELD(rows), "look at the first N rows only"},
    {"--job", NULL, FIELD(job), "print a job file that trains on it instead"},
    {0}};

static const struct option_row generate_options[] = {
    {"--examples", "N", FIELD(examples), "how many"},
    {"--users", "U", FIELD(users), "ids 1 to U, some more active than others"},
    {"--items", "I", FIELD(items), "ids 1 to I, popular by Zipf's law"},
    {"--seed", "S", FIELD(seed), "the same gives the same log (1)"},
    {"--format", "tsv|packed", FIELD(format),
     "user item label time, under a header or as rowhouse pack writes them (tsv)"},
    {"--out", "FILE|-", FIELD(out), "- is standard output (-)"},
    {"--dim", "D", FIELD(dim), "numbers in the hidden vectors of tastes, 1 to 64 (8)"},
    {"--zipf", "A", FIELD(zipf), "the item of rank r is met with weight r^-A (1)"},
    {"--noise", "X", FIELD(noise), "deviation of labels that nothing explains (0.4)"},
    {0}};

static const struct option_row settings_options[] = {
    {"--markdown", NULL, FIELD(markdown), "as docs/settings.md"}, {0}};

static const struct option_row no_options[] = {{0}};

static const struct command commands[] = {
    {"train", "JOB", true, false, train_options, "train a model; under mpirun or alone",
     command_train},
    {"evaluate", "JOB", true, false, evaluate_options,
     "test metrics of a checkpoint; under mpirun or alone", command_evaluate},
    {"predict", "JOB", true, false, predict_options,
     "one prediction for each line of a file", command_predict},
    {"prepare", "JOB", true, false, prepare_options,
     "the data as they are after preparation (data.columns)", command_prepare},
    {"plan", "JOB", true, false, plan_options,
     "the model's layers and tables, what they take; reads no data", command_plan},
    {"recommend", "JOB", true, false, recommend_options,
     "the items a user would like best, without those already rated",
     command_recommend},
    {"bench", NULL, false, true, no_options, "measure: rows, store (--help says how)",
     command_bench},
    {"inspect", "CHECKPOINT", false, false, inspect_options, "what is in a checkpoint",
     command_inspect},
    {"verify", "CHECKPOINT", false, false, no_options, "read and check every byte",
     command_verify},
    {"export", "CHECKPOINT", false, false, export_options,
     "write a table as CSV or NumPy", command_export},
    {"pack", "JOB", true, false, pack_options,
     "a job's examples by columns, in a file that is read at memory speed",
     command_pack},
    {"describe", "FILE", false, false, describe_options,
     "columns, values and popularity of a file; a job to begin with", command_describe},
    {"generate", NULL, false, false, generate_options,
     "a made-up log of any size, with tastes to be learnt", command_generate},
    {"settings", NULL, false, false, settings_options, "every setting of a job file",
     command_settings},
};

enum { COMMANDS = sizeof commands / sizeof commands[0] };

static void print_usage(FILE *out)
{
    fprintf(out, "rowhouse " ROWHOUSE_VERSION
                 " - a parameter server for recommenders\n\nusage:\n");
    for (int i = 0; i < COMMANDS; i++)
        fprintf(out, "  rowhouse %-10s%-11s%s\n", commands[i].name,
                commands[i].operand ? commands[i].operand : "", commands[i].summary);
    fprintf(
        out,
        "  rowhouse --help | --version | COMMAND --help\n"
        "\nSettings of the job file can be given on the command line: train.epochs=3\n"
        "Under mpirun all ranks run the same line; launch/rowhouse-mpirun has the "
        "flags.\n"
        "Exit status: 0 done, 1 the environment failed, 2 bad usage, settings or "
        "input,\n"
        "130 interrupted (with a checkpoint).\n");
}

static void print_command(const struct command *command)
{
    printf("rowhouse %s%s%s%s [options]: %s\n", command->name,
           command->operand ? " " : "", command->operand ? command->operand : "",
           command->takes_settings ? " [KEY=VALUE ...]" : "", command->summary);
    for (const struct option_row *o = command->option; o->name; o++) {
        char left[64];

        snprintf(left, sizeof left, "%s %s", o->name, o->value ? o->value : "");
        printf("  %-22s %s\n", left, o->doc);
    }
    if (command->takes_settings)
        printf("`rowhouse settings` lists what KEY can be.\n");
}

static int take_option(const struct command *command, char **argv, int *i,
                       struct arguments *arguments, struct err *err)
{
    const struct option_row *o = command->option;
    char *field;

    while (o->name && strcmp(o->name, argv[*i]) != 0)
        o++;
    if (!o->name)
        return err_set(err, ERR_INPUT,
                       "'rowhouse %s' has no option %s; see rowhouse %s --help",
                       command->name, argv[*i], command->name);
    field = (char *)arguments + o->offset;
    if (!o->value) {
        *(bool *)field = true;
        return 0;
    }
    if (!argv[*i + 1])
        return err_set(err, ERR_INPUT, "option %s needs %s", o->name, o->value);
    *(const char **)(void *)field = argv[++*i];
    return 0;
}

static int take_arguments(const struct command *command, char **argv,
                          struct arguments *arguments, struct err *err)
{
    for (int i = 0; argv[i]; i++) {
        if (argv[i][0] == '-' && argv[i][1] == '-') {
            if (take_option(command, argv, &i, arguments, err))
                return -err->code;
        } else if (command->operand && !arguments->operand) {
            arguments->operand = argv[i];
        } else if (command->takes_settings && strchr(argv[i], '=')) {
            if (arguments->overrides == ARGUMENTS_MAX)
                return err_set(err, ERR_INPUT,
                               "more than %d settings on the command line",
                               ARGUMENTS_MAX);
            arguments->override[arguments->overrides++] = argv[i];
        } else {
            return err_set(err, ERR_INPUT, "unexpected argument '%s'%s", argv[i],
                           command->takes_settings ? "; settings are given as KEY=VALUE"
                                                   : "");
        }
    }
    if (command->operand && !arguments->operand)
        return err_set(err, ERR_INPUT, "'rowhouse %s' needs a %s", command->name,
                       command->operand);
    return 0;
}

static bool wants_help(char **argv)
{
    for (; *argv; argv++)
        if (strcmp(*argv, "--help") == 0)
            return true;
    return false;
}

static int run_command(const struct command *command, int argc, char **argv)
{
    static struct arguments arguments; /* too large for a stack frame */
    struct err err;

    if (command->raw) {
        arguments.argc = argc;
        arguments.argv = argv;
        return command->run(&arguments);
    }
    if (wants_help(argv)) {
        print_command(command);
        return 0;
    }
    if (take_arguments(command, argv, &arguments, &err)) {
        log_error("%s", err.text);
        return 2;
    }
    return command->run(&arguments);
}

enum { MALLOC_MMAP_MIN = 32 << 20 }; /* the most that mallopt() takes */

/* ZeroMQ asks malloc for every message it receives. Memory of that size would come from
 * the kernel and go back to it each time, a page fault for each page: a sixth of what
 * its threads do. Queues bound how much is kept. */
static void keep_freed_memory(void)
{
    mallopt(M_MMAP_THRESHOLD, MALLOC_MMAP_MIN);
    mallopt(M_TRIM_THRESHOLD, MESSAGE_BODY_MAX);
}

int main(int argc, char **argv)
{
    const char *name = argc > 1 ? argv[1] : "";

    keep_freed_memory();
    if (run_is_child(argc, argv))
        return run_child(argv);
    for (int i = 0; i < COMMANDS; i++)
        if (strcmp(commands[i].name, name) == 0)
            return run_command(&commands[i], argc - 2, argv + 2);
    if (strcmp(name, "--version") == 0) {
        printf("rowhouse " ROWHOUSE_VERSION "\n");
        return 0;
    }
    if (strcmp(name, "--help") == 0) {
        print_usage(stdout);
        return 0;
    }
    if (name[0])
        log_error("there is no command '%s'; see rowhouse --help", name);
    else
        print_usage(stderr);
    return 2;
}

/* rowhouse describe: columns, their values, and a job file to begin with. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "common/log.h"
#include "launch/command.h"
#include "launch/describe.h"

enum { WIDTH = 100, WIDTH_MIN = 60, WIDTH_MAX = 200 };

static int take_rows(const char *text, uint64_t *rows, struct err *err)
{
    char *end;

    *rows = UINT64_MAX;
    if (!text)
        return 0;
    errno = 0;
    *rows = strtoull(text, &end, 10);
    if (*text < '0' || *text > '9' || *end || errno || *rows == 0)
        return err_set(err, ERR_INPUT, "--rows must be a number from 1 on, not '%.64s'",
                       text);
    return 0;
}

static int check_format(const char *format, struct err *err)
{
    static const char *const formats[] = {"tsv",      "csv",   "packed", "libsvm",
                                          "libffm",   "libfm", "criteo", "jsonl",
                                          "sequence", "ncf"};

    for (size_t i = 0; format && i < sizeof formats / sizeof *formats; i++)
        if (strcmp(formats[i], format) == 0)
            return 0;
    return format
               ? err_set(err, ERR_INPUT,
                         "--format must be one of those that data.format may be, not "
                         "'%.64s'",
                         format)
               : 0;
}

static int terminal_width(void)
{
    struct winsize size;

    if (ioctl(STDOUT_FILENO, TIOCGWINSZ, &size) != 0 || size.ws_col == 0)
        return WIDTH;
    return size.ws_col < WIDTH_MIN   ? WIDTH_MIN
           : size.ws_col > WIDTH_MAX ? WIDTH_MAX
                                     : size.ws_col;
}

/* Blocks are for a terminal whose letters are UTF-8. */
static bool shows_unicode(void)
{
    const char *locale = getenv("LC_ALL");

    if (!locale || !*locale)
        locale = getenv("LC_CTYPE");
    if (!locale || !*locale)
        locale = getenv("LANG");
    return isatty(STDOUT_FILENO) && locale &&
           (strcasestr(locale, "utf-8") || strcasestr(locale, "utf8"));
}

static int describe(const struct arguments *arguments, struct description *d,
                    struct err *err)
{
    uint64_t rows;
    int rc;

    if (take_rows(arguments->rows, &rows, err) || check_format(arguments->format, err))
        return -err->code;
    rc = describe_read(d, arguments->operand, arguments->format, rows, err);
    if (rc == 0 && d->rows == 0)
        rc = err_set(err, ERR_INPUT, "%.400s has no rows%s%.500s", d->path,
                     d->bad_rows ? " that can be read, the first is wrong at " : "",
                     d->first_bad);
    if (rc)
        return rc;
    rc = arguments->job
             ? describe_job(d, stdout, err)
             : describe_print(d, stdout, terminal_width(), shows_unicode(), err);
    if (rc == 0 && fflush(stdout))
        rc = err_system(err, "cannot write the description");
    return rc;
}

int command_describe(const struct arguments *arguments)
{
    struct description *d = calloc(1, sizeof *d);
    struct err err;
    int rc = d ? describe(arguments, d, &err)
               : err_set(&err, ERR_MEMORY, "no memory to describe a file");

    if (d)
        describe_release(d);
    free(d);
    if (rc == 0)
        return 0;
    log_error("%s", err.text);
    return err_exit_status(err.code);
}

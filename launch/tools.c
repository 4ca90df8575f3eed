/* The small commands: inspect, verify, export, settings. */
#include <stdio.h>
#include <string.h>

#include "common/job.h"
#include "common/log.h"
#include "launch/command.h"
#include "server/checkpoint.h"

static int complain(const struct err *err)
{
    log_error("%s", err->text);
    return err_exit_status(err->code);
}

int command_inspect(const struct arguments *arguments)
{
    struct err err;

    if (checkpoint_inspect(arguments->operand, arguments->json, stdout, &err))
        return complain(&err);
    return 0;
}

int command_verify(const struct arguments *arguments)
{
    struct err err;

    if (checkpoint_verify(arguments->operand, stdout, &err))
        return complain(&err);
    return 0;
}

int command_export(const struct arguments *arguments)
{
    struct err err;

    if (!arguments->table || !arguments->format || !arguments->out) {
        err_set(&err, ERR_INPUT, "export needs --table, --format and --out");
        return complain(&err);
    }
    if (checkpoint_export(arguments->operand, arguments->table, arguments->format,
                          arguments->out, &err))
        return complain(&err);
    return 0;
}

int command_settings(const struct arguments *arguments)
{
    job_print_settings(stdout, arguments->markdown);
    return 0;
}

/* rowhouse bench NAME: measurements that print what they found. */
#include <stdio.h>
#include <string.h>

#include "common/log.h"
#include "launch/bench_balance.h"
#include "launch/bench_optimizers.h"
#include "launch/bench_packed.h"
#include "launch/bench_read.h"
#include "launch/bench_rows.h"
#include "launch/bench_store.h"
#include "launch/bench_train.h"
#include "launch/bench_wire.h"
#include "launch/command.h"

struct bench_row {
    const char *name, *doc;
    int (*run)(int argc, char **argv, FILE *out, struct err *err);
};

static const struct bench_row benches[] = {
    {"rows",
     "--servers S --workers W --rows N --dim D --batch B --transport tcp|ipc|inproc "
     "--seconds T [--json]: pulls and pushes",
     bench_rows},
    {"store", "--rows N --dim D [--json]: a table alone, one thread", bench_store},
    {"wire", "--transport tcp|ipc|inproc --bytes LIST --seconds T [--json]: messages",
     bench_wire},
    {"optimizers", "--dim D --rows N --seconds T [--json]: rules for rows at hand",
     bench_optimizers},
    {"train", "--model mf --batch LIST --dim D [--json]: training as one process",
     bench_train},
    {"packed",
     "--examples N --users U --items I --dim D [--json]: reading what pack has written",
     bench_packed},
    {"read", "--file F | --examples N [--json]: reading a table of text", bench_read},
    {"balance",
     "--servers S --rows N --batch B --zipf A [--json]: how even shares of servers are",
     bench_balance},
};

enum { BENCHES = sizeof benches / sizeof benches[0] };

int command_bench(const struct arguments *arguments)
{
    const char *name = arguments->argc ? arguments->argv[0] : "";
    struct err err;

    for (int i = 0; i < BENCHES; i++) {
        if (strcmp(benches[i].name, name) != 0)
            continue;
        if (benches[i].run(arguments->argc - 1, arguments->argv + 1, stdout, &err) == 0)
            return 0;
        log_error("%s", err.text);
        return err_exit_status(err.code);
    }
    if (strcmp(name, "--help") != 0)
        log_error("there is no benchmark '%s'", name);
    for (int i = 0; i < BENCHES; i++)
        printf("rowhouse bench %-10s %s\n", benches[i].name, benches[i].doc);
    return strcmp(name, "--help") == 0 ? 0 : 2;
}

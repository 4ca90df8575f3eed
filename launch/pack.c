/* rowhouse pack: a job's examples as a packed file, to be read again and again. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/clock.h"
#include "common/log.h"
#include "common/progress.h"
#include "launch/command.h"
#include "launch/warn.h"
#include "worker/stream/columns.h"
#include "worker/stream/filelist.h"
#include "worker/stream/packed/packed.h"
#include "worker/stream/source.h"

enum { BLOCK_EXAMPLES = 4096, TELL_EVERY_MS = 200 };

struct packing {
    struct job *job; /* owned */
    struct schema schema;
    struct filelist files;
    struct source *source; /* owned */
    struct packed_writer *writer;
    struct block block;
    bool terminal; /* tell how far it is */
    int64_t tell_next;
    uint64_t examples;
};

static void release(struct packing *p)
{
    if (p->block.schema)
        block_release(&p->block);
    packed_destroy(p->writer);
    source_destroy(p->source);
    filelist_release(&p->files);
    free(p->job);
}

/* What need not be read need not be packed: titles without --texts. */
static void drop_unread(struct schema *schema)
{
    for (uint32_t c = 0; c < schema->columns;) {
        if (!schema->column[c].unread) {
            c++;
            continue;
        }
        memmove(&schema->column[c], &schema->column[c + 1],
                (schema->columns - c - 1) * sizeof schema->column[0]);
        schema->columns--;
        schema->label -= schema->label > (int)c;
        schema->weight -= schema->weight > (int)c;
        schema->user -= schema->user > (int)c;
        schema->time -= schema->time > (int)c;
    }
}

static int begin(struct packing *p, const struct arguments *arguments, struct err *err)
{
    unsigned wanted = COLUMNS_LABEL | (arguments->texts ? COLUMNS_TEXTS : 0);
    const char *files = arguments->data;

    if (!arguments->out)
        return err_set(err, ERR_INPUT, "pack needs --out FILE or -");
    p->job = calloc(1, sizeof *p->job);
    if (!p->job)
        return err_set(err, ERR_MEMORY, "no memory for a job");
    if (job_load(p->job, arguments->operand, arguments->override, arguments->overrides,
                 err) ||
        schema_of_job(p->job, wanted, &p->schema, err))
        return -err->code;
    drop_unread(&p->schema);
    if (filelist_init(&p->files, files ? files : p->job->data.train,
                      files ? "--data" : "data.train", err) ||
        source_create(p->job, &p->schema, &p->source, err) ||
        block_create(&p->block, &p->schema, BLOCK_EXAMPLES, err))
        return -err->code;
    return packed_create(arguments->out, &p->schema, 0, &p->writer, err);
}

static void tell(struct packing *p, const char *path)
{
    char count[24];

    if (!p->terminal || clock_ms() < p->tell_next)
        return;
    p->tell_next = clock_ms() + TELL_EVERY_MS;
    dprintf(STDERR_FILENO, "\r\033[K%s examples, reading %.60s",
            progress_format_count((double)p->examples, count, sizeof count), path);
}

static int pack_file(struct packing *p, const char *path, struct err *err)
{
    struct piece piece = {.path = path, .end = PIECE_END};
    int rc = source_open(p->source, &piece, err);

    while (rc == 0 && !packed_abandoned(p->writer) &&
           (rc = source_next(p->source, &p->block, err)) > 0) {
        p->examples += p->block.n;
        rc = packed_append(p->writer, &p->block, err);
        tell(p, path);
    }
    return rc < 0 ? rc : 0;
}

static int pack(struct packing *p, const struct arguments *arguments, struct err *err)
{
    struct packed_facts facts;
    int rc = begin(p, arguments, err);

    for (size_t i = 0; i < p->files.files && rc == 0; i++)
        rc = pack_file(p, p->files.path[i], err);
    if (p->terminal)
        dprintf(STDERR_FILENO, "\r\033[K");
    if (rc == 0 && p->examples == 0)
        rc = err_set(err, ERR_INPUT, "%s: there is no example to pack",
                     arguments->data ? arguments->data : "data.train");
    if (rc == 0)
        rc = packed_finish(p->writer, &facts, err);
    if (rc)
        return rc;
    warn_of_bad_rows(source_bad_rows(p->source));
    if (!arguments->quiet && !packed_abandoned(p->writer))
        log_info("packed %llu examples into %llu bytes, %.1f each",
                 (unsigned long long)facts.examples, (unsigned long long)facts.bytes,
                 (double)facts.bytes / (double)facts.examples);
    return 0;
}

int command_pack(const struct arguments *arguments)
{
    struct packing *p = calloc(1, sizeof *p);
    struct err err;
    int rc;

    if (!p) {
        log_error("no memory to pack");
        return 1;
    }
    signal(SIGPIPE, SIG_IGN); /* a reader that leaves is no error */
    p->terminal = isatty(STDERR_FILENO) && !arguments->quiet;
    rc = pack(p, arguments, &err);
    release(p);
    free(p);
    if (rc)
        log_error("%s", err.text);
    return rc ? err_exit_status(err.code) : 0;
}

#include "worker/stream/source.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "worker/stream/source_kinds.h"

/* The first one is for data.format: packed, the last for what no other knows. */
static const struct source_kind *const kinds[] = {&source_packed, &source_text};

enum { KINDS = sizeof kinds / sizeof *kinds };

struct source {
    bool packed;        /* all files are, whatever they begin with */
    uint32_t kind;      /* of the open piece */
    void *state[KINDS]; /* owned; by kind */
    struct bad_rows bad_rows;
};

int source_create(const struct job *job, const struct schema *schema,
                  struct source **source, struct err *err)
{
    struct source *made = calloc(1, sizeof *made);
    int rc = 0;

    if (!made)
        return err_set(err, ERR_MEMORY, "no memory to read files");
    made->packed = job->data.format == DATA_PACKED;
    for (uint32_t k = 0; rc == 0 && k < (made->packed ? 1 : KINDS); k++)
        rc = kinds[k]->create(job, schema, &made->bad_rows, &made->state[k], err);
    if (rc) {
        source_destroy(made);
        return rc;
    }
    *source = made;
    return 0;
}

void source_destroy(struct source *source)
{
    if (!source)
        return;
    for (uint32_t k = 0; k < KINDS; k++)
        kinds[k]->destroy(source->state[k]);
    free(source);
}

/* By the first bytes of a regular file; nothing is taken from a pipe. What cannot be
 * opened here is complained of by the last kind. */
static uint32_t kind_of(const char *path)
{
    unsigned char magic[SOURCE_MAGIC_BYTES];
    struct stat status;
    ssize_t bytes = 0;
    uint32_t k = 0;
    int fd = -1;

    if (KINDS > 1 && stat(path, &status) == 0 && S_ISREG(status.st_mode))
        fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd >= 0) {
        bytes = pread(fd, magic, sizeof magic, 0);
        close(fd);
    }
    while (k + 1 < KINDS && !kinds[k]->is(magic, bytes > 0 ? (size_t)bytes : 0))
        k++;
    return k;
}

int source_open(struct source *source, const struct piece *piece, struct err *err)
{
    source->kind = source->packed ? 0
                   : piece->name  ? KINDS - 1 /* spools are text */
                                  : kind_of(piece->path);
    return kinds[source->kind]->open(source->state[source->kind], piece, err);
}

int source_next(struct source *source, struct block *block, struct err *err)
{
    block_clear(block);
    return kinds[source->kind]->next(source->state[source->kind], block, err);
}

const char *source_where(struct source *source, uint64_t place)
{
    return kinds[source->kind]->where(source->state[source->kind], place);
}

const struct bad_rows *source_bad_rows(const struct source *source)
{
    return &source->bad_rows;
}

void source_forget_bad_rows(struct source *source)
{
    source->bad_rows = (struct bad_rows){0};
}

void bad_rows_add(struct bad_rows *to, const struct bad_rows *from)
{
    if (to->count == 0)
        memcpy(to->first, from->first, sizeof to->first);
    to->count += from->count;
}

void bad_rows_text(const struct bad_rows *bad, char *text, size_t size)
{
    text[0] = '\0';
    if (bad->count)
        snprintf(text, size,
                 "%llu row%s of the data %s wrong and left out (data.bad_rows: skip); "
                 "the first: %s",
                 (unsigned long long)bad->count, bad->count == 1 ? "" : "s",
                 bad->count == 1 ? "is" : "are", bad->first);
}

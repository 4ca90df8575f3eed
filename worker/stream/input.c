#include "worker/stream/input.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "worker/stream/filelist.h"
#include "worker/stream/sides.h"

struct input {
    struct schema files;  /* what they have */
    struct schema schema; /* and behind that, what side tables have */
    struct sides *sides;  /* owned; NULL = none */
    struct filelist list;
    size_t file;           /* number of the open file in the list */
    struct source *source; /* owned */
};

static int open_file(struct input *input, size_t number, struct err *err)
{
    const struct piece piece = {.path = input->list.path[number], .end = PIECE_END};

    input->file = number;
    return source_open(input->source, &piece, err);
}

/* Can it be opened once only? */
static bool is_pipe(const char *path)
{
    struct stat status;

    return strcmp(path, "-") == 0 ||
           (stat(path, &status) == 0 && !S_ISREG(status.st_mode));
}

/* Opens each file once, so that a wrong one is found before hours of work, and the
 * first one to stay. */
static int open_all(struct input *input, struct err *err)
{
    int rc = 0;

    for (size_t i = input->list.files - 1; rc == 0 && i > 0; i--)
        if (!is_pipe(input->list.path[i]))
            rc = open_file(input, i, err);
    return rc ? rc : open_file(input, 0, err);
}

int input_open(const struct job *job, const char *files, const char *why,
               unsigned wanted, struct input **input, struct err *err)
{
    struct input *made = calloc(1, sizeof *made);
    int rc;

    if (!made)
        return err_set(err, ERR_MEMORY, "%s: no memory to read examples", why);
    rc = schema_of_job(job, wanted, &made->files, err);
    made->schema = made->files;
    if (rc == 0)
        rc = filelist_init(&made->list, files, why, err);
    if (rc == 0)
        rc = source_create(job, &made->files, &made->source, err);
    if (rc == 0)
        rc = sides_load(job, wanted, &made->schema, &made->sides, err);
    if (rc == 0) {
        rc = open_all(made, err);
        if (rc)
            err_prefix(err, "%s", why);
    }
    if (rc) {
        input_close(made);
        return rc;
    }
    *input = made;
    return 0;
}

void input_close(struct input *input)
{
    if (!input)
        return;
    source_destroy(input->source);
    sides_destroy(input->sides);
    filelist_release(&input->list);
    free(input);
}

const struct schema *input_schema(const struct input *input)
{
    return &input->schema;
}

int input_next(struct input *input, struct block *block, struct err *err)
{
    for (;;) {
        int rc = source_next(input->source, block, err);

        if (rc > 0 && sides_join(input->sides, block, err))
            return -err->code;
        if (rc || input->file + 1 == input->list.files)
            return rc;
        rc = open_file(input, input->file + 1, err);
        if (rc)
            return rc;
    }
}

const char *input_path(const struct input *input)
{
    return input->list.path[input->file];
}

const char *input_where(struct input *input, uint64_t place)
{
    return source_where(input->source, place);
}

const struct bad_rows *input_bad_rows(const struct input *input)
{
    return source_bad_rows(input->source);
}

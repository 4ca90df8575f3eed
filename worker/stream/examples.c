#include "worker/stream/examples.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "worker/stream/columns.h"
#include "worker/stream/filelist.h"
#include "worker/stream/source.h"

enum { BLOCK_EXAMPLES = 2048, NO_TITLE = -1 };

struct examples {
    struct schema schema;
    uint32_t keys;
    int title[JOB_COLUMNS_MAX]; /* [keys]: place of each key's title, or NO_TITLE */
    struct filelist list;
    size_t file;           /* number of the open file in the list */
    struct source *source; /* owned */
    struct block block;
    uint32_t at;    /* examples of the block that were handed out */
    uint64_t place; /* of the last of them */
    uint64_t key[JOB_COLUMNS_MAX];
    const char *key_text[JOB_COLUMNS_MAX], *title_text[JOB_COLUMNS_MAX];
    char *copy; /* owned; the example's texts, each terminated */
    size_t copy_room;
};

/* --- files ----------------------------------------------------------------------- */

static int open_file(struct examples *examples, size_t number, struct err *err)
{
    struct piece piece = {.path = examples->list.path[number], .end = PIECE_END};

    examples->file = number;
    examples->place = 0;
    return source_open(examples->source, &piece, err);
}

/* Pipes can be opened only once. */
static bool is_pipe(const char *path)
{
    struct stat status;

    return strcmp(path, "-") == 0 ||
           (stat(path, &status) == 0 && S_ISFIFO(status.st_mode));
}

/* Opens each file once, so that a wrong one is found before hours of work, and the
 * first one to stay. The turn of pipes comes later. */
static int open_all(struct examples *examples, struct err *err)
{
    int rc = 0;

    for (size_t i = examples->list.files - 1; rc == 0 && i > 0; i--)
        if (!is_pipe(examples->list.path[i]))
            rc = open_file(examples, i, err);
    return rc ? rc : open_file(examples, 0, err);
}

/* --- columns --------------------------------------------------------------------- */

static bool wants_text(const struct schema_column *column)
{
    return (column->kind == VALUE_TEXT && !column->unread) || column->keep_text;
}

static void find_keys_and_titles(struct examples *examples)
{
    const struct schema_column *column = examples->schema.column;
    uint32_t columns = examples->schema.columns;

    while (examples->keys < columns && column[examples->keys].kind == VALUE_KEY)
        examples->keys++;
    for (uint32_t k = 0; k < examples->keys; k++) {
        examples->title[k] = NO_TITLE;
        for (uint32_t c = examples->keys; c < columns; c++)
            if (column[c].kind == VALUE_TEXT && column[c].table[0] &&
                strcmp(column[c].table, column[k].table) == 0)
                examples->title[k] = (int)c;
    }
}

int examples_open(const struct job *job, const char *files, const char *why,
                  unsigned wanted, struct examples **examples, struct err *err)
{
    struct examples *made = calloc(1, sizeof *made);
    int rc;

    if (!made)
        return err_set(err, ERR_MEMORY, "%s: no memory to read examples", why);
    rc = schema_of_job(job, wanted, &made->schema, err);
    find_keys_and_titles(made);
    if (rc == 0)
        rc = filelist_init(&made->list, files, why, err);
    if (rc == 0)
        rc = source_create(job, &made->schema, &made->source, err);
    if (rc == 0)
        rc = block_create(&made->block, &made->schema, BLOCK_EXAMPLES, err);
    if (rc == 0) {
        rc = open_all(made, err);
        if (rc)
            err_prefix(err, "%s", why);
    }
    if (rc) {
        examples_close(made);
        return rc;
    }
    *examples = made;
    return 0;
}

void examples_close(struct examples *examples)
{
    if (!examples)
        return;
    source_destroy(examples->source);
    if (examples->block.schema)
        block_release(&examples->block);
    filelist_release(&examples->list);
    free(examples->copy);
    free(examples);
}

/* --- reading --------------------------------------------------------------------- */

uint32_t examples_keys(const struct examples *examples)
{
    return examples->keys;
}

const char *examples_where(struct examples *examples)
{
    return source_where(examples->source, examples->place);
}

/* Copies a text of example i to *to, which moves on; NULL where there is none. */
static const char *copy_text(const struct examples *examples, int c, uint32_t i,
                             char **to)
{
    const struct values *values;
    char *text = *to;
    size_t length;

    if (c == NO_TITLE || !wants_text(&examples->schema.column[c]))
        return NULL;
    values = &examples->block.column[c];
    length = values->offset[i + 1] - values->offset[i];
    if (length)
        memcpy(text, values->text + values->offset[i], length);
    text[length] = '\0';
    *to += length + 1;
    return text;
}

static int copy_room(struct examples *examples, uint32_t i, struct err *err)
{
    const struct schema *schema = &examples->schema;
    size_t bytes = 0;
    char *larger;

    for (uint32_t c = 0; c < schema->columns; c++)
        if (wants_text(&schema->column[c]))
            bytes += examples->block.column[c].offset[i + 1] -
                     examples->block.column[c].offset[i] + 1;
    /* Two keys may have one table, and so one title. */
    bytes *= examples->keys;
    if (bytes <= examples->copy_room)
        return 0;
    larger = realloc(examples->copy, 2 * bytes);
    if (!larger)
        return err_set(err, ERR_MEMORY, "no memory for texts of %zu bytes", bytes);
    examples->copy = larger;
    examples->copy_room = 2 * bytes;
    return 0;
}

static int take(struct examples *examples, uint32_t i, struct example *example,
                struct err *err)
{
    const struct block *block = &examples->block;
    int label = examples->schema.label, rc = copy_room(examples, i, err);
    char *to = examples->copy;

    if (rc)
        return rc;
    examples->place = block->place[i];
    for (uint32_t k = 0; k < examples->keys; k++) {
        examples->key[k] = block->column[k].key[i];
        examples->key_text[k] = copy_text(examples, (int)k, i, &to);
        examples->title_text[k] = copy_text(examples, examples->title[k], i, &to);
        if (examples->title_text[k] && !*examples->title_text[k])
            examples->title_text[k] = NULL; /* the column is not there, or empty */
    }
    example->key = examples->key;
    example->key_text = examples->key_text;
    example->title = examples->title_text;
    example->label = label == SCHEMA_NONE ? NAN
                     : examples->schema.column[label].optional
                         ? 1 /* there is none */
                         : block->column[label].number[i];
    return 0;
}

int examples_next(struct examples *examples, struct example *example, struct err *err)
{
    int rc;

    while (examples->at == examples->block.n) {
        examples->at = 0;
        rc = source_next(examples->source, &examples->block, err);
        if (rc < 0)
            return rc;
        if (rc > 0)
            break;
        if (examples->file + 1 == examples->list.files)
            return 0;
        rc = open_file(examples, examples->file + 1, err);
        if (rc)
            return rc;
    }
    rc = take(examples, examples->at++, example, err);
    return rc ? rc : 1;
}

const struct bad_rows *examples_bad_rows(const struct examples *examples)
{
    return source_bad_rows(examples->source);
}

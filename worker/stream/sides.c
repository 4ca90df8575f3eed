#include "worker/stream/sides.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "common/vectors_npy.h"
#include "worker/stream/columns.h"
#include "worker/stream/dictionary.h"
#include "worker/stream/filelist.h"
#include "worker/stream/source.h"

enum { BLOCK_ROWS = 1024, BLOCKS_FIRST = 16, WHERE_MAX = 1200 };

/* Where a row stands: files are few, places in them many. */
struct side_row {
    uint32_t block, at;
};

struct side {
    const struct job_side *from; /* valid while it is read */
    struct schema schema;        /* of its rows: the id, then its columns */
    struct block *block;         /* [blocks]; owned */
    uint32_t *file;              /* [blocks]: of which file each is; owned */
    uint32_t blocks, room;
    struct dictionary ids;
    struct side_row *row; /* [ids.keys]; owned */
    uint32_t rows_room;
    uint32_t key_place;                 /* in the data's schema */
    uint32_t place[SCHEMA_COLUMNS_MAX]; /* there, of its columns from 1 on */
};

struct sides {
    uint32_t sides;
    struct side side[JOB_SIDES_MAX];
};

void sides_destroy(struct sides *sides)
{
    for (uint32_t s = 0; sides && s < sides->sides; s++) {
        struct side *side = &sides->side[s];

        for (uint32_t b = 0; b < side->blocks; b++)
            block_release(&side->block[b]);
        free(side->block);
        free(side->file);
        free(side->row);
        dictionary_release(&side->ids);
    }
    free(sides);
}

/* --- reading --------------------------------------------------------------------- */

/* The job as if the side table's files were its data. */
static struct job *job_of_side(const struct job *job, const struct job_side *side)
{
    struct job *own = malloc(sizeof *own);

    if (!own)
        return NULL;
    *own = *job;
    own->data.format = side->format;
    own->data.header = side->header;
    own->data.encoding = side->encoding;
#ifndef MUTANT_SIDE_SKIP
    own->data.bad_rows = BAD_ROWS_FAIL; /* one row less would change many examples */
#endif
    memcpy(own->data.delimiter, side->delimiter, sizeof own->data.delimiter);
    snprintf(own->data.names, sizeof own->data.names, "%s", side->names);
    return own;
}

static int add_block(struct side *side, uint32_t file, struct err *err)
{
    if (side->blocks == side->room) {
        uint32_t room = side->room ? 2 * side->room : BLOCKS_FIRST;
        struct block *block = realloc(side->block, room * sizeof *block);
        uint32_t *files;

        if (block)
            side->block = block;
        files = realloc(side->file, room * sizeof *files);
        if (files)
            side->file = files;
        if (!block || !files)
            return err_set(err, ERR_MEMORY, "no memory for the rows of a side table");
        side->room = room;
    }
    if (block_create(&side->block[side->blocks], &side->schema, BLOCK_ROWS, err))
        return -err->code;
    side->file[side->blocks++] = file;
    return 0;
}

/* Writes where the row of an id stands, which may be in a file before. */
static void find_row(struct side *side, struct source *source,
                     const struct filelist *list, const struct side_row *row,
                     char *where)
{
    const struct piece piece = {.path = list->path[side->file[row->block]],
                                .end = PIECE_END};
    uint64_t place = side->block[row->block].place[row->at];
    struct err ignored;

    if (side->file[row->block] != side->file[side->blocks - 1] &&
        source_open(source, &piece, &ignored))
        snprintf(where, WHERE_MAX, "%s", piece.path);
    else
        snprintf(where, WHERE_MAX, "%s", source_where(source, place));
}

static int doubled(struct side *side, struct source *source,
                   const struct filelist *list, const struct side_row *now,
                   const struct side_row *before, struct err *err)
{
    char *where = malloc(2 * WHERE_MAX);

    if (!source) { /* NumPy's files have no lines, and no keys beside them */
        free(where);
        return err_set(
            err, ERR_INPUT,
            "data.sides.%s has two files with a row %llu, expected each once",
            side->from->name,
            (unsigned long long)side->block[now->block].place[now->at]);
    }
    if (!where)
        return err_set(err, ERR_MEMORY, "no memory for a sentence");
    find_row(side, source, list, now, where);
    find_row(side, source, list, before, where + WHERE_MAX);
    err_set(err, ERR_INPUT, "%.440s and %.440s have the same %s, expected each once",
            where + WHERE_MAX, where, side->from->keys[0] ? "key" : side->from->id);
    free(where);
    return -err->code;
}

/* Enters the rows of a block by their ids. */
static int enter_rows(struct side *side, struct source *source,
                      const struct filelist *list, uint32_t b, struct err *err)
{
    const struct block *block = &side->block[b];

    for (uint32_t i = 0; i < block->n; i++) {
        struct side_row row = {b, i};
        uint32_t before = side->ids.keys, id;

        if (before == side->rows_room) {
            uint32_t room = before ? 2 * before : BLOCK_ROWS;
            struct side_row *larger = realloc(side->row, room * sizeof *larger);

            if (!larger)
                return err_set(err, ERR_MEMORY, "no memory for %u rows of a side table",
                               room);
            side->row = larger;
            side->rows_room = room;
        }
        if (dictionary_id(&side->ids, block->column[0].key[i], &id, err))
            return -err->code;
#ifndef MUTANT_SIDE_DOUBLED
        if (id < before)
            return doubled(side, source, list, &row, &side->row[id], err);
#endif
        side->row[id] = row;
    }
    return 0;
}

/* --- vectors of NumPy ------------------------------------------------------------ */

/* A file of them on its way into blocks. */
struct vectors {
    struct side *side;
    const struct filelist *list;
    uint32_t file;
    uint64_t next; /* the row that comes next */
};

static bool wants_all(void *context, uint64_t key)
{
    (void)context;
    (void)key;
    return true;
}

static int take_vector(void *context, uint64_t key, const float *values, uint32_t n,
                       struct err *err)
{
    struct vectors *v = context;
    struct side *side = v->side;
    struct block *block = side->blocks ? &side->block[side->blocks - 1] : NULL;
    uint32_t i;

    if (!block || block->n == block->capacity || v->next == 0) {
        if (add_block(side, v->file, err))
            return -err->code;
        block = &side->block[side->blocks - 1];
    }
    i = block->n++;
    block->column[0].key[i] = key;
    block->place[i] = v->next++;
    memcpy(block->column[1].number + (size_t)i * n, values, n * sizeof *values);
    return 0;
}

/* A source of keys, one a line. */
static int open_keys(const struct job *job, const struct job_side *side,
                     const struct schema *schema, struct source **source,
                     struct err *err)
{
    struct job *own = job_of_side(job, side);
    int rc;

    if (!own)
        return err_set(err, ERR_MEMORY, "no memory for the job of a side table");
    own->data.format = DATA_TSV;
    own->data.header = DATA_NO;
    own->data.quotes = DATA_BY_FORMAT;
    own->data.delimiter[0] = '\0';
    snprintf(own->data.names, sizeof own->data.names, "%s", schema->column[0].name);
    rc = source_create(own, schema, source, err);
    free(own);
    return rc;
}

/* The rows so far get the keys of a file, in the order of its lines. */
static int take_keys(struct side *side, struct source *source, struct block *keys,
                     const struct filelist *list, struct err *err)
{
    const struct piece piece = {.path = list->path[0], .end = PIECE_END};
    uint64_t rows = 0, count = 0;
    uint32_t b = 0, i = 0;
    int rc = source_open(source, &piece, err);

    for (uint32_t block = 0; block < side->blocks; block++)
        rows += side->block[block].n;
    while (rc == 0 && (rc = source_next(source, keys, err)) > 0) {
        count += keys->n;
        for (uint32_t k = 0; k < keys->n && b < side->blocks; k++) {
            side->block[b].column[0].key[i] = keys->column[0].key[k];
            side->block[b].place[i] = keys->place[k];
            if (++i == side->block[b].n) {
                b++;
                i = 0;
            }
        }
        rc = 0;
    }
#ifndef MUTANT_SIDE_KEYS
    if (rc == 0 && count != rows)
        rc = err_set(err, ERR_INPUT,
                     "%.400s has %llu keys, but the matrix of data.sides.%s has %llu "
                     "rows, expected one key for each",
                     piece.path, (unsigned long long)count, side->from->name,
                     (unsigned long long)rows);
#endif
    for (b = 0; rc == 0 && b < side->blocks; b++)
        rc = enter_rows(side, source, list, b, err);
    return rc;
}

/* The keys of the one NumPy file of a side table (data.sides.NAME.keys). */
static int read_keys(struct side *side, const struct job *job, struct err *err)
{
    struct schema schema = SCHEMA_EMPTY;
    struct filelist list = {0};
    struct source *source = NULL;
    struct block keys = {0};
    char why[JOB_NAME_MAX + 32];
    int rc;

    snprintf(why, sizeof why, "data.sides.%s.keys", side->from->name);
    schema_add(&schema, "key", VALUE_KEY);
    rc = filelist_init(&list, side->from->keys, why, err);
    if (rc == 0 && list.files != 1)
        rc = err_set(err, ERR_INPUT, "%s names %zu files, expected one", why,
                     list.files);
    if (rc == 0)
        rc = open_keys(job, side->from, &schema, &source, err);
    if (rc == 0)
        rc = block_create(&keys, &schema, BLOCK_ROWS, err);
    if (rc == 0)
        rc = take_keys(side, source, &keys, &list, err);
    block_release(&keys);
    source_destroy(source);
    filelist_release(&list);
    return rc;
}

/* The rows of a NumPy file: the number of one is its id, or what a file of keys says.
 */
static int read_vectors(struct side *side, const struct job *job,
                        const struct filelist *list, uint32_t file, struct err *err)
{
    struct vectors v = {.side = side, .list = list, .file = file};
    const struct vectors_sink sink = {wants_all, take_vector, &v};
    uint32_t dim = side->schema.column[1].dim, first = side->blocks;
    int rc;

    if (side->schema.columns != 2 || side->schema.column[1].kind != VALUE_VECTOR)
        return err_set(err, ERR_INPUT,
                       "%.400s is a NumPy file, so data.sides.%s has one column, which "
                       "is a vector",
                       list->path[file], side->from->name);
    if (side->from->keys[0] && list->files > 1)
        return err_set(err, ERR_INPUT,
                       "data.sides.%s.keys goes with one NumPy file, but "
                       "data.sides.%s.files are %zu",
                       side->from->name, side->from->name, list->files);
    rc = vectors_read_npy(list->path[file], dim, dim, &sink, err);
    if (rc == 0 && side->from->keys[0])
        return read_keys(side, job, err);
    for (uint32_t b = first; rc == 0 && b < side->blocks; b++)
        rc = enter_rows(side, NULL, list, b, err);
    return rc;
}

/* --- files ----------------------------------------------------------------------- */

static int read_text(struct side *side, struct source *source,
                     const struct filelist *list, uint32_t file, struct err *err)
{
    const struct piece piece = {.path = list->path[file], .end = PIECE_END};
    int rc = source_open(source, &piece, err);

    while (rc == 0) {
        rc = add_block(side, file, err);
        if (rc == 0)
            rc = source_next(source, &side->block[side->blocks - 1], err);
        if (rc <= 0)
            break;
        rc = enter_rows(side, source, list, side->blocks - 1, err);
    }
    return rc;
}

static int read_file(struct side *side, const struct job *job, struct source *source,
                     const struct filelist *list, uint32_t file, struct err *err)
{
    bool npy = false;

    if (vectors_are_npy(list->path[file], &npy, err))
        return -err->code;
    if (npy)
        return read_vectors(side, job, list, file, err);
    if (side->from->keys[0])
        return err_set(err, ERR_INPUT,
                       "data.sides.%s.keys goes with a NumPy file, but %.400s is none",
                       side->from->name, list->path[file]);
    if (!side->from->id[0])
        return err_set(err, ERR_INPUT,
                       "data.sides.%s.id is not set: it names the column with the keys",
                       side->from->name);
    return read_text(side, source, list, file, err);
}

static int read_side(struct side *side, const struct job *job, struct err *err)
{
    struct job *own = job_of_side(job, side->from);
    struct filelist list = {0};
    struct source *source = NULL;
    char why[JOB_NAME_MAX + 32];
    int rc;

    snprintf(why, sizeof why, "data.sides.%s.files", side->from->name);
    rc = own ? filelist_init(&list, side->from->files, why, err)
             : err_set(err, ERR_MEMORY, "no memory for the job of a side table");
    if (rc == 0)
        rc = source_create(own, &side->schema, &source, err);
    for (uint32_t f = 0; rc == 0 && f < list.files; f++)
        rc = read_file(side, job, source, &list, f, err);
    source_destroy(source);
    filelist_release(&list);
    free(own);
    return rc;
}

/* --- columns --------------------------------------------------------------------- */

static int add_column(struct side *side, const struct job *job,
                      const struct job_column *from, unsigned wanted,
                      struct schema *schema, struct err *err)
{
    struct schema_column *own, *data;
    int place;

    if (schema->columns == SCHEMA_COLUMNS_MAX)
        return err_set(err, ERR_INPUT, "data.columns has more than %d columns",
                       SCHEMA_COLUMNS_MAX);
    own = schema_add_column(&side->schema, job, from);
    if (own->kind != VALUE_KEYS || from->steps.hash ||
        from->steps.vocabulary != VOCABULARY_NONE)
        own->rows = 0; /* the preparation sees to those */
    own->may_miss = true;
    own->keep_text = from->as == COLUMN_KEY && (wanted & COLUMNS_TEXTS);
    own->unread = from->as == COLUMN_TITLE && !(wanted & COLUMNS_TEXTS);
    place = schema_add(schema, from->name, (enum value_kind)own->kind);
    data = &schema->column[place];
    *data = *own;
    side->place[side->schema.columns - 1] = (uint32_t)place;
    return 0;
}

static int begin_side(struct side *side, const struct job *job,
                      const struct job_side *from, unsigned wanted,
                      struct schema *schema, struct err *err)
{
    int key = schema_find(schema, from->key), rc = 0;

    *side = (struct side){.from = from, .schema = SCHEMA_EMPTY};
    if (key < 0 || schema->column[key].kind != VALUE_KEY)
        return err_set(err, ERR_INPUT,
                       "data.sides.%s.key is '%s', which is no key of the data",
                       from->name, from->key);
    side->key_place = (uint32_t)key;
    schema_add(&side->schema, from->id, VALUE_KEY);
    for (int i = 0; rc == 0 && i < job->data.columns; i++)
        if (strcmp(job->data.column[i].from, from->name) == 0)
            rc = add_column(side, job, &job->data.column[i], wanted, schema, err);
    return rc;
}

int sides_load(const struct job *job, unsigned wanted, struct schema *schema,
               struct sides **sides, struct err *err)
{
    struct sides *made;
    int rc = 0;

    *sides = NULL;
    if (job->data.sides == 0)
        return 0;
    made = calloc(1, sizeof *made);
    if (!made)
        return err_set(err, ERR_MEMORY, "no memory for side tables");
    for (int s = 0; rc == 0 && s < job->data.sides; s++) {
        struct side *side = &made->side[made->sides];

        rc = begin_side(side, job, &job->data.side[s], wanted, schema, err);
        if (rc || side->schema.columns == 1)
            continue; /* nobody wants it */
        made->sides++;
        rc = read_side(side, job, err);
        side->from = NULL;
    }
    if (rc) {
        sides_destroy(made);
        return rc;
    }
    *sides = made;
    return 0;
}

/* --- joining --------------------------------------------------------------------- */

static bool has_text(const struct schema_column *column)
{
    return column->kind == VALUE_TEXT || column->keep_text;
}

/* Appends the keys of row `from` of a side's column, or none. */
static int join_keys(struct block *block, uint32_t c, uint32_t i,
                     const struct values *from, uint32_t at, struct err *err)
{
    struct values *to = &block->column[c];
    uint32_t used = i ? to->offset[i] : 0, first = from ? from->offset[at] : 0;
    uint32_t n = from ? from->offset[at + 1] - first : 0;

    to->offset[0] = 0;
    if (block_key_room(block, c, n,
                       err)) /* behind offset[block->n], see sides_join() */
        return -err->code;
    for (uint32_t k = 0; k < n; k++) {
        to->key[used + k] = from->key[first + k];
        to->number[used + k] = from->number[first + k];
    }
    to->offset[i + 1] = used + n;
    return 0;
}

static int join_text(struct block *block, uint32_t c, uint32_t i,
                     const struct values *from, uint32_t at, struct err *err)
{
    struct values *to = &block->column[c];
    uint32_t used = i ? to->offset[i] : 0, first = from ? from->offset[at] : 0;
    uint32_t n = from ? from->offset[at + 1] - first : 0;

    to->offset[0] = 0;
    if (block_text_room(block, c, n, err))
        return -err->code;
    if (n)
        memcpy(to->text + used, from->text + first, n);
    to->offset[i + 1] = used + n;
    return 0;
}

/* What has one place an example. */
static void join_fixed(struct values *to, const struct schema_column *column,
                       uint32_t i, const struct values *from, uint32_t at)
{
    uint32_t dim = column->kind == VALUE_VECTOR ? column->dim : 1;

    switch (column->kind) {
    case VALUE_KEY:
        to->key[i] = from ? from->key[at] : 0;
        to->missing[i] = from ? from->missing[at] : 1;
        return;
    case VALUE_TIME:
        to->time[i] = from ? from->time[at] : TIME_MISSING;
        return;
    case VALUE_NUMBER:
    case VALUE_VECTOR:
        for (uint32_t k = 0; k < dim; k++)
            to->number[(size_t)i * dim + k] = from ? from->number[(size_t)at * dim + k]
                                                   : NAN;
        return;
    default:
        return;
    }
}

/* Example i gets row `row` of the side table, or what is missing. */
static int join_row(const struct side *side, struct block *block, uint32_t i,
                    const struct side_row *row, struct err *err)
{
    int rc = 0;

    for (uint32_t c = 1; rc == 0 && c < side->schema.columns; c++) {
        const struct schema_column *column = &side->schema.column[c];
        const struct values *from = row ? &side->block[row->block].column[c] : NULL;
        uint32_t at = row ? row->at : 0, place = side->place[c];

        if (column->unread)
            continue;
        join_fixed(&block->column[place], column, i, from, at);
        if (column->kind == VALUE_KEYS)
            rc = join_keys(block, place, i, from, at, err);
        else if (has_text(column))
            rc = join_text(block, place, i, from, at, err);
    }
    return rc;
}

int sides_join(const struct sides *sides, struct block *block, struct err *err)
{
    uint32_t n = block->n;
    int rc = 0;

    for (uint32_t s = 0; sides && rc == 0 && s < sides->sides; s++) {
        const struct side *side = &sides->side[s];
        const struct values *key = &block->column[side->key_place];

        for (uint32_t i = 0; rc == 0 && i < n; i++) {
            bool missing = key->missing && key->missing[i];
            uint32_t id;

            block->n = i; /* so that room is made behind the examples before */
            rc = join_row(side, block, i,
                          !missing && dictionary_find(&side->ids, key->key[i], &id)
                              ? &side->row[id]
                              : NULL,
                          err);
        }
    }
    block->n = n;
    return rc;
}

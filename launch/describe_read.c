/* Reading for rowhouse describe: one pass, whatever the file comes through. */
#include <stdlib.h>
#include <string.h>

#include "common/unpack.h"
#include "launch/describe.h"
#include "worker/stream/packed/packed.h"
#include "worker/stream/text/reader.h"

enum { BLOCK_EXAMPLES = 2048, READ_BYTES = 256 * 1024 };

/* --- profiles ------------------------------------------------------------------ */

static int make_profiles(struct description *d, struct err *err)
{
    d->profile = calloc(d->schema.columns, sizeof *d->profile);
    if (!d->profile)
        return err_set(err, ERR_MEMORY, "no memory for %u columns", d->schema.columns);
    for (uint32_t c = 0; c < d->schema.columns; c++)
        if (profile_create(&d->profile[c], err))
            return -err->code;
    return 0;
}

void describe_release(struct description *d)
{
    for (uint32_t c = 0; d->profile && c < d->schema.columns; c++)
        profile_release(&d->profile[c]);
    free(d->profile);
    d->profile = NULL;
}

static int add_value(struct profile *profile, const struct schema_column *column,
                     const struct values *v, uint32_t i, struct err *err)
{
    switch ((enum value_kind)column->kind) {
    case VALUE_TEXT:
        return profile_text(profile, v->text + v->offset[i],
                            v->offset[i + 1] - v->offset[i], err);
    case VALUE_KEY:
        if (!v->missing || !v->missing[i])
            return profile_key(profile, v->key[i], err);
        break;
    case VALUE_NUMBER:
        if (v->number[i] == v->number[i])
            return profile_number(profile, (double)v->number[i], err);
        break;
    case VALUE_TIME:
        if (v->time[i] != TIME_MISSING)
            return profile_time(profile, v->time[i], err);
        break;
    case VALUE_KEYS:
        return profile_keys(profile, v->key + v->offset[i],
                            v->offset[i + 1] - v->offset[i], err);
    default: /* vectors: how many there are */
        profile->n++;
        return 0;
    }
    profile_missing(profile);
    return 0;
}

/* Adds a block's rows, as many as are wanted. */
static int add_block(struct description *d, const struct block *block, struct err *err)
{
    uint64_t left = d->rows_max - d->rows;
    uint32_t n = block->n < left ? block->n : (uint32_t)left;

    for (uint32_t c = 0; c < d->schema.columns; c++)
        for (uint32_t i = 0; i < n; i++)
            if (add_value(&d->profile[c], &d->schema.column[c], &block->column[c], i,
                          err))
                return -err->code;
    d->rows += n;
    d->cut |= n < block->n;
    return 0;
}

/* --- packed -------------------------------------------------------------------- */

static enum profile_kind kind_of(const struct profile *profile, enum value_kind kind)
{
    switch (kind) {
    case VALUE_KEY:
        return PROFILE_KEY;
    case VALUE_KEYS:
        return PROFILE_KEYS;
    case VALUE_NUMBER:
    case VALUE_VECTOR:
        return profile->integers == profile->n - profile->missing &&
                       kind == VALUE_NUMBER
                   ? PROFILE_INTEGER
                   : PROFILE_NUMBER;
    case VALUE_TIME:
        return PROFILE_TIME;
    default:
        return PROFILE_TEXT;
    }
}

static int read_blocks(struct description *d, struct packed *packed, struct err *err)
{
    struct packed_columns columns;
    struct block block;
    int rc = packed_match(packed, &d->schema, &columns, err);

    if (rc || block_create(&block, &d->schema, packed_capacity(packed), err))
        return -err->code;
    while (d->rows < d->rows_max && (rc = packed_next(packed, err)) == 1) {
        block_clear(&block);
        rc = packed_decode(packed, &columns, 0, &block, err);
        if (rc == 0)
            rc = add_block(d, &block, err);
        if (rc)
            break;
    }
    d->cut |= packed_is_whole(packed) && d->rows < packed_examples(packed);
    block_release(&block);
    return rc < 0 ? rc : 0;
}

static int read_packed(struct description *d, struct err *err)
{
    struct packed *packed;
    int rc = packed_open(d->path, &packed, err);

    if (rc)
        return rc;
    d->schema = *packed_schema(packed);
    for (uint32_t c = 0; c < d->schema.columns; c++)
        d->schema.column[c].keep_text = false; /* keys are enough */
    rc = make_profiles(d, err);
    if (rc == 0)
        rc = read_blocks(d, packed, err);
    for (uint32_t c = 0; c < d->schema.columns && rc == 0; c++)
        d->kind[c] = kind_of(&d->profile[c], d->schema.column[c].kind);
    packed_close(packed);
    return rc;
}

/* --- text ---------------------------------------------------------------------- */

/* buffer[at..end) is not yet read; there is room for READER_SLACK bytes behind `room`.
 */
struct text {
    struct unpack *unpack;
    char *buffer;
    size_t room, at, end;
    uint64_t offset; /* of buffer[0] in the file */
    uint64_t line;   /* that buffer[at] is in, from 1 */
    bool ended;
};

/* More bytes, or the end: the last line gets its own. */
static int fill(struct text *t, struct err *err)
{
    size_t got, unread = t->end - t->at;

    if (t->at > 0)
        memmove(t->buffer, t->buffer + t->at, unread);
    t->offset += t->at;
    t->at = 0;
    t->end = unread;
    if (t->room - unread < READ_BYTES) {
        size_t room = t->room + t->room / 2 + 2 * READ_BYTES;
        char *larger = realloc(t->buffer, room + READER_SLACK);

        if (!larger)
            return err_set(err, ERR_MEMORY, "no memory for a line of %zu bytes",
                           unread);
        memset(larger + unread, 0, room + READER_SLACK - unread);
        t->buffer = larger;
        t->room = room;
    }
    if (unpack_read(t->unpack, t->buffer + t->end, READ_BYTES - 1, &got, err))
        return -err->code;
    t->end += got;
    t->ended = got == 0;
    if (t->ended && t->end > 0 && t->buffer[t->end - 1] != '\n')
        t->buffer[t->end++] = '\n';
    return 0;
}

/* As much as guesses are made from, and the first line to its end, unless that is
 * longer than any may be. Then buffer[at] is behind a byte order mark. */
static int fill_beginning(struct text *t, struct err *err)
{
    int rc = 0;

    t->line = 1;
    while (rc == 0 && !t->ended &&
           (t->end < GUESS_BYTES ||
            (t->end <= RECORD_MAX && !memchr(t->buffer, '\n', t->end))))
        rc = fill(t, err);
    if (rc == 0 && t->end >= 3 && memcmp(t->buffer, "\xef\xbb\xbf", 3) == 0)
        t->at = 3;
    return rc;
}

/* Goes on behind `bytes` that are read. */
static void pass(struct text *t, size_t bytes)
{
    const char *end = t->buffer + t->at + bytes, *at = t->buffer + t->at;

    while ((at = memchr(at, '\n', (size_t)(end - at)))) {
        at++;
        t->line++;
    }
    t->at += bytes;
}

/* Puts the place in front of a reader's sentence about the record at buffer[at]. */
static int complain(const struct description *d, const struct text *t, struct err *err)
{
    char tail[ERR_TEXT_MAX];

    memcpy(tail, err->text, sizeof tail);
    return err_set(err, err->code, "%.400s line %llu%.900s", d->path,
                   (unsigned long long)t->line, tail);
}

/* About a record that does not end in the buffer, nor would in a larger one. */
static int complain_of_end(const struct description *d, const struct text *t,
                           const struct reader *reader, struct err *err)
{
    reader_unfinished(reader, t->buffer + t->at, t->end - t->at, err);
    return complain(d, t, err);
}

/* A job that reads the file; d->guess says how tables are laid out. */
static int make_job(const struct description *d, struct job *job, struct err *err)
{
    const struct guess *g = &d->guess;
    const char *delimiter = strcmp(g->delimiter, "\t") == 0 ? "\\t" : g->delimiter;

    job_init(job);
    if (job_set(job, "data.format", d->format, "describe", err) ||
        job_set(job, "data.encoding", g->latin1 ? "latin-1" : "utf-8", "describe", err))
        return -err->code;
    if (strcmp(d->format, "tsv") != 0 && strcmp(d->format, "csv") != 0)
        return 0;
    if (job_set(job, "data.delimiter", delimiter, "describe", err) ||
        job_set(job, "data.header", g->header ? "true" : "false", "describe", err) ||
        job_set(job, "data.quotes", g->quotes ? "true" : "false", "describe", err))
        return -err->code;
    return 0;
}

static void add_bad_row(struct description *d, const struct err *why, uint64_t offset)
{
    if (d->bad_rows++ == 0)
        snprintf(d->first_bad, sizeof d->first_bad, "byte %llu%.900s",
                 (unsigned long long)offset, why->text);
}

/* Reads records until there are no more, or enough. */
static int read_records(struct description *d, struct text *t, struct reader *reader,
                        struct block *block, struct err *err)
{
    while (d->rows < d->rows_max) {
        struct reader_text text = {t->buffer + t->at, t->end - t->at,
                                   t->offset + t->at};
        size_t used = 0, bad = 0;
        int rc;

        block_clear(block);
        rc = reader_parse(reader, &text, block, &used, &bad, err);
        if (rc && rc != -ERR_INPUT)
            return rc;
        pass(t, used);
        if (add_block(d, block, err))
            return -err->code;
        if (rc && bad == 0)
            return complain(d, t, err);
        if (rc) {
            add_bad_row(d, err, t->offset + t->at);
            pass(t, bad);
            continue;
        }
        if (used > 0)
            continue;
        if (t->ended && t->at == t->end)
            return 0;
        if (t->ended || t->end - t->at > RECORD_MAX)
            return complain_of_end(d, t, reader, err);
        if (fill(t, err))
            return -err->code;
    }
    if (t->at == t->end && !t->ended && fill(t, err))
        return -err->code;
    d->cut |= t->at < t->end;
    return 0;
}

/* The header or first row; what is to be read is behind it, or begins with it. */
static int begin_records(const struct description *d, struct text *t,
                         struct reader *reader, struct err *err)
{
    bool needed = reader_needs_head(reader);
    size_t head = needed ? reader_first(reader, t->buffer + t->at, t->end - t->at) : 0;
    int rc;

    if (needed && head == 0)
        return complain_of_end(d, t, reader, err);
    rc = reader_begin(reader, d->path, t->buffer + t->at, head, err);
    if (rc == 0 && needed && !reader_head_is_example(reader))
        pass(t, head);
    return rc;
}

static int read_table(struct description *d, struct text *t, struct err *err)
{
    struct job *job = calloc(1, sizeof *job);
    struct reader *reader = NULL;
    struct block block = {0};
    int rc = job ? make_job(d, job, err)
                 : err_set(err, ERR_MEMORY, "no memory for a job");

    if (rc == 0)
        rc = make_profiles(d, err);
    if (rc == 0)
        rc = reader_create(job, &d->schema, &reader, err);
    if (rc == 0)
        rc = block_create(&block, &d->schema, BLOCK_EXAMPLES, err);
    if (rc == 0)
        rc = begin_records(d, t, reader, err);
    if (rc == 0)
        rc = read_records(d, t, reader, &block, err);
    for (uint32_t c = 0; c < d->schema.columns && rc == 0; c++)
        d->kind[c] = d->schema.column[c].kind == VALUE_TEXT
                         ? profile_guess(&d->profile[c], d->schema.column[c].name)
                         : kind_of(&d->profile[c], d->schema.column[c].kind);
    block_release(&block);
    reader_destroy(reader);
    free(job);
    return rc;
}

/* The format, unless it is given, and the columns. */
static int look_at_beginning(struct description *d, const struct text *t,
                             struct err *err)
{
    const char *given = !d->format                      ? ""
                        : strcmp(d->format, "tsv") == 0 ? "\t"
                        : strcmp(d->format, "csv") == 0 ? ","
                                                        : "";
    const char *text = t->buffer + t->at;
    size_t length = t->end - t->at;
    bool comma;

    d->guess = guess_table(text, length, given);
    if (t->end == 0)
        return err_set(err, ERR_INPUT, "%.400s is empty", d->path);
    if (d->guess.format == GUESS_NOT_TEXT)
        return err_set(err, ERR_INPUT,
                       "%.400s is neither text (it has NUL bytes) nor a packed file",
                       d->path);
    comma = d->guess.quotes || strcmp(d->guess.delimiter, ",") == 0;
    if (!d->format || d->guess.format == GUESS_PACKED)
        d->format = d->guess.format == GUESS_PACKED   ? "packed"
                    : d->guess.format == GUESS_JSON   ? "jsonl"
                    : d->guess.format == GUESS_SPARSE ? "libsvm"
                    : d->guess.format == GUESS_FIELDS ? "libffm"
                    : comma                           ? "csv"
                                                      : "tsv";
    else if (strcmp(d->format, "packed") == 0)
        return err_set(err, ERR_INPUT, "%.400s is not a packed file", d->path);
    return d->guess.format == GUESS_PACKED ? 0 : describe_columns(d, text, length, err);
}

static int read_text(struct description *d, struct err *err)
{
    struct text t = {0};
    int rc = unpack_open(d->path, &t.unpack, err);

    if (rc == 0)
        rc = fill_beginning(&t, err);
    if (rc == 0)
        rc = look_at_beginning(d, &t, err);
    if (rc == 0 && d->guess.format != GUESS_PACKED)
        rc = read_table(d, &t, err);
    unpack_close(t.unpack);
    free(t.buffer);
    return rc;
}

int describe_read(struct description *d, const char *path, const char *format,
                  uint64_t rows_max, struct err *err)
{
    int rc;

    *d = (struct description){.path = path, .format = format, .rows_max = rows_max};
    rc = read_text(d, err);
    if (rc == 0 && d->guess.format == GUESS_PACKED && strcmp(path, "-") == 0)
        rc = err_set(
            err, ERR_INPUT,
            "standard input is a packed file, which describe reads by its name "
            "only");
    else if (rc == 0 && d->guess.format == GUESS_PACKED)
        rc = read_packed(d, err);
    if (rc)
        describe_release(d);
    return rc;
}

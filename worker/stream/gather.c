#include "worker/stream/gather.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

enum { BLOCKS_FIRST = 64 };

/* Positions are 32 bits wide (worker/stream/shuffle.h). */
static const uint64_t examples_max = UINT32_MAX - 1;

void gathered_release(struct gathered *gathered)
{
    for (uint32_t b = 0; b < gathered->blocks; b++)
        block_release(&gathered->block[b]);
    for (uint32_t f = 0; f < gathered->files; f++)
        free(gathered->file[f].path);
    free(gathered->file);
    free(gathered->block);
    free(gathered->part);
    *gathered = (struct gathered){0};
}

/* A new block at the end of the list. */
static int add_block(struct gathered *gathered, struct block **added, struct err *err)
{
    int rc;

    if (gathered->blocks == gathered->room) {
        size_t room = gathered->room ? 2 * (size_t)gathered->room : BLOCKS_FIRST;
        struct block *larger = realloc(/* NOLINT: its size is never 0 */
                                       gathered->block, room * sizeof *larger);

        if (!larger)
            return err_set(err, ERR_MEMORY, "no memory for %llu examples",
                           (unsigned long long)gathered->examples);
        gathered->block = larger;
        gathered->room = (uint32_t)room;
    }
    *added = &gathered->block[gathered->blocks];
    rc = block_create(*added, &gathered->schema, GATHER_EXAMPLES, err);
    gathered->blocks += rc == 0;
    return rc;
}

/* Notes which file the last block is of. */
static int note_file(struct gathered *gathered, const char *path, struct err *err)
{
    uint32_t files = gathered->files;
    struct gathered_file *file;

    if (files && strcmp(gathered->file[files - 1].path, path) == 0)
        return 0;
    file = realloc(/* NOLINT: its size is never 0 */
                   gathered->file, ((size_t)files + 1) * sizeof *file);
    if (!file)
        return err_set(err, ERR_MEMORY, "%s: no memory to read examples", path);
    gathered->file = file;
    file[files].first = gathered->blocks - 1;
    file[files].path = strdup(path);
    if (!file[files].path)
        return err_set(err, ERR_MEMORY, "%s: no memory to read examples", path);
    gathered->files++;
    return 0;
}

/* `splits`: the job whose split goes by what must be there; NULL: none does. */
static int read_blocks(struct gathered *gathered, struct input *input,
                       const struct job *splits, const volatile bool *stop,
                       struct err *err)
{
    struct block *block = NULL;
    uint32_t at;
    int rc;

    for (;;) {
        rc = add_block(gathered, &block, err);
        if (rc)
            return rc;
        rc = input_next(input, block, err);
        if (rc <= 0)
            break;
        rc = note_file(gathered, input_path(input), err);
        if (rc)
            return rc;
        if (splits && split_check(splits, block, &at, err))
            return err_prefix(err, "%s", input_where(input, block->place[at]));
        gathered->examples += block->n;
        if (gathered->examples > examples_max)
            return err_set(
                err, ERR_INPUT, "%s: more than %llu examples, the most allowed",
                input_where(input, block->place[0]), (unsigned long long)examples_max);
        if (stop && __atomic_load_n(stop, __ATOMIC_RELAXED))
            return err_set(err, ERR_INTERRUPTED, "interrupted at %s",
                           input_where(input, block->place[0]));
    }
    block_release(block); /* the last one has nothing in it */
    gathered->blocks--;
    return rc;
}

static int read_files(struct gathered *gathered, const struct job *job,
                      const char *files, const char *why, unsigned wanted, bool splits,
                      const volatile bool *stop, struct err *err)
{
    struct input *input;
    int rc = input_open(job, files, why, wanted, &input, err);

    if (rc)
        return rc;
    gathered->schema = *input_schema(input);
    rc = read_blocks(gathered, input, splits ? job : NULL, stop, err);
    bad_rows_add(&gathered->bad_rows, input_bad_rows(input));
    input_close(input);
    return rc;
}

/* What the split goes by, of all examples so far. */
static int split_gathered(struct gathered *gathered, const struct job *job,
                          struct err *err)
{
    int user = gathered->schema.user, time = gathered->schema.time;
    uint64_t n = gathered->examples, at = 0;
    uint64_t *users = malloc((n + 1) * sizeof *users);
    int64_t *times = malloc((n + 1) * sizeof *times);
    struct split_keys keys = {.user = users, .time = time < 0 ? NULL : times};
    int by = job->data.split_by, rc;

    if (user < 0 && (by == SPLIT_USER || by == SPLIT_LEAVE_ONE_OUT)) {
        free(users);
        free(times);
        return err_set(err, ERR_INPUT,
                       "data.split.by goes by user, but the files have no key of table "
                       "%s (model.user)",
                       job->model.user);
    }
    gathered->part = malloc(n + 1);
    for (uint32_t b = 0; users && times && b < gathered->blocks; b++) {
        const struct block *block = &gathered->block[b];

        if (user >= 0)
            memcpy(users + at, block->column[user].key, block->n * sizeof *users);
        if (time >= 0)
            memcpy(times + at, block->column[time].time, block->n * sizeof *times);
        at += block->n;
    }
    rc = users && times && gathered->part
             ? split_all(job, &keys, n, gathered->part, err)
             : err_set(err, ERR_MEMORY, "no memory to split %llu examples",
                       (unsigned long long)n);
    free(users);
    free(times);
    return rc;
}

/* Files that are one part as a whole. */
static int add_files(struct gathered *gathered, const struct job *job,
                     const char *files, const char *why, enum split_part part,
                     unsigned wanted, const volatile bool *stop, struct err *err)
{
    uint64_t before = gathered->examples;
    uint8_t *larger;
    int rc = read_files(gathered, job, files, why, wanted, false, stop, err);

    if (rc)
        return rc;
    if (gathered->examples == before)
        return err_set(err, ERR_INPUT, "%s has no example in its files", why);
    larger = realloc(gathered->part, gathered->examples + 1);
    if (!larger)
        return err_set(err, ERR_MEMORY, "no memory for %llu examples",
                       (unsigned long long)gathered->examples);
    gathered->part = larger;
    memset(larger + before, part, gathered->examples - before);
    return 0;
}

int gather(struct gathered *gathered, const struct job *job, unsigned wanted,
           const volatile bool *stop, struct err *err)
{
    int rc;

    *gathered = (struct gathered){.wanted = wanted};
    rc = read_files(gathered, job, job->data.train, "data.train", wanted, true, stop,
                    err);
    if (rc == 0)
        rc = split_gathered(gathered, job, err);
    if (rc == 0 && job->data.validation[0])
        rc = add_files(gathered, job, job->data.validation, "data.validation",
                       SPLIT_VALIDATION, wanted, stop, err);
    if (rc == 0 && job->data.test[0])
        rc = add_files(gathered, job, job->data.test, "data.test", SPLIT_TEST, wanted,
                       stop, err);
    return rc;
}

int gathered_fit(const struct gathered *gathered, struct prepare *prepare,
                 struct err *err)
{
    uint8_t *keep = malloc(gathered->examples + 1);
    uint64_t at = 0;
    int rc = 0;

    if (!keep)
        return err_set(err, ERR_MEMORY, "no memory to fit the preparation");
    for (uint64_t i = 0; i < gathered->examples; i++)
        keep[i] = gathered->part[i] == SPLIT_TRAIN;
    for (uint32_t b = 0; rc == 0 && b < gathered->blocks; b++) {
        rc = prepare_fit(prepare, &gathered->block[b], keep + at, err);
        at += gathered->block[b].n;
    }
    free(keep);
    return rc ? rc : prepare_finish(prepare, err);
}

/* --- where ----------------------------------------------------------------------- */

/* Reads a piece up to the example at `place`: 1 if it is there. */
static int read_to(struct source *source, const struct piece *piece,
                   struct block *block, uint64_t place, struct err *err)
{
    int rc = source_open(source, piece, err);

    while (rc == 0 && (rc = source_next(source, block, err)) > 0)
        rc = block->place[block->n - 1] >= place;
    return rc;
}

/* Writes down where an example of a regular file stands; false: it cannot be read
 * again. */
static bool find_again(struct gathered *gathered, const struct job *job,
                       const char *path, uint64_t place)
{
    const struct piece piece = {.path = path, .end = PIECE_END};
    struct source *source = NULL;
    struct block block = {0};
    struct schema schema;
    struct stat status;
    struct err none;
    bool found = stat(path, &status) == 0 && S_ISREG(status.st_mode) &&
                 schema_of_job(job, gathered->wanted, &schema, &none) == 0 &&
                 source_create(job, &schema, &source, &none) == 0 &&
                 block_create(&block, &schema, GATHER_EXAMPLES, &none) == 0 &&
                 read_to(source, &piece, &block, place, &none) > 0;

    if (found)
        snprintf(gathered->where, sizeof gathered->where, "%s",
                 source_where(source, place));
    block_release(&block);
    source_destroy(source);
    return found;
}

const char *gathered_where(struct gathered *gathered, const struct job *job, uint32_t b,
                           uint32_t i)
{
    const struct gathered_file *file = &gathered->file[gathered->files - 1];
    unsigned long long place = gathered->block[b].place[i];

    while (file->first > b)
        file--;
    if (!find_again(gathered, job, file->path, place))
        snprintf(gathered->where, sizeof gathered->where, "%s %s %llu", file->path,
                 job->data.format == DATA_PACKED ? "example" : "byte", place);
    return gathered->where;
}

int gathered_apply(struct gathered *gathered, const struct job *job, uint32_t b,
                   struct prepare *prepare, struct block *out, struct err *err)
{
    uint32_t at;

    if (prepare_apply(prepare, &gathered->block[b], out, &at, err))
        return err_prefix(err, "%s", gathered_where(gathered, job, b, at));
    return 0;
}

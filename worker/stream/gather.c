#include "worker/stream/gather.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCKS_FIRST = 64 };

/* Positions are 32 bits wide (worker/stream/shuffle.h). */
static const uint64_t examples_max = UINT32_MAX - 1;

void gathered_release(struct gathered *gathered)
{
    for (uint32_t b = 0; b < gathered->blocks; b++)
        block_release(&gathered->block[b]);
    free(gathered->block);
    free(gathered->part);
    *gathered = (struct gathered){0};
}

/* A new block at the end of the list; NULL: -ERR_MEMORY. */
static struct block *add_block(struct gathered *gathered, struct err *err)
{
    struct block *made;

    if (gathered->blocks == gathered->room) {
        uint32_t room = gathered->room ? 2 * gathered->room : BLOCKS_FIRST;
        struct block *larger = realloc(gathered->block, room * sizeof *larger);

        if (!larger) {
            err_set(err, ERR_MEMORY, "no memory for %llu examples",
                    (unsigned long long)gathered->examples);
            return NULL;
        }
        gathered->block = larger;
        gathered->room = room;
    }
    made = &gathered->block[gathered->blocks];
    if (block_create(made, &gathered->schema, GATHER_EXAMPLES, err))
        return NULL;
    gathered->blocks++;
    return made;
}

/* `splits`: the job whose split goes by what must be there; NULL: none does. */
static int read_blocks(struct gathered *gathered, struct input *input,
                       const struct job *splits, const volatile bool *stop,
                       struct err *err)
{
    struct block *block;
    uint32_t at;
    int rc;

    for (;;) {
        block = add_block(gathered, err);
        if (!block)
            return -err->code;
        rc = input_next(input, block, err);
        if (rc <= 0)
            break;
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

    *gathered = (struct gathered){0};
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

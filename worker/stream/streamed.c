#include "worker/stream/streamed.h"

#include <stdlib.h>
#include <unistd.h>
#include <xxhash.h>

#include "worker/stream/columns.h"
#include "worker/stream/labels.h"

/* The files that a part may have of its own, and the setting that names them. */
static const char *files_of(const struct job *job, int part, const char **why)
{
    static const char *const setting[] = {[SPLIT_TRAIN] = "data.train",
                                          [SPLIT_VALIDATION] = "data.validation",
                                          [SPLIT_TEST] = "data.test"};

    *why = setting[part];
    return part == SPLIT_TRAIN        ? job->data.train
           : part == SPLIT_VALIDATION ? job->data.validation
                                      : job->data.test;
}

/* The chunks that a part is in, and whether it is all that is in them. */
static const struct chunks *chunks_of(const struct streamed *streamed,
                                      enum split_part part, bool *whole)
{
    *whole = part != SPLIT_TRAIN && streamed->chunks[part].count;
    return &streamed->chunks[*whole ? part : SPLIT_TRAIN];
}

uint64_t streamed_end(const struct streamed *streamed, const struct job *job,
                      enum split_part part)
{
    bool whole;

    if (streamed->spooled && part == SPLIT_TRAIN)
        return INT64_MAX; /* nobody knows */
    return walk_end(chunks_of(streamed, part, &whole), (uint32_t)job->data.mix);
}

int streamed_walk(const struct streamed *streamed, const struct job *job,
                  enum split_part part, struct walk **walk, struct err *err)
{
    struct walk_plan plan = {.job = job,
                             .files = &streamed->files,
                             .schema = &streamed->schema,
                             .sides = streamed->sides,
                             .mix = (uint32_t)job->data.mix,
                             .part = part,
                             .seed = (uint64_t)job->train.seed,
                             .preparation = streamed->preparation,
                             .preparation_bytes = streamed->facts.preparation_bytes};

    plan.chunks = chunks_of(streamed, part, &plan.whole);
    if (streamed->spooled && part == SPLIT_TRAIN) {
        plan.chunks = NULL;
        plan.spool = streamed->spool;
        plan.whole = true;
    }
    return walk_create(&plan, walk, err);
}

/* --- looking through everything --------------------------------------------------- */

/* A look at the data, once or, where something is fitted, twice. */
struct survey {
    struct streamed *streamed;
    const struct job *job;
    const volatile bool *stop;
    struct prepare *prepare; /* owned, as what follows */
    struct source *source;
    struct block block, ready;    /* as they are read, as they are prepared */
    uint8_t *keep;                /* [WALK_READ] */
    bool fits;                    /* this look is for fitting */
    uint64_t examples;            /* of data.train */
    uint64_t scored;              /* of the part that is evaluated */
    double label_sum, weight_sum; /* of the training part; labels by weight */
};

/* Adds up the labels of a block of the training part. */
static int take_labels(struct survey *s, const struct block *block, struct err *err)
{
    const float *labels = block->column[block->schema->label].number;

    for (uint32_t i = 0; i < block->n; i++) {
        float label = labels[i], weight;

        if (label_as_trained(s->job, &label, err))
            return err_prefix(err, "%s, column %s",
                              source_where(s->source, s->block.place[i]),
                              s->job->data.label);
        if (weight_at(block, i, &weight, err))
            return err_prefix(err, "%s", source_where(s->source, block->place[i]));
        s->label_sum += (double)label * (double)weight;
        s->weight_sum += (double)weight;
    }
    s->streamed->facts.train_examples += block->n;
    return 0;
}

/* Which examples of the block are of a part. */
static int keep_part(struct survey *s, enum split_part part, uint32_t file,
                     struct err *err)
{
    uint32_t at;

    if (split_keep(s->job, part, file, &s->block, s->keep, &at, err))
        return err_prefix(err, "%s", source_where(s->source, s->block.place[at]));
    return 0;
}

static int take_block(struct survey *s, uint32_t file, struct err *err)
{
    bool prepares = prepare_changes(s->prepare) || prepare_checks(s->prepare);
    uint32_t at;
    int rc;

    if (s->fits) {
        rc = keep_part(s, SPLIT_TRAIN, file, err);
        return rc ? rc : prepare_fit(s->prepare, &s->block, s->keep, err);
    }
    s->examples += s->block.n;
    rc = keep_part(s, split_scored(s->job), file, err);
    for (uint32_t i = 0; rc == 0 && i < s->block.n; i++)
        s->scored += s->keep[i] != 0;
    if (rc == 0)
        rc = keep_part(s, SPLIT_TRAIN, file, err);
    if (rc)
        return rc;
    block_filter(&s->block, s->keep);
    if (prepares && prepare_apply(s->prepare, &s->block, &s->ready, &at, err))
        return err_prefix(err, "%s", source_where(s->source, s->block.place[at]));
    return take_labels(s, prepares ? &s->ready : &s->block, err);
}

/* Reads all chunks of a part's own files. */
static int look_through(struct survey *s, int part, uint64_t *count, struct err *err)
{
    const struct chunks *chunks = &s->streamed->chunks[part];
    int rc = 0;

    for (uint32_t i = 0; rc == 0 && i < chunks->count; i++) {
        struct piece piece = chunks_piece(chunks, i);
        uint64_t before = *count;

        rc = source_open(s->source, &piece, err);
        while (rc == 0 && (rc = source_next(s->source, &s->block, err)) > 0) {
            *count += s->block.n;
            if (*count - before > UINT32_MAX / (uint64_t)s->job->data.mix)
                return err_set(err, ERR_INPUT, "%s: %s", piece.path, walk_too_large);
            rc = sides_join(s->streamed->sides, &s->block, err);
            if (rc)
                break;
            rc = part == SPLIT_TRAIN ? take_block(s, chunks->chunk[i].file, err) : 0;
            if (rc == 0 && s->stop && __atomic_load_n(s->stop, __ATOMIC_RELAXED))
                rc = err_set(err, ERR_INTERRUPTED, "interrupted while it read %s",
                             piece.path);
        }
    }
    return rc;
}

/* Looks through the files of validation and test, if there are any. */
static int look_at_others(struct survey *s, struct err *err)
{
    for (int part = SPLIT_TRAIN + 1; part <= SPLIT_TEST; part++) {
        uint64_t count = 0;
        const char *why;
        int rc = look_through(s, part, &count, err);

        files_of(s->job, part, &why);
        if (rc == 0 && s->streamed->chunks[part].count && count == 0)
            rc = err_set(err, ERR_INPUT, "%s has no example in its files", why);
        if (rc)
            return rc;
        if ((enum split_part)part == split_scored(s->job))
            s->scored += count;
    }
    return 0;
}

/* Fits the preparation or takes the saved one; keeps its bytes. */
static int make_ready(struct survey *s, const struct saved_preparation *saved,
                      struct err *err)
{
    struct streamed *streamed = s->streamed;
    uint64_t ignored = 0;
    int rc;

    if (!prepare_changes(s->prepare))
        return prepare_finish(s->prepare, err);
    s->fits = !saved;
    if (saved)
        rc = prepare_take(s->prepare, saved, err);
    else
        rc = look_through(s, SPLIT_TRAIN, &ignored, err);
    if (rc == 0 && !saved)
        rc = prepare_finish(s->prepare, err);
    s->fits = false;
    source_forget_bad_rows(s->source); /* we shall meet them again */
    return rc ? rc
              : prepare_keep(s->prepare, &streamed->preparation, &streamed->facts, err);
}

static int look_at_all(struct survey *s, const struct saved_preparation *saved,
                       struct err *err)
{
    struct streamed *streamed = s->streamed;
    struct data_facts *facts = &streamed->facts;
    uint64_t ignored = 0;
    int rc = make_ready(s, saved, err);

    if (rc == 0)
        rc = look_through(s, SPLIT_TRAIN, &ignored, err);
    if (rc == 0 && facts->train_examples == 0)
        rc = err_set(
            err, ERR_INPUT,
            "data.train has no example to train on: %llu in its files, %llu of "
            "them for the test",
            (unsigned long long)s->examples, (unsigned long long)s->scored);
    if (rc == 0 && s->weight_sum == 0)
        rc = all_weightless(err);
    if (rc == 0)
        rc = look_at_others(s, err);
    if (rc)
        return rc;
    streamed->bad_rows = *source_bad_rows(s->source);
    facts->label_mean = s->label_sum / s->weight_sum;
    facts->positions = streamed_end(streamed, s->job, SPLIT_TRAIN);
    return 0;
}

/* --- a spool ---------------------------------------------------------------------- */

enum { LOOK_MS = 20 };

/* Is there a chunk, or will there never be one? Then 1. */
static int look_for_chunk(const char *dir, struct spool **spool, struct err *err)
{
    uint64_t chunks;
    struct err none;
    bool ended;
    int rc = *spool ? 0 : spool_open(dir, spool, &none);

    if (rc == -ERR_INPUT)
        return 0; /* the intake has not begun */
    if (rc)
        *err = none;
    else
        rc = spool_published(*spool, &chunks, &ended, err);
    return rc ? rc : chunks > 0 || ended;
}

/* Adds up the labels of the first chunk. One that was trained on and removed was looked
 * at by an earlier process, and its mean is in the checkpoint. */
static int look_at_chunk(struct survey *s, struct spool *spool, struct err *err)
{
    struct piece piece;
    struct err none;
    int rc;

    if (walk_spool_piece(spool, 0, &piece, &none))
        return 0;
    rc = source_open(s->source, &piece, err);
    if (rc && access(piece.path, F_OK) != 0)
        return 0;
    while (rc == 0 && (rc = source_next(s->source, &s->block, err)) > 0) {
        rc = sides_join(s->streamed->sides, &s->block, err);
        if (rc == 0)
            rc = take_labels(s, &s->block, err);
    }
    return rc;
}

/* Waits for the first chunk, which may take as long as a pipe is quiet: who waits for
 * this process sees that it is alive, and sets *stop. */
static int wait_for_chunk(struct survey *s, struct err *err)
{
    struct data_facts *facts = &s->streamed->facts;
    struct spool *spool = NULL;
    int rc = 0;

    while (rc == 0 && !(s->stop && __atomic_load_n(s->stop, __ATOMIC_RELAXED))) {
        rc = look_for_chunk(s->streamed->spool, &spool, err);
        if (rc == 0)
            usleep(LOOK_MS * 1000);
    }
    if (rc == 0)
        rc = err_set(err, ERR_INTERRUPTED, "interrupted while waiting for data");
    else if (rc > 0)
        rc = look_at_chunk(s, spool, err);
    spool_close(spool);
    if (s->weight_sum > 0)
        facts->label_mean = s->label_sum / s->weight_sum;
    facts->train_examples = 0;
    return rc;
}

static int look_at_spool(struct survey *s, const struct saved_preparation *saved,
                         struct err *err)
{
    int rc;

    if (prepare_changes(s->prepare) && !saved)
        return err_set(err, ERR_INPUT,
                       "the job prepares columns by what the training part is like, "
                       "which a stream does not tell beforehand");
    rc = make_ready(s, saved, err);
    if (rc == 0)
        rc = look_at_others(s, err);
    s->streamed->bad_rows = *source_bad_rows(s->source);
    return rc || !s->streamed->spool ? rc : wait_for_chunk(s, err);
}

/* --- life ------------------------------------------------------------------------- */

static int open_chunks(struct streamed *streamed, const struct job *job,
                       struct err *err)
{
    int rc = 0;

    for (int part = 0; rc == 0 && part <= SPLIT_TEST; part++) {
        const char *why, *files = files_of(job, part, &why);

        if (files[0] && !(part == SPLIT_TRAIN && streamed->spooled))
            rc = chunks_open(&streamed->chunks[part], job, files, why, err);
    }
    return rc;
}

static int open_all(struct survey *s, struct err *err)
{
    struct streamed *streamed = s->streamed;
    struct schema *schema = &streamed->schema;
    int rc = split_can_stream(s->job, err);

    if (rc == 0)
        rc = schema_of_job(s->job, COLUMNS_LABEL, &streamed->files, err);
    *schema = streamed->files;
    if (rc == 0)
        rc = sides_load(s->job, COLUMNS_LABEL, schema, &streamed->sides, err);
    if (rc == 0)
        rc = prepare_create(s->job, schema, &s->prepare, err);
    if (rc == 0)
        rc = open_chunks(streamed, s->job, err);
    if (rc == 0)
        rc = source_create(s->job, &streamed->files, &s->source, err);
    if (rc == 0)
        rc = block_create(&s->block, schema, WALK_READ, err);
    if (rc == 0)
        rc = block_create(&s->ready, prepare_schema(s->prepare), WALK_READ, err);
    s->keep = rc ? NULL : malloc(WALK_READ);
    if (rc == 0 && !s->keep)
        rc = err_set(err, ERR_MEMORY, "no memory to read the data");
    return rc;
}

/* What both kinds have to say in the end. */
static void complete_facts(struct survey *s)
{
    struct streamed *streamed = s->streamed;
    struct data_facts *facts = &streamed->facts;

    facts->test_examples = s->scored;
    facts->grain = (uint64_t)1 << WALK_GRAIN_BITS;
    for (int part = 0; part <= SPLIT_TEST; part++)
        facts->digest = XXH3_64bits_withSeed(&streamed->chunks[part].digest,
                                             sizeof(uint64_t), facts->digest);
}

static int look(struct streamed *streamed, const struct job *job,
                const struct saved_preparation *saved, const volatile bool *stop,
                struct err *err)
{
    struct survey s = {.streamed = streamed, .job = job, .stop = stop};
    int rc = open_all(&s, err);

    if (rc == 0)
        rc = streamed->spooled ? look_at_spool(&s, saved, err)
                               : look_at_all(&s, saved, err);
    complete_facts(&s);
    source_destroy(s.source);
    block_release(&s.block);
    block_release(&s.ready); /* by the schema of the preparation */
    prepare_destroy(s.prepare);
    free(s.keep);
    if (rc)
        streamed_release(streamed);
    return rc;
}

int streamed_open(struct streamed *streamed, const struct job *job,
                  const struct saved_preparation *saved, const volatile bool *stop,
                  struct err *err)
{
    *streamed = (struct streamed){0};
    return look(streamed, job, saved, stop, err);
}

int streamed_open_spool(struct streamed *streamed, const struct job *job,
                        const char *spool, const struct saved_preparation *saved,
                        const volatile bool *stop, struct err *err)
{
    *streamed = (struct streamed){.spooled = true, .spool = spool};
    return look(streamed, job, saved, stop, err);
}

void streamed_release(struct streamed *streamed)
{
    for (int part = 0; part <= SPLIT_TEST; part++)
        chunks_release(&streamed->chunks[part]);
    free(streamed->preparation);
    sides_destroy(streamed->sides);
    *streamed = (struct streamed){0};
}

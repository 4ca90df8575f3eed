#include "worker/stream/walk.h"

#include <stdlib.h>
#include <time.h>

#include "common/clock.h"
#include "common/rng.h"
#include "worker/stream/labels.h"
#include "worker/stream/shuffle.h"

enum { LOOK_AGAIN_NS = 20 * 1000 * 1000 };

struct walk {
    struct walk_plan plan;
    uint32_t *order; /* owned; [chunks]: of the epoch; NULL before the first */
    uint32_t epoch;
    bool ordered;
    struct range range; /* `first` is where we are */

    /* The bundle that is open, and the window of it that is in memory. */
    bool open;
    uint32_t place;   /* of the bundle */
    uint32_t windows; /* of it so far */
    uint64_t before;  /* its examples before this window */
    struct block window;
    uint32_t *example; /* owned; [WALK_WINDOW]: the window's order */

    /* What comes into the next one. */
    struct source *source; /* owned */
    struct spool *spool;   /* owned; NULL before it is needed */
    uint32_t at, end;      /* in the order: the chunk that is read, the bundle's end */
    bool reads;            /* that chunk is open */
    struct block block;    /* what was read of it last, of our part */
    uint8_t *keep;         /* owned; [WALK_READ] */
    struct prepare *prepare; /* owned; NULL: nothing is prepared */
    struct block ready;      /* the block as it is prepared */
    const struct block *out; /* that, or the block itself */
    uint32_t used;           /* examples of it that are in a window */
    const bool *stop;        /* borrowed; NULL: nothing stops us */

    /* A spool's rows that were left out: of the chunks behind us, and of those and what
     * was before the one that is open. */
    struct bad_rows bad_rows;
    uint64_t bad_before;
};

/* The stream of random numbers of the order within bundles: "window" in ASCII. */
const char walk_too_large[] =
    "data.mix chunks of the data have 2^32 examples or more together; a smaller "
    "data.mix, or more and smaller compressed files, would do";

static const uint64_t window_seed = 0x77696e646f77;

static int open_prepare(struct walk *walk, struct err *err)
{
    const struct walk_plan *plan = &walk->plan;
    int rc;

    walk->out = &walk->block;
    rc = prepare_create(plan->job, plan->schema, &walk->prepare, err);
    if (rc)
        return rc;
    if (!plan->preparation && !prepare_checks(walk->prepare)) {
        prepare_destroy(walk->prepare);
        walk->prepare = NULL;
        return 0;
    }
    if (!plan->preparation)
        rc = prepare_finish(walk->prepare, err);
    else
        rc = prepare_load(walk->prepare, plan->preparation, plan->preparation_bytes,
                          err);
    if (rc == 0)
        rc = block_create(&walk->ready, prepare_schema(walk->prepare), WALK_READ, err);
    walk->out = &walk->ready;
    return rc;
}

const struct schema *walk_schema(const struct walk *walk)
{
    return walk->prepare ? prepare_schema(walk->prepare) : walk->plan.schema;
}

int walk_create(const struct walk_plan *plan, struct walk **out, struct err *err)
{
    struct walk *walk = calloc(1, sizeof *walk);
    int rc;

    if (!walk)
        return err_set(err, ERR_MEMORY, "no memory to read the data");
    walk->plan = *plan;
    walk->example = malloc(WALK_WINDOW * sizeof *walk->example);
    walk->keep = malloc(WALK_READ);
    if (!walk->example || !walk->keep)
        rc = err_set(err, ERR_MEMORY, "no memory to read the data");
    else
        rc = open_prepare(walk, err);
    if (rc == 0)
        rc = block_create(&walk->block, plan->schema, WALK_READ, err);
    if (rc == 0)
        rc = block_create(&walk->window, walk_schema(walk), WALK_WINDOW, err);
    if (rc == 0)
        rc = source_create(plan->job, plan->files, &walk->source, err);
    if (rc)
        walk_destroy(walk);
    else
        *out = walk;
    return rc;
}

void walk_destroy(struct walk *walk)
{
    if (!walk)
        return;
    source_destroy(walk->source);
    spool_close(walk->spool);
    block_release(&walk->block);
    block_release(&walk->ready);
    block_release(&walk->window);
    prepare_destroy(walk->prepare);
    free(walk->order);
    free(walk->example);
    free(walk->keep);
    free(walk);
}

static uint32_t place_of(uint64_t position)
{
    return (uint32_t)(position >> WALK_GRAIN_BITS);
}

static uint32_t offset_of(uint64_t position)
{
    return (uint32_t)position;
}

uint64_t walk_end(const struct chunks *chunks, uint32_t mix)
{
    uint64_t bundles = ((uint64_t)chunks->count + mix - 1) / mix;

    return bundles << WALK_GRAIN_BITS;
}

static int make_order(struct walk *walk, uint32_t epoch, struct err *err)
{
    uint32_t count = walk->plan.chunks->count;

    if (!walk->order)
        walk->order = malloc((count + 1) * sizeof *walk->order);
    if (!walk->order)
        return err_set(err, ERR_MEMORY, "no memory for the order of %u chunks", count);
    if (epoch)
        shuffle(walk->order, count, walk->plan.seed, epoch);
    for (uint32_t i = 0; !epoch && i < count; i++)
        walk->order[i] = i;
    walk->open = false;
    walk->ordered = true;
    walk->epoch = epoch;
    return 0;
}

int walk_to(struct walk *walk, uint32_t epoch, struct range range, struct err *err)
{
    const struct walk_plan *plan = &walk->plan;
    uint64_t end = plan->chunks ? walk_end(plan->chunks, plan->mix) : UINT64_MAX;

    if (plan->chunks && (!walk->ordered || walk->epoch != epoch) &&
        make_order(walk, epoch, err))
        return -err->code;
    walk->epoch = epoch;
    walk->range = range;
    if (walk->range.end > end)
        walk->range.end = end;
    /* What is behind us of an open bundle is gone. */
    if (place_of(range.first) != walk->place || offset_of(range.first) < walk->before)
        walk->open = false;
    return 0;
}

/* --- reading --------------------------------------------------------------------- */

static void open_bundle(struct walk *walk, uint32_t place)
{
    const struct chunks *chunks = walk->plan.chunks;
    uint64_t mix = chunks ? walk->plan.mix : 1, first = place * mix, end = first + mix;

    walk->open = true;
    walk->place = place;
    walk->windows = 0;
    walk->before = 0;
    walk->at = (uint32_t)first;
    walk->end = !chunks || end < chunks->count ? (uint32_t)end : chunks->count;
    walk->reads = false;
    walk->used = walk->out->n;
#ifndef MUTANT_BAD_ROWS_CHUNK
    walk->bad_before = source_bad_rows(walk->source)->count;
#endif
    block_clear(&walk->window);
}

/* The open bundle has no more examples. */
static void close_bundle(struct walk *walk)
{
    struct bad_rows bad = *source_bad_rows(walk->source);

    if (walk->plan.chunks)
        return;
    bad.count -= walk->bad_before;
    walk->bad_before += bad.count;
    if (bad.count)
        bad_rows_add(&walk->bad_rows, &bad);
}

const struct bad_rows *walk_bad_rows(const struct walk *walk)
{
    return &walk->bad_rows;
}

/* Labels become what is trained on; weights of files have been looked at before. */
static int take_labels(struct walk *walk, struct block *block, struct err *err)
{
    int place = block->schema->label;
    float *label = place == SCHEMA_NONE ? NULL : block->column[place].number, weight;

    for (uint32_t i = 0; !walk->plan.chunks && i < block->n; i++)
        if (weight_at(block, i, &weight, err))
            return err_prefix(err, "%s",
                              source_where(walk->source, walk->block.place[i]));

    for (uint32_t i = 0; label && i < block->n; i++)
        if (label_as_trained(walk->plan.job, &label[i], err))
            return err_prefix(err, "%s, column %s",
                              source_where(walk->source, walk->block.place[i]),
                              block->schema->column[place].name);
    return 0;
}

/* The next examples of the chunk that is open: 1, and `out` has those of our part,
 * which may be none; 0 at the chunk's end. */
static int read_chunk(struct walk *walk, uint32_t chunk, struct err *err)
{
    struct block *block = &walk->block;
    int rc = source_next(walk->source, block, err);
    uint32_t at;

    walk->used = 0;
    if (rc > 0 && sides_join(walk->plan.sides, block, err))
        return -err->code;
    if (rc <= 0)
        return rc;
    if (!walk->plan.whole) {
        if (split_keep(walk->plan.job, walk->plan.part,
                       walk->plan.chunks->chunk[chunk].file, block, walk->keep, &at,
                       err))
            return err_prefix(err, "%s", source_where(walk->source, block->place[at]));
        block_filter(block, walk->keep);
    }
    if (walk->prepare && prepare_apply(walk->prepare, block, &walk->ready, &at, err))
        return err_prefix(err, "%s", source_where(walk->source, block->place[at]));
    rc = take_labels(walk, walk->prepare ? &walk->ready : block, err);
    return rc ? rc : 1;
}

int walk_spool_piece(struct spool *spool, uint64_t number, struct piece *piece,
                     struct err *err)
{
    struct spool_chunk chunk;
    int rc = spool_chunk(spool, number, &chunk, err);

    if (rc == 0)
        *piece = (struct piece){.path = chunk.path,
                                .begin = chunk.begin,
                                .end = chunk.end,
                                .name = spool_name_shown(chunk.name),
                                .header = chunk.header,
                                .header_bytes = chunk.header_bytes,
                                .line = chunk.line};
    return rc;
}

static int open_chunk(struct walk *walk, uint32_t chunk, struct err *err)
{
    struct piece piece;
    int rc = 0;

    if (walk->plan.chunks)
        piece = chunks_piece(walk->plan.chunks, chunk);
    else if (!walk->spool)
        rc = spool_open(walk->plan.spool, &walk->spool, err);
    if (rc == 0 && !walk->plan.chunks)
        rc = walk_spool_piece(walk->spool, chunk, &piece, err);
    return rc ? rc : source_open(walk->source, &piece, err);
}

void walk_stop_at(struct walk *walk, const bool *stop)
{
    walk->stop = stop;
}

static bool is_stopped(const struct walk *walk)
{
    return walk->stop && __atomic_load_n(walk->stop, __ATOMIC_RELAXED);
}

/* A chunk that another host has just published may take a moment to be seen here. */
static int await_chunk(struct walk *walk, uint32_t chunk, struct err *err)
{
    int64_t until = clock_ms() + (int64_t)(walk->plan.job->cluster.timeout * 1000);
    const struct timespec moment = {.tv_nsec = LOOK_AGAIN_NS};
    int rc = open_chunk(walk, chunk, err);

    while (rc == -ERR_AGAIN && !is_stopped(walk) && clock_ms() < until) {
        nanosleep(&moment, NULL);
        rc = open_chunk(walk, chunk, err);
    }
    return rc;
}

/* The same of the bundle. */
static int read_bundle(struct walk *walk, struct err *err)
{
    while (walk->at < walk->end) {
        uint32_t chunk = walk->plan.chunks ? walk->order[walk->at] : walk->at;
        int rc = walk->reads ? 0 : await_chunk(walk, chunk, err);

        if (walk->plan.chunks) /* they have been counted before */
            source_forget_bad_rows(walk->source);
        if (rc == 0 && is_stopped(walk))
            rc = err_set(err, ERR_INTERRUPTED, "reading was stopped");
        if (rc == 0)
            rc = read_chunk(walk, chunk, err);
        if (rc)
            return rc;
        walk->reads = false;
        walk->at++;
    }
    walk->used = walk->out->n;
    return 0;
}

static void order_window(struct walk *walk)
{
    uint64_t seed = rng_at(walk->plan.seed ^ window_seed, walk->place, walk->windows);

    if (walk->epoch)
        shuffle(walk->example, walk->window.n, seed, walk->epoch);
    for (uint32_t i = 0; !walk->epoch && i < walk->window.n; i++)
        walk->example[i] = i;
    walk->windows++;
}

/* The next window of the open bundle: 1, or 0 at the bundle's end. How the files' bytes
 * come in must not matter: a window is full, or the bundle's last one. */
static int next_window(struct walk *walk, struct err *err)
{
    struct block *window = &walk->window;
    int rc = 1;

    walk->before += window->n;
    block_clear(window);
    while (rc > 0) {
        uint32_t left = walk->out->n - walk->used, room = window->capacity - window->n;
        uint32_t n = left < room ? left : room;

        if (block_append(window, walk->out, walk->used, n, err))
            return -err->code;
        walk->used += n;
        if (window->n == window->capacity)
            break;
        rc = read_bundle(walk, err);
        walk->reads = rc > 0;
    }
    if (rc >= 0 && walk->before + window->n > UINT32_MAX)
        return err_set(err, ERR_INPUT, "%s", walk_too_large);
    order_window(walk);
    return rc < 0 ? rc : window->n > 0;
}

/* Gets the window that has the position, or one behind it; 0 if the bundle has none. */
static int reach(struct walk *walk, uint64_t position, struct err *err)
{
    int rc = 1;

    if (!walk->open || walk->place != place_of(position))
        open_bundle(walk, place_of(position));
    while (rc > 0 && offset_of(position) >= walk->before + walk->window.n)
        rc = next_window(walk, err);
    return rc;
}

int walk_next(struct walk *walk, uint32_t max, struct stretch *stretch, struct err *err)
{
    struct range *range = &walk->range;
    uint32_t first = 0, n;
    int rc = 0;

    while (range->first < range->end) {
        rc = reach(walk, range->first, err);
        if (rc != 0)
            break;
        close_bundle(walk);
        range->first = ((uint64_t)place_of(range->first) + 1) << WALK_GRAIN_BITS;
    }
    if (rc < 0)
        walk->open = false;
    if (rc <= 0)
        return rc;
#ifndef MUTANT_WALK_OFFSET
    first = offset_of(range->first) - (uint32_t)walk->before;
#endif
    n = walk->window.n - first;
    n = n < max ? n : max;
    n = n < range->end - range->first ? n : (uint32_t)(range->end - range->first);
    *stretch = (struct stretch){
        .block = &walk->window,
        .example = walk->example + first,
        .n = n,
        .position = range->first + n,
    };
    range->first += n;
    return 1;
}

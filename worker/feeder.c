#include "worker/feeder.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum {
    QUEUE = 2, /* batches ready and waiting for the trainer */
    PREFETCH = 16
};

struct feeder {
    const struct job *job;
    uint32_t servers;
    int table_of_column[JOB_COLUMNS_MAX];
    uint32_t key_columns;
    struct batch *batch; /* [batches] */
    uint32_t batches;
    /* The reader's, by key column: a batch's ids, [batch], and their marks. */
    uint32_t *id[JOB_COLUMNS_MAX];
    struct keyset_marks marks[JOB_COLUMNS_MAX];

    /* The pass. */
    const struct dataset *data;
    const struct part *part;
    const uint32_t *order;
    struct range *range;
    uint32_t ranges;
    uint64_t taken;
    bool read_only;
    pthread_t thread;
    bool running;

    /* Shared: under lock. Rings of batch pointers. */
    pthread_mutex_t lock;
    pthread_cond_t changed;
    struct batch **empty, **full;
    uint32_t empties, fulls, full_head;
    bool stop, end;
    struct err err; /* the reader's; code 0 = none */
};

static void map_columns(struct feeder *feeder)
{
    for (int i = 0; i < feeder->job->data.columns; i++)
        if (feeder->job->data.column[i].as == COLUMN_KEY)
            feeder->table_of_column[feeder->key_columns++] = job_table_index(
                feeder->job, feeder->job->data.column[i].table);
}

int feeder_create(const struct job *job, const uint32_t *width, uint32_t servers,
                  uint32_t ahead, struct feeder **out, struct err *err)
{
    struct feeder *feeder = calloc(1, sizeof *feeder);
    uint32_t wanted = ahead + QUEUE + 1;
    bool no_memory = false;

    if (!feeder)
        return err_set(err, ERR_MEMORY, "no memory for a reader");
    feeder->job = job;
    feeder->servers = servers;
    pthread_mutex_init(&feeder->lock, NULL);
    pthread_cond_init(&feeder->changed, NULL);
    map_columns(feeder);
    feeder->batch = calloc(wanted, sizeof *feeder->batch);
    feeder->empty = calloc(wanted, sizeof(struct batch *));
    feeder->full = calloc(wanted, sizeof(struct batch *));
    for (uint32_t c = 0; c < feeder->key_columns; c++) {
        feeder->id[c] = malloc((size_t)job->train.batch * sizeof *feeder->id[c]);
        no_memory |= !feeder->id[c];
    }
    if (!feeder->batch || !feeder->empty || !feeder->full || no_memory) {
        err_set(err, ERR_MEMORY, "no memory for batches of %lld examples",
                (long long)job->train.batch);
        goto fail;
    }
    for (; feeder->batches < wanted; feeder->batches++)
        if (batch_create(&feeder->batch[feeder->batches], width, (uint32_t)job->tables,
                         servers, (uint32_t)job->train.batch, err))
            goto fail;
    *out = feeder;
    return 0;
fail:
    feeder_destroy(feeder);
    return -err->code;
}

void feeder_destroy(struct feeder *feeder)
{
    struct err ignored;

    if (!feeder)
        return;
    feeder_end(feeder, &ignored);
    for (uint32_t i = 0; i < feeder->batches; i++)
        batch_release(&feeder->batch[i]);
    free(feeder->batch);
    free(feeder->empty);
    free(feeder->full);
    for (uint32_t c = 0; c < feeder->key_columns; c++) {
        free(feeder->id[c]);
        keyset_marks_release(&feeder->marks[c]);
    }
    pthread_cond_destroy(&feeder->changed);
    pthread_mutex_destroy(&feeder->lock);
    free(feeder);
}

static void copy_example(const struct feeder *feeder, struct batch *batch,
                         uint64_t number)
{
    uint32_t columns = feeder->key_columns;
    const uint32_t *id = feeder->part->id + number * columns;

    for (uint32_t c = 0; c < columns; c++)
        feeder->id[c][batch->n] = id[c];
    batch->label[batch->n++] = feeder->part->label[number];
}

/* Takes examples from the ranges until the batch is full or nothing is left. */
static void take(struct feeder *feeder, struct batch *batch)
{
    batch->n = 0;
    while (batch->n < batch->capacity && feeder->ranges) {
        struct range *range = &feeder->range[0];

        for (; range->first < range->end && batch->n < batch->capacity;
             range->first++) {
            uint64_t at = range->first;

            if (!feeder->order) {
                copy_example(feeder, batch, at);
                continue;
            }
            if (at + PREFETCH < range->end) {
                uint64_t soon = feeder->order[at + PREFETCH];

                __builtin_prefetch(&feeder->part->id[soon * feeder->key_columns]);
                __builtin_prefetch(&feeder->part->label[soon]);
            }
            copy_example(feeder, batch, feeder->order[at]);
        }
        if (range->first == range->end)
            memmove(range, range + 1, --feeder->ranges * sizeof *range);
    }
}

static int fill(struct feeder *feeder, struct batch *batch, struct err *err)
{
    take(feeder, batch);
    if (batch->n == 0)
        return 0;
    feeder->taken += batch->n;
    batch->taken = feeder->taken;
    batch->read_only = feeder->read_only;
    batch->clock = 0;
    for (uint32_t t = 0; t < batch->tables; t++)
        keyset_build(&batch->set[t], NULL, 0, 1, feeder->servers);
    for (uint32_t c = 0; c < feeder->key_columns; c++)
        keyset_build_ids(&batch->set[feeder->table_of_column[c]], &feeder->marks[c],
                         feeder->data->column[c].key, feeder->id[c], batch->n,
                         feeder->servers);
    return batch_cut(batch, err);
}

static void *read_all(void *context)
{
    struct feeder *feeder = context;
    struct err err = {0};

    pthread_mutex_lock(&feeder->lock);
    while (!feeder->stop) {
        struct batch *batch;
        int rc;

        if (feeder->empties == 0) {
            pthread_cond_wait(&feeder->changed, &feeder->lock);
            continue;
        }
        batch = feeder->empty[--feeder->empties];
        pthread_mutex_unlock(&feeder->lock);
        rc = fill(feeder, batch, &err);
        pthread_mutex_lock(&feeder->lock);
        if (rc)
            feeder->err = err;
        if (rc || batch->n == 0)
            break;
        feeder->full[(feeder->full_head + feeder->fulls++) % feeder->batches] = batch;
        pthread_cond_signal(&feeder->changed);
    }
    feeder->end = true;
    pthread_cond_signal(&feeder->changed);
    pthread_mutex_unlock(&feeder->lock);
    return NULL;
}

int feeder_begin(struct feeder *feeder, const struct dataset *data,
                 const struct part *part, const uint32_t *order,
                 const struct range *range, uint32_t ranges, uint64_t taken,
                 bool read_only, struct err *err)
{
    for (uint32_t c = 0; c < feeder->key_columns; c++)
        if (keyset_marks_init(&feeder->marks[c], data->column[c].keys, err))
            return -err->code;
    feeder->range = malloc((ranges ? ranges : 1) * sizeof *range);
    if (!feeder->range)
        return err_set(err, ERR_MEMORY, "no memory for %u ranges", ranges);
    if (ranges > 0)
        memcpy(feeder->range, range, ranges * sizeof *range);
    feeder->ranges = ranges;
    feeder->data = data;
    feeder->part = part;
    feeder->order = order;
    feeder->taken = taken;
    feeder->read_only = read_only;
    feeder->empties = 0;
    for (uint32_t i = 0; i < feeder->batches; i++)
        feeder->empty[feeder->empties++] = &feeder->batch[i];
    feeder->fulls = feeder->full_head = 0;
    feeder->stop = feeder->end = false;
    feeder->err.code = 0;
    errno = pthread_create(&feeder->thread, NULL, read_all, feeder);
    if (errno) {
        free(feeder->range);
        feeder->range = NULL;
        return err_system(err, "cannot start the reader thread");
    }
    feeder->running = true;
    return 0;
}

struct batch *feeder_next(struct feeder *feeder, bool wait)
{
    struct batch *batch = NULL;

    pthread_mutex_lock(&feeder->lock);
    while (wait && feeder->fulls == 0 && !feeder->end)
        pthread_cond_wait(&feeder->changed, &feeder->lock);
    if (feeder->fulls) {
        batch = feeder->full[feeder->full_head];
        feeder->full_head = (feeder->full_head + 1) % feeder->batches;
        feeder->fulls--;
    }
    pthread_mutex_unlock(&feeder->lock);
    return batch;
}

void feeder_return(struct feeder *feeder, struct batch *batch)
{
    pthread_mutex_lock(&feeder->lock);
    feeder->empty[feeder->empties++] = batch;
    pthread_cond_signal(&feeder->changed);
    pthread_mutex_unlock(&feeder->lock);
}

int feeder_end(struct feeder *feeder, struct err *err)
{
    if (!feeder->running)
        return 0;
    pthread_mutex_lock(&feeder->lock);
    feeder->stop = true;
    pthread_cond_signal(&feeder->changed);
    pthread_mutex_unlock(&feeder->lock);
    pthread_join(feeder->thread, NULL);
    feeder->running = false;
    free(feeder->range);
    feeder->range = NULL;
    if (!feeder->err.code)
        return 0;
    *err = feeder->err;
    return -err->code;
}

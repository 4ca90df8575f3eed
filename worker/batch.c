#include "worker/batch.h"

#include <stdlib.h>
#include <string.h>

/* Parts that there is room for at first, beside one for each server. */
enum { PARTS_MORE = 16 };

static int no_memory(uint32_t capacity, struct err *err)
{
    return err_set(err, ERR_MEMORY, "no memory for batches of %u examples", capacity);
}

/* What belongs to one table with at most `rows` rows of a batch; made whole or not at
 * all. */
static int create_table(struct batch *batch, uint32_t t, uint64_t rows, struct err *err)
{
    size_t bytes = rows * batch->width[t] * sizeof(float);
    int rc;

    if (rows > KEYSET_CAPACITY_MAX)
        return err_set(err, ERR_INPUT,
                       "a batch may use %llu rows of a table, at most %d are possible; "
                       "a smaller train.batch helps",
                       (unsigned long long)rows, KEYSET_CAPACITY_MAX);
    rc = keyset_create(&batch->set[t], t, (uint32_t)rows, batch->servers, err);
    if (rc)
        return rc;
    batch->rows[t] = aligned_alloc(64, (bytes + 63) / 64 * 64 + 64);
    batch->missing[t] = malloc((rows + 1) * sizeof(uint32_t));
    if (batch->rows[t] && batch->missing[t])
        return 0;
    free(batch->rows[t]);
    free(batch->missing[t]);
    keyset_release(&batch->set[t]);
    return no_memory(batch->capacity, err);
}

/* What an example has for an input; made whole or not at all. */
static int create_input(struct batch *batch, uint32_t i, struct err *err)
{
    const struct blueprint_input *in = &batch->blueprint->input[i];
    struct batch_input *input = &batch->input[i];
    size_t keys = in->kind == LAYER_BAG ? in->length : in->steps;
    size_t numbers = in->kind == LAYER_NUMBERS ? in->width
                     : in->kind == LAYER_BAG   ? in->length
                                               : 0;

    input->pos = malloc((batch->capacity * keys + 1) * sizeof *input->pos);
    input->offset = malloc(((size_t)batch->capacity + 1) * sizeof *input->offset);
    input->number = malloc((batch->capacity * numbers + 1) * sizeof *input->number);
    return input->pos && input->offset && input->number
               ? 0
               : no_memory(batch->capacity, err);
}

/* Rows of the target's table are all that a list can have. */
static int create_targets(struct batch *batch, struct err *err)
{
    const struct blueprint *blueprint = batch->blueprint;
    size_t each = blueprint->target == TARGET_LIST ? blueprint->classes : 1;
    size_t room = batch->capacity * each + 1;

    if (blueprint->target != TARGET_LIST && blueprint->target != TARGET_CLASS)
        return 0;
    batch->target_offset = malloc(((size_t)batch->capacity + 1) *
                                  sizeof *batch->target_offset);
    batch->target = malloc(room * sizeof *batch->target);
    batch->target_value = malloc(room * sizeof *batch->target_value);
    return batch->target_offset && batch->target && batch->target_value
               ? 0
               : no_memory(batch->capacity, err);
}

static int create(struct batch *batch, uint32_t servers, uint32_t capacity,
                  struct err *err)
{
    batch->servers = servers;
    batch->capacity = capacity;
    batch->group = 1;
    batch->label = malloc(capacity * sizeof *batch->label);
    batch->weight = malloc(capacity * sizeof *batch->weight);
    batch->parts_capacity = servers + PARTS_MORE;
    batch->part = malloc(batch->parts_capacity * sizeof *batch->part);
    if (batch->blueprint && job_ranks(batch->blueprint->job)) {
        batch->item = malloc(capacity * sizeof *batch->item);
        batch->log_q = malloc(capacity * sizeof *batch->log_q);
        if (!batch->item || !batch->log_q)
            return no_memory(capacity, err);
    }
    return batch->label && batch->weight && batch->part ? 0 : no_memory(capacity, err);
}

int batch_create(struct batch *batch, const uint32_t *width, uint32_t tables,
                 uint32_t servers, uint32_t capacity, struct err *err)
{
    int rc;

    memset(batch, 0, sizeof *batch);
    memcpy(batch->width, width, tables * sizeof *width);
    rc = create(batch, servers, capacity, err);
    for (; rc == 0 && batch->tables < tables; batch->tables++) {
        rc = create_table(batch, batch->tables, capacity, err);
        if (rc)
            break;
    }
    if (rc)
        batch_release(batch);
    return rc;
}

int batch_create_for(struct batch *batch, const struct blueprint *blueprint,
                     uint32_t servers, uint32_t capacity, struct err *err)
{
    const struct job *job = blueprint->job;
    int rc;

    memset(batch, 0, sizeof *batch);
    batch->blueprint = blueprint;
    rc = create(batch, servers, capacity, err);
    for (int t = 0; rc == 0 && t < job->tables; t++) {
        batch->width[t] = job_row_width(job, t);
        rc = create_table(batch, (uint32_t)t, blueprint_rows(blueprint, t, capacity),
                          err);
        batch->set[t].dense = (uint64_t)job->table[t].rows;
        batch->tables += rc == 0;
    }
    for (uint32_t i = 0; rc == 0 && i < blueprint->inputs; i++)
        rc = create_input(batch, i, err);
    if (rc == 0)
        rc = create_targets(batch, err);
    if (rc)
        batch_release(batch);
    return rc;
}

void batch_release(struct batch *batch)
{
    for (uint32_t t = 0; t < batch->tables; t++) {
        keyset_release(&batch->set[t]);
        free(batch->rows[t]);
        free(batch->missing[t]);
    }
    for (uint32_t i = 0; i < JOB_LAYERS_MAX; i++) {
        free(batch->input[i].pos);
        free(batch->input[i].offset);
        free(batch->input[i].number);
    }
    free(batch->target_offset);
    free(batch->target);
    free(batch->target_value);
    free(batch->item);
    free(batch->log_q);
    free(batch->label);
    free(batch->weight);
    free(batch->part);
    memset(batch, 0, sizeof *batch);
}

static struct batch_part *new_part(struct batch *batch, uint32_t server,
                                   uint32_t number)
{
    struct batch_part *part;

    if (batch->parts == batch->parts_capacity) {
        uint32_t capacity = batch->parts_capacity * 2 + PARTS_MORE;

        part = realloc(batch->part, capacity * sizeof *part);
        if (!part)
            return NULL;
        batch->part = part;
        batch->parts_capacity = capacity;
    }
    part = &batch->part[batch->parts++];
    *part = (struct batch_part){.server = server, .number = number};
    return part;
}

/* Cuts one server's slices; fills parts greedily, table after table. */
static int cut_server(struct batch *batch, uint32_t server)
{
    uint32_t before = batch->parts;
    struct batch_part *part = NULL;
    size_t room = 0;

    for (uint32_t t = 0; t < batch->tables; t++) {
        size_t row_bytes = sizeof(uint64_t) + sizeof(float) +
                           batch->width[t] * sizeof(float);
        uint32_t first = batch->set[t].part[server];
        uint32_t end = batch->set[t].part[server + 1];

        while (first < end) {
            uint32_t rows = end - first;

            if (!part || room < row_bytes) {
                part = new_part(batch, server, batch->parts - before);
                if (!part)
                    return -ERR_MEMORY;
                /* A row wider than a part travels alone. */
                room = PART_BYTES > row_bytes ? PART_BYTES : row_bytes;
            }
            if (rows > room / row_bytes)
                rows = (uint32_t)(room / row_bytes);
            part->section[part->sections++] = (struct batch_section){t, first, rows,
                                                                     rows};
            room -= rows * row_bytes;
            first += rows;
        }
    }
    for (uint32_t p = before; p < batch->parts; p++)
        batch->part[p].parts = batch->parts - before;
    return 0;
}

int batch_cut(struct batch *batch, struct err *err)
{
    batch->parts = 0;
    for (uint32_t s = 0; s < batch->servers; s++)
        if (cut_server(batch, s))
            return err_set(err, ERR_MEMORY, "no memory for the parts of a batch");
    batch->unanswered = batch->parts;
    return 0;
}

#include "worker/pull.h"

#include <string.h>

static const uint64_t *keys_of(const struct batch *batch,
                               const struct batch_section *section)
{
    return batch->set[section->table].key + section->first;
}

static float *rows_of(const struct batch *batch, const struct batch_section *section)
{
    return batch->rows[section->table] +
           (size_t)section->first * batch->width[section->table];
}

/* The places of what a section wants; NULL: it wants all. */
static uint32_t *places_of(const struct batch *batch,
                           const struct batch_section *section)
{
    if (section->wanted == section->rows)
        return NULL;
    return batch->missing[section->table] + section->first;
}

void pull_take_kept(struct batch *batch, struct row_cache *cache)
{
    for (uint32_t p = 0; p < batch->parts; p++)
        for (uint32_t i = 0; i < batch->part[p].sections; i++) {
            struct batch_section *s = &batch->part[p].section[i];

            s->wanted = row_cache_get(cache, s->table, keys_of(batch, s), s->rows,
                                      batch->clock, rows_of(batch, s),
                                      batch->missing[s->table] + s->first);
        }
}

bool pull_wants_rows(const struct batch_part *part)
{
    return pull_bytes(part) > 0;
}

size_t pull_bytes(const struct batch_part *part)
{
    size_t rows = 0;

    for (uint32_t i = 0; i < part->sections; i++)
        rows += part->section[i].wanted;
    return rows * sizeof(uint64_t);
}

static void copy_keys(const struct batch *batch, const struct batch_section *section,
                      uint64_t *key)
{
    const uint64_t *from = keys_of(batch, section);
    const uint32_t *place = places_of(batch, section);

    if (!place)
        memcpy(key, from, section->rows * sizeof *key);
    for (uint32_t i = 0; place && i < section->wanted; i++)
        key[i] = from[place[i]];
}

void pull_write(const struct batch *batch, const struct batch_part *part,
                struct message *message, unsigned char *keys)
{
    message->sections = 0;
    for (uint32_t i = 0; i < part->sections; i++) {
        const struct batch_section *s = &part->section[i];

        if (!s->wanted)
            continue;
        message->section[message->sections++] = (struct section){.table = s->table,
                                                                 .rows = s->wanted};
        copy_keys(batch, s, (uint64_t *)keys);
        keys += s->wanted * sizeof(uint64_t);
    }
}

static void take_rows(struct batch *batch, const struct batch_section *section,
                      const float *values)
{
    size_t width = batch->width[section->table];
    const uint32_t *place = places_of(batch, section);
    float *to = rows_of(batch, section);

    if (!place)
        memcpy(to, values, section->rows * width * sizeof *values);
    for (uint32_t i = 0; place && i < section->wanted; i++)
        memcpy(to + place[i] * width, values + i * width, width * sizeof *values);
}

/* How long rows may be kept that were read when every push up to `vintage` was in them:
 * train.cache_staleness batches; and under ssp the batch of clock c gets only rows with
 * all pushes up to c - 1 - train.staleness, from here as from a server. */
static struct row_origin origin_of(const struct job *job, const struct batch *batch,
                                   uint64_t vintage)
{
    struct row_origin origin = {.clock = batch->clock, .vintage = vintage};

    if (origin.vintage >= batch->clock) /* as far as anybody can know */
        origin.vintage = batch->clock - 1;
    origin.until = batch->clock + (uint64_t)job->train.cache_staleness;
#ifndef MUTANT_CACHE_VINTAGE
    if (job->train.consistency == CONSISTENCY_SSP &&
        origin.vintage + 1 + (uint64_t)job->train.staleness < origin.until)
        origin.until = origin.vintage + 1 + (uint64_t)job->train.staleness;
#endif
    return origin;
}

static bool fits(const struct batch *batch, const struct batch_section *wanted,
                 const struct message *answer, uint32_t index)
{
    const struct section *section = &answer->section[index];

    return index < answer->sections && section->table == wanted->table &&
           section->rows == wanted->wanted &&
           section->width == batch->width[wanted->table];
}

/* Offers what came to the cache; but no row that the server has no memory for and
 * answers with zeros. Changes which places are missing: nobody asks for them again. */
static void keep_rows(const struct batch *batch, const struct batch_section *section,
                      const unsigned char *status, struct row_cache *cache,
                      const struct row_origin *origin)
{
    const uint32_t *place = places_of(batch, section);
    uint32_t *kept = batch->missing[section->table] + section->first;
    uint32_t n = status ? 0 : section->wanted;

    for (uint32_t i = 0; status && i < section->wanted; i++)
        if (status[i] == ROW_OK)
            kept[n++] = place ? place[i] : i;
    row_cache_put(cache, section->table, keys_of(batch, section), status ? kept : place,
                  n, rows_of(batch, section), origin);
}

bool pull_read(const struct job *job, struct batch *batch,
               const struct batch_part *part, const struct message *answer,
               struct row_cache *cache)
{
    struct section_layout at[MESSAGE_SECTIONS_MAX];
    struct row_origin origin;
    uint32_t n = 0;

    if (cache && !batch->read_only)
        origin = origin_of(job, batch, answer->rows.vintage);
    message_layout(MESSAGE_ROWS, answer->section, answer->sections, at);
    for (uint32_t i = 0; i < part->sections; i++) {
        const struct batch_section *s = &part->section[i];

        if (!s->wanted)
            continue;
        if (!fits(batch, s, answer, n))
            return false;
        take_rows(batch, s, (const float *)(answer->body + at[n].values));
        if (cache && !batch->read_only)
            keep_rows(batch, s,
                      answer->section[n].has_status ? answer->body + at[n].status
                                                    : NULL,
                      cache, &origin);
        n++;
    }
    return n == answer->sections;
}

void pull_advance_kept(const struct batch *batch, struct row_cache *cache,
                       float *const *difference)
{
    for (uint32_t t = 0; t < batch->tables; t++)
        row_cache_add(cache, t, batch->set[t].key, batch->set[t].rows, difference[t]);
}

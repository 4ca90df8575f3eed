#include "worker/exemplars.h"

#include <stdlib.h>

enum { EXAMPLES_A_BLOCK = 4096 };

void exemplars_init(struct exemplars *exemplars, const struct schema *schema,
                    bool latest)
{
    *exemplars = (struct exemplars){.schema = schema, .latest = latest};
}

static void release_blocks(struct exemplars *exemplars)
{
    for (uint32_t b = 0; b < exemplars->blocks; b++)
        block_release(&exemplars->block[b]);
    free(exemplars->block);
}

void exemplars_release(struct exemplars *exemplars)
{
    release_blocks(exemplars);
    dictionary_release(&exemplars->dictionary);
    free(exemplars->place);
    free(exemplars->time);
    *exemplars = (struct exemplars){0};
}

static int no_memory(const struct exemplars *exemplars, struct err *err)
{
    return err_set(err, ERR_MEMORY, "no memory for an example of each of %u keys",
                   exemplars->dictionary.keys);
}

/* Copies an example behind the others. */
static int append(struct exemplars *exemplars, const struct block *block,
                  uint32_t number, struct err *err)
{
    int rc;

    if (exemplars->examples == (uint64_t)exemplars->blocks * EXAMPLES_A_BLOCK) {
        struct block *more = realloc(exemplars->block,
                                     ((size_t)exemplars->blocks + 1) * sizeof *more);

        if (!more)
            return no_memory(exemplars, err);
        exemplars->block = more;
        rc = block_create(&more[exemplars->blocks], exemplars->schema, EXAMPLES_A_BLOCK,
                          err);
        if (rc)
            return rc;
        exemplars->blocks++;
    }
    rc = block_append(&exemplars->block[exemplars->blocks - 1], block, number, 1, err);
    exemplars->examples += rc == 0;
    return rc;
}

/* Room for what is known of key number `id`. */
static int make_room(struct exemplars *exemplars, uint32_t id, struct err *err)
{
    uint32_t room = exemplars->room ? exemplars->room * 2 : 1024;
    uint32_t *place;
    int64_t *time;

    if (id < exemplars->room)
        return 0;
    place = realloc(exemplars->place, room * sizeof *place);
    if (place)
        exemplars->place = place;
    time = place ? realloc(exemplars->time, room * sizeof *time) : NULL;
    if (!time)
        return no_memory(exemplars, err);
    exemplars->time = time;
    exemplars->room = room;
    return 0;
}

/* Copies to new blocks what keys still have. */
static int tidy(struct exemplars *exemplars, struct err *err)
{
    struct exemplars tidied = *exemplars;
    int rc = 0;

    tidied.block = NULL;
    tidied.blocks = 0;
    tidied.examples = 0;
    for (uint32_t id = 0; rc == 0 && id < exemplars->dictionary.keys; id++) {
        uint32_t number;
        const struct block *block = exemplars_at(exemplars, id, &number);

        rc = append(&tidied, block, number, err);
    }
    if (rc) {
        release_blocks(&tidied);
        return rc;
    }
    for (uint32_t id = 0; id < exemplars->dictionary.keys; id++)
        tidied.place[id] = id;
    release_blocks(exemplars);
    exemplars->block = tidied.block;
    exemplars->blocks = tidied.blocks;
    exemplars->examples = tidied.examples;
    return 0;
}

int exemplars_add(struct exemplars *exemplars, uint64_t key, int64_t time,
                  const struct block *block, uint32_t number, struct err *err)
{
    uint32_t before = exemplars->dictionary.keys, id;
    bool is_new;
    int rc = dictionary_id(&exemplars->dictionary, key, &id, err);

    if (rc || make_room(exemplars, id, err))
        return -err->code;
    is_new = exemplars->dictionary.keys > before;
    if (!is_new && (!exemplars->latest || time < exemplars->time[id]))
        return 0;
    /* What has been replaced is given back before it is more than what is kept. */
    if (exemplars->examples > 2 * (uint64_t)before + EXAMPLES_A_BLOCK && !is_new &&
        tidy(exemplars, err))
        return -err->code;
    rc = append(exemplars, block, number, err);
    if (rc)
        return rc;
    exemplars->place[id] = (uint32_t)(exemplars->examples - 1);
    exemplars->time[id] = time;
    return 0;
}

const struct block *exemplars_at(const struct exemplars *exemplars, uint32_t id,
                                 uint32_t *number)
{
    *number = exemplars->place[id] % EXAMPLES_A_BLOCK;
    return &exemplars->block[exemplars->place[id] / EXAMPLES_A_BLOCK];
}

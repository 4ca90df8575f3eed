/* The items of the training part, each with a number from 0 on, and the items that each
 * user has in it: where negatives are drawn, and candidates for rankings come from.
 * Made once from data in memory, then shared read-only by a process's workers.
 *
 * Numbers go by first appearance in the training part, so they are the same in every
 * process. */
#ifndef ROWHOUSE_WORKER_CATALOGUE_H
#define ROWHOUSE_WORKER_CATALOGUE_H

#include "worker/stream/data.h"

/* A key column of the examples of a part; plain data, borrows the part. */
struct part_keys {
    const struct part *part;
    const struct dictionary *ids; /* of the column */
    uint32_t width, place;        /* of records */
    int block_place;              /* of blocks, if there are no records */
};

/* `column` is one of the job's that job_column_is_key(). */
struct part_keys part_keys_of(const struct job *job, const struct dataset *dataset,
                              enum split_part part, int column);

static inline uint64_t part_key(const struct part_keys *keys, uint64_t example)
{
    const struct part *part = keys->part;

    if (part->record)
        return keys->ids->key[part->record[example * keys->width + keys->place]];
    return part->block[example / GATHER_EXAMPLES]
        .column[keys->block_place]
        .key[example % GATHER_EXAMPLES];
}

/* The label of an example of a part as it is trained on, 1 without any. */
static inline float part_label(const struct dataset *dataset, const struct part *part,
                               uint64_t example)
{
    uint32_t columns = dataset->key_columns;
    const struct block *block;

    if (part->record)
        return record_label(part->record + example * (columns + 1), columns);
    block = &part->block[example / GATHER_EXAMPLES];
    return block->schema->label == SCHEMA_NONE
               ? 1
               : block->column[block->schema->label].number[example % GATHER_EXAMPLES];
}

struct item_catalogue {
    int user_column, item_column; /* of the job's; keys of model.user, model.item */
    struct dictionary user, item; /* the ids are the numbers; owned */
    uint32_t users, items;        /* of the training part; others may follow them */
    uint64_t examples;            /* of the training part */
    uint32_t *representative;     /* [items]: the first example that has the item */
    uint32_t *count;              /* [items]: how many examples have it */
    uint32_t *user_of, *item_of;  /* [examples]: the numbers of its user and item */
    uint64_t *begin;              /* [users + 1]: where a user's items stand in */
    uint32_t *seen;               /* [begin[users]]: rising for each, none twice */
};

/* -ERR_INPUT: the data are not in memory, or a table of the two has no key column or
 * more than one; -ERR_MEMORY. */
int item_catalogue_create(const struct job *job, const struct data *data,
                          struct item_catalogue **catalogue, struct err *err);
void item_catalogue_destroy(struct item_catalogue *catalogue); /* NULL is fine */

/* The items that a user has in the training part, rising; none for users that are not
 * in it. */
static inline const uint32_t *
item_catalogue_seen(const struct item_catalogue *catalogue, uint32_t user, uint32_t *n)
{
    if (user >= catalogue->users) {
        *n = 0;
        return NULL;
    }
    *n = (uint32_t)(catalogue->begin[user + 1] - catalogue->begin[user]);
    return catalogue->seen + catalogue->begin[user];
}

/* The pairs user[n], item[n] as lists of items, rising, none twice: those of user u, of
 * `users`, stand from (*begin)[u] to (*begin)[u + 1] in *list. Both are the caller's to
 * free, also after an error. -ERR_MEMORY. */
int item_lists_create(const uint32_t *user, const uint32_t *item, uint64_t n,
                      uint32_t users, uint64_t **begin, uint32_t **list,
                      struct err *err);

bool item_catalogue_has_seen(const struct item_catalogue *catalogue, uint32_t user,
                             uint32_t item);

#endif

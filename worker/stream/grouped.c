#include "worker/stream/grouped.h"

#include <stdlib.h>
#include <string.h>

struct member {
    uint64_t key;
    uint32_t position; /* in its part */
};

/* A part's examples by group, and as they stand within it. */
struct order {
    struct member *member; /* [n]; owned */
    uint64_t n;
};

struct grouping {
    struct dataset *dataset;
    struct schema *schema; /* of groups; owned until it is the data set's */
    int group, target;     /* places of columns */
    int target_list;       /* and of what is to be found */
    struct order train;
};

static const struct block *block_of(const struct part *part, uint32_t position)
{
    return &part->block[position / GATHER_EXAMPLES];
}

static int compare(const void *a, const void *b)
{
    const struct member *x = a, *y = b;

    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return x->position < y->position ? -1 : x->position > y->position;
}

static int make_order(const struct part *part, int group, struct order *order,
                      struct err *err)
{
    order->n = part->examples;
    order->member = malloc((part->examples + 1) * sizeof *order->member);
    if (!order->member)
        return err_set(err, ERR_MEMORY, "no memory to group %llu examples",
                       (unsigned long long)part->examples);
    for (uint32_t i = 0; i < part->examples; i++)
        order->member[i] = (struct member){
            block_of(part, i)->column[group].key[i % GATHER_EXAMPLES], i};
    qsort(order->member, order->n, sizeof *order->member, compare);
    return 0;
}

/* Where a group's members begin; *end: and end. */
static uint64_t find(const struct order *order, uint64_t key, uint64_t *end)
{
    uint64_t low = 0, high = order->n;

    while (low < high) {
        uint64_t middle = low + (high - low) / 2;

        if (order->member[middle].key < key)
            low = middle + 1;
        else
            high = middle;
    }
    for (*end = low; *end < order->n && order->member[*end].key == key;)
        ++*end;
    return low;
}

/* A list of a group: the keys that its members have in a column of their part. */
static int add_list(struct block *to, int list, const struct part *part,
                    const struct order *order, uint64_t key, int column,
                    struct err *err)
{
    uint64_t end, first = find(order, key, &end);
    struct values *values = &to->column[list];
    uint32_t at = values->offset[to->n];
    int label;

    if (block_key_room(to, (uint32_t)list, end - first, err))
        return -err->code;
    for (uint64_t m = first; m < end; m++, at++) {
        const struct block *block = block_of(part, order->member[m].position);
        uint32_t i = order->member[m].position % GATHER_EXAMPLES;

        label = block->schema->label;
        values->key[at] = block->column[column].key[i];
        values->number[at] = label == SCHEMA_NONE ? 1 : block->column[label].number[i];
    }
    values->offset[to->n + 1] = at;
    return 0;
}

/* Keys with their weights, or text. */
static int copy_list(struct block *to, uint32_t c, const struct values *source,
                     uint32_t i, bool keys, struct err *err)
{
    uint32_t first = source->offset[i], n = source->offset[i + 1] - first;
    struct values *values = &to->column[c];
    uint32_t at = values->offset[to->n];

    if (keys ? block_key_room(to, c, n, err) : block_text_room(to, c, n, err))
        return -err->code;
    if (keys && n) {
        memcpy(values->key + at, source->key + first, n * sizeof *values->key);
        memcpy(values->number + at, source->number + first, n * sizeof(float));
    } else if (n) {
        memcpy(values->text + at, source->text + first, n);
    }
    values->offset[to->n + 1] = at + n;
    return 0;
}

/* What a group has of its first example. */
static int copy_value(struct block *to, uint32_t c, const struct block *from,
                      uint32_t i, struct err *err)
{
    const struct values *source = &from->column[c];
    struct values *values = &to->column[c];
    uint32_t dim = from->schema->column[c].kind == VALUE_VECTOR
                       ? from->schema->column[c].dim
                       : 1;
    bool keys = from->schema->column[c].kind == VALUE_KEYS;

    if (values->key && !keys)
        values->key[to->n] = source->key[i];
    if (values->missing)
        values->missing[to->n] = source->missing[i];
    for (uint32_t d = 0; values->number && !keys && d < dim; d++)
        values->number[(size_t)to->n * dim + d] = source->number[(size_t)i * dim + d];
    if (values->time)
        values->time[to->n] = source->time[i];
    return source->offset ? copy_list(to, c, source, i, keys, err) : 0;
}

static int add_group(struct grouping *g, struct block *to, const struct part *part,
                     const struct order *order, uint32_t position, struct err *err)
{
    const struct block *from = block_of(part, position);
    const struct part *own = part;
    const struct order *own_order = order;
    uint32_t i = position % GATHER_EXAMPLES;
    uint64_t key = from->column[g->group].key[i];
    int rc = 0;

#ifndef MUTANT_GROUPED_TRAIN
    part = &g->dataset->train; /* what a model may look at */
    order = &g->train;
#endif
    for (uint32_t c = 0; rc == 0 && c < from->schema->columns; c++)
        rc = g->schema->column[c].kind == from->schema->column[c].kind
                 ? copy_value(to, c, from, i, err)
                 : add_list(to, (int)c, part, order, key, (int)c, err);
    if (rc == 0)
        rc = add_list(to, g->target_list, own, own_order, key, g->target, err);
    if (rc == 0)
        to->place[to->n++] = from->place[i];
    return rc;
}

/* Is this the first of its group? */
static bool is_first(const struct order *order, uint64_t m)
{
    return m == 0 || order->member[m].key != order->member[m - 1].key;
}

static int by_position(const void *a, const void *b)
{
    const struct member *x = a, *y = b;

    return x->position < y->position ? -1 : x->position > y->position;
}

/* The first members of all groups, as they stand in the part. */
static int find_firsts(const struct order *order, struct order *firsts, struct err *err)
{
    *firsts = (struct order){malloc((order->n + 1) * sizeof *firsts->member), 0};
    if (!firsts->member)
        return err_set(err, ERR_MEMORY, "no memory to group %llu examples",
                       (unsigned long long)order->n);
    for (uint64_t m = 0; m < order->n; m++)
        if (is_first(order, m))
            firsts->member[firsts->n++] = order->member[m];
    qsort(firsts->member, firsts->n, sizeof *firsts->member, by_position);
    return 0;
}

static void release(struct part *part)
{
    for (uint32_t b = 0; b < part->blocks; b++)
        block_release(&part->block[b]);
    free(part->block);
    *part = (struct part){0};
}

static int fill(struct grouping *g, const struct part *part, const struct order *order,
                const struct order *firsts, struct part *made, struct err *err)
{
    uint64_t blocks = (firsts->n + GATHER_EXAMPLES - 1) / GATHER_EXAMPLES;
    int rc = 0;

    made->block = calloc(blocks + 1, sizeof *made->block);
    if (!made->block)
        return err_set(err, ERR_MEMORY, "no memory for %llu groups",
                       (unsigned long long)firsts->n);
    for (uint64_t f = 0; rc == 0 && f < firsts->n; f++) {
        if (f % GATHER_EXAMPLES == 0)
            rc = block_create(&made->block[made->blocks], g->schema, GATHER_EXAMPLES,
                              err);
        made->blocks += rc == 0 && f % GATHER_EXAMPLES == 0;
        if (rc == 0)
            rc = add_group(g, &made->block[made->blocks - 1], part, order,
                           firsts->member[f].position, err);
    }
    made->examples = firsts->n;
    return rc;
}

static int group_part(struct grouping *g, const struct part *part, struct part *made,
                      struct err *err)
{
    struct order order = {0}, firsts = {0};
    int rc = make_order(part, g->group, &order, err);

    if (rc == 0)
        rc = find_firsts(&order, &firsts, err);
    if (rc == 0)
        rc = fill(g, part, &order, &firsts, made, err);
    free(order.member);
    free(firsts.member);
    return rc;
}

/* Keys but that of the group become lists; and what is to be found is one more. */
static int make_schema(struct grouping *g, const char *group, const char *target,
                       struct err *err)
{
    const struct schema *from = g->dataset->schema;

    g->group = schema_find(from, group);
    g->target = schema_find(from, target);
    if (g->group < 0 || from->column[g->group].kind != VALUE_KEY || g->target < 0 ||
        from->column[g->target].kind != VALUE_KEY || g->group == g->target)
        return err_set(err, ERR_INPUT,
                       "data.group is '%s' and model.target '%s', expected two key "
                       "columns of the data",
                       group, target);
    g->schema = malloc(sizeof *g->schema);
    if (!g->schema)
        return err_set(err, ERR_MEMORY, "no memory to group examples");
    *g->schema = *from;
    for (uint32_t c = 0; c < from->columns; c++)
        if (from->column[c].kind == VALUE_KEY && (int)c != g->group)
            g->schema->column[c].kind = VALUE_KEYS;
    g->target_list = schema_add(g->schema, GROUPED_TARGET, VALUE_KEYS);
    return 0;
}

int dataset_group(struct dataset *dataset, const char *group, const char *target,
                  struct err *err)
{
    struct grouping g = {.dataset = dataset};
    struct part *part[] = {&dataset->train, &dataset->validation, &dataset->test};
    struct part made[3] = {{0}};
    int rc = make_schema(&g, group, target, err);

    if (rc == 0)
        rc = make_order(&dataset->train, g.group, &g.train, err);
    for (int p = 0; rc == 0 && p < 3; p++)
        rc = group_part(&g, part[p], &made[p], err);
    for (int p = 0; p < 3; p++)
        release(rc ? &made[p] : part[p]);
    free(g.train.member);
    if (rc) {
        free(g.schema);
        return rc;
    }
    for (int p = 0; p < 3; p++)
        *part[p] = made[p];
    free(dataset->schema);
    dataset->schema = g.schema;
    return 0;
}

#include "launch/recommend_graph.h"

#include <stdlib.h>
#include <string.h>

#include "launch/scoring.h"
#include "worker/blueprint.h"

enum { PAIRS = 1024 }; /* that are prepared at a time */

struct graph_ranking {
    const struct trained *trained;
    const struct recommend_data *data;
    bool is_items[JOB_COLUMNS_MAX]; /* the job's columns that belong to the item */
    struct scoring *scoring;        /* of scores, or of the user's layer */
    struct exemplars groups;        /* with data.group: users by their rows' keys */
    bool uses_users;                /* rows of model.user */
    bool by_class;                  /* the output has a number for each item */
    uint32_t items;
    uint64_t *key;              /* [items] */
    const struct block **block; /* [items]: where its example is, */
    uint32_t *number;           /* [items]: and which one it is */
    float *score;               /* [items] */
    /* If a column is made of both sides: pairs as files would have them, and prepared;
     * and which columns of the former belong to the item. */
    struct block pairs, ready;
    bool is_items_raw[SCHEMA_COLUMNS_MAX];
    /* If the score is a product of two layers: the items' layer. */
    bool is_product;
    struct catalogue catalogue;
    struct mf product;
};

/* --- items ------------------------------------------------------------------------ */

/* Has training made the item's row? Not if only what was held out has it. */
static bool is_trained(const struct graph_ranking *r, const struct blueprint *blueprint,
                       uint64_t key)
{
    int table = job_table_index(&r->trained->job, r->trained->job.model.item);
    float *row;

    if (blueprint->keys[table] == 0)
        return true;
    table_find(r->trained->item, &key, 1, &row);
    return row != NULL;
}

static int list_items(struct graph_ranking *r, const struct blueprint *blueprint,
                      struct err *err)
{
    const struct exemplars *items = &r->data->items;
    uint32_t most = items->dictionary.keys;

    r->key = malloc((most + 1) * sizeof *r->key);
    r->block = malloc((most + 1) * sizeof(struct block *));
    r->number = malloc((most + 1) * sizeof *r->number);
    r->score = malloc((most + 1) * sizeof *r->score);
    if (!r->key || !r->block || !r->number || !r->score)
        return err_set(err, ERR_MEMORY, "no memory for a list of %u items", most);
    for (uint32_t id = 0; id < most; id++) {
        if (!is_trained(r, blueprint, items->dictionary.key[id]))
            continue;
        r->key[r->items] = items->dictionary.key[id];
        r->block[r->items] = exemplars_at(items, id, &r->number[r->items]);
        r->items++;
    }
    return 0;
}

static uint32_t next_items(const struct graph_ranking *r, uint32_t first,
                           const struct scoring *scoring)
{
    uint32_t most = scoring_capacity(scoring);

    return r->items - first < most ? r->items - first : most;
}

static int add_vectors(struct graph_ranking *r, struct scoring *scoring,
                       struct err *err)
{
    bool all[JOB_COLUMNS_MAX];
    int rc = 0;

    memset(all, true, sizeof all);
    for (uint32_t first = 0, n; rc == 0 && first < r->items; first += n) {
        const float *vector;

        n = next_items(r, first, scoring);
        vector = scoring_run_mixed(scoring, r->block[first], r->number[first],
                                   r->block + first, r->number + first, all, n);
        for (uint32_t i = 0; rc == 0 && i < n; i++)
            rc = catalogue_add(&r->catalogue, r->key[first + i],
                               vector + (size_t)i * r->catalogue.width, err);
    }
    return rc;
}

/* Items that somebody has rated are the rows of the target's table, and numbers of the
 * output. */
static int list_classes(struct graph_ranking *r, struct err *err)
{
    const struct popularity *popularity = &r->data->popularity;
    uint32_t most = scoring_width(r->scoring);

    r->key = malloc(((size_t)most + 1) * sizeof *r->key);
    r->score = malloc(((size_t)most + 1) * sizeof *r->score);
    if (!r->key || !r->score)
        return err_set(err, ERR_MEMORY, "no memory for a list of %u items", most);
    for (uint64_t i = 0; i < popularity->keys && popularity->key[i] < most; i++)
        r->key[r->items++] = popularity->key[i];
    return 0;
}

/* What the item's layer makes of all items. */
static int fill_catalogue(struct graph_ranking *r, const char *layer, struct err *err)
{
    struct scoring *scoring;
    int rc = scoring_create(r->trained, layer, prepare_schema(r->data->prepare),
                            &scoring, err);
    uint32_t width;

    if (rc)
        return rc;
    width = scoring_width(scoring);
    catalogue_init(&r->catalogue, width);
    r->product = (struct mf){.dim = width,
                             .width = width,
                             .loss = r->trained->job.model.loss,
                             .mean = scoring_mean(scoring)};
    rc = add_vectors(r, scoring, err);
    scoring_destroy(scoring);
    return rc;
}

/* --- a score for each item at once ------------------------------------------------ */

/* Users are lists of what they have, with data.group. */
static int list_groups(struct graph_ranking *r, struct err *err)
{
    const struct part *part = &r->data->groups.dataset.train;
    const struct schema *schema = r->data->groups.dataset.schema;
    int user = schema_find(schema, r->trained->user_name), rc = 0;

    exemplars_init(&r->groups, schema, false);
    for (uint32_t b = 0; rc == 0 && b < part->blocks; b++)
        for (uint32_t i = 0; rc == 0 && i < part->block[b].n; i++)
            rc = exemplars_add(&r->groups, part->block[b].column[user].key[i], 0,
                               &part->block[b], i, err);
    return rc;
}

static int create_classes(struct graph_ranking *r, struct err *err)
{
    const struct job *job = &r->trained->job;
    const struct schema *schema = r->data->users.schema;
    const char *group = job->data.group;

    r->by_class = true;
    if ((group[0] && strcmp(group, r->trained->user_name)) ||
        strcmp(job->model.target, r->trained->item_name))
        return err_set(err, ERR_INPUT,
                       "recommend needs the item as the target, and the user as the "
                       "group if there is one, but model.target is '%s', and "
                       "data.group '%s'",
                       job->model.target, group);
    if (group[0] && list_groups(r, err))
        return -err->code;
    if (group[0])
        schema = r->groups.schema;
    return scoring_create(r->trained, NULL, schema, &r->scoring, err) ||
                   list_classes(r, err)
               ? -err->code
               : 0;
}

static void score_classes(struct graph_ranking *r, const struct block *block,
                          uint32_t number)
{
    const float *value = scoring_run(r->scoring, block, number, 1);

    for (uint32_t i = 0; i < r->items; i++)
        r->score[i] = value[r->key[i]];
}

/* --- pairs that have to be prepared ------------------------------------------------
 */

static int create_pairs(struct graph_ranking *r, const struct schema *prepared,
                        struct err *err)
{
    const struct schema *raw = &r->data->raw_schema;
    const struct job *job = &r->trained->job;
    int rc = block_create(&r->pairs, raw, PAIRS, err);

    if (rc == 0)
        rc = block_create(&r->ready, prepared, PAIRS, err);
    for (int c = 0; c < job->data.columns; c++) {
        int place = schema_find(raw, job->data.column[c].name);

        if (place >= 0)
            r->is_items_raw[place] = r->is_items[c];
    }
    return rc;
}

/* Scores of items first .. first + n - 1; n <= PAIRS. */
static int score_pairs(struct graph_ranking *r, const struct block *block,
                       uint32_t number, uint32_t first, uint32_t n, struct err *err)
{
    uint32_t at;

    block_clear(&r->pairs);
    if (block_append_mixed(&r->pairs, block, number, r->block + first,
                           r->number + first, r->is_items_raw, n, err) ||
        prepare_apply(r->data->prepare, &r->pairs, &r->ready, &at, err))
        return -err->code;
    memcpy(r->score + first, scoring_run(r->scoring, &r->ready, 0, n),
           n * sizeof *r->score);
    return 0;
}

/* --- the whole -------------------------------------------------------------------- */

static int create(struct graph_ranking *r, const struct blueprint *blueprint,
                  struct err *err)
{
    const struct schema *schema = prepare_schema(r->data->prepare);
    int rc = list_items(r, blueprint, err);

    for (int c = 0; c < r->trained->job.data.columns; c++)
        r->is_items[c] = job_column_is_items(&r->trained->job, c);
    if (rc == 0 && r->data->raw_examples)
        rc = create_pairs(r, schema, err);
    if (rc)
        return rc;
    r->uses_users =
        blueprint->keys[job_table_index(&r->trained->job, r->trained->job.model.user)] >
        0;
    r->is_product = blueprint_is_product(blueprint);
    rc = scoring_create(r->trained, r->is_product ? blueprint->output[1] : NULL, schema,
                        &r->scoring, err);
    return rc == 0 && r->is_product ? fill_catalogue(r, blueprint->output[2], err) : rc;
}

int graph_ranking_create(const struct trained *trained,
                         const struct recommend_data *data, struct graph_ranking **out,
                         struct err *err)
{
    struct graph_ranking *r = calloc(1, sizeof *r);
    struct blueprint *blueprint;
    int rc;

    if (!r)
        return err_set(err, ERR_MEMORY, "no memory for a ranking");
    r->trained = trained;
    r->data = data;
    rc = blueprint_make(&trained->job, &blueprint, err);
    if (rc == 0) {
        rc = blueprint->target == TARGET_LABEL ? create(r, blueprint, err)
                                               : create_classes(r, err);
        blueprint_destroy(blueprint);
    }
    if (rc) {
        graph_ranking_destroy(r);
        return rc;
    }
    *out = r;
    return 0;
}

void graph_ranking_destroy(struct graph_ranking *r)
{
    if (!r)
        return;
    scoring_destroy(r->scoring);
    catalogue_release(&r->catalogue);
    if (r->pairs.schema)
        block_release(&r->pairs);
    if (r->ready.schema)
        block_release(&r->ready);
    exemplars_release(&r->groups);
    free(r->key);
    free(r->block);
    free(r->number);
    free(r->score);
    free(r);
}

bool graph_ranking_uses_users(const struct graph_ranking *r)
{
    return r->uses_users;
}

static bool find_user(const struct graph_ranking *r, uint64_t user, uint32_t *id)
{
    return r->groups.schema
               ? exemplars_find(&r->groups, recommend_user_row(r->data, user), id)
               : exemplars_find(&r->data->users, user, id);
}

bool graph_ranking_knows(const struct graph_ranking *r, uint64_t user)
{
    uint32_t id;

    return find_user(r, user, &id);
}

/* Scores of all items for an example of a user, some at a time. */
static int score_items(struct graph_ranking *r, const struct block *block,
                       uint32_t number, struct err *err)
{
    int rc = 0;

    for (uint32_t first = 0, n; rc == 0 && first < r->items; first += n) {
        n = next_items(r, first, r->scoring);
        if (r->data->raw_examples) {
            n = n < PAIRS ? n : PAIRS;
            rc = score_pairs(r, block, number, first, n, err);
            continue;
        }
        memcpy(r->score + first,
               scoring_run_mixed(r->scoring, block, number, r->block + first,
                                 r->number + first, r->is_items, n),
               n * sizeof *r->score);
    }
    return rc;
}

/* Scores as they are ranked become predictions. */
static void link_scores(const struct graph_ranking *r, struct ranked *list,
                        uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        float score = (float)list[i].score;

        scoring_link(r->scoring, &score, 1);
        list[i].score = score;
    }
}

int graph_ranking_top(struct graph_ranking *r, uint64_t user, struct key_list seen,
                      uint32_t top, struct ranked *list, uint32_t *count,
                      struct err *err)
{
    uint32_t id = 0, number;
    const struct block *block;
    int rc = 0;

    find_user(r, user, &id);
    block = exemplars_at(r->groups.schema ? &r->groups : &r->data->users, id, &number);
    if (r->is_product)
        return recommend_top(&r->catalogue, &r->product,
                             scoring_run(r->scoring, block, number, 1), seen, top, list,
                             count, err);
    if (r->by_class)
        score_classes(r, block, number);
    else
        rc = score_items(r, block, number, err);
    if (rc == 0)
        rc = recommend_scored(r->key, r->score, r->items, seen, top, list, count, err);
    if (rc == 0)
        link_scores(r, list, *count);
    return rc;
}

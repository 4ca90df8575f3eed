#include "worker/ranking_score.h"

#include <stdlib.h>
#include <string.h>

#include "worker/inputs.h"

enum {
    PAIRS_MIN = 4096,         /* of a batch, at least: small ones cost a message each */
    PAIRS_ROWS_MAX = 1 << 20, /* unless they have more rows of a table than that */
};

struct ranking_scorer {
    struct worker *worker;
    const struct ranking_tasks *tasks;
    struct batch batch;
    uint32_t servers;
    /* Of records: a batch's keys, [batch.capacity]. */
    uint64_t *user_key, *item_key;
    /* Of blocks: where each item's columns are, and examples for items of which only
     * the key is known, in the order of their numbers. */
    struct inputs *inputs;
    const struct part *train, *scored, *held_out; /* the last: the other of both */
    bool of_item[JOB_COLUMNS_MAX];
    struct block *bare; /* NULL: there are none */
    uint32_t *bare_at;  /* [items - catalogue->items] */
    const struct block **other;
    uint32_t *other_example, *example; /* [batch.capacity], as is `other` */
    /* Vectors of all items, and of some users. */
    float *item, *user; /* [items][width], [user_room][width] */
    uint32_t user_room;
};

static int no_memory(struct err *err)
{
    return err_set(err, ERR_MEMORY, "no memory to rank items");
}

/* --- examples ----------------------------------------------------------------------
 */

/* How many items are in data.negatives only. */
static uint32_t count_bare(const struct ranking_tasks *tasks)
{
    uint32_t others = tasks->items - tasks->catalogue->items, n = 0;

    for (uint32_t i = 0; i < others; i++)
        n += tasks->example[i] == RANKING_NO_EXAMPLE;
    return n;
}

int ranking_check_items(const struct blueprint *b, const struct ranking_tasks *tasks,
                        struct err *err)
{
    const struct job *job = tasks->job;
    int key = tasks->catalogue->item_column;
    uint32_t n = count_bare(tasks);

    for (uint32_t i = 0; n && i < b->inputs; i++)
        for (uint32_t c = 0; c < b->input[i].columns; c++) {
            int column = b->input[i].column[c];

            if (column != key && job_column_is_items(job, column))
                return err_set(
                    err, ERR_INPUT,
                    "data.negatives has items that are in no example, %u of them, but "
                    "the model takes '%s' of an item, not only its key",
                    n, job->data.column[column].name);
        }
    return 0;
}

/* Makes examples of items that are in data.negatives only. */
static int make_bare(struct ranking_scorer *scorer, struct err *err)
{
    const struct ranking_tasks *tasks = scorer->tasks;
    const struct item_catalogue *catalogue = tasks->catalogue;
    const struct dataset *dataset = &scorer->worker->data->memory;
    const char *name = tasks->job->data.column[catalogue->item_column].name;
    uint32_t others = tasks->items - catalogue->items, n = count_bare(tasks);
    int place = schema_find(dataset->schema, name), rc;

    if (n == 0)
        return 0;
    scorer->bare_at = malloc(others * sizeof(uint32_t));
    scorer->bare = calloc(1, sizeof *scorer->bare);
    if (!scorer->bare_at || !scorer->bare)
        return no_memory(err);
    rc = block_create(scorer->bare, dataset->schema, n, err);
    for (uint32_t i = 0; rc == 0 && i < others; i++) {
        if (tasks->example[i] != RANKING_NO_EXAMPLE)
            continue;
        scorer->bare_at[i] = scorer->bare->n;
        rc = block_append(scorer->bare, scorer->train->block, 0, 1, err);
        if (rc == 0)
            scorer->bare->column[place].key[scorer->bare_at[i]] =
                catalogue->item.key[catalogue->items + i];
    }
    return rc;
}

static int create_examples(struct ranking_scorer *scorer, uint32_t capacity,
                           struct err *err)
{
    const struct data *data = scorer->worker->data;
    const struct job *job = scorer->tasks->job;
    int rc;

    scorer->train = data_part(data, SPLIT_TRAIN);
    scorer->scored = data_part(data, split_scored(job));
    scorer->held_out = data_part(data, ranking_held_out(job));
    scorer->user_key = malloc(capacity * sizeof(uint64_t));
    scorer->item_key = malloc(capacity * sizeof(uint64_t));
    scorer->other = malloc(capacity * sizeof *scorer->other);
    scorer->other_example = malloc(capacity * sizeof(uint32_t));
    scorer->example = malloc(capacity * sizeof(uint32_t));
    if (!scorer->user_key || !scorer->item_key || !scorer->other ||
        !scorer->other_example || !scorer->example)
        return no_memory(err);
    if (!scorer->train->blocks)
        return 0;
    for (int c = 0; c < job->data.columns; c++)
        scorer->of_item[c] = job_column_is_items(job, c);
    rc = inputs_create(scorer->worker->blueprint, scorer->servers, capacity,
                       &scorer->inputs, err);
    if (rc == 0)
        rc = inputs_bind(scorer->inputs, data->memory.schema, err);
    return rc ? rc : make_bare(scorer, err);
}

/* Has a batch of so many pairs too many rows, since lists are long? */
static bool is_too_large(const struct blueprint *b, uint32_t pairs)
{
    for (int t = 0; t < b->job->tables; t++)
        if (!b->whole[t] && blueprint_rows(b, t, pairs) > PAIRS_ROWS_MAX)
            return true;
    return false;
}

uint32_t ranking_pairs(const struct blueprint *b)
{
    uint32_t trained = blueprint_capacity(b), pairs = PAIRS_MIN;

#ifndef MUTANT_PAIRS_ROOM
    while (pairs > trained && is_too_large(b, pairs))
        pairs /= 2;
#endif
    return pairs < trained ? trained : pairs;
}

int ranking_scorer_create(struct worker *worker, const struct ranking_tasks *tasks,
                          struct ranking_scorer **out, struct err *err)
{
    struct ranking_scorer *scorer = calloc(1, sizeof *scorer);
    uint32_t capacity = ranking_pairs(worker->blueprint);
    int rc;

    if (!scorer)
        return no_memory(err);
    scorer->worker = worker;
    scorer->tasks = tasks;
    scorer->servers = worker->setup->roster->servers;
    rc = batch_create_for(&scorer->batch, worker->blueprint, scorer->servers, capacity,
                          err);
    if (rc == 0)
        rc = create_examples(scorer, capacity, err);
    if (rc) {
        ranking_scorer_destroy(scorer);
        return rc;
    }
    *out = scorer;
    return 0;
}

void ranking_scorer_destroy(struct ranking_scorer *scorer)
{
    if (!scorer)
        return;
    client_drop_pulls(scorer->worker->client);
    batch_release(&scorer->batch);
    inputs_destroy(scorer->inputs);
    if (scorer->bare && scorer->bare->schema)
        block_release(scorer->bare);
    free(scorer->bare);
    free(scorer->bare_at);
    free(scorer->other);
    free(scorer->other_example);
    free(scorer->example);
    free(scorer->user_key);
    free(scorer->item_key);
    free(scorer->item);
    free(scorer->user);
    free(scorer);
}

/* The example that has what is known of an item. */
static const struct block *find_item(const struct ranking_scorer *scorer, uint32_t item,
                                     uint32_t *example)
{
    const struct item_catalogue *catalogue = scorer->tasks->catalogue;
    const struct part *part = scorer->train;
    uint32_t at;

    if (item < catalogue->items) {
        at = catalogue->representative[item];
    } else {
        part = scorer->scored;
        at = scorer->tasks->example[item - catalogue->items];
        if (at == RANKING_NO_EXAMPLE) {
            *example = scorer->bare_at[item - catalogue->items];
            return scorer->bare;
        }
        if (at >= part->examples) {
            at -= (uint32_t)part->examples;
            part = scorer->held_out;
        }
    }
    *example = at % GATHER_EXAMPLES;
    return &part->block[at / GATHER_EXAMPLES];
}

/* The user's columns of a task's example, each time with another item's. */
static void add_task(struct ranking_scorer *scorer, const struct ranking_pair *pair,
                     uint32_t n)
{
    uint32_t at = scorer->tasks->task[pair->task].example;

    for (uint32_t i = 0; i < n; i++) {
        scorer->example[i] = at % GATHER_EXAMPLES;
        scorer->other[i] = find_item(scorer, pair[i].item, &scorer->other_example[i]);
    }
    inputs_add_mixed(scorer->inputs, &scorer->batch,
                     &scorer->scored->block[at / GATHER_EXAMPLES], scorer->example,
                     scorer->other, scorer->other_example, scorer->of_item, n);
    scorer->batch.n += n;
}

static void build_blocks(struct ranking_scorer *scorer, const struct ranking_pair *pair,
                         uint32_t n)
{
    uint32_t end;

    inputs_begin(scorer->inputs, &scorer->batch);
    for (uint32_t first = 0; first < n; first = end) {
        for (end = first + 1; end < n && pair[end].task == pair[first].task; end++)
            ;
        add_task(scorer, pair + first, end - first);
    }
    inputs_build(scorer->inputs, &scorer->batch);
}

static void build_records(struct ranking_scorer *scorer,
                          const struct ranking_pair *pair, uint32_t n)
{
    const struct blueprint_input *input = scorer->worker->blueprint->input;
    const struct item_catalogue *catalogue = scorer->tasks->catalogue;
    struct batch *batch = &scorer->batch;

    for (uint32_t i = 0; i < n; i++) {
        scorer->user_key[i] =
            catalogue->user.key[scorer->tasks->task[pair[i].task].user];
        scorer->item_key[i] = catalogue->item.key[pair[i].item];
    }
    for (uint32_t t = 0; t < batch->tables; t++)
        keyset_build(&batch->set[t], NULL, 0, 1, scorer->servers);
    keyset_build(&batch->set[input[0].table], scorer->user_key, n, 1, scorer->servers);
    keyset_build(&batch->set[input[1].table], scorer->item_key, n, 1, scorer->servers);
    batch->n = n;
}

/* Makes a batch of n pairs, at most its capacity, and pulls its rows. */
static int pull(struct ranking_scorer *scorer, const struct ranking_pair *pair,
                uint32_t n, struct err *err)
{
    struct client *client = scorer->worker->client;
    struct batch *batch = &scorer->batch;
    int rc;

    batch->n = 0;
    batch->read_only = true;
    batch->clock = 0;
    if (scorer->inputs)
        build_blocks(scorer, pair, n);
    else
        build_records(scorer, pair, n);
    rc = batch_cut(batch, err);
    if (rc == 0)
        rc = client_begin_pull(client, batch, err);
    return rc ? rc : client_finish_pull(client, batch, err);
}

static uint32_t at_most(uint32_t n, uint32_t most)
{
    return n < most ? n : most;
}

/* --- scores ------------------------------------------------------------------------
 */

int ranking_score_pairs(struct ranking_scorer *scorer, const struct ranking_pair *pair,
                        uint32_t n, float *score, struct err *err)
{
    uint32_t capacity = scorer->batch.capacity;
    int rc = 0;

    for (uint32_t first = 0; rc == 0 && first < n; first += capacity) {
        rc = pull(scorer, pair + first, at_most(n - first, capacity), err);
        if (rc == 0)
            learner_score(scorer->worker->learner, &scorer->batch, score + first);
    }
    return rc;
}

bool ranking_has_vectors(const struct ranking_scorer *scorer)
{
    return learner_vectors(scorer->worker->learner) > 0;
}

/* The vectors of one side of pairs (task + i, item) or (task, item + i), i < n. */
static int fetch(struct ranking_scorer *scorer, bool items, struct ranking_pair first,
                 uint32_t n, float *vector, struct err *err)
{
    uint32_t capacity = scorer->batch.capacity, some;
    size_t width = learner_vectors(scorer->worker->learner);
    struct ranking_pair *pair = malloc(at_most(n, capacity) * sizeof *pair);
    int rc = pair ? 0 : no_memory(err);

    for (uint32_t at = 0; rc == 0 && at < n; at += some) {
        some = at_most(n - at, capacity);
        for (uint32_t i = 0; i < some; i++)
            pair[i] = (struct ranking_pair){first.task + (items ? 0 : at + i),
                                            first.item + (items ? at + i : 0)};
        rc = pull(scorer, pair, some, err);
        if (rc == 0)
            learner_vectors_of(scorer->worker->learner, &scorer->batch, items,
                               vector + at * width);
    }
    free(pair);
    return rc;
}

int ranking_fetch_items(struct ranking_scorer *scorer, struct err *err)
{
    size_t width = learner_vectors(scorer->worker->learner);
    uint32_t items = scorer->tasks->catalogue->items;

    free(scorer->item);
    scorer->item = malloc(items * width * sizeof(float));
    if (!scorer->item)
        return no_memory(err);
    return fetch(scorer, true, (struct ranking_pair){0, 0}, items, scorer->item, err);
}

int ranking_score_users(struct ranking_scorer *scorer, uint32_t first, uint32_t n,
                        float *score, struct err *err)
{
    size_t width = learner_vectors(scorer->worker->learner);
    int rc;

    if (n > scorer->user_room) {
        float *larger = realloc(scorer->user, n * width * sizeof *larger);

        if (!larger)
            return no_memory(err);
        scorer->user = larger;
        scorer->user_room = n;
    }
    rc = fetch(scorer, false, (struct ranking_pair){first, 0}, n, scorer->user, err);
    if (rc == 0)
        learner_score_products(scorer->worker->learner, scorer->user, n, scorer->item,
                               scorer->tasks->catalogue->items, score);
    return rc;
}
